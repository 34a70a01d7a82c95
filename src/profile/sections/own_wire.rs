//! `[layout]`, and which keys a vendor's own wire has.

use std::sync::Arc;

use labwire_protocols::{
    beckman_au::{ControlLayout, GroupLayout, Layout, NoOrder, OrderLayout, Side},
    dimension::{self, dialect::Unanswered},
};
use toml::{Spanned, de::DeTable};

use super::{
    super::{
        AnswerForm, BciWire, DateOrder, LinkRules, NegativeStyle, Protocol, Wire,
        answer::dimension as dimension_order, schema,
    },
    Loader, Words,
};

impl Loader {
    /// Keys that mean nothing on this wire: who wrote them expects something of them.
    pub(in crate::profile) fn check_keys(&mut self, file: &DeTable<'_>) {
        let protocol = self.protocol;
        for (table, rest) in file {
            let Some(keys) = rest.get_ref().as_table() else {
                continue;
            };
            let table_name = table.get_ref();
            for key in keys.keys() {
                if belongs(protocol, table_name, key.get_ref()) {
                    continue;
                }
                let message = format!(
                    "`[{table_name}] {}` is nothing that a profile for {} can say",
                    key.get_ref(),
                    protocol.name()
                );
                self.problem(
                    "PROF-0212",
                    Some(key.span()),
                    Words {
                        message: &message,
                        label: "of another wire",
                        help: "remove it; config/profiles/README.md lists what each wire has",
                    },
                );
            }
        }
    }

    /// A vendor's wire has one form of order, and no other wire has it.
    pub(super) fn check_form(
        &mut self,
        written: &schema::Text,
        form: AnswerForm,
        o: &schema::Fields,
    ) {
        let is_own = match self.protocol {
            Protocol::Astm | Protocol::Hl7 => {
                let own = [
                    AnswerForm::BeckmanAu,
                    AnswerForm::Dimension,
                    AnswerForm::Bci,
                ];
                !own.contains(&form)
            }
            Protocol::BeckmanAu => form == AnswerForm::BeckmanAu,
            Protocol::Dimension => form == AnswerForm::Dimension,
            Protocol::Bci => form == AnswerForm::Bci,
            // Nothing is ordered from such a device, or nobody knows how.
            Protocol::Poct1a | Protocol::SysmexLegacy => false,
        };
        if !is_own {
            self.problem(
                "PROF-0206",
                Some(written.span()),
                Words {
                    message: &format!(
                        "no {} device reads `{}`",
                        self.protocol.name(),
                        written.get_ref()
                    ),
                    label: "of another wire",
                    help: "write the form of this protocol",
                },
            );
        }
        let is_free = |number: &str| {
            number
                .parse()
                .is_ok_and(|n| dimension_order::FIELDS.contains(&n))
        };
        let fixed = o.keys().find(|number| !is_free(number.get_ref()));
        if let Some(number) = fixed.filter(|_| form == AnswerForm::Dimension) {
            self.problem(
                "PROF-0204",
                Some(number.span()),
                Words {
                    message: &format!(
                        "field {} of an order is not the profile's",
                        number.get_ref()
                    ),
                    label: "written by Labwire",
                    help: "5 is the patient, 7 sample type, 8 location, 9 priority, 12 dilution",
                },
            );
        }
    }

    /// What reads the messages of this protocol.
    pub(in crate::profile) fn wire(
        &mut self,
        layout: &Spanned<schema::Layout>,
        link: &LinkRules,
        negative: Option<&schema::Text>,
    ) -> Option<Wire> {
        match self.protocol {
            Protocol::Astm => Some(Wire::Astm),
            Protocol::Hl7 => Some(Wire::Hl7),
            Protocol::BeckmanAu => self.beckman_au(layout, link, negative),
            Protocol::Dimension => self.dimension(layout, link, negative),
            Protocol::Poct1a => self.poct1a(layout, link),
            Protocol::Bci => self.bci(layout, link),
            Protocol::SysmexLegacy => self.sysmex_legacy(layout, link),
        }
    }

