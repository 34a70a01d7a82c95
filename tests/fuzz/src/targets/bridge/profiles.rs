//! Profiles, and messages read by every one of them.

use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

use labwire::{
    config::render,
    model::Item,
    profile::{
        BUILT_IN, Decoded, LineProfile, LineSettings, OrderForDevice, Profile, Protocol, Stamp,
        answer, decode, decode_capture, digest_input, download, json_lines, load, run_examples,
    },
};

use super::laboratory::catalogue;
use crate::targets::feed::{self, Feed};

const ASTM: &str =
    "H|\\^&|||D\rP|1||7\rO|1|25||^^^A\rR|1|^^^A|5.4|u||N||F\rQ|1|^25||ALL\rR|2|^^^B|<3|u\rL|1|N\r";
const HL7: &str = "MSH|^~\\&|D||||20250115||ORU^R01|1|P|2.3.1\rPID|1||7\rOBR|1||25\r\
                   OBX|1|NM|A||5.4|u||N|||F\rOBX|2|SN|B||<^3\r";

fn line_of(profile: Profile) -> LineProfile {
    Arc::new(profile).for_line(LineSettings {
        line: "line-1".to_owned(),
        ..LineSettings::default()
    })
}

fn lines() -> &'static [LineProfile] {
    static READ: OnceLock<Vec<LineProfile>> = OnceLock::new();
    READ.get_or_init(|| {
        let built_in = BUILT_IN.iter().map(|(name, text)| {
            let (profile, problems) = load(name, text);
            line_of(profile.unwrap_or_else(|| panic!("{}", render(&problems, false))))
        });
        built_in.collect()
    })
}

fn span(item: &Item) -> Option<Range<usize>> {
    match item {
        Item::Observation(one) => Some(one.span.clone()),
        Item::Image(one) => Some(one.span.clone()),
        Item::Device(one) => Some(one.span.clone()),
        Item::Incomplete(one) => Some(one.span.clone()),
        Item::Query(_) => None,
    }
}

fn in_bounds(decoded: &Decoded, raw: &[u8]) {
    assert!(json_lines(decoded).len() >= decoded.items.len());
    for span in decoded.items.iter().filter_map(span) {
        assert!(
            span.start <= span.end && span.end <= raw.len(),
            "{span:?} of {}",
            raw.len()
        );
    }
}

/// Every row that begins like a result is in exactly one item. Only for profiles that take every
/// record as the standard has it.
fn nothing_vanishes(decoded: &Decoded, raw: &[u8], start: &[u8]) {
    let mut at = 0;
    for row in raw.split(|byte| *byte == b'\r') {
        let own = at..at + row.len();
        at = own.end + 1;
        if !row.starts_with(start) || row.contains(&b'\n') {
            continue;
        }
        let holders = decoded.items.iter().filter_map(span);
        let count = holders
            .filter(|span| span.start <= own.start && own.end <= span.end)
            .count();
        assert_eq!(count, 1, "{own:?} in {decoded:?}");
    }
}

pub(crate) fn decode_by_any(data: &[u8]) {
    let mut feed = Feed(data);
    let line = feed.pick(lines());
    let how = feed.byte();
    let raw = feed.0;
    let catalogue = catalogue();
    let known: &dyn labwire::profile::Catalogue = &*catalogue;
    let decoded = decode(line, (how & 1 == 1).then_some(known), raw, how & 2 == 2);
    in_bounds(&decoded, raw);
    digest_input(raw, line.profile().device.protocol);
    if how & 4 == 4 {
        decode_capture(line, None, raw);
    }
    match line.profile().name.as_str() {
        "generic/astm" if raw.starts_with(b"H|\\^&") => nothing_vanishes(&decoded, raw, b"R|"),
        "generic/hl7" | "generic/law" if raw.starts_with(b"MSH|^~\\&|") => {
            nothing_vanishes(&decoded, raw, b"OBX|");
        }
        _ => {}
    }
    answered(line, &decoded);
}

fn answered(line: &LineProfile, decoded: &Decoded) {
    let order = OrderForDevice {
        specimen: "25".to_owned(),
        tests: vec!["A".to_owned()],
        ..OrderForDevice::default()
    };
    let stamp = Stamp {
        now: "20260310150000".to_owned(),
        offset: "+0700".to_owned(),
        control_id: "LW1".to_owned(),
    };
    for item in &decoded.items {
        let Item::Query(query) = item else { continue };
        let Ok(messages) = answer(line, query, std::slice::from_ref(&order), &stamp) else {
            continue;
        };
        for message in messages {
            assert!(!message.is_empty());
            // An answer of ours is no query and no result.
            if line.profile().device.protocol == Protocol::Astm {
                assert!(message.starts_with(b"H"), "{message:?}");
            }
        }
    }
    if let Ok(messages) = download(line, &[order], &stamp) {
        assert!(messages.iter().all(|message| !message.is_empty()));
    }
}

pub(crate) fn file(data: &[u8]) {
    let text = feed::text(data);
    let (profile, problems) = load("test/profile", &text);
    for problem in problems.iter() {
        let end = problem.span.as_ref().map_or(0, |span| span.end);
        assert!(end <= text.len(), "{problem:?}");
    }
    assert_eq!(render(&problems, false).is_empty(), problems.is_empty());
    assert!(profile.is_some() || problems.has_errors());
    let Some(profile) = profile else { return };
    let line = line_of(profile);
    for raw in [ASTM, HL7, &text] {
        in_bounds(&decode(&line, None, raw.as_bytes(), true), raw.as_bytes());
    }
    if line.profile().examples.len() < 4 {
        std::hint::black_box(run_examples(line.profile()));
    }
}
