use proptest::prelude::*;

use super::*;
use crate::hl7::{
    ack::{Ack, AckCode, Own},
    message::tests::samples,
    order_reply::{OrderOutcome, build_reply, read_replies, reply_codes},
};

fn sample(part: &str) -> String {
    samples()
        .into_iter()
        .find(|text| text.contains(part))
        .unwrap()
}

fn codes(order: &OrderMessage<'_>) -> Vec<&'static str> {
    order.problems.iter().map(|problem| problem.code).collect()
}

/// `ORC-1 placer service specimens +priors`
#[track_caller]
fn check(kind: &str, body: &str, expected: &[&str], problems: &[&str]) {
    let text = format!(
        "MSH|^~\\&|HIS|BV|||1||{kind}|1|P|2.5.1\r{}\r",
        body.replace(' ', "\r")
    );
    let message = Message::parse(&text).unwrap().0;
    let read = OrderMessage::read(&message).unwrap();
    let shown = read.orders.iter().map(|order| {
        let specimens: Vec<_> = order
            .specimens
            .iter()
            .map(|s| s.placer_id.as_ref())
            .collect();
        let (specimens, priors) = (specimens.join(","), order.prior_results.len());
        format!(
            "{} {} {} [{specimens}] +{priors}",
            order.control, order.placer.id, order.service.id
        )
    });
    assert_eq!(shown.collect::<Vec<_>>(), expected, "{body}");
    assert_eq!(codes(&read), problems, "{body}");
}

#[test]
fn the_new_order_of_two_tests_is_two_orders() {
    let text = sample("HIS000123|P");
    let message = Message::parse(&text).unwrap().0;
    let read = OrderMessage::read(&message).unwrap();
    assert_eq!(codes(&read), [""; 0]);
    let patient = read.patient.as_ref().unwrap();
    let ids: Vec<_> = patient
        .ids
        .iter()
        .map(|id| (id.id.as_ref(), id.kind.as_ref()))
        .collect();
    assert_eq!(ids, [("PID0098", "PI"), ("079091001234", "NI")]);
    assert_eq!(
        (patient.name.family.as_ref(), patient.name.middle.as_ref()),
        ("TRẦN", "THỊ")
    );
    assert_eq!(
        (patient.birth, patient.sex, patient.phone),
        ("19911105", "F", "0900000000")
    );
    let visit = read.visit.as_ref().unwrap();
    assert_eq!((visit.class, visit.number.id.as_ref()), ("O", "V240099"));
    let [first, second] = read.orders.as_slice() else {
        panic!("two orders")
    };
    assert_eq!((first.control, first.placer.raw), ("NW", "REQ778-1^HIS"));
    assert_eq!(
        (second.placer.id.as_ref(), second.placer.namespace.as_ref()),
        ("REQ778-2", "HIS")
    );
    assert_eq!((first.group.id.as_ref(), first.priority), ("REQ778", "S"));
    assert_eq!(
        (second.service.id.as_ref(), second.service.text.as_ref()),
        ("FT4", "Free T4")
    );
    assert_eq!(first.ordering_provider, "BS015^LÊ^AN");
    let specimen = &second.specimens[0];
    assert_eq!(
        (specimen.placer_id.as_ref(), specimen.raw_id),
        ("25011500021", "25011500021&HIS")
    );
    assert_eq!(
        (specimen.collected, specimen.kind.id.as_ref()),
        ("20250115094000", "SER")
    );
    assert!(second.prior_results.is_empty());
    assert_eq!(
        (first.segments.clone(), second.segments.clone()),
        (3..7, 7..11)
    );
}

#[test]
fn after_a_specimen_orc_opens_an_order_unless_it_says_pr() {
    let kind = "OML^O21";
    check(
        kind,
        "PID|1 ORC|NW|1 OBR|1|1||A SPM||S1 ORC|NW|2 OBR|2|2||B SPM||S1",
        &["NW 1 A [S1] +0", "NW 2 B [S1] +0"],
        &[],
    );
    check(
        kind,
        "PID|1 ORC|NW|1 OBR|1|1||A SPM||S1 ORC|PR|8 OBR||8||X OBX|1 ORC|NW|2 OBR|2|2||B",
        &["NW 1 A [S1] +1", "NW 2 B [] +0"],
        &[],
    );
    check(
        kind,
        "PID|1 ORC|NW|1 OBR|1|1||A PID|1 PV1|1 AL1|x ORC|RE|8 OBR||8||X SPM||S9 OBX|1 ORC|NW|2 OBR||2||B",
        &["NW 1 A [] +1", "NW 2 B [] +0"],
        &[],
    );
    check(
        kind,
        "PID|1 ORC|NW|1 OBR|1|1||A AL1|x OBR||8||X OBX|1 ORC|NW|2 OBR||2||B",
        &["NW 1 A [] +1", "NW 2 B [] +0"],
        &[],
    );
}

#[test]
fn an_order_behind_a_second_patient_is_a_problem_and_never_the_first_patients() {
    check(
        "OML^O21",
        "PID|1 ORC|NW|1 OBR||1||A PID|2 ORC|NW|2 OBR||2||B",
        &["NW 1 A [] +1"],
        &["HL7-0402"],
    );
    check(
        "ORM^O01",
        "PID|1 ORC|NW|1 OBR||1||A PID|2 ORC|NW|2 OBR||2||B",
        &["NW 1 A [] +0", "NW 2 B [] +0"],
        &["HL7-0407"],
    );
    check(
        "OML^O33",
        "SPM||S1 PID|1 PID|2 ORC|NW|1 OBR||1||A",
        &["NW 1 A [S1] +0"],
        &["HL7-0407", "HL7-0407"],
    );
    check(
        "OML^O21",
        "PID|1 PID|2 ORC|NW|1 OBR||1||A",
        &["NW 1 A [] +0"],
        &["HL7-0407"],
    );
}

#[test]
fn specimen_centric_orders_stand_under_their_specimen() {
    let text = sample("OML^O33^OML_O33|B0002");
    let message = Message::parse(&text).unwrap().0;
    let read = OrderMessage::read(&message).unwrap();
    let [first, second] = read.orders.as_slice() else {
        panic!("two orders")
    };
    assert_eq!(
        (first.placer.id.as_ref(), second.placer.id.as_ref()),
        ("AW4711-1", "AW4711-2")
    );
    for order in [first, second] {
        assert_eq!(order.specimens[0].placer_id, "25011500021");
        assert_eq!(order.specimens[0].container_id(), "25011500021");
        assert_eq!(order.specimens[0].role, "P");
    }
    check(
        "OML^O33",
        "SPM||S1 ORC|NW|1 OBR||1||A SPM||S2 ORC|NW|2 OBR||2||B",
        &["NW 1 A [S1] +0", "NW 2 B [S2] +0"],
        &[],
    );
}

#[test]
fn the_negative_query_answer_has_an_order_without_numbers() {
    check(
        "OML^O33",
        "SPM|1 SAC|1 ORC|DC",
        &["DC   [] +0"],
        &["HL7-0403"],
    );
}

#[test]
fn numbers_come_from_orc_or_obr_and_must_agree() {
    let kind = "ORM^O01";
    check(kind, "ORC|NW OBR||7^H||A", &["NW 7 A [] +0"], &[]);
    check(kind, "ORC|NW|7 OBR||||A", &["NW 7 A [] +0"], &[]);
    check(kind, "ORC|CA|7", &["CA 7  [] +0"], &[]);
    check(kind, "ORC|NW|7 OBR||8||A", &["NW 7 A [] +0"], &["HL7-0401"]);
    check(
        kind,
        "ORC|NW|7|1 OBR||7|2|A",
        &["NW 7 A [] +0"],
        &["HL7-0401"],
    );
    check(kind, "ORC|NW OBR||||A", &["NW  A [] +0"], &["HL7-0403"]);
    check(kind, "ORC|NW|7 OBR||7", &["NW 7  [] +0"], &["HL7-0404"]);
    check(kind, "PID|1", &[], &["HL7-0405"]);
    check(
        kind,
        "ORC|NW|7 OBR||7||A OB|1",
        &["NW 7 A [] +0"],
        &["HL7-0406"],
    );
    check(
        kind,
        "ORC|NW|7 OBR||7||A OBR||7||B",
        &["NW 7 A [] +0", "NW 7 B [] +0"],
        &[],
    );
    check(
        kind,
        "OBR||7||A OBR||8||B",
        &[" 7 A [] +0", " 8 B [] +0"],
        &[],
    );
}

#[test]
fn the_priority_is_found_wherever_the_version_puts_it() {
    for (body, priority) in [
        ("ORC|NW|1 TQ1|||||||||S^x OBR||1||A|R", "S"),
        ("ORC|NW|1|||||^^^^^A OBR||1||A|R", "A"),
        ("ORC|NW|1 OBR||1||A|R||||||||||||||||||||||^^^^^S", "S"),
        ("ORC|NW|1 OBR||1||A|R^x", "R"),
        ("ORC|NW|1 OBR||1||A", ""),
    ] {
        let text = format!("MSH|^~\\&|||||||ORM^O01|1\r{}\r", body.replace(' ', "\r"));
        let message = Message::parse(&text).unwrap().0;
        assert_eq!(
            OrderMessage::read(&message).unwrap().orders[0].priority,
            priority,
            "{body}"
        );
    }
}

#[test]
fn the_places_of_a_barcode_before_2_5_are_kept_as_sent() {
    let obr = "OBR|1|1|BAR1|A|||20250115||||||||SER^x|||P18||F20";
    let text = format!("MSH|^~\\&|||||||ORM^O01|1\rORC|NW|1\r{obr}\r");
    let message = Message::parse(&text).unwrap().0;
    let read = OrderMessage::read(&message).unwrap();
    let order = &read.orders[0];
    assert_eq!(order.obr_filler, "BAR1");
    assert_eq!(
        (order.specimen_source, order.placer_field_1),
        ("SER^x", "P18")
    );
    assert_eq!(
        (order.filler_field_1, order.collection_time),
        ("F20", "20250115")
    );
    assert_eq!(order.obr.unwrap().raw(), obr);
}

const OWN: Own<'_> = Own {
    application: "",
    facility: "",
    time: "20250115093001+0700",
    control_id: "BR000555",
    charset: "UNICODE UTF-8",
    version: "",
};