    fn beckman_au(
        &mut self,
        raw: &Spanned<schema::Layout>,
        link: &LinkRules,
        negative: Option<&schema::Text>,
    ) -> Option<Wire> {
        let style = negative.and_then(|word| self.word(word, &NegativeStyle::WORDS));
        let no_order = match style.unwrap_or_default() {
            NegativeStyle::Sample => NoOrder::EndWithSample,
            NegativeStyle::Order => NoOrder::EmptyOrder,
            NegativeStyle::Terminator | NegativeStyle::Silent => NoOrder::End,
        };
        let layout = self.layout(raw, no_order)?;
        let dialect = link.beckman_au(layout);
        if let Err(error) = dialect.check() {
            self.cannot_work(raw, &format!("{} {error}", error.code()));
            return None;
        }
        Some(Wire::BeckmanAu(Arc::new(dialect)))
    }

    fn dimension(
        &mut self,
        raw: &Spanned<schema::Layout>,
        link: &LinkRules,
        negative: Option<&schema::Text>,
    ) -> Option<Wire> {
        let styles = [
            ("terminator", Unanswered::NoRequest),
            ("silent", Unanswered::Silence),
        ];
        let unanswered = negative.and_then(|word| self.word(word, &styles));
        let layout = self.limits(raw)?;
        let mut dialect = link.dimension(layout);
        dialect.unanswered = unanswered.unwrap_or(Unanswered::NoRequest);
        if let Err(error) = dialect.check() {
            self.cannot_work(raw, &format!("{} {error}", error.code()));
            return None;
        }
        Some(Wire::Dimension(Arc::new(dialect)))
    }

    fn poct1a(&mut self, raw: &Spanned<schema::Layout>, link: &LinkRules) -> Option<Wire> {
        let dialect = link.poct1a();
        if let Err(error) = dialect.check() {
            self.cannot_work(raw, &format!("{} {error}", error.code()));
            return None;
        }
        Some(Wire::Poct1a(Arc::new(dialect)))
    }

    fn bci(&mut self, raw: &Spanned<schema::Layout>, link: &LinkRules) -> Option<Wire> {
        let dates = self.date_order(raw.get_ref());
        let dialect = link.bci();
        if let Err(error) = dialect.check() {
            self.cannot_work(raw, &format!("{} {error}", error.code()));
            return None;
        }
        Some(Wire::Bci(Arc::new(BciWire { dialect, dates })))
    }

    pub(super) fn date_order(&mut self, raw: &schema::Layout) -> Option<DateOrder> {
        let order = raw.date_order.as_ref();
        order.and_then(|word| self.word(word, &DateOrder::WORDS))
    }

    pub(super) fn cannot_work(&mut self, layout: &Spanned<schema::Layout>, message: &str) {
        self.problem(
            "PROF-0213",
            Some(layout.span()).filter(|span| !span.is_empty()),
            Words {
                message,
                label: "cannot work",
                help: "compare `[layout]` and `[link]` with the settings of the analyzer",
            },
        );
    }

    /// What fits into a Dimension's fields, and which numbers mean a control.
    fn limits(&mut self, raw: &Spanned<schema::Layout>) -> Option<dimension::Layout> {
        let mut widths = Widths::default();
        let own = raw.get_ref();
        let cup = own.cup_position.as_ref();
        let cup = cup.map_or("", |text| text.get_ref().as_str());
        let cup_position = <[u8; 2]>::try_from(cup.as_bytes()).unwrap_or_else(|_| {
            widths
                .missing
                .push("`cup_position` of two characters".to_owned());
            [0; 2]
        });
        let layout = dimension::Layout {
            patient_max: widths.take("patient_max", own.patient_max),
            sample_id_max: widths.take("sample_id_max", own.sample_id_max),
            location_max: widths.take("location_max", own.location_max),
            tests_max: widths.take("tests_max", own.tests_max),
            test_max: widths.take("test_max", own.test_max),
            cup_position,
            control_type_min: widths.take("control_type_min", own.control_type_min),
            control_priority: widths.take("control_priority", own.control_priority),
        };
        self.is_whole(raw, &widths).then_some(layout)
    }

    /// Whether nothing is missing; else it is told.
    fn is_whole(&mut self, raw: &Spanned<schema::Layout>, widths: &Widths) -> bool {
        if widths.missing.is_empty() {
            return true;
        }
        self.problem(
            "PROF-0203",
            Some(raw.span()).filter(|span| !span.is_empty()),
            Words {
                message: &format!("`[layout]` lacks {}", widths.missing.join(", ")),
                label: "not all of it",
                help: "write every one as the settings of the analyzer have it, 0 for what is off",
            },
        );
        false
    }

