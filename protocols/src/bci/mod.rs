//! bioMérieux BCI (VIDAS, mini VIDAS, VITEK, VITEK 2): fields that name themselves, in records.
//!
//! Either side asks for the line (ENQ), sends its messages and gives the line back (EOT). A message is
//! text: fields of two letters and a value, each ended by `|` (`mtrsl|ci4711|rtTSH|`), cut into
//! records that mean nothing: mini VIDAS has one record a field, VITEK cuts lines wherever they are
//! full. [`link`] moves messages, [`message`] reads them, [`writer`] writes them.
//! `CLAUSES-vendor.md` says which fact is obeyed where, and how well it is known.
//!
//! A message, as the link gives and takes it, runs from its first RS to the byte before GS:
//! `<RS>mtrsl|<RS>ci4711|`. STX, GS, checksum and ETX are not in it.

pub mod dialect;
pub mod field;
pub mod link;
pub mod message;
pub mod notes;
pub mod writer;

pub use self::{
    dialect::{Dialect, DialectError, Limits, Records, Role, Timers},
    field::Field,
    link::Link,
    message::{Kind, Message, ReadError, Test, read},
    writer::{WriteError, write},
};

#[cfg(test)]
mod tests;
