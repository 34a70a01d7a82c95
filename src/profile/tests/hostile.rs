//! No bytes can break the reader, and no result record disappears.

use std::ops::Range;

use proptest::prelude::*;

use super::{line, observations};
use crate::{
    model::Item,
    profile::{BUILT_IN, decode, decode_capture, digest_input, json_lines},
};

const ASTM: &str = "H|\\^&|||D\rP|1||7\rO|1|25||^^^A\rC|1|I|x\rR|1|^^^A|5.4|u||N||F\rC|1|I|y\r\
                    R|2|^^^B|<3|u\rM|1|z\rQ|1|^25||ALL\rO|2|26\rR|1|^^^A|----\rL|1|N\r";
const HL7: &str = "MSH|^~\\&|D||||20250115||ORU^R01|1|P|2.3.1\rPID|1||7\rOBR|1||25\rNTE|1||x\r\
                   OBX|1|NM|A||5.4|u||N|||F\rNTE|1||y\rOBX|2|SN|B||<^3\rOBX|3|ED|C||^Image^BMP^Base64^QQ==\r\
                   SPM|1|25\rOBR|2||26\rOBX|1|ST|A||----\rZXX|1\r";

/// As a LAW analyzer sends it: a control with its material, details and reagents behind results.
const LAW: &str = "MSH|^~\\&|D||||20250115||OUL^R22^OUL_R22|1|P|2.5.1|||NE|AL\rPID|1||7\rSPM|1|25||SER\r\
                   SAC|||25\rOBR||N1||A\rORC|SC|N1|||IP\rOBR||N2||A\rORC|SC|N2|||CM\r\
                   OBX|1|NM|A|1|5.4|u||N|||F\rOBX|2|CE|A|1|x||||||F\rTCD|A|^1^:^5\rINV|R|OK|SR\rNTE|1||y\r\
                   OBX|3|NM|B^^99X^S_RAW^^IHELAW|1|7||||||F\rSPM|2|C||SER|||||||Q\rSAC|||C\rINV|M|OK|CO\r\
                   OBR||\"\"||A\rORC|SC|\"\"|||CA\rOBX|1|NM|A|2|1||||||X\rZXX|1\r";
const SEEDS: [(&str, &str); 3] = [
    ("generic/astm", ASTM),
    ("generic/hl7", HL7),
    ("generic/law", LAW),
];

fn span(item: &Item) -> Option<Range<usize>> {
    match item {
        Item::Observation(one) => Some(one.span.clone()),
        Item::Image(one) => Some(one.span.clone()),
        Item::Device(one) => Some(one.span.clone()),
        Item::Incomplete(one) => Some(one.span.clone()),
        Item::Query(_) => None,
    }
}

/// Every line that begins like a result is the span of exactly one item, or lies in the span of a
/// part that could not be read.
fn nothing_vanishes(name: &str, raw: &[u8], is_complete: bool) -> Result<(), TestCaseError> {
    let decoded = decode(&line(name), None, raw, is_complete);
    prop_assert!(json_lines(&decoded).len() >= decoded.items.len());
    let start: &[u8] = if name.ends_with("hl7") || name.ends_with("law") {
        b"OBX|"
    } else {
        b"R|"
    };
    let mut at = 0;
    for row in raw.split(|byte| *byte == b'\r') {
        let own = at..at + row.len();
        at = own.end + 1;
        if !row.starts_with(start) || row.contains(&b'\n') {
            continue;
        }
        let holders = decoded.items.iter().filter_map(span);
        let holders = holders
            .filter(|span| span.start <= own.start && own.end <= span.end)
            .count();
        prop_assert_eq!(holders, 1, "{:?} in {:?}", own, decoded);
    }
    for one in observations(&decoded) {
        prop_assert!(one.span.end <= raw.len());
    }
    Ok(())
}

