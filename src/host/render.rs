//! ORU^R01 for one tube: the order's patient, each ordered item that has a result to tell, the
//! values exactly as the analyzer sent them.

use labwire_protocols::hl7::build::{Header, MessageBuilder, Name, SegmentWriter};

use crate::{
    book::{self, BookItem, BookPatient, BookSpecimen, Fields},
    config::{
        FieldPath,
        choice::{AckMode, Choice as _, Version},
    },
    model::{OrderStatus, ResultState},
    queue::{Pending, Render, Rendered},
    settle::{self, StoredResult},
    store::{Db, StoreError},
};

use super::{HostSite, obx};

/// Renders result messages for one host.
#[derive(Debug)]
pub struct ResultRenderer<'a> {
    /// The host.
    pub site: &'a HostSite,
    /// Makes control ids unique: the same for one run of the program, never used by another.
    pub run: &'a str,
    /// Now, microseconds UTC.
    pub now: i64,
}

/// Everything that one message tells.
struct Report<'a> {
    site: &'a HostSite,
    time: String,
    tube: BookSpecimen,
    patient: BookPatient,
    items: Vec<BookItem>,
    results: Vec<Told>,
    /// Tests of the tube that have a released result, told now or before.
    done: Vec<String>,
}

/// A result version to tell.
pub(super) struct Told {
    pub(super) stored: StoredResult,
    /// The host has, or may have, an earlier version.
    pub(super) is_correction: bool,
}

impl Render for ResultRenderer<'_> {
    fn render(&mut self, db: &mut dyn Db, pending: &Pending) -> Result<Rendered, StoreError> {
        let mut results = Vec::new();
        for id in &pending.results {
            let stored = settle::result_by_id(db, *id)?
                .ok_or_else(|| StoreError::value("a queued result is not stored"))?;
            if stored.state == ResultState::Released {
                let is_correction = settle::was_told(db, &stored)?;
                results.push(Told {
                    stored,
                    is_correction,
                });
            }
        }
        if results.is_empty() {
            return Ok(Rendered::Nothing);
        }
        let tube = book::specimen_by_id(db, pending.specimen)?;
        let report = Report {
            site: self.site,
            time: self.site.laboratory.hl7_time(self.now),
            patient: book::patient_of(db, tube.patient)?,
            items: book::open_items(db, tube.id)?,
            done: settle::released_tests(db, tube.id)?,
            tube,
            results,
        };
        let control_id = format!("{}-{}", self.run, pending.id);
        let text = report.message(&control_id);
        let text = text.map_err(|error| StoreError::value(error.to_string()))?;
        match self.site.charset.encode(&text) {
            Ok(body) => Ok(Rendered::Message { control_id, body }),
            Err(_) => Ok(Rendered::Impossible(
                "a character of this message does not exist in the host's character set: set \
                 charset = \"utf-8\" for this host, or correct the order"
                    .to_owned(),
            )),
        }
    }
}

type Built = Result<String, labwire_protocols::hl7::build::BuildError>;

