//! Ports (serial, TCP, TLS) and the one session loop that runs a protocol machine over a port.
//!
//! A *line* is the connection to one device. [`spawn_line`] starts the task that keeps one open: it
//! listens, dials or opens a serial port, runs a fresh machine of
//! [`labwire_protocols::wire`] over every connection, and tries again with bounded backoff when
//! the connection is lost. What has to be made durable goes to the [`Upstream`]; an acknowledgement
//! leaves only after the upstream has said that it is.
//!
//! Lines share nothing: each has its own tasks, buffers and limits, so that one that misbehaves
//! cannot slow another. Everything that can grow has a limit in [`LineConfig`].
//!
//! What is absent on purpose: no protocol is known here, no content is logged, and no call waits
//! for a disk.

pub mod capture;
pub mod clock;
pub mod config;
pub mod crash;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod fault;
pub mod status;
pub mod tls;

mod alarm;
mod given;
mod line;
mod lock;
mod network;
mod port;
mod queue;
mod report;
mod serial;
mod session;
mod shaking;
mod tcp;

#[cfg(test)]
mod tests;

pub use capture::{CaptureEntry, Direction};
pub use clock::{Clock, SystemClock};
pub use config::{Backoff, Concurrency, Jitter, Keepalive, LineConfig};
pub use endpoint::{Endpoint, EndpointError, Framing, SerialSettings};
pub use error::PortError;
pub use event::{
    CommitFailure, CommitResult, Connection, LineEvent, LostReason, Peer, RefusedReason, Upstream,
};
pub use fault::{FaultPlan, FaultPort};
pub use given::{GivenPort, Ports};
pub use line::{LineGone, LineHandle, MachineFactory, TrySendError, spawn_line};
pub use network::{Network, NetworkError};
pub use port::{Available, check_endpoint, check_line};
pub use serial::stable_path;
pub use status::{ConnectionStatus, Counters, LineStatus, Phase};
pub use tls::{Certificate, Look, Tls, TlsError, TlsFault, TlsFiles, TlsSide, TlsStatus};
