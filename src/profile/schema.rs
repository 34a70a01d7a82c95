//! The profile file as written: every key that it may have, nothing read into it yet.
//!
//! Everything is optional here, so that one missing key does not hide the other mistakes; `load`
//! says what is missing.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

/// A text with its place in the file.
pub(super) type Text = Spanned<String>;
/// Fields of an outgoing record by number: a literal or a template.
pub(super) type Fields = BTreeMap<Text, Text>;

/// A whole file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    pub(super) device: Device,
    pub(super) transport: Transport,
    pub(super) link: Link,
    pub(super) layout: Option<Spanned<Layout>>,
    pub(super) text: TextRules,
    pub(super) specimen: Specimen,
    pub(super) patient: Patient,
    pub(super) result: Result,
    pub(super) status: BTreeMap<String, Text>,
    pub(super) units: BTreeMap<String, Text>,
    pub(super) flags: Flags,
    pub(super) comments: Comments,
    pub(super) qc: When,
    pub(super) calibration: When,
    pub(super) image: Vec<Image>,
    pub(super) ignore: Vec<Ignore>,
    pub(super) part: Vec<Part>,
    pub(super) comment: Vec<Comment>,
    pub(super) query: Query,
    pub(super) answer: Answer,
    pub(super) download: Download,
    pub(super) test: Vec<Test>,
    pub(super) example: Vec<Example>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Device {
    pub(super) vendor: Option<Text>,
    pub(super) models: Vec<String>,
    pub(super) protocol: Option<Text>,
    pub(super) source: Option<Text>,
    pub(super) confidence: Option<Text>,
    pub(super) sender: Paths,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Transport {
    pub(super) port: Option<Text>,
    pub(super) serial: Option<Text>,
    pub(super) note: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Link {
    pub(super) checksum: Option<Text>,
    pub(super) frame_numbers: Option<Text>,
    pub(super) frame_text_max: Option<Spanned<usize>>,
    pub(super) one_record_per_frame: Option<bool>,
    pub(super) accepts_unframed: Option<bool>,
    pub(super) accepts_frames_without_enq: Option<bool>,
    pub(super) serves_enq_in_transfer: Option<bool>,
    pub(super) ignores_idle_bytes: Option<bool>,
    pub(super) stale_reply_ms: Option<u64>,
    pub(super) sends_max: Option<Spanned<u32>>,
    pub(super) enq_attempts_max: Option<Spanned<u32>>,
    pub(super) establishment_timeout_ms: Option<u64>,
    pub(super) busy_wait_ms: Option<u64>,
    pub(super) contention_wait_ms: Option<u64>,
    pub(super) between_sessions_ms: Option<u64>,
    pub(super) reply_timeout_ms: Option<u64>,
    pub(super) receive_timeout_ms: Option<u64>,
    pub(super) inter_byte_timeout_ms: Option<u64>,
    pub(super) class: Option<Text>,
    pub(super) start: Option<u8>,
    pub(super) block_end: Option<u8>,
    pub(super) text_end: Option<u8>,
    pub(super) checksum_covers_start: Option<bool>,
    pub(super) answers_enq: Option<bool>,
    pub(super) turnaround_ms: Option<u64>,
    pub(super) acceptance_timeout_ms: Option<u64>,
    pub(super) checksum_counts_line_ends: Option<bool>,
    pub(super) record_width: Option<Spanned<usize>>,
    pub(super) is_continuous: Option<bool>,
    pub(super) asks_events: Option<bool>,
    pub(super) wrap: Option<Text>,
    pub(super) ack_element: Option<Text>,
    pub(super) repeat_within_ms: Option<u64>,
    pub(super) answer_within_ms: Option<u64>,
    pub(super) silent_after_s: Option<Spanned<u64>>,
    pub(super) message_bytes_max: Option<Spanned<usize>>,
    pub(super) accepts_lone_fs: Option<bool>,
    pub(super) idle_end_ms: Option<u64>,
    pub(super) pending_max: Option<Spanned<usize>>,
}

/// Columns of a Beckman AU text, as the site's parameter sheet has them; limits of a Dimension message;
/// lines of an older Sysmex.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Layout {
    pub(super) unit_no: Option<usize>,
    pub(super) unit_no_in_orders: bool,
    pub(super) rack_no: Option<usize>,
    pub(super) cup: Option<usize>,
    pub(super) sample_type: Option<usize>,
    pub(super) sample_no: Option<usize>,
    pub(super) sample_id: Option<usize>,
    pub(super) sample_id_side: Option<Text>,
    pub(super) dummy: Option<usize>,
    pub(super) patient: Option<usize>,
    pub(super) order_patient: Option<usize>,
    pub(super) block_text_max: Option<usize>,
    pub(super) group: GroupLayout,
    pub(super) order: OrderLayout,
    pub(super) control: ControlLayout,
    pub(super) patient_max: Option<usize>,
    pub(super) sample_id_max: Option<usize>,
    pub(super) location_max: Option<usize>,
    pub(super) tests_max: Option<usize>,
    pub(super) test_max: Option<usize>,
    pub(super) cup_position: Option<Text>,
    pub(super) control_type_min: Option<usize>,
    pub(super) control_priority: Option<usize>,
    pub(super) date_order: Option<Text>,
    pub(super) line: Vec<Spanned<LineLayout>>,
}

/// A line of an older Sysmex.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LineLayout {
    pub(super) code: Option<Text>,
    #[serde(rename = "use")]
    pub(super) used_for: Option<Text>,
    pub(super) columns: Vec<Column>,
}

