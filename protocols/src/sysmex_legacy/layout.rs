//! What the columns of a model are, as data.
//!
//! Nothing of it is known well enough to be built in as the truth: a layout is written from the
//! model's format sheet and proven with a recorded text before anything is released. Where a number's
//! point stands depends on the units that the analyzer is set to, so that a column without
//! [`Kind::Number::decimals`] gives its digits and never a value.

use thiserror::Error;

/// Bytes of one line: its code and its columns.
pub const LINE_BYTES_MAX: usize = 65_536;
/// Columns of one line.
pub const COLUMNS_MAX: usize = 1_024;
/// Digits of one number.
pub const DIGITS_MAX: usize = 12;

/// The lines that a model sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// One for each code.
    pub texts: Vec<TextLayout>,
}

/// What a line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// A patient's results.
    Patient,
    /// A control's results.
    Control,
    /// What samples are asked for.
    Query,
    /// Anything else.
    Other,
}

/// One kind of line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextLayout {
    /// What it begins with, such as `D1U`.
    pub code: String,
    /// What it is for.
    pub used_for: Use,
    /// What follows.
    pub columns: Vec<Column>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name; a reserved one needs none.
    pub name: String,
    /// Its characters, the flag's included.
    pub width: usize,
    /// What stands in it.
    pub kind: Kind,
}

/// On which side text stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Spaces behind it.
    Left,
    /// Spaces before it.
    Right,
}

/// What stands in a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text(Align),
    /// Digits, perhaps with a flag behind them.
    Number {
        /// How many of the digits stand behind the point, where that is known.
        decimals: Option<usize>,
        /// Whether the last character is a flag.
        has_flag: bool,
    },
    /// Nothing, filled with this character.
    Reserved(u8),
}

impl Column {
    /// A column of text.
    pub fn text(name: &str, width: usize, align: Align) -> Self {
        Self {
            name: name.to_owned(),
            width,
            kind: Kind::Text(align),
        }
    }

    /// A column of digits with a flag behind them, where the point stands being unknown.
    pub fn measured(name: &str, digits: usize) -> Self {
        Self {
            name: name.to_owned(),
            width: digits.saturating_add(1),
            kind: Kind::Number {
                decimals: None,
                has_flag: true,
            },
        }
    }

    /// A column that means nothing.
    pub fn reserved(width: usize, fill: u8) -> Self {
        Self {
            name: String::new(),
            width,
            kind: Kind::Reserved(fill),
        }
    }

    pub(super) const fn has_flag(&self) -> bool {
        matches!(self.kind, Kind::Number { has_flag: true, .. })
    }
}

impl TextLayout {
    /// How long such a line is.
    pub fn width(&self) -> usize {
        let columns = self.columns.iter().map(|column| column.width);
        columns.fold(self.code.len(), usize::saturating_add)
    }

    fn check(&self) -> Result<(), LayoutError> {
        let code = self.code.clone();
        let is_code = |byte: &u8| byte.is_ascii_graphic();
        if code.is_empty() || !code.as_bytes().iter().all(is_code) {
            return Err(LayoutError::Code { code });
        }
        if self.columns.is_empty()
            || self.columns.len() > COLUMNS_MAX
            || self.width() > LINE_BYTES_MAX
        {
            return Err(LayoutError::Size { code });
        }
        for (at, column) in self.columns.iter().enumerate() {
            column.check(&code)?;
            let is_same = |other: &Column| other.name == column.name && !column.name.is_empty();
            if self.columns.iter().skip(at).skip(1).any(is_same) {
                let column = column.name.clone();
                return Err(LayoutError::Name { code, column });
            }
        }
        Ok(())
    }
}

