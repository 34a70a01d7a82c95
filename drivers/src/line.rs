//! A line: keeps the port open, starts a session for every connection, and answers its owner.

use std::{
    collections::{BTreeMap, HashMap},
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use labwire_protocols::wire::{Machine, Note, OutId, Outgoing, SendFailure, SendOutcome};
use thiserror::Error;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{Id, JoinError, JoinSet},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, info_span};

use crate::{
    capture::CaptureEntry,
    clock::Clock,
    config::{Concurrency, LineConfig},
    error::PortError,
    event::{Connection, LineEvent, LostReason, Peer, RefusedReason, Upstream},
    given::{GivenPort, Ports},
    port::{self, NOWHERE, OpenPort, Opened},
    report::Report,
    session::{self, Command, Ended, Order, Outstanding, SessionContext},
    shaking::Shaking,
    status::LineStatus,
    tcp,
    tls::{TlsFault, TlsPort},
};

/// Makes a fresh machine for every connection of a line.
pub type MachineFactory = Arc<dyn Fn() -> Box<dyn Machine> + Send + Sync>;

/// Starts a line on the current tokio runtime. It runs until [`LineHandle::stop`], or until the
/// last handle is dropped.
pub fn spawn_line(
    config: LineConfig,
    upstream: Arc<dyn Upstream>,
    clock: Arc<dyn Clock>,
    machines: MachineFactory,
) -> LineHandle {
    let report = Arc::new(Report::new(&config, upstream, clock));
    let (commands_in, commands) = mpsc::channel(config.commands_max.max(1));
    let (stop, stopped) = (CancellationToken::new(), CancellationToken::new());
    let handle = LineHandle {
        report: Arc::clone(&report),
        commands: commands_in,
        stop: stop.clone(),
        stopped: stopped.clone(),
    };
    let span = info_span!("line", line = %config.id);
    let line = Line::new(config, report, machines, commands, stop);
    let task = async move {
        let _when_dropped = stopped.drop_guard();
        line.run().await;
    };
    drop(tokio::spawn(task.instrument(span)));
    handle
}

/// The owner's side of a line. Clones are the same line.
#[derive(Clone)]
pub struct LineHandle {
    report: Arc<Report>,
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    stopped: CancellationToken,
}

impl fmt::Debug for LineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LineHandle")
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

/// The line was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the line was stopped")]
pub struct LineGone;

/// Why [`LineHandle::try_send`] did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TrySendError {
    /// As many commands wait as may.
    #[error("the line has as many commands waiting as it may have")]
    Full,
    /// The line was stopped.
    #[error("the line was stopped")]
    Gone,
}

impl LineHandle {
    /// Gives the machine a message to send. `LineEvent::Finished` has the last word about it, and
    /// comes exactly once for every `Ok`. With no device connected that is at once, with
    /// `SendFailure::LineLost`: nothing waits in the line, the owner's queue does.
    ///
    /// # Errors
    /// The line was stopped; there will be no event.
    pub async fn send(&self, id: OutId, outgoing: Outgoing) -> Result<(), LineGone> {
        self.commands
            .send(Command::Send(id, outgoing))
            .await
            .map_err(|_| LineGone)
    }

    /// As [`Self::send`], but never waits.
    ///
    /// # Errors
    /// The line was stopped, or is busy; there will be no event.
    pub fn try_send(&self, id: OutId, outgoing: Outgoing) -> Result<(), TrySendError> {
        self.commands
            .try_send(Command::Send(id, outgoing))
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => TrySendError::Full,
                mpsc::error::TrySendError::Closed(_) => TrySendError::Gone,
            })
    }

    /// Asks the machine to forget a message. Its last word still comes by event.
    ///
    /// # Errors
    /// The line was stopped.
    pub async fn withdraw(&self, id: OutId) -> Result<(), LineGone> {
        self.commands
            .send(Command::Withdraw(id))
            .await
            .map_err(|_| LineGone)
    }

    /// What is known about the line now.
    pub fn status(&self) -> LineStatus {
        self.report.status()
    }

    /// The last bytes of the line, both ways, oldest first. They hold patient data.
    pub fn capture(&self) -> Vec<CaptureEntry> {
        self.report.capture()
    }

    /// The address at which the line listens, as soon as it does; `None` if it was stopped before.
    /// Waits for ever on a line that does not listen.
    pub async fn local_addr(&self) -> Option<SocketAddr> {
        let mut address = self.report.local_addr();
        tokio::select! {
            bound = address.wait_for(Option::is_some) => bound.ok().and_then(|bound| *bound),
            () = self.stopped.cancelled() => None,
        }
    }

    /// Stops the line: nothing new is begun, what was begun is finished, for no longer than
    /// `LineConfig::stop_timeout` (and as long again for commits under way). Returns when it has
    /// stopped. Messages not begun go with `SendFailure::LineLost` unless they were withdrawn.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.stopped.cancelled().await;
    }
}

