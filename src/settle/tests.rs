//! The deciding rules, one test each, on a real store.

mod calls;
mod leases;
mod merges;
mod racks;
mod together;
mod transfusion;

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use labwire_protocols::wire::{Commit, Mono, Received};
use rust_decimal::Decimal;

use crate::{
    book::{
        self, Action, BookContext, BookPatient, Fields, Identifier, OrderEntry, Outcome,
        PatientEntry, SpecimenEntry,
    },
    calls::Critical,
    model::{
        Hold, HoldReason, Item, Observation, ObservationKind, PatientSeen, Priority, Private,
        QueueState, ResultState, ResultStatus, SpecimenRead, Value, WallTime, blood::BloodTest,
    },
    queue::{self, LeaseTerms, Pending, Render, Rendered},
    store::{
        Clock, Db, JournalEntry, Store, StoreError, Turn,
        ground::{Ground, new_store},
    },
};

use super::{SettleContext, Settled, SiteRules, of_barcode, resume, settle};

/// 2026-03-10 08:00 UTC.
const MORNING: i64 = 1_773_129_600_000_000;
const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

#[derive(Debug, Default)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn mono(&self) -> Mono {
        Mono::default()
    }
    fn utc_micros(&self) -> i64 {
        MORNING
    }
}

#[derive(Clone, Copy)]
struct Site {
    auto: bool,
    extras: bool,
    transfusion: bool,
    unordered: bool,
    told: bool,
}

impl SiteRules for Site {
    fn releases_automatically(&self, _: &str) -> bool {
        self.auto
    }
    fn posts_extras(&self, _: &str) -> bool {
        self.extras
    }
    fn posts_unordered(&self, _: &str) -> Option<String> {
        self.unordered.then(|| "his".to_owned())
    }
    fn is_transfusion(&self, line: &str, test: &str) -> bool {
        (self.transfusion && line == "xn-1") || self.blood(test).is_some()
    }
    fn asks_about_every_tube(&self, _: &str) -> bool {
        !self.told
    }
    fn blood(&self, test: &str) -> Option<&BloodTest> {
        transfusion::TESTS.get(test)
    }
    fn critical(&self, one: &Observation, _: Option<&BookPatient>, _: i64) -> Option<Critical> {
        let (Some("K"), Value::Quantity { number, .. }) = (one.test.as_deref(), &one.value) else {
            return None;
        };
        let of = |side, beyond: &str| {
            Some(Critical {
                side,
                beyond: beyond.to_owned(),
            })
        };
        if *number > Decimal::new(62, 1) {
            of("high", "> 6.2")
        } else if *number < Decimal::new(28, 1) {
            of("low", "< 2.8")
        } else {
            None
        }
    }
    fn fits_tube(&self, test: &str, types: &[&str]) -> Option<bool> {
        let wanted = if test == "GLU" { "SERUM" } else { "EDTA" };
        let is_known = ["SERUM", "EDTA"].iter().any(|known| types.contains(known));
        is_known.then(|| types.contains(&wanted))
    }
}

/// A laboratory with a store of its own, a clock that the test moves, and one line.
struct Lab {
    store: Store,
    now: i64,
    site: Site,
    block: u64,
    _ground: Box<dyn Ground>,
}

impl Lab {
    fn new() -> Self {
        let (store, ground) = new_store(Arc::new(StoppedClock));
        let site = Site {
            auto: true,
            extras: false,
            transfusion: false,
            unordered: false,
            told: false,
        };
        Self {
            store,
            now: MORNING,
            site,
            block: 0,
            _ground: ground,
        }
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store
            .transact_blocking(Turn::Canonical, work)
            .expect("the store works")
    }

    fn journal(&mut self, raw: &str) -> i64 {
        self.block += 1;
        let received = Received {
            session: self.block,
            bytes: raw.to_owned().into(),
            is_complete: true,
        };
        let entry = JournalEntry {
            line: "xn-1".to_owned(),
            connection: 1,
            at: self.now,
            commit: Commit::Message(received),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let done = runtime
            .block_on(self.store.journal(entry))
            .expect("the journal takes it");
        done.messages[0]
    }

    fn order(&mut self, order: &Order) -> Outcome {
        let message = self.journal("order");
        let (now, site) = (self.now, self.site);
        let (patient, entry) = order.entries();
        self.work(move |db| {
            let context = BookContext {
                host: "his",
                message,
                now,
                specimen_age_max: 14 * DAY,
            };
            let applied = book::apply(db, &context, Some(&patient), &entry)?;
            if !applied.barcode.is_empty() {
                let context = settle_context(message, now, b"", &site);
                resume(db, &context, &applied.barcode)?;
            }
            Ok(applied.outcome)
        })
    }

    /// One device message with these results. `raw` is what a retransmission repeats.
    fn result_message(&mut self, raw: &str, observations: Vec<Observation>) -> Settled {
        let message = self.journal(raw);
        let (now, site, raw) = (self.now, self.site, raw.to_owned());
        let items: Vec<Item> = observations
            .into_iter()
            .map(|one| Item::Observation(Box::new(one)))
            .collect();
        self.work(move |db| {
            settle(
                db,
                &settle_context(message, now, raw.as_bytes(), &site),
                &items,
            )
        })
    }

    fn result(&mut self, observation: Observation) -> Settled {
        self.block += 1;
        let raw = format!("message {}", self.block);
        self.result_message(&raw, vec![observation])
    }

    /// Every version on a barcode, as `text state v1 reasons`.
    fn shown(&self, barcode: &'static str) -> String {
        let rows = self.work(move |db| of_barcode(db, barcode));
        rows.iter().fold(String::new(), |mut text, row| {
            let holds: Vec<&str> = row.holds.iter().map(|hold| hold.reason.code()).collect();
            let state = row.state.code();
            write!(text, "{} {state} v{}", row.observation.text, row.version).expect("to a string");
            if !holds.is_empty() {
                write!(text, " {}", holds.join("+")).expect("to a string");
            }
            text.push('\n');
            text
        })
    }

    /// What a host worker would send now, as `tube: texts`, leasing it.
    fn lease(&self) -> Vec<(i64, String)> {
        let now = self.now;
        self.work(move |db| {
            let terms = LeaseTerms {
                destination: "host:his",
                owner: "worker",
                now,
                until: now + MINUTE,
                count_max: 10,
                more_urgent_than: LeaseTerms::ANY_PRIORITY,
            };
            let leased = queue::lease(db, &terms, &mut Texts)?;
            Ok(leased
                .into_iter()
                .map(|row| (row.id, String::from_utf8(row.body).expect("text")))
                .collect())
        })
    }
}

fn settle_context<'a>(
    message: i64,
    now: i64,
    digest_input: &'a [u8],
    site: &'a Site,
) -> SettleContext<'a> {
    SettleContext {
        message,
        line: "xn-1",
        received_at: now,
        now,
        specimen_age_max: 14 * DAY,
        digest_input,
        site,
    }
}

