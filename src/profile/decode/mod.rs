//! From a device's message to what it means (DESIGN: nothing is guessed, nothing disappears).
//!
//! Every result record or segment becomes exactly one item: an observation, a device event where
//! the profile says so, or an incomplete item; where the profile names parts of its value, each is an
//! observation besides. Every other row gives context, attaches to its
//! parent, or becomes an item of its own.

mod comment;
mod context;
mod hold;
mod image;
mod law;
mod query;
pub(super) mod result;
mod shared;

use std::collections::BTreeMap;

use labwire_protocols::{mllp::FS, wire::Note};

use self::{context::Context, shared::Shared};
use super::{
    LineProfile, Protocol, TestRule, Wire,
    fields::RowName,
    line::Catalogue,
    places::POCT_HELLO,
    rows::{Role, Row, Rows, shorten, show},
};
use crate::model::{DeviceEvent, HoldReason, Incomplete, Item, WallTime};

pub use self::law::CANCELLED as STEP_CANCELLED;

/// The echo entry in which an HL7 query keeps its own segments, which its answer repeats.
pub(super) const QUERY_MESSAGE: &str = "message";

/// What a message says.
#[derive(Clone, Debug)]
pub struct Decoded {
    /// In the order of the message.
    pub items: Vec<Item>,
    /// Deviations of the message as a whole, with byte positions in it.
    pub notes: Vec<Note>,
    /// How the device names itself (H.5, MSH-3), whole field.
    pub sender: String,
    /// The name of a device that is not this line's, where the site or the profile says whose it is.
    pub stranger: Option<String>,
}

/// Reads `raw`: the records of one ASTM message, or one HL7 message, without frames. `is_complete`
/// is false when the line broke before its end. With a catalogue only tests that it has count; without
/// one, those that the line's settings leave active.
pub fn decode(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    raw: &[u8],
    is_complete: bool,
) -> Decoded {
    decode_after(line, catalogue, None, raw, is_complete)
}

/// [`decode`], with the message that opened the conversation: of a POCT1-A device the hello, which
/// alone says what device it is.
pub fn decode_after(
    line: &LineProfile,
    catalogue: Option<&dyn Catalogue>,
    opening: Option<&[u8]>,
    raw: &[u8],
    is_complete: bool,
) -> Decoded {
    let protocol = line.profile.device.protocol;
    let rows = Rows::read(raw, opening, &line.profile.wire, &line.text());
    let mut decoder = Decoder {
        line,
        catalogue,
        rows: &rows.rows,
        context: Context::new(&rows.rows, shared::watched(&line.profile)),
        shared: Shared::default(),
        last_time: None,
        group: Group::default(),
        groups: 0,
        entries: Vec::with_capacity(rows.rows.len()),
        commented: BTreeMap::new(),
        named: BTreeMap::new(),
        images: 0,
        parent: Parent::None,
        // A row without its end may have lost the last digits of its value.
        torn: if is_complete || has_end(raw, &line.profile.wire) {
            None
        } else {
            rows.rows.len().checked_sub(1)
        },
    };
    decoder.run();
    decoder.close_order();
    let is_whole = is_complete && rows.is_whole;
    let sender = decoder.context.first_sender(protocol);
    let stranger = stranger(line, &rows.rows);
    let whole = hold::Whole {
        is_complete: is_whole,
        stranger: stranger.clone(),
        commented: decoder.commented,
        named: decoder.named,
    };
    let mut items = hold::finish(line, catalogue, decoder.entries, &whole);
    if let Some((why, span)) = rows.refused {
        items.push(Item::Incomplete(Incomplete { why, span }));
    }
    Decoded {
        items,
        notes: rows.notes,
        sender,
        stranger,
    }
}

