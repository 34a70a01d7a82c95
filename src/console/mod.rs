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
mod downtime;
mod drawing;
mod fault;
mod gate;
mod health;
mod held;
mod held_api;
mod images;
mod ledger;
mod link;
mod live;
mod login;
mod look;
mod map;
mod me;
mod metrics;
mod numbers;
mod page;
mod paper;
mod patient;
mod profiles;
mod pulse;
mod qc;
mod queue;
mod serve;
mod settings;
mod specimens;
mod tally;
mod tls;
mod track;
mod users;
mod wire;
mod words;
mod work;

#[cfg(test)]
mod tests;

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{Router, middleware, routing::get};
use labwire_drivers::TlsError;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    bridge::{Open, Running, Site},
    certificates::Certificates,
    config::Loaded,
    people::{self, Lockout, Ticket},
    store::{Clock, Db, Store, StoreError, Turn},
    vitals::Vitals,
};

pub use self::serve::Limits;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    [look::ALL, pulse::ALL, tally::ALL].concat()
}

/// Why the console did not open.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// Its certificate and key cannot be used. Without them passwords and patients would cross the
    /// network readable by all.
    #[error("the console does not open without TLS, and its certificate cannot be used")]
    Tls {
        /// What is wrong with the files.
        #[source]
        source: Arc<TlsError>,
    },
    /// No certificate of its own can be made.
    #[error("the console cannot make its certificate beside the store")]
    Certificate {
        /// What the system said.
        #[source]
        source: io::Error,
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
    /// What is open: lines, and the books of automation lines.
    pub open: Open,
    /// The store.
    pub store: Store,
    /// The site as it runs.
    pub site: Arc<Site>,
    /// The site's files.
    pub loaded: Arc<Loaded>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The certificates of all ports.
    pub certificates: Arc<Certificates>,
    /// Whether the bridge gets on.
    pub vitals: Arc<Vitals>,
}

impl Parts {
    /// What a bridge at work has to show.
    pub fn of(running: &Running, loaded: Arc<Loaded>, clock: Arc<dyn Clock>) -> Self {
        Self {
            open: running.open.clone(),
            store: running.store.clone(),
            site: Arc::clone(&running.site),
            loaded,
            clock,
            certificates: Arc::clone(&running.certificates),
            vitals: Arc::clone(&running.vitals),
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
    pictures: track::Pictures,
    pulse: pulse::Pulse,
    profiles: tokio::sync::OnceCell<Arc<Vec<profiles::Listed>>>,
    ledger: ledger::Cached,
    secured: Option<tls::Secured>,
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
    fingerprint: Option<String>,
    scheme: &'static str,
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
        let secured = tls::secured(&parts.loaded, address, &parts.clock).await?;
        let (scheme, fingerprint) = match &secured {
            None => ("http", None),
            Some(secured) => {
                parts.certificates.add(Arc::clone(&secured.tls));
                let shown = secured.tls.status().certificate;
                ("https", shown.map(|one| one.fingerprint))
            }
        };
        let setup = if parts.store.read(people::count).await? == 0 {
            Some(Ticket::new()?)
        } else {
            None
        };
        let link = setup.as_ref().map(|ticket| {
            format!(
                "{}/setup?token={}",
                url(scheme, address),
                ticket.form_token()
            )
        });
        let stop = CancellationToken::new();
        let app = Arc::new(App {
            parts,
            lockout: Lockout::default(),
            hashing: Semaphore::new(HASHING_MAX),
            setup: Mutex::new(setup),
            live: live::Live::default(),
            pictures: track::Pictures::default(),
            pulse: pulse::Pulse::default(),
            profiles: tokio::sync::OnceCell::new(),
            ledger: ledger::Cached::default(),
            secured: secured.clone(),
            stop: stop.clone(),
        });
        let tls = secured.map(|secured| secured.tls);
        let looking = live::keep_looking(Arc::clone(&app));
        let counting = pulse::keep_counting(Arc::clone(&app));
        let router = router(app);
        let serving = tokio::spawn({
            let stop = stop.clone();
            async move {
                let serving = serve::serve(listener, tls, router, (limits, stop));
                tokio::join!(serving, looking, counting);
            }
        });
        Ok(Self {
            address,
            setup: link,
            fingerprint,
            scheme,
            stop,
            serving,
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a person writes into a browser.
    pub fn url(&self) -> String {
        url(self.scheme, self.address)
    }

    /// The SHA-256 fingerprint of its certificate, which people compare with what their browser shows;
    /// `None` without TLS.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
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

/// Where a console at `address` is reached.
fn url(scheme: &str, address: SocketAddr) -> String {
    let name = tls::host_name();
    if address.ip().is_unspecified() && !name.is_empty() {
        format!("{scheme}://{name}:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

async fn bind(listen: &str) -> Result<TcpListener, ConsoleError> {
    let failed = |source| ConsoleError::Port {
        address: listen.to_owned(),
        source,
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(listen)
        .await
        .map_err(failed)?
        .collect();
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
                let (address, url) = (console.address(), console.url());
                tracing::info!(%address, "the console is open: {url}/");
                if let Some(fingerprint) = console.fingerprint() {
                    tracing::info!(
                        "SHA-256 fingerprint of the console's certificate, to compare with what a browser \
                         shows: {fingerprint}"
                    );
                }
                if let Some(link) = console.setup_link() {
                    tracing::warn!("nobody may log in yet: create the administrator at {link}");
                }
                stop.cancelled().await;
                console.stop().await;
                return Ok(());
            }
            Err(
                error @ (ConsoleError::Port { .. }
                | ConsoleError::Store(_)
                | ConsoleError::Tls { .. }
                | ConsoleError::Certificate { .. }),
            ) => {
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
        .merge(acts::routes())
        .merge(queue::routes())
        .merge(calls::routes())
        .merge(alerts::routes())
        .merge(specimens::routes())
        .merge(images::routes())
        .merge(users::routes())
        .merge(downtime::routes())
        .merge(paper::routes())
        .merge(numbers::routes())
        .route("/qc", get(qc::show))
        .route("/track", get(track::show))
        .route("/audit", get(audit::show))
        .route("/settings", get(settings::show))
        .route("/settings/profiles", get(profiles::show))
        .route("/live", get(live::stream))
        .nest("/api/v1", api::routes())
        .route("/assets/{name}", get(assets::serve))
        .route("/health/live", get(health::live))
        .route("/health/ready", get(health::ready))
        .route("/metrics", get(metrics::show))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), gate::pass))
        .with_state(app)
}
