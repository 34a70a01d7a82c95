//! `labwire line`: an automation line beside the running bridge, and what people say of its tubes.

use std::sync::Arc;

use clap::{Args, Subcommand};
use jiff::tz::TimeZone;
use labwire_drivers::{Clock as _, SystemClock};

use super::{
    Verdict,
    failure::Failure,
    out,
    out::Out,
    queue::actor,
    site::{self, Files, SiteArgs},
};
use crate::{
    audit,
    config::{Loaded, choice::Choice as _},
    store::Beside,
    trace::{instant, read_since, visible},
    track::{
        Time,
        forecast::{Forecast, forecast},
        model::Line,
        state::{Place, Track, Tube},
    },
    tubes::{
        rows::{self, Detail, TrackRow, kinds, micros, time},
        site::TrackSite,
        stations,
    },
};

/// See where the tubes of the automation line are, how stations send them, and settle a doubled barcode
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire line show                              modules, lanes, tubes, what is overdue, forecasts
  labwire line stations --since 7d               haemolysis by sending station
  labwire line cleared 2501150042 --as lan       the second tube of this barcode was found

All of it works while the bridge runs.")]
pub(crate) struct LineArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Modules, lanes, tubes under way, what is overdue, and queues that will exceed their limit
    #[command(after_help = "Examples:\n  labwire line show\n  labwire line show line-1")]
    Show(ShowArgs),
    /// Haemolysis by the station that sent the tubes
    #[command(after_help = "\
Examples:
  labwire line stations
  labwire line stations --since 2026-03-01 --json

Tests of the catalogue with index = \"haemolysis\" are counted, above their index_limit.")]
    Stations(StationsArgs),
    /// Say that the second tube of a barcode was found: the tube is routed again
    #[command(after_help = "Example:\n  labwire line cleared 2501150042 --as lan")]
    Cleared(ClearedArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// The line; without it every line
    line: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
struct StationsArgs {
    /// Tubes received since then: 24h, 7d, 2026-03-10, 2026-03-10T08:00
    #[arg(long, value_name = "WHEN", default_value = "24h")]
    since: String,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    site: SiteArgs,
}

#[derive(Debug, Args)]
struct ClearedArgs {
    /// The barcode
    tube: String,
    /// Your name, for the audit; otherwise that of your login
    #[arg(long = "as", value_name = "NAME")]
    actor: Option<String>,
    #[command(flatten)]
    site: SiteArgs,
}

pub(crate) fn run(args: &LineArgs, out: &mut Out) -> Result<Verdict, Failure> {
    match &args.what {
        What::Show(args) => show(args, out),
        What::Stations(args) => show_stations(args, out),
        What::Cleared(args) => clear(args, out),
    }
}

/// The site with its lines, and where its store is.
fn read(args: &SiteArgs) -> Result<(Loaded, Vec<Arc<TrackSite>>, String), Failure> {
    let files = Files::read(&args.config);
    let Some(loaded) = files.loaded else {
        return Err(site::unreadable(&files.problems));
    };
    let url = args.store.clone();
    let url = url.unwrap_or_else(|| site::store_url(&loaded));
    Ok((loaded, files.tracks, url))
}

/// Rows that a page is made from.
const ROWS_MAX: i64 = 100_000;
/// Tubes that are listed.
const TUBES_SHOWN: usize = 200;

fn show(args: &ShowArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let (loaded, tracks, url) = read(&args.site)?;
    let wanted = |track: &&Arc<TrackSite>| args.line.as_ref().is_none_or(|id| *id == track.id);
    let tracks: Vec<_> = tracks.iter().filter(wanted).collect();
    if tracks.is_empty() {
        out::complain(
            "labwire: the site has no such automation line that can be read; see `labwire check`\n",
        );
        return Ok(Verdict::Found);
    }
    let zone = loaded.lab.lab.zone();
    let mut store = Beside::reader(&url)?;
    let now = SystemClock::default().utc_micros();
    let mut is_any_overdue = false;
    for track in tracks {
        let forget = i64::try_from(track.line.limits.forget_after_ms).unwrap_or(i64::MAX / 1_000);
        let since = now.saturating_sub(forget.saturating_mul(1_000));
        let stored = store.read(|db| rows::recent(db, &track.id, since, ROWS_MAX))?;
        let mut books = rows::books(&track.line, &stored);
        books.on_time(time(now));
        let page = Page {
            track: &books,
            line: &track.line,
            now: time(now),
            zone: &zone,
        };
        out.text(page.text(&track.id))?;
        is_any_overdue |= books.overdue().next().is_some();
    }
    Ok(Verdict::found_if(is_any_overdue))
}

/// One line as a person reads it.
struct Page<'a> {
    track: &'a Track,
    line: &'a Line,
    now: Time,
    zone: &'a TimeZone,
}

