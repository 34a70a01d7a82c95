//! What the session loop asks of a port, opening one, and checking that it can be opened.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    sync::Arc,
};

use labwire_protocols::wire::Note;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    config::LineConfig,
    endpoint::Endpoint,
    error::PortError,
    event::Peer,
    given::{GivenPort, Ports},
    serial::{self, SerialPort},
    tcp,
    tls::{Tls, TlsError, TlsPort},
};

/// A stream of bytes both ways.
pub(crate) trait Port: AsyncRead + AsyncWrite + Send + Unpin + 'static {
    /// Whether the peer may end its side and still read our replies.
    const HALF_CLOSES: bool;

    /// Closes the port; `is_orderly` when the bytes written last should still arrive.
    fn close(self, is_orderly: bool) -> impl Future<Output = ()> + Send;
}

impl Port for TcpStream {
    const HALF_CLOSES: bool = true;

    async fn close(mut self, is_orderly: bool) {
        if !is_orderly {
            return;
        }
        if let Err(error) = self.shutdown().await {
            tracing::debug!(%error, "the connection was gone before it was closed");
        }
        read_away(&self);
    }
}

/// Closing with bytes unread sends a reset, which can overtake our last reply and destroy it at the
/// peer. What is thrown away here was never acknowledged.
pub(crate) fn read_away(stream: &TcpStream) {
    let mut rest = [0; 4096];
    for _ in 0..CLOSING_READS_MAX {
        if !stream.try_read(&mut rest).is_ok_and(|count| count > 0) {
            return;
        }
    }
}

/// 1 MiB: a peer that sends on for ever is reset after all.
const CLOSING_READS_MAX: usize = 256;

/// A port that was opened.
#[derive(Debug)]
pub(crate) enum OpenPort {
    Tcp(TcpStream),
    Tls(Box<TlsPort>),
    Serial(SerialPort),
    Given(GivenPort),
}

/// What came of opening the port of a line.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It listens; devices may come.
    Listener(TcpListener, SocketAddr),
    /// The connection to the device, and what was noted on the way.
    Port(OpenPort, Peer, Vec<Note>),
    /// Devices come by way of what was given in the place of the system.
    Given(Arc<dyn Ports>),
}

/// The far end of a connection that is given: it has no address.
pub(crate) const NOWHERE: Peer =
    Peer::Tcp(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)));

/// Opens the port of a line.
pub(crate) async fn open(config: &LineConfig) -> Result<Opened, PortError> {
    match &config.ports {
        Some(ports) if config.endpoint.listens() => return Ok(Opened::Given(Arc::clone(ports))),
        Some(ports) => {
            let port = OpenPort::Given(ports.next(&config.id).await);
            return Ok(Opened::Port(port, NOWHERE, Vec::new()));
        }
        None => {}
    }
    match &config.endpoint {
        Endpoint::TcpListen(at) | Endpoint::TlsListen(at) => {
            if config.endpoint.tls_side().is_some() {
                ready(config, at, Tls::server)?;
            }
            let listener = tcp::listen(at).await?;
            let local = listener.local_addr();
            let local = local.map_err(|source| PortError::CannotListen {
                at: at.clone(),
                source,
            })?;
            Ok(Opened::Listener(listener, local))
        }
        Endpoint::TcpConnect(to) => {
            let (stream, peer) = tcp::dial(to, config.keepalive, config.connect_timeout).await?;
            Ok(Opened::Port(
                OpenPort::Tcp(stream),
                Peer::Tcp(peer),
                Vec::new(),
            ))
        }
        Endpoint::TlsConnect(to) => {
            let tls = ready(config, to, Tls::client)?;
            let (stream, peer) = tcp::dial(to, config.keepalive, config.connect_timeout).await?;
            let shaken = tls.connect(to, stream, config.handshake_timeout).await;
            let stream = shaken.map_err(|fault| PortError::Handshake {
                to: to.clone(),
                fault,
            })?;
            let port = OpenPort::Tls(Box::new(TlsPort::new(stream)));
            Ok(Opened::Port(port, Peer::Tcp(peer), Vec::new()))
        }
        Endpoint::Serial(settings) => {
            let (port, notes) = serial::open(settings.clone(), config.lock_dir.clone()).await?;
            Ok(Opened::Port(
                OpenPort::Serial(port),
                Peer::Serial(settings.path.clone()),
                notes,
            ))
        }
    }
}

