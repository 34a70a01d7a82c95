//! The list of clauses and codes names what there is.

use std::collections::BTreeSet;

const CLAUSES: &str = include_str!("../../CLAUSES-hl7.md");
const SOURCES: [&str; 10] = [
    include_str!("mod.rs"),
    include_str!("message.rs"),
    include_str!("escape.rs"),
    include_str!("time.rs"),
    include_str!("order.rs"),
    include_str!("batch.rs"),
    include_str!("build.rs"),
    include_str!("../mllp.rs"),
    include_str!("../mllp/block.rs"),
    include_str!("../mllp/sender.rs"),
];
const TESTS: [&str; 17] = [
    include_str!("message_tests.rs"),
    include_str!("ack_tests.rs"),
    include_str!("order_tests.rs"),
    include_str!("observation_tests.rs"),
    include_str!("separators.rs"),
    include_str!("escape.rs"),
    include_str!("header.rs"),
    include_str!("charset.rs"),
    include_str!("time.rs"),
    include_str!("build.rs"),
    include_str!("adt.rs"),
    include_str!("batch.rs"),
    include_str!("mindray.rs"),
    include_str!("path.rs"),
    include_str!("hostile_tests.rs"),
    include_str!("../mllp/tests.rs"),
    include_str!("../mllp/property_tests.rs"),
];

/// Every `HL7-0000` and `MLLP-0000` in a text.
fn codes(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let is_code = |word: &&str| {
        word.strip_prefix("HL7-")
            .or(word.strip_prefix("MLLP-"))
            .is_some_and(|number| {
                number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit())
            })
    };
    words.filter(is_code).collect()
}

#[test]
fn every_code_is_explained_and_every_explanation_has_its_code() {
    let used: BTreeSet<&str> = SOURCES.iter().flat_map(|source| codes(source)).collect();
    assert_eq!(used, codes(CLAUSES));
}

#[test]
fn every_test_that_the_list_names_exists() {
    let named = CLAUSES
        .split('`')
        .filter(|word| word.contains('_') && !word.contains(['.', ' ']));
    for name in named {
        let line = format!("fn {name}(");
        assert!(TESTS.iter().any(|source| source.contains(&line)), "{name}");
    }
}
