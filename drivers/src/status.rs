//! What is known about a line, by evidence: bytes seen, messages stored, acknowledgements given.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::event::Connection;

/// What is known about a line now. Times are microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineStatus {
    /// The id of the line.
    pub id: String,
    /// Its port string.
    pub endpoint: String,
    /// What the line does now.
    pub phase: Phase,
    /// The address at which it listens; with the port that the system chose, if it was to choose.
    pub local_addr: Option<SocketAddr>,
    /// The connections that are open, oldest first.
    pub connections: Vec<ConnectionStatus>,
    /// When the last byte came in.
    pub last_byte_utc_micros: Option<i64>,
    /// When the last whole message was durable.
    pub last_message_utc_micros: Option<i64>,
    /// When a reply was last given to something durable.
    pub last_acknowledgement_utc_micros: Option<i64>,
    /// The last thing that went wrong.
    pub last_problem: Option<Problem>,
    /// What was counted since the line was spawned.
    pub counters: Counters,
    /// How often each code was noted.
    pub notes: BTreeMap<&'static str, u64>,
}

/// What a line does now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// The port is being opened.
    #[default]
    Opening,
    /// The port is open; no device is connected.
    Listening,
    /// At least one connection is open. Whether the device lives, the times say.
    Connected,
    /// The port could not be opened, or was lost, and will be tried again.
    Retrying,
    /// The line was stopped.
    Stopped,
}

/// One open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionStatus {
    /// Its number, peer and time of opening.
    pub connection: Connection,
    /// The state of its machine, as the standard calls it.
    pub machine_state: &'static str,
    /// When its last byte came in.
    pub last_byte_utc_micros: Option<i64>,
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// When: microseconds since 1970-01-01T00:00:00Z.
    pub utc_micros: i64,
    /// The stable code that the manual explains.
    pub code: &'static str,
    /// What, where, and what to do, for a person.
    pub text: String,
}

/// What was counted since the line was spawned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Connections opened; one less is the number of reconnects.
    pub connections: u64,
    /// Connections lost, for whatever reason.
    pub losses: u64,
    /// Times the port could not be opened.
    pub open_failures: u64,
    /// Connections refused.
    pub refusals: u64,
    /// Whole messages made durable.
    pub messages: u64,
    /// Messages without their end made durable.
    pub incomplete_messages: u64,
    /// Commits that failed.
    pub commit_failures: u64,
    /// Messages sent, and answered where the protocol answers.
    pub sent: u64,
    /// Messages given to `send` that were not delivered.
    pub send_failures: u64,
}
