//! Beckman Coulter AU analyzers (AU480, AU680, AU5800, DxC 700 AU, AU2700, AU5400).
//!
//! A wire of its own: texts of fixed columns between STX and ETX, with or without a block check
//! character, acknowledged (class B) or not (class A). [`link`] moves texts, [`text`] reads them,
//! [`writer`] writes them. What a site sets in the menu "online" of its analyzer is data here:
//! [`Dialect`] and [`Layout`]; the values of a [`Model`] are where to begin, not what is true at a
//! site. `CLAUSES-vendor.md` says which fact is obeyed where, and how well it is known.
//!
//! A message, as the link gives and takes it, is the blocks of one text in order, each ended by
//! its end code: `D … E …<ETX>`, or `D … 0 …<ETB>D … E …<ETX>`. STX and block check are not in it.

pub mod code;
pub mod columns;
pub mod dialect;
pub mod layout;
pub mod link;
pub mod notes;
pub mod text;
pub mod writer;

pub use self::{
    code::{Code, Kind, Run},
    columns::Columns,
    dialect::{Bcc, Class, Dialect, DialectError, Limits, Model, Role, Timers},
    layout::{ControlLayout, GroupLayout, Layout, NoOrder, OrderLayout, Side},
    link::Link,
    text::{Content, ReadError, Text, read},
    writer::{WriteError, Writer},
};

#[cfg(test)]
mod tests;
