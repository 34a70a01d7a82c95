//! `labwire held`: what waits for a person, and what people decide about it.

use std::fmt;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use labwire_drivers::{Clock as _, SystemClock};

use super::{
    Verdict,
    failure::Failure,
    out,
    out::Out,
    queue::{actor, reason},
    site::{self, Files, SiteArgs},
};
use crate::{
    audit,
    bridge::Site,
    model::{Priority, ResultState},
    settle,
    store::{Beside, Db},
    text::Language,
    trace::{instant, visible},
    worklist::{
        self, Acting, Entry, Leave, Outcome, Part, Person, Refused, ResultEntry, Role, Subject,
        Targets, Told, Waiting,
    },
};

/// See what waits for a person, and decide about it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire held list                                  what waits, most urgent first
  labwire held show r17                              one result, with everything to decide by
  labwire held release r17 --reason 'smear agrees' --as lan
  labwire held set-aside r17 --reason 'clotted, new tube asked for' --as lan
  labwire held link r17 --tube 2501150042 --reason 'read from the rack list' --as lan
  labwire held map xn-1 'RET%' RETP --reason 'reagent sheet of 3 March' --as lan
  labwire held accept-unit r17 --reason 'same unit' --as lan
  labwire held rerun r17 --reason 'clot in the probe' --as lan
  labwire held undo --as lan                         within ten seconds

All of it works while the bridge runs. What is released leaves after ten seconds; until then it can
be undone.")]
pub(crate) struct HeldArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List what waits: critical values first, then STAT, then what is late, then the oldest
    #[command(after_help = "Example:\n  labwire held list --json")]
    List(ListArgs),
    /// Show one result: why it waits, earlier values, what may be done
    #[command(after_help = "Example:\n  labwire held show r17")]
    Show(ShowArgs),
    /// Send a result to the host as it is; what the host has already is corrected by it
    #[command(after_help = "\
Example:
  labwire held release r17 --reason 'smear agrees' --as lan")]
    Release(ReleaseArgs),
    /// Give a result (r17) or a message that could not be read (m3) up
    #[command(after_help = "\
Example:
  labwire held set-aside r17 --reason 'clotted, new tube asked for' --as lan")]
    SetAside(ActArgs),
    /// Say which tube a result is of
    #[command(after_help = "\
Example:
  labwire held link r17 --tube 2501150042 --order P4711 --reason 'rack list' --as lan")]
    Link(LinkArgs),
    /// Say which test a code of a line is; everything that waits for it moves
    #[command(after_help = "\
Example:
  labwire held map xn-1 'RET%' RETP --reason 'reagent sheet of 3 March' --as lan")]
    Map(MapArgs),
    /// Say that the unit of a result is the test's in another spelling; believed where proven
    #[command(after_help = "\
Example:
  labwire held accept-unit r17 --reason 'same unit' --as lan")]
    AcceptUnit(ActArgs),
    /// Set a result aside and have it measured again
    #[command(after_help = "\
Example:
  labwire held rerun r17 --reason 'clot in the probe' --as lan")]
    Rerun(ActArgs),
    /// Undo your last act, or the one of that number, within ten seconds
    #[command(after_help = "Example:\n  labwire held undo --as lan")]
    Undo(UndoArgs),
}

