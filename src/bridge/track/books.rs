//! The books of a line with what the bridge adds to them: rows, receipts, advice.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use labwire_protocols::hl7::tables::CommandResponse;

use crate::{
    settle::{self, SettleContext},
    store::{Db, StoreError, journal},
    track::{
        TubeId,
        adapter::Read,
        forecast::Watch,
        model::{Commands, ModuleNo, Reason},
        route::{Advice, Analyzer, Analyzers, Chosen, Go, Qc, Situation, Verdict, advise, reject},
        state::{Event, Place, Track, What},
    },
    tubes::{
        control,
        need::{self, Wanted},
        receipt,
        rows::{self, Detail, TrackRow, kinds, time},
        site::TrackSite,
    },
};

use super::{super::site::Site, command::Answered};

/// How old controls may be that still say something, microseconds.
const CONTROL_AGE_MAX: i64 = 24 * 3_600 * 1_000_000;
/// How long what was read of controls is good, microseconds.
const CONTROLS_GOOD: i64 = 60 * 1_000_000;
/// Closed candidates that a reason names.
const CLOSED_SHOWN: usize = 6;

/// What holds for one transaction of a keeper.
pub(super) struct Context<'a> {
    pub(super) site: &'a Site,
    pub(super) track: &'a TrackSite,
    /// UTC microseconds.
    pub(super) now: i64,
    /// Instruments from which nothing was heard of late.
    pub(super) offline: &'a BTreeSet<String>,
    /// A number for a command, used once.
    pub(super) number: &'a dyn Fn() -> String,
}

impl Context<'_> {
    fn since(&self) -> i64 {
        self.now - self.site.laboratory.specimen_age_max
    }
}

/// A message of the line, as it was read.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) message: i64,
    pub(super) received_at: i64,
    /// `None` where reading it panicked.
    pub(super) read: Option<Read>,
    pub(super) answers: Vec<Answered>,
}

/// Where the line is to be told to take a tube.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) number: String,
    pub(super) barcode: String,
    pub(super) to: String,
    pub(super) lane: String,
}

/// What came of a transaction.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) orders: Vec<Order>,
    /// Results that may go on.
    pub(super) released: u32,
}

/// An advice that stands.
#[derive(Debug)]
struct Given {
    from: ModuleNo,
    to: ModuleNo,
    number: String,
    /// How often the line did not take such a command before.
    lost: u32,
    /// Whether the line may not have been told, or may have forgotten. It is told again under the same number,
    /// for it may have been told all the same, and the tube may be on its way.
    is_unsure: bool,
}

/// Since when a tube waits, and when it is asked about again (UTC microseconds).
#[derive(Clone, Copy, Debug)]
struct Waits {
    since: i64,
    ask_at: i64,
    lost: u32,
}

/// The wait before a tube is asked about again; it doubles with every command that the line did not
/// take, so that a tube that cannot go costs no more than some rows an hour.
const ASK_AGAIN: i64 = 5 * 1_000_000;
/// It doubles so often at most: five minutes.
const ASK_DOUBLED_MAX: u32 = 6;

/// The wait of a tube whose command was lost or refused, for the first time or once more.
fn waits(lost: u32, now: i64) -> Waits {
    Waits {
        since: now,
        ask_at: now + (ASK_AGAIN << lost.min(ASK_DOUBLED_MAX)),
        lost: lost.saturating_add(1),
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) track: Track,
    given: BTreeMap<TubeId, Given>,
    /// Tubes that wait for another advice.
    waiting: BTreeMap<TubeId, Waits>,
    /// What controls say by instrument, and when that was read.
    controls: BTreeMap<String, (i64, BTreeMap<String, Qc>)>,
    pub(super) watch: Watch,
}

impl Books {
    /// Empty ones.
    pub(super) fn new(site: &TrackSite) -> Self {
        Self {
            track: Track::new(Arc::clone(&site.line)),
            given: BTreeMap::new(),
            waiting: BTreeMap::new(),
            controls: BTreeMap::new(),
            watch: Watch::new(&site.line),
        }
    }

    /// Builds them again from rows, the oldest first. Returns the rows of findings that are missing:
    /// the books find again what they found before.
    pub(super) fn rebuilt(
        site: &TrackSite,
        stored: &[TrackRow],
        now: i64,
    ) -> (Self, Vec<TrackRow>) {
        let mut books = Self::new(site);
        let mut known = BTreeSet::new();
        let mut found = Vec::new();
        for row in stored {
            books.take_commands(row);
            rows::take(&mut books.track, row);
            found.extend(books.findings(site, row));
            if row.kind == kinds::TWO_PLACES {
                known.insert(row.barcode.clone());
            }
        }
        found.retain(|row: &TrackRow| {
            row.kind == kinds::TWO_PLACES && !known.contains(&row.barcode)
        });
        books.ask_all_again(now);
        (books, found)
    }

