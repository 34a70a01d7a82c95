//! LAB-28 against the messages of the chapter, and in both directions.

use std::fmt::Write;

use proptest::prelude::*;

use super::{
    Envelope, StepNumber, WriteError,
    analyzer::{Broadcast, StepAnswer, build_order_reply},
    order::{Control, PatientWork, SpecimenWork, StepWork, build},
    order_reply::{Reply, Verdict, verdict},
    query::Query,
    transcripts::{codes, transcript},
};
use crate::hl7::{
    Message, ParseError,
    ack::{ErrLocation, ErrSegment, Outcome, Own},
    material::ContainerDraft,
    tables::{OrderStatus, Priority, RepeatStatus, SpecimenRole},
};

const FROM_MANAGER: Envelope<'_> = Envelope {
    sending_application: "BRIDGE",
    sending_facility: "LAB",
    receiving_application: "AN1",
    receiving_facility: "LAB",
    time: "20250115101501+0700",
    control_id: "B0002",
    profile: "",
    acks: None,
    charset: "",
};
const OWN: Own<'_> = Own {
    application: "AN1",
    facility: "LAB",
    time: "20250115101502+0700",
    control_id: "A0002",
    charset: "",
    version: "2.5.1",
};
const PATIENT: PatientWork<'_> = PatientWork {
    ids: &[["PID0098", "", "", "BV01", "PI"]],
    name: &["TRẦN", "BÌNH", "THỊ"],
    birth: "19911105",
    sex: "F",
};
const TSH: StepWork<'_> = StepWork {
    control: Control::New,
    number: ["AW4711-1", ""],
    group: "",
    transaction_time: "20250115101501",
    service: ["TSH", "TSH", "99LAB"],
    priority: Some(Priority::Routine),
    auto_dilution: [""; 4],
    rerun_dilution: [""; 4],
    pre_dilution: [""; 4],
    is_reflex: false,
    consumption: [""; 2],
};
const FT4: StepWork<'_> = StepWork {
    number: ["AW4711-2", ""],
    service: ["FT4", "FT4", "99LAB"],
    priority: None,
    ..TSH
};

fn serum<'a>(container: ContainerDraft, steps: &'a [StepWork<'a>]) -> SpecimenWork<'a> {
    SpecimenWork {
        id: ["25011500021", "BRIDGE"],
        kind: ["SER", "Serum", "HL70487"],
        role: SpecimenRole::Patient,
        collected: "",
        container,
        spm: &[],
        sac: &[],
        steps,
    }
}

fn barcode() -> ContainerDraft {
    ContainerDraft::new().id(&["25011500021"])
}

#[test]
fn the_work_of_the_chapter_is_written_to_the_byte() {
    let query = transcript("Q0001");
    let message = Message::parse(&query).unwrap().0;
    let (query, _) = Query::read(&message).unwrap();
    let specimen = serum(query.container(), &[TSH, FT4]);
    let written = build(&FROM_MANAGER, Some(&PATIENT), &[specimen]).unwrap();
    assert_eq!(written, transcript("B0002"));
}

#[test]
fn a_cancel_names_the_steps_that_are_to_be_left() {
    let cancel = |step: StepWork<'static>| StepWork {
        control: Control::Cancel,
        priority: None,
        transaction_time: "20250115103000",
        ..step
    };
    let envelope = Envelope {
        time: "20250115103000+0700",
        control_id: "B0004",
        ..FROM_MANAGER
    };
    let steps = [cancel(TSH), cancel(FT4)];
    let written = build(&envelope, None, &[serum(barcode(), &steps)]).unwrap();
    assert_eq!(written, transcript("B0004"));
}

#[test]
fn a_vendor_gets_its_own_fields_acknowledgements_and_character_set() {
    let envelope = Envelope {
        acks: Some(["AL", "NE"]),
        charset: "8859/1",
        profile: "LAB-28R^ROCHE",
        ..FROM_MANAGER
    };
    let steps = [TSH];
    let specimen = SpecimenWork {
        spm: &[(2, "25011500021&BARCODE"), (27, "SC^^99ROC")],
        sac: &[(3, "25011500021^BARCODE")],
        ..serum(barcode(), &steps)
    };
    let written = build(&envelope, None, &[specimen]).unwrap();
    let rows: Vec<_> = written.split('\r').take(3).collect();
    assert_eq!(
        rows,
        [
            "MSH|^~\\&|BRIDGE|LAB|AN1|LAB|20250115101501+0700||OML^O33^OML_O33|B0002|P|2.5.1|||AL|NE\
             ||8859/1|||LAB-28R^ROCHE",
            "SPM|1|25011500021&BARCODE||SER^Serum^HL70487|||||||P^Patient^HL70369\
             ||||||||||||||||SC^^99ROC",
            "SAC|||25011500021^BARCODE",
        ]
    );
}

