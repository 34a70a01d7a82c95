//! Everybody who stands around the program in a soak: analyzers on noisy wires, and a HIS that orders.

use std::{
    collections::{BTreeSet, VecDeque},
    fmt::Write as _,
    net::SocketAddr,
    time::Duration,
};

use labwire_sims::{
    analyzer::{Nature, Operator, Rates, Setup, Tube, plug},
    chance::Chance,
    clock::{Clock, Wall},
    faults::FaultPlan,
    his::{Book, Control, Orders, Version, Writer, place_orders},
    persona::{Analyte, Persona},
    port::{Port, keep},
    runner::Wire,
};
use tokio_util::sync::CancellationToken;

use super::Plan;
use crate::{
    crash::free_port,
    hospital::{ZONE, request},
    scripted::Script,
};

pub(super) const CATALOGUE: &str = include_str!("../../../config/catalogue.toml");

/// The time of the devices runs so much faster, so that a wait of fifteen seconds costs two.
const SPEED: u32 = 8;

/// Bits that are wrong are found by the checksum of ASTM and by nothing of HL7.
const ASTM_FAULTS: &str = "split=60,delay=10,delay-ms=800,flip=3,cut=1";
const OTHER_FAULTS: &str = "split=120,delay=10,delay-ms=400,cut=1";
/// One in so many messages is said twice, as by a device that did not see its acknowledgement.
const AGAIN_PER_MILLE: u16 = 40;

/// Analyzers of makers' own wires, with what is ordered for them: persona, profile, services.
const VENDORS: [(&str, &str, &[&str]); 4] = [
    ("beckman-au", "beckman/au", &["ALT", "AST", "GLU"]),
    ("sysmex-kx21", "sysmex/kx-21", &["WBC", "HCT", "PLT"]),
    ("i-stat", "abbott/i-stat", &["K", "NA"]),
    ("sysmex-xn", "sysmex/xn", &["WBC", "HGB", "PLT"]),
];
/// What is ordered for scripted analyzers.
const SCRIPTED: &[&str] = &["CHOL", "TRIG", "UREA"];

/// A result of a patient.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sent {
    pub(super) barcode: String,
    pub(super) test: String,
    pub(super) text: String,
}

/// One analyzer.
struct Bench {
    id: String,
    port: u16,
    kind: Kind,
    /// Its tubes so far.
    tubes: u32,
}

enum Kind {
    Astm(Scripted),
    Hl7(Scripted),
    Vendor(Box<Vendor>),
}

#[derive(Default)]
struct Scripted {
    script: Script,
    /// What it says, message by message.
    said: Vec<Vec<Sent>>,
}

struct Vendor {
    persona: &'static Persona,
    profile: &'static str,
    services: &'static [&'static str],
    operator: Option<Operator>,
    /// Tubes that stand before it, and the orders that they wait for.
    before: VecDeque<(String, String)>,
    /// The tube that is in it.
    inside: Option<String>,
}

/// Everybody.
pub(super) struct Ward {
    benches: Vec<Bench>,
    orders_port: u16,
    orders: Orders,
    writer: Writer,
    book: Book,
    clock: Clock,
    chance: Chance,
    seed: u64,
    cancel: CancellationToken,
    /// Every tube that was ordered, and what for.
    pub(super) ordered: Vec<(String, &'static [&'static str])>,
}

impl Ward {
    pub(super) fn new(plan: &Plan, chance: &mut Chance, book: &Book) -> Self {
        let mut ports = BTreeSet::new();
        let mut port = || {
            loop {
                let port = free_port(chance);
                if ports.insert(port) {
                    return port;
                }
            }
        };
        let bench = |number: usize| {
            let kind = match number % 8 {
                0..3 => Kind::Astm(Scripted::default()),
                3..6 => Kind::Hl7(Scripted::default()),
                _ => Kind::Vendor(Box::new(Vendor::new(number / 8 * 2 + number % 2))),
            };
            Bench {
                id: format!("dev-{number}"),
                port: port(),
                kind,
                tubes: 0,
            }
        };
        Self {
            benches: (0..plan.lines).map(bench).collect(),
            orders_port: free_port(chance),
            orders: Orders::default(),
            writer: Writer::new(Version::V251, "HIS"),
            book: book.clone(),
            clock: Clock::new(Wall::now(ZONE), SPEED * 1_000),
            chance: Chance::fork(plan.seed, "ward"),
            seed: plan.seed,
            cancel: CancellationToken::new(),
            ordered: Vec::new(),
        }
    }

