//! `[[track]]`: a laboratory automation line.

use super::{
    Seams,
    guard::Guard,
    instrument, lab,
    read::{At, Table},
};

/// One automation line and where it is connected.
#[derive(Clone, Debug)]
pub struct Track {
    /// Its name in this file and everywhere.
    pub id: At<String>,
    /// Where it is connected.
    pub port: At<String>,
    /// The file of its modules, lanes and ways, relative to `lab.toml`.
    pub file: At<String>,
    /// The file that says what its records mean, relative to `lab.toml`; none is HL7 chapter 13.
    pub mapping: Option<At<String>>,
    /// Zone of its wall clock, if not the laboratory's.
    pub timezone: Option<At<String>>,
    /// TLS, and who may connect.
    pub guard: Guard,
}

impl Track {
    pub(super) fn read(table: &Table<'_>, seams: &Seams<'_>) -> Self {
        let id = lab::id(table, "line-1");
        let port = table
            .required_text("port", "mllp-listen://127.0.0.1:5010")
            .map(|text| instrument::port(table, "port", text, seams))
            .unwrap_or_default();
        Self {
            id,
            guard: Guard::read(table, &[Some(&port)], seams),
            port,
            file: table.required_text("file", "line.toml").unwrap_or_default(),
            mapping: table.text("mapping"),
            timezone: lab::timezone(table),
        }
    }
}
