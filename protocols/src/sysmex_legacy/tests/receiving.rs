//! Texts in: what is acknowledged, what is refused, what is kept.

use super::{RESULT, check, class_a, open};
use crate::{
    sysmex_legacy::Dialect,
    wire::{Input, Machine},
};

#[test]
fn class_b_acknowledges_a_text_when_it_is_durable() {
    check(
        Dialect::default(),
        &format!(
            "in <STX>{RESULT}<ETX>
        commit #1 1.0 {RESULT} [{RESULT}]
        state WaitDisk
        deadline Commit 10s
        wait 9
        durable
        out <ACK>
        state Idle
        deadline none"
        ),
    );
}

#[test]
fn class_a_acknowledges_nothing_and_keeps_what_is_damaged() {
    check(
        class_a(),
        "in {D1U1}
        commit #1 1.0 D1U1 [D1U1]
        state Idle
        durable
        in <STX>D2U
        wait 2
        note SYX-0103
        note SYX-0105
        commit #2 2.0 D2U [D2U] incomplete
        durable
        in <STX>D3<STX>D4<ETX>
        note SYX-0104
        note SYX-0105
        commit #3 3.0 D3 [D3] incomplete
        commit #4 4.0 D4 [D4]
        durable 4
        fails 3
        note SYX-0114
        wait 10
        commit #5 3.0 D3 [D3] incomplete
        durable
        deadline none",
    );
}

#[test]
fn class_a_stops_reading_while_the_store_is_behind_and_loses_nothing() {
    let mut bench = open(class_a());
    for number in 1..8 {
        bench.act("in", &format!("{{D1U{number}}}"));
    }
    assert_eq!(bench.commits.len(), 4);
    assert!(bench.machine.accepts() < Dialect::default().limits.inbox);
    bench.act("durable", "1");
    assert_eq!(bench.commits.len(), 5);
    // Everything that was read is given to the store when the line closes.
    bench.act("close", "");
    assert_eq!(bench.commits.len(), 7);
    assert!(bench.machine.awaits_store());
}

#[test]
fn a_failed_commit_is_answered_nak_and_the_resend_is_the_same_row() {
    check(
        Dialect::default(),
        "in {D1U1}
        commit #1 1.0 D1U1 [D1U1]
        fails
        note SYX-0110
        out <NAK>
        in {D1U1}
        note SYX-0111
        commit #2 1.0 D1U1 [D1U1]
        wait 10
        note SYX-0109
        out <NAK>
        durable 2
        in {D1U1}
        note SYX-0111
        out <ACK>",
    );
}

#[test]
fn a_repeat_is_acknowledged_and_not_stored_again_but_a_query_is_one_again() {
    check(
        Dialect::default(),
        "prompt
        in {D1U1}
        out <ACK>
        in {D1U1}
        note SYX-0106
        out <ACK>
        wait 61
        in {D1U1}
        out <ACK>
        in {R1000}
        out <ACK>
        in {R1000}
        out <ACK>",
    );
}

#[test]
fn a_reply_is_given_to_nobody_but_the_text_that_asked() {
    check(
        Dialect::default(),
        "in {D1U1}
        commit #1 1.0 D1U1 [D1U1]
        in <STX>
        note SYX-0112
        durable
        in D1U1<ETX>
        note SYX-0111
        out <ACK>
        in {D1U2}
        commit #2 2.0 D1U2 [D1U2]
        in {D1U3}
        note SYX-0112
        commit #3 3.0 D1U3 [D1U3]
        fails 2
        note SYX-0114
        durable 3
        out <ACK>
        wait 10
        commit #4 2.0 D1U2 [D1U2]",
    );
}

#[test]
fn texts_are_refused_while_the_store_is_behind() {
    let mut bench = open(Dialect::default());
    for number in 1..6 {
        bench.act("in", &format!("{{D1U{number}}}"));
    }
    bench.outputs.clear();
    bench.notes.clear();
    bench.check(
        "in {D1U6}
        note SYX-0113
        out <NAK>",
    );
}

#[test]
fn what_breaks_off_or_is_too_long_is_refused() {
    let mut dialect = Dialect::default();
    dialect.limits.text = 8;
    check(
        dialect,
        "in <STX>D1
        deadline InterByte 2s
        wait 2
        note SYX-0103
        out <NAK>
        in <STX>D1<STX>D2<ETX>
        note SYX-0104
        commit #1 1.0 D2 [D2]
        durable
        out <ACK>
        in <STX>123456789<ETX>
        note SYX-0102
        out <NAK>
        note SYX-0107
        close
        open
        in <STX>D1
        close
        note SYX-0103",
    );
}

#[test]
fn what_is_odd_is_taken_with_a_note() {
    check(
        Dialect::default(),
        "prompt
        in <CR><LF>?!{D1<01>}<ACK>
        note SYX-0107
        note SYX-0101
        note SYX-0108
        out <ACK>",
    );
}

#[test]
fn a_flood_beyond_what_was_asked_for_is_cut() {
    let mut dialect = class_a();
    dialect.limits.inbox = 100;
    let mut bench = open(dialect);
    for number in 1..5 {
        bench.act("in", &format!("{{D1U{number}}}"));
    }
    bench.handle(Input::Bytes(&[b'x'; 200]));
    assert_eq!(bench.machine.accepts(), 0);
    assert_eq!(bench.notes.pop_front(), Some("SYX-0115"));
}
