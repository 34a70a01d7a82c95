//! Connections of browsers: so many, so slow and no slower, so large and no larger.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use labwire_drivers::Tls;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::Sleep,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// What a connection may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; more are closed at once. A console holds one or two.
    pub connections_max: usize,
    /// For the whole head of a request, also for the next one of a connection that is kept.
    pub head_within: Duration,
    /// For whatever is sent: a browser that takes nothing for so long is cut off.
    pub write_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 512,
            head_within: Duration::from_secs(15),
            write_within: Duration::from_secs(20),
        }
    }
}

/// Bytes of a request's head: cookies and a search are a few hundred.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// How long answers under way may take when the console stops.
const STOP_WITHIN: Duration = Duration::from_secs(3);

/// Serves until `stop`, then lets answers under way end.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    (limits, stop): (Limits, CancellationToken),
) {
    let room = Arc::new(Semaphore::new(limits.connections_max));
    let mut open = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
            Some(_) = open.join_next() => continue,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: some are free again in a moment.
                tracing::warn!(%error, "the console cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            drop(stream);
            continue;
        };
        let router = router.clone().layer(Extension(Peer(peer)));
        let serving = connection(stream, tls.clone(), router, (limits, stop.clone()));
        open.spawn(async move {
            serving.await;
            drop(permit);
        });
    }
    drop(listener);
    let ended = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, ended).await.is_err() {
        open.shutdown().await;
    }
}

async fn connection(
    stream: TcpStream,
    tls: Option<Arc<Tls>>,
    router: Router,
    (limits, stop): (Limits, CancellationToken),
) {
    // Small answers of a live page go out at once.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Some(tls) = tls else {
        return answer(stream, router, limits, stop).await;
    };
    let shaking = shake(stream, &tls, limits);
    let shaken = tokio::select! {
        shaken = shaking => shaken,
        () = stop.cancelled() => None,
    };
    if let Some(stream) = shaken {
        answer(stream, router, limits, stop).await;
    }
}

/// The handshake. Who comes without TLS is told so, in words that a browser shows.
async fn shake(mut stream: TcpStream, tls: &Tls, limits: Limits) -> Option<TlsStream<TcpStream>> {
    let mut first = [0];
    let peeked = tokio::time::timeout(limits.head_within, stream.peek(&mut first)).await;
    if !peeked.is_ok_and(|count| count.is_ok_and(|count| count > 0)) {
        return None;
    }
    if first[0].is_ascii_uppercase() {
        let telling = stream.write_all(WITHOUT_TLS.as_bytes());
        let told = tokio::time::timeout(limits.write_within, telling).await;
        if told.is_ok_and(|told| told.is_ok()) {
            // Closed with the request unread, the connection would be reset before the words are read.
            let mut rest = [0; 1024];
            while stream.try_read(&mut rest).is_ok_and(|count| count > 0) {}
        }
        return None;
    }
    match tls.accept(stream, limits.head_within).await {
        Ok(stream) => Some(stream),
        Err(fault) => {
            // Browsers end the first handshakes with a certificate that a person has not taken yet.
            tracing::debug!(
                code = fault.code(),
                "no TLS connection to the console: {fault}"
            );
            None
        }
    }
}

const WITHOUT_TLS: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\n\
    connection: close\r\n\r\nThis console speaks TLS alone: write https:// before its address.\n\
    Bảng điều khiển này chỉ dùng TLS: hãy viết https:// trước địa chỉ.\n";

async fn answer<S>(stream: S, router: Router, limits: Limits, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let stream = TokioIo::new(Patient::new(stream, limits.write_within));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_buf_size(HEAD_BYTES_MAX);
    let serving = builder.serve_connection(stream, TowerToHyperService::new(router));
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection to the console ended early");
    }
}

/// A stream whose peer has to take what is sent within some time.
struct Patient<S> {
    stream: S,
    within: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    const fn new(stream: S, within: Duration) -> Self {
        Self {
            stream,
            within,
            waiting: None,
        }
    }

    fn watched<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if poll.is_ready() {
            self.waiting = None;
            return poll;
        }
        let within = self.within;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        match waiting.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watched(cx, poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.watched(cx, poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watched(cx, poll)
    }
}