/// The TLS settings of a line, where they can be used for its side.
fn ready<T>(
    config: &LineConfig,
    at: &str,
    side: impl FnOnce(&Tls) -> Result<T, Arc<TlsError>>,
) -> Result<Arc<Tls>, PortError> {
    let not_ready = |source| PortError::TlsNotReady {
        at: at.to_owned(),
        source,
    };
    let tls = config.tls.as_ref();
    let tls = tls.ok_or_else(|| not_ready(Arc::new(TlsError::Unnamed)))?;
    side(tls).map_err(not_ready)?;
    Ok(Arc::clone(tls))
}

/// What [`check_endpoint`] found to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Available {
    /// The line can listen at this address.
    Listens(SocketAddr),
    /// The device took a connection, which was closed again at once.
    Answers(Peer),
    /// The serial port opened, with what was noted.
    Opens(Vec<Note>),
}

/// Whether the port can be opened now. It is opened and closed again; no byte is sent.
///
/// A line of a Labwire that already runs has its port, which then is in use.
///
/// # Errors
/// Says why the port cannot be opened and what to do about it.
pub async fn check_endpoint(endpoint: &Endpoint) -> Result<Available, PortError> {
    check_line(&LineConfig::new("check", endpoint.clone())).await
}

/// As [`check_endpoint`], with everything else that is set for the line: a device that is dialled over
/// TLS is asked for its certificate.
///
/// # Errors
/// As [`check_endpoint`].
pub async fn check_line(config: &LineConfig) -> Result<Available, PortError> {
    match open(config).await? {
        Opened::Listener(_, local) => Ok(Available::Listens(local)),
        Opened::Port(OpenPort::Tcp(stream), peer, _) => {
            stream.close(true).await;
            Ok(Available::Answers(peer))
        }
        Opened::Port(OpenPort::Tls(port), peer, _) => {
            port.close(true).await;
            Ok(Available::Answers(peer))
        }
        Opened::Port(OpenPort::Serial(port), _, notes) => {
            port.close(false).await;
            Ok(Available::Opens(notes))
        }
        Opened::Port(OpenPort::Given(_), peer, _) => Ok(Available::Answers(peer)),
        Opened::Given(_) => Ok(Available::Opens(Vec::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn check_tells_a_free_port_from_one_in_use() {
        let free = Endpoint::TcpListen("127.0.0.1:0".to_owned());
        let found = check_endpoint(&free).await.unwrap();
        assert!(matches!(found, Available::Listens(_)), "{found:?}");

        let held = tcp::listen("127.0.0.1:0").await.unwrap();
        let local = held.local_addr().unwrap();
        let error = check_endpoint(&Endpoint::TcpListen(local.to_string()))
            .await
            .unwrap_err();
        assert!(matches!(error, PortError::InUse { .. }), "{error}");

        let device = Endpoint::TcpConnect(local.to_string());
        assert_eq!(
            check_endpoint(&device).await.unwrap(),
            Available::Answers(Peer::Tcp(local))
        );
    }

    #[tokio::test]
    async fn check_names_what_is_missing() {
        let missing = Endpoint::Serial(crate::SerialSettings::new("/dev/no-such-port"));
        let error = check_endpoint(&missing).await.unwrap_err();
        assert!(matches!(error, PortError::NoSuchSerial { .. }), "{error}");
        let elsewhere = Endpoint::TcpListen("192.0.2.1:5001".to_owned());
        let error = check_endpoint(&elsewhere).await.unwrap_err();
        assert!(matches!(error, PortError::NotOurAddress { .. }), "{error}");
    }
}