fn profiles() -> impl Strategy<Value = &'static str> {
    (0..BUILT_IN.len()).prop_map(|index| BUILT_IN[index].0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn any_bytes_are_survived(name in profiles(), raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        let line = line(name);
        let decoded = decode(&line, None, &raw, true);
        json_lines(&decoded);
        decode_capture(&line, None, &raw);
        digest_input(&raw, line.profile().device.protocol);
    }

    #[test]
    fn a_message_cut_anywhere_loses_no_result(cut in 0..=LAW.len(), is_complete: bool) {
        for (name, raw) in SEEDS {
            let raw = raw.as_bytes();
            nothing_vanishes(name, &raw[..cut.min(raw.len())], is_complete)?;
        }
    }

    #[test]
    fn a_message_with_changed_bytes_loses_no_result(
        changes in proptest::collection::vec((0..400usize, any::<u8>()), 1..12),
    ) {
        for (name, raw) in SEEDS {
            let mut raw = raw.as_bytes().to_vec();
            for (at, byte) in &changes {
                let at = at % raw.len();
                // The header's own delimiters decide what a result line is.
                if at > 8 {
                    raw[at] = *byte;
                }
            }
            nothing_vanishes(name, &raw, true)?;
        }
    }

    #[test]
    fn records_in_any_order_lose_no_result(order in proptest::collection::vec(0..24usize, 1..40)) {
        for (name, raw) in SEEDS {
            let rows: Vec<&str> = raw.split_inclusive('\r').collect();
            let mixed: String = order.iter().map(|index| rows[index % rows.len()]).collect();
            nothing_vanishes(name, mixed.as_bytes(), true)?;
        }
    }
}

#[test]
fn what_results_share_is_not_copied_without_limit() {
    let long = "7".repeat(3_000);
    let comments = format!("C|1|I|{}|G\r", "x".repeat(600)).repeat(10);
    let results = "R|1|^^^A|5\r".repeat(200);
    let raw = format!("H|\\^&\rP|1||{long}\rO|1|{long}\r{comments}{results}L|1|N\r");
    let decoded = decode(&line("generic/astm"), None, raw.as_bytes(), true);
    let found = observations(&decoded);
    assert_eq!(found.len(), 200);
    assert!(
        found
            .iter()
            .all(|one| one.comments.len() == 3 && one.patient.ids.is_empty())
    );
    assert_eq!(
        found[0].holds[0].reason.code(),
        "no-specimen",
        "a cut id would be another tube's"
    );
    assert_eq!(
        decoded.items.len(),
        200 + 7,
        "comments beyond the limit are events"
    );

    let raw = format!(
        "H|\\^&\rP|1\rO|1|25\rO|2|26|{}\r{results}L|1|N\r",
        "x".repeat(20_000)
    );
    let decoded = decode(&line("generic/astm"), None, raw.as_bytes(), true);
    let found = observations(&decoded);
    assert!(
        found.iter().all(|one| one.specimen.is_none()),
        "not the tube of the order before"
    );
    assert_eq!(decoded.items.len(), 200 + 2);
}

#[test]
fn a_query_for_more_tubes_than_a_rack_holds_says_so() {
    let raw = format!(
        "H|\\^&\rQ|1|{}||ALL||||||||O\rL|1|N\r",
        "^1\\".repeat(5_000)
    );
    let decoded = decode(&line("generic/astm"), None, raw.as_bytes(), true);
    assert!(matches!(
        &decoded.items[..],
        [Item::Query(_), Item::Incomplete(_)]
    ));
}

#[test]
fn details_behind_thousands_of_results_are_looked_for_in_bounds() {
    let results = "OBX|1|NM|A|1|5\r".repeat(4_000);
    let raw =
        format!("MSH|^~\\&|D||||1||OUL^R22|1|P|2.5.1\rSPM|1|25\rOBR|||A\r{results}TCD|A|^1^:^5\r");
    let decoded = decode(&line("generic/law"), None, raw.as_bytes(), true);
    let found = observations(&decoded);
    assert_eq!(found.len(), 4_000);
    let diluted = found.iter().filter(|one| one.dilution.is_some()).count();
    assert_eq!(diluted, 11, "a value and ten that belong to it");
}
