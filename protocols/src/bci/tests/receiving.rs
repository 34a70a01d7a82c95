//! Sessions and messages in: what is acknowledged, what is refused.

use super::{RESULT, check, open};
use crate::{
    bci::{Dialect, dialect::ChecksumRule},
    transcript::shown,
    wire::Input,
};

#[test]
fn a_result_is_acknowledged_when_it_is_durable() {
    let stored = shown(&super::message(RESULT));
    check(
        Dialect::default(),
        &format!(
            "in <ENQ>
        out <ACK>
        state Listening
        deadline Receive 30s
        in <STX><1E>mtrsl|<1E>pi|<1E>pn|<1E>si|<1E>ciZ1G021SCR|<1E>rtHBCT|<1E>rnAnti-HBc Total II|<1E>tt18:35|<1E>td10/25/24|<1E>qlPositif|<1E>qn0.05|<1D>b0<ETX>
        commit #1 1.0 {stored} [{stored}]
        state WaitDisk
        deadline Commit 10s
        durable
        out <ACK>
        state Listening
        in <EOT>
        state Idle
        deadline none"
        ),
    );
}

#[test]
fn several_messages_of_a_session_are_acknowledged_one_by_one() {
    check(
        Dialect::default(),
        "prompt
        in <ENQ>
        out <ACK>
        in {mtrsl|ci1|}
        out <ACK>
        in {mtrsl|ci2|}
        out <ACK>
        in <EOT>
        in <ENQ>
        out <ACK>
        wait 30
        note BCI-0119
        state Idle",
    );
}

#[test]
fn a_wrong_checksum_is_refused_and_upper_case_fits() {
    check(
        Dialect::default(),
        "prompt
        in <ENQ><STX><1E>mtrsl|<1D>e8<ETX>
        note BCI-0101
        out <ACK><NAK>
        state Listening
        in <STX><1E>mtrsl|<1D>E9<ETX>
        out <ACK>
        in <STX><1E>mtrsl|<1D><ETX>
        note BCI-0101
        out <NAK>
        in <STX><1E>mtrsl|e9<ETX>
        note BCI-0103
        out <NAK>",
    );
}

#[test]
fn a_check_can_be_off_or_a_warning() {
    for (checksum, note) in [
        (ChecksumRule::Warn, "note BCI-0102"),
        (ChecksumRule::Off, ""),
    ] {
        let dialect = Dialect {
            checksum,
            ..Dialect::default()
        };
        check(
            dialect,
            &format!("prompt\n in <ENQ><STX><1E>mtrsl|<1D>00<ETX>\n {note}\n out <ACK><ACK>"),
        );
    }
}

#[test]
fn line_ends_after_records_are_passed_over() {
    check(
        Dialect::default(),
        "prompt
        in <ENQ><CR><LF><STX><CR><LF><1E>mtrsl|<CR><LF><1D>17<CR><LF><ETX><CR><LF>
        out <ACK><ACK>",
    );
    let dialect = Dialect {
        sums_line_ends: false,
        ..Dialect::default()
    };
    check(
        dialect,
        "prompt
        in <ENQ><STX><CR><LF><1E>mtrsl|<CR><LF><1D>e9<CR><LF><ETX>
        out <ACK><ACK>",
    );
}

#[test]
fn a_failed_commit_is_answered_nak_and_the_resend_is_the_same_row() {
    check(
        Dialect::default(),
        "in <ENQ>{mtrsl|ci1|}
        out <ACK>
        commit #1 1.0 <1E>mtrsl|<1E>ci1| [<1E>mtrsl|<1E>ci1|]
        fails
        note BCI-0113
        out <NAK>
        in {mtrsl|ci1|}
        note BCI-0114
        commit #2 1.0 <1E>mtrsl|<1E>ci1| [<1E>mtrsl|<1E>ci1|]
        wait 10
        note BCI-0112
        out <NAK>
        durable 2
        in {mtrsl|ci1|}
        note BCI-0114
        out <ACK>",
    );
}

