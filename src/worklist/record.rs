//! Acts as they are kept: how everything stood before, so that it can be put back.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    audit,
    book::{json, unjson},
    model::{Hold, ResultState},
    store::{Db, Param, Row, Sql, StoreError},
};

use super::{Acting, Done, UNDO};

const OF_BARCODES: Sql = Sql {
    sqlite: "SELECT id, barcode, specimen, test, state, version, supersedes, holds, detail, queue, \
             decided_at FROM result WHERE barcode IN (SELECT value FROM json_each($1))",
    postgres: "SELECT id, barcode, specimen, test, state, version, supersedes, holds, detail, \
               queue, decided_at FROM result WHERE barcode IN \
               (SELECT value FROM json_array_elements_text($1::json) AS t(value))",
};
const OF_IDS: Sql = Sql {
    sqlite: "SELECT id, barcode, specimen, test, state, version, supersedes, holds, detail, queue, \
             decided_at FROM result WHERE id IN (SELECT value FROM json_each($1))",
    postgres: "SELECT id, barcode, specimen, test, state, version, supersedes, holds, detail, \
               queue, decided_at FROM result WHERE id IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value))",
};
const LINKS: Sql = Sql {
    sqlite: "SELECT queue, result FROM queue_result \
             WHERE result IN (SELECT value FROM json_each($1))",
    postgres: "SELECT queue, result FROM queue_result WHERE result IN \
               (SELECT value::bigint FROM json_array_elements_text($1::json) AS t(value))",
};
const LAST_ROW: Sql = Sql::same("SELECT coalesce(max(id), 0) FROM queue");
const INSERT: Sql = Sql::same(
    "INSERT INTO act (at, actor, kind, subject, reason, changes) VALUES ($1, $2, $3, $4, $5, $6) \
     RETURNING id",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&OF_BARCODES, &OF_IDS, &LINKS, &LAST_ROW, &INSERT];

/// What an act may change of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stand {
    pub(super) barcode: String,
    pub(super) specimen: Option<i64>,
    pub(super) test: Option<String>,
    pub(super) state: String,
    pub(super) version: i64,
    pub(super) supersedes: Option<i64>,
    pub(super) holds: String,
    pub(super) detail: String,
    pub(super) queue: Option<i64>,
    pub(super) decided_at: Option<i64>,
}

impl Stand {
    fn read(row: &Row) -> Result<(i64, Self), StoreError> {
        let stand = Self {
            barcode: row.text(1)?.to_owned(),
            specimen: row.opt_int(2)?,
            test: row.opt_text(3)?.map(str::to_owned),
            state: row.text(4)?.to_owned(),
            version: row.int(5)?,
            supersedes: row.opt_int(6)?,
            holds: row.text(7)?.to_owned(),
            detail: row.text(8)?.to_owned(),
            queue: row.opt_int(9)?,
            decided_at: row.opt_int(10)?,
        };
        Ok((row.int(0)?, stand))
    }

    pub(super) fn is_released(&self) -> bool {
        self.state == ResultState::Released.code()
    }

    /// For the audit: no value, no name.
    fn told(&self) -> serde_json::Value {
        let holds: Vec<Hold> = unjson(&self.holds).unwrap_or_default();
        let reasons: Vec<&str> = holds.iter().map(|hold| hold.reason.code()).collect();
        serde_json::json!({
            "state": self.state,
            "version": self.version,
            "holds": reasons,
            "test": self.test,
            "specimen": self.specimen,
        })
    }
}

/// Everything that an act changed, and how it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Changes {
    /// Result, before, after.
    pub(super) results: Vec<(i64, Stand, Stand)>,
    /// Further messages with a result, from which it was taken.
    pub(super) links: Vec<(i64, i64)>,
    /// Messages with a row number above this were made by the act, up to and with the second.
    pub(super) made: (i64, i64),
    /// A message of the journal: its outcome before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<(i64, Option<String>)>,
    /// A code that was mapped: line, code, and the unit as sent if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mapping: Option<(String, String, Option<String>)>,
}

