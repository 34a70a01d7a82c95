//! Compares what was promised with what is in the store and at the HIS.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use labwire::{
    book::{self, BookItem},
    ledger::Ledger,
    model::{OrderStatus, ResultState},
    queue::QueueRow,
    settle::{self, StoredResult},
    store::{Beside, Db, Sql, StoreError, nodes},
};
use labwire_drivers::{Clock as _, SystemClock};
use labwire_sims::his::{Book, Discrepancy, Observation};

use crate::load::{Load, Sent};

const OPEN_QUEUE: Sql = Sql::same(
    "SELECT destination, state, attempts, reason FROM queue \
     WHERE state IN ('waiting', 'leased') OR (state = 'set-aside' AND kind = 'result') \
     ORDER BY id LIMIT 20",
);
const UNPARSED: Sql =
    Sql::same("SELECT line, id FROM message WHERE state = 'unparsed' ORDER BY id LIMIT 20");
const POSTED: Sql = Sql::same(
    "SELECT control_id, state, tried_at, closed_at, body FROM queue \
     WHERE kind = 'result' AND control_id IS NOT NULL",
);
const DISTINCT: Sql =
    Sql::same("SELECT count(*), count(DISTINCT control_id) FROM queue WHERE body IS NOT NULL");

const INSTRUMENTS: Sql = Sql {
    sqlite: "SELECT DISTINCT detail ->> 'instrument' FROM result ORDER BY 1",
    postgres: "SELECT DISTINCT detail::json ->> 'instrument' FROM result ORDER BY 1",
};

/// The last of each; together what a person asks first when something did not come.
const STORY: [(&str, Sql); 3] = [
    (
        "message",
        Sql::same(
            "SELECT id || ' on ' || line || ': ' || state || ', whole: ' || is_complete || ', ' \
             || coalesce(outcome, 'not read') FROM message ORDER BY id DESC LIMIT 60",
        ),
    ),
    (
        "result",
        Sql::same(
            "SELECT id || ' of message ' || message || ': ' || barcode || ' ' \
             || coalesce(test, '(no test)') || ' ' || state || ' ' || holds \
             FROM result ORDER BY id DESC LIMIT 120",
        ),
    ),
    (
        "queue",
        Sql {
            sqlite: "SELECT q.id || ' to ' || q.destination || ': ' || q.kind || ' of ' || s.barcode \
             || ' ' || q.state || ', tried ' || q.attempts || ', ' || coalesce(q.control_id, \
             'never rendered') || ', ' || q.reason || ', ' || q.answer || ', results ' \
             || coalesce((SELECT group_concat(r.id) FROM result r WHERE r.queue = q.id), \
             'none') FROM queue q JOIN specimen s ON s.id = q.specimen ORDER BY q.id DESC LIMIT 60",
            postgres: "SELECT q.id || ' to ' || q.destination || ': ' || q.kind || ' of ' \
             || s.barcode || ' ' || q.state || ', tried ' || q.attempts || ', ' \
             || coalesce(q.control_id, 'never rendered') || ', ' || q.reason || ', ' || q.answer \
             || ', results ' || coalesce((SELECT string_agg(r.id::text, ',') FROM result r \
             WHERE r.queue = q.id), 'none') FROM queue q JOIN specimen s ON s.id = q.specimen \
             ORDER BY q.id DESC LIMIT 60",
        },
    ),
];

/// Runs `look` on the store beside whoever has it open.
pub fn look<T: Send>(
    url: &str,
    look: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send,
) -> Result<T, StoreError> {
    let work = || Beside::reader(url)?.read(look);
    // The store blocks its thread, which no task may do.
    std::thread::scope(|scope| scope.spawn(work).join()).expect("looking does not panic")
}

/// What labwire still has to do, a line each. A cancel for a device that knows none is set aside
/// for a person, and is done.
pub fn open_work(url: &str) -> Vec<String> {
    let read = look(url, |db| {
        let mut open = Vec::new();
        for row in db.rows(&OPEN_QUEUE, &[])? {
            let (to, state, why) = (row.text(0)?, row.text(1)?, row.text(3)?);
            open.push(format!("{to}: {state}, tried {}, {why}", row.int(2)?));
        }
        for row in db.rows(&UNPARSED, &[])? {
            open.push(format!(
                "{}: message {} unparsed",
                row.text(0)?,
                row.int(1)?
            ));
        }
        Ok(open)
    });
    read.unwrap_or_else(|error| vec![error.to_string()])
}

