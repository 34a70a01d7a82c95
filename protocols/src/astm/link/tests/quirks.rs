//! What instruments do that the standard does not foresee.

use super::harness::{check, shown, wire};
use crate::{
    astm::link::{ChecksumRule, Deframed, Dialect, Refusal, deframe},
    wire::Commit,
};

fn prompt(rest: &str) {
    check(
        Dialect::default(),
        &format!("prompt \n in <ENQ> \n out <ACK> \n {rest}"),
    );
}

#[test]
fn a_frame_counts_from_its_second_checksum_digit() {
    let frame = wire("{1:H|\\^&<CR>}");
    let bare = shown(&frame[..frame.len() - 2]);
    prompt(&format!("in {bare} \n out <ACK> \n in <EOT>"));
    prompt(&format!(
        "in {bare}<LF>{bare}<CR> \n out <ACK><ACK> \n note 0104"
    ));
}

#[test]
fn a_lower_case_checksum_fits() {
    prompt("in <STX>7L|1|N<CR><ETX>0a<CR><LF> \n out <NAK> \n note 0103");
    prompt("in <STX>1P|1||||^^<CR><ETX>2f<CR><LF> \n out <NAK> \n note 0101");
    prompt(
        "in <STX>1H|\\^&|||3600796||||||||LIS2-A|20201111224031<CR><ETX>60<CR><LF> \n out <ACK>",
    );
    prompt(
        "in <STX>1H|\\^&|||STA_Satlellite_Max^CL78090115^1|||||||P|1|20191129115622<CR><ETX>fa<CR><LF> \n out <ACK>",
    );
}

#[test]
fn enq_again_before_the_first_frame_is_acknowledged_again() {
    prompt("in <ENQ><ENQ> \n out <ACK><ACK> \n note 0121 \n in {1:H|\\^&<CR>} \n out <ACK>");
}

#[test]
fn stray_replies_and_idle_bytes_are_ignored() {
    check(
        Dialect::default(),
        "in <ACK><ACK><FF><FF> \n note 0150 \n in <ENQ> \n out <ACK>",
    );
    prompt("in <ACK><ACK><FF>{1:H|\\^&<CR>} \n out <ACK> \n note 0126");
}

#[test]
fn a_session_without_frames_is_counted_and_nothing_else() {
    let bench = check(
        Dialect::default(),
        "in <ENQ><EOT> \n out <ACK> \n note 0124",
    );
    assert!(bench.commits.is_empty());
}

#[test]
fn line_feeds_in_the_text_end_no_frame_and_separate_records() {
    let bench = check(
        Dialect::default(),
        "prompt \n in <ENQ>{1:H|\\^&<LF>P|1<LF>L|1<LF>}{2:H|\\^&<CR><LF>C|1|a<LF>L|b<CR><LF>L|1<CR><LF>} \n out <ACK><ACK><ACK> \n note 0138",
    );
    let messages: Vec<_> = bench
        .commits
        .iter()
        .filter_map(|(_, commit)| match commit {
            Commit::Frame { messages, .. } => Some(messages.iter().map(|m| shown(&m.bytes))),
            Commit::Message(_) => None,
        })
        .flatten()
        .collect();
    assert_eq!(
        messages,
        [
            r"H|\^&<CR>P|1<CR>L|1<CR>",
            r"H|\^&<CR>C|1|a<LF>L|b<CR>L|1<CR>"
        ]
    );
}

/// What a frame sequence becomes with every commit at once.
fn messages(frames: &str) -> Vec<String> {
    let mut bench = super::harness::Bench::open(Dialect::default());
    bench.is_prompt = true;
    bench.handle(crate::wire::Input::Bytes(&wire(&format!(
        "<ENQ>{frames}<EOT>"
    ))));
    assert!(!bench.transmitted().contains("NAK"));
    let commits = bench
        .commits
        .into_iter()
        .flat_map(|(_, commit)| match commit {
            Commit::Frame { messages, .. } => messages,
            Commit::Message(received) => vec![received],
        });
    commits
        .map(|m| {
            format!(
                "{}{}",
                shown(&m.bytes),
                if m.is_complete { "" } else { " cut" }
            )
        })
        .collect()
}

