//! TLS on ports: the files of a certificate, the settings made of them, and reading them again.
//!
//! A [`Tls`] belongs to one port. It holds what a handshake needs, made from files that somebody may
//! replace while Labwire runs: [`Tls::look`] reads them again, and what cannot be used leaves the
//! settings as they were and says so. A connection that is open goes on with what it was opened with.
//!
//! Nothing older than TLS 1.2 is spoken. A server's name is always checked. Certificates are judged by
//! the time of the clock seam.

mod certificate;
mod fault;
mod files;
mod stream;

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rustls::{
    ClientConfig, ServerConfig,
    pki_types::{ServerName, UnixTime},
    time_provider::TimeProvider,
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

pub(crate) use self::stream::TlsPort;
pub use self::{
    certificate::Certificate,
    fault::TlsFault,
    files::{TlsError, TlsFiles, is_private},
};

use self::files::{Made, Read};
use crate::clock::Clock;

/// Which side of the handshake Labwire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsSide {
    /// It listens, and shows its certificate.
    Server,
    /// It dials, and judges the other's certificate.
    Client,
}

/// What came of looking at the files again.
#[derive(Clone, Debug)]
pub enum Look {
    /// They are as they were.
    Same,
    /// They changed, and new connections use them.
    Renewed,
    /// They changed and cannot be used; what was used before goes on.
    Kept(Arc<TlsError>),
}

/// What is known about the TLS of one port.
#[derive(Clone, Debug)]
pub struct TlsStatus {
    /// Whose it is: the id of a line, or the console.
    pub owner: String,
    /// The files.
    pub files: TlsFiles,
    /// Our certificate, where there is one and it could be read.
    pub certificate: Option<Certificate>,
    /// Why the files, as they are now, cannot be used.
    pub problem: Option<Arc<TlsError>>,
}

/// The TLS settings of one port.
pub struct Tls {
    owner: String,
    files: TlsFiles,
    side: TlsSide,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    /// What the files said when they were last looked at.
    seen: Option<Read>,
    made: Option<Made>,
    problem: Option<Arc<TlsError>>,
    generation: u64,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("owner", &self.owner)
            .field("files", &self.files)
            .field("side", &self.side)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files for `owner`. Files that cannot be used yet are told by [`Self::status`] and
    /// looked at again by [`Self::look`]: one line without a certificate must not stop the others.
    pub fn new(
        owner: impl Into<String>,
        files: TlsFiles,
        side: TlsSide,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let tls = Self {
            owner: owner.into(),
            files,
            side,
            clock,
            state: Mutex::new(State {
                seen: None,
                made: None,
                problem: None,
                generation: 0,
            }),
        };
        tls.look();
        tls
    }

    /// Reads the files again, and uses them from now on if they can be used.
    pub fn look(&self) -> Look {
        let read = Read::of(&self.files, self.side);
        let mut state = self.state();
        if state.seen.as_ref() == Some(&read) {
            return Look::Same;
        }
        let now = self.clock.utc_micros();
        let outcome = read
            .make(&self.files, self.side, &self.clock)
            .and_then(|made| {
                // A certificate that nobody takes any more is no better than the one before.
                match (&made.certificate, &state.made) {
                    (Some(new), Some(_)) if new.not_after_utc_micros <= now => {
                        Err(TlsError::Expired {
                            path: self.files.certificate.clone().unwrap_or_default(),
                        })
                    }
                    _ => Ok(made),
                }
            });
        state.seen = Some(read);
        match outcome {
            Ok(made) => {
                state.made = Some(made);
                state.problem = None;
                state.generation += 1;
                Look::Renewed
            }
            Err(error) => {
                let error = Arc::new(error);
                state.problem = Some(Arc::clone(&error));
                Look::Kept(error)
            }
        }
    }

    /// Counts the settings made: whoever keeps something made of them compares it.
    pub fn generation(&self) -> u64 {
        self.state().generation
    }

    /// The settings of a server.
    ///
    /// # Errors
    /// The files have never been fit for use, or this is the other side.
    pub fn server(&self) -> Result<Arc<ServerConfig>, Arc<TlsError>> {
        let state = self.state();
        let made = state.made.as_ref().and_then(|made| made.server.clone());
        made.ok_or_else(|| state.why_not())
    }

    /// The settings of a client.
    ///
    /// # Errors
    /// As [`Self::server`].
    pub fn client(&self) -> Result<Arc<ClientConfig>, Arc<TlsError>> {
        let state = self.state();
        let made = state.made.as_ref().and_then(|made| made.client.clone());
        made.ok_or_else(|| state.why_not())
    }

    /// What is known now.
    pub fn status(&self) -> TlsStatus {
        let state = self.state();
        TlsStatus {
            owner: self.owner.clone(),
            files: self.files.clone(),
            certificate: state
                .made
                .as_ref()
                .and_then(|made| made.certificate.clone()),
            problem: state.problem.clone(),
        }
    }

    /// A panic while the lock was held cannot leave these plain values half-made.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server's side of a handshake over `stream`, for no longer than `limit`.
    ///
    /// # Errors
    /// Which side did what.
    pub async fn accept(
        &self,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<tokio_rustls::server::TlsStream<TcpStream>, TlsFault> {
        let config = self.server().map_err(|_| TlsFault::NotReady)?;
        let shaking = async {
            // A device without TLS may send one byte and wait: what it is, the first byte tells.
            let mut first = [0];
            match stream.peek(&mut first).await {
                Ok(0) => return Err(TlsFault::Cut),
                Ok(_) if first != [HANDSHAKE_RECORD] => return Err(TlsFault::NotTls),
                Ok(_) => {}
                Err(error) => return Err(TlsFault::of(&error)),
            }
            let accepting = TlsAcceptor::from(config).accept(stream);
            accepting.await.map_err(|error| TlsFault::of(&error))
        };
        within(limit, shaking).await
    }

    /// The client's side of a handshake over `stream` with the server at `to` (`host:port`).
    ///
    /// # Errors
    /// Which side did what.
    pub async fn connect(
        &self,
        to: &str,
        stream: TcpStream,
        limit: Duration,
    ) -> Result<tokio_rustls::client::TlsStream<TcpStream>, TlsFault> {
        let config = self.client().map_err(|_| TlsFault::NotReady)?;
        let host = to.rsplit_once(':').map_or(to, |(host, _)| host);
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let name = self.files.server_name.as_deref().unwrap_or(host).to_owned();
        let name = ServerName::try_from(name).map_err(|_| TlsFault::WrongName)?;
        let shaking = async {
            let connecting = TlsConnector::from(config).connect(name, stream);
            connecting.await.map_err(|error| TlsFault::of(&error))
        };
        within(limit, shaking).await
    }
}

/// The type of the first record of every handshake (RFC 8446 5.1).
const HANDSHAKE_RECORD: u8 = 22;

async fn within<T>(
    limit: Duration,
    shaking: impl Future<Output = Result<T, TlsFault>>,
) -> Result<T, TlsFault> {
    tokio::time::timeout(limit, shaking)
        .await
        .unwrap_or(Err(TlsFault::Slow))
}

impl State {
    fn why_not(&self) -> Arc<TlsError> {
        self.problem
            .clone()
            .unwrap_or_else(|| Arc::new(TlsError::OtherSide))
    }
}

/// The wall clock of the seam, as certificates are judged by it.
#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.utc_micros()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(micros)))
    }
}

/// What a handshake came to, for io errors that carry it.
pub(crate) fn fault_of(error: &io::Error) -> Option<TlsFault> {
    TlsFault::in_chain(error)
}
