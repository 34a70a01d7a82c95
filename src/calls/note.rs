//! What settling means for calls: opened, taken over, replaced, ended.

use crate::{
    audit,
    book::json,
    store::{Db, Row, Sql, StoreError},
};

use super::{Critical, Kind, State};

/// Calls about these results, and what takes them back.
const OF_RESULTS: Sql = Sql {
    sqlite: "SELECT c.id, c.result, c.kind, c.state, c.value, c.unit, c.side, c.beyond, c.follows, \
             EXISTS (SELECT 1 FROM call_attempt a WHERE a.call = c.id AND a.outcome = 'told') \
             FROM critical_call c WHERE c.result IN (SELECT value FROM json_each($1)) \
             OR c.follows IN (SELECT p.id FROM critical_call p WHERE p.result IN \
               (SELECT value FROM json_each($1))) ORDER BY c.id",
    postgres: "SELECT c.id, c.result, c.kind, c.state, c.value, c.unit, c.side, c.beyond, \
               c.follows, CASE WHEN EXISTS (SELECT 1 FROM call_attempt a WHERE a.call = c.id \
                 AND a.outcome = 'told') THEN 1::bigint ELSE 0::bigint END \
               FROM critical_call c WHERE c.result IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value)) \
               OR c.follows IN (SELECT p.id FROM critical_call p WHERE p.result IN \
                 (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value))) \
               ORDER BY c.id",
};
/// A call that ended because its reason went away is open again when the reason comes back.
const OPEN: Sql = Sql::same(
    "INSERT INTO critical_call (result, kind, state, test, value, unit, side, beyond, follows, \
     opened_at, closed_at, closed_by) VALUES ($1, $2, 'open', $3, $4, $5, $6, $7, $8, $9, NULL, '') \
     ON CONFLICT (result, kind) DO UPDATE SET state = 'open', test = excluded.test, \
     value = excluded.value, unit = excluded.unit, side = excluded.side, \
     beyond = excluded.beyond, opened_at = excluded.opened_at, closed_at = NULL, closed_by = '' \
     WHERE critical_call.state IN ('ended', 'replaced') RETURNING id",
);
const CLOSE: Sql = Sql::same(
    "UPDATE critical_call SET state = $2, closed_at = $3 WHERE id = $1 AND state = 'open'",
);
const MOVE: Sql = Sql::same("UPDATE critical_call SET result = $2 WHERE id = $1");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&OF_RESULTS, &OPEN, &CLOSE, &MOVE];

/// A result version that was decided about.
#[derive(Clone, Debug)]
pub struct Judged {
    /// Its row.
    pub result: i64,
    /// The line it came on.
    pub line: String,
    /// Its test in the catalogue, else the device's code.
    pub test: String,
    /// Its value as sent.
    pub value: String,
    /// Its unit as sent.
    pub unit: String,
    /// Beyond a limit of its patient; `None` also where it does not stand.
    pub critical: Option<Critical>,
    /// It was not known before this transaction, so there is no call about it.
    pub is_new: bool,
    /// Versions whose place it took.
    pub replaces: Vec<i64>,
}

impl Judged {
    /// Whether it may concern a call: it is critical, or there may be a call that it ends.
    pub const fn matters(&self) -> bool {
        self.critical.is_some() || !self.is_new || !self.replaces.is_empty()
    }

    /// Whether a call about that result is one about this, or about what it replaced.
    fn is_about(&self, result: i64) -> bool {
        result == self.result || self.replaces.contains(&result)
    }
}

/// A call as far as settling needs it.
#[derive(Clone, Debug)]
struct Known {
    id: i64,
    result: i64,
    kind: Kind,
    state: State,
    value: String,
    unit: String,
    critical: Critical,
    follows: Option<i64>,
    was_told: bool,
}

impl Known {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let wrong = || StoreError::value("unknown kind or state of a call in a row");
        Ok(Self {
            id: row.int(0)?,
            result: row.int(1)?,
            kind: Kind::from_code(row.text(2)?).ok_or_else(wrong)?,
            state: State::from_code(row.text(3)?).ok_or_else(wrong)?,
            value: row.text(4)?.to_owned(),
            unit: row.text(5)?.to_owned(),
            critical: Critical {
                side: if row.text(6)? == "low" { "low" } else { "high" },
                beyond: row.text(7)?.to_owned(),
            },
            follows: row.opt_int(8)?,
            was_told: row.bool(9)?,
        })
    }

    /// Whether somebody on the ward may act on it: told, with or without a read-back.
    fn is_out(&self) -> bool {
        self.state == State::Told || self.was_told
    }
}

/// Does what these decisions mean for calls, in their order, in the transaction that made them.
///
/// # Errors
/// The store's.
pub fn note(db: &mut dyn Db, judged: &[Judged], now: i64) -> Result<(), StoreError> {
    for one in judged.iter().filter(|one| one.matters()) {
        let known = known(db, one)?;
        match &one.critical {
            Some(critical) => opened(db, one, critical, &known, now)?,
            None => ended(db, one, &known, now)?,
        }
    }
    Ok(())
}

