//! Where every result that a device was told is safe has ended, and what the HIS has of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use labwire_sims::{
    analyzer::{Nature, Sent},
    his::{Discrepancy, Expected},
    morning::{Morning, Plan},
};

use crate::{
    book::unjson,
    ledger::End,
    model::{Hold, Observation, ResultState},
    store::{Db, Row, Sql, Store, StoreError},
};

use super::hospital::{BENCHES, Department};

/// The best row of the queue that a result is in: 1 delivered, 2 leased, 3 waiting, 4 set aside,
/// 5 discarded.
const RESULTS: Sql = Sql::same(
    "SELECT r.id, r.line, r.barcode, coalesce(r.test, ''), r.state, r.holds, r.detail, \
     coalesce((SELECT min(CASE q.state WHEN 'delivered' THEN 1 WHEN 'leased' THEN 2 \
     WHEN 'waiting' THEN 3 WHEN 'set-aside' THEN 4 WHEN 'discarded' THEN 5 ELSE 6 END) \
     FROM (SELECT r.queue AS id UNION ALL SELECT l.queue FROM queue_result l WHERE l.result = r.id) told \
     JOIN queue q ON q.id = told.id), 6) \
     FROM result r WHERE r.id > $1 ORDER BY r.id LIMIT $2",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&RESULTS];

/// Results read at once.
const PAGE: i64 = 1_000;

/// Findings shown at most, each kind.
const SHOWN_MAX: usize = 20;

/// A result in Labwire's store.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Where it ended.
    pub end: End,
    /// Why it is held.
    pub holds: Vec<Hold>,
    line: String,
    barcode: String,
    test: String,
    text: String,
}

/// What a department did in a morning, of what Labwire acknowledged to its analyzers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Tubes of patients.
    pub tubes: BTreeSet<String>,
    /// Results of patients.
    pub results: u64,
    /// Of those, what the HIS acknowledged.
    pub posted: u64,
    /// Of those, what waits for a person.
    pub held: u64,
    /// Why; one with two reasons counts under both.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Share {
    fn add(&mut self, specimen: &str, end: End, holds: &[Hold]) {
        self.tubes.insert(specimen.to_owned());
        self.results += 1;
        self.posted += u64::from(end == End::Delivered);
        if end == End::Held {
            self.held += 1;
            for hold in holds {
                *self.reasons.entry(hold.reason.code()).or_default() += 1;
            }
        }
    }
}

/// The comparison of what devices, Labwire and HIS have.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Results that Labwire acknowledged to a device, by where they ended.
    pub ends: BTreeMap<End, u64>,
    /// The same by department, without controls.
    pub departments: BTreeMap<Department, Share>,
    /// Acknowledged and not in the store, or acknowledged by the HIS and not in its book.
    pub lost: u64,
    /// At the HIS with a value that no device sent.
    pub altered: u64,
    /// At the HIS under another patient.
    pub wrong_patient: u64,
    /// At the HIS twice as final.
    pub twice: u64,
    /// Other things that are wrong with the messages to the HIS.
    pub broken: u64,
    /// Particulars of the first of them.
    pub told: Vec<String>,
}

impl Account {
    /// Whether nothing is lost, altered, swapped or doubled.
    pub const fn is_clean(&self) -> bool {
        self.lost + self.altered + self.wrong_patient + self.twice + self.broken == 0
    }

    /// Results that Labwire acknowledged to a device.
    pub fn acknowledged(&self) -> u64 {
        self.ends.values().sum::<u64>()
    }

    fn tell(&mut self, what: String) {
        if self.told.len() < SHOWN_MAX {
            self.told.push(what);
        }
    }

    fn judge(&mut self, discrepancy: &Discrepancy) {
        match discrepancy {
            Discrepancy::Missing(_) | Discrepancy::OtherValue(..) => self.lost += 1,
            Discrepancy::Unexpected(_) => self.altered += 1,
            Discrepancy::OtherPatient(..) => self.wrong_patient += 1,
            Discrepancy::Twice(..) => self.twice += 1,
            Discrepancy::TwoBodies(_) | Discrepancy::Unreadable(_) => self.broken += 1,
        }
        self.tell(format!("at the HIS: {discrepancy}"));
    }
}

