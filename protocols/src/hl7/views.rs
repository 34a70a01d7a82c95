//! Typed segments from one table each: a view that reads and a draft that writes.
//!
//! The table says number, name and kind of every field, so that reader and writer cannot differ by
//! a slip; golden messages written by hand guard against a slip in the table itself.
//!
//! Kinds: `text` one plain text; `parts` components; `list` repeats of components; `eip` a pair of
//! placer and filler number; `code` and `codes` one code of a table, or several.

use super::{Field, Segment, Separators, build::SegmentWriter};

/// What is amiss with one field of a typed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The standard requires the field, and it was not sent.
    Missing,
    /// The field has a code that its table does not have.
    UnknownCode,
    /// No version up to 2.9 has a field of this number.
    Beyond,
}

/// A segment that can be written only with its required fields.
pub(crate) trait Draft {
    /// The name of the segment.
    const NAME: &'static str;
    /// Its required fields.
    const REQUIRED: &'static [usize];
    /// Its last field.
    const LAST: usize;

    /// The segment as it stands.
    fn writer(&self) -> &SegmentWriter;

    /// The first required field that has no value.
    fn missing(&self) -> Option<usize> {
        let mut required = Self::REQUIRED.iter().copied();
        required.find(|n| self.writer().value(*n).is_empty())
    }

    /// Whether component 1 of field `n` says something: separators and `""` do not.
    fn has_id(&self, n: usize) -> bool {
        let component = char::from(Separators::STANDARD.component());
        let mut components = self.writer().value(n).split(component);
        components
            .next()
            .is_some_and(|id| !id.is_empty() && id != "\"\"")
    }

    /// Whether it has a value in no field.
    fn is_blank(&self) -> bool {
        (1..=Self::LAST).all(|n| self.writer().value(n).is_empty())
    }
}

/// The required fields that were not sent.
pub(crate) fn missing_fields(
    segment: Segment<'_>,
    required: &[usize],
) -> impl Iterator<Item = usize> {
    let fields = required.iter().copied();
    fields.filter(move |n| segment.field(*n).is_empty())
}

/// The first field beyond `last` that has something in it.
pub(crate) fn beyond(segment: Segment<'_>, last: usize) -> Option<usize> {
    if segment.n() <= last {
        return None;
    }
    let mut fields = segment.fields().enumerate().skip(last);
    fields
        .find(|(_, field)| !field.is_empty())
        .map(|(index, _)| index.saturating_add(1))
}

/// The segments of one name in a slice.
pub(crate) fn named<'m, 'a>(
    segments: &'m [Segment<'a>],
    name: &'static str,
) -> impl Iterator<Item = Segment<'a>> + use<'m, 'a> {
    let all = segments.iter().copied();
    all.filter(move |segment| segment.name() == name)
}

/// The codes of all repeats of a field; none for an empty one and for `""`.
pub(crate) fn codes(field: Field<'_>) -> impl Iterator<Item = &str> {
    field
        .repeats()
        .map(|repeat| repeat.component(1).raw())
        .filter(|code| !code.is_empty() && *code != "\"\"")
}

macro_rules! field_reader {
    (code $table:ident $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        pub fn $field(self) -> Option<$table<'a>> {
            crate::hl7::views::codes(self.segment.field($n))
                .next()
                .map($table::read)
        }
    };
    (codes $table:ident $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        pub fn $field(self) -> impl Iterator<Item = $table<'a>> + use<'a> {
            crate::hl7::views::codes(self.segment.field($n)).map($table::read)
        }
    };
    ($kind:ident $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        pub fn $field(self) -> crate::hl7::Field<'a> {
            self.segment.field($n)
        }
    };
}

