//! The chain of the audit: each row holds a hash of itself and of the row before it.
//!
//! The hash of a row is SHA-256 (FIPS 180-4) over the hash of the row before it, the instant, and actor,
//! action, subject and detail, each with its length before it. The first row follows 32 zero bytes. So
//! whoever changes a row, takes one out or puts one in has to make every later hash anew, and then the
//! newest one is another than the one that somebody noted down before.

use sha2::{Digest as _, Sha256};

use crate::{
    people::hex,
    store::{Db, Sql, StoreError},
};

/// Bytes of a hash.
pub const HASH_BYTES: usize = 32;

const HEAD: Sql = Sql::same("SELECT id, hash FROM audit ORDER BY id DESC LIMIT 1");
const PAGE: Sql = Sql::same(
    "SELECT id, at, actor, action, subject, detail, hash FROM audit WHERE id > $1 \
     ORDER BY id LIMIT $2",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&HEAD, &PAGE];

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
        }
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
