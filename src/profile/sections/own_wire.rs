//! `[layout]`, and which keys a vendor's own wire has.

use std::sync::Arc;

use labwire_protocols::beckman_au::{
    ControlLayout, GroupLayout, Layout, NoOrder, OrderLayout, Side,
};
use toml::{Spanned, de::DeTable};

use super::{
    super::{LinkRules, NegativeStyle, Protocol, Wire, schema},
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
            self.problem(
                "PROF-0213",
                Some(raw.span()).filter(|span| !span.is_empty()),
                Words {
                    message: &format!("{} {error}", error.code()),
                    label: "cannot work",
                    help: "compare it with the parameter sheet of the analyzer (menu \"online\")",
                },
            );
            return None;
        }
        Some(Wire::BeckmanAu(Arc::new(dialect)))
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
        if widths.missing.is_empty() {
            return Some(layout);
        }
        self.problem(
            "PROF-0203",
            Some(raw.span()).filter(|span| !span.is_empty()),
            Words {
                message: &format!("`[layout]` lacks {}", widths.missing.join(", ")),
                label: "not all columns",
                help: "write every width as the parameter sheet of the analyzer has it, 0 for what is \
                       off",
            },
        );
        None
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
const VENDOR_LINK: &[&str] = &[
    "class",
    "start",
    "block_end",
    "text_end",
    "checksum_covers_start",
    "answers_enq",
    "turnaround_ms",
    "repeat_within_ms",
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

/// Whether a key of a table means something on the wire of `protocol`. What no wire has was told
/// already.
fn belongs(protocol: Protocol, table: &str, key: &str) -> bool {
    let is_vendor_link = VENDOR_LINK.contains(&key);
    match (protocol, table) {
        (Protocol::Astm | Protocol::Hl7, "link") => !is_vendor_link,
        (Protocol::Astm | Protocol::Hl7, "layout") => false,
        (Protocol::Astm | Protocol::Hl7, _) => true,
        (Protocol::BeckmanAu, "link") => {
            is_vendor_link || COMMON_LINK.contains(&key) || key == "receive_timeout_ms"
        }
        (Protocol::BeckmanAu, "answer") => ["form", "test", "negative"].contains(&key),
        // A host speaks when it is asked, and of the sample it was asked for.
        (Protocol::BeckmanAu, "download") => false,
        (Protocol::BeckmanAu, "device") => key != "sender",
        (Protocol::BeckmanAu, "text") => key != "from_message",
        (Protocol::BeckmanAu, "specimen") => key != "restart",
        (Protocol::BeckmanAu, "query") => ["id", "rack", "position"].contains(&key),
        (Protocol::BeckmanAu, _) => true,
    }
}
