//! Blocks in: what is acknowledged, refused, kept.

use super::{check, class_a, open, prompt};
use crate::{
    beckman_au::{Bcc, Dialect, Model, dialect::Durability, link::bcc},
    wire::{Input, Machine},
};

/// The examples of the reference, block checks as printed there.
#[test]
fn the_printed_examples_are_taken_with_their_block_checks() {
    check(
        prompt(),
        "prompt
        in <STX>RB00<ETX><13>
        out <ACK>
        in <STX>R 00000301 00010009063962    <ETX><53>
        out <ACK>
        answer 1 S 000301 00010009063962    E01600200<ETX>
        out <STX>S 000301 00010009063962    E01600200<ETX><12>
        in <ACK>
        finished 1 Sent
        in <STX>R 00000301 00010009063962    <ETX><53>
        out <ACK>
        answer 2 SE000301 00010009063962<ETX>
        out <STX>SE000301 00010009063962<ETX><37>
        in <ACK>
        finished 2 Sent
        in <STX>RE00<ETX><14>
        out <ACK>
        in <STX>DB00<ETX><05>
        out <ACK>
        in <STX>D 00000301 00010009063962    E0016    161.3H       <ETX><44>
        out <ACK>
        in <STX>DE00<ETX><02>
        out <ACK>
        state Idle",
    );
}

#[test]
fn block_check_is_the_exclusive_or_to_the_end_code() {
    assert_eq!(bcc(b"S 000301 00010009063962    E01600200\x03"), 0x12);
    assert_eq!(bcc(b""), 0);
}

#[test]
fn ack_waits_for_the_disk() {
    check(
        prompt(),
        "in {D 00000301 00010009063962    E0016    161.3H       }
        commit #1 1.0 D 00000301 00010009063962    E0016    161.3H       <ETX> [D 00000301 00010009063962    E0016    161.3H       <ETX>]
        state WaitDisk
        deadline Commit 1.5s
        wait 1.4
        durable
        out <ACK>
        state Idle",
    );
}

#[test]
fn ack_waits_half_a_second_after_the_block() {
    check(
        Dialect::host(Model::Au5800),
        "prompt
        in {RB00}
        state WaitTurn
        deadline LinkHold 0.5s
        wait 0.499
        wait 0.001
        out <ACK>",
    );
}

#[test]
fn a_block_with_a_wrong_check_is_refused_and_taken_when_it_comes_again() {
    check(
        prompt(),
        "in <STX>RB00<ETX><12>
        note BAU-0101
        out <NAK>
        in {RB00}
        commit #1 1.0 RB00<ETX> [RB00<ETX>]
        durable
        out <ACK>",
    );
}

#[test]
fn a_check_that_covers_the_start_code_is_understood() {
    let dialect = Dialect {
        bcc_covers_start: true,
        ..prompt()
    };
    check(
        dialect,
        "prompt
        in <STX>RB00<ETX><11>
        out <ACK>
        in <STX>RE00<ETX><14>
        note BAU-0101
        out <NAK>",
    );
}

#[test]
fn a_check_can_be_off_or_a_warning() {
    let off = Dialect {
        bcc: Bcc::Off,
        ..prompt()
    };
    check(
        off.clone(),
        "prompt
        in <STX>RB00<ETX>
        out <ACK>
        in <STX>R<LF>00<ETX>
        note BAU-0103
        out <NAK>",
    );
    let warn = Dialect {
        bcc: Bcc::Warn,
        ..prompt()
    };
    check(
        warn,
        "prompt
        in <STX>RB00<ETX><00>
        note BAU-0102
        out <ACK>
        in <STX>RB<LF>0<ETX><00>
        note BAU-0103
        out <NAK>",
    );
}

#[test]
fn a_control_character_is_taken_where_the_check_fits() {
    check(
        prompt(),
        "prompt
        in {RB<LF>0}
        note BAU-0104
        out <ACK>",
    );
}

/// The check is one byte of any value: STX, ETX and ENQ among them.
#[test]
fn a_check_that_looks_like_a_control_code_is_a_check() {
    for last in 0..=255_u8 {
        let mut text = vec![b'R', b'B', last, 3];
        if last < b' ' || last == 0x7F {
            continue;
        }
        text.push(bcc(&text));
        let mut bench = open(prompt());
        bench.is_prompt = true;
        bench.handle(Input::Bytes(&[&[2], &text[..]].concat()));
        assert_eq!(bench.commits.len(), 1, "{last}");
        assert!(bench.notes.is_empty(), "{last}: {:?}", bench.notes);
        assert_eq!(bench.machine.state(), "Idle");
    }
}

const TWO_BLOCKS: &str = "
        in {+D 00000301 00010009063962    00016    161.3        }
        commit #1 1.0 D 00000301 00010009063962    00016    161.3        <ETB>
        durable
        out <ACK>
        state WaitBlock
        deadline Receive 15s";