impl Column {
    fn check(&self, code: &str) -> Result<(), LayoutError> {
        let (code, column) = (code.to_owned(), self.name.clone());
        let digits = self.width.saturating_sub(usize::from(self.has_flag()));
        let (is_named, fits) = match self.kind {
            Kind::Text(_) => (!self.name.is_empty(), self.width > 0),
            Kind::Reserved(fill) => (true, self.width > 0 && fill.is_ascii() && fill >= b' '),
            Kind::Number { decimals, .. } => (
                !self.name.is_empty(),
                (1..=DIGITS_MAX).contains(&digits) && decimals.is_none_or(|d| d < digits),
            ),
        };
        if !is_named {
            return Err(LayoutError::Name { code, column });
        }
        if !fits {
            return Err(LayoutError::Column { code, column });
        }
        Ok(())
    }
}

impl Layout {
    /// Says what of it cannot work; a line is not opened with such a layout.
    ///
    /// # Errors
    /// The first contradiction found.
    pub fn check(&self) -> Result<(), LayoutError> {
        for (at, text) in self.texts.iter().enumerate() {
            text.check()?;
            let is_told_apart = |other: &TextLayout| {
                !other.code.starts_with(&text.code) && !text.code.starts_with(&other.code)
            };
            if !self.texts.iter().skip(at).skip(1).all(is_told_apart) {
                let code = text.code.clone();
                return Err(LayoutError::Code { code });
            }
        }
        Ok(())
    }

    /// The kind of a line.
    pub(super) fn of_line(&self, line: &[u8]) -> Option<&TextLayout> {
        let mut texts = self.texts.iter();
        texts.find(|text| line.starts_with(text.code.as_bytes()))
    }

    /// KX-21 and its kin (F-820), as drivers read them (C): an example to begin with. The points of
    /// its numbers are left to the site.
    pub fn kx21() -> Self {
        let mut columns = vec![
            Column::text("date", 6, Align::Left),
            Column::text("analysis", 1, Align::Left),
            Column::text("sample_id", 12, Align::Right),
            Column::text("pda", 6, Align::Left),
            Column::text("rdw_kind", 1, Align::Left),
        ];
        let measured = |name: &&str| Column::measured(name, 4);
        columns.extend(KX21.iter().map(measured));
        Self {
            texts: vec![TextLayout {
                code: "D1U".to_owned(),
                used_for: Use::Patient,
                columns,
            }],
        }
    }

    /// The query of an XN (T for what it begins with, C for the columns): which sample, and where.
    pub fn xn_query() -> Self {
        Self {
            texts: vec![TextLayout {
                code: "R1".to_owned(),
                used_for: Use::Query,
                columns: vec![
                    Column::reserved(3, b'0'),
                    Column::text("sample_id", 22, Align::Right),
                    Column::reserved(2, b'0'),
                    Column::text("rack", 6, Align::Right),
                    Column::text("position", 2, Align::Right),
                    Column::text("timing", 1, Align::Left),
                    Column::reserved(23, b'0'),
                ],
            }],
        }
    }
}

/// The parameters of a KX-21 in their order.
const KX21: [&str; 18] = [
    "WBC", "RBC", "HGB", "HCT", "MCV", "MCH", "MCHC", "PLT", "LYM%", "MXD%", "NEUT%", "LYM#",
    "MXD#", "NEUT#", "RDW", "PDW", "MPV", "P-LCR",
];

/// Why a layout cannot work.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LayoutError {
    /// A code that is none, or that another begins with.
    #[error("line `{code}`: its code is not told from another, or is none")]
    Code {
        /// The code.
        code: String,
    },
    /// No columns, too many, or too wide.
    #[error("line `{code}`: no columns, or more than a line has")]
    Size {
        /// The code.
        code: String,
    },
    /// A name that is missing, or there twice.
    #[error("line `{code}`: column `{column}` has no name of its own")]
    Name {
        /// The code.
        code: String,
        /// The name.
        column: String,
    },
    /// A width that cannot hold what the column is for.
    #[error("line `{code}`: column `{column}` cannot hold what it is for")]
    Column {
        /// The code.
        code: String,
        /// The name.
        column: String,
    },
}

impl LayoutError {
    /// The stable code of the error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Code { .. } => "SYX-0502",
            Self::Size { .. } => "SYX-0503",
            Self::Name { .. } => "SYX-0504",
            Self::Column { .. } => "SYX-0505",
        }
    }
}
