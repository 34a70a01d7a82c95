//! What a device is told: open orders of a tube, in its own codes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use labwire_protocols::hl7::{Separators, escape};

use crate::{
    audit,
    book::{self, BookItem, BookPatient, BookSpecimen, ItemTests, OpenTubes, TubeSteps, WorkStep},
    model::{OrderStatus, Priority, Private, Query, QueryAction, QuerySubject, SpecimenRead},
    profile::{self, AnswerError, OrderAction, OrderForDevice, Stamp},
    queue::{self, DownloadKind, Pending, Render, Rendered},
    store::{Db, StoreError},
};

use super::site::LineSite;

/// A device that asks for everything gets at most so many tubes at once: an answer that takes a
/// minute on a serial line. It gets the others when it asks again.
const TUBES_MAX: usize = 500;
/// The same of IHE LAW, where each tube is a message of its own: half of what a line keeps ready to be
/// sent.
const LAW_TUBES_MAX: usize = 32;

/// A message that asks.
pub(super) struct Asked<'a> {
    pub(super) line: &'a LineSite,
    /// Its journal row.
    pub(super) message: i64,
    /// Older orders do not count, microseconds UTC.
    pub(super) since: i64,
    pub(super) now: i64,
    /// Names this run in control ids.
    pub(super) run: &'a str,
    /// The name of a device that is not the line's: it is told of no order and no patient.
    pub(super) stranger: Option<&'a str>,
}

/// A tube's order, and the items it tells of.
struct TubeOrder {
    order: OrderForDevice,
    items: ItemTests,
}

/// What a message gets that may have asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Answered {
    /// It asks nothing.
    Nothing,
    /// These payloads. None at all: the device has withdrawn its query, or wants silence.
    With(Vec<Vec<u8>>),
    /// Its profile has no form for an answer.
    Unsupported,
    /// The answer could not be written.
    Failed,
    /// It could not be read, or not be settled.
    #[default]
    Unread,
}

impl Answered {
    /// What to send in the session that asked, in place of the answer to an older query; `None`
    /// where there was no query.
    pub(super) fn into_payloads(self) -> Option<Vec<Vec<u8>>> {
        match self {
            Self::Nothing | Self::Unread => None,
            Self::With(payloads) => Some(payloads),
            Self::Unsupported | Self::Failed => Some(Vec::new()),
        }
    }
}

/// The answer to the queries of a message.
pub(super) fn answer_queries(
    db: &mut dyn Db,
    asked: &Asked<'_>,
    queries: &[Query],
) -> Result<Answered, StoreError> {
    let mut answers = Vec::new();
    let mut failed = Answered::Nothing;
    let mut is_heard = false;
    for (index, query) in queries.iter().enumerate() {
        if query.action == QueryAction::Cancel {
            is_heard = true;
            continue;
        }
        let stamp = Stamp {
            now: wall(asked.line, asked.now),
            offset: offset(asked.line, asked.now),
            control_id: format!("{}Q{}-{index}", asked.run, asked.message),
        };
        let found = match asked.stranger {
            None => asked.for_query(db, query, &stamp.control_id)?,
            Some(name) => {
                let detail = format!("another device asked: {name}");
                asked.audit(db, "not-answered", &detail)?;
                tracing::warn!(
                    line = asked.line.id,
                    "another device asked and was told of nothing"
                );
                Vec::new()
            }
        };
        match asked.written(db, query, found, &stamp)? {
            Ok((payloads, items)) => {
                book::note_told(db, &asked.line.id, &items, asked.now)?;
                answers.extend(payloads);
                is_heard = true;
            }
            Err(error) => {
                failed = match error {
                    AnswerError::NoForm { .. } | AnswerError::NoQuery => Answered::Unsupported,
                    AnswerError::IdTooLong { .. }
                    | AnswerError::Unencodable { .. }
                    | AnswerError::NoTest
                    | AnswerError::NoCancel { .. }
                    | AnswerError::NoNumber
                    | AnswerError::Unwritable
                    | AnswerError::DoesNotFit { .. }
                    | AnswerError::Delimiters { .. } => Answered::Failed,
                };
                asked.audit(db, "not-answered", &error.to_string())?;
                tracing::warn!(line = asked.line.id, %error, "a query was not answered");
            }
        }
    }
    Ok(if is_heard {
        Answered::With(answers)
    } else {
        failed
    })
}

/// Payloads, and the items that the device knows by them.
type Written = (Vec<Vec<u8>>, ItemTests);

