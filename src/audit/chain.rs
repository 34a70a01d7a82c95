//! The chain of the audit: each row holds a hash of itself and of the row before it.
//!
//! The hash of a row is SHA-256 (FIPS 180-4) over the hash of the row before it, the instant, and actor,
//! action, subject and detail, each with its length before it. The first row follows 32 zero bytes. So
//! whoever changes a row, takes one out or puts one in has to make every later hash anew, and then the
//! newest one is another than the one that somebody noted down before.

use sha2::{Digest as _, Sha256};

use crate::{
    people::hex,
    store::{Db, Sql, StoreError, journal},
};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

const HEAD: Sql = Sql::same("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1");
const PAGE: Sql = Sql::same(
    "SELECT id, at, actor, action, subject, detail, hash FROM audit WHERE id > $1 \
     ORDER BY id LIMIT $2",
);

const ATTESTED: Sql =
    Sql::same("SELECT detail FROM audit WHERE subject = $1 AND action = 'archive'");

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&HEAD, &PAGE, &ATTESTED];

/// The key of `meta` that says up to which row the audit is in archives. The database lets rows be removed
/// up to this one, and the walk begins behind it.
const ARCHIVED: &str = "audit_archived";

/// The last row that is in an archive and no longer in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archived {
    /// The row.
    pub id: i64,
    /// Its hash, hexadecimal; `None` of a row that is older than the chain.
    pub hash: Option<String>,
    /// When it was written, microseconds UTC.
    pub at: i64,
}

impl Archived {
    /// What the row of the audit is about that says so.
    pub fn subject(id: i64) -> String {
        format!("audit:{id}")
    }

    /// As people note it down, and as that row says it.
    pub fn head(&self) -> Head {
        Head {
            id: self.id,
            hash: self.hash.clone().unwrap_or_else(|| hex(&BEGIN)),
        }
    }
}

/// Up to which row the audit is in archives, if any is.
///
/// # Errors
/// The store's.
pub fn archived(db: &mut dyn Db) -> Result<Option<Archived>, StoreError> {
    let wrong = || StoreError::value("the last row of the audit in an archive");
    let Some(text) = journal::meta(db, ARCHIVED)? else {
        return Ok(None);
    };
    let (head, at) = text.rsplit_once(':').ok_or_else(wrong)?;
    let head: Head = head.parse().map_err(|_| wrong())?;
    Ok(Some(Archived {
        id: head.id,
        hash: (head.hash != hex(&BEGIN)).then_some(head.hash),
        at: at.parse().map_err(|_| wrong())?,
    }))
}

/// The rows up to `last` are in an archive: they may be removed, in this transaction.
///
/// # Errors
/// The store's.
pub fn set_archived(db: &mut dyn Db, last: &Archived) -> Result<(), StoreError> {
    let text = format!("{}:{}", last.head(), last.at);
    journal::set_meta(db, ARCHIVED, &text)
}

/// Rows that are read at once.
const PAGE_ROWS: i64 = 2_000;

/// What the first row follows.
const BEGIN: [u8; HASH_BYTES] = [0; HASH_BYTES];

/// What the next row follows. Rows are written one after the other (by the turn of a writer), so nobody
/// else adds one meanwhile.
pub(super) fn head(db: &mut dyn Db) -> Result<Vec<u8>, StoreError> {
    let last = db.row_opt(&HEAD, &[])?;
    let hash = match &last {
        Some(row) => row.opt_blob(1)?,
        None => None,
    };
    Ok(hash.unwrap_or(&BEGIN).to_vec())
}

/// The newest row, to be noted down; `None` where there is none, or it is older than the chain.
///
/// # Errors
/// The store's.
pub fn newest(db: &mut dyn Db) -> Result<Option<Head>, StoreError> {
    let Some(row) = db.row_opt(&HEAD, &[])? else {
        return Ok(None);
    };
    let id = row.int(0)?;
    Ok(row.opt_blob(1)?.map(|hash| Head {
        id,
        hash: hex(hash),
    }))
}

/// The hash of a row: `said` is actor, action, subject and detail.
pub(super) fn hash(before: &[u8], at: i64, said: [&str; 4]) -> Vec<u8> {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(at.to_be_bytes());
    for part in said {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_vec()
}

/// The newest row of a chain, as people note it down: `ID:HASH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The row.
    pub id: i64,
    /// Its hash, hexadecimal.
    pub hash: String,
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.id, self.hash)
    }
}

impl std::str::FromStr for Head {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, hash) = text.split_once(':').ok_or("a row and its hash, ID:HASH")?;
        let id = id.parse().map_err(|_| "a row's number before the colon")?;
        let is_hash =
            hash.len() == 2 * HASH_BYTES && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_hash {
            return Err("64 hexadecimal digits after the colon");
        }
        let hash = hash.to_ascii_lowercase();
        Ok(Self { id, hash })
    }
}

