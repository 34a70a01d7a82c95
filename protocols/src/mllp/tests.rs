use proptest::prelude::*;

use super::*;
use crate::wire::OutgoingKind;

const SECOND: u64 = 1_000_000;

/// A machine under test, and everything it said, as text.
struct Bench {
    machine: Endpoint,
    now: Mono,
    said: Vec<String>,
}

fn shown(bytes: &[u8]) -> String {
    let mut text = String::new();
    for &byte in bytes {
        match byte {
            0x0B => text.push_str("<VT>"),
            0x1C => text.push_str("<FS>"),
            0x0D => text.push_str("<CR>"),
            0x20..=0x7E => text.push(char::from(byte)),
            _ => text.push_str(&format!("<{byte:02X}>")),
        }
    }
    text
}

fn line(output: &Output) -> String {
    match output {
        Output::Transmit(bytes) => format!("transmit {}", shown(bytes)),
        Output::Commit(id, Commit::Message(received)) => {
            let cut = if received.is_complete { "" } else { " cut" };
            format!(
                "commit {} block {}{cut} {}",
                id.0,
                received.session,
                shown(&received.bytes)
            )
        }
        Output::Note(note) => format!("note {}", note.code),
        Output::Finished(id, SendOutcome::Answered(bytes)) => {
            format!("finished {} answered {}", id.0, shown(bytes))
        }
        Output::Finished(id, outcome) => format!("finished {} {outcome:?}", id.0),
        Output::Close(reason) => format!("close {reason:?}"),
        other => format!("{other:?}"),
    }
}

impl Bench {
    fn new(config: Config) -> Self {
        Self {
            machine: Endpoint::new(config),
            now: Mono::default(),
            said: Vec::new(),
        }
    }

    fn open(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.put(Input::Opened);
        bench
    }

    fn put(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll() {
            self.said.push(line(&output));
        }
    }

    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.put(Input::Bytes(bytes));
        self
    }

    fn committed(&mut self, id: u64, reply: &str) -> &mut Self {
        let reply = Some(Bytes::copy_from_slice(reply.as_bytes())).filter(|r| !r.is_empty());
        self.put(Input::Committed(CommitId(id), reply));
        self
    }

    fn failed(&mut self, id: u64, reply: Option<&'static str>) -> &mut Self {
        let reply = reply.map(|reply| Bytes::from_static(reply.as_bytes()));
        self.put(Input::CommitFailed(CommitId(id), reply));
        self
    }

    fn send(&mut self, id: u64, payload: &str) -> &mut Self {
        self.put(Input::Send(OutId(id), outgoing(payload.as_bytes())));
        self
    }

    fn wait(&mut self, micros: u64) -> &mut Self {
        let until = self.now.as_micros() + micros;
        while let Some((at, _)) = self
            .machine
            .deadline()
            .filter(|(at, _)| at.as_micros() <= until)
        {
            self.now = at.max(self.now);
            self.put(Input::Deadline);
        }
        self.now = Mono::from_micros(until);
        self
    }

    #[track_caller]
    fn says(&mut self, expected: &[&str]) -> &mut Self {
        assert_eq!(std::mem::take(&mut self.said), expected);
        self
    }
}

fn outgoing(payload: &[u8]) -> Outgoing {
    Outgoing {
        payload: Bytes::copy_from_slice(payload),
        kind: OutgoingKind::Download,
        expires_after: None,
    }
}

fn message(id: &str) -> String {
    format!("MSH|^~\\&|A|B|C|D|1||ORU^R01|{id}|P|2.5.1\r")
}

fn asking(id: &str, accept: &str, application: &str) -> String {
    format!("MSH|^~\\&|A|B|C|D|1||OML^O21|{id}|P|2.5.1|||{accept}|{application}\r")
}

fn reply(code: &str, to: &str) -> String {
    format!("MSH|^~\\&|C|D|A|B|1||ACK|R{to}|P|2.5.1\rMSA|{code}|{to}\r")
}

fn block(content: &str) -> Vec<u8> {
    frame(content.as_bytes()).to_vec()
}

#[test]
fn a_message_is_committed_before_its_reply_is_sent() {
    let mut bench = Bench::open(Config::default());
    bench
        .bytes(b"\x0BMSH|^~\\&|A\r\x1C\r")
        .says(&["commit 1 block 1 MSH|^~\\&|A<CR>"]);
    bench
        .committed(1, "MSH|ok\r")
        .says(&["transmit <VT>MSH|ok<CR><FS><CR>"]);
    bench
        .bytes(b"\x0BMSH|^~\\&|B\r\x1C\r")
        .says(&["commit 2 block 2 MSH|^~\\&|B<CR>"]);
    bench.committed(2, "").says(&[]);
}

