//! What is fuzzed: functions of bytes, called by libFuzzer and by `cargo test` alike.

pub(crate) mod feed;
pub(crate) mod wires;

/// A name, the function of bytes, and in one line what has to hold whatever the bytes are.
pub(crate) type Target = (&'static str, fn(&[u8]), &'static str);
