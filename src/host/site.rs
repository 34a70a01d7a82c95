//! What a host is to Labwire, resolved once from the configuration.

use std::sync::Arc;

use jiff::{Timestamp, tz::TimeZone};
use labwire_protocols::charset::Charset;

use crate::config::{
    Catalogue, FieldPath, Host,
    choice::{AckMode, Extras, HostImages, Release, Reply, Unordered, Version},
};

use super::Permanence;

/// What all hosts share.
#[derive(Clone, Debug)]
pub struct Laboratory {
    /// The laboratory's tests; `None` where the site has no catalogue.
    pub catalogue: Option<Arc<Catalogue>>,
    /// The laboratory's zone: HL7 times without one are read in it, and written with its offset.
    pub zone: TimeZone,
    /// An order older than this is not matched by its barcode, microseconds.
    pub specimen_age_max: i64,
    /// Test ids that some device of the site can measure under that very name, without the
    /// catalogue knowing them; `None` means that any code may be one.
    pub measured: Option<Vec<String>>,
}

impl Laboratory {
    /// The tests that a service code means; empty when the laboratory does not offer it.
    pub fn tests_of(&self, host: &str, service: &str) -> Vec<String> {
        let known: Vec<String> = match &self.catalogue {
            Some(catalogue) => catalogue
                .expand(host, service)
                .iter()
                .map(|test| test.id.to_string())
                .collect(),
            None => Vec::new(),
        };
        if !known.is_empty() || service.is_empty() {
            return known;
        }
        let is_measured = match &self.measured {
            Some(measured) => measured.iter().any(|test| test == service),
            None => true,
        };
        if is_measured {
            vec![service.to_owned()]
        } else {
            Vec::new()
        }
    }

    /// An instant as HL7 writes it, with the laboratory's offset: `20260310150000+0700`.
    pub fn hl7_time(&self, micros: i64) -> String {
        match Timestamp::from_microsecond(micros) {
            Ok(instant) => instant
                .to_zoned(self.zone.clone())
                .strftime("%Y%m%d%H%M%S%z")
                .to_string(),
            Err(_) => String::new(),
        }
    }
}

/// One host, with everything that reading its orders and writing its results needs.
#[derive(Clone, Debug)]
pub struct HostSite {
    /// Its id.
    pub id: String,
    /// HL7 version of what it gets.
    pub version: Version,
    /// What answers an order.
    pub reply: Reply,
    /// What Labwire asks for in MSH-15 and MSH-16.
    pub ack: AckMode,
    /// Where the tube's barcode stands.
    pub barcode: FieldPath,
    /// Whether the site wrote that place down.
    pub barcode_is_written: bool,
    /// Where orders name the sending station, if the site says so.
    pub station: Option<FieldPath>,
    /// Character set of both directions, where a message does not say.
    pub charset: Charset,
    /// MSH-3, MSH-4, MSH-5, MSH-6 of what Labwire sends.
    pub parties: [String; 4],
    /// Which refusals are for good.
    pub permanence: Permanence,
    /// Whether results are released without a person.
    pub releases: bool,
    /// Whether a result without an order is posted.
    pub posts_unordered: bool,
    /// Whether tests nobody ordered are posted.
    pub posts_extras: bool,
    /// Whether it gets the pictures beside its results.
    pub gets_images: bool,
    /// The laboratory.
    pub laboratory: Laboratory,
}

impl HostSite {
    /// Resolves a `[[host]]`.
    pub fn new(host: &Host, laboratory: &Laboratory) -> Self {
        Self {
            id: host.id.to_string(),
            version: host.version,
            reply: host.reply,
            ack: host.ack,
            barcode: host.barcode_path(),
            barcode_is_written: host.barcode.is_some(),
            station: host.station.clone(),
            charset: Charset::from_label(&host.charset).unwrap_or(Charset::Utf8),
            parties: [
                host.sending_application.clone(),
                host.sending_facility.clone(),
                host.receiving_application.clone(),
                host.receiving_facility.clone(),
            ],
            permanence: Permanence::new(host.permanent.clone()),
            releases: *host.release == Release::Auto,
            posts_unordered: *host.unordered == Unordered::Post,
            posts_extras: host.extras == Extras::Post,
            gets_images: *host.images == HostImages::Ed,
            laboratory: laboratory.clone(),
        }
    }

    /// MSH-18 of what Labwire sends.
    pub fn charset_name(&self) -> &'static str {
        match (self.charset, self.version) {
            (Charset::Utf8, Version::V231 | Version::V24) => "UNICODE",
            (Charset::Utf8, _) => "UNICODE UTF-8",
            (Charset::Latin1, _) => "8859/1",
            (Charset::Ascii, _) => "ASCII",
            _ => "",
        }
    }
}
