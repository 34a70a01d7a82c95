use std::time::Duration;

use super::harness::{check, shown, wire};
use crate::astm::link::{Dialect, Limits};

const ORDER: &str = r"H|\^&<CR>O|1|A1<CR>L|1<CR>";

/// A host that has sent its first frame.
fn under_way(dialect: Dialect, rest: &str) {
    let begun = format!(
        r"
        download 7 {ORDER}
        out <ENQ>
        in <ACK>
        out {{1:H|\^&<CR>}}
        "
    );
    check(dialect, &format!("{begun}{rest}"));
}

fn host(rest: &str) {
    under_way(Dialect::default(), rest);
}

#[test]
fn a_message_goes_record_by_record_and_is_sent_when_all_is_acknowledged() {
    host(
        r"
        state WaitReply
        in <ACK>
        out {2:O|1|A1<CR>}
        in <ACK>
        out {3:L|1<CR>}
        in <ACK>
        out <EOT>
        finished 7 Sent
        state Neutral
        deadline none
        ",
    );
}

#[test]
fn a_query_is_answered_in_a_session_of_our_own() {
    check(
        Dialect::default(),
        r"
        prompt
        in <ENQ>
        out <ACK>
        in <STX>1H|\^&|||ANALYZER1|||||BRIDGE||P|LIS2-A2|20250115101500<CR><ETX>BA<CR><LF>
        out <ACK>
        in <STX>2Q|1|^25011500021||ALL||||||||O<CR><ETX>3B<CR><LF>
        out <ACK>
        in <STX>3L|1|N<CR><ETX>06<CR><LF>
        out <ACK>
        answer 1 H|\^&|||BRIDGE|||||ANALYZER1||P|LIS2-A2|20250115101501<CR>P|1|PID0098|||TRAN^THI B||19911105|F<CR>O|1|25011500021||^^^TSH\^^^FT4|R||20250115094000||||N||||Serum||||||||||Q<CR>L|1|F<CR>
        in <EOT>
        state Neutral
        wait 0
        out <ENQ>
        in <ACK>
        out <STX>1H|\^&|||BRIDGE|||||ANALYZER1||P|LIS2-A2|20250115101501<CR><ETX>BB<CR><LF>
        in <ACK>
        out <STX>2P|1|PID0098|||TRAN^THI B||19911105|F<CR><ETX>0C<CR><LF>
        in <ACK>
        out <STX>3O|1|25011500021||^^^TSH\^^^FT4|R||20250115094000||||N||||Serum||||||||||Q<CR><ETX>07<CR><LF>
        in <ACK>
        out <STX>4L|1|F<CR><ETX>FF<CR><LF>
        in <ACK>
        out <EOT>
        finished 1 Sent
        ",
    );
}

#[test]
fn a_record_longer_than_the_frame_is_cut_at_the_limit() {
    let record = format!("O|1|{:x<1$}<CR>", "", 326 - 5);
    let bytes = wire(&record);
    assert_eq!(bytes.len(), 326);
    let first = shown(&super::super::frame(2, &bytes[..240], false));
    let second = shown(&super::super::frame(3, &bytes[240..], true));
    check(
        Dialect::default(),
        &format!(
            r"
            download 1 H|\^&<CR>{record}L|1<CR>
            out <ENQ>
            in <ACK>
            out {{1:H|\^&<CR>}}
            in <ACK>
            out {first}
            in <ACK>
            out {second}
            "
        ),
    );
}

#[test]
fn a_whole_message_can_go_in_one_frame() {
    let dialect = Dialect {
        one_record_per_frame: false,
        ..Dialect::default()
    };
    check(
        dialect,
        &format!("download 1 {ORDER}\n out <ENQ>\n in <ACK>\n out {{1:{ORDER}}}"),
    );
    let dialect = Dialect {
        one_record_per_frame: false,
        frame_text_max: 10,
        ..Dialect::default()
    };
    check(
        dialect,
        &format!(
            r"
            download 1 {ORDER}
            out <ENQ>
            in <ACK>
            out {{1+H|\^&<CR>O|1|}}
            in <ACK>
            out {{2:A1<CR>L|1<CR>}}
            "
        ),
    );
}

