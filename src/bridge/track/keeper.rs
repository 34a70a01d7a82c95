//! The keeper of a line: one task that takes what stands in the journal to the books and the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError, TryLockError},
    time::Duration,
};

use labwire_drivers::LineHandle;
use labwire_protocols::wire::{OutId, Outgoing, OutgoingKind, SendOutcome};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    store::{Db, Store, StoreError, Turn, journal},
    track::{
        adapter::{Read, Unplaced},
        forecast::{LOOK_EVERY_MS, News as Foretold},
        state::Track,
    },
    tubes::{
        rows::{self, time},
        site::TrackSite,
    },
};

use super::{
    super::{
        device::{Answers, Ids},
        news::News as QueueNews,
        site::Site,
    },
    News,
    books::{Books, Context, Done, FAULT, Order, Told},
    command,
};

/// Messages that one transaction takes.
const BATCH_MAX: u32 = 32;
/// Rows from which books are built again: a morning of a large line, some tens of megabytes at a start.
const ROWS_MAX: i64 = 100_000;
/// Overdue tubes are looked for so often.
const TICK: Duration = Duration::from_secs(1);
/// Tubes that wait are asked about, and what people did is looked for, every so many ticks.
const TICKS_TO_ASK: u64 = 5;
/// The first pause when the store is away.
const STORE_AWAY: Duration = Duration::from_millis(200);
/// A command that the line did not take for so long is not worth sending any more.
const COMMAND_WITHIN: Duration = Duration::from_secs(30);
/// An instrument that is not connected and was silent for so long is offline: many call only when they
/// have something to say.
const SILENT: i64 = 10 * 60 * 1_000_000;

/// What a keeper works with.
pub(in crate::bridge) struct Parts {
    pub(in crate::bridge) track: Arc<TrackSite>,
    pub(in crate::bridge) site: Arc<Site>,
    pub(in crate::bridge) store: Store,
    pub(in crate::bridge) clock: Arc<dyn labwire_drivers::Clock>,
    pub(in crate::bridge) ids: Arc<Ids>,
    /// The lines of instruments.
    pub(in crate::bridge) answers: Arc<Answers>,
    /// Results may go on.
    pub(in crate::bridge) results_changed: Arc<QueueNews>,
    pub(in crate::bridge) journalled: Arc<Notify>,
}

/// The books of a line at work, for whoever shows them.
#[derive(Clone, Debug)]
pub struct LineBooks(Arc<Mutex<Books>>);

impl LineBooks {
    /// What `see` makes of the books now; `None` while a transaction has them, which is soon over.
    /// The keeper waits meanwhile, so that `see` has to be short.
    pub fn look<T>(&self, see: impl FnOnce(&Track) -> T) -> Option<T> {
        let books = match self.0.try_lock() {
            Ok(books) => books,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(see(&books.track))
    }
}

/// See the module.
pub(in crate::bridge) struct Keeper {
    parts: Parts,
    line: LineHandle,
    news: mpsc::UnboundedReceiver<News>,
    books: Arc<Mutex<Books>>,
    /// Commands on their way.
    sent: BTreeMap<OutId, String>,
    /// What people did is known up to here, UTC microseconds.
    looked_at: i64,
    ticks: u64,
}

impl Keeper {
    /// Builds the books from what the store has, and takes what the last run left in the journal; to
    /// be called before couriers go.
    pub(in crate::bridge) async fn open(
        parts: Parts,
        line: LineHandle,
        news: mpsc::UnboundedReceiver<News>,
    ) -> Result<Self, StoreError> {
        let looked_at = parts.clock.utc_micros();
        let books = Arc::new(Mutex::new(Books::new(&parts.track)));
        let mut keeper = Self {
            parts,
            line,
            news,
            books,
            sent: BTreeMap::new(),
            looked_at,
            ticks: 0,
        };
        keeper.rebuild().await?;
        Ok(keeper)
    }

    /// The books, which stay the same ones as long as it runs.
    pub(in crate::bridge) fn books(&self) -> LineBooks {
        LineBooks(Arc::clone(&self.books))
    }

    /// Runs until stopped, and takes what was journalled until then.
    pub(in crate::bridge) async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let journalled = Arc::clone(&self.parts.journalled);
        loop {
            let mut is_last = false;
            let outcome = tokio::select! {
                () = journalled.notified() => self.take().await,
                news = self.news.recv() => match news {
                    Some(news) => self.on_news(news),
                    None => Ok(()),
                },
                _ = tick.tick() => self.on_tick().await,
                () = stop.cancelled() => {
                    is_last = true;
                    self.take().await
                }
            };
            if is_last || matches!(outcome, Err(StoreError::Closed)) {
                return;
            }
            if let Err(error) = outcome {
                self.begin_again(&error).await;
            }
        }
    }

    /// After an error nobody knows what the books have and the store has not.
    async fn begin_again(&mut self, error: &StoreError) {
        let line = &self.parts.track.id;
        tracing::warn!(line, %error, "the books of the line are built again from the store");
        let mut pause = STORE_AWAY;
        loop {
            tokio::time::sleep(pause).await;
            match self.rebuild().await {
                Ok(()) | Err(StoreError::Closed) => break,
                Err(_) => pause = (pause * 2).min(Duration::from_secs(5)),
            }
        }
        self.parts.journalled.notify_one();
    }