    /// What a row says of the commands that stand.
    fn take_commands(&mut self, row: &TrackRow) {
        let line = Arc::clone(self.track.line());
        let Some(id) = TubeId::read(&row.barcode) else {
            return;
        };
        let Detail { to, command, .. } = &row.detail;
        match row.kind.as_str() {
            kinds::ROUTED if !command.is_empty() => {
                let ways = (line.module_named(&row.module), line.module_named(to));
                if let (Some(from), Some(to)) = ways {
                    let given = Given {
                        from,
                        to,
                        number: command.clone(),
                        lost: 0,
                        is_unsure: true,
                    };
                    self.given.insert(id, given);
                }
            }
            kinds::ANSWERED if row.detail.why != CommandResponse::Ok.code() => {
                if self
                    .given
                    .get(&id)
                    .is_some_and(|given| given.number == *command)
                {
                    self.given.remove(&id);
                }
            }
            _ => {
                if let Some(Event::Tube { module, what, .. }) = row.event(&line) {
                    self.moves_on(&id, module, &what);
                }
            }
        }
    }

    /// Every tube that stands where an advice is due is asked about again: the line may not have been
    /// told, or may have forgotten.
    /// A line that takes no commands has not been told anything that it could forget.
    pub(super) fn ask_all_again(&mut self, now: i64) {
        let line = Arc::clone(self.track.line());
        let is_told = line.limits.commands == Commands::Transport;
        for given in self.given.values_mut() {
            given.is_unsure = is_told;
        }
        let due = self.track.tubes().filter_map(|(id, tube)| {
            let is_due = match &tube.place {
                Place::Done { module } => !line.module(*module).is_end(),
                Place::Waiting { module, .. } => line.module(*module).is_inlet(),
                Place::Working { .. }
                | Place::Between { .. }
                | Place::Kept { .. }
                | Place::Lost { .. } => false,
            };
            let waits = Waits {
                since: now,
                ask_at: now,
                lost: 0,
            };
            (is_due && (is_told || tube.advised.is_none())).then(|| (id.clone(), waits))
        });
        self.waiting.extend(due.collect::<Vec<_>>());
    }

    /// The number of the command that stands for a tube, and whether the line is told it again.
    #[cfg(test)]
    pub(super) fn command_of(&self, id: &TubeId) -> Option<(&str, bool)> {
        let given = self.given.get(id)?;
        Some((given.number.as_str(), given.is_unsure))
    }

    /// Whether a tube is to be asked about again now.
    pub(super) fn has_waiting(&self, now: i64) -> bool {
        self.waiting.values().any(|waits| waits.ask_at <= now)
    }

    /// Takes what a line told: rows, receipts, findings, advice. After an error the books are wrong
    /// and have to be built again.
    pub(super) fn hear(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
        told: &[Told],
    ) -> Result<Done, StoreError> {
        let mut done = Done::default();
        for one in told {
            let Some(read) = &one.read else {
                let held = journal::MessageState::Held;
                journal::mark(db, one.message, held, Some(FAULT))?;
                continue;
            };
            let stop = self.take(db, context, (one, read))?;
            for answer in &one.answers {
                self.on_answer(db, context, (one, answer))?;
            }
            let outcome = serde_json::json!({ "heard": summary(read, one.answers.len()) });
            journal::mark_parsed(db, &[(one.message, outcome.to_string())])?;
            for barcode in &stop.at_analyzers {
                done.released += resume(db, context, barcode)?;
            }
            for (id, from) in stop.decisions {
                let order = self.decide(db, context, (&id, from, one.message))?;
                done.orders.extend(order);
            }
        }
        Ok(done)
    }