#[test]
fn error_7_after_a_collision_the_host_waits_twenty_seconds_for_the_instrument() {
    check(
        Dialect::default(),
        &format!(
            r"
            download 1 {ORDER}
            out <ENQ>
            in <ENQ>
            state Neutral
            note 0140
            deadline LinkHold 20s
            wait 1
            in <ENQ>
            out <ACK>
            in <EOT>
            wait 0
            out <ENQ>
            "
        ),
    );
    check(
        Dialect::default(),
        &format!("download 1 {ORDER}\n out <ENQ>\n in <ENQ>\n wait 19.9\n wait 0.1\n out <ENQ>"),
    );
}

#[test]
fn after_a_collision_the_instrument_bids_again_after_one_second() {
    check(
        Dialect::instrument(),
        &format!("download 1 {ORDER}\n out <ENQ>\n in <ENQ>\n wait 0.9\n wait 0.1\n out <ENQ>"),
    );
}

#[test]
fn error_8_a_frame_answered_by_eot_is_acknowledged_and_the_line_given_up() {
    host(
        r"
        in <EOT>
        out <EOT>
        note 0148
        state Neutral
        deadline LinkHold 15s
        wait 14.9
        wait 0.1
        out <ENQ>
        in <ACK>
        out {1:H|\^&<CR>}
        ",
    );
    // The hold ends with the peer's session.
    host("in <EOT> \n out <EOT> \n in <ENQ> \n out <ACK> \n in <EOT> \n wait 0 \n out <ENQ>");
}

#[test]
fn an_interrupt_of_the_last_frame_leaves_the_message_sent() {
    host(
        r"
        in <ACK>
        out {2:O|1|A1<CR>}
        in <ACK>
        out {3:L|1<CR>}
        in <EOT>
        out <EOT>
        finished 7 Sent
        ",
    );
}

#[test]
fn a_peer_that_always_interrupts_does_not_hold_a_message_for_ever() {
    under_way(
        Dialect {
            interrupts_max: 2,
            ..Dialect::default()
        },
        r"
        in <EOT>
        out <EOT>
        wait 15
        out <ENQ>
        in <ACK>
        out {1:H|\^&<CR>}
        in <EOT>
        out <EOT>
        finished 7 Failed(Refused)
        note 0155
        ",
    );
}

#[test]
fn error_9_any_other_reply_counts_as_nak() {
    host("in ? \n out {1:H|\\^&<CR>} \n note 0145 \n in <ACK> \n out {2:O|1|A1<CR>}");
    for reply in ["<ENQ>", "<STX>", "<FF>", "<CR>"] {
        host(&format!("in {reply} \n out {{1:H|\\^&<CR>}}"));
    }
    let ignoring = Dialect {
        ignores_idle_bytes: true,
        ..Dialect::default()
    };
    under_way(ignoring, "in <FF><CR><LF><NUL> \n state WaitReply");
}

#[test]
fn error_10_an_enq_that_nobody_answers_ends_with_eot_and_is_tried_again() {
    check(
        Dialect::default(),
        &format!(
            r"
            download 1 {ORDER}
            out <ENQ>
            deadline Establishment 15s
            wait 15
            out <EOT>
            note 0142
            deadline LinkHold 1s
            wait 1
            out <ENQ>
            "
        ),
    );
}

#[test]
fn a_frame_is_sent_six_times_at_most() {
    let again = "in <NAK> \n out {1:H|\\^&<CR>} \n".repeat(5);
    host(&format!(
        "{again} in <NAK> \n out <EOT> \n finished 7 Failed(Refused) \n note 0146 \n state Neutral"
    ));
}

#[test]
fn no_reply_in_fifteen_seconds_ends_the_session() {
    host(
        r"
        deadline Reply 15s
        wait 15
        out <EOT>
        finished 7 Failed(TimedOut)
        note 0147
        # A late ACK means nothing.
        in <ACK>
        note 0150
        ",
    );
}

#[test]
fn a_busy_peer_is_asked_again_after_ten_seconds_and_six_times_at_most() {
    let again = "in <NAK> \n deadline LinkHold 10s \n wait 10 \n out <ENQ> \n".repeat(5);
    check(
        Dialect::default(),
        &format!(
            "download 1 {ORDER}\n out <ENQ>\n {again} in <NAK> \n finished 1 Failed(Busy) \n note 0143"
        ),
    );
}