/// Renders the texts of a message's results and the patient they go to.
struct Texts;

impl Render for Texts {
    fn render(
        &mut self,
        db: &mut dyn Db,
        pending: &[Pending],
    ) -> Result<Vec<Rendered>, StoreError> {
        pending.iter().map(|row| Self::rendered(db, row)).collect()
    }
}

impl Texts {
    fn rendered(db: &mut dyn Db, pending: &Pending) -> Result<Rendered, StoreError> {
        let tube = book::specimen_by_id(db, pending.specimen)?;
        let patient = book::patient_of(db, tube.patient)?;
        let who = patient.fields.expose().get(&3).cloned().unwrap_or_default();
        let mut body = format!("{who} {}:", tube.barcode);
        for id in &pending.results {
            let row = super::result_by_id(db, *id)?.expect("a queued result exists");
            body.push(' ');
            body.push_str(&row.observation.text);
        }
        let control_id = format!("LW-{}", pending.id);
        Ok(Rendered::Message {
            control_id,
            body: body.into_bytes(),
        })
    }
}

#[derive(Clone)]
struct Order {
    action: Action,
    placer: &'static str,
    barcode: &'static str,
    patient: &'static str,
    tests: &'static [&'static str],
    priority: Priority,
    /// SPM-4.
    tube_type: &'static str,
    collected_at: Option<i64>,
}

const CBC: Order = Order {
    action: Action::New,
    placer: "P1",
    barcode: "T1",
    patient: "MRN1",
    tests: &["WBC", "HGB"],
    priority: Priority::Routine,
    tube_type: "",
    collected_at: None,
};

impl Order {
    fn entries(&self) -> (PatientEntry, OrderEntry) {
        let patient = PatientEntry {
            identifiers: vec![identifier(self.patient)],
            fields: Private::new(Fields::from([
                (3, self.patient.to_owned()),
                (5, "TRẦN^BÌNH^THỊ".to_owned()),
            ])),
            birth: Private::new("19800312".to_owned()),
            sex: "F".to_owned(),
        };
        let types = (!self.tube_type.is_empty()).then(|| (4, self.tube_type.to_owned()));
        let specimen = SpecimenEntry {
            barcode: self.barcode.to_owned(),
            fields: types.into_iter().collect(),
            collected_at: self.collected_at,
        };
        let entry = OrderEntry {
            action: self.action,
            placer: self.placer.to_owned(),
            service: "CBC".to_owned(),
            tests: self.tests.iter().map(|test| (*test).to_owned()).collect(),
            specimen: Some(specimen),
            priority: self.priority,
            orc: Fields::new(),
            obr: Fields::from([(4, "CBC".to_owned())]),
        };
        (patient, entry)
    }
}

fn identifier(id: &str) -> Identifier {
    Identifier {
        id: Private::new(id.to_owned()),
        ..Default::default()
    }
}

fn wbc(text: &str) -> Observation {
    observation("WBC", text)
}

fn observation(test: &str, text: &str) -> Observation {
    Observation {
        kind: ObservationKind::Patient,
        specimen: Some(SpecimenRead {
            sent: "T1".to_owned(),
            id: "T1".to_owned(),
            rack: String::new(),
            position: String::new(),
        }),
        patient: PatientSeen::default(),
        code: test.to_owned(),
        qualifiers: Vec::new(),
        about: None,
        test: Some(test.to_owned()),
        text: text.to_owned(),
        value: Value::Quantity {
            comparator: None,
            number: Decimal::ONE,
        },
        unit: "10*9/L".to_owned(),
        ucum: Some("10*9/L".to_owned()),
        range: String::new(),
        flags: Vec::new(),
        status: ResultStatus::Final,
        status_sent: "F".to_owned(),
        run: None,
        dilution: None,
        operator: String::new(),
        instrument: String::new(),
        completed: None,
        comments: Vec::new(),
        control: None,
        lot: None,
        level: None,
        supersedes: false,
        span: 0..0,
        holds: Vec::new(),
        notes: Vec::new(),
    }
}

