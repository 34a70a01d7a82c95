//! The last hour of every line, minute by minute, and how far a device's clock is off: what the small
//! charts of the devices show. It is counted while the console runs and begins anew with it.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use labwire_drivers::LineStatus;
use maud::{Markup, html};

use crate::{
    profile::written_at,
    store::{Db, Sql, StoreError},
};

use super::{
    App, devices,
    live::lines,
    page::{Tone, state},
    words::Words,
};

/// The newest message of a line, not looked for beyond so many of all lines: there is no index by line.
const NEWEST: Sql = Sql::same(
    "SELECT received_at, raw FROM message WHERE line = $1 AND id > \
     (SELECT coalesce(max(id), 0) FROM message) - 2000 ORDER BY id DESC LIMIT 1",
);

#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&NEWEST];

/// How often lines are counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Minutes of a chart.
const MINUTES: usize = 60;

const MINUTE: i64 = 60_000_000;

/// A clock that is off by less is as right as a person sets one.
const SKEW_SHOWN: i64 = MINUTE;

/// From here on the results' times are noted (`clock`).
const SKEW_BAD: i64 = 10 * MINUTE;

/// What a line said within a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Minute {
    /// Minutes since 1970.
    at: i64,
    messages: u64,
    wrong: u64,
}

#[derive(Clone, Debug, Default)]
struct OfLine {
    minutes: VecDeque<Minute>,
    /// Messages and errors that were counted up to now; `None` before the first look.
    counted: Option<(u64, u64)>,
    /// Behind (+) or ahead (-) of ours, microseconds.
    skew: Option<i64>,
    /// The last message when the clock was looked at, and when that was.
    skew_of: Option<(i64, i64)>,
}

/// Every line's last hour.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    lines: Mutex<BTreeMap<String, OfLine>>,
}

impl Pulse {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, OfLine>> {
        // A panic while it was held left counts behind, nothing half done.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, lines: &[LineStatus], now: i64) {
        let at = now.div_euclid(MINUTE);
        let mut all = self.all();
        all.retain(|id, _| lines.iter().any(|line| line.id == *id));
        for line in lines {
            let own = all.entry(line.id.clone()).or_default();
            let counted = (line.counters.messages, devices::errors(line));
            let before = own.counted.replace(counted).unwrap_or(counted);
            own.add(Minute {
                at,
                messages: counted.0.saturating_sub(before.0),
                wrong: counted.1.saturating_sub(before.1),
            });
        }
    }

    /// Lines that said something since their clocks were looked at; each once a minute, for a clock goes
    /// wrong slowly and a line that speaks all the time is asked about like any other.
    fn to_look_at(&self, lines: &[LineStatus], now: i64) -> Vec<(String, i64)> {
        let all = self.all();
        let news = lines.iter().filter_map(|line| {
            let last = line.last_message_utc_micros?;
            let known = all.get(&line.id).and_then(|own| own.skew_of);
            let is_due = known.is_none_or(|(of, at)| of != last && now - at >= MINUTE);
            is_due.then(|| (line.id.clone(), last))
        });
        news.collect()
    }

    fn note_skew(&self, line: &str, (of, now): (i64, i64), skew: Option<i64>) {
        if let Some(own) = self.all().get_mut(line) {
            own.skew_of = Some((of, now));
            // A message without a time says nothing against the one before.
            own.skew = skew.or(own.skew);
        }
    }

    /// The small chart of a line, the newest minute to the right; refused and cut messages in red.
    pub(super) fn chart(&self, words: Words, line: &str, now: i64) -> Markup {
        let minutes = self.all().get(line).map(|own| own.minutes.clone());
        let minutes = minutes.unwrap_or_default();
        let newest = now.div_euclid(MINUTE);
        let highest = minutes.iter().map(|one| one.messages + one.wrong).max();
        let highest = highest.unwrap_or(0).max(4);
        let (messages, wrong) = minutes.iter().fold((0, 0), |(messages, wrong), one| {
            (messages + one.messages, wrong + one.wrong)
        });
        let told = words.f(
            "devices.hour",
            &[
                ("messages", &words.count(messages)),
                ("errors", &words.count(wrong)),
            ],
        );
        html! {
            svg.pulse viewBox="0 0 120 24" preserveAspectRatio="none" role="img" aria-label=(told) {
                line x1="0" y1="23.5" x2="120" y2="23.5" {}
                @for one in &minutes {
                    @let x = bar_x(newest - one.at);
                    @let (good, bad) = (height(one.messages, highest), height(one.wrong, highest));
                    @if good > 0 { rect.good x=(x) y=(24 - good) width="1.5" height=(good) {} }
                    @if bad > 0 { rect.bad x=(x) y=(24 - good - bad) width="1.5" height=(bad) {} }
                }
            }
            p.hint { (told) }
        }
    }

    /// How far the clock of a line's device is off, where it is.
    pub(super) fn skew(&self, words: Words, line: &str) -> Markup {
        let skew = self.all().get(line).and_then(|own| own.skew);
        let Some(skew) = skew.filter(|skew| skew.abs() >= SKEW_SHOWN) else {
            return html! {};
        };
        let tone = if skew.abs() >= SKEW_BAD {
            Tone::Look
        } else {
            Tone::Plain
        };
        let key = if skew > 0 {
            "devices.clock-behind"
        } else {
            "devices.clock-ahead"
        };
        let minutes = words.count(skew.abs() / MINUTE);
        html! { p { (state(tone, &words.f(key, &[("minutes", &minutes)]))) } }
    }
}

