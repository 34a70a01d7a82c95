use super::*;
use crate::wire::OutgoingKind;

const SECOND: u64 = 1_000_000;

/// A machine under test, and everything it said, as text.
pub(super) struct Bench {
    pub(super) machine: Endpoint,
    pub(super) now: Mono,
    pub(super) said: Vec<String>,
}

pub(super) fn shown(bytes: &[u8]) -> String {
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

pub(super) fn line(output: &Output) -> String {
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
    pub(super) fn new(config: Config) -> Self {
        Self {
            machine: Endpoint::new(config),
            now: Mono::default(),
            said: Vec::new(),
        }
    }

    pub(super) fn open(config: Config) -> Self {
        let mut bench = Self::new(config);
        bench.put(Input::Opened);
        bench
    }

    pub(super) fn put(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
        while let Some(output) = self.machine.poll() {
            self.said.push(line(&output));
        }
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.put(Input::Bytes(bytes));
        self
    }

    pub(super) fn committed(&mut self, id: u64, reply: &str) -> &mut Self {
        let reply = Some(Bytes::copy_from_slice(reply.as_bytes())).filter(|r| !r.is_empty());
        self.put(Input::Committed(CommitId(id), reply));
        self
    }

    pub(super) fn failed(&mut self, id: u64, reply: Option<&'static str>) -> &mut Self {
        let reply = reply.map(|reply| Bytes::from_static(reply.as_bytes()));
        self.put(Input::CommitFailed(CommitId(id), reply));
        self
    }

    pub(super) fn send(&mut self, id: u64, payload: &str) -> &mut Self {
        self.put(Input::Send(OutId(id), outgoing(payload.as_bytes())));
        self
    }

    pub(super) fn wait(&mut self, micros: u64) -> &mut Self {
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

pub(super) fn outgoing(payload: &[u8]) -> Outgoing {
    Outgoing {
        payload: Bytes::copy_from_slice(payload),
        kind: OutgoingKind::Download,
        expires_after: None,
    }
}

pub(super) fn message(id: &str) -> String {
    format!("MSH|^~\\&|A|B|C|D|1||ORU^R01|{id}|P|2.5.1\r")
}

pub(super) fn asking(id: &str, accept: &str, application: &str) -> String {
    format!("MSH|^~\\&|A|B|C|D|1||OML^O21|{id}|P|2.5.1|||{accept}|{application}\r")
}

pub(super) fn reply(code: &str, to: &str) -> String {
    format!("MSH|^~\\&|C|D|A|B|1||ACK|R{to}|P|2.5.1\rMSA|{code}|{to}\r")
}

pub(super) fn block(content: &str) -> Vec<u8> {
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
fn several_replies_to_one_message_are_blocks_of_their_own_in_order() {
    let mut bench = Bench::open(Config::default());
    bench.bytes(b"\x0Ba\x1C\r\x0Bb\x1C\r");
    bench.says(&["commit 1 block 1 a", "commit 2 block 2 b"]);
    let both = join_replies(&[b"CA\r".to_vec(), b"AA\r".to_vec()]);
    bench.put(Input::Committed(CommitId(2), Some(both)));
    bench.says(&[]);
    bench.committed(1, "first\r").says(&[
        "transmit <VT>first<CR><FS><CR>",
        "transmit <VT>CA<CR><FS><CR>",
        "transmit <VT>AA<CR><FS><CR>",
    ]);
}

#[test]
fn one_reply_that_cannot_be_framed_does_not_hold_back_the_others() {
    let mut bench = Bench::open(Config::default());
    bench.bytes(b"\x0Ba\x1C\r").says(&["commit 1 block 1 a"]);
    let both = join_replies(&[b"C\x1CA".to_vec(), b"AA\r".to_vec()]);
    bench.put(Input::Committed(CommitId(1), Some(both)));
    bench.says(&["note MLLP-0205", "transmit <VT>AA<CR><FS><CR>"]);
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
fn a_cut_reply_finishes_nothing() {
    let mut bench = Bench::open(Config::default());
    bench.send(7, &message("M1")).said.clear();
    let cut = format!("\x0B{}", reply("AA", "M1"));
    bench.bytes(cut.as_bytes()).bytes(b"\x0B");
    bench.says(&["note MLLP-0102", "note MLLP-0201"]);
    bench.put(Input::Closed);
    bench.says(&[
        "note MLLP-0108",
        "note MLLP-0107",
        "finished 7 Failed(LineLost)",
    ]);
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
pub(super) fn messages_wait_for_the_answer_to_the_one_before() {
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