    /// Every width is the profile's: a width that the code assumed would read one field as another.
    fn layout(&mut self, raw: &Spanned<schema::Layout>, no_order: NoOrder) -> Option<Layout> {
        let mut widths = Widths::default();
        let side = raw.get_ref().sample_id_side.as_ref();
        let sides = [("left", Side::Left), ("right", Side::Right)];
        let side = side.and_then(|word| self.word(word, &sides));
        let own = raw.get_ref();
        let layout = Layout {
            unit_no: widths.take("unit_no", own.unit_no),
            has_unit_no_in_orders: own.unit_no_in_orders,
            rack_no: widths.take("rack_no", own.rack_no),
            cup: widths.take("cup", own.cup),
            sample_type: widths.take("sample_type", own.sample_type),
            sample_no: widths.take("sample_no", own.sample_no),
            sample_id: widths.take("sample_id", own.sample_id),
            sample_id_side: side.unwrap_or(Side::Left),
            dummy: widths.take("dummy", own.dummy),
            patient: widths.take("patient", own.patient),
            order_patient: widths.take("order_patient", own.order_patient),
            group: widths.group("group", &own.group),
            order: OrderLayout {
                test_no: widths.take("order.test_no", own.order.test_no),
                dilution: widths.take("order.dilution", own.order.dilution),
            },
            control: ControlLayout {
                before_number: widths.take("control.before_number", own.control.before_number),
                control_no: widths.take("control.control_no", own.control.control_no),
                unit: widths.take("control.unit", own.control.unit),
                group: widths.group("control.group", &own.control.group),
            },
            no_order,
            block_text_max: widths.take("block_text_max", own.block_text_max),
        };
        self.is_whole(raw, &widths).then_some(layout)
    }
}

/// Takes widths out of a file and remembers those that are not there.
#[derive(Default)]
struct Widths {
    missing: Vec<String>,
}

impl Widths {
    fn take(&mut self, name: &str, width: Option<usize>) -> usize {
        width.unwrap_or_else(|| {
            self.missing.push(format!("`{name}`"));
            0
        })
    }

    fn group(&mut self, name: &str, raw: &schema::GroupLayout) -> GroupLayout {
        GroupLayout {
            unit: self.take(&format!("{name}.unit"), raw.unit),
            test_no: self.take(&format!("{name}.test_no"), raw.test_no),
            value: self.take(&format!("{name}.value"), raw.value),
            mark: self.take(&format!("{name}.mark"), raw.mark),
            marks: self.take(&format!("{name}.marks"), raw.marks),
        }
    }
}

/// Settings of the link that only vendors' wires have.
const VENDOR_LINK: &[&str] = &["answers_enq", "turnaround_ms", "repeat_within_ms"];
const BECKMAN_AU_LINK: &[&str] = &[
    "class",
    "start",
    "block_end",
    "text_end",
    "checksum_covers_start",
];
const DIMENSION_LINK: &[&str] = &["acceptance_timeout_ms"];
const POCT1A_LINK: &[&str] = &["is_continuous", "asks_events", "wrap", "ack_element"];

const BCI_LINK: &[&str] = &["checksum_counts_line_ends", "record_width"];

/// What a BCI line has of the settings of others: its dialogue is that of ASTM.
const BCI_COMMON_LINK: &[&str] = &[
    "checksum",
    "sends_max",
    "inter_byte_timeout_ms",
    "receive_timeout_ms",
    "establishment_timeout_ms",
    "turnaround_ms",
    "reply_timeout_ms",
    "busy_wait_ms",
    "between_sessions_ms",
    "contention_wait_ms",
    "repeat_within_ms",
    "silent_after_s",
    "message_bytes_max",
];

/// What a line to an older Sysmex has of them.
const SYSMEX_COMMON_LINK: &[&str] = &[
    "class",
    "sends_max",
    "inter_byte_timeout_ms",
    "reply_timeout_ms",
    "repeat_within_ms",
    "silent_after_s",
    "message_bytes_max",
];

