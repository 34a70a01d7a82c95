use super::*;
use crate::hl7::message::tests::samples;

/// `OBR-2/ORC-2 specimen container @patient: OBX-1s`, a star after those about the specimen.
fn grouped(text: &str) -> Vec<String> {
    let message = Message::parse(text).unwrap().0;
    let report = Report::read(&message).unwrap();
    let shown = report.groups.iter().map(|group| {
        let field = |segment: Option<Segment<'_>>, n| {
            segment.map_or("-".to_owned(), |segment| segment.field(n).raw().to_owned())
        };
        let set: Vec<_> = group
            .observations
            .iter()
            .map(|obx| {
                let notes: String = obx.tail.iter().map(|s| format!("+{}", s.name())).collect();
                format!(
                    "{}{}{notes}",
                    obx.set_id(),
                    if obx.is_about_specimen { "*" } else { "" }
                )
            })
            .collect();
        format!(
            "{}/{} {} {} @{}: {}",
            field(group.obr, 2),
            field(group.orc, 2),
            field(group.specimens.first().copied(), 2),
            field(group.containers.first().copied(), 3),
            field(group.pid, 3),
            set.join(" ")
        )
    });
    shown.collect()
}

#[track_caller]
fn check(kind: &str, body: &str, expected: &[&str]) {
    let text = format!(
        "MSH|^~\\&|A|B|||1||{kind}|1|P|2.5.1\r{}\r",
        body.replace(' ', "\r")
    );
    assert_eq!(grouped(&text), expected, "{body}");
    // Nothing disappears: every OBX is in exactly one group.
    let message = Message::parse(&text).unwrap().0;
    let report = Report::read(&message).unwrap();
    assert_eq!(report.observations().count(), message.all("OBX").count());
}

#[test]
fn an_oru_is_grouped_by_obr() {
    check(
        "ORU^R01",
        "PID|||P1 ORC|RE|1 OBR||1 OBX|1 NTE|x OBX|2 SPM||S1 OBX|9 ORC|RE|2 OBR||2 OBX|1 SPM||S2",
        &["1/1 S1 - @P1: 1+NTE 2 9*", "2/2 S2 - @P1: 1"],
    );
    check(
        "ORU^R01",
        "OBR||1 OBX|1 OBR||2 OBX|1",
        &["1/- - - @-: 1", "2/- - - @-: 1"],
    );
    check(
        "ORU^R01",
        "OBR||1 ORC|RE|2 OBR||2 OBX|1",
        &["1/- - - @-: ", "2/2 - - @-: 1"],
    );
    check(
        "ORU^R30",
        "PID|||P1 ORC|NW OBR||\"\" OBX|1",
        &["\"\"/ - - @P1: 1"],
    );
}

#[test]
fn each_patient_of_an_oru_keeps_his_own_results() {
    check(
        "ORU^R01",
        "PID|||P1 OBR||1 OBX|1 PID|||P2 OBR||2 OBX|1 OBX|2",
        &["1/- - - @P1: 1", "2/- - - @P2: 1 2"],
    );
    check(
        "ORU^R01",
        "PID|||P1 PV1|1 OBX|1 PID|||P2 OBX|2",
        &["-/- - - @P1: 1", "-/- - - @P2: 2"],
    );
}

#[test]
fn a_specimen_in_front_of_obr_holds_for_what_follows() {
    check(
        "ORU^R01",
        "SPM||S1 SAC|||C1 OBR||1 OBX|1 OBR||2 OBX|1 SPM||S2 OBR||3 OBX|1",
        &["1/- S1 C1 @-: 1", "2/- S1 C1 @-: 1", "3/- S2 - @-: 1"],
    );
    check("ORU^R01", "OBR||1 SPM||S1 OBX|1", &["1/- S1 - @-: 1"]);
}

