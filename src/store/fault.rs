//! Faults that tests ask for, where a real disk would have them.

use std::fmt;

/// Asked before every group begins and before it commits.
pub trait Faults: fmt::Debug + Send + Sync {
    /// The fault to have now, or `None` to go on.
    fn at(&self, point: FaultPoint) -> Option<Fault>;
}

/// Where a fault may strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FaultPoint {
    /// Before the writer begins a group.
    Begin,
    /// After the work of a group, before its commit.
    Commit,
    /// After the commit of a group and before anybody is told.
    Committed,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// No room left.
    DiskFull,
    /// The disk reports an error; the connection is opened again.
    DiskFailed,
}