/// The units of each node that is there, by the node's name.
pub fn units(url: &str) -> BTreeMap<String, BTreeSet<String>> {
    let read = look(url, |db| {
        let mut nodes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in nodes::listed(db)? {
            let units = node.units.into_iter().map(|(unit, _)| unit);
            nodes.entry(node.node.name).or_default().extend(units);
        }
        Ok(nodes)
    });
    read.unwrap_or_default()
}

/// What became of everything, a line each, newest first: for the words of a test that failed.
pub fn story(url: &str) -> Vec<String> {
    let read = look(url, |db| {
        let mut lines = Vec::new();
        for (what, sql) in &STORY {
            for row in db.rows(sql, &[])? {
                lines.push(format!("{what} {}", row.text(0)?));
            }
        }
        Ok(lines)
    });
    read.unwrap_or_else(|error| vec![error.to_string()])
}

/// The instruments that the stored results name.
pub fn instruments(url: &str) -> Vec<String> {
    let read = look(url, |db| {
        let rows = db.rows(&INSTRUMENTS, &[])?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    });
    read.unwrap_or_else(|error: StoreError| vec![error.to_string()])
}

/// The sum of a run.
#[derive(Debug, Default)]
pub struct Figures {
    acknowledged: usize,
    delivered: usize,
    held: usize,
    kept: usize,
    replaced: usize,
    repeats: usize,
    resent_results: usize,
    reasons: BTreeMap<String, usize>,
    lost: usize,
    doubled: usize,
    orders: usize,
    cancels: usize,
    updates: usize,
    merges: usize,
    messages: usize,
    resent: u32,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} results acknowledged: {} delivered, {} held with a reason, {} kept (not ordered), \
             {} replaced by a correction or a rerun, {} confirmed or repeated, {} lost, {} doubled; \
             holds {:?}; {} results recognised as sent before; \
             {} orders, {} cancels, {} updates, {} merges acknowledged; \
             {} messages at the HIS, {} of them resent",
            self.acknowledged,
            self.delivered,
            self.held,
            self.kept,
            self.replaced,
            self.repeats,
            self.lost,
            self.doubled,
            self.reasons,
            self.resent_results,
            self.orders,
            self.cancels,
            self.updates,
            self.merges,
            self.messages,
            self.resent,
        )
    }
}

/// One message to the HIS as the store has it.
#[derive(Debug)]
struct Posted {
    state: String,
    tried_at: i64,
    closed_at: i64,
    body: Vec<u8>,
}

/// Everything about one tube in the store.
#[derive(Debug, Default)]
struct Stored {
    results: Vec<StoredResult>,
    items: Vec<BookItem>,
    patients: Vec<(String, String)>,
}

struct Account<'a> {
    load: &'a Load,
    stored: BTreeMap<String, Stored>,
    posted: BTreeMap<String, Posted>,
    seen: Vec<Observation>,
    figures: Figures,
    wrong: Vec<String>,
}

/// Compares; gives the figures and everything that is wrong.
pub fn check(load: &Load, his: &Book, url: &str) -> (Figures, Vec<String>) {
    let barcodes: Vec<String> = load.tubes.iter().map(|tube| tube.barcode.clone()).collect();
    let (stored, posted, counts) = look(url, |db| read(db, &barcodes)).expect("the store reads");
    let mut account = Account {
        load,
        stored,
        posted,
        seen: his.with_ledger(|ledger| ledger.observations().to_vec()),
        figures: Figures::default(),
        wrong: Vec::new(),
    };
    if counts.0 != counts.1 {
        account
            .wrong
            .push("two messages share a control id".to_owned());
    }
    account.messages(his);
    account.results();
    account.observations();
    account.orders();
    account.patients();
    (account.figures, account.wrong)
}

