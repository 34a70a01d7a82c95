//! Blocks out: a host's answers, an instrument's requests and results.

use super::{check, class_a, prompt};
use crate::beckman_au::{Dialect, Model, NoOrder, Role};

const ASKED: &str = "prompt
        in {R 00000301 00010009063962    }
        out <ACK>
        deadline Expiry 2s";

const ORDER: &str = "S 000301 00010009063962    E01600200<ETX>";

#[test]
fn an_order_answers_its_request_and_is_sent_when_it_is_acknowledged() {
    check(
        prompt(),
        &format!(
            "{ASKED}
        wait 1.5
        answer 1 {ORDER}
        out {{S 000301 00010009063962    E01600200}}
        state WaitReply
        deadline Reply 2s
        in <ACK>
        finished 1 Sent
        state Idle
        deadline none"
        ),
    );
}

/// ACK after 0.5 s, the order 0.5 s after that, and the two seconds count from the ACK.
#[test]
fn an_order_waits_for_its_turn() {
    check(
        Dialect::host(Model::Au5800),
        &format!(
            "prompt
        in {{R 00000301 00010009063962    }}
        answer 1 {ORDER}
        wait 0.5
        out <ACK>
        deadline LinkHold 0.5s
        wait 0.5
        out {{S 000301 00010009063962    E01600200}}
        in <ACK>
        finished 1 Sent"
        ),
    );
}

#[test]
fn an_order_that_comes_too_late_is_dropped() {
    check(
        prompt(),
        &format!(
            "{ASKED}
        wait 2
        answer 1 {ORDER}
        note BAU-0137
        finished 1 Failed(Expired)"
        ),
    );
    // It was in time, the line was not free in time.
    let mut dialect = Dialect::host(Model::Au5800);
    dialect.timers.answer = std::time::Duration::from_millis(400);
    check(
        dialect,
        &format!(
            "prompt
        in {{R 00000301 00010009063962    }}
        wait 0.5
        out <ACK>
        answer 1 {ORDER}
        wait 0.4
        note BAU-0141
        finished 1 Failed(Expired)"
        ),
    );
}

#[test]
fn a_newer_request_or_the_end_of_asking_drops_the_order_of_the_older() {
    for next in [
        "R 00000302 00020009063963    ",
        "R 00000301 00010009063962    ",
        "RE00",
    ] {
        check(
            Dialect::host(Model::Au5800),
            &format!(
                "prompt
        in {{R 00000301 00010009063962    }}
        wait 0.5
        out <ACK>
        answer 1 {ORDER}
        in {{{next}}}
        note BAU-0141
        finished 1 Failed(Expired)
        wait 0.5
        out <ACK>"
            ),
        );
    }
}

#[test]
fn an_order_for_another_sample_is_never_sent() {
    for other in [
        "S 000401 00010009063962    E01600200",
        "S 000302 00010009063962    E01600200",
        "S 000301U00010009063962    E01600200",
        "S 000301 00020009063962    E01600200",
        "S 000301 00010009063963    E01600200",
        "SH000301 00010009063962    E01600200",
        "SE000301 00020009063962",
        "D 00000301 00010009063962    E0016    161.3H       ",
        "RB00",
    ] {
        check(
            prompt(),
            &format!(
                "{ASKED}
        answer 1 {other}<ETX>
        note BAU-0138
        finished 1 Failed(Unsendable)"
            ),
        );
    }
}

#[test]
fn an_id_that_the_request_left_blank_may_be_told_and_a_repeat_run_is_answered_as_one() {
    check(
        prompt(),
        "prompt
        in {R 00000301 0001}
        out <ACK>
        answer 1 S 000301 00010009063962    E0160<ETX>
        out {S 000301 00010009063962    E0160}
        in <ACK>
        finished 1 Sent
        in {RH00000301 00010009063962    }
        out <ACK>
        answer 2 SH000301 00010009063962    E0160<ETX>
        out {SH000301 00010009063962    E0160}
        in <ACK>
        finished 2 Sent
        in {R 00000301 00010009063962    }
        out <ACK>
        answer 3 SE<ETX>
        out {SE}
        in <ACK>
        finished 3 Sent",
    );
}

