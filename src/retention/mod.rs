//! Archiving by age: what is old enough leaves the store for files that people read without Labwire.
//!
//! What belongs together goes together ([`unit`]): messages, their results with every version, pictures,
//! calls, and the messages that told hosts of them. Nothing of a unit goes while anything of it is open,
//! whatever its age ([`open`]). A file is written, brought to disk and read again ([`file`]) before a
//! transaction removes what is in it, and that transaction gathers every unit once more: what is not the
//! same to the byte, or open again, stays.
//!
//! A crash leaves a file that the store does not know (all of it is still in the store: the file is removed
//! at the next run), or units that are in a file and in the store (the next run archives them again, and
//! whoever reads archives sees each row once).
//!
//! Patients, tubes, orders and blood groups stay in the store for ever: a barcode that comes back, a
//! patient's antibodies and the answer to a host depend on them. Their rows are in the files too, so that
//! a file can be read alone.

mod audit_file;
mod file;
mod keeper;
mod open;
mod rows;
mod unit;

#[cfg(test)]
mod tests;

pub use self::{
    file::{Found, list, search, verify},
    keeper::{Keeper, Plan},
    rows::{Archive, Counts, archives, counts, of_result, of_tube},
};

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static crate::store::Sql> {
    let tables = unit::TABLES
        .iter()
        .flat_map(|table| [&table.select, &table.delete]);
    let all = [
        open::ALL,
        rows::ALL,
        unit::ALL,
        audit_file::ALL,
        keeper::ALL,
    ];
    tables.chain(all.concat()).collect()
}
