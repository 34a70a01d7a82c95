//! Calls as people and programs read them.

use std::collections::{BTreeMap, BTreeSet};

use labwire_protocols::hl7::{Separators, escape};
use serde::Serialize;

use crate::{
    book::{self, BookItem, BookPatient, json},
    model::{Private, ResultState},
    store::{Db, Param, Row, Sql, StoreError},
};

use super::{Kind, Outcome, State};

/// All of a call; a macro, because a statement is a constant.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT c.id, c.result, c.kind, c.state, c.test, c.value, c.unit, c.side, c.beyond, \
             c.follows, c.opened_at, c.closed_at, c.closed_by, r.barcode, r.specimen, r.line, \
             r.state, coalesce(s.station, ''), coalesce(f.value, '') FROM critical_call c \
             JOIN result r ON r.id = c.result LEFT JOIN specimen s ON s.id = r.specimen \
             LEFT JOIN critical_call f ON f.id = c.follows ",
            $rest
        )
    };
}

const OPEN: Sql = Sql::same(select!(
    "WHERE c.state = 'open' ORDER BY c.opened_at, c.id LIMIT $1"
));
const CLOSED: Sql = Sql::same(select!(
    "WHERE c.closed_at IS NOT NULL AND c.closed_at < $1 ORDER BY c.closed_at DESC, c.id DESC LIMIT $2"
));
const OF_BARCODE: Sql = Sql::same(select!(
    "WHERE r.barcode = $1 AND c.closed_at IS NOT NULL ORDER BY c.closed_at DESC, c.id DESC LIMIT $2"
));
const BY_ID: Sql = Sql::same(select!("WHERE c.id = $1"));
const STATE: Sql = Sql::same("SELECT state FROM critical_call WHERE id = $1");
const COUNTS: Sql = Sql::same(
    "SELECT count(*), coalesce(min(opened_at), 0), \
     coalesce(sum(CASE WHEN opened_at <= $1 THEN 1 ELSE 0 END), 0) FROM critical_call \
     WHERE state = 'open'",
);
const ATTEMPTS: Sql = Sql {
    sqlite: "SELECT call, at, actor, outcome, told_to, contact, read_back FROM call_attempt \
             WHERE call IN (SELECT value FROM json_each($1)) ORDER BY id",
    postgres: "SELECT call, at, actor, outcome, told_to, contact, read_back FROM call_attempt \
               WHERE call IN (SELECT value::bigint FROM json_array_elements_text($1::json) \
               AS t(value)) ORDER BY id",
};

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[
    &OPEN,
    &CLOSED,
    &OF_BARCODE,
    &BY_ID,
    &STATE,
    &COUNTS,
    &ATTEMPTS,
];

/// A call with all that a person needs to make it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its row.
    pub id: i64,
    /// The result version that it is about.
    pub result: i64,
    /// What has to be told.
    pub kind: Kind,
    /// Where it stands.
    pub state: State,
    /// Of the catalogue, else the device's code.
    pub test: String,
    /// As sent.
    pub value: Private<String>,
    /// As sent.
    pub unit: String,
    /// `low` or `high`.
    pub side: String,
    /// The limit, or the device's flag.
    pub beyond: String,
    /// The value that the call before this one was about.
    pub before: Private<String>,
    /// Microseconds UTC.
    pub opened_at: i64,
    /// Microseconds UTC.
    pub closed_at: Option<i64>,
    /// The login name of whoever closed it; empty where settling did.
    pub closed_by: String,
    /// The tube of the result now.
    pub barcode: String,
    /// The line it came on.
    pub line: String,
    /// Where the result stands now.
    pub result_state: Option<ResultState>,
    /// The patient of the tube, merges followed.
    pub patient: Option<BookPatient>,
    /// The sending station or ward, where the order names one.
    pub ward: String,
    /// The telephone to call back, where the order names one (ORC-14, OBR-17).
    pub phone: String,
    /// Who ordered (ORC-12, OBR-16), as a name.
    pub ordered_by: Private<String>,
    /// Every try, oldest first.
    pub attempts: Vec<Made>,
}

impl Call {
    /// Whether it has been open for longer than `within` microseconds.
    pub const fn is_escalated(&self, now: i64, within: i64) -> bool {
        matches!(self.state, State::Open) && now.saturating_sub(self.opened_at) >= within
    }