fn answer(request: &str, with_specimens: bool, outcomes: &[OrderOutcome<'_>]) -> String {
    let message = Message::parse(request).unwrap().0;
    let read = OrderMessage::read(&message).unwrap();
    let ack = Ack {
        code: AckCode::AA,
        text: "",
        errors: &[],
    };
    build_reply(&read, &ack, outcomes, with_specimens, &OWN).unwrap()
}

const TAKEN: OrderOutcome<'_> = OrderOutcome {
    order: 0,
    control: "OK",
    filler: ["25L4711-1", "LIS"],
    status: "SC",
    reason: [""; 3],
};
const REFUSED: OrderOutcome<'_> = OrderOutcome {
    order: 1,
    control: "UA",
    filler: [""; 2],
    status: "CA",
    reason: ["NOTAVAIL", "Test not offered", "L"],
};

#[test]
fn the_reply_to_a_new_order_is_the_template_to_the_byte() {
    let expected = sample("BR000555");
    assert_eq!(
        answer(&sample("HIS000123|P"), false, &[TAKEN, REFUSED]),
        expected
    );
}

#[test]
fn the_reply_to_a_cancel_is_the_template_to_the_byte() {
    let refused = OrderOutcome {
        control: "UC",
        filler: [""; 2],
        status: "IP",
        reason: ["INPROC", "already in process", "L"],
        ..TAKEN
    };
    let expected = sample("BR000560")
        .replace("BR000560", "BR000555")
        .replace("93501", "93001");
    assert_eq!(answer(&sample("HIS000130|P"), false, &[refused]), expected);
}

