//! A hospital morning from a seed: patients come, the HIS orders, tubes are measured, results
//! arrive, or it is found out why not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::Context;
use labwire_protocols::{astm::link::Link, mllp};
use tokio::{net::TcpListener, task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    analyzer::{
        Astm, Hl7, Nature, Operator, Rates, Sent, Setup, Tube, endpoint_config, link_dialect,
    },
    clock::Clock,
    faults::FaultPlan,
    his::{
        Answering, Book, Discrepancy, Expected, Orders, Request, Version, Writer, Written,
        place_orders, serve_results,
    },
    line::{Arrival, Attendant},
    persona::{self, Persona, Section},
    port::{Port, keep},
    runner::Wire,
};

mod plan;

pub use self::plan::{Act, Plan, Service, Specimen, Step, services};

/// How often the end of the morning is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long nothing may change, after the last act, before the morning is over although something
/// is missing.
const SETTLE: Duration = Duration::from_secs(30);
/// How long a tube stays in an instrument, at the normal speed.
const MEASURING: Duration = Duration::from_secs(5);

/// A morning that can be run once.
#[derive(Debug)]
pub struct Morning {
    seed: u64,
    specimens: usize,
    speed: f64,
    settings: Settings,
    parts: Mutex<Parts>,
}

/// What may be changed about a morning.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What can be ordered.
    pub services: Vec<Service>,
    /// Test → the code under which the HIS gets its results; a test not named here has its own.
    pub codes: BTreeMap<String, String>,
    /// Which HL7 the HIS speaks.
    pub version: Version,
    /// How the HIS answers results.
    pub answering: Answering,
    /// How often what is unusual happens at the instruments.
    pub rates: Rates,
    /// What happens to bytes that leave ASTM instruments.
    pub faults: FaultPlan,
    /// How long nothing may change before the morning is given up.
    pub settle: Duration,
    /// The zone of all wall clocks, in minutes east of UTC.
    pub zone_minutes: i32,
    /// The automation line that brings tubes to some of the instruments.
    pub line: Option<FedByLine>,
}

/// Instruments that an automation line feeds: their tubes come onto the line, every second one by
/// pneumatic tube, and are measured when they are there.
#[derive(Clone, Debug)]
pub struct FedByLine {
    /// Who puts tubes on it.
    pub attendant: Attendant,
    /// The way to an instrument and on, by its number in the addresses.
    pub ways: BTreeMap<usize, Way>,
}

/// The way of a tube over the line.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The module that is the instrument.
    pub module: &'static str,
    /// What a tube goes through before it is measured; where there are several ways, in turn.
    pub before: &'static [&'static [&'static str]],
    /// Where it goes then; the last is where it stays.
    pub after: &'static [&'static str],
}

impl FedByLine {
    /// Puts a tube on the line; false where it does not go that way.
    fn bring(&self, index: usize, tube: &Tube, arrived: &mut BTreeSet<String>) -> bool {
        let Some(way) = self.ways.get(&index) else {
            return false;
        };
        // A tube comes once; whoever measures it again takes it to the instrument.
        let is_known = arrived.contains(&tube.specimen);
        if tube.is_control || tube.tests.is_some() || is_known {
            return false;
        }
        let number = arrived.len();
        let inlet = if number.is_multiple_of(2) {
            "TEMPUS1"
        } else {
            "IN1"
        };
        arrived.insert(tube.specimen.clone());
        let turn = (number / 2).checked_rem(way.before.len()).unwrap_or(0);
        let before = way.before.get(turn).copied().unwrap_or_default();
        let stops = before.iter().chain([&way.module]).chain(way.after);
        self.attendant.arrive(Arrival {
            barcode: tube.specimen.clone(),
            inlet: inlet.to_owned(),
            course: stops.map(|&stop| stop.to_owned()).collect(),
        });
        true
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            services: services(),
            codes: BTreeMap::new(),
            version: Version::V251,
            answering: Answering::good(),
            rates: Rates::usual(),
            faults: FaultPlan::default(),
            settle: SETTLE,
            zone_minutes: 420,
            line: None,
        }
    }
}

/// Where everything is plugged in.
#[derive(Debug)]
pub struct Addresses {
    /// `host:port` to which the HIS sends orders.
    pub orders: String,
    /// Where the HIS takes results.
    pub results: TcpListener,
    /// The instruments.
    pub instruments: Vec<Attached>,
}

/// One instrument and its plug.
#[derive(Debug)]
pub struct Attached {
    /// The model.
    pub persona: &'static Persona,
    /// Where it is plugged in.
    pub port: Port,
}

