//! Conversations: who speaks when, and what ends what.

use super::{check, continuous};
use crate::poct1a::{AckName, Dialect, Wrap};

/// The whole of it, byte for byte, as devices for single conversations have it.
#[test]
fn a_single_conversation_brings_what_is_new() {
    check(
        Dialect::default(),
        "state WaitHello
        in {hel 7135}
        commit #1 1 [<HEL.R01><HDR><HDR.control_id V=\"7135\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2026-02-22T14:06:34-00:00\"/></HDR><DEV><DEV.device_id V=\"00:06:66:00:22:A1\"/><DEV.serial_id V=\"00010387\"/></DEV></HEL.R01>]
        state WaitDisk
        deadline none
        durable
        out <ACK.R01><HDR><HDR.control_id V=\"1\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2026-02-22T14:06:34-00:00\"/></HDR><ACK><ACK.type_cd V=\"AA\"/><ACK.ack_control_id V=\"7135\"/></ACK></ACK.R01>
        state Introduced
        prompt
        in {dst 7136 1 1}
        out {ack 2 7136}<REQ.R01><HDR><HDR.control_id V=\"3\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2026-02-22T14:06:34-00:00\"/></HDR><REQ><REQ.request_cd V=\"ROBS\"/></REQ></REQ.R01>
        state WaitReply
        deadline Reply 30s
        in {ack 7137 3}
        state Observations
        deadline Receive 60s
        in {obs 7138}
        out {ack 4 7138}
        in {qc 7139}
        out {ack 5 7139}
        in {eot 7140 OBS}
        out {ack 6 7140}{req 7 RDEV}
        in {evs 7141}
        out {ack 8 7141}
        state Events
        in {eot 7142 D_EV}
        out {ack 9 7142}<END.R01><HDR><HDR.control_id V=\"10\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2026-02-22T14:06:34-00:00\"/></HDR><TRM><TRM.reason_cd V=\"NRM\"/></TRM></END.R01>
        in {ack 7143 10}
        state Ended
        deadline none",
    );
}

#[test]
fn nothing_new_ends_a_single_conversation() {
    check(
        Dialect::default(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 0 0}
        out {ack 2 2}{end 3}
        in {ack 3 3}
        state Ended",
    );
}

#[test]
fn a_device_reports_as_it_measures() {
    check(
        continuous(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 0 0}
        out {ack 2 2}<DTV.R01><HDR><HDR.control_id V=\"3\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2026-02-22T14:06:34-00:00\"/></HDR><DTV><DTV.command_cd V=\"START_CONTINUOUS\"/></DTV></DTV.R01>
        in {ack 3 3}
        state Continuous
        deadline none
        in {dst 4 1 0}
        out {ack 4 4}
        in {obs 5}
        out {ack 5 5}
        in {kpa 6}
        out {ack 6 6}
        in {evs 7}
        out {ack 7 7}
        state Continuous
        in {end 8}
        out {ack 8 8}
        state Ended",
    );
}

#[test]
fn a_device_that_refuses_the_continuous_mode_has_a_single_conversation() {
    for refusal in ["{nack 3 3}", "{esc 3 3}"] {
        let escaped = if refusal.contains("esc") {
            "note POC-0115"
        } else {
            ""
        };
        check(
            continuous(),
            &format!(
                "prompt
        in {{hel 1}}
        out {{ack 1 1}}
        in {{dst 2 0 0}}
        out {{ack 2 2}}{{dtv 3 START_CONTINUOUS}}
        in {refusal}
        {escaped}
        note POC-0117
        out {{end 4}}
        in {{ack 4 4}}
        state Ended
        in {{hel 5}}
        out {{ack 5 5}}
        in {{dst 6 0 0}}
        out {{ack 6 6}}{{dtv 7 START_CONTINUOUS}}"
            ),
        );
    }
}

#[test]
fn a_device_that_does_not_say_what_is_new_is_asked() {
    check(
        Dialect::default(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in <DST.R01><HDR><HDR.control_id V=\"2\"/></HDR><DST/></DST.R01>
        out {ack 2 2}{req 3 ROBS}
        in {eot 3 OBS}
        out {ack 4 3}{end 5}",
    );
}

#[test]
fn a_site_may_leave_events_where_they_are() {
    let dialect = Dialect {
        asks_events: false,
        ..Dialect::default()
    };
    check(
        dialect,
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 0 5}
        out {ack 2 2}{end 3}",
    );
}

