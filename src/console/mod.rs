//! The web console: what needs a human, first.
//!
//! Pages are made on the server ([`page`]), kept fresh by one stream of events for each open page
//! ([`live`]), and show nothing but a login without a session ([`gate`]). The same data is given to
//! programs as JSON ([`api`]) and as counters ([`metrics`]). Everything a browser needs is in the
//! binary ([`assets`]).
//!
//! One task looks at the bridge for all open pages, so that fifty consoles cost hardly more than one.
//! Absent on purpose: a way to a page, a number or a name of a patient that does not pass the gate;
//! an inline script or style; a POST that does not carry the token of its form ([`gate::Posted`]).

mod acts;
mod alerts;
mod api;
mod assets;
mod audit;
mod calls;
mod devices;
mod fault;
mod gate;
mod ledger;
mod live;
mod login;
mod look;
mod me;
mod metrics;
mod page;
mod patient;
mod qc;
mod queue;
mod serve;
mod settings;
mod specimens;
mod users;
mod wire;
mod words;
mod work;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, middleware, routing::get};
use labwire_drivers::LineHandle;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    bridge::{Running, Site},
    config::Loaded,
    people::{self, Lockout, Ticket},
    store::{Clock, Db, Store, StoreError, Turn},
};

pub use self::serve::Limits;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    look::ALL.to_vec()
}

