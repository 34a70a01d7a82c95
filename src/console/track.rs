//! The line: modules and lanes drawn, tubes on their way, what is overdue, and queues that will exceed
//! their limit.
//!
//! The books are the bridge's own ([`crate::bridge::LineBooks`]); a picture of them is made at most once
//! a second for all open pages, and only while one is open. What is drawn stands below the drawing in
//! words, for whoever does not see it and for the keyboard.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use serde::Serialize;

use crate::{
    config::choice::Choice as _,
    track::{
        Priority, Time,
        forecast::{Forecast, forecast},
        model::{Kind, LaneNo, Line, Module, ModuleNo},
        state::{Place as At, Track, Tube},
    },
    tubes::rows::{self, TrackRow, micros, time},
};

use super::{
    App, drawing,
    fault::Fault,
    gate::Who,
    page::{Page, Place, Tone, age, empty, encoded, of_tube, state, when},
    words::Words,
};

/// A picture this old is made anew, microseconds.
const FRESH: i64 = 1_000_000;
/// How often, and how soon again, a page looks at books that are at work; then it comes without them,
/// and its stream brings them.
const LOOKS_MAX: u32 = 40;
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Tubes that are listed; a line carries thousands.
const TUBES_SHOWN: usize = 40;
/// Findings that are listed.
const FINDINGS_SHOWN: i64 = 20;
/// Findings of so long are listed, microseconds.
const FINDINGS_SINCE: i64 = 24 * 3_600 * 1_000_000;

/// One line at a moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Picture {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) modules: Vec<ModulePicture>,
    pub(super) lanes: Vec<LanePicture>,
    /// Tubes between two modules.
    pub(super) moving: Vec<Moving>,
    /// Tubes under way, those between two modules among them.
    pub(super) under_way: usize,
    /// Tubes that somebody has to look for, the most urgent first.
    pub(super) wanted: Vec<TubePicture>,
    /// How many they are; the list is shortened.
    pub(super) wanted_count: usize,
    /// Tubes under way, the one not seen for longest first; shortened.
    pub(super) oldest: Vec<TubePicture>,
    pub(super) forecasts: Vec<ForecastPicture>,
}

/// A module and what it carries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ModulePicture {
    pub(super) id: String,
    pub(super) kind: &'static str,
    pub(super) condition: &'static str,
    pub(super) waiting: u32,
    pub(super) waiting_stat: u32,
    pub(super) inside: u32,
    pub(super) coming: usize,
    pub(super) kept: u32,
    pub(super) capacity: Option<u32>,
    pub(super) queue_max: u32,
    pub(super) unread: u64,
    pub(super) instrument: String,
    pub(super) is_end: bool,
    pub(super) is_full: bool,
    /// Its queue will exceed its limit.
    pub(super) is_foretold: bool,
}

/// A lane and what it carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct LanePicture {
    pub(super) id: String,
    pub(super) class: &'static str,
    pub(super) is_backward: bool,
    pub(super) tubes: u32,
    pub(super) capacity: u32,
}

/// A tube between two modules, by their places in the picture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Moving {
    pub(super) barcode: String,
    pub(super) from: usize,
    pub(super) to: Option<usize>,
    pub(super) lane: usize,
    /// Of its way, 0 to 1000.
    pub(super) permille: u64,
    pub(super) is_stat: bool,
    pub(super) is_overdue: bool,
}

/// A tube in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct TubePicture {
    pub(super) barcode: String,
    /// `waiting`, `working`, `done`, `between`, `kept`, `lost`.
    pub(super) place: &'static str,
    pub(super) module: String,
    pub(super) to: String,
    pub(super) is_stat: bool,
    /// Why somebody has to look for it: `doubled`, `overdue`, `lost`; empty for nothing.
    pub(super) why: &'static str,
    /// UTC microseconds.
    pub(super) last: i64,
}

/// A queue that will exceed its limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ForecastPicture {
    pub(super) module: String,
    pub(super) minutes: u64,
    pub(super) queue: u32,
    pub(super) limit: u32,
    pub(super) why: Vec<&'static str>,
}

