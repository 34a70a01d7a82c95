//! A profile that was read and checked.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    sync::Arc,
};

use labwire_protocols::{bci, beckman_au, charset::Charset, dimension, poct1a, sysmex_legacy};
use miette::NamedSource;

use super::{Condition, FieldPath, Pattern, Template, Test};
use crate::model::ResultStatus;

/// Which records a device speaks. The framing below them is [`LinkRules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// ASTM E1394 / LIS02 records in E1381 / LIS01 frames.
    Astm,
    /// HL7 v2 segments in MLLP blocks.
    Hl7,
    /// Beckman AU: texts of fixed columns.
    BeckmanAu,
    /// Siemens Dimension: fields between FS, polled.
    Dimension,
    /// POCT1-A: XML of devices at the point of care.
    Poct1a,
    /// bioMérieux BCI: fields that name themselves.
    Bci,
    /// Older Sysmex texts: lines of fixed columns.
    SysmexLegacy,
}

impl Protocol {
    /// Every protocol, by the word that a profile writes.
    pub(super) const ALL: [(&str, Self); 7] = [
        ("astm", Self::Astm),
        ("hl7", Self::Hl7),
        ("beckman-au", Self::BeckmanAu),
        ("dimension", Self::Dimension),
        ("poct1a", Self::Poct1a),
        ("bci", Self::Bci),
        ("sysmex-legacy", Self::SysmexLegacy),
    ];

    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Astm => "ASTM",
            Self::Hl7 => "HL7",
            Self::BeckmanAu => "Beckman AU",
            Self::Dimension => "Dimension",
            Self::Poct1a => "POCT1-A",
            Self::Bci => "BCI",
            Self::SysmexLegacy => "Sysmex (older)",
        }
    }

    /// Whether a message of it says which device it is from.
    pub const fn names_devices(self) -> bool {
        matches!(self, Self::Astm | Self::Hl7 | Self::Poct1a)
    }

    /// Whether its messages come in MLLP blocks; the others have a framing of their own on a stream.
    pub const fn is_mllp(self) -> bool {
        matches!(self, Self::Hl7)
    }
}

/// What reads a message, and on a vendor's own wire what moves it.
#[derive(Clone, Debug)]
pub enum Wire {
    /// ASTM records.
    Astm,
    /// HL7 segments.
    Hl7,
    /// Beckman AU texts, as `[link]` and `[layout]` say.
    BeckmanAu(Arc<beckman_au::Dialect>),
    /// Dimension messages, as `[link]` and `[layout]` say.
    Dimension(Arc<dimension::Dialect>),
    /// POCT1-A messages, as `[link]` says.
    Poct1a(Arc<poct1a::Dialect>),
    /// BCI messages, as `[link]` and `[layout]` say.
    Bci(Arc<BciWire>),
    /// Older Sysmex texts, as `[link]` and `[layout]` say.
    SysmexLegacy(Arc<SysmexWire>),
}

/// A BCI line.
#[derive(Clone, Debug)]
pub struct BciWire {
    /// What moves messages.
    pub dialect: bci::Dialect,
    /// How the site writes dates; `None` where nobody said it: they stay as sent.
    pub dates: Option<DateOrder>,
}

/// A line to an older Sysmex.
#[derive(Clone, Debug)]
pub struct SysmexWire {
    /// What moves texts.
    pub dialect: sysmex_legacy::Dialect,
    /// The columns.
    pub layout: sysmex_legacy::Layout,
    /// As [`BciWire::dates`].
    pub dates: Option<DateOrder>,
}

/// The order of a date that a site chose on its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateOrder {
    /// Day, month, year.
    DayFirst,
    /// Month, day, year.
    MonthFirst,
    /// Year, month, day.
    YearFirst,
}

impl DateOrder {
    /// Every order, by the word that a profile writes.
    pub(super) const WORDS: [(&str, Self); 3] = [
        ("dmy", Self::DayFirst),
        ("mdy", Self::MonthFirst),
        ("ymd", Self::YearFirst),
    ];
}

