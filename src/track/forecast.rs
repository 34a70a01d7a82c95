//! When a queue will exceed its limit, said before it does.
//!
//! The queue of a module is carried forward in small steps: tubes that are on their way, or in a
//! module whose tubes all go there (a centrifuge and its decapper), come when they are expected;
//! after them as many an hour as came in the last [`WINDOW_MS`]. The module takes as many as it did
//! while it had no rest, or as its file says.

use std::collections::VecDeque;

use super::{
    Time,
    model::{Condition, HOUR_MS, Line, ModuleNo},
    state::{Load, Track, WINDOW_MS},
};

/// A queue that will exceed its limit.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Whose queue.
    pub module: ModuleNo,
    /// When; the time asked for where it does already.
    pub at: Time,
    /// Tubes waiting now.
    pub queue: u32,
    /// The limit.
    pub limit: u32,
    /// Why, the strongest first.
    pub why: Vec<Why>,
}

/// Why a queue grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// It is over its limit now.
    OverNow,
    /// The module does not work.
    Stands(Condition),
    /// More come than are taken.
    Rates {
        /// Tubes an hour that come.
        arriving_per_hour: f64,
        /// Tubes an hour that are taken.
        served_per_hour: f64,
    },
    /// Tubes are on their way to it.
    OnTheWay {
        /// How many.
        tubes: u32,
        /// Milliseconds until the last of them is expected.
        within_ms: u64,
    },
}

impl Why {
    /// Its word, which never changes its meaning.
    pub const fn code(self) -> &'static str {
        match self {
            Self::OverNow => "over-now",
            Self::Stands(_) => "module-stands",
            Self::Rates { .. } => "more-come-than-are-taken",
            Self::OnTheWay { .. } => "on-the-way",
        }
    }
}

/// So far ahead is looked: what lies farther is guesswork, and early enough for a person.
pub const HORIZON_MS: u64 = 20 * 60 * 1_000;
/// One step of the calculation.
const STEP_MS: u64 = 15_000;
/// Fewer arrivals in a window are no rate.
const ARRIVALS_MIN: usize = 5;

/// Every queue that exceeds its limit within [`HORIZON_MS`], the first to do so first.
pub fn forecast(track: &Track, now: Time) -> Vec<Forecast> {
    let line = track.line();
    let mut found: Vec<Forecast> = line
        .all()
        .filter(|(_, module)| !module.is_end())
        .filter_map(|(no, _)| of_module(track, no, now))
        .collect();
    found.sort_by_key(|forecast| forecast.at);
    found
}

/// Tubes an hour.
#[derive(Clone, Copy, Debug)]
struct Rates {
    arriving: f64,
    served: f64,
    /// Nothing is taken before: a jam has to end.
    served_from: Time,
}

fn of_module(track: &Track, no: ModuleNo, now: Time) -> Option<Forecast> {
    let (line, load) = (track.line(), track.load(no));
    let known = known(track, no, now);
    let limit = line.module(no).queue_max;
    let queue = load.queue();
    let rates = rates(line, load, no, now);
    let at = if queue > limit {
        now
    } else {
        excess(&known, load.queue(), (rates, limit), now)?
    };
    Some(Forecast {
        module: no,
        at,
        queue,
        limit,
        why: why(load, rates, &known, (queue > limit, now)),
    })
}

fn rates(line: &Line, load: &Load, no: ModuleNo, now: Time) -> Rates {
    // Tubes that came before a module was switched off say nothing of those that come to it now.
    let window_ms = if load.condition == Condition::Down {
        WINDOW_MS.min(now.since(load.since))
    } else {
        WINDOW_MS
    };
    let arrivals = within(&load.arrivals, now, window_ms);
    let arriving = if arrivals < ARRIVALS_MIN {
        0.0
    } else {
        per_hour(arrivals, window_ms)
    };
    let named = f64::from(line.module(no).rate_per_hour);
    // Only a module that never had to wait for tubes and never stood shows what it can do; one or
    // two batches in a window show nothing.
    let is_measured = line.module(no).batch == 1
        && load.condition == Condition::Up
        && now.since(load.since) >= WINDOW_MS
        && load
            .busy_since
            .is_some_and(|since| now.since(since) >= WINDOW_MS);
    let served = if load.condition == Condition::Down {
        0.0
    } else if is_measured {
        let starts = within(&load.starts, now, WINDOW_MS);
        per_hour(starts, WINDOW_MS).clamp(named / 2.0, named)
    } else {
        named
    };
    let served_from = if load.condition == Condition::Jam {
        load.since.after(line.routing.jam_ms)
    } else {
        now
    };
    Rates {
        arriving,
        served,
        served_from,
    }
}

fn within(times: &VecDeque<Time>, now: Time, window_ms: u64) -> usize {
    times
        .iter()
        .filter(|at| now.since(**at) <= window_ms)
        .count()
}

fn per_hour(count: usize, window_ms: u64) -> f64 {
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    count * hours(HOUR_MS) / hours(window_ms)
}

/// Milliseconds as hours.
fn hours(ms: u64) -> f64 {
    f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 3_600_000.0
}

/// A tube that is known to come, or a share of one where several modules could get it.
type Known = (Time, f64);

