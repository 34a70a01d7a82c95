//! The morning against a bridge of a hundred lines, honest or not.

use std::sync::Arc;

use bytes::Bytes;
use labwire_protocols::{
    astm::link::Dialect,
    wire::{Commit, CommitId, Mono, OutId, Outgoing, OutgoingKind, SendOutcome},
};

use super::*;
use crate::{
    his::Control,
    runner::{Actions, Device, Verdict, session},
    text::{astm_field, component, field, is_named, segment, segments},
};

/// What the bridge does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    /// Every tenth result is lost.
    Loses,
    /// Every tenth result goes to another patient.
    Swaps,
}

/// A very small Labwire, without a disk.
#[derive(Clone, Debug)]
struct Bridge {
    fault: Fault,
    book: Arc<Mutex<Orderbook>>,
    outbox: Orders,
}

/// Placer numbers with their tests.
type Items = Vec<(String, Vec<String>)>;

#[derive(Debug, Default)]
struct Orderbook {
    /// Barcode → patient and what is ordered.
    open: BTreeMap<String, (String, Items)>,
    /// Results that came before their order.
    early: Vec<(String, String, String)>,
    posted: u64,
}

impl Bridge {
    fn book(&self) -> MutexGuard<'_, Orderbook> {
        self.book.lock().expect("no panic while locked")
    }

    fn on_hospital(&self, text: &str) {
        let patient = segment(text, "PID").map_or("", |pid| component(field(pid, 3), 1));
        let barcode = segment(text, "SPM").map_or("", |spm| field(spm, 2));
        let barcode = barcode.split('&').next().unwrap_or("").to_owned();
        let is_cancel = segment(text, "ORC").is_some_and(|orc| field(orc, 1) == "CA");
        if barcode.is_empty() {
            return;
        }
        if is_cancel {
            self.book().open.remove(&barcode);
            return;
        }
        let all = services();
        let items = segments(text)
            .filter(|segment| is_named(segment, "OBR"))
            .map(|obr| {
                let code = component(field(obr, 4), 1);
                let service = all.iter().find(|service| service.code == code);
                let tests = service
                    .map(|service| service.tests.clone())
                    .unwrap_or_default();
                (component(field(obr, 2), 1).to_owned(), tests)
            });
        let items = (patient.to_owned(), items.collect());
        self.book().open.insert(barcode.clone(), items);
        let (ready, early) = std::mem::take(&mut self.book().early)
            .into_iter()
            .partition(|(tube, ..)| *tube == barcode);
        self.book().early = early;
        let ready: Vec<(String, String, String)> = ready;
        ready
            .iter()
            .for_each(|(tube, test, value)| self.on_result(tube, test, value));
    }

    fn tests(&self, barcode: &str) -> Vec<String> {
        let book = self.book();
        let items = book
            .open
            .get(barcode)
            .map(|(_, items)| items.clone())
            .unwrap_or_default();
        items.into_iter().flat_map(|(_, tests)| tests).collect()
    }

    fn on_result(&self, barcode: &str, test: &str, value: &str) {
        let mut book = self.book();
        let Some((patient, items)) = book.open.get(barcode).cloned() else {
            book.early
                .push((barcode.to_owned(), test.to_owned(), value.to_owned()));
            return;
        };
        let item = items
            .iter()
            .find(|(_, tests)| tests.iter().any(|one| one == test));
        let Some((placer, _)) = item else { return };
        book.posted += 1;
        let is_tenth = book.posted.is_multiple_of(10);
        let patient = match self.fault {
            Fault::Loses if is_tenth => return,
            Fault::Swaps if is_tenth => "BN-OTHER".to_owned(),
            Fault::Nothing | Fault::Loses | Fault::Swaps => patient,
        };
        let control_id = format!("M{}", book.posted);
        let text = format!(
            "MSH|^~\\&|M|L|HIS|BV01|20250115||ORU^R01^ORU_R01|{control_id}|P|2.5.1\rPID|1||{patient}\rOBR|1|{placer}|F|{test}\rOBX|1|NM|{test}||{value}||||||F\rSPM|1|{barcode}\r"
        );
        drop(book);
        let bytes = Bytes::from(text);
        self.outbox.push(Written { control_id, bytes });
    }
}

/// One line of the bridge.
#[derive(Debug)]
struct Line {
    bridge: Bridge,
    /// None: the hospital.
    persona: Option<&'static Persona>,
    sends: u64,
}