fn held(mut observation: Observation, reason: HoldReason) -> Observation {
    observation.holds.push(Hold::new(reason, ""));
    observation
}

#[test]
fn a_result_with_an_order_is_released_and_queued_for_its_patient() {
    let mut lab = Lab::new();
    assert_eq!(lab.order(&CBC), Outcome::Accepted);
    let settled = lab.result_message("m", vec![wbc("6.4"), observation("HGB", "131")]);
    assert_eq!((settled.released, settled.held), (2, 0));
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4 131".to_owned())]);
}

#[test]
fn a_result_before_its_order_waits_and_goes_on_by_itself() {
    let mut lab = Lab::new();
    assert_eq!(lab.result(wbc("6.4")).waiting, 1);
    assert_eq!(lab.shown("T1"), "6.4 waiting v1 unknown-specimen\n");
    lab.now += HOUR;
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
}

#[test]
fn a_waiting_result_with_another_hold_stays_held_when_its_order_comes() {
    let mut lab = Lab::new();
    lab.result(held(wbc("6.4"), HoldReason::SuspectFlag));
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 held v1 suspect-flag\n");
    assert!(lab.lease().is_empty());
}

#[test]
fn a_result_that_waits_over_new_year_is_judged_by_the_day_it_came() {
    let mut lab = Lab::new();
    // 2026-12-31 20:00 UTC, and an order three days later.
    lab.now = 1_798_747_200_000_000;
    let completed = Some(WallTime {
        sent: "x".to_owned(),
        utc: Some(lab.now - HOUR),
    });
    lab.result(Observation {
        completed,
        ..wbc("6.4")
    });
    lab.now += 3 * DAY;
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 released v1\n");
}

#[test]
fn a_result_too_old_for_a_new_order_stays_waiting() {
    let mut lab = Lab::new();
    lab.result(wbc("6.4"));
    lab.now += 15 * DAY;
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 waiting v1 unknown-specimen\n");
}

#[test]
fn a_barcode_active_for_two_patients_holds_every_result() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.order(&Order {
        placer: "P2",
        patient: "MRN2",
        ..CBC
    });
    lab.result(wbc("6.4"));
    assert_eq!(lab.shown("T1"), "6.4 held v1 ambiguous-specimen\n");
}

#[test]
fn a_barcode_that_comes_back_after_its_time_belongs_to_the_new_patient() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.now += 15 * DAY;
    lab.order(&Order {
        placer: "P2",
        patient: "MRN2",
        ..CBC
    });
    lab.result(wbc("6.4"));
    assert_eq!(lab.lease(), [(1, "MRN2 T1: 6.4".to_owned())]);
}

#[test]
fn another_patient_id_birth_date_or_sex_is_held_and_a_missing_one_is_not() {
    let seen = |id: &str, birth: &str, sex: &str| PatientSeen {
        ids: vec![Private::new(id.to_owned())],
        birth: Private::new(birth.to_owned()),
        sex: crate::model::Sex::from_code(sex),
        ..Default::default()
    };
    for (patient, expected) in [
        (seen("MRN1", "19800312", "F"), "6.4 released v1\n"),
        (seen("", "", "U"), "6.4 released v1\n"),
        (seen("", "198003", ""), "6.4 released v1\n"),
        (seen("MRN9", "", ""), "6.4 held v1 patient-mismatch\n"),
        (seen("", "19800313", ""), "6.4 held v1 patient-mismatch\n"),
        (seen("", "", "M"), "6.4 held v1 patient-mismatch\n"),
    ] {
        let mut lab = Lab::new();
        lab.order(&CBC);
        lab.result(Observation {
            patient,
            ..wbc("6.4")
        });
        assert_eq!(lab.shown("T1"), expected);
    }
}

#[test]
fn another_name_is_noted_and_holds_nothing() {
    for (name, noted) in [("TRAN^BINH THI", false), ("", false), ("LE^BINH^THI", true)] {
        let mut lab = Lab::new();
        lab.order(&CBC);
        lab.result(Observation {
            patient: PatientSeen {
                ids: vec![Private::new("MRN1".to_owned())],
                name: Private::new(name.to_owned()),
                ..Default::default()
            },
            ..wbc("6.4")
        });
        assert_eq!(lab.shown("T1"), "6.4 released v1\n", "{name}");
        let rows = lab.work(|db| of_barcode(db, "T1"));
        let notes: Vec<&str> = rows[0]
            .observation
            .notes
            .iter()
            .map(String::as_str)
            .collect();
        let expected: &[&str] = if noted { &["name-differs"] } else { &[] };
        assert_eq!(notes, expected, "{name}");
    }
}

#[test]
fn the_same_message_again_is_a_retransmission_within_72_hours() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).released, 1);
    lab.now += 71 * HOUR;
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).repeats, 1);
    lab.now += 2 * HOUR;
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).confirmed, 1);
    assert_eq!(lab.lease().len(), 1);
}

#[test]
fn a_result_resent_while_it_waits_and_after_its_order_is_stored_once() {
    let mut lab = Lab::new();
    lab.result_message("m", vec![wbc("6.4")]);
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).repeats, 1);
    lab.order(&CBC);
    assert_eq!(lab.result_message("m", vec![wbc("6.4")]).repeats, 1);
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
}

