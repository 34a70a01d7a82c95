//! What an instrument has to say, and how a family says it.

use std::{fmt::Debug, time::Duration};

use bytes::Bytes;
use labwire_protocols::wire::SendOutcome;

use super::{Ordered, Place, Run};
use crate::persona::Persona;

/// How an instrument speaks. What a family does not do has a default that does nothing.
pub trait Language: Debug + Send {
    /// Asks what to do with a tube.
    fn query(&mut self, words: &Words<'_>) -> Bytes;
    /// Reports a run.
    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes;
    /// What the host orders by this message; `None` where it is no order.
    fn orders(&mut self, message: &[u8]) -> Option<Vec<Ordered>>;
    /// The reply that a message from the host gets, if the protocol has one.
    fn reply(&mut self, _words: &Words<'_>, _message: &[u8]) -> Option<Bytes> {
        None
    }
    /// What the outcome of a sending means.
    fn outcome(&self, outcome: &SendOutcome) -> Meaning {
        match outcome {
            SendOutcome::Sent | SendOutcome::Answered(_) => Meaning::Acknowledged,
            SendOutcome::Failed(_) => Meaning::Failed,
        }
    }

    /// The connection is new: nothing of an earlier one counts.
    fn on_open(&mut self) {}
    /// What is said before a question or results, each acknowledged before the next.
    fn opening(&mut self, _talk: Talk, _time: &str) -> Vec<Bytes> {
        Vec::new()
    }
    /// What is said after them.
    fn closing(&mut self, _talk: Talk, _time: &str) -> Vec<Bytes> {
        Vec::new()
    }
    /// Whether what failed is begun anew, its opening first, instead of sent again where it was.
    fn begins_again(&self) -> bool {
        false
    }
    /// Whether results may be said now: where the host asks for them, not before.
    fn may_report(&self) -> bool {
        true
    }
    /// What is owed for a message of the host at once, as a message of its own.
    fn word(&mut self, _message: &[u8]) -> Option<Bytes> {
        None
    }
    /// How often an instrument that is polled for by itself looks for orders.
    fn polls_every(&self) -> Option<Duration> {
        None
    }
    /// Looks for orders.
    fn poll(&mut self) -> Option<Bytes> {
        None
    }
    /// Whether the id fits into what the family has room for; a longer one could not be read.
    fn can_name(&self, _specimen: &str) -> bool {
        true
    }
    /// What is measured of what was asked for: some families know no choice.
    fn measured(&self, codes: Vec<String>) -> Vec<String> {
        codes
    }
    /// Whether a message holds one result.
    fn is_one_a_message(&self) -> bool {
        false
    }
    /// A value as the instrument writes it.
    fn written(&self, value: &str) -> String {
        value.to_owned()
    }
}

/// The language of any family.
pub type AnyLanguage = Box<dyn Language>;

impl Language for AnyLanguage {
    fn query(&mut self, words: &Words<'_>) -> Bytes {
        (**self).query(words)
    }
    fn results(&mut self, words: &Words<'_>, run: &Run) -> Bytes {
        (**self).results(words, run)
    }
    fn orders(&mut self, message: &[u8]) -> Option<Vec<Ordered>> {
        (**self).orders(message)
    }
    fn reply(&mut self, words: &Words<'_>, message: &[u8]) -> Option<Bytes> {
        (**self).reply(words, message)
    }
    fn outcome(&self, outcome: &SendOutcome) -> Meaning {
        (**self).outcome(outcome)
    }
    fn on_open(&mut self) {
        (**self).on_open();
    }
    fn opening(&mut self, talk: Talk, time: &str) -> Vec<Bytes> {
        (**self).opening(talk, time)
    }
    fn closing(&mut self, talk: Talk, time: &str) -> Vec<Bytes> {
        (**self).closing(talk, time)
    }
    fn begins_again(&self) -> bool {
        (**self).begins_again()
    }
    fn may_report(&self) -> bool {
        (**self).may_report()
    }
    fn word(&mut self, message: &[u8]) -> Option<Bytes> {
        (**self).word(message)
    }
    fn polls_every(&self) -> Option<Duration> {
        (**self).polls_every()
    }
    fn poll(&mut self) -> Option<Bytes> {
        (**self).poll()
    }
    fn can_name(&self, specimen: &str) -> bool {
        (**self).can_name(specimen)
    }
    fn measured(&self, codes: Vec<String>) -> Vec<String> {
        (**self).measured(codes)
    }
    fn is_one_a_message(&self) -> bool {
        (**self).is_one_a_message()
    }
    fn written(&self, value: &str) -> String {
        (**self).written(value)
    }
}

/// What an instrument is about to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Talk {
    /// A question about one tube.
    Query,
    /// So many messages of results.
    Results(usize),
}

/// What the outcome of a sending means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The peer has it.
    Acknowledged,
    /// The peer has it, and these bytes are the answer to the question in it.
    Answered(Bytes),
    /// The peer refused it.
    Refused,
    /// Nobody knows.
    Failed,
}

/// What the templates of a persona are filled with.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    /// The model.
    pub persona: &'static Persona,
    /// The barcode, or the id of a control.
    pub specimen: &'a str,
    /// Whether it is control material.
    pub is_control: bool,
    /// Where the tube stands, where somebody said so.
    pub place: Option<&'a Place>,
    /// Counts the tubes from 1.
    pub sequence: u64,
    /// Counts the messages from 1.
    pub message: u64,
    /// The present wall time.
    pub time: &'a str,
}
