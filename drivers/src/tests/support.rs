//! A small protocol, an upstream that a test answers by hand, and a rig around one line.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use labwire_protocols::wire::{
    CloseReason, Commit, CommitId, Input, Machine, Mono, OutId, Outgoing, OutgoingKind, Output,
    Received, SendFailure, SendOutcome, Timer,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{mpsc, oneshot},
};

use crate::{
    Backoff, CommitFailure, CommitResult, Connection, Endpoint, Jitter, LineConfig, LineEvent,
    LineHandle, LostReason, MachineFactory, SystemClock, Upstream, spawn_line,
};

/// Lines ended by LF. Every line is committed, then answered by `+` and itself, or by `-` alone;
/// answers go in order of arrival. A message sent is answered by the peer with a line `ok`.
/// `flood`, `quit`, `panic` and `tick MILLIS` do what they say.
#[derive(Debug)]
pub(super) struct Words {
    window: usize,
    portion: usize,
    partial: Vec<u8>,
    commits: u64,
    pending: VecDeque<(CommitId, Bytes, Option<bool>)>,
    sent: VecDeque<OutId>,
    out: VecDeque<Output>,
    tick: Option<Mono>,
}

impl Words {
    /// At most `window` commits under way; at most `portion` bytes at once.
    pub(super) fn new(window: usize, portion: usize) -> Self {
        Self {
            window,
            portion,
            partial: Vec::new(),
            commits: 0,
            pending: VecDeque::new(),
            sent: VecDeque::new(),
            out: VecDeque::new(),
            tick: None,
        }
    }

    fn transmit(&mut self, bytes: impl Into<Bytes>) {
        self.out.push_back(Output::Transmit(bytes.into()));
    }

    fn on_line(&mut self, now: Mono, line: Vec<u8>) {
        match line.as_slice() {
            b"flood" => self.transmit(vec![b'x'; 1 << 20]),
            b"panic" => panic!("the line asked for it"),
            b"quit" => {
                self.transmit("bye\n");
                self.out.push_back(Output::Close(CloseReason::NotDurable));
            }
            b"ok" => {
                let id = self.sent.pop_front().expect("`ok` answers a message");
                self.out.push_back(Output::Finished(id, SendOutcome::Sent));
            }
            _ => match line.strip_prefix(b"tick ") {
                Some(millis) => {
                    let millis = std::str::from_utf8(millis).unwrap().parse().unwrap();
                    self.tick = Some(now.after(Duration::from_millis(millis)));
                }
                None => self.commit(line, true),
            },
        }
    }

    fn commit(&mut self, line: Vec<u8>, is_complete: bool) {
        self.commits += 1;
        let (id, bytes) = (CommitId(self.commits), Bytes::from(line));
        self.pending.push_back((id, bytes.clone(), None));
        let message = Received {
            session: self.commits,
            bytes,
            is_complete,
        };
        self.out
            .push_back(Output::Commit(id, Commit::Message(message)));
    }

    fn on_commit(&mut self, id: CommitId, is_durable: bool) {
        for (_, _, done) in self.pending.iter_mut().filter(|(of, _, _)| *of == id) {
            *done = Some(is_durable);
        }
        while let Some((_, line, Some(is_durable))) = self.pending.front().cloned() {
            self.pending.pop_front();
            let answer = if is_durable {
                [b"+", &line[..], b"\n"].concat()
            } else {
                b"-\n".to_vec()
            };
            self.transmit(answer);
        }
    }

    fn on_bytes(&mut self, now: Mono, bytes: &[u8]) {
        assert!(
            bytes.len() <= self.accepts(),
            "more bytes than the machine accepts"
        );
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.partial);
                self.on_line(now, line);
            } else {
                self.partial.push(byte);
            }
        }
    }

    fn on_closed(&mut self) {
        if !self.partial.is_empty() {
            let partial = std::mem::take(&mut self.partial);
            self.commit(partial, false);
        }
        for id in self.sent.drain(..) {
            let lost = SendOutcome::Failed(SendFailure::LineLost);
            self.out.push_back(Output::Finished(id, lost));
        }
    }
}

impl Machine for Words {
    fn handle(&mut self, now: Mono, input: Input<'_>) {
        assert!(self.out.is_empty(), "the machine was not drained");
        match input {
            Input::Opened => {}
            Input::Bytes(bytes) => self.on_bytes(now, bytes),
            Input::Deadline => {
                assert!(
                    self.tick.take().is_some_and(|at| at <= now),
                    "a deadline before its time"
                );
                self.transmit("tock\n");
            }
            Input::Committed(id, _) => self.on_commit(id, true),
            Input::CommitFailed(id, _) => self.on_commit(id, false),
            Input::Send(id, outgoing) => {
                self.sent.push_back(id);
                self.transmit(outgoing.payload);
            }
            Input::Withdraw(id) => {
                self.sent.retain(|sent| *sent != id);
                let withdrawn = SendOutcome::Failed(SendFailure::Withdrawn);
                self.out.push_back(Output::Finished(id, withdrawn));
            }
            Input::Closed => self.on_closed(),
        }
    }

    fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn deadline(&self) -> Option<(Mono, Timer)> {
        self.tick.map(|at| (at, Timer::Reply))
    }

    fn accepts(&self) -> usize {
        if self.pending.len() < self.window {
            self.portion
        } else {
            0
        }
    }

    fn state(&self) -> &'static str {
        if self.pending.is_empty() {
            "Idle"
        } else {
            "Waiting"
        }
    }
}