    /// Hosts and instruments of `lab.toml`.
    pub(super) fn lab(&self, results: SocketAddr) -> String {
        let mut lab = format!(
            "catalogue = \"catalogue.toml\"\n\n[console]\nlisten = \"127.0.0.1:0\"\n\n\
             [[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:{}\"\n\
             results = \"mllp://{results}\"\nconnections = 4\nretry_first_s = 1\n\
             retry_longest_s = 5\n",
            self.orders_port
        );
        for bench in &self.benches {
            let (profile, scheme, rest) = match &bench.kind {
                Kind::Astm(_) => ("generic/astm", "tcp", scripted_tests()),
                Kind::Hl7(_) => ("generic/hl7", "mllp", scripted_tests()),
                Kind::Vendor(vendor) => (vendor.profile, "tcp", vendor.mapped()),
            };
            write!(
                lab,
                "\n[[instrument]]\nid = \"{}\"\nprofile = \"{profile}\"\n\
                 port = \"{scheme}-listen://127.0.0.1:{}\"\n{rest}",
                bench.id, bench.port
            )
            .expect("a String takes it");
        }
        lab
    }

    /// Plugs everybody in.
    pub(super) fn plug(&mut self) {
        let (orders, mut wire) = (self.orders.clone(), self.wire("", 0));
        let port = to(self.orders_port);
        tokio::spawn(async move { place_orders(port, &orders, false, &mut wire).await });
        for number in 0..self.benches.len() {
            let seed = self.seed ^ u64::try_from(number).unwrap_or(0);
            let astm = self.wire(ASTM_FAULTS, seed);
            let hl7 = self.wire(OTHER_FAULTS, seed);
            // They wait for an answer so shortly that a quicker clock would leave no time for one.
            let real = Clock::real(ZONE);
            let other = self.wire_by(real, OTHER_FAULTS, seed);
            let bench = &mut self.benches[number];
            let port = to(bench.port);
            match &mut bench.kind {
                Kind::Astm(device) => device.script.plug_astm(port, astm),
                Kind::Hl7(device) => device.script.plug_mllp(port, hl7),
                Kind::Vendor(vendor) => vendor.plug(port, other, real, seed),
            }
        }
    }

    fn wire(&self, faults: &str, seed: u64) -> Wire {
        self.wire_by(self.clock, faults, seed)
    }

    fn wire_by(&self, clock: Clock, faults: &str, seed: u64) -> Wire {
        let faults: FaultPlan = faults.parse().expect("a plan");
        let mut wire = Wire::new(clock).with_faults(faults, seed);
        wire.cancel = self.cancel.clone();
        wire
    }

    pub(super) fn unplug(&self) {
        self.cancel.cancel();
    }

    /// Orders and measures every tube that is due by now.
    pub(super) fn load_due(&mut self, elapsed: Duration, every: Duration) {
        let count = u32::try_from(self.benches.len()).unwrap_or(1).max(1);
        for number in 0..self.benches.len() {
            // The lines do not all begin at once.
            let begins = every * u32::try_from(number).unwrap_or(0) / count;
            while begins + every * self.benches[number].tubes <= elapsed {
                self.tube(number);
            }
        }
    }

    fn tube(&mut self, number: usize) {
        self.benches[number].tubes += 1;
        let services = match &self.benches[number].kind {
            Kind::Astm(_) | Kind::Hl7(_) => SCRIPTED,
            Kind::Vendor(vendor) => vendor.services,
        };
        let barcode = format!("26{:08}", self.ordered.len() + 1);
        let form = request(Control::New, &barcode, services);
        self.book.with_ledger(|ledger| {
            for item in &form.items {
                ledger.place(&item.placer, &form.patient.id, &barcode);
            }
        });
        let written = self.writer.request(&form, "20260310090000+0700");
        let control = written.control_id.clone();
        self.orders.push(written);
        let time = self.clock.stamp();
        let is_again = self.chance.happens(AGAIN_PER_MILLE);
        let tubes = self.benches[number].tubes;
        match &mut self.benches[number].kind {
            Kind::Astm(device) => device.say(&barcode, tubes, is_again, |sent| astm(sent, &time)),
            Kind::Hl7(device) => {
                let id = format!("A{number}-{tubes}");
                device.say(&barcode, tubes, is_again, |sent| hl7(sent, &time, &id));
            }
            Kind::Vendor(vendor) => vendor.before.push_back((control, barcode.clone())),
        }
        self.ordered.push((barcode, services));
    }