macro_rules! field_writer {
    (code $table:ident $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        pub fn $field(self, code: $table<'_>) -> Self {
            Self(self.0.components($n, &code.parts()))
        }
    };
    (codes $table:ident $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        #[doc = "Another call adds a repeat."]
        pub fn $field(self, code: $table<'_>) -> Self {
            Self(self.0.repeat($n, &code.parts()))
        }
    };
    (text $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        pub fn $field(self, text: &str) -> Self {
            Self(self.0.text($n, text))
        }
    };
    (parts $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        pub fn $field(self, components: &[&str]) -> Self {
            Self(self.0.components($n, components))
        }
    };
    (list $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        #[doc = "Another call adds a repeat."]
        pub fn $field(self, components: &[&str]) -> Self {
            Self(self.0.repeat($n, components))
        }
    };
    (eip $doc:expr, $n:literal $field:ident) => {
        #[doc = $doc]
        #[doc = "Each number is given with its namespace."]
        pub fn $field(self, placer: &[&str], filler: &[&str]) -> Self {
            let placed = self.0.subcomponents($n, 1, placer);
            Self(if filler.is_empty() {
                placed
            } else {
                placed.subcomponents($n, 2, filler)
            })
        }
    };
}

macro_rules! has_unknown_code {
    (code $table:ident $segment:expr, $n:literal) => {
        crate::hl7::views::codes($segment.field($n)).any(|code| !$table::read(code).is_known())
    };
    (codes $table:ident $segment:expr, $n:literal) => {
        crate::hl7::views::codes($segment.field($n)).any(|code| !$table::read(code).is_known())
    };
    ($kind:ident $segment:expr, $n:literal) => {
        false
    };
}

macro_rules! segment_views {
    ($(
        $(#[$doc:meta])*
        $view:ident $draft:ident $name:ident last $last:literal requires [$($required:literal),*] {
            $($n:literal $field:ident $kind:ident $($table:ident)? $text:literal;)*
        }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $view<'a> {
            /// The segment as sent.
            pub segment: crate::hl7::Segment<'a>,
        }

        impl<'a> $view<'a> {
            /// The name of the segment.
            pub const NAME: &'static str = stringify!($name);
            /// The last field that any version up to 2.9 has.
            pub const LAST: usize = $last;

            /// Looks at a segment of this name.
            pub const fn new(segment: crate::hl7::Segment<'a>) -> Self {
                Self { segment }
            }

            $(crate::hl7::views::field_reader! {
                $kind $($table)? concat!(stringify!($name), "-", $n, ": ", $text, "."), $n $field
            })*

            /// What is amiss, field by field; nothing of it keeps the rest from being read.
            pub fn faults(self) -> Vec<(usize, crate::hl7::views::Fault)> {
                use crate::hl7::views::{Fault, beyond, missing_fields};
                let missing = missing_fields(self.segment, &[$($required),*]);
                let mut faults: Vec<_> = missing.map(|n| (n, Fault::Missing)).collect();
                $(
                    if crate::hl7::views::has_unknown_code!($kind $($table)? self.segment, $n) {
                        faults.push(($n, Fault::UnknownCode));
                    }
                )*
                faults.extend(beyond(self.segment, $last).map(|n| (n, Fault::Beyond)));
                faults
            }
        }

        #[doc = concat!("A `", stringify!($name), "` segment to be written.")]
        #[derive(Clone, Debug)]
        #[must_use = "a segment is in no message before it is written"]
        pub struct $draft(crate::hl7::build::SegmentWriter);

        impl $draft {
            /// The segment without any field.
            pub fn new() -> Self {
                let name = crate::hl7::build::Name::$name;
                Self(crate::hl7::build::SegmentWriter::new(name))
            }

            $(crate::hl7::views::field_writer! {
                $kind $($table)? concat!(stringify!($name), "-", $n, ": ", $text, "."), $n $field
            })*

            /// Field `n` is what was read elsewhere, to the byte in the usual delimiters.
            pub fn echo(self, n: usize, field: crate::hl7::Field<'_>) -> Self {
                Self(self.0.echo(n, field))
            }
        }

        impl Default for $draft {
            fn default() -> Self {
                Self::new()
            }
        }

        impl crate::hl7::views::Draft for $draft {
            const NAME: &'static str = stringify!($name);
            const REQUIRED: &'static [usize] = &[$($required),*];
            const LAST: usize = $last;

            fn writer(&self) -> &crate::hl7::build::SegmentWriter {
                &self.0
            }
        }
    )*};
}

pub(crate) use {field_reader, field_writer, has_unknown_code, segment_views};
