//! The older Sysmex wire against transcripts written by hand, and against chance.

mod chance;
mod clauses;
mod codec;
mod receiving;
mod sending;
mod table;

use super::{Class, Dialect, Link, link::frame};
use crate::{
    transcript::{Bench, wire},
    wire::Input,
};

/// `{D1U…}` is a whole frame.
fn framer(inner: &str) -> Vec<u8> {
    frame(&wire(inner, framer)).to_vec()
}

fn class_a() -> Dialect {
    Dialect {
        class: Class::A,
        ..Dialect::default()
    }
}

fn open(dialect: Dialect) -> Bench<Link> {
    let mut bench = Bench::new(Link::new(dialect), framer);
    bench.handle(Input::Opened);
    bench
}

fn check(dialect: Dialect, transcript: &str) -> Bench<Link> {
    open(dialect).check(transcript)
}

/// A text of a KX-21: date, analysis, sample id, marks, RDW kind, and eighteen parameters.
const RESULT: &str = concat!(
    "D1U",
    "261128",
    "0",
    "        4711",
    "000000",
    "S",
    "00710",
    "04523",
    "01480",
    "0400 ",
    "0880 ",
    "0290 ",
    "0330 ",
    "0250 ",
    "0300 ",
    "0080 ",
    "0620 ",
    "0210 ",
    "0060 ",
    "0440 ",
    "0440 ",
    "0120 ",
    "0090 ",
    "*2501",
);
