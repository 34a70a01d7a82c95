//! Keying an order in, and taking it back.

use jiff::civil::Date;
use labwire_protocols::hl7::build::{Name, SegmentWriter};

use crate::{
    audit,
    book::{
        self, Action, BookContext, BookPatient, Fields, Identifier, OrderEntry, Outcome,
        PatientEntry, SpecimenEntry,
    },
    bridge::{Site, follow_up_by_hand},
    model::{OrderStatus, Priority, Private, Sex},
    store::{Db, StoreError},
};

/// An order as somebody keyed it in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keyed {
    /// The host that is away, by its id.
    pub host: String,
    /// As scanned or typed.
    pub barcode: String,
    /// The patient's number at the hospital; empty where nobody knows it.
    pub number: Private<String>,
    /// The whole name in the order in which it is said: family name first.
    pub name: Private<String>,
    /// `YYYYMMDD`, or empty.
    pub birth: Private<String>,
    /// Sex, where known.
    pub sex: Option<Sex>,
    /// The ward that wants the results.
    pub ward: String,
    /// How urgent.
    pub priority: Priority,
    /// Codes of tests and panels, as the host has them or by their ids.
    pub services: Vec<String>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The temporary number.
    pub number: String,
    /// What is to be measured.
    pub tests: Vec<String>,
}

/// Why an order was not keyed in, or not taken back; nothing was changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The site has no such host.
    #[error("there is no host of that name")]
    NoHost,
    /// Empty, too long, or with what no barcode has in it.
    #[error("this is no barcode")]
    Barcode,
    /// Neither a number nor name and birth date.
    #[error("the patient's number is needed, or name and birth date")]
    NoPatient,
    /// No date, or one to come.
    #[error("this is no birth date")]
    Birth,
    /// Nothing to be measured.
    #[error("no test was chosen")]
    NoTests,
    /// The laboratory does not offer it.
    #[error("the laboratory does not offer {0}")]
    NotOffered(String),
    /// Somebody ordered on the barcode already.
    #[error("the barcode has an order already")]
    HasOrder,
    /// The number is known of somebody else.
    #[error("this number is of a patient whose {0} differs")]
    OtherPatient(&'static str),
    /// The barcode is keyed in for somebody else.
    #[error("the barcode is keyed in for another patient")]
    OtherTube,
    /// No reason was given.
    #[error("write why, in a few words")]
    NoReason,
    /// There is no such keyed order that is open.
    #[error("there is no open keyed order of that number")]
    NotFound,
}

impl Refused {
    /// The end of its key in the texts.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoHost => "no-host",
            Self::Barcode => "barcode",
            Self::NoPatient => "no-patient",
            Self::Birth => "birth",
            Self::NoTests => "no-tests",
            Self::NotOffered(_) => "not-offered",
            Self::HasOrder => "has-order",
            Self::OtherPatient(_) => "other-patient",
            Self::OtherTube => "other-tube",
            Self::NoReason => "no-reason",
            Self::NotFound => "not-found",
        }
    }
}

type Answer<T> = Result<Result<T, Refused>, StoreError>;

/// No symbology on a tube has more; most devices take fewer.
const BARCODE_CHARS_MAX: usize = 40;
/// Nobody has a longer name, and a form is no place for a book.
const TEXT_CHARS_MAX: usize = 80;
/// More tests than any tube is asked for.
const TESTS_MAX: usize = 200;

/// Keys an order in as `who`: it gets a temporary number, devices find it, and results that came
/// before it are looked at.
///
/// # Errors
/// The store's; a refusal is no error.
pub fn key_in(db: &mut dyn Db, site: &Site, who: &str, keyed: &Keyed, now: i64) -> Answer<Placed> {
    let tests = match checked(site, keyed, now) {
        Ok(tests) => tests,
        Err(refused) => return Ok(Err(refused)),
    };
    let origin = book::keyed_for(&keyed.host);
    let number = book::next_number(db)?;
    let entry = patient(keyed, &number);
    let known = match entry.identifiers.first() {
        Some(key) => book::known_patient(db, &keyed.host, key)?,
        None => None,
    };
    if let Some(known) = known {
        let other = book::patient_of(db, known)?;
        if let Some(what) = book::differing(&seen(&entry), &other, &[]) {
            return Ok(Err(Refused::OtherPatient(what)));
        }
    }
    if let Some(refused) = occupied(db, site, keyed, known, now)? {
        return Ok(Err(refused));
    }
    let context = BookContext {
        host: &origin,
        message: 0,
        now,
        specimen_age_max: site.laboratory.specimen_age_max,
    };
    // Of a patient who is known already the book knows more than a form.
    let entry = match known {
        Some(_) => PatientEntry {
            identifiers: entry.identifiers,
            ..PatientEntry::default()
        },
        None => entry,
    };
    let order = order(keyed, who, &number, &tests);
    let applied = book::apply_keyed(db, &context, (&entry, known), &order)?;
    if applied.outcome != Outcome::Accepted {
        return Err(StoreError::value(
            "the book refused a keyed order that was checked",
        ));
    }
    let detail = serde_json::json!({ "number": number, "tests": tests, "host": keyed.host });
    let subject = format!("specimen:{}", keyed.barcode);
    audit::write(db, now, who, "order-keyed", &subject, &detail.to_string())?;
    follow_up_by_hand(db, site, &keyed.barcode, now)?;
    Ok(Ok(Placed { number, tests }))
}

