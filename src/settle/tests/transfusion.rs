//! The rules of blood transfusion: what each holds, and the nearest thing that it does not.

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::prelude::*;

use super::{
    super::{Message, give_way, settle_all},
    merges::{merge, resume_all},
    *,
};
use crate::{
    model::blood::{BloodKind, Reagent, Technique},
    store::Sql,
};

/// A catalogue of transfusion.
pub(super) static TESTS: LazyLock<BTreeMap<&'static str, BloodTest>> = LazyLock::new(|| {
    let of = |kind: &str, reagent: &str| BloodTest {
        reagent: Reagent::from_word(reagent),
        ..BloodTest::of(BloodKind::from_word(kind).expect("a kind"))
    };
    let full = BloodTest {
        technique: Some(Technique::Iat),
        ..of("crossmatch", "")
    };
    BTreeMap::from([
        ("ABO", of("abo", "")),
        ("RHD", of("rhd", "")),
        ("ABORH", of("abo-rhd", "")),
        ("RXA", of("forward", "anti-A")),
        ("RXB", of("forward", "anti-B")),
        ("RXCTL", of("forward", "control")),
        ("RXA1", of("reverse", "A1")),
        ("RXBC", of("reverse", "B")),
        ("ABSCR", of("screen", "")),
        ("ABID", of("antibody", "")),
        ("XM", of("crossmatch", "")),
        ("XMIAT", full),
        ("DAT", of("dat", "")),
    ])
});

const BLOOD: &[&str] = &[
    "ABO", "RHD", "ABORH", "ABSCR", "ABID", "XM", "XMIAT", "RXA", "RXB",
];

/// A tube of MRN1 on which blood is ordered.
const TUBE: Order = Order {
    tests: BLOOD,
    ..CBC
};

fn tube(placer: &'static str, barcode: &'static str) -> Order {
    Order {
        placer,
        barcode,
        ..TUBE
    }
}

/// A coded value on a tube; a word in small letters is a text that nothing maps.
fn on(barcode: &str, test: &str, code: &str) -> Observation {
    let is_text = code.chars().all(|ch| ch.is_ascii_lowercase()) && code.len() > 2;
    let value = if is_text {
        Value::Text {
            text: code.to_owned(),
        }
    } else {
        Value::Coded {
            code: code.to_owned(),
        }
    };
    Observation {
        specimen: Some(SpecimenRead {
            sent: barcode.to_owned(),
            id: barcode.to_owned(),
            rack: String::new(),
            position: String::new(),
        }),
        value,
        unit: String::new(),
        ..observation(test, code)
    }
}

/// What a person will do once: the result is released and told.
fn release(lab: &Lab, barcode: &'static str, test: &'static str) -> i64 {
    const FREE: Sql = Sql::same("UPDATE result SET state = 'released' WHERE id = $1");
    let now = lab.now;
    lab.work(move |db| {
        let rows = of_barcode(db, barcode)?;
        let row = rows
            .iter()
            .rfind(|row| row.observation.test.as_deref() == Some(test))
            .expect("it is there");
        db.exec(&FREE, &[row.id.into()])?;
        let news = queue::News {
            host: "his".to_owned(),
            specimen: row.specimen.expect("a tube"),
            priority: Priority::Routine,
            behind: None,
        };
        let queued = queue::enqueue_results(db, &[news], now)?;
        super::super::rows::tell_by(db, &[(row.id, queued[0])])?;
        Ok(row.id)
    })
}

fn check(lab: &Lab, barcode: &'static str, expected: &[&str]) {
    let shown = lab.shown(barcode);
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(shown, expected, "{barcode}");
}

#[test]
fn a_group_is_unconfirmed_until_a_second_tube_says_the_same() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.result(on("T1", "ABO", "A"));
    check(&lab, "T1", &["A held v1 group-unconfirmed+transfusion"]);
    // The same tube again is no second determination.
    lab.result(on("T1", "ABORH", "A POS"));
    check(
        &lab,
        "T1",
        &[
            "A held v1 group-unconfirmed+transfusion",
            "A POS held v1 group-unconfirmed+transfusion",
        ],
    );
    lab.order(&tube("P2", "T2"));
    lab.result(on("T2", "ABO", "A"));
    check(&lab, "T2", &["A held v1 transfusion"]);
    // ABO is confirmed by it, D is not.
    check(
        &lab,
        "T1",
        &[
            "A held v1 transfusion",
            "A POS held v1 group-unconfirmed+transfusion",
        ],
    );
    lab.result(on("T2", "RHD", "POS"));
    check(
        &lab,
        "T1",
        &["A held v1 transfusion", "A POS held v1 transfusion"],
    );
}

