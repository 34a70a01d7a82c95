//! How the simulated HIS answers what it receives: well, slowly, unwillingly, or not at all.

use std::{collections::BTreeMap, time::Duration};

use crate::chance::Chance;

/// One way to answer a result message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Takes it, answers AA.
    Good,
    /// Takes it, answers AA after this long.
    Slow(Duration),
    /// Does not take it, and says why.
    Refuse(Refusal),
    /// Cannot take it now: CE in enhanced mode, else AE with ERR-3 207.
    Busy,
    /// Takes it, and closes the connection before it answers.
    Cut,
    /// Takes it, and never answers.
    Silent,
    /// Takes it, answers first with the control id of an older message, then rightly.
    Late,
    /// Takes it and answers twice.
    Twice,
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// MSA-1: `AE`, `AR`, `CE` or `CR`.
    pub code: &'static str,
    /// ERR-3 of table 0357; none sends no ERR.
    pub error: Option<u16>,
}

/// Which policy meets which message. The first rule that fits decides.
#[derive(Clone, Debug)]
pub struct Answering {
    /// Whether every message is first acknowledged as kept (CA), then as processed (AA).
    pub is_enhanced: bool,
    /// What the next so many messages get, whatever they are; used up from the front.
    pub script: Vec<Policy>,
    /// What a control id always gets.
    pub by_control: BTreeMap<String, Policy>,
    /// What messages that carry this text always get: for a patient, a code, a barcode.
    pub by_text: Vec<(String, Policy)>,
    /// Policies by chance, each per mille of the messages.
    pub rates: Vec<(u16, Policy)>,
    /// How often one control id may meet a policy by chance; after that it is answered well, so
    /// that a simulation ends.
    pub chances_max: u32,
    /// What everything else gets.
    pub otherwise: Policy,
    /// Where chance starts.
    pub seed: u64,
}

impl Answering {
    /// Answers everything well.
    pub fn good() -> Self {
        Self::always(Policy::Good)
    }

    /// Answers everything in one way.
    pub fn always(otherwise: Policy) -> Self {
        Self {
            is_enhanced: false,
            script: Vec::new(),
            by_control: BTreeMap::new(),
            by_text: Vec::new(),
            rates: Vec::new(),
            chances_max: 2,
            otherwise,
            seed: 0,
        }
    }

    /// Answers the first messages in these ways, everything later well.
    pub fn scripted(script: impl Into<Vec<Policy>>) -> Self {
        Self {
            script: script.into(),
            ..Self::good()
        }
    }

    /// Answers by chance, from a seed.
    pub fn by_chance(rates: impl Into<Vec<(u16, Policy)>>, seed: u64) -> Self {
        Self {
            rates: rates.into(),
            seed,
            ..Self::good()
        }
    }

    /// What the message `control`, received for the `times`th time, gets.
    pub(super) fn policy(&mut self, control: &str, text: &str, times: u32) -> Policy {
        if !self.script.is_empty() {
            return self.script.remove(0);
        }
        if let Some(policy) = self.by_control.get(control) {
            return *policy;
        }
        if let Some((_, policy)) = self.by_text.iter().find(|(part, _)| text.contains(part)) {
            return *policy;
        }
        if times <= self.chances_max {
            // Drawn from the id and the attempt, so that the order of arrival changes nothing.
            let mut chance = Chance::fork(self.seed, &format!("{control}/{times}"));
            for (rate, policy) in &self.rates {
                if chance.happens(*rate) {
                    return *policy;
                }
            }
        }
        self.otherwise
    }
}
