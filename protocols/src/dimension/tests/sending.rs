//! Messages out: orders at a poll, answers to queries, an instrument's own.

use super::{check, prompt};
use crate::dimension::{Dialect, Unanswered};

const ORDER: &str =
    "D<FS>0<FS>0<FS>A<FS>TEST<FS>00112028<FS>2<FS><FS>0<FS>1<FS>**<FS>1<FS>1<FS>GLUC<FS>";
const ORDER_FRAME: &str = "{D|0|0|A|TEST|00112028|2||0|1|**|1|1|GLUC}";

const ASKED: &str = "in {I|00112028}
        commit #1 1.0 I<FS>00112028<FS> [I<FS>00112028<FS>]
        durable
        out <ACK>
        state WaitAnswer
        deadline Expiry 5s";

#[test]
fn an_order_waits_for_a_poll_and_ends_with_the_instruments_word() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        download 2 {ORDER}
        deadline none
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in <ACK>
        state WaitAcceptance
        deadline Reply 10s
        in {{M|A||||42}}
        out <ACK>
        finished 1 Answered M<FS>A<FS><FS><FS><FS>42<FS>
        state Idle
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in <ACK>
        in {{M|R|5}}
        out <ACK>
        finished 2 Answered M<FS>R<FS>5<FS>
        in {{P|DIM1|0|1|0}}
        out <ACK>{{N}}"
        ),
    );
}

/// A stall glued three polls together: one order for the last, not three at once.
#[test]
fn of_several_polls_at_once_only_the_last_is_given_an_order() {
    check(
        Dialect::default(),
        &format!(
            "download 1 {ORDER}
        download 2 {ORDER}
        in {{P|DIM1|0|1|0}}{{P|DIM1|0|1|0}}{{P|DIM1|0|1|0}}
        out <ACK><ACK><ACK>
        note DIM-0115
        note DIM-0115
        state WaitTurn
        deadline LinkHold 0.02s
        wait 0.02
        out {ORDER_FRAME}
        in <ACK>
        state WaitAcceptance"
        ),
    );
}

/// The missing ACK may still come; N can bear it, an order cannot.
#[test]
fn a_poll_after_a_message_without_a_reply_is_given_no_order() {
    check(
        prompt(),
        &format!(
            "in {{P|DIM1|0|1|0}}
        out <ACK>{{N}}
        wait 5
        note DIM-0131
        download 1 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{{N}}
        in <ACK>
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}"
        ),
    );
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        download 2 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in {{P|DIM1|0|1|0}}
        note DIM-0133
        finished 1 Failed(TimedOut)
        out <ACK>{{N}}
        in {{P|DIM1|0|1|0}}
        note DIM-0133
        out <ACK>{{N}}
        in <ACK>
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}"
        ),
    );
}

#[test]
fn an_instrument_that_takes_no_orders_is_given_none() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        in {{P|DIM1|0|0|0}}
        out <ACK>{{N}}
        in <ACK>
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}"
        ),
    );
}

#[test]
fn an_order_that_is_never_accepted_is_given_back() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in <ACK>
        wait 10
        note DIM-0134
        finished 1 Failed(TimedOut)
        in {{M|A|}}
        note DIM-0120
        out <ACK>"
        ),
    );
    // The next poll says that no word will come.
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in <ACK>
        in {{P|DIM1|0|1|0}}
        out <ACK>
        note DIM-0134
        finished 1 Failed(TimedOut)
        out {{N}}"
        ),
    );
}

#[test]
fn a_result_between_an_order_and_its_acceptance_changes_nothing() {
    check(
        prompt(),
        &format!(
            "prompt
        download 1 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in <ACK>
        in {{X|1}}
        out <ACK>
        state WaitAcceptance
        in {{M|A|}}
        out <ACK>
        finished 1 Answered M<FS>A<FS><FS>"
        ),
    );
}

#[test]
fn a_query_is_answered_by_its_owner() {
    check(
        prompt(),
        &format!(
            "{ASKED}
        answer 1 {ORDER}
        out {ORDER_FRAME}
        in <ACK>
        in {{M|A|}}
        out <ACK>
        finished 1 Answered M<FS>A<FS><FS>"
        ),
    );
    check(
        prompt(),
        &format!(
            "{ASKED}
        answer 1 N<FS>
        out {{N}}
        in <ACK>
        finished 1 Sent
        state Idle"
        ),
    );
}

#[test]
fn an_answer_may_come_before_the_query_is_acknowledged() {
    check(
        prompt(),
        &format!(
            "in {{I|00112028}}
        commit #1 1.0 I<FS>00112028<FS> [I<FS>00112028<FS>]
        answer 1 {ORDER}
        durable
        out <ACK>{ORDER_FRAME}"
        ),
    );
}

