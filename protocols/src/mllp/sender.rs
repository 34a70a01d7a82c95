//! Our own messages: the queue, those under way, and what closes them.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;

use super::{
    Config, NOTE_ACCEPTED, NOTE_QUEUE_FULL, asks_for_reply,
    block::{frame, is_framable},
};
use crate::{
    hl7::header::peek,
    wire::{Mono, OutId, Outgoing, Output, SendFailure, SendOutcome, Timer},
};

/// Which reply is the last word about a message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closes {
    /// The first reply that names it, commit acknowledgements included.
    FirstReply,
    /// The first application reply; a positive commit acknowledgement (CA) only renews the wait.
    /// CE and CR close it, for no other reply will follow.
    ApplicationReply,
    /// As the message asks: an application reply if its MSH-16 is AL, else the first reply.
    AsAsked,
}

#[derive(Debug)]
pub(super) struct Sender {
    queue: VecDeque<Queued>,
    in_flight: Vec<InFlight>,
    in_flight_max: usize,
    queue_max: usize,
    block_bytes_max: usize,
    reply_timeout: Duration,
    closes: Closes,
    /// The time of the input being handled.
    now: Mono,
}

#[derive(Debug)]
struct Queued {
    id: OutId,
    payload: Bytes,
    control_id: Vec<u8>,
    waits_for_application: bool,
    asks_for_reply: bool,
    expires: Option<Mono>,
}

#[derive(Debug)]
struct InFlight {
    id: OutId,
    control_id: Vec<u8>,
    waits_for_application: bool,
    deadline: Mono,
}

fn finish(id: OutId, failure: SendFailure, out: &mut VecDeque<Output>) {
    out.push_back(Output::Finished(id, SendOutcome::Failed(failure)));
}

impl Sender {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            queue: VecDeque::new(),
            in_flight: Vec::new(),
            in_flight_max: config.in_flight_max.max(1),
            queue_max: config.queue_max,
            block_bytes_max: config.block_bytes_max,
            reply_timeout: config.reply_timeout,
            closes: config.closes,
            now: Mono::default(),
        }
    }

    pub(super) fn set_time(&mut self, now: Mono) {
        self.now = now;
    }

    pub(super) fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty()
    }

    pub(super) fn on_send(&mut self, id: OutId, outgoing: Outgoing, out: &mut VecDeque<Output>) {
        let Some(queued) = self.check(id, outgoing) else {
            return finish(id, SendFailure::Unsendable, out);
        };
        if self.queue.len() >= self.queue_max.max(1) {
            out.push_back(Output::Note(NOTE_QUEUE_FULL));
            return finish(id, SendFailure::Busy, out);
        }
        self.queue.push_back(queued);
    }

    fn check(&self, id: OutId, outgoing: Outgoing) -> Option<Queued> {
        let Outgoing {
            payload,
            expires_after,
            ..
        } = outgoing;
        if !is_framable(&payload) || payload.len() > self.block_bytes_max {
            return None;
        }
        let peeked = peek(&payload).filter(|peeked| !peeked.control_id.is_empty())?;
        let waits_for_application = match self.closes {
            Closes::FirstReply => false,
            Closes::ApplicationReply => true,
            Closes::AsAsked => peeked.application_ack == b"AL",
        };
        let asks_for_reply = asks_for_reply(&peeked);
        let control_id = peeked.control_id.to_vec();
        let expires = expires_after.map(|after| self.now.after(after));
        Some(Queued {
            id,
            payload,
            control_id,
            waits_for_application,
            asks_for_reply,
            expires,
        })
    }

    /// Puts on the wire what may go now. A control id that is already under way waits: its reply
    /// could not be told apart.
    pub(super) fn advance(&mut self, out: &mut VecDeque<Output>) {
        while self.in_flight.len() < self.in_flight_max {
            let is_under_way = |next: &Queued| {
                self.in_flight
                    .iter()
                    .any(|sent| sent.control_id == next.control_id)
            };
            if self.queue.front().is_none_or(is_under_way) {
                return;
            }
            let Some(next) = self.queue.pop_front() else {
                return;
            };
            out.push_back(Output::Transmit(frame(&next.payload)));
            if !next.asks_for_reply {
                out.push_back(Output::Finished(next.id, SendOutcome::Sent));
                continue;
            }
            self.in_flight.push(InFlight {
                id: next.id,
                control_id: next.control_id,
                waits_for_application: next.waits_for_application,
                deadline: self.now.after(self.reply_timeout),
            });
        }
    }

    /// Whether the reply belongs to a message of ours.
    pub(super) fn on_reply(
        &mut self,
        code: &[u8],
        control_id: &[u8],
        content: &Bytes,
        out: &mut VecDeque<Output>,
    ) -> bool {
        let found = self
            .in_flight
            .iter()
            .position(|sent| sent.control_id == control_id);
        let Some(index) = found else { return false };
        if let Some(sent) = self.in_flight.get_mut(index)
            && code == b"CA"
            && sent.waits_for_application
        {
            sent.deadline = self.now.after(self.reply_timeout);
            out.push_back(Output::Note(NOTE_ACCEPTED));
            return true;
        }
        let sent = self.in_flight.remove(index);
        out.push_back(Output::Finished(
            sent.id,
            SendOutcome::Answered(content.clone()),
        ));
        true
    }

    pub(super) fn on_withdraw(&mut self, id: OutId, out: &mut VecDeque<Output>) {
        if let Some(index) = self.queue.iter().position(|queued| queued.id == id) {
            self.queue.remove(index);
            finish(id, SendFailure::Withdrawn, out);
        }
    }

    pub(super) fn on_deadline(&mut self, out: &mut VecDeque<Output>) {
        let now = self.now;
        self.in_flight.retain(|sent| {
            let is_late = sent.deadline <= now;
            if is_late {
                finish(sent.id, SendFailure::TimedOut, out);
            }
            !is_late
        });
        self.queue.retain(|queued| {
            let is_expired = queued.expires.is_some_and(|at| at <= now);
            if is_expired {
                finish(queued.id, SendFailure::Expired, out);
            }
            !is_expired
        });
    }

    pub(super) fn on_line_lost(&mut self, out: &mut VecDeque<Output>) {
        let sent = self.in_flight.drain(..).map(|sent| sent.id);
        let queued = self.queue.drain(..).map(|queued| queued.id);
        for id in sent.chain(queued) {
            finish(id, SendFailure::LineLost, out);
        }
    }

    pub(super) fn deadline(&self) -> Option<(Mono, Timer)> {
        let replies = self
            .in_flight
            .iter()
            .map(|sent| (sent.deadline, Timer::Reply));
        let expiries = self
            .queue
            .iter()
            .filter_map(|queued| Some((queued.expires?, Timer::Expiry)));
        replies.chain(expiries).min()
    }
}
