//! The session loop: one protocol machine over one connection.
//!
//! The loop keeps the polling order of [`labwire_protocols::wire`]: change the machine once, act on
//! everything that comes out, then wait. While it waits it waits for everything at once: orders
//! from the line, commits, bytes to write, bytes to read, commands, the time. It never waits for a
//! commit before it reads, unless the machine accepts no bytes; it never waits for the peer to read.

use std::{
    collections::HashSet,
    future::poll_fn,
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture, stream::FuturesUnordered};
use labwire_protocols::wire::{
    CloseReason, Commit, CommitId, Input, Machine, Mono, OutId, Outgoing, Output, Received,
    SendFailure, SendOutcome,
};
use tokio::{
    io::ReadBuf,
    sync::mpsc,
    time::{Instant, Sleep},
};
use tokio_util::task::TaskTracker;

use crate::{
    capture::Direction,
    config::LineConfig,
    crash,
    event::{CommitResult, Connection, LineEvent, LostReason},
    port::Port,
    queue::TransmitQueue,
    report::{Carried, Report},
};

/// What the owner of the line asks of the machine.
#[derive(Debug)]
pub(crate) enum Command {
    Send(OutId, Outgoing),
    Withdraw(OutId),
}

/// What the line tells a session.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// A newer connection takes over: end now.
    Replaced,
    /// Finish what was begun, then end.
    Stop,
}

/// The messages given to a connection that have not had their last word. Whoever takes an id out
/// says the last word, so that there is exactly one, even after a panic.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outstanding(Arc<Mutex<HashSet<OutId>>>);

impl Outstanding {
    fn with<T>(&self, f: impl FnOnce(&mut HashSet<OutId>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn insert(&self, id: OutId) {
        self.with(|ids| ids.insert(id));
    }

    pub(crate) fn contains(&self, id: OutId) -> bool {
        self.with(|ids| ids.contains(&id))
    }

    fn is_empty(&self) -> bool {
        self.with(|ids| ids.is_empty())
    }

    /// Says the last word about one message, unless it was said.
    pub(crate) fn finish(&self, report: &Report, id: OutId, outcome: SendOutcome) {
        if self.with(|ids| ids.remove(&id)) {
            report.emit(LineEvent::Finished(id, outcome));
        }
    }

    /// Says the last word about all that is left.
    pub(crate) fn lose(&self, report: &Report) {
        let mut ids: Vec<_> = self.with(|ids| ids.drain().collect());
        ids.sort_unstable();
        for id in ids {
            report.emit(LineEvent::Finished(
                id,
                SendOutcome::Failed(SendFailure::LineLost),
            ));
        }
    }
}

/// What a session gets from its line.
#[derive(Debug)]
pub(crate) struct SessionContext {
    pub(crate) config: Arc<LineConfig>,
    pub(crate) report: Arc<Report>,
    pub(crate) connection: Connection,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) orders: mpsc::UnboundedReceiver<Order>,
    pub(crate) outstanding: Outstanding,
    /// Where commits go on whose connection is lost.
    pub(crate) orphans: TaskTracker,
}

/// How a session went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) why: LostReason,
    /// Whether the peer sent anything: only then was it a connection worth the name.
    pub(crate) has_heard: bool,
}

/// Runs `machine` over `port` until either ends.
pub(crate) async fn run<P: Port>(
    port: P,
    machine: Box<dyn Machine>,
    line: SessionContext,
) -> Ended {
    let mut session = Session::new(port, machine, line);
    session.handle(Input::Opened);
    let why = loop {
        if let Some(why) = session.end_reached() {
            break why;
        }
        session.set_timer();
        let wake = poll_fn(|cx| session.poll_wake(cx)).await;
        session.tick();
        if let Some(why) = session.on_wake(wake) {
            break why;
        }
    };
    session.close(why).await
}

/// Why the loop woke.
enum Wake {
    /// `None`: the line itself is gone.
    Order(Option<Order>),
    Commit(Done),
    Written(io::Result<usize>),
    Read(io::Result<usize>),
    Command(Command),
    Timer,
}

/// An end that is near: nothing new is begun.
#[derive(Clone, Copy, Debug)]
struct Ending {
    after: After,
    /// No later than this.
    until: Mono,
    why: LostReason,
}

