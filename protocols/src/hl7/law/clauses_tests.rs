//! The list of clauses and codes names what there is.

use std::collections::BTreeSet;

use super::WriteError;
use crate::{automation, hl7::build::BuildError};

const CLAUSES: &str = include_str!("../../../CLAUSES-law.md");
/// Where codes are given, each once.
const SOURCES: [&str; 5] = [
    include_str!("mod.rs"),
    include_str!("notes.rs"),
    include_str!("query.rs"),
    include_str!("../../automation/mod.rs"),
    include_str!("../../automation/notes.rs"),
];
const TESTS: [&str; 11] = [
    include_str!("query_tests.rs"),
    include_str!("order_tests.rs"),
    include_str!("result_tests.rs"),
    include_str!("hostile_tests.rs"),
    include_str!("../tables.rs"),
    include_str!("../material.rs"),
    include_str!("../../automation/segments.rs"),
    include_str!("../../automation/message_tests.rs"),
    include_str!("../../automation/write_tests.rs"),
    include_str!("../../automation/hostile_tests.rs"),
    include_str!("../../automation/lifecycle.rs"),
];
/// The files that the list may name.
const FILES: [&str; 14] = [
    "hl7/law/envelope.rs",
    "hl7/law/query.rs",
    "hl7/law/order.rs",
    "hl7/law/order_reply.rs",
    "hl7/law/result.rs",
    "hl7/law/observation.rs",
    "hl7/law/tree.rs",
    "hl7/law/analyzer.rs",
    "hl7/material.rs",
    "hl7/tables.rs",
    "hl7/views.rs",
    "automation/event.rs",
    "automation/message.rs",
    "automation/segments.rs",
];
/// The others of `automation/`.
const MORE_FILES: [&str; 3] = [
    "automation/write.rs",
    "automation/reply.rs",
    "automation/lifecycle.rs",
];

/// Every `LAW-0000` and `AUT-0000` in a text.
fn codes(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let is_code = |word: &&str| {
        word.strip_prefix("LAW-")
            .or(word.strip_prefix("AUT-"))
            .is_some_and(|number| {
                number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit())
            })
    };
    words.filter(is_code).collect()
}

#[test]
fn every_law_code_is_explained_and_every_explanation_has_its_code() {
    let used: BTreeSet<&str> = SOURCES.iter().flat_map(|source| codes(source)).collect();
    assert_eq!(used, codes(CLAUSES));
    for code in used {
        let rows = CLAUSES
            .lines()
            .filter(|line| line.starts_with(&format!("| {code} | ")));
        assert_eq!(rows.count(), 1, "{code}");
    }
}

/// A code that no test provokes may be one that nothing gives.
#[test]
fn every_note_and_problem_is_provoked_by_a_test() {
    let provoked: BTreeSet<&str> = TESTS.iter().flat_map(|source| codes(source)).collect();
    for source in SOURCES {
        let is_error = |code: &&str| code.contains("-09");
        for code in codes(source).into_iter().filter(|code| !is_error(code)) {
            assert!(provoked.contains(code), "{code}");
        }
    }
}

#[test]
fn an_error_says_its_code_first() {
    let build = [
        BuildError::NoSuchField,
        BuildError::TooManyComponents,
        BuildError::TooLong,
        BuildError::BadSegment,
    ];
    let law = [
        WriteError::NoSpecimen,
        WriteError::NoStep,
        WriteError::NoNumber,
        WriteError::NoService,
        WriteError::SameNumber,
        WriteError::FieldMissing("INV", 1),
        WriteError::NotAnswerable,
    ];
    let all = law.into_iter().chain(build.map(WriteError::Build));
    let mut seen = BTreeSet::new();
    for error in all {
        assert!(error.to_string().starts_with(error.code()), "{error}");
        assert!(seen.insert(error.code()), "{error}");
    }
    let automation = [
        automation::WriteError::FieldMissing("INV", 1),
        automation::WriteError::NothingToSay,
        automation::WriteError::NotInVersion("SPM"),
        automation::WriteError::NoContainer,
    ];
    let all = automation
        .into_iter()
        .chain(build.map(automation::WriteError::Build));
    let mut seen = BTreeSet::new();
    for error in all {
        assert!(error.to_string().starts_with(error.code()), "{error}");
        assert!(seen.insert(error.code()), "{error}");
    }
}

/// What stands in backticks.
fn quoted() -> impl Iterator<Item = &'static str> {
    CLAUSES.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_the_law_list_names_exists() {
    let is_name = |word: &&str| {
        word.matches('_').count() >= 2
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let named: Vec<_> = quoted().filter(is_name).collect();
    assert!(named.len() > 50, "{} tests", named.len());
    for name in named {
        let line = format!("fn {name}(");
        assert!(TESTS.iter().any(|source| source.contains(&line)), "{name}");
    }
}

#[test]
fn every_file_that_the_law_list_names_is_one_of_ours() {
    let files: Vec<_> = quoted().filter(|word| word.ends_with(".rs")).collect();
    assert!(files.len() > 50, "{} files", files.len());
    for file in &files {
        assert!(FILES.contains(file) || MORE_FILES.contains(file), "{file}");
    }
    for file in FILES.iter().chain(&MORE_FILES) {
        assert!(files.contains(file), "{file} obeys no clause");
    }
}
