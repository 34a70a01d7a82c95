//! The end of a simulation: everything that was promised is delivered, or stands where people see it.

use std::collections::BTreeSet;

use labwire_sims::his::Observation;

use crate::{
    book::{self, BookItem},
    ledger::Ledger,
    model::ResultState,
    settle::{self, StoredResult},
    store::{Db, Sql, StoreError, by_hand::ByHand},
};

use super::{
    checks::Checks,
    hospital::{AU, World, in_points},
    network::Network,
    scribe::Scribe,
};

const OPEN: Sql = Sql::same(
    "SELECT (SELECT count(*) FROM message WHERE state = 'unparsed') \
     + (SELECT count(*) FROM queue q WHERE q.state = 'leased' OR (q.state = 'waiting' AND NOT EXISTS \
        (SELECT 1 FROM queue a WHERE a.id = q.behind AND a.state = 'set-aside')))",
);
const DELIVERED: Sql = Sql::same(
    "SELECT control_id, state FROM queue \
     WHERE destination = 'host:his' AND control_id IS NOT NULL \
     AND state IN ('delivered', 'set-aside') ORDER BY id",
);
const LEFT: Sql = Sql::same(
    "SELECT 'message ' || id || ' of ' || line || ' is not read' FROM message \
     WHERE state = 'unparsed' UNION ALL \
     SELECT 'row ' || id || ' to ' || destination || ': ' || kind || ' ' || state || ', tried ' \
     || attempts || ', ' || reason FROM queue WHERE state IN ('waiting', 'leased')",
);

const SET_ASIDE: Sql =
    Sql::same("SELECT count(*) FROM queue WHERE specimen = $1 AND state = 'set-aside'");

/// How much the bridge has still to do.
pub(super) fn open_work(hand: &ByHand) -> i64 {
    hand.look(|db| db.row(&OPEN, &[])?.int(0))
        .unwrap_or(i64::MAX)
}

/// What it has still to do, in words.
pub(super) fn left(hand: &ByHand) -> String {
    let rows = hand.look(|db| {
        let rows = db.rows(&LEFT, &[])?;
        rows.iter()
            .map(|row| Ok(row.text(0)?.to_owned()))
            .collect::<Result<Vec<_>, StoreError>>()
    });
    format!("{rows:?}")
}

/// Everything about one tube in the store.
struct Stored {
    results: Vec<StoredResult>,
    items: Vec<BookItem>,
}

/// Whoever compares.
pub(super) struct Account<'a> {
    pub(super) hand: &'a ByHand,
    pub(super) scribe: &'a Scribe,
    pub(super) world: &'a World,
    pub(super) checks: &'a Checks,
    pub(super) network: &'a Network,
    pub(super) now: i64,
}