#[test]
fn priority_dilution_reflex_and_volume_stand_in_their_places() {
    let step = StepWork {
        group: "REQ778",
        priority: Some(Priority::Stat),
        auto_dilution: ["", "1", ":", "5"],
        rerun_dilution: ["", "1", ":", "10"],
        pre_dilution: ["", "1", "+", "4"],
        is_reflex: true,
        consumption: ["850", "uL"],
        ..TSH
    };
    let specimen = SpecimenWork {
        role: SpecimenRole::Control,
        collected: "20250115094000",
        ..serum(barcode().dilution(&["", "1", ":", "2"]), &[])
    };
    let steps = [step];
    let specimen = SpecimenWork {
        steps: &steps,
        ..specimen
    };
    let written = build(&FROM_MANAGER, None, &[specimen]).unwrap();
    let (_, body) = written.split_once('\r').unwrap();
    assert_eq!(
        body,
        concat!(
            "SPM|1|25011500021&BRIDGE||SER^Serum^HL70487|||||||Q^Control specimen^HL70369",
            "||||||20250115094000\r",
            "SAC|||25011500021||||||||||||||||||||||||||^1^:^2\r",
            "ORC|NW|||REQ778|||||20250115101501\r",
            "TQ1|1||||||||S^Stat^HL70485\r",
            "OBR||AW4711-1||TSH^TSH^99LAB\r",
            "TCD|TSH^TSH^99LAB|^1^:^5|^1^:^10|^1^+^4||||F^Reflex test^HL70389|850^uL&&UCUM\r",
        )
    );
    let message = Message::parse(&written).unwrap().0;
    let (read, notes) = Broadcast::read(&message).unwrap();
    assert_eq!(codes(&notes), [""; 0]);
    let (_, step) = read.tree.steps().next().unwrap();
    assert_eq!(step.priority(), Some(Priority::Stat));
    let detail = step.details().next().unwrap();
    assert_eq!(detail.repeat_status(), Some(RepeatStatus::Reflex));
    assert_eq!(detail.auto_dilution().raw(), "^1^:^5");
    assert_eq!(step.service().unwrap().id, "TSH");
    assert_eq!(step.transaction_time(), "20250115101501");
}

#[test]
fn an_order_that_could_not_be_carried_out_is_not_written() {
    let no_number = StepWork {
        number: ["", "BRIDGE"],
        ..TSH
    };
    let no_service = StepWork {
        service: ["", "TSH", "99LAB"],
        ..TSH
    };
    let same = StepWork {
        number: ["AW4711-1", "OTHER"],
        ..FT4
    };
    let check = |specimens: &[SpecimenWork<'_>], error| {
        assert_eq!(build(&FROM_MANAGER, None, specimens), Err(error));
    };
    check(&[], WriteError::NoSpecimen);
    let nameless = SpecimenWork {
        id: ["", "BRIDGE"],
        ..serum(ContainerDraft::new().carrier_id(&["S54"]), &[TSH])
    };
    check(&[nameless], WriteError::NoSpecimen);
    // What a query without a container has in its place.
    let query = transcript("Q0001").replace("25011500021", "\"\"");
    let message = Message::parse(&query).unwrap().0;
    let nameless = SpecimenWork {
        id: ["", ""],
        ..serum(Query::read(&message).unwrap().0.container(), &[TSH])
    };
    check(&[nameless], WriteError::NoSpecimen);
    check(&[serum(barcode(), &[])], WriteError::NoStep);
    check(&[serum(barcode(), &[no_number])], WriteError::NoNumber);
    check(&[serum(barcode(), &[no_service])], WriteError::NoService);
    check(&[serum(barcode(), &[TSH, same])], WriteError::SameNumber);
    let twice = [serum(barcode(), &[TSH]), serum(barcode(), &[TSH])];
    check(&twice, WriteError::SameNumber);
    let alone = serum(ContainerDraft::new(), &[TSH]);
    let written = build(&FROM_MANAGER, None, &[alone]).unwrap();
    assert!(!written.contains("\rSAC"), "{written}");
}

/// ORC-2 and its verdict for each number that an answer could be asked about.
#[track_caller]
fn check_reply(text: &str, asked: Control, expected: &[(&str, Verdict)]) {
    let message = Message::parse(text).unwrap().0;
    let (reply, _) = Reply::read(&message).unwrap();
    for (number, verdict) in expected {
        assert_eq!(reply.verdict(number, asked), *verdict, "{number}\n{text}");
    }
}

