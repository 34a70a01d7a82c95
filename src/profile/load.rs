//! Reads a profile file and says everything that is wrong with it at once.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use miette::NamedSource;
use serde::Deserialize as _;
use toml::{
    Spanned,
    de::{DeArray, DeTable, DeValue, Deserializer},
};

use super::{
    Condition, Device, FieldPath, PatientRules, Profile, Protocol, Template, Transport, schema,
};
use crate::config::problem::{Problem, Problems, source};

/// Reads the profile `name` (`vendor/model`) from the text of its file. The profile is there only
/// when no problem is an error; its examples are not run here.
pub fn load(name: &str, text: &str) -> (Option<Profile>, Problems) {
    let mut loader = Loader::new(name, text);
    let (file, written) = loader.deserialize(text);
    let profile = loader.profile(name, file, &written);
    let profile = if loader.problems.has_errors() {
        None
    } else {
        profile
    };
    (profile, loader.problems)
}

/// Most mistakes of form that one file is searched for; each costs one more pass over the file.
const MISTAKES_MAX: usize = 50;

/// Collects what is wrong while it reads.
pub(super) struct Loader {
    file: Arc<NamedSource<String>>,
    problems: Problems,
    pub(super) protocol: Protocol,
}

fn no_layout() -> Spanned<schema::Layout> {
    Spanned::new(0..0, schema::Layout::default())
}

fn transport(raw: schema::Transport) -> Transport {
    Transport {
        port: raw.port.map(Spanned::into_inner).unwrap_or_default(),
        serial: raw.serial.map(Spanned::into_inner).unwrap_or_default(),
        note: raw.note,
    }
}

impl Loader {
    fn new(name: &str, text: &str) -> Self {
        Self {
            file: source(format!("{name}.toml"), text),
            problems: Problems::default(),
            protocol: Protocol::Astm,
        }
    }

    /// What must be mended.
    pub(super) fn problem(
        &mut self,
        code: &'static str,
        span: Option<Range<usize>>,
        what: Words<'_>,
    ) {
        self.tell(code, span, what, false);
    }

    /// Advice that does not stop a start.
    pub(super) fn warning(&mut self, code: &'static str, span: Range<usize>, what: Words<'_>) {
        self.tell(code, Some(span), what, true);
    }

    fn tell(
        &mut self,
        code: &'static str,
        span: Option<Range<usize>>,
        what: Words<'_>,
        is_warning: bool,
    ) {
        self.problems.push(Problem {
            code,
            message: what.message.to_owned(),
            label: what.label.to_owned(),
            help: what.help.to_owned(),
            source: Some(Arc::clone(&self.file)),
            span,
            is_warning,
        });
    }

