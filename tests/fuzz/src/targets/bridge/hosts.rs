//! What hosts say.

use labwire::{
    host::{HostAnswer, Permanence, device_ack, hear, hear_page, pull_state},
    queue::Verdict,
};
use labwire_protocols::{
    charset::Charset,
    hl7::{
        Message,
        ack::{Answer, Outcome},
        header::peek,
    },
};

use super::laboratory::{MORNING, TUBES, inbound as given, site, undone};

use crate::targets::feed;

const FIRST: u64 = TUBES.unsigned_abs() + 1;

/// Orders of several kinds, which chance alone would take long to begin.
fn text_of(data: &[u8]) -> Vec<u8> {
    let kinds = [
        "OML^O21", "OML^O33", "ORM^O01", "ADT^A08", "ADT^A40", "OMG^O19", "QBP^Q11", "ACK",
    ];
    match data.split_first() {
        Some((first, rest)) if usize::from(first.wrapping_sub(b'a')) < kinds.len() => {
            let kind = kinds[usize::from(first.wrapping_sub(b'a'))];
            let start = format!("MSH|^~\\&|HIS|BV01|LABWIRE|XN|20260310||{kind}|7|P|2.5.1\r");
            [start.as_bytes(), rest].concat()
        }
        _ => data.to_vec(),
    }
}

pub(crate) fn inbound(data: &[u8]) {
    let raw = text_of(data);
    let again = raw.clone();
    let (first, second) = undone(move |db| {
        let first = hear(db, &site(), &given(FIRST, &again, true))?;
        let second = hear(db, &site(), &given(FIRST + 1, &again, true))?;
        let cut = hear(db, &site(), &given(FIRST + 2, &again, false))?;
        assert!(cut.replies.is_empty(), "a cut message is not answered");
        Ok((first, second))
    });
    for reply in &first.replies {
        let text = Charset::Latin1
            .decode(reply)
            .expect("every byte is a character of Latin 1");
        let (message, notes) = Message::parse(&text).expect("a reply is a message");
        assert!(notes.is_empty(), "{notes:?} in {text:?}");
        assert!(Answer::read(&message).is_ok(), "{text:?}");
    }
    // Known by its control id: what it did is not done again, and its answer is the one it got.
    let is_named = peek(&raw).is_some_and(|peeked| !peeked.control_id.is_empty());
    if is_named && !raw.starts_with(b"FHS") && !raw.starts_with(b"BHS") {
        let codes =
            |replies: &[Vec<u8>]| replies.iter().map(|reply| code(reply)).collect::<Vec<_>>();
        assert_eq!(
            codes(&first.replies),
            codes(&second.replies),
            "the same message, the same answer"
        );
    }
}

/// MSA-1 and MSA-2 of a reply.
fn code(reply: &[u8]) -> (String, String) {
    let text = Charset::Latin1
        .decode(reply)
        .unwrap_or_default()
        .into_owned();
    let Ok((message, _)) = Message::parse(&text) else {
        return Default::default();
    };
    let part = |path| message.query(path).unwrap_or_default().to_owned();
    (part("MSA-1"), part("MSA-2"))
}

pub(crate) fn orders(data: &[u8]) {
    // Bytes that are no page are made one: an order of a tube that is known.
    let page = match data.split_first() {
        Some((b'a', rest)) => {
            let text = feed::text(rest);
            format!("{{\"cursor\":\"9\",\"answer\":true,\"orders\":[{{{text}}}]}}").into_bytes()
        }
        _ => data.to_vec(),
    };
    undone(move |db| {
        let first = hear_page(db, &site(), &given(FIRST, &page, true))?;
        assert!(first.replies.len() <= 1, "a page has one answer");
        let second = hear_page(db, &site(), &given(FIRST + 1, &page, true))?;
        assert!(
            second.replies.is_empty(),
            "the same page again is not answered again"
        );
        let state = pull_state(db, "his")?;
        assert!(state.answers.len() <= 1);
        Ok(())
    });
}

pub(crate) fn answer(data: &[u8]) {
    for outcome in [
        Outcome::Accepted,
        Outcome::Error,
        Outcome::Rejected,
        Outcome::NotStored,
    ] {
        for ack in device_ack(data, outcome, "1", "2026") {
            let text = Charset::Latin1
                .decode(&ack)
                .expect("every byte is a character of Latin 1");
            assert!(
                Message::parse(&text).is_ok_and(|(_, notes)| notes.is_empty()),
                "{text:?}"
            );
        }
    }
    let text = match data.split_first() {
        Some((b'a', rest)) => {
            format!("MSH|^~\\&|||||||ACK|9|P|2.5.1\rMSA|{}", feed::text(rest))
        }
        _ => feed::text(data).into_owned(),
    };
    let Ok((message, _)) = Message::parse(&text) else {
        return;
    };
    let Ok(read) = Answer::read(&message) else {
        return;
    };
    let answer = HostAnswer {
        code: read.code_raw.to_owned(),
        errors: read.error_codes().map(u32::from).collect(),
        text: read.text.to_string(),
    };
    let is_positive = matches!(read.code_raw, "AA" | "CA");
    for permanence in [
        Permanence::default(),
        Permanence::new(Some(vec!["AR".to_owned(), "AA".to_owned()])),
    ] {
        let verdict = permanence.verdict(&answer);
        assert_eq!(
            matches!(verdict, Verdict::Accepted { .. }),
            is_positive,
            "{text:?}"
        );
    }
    std::hint::black_box(
        labwire::host::instant(message.header().time(), &jiff::tz::TimeZone::UTC)
            .map(|at| at - MORNING),
    );
}