impl Wire {
    /// Whether the first message of a conversation says which device all of it is from.
    pub const fn has_hello(&self) -> bool {
        matches!(self, Self::Poct1a(_))
    }

    /// Whether its messages are XML.
    pub const fn is_xml(&self) -> bool {
        matches!(self, Self::Poct1a(_))
    }
}

/// Everything that one file says of one family of devices.
#[derive(Clone, Debug)]
pub struct Profile {
    /// `vendor/model`, the name a line gives.
    pub name: String,
    /// Whose it is and how sure we are.
    pub device: Device,
    /// How such a device is usually connected.
    pub transport: Transport,
    /// Switches of the link machine.
    pub link: LinkRules,
    /// What its messages are read by.
    pub wire: Wire,
    /// Character set.
    pub text: TextRules,
    /// Where the tube is named.
    pub specimen: SpecimenRules,
    /// Which patient fields are compared with the order.
    pub patient: PatientRules,
    /// Where a result's parts stand.
    pub result: ResultRules,
    /// What the device's status codes mean.
    pub statuses: BTreeMap<String, ResultStatus>,
    /// As sent = UCUM, for codes whose own entry does not know the unit.
    pub units: BTreeMap<String, String>,
    /// Flags that hold nothing.
    pub normal_flags: BTreeSet<String>,
    /// Flags that hold although other devices mean nothing by them.
    pub suspect_flags: BTreeSet<String>,
    /// Flags that say that somebody changed the reading by hand.
    pub edited_flags: BTreeSet<String>,
    /// Texts in the flag field that are no flags.
    pub ignored_flags: BTreeSet<String>,
    /// Comments that make every result of their order suspect; any of the rules.
    pub suspect_comments: Vec<Condition>,
    /// Controls.
    pub qc: KindRule,
    /// Calibrators and blanks.
    pub calibration: KindRule,
    /// Results that are pictures, or name the file of one.
    pub images: Vec<ImageRule>,
    /// Results that are a device's own news.
    pub ignore: Vec<IgnoreRule>,
    /// Further results that a row says in one value.
    pub parts: Vec<PartRule>,
    /// What besides comment records is said of a result.
    pub comments: Vec<CommentRule>,
    /// How it asks; a device that never asks has none of the paths.
    pub query: QueryRules,
    /// How an order for it is written, if it takes any.
    pub answer: Option<AnswerRules>,
    /// Instrument codes and their tests.
    pub tests: Vec<TestRule>,
    /// Worked examples.
    pub examples: Vec<Example>,
    /// The file, for problems found later.
    pub file: Arc<NamedSource<String>>,
}

/// Whose profile it is.
#[derive(Clone, Debug)]
pub struct Device {
    /// `Sysmex`.
    pub vendor: String,
    /// Models it was written for.
    pub models: Vec<String>,
    /// Record layer.
    pub protocol: Protocol,
    /// Where the knowledge comes from.
    pub source: String,
    /// `standard`, `specification`, `trace`, `inferred` or `assumed`.
    pub confidence: String,
    /// HL7 by IHE LAW: work order steps (LAB-27, LAB-28) and their status changes (LAB-29).
    pub is_law: bool,
    /// What the device writes in H.5 or MSH-3, the whole field; results under any other name are
    /// held. Empty: every name is taken.
    pub sender: Vec<Pattern>,
}

/// How such a device is usually connected; a line says what is true for it.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// As in `lab.toml`, with the address left to the site: `tcp-listen://0.0.0.0:5001`.
    pub port: String,
    /// Serial parameters, if it may be a serial line: `9600 8N1`.
    pub serial: String,
    /// What an installer should know.
    pub note: String,
}