#[derive(Debug, Args)]
struct ListArgs {
    /// What nobody ordered as well: it is kept, and waits for nobody
    #[arg(long)]
    kept: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The result, as `list` names it
    id: Id,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
struct Who {
    /// Why, in a few words; kept with your name
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Your name, for the audit; otherwise that of your login
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
struct ActArgs {
    /// What it is about, as `list` names it
    id: Id,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct ReleaseArgs {
    /// The result, as `list` names it
    id: Id,
    /// You act as a verifier: blood transfusion needs one
    #[arg(long)]
    verifier: bool,
    /// Let it leave at once: critical values and STAT orders alone; it cannot be undone then
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct LinkArgs {
    /// The result, as `list` names it
    id: Id,
    /// The barcode of its tube
    #[arg(long, value_name = "BARCODE")]
    tube: String,
    /// The placer number of an order on it, where two patients have the barcode
    #[arg(long, value_name = "PLACER")]
    order: Option<String>,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct MapArgs {
    /// The instrument's line
    line: String,
    /// Its code, as `list` shows it
    code: String,
    /// The catalogue's test
    test: String,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, Args)]
struct UndoArgs {
    /// The act, as its command told it; otherwise your last one
    act: Option<i64>,
    /// Your name: everyone undoes their own
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
}

/// `r17` or `17` is a result, `m3` a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Result(i64),
    Message(i64),
}

impl std::str::FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse().map_err(|_| "write r17 or m3".to_owned());
        match text.strip_prefix('m') {
            Some(rest) => number(rest).map(Self::Message),
            None => number(text.strip_prefix('r').unwrap_or(text)).map(Self::Result),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Result(id) => write!(f, "r{id}"),
            Self::Message(id) => write!(f, "m{id}"),
        }
    }
}

pub(crate) fn run(args: &HeldArgs, out: &mut Out) -> Result<Verdict, Failure> {
    match &args.what {
        What::List(args) => list(args, out),
        What::Show(args) => show(args, out),
        What::Release(args) => release(args, out),
        What::SetAside(args) => set_aside(args, out),
        What::Link(args) => link(args, out),
        What::Map(args) => map(args, out),
        What::AcceptUnit(args) => accept_unit(args, out),
        What::Rerun(args) => rerun(args, out),
        What::Undo(args) => undo(args, out),
    }
}

/// The site's files, and where its store is.
struct Here {
    site: Site,
    url: String,
    zone: TimeZone,
    now: i64,
}

impl Here {
    fn read(args: &SiteArgs) -> Result<Self, Failure> {
        let files = Files::read(&args.config);
        let Some(loaded) = files.loaded else {
            return Err(site::unreadable(&files.problems));
        };
        let url = args.store.clone();
        Ok(Self {
            url: url.unwrap_or_else(|| site::store_url(&loaded)),
            zone: loaded.lab.lab.zone(),
            site: Site::new(&loaded.lab, loaded.catalogue.into(), &files.library),
            now: SystemClock::default().utc_micros(),
        })
    }

    fn asked<'a>(&'a self, after: Option<&'a str>, with_kept: bool) -> Waiting<'a> {
        Waiting {
            site: &self.site,
            now: self.now,
            targets: Targets::default(),
            // The command line is English.
            language: Language::En,
            role: Role::Verifier,
            after,
            count_max: PAGE,
            with_kept,
            part: Part::All,
        }
    }

