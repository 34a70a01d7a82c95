//! One node of several: opens what it has a lease of, and closes it before it gives it away.
//!
//! A thread keeps the seat ([`Seat`]): it says every half second that the node is there, takes and asks
//! for units, and gives away what is closed. A task opens and closes units as the leases say. Where the
//! database does not answer for [`OWN`](crate::store::nodes::OWN), everything is closed at once; what is
//! still leased is opened again when it does. A node that is fenced closes everything for good.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use labwire_protocols::wire::Mono;
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::store::{
    Seat, StoreError,
    nodes::{BEAT, Look},
};

use super::{
    start::{StartError, Starter},
    unit::{Opened, Unit},
};

/// How the node stands.
#[derive(Clone, Debug)]
enum Standing {
    /// As the database last said.
    Member(Arc<Look>),
    /// Another took over; for good.
    ShutOut(StoreError),
}

/// What the thread is asked.
#[derive(Debug)]
enum Order {
    HandOver(String),
    Tell(&'static str),
    Leave,
}

/// Orders that wait; more are asked for again.
const ORDERS_MAX: usize = 64;

/// News that come within so short a time are told together.
const TELL_EVERY: Duration = Duration::from_millis(20);

/// A line that is closed waits so long for its messages to be read; the next holder reads the rest.
const DRAIN_MAX: Duration = Duration::from_secs(5);
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// Taking leave takes a transaction; the database may be away.
const LEAVE_MAX: Duration = Duration::from_secs(10);

/// How often the task looks whether the database has answered in time.
const WATCH: Duration = Duration::from_millis(100);

/// The topics of news between nodes.
const RESULTS: &str = "results";
const DOWNLOADS: &str = "downloads";

/// The node, as the bridge sees it.
#[derive(Debug)]
pub(super) struct Node {
    stop: CancellationToken,
    work: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,
    shut_out: Option<oneshot::Receiver<StoreError>>,
}

impl Node {
    /// Begins to take units.
    pub(super) fn start(starter: Arc<Starter>, seat: Seat) -> Result<Self, StartError> {
        let units = Unit::all(&starter.loaded.lab);
        let names: BTreeSet<String> = units.iter().map(|unit| unit.name().to_owned()).collect();
        let (orders, ordered) = bounded(ORDERS_MAX);
        let (standing, stands) = watch::channel(Standing::Member(Arc::default()));
        let beats = Beats {
            seat,
            units: names,
            starter: Arc::clone(&starter),
            orders: ordered,
            standing,
        };
        std::thread::Builder::new()
            .name("node-seat".to_owned())
            .spawn(move || beats.run())?;
        let stop = CancellationToken::new();
        let (told, shut_out) = oneshot::channel();
        let helpers = vec![
            tokio::spawn(tell(Arc::clone(&starter), orders.clone())),
            tokio::spawn(hear(Arc::clone(&starter))),
        ];
        let work = Work {
            units: units
                .into_iter()
                .map(|unit| (unit.name().to_owned(), unit))
                .collect(),
            starter,
            orders,
            stands,
            opened: BTreeMap::new(),
        };
        Ok(Self {
            work: tokio::spawn(work.run(stop.clone(), told)),
            stop,
            helpers,
            shut_out: Some(shut_out),
        })
    }

    /// Resolves when the node cannot go on.
    pub(super) async fn shut_out(&mut self) -> StoreError {
        // Whoever waits may give up and ask again: nothing is taken before it is there.
        let Some(shut_out) = &mut self.shut_out else {
            return StoreError::Closed;
        };
        let error = shut_out.await.unwrap_or(StoreError::Closed);
        self.shut_out = None;
        error
    }

    /// Closes all units in order, and takes leave.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A task that panicked has been logged by the runtime, and its units were dropped.
        drop(self.work.await);
        end(self.helpers).await;
    }

    /// Ends at once.
    pub(super) async fn cut(self) {
        self.work.abort();
        drop(self.work.await);
        end(self.helpers).await;
    }
}

/// Ends tasks, whose connections have to be dropped while there is a runtime.
async fn end(helpers: Vec<JoinHandle<()>>) {
    for helper in helpers {
        helper.abort();
        // That it was aborted is no news.
        drop(helper.await);
    }
}

