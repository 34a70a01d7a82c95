//! Orders, cancels, changes and merges, applied to the book.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    model::OrderStatus,
    queue,
    store::{Db, Insert, Param, Sql, StoreError},
};

use super::{
    Action, Fields, Identifier, OrderEntry, PatientEntry, SpecimenEntry, blood, entry::Content,
    keyed, lookup, patient, told,
};

const FIND_ITEM: Sql = Sql::same(
    "SELECT id, specimen, filler, status, content FROM order_item \
     WHERE host = $1 AND placer = $2 AND service = $3",
);
const FIND_ITEMS_OF_PLACER: Sql = Sql::same(
    "SELECT id, specimen, filler, status, content FROM order_item \
     WHERE host = $1 AND placer = $2 ORDER BY id",
);
const INSERT_ITEM: Sql = Sql::same(
    "INSERT INTO order_item (host, placer, service, specimen, filler, status, priority, content, \
     message, created_at, updated_at) VALUES ($1, $2, $3, $4, '', 'SC', $5, $6, $7, $8, $8) \
     RETURNING id",
);
const SET_FILLER: Sql = Sql::same("UPDATE order_item SET filler = $2 WHERE id = $1");
const UPDATE_ITEM: Sql = Sql::same(
    "UPDATE order_item SET specimen = $2, priority = $3, content = $4, status = $5, \
     updated_at = $6 WHERE id = $1",
);
const SET_STATUS: Sql =
    Sql::same("UPDATE order_item SET status = $2, updated_at = $3 WHERE id = $1");
const SET_STATUSES: Sql = Sql {
    sqlite: "UPDATE order_item SET status = j.value ->> 1, updated_at = $2 FROM json_each($1) j \
             WHERE order_item.id = j.value ->> 0",
    postgres: "UPDATE order_item SET status = j.value ->> 1, updated_at = $2 \
               FROM json_array_elements($1::json) j \
               WHERE order_item.id = (j.value ->> 0)::bigint",
};
const ADD_TESTS: Insert = Insert {
    into: "INSERT INTO order_test (order_item, test, position)",
    columns: 3,
    tail: "ON CONFLICT (order_item, test) DO NOTHING",
    types: &[],
};
pub(super) const CLEAR_TESTS: Sql = Sql::same("DELETE FROM order_test WHERE order_item = $1");
const NEWEST_SPECIMEN: Sql = Sql::same(
    "SELECT id, generation, patient, ordered_at FROM specimen WHERE barcode = $1 \
     ORDER BY generation DESC LIMIT 1",
);
const OWN_SPECIMEN: Sql = Sql::same(
    "SELECT s.id, s.fields FROM specimen s WHERE s.barcode = $1 AND s.patient = $2 AND s.host = $4 \
     AND s.ordered_at >= $3 ORDER BY s.generation DESC LIMIT 1",
);
const INSERT_SPECIMEN: Sql = Sql::same(
    "INSERT INTO specimen (host, barcode, generation, patient, fields, collected_at, ordered_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
);
const TOUCH_SPECIMEN: Sql = Sql::same(
    "UPDATE specimen SET ordered_at = $2, fields = $3, collected_at = coalesce($4, collected_at) \
     WHERE id = $1",
);
const UNORDERED_SPECIMEN: Sql = Sql::same(
    "SELECT s.id FROM specimen s JOIN patient_identifier i ON i.patient = s.patient \
     WHERE s.barcode = $1 AND s.host = $2 AND i.host = $3 AND i.identifier = $4 \
     AND s.ordered_at >= $5 ORDER BY s.generation DESC LIMIT 1",
);
const MOVE_SPECIMENS: Sql = Sql::same("UPDATE specimen SET patient = $2 WHERE patient = $1");
const MEASURED: Sql = Sql::same(
    "SELECT count(*) FROM result r JOIN order_test t ON t.test = r.test \
     WHERE t.order_item = $1 AND r.barcode = (SELECT barcode FROM specimen WHERE id = $2) \
     AND r.specimen = $2 AND r.state = 'released'",
);
const SPECIMENS_OF: Sql = Sql::same(
    "SELECT id, barcode, generation, ordered_at FROM specimen WHERE patient = $1 \
     ORDER BY barcode, generation",
);
const MOVE_ITEMS: Sql = Sql::same("UPDATE order_item SET specimen = $2 WHERE specimen = $1");
const MOVE_RESULTS: Sql = Sql::same(
    "UPDATE result SET specimen = $2 WHERE specimen = $1 \
     AND barcode = (SELECT s.barcode FROM specimen s WHERE s.id = $1)",
);
const ANSWERED: Sql = Sql::same(
    "SELECT digest, reply FROM answered WHERE host = $1 AND sender = $2 AND control_id = $3",
);
const KEEP_ANSWER: Sql = Sql::same(
    "INSERT INTO answered (host, sender, control_id, digest, message, reply, at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) \
     ON CONFLICT (host, sender, control_id, digest) DO NOTHING",
);

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(crate) const ALL: &[&Sql] = &[
    &FIND_ITEM,
    &FIND_ITEMS_OF_PLACER,
    &INSERT_ITEM,
    &SET_FILLER,
    &UPDATE_ITEM,
    &SET_STATUS,
    &SET_STATUSES,
    &CLEAR_TESTS,
    &NEWEST_SPECIMEN,
    &OWN_SPECIMEN,
    &INSERT_SPECIMEN,
    &TOUCH_SPECIMEN,
    &UNORDERED_SPECIMEN,
    &MOVE_SPECIMENS,
    &MEASURED,
    &SPECIMENS_OF,
    &MOVE_ITEMS,
    &MOVE_RESULTS,
    &ANSWERED,
    &KEEP_ANSWER,
];

