//! TCP ports: listening, accepting, dialling, and the options that find dead peers.

use std::{io, net::SocketAddr, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, lookup_host};

use crate::{config::Keepalive, error::PortError};

/// Listens at `host:port`.
pub(crate) async fn listen(at: &str) -> Result<TcpListener, PortError> {
    TcpListener::bind(at)
        .await
        .map_err(|source| listen_error(at, source))
}

fn listen_error(at: &str, source: io::Error) -> PortError {
    let at = at.to_owned();
    if source.kind() == io::ErrorKind::AddrInUse {
        PortError::InUse { at }
    } else if source.kind() == io::ErrorKind::AddrNotAvailable {
        PortError::NotOurAddress { at }
    } else {
        PortError::CannotListen { at, source }
    }
}

/// Connects to `host:port`.
pub(crate) async fn dial(
    to: &str,
    keepalive: Keepalive,
    limit: Duration,
) -> Result<(TcpStream, SocketAddr), PortError> {
    let connecting = async {
        // Apart from connecting, so that a wrong name is told from a device that is off.
        let mut addresses = lookup_host(to).await.ok().into_iter().flatten().peekable();
        if addresses.peek().is_none() {
            return Err(PortError::UnknownHost { to: to.to_owned() });
        }
        let addresses: Vec<_> = addresses.collect();
        let stream = TcpStream::connect(&*addresses)
            .await
            .map_err(|e| dial_error(to, limit, e))?;
        let peer = stream.peer_addr().map_err(|e| dial_error(to, limit, e))?;
        set_options(&stream, keepalive);
        Ok((stream, peer))
    };
    match tokio::time::timeout(limit, connecting).await {
        Ok(result) => result,
        Err(_) => Err(no_answer(to, limit)),
    }
}

fn no_answer(to: &str, limit: Duration) -> PortError {
    PortError::NoAnswer {
        to: to.to_owned(),
        seconds: limit.as_secs(),
    }
}

fn dial_error(to: &str, limit: Duration, source: io::Error) -> PortError {
    if source.kind() == io::ErrorKind::ConnectionRefused {
        PortError::NotListening { to: to.to_owned() }
    } else if source.kind() == io::ErrorKind::TimedOut {
        no_answer(to, limit)
    } else {
        PortError::CannotConnect {
            to: to.to_owned(),
            source,
        }
    }
}

/// Sets what every connection has. A peer that is gone already makes these fail; the first read
/// then says so.
pub(crate) fn set_options(stream: &TcpStream, keepalive: Keepalive) {
    let socket = SockRef::from(stream);
    let probes = TcpKeepalive::new()
        .with_time(keepalive.idle)
        .with_interval(keepalive.interval);
    #[cfg(not(windows))]
    let probes = probes.with_retries(keepalive.probes);
    let mut results = vec![
        socket.set_tcp_nodelay(true),
        socket.set_tcp_keepalive(&probes),
    ];
    #[cfg(target_os = "linux")]
    results.push(socket.set_tcp_user_timeout(Some(keepalive.user_timeout)));
    for error in results.into_iter().filter_map(Result::err) {
        tracing::debug!(%error, "a socket option could not be set");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_connection_finds_dead_peers_by_itself() {
        let listener = listen("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap().to_string();
        let (stream, _) = dial(&to, Keepalive::default(), Duration::from_secs(5))
            .await
            .unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            let keepalive = Keepalive::default();
            assert_eq!(socket.tcp_keepalive_time().unwrap(), keepalive.idle);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), keepalive.interval);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), keepalive.probes);
            assert_eq!(
                socket.tcp_user_timeout().unwrap(),
                Some(keepalive.user_timeout)
            );
        }
    }

    #[tokio::test]
    async fn dialling_says_why_it_failed() {
        let keepalive = Keepalive::default();
        // Bound, so that nobody else gets the port, but not listening.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let free = silent.local_addr().unwrap().to_string();
        let refused = dial(&free, keepalive, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(
            matches!(refused, PortError::NotListening { .. }),
            "{refused}"
        );
        let nobody = dial("no such host:5001", keepalive, Duration::from_secs(5))
            .await
            .unwrap_err();
        assert!(matches!(nobody, PortError::UnknownHost { .. }), "{nobody}");
    }

    #[tokio::test]
    async fn port_in_use_is_said_so() {
        let first = listen("127.0.0.1:0").await.unwrap();
        let at = first.local_addr().unwrap().to_string();
        let error = listen(&at).await.unwrap_err();
        assert_eq!(error.code(), "DRV-0101");
        assert!(
            error
                .to_string()
                .starts_with(&format!("port {at} is in use by another program:"))
        );
    }
}
