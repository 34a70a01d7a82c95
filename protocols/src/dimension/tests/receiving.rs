//! Messages in: what is acknowledged, accepted, refused.

use bytes::Bytes;

use super::{RESULT, check, open, prompt};
use crate::{
    dimension::{
        Dialect,
        dialect::ChecksumRule,
        link::{checksum, frame},
    },
    transcript::shown,
    wire::{CommitId, Input, Machine},
};

/// The frames of the reference, checksums as printed there.
#[test]
fn the_printed_frames_have_their_checksums() {
    for (message, printed) in [
        ("P|DIM1|1|1|0", "79"),
        ("P|DIM1|0|1|0", "78"),
        ("N", "6A"),
        ("I|00112028", "0F"),
        (
            "D|0|0|A|TEST PATIENT             |00112028|2||0|1|**|1|1|GLUC",
            "84",
        ),
        (RESULT, "75"),
        ("M|A|", "E2"),
    ] {
        let sum = checksum(&super::message(message));
        assert_eq!(
            std::str::from_utf8(&sum).expect("ASCII"),
            printed,
            "{message}"
        );
    }
    assert_eq!(shown(&frame(b"N\x1c")), "<STX>N<FS>6A<ETX>");
}

#[test]
fn a_poll_is_acknowledged_and_answered_that_there_is_nothing() {
    check(
        prompt(),
        "in <STX>P<FS>DIM1<FS>0<FS>1<FS>0<FS>78<ETX>
        out <ACK><STX>N<FS>6A<ETX>
        state WaitReply
        deadline Reply 5s
        in <ACK>
        state Idle
        deadline none",
    );
}

#[test]
fn a_first_poll_is_noted_once() {
    check(
        prompt(),
        "in {P|DIM1|1|1|0}
        note DIM-0119
        out <ACK>{N}
        in <ACK>
        in {P|DIM1|1|1|0}
        out <ACK>{N}
        in <ACK>
        in {P|DIM1|0|1|0}
        out <ACK>{N}
        in <ACK>
        in {P|DIM1|1|1|0}
        note DIM-0119
        out <ACK>{N}",
    );
}

#[test]
fn a_result_is_durable_before_it_is_acknowledged_and_accepted() {
    let stored = shown(&super::message(RESULT));
    check(
        prompt(),
        &format!(
            "in {{{RESULT}}}
        commit #1 1.0 {stored} [{stored}]
        state WaitDisk
        deadline Commit 5s
        wait 4
        durable
        out <ACK><STX>M<FS>A<FS><FS>E2<ETX>
        in <ACK>
        state Idle"
        ),
    );
}

#[test]
fn a_calibration_is_accepted_as_a_result_is() {
    check(
        prompt(),
        "prompt
        in {C|GLUC|mg/dL|LOT1|CHEM|LOT2|OP|433910270718|1|0|0|0}
        out <ACK>{M|A|}",
    );
}

#[test]
fn the_owner_may_reject_a_report() {
    let run = |reply: &'static [u8]| {
        let mut bench = open(prompt());
        bench.act("in", &format!("{{{RESULT}}}"));
        bench.outputs.clear();
        let reply = Some(Bytes::from_static(reply));
        bench.handle(Input::Committed(CommitId(1), reply));
        bench
    };
    run(b"M\x1cR\x1c1\x1c").check("out <ACK>{M|R|1}");
    for wrong in [
        &b"AA"[..],
        b"N\x1c",
        b"M\x1cX\x1c1\x1c",
        b"M\x1cR\x1c\x021\x1c",
    ] {
        run(wrong).check(
            "note DIM-0121
            out <ACK>{M|A|}",
        );
    }
}

#[test]
fn a_repeated_report_is_accepted_again_and_not_stored_again() {
    let mut bench = open(prompt());
    bench.act("in", &format!("{{{RESULT}}}"));
    bench.outputs.clear();
    let reply = Some(Bytes::from_static(b"M\x1cR\x1c1\x1c"));
    bench.handle(Input::Committed(CommitId(1), reply));
    bench.check(&format!(
        "out <ACK>{{M|R|1}}
        in {{{RESULT}}}
        note DIM-0133
        note DIM-0108
        out <ACK>{{M|R|1}}
        in <ACK>
        wait 50
        in {{{RESULT}}}
        note DIM-0108
        out <ACK>{{M|R|1}}
        in <ACK>
        wait 61
        prompt
        in {{{RESULT}}}
        out <ACK>{{M|A|}}"
    ));
}

#[test]
fn what_is_not_known_is_stored_and_acknowledged() {
    check(
        prompt(),
        "in {X|1|2}
        commit #1 1.0 X<FS>1<FS>2<FS> [X<FS>1<FS>2<FS>]
        durable
        out <ACK>
        state Idle
        in {PX|1}
        commit #2 2.0 PX<FS>1<FS> [PX<FS>1<FS>]
        durable
        out <ACK>",
    );
}

#[test]
fn a_wrong_checksum_is_refused_and_lower_case_fits() {
    check(
        prompt(),
        "in <STX>N<FS>6B<ETX>
        note DIM-0101
        out <NAK>
        in <STX>P<FS>DIM1<FS>0<FS>1<FS>78<ETX>
        note DIM-0101
        out <NAK>
        prompt
        in <STX>X<FS>2<FS>c2<ETX>
        out <ACK>",
    );
}

#[test]
fn checksums_can_be_a_warning_or_off() {
    let with = |checksum| Dialect {
        checksum,
        ..prompt()
    };
    check(
        with(ChecksumRule::Warn),
        "prompt
        in <STX>X<FS>00<ETX>
        note DIM-0102
        out <ACK>",
    );
    check(
        with(ChecksumRule::Off),
        "prompt
        in <STX>X<FS>00<ETX>
        out <ACK>
        in <STX>X<FS><ETX>
        out <ACK>",
    );
}