#[test]
fn blocks_make_one_text_and_each_is_durable_before_its_ack() {
    check(
        prompt(),
        &format!(
            "{TWO_BLOCKS}
        in {{D 00000301 00010009063962    E0020      4.2        }}
        commit #2 1.1 D 00000301 00010009063962    E0020      4.2        <ETX> [D 00000301 00010009063962    00016    161.3        <ETB>D 00000301 00010009063962    E0020      4.2        <ETX>]
        state WaitDisk
        durable
        out <ACK>
        state Idle"
        ),
    );
}

#[test]
fn a_block_number_that_skips_makes_the_text_incomplete() {
    check(
        prompt(),
        &format!(
            "{TWO_BLOCKS}
        in {{+D 00000301 00010009063962    20017      1.0        }}
        note BAU-0110
        commit #2 1.1 D 00000301 00010009063962    20017      1.0        <ETB>
        durable
        out <ACK>
        in {{D 00000301 00010009063962    E0020      4.2        }}
        commit #3 1.2 D 00000301 00010009063962    E0020      4.2        <ETX> [D 00000301 00010009063962    00016    161.3        <ETB>D 00000301 00010009063962    20017      1.0        <ETB>D 00000301 00010009063962    E0020      4.2        <ETX>] incomplete
        durable
        out <ACK>"
        ),
    );
}

/// The analyzer goes on with the next block when one was refused twice, and only the refusal
/// tells that block 1 is not there.
#[test]
fn a_refused_block_that_never_came_makes_the_text_incomplete() {
    check(
        prompt(),
        &format!(
            "{TWO_BLOCKS}
        in <STX>D 00000301 00010009063962    10017      1.0        <ETB><7F>
        note BAU-0101
        out <NAK>
        in {{D 00000301 00010009063962    E0020      4.2        }}
        note BAU-0110
        commit #2 1.1 D 00000301 00010009063962    E0020      4.2        <ETX> [D 00000301 00010009063962    00016    161.3        <ETB>D 00000301 00010009063962    E0020      4.2        <ETX>] incomplete
        durable
        out <ACK>"
        ),
    );
    check(
        prompt(),
        "in <STX>D 00000301 00010009063962    00017      1.0        <ETB><7F>
        note BAU-0101
        out <NAK>
        in {D 00000301 00010009063962    E0020      4.2        }
        note BAU-0110
        commit #1 1.0 D 00000301 00010009063962    E0020      4.2        <ETX> [D 00000301 00010009063962    E0020      4.2        <ETX>] incomplete
        durable
        out <ACK>",
    );
}

#[test]
fn a_refused_block_that_came_again_leaves_the_text_complete() {
    check(
        prompt(),
        &format!(
            "{TWO_BLOCKS}
        in <STX>D 00000301 00010009063962    E0020      4.2        <ETX><7F>
        note BAU-0101
        out <NAK>
        in {{D 00000301 00010009063962    E0020      4.2        }}
        commit #2 1.1 D 00000301 00010009063962    E0020      4.2        <ETX> [D 00000301 00010009063962    00016    161.3        <ETB>D 00000301 00010009063962    E0020      4.2        <ETX>]
        durable
        out <ACK>"
        ),
    );
    // A refused request has nothing to do with the result after it.
    check(
        prompt(),
        "prompt
        in <STX>R 00000301 0001<ETX><00>
        note BAU-0101
        out <NAK>
        in {D 00000301 00010009063962    E0020      4.2        }
        out <ACK>",
    );
}

#[test]
fn a_text_without_its_last_block_is_kept_incomplete() {
    let left_over = "[D 00000301 00010009063962    00016    161.3        <ETB>] incomplete";
    check(
        prompt(),
        &format!(
            "{TWO_BLOCKS}
        wait 14.9
        wait 0.1
        note BAU-0112
        commit #2 1 {left_over}
        state Idle
        durable"
        ),
    );
    check(
        prompt(),
        &format!(
            "{TWO_BLOCKS}
        close
        note BAU-0113
        commit #2 1 {left_over}
        fails
        note BAU-0122
        deadline Commit 10s
        wait 10
        commit #3 1 {left_over}
        durable
        deadline none"
        ),
    );
    check(
        prompt(),
        &format!(
            "{TWO_BLOCKS}
        in {{DE00}}
        note BAU-0111
        commit #2 1 {left_over}
        commit #3 2.0 DE00<ETX> [DE00<ETX>]
        durable
        out <ACK>"
        ),
    );
}