#[test]
fn a_failed_commit_gives_the_negative_reply_or_ends_the_line() {
    let mut bench = Bench::open(Config::default());
    bench
        .bytes(b"\x0Ba\x1C\r\x0Bb\x1C\r")
        .says(&["commit 1 block 1 a", "commit 2 block 2 b"]);
    bench.failed(2, None).says(&[]);
    bench
        .failed(1, Some("no"))
        .says(&["transmit <VT>no<FS><CR>", "close NotDurable"]);
    assert_eq!(
        (bench.machine.state(), bench.machine.accepts()),
        ("Closing", 0)
    );
    bench.bytes(b"\x0Bc\x1C\r").says(&[]);
}

#[test]
fn a_reply_waits_for_the_replies_before_it() {
    let mut bench = Bench::open(Config::default());
    bench
        .bytes(b"\x0Ba\x1C\r\x0Bb\x1C\r\x0Bc\x1C\r")
        .said
        .clear();
    bench.committed(3, "3").committed(2, "").says(&[]);
    bench
        .committed(1, "1")
        .says(&["transmit <VT>1<FS><CR>", "transmit <VT>3<FS><CR>"]);
}

#[test]
fn no_more_is_read_than_the_store_may_lag_behind() {
    let mut bench = Bench::open(Config {
        pending_commits_max: 2,
        ..Config::default()
    });
    bench.bytes(b"\x0Ba\x1C\r\x0Bb\x1C\r\x0Bc\x1C\r\x0Bd");
    bench.says(&["commit 1 block 1 a", "commit 2 block 2 b"]);
    assert_eq!(
        (bench.machine.accepts(), bench.machine.state()),
        (0, "Waiting for the store")
    );
    bench.committed(2, "2").says(&[]);
    bench.committed(1, "1").says(&[
        "transmit <VT>1<FS><CR>",
        "transmit <VT>2<FS><CR>",
        "commit 3 block 3 c",
    ]);
    assert_eq!(
        (bench.machine.accepts(), bench.machine.state()),
        (READ_BYTES, "In block")
    );
}

#[test]
fn bytes_outside_blocks_are_noted_once_a_run() {
    let mut bench = Bench::open(Config::default());
    bench
        .bytes(b"xy")
        .bytes(b"z\x0Ba\x1C\r\r\n")
        .bytes(b"\n\x0Bb\x1C\r");
    bench.says(&[
        "note MLLP-0101",
        "commit 1 block 1 a",
        "note MLLP-0101",
        "commit 2 block 2 b",
    ]);
}

#[test]
fn a_careless_end_of_block_is_tolerated_and_noted() {
    let mut bench = Bench::open(Config::default());
    bench
        .bytes(b"\x0Ba\x1C\n")
        .says(&["note MLLP-0103", "commit 1 block 1 a"]);
    bench.bytes(b"\x0Bb\x1C").wait(SECOND - 1).says(&[]);
    bench
        .wait(1)
        .says(&["note MLLP-0104", "commit 2 block 2 b"]);
    bench.bytes(b"\x0Bc\x1C\x0Bd\x1C\r");
    bench.says(&["note MLLP-0104", "commit 3 block 3 c", "commit 4 block 4 d"]);
    bench
        .bytes(b"\x0Be\x1Cf\x1C\r")
        .says(&["note MLLP-0105", "commit 5 block 5 e<FS>f"]);
    bench.bytes(b"\x0B\x1C\r").says(&["note MLLP-0107"]);
}

#[test]
fn a_strict_line_knows_one_end_only() {
    let tolerance = Tolerance {
        fs_lf: false,
        fs_alone: None,
        no_fs: None,
    };
    let mut bench = Bench::open(Config {
        tolerance,
        ..Config::default()
    });
    bench
        .bytes(b"\x0Ba\x1C\nb\x1C")
        .wait(60 * SECOND)
        .says(&["note MLLP-0105"]);
    bench.bytes(b"\r").says(&["commit 1 block 1 a<FS><0A>b"]);
}