#[test]
fn a_query_that_nobody_answers_is_answered_that_there_is_nothing() {
    check(
        prompt(),
        &format!(
            "{ASKED}
        wait 5
        note DIM-0122
        out {{N}}
        in <ACK>
        answer 1 {ORDER}
        note DIM-0137
        finished 1 Failed(Expired)"
        ),
    );
    let dialect = Dialect {
        unanswered: Unanswered::Silence,
        ..prompt()
    };
    check(
        dialect,
        &format!(
            "{ASKED}
        wait 5
        note DIM-0122
        state Idle
        deadline none"
        ),
    );
}

#[test]
fn an_answer_for_another_sample_is_never_sent() {
    for other in ["00112029", "0112028", "00112028 ", ""] {
        check(
            prompt(),
            &format!(
                "{ASKED}
        answer 1 D<FS>0<FS>0<FS>A<FS>TEST<FS>{other}<FS>2<FS><FS>0<FS>1<FS>**<FS>1<FS>1<FS>GLUC<FS>
        note DIM-0138
        finished 1 Failed(Unsendable)"
            ),
        );
    }
}

#[test]
fn an_answer_dies_with_its_query() {
    for next in ["{P|DIM1|0|1|0}", "{I|00112029}", "{X|1}", "{M|A|}"] {
        let mut bench = super::open(prompt());
        bench.act("in", "{I|00112028}");
        bench.act("answer", &format!("1 {ORDER}"));
        bench.outputs.clear();
        bench.act("in", next);
        let failed = crate::wire::SendOutcome::Failed(crate::wire::SendFailure::Expired);
        let id = crate::wire::OutId(1);
        let outdated = crate::wire::Output::Finished(id, failed);
        assert!(
            bench.outputs.contains(&outdated),
            "{next}: {:?}",
            bench.outputs
        );
        assert!(bench.notes.contains(&"DIM-0141"), "{next}");
    }
    check(
        prompt(),
        &format!(
            "{ASKED}
        in <STX>
        answer 1 {ORDER}
        note DIM-0137
        finished 1 Failed(Expired)"
        ),
    );
}

#[test]
fn one_query_gets_one_answer() {
    check(
        prompt(),
        &format!(
            "in {{I|00112028}}
        commit #1 1.0 I<FS>00112028<FS> [I<FS>00112028<FS>]
        answer 1 {ORDER}
        answer 2 {ORDER}
        note DIM-0135
        finished 2 Failed(Busy)
        durable
        out <ACK>{ORDER_FRAME}
        answer 3 {ORDER}
        note DIM-0137
        finished 3 Failed(Expired)"
        ),
    );
}

#[test]
fn a_refused_message_is_sent_three_times_at_most() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in <NAK>
        note DIM-0130
        out {ORDER_FRAME}
        in <NAK>
        note DIM-0130
        out {ORDER_FRAME}
        in <NAK>
        note DIM-0130
        note DIM-0132
        finished 1 Failed(Refused)
        state Idle"
        ),
    );
}

/// Its ACK may have been lost, and then the order is there.
#[test]
fn an_order_without_a_reply_is_not_sent_again_by_itself() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        wait 5
        note DIM-0131
        finished 1 Failed(TimedOut)
        state Idle"
        ),
    );
}

#[test]
fn a_message_in_place_of_a_reply_ends_ours() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in {{P|DIM1|0|1|0}}
        note DIM-0133
        finished 1 Failed(TimedOut)
        out <ACK>{{N}}
        in ??
        note DIM-0109
        in <ACK>
        state Idle"
        ),
    );
}

/// An acceptance names no order: it may be a late one of the order before.
#[test]
fn an_acceptance_counts_only_after_the_ack_of_its_order() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in {{M|A|}}
        note DIM-0133
        finished 1 Failed(TimedOut)
        note DIM-0120
        out <ACK>"
        ),
    );
}

#[test]
fn a_lost_line_fails_what_waits_and_what_is_under_way() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        download 2 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        close
        note DIM-0139
        finished 2 Failed(LineLost)
        finished 1 Failed(LineLost)
        download 3 {ORDER}
        note DIM-0139
        finished 3 Failed(LineLost)
        open
        download 4 {ORDER}
        in {{P|DIM1|0|1|0}}
        out <ACK>{ORDER_FRAME}
        in <ACK>
        close
        note DIM-0139
        finished 4 Failed(LineLost)"
        ),
    );
}

