//! The live wire of a line: the bytes, and beside them what they say.

use labwire_drivers::{CaptureEntry, Direction, LineHandle};
use maud::{Markup, html};

use crate::trace::visible;

use super::{
    App,
    page::{encoded, joined},
    words::{Words, rfc3339},
};

/// Portions shown when the page opens, and at most added at once: a page follows, it does not collect.
const PORTIONS_MAX: usize = 150;
/// Of a long portion so many characters are shown; the download has all.
const SHOWN_MAX: usize = 2_000;

/// The end of a line's capture that a page has seen.
pub(super) struct Tail {
    handle: LineHandle,
    last: Option<CaptureEntry>,
}

impl Tail {
    /// `None` where no line is asked for, or none of that name is there.
    pub(super) fn of(app: &App, line: &str) -> Option<Self> {
        let handle = app.parts.open.line(line)?;
        let last = handle.capture().pop();
        Some(Self { handle, last })
    }

    /// What came since, as rows of the list.
    pub(super) fn news(&mut self, words: Words) -> Option<String> {
        let entries = self.handle.capture();
        // An entry's bytes lie where they lie as long as anybody holds them: the same place is the
        // same entry, also among entries of one microsecond.
        let seen = self.last.as_ref().and_then(|last| {
            let is_last = |entry: &CaptureEntry| entry.bytes.as_ptr() == last.bytes.as_ptr();
            entries.iter().rposition(is_last)
        });
        let news = entries.get(seen.map_or(0, |at| at + 1)..)?;
        let newest = news.last()?.clone();
        let from = news.len().saturating_sub(PORTIONS_MAX);
        let rows: Vec<Markup> = news
            .get(from..)
            .unwrap_or_default()
            .iter()
            .map(|entry| row(words, entry))
            .collect();
        self.last = Some(newest);
        Some(joined(&rows).into_string())
    }
}

/// Pause, filter, download.
pub(super) fn controls(words: Words, line: &str) -> Markup {
    html! {
        div.controls {
            button type="button" id="pause" aria-pressed="false" data-on=(words.t("wire.go-on")) data-off=(words.t("wire.pause")) {
                (words.t("wire.pause"))
            }
            label for="filter" { (words.t("wire.filter")) }
            input id="filter" type="search" autocomplete="off" spellcheck="false";
            a.button href={ "/devices/" (encoded(line)) "/capture" } download { (words.t("wire.download")) }
        }
    }
}

/// The last portions of a line, oldest first; new ones are added at the end.
pub(super) fn list(words: Words, _: &App, handle: &LineHandle) -> Markup {
    let entries = handle.capture();
    let from = entries.len().saturating_sub(PORTIONS_MAX);
    html! {
        div.wire tabindex="0" role="log" aria-live="off" aria-label=(words.t("wire.title")) {
            div.wire-head aria-hidden="true" {
                span { (words.t("wire.time")) } span { (words.t("wire.way")) }
                span { (words.t("wire.bytes")) } span { (words.t("wire.says")) }
            }
            ol id="wire" sse-swap="wire" hx-swap="beforeend" {
                @for entry in entries.get(from..).unwrap_or_default() { (row(words, entry)) }
            }
        }
    }
}

fn row(words: Words, entry: &CaptureEntry) -> Markup {
    let (arrow, way) = match entry.direction {
        Direction::In => ("→", "wire.in"),
        Direction::Out => ("←", "wire.out"),
    };
    let text = visible(&entry.bytes);
    let mut shown: String = text.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    html! {
        li class=(if entry.direction == Direction::In { "in" } else { "out" }) {
            time.exact datetime=(rfc3339(entry.utc_micros)) { (clock(entry.utc_micros)) }
            span.way { span aria-hidden="true" { (arrow) } span.unseen { (words.t(way)) } }
            code { (shown) }
            span.says { (says(words, &entry.bytes)) }
        }
    }
}

