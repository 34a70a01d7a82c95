//! Programs beside Rust that rows of the crash table need.

use std::{
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

/// Says that a row is left out, and why: on a machine of its own it passes then, in CI, which
/// installs what is needed (`LABWIRE_CRASH_TOOLS=required`), it fails.
pub fn left_out(what: &str, why: &str) {
    let must = std::env::var("LABWIRE_CRASH_TOOLS").is_ok_and(|value| value == "required");
    assert!(!must, "{what}: {why}");
    says(&format!("left out: {what} ({why})"));
}

/// Says something past the test's captured output, because a test that passes shows none.
pub fn says(words: &str) {
    drop(std::io::stderr().write_all(format!("{words}\n").as_bytes()));
}

/// Whether a program runs.
pub fn runs(program: &str, args: &[&str]) -> bool {
    let status = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

/// The library that gives a program a clock of its own (the package `faketime`).
pub fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten();
    let mut places: Vec<_> = folders.map(|folder| folder.path()).collect();
    places.push(PathBuf::from("/usr/lib"));
    let libraries = places
        .into_iter()
        .map(|place| place.join("faketime/libfaketimeMT.so.1"));
    libraries.into_iter().find(|library| library.is_file())
}