/// Switches of the link; what is `None` stays as the link machine has it.
#[derive(Clone, Debug, Default)]
pub struct LinkRules {
    /// `strict`, `warn` or `off`.
    pub checksum: Option<ChecksumMode>,
    /// Frame numbers that stand still or begin again are taken.
    pub has_lenient_frame_numbers: bool,
    /// Text bytes in a frame that we send.
    pub frame_text_max: Option<usize>,
    /// Whether each record that we send begins a frame.
    pub one_record_per_frame: Option<bool>,
    /// Records without any frame are taken.
    pub accepts_unframed: Option<bool>,
    /// A frame without ENQ opens a session.
    pub accepts_frames_without_enq: Option<bool>,
    /// ENQ between frames starts the session again.
    pub serves_enq_in_transfer: Option<bool>,
    /// CR, LF, NUL and FF are no replies.
    pub ignores_idle_bytes: Option<bool>,
    /// Replies sooner than this are older than the frame.
    pub stale_reply_ms: Option<u64>,
    /// Sends of one frame.
    pub sends_max: Option<u32>,
    /// Bids in a row.
    pub enq_attempts_max: Option<u32>,
    /// Sender, after ENQ.
    pub establishment_timeout_ms: Option<u64>,
    /// Sender, after NAK to ENQ.
    pub busy_wait_ms: Option<u64>,
    /// Host, after a collision.
    pub contention_wait_ms: Option<u64>,
    /// Sender, between its sessions.
    pub between_sessions_ms: Option<u64>,
    /// Sender, for a reply; HL7: for an acknowledgement.
    pub reply_timeout_ms: Option<u64>,
    /// Receiver, for the next frame.
    pub receive_timeout_ms: Option<u64>,
    /// Receiver, for the next byte in a frame.
    pub inter_byte_timeout_ms: Option<u64>,
    /// Beckman AU, older Sysmex: whether blocks or texts are acknowledged.
    pub class: Option<beckman_au::Class>,
    /// Beckman AU: the start code.
    pub start: Option<u8>,
    /// Beckman AU: what ends a block that another follows.
    pub block_end: Option<u8>,
    /// Beckman AU: what ends the last block.
    pub text_end: Option<u8>,
    /// Beckman AU: the start code is part of the block check.
    pub checksum_covers_start: Option<bool>,
    /// Vendors' wires: ENQ is answered ACK.
    pub answers_enq: Option<bool>,
    /// Vendors' wires: rest between what comes and what is said.
    pub turnaround_ms: Option<u64>,
    /// BCI: line ends after records are part of the checksum.
    pub checksum_counts_line_ends: Option<bool>,
    /// BCI: characters of a record that we write; `None` is a record a field.
    pub record_width: Option<usize>,
    /// POCT1-A: the conversation stays open, and the device reports as it measures.
    pub is_continuous: Option<bool>,
    /// POCT1-A: whether device events are asked for, too.
    pub asks_events: Option<bool>,
    /// POCT1-A: what stands around messages that we send.
    pub wrap: Option<poct1a::Wrap>,
    /// POCT1-A: what an acknowledgement calls the message that it is for.
    pub ack_name: Option<poct1a::AckName>,
    /// Dimension: for the device's word about an order.
    pub acceptance_timeout_ms: Option<u64>,
    /// Vendors' wires: the same bytes within so long are the same sent again.
    pub repeat_within_ms: Option<u64>,
    /// How long the device waits for the answer to its query; a later answer is dropped.
    pub answer_within_ms: Option<u64>,
    /// Nothing heard for so long means that the device is gone: the connection is ended and a new
    /// one awaited or made. Only for devices that send by themselves when they have nothing to say.
    pub silent_after_s: Option<u64>,
    /// MLLP: longest message.
    pub message_bytes_max: Option<usize>,
    /// MLLP: FS without CR ends a block.
    pub accepts_lone_fs: Option<bool>,
    /// MLLP: silence that ends a block without FS.
    pub idle_end_ms: Option<u64>,
    /// MLLP: messages taken in before the first is answered.
    pub pending_max: Option<usize>,
}

