//! Wires in memory: who is connected to whom, and what happens to the bytes on their way.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use labwire_drivers::{FaultPlan, FaultPort, GivenPort, Ports};
use labwire_sims::chance::Chance;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use crate::store::by_hand::ByHand;

use super::{
    checks::Checks,
    hospital::{Carrier, carrier},
    scribe::Scribe,
    tap::{Speech, Tap, Tapped},
};

/// The far end of a wire.
pub(super) type FarEnd = FaultPort<Tapped<DuplexStream>>;

/// All wires of a simulation.
pub(super) struct Network {
    scribe: Arc<Scribe>,
    checks: Arc<Checks>,
    state: Mutex<State>,
    /// Where connections go that the bridge makes.
    dialled: UnboundedSender<FarEnd>,
}

struct State {
    chance: Chance,
    is_calm: bool,
    /// Nobody answers at the HIS.
    his_away: bool,
    /// Lines whose bytes came twice.
    doubled: BTreeSet<String>,
    /// The process that runs.
    life: Option<Arc<Life>>,
}

/// The wires of one process.
pub(super) struct Life {
    network: Arc<Network>,
    hand: ByHand,
    listening: Mutex<BTreeMap<String, UnboundedSender<GivenPort>>>,
    arriving: Mutex<BTreeMap<String, Arrivals>>,
    plugs: Mutex<Vec<Plug>>,
}

/// Connections that wait for a line to take them.
type Arrivals = Arc<tokio::sync::Mutex<UnboundedReceiver<GivenPort>>>;

type Plug = Arc<Mutex<Socket>>;

/// The bridge's end of a wire, until it is cut.
#[derive(Debug)]
struct Socket {
    port: Option<FaultPort<DuplexStream>>,
    /// Whoever waits for bytes, who has to hear of the cut.
    reader: Option<Waker>,
    writer: Option<Waker>,
    /// After so many bytes nothing passes any more, and neither side hears of it.
    mute_after: Option<u64>,
}

impl Socket {
    fn is_mute(&self) -> bool {
        self.mute_after == Some(0)
    }

    fn passed(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.mute_after = self.mute_after.map(|left| left.saturating_sub(bytes));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Life").finish_non_exhaustive()
    }
}

impl Network {
    /// Wires without a bridge yet, and the connections that it will make.
    pub(super) fn new(
        scribe: Arc<Scribe>,
        checks: Arc<Checks>,
        seed: u64,
    ) -> (Arc<Self>, UnboundedReceiver<FarEnd>) {
        let (dialled, made) = unbounded_channel();
        let network = Self {
            scribe,
            checks,
            state: Mutex::new(State {
                chance: Chance::fork(seed, "network"),
                is_calm: false,
                his_away: false,
                doubled: BTreeSet::new(),
                life: None,
            }),
            dialled,
        };
        (Arc::new(network), made)
    }

    /// Plugs in a process that begins to run.
    pub(super) fn begin(self: &Arc<Self>, hand: ByHand) -> Arc<Life> {
        let life = Arc::new(Life {
            network: Arc::clone(self),
            hand,
            listening: Mutex::default(),
            arriving: Mutex::default(),
            plugs: Mutex::default(),
        });
        lock(&self.state).life = Some(Arc::clone(&life));
        life
    }

    /// The process has died: its far ends see the end of what it sent.
    pub(super) fn end(&self) {
        let life = lock(&self.state).life.take();
        if let Some(life) = life {
            life.cut();
        }
    }

    /// Cuts every wire, and from now on nothing goes wrong on any.
    pub(super) fn calms_down(&self) {
        let mut state = lock(&self.state);
        state.is_calm = true;
        state.his_away = false;
        let life = state.life.clone();
        drop(state);
        if let Some(life) = life {
            life.cut();
        }
    }

    /// Nobody answers at the HIS, or somebody does again.
    pub(super) fn set_his_away(&self, is_away: bool) {
        lock(&self.state).his_away = is_away;
    }

    /// Whether bytes of a line came twice. A sender that is answered twice takes the second ACK for its
    /// next frame (LIS01-A2 numbers no answer), so its word about what was taken is not ours.
    pub(super) fn has_doubled(&self, line: &str) -> bool {
        lock(&self.state).doubled.contains(line)
    }

    /// A device connects to a line. `None`: nobody listens.
    pub(super) fn connect(&self, line: &str) -> Option<FarEnd> {
        let life = lock(&self.state).life.clone()?;
        let (near, far) = self.wire(&life, line);
        let listening = lock(&life.listening);
        let sender = listening.get(line)?;
        sender.send(near).is_ok().then_some(far)
    }

