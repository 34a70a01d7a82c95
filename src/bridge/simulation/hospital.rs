//! The hospital of a simulation: who orders what, which tubes are measured, and what is known of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use labwire_sims::{
    analyzer::{Log, Nature, Operator, Plugged, Rates, Sent, Setup, Tube as SimTube, plug},
    chance::Chance,
    clock::Clock,
    his::{Control, Item, Observation, Orders, Patient, Request, Version, Writer},
    persona::Persona,
};

use crate::store::by_hand::ByHand;

use super::{conveyor::Conveyor, scribe::Scribe};

/// An analyzer that may stand in the laboratory.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) line: &'static str,
    pub(super) carrier: Carrier,
    persona: &'static str,
    profile: &'static str,
    /// Keys of its `[[instrument]]`.
    more: &'static str,
    /// What is ordered for it.
    pub(super) services: &'static [&'static str],
}

/// What carries the messages of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// LIS01-A2. With `false` the bridge promises whole messages alone.
    Astm { promises_frames: bool },
    /// MLLP.
    Mllp,
    /// A wire of its maker's own. With `true` a wrong bit is found by a check of its own.
    Own { is_checked: bool },
}

impl Bench {
    const fn new(
        line: &'static str,
        carrier: Carrier,
        (persona, profile): (&'static str, &'static str),
        services: &'static [&'static str],
    ) -> Self {
        Self {
            line,
            carrier,
            persona,
            profile,
            more: "",
            services,
        }
    }
}

const FRAMES: Carrier = Carrier::Astm {
    promises_frames: true,
};
const CHECKED: Carrier = Carrier::Own { is_checked: true };
const UNCHECKED: Carrier = Carrier::Own { is_checked: false };

/// One that asks, in frames; one that asks and lets pass what nobody ordered, in messages; over MLLP one
/// that asks with an order and one by LAW; on wires of their makers' own such as ask, poll, are told and
/// only tell.
pub(super) const BENCHES: [Bench; 9] = [
    Bench::new(
        "xn-1",
        FRAMES,
        ("sysmex-xn", "sysmex/xn"),
        &["WBC", "HGB", "PLT"],
    ),
    Bench {
        more: "durability = \"message\"\n",
        ..Bench::new(
            "access-1",
            Carrier::Astm {
                promises_frames: false,
            },
            ("access2", "beckman/access2"),
            &["TSH"],
        )
    },
    Bench::new(
        "bc-1",
        Carrier::Mllp,
        ("mindray-bc5000", "mindray/bc-5000"),
        &["WBC", "RBC"],
    ),
    Bench::new(
        "law-1",
        Carrier::Mllp,
        ("ihe-law", "generic/law"),
        &["TSH", "PSA"],
    ),
    Bench::new(
        AU,
        CHECKED,
        ("beckman-au", "beckman/au"),
        &["ALT", "AST", "GLU"],
    ),
    Bench::new(
        "rxl-1",
        CHECKED,
        ("dimension", "siemens/dimension"),
        &["GLU", "ALB"],
    ),
    Bench::new(
        "istat-1",
        UNCHECKED,
        ("i-stat", "abbott/i-stat"),
        &["K", "NA"],
    ),
    Bench::new(
        "kx-1",
        UNCHECKED,
        ("sysmex-kx21", "sysmex/kx-21"),
        &["WBC", "HCT", "PLT"],
    ),
    Bench::new(
        VIDAS,
        CHECKED,
        ("mini-vidas", "biomerieux/vidas"),
        &["TSH", "BHCG"],
    ),
];
const ACCESS: usize = 1;
pub(super) const AU: &str = "au-1";
const VIDAS: &str = "vidas-1";

/// `lab.toml` with these analyzers and this line; `mapped` says what the site maps for a persona and a
/// profile.
pub(super) fn lab(
    benches: &[usize],
    conveyor: Option<&Conveyor>,
    mapped: impl Fn(&Persona, &str) -> String,
) -> String {
    let instruments = benches.iter().filter_map(|index| BENCHES.get(*index));
    let instruments = instruments.enumerate().map(|(number, bench)| {
        let Bench {
            line,
            profile,
            more,
            ..
        } = bench;
        let scheme = match bench.carrier {
            Carrier::Mllp => "mllp",
            Carrier::Astm { .. } | Carrier::Own { .. } => "tcp",
        };
        let persona = Persona::named(bench.persona).expect("every bench has its persona");
        let mapped = mapped(persona, profile);
        format!(
            "[[instrument]]\nid = \"{line}\"\nprofile = \"{profile}\"\n\
             port = \"{scheme}-listen://127.0.0.1:{}\"\n{more}{mapped}\n",
            5_001 + number
        )
    });
    let host = "[[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:5000\"\n\
                results = \"mllp://127.0.0.1:6000\"\nconnections = 2\nretry_first_s = 1\n\
                retry_longest_s = 4\nreply_timeout_s = 10\n";
    format!(
        "[store]\nurl = \"sqlite:labwire.db\"\n{host}{}{}",
        instruments.collect::<String>(),
        conveyor.map(Conveyor::lab).unwrap_or_default()
    )
}

