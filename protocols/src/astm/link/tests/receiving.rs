use super::harness::check;
use crate::astm::link::{Dialect, Durability, FrameNumberRule};

/// Frames 1 to 3 of the session of LIS01-A2's kind that most tests begin with.
const BEGUN: &str = r"
    prompt
    in <ENQ>
    out <ACK>
    in {1:H|\^&<CR>}
    out <ACK>
    in {2:P|1<CR>}
    out <ACK>
    in {3:O|1|A1<CR>}
    out <ACK>
";

fn begun(rest: &str) {
    check(Dialect::default(), &format!("{BEGUN}{rest}"));
}

#[test]
fn a_session_is_acknowledged_unit_by_unit_and_gives_one_message() {
    let bench = check(
        Dialect::default(),
        r"
        prompt
        in <ENQ>
        out <ACK>
        in <STX>1H|\^&|||ANALYZER1^1.0|||||BRIDGE||P|LIS2-A2|20250115103000<CR><ETX>A4<CR><LF>
        out <ACK>
        in <STX>2P|1||0012345||NGUYEN^VAN A||19800312|M<CR><ETX>61<CR><LF>
        out <ACK>
        in <STX>3O|1|25011500017||^^^GLU\^^^CREA|R||||||||||||||||||||F<CR><ETX>30<CR><LF>
        out <ACK>
        in <STX>4R|1|^^^GLU|5.4|mmol/L|3.9 to 6.1|N||F||OPER1||20250115102812|ANALYZER1<CR><ETX>7E<CR><LF>
        out <ACK>
        in <STX>5R|2|^^^CREA|131|umol/L|62 to 106|H||F||OPER1||20250115102830|ANALYZER1<CR><ETX>83<CR><LF>
        out <ACK>
        in <STX>6C|1|I|HEM^slight haemolysis|I<CR><ETX>5D<CR><LF>
        out <ACK>
        in <STX>7L|1|N<CR><ETX>0A<CR><LF>
        out <ACK>
        in <EOT>
        state Neutral
        ",
    );
    let crate::wire::Commit::Frame {
        messages, index, ..
    } = &bench.commits[6].1
    else {
        panic!("a frame is committed")
    };
    assert_eq!((*index, messages.len(), bench.commits.len()), (6, 1, 7));
    assert!(messages[0].is_complete);
    assert!(messages[0].bytes.starts_with(b"H|\\^&|||ANALYZER1"));
    assert!(messages[0].bytes.ends_with(b"|I\rL|1|N\r"));
    assert_eq!(bench.notes, Vec::<&str>::new());
}

#[test]
fn the_eighth_and_ninth_frame_carry_0_and_1() {
    begun(
        r"
        in {4:R|1<CR>}{5:R|2<CR>}{6:R|3<CR>}{7:R|4<CR>}
        out <ACK><ACK><ACK><ACK>
        in <STX>0R|6|^^^K|4.1|mmol/L<CR><ETX>E0<CR><LF>
        out <ACK>
        in <STX>1R|7|^^^CL|101|mmol/L<CR><ETX>25<CR><LF>
        out <ACK>
        ",
    );
}

#[test]
fn a_record_over_two_frames_is_joined() {
    let tests: Vec<String> = (1..=40).map(|test| format!("^^^{test:03}")).collect();
    let record = format!(
        "O|1|25011500018||{}|R||||||A||||Serum||||||||||O<CR>",
        tests.join("\\")
    );
    let bytes = super::harness::wire(&record);
    assert_eq!(bytes.len(), 326);
    let first = super::super::frame(3, &bytes[..240], false);
    let second = super::super::frame(4, &bytes[240..], true);
    assert!(first.ends_with(b"^^^032\x17F6\r\n"));
    assert!(second.ends_with(b"|O\r\x03D1\r\n"));
    let bench = check(
        Dialect {
            durability: Durability::Message,
            ..Dialect::default()
        },
        &format!(
            r"
            prompt
            in <ENQ>{{1:H|\^&<CR>}}{{2:P|1<CR>}}
            out <ACK><ACK><ACK>
            in {}
            out <ACK>
            in {}
            out <ACK>
            in {{5:L|1<CR>}}
            out <ACK>
            in <EOT>
            ",
            super::harness::shown(&first),
            super::harness::shown(&second)
        ),
    );
    let crate::wire::Commit::Message(received) = &bench.commits[0].1 else {
        panic!("one message")
    };
    assert_eq!(
        super::harness::shown(&received.bytes),
        format!("H|\\^&<CR>P|1<CR>{record}L|1<CR>")
    );
}

