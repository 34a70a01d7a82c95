//! Numbers: throughput, turnaround by step, reasons to hold, by section and day; and as a file.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
    routing::get,
};
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::text;

use super::{
    App,
    fault::Fault,
    gate::Who,
    page::{Page, Place, Tone, empty, state},
    tally::{self, Counted, Step, Tally},
    words::Words,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/numbers", get(show))
        .route("/numbers/csv", get(csv))
}

/// Days that are counted at once.
const DAYS_MAX: i32 = 31;
/// Days that are counted where none are asked for.
const DAYS: i32 = 7;
/// Percentiles that are told.
const PERCENTILES: [usize; 3] = [50, 90, 95];

/// What the address says: days, `YYYY-MM-DD`, both included.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    /// Of the file: `holds` for reasons.
    #[serde(default)]
    what: String,
}

/// The days that are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Days {
    from: Date,
    to: Date,
}

impl Days {
    /// # Errors
    /// No dates, the wrong way round, or too many.
    fn of(asked: &Asked, today: Date) -> Result<Self, Fault> {
        let read = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| Fault::NOT_UNDERSTOOD),
        };
        let to: Date = read(&asked.to)?.unwrap_or(today);
        let back = |days: i32| {
            to.checked_sub(days.days())
                .map_err(|_| Fault::NOT_UNDERSTOOD)
        };
        let from: Date = match read(&asked.from)? {
            Some(from) => from,
            None => back(DAYS - 1)?,
        };
        if from > to || from < back(DAYS_MAX - 1)? {
            return Err(Fault::NOT_UNDERSTOOD);
        }
        Ok(Self { from, to })
    }

    /// Microseconds UTC, the end excluded.
    fn span(self, zone: &TimeZone) -> Result<(i64, i64), Fault> {
        let after = self.to.tomorrow().map_err(|_| Fault::NOT_UNDERSTOOD)?;
        let begin = |day: Date| -> Result<i64, Fault> {
            let at = day
                .to_zoned(zone.clone())
                .map_err(|_| Fault::NOT_UNDERSTOOD)?;
            Ok(at.timestamp().as_microsecond())
        };
        Ok((begin(self.from)?, begin(after)?))
    }

    fn all(self) -> impl Iterator<Item = Date> {
        self.from
            .series(1.day())
            .take_while(move |day| *day <= self.to)
    }
}

fn today(app: &App) -> Date {
    let now = Timestamp::from_microsecond(app.now()).unwrap_or_default();
    now.to_zoned(app.parts.site.laboratory.zone.clone()).date()
}

/// Counts days, page by page, so that nobody else waits for a reader.
async fn counted(app: &App, days: Days) -> Result<Counted, Fault> {
    let zone = app.parts.site.laboratory.zone.clone();
    let span = days.span(&zone)?;
    let sections: BTreeMap<String, String> = app
        .parts
        .loaded
        .lab
        .instruments
        .iter()
        .map(|one| (one.id.to_string(), one.section.to_string()))
        .collect();
    let place = move |line: &str, at: i64| {
        let day = Timestamp::from_microsecond(at).ok()?;
        let section = sections.get(line).filter(|section| !section.is_empty());
        let section = section.map_or(line, String::as_str).to_owned();
        Some((day.to_zoned(zone.clone()).date(), section))
    };
    let place = Arc::new(place);
    let mut counted = Counted::default();
    let mut next = Some(app.read(move |db| tally::span(db, span)).await?);
    while let Some(cursor) = next {
        let place = Arc::clone(&place);
        let page = move |db: &mut dyn crate::store::Db| {
            let next = tally::page(db, cursor, span, &*place, &mut counted)?;
            Ok((next, counted))
        };
        (next, counted) = app.read(page).await?;
    }
    counted.by.values_mut().for_each(Tally::sort);
    Ok(counted)
}

impl Counted {
    /// Of all days, by section; the last is the whole.
    fn by_section(&self) -> (BTreeMap<&str, Tally>, Tally) {
        let mut sections: BTreeMap<&str, Tally> = BTreeMap::new();
        let mut whole = Tally::default();
        for ((_, section), tally) in &self.by {
            sections.entry(section).or_default().merge(tally);
            whole.merge(tally);
        }
        sections.values_mut().for_each(Tally::sort);
        whole.sort();
        (sections, whole)
    }