/// What carries a line; those of the HIS are MLLP.
pub(super) fn carrier(line: &str) -> Carrier {
    let bench = BENCHES.iter().find(|bench| bench.line == line);
    bench.map_or(Carrier::Mllp, |bench| bench.carrier)
}

/// What is known of everything outside of the bridge.
#[derive(Debug)]
pub(super) struct World {
    scribe: Arc<Scribe>,
    state: Mutex<State>,
    pub(super) orders: Orders,
    /// The line that brings tubes to the analyzers, where there is one.
    pub(super) conveyor: Option<Conveyor>,
}

#[derive(Debug)]
pub(super) struct State {
    chance: Chance,
    writer: Writer,
    /// By the place of their bench.
    operators: BTreeMap<usize, Operator>,
    pub(super) tubes: Vec<Tube>,
    patients: BTreeMap<String, Patient>,
    /// Numbers that disappeared, and into which.
    merges: BTreeMap<String, String>,
    /// What was ordered: control id, barcode, placer numbers.
    pub(super) placed: Vec<(String, String, Vec<String>)>,
    /// Tubes that are measured once their order is taken, by its control id.
    not_yet: Vec<(String, usize)>,
}

/// A tube.
#[derive(Clone, Debug)]
pub(super) struct Tube {
    pub(super) barcode: String,
    pub(super) patient: String,
    pub(super) items: Vec<(String, &'static str)>,
    pub(super) cancelled: BTreeSet<String>,
    bench: usize,
}

impl World {
    pub(super) fn new(scribe: Arc<Scribe>, seed: u64, conveyor: Option<Conveyor>) -> Self {
        Self {
            scribe,
            conveyor,
            state: Mutex::new(State {
                chance: Chance::fork(seed, "hospital"),
                writer: Writer::new(Version::V251, "HIS"),
                operators: BTreeMap::new(),
                tubes: Vec::new(),
                patients: BTreeMap::new(),
                merges: BTreeMap::new(),
                placed: Vec::new(),
                not_yet: Vec::new(),
            }),
            orders: Orders::default(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an analyzer at its place.
    pub(super) fn plug(&self, bench: usize, seed: u64, clock: Clock) -> Option<Plugged> {
        let persona = Persona::named(BENCHES.get(bench)?.persona)?;
        let plugged = plug(Setup {
            persona,
            seed,
            rates: Rates {
                rerun: 100,
                ..Rates::usual()
            },
            measuring: Duration::from_secs(2),
            stops_when_idle: false,
            clock,
        });
        let operator = plugged.operator.clone();
        if let Some(conveyor) = &self.conveyor {
            conveyor.attach(bench, &operator);
        }
        self.state().operators.insert(bench, operator);
        Some(plugged)
    }

    /// Something happens in the hospital.
    pub(super) fn happen(&self) {
        let mut state = self.state();
        if let Some(conveyor) = &self.conveyor {
            let barcodes: Vec<_> = state.tubes.iter().map(|one| one.barcode.clone()).collect();
            conveyor.happen(&barcodes);
        }
        match state.chance.below(100) {
            0..50 => self.new_tube(&mut state),
            50..60 => self.again(&mut state),
            60..72 => self.cancel(&mut state),
            72..84 => self.update(&mut state),
            _ => self.merge(&mut state),
        }
    }

    fn new_tube(&self, state: &mut State) {
        let benches: Vec<usize> = state.operators.keys().copied().collect();
        let Some(bench) = state.chance.pick(&benches).copied() else {
            return;
        };
        let barcode = format!("26{:08}", state.tubes.len() + 1);
        let shared = state
            .chance
            .happens(200)
            .then(|| state.some_tube())
            .flatten();
        let patient = match shared {
            Some(index) => state.owner(&state.tubes[index].patient),
            None => {
                let new = patient(&barcode);
                let id = new.id.clone();
                self.scribe.hide(&new.id);
                self.scribe.hide(&new.family);
                state.patients.insert(id.clone(), new);
                id
            }
        };
        self.scribe.hide(&barcode);
        let services = BENCHES.get(bench).map_or(&[][..], |bench| bench.services);
        let items = services
            .iter()
            .map(|service| (format!("P{barcode}-{service}"), *service));
        state.tubes.push(Tube {
            barcode: barcode.clone(),
            patient,
            items: items.collect(),
            cancelled: BTreeSet::new(),
            bench,
        });
        let index = state.tubes.len() - 1;
        let is_early = bench != ACCESS && state.chance.happens(250);
        if is_early {
            self.bring(state, index);
        }
        let items = state.tubes[index].items.clone();
        let written = state.write(Control::New, index, &items);
        let control = written.control_id.clone();
        self.scribe
            .note("order", format_args!("{control} for tube {index}"));
        let placers = items.into_iter().map(|(placer, _)| placer).collect();
        state.placed.push((control.clone(), barcode, placers));
        self.orders.push(written);
        if bench == ACCESS {
            state.not_yet.push((control, index));
        } else if !is_early {
            self.bring(state, index);
        }
    }

    /// A tube comes to its analyzer, by the line or by hand.
    fn bring(&self, state: &State, index: usize) {
        let Some(tube) = state.tubes.get(index) else {
            return;
        };
        let mut placed = state.placed.iter();
        let order = placed.find(|(_, barcode, _)| *barcode == tube.barcode);
        let is_known = order.is_some_and(|(control, ..)| self.orders.answer(control).is_some());
        let conveyor = self.conveyor.as_ref();
        if !conveyor.is_some_and(|line| line.takes(&tube.barcode, tube.bench, is_known)) {
            state.load(index);
        }
    }

    /// A tube is measured once more.
    fn again(&self, state: &mut State) {
        if let Some(index) = state.some_tube() {
            self.scribe.note("again", index);
            self.bring(state, index);
        }
    }

    fn cancel(&self, state: &mut State) {
        let Some(index) = state.some_tube() else {
            return;
        };
        let items = state.tubes[index].items.clone();
        let Some(item) = state.chance.pick(&items).cloned() else {
            return;
        };
        let written = state.write(Control::Cancel, index, std::slice::from_ref(&item));
        self.scribe.note("cancel", &written.control_id);
        state.tubes[index].cancelled.insert(item.0);
        self.orders.push(written);
    }

    fn update(&self, state: &mut State) {
        let Some(index) = state.some_tube() else {
            return;
        };
        let owner = state.owner(&state.tubes[index].patient);
        let family = format!("LÊ{}X", state.placed.len());
        self.scribe.hide(&family);
        if let Some(known) = state.patients.get_mut(&owner) {
            known.family = family;
            let written = state.writer.update(known, TIME);
            self.scribe.note("update", &written.control_id);
            self.orders.push(written);
        }
    }

    fn merge(&self, state: &mut State) {
        let (Some(one), Some(other)) = (state.some_tube(), state.some_tube()) else {
            return;
        };
        let gone = state.owner(&state.tubes[one].patient);
        let survivor = state.owner(&state.tubes[other].patient);
        if gone == survivor {
            return;
        }
        if let Some(patient) = state.patients.get(&survivor) {
            let written = state.writer.merge(patient, &gone, TIME);
            self.scribe.note("merge", &written.control_id);
            state.merges.insert(gone, survivor);
            self.orders.push(written);
        }
    }

    /// Measures what waited for its order.
    pub(super) fn look(&self) {
        let mut state = self.state();
        let waiting = std::mem::take(&mut state.not_yet);
        for (control, index) in waiting {
            if self.orders.answer(&control).is_some() {
                self.bring(&state, index);
            } else {
                state.not_yet.push((control, index));
            }
        }
    }

    /// Nothing breaks any more.
    pub(super) fn calms_down(&self) {
        if let Some(conveyor) = &self.conveyor {
            conveyor.calms_down();
        }
    }

    /// Whether nobody has anything left to say to the bridge.
    pub(super) fn is_idle(&self) -> bool {
        let state = self.state();
        self.orders.waiting() == 0
            && state.not_yet.is_empty()
            && self.conveyor.as_ref().is_none_or(Conveyor::is_idle)
            && state.operators.values().all(Operator::is_idle)
    }

    /// Where everybody is.
    pub(super) fn shown(&self, hand: &ByHand) -> String {
        let state = self.state();
        let idle = state
            .operators
            .iter()
            .map(|(bench, operator)| (*bench, operator.is_idle()));
        let idle: Vec<_> = idle.collect();
        format!(
            "{} messages of the HIS wait, benches idle: {idle:?}, {}",
            self.orders.waiting(),
            self.conveyor
                .as_ref()
                .map(|line| line.shown(hand))
                .unwrap_or_default()
        )
    }

    /// Results of patients that a device has the bridge's word for, or that began to travel.
    pub(super) fn results(&self, part: fn(&Log) -> &Vec<Sent>) -> Vec<(&'static str, Sent)> {
        let state = self.state();
        let mut all = Vec::new();
        for (bench, operator) in &state.operators {
            let line = BENCHES.get(*bench).map_or("", |bench| bench.line);
            let sent = operator.with_log(|log| part(log).clone());
            let of_patients = sent.into_iter().filter(|one| one.nature != Nature::Control);
            all.extend(of_patients.map(|one| (line, one)));
        }
        all
    }

    /// Tubes of which something was cancelled.
    pub(super) fn cancelled(&self) -> BTreeSet<String> {
        let state = self.state();
        let tubes = state.tubes.iter();
        let cancelled = tubes.filter(|tube| !tube.cancelled.is_empty());
        cancelled.map(|tube| tube.barcode.clone()).collect()
    }

    /// Whether a result at the HIS was measured so, ordered so, and of this patient.
    pub(super) fn judge(&self, one: &Observation) -> Result<(), &'static str> {
        let sent = self.results(|log| &log.sent);
        let is_measured = sent.iter().any(|(line, sent)| {
            let text = in_points(line, &sent.text);
            (&sent.specimen, &sent.test, &text) == (&one.barcode, &one.code, &one.text)
        });
        if !is_measured {
            return Err("nobody measured it");
        }
        let state = self.state();
        let tube = state.tubes.iter().find(|tube| tube.barcode == one.barcode);
        let tube = tube.ok_or("there is no such tube")?;
        let mut items = tube.items.iter();
        if !items.any(|(placer, service)| *placer == one.placer && *service == one.code) {
            return Err("nobody ordered it so");
        }
        let mut owner = &tube.patient;
        while *owner != one.patient {
            owner = state.merges.get(owner).ok_or("it is another's")?;
        }
        Ok(())
    }
}

impl State {
    fn some_tube(&mut self) -> Option<usize> {
        let count = self.tubes.len();
        (count > 0).then(|| self.chance.index(count))
    }

    /// The number under which the HIS knows a patient now.
    fn owner(&self, id: &str) -> String {
        let mut id = id;
        while let Some(survivor) = self.merges.get(id) {
            id = survivor;
        }
        id.to_owned()
    }

    fn load(&self, index: usize) {
        let Some(tube) = self.tubes.get(index) else {
            return;
        };
        if let Some(operator) = self.operators.get(&tube.bench) {
            operator.load(SimTube::patient(tube.barcode.clone()));
        }
    }

    fn write(
        &mut self,
        control: Control,
        index: usize,
        items: &[(String, &'static str)],
    ) -> labwire_sims::his::Written {
        let tube = &self.tubes[index];
        let owner = self.owner(&tube.patient);
        let patient = self.patients.get(&owner).cloned();
        let request = Request {
            control,
            patient: patient.unwrap_or_else(|| self::patient(&owner)),
            group: format!("G{}", tube.barcode),
            barcode: tube.barcode.clone(),
            items: items.iter().map(item).collect(),
            is_stat: self.chance.happens(200),
            ward: "KKB".to_owned(),
            visit: format!("V{}", tube.barcode),
            collected: String::new(),
            tube_type: "SER^Serum^HL70487".to_owned(),
        };
        self.writer.request(&request, TIME)
    }
}

/// A number as HL7 has it (2.A.47): the mini VIDAS writes decimal commas.
pub(super) fn in_points(line: &str, text: &str) -> String {
    match line {
        VIDAS => text.replace(',', "."),
        _ => text.to_owned(),
    }
}

/// When the HIS says that it wrote.
const TIME: &str = "20260310090000+0700";

fn item((placer, service): &(String, &'static str)) -> Item {
    Item {
        placer: placer.clone(),
        service: (*service).to_owned(),
        name: (*service).to_owned(),
    }
}

fn patient(barcode: &str) -> Patient {
    Patient {
        id: format!("PN{barcode}"),
        national_id: String::new(),
        insurance: String::new(),
        family: format!("TRẦN{barcode}"),
        given: "BÌNH".to_owned(),
        middle: "THỊ".to_owned(),
        birth: "19911105".to_owned(),
        sex: "F".to_owned(),
    }
}