/// What an end waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    /// The machine wants the port closed: the bytes it gave before that are written.
    Flushed,
    /// The peer has ended its side: it is told what becomes of what it sent.
    Answered,
    /// The line is stopped: no transfer is under way.
    Quiet,
}

struct Session<P> {
    port: P,
    machine: Box<dyn Machine>,
    line: SessionContext,
    transmit: TransmitQueue,
    commits: FuturesUnordered<CommitTask>,
    sleep: Pin<Box<Sleep>>,
    /// The time for which `sleep` is set.
    armed_for: Option<Mono>,
    buffer: Box<[u8]>,
    now: Mono,
    /// When the last byte came, or the machine last refused bytes: silence counts from here.
    heard: Mono,
    has_heard: bool,
    /// When the last byte went, or the first one began to wait.
    progressed: Mono,
    ending: Option<Ending>,
    /// The machine was told that the port is gone.
    is_closed: bool,
    /// The last wake was a read: everything else goes first, so that a flood starves nothing.
    was_read: bool,
    orders_open: bool,
    commands_open: bool,
}

/// One read takes no more. Five messages of 3 kB, and 32 idle lines cost 512 kB.
const READ_BYTES_MAX: usize = 16 * 1024;

impl<P: Port> Session<P> {
    fn new(port: P, machine: Box<dyn Machine>, line: SessionContext) -> Self {
        let now = line.report.clock.mono();
        Self {
            port,
            machine,
            line,
            transmit: TransmitQueue::default(),
            commits: FuturesUnordered::new(),
            sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            armed_for: None,
            buffer: vec![0; READ_BYTES_MAX].into_boxed_slice(),
            now,
            heard: now,
            has_heard: false,
            progressed: now,
            ending: None,
            is_closed: false,
            was_read: false,
            orders_open: true,
            commands_open: true,
        }
    }

    fn tick(&mut self) {
        self.now = self.now.max(self.line.report.clock.mono());
    }

