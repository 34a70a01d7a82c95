//! LAB-29 against the messages of the chapter, and in both directions.

use proptest::prelude::*;

use super::{
    Class, Envelope, StatusChange, StepNumber,
    analyzer::{ObservationDraft, SpecimenStatus, StepStatus, build_status_change},
    result::{build_ack, due_code},
    transcripts::{codes, transcript},
    tree::{Origin, Purpose},
};
use crate::hl7::{
    Message, ParseError,
    ack::{AckCode, ErrSegment, Outcome, Own},
    material::{ContainerDraft, SubstanceDraft},
    tables::{OrderStatus, ResultStatus, SpecimenRole, SubstanceStatus, SubstanceType},
};

const OWN: Own<'_> = Own {
    application: "BRIDGE",
    facility: "LAB",
    time: "20250115104001+0700",
    control_id: "B0011",
    charset: "",
    version: "2.5.1",
};

/// `specimen/container purpose number origin ORC-5: OBX-1 class run status value`, a line a result.
fn shown(text: &str) -> (Vec<String>, Vec<&'static str>) {
    let message = Message::parse(text).unwrap().0;
    let (change, notes) = StatusChange::read(&message).unwrap();
    let lines = change.results().map(|(group, step, observation)| {
        let number = match step.number() {
            StepNumber::Given(number) => number.raw.to_owned(),
            StepNumber::Null => "null".to_owned(),
            StepNumber::Missing => "none".to_owned(),
            StepNumber::Conflict { obr, orc } => format!("{obr}!={orc}"),
        };
        let patient = group
            .patient
            .and_then(|at| change.tree.patients[at].patient());
        let patient = patient.map_or(String::new(), |patient| {
            format!("@{} ", patient.segment.field(3).raw())
        });
        format!(
            "{patient}{}/{} {:?} {number} {:?} {}: {} {:?} {} {} {}",
            group.specimen_id(),
            group.container_id(),
            group.purpose(),
            step.origin(),
            step.status().map_or("-", |status| status.code()),
            observation.obx.set_id(),
            observation.class(),
            observation
                .run()
                .number
                .map_or("-".to_owned(), |run| run.to_string()),
            observation.status().map_or("-", |status| status.code()),
            observation.obx.value().raw(),
        )
    });
    (lines.collect(), codes(&notes))
}

#[track_caller]
fn check(text: &str, expected: &[&str], noted: &[&str]) {
    let (lines, codes) = shown(text);
    assert_eq!(lines, expected, "{text}");
    assert_eq!(codes, noted, "{text}");
}

/// An OUL^R22 of these segments; blanks stand between segments.
#[track_caller]
fn check_body(body: &str, expected: &[&str], noted: &[&str]) {
    let text = format!(
        "MSH|^~\\&|AN1|LAB|BRIDGE|LAB|1||OUL^R22^OUL_R22|1|P|2.5.1|||NE|AL||UNICODE UTF-8|||LAB-29^IHE\r{}\r",
        body.replace(' ', "\r")
    );
    check(&text, expected, noted);
}

#[test]
fn the_results_of_the_chapter_are_read_with_their_reagents_and_devices() {
    let text = transcript("A0010");
    check(
        &text,
        &[
            "25011500021/25011500021 Patient AW4711-1 Ordered CM: 1 Main 1 F 2.31",
            "25011500021/25011500021 Patient AW4711-1 Ordered CM: 2 Raw 1 F 53412",
        ],
        &[],
    );
    let message = Message::parse(&text).unwrap().0;
    let (change, _) = StatusChange::read(&message).unwrap();
    let (group, step, first) = change.results().next().unwrap();
    assert_eq!(group.role(), Some(SpecimenRole::Patient));
    assert_eq!(group.containers().next().unwrap().carrier_id().raw(), "S54");
    assert_eq!(step.service().unwrap().id, "TSH");
    assert_eq!(step.runs().collect::<Vec<_>>(), [1]);
    assert_eq!(
        first.details().next().unwrap().service().raw(),
        "TSH^TSH^99LAB"
    );
    let reagent = first.substances().next().unwrap();
    assert_eq!(
        (reagent.id().raw(), reagent.lot().raw()),
        ("R-TSH^^99LAB", "LOT123")
    );
    assert_eq!(reagent.expires().raw(), "20251231235959+0700");
    assert_eq!(reagent.kind(), Some(SubstanceType::SingleTestReagent));
    assert_eq!(reagent.status().collect::<Vec<_>>(), [SubstanceStatus::Ok]);
    assert_eq!(first.operators().collect::<Vec<_>>(), ["op1"]);
    assert_eq!(
        first.devices().collect::<Vec<_>>(),
        ["AN1^VENDOR", "SN0042^VENDOR"]
    );
    assert_eq!(first.obx.analysed_at(), "20250115103500");
    assert_eq!(first.obx.flags().collect::<Vec<_>>(), ["N"]);
}