#[test]
fn an_order_can_be_withdrawn_until_it_travels_and_expire() {
    check(
        prompt(),
        &format!(
            "download 1 {ORDER}
        withdraw 1
        finished 1 Failed(Withdrawn)
        in {{I|00112028}}
        commit #1 1.0 I<FS>00112028<FS> [I<FS>00112028<FS>]
        brief 2 {ORDER}
        deadline Expiry 0.1s
        wait 0.1
        note DIM-0140
        finished 2 Failed(Expired)
        durable
        out <ACK>
        answer 3 {ORDER}
        out {ORDER_FRAME}
        withdraw 3
        in <ACK>"
        ),
    );
}

#[test]
fn the_queue_of_orders_has_a_limit() {
    let mut dialect = prompt();
    dialect.limits.outgoing = 1;
    check(
        dialect,
        &format!(
            "download 1 {ORDER}
        download 2 {ORDER}
        note DIM-0135
        finished 2 Failed(Busy)"
        ),
    );
}

#[test]
fn what_a_host_does_not_say_is_not_sent() {
    for payload in [
        "N<FS>",
        "M<FS>A<FS><FS>",
        "R<FS>0<FS>TEST<FS>",
        "P<FS>DIM1<FS>1<FS>1<FS>0<FS>",
        "X<FS>1<FS>",
        "D<FS>0<FS>",
        "<FS>",
        "N",
    ] {
        check(
            prompt(),
            &format!(
                "download 1 {payload}
        note DIM-0136
        finished 1 Failed(Unsendable)"
            ),
        );
    }
    for (payload, why) in [
        (ORDER.replace("GLUC", "GL<02>C"), "control character"),
        (ORDER.replace("<FS>1<FS>GLUC", "<FS>2<FS>GLUC"), "count"),
        (ORDER.replace("<FS>A<FS>", "<FS>B<FS>"), "action"),
    ] {
        let mut bench = super::open(prompt());
        bench.act("download", &format!("1 {payload}"));
        assert_eq!(bench.notes, ["DIM-0136"], "{why}");
    }
}

#[test]
fn an_instrument_polls_asks_and_reports() {
    check(
        Dialect::instrument(),
        &format!(
            "download 1 P<FS>DIM1<FS>1<FS>1<FS>0<FS>
        out {{P|DIM1|1|1|0}}
        download 2 {result}
        in <ACK>
        finished 1 Sent
        state WaitAcceptance
        in {{N}}
        commit #1 1.0 N<FS> [N<FS>]
        durable
        out <ACK>
        wait 0.001
        out {{{RESULT}}}
        wait 5
        note DIM-0131
        out {{{RESULT}}}
        in <ACK>
        state WaitAcceptance
        in {{M|A|}}
        out <ACK>
        finished 2 Answered M<FS>A<FS><FS>
        download 3 I<FS>00112028<FS>
        out {{I|00112028}}
        in <ACK>
        finished 3 Sent
        in {ORDER_FRAME}
        commit #2 2.0 {ORDER} [{ORDER}]
        durable
        out <ACK>
        download 4 M<FS>A<FS><FS>
        out {{M|A|}}
        in <ACK>
        finished 4 Sent",
            RESULT = super::RESULT,
            result = crate::transcript::shown(&super::message(super::RESULT)),
        ),
    );
}

/// While a host waits to hear whether its order was accepted, nothing else is said.
#[test]
fn an_instrument_says_nothing_before_it_has_accepted_an_order() {
    check(
        Dialect::instrument(),
        &format!(
            "prompt
        download 1 P<FS>DIM1<FS>0<FS>1<FS>0<FS>
        out {{P|DIM1|0|1|0}}
        download 2 I<FS>7<FS>
        in <ACK>{ORDER_FRAME}
        finished 1 Sent
        out <ACK>
        deadline Expiry 10s
        wait 9
        answer 3 M<FS>R<FS>5<FS>
        out {{M|R|5}}
        in <ACK>
        finished 3 Sent
        wait 0.001
        out {{I|7}}
        in <ACK>
        finished 2 Sent
        in {ORDER_FRAME}
        out <ACK>
        download 4 I<FS>8<FS>
        wait 9.999
        wait 0.001
        out {{I|8}}"
        ),
    );
}

#[test]
fn an_instrument_gives_up_after_three_sends() {
    check(
        Dialect::instrument(),
        "download 1 I<FS>1<FS>
        out {I|1}
        wait 5
        note DIM-0131
        out {I|1}
        in <NAK>
        note DIM-0130
        out {I|1}
        wait 5
        note DIM-0131
        finished 1 Failed(TimedOut)
        download 2 D<FS>0<FS>
        note DIM-0136
        finished 2 Failed(Unsendable)",
    );
}