#[test]
fn a_repeat_is_acknowledged_and_not_stored_again() {
    check(
        Dialect::default(),
        "prompt
        in <ENQ>{mtrsl|ci1|}
        out <ACK><ACK>
        in {mtrsl|ci1|}
        note BCI-0108
        out <ACK>
        in <EOT>
        wait 61
        in <ENQ>{mtrsl|ci1|}
        out <ACK><ACK>",
    );
}

#[test]
fn a_reply_is_given_to_nobody_but_the_message_that_asked() {
    check(
        Dialect::default(),
        "in <ENQ>{mtrsl|ci1|}
        out <ACK>
        commit #1 1.0 <1E>mtrsl|<1E>ci1| [<1E>mtrsl|<1E>ci1|]
        in <EOT>
        note BCI-0115
        state Idle
        durable
        state Idle
        in <ENQ>{mtrsl|ci2|}
        out <ACK>
        commit #2 2.0 <1E>mtrsl|<1E>ci2| [<1E>mtrsl|<1E>ci2|]
        in <STX>
        note BCI-0115
        fails
        wait 1
        note BCI-0106
        out <NAK>
        in {mtrsl|ci3|}
        commit #3 3.0 <1E>mtrsl|<1E>ci3| [<1E>mtrsl|<1E>ci3|]
        durable
        out <ACK>
        wait 10
        commit #4 2.0 <1E>mtrsl|<1E>ci2| [<1E>mtrsl|<1E>ci2|]
        fails
        note BCI-0117",
    );
}

#[test]
fn sessions_are_refused_while_the_store_is_behind() {
    let mut bench = open(Dialect::default());
    bench.act("in", "<ENQ>");
    for number in 1..6 {
        bench.act("in", &format!("{{mtrsl|ci{number}|}}"));
    }
    bench.outputs.clear();
    bench.notes.clear();
    bench.check(
        "in <EOT>
        in <ENQ>
        note BCI-0116
        out <NAK>
        state Idle",
    );
}

#[test]
fn what_breaks_off_or_is_too_long_is_refused() {
    let mut dialect = Dialect::default();
    dialect.limits.message = 10;
    check(
        dialect,
        "in <ENQ><STX><1E>mt
        out <ACK>
        deadline InterByte 1s
        in <STX><1E>
        note BCI-0107
        wait 1
        note BCI-0106
        out <NAK>
        in <STX>0123456789ABCDEF<ETX>
        note BCI-0105
        out <NAK>
        note BCI-0109",
    );
}

#[test]
fn a_message_without_a_session_is_taken() {
    check(
        Dialect::default(),
        "prompt
        in {mtrsl|ci1|}
        note BCI-0110
        out <ACK>
        in ?!<ACK>
        note BCI-0109
        note BCI-0111
        in <STX><1E>mt<01>rsl|<1D>ea<ETX>
        note BCI-0104
        out <ACK>",
    );
}

#[test]
fn what_was_taken_is_stored_even_when_the_line_closes() {
    check(
        Dialect::default(),
        "in <ENQ>{mtrsl|ci1|}
        out <ACK>
        commit #1 1.0 <1E>mtrsl|<1E>ci1| [<1E>mtrsl|<1E>ci1|]
        close
        note BCI-0115
        fails
        note BCI-0117
        deadline Commit 10s
        wait 10
        commit #2 1.0 <1E>mtrsl|<1E>ci1| [<1E>mtrsl|<1E>ci1|]
        durable
        deadline none
        open
        in <STX><1E>
        note BCI-0110
        close
        note BCI-0106",
    );
}

#[test]
fn a_flood_beyond_what_was_asked_for_is_cut() {
    let mut dialect = Dialect::default();
    dialect.limits.inbox = 300;
    let mut bench = open(dialect);
    let enqs = vec![5; 3_000];
    bench.machine_flood(&enqs);
    assert_eq!(bench.notes.pop_front(), Some("BCI-0118"));
}

trait Flood {
    fn machine_flood(&mut self, bytes: &[u8]);
}

impl Flood for crate::transcript::Bench<crate::bci::Link> {
    fn machine_flood(&mut self, bytes: &[u8]) {
        self.handle(Input::Bytes(bytes));
    }
}
