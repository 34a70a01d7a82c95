//! TLS handshakes under way on a line that listens: beside everything else that it does, so many at
//! once, and none for long.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpStream,
    task::{AbortHandle, Id, JoinSet},
};

use crate::tls::{Tls, TlsFault, TlsPort};

/// Handshakes at once. A device needs one; whoever connects and says nothing fills no more memory than
/// this.
const HANDSHAKES_MAX: usize = 16;

/// The handshakes of a line. Dropped, they all end.
#[derive(Debug, Default)]
pub(crate) struct Shaking {
    tasks: JoinSet<Result<TlsPort, TlsFault>>,
    /// Who is at the other end of each, oldest first.
    peers: VecDeque<(Id, SocketAddr, AbortHandle)>,
}

impl Shaking {
    /// Begins one. Where there are as many as may be, the oldest ends: a device that comes now must not
    /// wait for those that came to say nothing.
    pub(crate) fn begin(
        &mut self,
        peer: SocketAddr,
        stream: TcpStream,
        tls: Arc<Tls>,
        limit: Duration,
    ) {
        if self.peers.len() >= HANDSHAKES_MAX
            && let Some((_, _, oldest)) = self.peers.front()
        {
            oldest.abort();
        }
        let task = self.tasks.spawn(async move {
            let shaken = tls.accept(stream, limit).await;
            shaken.map(TlsPort::new)
        });
        self.peers.push_back((task.id(), peer, task));
    }

    /// The next one that ended; `None` where none is under way.
    pub(crate) async fn next(&mut self) -> Option<(SocketAddr, Result<TlsPort, TlsFault>)> {
        loop {
            let (id, shaken) = match self.tasks.join_next_with_id().await? {
                Ok(ended) => ended,
                Err(error) => (error.id(), Err(TlsFault::Slow)),
            };
            let place = self.peers.iter().position(|(known, _, _)| *known == id);
            let place = place.and_then(|index| self.peers.remove(index));
            if let Some((_, peer, _)) = place {
                return Some((peer, shaken));
            }
        }
    }
}