#[test]
fn a_host_never_speaks_unasked() {
    check(
        prompt(),
        &format!(
            "answer 1 {ORDER}
        note BAU-0137
        finished 1 Failed(Expired)
        download 2 {ORDER}
        note BAU-0137
        finished 2 Failed(Unsendable)"
        ),
    );
    check(
        prompt(),
        &format!(
            "{ASKED}
        download 2 {ORDER}
        note BAU-0137
        finished 2 Failed(Unsendable)"
        ),
    );
}

#[test]
fn one_request_gets_one_order() {
    check(
        prompt(),
        &format!(
            "{ASKED}
        answer 1 {ORDER}
        out {{S 000301 00010009063962    E01600200}}
        answer 2 {ORDER}
        note BAU-0135
        finished 2 Failed(Busy)
        in <ACK>
        finished 1 Sent
        answer 3 {ORDER}
        note BAU-0137
        finished 3 Failed(Expired)"
        ),
    );
}

#[test]
fn a_refused_block_is_sent_three_times_at_most() {
    let again = "out {S 000301 00010009063962    E01600200}";
    check(
        prompt(),
        &format!(
            "{ASKED}
        answer 1 {ORDER}
        {again}
        in <NAK>
        note BAU-0130
        {again}
        wait 2
        note BAU-0131
        {again}
        in <NAK>
        note BAU-0130
        note BAU-0132
        finished 1 Failed(Refused)
        state Idle"
        ),
    );
    check(
        prompt(),
        &format!(
            "{ASKED}
        answer 1 {ORDER}
        {again}
        wait 2
        note BAU-0131
        {again}
        wait 2
        note BAU-0131
        {again}
        wait 2
        note BAU-0131
        note BAU-0133
        finished 1 Failed(TimedOut)"
        ),
    );
}

#[test]
fn a_text_in_place_of_a_reply_ends_the_order() {
    check(
        prompt(),
        &format!(
            "{ASKED}
        answer 1 {ORDER}
        out {{S 000301 00010009063962    E01600200}}
        in {{DB00}}
        note BAU-0134
        finished 1 Failed(TimedOut)
        out <ACK>
        in <ACK>
        note BAU-0124"
        ),
    );
}

#[test]
fn noise_is_no_reply() {
    check(
        prompt(),
        &format!(
            "{ASKED}
        answer 1 {ORDER}
        out {{S 000301 00010009063962    E01600200}}
        in ??
        note BAU-0115
        in <ACK>
        finished 1 Sent"
        ),
    );
}

#[test]
fn a_lost_line_fails_what_waits_and_what_is_under_way() {
    check(
        prompt(),
        &format!(
            "{ASKED}
        answer 1 {ORDER}
        out {{S 000301 00010009063962    E01600200}}
        close
        note BAU-0139
        finished 1 Failed(LineLost)
        answer 2 {ORDER}
        note BAU-0139
        finished 2 Failed(LineLost)
        open
        state Idle
        answer 3 {ORDER}
        note BAU-0137
        finished 3 Failed(Expired)"
        ),
    );
}

#[test]
fn an_order_can_be_withdrawn_until_it_travels() {
    check(
        Dialect::host(Model::Au5800),
        &format!(
            "prompt
        in {{R 00000301 00010009063962    }}
        answer 1 {ORDER}
        withdraw 1
        finished 1 Failed(Withdrawn)
        brief 2 {ORDER}
        wait 0.1
        note BAU-0140
        finished 2 Failed(Expired)
        answer 3 {ORDER}
        wait 1
        out <ACK>{{S 000301 00010009063962    E01600200}}
        withdraw 3
        in <ACK>
        finished 3 Sent"
        ),
    );
}

#[test]
fn what_is_no_text_is_not_sent() {
    for (payload, at) in [
        ("S 000301 00010009063962    E0160", "without its end code"),
        ("<ETX>", "empty"),
        ("S 000301 00010009063962    00160<ETX>", "ends with block 0"),
        ("S 000301 00010009063962    E0160<ETB>", "ends with ETB"),
        (
            "S 000301 00010009063962    E01<LF>60<ETX>",
            "control character",
        ),
        ("S 000301 00010009063962    E01<STX>0<ETX>", "start code"),
        (
            "S 000301 00010009063962    E0160<ETX>S 000301 00010009063962    E0160<ETX>",
            "two texts",
        ),
        (
            "S 000301 00010009063962    00160<ETB>S 000301 00010009063962    20160<ETB>S 000301 00010009063962    E0160<ETX>",
            "block 1 missing",
        ),
    ] {
        let mut bench = super::open(prompt());
        bench.is_prompt = true;
        bench.handle(crate::wire::Input::Bytes(
            &bench.wire("{R 00000301 00010009063962    }"),
        ));
        bench.outputs.clear();
        bench.act("answer", &format!("1 {payload}"));
        assert_eq!(bench.notes, ["BAU-0136"], "{at}");
    }
}