impl Picture {
    /// Of the books at `now`.
    pub(super) fn of(id: &str, track: &Track, now: Time) -> Self {
        let line = track.line();
        let order = order(line);
        let places = order.iter().enumerate();
        let places: BTreeMap<ModuleNo, usize> = places.map(|(at, (no, _))| (*no, at)).collect();
        let place_of = |no: ModuleNo| places.get(&no).copied().unwrap_or_default();
        let foretold = forecast(track, now);
        let mut moving = Vec::new();
        let (mut wanted, mut oldest) = (Vec::new(), Vec::new());
        for (barcode, tube) in track.tubes() {
            let why = why(tube);
            if !why.is_empty() {
                wanted.push((barcode, tube));
            }
            if tube.place.is_end() {
                continue;
            }
            oldest.push((barcode, tube));
            if let At::Between {
                from, to, expected, ..
            } = &tube.place
            {
                moving.push(Moving {
                    barcode: barcode.as_str().to_owned(),
                    from: place_of(*from),
                    to: to.map(place_of),
                    lane: lane(line, tube, *from, *to),
                    permille: permille(tube.last(), *expected, now),
                    is_stat: tube.priority == Priority::Stat,
                    is_overdue: tube.is_overdue(),
                });
            }
        }
        moving.sort_by(|one, other| one.barcode.cmp(&other.barcode));
        wanted.sort_by_key(|(id, tube)| (rank(why(tube)), tube.last(), *id));
        oldest.sort_by_key(|(id, tube)| (tube.last(), *id));
        let told = |all: &[(&crate::track::TubeId, &Tube)]| {
            let shown = all.iter().take(TUBES_SHOWN);
            shown
                .map(|(id, tube)| TubePicture::of(line, id.as_str(), tube))
                .collect()
        };
        Self {
            id: id.to_owned(),
            name: line.name.clone(),
            modules: order
                .iter()
                .map(|(no, module)| ModulePicture::of(track, *no, module, &foretold))
                .collect(),
            lanes: lanes(track),
            moving,
            under_way: oldest.len(),
            wanted: told(&wanted),
            wanted_count: wanted.len(),
            oldest: told(&oldest),
            forecasts: foretold
                .iter()
                .map(|one| ForecastPicture::of(line, one, now))
                .collect(),
        }
    }
}

/// Modules in the order in which tubes meet them: by kind, then as the file has them.
fn order(line: &Line) -> Vec<(ModuleNo, &Module)> {
    let mut order: Vec<(ModuleNo, &Module)> = line.all().collect();
    let stage = |kind: Kind| Kind::ALL.iter().position(|one| *one == kind);
    order.sort_by_key(|(_, module)| stage(module.kind));
    order
}

/// The lane that a tube is on: as told, or the one that leads where it goes.
fn lane(line: &Line, tube: &Tube, from: ModuleNo, to: Option<ModuleNo>) -> usize {
    let led = to.and_then(|to| line.first_edges(from, to).next().map(|edge| edge.lane));
    let known = tube.place.lane().or(led);
    known.map_or(0, |no| lane_index(line, no))
}

fn lane_index(line: &Line, no: LaneNo) -> usize {
    let named = &line.lane(no).id;
    let at = line.lanes.iter().position(|lane| lane.id == *named);
    at.unwrap_or(0)
}

fn lanes(track: &Track) -> Vec<LanePicture> {
    use crate::track::model::Direction;
    let line = track.line();
    let lanes = line.lanes.iter();
    lanes
        .map(|lane| LanePicture {
            id: lane.id.clone(),
            class: lane.class.word(),
            is_backward: lane.direction == Direction::Backward,
            tubes: line
                .lane_named(&lane.id)
                .map_or(0, |no| track.occupancy(no)),
            capacity: lane.capacity,
        })
        .collect()
}

/// How far a tube is, 0 to 1000; whoever is late stands before the end.
fn permille(left: Time, expected: Time, now: Time) -> u64 {
    let whole = expected.since(left).max(1);
    (now.since(left).saturating_mul(1_000) / whole).min(950)
}

