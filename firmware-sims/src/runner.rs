//! Runs a protocol machine and a simulated device over any stream of bytes.
//!
//! The device is a value too ([`Device`]): it is told what happened and says what to do, so that a
//! test can drive it without a runner. The runner owns the order of things: one input to the
//! machine, then everything that came of it, then the wire.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use labwire_protocols::wire::{
    CloseReason, Commit, CommitId, Input, Machine, Mono, Note, OutId, Outgoing, Output,
    SendFailure, SendOutcome,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

use crate::{
    chance::Chance,
    clock::Clock,
    faults::{Faults, Step},
};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;
/// Bytes waiting to be written before a peer that does not read is cut off.
const UNWRITTEN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A simulated device, as a value: what happened goes in, what to do comes out.
pub trait Device: Send {
    /// The connection is there.
    fn on_open(&mut self, now: Mono, out: &mut Actions);
    /// The machine asks for something to be kept; answer it with [`Actions::answer`].
    fn on_commit(&mut self, now: Mono, id: CommitId, commit: Commit, out: &mut Actions);
    /// The last word about something sent.
    fn on_finished(&mut self, now: Mono, id: OutId, outcome: SendOutcome, out: &mut Actions);
    /// Its deadline has come, or somebody asked something of it.
    fn on_wake(&mut self, now: Mono, out: &mut Actions);
    /// The machine noticed something.
    fn on_note(&mut self, _note: Note) {}
    /// The connection is gone.
    fn on_close(&mut self, now: Mono);
    /// When to wake it.
    fn deadline(&self) -> Option<Mono>;
    /// Whether it has nothing more to do, so that the connection may end.
    fn is_done(&self) -> bool {
        false
    }
}

/// What a device wants done, in order.
#[derive(Debug, Default)]
pub struct Actions {
    queue: VecDeque<Action>,
}

/// One thing that a device wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Give the machine a message to send.
    Send(OutId, Outgoing),
    /// Answer a commit, after a while.
    Answer(CommitId, Verdict, Duration),
    /// Close the connection without a word.
    Close,
}

/// The answer to a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept; the bytes are the reply of an HL7 device.
    Kept(Option<Bytes>),
    /// It is not.
    Lost(Option<Bytes>),
}

impl Actions {
    /// Gives the machine a message to send.
    pub fn send(&mut self, id: OutId, outgoing: Outgoing) {
        self.queue.push_back(Action::Send(id, outgoing));
    }

    /// Answers a commit at once.
    pub fn answer(&mut self, id: CommitId, verdict: Verdict) {
        self.answer_after(id, verdict, Duration::ZERO);
    }

    /// Answers a commit after a while.
    pub fn answer_after(&mut self, id: CommitId, verdict: Verdict, after: Duration) {
        self.queue.push_back(Action::Answer(id, verdict, after));
    }

    /// Closes the connection without a word.
    pub fn close(&mut self) {
        self.queue.push_back(Action::Close);
    }

    /// The next thing to do.
    pub fn pop(&mut self) -> Option<Action> {
        self.queue.pop_front()
    }
}

/// How a simulated device keeps what it receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Every answer to a commit comes this much later.
    pub delay: Duration,
    /// So many of a thousand commits fail.
    pub fail: u16,
}

/// What stays the same over the connections of one line.
#[derive(Debug)]
pub struct Wire {
    /// The time.
    pub clock: Clock,
    /// What happens to bytes that leave.
    pub faults: Faults,
    /// How commits are answered.
    pub keeping: Keeping,
    /// Wakes the device when somebody asks something of it.
    pub wake: Arc<Notify>,
    /// Ends everything.
    pub cancel: CancellationToken,
    chance: Chance,
}

impl Wire {
    /// A wire without faults, whose commits succeed at once.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            faults: Faults::none(),
            keeping: Keeping::default(),
            wake: Arc::new(Notify::new()),
            cancel: CancellationToken::new(),
            chance: Chance::fork(0, "keeping"),
        }
    }

    /// The same with faults drawn from `seed`.
    #[must_use]
    pub fn with_faults(self, plan: crate::faults::FaultPlan, seed: u64) -> Self {
        Self {
            faults: Faults::new(plan, seed),
            chance: Chance::fork(seed, "keeping"),
            ..self
        }
    }
}

/// Why a session ended.
#[derive(Debug)]
pub enum End {
    /// It was asked to.
    Cancelled,
    /// The peer closed the connection.
    PeerClosed,
    /// The device, or a fault, closed it.
    Cut,
    /// The device has nothing more to do.
    Done,
    /// The machine gave up.
    Machine(CloseReason),
    /// The stream failed.
    Io(io::Error),
}

