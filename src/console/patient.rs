//! Who a patient is, for people: the name in the order in which it is said, birth date, sex, number.

use labwire_protocols::hl7::{Separators, escape};
use maud::{Markup, html};

use crate::{book::BookPatient, model::Sex};

use super::words::Words;

/// PID-5.
const NAME: u16 = 5;

/// A patient's name: family, middle and given name, as Vietnamese names are said.
pub(super) fn name(patient: &BookPatient) -> String {
    let raw = patient.fields.expose().get(&NAME);
    let first = raw.map_or("", String::as_str);
    let first = first.split('~').next().unwrap_or_default();
    let part = |at: usize| {
        let part = first.split('^').nth(at).unwrap_or_default();
        escape::decode(part, Separators::STANDARD)
            .0
            .trim()
            .to_owned()
    };
    // PID-5: family, given, middle.
    let parts = [part(0), part(2), part(1)];
    let parts: Vec<&str> = parts
        .iter()
        .map(String::as_str)
        .filter(|part| !part.is_empty())
        .collect();
    parts.join(" ")
}

/// The birth date as people write it.
pub(super) fn birth(patient: &BookPatient) -> String {
    day(patient.birth.expose())
}

/// `YYYYMMDD` as people write it.
pub(super) fn day(date: &str) -> String {
    match (date.get(0..4), date.get(4..6), date.get(6..8)) {
        (Some(year), Some(month), Some(day)) => format!("{day}/{month}/{year}"),
        _ => date.to_owned(),
    }
}

/// A sex where it is known.
pub(super) fn sex(sex: Option<Sex>, words: Words) -> String {
    match sex {
        Some(Sex::M) => words.t("sex.m"),
        Some(Sex::F) => words.t("sex.f"),
        Some(Sex::O) => words.t("sex.o"),
        None => String::new(),
    }
}

/// All that tells two patients apart, in a line.
pub(super) fn line(patient: &BookPatient, words: Words) -> Markup {
    let sex = match patient.sex {
        Some(Sex::M) => "sex.m",
        Some(Sex::F) => "sex.f",
        Some(Sex::O) => "sex.o",
        None => "sex.unknown",
    };
    html! {
        span.patient {
            strong { (name(patient)) }
            @if !patient.birth.expose().is_empty() { span { (birth(patient)) } }
            span { (words.t(sex)) }
            @if let Some(number) = patient.identifiers.first() { span.code { (number.expose()) } }
        }
    }
}