#[test]
fn a_rerun_counts_on_and_only_one_run_is_the_candidate() {
    let text = transcript("A0011");
    check(
        &text,
        &[
            "@PID0098^^^BV01^PI 25011500021/25011500021 Patient AW4711-2 Ordered CM: 1 Main 1 R >^100",
            "@PID0098^^^BV01^PI 25011500021/25011500021 Patient AW4711-2 Ordered CM: 2 Main 2 F 143.20",
        ],
        &[],
    );
    let message = Message::parse(&text).unwrap().0;
    let (change, _) = StatusChange::read(&message).unwrap();
    let (_, step, second) = change.results().nth(1).unwrap();
    assert_eq!(step.runs().collect::<Vec<_>>(), [1, 2]);
    let run = second.run();
    assert_eq!((run.raw, run.group, run.sequence), ("2^1^1", "1", "1"));
    assert_eq!(second.obx.flags().collect::<Vec<_>>(), ["H", "DIL"]);
    assert_eq!(second.operators().collect::<Vec<_>>(), ["op1", "AUTO"]);
    assert_eq!(second.observation_type(), "RSLT");
    assert_eq!(
        second.details().next().unwrap().rerun_dilution().raw(),
        "^1^:^5"
    );
    assert_eq!(second.substance_uses().next().unwrap().lot().raw(), "LOT77");
    assert_eq!(second.obx.notes().count(), 1);
    assert_eq!(step.priority().unwrap().code(), "S");
}

#[test]
fn a_reflex_test_names_its_parents_and_has_no_number() {
    let text = transcript("A0012");
    check(
        &text,
        &["25011500021/25011500021 Patient null Reflex CM: 1 Main 1 F 5.10"],
        &[],
    );
    let message = Message::parse(&text).unwrap().0;
    let (change, _) = StatusChange::read(&message).unwrap();
    let (_, step, _) = change.results().next().unwrap();
    assert_eq!(step.parents().collect::<Vec<_>>(), ["AW4711-1", "AW4711-2"]);
}

#[test]
fn a_control_is_nobodys_and_says_which_material_it_is() {
    let text = transcript("A0013");
    check(
        &text,
        &["QC-TSH-1/QC-TSH-1 Control null Analyzer CM: 1 Main 1 F 0.97"],
        &[],
    );
    let message = Message::parse(&text).unwrap().0;
    let (change, _) = StatusChange::read(&message).unwrap();
    let control = change.tree.specimens[0].control().unwrap();
    assert_eq!(control.id().component(1).raw(), "CTRL-TSH-L1");
    assert_eq!(
        (control.lot().raw(), control.expires().raw()),
        ("QL0815", "20260331")
    );
    assert_eq!(control.target_value().raw(), "0.95^mIU/L");
}

#[test]
fn a_step_that_the_analyzer_gave_up_has_no_value() {
    check(
        &transcript("A0014"),
        &["25011500022/25011500022 Patient AW4712-1 Ordered CA: 1 Main 1 X "],
        &[],
    );
}

#[test]
fn a_step_that_the_analyzer_made_has_no_number() {
    check(
        &transcript("A0015"),
        &["25011500023/25011500023 Patient null Analyzer CM: 1 Main - F < 0.01"],
        &[],
    );
}