type Read = (
    BTreeMap<String, Stored>,
    BTreeMap<String, Posted>,
    (i64, i64),
);

fn read(db: &mut dyn Db, barcodes: &[String]) -> Result<Read, StoreError> {
    let mut all = BTreeMap::new();
    for barcode in barcodes {
        let mut stored = Stored {
            results: settle::of_barcode(db, barcode)?,
            ..Stored::default()
        };
        for specimen in book::specimens_with_barcode(db, barcode, 0)? {
            stored.items.extend(book::open_items(db, specimen.id)?);
            let patient = book::patient_of(db, specimen.patient)?;
            let field = |n| {
                let text = patient.fields.expose().get(&n).cloned().unwrap_or_default();
                text.split('^').next().unwrap_or_default().to_owned()
            };
            stored.patients.push((field(3), field(5)));
        }
        all.insert(barcode.clone(), stored);
    }
    let mut posted = BTreeMap::new();
    for row in db.rows(&POSTED, &[])? {
        let one = Posted {
            state: row.text(1)?.to_owned(),
            tried_at: row.opt_int(2)?.unwrap_or(i64::MAX),
            closed_at: row.opt_int(3)?.unwrap_or(i64::MAX),
            body: row.blob(4)?.to_vec(),
        };
        posted.insert(row.text(0)?.to_owned(), one);
    }
    let row = db.row(&DISTINCT, &[])?;
    Ok((all, posted, (row.int(0)?, row.int(1)?)))
}

