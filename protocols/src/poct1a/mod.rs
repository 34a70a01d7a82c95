//! POCT1-A (CLSI): point-of-care devices (i-STAT, Sofia, HemoScreen, DCA, StatStrip …) that speak XML
//! with a data manager, which is what Labwire is to them.
//!
//! The device opens the connection and says hello; the data manager asks for what is new, or lets the
//! device report as it measures. Every message has a control id, and an acknowledgement names it, so
//! that a late one can do no harm. [`link`] holds the conversation, [`xml`] reads within limits,
//! [`message`] and [`observation`] give typed views, [`writer`] writes. `CLAUSES-vendor.md` says which
//! fact is obeyed where, and how well it is known.
//!
//! A message, as the link gives and takes it, runs from its first `<` (an XML declaration is part of
//! it) to the `>` of its root element's end. What a vendor puts around it is not in it.

pub mod dialect;
pub mod link;
pub mod message;
pub mod notes;
pub mod observation;
mod take;
pub mod writer;
pub mod xml;

pub use self::{
    dialect::{AckName, Dialect, DialectError, Limits, Mode, Role, Timers, Wrap},
    link::Link,
    message::{Body, Message, ReadError, read},
    observation::{Control, Observation, Service},
    writer::{WriteError, Writer},
    xml::{Document, Value},
};

#[cfg(test)]
mod tests;
