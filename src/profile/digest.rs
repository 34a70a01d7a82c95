//! What two transmissions of one message have in common.

use std::ops::Range;

use super::{LineProfile, Protocol, decode::result::instant};

/// The message with its own time and control id blanked (H.14 and H.3, MSH-7 and MSH-10): two
/// messages with equal results of this function, on one line within the time that a device may
/// repeat itself, are one message sent twice.
pub fn digest_input(raw: &[u8], protocol: Protocol) -> Vec<u8> {
    // Counted in delimiters passed: MSH-7 lies behind the sixth, H.14 behind the thirteenth.
    let (name, fields): (&[u8], [usize; 2]) = match protocol {
        Protocol::Astm => (b"H", [2, 13]),
        Protocol::Hl7 => (b"MSH", [6, 9]),
        // Their messages have neither.
        Protocol::BeckmanAu | Protocol::Dimension | Protocol::Bci | Protocol::SysmexLegacy => {
            return raw.to_vec();
        }
        Protocol::Poct1a => return without_header(raw),
    };
    let mut out = Vec::with_capacity(raw.len());
    let mut kept_to = 0;
    for line in lines(raw) {
        let bytes = raw.get(line.clone()).unwrap_or_default();
        let Some(mark) = bytes.strip_prefix(name).and_then(|rest| rest.first()) else {
            continue;
        };
        for blank in blanks(bytes, *mark, fields) {
            let start = line.start + blank.start;
            out.extend_from_slice(raw.get(kept_to..start).unwrap_or_default());
            kept_to = line.start + blank.end;
        }
    }
    out.extend_from_slice(raw.get(kept_to..).unwrap_or_default());
    out
}

/// When a message says that it was written (H.14, MSH-7), microseconds since 1970: by the device's own
/// clock, in the line's zone where it names none. `None` where it says no whole time, and on wires whose
/// messages have none.
pub fn written_at(line: &LineProfile, raw: &[u8]) -> Option<i64> {
    let (name, field): (&[u8], usize) = match line.profile.device.protocol {
        Protocol::Astm => (b"H", 13),
        Protocol::Hl7 => (b"MSH", 6),
        Protocol::BeckmanAu
        | Protocol::Dimension
        | Protocol::Bci
        | Protocol::SysmexLegacy
        | Protocol::Poct1a => return None,
    };
    let header = lines(raw).find_map(|line| raw.get(line)?.strip_prefix(name))?;
    let mark = header.first()?;
    let time = header.split(|byte| byte == mark).nth(field)?;
    instant(std::str::from_utf8(time).ok()?, line.settings.zone.as_ref())
}

/// A POCT1-A message without its `HDR`, which has nothing but its own time and control id.
fn without_header(raw: &[u8]) -> Vec<u8> {
    let find = |wanted: &[u8]| {
        let mut windows = raw.windows(wanted.len());
        windows.position(|window| window == wanted)
    };
    let (start, end) = (find(b"<HDR>"), find(b"</HDR>"));
    match start.zip(end).filter(|(start, end)| start < end) {
        Some((start, end)) => {
            let before = raw.get(..start).unwrap_or_default();
            [before, raw.get(end..).unwrap_or_default()].concat()
        }
        None => raw.to_vec(),
    }
}

/// Where the lines lie, without their ends.
fn lines(raw: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    raw.split(|byte| matches!(byte, b'\r' | b'\n'))
        .map(move |line| {
            let range = start..start + line.len();
            start = range.end + 1;
            range
        })
}

/// Where the two fields lie in a header.
fn blanks(bytes: &[u8], mark: u8, fields: [usize; 2]) -> Vec<Range<usize>> {
    let mut start = 0;
    let ranges = bytes.split(|byte| *byte == mark).map(move |field| {
        let range = start..start + field.len();
        start = range.end + 1;
        range
    });
    let counted = ranges
        .enumerate()
        .filter(|(number, _)| fields.contains(number));
    counted.map(|(_, range)| range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{LineSettings, tests::profile};

    #[track_caller]
    fn check(protocol: Protocol, raw: &str, expected: &str) {
        let found = digest_input(raw.as_bytes(), protocol);
        assert_eq!(std::str::from_utf8(&found), Ok(expected));
    }

    #[test]
    fn time_and_control_id_do_not_make_another_message() {
        check(
            Protocol::Astm,
            "H|\\^&|42|pw|XN^1|||||||P|1|20250115103000\rR|1|^^^A|5\rL|1|N\r",
            "H|\\^&||pw|XN^1|||||||P|1|\rR|1|^^^A|5\rL|1|N\r",
        );
        check(
            Protocol::Hl7,
            "MSH|^~\\&|A|B|C|D|20250115||ORU^R01|77|P|2.3.1\rOBX|1\r",
            "MSH|^~\\&|A|B|C|D|||ORU^R01||P|2.3.1\rOBX|1\r",
        );
    }

    #[test]
    fn a_poct1a_message_sent_in_a_new_conversation_is_the_same() {
        let message = |header: &str| format!("<OBS.R01>{header}<SVC/></OBS.R01>");
        for header in ["<HDR><HDR.control_id V=\"7\"/></HDR>", "<HDR></HDR>"] {
            let raw = message(header);
            check(Protocol::Poct1a, &raw, &message("</HDR>"));
        }
        check(
            Protocol::Poct1a,
            "<OBS.R01><SVC/></OBS.R01>",
            "<OBS.R01><SVC/></OBS.R01>",
        );
    }

    #[test]
    fn a_message_says_when_it_was_written() {
        let at = |name: &str, raw: &str| {
            let line = profile(name).for_line(LineSettings {
                zone: Some(jiff::tz::TimeZone::fixed(jiff::tz::offset(7))),
                ..LineSettings::default()
            });
            written_at(&line, raw.as_bytes())
        };
        let morning = Some(1_736_911_800_000_000);
        let astm = "H|\\^&|42|pw|XN^1|||||||P|1|20250115103000\rL|1|N\r";
        assert_eq!(at("generic/astm", astm), morning);
        let hl7 = "MSH|^~\\&|A|B|C|D|20250115103000||ORU^R01|77|P|2.3.1\r";
        assert_eq!(at("generic/hl7", hl7), morning);
        for none in [
            "H|\\^&|42\r",
            "H|\\^&|||||||||||P|1|20250115\r",
            "R|1\r",
            "",
        ] {
            assert_eq!(at("generic/astm", none), None, "{none}");
        }
    }

    #[test]
    fn everything_else_does() {
        check(Protocol::Astm, "R|1|^^^A|5\r", "R|1|^^^A|5\r");
        check(Protocol::Astm, "H|\\^&\rR|1|H|\r", "H|\\^&\rR|1|H|\r");
        check(
            Protocol::Hl7,
            "MSH|^~\\&|A\rMSA|AA|1\r",
            "MSH|^~\\&|A\rMSA|AA|1\r",
        );
    }
}