/// The bytes of hexadecimal digits, which a [`Head`] proved to be some.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap_or(0)).unwrap_or(0);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| pair.iter().fold(0, |byte, one| (byte << 4) | digit(*one)))
        .collect()
}

/// Where a chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Break {
    /// It does not follow from the row before it: one of them was changed, or rows between them were
    /// taken out or put in.
    NotFollowing {
        /// The row.
        id: i64,
        /// When it says it was written, microseconds UTC.
        at: i64,
        /// The row before it.
        before: Option<i64>,
    },
    /// A row without a hash behind rows that have one.
    Unchained {
        /// The row.
        id: i64,
        /// When it says it was written, microseconds UTC.
        at: i64,
    },
    /// The row that was noted down is not there, or has another hash.
    NotAsNoted(Head),
    /// Rows up to this one are gone, and no row says that they were archived.
    NotArchived(Head),
}

/// Walks the chain from its first row on.
#[derive(Clone, Debug)]
pub struct Walk {
    after: i64,
    hash: Vec<u8>,
    /// The newest row that holds.
    head: Option<Head>,
    /// What was noted down and not met yet.
    noted: Option<Head>,
    /// Rows that follow from the one before.
    pub rows: u64,
    /// Rows of before there was a chain.
    pub unchained: u64,
    /// The last row that is in an archive: the chain goes on from it.
    pub archived: Option<Archived>,
    has_begun: bool,
}

impl Walk {
    /// From the first row; `noted` has to be one of them.
    pub fn new(noted: Option<Head>) -> Self {
        Self {
            after: 0,
            hash: BEGIN.to_vec(),
            head: None,
            noted,
            rows: 0,
            unchained: 0,
            archived: None,
            has_begun: false,
        }
    }

    /// Begins behind what is in archives. What was noted down of that stands there.
    fn begin(&mut self, db: &mut dyn Db) -> Result<Option<Break>, StoreError> {
        self.has_begun = true;
        let Some(last) = archived(db)? else {
            return Ok(None);
        };
        let head = last.head();
        let said = db.rows(&ATTESTED, &[Archived::subject(last.id).into()])?;
        let is_said = |row: &crate::store::Row| {
            row.text(0)
                .is_ok_and(|detail| detail.contains(&head.to_string()))
        };
        if !said.iter().any(is_said) {
            return Ok(Some(Break::NotArchived(head)));
        }
        if let Some(noted) = self.noted.take_if(|noted| noted.id <= last.id)
            && noted.id == last.id
            && noted != head
        {
            return Ok(Some(Break::NotAsNoted(noted)));
        }
        self.after = last.id;
        self.hash = unhex(&head.hash);
        self.head = last.hash.is_some().then_some(head);
        self.archived = Some(last);
        Ok(None)
    }

    /// The newest row that holds.
    pub const fn head(&self) -> Option<&Head> {
        self.head.as_ref()
    }

    /// Looks at the next rows. `None` while there are more; then that all hold, or the first that does
    /// not: what comes behind it says nothing.
    ///
    /// # Errors
    /// The store's.
    pub fn next_page(&mut self, db: &mut dyn Db) -> Result<Option<Result<(), Break>>, StoreError> {
        if !self.has_begun
            && let Some(found) = self.begin(db)?
        {
            return Ok(Some(Err(found)));
        }
        let rows = db.rows(&PAGE, &[self.after.into(), PAGE_ROWS.into()])?;
        for row in &rows {
            let (id, at) = (row.int(0)?, row.int(1)?);
            let said = [row.text(2)?, row.text(3)?, row.text(4)?, row.text(5)?];
            if let Some(found) = self.step(id, at, said, row.opt_blob(6)?) {
                return Ok(Some(Err(found)));
            }
        }
        if !rows.is_empty() {
            return Ok(None);
        }
        Ok(Some(match self.noted.take() {
            None => Ok(()),
            Some(noted) => Err(Break::NotAsNoted(noted)),
        }))
    }

    fn step(&mut self, id: i64, at: i64, said: [&str; 4], stored: Option<&[u8]>) -> Option<Break> {
        let before = self.head.as_ref().map(|head| head.id);
        self.after = id;
        let Some(stored) = stored else {
            self.unchained += 1;
            return before.map(|_| Break::Unchained { id, at });
        };
        self.hash = hash(&self.hash, at, said);
        if self.hash != stored {
            return Some(Break::NotFollowing { id, at, before });
        }
        self.rows += 1;
        let head = Head {
            id,
            hash: hex(stored),
        };
        if let Some(noted) = self.noted.take_if(|noted| noted.id <= id)
            && noted != head
        {
            return Some(Break::NotAsNoted(noted));
        }
        self.head = Some(head);
        None
    }
}

#[cfg(test)]
mod tests;
