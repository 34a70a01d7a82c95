//! Tubes on automation lines, as the store and the site know them: what [`crate::track`] is told and
//! finds, kept as rows; the receipt of a tube; what a line's advice needs from the order book.
//!
//! | module | decides |
//! |---|---|
//! | [`site`] | the lines of a site: their files, read and checked against `lab.toml` |
//! | [`rows`] | `track_event`: an event as a row and back, so that a line's books are rebuilt |
//! | [`receipt`] | when a tube was received, and which station sent it |
//! | [`whereabouts`] | whether a tube passed an analyzer, and whether its barcode is in two places |
//! | [`need`] | what is still to be done with a tube |
//! | [`control`] | how the controls of an analyzer stand |
//! | [`stations`] | haemolysis by sending station |

pub mod control;
pub mod need;
pub mod receipt;
pub mod rows;
pub mod site;
pub mod stations;
pub mod whereabouts;

#[cfg(test)]
mod tests;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    [
        rows::ALL,
        receipt::ALL,
        whereabouts::ALL,
        need::ALL,
        control::ALL,
        stations::ALL,
    ]
    .concat()
}