/// A column: of text (`width`), a number (`digits`), or nothing (`fill`).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) width: Option<usize>,
    pub(super) align: Option<Text>,
    pub(super) digits: Option<usize>,
    pub(super) decimals: Option<usize>,
    pub(super) flag: bool,
    pub(super) fill: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GroupLayout {
    pub(super) unit: Option<usize>,
    pub(super) test_no: Option<usize>,
    pub(super) value: Option<usize>,
    pub(super) mark: Option<usize>,
    pub(super) marks: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct OrderLayout {
    pub(super) test_no: Option<usize>,
    pub(super) dilution: Option<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ControlLayout {
    pub(super) before_number: Option<usize>,
    pub(super) control_no: Option<usize>,
    pub(super) unit: Option<usize>,
    pub(super) group: GroupLayout,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TextRules {
    pub(super) charset: Option<Text>,
    pub(super) from_message: bool,
    pub(super) transliterate: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Specimen {
    pub(super) id: Paths,
    pub(super) rack: Paths,
    pub(super) position: Paths,
    pub(super) padding: String,
    pub(super) unread: Vec<Text>,
    pub(super) unread_when: Vec<Text>,
    pub(super) restart: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Patient {
    pub(super) ids: Paths,
    pub(super) name: Paths,
    pub(super) birth: Paths,
    pub(super) sex: Paths,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Result {
    pub(super) code: Paths,
    pub(super) cut_at: Option<Text>,
    pub(super) code_piece: Option<Spanned<usize>>,
    pub(super) dilution_after_cut: bool,
    pub(super) dilution_pieces: Vec<Spanned<usize>>,
    pub(super) aspect: Paths,
    pub(super) plain_aspects: Vec<Text>,
    pub(super) qualifiers: Paths,
    pub(super) about: Paths,
    pub(super) text: Paths,
    pub(super) value: Paths,
    pub(super) unit: Paths,
    pub(super) range: Paths,
    pub(super) flags: Paths,
    pub(super) status: Paths,
    pub(super) report_type: Paths,
    pub(super) operator: Paths,
    pub(super) completed: Paths,
    pub(super) instrument: Paths,
    pub(super) run: Paths,
    pub(super) supersedes: Vec<Text>,
    pub(super) dilution: Paths,
    pub(super) no_dilution: Option<Vec<String>>,
    pub(super) is_multiplied: bool,
    pub(super) decimal_comma: bool,
    pub(super) is_text: bool,
    pub(super) coded: BTreeMap<String, String>,
    pub(super) padding: String,
    pub(super) absent: Vec<String>,
    pub(super) over_range: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Flags {
    pub(super) normal: Vec<String>,
    pub(super) suspect: Vec<String>,
    pub(super) ignore: Vec<String>,
    pub(super) edited: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Comments {
    pub(super) holds_when: Vec<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct When {
    pub(super) when: Vec<Text>,
    pub(super) control: Paths,
    pub(super) lot: Paths,
    pub(super) lot_after: String,
    pub(super) lot_code: Option<Text>,
    pub(super) level: Paths,
    pub(super) levels: BTreeMap<Text, String>,
    pub(super) level_code: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Image {
    pub(super) code: Option<Text>,
    pub(super) when: Vec<Text>,
    pub(super) file: Paths,
    pub(super) data: Paths,
    pub(super) media_type: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Ignore {
    pub(super) code: Option<Text>,
    pub(super) when: Vec<Text>,
    pub(super) event: Option<Text>,
    pub(super) holds_when: Vec<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Part {
    pub(super) when: Vec<Text>,
    pub(super) aspect: Option<Text>,
    pub(super) value: Paths,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Comment {
    pub(super) label: Option<Text>,
    pub(super) text: Paths,
    pub(super) coded: BTreeMap<String, String>,
    pub(super) holds_when: Vec<Text>,
    pub(super) edited_when: Vec<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Query {
    pub(super) messages: Vec<String>,
    pub(super) id: Paths,
    pub(super) range_end: Paths,
    pub(super) rack: Paths,
    pub(super) position: Paths,
    pub(super) bare_repeats: bool,
    pub(super) codes: Paths,
    pub(super) all: Vec<String>,
    pub(super) cancel: Vec<Text>,
    pub(super) echo: BTreeMap<String, Text>,
    pub(super) names: BTreeMap<String, Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Answer {
    pub(super) form: Option<Text>,
    pub(super) delimiters: Option<Text>,
    pub(super) h: Fields,
    pub(super) p: Fields,
    pub(super) o: Fields,
    pub(super) msh: Fields,
    pub(super) spm: Fields,
    pub(super) sac: Fields,
    pub(super) test: Option<Text>,
    pub(super) one_order_per_test: bool,
    pub(super) blood_mode: String,
    pub(super) modes: Vec<String>,
    pub(super) terminator: Option<Text>,
    pub(super) actions: BTreeMap<String, String>,
    pub(super) priorities: BTreeMap<String, String>,
    pub(super) specimen_types: BTreeMap<String, String>,
    pub(super) max_id_length: Option<Spanned<usize>>,
    pub(super) negative: Negative,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Negative {
    pub(super) style: Option<Text>,
    pub(super) o: Fields,
    pub(super) terminator: Option<Text>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Download {
    pub(super) broadcast: bool,
    pub(super) h: Fields,
    pub(super) o: Fields,
    pub(super) terminator: Option<Text>,
    pub(super) cancel: Cancel,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cancel {
    pub(super) is_possible: bool,
    pub(super) o: Fields,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Test {
    pub(super) code: Option<Text>,
    pub(super) qualifiers: Option<Vec<String>>,
    pub(super) test: Option<Text>,
    pub(super) units: BTreeMap<String, Text>,
    pub(super) unit: Option<Text>,
    pub(super) coded: BTreeMap<String, String>,
    pub(super) order: Option<Text>,
}

/// A worked example; `wire` and `expect` are a contract with every profile ever written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Example {
    pub(super) name: Option<Text>,
    pub(super) wire: Option<Text>,
    pub(super) expect: Option<Spanned<Vec<toml::Table>>>,
    pub(super) tests: BTreeMap<String, String>,
    pub(super) units: BTreeMap<String, String>,
    pub(super) orders: Vec<ExampleOrder>,
    pub(super) answer: Option<Text>,
}

/// An order of an example, to say what the answer to its query is made from.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExampleOrder {
    pub(super) specimen: String,
    pub(super) tests: Vec<String>,
    pub(super) patient_id: String,
    pub(super) family: String,
    pub(super) given: String,
    pub(super) birth: String,
    pub(super) sex: String,
    pub(super) priority: String,
    pub(super) collected: String,
    pub(super) specimen_type: String,
    pub(super) numbers: Vec<String>,
}

/// One path or several, of which the first that is not empty counts; where a list is meant (ids,
/// qualifiers, flags), all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths(pub(super) Vec<Text>);

impl<'de> Deserialize<'de> for Paths {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let written = Spanned::<OneOrMany>::deserialize(deserializer)?;
        let span = written.span();
        Ok(Self(match written.into_inner() {
            OneOrMany::One(text) => vec![Spanned::new(span, text)],
            OneOrMany::Many(texts) => texts,
        }))
    }
}

enum OneOrMany {
    One(String),
    Many(Vec<Text>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> serde::de::Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a path or a list of paths")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> std::result::Result<OneOrMany, E> {
        Ok(OneOrMany::One(text.to_owned()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(
        self,
        mut seq: A,
    ) -> std::result::Result<OneOrMany, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = seq.next_element()? {
            texts.push(text);
        }
        Ok(OneOrMany::Many(texts))
    }
}