/// The name of a device that is not this line's, where the site, or else the profile, says what its
/// device writes. A message that names nobody is a stranger's too: nothing says whose it is.
fn stranger(line: &LineProfile, rows: &[Row<'_>]) -> Option<String> {
    let device = &line.profile.device;
    let known = match line.settings.sender.as_slice() {
        [] => device.sender.as_slice(),
        of_site => of_site,
    };
    if known.is_empty() {
        return None;
    }
    let headers = rows.iter().filter(|row| row.role == Role::Header);
    headers
        .map(|row| sender_of(row, device.protocol))
        .find(|name| !known.iter().any(|own| own.is_match(name)))
        .map(|name| shorten(&name))
}

/// H.5 or MSH-3, the whole field; the device id of a hello.
fn sender_of(header: &Row<'_>, protocol: Protocol) -> String {
    match protocol {
        Protocol::Astm => show(header.field(5)),
        Protocol::Hl7 => show(header.field(3)),
        // Nothing in a text names the device.
        Protocol::BeckmanAu | Protocol::Dimension | Protocol::Bci | Protocol::SysmexLegacy => {
            String::new()
        }
        // The device id of its hello.
        Protocol::Poct1a => show(header.field(1)),
    }
}

fn has_end(raw: &[u8], wire: &Wire) -> bool {
    let Some(last) = raw.last() else { return false };
    match wire {
        Wire::Astm | Wire::Hl7 => matches!(last, b'\r' | b'\n'),
        Wire::BeckmanAu(dialect) => [dialect.block_end, dialect.text_end].contains(last),
        Wire::Dimension(_) => *last == FS,
        Wire::Poct1a(_) => *last == b'>',
        Wire::Bci(_) => *last == b'|',
        // Its end is not in the text.
        Wire::SysmexLegacy(_) => false,
    }
}

/// An item and the order it belongs to.
#[derive(Debug)]
struct Entry<'a> {
    item: Item,
    group: usize,
    /// A flag row of this order makes its results suspect.
    taints: Option<String>,
    /// A reading of this order was changed by hand.
    edits: Option<String>,
    /// The profile's entry for the code of an observation.
    rule: Option<&'a TestRule>,
    /// The unit of its test in the catalogue.
    unit: Option<&'a str>,
}

/// The order that results are being read for.
#[derive(Debug, Default)]
struct Group {
    number: usize,
    /// The row of the order, until it is known to have a result.
    order: Option<usize>,
    /// The row of a patient that has no order, result or query yet.
    patient: Option<usize>,
    /// Results took its comments over.
    has_results: bool,
    /// Comments on the order itself.
    comments: Vec<(String, std::ops::Range<usize>)>,
}

impl Group {
    /// Every result of the order gets a copy of its comments, so they are few and short.
    fn has_room_for(&self, text: &str) -> bool {
        let taken: usize = self.comments.iter().map(|(text, _)| text.len()).sum();
        taken.saturating_add(text.len()) <= ORDER_COMMENT_BYTES_MAX
            && self.comments.len() < ORDER_COMMENTS_MAX
    }
}

/// Most bytes of comments on one order; alarms of a blood count take some 300.
const ORDER_COMMENT_BYTES_MAX: usize = 2_048;
/// Most comments on one order.
const ORDER_COMMENTS_MAX: usize = 32;

/// What a comment would belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    None,
    Order,
    /// The entry of that index.
    Entry(usize),
}

struct Decoder<'a> {
    line: &'a LineProfile,
    catalogue: Option<&'a dyn Catalogue>,
    rows: &'a [Row<'a>],
    context: Context<'a>,
    shared: Shared,
    /// The time that was read last.
    last_time: Option<WallTime>,
    group: Group,
    groups: usize,
    entries: Vec<Entry<'a>>,
    /// Orders whose results a comment makes suspect, and the comment.
    commented: BTreeMap<usize, String>,
    /// Lot and level of an order of controls, where rows of their own say them.
    named: BTreeMap<usize, (Option<String>, Option<String>)>,
    /// Pictures so far.
    images: usize,
    parent: Parent,
    torn: Option<usize>,
}

