//! Labwire: laboratory automation middleware between a hospital information system and its
//! analyzers. `ARCHITECTURE.md` at the root of the project is the map of this crate.

pub mod config;
pub mod model;
pub mod profile;
pub mod text;
