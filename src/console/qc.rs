//! Quality control: results by test, lot and level, as Levey-Jennings charts.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, response::Response};
use maud::{Markup, html};
use rust_decimal::{Decimal, MathematicalOps as _, prelude::ToPrimitive as _};
use serde::Serialize;

use crate::{
    model::{ObservationKind, Value},
    settle::StoredResult,
};

use super::{
    App,
    fault::Fault,
    gate::Who,
    look,
    page::{Page, Place, Tone, empty, state, when},
    words::Words,
    work::{flags, test_name},
};

/// Control results read for the page, newest first.
const RESULTS_MAX: i64 = 3_000;
/// Points of a chart.
const POINTS_MAX: usize = 60;
/// Values that a mean and a standard deviation need at least to say anything.
const VALUES_MIN: usize = 5;

/// The results of one test of one lot and level of a control material on one device, oldest first.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) line: String,
    pub(super) control: String,
    /// Empty where the device does not say it.
    pub(super) lot: String,
    pub(super) level: String,
    pub(super) results: Vec<StoredResult>,
}

/// What a chart is drawn from. Floating point is for pixels alone: what is shown as a number is the
/// text that was sent.
#[derive(Clone, Debug, Serialize)]
struct Chart {
    /// Seconds since 1970.
    at: Vec<i64>,
    value: Vec<Option<f64>>,
    mean: Option<f64>,
    deviation: Option<f64>,
}

/// By device, control material, lot, level and test: another lot or level has another mean, so it
/// is another chart.
pub(super) fn series(results: Vec<StoredResult>) -> Vec<Series> {
    let mut by: BTreeMap<[String; 5], Vec<StoredResult>> = BTreeMap::new();
    for result in results {
        if result.observation.kind != ObservationKind::Control {
            continue;
        }
        let of = &result.observation;
        let control = of.control.clone().unwrap_or_else(|| result.barcode.clone());
        let test = of.test.clone().unwrap_or_else(|| of.code.clone());
        let [lot, level] = [&of.lot, &of.level].map(|part| part.clone().unwrap_or_default());
        by.entry([result.line.clone(), control, lot, level, test])
            .or_default()
            .push(result);
    }
    by.into_iter()
        .map(|([line, control, lot, level, _], mut results)| {
            results.truncate(POINTS_MAX);
            results.reverse();
            Series {
                line,
                control,
                lot,
                level,
                results,
            }
        })
        .collect()
}

fn number(result: &StoredResult) -> Option<Decimal> {
    match &result.observation.value {
        Value::Quantity { number, .. } => Some(*number),
        Value::Coded { .. }
        | Value::Text { .. }
        | Value::Titre { .. }
        | Value::Ratio { .. }
        | Value::Image { .. }
        | Value::Absent { .. } => None,
    }
}

/// Mean and standard deviation of what was measured so far.
fn spread(values: &[Decimal]) -> Option<(Decimal, Decimal)> {
    if values.len() < VALUES_MIN {
        return None;
    }
    let count = Decimal::from(values.len());
    let sum = values
        .iter()
        .try_fold(Decimal::ZERO, |sum, value| sum.checked_add(*value))?;
    let mean = sum.checked_div(count)?;
    let squares = values.iter().try_fold(Decimal::ZERO, |sum, value| {
        let apart = value.checked_sub(mean)?;
        sum.checked_add(apart.checked_mul(apart)?)
    })?;
    let deviation = squares.checked_div(count - Decimal::ONE)?.sqrt()?;
    Some((mean, deviation))
}

fn chart(series: &Series) -> Chart {
    let values: Vec<Option<Decimal>> = series.results.iter().map(number).collect();
    let known: Vec<Decimal> = values.iter().copied().flatten().collect();
    let spread = spread(&known);
    Chart {
        at: series
            .results
            .iter()
            .map(|result| result.received_at / 1_000_000)
            .collect(),
        value: values
            .iter()
            .map(|value| value.and_then(|value| value.to_f64()))
            .collect(),
        mean: spread.and_then(|(mean, _)| mean.to_f64()),
        deviation: spread.and_then(|(_, deviation)| deviation.to_f64()),
    }
}

/// How far the last value lies from the mean: within 2, beyond 2, beyond 3 standard deviations.
fn judged(series: &Series) -> Option<(Tone, &'static str)> {
    let (last, before) = series.results.split_last()?;
    let known: Vec<Decimal> = before.iter().filter_map(number).collect();
    let (mean, deviation) = spread(&known)?;
    let apart = (number(last)? - mean).abs();
    Some(if apart > deviation * Decimal::from(3) {
        (Tone::Act, "qc.beyond-3")
    } else if apart > deviation * Decimal::from(2) {
        (Tone::Look, "qc.beyond-2")
    } else {
        (Tone::Good, "qc.within")
    })
}

