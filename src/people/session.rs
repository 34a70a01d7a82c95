//! Sessions: somebody is there, until 15 minutes pass without anything from them.

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::store::{Db, Sql, StoreError};

use super::{Person, hex, person, random};

const INSERT: Sql = Sql::same(
    "INSERT INTO session (token, person, created_at, seen_at, address) VALUES ($1, $2, $3, $3, $4)",
);
const FIND: Sql = Sql::same("SELECT person, seen_at FROM session WHERE token = $1");
const SEEN: Sql = Sql::same("UPDATE session SET seen_at = $2 WHERE token = $1");
const END: Sql = Sql::same("DELETE FROM session WHERE token = $1");
const END_ALL: Sql = Sql::same("DELETE FROM session WHERE person = $1");
const SWEEP: Sql = Sql::same("DELETE FROM session WHERE seen_at < $1");
/// Of one person the oldest sessions beyond `$2` are ended.
const CROP: Sql = Sql::same(
    "DELETE FROM session WHERE person = $1 AND token NOT IN \
     (SELECT token FROM session WHERE person = $1 ORDER BY seen_at DESC LIMIT $2)",
);

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&INSERT, &FIND, &SEEN, &END, &END_ALL, &SWEEP, &CROP];

/// A session ends so long after the last thing that its person did.
pub const IDLE_MICROS: i64 = 15 * 60 * 1_000_000;

/// That somebody is still there is written down once in so long, not for every page.
const SEEN_EVERY_MICROS: i64 = 30 * 1_000_000;

/// Benches at which one person is logged in at once.
const SESSIONS_MAX: i64 = 10;

/// What a cookie says: 32 random bytes, in hexadecimal digits.
#[derive(Clone)]
pub struct Ticket(String);

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[ticket]")
    }
}

impl Ticket {
    /// A new one.
    ///
    /// # Errors
    /// The system gives no random bytes.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self(hex(&random::<32>()?)))
    }

    /// What a browser sent; `None` for what was never one.
    pub fn read(text: &str) -> Option<Self> {
        let is_one = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_one.then(|| Self(text.to_owned()))
    }

    /// For the cookie.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is stored of it.
    fn stored(&self) -> String {
        hex(&Sha256::digest(self.0.as_bytes()))
    }

    /// What every form of the session carries: known to pages of the session alone, and of no use to
    /// find the ticket by.
    pub fn form_token(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"labwire form ");
        hash.update(self.0.as_bytes());
        hex(&hash.finalize())
    }

    /// Whether a form carries [`Ticket::form_token`].
    pub fn is_form_token(&self, sent: &str) -> bool {
        bool::from(self.form_token().as_bytes().ct_eq(sent.as_bytes()))
    }
}

/// Somebody logged in. A few sessions of one person live at once; older ones end.
///
/// # Errors
/// The store's.
pub fn begin(
    db: &mut dyn Db,
    ticket: &Ticket,
    person: i64,
    address: &str,
    now: i64,
) -> Result<(), StoreError> {
    let params = [
        ticket.stored().into(),
        person.into(),
        now.into(),
        address.into(),
    ];
    db.exec(&INSERT, &params)?;
    db.exec(&CROP, &[person.into(), SESSIONS_MAX.into()])?;
    Ok(())
}

/// Who a ticket belongs to, and whether it is time to write down that they are there; `None` once
/// it ended or its person may not log in.
///
/// # Errors
/// The store's.
pub fn check(
    db: &mut dyn Db,
    ticket: &Ticket,
    now: i64,
) -> Result<Option<(Person, bool)>, StoreError> {
    let Some(row) = db.row_opt(&FIND, &[ticket.stored().into()])? else {
        return Ok(None);
    };
    let seen_at = row.int(1)?;
    if now.saturating_sub(seen_at) > IDLE_MICROS {
        return Ok(None);
    }
    let person = person::by_id(db, row.int(0)?)?;
    let is_due = now.saturating_sub(seen_at) > SEEN_EVERY_MICROS;
    Ok(person
        .filter(|person| !person.is_disabled)
        .map(|person| (person, is_due)))
}

impl Ticket {
    /// Writes down that its person did something.
    ///
    /// # Errors
    /// The store's.
    pub fn seen(&self, db: &mut dyn Db, now: i64) -> Result<(), StoreError> {
        db.exec(&SEEN, &[self.stored().into(), now.into()])?;
        Ok(())
    }
}

/// Somebody logged out.
///
/// # Errors
/// The store's.
pub fn end(db: &mut dyn Db, ticket: &Ticket) -> Result<(), StoreError> {
    db.exec(&END, &[ticket.stored().into()])?;
    Ok(())
}

/// Ends every session of a person.
///
/// # Errors
/// The store's.
pub fn end_all(db: &mut dyn Db, person: i64) -> Result<(), StoreError> {
    db.exec(&END_ALL, &[person.into()])?;
    Ok(())
}

/// Forgets sessions that ended by themselves.
///
/// # Errors
/// The store's.
pub fn sweep(db: &mut dyn Db, now: i64) -> Result<(), StoreError> {
    db.exec(&SWEEP, &[now.saturating_sub(IDLE_MICROS).into()])?;
    Ok(())
}
