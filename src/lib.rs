//! Labwire: laboratory automation middleware between a hospital information system and its
//! analyzers. `ARCHITECTURE.md` at the root of the project is the map of this crate.

pub mod alerts;
pub mod audit;
pub mod backups;
pub mod book;
pub mod bridge;
pub mod calls;
pub mod certificates;
pub mod cli;
pub mod config;
pub mod console;
pub mod demo;
pub mod downtime;
pub mod host;
pub mod image;
pub mod learn;
pub mod ledger;
pub mod model;
pub mod people;
pub mod profile;
pub mod queue;
pub mod retention;
pub mod settle;
pub mod store;
pub mod text;
pub mod trace;
pub mod track;
pub mod tubes;
pub mod worklist;
