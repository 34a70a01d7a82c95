//! Why a port cannot be opened, in words for the technician on night duty.

use std::{io, path::PathBuf, sync::Arc};

use thiserror::Error;

use crate::tls::{TlsError, TlsFault};

/// Why a port cannot be opened: what was tried, where, and what to do about it.
#[derive(Debug, Error)]
pub enum PortError {
    /// Another program listens there.
    #[error(
        "port {at} is in use by another program: end that program (perhaps a second Labwire), or give \
         this line another port"
    )]
    InUse {
        /// `host:port`.
        at: String,
    },
    /// The address to listen at is not one of this machine.
    #[error(
        "cannot listen at {at}: this machine has no such address; write 0.0.0.0 for all of its \
         addresses, or one that it has"
    )]
    NotOurAddress {
        /// `host:port`.
        at: String,
    },
    /// Listening failed for another reason.
    #[error(
        "cannot listen at {at}: see the cause; ports below 1024 need the administrator's rights"
    )]
    CannotListen {
        /// `host:port`.
        at: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Accepting failed.
    #[error(
        "cannot accept a connection at {at}: the system has run out of something; it is tried again"
    )]
    CannotAccept {
        /// `host:port`.
        at: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The host name has no address.
    #[error("no address is known for {to}: check the name, or write the device's IP address")]
    UnknownHost {
        /// `host:port`.
        to: String,
    },
    /// The device refuses the connection.
    #[error(
        "nothing listens at {to}: the device answers but has no program at that port; check its host \
         interface settings and the port number"
    )]
    NotListening {
        /// `host:port`.
        to: String,
    },
    /// No answer from the device.
    #[error(
        "no answer from {to} in {seconds} s: is the device on, its network cable in, the address right?"
    )]
    NoAnswer {
        /// `host:port`.
        to: String,
        /// How long it was tried.
        seconds: u64,
    },
    /// Dialling failed for another reason.
    #[error("cannot connect to {to}: check the cable, the address and the route to it")]
    CannotConnect {
        /// `host:port`.
        to: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What TLS needs is not there.
    #[error("{at} has no TLS settings that can be used: `labwire check` tells what to mend")]
    TlsNotReady {
        /// The port string.
        at: String,
        /// What is wrong with its files.
        #[source]
        source: Arc<TlsError>,
    },
    /// The handshake with the device failed.
    #[error("no TLS connection to {to} ({}): {fault}", fault.code())]
    Handshake {
        /// `host:port`.
        to: String,
        /// Which side did what.
        fault: TlsFault,
    },
    /// The device file does not exist.
    #[error("there is no serial port {}: is the adapter plugged in? Ports found: {found}", path.display())]
    NoSuchSerial {
        /// The device file.
        path: PathBuf,
        /// What there is instead.
        found: String,
    },
    /// The device file may not be opened.
    #[error(
        "the serial port {} may not be opened: add the user that runs Labwire to the group of the device \
         file (usually dialout) and start it again",
        path.display()
    )]
    SerialDenied {
        /// The device file.
        path: PathBuf,
    },
    /// Another line, or another program that keeps to the lock files, has the port.
    #[error(
        "the serial port {} is in use by {by}: two readers would each lose half of the bytes; end the other \
         one, or give this line another port",
        path.display()
    )]
    SerialInUse {
        /// The device file.
        path: PathBuf,
        /// Who has it.
        by: String,
    },
    /// The lock file cannot be made.
    #[error("cannot make the lock file {}: the directory must exist and be writable", path.display())]
    LockFile {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The serial port cannot be opened for another reason.
    #[error("cannot open the serial port {} with these settings", path.display())]
    CannotOpenSerial {
        /// The device file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl PortError {
    /// The stable code that the manual explains.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "DRV-0101",
            Self::NotOurAddress { .. } => "DRV-0102",
            Self::CannotListen { .. } => "DRV-0103",
            Self::CannotAccept { .. } => "DRV-0104",
            Self::UnknownHost { .. } => "DRV-0105",
            Self::NotListening { .. } => "DRV-0106",
            Self::NoAnswer { .. } => "DRV-0107",
            Self::CannotConnect { .. } => "DRV-0108",
            Self::NoSuchSerial { .. } => "DRV-0109",
            Self::SerialDenied { .. } => "DRV-0110",
            Self::SerialInUse { .. } => "DRV-0111",
            Self::LockFile { .. } => "DRV-0112",
            Self::CannotOpenSerial { .. } => "DRV-0113",
            Self::TlsNotReady { .. } => "DRV-0114",
            Self::Handshake { .. } => "DRV-0115",
        }
    }
}

/// The error and its causes in one line, for a log or a page.
pub(crate) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words.push_str(": ");
        words.push_str(&error.to_string());
        cause = error.source();
    }
    words
}