#[test]
fn two_tubes_of_one_draw_or_a_doubtful_one_confirm_nothing() {
    let mut lab = Lab::new();
    let drawn = |order: Order| Order {
        collected_at: Some(MORNING - HOUR),
        ..order
    };
    lab.order(&drawn(tube("P1", "T1")));
    lab.order(&drawn(tube("P2", "T2")));
    lab.result(on("T1", "ABO", "A"));
    lab.result(on("T2", "ABO", "A"));
    check(&lab, "T1", &["A held v1 group-unconfirmed+transfusion"]);
    check(&lab, "T2", &["A held v1 group-unconfirmed+transfusion"]);
    lab.order(&tube("P3", "T3"));
    lab.result(held(on("T3", "ABO", "A"), HoldReason::ManualEdit));
    lab.result(held(on("T3", "RHD", "NEG"), HoldReason::StatusNotFinal));
    check(&lab, "T1", &["A held v1 group-unconfirmed+transfusion"]);
    lab.order(&Order {
        patient: "MRN7",
        ..tube("P4", "T4")
    });
    lab.result(on("T4", "ABO", "A"));
    check(&lab, "T4", &["A held v1 group-unconfirmed+transfusion"]);
}

#[test]
fn another_group_than_before_is_held_on_both_tubes_whatever_part_differs() {
    for (test, before, after) in [
        ("ABO", "A", "O"),
        ("RHD", "POS", "NEG"),
        ("RHD", "WEAK", "NEG"),
        ("ABORH", "A POS", "A NEG"),
    ] {
        let mut lab = Lab::new();
        lab.order(&tube("P1", "T1"));
        lab.order(&tube("P2", "T2"));
        lab.result(on("T1", test, before));
        lab.result(on("T2", test, after));
        let both = |text: &str, holds: &str| format!("{text} held v1 {holds}");
        check(
            &lab,
            "T1",
            &[&both(before, "group-unconfirmed+transfusion+group-differs")],
        );
        check(
            &lab,
            "T2",
            &[&both(after, "group-differs+group-unconfirmed+transfusion")],
        );
    }
}

#[test]
fn a_released_group_of_another_year_still_speaks_and_one_of_another_patient_does_not() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.result(on("T1", "ABORH", "A POS"));
    release(&lab, "T1", "ABORH");
    lab.order(&Order {
        patient: "MRN7",
        ..tube("P7", "T7")
    });
    lab.result(on("T7", "ABORH", "B NEG"));
    check(&lab, "T7", &["B NEG held v1 group-unconfirmed+transfusion"]);
    lab.now += 400 * DAY;
    lab.order(&tube("P2", "T2"));
    lab.result(on("T2", "ABO", "B"));
    check(
        &lab,
        "T2",
        &["B held v1 group-differs+group-unconfirmed+transfusion"],
    );
    // What the host has stays as it is.
    check(
        &lab,
        "T1",
        &["A POS released v1 group-unconfirmed+transfusion"],
    );
    lab.result(on("T2", "RHD", "POS"));
    assert!(
        lab.shown("T2").ends_with("POS held v1 transfusion\n"),
        "{}",
        lab.shown("T2")
    );
}

#[test]
fn a_group_without_a_sure_value_or_patient_speaks_against_none() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.order(&tube("P2", "T2"));
    let mut other = on("T1", "ABO", "B");
    other.patient.ids = vec![Private::new("MRN9".to_owned())];
    lab.result(other);
    lab.result(held(on("T1", "RHD", "NEG"), HoldReason::StatusNotFinal));
    lab.result(on("T2", "ABORH", "A POS"));
    check(&lab, "T2", &["A POS held v1 group-unconfirmed+transfusion"]);
}

