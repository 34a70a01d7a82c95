//! What a line tells its owner, and what it asks of it.

use std::{fmt, io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use labwire_protocols::wire::{CloseReason, Commit, CommitId, Note, OutId, SendOutcome};

use crate::{error::PortError, tls::TlsFault};

/// The owner of a line: makes things durable and hears what happens.
pub trait Upstream: Send + Sync + 'static {
    /// Makes `commit` durable; the future ends when it is, or when it cannot be.
    ///
    /// Called once for every commit, in the order in which the machine of that connection asked;
    /// several futures may be under way at once. Work whose order matters takes its place in the
    /// call itself, not when the future is first polled. `Commit::Frame::session` and `CommitId`
    /// start anew with every connection; [`Connection::number`] tells them apart.
    ///
    /// The future is run to its end, also when the connection is lost meanwhile; unless a panic, a
    /// bug of ours, ends the connection, or `LineConfig::stop_timeout` passes at a stop.
    fn commit(
        &self,
        connection: &Connection,
        id: CommitId,
        commit: Commit,
    ) -> BoxFuture<'static, CommitResult>;

    /// Hears what happened. Called on the task of the line: it must not block.
    fn on_event(&self, event: LineEvent);
}

/// The reply for the peer (HL7), or why nothing may be promised to it.
pub type CommitResult = Result<Option<Bytes>, CommitFailure>;

/// A commit that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitFailure {
    /// The negative reply to give (HL7), if there is one.
    pub reply: Option<Bytes>,
}

/// One connection of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Counts the connections of this line from 1 since it was spawned.
    pub number: u64,
    /// Who is at the other end.
    pub peer: Peer,
    /// When it was opened: microseconds since 1970-01-01T00:00:00Z.
    pub opened_utc_micros: i64,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// Whatever is at the other end of this serial port.
    Serial(PathBuf),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Serial(path) => path.display().fmt(f),
        }
    }
}

/// Something that happened on a line. `connection` is [`Connection::number`].
#[derive(Clone, Debug)]
pub enum LineEvent {
    /// The port is about to be opened; `attempt` counts from 1 since the last time it was open.
    Opening {
        /// Which attempt this is.
        attempt: u32,
    },
    /// The line listens at this address.
    Listening(SocketAddr),
    /// The port cannot be opened now.
    Unavailable(Arc<PortError>),
    /// The port will be tried again after this time.
    Retry {
        /// The wait.
        after: Duration,
    },
    /// A connection is open.
    Connected(Connection),
    /// The newest connection takes the place of an older one.
    Replaced {
        /// The connection that ends.
        old: u64,
        /// The connection that goes on.
        new: u64,
    },
    /// A connection was not accepted.
    Refused {
        /// Who asked.
        peer: SocketAddr,
        /// Why not.
        why: RefusedReason,
    },
    /// Bytes came in.
    Read {
        /// The connection.
        connection: u64,
        /// How many.
        bytes: usize,
    },
    /// Bytes went out.
    Written {
        /// The connection.
        connection: u64,
        /// How many.
        bytes: usize,
    },
    /// The machine, or the port, noted something.
    Note {
        /// The connection.
        connection: u64,
        /// What.
        note: Note,
    },
    /// The last word about a message given by `send`; exactly one for each.
    Finished(OutId, SendOutcome),
    /// A connection ended; everything that its machine asked for has been passed on.
    Lost {
        /// The connection.
        connection: u64,
        /// Why.
        why: LostReason,
    },
    /// The line was stopped; nothing follows.
    Stopped,
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// The peer closed the connection, or the serial port went away.
    PeerClosed,
    /// Reading or writing failed.
    Broken(io::ErrorKind),
    /// The other side, or we, did not go on with TLS: most often a certificate that is not taken.
    Tls(TlsFault),
    /// Nothing arrived for the idle timeout.
    Silent,
    /// The peer took no bytes for the write timeout.
    WriteStalled,
    /// The machine asked for it.
    Machine(CloseReason),
    /// A newer connection of the same device took its place.
    Replaced,
    /// The line was stopped.
    Stopped,
    /// The task of the connection panicked: a bug of ours. The line goes on with a new connection.
    Panicked,
}

impl LostReason {
    /// The stable code that the manual explains.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PeerClosed => "DRV-0201",
            Self::Broken(_) => "DRV-0202",
            Self::Silent => "DRV-0203",
            Self::WriteStalled => "DRV-0204",
            Self::Machine(CloseReason::TransmitOverflow) => "DRV-0205",
            Self::Machine(CloseReason::ReceiveOverflow) => "DRV-0206",
            Self::Machine(CloseReason::NotDurable) => "DRV-0207",
            Self::Replaced => "DRV-0208",
            Self::Stopped => "DRV-0209",
            Self::Panicked => "DRV-0210",
            Self::Tls(fault) => fault.code(),
        }
    }
}

impl LostReason {
    /// Whether something is wrong that a person should see: not the ends that every day has.
    pub const fn is_alarm(&self) -> bool {
        match self {
            Self::PeerClosed | Self::Broken(_) | Self::Replaced | Self::Stopped => false,
            Self::Silent
            | Self::WriteStalled
            | Self::Machine(_)
            | Self::Panicked
            | Self::Tls(_) => true,
        }
    }

    /// Why reading or writing failed.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        crate::tls::fault_of(error).map_or(Self::Broken(error.kind()), Self::Tls)
    }
}

impl fmt::Display for LostReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerClosed => write!(f, "the device closed the connection or its port went away"),
            Self::Broken(kind) => write!(f, "the connection broke ({kind})"),
            Self::Tls(fault) => fault.fmt(f),
            Self::Silent => write!(
                f,
                "nothing arrived for the idle timeout; the device may be off"
            ),
            Self::WriteStalled => write!(f, "the device took no bytes for the write timeout"),
            Self::Machine(CloseReason::TransmitOverflow) => {
                write!(f, "the device does not read and too many bytes wait for it")
            }
            Self::Machine(CloseReason::ReceiveOverflow) => {
                write!(
                    f,
                    "the device sent more than a limit of its protocol allows"
                )
            }
            Self::Machine(CloseReason::NotDurable) => {
                write!(
                    f,
                    "a message could not be stored and the protocol has no way to say so"
                )
            }
            Self::Replaced => write!(f, "a newer connection of the device took its place"),
            Self::Stopped => write!(f, "the line was stopped"),
            Self::Panicked => write!(f, "a bug in Labwire ended the connection; please report it"),
        }
    }
}

/// Why a connection was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedReason {
    /// Its address is not among those allowed.
    NotAllowed,
    /// There are as many connections as the line may have.
    TooMany,
    /// Too many commits of earlier connections are still under way: the store is behind.
    StoreBehind,
    /// The TLS handshake failed.
    Tls(TlsFault),
}

impl RefusedReason {
    /// The stable code that the manual explains.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAllowed => "DRV-0301",
            Self::TooMany => "DRV-0302",
            Self::StoreBehind => "DRV-0303",
            Self::Tls(fault) => fault.code(),
        }
    }
}

impl fmt::Display for RefusedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAllowed => "its address is not among those this line allows",
            Self::TooMany => "the line has as many connections as it may have",
            Self::StoreBehind => "the store is behind with what earlier connections sent",
            Self::Tls(fault) => return fault.fmt(f),
        })
    }
}
