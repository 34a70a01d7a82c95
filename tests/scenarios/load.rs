//! The load of the crash test: five analyzers and a HIS, with everything that they were promised.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use labwire_drivers::{Clock as _, SystemClock};
use labwire_protocols::{astm::link::Link, mllp::Endpoint};
use labwire_sims::{
    analyzer::{
        Astm, Hl7, Nature, Operator, Rates, Setup, Tube as SimTube, endpoint_config, link_dialect,
    },
    chance::Chance,
    clock::{Clock, Wall},
    his::{Book, Control, Item, Orders, Patient, Request, Version, Writer, place_orders},
    persona::Persona,
    port::{Port, keep},
    runner::Wire,
};
use tokio_util::sync::CancellationToken;

use crate::{
    hospital::{His, ZONE, patient, request, tests},
    scripted::Script,
};

/// The time of the simulators runs so much faster, so that a resend after a second costs an
/// eighth of it.
const SPEED: u32 = 8;

/// Ports: of the HIS's orders, and of the analyzers as in [`BENCHES`].
#[derive(Debug)]
pub struct Lines(pub [u16; 6]);

/// An analyzer of the load.
#[derive(Debug)]
struct Bench {
    line: &'static str,
    /// What is ordered for it, the first `at_once` of them on a new tube.
    services: &'static [&'static str],
    at_once: usize,
}

const XN: usize = 0;
const ACCESS: usize = 1;
const BC: usize = 2;
const ASTM: usize = 3;
const HL7: usize = 4;
const BENCHES: [Bench; 5] = [
    Bench {
        line: "xn-1",
        services: &["WBC", "HGB", "PLT"],
        at_once: 3,
    },
    Bench {
        line: "access-1",
        services: &["TSH"],
        at_once: 1,
    },
    Bench {
        line: "bc-1",
        services: &["WBC", "RBC"],
        at_once: 2,
    },
    Bench {
        line: "astm-1",
        services: &["GLU", "CREA", "UREA", "ALT"],
        at_once: 2,
    },
    Bench {
        line: "hl7-1",
        services: &["NA", "K", "CL", "CA"],
        at_once: 2,
    },
];

impl Lines {
    /// The file of the site.
    pub fn lab(&self, results: &str) -> String {
        let [orders, xn, access, bc, astm, hl7] = self.0;
        let [xn_tests, access_tests, bc_tests] =
            ["sysmex/xn", "beckman/access2", "mindray/bc-5000"].map(tests);
        format!(
            r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:{orders}"
results = "{results}"
connections = 2
retry_first_s = 1
retry_longest_s = 1

[[instrument]]
id = "xn-1"
profile = "sysmex/xn"
port = "tcp-listen://127.0.0.1:{xn}"
{xn_tests}

[[instrument]]
id = "access-1"
profile = "beckman/access2"
port = "tcp-listen://127.0.0.1:{access}"
durability = "message"
{access_tests}

[[instrument]]
id = "bc-1"
profile = "mindray/bc-5000"
port = "mllp-listen://127.0.0.1:{bc}"
{bc_tests}

[[instrument]]
id = "astm-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:{astm}"
tests = {{ GLU = "GLU", CREA = "CREA", UREA = "UREA", ALT = "ALT" }}

[[instrument]]
id = "hl7-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:{hl7}"
tests = {{ NA = "NA", K = "K", CL = "CL", CA = "CA" }}
"#
        )
    }
}

/// A tube of the load.
#[derive(Debug)]
pub struct Tube {
    pub barcode: String,
    /// The patient it was first ordered for; merges are looked up.
    pub patient: String,
    pub items: Vec<(String, &'static str)>,
    /// Placer numbers that the HIS asked to cancel, whatever came of it.
    pub cancelled: BTreeSet<String>,
    bench: usize,
    /// How often a scripted analyzer told of each test.
    told: BTreeMap<&'static str, u32>,
}

/// A patient number that disappeared into another.
#[derive(Clone, Debug)]
pub struct Merge {
    pub survivor: String,
    pub control: String,
    /// Microseconds UTC: it cannot have been applied before this,
    pub sent_at: i64,
    /// and was before this.
    pub known_at: Option<i64>,
}

/// A message of the HIS about an item.
#[derive(Clone, Debug)]
pub struct Asked {
    pub control: String,
    pub barcode: String,
    pub placers: Vec<String>,
}

/// A result of an analyzer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sent {
    pub line: &'static str,
    pub barcode: String,
    pub code: String,
    pub test: String,
    pub text: String,
    /// Nothing speaks against it.
    pub is_ordinary: bool,
}