    /// Somebody goes round: tubes go in when they are ordered, and once more where a device let one pass.
    pub(super) fn attend(&mut self) {
        let orders = &self.orders;
        for bench in &mut self.benches {
            if let Kind::Vendor(vendor) = &mut bench.kind {
                vendor.attend(|control| orders.answer(control).is_some());
            }
        }
    }

    /// Messages of scripted analyzers that were acknowledged.
    pub(super) fn acknowledged(&self) -> usize {
        let of = |bench: &Bench| match &bench.kind {
            Kind::Astm(device) | Kind::Hl7(device) => device.script.acknowledged(),
            Kind::Vendor(_) => 0,
        };
        self.benches.iter().map(of).sum()
    }

    pub(super) fn is_idle(&self) -> bool {
        let of = |bench: &Bench| match &bench.kind {
            Kind::Astm(device) | Kind::Hl7(device) => device.script.is_idle(),
            Kind::Vendor(vendor) => vendor.is_idle(),
        };
        self.orders.waiting() == 0 && self.benches.iter().all(of)
    }

    /// Who still has something to say.
    pub(super) fn state(&self) -> String {
        let busy = self.benches.iter().filter(|bench| match &bench.kind {
            Kind::Astm(device) | Kind::Hl7(device) => !device.script.is_idle(),
            Kind::Vendor(vendor) => !vendor.is_idle(),
        });
        let said = busy.map(|bench| match &bench.kind {
            Kind::Astm(_) | Kind::Hl7(_) => bench.id.clone(),
            Kind::Vendor(vendor) => {
                let log = vendor.operator.as_ref().map(Operator::log);
                let log = log.unwrap_or_default();
                format!(
                    "{} ({}: {:?} inside, {} before, {} queries, {} unanswered, {} skipped, {} refused)",
                    bench.id,
                    vendor.profile,
                    vendor.inside,
                    vendor.before.len(),
                    log.queries,
                    log.unanswered,
                    log.skipped,
                    log.refused
                )
            }
        });
        let said: Vec<_> = said.collect();
        format!("{} orders; {}", self.orders.waiting(), said.join(", "))
    }

    /// Orders that the HIS was not told are taken.
    pub(super) fn refused_orders(&self) -> Vec<String> {
        self.orders.refused()
    }

    /// Patients' results that began to travel, and those that were acknowledged.
    pub(super) fn results(&self) -> (Vec<Sent>, Vec<Sent>) {
        let (mut sent, mut acknowledged) = (Vec::new(), Vec::new());
        for bench in &self.benches {
            match &bench.kind {
                Kind::Astm(device) | Kind::Hl7(device) => {
                    let taken = device.said.iter().take(device.script.acknowledged());
                    acknowledged.extend(taken.flatten().cloned());
                    sent.extend(device.said.iter().flatten().cloned());
                }
                Kind::Vendor(vendor) => {
                    let log = vendor.operator.as_ref().map(Operator::log);
                    let log = log.unwrap_or_default();
                    sent.extend(log.sent.iter().filter_map(read));
                    acknowledged.extend(log.acknowledged.iter().filter_map(read));
                }
            }
        }
        (sent, acknowledged)
    }
}

fn read(sent: &labwire_sims::analyzer::Sent) -> Option<Sent> {
    (sent.nature != Nature::Control).then(|| Sent {
        barcode: sent.specimen.clone(),
        test: sent.test.clone(),
        // Numbers of an analyzer that writes commas reach the HIS with a point.
        text: sent.text.replace(',', "."),
    })
}

impl Scripted {
    fn say(
        &mut self,
        barcode: &str,
        tubes: u32,
        is_again: bool,
        write: impl FnOnce(&[Sent]) -> String,
    ) {
        let of = |(n, test): (u32, &&str)| Sent {
            barcode: barcode.to_owned(),
            test: (*test).to_owned(),
            text: format!("{}.{n}{}", tubes % 9 + 1, tubes % 7 + 1),
        };
        let results: Vec<Sent> = (1..).zip(SCRIPTED).map(of).collect();
        let message = write(&results);
        if is_again {
            self.said.push(Vec::new());
            self.script.say(message.clone());
        }
        self.said.push(results);
        self.script.say(message);
    }
}

