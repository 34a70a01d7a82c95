//! An automation line in some of the simulations: it brings tubes to the analyzers, jams, errs, begins
//! again, and at the end what the bridge has of it is compared with what it did.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use labwire_sims::{
    analyzer::Operator,
    chance::Chance,
    clock::Clock,
    line::{Arrival, Attendant, Fault, POWER_EXPRESS, Setup, TrackLine},
};

use crate::{
    model::{HoldReason, ResultState},
    settle::{self, StoredResult},
    store::{Db, StoreError, by_hand::ByHand},
    track::{TubeId, state::Place},
    tubes::rows::{self, TrackRow},
};

use super::{
    super::track::LineBooks,
    hospital::{BENCHES, Bench},
    scribe::Scribe,
};

/// Its id in `lab.toml`.
pub(super) const LINE: &str = "line-1";

/// Where analyzers stand, in the order of their benches; a gate that errs brings tubes to one of the first
/// two, where nobody may stand.
const PLACES: [&str; 3] = ["AU1", "AU2", "DXI1"];
const INLETS: [&str; 3] = ["IN1", "STAT1", "TEMPUS1"];
const STORAGE: &str = "STORE1";

/// The words of the line's own events in rows of the store.
const WORDS: [(&str, &str); 7] = [
    ("identified", "seen"),
    ("in position", "seen"),
    ("in process", "started"),
    ("completed", "finished"),
    ("left", "left"),
    ("kept", "kept"),
    ("missing", "lost"),
];

/// See the module.
#[derive(Debug)]
pub(super) struct Conveyor {
    scribe: Arc<Scribe>,
    attendant: Attendant,
    /// The modules that measure, by the number of their bench.
    places: BTreeMap<usize, (&'static str, &'static Bench)>,
    /// Whether it is told where each tube goes, or goes by its own plan.
    is_told: bool,
    /// Whether people feed its analyzers, too.
    is_fed_by_hand: bool,
    /// Whether its modules work at their rates, and what cannot be read comes again.
    has_pace: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chance: Chance,
    /// What has to be mended or filled.
    broken: BTreeSet<String>,
    empty: BTreeSet<(String, String)>,
    /// How often each tube was put on.
    arrived: BTreeMap<String, usize>,
    /// Tubes that have a twin: a person keeps them.
    twins: BTreeSet<String>,
    /// Tubes whose order the HIS had an answer for when they came.
    known: BTreeSet<String>,
}

impl Conveyor {
    /// A line in a third of all seeds, with these benches, and its far end.
    pub(super) fn drawn(
        seed: u64,
        benches: &[usize],
        scribe: &Arc<Scribe>,
        clock: Clock,
    ) -> Option<(Self, TrackLine)> {
        let mut chance = Chance::fork(seed, "conveyor");
        if chance.below(3) > 0 {
            return None;
        }
        let has_pace = chance.happens(400);
        let line = TrackLine::new(Setup {
            layout: POWER_EXPRESS,
            transit: Duration::from_secs(1),
            dwell: Duration::from_secs(2),
            pace: has_pace.then_some(60.0),
            stops_when_idle: false,
            clock,
        });
        let places = benches.iter().zip(PLACES);
        let places =
            places.filter_map(|(index, place)| Some((*index, (place, BENCHES.get(*index)?))));
        let conveyor = Self {
            scribe: Arc::clone(scribe),
            attendant: line.attendant(),
            places: places.collect(),
            is_told: chance.happens(700),
            is_fed_by_hand: chance.happens(300),
            has_pace,
            state: Mutex::new(State {
                chance,
                broken: BTreeSet::new(),
                empty: BTreeSet::new(),
                arrived: BTreeMap::new(),
                twins: BTreeSet::new(),
                known: BTreeSet::new(),
            }),
        };
        Some((conveyor, line))
    }