/// Everything that runs beside labwire.
pub struct Load {
    chance: Chance,
    clock: Clock,
    writer: Writer,
    pub orders: Orders,
    book: Book,
    operators: Vec<Operator>,
    scripts: [Script; 2],
    /// What each script says, message by message.
    said: [Vec<Vec<Sent>>; 2],
    pub tubes: Vec<Tube>,
    pub patients: BTreeMap<String, Patient>,
    pub merges: BTreeMap<String, Merge>,
    pub placed: Vec<Asked>,
    pub cancels: Vec<Asked>,
    pub updates: Vec<String>,
    /// Tubes whose order must be taken before they are measured, by the order's control id.
    not_yet: Vec<(String, usize)>,
    cancel: CancellationToken,
    is_without_merges: bool,
}

impl Load {
    /// Plugs everything in.
    pub fn plug(seed: u64, lines: &Lines, his: &His) -> Self {
        let clock = Clock::new(Wall::now(ZONE), SPEED * 1_000);
        let cancel = CancellationToken::new();
        let [orders_port, rest @ ..] = lines.0;
        let orders = Orders::default();
        let scripts = [Script::default(), Script::default()];
        let plug = Plug {
            seed,
            clock,
            cancel: cancel.clone(),
        };
        plug.orders(orders_port, &orders);
        let operators = vec![
            plug.astm("sysmex-xn", rest[XN]),
            plug.astm("access2", rest[ACCESS]),
            plug.hl7("mindray-bc5000", rest[BC]),
        ];
        scripts[0].plug_astm(to(rest[ASTM]), plug.wire());
        scripts[1].plug_mllp(to(rest[HL7]), plug.wire());
        Self {
            chance: Chance::fork(seed, "load"),
            clock,
            writer: Writer::new(Version::V251, "HIS"),
            orders,
            book: his.book.clone(),
            operators,
            scripts,
            said: [Vec::new(), Vec::new()],
            tubes: Vec::new(),
            patients: BTreeMap::new(),
            merges: BTreeMap::new(),
            placed: Vec::new(),
            cancels: Vec::new(),
            updates: Vec::new(),
            not_yet: Vec::new(),
            cancel,
            is_without_merges: false,
        }
    }

    /// No patients are unified: when they were is compared by one clock, and there may be two.
    pub fn without_merges(self) -> Self {
        Self {
            is_without_merges: true,
            ..self
        }
    }

    /// Lets a scripted analyzer say something that no book expects.
    pub fn say(&mut self, script: usize, message: &'static [u8]) {
        self.said[script].push(Vec::new());
        self.scripts[script].say(message);
    }

    /// Unplugs everything.
    pub fn unplug(&self) {
        self.cancel.cancel();
    }

    /// Adds so many events of a hospital.
    pub fn add(&mut self, count: usize) {
        for _ in 0..count {
            match self.chance.below(100) {
                0..45 => self.new_tube(),
                45..57 => self.add_on(),
                57..69 => self.correct(),
                69..80 => self.cancel_one(),
                80..91 => self.update(),
                _ if self.is_without_merges => self.new_tube(),
                _ => self.merge(),
            }
        }
    }

    /// Adds a new tube for every analyzer.
    pub fn add_everywhere(&mut self) {
        (0..BENCHES.len()).for_each(|bench| self.tube_on(bench));
    }

    fn new_tube(&mut self) {
        let bench = self.chance.index(BENCHES.len());
        self.tube_on(bench);
    }

    fn tube_on(&mut self, bench: usize) {
        let barcode = format!("26{:07}", self.tubes.len() + 1);
        let shared = self.chance.happens(150).then(|| self.some_tube()).flatten();
        let owner = match shared {
            Some(index) => self.owner(&self.tubes[index].patient.clone()),
            None => {
                let new = patient(&barcode);
                self.patients.insert(new.id.clone(), new.clone());
                new.id
            }
        };
        let services = &BENCHES[bench].services[..BENCHES[bench].at_once];
        self.tubes.push(Tube {
            barcode: barcode.clone(),
            patient: owner,
            items: Vec::new(),
            cancelled: BTreeSet::new(),
            bench,
            told: BTreeMap::new(),
        });
        let index = self.tubes.len() - 1;
        // Some tubes are quicker than their orders.
        let is_early = matches!(bench, ASTM | HL7) && self.chance.happens(200);
        if is_early {
            self.measure(index, services);
        }
        let control = self.order(index, services);
        match bench {
            ASTM | HL7 if is_early => {}
            ASTM | HL7 => self.measure(index, services),
            // This one lets pass what the host knows nothing of.
            ACCESS => self.not_yet.push((control, index)),
            _ => self.operators[bench].load(SimTube::patient(barcode)),
        }
    }