/// Why somebody has to look for a tube.
fn why(tube: &Tube) -> &'static str {
    if tube.is_doubled {
        "doubled"
    } else if tube.is_overdue() {
        "overdue"
    } else if matches!(tube.place, At::Lost { .. }) {
        "lost"
    } else {
        ""
    }
}

fn rank(why: &str) -> u8 {
    match why {
        "doubled" => 0,
        "overdue" => 1,
        _ => 2,
    }
}

impl ModulePicture {
    fn of(track: &Track, no: ModuleNo, module: &Module, foretold: &[Forecast]) -> Self {
        let load = track.load(no);
        Self {
            id: module.id.clone(),
            kind: module.kind.word(),
            condition: load.condition.word(),
            waiting: load.queue(),
            waiting_stat: load.waiting_stat,
            inside: load.inside,
            coming: load.coming.len(),
            kept: load.kept.saturating_sub(load.emptied),
            capacity: module.capacity,
            queue_max: module.queue_max,
            unread: load.unread,
            instrument: module.instrument.clone(),
            is_end: module.is_end(),
            is_full: load.is_full(module),
            is_foretold: foretold.iter().any(|one| one.module == no),
        }
    }

    /// Colour and word of how it is.
    pub(super) fn tone(&self) -> Tone {
        match self.condition {
            "jam" | "down" => Tone::Act,
            _ if self.is_full || self.is_foretold => Tone::Look,
            _ => Tone::Good,
        }
    }

    /// The word of its condition; what it counts itself goes before what it says.
    pub(super) fn word(&self) -> &'static str {
        match self.condition {
            "up" if self.is_full => "full",
            "up" if self.is_foretold => "foretold",
            condition => condition,
        }
    }
}

impl TubePicture {
    fn of(line: &Line, barcode: &str, tube: &Tube) -> Self {
        let (place, to) = match &tube.place {
            At::Waiting { .. } => ("waiting", None),
            At::Working { .. } => ("working", None),
            At::Done { .. } => ("done", None),
            At::Between { to, .. } => ("between", *to),
            At::Kept { .. } => ("kept", None),
            At::Lost { .. } => ("lost", None),
        };
        Self {
            barcode: barcode.to_owned(),
            place,
            module: line.module(tube.place.module()).id.clone(),
            to: to.map(|no| line.module(no).id.clone()).unwrap_or_default(),
            is_stat: tube.priority == Priority::Stat,
            why: why(tube),
            last: micros(tube.last()),
        }
    }
}

impl ForecastPicture {
    fn of(line: &Line, one: &Forecast, now: Time) -> Self {
        Self {
            module: line.module(one.module).id.clone(),
            minutes: one.at.since(now).div_ceil(60_000),
            queue: one.queue,
            limit: one.limit,
            why: one.why.iter().map(|why| why.code()).collect(),
        }
    }
}

/// Pictures of the lines, and who wants new ones.
#[derive(Debug, Default)]
pub(super) struct Pictures {
    last: Mutex<Last>,
    watching: AtomicUsize,
}

/// When they were made (UTC microseconds), and the pictures by line.
type Last = (i64, BTreeMap<String, Arc<Picture>>);

impl Pictures {
    /// Every line as it is, or as it was when its books could be looked at last.
    pub(super) fn now(&self, app: &App) -> Vec<Arc<Picture>> {
        let now = app.now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_sub(last.0) >= FRESH || now < last.0 {
            last.0 = now;
            for (id, books) in &app.parts.open.tracks() {
                let seen = books.look(|track| Picture::of(id, track, time(now)));
                if let Some(picture) = seen {
                    last.1.insert(id.clone(), Arc::new(picture));
                } else if !last.1.contains_key(id) {
                    // Nothing is known yet: the next look is not to wait.
                    last.0 = 0;
                }
            }
        }
        last.1.values().cloned().collect()
    }