/// What a POCT1-A line has of the settings of others: there is no checksum, no rest and no answer.
const POCT1A_COMMON_LINK: &[&str] = &[
    "sends_max",
    "inter_byte_timeout_ms",
    "receive_timeout_ms",
    "reply_timeout_ms",
    "repeat_within_ms",
    "silent_after_s",
    "message_bytes_max",
];

/// Settings of the link that every vendor's wire shares with others.
const COMMON_LINK: &[&str] = &[
    "checksum",
    "sends_max",
    "inter_byte_timeout_ms",
    "reply_timeout_ms",
    "answer_within_ms",
    "silent_after_s",
    "message_bytes_max",
];

/// `[layout]` of a Dimension; a Beckman AU has the others.
const DIMENSION_LAYOUT: &[&str] = &[
    "patient_max",
    "sample_id_max",
    "location_max",
    "tests_max",
    "test_max",
    "cup_position",
    "control_type_min",
    "control_priority",
];

/// `[layout]` of an older Sysmex.
const SYSMEX_LAYOUT: &[&str] = &["line", "date_order"];

/// Whether a key of a table means something on the wire of `protocol`. What no wire has was told
/// already.
fn belongs(protocol: Protocol, table: &str, key: &str) -> bool {
    let is_vendor = VENDOR_LINK.contains(&key);
    let is_common = is_vendor || COMMON_LINK.contains(&key);
    let is_au = BECKMAN_AU_LINK.contains(&key);
    match (protocol, table) {
        (Protocol::Astm | Protocol::Hl7, "link") => {
            let own = [BECKMAN_AU_LINK, DIMENSION_LINK, POCT1A_LINK, BCI_LINK];
            !is_vendor && !own.concat().contains(&key)
        }
        (Protocol::Astm | Protocol::Hl7, "layout") => false,
        (Protocol::Astm | Protocol::Hl7, _) => true,
        (Protocol::BeckmanAu, "link") => is_common || is_au || key == "receive_timeout_ms",
        (Protocol::BeckmanAu, "layout") => {
            !DIMENSION_LAYOUT.contains(&key) && !SYSMEX_LAYOUT.contains(&key)
        }
        (Protocol::BeckmanAu, "answer") => ["form", "test", "negative"].contains(&key),
        // A host speaks when it is asked, and of the sample it was asked for.
        (Protocol::BeckmanAu, "download") => false,
        (Protocol::BeckmanAu, "query") => ["id", "rack", "position"].contains(&key),
        (Protocol::Dimension, "link") => is_common || DIMENSION_LINK.contains(&key),
        (Protocol::Dimension, "layout") => DIMENSION_LAYOUT.contains(&key),
        (Protocol::Dimension, "answer") => {
            let templates = ["form", "o", "test", "negative"];
            let tables = ["priorities", "specimen_types", "max_id_length"];
            templates.contains(&key) || tables.contains(&key)
        }
        (Protocol::Dimension, "download") => ["broadcast", "cancel"].contains(&key),
        (Protocol::Dimension, "query") => key == "id",
        (Protocol::Poct1a, "link") => {
            POCT1A_LINK.contains(&key) || POCT1A_COMMON_LINK.contains(&key)
        }
        // Nothing is asked or ordered, and XML has no columns.
        (Protocol::Poct1a, "layout" | "answer" | "download" | "query") => false,
        (Protocol::Bci, "link") => BCI_LINK.contains(&key) || BCI_COMMON_LINK.contains(&key),
        (Protocol::Bci, "layout") => key == "date_order",
        (Protocol::Bci, "answer") => ["form", "test", "max_id_length"].contains(&key),
        (Protocol::Bci, "download") => key == "broadcast",
        (Protocol::Bci, "query") => false,
        (Protocol::SysmexLegacy, "link") => SYSMEX_COMMON_LINK.contains(&key),
        (Protocol::SysmexLegacy, "layout") => SYSMEX_LAYOUT.contains(&key),
        // The columns of orders are not known.
        (Protocol::SysmexLegacy, "answer" | "download") => false,
        (Protocol::SysmexLegacy, "query") => ["id", "rack", "position"].contains(&key),
        // Hello names the device.
        (Protocol::Poct1a, "device") => true,
        (_, "device") => key != "sender",
        (_, "text") => key != "from_message",
        (_, "specimen") => key != "restart",
        _ => true,
    }
}