#[test]
fn an_oul_has_obr_before_orc() {
    check(
        "OUL^R22",
        "PID|||P1 SPM||S1 OBX|9 SAC|||C1 INV|r OBR||1 ORC|SC|1 NTE|n OBX|1 TCD|t INV|i OBX|2 OBR||2 ORC|SC|2",
        &[
            "-/- S1 - @P1: 9*",
            "1/1 S1 C1 @P1: 1+TCD+INV 2",
            "2/2 S1 C1 @P1: ",
        ],
    );
    check(
        "OUL^R22",
        "SPM||S1 ORC|SC|1 OBR||1 OBX|1 ORC|SC|2 OBR||2 OBX|1",
        &["1/1 S1 - @-: 1", "2/2 S1 - @-: 1"],
    );
    check(
        "OUL^R23",
        "SPM||S1 SAC|||C1 OBR||1 OBX|1 SAC|||C2 OBR||2 OBX|1",
        &["1/- S1 C1 @-: 1", "2/- S1 C2 @-: 1"],
    );
    check(
        "OUL^R24",
        "OBR||1 ORC|SC|1 SPM||S1 SAC|||C1 OBX|1 OBR||2 ORC|SC|2 SPM||S2 OBX|1",
        &["1/1 S1 C1 @-: 1", "2/2 S2 - @-: 1"],
    );
}

#[test]
fn segments_that_belong_nowhere_are_kept_loose() {
    let text = "MSH|^~\\&|||||||ORU^R01|1\rSFT|x\rNTE|1\rOBR|1\rOBX|1\r OBX|2\rOBX|3\r";
    let message = Message::parse(text).unwrap().0;
    let report = Report::read(&message).unwrap();
    let names: Vec<_> = report.loose.iter().map(|s| s.name()).collect();
    assert_eq!(names, ["SFT", "NTE", " OBX"]);
    assert_eq!(report.groups[0].observations.len(), 2);
    let other = Message::parse("MSH|^~\\&|||||||ACK|1\r").unwrap().0;
    assert_eq!(Report::read(&other).unwrap_err(), ParseError::WrongType);
}

#[test]
fn the_law_result_is_read_to_the_field() {
    let text = samples()
        .into_iter()
        .find(|text| text.contains("OUL^R22"))
        .unwrap();
    let message = Message::parse(&text).unwrap().0;
    let report = Report::read(&message).unwrap();
    let [group] = report.groups.as_slice() else {
        panic!("one OBR")
    };
    assert_eq!(group.placer_number(), "AW4711-1");
    assert_eq!(
        (group.specimen_id(), group.filler_number()),
        ("25011500021", "")
    );
    let [main, raw] = group.observations.as_slice() else {
        panic!("two OBX")
    };
    assert_eq!(
        (main.set_id(), main.value_type(), main.sub_id()),
        ("1", "NM", "1")
    );
    assert_eq!(
        (main.code_part(1).raw(), main.code().raw()),
        ("TSH", "TSH^TSH^99LAB")
    );
    assert_eq!(
        (main.value().raw(), main.units().component(1).raw()),
        ("2.31", "mIU/L")
    );
    assert_eq!(main.flags().collect::<Vec<_>>(), ["N"]);
    assert_eq!((main.status(), main.observer().raw()), ("F", "op1"));
    assert_eq!(main.equipment().repeat(2).raw(), "SN0042^VENDOR");
    assert_eq!(
        (main.analysed_at(), main.observed_at()),
        ("20250115103500", "")
    );
    assert_eq!(
        main.tail.iter().map(|s| s.name()).collect::<Vec<_>>(),
        ["TCD", "INV"]
    );
    assert_eq!(raw.code_part(4).raw(), "S_RAW");
    assert_eq!((raw.index(), raw.reference_range()), (8, ""));
}

#[test]
fn the_hospital_result_is_read_to_the_note() {
    let text = samples()
        .into_iter()
        .find(|text| text.contains("ORU^R01"))
        .unwrap();
    let message = Message::parse(&text).unwrap().0;
    let report = Report::read(&message).unwrap();
    let (group, obx) = report.observations().next().unwrap();
    assert_eq!(
        obx.notes().next().unwrap().field(3).text(),
        "Mẫu hơi tán huyết"
    );
    assert_eq!(obx.reference_range(), "0.27-4.20");
    assert_eq!(group.filler_number(), "25L4711-1^LIS");
    assert_eq!(group.specimens.len(), 1);
}