/// What to do about a checksum that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChecksumMode {
    /// Refuse the frame.
    Strict,
    /// Take it with a note.
    Warn,
    /// Do not compare.
    Off,
}

/// Character set of both directions.
#[derive(Clone, Debug)]
pub struct TextRules {
    /// Unless the message names one and `from_message` is set.
    pub charset: Charset,
    /// HL7: MSH-18 decides where it names a known set.
    pub from_message: bool,
    /// Names may lose their marks on the way to the device; otherwise an order is refused.
    pub transliterate: bool,
}

/// Where the tube is named.
#[derive(Clone, Debug, Default)]
pub struct SpecimenRules {
    /// The first that is not empty counts.
    pub id: Vec<FieldPath>,
    /// Rack or carrier.
    pub rack: Vec<FieldPath>,
    /// Position in it.
    pub position: Vec<FieldPath>,
    /// Characters trimmed from both ends; nothing else is.
    pub padding: String,
    /// Ids that the device makes up when it could not read the barcode.
    pub unread: Vec<Test>,
    /// When the device says beside an id that it is no barcode.
    pub unread_when: Vec<Condition>,
    /// The device resumes in the middle after a cut (LIS02-A2 restart at a record).
    pub restarts_at_record: bool,
}

/// Patient fields that are compared with the order.
#[derive(Clone, Debug, Default)]
pub struct PatientRules {
    /// All of them count.
    pub ids: Vec<FieldPath>,
    /// Name.
    pub name: Vec<FieldPath>,
    /// Birth date.
    pub birth: Vec<FieldPath>,
    /// Sex.
    pub sex: Vec<FieldPath>,
}

/// Where a result's parts stand. Of several paths the first that is not empty counts, except for
/// qualifiers (all) and flags (all, with their repeats).
#[derive(Clone, Debug, Default)]
pub struct ResultRules {
    /// Test code.
    pub code: Vec<FieldPath>,
    /// The code's text is cut into pieces at each of these characters (`10/2`).
    pub cut_at: String,
    /// Which piece is the code, from 1; a text with fewer pieces is the code as a whole.
    pub code_piece: usize,
    /// Which pieces are dilutions; of several the first that is one counts.
    pub dilution_pieces: Vec<usize>,
    /// What kind of result of its code this is: a value, its interpretation, its signal.
    pub aspect: Vec<FieldPath>,
    /// Aspects whose results have the bare code; any other is named with it, `TSH^RLU`.
    pub plain_aspects: BTreeSet<String>,
    /// What tells results of one code apart.
    pub qualifiers: Vec<FieldPath>,
    /// What a result is about besides its tube: the donor unit of a crossmatch.
    pub about: Vec<FieldPath>,
    /// The field kept to the byte.
    pub text: Option<FieldPath>,
    /// The part of it that is typed.
    pub value: Vec<FieldPath>,
    /// Unit.
    pub unit: Vec<FieldPath>,
    /// Reference range.
    pub range: Vec<FieldPath>,
    /// Flags.
    pub flags: Vec<FieldPath>,
    /// Status.
    pub status: Vec<FieldPath>,
    /// Status of the whole report (O.26, OBR-25): it can only make a result less final.
    pub report_type: Vec<FieldPath>,
    /// Operator.
    pub operator: Vec<FieldPath>,
    /// When measured.
    pub completed: Vec<FieldPath>,
    /// Instrument or module.
    pub instrument: Vec<FieldPath>,
    /// Run number.
    pub run: Vec<FieldPath>,
    /// When this run counts instead of an earlier one.
    pub supersedes: Vec<Condition>,
    /// Dilution.
    pub dilution: Vec<FieldPath>,
    /// Dilutions that are none.
    pub no_dilution: Vec<String>,
    /// The device multiplies by itself.
    pub is_multiplied: bool,
    /// `7,41` is a number.
    pub decimal_comma: bool,
    /// No value is a number: reaction strengths, blood groups.
    pub is_text: bool,
    /// Text = code for every test whose own entry does not know the text.
    pub coded: BTreeMap<String, String>,
    /// Characters trimmed from value, unit, code and flags before they are read.
    pub padding: String,
    /// Texts that mean no value, besides rows of dashes and asterisks.
    pub absent: Vec<String>,
    /// Texts that mean beyond the range, without a number.
    pub over_range: Vec<String>,
}