impl OfLine {
    fn add(&mut self, news: Minute) {
        match self.minutes.back_mut().filter(|last| last.at == news.at) {
            Some(last) => {
                last.messages += news.messages;
                last.wrong += news.wrong;
            }
            None => self.minutes.push_back(news),
        }
        let oldest = news.at - i64::try_from(MINUTES).unwrap_or(0);
        self.minutes.retain(|one| one.at > oldest);
    }
}

/// Where the bar of a minute stands, two units for each, the newest last.
fn bar_x(minutes_ago: i64) -> i64 {
    118 - 2 * minutes_ago.clamp(0, 59)
}

/// Of 23 units of height; what is there at all is seen.
fn height(count: u64, highest: u64) -> u64 {
    let height = count.saturating_mul(22).checked_div(highest).unwrap_or(0);
    if count > 0 { height.max(2) } else { 0 }
}

/// Counts until the console stops.
pub(super) async fn keep_counting(app: Arc<App>) {
    let mut ticks = tokio::time::interval(COUNT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.stop.cancelled() => return,
        }
        look(&app).await;
    }
}

async fn look(app: &Arc<App>) {
    let statuses = lines(app);
    let now = app.now();
    app.pulse.count(&statuses, now);
    for (line, last) in app.pulse.to_look_at(&statuses, now) {
        let site = Arc::clone(&app.parts.site);
        let own = line.clone();
        let read = move |db: &mut dyn Db| -> Result<Option<i64>, StoreError> {
            let (Some(known), Some(row)) = (
                site.lines.get(&own),
                db.row_opt(&NEWEST, &[own.as_str().into()])?,
            ) else {
                return Ok(None);
            };
            let written = written_at(&known.profile, row.blob(1)?);
            let skew = |written| row.int(0).map(|received| received - written);
            written.map(skew).transpose()
        };
        // A store that does not answer is asked again.
        if let Ok(skew) = app.read(read).await {
            app.pulse.note_skew(&line, (last, now), skew);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Language;

    fn line(messages: u64, incomplete: u64) -> LineStatus {
        let mut line = LineStatus {
            id: "xn-1".to_owned(),
            ..LineStatus::default()
        };
        line.counters.messages = messages;
        line.counters.incomplete_messages = incomplete;
        line
    }

    #[test]
    fn an_hour_is_kept_minute_by_minute_and_what_was_before_the_console_is_not_counted() {
        let pulse = Pulse::default();
        for (minute, messages, incomplete) in
            [(0, 1_000, 7), (0, 1_002, 7), (1, 1_005, 8), (62, 1_006, 8)]
        {
            pulse.count(&[line(messages, incomplete)], minute * MINUTE + 5);
        }
        let minutes = pulse.all()["xn-1"].minutes.clone();
        let newest = Minute {
            at: 62,
            messages: 1,
            wrong: 0,
        };
        assert_eq!(minutes, [newest], "an hour and no more");
        pulse.count(&[], 62 * MINUTE);
        assert!(pulse.all().is_empty(), "a line that is gone");
    }

    #[test]
    fn a_chart_says_in_words_what_it_draws() {
        let pulse = Pulse::default();
        for (messages, incomplete) in [(0, 0), (40, 2)] {
            pulse.count(&[line(messages, incomplete)], MINUTE);
        }
        let chart = pulse
            .chart(Words(Language::En), "xn-1", MINUTE)
            .into_string();
        assert!(chart.contains("40 messages, 2 errors"), "{chart}");
        assert_eq!(chart.matches("<rect").count(), 2, "{chart}");
        let none = pulse
            .chart(Words(Language::Vi), "other", MINUTE)
            .into_string();
        assert_eq!(none.matches("<rect").count(), 0, "{none}");
    }

    #[test]
    fn a_clock_is_looked_at_once_a_minute_and_after_a_message_alone() {
        let pulse = Pulse::default();
        let mut own = line(1, 0);
        pulse.count(&[own.clone()], 0);
        assert!(
            pulse.to_look_at(&[own.clone()], 0).is_empty(),
            "it said nothing"
        );
        own.last_message_utc_micros = Some(5);
        let due = |own: &LineStatus, now| pulse.to_look_at(std::slice::from_ref(own), now).len();
        assert_eq!(due(&own, 6), 1);
        pulse.note_skew("xn-1", (5, 6), None);
        assert_eq!(due(&own, 6 + MINUTE), 0, "nothing new");
        own.last_message_utc_micros = Some(7);
        assert_eq!(due(&own, 5 + MINUTE), 0, "too soon");
        assert_eq!(due(&own, 6 + MINUTE), 1);
    }

    #[test]
    fn a_clock_is_told_where_it_is_off() {
        let pulse = Pulse::default();
        pulse.count(&[line(1, 0)], MINUTE);
        let told = || pulse.skew(Words(Language::En), "xn-1").into_string();
        for (skew, expected) in [
            (None, ""),
            (Some(30_000_000), ""),
            (Some(3 * MINUTE), "3 minutes behind"),
            (None, "3 minutes behind"),
            (Some(-12 * MINUTE), "12 minutes ahead"),
        ] {
            pulse.note_skew("xn-1", (1, 1), skew);
            assert_eq!(told().is_empty(), expected.is_empty(), "{skew:?}");
            assert!(told().contains(expected), "{skew:?} {}", told());
        }
    }
}
