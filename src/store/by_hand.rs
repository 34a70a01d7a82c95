//! A store that takes its steps when it is told to: for simulations, where nothing may go on by itself.
//!
//! Writer and reader are those of every store. They stand on one thread, which works only while
//! whoever asked waits for it, so that the order of everything is the order of the asking.

use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
        mpsc::{Sender, channel},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    db::Db,
    error::StoreError,
    reader::Reader,
    session::{Access, Backend, Session},
    writer::{Pace, Writer},
};

/// The hand that lets a store take its steps; clones are the same.
#[derive(Clone)]
pub(crate) struct ByHand {
    steps: Sender<Step>,
    /// Rung when work is put into a queue of the writer,
    pub(super) bell: Arc<Notify>,
    /// and into that of the readers.
    pub(super) read_bell: Arc<Notify>,
    is_dead: Arc<AtomicBool>,
    pauses: Arc<Mutex<Pauses>>,
}

type Step = Box<dyn FnOnce(&mut Bench) + Send>;

/// How long each step takes.
type Pauses = Box<dyn FnMut() -> Duration + Send>;

/// What stands on the thread.
#[derive(Default)]
struct Bench {
    writer: Option<Writer>,
    session: Option<Box<dyn Session>>,
    pace: Pace,
    reader: Option<Reader>,
    reading: Option<Box<dyn Session>>,
    backend: Option<Arc<dyn Backend>>,
    /// For whoever looks on.
    looking: Option<Box<dyn Session>>,
}

impl fmt::Debug for ByHand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ByHand")
            .field("is_dead", &self.is_dead)
            .finish_non_exhaustive()
    }
}

impl ByHand {
    /// A hand for one store, whose thread logs to `log`, and whose steps take so long.
    pub(crate) fn new(log: tracing::Dispatch, pauses: Pauses) -> Self {
        let (steps, asked) = channel::<Step>();
        thread::spawn(move || {
            tracing::dispatcher::with_default(&log, || {
                let mut bench = Bench::default();
                asked.into_iter().for_each(|step| step(&mut bench));
            });
        });
        Self {
            steps,
            bell: Arc::default(),
            read_bell: Arc::default(),
            is_dead: Arc::default(),
            pauses: Arc::new(Mutex::new(pauses)),
        }
    }

    /// How long the next step takes.
    pub(crate) fn pause(&self) -> Duration {
        let mut pauses = self.pauses.lock().unwrap_or_else(PoisonError::into_inner);
        (*pauses)()
    }

    /// Does something on the thread and waits for it.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Bench) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let (done, is_done) = channel();
        let step = move |bench: &mut Bench| drop(done.send(work(bench)));
        self.steps
            .send(Box::new(step))
            .map_err(|_| StoreError::Closed)?;
        is_done.recv().map_err(|_| StoreError::Closed)
    }

    /// Takes a store over, once `prepare` has its lock and its schema.
    pub(super) fn open(
        &self,
        mut writer: Writer,
        reader: Reader,
        prepare: fn(&mut Writer) -> Result<Box<dyn Session>, StoreError>,
    ) -> Result<(), StoreError> {
        self.run(move |bench| {
            // One that could not start has let its lock go.
            *bench = Bench::default();
            bench.session = Some(prepare(&mut writer)?);
            bench.backend = Some(Arc::clone(&writer.backend));
            bench.writer = Some(writer);
            bench.reader = Some(reader);
            Ok(())
        })?
    }

    /// Waits until there is work for the writer.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Waits until there is work for a reader.
    pub(crate) async fn rung_to_read(&self) {
        self.read_bell.notified().await;
    }

    /// Lets the writer commit one group. False: nothing waits, or the process is dead.
    pub(crate) fn write(&self) -> bool {
        !self.is_dead() && matches!(self.run(Bench::write), Ok(true))
    }

    /// Lets a reader do what waits for it.
    pub(crate) fn read(&self) -> bool {
        !self.is_dead() && matches!(self.run(Bench::read), Ok(true))
    }

    /// Looks at what is committed, beside the store.
    pub(crate) fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |bench| bench.look(look))?
    }

    /// Drives a future of the store by its steps: what a thread that blocks would wait for.
    pub(super) fn wait_for<T>(
        &self,
        future: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let mut future = pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
                return outcome;
            }
            // Both, for it may stand in either queue.
            let goes_on = self.write() | self.read();
            if !goes_on {
                return Err(StoreError::Closed);
            }
        }
    }

    /// The process dies here: no step is taken from now on, and nobody hears of the last one.
    pub(crate) fn die(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// Upgrades as long as anything of this store is held by anybody.
    pub(crate) fn trace(&self) -> Weak<AtomicBool> {
        Arc::downgrade(&self.is_dead)
    }

    /// What the system does when a process has died: its locks go, its transaction is undone.
    pub(crate) fn bury(&self) {
        self.die();
        // A thread that is gone has nothing left.
        drop(self.run(|bench| *bench = Bench::default()));
    }
}

impl Bench {
    fn write(&mut self) -> bool {
        let writer = self.writer.as_ref();
        writer.is_some_and(|writer| writer.step(&mut self.session, &mut self.pace))
    }

    fn read(&mut self) -> bool {
        let reader = self.reader.as_ref();
        reader.is_some_and(|reader| reader.step(&mut self.reading))
    }

    fn look<T>(
        &mut self,
        look: impl FnOnce(&mut dyn Db) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let backend = self.backend.as_ref().ok_or(StoreError::Closed)?;
        let session = match &mut self.looking {
            Some(session) => session,
            none => none.insert(backend.connect(Access::Read)?),
        };
        session.begin()?;
        let found = look(session.as_mut());
        session.rollback()?;
        found
    }
}
