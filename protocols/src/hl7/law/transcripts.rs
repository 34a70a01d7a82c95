//! The messages by hand that the tests share, by their control id.

use crate::hl7::message::tests::samples;

/// Messages of our own, besides those of the chapter.
const OWN_SAMPLES: &str = include_str!("samples.hl7");

/// All messages of the chapter and of our own, segments ended with CR.
pub(super) fn transcripts() -> Vec<String> {
    let own = OWN_SAMPLES.split("\n\n");
    let own = own.map(|sample| sample.trim_end().replace('\n', "\r") + "\r");
    samples().into_iter().chain(own).collect()
}

/// The message with this MSH-10.
#[track_caller]
pub(super) fn transcript(control_id: &str) -> String {
    let field = format!("|{control_id}|P|");
    let mut found = transcripts()
        .into_iter()
        .filter(|text| text.contains(&field));
    let only = found.next().expect("a message of this control id");
    assert_eq!(found.next(), None, "{control_id} is there twice");
    only
}

/// The codes of notes, in order.
pub(super) fn codes(notes: &[crate::wire::Note]) -> Vec<&'static str> {
    notes.iter().map(|note| note.code).collect()
}