impl Asked<'_> {
    /// The orders that answer a query.
    fn for_query(
        &self,
        db: &mut dyn Db,
        query: &Query,
        control_id: &str,
    ) -> Result<Vec<TubeOrder>, StoreError> {
        let tubes: Vec<SpecimenRead> = match &query.subject {
            QuerySubject::Specimens(specimens) => specimens.clone(),
            QuerySubject::All => self.open_tubes(db, None)?,
            QuerySubject::Range(first, last) => self.open_tubes(db, Some((first, last)))?,
        };
        let line = self.line;
        let measures = |test: &str| !line.profile.codes_of(test).is_empty();
        let mut orders = Vec::new();
        for tube in tubes.into_iter().filter(|tube| !tube.id.is_empty()) {
            let found = book::waiting_for_device(db, &tube.id, self.since, &measures)?;
            let Some((specimen, open)) = found else {
                continue;
            };
            let patient = book::patient_of(db, specimen.patient)?;
            let mut order = order(line, &specimen, &patient, &open, OrderAction::New);
            order.rack = tube.rack;
            order.position = tube.position;
            if !query.codes.is_empty() {
                order.tests.retain(|code| query.codes.contains(code));
            }
            if line.profile.profile().device.is_law {
                let steps = Steps::new(line, &specimen, &open);
                if query.action == QueryAction::AskMore {
                    let fresh = self.fresh_codes(db, &open)?;
                    order.tests.retain(|code| fresh.contains(code));
                }
                let prefix = format!("{control_id}-{}", orders.len() + 1);
                order.numbers = steps.numbers(db, &order.tests, &prefix, self.now)?;
            }
            let items = open
                .into_iter()
                .map(|mut item| {
                    item.tests.retain(|test| {
                        code(line, test).is_some_and(|code| order.tests.contains(&code))
                    });
                    (item.id, item.tests)
                })
                .filter(|(_, tests)| !tests.is_empty())
                .collect();
            orders.push(TubeOrder { order, items });
        }
        Ok(orders)
    }

    /// The codes of what was ordered since the device was told of these items.
    fn fresh_codes(&self, db: &mut dyn Db, items: &[BookItem]) -> Result<Vec<String>, StoreError> {
        let told = book::told_tests(db, &self.line.id, items)?;
        let mut fresh = Vec::new();
        for item in items {
            let told = told.get(&item.id).map_or(&[][..], Vec::as_slice);
            let new = item.tests.iter().filter(|test| !told.contains(test));
            fresh.extend(new.filter_map(|test| code(self.line, test)));
        }
        Ok(fresh)
    }

    /// Open tubes with a test of this device; more than fit into one answer are noted.
    fn open_tubes(
        &self,
        db: &mut dyn Db,
        range: Option<(&str, &str)>,
    ) -> Result<Vec<SpecimenRead>, StoreError> {
        let tests = self.line.profile.measured_tests();
        let tubes_max = if self.line.profile.profile().device.is_law {
            LAW_TUBES_MAX
        } else {
            TUBES_MAX
        };
        let wanted = OpenTubes {
            line: &self.line.id,
            since: self.since,
            tests: tests.as_ref(),
            range,
            count_max: i64::try_from(tubes_max + 1).unwrap_or(i64::MAX),
        };
        let mut barcodes = book::open_barcodes(db, &wanted)?;
        if barcodes.len() > tubes_max {
            barcodes.truncate(tubes_max);
            let detail = format!("{tubes_max} tubes are told, more wait for the next query");
            self.audit(db, "answer-cut", &detail)?;
            tracing::warn!(line = self.line.id, "{detail}");
        }
        Ok(barcodes.into_iter().map(read).collect())
    }

    /// The answer. A tube whose order cannot be written is left out where others can, so that one
    /// id does not cost the device its other orders.
    fn written(
        &self,
        db: &mut dyn Db,
        query: &Query,
        mut found: Vec<TubeOrder>,
        stamp: &Stamp,
    ) -> Result<Result<Written, AnswerError>, StoreError> {
        let line = &self.line.profile;
        let answer = |found: &[TubeOrder]| {
            let orders: Vec<OrderForDevice> = found.iter().map(|one| one.order.clone()).collect();
            profile::answer(line, query, &orders, stamp)
        };
        let mut payloads = answer(&found);
        if payloads.is_err() && found.len() > 1 {
            let count = found.len();
            let mut left_out = Vec::new();
            found.retain(|one| {
                let alone = Query {
                    subject: QuerySubject::Specimens(vec![read(one.order.specimen.clone())]),
                    ..query.clone()
                };
                let own = profile::answer(line, &alone, std::slice::from_ref(&one.order), stamp);
                own.map_err(|error| left_out.push(error)).is_ok()
            });
            if !found.is_empty() && found.len() < count {
                payloads = answer(&found);
            }
            for error in left_out.iter().filter(|_| payloads.is_ok()) {
                self.audit(db, "not-told", &error.to_string())?;
                tracing::warn!(line = self.line.id, %error, "a tube was left out of an answer");
            }
        }
        let items = found.into_iter().flat_map(|one| one.items).collect();
        Ok(payloads.map(|payloads| (payloads, items)))
    }

    fn audit(&self, db: &mut dyn Db, action: &str, detail: &str) -> Result<(), StoreError> {
        let actor = format!("line:{}", self.line.id);
        let subject = format!("message:{}", self.message);
        audit::write(db, self.now, &actor, action, &subject, detail)
    }
}

