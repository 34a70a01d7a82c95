//! Sans-IO protocol machines and codecs of the laboratory.
//!
//! Nothing in this crate touches a socket, a file, a clock or a thread. Bytes from a peer can never
//! make it panic; what passes a limit is refused and noted. `CLAUSES.md` beside this crate's
//! manifest says which clause of which standard is obeyed where, and by which test;
//! `CLAUSES-vendor.md` says the same of the facts of vendors' own wires.
#![warn(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "no input may panic here; tests are exempt by clippy.toml"
)]

pub mod astm;
pub mod beckman_au;
pub mod charset;
pub mod dimension;
pub mod hl7;
pub mod mllp;
pub mod wire;

#[cfg(test)]
mod transcript;
