//! The hosts: orders from them, results to them.

mod verdict;

pub use self::verdict::{HostAnswer, Permanence};