    fn of_day(&self, day: Date) -> Tally {
        let mut whole = Tally::default();
        let own = self.by.iter().filter(|((one, _), _)| *one == day);
        own.for_each(|(_, tally)| whole.merge(tally));
        whole
    }
}

/// `GET /numbers?from=&to=`
async fn show(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let words = who.words();
    let days = Days::of(&asked, today(&app))?;
    let counted = counted(&app, days).await?;
    let (sections, whole) = counted.by_section();
    let content = html! {
        (form(words, days))
        @if counted.is_cut {
            p.wrong { (state(Tone::Look, &words.f("numbers.cut", &[("count", &words.count(tally::ROWS_MAX as u64))]))) }
        }
        @if whole.results == 0 { p.hint { (words.t("numbers.none")) } }
        @else {
            (daily(words, days, &counted))
            (turnaround(words, &sections, &whole))
            (holds(words, &whole))
        }
    };
    let mut page = Page::new(&app, &who, Place::Numbers, words.t("place.numbers"));
    page.has_charts = true;
    Ok(page.show(&content))
}

fn form(words: Words, days: Days) -> Markup {
    let asked = format!("from={}&to={}", days.from, days.to);
    html! {
        form.find method="get" action="/numbers" {
            label for="from" { (words.t("numbers.from")) }
            input id="from" name="from" type="date" value=(days.from.to_string()) required;
            label for="to" { (words.t("numbers.to")) }
            input id="to" name="to" type="date" value=(days.to.to_string()) required;
            button.primary type="submit" { (words.t("numbers.do")) }
            a.button href={ "/numbers/csv?" (asked) } download { (words.t("numbers.csv")) }
            a.button href={ "/numbers/csv?what=holds&" (asked) } download { (words.t("numbers.csv-holds")) }
        }
        p.hint { (words.f("numbers.hint", &[("days", &DAYS_MAX.to_string())])) }
    }
}

fn daily(words: Words, days: Days, counted: &Counted) -> Markup {
    let all: Vec<(Date, Tally)> = days.all().map(|day| (day, counted.of_day(day))).collect();
    let told = |day: &Date| day.strftime("%d/%m").to_string();
    let series = |key: &str, of: &dyn Fn(&Tally) -> u64| {
        let values: Vec<u64> = all.iter().map(|(_, tally)| of(tally)).collect();
        json!({ "label": words.t(&format!("numbers.{key}")), "value": values })
    };
    let chart = json!({
        "label": words.t("column.day"),
        "day": all.iter().map(|(day, _)| told(day)).collect::<Vec<_>>(),
        "series": [series("results", &|one| one.results), series("held", &|one| one.held)],
    });
    html! {
        section aria-labelledby="daily-title" {
            h2 id="daily-title" { (words.t("numbers.daily")) }
            @if all.len() > 1 {
                div.chart data-daily=(chart.to_string()) role="img" aria-label=(words.t("numbers.chart")) {}
            }
            div.wide tabindex="0" role="group" aria-label=(words.t("numbers.daily")) { table {
                thead { tr { @for key in ["day", "results", "released", "held", "set-aside"] {
                    th scope="col" { (words.t(&format!("column.{key}"))) }
                } } }
                tbody { @for (day, tally) in &all { tr {
                    th scope="row" { (told(day)) }
                    @for count in [tally.results, tally.released, tally.held, tally.set_aside] {
                        td.value { (words.count(count)) }
                    }
                } } }
            } }
        }
    }
}