#[test]
fn replies_of_every_kind_read_well() {
    let o33 = sample("OML^O33^OML_O33|B0002");
    let o21 = sample("HIS000123|P");
    let orm = o21
        .replace("OML^O21^OML_O21", "ORM^O01")
        .replace("2.5.1", "2.3.1");
    insta::assert_snapshot!(
        "order_replies",
        [
            answer(&o21, true, &[TAKEN, REFUSED]),
            answer(&o33, false, &[TAKEN, REFUSED]),
            answer(&orm, false, &[TAKEN, REFUSED]),
            answer(&orm, false, &[]),
        ]
        .join("\n")
        .replace('\r', "\n")
    );
}

#[test]
fn what_an_analyzer_answers_is_read_order_by_order() {
    for (part, expected) in [
        (
            "ORL^O34^ORL_O42",
            vec!["OK AW4711-1  SC ", "UA AW4711-2  CA "],
        ),
        (
            "BR000555",
            vec!["OK REQ778-1 25L4711-1 SC ", "UA REQ778-2  CA NOTAVAIL"],
        ),
    ] {
        let text = sample(part);
        let message = Message::parse(&text).unwrap().0;
        let replies = read_replies(&message).unwrap();
        let shown = replies.iter().map(|reply| {
            let (placer, filler) = (&reply.placer.id, &reply.filler.id);
            format!(
                "{} {placer} {filler} {} {}",
                reply.control, reply.status, reply.reason.id
            )
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected);
    }
    let other = Message::parse("MSH|^~\\&|||||||ACK|1\r").unwrap().0;
    assert_eq!(read_replies(&other).unwrap_err(), ParseError::WrongType);
}

#[test]
fn every_request_has_its_pair_of_replies() {
    for (request, replies) in [
        ("NW", Some(("OK", "UA"))),
        ("CA", Some(("CR", "UC"))),
        ("DC", Some(("DR", "UD"))),
        ("XO", Some(("XR", "UX"))),
        ("OK", None),
    ] {
        assert_eq!(reply_codes(request), replies);
    }
}

proptest! {
    #[test]
    fn every_obr_and_orc_is_an_order_a_prior_result_or_a_problem(
        picks in proptest::collection::vec(0..12_usize, 0..20), kind in 0..3_usize,
    ) {
        let parts = [
            "PID|1", "PV1|1", "ORC|NW|1", "ORC|CA|2", "ORC|PR|3", "ORC|RE|4", "OBR||1||A", "SPM||S",
            "SAC|||C", "OBX|1", "AL1|1", "TQ1|1",
        ];
        let body: Vec<_> = picks.iter().map(|&pick| parts[pick]).collect();
        let kind = ["OML^O21", "OML^O33", "ORM^O01"][kind];
        let text = format!("MSH|^~\\&|||||||{kind}|1\r{}\r", body.join("\r"));
        let message = Message::parse(&text).unwrap().0;
        let read = OrderMessage::read(&message).unwrap();
        let covered = |index: usize| {
            read.orders.iter().any(|order| {
                order.segments.contains(&index)
                    && (order.prior_results.iter().any(|prior| prior.contains(&index))
                        || order.orc.is_some_and(|orc| orc.index() == index)
                        || order.obr.is_some_and(|obr| obr.index() == index))
            })
        };
        for segment in message.segments() {
            if matches!(segment.name(), "ORC" | "OBR") {
                prop_assert!(covered(segment.index()), "{} {}", segment.index(), text);
            }
        }
    }
}
