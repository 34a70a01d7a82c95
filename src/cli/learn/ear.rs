//! The port of `labwire profile learn`: bytes come in, are kept, and are then acknowledged.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Zoned;
use labwire_drivers::{
    CommitFailure, CommitResult, Concurrency, Connection, Endpoint, LineConfig, LineEvent,
    LineHandle, PortError, SystemClock, Upstream, endpoint::parse, spawn_line,
};
use labwire_protocols::wire::{Commit, CommitId};
use tokio::{sync::mpsc, time::Instant};

use super::LearnArgs;
use crate::{
    cli::{failure::Failure, out, out::Out},
    learn::{Learner, Listener, WallClock},
};

/// Portions that may wait to be looked at.
const NEWS_MAX: usize = 64;
/// Connections at once: devices that forgot an old one, and those that use two.
const CONNECTIONS_MAX: usize = 8;

/// What comes from the line.
enum News {
    Bytes(u64, Bytes),
    Told(String),
    Failed(Arc<PortError>),
}

pub(super) fn listen(
    args: &LearnArgs,
    port: &str,
    learner: &mut Learner,
    out: &mut Out,
) -> Result<(), Failure> {
    let (_, endpoint) = parse(port).map_err(|error| Failure::Usage(error.to_string()))?;
    let journal = args.journal.as_deref().map(Journal::open).transpose()?;
    if args.acknowledge && journal.is_none() {
        out::complain(
            "labwire: what is acknowledged now is kept nowhere, and the device forgets it; \
             --journal FILE keeps it\n",
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::CannotStart)?;
    runtime.block_on(async {
        let (news, mut heard) = mpsc::channel(NEWS_MAX);
        let acknowledges = args.acknowledge || journal.is_some();
        let line = open(endpoint, news, journal, acknowledges);
        let outcome = hear(args, &mut heard, learner, out).await;
        // What was kept may be acknowledged still; what comes now is not waited for.
        heard.close();
        line.stop().await;
        while let Ok(news) = heard.try_recv() {
            if let News::Bytes(connection, bytes) = news {
                learner.take(connection, &bytes);
            }
        }
        outcome
    })
}

fn open(
    endpoint: Endpoint,
    news: mpsc::Sender<News>,
    journal: Option<Journal>,
    acknowledges: bool,
) -> LineHandle {
    let is_dialled = endpoint.dials();
    let config = LineConfig {
        concurrency: Concurrency::Many(CONNECTIONS_MAX),
        // What is heard is kept where the site wants it, and nowhere else.
        capture_bytes_max: 0,
        ..LineConfig::new("learn", endpoint)
    };
    let ear = Ear {
        news,
        journal,
        is_dialled,
    };
    let clock: WallClock = Arc::new(|| Zoned::now().strftime("%Y%m%d%H%M%S").to_string());
    let machines = Arc::new(move || {
        let clock = acknowledges.then(|| Arc::clone(&clock));
        Box::new(Listener::new(clock)) as Box<dyn labwire_protocols::wire::Machine>
    });
    spawn_line(
        config,
        Arc::new(ear),
        Arc::new(SystemClock::default()),
        machines,
    )
}

async fn hear(
    args: &LearnArgs,
    heard: &mut mpsc::Receiver<News>,
    learner: &mut Learner,
    out: &mut Out,
) -> Result<(), Failure> {
    let end = args.length.map(|length| Instant::now() + length);
    let messages = args.messages.and_then(|count| usize::try_from(count).ok());
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    let mut can_interrupt = true;
    loop {
        let news = tokio::select! {
            news = heard.recv() => news,
            () = until(end) => return Ok(()),
            heard = &mut interrupt, if can_interrupt => match heard {
                Ok(()) => return Ok(()),
                // Where Ctrl-C cannot be heard, --for and --messages end it.
                Err(_) => {
                    can_interrupt = false;
                    continue;
                }
            },
        };
        match news {
            None => return Ok(()),
            // What was heard before the port went away is worth a draft; it is tried again meanwhile.
            Some(News::Failed(error)) if learner.counts().bytes > 0 => out.line(error)?,
            Some(News::Failed(error)) => return Err(Failure::Port(error)),
            Some(News::Told(text)) => out.line(text)?,
            Some(News::Bytes(connection, bytes)) => {
                for text in learner.take(connection, &bytes) {
                    out.line(text)?;
                }
            }
        }
        out.flush()?;
        if learner.is_full() {
            out.line("enough was heard")?;
            return Ok(());
        }
        if messages.is_some_and(|count| learner.messages() >= count) {
            return Ok(());
        }
    }
}

async fn until(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// The owner of the line.
struct Ear {
    news: mpsc::Sender<News>,
    journal: Option<Journal>,
    is_dialled: bool,
}

impl Ear {
    /// News is for people: where too much waits already, one line less does no harm.
    fn tell(&self, news: News) {
        drop(self.news.try_send(news));
    }
}

impl Upstream for Ear {
    fn commit(
        &self,
        connection: &Connection,
        _: CommitId,
        commit: Commit,
    ) -> BoxFuture<'static, CommitResult> {
        let Commit::Message(received) = commit else {
            // The listener asks for nothing else.
            return Box::pin(async { Err(CommitFailure::default()) });
        };
        let (news, journal) = (self.news.clone(), self.journal.clone());
        let (number, bytes) = (connection.number, received.bytes);
        Box::pin(async move {
            if let Some(journal) = journal {
                let kept = bytes.clone();
                let outcome = tokio::task::spawn_blocking(move || journal.keep(&kept)).await;
                if !matches!(outcome, Ok(Ok(()))) {
                    let told = "the journal cannot be written: nothing more is acknowledged";
                    drop(news.send(News::Told(told.to_owned())).await);
                    return Err(CommitFailure::default());
                }
            }
            // At the end nobody looks any more; what is on disk is on disk all the same.
            drop(news.send(News::Bytes(number, bytes)).await);
            Ok(None)
        })
    }

    fn on_event(&self, event: LineEvent) {
        match event {
            LineEvent::Listening(address) => {
                self.tell(News::Told(format!(
                    "listening at {address}; Ctrl-C ends it"
                )));
            }
            LineEvent::Connected(connection) => {
                self.tell(News::Told(format!("connected: {}", connection.peer)));
            }
            LineEvent::Lost { why, .. } => {
                self.tell(News::Told(format!("connection ended: {why}")))
            }
            LineEvent::Refused { peer, why } => {
                self.tell(News::Told(format!("refused {peer}: {why}")));
            }
            // A device that is off may be switched on; a port of this machine will not come.
            LineEvent::Unavailable(error) if self.is_dialled => {
                self.tell(News::Told(error.to_string()));
            }
            LineEvent::Unavailable(error) => self.tell(News::Failed(error)),
            LineEvent::Opening { .. }
            | LineEvent::Retry { .. }
            | LineEvent::Replaced { .. }
            | LineEvent::Read { .. }
            | LineEvent::Written { .. }
            | LineEvent::Note { .. }
            | LineEvent::Finished(..)
            | LineEvent::Stopped => {}
        }
    }
}

/// The file in which every byte is on disk before its acknowledgement leaves.
#[derive(Clone)]
struct Journal(Arc<Mutex<File>>);

impl Journal {
    /// Opens a file for appending: what an earlier run acknowledged is in it and nowhere else.
    fn open(path: &Path) -> Result<Self, Failure> {
        let opened = create(path).and_then(|file| {
            file.sync_all()?;
            // A new file is there after a crash only when its folder knows of it.
            if let Some(folder) = path.parent().filter(|folder| folder.is_dir()) {
                File::open(folder)?.sync_all()?;
            }
            Ok(file)
        });
        opened
            .map(|file| Self(Arc::new(Mutex::new(file))))
            .map_err(|source| Failure::CannotKeep {
                path: path.to_owned(),
                source,
            })
    }

    fn keep(&self, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(bytes)?;
        file.sync_data()
    }
}

/// It holds patients' data: nobody else on this machine may read it.
fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}