/// What holds for every change of one message.
#[derive(Clone, Copy, Debug)]
pub struct BookContext<'a> {
    /// The host that speaks.
    pub host: &'a str,
    /// The journal row of its message.
    pub message: i64,
    /// Now, microseconds UTC.
    pub now: i64,
    /// An order older than this is not matched by its barcode, microseconds.
    pub specimen_age_max: i64,
}

/// What became of one ordered item; the host is told in the same order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The outcome.
    pub outcome: Outcome,
    /// The filler number, where there is one.
    pub filler: String,
    /// The item's status now, where it exists.
    pub status: Option<OrderStatus>,
    /// The barcode whose waiting results may now go on; empty when none can.
    pub barcode: String,
}

/// Accepted, or why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or done before and said again.
    Accepted,
    /// The same number with other content: refused, the first order stands.
    DiffersFromFirst,
    /// The item is not in the book.
    NotFound,
    /// Results are already released; it cannot be cancelled or changed any more.
    InProcess,
    /// It was cancelled before.
    AlreadyCancelled,
    /// No tube in the order.
    NoSpecimen,
    /// No patient in the message.
    NoPatient,
    /// The laboratory does not offer the service.
    NotOffered,
}

struct StoredItem {
    id: i64,
    specimen: i64,
    filler: String,
    status: OrderStatus,
    content: Content,
}

/// Applies one ordered item.
///
/// # Errors
/// The store's; a refusal by the book's own rules is an [`Outcome`], not an error.
pub fn apply(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    patient: Option<&PatientEntry>,
    entry: &OrderEntry,
) -> Result<Applied, StoreError> {
    match entry.action {
        Action::New => place(db, context, patient, entry),
        Action::Cancel => cancel(db, context, patient, entry),
        Action::Change => change(db, context, patient, entry),
    }
}

fn place(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    patient: Option<&PatientEntry>,
    entry: &OrderEntry,
) -> Result<Applied, StoreError> {
    if let Some(known) = find(db, context.host, entry)? {
        let same = known.content.says_the_same(&entry.content())
            && patient.is_some()
            && is_of(db, &known, patient)?;
        let outcome = match (same, known.status) {
            (true, OrderStatus::Cancelled) => Outcome::AlreadyCancelled,
            (true, _) => Outcome::Accepted,
            (false, _) => Outcome::DiffersFromFirst,
        };
        return Ok(Applied::of(&known, outcome));
    }
    if entry.tests.is_empty() {
        return Ok(Applied::refused(Outcome::NotOffered));
    }
    let Some(patient) = patient.filter(|patient| !patient.identifiers.is_empty()) else {
        return Ok(Applied::refused(Outcome::NoPatient));
    };
    let Some(tube) = entry
        .specimen
        .as_ref()
        .filter(|tube| !tube.barcode.is_empty())
    else {
        return Ok(Applied::refused(Outcome::NoSpecimen));
    };
    let patient = patient::upsert(db, context.host, patient, context.now)?;
    let specimen = place_specimen(db, context, patient, tube)?;
    let item = insert_item(db, context, specimen, entry)?;
    keyed::cover(db, context, specimen, (item, &entry.tests))?;
    Ok(Applied {
        outcome: Outcome::Accepted,
        filler: filler_number(item),
        status: Some(OrderStatus::Scheduled),
        barcode: tube.barcode.clone(),
    })
}