    /// The last try that told somebody.
    pub fn told(&self) -> Option<&Made> {
        let mut made = self.attempts.iter();
        made.rfind(|one| one.outcome == Outcome::Told)
    }
}

/// A try that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Microseconds UTC.
    pub at: i64,
    /// Who tried, by login name.
    pub actor: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Who was told, or tried.
    pub told_to: String,
    /// Role or telephone.
    pub contact: String,
    /// Whether it was read back.
    pub is_read_back: bool,
}

/// How many calls are open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Open ones.
    pub open: i64,
    /// Of these, open for too long.
    pub escalated: i64,
    /// Since when the oldest is open, microseconds UTC.
    pub oldest_at: Option<i64>,
}

/// Counts what is open; open for `within` microseconds is open for too long.
///
/// # Errors
/// The store's.
pub fn counts(db: &mut dyn Db, now: i64, within: i64) -> Result<Counts, StoreError> {
    let row = db.row(&COUNTS, &[now.saturating_sub(within).into()])?;
    let open = row.int(0)?;
    Ok(Counts {
        open,
        escalated: row.int(2)?,
        oldest_at: (open > 0).then_some(row.int(1)?),
    })
}

/// Open calls, the oldest first, and so those that are open for too long before the others.
///
/// # Errors
/// The store's.
pub fn open(db: &mut dyn Db, count_max: i64) -> Result<Vec<Call>, StoreError> {
    gather(db, &OPEN, &[count_max.into()])
}

/// Calls that were closed before an instant, the newest first.
///
/// # Errors
/// The store's.
pub fn closed(db: &mut dyn Db, before: i64, count_max: i64) -> Result<Vec<Call>, StoreError> {
    gather(db, &CLOSED, &[before.into(), count_max.into()])
}

/// Closed calls about results of a barcode, the newest first.
///
/// # Errors
/// The store's.
pub fn of_barcode(db: &mut dyn Db, barcode: &str, count_max: i64) -> Result<Vec<Call>, StoreError> {
    gather(db, &OF_BARCODE, &[barcode.into(), count_max.into()])
}

/// One call.
///
/// # Errors
/// The store's.
pub fn find(db: &mut dyn Db, id: i64) -> Result<Option<Call>, StoreError> {
    Ok(gather(db, &BY_ID, &[id.into()])?.pop())
}

/// Where a call stands; `None` where there is none.
pub(super) fn state(db: &mut dyn Db, id: i64) -> Result<Option<State>, StoreError> {
    let Some(row) = db.row_opt(&STATE, &[id.into()])? else {
        return Ok(None);
    };
    State::from_code(row.text(0)?)
        .map(Some)
        .ok_or_else(|| StoreError::value("unknown state of a call in a row"))
}

fn gather(db: &mut dyn Db, sql: &Sql, params: &[Param]) -> Result<Vec<Call>, StoreError> {
    let rows = db.rows(sql, params)?;
    let tubes: BTreeSet<i64> = rows
        .iter()
        .map(|row| row.opt_int(14))
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect();
    let tubes: Vec<i64> = tubes.into_iter().collect();
    let known = book::specimens_by_ids(db, &tubes)?;
    let owners = known.values().map(|tube| tube.patient).collect();
    let patients = book::patients_of(db, &owners)?;
    let items = book::items_of(db, &tubes)?;
    let mut calls = Vec::with_capacity(rows.len());
    for row in &rows {
        let tube = row.opt_int(14)?;
        let owner = tube
            .and_then(|tube| known.get(&tube))
            .map(|tube| tube.patient);
        let patient = owner.and_then(|owner| patients.get(&owner)).cloned();
        let items = tube.and_then(|tube| items.get(&tube));
        calls.push(call(row, patient, items.map_or(&[][..], Vec::as_slice))?);
    }
    add_attempts(db, &mut calls)?;
    Ok(calls)
}