#[test]
fn records_are_found_however_they_are_cut_into_frames() {
    for (frames, found) in [
        // Every record closed with ETB (cobas c111).
        (
            r"{1+H|\^&<CR>}{2+P|1<CR>}{3:L|1|N<CR>}",
            &[r"H|\^&<CR>P|1<CR>L|1|N<CR>"][..],
        ),
        // Cut inside a record, even between its letter and its delimiter.
        (
            r"{1+H|\^&<CR>P|}{2+1<CR>L}{3:|1|N<CR>}",
            &[r"H|\^&<CR>P|1<CR>L|1|N<CR>"],
        ),
        (r"{1+H}{2+|\^&<CR>L|1}{3:|N<CR>}", &[r"H|\^&<CR>L|1|N<CR>"]),
        // No CR at all: ETX ends a record.
        (r"{1:H|\^&}{2:P|1}{3:L}", &[r"H|\^&<CR>P|1<CR>L<CR>"]),
        // Several messages in one frame, and one over several.
        (
            r"{1:H|\^&<CR>L|1<CR>H|@^\<CR>L|1<CR>h|\^&<CR>}{2:l|1<CR>}",
            &[
                r"H|\^&<CR>L|1<CR>",
                r"H|@^\<CR>L|1<CR>",
                r"h|\^&<CR>l|1<CR>",
            ],
        ),
        // L variants.
        (
            r"{1:H|\^&<CR>L||N<CR>}{2:H|\^&<CR>L|16|N<CR>}",
            &[r"H|\^&<CR>L||N<CR>", r"H|\^&<CR>L|16|N<CR>"],
        ),
        // The field delimiter is the one H declares.
        (
            r"{1:H!\^&<CR>L|x<CR>L!1<CR>}",
            &[r"H!\^&<CR>L|x<CR>L!1<CR>"],
        ),
        // Without L, and without H.
        (
            r"{1:H|\^&<CR>P|1<CR>}{2:H|\^&<CR>L|1<CR>}",
            &[r"H|\^&<CR>P|1<CR> cut", r"H|\^&<CR>L|1<CR>"],
        ),
        (
            r"{1:P|1<CR>L|1<CR>}{2:H|\^&<CR>L|1<CR>}",
            &[r"P|1<CR>L|1<CR> cut", r"H|\^&<CR>L|1<CR>"],
        ),
        (r"{1:H|\^&<CR>P|1<CR>}", &[r"H|\^&<CR>P|1<CR> cut"]),
        (r"{1:H|\^&<CR>}{2+L|1}", &[r"H|\^&<CR>L|1 cut"]),
        (r"{1:<CR><LF>}", &[]),
    ] {
        assert_eq!(messages(frames), found, "{frames}");
    }
}

#[test]
fn checksum_rules_differ_by_line() {
    let wrong = r"<STX>1H|\^&<CR><ETX>00<CR><LF>";
    for (checksum, reply) in [
        (ChecksumRule::Strict, "<NAK>"),
        (ChecksumRule::Warn, "<ACK>"),
        (ChecksumRule::Off, "<ACK>"),
    ] {
        let dialect = Dialect {
            checksum,
            ..Dialect::default()
        };
        check(
            dialect,
            &format!("prompt \n in <ENQ>{wrong} \n out <ACK>{reply}"),
        );
    }
    let dialect = Dialect {
        checksum: ChecksumRule::Off,
        ..Dialect::default()
    };
    check(
        dialect,
        r"
        prompt
        in <ENQ><STX>1H|\^&<CR><ETX><CR><LF>
        out <ACK><ACK>
        in <STX>2P|1<CR><ETX><STX>3O|1<CR><ETX>
        out <ACK>
        wait 5
        out <ACK>
        in <STX>4L|1<CR><ETX><EOT>
        note 0134
        state Neutral
        ",
    );
}

#[test]
fn a_sender_that_does_not_wait_is_served_in_order() {
    check(
        Dialect::default(),
        r"
        in <ENQ>{1:H|\^&<CR>}{2:L|1<CR>}
        out <ACK>
        row #1 1.0 H|\^&<CR>
        durable
        out <ACK>
        row #2 1.1 L|1<CR> [H|\^&<CR>L|1<CR> complete]
        durable
        out <ACK>
        in <EOT>
        ",
    );
}

#[test]
fn frames_without_enq_open_a_session_where_the_line_says_so() {
    check(
        Dialect::default(),
        "in {1:H|\\^&<CR>} \n note 0127 \n state Neutral",
    );
    let dialect = Dialect {
        accepts_frames_without_enq: true,
        ..Dialect::default()
    };
    check(
        dialect,
        r"
        prompt
        in {1:H|\^&<CR>}{2:L|1<CR>}
        out <ACK><ACK>
        note 0128
        in {1:H|\^&|2<CR>}{3:P|1<CR>}{2:L|1<CR>}
        out <ACK><NAK><ACK>
        ",
    );
}

#[test]
fn records_without_frames_end_on_l_on_silence_or_with_the_line() {
    let dialect = Dialect {
        accepts_unframed: true,
        ..Dialect::default()
    };
    check(
        dialect,
        r"
        in Hello<CR>
        note 0126
        in H|\^&<CR><LF>P|1<LF>L|1<CR>
        message #1 2 H|\^&<CR>P|1<CR>L|1<CR> complete
        ",
    );
    let dialect = Dialect {
        accepts_unframed: true,
        ..Dialect::default()
    };
    check(
        dialect,
        r"
        in H|\^&<CR>L|1
        state Unframed
        deadline Receive 10s
        wait 10
        message #1 1 H|\^&<CR>L|1<CR> complete
        in H|\^&<CR>P|1<CR>
        wait 10
        message #2 2 H|\^&<CR>P|1<CR> incomplete
        in H|\^&<CR>P|1
        close
        message #3 3 H|\^&<CR>P|1<CR> incomplete
        ",
    );
}

