//! Opening a store: address, lock, schema, threads.

use std::{
    future::Future,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use crossbeam_channel::Receiver;
use tokio::sync::{Semaphore, oneshot};

use super::{
    Inner, Store, StoreOptions, Turn,
    clock::Clock,
    error::StoreError,
    file::cannot_open,
    health::Board,
    keeper::Keeper,
    lane::Lane,
    lock::Lock,
    migrate,
    reader::Reader,
    session::{Access, Backend, Session},
    sqlite::SqliteBackend,
    writer::{Queues, Writer},
};

/// Reader threads: a page of the console, a host query and a report at the same time.
const READERS: usize = 3;

/// All threads of a store.
pub(super) const THREADS: usize = READERS + 2;

/// Reads that may wait before whoever asks has to wait too.
const READS_WAITING_MAX: usize = 64;

pub(super) async fn open(
    url: &str,
    options: StoreOptions,
    clock: Arc<dyn Clock>,
) -> Result<Store, StoreError> {
    let database = database_path(url)?;
    let shown: Arc<str> = database.display().to_string().into();
    let pages_max = options.pages_max;
    let backend: Arc<dyn Backend> = Arc::new(SqliteBackend::new(database.clone(), pages_max));
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
    start_writer(writer, database, &ended).await?;
    let keeper = Keeper {
        backend: Arc::clone(&backend),
        due: upkeep_due,
        stop: stopped.clone(),
    };
    let end = End(Arc::clone(&ended));
    spawn("store-upkeep", move || {
        keeper.run();
        drop(end);
    })?;
    for _ in 0..READERS {
        let end = End(Arc::clone(&ended));
        let reader = Reader {
            backend: Arc::clone(&backend),
            queue: read_queue.clone(),
            stop: stopped.clone(),
        };
        spawn("store-reader", move || {
            reader.run();
            drop(end);
        })?;
    }
    Ok(Store {
        inner: Arc::new(Inner {
            lanes,
            reads,
            backend,
            board,
            stop,
            ended,
        }),
    })
}

pub(super) fn database_path(url: &str) -> Result<PathBuf, StoreError> {
    let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if scheme != "sqlite" || path.is_empty() || path.starts_with(':') {
        return Err(StoreError::UrlUnknown {
            scheme: scheme.to_owned(),
        });
    }
    Ok(PathBuf::from(path))
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
async fn start_writer(
    mut writer: Writer,
    database: PathBuf,
    ended: &Arc<Semaphore>,
) -> Result<(), StoreError> {
    let end = End(Arc::clone(ended));
    let (ready, is_ready) = oneshot::channel();
    spawn("store-writer", move || {
        match prepare(&mut writer, &database) {
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

fn prepare(writer: &mut Writer, database: &Path) -> Result<Box<dyn Session>, StoreError> {
    check_folder(database)?;
    writer.lock = Some(Lock::take(database)?);
    let mut session = writer.backend.connect(Access::Write)?;
    let now = writer.clock.utc_micros();
    migrate::migrate(session.as_mut(), migrate::MIGRATIONS, &writer.path, now)?;
    Ok(session)
}

fn check_folder(database: &Path) -> Result<(), StoreError> {
    match database.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            Err(StoreError::FolderMissing {
                path: folder.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

pub(super) fn restore(url: &str, from: &Path) -> Result<(), StoreError> {
    let database = database_path(url)?;
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