#[test]
fn a_request_without_an_answer_is_sent_again_under_its_control_id() {
    check(
        Dialect::default(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 1 0}
        out {ack 2 2}{req 3 ROBS}
        wait 30
        note POC-0130
        out {req 3 ROBS}
        wait 30
        note POC-0131
        out {end 4}
        wait 30
        note POC-0130
        out {end 4}
        wait 30
        note POC-0131
        state Ended",
    );
}

#[test]
fn a_topic_without_its_end_is_left() {
    check(
        Dialect::default(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 2 0}
        out {ack 2 2}{req 3 ROBS}
        in {obs 3}
        out {ack 4 3}
        wait 59
        in {obs 4}
        out {ack 5 4}
        wait 59
        state Observations
        wait 1
        note POC-0116
        out {end 6}",
    );
}

#[test]
fn the_end_of_the_topic_before_ends_nothing() {
    check(
        Dialect::default(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 1 1}
        out {ack 2 2}{req 3 ROBS}
        in {eot 3 OBS}
        out {ack 4 3}{req 5 RDEV}
        in {eot 3 OBS}
        out {ack 6 3}
        in {ack 4 5}
        in {eot 3 OBS}
        out {ack 7 3}
        state Events
        in {eot 5 D_EV}
        out {ack 8 5}{end 9}",
    );
}

#[test]
fn what_the_owner_sends_waits_for_its_turn_and_ends_with_the_devices_word() {
    check(
        Dialect::default(),
        "download 1 {dtv own LOCK}
        download 2 {eot own OPL}
        prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 1 0}
        out {ack 2 2}{req 3 ROBS}
        in {eot 3 OBS}
        out {ack 4 3}{dtv 5 LOCK}
        in {ack 4 5}
        finished 1 Answered {ack 4 5}
        out {eot 6 OPL}
        in {nack 5 6}
        finished 2 Answered {nack 5 6}
        out {end 7}",
    );
}

#[test]
fn in_the_continuous_mode_messages_of_both_sides_cross() {
    check(
        continuous(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 0 0}
        out {ack 2 2}{dtv 3 START_CONTINUOUS}
        in {ack 3 3}
        download 1 {dtv own UNLOCK}
        out {dtv 4 UNLOCK}
        in {obs 4}
        out {ack 5 4}
        in {ack 5 4}
        finished 1 Answered {ack 5 4}",
    );
}