#[test]
fn a_message_without_fs_before_its_checksum_is_refused() {
    for odd in ["", "X", "X79", "X<FS>1", "X<FS>123"] {
        check(
            prompt(),
            &format!(
                "in <STX>{odd}<ETX>
        note DIM-0103
        out <NAK>"
            ),
        );
    }
}

#[test]
fn a_failed_commit_is_answered_nak_and_the_resend_is_the_same_row() {
    check(
        prompt(),
        "in {X|1}
        commit #1 1.0 X<FS>1<FS> [X<FS>1<FS>]
        fails
        note DIM-0113
        out <NAK>
        in {X|1}
        note DIM-0114
        commit #2 1.0 X<FS>1<FS> [X<FS>1<FS>]
        durable
        out <ACK>",
    );
}

#[test]
fn a_late_commit_is_answered_nak_and_the_resend_joins_it() {
    check(
        prompt(),
        &format!(
            "in {{{RESULT}}}
        commit #1 1.0 {stored} [{stored}]
        wait 5
        note DIM-0112
        out <NAK>
        durable
        in {{{RESULT}}}
        note DIM-0114
        out <ACK>{{M|A|}}",
            stored = shown(&super::message(RESULT))
        ),
    );
}

#[test]
fn a_report_that_was_never_acknowledged_is_not_lost_when_the_peer_goes_on() {
    check(
        prompt(),
        "in {X|1}
        commit #1 1.0 X<FS>1<FS> [X<FS>1<FS>]
        fails
        note DIM-0113
        out <NAK>
        in {X|2}
        commit #2 2.0 X<FS>2<FS> [X<FS>2<FS>]
        durable
        out <ACK>
        deadline Commit 10s
        wait 10
        commit #3 1.0 X<FS>1<FS> [X<FS>1<FS>]
        fails
        note DIM-0117
        wait 10
        commit #4 1.0 X<FS>1<FS> [X<FS>1<FS>]
        durable
        deadline none",
    );
}

#[test]
fn a_reply_is_given_to_nobody_but_the_message_that_asked() {
    check(
        prompt(),
        "in {X|1}
        commit #1 1.0 X<FS>1<FS> [X<FS>1<FS>]
        in <STX>
        note DIM-0115
        durable
        state InFrame
        wait 1
        note DIM-0106
        out <NAK>
        in {X|1}
        note DIM-0114
        out <ACK>",
    );
}

#[test]
fn enq_probes_the_host_but_never_while_a_reply_is_owed() {
    check(
        prompt(),
        "in <ENQ>
        out <ACK>
        in {X|1}
        commit #1 1.0 X<FS>1<FS> [X<FS>1<FS>]
        in <ENQ>
        note DIM-0110
        durable
        out <ACK>
        in <EOT>",
    );
    let dialect = Dialect {
        answers_enq: false,
        ..prompt()
    };
    check(
        dialect,
        "in <ENQ>
        note DIM-0110",
    );
}

/// The analyzer prints on the same line, and a stall glues messages together.
#[test]
fn printed_lines_between_messages_are_passed_over() {
    check(
        prompt(),
        "in DIM1<FS> -1<FS> 1<FS>     1<FS> Dimension<FS>0<FS> NA<FS>   A<FS> 139<CR><LF>{P|DIM1|0|1|0}<ACK>{P|DIM1|0|1|0}<ACK>{X|1}
        note DIM-0109
        out <ACK>{N}<ACK>{N}
        commit #1 1.0 X<FS>1<FS> [X<FS>1<FS>]",
    );
}

#[test]
fn a_second_stx_begins_anew_and_a_cut_message_is_refused_after_a_second() {
    check(
        prompt(),
        "prompt
        in <STX>R<FS>0<STX>X<FS>1<FS>C1<ETX>
        note DIM-0107
        out <ACK>
        in <STX>R<FS>0
        deadline InterByte 1s
        wait 1
        note DIM-0106
        out <NAK>",
    );
}

#[test]
fn a_message_over_the_limit_is_refused() {
    let mut dialect = prompt();
    dialect.limits.message = 20;
    check(
        dialect,
        &format!(
            "in <STX>{}
        note DIM-0105
        out <NAK>",
            "X".repeat(23)
        ),
    );
}

#[test]
fn a_control_character_is_taken_where_the_checksum_fits() {
    check(
        prompt(),
        "prompt
        in {X|a<0B>b}
        note DIM-0104
        out <ACK>",
    );
}

#[test]
fn reports_are_refused_while_the_store_is_behind_and_polls_are_not() {
    let mut bench = open(prompt());
    for number in 0..5 {
        bench.act("in", &format!("{{X|{number}}}"));
    }
    bench.notes.clear();
    bench.outputs.clear();
    bench
        .check(
            "in {X|9}
        note DIM-0116
        out <NAK>
        in {P|DIM1|0|1|0}
        out <ACK>{N}",
        )
        .machine
        .accepts();
}

#[test]
fn a_lost_line_keeps_what_the_store_has_not_answered() {
    let bench = check(
        prompt(),
        "in {X|1}
        commit #1 1.0 X<FS>1<FS> [X<FS>1<FS>]
        close
        note DIM-0115
        fails
        note DIM-0117
        deadline Commit 10s
        wait 10
        commit #2 1.0 X<FS>1<FS> [X<FS>1<FS>]",
    );
    assert!(bench.machine.awaits_store());
}