/// What is known of the result and of those whose place it took.
fn known(db: &mut dyn Db, one: &Judged) -> Result<Vec<Known>, StoreError> {
    let mut ids = one.replaces.clone();
    if !one.is_new {
        ids.push(one.result);
    }
    of_results(db, &ids)
}

fn of_results(db: &mut dyn Db, ids: &[i64]) -> Result<Vec<Known>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = db.rows(&OF_RESULTS, &[json(&ids)?.into()])?;
    rows.iter().map(Known::read).collect()
}

/// A critical version: its call is the one of the version before where the value is the same.
fn opened(
    db: &mut dyn Db,
    one: &Judged,
    critical: &Critical,
    known: &[Known],
    now: i64,
) -> Result<(), StoreError> {
    let mut critical_ones = known.iter().filter(|call| call.kind == Kind::Critical);
    let has_own = critical_ones.clone().any(|call| call.result == one.result);
    let before = critical_ones.rfind(|call| one.replaces.contains(&call.result));
    for corrected in known.iter().filter(|call| call.kind == Kind::Corrected) {
        close(db, one, corrected, State::Replaced, now)?;
    }
    if let (Some(before), false) = (before, has_own)
        && (&before.value, &before.unit) == (&one.value, &one.unit)
        && matches!(before.state, State::Open | State::Told)
    {
        db.exec(&MOVE, &[before.id.into(), one.result.into()])?;
        let detail = format!("result:{} {}", one.result, critical.side);
        return write(db, one, "call-follows", before.id, &detail, now);
    }
    if let Some(before) = before {
        close(db, one, before, State::Replaced, now)?;
    }
    let follows = before.map(|before| before.id);
    open(db, one, Kind::Critical, critical, follows, now)
}

/// A version that is not critical, or stands no longer: nobody need be told what nobody was told, and
/// whoever was told has to hear of it.
fn ended(db: &mut dyn Db, one: &Judged, known: &[Known], now: i64) -> Result<(), StoreError> {
    // What takes something back does so with the newest value.
    let mut taken_back = None;
    for call in known.iter().filter(|call| one.is_about(call.result)) {
        match call.kind {
            Kind::Critical => {
                close(db, one, call, State::Ended, now)?;
                if call.is_out() {
                    taken_back = Some((&call.critical, Some(call.id)));
                }
            }
            Kind::Corrected if call.state == State::Open && call.result != one.result => {
                close(db, one, call, State::Replaced, now)?;
                taken_back = Some((&call.critical, call.follows));
            }
            Kind::Corrected => {}
        }
    }
    match taken_back {
        Some((critical, follows)) => open(db, one, Kind::Corrected, critical, follows, now),
        None => Ok(()),
    }
}

fn open(
    db: &mut dyn Db,
    one: &Judged,
    kind: Kind,
    critical: &Critical,
    follows: Option<i64>,
    now: i64,
) -> Result<(), StoreError> {
    let params = [
        one.result.into(),
        kind.code().into(),
        one.test.as_str().into(),
        one.value.as_str().into(),
        one.unit.as_str().into(),
        critical.side.into(),
        critical.beyond.as_str().into(),
        follows.into(),
        now.into(),
    ];
    let Some(row) = db.row_opt(&OPEN, &params)? else {
        return Ok(());
    };
    let detail = format!("result:{} {} {}", one.result, kind.code(), critical.side);
    write(db, one, "call-open", row.int(0)?, &detail, now)
}

fn close(
    db: &mut dyn Db,
    one: &Judged,
    call: &Known,
    state: State,
    now: i64,
) -> Result<(), StoreError> {
    let params = [call.id.into(), state.code().into(), now.into()];
    if db.exec(&CLOSE, &params)? == 0 {
        return Ok(());
    }
    let detail = format!("{} by result:{}", state.code(), one.result);
    write(db, one, "call-close", call.id, &detail, now)
}

fn write(
    db: &mut dyn Db,
    one: &Judged,
    action: &str,
    call: i64,
    detail: &str,
    now: i64,
) -> Result<(), StoreError> {
    let (actor, subject) = (format!("line:{}", one.line), format!("call:{call}"));
    audit::write(db, now, &actor, action, &subject, detail)
}

/// Results gave way to what the whole of their message says, which is settled next and has its own
/// calls.
///
/// # Errors
/// The store's.
pub fn replaced(db: &mut dyn Db, results: &[i64], now: i64) -> Result<(), StoreError> {
    for call in of_results(db, results)? {
        let params = [call.id.into(), State::Replaced.code().into(), now.into()];
        db.exec(&CLOSE, &params)?;
    }
    Ok(())
}

/// A person gave a result up: it stands no longer.
///
/// # Errors
/// The store's.
pub fn taken_back(db: &mut dyn Db, one: &Judged, now: i64) -> Result<(), StoreError> {
    let gone = Judged {
        critical: None,
        is_new: false,
        replaces: Vec::new(),
        ..one.clone()
    };
    note(db, &[gone], now)
}