#[test]
fn a_cut_block_is_kept_marked_and_never_answered() {
    let mut bench = Bench::open(Config::default());
    bench.bytes(b"\x0Bhal\x0Bwhole\x1C\r");
    bench.says(&[
        "note MLLP-0102",
        "commit 1 block 1 cut hal",
        "commit 2 block 2 whole",
    ]);
    bench.committed(1, "yes").says(&["note MLLP-0206"]);
    bench
        .committed(2, "yes")
        .says(&["transmit <VT>yes<FS><CR>"]);
    bench.bytes(b"\x0Bhal").put(Input::Closed);
    bench.says(&["note MLLP-0108", "commit 3 block 3 cut hal"]);
    bench.committed(3, "yes").says(&["note MLLP-0204"]);

    let mut bench = Bench::open(Config {
        keeps_cut_blocks: false,
        ..Config::default()
    });
    bench
        .bytes(b"\x0Bhal\x0Bwhole\x1C\r")
        .says(&["note MLLP-0102", "commit 1 block 1 whole"]);
}

#[test]
fn a_device_without_fs_ends_its_blocks_by_silence() {
    let tolerance = Tolerance {
        no_fs: Some(Duration::from_millis(500)),
        ..Tolerance::default()
    };
    let mut bench = Bench::open(Config {
        tolerance,
        ..Config::default()
    });
    bench
        .bytes(b"\x0Ba\r")
        .wait(SECOND / 4)
        .bytes(b"b\r")
        .wait(SECOND / 2 - 1)
        .says(&[]);
    assert_eq!(
        bench.machine.deadline().map(|(_, timer)| timer),
        Some(Timer::InterByte)
    );
    bench
        .wait(1)
        .says(&["note MLLP-0106", "commit 1 block 1 a<CR>b<CR>"]);
    bench
        .bytes(b"\x0Bc\r\x0Bd")
        .says(&["note MLLP-0106", "commit 2 block 2 c<CR>"]);
    bench.put(Input::Closed);
    bench.says(&["note MLLP-0106", "commit 3 block 3 cut d"]);
}

#[test]
fn silence_while_the_store_is_behind_ends_no_block() {
    let tolerance = Tolerance {
        no_fs: Some(Duration::from_millis(500)),
        ..Tolerance::default()
    };
    let config = Config {
        tolerance,
        pending_commits_max: 1,
        ..Config::default()
    };
    let mut bench = Bench::open(config);
    bench
        .bytes(b"\x0Ba\x1C\r\x0Bb\r")
        .wait(10 * SECOND)
        .says(&["commit 1 block 1 a"]);
    bench.committed(1, "").wait(SECOND / 4).says(&[]);
    bench
        .bytes(b"c\r")
        .wait(SECOND)
        .says(&["note MLLP-0106", "commit 2 block 2 b<CR>c<CR>"]);
}

#[test]
fn a_block_over_the_limit_ends_the_line() {
    let mut bench = Bench::open(Config {
        block_bytes_max: 4,
        ..Config::default()
    });
    bench
        .bytes(b"\x0B1234\x1C\r")
        .says(&["commit 1 block 1 1234"]);
    bench
        .bytes(b"\x0B12345")
        .says(&["note MLLP-0208", "close ReceiveOverflow"]);
    bench.put(Input::Closed);
    bench.put(Input::Opened);
    bench.bytes(b"\x0B12\x1C\r").says(&["commit 2 block 2 12"]);
}

#[test]
fn only_the_reply_that_names_our_message_finishes_it() {
    let mut bench = Bench::open(Config::default());
    bench.send(7, &message("M1"));
    assert_eq!(std::mem::take(&mut bench.said).len(), 1);
    bench
        .bytes(&block(&reply("AA", "M2")))
        .says(&["note MLLP-0201"]);
    bench
        .bytes(&block(&reply("AA", "")))
        .says(&["note MLLP-0201"]);
    bench.bytes(&block("MSH|^~\\&|C|D|A|B|1||ACK|M1|P|2.5.1\r"));
    assert!(
        bench.said.remove(0).starts_with("commit 1 "),
        "no MSA: a message, whatever it says"
    );
    bench.bytes(&block(&reply("AE", "M1")));
    bench.says(&[&format!(
        "finished 7 answered {}",
        shown(reply("AE", "M1").as_bytes())
    )]);
    bench
        .bytes(&block(&reply("AA", "M1")))
        .says(&["note MLLP-0201"]);
}

#[test]
fn a_result_that_carries_msa_is_still_a_result() {
    let mut bench = Bench::open(Config::default());
    let content = "MSH|^~\\&|A|B|C|D|1||ORU^R01|9|P|2.3.1\rMSA|AA|77\rOBX|1\r";
    bench
        .bytes(&block(content))
        .says(&[&format!("commit 1 block 1 {}", shown(content.as_bytes()))]);
}

