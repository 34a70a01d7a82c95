//! Siemens Dimension (RxL, RxL Max, Xpand, EXL): fields between FS, polled.
//!
//! The analyzer speaks first and always: it polls for orders, asks for the order of a sample, and
//! reports. The host acknowledges each message and then says one thing: that there is no request,
//! an order, or that a result was accepted. [`link`] moves messages, [`message`] reads them,
//! [`writer`] writes them. `CLAUSES-vendor.md` says which fact is obeyed where, and how well it is
//! known.
//!
//! A message, as the link gives and takes it, runs from its letter to its last FS:
//! `I<FS>00112028<FS>`. STX, checksum and ETX are not in it.

pub mod dialect;
pub mod field;
pub mod link;
pub mod message;
pub mod notes;
pub mod writer;

pub use self::{
    dialect::{Dialect, DialectError, Layout, Limits, Role, Timers, Unanswered},
    field::Field,
    link::Link,
    message::{Message, ReadError, read},
    writer::{WriteError, Writer},
};

#[cfg(test)]
mod tests;