#[test]
fn results_stay_with_their_own_patient_specimen_and_container() {
    check_body(
        concat!(
            "PID|||P1 SPM||S1 SAC|||C1 OBR||A1||T OBX|1||T||1||||||F ",
            "SPM||S2 SAC|||C2 OBR||A2||T OBX|1||T||2||||||F ",
            "SAC|||C3 OBR||A3||T OBX|1||T||3||||||F ",
            "PID|||P2 OBR||A4||T OBX|1||T||4||||||F",
        ),
        &[
            "@P1 S1/C1 Patient A1 Ordered -: 1 Main - F 1",
            "@P1 S2/C2 Patient A2 Ordered -: 1 Main - F 2",
            "@P1 S2/C3 Patient A3 Ordered -: 1 Main - F 3",
            "@P2 / Patient A4 Ordered -: 1 Main - F 4",
        ],
        &["LAW-0209", "LAW-0204", "LAW-0503"],
    );
}

#[test]
fn a_container_of_a_control_stays_a_control() {
    check_body(
        "SPM||Q1|||||||||Q SAC|||C1 INV|L|OK|CO OBR||A1||T OBX|1||T||1||||||F SAC|||C2 OBR||A2||T OBX|1||T||2||||||F",
        &[
            "Q1/C1 Control A1 Ordered -: 1 Main - F 1",
            "Q1/C2 Control A2 Ordered -: 1 Main - F 2",
        ],
        &["LAW-0209", "LAW-0508"],
    );
}

#[test]
fn orc_may_come_before_or_after_obr() {
    check_body(
        "SPM||S1 OBR||A1||T ORC|SC|A1 OBX|1||T||1||||||F OBR||A2||T OBX|1||T||2||||||F ORC|SC|A3 OBR||A3||T OBX|1||T||3||||||F",
        &[
            "S1/ Patient A1 Ordered -: 1 Main - F 1",
            "S1/ Patient A2 Ordered -: 1 Main - F 2",
            "S1/ Patient A3 Ordered -: 1 Main - F 3",
        ],
        &[],
    );
}

#[test]
fn numbers_that_disagree_or_are_missing_are_told_apart() {
    for (obr, orc, shown, noted) in [
        ("A1", "A1", "A1 Ordered", [].as_slice()),
        ("A1^NS", "A1", "A1^NS Ordered", &[]),
        ("A1", "", "A1 Ordered", &[]),
        ("", "A1", "A1 Ordered", &[]),
        ("\"\"", "\"\"", "null Analyzer", &[]),
        ("\"\"", "", "null Analyzer", &[]),
        ("", "\"\"", "null Analyzer", &[]),
        ("", "", "none Ordered", &["LAW-0502"]),
        ("^NS", "", "none Ordered", &["LAW-0502"]),
        ("A1", "A2", "A1!=A2 Ordered", &["LAW-0501"]),
        ("A1^X", "A1^Y", "A1^X!=A1^Y Ordered", &["LAW-0501"]),
        ("A1", "\"\"", "A1!=\"\" Ordered", &["LAW-0501"]),
        ("\"\"", "A1", "\"\"!=A1 Ordered", &["LAW-0501"]),
    ] {
        check_body(
            &format!("SPM||S1 OBR||{obr}||T ORC|SC|{orc} OBX|1||T||5||||||F"),
            &[&format!("S1/ Patient {shown} -: 1 Main - F 5")],
            noted,
        );
    }
}

#[test]
fn a_class_is_known_by_the_codes_of_the_profile() {
    let check = |code: &str, expected: &str, noted: &[&str]| {
        check_body(
            &format!("SPM||S1 OBR||A1||T OBX|1||{code}||5||||||F"),
            &[&format!("S1/ Patient A1 Ordered -: 1 {expected} - F 5")],
            noted,
        );
    };
    check("T^T^L", "Main", &[]);
    check("T^T^L^^^IHELAW", "Main", &[]);
    check("T^T^L^3016-3^TSH^LN", "Main", &[]);
    check("T^T^L^S_RAW^Raw^IHELAW", "Raw", &[]);
    check("T^T^L^S_RAW", "Raw", &[]);
    check("T^T^L^S_OTHER^Other^IHELAW", "Supplemental", &[]);
    check("T^T^L^S_NEW^New^IHELAW", "Other(\"S_NEW\")", &["LAW-0511"]);
}