impl Line {
    fn on_astm(&mut self, persona: &Persona, text: &str, out: &mut Actions) {
        let mut barcode = "";
        for record in text.split('\r') {
            match record.get(..1) {
                Some("Q") => {
                    let asked = component(astm_field(record, 3), 2);
                    self.answer(persona, asked, out);
                }
                Some("O") if astm_field(record, 12) != "Q" => barcode = astm_field(record, 3),
                Some("R") if is_plain(astm_field(record, 7), astm_field(record, 9)) => {
                    let code = component(astm_field(record, 3), 4);
                    self.result(persona, barcode, code, astm_field(record, 4));
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self, persona: &Persona, barcode: &str, out: &mut Actions) {
        let tests = self.bridge.tests(barcode);
        let codes = persona
            .analytes
            .iter()
            .filter(|analyte| tests.contains(&analyte.test.to_owned()));
        let codes: Vec<_> = codes
            .map(|analyte| format!("^^^{}", analyte.code))
            .collect();
        let text = if codes.is_empty() {
            "H|\\^&|||M\rL|1|I\r".to_owned()
        } else {
            format!(
                "H|\\^&|||M\rP|1\rO|1|{barcode}||{}|R||||||A\rL|1|F\r",
                codes.join("\\")
            )
        };
        self.sends += 1;
        let outgoing = Outgoing {
            payload: Bytes::from(text),
            kind: OutgoingKind::Answer,
            expires_after: None,
        };
        out.send(OutId(self.sends), outgoing);
    }

    fn on_hl7(&self, persona: &Persona, text: &str) {
        let is_patient = segment(text, "SPM").is_some_and(|spm| field(spm, 11) == "P");
        let barcode = segment(text, "SPM").map_or("", |spm| field(spm, 2));
        for obx in segments(text).filter(|segment| is_named(segment, "OBX")) {
            if is_patient && is_plain(field(obx, 8), field(obx, 11)) {
                self.result(persona, barcode, component(field(obx, 3), 4), field(obx, 5));
            }
        }
    }

    fn result(&self, persona: &Persona, barcode: &str, code: &str, value: &str) {
        if let Some(analyte) = persona.analyte(code).filter(|_| !barcode.is_empty()) {
            self.bridge.on_result(barcode, analyte.test, value);
        }
    }
}

fn is_plain(flag: &str, status: &str) -> bool {
    flag != "W" && status == "F"
}

impl Device for Line {
    fn on_open(&mut self, _: Mono, _: &mut Actions) {}

    fn on_commit(&mut self, _: Mono, id: CommitId, commit: Commit, out: &mut Actions) {
        let messages = match commit {
            Commit::Frame { messages, .. } => messages,
            Commit::Message(message) => vec![message],
        };
        let mut reply = None;
        for message in messages.iter().filter(|message| message.is_complete) {
            let text = std::str::from_utf8(&message.bytes).expect("text");
            match self.persona {
                None => self.bridge.on_hospital(text),
                Some(persona) if persona.protocol() == "astm" => self.on_astm(persona, text, out),
                Some(persona) => self.on_hl7(persona, text),
            }
            let control = segment(text, "MSH").map_or("", |msh| field(msh, 10));
            let ack = format!("MSH|^~\\&|M|L|||20250115||ACK|1|P|2.5.1\rMSA|AA|{control}\r");
            reply = Some(Bytes::from(ack));
        }
        out.answer(id, Verdict::Kept(reply));
    }

    fn on_finished(&mut self, _: Mono, _: OutId, _: SendOutcome, _: &mut Actions) {}
    fn on_wake(&mut self, _: Mono, _: &mut Actions) {}
    fn on_close(&mut self, _: Mono) {}

    fn deadline(&self) -> Option<Mono> {
        None
    }
}

async fn line(
    bridge: &Bridge,
    persona: Option<&'static Persona>,
    tasks: &mut JoinSet<()>,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let mut device = Line {
        bridge: bridge.clone(),
        persona,
        sends: 0,
    };
    tasks.spawn(async move {
        let mut wire = Wire::new(Clock::real(0));
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            if persona.is_some_and(|persona| persona.protocol() == "astm") {
                let mut link = Link::new(Dialect::default());
                session(stream, &mut link, &mut device, &mut wire).await;
            } else {
                let mut endpoint = mllp::Endpoint::new(mllp::Config::default());
                session(stream, &mut endpoint, &mut device, &mut wire).await;
            }
        }
    });
    address
}

async fn run(fault: Fault, settings: Settings, specimens: usize) -> (Report, Snapshot) {
    let bridge = Bridge {
        fault,
        book: Arc::default(),
        outbox: Orders::default(),
    };
    let mut tasks = JoinSet::new();
    let orders = line(&bridge, None, &mut tasks).await;
    let mut instruments = Vec::new();
    for name in ["generic-astm", "generic-hl7"] {
        let persona = Persona::named(name).expect("a persona");
        let port = Port::Connect(line(&bridge, Some(persona), &mut tasks).await);
        instruments.push(Attached { persona, port });
    }
    let results = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = Port::Connect(results.local_addr().expect("an address").to_string());
    let outbox = bridge.outbox.clone();
    tasks.spawn(async move {
        let mut wire = Wire::new(Clock::real(0));
        place_orders(port, &outbox, false, &mut wire)
            .await
            .expect("a sender");
    });
    let morning = Morning::with_settings(3, specimens, 1_000.0, settings);
    let addresses = Addresses {
        orders,
        results,
        instruments,
    };
    let report = morning
        .run(addresses, CancellationToken::new())
        .await
        .expect("a report");
    tasks.abort_all();
    (report, morning.counters())
}

#[tokio::test]
async fn an_honest_bridge_brings_every_result_to_its_patient() {
    let settings = Settings {
        // It ends as soon as everything is there; this is for a machine that is busy.
        settle: Duration::from_secs(180),
        answering: Answering::by_chance(
            [
                (30, crate::his::Policy::Late),
                (30, crate::his::Policy::Twice),
            ],
            1,
        ),
        ..Settings::default()
    };
    let (report, snapshot) = run(Fault::Nothing, settings, 60).await;
    assert!(report.is_clean(), "{:?}", report.discrepancies);
    assert!(report.required > 100, "{report:?}");
    assert!(snapshot.posted >= report.required);
    assert_eq!(snapshot.specimens, 60);
    assert_eq!(snapshot.results_sent, snapshot.results_acknowledged);
    assert_eq!(report.snapshot, snapshot);
}

#[tokio::test]
async fn a_bridge_that_loses_or_swaps_is_found_out() {
    let settings = || Settings {
        // Such a morning ends only when nothing has changed for so long; both wait at once. On a
        // machine that is busy, less could end it before the bridge has done anything wrong.
        settle: Duration::from_secs(6),
        ..Settings::default()
    };
    let ((loses, _), (swaps, _)) = tokio::join!(
        run(Fault::Loses, settings(), 30),
        run(Fault::Swaps, settings(), 30),
    );
    let is_loss = |found: &Discrepancy| matches!(found, Discrepancy::Missing(_));
    assert!(loses.discrepancies.iter().any(is_loss), "{loses:?}");
    let is_swap = |found: &Discrepancy| matches!(found, Discrepancy::OtherPatient(..));
    assert!(swaps.discrepancies.iter().any(is_swap), "{swaps:?}");
}

#[test]
fn the_same_seed_plans_the_same_morning_and_another_seed_another() {
    let personas: Vec<_> = persona::ALL.iter().collect();
    let plan = |seed| Morning::new(seed, 200, 1.0).plan(&personas);
    assert_eq!(plan(4), plan(4));
    assert_ne!(plan(4), plan(5));
}

#[test]
fn a_plan_has_everything_a_morning_has() {
    let personas: Vec<_> = persona::ALL.iter().collect();
    let plan = Morning::new(4, 1_000, 1.0).plan(&personas);
    assert_eq!(plan.specimens.len(), 1_000);
    let barcodes: BTreeSet<_> = plan.specimens.iter().map(|one| &one.barcode).collect();
    assert_eq!(barcodes.len(), 1_000);
    let orders: Vec<_> = plan
        .steps
        .iter()
        .filter_map(|step| match &step.act {
            Act::Order(request) => Some(request),
            Act::Update(_) | Act::Load(..) => None,
        })
        .collect();
    assert!(orders.iter().any(|request| request.is_stat));
    assert!(
        orders
            .iter()
            .any(|request| request.control == Control::Cancel)
    );
    assert!(orders.iter().all(|request| !request.items.is_empty()));
    assert!(plan.specimens.iter().any(|one| one.request.is_none()));
    assert!(
        plan.steps
            .iter()
            .any(|step| matches!(step.act, Act::Update(_)))
    );
    let controls = plan.steps.iter().filter(|step| match &step.act {
        Act::Load(_, tube) => tube.is_control,
        Act::Order(_) | Act::Update(_) => false,
    });
    assert_eq!(controls.count(), 2 * personas.len());
    assert!(plan.steps.is_sorted_by_key(|step| step.at));
    let last = plan.steps.last().expect("steps").at;
    assert!(last <= Duration::from_secs(6 * 1_000 * 13 / 10), "{last:?}");
}