#[test]
fn forward_and_reverse_must_agree_though_the_wells_are_not_ordered_and_come_apart() {
    let order = Order {
        tests: &["ABO"],
        ..TUBE
    };
    for (wells, is_discrepant) in [
        (["RXA 4+", "RXB 0", "RXA1 0", "RXBC 4+"], false),
        (["RXA 4+", "RXB 0", "RXA1 2+", "RXBC 4+"], true),
        (["RXA mf", "RXB 0", "RXA1 0", "RXBC 4+"], true),
        (["RXA ?", "RXB 0", "RXA1 0", "RXBC 4+"], true),
        (["RXA error", "RXB 0", "RXA1 0", "RXBC 4+"], true),
        (["RXA 4+", "RXB 0", "RXCTL w", "RXBC 4+"], true),
        (["RXA 4+", "RXB 0", "RXCTL 0", "RXBC 4+"], false),
    ] {
        // Before the group, after it, and around it; in one message and in many.
        for place in [0, 2, 4] {
            for is_one_message in [true, false] {
                let mut lab = Lab::new();
                lab.order(&order);
                let mut sent: Vec<Observation> = wells
                    .iter()
                    .map(|well| well.split_once(' ').expect("test and value"))
                    .map(|(test, code)| on("T1", test, code))
                    .collect();
                sent.insert(place, on("T1", "ABO", "A"));
                if is_one_message {
                    lab.result_message("panel", sent);
                } else {
                    sent.into_iter().for_each(|one| {
                        lab.result(one);
                    });
                }
                let shown = lab.shown("T1");
                let group = shown
                    .lines()
                    .find(|line| line.starts_with("A held"))
                    .expect("the group is held");
                assert_eq!(
                    group.contains("group-discrepant"),
                    is_discrepant,
                    "{wells:?} {place} {group}"
                );
            }
        }
    }
}

#[test]
fn a_second_opinion_that_turns_out_doubtful_confirms_no_more() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.order(&tube("P2", "T2"));
    lab.result(on("T1", "ABO", "A"));
    lab.result(on("T2", "ABO", "A"));
    check(&lab, "T1", &["A held v1 transfusion"]);
    lab.result(on("T2", "RXA", "mf"));
    check(&lab, "T1", &["A held v1 transfusion+group-unconfirmed"]);
}

#[test]
fn the_group_of_a_donor_unit_is_not_the_patients() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.order(&tube("P2", "T2"));
    lab.result(on("T1", "ABO", "A"));
    lab.result(Observation {
        about: Some("R02460".to_owned()),
        ..on("T2", "ABO", "B")
    });
    check(&lab, "T1", &["A held v1 group-unconfirmed+transfusion"]);
    check(&lab, "T2", &["B held v1 transfusion"]);
}

#[test]
fn a_group_that_nobody_ordered_speaks_against_others_and_confirms_none() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.order(&tube("P2", "T2"));
    lab.result(on("T1", "ABO", "A"));
    check(&lab, "T1", &["A kept v1"]);
    lab.result(on("T2", "ABO", "B"));
    check(
        &lab,
        "T2",
        &["B held v1 group-differs+group-unconfirmed+transfusion"],
    );
    lab.order(&tube("P3", "T3"));
    lab.result(on("T3", "RHD", "POS"));
    lab.result(on("T1", "RHD", "POS"));
    check(&lab, "T3", &["POS held v1 group-unconfirmed+transfusion"]);
    // Ordered after all, it is one like any other.
    lab.order(&tube("P4", "T1"));
    check(
        &lab,
        "T1",
        &[
            "A held v1 group-differs+group-unconfirmed+transfusion",
            "POS held v1 transfusion",
        ],
    );
    check(&lab, "T3", &["POS held v1 transfusion"]);
}

#[test]
fn a_group_that_cannot_be_read_is_discrepant_and_is_no_group() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.order(&tube("P2", "T2"));
    lab.result(on("T1", "ABO", "ntd"));
    check(&lab, "T1", &["ntd held v1 group-discrepant+transfusion"]);
    lab.result(on("T2", "ABO", "A"));
    check(&lab, "T2", &["A held v1 group-unconfirmed+transfusion"]);
}

#[test]
fn a_preliminary_well_gives_way_to_the_final_one() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.result(Observation {
        status: ResultStatus::NotFinal,
        ..held(on("T1", "RXA", "0"), HoldReason::StatusNotFinal)
    });
    lab.result(on("T1", "RXA", "4+"));
    lab.result(on("T1", "ABO", "A"));
    let shown = lab.shown("T1");
    assert!(
        shown.ends_with("A held v1 group-unconfirmed+transfusion\n"),
        "{shown}"
    );
}

