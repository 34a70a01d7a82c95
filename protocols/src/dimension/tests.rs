//! The Dimension wire against transcripts written by hand, and against chance.

mod chance;
mod clauses;
mod codec;
mod receiving;
mod sending;
mod table;
mod writing;

use super::{Dialect, Link, link::frame};
use crate::transcript::{Bench, wire};

/// `{I|00112028}` is a whole frame: fields, FS after each, checksum.
fn framer(inner: &str) -> Vec<u8> {
    frame(&message(inner)).to_vec()
}

/// The message in a frame: `I|00112028` with FS.
fn message(inner: &str) -> Vec<u8> {
    wire(&format!("{}<FS>", inner.replace('|', "<FS>")), framer)
}

/// The defaults, what follows an ACK at once: turns have their own tests.
fn prompt() -> Dialect {
    let mut dialect = Dialect::default();
    dialect.timers.turnaround = std::time::Duration::ZERO;
    dialect
}

fn open(dialect: Dialect) -> Bench<Link> {
    let mut bench = Bench::new(Link::new(dialect), framer);
    bench.handle(crate::wire::Input::Opened);
    bench
}

fn check(dialect: Dialect, transcript: &str) -> Bench<Link> {
    open(dialect).check(transcript)
}

const RESULT: &str =
    "R|0|TEST PATIENT             |00112028|2||0|433910270718|1|1|1|GLUC|93|mg/dL|";