/// A session, as its line sees it.
struct Live {
    commands: mpsc::Sender<Command>,
    orders: mpsc::UnboundedSender<Order>,
    outstanding: Outstanding,
    is_replaced: bool,
}

/// A command on its way to a session whose channel is full.
struct Held {
    command: Command,
    to: u64,
    room: mpsc::Sender<Command>,
}

/// What the port of the line came to.
enum Step {
    Opened(Opened),
    NotOpened(PortError),
    Accepted(TcpListener, io::Result<(TcpStream, SocketAddr)>),
    Given(Arc<dyn Ports>, GivenPort),
}

struct Line {
    config: Arc<LineConfig>,
    report: Arc<Report>,
    machines: MachineFactory,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
    /// Opens the port, or accepts the next connection; `None` while a dialled connection is open.
    step: Option<BoxFuture<'static, Step>>,
    /// Handshakes of devices that connected over TLS.
    shaking: Shaking,
    sessions: JoinSet<Ended>,
    numbers: HashMap<Id, u64>,
    live: BTreeMap<u64, Live>,
    held: Option<Held>,
    orphans: TaskTracker,
    /// Failures to get a connection worth the name, in a row.
    failures: u32,
    connections: u64,
}

impl Line {
    fn new(
        config: LineConfig,
        report: Arc<Report>,
        machines: MachineFactory,
        commands: mpsc::Receiver<Command>,
        stop: CancellationToken,
    ) -> Self {
        let orphans = TaskTracker::new();
        orphans.close();
        Self {
            config: Arc::new(config),
            report,
            machines,
            commands,
            stop,
            step: None,
            shaking: Shaking::default(),
            sessions: JoinSet::new(),
            numbers: HashMap::new(),
            live: BTreeMap::new(),
            held: None,
            orphans,
            failures: 0,
            connections: 0,
        }
    }