/// `GET /qc`
pub(super) async fn show(State(app): State<Arc<App>>, who: Who) -> Result<Response, Fault> {
    let words = who.words();
    let results = app.read(|db| look::controls(db, RESULTS_MAX)).await?;
    let all = series(results);
    let now = app.now();
    let content = html! {
        p.hint { (words.t("qc.hint")) }
        @if all.is_empty() { (empty(&words.t("qc.none"))) }
        div.charts { @for one in &all { (figure(&app, words, one, now)) } }
    };
    let mut page = Page::new(&app, &who, Place::Qc, words.t("place.qc"));
    page.has_charts = true;
    Ok(page.show(&content))
}

fn figure(app: &App, words: Words, series: &Series, now: i64) -> Markup {
    let zone = &app.parts.site.laboratory.zone;
    let drawn = chart(series);
    let is_drawn = drawn.value.iter().flatten().count() > 1;
    let data = serde_json::to_string(&drawn).unwrap_or_default();
    let last = series.results.last();
    html! {
        @if let Some(last) = last {
            article.card {
                h2 { (test_name(app, words, last)) }
                p.head {
                    @if let Some((tone, word)) = judged(series) { (state(tone, &words.t(word))) }
                    span { (words.t("qc.control")) " " strong { (series.control) } }
                    @if !series.lot.is_empty() { span { (words.t("qc.lot")) " " strong { (series.lot) } } }
                    @if !series.level.is_empty() { span { (words.t("qc.level")) " " strong { (series.level) } } }
                    a href={ "/devices/" (series.line) } { (series.line) }
                }
                @if is_drawn {
                    div.chart data-chart=(data) data-unit=(last.observation.unit) role="img"
                        aria-label=(words.f("qc.chart", &[("count", &series.results.len().to_string())])) {}
                }
                details {
                    summary { (words.t("qc.values")) " (" (series.results.len()) ")" }
                    ol.plain { @for one in series.results.iter().rev() {
                        li { (when(one.received_at, zone, now)) " " strong.value { (look::shown(one)) } " "
                            span.unit { (one.observation.unit) } " " (flags(&one.observation.flags)) }
                    } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ResultState;

    /// A control's result, as the store gives it.
    fn measured(id: i64, kind: &str, control: &str, [lot, level]: [&str; 2]) -> StoredResult {
        let observation = serde_json::json!({
            "kind": kind, "code": "WBC", "text": "7.4", "status": "final", "span": { "start": 0, "end": 0 },
            "value": { "type": "text", "text": "7.4" }, "control": control, "lot": lot, "level": level,
        });
        StoredResult {
            id,
            message: id,
            line: "xn-1".to_owned(),
            barcode: control.to_owned(),
            specimen: None,
            state: ResultState::Control,
            version: 1,
            supersedes: None,
            holds: Vec::new(),
            observation: serde_json::from_value(observation).expect("an observation"),
            received_at: id,
        }
    }

    #[test]
    fn another_lot_or_level_is_another_chart_and_a_patient_has_none() {
        // As the store gives them, newest first.
        let all = vec![
            measured(6, "patient", "C", ["A", "1"]),
            measured(5, "calibration", "C", ["A", "1"]),
            measured(4, "control", "C", ["B", "1"]),
            measured(3, "control", "C", ["A", "2"]),
            measured(2, "control", "C", ["A", "1"]),
            measured(1, "control", "C", ["A", "1"]),
        ];
        let found: Vec<(String, String, Vec<i64>)> = series(all)
            .into_iter()
            .map(|one| {
                let ids = one.results.iter().map(|result| result.id).collect();
                (one.lot, one.level, ids)
            })
            .collect();
        let of =
            |lot: &str, level: &str, ids: &[i64]| (lot.to_owned(), level.to_owned(), ids.to_vec());
        assert_eq!(
            found,
            [
                of("A", "1", &[1, 2]),
                of("A", "2", &[3]),
                of("B", "1", &[4])
            ]
        );
    }

    #[test]
    fn the_spread_is_that_of_a_sample() {
        let values: Vec<Decimal> = [2, 4, 4, 4, 5, 5, 7, 9].map(Decimal::from).to_vec();
        let (mean, deviation) = spread(&values).expect("eight values");
        assert_eq!(mean, Decimal::from(5));
        // The sum of squares is 32, over seven.
        assert_eq!(deviation.round_dp(4).to_string(), "2.1381");
        assert_eq!(spread(values.get(..4).expect("four")), None);
    }
}