/// The living parts that counters look at.
#[derive(Debug, Default)]
struct Parts {
    planned: usize,
    operators: Vec<Operator>,
    orders: Orders,
    book: Option<Book>,
    placed: Vec<Placed>,
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Tubes of patients in the plan.
    pub specimens: usize,
    /// Messages of the HIS that were acknowledged.
    pub orders_accepted: usize,
    /// Messages of the HIS that are not answered yet.
    pub orders_waiting: usize,
    /// Queries of instruments.
    pub queries: u64,
    /// Tubes that an instrument let pass, because nobody had ordered anything for it yet.
    pub skipped: u64,
    /// Results that left an instrument, those of controls included.
    pub results_sent: usize,
    /// Of those, what was acknowledged to the instrument.
    pub results_acknowledged: usize,
    /// Of those, what came from control material.
    pub controls: usize,
    /// Messages that an instrument had to send again.
    pub repeated: u64,
    /// Results that the HIS took.
    pub posted: usize,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "specimens {}, orders {} (+{} waiting), queries {}, results {} sent / {} acknowledged / {} posted, controls {}, repeated {}",
            self.specimens,
            self.orders_accepted,
            self.orders_waiting,
            self.queries,
            self.results_sent,
            self.results_acknowledged,
            self.posted,
            self.controls,
            self.repeated
        )
    }
}

/// How the morning ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// The counters at the end.
    pub snapshot: Snapshot,
    /// Results that had to reach the HIS.
    pub required: usize,
    /// What is wrong at the HIS.
    pub discrepancies: Vec<Discrepancy>,
    /// Control ids of the HIS's messages that were refused.
    pub orders_refused: Vec<String>,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it was cancelled before its end.
    pub is_cancelled: bool,
}

impl Report {
    /// Whether everything that had to come came, once, to the right patient.
    pub fn is_clean(&self) -> bool {
        self.discrepancies.is_empty() && self.orders_refused.is_empty()
    }
}

impl Morning {
    /// A morning of so many specimens, `speed` times as fast as a real one.
    pub fn new(seed: u64, specimens: usize, speed: f64) -> Self {
        Self::with_settings(seed, specimens, speed, Settings::default())
    }

    /// The same with settings of its own.
    pub fn with_settings(seed: u64, specimens: usize, speed: f64, settings: Settings) -> Self {
        Self {
            seed,
            specimens,
            // Anything that is no speed is the normal one.
            speed: if speed.is_finite() && speed > 0.0 {
                speed
            } else {
                1.0
            },
            settings,
            parts: Mutex::default(),
        }
    }

    /// How long it is planned to last, at the normal speed.
    pub fn span(&self) -> Duration {
        plan::span(self.specimens)
    }

    /// What will happen, for these instruments.
    pub fn plan(&self, personas: &[&Persona]) -> Plan {
        Plan::new(self.seed, self.specimens, personas, &self.settings.services)
    }

    /// What has happened so far.
    pub fn counters(&self) -> Snapshot {
        let parts = self.lock();
        let mut snapshot = Snapshot {
            specimens: parts.planned,
            orders_accepted: parts.orders.accepted(),
            orders_waiting: parts.orders.waiting(),
            posted: parts.book.as_ref().map_or(0, |book| {
                book.with_ledger(|ledger| ledger.observations().len())
            }),
            ..Snapshot::default()
        };
        for operator in &parts.operators {
            operator.with_log(|log| {
                snapshot.queries += log.queries;
                snapshot.skipped += log.skipped;
                snapshot.results_sent += log.sent.len();
                snapshot.results_acknowledged += log.acknowledged.len();
                snapshot.repeated += log.repeated;
                let is_control = |sent: &&Sent| sent.nature == Nature::Control;
                snapshot.controls += log.sent.iter().filter(is_control).count();
            });
        }
        snapshot
    }

    /// The tubes of patients that an instrument has begun to send results of.
    pub fn measured(&self) -> usize {
        let parts = self.lock();
        let mut tubes = BTreeSet::new();
        for operator in &parts.operators {
            operator.with_log(|log| {
                let of_patients = log.sent.iter().filter(|one| one.nature != Nature::Control);
                tubes.extend(of_patients.map(|one| one.specimen.clone()));
            });
        }
        tubes.len()
    }

