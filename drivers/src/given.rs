//! Connections that the owner of a line gives it in the place of the system's: for simulations, whose
//! devices live in the same process.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::port::Port;

/// Where lines get their connections from.
pub trait Ports: fmt::Debug + Send + Sync {
    /// The next connection of the line of this id: one that a device makes to it where the line
    /// listens, else the one that the line dials. Waits until there is one.
    fn next(&self, line: &str) -> BoxFuture<'static, GivenPort>;
}

/// A connection in memory.
pub struct GivenPort(Box<dyn Stream>);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl GivenPort {
    /// Any stream of bytes both ways, whose far end may close its side and still read.
    pub fn new(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Box::new(stream))
    }
}

impl fmt::Debug for GivenPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GivenPort").finish_non_exhaustive()
    }
}

impl AsyncRead for GivenPort {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for GivenPort {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Port for GivenPort {
    const HALF_CLOSES: bool = true;

    async fn close(mut self, is_orderly: bool) {
        if is_orderly && let Err(error) = self.shutdown().await {
            tracing::debug!(%error, "the connection was gone before it was closed");
        }
    }
}