impl Account<'_> {
    fn wrong(&mut self, what: impl Into<String>) {
        self.wrong.push(what.into());
    }

    /// Every message at the HIS is one of the store, to the byte; each has one control id.
    fn messages(&mut self, his: &Book) {
        let (messages, conflicts) =
            his.with_ledger(|ledger| (ledger.messages().clone(), ledger.conflicts().to_vec()));
        for control in conflicts {
            self.figures.doubled += 1;
            self.wrong(format!("two bodies under {control}"));
        }
        if his
            .verify(&[])
            .iter()
            .any(|found| matches!(found, Discrepancy::Unreadable(_)))
        {
            self.wrong("the HIS received what is no message");
        }
        self.figures.messages = messages.len();
        for (control, message) in &messages {
            self.figures.resent += u32::from(message.times > 1);
            match self.posted.get(control) {
                Some(posted) if posted.body != message.bytes => {
                    self.wrong(format!("{control} is other bytes at the HIS"));
                }
                Some(posted) if posted.state != "delivered" || !message.is_taken => {
                    let state = posted.state.clone();
                    self.wrong(format!("{control} is {state}, taken: {}", message.is_taken));
                }
                Some(_) => {}
                None => self.wrong(format!("{control} is not in the store")),
            }
        }
        let unknown: Vec<_> = self
            .posted
            .iter()
            .filter(|(control, one)| one.state == "delivered" && !messages.contains_key(*control))
            .map(|(control, _)| format!("{control} is delivered, and never came to the HIS"))
            .collect();
        self.wrong.extend(unknown);
    }

    /// Every acknowledged result is where it has to be.
    fn results(&mut self) {
        let acknowledged = self.load.acknowledged();
        let stored = || self.stored.values().flat_map(|stored| &stored.results);
        let is_repeat = |row: &&StoredResult| row.state == ResultState::Repeat;
        self.figures.resent_results = stored().filter(is_repeat).count();
        for row in stored().filter(|row| row.state == ResultState::Held) {
            for hold in &row.holds {
                let reason = format!("{} {}", row.line, hold.reason);
                *self.figures.reasons.entry(reason).or_default() += 1;
            }
        }
        self.figures.acknowledged = acknowledged.len();
        let required = self.required(&acknowledged);
        for (index, sent) in acknowledged.iter().enumerate() {
            let end = self.end_of(sent);
            match end {
                Ok(ResultState::Released) => self.figures.delivered += 1,
                Ok(ResultState::Held | ResultState::Waiting) => self.figures.held += 1,
                Ok(ResultState::Kept) => self.figures.kept += 1,
                Ok(ResultState::Replaced) => self.figures.replaced += 1,
                Ok(_) => self.figures.repeats += 1,
                Err(ref why) => {
                    self.figures.lost += 1;
                    self.wrong(format!("lost: {sent:?}: {why}"));
                }
            }
            if required.contains(&index) && end != Ok(ResultState::Released) {
                self.wrong(format!(
                    "nothing speaks against it, and it is {end:?}: {sent:?}"
                ));
            }
        }
    }

    /// Those that must be at the HIS: ordered, not cancelled, nothing unusual about them, and the
    /// last word about their test.
    fn required(&self, acknowledged: &[Sent]) -> BTreeSet<usize> {
        let mut last: BTreeMap<(&str, &str), (usize, bool)> = BTreeMap::new();
        for (index, sent) in acknowledged.iter().enumerate() {
            let Some(tube) = self.tube(&sent.barcode) else {
                continue;
            };
            let is_asked = |(placer, service): &(String, &str)| {
                *service == sent.test && !tube.cancelled.contains(placer)
            };
            let key = (sent.barcode.as_str(), sent.test.as_str());
            let is_whole = last.get(&key).is_none_or(|(_, is_whole)| *is_whole);
            let is_good = sent.is_ordinary && tube.items.iter().any(is_asked) && is_whole;
            last.insert(key, (index, is_good));
        }
        let required = last.into_values().filter(|(_, is_good)| *is_good);
        required.map(|(index, _)| index).collect()
    }

    fn tube(&self, barcode: &str) -> Option<&crate::load::Tube> {
        self.load.tubes.iter().find(|tube| tube.barcode == barcode)
    }

    /// Where one acknowledged result ended.
    fn end_of(&self, sent: &Sent) -> Result<ResultState, String> {
        let stored = self.stored.get(&sent.barcode).ok_or("no such tube")?;
        let same = |row: &&StoredResult| {
            let seen = &row.observation;
            row.line == sent.line && seen.code == sent.code && seen.text == sent.text
        };
        let rows: Vec<_> = stored.results.iter().filter(same).collect();
        let mut ends = rows.iter().map(|row| self.end_of_row(sent, stored, row));
        // Several rows of one result are a cut message and the whole one, or a repetition: one of
        // them is where it ended, and the others must be in order too.
        let mut best = ends.next().ok_or("it is not in the store")??;
        for end in ends {
            let end = end?;
            if rank(end) < rank(best) {
                best = end;
            }
        }
        Ok(best)
    }

    fn end_of_row(
        &self,
        sent: &Sent,
        stored: &Stored,
        row: &StoredResult,
    ) -> Result<ResultState, String> {
        let later = |other: &StoredResult| {
            other.id > row.id && other.observation.test == row.observation.test
        };
        let is_right = match row.state {
            ResultState::Released => self.seen.iter().any(|seen| {
                seen.barcode == sent.barcode && seen.code == sent.test && seen.text == sent.text
            }),
            ResultState::Held | ResultState::Waiting => !row.holds.is_empty(),
            ResultState::Kept => {
                let ordered = stored.items.iter().flat_map(|item| &item.tests);
                ordered.clone().all(|test| *test != sent.test)
            }
            ResultState::Replaced => stored.results.iter().any(later),
            ResultState::Repeat | ResultState::Confirmed => row.supersedes.is_some(),
            ResultState::SetAside | ResultState::Control => false,
        };
        let state = row.state.code();
        if is_right {
            Ok(row.state)
        } else {
            Err(format!("{state} (row {}), and not as it should be", row.id))
        }
    }

    /// Everything at the HIS was measured so, belongs to its order and its patient, and came once.
    fn observations(&mut self) {
        let sent = self.load.sent();
        let measured: BTreeSet<_> = sent
            .iter()
            .map(|one| (one.barcode.as_str(), one.test.as_str(), one.text.as_str()))
            .collect();
        let mut once: BTreeMap<_, &Observation> = BTreeMap::new();
        let mut wrong = Vec::new();
        for seen in &self.seen {
            let key = (
                seen.barcode.as_str(),
                seen.code.as_str(),
                seen.text.as_str(),
            );
            if !measured.contains(&key) {
                wrong.push(format!("nobody measured {seen:?}"));
            }
            let is_asked = self.tube(&seen.barcode).is_some_and(|tube| {
                let asks = |(placer, service): &(String, &'static str)| {
                    *placer == seen.placer && *service == seen.code
                };
                tube.items.iter().any(asks)
            });
            if !is_asked {
                wrong.push(format!("nobody ordered {seen:?}"));
            }
            if let Err(why) = self.judge_patient(seen) {
                wrong.push(format!("{why}: {seen:?}"));
            }
            if let Some(first) = once.insert((key, &seen.patient), seen) {
                self.figures.doubled += 1;
                wrong.push(format!("twice: {first:?} {seen:?}"));
            }
        }
        self.wrong.extend(wrong);
        let told: Vec<_> = self
            .seen
            .iter()
            .filter_map(|seen| self.untold(seen))
            .collect();
        self.wrong.extend(told);
    }

    /// The patient of a message is who its tube belonged to when it was first tried: the times
    /// between which a merge became true are known.
    fn judge_patient(&self, seen: &Observation) -> Result<(), String> {
        let posted = self
            .posted
            .get(&seen.control_id)
            .ok_or("not in the store")?;
        let tube = self.tube(&seen.barcode).ok_or("no such tube")?;
        let mut owner = tube.patient.as_str();
        while owner != seen.patient {
            let merge = self.load.merges.get(owner).ok_or("another patient")?;
            if posted.tried_at < merge.sent_at {
                return Err("a survivor before the merge".to_owned());
            }
            owner = &merge.survivor;
        }
        match self.load.merges.get(owner).and_then(|merge| merge.known_at) {
            Some(known) if posted.tried_at > known => Err("the old patient after a merge".into()),
            _ => Ok(()),
        }
    }

    /// What was on its way under the old patient at a merge is told under the survivor too.
    fn untold(&self, seen: &Observation) -> Option<String> {
        let posted = self.posted.get(&seen.control_id)?;
        let merge = self.load.merges.get(&seen.patient)?;
        let is_open = merge.known_at.is_some_and(|known| posted.closed_at > known);
        let released = |row: &StoredResult| {
            row.state == ResultState::Released && row.observation.text == seen.text
        };
        let counts = self.stored.get(&seen.barcode)?.results.iter().any(released);
        let is_told = self.seen.iter().any(|other| {
            (&other.barcode, &other.code, &other.text) == (&seen.barcode, &seen.code, &seen.text)
                && other.patient != seen.patient
        });
        (is_open && counts && !is_told).then(|| format!("not told to the survivor: {seen:?}"))
    }

    /// Every acknowledged order, addition and cancel is in the book.
    fn orders(&mut self) {
        let mut wrong = Vec::new();
        for asked in &self.load.placed {
            let answer = self.load.orders.answer(&asked.control);
            let is_taken = answer.as_ref().is_some_and(|answer| {
                answer.is_accepted() && answer.controls.iter().all(|control| control == "OK")
            });
            if !is_taken {
                wrong.push(format!("an order was not taken: {asked:?} {answer:?}"));
                continue;
            }
            self.figures.orders += 1;
            for placer in &asked.placers {
                let stored = self.stored.get(&asked.barcode);
                let count = stored.map_or(0, |stored| {
                    let own = stored.items.iter().filter(|item| item.placer == *placer);
                    own.count()
                });
                if count != 1 {
                    wrong.push(format!("{placer} is {count} times in the book: {asked:?}"));
                }
            }
        }
        for asked in &self.load.cancels {
            let answer = self.load.orders.answer(&asked.control);
            let done = answer
                .as_ref()
                .is_some_and(|answer| answer.controls == ["CR"]);
            self.figures.cancels += usize::from(done);
            let item = self.stored.get(&asked.barcode).and_then(|stored| {
                let own = |item: &&BookItem| Some(&item.placer) == asked.placers.first();
                stored.items.iter().find(own)
            });
            let is_cancelled = item.is_some_and(|item| item.status == OrderStatus::Cancelled);
            let others =
                self.load.cancels.iter().filter(|other| {
                    other.placers == asked.placers && other.control != asked.control
                });
            // One item may be asked to be cancelled twice: the first time may fail, and the second.
            if done != is_cancelled && (done || others.count() == 0) {
                wrong.push(format!("cancel {asked:?}, {answer:?}: {is_cancelled}"));
            }
        }
        self.wrong.extend(wrong);
    }

    /// Every acknowledged update and merge is in the book.
    fn patients(&mut self) {
        let mut wrong = Vec::new();
        let orders = &self.load.orders;
        let is_taken = |control: &str| orders.answer(control).is_some_and(|a| a.is_accepted());
        for control in &self.load.updates {
            self.figures.updates += usize::from(is_taken(control));
            if !is_taken(control) {
                wrong.push(format!("an update was not taken: {control}"));
            }
        }
        for (gone, merge) in &self.load.merges {
            self.figures.merges += usize::from(is_taken(&merge.control));
            if !is_taken(&merge.control) {
                wrong.push(format!("a merge of {gone} was not taken: {merge:?}"));
            }
        }
        for tube in &self.load.tubes {
            let owner = self.load.owner(&tube.patient);
            let family = &self.load.patients[&owner].family;
            let stored = self.stored.get(&tube.barcode);
            let patients = stored
                .map(|stored| stored.patients.clone())
                .unwrap_or_default();
            if patients != [(owner.clone(), family.clone())] {
                wrong.push(format!("{tube:?} is of {patients:?}, not {owner} {family}"));
            }
        }
        self.wrong.extend(wrong);
    }
}