    /// Every result that was acknowledged, with the number of its instrument in the addresses.
    pub fn acknowledged(&self) -> Vec<(usize, Sent)> {
        let parts = self.lock();
        let mut all = Vec::new();
        for (number, operator) in parts.operators.iter().enumerate() {
            operator.with_log(|log| {
                all.extend(log.acknowledged.iter().map(|sent| (number, sent.clone())));
            });
        }
        all
    }

    /// The book of the HIS; none before the morning has begun.
    pub fn book(&self) -> Option<Book> {
        self.lock().book.clone()
    }

    /// Runs the morning to its end: everything that must reach the HIS is there, or nothing has
    /// changed for a while, or it was cancelled.
    ///
    /// # Errors
    /// If a port cannot be used at all. A connection that is refused or lost is no error.
    pub async fn run(
        &self,
        addresses: Addresses,
        cancel: CancellationToken,
    ) -> anyhow::Result<Report> {
        let began = Instant::now();
        let personas: Vec<_> = addresses
            .instruments
            .iter()
            .map(|one| one.persona)
            .collect();
        let plan = self.plan(&personas);
        let stop = cancel.child_token();
        let mut tasks = JoinSet::new();
        let book = self.start(addresses, &plan, &stop, &mut tasks)?;
        tokio::select! {
            () = cancel.cancelled() => {}
            () = async {
                self.act(&plan, &book, began).await;
                self.settle(&plan, &book).await;
            } => {}
            // No part ends by itself, but by an error.
            Some(ended) = tasks.join_next() => ended.context("a part of the morning broke")??,
        }
        stop.cancel();
        while let Some(ended) = tasks.join_next().await {
            ended.context("a part of the morning broke")??;
        }
        let expected = self.expected(&plan);
        Ok(Report {
            snapshot: self.counters(),
            required: expected.iter().filter(|one| one.is_required).count(),
            discrepancies: book.verify(&expected),
            orders_refused: self.lock().orders.refused(),
            elapsed: began.elapsed(),
            is_cancelled: cancel.is_cancelled(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(
        &self,
        addresses: Addresses,
        plan: &Plan,
        stop: &CancellationToken,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<Book> {
        let clock = Clock::real(self.settings.zone_minutes);
        let book = Book::new(self.settings.answering.clone(), clock);
        let orders = Orders::default();
        {
            let (book, stop) = (book.clone(), stop.clone());
            tasks.spawn(async move { Ok(serve_results(addresses.results, book, stop).await?) });
        }
        {
            let mut wire = Wire::new(clock);
            wire.cancel = stop.clone();
            let orders = orders.clone();
            let port = Port::Connect(addresses.orders);
            tasks.spawn(async move { Ok(place_orders(port, &orders, false, &mut wire).await?) });
        }
        let mut operators = Vec::new();
        for (attached, number) in addresses.instruments.into_iter().zip(0_u64..) {
            operators.push(self.plug(attached, number, clock, stop, tasks)?);
        }
        if let Some(line) = &self.settings.line {
            for (index, way) in &line.ways {
                if let Some(operator) = operators.get(*index) {
                    line.attendant.attach(way.module, operator.clone());
                }
            }
        }
        *self.lock() = Parts {
            planned: plan.specimens.len(),
            operators,
            orders,
            book: Some(book.clone()),
            placed: Vec::new(),
        };
        Ok(book)
    }

    fn plug(
        &self,
        attached: Attached,
        number: u64,
        clock: Clock,
        stop: &CancellationToken,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<Operator> {
        let Attached { persona, port } = attached;
        let seed = self.seed.wrapping_mul(1_000).wrapping_add(number);
        let setup = Setup {
            persona,
            seed,
            rates: self.settings.rates,
            measuring: MEASURING.div_f64(self.speed),
            stops_when_idle: false,
            clock,
        };
        let mut wire = Wire::new(clock);
        wire.cancel = stop.clone();
        if let Some(mut device) = Astm::new(setup.clone()) {
            wire = wire.with_faults(self.settings.faults.clone(), seed);
            let operator = device.operator();
            wire.wake = operator.wake();
            let mut link = Link::new(link_dialect(persona));
            tasks.spawn(async move { Ok(keep(port, &mut link, &mut device, &mut wire).await?) });
            return Ok(operator);
        }
        let mut device = Hl7::new(setup).context("a persona speaks ASTM or HL7")?;
        let operator = device.operator();
        wire.wake = operator.wake();
        let mut endpoint = mllp::Endpoint::new(endpoint_config(persona));
        tasks.spawn(async move { Ok(keep(port, &mut endpoint, &mut device, &mut wire).await?) });
        Ok(operator)
    }

    /// Does what the plan says, when it says so.
    async fn act(&self, plan: &Plan, book: &Book, began: Instant) {
        let mut writer = Writer::since(self.settings.version, &book.stamp());
        let mut arrived = BTreeSet::new();
        for step in &plan.steps {
            tokio::time::sleep_until(began + step.at.div_f64(self.speed)).await;
            let time = book.stamp();
            let mut parts = self.lock();
            match &step.act {
                Act::Order(request) => {
                    let request = Request {
                        collected: time.clone(),
                        ..request.clone()
                    };
                    for item in &request.items {
                        let (patient, barcode) = (&request.patient.id, &request.barcode);
                        book.with_ledger(|ledger| ledger.place(&item.placer, patient, barcode));
                    }
                    let written = writer.request(&request, &time);
                    parts.placed.push(Placed::of(&request, &written));
                    parts.orders.push(written);
                }
                Act::Update(patient) => parts.orders.push(writer.update(patient, &time)),
                Act::Load(index, tube) => {
                    let line = self.settings.line.as_ref();
                    let is_brought =
                        line.is_some_and(|line| line.bring(*index, tube, &mut arrived));
                    let operator = parts.operators.get(*index).filter(|_| !is_brought);
                    if let Some(operator) = operator {
                        operator.load(tube.clone());
                    }
                }
            }
        }
    }

    async fn settle(&self, plan: &Plan, book: &Book) {
        // Tubes that are still on their way say nothing of themselves at the instruments.
        let moved = || {
            let line = self.settings.line.as_ref();
            line.map_or(0, |line| line.attendant.with_log(|log| log.acknowledged))
        };
        let mut last = (self.counters(), moved());
        let mut since = Instant::now();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = (self.counters(), moved());
            if now != last {
                last = now;
                since = Instant::now();
            }
            let is_quiet = {
                let parts = self.lock();
                let mut lines = self.settings.line.iter();
                parts.orders.waiting() == 0
                    && lines.all(|line| line.attendant.is_at_rest())
                    && parts.operators.iter().all(Operator::is_idle)
            };
            if is_quiet && book.verify(&self.expected(plan)).is_empty() {
                return;
            }
            if since.elapsed() >= self.settings.settle {
                return;
            }
        }
    }

    /// What must, and what may, be at the HIS, by what was acknowledged to the instruments.
    fn expected(&self, plan: &Plan) -> Vec<Expected> {
        let parts = self.lock();
        let taken: BTreeSet<&str> = parts
            .placed
            .iter()
            .filter(|one| {
                parts
                    .orders
                    .answer(&one.control_id)
                    .is_some_and(|a| a.is_accepted())
            })
            .map(|one| one.barcode.as_str())
            .collect();
        let specimens: BTreeMap<&str, &Specimen> = plan
            .specimens
            .iter()
            .map(|one| (one.barcode.as_str(), one))
            .collect();
        let mut all = Vec::new();
        for operator in &parts.operators {
            operator.with_log(|log| {
                for sent in &log.acknowledged {
                    let Some(specimen) = specimens.get(sent.specimen.as_str()) else {
                        continue;
                    };
                    let Some(request) = &specimen.request else {
                        continue;
                    };
                    let is_ordered = specimen.tests.contains(&sent.test);
                    all.push(Expected {
                        patient: request.patient.id.clone(),
                        barcode: sent.specimen.clone(),
                        code: self
                            .settings
                            .codes
                            .get(&sent.test)
                            .unwrap_or(&sent.test)
                            .clone(),
                        text: sent.text.clone(),
                        is_required: is_ordered
                            && !waits_for_a_person(&sent.test)
                            && sent.nature == Nature::Ordinary
                            && taken.contains(sent.specimen.as_str()),
                    });
                }
            });
        }
        all
    }
}

/// A request that was handed to the HIS's sender.
#[derive(Debug)]
struct Placed {
    control_id: String,
    barcode: String,
}

impl Placed {
    fn of(request: &Request, written: &Written) -> Self {
        Self {
            control_id: written.control_id.clone(),
            barcode: request.barcode.clone(),
        }
    }
}

/// Blood groups and their like reach no HIS before somebody looked at them.
fn waits_for_a_person(test: &str) -> bool {
    let transfusion = persona::ALL
        .iter()
        .filter(|one| one.section == Section::Transfusion);
    transfusion
        .flat_map(|one| one.analytes)
        .any(|analyte| analyte.test == test)
}

#[cfg(test)]
mod tests;