#[test]
fn a_result_with_a_completed_time_is_recognised_in_another_message() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let completed = Some(WallTime {
        sent: "20260310075500".to_owned(),
        utc: None,
    });
    let observation = Observation {
        completed,
        ..wbc("6.4")
    };
    assert_eq!(
        lab.result_message("one", vec![observation.clone()])
            .released,
        1
    );
    assert_eq!(lab.result_message("two", vec![observation]).repeats, 1);
}

#[test]
fn nothing_is_recognised_as_a_repeat_inside_one_message() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let twice = vec![
        held(wbc("6.4"), HoldReason::Replicate),
        held(wbc("6.4"), HoldReason::Replicate),
    ];
    assert_eq!(lab.result_message("m", twice.clone()).held, 2);
    assert_eq!(lab.result_message("m", twice).repeats, 2);
}

#[test]
fn a_second_different_final_is_held_and_the_same_value_confirms() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.result(wbc("6.4"));
    lab.result(wbc("7.1"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n6.4 confirmed v1\n7.1 held v2 second-result\n"
    );
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
}

#[test]
fn a_report_that_becomes_final_with_all_else_as_before_is_no_repeat() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let measured = |status| Observation {
        status,
        completed: Some(WallTime {
            sent: "20260310145500".to_owned(),
            utc: None,
        }),
        ..wbc("6.4")
    };
    let partial = held(measured(ResultStatus::NotFinal), HoldReason::StatusNotFinal);
    lab.result(partial.clone());
    lab.result(partial);
    lab.result(measured(ResultStatus::Final));
    let shown = lab.shown("T1");
    assert!(shown.contains("6.4 released"), "{shown}");
    assert_eq!(shown.matches("repeat").count(), 1, "{shown}");
}

#[test]
fn results_about_different_donor_units_are_no_versions_of_one_another() {
    let about = |unit: &str, text: &str| Observation {
        about: Some(unit.to_owned()),
        ..wbc(text)
    };
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(about("D1", "6.4"));
    lab.result(about("D2", "6.4"));
    lab.result(about("D2", "7.1"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n6.4 released v1\n7.1 held v2 second-result\n"
    );
}

#[test]
fn the_same_value_for_another_patient_or_with_a_flag_confirms_nothing() {
    for (second, expected) in [
        (
            Observation {
                patient: seen("MRN9", "6.4").patient,
                ..wbc("6.4")
            },
            "6.4 released v1\n6.4 held v2 patient-mismatch\n",
        ),
        (
            held(wbc("6.4"), HoldReason::SuspectFlag),
            "6.4 released v1\n6.4 held v2 suspect-flag\n",
        ),
    ] {
        let mut lab = Lab::new();
        lab.order(&CBC);
        lab.result(wbc("6.4"));
        lab.result(second);
        assert_eq!(lab.shown("T1"), expected);
    }
}

#[test]
fn a_correction_replaces_the_released_value_as_a_new_version() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
    lab.result(Observation {
        status: ResultStatus::Correction,
        ..wbc("7.1")
    });
    assert_eq!(lab.shown("T1"), "6.4 replaced v1\n7.1 released v2\n");
    assert!(
        lab.lease().is_empty(),
        "the first message is still on its way"
    );
}

#[test]
fn a_value_corrected_before_it_was_ever_tried_is_never_sent() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.result(Observation {
        status: ResultStatus::Correction,
        ..wbc("7.1")
    });
    assert_eq!(lab.lease(), [(2, "MRN1 T1: 7.1".to_owned())]);
}

#[test]
fn a_preliminary_value_gives_way_to_the_final_one() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(held(wbc("6.4"), HoldReason::StatusNotFinal));
    lab.result(held(wbc("----"), HoldReason::AbsentValue));
    lab.result(wbc("7.1"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 replaced v1 status-not-final\n---- replaced v1 absent-value\n7.1 released v1\n"
    );
}

#[test]
fn a_clean_value_after_a_suspect_one_is_shown_beside_it() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(held(wbc("6.4"), HoldReason::SuspectFlag));
    lab.result(wbc("7.1"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 held v1 suspect-flag\n7.1 held v1 second-result\n"
    );
}

#[test]
fn a_cut_message_resolves_itself_when_the_same_value_arrives_whole() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result_message("m", vec![held(wbc("6.4"), HoldReason::Incomplete)]);
    lab.result_message("m", vec![wbc("6.4")]);
    assert_eq!(
        lab.shown("T1"),
        "6.4 replaced v1 incomplete\n6.4 released v1\n"
    );
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result_message("m", vec![held(wbc("6.4"), HoldReason::Incomplete)]);
    lab.result_message("n", vec![wbc("9.9")]);
    assert_eq!(
        lab.shown("T1"),
        "6.4 held v1 incomplete\n9.9 held v1 second-result\n"
    );
}

#[test]
fn a_result_for_a_cancelled_order_is_held() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    assert_eq!(
        lab.order(&Order {
            action: Action::Cancel,
            ..CBC
        }),
        Outcome::Accepted
    );
    lab.result(wbc("6.4"));
    assert_eq!(lab.shown("T1"), "6.4 held v1 order-cancelled\n");
}

#[test]
fn a_test_of_a_cancelled_item_is_held_while_the_tube_is_active() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.order(&Order {
        placer: "P2",
        tests: &["RETP"],
        ..CBC
    });
    lab.order(&Order {
        placer: "P2",
        tests: &["RETP"],
        action: Action::Cancel,
        ..CBC
    });
    lab.result(observation("RETP", "1.2"));
    assert_eq!(lab.shown("T1"), "1.2 held v1 order-cancelled\n");
}

