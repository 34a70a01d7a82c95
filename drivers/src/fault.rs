//! A port that misbehaves by plan, for tests and simulations.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::config::mix;

/// What goes wrong, and how often. Everything follows from the seed; nothing waits on a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Two ports with the same plan over the same bytes fail in the same way.
    pub seed: u64,
    /// Of 1000 reads or writes: how many carry one byte only.
    pub split_per_mille: u16,
    /// Of 1000 reads or writes: how many are put off until the task is polled once more.
    pub delay_per_mille: u16,
    /// Of 1000 reads: how many have one bit flipped.
    pub flip_per_mille: u16,
    /// Of 1000 reads: how many give the same bytes once more.
    pub duplicate_per_mille: u16,
    /// After this many bytes, both ways together, the line is cut: reads end, writes fail.
    pub cut_after: Option<u64>,
}

impl FaultPlan {
    /// A plan in which nothing goes wrong yet.
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            split_per_mille: 0,
            delay_per_mille: 0,
            flip_per_mille: 0,
            duplicate_per_mille: 0,
            cut_after: None,
        }
    }
}

/// A port over another one, with the faults of a [`FaultPlan`].
#[derive(Debug)]
pub struct FaultPort<T> {
    inner: T,
    plan: FaultPlan,
    draws: u64,
    bytes: u64,
    again: Vec<u8>,
}

impl<T> FaultPort<T> {
    /// Puts the faults of `plan` over `inner`.
    pub const fn new(inner: T, plan: FaultPlan) -> Self {
        Self {
            inner,
            plan,
            draws: 0,
            bytes: 0,
            again: Vec::new(),
        }
    }

    /// The port beneath.
    pub fn into_inner(self) -> T {
        self.inner
    }

    fn draw(&mut self) -> u64 {
        self.draws += 1;
        mix(self.plan.seed ^ mix(self.draws))
    }

    fn hits(&mut self, per_mille: u16) -> bool {
        per_mille > 0 && self.draw() % 1000 < u64::from(per_mille)
    }

    fn left(&self) -> usize {
        let left = self
            .plan
            .cut_after
            .map_or(u64::MAX, |cut| cut.saturating_sub(self.bytes));
        usize::try_from(left).unwrap_or(usize::MAX)
    }

    fn count(&mut self, bytes: usize) {
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }

    /// How many of `wanted` bytes this read or write may carry.
    fn portion(&mut self, wanted: usize) -> usize {
        let split = self.hits(self.plan.split_per_mille);
        wanted
            .min(self.left())
            .min(if split { 1 } else { usize::MAX })
    }

    fn damage(&mut self, chunk: &mut [u8]) {
        if !chunk.is_empty() && self.hits(self.plan.flip_per_mille) {
            let draw = self.draw();
            let at = usize::try_from(draw >> 8).unwrap_or(0) % chunk.len();
            chunk[at] ^= 1 << (draw & 7);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for FaultPort<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.hits(this.plan.delay_per_mille) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let portion = this.portion(buf.remaining());
        if portion == 0 {
            return Poll::Ready(Ok(()));
        }
        if !this.again.is_empty() {
            let part = portion.min(this.again.len());
            buf.put_slice(&this.again[..part]);
            this.again.drain(..part);
            return Poll::Ready(Ok(()));
        }
        let mut chunk = vec![0; portion.min(CHUNK_BYTES_MAX)];
        let mut part = ReadBuf::new(&mut chunk);
        ready!(Pin::new(&mut this.inner).poll_read(cx, &mut part))?;
        let filled = part.filled().len();
        chunk.truncate(filled);
        this.count(filled);
        this.damage(&mut chunk);
        buf.put_slice(&chunk);
        if this.hits(this.plan.duplicate_per_mille) {
            this.again = chunk;
        }
        Poll::Ready(Ok(()))
    }
}

/// One read never takes more, so that `buf` decides alone only about small reads.
const CHUNK_BYTES_MAX: usize = 4096;

impl<T: AsyncWrite + Unpin> AsyncWrite for FaultPort<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.hits(this.plan.delay_per_mille) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let portion = this.portion(buf.len());
        if portion == 0 && !buf.is_empty() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let written = ready!(Pin::new(&mut this.inner).poll_write(cx, &buf[..portion]))?;
        this.count(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// What arrives of a text read through the faults of `plan`.
    async fn read_through(plan: FaultPlan) -> Vec<u8> {
        let text = b"0123456789".repeat(20);
        let mut port = FaultPort::new(&text[..], plan);
        let mut arrived = Vec::new();
        port.read_to_end(&mut arrived).await.unwrap();
        arrived
    }

    #[tokio::test]
    async fn port_without_faults_changes_nothing() {
        assert_eq!(
            read_through(FaultPlan::new(1)).await,
            b"0123456789".repeat(20)
        );
    }

    #[tokio::test]
    async fn splits_and_delays_change_no_byte() {
        let plan = FaultPlan {
            split_per_mille: 1000,
            delay_per_mille: 500,
            ..FaultPlan::new(1)
        };
        assert_eq!(read_through(plan).await, b"0123456789".repeat(20));
    }

    #[tokio::test]
    async fn same_seed_fails_in_the_same_way() {
        let plan = |seed| FaultPlan {
            split_per_mille: 900,
            flip_per_mille: 100,
            duplicate_per_mille: 100,
            ..FaultPlan::new(seed)
        };
        let damaged = read_through(plan(1)).await;
        assert_ne!(damaged, b"0123456789".repeat(20));
        assert_eq!(damaged, read_through(plan(1)).await);
        assert_ne!(damaged, read_through(plan(2)).await);
    }

    #[tokio::test]
    async fn cut_line_ends_reads_and_fails_writes() {
        let plan = FaultPlan {
            cut_after: Some(5),
            ..FaultPlan::new(1)
        };
        assert_eq!(read_through(plan).await, b"01234");
        let mut port = FaultPort::new(Vec::new(), plan);
        let error = port.write_all(b"0123456789").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(port.into_inner(), b"01234");
    }
}
