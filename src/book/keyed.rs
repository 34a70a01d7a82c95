//! Orders that people keyed in while their host was away, and how the host's own orders take them over.
//!
//! A keyed order stands under a host of its own, `keyed:<host>`, so that nothing of it is ever told to
//! the host: the host does not know its number. Devices find it as any other. When the host orders on
//! the same barcode for the same patient, the tube becomes the host's, and what the host ordered of its
//! tests is the host's order from then on. For another patient nothing is taken over: the barcode is
//! active for two, and nobody guesses.

use crate::{
    audit,
    model::OrderStatus,
    queue,
    store::{Db, Param, Row, Sql, StoreError},
};

use super::{
    Applied, BookContext, BookPatient, Identifier, OrderEntry, PatientEntry, change,
    change::{json, unjson},
    entry::Content,
    lookup, name_words, patient, told,
};

/// No host of a site has a colon in its id.
const PREFIX: &str = "keyed:";

/// The service of every keyed order: what is asked for are its tests.
pub const SERVICE: &str = "keyed";

const OPEN_TUBE: Sql = Sql::same(
    "SELECT id, patient FROM specimen WHERE barcode = $1 AND host = $2 AND ordered_at >= $3 \
     ORDER BY generation DESC LIMIT 1",
);
const OPEN_ON: Sql = Sql::same(
    "SELECT id, placer, content FROM order_item WHERE specimen = $1 \
     AND substr(host, 1, 6) = 'keyed:' AND status <> 'CA' ORDER BY id",
);
const TAKE_OVER: Sql = Sql::same("UPDATE specimen SET host = $2, patient = $3 WHERE id = $1");
const SHRINK: Sql =
    Sql::same("UPDATE order_item SET content = $2, status = $3, updated_at = $4 WHERE id = $1");
const NEXT: Sql = Sql::same("SELECT coalesce(max(id), 0) + 1 FROM order_item");
/// In the words of the index `order_item_keyed`.
const KEYED: Sql = Sql::same(
    "SELECT id, host, placer, specimen, status, created_at FROM order_item \
     WHERE substr(host, 1, 6) = 'keyed:' AND created_at >= $1 ORDER BY created_at DESC LIMIT $2",
);

/// Every statement of this module, for the test that prepares them all.
#[cfg(test)]
pub(super) const ALL: &[&Sql] = &[&OPEN_TUBE, &OPEN_ON, &TAKE_OVER, &SHRINK, &NEXT, &KEYED];

/// In place of a host, for orders that people key in because it is away.
pub fn keyed_for(host: &str) -> String {
    format!("{PREFIX}{host}")
}

/// Whether an item or a tube stands under a keyed order's host.
pub fn is_keyed(host: &str) -> bool {
    host.starts_with(PREFIX)
}

/// The host that a keyed order waits for.
pub fn of_one(host: &str) -> &str {
    host.strip_prefix(PREFIX).unwrap_or(host)
}

/// A temporary number for an order that is keyed in by this transaction: used once, and short enough
/// to be written on paper.
///
/// # Errors
/// The store's.
pub fn next_number(db: &mut dyn Db) -> Result<String, StoreError> {
    let next = db.row(&NEXT, &[])?.int(0)?;
    Ok(format!("T{next:05}"))
}

/// The patient that a number names at a host, or among those keyed in for it.
///
/// # Errors
/// The store's.
pub fn known_patient(
    db: &mut dyn Db,
    host: &str,
    number: &Identifier,
) -> Result<Option<i64>, StoreError> {
    match patient::find(db, host, number)? {
        Some(known) => Ok(Some(known)),
        None => patient::find(db, &keyed_for(host), number),
    }
}

/// A keyed order, open or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyedItem {
    /// Row id.
    pub id: i64,
    /// The host that it waits for.
    pub host: String,
    /// The temporary number.
    pub placer: String,
    /// The tube.
    pub specimen: i64,
    /// Cancelled: withdrawn, or the host ordered all of it.
    pub status: OrderStatus,
    /// When it was keyed in, microseconds UTC.
    pub created_at: i64,
}

