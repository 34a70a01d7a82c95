//! Instrument profiles: everything that differs between analyzers, as data.
//!
//! A profile is one TOML file. [`Library`] finds it (a site's file wins over the built-in one of
//! the same name), [`Profile::for_line`] lays a line's own settings over it, [`decode`] reads a
//! device's message with it, [`answer`](answer::answer) writes one for the device, and
//! [`run_examples`] proves that the file says what its author meant.

mod condition;
mod load;
mod path;
mod schema;

pub use self::{
    condition::{Condition, Pattern, Test},
    load::load,
    path::FieldPath,
};