#[test]
fn a_run_is_a_number_or_nothing_is_made_of_it() {
    for (sub_id, run, noted) in [
        ("1", "1", [].as_slice()),
        ("12^2^3^x", "12", &[]),
        ("", "-", &[]),
        ("1.0", "-", &["LAW-0505"]),
        ("1/2", "-", &["LAW-0505"]),
        ("^2", "-", &["LAW-0505"]),
        ("+1", "-", &["LAW-0505"]),
        ("1234567", "-", &["LAW-0505"]),
    ] {
        check_body(
            &format!("SPM||S1 OBR||A1||T OBX|1||T|{sub_id}|5||||||F"),
            &[&format!("S1/ Patient A1 Ordered -: 1 Main {run} F 5")],
            noted,
        );
    }
}

#[test]
fn what_contradicts_itself_is_noted_and_kept() {
    let result = "S1/ Patient A1 Ordered";
    for (body, lines, noted) in [
        // The same observation twice, and the same key of another step.
        (
            "SPM||S1 OBR||A1||T OBX|1||T|1|5||||||F OBX|2||T|1|6||||||F OBR||A2||T OBX|1||T|1|7||||||F",
            vec![
                format!("{result} -: 1 Main 1 F 5"),
                format!("{result} -: 2 Main 1 F 6"),
                "S1/ Patient A2 Ordered -: 1 Main 1 F 7".to_owned(),
            ],
            ["LAW-0506"].as_slice(),
        ),
        (
            "SPM||S1 OBR||\"\"||T OBX|1||T|1|5||||||F OBR||\"\"||T OBX|1||T|1|6||||||F",
            vec![
                "S1/ Patient null Analyzer -: 1 Main 1 F 5".to_owned(),
                "S1/ Patient null Analyzer -: 1 Main 1 F 6".to_owned(),
            ],
            &[],
        ),
        (
            "SPM||S1 OBR||A1||T ORC|SC|A1|||CA OBX|1||T|1|5||||||F",
            vec![format!("{result} CA: 1 Main 1 F 5")],
            &["LAW-0509"],
        ),
        (
            "SPM||S1 OBR||A1||T ORC|SC|A1|||CM OBR||A2||T ORC|SC|A2|||IP",
            vec![],
            &["LAW-0510"],
        ),
        (
            "SPM||S1 OBR||A1||T ORC|NW|A1|||IP OBX|1||T|1|||||||P",
            vec![format!("{result} IP: 1 Main 1 P ")],
            &["LAW-0512", "LAW-0513"],
        ),
        (
            "SPM||S1 OBR||A1||T ORC|SC|A1|||QQ OBX|1||T|1|5||||||K",
            vec![format!("{result} QQ: 1 Main 1 K 5")],
            &["LAW-0207", "LAW-0207"],
        ),
        (
            "SPM||S1 OBR||A1||T OBX|1|||1|5 OBX|2||^x|2|6||||||F",
            vec![
                format!("{result} -: 1 Main 1 - 5"),
                format!("{result} -: 2 Main 2 F 6"),
            ],
            &["LAW-0515", "LAW-0514", "LAW-0515"],
        ),
        (
            "PID|||P1 SPM||Q1|||||||||Q SAC|||Q1 OBR||A1||T OBX|1||T|1|5||||||F",
            vec!["@P1 Q1/Q1 Control A1 Ordered -: 1 Main 1 F 5".to_owned()],
            &["LAW-0507", "LAW-0508"],
        ),
        (
            "SPM||S1|||||||||? OBR||A1||T OBX|1||T|1|5||||||F",
            vec!["S1/ Unclear A1 Ordered -: 1 Main 1 F 5".to_owned()],
            &["LAW-0207"],
        ),
    ] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        check_body(body, &lines, noted);
    }
}

