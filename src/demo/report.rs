//! What is told when the morning is over.

use std::{fmt, time::Duration};

use labwire_sims::morning::{Morning, Plan, Report as Ended};

use crate::{
    bridge::Running,
    ledger::{End, Finding, Ledger},
    store::{Store, StoreError},
};

use super::{
    Options, READ_WITHIN,
    account::{self, Account},
    hospital::{BENCHES, Department},
    live::{self, Counts, Live, OnLine, wall},
};

/// Between two looks whether everything is read.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A morning that is over.
#[derive(Clone, Debug)]
pub struct Report {
    /// The last counts.
    pub live: Live,
    /// How long it took.
    pub elapsed: Duration,
    /// Whether it was ended before its end.
    pub is_cut: bool,
    /// Tubes that came without an order.
    pub unknown: usize,
    /// Orders that were cancelled before the tube was drawn.
    pub cancelled: usize,
    /// Orders that Labwire refused, by control id.
    pub orders_refused: Vec<String>,
    /// What the automation line did.
    pub line: OnLine,
    /// What the simulators and the store say of every result.
    pub account: Account,
    /// Messages in the ledger of the store.
    pub messages: u64,
    /// What does not add up there.
    pub findings: Vec<Finding>,
    options: Options,
}

/// The last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything is accounted for.
    Clean,
    /// Something is not.
    Found,
}

impl Report {
    /// Whether everything is accounted for.
    pub fn verdict(&self) -> Verdict {
        let is_clean = self.account.is_clean()
            && self.findings.is_empty()
            && self.orders_refused.is_empty()
            && self.live.bridge.unread == 0;
        if is_clean {
            Verdict::Clean
        } else {
            Verdict::Found
        }
    }
}

pub(super) async fn make(
    options: &Options,
    running: &Running,
    morning: &Morning,
    (ended, line): (Ended, OnLine),
) -> Result<Report, StoreError> {
    let bridge = read_up(&running.store).await?;
    let plan = plan(morning);
    let account = account::compare(&running.store, morning, &plan).await?;
    let (messages, findings) = ledger(&running.store, bridge.now).await?;
    let count = |is: fn(&labwire_sims::morning::Specimen) -> bool| {
        plan.specimens.iter().filter(|one| is(one)).count()
    };
    Ok(Report {
        live: Live {
            played: ended.elapsed.mul_f64(options.speed),
            devices: ended.snapshot,
            measured: morning.measured(),
            bridge,
        },
        elapsed: ended.elapsed,
        is_cut: ended.is_cancelled,
        unknown: count(|one| one.request.is_none()),
        cancelled: count(|one| one.is_cancelled),
        orders_refused: ended.orders_refused,
        line,
        account,
        messages,
        findings,
        options: options.clone(),
    })
}

fn plan(morning: &Morning) -> Plan {
    let personas: Vec<_> = BENCHES.iter().filter_map(|bench| bench.persona()).collect();
    morning.plan(&personas)
}