// The ten error cases; seven to ten are the sender's.

#[test]
fn error_1_a_wrong_checksum_is_refused_and_the_resend_is_stored_once() {
    begun(
        r"
        in <STX>4R|1|^^^GLU|5.4<CR><ETX>00<CR><LF>
        out <NAK>
        note 0101
        in {4:R|1|^^^GLU|5.4<CR>}
        out <ACK>
        in {5:L|1|N<CR>}
        out <ACK>
        ",
    );
}

#[test]
fn error_2_a_frame_sent_twice_is_acknowledged_twice_and_stored_once() {
    let bench = check(
        Dialect::default(),
        &format!(
            r"{BEGUN}
            in {{4:R|1|^^^GLU|5.4<CR>}}
            out <ACK>
            in {{4:R|1|^^^GLU|5.4<CR>}}
            out <ACK>
            note 0104
            "
        ),
    );
    assert_eq!(bench.commits.len(), 4);
}

#[test]
fn error_3_a_number_that_skips_is_refused() {
    begun("in {4:R|1<CR>} \n out <ACK> \n in {6:R|2<CR>} \n out <NAK> \n note 0103");
}

#[test]
fn error_4_the_first_frame_must_have_number_1() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {2:H|\^&<CR>}
        out <NAK>
        note 0103
        ",
    );
}

#[test]
fn error_5_six_bad_frames_get_six_naks_and_what_was_acknowledged_comes_out() {
    begun(
        r"
        in <STX>4R|1<CR><ETX>00<CR><LF><STX>4R|1<CR><ETX>00<CR><LF><STX>4R|1<CR><ETX>00<CR><LF>
        out <NAK><NAK><NAK>
        in <STX>4R|1<CR><ETX>00<CR><LF><STX>4R|1<CR><ETX>00<CR><LF><STX>4R|1<CR><ETX>00<CR><LF>
        out <NAK><NAK><NAK>
        in <EOT>
        state Neutral
        note 0115
        ",
    );
}

#[test]
fn error_6_after_thirty_seconds_of_silence_the_line_is_neutral_and_nothing_is_sent() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>}
        row #1 1.0 H|\^&<CR>
        durable
        out <ACK>
        deadline Receive 30s
        wait 29.999
        state WaitFrame
        wait 0.001
        message #2 1 H|\^&<CR> incomplete
        state Neutral
        note 0120
        note 0116
        ",
    );
}

#[test]
fn ack_waits_for_the_disk_and_the_receive_timer_stops_meanwhile() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>}
        row #1 1.0 H|\^&<CR>
        state WaitDisk
        deadline Commit 10s
        wait 9
        durable
        out <ACK>
        deadline Receive 30s
        ",
    );
}

#[test]
fn a_failed_commit_is_answered_nak_and_the_resend_is_the_same_row() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>}
        row #1 1.0 H|\^&<CR>
        fails
        out <NAK>
        note 0131
        in {1:H|\^&<CR>}
        row #2 1.0 H|\^&<CR>
        durable
        out <ACK>
        in {2:L|1<CR>}
        row #3 1.1 L|1<CR> [H|\^&<CR>L|1<CR> complete]
        durable
        out <ACK>
        in <EOT>
        ",
    );
}

#[test]
fn a_late_commit_is_not_answered_but_acknowledges_the_resend() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>}
        row #1 1.0 H|\^&<CR>
        wait 10
        out <NAK>
        note 0130
        durable 1
        in {1:H|\^&<CR>}
        out <ACK>
        note 0132
        in {2:P|1<CR>}
        row #2 1.1 P|1<CR>
        ",
    );
}

#[test]
fn a_resend_joins_the_commit_that_is_still_open() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>}
        row #1 1.0 H|\^&<CR>
        wait 10
        out <NAK>
        in {1:H|\^&<CR>}
        state WaitDisk
        in {1:P|1<CR>}
        wait 9
        durable 1
        out <ACK><NAK>
        note 0105
        ",
    );
}