/// The tests that are asked for, or what is wrong with the form.
fn checked(site: &Site, keyed: &Keyed, now: i64) -> Result<Vec<String>, Refused> {
    if !site.hosts.contains_key(&keyed.host) {
        return Err(Refused::NoHost);
    }
    let is_barcode = (1..=BARCODE_CHARS_MAX).contains(&keyed.barcode.chars().count())
        && keyed.barcode.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_barcode {
        return Err(Refused::Barcode);
    }
    let texts = [keyed.number.expose(), keyed.name.expose(), &keyed.ward];
    let is_short = |text: &&String| {
        text.chars().count() <= TEXT_CHARS_MAX && !text.chars().any(char::is_control)
    };
    if !texts.iter().all(is_short) {
        return Err(Refused::NoPatient);
    }
    let birth = keyed.birth.expose();
    if !birth.is_empty() && !is_birth(birth, site, now) {
        return Err(Refused::Birth);
    }
    let is_named = !keyed.name.expose().trim().is_empty() && !birth.is_empty();
    if keyed.number.expose().is_empty() && !is_named {
        return Err(Refused::NoPatient);
    }
    let mut tests: Vec<String> = Vec::new();
    for service in keyed.services.iter().take(TESTS_MAX) {
        let offered = site.laboratory.tests_of(&keyed.host, service);
        if offered.is_empty() {
            return Err(Refused::NotOffered(service.clone()));
        }
        for test in offered {
            if !tests.contains(&test) {
                tests.push(test);
            }
        }
    }
    if tests.is_empty() {
        return Err(Refused::NoTests);
    }
    Ok(tests)
}

fn is_birth(text: &str, site: &Site, now: i64) -> bool {
    let Ok(date) = Date::strptime("%Y%m%d", text) else {
        return false;
    };
    let now = jiff::Timestamp::from_microsecond(now).unwrap_or_default();
    let today = now.to_zoned(site.laboratory.zone.clone()).date();
    text.len() == 8 && date <= today && date.year() >= 1_880
}

/// What stands on the barcode already: a host's order, or a keyed one of somebody else.
fn occupied(
    db: &mut dyn Db,
    site: &Site,
    keyed: &Keyed,
    known: Option<i64>,
    now: i64,
) -> Result<Option<Refused>, StoreError> {
    let since = now - site.laboratory.specimen_age_max;
    for tube in book::specimens_with_barcode(db, &keyed.barcode, since)? {
        let items = book::open_items(db, tube.id)?;
        let mut open = items
            .iter()
            .filter(|item| item.status != OrderStatus::Cancelled)
            .peekable();
        if open.peek().is_none() {
            continue;
        }
        if open.any(|item| item.host != book::keyed_for(&keyed.host)) {
            return Ok(Some(Refused::HasOrder));
        }
        if known != Some(tube.patient) {
            return Ok(Some(Refused::OtherTube));
        }
    }
    Ok(None)
}

/// PID-3, PID-5, PID-7, PID-8.
const IDS: u16 = 3;
const NAME: u16 = 5;
const BIRTH: u16 = 7;
const SEX: u16 = 8;
/// ORC-10 (entered by), ORC-13 (enterer's location).
const ENTERED_BY: u16 = 10;
const WARD: u16 = 13;