fn turnaround(words: Words, sections: &BTreeMap<&str, Tally>, whole: &Tally) -> Markup {
    let all = words.t("numbers.all");
    let rows = sections.iter().map(|(name, tally)| (*name, tally));
    let rows: Vec<(&str, &Tally)> = rows.chain([(all.as_str(), whole)]).collect();
    html! {
        section aria-labelledby="turn-title" {
            h2 id="turn-title" { (words.t("numbers.turnaround")) }
            p.hint { (words.t("numbers.percentiles")) }
            div.wide tabindex="0" role="group" aria-label=(words.t("numbers.turnaround")) { table {
                thead { tr {
                    th scope="col" { (words.t("column.section")) }
                    th scope="col" { (words.t("column.results")) }
                    @for step in Step::ALL { th scope="col" { (words.t(&format!("numbers.step.{}", step.key()))) } }
                } }
                tbody { @for (name, tally) in rows { tr {
                    th scope="row" { (name) }
                    td.value { (words.count(tally.results)) }
                    @for step in Step::ALL { td.value { (percentiles(words, tally, step)) } }
                } } }
            } }
        }
    }
}

fn percentiles(words: Words, tally: &Tally, step: Step) -> Markup {
    let told = PERCENTILES
        .iter()
        .filter_map(|one| tally.percentile(step, *one));
    let told: Vec<String> = told.map(|ms| duration(words, ms)).collect();
    html! {
        @if told.is_empty() { "—" } @else {
            (told.join(" / "))
            " " span.unit { "(" (words.count(u64::try_from(tally.count(step)).unwrap_or(0))) ")" }
        }
    }
}

/// A duration as people say one: 850 ms, 12 s, 4 min 05 s, 2 h 10 min.
fn duration(words: Words, ms: i64) -> String {
    let (hour, minute) = (words.t("numbers.hour"), words.t("numbers.minute"));
    let s = ms / 1_000;
    match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s} s"),
        60..3_600 => format!("{} {minute} {:02} s", s / 60, s % 60),
        _ => format!("{} {hour} {:02} {minute}", s / 3_600, s % 3_600 / 60),
    }
}

fn holds(words: Words, whole: &Tally) -> Markup {
    let mut reasons: Vec<_> = whole.holds.iter().collect();
    reasons.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), **reason));
    html! {
        section aria-labelledby="holds-title" {
            h2 id="holds-title" { (words.t("numbers.holds")) }
            @if reasons.is_empty() { (empty(&words.t("numbers.no-holds"))) }
            @else { div.wide { table {
                thead { tr { @for key in ["reason", "count"] {
                    th scope="col" { (words.t(&format!("column.{key}"))) }
                } } }
                tbody { @for (reason, count) in reasons { tr {
                    th scope="row" { (text::hold(words.0, *reason).title) }
                    td.value { (words.count(*count)) }
                } } }
            } } }
        }
    }
}

/// A cell as RFC 4180 writes one; what a spreadsheet would take for a formula is text.
fn cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if is_formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r', '\'']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

fn line(cells: &[String]) -> String {
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    cells.join(",") + "\r\n"
}

/// By day and section, one line each; durations in seconds.
fn by_section(counted: &Counted) -> String {
    let mut head: Vec<String> = ["day", "section", "results", "released", "held", "set_aside"]
        .map(str::to_owned)
        .to_vec();
    for step in Step::ALL {
        head.push(format!("{}_count", step.key()));
        head.extend(PERCENTILES.map(|one| format!("{}_p{one}_s", step.key())));
    }
    let mut file = line(&head);
    for ((day, section), tally) in &counted.by {
        let mut cells = vec![day.to_string(), section.clone()];
        let counts = [tally.results, tally.released, tally.held, tally.set_aside];
        cells.extend(counts.map(|count| count.to_string()));
        for step in Step::ALL {
            cells.push(tally.count(step).to_string());
            for one in PERCENTILES {
                let ms = tally.percentile(step, one);
                cells.push(ms.map_or_else(String::new, |ms| {
                    format!("{}.{:03}", ms / 1_000, ms % 1_000)
                }));
            }
        }
        file.push_str(&line(&cells));
    }
    file
}

fn by_reason(counted: &Counted) -> String {
    let mut file = line(&["day", "section", "reason", "count"].map(str::to_owned));
    for ((day, section), tally) in &counted.by {
        for (reason, count) in &tally.holds {
            let cells = [
                day.to_string(),
                section.clone(),
                reason.code().to_owned(),
                count.to_string(),
            ];
            file.push_str(&line(&cells));
        }
    }
    file
}