/// The row that tells most of where a result ended comes first.
const fn rank(state: ResultState) -> u8 {
    match state {
        ResultState::Released => 0,
        ResultState::Held => 1,
        ResultState::Waiting => 2,
        ResultState::Kept => 3,
        ResultState::Replaced => 4,
        ResultState::Confirmed => 5,
        ResultState::Repeat | ResultState::SetAside | ResultState::Control => 6,
    }
}

const ROWS: Sql = Sql::same("SELECT line, count(*) FROM result GROUP BY line");
const CONTROLS: Sql = Sql::same("SELECT count(*) FROM result WHERE state = 'control'");

/// How many results each line has in the store, controls included.
pub fn rows(url: &str) -> BTreeMap<String, usize> {
    let read = look(url, |db| {
        let mut lines = BTreeMap::new();
        for row in db.rows(&ROWS, &[])? {
            let count = usize::try_from(row.int(1)?).unwrap_or_default();
            lines.insert(row.text(0)?.to_owned(), count);
        }
        Ok(lines)
    });
    read.expect("the store reads")
}

/// How many results of controls are in the store.
pub fn controls(url: &str) -> usize {
    let read = look(url, |db| db.row(&CONTROLS, &[])?.int(0)).expect("the store reads");
    usize::try_from(read).unwrap_or_default()
}