impl Decoder<'_> {
    fn run(&mut self) {
        if self.line.profile.device.protocol == Protocol::Hl7 && self.query_message() {
            return;
        }
        let mut is_open = false;
        for (index, row) in self.rows.iter().enumerate() {
            if Some(index) == self.torn && row.role != Role::Terminator {
                self.incomplete(row, "cut off in the middle of a record");
                continue;
            }
            if !is_open && row.role != Role::Header {
                self.incomplete(row, "outside of a message: no header before it");
                continue;
            }
            is_open = row.role != Role::Terminator;
            self.row(index, row);
        }
        self.close_order();
        if self.line.profile.device.protocol == Protocol::Hl7 && self.entries.is_empty() {
            self.message_event();
        }
    }

    fn row(&mut self, index: usize, row: &Row<'_>) {
        if row.is_too_long_to_share() {
            self.close_order();
            self.context.enter(index);
            self.context.forget(index);
            self.group.patient = None;
            self.parent = Parent::None;
            self.incomplete(row, "longer than a record above results may be");
            return;
        }
        match row.role {
            Role::Header | Role::Patient => self.new_patient(index, row),
            Role::Order => self.new_order(index, row),
            Role::Result => {
                self.context.enter(index);
                if self.line.profile.device.is_law {
                    self.place_details(index);
                }
                self.group.order = None;
                self.group.patient = None;
                self.group.has_results = true;
                self.result(row);
            }
            Role::Comment => self.comment(index, row),
            Role::Query => {
                self.close_order();
                self.group.patient = None;
                self.context.enter(index);
                self.query(row);
                self.parent = Parent::None;
            }
            Role::Terminator => self.terminator(row),
            Role::Manufacturer => self.manufacturer(index, row),
            Role::Structure if self.line.profile.device.is_law => self.structure(index, row),
            Role::Structure => self.context.enter(index),
            Role::Bad => self.incomplete(row, "no record or segment that is known"),
        }
    }

    fn new_patient(&mut self, index: usize, row: &Row<'_>) {
        self.close_order();
        self.context.enter(index);
        self.parent = Parent::None;
        // An empty P only opens the way for orders (LIS02-A2 5.3); one with data must be shown.
        let has_data = (3..=PATIENT_FIELDS).any(|n| !row.field(n).is_empty());
        let is_astm = self.line.profile.device.protocol == Protocol::Astm;
        self.group.patient = (row.role == Role::Patient && is_astm && has_data).then_some(index);
    }

    fn new_order(&mut self, index: usize, row: &Row<'_>) {
        self.group.patient = None;
        self.close_order();
        self.groups += 1;
        self.group = Group {
            number: self.groups,
            order: Some(index),
            ..Group::default()
        };
        self.context.enter(index);
        self.place_specimen(index);
        self.parent = Parent::Order;
        // LIS02-A2 O.26: X cannot be done, Y no order, Z no patient: the device refuses.
        if row.role == Role::Order
            && self.line.profile.device.protocol == Protocol::Astm
            && matches!(row.field(26), "X" | "Y" | "Z")
        {
            self.group.order = None;
            let text = self.ordered(row);
            self.event(row, "order-refused", text);
            self.parent = Parent::Order;
        }
    }

    /// In ORU messages SPM follows the results of its OBR (HL7 v2.5.1 7.3.1); in OUL it comes first.
    fn place_specimen(&mut self, index: usize) {
        let header = self
            .context
            .row(RowName::of("MSH"))
            .map_or("", |header| header.field(9));
        if !header.starts_with("ORU") {
            return;
        }
        self.context.leave("SPM");
        self.context.leave("SAC");
        let after = self.rows.iter().enumerate().skip(index + 1);
        let own = after.take_while(|(_, row)| !matches!(row.role, Role::Order | Role::Patient));
        let found: Vec<usize> = own
            .filter(|(_, row)| row.is("SPM") || row.is("SAC"))
            .map(|(at, _)| at)
            .collect();
        found.into_iter().for_each(|at| self.context.enter(at));
    }

    /// An order or patient that nothing followed is news by itself.
    fn close_order(&mut self) {
        let group = std::mem::take(&mut self.group);
        self.group.number = group.number;
        if let Some(row) = group.patient.and_then(|index| self.rows.get(index)) {
            // The text stays in the journal: names do not belong into events.
            self.event(row, "patient", String::new());
        }
        if let Some((index, row)) = group.order.and_then(|at| Some((at, self.rows.get(at)?))) {
            let (code, text) = self
                .step_status(index)
                .unwrap_or_else(|| ("order", self.ordered(row)));
            self.event(row, code, text);
        }
        let left = if group.has_results {
            Vec::new()
        } else {
            group.comments
        };
        self.share();
        for (text, span) in left {
            let specimen = self.specimen_id();
            let code = "comment".to_owned();
            self.push(Item::Device(DeviceEvent {
                code,
                text,
                specimen,
                span,
            }));
        }
    }

    /// Tests and report type of an order; the rest of the record names people.
    fn ordered(&self, row: &Row<'_>) -> String {
        let (tests, report) = match self.line.profile.device.protocol {
            Protocol::Astm => (row.field(5), row.field(26)),
            Protocol::Hl7 => (row.field(4), row.field(25)),
            // A text without results names no test.
            Protocol::BeckmanAu
            | Protocol::Dimension
            | Protocol::Poct1a
            | Protocol::Bci
            | Protocol::SysmexLegacy => return String::new(),
        };
        shorten(show(&format!("{tests} {report}")).trim())
    }

    fn comment(&mut self, index: usize, row: &Row<'_>) {
        let field = if self.line.profile.device.protocol == Protocol::Astm {
            4
        } else {
            3
        };
        let text = show(&row.plain(row.field(field), &mut Vec::new()));
        self.context.enter(index);
        self.suspect(&text);
        match self.parent {
            Parent::Order if self.group.has_room_for(&text) => {
                self.group.comments.push((text, row.span.clone()));
            }
            Parent::Order => self.event(row, "comment", shorten(&text)),
            Parent::Entry(at) => self.comment_on(at, row, text),
            Parent::None => self.event(row, "comment", text),
        }
    }

    /// The comment in force makes the results of its order suspect, where the profile says so.
    fn suspect(&mut self, text: &str) {
        let group = match self.parent {
            Parent::None => return,
            Parent::Order => self.group.number,
            Parent::Entry(at) => match self.entries.get(at) {
                Some(entry) => entry.group,
                None => return,
            },
        };
        if self.context.any(&self.line.profile.suspect_comments) {
            self.commented.entry(group).or_insert_with(|| shorten(text));
        }
    }

    fn comment_on(&mut self, at: usize, row: &Row<'_>, text: String) {
        let name = row.name();
        let rules = &self.line.profile.result;
        let paths: Vec<_> = rules
            .flags
            .iter()
            .filter(|path| path.record == name)
            .cloned()
            .collect();
        let flags = self.context.all(&paths, &rules.padding);
        match self.entries.get_mut(at).map(|entry| &mut entry.item) {
            Some(Item::Observation(observation)) => {
                let ignored = &self.line.profile.ignored_flags;
                observation
                    .flags
                    .extend(flags.into_iter().filter(|flag| !ignored.contains(flag)));
                if !text.is_empty() {
                    observation.comments.push(text);
                }
            }
            _ => self.event(row, "comment", text),
        }
    }

    /// L.3 says how the sender ended (LIS02-A2): anything but normal or done is news.
    fn terminator(&mut self, row: &Row<'_>) {
        self.close_order();
        let code = row.field(3);
        if !matches!(code, "" | "N" | "F" | "n" | "f") {
            self.event(row, "terminated", show(code));
        }
        self.parent = Parent::None;
    }

    /// A message that brought nothing else: an acknowledgement, or a type nobody expects.
    fn message_event(&mut self) {
        let Some(header) = self.rows.first() else {
            return;
        };
        let acknowledged = self.rows.iter().find(|row| row.is("MSA"));
        let (code, text) = match acknowledged {
            Some(msa) => (
                "acknowledgement",
                format!("{} {}", msa.field(1), msa.field(2)),
            ),
            None => ("message", show(header.field(9))),
        };
        self.event(header, code, text);
    }

    fn event(&mut self, row: &Row<'_>, code: &str, text: String) {
        self.share();
        let specimen = self.specimen_id();
        let span = row.span.clone();
        self.push(Item::Device(DeviceEvent {
            code: code.to_owned(),
            text,
            specimen,
            span,
        }));
    }

    fn incomplete(&mut self, row: &Row<'_>, why: &str) {
        let span = row.span.clone();
        self.push(Item::Incomplete(Incomplete {
            why: why.to_owned(),
            span,
        }));
    }

    fn push(&mut self, item: Item) {
        let group = self.group.number;
        self.entries.push(Entry {
            item,
            group,
            taints: None,
            rule: None,
            unit: None,
            edits: None,
        });
    }

    /// The tube in force; [`Decoder::share`] comes first.
    fn specimen_id(&self) -> Option<String> {
        let specimen = self.shared.specimen.as_ref()?;
        (!specimen.id.is_empty()).then(|| specimen.id.clone())
    }
}