#[test]
fn an_order_with_a_released_result_can_not_be_cancelled() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    assert_eq!(
        lab.order(&Order {
            action: Action::Cancel,
            ..CBC
        }),
        Outcome::InProcess
    );
}

#[test]
fn the_same_order_again_is_accepted_once_and_other_content_is_refused() {
    let mut lab = Lab::new();
    assert_eq!(lab.order(&CBC), Outcome::Accepted);
    assert_eq!(lab.order(&CBC), Outcome::Accepted);
    assert_eq!(
        lab.order(&Order {
            tests: &["WBC"],
            ..CBC
        }),
        Outcome::DiffersFromFirst
    );
    let items = lab.work(|db| {
        let tubes = book::specimens_with_barcode(db, "T1", 0)?;
        book::open_items(db, tubes[0].id)
    });
    assert_eq!(items.len(), 1);
}

#[test]
fn an_extra_is_kept_or_posted_as_the_site_says() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(observation("PLT", "250"));
    assert_eq!(lab.shown("T1"), "250 kept v1\n");
    assert!(lab.lease().is_empty());
    lab.site.extras = true;
    lab.result(observation("MPV", "9.1"));
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 9.1".to_owned())]);
}

#[test]
fn a_kept_result_goes_on_when_its_test_is_ordered_on_the_same_tube() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(observation("PLT", "250"));
    lab.result(observation("MPV", "9.1"));
    lab.order(&Order {
        placer: "P2",
        tests: &["PLT"],
        ..CBC
    });
    assert_eq!(lab.shown("T1"), "250 released v1\n9.1 kept v1\n");
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 250".to_owned())]);
}

#[test]
fn a_kept_result_with_a_hold_of_its_own_stays_held_when_its_test_is_ordered() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let other = PatientSeen {
        ids: vec![Private::new("MRN9".to_owned())],
        ..Default::default()
    };
    lab.result(Observation {
        patient: other,
        ..observation("PLT", "250")
    });
    assert_eq!(lab.shown("T1"), "250 kept v1 patient-mismatch\n");
    lab.order(&Order {
        placer: "P2",
        tests: &["PLT"],
        ..CBC
    });
    assert_eq!(lab.shown("T1"), "250 held v1 patient-mismatch\n");
}

#[test]
fn a_kept_result_never_goes_to_the_next_patient_of_its_barcode() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.now += 13 * DAY;
    lab.result(observation("PLT", "250"));
    lab.now += 2 * DAY;
    lab.order(&Order {
        placer: "P2",
        patient: "MRN2",
        tests: &["PLT"],
        ..CBC
    });
    assert_eq!(lab.shown("T1"), "250 kept v1\n");
    assert!(lab.lease().is_empty());
}

#[test]
fn transfusion_and_reviewed_hosts_are_never_released_by_themselves() {
    for (site, reason) in [
        (
            Site {
                unordered: false,
                told: false,
                auto: true,
                extras: true,
                transfusion: true,
            },
            "transfusion",
        ),
        (
            Site {
                unordered: false,
                told: false,
                auto: false,
                extras: false,
                transfusion: false,
            },
            "review",
        ),
    ] {
        let mut lab = Lab::new();
        lab.site = site;
        lab.order(&CBC);
        lab.result(wbc("6.4"));
        assert_eq!(lab.shown("T1"), format!("6.4 held v1 {reason}\n"));
    }
}

#[test]
fn a_waiting_result_of_transfusion_is_held_when_its_order_comes_from_another_line() {
    let mut lab = Lab::new();
    lab.site.transfusion = true;
    lab.result(wbc("6.4"));
    lab.order(&CBC);
    assert_eq!(lab.shown("T1"), "6.4 held v1 transfusion\n");
}

/// WBC of a patient as only the device knows one.
fn seen(patient: &str, text: &str) -> Observation {
    let mut one = wbc(text);
    one.patient.ids = vec![Private::new(patient.to_owned())];
    one.patient.name = Private::new("NGUYEN^LAN".to_owned());
    one
}

#[test]
fn an_unordered_result_is_posted_only_where_the_site_says_so_and_the_patient_is_named() {
    for (unordered, one, expected) in [
        (true, seen("D7", "6.4"), "6.4 released v1\n"),
        (
            false,
            seen("D7", "6.4"),
            "6.4 waiting v1 unknown-specimen\n",
        ),
        (true, wbc("6.4"), "6.4 waiting v1 unknown-specimen\n"),
        (
            true,
            held(seen("D7", "6.4"), HoldReason::SuspectFlag),
            "6.4 waiting v1 suspect-flag+unknown-specimen\n",
        ),
        (
            true,
            Observation {
                test: None,
                ..seen("D7", "6.4")
            },
            "6.4 waiting v1 unknown-specimen\n",
        ),
    ] {
        let mut lab = Lab::new();
        lab.site.unordered = unordered;
        lab.result(one);
        assert_eq!(lab.shown("T1"), expected);
    }
    let mut lab = Lab::new();
    lab.site.unordered = true;
    lab.result(seen("D7", "6.4"));
    assert_eq!(lab.lease(), [(1, "D7 T1: 6.4".to_owned())]);
}

