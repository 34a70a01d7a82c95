//! The books of a soak: of the devices, of the HIS, and of the store for what is not at the HIS.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use labwire_sims::his::Book;

use super::{
    Plan,
    process::Used,
    ward::{Sent, Ward},
};
use crate::account;

/// What became of everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    pub(super) tubes: usize,
    pub(super) sent: usize,
    pub(super) acknowledged: usize,
    pub(super) delivered: usize,
    /// By its reasons.
    pub(super) held: BTreeMap<String, usize>,
    /// In the store, but nobody ordered it.
    pub(super) kept: usize,
    pub(super) lost: usize,
    pub(super) doubled: usize,
    /// At the HIS, and nobody measured it so.
    pub(super) altered: usize,
    /// Messages that the HIS got more than once, byte for byte the same.
    pub(super) resent: usize,
    pub(super) messages: usize,
}

/// A row of the table.
pub(super) struct Figures<'a> {
    pub(super) plan: &'a Plan,
    pub(super) books: Books,
    pub(super) used: Used,
    pub(super) drained_in: Duration,
    pub(super) recoveries: &'a [Duration],
}

impl fmt::Display for Figures<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plan,
            books,
            used,
            drained_in,
            recoveries,
        } = self;
        let held: usize = books.held.values().sum();
        let worst = recoveries.iter().max().copied().unwrap_or_default();
        let store = if plan.is_postgres {
            "PostgreSQL"
        } else {
            "SQLite"
        };
        writeln!(
            f,
            "| store, seed | lines, time, kills | tubes | results sent | acknowledged | delivered \
             | held | kept | lost | doubled | altered | worst recovery | drained in | peak memory \
             | processor | files |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
        )?;
        writeln!(
            f,
            "| {store}, {} | {}, {:?}, {} | {} | {} | {} | {} | {held} | {} | {} | {} | {} \
             | {worst:.2?} | {drained_in:.1?} | {} MB | {:.0?} | {} |",
            plan.seed,
            plan.lines,
            plan.lasts,
            plan.kills,
            books.tubes,
            books.sent,
            books.acknowledged,
            books.delivered,
            books.kept,
            books.lost,
            books.doubled,
            books.altered,
            used.memory_kb / 1_000,
            used.cpu,
            used.files,
        )?;
        write!(
            f,
            "held: {:?}; recoveries: {recoveries:.2?}; {} messages at the HIS, {} of them again",
            books.held, books.messages, books.resent
        )
    }
}

/// Compares them all; says what is wrong beside the figures.
pub(super) fn compare(ward: &Ward, his: &Book, url: &str) -> (Books, Vec<String>) {
    let mut wrong: Vec<String> = ward.refused_orders();
    let (sent, acknowledged) = ward.results();
    let mut books = Books {
        tubes: ward.ordered.len(),
        sent: sent.len(),
        acknowledged: acknowledged.len(),
        ..Books::default()
    };
    let measured: BTreeSet<&Sent> = sent.iter().collect();
    let mut at_his: BTreeSet<Sent> = BTreeSet::new();
    his.with_ledger(|ledger| {
        books.messages = ledger.messages().len();
        books.resent = ledger
            .messages()
            .values()
            .filter(|one| one.times > 1)
            .count();
        wrong.extend(
            ledger
                .conflicts()
                .iter()
                .map(|id| format!("two bodies: {id}")),
        );
        for seen in ledger.observations() {
            let one = Sent {
                barcode: seen.barcode.clone(),
                test: seen.code.clone(),
                text: seen.text.clone(),
            };
            let is_own = seen.patient == format!("PN{}", seen.barcode)
                && seen.placer == format!("P{}-{}", seen.barcode, seen.code);
            if !measured.contains(&one) || !is_own {
                books.altered += 1;
                wrong.push(format!("nobody measured or ordered {seen:?}"));
            }
            if let Some(twice) = at_his.replace(one) {
                books.doubled += 1;
                wrong.push(format!("twice: {twice:?}"));
            }
        }
    });
    let ordered: BTreeMap<&str, &[&str]> = ward
        .ordered
        .iter()
        .map(|(barcode, services)| (barcode.as_str(), *services))
        .collect();
    let missing = acknowledged.iter().filter(|one| !at_his.contains(*one));
    let missing: Vec<&Sent> = missing.collect();
    books.delivered = acknowledged.len() - missing.len();
    let key = |one: &&Sent| [&one.barcode, &one.test, &one.text].map(Clone::clone);
    let values: Vec<[String; 3]> = missing.iter().map(key).collect();
    for (one, states) in missing.iter().zip(account::ends_of(url, &values)) {
        let is_ordered = ordered
            .get(one.barcode.as_str())
            .is_some_and(|services| services.contains(&one.test.as_str()));
        match end_of(&states) {
            End::Held(reasons) => *books.held.entry(reasons).or_default() += 1,
            End::Kept if !is_ordered => books.kept += 1,
            End::Kept | End::Other => {
                books.lost += 1;
                wrong.push(format!("{one:?} is {states:?}, ordered: {is_ordered}"));
            }
        }
    }
    (books, wrong)
}

enum End {
    Held(String),
    Kept,
    Other,
}

/// What the store says of a result that is not at the HIS.
fn end_of(states: &[String]) -> End {
    for state in states {
        match state.split_once(' ') {
            Some(("held", reasons)) if !reasons.is_empty() => {
                return End::Held(reasons.to_owned());
            }
            Some(("kept", _)) => return End::Kept,
            _ => {}
        }
    }
    End::Other
}