#[test]
fn an_answer_is_read_step_by_step() {
    for id in ["A0002", "A0003", "A0004", "A0005"] {
        let text = transcript(id);
        let message = Message::parse(&text).unwrap().0;
        assert_eq!(codes(&Reply::read(&message).unwrap().1), [""; 0], "{id}");
    }
    check_reply(
        &transcript("A0002"),
        Control::New,
        &[
            ("AW4711-1", Verdict::Accepted),
            ("AW4711-2", Verdict::Refused),
            ("AW4711-3", Verdict::Unanswered),
            ("AW4711", Verdict::Unanswered),
            ("", Verdict::Unanswered),
        ],
    );
    check_reply(
        &transcript("A0004"),
        Control::Cancel,
        &[
            ("AW4711-1", Verdict::Cancelled),
            ("AW4711-2", Verdict::NotCancelled),
        ],
    );
    check_reply(
        &transcript("A0003"),
        Control::New,
        &[("AW4711-1", Verdict::Unanswered)],
    );
    check_reply(
        &transcript("A0005"),
        Control::New,
        &[("AW4711-1", Verdict::MessageRefused)],
    );
}

#[test]
fn an_answer_that_says_two_things_of_a_step_is_unclear() {
    let text = |body: &str| transcript("A0003") + &body.replace(' ', "\r") + "\r";
    check_reply(
        &text("ORC|OK|A||| ORC|UA|A|||CA ORC|OK|B|||SC ORC|OK|B|||IP"),
        Control::New,
        &[("A", Verdict::Unclear), ("B", Verdict::Accepted)],
    );
    check_reply(
        &text("ORC|OK|A|||SC OBR||B"),
        Control::New,
        &[("A", Verdict::Unanswered), ("B", Verdict::Unanswered)],
    );
    check_reply(
        &transcript("A0003").replace("MSA|AA", "MSA|CA"),
        Control::New,
        &[("A", Verdict::Unclear)],
    );
    check_reply(
        &transcript("A0003").replace("MSA|AA", "MSA|"),
        Control::New,
        &[("A", Verdict::Unclear)],
    );
}

/// Rows ORC-1, columns ORC-5, for both things that can be asked.
#[test]
fn every_cell_of_the_verdicts_is_frozen() {
    let controls = ["OK", "UA", "CR", "UC", "NW", "CA", "SC", ""];
    let statuses = [
        "", "SC", "IP", "CM", "A", "CA", "DC", "HD", "ER", "RP", "??",
    ];
    let mut table = String::new();
    for asked in [Control::New, Control::Cancel] {
        write!(table, "{}  ", asked.as_str()).unwrap();
        for status in statuses {
            write!(
                table,
                " {:13}",
                if status.is_empty() { "-" } else { status }
            )
            .unwrap();
        }
        for control in controls {
            write!(
                table,
                "\n{:3} ",
                if control.is_empty() { "-" } else { control }
            )
            .unwrap();
            for status in statuses {
                let read = (!status.is_empty()).then(|| OrderStatus::read(status));
                let shown = format!("{:?}", verdict(asked, control, read));
                write!(table, " {shown:13}").unwrap();
            }
        }
        table.push_str("\n\n");
    }
    let table: Vec<_> = table.lines().map(str::trim_end).collect();
    let table = table.join("\n");
    insta::assert_snapshot!("law_verdicts", table);
}

#[test]
fn another_message_is_no_answer() {
    for (text, error) in [
        (transcript("A0010"), ParseError::WrongType),
        (
            transcript("A0003").replace("\rMSA|", "\rMSX|"),
            ParseError::SegmentMissing("MSA"),
        ),
    ] {
        let message = Message::parse(&text).unwrap().0;
        assert_eq!(Reply::read(&message).unwrap_err(), error);
    }
}

#[test]
fn the_analyzer_answers_as_in_the_chapter() {
    let request = transcript("B0002");
    let message = Message::parse(&request).unwrap().0;
    let (read, notes) = Broadcast::read(&message).unwrap();
    assert_eq!(codes(&notes), [""; 0]);
    let answers = [
        ("OK", OrderStatus::Scheduled),
        ("UA", OrderStatus::Cancelled),
    ];
    let answers = answers.map(|(control, status)| StepAnswer { control, status });
    let said = (Outcome::Accepted, [].as_slice());
    let written = build_order_reply(&read, said, &answers, &OWN).unwrap();
    assert_eq!(written, transcript("A0002"));
}