/// What the ledger finds wrong, a line each, once everything is read.
pub fn findings(url: &str) -> Vec<String> {
    let now = SystemClock::default().utc_micros();
    let read = look(url, |db| {
        let mut ledger = Ledger::new(None, now);
        let mut found = Vec::new();
        while let Some(page) = ledger.next_page(db)? {
            found.extend(page.findings.iter().map(|finding| format!("{finding:?}")));
        }
        Ok(found)
    });
    read.expect("the store reads")
}

/// How many items are ordered on a barcode.
pub fn items(url: &str, barcode: &str) -> usize {
    let read = look(url, |db| {
        let mut count = 0;
        for specimen in book::specimens_with_barcode(db, barcode, 0)? {
            count += book::open_items(db, specimen.id)?.len();
        }
        Ok(count)
    });
    read.expect("the store reads")
}

/// The results of a barcode, as `test state reasons`.
pub fn states(url: &str, barcode: &str) -> Vec<String> {
    let rows = look(url, |db| settle::of_barcode(db, barcode)).expect("the store reads");
    let shown = rows.iter().map(|row| {
        let holds: Vec<&str> = row.holds.iter().map(|hold| hold.reason.code()).collect();
        let test = row.observation.test.as_deref().unwrap_or_default();
        format!("{test} {} {}", row.state.code(), holds.join(" "))
    });
    shown.collect()
}

