//! Helps a person who misspelt a word.

/// The known word that was probably meant, if one is near enough to say so.
pub fn did_you_mean<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    // A third of the letters may be wrong; more is another word, and a wrong hint costs more time
    // than none.
    let tolerated = (word.chars().count() / 3).max(1);
    known
        .iter()
        .map(|candidate| {
            (
                distance(&word.to_lowercase(), &candidate.to_lowercase()),
                *candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= tolerated || is_longer_form(word, candidate))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `automatic` for `auto`: the word goes on where the known one ends.
fn is_longer_form(word: &str, known: &str) -> bool {
    known.len() >= 4 && word.to_lowercase().starts_with(&known.to_lowercase())
}

/// `a`, `b` or `c`, each in back ticks.
pub fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// Letters to change, add, drop or swap with a neighbour (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let changed = rows[i][j] + usize::from(letter != other);
            let mut least = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *letter == b[j - 1] && a[i - 1] == *other {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows.last()
        .and_then(|row| row.last())
        .copied()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        let known = ["section", "profile", "unmapped", "port"];
        let check = |word: &str, expected: Option<&str>| {
            assert_eq!(did_you_mean(word, &known), expected, "{word}");
        };
        check("secton", Some("section"));
        check("proflie", Some("profile"));
        check("PORT", Some("port"));
        check("prot", Some("port"));
        check("portable", Some("port"));
        check("colour", None);
        check("", None);
    }

    #[test]
    fn words_are_listed_as_a_sentence_would() {
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&[]), "");
    }
}