/// Another sample begins where block 1 should be: nothing of the two is joined.
#[test]
fn blocks_with_different_headers_are_never_one_text() {
    check(
        prompt(),
        &format!(
            "{TWO_BLOCKS}
        in {{D 00000301 00020009063963    E0020      4.2        }}
        note BAU-0111
        commit #2 1 [D 00000301 00010009063962    00016    161.3        <ETB>] incomplete
        commit #3 2.0 D 00000301 00020009063963    E0020      4.2        <ETX> [D 00000301 00020009063963    E0020      4.2        <ETX>]
        durable
        out <ACK>"
        ),
    );
}

/// ETB is off: blocks end with ETX, and the number alone says that another follows.
#[test]
fn without_etb_the_block_id_says_whether_a_text_goes_on() {
    let dialect = Dialect {
        block_end: 3,
        ..prompt()
    };
    check(
        dialect,
        "prompt
        in {D 00000301 00010009063962    00016    161.3        }
        out <ACK>
        state WaitBlock
        in {D 00000301 00010009063962    E0020      4.2        }
        out <ACK>
        state Idle",
    );
}

#[test]
fn a_block_id_that_is_none_makes_the_text_incomplete() {
    check(
        prompt(),
        "in {D 00000301 00010009063962     0016    161.3        }
        note BAU-0110
        commit #1 1.0 D 00000301 00010009063962     0016    161.3        <ETX> [D 00000301 00010009063962     0016    161.3        <ETX>] incomplete
        durable
        out <ACK>",
    );
}

/// Our ACK was lost: the last block of two comes again and is not a text of its own.
#[test]
fn a_repeated_block_is_acknowledged_and_not_stored_again() {
    check(
        prompt(),
        "prompt
        in {+D 00000301 00010009063962    00016    161.3        }
        out <ACK>
        in {+D 00000301 00010009063962    00016    161.3        }
        note BAU-0114
        out <ACK>
        in {D 00000301 00010009063962    E0020      4.2        }
        out <ACK>
        wait 9
        in {D 00000301 00010009063962    E0020      4.2        }
        note BAU-0114
        out <ACK>
        wait 20
        in {D 00000301 00010009063962    E0020      4.2        }
        out <ACK>",
    );
}

#[test]
fn a_request_in_the_same_words_is_a_request_again() {
    let bench = check(
        prompt(),
        "prompt
        in {R 00000301 00010009063962    }
        out <ACK>
        in {R 00000301 00010009063962    }
        out <ACK>",
    );
    assert_eq!(bench.commits.len(), 2);
}

#[test]
fn a_failed_commit_is_answered_nak_and_the_resend_is_the_same_row() {
    check(
        prompt(),
        "in {DE00}
        commit #1 1.0 DE00<ETX> [DE00<ETX>]
        fails
        note BAU-0118
        out <NAK>
        in {DE00}
        note BAU-0119
        commit #2 1.0 DE00<ETX> [DE00<ETX>]
        durable
        out <ACK>",
    );
}

#[test]
fn a_late_commit_is_answered_nak_and_the_resend_joins_it() {
    check(
        prompt(),
        "in {DE00}
        commit #1 1.0 DE00<ETX> [DE00<ETX>]
        wait 1.5
        note BAU-0117
        out <NAK>
        durable
        in {DE00}
        note BAU-0119
        out <ACK>",
    );
}

#[test]
fn a_reply_is_given_to_nobody_but_the_block_that_asked() {
    check(
        prompt(),
        "in {DE00}
        commit #1 1.0 DE00<ETX> [DE00<ETX>]
        in <STX>RB00
        note BAU-0120
        state InBlock
        durable
        in <ETX><13>
        commit #2 2.0 RB00<ETX> [RB00<ETX>]
        durable
        out <ACK>",
    );
}

/// The peer gave up a whole text that the store refused: it is kept and asked for again.
#[test]
fn a_text_that_was_never_acknowledged_is_not_lost_when_the_peer_goes_on() {
    check(
        prompt(),
        "in {DE00}
        commit #1 1.0 DE00<ETX> [DE00<ETX>]
        fails
        note BAU-0118
        out <NAK>
        in {RB00}
        commit #2 2.0 RB00<ETX> [RB00<ETX>]
        durable
        out <ACK>
        deadline Commit 10s
        wait 10
        commit #3 1.0 DE00<ETX> [DE00<ETX>]
        durable",
    );
}

#[test]
fn blocks_are_refused_while_the_store_is_behind() {
    let mut bench = open(prompt());
    for number in 0..5 {
        bench.handle(Input::Bytes(&bench.wire(&format!("{{DE{number:02}}}"))));
    }
    bench.notes.clear();
    bench.outputs.clear();
    bench.check(
        "in {DE99}
        note BAU-0121
        out <NAK>",
    );
}

#[test]
fn a_cut_block_is_refused_after_a_second_and_a_second_start_code_begins_anew() {
    check(
        prompt(),
        "prompt
        in <STX>DE
        deadline InterByte 1s
        wait 1
        note BAU-0106
        out <NAK>
        in <STX>D<STX>DE00<ETX><02>
        note BAU-0107
        out <ACK>",
    );
}