/// Keyed orders since an instant (microseconds UTC), the newest `limit` of them, newest first.
///
/// # Errors
/// The store's.
pub fn keyed_items(db: &mut dyn Db, since: i64, limit: i64) -> Result<Vec<KeyedItem>, StoreError> {
    db.rows(&KEYED, &[since.into(), limit.into()])?
        .iter()
        .map(|row| {
            Ok(KeyedItem {
                id: row.int(0)?,
                host: of_one(row.text(1)?).to_owned(),
                placer: row.text(2)?.to_owned(),
                specimen: row.int(3)?,
                status: lookup::status(row.text(4)?)?,
                created_at: row.int(5)?,
            })
        })
        .collect()
}

/// Applies a keyed order. `known` is the patient whom its number names already: the tube is theirs.
///
/// # Errors
/// The store's; what the book refuses is an outcome, as of [`super::apply`].
pub fn apply_keyed(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    (patient, known): (&PatientEntry, Option<i64>),
    entry: &OrderEntry,
) -> Result<Applied, StoreError> {
    let applied = change::apply(db, context, Some(patient), entry)?;
    let own = match patient.identifiers.first() {
        Some(key) => patient::find(db, context.host, key)?,
        None => None,
    };
    if let (Some(own), Some(known)) = (own, known)
        && own != known
    {
        change::unite(db, own, known, context.now)?;
    }
    Ok(applied)
}

/// What speaks against a patient as keyed in being this one: the field, without its content. The rules
/// are those for an analyzer's patient, and the number has to be there: without one, name and birth
/// date both. `temporary` are numbers that Labwire gave itself.
pub fn differing(
    keyed: &BookPatient,
    other: &BookPatient,
    temporary: &[String],
) -> Option<&'static str> {
    let mut numbers = keyed
        .identifiers
        .iter()
        .map(|id| id.expose())
        .filter(|id| !temporary.contains(id))
        .peekable();
    let is_numbered = numbers.peek().is_some();
    let is_known = numbers.any(|id| other.identifiers.iter().any(|known| known.expose() == id));
    if is_numbered && !is_known {
        return Some("patient id");
    }
    let (birth, other_birth) = (whole(keyed), whole(other));
    if birth.is_some() && other_birth.is_some() && birth != other_birth {
        return Some("birth date");
    }
    if keyed.sex.is_some() && other.sex.is_some() && keyed.sex != other.sex {
        return Some("sex");
    }
    if is_numbered {
        return None;
    }
    if birth.is_none() || other_birth.is_none() {
        return Some("birth date");
    }
    let (name, other_name) = (words(keyed), words(other));
    (name.is_empty() || name != other_name).then_some("name")
}

/// A whole birth date.
fn whole(patient: &BookPatient) -> Option<&str> {
    let birth = patient.birth.expose().get(..8)?;
    birth
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then_some(birth)
}

/// PID-5.
const NAME: u16 = 5;

/// The words of a name in no order: hosts do not agree on which comes first.
fn words(patient: &BookPatient) -> Vec<String> {
    let fields = patient.fields.expose();
    let first = fields.get(&NAME).and_then(|name| name.split('~').next());
    let mut words = name_words(&first.unwrap_or_default().replace('^', " "));
    words.sort_unstable();
    words
}

/// The keyed orders of a tube that are open: id, number, content.
fn open_on(db: &mut dyn Db, specimen: i64) -> Result<Vec<(i64, String, Content)>, StoreError> {
    let read = |row: &Row| {
        let content: Content = unjson(row.text(2)?)?;
        Ok((row.int(0)?, row.text(1)?.to_owned(), content))
    };
    let rows = db.rows(&OPEN_ON, &[specimen.into()])?;
    rows.iter().map(read).collect()
}