    fn take(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
        (told, read): (&Told, &Read),
    ) -> Result<Stops, StoreError> {
        let line = &context.track.line;
        let mut stops = Stops::default();
        let mut all = Vec::new();
        let mut first = Vec::new();
        for (event, span) in read.events.iter().zip(&read.spans) {
            let row = TrackRow {
                message: told.message,
                span: span.clone(),
                received_at: told.received_at,
                ..TrackRow::of_event(line, &context.track.id, event)
            };
            if let Event::Tube {
                tube, module, what, ..
            } = event
            {
                // What the books forgot the store knows.
                if *what != What::Lost && self.track.tube(tube).is_none() {
                    first.push(row.clone());
                }
                self.moves_on(tube, *module, what);
                let kind = line.module(*module);
                let is_due = match what {
                    What::Seen { .. } => kind.is_inlet(),
                    What::Finished => !kind.is_end(),
                    What::Started | What::Left { .. } | What::Kept { .. } | What::Lost => false,
                };
                if is_due {
                    stops.decisions.push((tube.clone(), *module));
                }
                if !kind.instrument.is_empty() {
                    stops.at_analyzers.insert(tube.as_str().to_owned());
                }
            }
            self.track.on_event(time(told.received_at), event.clone());
            let found = self.findings(context.track, &row);
            all.push(row);
            all.extend(found);
        }
        rows::insert(db, &all)?;
        for reading in first {
            receipt::on_reading(db, &reading, context.since())?;
        }
        Ok(stops)
    }

    /// An advice ends when its tube is somewhere else.
    fn moves_on(&mut self, id: &TubeId, module: ModuleNo, what: &What) {
        let has_left = matches!(what, What::Left { .. } | What::Lost | What::Kept { .. });
        if self
            .given
            .get(id)
            .is_some_and(|given| has_left || given.from != module)
        {
            self.given.remove(id);
        }
        self.waiting.remove(id);
    }

    /// Rows of what the books found because of a row.
    fn findings(&mut self, site: &TrackSite, because: &TrackRow) -> Vec<TrackRow> {
        let mut found = Vec::new();
        while let Some(finding) = self.track.poll() {
            let now = time(because.received_at);
            found.push(TrackRow {
                message: because.message,
                received_at: because.received_at,
                ..TrackRow::of_finding(&site.line, &site.id, &finding, now)
            });
        }
        found
    }

    /// What the passing of time shows; rows to be written.
    pub(super) fn on_time(&mut self, site: &TrackSite, now: i64) -> Vec<TrackRow> {
        self.track.on_time(time(now));
        let track = &self.track;
        self.given.retain(|id, _| track.tube(id).is_some());
        self.waiting.retain(|id, _| track.tube(id).is_some());
        let clock = TrackRow {
            message: 0,
            span: 0..0,
            line: site.id.clone(),
            module: String::new(),
            barcode: String::new(),
            kind: String::new(),
            detail: Detail::default(),
            at: now,
            received_at: now,
        };
        self.findings(site, &clock)
    }

    /// Asks again about every tube that has waited long enough.
    pub(super) fn ask_waiting(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
    ) -> Result<Done, StoreError> {
        let mut done = Done::default();
        let due = self.waiting.iter();
        let due = due.filter(|(_, waits)| waits.ask_at <= context.now);
        let waiting: Vec<TubeId> = due.map(|(id, _)| id.clone()).collect();
        for id in waiting {
            let at = self.track.tube(&id).map(|tube| tube.place.module());
            if let Some(from) = at {
                let order = self.decide(db, context, (&id, from, 0))?;
                done.orders.extend(order);
            }
        }
        Ok(done)
    }

    /// Nobody knows whether a command reached the line: the tube is asked about again, and if it is to go
    /// the same way, under the same number.
    pub(super) fn on_lost(&mut self, number: &str, now: i64) {
        let mut given = self.given.iter_mut();
        if let Some((id, given)) = given.find(|(_, given)| given.number == number) {
            given.is_unsure = true;
            self.waiting.insert(id.clone(), waits(given.lost, now));
        }
    }

    /// The line refused a command: the tube is asked about again.
    pub(super) fn on_refused(&mut self, number: &str, now: i64) {
        let found = self.given.iter().find(|(_, given)| given.number == number);
        let Some(id) = found.map(|(id, _)| id.clone()) else {
            return;
        };
        let lost = self.given.remove(&id).map_or(0, |given| given.lost);
        self.waiting.insert(id, waits(lost, now));
    }

    fn on_answer(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
        (told, answer): (&Told, &Answered),
    ) -> Result<(), StoreError> {
        let found = self
            .given
            .iter()
            .find(|(_, given)| given.number == answer.number)
            .map(|(id, given)| (id.clone(), given.to));
        let Some((id, to)) = found else {
            return Ok(());
        };
        if !answer.is_done {
            self.on_refused(&answer.number, context.now);
            self.track.set_advised(&id, None);
        }
        let row = self.own_row(context, (&id, to, told.message), kinds::ANSWERED);
        let row = TrackRow {
            detail: Detail {
                why: answer.outcome.clone(),
                command: answer.number.clone(),
                ..Detail::default()
            },
            received_at: told.received_at,
            at: told.received_at,
            ..row
        };
        rows::insert(db, &[row])
    }

