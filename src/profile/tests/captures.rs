//! Captures of real devices, if they lie beside the workspace: a naive split of each file's result
//! lines, written here and sharing nothing with the reader, must find what the reader finds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{line, observations};
use crate::{
    model::Item,
    profile::{Decoded, decode_capture},
};

fn captures() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    if !path.join("INDEX.tsv").is_file() {
        println!("skipped: no captures at {}", path.display());
        return None;
    }
    Some(path)
}

/// Path and protocol of every capture that is ASTM or HL7.
fn index(captures: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(captures.join("INDEX.tsv")).expect("a list of captures");
    let rows = text.lines().skip(1).map(|row| {
        let mut columns = row.split('\t');
        let path = columns.next().unwrap_or_default().to_owned();
        (path, columns.nth(1).unwrap_or_default().to_owned())
    });
    rows.filter(|(_, protocol)| protocol.starts_with("ASTM") || protocol.starts_with("HL7"))
        .collect()
}

/// The lines of a file without its frames: STX and number go, and what follows ETX or ETB to the
/// second digit of the checksum with its line end. A line cut by ETB goes on in the next frame.
fn plain_lines(bytes: &[u8]) -> Vec<String> {
    let mut text: Vec<u8> = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            0x02 => at += 1,
            0x03 | 0x17 => {
                at += 2;
                while bytes
                    .get(at)
                    .is_some_and(|byte| matches!(byte, b'\r' | b'\n'))
                {
                    at += 1;
                }
            }
            0x04 | 0x05 | 0x06 | 0x0B | 0x15 | 0x1C => text.push(b'\n'),
            _ => text.push(*byte),
        }
    }
    let text: String = text.iter().map(|byte| char::from(*byte)).collect();
    // Files that lost their control characters may still have the frame numbers.
    let unnumbered = |line: &str| {
        let rest = line.strip_prefix(|first: char| first.is_ascii_digit());
        let rest = rest.filter(|rest| rest.chars().nth(1) == Some('|'));
        rest.unwrap_or(line).to_owned()
    };
    let lines = text.split(['\r', '\n']).map(unnumbered);
    lines.filter(|line| !line.is_empty()).collect()
}

/// Code and value of every result line.
fn results(lines: &[String], is_astm: bool) -> Vec<(String, String)> {
    let (start, code, value) = if is_astm {
        ("R|", 2, 3)
    } else {
        ("OBX|", 3, 5)
    };
    let of = |line: &String| {
        let fields: Vec<&str> = line.split('|').collect();
        let field = |n: usize| fields.get(n).copied().unwrap_or_default();
        let parts: Vec<&str> = field(code).split('^').collect();
        let fourth = parts
            .get(3)
            .copied()
            .filter(|part| is_astm && !part.is_empty());
        (
            fourth.unwrap_or(parts[0]).to_owned(),
            field(value).to_owned(),
        )
    };
    lines
        .iter()
        .filter(|line| line.starts_with(start))
        .map(of)
        .collect()
}

fn found(decoded: &[Decoded]) -> Vec<(String, String)> {
    let all = decoded.iter().flat_map(observations);
    all.map(|one| (one.code.clone(), one.text.clone()))
        .collect()
}

#[test]
fn every_result_of_every_capture_comes_out_as_sent() {
    let Some(captures) = captures() else { return };
    let mut total = 0;
    for (path, protocol) in index(&captures) {
        let bytes = fs::read(captures.join(&path)).expect("a listed capture");
        let is_astm = protocol.starts_with("ASTM");
        let line = line(if is_astm {
            "generic/astm"
        } else {
            "generic/hl7"
        });
        let decoded = decode_capture(&line, None, &bytes);
        let expected = results(&plain_lines(&bytes), is_astm);
        assert_eq!(found(&decoded), expected, "{path}");
        total += expected.len();
    }
    assert!(total > 150, "only {total} results in all captures");
}

#[test]
fn a_frame_with_a_wrong_checksum_is_refused_and_explained() {
    let Some(captures) = captures() else { return };
    let path = captures.join("nishishailesh__astm_general/one_sample");
    let bytes = fs::read(path).expect("a listed capture");
    let decoded = decode_capture(&line("generic/astm"), None, &bytes);
    let reasons: Vec<&str> = decoded
        .iter()
        .flat_map(|one| &one.items)
        .filter_map(|item| match item {
            Item::Incomplete(incomplete) => Some(incomplete.why.as_str()),
            Item::Observation(_) | Item::Query(_) | Item::Device(_) => None,
        })
        .collect();
    assert_eq!(
        reasons,
        ["frame 1 refused: its checksum is 99, its bytes give A0"]
    );
}
