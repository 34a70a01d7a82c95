//! What was heard as worked examples of a draft.

use std::sync::Arc;

use labwire_protocols::charset::Charset;
use serde_json::Value as Json;

use super::Protocol;
use super::{
    findings::{Findings, Guess, is_query, result_record},
    heard::Counts,
    invent::Inventor,
    rows::Sheet,
    shape::is_control,
};
use crate::profile::{LineSettings, Profile, decode_capture, json_lines};

/// Results of one example: enough to see the form, few enough to check by hand.
const RESULTS_MAX: usize = 8;
/// Rows of one example.
const ROWS_MAX: usize = 24;
/// Examples of results besides one of a control and one of a query.
const RESULT_EXAMPLES: usize = 3;
/// Seeds that are tried until nothing of the input is told.
const SEEDS_MAX: u64 = 16;
/// What `expect` tells of an item.
const KEYS: [&str; 10] = [
    "kind",
    "specimen",
    "code",
    "test",
    "text",
    "unit",
    "flags",
    "status",
    "measured_at",
    "held",
];

/// One worked example, its bytes invented where they could be a patient's.
pub(super) struct Worked {
    pub(super) name: String,
    /// As `wire` is written.
    pub(super) notation: String,
    bytes: Vec<u8>,
}

/// Chooses messages and invents what is private in them.
pub(super) fn choose(findings: &Findings, counts: &Counts, charset: Charset) -> Vec<Worked> {
    let mut chosen: Vec<(String, Sheet)> = Vec::new();
    let mut kinds: Vec<String> = Vec::new();
    for sheet in &findings.sheets {
        let (kind, name) = kind(findings, sheet);
        let same = kinds.iter().filter(|known| **known == kind).count();
        let limit = if kind.starts_with("results") {
            1
        } else {
            usize::from(kind == "query" || kind == "control")
        };
        let results = kinds.iter().filter(|kind| kind.starts_with("results"));
        if same < limit && (!kind.starts_with("results") || results.count() < RESULT_EXAMPLES) {
            kinds.push(kind);
            chosen.push((name, shortened(findings, sheet)));
        }
    }
    chosen
        .into_iter()
        .filter_map(|(name, sheet)| invented(findings, counts, charset, &name, &sheet))
        .collect()
}

/// What a message is an example of; messages of one kind need no second one.
fn kind(findings: &Findings, sheet: &Sheet) -> (String, String) {
    let record = result_record(findings.protocol);
    if is_query(sheet) {
        return ("query".to_owned(), "heard: a query".to_owned());
    }
    if !sheet.has(&[record]) {
        return ("other".to_owned(), "heard: something else".to_owned());
    }
    let is_control = findings.controls.iter().any(|control| {
        let Some((place, value)) = control.rule.split_once(" = ") else {
            return has_control_id(findings, sheet);
        };
        let matches = |row: &super::rows::Row| {
            (1..=20).any(|field| {
                row.field(field)
                    .split(sheet.marks.component)
                    .any(|part| part == value)
            }) && place.starts_with(row.name.as_str())
        };
        sheet.rows.iter().any(matches)
    });
    if is_control {
        return ("control".to_owned(), "heard: a control".to_owned());
    }
    let field = match findings.protocol {
        Protocol::Astm => 7,
        Protocol::Hl7 => 8,
    };
    let is_flagged = |row: &super::rows::Row| !matches!(row.field(field).trim(), "" | "N");
    if sheet.named(record).any(is_flagged) {
        return (
            "results, flagged".to_owned(),
            "heard: results with flags".to_owned(),
        );
    }
    ("results".to_owned(), "heard: results".to_owned())
}

/// Whether the tube of a message is called as control material is.
fn has_control_id(findings: &Findings, sheet: &Sheet) -> bool {
    let place = findings.specimen.as_ref().and_then(Guess::first);
    place.is_some_and(|place| is_control(sheet.first(place)))
}

fn shortened(findings: &Findings, sheet: &Sheet) -> Sheet {
    let record = result_record(findings.protocol);
    let mut results = 0;
    let is_kept = |row: &&super::rows::Row| {
        results += usize::from(row.name == record);
        results <= RESULTS_MAX || row.name == "L"
    };
    let mut rows: Vec<_> = sheet.rows.iter().filter(is_kept).cloned().collect();
    if rows.len() > ROWS_MAX {
        let last = rows.pop().filter(|row| row.name == "L");
        rows.truncate(ROWS_MAX);
        rows.extend(last);
    }
    Sheet {
        marks: sheet.marks,
        rows,
    }
}