fn read(id: String) -> SpecimenRead {
    SpecimenRead {
        sent: id.clone(),
        id,
        rack: String::new(),
        position: String::new(),
    }
}

/// The work order steps of a tube on a device that speaks IHE LAW.
struct Steps<'a> {
    tube: TubeSteps<'a>,
    /// What each code measures.
    tests: BTreeMap<String, Vec<String>>,
}

impl<'a> Steps<'a> {
    fn new(line: &'a LineSite, specimen: &'a BookSpecimen, items: &[BookItem]) -> Self {
        let mut tests: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for test in items.iter().flat_map(|item| &item.tests) {
            if let Some(code) = code(line, test) {
                tests.entry(code).or_default().push(test.clone());
            }
        }
        let tube = TubeSteps {
            line: &line.id,
            specimen,
        };
        Self { tube, tests }
    }

    /// A number for each code: that of the step which the device has, else a new one.
    fn numbers(
        &self,
        db: &mut dyn Db,
        codes: &[String],
        prefix: &str,
        now: i64,
    ) -> Result<Vec<String>, StoreError> {
        let open = self.tube.open(db, &self.tests)?;
        let mut new = Vec::new();
        let mut numbers = Vec::with_capacity(codes.len());
        for (index, code) in codes.iter().enumerate() {
            let number = match open.get(code) {
                Some(number) => number.clone(),
                None => {
                    let number = format!("{prefix}-{}", index + 1);
                    new.push((code.clone(), number.clone()));
                    number
                }
            };
            numbers.push(number);
        }
        self.tube.note(db, &new, now)?;
        Ok(numbers)
    }
}

/// The open items that want what a step measures, with the tests that do.
pub(super) fn items_of_code(
    db: &mut dyn Db,
    line: &LineSite,
    step: &WorkStep,
) -> Result<ItemTests, StoreError> {
    let mut items = ItemTests::new();
    for item in book::open_items(db, step.specimen)? {
        let is_own = |test: &String| code(line, test).is_some_and(|code| code == step.code);
        let tests: Vec<String> = item.tests.into_iter().filter(is_own).collect();
        if !tests.is_empty() {
            items.insert(item.id, tests);
        }
    }
    Ok(items)
}

/// What a test is ordered by.
fn code(line: &LineSite, test: &str) -> Option<String> {
    line.profile.codes_of(test).into_iter().next()
}

fn order(
    line: &LineSite,
    specimen: &BookSpecimen,
    patient: &BookPatient,
    items: &[BookItem],
    action: OrderAction,
) -> OrderForDevice {
    let mut tests: Vec<String> = Vec::new();
    for test in items.iter().flat_map(|item| &item.tests) {
        if let Some(code) = code(line, test)
            && !tests.contains(&code)
        {
            tests.push(code);
        }
    }
    let pid = patient.fields.expose();
    let field = |n: u16, component: usize| {
        let raw = pid.get(&n).map_or("", String::as_str);
        let first = raw.split('~').next().unwrap_or_default();
        let part = first.split('^').nth(component).unwrap_or_default();
        escape::decode(part, Separators::STANDARD).0.into_owned()
    };
    let given = format!("{} {}", field(5, 1), field(5, 2)).trim().to_owned();
    let kind = specimen
        .fields
        .get(&4)
        .and_then(|kind| kind.split('^').next());
    OrderForDevice {
        specimen: specimen.barcode.clone(),
        tests,
        patient_id: Private::new(field(3, 0)),
        family: Private::new(field(5, 0)),
        given: Private::new(given),
        birth: patient.birth.clone(),
        sex: patient.sex,
        priority: items
            .iter()
            .map(|item| item.priority)
            .min()
            .unwrap_or(Priority::Routine),
        collected: specimen
            .collected_at
            .map(|at| wall(line, at))
            .unwrap_or_default(),
        specimen_type: kind.unwrap_or_default().to_owned(),
        placer: items
            .first()
            .map(|item| item.placer.clone())
            .unwrap_or_default(),
        rack: String::new(),
        position: String::new(),
        action,
        numbers: Vec::new(),
    }
}