    fn own_row(
        &self,
        context: &Context<'_>,
        (id, module, message): (&TubeId, ModuleNo, i64),
        kind: &str,
    ) -> TrackRow {
        TrackRow {
            message,
            span: 0..0,
            line: context.track.id.clone(),
            module: self.track.line().module(module).id.clone(),
            barcode: id.as_str().to_owned(),
            kind: kind.to_owned(),
            detail: Detail::default(),
            at: context.now,
            received_at: context.now,
        }
    }

    /// The advice for a tube that stands at `from`; what the line is to be told, if it takes commands.
    fn decide(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
        (id, from, message): (&TubeId, ModuleNo, i64),
    ) -> Result<Option<Order>, StoreError> {
        let stands = |place: &Place| match place {
            Place::Done { module } | Place::Waiting { module, .. } => *module == from,
            Place::Working { .. }
            | Place::Between { .. }
            | Place::Kept { .. }
            | Place::Lost { .. } => false,
        };
        // A later event of the same message may have moved it.
        let Some(tube) = self.track.tube(id).filter(|tube| stands(&tube.place)) else {
            self.waiting.remove(id);
            return Ok(None);
        };
        let line = Arc::clone(self.track.line());
        let own = (context.track.id.as_str(), &*line);
        let wanted = need::of_tube(db, own, (id.as_str(), tube), context.since())?;
        let (go, why) = self.weigh(db, context, (id, from), wanted)?;
        match go {
            Go::To { module, lane, .. } | Go::Outlet { module, lane, .. } => {
                let lane = lane.map(|no| line.lane(no).id.clone()).unwrap_or_default();
                self.route(db, context, (id, from, message), (module, lane, why))
            }
            Go::Wait { .. } => {
                self.wait(db, context, (id, from, message), why)?;
                Ok(None)
            }
        }
    }

    fn wait(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
        (id, from, message): (&TubeId, ModuleNo, i64),
        why: String,
    ) -> Result<(), StoreError> {
        let again = context.now + ASK_AGAIN;
        if let Some(waits) = self.waiting.get_mut(id) {
            waits.ask_at = again;
            return Ok(());
        }
        let waits = Waits {
            since: context.now,
            ask_at: again,
            lost: 0,
        };
        self.waiting.insert(id.clone(), waits);
        let row = self.own_row(context, (id, from, message), kinds::WAITS);
        let detail = Detail {
            why,
            ..Detail::default()
        };
        rows::insert(db, &[TrackRow { detail, ..row }])
    }

    /// Writes an advice down, unless it stands already.
    fn route(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
        (id, from, message): (&TubeId, ModuleNo, i64),
        (to, lane, why): (ModuleNo, String, String),
    ) -> Result<Option<Order>, StoreError> {
        let lost = self.waiting.remove(id).map_or(0, |waits| waits.lost);
        let line = self.track.line();
        let is_told = line.limits.commands == Commands::Transport;
        let name = line.module(to).id.clone();
        let is_known = |given: &&mut Given| (given.from, given.to) == (from, to);
        if let Some(given) = self.given.get_mut(id).filter(is_known) {
            given.lost = lost.max(given.lost);
            return Ok(std::mem::take(&mut given.is_unsure).then(|| Order {
                number: given.number.clone(),
                barcode: id.as_str().to_owned(),
                to: name,
                lane,
            }));
        }
        let number = if is_told {
            (context.number)()
        } else {
            String::new()
        };
        let detail = Detail {
            to: name.clone(),
            lane: lane.clone(),
            why,
            command: number.clone(),
            ..Detail::default()
        };
        let row = self.own_row(context, (id, from, message), kinds::ROUTED);
        rows::insert(db, &[TrackRow { detail, ..row }])?;
        self.track.set_advised(id, Some(to));
        let given = Given {
            from,
            to,
            number: number.clone(),
            lost,
            is_unsure: false,
        };
        self.given.insert(id.clone(), given);
        Ok(is_told.then(|| Order {
            number,
            barcode: id.as_str().to_owned(),
            to: name,
            lane,
        }))
    }