    /// An analyzer that stands at it.
    pub(super) fn attach(&self, bench: usize, operator: &Operator) {
        if let Some((place, _)) = self.places.get(&bench) {
            self.attendant.attach(place, operator.clone());
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its part of `lab.toml`.
    pub(super) fn lab(&self) -> String {
        let port = "mllp-listen://127.0.0.1:4999";
        format!("[[track]]\nid = \"{LINE}\"\nport = \"{port}\"\nfile = \"line.toml\"\n")
    }

    /// The file of its modules and ways.
    pub(super) fn file(&self) -> String {
        let commands = if self.is_told { "transport" } else { "none" };
        let mut text = format!(
            "[line]\nname = \"Simulated\"\nby_hand_s = 3600\ncommands = \"{commands}\"\n\
             [notify]\nOUT0001 = \"full\"\nJAM0001 = \"jam\"\n\
             [[lane]]\nid = \"L1\"\nclass = \"stat\"\n[[lane]]\nid = \"L2\"\n\
             [[lane]]\nid = \"L3\"\nclass = \"bypass\"\n\
             [[lane]]\nid = \"L4\"\nclass = \"return\"\ndirection = \"backward\"\n"
        );
        for (id, kind) in [
            ("IN1", "inlet"),
            ("STAT1", "inlet"),
            ("TEMPUS1", "tempus"),
            ("CENT1", "centrifuge"),
            ("CENT2", "centrifuge"),
            ("DECAP1", "decapper"),
            ("RECAP1", "recapper"),
            (STORAGE, "storage"),
        ] {
            text.push_str(&format!("[[module]]\nid = \"{id}\"\nkind = \"{kind}\"\n"));
        }
        text.push_str(
            "[[module]]\nid = \"ERR1\"\nkind = \"outlet\"\n\
             takes = [\"unread\", \"tube-in-two-places\", \"not-on-line\", \"no-analyzer\", \
             \"no-module\", \"no-storage\", \"no-order\"]\n",
        );
        for place in PLACES {
            let mut benches = self.places.values();
            let bench = benches.find(|(own, _)| *own == place);
            let services = bench.map_or(&["HBA1C"][..], |(_, bench)| bench.services);
            text.push_str(&format!(
                "[[module]]\nid = \"{place}\"\nkind = \"analyzer\"\ntests = {services:?}\n\
                 wants = [\"spun\", \"open\"]\nfed_by_hand = {}\n",
                self.is_fed_by_hand
            ));
            if let Some((_, bench)) = bench {
                text.push_str(&format!("instrument = \"{}\"\n", bench.line));
            }
        }
        let places = PLACES.to_vec();
        let inlets = INLETS.to_vec();
        let prepares = vec!["CENT1", "CENT2", "DECAP1", "RECAP1"];
        for (from, to) in [
            (inlets.clone(), vec!["CENT1", "CENT2"]),
            (vec!["CENT1", "CENT2"], vec!["DECAP1", STORAGE]),
            (vec!["DECAP1"], places.clone()),
            (places.clone(), vec!["RECAP1"]),
            (vec!["RECAP1"], vec![STORAGE]),
            (
                [inlets, prepares.clone(), places.clone()].concat(),
                vec!["ERR1"],
            ),
            (places, prepares),
        ] {
            let lanes = match to.contains(&"DECAP1") && to.contains(&"RECAP1") {
                true => "\"L4\"",
                false => "\"L1\", \"L2\"",
            };
            text.push_str(&format!(
                "[[edge]]\nfrom = {from:?}\nto = {to:?}\nlanes = [{lanes}]\n\
                 transit_s = 1\ntransit_min_s = 0\n"
            ));
        }
        text
    }

    /// A tube is put on the line, most of the time; with `false` somebody has to carry it.
    pub(super) fn takes(&self, barcode: &str, bench: usize, is_known: bool) -> bool {
        let mut state = self.state();
        let Some((place, _)) = self.places.get(&bench) else {
            return false;
        };
        let arrivals = state.arrived.get(barcode).copied().unwrap_or(0);
        let may_come = arrivals == 0 || self.stands_at_its_end(barcode, arrivals);
        if state.chance.happens(150) || !may_come || state.twins.contains(barcode) {
            return false;
        }
        state.arrived.insert(barcode.to_owned(), arrivals + 1);
        if is_known {
            state.known.insert(barcode.to_owned());
        }
        let course = match self.is_told {
            true => Vec::new(),
            false => ["CENT1", "DECAP1", place, "RECAP1", STORAGE]
                .map(str::to_owned)
                .to_vec(),
        };
        let inlet = state.chance.pick(&INLETS).copied().unwrap_or("IN1");
        self.scribe.note("on the line", inlet);
        self.attendant.arrive(Arrival {
            barcode: barcode.to_owned(),
            inlet: inlet.to_owned(),
            course,
        });
        true
    }

    /// Whether a tube that was put on so often is read, and stands where its way ends. What comes back in the
    /// second in which it was missed is for a line, whose clock has seconds, the first reading told again.
    fn stands_at_its_end(&self, barcode: &str, arrivals: usize) -> bool {
        self.attendant.with_log(|log| {
            let told = log.told.iter().filter(|(own, _, _)| own == barcode);
            let words: Vec<&str> = told.map(|(_, _, word)| word.as_str()).collect();
            let read = words.iter().filter(|word| **word == "identified").count();
            read == arrivals && words.last() == Some(&"kept")
        })
    }

    /// A second tube with this barcode is seen, once the first stands where its way ends: of one under way that
    /// waits for a command nobody knows any more where it is, and it has to wait for a person.
    fn twin(&self, state: &mut State, barcode: &str, module: &str) {
        let arrivals = state.arrived.get(barcode).copied().unwrap_or(0);
        if arrivals > 0 && self.stands_at_its_end(barcode, arrivals) {
            state.twins.insert(barcode.to_owned());
            self.scribe.note("twin", module);
            self.attendant.sight(barcode, module);
        }
    }

    /// Something happens to the line, or is mended; one of these tubes may be lost, or have a twin.
    pub(super) fn happen(&self, barcodes: &[String]) {
        let mut state = self.state();
        let state = &mut *state;
        if let Some(module) = state.broken.pop_first() {
            if state.chance.happens(600) {
                self.scribe.note("mended", &module);
                return self.attendant.mend(&module);
            }
            state.broken.insert(module);
        }
        let modules: Vec<&str> = ["CENT1", "DECAP1", "RECAP1"]
            .into_iter()
            .chain(self.places.values().map(|(place, _)| *place))
            .collect();
        let module = state.chance.pick(&modules).copied().unwrap_or("CENT1");
        let barcode = state.chance.pick(barcodes).cloned();
        let fault = match (state.chance.below(16), barcode) {
            (0, _) => Fault::Jam(module.to_owned()),
            (1, _) => Fault::Full("ERR1".to_owned()),
            (2, _) => Fault::Off(module.to_owned()),
            (3, _) if self.has_pace => Fault::Unread,
            (4, _) => Fault::Gate,
            (5, Some(barcode)) => Fault::Lost(barcode),
            (6, _) => {
                let places: Vec<_> = self.places.values().copied().collect();
                let Some((module, bench)) = state.chance.pick(&places) else {
                    return;
                };
                let test = bench.services.first().copied().unwrap_or("");
                let (module, test) = ((*module).to_owned(), test.to_owned());
                state.empty.insert((module.clone(), test.clone()));
                Fault::NoReagent { module, test }
            }
            (7, _) => Fault::Restart,
            (8, Some(barcode)) => return self.twin(state, &barcode, module),
            _ => return,
        };
        if let Fault::Jam(module) | Fault::Full(module) | Fault::Off(module) = &fault {
            state.broken.insert(module.clone());
        }
        self.scribe.note("line", fault.name());
        self.attendant.break_down(fault);
    }

    /// Everything is mended and filled.
    pub(super) fn calms_down(&self) {
        let mut state = self.state();
        for module in std::mem::take(&mut state.broken) {
            self.attendant.mend(&module);
        }
        for (module, test) in std::mem::take(&mut state.empty) {
            self.attendant.fill(&module, &test);
        }
    }

    /// Whether every tube stands where its way ends, and all is said.
    pub(super) fn is_idle(&self) -> bool {
        self.attendant.is_at_rest()
    }

    /// Where tubes are that did not come to their end, what the store has of the first that waits, and
    /// the last commands.
    pub(super) fn shown(&self, hand: &ByHand) -> String {
        let told = self.told();
        let waits = told.iter().find(|(_, told)| {
            let last = told.last().map(|(_, word)| *word);
            !matches!(last, Some("kept" | "lost"))
        });
        let stored = waits.map(|(barcode, _)| {
            let id = barcode.clone();
            let rows = hand
                .look(move |db| rows::of_barcode(db, &id))
                .unwrap_or_default();
            let shown = rows.iter().map(|row| {
                let TrackRow {
                    module,
                    kind,
                    detail,
                    ..
                } = row;
                format!(
                    "{} {module} {kind} {} {}",
                    row.received_at, detail.to, detail.why
                )
            });
            shown.collect::<Vec<_>>()
        });
        let last = told.iter().map(|(barcode, told)| (barcode, told.last()));
        let under_way: Vec<_> = last
            .filter(|(_, last)| last.is_none_or(|last| last.1 != "kept"))
            .collect();
        let log = self.attendant.log();
        let commands: Vec<_> = log.commands.iter().rev().take(3).collect();
        format!("on the line: {under_way:?}, told last: {commands:?}, stored: {stored:?}")
    }

    /// What the line told, by tube, in the words of the store; the oldest first.
    fn told(&self) -> BTreeMap<String, Vec<(String, &'static str)>> {
        let mut told: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (barcode, module, word) in self.attendant.log().told {
            let known = WORDS.iter().find(|(own, _)| *own == word);
            let word = known.map_or("", |(_, word)| *word);
            told.entry(barcode).or_default().push((module, word));
        }
        told.remove("");
        told
    }

    /// Compares what the bridge has with what the line did. Of the `cancelled` tubes something is not
    /// to be measured any more.
    pub(super) fn check(
        &self,
        hand: &ByHand,
        books: Option<&LineBooks>,
        cancelled: &BTreeSet<String>,
    ) {
        for (barcode, told) in self.told() {
            let id = barcode.clone();
            let look = move |db: &mut dyn Db| {
                Ok((rows::of_barcode(db, &id)?, settle::of_barcode(db, &id)?))
            };
            let (stored, results) = match hand.look(look) {
                Ok(found) => found,
                Err(error) => return self.wrong("the store can be looked into", error),
            };
            self.compare(&barcode, &told, &stored);
            // Nobody decides anew about results of a tube without orders.
            if !cancelled.contains(&barcode) {
                self.compare_results(&barcode, &stored, &results);
            }
            if results.is_empty() && !cancelled.contains(&barcode) {
                self.compare_ends(&barcode, &told, &stored);
            }
            if let Some(books) = books {
                self.compare_books(&barcode, &told, books);
            }
        }
    }

    fn wrong(&self, rule: &'static str, what: impl std::fmt::Display) {
        self.scribe.found(rule, what);
    }

    /// Nothing that it told is missing or out of its order, and nothing was invented. What it said
    /// again stands there again.
    fn compare(&self, barcode: &str, told: &[(String, &'static str)], stored: &[TrackRow]) {
        let is_own = |row: &&TrackRow| WORDS.iter().any(|(_, word)| *word == row.kind);
        let has = |row: &TrackRow, (module, word): &(String, &str)| {
            (row.module.as_str(), row.kind.as_str()) == (module.as_str(), *word)
        };
        let mut rows = stored.iter().filter(is_own);
        let missing = told.iter().find(|one| !rows.any(|row| has(row, one)));
        if let Some(missing) = missing {
            let rule = "everything a line was acknowledged is in its books, in order";
            self.wrong(rule, format_args!("{barcode}: {missing:?} of {told:?}"));
        }
        let mut rows = stored.iter().filter(is_own);
        let invented = rows.find(|row| !told.iter().any(|one| has(row, one)));
        if let Some(row) = invented {
            let rule = "nothing is in the books that no line told";
            self.wrong(rule, format_args!("{barcode}: {} {}", row.module, row.kind));
        }
    }

    /// A tube whose order was known when it came goes to no storage before it was measured.
    fn compare_ends(&self, barcode: &str, told: &[(String, &'static str)], stored: &[TrackRow]) {
        let is_known = self.is_told && self.state().known.contains(barcode);
        let is_stored = told.last().is_some_and(|last| last.0 == STORAGE);
        let was_there = |(module, word): &(String, &str)| {
            *word == "started" && self.places.values().any(|(place, _)| place == module)
        };
        if is_known && is_stored && !told.iter().any(was_there) {
            let advice: Vec<_> = stored
                .iter()
                .filter(|row| row.kind == rows::kinds::ROUTED)
                .map(|row| (&row.detail.to, &row.detail.why))
                .collect();
            let rule = "no tube is stored before it was measured";
            self.wrong(rule, format_args!("{barcode}: {advice:?}"));
        }
    }

    /// A result waits for nobody because its tube was not at the analyzer, when the line told that it was;
    /// however late it told.
    fn compare_results(&self, barcode: &str, stored: &[TrackRow], results: &[StoredResult]) {
        let reason = HoldReason::TubeNotAtAnalyzer;
        let is_held = |one: &&StoredResult| {
            let is_open = one.state == ResultState::Held;
            is_open && one.holds.iter().any(|hold| hold.reason == reason)
        };
        for one in results.iter().filter(is_held) {
            let mut places = self.places.values();
            let place = places.find(|(_, bench)| bench.line == one.line);
            let was_there = |row: &&TrackRow| {
                let is_there = place.is_some_and(|(place, _)| row.module == *place);
                is_there && row.kind == "started" && row.at <= one.received_at
            };
            if let Some(row) = stored.iter().find(was_there) {
                let late = (row.received_at - one.received_at) / 1_000_000;
                let rule = "a result is not held for what the line told";
                self.wrong(
                    rule,
                    format_args!("{barcode} {}, told {late} s later", one.line),
                );
            }
        }
    }

    /// The books of the bridge have a tube where it stands.
    fn compare_books(&self, barcode: &str, told: &[(String, &'static str)], books: &LineBooks) {
        let Some((module, "kept")) = told.last().map(|(module, word)| (module, *word)) else {
            return;
        };
        let place = books.look(|track| {
            let tube = track.tube(&TubeId::read(barcode)?)?;
            let end = track.line().module(tube.place.module()).id.clone();
            let is_kept = matches!(tube.place, Place::Kept { .. });
            Some(if is_kept {
                end
            } else {
                format!("{:?}", tube.place)
            })
        });
        let place = place.flatten();
        if place.as_ref() != Some(module) {
            let rule = "the books have a tube where it stands";
            self.wrong(
                rule,
                format_args!("{barcode} is kept at {module}, not {place:?}"),
            );
        }
    }
}

/// The rule that a command to the line breaks: it has to stand in the books, and for a tube that stands where
/// it stood, is not refused and goes the same way there is no other.
pub(super) fn broken_by(
    hand: &ByHand,
    (barcode, number, to): (&str, &str, &str),
) -> Result<Option<&'static str>, StoreError> {
    let id = barcode.to_owned();
    let stored = hand.look(move |db| rows::of_barcode(db, &id))?;
    let routed = |row: &&TrackRow| row.kind == rows::kinds::ROUTED;
    let mut commands = stored.iter().filter(routed);
    if !commands.any(|row| row.detail.command == number && row.detail.to == to) {
        return Ok(Some("a command stands in the books before it leaves"));
    }
    let mut standing: Option<&TrackRow> = None;
    for row in &stored {
        let is_of = |before: &TrackRow| row.detail.command == before.detail.command;
        match row.kind.as_str() {
            rows::kinds::ROUTED => {
                let is_same = |before: &TrackRow| {
                    (&before.module, &before.detail.to) == (&row.module, &row.detail.to)
                };
                if standing.is_some_and(|before| is_same(before) && !is_of(before)) {
                    return Ok(Some("no command under two numbers"));
                }
                standing = Some(row);
            }
            rows::kinds::ANSWERED if row.detail.why != "OK" => {
                standing = standing.filter(|before| !is_of(before));
            }
            "left" | "kept" | "lost" => standing = None,
            "seen" | "started" | "finished" => {
                standing = standing.filter(|before| before.module == row.module);
            }
            _ => {}
        }
    }
    Ok(None)
}