#[test]
fn antibodies_of_any_time_leave_no_crossmatch_but_the_full_one() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.result(on("T1", "XM", "COMPATIBLE"));
    lab.result(on("T1", "ABSCR", "NEG"));
    check(
        &lab,
        "T1",
        &["COMPATIBLE held v1 transfusion", "NEG held v1 transfusion"],
    );
    lab.order(&tube("P2", "T2"));
    lab.result(on("T2", "XM", "COMPATIBLE"));
    lab.result(on("T2", "ABSCR", "w"));
    // The crossmatch that was there before is told of it.
    check(
        &lab,
        "T2",
        &[
            "COMPATIBLE held v1 transfusion+antibody-history",
            "w held v1 transfusion",
        ],
    );
    lab.now += 300 * DAY;
    lab.order(&tube("P3", "T3"));
    lab.result(on("T3", "ABSCR", "NEG"));
    lab.result(on("T3", "XM", "COMPATIBLE"));
    lab.result(on("T3", "XMIAT", "COMPATIBLE"));
    check(
        &lab,
        "T3",
        &[
            "NEG held v1 transfusion",
            "COMPATIBLE held v1 antibody-history+transfusion",
            "COMPATIBLE held v1 transfusion",
        ],
    );
}

#[test]
fn a_screen_that_tells_nothing_speaks_for_its_own_tube_alone() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.order(&tube("P2", "T2"));
    lab.result(on("T1", "ABSCR", "INDETERMINATE"));
    lab.result(on("T1", "XM", "COMPATIBLE"));
    lab.result(on("T2", "XM", "COMPATIBLE"));
    assert!(lab.shown("T1").contains("antibody-history"));
    check(&lab, "T2", &["COMPATIBLE held v1 transfusion"]);
    lab.result(on("T2", "ABID", "antikell"));
    assert!(lab.shown("T2").contains("antibody-history"));
}

#[test]
fn a_corrected_group_that_the_host_has_is_held_and_said_so() {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.result(on("T1", "ABO", "A"));
    release(&lab, "T1", "ABO");
    assert_eq!(lab.lease().len(), 1);
    lab.result(Observation {
        status: ResultStatus::Correction,
        ..on("T1", "ABO", "B")
    });
    check(
        &lab,
        "T1",
        &[
            "A released v1 group-unconfirmed+transfusion",
            "B held v2 group-differs+group-unconfirmed+group-corrected+transfusion",
        ],
    );
    // A correction of what the host never had is no correction to it.
    lab.order(&Order {
        patient: "MRN7",
        ..tube("P2", "T2")
    });
    lab.result(on("T2", "ABO", "A"));
    lab.result(Observation {
        status: ResultStatus::Correction,
        ..on("T2", "ABO", "A")
    });
    assert!(!lab.shown("T2").contains("group-corrected"));
}

/// Tubes T1 of MRN1 and T2 of MRN2 with these groups.
fn two_patients(one: &str, two: &str) -> Lab {
    let mut lab = Lab::new();
    lab.order(&tube("P1", "T1"));
    lab.order(&Order {
        patient: "MRN2",
        ..tube("P2", "T2")
    });
    lab.result(on("T1", "ABO", one));
    lab.result(on("T2", "ABO", two));
    lab
}

#[test]
fn merged_patients_of_different_groups_keep_their_groups_apart_and_every_one_is_held() {
    let mut lab = two_patients("A", "B");
    release(&lab, "T1", "ABO");
    let barcodes = merge(&lab);
    resume_all(&lab, barcodes);
    // The host was never told, and is not told now.
    assert!(lab.lease().is_empty());
    check(
        &lab,
        "T1",
        &["A held v1 group-unconfirmed+transfusion+group-conflict"],
    );
    check(
        &lab,
        "T2",
        &["B held v1 group-unconfirmed+transfusion+group-conflict"],
    );
    lab.order(&Order {
        patient: "MRN2",
        ..tube("P3", "T3")
    });
    lab.result(on("T3", "ABO", "A"));
    lab.result(on("T3", "XMIAT", "COMPATIBLE"));
    check(
        &lab,
        "T3",
        &[
            "A held v1 group-differs+group-conflict+group-unconfirmed+transfusion",
            "COMPATIBLE held v1 group-conflict+transfusion",
        ],
    );
}

