//! The laboratory while a host is away: orders keyed in under a temporary number, what is left to be
//! measured, and results for the ward on paper.
//!
//! A keyed order is an order of the book under a host of its own ([`crate::book::keyed_for`]): devices
//! find it, its results are held (`provisional-order`) until the host orders the same tests on the same
//! barcode for the same patient, and then go to the host under its own numbers. A person may look at
//! them before and keep them for the ward. What must not happen here: a result told to a host under a
//! number that it did not give, two patients taken for one, a value on paper that nobody looked at.

mod bench;
mod key;
mod paper;

#[cfg(test)]
mod tests;

pub use self::{
    bench::{Bench, Open, benches},
    key::{Keyed, Placed, Refused, key_in, withdraw},
    paper::{Line, Sheet, sheets},
};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    bench::ALL.to_vec()
}