/// Stands between a code and its aspect, in items and in what a site maps: `TSH^RLU`.
pub(super) const ASPECT_MARK: char = '^';

impl ResultRules {
    /// Piece `number`, from 1, of a code's text.
    pub(super) fn piece<'t>(&self, text: &'t str, number: usize) -> Option<&'t str> {
        let mut pieces = text.split(|ch| self.cut_at.contains(ch));
        pieces.nth(number.checked_sub(1)?)
    }

    /// What is ordered to get a result of this code: a device measures all aspects at once.
    pub(super) fn ordered<'c>(&self, code: &'c str) -> &'c str {
        let aspect = code
            .split_once(ASPECT_MARK)
            .filter(|_| !self.aspect.is_empty());
        aspect.map_or(code, |(bare, _)| bare)
    }
}

/// When a result is of a kind.
#[derive(Clone, Debug, Default)]
pub struct KindRule {
    /// Any of them.
    pub when: Vec<Condition>,
    /// The control's name or number.
    pub control: Vec<FieldPath>,
    /// The lot of its material.
    pub lot: Vec<FieldPath>,
    /// What stands before the lot in that text.
    pub lot_after: String,
    /// The code of a row of the same order whose value is the lot.
    pub lot_code: Option<Pattern>,
    /// Its level.
    pub level: Vec<FieldPath>,
    /// What texts in that place mean; where there are any, no other text is a level.
    pub levels: Vec<(Pattern, String)>,
    /// The code of a row of the same order whose value is the level.
    pub level_code: Option<Pattern>,
}

impl KindRule {
    /// The lot that a text is or ends with.
    pub(super) fn lot_of(&self, text: &str) -> Option<String> {
        let lot = text.trim().strip_prefix(self.lot_after.as_str())?.trim();
        (!lot.is_empty()).then(|| lot.to_owned())
    }

    /// The level that a text says.
    pub(super) fn level_of(&self, text: &str) -> Option<String> {
        let text = text.trim();
        if self.levels.is_empty() {
            return (!text.is_empty()).then(|| text.to_owned());
        }
        let mut known = self.levels.iter();
        let found = known.find(|(pattern, _)| pattern.is_match(text));
        found.map(|(_, level)| level.clone())
    }
}

/// Results that are pictures.
#[derive(Clone, Debug)]
pub struct ImageRule {
    /// By code.
    pub code: Option<Pattern>,
    /// And by any of these, where given.
    pub when: Vec<Condition>,
    /// Where the picture is.
    pub place: ImagePlace,
    /// What it is by the profile's word; empty where that says nothing.
    pub media_type: String,
}

/// Where a picture is.
#[derive(Clone, Debug)]
pub enum ImagePlace {
    /// In a file of the device's folder that is named here.
    File(FieldPath),
    /// Here, in base64.
    Data(FieldPath),
}

/// Results that are a device's own news.
#[derive(Clone, Debug)]
pub struct IgnoreRule {
    /// By code.
    pub code: Option<Pattern>,
    /// And by any of these, where given.
    pub when: Vec<Condition>,
    /// What to call it: `image`, `flag`, `setting`.
    pub event: String,
    /// When it makes the other results of its order suspect.
    pub holds_when: Vec<Condition>,
}

/// A row whose value is several results, `A^NEG`: each is told by itself too.
#[derive(Clone, Debug)]
pub struct PartRule {
    /// Any of them; none: every result.
    pub when: Vec<Condition>,
    /// Names the part behind the code: `MO10^ABO`.
    pub aspect: String,
    /// Where it stands; a part that is empty was not measured.
    pub value: FieldPath,
}