impl Account<'_> {
    /// Compares everything.
    pub(super) fn check(&self) {
        self.ledger();
        self.queue();
        self.orders();
        self.results();
    }

    fn wrong(&self, rule: &'static str, what: impl std::fmt::Display) {
        self.scribe.found(rule, what);
    }

    /// The ledger of the bridge itself has nothing to say.
    fn ledger(&self) {
        let now = self.now;
        let findings = self.hand.look(move |db| {
            let mut ledger = Ledger::new(None, now);
            let mut found = Vec::new();
            while let Some(page) = ledger.next_page(db)? {
                found.extend(page.findings.iter().map(|finding| format!("{finding:?}")));
            }
            Ok(found)
        });
        match findings {
            Ok(found) if found.is_empty() => {}
            found => self.wrong("the ledger adds up", format_args!("{found:?}")),
        }
    }

    /// What the queue says was taken or refused, the HIS did take or refuse.
    fn queue(&self) {
        let rows = self.hand.look(|db| {
            let mut found = Vec::new();
            for row in db.rows(&DELIVERED, &[])? {
                let control = row.opt_text(0)?.unwrap_or_default().to_owned();
                found.push((control, row.text(1)?.to_owned()));
            }
            Ok(found)
        });
        for (control, state) in rows.unwrap_or_default() {
            let answers = self.checks.answers(&control);
            let fits = match state.as_str() {
                "delivered" => answers.iter().any(|code| code == "AA"),
                _ => answers.iter().any(|code| code == "AR"),
            };
            if !fits {
                let rule = "a row is closed by the answer to it";
                self.wrong(
                    rule,
                    format_args!("{control} is {state}, and was answered {answers:?}"),
                );
            }
        }
    }

    fn stored(&self, barcode: &str) -> Result<Stored, StoreError> {
        let barcode = barcode.to_owned();
        self.hand.look(move |db| read(db, &barcode))
    }

    /// Every order that the HIS has an AA for is in the book, once.
    fn orders(&self) {
        let placed = self.world.state().placed.clone();
        for (control, barcode, placers) in placed {
            let answer = self.world.orders.answer(&control);
            if !answer
                .as_ref()
                .is_some_and(labwire_sims::his::Answer::is_accepted)
            {
                self.wrong(
                    "every order is taken",
                    format_args!("{control}: {answer:?}"),
                );
                continue;
            }
            let Ok(stored) = self.stored(&barcode) else {
                continue;
            };
            for placer in placers {
                let count = stored
                    .items
                    .iter()
                    .filter(|item| item.placer == placer)
                    .count();
                if count != 1 {
                    let rule = "every acknowledged order is in the book";
                    self.wrong(rule, format_args!("{placer} is there {count} times"));
                }
            }
        }
    }

    /// Every result that a device has an acknowledgement for ended where it has to be.
    fn results(&self) {
        let arrived = self.checks.arrived().observations().to_vec();
        let acknowledged = self.world.results(|log| &log.acknowledged);
        let mut once = BTreeSet::new();
        for (line, sent) in acknowledged {
            if !once.insert((
                line,
                sent.specimen.clone(),
                sent.code.clone(),
                sent.text.clone(),
            )) {
                continue;
            }
            let Ok(stored) = self.stored(&sent.specimen) else {
                continue;
            };
            let own = stored.results.iter().filter(|row| {
                let seen = &row.observation;
                row.line == line && seen.code == sent.code && is_said(line, &sent.text, &seen.text)
            });
            let own: Vec<&StoredResult> = own.collect();
            let what = format!("{line} {} {} {}", sent.specimen, sent.code, sent.text);
            let rule = "every accepted message ends delivered or visible";
            if own.is_empty() && !self.network.has_doubled(line) {
                let there = stored.results.iter().map(|row| &row.observation);
                let there: Vec<_> = there.map(|seen| (&seen.code, &seen.text)).collect();
                self.wrong(rule, format_args!("{what} is not in the store: {there:?}"));
            }
            for row in own {
                if !self.is_right(&stored, row, &sent.test, &arrived) {
                    let state = row.state.code();
                    self.wrong(rule, format_args!("{what}: row {} is {state}", row.id));
                }
            }
        }
    }

    fn has_refused(&self, specimen: Option<i64>) -> bool {
        let count = |specimen: i64| {
            let rows = self
                .hand
                .look(move |db| db.row(&SET_ASIDE, &[specimen.into()])?.int(0));
            rows.is_ok_and(|count| count > 0)
        };
        specimen.is_some_and(count)
    }

    fn is_right(
        &self,
        stored: &Stored,
        row: &StoredResult,
        test: &str,
        arrived: &[Observation],
    ) -> bool {
        match row.state {
            ResultState::Released => {
                let mut seen = arrived.iter();
                let text = in_points(&row.line, in_field(&row.line, &row.observation.text));
                let is_there = seen.any(|seen| {
                    (&seen.barcode, seen.code.as_str(), &seen.text) == (&row.barcode, test, &text)
                });
                // What the HIS refused for good holds back later versions, and people see it.
                is_there || self.has_refused(row.specimen)
            }
            ResultState::Held | ResultState::Waiting => !row.holds.is_empty(),
            ResultState::Kept => {
                let mut ordered = stored.items.iter().flat_map(|item| &item.tests);
                ordered.all(|ordered| ordered != test)
            }
            ResultState::Replaced => stored
                .results
                .iter()
                .any(|other| other.id > row.id && other.observation.test == row.observation.test),
            ResultState::Repeat | ResultState::Confirmed => row.supersedes.is_some(),
            ResultState::SetAside => true,
            ResultState::Control => false,
        }
    }
}

/// Whether what an analyzer said is what stands in its field, to the byte. A Beckman AU alone fills its
/// field with blanks, and says by a flag behind an empty one that an analysis failed.
fn is_said(line: &str, said: &str, stored: &str) -> bool {
    let stored = in_field(line, stored);
    stored == said || (line == AU && said == "?" && stored.is_empty())
}

fn in_field<'t>(line: &str, text: &'t str) -> &'t str {
    match line {
        AU => text.trim(),
        _ => text,
    }
}

fn read(db: &mut dyn Db, barcode: &str) -> Result<Stored, StoreError> {
    let mut items = Vec::new();
    for specimen in book::specimens_with_barcode(db, barcode, 0)? {
        items.extend(book::open_items(db, specimen.id)?);
    }
    Ok(Stored {
        results: settle::of_barcode(db, barcode)?,
        items,
    })
}
