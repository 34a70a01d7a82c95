//! One session over memory. The time is paused: it jumps to the next timer when all wait.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use labwire_protocols::wire::{CloseReason, OutId, SendFailure, SendOutcome};
use tokio::{
    io::{
        AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf, duplex,
    },
    sync::mpsc,
    task::JoinHandle,
    time::Instant,
};
use tokio_util::task::TaskTracker;

use super::support::{Seen, Words, config, expect_end, expect_text, message, owner};
use crate::{
    Clock as _, Connection, Endpoint, FaultPlan, FaultPort, LineConfig, LostReason, Peer,
    SystemClock,
    port::Port,
    report::Report,
    session::{self, Command, Ended, Order, Outstanding, SessionContext},
};

impl Port for DuplexStream {
    const HALF_CLOSES: bool = true;

    async fn close(self, _: bool) {}
}

impl Port for FaultPort<DuplexStream> {
    const HALF_CLOSES: bool = true;

    async fn close(self, _: bool) {}
}

/// Gives a line of text at every read, without end for `reads_left` reads, and takes every byte.
struct Endless {
    reads_left: usize,
    written: mpsc::UnboundedSender<Bytes>,
}

impl Port for Endless {
    const HALF_CLOSES: bool = false;

    async fn close(self, _: bool) {}
}