/// A comment made of fields of a result, or of a manufacturer's record that follows it.
#[derive(Clone, Debug)]
pub struct CommentRule {
    /// What stands before it: `donor unit`.
    pub label: String,
    /// All of one record; what is empty is left out, the rest is joined by blanks.
    pub text: Vec<FieldPath>,
    /// As sent = what it means; both are told.
    pub coded: BTreeMap<String, String>,
    /// When it makes the results of its order suspect.
    pub holds_when: Vec<Condition>,
    /// When it says that a reading of its order was changed by hand.
    pub edited_when: Vec<Condition>,
}

impl CommentRule {
    /// The record or segment that it reads.
    pub(super) fn record(&self) -> &str {
        self.text.first().map_or("", |path| &path.record)
    }
}

/// How a device asks.
#[derive(Clone, Debug, Default)]
pub struct QueryRules {
    /// HL7: message types that ask, as MSH-9.1 and 9.2 joined by `^`.
    pub messages: Vec<String>,
    /// The tube; each repeat of the field is one.
    pub id: Vec<FieldPath>,
    /// Last of a range.
    pub range_end: Vec<FieldPath>,
    /// Rack.
    pub rack: Vec<FieldPath>,
    /// Position.
    pub position: Vec<FieldPath>,
    /// Repeats after the first may be the bare id.
    pub has_bare_repeats: bool,
    /// Tests asked for.
    pub codes: Vec<FieldPath>,
    /// What means everything, as id or as code.
    pub all: Vec<String>,
    /// When it takes its question back.
    pub cancel: Vec<Condition>,
    /// What the answer repeats.
    pub echo: Vec<(String, FieldPath)>,
    /// IHE LAW: what names of QPD-1.1 mean besides those of the profile.
    pub names: BTreeMap<String, QueryKind>,
}

/// What a query of IHE LAW asks by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// The container's barcode, QPD-3.
    Container,
    /// The same, for what was ordered since the device was told: reruns, reflex tests.
    Additional,
    /// Everything that waits.
    All,
    /// A place in a carrier or a tray: which tube stands there, nobody has told Labwire.
    Place,
    /// An isolate, QPD-3.
    Isolate,
    /// A number that the device counts; it is no barcode.
    Sequence,
}

/// How an order is written.
#[derive(Clone, Debug)]
pub struct AnswerRules {
    /// Which messages.
    pub form: AnswerForm,
    /// ASTM: field, repeat, component, escape.
    pub delimiters: [u8; 4],
    /// Fields of H by number.
    pub header: BTreeMap<usize, Template>,
    /// Fields of P.
    pub patient: BTreeMap<usize, Template>,
    /// Fields of O.
    pub order: BTreeMap<usize, Template>,
    /// HL7: fields of MSH.
    pub msh: BTreeMap<usize, Template>,
    /// IHE LAW: fields of SPM that the device wants in its own form.
    pub spm: BTreeMap<usize, Template>,
    /// The same of SAC.
    pub sac: BTreeMap<usize, Template>,
    /// How one test is written.
    pub test: Template,
    /// One O for each test instead of a list.
    pub one_order_per_test: bool,
    /// ORR^O02: what the tubes hold (`W` whole blood).
    pub blood_mode: String,
    /// Modes of measuring, each of which includes those before it: an order names the last of those
    /// that its tests ask for. ORR^O02 names nothing else.
    pub modes: Vec<String>,
    /// L.3 of an answer with orders.
    pub terminator: String,
    /// `new`, `add`, `cancel` in the device's codes.
    pub actions: BTreeMap<String, String>,
    /// `S`, `A`, `R` in the device's codes.
    pub priorities: BTreeMap<String, String>,
    /// Specimen types in the device's words.
    pub specimen_types: BTreeMap<String, String>,
    /// Longest id that the device takes; a longer one is refused, never cut.
    pub max_id_length: usize,
    /// When there is no order.
    pub negative: NegativeRules,
    /// Unasked.
    pub download: DownloadRules,
}

