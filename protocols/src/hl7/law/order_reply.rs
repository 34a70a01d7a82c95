//! LAB-28, the analyzer's answer: ORL^O34, whose structure is ORL_O42 or, in older analyzers, ORL_O34.

use super::{
    Transaction,
    envelope::{self, Part},
    order::Control,
    tree::{Opener, Step, StepNumber, Tree},
};
use crate::{
    hl7::{
        Message, ParseError,
        ack::{AckCode, Answer},
        header::Header,
        tables::OrderStatus,
    },
    wire::Note,
};

/// ORL^O34: what the analyzer says of each step.
#[derive(Clone, Debug)]
pub struct Reply<'m, 'a> {
    /// MSH.
    pub header: Header<'a>,
    /// MSA and ERR.
    pub answer: Answer<'a>,
    /// Specimens and steps; without specimens in the answer to "no work" and in a refusal.
    pub tree: Tree<'m, 'a>,
}

/// What became of a step, as far as the answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It will be done.
    Accepted,
    /// It will not be done. So does an analyzer answer that has the step already.
    Refused,
    /// It was left as asked.
    Cancelled,
    /// It could not be left any more.
    NotCancelled,
    /// The whole message was refused (MSA-1 AE or AR): nothing in it has happened.
    MessageRefused,
    /// The answer does not name the step.
    Unanswered,
    /// The answer contradicts itself or says something else: a person has to look.
    Unclear,
}

impl<'m, 'a> Reply<'m, 'a> {
    /// Reads an ORL^O34.
    ///
    /// # Errors
    /// [`ParseError::WrongType`] for another message, [`ParseError::SegmentMissing`] without MSA.
    pub fn read(message: &'m Message<'a>) -> Result<(Self, Vec<Note>), ParseError> {
        let header = message.header();
        if (header.message_type(), header.trigger()) != ("ORL", "O34") {
            return Err(ParseError::WrongType);
        }
        let answer = Answer::read(message)?;
        let structures = ["ORL_O42", "ORL_O34"];
        let transaction = Transaction::Broadcast;
        let mut notes = envelope::check(header, transaction, Part::Reply, &structures);
        let tree = Tree::read(message, Opener::Orc, &mut notes);
        notes.sort_by_key(|note| note.at);
        Ok((
            Self {
                header,
                answer,
                tree,
            },
            notes,
        ))
    }

    /// What became of the step with this number, OBR-2.1 of the order, which asked for `asked`.
    pub fn verdict(&self, number: &str, asked: Control) -> Verdict {
        match self.answer.code {
            Some(AckCode::AA) => {}
            Some(AckCode::AE | AckCode::AR) => return Verdict::MessageRefused,
            Some(AckCode::CA | AckCode::CE | AckCode::CR) | None => return Verdict::Unclear,
        }
        let steps = self.tree.steps().map(|(_, step)| step);
        let mut verdicts = steps
            .filter(|step| names(step, number))
            .map(|step| verdict(asked, step.control(), step.status()));
        let Some(first) = verdicts.next() else {
            return Verdict::Unanswered;
        };
        if verdicts.all(|other| other == first) {
            first
        } else {
            Verdict::Unclear
        }
    }
}

fn names(step: &Step<'_, '_>, number: &str) -> bool {
    match step.number() {
        StepNumber::Given(given) => given.id == number,
        StepNumber::Null | StepNumber::Missing | StepNumber::Conflict { .. } => false,
    }
}

/// What ORC-1 and ORC-5 of an answer mean for a step that was ordered or cancelled. An ORC-5 that
/// contradicts ORC-1 is not argued away.
pub fn verdict(asked: Control, control: &str, status: Option<OrderStatus<'_>>) -> Verdict {
    let goes_on = matches!(
        status,
        None | Some(OrderStatus::Scheduled | OrderStatus::InProcess | OrderStatus::Completed)
    );
    let is_off = matches!(status, None | Some(OrderStatus::Cancelled));
    match (asked, control) {
        (Control::New, "OK") if goes_on => Verdict::Accepted,
        (Control::New, "UA") if is_off => Verdict::Refused,
        (Control::Cancel, "CR") if is_off => Verdict::Cancelled,
        (Control::Cancel, "UC") if goes_on => Verdict::NotCancelled,
        _ => Verdict::Unclear,
    }
}
