//! Simulated analyzers and a simulated hospital information system, for people and for tests.
//!
//! - [`analyzer`]: instruments that ask, measure and send, as their [`persona`] says;
//! - [`line`]: an automation line with its tubes by hand and by air;
//! - [`his`]: a hospital that orders, and takes results well, slowly, unwillingly or not at all;
//! - [`morning`]: a hospital morning from a seed, with all of them;
//! - [`load`]: load generators;
//! - [`runner`], [`port`], [`faults`]: a machine and a device over TCP, a pseudo-terminal or memory.
//!
//! Everything a simulator says about its world it writes down: what it sent, what was acknowledged,
//! what it received. The ledgers are what a test compares.

pub mod analyzer;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod faults;
pub mod his;
pub mod line;
pub mod load;
pub mod morning;
pub mod persona;
pub mod port;
pub mod runner;
pub mod text;
