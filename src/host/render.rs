//! ORU^R01 for one tube: the order's patient, each ordered item that has a result to tell, the
//! values exactly as the analyzer sent them.

use labwire_protocols::hl7::build::{Header, MessageBuilder, Name, SegmentWriter};

use crate::{
    book::{BookItem, Fields},
    config::choice::{AckMode, Choice as _, Version},
    queue::{Pending, Render, Rendered},
    store::{Db, StoreError},
};

use super::{
    HostSite, obx,
    report::{BROKEN, NULL, Part, Reading, Report},
};

/// Renders result messages for one host that speaks HL7.
#[derive(Debug)]
pub struct ResultRenderer<'a> {
    /// The host.
    pub site: &'a HostSite,
    /// Makes control ids unique: the same for one run of the program, never used by another.
    pub run: &'a str,
    /// Now, microseconds UTC.
    pub now: i64,
}

impl Render for ResultRenderer<'_> {
    fn render(
        &mut self,
        db: &mut dyn Db,
        pending: &[Pending],
    ) -> Result<Vec<Rendered>, StoreError> {
        let reports = Report::read_all(db, self.site, pending, self.now)?;
        let rows = pending.iter().zip(reports);
        let rendered = rows.map(|(row, report)| match report {
            Reading::Report(report) => self.rendered(row, &report),
            Reading::Nothing => Rendered::Nothing,
            Reading::Broken => Rendered::Impossible(BROKEN.to_owned()),
        });
        Ok(rendered.collect())
    }
}

impl ResultRenderer<'_> {
    fn rendered(&self, row: &Pending, report: &Report<'_>) -> Rendered {
        let control_id = format!("{}-{}", self.run, row.id);
        // What cannot be written is set aside: it must not hold up the next patient's.
        let text = match report.message(&control_id) {
            Ok(text) => text,
            Err(error) => {
                return Rendered::Impossible(format!(
                    "{error}: tell the ward by hand, then discard this"
                ));
            }
        };
        match self.site.charset.encode(&text) {
            Ok(body) => Rendered::Message { control_id, body },
            Err(_) => Rendered::Impossible(
                "a character of this message does not exist in the host's character set: set \
                 charset = \"utf-8\" for this host, or correct the order"
                    .to_owned(),
            ),
        }
    }
}

type Built = Result<String, labwire_protocols::hl7::build::BuildError>;