/// `YYYYMMDDHHMMSS` in the line's zone.
fn wall(line: &LineSite, micros: i64) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(at) => at
            .to_zoned(line.zone.clone())
            .strftime("%Y%m%d%H%M%S")
            .to_string(),
        Err(_) => String::new(),
    }
}

/// How far the line's zone is from UTC then, `+0700`.
fn offset(line: &LineSite, micros: i64) -> String {
    match Timestamp::from_microsecond(micros) {
        Ok(at) => at.to_zoned(line.zone.clone()).strftime("%z").to_string(),
        Err(_) => String::new(),
    }
}

/// Renders queued orders and cancels for one device.
#[derive(Debug)]
pub(super) struct DownloadRenderer<'a> {
    pub(super) line: &'a LineSite,
    pub(super) run: &'a str,
    pub(super) now: i64,
}

impl Render for DownloadRenderer<'_> {
    fn render(
        &mut self,
        db: &mut dyn Db,
        pending: &[Pending],
    ) -> Result<Vec<Rendered>, StoreError> {
        pending.iter().map(|row| self.rendered(db, row)).collect()
    }
}

impl DownloadRenderer<'_> {
    fn rendered(&self, db: &mut dyn Db, pending: &Pending) -> Result<Rendered, StoreError> {
        let is_cancel = pending.kind == DownloadKind::Cancel.code();
        let specimen = book::specimen_by_id(db, pending.specimen)?;
        let patient = book::patient_of(db, specimen.patient)?;
        let tests = queue::tests_of_row(db, pending.id)?;
        let on_tube = book::open_items(db, specimen.id)?;
        let (mut gone, mut had) = (ItemTests::new(), ItemTests::new());
        let (items, action) = if is_cancel {
            gone = self.on_device(db, &on_tube, tests)?;
            let items;
            (items, had) = self.unwanted(db, &on_tube, &gone)?;
            (items, OrderAction::Cancel)
        } else {
            let items = self.wanted(db, &on_tube, &tests)?;
            had.extend(tests_of(&items));
            (items, self.order_action(db, &specimen, &on_tube)?)
        };
        let mut order = order(self.line, &specimen, &patient, &items, action);
        let control_id = format!("{}-{}", self.run, pending.id);
        if self.line.profile.profile().device.is_law {
            let steps = Steps::new(self.line, &specimen, &items);
            self.number(db, &steps, &mut order, &control_id)?;
        }
        if order.tests.is_empty() {
            self.note(db, &gone, &had)?;
            return Ok(Rendered::Nothing);
        }
        let stamp = Stamp {
            now: wall(self.line, self.now),
            offset: offset(self.line, self.now),
            control_id: control_id.clone(),
        };
        let written = if is_cancel {
            profile::cancel(&self.line.profile, &[order], &stamp)
        } else {
            profile::download(&self.line.profile, &[order], &stamp)
        };
        match written {
            Ok(payloads) if payloads.is_empty() => Ok(Rendered::Nothing),
            Ok(payloads) => {
                self.note(db, &gone, &had)?;
                Ok(Rendered::Message {
                    control_id,
                    body: payloads.concat(),
                })
            }
            Err(error) => Ok(Rendered::Impossible(format!(
                "{error}: tell the device by hand, then discard this"
            ))),
        }
    }

    /// Numbers for what is to be done; of what is to be left, only what the device has.
    fn number(
        &self,
        db: &mut dyn Db,
        steps: &Steps<'_>,
        order: &mut OrderForDevice,
        control_id: &str,
    ) -> Result<(), StoreError> {
        if order.action == OrderAction::Cancel {
            let open = steps.tube.open(db, &steps.tests)?;
            order.tests.retain(|code| open.contains_key(code));
            let numbers = order
                .tests
                .iter()
                .filter_map(|code| open.get(code).cloned());
            order.numbers = numbers.collect();
        } else {
            order.numbers = steps.numbers(db, &order.tests, control_id, self.now)?;
        }
        Ok(())
    }

    /// What the device has no more, and what it has, whoever it was told for at first.
    fn note(&self, db: &mut dyn Db, gone: &ItemTests, had: &ItemTests) -> Result<(), StoreError> {
        book::note_taken_back(db, &self.line.id, gone)?;
        book::note_told(db, &self.line.id, had, self.now)
    }

    /// What is still wanted of an order; of the rest the device never hears.
    fn wanted(
        &self,
        db: &mut dyn Db,
        on_tube: &[BookItem],
        tests: &ItemTests,
    ) -> Result<Vec<BookItem>, StoreError> {
        let mut wanted = Vec::new();
        let mut dropped = ItemTests::new();
        for item in on_tube {
            let Some(tests) = tests.get(&item.id) else {
                continue;
            };
            let is_wanted = |test: &&String| {
                item.status != OrderStatus::Cancelled && item.tests.contains(*test)
            };
            let (kept, gone): (Vec<&String>, Vec<&String>) = tests.iter().partition(is_wanted);
            if !gone.is_empty() {
                dropped.insert(item.id, gone.into_iter().cloned().collect());
            }
            if !kept.is_empty() {
                let tests = kept.into_iter().cloned().collect();
                wanted.push(BookItem {
                    tests,
                    ..item.clone()
                });
            }
        }
        book::forget_told(db, &self.line.id, &dropped)?;
        Ok(wanted)
    }

    /// An addition where the device has the tube already: what it was told of, less what is yet to
    /// be said.
    fn order_action(
        &self,
        db: &mut dyn Db,
        specimen: &BookSpecimen,
        on_tube: &[BookItem],
    ) -> Result<OrderAction, StoreError> {
        let told = book::told_tests(db, &self.line.id, on_tube)?;
        let untried = queue::untried_orders(db, &self.line.id, specimen.id)?;
        let is_known = |item: &BookItem| {
            let untried = untried.get(&item.id).map_or(&[][..], Vec::as_slice);
            let told = told.get(&item.id).map_or(&[][..], Vec::as_slice);
            told.iter().any(|test| !untried.contains(test))
        };
        let mut open = on_tube
            .iter()
            .filter(|item| item.status != OrderStatus::Cancelled);
        Ok(if open.any(is_known) {
            OrderAction::Add
        } else {
            OrderAction::New
        })
    }

    /// Of what is to be taken back, what the device has.
    fn on_device(
        &self,
        db: &mut dyn Db,
        on_tube: &[BookItem],
        mut tests: ItemTests,
    ) -> Result<ItemTests, StoreError> {
        let told = book::told_tests(db, &self.line.id, on_tube)?;
        for item in on_tube {
            // What was moved to another tube was forgotten when it was moved.
            if let Some(tests) = tests.get_mut(&item.id) {
                let told = told.get(&item.id).map_or(&[][..], Vec::as_slice);
                tests.retain(|test| told.contains(test));
            }
        }
        Ok(tests)
    }

    /// Of these, what no open order of the tube wants any more. What another one wants the device
    /// goes on measuring, for that one: it comes second.
    fn unwanted(
        &self,
        db: &mut dyn Db,
        on_tube: &[BookItem],
        tests: &ItemTests,
    ) -> Result<(Vec<BookItem>, ItemTests), StoreError> {
        let mut codes: Vec<String> = Vec::new();
        for test in tests.values().flatten() {
            codes.extend(code(self.line, test));
        }
        let (mut needed, mut heirs) = (Vec::new(), ItemTests::new());
        let open = on_tube
            .iter()
            .filter(|item| item.status != OrderStatus::Cancelled);
        for item in open {
            for test in &item.tests {
                if let Some(code) = code(self.line, test).filter(|code| codes.contains(code)) {
                    needed.push(code);
                    heirs.entry(item.id).or_default().push(test.clone());
                }
            }
        }
        let is_free = |test: &&String| {
            let code = code(self.line, test);
            code.is_some_and(|code| !needed.contains(&code))
        };
        let mut items = Vec::new();
        for (id, tests) in tests {
            let item = book::item_by_id(db, *id)?;
            let tests = tests.iter().filter(is_free).cloned().collect();
            items.push(BookItem { tests, ..item });
        }
        Ok((items, heirs))
    }
}

fn tests_of(items: &[BookItem]) -> ItemTests {
    let tests = items.iter().map(|item| (item.id, item.tests.clone()));
    tests.collect()
}

/// The tubes that a query asks about by name.
pub(super) fn tubes_asked_for(query: &Query) -> &[SpecimenRead] {
    match &query.subject {
        QuerySubject::Specimens(tubes) if query.action == QueryAction::Ask => tubes,
        QuerySubject::Specimens(_) | QuerySubject::Range(..) | QuerySubject::All => &[],
    }
}

#[cfg(test)]
mod tests;