#[test]
fn an_unordered_result_of_transfusion_or_of_a_reviewed_host_waits() {
    for (auto, transfusion) in [(false, false), (true, true)] {
        let mut lab = Lab::new();
        lab.site = Site {
            unordered: true,
            told: false,
            auto,
            extras: false,
            transfusion,
        };
        lab.result(seen("D7", "6.4"));
        assert_eq!(lab.shown("T1"), "6.4 waiting v1 unknown-specimen\n");
    }
}

#[test]
fn unordered_results_of_two_patients_on_one_barcode_never_share_a_message() {
    let mut lab = Lab::new();
    lab.site.unordered = true;
    lab.result_message("m", vec![seen("D7", "6.4"), seen("D8", "7.1")]);
    lab.result(seen("D7", "6.5"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n7.1 released v1\n6.5 held v2 second-result\n"
    );
    let mut sent = lab.lease();
    sent.sort();
    let texts: Vec<&str> = sent.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(texts, ["D7 T1: 6.4", "D8 T1: 7.1"]);
}

#[test]
fn an_order_never_meets_the_patient_of_an_unordered_result() {
    let mut lab = Lab::new();
    lab.site.unordered = true;
    lab.result(seen("MRN1", "6.4"));
    assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
    // The order's own patient has the same number and a tube of its own.
    lab.order(&CBC);
    lab.result(observation("HGB", "131"));
    lab.result(seen("MRN9", "7.0"));
    assert_eq!(
        lab.shown("T1"),
        "6.4 released v1\n131 released v1\n7.0 held v1 patient-mismatch\n"
    );
    let tubes = lab.work(|db| book::specimens_with_barcode(db, "T1", 0));
    assert_eq!(tubes.len(), 2);
    assert_ne!(tubes[0].patient, tubes[1].patient);
}

#[test]
fn an_unordered_result_sent_again_is_a_repeat() {
    let mut lab = Lab::new();
    lab.site.unordered = true;
    lab.result_message("m", vec![seen("D7", "6.4")]);
    lab.result_message("m", vec![seen("D7", "6.4")]);
    assert_eq!(lab.shown("T1"), "6.4 released v1\n6.4 repeat v1\n");
}

#[test]
fn a_number_used_for_another_patient_is_refused_whatever_is_asked() {
    for action in [Action::New, Action::Cancel, Action::Change] {
        let mut lab = Lab::new();
        lab.order(&CBC);
        let other = Order {
            action,
            patient: "MRN2",
            ..CBC
        };
        assert_eq!(lab.order(&other), Outcome::DiffersFromFirst, "{action:?}");
        lab.result(wbc("6.4"));
        assert_eq!(lab.lease(), [(1, "MRN1 T1: 6.4".to_owned())]);
    }
}

#[test]
fn a_device_clock_in_another_year_is_held_and_a_skewed_one_noted() {
    let at = |utc: i64| {
        Some(WallTime {
            sent: "x".to_owned(),
            utc: Some(utc),
        })
    };
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(Observation {
        completed: at(MORNING - 400 * DAY),
        ..wbc("6.4")
    });
    lab.result(Observation {
        completed: at(MORNING + HOUR),
        ..observation("HGB", "131")
    });
    assert_eq!(lab.shown("T1"), "6.4 held v1 clock-year\n131 released v1\n");
    let rows = lab.work(|db| of_barcode(db, "T1"));
    assert!(rows.iter().all(|row| row.observation.notes == ["clock"]));
}

#[test]
fn controls_are_stored_and_never_matched_even_on_a_patients_barcode() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    let settled = lab.result(Observation {
        kind: ObservationKind::Control,
        ..wbc("6.4")
    });
    assert_eq!(settled.controls, 1);
    assert_eq!(lab.shown("T1"), "6.4 control v1\n");
    assert!(lab.lease().is_empty());
}

#[test]
fn a_result_without_a_tube_or_a_mapping_is_held() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(Observation {
        specimen: None,
        ..wbc("6.4")
    });
    lab.result(held(
        Observation {
            test: None,
            ..wbc("6.4")
        },
        HoldReason::UnknownTest,
    ));
    assert_eq!(lab.shown(""), "6.4 held v1 no-specimen\n");
    assert_eq!(lab.shown("T1"), "6.4 held v1 unknown-test\n");
}

#[test]
fn stat_goes_first_and_a_tubes_messages_keep_their_order() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.order(&Order {
        placer: "P2",
        barcode: "T2",
        priority: Priority::Stat,
        ..CBC
    });
    lab.result(wbc("6.4"));
    let mut other = wbc("3.3");
    other.specimen.as_mut().expect("set above").id = "T2".to_owned();
    lab.result(other);
    let sent = lab.lease();
    assert_eq!(sent[0].1, "MRN1 T2: 3.3");
    assert_eq!(sent[1].1, "MRN1 T1: 6.4");
    lab.result(observation("HGB", "131"));
    assert!(lab.lease().is_empty(), "T1 has a message on its way");
}

#[test]
fn a_merge_moves_the_tube_and_an_unsent_result_to_the_survivor() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    let now = lab.now;
    lab.work(move |db| {
        let context = BookContext {
            host: "his",
            message: 1,
            now,
            specimen_age_max: 14 * DAY,
        };
        let (mut survivor, _) = CBC.entries();
        survivor.identifiers = vec![identifier("MRN2")];
        survivor.fields = Private::new(Fields::from([(3, "MRN2".to_owned())]));
        book::merge(db, &context, &survivor, &[identifier("MRN1")])
    });
    assert_eq!(lab.lease(), [(1, "MRN2 T1: 6.4".to_owned())]);
    let seen = PatientSeen {
        ids: vec![Private::new("MRN1".to_owned())],
        ..Default::default()
    };
    let settled = lab.result(Observation {
        patient: seen,
        ..observation("HGB", "131")
    });
    assert_eq!(settled.released, 1, "the old id is an alias");
}

