//! What goes over a wire, read by whoever checks it: acknowledgements, and messages at the HIS.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::checks::Checks;

const STX: u8 = 0x02;
const ETX: u8 = 0x03;
const EOT: u8 = 0x04;
const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const VT: u8 = 0x0B;
const NAK: u8 = 0x15;
const ETB: u8 = 0x17;
const FS: u8 = 0x1C;

/// How the bytes of a wire are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speech {
    /// LIS01-A2, the bridge's side. With `false` the bridge promises whole messages alone.
    Astm { promises_frames: bool },
    /// MLLP, the bridge's side.
    Mllp,
    /// MLLP, the side of the HIS that takes results.
    His,
    /// Nobody reads along.
    Deaf,
}

/// A stream with somebody who reads along.
#[derive(Debug)]
pub(super) struct Tapped<S> {
    inner: S,
    tap: Tap,
}

/// Whoever reads along.
#[derive(Debug)]
pub(super) struct Tap {
    line: String,
    speech: Speech,
    read: Frames,
    written: Frames,
    /// Frames that were read and not answered yet.
    frames: Vec<Vec<u8>>,
    checks: Arc<Checks>,
}

impl Tap {
    pub(super) fn new(line: &str, speech: Speech, checks: Arc<Checks>) -> Self {
        Self {
            line: line.to_owned(),
            speech,
            read: Frames::default(),
            written: Frames::default(),
            frames: Vec::new(),
            checks,
        }
    }

    pub(super) fn on_read(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (self.speech, self.read.take(*byte)) {
                (Speech::Astm { .. }, Part::Frame(text)) => self.frames.push(text),
                (Speech::Astm { .. }, Part::Control(ENQ | EOT)) => self.frames.clear(),
                (Speech::His, Part::Block(text)) => self.checks.on_his_message(&text),
                _ => {}
            }
        }
    }

    pub(super) fn on_written(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match (self.speech, self.written.take(*byte)) {
                (Speech::Astm { promises_frames }, Part::Control(ACK)) => {
                    let frames = &mut self.frames;
                    self.checks
                        .on_frame_ack(&self.line, frames, promises_frames);
                }
                (Speech::Astm { .. }, Part::Control(NAK)) if !self.frames.is_empty() => {
                    self.frames.remove(0);
                }
                (Speech::Mllp, Part::Block(text)) => self.checks.on_reply(&self.line, &text),
                (Speech::His, Part::Block(text)) => self.checks.on_his_answer(&text),
                _ => {}
            }
        }
    }
}

/// Takes frames and blocks out of a stream, with as few rules as there can be.
#[derive(Debug, Default)]
struct Frames {
    open: Option<u8>,
    text: Vec<u8>,
}

enum Part {
    /// Number and text of a frame, between STX and ETX or ETB.
    Frame(Vec<u8>),
    /// The content of a block.
    Block(Vec<u8>),
    /// A byte outside of both.
    Control(u8),
    Nothing,
}

impl Frames {
    fn take(&mut self, byte: u8) -> Part {
        match (self.open, byte) {
            (_, STX | VT) => {
                self.open = Some(byte);
                self.text.clear();
            }
            (Some(STX), ETX | ETB) => {
                self.open = None;
                return Part::Frame(std::mem::take(&mut self.text));
            }
            (Some(VT), FS) => {
                self.open = None;
                return Part::Block(std::mem::take(&mut self.text));
            }
            // A sender that gives up in the middle of a frame.
            (Some(STX), ENQ | EOT) | (None, _) => {
                self.open = None;
                return Part::Control(byte);
            }
            (Some(_), _) => self.text.push(byte),
        }
        Part::Nothing
    }
}

impl<S> Tapped<S> {
    pub(super) const fn new(inner: S, tap: Tap) -> Self {
        Self { inner, tap }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tapped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.inner).poll_read(cx, buf);
        this.tap.on_read(&buf.filled()[before..]);
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tapped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(count)) = &outcome {
            this.tap.on_written(&buf[..*count]);
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