impl Vendor {
    fn new(number: usize) -> Self {
        let (name, profile, services) = VENDORS[number % VENDORS.len()];
        Self {
            persona: Persona::named(name).expect("a persona of this name"),
            profile,
            services,
            operator: None,
            before: VecDeque::new(),
            inside: None,
        }
    }

    /// What only the site knows of a Beckman AU: codes and units.
    fn mapped(&self) -> String {
        let table = |key: &str, value: fn(&Analyte) -> &'static str| {
            let analytes = self.persona.analytes.iter();
            let pairs = analytes.map(|one| format!("{:?} = {:?}", one.code, value(one)));
            format!("{key} = {{ {} }}\n", pairs.collect::<Vec<_>>().join(", "))
        };
        match self.persona.protocol() {
            "beckman-au" => table("tests", |one| one.test) + &table("units", |one| one.unit),
            _ => String::new(),
        }
    }

    fn plug(&mut self, port: Port, mut wire: Wire, clock: Clock, seed: u64) {
        let mut plugged = plug(Setup {
            persona: self.persona,
            seed,
            rates: Rates::default(),
            measuring: Duration::ZERO,
            stops_when_idle: false,
            clock,
        });
        wire.wake = plugged.operator.wake();
        self.operator = Some(plugged.operator.clone());
        tokio::spawn(async move {
            let (machine, device) = (&mut *plugged.machine, &mut *plugged.device);
            keep(port, machine, device, &mut wire).await
        });
    }

    fn attend(&mut self, is_ordered: impl Fn(&str) -> bool) {
        let Some(operator) = self.operator.as_ref().filter(|one| one.is_idle()) else {
            return;
        };
        if let Some(barcode) = &self.inside {
            let own = |sent: &&labwire_sims::analyzer::Sent| sent.specimen == *barcode;
            if operator.with_log(|log| log.acknowledged.iter().rev().find(own).is_some()) {
                self.inside = None;
            } else {
                // It was let pass: nobody told the device in its time what to measure.
                operator.load(Tube::patient(barcode.clone()));
                return;
            }
        }
        if let Some((_, barcode)) = self.before.pop_front_if(|(control, _)| is_ordered(control)) {
            operator.load(Tube::patient(barcode.clone()));
            self.inside = Some(barcode);
        }
    }

    fn is_idle(&self) -> bool {
        let is_idle = self.operator.as_ref().is_none_or(Operator::is_idle);
        is_idle && self.inside.is_none() && self.before.is_empty()
    }
}

fn to(port: u16) -> Port {
    Port::Connect(format!("127.0.0.1:{port}"))
}

fn scripted_tests() -> String {
    let pairs = SCRIPTED.iter().map(|test| format!("{test} = \"{test}\""));
    format!("tests = {{ {} }}\n", pairs.collect::<Vec<_>>().join(", "))
}

fn astm(results: &[Sent], time: &str) -> String {
    let barcode = results.first().map_or("", |sent| &sent.barcode);
    let mut out = format!(
        "H|\\^&|||ANALYZER|||||||P||{time}\rP|1\rO|1|{barcode}||^^^X|R||||||||||||||||||||F\r"
    );
    for (n, sent) in (1..).zip(results) {
        let (code, text) = (&sent.test, &sent.text);
        write!(out, "R|{n}|^^^{code}|{text}|mmol/L||N||F||||{time}\r").expect("a String takes it");
    }
    out.push_str("L|1|N\r");
    out
}

fn hl7(results: &[Sent], time: &str, id: &str) -> String {
    let barcode = results.first().map_or("", |sent| &sent.barcode);
    let mut out = format!(
        "MSH|^~\\&|ANALYZER|LAB|||{time}||ORU^R01|{id}|P|2.5.1||||||UNICODE UTF-8\r\
         PID|1\rOBR|1||{barcode}|X\r"
    );
    for (n, sent) in (1..).zip(results) {
        let (code, text) = (&sent.test, &sent.text);
        write!(out, "OBX|{n}|NM|{code}||{text}|mmol/L||N|||F|||{time}\r")
            .expect("a String takes it");
    }
    out
}