    /// Carries an act out; a refusal is told, and is no failure.
    fn act<T>(
        &self,
        (name, role, reason): (&str, Role, &str),
        act: impl FnOnce(&Acting<'_>, &mut dyn Db) -> Outcome<T>,
    ) -> Result<Option<T>, Failure> {
        let person = Person {
            name: name.to_owned(),
            role,
        };
        let acting = Acting {
            site: &self.site,
            person: &person,
            reason,
            now: self.now,
        };
        let mut store = Beside::writer(&self.url)?;
        match store.transact(|db| act(&acting, db))? {
            Ok(done) => Ok(Some(done)),
            Err(refused) => {
                out::complain(&format!("labwire: {refused} [{}]\n", refused.code()));
                Ok(None)
            }
        }
    }
}

/// Entries read at a time.
const PAGE: usize = 200;

fn list(args: &ListArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let here = Here::read(&args.site)?;
    let mut store = Beside::reader(&here.url)?;
    let mut after: Option<String> = None;
    let (mut count, mut left_off) = (0_u64, 0);
    loop {
        let asked = here.asked(after.as_deref(), args.kept);
        let page = store.read(|db| worklist::waiting(db, &asked))?;
        for entry in &page.entries {
            if args.json {
                out.line(serde_json::to_string(entry).unwrap_or_default())?;
            } else {
                out.line(listed(entry, &here.zone))?;
            }
            count += 1;
        }
        left_off = page.left_off.max(left_off);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    if !args.json && count == 0 {
        out.line("nothing waits")?;
    }
    if !args.json && left_off > 0 {
        out.line(format_args!("and {left_off} more, older than these"))?;
    }
    Ok(Verdict::Clean)
}

fn listed(entry: &Entry, zone: &TimeZone) -> String {
    let (id, what) = match &entry.subject {
        Subject::Result(one) => (format!("r{}", one.id), shown(one)),
        Subject::Message { id, line, bytes } => {
            (format!("m{id}"), format!("message  {line}  {bytes} bytes"))
        }
        Subject::Queue(one) => {
            let tube = visible(one.barcode.as_bytes());
            (
                format!("q{}", one.id),
                format!("refused  {}  {tube}", one.destination),
            )
        }
        Subject::Late(one) => {
            let tube = visible(one.barcode.as_bytes());
            (
                format!("o{}", one.item),
                format!("late     {tube}  {}", one.tests.join(" ")),
            )
        }
    };
    let why: Vec<String> = entry
        .reasons
        .iter()
        .map(|reason| {
            let detail = visible(reason.detail.as_bytes());
            let colon = if detail.is_empty() { "" } else { ": " };
            format!("{}{colon}{detail}", reason.title)
        })
        .collect();
    let mut marks = Vec::new();
    if let Some(critical) = entry.urgency.critical {
        marks.push(format!("CRITICAL {critical}"));
    }
    if entry.urgency.priority == Priority::Stat {
        marks.push("STAT".to_owned());
    }
    if entry.urgency.is_late {
        marks.push("LATE".to_owned());
    }
    let since = instant(entry.since, zone);
    let (marks, why) = (marks.join(" "), why.join("; "));
    let gap = if marks.is_empty() { "" } else { "  " };
    format!("{id:>6}  {what}  {since}{gap}{marks}  {why}")
}

fn shown(one: &ResultEntry) -> String {
    let observation = one.observation.expose();
    let named = observation.test.as_ref().unwrap_or(&observation.code);
    let value = visible(observation.text.as_bytes());
    let parts = [
        one.state.code(),
        &one.line,
        &visible(one.barcode.as_bytes()),
        named,
        &value,
        &observation.unit,
    ];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}

fn show(args: &ShowArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let here = Here::read(&args.site)?;
    let mut store = Beside::reader(&here.url)?;
    let Id::Result(id) = args.id else {
        return Err(Failure::Usage(
            "see `labwire ledger` for a message, `labwire queue show` for a refused one".to_owned(),
        ));
    };
    let asked = here.asked(None, true);
    let found = store.read(|db| {
        let entry = worklist::entry_of(db, &asked, id)?;
        let audit = audit::of_subject(db, &format!("result:{id}"))?;
        Ok(entry.map(|entry| (entry, audit)))
    })?;
    let Some((entry, audit)) = found else {
        out::complain(&format!("labwire: {} [not-found]\n", Refused::NotFound));
        return Ok(Verdict::Found);
    };
    let Subject::Result(one) = &entry.subject else {
        return Ok(Verdict::Found);
    };
    out.line(format_args!("result {}: {}", one.id, shown(one)))?;
    let observation = one.observation.expose();
    let sent = observation.specimen.as_ref().map(|tube| tube.sent.clone());
    let fields = [
        ("came", instant(entry.since, &here.zone)),
        ("message", one.message.to_string()),
        ("code", observation.code.clone()),
        ("tube as sent", sent.unwrap_or_default()),
        ("flags", observation.flags.join(" ")),
        ("comments", observation.comments.join(" / ")),
        ("notes", observation.notes.join(" ")),
        (
            "critical",
            entry.urgency.critical.unwrap_or_default().to_owned(),
        ),
        ("priority", entry.urgency.priority.code().to_owned()),
        ("may be", one.acts.join(", ")),
    ];
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
        out.line(format_args!("  {name:<12} {}", visible(value.as_bytes())))?;
    }
    for reason in &entry.reasons {
        let detail = visible(reason.detail.as_bytes());
        let what = format!("{} {detail}", reason.what);
        out.line(format_args!("  {:<12} {}", reason.code, what.trim_end()))?;
        out.line(format_args!("  {:<12} {}", "", reason.todo))?;
    }
    for before in &one.previous {
        let value = visible(before.text.expose().as_bytes());
        let at = instant(before.at, &here.zone);
        out.line(format_args!(
            "  before       {value} {}  {at}  {}",
            before.unit, before.line
        ))?;
    }
    for (time, name, action, detail) in audit {
        let (at, detail) = (instant(time, &here.zone), visible(detail.as_bytes()));
        out.line(format_args!(
            "  audit        {at}  {name}  {action}: {detail}"
        ))?;
    }
    Ok(Verdict::Clean)
}

fn release(args: &ReleaseArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let id = result(args.id)?;
    let role = if args.verifier {
        Role::Verifier
    } else {
        Role::Technician
    };
    let leave = if args.now { Leave::Now } else { Leave::Later };
    let name = actor(args.who.actor.as_deref())?;
    let here = Here::read(&args.who.site)?;
    let who = (name.as_str(), role, args.who.reason.as_str());
    let done = here.act(who, |acting, db| acting.release(db, id, leave))?;
    let Some(done) = done else {
        return Ok(Verdict::Found);
    };
    let what = match (done.state, leave) {
        (Some(ResultState::Held), _) => "was looked at by one verifier and waits for another",
        (Some(ResultState::Released), Leave::Now) => "leaves now",
        (Some(ResultState::Released), Leave::Later) => "leaves in ten seconds",
        _ => "needs no release any more",
    };
    out.line(format_args!("{} {what} (act {})", args.id, done.act))?;
    Ok(Verdict::Clean)
}

fn result(id: Id) -> Result<i64, Failure> {
    match id {
        Id::Result(id) => Ok(id),
        Id::Message(_) => Err(Failure::Usage(
            "a message that could not be read can only be set aside".to_owned(),
        )),
    }
}

fn set_aside(args: &ActArgs, out: &mut Out) -> Result<Verdict, Failure> {
    simple(args, out, "is set aside", |acting, db| match args.id {
        Id::Result(id) => acting.set_aside(db, id),
        Id::Message(id) => acting.set_aside_message(db, id),
    })
}

/// An act that needs nothing but its subject.
fn simple(
    args: &ActArgs,
    out: &mut Out,
    what: &str,
    act: impl FnOnce(&Acting<'_>, &mut dyn Db) -> Outcome<worklist::Done>,
) -> Result<Verdict, Failure> {
    let name = actor(args.who.actor.as_deref())?;
    let here = Here::read(&args.who.site)?;
    let who = (name.as_str(), Role::Technician, args.who.reason.as_str());
    let Some(done) = here.act(who, act)? else {
        return Ok(Verdict::Found);
    };
    out.line(format_args!("{} {what} (act {})", args.id, done.act))?;
    Ok(Verdict::Clean)
}

fn link(args: &LinkArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let id = result(args.id)?;
    let name = actor(args.who.actor.as_deref())?;
    let here = Here::read(&args.who.site)?;
    let age_max = here.site.laboratory.specimen_age_max;
    let mut found = Beside::reader(&here.url)?.read(|db| {
        let result = settle::result_by_id(db, id)?;
        let since = result.map_or(0, |result| result.received_at.saturating_sub(age_max));
        worklist::tubes(db, &args.tube, since)
    })?;
    if let Some(placer) = &args.order {
        found.retain(|tube| tube.placers.contains(placer));
    }
    let tube = match found.as_slice() {
        [] => 0,
        [only] => only.id,
        several => {
            let orders: Vec<String> = several.iter().flat_map(|one| one.placers.clone()).collect();
            return Err(Failure::Usage(format!(
                "two patients have this barcode: name one of the orders with --order ({})",
                orders.join(", ")
            )));
        }
    };
    let who = (name.as_str(), Role::Technician, args.who.reason.as_str());
    let done = here.act(who, |acting, db| acting.link(db, id, tube))?;
    let Some(done) = done else {
        return Ok(Verdict::Found);
    };
    let state = done.state.map_or("", ResultState::code);
    let tube = visible(args.tube.as_bytes());
    let number = done.act;
    out.line(format_args!(
        "{} is of {tube} and {state} now (act {number})",
        args.id
    ))?;
    Ok(Verdict::Clean)
}

fn map(args: &MapArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let name = actor(args.who.actor.as_deref())?;
    let here = Here::read(&args.who.site)?;
    let who = (name.as_str(), Role::Technician, args.who.reason.as_str());
    let (line, code, test) = (&args.line, &args.code, &args.test);
    let moved = here.act(who, |acting, db| acting.map_code(db, line, code, test))?;
    let Some(moved) = moved else {
        return Ok(Verdict::Found);
    };
    out.line(format_args!(
        "{code} of {line} is {test} from now on (act {})",
        moved.done.act
    ))?;
    told_moved(&moved, out)
}

fn told_moved(moved: &worklist::Moved, out: &mut Out) -> Result<Verdict, Failure> {
    for (id, state) in &moved.results {
        out.line(format_args!("  r{id} is {} now", state.code()))?;
    }
    Ok(Verdict::Clean)
}

fn accept_unit(args: &ActArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let id = result(args.id)?;
    let name = actor(args.who.actor.as_deref())?;
    let here = Here::read(&args.who.site)?;
    let who = (name.as_str(), Role::Technician, args.who.reason.as_str());
    let moved = here.act(who, |acting, db| acting.accept_unit(db, id))?;
    let Some(moved) = moved else {
        return Ok(Verdict::Found);
    };
    out.line(format_args!(
        "the unit of {} is the test's (act {})",
        args.id, moved.done.act
    ))?;
    told_moved(&moved, out)
}

fn rerun(args: &ActArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let id = result(args.id)?;
    let name = actor(args.who.actor.as_deref())?;
    let here = Here::read(&args.who.site)?;
    let who = (name.as_str(), Role::Technician, args.who.reason.as_str());
    let done = here.act(who, |acting, db| acting.rerun(db, id))?;
    let Some((done, told)) = done else {
        return Ok(Verdict::Found);
    };
    let told = match told {
        Told::Again => "its instrument is told the order again",
        Told::WhenItAsks => "its instrument gets the order when it asks for the tube",
        Told::ByHand => "order it on the instrument by hand",
    };
    out.line(format_args!(
        "{} is set aside; {told} (act {})",
        args.id, done.act
    ))?;
    Ok(Verdict::Clean)
}

fn undo(args: &UndoArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let name = actor(args.actor.as_deref())?;
    let here = Here::read(&args.site)?;
    let who = (name.as_str(), Role::Technician, "undone");
    let done = here.act(who, |acting, db| {
        let act = match args.act {
            Some(act) => act,
            None => worklist::last_act(db, &name)?.unwrap_or_default(),
        };
        Ok(acting.undo(db, act)?.map(|_| act))
    })?;
    let Some(act) = done else {
        return Ok(Verdict::Found);
    };
    out.line(format_args!("act {act} is undone"))?;
    Ok(Verdict::Clean)
}