    /// Reads the file's form. A key that cannot be read is reported, taken out, and the rest read.
    fn deserialize<'t>(&mut self, text: &'t str) -> (schema::File, DeTable<'t>) {
        let (mut table, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            self.problem(
                "PROF-0201",
                error.span(),
                Words {
                    message: error.message(),
                    label: "not TOML",
                    help: "see https://toml.io for the notation",
                },
            );
        }
        let whole = table.get_ref().clone();
        for _ in 0..MISTAKES_MAX {
            let error = match schema::File::deserialize(Deserializer::from(table.clone())) {
                Ok(file) => return (file, whole),
                Err(error) => error,
            };
            let help = error.message().split_once(", expected ").map_or_else(
                || "write a value of the kind that is expected".to_owned(),
                |(_, expected)| format!("remove it, or write {}", plainly(expected)),
            );
            self.problem(
                "PROF-0202",
                error.span(),
                Words {
                    message: error.message(),
                    label: "not understood",
                    help: &help,
                },
            );
            if !error
                .span()
                .is_some_and(|span| remove_at(table.get_mut(), &span))
            {
                break;
            }
        }
        (schema::File::default(), whole)
    }

    fn profile(
        &mut self,
        name: &str,
        file: schema::File,
        written: &DeTable<'_>,
    ) -> Option<Profile> {
        let device = self.device(&file.device)?;
        self.require(name, &file);
        self.check_keys(written);
        self.require_law(&device, &file.answer);
        let text = self.text(file.text);
        let link = self.link(file.link);
        let layout = file.layout.unwrap_or_else(no_layout);
        let wire = self.wire(&layout, &link, file.answer.negative.style.as_ref())?;
        Some(Profile {
            name: name.to_owned(),
            transport: transport(file.transport),
            link,
            text,
            specimen: self.specimen(file.specimen),
            patient: PatientRules {
                ids: self.paths(file.patient.ids),
                name: self.paths(file.patient.name),
                birth: self.paths(file.patient.birth),
                sex: self.paths(file.patient.sex),
            },
            result: self.result(file.result),
            statuses: self.statuses(file.status),
            units: self.units(file.units),
            normal_flags: file.flags.normal.into_iter().collect(),
            suspect_flags: file.flags.suspect.into_iter().collect(),
            edited_flags: file.flags.edited.into_iter().collect(),
            ignored_flags: file.flags.ignore.into_iter().collect(),
            suspect_comments: self.conditions(&file.comments.holds_when),
            qc: self.controls(file.qc),
            calibration: self.calibrations(file.calibration),
            images: file
                .image
                .into_iter()
                .filter_map(|rule| self.image(rule))
                .collect(),
            ignore: file
                .ignore
                .into_iter()
                .filter_map(|rule| self.ignore(rule))
                .collect(),
            parts: file
                .part
                .into_iter()
                .filter_map(|rule| self.part(rule))
                .collect(),
            comments: file
                .comment
                .into_iter()
                .filter_map(|rule| self.comment_rule(rule))
                .collect(),
            query: self.query(file.query),
            answer: self.answer(file.answer, file.download, &wire),
            tests: self.tests(file.test),
            examples: file
                .example
                .into_iter()
                .filter_map(|e| self.example(e))
                .collect(),
            device,
            wire,
            file: Arc::clone(&self.file),
        })
    }

    /// What no profile can do without.
    fn require(&mut self, name: &str, file: &schema::File) {
        let example = match self.protocol {
            Protocol::Astm => ["id = \"O.3\"", "code = \"R.3.4\"", "value = \"R.4\""],
            Protocol::Hl7 => [
                "id = \"OBR-3.1\"",
                "code = \"OBX-3.1\"",
                "value = \"OBX-5\"",
            ],
            Protocol::Dimension => ["id = \"sample_id\"", "code = \"test\"", "value = \"value\""],
            Protocol::Bci | Protocol::SysmexLegacy => {
                ["id = \"sample_id\"", "code = \"code\"", "value = \"value\""]
            }
            Protocol::Poct1a => ["id = \"order_id\"", "code = \"code\"", "value = \"value\""],
            Protocol::BeckmanAu => [
                "id = \"sample_id\"",
                "code = \"test_no\"",
                "value = \"value\"",
            ],
        };
        let missing = [
            (&file.specimen.id, "[specimen] id"),
            (&file.result.code, "[result] code"),
            (&file.result.value, "[result] value"),
        ];
        for ((paths, key), line) in missing.into_iter().zip(example) {
            if paths.0.is_empty() {
                self.problem(
                    "PROF-0203",
                    None,
                    Words {
                        message: &format!("{name}: `{key}` is missing"),
                        label: "",
                        help: &format!("write for instance `{line}`"),
                    },
                );
            }
        }
    }

    /// Orders of LAW go to devices that answer as LAW says.
    fn require_law(&mut self, device: &Device, answer: &schema::Answer) {
        let law = |form: &&schema::Text| form.get_ref() == "law";
        let Some(form) = answer.form.as_ref().filter(law) else {
            return;
        };
        if !device.is_law {
            self.problem(
                "PROF-0203",
                Some(form.span()),
                Words {
                    message: "`form = \"law\"` is for devices that speak IHE LAW",
                    label: "of another protocol",
                    help: "write `[device] protocol = \"law\"`",
                },
            );
        }
    }

    pub(super) fn paths(&mut self, raw: schema::Paths) -> Vec<FieldPath> {
        let protocol = self.protocol;
        let parse = |text: &str| FieldPath::parse(text, protocol);
        raw.0
            .iter()
            .filter_map(|text| self.parsed("PROF-0204", text, parse))
            .collect()
    }

    pub(super) fn conditions(&mut self, raw: &[schema::Text]) -> Vec<Condition> {
        let protocol = self.protocol;
        let parse = |text: &str| Condition::parse(text, protocol);
        raw.iter()
            .filter_map(|text| self.parsed("PROF-0205", text, parse))
            .collect()
    }

    pub(super) fn fields(&mut self, raw: schema::Fields) -> BTreeMap<usize, Template> {
        let mut fields = BTreeMap::new();
        for (number, template) in raw {
            let parse = |text: &str| match text.parse() {
                Ok(number @ 2..=999) => Ok(number),
                _ => Err(format!("`{text}` is no field number from 2 on")),
            };
            let number = self.parsed("PROF-0204", &number, parse);
            let template = self.parsed("PROF-0207", &template, Template::parse);
            fields.extend(number.zip(template));
        }
        fields
    }

    pub(super) fn parsed<T>(
        &mut self,
        code: &'static str,
        text: &schema::Text,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text.get_ref())
            .map_err(|why| {
                self.problem(
                    code,
                    Some(text.span()),
                    Words {
                        message: &format!("`{}` cannot be read", text.get_ref()),
                        label: "this",
                        help: &why,
                    },
                );
            })
            .ok()
    }

    pub(super) fn word<T: Copy>(&mut self, text: &schema::Text, words: &[(&str, T)]) -> Option<T> {
        let found = words.iter().find(|(word, _)| *word == text.get_ref());
        if found.is_none() {
            let known: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.problem(
                "PROF-0206",
                Some(text.span()),
                Words {
                    message: &format!("`{}` is not known here", text.get_ref()),
                    label: "unknown",
                    help: &format!("write one of {}", known.join(", ")),
                },
            );
        }
        found.map(|(_, value)| *value)
    }
}

/// Rust's names of types in words.
fn plainly(expected: &str) -> &str {
    match expected {
        "usize" | "u32" | "u64" => "a whole number",
        "bool" | "a boolean" => "`true` or `false`",
        other => other,
    }
}

/// What a problem says.
pub(super) struct Words<'a> {
    pub(super) message: &'a str,
    pub(super) label: &'a str,
    pub(super) help: &'a str,
}

/// Takes the entry whose key or value holds `span` out of the table.
fn remove_at(table: &mut DeTable<'_>, span: &Range<usize>) -> bool {
    let holds = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    if table
        .iter_mut()
        .any(|(_, value)| remove_inside(value.get_mut(), span))
    {
        return true;
    }
    let found = table
        .iter()
        .find(|(key, value)| holds(key.span()) || holds(value.span()));
    let Some(key) = found.map(|(key, _)| key.clone()) else {
        return false;
    };
    table.remove(&key).is_some()
}

fn remove_inside(value: &mut DeValue<'_>, span: &Range<usize>) -> bool {
    match value {
        DeValue::Table(table) => remove_at(table, span),
        DeValue::Array(array) => remove_in_array(array, span),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => false,
    }
}

fn remove_in_array(array: &mut DeArray<'_>, span: &Range<usize>) -> bool {
    array
        .iter_mut()
        .any(|element| remove_inside(element.get_mut(), span))
}
