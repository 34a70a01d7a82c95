//! Rows and how they are shown.

use std::{
    fmt,
    io::{Write as _, stdout},
    time::Duration,
};

/// One measured thing.
#[derive(Clone, Debug)]
struct Row {
    what: String,
    measured: String,
    limit: String,
    ratio: String,
    aim: String,
}

/// What was measured so far.
#[derive(Clone, Debug, Default)]
pub struct Table {
    notes: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    /// A line above the table.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// A row: what, measured, its limit in this run, the ratio, the aim.
    pub fn row(&mut self, what: &str, [measured, limit, ratio, aim]: [String; 4]) {
        self.rows.push(Row {
            what: what.to_owned(),
            measured,
            limit,
            ratio,
            aim,
        });
    }

    /// A row that could not be measured.
    pub fn failed(&mut self, what: &str, error: &anyhow::Error) {
        let measured = format!("not measured: {error:#}");
        self.row(
            what,
            [measured, String::new(), String::new(), String::new()],
        );
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Shows the rows from `first` on as soon as they are there; a run takes minutes.
    pub fn show_from(&self, first: usize) -> std::io::Result<()> {
        for row in self.rows.iter().skip(first) {
            writeln!(stdout().lock(), "{row}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            measured,
            limit,
            ratio,
            aim,
        } = self;
        write!(f, "| {what} | {measured} | {limit} | {ratio} | {aim} |")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        writeln!(f, "\n| what | measured | limit in this run | ratio | aim |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{row}"))
    }
}

/// A time as people read it.
pub fn time(time: Duration) -> String {
    format!("{time:.2?}")
}

/// `measured / limit`, with two digits.
pub fn ratio(measured: Duration, limit: Duration) -> String {
    let ratio = measured.as_secs_f64() / limit.as_secs_f64().max(1e-9);
    format!("{ratio:.2} ×")
}

/// Events in a second.
pub fn rate(count: u64, elapsed: Duration) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    count / elapsed.as_secs_f64().max(1e-9)
}

/// `part / whole` of two rates.
pub fn share(part: f64, whole: f64) -> String {
    format!("{:.0} %", 100.0 * part / whole.max(1e-9))
}