fn insert_item(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    specimen: i64,
    entry: &OrderEntry,
) -> Result<i64, StoreError> {
    let params: [Param; 8] = [
        context.host.into(),
        entry.placer.as_str().into(),
        entry.service.as_str().into(),
        specimen.into(),
        entry.priority.rank().into(),
        json(&entry.content())?.into(),
        context.message.into(),
        context.now.into(),
    ];
    let item = db.insert(&INSERT_ITEM, &params)?;
    db.exec(&SET_FILLER, &[item.into(), filler_number(item).into()])?;
    add_tests(db, item, &entry.tests)?;
    Ok(item)
}

pub(super) fn add_tests(db: &mut dyn Db, item: i64, tests: &[String]) -> Result<(), StoreError> {
    let rows = (0_i64..)
        .zip(tests)
        .map(|(position, test)| vec![item.into(), test.as_str().into(), position.into()])
        .collect();
    db.insert_rows(&ADD_TESTS, rows).map(|_| ())
}

/// The filler order number of an item: unique in this store, stable, short enough for any HIS.
fn filler_number(item: i64) -> String {
    format!("LW{item}")
}

/// The tube of this patient with this barcode, or a new generation of the barcode.
///
/// A barcode that is still active for another patient gets a generation of its own: results on it
/// are then held as ambiguous, and nobody guesses.
fn place_specimen(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    patient: i64,
    tube: &SpecimenEntry,
) -> Result<i64, StoreError> {
    let since = context.now - context.specimen_age_max;
    let barcode = tube.barcode.as_str();
    keyed::take_over(db, context, patient, barcode)?;
    let own = db.row_opt(
        &OWN_SPECIMEN,
        &[
            barcode.into(),
            patient.into(),
            since.into(),
            context.host.into(),
        ],
    )?;
    if let Some(row) = own {
        let id = row.int(0)?;
        // An addition may say less of the tube than its first order did.
        let mut fields: Fields = unjson(row.text(1)?)?;
        fields.extend(tube.fields.clone());
        let params: [Param; 4] = [
            id.into(),
            context.now.into(),
            json(&fields)?.into(),
            tube.collected_at.into(),
        ];
        db.exec(&TOUCH_SPECIMEN, &params)?;
        return Ok(id);
    }
    insert_specimen(db, context, patient, tube)
}

fn insert_specimen(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    patient: i64,
    tube: &SpecimenEntry,
) -> Result<i64, StoreError> {
    let barcode = tube.barcode.as_str();
    let newest = db.row_opt(&NEWEST_SPECIMEN, &[barcode.into()])?;
    let generation = newest.map(|row| row.int(1)).transpose()?.unwrap_or(0) + 1;
    let params: [Param; 7] = [
        context.host.into(),
        barcode.into(),
        generation.into(),
        patient.into(),
        json(&tube.fields)?.into(),
        tube.collected_at.into(),
        context.now.into(),
    ];
    db.insert(&INSERT_SPECIMEN, &params)
}

/// In place of a host: identifiers that only a device knows. No host has such a name, so no order,
/// change or merge ever finds a patient by them.
const OF_DEVICES: &str = "device:";

/// The tube of a result that has no order and is posted all the same: the tube and the patient as
/// the device has them. Nothing is ordered on it, so no order and no query ever finds it.
///
/// # Errors
/// The store's.
pub fn unordered_specimen(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    patient: &PatientEntry,
    barcode: &str,
) -> Result<i64, StoreError> {
    let id = patient
        .identifiers
        .first()
        .ok_or_else(|| StoreError::value("an unordered tube without a patient"))?;
    let since = context.now - context.specimen_age_max;
    let params: [Param; 5] = [
        barcode.into(),
        context.host.into(),
        OF_DEVICES.into(),
        id.id.expose().as_str().into(),
        since.into(),
    ];
    if let Some(row) = db.row_opt(&UNORDERED_SPECIMEN, &params)? {
        return row.int(0);
    }
    let row = [
        json(patient.fields.expose())?,
        patient.birth.expose().clone(),
        patient.sex.clone(),
    ];
    let owner = patient::insert(db, row, context.now)?;
    super::name::note(db, owner, None, patient.fields.expose())?;
    for identifier in &patient.identifiers {
        patient::add_identifier(db, OF_DEVICES, identifier, false, owner)?;
    }
    let tube = SpecimenEntry {
        barcode: barcode.to_owned(),
        ..SpecimenEntry::default()
    };
    insert_specimen(db, context, owner, &tube)
}

