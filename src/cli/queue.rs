//! `labwire queue`: what waits to be delivered, and what people decide about it.

use std::env;

use clap::{Args, Subcommand, ValueEnum};
use jiff::tz::TimeZone;
use labwire_drivers::{Clock as _, SystemClock};

use super::{Verdict, failure::Failure, out, out::Out, site::SiteArgs};
use crate::{
    audit,
    model::{Priority, QueueState},
    queue::{self, QueueRow},
    store::Beside,
    trace::{instant, visible},
};

/// See what waits to be delivered, try it again, or give it up with a reason
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire queue list                                   everything that is open
  labwire queue list --state set-aside --to host:his   what the HIS refused for good
  labwire queue show 17                                one row, with the message itself
  labwire queue retry 17
  labwire queue discard 17 --reason 'patient left, order withdrawn' --as lan

All of it works while the bridge runs, which notices a change within seconds.")]
pub(crate) struct QueueArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List rows, oldest first; without --state those that are open
    #[command(after_help = "\
Examples:
  labwire queue list
  labwire queue list --state delivered --to line:xn-1 --json")]
    List(ListArgs),
    /// Show one row, with the message itself
    #[command(after_help = "Example:\n  labwire queue show 17")]
    Show(RowArgs),
    /// Try a row again now
    #[command(after_help = "Example:\n  labwire queue retry 17 --as lan")]
    Retry(RetryArgs),
    /// Give a row up; it is never sent, and the reason stays with it
    #[command(after_help = "\
Example:
  labwire queue discard 17 --reason 'patient left, order withdrawn' --as lan")]
    Discard(DiscardArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Only rows in this state; may be given several times
    #[arg(long, value_enum, value_name = "STATE")]
    state: Vec<State>,
    /// Only rows to this destination, such as host:his or line:xn-1
    #[arg(long, value_name = "DESTINATION")]
    to: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: SiteArgs,
}

/// [`QueueState`], as the command line writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Waiting,
    Leased,
    Delivered,
    SetAside,
    Discarded,
    Superseded,
}

impl From<State> for QueueState {
    fn from(state: State) -> Self {
        match state {
            State::Waiting => Self::Waiting,
            State::Leased => Self::Leased,
            State::Delivered => Self::Delivered,
            State::SetAside => Self::SetAside,
            State::Discarded => Self::Discarded,
            State::Superseded => Self::Superseded,
        }
    }
}

#[derive(Debug, Args)]
struct RowArgs {
    /// The row, as `list` numbers it
    id: i64,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
struct RetryArgs {
    #[command(flatten)]
    row: RowArgs,
    /// Your name, for the audit; otherwise that of your login
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,
}

#[derive(Debug, Args)]
struct DiscardArgs {
    #[command(flatten)]
    row: RowArgs,
    /// Why it is never to be sent
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Your name, for the audit; otherwise that of your login
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,
}

pub(crate) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        Err("write why, in a few words".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

pub(crate) fn run(args: &QueueArgs, out: &mut Out) -> Result<Verdict, Failure> {
    match &args.what {
        What::List(args) => list(args, out),
        What::Show(args) => show(args, out),
        What::Retry(args) => retry(args, out),
        What::Discard(args) => discard(args, out),
    }
}

/// Rows read at a time; each brings its message along.
const PAGE: i64 = 200;

fn list(args: &ListArgs, out: &mut Out) -> Result<Verdict, Failure> {
    const OPEN: [State; 3] = [State::SetAside, State::Leased, State::Waiting];
    let site = args.site.read()?;
    let mut store = site.reader()?;
    let states = if args.state.is_empty() {
        OPEN.as_slice()
    } else {
        &args.state
    };
    let mut count = 0_u64;
    for state in states {
        let state = QueueState::from(*state);
        let mut after = 0;
        loop {
            let rows = store.read(|db| queue::list(db, state, after, PAGE))?;
            let Some(last) = rows.last() else { break };
            after = last.id;
            let wanted = |row: &&QueueRow| args.to.as_ref().is_none_or(|to| *to == row.destination);
            for row in rows.iter().filter(wanted) {
                out.line(listed(row, args.json, &site.zone))?;
                count += 1;
            }
        }
    }
    if count == 0 && !args.json {
        let what = if args.state.is_empty() {
            "nothing waits"
        } else {
            "no such rows"
        };
        out.line(what)?;
    }
    Ok(Verdict::Clean)
}

fn listed(row: &QueueRow, as_json: bool, zone: &TimeZone) -> String {
    if as_json {
        return serde_json::to_string(row).unwrap_or_default();
    }
    let (id, state, to, kind) = (row.id, row.state.code(), &row.destination, &row.kind);
    let barcode = visible(row.barcode.as_bytes());
    let since = instant(row.created_at, zone);
    let priority = Priority::from_rank(row.priority).code();
    let tries = row.attempts;
    let why = [&row.reason, &row.answer]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| visible(text.as_bytes()))
        .collect::<Vec<_>>()
        .join("; ");
    format!(
        "{id:>6}  {state:<10}  {to:<12}  {kind:<6}  {priority}  {barcode:<16}  {since}  tried \
         {tries}  {why}"
    )
    .trim_end()
    .to_owned()
}

fn show(args: &RowArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let site = args.site.read()?;
    let mut store = site.reader()?;
    let id = args.id;
    let found = store.read(|db| {
        let row = queue::find(db, id)?;
        let audit = audit::of_subject(db, &format!("queue:{id}"))?;
        Ok(row.map(|row| (row, audit)))
    })?;
    let Some((row, audit)) = found else {
        return Ok(unknown(id));
    };
    let at = |at: i64| instant(at, &site.zone);
    out.line(format_args!(
        "queue {id}: {} to {}",
        row.kind, row.destination
    ))?;
    let closed = row.closed_at.map(at).unwrap_or_default();
    let due = if row.state == QueueState::Waiting {
        at(row.due_at)
    } else {
        String::new()
    };
    let fields = [
        ("state", row.state.code().to_owned()),
        ("specimen", row.barcode.clone()),
        (
            "priority",
            Priority::from_rank(row.priority).code().to_owned(),
        ),
        ("queued", at(row.created_at)),
        ("tries", row.attempts.to_string()),
        ("next try", due),
        ("closed", closed),
        ("given up by", row.closed_by.clone()),
        ("reason", row.reason.clone()),
        ("answer", row.answer.clone()),
        ("control id", row.control_id.clone().unwrap_or_default()),
    ];
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        out.line(format_args!("  {name:<12} {}", visible(value.as_bytes())))?;
    }
    for (time, actor, action, detail) in audit {
        let detail = visible(detail.as_bytes());
        out.line(format_args!(
            "  audit        {}  {actor}  {action}: {detail}",
            at(time)
        ))?;
    }
    match &row.body {
        Some(body) => {
            out.line("  message")?;
            for line in body.split_inclusive(|byte| *byte == b'\r') {
                out.line(format_args!("    {}", visible(line)))?;
            }
        }
        None => out.line("  message      not written yet: it is made when it is first tried")?,
    }
    Ok(Verdict::Clean)
}

