//! Telling systemd, as `sd_notify(3)` describes: datagrams of `NAME=value` lines to the socket that
//! `NOTIFY_SOCKET` names.

use std::{
    ffi::OsStr,
    fmt, io,
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    sync::Arc,
    time::Duration,
};

/// The service manager; without one, whatever it is told goes nowhere. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Manager {
    socket: Option<Arc<Socket>>,
    watchdog: Option<Duration>,
}

struct Socket {
    own: UnixDatagram,
    manager: SocketAddr,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.manager.fmt(f)
    }
}

/// What systemd set in the environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment<'a> {
    /// `NOTIFY_SOCKET`: a path, or a name in the abstract namespace behind an `@`.
    pub notify_socket: Option<&'a OsStr>,
    /// `WATCHDOG_USEC`.
    pub watchdog_usec: Option<&'a str>,
    /// `WATCHDOG_PID`: who is watched, where it is said.
    pub watchdog_pid: Option<&'a str>,
}

impl Manager {
    /// The one that started this process, if one did.
    pub fn of_process() -> Self {
        let socket = std::env::var_os("NOTIFY_SOCKET");
        let usec = std::env::var("WATCHDOG_USEC").ok();
        let pid = std::env::var("WATCHDOG_PID").ok();
        Self::of(Environment {
            notify_socket: socket.as_deref(),
            watchdog_usec: usec.as_deref(),
            watchdog_pid: pid.as_deref(),
        })
    }

    /// The one that `environment` names.
    pub fn of(environment: Environment<'_>) -> Self {
        let Some(name) = environment.notify_socket.filter(|name| !name.is_empty()) else {
            return Self::default();
        };
        let socket = match Socket::open(name) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!(%error, "systemd cannot be told how labwire is");
                return Self::default();
            }
        };
        let own = std::process::id().to_string();
        let is_watched = environment.watchdog_pid.is_none_or(|pid| pid == own);
        let usec = environment.watchdog_usec.filter(|_| is_watched);
        let usec = usec
            .and_then(|text| text.parse().ok())
            .filter(|usec| *usec > 0);
        Self {
            socket: Some(Arc::new(socket)),
            watchdog: usec.map(Duration::from_micros),
        }
    }

    /// How long the manager waits for a sign of life; `None` where it does not.
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Whether there is anybody to tell.
    pub const fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// Lines are open, and the store writes.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}\n", one_line(status)));
    }

    /// How things are, in a line.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}\n", one_line(status)));
    }

    /// A sign of life.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1\n");
    }

    /// Files are read again; [`Manager::ready`] ends it.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// It is stopping, in order.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what was begun\n");
    }

    fn tell(&self, text: &str) {
        let Some(socket) = &self.socket else { return };
        // A manager that takes nothing must not hold up a line; it will hear the next word.
        if let Err(error) = socket.own.send_to_addr(text.as_bytes(), &socket.manager) {
            tracing::debug!(%error, "systemd could not be told");
        }
    }
}

impl Socket {
    fn open(name: &OsStr) -> io::Result<Self> {
        let manager = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let own = UnixDatagram::unbound()?;
        own.set_nonblocking(true)?;
        Ok(Self { own, manager })
    }
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(|letter: char| letter.is_control(), " ")
}
