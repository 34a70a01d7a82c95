//! What is fuzzed: functions of bytes, called by libFuzzer and by `cargo test` alike.

pub mod feed;
pub mod wires;

/// A name, the function of bytes, and in one line what has to hold whatever the bytes are.
pub type Target = (&'static str, fn(&[u8]), &'static str);
