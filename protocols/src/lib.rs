//! Sans-IO protocol machines and codecs of the laboratory.
//!
//! Nothing in this crate touches a socket, a file, a clock or a thread. Bytes from a peer can never
//! make it panic; what passes a limit is refused and noted. `CLAUSES.md` and its like
//! beside this crate's manifest say which clause of which standard, and which fact of a vendor's own
//! wire, is obeyed where, and by which test.
#![warn(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "no input may panic here; tests are exempt by clippy.toml"
)]

pub mod astm;
pub mod automation;
pub mod bci;
pub mod beckman_au;
pub mod charset;
pub mod dimension;
pub mod hl7;
pub mod mllp;
pub mod places;
pub mod poct1a;
pub mod sysmex_legacy;
pub mod wire;

#[cfg(test)]
mod transcript;