impl AsyncRead for Endless {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads_left > 0 {
            self.reads_left -= 1;
            buf.put_slice(b"x\n");
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Endless {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written.send(Bytes::copy_from_slice(buf)).unwrap();
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

struct Rig {
    peer: DuplexStream,
    seen: Seen,
    commands: mpsc::Sender<Command>,
    orders: mpsc::UnboundedSender<Order>,
    outstanding: Outstanding,
    orphans: TaskTracker,
    ended: JoinHandle<Ended>,
}

fn limits() -> LineConfig {
    config(Endpoint::TcpListen("127.0.0.1:0".to_owned()))
}

/// A session over a pipe that holds `pipe_bytes` each way.
fn rig(pipe_bytes: usize, machine: Words, config: LineConfig) -> Rig {
    rig_over(pipe_bytes, machine, config, false, |port| port)
}

fn rig_over<P: Port>(
    pipe_bytes: usize,
    machine: Words,
    config: LineConfig,
    answers_itself: bool,
    over: impl FnOnce(DuplexStream) -> P,
) -> Rig {
    let (peer, port) = duplex(pipe_bytes);
    let (owner, seen) = owner(answers_itself);
    let clock = Arc::new(SystemClock::new());
    let opened_utc_micros = clock.utc_micros();
    let peer_name = Peer::Serial("pipe".into());
    let (commands, session_commands) = mpsc::channel(8);
    let (orders, session_orders) = mpsc::unbounded_channel();
    let (outstanding, orphans) = (Outstanding::default(), TaskTracker::new());
    orphans.close();
    let context = SessionContext {
        report: Arc::new(Report::new(&config, owner, clock)),
        config: Arc::new(config),
        connection: Connection {
            number: 1,
            peer: peer_name,
            opened_utc_micros,
        },
        commands: session_commands,
        orders: session_orders,
        outstanding: outstanding.clone(),
        orphans: orphans.clone(),
    };
    let ended = tokio::spawn(session::run(over(port), Box::new(machine), context));
    Rig {
        peer,
        seen,
        commands,
        orders,
        outstanding,
        orphans,
        ended,
    }
}

impl Rig {
    async fn say(&mut self, text: &str) {
        self.peer.write_all(text.as_bytes()).await.unwrap();
    }

    async fn commit_of(&mut self, text: &str) -> super::support::Asked {
        let asked = self.seen.commit().await;
        assert_eq!(asked.message.bytes, text);
        asked
    }

    /// Nothing comes while an hour passes and every task has had its turn.
    async fn expect_silence(&mut self) {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(3600), self.peer.read(&mut byte));
        assert!(read.await.is_err(), "bytes came, or the end");
    }

    async fn why(self) -> LostReason {
        self.ended.await.unwrap().why
    }
}

#[tokio::test(start_paused = true)]
async fn reply_waits_for_the_commit() {
    let mut rig = rig(1024, Words::new(1, 64), limits());
    rig.say("one\n").await;
    let asked = rig.commit_of("one").await;
    rig.expect_silence().await;
    asked.durable();
    expect_text(&mut rig.peer, "+one\n").await;
}

#[tokio::test(start_paused = true)]
async fn failed_commit_is_never_acknowledged() {
    let mut rig = rig(1024, Words::new(1, 64), limits());
    rig.say("one\n").await;
    rig.commit_of("one").await.fails();
    expect_text(&mut rig.peer, "-\n").await;
}

#[tokio::test(start_paused = true)]
async fn reading_goes_on_while_commits_are_under_way() {
    let mut rig = rig(1024, Words::new(3, 64), limits());
    rig.say("one\n").await;
    let one = rig.commit_of("one").await;
    rig.say("two\n").await;
    let two = rig.commit_of("two").await;
    two.durable();
    rig.expect_silence().await;
    one.durable();
    expect_text(&mut rig.peer, "+one\n+two\n").await;
}

#[tokio::test(start_paused = true)]
async fn port_is_not_read_while_the_machine_accepts_nothing() {
    let mut rig = rig(8, Words::new(1, 4), limits());
    rig.say("one\n").await;
    let one = rig.commit_of("one").await;
    let (mut reader, mut writer) = tokio::io::split(rig.peer);
    let mut writing = tokio::spawn(async move { writer.write_all(b"second\nthird\n").await });
    let stalled = tokio::time::timeout(Duration::from_secs(3600), &mut writing).await;
    assert!(
        stalled.is_err(),
        "the port was read with a commit under way"
    );
    one.durable();
    expect_text(&mut reader, "+one\n").await;
    for text in ["second", "third"] {
        let asked = rig.seen.commit().await;
        assert_eq!(asked.message.bytes, text);
        asked.durable();
        expect_text(&mut reader, &format!("+{text}\n")).await;
    }
    writing.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn message_is_whole_however_the_reads_split_it() {
    let plan = FaultPlan {
        split_per_mille: 900,
        delay_per_mille: 300,
        ..FaultPlan::new(1)
    };
    let mut rig = rig_over(1024, Words::new(1, 64), limits(), false, |port| {
        FaultPort::new(port, plan)
    });
    for text in ["a message of some length", "and another one"] {
        rig.say(&format!("{text}\n")).await;
        rig.commit_of(text).await.durable();
        expect_text(&mut rig.peer, &format!("+{text}\n")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_fault_of_a_port_breaks_the_session() {
    for seed in 0..200 {
        let plan = FaultPlan {
            split_per_mille: 300,
            delay_per_mille: 200,
            flip_per_mille: 100,
            duplicate_per_mille: 100,
            cut_after: Some(40 + seed),
            seed,
        };
        let rig = rig_over(16, Words::new(2, 7), limits(), false, |port| {
            FaultPort::new(port, plan)
        });
        let Rig {
            peer,
            mut seen,
            ended,
            ..
        } = rig;
        let (mut reader, mut writer) = tokio::io::split(peer);
        let talking =
            tokio::spawn(
                async move { while writer.write_all(b"0123456789 0123\n").await.is_ok() {} },
            );
        let listening = tokio::spawn(async move {
            tokio::io::copy(&mut reader, &mut tokio::io::sink())
                .await
                .unwrap_or_default()
        });
        let answering = tokio::spawn(async move {
            while let Some(asked) = seen.commits.recv().await {
                asked.durable();
            }
        });
        let ended = ended.await.unwrap();
        assert!(ended.has_heard, "seed {seed}: {ended:?}");
        for task in [talking, answering] {
            task.await.unwrap();
        }
        listening.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn machine_is_called_at_its_deadline() {
    let mut rig = rig(1024, Words::new(1, 64), limits());
    rig.say("tick 15000\n").await;
    let start = Instant::now();
    expect_text(&mut rig.peer, "tock\n").await;
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(15) && waited < Duration::from_millis(15_010));
}

#[tokio::test(start_paused = true)]
async fn silent_peer_is_found_by_the_idle_timeout() {
    let config = LineConfig {
        idle_timeout: Some(Duration::from_secs(30)),
        ..limits()
    };
    let mut rig = rig(1024, Words::new(1, 64), config);
    let start = Instant::now();
    tokio::time::advance(Duration::from_secs(20)).await;
    rig.say("on").await;
    expect_end(&mut rig.peer).await;
    assert_eq!(
        start.elapsed().as_secs(),
        50,
        "silence counts from the last byte"
    );
    assert_eq!(rig.why().await, LostReason::Silent);
}

#[tokio::test(start_paused = true)]
async fn silence_does_not_count_while_we_do_not_read() {
    let config = LineConfig {
        idle_timeout: Some(Duration::from_secs(30)),
        ..limits()
    };
    let mut rig = rig(1024, Words::new(1, 64), config);
    rig.say("one\n").await;
    let asked = rig.commit_of("one").await;
    rig.expect_silence().await;
    asked.durable();
    expect_text(&mut rig.peer, "+one\n").await;
}

#[tokio::test(start_paused = true)]
async fn peer_that_takes_no_bytes_is_cut_at_the_write_timeout() {
    let mut rig = rig(64, Words::new(1, 64), limits());
    let start = Instant::now();
    rig.say("flood\n").await;
    assert_eq!(rig.why().await, LostReason::WriteStalled);
    assert_eq!(start.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn peer_that_never_reads_is_cut_at_the_transmit_buffer() {
    let config = LineConfig {
        transmit_buffer_max: 3 << 20,
        ..limits()
    };
    let mut rig = rig(64, Words::new(1, 64), config);
    for _ in 0..4 {
        rig.say("flood\n").await;
    }
    let why = LostReason::Machine(CloseReason::TransmitOverflow);
    let start = Instant::now();
    assert_eq!(rig.why().await, why);
    assert_eq!(start.elapsed(), Duration::ZERO, "it was cut at once");
}

#[tokio::test(start_paused = true)]
async fn what_the_machine_gave_before_close_is_written() {
    let mut rig = rig(1024, Words::new(1, 64), limits());
    rig.say("quit\n").await;
    expect_text(&mut rig.peer, "bye\n").await;
    expect_end(&mut rig.peer).await;
    assert_eq!(
        rig.why().await,
        LostReason::Machine(CloseReason::NotDurable)
    );
}

#[tokio::test(start_paused = true)]
async fn peer_that_ends_its_side_still_gets_the_reply() {
    let mut rig = rig(1024, Words::new(1, 64), limits());
    rig.say("one\n").await;
    let asked = rig.commit_of("one").await;
    rig.peer.shutdown().await.unwrap();
    asked.durable();
    expect_text(&mut rig.peer, "+one\n").await;
    expect_end(&mut rig.peer).await;
    assert_eq!(rig.why().await, LostReason::PeerClosed);
}

#[tokio::test(start_paused = true)]
async fn message_cut_by_the_loss_is_passed_on_and_its_commit_awaited() {
    let mut rig = rig(1024, Words::new(2, 64), limits());
    rig.say("one\ntw").await;
    let one = rig.commit_of("one").await;
    rig.orders.send(Order::Replaced).unwrap();
    let partial = rig.commit_of("tw").await;
    assert!(!partial.message.is_complete);
    assert_eq!(rig.seen.lost().await, (1, LostReason::Replaced));
    let orphans = rig.orphans.clone();
    assert_eq!(orphans.len(), 1);
    partial.durable();
    one.durable();
    orphans.wait().await;
    expect_end(&mut rig.peer).await;
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_what_was_begun_and_takes_nothing_new() {
    let mut rig = rig(1024, Words::new(2, 64), limits());
    rig.say("one\n").await;
    let asked = rig.commit_of("one").await;
    rig.orders.send(Order::Stop).unwrap();
    rig.outstanding.insert(OutId(7));
    rig.commands
        .send(Command::Send(OutId(7), message("late\n")))
        .await
        .unwrap();
    let lost = SendOutcome::Failed(SendFailure::LineLost);
    assert_eq!(rig.seen.finished().await, (7, lost));
    asked.durable();
    expect_text(&mut rig.peer, "+one\n").await;
    expect_end(&mut rig.peer).await;
    assert_eq!(rig.why().await, LostReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_ever() {
    let mut rig = rig(1024, Words::new(2, 64), limits());
    rig.say("one\n").await;
    let asked = rig.commit_of("one").await;
    let start = Instant::now();
    rig.orders.send(Order::Stop).unwrap();
    expect_end(&mut rig.peer).await;
    assert_eq!(start.elapsed().as_secs(), 5);
    asked.durable();
    assert_eq!(rig.why().await, LostReason::Stopped);
}

#[tokio::test(start_paused = true)]
async fn reading_and_replying_without_pause_starves_no_command() {
    let (written, mut seen_written) = mpsc::unbounded_channel();
    let rig = rig_over(1, Words::new(1, 64), limits(), true, |_| Endless {
        reads_left: 100,
        written,
    });
    rig.commands
        .send(Command::Send(OutId(1), message("ORDER")))
        .await
        .unwrap();
    rig.ended.await.unwrap();
    let mut portions = Vec::new();
    while let Ok(portion) = seen_written.try_recv() {
        portions.push(portion);
    }
    assert!(
        portions.iter().take(10).any(|portion| portion == "ORDER"),
        "{portions:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn withdrawn_message_has_one_last_word() {
    let mut rig = rig(1024, Words::new(2, 64), limits());
    for id in [1, 2] {
        rig.outstanding.insert(OutId(id));
        rig.commands
            .send(Command::Send(OutId(id), message("order\n")))
            .await
            .unwrap();
    }
    rig.commands
        .send(Command::Withdraw(OutId(1)))
        .await
        .unwrap();
    let withdrawn = SendOutcome::Failed(SendFailure::Withdrawn);
    assert_eq!(rig.seen.finished().await, (1, withdrawn));
    rig.say("ok\n").await;
    assert_eq!(rig.seen.finished().await, (2, SendOutcome::Sent));
    drop(rig.peer);
    rig.seen.lost().await;
    assert!(
        rig.seen.events.recv().await.is_none(),
        "nothing follows the loss"
    );
}