fn cancel(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    patient: Option<&PatientEntry>,
    entry: &OrderEntry,
) -> Result<Applied, StoreError> {
    let Some(item) = find_for_cancel(db, context.host, entry)? else {
        return Ok(Applied::refused(Outcome::NotFound));
    };
    if !is_of(db, &item, patient)? {
        return Ok(Applied::of(&item, Outcome::DiffersFromFirst));
    }
    if item.status == OrderStatus::Cancelled {
        return Ok(Applied::of(&item, Outcome::Accepted));
    }
    if measured(db, &item)? {
        return Ok(Applied::of(&item, Outcome::InProcess));
    }
    db.exec(
        &SET_STATUS,
        &[
            item.id.into(),
            OrderStatus::Cancelled.code().into(),
            context.now.into(),
        ],
    )?;
    tell_devices(db, context, &item)?;
    let status = Some(OrderStatus::Cancelled);
    Ok(Applied {
        status,
        ..Applied::of(&item, Outcome::Accepted)
    })
}

/// A cancel must reach every instrument that already has the order.
fn tell_devices(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    item: &StoredItem,
) -> Result<(), StoreError> {
    for (line, tests) in told::of_item(db, item.id)? {
        take_back(db, context, item, line, tests)?;
    }
    Ok(())
}

/// Instruments that have the order are told what is not wanted any more; on another tube they know
/// nothing of it. What is wanted besides is an order like any other, and not told here.
fn tell_devices_of_change(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    item: &StoredItem,
    wanted: &[String],
    moves: bool,
) -> Result<(), StoreError> {
    for (line, mut tests) in told::of_item(db, item.id)? {
        if moves {
            told::forget_line(db, &line, item.id)?;
        } else {
            tests.retain(|test| !wanted.contains(test));
        }
        take_back(db, context, item, line, tests)?;
    }
    Ok(())
}

fn take_back(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    item: &StoredItem,
    line: String,
    tests: Vec<String>,
) -> Result<(), StoreError> {
    if tests.is_empty() {
        return Ok(());
    }
    let download = queue::Download {
        line,
        kind: queue::DownloadKind::Cancel,
        specimen: item.specimen,
        priority: item.content.priority,
        items: [(item.id, tests)].into(),
    };
    queue::enqueue_download(db, &download, context.now).map(|_| ())
}

fn change(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    patient: Option<&PatientEntry>,
    entry: &OrderEntry,
) -> Result<Applied, StoreError> {
    let Some(item) = find(db, context.host, entry)? else {
        return Ok(Applied::refused(Outcome::NotFound));
    };
    if item.status == OrderStatus::Cancelled {
        return Ok(Applied::of(&item, Outcome::AlreadyCancelled));
    }
    if !is_of(db, &item, patient)? {
        return Ok(Applied::of(&item, Outcome::DiffersFromFirst));
    }
    // Where the barcode stands in OBR-3, a change echoes our own number there.
    let moves = entry.specimen.as_ref().is_some_and(|tube| {
        let is_named = !tube.barcode.is_empty() && tube.barcode != item.filler;
        is_named && tube.barcode != item.content.barcode
    });
    if moves && measured(db, &item)? {
        return Ok(Applied::of(&item, Outcome::InProcess));
    }
    if entry.tests.is_empty() {
        return Ok(Applied::of(&item, Outcome::NotOffered));
    }
    if moves && patient.is_none() {
        return Ok(Applied::of(&item, Outcome::NoPatient));
    }
    let specimen = match (moves, &entry.specimen, patient) {
        (true, Some(tube), Some(patient)) => {
            let patient = patient::upsert(db, context.host, patient, context.now)?;
            place_specimen(db, context, patient, tube)?
        }
        _ => item.specimen,
    };
    let mut content = entry.content();
    if !moves {
        content.barcode.clone_from(&item.content.barcode);
    }
    let barcode = content.barcode.clone();
    let params: [Param; 6] = [
        item.id.into(),
        specimen.into(),
        entry.priority.rank().into(),
        json(&content)?.into(),
        item.status.code().into(),
        context.now.into(),
    ];
    db.exec(&UPDATE_ITEM, &params)?;
    // A device that has the order is not told of another priority: in its records that would be the
    // order once more, and measured once more. What waits for host or device goes earlier.
    queue::raise(db, specimen, entry.priority)?;
    db.exec(&CLEAR_TESTS, &[item.id.into()])?;
    add_tests(db, item.id, &entry.tests)?;
    tell_devices_of_change(db, context, &item, &entry.tests, moves)?;
    Ok(Applied {
        barcode,
        ..Applied::of(&item, Outcome::Accepted)
    })
}