/// Where the versions of values ended, each as `state reasons`: of barcode, test and text.
pub fn ends_of(url: &str, values: &[[String; 3]]) -> Vec<Vec<String>> {
    let read = look(url, |db| {
        let mut ends = Vec::new();
        for [barcode, test, text] in values {
            let rows = settle::of_barcode(db, barcode)?;
            let same = |row: &&StoredResult| {
                let seen = &row.observation;
                seen.test.as_ref() == Some(test) && seen.text.replace(',', ".") == *text
            };
            let shown = rows.iter().filter(same).map(|row| {
                let holds: Vec<&str> = row.holds.iter().map(|hold| hold.reason.code()).collect();
                format!("{} {}", row.state.code(), holds.join(" "))
            });
            ends.push(shown.collect());
        }
        Ok(ends)
    });
    read.expect("the store reads")
}

/// Rows of the queue, as the store says them now.
pub fn queue(
    url: &str,
    read: impl FnOnce(&mut dyn Db) -> Result<Vec<QueueRow>, StoreError> + Send,
) -> Vec<QueueRow> {
    look(url, read).expect("the store reads")
}

const STEPS: Sql = Sql::same("SELECT count(*) FROM work_step WHERE state = $1");

/// How many work order steps of LAW analyzers stand so.
pub fn steps(url: &str, state: &str) -> i64 {
    let state = state.to_owned();
    look(url, move |db| db.row(&STEPS, &[state.into()])?.int(0)).expect("the store reads")
}

const EVENTS: Sql =
    Sql::same("SELECT code || ' ' || specimen || ' ' || text FROM device_event ORDER BY id");

/// News of devices: code, tube and text.
pub fn events(url: &str) -> Vec<String> {
    let read = look(url, |db| {
        let rows = db.rows(&EVENTS, &[])?;
        let texts = rows.iter().map(|row| row.text(0).map(str::to_owned));
        texts.collect()
    });
    read.expect("the store reads")
}

const AUDITED: Sql = Sql::same("SELECT count(*) FROM audit WHERE action = $1");

/// How often this was written into the audit trail.
pub fn audited(url: &str, action: &str) -> i64 {
    let action = action.to_owned();
    look(url, move |db| db.row(&AUDITED, &[action.into()])?.int(0)).expect("the store reads")
}

const HELD: Sql = Sql {
    sqlite: "SELECT EXISTS (SELECT 1 FROM message WHERE instr(raw, $1) > 0) \
             OR EXISTS (SELECT 1 FROM frame WHERE instr(text, $1) > 0)",
    postgres: "SELECT (EXISTS (SELECT 1 FROM message WHERE position($1 IN raw) > 0) \
               OR EXISTS (SELECT 1 FROM frame WHERE position($1 IN text) > 0))::int::bigint",
};

/// Which of these bytes stand in no frame and no message of a store, which is opened for writing, as a
/// start opens it.
pub fn lacks(url: &str, tokens: Vec<String>) -> Result<Vec<String>, StoreError> {
    let work = || {
        Beside::writer(url)?.transact(move |db| {
            let mut lacking = Vec::new();
            for token in tokens {
                if db.row(&HELD, &[token.as_bytes().into()])?.int(0)? == 0 {
                    lacking.push(token);
                }
            }
            Ok(lacking)
        })
    };
    std::thread::scope(|scope| scope.spawn(work).join()).expect("looking does not panic")
}

const DELIVERED: Sql =
    Sql::same("SELECT count(*) FROM queue WHERE state = 'delivered' AND kind = 'result'");
const ATTEMPTS_MAX: Sql = Sql::same("SELECT max(attempts) FROM queue WHERE kind = 'result'");

/// How many messages the HIS acknowledged.
pub fn delivered(url: &str) -> i64 {
    look(url, |db| db.row(&DELIVERED, &[])?.int(0)).expect("the store reads")
}

/// How often the message that was tried most was tried.
pub fn attempts_max(url: &str) -> i64 {
    look(url, |db| db.row(&ATTEMPTS_MAX, &[])?.int(0)).expect("the store reads")
}