#[test]
fn answers_go_before_downloads() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        download 1 H|\^&|1<CR>L|1<CR>
        answer 2 H|\^&|2<CR>L|1<CR>
        in <EOT>
        wait 0
        out <ENQ>
        in <ACK>
        out {1:H|\^&|2<CR>}
        in <ACK>
        out {2:L|1<CR>}
        in <ACK>
        out <EOT>
        finished 2 Sent
        deadline LinkHold 0.02s
        wait 0.02
        out <ENQ>
        in <ACK>
        out {1:H|\^&|1<CR>}
        ",
    );
}

#[test]
fn a_lost_line_fails_what_is_under_way_and_what_waits() {
    host(
        r"
        answer 8 H|\^&<CR>L|1<CR>
        close
        finished 7 Failed(LineLost)
        finished 8 Failed(LineLost)
        note 0153
        deadline none
        answer 9 H|\^&<CR>L|1<CR>
        finished 9 Failed(LineLost)
        ",
    );
}

#[test]
fn a_message_expires_while_it_waits_and_not_under_way() {
    check(
        Dialect::default(),
        r"
        in <ENQ>
        out <ACK>
        brief 1 H|\^&<CR>L|1<CR>
        deadline Expiry 5s
        wait 5
        finished 1 Failed(Expired)
        note 0154
        in <EOT>
        # A bid whose reason is gone is taken back.
        brief 2 H|\^&<CR>L|1<CR>
        out <ENQ>
        wait 5
        finished 2 Failed(Expired)
        out <EOT>
        brief 3 H|\^&<CR>L|1<CR>
        wait 1
        out <ENQ>
        in <ACK>
        out {1:H|\^&<CR>}
        wait 6
        state WaitReply
        ",
    );
}

#[test]
fn what_has_not_begun_can_be_withdrawn_and_what_is_under_way_is_finished() {
    host(
        r"
        download 8 H|\^&<CR>L|1<CR>
        withdraw 8
        finished 8 Failed(Withdrawn)
        withdraw 7
        in <ACK>
        out {2:O|1|A1<CR>}
        in <EOT>
        out <EOT>
        finished 7 Failed(Withdrawn)
        ",
    );
    check(
        Dialect::default(),
        &format!(
            "download 1 {ORDER}\n out <ENQ>\n withdraw 1\n finished 1 Failed(Withdrawn)\n out <EOT>"
        ),
    );
}

#[test]
fn a_payload_that_breaks_the_protocol_is_not_sent() {
    for payload in [
        "P|1<CR>L|1<CR>",
        r"H|\^&<CR>P|1<CR>",
        r"H|\^&<CR>P|1<STX><CR>L|1<CR>",
        r"H|\^&<CR><LF>L|1<CR><LF>",
        r"H|\^&<CR>Look<CR>",
        "H",
    ] {
        check(
            Dialect::default(),
            &format!("download 1 {payload}\n finished 1 Failed(Unsendable)\n note 0152"),
        );
    }
    let limits = Limits {
        message: 10,
        ..Limits::default()
    };
    check(
        Dialect {
            limits,
            ..Dialect::default()
        },
        &format!("download 1 {ORDER}\n finished 1 Failed(Unsendable)"),
    );
}

#[test]
fn a_full_queue_refuses() {
    let limits = Limits {
        outgoing: 1,
        ..Limits::default()
    };
    check(
        Dialect {
            limits,
            ..Dialect::default()
        },
        &format!(
            "in <ENQ>\n out <ACK>\n download 1 {ORDER}\n download 2 {ORDER}\n finished 2 Failed(Busy)\n note 0151"
        ),
    );
}

#[test]
fn a_doubled_ack_does_not_answer_the_next_frame_where_the_dialect_says_so() {
    let stale_reply = Duration::from_millis(2);
    under_way(
        Dialect {
            stale_reply,
            ..Dialect::default()
        },
        r"
        wait 0.002
        in <ACK><ACK>
        out {2:O|1|A1<CR>}
        note 0149
        wait 0.002
        in <ACK>
        out {3:L|1<CR>}
        ",
    );
}

#[test]
fn a_burst_of_noise_costs_one_send() {
    host(
        "in ????????? \n out {1:H|\\^&<CR>} \n note 0145 \n note 0149 \n in <ACK> \n out {2:O|1|A1<CR>}",
    );
}
