//! The deciding rules, one test each, on a real store.

mod calls;
mod depth;
mod leases;
mod matching;
mod merges;
mod orders;
mod racks;
mod repeats;
mod together;
mod transfusion;
mod unordered;
mod versions;

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

/// WBC of a patient as only the device knows one.
fn seen(patient: &str, text: &str) -> Observation {
    let mut one = wbc(text);
    one.patient.ids = vec![Private::new(patient.to_owned())];
    one.patient.name = Private::new("NGUYEN^LAN".to_owned());
    one
}
