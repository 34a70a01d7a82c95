//! Labwire on the command line.
fn main() {}