#[test]
fn an_escape_ends_the_message_that_it_names() {
    check(
        continuous(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        in {dst 2 0 0}
        out {ack 2 2}{dtv 3 START_CONTINUOUS}
        in {ack 3 3}
        download 1 {dtv own LOCK}
        out {dtv 4 LOCK}
        in {esc 4 99}
        note POC-0115
        in {esc 5 4}
        note POC-0115
        note POC-0132
        finished 1 Failed(Refused)",
    );
}

#[test]
fn a_device_asks_for_a_patient_and_is_answered() {
    check(
        continuous(),
        "in {rpat 9}
        note POC-0110
        commit #1 1 [{rpat 9}]
        durable
        state WaitAnswer
        deadline Expiry 10s
        answer 1 {ptl own}
        out {ptl 1}
        in {ack 10 1}
        finished 1 Answered {ack 10 1}",
    );
}

#[test]
fn a_request_that_nobody_answers_is_escaped() {
    check(
        continuous(),
        "prompt
        in {rpat 9}
        note POC-0110
        wait 10
        note POC-0118
        out {esc 1 9}
        answer 1 {ptl own}
        note POC-0135
        finished 1 Failed(Expired)",
    );
}

#[test]
fn a_newer_request_ends_the_wait_for_the_answer_to_the_one_before() {
    check(
        continuous(),
        "in {rpat 9}{rpat 10}
        note POC-0110
        commit #1 1 [{rpat 9}]
        durable
        note POC-0110
        commit #2 1 [{rpat 10}]
        answer 1 {ptl own}
        durable
        note POC-0135
        finished 1 Failed(Expired)
        answer 2 {ptl own}
        out {ptl 1}
        in {ack 11 1}
        finished 2 Answered {ack 11 1}",
    );
    check(
        continuous(),
        "prompt
        in {rpat 9}
        note POC-0110
        in {rpat 10}
        note POC-0110
        note POC-0118
        out {esc 1 9}
        answer 1 {ptl own}
        out {ptl 2}",
    );
}

#[test]
fn hello_begins_anew_and_has_a_number_of_its_own() {
    check(
        continuous(),
        "in {hel 1}
        commit #1 1 [{hel 1}]
        durable
        out {ack 1 1}
        in {dst 2 0 0}
        out {ack 2 2}{dtv 3 START_CONTINUOUS}
        in {ack 3 3}
        download 1 {dtv own LOCK}
        out {dtv 4 LOCK}
        in {hel 7}
        note POC-0131
        finished 1 Failed(TimedOut)
        commit #2 2 [{hel 7}]
        durable
        out {ack 5 7}
        in {obs 8}
        commit #3 2 [{obs 8}]",
    );
}

#[test]
fn what_waits_for_a_turn_that_does_not_come_is_told() {
    check(
        continuous(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        answer 1 {ptl own}
        note POC-0135
        finished 1 Failed(Expired)",
    );
    check(
        Dialect::default(),
        "prompt
        in {hel 1}
        out {ack 1 1}
        download 1 {dtv own LOCK}
        download 2 {dtv own UNLOCK}
        withdraw 2
        finished 2 Failed(Withdrawn)
        in {end 2}
        note POC-0138
        out {ack 2 2}
        close
        note POC-0136
        finished 1 Failed(LineLost)
        download 3 {dtv own LOCK}
        note POC-0136
        finished 3 Failed(LineLost)",
    );
}

#[test]
fn what_is_no_message_is_not_sent() {
    let mut dialect = Dialect::default();
    dialect.limits.outgoing = 1;
    check(
        dialect,
        "download 1 hello
        note POC-0134
        finished 1 Failed(Unsendable)
        download 2 <DTV.R01><HDR/></DTV.R01>
        note POC-0134
        finished 2 Failed(Unsendable)
        download 3 {dtv own LOCK}
        download 4 {dtv own LOCK}
        note POC-0133
        finished 4 Failed(Busy)",
    );
}

#[test]
fn vendors_frame_and_name_things_in_their_own_way() {
    let mut dialect = Dialect {
        wrap: Wrap::Mllp,
        ack_name: AckName::ControlId,
        ..Dialect::default()
    };
    check(
        dialect.clone(),
        "in <0B>{kpa 1}<1C><CR>
        out <0B><ACK.R01><HDR><HDR.control_id V=\"1\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2026-02-22T14:06:34-00:00\"/></HDR><ACK><ACK.type_cd V=\"AA\"/><ACK.control_id V=\"1\"/></ACK></ACK.R01><1C><CR>",
    );
    dialect.wrap = Wrap::Line;
    dialect.ack_name = AckName::AckControlId;
    check(dialect, "in {kpa 1}<CR><LF><LF>\n out {ack 1 1}<LF>");
}

#[test]
fn a_device_says_what_its_owner_gives_it_one_by_one() {
    check(
        Dialect::device(),
        "state Ready
        download 1 {hel own}
        out <HEL.R01><HDR><HDR.control_id V=\"1\"/><HDR.version_id V=\"POCT1\"/><HDR.creation_dttm V=\"2026-02-22T14:06:34-00:00\"/></HDR><DEV><DEV.device_id V=\"00:06:66:00:22:A1\"/><DEV.serial_id V=\"00010387\"/></DEV></HEL.R01>
        download 2 {obs own}
        in {ack 1 1}
        finished 1 Answered {ack 1 1}
        out {obs 2}
        wait 30
        note POC-0130
        out {obs 2}
        in {ack 2 2}
        finished 2 Answered {ack 2 2}
        in {req 3 ROBS}
        commit #1 1 [{req 3 ROBS}]
        durable
        out {ack 3 3}
        answer 3 {eot own OBS}
        out {eot 4 OBS}
        in {ack 4 4}
        finished 3 Answered {ack 4 4}
        in {end 5}
        out {ack 5 5}
        state Ended",
    );
}

#[test]
fn a_device_begins_the_next_conversation_with_its_hello_after_the_end() {
    check(
        Dialect::device(),
        "download 1 {obs own}
        out {obs 1}
        download 2 {obs own}
        in {end 1}
        note POC-0131
        out {ack 2 1}
        finished 1 Failed(TimedOut)
        note POC-0138
        finished 2 Failed(TimedOut)
        state Ended
        download 3 {obs own}
        note POC-0138
        finished 3 Failed(TimedOut)
        download 4 {eot own OBS}
        note POC-0138
        finished 4 Failed(TimedOut)
        state Ended
        download 5 {hel own}
        out {hel 3}
        state WaitReply
        in {ack 2 3}
        finished 5 Answered {ack 2 3}
        download 6 {obs own}
        out {obs 4}
        in {ack 3 4}
        finished 6 Answered {ack 3 4}
        state Ready",
    );
}