/// How things stood when an act began.
#[derive(Debug, Default)]
pub(super) struct Before {
    barcodes: BTreeSet<String>,
    ids: BTreeSet<i64>,
    results: BTreeMap<i64, Stand>,
    links: BTreeSet<(i64, i64)>,
    last_row: i64,
}

/// The results of barcodes, and some besides; a barcode that is not there names nothing.
pub(super) fn stands(
    db: &mut dyn Db,
    barcodes: &BTreeSet<String>,
    ids: &BTreeSet<i64>,
) -> Result<BTreeMap<i64, Stand>, StoreError> {
    let named: Vec<&String> = barcodes.iter().filter(|code| !code.is_empty()).collect();
    let mut rows = db.rows(&OF_BARCODES, &[json(&named)?.into()])?;
    rows.extend(db.rows(&OF_IDS, &[json(ids)?.into()])?);
    rows.iter().map(Stand::read).collect()
}

fn links(
    db: &mut dyn Db,
    results: &BTreeMap<i64, Stand>,
) -> Result<BTreeSet<(i64, i64)>, StoreError> {
    let ids: Vec<i64> = results.keys().copied().collect();
    db.rows(&LINKS, &[json(&ids)?.into()])?
        .iter()
        .map(|row| Ok((row.int(0)?, row.int(1)?)))
        .collect()
}

fn last_row(db: &mut dyn Db) -> Result<i64, StoreError> {
    db.row(&LAST_ROW, &[])?.int(0)
}

impl Before {
    /// Looks at everything that an act on results of these barcodes, and on these results, may
    /// change.
    pub(super) fn look(
        db: &mut dyn Db,
        barcodes: BTreeSet<String>,
        ids: BTreeSet<i64>,
    ) -> Result<Self, StoreError> {
        let results = stands(db, &barcodes, &ids)?;
        Ok(Self {
            links: links(db, &results)?,
            last_row: last_row(db)?,
            results,
            barcodes,
            ids,
        })
    }

    /// What is different now.
    pub(super) fn changes(&self, db: &mut dyn Db) -> Result<Changes, StoreError> {
        let mut now = stands(db, &self.barcodes, &self.ids)?;
        let kept = links(db, &self.results)?;
        let mut changes = Changes {
            made: (self.last_row, last_row(db)?),
            links: self.links.difference(&kept).copied().collect(),
            ..Changes::default()
        };
        for (id, before) in &self.results {
            if let Some(after) = now.remove(id).filter(|after| after != before) {
                changes.results.push((*id, before.clone(), after));
            }
        }
        Ok(changes)
    }
}

impl Acting<'_> {
    /// Keeps an act and tells the audit: one row for its subject, and one for each other result
    /// that it moved.
    pub(super) fn keep(
        &self,
        db: &mut dyn Db,
        kind: &str,
        subject: &str,
        changes: &Changes,
    ) -> Result<Done, StoreError> {
        let name = self.person.name.trim();
        let reason = self.reason.trim();
        let params: [Param; 6] = [
            self.now.into(),
            name.into(),
            kind.into(),
            subject.into(),
            reason.into(),
            json(changes)?.into(),
        ];
        let act = db.insert(&INSERT, &params)?;
        let mut told: Vec<[String; 2]> = Vec::new();
        for (id, before, after) in &changes.results {
            let detail = serde_json::json!({
                "act": act,
                "reason": reason,
                "before": before.told(),
                "after": after.told(),
            });
            told.push([format!("result:{id}"), detail.to_string()]);
        }
        if told.iter().all(|[of, _]| of != subject) {
            let detail = serde_json::json!({ "act": act, "reason": reason });
            told.push([subject.to_owned(), detail.to_string()]);
        }
        let rows: Vec<[&str; 4]> = told
            .iter()
            .map(|[of, detail]| [name, kind, of.as_str(), detail.as_str()])
            .collect();
        audit::write_all(db, self.now, &rows)?;
        Ok(Done {
            act,
            state: None,
            until: self.now.saturating_add(UNDO),
        })
    }
}