#[test]
fn the_analyzer_knows_that_there_is_no_work_and_has_nothing_to_add() {
    let request = transcript("B0003");
    let message = Message::parse(&request).unwrap().0;
    let (read, notes) = Broadcast::read(&message).unwrap();
    assert_eq!(codes(&notes), [""; 0]);
    let specimen = read.tree.specimens.first().unwrap();
    assert!(Broadcast::has_no_work(specimen));
    assert_eq!(specimen.container_id(), "25011500099");
    assert_eq!(specimen.role(), Some(SpecimenRole::Unknown));
    let own = Own {
        control_id: "A0003",
        ..OWN
    };
    let said = (Outcome::Accepted, [].as_slice());
    let written = build_order_reply(&read, said, &[], &own).unwrap();
    assert_eq!(written, transcript("A0003"));
    let error = ErrSegment {
        location: ErrLocation {
            segment: "SAC",
            occurrence: 1,
            field: 3,
            component: 0,
        },
        code: 204,
        text: "no such container on board".into(),
        ..ErrSegment::default()
    };
    let own = Own {
        control_id: "A0005",
        ..OWN
    };
    let errors = [error];
    let said = (Outcome::Rejected, errors.as_slice());
    let written = build_order_reply(&read, said, &[], &own).unwrap();
    assert_eq!(written, transcript("A0005").replace("ORL_O34", "ORL_O42"));

    let work = transcript("B0002");
    let message = Message::parse(&work).unwrap().0;
    let (read, _) = Broadcast::read(&message).unwrap();
    assert!(!Broadcast::has_no_work(&read.tree.specimens[0]));
}

#[test]
fn a_second_obr_below_one_orc_is_a_step_of_its_own() {
    let text = transcript("B0003") + "OBR||A1||T\rTCD|T\rOBR||A2||U\rTCD|U\r";
    let message = Message::parse(&text).unwrap().0;
    let (read, _) = Broadcast::read(&message).unwrap();
    let steps: Vec<_> = read
        .tree
        .steps()
        .map(|(_, step)| (step.control(), step.number()))
        .collect();
    let [("DC", StepNumber::Given(a)), ("DC", StepNumber::Given(b))] = steps.as_slice() else {
        panic!("{steps:?}")
    };
    assert_eq!((a.raw, b.raw), ("A1", "A2"));
}

proptest! {
    #[test]
    fn work_of_any_text_comes_back_answered(
        ids in proptest::collection::vec(".+", 1..4), texts in proptest::collection::vec(".+", 5),
        is_cancel in any::<bool>(),
    ) {
        let control = if is_cancel { Control::Cancel } else { Control::New };
        let numbers: Vec<String> = ids.iter().enumerate().map(|(n, id)| format!("{n}{id}")).collect();
        let [container, specimen, code, name, family] = texts.as_slice() else { unreachable!() };
        let steps: Vec<_> = numbers
            .iter()
            .map(|number| StepWork {
                control,
                number: [number, name],
                service: [code, name, "99LAB"],
                ..TSH
            })
            .collect();
        let work = SpecimenWork {
            id: [specimen, "BRIDGE"],
            ..serum(ContainerDraft::new().id(&[container]), &steps)
        };
        let patient = PatientWork { name: &[family, name], ..PATIENT };
        let request = build(&FROM_MANAGER, Some(&patient), &[work]).unwrap();
        let message = Message::parse(&request).unwrap().0;
        let (read, notes) = Broadcast::read(&message).unwrap();
        prop_assert_eq!(codes(&notes), [""; 0]);
        prop_assert_eq!(read.tree.patients[0].patient().unwrap().name.family, family.as_str());
        let group = &read.tree.specimens[0];
        prop_assert_eq!(group.specimen_id(), specimen.as_str());
        prop_assert_eq!(group.container_id(), container.as_str());
        prop_assert_eq!(group.steps.len(), numbers.len());
        for (step, number) in group.steps.iter().zip(&numbers) {
            prop_assert_eq!(step.control(), control.as_str());
            prop_assert_eq!(step.service().unwrap().id, code.as_str());
            let StepNumber::Given(given) = step.number() else { panic!("a number") };
            prop_assert_eq!(given.id, number.as_str());
        }

        let answer = if is_cancel {
            StepAnswer { control: "CR", status: OrderStatus::Cancelled }
        } else {
            StepAnswer { control: "OK", status: OrderStatus::Scheduled }
        };
        let said = (Outcome::Accepted, [].as_slice());
        let answers = vec![answer; numbers.len()];
        let reply = build_order_reply(&read, said, &answers, &OWN).unwrap();
        let message = Message::parse(&reply).unwrap().0;
        let (reply, notes) = Reply::read(&message).unwrap();
        prop_assert_eq!(codes(&notes), [""; 0]);
        let expected = if is_cancel { Verdict::Cancelled } else { Verdict::Accepted };
        for number in &numbers {
            prop_assert_eq!(reply.verdict(number, control), expected);
        }
    }
}