fn unknown(id: i64) -> Verdict {
    out::complain(&format!(
        "labwire: there is no queue row {id}; see `labwire queue list`\n"
    ));
    Verdict::Found
}

fn retry(args: &RetryArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let actor = actor(args.actor.as_deref())?;
    let mut store = Beside::writer(&args.row.site.read()?.url)?;
    let (id, now) = (args.row.id, SystemClock::default().utc_micros());
    let done = store.transact(|db| queue::retry(db, id, &actor, now))?;
    if done {
        out.line(format_args!(
            "queue {id} is tried again now, asked for by {actor}"
        ))?;
        return Ok(Verdict::Clean);
    }
    refused(
        &mut store,
        id,
        "tried again; only rows that wait or were set aside can",
    )
}

fn discard(args: &DiscardArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let actor = actor(args.actor.as_deref())?;
    let mut store = Beside::writer(&args.row.site.read()?.url)?;
    let (id, now) = (args.row.id, SystemClock::default().utc_micros());
    let done = store.transact(|db| queue::discard(db, id, &actor, &args.reason, now))?;
    if done {
        out.line(format_args!(
            "queue {id} was discarded by {actor}: {}",
            args.reason
        ))?;
        return Ok(Verdict::Clean);
    }
    refused(
        &mut store,
        id,
        "discarded; only rows that wait or were set aside can",
    )
}

/// Says why nothing was done.
fn refused(store: &mut Beside, id: i64, what: &str) -> Result<Verdict, Failure> {
    let Some(row) = store.read(|db| queue::find(db, id))? else {
        return Ok(unknown(id));
    };
    let state = if row.state == QueueState::Leased {
        "being sent at this moment"
    } else {
        row.state.code()
    };
    out::complain(&format!(
        "labwire: queue {id} is {state} and cannot be {what}\n"
    ));
    Ok(Verdict::Found)
}

/// Who asks: nobody acts without a name.
pub(crate) fn actor(given: Option<&str>) -> Result<String, Failure> {
    let login = || {
        ["SUDO_USER", "USER", "LOGNAME", "USERNAME"]
            .into_iter()
            .find_map(|name| env::var(name).ok().filter(|name| !name.is_empty()))
    };
    let given = given.map(str::trim).filter(|name| !name.is_empty());
    given.map(str::to_owned).or_else(login).ok_or_else(|| {
        Failure::Usage("your login has no name: say who you are, such as --as lan".to_owned())
    })
}