/// A host orders on a barcode for `owner`: the tube of a keyed order there becomes the host's, if it
/// is the same patient's.
pub(super) fn take_over(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    owner: i64,
    barcode: &str,
) -> Result<(), StoreError> {
    if is_keyed(context.host) {
        return Ok(());
    }
    let since = context.now - context.specimen_age_max;
    let origin = keyed_for(context.host);
    let params: [Param; 3] = [barcode.into(), origin.into(), since.into()];
    let Some(row) = db.row_opt(&OPEN_TUBE, &params)? else {
        return Ok(());
    };
    let (specimen, keyed) = (row.int(0)?, patient::resolve(db, row.int(1)?)?);
    let numbers: Vec<String> = open_on(db, specimen)?
        .into_iter()
        .map(|(_, number, _)| number)
        .collect();
    if numbers.is_empty() {
        return Ok(());
    }
    let actor = format!("host:{}", context.host);
    let subject = format!("specimen:{barcode}");
    if keyed != owner {
        let known = lookup::patient_of(db, keyed)?;
        let other = lookup::patient_of(db, owner)?;
        if let Some(what) = differing(&known, &other, &numbers) {
            let detail = format!("{}: {what}", numbers.join(" "));
            return audit::write(db, context.now, &actor, DIFFERS, &subject, &detail);
        }
        change::unite(db, keyed, owner, context.now)?;
    }
    let params: [Param; 3] = [specimen.into(), context.host.into(), owner.into()];
    db.exec(&TAKE_OVER, &params)?;
    let detail = numbers.join(" ");
    audit::write(db, context.now, &actor, TAKEN_OVER, &subject, &detail)
}

/// Audit: the host's order names another patient than the keyed one.
const DIFFERS: &str = "keyed-order-differs";
/// Audit: the host's order took the tube of a keyed one over.
const TAKEN_OVER: &str = "keyed-order-taken-over";

/// An item of a host covers its tests in the keyed orders of the tube: they are the host's from now
/// on, and a device that has them is not told of them again.
pub(super) fn cover(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    specimen: i64,
    (item, tests): (i64, &[String]),
) -> Result<(), StoreError> {
    if is_keyed(context.host) {
        return Ok(());
    }
    for (id, _, mut content) in open_on(db, specimen)? {
        let is_covered = |test: &String| tests.contains(test);
        if !content.tests.iter().any(is_covered) {
            continue;
        }
        hand_on(db, context, specimen, (id, item), tests)?;
        let mut status = OrderStatus::Scheduled;
        if content.tests.iter().all(is_covered) {
            // Its tests stay written down as what it was.
            status = OrderStatus::Cancelled;
        } else {
            content.tests.retain(|test| !tests.contains(test));
            db.exec(&change::CLEAR_TESTS, &[id.into()])?;
            change::add_tests(db, id, &content.tests)?;
        }
        let params: [Param; 4] = [
            id.into(),
            json(&content)?.into(),
            status.code().into(),
            context.now.into(),
        ];
        db.exec(&SHRINK, &params)?;
    }
    Ok(())
}

/// What devices have of the keyed order they have of the host's item; what they are yet to be told
/// they will be told of the host's.
fn hand_on(
    db: &mut dyn Db,
    context: &BookContext<'_>,
    specimen: i64,
    (keyed, item): (i64, i64),
    tests: &[String],
) -> Result<(), StoreError> {
    for (line, mut has) in told::of_item(db, keyed)? {
        let untried = queue::untried_orders(db, &line, specimen)?;
        let untried = untried.get(&keyed).map_or(&[][..], Vec::as_slice);
        has.retain(|test| tests.contains(test) && !untried.contains(test));
        if !has.is_empty() {
            told::note_told(db, &line, &[(item, has)].into(), context.now)?;
        }
    }
    Ok(())
}