#[test]
fn other_bytes_under_a_number_whose_commit_is_open_are_refused() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>}
        row #1 1.0 H|\^&<CR>
        wait 10
        out <NAK>
        in {1:H|\^&|X<CR>}
        out <NAK>
        note 0133
        durable 1
        in {1:H|\^&|X<CR>}
        row #2 1.1 H|\^&|X<CR>
        durable
        out <ACK>
        ",
    );
}

#[test]
fn enq_cancels_the_reply_for_good() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>}
        row #1 1.0 H|\^&<CR>
        in <ENQ>
        out <ACK>
        note 0134
        durable 1
        message #2 1 H|\^&<CR> incomplete
        state WaitFrame
        in {1:H|\^&<CR>}
        row #3 2.0 H|\^&<CR>
        ",
    );
}

#[test]
fn eot_cancels_the_reply_and_the_message_stands() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>L|1<CR>}
        row #1 1.0 H|\^&<CR>L|1<CR> [H|\^&<CR>L|1<CR> complete]
        in <EOT>
        state Neutral
        durable 1
        ",
    );
}

#[test]
fn a_lost_line_cancels_the_reply_and_keeps_what_was_acknowledged() {
    let bench = check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>}
        row #1 1.0 H|\^&<CR>
        durable
        out <ACK>
        in {2:P|1<CR>}
        row #2 1.1 P|1<CR>
        close
        state Disconnected
        fails 2
        message #3 1 H|\^&<CR> incomplete
        note 0118
        fails 3
        note 0135
        deadline Commit 10s
        wait 10
        message #4 1 H|\^&<CR> incomplete
        durable
        deadline none
        ",
    );
    assert!(!bench.link.awaits_store());
}

#[test]
fn enq_is_refused_while_the_store_is_behind() {
    let session = r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>L|1<CR>}
        row #ID SID.0 H|\^&<CR>L|1<CR> [H|\^&<CR>L|1<CR> complete]
        in <EOT>
    ";
    let sessions: String = (1..=4)
        .map(|id: u32| {
            session
                .replace("#ID", &format!("#{id}"))
                .replace("SID", &id.to_string())
        })
        .collect();
    check(
        Dialect::default(),
        &format!("{sessions} in <ENQ>\n out <NAK>\n note 0125\n durable 2\n in <ENQ>\n out <ACK>"),
    );
}

#[test]
fn with_durability_message_only_the_frame_that_ends_a_message_waits() {
    check(
        Dialect {
            durability: Durability::Message,
            ..Dialect::default()
        },
        r"
        in <ENQ>{1:H|\^&<CR>}{2:P|1<CR>}
        out <ACK><ACK><ACK>
        in {3:L|1<CR>}
        message #1 1 H|\^&<CR>P|1<CR>L|1<CR> complete
        state WaitDisk
        fails
        out <NAK>
        in {3:L|1<CR>}
        message #2 1 H|\^&<CR>P|1<CR>L|1<CR> complete
        durable
        out <ACK>
        in <EOT>
        ",
    );
}

#[test]
fn with_durability_message_a_frame_of_two_messages_waits_for_both() {
    check(
        Dialect {
            durability: Durability::Message,
            ..Dialect::default()
        },
        r"
        in <ENQ>
        out <ACK>
        in {1:H|\^&<CR>L|1<CR>H|\^&|2<CR>L|1<CR>}
        message #1 1 H|\^&<CR>L|1<CR> complete
        message #2 1 H|\^&|2<CR>L|1<CR> complete
        durable 2
        fails 1
        out <NAK>
        in {1:H|\^&<CR>L|1<CR>H|\^&|2<CR>L|1<CR>}
        message #3 1 H|\^&<CR>L|1<CR> complete
        durable 3
        out <ACK>
        in <EOT>
        ",
    );
}

#[test]
fn a_frame_whose_number_stands_still_is_new_only_for_a_lenient_line() {
    begun("in {3:R|1<CR>} \n out <NAK> \n note 0105");
    check(
        Dialect {
            frame_numbers: FrameNumberRule::Lenient,
            ..Dialect::default()
        },
        r"
        prompt
        in <ENQ>{0:H|\^&<CR>}{1:P|1<CR>}{1:O|1<CR>}{1:R|1<CR>}{1:R|1<CR>}
        out <ACK><ACK><ACK><ACK><ACK><ACK>
        note 0106
        note 0106
        note 0104
        in {3:R|2<CR>}
        out <NAK>
        in {2:L|1<CR>}
        out <ACK>
        ",
    );
}

