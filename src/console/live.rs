//! Pages that stay fresh: one look at the bridge a second for all of them, and a stream of events
//! for each.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{Query, State},
    response::{
        IntoResponse, Response, Sse,
        sse::{Event, KeepAlive},
    },
};
use futures_util::Stream;
use labwire_drivers::LineStatus;
use serde::Deserialize;
use tokio::{
    sync::{Mutex, watch},
    time::MissedTickBehavior,
};

use crate::{
    people::check,
    store::{
        Db, StoreError,
        nodes::{self, Listed},
    },
    text::Language,
};

use super::{
    App, alerts, calls, devices,
    fault::Fault,
    gate::Who,
    look::{self, Counts},
    queue, track, wire,
    words::Words,
    work,
};

/// How often the bridge is looked at while a page is open.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Open streams; a browser has one for each page.
const STREAMS_MAX: usize = 256;

/// How often a stream asks whether its session still is one.
const STILL_THERE_EVERY: u32 = 20;

/// The bridge at a moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Moment {
    pub(super) now: i64,
    pub(super) counts: Counts,
    pub(super) lines: Vec<LineStatus>,
    /// The nodes that serve the laboratory, where there are several.
    pub(super) nodes: Vec<Listed>,
    /// False while the store does not answer: the counts are older then.
    pub(super) is_readable: bool,
}

/// Fragments of pages by language and topic.
type Fragments = BTreeMap<(&'static str, &'static str), Arc<str>>;

/// What all streams listen to.
#[derive(Debug)]
pub(super) struct Live {
    fragments: watch::Sender<Arc<Fragments>>,
    /// Who looks at the bridge, looks alone: an older look never replaces a newer one.
    looking: Mutex<()>,
    streams: AtomicUsize,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            fragments: watch::Sender::new(Arc::default()),
            looking: Mutex::default(),
            streams: AtomicUsize::new(0),
        }
    }
}

/// Reads the bridge now.
pub(super) async fn moment(app: &App) -> Result<Moment, StoreError> {
    let (now, within) = (app.now(), app.parts.loaded.lab.console.call_within());
    let is_node = app.parts.loaded.lab.node.is_some();
    let read = move |db: &mut dyn Db| {
        let nodes = is_node.then(|| nodes::listed(db)).transpose()?;
        Ok((look::counts(db, now, within)?, nodes.unwrap_or_default()))
    };
    let (counts, nodes) = app.read(read).await?;
    Ok(Moment {
        now,
        counts,
        nodes,
        lines: lines(app),
        is_readable: true,
    })
}

pub(super) fn lines(app: &App) -> Vec<LineStatus> {
    app.parts.open.all()
}

/// Looks at the bridge while anybody listens, until the console stops.
pub(super) async fn keep_looking(app: Arc<App>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = Moment::default();
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.stop.cancelled() => return,
        }
        if app.live.fragments.receiver_count() == 0 {
            continue;
        }
        let _alone = app.live.looking.lock().await;
        last = match moment(&app).await {
            Ok(moment) => moment,
            Err(_) => Moment {
                now: app.now(),
                lines: lines(&app),
                is_readable: false,
                counts: last.counts,
                nodes: last.nodes,
            },
        };
        tell(&app, &last);
    }
}

/// Looks at once, after an act: the page that follows it must not be told of the time before.
pub(super) async fn look_now(app: &App) {
    let _alone = app.live.looking.lock().await;
    // What cannot be read now is told by the look that comes.
    if let Ok(moment) = moment(app).await {
        tell(app, &moment);
    }
}

fn tell(app: &App, moment: &Moment) {
    let fragments = render(app, moment);
    app.live.fragments.send_if_modified(|known| {
        let is_news = **known != fragments;
        if is_news {
            *known = Arc::new(fragments);
        }
        is_news
    });
}

fn render(app: &App, moment: &Moment) -> Fragments {
    let mut fragments = Fragments::new();
    for language in Language::ALL {
        let words = Words(*language);
        for (topic, markup) in [
            ("count-work", work::badge(words, moment)),
            ("count-alerts", alerts::badge(words, moment)),
            ("count-calls", calls::badge(words, moment)),
            ("count-devices", devices::badge(words, moment)),
            ("count-queue", queue::badge(words, moment)),
            ("work", work::summary(words, app, moment)),
            ("calls", calls::summary(words, app, moment)),
            ("devices", devices::board(words, app, moment)),
            ("queue", queue::board(words, app, moment)),
        ] {
            fragments.insert((language.code(), topic), markup.into_string().into());
        }
        if app.pictures.is_watched() {
            let drawn = track::board(words, app).into_string();
            fragments.insert((language.code(), "track"), drawn.into());
        }
    }
    fragments
}