#[test]
fn unframed_bytes_wait_in_the_port_while_the_store_is_behind() {
    let dialect = Dialect {
        accepts_unframed: true,
        ..Dialect::default()
    };
    let mut bench = super::harness::Bench::open(dialect);
    let message = wire("H|\\^&<CR>L|1<CR>");
    let before = bench.link_accepts();
    for _ in 0..10 {
        bench.handle(crate::wire::Input::Bytes(&message));
    }
    assert_eq!(bench.commits.len(), 4);
    assert!(bench.link_accepts() < before);
    bench.is_prompt = true;
    bench.handle(crate::wire::Input::Committed(
        crate::wire::CommitId(1),
        None,
    ));
    for id in 2..=4 {
        bench.handle(crate::wire::Input::Committed(
            crate::wire::CommitId(id),
            None,
        ));
    }
    assert_eq!((bench.commits.len(), bench.link_accepts()), (10, before));
}

fn found(capture: &[u8]) -> Vec<String> {
    let each = deframe(capture).into_iter().filter_map(|item| match item {
        Deframed::Message(m) => Some(format!(
            "{}{}",
            shown(&m.bytes),
            if m.is_complete { "" } else { " cut" }
        )),
        Deframed::Refused(refused) => Some(format!("at {}: {:?}", refused.offset, refused.reason)),
        Deframed::Note(_) => None,
    });
    each.collect()
}

#[test]
fn captures_are_read_framed_without_enq_and_unframed() {
    let whole = [r"H|\^&<CR>P|1<CR>L|1<CR>"];
    for capture in [
        r"<ENQ>{1:H|\^&<CR>}{2:P|1<CR>}{3:L|1<CR>}<EOT>",
        r"{1:H|\^&<CR>}{2:P|1<CR>}{3:L|1<CR>}",
        r"<EOT><LF><ENQ><LF>{1:H|\^&<CR>P|1<CR>L|1<CR>}<LF><LF><EOT><LF>",
        r"<ACK><ACK>{1:H|\^&<CR>P|1<CR>L|1<CR>}",
        r"H|\^&<CR>P|1<CR>L|1<CR>",
        r"H|\^&<LF>P|1<LF>L|1",
        r"# a comment<CR><LF><CR><LF>H|\^&<CR><LF>P|1<CR><LF>L|1<CR><LF>",
        r"1H|\^&<LF>2P|1<LF>3L|1<LF>",
    ] {
        assert_eq!(found(&wire(capture)), whole, "{capture}");
    }
    assert_eq!(found(b"\xEF\xBB\xBFH|\\^&\nL|1\n"), [r"H|\^&<CR>L|1<CR>"]);
    assert_eq!(found(b""), Vec::<String>::new());
}

#[test]
fn a_capture_with_a_wrong_checksum_says_where_and_what_was_expected() {
    let capture = wire(r"<ENQ><STX>1H|\^&<CR>L|1<CR><ETX>00<CR><LF>{2:H|\^&|2<CR>L|1<CR>}<EOT>");
    let items = deframe(&capture);
    let Some(Deframed::Refused(refused)) = items.first() else {
        panic!("{items:?}")
    };
    let expected = crate::astm::link::checksum(b"1H|\\^&\rL|1\r\x03");
    assert_eq!((refused.offset, refused.number), (1, Some(b'1')));
    assert_eq!(
        refused.reason,
        Refusal::Checksum {
            expected,
            actual: Some(*b"00")
        }
    );
    assert_eq!(
        found(&capture).last().map(String::as_str),
        Some(r"H|\^&|2<CR>L|1<CR>")
    );
}

#[test]
fn a_capture_that_ends_inside_a_frame_says_so() {
    assert_eq!(
        found(&wire(r"<ENQ>{1:H|\^&<CR>}<STX>2P|1")),
        ["at 14: Cut", r"H|\^&<CR> cut"]
    );
}

#[test]
fn a_capture_printed_with_carets_is_read() {
    let printed = b"^E^B1H|`^&||||||||||P|E 1394-97|20200528184520\nL|1|N\n^C73\n^D\n";
    let sum =
        crate::astm::link::checksum(b"1H|`^&||||||||||P|E 1394-97|20200528184520\rL|1|N\r\x03");
    assert_eq!(&sum, b"73");
    assert_eq!(
        found(printed),
        ["H|`^&||||||||||P|E 1394-97|20200528184520<CR>L|1|N<CR>"]
    );
}
