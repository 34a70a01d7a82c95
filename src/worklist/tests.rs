//! Every act on a real store, each with the nearest thing that is refused.

mod acts;
mod calls;
mod mapping;
mod random;
mod undone;
mod worklist;

use std::{fmt::Write as _, path::Path, sync::Arc};

use labwire_protocols::wire::{Commit, Mono, Received};

use crate::{
    book::{
        self, Action, BookContext, Fields, Identifier, OrderEntry, PatientEntry, SpecimenEntry,
    },
    bridge::Site,
    config::{self, Seams},
    ledger::Ledger,
    model::{Priority, Private},
    profile::{self, Library},
    queue::{self, Backoff, LeaseTerms, Pending, Render, Rendered, Verdict},
    settle::{self, SettleContext},
    store::{
        Clock, Db, JournalEntry, Store, StoreError, Turn,
        ground::{Ground, new_store},
        journal::{self, MessageState},
    },
};

use super::*;

/// 2026-03-10 08:00 UTC.
const MORNING: i64 = 1_773_129_600_000_000;
const SECOND: i64 = 1_000_000;
const DAY: i64 = 24 * 3_600 * SECOND;

const LAB: &str = r#"
[lab]
catalogue = "catalogue.toml"
TRANSFUSION

[[host]]
id = "his"
results = "mllp://127.0.0.1:2576"

[[instrument]]
id = "xn-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:5001"
ORDERS
tests = { "WBC" = "WBC", "HGB" = "HGB", "ABO" = "ABO" }
"#;

const CATALOGUE: &str = r#"
[[test]]
id = "WBC"
unit = "10*9/L"
critical = { low = 2.0, high = 30.0 }

[[test]]
id = "HGB"
unit = "g/L"

[[test.critical]]
below = "1y"
low = 100

[[test.critical]]
low = 70

[[test]]
id = "GLU"
unit = "mmol/L"

[[test]]
id = "ABO"
class = "transfusion"
"#;

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn mono(&self) -> Mono {
        Mono::default()
    }
    fn utc_micros(&self) -> i64 {
        MORNING
    }
}

/// `more` stands under `[lab]`, or is `orders` of the instrument.
fn site(more: &str) -> Site {
    let (lab, instrument) = if more.starts_with("orders") {
        ("", more)
    } else {
        (more, "")
    };
    let lab = LAB.replace("TRANSFUSION", lab);
    let lab = lab.replace("ORDERS", instrument);
    let read = |path: &Path| {
        let is_catalogue = path.ends_with("catalogue.toml");
        Ok(if is_catalogue { CATALOGUE } else { &lab }.to_owned())
    };
    let seams = Seams {
        read: &read,
        ..Seams::default()
    };
    let (loaded, problems) = config::load(Path::new("lab.toml"), &seams);
    assert!(
        !problems.has_errors(),
        "{}",
        config::render(&problems, false)
    );
    let loaded = loaded.expect("a site without problems");
    let (library, _) = Library::load(None);
    Site::new(&loaded.lab, Arc::new(loaded.catalogue), &library)
}

/// Code, value, unit, flag.
type Row<'a> = (&'a str, &'a str, &'a str, &'a str);

