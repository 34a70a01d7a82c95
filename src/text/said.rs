//! Sentences that the store keeps in English, said in the language of whoever reads them.
//!
//! A reason is stored as it was when it happened and is the same for the command line and the log. The
//! table `said` of en.toml has each of them word for word, with `{name}` where the case fills something
//! in; that of another language says the same.

use super::{Language, text};

/// `sentence` in `language`; as it is where the table does not have it, for the words of a host or of a
/// device are its own.
pub fn said(language: Language, sentence: &str) -> String {
    if language == Language::En {
        return sentence.to_owned();
    }
    // The sentence with most words of its own is the one that was meant.
    let matches = Language::En.texts().range("said.".to_owned()..);
    let found = matches
        .take_while(|(key, _)| key.starts_with("said."))
        .filter_map(|(key, template)| Some((own(template), key, parts(template, sentence)?)))
        .max_by_key(|(own, ..)| *own);
    let Some((_, key, parts)) = found else {
        return sentence.to_owned();
    };
    let parts: Vec<(&str, String)> = parts
        .into_iter()
        .map(|(name, part)| (name, said(language, part)))
        .collect();
    let args: Vec<(&str, &str)> = parts
        .iter()
        .map(|(name, part)| (*name, part.as_str()))
        .collect();
    text(language, key, &args)
}

/// How much of a template is not filled in.
fn own(template: &str) -> usize {
    pieces(template).map(|(literal, _)| literal.len()).sum()
}

/// The literal pieces of a template, each with the name of what follows it.
fn pieces(template: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    let mut rest = Some(template);
    std::iter::from_fn(move || {
        let text = rest?;
        let named = text.split_once('{').and_then(|(literal, after)| {
            let (name, tail) = after.split_once('}')?;
            Some((literal, name, tail))
        });
        let Some((literal, name, tail)) = named else {
            rest = None;
            return Some((text, None));
        };
        rest = Some(tail);
        Some((literal, Some(name)))
    })
}

/// What a sentence fills into a template, none of it empty; `None` where the template does not say it.
fn parts<'t, 's>(template: &'t str, sentence: &'s str) -> Option<Vec<(&'t str, &'s str)>> {
    let mut found = Vec::new();
    let mut rest = sentence;
    let mut name: Option<&str> = None;
    for (literal, next) in pieces(template) {
        let part = match (name, next) {
            (None, _) => {
                rest = rest.strip_prefix(literal)?;
                ""
            }
            // The last piece ends the sentence; one before it is looked for.
            (Some(_), None) => {
                let part = rest.strip_suffix(literal)?;
                rest = "";
                part
            }
            (Some(_), Some(_)) => {
                let (part, after) = rest.split_once(literal)?;
                rest = after;
                part
            }
        };
        if let Some(name) = name {
            if part.is_empty() {
                return None;
            }
            found.push((name, part));
        }
        name = next;
    }
    rest.is_empty().then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_sentence_is_said_in_the_language_of_the_reader() {
        let vi = |sentence| said(Language::Vi, sentence);
        assert_eq!(vi("birth date"), "ngày sinh");
        assert_eq!(vi("rack 12 position 3"), "giá 12, vị trí 3");
        assert_eq!(
            vi("`g/dL` came, `g/L` was expected"),
            "máy gửi `g/dL`, đúng ra là `g/L`"
        );
        assert_eq!(
            vi("no answer in time; refused 12 times: a person must look"),
            "không có trả lời kịp thời; đã bị từ chối 12 lần: cần người xem"
        );
        assert_eq!(said(Language::En, "birth date"), "birth date");
    }

    #[test]
    fn words_of_others_stay_as_they_are() {
        let vi = |sentence| said(Language::Vi, sentence);
        assert_eq!(
            vi("the host answered AE 204: Không thấy birth date"),
            "HIS trả lời: AE 204: Không thấy birth date"
        );
        for sentence in ["", "rack 12 position ", "WBC", "birth date?", "{what}"] {
            assert_eq!(vi(sentence), sentence);
        }
    }

    /// What the rules and couriers store as a reason, wherever it is written in the code.
    #[test]
    fn every_reason_that_is_stored_has_its_words() {
        let sources = [
            include_str!("../bridge/courier.rs"),
            include_str!("../bridge/http_courier.rs"),
            include_str!("../host/http.rs"),
            include_str!("../settle/panel.rs"),
        ];
        let is_reason = |line: &&str| {
            [
                "deferred(\"",
                "SendFailure::",
                "reason: \"",
                "ome(\"",
                ".to_owned()",
            ]
            .iter()
            .any(|mark| line.contains(mark))
        };
        let mut count = 0;
        for source in sources {
            let code = source.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines().filter(is_reason) {
                let Some(sentence) = line.split('"').nth(1).filter(|text| text.contains(' '))
                else {
                    continue;
                };
                assert_ne!(
                    said(Language::Vi, sentence),
                    sentence,
                    "en.toml and vi.toml have it below `said`"
                );
                count += 1;
            }
        }
        assert!(count > 20, "{count} reasons were found");
    }
}