/// The thread of the seat.
struct Beats {
    seat: Seat,
    units: BTreeSet<String>,
    starter: Arc<Starter>,
    orders: Receiver<Order>,
    standing: watch::Sender<Standing>,
}

impl Beats {
    fn run(mut self) {
        let mut is_away = false;
        loop {
            let asked = self.starter.clock.mono();
            match self.beat(asked) {
                Ok(true) => is_away = false,
                Ok(false) => return,
                Err(error) if !is_away => {
                    is_away = true;
                    tracing::warn!(%error, "the other nodes cannot be told that this one is there");
                }
                Err(_) => {}
            }
            let next = asked.after(BEAT);
            loop {
                let rest = next.since(self.starter.clock.mono());
                match self.orders.recv_timeout(rest) {
                    Ok(Order::Leave) => return self.leave(),
                    Ok(order) => self.carry_out(order),
                    Err(RecvTimeoutError::Timeout) => break,
                    // Whoever gave orders is gone without a word; others find the seat empty.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }

    /// Says that the node is there, and does what is to be done; false once it is fenced.
    fn beat(&mut self, asked: Mono) -> Result<bool, StoreError> {
        let Some(look) = self.seat.beat()? else {
            let error = self.seat.fenced();
            tracing::error!("{error}");
            self.standing.send_replace(Standing::ShutOut(error));
            return Ok(false);
        };
        self.starter.tenure.extend(asked);
        let look = if self.seat.arrange(&look, &self.units)? {
            self.seat.beat()?.unwrap_or(look)
        } else {
            look
        };
        self.standing.send_replace(Standing::Member(Arc::new(look)));
        Ok(true)
    }

    fn carry_out(&mut self, order: Order) {
        let done = match &order {
            Order::HandOver(unit) => self.seat.hand_over(unit),
            Order::Tell(topic) => self.seat.tell(topic),
            Order::Leave => Ok(()),
        };
        if let Err(error) = done {
            // It is asked for again with the next look.
            tracing::debug!(?order, %error, "not done");
        }
    }

    fn leave(&mut self) {
        if let Err(error) = self.seat.leave() {
            tracing::warn!(%error, "the other nodes were not told that this one stops; they find out");
        }
    }
}

/// The task that opens and closes.
struct Work {
    units: BTreeMap<String, Unit>,
    starter: Arc<Starter>,
    orders: Sender<Order>,
    stands: watch::Receiver<Standing>,
    opened: BTreeMap<String, Opened>,
}

impl Work {
    async fn run(mut self, stop: CancellationToken, told: oneshot::Sender<StoreError>) {
        let error = loop {
            let standing = self.stands.borrow_and_update().clone();
            let look = match standing {
                Standing::Member(look) => look,
                Standing::ShutOut(error) => break error,
            };
            if stop.is_cancelled() {
                return self.leave().await;
            }
            if self.starter.tenure.holds() {
                let starter = Arc::clone(&self.starter);
                tokio::select! {
                    done = self.follow(&look) => if let Err(error) = done {
                        tell_failure(&error);
                    },
                    () = is_over(&starter) => {}
                }
            }
            if !self.starter.tenure.holds() {
                self.close_all();
            }
            tokio::select! {
                changed = self.stands.changed() => if changed.is_err() {
                    break StoreError::Closed;
                },
                () = is_over(&self.starter), if !self.opened.is_empty() => {}
                () = stop.cancelled() => {}
            }
        };
        self.close_all();
        // The bridge may be stopping; then it needs not be told.
        drop(told.send(error));
    }

    /// Closes without order: nothing may be promised or sent any more.
    fn close_all(&mut self) {
        if !self.opened.is_empty() {
            tracing::error!(
                units = self.opened.len(),
                "everything is closed: this node cannot know that it still is the one that serves it"
            );
        }
        self.opened.clear();
    }

    /// Opens and closes as the leases say.
    async fn follow(&mut self, look: &Look) -> Result<(), StartError> {
        let run = self.starter.ids.run().to_owned();
        let own = look
            .leases
            .iter()
            .filter(|lease| lease.run.as_ref() == Some(&run));
        let (asked, kept): (Vec<_>, Vec<_>) = own.partition(|lease| lease.asked_by.is_some());
        let held: BTreeSet<&String> = asked.iter().chain(&kept).map(|one| &one.unit).collect();
        // Given away or taken away: there is nothing left to be finished.
        self.opened.retain(|unit, _| held.contains(unit));
        for lease in asked {
            if let Some(opened) = self.opened.remove(&lease.unit) {
                tracing::info!(unit = lease.unit, "handed over to another node");
                self.close(opened).await;
            }
            // With no place it is asked for again by the next look.
            let _is_asked = self
                .orders
                .try_send(Order::HandOver(lease.unit.clone()))
                .is_ok();
        }
        for lease in kept {
            let is_open = self.opened.contains_key(&lease.unit);
            let Some(unit) = self.units.get(&lease.unit).filter(|_| !is_open) else {
                continue;
            };
            match self.starter.serve(unit).await {
                Ok(opened) => {
                    tracing::info!(
                        unit = lease.unit,
                        token = lease.token,
                        "served by this node"
                    );
                    self.opened.insert(lease.unit.clone(), opened);
                }
                // The store is away for the others, too.
                Err(StartError::Store(error)) if error.is_unavailable() => {
                    return Err(error.into());
                }
                // One that cannot be opened holds up no other.
                Err(error) => tell_failure(&error),
            }
        }
        Ok(())
    }

    /// In order: the line, what it handed to the parser, its courier.
    async fn close(&self, opened: Opened) {
        opened.close().await;
        let drained = async {
            while !self.starter.parser.is_idle(&opened.line) {
                tokio::time::sleep(DRAIN_LOOK).await;
            }
        };
        if tokio::time::timeout(DRAIN_MAX, drained).await.is_err() {
            tracing::warn!(
                unit = opened.unit,
                "the next node reads what is not read yet"
            );
        }
        opened.stop().await;
    }

    async fn leave(mut self) {
        let opened = std::mem::take(&mut self.opened);
        let closing = opened.into_values().map(|opened| self.close(opened));
        futures_util::future::join_all(closing).await;
        let orders = self.orders.clone();
        // The thread takes its orders every half second.
        let told =
            tokio::task::spawn_blocking(move || orders.send_timeout(Order::Leave, DRAIN_MAX));
        drop(told.await);
        // The thread drops its end when it has left; others find out by themselves where it cannot.
        let left = async { while self.stands.changed().await.is_ok() {} };
        if tokio::time::timeout(LEAVE_MAX, left).await.is_err() {
            tracing::warn!("the other nodes were not told in time that this one stops");
        }
    }
}

/// It is tried again with the next look.
fn tell_failure(error: &StartError) {
    let is_away = matches!(error, StartError::Store(error) if error.is_unavailable());
    let cause = std::error::Error::source(error).map(ToString::to_string);
    if is_away {
        tracing::warn!(%error, cause, "a unit cannot be opened yet");
    } else {
        tracing::error!(%error, cause, "a unit cannot be opened");
    }
}

/// Resolves when the database has not answered for too long.
async fn is_over(starter: &Starter) {
    while starter.tenure.holds() {
        tokio::time::sleep(WATCH).await;
    }
}

/// Tells other nodes of what changed here.
async fn tell(starter: Arc<Starter>, orders: Sender<Order>) {
    loop {
        let topic = tokio::select! {
            () = starter.results_changed.to_be_told() => RESULTS,
            () = starter.downloads_changed.to_be_told() => DOWNLOADS,
        };
        // What finds no place is found by looking.
        let _is_told = orders.try_send(Order::Tell(topic)).is_ok();
        tokio::time::sleep(TELL_EVERY).await;
    }
}

/// Hears of what changed elsewhere.
async fn hear(starter: Arc<Starter>) {
    let Some(mut ears) = starter.store.ears() else {
        return;
    };
    loop {
        let heard = ears.hear(starter.ids.run()).await;
        match heard.as_deref() {
            Some(RESULTS) => starter.results_changed.wake(),
            Some(DOWNLOADS) => starter.downloads_changed.wake(),
            // After a pause of the connection anything may have changed.
            _ => {
                starter.results_changed.wake();
                starter.downloads_changed.wake();
            }
        }
    }
}
