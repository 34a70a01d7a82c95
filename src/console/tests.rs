//! What holds for the whole of the console's source.

use std::{fs, path::Path, sync::Arc};

use labwire_drivers::SystemClock;

use crate::{
    ledger::End,
    model::ResultState,
    store::{Sql, Turn, ground::new_store},
    text::{Language, has},
};

use super::{fault::Fault, ledger};

/// The sources of this module, as text.
fn sources() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/console");
    let entries = fs::read_dir(folder).expect("the folder of this module");
    let files = entries.map(|entry| entry.expect("an entry").path());
    files
        .filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .filter(|path| path.file_name().is_some_and(|name| name != "tests.rs"))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source");
            (path.display().to_string(), text)
        })
        .collect()
}

/// What stands between `begin` and a quote.
fn quoted<'t>(text: &'t str, begin: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(begin)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
}

fn assert_known(key: &str, place: &str) {
    for language in Language::ALL {
        assert!(
            has(*language, &format!("console.{key}")),
            "{language:?} lacks {key} of {place}"
        );
    }
}

#[test]
fn every_text_that_a_page_asks_for_is_there_in_both_languages() {
    let mut count = 0;
    for (file, text) in sources() {
        let fixed = quoted(&text, ".t(\"").chain(quoted(&text, ".f(\""));
        for key in fixed {
            assert_known(key, &file);
            count += 1;
        }
        for keys in text.split("for key in [").skip(1) {
            let list = keys.split(']').next().unwrap_or_default();
            for key in list.split('"').skip(1).step_by(2) {
                assert_known(&format!("column.{key}"), &file);
                count += 1;
            }
        }
    }
    assert!(count > 150, "{count} keys were found");
}

#[test]
fn every_failure_state_and_end_has_its_words() {
    for fault in Fault::ALL {
        assert_known(&format!("fault.{}.title", fault.code), "faults");
        assert_known(&format!("fault.{}.todo", fault.code), "faults");
    }
    for state in ResultState::ALL {
        assert_known(&format!("result-state.{}", state.code()), "states");
    }
    for end in End::ALL {
        assert_known(&format!("end.{}", ledger::key(*end)), "ends");
    }
    for word in [
        "stopped",
        "opening",
        "unreachable",
        "gone",
        "never",
        "mute",
        "speaking",
        "quiet",
    ] {
        assert_known(&format!("evidence.{word}"), "evidence");
    }
}

#[test]
fn no_page_has_a_script_or_a_style_in_it() {
    for (file, text) in sources() {
        for forbidden in [
            " style=",
            "onclick=",
            "onload=",
            "PreEscaped(format",
            "hx-on",
            "javascript:",
        ] {
            assert!(!text.contains(forbidden), "{forbidden} in {file}");
        }
    }
}

#[test]
fn every_way_to_change_something_goes_through_the_token_of_its_form() {
    for (file, text) in sources() {
        for handler in text.split(".route(").skip(1) {
            let route = handler.split('\n').next().unwrap_or_default();
            for name in quoted_calls(route) {
                let signature = format!("async fn {name}(");
                let taken = text.split(&signature).nth(1).unwrap_or_default();
                let taken = taken.split('{').next().unwrap_or_default();
                assert!(taken.contains("Posted"), "{name} of {file} takes {taken}");
            }
        }
    }
}

/// The handlers of `post(…)` in a route.
fn quoted_calls(route: &str) -> Vec<&str> {
    route
        .split("post(")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .collect()
}

/// Pages and alerts ask these every few seconds, and a folder of pictures at every file, of tables that grow
/// for years.
#[test]
fn what_is_asked_again_and_again_goes_by_an_index() {
    let is_asked = |sql: &&&Sql| {
        ["AS oldest FROM queue", "content IS NULL AND file"]
            .iter()
            .any(|part| sql.sqlite.contains(part))
    };
    let of_others = [crate::queue::statements(), crate::image::statements()].concat();
    let of_others: Vec<&Sql> = of_others.iter().filter(is_asked).copied().collect();
    assert_eq!(of_others.len(), 2);
    let own = [
        crate::alerts::statements(),
        super::pulse::ALL.to_vec(),
        of_others,
    ]
    .concat();
    let (store, _ground) = new_store(Arc::new(SystemClock::default()));
    for sql in own
        .into_iter()
        .filter(|sql| sql.sqlite.starts_with("SELECT"))
    {
        let plan = format!("EXPLAIN QUERY PLAN {}", sql.sqlite);
        // A statement is a constant; this one is made for as long as the test runs.
        let plan = Sql::same(Box::leak(plan.into_boxed_str()));
        let params = (1..=9)
            .filter(|n| sql.sqlite.contains(&format!("${n}")))
            .count();
        let steps = store.transact_blocking(Turn::Canonical, move |db| {
            let rows = db.rows(&plan, &vec![1.into(); params])?;
            rows.iter()
                .map(|row| row.text(3).map(str::to_owned))
                .collect::<Result<Vec<_>, _>>()
        });
        let steps = steps.expect("it is a statement");
        // `c` is what was counted: a row for each destination.
        let is_scan = |step: &&String| {
            step.starts_with("SCAN") && !step.contains("USING") && *step != "SCAN c"
        };
        assert_eq!(steps.iter().find(is_scan), None, "{}", sql.sqlite);
    }
}