    /// Waits for the first look at every line; its keeper may be at work with the books.
    async fn ready(&self, app: &App) {
        for _ in 0..LOOKS_MAX {
            if self.now(app).len() >= app.parts.open.tracks().len() {
                return;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watching.load(Ordering::Relaxed) > 0
    }
}

/// An open page with the line on it.
pub(super) struct Watching(Arc<App>);

impl Watching {
    pub(super) fn of(app: &Arc<App>, topic: &str) -> Option<Self> {
        (topic == "track").then(|| {
            app.pictures.watching.fetch_add(1, Ordering::Relaxed);
            Self(Arc::clone(app))
        })
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.pictures.watching.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `GET /track`
pub(super) async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let words = who.words();
    let found = findings(&app).await?;
    app.pictures.ready(&app).await;
    let content = html! {
        @if app.parts.open.tracks().is_empty() {
            (empty(&words.t("track.none")))
        } @else {
            div sse-swap="track" { (board(words, &app)) }
            (found_list(&app, words, &found))
        }
    };
    let mut page = Page::new(&app, &who, Place::Track, words.t("place.track"));
    page.live = "on=track";
    Ok(page.show(&content))
}

/// The newest findings of every line, newest first.
pub(super) async fn findings(app: &App) -> Result<Vec<TrackRow>, Fault> {
    let lines: Vec<String> = app.parts.site.tracks.keys().cloned().collect();
    let since = app.now().saturating_sub(FINDINGS_SINCE);
    let mut found = app
        .read(move |db| {
            let mut all = Vec::new();
            for line in &lines {
                all.extend(rows::found(db, line, since, FINDINGS_SHOWN)?);
            }
            Ok(all)
        })
        .await?;
    found.sort_by_key(|row| std::cmp::Reverse(row.received_at));
    Ok(found)
}

fn found_list(app: &App, words: Words, found: &[TrackRow]) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        section aria-labelledby="found-title" {
            h2 id="found-title" { (words.t("track.found")) }
            @if found.is_empty() { p.hint { (words.t("track.none-found")) } }
            ol.plain { @for row in found {
                li {
                    (when(row.received_at, zone, now)) " "
                    @if row.barcode.is_empty() { span.code { (words.t("no-barcode")) } }
                    @else { a.code.tube href=(of_tube(&row.barcode)) { (row.barcode) } }
                    " " (words.t(&format!("track.finding.{}", row.kind)))
                    " " span.code { (row.module) }
                }
            } }
        }
    }
}

/// Every line, live.
pub(super) fn board(words: Words, app: &App) -> Markup {
    let pictures = app.pictures.now(app);
    html! {
        @if pictures.is_empty() { p.hint { (words.t("track.busy")) } }
        @for picture in &pictures { (line(words, app, picture)) }
    }
}

fn line(words: Words, app: &App, picture: &Picture) -> Markup {
    let stops = picture.modules.iter().filter(|one| one.tone() == Tone::Act);
    let count = words.count(u64::try_from(picture.under_way).unwrap_or(0));
    html! {
        article.card {
            h2 { (picture.name) " " span.code { (picture.id) } }
            p.head {
                span { (words.f("track.under-way-count", &[("count", &count)])) }
                @for module in stops {
                    (state(module.tone(), &format!("{}: {}", module.id, condition(words, module))))
                }
            }
            (drawing::of(words, picture))
            (forecasts(words, picture))
            (wanted(words, app, picture))
            details { summary { (words.t("track.in-words")) }
                (modules(words, picture))
                (lanes_table(words, picture))
                h3 { (words.t("track.under-way")) }
                (tubes(words, app, &picture.oldest))
                @if picture.under_way > picture.oldest.len() { p.hint { (words.t("track.more")) } }
            }
        }
    }
}

/// The condition of a module in words.
pub(super) fn condition(words: Words, module: &ModulePicture) -> String {
    words.t(&format!("track.condition.{}", module.word()))
}

fn forecasts(words: Words, picture: &Picture) -> Markup {
    html! {
        h3 { (words.t("track.forecasts")) }
        @if picture.forecasts.is_empty() { p.hint { (words.t("track.no-forecast")) } }
        @for one in &picture.forecasts {
            p { (state(Tone::Look, &one.module)) " "
                @let args = [("limit", one.limit.to_string()), ("minutes", one.minutes.to_string()), ("queue", one.queue.to_string())];
                @let args: Vec<(&str, &str)> = args.iter().map(|(key, value)| (*key, value.as_str())).collect();
                @if one.minutes == 0 { (words.f("track.over-now", &args)) }
                @else { (words.f("track.will-exceed", &args)) }
                " "
                span.hint { @for (at, why) in one.why.iter().enumerate() {
                    @if at > 0 { ", " } (words.t(&format!("track.why.{why}")))
                } }
            }
        }
    }
}

fn wanted(words: Words, app: &App, picture: &Picture) -> Markup {
    html! {
        h3 { (words.t("track.wanted")) @if picture.wanted_count > 0 { " (" (picture.wanted_count) ")" } }
        @if picture.wanted.is_empty() { (empty(&words.t("track.nobody"))) }
        @else { (tubes(words, app, &picture.wanted)) }
        @if picture.wanted_count > picture.wanted.len() { p.hint { (words.t("track.more")) } }
    }
}

fn tubes(words: Words, app: &App, tubes: &[TubePicture]) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let now = app.now();
    html! {
        ol.plain.rows { @for tube in tubes {
            li {
                a.code.tube id={ "tube-" (encoded(&tube.barcode)) @if tube.why.is_empty() { "-way" } } href=(of_tube(&tube.barcode)) { (tube.barcode) } " "
                @if tube.is_stat { span.stat { (words.t("track.stat")) } " " }
                @match tube.why {
                    "" => {}
                    "overdue" => { (state(Tone::Look, &words.t("track.tube.overdue"))) " " }
                    why => { (state(Tone::Act, &words.t(&format!("track.tube.{why}")))) " " }
                }
                (words.f(&format!("track.place.{}", tube.place), &[("module", &tube.module), ("to", if tube.to.is_empty() { "?" } else { &tube.to })]))
                " " span.hint { (age(tube.last, zone, now)) }
            }
        } }
    }
}