#[test]
fn a_message_tried_before_a_merge_keeps_its_bytes_and_a_new_one_follows() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    let first = lab.lease();
    assert_eq!(first, [(1, "MRN1 T1: 6.4".to_owned())]);
    let now = lab.now;
    lab.work(move |db| {
        let context = BookContext {
            host: "his",
            message: 1,
            now,
            specimen_age_max: 14 * DAY,
        };
        let (mut survivor, _) = CBC.entries();
        survivor.identifiers = vec![identifier("MRN2")];
        survivor.fields = Private::new(Fields::from([(3, "MRN2".to_owned())]));
        book::merge(db, &context, &survivor, &[identifier("MRN1")])?;
        queue::void_all_leases(db)
    });
    assert_eq!(lab.lease(), first, "the same row, the same bytes");
    let verdict = queue::Verdict::Accepted {
        answer: "AA".to_owned(),
    };
    lab.work(move |db| {
        queue::settle_attempt(db, 1, "worker", &verdict, queue::Backoff::default(), now)
    });
    assert_eq!(lab.lease(), [(2, "MRN2 T1: 6.4".to_owned())]);
}

#[test]
fn two_merges_while_a_message_is_on_its_way_are_followed_by_one_message() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.lease();
    let now = lab.now;
    for (old, new) in [("MRN1", "MRN2"), ("MRN2", "MRN3")] {
        lab.work(move |db| {
            let context = BookContext {
                host: "his",
                message: 1,
                now,
                specimen_age_max: 14 * DAY,
            };
            let (mut survivor, _) = CBC.entries();
            survivor.identifiers = vec![identifier(new)];
            survivor.fields = Private::new(Fields::from([(3, new.to_owned())]));
            book::merge(db, &context, &survivor, &[identifier(old)])
        });
    }
    let accept = |row: i64| {
        lab.work(move |db| {
            let verdict = queue::Verdict::Accepted {
                answer: "AA".into(),
            };
            queue::settle_attempt(db, row, "worker", &verdict, queue::Backoff::default(), now)
        });
    };
    accept(1);
    assert_eq!(lab.lease(), [(2, "MRN3 T1: 6.4".to_owned())]);
    accept(2);
    assert!(lab.lease().is_empty(), "nothing is told twice");
}

#[test]
fn a_late_verdict_of_a_lost_lease_changes_nothing() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.lease();
    let now = lab.now;
    let changed = lab.work(move |db| {
        let verdict = queue::Verdict::Accepted {
            answer: "AA".to_owned(),
        };
        queue::settle_attempt(db, 1, "another", &verdict, queue::Backoff::default(), now)
    });
    assert!(!changed);
    let row = lab.work(|db| queue::find(db, 1)).expect("the row is there");
    assert_eq!(row.state, QueueState::Leased);
}

#[test]
fn a_deferred_message_waits_longer_each_time_and_never_over_30_s() {
    let backoff = queue::Backoff::default();
    let waits: Vec<i64> = (1..=9)
        .map(|attempt| backoff.after(attempt) / 100_000)
        .collect();
    assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
    assert_eq!(backoff.after(i64::MAX), 30_000_000);
}

/// The host refuses a message for good.
fn refuse(lab: &Lab, row: i64) {
    let now = lab.now;
    lab.work(move |db| {
        let verdict = queue::Verdict::Refused {
            reason: "no".into(),
            answer: "AR".into(),
        };
        queue::settle_attempt(db, row, "worker", &verdict, queue::Backoff::default(), now)
    });
}

fn corrected(text: &str) -> Observation {
    Observation {
        status: ResultStatus::Correction,
        ..wbc(text)
    }
}

#[test]
fn a_refused_message_holds_back_later_versions_of_its_own_results_and_no_others() {
    let mut lab = Lab::new();
    lab.order(&Order {
        tests: &["WBC", "HGB"],
        ..CBC
    });
    lab.result(wbc("6.4"));
    lab.lease();
    refuse(&lab, 1);
    lab.result(corrected("7.1"));
    // What comes with it or after it goes on; a third version waits like the second.
    lab.result(observation("HGB", "140"));
    lab.result(corrected("7.3"));
    assert_eq!(lab.lease(), [(3, "MRN1 T1: 140".to_owned())]);
    let listed = lab.work(|db| queue::list(db, QueueState::Waiting, 0, 10));
    let reasons: Vec<&str> = listed
        .iter()
        .filter(|row| row.id > 3)
        .map(|row| row.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        ["an earlier version was set aside: decide about message 1 first"]
    );
    let now = lab.now;
    lab.work(move |db| queue::discard(db, 1, "Lan", "phoned", now));
    lab.work(move |db| {
        let verdict = queue::Verdict::Accepted {
            answer: "AA".into(),
        };
        queue::settle_attempt(db, 3, "worker", &verdict, queue::Backoff::default(), now)
    });
    assert_eq!(lab.lease(), [(4, "MRN1 T1: 7.3".to_owned())]);
}

