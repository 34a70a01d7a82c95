//! Opening a store: address, lock, schema, threads.

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use crossbeam_channel::Receiver;
use tokio::sync::{Semaphore, oneshot};

use super::{
    Inner, Store, StoreOptions, Turn,
    address::Address,
    clock::Clock,
    error::StoreError,
    file::{cannot_open, check_folder},
    health::Board,
    keeper::Keeper,
    lane::Lane,
    lock::Lock,
    migrate,
    reader::Reader,
    session::{Access, Session},
    sqlite::SqliteBackend,
    writer::{Queues, Writer},
};

/// Reader threads: a page of the console, a host query and a report at the same time.
const READERS: usize = 3;

/// How often a node asks at its start for its turn to look at the schema; each waits five seconds.
const SCHEMA_TRIES: u32 = 24;

/// All threads of a store.
pub(super) const THREADS: usize = READERS + 2;

/// Reads that may wait before whoever asks has to wait too.
const READS_WAITING_MAX: usize = 64;

pub(super) async fn open(
    url: &str,
    options: StoreOptions,
    clock: Arc<dyn Clock>,
) -> Result<Store, StoreError> {
    let address = Address::read(url)?;
    if let (Address::File(path), Some(_)) = (&address, &options.node) {
        return Err(StoreError::OneOwner {
            path: path.display().to_string().into(),
        });
    }
    let shown = address.shown();
    let backend = address.backend(&options, Arc::clone(&clock));
    let board = Arc::new(Board::default());
    let (stop, stopped) = crossbeam_channel::bounded(THREADS);
    let ended = Arc::new(Semaphore::new(0));
    let (lanes, queues) = lanes(&stopped);
    let (reads, read_queue) = Lane::new(READS_WAITING_MAX);
    let (has_work, upkeep_due) = crossbeam_channel::bounded(1);
    let writer = Writer {
        backend: Arc::clone(&backend),
        clock,
        faults: options.faults,
        board: Arc::clone(&board),
        path: shown,
        queues,
        upkeep: has_work,
        lock: None,
    };
    let reader = Reader {
        backend: Arc::clone(&backend),
        queue: read_queue,
        stop: stopped.clone(),
    };
    let inner = Inner {
        lanes,
        reads,
        backend: Arc::clone(&backend),
        board,
        stop,
        ended: Arc::clone(&ended),
        #[cfg(test)]
        by_hand: options.by_hand.clone(),
    };
    #[cfg(test)]
    if let Some(hand) = options.by_hand {
        hand.open(writer, reader, prepare)?;
        return Ok(Store::of_hand(inner, &hand));
    }
    start_writer(writer, &ended).await?;
    let keeper = Keeper {
        backend,
        due: upkeep_due,
        stop: stopped,
    };
    start_others(keeper, &reader, &ended)?;
    Ok(Store {
        inner: Arc::new(inner),
    })
}

/// Starts upkeep and the readers.
fn start_others(keeper: Keeper, reader: &Reader, ended: &Arc<Semaphore>) -> Result<(), StoreError> {
    let end = End(Arc::clone(ended));
    spawn("store-upkeep", move || {
        keeper.run();
        drop(end);
    })?;
    for _ in 0..READERS {
        let end = End(Arc::clone(ended));
        let reader = reader.clone();
        spawn("store-reader", move || {
            reader.run();
            drop(end);
        })?;
    }
    Ok(())
}

fn lanes(stop: &Receiver<()>) -> ([Lane; 4], Queues) {
    let [journal, reply, canonical, background] = Turn::ALL.map(|turn| Lane::new(turn.places()));
    let queues = Queues {
        journal: journal.1,
        reply: reply.1,
        canonical: canonical.1,
        background: background.1,
        stop: stop.clone(),
    };
    ([journal.0, reply.0, canonical.0, background.0], queues)
}

/// Starts the writer; resolves when it has the lock and the schema, or cannot have them.
async fn start_writer(mut writer: Writer, ended: &Arc<Semaphore>) -> Result<(), StoreError> {
    let end = End(Arc::clone(ended));
    let (ready, is_ready) = oneshot::channel();
    spawn("store-writer", move || {
        match prepare(&mut writer) {
            Ok(session) => {
                drop(ready.send(Ok(())));
                writer.run(session);
            }
            Err(error) => {
                drop(writer);
                drop(ready.send(Err(error)));
            }
        }
        drop(end);
    })?;
    is_ready.await.unwrap_or(Err(StoreError::Closed))
}

fn prepare(writer: &mut Writer) -> Result<Box<dyn Session>, StoreError> {
    writer.lock = writer.backend.own()?;
    let mut session = writer.backend.connect(Access::Write)?;
    let now = writer.clock.utc_micros();
    // Another node may be changing the schema; this one waits, and finds it done.
    let is_node = Arc::clone(&writer.backend).seat().is_some();
    let tries = if is_node { SCHEMA_TRIES } else { 1 };
    for left in (0..tries).rev() {
        match migrate::migrate(session.as_mut(), migrate::SCHEMA, &writer.path, now) {
            Err(StoreError::Busy { .. }) if left > 0 => {}
            outcome => {
                outcome?;
                break;
            }
        }
    }
    writer.backend.claim(session.as_mut())?;
    Ok(session)
}

pub(super) fn restore(url: &str, from: &Path) -> Result<(), StoreError> {
    let database = Address::read(url)?.file()?;
    check_folder(&database)?;
    // A connection would not create the missing backup, but its words are about the database.
    std::fs::metadata(from).map_err(|error| cannot_open(from, error))?;
    let lock = Lock::take(&database)?;
    let outcome = SqliteBackend::new(database, None).restore(from);
    drop(lock);
    outcome
}

/// Tells, when it is dropped, that a thread has ended, also by a panic.
struct End(Arc<Semaphore>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

pub(super) fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map(|_| ())
        .map_err(|source| StoreError::Thread {
            source: Arc::new(source),
        })
}

/// Drives a future of the store on a thread that has no runtime. It needs none: its wake-ups come
/// from the store's threads.
pub(super) fn wait_for<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
