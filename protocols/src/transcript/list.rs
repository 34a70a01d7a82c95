//! Lists of facts and codes (`CLAUSES-vendor.md`) as tests look at them.

use std::collections::BTreeSet;

/// The chapter under the heading `## title`, up to the next of its kind.
pub(crate) fn section<'t>(list: &'t str, title: &str) -> &'t str {
    let heading = format!("## {title}\n");
    let chapter = list
        .split("\n## ")
        .find(|chapter| heading.ends_with(chapter.split_inclusive('\n').next().unwrap_or("none")));
    chapter.expect("there is such a chapter")
}

/// Every code with this prefix and four digits in a text.
pub(crate) fn codes<'t>(text: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| {
            word.strip_prefix(prefix)
                .is_some_and(|digits| digits.len() == 4)
        })
        .collect()
}

/// The codes that have a row of their own, each exactly one.
pub(crate) fn rows<'t>(section: &'t str, prefix: &str) -> BTreeSet<&'t str> {
    let mut found = BTreeSet::new();
    for line in section.lines() {
        let first = line
            .strip_prefix("| ")
            .and_then(|row| row.split(' ').next());
        if let Some(code) = first.filter(|word| word.starts_with(prefix)) {
            assert!(found.insert(code), "{code} has two rows");
            assert_eq!(line.matches(" | ").count(), 2, "{line}");
        }
    }
    found
}

/// What stands in backticks.
fn quoted(section: &str) -> impl Iterator<Item = &str> {
    section.split('`').skip(1).step_by(2)
}

/// Names of tests: words with underscores in backticks.
pub(crate) fn tests_named(section: &str) -> BTreeSet<&str> {
    let named: BTreeSet<_> = quoted(section)
        .filter(|word| word.contains('_') && !word.contains(['.', '/', ' ']))
        .collect();
    assert!(named.len() > 20, "{named:?}");
    named
}

/// Names of source files in backticks, relative to the module.
pub(crate) fn files_named(section: &str) -> BTreeSet<&str> {
    quoted(section)
        .filter(|word| word.ends_with(".rs"))
        .collect()
}