#[test]
fn a_group_that_was_told_before_a_conflicting_merge_is_not_told_under_the_other_name() {
    let lab = two_patients("A", "B");
    let told = release(&lab, "T1", "ABO");
    assert_eq!(lab.lease(), [(1, "MRN1 T1: A".to_owned())]);
    merge(&lab);
    let now = lab.now;
    lab.work(move |db| {
        let verdict = queue::Verdict::Accepted {
            answer: "AA".to_owned(),
        };
        queue::settle_attempt(db, 1, "worker", &verdict, queue::Backoff::default(), now)
    });
    assert!(lab.lease().is_empty());
    let row = lab.work(move |db| super::super::result_by_id(db, told));
    assert_eq!(row.expect("it is there").state, ResultState::Released);
}

#[test]
fn merged_patients_of_one_group_confirm_each_other_later_and_conflict_in_nothing() {
    let mut lab = two_patients("A", "A");
    release(&lab, "T1", "ABO");
    merge(&lab);
    assert_eq!(lab.lease(), [(1, "MRN2 T1: A".to_owned())]);
    check(&lab, "T2", &["A held v1 group-unconfirmed+transfusion"]);
    lab.order(&Order {
        patient: "MRN2",
        ..tube("P3", "T3")
    });
    lab.result(on("T3", "ABO", "A"));
    check(&lab, "T3", &["A held v1 transfusion"]);
    check(&lab, "T2", &["A held v1 transfusion"]);
}

#[test]
fn the_history_is_found_by_patient_and_scans_no_results() {
    let statements = book::statements();
    let mut of_blood = statements
        .iter()
        .filter(|sql| sql.sqlite.contains("JOIN blood_group"));
    let history = of_blood.next().expect("the history is read by a statement");
    let plan = format!("EXPLAIN QUERY PLAN {}", history.sqlite);
    // A statement is a constant; this one is made for as long as the test runs.
    let plan = Sql::same(Box::leak(plan.into_boxed_str()));
    let lab = Lab::new();
    let plan = lab.work(move |db| {
        let rows = db.rows(&plan, &[1.into()])?;
        let steps = rows.iter().map(|row| row.text(3).map(str::to_owned));
        steps.collect::<Result<Vec<_>, _>>()
    });
    let scans: Vec<&String> = plan
        .iter()
        .filter(|step| step.contains("SCAN") && *step != "SCAN one")
        .collect();
    assert!(scans.is_empty(), "{plan:#?}");
}