/// Compares the log of every device with the store, and the store with the book of the HIS.
pub(super) async fn compare(
    store: &Store,
    morning: &Morning,
    plan: &Plan,
) -> Result<Account, StoreError> {
    let mut stored = by_key(all(store).await?);
    let mut account = Account::default();
    let mut expected = Vec::new();
    for (number, sent) in morning.acknowledged() {
        let bench = BENCHES.get(number);
        let line = bench.map_or("", |bench| bench.id);
        let found = take(&mut stored, line, &sent);
        let end = found.as_ref().map_or(End::Lost, |found| found.end);
        *account.ends.entry(end).or_default() += 1;
        if let Some(bench) = bench.filter(|_| sent.nature != Nature::Control) {
            let share = account.departments.entry(bench.department()).or_default();
            let holds = found.as_ref().map_or(&[][..], |found| &found.holds);
            share.add(&sent.specimen, end, holds);
        }
        if end == End::Lost {
            account.lost += 1;
            account.tell(format!(
                "acknowledged to {line} and nowhere: {} {} = {}",
                sent.specimen, sent.test, sent.text
            ));
        }
        expected.extend(expect(plan, &sent, end));
    }
    if let Some(book) = morning.book() {
        for discrepancy in book.verify(&expected) {
            account.judge(&discrepancy);
        }
    }
    Ok(account)
}

/// What the HIS must have, or may have.
fn expect(plan: &Plan, sent: &Sent, end: End) -> Option<Expected> {
    let specimen = plan
        .specimens
        .iter()
        .find(|one| one.barcode == sent.specimen)?;
    Some(Expected {
        patient: specimen.request.as_ref()?.patient.id.clone(),
        barcode: sent.specimen.clone(),
        code: sent.test.clone(),
        text: sent.text.clone(),
        is_required: end == End::Delivered,
    })
}

/// Line, barcode, test and text.
type Key = (String, String, String, String);

fn by_key(stored: Vec<Stored>) -> BTreeMap<Key, VecDeque<Stored>> {
    let mut all: BTreeMap<Key, VecDeque<Stored>> = BTreeMap::new();
    for one in stored {
        let key = (
            one.line.clone(),
            one.barcode.clone(),
            one.test.clone(),
            one.text.clone(),
        );
        all.entry(key).or_default().push_back(one);
    }
    all
}

/// The oldest stored result that is this one; each is taken once, so that two that were
/// acknowledged need two that are stored.
fn take(all: &mut BTreeMap<Key, VecDeque<Stored>>, line: &str, sent: &Sent) -> Option<Stored> {
    let key = (
        line.to_owned(),
        sent.specimen.clone(),
        sent.test.clone(),
        sent.text.clone(),
    );
    all.get_mut(&key)?.pop_front()
}

async fn all(store: &Store) -> Result<Vec<Stored>, StoreError> {
    let mut stored = Vec::new();
    let mut after = 0;
    loop {
        let (page, last) = store.read(move |db| page(db, after)).await?;
        if page.is_empty() {
            return Ok(stored);
        }
        stored.extend(page);
        after = last;
    }
}

fn page(db: &mut dyn Db, after: i64) -> Result<(Vec<Stored>, i64), StoreError> {
    let rows = db.rows(&RESULTS, &[after.into(), PAGE.into()])?;
    let last = rows.last().map_or(Ok(after), |row| row.int(0))?;
    let stored = rows.iter().map(read).collect::<Result<_, _>>()?;
    Ok((stored, last))
}

fn read(row: &Row) -> Result<Stored, StoreError> {
    let state = ResultState::from_code(row.text(4)?)
        .ok_or_else(|| StoreError::value("unknown result state in a row"))?;
    let observation: Observation = unjson(row.text(6)?)?;
    let queued = match row.int(7)? {
        1 => End::Delivered,
        2 => End::Sending,
        3 => End::Queued,
        4 => End::Refused,
        5 => End::Discarded,
        _ => End::Lost,
    };
    Ok(Stored {
        end: End::of_state(state).unwrap_or(queued),
        holds: unjson(row.text(5)?)?,
        line: row.text(1)?.to_owned(),
        barcode: row.text(2)?.to_owned(),
        test: row.text(3)?.to_owned(),
        // A field may end in empty components, which a device's log does not name.
        text: observation.text.trim_end_matches('^').to_owned(),
    })
}