/// The patient as keyed in, under the number of the hospital, or under the temporary one.
fn patient(keyed: &Keyed, temporary: &str) -> PatientEntry {
    let number = keyed.number.expose().trim();
    let number = if number.is_empty() { temporary } else { number };
    let sex = match keyed.sex {
        Some(Sex::M) => "M",
        Some(Sex::F) => "F",
        Some(Sex::O) => "O",
        None => "",
    };
    let birth = keyed.birth.expose().as_str();
    let words: Vec<&str> = keyed.name.expose().split_whitespace().collect();
    let (family, rest) = words.split_first().unwrap_or((&"", &[]));
    let (given, middle) = rest.split_last().unwrap_or((&"", &[]));
    let middle = middle.join(" ");
    let pid = SegmentWriter::new(Name::PID)
        .components(NAME.into(), &[family, given, middle.as_str()])
        .text(BIRTH.into(), birth)
        .text(SEX.into(), sex)
        .repeat(IDS.into(), &[number]);
    let fields: Fields = [IDS, NAME, BIRTH, SEX]
        .into_iter()
        .map(|n| (n, pid.value(n.into()).to_owned()))
        .filter(|(_, text)| !text.is_empty())
        .collect();
    PatientEntry {
        identifiers: vec![Identifier {
            id: Private::new(number.to_owned()),
            ..Identifier::default()
        }],
        fields: Private::new(fields),
        birth: keyed.birth.clone(),
        sex: sex.to_owned(),
    }
}

/// The form's patient as the book would have it, to be compared.
fn seen(entry: &PatientEntry) -> BookPatient {
    BookPatient {
        fields: entry.fields.clone(),
        birth: entry.birth.clone(),
        sex: Sex::from_code(&entry.sex),
        identifiers: entry.identifiers.iter().map(|one| one.id.clone()).collect(),
    }
}

fn order(keyed: &Keyed, who: &str, number: &str, tests: &[String]) -> OrderEntry {
    let orc = SegmentWriter::new(Name::ORC)
        .text(ENTERED_BY.into(), who)
        .text(WARD.into(), &keyed.ward);
    let orc = [ENTERED_BY, WARD]
        .into_iter()
        .map(|n| (n, orc.value(n.into()).to_owned()))
        .filter(|(_, text)| !text.is_empty());
    OrderEntry {
        action: Action::New,
        placer: number.to_owned(),
        service: book::SERVICE.to_owned(),
        tests: tests.to_vec(),
        specimen: Some(SpecimenEntry {
            barcode: keyed.barcode.clone(),
            ..SpecimenEntry::default()
        }),
        priority: keyed.priority,
        orc: orc.collect(),
        obr: Fields::from([(4, book::SERVICE.to_owned())]),
    }
}

/// Takes a keyed order back as `who`: devices that have it are told, and what its barcode gave goes on
/// under the order that is left there, if there is one.
///
/// # Errors
/// The store's; a refusal is no error.
pub fn withdraw(
    db: &mut dyn Db,
    site: &Site,
    (who, reason): (&str, &str),
    number: &str,
    now: i64,
) -> Answer<()> {
    if reason.trim().is_empty() {
        return Ok(Err(Refused::NoReason));
    }
    let since = now - site.laboratory.specimen_age_max;
    let all = book::keyed_items(db, since, ITEMS_MAX)?;
    let found = all
        .into_iter()
        .find(|item| item.placer == number && item.status != OrderStatus::Cancelled);
    let Some(item) = found else {
        return Ok(Err(Refused::NotFound));
    };
    let origin = book::keyed_for(&item.host);
    let context = BookContext {
        host: &origin,
        message: 0,
        now,
        specimen_age_max: site.laboratory.specimen_age_max,
    };
    let entry = OrderEntry {
        action: Action::Cancel,
        placer: item.placer.clone(),
        service: book::SERVICE.to_owned(),
        tests: Vec::new(),
        specimen: None,
        priority: Priority::Routine,
        orc: Fields::new(),
        obr: Fields::new(),
    };
    let applied = book::apply(db, &context, None, &entry)?;
    if applied.outcome != Outcome::Accepted {
        return Ok(Err(Refused::NotFound));
    }
    let tube = book::specimen_by_id(db, item.specimen)?;
    let detail = serde_json::json!({ "number": number, "reason": reason.trim() });
    let subject = format!("specimen:{}", tube.barcode);
    audit::write(
        db,
        now,
        who,
        "order-withdrawn",
        &subject,
        &detail.to_string(),
    )?;
    follow_up_by_hand(db, site, &tube.barcode, now)?;
    Ok(Ok(()))
}

/// Keyed orders that one is looked for among: a long night has some hundreds.
const ITEMS_MAX: i64 = 5_000;