#[test]
fn a_frame_that_stops_is_refused_after_the_inter_byte_time() {
    begun("in <STX>4R|1 \n deadline InterByte 5s \n wait 5 \n out <NAK> \n note 0110");
}

#[test]
fn eot_inside_a_frame_ends_the_session_only_when_nothing_follows() {
    begun("in <STX>4R|<EOT> \n wait 5 \n state Neutral \n note 0110 \n note 0115");
    begun("in {4:R|<EOT><CR>} \n out <NAK> \n note 0107 \n state WaitFrame");
}

#[test]
fn a_peer_that_gave_a_frame_up_and_asks_again_is_heard_at_last() {
    // The ETX was damaged. The peer asks again sooner than a byte may take to come.
    let asks = "in <EOT><ENQ> \n wait 4 \n".repeat(8);
    begun(&format!(
        "in <STX>4R|1 \n {asks} out <ACK> \n note 0122 \n note 0117"
    ));
}

#[test]
fn a_long_frame_of_a_slow_line_is_waited_for() {
    let slow = format!("wait 3 \n in {} \n ", "-".repeat(82)).repeat(20);
    begun(&format!("in <STX>4R|1 \n {slow} state InFrame"));
}

#[test]
fn enq_inside_a_frame_that_stops_begins_again() {
    begun("in <STX>4R|<EOT><ENQ> \n wait 5 \n out <ACK> \n note 0122 \n note 0117");
}

#[test]
fn an_enq_between_frames_can_be_ignored() {
    check(
        Dialect {
            serves_enq_in_transfer: false,
            ..Dialect::default()
        },
        &format!("{BEGUN} in <ENQ> \n note 0123 \n in {{4:L|1<CR>}} \n out <ACK>"),
    );
}

#[test]
fn frames_up_to_the_limit_are_taken_and_longer_ones_refused() {
    for (length, reply) in [
        (240, "<ACK>"),
        (63_993, "<ACK>"),
        (131_072, "<ACK>"),
        (131_073, "<NAK>"),
    ] {
        let text = format!("H|\\^&|{}", "-".repeat(length - 6));
        check(
            Dialect::default(),
            &format!("prompt \n in <ENQ>{{1:{text}}} \n out <ACK>{reply}"),
        );
    }
}

#[test]
fn records_messages_and_sessions_have_limits() {
    let mut dialect = Dialect::default();
    dialect.limits.record = 20;
    dialect.limits.message = 40;
    dialect.limits.session = 90;
    let line = "12345678901234<CR>";
    check(
        dialect,
        &format!(
            r"
            prompt
            in <ENQ>{{1:H|\^&|6789012345678901<CR>}}
            out <ACK><NAK>
            note 0113
            in {{1+H|\^&|67890123456789012}}
            out <NAK>
            note 0113
            in {{1:H|\^&{line}}}{{2:P{line}}}{{3:O{line}}}
            out <ACK><ACK><NAK>
            note 0112
            in {{3:H|\^&{line}}}{{4:L|1<CR>}}{{5:H|\^&{line}}}{{6:R{line}}}
            out <ACK><ACK><ACK><NAK>
            note 0119
            note 0114
            "
        ),
    );
}

#[test]
fn a_damaged_checksum_or_tail_is_never_taken_for_enq() {
    for damaged in ["<ENQ>F", "<EOT>F", "F<ENQ>", "F<EOT>"] {
        begun(&format!(
            "in <STX>4R|1<CR><ETX>{damaged} \n out <NAK> \n note 0107"
        ));
    }
    begun("in <STX>4R|1<CR><ETX><ENQ> \n wait 5 \n out <ACK> \n note 0122");
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        in <STX>1L|1|N<CR><ETX>04<ENQ><LF>
        row #1 1.0 L|1|N<CR> [L|1|N<CR> incomplete]
        note 0123
        durable
        out <ACK>
        in <STX>2P|1<CR><ETX>3F
        row #2 1.1 P|1<CR>
        wait 0.2
        in <ENQ>
        out <ACK>
        note 0134
        ",
    );
}