    fn wire(&self, life: &Arc<Life>, line: &str) -> (GivenPort, FarEnd) {
        let mut state = lock(&self.state);
        let carrier = carrier(line);
        let (near_plan, far_plan) = match state.is_calm {
            true => (FaultPlan::new(0), FaultPlan::new(0)),
            false => plans(&mut state.chance, carrier),
        };
        let is_doubled = near_plan.duplicate_per_mille > 0 || far_plan.duplicate_per_mille > 0;
        if is_doubled {
            state.doubled.insert(line.to_owned());
        }
        let is_flipped = near_plan.flip_per_mille > 0 || far_plan.flip_per_mille > 0;
        let mute_after = match state.is_calm || !state.chance.happens(120) {
            true => None,
            false => Some(state.chance.below(4_000)),
        };
        let room = *state.chance.pick(&[128, 2_048, 65_536]).unwrap_or(&65_536);
        // A frame that comes in two reads may be flipped twice.
        let room = if is_flipped { 65_536 } else { room };
        drop(state);
        let (near, far) = duplex(room);
        let plug: Plug = Arc::new(Mutex::new(Socket {
            port: Some(FaultPort::new(near, near_plan)),
            reader: None,
            writer: None,
            mute_after,
        }));
        lock(&life.plugs).push(Arc::clone(&plug));
        let speech = match carrier {
            // Once a frame came twice, which ACK is for which nobody can tell.
            Carrier::Astm { .. } if is_doubled => Speech::Deaf,
            Carrier::Astm { promises_frames } => Speech::Astm { promises_frames },
            Carrier::Mllp => Speech::Mllp,
            // What it was promised is compared at the end.
            Carrier::Own { .. } => Speech::Deaf,
        };
        let tap = Tap::new(line, speech, Arc::clone(&self.checks));
        let gate = Gate {
            plug,
            hand: life.hand.clone(),
        };
        let near = GivenPort::new(Tapped::new(gate, tap));
        let speech = match line.contains(":results") {
            true => Speech::His,
            false => Speech::Deaf,
        };
        let tap = Tap::new(line, speech, Arc::clone(&self.checks));
        self.scribe.note("wire", line);
        (near, FaultPort::new(Tapped::new(far, tap), far_plan))
    }
}

/// What happens to the bytes of one wire, on both sides. MLLP has no checksum of its own, and stands
/// on TCP, which flips and doubles nothing. A flipped bit comes with whole reads, so that a checksum
/// modulo 256 has one to find and not two that cancel.
fn plans(chance: &mut Chance, carrier: Carrier) -> (FaultPlan, FaultPlan) {
    let is_checked = match carrier {
        Carrier::Astm { .. } => true,
        Carrier::Mllp => false,
        Carrier::Own { is_checked } => is_checked,
    };
    let may_double = matches!(carrier, Carrier::Astm { .. });
    let plan = |chance: &mut Chance| {
        let mut plan = FaultPlan::new(chance.draw());
        match chance.below(8) {
            0 | 1 => {}
            2 | 3 => {
                plan.split_per_mille = 200;
                plan.delay_per_mille = 100;
            }
            4 if is_checked => plan.flip_per_mille = 30,
            5 if may_double => plan.duplicate_per_mille = 20,
            _ => plan.cut_after = Some(50 + chance.below(6_000)),
        }
        plan
    };
    (plan(chance), plan(chance))
}

impl Life {
    fn cut(&self) {
        for plug in std::mem::take(&mut *lock(&self.plugs)) {
            let mut socket = lock(&plug);
            drop(socket.port.take());
            let (reader, writer) = (socket.reader.take(), socket.writer.take());
            reader.into_iter().chain(writer).for_each(Waker::wake);
        }
    }

    fn arrivals(&self, line: &str) -> Arrivals {
        let mut arriving = lock(&self.arriving);
        let arrivals = arriving.entry(line.to_owned()).or_insert_with(|| {
            let (sender, receiver) = unbounded_channel();
            lock(&self.listening).insert(line.to_owned(), sender);
            Arc::new(tokio::sync::Mutex::new(receiver))
        });
        Arc::clone(arrivals)
    }
}

/// The ports of one process.
#[derive(Debug)]
pub(super) struct LifePorts(pub(super) Arc<Life>);

impl Ports for LifePorts {
    fn next(&self, line: &str) -> BoxFuture<'static, GivenPort> {
        let life = Arc::clone(&self.0);
        let line = line.to_owned();
        if !line.contains(":results") {
            let arrivals = life.arrivals(&line);
            return async move {
                match arrivals.lock().await.recv().await {
                    Some(port) => port,
                    None => std::future::pending().await,
                }
            }
            .boxed();
        }
        async move {
            let network = &life.network;
            while lock(&network.state).his_away {
                tokio::time::sleep(Duration::from_millis(700)).await;
            }
            let (near, far) = network.wire(&life, &line);
            // A process that is dead connects to nobody.
            if life.hand.is_dead() || network.dialled.send(far).is_err() {
                std::future::pending::<()>().await;
            }
            near
        }
        .boxed()
    }
}

/// The bridge's end of a wire: still as soon as its process is dead.
#[derive(Debug)]
struct Gate {
    plug: Plug,
    hand: ByHand,
}

impl Gate {
    fn with<T>(
        &self,
        ended: Poll<io::Result<T>>,
        act: impl FnOnce(Pin<&mut FaultPort<DuplexStream>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if self.hand.is_dead() {
            return Poll::Pending;
        }
        match &mut lock(&self.plug).port {
            Some(port) => act(Pin::new(port)),
            None => ended,
        }
    }
}

impl AsyncRead for Gate {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut socket = lock(&self.plug);
        socket.reader = Some(cx.waker().clone());
        let is_mute = socket.is_mute();
        drop(socket);
        let before = buf.filled().len();
        let read = self.with(Poll::Ready(Ok(())), |port| match is_mute {
            true => Poll::Pending,
            false => port.poll_read(cx, buf),
        });
        lock(&self.plug).passed(buf.filled().len() - before);
        read
    }
}

impl AsyncWrite for Gate {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let broken = Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        let mut socket = lock(&self.plug);
        socket.writer = Some(cx.waker().clone());
        let is_mute = socket.is_mute();
        drop(socket);
        let written = self.with(broken, |port| match is_mute {
            true => Poll::Ready(Ok(buf.len())),
            false => port.poll_write(cx, buf),
        });
        if let Poll::Ready(Ok(count)) = &written {
            lock(&self.plug).passed(*count);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(Poll::Ready(Ok(())), |port| port.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.hand.is_dead() {
            return Poll::Ready(Ok(()));
        }
        self.with(Poll::Ready(Ok(())), |port| port.poll_shutdown(cx))
    }
}