fn call(row: &Row, patient: Option<BookPatient>, items: &[BookItem]) -> Result<Call, StoreError> {
    let wrong = || StoreError::value("unknown kind or state of a call in a row");
    let test = row.text(4)?.to_owned();
    // The order of the test tells most; another one of the tube stands on the same ward.
    let (own, others): (Vec<&BookItem>, Vec<&BookItem>) =
        items.iter().partition(|item| item.tests.contains(&test));
    let items = [own, others].concat();
    Ok(Call {
        id: row.int(0)?,
        result: row.int(1)?,
        kind: Kind::from_code(row.text(2)?).ok_or_else(wrong)?,
        state: State::from_code(row.text(3)?).ok_or_else(wrong)?,
        value: Private::new(row.text(5)?.to_owned()),
        unit: row.text(6)?.to_owned(),
        side: row.text(7)?.to_owned(),
        beyond: row.text(8)?.to_owned(),
        opened_at: row.int(10)?,
        closed_at: row.opt_int(11)?,
        closed_by: row.text(12)?.to_owned(),
        barcode: row.text(13)?.to_owned(),
        line: row.text(15)?.to_owned(),
        result_state: ResultState::from_code(row.text(16)?),
        ward: ward(row.text(17)?, &items),
        phone: first(&items, |item| {
            [item.orc.get(&14), item.obr.get(&17)].map(|field| phone(field.map_or("", |own| own)))
        }),
        ordered_by: Private::new(first(&items, |item| {
            [item.orc.get(&12), item.obr.get(&16)].map(|field| person(field.map_or("", |own| own)))
        })),
        before: Private::new(row.text(18)?.to_owned()),
        patient,
        test,
        attempts: Vec::new(),
    })
}

fn add_attempts(db: &mut dyn Db, calls: &mut [Call]) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = calls.iter().map(|call| call.id).collect();
    let mut made: BTreeMap<i64, Vec<Made>> = BTreeMap::new();
    for row in db.rows(&ATTEMPTS, &[json(&ids)?.into()])? {
        let outcome = Outcome::from_code(row.text(3)?)
            .ok_or_else(|| StoreError::value("unknown outcome of a call in a row"))?;
        made.entry(row.int(0)?).or_default().push(Made {
            at: row.int(1)?,
            actor: row.text(2)?.to_owned(),
            outcome,
            told_to: row.text(4)?.to_owned(),
            contact: row.text(5)?.to_owned(),
            is_read_back: row.bool(6)?,
        });
    }
    for call in calls {
        call.attempts = made.remove(&call.id).unwrap_or_default();
    }
    Ok(())
}

/// The first of these places of the orders that says something.
fn first<const N: usize>(items: &[&BookItem], places: impl Fn(&BookItem) -> [String; N]) -> String {
    let mut all = items.iter().flat_map(|item| places(item));
    all.find(|text| !text.is_empty()).unwrap_or_default()
}

/// The tube's sending station, else the enterer's location (ORC-13.1).
fn ward(station: &str, items: &[&BookItem]) -> String {
    if !station.is_empty() {
        return station.to_owned();
    }
    first(items, |item| {
        let field = item.orc.get(&13).map_or("", |field| field);
        [component(field, 0)]
    })
}

/// A component of the first repeat of a field, counted from 0, without escapes.
fn component(field: &str, at: usize) -> String {
    let first = field.split('~').next().unwrap_or_default();
    let part = first.split('^').nth(at).unwrap_or_default();
    escape::decode(part, Separators::STANDARD)
        .0
        .trim()
        .to_owned()
}

/// XTN: the number as it is dialled (XTN.1, since 2.7 XTN.12), else area code and number.
fn phone(field: &str) -> String {
    let whole = [component(field, 0), component(field, 11)];
    let whole = whole.into_iter().find(|text| !text.is_empty());
    whole.unwrap_or_else(|| {
        let parts = format!("{} {}", component(field, 5), component(field, 6));
        parts.trim().to_owned()
    })
}

/// XCN: family, middle and given name as Vietnamese names are said, else the number.
fn person(field: &str) -> String {
    let parts = [
        component(field, 1),
        component(field, 3),
        component(field, 2),
    ];
    let name: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    if name.is_empty() {
        component(field, 0)
    } else {
        name.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_telephone_is_read_as_any_version_writes_it() {
        assert_eq!(phone("0243 869 3731"), "0243 869 3731");
        assert_eq!(phone("^WPN^PH^^^^^^^^^+84 24 3869~9"), "+84 24 3869");
        assert_eq!(phone("^PRN^PH^^84^243^8693731"), "243 8693731");
        assert_eq!(phone(""), "");
    }

    #[test]
    fn whoever_ordered_is_named_as_names_are_said() {
        assert_eq!(person("BS01^NGUYỄN^LAN^THỊ"), "NGUYỄN THỊ LAN");
        assert_eq!(person("BS01^TR\\T\\N^AN"), "TR&N AN");
        assert_eq!(person("BS01"), "BS01");
    }
}