impl Report<'_> {
    fn message(&self, control_id: &str) -> Built {
        let mut message = MessageBuilder::new(&self.header(control_id));
        message.push(self.pid());
        for (index, part) in self.parts().iter().enumerate() {
            self.push_part(&mut message, index + 1, part);
        }
        message.finish()
    }

    fn header<'h>(&'h self, control_id: &'h str) -> Header<'h> {
        let [application, facility, to_application, to_facility] = &self.site.parties;
        let (accept_ack, application_ack) = match self.site.ack {
            AckMode::Original => ("", ""),
            AckMode::Enhanced => ("AL", "NE"),
        };
        Header {
            sending_application: application,
            sending_facility: facility,
            receiving_application: to_application,
            receiving_facility: to_facility,
            time: &self.time,
            message_type: "ORU",
            trigger: "R01",
            structure: "ORU_R01",
            control_id,
            processing_id: "P",
            version: self.site.version.word(),
            accept_ack,
            application_ack,
            charset: self.site.charset_name(),
            ..Header::default()
        }
    }

    /// The patient as ordered, never as the analyzer has it.
    fn pid(&self) -> SegmentWriter {
        let fields = self.patient.fields.expose();
        let last = match self.site.version {
            Version::V231 => 30,
            Version::V24 => 38,
            Version::V251 | Version::V26 => 39,
        };
        let pid = SegmentWriter::new(Name::PID).text(1, "1");
        let mut pid = copy(pid, fields, |n| (2..=last).contains(&n));
        // Both are required. Old senders put the number in PID-2; a name nobody told is of name
        // type "unspecified" (table 0200).
        if pid.value(3).is_empty() {
            let number = pid.value(2).to_owned();
            pid = pid.encoded(3, &number);
        }
        if pid.value(5).is_empty() {
            pid = pid.components(5, &["", "", "", "", "", "", "U"]);
        }
        pid
    }

    fn push_part(&self, message: &mut MessageBuilder, set: usize, part: &Part<'_>) {
        let filler = SegmentWriter::new(Name::OBR)
            .components(3, &[&Self::filler(part), &self.site.parties[0]]);
        let filler = filler.value(3);
        if let Some(item) = part.item {
            let status = if part.is_complete { "CM" } else { "A" };
            let orc = SegmentWriter::new(Name::ORC)
                .text(1, "RE")
                .encoded(2, &number(item, 2))
                .encoded(3, filler)
                .text(5, status);
            let orc = copy(orc, &item.orc, |n| matches!(n, 4 | 12));
            message.push(self.with_barcode(Name::ORC, orc, &item.orc));
        }
        message.push(self.obr(set, part, filler));
        let ordered = self.ordered_code(part.item);
        let news = part.results.iter().filter(|told| !told.is_known);
        let mut set = 0;
        for told in news {
            set += 1;
            let code = obx::Code::of(self.site, told, ordered.clone());
            obx::push(message, self.site, set, told, &code);
        }
        for (index, picture) in part.pictures.iter().enumerate() {
            obx::push_picture(message, self.site, set + index + 1, (index + 1, picture));
        }
        self.push_spm(message);
    }

    fn obr(&self, set: usize, part: &Part<'_>, filler: &str) -> SegmentWriter {
        let obr = SegmentWriter::new(Name::OBR)
            .text(1, &set.to_string())
            .encoded(3, filler)
            .encoded(22, &self.time)
            .text(25, part.status());
        let none = Fields::new();
        let (mut obr, fields) = match (part.item, part.results.first()) {
            (Some(item), _) => {
                // As ordered: the service, its times, the volume, the physician, the HIS's fields.
                let echoed = |n: u16| matches!(n, 4 | 6..=10 | 13 | 15..=19 | 28 | 31);
                let obr = obr.encoded(2, &number(item, 2));
                (copy(obr, &item.obr, echoed), &item.obr)
            }
            (None, Some(told)) => {
                let code = obx::Code::of(self.site, told, None);
                (obr.components(4, &code.own()), &none)
            }
            (None, None) => (obr, &none),
        };
        if obr.value(7).is_empty()
            && let Some(collected) = self.tube.collected_at
        {
            obr = obr.encoded(7, &self.site.laboratory.hl7_time(collected));
        }
        self.with_barcode(Name::OBR, obr, fields)
    }

    /// Before 2.5 there is no SPM, so the barcode stands where the site says; the rest of that
    /// field is as ordered.
    fn with_barcode(&self, name: Name, segment: SegmentWriter, ordered: &Fields) -> SegmentWriter {
        let path = &self.site.barcode;
        let is_here = Name::new(&path.segment) == Some(name);
        if !is_here || self.site.version.has_spm() && !self.site.barcode_is_written {
            return segment;
        }
        let n = usize::from(path.field);
        let segment = segment.encoded(n, ordered.get(&path.field).map_or("", String::as_str));
        let before = path
            .subcomponent
            .map_or(0, |n| usize::from(n).saturating_sub(1));
        let mut parts = vec![""; before];
        parts.push(&self.tube.barcode);
        segment.subcomponents(n, path.component.map_or(1, usize::from), &parts)
    }

    fn push_spm(&self, message: &mut MessageBuilder) {
        if !self.site.version.has_spm() {
            return;
        }
        let fields = &self.tube.fields;
        let spm = SegmentWriter::new(Name::SPM).text(1, "1");
        let spm = copy(spm, fields, |n| matches!(n, 3 | 5..=LAST_SPM));
        // As ordered where the order named the tube there; SPM-2 is the barcode in any case.
        let is_named = self.site.barcode.segment == "SPM" && fields.contains_key(&2);
        let spm = match fields.get(&2).filter(|_| is_named) {
            Some(id) => spm.encoded(2, id),
            None => spm.text(2, &self.tube.barcode),
        };
        message.push(match fields.get(&4).filter(|kind| *kind != NULL) {
            Some(kind) => spm.encoded(4, kind),
            // SPM-4 is required; table 0353 has a code for what is not known.
            None => spm.components(4, &["U", "unknown", "HL70353"]),
        });
    }
}

/// The last field of SPM.
const LAST_SPM: u16 = 29;

/// OBR-2 or ORC-2 as ordered, in full.
pub(super) fn number(item: &BookItem, n: u16) -> String {
    let of = |fields: &Fields| fields.get(&n).cloned().filter(|text| !text.is_empty());
    of(&item.orc).or_else(|| of(&item.obr)).unwrap_or_default()
}

/// Copies ordered fields into a segment.
fn copy(segment: SegmentWriter, fields: &Fields, wanted: impl Fn(u16) -> bool) -> SegmentWriter {
    fields
        .iter()
        .filter(|(n, text)| wanted(**n) && *text != NULL)
        .fold(segment, |segment, (n, text)| {
            segment.encoded(usize::from(*n), text)
        })
}