/// Waits until every message of the journal is read: what was acknowledged last may still be with
/// the parser.
async fn read_up(store: &Store) -> Result<Counts, StoreError> {
    let until = tokio::time::Instant::now() + READ_WITHIN;
    loop {
        let counts = live::counts(store).await?;
        if counts.unread == 0 || tokio::time::Instant::now() >= until {
            return Ok(counts);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn ledger(store: &Store, now: i64) -> Result<(u64, Vec<Finding>), StoreError> {
    let mut ledger = Ledger::new(None, now);
    let (mut messages, mut findings) = (0, Vec::new());
    loop {
        let mut walk = ledger;
        let read = move |db: &mut dyn crate::store::Db| {
            let page = walk.next_page(db)?;
            Ok((walk, page))
        };
        let (walked, page) = store.read(read).await?;
        ledger = walked;
        let Some(page) = page else {
            return Ok((messages, findings));
        };
        messages += u64::try_from(page.entries.len()).unwrap_or(0);
        findings.extend(page.findings);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.heading(f)?;
        self.tubes(f)?;
        self.results(f)?;
        self.departments(f)?;
        self.on_line(f)?;
        self.verification(f)
    }
}

impl Report {
    fn heading(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Options { seed, speed, .. } = self.options;
        let cut = if self.is_cut {
            ", ended before its end"
        } else {
            ""
        };
        writeln!(
            f,
            "A simulated morning from {} to {} in {} s: {} analyzers, one HIS, seed {seed}, {speed} \
             times as fast as life{cut}\n",
            wall(Duration::ZERO),
            wall(self.live.played),
            self.elapsed.as_secs(),
            BENCHES.len(),
        )
    }

    fn tubes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Live {
            devices,
            measured,
            bridge,
            ..
        } = &self.live;
        let unknown = format!(
            "of {} planned; {} have no order",
            devices.specimens, self.unknown
        );
        row(f, "tubes ordered", bridge.tubes, &unknown)?;
        let missing = format!(
            "{} orders were cancelled; {} tubes passed an analyzer before their order came",
            self.cancelled, devices.skipped
        );
        row(f, "tubes measured", count(*measured), &missing)?;
        row(f, "questions of analyzers", devices.queries, "")?;
        row(
            f,
            "messages sent again",
            devices.repeated,
            "by analyzers, after a fault",
        )
    }

    fn results(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devices = &self.live.devices;
        row(f, "results sent", count(devices.results_sent), "")?;
        let acknowledged = self.account.acknowledged();
        row(
            f,
            "results acknowledged",
            acknowledged,
            "by Labwire; of these",
        )?;
        for (end, number) in &self.account.ends {
            row(f, &format!("  {}", end_name(*end)), *number, "")?;
        }
        row(
            f,
            "results in the HIS",
            count(devices.posted),
            "by its own book",
        )
    }

    fn departments(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {:<14}{:>8}{:>9}{:>12}{:>7}   why",
            "department", "tubes", "results", "at the HIS", "held"
        )?;
        for department in Department::ALL {
            let share = self.account.departments.get(department);
            let share = share.cloned().unwrap_or_default();
            let mut reasons: Vec<_> = share.reasons.iter().collect();
            reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            let line = format!(
                "  {:<14}{:>8}{:>9}{:>12}{:>7}   {}",
                department.name(),
                share.tubes.len(),
                share.results,
                share.posted,
                share.held,
                counted(reasons)
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Its times are told as those of the morning, not of the machine that played it.
    fn on_line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OnLine {
            by_air,
            by_hand,
            faults,
            ..
        } = &self.line;
        let ways = format!("{by_air} by air, {by_hand} by hand");
        writeln!(f)?;
        row(f, "tubes on the line", by_air + by_hand, &ways)?;
        let kept = count(self.line.ways.len());
        row(f, "tubes that it stored", kept, "")?;
        if let Some(mean) = self.line.mean() {
            let seconds = mean.mul_f64(self.options.speed).as_secs();
            let note = "minutes, from the first reading to the store";
            row(f, "mean way", seconds.saturating_add(30) / 60, note)?;
        }
        let note = "took three times the usual way";
        row(f, "tubes overdue", count(self.line.overdue()), note)?;
        row(f, "faults", faults.values().sum(), &counted(faults))
    }

    fn verification(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Account {
            lost,
            altered,
            wrong_patient,
            twice,
            broken,
            told,
            ..
        } = &self.account;
        let word = if self.account.is_clean() {
            "Every acknowledged result is at the HIS, held, or explained"
        } else {
            "NOT every acknowledged result is where it belongs"
        };
        writeln!(
            f,
            "\n{word}: lost {lost}, altered {altered}, wrong patient {wrong_patient}, twice {twice}"
        )?;
        if *broken > 0 {
            writeln!(
                f,
                "Messages to the HIS that contradict themselves: {broken}"
            )?;
        }
        for one in told {
            writeln!(f, "  {one}")?;
        }
        for control in &self.orders_refused {
            writeln!(f, "  order message {control} was refused")?;
        }
        let unread = self.live.bridge.unread;
        if unread > 0 {
            writeln!(f, "  {unread} messages are acknowledged and not read yet")?;
        }
        let (messages, findings) = (self.messages, self.findings.len());
        if findings == 0 {
            return write!(
                f,
                "Ledger: {messages} messages, everything is accounted for"
            );
        }
        write!(f, "Ledger: {messages} messages, {findings} do not add up")?;
        for finding in &self.findings {
            write!(
                f,
                "\n  {}  {}: {}",
                finding.code, finding.subject, finding.what
            )?;
        }
        Ok(())
    }
}

/// As a report says it; the codes of the ledger otherwise.
fn end_name(end: End) -> &'static str {
    if end == End::Delivered {
        "at the HIS"
    } else if end == End::Kept {
        "kept: nobody ordered them"
    } else {
        end.code()
    }
}

/// `word number, word number`.
fn counted<'a>(all: impl IntoIterator<Item = (&'a &'static str, &'a u64)>) -> String {
    let all = all.into_iter();
    let told: Vec<_> = all.map(|(word, count)| format!("{word} {count}")).collect();
    told.join(", ")
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn row(f: &mut fmt::Formatter<'_>, what: &str, number: u64, note: &str) -> fmt::Result {
    let line = format!("  {what:<28}{number:>8}   {note}");
    writeln!(f, "{}", line.trim_end())
}