/// Runs `machine` and `device` over `stream` until one side ends it.
pub async fn session<S, M, D>(stream: S, machine: &mut M, device: &mut D, wire: &mut Wire) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
    M: Machine + ?Sized,
    D: Device + ?Sized,
{
    let mut session = Session {
        machine,
        device,
        wire,
        actions: Actions::default(),
        answers: Vec::new(),
        steps: VecDeque::new(),
        held_until: None,
        end: None,
    };
    session.open();
    let end = session.run(stream).await;
    session.close();
    end
}

struct Session<'a, M: ?Sized, D: ?Sized> {
    machine: &'a mut M,
    device: &'a mut D,
    wire: &'a mut Wire,
    actions: Actions,
    answers: Vec<(Mono, CommitId, Verdict)>,
    steps: VecDeque<Step>,
    held_until: Option<Mono>,
    end: Option<End>,
}

impl<M: Machine + ?Sized, D: Device + ?Sized> Session<'_, M, D> {
    fn open(&mut self) {
        let now = self.wire.clock.now();
        self.machine.handle(now, Input::Opened);
        self.settle();
        self.device.on_open(now, &mut self.actions);
        self.settle();
    }

    fn close(&mut self) {
        let now = self.wire.clock.now();
        self.machine.handle(now, Input::Closed);
        self.drain_closed(now);
        // The machine lives on: a commit that nobody answers would count against it for ever.
        for (_, id, verdict) in std::mem::take(&mut self.answers) {
            self.answer(now, id, verdict);
            self.drain_closed(now);
        }
        let mut unsent = Vec::new();
        while let Some(action) = self.actions.pop() {
            match action {
                Action::Answer(id, verdict, _) => {
                    let verdict = self.spoil(verdict);
                    self.answer(now, id, verdict);
                    self.drain_closed(now);
                }
                Action::Send(id, _) => unsent.push(id),
                Action::Close => {}
            }
        }
        self.device.on_close(now);
        // What it wanted to send after the last word about the message before has its last word too.
        for id in unsent {
            let outcome = SendOutcome::Failed(SendFailure::LineLost);
            self.device.on_finished(now, id, outcome, &mut self.actions);
        }
    }

    fn drain_closed(&mut self, now: Mono) {
        while let Some(output) = self.machine.poll() {
            match output {
                Output::Finished(id, outcome) => {
                    self.device.on_finished(now, id, outcome, &mut self.actions);
                }
                // What was received whole still counts, although nobody waits for the answer.
                Output::Commit(id, commit) => {
                    self.device.on_commit(now, id, commit, &mut self.actions);
                }
                Output::Note(note) => self.device.on_note(note),
                Output::Transmit(_) | Output::Close(_) => {}
            }
        }
    }

    async fn run<S: AsyncRead + AsyncWrite + Unpin>(&mut self, stream: S) -> End {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let mut buffer = vec![0; READ_BYTES];
        let cancel = self.wire.cancel.clone();
        let wake = Arc::clone(&self.wire.wake);
        loop {
            self.advance_steps();
            let is_idle = self.steps.is_empty() && self.answers.is_empty();
            if let Some(end) = self.end.take() {
                return end;
            }
            if is_idle && self.device.is_done() {
                return End::Done;
            }
            let wanted = self.machine.accepts().min(buffer.len());
            let at = self.deadline().map(|at| self.wire.clock.real_instant(at));
            let chunk = self.writable();
            let room = buffer.get_mut(..wanted).unwrap_or_default();
            tokio::select! {
                biased;
                () = cancel.cancelled() => return End::Cancelled,
                written = writer.write(chunk.as_deref().unwrap_or_default()), if chunk.is_some() => {
                    match written {
                        Ok(0) => return End::PeerClosed,
                        Ok(length) => self.on_written(length),
                        Err(error) => return End::Io(error),
                    }
                }
                read = reader.read(room), if wanted > 0 => match read {
                    Ok(0) => return End::PeerClosed,
                    Ok(length) => self.on_bytes(buffer.get(..length).unwrap_or_default()),
                    Err(error) => return End::Io(error),
                },
                () = wake.notified() => self.on_wake(),
                () = sleep_until(at), if at.is_some() => self.on_deadline(),
            }
        }
    }

    fn deadline(&self) -> Option<Mono> {
        let answer = self.answers.iter().map(|(at, ..)| *at).min();
        let machine = self.machine.deadline().map(|(at, _)| at);
        [answer, machine, self.device.deadline(), self.held_until]
            .into_iter()
            .flatten()
            .min()
    }

    fn on_deadline(&mut self) {
        let now = self.wire.clock.now();
        if self.held_until.is_some_and(|at| at <= now) {
            self.held_until = None;
        }
        while let Some(index) = self.answers.iter().position(|(at, ..)| *at <= now) {
            let (_, id, verdict) = self.answers.remove(index);
            self.answer(now, id, verdict);
            self.settle();
        }
        if self.machine.deadline().is_some_and(|(at, _)| at <= now) {
            self.machine.handle(now, Input::Deadline);
            self.settle();
        }
        if self.device.deadline().is_some_and(|at| at <= now) {
            self.on_wake();
        }
    }

    fn on_wake(&mut self) {
        let now = self.wire.clock.now();
        self.device.on_wake(now, &mut self.actions);
        self.settle();
    }

    fn on_bytes(&mut self, bytes: &[u8]) {
        let now = self.wire.clock.now();
        self.machine.handle(now, Input::Bytes(bytes));
        self.settle();
    }

    /// Does what the machine and the device want, until both wait.
    fn settle(&mut self) {
        loop {
            while let Some(output) = self.machine.poll() {
                self.on_output(output);
            }
            let Some(action) = self.actions.pop() else {
                return;
            };
            self.act(action);
        }
    }

    fn on_output(&mut self, output: Output) {
        let now = self.wire.clock.now();
        match output {
            Output::Transmit(bytes) => self.steps.extend(self.wire.faults.pass(bytes)),
            Output::Commit(id, commit) => {
                self.device.on_commit(now, id, commit, &mut self.actions);
            }
            Output::Note(note) => self.device.on_note(note),
            Output::Finished(id, outcome) => {
                self.device.on_finished(now, id, outcome, &mut self.actions);
            }
            Output::Close(reason) => self.end = Some(End::Machine(reason)),
        }
    }

    fn act(&mut self, action: Action) {
        let now = self.wire.clock.now();
        match action {
            Action::Send(id, outgoing) => self.machine.handle(now, Input::Send(id, outgoing)),
            Action::Answer(id, verdict, after) => {
                let verdict = self.spoil(verdict);
                let after = after.saturating_add(self.wire.keeping.delay);
                if after.is_zero() {
                    self.answer(now, id, verdict);
                } else {
                    self.answers.push((now.after(after), id, verdict));
                }
            }
            Action::Close => self.end = Some(End::Cut),
        }
    }

    fn spoil(&mut self, verdict: Verdict) -> Verdict {
        match verdict {
            Verdict::Kept(_) if self.wire.chance.happens(self.wire.keeping.fail) => {
                Verdict::Lost(None)
            }
            kept_or_lost @ (Verdict::Kept(_) | Verdict::Lost(_)) => kept_or_lost,
        }
    }

    /// One change of the machine; the caller settles what comes of it.
    fn answer(&mut self, now: Mono, id: CommitId, verdict: Verdict) {
        match verdict {
            Verdict::Kept(reply) => self.machine.handle(now, Input::Committed(id, reply)),
            Verdict::Lost(reply) => self.machine.handle(now, Input::CommitFailed(id, reply)),
        }
    }

    /// Deals with everything on the way out that is no writing.
    fn advance_steps(&mut self) {
        while self.held_until.is_none() {
            match self.steps.front() {
                Some(Step::Write(bytes)) if bytes.is_empty() => {
                    self.steps.pop_front();
                }
                Some(Step::Wait(time)) => {
                    self.held_until = Some(self.wire.clock.now().after(*time));
                    self.steps.pop_front();
                }
                Some(Step::Cut) => {
                    self.steps.clear();
                    self.end = Some(End::Cut);
                    return;
                }
                Some(Step::Write(_)) | None => break,
            }
        }
        let unwritten: usize = self.steps.iter().map(step_bytes).sum();
        if unwritten > UNWRITTEN_BYTES_MAX {
            self.end = Some(End::Machine(CloseReason::TransmitOverflow));
        }
    }

    fn writable(&self) -> Option<Bytes> {
        match (self.held_until, self.steps.front()) {
            (None, Some(Step::Write(bytes))) => Some(bytes.clone()),
            _ => None,
        }
    }

    fn on_written(&mut self, length: usize) {
        if let Some(Step::Write(bytes)) = self.steps.front_mut() {
            bytes.advance(length.min(bytes.len()));
        }
    }
}

fn step_bytes(step: &Step) -> usize {
    match step {
        Step::Write(bytes) => bytes.len(),
        Step::Wait(_) | Step::Cut => 0,
    }
}

/// Sleeps until `at`; without one the caller's guard keeps this branch off.
async fn sleep_until(at: Option<tokio::time::Instant>) {
    if let Some(at) = at {
        tokio::time::sleep_until(at).await;
    }
}
