//! What is measured of a morning.

use std::collections::BTreeMap;

use crate::track::{
    Time,
    forecast::{News, Watch},
    model::{LaneNo, ModuleNo, Reason},
};

/// What a morning came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Most tubes that stood before one module on one lane; inlets, whose racks are no lanes, aside.
    pub longest_lane_queue: u32,
    /// Where that was.
    pub longest_at: String,
    /// Most tubes before one module on all its lanes.
    pub longest_module_queue: u32,
    /// How long a tube stood in queues, inlets aside, in seconds.
    pub wait: Spread,
    /// The same of urgent tubes.
    pub stat_wait: Spread,
    /// From its arrival to the last test, of tubes whose tests were all run, in seconds.
    pub turnaround: Spread,
    /// The same of urgent tubes.
    pub stat_turnaround: Spread,
    /// Tubes in storage.
    pub stored: u32,
    /// Tubes in outlets, by reason.
    pub outlets: BTreeMap<&'static str, u32>,
    /// Advices that changed while a tube was under way or in a queue.
    pub changed: u32,
    /// How good the forecasts were.
    pub forecast: ForecastScore,
    /// Findings of the books, by code.
    pub findings: BTreeMap<&'static str, u32>,
    /// Tubes whose place in the books is not where they are; there must be none.
    pub misplaced: u32,
    /// Tubes that came to no end; there must be none.
    pub unended: u32,
    /// When the last tube came to its end.
    pub ended: Time,
}

/// Mean and 95th percentile.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// How many.
    pub count: u32,
    /// Mean.
    pub mean: f64,
    /// 95th percentile.
    pub p95: f64,
}

/// How many excesses were foretold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ForecastScore {
    /// Queues that exceeded their limits.
    pub excesses: u32,
    /// Those that were announced before.
    pub announced: u32,
    /// Seconds between announcement and excess.
    pub lead: Spread,
    /// Seconds between the excess and when it was foretold for, whichever was first.
    pub error: Spread,
    /// Announcements that were withdrawn without an excess.
    pub mistaken: u32,
}

impl Spread {
    /// Of times in milliseconds, in seconds.
    pub(super) fn of_ms(mut times: Vec<u64>) -> Self {
        if times.is_empty() {
            return Self::default();
        }
        times.sort_unstable();
        let count = u32::try_from(times.len()).unwrap_or(u32::MAX);
        let seconds = |ms: u64| f64::from(u32::try_from(ms).unwrap_or(u32::MAX)) / 1_000.0;
        let sum: f64 = times.iter().map(|ms| seconds(*ms)).sum();
        // The nearest rank.
        let rank = (times.len() * 95).div_ceil(100).saturating_sub(1);
        Self {
            count,
            mean: sum / f64::from(count),
            p95: times.get(rank).copied().map(seconds).unwrap_or_default(),
        }
    }
}

/// What is counted while a morning runs.
#[derive(Clone, Debug)]
pub(super) struct Score {
    pub(super) outcome: Outcome,
    queues: BTreeMap<(ModuleNo, Option<LaneNo>), u32>,
    /// Per module: its queue exceeds the limit; an announcement of it came true.
    excess: Vec<(bool, bool)>,
    /// When an excess was foretold for, when it was announced.
    foretold: Vec<Time>,
    leads: Vec<u64>,
    errors: Vec<u64>,
}

impl Score {
    pub(super) fn new(modules: usize) -> Self {
        Self {
            outcome: Outcome::default(),
            queues: BTreeMap::new(),
            excess: vec![(false, false); modules],
            foretold: vec![Time::default(); modules],
            leads: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// A tube came to a queue or left it. Gives the length of the module's queue on that lane.
    pub(super) fn on_queue(&mut self, at: (ModuleNo, Option<LaneNo>), is_added: bool) -> u32 {
        let count = self.queues.entry(at).or_default();
        *count = if is_added {
            *count + 1
        } else {
            count.saturating_sub(1)
        };
        *count
    }

    /// The queue of a module is so long now.
    pub(super) fn on_length(
        &mut self,
        module: ModuleNo,
        (length, limit): (u32, u32),
        watch: &Watch,
        now: Time,
    ) {
        let Some((is_over, came_true)) = self.excess.get_mut(module.0) else {
            return;
        };
        if length > limit && !*is_over {
            *is_over = true;
            let score = &mut self.outcome.forecast;
            score.excesses += 1;
            if let Some(since) = watch.announced(module) {
                score.announced += 1;
                *came_true = true;
                self.leads.push(now.since(since));
                let foretold = self.foretold[module.0];
                // One of the two is none.
                self.errors.push(now.since(foretold) + foretold.since(now));
            }
        }
        // A queue about its limit is one excess and not many.
        if u64::from(length) * 10 < u64::from(limit) * 8 {
            *is_over = false;
        }
    }

    pub(super) fn on_news(&mut self, news: Vec<News>) {
        for one in news {
            match one {
                // Whoever tells of an excess that is there foretells nothing.
                News::Announced(forecast) => {
                    if let Some((is_over, came_true)) = self.excess.get_mut(forecast.module.0) {
                        *came_true = *is_over;
                    }
                    self.foretold[forecast.module.0] = forecast.at;
                }
                News::Withdrawn { module, .. } => {
                    if let Some((_, came_true)) = self.excess.get_mut(module.0) {
                        self.outcome.forecast.mistaken += u32::from(!*came_true);
                        *came_true = false;
                    }
                }
            }
        }
    }

    pub(super) fn on_outlet(&mut self, reason: Reason) {
        *self.outcome.outlets.entry(reason.code()).or_default() += 1;
    }

    pub(super) fn finish(mut self) -> Outcome {
        self.outcome.forecast.lead = Spread::of_ms(self.leads);
        self.outcome.forecast.error = Spread::of_ms(self.errors);
        self.outcome
    }
}