impl Report<'_> {
    fn message(&self, control_id: &str) -> Built {
        let mut message = MessageBuilder::new(&self.header(control_id));
        message.push(self.pid());
        let mut set = 0;
        let mut told = vec![false; self.results.len()];
        for item in self
            .items
            .iter()
            .filter(|item| item.status != OrderStatus::Cancelled)
        {
            let own: Vec<&Told> = self
                .results
                .iter()
                .zip(&mut told)
                .filter_map(|(result, told)| {
                    let test = result.stored.observation.test.as_deref()?;
                    let is_own = item.tests.iter().any(|asked| asked == test);
                    *told |= is_own;
                    is_own.then_some(result)
                })
                .collect();
            if !own.is_empty() {
                set += 1;
                self.push_item(&mut message, set, item, &own);
            }
        }
        for (result, _) in self.results.iter().zip(&told).filter(|(_, told)| !**told) {
            set += 1;
            self.push_extra(&mut message, set, result);
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
        let pid = SegmentWriter::new(Name::PID).text(1, "1");
        copy(pid, self.patient.fields.expose(), |_| true)
    }

    fn push_item(
        &self,
        message: &mut MessageBuilder,
        set: usize,
        item: &BookItem,
        results: &[&Told],
    ) {
        let placer = number(item, 2);
        let filler = format!("{}^{}", item.filler, self.site.parties[0]);
        let is_complete = item.tests.iter().all(|test| self.done.contains(test));
        let status = if is_complete { "CM" } else { "A" };
        let mut orc = SegmentWriter::new(Name::ORC)
            .text(1, "RE")
            .encoded(2, &placer)
            .encoded(3, &filler)
            .encoded(4, item.orc.get(&4).map_or("", String::as_str))
            .text(5, status);
        if let Some(provider) = item.orc.get(&12) {
            orc = orc.encoded(12, provider);
        }
        message.push(orc);
        let is_correction = results.iter().any(|told| told.is_correction);
        let status = match (is_correction, is_complete) {
            (true, _) => "C",
            (false, true) => "F",
            (false, false) => "A",
        };
        message.push(self.obr(set, item, &placer, &filler, status));
        for (index, told) in results.iter().enumerate() {
            let code = self.ordered_code(item, told);
            obx::push(message, self.site, index + 1, told, &code);
        }
        self.push_spm(message);
    }

    fn obr(
        &self,
        set: usize,
        item: &BookItem,
        placer: &str,
        filler: &str,
        status: &str,
    ) -> SegmentWriter {
        let obr = SegmentWriter::new(Name::OBR)
            .text(1, &set.to_string())
            .encoded(2, placer)
            .encoded(3, filler)
            .encoded(22, &self.time)
            .text(25, status);
        // As ordered: the service, its times, the volume, the physician, the HIS's own fields.
        let echoed = |n: u16| matches!(n, 4 | 6..=10 | 13 | 15..=19 | 28 | 31);
        self.with_barcode(copy(obr, &item.obr, echoed))
    }

    /// Before 2.5 there is no SPM, so the barcode stands where the site says.
    fn with_barcode(&self, obr: SegmentWriter) -> SegmentWriter {
        let FieldPath {
            segment,
            field,
            component,
            ..
        } = &self.site.barcode;
        if segment != "OBR" || self.site.version.has_spm() && !self.site.barcode_is_written {
            return obr;
        }
        let place = component.map_or(0, |component| usize::from(component).saturating_sub(1));
        let mut parts = vec![""; place];
        parts.push(&self.tube.barcode);
        obr.components(usize::from(*field), &parts)
    }

    /// A result that nobody ordered, on a tube that has orders or was named by its analyzer.
    fn push_extra(&self, message: &mut MessageBuilder, set: usize, told: &Told) {
        let code = obx::Code::of(self.site, told);
        let filler = format!("LWR{}^{}", told.stored.id, self.site.parties[0]);
        let status = if told.is_correction { "C" } else { "F" };
        let obr = SegmentWriter::new(Name::OBR)
            .text(1, &set.to_string())
            .encoded(3, &filler)
            .components(4, &[&code.id, &code.text, &code.system])
            .encoded(22, &self.time)
            .text(25, status);
        message.push(self.with_barcode(obr));
        obx::push(message, self.site, 1, told, &code);
        self.push_spm(message);
    }

    fn push_spm(&self, message: &mut MessageBuilder) {
        if matches!(self.site.version, Version::V231 | Version::V24) {
            return;
        }
        let mut spm = SegmentWriter::new(Name::SPM).text(1, "1");
        spm = copy(spm, &self.tube.fields, |n| !matches!(n, 2 | 4));
        spm = match self.tube.fields.get(&2) {
            Some(id) => spm.encoded(2, id),
            None => spm.text(2, &self.tube.barcode),
        };
        spm = match self.tube.fields.get(&4) {
            Some(kind) => spm.encoded(4, kind),
            // SPM-4 is required; table 0353 has a code for what is not known.
            None => spm.components(4, &["U", "unknown", "HL70353"]),
        };
        message.push(spm);
    }

    /// The code as ordered: the item's own for a single test, the host's code for a test of a
    /// panel.
    fn ordered_code(&self, item: &BookItem, told: &Told) -> obx::Code {
        let mut code = obx::Code::of(self.site, told);
        let is_single = item.tests.len() == 1;
        if is_single && let Some(service) = item.obr.get(&4) {
            let mut parts = service.split('~').next().unwrap_or_default().split('^');
            let mut part = || {
                let text = parts.next().unwrap_or_default();
                let plain = SegmentWriter::new(Name::OBR).encoded(4, text);
                plain.value(4).to_owned()
            };
            let (id, text, system) = (part(), part(), part());
            if !id.is_empty() {
                code.ordered = Some([id, text, system]);
            }
        }
        code
    }
}

/// OBR-2 or ORC-2 as ordered, in full.
fn number(item: &BookItem, n: u16) -> String {
    let of = |fields: &Fields| fields.get(&n).cloned().filter(|text| !text.is_empty());
    of(&item.orc).or_else(|| of(&item.obr)).unwrap_or_default()
}

/// Copies ordered fields into a segment.
fn copy(segment: SegmentWriter, fields: &Fields, wanted: impl Fn(u16) -> bool) -> SegmentWriter {
    fields
        .iter()
        .filter(|(n, _)| wanted(**n))
        .fold(segment, |segment, (n, text)| {
            segment.encoded(usize::from(*n), text)
        })
}
