//! The BCI wire against transcripts written by hand, and against chance.

mod chance;
mod clauses;
mod codec;
mod receiving;
mod sending;
mod table;

use super::{Dialect, Link, link::frame};
use crate::{
    transcript::{Bench, wire},
    wire::Input,
};

/// `{mtrsl|ci7|}` is a whole frame: a record for each field, checksum.
fn framer(inner: &str) -> Vec<u8> {
    frame(&message(inner), true).to_vec()
}

/// The message in a frame: `mtrsl|ci7|` with RS before each field.
fn message(inner: &str) -> Vec<u8> {
    let fields = inner
        .split_inclusive('|')
        .map(|field| format!("<1E>{field}"));
    wire(&fields.collect::<String>(), framer)
}

/// The defaults, a message at once after the reply to ENQ: the wait has its own test.
fn prompt() -> Dialect {
    let mut dialect = Dialect::default();
    dialect.timers.turnaround = std::time::Duration::ZERO;
    dialect
}

fn open(dialect: Dialect) -> Bench<Link> {
    let mut bench = Bench::new(Link::new(dialect), framer);
    bench.handle(Input::Opened);
    bench
}

fn check(dialect: Dialect, transcript: &str) -> Bench<Link> {
    open(dialect).check(transcript)
}

const RESULT: &str = "mtrsl|pi|pn|si|ciZ1G021SCR|rtHBCT|rnAnti-HBc Total II|tt18:35|td10/25/24|\
                      qlPositif|qn0.05|";