impl Page<'_> {
    fn text(&self, id: &str) -> String {
        let mut text = format!("Line {id}: {}\n\nModules\n", self.line.name);
        text.push_str("  module      kind         condition  waiting  inside  coming    kept\n");
        for (no, module) in self.line.all() {
            let load = self.track.load(no);
            text.push_str(&format!(
                "  {:<10}  {:<11}  {:<9}  {:>7}  {:>6}  {:>6}  {:>6}\n",
                module.id,
                module.kind.word(),
                load.condition.word(),
                load.queue(),
                load.inside,
                load.coming.len(),
                load.kept
            ));
        }
        text.push_str("\nLanes\n");
        for lane in &self.line.lanes {
            let tubes = self
                .line
                .lane_named(&lane.id)
                .map(|no| self.track.occupancy(no));
            text.push_str(&format!(
                "  {:<10}  {:<8}  {} of {}\n",
                lane.id,
                lane.class.word(),
                tubes.unwrap_or_default(),
                lane.capacity
            ));
        }
        self.tubes(&mut text);
        self.forecasts(&mut text);
        text.push('\n');
        text
    }

    fn tubes(&self, text: &mut String) {
        let mut tubes: Vec<_> = self
            .track
            .tubes()
            .filter(|(_, tube)| !tube.place.is_end())
            .collect();
        tubes.sort_by(|(a, one), (b, other)| one.last().cmp(&other.last()).then(a.cmp(b)));
        text.push_str(if tubes.is_empty() {
            "\nTubes under way: none\n"
        } else {
            "\nTubes under way, the one not seen for longest first\n"
        });
        for (id, tube) in tubes.iter().take(TUBES_SHOWN) {
            let since = instant(micros(tube.last()), self.zone);
            let place = self.place(tube);
            text.push_str(&format!(
                "  {:<20}  {since}  {place}\n",
                visible(id.as_str().as_bytes())
            ));
        }
        if tubes.len() > TUBES_SHOWN {
            text.push_str(&format!("  … and {} more\n", tubes.len() - TUBES_SHOWN));
        }
        let mut overdue: Vec<_> = self.track.overdue().collect();
        overdue.sort_by_key(|(id, _)| *id);
        text.push_str(if overdue.is_empty() {
            "\nOverdue: none\n"
        } else {
            "\nOverdue\n"
        });
        for (id, tube) in overdue.iter().take(TUBES_SHOWN) {
            let place = self.place(tube);
            text.push_str(&format!(
                "  {:<20}  {place}\n",
                visible(id.as_str().as_bytes())
            ));
        }
    }

    fn place(&self, tube: &Tube) -> String {
        let name = |no| &self.line.module(no).id;
        let mut place = match &tube.place {
            Place::Waiting { module, .. } => format!("waits before {}", name(*module)),
            Place::Working { module } => format!("in {}", name(*module)),
            Place::Done { module } => format!("done at {}", name(*module)),
            Place::Between {
                from, to: Some(to), ..
            } => {
                format!("from {} to {}", name(*from), name(*to))
            }
            Place::Between { from, .. } => format!("left {}", name(*from)),
            Place::Kept { module, position } => format!("kept in {} {position}", name(*module)),
            Place::Lost { module } => format!("lost at {}", name(*module)),
        };
        if let Some(to) = tube.advised {
            place.push_str(&format!(", advised {}", name(to)));
        }
        if tube.is_doubled {
            place.push_str(", TWO TUBES WITH THIS BARCODE");
        }
        place
    }

    fn forecasts(&self, text: &mut String) {
        let found = forecast(self.track, self.now);
        text.push_str(if found.is_empty() {
            "\nForecasts: none\n"
        } else {
            "\nForecasts\n"
        });
        for Forecast {
            module,
            at,
            queue,
            limit,
            why,
        } in found
        {
            let minutes = at.since(self.now).div_ceil(60_000);
            let why: Vec<&str> = why.iter().map(|why| why.code()).collect();
            text.push_str(&format!(
                "  {:<10}  more than {limit} in {minutes} min, {queue} now: {}\n",
                self.line.module(module).id,
                why.join(", ")
            ));
        }
    }
}