#[test]
fn a_version_that_waited_when_the_one_before_it_was_refused_is_held_back_too() {
    let mut lab = Lab::new();
    lab.order(&CBC);
    lab.result(wbc("6.4"));
    lab.lease();
    lab.result(corrected("7.1"));
    refuse(&lab, 1);
    assert!(
        lab.lease().is_empty(),
        "the version before it was set aside"
    );
    let now = lab.now;
    lab.work(move |db| queue::discard(db, 1, "Lan", "phoned", now));
    assert_eq!(lab.lease(), [(2, "MRN1 T1: 7.1".to_owned())]);
}

#[test]
fn every_statement_of_the_domain_prepares() {
    let lab = Lab::new();
    lab.work(|db| {
        let all = [
            super::statements(),
            book::statements(),
            queue::statements(),
            crate::audit::statements(),
            crate::people::statements(),
            crate::console::statements(),
            crate::calls::statements(),
            crate::tubes::statements(),
            crate::image::statements(),
            crate::downtime::statements(),
            crate::retention::statements(),
        ];
        all.concat().into_iter().try_for_each(|sql| db.prepare(sql))
    });
}

#[test]
fn order_status_follows_its_results() {
    let mut lab = Lab::new();
    let statuses = Arc::new(Mutex::new(Vec::new()));
    let look = |lab: &Lab| {
        let statuses = Arc::clone(&statuses);
        lab.work(move |db| {
            let tubes = book::specimens_with_barcode(db, "T1", 0)?;
            let items = book::open_items(db, tubes[0].id)?;
            statuses
                .lock()
                .expect("one thread")
                .push(items[0].status.code());
            Ok(())
        });
    };
    lab.order(&CBC);
    look(&lab);
    lab.result(wbc("6.4"));
    look(&lab);
    lab.result(observation("HGB", "131"));
    look(&lab);
    assert_eq!(*statuses.lock().expect("one thread"), ["SC", "A", "CM"]);
    assert_eq!(
        ResultState::from_code("released"),
        Some(ResultState::Released)
    );
}

crate::on_postgres_too! {
    a_result_with_an_order_is_released_and_queued_for_its_patient
    a_result_before_its_order_waits_and_goes_on_by_itself
    a_waiting_result_with_another_hold_stays_held_when_its_order_comes
    a_result_that_waits_over_new_year_is_judged_by_the_day_it_came
    a_result_too_old_for_a_new_order_stays_waiting
    a_barcode_active_for_two_patients_holds_every_result
    a_barcode_that_comes_back_after_its_time_belongs_to_the_new_patient
    another_patient_id_birth_date_or_sex_is_held_and_a_missing_one_is_not
    another_name_is_noted_and_holds_nothing
    the_same_message_again_is_a_retransmission_within_72_hours
    a_result_resent_while_it_waits_and_after_its_order_is_stored_once
    a_result_with_a_completed_time_is_recognised_in_another_message
    nothing_is_recognised_as_a_repeat_inside_one_message
    a_second_different_final_is_held_and_the_same_value_confirms
    the_same_value_for_another_patient_or_with_a_flag_confirms_nothing
    a_correction_replaces_the_released_value_as_a_new_version
    a_value_corrected_before_it_was_ever_tried_is_never_sent
    a_preliminary_value_gives_way_to_the_final_one
    a_clean_value_after_a_suspect_one_is_shown_beside_it
    a_cut_message_resolves_itself_when_the_same_value_arrives_whole
    a_result_for_a_cancelled_order_is_held
    a_test_of_a_cancelled_item_is_held_while_the_tube_is_active
    an_order_with_a_released_result_can_not_be_cancelled
    the_same_order_again_is_accepted_once_and_other_content_is_refused
    an_extra_is_kept_or_posted_as_the_site_says
    a_kept_result_goes_on_when_its_test_is_ordered_on_the_same_tube
    a_kept_result_with_a_hold_of_its_own_stays_held_when_its_test_is_ordered
    a_kept_result_never_goes_to_the_next_patient_of_its_barcode
    transfusion_and_reviewed_hosts_are_never_released_by_themselves
    a_waiting_result_of_transfusion_is_held_when_its_order_comes_from_another_line
    an_unordered_result_is_posted_only_where_the_site_says_so_and_the_patient_is_named
    an_unordered_result_of_transfusion_or_of_a_reviewed_host_waits
    unordered_results_of_two_patients_on_one_barcode_never_share_a_message
    an_order_never_meets_the_patient_of_an_unordered_result
    an_unordered_result_sent_again_is_a_repeat
    a_number_used_for_another_patient_is_refused_whatever_is_asked
    a_device_clock_in_another_year_is_held_and_a_skewed_one_noted
    controls_are_stored_and_never_matched_even_on_a_patients_barcode
    a_result_without_a_tube_or_a_mapping_is_held
    stat_goes_first_and_a_tubes_messages_keep_their_order
    a_merge_moves_the_tube_and_an_unsent_result_to_the_survivor
    a_message_tried_before_a_merge_keeps_its_bytes_and_a_new_one_follows
    two_merges_while_a_message_is_on_its_way_are_followed_by_one_message
    a_late_verdict_of_a_lost_lease_changes_nothing
    a_deferred_message_waits_longer_each_time_and_never_over_30_s
    a_refused_message_holds_back_later_versions_of_its_own_results_and_no_others
    a_version_that_waited_when_the_one_before_it_was_refused_is_held_back_too
    every_statement_of_the_domain_prepares
    order_status_follows_its_results
    a_report_that_becomes_final_with_all_else_as_before_is_no_repeat
    results_about_different_donor_units_are_no_versions_of_one_another
}