    /// What to do with a tube, and why in words.
    fn weigh(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
        (id, from): (&TubeId, ModuleNo),
        wanted: Wanted,
    ) -> Result<(Go, String), StoreError> {
        let analyzers = self.analyzers(db, context)?;
        let now = time(context.now);
        let refuse = |track: &Track, reason: Reason, why: &str| {
            let situation = Situation {
                track,
                analyzers: &analyzers,
                now,
            };
            (reject(&situation, id, from, reason), why.to_owned())
        };
        let mut need = match wanted {
            Wanted::NoOrder => {
                return Ok(refuse(&self.track, Reason::NoOrder, "nobody ordered on it"));
            }
            Wanted::TwoPatients => {
                let why = "its barcode is active for two patients";
                return Ok(refuse(&self.track, Reason::TwoPlaces, why));
            }
            Wanted::Need(need) => need,
        };
        self.track.set_priority(id, need.priority, now);
        if let Some(waits) = self.waiting.get(id) {
            let waited = (context.now - waits.since) / 1_000;
            need.waited_ms = u64::try_from(waited).unwrap_or_default();
        }
        let situation = Situation {
            track: &self.track,
            analyzers: &analyzers,
            now,
        };
        let advice = advise(&situation, id, from, &need);
        let why = why(&self.track, &advice);
        Ok((advice.go, why))
    }

    fn analyzers(
        &mut self,
        db: &mut dyn Db,
        context: &Context<'_>,
    ) -> Result<Analyzers, StoreError> {
        let mut found = Analyzers::new();
        for (instrument, no) in &context.track.instruments {
            let is_good = |read_at: i64| context.now - read_at < CONTROLS_GOOD;
            let known = self.controls.get(instrument);
            if !known.is_some_and(|(read_at, _)| is_good(*read_at)) {
                let since = context.now - CONTROL_AGE_MAX;
                let qc = control::of_line(db, instrument, since)?;
                self.controls.insert(instrument.clone(), (context.now, qc));
            }
            let qc = self.controls.get(instrument).map(|(_, qc)| qc.clone());
            let analyzer = Analyzer {
                is_offline: context.offline.contains(instrument),
                no_reagent: BTreeSet::new(),
                qc: qc.unwrap_or_default(),
            };
            found.insert(*no, analyzer);
        }
        for (module, test) in self.track.without_reagent() {
            let analyzer = found.entry(module).or_default();
            analyzer.no_reagent.insert(test.to_owned());
        }
        Ok(found)
    }
}

/// What a message of the line leads to.
#[derive(Debug, Default)]
struct Stops {
    /// Tubes that stand where an advice is due.
    decisions: Vec<(TubeId, ModuleNo)>,
    /// Tubes that were at an instrument.
    at_analyzers: BTreeSet<String>,
}

/// The outcome of a message that could not be read.
pub(super) const FAULT: &str = r#"{"held":"parser-fault"}"#;

fn summary(read: &Read, answers: usize) -> String {
    let mut text = format!("{} events of the line", read.events.len());
    if answers > 0 {
        text.push_str(&format!(", {answers} answers to commands"));
    }
    let unplaced: BTreeSet<&str> = read.unplaced.iter().map(|one| one.code()).collect();
    for code in unplaced {
        text.push_str(", ");
        text.push_str(code);
    }
    text
}

fn resume(db: &mut dyn Db, context: &Context<'_>, barcode: &str) -> Result<u32, StoreError> {
    let settle = SettleContext {
        message: 0,
        line: "",
        received_at: context.now,
        now: context.now,
        specimen_age_max: context.site.laboratory.specimen_age_max,
        digest_input: b"",
        site: context.site,
    };
    Ok(settle::resume_tracked(db, &settle, barcode)?.released)
}

/// Why, for a person: what was chosen by, and what was closed.
fn why(track: &Track, advice: &Advice) -> String {
    let mut text = match advice.go {
        Go::To { chosen, .. } => match chosen {
            Chosen::Only => "the only one open".to_owned(),
            Chosen::Least { ahead_ms } => {
                format!("least time, {} s before the next", ahead_ms / 1_000)
            }
            Chosen::Kept { behind_ms } => {
                format!("advised before, {} s behind the best", behind_ms / 1_000)
            }
        },
        Go::Outlet { reason, .. } | Go::Wait { reason } => reason.code().to_owned(),
    };
    let closed = advice
        .candidates
        .iter()
        .filter_map(|one| match one.verdict {
            Verdict::Closed(why) if why.word() != "runs-none" => {
                let name = &track.line().module(one.module).id;
                Some(format!("; {name} {}", why.word()))
            }
            Verdict::Closed(_) | Verdict::Open(_) => None,
        });
    text.extend(closed.take(CLOSED_SHOWN));
    text
}
