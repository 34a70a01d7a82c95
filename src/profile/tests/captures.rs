//! Captures of real devices, if they lie beside the workspace: a naive split of each file's result
//! lines, written here and sharing nothing with the reader, must find what the reader finds.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::line;
use crate::{
    model::Item,
    profile::{Decoded, decode_capture, json_lines},
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
    let items = decoded.iter().flat_map(|one| &one.items);
    items
        .filter_map(|item| match item {
            Item::Observation(one) => Some((one.code.clone(), one.text.clone())),
            Item::Image(one) => Some((one.code.clone(), one.text.clone())),
            Item::Query(_) | Item::Device(_) | Item::Incomplete(_) => None,
        })
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

/// Captures of devices that have a profile, by how their path begins.
const OWN: &[(&str, &str)] = &[
    (
        "nishishailesh__astm_general/astmbi_misc_data_3600",
        "ortho/vitros",
    ),
    ("nishishailesh__astm_general/astmbi_misc_data__", "erba/xl"),
    ("nishishailesh__astm_general/multisamplequery", "erba/xl"),
    (
        "nishishailesh__astm_general/2020-04-07",
        "horiba/yumizen-h500",
    ),
    ("wordjelly__Ruby-ASTM/em", "erba/em200"),
    (
        "DIGI-UW__openelis-analyzer-bridge/bc5380",
        "mindray/bc-5000",
    ),
];

/// The code as a device's own profile names it, from the code as [`results`] finds it.
fn named(code: &str) -> &str {
    code.strip_prefix("1.0000+")
        .and_then(|rest| rest.strip_suffix("+1.0"))
        .unwrap_or(code)
}

/// Values of results and of what a profile makes an event of: code and value as sent.
fn told(decoded: &[Decoded]) -> Vec<String> {
    let items = decoded.iter().flat_map(|one| &one.items);
    items
        .filter_map(|item| match item {
            Item::Observation(one) => Some(format!("{} {}", one.code, one.text)),
            Item::Device(event) => Some(event.text.clone()),
            Item::Image(one) => Some(format!("{} {}", one.code, one.text)),
            Item::Query(_) | Item::Incomplete(_) => None,
        })
        .collect()
}

#[test]
fn every_result_of_a_capture_comes_out_as_sent_by_the_profile_of_its_device() {
    let Some(captures) = captures() else { return };
    let mut total = 0;
    for (path, protocol) in index(&captures) {
        let Some((_, profile)) = OWN.iter().find(|(start, _)| path.starts_with(start)) else {
            continue;
        };
        let bytes = fs::read(captures.join(&path)).expect("a listed capture");
        let told = told(&decode_capture(&line(profile), None, &bytes));
        for (code, value) in results(&plain_lines(&bytes), protocol.starts_with("ASTM")) {
            let as_sent = told.iter().any(|line| {
                // Mindray names its codes in the second component, which the naive split leaves out.
                let code_fits = protocol.starts_with("HL7") || line.starts_with(named(&code));
                code_fits && line.ends_with(value.as_str())
            });
            assert!(as_sent, "{path}: {code} {value} is not among {told:?}");
            total += 1;
        }
    }
    assert!(
        total > 50,
        "only {total} results in captures of devices with a profile"
    );
}

#[test]
fn a_query_of_a_capture_names_its_tubes() {
    let Some(captures) = captures() else { return };
    for (path, profile, expected) in [
        (
            "nishishailesh__astm_general/multisamplequery",
            "erba/xl",
            &["1007149", "1007152", "1007151", "1007150", "1007148"][..],
        ),
        (
            "wordjelly__Ruby-ASTM/em200_multiple_tube_query.txt",
            "erba/em200",
            &["0000000406", "00001001"],
        ),
        (
            "wordjelly__Ruby-ASTM/em_200_query_sample.txt",
            "erba/em200",
            &["010520182"],
        ),
    ] {
        let bytes = fs::read(captures.join(path)).expect("a listed capture");
        let decoded = decode_capture(&line(profile), None, &bytes);
        let lines: Vec<_> = decoded.iter().flat_map(json_lines).collect();
        let asked: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("\"kind\":\"query\""))
            .collect();
        let fits = asked
            .iter()
            .zip(expected)
            .all(|(line, id)| line.contains(&format!("\"specimen\":\"{id}\"")));
        assert!(fits && asked.len() == expected.len(), "{path}: {lines:?}");
    }
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
            Item::Observation(_) | Item::Image(_) | Item::Query(_) | Item::Device(_) => None,
        })
        .collect();
    assert_eq!(
        reasons,
        ["frame 1 refused: its checksum is 99, its bytes give A0"]
    );
}