    // ---- waiting ----

    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if self.orders_open
            && let Poll::Ready(order) = self.line.orders.poll_recv(cx)
        {
            return Poll::Ready(Wake::Order(order));
        }
        if let Poll::Ready(Some(done)) = self.commits.poll_next_unpin(cx) {
            return Poll::Ready(Wake::Commit(done));
        }
        if !self.transmit.is_empty()
            && let Poll::Ready(result) = self.transmit.poll_write(&mut self.port, cx)
        {
            return Poll::Ready(Wake::Written(result));
        }
        // Bytes that are here already go before the time, which may have come while we were busy.
        if !self.was_read
            && let Poll::Ready(result) = self.poll_read(cx)
        {
            return Poll::Ready(Wake::Read(result));
        }
        if self.commands_open
            && let Poll::Ready(command) = self.line.commands.poll_recv(cx)
        {
            match command {
                Some(command) => return Poll::Ready(Wake::Command(command)),
                None => self.commands_open = false,
            }
        }
        if self.armed_for.is_some() && self.sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Wake::Timer);
        }
        // Everything else has had its turn.
        if std::mem::take(&mut self.was_read) {
            return self.poll_read(cx).map(Wake::Read);
        }
        Poll::Pending
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let wanted = self.bytes_wanted();
        if wanted == 0 {
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(&mut self.buffer[..wanted]);
        ready!(Pin::new(&mut self.port).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn bytes_wanted(&self) -> usize {
        let reads = self
            .ending
            .is_none_or(|ending| ending.after == After::Quiet);
        if reads {
            self.machine.accepts().min(self.buffer.len())
        } else {
            0
        }
    }

    /// The next time at which something must happen, whatever the peer does.
    fn next_time(&self) -> Option<Mono> {
        let machine = self.machine.deadline().map(|(at, _)| at);
        let ending = self.ending.map(|ending| ending.until);
        [machine, ending, self.silent_at(), self.stalled_at()]
            .into_iter()
            .flatten()
            .min()
    }

    fn silent_at(&self) -> Option<Mono> {
        let listens = self.bytes_wanted() > 0;
        self.line
            .config
            .idle_timeout
            .filter(|_| listens)
            .map(|limit| self.heard.after(limit))
    }

    fn stalled_at(&self) -> Option<Mono> {
        let waits = !self.transmit.is_empty();
        waits.then(|| self.progressed.after(self.line.config.write_timeout))
    }

    fn set_timer(&mut self) {
        let next = self.next_time();
        if next == self.armed_for {
            return;
        }
        self.armed_for = next;
        if let Some(at) = next {
            let wait = at.since(self.now).min(TIMER_MAX);
            self.sleep.as_mut().reset(Instant::now() + wait);
        }
    }

    // ---- acting ----

    fn on_wake(&mut self, wake: Wake) -> Option<LostReason> {
        match wake {
            Wake::Order(order) => return self.on_order(order),
            Wake::Commit(done) => self.on_commit(done),
            Wake::Written(result) => return self.on_written(result),
            Wake::Read(result) => return self.on_read(result),
            Wake::Command(command) => self.on_command(command),
            Wake::Timer => return self.on_timer(),
        }
        None
    }

    fn on_order(&mut self, order: Option<Order>) -> Option<LostReason> {
        match order {
            Some(Order::Replaced) => return Some(LostReason::Replaced),
            Some(Order::Stop) => {}
            None => self.orders_open = false,
        }
        if self.ending.is_none() {
            self.end_after(
                After::Quiet,
                self.line.config.stop_timeout,
                LostReason::Stopped,
            );
        }
        None
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Send(id, _) if self.ending.is_some() => {
                let outcome = SendOutcome::Failed(SendFailure::LineLost);
                self.line.outstanding.finish(&self.line.report, id, outcome);
            }
            Command::Send(id, outgoing) => self.handle(Input::Send(id, outgoing)),
            Command::Withdraw(id) => self.handle(Input::Withdraw(id)),
        }
    }

    fn on_read(&mut self, result: io::Result<usize>) -> Option<LostReason> {
        self.was_read = true;
        match result {
            Ok(0) => return self.on_end_of_stream(),
            Ok(count) => self.on_bytes(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Some(LostReason::of_io(&error)),
        }
        None
    }

    fn on_bytes(&mut self, count: usize) {
        self.heard = self.now;
        self.has_heard = true;
        crash::point_at("read", &self.line.config.id);
        let bytes = &self.buffer[..count];
        self.line.report.read(self.line.connection.number, bytes);
        self.machine.handle(self.now, Input::Bytes(bytes));
        self.drain();
    }

    /// A peer that sends one message and ends its side may still wait for the reply.
    fn on_end_of_stream(&mut self) -> Option<LostReason> {
        let owes = !self.commits.is_empty() || !self.transmit.is_empty();
        if !(P::HALF_CLOSES && owes) {
            return Some(LostReason::PeerClosed);
        }
        self.end_after(
            After::Answered,
            self.line.config.linger_timeout,
            LostReason::PeerClosed,
        );
        None
    }

    fn on_written(&mut self, result: io::Result<usize>) -> Option<LostReason> {
        let count = match result {
            Ok(0) => return Some(LostReason::Broken(io::ErrorKind::WriteZero)),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return None,
            Err(error) => return Some(LostReason::of_io(&error)),
        };
        crash::point_at("written", &self.line.config.id);
        self.progressed = self.now;
        let (report, connection) = (&self.line.report, self.line.connection.number);
        self.transmit
            .advance(count, |part| report.keep(connection, Direction::Out, part));
        report.emit(LineEvent::Written {
            connection,
            bytes: count,
        });
        None
    }

    fn on_commit(&mut self, done: Done) {
        let Done {
            id,
            carried,
            result,
        } = done;
        self.line.report.committed(carried, result.is_ok());
        let waiting = self.transmit.bytes();
        let is_durable = result.is_ok();
        if is_durable {
            crash::point_at("kept", &self.line.config.id);
        }
        match result {
            Ok(reply) => self.handle(Input::Committed(id, reply)),
            Err(failure) => self.handle(Input::CommitFailed(id, failure.reply)),
        }
        if is_durable && self.transmit.bytes() > waiting {
            self.line.report.acknowledged();
        }
    }

    fn on_timer(&mut self) -> Option<LostReason> {
        self.armed_for = None;
        let has_come = |at: Option<Mono>| at.is_some_and(|at| at <= self.now);
        if has_come(self.stalled_at()) {
            return Some(LostReason::WriteStalled);
        }
        if has_come(self.silent_at()) {
            return Some(LostReason::Silent);
        }
        if has_come(self.machine.deadline().map(|(at, _)| at)) {
            self.handle(Input::Deadline);
        }
        None
    }

    // ---- the machine ----

    fn handle(&mut self, input: Input<'_>) {
        self.machine.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.machine.poll() {
            self.act(output);
        }
        if self.machine.accepts() == 0 {
            self.heard = self.now;
        }
        self.line
            .report
            .machine_state(self.line.connection.number, self.machine.state());
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Transmit(bytes) => self.transmit(bytes),
            Output::Commit(id, commit) => self.commit(id, commit),
            Output::Note(note) => {
                let connection = self.line.connection.number;
                self.line.report.emit(LineEvent::Note { connection, note });
            }
            Output::Finished(id, outcome) => {
                self.line.outstanding.finish(&self.line.report, id, outcome);
            }
            Output::Close(reason) => {
                let limit = self.line.config.write_timeout;
                self.end_after(After::Flushed, limit, LostReason::Machine(reason));
            }
        }
    }

    fn transmit(&mut self, bytes: Bytes) {
        if self.is_closed {
            return;
        }
        if self.transmit.is_empty() {
            self.progressed = self.now;
        }
        self.transmit.push(bytes);
        if self.transmit.bytes() > self.line.config.transmit_buffer_max {
            self.transmit.clear();
            let why = LostReason::Machine(CloseReason::TransmitOverflow);
            self.end_after(After::Flushed, Duration::ZERO, why);
        }
    }

    fn commit(&mut self, id: CommitId, commit: Commit) {
        let carried = carried(&commit);
        let future = self
            .line
            .report
            .upstream
            .commit(&self.line.connection, id, commit);
        self.commits.push(CommitTask {
            id,
            carried,
            future,
        });
    }

    // ---- the end ----

    fn end_after(&mut self, after: After, limit: Duration, why: LostReason) {
        self.ending = Some(Ending {
            after,
            until: self.now.after(limit),
            why,
        });
    }

    fn end_reached(&self) -> Option<LostReason> {
        let ending = self.ending?;
        let is_flushed = self.transmit.is_empty();
        let is_answered = is_flushed && self.commits.is_empty();
        let is_reached = match ending.after {
            After::Flushed => is_flushed,
            After::Answered => is_answered,
            // A machine with a timer running is in the middle of something.
            After::Quiet => {
                is_answered && self.line.outstanding.is_empty() && self.machine.deadline().is_none()
            }
        };
        (is_reached || ending.until <= self.now).then_some(ending.why)
    }

    /// Tells the machine, passes on what it still wants durable, and leaves the commits under way to
    /// the line.
    async fn close(mut self, why: LostReason) -> Ended {
        let is_orderly = self.ending.is_some() && self.transmit.is_empty();
        self.is_closed = true;
        self.transmit.clear();
        self.handle(Input::Closed);
        let report = &self.line.report;
        self.line.outstanding.lose(report);
        if !self.commits.is_empty() {
            self.line
                .orphans
                .spawn(run_to_end(self.commits, Arc::clone(report)));
        }
        report.emit(LineEvent::Lost {
            connection: self.line.connection.number,
            why,
        });
        self.port.close(is_orderly).await;
        Ended {
            why,
            has_heard: self.has_heard,
        }
    }
}

/// A year, which tokio's timers can hold; a later time is looked at again then.
const TIMER_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// The machine is gone and nobody is answered any more, but what was asked for is made durable.
async fn run_to_end(mut commits: FuturesUnordered<CommitTask>, report: Arc<Report>) {
    while let Some(done) = commits.next().await {
        report.committed(done.carried, done.result.is_ok());
    }
}

fn carried(commit: &Commit) -> Carried {
    let messages: &[Received] = match commit {
        Commit::Frame { messages, .. } => messages,
        Commit::Message(message) => std::slice::from_ref(message),
    };
    let mut carried = Carried::default();
    for message in messages {
        let count = if message.is_complete {
            &mut carried.whole
        } else {
            &mut carried.incomplete
        };
        *count += 1;
    }
    carried
}

/// A commit under way.
struct CommitTask {
    id: CommitId,
    carried: Carried,
    future: BoxFuture<'static, CommitResult>,
}

/// A commit that ended.
struct Done {
    id: CommitId,
    carried: Carried,
    result: CommitResult,
}

impl Future for CommitTask {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        let result = ready!(self.future.as_mut().poll(cx));
        Poll::Ready(Done {
            id: self.id,
            carried: self.carried,
            result,
        })
    }
}