#[test]
fn what_the_profile_does_not_know_is_noted_and_kept_where_it_stood() {
    check_body(
        concat!(
            "OBX|0||T||9||||||F ZAA|1 PID|||P1 ZBB|1 SPM||S1 TCD|T SAC|||C1||||||||||||||||||||||||",
            "|||||||||||||||||||||||x OBR||A1||T PV1|1 OBX|1||T|1|5||||||F ZCC|1 INV||OK xx|1 DSC|4711",
        ),
        &[
            "/ Patient none Ordered -: 0 Main - F 9",
            "@P1 S1/C1 Patient A1 Ordered -: 1 Main 1 F 5",
        ],
        &[
            "LAW-0504", "LAW-0503", "LAW-0201", "LAW-0201", "LAW-0202", "LAW-0205", "LAW-0202",
            "LAW-0201", "LAW-0206", "LAW-0203", "LAW-0208",
        ],
    );
}

#[test]
fn observations_about_a_specimen_are_no_results() {
    let text = transcript("A0010").replace("\rSAC|", "\rOBX|1|NM|HIL-H||12||||||F\rSAC|");
    let message = Message::parse(&text).unwrap().0;
    let (change, notes) = StatusChange::read(&message).unwrap();
    assert_eq!(codes(&notes), [""; 0]);
    assert_eq!(change.results().count(), 2);
    let about: Vec<_> = change.tree.specimens[0].observations().collect();
    assert_eq!(about.len(), 1);
    assert!(about[0].obx.is_about_specimen);
}

#[test]
fn the_acknowledgement_of_the_chapter_is_written_to_the_byte() {
    let text = transcript("A0010");
    let message = Message::parse(&text).unwrap().0;
    let (change, _) = StatusChange::read(&message).unwrap();
    let code = due_code(&change.header, Outcome::Accepted).unwrap();
    let written = build_ack(&change, code, &[], &OWN).unwrap();
    assert_eq!(written, transcript("B0011"));
}

/// MSH-15, MSH-16 and what became of the message; MSA-1 of the answer.
#[test]
fn the_answer_is_the_one_that_was_asked_for() {
    use Outcome::{Accepted, Error, NotStored, Rejected};
    for (acks, outcome, code) in [
        ("NE|AL", Accepted, Some("AA")),
        ("NE|AL", Error, Some("AE")),
        ("NE|AL", Rejected, Some("AR")),
        ("NE|AL", NotStored, Some("AR")),
        ("|", Accepted, Some("AA")),
        ("|", NotStored, Some("AR")),
        ("AL|NE", Accepted, Some("CA")),
        ("AL|NE", NotStored, Some("CE")),
        ("AL|AL", Accepted, Some("CA")),
        ("NE|ER", Accepted, None),
        ("NE|NE", Error, None),
    ] {
        let text = transcript("A0010").replace("NE|AL", acks);
        let message = Message::parse(&text).unwrap().0;
        let (change, _) = StatusChange::read(&message).unwrap();
        let due = due_code(&change.header, outcome);
        assert_eq!(due.map(AckCode::as_str), code, "{acks} {outcome:?}");
    }
}

#[test]
fn a_refusal_always_says_why_and_an_acceptance_never() {
    let text = transcript("A0010");
    let message = Message::parse(&text).unwrap().0;
    let (change, _) = StatusChange::read(&message).unwrap();
    let error = ErrSegment {
        code: 103,
        ..ErrSegment::default()
    };
    let errors = [error];
    let body = |code, errors| {
        let text = build_ack(&change, code, errors, &OWN).unwrap();
        text.split_once('\r').unwrap().1.to_owned()
    };
    assert_eq!(
        body(AckCode::AE, &errors),
        "MSA|AE|A0010\rERR|||103^Table value not found^HL70357|E\r"
    );
    assert_eq!(
        body(AckCode::AR, &[]),
        "MSA|AR|A0010\rERR|||207^Application internal error^HL70357|E\r"
    );
    assert_eq!(body(AckCode::AA, &errors), "MSA|AA|A0010\r");
}

#[test]
fn another_message_is_no_status_change() {
    for id in ["B0002", "A0002", "Q0001"] {
        let text = transcript(id);
        let message = Message::parse(&text).unwrap().0;
        assert_eq!(
            StatusChange::read(&message).unwrap_err(),
            ParseError::WrongType
        );
    }
}