#[test]
fn messages_wait_for_the_answer_to_the_one_before() {
    let mut bench = Bench::open(Config::default());
    bench.send(1, &message("M1")).send(2, &message("M2"));
    assert_eq!(std::mem::take(&mut bench.said).len(), 1);
    bench.bytes(&block(&reply("AA", "M1")));
    assert!(
        bench
            .said
            .iter()
            .any(|said| said.starts_with("finished 1 answered"))
    );
    assert!(
        bench
            .said
            .iter()
            .any(|said| said.starts_with("transmit <VT>") && said.contains("M2"))
    );
}

#[test]
fn a_control_id_under_way_is_not_sent_a_second_time() {
    let mut bench = Bench::open(Config {
        in_flight_max: 5,
        ..Config::default()
    });
    bench
        .send(1, &message("M1"))
        .send(2, &message("M1"))
        .send(3, &message("M3"));
    assert_eq!(std::mem::take(&mut bench.said).len(), 1);
    bench.bytes(&block(&reply("AA", "M1")));
    assert_eq!(
        std::mem::take(&mut bench.said).len(),
        3,
        "the answer, and both that waited"
    );
}

#[test]
fn replies_are_matched_by_control_id_when_several_are_under_way() {
    let mut bench = Bench::open(Config {
        in_flight_max: 2,
        ..Config::default()
    });
    bench
        .send(1, &message("M1"))
        .send(2, &message("M2"))
        .said
        .clear();
    bench
        .bytes(&block(&reply("AA", "M2")))
        .bytes(&block(&reply("AA", "M1")));
    assert!(bench.said[0].starts_with("finished 2 "));
    assert!(bench.said[1].starts_with("finished 1 "));
}

#[test]
fn what_closes_a_message_is_what_it_asked_for() {
    for (closes, accept, application, ca_closes) in [
        (Closes::AsAsked, "AL", "AL", false),
        (Closes::AsAsked, "AL", "NE", true),
        (Closes::AsAsked, "NE", "AL", false),
        (Closes::AsAsked, "ER", "SU", true),
        (Closes::AsAsked, "", "", true),
        (Closes::FirstReply, "AL", "AL", true),
        (Closes::ApplicationReply, "AL", "NE", false),
    ] {
        let mut bench = Bench::open(Config {
            closes,
            ..Config::default()
        });
        bench
            .send(1, &asking("M1", accept, application))
            .said
            .clear();
        bench.wait(20 * SECOND).bytes(&block(&reply("CA", "M1")));
        assert_eq!(
            bench.said[0].starts_with("finished 1"),
            ca_closes,
            "{accept} {application}"
        );
        if !ca_closes {
            bench.says(&["note MLLP-0202"]).wait(29 * SECOND).says(&[]);
            bench.bytes(&block(&reply("AA", "M1")));
            assert!(bench.said[0].starts_with("finished 1 answered"));
        }
    }
}

#[test]
fn a_negative_commit_acknowledgement_is_the_last_word() {
    for code in ["CE", "CR"] {
        let mut bench = Bench::open(Config::default());
        bench.send(1, &asking("M1", "AL", "AL")).said.clear();
        bench.bytes(&block(&reply(code, "M1")));
        assert!(bench.said[0].starts_with("finished 1 answered"), "{code}");
    }
}

#[test]
fn what_asks_for_no_reply_is_finished_when_sent() {
    let mut bench = Bench::open(Config::default());
    let deferred = "MSH|^~\\&|C|D|A|B|1||ORL^O22|R1|P|2.5.1\rMSA|AA|M1\r";
    for payload in [asking("M1", "NE", "NE"), deferred.to_owned()] {
        bench.send(1, &payload);
        assert!(bench.said[0].starts_with("transmit "));
        assert_eq!(bench.said[1], "finished 1 Sent");
        bench.said.clear();
    }
    let dsr = "MSH|^~\\&|C|D|A|B|1||DSR^Q03|R1|P|2.3.1\rMSA|AA|M1\r";
    bench.send(2, dsr);
    assert_eq!(
        bench.said.len(),
        1,
        "a deferred query answer is itself acknowledged"
    );
}

