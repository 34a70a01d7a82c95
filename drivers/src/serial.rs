//! Serial ports: locked, opened, checked, and closed without waiting for a dead peer.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};

use labwire_protocols::wire::Note;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_serial::{ClearBuffer, SerialPort as _, SerialStream};

use crate::{
    endpoint::{Flow, Parity, SerialSettings},
    error::PortError,
    lock::PortLock,
    port::Port,
};

/// An open serial port that no other line has. The stream is dropped before the lock.
#[derive(Debug)]
pub(crate) struct SerialPort {
    stream: SerialStream,
    _lock: PortLock,
}

/// Opens the port, off the async threads, as some adapters take seconds.
pub(crate) async fn open(
    settings: SerialSettings,
    lock_dir: PathBuf,
) -> Result<(SerialPort, Vec<Note>), PortError> {
    let path = settings.path.clone();
    let opening = tokio::task::spawn_blocking(move || open_now(&settings, &lock_dir));
    opening.await.unwrap_or_else(|join| {
        Err(PortError::CannotOpenSerial {
            path,
            source: io::Error::other(join),
        })
    })
}

fn open_now(
    settings: &SerialSettings,
    lock_dir: &Path,
) -> Result<(SerialPort, Vec<Note>), PortError> {
    let path = &settings.path;
    // Windows names such as COM3 are no files; there the open below finds out.
    let device = match path.canonicalize() {
        Ok(device) => device,
        Err(_) if cfg!(windows) => path.clone(),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(PortError::SerialDenied { path: path.clone() });
        }
        Err(_) => {
            return Err(PortError::NoSuchSerial {
                path: path.clone(),
                found: found(),
            });
        }
    };
    let lock = PortLock::take(&device, lock_dir)?;
    let builder = tokio_serial::new(path.to_string_lossy(), settings.baud)
        .data_bits(data_bits(settings.bits))
        .parity(parity(settings.parity))
        .stop_bits(stop_bits(settings.stop))
        .flow_control(flow(settings.flow))
        // A pseudo-terminal keeps TIOCEXCL for as long as its other end is open: after a kill -9 nobody
        // but root could open it again. A port with hardware forgets it with its last file.
        .exclusive(!is_pty(&device));
    let stream = SerialStream::open(&builder).map_err(|error| open_error(path, error))?;
    let mut notes = differences(&stream, settings, &device);
    if stable_path(path).is_some() {
        notes.push(Note::new(
            "DRV-0405",
            "the port has a stable name under /dev/serial/by-id",
        ));
    }
    Ok((
        SerialPort {
            stream,
            _lock: lock,
        },
        notes,
    ))
}

fn open_error(path: &Path, error: tokio_serial::Error) -> PortError {
    let path = path.to_owned();
    let is_busy = error.description.contains("busy");
    let source = io::Error::from(error);
    if source.kind() == io::ErrorKind::PermissionDenied {
        PortError::SerialDenied { path }
    } else if is_busy {
        PortError::SerialInUse {
            path,
            by: "another program".to_owned(),
        }
    } else {
        PortError::CannotOpenSerial { path, source }
    }
}

/// The ports of this machine, for a person who looks for the right name.
fn found() -> String {
    let links = std::fs::read_dir(BY_ID).into_iter().flatten().flatten();
    let mut names: Vec<_> = links
        .map(|link| link.path().display().to_string())
        .collect();
    if names.is_empty() {
        let ports = tokio_serial::available_ports().unwrap_or_default();
        names.extend(ports.into_iter().map(|port| port.port_name));
    }
    names.sort();
    names.truncate(8);
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

const BY_ID: &str = "/dev/serial/by-id";

/// The name of this port that stays the same when adapters are plugged in another order, if it has
/// one and `path` is not one already.
pub fn stable_path(path: &Path) -> Option<PathBuf> {
    if path.starts_with("/dev/serial") {
        return None;
    }
    let device = path.canonicalize().ok()?;
    let links = std::fs::read_dir(BY_ID).ok()?;
    links
        .flatten()
        .map(|link| link.path())
        .find(|link| link.canonicalize().is_ok_and(|target| target == device))
}

/// What the driver of the port did not take over. A pty takes nothing over, and needs nothing.
fn differences(stream: &SerialStream, wanted: &SerialSettings, device: &Path) -> Vec<Note> {
    if is_pty(device) {
        return Vec::new();
    }
    let mut notes = Vec::new();
    let baud = stream
        .baud_rate()
        .ok()
        .filter(|baud| !is_near(*baud, wanted.baud));
    notes.extend(baud.map(|baud| {
        Note::new("DRV-0401", "the serial port runs at another baud rate").at(u64::from(baud))
    }));
    if stream
        .data_bits()
        .is_ok_and(|bits| bits != data_bits(wanted.bits))
    {
        notes.push(Note::new(
            "DRV-0402",
            "the serial port runs with other data bits",
        ));
    }
    if stream.parity().is_ok_and(|p| p != parity(wanted.parity)) {
        notes.push(Note::new(
            "DRV-0403",
            "the serial port runs with another parity",
        ));
    }
    if stream
        .stop_bits()
        .is_ok_and(|stop| stop != stop_bits(wanted.stop))
    {
        notes.push(Note::new(
            "DRV-0404",
            "the serial port runs with other stop bits",
        ));
    }
    notes
}

fn is_pty(device: &Path) -> bool {
    device.starts_with("/dev/pts")
}

/// Within 2 %: a UART divides its clock, and both ends together may be 4 % apart.
fn is_near(actual: u32, wanted: u32) -> bool {
    u64::from(actual.abs_diff(wanted)) * 50 <= u64::from(wanted)
}

const fn data_bits(bits: u8) -> tokio_serial::DataBits {
    if bits == 7 {
        tokio_serial::DataBits::Seven
    } else {
        tokio_serial::DataBits::Eight
    }
}

const fn stop_bits(stop: u8) -> tokio_serial::StopBits {
    if stop == 2 {
        tokio_serial::StopBits::Two
    } else {
        tokio_serial::StopBits::One
    }
}

const fn parity(parity: Parity) -> tokio_serial::Parity {
    match parity {
        Parity::None => tokio_serial::Parity::None,
        Parity::Odd => tokio_serial::Parity::Odd,
        Parity::Even => tokio_serial::Parity::Even,
    }
}

const fn flow(flow: Flow) -> tokio_serial::FlowControl {
    match flow {
        Flow::None => tokio_serial::FlowControl::None,
        Flow::RtsCts => tokio_serial::FlowControl::Hardware,
        Flow::XonXoff => tokio_serial::FlowControl::Software,
    }
}

impl Port for SerialPort {
    /// A serial port has no half that stays open: `Ok(0)` means that it is gone.
    const HALF_CLOSES: bool = false;

    /// Closing a serial port waits in the kernel (up to 30 s) for bytes that a dead peer will never
    /// take: so not on an async thread, and after a loss those bytes are thrown away first.
    async fn close(self, is_orderly: bool) {
        let closing = tokio::task::spawn_blocking(move || {
            if !is_orderly && let Err(error) = self.stream.clear(ClearBuffer::All) {
                tracing::debug!(%error, "the serial port could not be cleared");
            }
            drop(self);
        });
        if let Err(error) = closing.await {
            tracing::debug!(%error, "the serial port could not be closed");
        }
    }
}

impl AsyncRead for SerialPort {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for SerialPort {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    /// Does nothing: `tcdrain` would block the thread, and nobody needs to wait for the last bit.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