/// `GET /numbers/csv`
async fn csv(
    State(app): State<Arc<App>>,
    _: Who,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let days = Days::of(&asked, today(&app))?;
    let counted = counted(&app, days).await?;
    let (name, file) = match asked.what.as_str() {
        "" => ("numbers", by_section(&counted)),
        "holds" => ("holds", by_reason(&counted)),
        _ => return Err(Fault::NOT_UNDERSTOOD),
    };
    let disposition = format!(
        "attachment; filename=\"labwire-{name}-{}-{}.csv\"",
        days.from, days.to
    );
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/csv; charset=utf-8; header=present".to_owned(),
        ),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, file).into_response())
}

/// `GET /api/v1/numbers`
pub(super) async fn json(
    State(app): State<Arc<App>>,
    _: Who,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Fault> {
    let days = Days::of(&asked, today(&app))?;
    let counted = counted(&app, days).await?;
    let rows: Vec<Value> = counted
        .by
        .iter()
        .map(|((day, section), tally)| {
            let steps = Step::ALL.map(|step| {
                let at = |percent| tally.percentile(step, percent);
                let told = json!({
                    "count": tally.count(step), "p50_ms": at(50), "p90_ms": at(90), "p95_ms": at(95),
                });
                (step.key(), told)
            });
            let holds = tally.holds.iter();
            json!({
                "day": day.to_string(),
                "section": section,
                "results": tally.results,
                "released": tally.released,
                "held": tally.held,
                "set_aside": tally.set_aside,
                "steps": BTreeMap::from(steps),
                "holds": holds.map(|(reason, count)| (reason.code(), count)).collect::<BTreeMap<_, _>>(),
            })
        })
        .collect();
    Ok(Json(json!({
        "from": days.from.to_string(),
        "to": days.to.to_string(),
        "is_cut": counted.is_cut,
        "rows": rows,
    })))
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::text::{Language, has};

    fn asked(from: &str, to: &str) -> Asked {
        Asked {
            from: from.to_owned(),
            to: to.to_owned(),
            what: String::new(),
        }
    }

    #[test]
    fn a_cell_is_no_formula_and_breaks_no_line() {
        for (text, written) in [
            ("haematology", "haematology"),
            ("=1+1", "\"'=1+1\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("-2", "\"'-2\""),
            ("\t=1", "\"'\t=1\""),
            ("a,\"b\"\r\nc", "\"a,\"\"b\"\"\r\nc\""),
        ] {
            assert_eq!(cell(text), written);
        }
        assert_eq!(line(&["a".to_owned(), "b c".to_owned()]), "a,b c\r\n");
    }

    #[test]
    fn days_are_bounded_and_the_last_is_whole() {
        let today = date(2026, 3, 10);
        let usual = Days::of(&asked("", ""), today).expect("days");
        assert_eq!((usual.from, usual.to), (date(2026, 3, 4), today));
        assert_eq!(usual.all().count(), 7);
        for (from, to) in [
            ("2026-03-11", "2026-03-10"),
            ("2026-01-01", "2026-03-10"),
            ("x", ""),
            ("", "10/03/2026"),
            ("", "-9999-01-01"),
        ] {
            assert!(Days::of(&asked(from, to), today).is_err(), "{from} {to}");
        }
        let zone = TimeZone::get("Asia/Ho_Chi_Minh").expect("a zone");
        let one = Days::of(&asked("2026-03-10", "2026-03-10"), today).expect("a day");
        let (from, to) = one.span(&zone).expect("a span");
        assert_eq!((from, to - from), (1_773_075_600_000_000, 86_400_000_000));
    }

    #[test]
    fn every_step_has_its_words_in_both_languages_and_a_duration_is_told() {
        for language in Language::ALL {
            for step in Step::ALL {
                let key = format!("console.numbers.step.{}", step.key());
                assert!(has(*language, &key), "{language:?} lacks {key}");
            }
        }
        let words = Words(Language::Vi);
        for (ms, told) in [
            (850, "850 ms"),
            (12_300, "12 s"),
            (245_000, "4 phút 05 s"),
            (7_800_000, "2 giờ 10 phút"),
        ] {
            assert_eq!(duration(words, ms), told);
        }
    }
}