fn modules(words: Words, picture: &Picture) -> Markup {
    html! {
        h3 { (words.t("track.modules")) }
        div.wide tabindex="0" role="group" aria-label=(words.t("track.modules")) { table {
            thead { tr { @for key in ["module", "kind", "state", "waiting", "inside", "coming", "kept", "unread", "device"] {
                th scope="col" { (words.t(&format!("column.{key}"))) }
            } } }
            tbody { @for module in &picture.modules { tr {
                th scope="row" { (module.id) }
                td { (words.t(&format!("track.kind.{}", module.kind))) }
                td { (state(module.tone(), &condition(words, module))) }
                td { (module.waiting) @if module.waiting_stat > 0 { " (" (words.t("track.stat")) " " (module.waiting_stat) ")" } }
                td { (module.inside) }
                td { (module.coming) }
                td { (module.kept) @if let Some(capacity) = module.capacity { " / " (capacity) } }
                td { (module.unread) }
                td { @if !module.instrument.is_empty() { a href={ "/devices/" (encoded(&module.instrument)) } { (module.instrument) } } }
            } } }
        } }
    }
}

fn lanes_table(words: Words, picture: &Picture) -> Markup {
    html! {
        h3 { (words.t("track.lanes")) }
        div.wide { table {
            thead { tr { @for key in ["lane", "kind", "count"] {
                th scope="col" { (words.t(&format!("column.{key}"))) }
            } } }
            tbody { @for lane in &picture.lanes { tr {
                th scope="row" { (lane.id) }
                td { (words.t(&format!("track.class.{}", lane.class))) }
                td { (lane.tubes) " / " (lane.capacity) }
            } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        text::{Language, has},
        track::{
            TubeId,
            model::{Class, Condition},
            state::{Event, What},
        },
    };

    /// The example's line with `count` tubes that were read at its inlet, of which every other left
    /// for the centrifuge.
    fn busy(count: usize) -> Track {
        let text = include_str!("../../config/example/line.toml");
        let mut problems = crate::config::Problems::default();
        let source = Arc::new(miette::NamedSource::new("line.toml", text.to_owned()));
        let line = Line::read(&source, &mut problems).expect("the example can be read");
        let mut track = Track::new(Arc::new(line));
        let named = |name: &str| track.line().module_named(name).expect("a module");
        let (inlet, spin) = (named("IN1"), named("CENT1"));
        for n in 0..count {
            let at = Time::from_s(1_000 + u64::try_from(n).expect("small"));
            let tube = TubeId::new(&format!("<b>{n}</b>"));
            let mut tell = |what, at| {
                let (tube, module) = (tube.clone(), inlet);
                let event = Event::Tube {
                    tube,
                    module,
                    what,
                    at,
                };
                track.on_event(at, event);
            };
            tell(What::Seen { lane: None }, at);
            if n % 2 == 0 {
                let left = What::Left {
                    to: Some(spin),
                    lane: None,
                };
                tell(left, at.after(5_000));
            }
        }
        track
    }

    #[test]
    fn a_line_with_thousands_of_tubes_is_drawn_in_few_kilobytes() {
        let now = Time::from_s(7_000);
        let mut track = busy(6_000);
        track.on_time(now);
        let picture = Picture::of("line-1", &track, now);
        assert_eq!(picture.under_way, 6_000);
        assert!(picture.wanted_count > 1_000, "{}", picture.wanted_count);
        assert_eq!(picture.wanted.len(), TUBES_SHOWN);
        let drawn = drawing::of(Words(Language::Vi), &picture).into_string();
        assert!(drawn.len() < 50_000, "{} bytes", drawn.len());
        assert!(!drawn.contains("<b>"), "a barcode is text, not markup");
        assert!(drawn.contains("CENT1") && drawn.contains("STORE1"));
    }

    #[test]
    fn a_tube_is_drawn_where_it_is_between_its_modules() {
        let track = busy(1);
        // It left at 1005 s.
        let at = |s| Picture::of("line-1", &track, Time::from_s(s)).moving;
        let early = at(1_006);
        let late = at(1_012);
        let (early, late) = (early.first().expect("one"), late.first().expect("one"));
        assert!(early.permille < late.permille, "{early:?} {late:?}");
        assert_eq!(at(9_000).first().expect("one").permille, 950);
        let picture = Picture::of("line-1", &track, Time::from_s(1_006));
        assert_eq!(picture.modules[early.from].id, "IN1");
        assert_eq!(picture.modules[early.to.expect("said")].id, "CENT1");
    }

    #[test]
    fn everything_that_a_line_says_has_its_words_in_both_languages() {
        let mut keys: Vec<String> = Vec::new();
        let all = |group: &str, words: &[&str]| -> Vec<String> {
            let named = words.iter();
            named
                .map(|word| format!("console.track.{group}.{word}"))
                .collect()
        };
        let kinds: Vec<&str> = Kind::ALL.iter().map(|one| one.word()).collect();
        let classes: Vec<&str> = Class::ALL.iter().map(|one| one.word()).collect();
        let mut conditions: Vec<&str> = Condition::ALL.iter().map(|one| one.word()).collect();
        conditions.push("foretold");
        keys.extend(all("kind", &kinds));
        keys.extend(all("class", &classes));
        keys.extend(all("condition", &conditions));
        keys.extend(all("tube", &["doubled", "overdue", "lost"]));
        let places = ["waiting", "working", "done", "between", "kept", "lost"];
        keys.extend(all("place", &places));
        keys.extend(all("finding", rows::FINDINGS));
        let why = [
            "over-now",
            "module-stands",
            "more-come-than-are-taken",
            "on-the-way",
        ];
        keys.extend(all("why", &why));
        for language in Language::ALL {
            for key in &keys {
                assert!(has(*language, key), "{language:?} lacks {key}");
            }
        }
    }
}
