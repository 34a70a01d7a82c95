//! Texts out.

use super::{check, class_a};
use crate::sysmex_legacy::Dialect;

#[test]
fn a_text_ends_with_its_acknowledgement() {
    check(
        Dialect::default(),
        "download 1 S1order
        out <STX>S1order<ETX>
        state WaitReply
        deadline Reply 15s
        in <ACK>
        finished 1 Sent
        state Idle",
    );
}

#[test]
fn class_a_sends_and_waits_for_nothing() {
    check(
        class_a(),
        "download 1 S1order
        out {S1order}
        finished 1 Sent
        state Idle",
    );
}

#[test]
fn a_refused_text_is_sent_three_times_at_most() {
    check(
        Dialect::default(),
        "download 1 S1
        out {S1}
        in <NAK>
        note SYX-0130
        out {S1}
        in <NAK>
        note SYX-0130
        out {S1}
        in <NAK>
        note SYX-0130
        note SYX-0132
        finished 1 Failed(Refused)",
    );
}

#[test]
fn an_analyzer_sends_again_what_got_no_reply_and_a_host_does_not() {
    check(
        Dialect::instrument(),
        "download 1 D1U
        out {D1U}
        wait 15
        note SYX-0131
        out {D1U}
        in <ACK>
        finished 1 Sent",
    );
    check(
        Dialect::default(),
        "download 1 S1
        out {S1}
        wait 15
        note SYX-0131
        finished 1 Failed(TimedOut)",
    );
}

#[test]
fn a_text_in_place_of_a_reply_ends_ours() {
    check(
        Dialect::default(),
        "prompt
        download 1 S1
        out {S1}
        in {D1U}
        note SYX-0133
        finished 1 Failed(TimedOut)
        out <ACK>",
    );
}

#[test]
fn a_late_reply_is_none_of_the_next_text() {
    check(
        Dialect::default(),
        "download 1 S1
        out {S1}
        wait 15
        note SYX-0131
        finished 1 Failed(TimedOut)
        download 2 S2
        deadline LinkHold 15s
        wait 14
        in <ACK>
        note SYX-0108
        wait 1
        out {S2}
        in <ACK>
        finished 2 Sent",
    );
}

#[test]
fn texts_wait_for_their_turn_answers_first() {
    check(
        Dialect::default(),
        "in {R1000}
        commit #1 1.0 R1000 [R1000]
        download 1 S1a
        answer 2 S1b
        durable
        out <ACK>
        deadline LinkHold 0s
        wait 0
        out {S1b}
        in ?<ACK>
        note SYX-0107
        finished 2 Sent
        wait 0
        out {S1a}
        in <ACK>
        finished 1 Sent",
    );
}

#[test]
fn what_is_not_sent_has_its_reason() {
    let mut dialect = Dialect::default();
    dialect.limits.outgoing = 2;
    check(
        dialect,
        "in <STX>
        download 1 S<ETX>
        note SYX-0135
        finished 1 Failed(Unsendable)
        brief 2 S1
        download 3 S1
        download 4 S1
        note SYX-0134
        finished 4 Failed(Busy)
        wait 0.1
        note SYX-0137
        finished 2 Failed(Expired)
        withdraw 3
        finished 3 Failed(Withdrawn)
        download 5 S1
        close
        note SYX-0103
        note SYX-0136
        finished 5 Failed(LineLost)
        download 6 S1
        note SYX-0136
        finished 6 Failed(LineLost)",
    );
}
