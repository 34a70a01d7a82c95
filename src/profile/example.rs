//! Runs the worked examples of a profile.

use std::sync::Arc;

use serde_json::{Map, Value as Json};

use super::{
    Example, LineProfile, LineSettings, Profile,
    answer::{OrderForDevice, Stamp, answer},
    json, wire,
};
use crate::{
    config::problem::{Problem, Problems},
    model::Item,
};

/// When the answers of examples are written.
const NOW: &str = "20250115101501";
/// The control id of their first message.
const CONTROL_ID: &str = "LW1";

/// Decodes every example of the profile, answers the queries among them, and tells where the
/// outcome is not what the file says.
pub fn run_examples(profile: &Arc<Profile>) -> Problems {
    let mut problems = Problems::default();
    for example in &profile.examples {
        let line = profile.for_line(LineSettings {
            line: "example".to_owned(),
            tests: example.tests.clone(),
            units: example.units.clone(),
            ..LineSettings::default()
        });
        for difference in differences(&line, example) {
            problems.push(Problem {
                code: "PROF-0210",
                message: format!(
                    "{}: example `{}`: {}",
                    profile.name, example.name, difference.what
                ),
                label: "not what came out".to_owned(),
                help: difference.help,
                source: Some(Arc::clone(&profile.file)),
                span: Some(difference.span),
                is_warning: false,
            });
        }
    }
    problems
}

/// One way in which an example is not met.
struct Difference {
    what: String,
    help: String,
    span: std::ops::Range<usize>,
}

fn differences(line: &LineProfile, example: &Example) -> Vec<Difference> {
    let bytes = match wire::read(&example.wire, line.text().charset, &line.profile().wire) {
        Ok(bytes) => bytes,
        Err(why) => {
            let what = "`wire` cannot be read".to_owned();
            return vec![Difference {
                what,
                help: why,
                span: example.wire_span.clone(),
            }];
        }
    };
    let decoded = wire::decode_capture(line, None, &bytes);
    let found: Vec<Map<String, Json>> = decoded
        .iter()
        .flat_map(json::lines)
        .map(|line| line.keys())
        .collect();
    let mut differences = compare(example, &found);
    if let Some(expected) = &example.answer {
        let items: Vec<&Item> = decoded.iter().flat_map(|decoded| &decoded.items).collect();
        let wrong = compare_answer(line, example, expected, &items);
        differences.extend(wrong.map(|(what, help)| Difference {
            what,
            help,
            span: example.answer_span.clone(),
        }));
    }
    differences
}

fn compare(example: &Example, found: &[Map<String, Json>]) -> Vec<Difference> {
    let mut differences: Vec<String> = Vec::new();
    if found.len() != example.expect.len() {
        let (wanted, came) = (example.expect.len(), found.len());
        differences.push(format!("{wanted} items expected, {came} came out"));
    }
    for (number, (wanted, came)) in example.expect.iter().zip(found).enumerate() {
        for (key, value) in wanted {
            let value = serde_json::to_value(value).unwrap_or_default();
            match came.get(key) {
                Some(own) if *own == value => {}
                Some(own) => differences.push(format!(
                    "item {}, `{key}`: expected {value}, came {own}",
                    number + 1
                )),
                None => differences.push(format!("item {}: it has no `{key}`", number + 1)),
            }
        }
    }
    let shown: Vec<String> = found
        .iter()
        .map(|came| Json::Object(came.clone()).to_string())
        .collect();
    let help = format!("this came out:\n{}", shown.join("\n"));
    let to_difference = |what| Difference {
        what,
        help: help.clone(),
        span: example.expect_span.clone(),
    };
    differences.into_iter().map(to_difference).collect()
}

fn compare_answer(
    line: &LineProfile,
    example: &Example,
    expected: &str,
    items: &[&Item],
) -> Option<(String, String)> {
    let charset = line.text().charset;
    let query = items.iter().find_map(|item| match item {
        Item::Query(query) => Some(query),
        Item::Observation(_) | Item::Image(_) | Item::Device(_) | Item::Incomplete(_) => None,
    });
    let Some(query) = query else {
        return Some((
            "`answer` without a query".to_owned(),
            "the device asked nothing".to_owned(),
        ));
    };
    let orders: Vec<OrderForDevice> = example.orders.iter().map(|o| in_codes(line, o)).collect();
    let stamp = Stamp {
        now: NOW.to_owned(),
        offset: "+0700".to_owned(),
        control_id: CONTROL_ID.to_owned(),
    };
    let found = match answer(line, query, &orders, &stamp) {
        Ok(messages) => messages.concat(),
        Err(error) => return Some((error.to_string(), "no answer was written".to_owned())),
    };
    match wire::read(expected, charset, &line.profile().wire) {
        Ok(wanted) if wanted == found => None,
        Ok(wanted) => Some((
            "the answer differs".to_owned(),
            unlike(&wanted, &found, charset),
        )),
        Err(why) => Some(("`answer` cannot be read".to_owned(), why)),
    }
}

/// An order of an example, with the device's codes for its tests.
fn in_codes(line: &LineProfile, order: &OrderForDevice) -> OrderForDevice {
    let mut tests: Vec<String> = Vec::new();
    for code in order.tests.iter().flat_map(|test| line.codes_of(test)) {
        if !tests.contains(&code) {
            tests.push(code);
        }
    }
    OrderForDevice {
        tests,
        ..order.clone()
    }
}

/// The lines of both that are not in the other.
fn unlike(wanted: &[u8], found: &[u8], charset: labwire_protocols::charset::Charset) -> String {
    let (wanted, found) = (wire::write(wanted, charset), wire::write(found, charset));
    let mut text = String::new();
    let missing = wanted
        .lines()
        .filter(|line| !found.lines().any(|own| own == *line));
    missing.for_each(|line| text.push_str(&format!("- {line}\n")));
    let added = found
        .lines()
        .filter(|line| !wanted.lines().any(|own| own == *line));
    added.for_each(|line| text.push_str(&format!("+ {line}\n")));
    if text.is_empty() {
        "the same records in another order".to_owned()
    } else {
        text
    }
}
