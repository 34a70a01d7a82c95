//! A port over TLS.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsStream;

use crate::port::Port;

/// A connection over TLS, as the session loop sees every port.
#[derive(Debug)]
pub(crate) struct TlsPort {
    stream: TlsStream<TcpStream>,
    /// Bytes that are encrypted and not all on their way.
    taken: usize,
}

impl TlsPort {
    pub(crate) fn new(stream: impl Into<TlsStream<TcpStream>>) -> Self {
        Self {
            stream: stream.into(),
            taken: 0,
        }
    }

    /// What of the `offered` bytes is on its way.
    fn poll_told(&mut self, cx: &mut Context<'_>, offered: usize) -> Poll<io::Result<usize>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        let told = self.taken.min(offered);
        self.taken -= told;
        Poll::Ready(Ok(told))
    }
}

impl AsyncRead for TlsPort {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            // Many devices close the connection without the word that TLS has for it. Whether a message
            // is whole, its own protocol tells.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
            outcome => Poll::Ready(outcome),
        }
    }
}

impl AsyncWrite for TlsPort {
    /// Bytes are told as written once the system has them: what merely waits encrypted in here would
    /// look like a peer that reads, and nobody would come to push it on. Until then the caller offers
    /// the same bytes again.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.taken == 0 {
            self.taken = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        }
        self.poll_told(cx, bytes.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        portions: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.taken == 0 {
            self.taken = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, portions))?;
        }
        self.poll_told(cx, portions.iter().map(|portion| portion.len()).sum())
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl Port for TlsPort {
    const HALF_CLOSES: bool = true;

    async fn close(mut self, is_orderly: bool) {
        if !is_orderly {
            return;
        }
        // A peer that reads nothing leaves no room for the goodbye.
        let goodbye = tokio::time::timeout(GOODBYE_WITHIN, self.stream.shutdown());
        match goodbye.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "the connection was gone before it was closed")
            }
            Err(_) => return,
        }
        let (stream, _) = self.stream.get_ref();
        crate::port::read_away(stream);
    }
}

/// How long the end of a connection may take to be told.
const GOODBYE_WITHIN: Duration = Duration::from_secs(2);