fn show_stations(args: &StationsArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let (loaded, _, url) = read(&args.site)?;
    let now = SystemClock::default().utc_micros();
    let zone = loaded.lab.lab.zone();
    let Some(since) = read_since(&args.since, &zone, now) else {
        let why = "--since takes 24h, 7d, 2026-03-10 or 2026-03-10T08:00".to_owned();
        return Err(Failure::Usage(why));
    };
    let indices = stations::indices(&loaded.catalogue);
    if indices.is_empty() {
        out::complain(
            "labwire: no test of the catalogue is an index of haemolysis: write index = \"haemolysis\" and index_limit\n",
        );
    }
    let mut store = Beside::reader(&url)?;
    let found = store.read(|db| stations::stations(db, &indices, (since, now)))?;
    if !args.json {
        out.line("station               tubes  measured  haemolysed   share")?;
    }
    for one in &found {
        if args.json {
            out.line(serde_json::to_string(one).unwrap_or_default())?;
            continue;
        }
        let name = if one.station.is_empty() {
            "(not said)"
        } else {
            &one.station
        };
        let share = one.over_permille().map_or_else(
            || "-".to_owned(),
            |permille| format!("{}.{} %", permille / 10, permille % 10),
        );
        out.line(format_args!(
            "{:<20}  {:>5}  {:>8}  {:>10}  {share:>6}",
            visible(name.as_bytes()),
            one.tubes,
            one.measured,
            one.over
        ))?;
    }
    Ok(Verdict::Clean)
}

fn clear(args: &ClearedArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let actor = actor(args.actor.as_deref())?;
    let (_, _, url) = read(&args.site)?;
    let mut store = Beside::writer(&url)?;
    let now = SystemClock::default().utc_micros();
    let tube = args.tube.as_str();
    let cleared = store.transact(|db| {
        let known = rows::of_barcode(db, tube)?;
        let last = known
            .iter()
            .rfind(|row| matches!(row.kind.as_str(), kinds::TWO_PLACES | kinds::CLEARED));
        let Some(found) = last.filter(|row| row.kind == kinds::TWO_PLACES) else {
            return Ok(false);
        };
        let row = TrackRow {
            kind: kinds::CLEARED.to_owned(),
            detail: Detail {
                why: format!("by {actor}"),
                ..Detail::default()
            },
            at: now,
            received_at: now,
            ..found.clone()
        };
        rows::insert(db, &[row])?;
        let subject = format!("specimen:{tube}");
        audit::write(db, now, &actor, kinds::CLEARED, &subject, "")?;
        Ok(true)
    })?;
    if cleared {
        out.line(format_args!(
            "{} is one tube again, says {actor}; results that are held for it stay held",
            visible(tube.as_bytes())
        ))?;
        return Ok(Verdict::Clean);
    }
    out::complain(&format!(
        "labwire: no line says that two tubes have the barcode `{}`\n",
        visible(tube.as_bytes())
    ));
    Ok(Verdict::Found)
}
