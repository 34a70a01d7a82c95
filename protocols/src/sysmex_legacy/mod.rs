//! Sysmex analyzers in their older formats (K, KX, XS, XT, XN as "S text"): columns without a check.
//!
//! A text is one or more lines between STX and ETX, each beginning with a code (`D1U`, `D2U`, `DI`,
//! `R1` …) that says which columns follow. What the columns are is the model's and the site's: all of
//! it is a [`Layout`], given as data. There is no checksum; where the analyzer can speak ASTM it should.
//! [`link`] moves texts (class A without, class B with acknowledgement), [`text`] reads, [`writer`]
//! writes them. `CLAUSES-vendor.md` says which fact is obeyed where, and how well it is known.
//!
//! A text, as the link gives and takes it, is what stands between STX and ETX.

pub mod dialect;
pub mod layout;
pub mod link;
pub mod notes;
pub mod text;
pub mod writer;

pub use self::{
    dialect::{Class, Dialect, DialectError, Limits, Role, Timers},
    layout::{Align, Column, Kind, Layout, LayoutError, TextLayout, Use},
    link::Link,
    text::{Cell, Line, ReadError, read},
    writer::{WriteError, join, write},
};

#[cfg(test)]
mod tests;