#[test]
fn a_block_without_its_check_is_refused_after_a_second() {
    check(
        prompt(),
        "in <STX>DE00<ETX>
        state InBlock
        wait 1
        note BAU-0106
        out <NAK>",
    );
}

#[test]
fn blocks_and_texts_over_their_limits_are_refused() {
    let mut dialect = prompt();
    dialect.limits.block = 60;
    dialect.limits.text = 100;
    check(
        dialect.clone(),
        &format!(
            "in <STX>{}
        note BAU-0105
        out <NAK>",
            "D".repeat(61)
        ),
    );
    check(
        dialect,
        "prompt
        in {+D 00000301 00010009063962    00016    161.3        }
        out <ACK>
        in {+D 00000301 00010009063962    10016    161.3        }
        note BAU-0108
        out <NAK>",
    );
}

#[test]
fn noise_is_noted_once_a_run_and_line_ends_not_at_all() {
    check(
        prompt(),
        "prompt
        in <CR><LF>
        in ???
        note BAU-0115
        in ?{DE00}<CR><LF>
        out <ACK>
        in <FF>
        note BAU-0115
        in <ACK>
        note BAU-0124",
    );
}

#[test]
fn enq_is_answered_where_the_dialect_says_so_and_never_while_a_reply_is_owed() {
    check(
        prompt(),
        "in <ENQ>
        note BAU-0116
        in <EOT>
        note BAU-0116",
    );
    let dialect = Dialect {
        answers_enq: true,
        ..prompt()
    };
    check(
        dialect,
        "in <ENQ>
        out <ACK>
        in {DE00}
        commit #1 1.0 DE00<ETX> [DE00<ETX>]
        in <ENQ>
        note BAU-0116
        durable
        out <ACK>
        in <EOT>",
    );
}

#[test]
fn durability_of_whole_texts_acknowledges_the_blocks_before_at_once() {
    let dialect = Dialect {
        durability: Durability::Message,
        ..prompt()
    };
    check(
        dialect,
        "in {+D 00000301 00010009063962    00016    161.3        }
        out <ACK>
        in {D 00000301 00010009063962    E0020      4.2        }
        commit #1 1 [D 00000301 00010009063962    00016    161.3        <ETB>D 00000301 00010009063962    E0020      4.2        <ETX>]
        durable
        out <ACK>",
    );
}

#[test]
fn calibrations_and_reagent_blanks_are_joined_by_their_end_codes() {
    check(
        prompt(),
        "prompt
        in {+DA00 some columns}
        out <ACK>
        state WaitBlock
        in {DA00 more columns}
        out <ACK>
        state Idle",
    );
}

#[test]
fn class_a_acknowledges_nothing_and_keeps_what_is_damaged() {
    check(
        class_a(),
        "in {DE00}
        commit #1 1 [DE00<ETX>]
        durable
        in <STX>RB00<ETX><00>
        note BAU-0101
        note BAU-0109
        commit #2 2 [RB00<ETX>] incomplete
        in <STX>RB0
        wait 1
        note BAU-0106
        note BAU-0109
        state WaitBlock
        in {DE01}
        note BAU-0111
        commit #3 3 [RB0] incomplete
        commit #4 4 [DE01<ETX>]",
    );
}

#[test]
fn class_a_asks_a_store_that_failed_again_and_stops_reading_when_it_is_behind() {
    check(
        class_a(),
        "in {DE00}
        commit #1 1 [DE00<ETX>]
        fails
        note BAU-0122
        wait 10
        commit #2 1 [DE00<ETX>]",
    );
    let mut bench = open(class_a());
    for number in 0..10 {
        bench.handle(Input::Bytes(&bench.wire(&format!("{{DE{number:02}}}"))));
    }
    assert_eq!(bench.commits.len(), 4);
    assert!(bench.machine.accepts() < prompt().limits.inbox);
    for id in 1..=10 {
        bench.handle(Input::Committed(crate::wire::CommitId(id), None));
    }
    assert_eq!(bench.commits.len(), 10);
    assert_eq!(bench.machine.accepts(), prompt().limits.inbox);
    assert!(!bench.machine.awaits_store());
}

#[test]
fn class_a_loses_nothing_that_was_read_when_the_line_closes() {
    let mut bench = open(class_a());
    for number in 0..6 {
        bench.handle(Input::Bytes(&bench.wire(&format!("{{DE{number:02}}}"))));
    }
    bench.handle(Input::Bytes(b"\x02RB0"));
    bench.handle(Input::Closed);
    assert_eq!(bench.commits.len(), 7);
    assert!(bench.machine.awaits_store());
}
