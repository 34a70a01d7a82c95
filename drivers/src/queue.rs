//! Bytes that wait to be written, in the portions in which the machine gave them.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

/// Bytes that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct TransmitQueue {
    portions: VecDeque<Bytes>,
    bytes: usize,
}

/// Portions handed to the system in one call: a block's VT, payload and FS CR leave in one packet.
const SLICES_MAX: usize = 8;

impl TransmitQueue {
    pub(crate) fn push(&mut self, portion: Bytes) {
        if !portion.is_empty() {
            self.bytes += portion.len();
            self.portions.push_back(portion);
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    pub(crate) fn clear(&mut self) {
        self.portions.clear();
        self.bytes = 0;
    }

    /// Writes what the port takes now. Ready with the number of bytes; the caller then tells them
    /// to `seen` and takes them off by [`Self::advance`].
    pub(crate) fn poll_write<P: AsyncWrite + Unpin>(
        &self,
        port: &mut P,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let port = Pin::new(port);
        if port.is_write_vectored() && self.portions.len() > 1 {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let mut count = 0;
            for (slice, portion) in slices.iter_mut().zip(&self.portions) {
                *slice = IoSlice::new(portion);
                count += 1;
            }
            port.poll_write_vectored(cx, &slices[..count])
        } else {
            port.poll_write(cx, self.portions.front().map_or(&[], |portion| portion))
        }
    }

    /// Takes `written` bytes off the front; gives each portion, or part of one, to `seen`.
    pub(crate) fn advance(&mut self, mut written: usize, mut seen: impl FnMut(&[u8])) {
        while written > 0 {
            let Some(front) = self.portions.front_mut() else {
                return;
            };
            let part = written.min(front.len());
            seen(&front[..part]);
            front.advance(part);
            self.bytes -= part;
            written -= part;
            if front.is_empty() {
                self.portions.pop_front();
            }
        }
    }
}
