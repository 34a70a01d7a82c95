//! Messages out: sessions of our own.

use super::{check, prompt};
use crate::bci::Dialect;

const ORDER: &str = "<1E>mtmpr|<1E>ci7|<1E>rtTSH|<1E>qd1|";

fn with_order(transcript: &str) -> String {
    transcript.replace("ORDER", ORDER)
}

#[test]
fn an_order_has_a_session_of_its_own() {
    check(
        prompt(),
        &with_order(
            "download 1 ORDER
        out <ENQ>
        state Asking
        deadline Establishment 15s
        in <ACK>
        out <STX><1E>mtmpr|<1E>ci7|<1E>rtTSH|<1E>qd1|<1D>93<ETX>
        state WaitReply
        deadline Reply 15s
        in <ACK>
        out <EOT>
        finished 1 Sent
        state Idle
        download 2 ORDER
        deadline LinkHold 1s
        wait 1
        out <ENQ>",
        ),
    );
}

#[test]
fn an_order_of_several_tests_has_a_session_for_each_and_ends_with_the_last() {
    let transcript = "download 1 ORDER<1E>mtmpr|<1E>ci7|<1E>rtHCG|<1E>qd1|
        out <ENQ>
        in <ACK>
        out {mtmpr|ci7|rtTSH|qd1|}
        in <ACK>
        out <EOT>
        state Idle
        deadline LinkHold 1s
        wait 1
        out <ENQ>
        in <ACK>
        out {mtmpr|ci7|rtHCG|qd1|}";
    let taken = "
        in <ACK>
        out <EOT>
        finished 1 Sent
        state Idle";
    check(prompt(), &with_order(&format!("{transcript}{taken}")));
    // Its owner hears of the first failure, and sends all of it again.
    let silent = "
        wait 15
        note BCI-0134
        out <EOT>
        finished 1 Failed(TimedOut)
        state Idle";
    check(prompt(), &with_order(&format!("{transcript}{silent}")));
    check(
        prompt(),
        &with_order(
            "download 1 ORDER<1E>mtmpr|<1E>c|
        note BCI-0138
        finished 1 Failed(Unsendable)",
        ),
    );
}

#[test]
fn a_doubled_ack_of_enq_is_none_of_the_message() {
    check(
        Dialect::default(),
        &with_order(
            "download 1 ORDER
        out <ENQ>
        in <ACK><ACK>
        note BCI-0111
        state Granted
        deadline LinkHold 0.02s
        wait 0.02
        out {mtmpr|ci7|rtTSH|qd1|}
        in <NAK>
        note BCI-0133
        out {mtmpr|ci7|rtTSH|qd1|}
        in <ACK>
        out <EOT>
        finished 1 Sent
        wait 1
        download 2 ORDER
        out <ENQ>
        in <ACK><EOT>
        note BCI-0130
        state Idle",
        ),
    );
}

#[test]
fn a_peer_that_is_not_ready_is_asked_again() {
    check(
        prompt(),
        &with_order(
            "download 1 ORDER
        out <ENQ>
        in <NAK>
        note BCI-0130
        state Idle
        deadline LinkHold 10s
        wait 10
        out <ENQ>
        wait 15
        note BCI-0131
        out <EOT>
        wait 10
        out <ENQ>
        in <NAK>
        note BCI-0130
        note BCI-0135
        finished 1 Failed(Busy)
        state Idle",
        ),
    );
}

#[test]
fn a_refused_message_is_sent_three_times_at_most() {
    check(
        prompt(),
        &with_order(
            "download 1 ORDER
        out <ENQ>
        in <ACK>
        out {mtmpr|ci7|rtTSH|qd1|}
        in <NAK>
        note BCI-0133
        out {mtmpr|ci7|rtTSH|qd1|}
        in <NAK>
        note BCI-0133
        out {mtmpr|ci7|rtTSH|qd1|}
        in <NAK>
        note BCI-0133
        note BCI-0135
        out <EOT>
        finished 1 Failed(Refused)",
        ),
    );
}

#[test]
fn a_message_without_a_reply_is_not_sent_again_by_itself() {
    check(
        prompt(),
        &with_order(
            "download 1 ORDER
        out <ENQ>
        in <ACK>
        out {mtmpr|ci7|rtTSH|qd1|}
        wait 15
        note BCI-0134
        out <EOT>
        finished 1 Failed(TimedOut)
        in <ACK>
        note BCI-0111",
        ),
    );
}

#[test]
fn the_host_gives_way_and_its_message_keeps_its_place() {
    check(
        prompt(),
        &with_order(
            "prompt
        download 1 ORDER
        out <ENQ>
        in <ENQ>
        note BCI-0132
        out <ACK>
        state Listening
        in {mtrsl|ci1|}
        out <ACK>
        in <EOT>
        state Idle
        deadline LinkHold 20s
        wait 20
        out <ENQ>
        in <ACK>
        out {mtmpr|ci7|rtTSH|qd1|}",
        ),
    );
    check(
        Dialect::instrument(),
        &with_order(
            "download 1 ORDER
        out <ENQ>
        in <ENQ>
        note BCI-0132
        state Asking
        in <ACK>
        wait 0.02
        out {mtmpr|ci7|rtTSH|qd1|}",
        ),
    );
}

#[test]
fn a_peer_that_speaks_in_place_of_its_reply_ends_the_message() {
    check(
        prompt(),
        &with_order(
            "prompt
        download 1 ORDER
        out <ENQ>
        in <ACK>
        out {mtmpr|ci7|rtTSH|qd1|}
        in <ENQ>
        note BCI-0136
        finished 1 Failed(TimedOut)
        out <ACK>
        in <EOT>
        wait 1
        download 2 ORDER
        out <ENQ>
        in {mtrsl|ci1|}
        note BCI-0132
        note BCI-0110
        out <ACK>
        in <EOT>
        wait 20
        out <ENQ>
        in <ACK>
        out {mtmpr|ci7|rtTSH|qd1|}
        in <EOT>
        note BCI-0136
        finished 2 Failed(TimedOut)
        state Idle",
        ),
    );
}

#[test]
fn nothing_is_sent_while_the_peer_has_the_line() {
    check(
        prompt(),
        &with_order(
            "prompt
        in <ENQ>
        out <ACK>
        download 1 ORDER
        answer 2 ORDER
        in {mtrsl|ci1|}
        out <ACK>
        in <EOT>
        wait 0
        out <ENQ>
        in <ACK>
        out {mtmpr|ci7|rtTSH|qd1|}
        in <ACK>
        out <EOT>
        finished 2 Sent",
        ),
    );
}

#[test]
fn what_is_not_sent_has_its_reason() {
    let mut dialect = prompt();
    dialect.limits.outgoing = 2;
    check(
        dialect,
        &with_order(
            "in <ENQ>
        out <ACK>
        download 1 nothing
        note BCI-0138
        finished 1 Failed(Unsendable)
        download 2 <1E>mtmpr|ci<STX>|
        note BCI-0138
        finished 2 Failed(Unsendable)
        download 3 ORDER
        brief 4 ORDER
        download 5 ORDER
        note BCI-0137
        finished 5 Failed(Busy)
        wait 0.1
        note BCI-0140
        finished 4 Failed(Expired)
        withdraw 3
        finished 3 Failed(Withdrawn)
        download 6 ORDER
        close
        note BCI-0139
        finished 6 Failed(LineLost)
        download 7 ORDER
        note BCI-0139
        finished 7 Failed(LineLost)",
        ),
    );
}