    fn some_tube(&mut self) -> Option<usize> {
        let count = self.tubes.len();
        (count > 0).then(|| self.chance.index(count))
    }

    fn some_scripted(&mut self) -> Option<usize> {
        let own = |(index, tube): (usize, &Tube)| (tube.bench >= ASTM).then_some(index);
        let all: Vec<_> = self.tubes.iter().enumerate().filter_map(own).collect();
        self.chance.pick(&all).copied()
    }

    /// The number under which the HIS knows a patient now.
    pub fn owner(&self, id: &str) -> String {
        let mut id = id;
        while let Some(merge) = self.merges.get(id) {
            id = &merge.survivor;
        }
        id.to_owned()
    }

    fn form(&self, control: Control, index: usize, items: &[(String, &'static str)]) -> Request {
        let tube = &self.tubes[index];
        let owner = self.owner(&tube.patient);
        Request {
            patient: self.patients[&owner].clone(),
            items: items
                .iter()
                .map(|(placer, service)| Item {
                    placer: placer.clone(),
                    service: (*service).to_owned(),
                    name: (*service).to_owned(),
                })
                .collect(),
            collected: String::new(),
            ..request(control, &tube.barcode, &[])
        }
    }

    fn order(&mut self, index: usize, services: &[&'static str]) -> String {
        let barcode = self.tubes[index].barcode.clone();
        let items: Vec<_> = services
            .iter()
            .map(|service| (format!("P{barcode}-{service}"), *service))
            .collect();
        let form = self.form(Control::New, index, &items);
        self.book.with_ledger(|ledger| {
            for (placer, _) in &items {
                ledger.place(placer, &form.patient.id, &barcode);
            }
        });
        let written = self.writer.request(&form, "20260310090000+0700");
        let control = written.control_id.clone();
        self.placed.push(Asked {
            control: control.clone(),
            barcode,
            placers: items.iter().map(|(placer, _)| placer.clone()).collect(),
        });
        self.tubes[index].items.extend(items);
        self.orders.push(written);
        control
    }

    fn add_on(&mut self) {
        let Some(index) = self.some_scripted() else {
            return self.new_tube();
        };
        let bench = &BENCHES[self.tubes[index].bench];
        let is_new = |service: &&&'static str| {
            let items = &self.tubes[index].items;
            items.iter().all(|(_, ordered)| ordered != *service)
        };
        let Some(service) = bench.services.iter().find(is_new).copied() else {
            return self.new_tube();
        };
        self.order(index, &[service]);
        self.measure(index, &[service]);
    }

    fn correct(&mut self) {
        let Some(index) = self.some_scripted() else {
            return self.new_tube();
        };
        let told: Vec<_> = self.tubes[index].told.keys().copied().collect();
        match self.chance.pick(&told) {
            Some(service) => self.measure(index, &[*service]),
            None => self.new_tube(),
        }
    }

    fn cancel_one(&mut self) {
        // Most are cancelled before they are measured.
        let newest = self.tubes.len().checked_sub(1);
        let newest = newest.filter(|_| self.chance.happens(700));
        let Some(index) = newest.or_else(|| self.some_tube()) else {
            return self.new_tube();
        };
        let Some(item) = self.chance.pick(&self.tubes[index].items).cloned() else {
            return self.new_tube();
        };
        let form = self.form(Control::Cancel, index, std::slice::from_ref(&item));
        let written = self.writer.request(&form, "20260310091000+0700");
        self.cancels.push(Asked {
            control: written.control_id.clone(),
            barcode: form.barcode,
            placers: vec![item.0.clone()],
        });
        self.tubes[index].cancelled.insert(item.0);
        self.orders.push(written);
    }

    fn update(&mut self) {
        let Some(index) = self.some_tube() else {
            return self.new_tube();
        };
        let owner = self.owner(&self.tubes[index].patient);
        let count = self.updates.len();
        let Some(known) = self.patients.get_mut(&owner) else {
            return;
        };
        known.family = format!("LÊ{count}");
        let written = self.writer.update(known, "20260310092000+0700");
        self.updates.push(written.control_id.clone());
        self.orders.push(written);
    }

    fn merge(&mut self) {
        let (Some(one), Some(other)) = (self.some_tube(), self.some_tube()) else {
            return self.new_tube();
        };
        let gone = self.owner(&self.tubes[one].patient);
        let survivor = self.owner(&self.tubes[other].patient);
        if gone == survivor {
            return self.new_tube();
        }
        let written = self
            .writer
            .merge(&self.patients[&survivor], &gone, "20260310093000+0700");
        let merge = Merge {
            survivor,
            control: written.control_id.clone(),
            sent_at: SystemClock::default().utc_micros(),
            known_at: None,
        };
        self.merges.insert(gone, merge);
        self.orders.push(written);
    }

    /// A scripted analyzer tells of these tests: first a result, from then on corrections.
    fn measure(&mut self, index: usize, services: &[&'static str]) {
        let time = self.clock.stamp();
        let number: usize = self.said.iter().map(Vec::len).sum();
        let tube = &mut self.tubes[index];
        let line = BENCHES[tube.bench].line;
        let mut results = Vec::new();
        for service in services {
            let told = tube.told.entry(service).or_insert(0);
            // No two values of the load are the same.
            let text = format!("{}.{}{}", number + 1, results.len(), told);
            let status = if *told == 0 { "F" } else { "C" };
            *told += 1;
            results.push((
                Sent {
                    line,
                    barcode: tube.barcode.clone(),
                    code: (*service).to_owned(),
                    test: (*service).to_owned(),
                    text,
                    is_ordinary: true,
                },
                status,
            ));
        }
        let which = tube.bench - ASTM;
        let message = if which == 0 {
            astm(&results, &time)
        } else {
            hl7(&results, &time, number)
        };
        self.said[which].push(results.into_iter().map(|(sent, _)| sent).collect());
        self.scripts[which].say(message);
    }

    /// Looks at what has happened since: to be called often.
    pub fn watch(&mut self) {
        let orders = &self.orders;
        let unknown = |merge: &&mut Merge| merge.known_at.is_none();
        for merge in self.merges.values_mut().filter(unknown) {
            if orders.answer(&merge.control).is_some() {
                merge.known_at = Some(SystemClock::default().utc_micros());
            }
        }
        let (tubes, operators) = (&self.tubes, &self.operators);
        self.not_yet.retain(|(control, index)| {
            let is_answered = orders.answer(control).is_some();
            if is_answered {
                operators[ACCESS].load(SimTube::patient(tubes[*index].barcode.clone()));
            }
            !is_answered
        });
    }

    /// Counts acknowledgements of every kind.
    pub fn progress(&self) -> u64 {
        let mut count = self.orders.accepted() + self.orders.refused().len();
        for operator in &self.operators {
            count += operator.with_log(|log| log.acknowledged.len() + log.orders.len());
        }
        for script in &self.scripts {
            count += script.acknowledged() + script.heard().len();
        }
        count += self.book.with_ledger(|ledger| ledger.messages().len());
        u64::try_from(count).unwrap_or(0)
    }

    /// The same for each unit of labwire: `line:<id>` and `host:his`.
    pub fn progress_of_units(&self) -> BTreeMap<String, usize> {
        let operators = self
            .operators
            .iter()
            .map(|operator| operator.with_log(|log| log.acknowledged.len() + log.orders.len()));
        let scripts = self.scripts.iter();
        let scripts = scripts.map(|script| script.acknowledged() + script.heard().len());
        let names = BENCHES.iter().map(|bench| format!("line:{}", bench.line));
        let mut units: BTreeMap<String, usize> = names.zip(operators.chain(scripts)).collect();
        let of_his = self.orders.accepted() + self.orders.refused().len();
        let messages = self.book.with_ledger(|ledger| ledger.messages().len());
        units.insert("host:his".to_owned(), of_his + messages);
        units
    }

    /// Whether nobody has anything left to say to labwire.
    pub fn is_idle(&self) -> bool {
        self.orders.waiting() == 0
            && self.not_yet.is_empty()
            && self.operators.iter().all(Operator::is_idle)
            && self.scripts.iter().all(Script::is_idle)
    }

    /// Where everybody is.
    pub fn state(&self) -> String {
        let mut out = format!("{} orders wait", self.orders.waiting());
        for (operator, bench) in self.operators.iter().zip(&BENCHES) {
            let (line, is_idle) = (bench.line, operator.is_idle());
            write!(out, ", {line} idle: {is_idle}").expect("a String takes it");
        }
        for script in &self.scripts {
            let (is_idle, refusals) = (script.is_idle(), script.refusals().len());
            write!(out, ", script idle: {is_idle}, refused {refusals}").expect("a String takes it");
        }
        out
    }

    /// Patients' results that labwire acknowledged, in the order of each line.
    pub fn acknowledged(&self) -> Vec<Sent> {
        let simulated = self.simulated(|log| log.acknowledged.clone());
        let scripted = self.said.iter().zip(&self.scripts);
        let scripted =
            scripted.flat_map(|(said, script)| said.iter().take(script.acknowledged()).flatten());
        simulated.into_iter().chain(scripted.cloned()).collect()
    }

    /// Patients' results that began to travel.
    pub fn sent(&self) -> Vec<Sent> {
        let simulated = self.simulated(|log| log.sent.clone());
        let scripted = self.said.iter().flatten().flatten();
        simulated.into_iter().chain(scripted.cloned()).collect()
    }

    fn simulated(
        &self,
        part: impl Fn(&labwire_sims::analyzer::Log) -> Vec<labwire_sims::analyzer::Sent>,
    ) -> Vec<Sent> {
        let of = |(operator, bench): (&Operator, &Bench)| {
            let line = bench.line;
            let results = operator.with_log(&part).into_iter();
            let results = results.filter(|sent| sent.nature != Nature::Control);
            results
                .map(move |sent| Sent {
                    line,
                    is_ordinary: sent.nature == Nature::Ordinary,
                    barcode: sent.specimen,
                    code: sent.code,
                    test: sent.test,
                    text: sent.text,
                })
                .collect::<Vec<_>>()
        };
        self.operators.iter().zip(&BENCHES).flat_map(of).collect()
    }
}

fn to(port: u16) -> Port {
    Port::Connect(format!("127.0.0.1:{port}"))
}

/// How things are plugged in.
struct Plug {
    seed: u64,
    clock: Clock,
    cancel: CancellationToken,
}

impl Plug {
    fn wire(&self) -> Wire {
        let mut wire = Wire::new(self.clock);
        wire.cancel = self.cancel.clone();
        wire
    }

    fn orders(&self, port: u16, orders: &Orders) {
        let (orders, mut wire) = (orders.clone(), self.wire());
        tokio::spawn(async move { place_orders(to(port), &orders, false, &mut wire).await });
    }

    fn setup(&self, name: &str) -> Setup {
        Setup {
            persona: Persona::named(name).expect("a persona of this name"),
            seed: self.seed,
            rates: Rates {
                rerun: 60,
                ..Rates::usual()
            },
            measuring: Duration::ZERO,
            stops_when_idle: false,
            clock: self.clock,
        }
    }

    fn astm(&self, name: &str, port: u16) -> Operator {
        let setup = self.setup(name);
        let mut machine = Link::new(link_dialect(setup.persona));
        let mut analyzer = Astm::new(setup).expect("an ASTM persona");
        let operator = analyzer.operator();
        let mut wire = self.wire();
        wire.wake = operator.wake();
        tokio::spawn(async move { keep(to(port), &mut machine, &mut analyzer, &mut wire).await });
        operator
    }

    fn hl7(&self, name: &str, port: u16) -> Operator {
        let setup = self.setup(name);
        let mut machine = Endpoint::new(endpoint_config(setup.persona));
        let mut analyzer = Hl7::new(setup).expect("an HL7 persona");
        let operator = analyzer.operator();
        let mut wire = self.wire();
        wire.wake = operator.wake();
        tokio::spawn(async move { keep(to(port), &mut machine, &mut analyzer, &mut wire).await });
        operator
    }
}

fn astm(results: &[(Sent, &str)], time: &str) -> String {
    let barcode = results.first().map_or("", |(sent, _)| &sent.barcode);
    let mut out = format!(
        "H|\\^&|||ANALYZER|||||||P||{time}\rP|1\rO|1|{barcode}||^^^X|R||||||||||||||||||||F\r"
    );
    for (n, (sent, status)) in (1..).zip(results) {
        let (code, text) = (&sent.code, &sent.text);
        write!(
            out,
            "R|{n}|^^^{code}|{text}|mmol/L||N||{status}||||{time}\r"
        )
        .expect("a String takes it");
    }
    out.push_str("L|1|N\r");
    out
}

fn hl7(results: &[(Sent, &str)], time: &str, number: usize) -> String {
    let barcode = results.first().map_or("", |(sent, _)| &sent.barcode);
    let mut out = format!(
        "MSH|^~\\&|ANALYZER|LAB|||{time}||ORU^R01|A{number}|P|2.5.1||||||UNICODE UTF-8\r\
         PID|1\rOBR|1||{barcode}|X\r"
    );
    for (n, (sent, status)) in (1..).zip(results) {
        let (code, text) = (&sent.code, &sent.text);
        write!(
            out,
            "OBX|{n}|NM|{code}||{text}|mmol/L||N|||{status}|||{time}\r"
        )
        .expect("a String takes it");
    }
    out
}
