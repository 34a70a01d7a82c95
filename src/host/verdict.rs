//! What a host's answer means for the message that it answers.

use crate::queue::Verdict;

/// The parts of an answer that decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostAnswer {
    /// MSA-1: AA, AE, AR, CA, CE or CR.
    pub code: String,
    /// ERR-3.1 (or ERR-1.4.1, MSA-6.1 of older versions) of every error, HL7 table 0357.
    pub errors: Vec<u32>,
    /// The sender's own words; may name a patient, so it is stored and shown, never logged.
    pub text: String,
}

/// How a site overrides the rule: with a list, exactly these codes are permanent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permanence(Option<Vec<String>>);

impl Permanence {
    /// From `[[host]] permanent` of `lab.toml`.
    pub const fn new(codes: Option<Vec<String>>) -> Self {
        Self(codes)
    }

    /// What the answer means.
    ///
    /// Accepted: AA, CA. Without a site's list, set aside: CR, AR but with 206 or 207, AE with 100
    /// to 105 or 200 to 205. Everything else is tried again under the same control id.
    pub fn verdict(&self, answer: &HostAnswer) -> Verdict {
        let line = describe(answer);
        if matches!(answer.code.as_str(), "AA" | "CA") {
            return Verdict::Accepted { answer: line };
        }
        let is_permanent = match &self.0 {
            Some(codes) => listed(codes, answer),
            None => by_rule(answer),
        };
        let reason = format!("the host answered {line}");
        if is_permanent {
            Verdict::Refused {
                reason,
                answer: line,
            }
        } else {
            Verdict::Deferred {
                reason,
                answer: line,
            }
        }
    }
}

fn listed(codes: &[String], answer: &HostAnswer) -> bool {
    codes.iter().any(|code| {
        *code == answer.code || answer.errors.iter().any(|error| *code == error.to_string())
    })
}

/// 206 (record locked) and 207 (internal error) pass by themselves.
const PASSING: [u32; 2] = [206, 207];

fn by_rule(answer: &HostAnswer) -> bool {
    let is_passing = answer.errors.iter().any(|error| PASSING.contains(error));
    match answer.code.as_str() {
        "CR" => true,
        "AR" => !is_passing,
        "AE" => {
            !is_passing
                && answer
                    .errors
                    .iter()
                    .any(|error| matches!(error, 100..=105 | 200..=205))
        }
        _ => false,
    }
}

fn describe(answer: &HostAnswer) -> String {
    let mut line = answer.code.clone();
    for error in &answer.errors {
        line.push_str(&format!(" {error}"));
    }
    if !answer.text.is_empty() {
        line.push_str(&format!(": {}", answer.text));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str, errors: &[u32], permanent: Option<&[&str]>) -> &'static str {
        let answer = HostAnswer {
            code: code.to_owned(),
            errors: errors.to_vec(),
            text: String::new(),
        };
        let codes = permanent.map(|codes| codes.iter().map(|code| (*code).to_owned()).collect());
        match Permanence::new(codes).verdict(&answer) {
            Verdict::Accepted { .. } => "accepted",
            Verdict::Deferred { .. } => "again",
            Verdict::Refused { .. } => "aside",
        }
    }

    #[test]
    fn an_answer_means_what_the_rule_says() {
        for (code, errors, expected) in [
            ("AA", &[][..], "accepted"),
            ("CA", &[], "accepted"),
            ("CE", &[], "again"),
            ("CE", &[207], "again"),
            ("CR", &[], "aside"),
            ("AR", &[], "aside"),
            ("AR", &[200], "aside"),
            ("AR", &[206], "again"),
            ("AR", &[207], "again"),
            ("AE", &[], "again"),
            ("AE", &[99], "again"),
            ("AE", &[100], "aside"),
            ("AE", &[105], "aside"),
            ("AE", &[106], "again"),
            ("AE", &[204], "aside"),
            ("AE", &[205], "aside"),
            ("AE", &[206], "again"),
            ("AE", &[204, 207], "again"),
            ("??", &[], "again"),
            ("", &[], "again"),
        ] {
            assert_eq!(kind(code, errors, None), expected, "{code} {errors:?}");
        }
    }

    #[test]
    fn a_sites_list_takes_the_place_of_the_rule() {
        assert_eq!(kind("AE", &[], Some(&["AE"])), "aside");
        assert_eq!(kind("AR", &[], Some(&["AE"])), "again");
        assert_eq!(kind("AE", &[204], Some(&["205"])), "again");
        assert_eq!(kind("AE", &[205], Some(&["205"])), "aside");
        assert_eq!(kind("AA", &[], Some(&["AA"])), "accepted");
    }
}
