//! Finding patients by name: words without case and marks, so that `tran binh` finds `TRẦN THỊ BÌNH`.

use std::collections::BTreeSet;

use labwire_protocols::{
    charset::transliterate,
    hl7::{Separators, escape},
};

use crate::store::{Db, Insert, Sql, StoreError};

use super::Fields;

const FORGET: Sql = Sql::same("DELETE FROM patient_word WHERE patient = $1");
const INSERT: Insert = Insert {
    into: "INSERT INTO patient_word (word, patient)",
    columns: 2,
    tail: "ON CONFLICT DO NOTHING",
    types: &[],
};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&FORGET];

/// PID-5.
const NAME: u16 = 5;

/// Words kept of a name: what is longer is no name, and must not cost an index.
const WORDS_MAX: usize = 12;
/// Characters kept of a word.
const WORD_CHARS_MAX: usize = 40;

/// The words of a name as they are compared, in their order.
pub fn name_words(name: &str) -> Vec<String> {
    transliterate(name)
        .to_lowercase()
        .split(|ch: char| !ch.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD_CHARS_MAX).collect())
        .take(WORDS_MAX)
        .collect()
}

/// The words of PID-5, all its repeats.
fn words(fields: &Fields) -> BTreeSet<String> {
    let raw = fields.get(&NAME).map_or("", String::as_str);
    let parts: Vec<_> = raw
        .split(['~', '^', '&'])
        .map(|part| escape::decode(part, Separators::STANDARD).0)
        .collect();
    name_words(&parts.join(" ")).into_iter().collect()
}

/// Writes down what a patient can be found by, where the name is another than it was.
pub(super) fn note(
    db: &mut dyn Db,
    patient: i64,
    before: Option<&Fields>,
    fields: &Fields,
) -> Result<(), StoreError> {
    let words = words(fields);
    match before {
        Some(before) if self::words(before) == words => return Ok(()),
        Some(_) => {
            db.exec(&FORGET, &[patient.into()])?;
        }
        None => {}
    }
    let rows: Vec<_> = words
        .into_iter()
        .map(|word| vec![word.into(), patient.into()])
        .collect();
    if !rows.is_empty() {
        db.insert_rows(&INSERT, rows)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_with_or_without_marks_and_case() {
        let fields = Fields::from([(NAME, "TRẦN^BÌNH^THỊ~Đỗ\\T\\X".to_owned())]);
        let expected = ["binh", "do", "thi", "tran", "x"].map(str::to_owned);
        assert_eq!(words(&fields), BTreeSet::from(expected));
        assert_eq!(name_words("Đặng  thị-Bình"), ["dang", "thi", "binh"]);
        assert_eq!(name_words(" ^ "), Vec::<String>::new());
        assert!(name_words(&"a ".repeat(100)).len() <= WORDS_MAX);
    }
}