/// Which messages carry an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerForm {
    /// ASTM H, P, O, L.
    Records,
    /// Mindray haematology: ORR^O02.
    OrrO02,
    /// Mindray chemistry: QCK^Q02 and DSR^Q03.
    QckDsr,
    /// Beckman AU: `S `, or `SE`.
    BeckmanAu,
    /// Dimension: `D`, or `N`.
    Dimension,
    /// IHE LAW: RSP^K11, then OML^O33.
    Law,
    /// BCI: one message a test.
    Bci,
}

/// What is said when there is no order.
#[derive(Clone, Debug, Default)]
pub struct NegativeRules {
    /// With an O or without.
    pub style: NegativeStyle,
    /// Fields of that O that differ.
    pub order: BTreeMap<usize, Template>,
    /// L.3.
    pub terminator: String,
}

/// The forms of "no order" (LIS02-A2 leaves the choice open).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NegativeStyle {
    /// H and L alone; Beckman AU: `SE` alone; Dimension: `N`.
    #[default]
    Terminator,
    /// An O that says so; Beckman AU: an order without tests.
    Order,
    /// Beckman AU: `SE` with the sample that it is about.
    Sample,
    /// Nothing at all; the device goes on by itself.
    Silent,
}

/// Orders that nobody asked for.
#[derive(Clone, Debug, Default)]
pub struct DownloadRules {
    /// Whether the device takes them.
    pub broadcast: bool,
    /// Fields of H that differ.
    pub header: BTreeMap<usize, Template>,
    /// Fields of O that differ.
    pub order: BTreeMap<usize, Template>,
    /// L.3.
    pub terminator: String,
    /// Fields of O that differ in a cancel; `None` where the device takes none.
    pub cancel: Option<BTreeMap<usize, Template>>,
}

impl NegativeStyle {
    /// Every style, by the word that a profile writes.
    pub(super) const WORDS: [(&str, Self); 4] = [
        ("terminator", Self::Terminator),
        ("order", Self::Order),
        ("sample", Self::Sample),
        ("silent", Self::Silent),
    ];
}

/// One instrument code.
#[derive(Clone, Debug)]
pub struct TestRule {
    /// As the device sends it.
    pub code: String,
    /// Only with these qualifiers; `None` with any.
    pub qualifiers: Option<Vec<String>>,
    /// The catalogue's test.
    pub test: String,
    /// As sent = UCUM.
    pub units: BTreeMap<String, String>,
    /// UCUM of what comes without a unit; empty if it always has one.
    pub unit: String,
    /// As sent = the catalogue's code.
    pub coded: BTreeMap<String, String>,
    /// What to write in an order, if it is not the code; empty: it cannot be ordered.
    pub order: Option<String>,
    /// Where the entry's `test` stands in the file.
    pub span: Range<usize>,
}

/// A worked example.
#[derive(Clone, Debug)]
pub struct Example {
    /// What it shows.
    pub name: String,
    /// The device's bytes, with `<STX>` and the like.
    pub wire: String,
    /// What must come out, in order; keys that are left out are not compared.
    pub expect: Vec<toml::Table>,
    /// Instrument code = catalogue test, as the line of a site would map them.
    pub tests: BTreeMap<String, String>,
    /// Instrument code = UCUM of what comes without a unit, as the line of a site would say it.
    pub units: BTreeMap<String, String>,
    /// Orders that exist when the device asks.
    pub orders: Vec<super::answer::OrderForDevice>,
    /// What the host must send, as `wire`, each message one line.
    pub answer: Option<String>,
    /// Where `wire` stands in the file.
    pub wire_span: Range<usize>,
    /// Where `expect` stands.
    pub expect_span: Range<usize>,
    /// Where `answer` stands.
    pub answer_span: Range<usize>,
}