    async fn run(mut self) {
        self.open_after(Duration::ZERO);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                Some(ended) = self.sessions.join_next_with_id() => self.on_session_end(ended),
                () = has_room(self.held.as_ref()) => self.pass_on_held(),
                command = self.commands.recv(), if self.held.is_none() => match command {
                    Some(command) => self.on_command(command),
                    None => break,
                },
                Some((peer, shaken)) = self.shaking.next() => self.on_shaken(peer, shaken),
                step = next(&mut self.step) => self.on_step(step),
            }
        }
        self.shut_down().await;
    }

    // ---- the port ----

    fn open_after(&mut self, wait: Duration) {
        let (config, report) = (Arc::clone(&self.config), Arc::clone(&self.report));
        let (orphans, attempt) = (self.orphans.clone(), self.failures.saturating_add(1));
        if !wait.is_zero() {
            report.emit(LineEvent::Retry { after: wait });
        }
        self.step = Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            while orphans.len() >= config.orphans_max {
                tokio::time::sleep(config.backoff.max).await;
            }
            report.emit(LineEvent::Opening { attempt });
            match port::open(&config).await {
                Ok(opened) => Step::Opened(opened),
                Err(error) => Step::NotOpened(error),
            }
        }));
    }

    fn accept_after(&mut self, wait: Duration, listener: TcpListener) {
        self.step = Some(Box::pin(async move {
            tokio::time::sleep(wait).await;
            let accepted = listener.accept().await;
            Step::Accepted(listener, accepted)
        }));
    }

    fn accept_given(&mut self, ports: Arc<dyn Ports>) {
        let next = ports.next(&self.config.id);
        self.step = Some(Box::pin(async move { Step::Given(ports, next.await) }));
    }

    fn on_step(&mut self, step: Step) {
        self.step = None;
        match step {
            Step::Opened(Opened::Listener(listener, local)) => {
                self.failures = 0;
                self.report.emit(LineEvent::Listening(local));
                self.accept_after(Duration::ZERO, listener);
            }
            Step::Opened(Opened::Port(port, peer, notes)) => self.connect(port, peer, notes),
            Step::Opened(Opened::Given(ports)) => {
                self.failures = 0;
                self.accept_given(ports);
            }
            Step::Given(ports, port) => {
                self.connect(OpenPort::Given(port), NOWHERE, Vec::new());
                self.accept_given(ports);
            }
            Step::NotOpened(error) => self.on_open_failure(error),
            Step::Accepted(listener, Ok((stream, peer))) => {
                self.on_accepted(stream, peer);
                self.accept_after(Duration::ZERO, listener);
            }
            Step::Accepted(listener, Err(source)) => {
                let at = self.config.endpoint.to_string();
                let error = PortError::CannotAccept { at, source };
                self.report.emit(LineEvent::Unavailable(Arc::new(error)));
                self.accept_after(self.config.backoff.after(1), listener);
            }
        }
    }

    fn on_open_failure(&mut self, error: PortError) {
        self.failures = self.failures.saturating_add(1);
        self.report.emit(LineEvent::Unavailable(Arc::new(error)));
        self.open_after(self.config.backoff.after(self.failures));
    }

    fn on_accepted(&mut self, stream: TcpStream, peer: SocketAddr) {
        if let Some(why) = self.refusal(peer) {
            self.report.emit(LineEvent::Refused { peer, why });
            return;
        }
        tcp::set_options(&stream, self.config.keepalive);
        match (&self.config.endpoint.tls_side(), &self.config.tls) {
            (None, _) => self.connect(OpenPort::Tcp(stream), Peer::Tcp(peer), Vec::new()),
            (Some(_), Some(tls)) => {
                let limit = self.config.handshake_timeout;
                let tls = Arc::clone(tls);
                self.shaking.begin(peer, stream, tls, limit);
            }
            (Some(_), None) => self.on_shaken(peer, Err(TlsFault::NotReady)),
        }
    }

    /// The older connection goes when the new one has shown who it is, and not before.
    fn on_shaken(&mut self, peer: SocketAddr, shaken: Result<TlsPort, TlsFault>) {
        let refused = match shaken {
            Ok(port) => match self.refusal(peer) {
                None => {
                    let port = OpenPort::Tls(Box::new(port));
                    return self.connect(port, Peer::Tcp(peer), Vec::new());
                }
                Some(why) => why,
            },
            Err(fault) => RefusedReason::Tls(fault),
        };
        self.report.emit(LineEvent::Refused { peer, why: refused });
    }

    fn refusal(&self, peer: SocketAddr) -> Option<RefusedReason> {
        let allowed = &self.config.peers_allowed;
        if !allowed.is_empty() && !allowed.iter().any(|one| one.contains(peer.ip())) {
            return Some(RefusedReason::NotAllowed);
        }
        if self.orphans.len() >= self.config.orphans_max {
            return Some(RefusedReason::StoreBehind);
        }
        match self.config.concurrency {
            Concurrency::Many(max) if self.live.len() >= max => Some(RefusedReason::TooMany),
            Concurrency::Many(_) | Concurrency::NewestWins => None,
        }
    }

    // ---- connections ----

    fn connect(&mut self, port: OpenPort, peer: Peer, notes: Vec<Note>) {
        self.connections += 1;
        let number = self.connections;
        if self.config.concurrency == Concurrency::NewestWins {
            self.replace_all_by(number);
        }
        let opened_utc_micros = self.report.clock.utc_micros();
        let connection = Connection {
            number,
            peer,
            opened_utc_micros,
        };
        self.report.emit(LineEvent::Connected(connection.clone()));
        for note in notes {
            self.report.emit(LineEvent::Note {
                connection: number,
                note,
            });
        }
        let (live, context) = self.session_parts(connection);
        self.live.insert(number, live);
        let machines = Arc::clone(&self.machines);
        let task = async move {
            // Made in here, so that a panic ends this connection and not the line.
            let machine = machines();
            match port {
                OpenPort::Tcp(port) => session::run(port, machine, context).await,
                OpenPort::Tls(port) => session::run(*port, machine, context).await,
                OpenPort::Serial(port) => session::run(port, machine, context).await,
                OpenPort::Given(port) => session::run(port, machine, context).await,
            }
        };
        let id = self.sessions.spawn(task.in_current_span()).id();
        self.numbers.insert(id, number);
    }

    fn session_parts(&self, connection: Connection) -> (Live, SessionContext) {
        let (commands, session_commands) = mpsc::channel(SESSION_COMMANDS_MAX);
        let (orders, session_orders) = mpsc::unbounded_channel();
        let outstanding = Outstanding::default();
        let context = SessionContext {
            config: Arc::clone(&self.config),
            report: Arc::clone(&self.report),
            connection,
            commands: session_commands,
            orders: session_orders,
            outstanding: outstanding.clone(),
            orphans: self.orphans.clone(),
        };
        (
            Live {
                commands,
                orders,
                outstanding,
                is_replaced: false,
            },
            context,
        )
    }

    fn replace_all_by(&mut self, new: u64) {
        for (&old, live) in self.live.iter_mut().filter(|(_, live)| !live.is_replaced) {
            live.is_replaced = true;
            // A session that has just ended needs no order.
            if live.orders.send(Order::Replaced).is_ok() {
                self.report.emit(LineEvent::Replaced { old, new });
            }
        }
    }

    fn on_session_end(&mut self, ended: Result<(Id, Ended), JoinError>) {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, Some(ended)),
            Err(error) => (error.id(), None),
        };
        let Some(number) = self.numbers.remove(&id) else {
            return;
        };
        if let Some(live) = self.live.remove(&number) {
            live.outstanding.lose(&self.report);
        }
        if ended.is_none() {
            let why = LostReason::Panicked;
            self.report.emit(LineEvent::Lost {
                connection: number,
                why,
            });
        }
        if self.step.is_none() && !self.stop.is_cancelled() {
            let was_good = ended.is_some_and(|ended| ended.has_heard);
            self.failures = if was_good {
                1
            } else {
                self.failures.saturating_add(1)
            };
            self.open_after(self.config.backoff.after(self.failures));
        }
    }

    // ---- commands ----

    fn on_command(&mut self, command: Command) {
        let to = match &command {
            // The newest connection is the one most likely to be alive.
            Command::Send(..) => self.live.last_key_value(),
            Command::Withdraw(id) => self.live.iter().find(|(_, l)| l.outstanding.contains(*id)),
        };
        match (to, command) {
            (Some((&to, live)), command) => {
                if let Command::Send(id, _) = &command {
                    live.outstanding.insert(*id);
                }
                self.held = Some(Held {
                    command,
                    to,
                    room: live.commands.clone(),
                });
                self.pass_on_held();
            }
            (None, Command::Send(id, _)) => self.lost(id),
            (None, Command::Withdraw(_)) => {}
        }
    }

    fn lost(&self, id: OutId) {
        let outcome = SendOutcome::Failed(SendFailure::LineLost);
        self.report.emit(LineEvent::Finished(id, outcome));
    }

    /// Passes the command on if there is room now. A session that ended meanwhile has had, or will
    /// have, its outstanding messages finished.
    fn pass_on_held(&mut self) {
        let Some(Held { command, to, room }) = self.held.take() else {
            return;
        };
        match room.try_send(command) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(command)) => {
                self.held = Some(Held { command, to, room });
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                if let Some(live) = self.live.get(&to) {
                    live.outstanding.lose(&self.report);
                }
            }
        }
    }

    /// Else its session would wait, until the limit, for a message that never comes.
    fn lose_held(&mut self) {
        let Some(Held {
            command: Command::Send(id, _),
            to,
            ..
        }) = self.held.take()
        else {
            return;
        };
        if let Some(live) = self.live.get(&to) {
            let lost = SendOutcome::Failed(SendFailure::LineLost);
            live.outstanding.finish(&self.report, id, lost);
        }
    }

    // ---- the end ----

    async fn shut_down(mut self) {
        self.stop.cancel();
        self.step = None;
        self.shaking = Shaking::default();
        self.lose_held();
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if let Command::Send(id, _) = command {
                self.lost(id);
            }
        }
        for (number, live) in &self.live {
            if live.orders.send(Order::Stop).is_err() {
                tracing::debug!(number, "the connection has just ended by itself");
            }
        }
        let limit = self.config.stop_timeout;
        let ending = async {
            while let Some(ended) = self.sessions.join_next_with_id().await {
                self.on_session_end(ended);
            }
        };
        // The sessions keep the limit by themselves; the rest is for ports slow to close.
        if tokio::time::timeout(limit * 2, ending).await.is_err() {
            tracing::warn!("a connection did not end in time and was cut");
        }
        if tokio::time::timeout(limit, self.orphans.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                commits_of = self.orphans.len(),
                "commits did not end in time"
            );
        }
        self.report.emit(LineEvent::Stopped);
    }
}

/// A session takes its commands at once; more than these wait in the line.
const SESSION_COMMANDS_MAX: usize = 16;

async fn next(step: &mut Option<BoxFuture<'static, Step>>) -> Step {
    match step {
        Some(step) => step.await,
        None => std::future::pending().await,
    }
}

/// Ends when the session has room for the command, or is gone.
async fn has_room(held: Option<&Held>) {
    match held {
        Some(held) => drop(held.room.reserve().await),
        None => std::future::pending().await,
    }
}