#[test]
fn every_failure_has_its_own_name() {
    let mut bench = Bench::new(Config {
        queue_max: 2,
        ..Config::default()
    });
    bench
        .send(1, &message("M1"))
        .says(&["finished 1 Failed(LineLost)"]);
    bench.put(Input::Opened);
    for (id, payload) in [
        (2, "MSH|^~\\&|\x0B"),
        (3, "MSH|^~\\&|A|B|C|D|1||ORU|"),
        (4, "PID|1"),
        (5, "a\x1C"),
    ] {
        bench.send(id, payload);
        bench.says(&[&format!("finished {id} Failed(Unsendable)")]);
    }
    bench.send(6, &message("M6")).said.clear();
    bench
        .send(7, &message("M7"))
        .send(8, &message("M8"))
        .send(9, &message("M9"));
    bench.says(&["note MLLP-0207", "finished 9 Failed(Busy)"]);
    bench.put(Input::Withdraw(OutId(8)));
    bench.says(&["finished 8 Failed(Withdrawn)"]);
    bench.put(Input::Withdraw(OutId(6)));
    bench.says(&[]);
    let expires_after = Some(Duration::from_secs(2));
    let late = Outgoing {
        expires_after,
        ..outgoing(message("M10").as_bytes())
    };
    bench.put(Input::Send(OutId(10), late));
    assert_eq!(
        bench.machine.deadline(),
        Some((Mono::from_millis(2_000), Timer::Expiry))
    );
    bench
        .wait(2 * SECOND)
        .says(&["finished 10 Failed(Expired)"]);
    bench.wait(28 * SECOND - 1).says(&[]);
    bench.wait(1);
    assert_eq!(bench.said.remove(0), "finished 6 Failed(TimedOut)");
    assert!(bench.said.remove(0).contains("M7"));
    bench.put(Input::Closed);
    bench.says(&["finished 7 Failed(LineLost)"]);
}

#[test]
fn a_reply_that_would_break_the_frame_is_not_sent() {
    let mut bench = Bench::open(Config::default());
    bench.bytes(b"\x0Ba\x1C\r").said.clear();
    bench.committed(1, "x\x1C\ry").says(&["note MLLP-0205"]);
}

#[test]
fn release_two_control_blocks_are_no_messages() {
    let mut bench = Bench::open(Config::default());
    bench
        .bytes(b"\x0B\x06\x1C\r\x0B\x15\x1C\r")
        .says(&["note MLLP-0203", "note MLLP-0203"]);
}

/// One state a line can be in, as steps that lead there.
fn states() -> Vec<(&'static str, Bench)> {
    let one = Config {
        pending_commits_max: 1,
        ..Config::default()
    };
    let mut states = vec![
        ("closed", Bench::new(Config::default())),
        ("between blocks", Bench::open(Config::default())),
        ("in block", Bench::open(Config::default())),
        ("after FS", Bench::open(Config::default())),
        ("waiting for reply", Bench::open(Config::default())),
        ("commit pending", Bench::open(Config::default())),
        ("store behind, a block unread", Bench::open(one)),
        (
            "closing",
            Bench::open(Config {
                block_bytes_max: 200,
                ..Config::default()
            }),
        ),
    ];
    states[2].1.bytes(b"\x0Bab");
    states[3].1.bytes(b"\x0Bab\x1C");
    states[4].1.send(1, &message("M1"));
    states[5].1.bytes(b"\x0Bab\x1C\r");
    states[6].1.bytes(b"\x0Bab\x1C\r\x0Bcd\x1C\r");
    states[7].1.bytes(&block(&"x".repeat(201)));
    for (_, bench) in &mut states {
        bench.said.clear();
    }
    states
}