/// A device's message without frames; `patient` is P.3.
fn records(tube: &str, patient: &str, rows: &[Row<'_>]) -> String {
    let mut text = format!("H|\\^&|||XN||||||||E1394-97\rP|1|{patient}\rO|1|{tube}||^^^CBC|R\r");
    for (number, (code, value, unit, flag)) in (1..).zip(rows) {
        write!(text, "R|{number}|^^^{code}|{value}|{unit}||{flag}||F\r").expect("to a string");
    }
    text.push_str("L|1|N\r");
    text
}

/// A laboratory with a store of its own and a clock that the test moves.
struct Lab {
    store: Store,
    site: Arc<Site>,
    now: i64,
    sessions: u64,
    _ground: Box<dyn Ground>,
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
}

impl Lab {
    fn new() -> Self {
        Self::with("")
    }

    fn with(more: &str) -> Self {
        let (store, ground) = new_store(Arc::new(StoppedClock));
        Self {
            store,
            site: Arc::new(site(more)),
            now: MORNING,
            sessions: 0,
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

    fn journal(&mut self, line: &str, raw: &str) -> i64 {
        self.sessions += 1;
        let received = Received {
            session: self.sessions,
            bytes: raw.to_owned().into(),
            is_complete: true,
        };
        let entry = JournalEntry {
            line: line.to_owned(),
            connection: 1,
            at: self.now,
            commit: Commit::Message(received),
        };
        let done = runtime().block_on(self.store.journal(entry));
        done.expect("the journal takes it").messages[0]
    }

    /// A device's message, read and settled as the bridge does it.
    fn hear(&mut self, raw: &str) {
        let message = self.journal("xn-1", raw);
        let (site, now, raw) = (Arc::clone(&self.site), self.now, raw.to_owned());
        self.work(move |db| {
            learn(db, &site.learned)?;
            let line = &site.lines["xn-1"].profile;
            let catalogue = site.laboratory.catalogue.as_deref();
            let catalogue = catalogue.map(|own| own as &dyn profile::Catalogue);
            let decoded = profile::decode(line, catalogue, raw.as_bytes(), true);
            let protocol = line.profile().device.protocol;
            let digest = profile::digest_input(raw.as_bytes(), protocol);
            let context = SettleContext {
                message,
                line: "xn-1",
                received_at: now,
                now,
                specimen_age_max: 14 * DAY,
                digest_input: &digest,
                site: site.as_ref(),
            };
            let settled = settle::settle(db, &context, &decoded.items)?;
            let outcome = serde_json::json!({ "settled": settled, "notes": [] }).to_string();
            journal::mark(db, message, MessageState::Parsed, Some(&outcome))
        });
    }

    /// One result on a tube, of no patient in particular.
    fn measure(&mut self, tube: &str, row: Row<'_>) {
        self.hear(&records(tube, "", &[row]));
        // A result without a completed time is new in a new message only if that differs.
        self.now += SECOND;
    }

    fn order(&mut self, placer: &str, tube: &str, patient: &str, tests: &[&str]) {
        self.order_at(placer, tube, patient, tests, Priority::Routine);
    }

    fn order_at(
        &mut self,
        placer: &str,
        tube: &str,
        patient: &str,
        tests: &[&str],
        priority: Priority,
    ) {
        let message = self.journal("host:his", "order");
        let entry = OrderEntry {
            action: Action::New,
            placer: placer.to_owned(),
            service: "CBC".to_owned(),
            tests: tests.iter().map(|test| (*test).to_owned()).collect(),
            specimen: Some(SpecimenEntry {
                barcode: tube.to_owned(),
                ..SpecimenEntry::default()
            }),
            priority,
            orc: Fields::new(),
            obr: Fields::from([(4, "CBC".to_owned())]),
        };
        let patient = person_of(patient);
        let (site, now) = (Arc::clone(&self.site), self.now);
        self.work(move |db| {
            let context = BookContext {
                host: "his",
                message,
                now,
                specimen_age_max: 14 * DAY,
            };
            let applied = book::apply(db, &context, Some(&patient), &entry)?;
            let context = SettleContext {
                message,
                line: "",
                received_at: now,
                now,
                specimen_age_max: 14 * DAY,
                digest_input: b"",
                site: site.as_ref(),
            };
            if !applied.barcode.is_empty() {
                settle::resume(db, &context, &applied.barcode)?;
            }
            journal::mark(
                db,
                message,
                MessageState::Parsed,
                Some(r#"{"heard":"1 order"}"#),
            )
        });
    }

    /// Carries an act out as this person, now.
    fn act<T: Send + 'static>(
        &self,
        who: &str,
        act: impl FnOnce(&Acting<'_>, &mut dyn Db) -> Outcome<T> + Send + 'static,
    ) -> Result<T, Refused> {
        let role = if who.starts_with("dr") {
            Role::Verifier
        } else {
            Role::Technician
        };
        let person = Person {
            name: who.to_owned(),
            role,
        };
        let (site, now) = (Arc::clone(&self.site), self.now);
        self.work(move |db| {
            let acting = Acting {
                site: &site,
                person: &person,
                reason: "looked at it",
                now,
            };
            act(&acting, db)
        })
    }

    fn release(&self, who: &str, id: i64) -> Result<Done, Refused> {
        self.act(who, move |acting, db| acting.release(db, id, Leave::Later))
    }

    fn set_aside(&self, who: &str, id: i64) -> Result<Done, Refused> {
        self.act(who, move |acting, db| acting.set_aside(db, id))
    }

    fn undo(&self, who: &str, act: i64) -> Result<Done, Refused> {
        self.act(who, move |acting, db| acting.undo(db, act))
    }

    /// Links a result to the newest tube of a barcode.
    fn link(&self, who: &str, id: i64, barcode: &'static str) -> Result<Done, Refused> {
        self.act(who, move |acting, db| {
            let found = tubes(db, barcode, 0)?;
            acting.link(db, id, found.last().map_or(0, |tube| tube.id))
        })
    }

    /// Every result, as `r1 T1 6.4 released v1 reasons`.
    fn shown(&self) -> String {
        self.work(|db| {
            let ids: Vec<i64> = (1..=500).collect();
            let mut text = String::new();
            for row in settle::results_by_ids(db, &ids)?.into_values() {
                let holds: Vec<&str> = row.holds.iter().map(|hold| hold.reason.code()).collect();
                let tube = if row.barcode.is_empty() {
                    "-"
                } else {
                    &row.barcode
                };
                let (id, version, state) = (row.id, row.version, row.state.code());
                let value = &row.observation.text;
                write!(text, "r{id} {tube} {value} {state} v{version}").expect("to a string");
                if !holds.is_empty() && row.state.is_open() {
                    write!(text, " {}", holds.join("+")).expect("to a string");
                }
                text.push('\n');
            }
            Ok(text)
        })
    }

    /// What a courier takes now, and the host accepts.
    fn deliver(&self) -> Vec<String> {
        let now = self.now;
        self.work(move |db| {
            let terms = LeaseTerms {
                destination: "host:his",
                owner: "worker",
                now,
                until: now + DAY,
                count_max: 10,
                more_urgent_than: LeaseTerms::ANY_PRIORITY,
            };
            let mut bodies = Vec::new();
            for row in queue::lease(db, &terms, &mut Texts)? {
                let answer = "AA".to_owned();
                let verdict = Verdict::Accepted { answer };
                queue::settle_attempt(db, row.id, "worker", &verdict, Backoff::default(), now)?;
                bodies.push(String::from_utf8(row.body).expect("text"));
            }
            Ok(bodies)
        })
    }

    /// What does not add up.
    fn findings(&self) -> Vec<String> {
        self.work(|db| {
            let mut ledger = Ledger::new(None, MORNING);
            let mut found = Vec::new();
            while let Some(page) = ledger.next_page(db)? {
                for one in page.findings {
                    found.push(format!("{} {} {}", one.code, one.subject, one.what));
                }
            }
            Ok(found)
        })
    }

    /// The audit of a subject: actor, action, detail.
    fn audit(&self, subject: &'static str) -> Vec<(String, String, String)> {
        let rows = self.work(move |db| crate::audit::of_subject(db, subject));
        rows.into_iter()
            .map(|(_, who, what, how)| (who, what, how))
            .collect()
    }
}

fn person_of(id: &str) -> PatientEntry {
    PatientEntry {
        identifiers: vec![Identifier {
            id: Private::new(id.to_owned()),
            ..Identifier::default()
        }],
        fields: Private::new(Fields::from([
            (3, id.to_owned()),
            (5, "TRẦN^BÌNH^THỊ".to_owned()),
        ])),
        birth: Private::new(
            if id == "INFANT" {
                "20251201"
            } else {
                "19800312"
            }
            .to_owned(),
        ),
        sex: "F".to_owned(),
    }
}

/// Renders the patient, the tube and each result with its version.
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
            let row = settle::result_by_id(db, *id)?.expect("a queued result exists");
            if row.state == ResultState::Released {
                write!(body, " {} v{}", row.observation.text, row.version).expect("to a string");
            }
        }
        Ok(if body.ends_with(':') {
            Rendered::Nothing
        } else {
            Rendered::Message {
                control_id: format!("LW-{}", pending.id),
                body: body.into_bytes(),
            }
        })
    }
}