/// Minutes, seconds and thousandths: what matters on a wire.
fn clock(micros: i64) -> String {
    let millis = micros.div_euclid(1_000);
    let seconds = millis.div_euclid(1_000);
    format!(
        "{:02}:{:02}.{:03}",
        seconds.div_euclid(60).rem_euclid(60),
        seconds.rem_euclid(60),
        millis.rem_euclid(1_000)
    )
}

/// What a portion says, as far as it can be told without the rest of its message.
fn says(words: Words, bytes: &[u8]) -> Markup {
    let told: Vec<String> = match bytes {
        [0x05] => vec![words.t("wire.enq")],
        [0x06] => vec![words.t("wire.ack")],
        [0x15] => vec![words.t("wire.nak")],
        [0x04] => vec![words.t("wire.eot")],
        _ => visible(bytes)
            .split(['\r', '\n'])
            .flat_map(|part| part.split("<CR>"))
            .filter_map(|record| meaning(words, record))
            .take(RECORDS_TOLD)
            .collect(),
    };
    html! { @for one in &told { span.record { (one) } } }
}

/// Records told of one portion.
const RECORDS_TOLD: usize = 40;

/// A record of ASTM or a segment of HL7, by its first field, with the fields that people look for.
fn meaning(words: Words, record: &str) -> Option<String> {
    let plain = record
        .trim_start_matches("<LF>")
        .trim_start_matches("<VT>")
        .trim_start_matches("<STX>");
    let fields: Vec<&str> = plain.split('|').collect();
    let first = *fields.first()?;
    let field = |at: usize| {
        let text = fields.get(at).copied().unwrap_or_default();
        text.split("<E").next().unwrap_or_default().trim()
    };
    let kind = first.trim_start_matches(|c: char| c.is_ascii_digit());
    let code = |text: &str| text.trim_start_matches('^').replace('^', " ");
    let told = |key: &str, particulars: String| Some(format!("{} {particulars}", words.t(key)));
    if fields.len() < 2 {
        return None;
    }
    match kind {
        "H" => told("wire.h", field(4).to_owned()),
        "P" | "PID" => told("wire.p", String::new()),
        "O" => told("wire.o", code(field(2))),
        "SPM" => told("wire.o", code(field(2))),
        "Q" => told("wire.q", code(field(2))),
        "R" => told(
            "wire.r",
            format!("{} = {} {}", code(field(2)), field(3), field(4)),
        ),
        "OBX" => told(
            "wire.r",
            format!("{} = {} {}", code(field(3)), field(5), code(field(6))),
        ),
        "C" | "NTE" => told("wire.c", field(3).to_owned()),
        "M" => told("wire.m", String::new()),
        "L" => told("wire.l", String::new()),
        "MSH" => told("wire.msh", code(field(8))),
        "MSA" => told("wire.msa", field(1).to_owned()),
        "ORC" => told("wire.orc", field(1).to_owned()),
        "OBR" => told("wire.obr", code(field(4))),
        _ => None,
    }
    .map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Language;

    #[test]
    fn what_a_portion_says_is_told_beside_it() {
        let words = Words(Language::En);
        let check = |bytes: &[u8], expected: &[&str]| {
            let told = says(words, bytes).into_string();
            for one in expected {
                assert!(told.contains(one), "{one} in {told}");
            }
        };
        check(b"\x05", &["wants to send"]);
        check(b"\x15", &["NAK"]);
        check(
            b"\x023R|1|^^^WBC|6.45|10*9/L||N||F\r\x03A2\r\n",
            &["Result WBC = 6.45 10*9/L"],
        );
        check(
            b"\x0bMSH|^~\\&|BC||||||ORU^R01|7|P\rOBX|1|NM|WBC||6.45|10*9/L\r\x1c\r",
            &["Message ORU R01", "WBC = 6.45"],
        );
        check(b"\x022<script>|x\r", &[]);
    }
}