/// Why the console did not open.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The address can be reached from other machines, and nothing protects what goes over the
    /// network yet.
    #[error(
        "the console does not listen on {address}: passwords and patients would cross the network \
         readable by all; write listen = \"127.0.0.1:8080\" and reach it by a tunnel, such as \
         ssh -L 8080:127.0.0.1:8080"
    )]
    NotLoopback {
        /// As written.
        address: String,
    },
    /// The port.
    #[error("the console cannot listen on {address}")]
    Port {
        /// As written.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The store.
    #[error("the console cannot read the store")]
    Store(#[from] StoreError),
    /// No secret can be made.
    #[error("the system gives no random bytes")]
    Random(#[from] getrandom::Error),
}

/// What a console shows.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Every line by its id.
    pub lines: BTreeMap<String, LineHandle>,
    /// The store.
    pub store: Store,
    /// The site as it runs.
    pub site: Arc<Site>,
    /// The site's files.
    pub loaded: Arc<Loaded>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
}

impl Parts {
    /// What a bridge at work has to show.
    pub fn of(running: &Running, loaded: Arc<Loaded>, clock: Arc<dyn Clock>) -> Self {
        Self {
            lines: running
                .lines
                .iter()
                .map(|(id, line)| (id.clone(), line.clone()))
                .chain(running.result_lines())
                .collect(),
            store: running.store.clone(),
            site: Arc::clone(&running.site),
            loaded,
            clock,
        }
    }
}

/// Everything that a request may need.
#[derive(Debug)]
pub(crate) struct App {
    parts: Parts,
    lockout: Lockout,
    /// Passwords hashed at once: each takes 19 MiB and a core for a while.
    hashing: Semaphore,
    /// What the one-time link carries, while there is nobody.
    setup: Mutex<Option<Ticket>>,
    live: live::Live,
    ledger: ledger::Cached,
    stop: CancellationToken,
}

/// Passwords hashed at once.
const HASHING_MAX: usize = 2;

impl App {
    fn now(&self) -> i64 {
        self.parts.clock.utc_micros()
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.parts.store.read(work).await
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.parts.store.transact(Turn::Background, work).await
    }

    /// Takes the one-time link away; true for the first who has it right.
    fn is_setup(&self, sent: &str) -> bool {
        let setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
        setup
            .as_ref()
            .is_some_and(|ticket| ticket.is_form_token(sent))
    }

    fn end_setup(&self) {
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A console at work.
#[derive(Debug)]
pub struct Console {
    address: SocketAddr,
    setup: Option<String>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Console {
    /// Opens a console on `listen`, `address:port`.
    ///
    /// # Errors
    /// See [`ConsoleError`].
    pub async fn start(parts: Parts, listen: &str, limits: Limits) -> Result<Self, ConsoleError> {
        let listener = bind(listen).await?;
        Self::start_on(parts, listener, limits).await
    }

    /// Opens a console on a port that is open.
    ///
    /// # Errors
    /// As [`Console::start`].
    pub async fn start_on(
        parts: Parts,
        listener: TcpListener,
        limits: Limits,
    ) -> Result<Self, ConsoleError> {
        let address = listener.local_addr().map_err(|source| ConsoleError::Port {
            address: String::new(),
            source,
        })?;
        let setup = if parts.store.read(people::count).await? == 0 {
            Some(Ticket::new()?)
        } else {
            None
        };
        let link = setup
            .as_ref()
            .map(|ticket| format!("http://{address}/setup?token={}", ticket.form_token()));
        let stop = CancellationToken::new();
        let app = Arc::new(App {
            parts,
            lockout: Lockout::default(),
            hashing: Semaphore::new(HASHING_MAX),
            setup: Mutex::new(setup),
            live: live::Live::default(),
            ledger: ledger::Cached::default(),
            stop: stop.clone(),
        });
        let looking = live::keep_looking(Arc::clone(&app));
        let router = router(app);
        let serving = tokio::spawn({
            let stop = stop.clone();
            async move {
                tokio::join!(serve::serve(listener, router, limits, stop), looking);
            }
        });
        Ok(Self {
            address,
            setup: link,
            stop,
            serving,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The link that creates the first administrator, where there is nobody yet.
    pub fn setup_link(&self) -> Option<&str> {
        self.setup.as_deref()
    }

    /// Lets answers under way end, and closes.
    pub async fn stop(self) {
        self.stop.cancel();
        // A console that panicked has been logged by the runtime.
        drop(self.serving.await);
    }
}

/// A port that is reached from this machine alone.
async fn bind(listen: &str) -> Result<TcpListener, ConsoleError> {
    let failed = |source| ConsoleError::Port {
        address: listen.to_owned(),
        source,
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(listen)
        .await
        .map_err(failed)?
        .collect();
    if addresses.iter().any(|address| !address.ip().is_loopback()) {
        return Err(ConsoleError::NotLoopback {
            address: listen.to_owned(),
        });
    }
    TcpListener::bind(addresses.as_slice())
        .await
        .map_err(failed)
}

/// How long the port of a console may be taken before it is tried again.
const BIND_AGAIN: Duration = Duration::from_secs(5);

/// Opens the console of a site, and tries again while its port is taken: results must not wait for a
/// page. Ends with `stop`.
///
/// # Errors
/// What trying again does not mend.
pub async fn run(parts: Parts, listen: &str, stop: CancellationToken) -> Result<(), ConsoleError> {
    loop {
        match Console::start(parts.clone(), listen, Limits::default()).await {
            Ok(console) => {
                let address = console.address();
                tracing::info!(%address, "the console is open: http://{address}/");
                if let Some(link) = console.setup_link() {
                    tracing::warn!("nobody may log in yet: create the administrator at {link}");
                }
                stop.cancelled().await;
                console.stop().await;
                return Ok(());
            }
            Err(error @ (ConsoleError::Port { .. } | ConsoleError::Store(_))) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(cause, "{error}; trying again");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(BIND_AGAIN) => {}
        }
    }
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/", get(work::show))
        .merge(login::routes())
        .merge(me::routes())
        .merge(devices::routes())
        .merge(queue::routes())
        .merge(calls::routes())
        .merge(alerts::routes())
        .merge(specimens::routes())
        .merge(users::routes())
        .route("/qc", get(qc::show))
        .route("/audit", get(audit::show))
        .route("/settings", get(settings::show))
        .route("/live", get(live::stream))
        .nest("/api/v1", api::routes())
        .route("/assets/{name}", get(assets::serve))
        .route("/healthz", get(metrics::healthz))
        .route("/readyz", get(metrics::readyz))
        .route("/metrics", get(metrics::show))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), gate::pass))
        .with_state(app)
}

/// Whether a console may listen there: on this machine alone, as long as it has no TLS.
pub fn is_loopback(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
