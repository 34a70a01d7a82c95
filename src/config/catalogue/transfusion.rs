//! What a test is to the transfusion service: `transfusion`, `reagent`, `technique` and `means`.

use super::Test;
use crate::{
    config::{
        choice::Class,
        read::{At, File, Table},
        suggest::{did_you_mean, one_of},
    },
    model::blood::{Abo, BloodKind, BloodTest, Finding, Match, Reagent, RhD, Strength, Technique},
};

/// Reads what a `[[test]]` says of itself; codes are looked at by [`check`].
pub(super) fn read(table: &Table<'_>) -> Option<BloodTest> {
    let kind = word(table, "transfusion", BloodKind::ALL, BloodKind::word);
    let reagent = word(table, "reagent", Reagent::ALL, Reagent::word);
    let technique = word(table, "technique", Technique::ALL, Technique::word);
    let means = table.pairs("means");
    let is_well = matches!(kind, Some(BloodKind::Forward | BloodKind::Reverse));
    if reagent.is_some() && !is_well {
        misplaced(table, "reagent", "a test of forward or reverse typing");
    }
    if technique.is_some() && kind != Some(BloodKind::Crossmatch) {
        misplaced(table, "technique", "a crossmatch");
    }
    if !means.is_empty() && kind.is_none() {
        misplaced(table, "means", "a test with `transfusion`");
    }
    let means = means
        .into_iter()
        .map(|(code, word)| (code.value, word.value));
    Some(BloodTest {
        kind: kind?,
        reagent,
        technique,
        means: means.collect(),
    })
}

/// One of a few words, where the key is there at all.
fn word<W: Copy>(
    table: &Table<'_>,
    key: &'static str,
    all: &[W],
    word_of: fn(W) -> &'static str,
) -> Option<W> {
    let text = table.text(key)?;
    let found = all.iter().copied().find(|one| word_of(*one) == *text);
    if found.is_none() {
        let words: Vec<&str> = all.iter().map(|one| word_of(*one)).collect();
        let help = match did_you_mean(&text, &words) {
            Some(word) => format!("did you mean `{word}`? `{key}` is {}", one_of(&words)),
            None => format!("`{key}` is {}", one_of(&words)),
        };
        table.file().error(
            "CONF-0105",
            text.span.clone(),
            format!("`{}` is no value of `{key}`", *text),
            "not one of the values",
            help,
        );
    }
    found
}

fn misplaced(table: &Table<'_>, key: &'static str, whose: &str) {
    let span = table
        .value(key)
        .map_or_else(|| table.span(), |value| value.span());
    table.file().error(
        "CONF-0310",
        span,
        format!("`{key}` says something of {whose}"),
        "not such a test",
        "take it out, or say in `transfusion` what the test is",
    );
}

/// A test of transfusion never goes by itself, and each of its codes must say something that rules
/// can compare: a group that nobody can read confirms nothing and warns of nothing.
pub(super) fn check(test: &Test, file: &File) {
    let Some(blood) = &test.blood else { return };
    if test.class != Class::Transfusion {
        file.error(
            "CONF-0311",
            test.id.span.clone(),
            format!(
                "`{}` is of transfusion and may be released by itself",
                *test.id
            ),
            "without class = \"transfusion\"",
            "add class = \"transfusion\"",
        );
    }
    let wanted = words_of(blood);
    for (_, code) in &test.coded {
        let word = blood.means.iter().find(|(own, _)| *own == **code);
        let word = word.map_or(code.as_str(), |(_, word)| word);
        if blood.read(word).is_none() {
            refuse(test, code, word, &wanted, file);
        }
    }
    for (code, word) in &blood.means {
        let mut given = test.coded.iter().filter(|(_, one)| **one == *code);
        if given.next().is_none() && blood.read(word).is_none() {
            refuse(test, &test.id, word, &wanted, file);
        }
    }
}

fn refuse(test: &Test, at: &At<String>, word: &str, wanted: &str, file: &File) {
    file.error(
        "CONF-0312",
        at.span.clone(),
        format!("`{word}` says nothing that `{}` could mean", *test.id),
        "no word of such a test",
        format!(
            "the words are {wanted}; a code of another list is explained by \
             means = {{ \"code\" = \"word\" }}"
        ),
    );
}

/// The words that a test of this kind is told in, for people.
fn words_of(test: &BloodTest) -> String {
    fn all<W: Copy>(of: &[W], word_of: fn(W) -> &'static str) -> String {
        let words: Vec<&str> = of.iter().map(|one| word_of(*one)).collect();
        words.join(", ")
    }
    let groups = || format!("{}, INDETERMINATE", all(Abo::ALL, Abo::word));
    let types = || format!("{}, INDETERMINATE", all(RhD::ALL, RhD::word));
    let wells = || all(Strength::ALL, Strength::word);
    let findings = || all(Finding::ALL, Finding::word);
    match test.kind {
        BloodKind::Abo => groups(),
        BloodKind::RhD => types(),
        BloodKind::AboRhD => format!("{} and {} with a blank between", groups(), types()),
        BloodKind::Forward | BloodKind::Reverse if test.reagent.is_some() => wells(),
        BloodKind::Forward | BloodKind::Reverse => groups(),
        BloodKind::Screen | BloodKind::Dat | BloodKind::Antibody | BloodKind::Phenotype => {
            format!("{}, {}", findings(), wells())
        }
        BloodKind::Crossmatch => format!("{}, {}", all(Match::ALL, Match::word), wells()),
    }
}