    async fn rebuild(&mut self) -> Result<(), StoreError> {
        let track = Arc::clone(&self.parts.track);
        let now = self.parts.clock.utc_micros();
        let forget = i64::try_from(track.line.limits.forget_after_ms).unwrap_or(i64::MAX / 1_000);
        let since = now.saturating_sub(forget.saturating_mul(1_000));
        let id = track.id.clone();
        let stored = self
            .parts
            .store
            .read(move |db| rows::recent(db, &id, since, ROWS_MAX))
            .await?;
        let (books, missing) = Books::rebuilt(&track, &stored, now);
        if !missing.is_empty() {
            let write = move |db: &mut dyn Db| rows::insert(db, &missing);
            self.parts.store.transact(Turn::Canonical, write).await?;
        }
        *lock(&self.books) = books;
        Ok(())
    }

    /// Takes what stands in the journal, from its begin each time: a message may come to stand there
    /// behind a later one, when its commit was reported as failed.
    async fn take(&mut self) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let id = self.parts.track.id.clone();
            let read =
                move |db: &mut dyn Db| journal::unparsed(db, &id, (after, i64::MAX), BATCH_MAX);
            let found = self.parts.store.read(read).await?;
            let Some(last) = found.last().map(|row| row.id) else {
                return Ok(());
            };
            let told: Vec<Told> = found
                .iter()
                .map(|row| tell(&self.parts.track, row))
                .collect();
            let told = Arc::new(told);
            match self.hear(&told, 0..told.len()).await {
                Err(error) if is_own(&error) => {
                    tracing::warn!(%error, "messages of a line are taken one by one");
                    self.rebuild().await?;
                    for index in 0..told.len() {
                        self.take_alone(&told, index).await?;
                    }
                }
                outcome => outcome?,
            }
            after = last;
        }
    }

    async fn hear(
        &mut self,
        told: &Arc<Vec<Told>>,
        range: std::ops::Range<usize>,
    ) -> Result<(), StoreError> {
        let told = Arc::clone(told);
        let hear = move |books: &mut Books, db: &mut dyn Db, context: &Context<'_>| {
            books.hear(db, context, told.get(range).unwrap_or_default())
        };
        let done = self.transact(Turn::Reply, hear).await?;
        self.carry_out(done);
        Ok(())
    }

    /// A message that the store refuses for itself is held, so that it cannot stop those behind it.
    async fn take_alone(&mut self, told: &Arc<Vec<Told>>, index: usize) -> Result<(), StoreError> {
        match self.hear(told, index..index + 1).await {
            Err(error) if is_own(&error) => {
                tracing::error!(%error, "a message of the line could not be taken and is held");
                let message = told.get(index).map_or(0, |one| one.message);
                let hold = move |db: &mut dyn Db| {
                    journal::mark(db, message, journal::MessageState::Held, Some(FAULT))
                };
                self.parts.store.transact(Turn::Canonical, hold).await?;
                self.rebuild().await
            }
            outcome => outcome,
        }
    }

    /// Runs `work` with the books, in one transaction.
    async fn transact(
        &self,
        turn: Turn,
        work: impl FnOnce(&mut Books, &mut dyn Db, &Context<'_>) -> Result<Done, StoreError>
        + Send
        + 'static,
    ) -> Result<Done, StoreError> {
        let books = Arc::clone(&self.books);
        let (site, track) = (Arc::clone(&self.parts.site), Arc::clone(&self.parts.track));
        let ids = Arc::clone(&self.parts.ids);
        let now = self.parts.clock.utc_micros();
        let offline = self.offline(now);
        let unit = move |db: &mut dyn Db| {
            let context = Context {
                site: &site,
                track: &track,
                now,
                offline: &offline,
                number: &|| ids.once().to_string(),
            };
            work(&mut lock(&books), db, &context)
        };
        self.parts.store.transact(turn, unit).await
    }

    fn offline(&self, now: i64) -> BTreeSet<String> {
        let instruments = self.parts.track.instruments.keys();
        instruments
            .filter(|id| !self.parts.answers.is_alive(id, now - SILENT))
            .cloned()
            .collect()
    }

    fn carry_out(&mut self, done: Done) {
        if done.released > 0 {
            self.parts.results_changed.notify_waiters();
        }
        for order in done.orders {
            self.send(&order);
        }
    }

    fn send(&mut self, order: &Order) {
        let now = self.parts.clock.utc_micros();
        let written = command::transport(&command::Transport {
            line: &self.parts.track.id,
            number: &order.number,
            barcode: &order.barcode,
            to: &order.to,
            lane: &order.lane,
            time: &self.parts.site.laboratory.hl7_time(now),
            control_id: &self.parts.ids.reply(),
        });
        let line = &self.parts.track.id;
        let text = match written {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(line, %error, "a command cannot be written");
                return;
            }
        };
        let id = self.parts.ids.out();
        let outgoing = Outgoing {
            payload: text.into_bytes().into(),
            kind: OutgoingKind::Download,
            expires_after: Some(COMMAND_WITHIN),
        };
        match self.line.try_send(id, outgoing) {
            Ok(()) => drop(self.sent.insert(id, order.number.clone())),
            Err(error) => {
                tracing::warn!(line, %error, "a command was not sent");
                lock(&self.books).on_lost(&order.number, now);
            }
        }
    }

    fn on_news(&mut self, news: News) -> Result<(), StoreError> {
        let now = self.parts.clock.utc_micros();
        match news {
            News::Connected => lock(&self.books).ask_all_again(now),
            News::Sent(id, outcome) => {
                let Some(number) = self.sent.remove(&id) else {
                    return Ok(());
                };
                let line = &self.parts.track.id;
                match outcome {
                    SendOutcome::Sent => {}
                    SendOutcome::Answered(reply) => {
                        if let Some(why) = command::refusal(&reply) {
                            tracing::warn!(line, why, "the line did not take a command");
                            lock(&self.books).on_refused(&number, now);
                        }
                    }
                    SendOutcome::Failed(failure) => {
                        tracing::warn!(line, ?failure, "the line may not have taken a command");
                        lock(&self.books).on_lost(&number, now);
                    }
                }
            }
        }
        Ok(())
    }

    async fn on_tick(&mut self) -> Result<(), StoreError> {
        self.ticks += 1;
        let now = self.parts.clock.utc_micros();
        let is_to_ask = self.ticks.is_multiple_of(TICKS_TO_ASK);
        let found = {
            let mut books = lock(&self.books);
            self.foretell(&mut books, now);
            books.on_time(&self.parts.track, now)
        };
        if !found.is_empty() {
            let write = move |db: &mut dyn Db| rows::insert(db, &found);
            self.parts.store.transact(Turn::Canonical, write).await?;
        }
        if !is_to_ask {
            return Ok(());
        }
        // What nobody was told of: a commit that was reported as failed before its end was known.
        self.take().await?;
        self.see_what_people_did(now).await?;
        // Nothing is advised to a line that is not there; its tubes are asked about when it comes.
        let is_there = !self.line.status().connections.is_empty();
        if is_there && lock(&self.books).has_waiting(now) {
            let done = self.transact(Turn::Reply, Books::ask_waiting).await?;
            self.carry_out(done);
        }
        Ok(())
    }

    fn foretell(&self, books: &mut Books, now: i64) {
        if !self.ticks.is_multiple_of(LOOK_EVERY_MS / 1_000) {
            return;
        }
        let line = &self.parts.track.id;
        for news in books.watch.look(&books.track, time(now)) {
            match news {
                Foretold::Announced(forecast) => {
                    let module = &books.track.line().module(forecast.module).id;
                    let in_s = forecast.at.since(time(now)) / 1_000;
                    let why: Vec<&str> = forecast.why.iter().map(|why| why.code()).collect();
                    tracing::warn!(line, module, in_s, ?why, "a queue will exceed its limit");
                }
                Foretold::Withdrawn { module, .. } => {
                    let module = &books.track.line().module(module).id;
                    tracing::info!(line, module, "a queue will not exceed its limit any more");
                }
            }
        }
    }

    /// `labwire line cleared` beside the running bridge.
    async fn see_what_people_did(&mut self, now: i64) -> Result<(), StoreError> {
        let id = self.parts.track.id.clone();
        // No later than now, where the clock was set back.
        let since = self.looked_at.min(now - SEEN_LATE);
        let read = move |db: &mut dyn Db| rows::cleared(db, &id, since);
        let cleared = self.parts.store.read(read).await?;
        self.looked_at = now - SEEN_LATE;
        let mut books = lock(&self.books);
        for tube in cleared {
            books.track.settle_double(&tube);
        }
        drop(books);
        Ok(())
    }
}

/// A row may be committed a moment after its time, microseconds.
const SEEN_LATE: i64 = 10_000_000;

/// Whether an error is of the work itself, and would come again.
fn is_own(error: &StoreError) -> bool {
    !matches!(error, StoreError::Closed) && !error.is_unavailable()
}

/// Reads a message; a panic inside costs this message alone.
fn tell(track: &TrackSite, row: &journal::Message) -> Told {
    let at = time(row.received_at);
    let read = catch_unwind(AssertUnwindSafe(|| {
        if !row.is_complete {
            // Half a barcode is another tube's.
            let read = Read {
                unplaced: vec![Unplaced::Message],
                ..Read::default()
            };
            return (read, Vec::new());
        }
        let answers = if track.mapping.is_none() {
            command::answers(&row.raw)
        } else {
            Vec::new()
        };
        (track.read(&row.raw, at), answers)
    }));
    let (read, answers) = match read {
        Ok((read, answers)) => (Some(read), answers),
        Err(_) => {
            tracing::error!(
                line = track.id,
                message = row.id,
                "a message broke the reader"
            );
            (None, Vec::new())
        }
    };
    Told {
        message: row.id,
        received_at: row.received_at,
        read,
        answers,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // After a panic inside a transaction the store says so, and the books are built again.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