/// New demographics for a patient (ADT A08 and its kin).
///
/// # Errors
/// The store's.
pub fn update_patient(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    entry: &PatientEntry,
) -> Result<i64, StoreError> {
    patient::upsert(db, context.host, entry, context.now)
}

/// Merges the patient with identifier `gone` into the one of `survivor` (ADT A40): every tube,
/// order and unsent result follows; the old identifiers stay as aliases.
///
/// Messages that were tried under the old patient never change; each is followed by a new message
/// with the surviving patient. Returns the barcodes in use of the surviving patient: what was held
/// there because of who the patient was can be asked again.
///
/// Blood groups are not merged where they differ. The identity follows all the same, as HL7 v2.5.1
/// 3.3.40 requires: refused, every other result of the patient would go to a number that the
/// hospital has given up, and orders under the new one would meet nobody. But each blood group of
/// either is held (`group-conflict`), none of them is told under the other's name, and every later
/// result of transfusion of the patient is held for the same reason until a person has set one
/// side aside.
///
/// # Errors
/// The store's.
pub fn merge(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    survivor: &PatientEntry,
    gone: &[Identifier],
) -> Result<Merged, StoreError> {
    let mut has_conflict = false;
    let kept = patient::upsert(db, context.host, survivor, context.now)?;
    for identifier in gone {
        let old = patient::find(db, context.host, identifier)?;
        patient::add_identifier(db, context.host, identifier, old.is_none(), kept)?;
        let Some(old) = old.filter(|old| *old != kept) else {
            continue;
        };
        has_conflict |= unite(db, old, kept, context.now)?;
    }
    Ok(Merged {
        barcodes: unify_tubes(db, context, kept)?,
        has_conflict,
    })
}

/// Two patients are one from now on; true where their blood groups differ.
pub(super) fn unite(db: &mut dyn Db, old: i64, kept: i64, now: i64) -> Result<bool, StoreError> {
    let groups = blood::conflicting(db, kept, old)?;
    for row in db.rows(&SPECIMENS_OF, &[old.into()])? {
        queue::follow_tried(db, row.int(0)?, "patient merged", now)?;
    }
    db.exec(&MOVE_SPECIMENS, &[old.into(), kept.into()])?;
    patient::absorb(db, old, kept)?;
    blood::part(db, &groups, now)?;
    Ok(!groups.is_empty())
}

/// What a merge left to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// Barcodes in use of the surviving patient.
    pub barcodes: Vec<String>,
    /// Their blood groups differ: a person must look.
    pub has_conflict: bool,
}

/// Of a patient who was two, a barcode in use for both is one tube: everything moves to its newest
/// generation. Returns the barcodes in use.
fn unify_tubes(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    patient: i64,
) -> Result<Vec<String>, StoreError> {
    let since = context.now.saturating_sub(context.specimen_age_max);
    let mut newest: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for row in db.rows(&SPECIMENS_OF, &[patient.into()])? {
        if row.int(3)? >= since {
            let of_barcode = newest.entry(row.text(1)?.to_owned()).or_default();
            of_barcode.push(row.int(0)?);
        }
    }
    for tubes in newest.values_mut() {
        let Some(last) = tubes.pop() else { continue };
        for before in tubes {
            let params: [Param; 2] = [(*before).into(), last.into()];
            db.exec(&MOVE_ITEMS, &params)?;
            db.exec(&MOVE_RESULTS, &params)?;
            queue::move_open(db, *before, last)?;
        }
    }
    Ok(newest.into_keys().collect())
}