const FROM_ANALYZER: Envelope<'_> = Envelope {
    sending_application: "AN1",
    sending_facility: "LAB",
    receiving_application: "BRIDGE",
    receiving_facility: "LAB",
    time: "1",
    control_id: "A1",
    profile: "",
    acks: None,
    charset: "",
};

proptest! {
    #[test]
    fn results_of_any_text_read_as_they_were_written(
        texts in proptest::collection::vec(".+", 9), runs in 1..5_u32, is_control in any::<bool>(),
    ) {
        let [specimen, container, number, code, value, unit, flag, device, lot] = texts.as_slice()
        else { unreachable!() };
        let runs: Vec<String> = (1..=runs).map(|run| run.to_string()).collect();
        let sub_ids: Vec<[&str; 2]> = runs.iter().map(|run| [run.as_str(), "1"]).collect();
        let (code_parts, value_parts) = ([code, "x", "99LAB"], [value.as_str()]);
        let (units, flags) = ([unit.as_str()], [flag.as_str(), "N"]);
        let (devices, reagents) = ([[device, "VENDOR"]], [["R1", lot]]);
        let observations: Vec<_> = sub_ids
            .iter()
            .map(|run| ObservationDraft {
                value_type: "ST",
                code: &code_parts,
                run,
                value: &value_parts,
                unit: &units,
                flags: &flags,
                status: ResultStatus::Final,
                devices: &devices,
                analysed_at: "20250115103500",
                reagents: &reagents,
            })
            .collect();
        let steps = [
            StepStatus {
                number: Some(number),
                service: [code, "x", "99LAB"],
                status: OrderStatus::Completed,
                parents: &[],
                observations: &observations,
            },
            StepStatus {
                number: None,
                service: [code, "x", "99LAB"],
                status: OrderStatus::InProcess,
                parents: &[number],
                observations: &[],
            },
        ];
        let material = [SubstanceDraft::new()
            .id(&["CTRL"])
            .status(SubstanceStatus::Ok)
            .kind(SubstanceType::Control)
            .lot(lot)];
        let written = SpecimenStatus {
            id: [specimen, "BRIDGE"],
            kind: ["SER", "Serum", "HL70487"],
            role: if is_control { SpecimenRole::Control } else { SpecimenRole::Patient },
            container: ContainerDraft::new().id(&[container]),
            materials: if is_control { &material } else { &[] },
            steps: &steps,
        };
        let patient = (!is_control).then_some(value.as_str());
        let text = build_status_change(&FROM_ANALYZER, patient, &[written]).unwrap();
        let message = Message::parse(&text).unwrap().0;
        let (change, notes) = StatusChange::read(&message).unwrap();
        prop_assert_eq!(codes(&notes), [""; 0]);
        let group = &change.tree.specimens[0];
        prop_assert_eq!(group.specimen_id(), specimen.as_str());
        prop_assert_eq!(group.container_id(), container.as_str());
        let purpose = if is_control { Purpose::Control } else { Purpose::Patient };
        prop_assert_eq!(group.purpose(), purpose);
        prop_assert_eq!(group.control().map(|control| control.lot().text().into_owned()),
            is_control.then(|| lot.clone()));
        let [first, second] = group.steps.as_slice() else { panic!("two steps") };
        let StepNumber::Given(given) = first.number() else { panic!("a number") };
        prop_assert_eq!(given.id, number.as_str());
        prop_assert_eq!(second.origin(), Origin::Reflex);
        prop_assert_eq!(second.parents().count(), 1);
        let read: Vec<_> = first.observations().collect();
        prop_assert_eq!(read.len(), runs.len());
        for (observation, run) in read.iter().zip(&runs) {
            prop_assert_eq!(observation.run().number, run.parse().ok());
            prop_assert_eq!(observation.class(), Class::Main);
            prop_assert_eq!(observation.obx.value().component(1).text(), value.as_str());
            prop_assert_eq!(observation.obx.units().component(1).text(), unit.as_str());
            prop_assert_eq!(observation.obx.flags().count(), 2);
            prop_assert_eq!(observation.devices().count(), 1);
            prop_assert_eq!(observation.substances().next().unwrap().lot().text(), lot.as_str());
        }
    }
}
