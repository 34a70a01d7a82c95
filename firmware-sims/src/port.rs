//! Where a simulated device is plugged in: it dials, it listens, or it is a pseudo-terminal.

use std::{fmt, io, net::SocketAddr, time::Duration};

use labwire_protocols::wire::Machine;
use tokio::net::{TcpListener, TcpStream};
use tokio_serial::{SerialPort, SerialStream};

use crate::runner::{Device, End, Wire, session};

/// First wait before dialling again; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_millis(100);
/// Longest wait before dialling again: an analyzer tries every 5 to 30 s.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Where a simulated device is plugged in.
#[derive(Debug)]
pub enum Port {
    /// It dials this `host:port`, again and again.
    Connect(String),
    /// It waits for one connection after another.
    Listen(TcpListener),
    /// It is one end of a pseudo-terminal; the path of the other was given out.
    Pty(Pty),
}

/// Both ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    master: SerialStream,
    /// Kept open, so that the device's end works before and between openings of the path.
    _slave: SerialStream,
    path: String,
}

impl Pty {
    /// A new pseudo-terminal.
    ///
    /// # Errors
    /// If the system has none left.
    pub fn open() -> io::Result<Self> {
        // Neither end is locked by this, so that whoever gets the path can lock it.
        let (master, slave) = SerialStream::pair()?;
        let path = slave
            .name()
            .ok_or_else(|| io::Error::other("the pseudo-terminal has no name"))?;
        Ok(Self {
            master,
            _slave: slave,
            path,
        })
    }

    /// The path to open as a serial port.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The device's end, for a device that is no machine.
    pub const fn device(&mut self) -> &mut SerialStream {
        &mut self.master
    }
}

impl Port {
    /// Listens on `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// If the address cannot be bound.
    pub async fn listen(address: &str) -> io::Result<Self> {
        Ok(Self::Listen(TcpListener::bind(address).await?))
    }

    /// The address it listens on.
    pub fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Listen(listener) => listener.local_addr().ok(),
            Self::Connect(_) | Self::Pty(_) => None,
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(address) => write!(f, "connect {address}"),
            Self::Listen(listener) => match listener.local_addr() {
                Ok(address) => write!(f, "listen {address}"),
                Err(_) => f.write_str("listen"),
            },
            Self::Pty(pty) => write!(f, "pty {}", pty.path),
        }
    }
}

/// Keeps one device on its port until it is done or cancelled; the machine and the device live on
/// over all connections.
///
/// # Errors
/// If accepting fails, or the pseudo-terminal does. A lost connection is no error.
pub async fn keep<M: Machine + ?Sized, D: Device + ?Sized>(
    port: Port,
    machine: &mut M,
    device: &mut D,
    wire: &mut Wire,
) -> io::Result<()> {
    match port {
        Port::Connect(address) => dial(&address, machine, device, wire).await,
        Port::Listen(listener) => accept(&listener, machine, device, wire).await,
        Port::Pty(mut pty) => match session(&mut pty.master, machine, device, wire).await {
            End::Io(error) => Err(error),
            End::Cancelled | End::PeerClosed | End::Cut | End::Done | End::Machine(_) => Ok(()),
        },
    }
}

async fn dial<M: Machine + ?Sized, D: Device + ?Sized>(
    address: &str,
    machine: &mut M,
    device: &mut D,
    wire: &mut Wire,
) -> io::Result<()> {
    let cancel = wire.cancel.clone();
    let mut wait = RETRY_MIN;
    loop {
        let connected = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            connected = TcpStream::connect(address) => connected,
        };
        if let Ok(stream) = connected {
            wait = RETRY_MIN;
            stream.set_nodelay(true)?;
            if is_over(&session(stream, machine, device, wire).await) {
                return Ok(());
            }
        }
        tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = wait.saturating_mul(2).min(RETRY_MAX);
    }
}

async fn accept<M: Machine + ?Sized, D: Device + ?Sized>(
    listener: &TcpListener,
    machine: &mut M,
    device: &mut D,
    wire: &mut Wire,
) -> io::Result<()> {
    let cancel = wire.cancel.clone();
    loop {
        let (stream, _) = tokio::select! {
            () = cancel.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted?,
        };
        stream.set_nodelay(true)?;
        if is_over(&session(stream, machine, device, wire).await) {
            return Ok(());
        }
    }
}

fn is_over(end: &End) -> bool {
    matches!(end, End::Cancelled | End::Done)
}