type Event = (&'static str, fn(&mut Bench));

const EVENTS: [Event; 17] = [
    ("Opened", |b| b.put(Input::Opened)),
    ("Bytes VT", |b| b.put(Input::Bytes(b"\x0B"))),
    ("Bytes FS", |b| b.put(Input::Bytes(b"\x1C"))),
    ("Bytes CR", |b| b.put(Input::Bytes(b"\r"))),
    ("Bytes LF", |b| b.put(Input::Bytes(b"\n"))),
    ("Bytes other", |b| b.put(Input::Bytes(b"x"))),
    ("Bytes a message", |b| {
        b.put(Input::Bytes(&block("MSH|^~\\&|Z\r")))
    }),
    ("Bytes the reply", |b| {
        b.put(Input::Bytes(&block(&reply("AA", "M1"))))
    }),
    ("Bytes a stranger's reply", |b| {
        b.put(Input::Bytes(&block(&reply("AA", "S"))))
    }),
    ("Deadline", |b| {
        b.now = Mono::from_millis(600_000);
        b.put(Input::Deadline);
    }),
    ("Committed with reply", |b| {
        b.committed(1, "ok");
    }),
    ("Committed without", |b| {
        b.committed(1, "");
    }),
    ("CommitFailed with reply", |b| {
        b.failed(1, Some("no"));
    }),
    ("CommitFailed without", |b| {
        b.failed(1, None);
    }),
    ("Send", |b| {
        b.send(2, "MSH|^~\\&|A|B|C|D|1||ORU|M2\r");
    }),
    ("Withdraw", |b| b.put(Input::Withdraw(OutId(1)))),
    ("Closed", |b| b.put(Input::Closed)),
];

#[test]
fn every_cell_of_state_and_event_is_frozen() {
    let mut table = String::new();
    for index in 0..states().len() {
        for (event, act) in EVENTS {
            let (name, mut bench) = states().remove(index);
            act(&mut bench);
            let timer = bench
                .machine
                .deadline()
                .map_or("-".to_owned(), |(_, t)| format!("{t:?}"));
            let said = if bench.said.is_empty() {
                "-".to_owned()
            } else {
                bench.said.join("; ")
            };
            let state = bench.machine.state();
            table.push_str(&format!(
                "{name} + {event} => {said} => {state}, timer {timer}\n"
            ));
        }
        table.push('\n');
    }
    insta::assert_snapshot!("mllp_state_event", table);
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(vec![VT]),
        Just(vec![FS]),
        Just(vec![b'\r']),
        Just(vec![b'\n']),
        Just(vec![FS, b'\r']),
        Just(b"ab\r".to_vec()),
        Just(block("MSH|^~\\&|Q\r")),
        Just(block(&reply("AA", "M1"))),
        Just(block(&reply("CA", "M2"))),
        proptest::collection::vec(any::<u8>(), 0..6),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn a_stream_means_the_same_however_it_is_split(
        bytes in stream(),
        cuts in proptest::collection::vec(1..40_usize, 1..40),
        pending in 1..4_usize,
    ) {
        // Both under way at once: else a reply could come in the same read as the one that let its
        // message go, before that message was sent.
        let config = Config {
            pending_commits_max: pending,
            block_bytes_max: 120,
            in_flight_max: 2,
            ..Config::default()
        };
        let run = |cuts: &[usize]| {
            let mut bench = Bench::open(config.clone());
            bench.send(1, &message("M1")).send(2, &asking("M2", "AL", "AL"));
            let mut rest = bytes.as_slice();
            let mut cuts = cuts.iter().cycle();
            let mut answered = 0;
            while !rest.is_empty() {
                let cut = (*cuts.next().unwrap()).min(rest.len());
                bench.put(Input::Bytes(&rest[..cut]));
                rest = &rest[cut..];
                // The store answers as soon as it is asked; each answer lets more be read.
                while let Some(id) = bench.said.iter().filter(|s| s.starts_with("commit")).count()
                    .checked_sub(answered).filter(|left| *left > 0).map(|_| answered + 1)
                {
                    answered = id;
                    bench.committed(u64::try_from(id).unwrap(), "ok");
                }
            }
            bench.put(Input::Closed);
            // What we write falls between what we read wherever the store happened to answer.
            let (mut sent, mut rest): (Vec<_>, Vec<_>) =
                bench.said.into_iter().partition(|said| said.starts_with("transmit"));
            sent.sort();
            rest.retain(|said| said != "note MLLP-0206");
            if rest.iter().any(|said| said.starts_with("close")) {
                sent.clear();
            }
            (sent, rest)
        };
        prop_assert_eq!(run(&[bytes.len().max(1)]), run(&cuts));
    }

    #[test]
    fn replies_leave_in_order_of_arrival(
        order in Just((1..=8_u64).collect::<Vec<_>>()).prop_shuffle(),
        silent in proptest::collection::vec(any::<bool>(), 8),
    ) {
        let mut bench = Bench::open(Config::default());
        let blocks: Vec<u8> = (1..=8).flat_map(|n| block(&format!("m{n}"))).collect();
        bench.bytes(&blocks).said.clear();
        let is_silent = |id: u64| silent[usize::try_from(id).unwrap() - 1];
        for &id in &order {
            bench.committed(id, &if is_silent(id) { String::new() } else { format!("r{id}") });
        }
        let expected: Vec<_> = (1..=8)
            .filter(|&id| !is_silent(id))
            .map(|id| format!("transmit <VT>r{id}<FS><CR>"))
            .collect();
        prop_assert_eq!(bench.said, expected);
    }
}
