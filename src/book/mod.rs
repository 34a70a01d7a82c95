//! The order book: what hosts asked for, on which tube, for whom; and what devices were told of it.
//!
//! Everything here runs inside one transaction of the store and is committed before the host gets
//! its reply, so that a query read after the reply sees the order.

mod blood;
mod change;
mod entry;
mod keyed;
mod lookup;
mod name;
mod patient;
mod step;
mod told;

pub(crate) use self::{
    change::{json, unjson},
    lookup::{OpenTubes, open_barcodes},
};

pub use self::{
    blood::{Determination, amend, amend_holds, blood_history, conflict, learn_blood},
    change::{
        AnsweredMessage, Applied, BookContext, Merged, Outcome, apply, find_answered, keep_answer,
        merge, set_statuses, unordered_specimen, update_patient,
    },
    entry::{Action, Fields, Identifier, OrderEntry, PatientEntry, SpecimenEntry},
    keyed::{
        KeyedItem, SERVICE, apply_keyed, differing, is_keyed, keyed_for, keyed_items,
        known_patient, next_number, of_one,
    },
    lookup::{
        BookItem, BookPatient, BookSpecimen, Waiting, has_released, item_by_id, items_of,
        open_items, patient_of, patients_of, specimen_by_id, specimens_by_ids,
        specimens_with_barcode, specimens_with_barcodes, tests_of, waiting, waiting_for_device,
    },
    name::name_words,
    patient::resolve,
    step::{StepState, TubeSteps, WorkStep, note_step, step_of_number},
    told::{ItemTests, forget_told, note_taken_back, note_told, told_tests},
};

#[cfg(test)]
use crate::store::Sql;

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) fn statements() -> Vec<&'static Sql> {
    [
        blood::ALL,
        change::ALL,
        keyed::ALL,
        lookup::ALL,
        name::ALL,
        patient::ALL,
        step::ALL,
        told::ALL,
    ]
    .concat()
}