/// Tubes known to come, the first first.
fn known(track: &Track, no: ModuleNo, now: Time) -> Vec<Known> {
    let line = track.line();
    let coming = track.load(no).coming.iter();
    let mut known: Vec<Known> = coming.map(|(expected, _)| (*expected, 1.0)).collect();
    for (before, module) in line.all() {
        let load = track.load(before);
        let Some(start) = load.last_start.filter(|_| load.inside > 0) else {
            continue;
        };
        let feeds = line.feeds(before);
        let is_still = load.condition == Condition::Down || load.condition == Condition::Jam;
        if is_still || !feeds.contains(&no) {
            continue;
        }
        let way_ms = line.transit_ms(before, no).unwrap_or_default();
        let expected = start.after(module.dwell_ms).max(now).after(way_ms);
        let share = 1.0 / f64::from(u32::try_from(feeds.len()).unwrap_or(u32::MAX));
        known.extend((0..load.inside).map(|_| (expected, share)));
    }
    known.sort_by_key(|(expected, _)| *expected);
    known
}

/// When the queue is longer than its limit.
fn excess(known: &[Known], queue: u32, (rates, limit): (Rates, u32), now: Time) -> Option<Time> {
    let mut queue = f64::from(queue);
    let mut coming = known.iter().peekable();
    let last_known = known.last().map_or(now, |(expected, _)| *expected);
    let step = hours(STEP_MS);
    let mut at = now;
    while at.since(now) < HORIZON_MS {
        let end = at.after(STEP_MS);
        let mut arriving = 0.0;
        while let Some((_, share)) = coming.next_if(|(expected, _)| *expected <= end) {
            arriving += share;
        }
        // Tubes that will be sent after now are not on their way yet.
        if at >= last_known {
            arriving += rates.arriving * step;
        }
        let taken = if at < rates.served_from {
            0.0
        } else {
            rates.served * step
        };
        queue = (queue + arriving - taken).max(0.0);
        at = end;
        if queue > f64::from(limit) {
            return Some(at);
        }
    }
    None
}

fn why(load: &Load, rates: Rates, known: &[Known], (is_over, now): (bool, Time)) -> Vec<Why> {
    let mut why = Vec::new();
    if is_over {
        why.push(Why::OverNow);
    }
    if matches!(load.condition, Condition::Jam | Condition::Down) {
        why.push(Why::Stands(load.condition));
    }
    if rates.arriving > rates.served {
        why.push(Why::Rates {
            arriving_per_hour: rates.arriving,
            served_per_hour: rates.served,
        });
    }
    if let Some((last, _)) = known.last() {
        why.push(Why::OnTheWay {
            tubes: u32::try_from(known.len()).unwrap_or(u32::MAX),
            within_ms: last.since(now),
        });
    }
    why
}

/// Announces excesses: one forecast that comes and goes is no news, two in a row are, and it is
/// withdrawn after some without.
#[derive(Clone, Debug)]
pub struct Watch {
    modules: Vec<Seen>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    /// Forecasts in a row.
    in_a_row: u32,
    /// Looks in a row without one.
    without: u32,
    /// Since when it is announced.
    announced: Option<Time>,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// An excess is foretold.
    Announced(Forecast),
    /// It is no longer to be expected.
    Withdrawn {
        /// Whose.
        module: ModuleNo,
        /// When it was announced.
        since: Time,
    },
}

/// Forecasts in a row before one is announced.
const ANNOUNCE_AFTER: u32 = 2;
/// Looks without one before it is withdrawn: tubes come by the batch, and between two batches a queue
/// looks harmless for some minutes.
const WITHDRAW_AFTER: u32 = 20;

impl Watch {
    /// Over all modules of a line.
    pub fn new(line: &Line) -> Self {
        Self {
            modules: vec![Seen::default(); line.modules.len()],
        }
    }

    /// Looks once; to be called at even times, such as every [`LOOK_EVERY_MS`].
    pub fn look(&mut self, track: &Track, now: Time) -> Vec<News> {
        let mut forecasts = forecast(track, now);
        let mut news = Vec::new();
        for (no, seen) in self.modules.iter_mut().enumerate() {
            let found = forecasts
                .iter()
                .position(|forecast| forecast.module == ModuleNo(no));
            if let Some(found) = found {
                seen.in_a_row += 1;
                seen.without = 0;
                if seen.announced.is_none() && seen.in_a_row >= ANNOUNCE_AFTER {
                    seen.announced = Some(now);
                    news.push(News::Announced(forecasts.swap_remove(found)));
                }
                continue;
            }
            seen.in_a_row = 0;
            seen.without += 1;
            if let Some(since) = seen.announced.filter(|_| seen.without >= WITHDRAW_AFTER) {
                seen.announced = None;
                let module = ModuleNo(no);
                news.push(News::Withdrawn { module, since });
            }
        }
        news
    }

    /// Since when an excess of a module is announced.
    pub fn announced(&self, no: ModuleNo) -> Option<Time> {
        self.modules.get(no.0).and_then(|seen| seen.announced)
    }
}

/// How often [`Watch::look`] is meant to be called.
pub const LOOK_EVERY_MS: u64 = 15_000;