/// Sets the status of items, by one statement.
///
/// # Errors
/// The store's.
pub fn set_statuses(
    db: &mut dyn Db,
    items: &[(i64, OrderStatus)],
    now: i64,
) -> Result<(), StoreError> {
    if items.is_empty() {
        return Ok(());
    }
    let list: Vec<(i64, &str)> = items.iter().map(|(id, to)| (*id, to.code())).collect();
    db.exec(&SET_STATUSES, &[json(&list)?.into(), now.into()])?;
    Ok(())
}

/// The digest of a message that was answered, and the answer.
pub type AnsweredMessage = (String, Option<Vec<u8>>);

/// What was answered to messages of a host with this sender and control id.
///
/// # Errors
/// The store's.
pub fn find_answered(
    db: &mut dyn Db,
    host: &str,
    sender: &str,
    control_id: &str,
) -> Result<Vec<AnsweredMessage>, StoreError> {
    let params: [Param; 3] = [host.into(), sender.into(), control_id.into()];
    db.rows(&ANSWERED, &params)?
        .iter()
        .map(|row| {
            Ok((
                row.text(0)?.to_owned(),
                row.opt_blob(1)?.map(<[u8]>::to_vec),
            ))
        })
        .collect()
}

/// Keeps the reply to a message, so that the same message gets the same reply again.
///
/// # Errors
/// The store's.
pub fn keep_answer(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    [sender, control_id, digest]: [&str; 3],
    reply: Option<&[u8]>,
) -> Result<(), StoreError> {
    let params: [Param; 7] = [
        context.host.into(),
        sender.into(),
        control_id.into(),
        digest.into(),
        context.message.into(),
        reply.into(),
        context.now.into(),
    ];
    db.exec(&KEEP_ANSWER, &params)?;
    Ok(())
}

/// Whether the patient of a message, where it names one, is the one the item was ordered for.
fn is_of(
    db: &mut dyn Db,
    item: &StoredItem,
    patient: Option<&PatientEntry>,
) -> Result<bool, StoreError> {
    let Some(patient) = patient.filter(|patient| !patient.identifiers.is_empty()) else {
        return Ok(true);
    };
    let owner = lookup::specimen_by_id(db, item.specimen)?.patient;
    let known = lookup::patient_of(db, owner)?.identifiers;
    Ok(patient
        .identifiers
        .iter()
        .any(|one| known.iter().any(|id| id == &one.id)))
}

fn measured(db: &mut dyn Db, item: &StoredItem) -> Result<bool, StoreError> {
    let row = db.row_opt(&MEASURED, &[item.id.into(), item.specimen.into()])?;
    Ok(row.map(|row| row.int(0)).transpose()?.unwrap_or(0) > 0)
}

fn find(db: &mut dyn Db, host: &str, entry: &OrderEntry) -> Result<Option<StoredItem>, StoreError> {
    let params: [Param; 3] = [
        host.into(),
        entry.placer.as_str().into(),
        entry.service.as_str().into(),
    ];
    db.row_opt(&FIND_ITEM, &params)?
        .map(|row| StoredItem::read(&row))
        .transpose()
}

/// A cancel may leave the service out where the placer number names one item.
fn find_for_cancel(
    db: &mut dyn Db,
    host: &str,
    entry: &OrderEntry,
) -> Result<Option<StoredItem>, StoreError> {
    if !entry.service.is_empty() {
        return find(db, host, entry);
    }
    let rows = db.rows(
        &FIND_ITEMS_OF_PLACER,
        &[host.into(), entry.placer.as_str().into()],
    )?;
    match rows.as_slice() {
        [only] => StoredItem::read(only).map(Some),
        _ => Ok(None),
    }
}

impl StoredItem {
    fn read(row: &crate::store::Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.int(0)?,
            specimen: row.int(1)?,
            filler: row.text(2)?.to_owned(),
            status: lookup::status(row.text(3)?)?,
            content: unjson(row.text(4)?)?,
        })
    }
}

impl Applied {
    fn refused(outcome: Outcome) -> Self {
        Self {
            outcome,
            filler: String::new(),
            status: None,
            barcode: String::new(),
        }
    }

    fn of(item: &StoredItem, outcome: Outcome) -> Self {
        Self {
            outcome,
            filler: item.filler.clone(),
            status: Some(item.status),
            barcode: item.content.barcode.clone(),
        }
    }
}

/// Text for a JSON column.
pub(crate) fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::value(error.to_string()))
}

/// The inverse of [`json`]; a failure means that the row was written by something else.
pub(crate) fn unjson<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::value(error.to_string()))
}