#[test]
fn a_long_order_goes_in_blocks_that_repeat_its_header() {
    check(
        prompt(),
        "prompt
        in {R 00000301 00010009063962    }
        out <ACK>
        answer 1 S 000301 00010009063962    00160<ETB>S 000301 00010009063962    E0200<ETX>
        out {+S 000301 00010009063962    00160}
        in <ACK>
        out {S 000301 00010009063962    E0200}
        in <ACK>
        finished 1 Sent",
    );
}

#[test]
fn class_a_sends_and_waits_for_nothing_but_its_turn() {
    check(
        class_a(),
        &format!(
            "prompt
        in {{R 00000301 00010009063962    }}
        answer 1 {ORDER}
        out {{S 000301 00010009063962    E01600200}}
        finished 1 Sent"
        ),
    );
    let dialect = Dialect {
        class: crate::beckman_au::Class::A,
        ..Dialect::host(Model::Au5800)
    };
    check(
        dialect,
        "prompt
        in {R 00000301 00010009063962    }
        answer 1 S 000301 00010009063962    00160<ETB>S 000301 00010009063962    E0200<ETX>
        deadline LinkHold 0.5s
        wait 0.5
        out {+S 000301 00010009063962    00160}
        wait 0.5
        out {S 000301 00010009063962    E0200}
        finished 1 Sent",
    );
}

#[test]
fn an_instrument_asks_and_reports_when_it_likes() {
    let mut dialect = Dialect::instrument(Model::Au5800);
    dialect.timers.turnaround = std::time::Duration::ZERO;
    assert_eq!(dialect.role, Role::Instrument);
    check(
        dialect,
        "download 1 RB00<ETX>
        out {RB00}
        download 2 R 00000301 00010009063962    <ETX>
        in <ACK>
        finished 1 Sent
        wait 0.001
        out {R 00000301 00010009063962    }
        in <NAK>
        note BAU-0130
        out {R 00000301 00010009063962    }
        in <ACK>
        finished 2 Sent
        in {S 000301 00010009063962    E0160}
        commit #1 1.0 S 000301 00010009063962    E0160<ETX> [S 000301 00010009063962    E0160<ETX>]
        durable
        out <ACK>
        download 3 D 00000301 00010009063962    E0016    161.3H       <ETX>
        out {D 00000301 00010009063962    E0016    161.3H       }
        in <NAK>
        note BAU-0130
        out {D 00000301 00010009063962    E0016    161.3H       }
        in <NAK>
        note BAU-0130
        note BAU-0132
        finished 3 Failed(Refused)",
    );
}

#[test]
fn the_queue_of_an_instrument_has_a_limit() {
    let mut dialect = Dialect::instrument(Model::Au5800);
    dialect.limits.outgoing = 1;
    check(
        dialect,
        "download 1 RB00<ETX>
        out {RB00}
        download 2 RE00<ETX>
        download 3 DB00<ETX>
        note BAU-0135
        finished 3 Failed(Busy)",
    );
}

#[test]
fn no_order_has_three_forms() {
    let forms = [NoOrder::EndWithSample, NoOrder::End, NoOrder::EmptyOrder];
    let written = forms.map(|no_order| {
        let mut dialect = prompt();
        dialect.layout.no_order = no_order;
        let sample = super::writing::SAMPLE;
        let writer = crate::beckman_au::Writer::new(&dialect);
        let text = writer
            .no_order(crate::beckman_au::Code::REQUEST, &sample)
            .expect("it fits");
        let payload = crate::transcript::shown(&text);
        check(
            dialect,
            &format!(
                "{ASKED}
        answer 1 {payload}
        out {{{}}}
        in <ACK>
        finished 1 Sent",
                payload.strip_suffix("<ETX>").expect("one block")
            ),
        );
        payload
    });
    assert_eq!(
        written,
        [
            "SE000301 00010009063962<ETX>",
            "SE<ETX>",
            "S 000301 00010009063962    E<ETX>",
        ]
    );
}