fn invented(
    findings: &Findings,
    counts: &Counts,
    charset: Charset,
    name: &str,
    sheet: &Sheet,
) -> Option<Worked> {
    (1..=SEEDS_MAX).find_map(|seed| {
        let mut inventor = Inventor::new(findings, charset, seed);
        let rows = inventor.rows(sheet);
        if inventor.is_told_in(&rows.join("\r")) {
            return None;
        }
        let (bytes, notation) = carried(findings.protocol, counts, charset, &rows)?;
        Some(Worked {
            name: name.to_owned(),
            notation,
            bytes,
        })
    })
}

/// The rows as they were carried: in frames where their checksums were right, in blocks, or bare.
fn carried(
    protocol: Protocol,
    counts: &Counts,
    charset: Charset,
    rows: &[String],
) -> Option<(Vec<u8>, String)> {
    let is_framed = protocol == Protocol::Astm && counts.sums_right > 0;
    let is_blocked = protocol == Protocol::Hl7 && counts.blocks > 0;
    let is_whole = counts.frames_of_many > 0;
    let mut out = Notation {
        bytes: Vec::new(),
        text: String::new(),
        charset,
    };
    if is_framed {
        out.control(0x05, "ENQ");
        out.text.push('\n');
    }
    if is_blocked {
        out.control(0x0B, "VT");
    }
    let last = rows.len().checked_sub(1)?;
    let mut start = 0;
    for (number, row) in rows.iter().enumerate() {
        let begins = is_framed && (!is_whole || number == 0);
        if begins {
            out.control(0x02, "STX");
            start = out.bytes.len();
            out.literal(&((number + 1) % 8).to_string())?;
        }
        out.literal(row)?;
        out.control(b'\r', "CR");
        if is_framed && (!is_whole || number == last) {
            out.control(0x03, "ETX");
            let sum = labwire_protocols::astm::link::checksum(out.bytes.get(start..)?);
            out.bytes.extend_from_slice(&sum);
            out.text.push_str("<CS>");
            out.control(b'\r', "CR");
            out.control(b'\n', "LF");
        }
        out.text.push('\n');
    }
    if is_framed {
        out.control(0x04, "EOT");
    }
    if is_blocked {
        out.control(0x1C, "FS");
        out.control(b'\r', "CR");
    }
    Some((out.bytes, out.text.trim_end().to_owned()))
}

/// Bytes, and the same as `wire` writes them.
struct Notation {
    bytes: Vec<u8>,
    text: String,
    charset: Charset,
}

impl Notation {
    fn control(&mut self, byte: u8, name: &str) {
        self.bytes.push(byte);
        self.text.push_str(&format!("<{name}>"));
    }

    /// A text of a row. What would be read as something else in the notation is written as a byte.
    fn literal(&mut self, text: &str) -> Option<()> {
        for letter in text.chars() {
            let encoded = self.charset.encode(letter.encode_utf8(&mut [0; 4])).ok()?;
            let is_plain = !letter.is_control() && !matches!(letter, '\'' | '<');
            if is_plain {
                self.text.push(letter);
            } else {
                for byte in &encoded {
                    self.text.push_str(&format!("<x{byte:02X}>"));
                }
            }
            self.bytes.extend_from_slice(&encoded);
        }
        Some(())
    }
}

/// What the draft makes of an example, as the rows of `expect`.
pub(super) fn expected(profile: &Arc<Profile>, worked: &Worked) -> Vec<String> {
    let line = profile.for_line(LineSettings {
        line: "example".to_owned(),
        ..LineSettings::default()
    });
    decode_capture(&line, None, &worked.bytes)
        .iter()
        .flat_map(json_lines)
        .filter_map(|line| serde_json::from_str::<Json>(&line).ok())
        .map(|item| row(&item))
        .collect()
}

fn row(item: &Json) -> String {
    let pairs = KEYS.iter().filter_map(|key| {
        let value = item.get(*key)?;
        let value = match (value.as_str(), value.as_array()) {
            (Some(text), _) if !text.is_empty() || *key == "text" => string(text),
            (_, Some(all)) if !all.is_empty() => {
                let all = all.iter().filter_map(Json::as_str).map(string);
                format!("[{}]", all.collect::<Vec<_>>().join(", "))
            }
            (_, _) => return None,
        };
        Some(format!("{key} = {value}"))
    });
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// A TOML string.
pub(super) fn string(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
