//! Messages in: what is acknowledged, refused, broken off, sent again.

use bytes::Bytes;

use super::{check, continuous, message, open};
use crate::{
    poct1a::{Dialect, dialect::DEPTH_MAX},
    wire::{CommitId, Input, Machine, Output},
};

#[test]
fn nothing_is_acknowledged_before_it_is_durable() {
    check(
        continuous(),
        "in {obs 5}
        note POC-0110
        commit #1 1 [{obs 5}]
        state WaitDisk
        deadline none
        wait 3600
        durable
        out {ack 1 5}",
    );
}

#[test]
fn a_store_that_failed_is_answered_ae_and_the_message_is_taken_when_it_comes_again() {
    check(
        continuous(),
        "in {obs 5}
        note POC-0110
        commit #1 1 [{obs 5}]
        fails
        note POC-0111
        out {nack 1 5}
        in {obs 5}
        note POC-0110
        commit #2 1 [{obs 5}]
        durable
        out {ack 2 5}",
    );
}

#[test]
fn a_repeat_is_acknowledged_and_not_stored_again() {
    check(
        continuous(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {obs 5}
        out {ack 2 5}
        in {obs 5}
        note POC-0108
        out {ack 3 5}
        in {obs 6}
        out {ack 4 6}
        in {obs 5}
        out {ack 5 5}
        wait 301
        in {obs 5}
        out {ack 6 5}",
    );
}

#[test]
fn nothing_is_read_while_the_store_is_asked() {
    check(
        continuous(),
        "in {hel 1}{obs 2}{qc 3}
        commit #1 1 [{hel 1}]
        state WaitDisk
        durable
        out {ack 1 1}
        commit #2 1 [{obs 2}]
        durable
        out {ack 2 2}
        commit #3 1 [{qc 3}]
        durable
        out {ack 3 3}",
    );
}

#[test]
fn a_message_in_any_portions_is_one_message() {
    let bytes = message("obs 5").into_bytes();
    for cut in 1..bytes.len() {
        let mut bench = open(continuous());
        bench.handle(Input::Bytes(&bytes[..cut]));
        assert!(bench.outputs.is_empty());
        bench.handle(Input::Bytes(&bytes[cut..]));
        assert_eq!(bench.commits.len(), 1);
    }
}

/// Whatever holds a `>` or an end tag inside quotes, comments or CDATA does not end a message.
#[test]
fn only_the_end_of_the_root_element_ends_a_message() {
    let tricky = "<?xml version=\"1.0\"?> <OBS.R01><HDR><HDR.control_id V=\"5\"/></HDR>\
        <!-- </OBS.R01> --><A V='</OBS.R01>'/></OBS.R01>";
    // A `<` in a value is no XML, so that the tag inside it begins another message or none.
    check(
        continuous(),
        &format!("in {tricky}\n note POC-0101\n state InMessage\n wait 10\n state WaitHello"),
    );
    let fine = "<?xml version=\"1.0\"?>\n<OBS.R01><HDR><HDR.control_id V=\"5\"/></HDR>\
        <!-- </OBS.R01> --><A V='>/>'>]]></A><B><![CDATA[</OBS.R01>]]></B></OBS.R01>";
    let mut bench = open(continuous());
    bench.handle(Input::Bytes(fine.as_bytes()));
    let Some(Output::Commit(_, crate::wire::Commit::Message(stored))) = bench.outputs.pop_front()
    else {
        panic!("no message");
    };
    assert_eq!(stored.bytes, fine);
}

#[test]
fn what_is_not_well_formed_is_refused_under_its_control_id() {
    check(
        continuous(),
        "in <OBS.R01><HDR><HDR.control_id V=\"5\"/></HDR><A></B></OBS.R01>
        note POC-0101
        out <ACK.R01><HDR><HDR.control_id V=\"1\"/><HDR.version_id V=\"POCT1\"/></HDR><ACK><ACK.type_cd V=\"AE\"/><ACK.ack_control_id V=\"5\"/></ACK></ACK.R01>
        in <OBS.R01><A></B></OBS.R01>
        note POC-0101
        in <OBS.R01><A V=\"1\" V=\"2\"/></OBS.R01>
        note POC-0101",
    );
}

#[test]
fn declarations_are_never_read() {
    check(
        continuous(),
        "in <!DOCTYPE a [<!ENTITY b \"bbbbbbbb\"><!ENTITY c \"&b;&b;&b;\">]>{kpa 1}
        note POC-0102
        out {ack 1 1}
        in <OBS.R01><!ENTITY b \"bbbb\"></OBS.R01>{kpa 2}
        note POC-0102
        out {ack 2 2}
        in <OBS.R01><?php ?></OBS.R01>{kpa 3}
        note POC-0102
        out {ack 3 3}",
    );
}

#[test]
fn what_is_too_deep_or_too_long_is_refused_and_the_next_message_is_read() {
    let mut dialect = continuous();
    dialect.limits.message = 2_048;
    let deep = "<A>".repeat(DEPTH_MAX + 2);
    check(
        dialect.clone(),
        &format!("in {deep}{{kpa 1}}\n note POC-0104\n out {{ack 1 1}}"),
    );
    let long = format!("<OBS.R01><A V=\"{}\"/></OBS.R01>", "x".repeat(3_000));
    check(
        dialect.clone(),
        &format!("in {long}{{kpa 1}}\n note POC-0103\n out {{ack 1 1}}"),
    );
    let name = "N".repeat(70);
    check(
        dialect.clone(),
        &format!("in <{name}/>{{kpa 1}}\n note POC-0104\n out {{ack 1 1}}"),
    );
    // After a silence whatever comes is a message again, of a vendor's own kind, too.
    check(
        dialect,
        &format!(
            "in {deep}
        note POC-0104
        wait 10
        in <VEN.DOR><HDR><HDR.control_id V=\"4\"/></HDR></VEN.DOR>
        note POC-0110
        commit #1 1 [<VEN.DOR><HDR><HDR.control_id V=\"4\"/></HDR></VEN.DOR>]"
        ),
    );
}

#[test]
fn a_message_that_breaks_off_is_cut_by_silence_or_by_the_next_one() {
    check(
        continuous(),
        "in <OBS.R01><HDR>
        state InMessage
        deadline InterByte 10s
        wait 9
        in <HDR.control_id
        wait 10
        note POC-0105
        state WaitHello
        in <OBS.R01><HDR>{kpa 1}
        note POC-0106
        out {ack 1 1}
        in <OBS.R01><HDR><KPA.R01/>
        note POC-0106
        note POC-0109
        out <ACK.R01><HDR><HDR.control_id V=\"2\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2026-02-22T14:06:34-00:00\"/></HDR><ACK><ACK.type_cd V=\"AA\"/><ACK.ack_control_id V=\"\"/></ACK></ACK.R01>
        in <OBS.R01><HDR>
        close
        note POC-0105",
    );
}

#[test]
fn bytes_outside_a_message_are_noted_once() {
    check(
        continuous(),
        "in hello<LF>there{kpa 1}?<03>
        note POC-0107
        out {ack 1 1}
        note POC-0107",
    );
}

#[test]
fn a_message_without_a_control_id_is_taken() {
    check(
        continuous(),
        "in <OBS.R01><SVC/></OBS.R01>
        note POC-0109
        note POC-0110
        commit #1 1 [<OBS.R01><SVC/></OBS.R01>]
        durable
        out <ACK.R01><HDR><HDR.control_id V=\"1\"/><HDR.version_id V=\"POCT1\"/></HDR><ACK><ACK.type_cd V=\"AA\"/><ACK.ack_control_id V=\"\"/></ACK></ACK.R01>",
    );
}

#[test]
fn what_is_not_known_is_stored() {
    check(
        continuous(),
        "in {new 5}
        note POC-0110
        commit #1 1 [{new 5}]
        durable
        out {ack 1 5}",
    );
}

#[test]
fn the_owner_may_acknowledge_in_its_own_words() {
    let run = |reply: String| {
        let mut bench = open(continuous());
        bench.act("in", "{obs 5}");
        bench.outputs.clear();
        bench.notes.clear();
        bench.handle(Input::Committed(CommitId(1), Some(Bytes::from(reply))));
        bench
    };
    run(message("nack own 5")).check("out {nack 1 5}");
    for wrong in [message("nack own 6"), message("kpa 5")] {
        run(wrong).check("note POC-0112\n out {ack 2 5}");
    }
    run("AA".to_owned()).check("note POC-0112\n out {ack 1 5}");
}

#[test]
fn a_commit_of_an_earlier_connection_acknowledges_nothing() {
    check(
        continuous(),
        "in {obs 5}
        note POC-0110
        commit #1 1 [{obs 5}]
        close
        open
        durable 1
        note POC-0119
        fails 1
        note POC-0119
        in {ack 9 9}
        note POC-0114",
    );
}

#[test]
fn a_flood_beyond_what_was_asked_for_is_cut() {
    let mut dialect = Dialect::default();
    dialect.limits.inbox = 300;
    let mut bench = open(dialect);
    bench.act("in", "{hel 1}");
    assert_eq!(bench.machine.accepts(), 300);
    bench.handle(Input::Bytes(&[b' '; 400]));
    assert_eq!(bench.machine.accepts(), 0);
    assert_eq!(bench.notes.pop_front(), Some("POC-0113"));
}