/// Last field of P (LIS02-A2 7.1).
const PATIENT_FIELDS: usize = 35;

impl Context<'_> {
    fn first_sender(&self, protocol: Protocol) -> String {
        let name = match protocol {
            Protocol::Astm => RowName::of("H"),
            Protocol::Hl7 => RowName::of("MSH"),
            Protocol::Poct1a => RowName::of_places(POCT_HELLO.row),
            Protocol::BeckmanAu | Protocol::Dimension | Protocol::Bci | Protocol::SysmexLegacy => {
                return String::new();
            }
        };
        let header = self.row(name);
        header
            .map(|row| sender_of(row, protocol))
            .unwrap_or_default()
    }
}

/// Hold reasons in the order in which they are named: what is wrong with the message or the tube
/// first, what is wrong with the laboratory's own tables last.
const HOLD_ORDER: &[HoldReason] = &[
    HoldReason::Incomplete,
    HoldReason::AmbiguousSender,
    HoldReason::NoSpecimen,
    HoldReason::Undecodable,
    HoldReason::StatusX,
    HoldReason::StatusNotFinal,
    HoldReason::AbsentValue,
    HoldReason::SuspectFlag,
    HoldReason::ManualEdit,
    HoldReason::UnitDiffers,
    HoldReason::UnitMissing,
    HoldReason::Dilution,
    HoldReason::Replicate,
    HoldReason::UnknownTest,
];