/// One thing that happens in a blood bank.
#[derive(Clone, Debug)]
enum Event {
    Order(&'static str, &'static str, &'static str),
    Message(Vec<Observation>),
    Batch(Vec<Vec<Observation>>),
    Merge,
    GiveWay,
    Later,
}

fn result() -> impl Strategy<Value = Observation> {
    let tube = prop::sample::select(vec!["T1", "T2", "T3"]);
    let test = prop::sample::select(vec!["ABO", "ABORH", "RXA", "RXA1", "ABSCR", "XM"]);
    let code = prop::sample::select(vec![
        "A", "B", "A POS", "4+", "0", "mf", "POS", "NEG", "text",
    ]);
    let hold = prop::sample::select(vec![None, None, Some(HoldReason::Incomplete)]);
    let status = prop::sample::select(vec![ResultStatus::Final, ResultStatus::Correction]);
    let patient = prop::sample::select(vec!["", "MRN1", "MRN9"]);
    (tube, test, code, hold, status, patient).prop_map(|(tube, test, code, hold, status, id)| {
        let mut one = Observation {
            status,
            ..on(tube, test, code)
        };
        if !id.is_empty() {
            one.patient.ids = vec![Private::new(id.to_owned())];
        }
        match hold {
            Some(reason) => held(one, reason),
            None => one,
        }
    })
}

fn event() -> impl Strategy<Value = Event> {
    let order = (
        prop::sample::select(vec!["P1", "P2", "P3"]),
        prop::sample::select(vec!["T1", "T2", "T3"]),
        prop::sample::select(vec!["MRN1", "MRN2"]),
    );
    let message = || prop::collection::vec(result(), 1..4);
    prop_oneof![
        3 => order.prop_map(|(placer, tube, patient)| Event::Order(placer, tube, patient)),
        3 => message().prop_map(Event::Message),
        1 => prop::collection::vec(message(), 2..4).prop_map(Event::Batch),
        1 => Just(Event::Merge),
        1 => Just(Event::GiveWay),
        1 => Just(Event::Later),
    ]
}

impl Lab {
    fn batch(&mut self, messages: Vec<Vec<Observation>>) {
        let messages: Vec<(i64, Vec<Item>)> = messages
            .into_iter()
            .map(|results| {
                let items = results
                    .into_iter()
                    .map(|one| Item::Observation(Box::new(one)));
                (self.journal("batch"), items.collect())
            })
            .collect();
        let (now, site) = (self.now, self.site);
        self.work(move |db| {
            let all: Vec<Message<'_>> = messages
                .iter()
                .map(|(message, items)| Message {
                    context: settle_context(*message, now, b"batch", &site),
                    items,
                })
                .collect();
            settle_all(db, &all)
        });
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Order(placer, barcode, patient) => {
                self.order(&Order {
                    patient,
                    ..tube(placer, barcode)
                });
            }
            Event::Message(results) => {
                self.block += 1;
                self.result_message(&format!("message {}", self.block), results);
            }
            Event::Batch(messages) => self.batch(messages),
            Event::Merge => {
                let barcodes = merge(self);
                resume_all(self, barcodes);
            }
            Event::GiveWay => {
                let (now, site) = (self.now, self.site);
                let whole = vec![Item::Observation(Box::new(on("T1", "ABO", "A")))];
                let message = i64::try_from(self.block).expect("few messages");
                self.work(move |db| {
                    let again = give_way(db, message, whole, now)?;
                    settle(db, &settle_context(message, now, b"whole", &site), &again)
                });
            }
            Event::Later => self.now += DAY,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_result_of_transfusion_is_released_by_itself_whatever_happens(
        events in prop::collection::vec(event(), 1..12),
        extras: bool,
        unordered: bool,
    ) {
        let mut lab = Lab::new();
        lab.site.extras = extras;
        lab.site.unordered = unordered;
        for event in events {
            lab.happens(event);
        }
        for barcode in ["T1", "T2", "T3"] {
            let shown = lab.shown(barcode);
            prop_assert!(!shown.contains(" released "), "{}", shown);
            prop_assert!(!shown.contains(" confirmed "), "{}", shown);
        }
        prop_assert!(lab.lease().is_empty());
    }

    #[test]
    fn groups_settled_together_are_held_as_one_after_the_other(
        messages in prop::collection::vec(prop::collection::vec(result(), 1..4), 1..6),
    ) {
        let run = |is_batch: bool| {
            let mut lab = Lab::new();
            lab.order(&tube("P1", "T1"));
            lab.order(&tube("P2", "T2"));
            if is_batch {
                lab.batch(messages.clone());
            } else {
                for one in &messages {
                    lab.batch(vec![one.clone()]);
                }
            }
            ["T1", "T2", "T3"].map(|barcode| lab.shown(barcode))
        };
        prop_assert_eq!(run(true), run(false));
    }
}

crate::on_postgres_too! {
    a_group_is_unconfirmed_until_a_second_tube_says_the_same
    two_tubes_of_one_draw_or_a_doubtful_one_confirm_nothing
    another_group_than_before_is_held_on_both_tubes_whatever_part_differs
    a_released_group_of_another_year_still_speaks_and_one_of_another_patient_does_not
    a_group_without_a_sure_value_or_patient_speaks_against_none
    forward_and_reverse_must_agree_though_the_wells_are_not_ordered_and_come_apart
    a_second_opinion_that_turns_out_doubtful_confirms_no_more
    the_group_of_a_donor_unit_is_not_the_patients
    a_group_that_nobody_ordered_speaks_against_others_and_confirms_none
    a_group_that_cannot_be_read_is_discrepant_and_is_no_group
    a_preliminary_well_gives_way_to_the_final_one
    antibodies_of_any_time_leave_no_crossmatch_but_the_full_one
    a_screen_that_tells_nothing_speaks_for_its_own_tube_alone
    a_corrected_group_that_the_host_has_is_held_and_said_so
    merged_patients_of_different_groups_keep_their_groups_apart_and_every_one_is_held
    a_group_that_was_told_before_a_conflicting_merge_is_not_told_under_the_other_name
    merged_patients_of_one_group_confirm_each_other_later_and_conflict_in_nothing
}
