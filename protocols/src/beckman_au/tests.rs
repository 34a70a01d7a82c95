//! The AU wire against transcripts written by hand, and against chance.

mod chance;
mod clauses;
mod codec;
mod receiving;
mod sending;
mod table;
mod writing;

use super::{Class, Dialect, Link, Model, link::frame};
use crate::transcript::{Bench, wire};

/// The defaults with block check and classes B, replies at once: turns have their own tests.
fn prompt() -> Dialect {
    let mut dialect = Dialect::host(Model::Au5800);
    dialect.timers.turnaround = std::time::Duration::ZERO;
    dialect
}

fn class_a() -> Dialect {
    Dialect {
        class: Class::A,
        ..prompt()
    }
}

/// `{text}` is a block with ETX and its block check, `{+text}` one with ETB.
fn framer(inner: &str) -> Vec<u8> {
    let (text, end) = match inner.strip_prefix('+') {
        Some(text) => (text, "<ETB>"),
        None => (inner, "<ETX>"),
    };
    let text = wire(&format!("{text}{end}"), framer);
    frame(&text, &Dialect::host(Model::Au5800)).to_vec()
}

fn open(dialect: Dialect) -> Bench<Link> {
    let mut bench = Bench::new(Link::new(dialect), framer);
    bench.handle(crate::wire::Input::Opened);
    bench
}

fn check(dialect: Dialect, transcript: &str) -> Bench<Link> {
    open(dialect).check(transcript)
}