/// What a page wants to hear of.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// A topic beside the counts of the menu.
    #[serde(default)]
    on: String,
    /// A line whose wire is shown.
    #[serde(default)]
    line: String,
}

/// A stream is counted while it lives.
struct Seat(Arc<App>);

impl Seat {
    fn take(app: &Arc<App>) -> Option<Self> {
        let taken = app.live.streams.fetch_add(1, Ordering::Relaxed);
        let seat = Self(Arc::clone(app));
        (taken < STREAMS_MAX).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.live.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// `GET /live`: the stream of one page.
pub(super) async fn stream(
    State(app): State<Arc<App>>,
    who: Who,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Fault> {
    let seat = Seat::take(&app).ok_or(Fault::BUSY)?;
    let mut changed = app.live.fragments.subscribe();
    // What is known already is news for this page.
    changed.mark_changed();
    let streaming = Streaming {
        changed,
        wire: wire::Tail::of(&app, &wanted.line),
        _watching: track::Watching::of(&app, &wanted.on),
        told: BTreeMap::new(),
        waiting: Vec::new(),
        ticks: 0,
        wanted,
        who,
        seat,
        is_over: false,
    };
    let keep_alive = KeepAlive::new().interval(Duration::from_secs(10));
    let sse = Sse::new(events(streaming)).keep_alive(keep_alive);
    Ok(([("x-accel-buffering", "no")], sse).into_response())
}

struct Streaming {
    changed: watch::Receiver<Arc<Fragments>>,
    wire: Option<wire::Tail>,
    /// The line is looked at while somebody sees it.
    _watching: Option<track::Watching>,
    /// What this page was told last, by topic.
    told: BTreeMap<&'static str, Arc<str>>,
    waiting: Vec<Event>,
    ticks: u32,
    wanted: Wanted,
    who: Who,
    seat: Seat,
    is_over: bool,
}

fn events(streaming: Streaming) -> impl Stream<Item = Result<Event, Infallible>> {
    futures_util::stream::unfold(streaming, |mut streaming| async move {
        let event = streaming.next().await?;
        Some((Ok(event), streaming))
    })
}

impl Streaming {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            let stop = self.seat.0.stop.clone();
            tokio::select! {
                changed = self.changed.changed() => {
                    changed.ok()?;
                    self.hear();
                }
                () = tokio::time::sleep(LOOK_EVERY) => self.tick().await,
                () = stop.cancelled() => return None,
            }
        }
    }

    /// News of the topics that the page shows.
    fn hear(&mut self) {
        let fragments = Arc::clone(&self.changed.borrow_and_update());
        let language = self.who.language.code();
        for ((of, topic), fragment) in fragments.iter() {
            let is_wanted = topic.starts_with("count-") || *topic == self.wanted.on;
            if *of != language || !is_wanted || self.told.get(topic) == Some(fragment) {
                continue;
            }
            self.told.insert(topic, Arc::clone(fragment));
            self.waiting
                .push(Event::default().event(*topic).data(&**fragment));
        }
        self.tail();
    }

    fn tail(&mut self) {
        let words = self.who.words();
        let news = self.wire.as_mut().and_then(|wire| wire.news(words));
        if let Some(news) = news {
            self.waiting.push(Event::default().event("wire").data(news));
        }
    }

    /// The wire is looked at, and now and then whether somebody still is logged in.
    async fn tick(&mut self) {
        self.tail();
        self.ticks += 1;
        if self.ticks < STILL_THERE_EVERY {
            return;
        }
        self.ticks = 0;
        let (app, ticket) = (Arc::clone(&self.seat.0), self.who.ticket.clone());
        let now = app.now();
        let still = app.read(move |db| check(db, &ticket, now)).await;
        // A store that does not answer ends no session.
        if matches!(still, Ok(None)) {
            self.waiting.push(Event::default().event("ended").data("-"));
            self.is_over = true;
        }
    }
}
