//! The list of facts and codes names what there is.

use std::collections::BTreeSet;

use crate::{poct1a::notes, transcript::list};

fn section() -> &'static str {
    list::section(include_str!("../../../CLAUSES-vendor.md"), "POCT1-A")
}

#[test]
fn every_note_is_explained() {
    for note in notes::ALL {
        let row = format!("| {} | {} | ", note.code, note.text);
        assert_eq!(section().matches(&row).count(), 1, "{row}");
    }
}

#[test]
fn every_code_is_explained_and_every_explanation_has_its_code() {
    let sources = [
        include_str!("../notes.rs"),
        include_str!("../message.rs"),
        include_str!("../writer.rs"),
        include_str!("../dialect.rs"),
    ];
    let given: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| list::codes(source, "POC-"))
        .collect();
    assert_eq!(given, list::rows(section(), "POC-"));
    assert!(given.len() > 40);
}

#[test]
fn every_test_and_file_that_the_list_names_exists() {
    let tests = [
        include_str!("chance.rs"),
        include_str!("conversing.rs"),
        include_str!("reading.rs"),
        include_str!("receiving.rs"),
        include_str!("table.rs"),
        include_str!("writing.rs"),
    ];
    for name in list::tests_named(section()) {
        let line = format!("fn {name}(");
        assert!(tests.iter().any(|source| source.contains(&line)), "{name}");
    }
    let files = [
        "dialect.rs",
        "link/receiver.rs",
        "link/sender.rs",
        "link/splitter.rs",
        "message.rs",
        "observation.rs",
        "writer.rs",
        "xml.rs",
    ];
    let named = list::files_named(section());
    assert_eq!(named, BTreeSet::from(files));
}