/// A commit that waits for the test's answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) connection: u64,
    pub(super) message: Received,
    answer: oneshot::Sender<CommitResult>,
}

impl Asked {
    pub(super) fn durable(self) {
        self.answer.send(Ok(None)).expect("the commit is awaited");
    }

    pub(super) fn fails(self) {
        self.answer
            .send(Err(CommitFailure::default()))
            .expect("the commit is awaited");
    }
}

/// Hands everything to the test.
#[derive(Debug)]
pub(super) struct Owner {
    events: mpsc::UnboundedSender<LineEvent>,
    commits: mpsc::UnboundedSender<Asked>,
    answers_itself: bool,
}

impl Upstream for Owner {
    fn commit(
        &self,
        connection: &Connection,
        _: CommitId,
        commit: Commit,
    ) -> BoxFuture<'static, CommitResult> {
        let Commit::Message(message) = commit else {
            panic!("only whole messages here")
        };
        let (answer, answered) = oneshot::channel();
        let asked = Asked {
            connection: connection.number,
            message,
            answer,
        };
        if self.answers_itself {
            asked.answer.send(Ok(None)).expect("the receiver is below");
        } else {
            self.commits.send(asked).expect("the test listens");
        }
        answered
            .map(|result| result.expect("the test answers"))
            .boxed()
    }

    fn on_event(&self, event: LineEvent) {
        // A test that has seen enough hangs up.
        self.events.send(event).unwrap_or_default();
    }
}

/// What a test sees of the owner's side.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) events: mpsc::UnboundedReceiver<LineEvent>,
    pub(super) commits: mpsc::UnboundedReceiver<Asked>,
}

/// No test waits longer for something that should come: a bound for a broken line, not a wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(180);

pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain for {what}"),
    }
}

impl Seen {
    /// The next event for which `pick` has a value; earlier ones are passed over.
    pub(super) async fn event<T>(&mut self, pick: impl Fn(&LineEvent) -> Option<T>) -> T {
        let mut passed = Vec::new();
        loop {
            match tokio::time::timeout(PATIENCE, self.events.recv()).await {
                Ok(Some(event)) => match pick(&event) {
                    Some(value) => return value,
                    None => passed.push(event),
                },
                Ok(None) | Err(_) => panic!("the event did not come; others were {passed:?}"),
            }
        }
    }

    pub(super) async fn commit(&mut self) -> Asked {
        soon("a commit", self.commits.recv())
            .await
            .expect("the line lives")
    }

    pub(super) async fn connected(&mut self) -> Connection {
        self.event(|event| match event {
            LineEvent::Connected(connection) => Some(connection.clone()),
            _ => None,
        })
        .await
    }

    pub(super) async fn lost(&mut self) -> (u64, LostReason) {
        self.event(|event| match event {
            LineEvent::Lost { connection, why } => Some((*connection, *why)),
            _ => None,
        })
        .await
    }

    pub(super) async fn finished(&mut self) -> (u64, SendOutcome) {
        self.event(|event| match event {
            LineEvent::Finished(id, outcome) => Some((id.0, outcome.clone())),
            _ => None,
        })
        .await
    }

    /// The code of the next failure to open the port, and its words.
    pub(super) async fn unavailable(&mut self) -> (&'static str, String) {
        self.event(|event| match event {
            LineEvent::Unavailable(error) => Some((error.code(), error.to_string())),
            _ => None,
        })
        .await
    }
}

pub(super) fn owner(answers_itself: bool) -> (Arc<Owner>, Seen) {
    let (events, events_seen) = mpsc::unbounded_channel();
    let (commits, commits_seen) = mpsc::unbounded_channel();
    let owner = Owner {
        events,
        commits,
        answers_itself,
    };
    (
        Arc::new(owner),
        Seen {
            events: events_seen,
            commits: commits_seen,
        },
    )
}

/// A line with short waits.
pub(super) fn config(endpoint: Endpoint) -> LineConfig {
    let backoff = Backoff {
        first: Duration::from_millis(5),
        max: Duration::from_millis(40),
        jitter: Jitter::None,
    };
    LineConfig {
        backoff,
        ..LineConfig::new("test", endpoint)
    }
}

pub(super) fn listening() -> LineConfig {
    config(Endpoint::TcpListen("127.0.0.1:0".to_owned()))
}

pub(super) fn machines() -> MachineFactory {
    Arc::new(|| Box::new(Words::new(3, 64)))
}

/// A line whose commits the test answers (`by_hand`) or that answers them itself.
pub(super) fn start(config: LineConfig, by_hand: bool) -> (LineHandle, Seen) {
    let (owner, seen) = owner(!by_hand);
    (
        spawn_line(config, owner, Arc::new(SystemClock::new()), machines()),
        seen,
    )
}

pub(super) fn message(payload: &'static str) -> Outgoing {
    Outgoing {
        payload: Bytes::from_static(payload.as_bytes()),
        kind: OutgoingKind::Download,
        expires_after: None,
    }
}

/// Reads exactly `expected`.
pub(super) async fn expect_text(port: &mut (impl AsyncRead + Unpin), expected: &str) {
    let mut text = vec![0; expected.len()];
    soon(expected, port.read_exact(&mut text))
        .await
        .expect("the line is open");
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}

/// Reads to the end of the stream, however it ends.
pub(super) async fn expect_end(port: &mut (impl AsyncRead + Unpin)) {
    let mut rest = Vec::new();
    match soon("the end of the stream", port.read_to_end(&mut rest)).await {
        Ok(_) | Err(_) => assert!(rest.is_empty(), "{} bytes before the end", rest.len()),
    }
}
