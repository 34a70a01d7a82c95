//! `[[host]]`: a HIS or an LIS.

use std::{fmt, str::FromStr};

use super::{
    Seams,
    choice::{AckMode, Extras, HostImages, HostKind, Release, Reply, Unordered, Version},
    endpoint::EndpointKind,
    guard::Guard,
    lab,
    read::{At, Table},
    secret,
};

/// One HIS or LIS.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name in this file and everywhere.
    pub id: At<String>,
    /// MLLP or HTTP.
    pub kind: HostKind,
    /// Where orders come from: `mllp-listen://…`, or what is fetched by GET.
    pub orders: Option<At<String>>,
    /// Where results go: `mllp://…`, or what they are posted to.
    pub results: Option<At<String>>,
    /// HL7 version of what Labwire sends.
    pub version: Version,
    /// Whether a result that nothing holds is posted.
    pub release: At<Release>,
    /// What happens to a result without an order.
    pub unordered: At<Unordered>,
    /// What happens to a test that nobody ordered.
    pub extras: Extras,
    /// Whether it gets pictures.
    pub images: At<HostImages>,
    /// What answers an order.
    pub reply: Reply,
    /// What Labwire asks for in MSH-15 and MSH-16.
    pub ack: AckMode,
    /// Where the tube's barcode stands in orders and results, if the site says so.
    pub barcode: Option<At<FieldPath>>,
    /// Where an order names the station that sends the tube, if the site says so.
    pub station: Option<FieldPath>,
    /// Acknowledgement codes (AE, AR, CE, CR) and error codes (table 0357) that mean "never send
    /// this again"; given, they take the place of the built-in rule.
    pub permanent: Option<Vec<String>>,
    /// Character set of what it sends and gets.
    pub charset: At<String>,
    /// Result messages in flight at once, each on its own connection.
    pub connections: u32,
    /// MSH-3 of what Labwire sends.
    pub sending_application: String,
    /// MSH-4 of what Labwire sends.
    pub sending_facility: String,
    /// MSH-5 of what Labwire sends.
    pub receiving_application: String,
    /// MSH-6 of what Labwire sends.
    pub receiving_facility: String,
    /// How long an answer may take.
    pub reply_timeout_s: u32,
    /// The wait after the first failure; it doubles from there.
    pub retry_first_s: u32,
    /// The longest wait between two tries.
    pub retry_longest_s: u32,
    /// So many refusals in a row are shown as needing a human.
    pub refusals_shown: u32,
    /// How often orders are fetched over HTTP.
    pub poll_s: u32,
    /// TLS, and who may connect.
    pub guard: Guard,
}

impl Host {
    pub(super) fn read(table: &Table<'_>, seams: &Seams<'_>) -> Self {
        let kind = table.choice("kind").value;
        let version: At<Version> = table.choice("version");
        let id = lab::id(table, "his");
        let orders = address(table, "orders", kind, seams);
        let results = address(table, "results", kind, seams);
        let host = Self {
            id,
            kind,
            guard: Guard::read(table, &[orders.as_ref(), results.as_ref()], seams),
            orders,
            results,
            barcode: barcode(table, &version),
            station: station(table),
            version: version.value,
            release: table.choice("release"),
            unordered: table.choice("unordered"),
            extras: table.choice("extras").value,
            images: images(table, kind),
            reply: table.choice("reply").value,
            ack: table.choice("ack").value,
            permanent: permanent(table),
            charset: charset(table, seams).unwrap_or_else(|| At::unwritten("UTF-8".to_owned())),
            connections: table.whole("connections", 1, 1..=64).value,
            sending_application: table.text_or("sending_application", "LABWIRE").value,
            sending_facility: table.text_or("sending_facility", "").value,
            receiving_application: table.text_or("receiving_application", "").value,
            receiving_facility: table.text_or("receiving_facility", "").value,
            reply_timeout_s: table.whole("reply_timeout_s", 30, 1..=600).value,
            retry_first_s: table.whole("retry_first_s", 1, 1..=30).value,
            retry_longest_s: table.whole("retry_longest_s", 30, 1..=30).value,
            refusals_shown: table.whole("refusals_shown", 10, 1..=1000).value,
            poll_s: table.whole("poll_s", 5, 1..=3600).value,
        };
        if host.orders.is_none() && host.results.is_none() {
            table.missing("results", "mllp://127.0.0.1:2576");
        }
        host
    }

    /// Where the tube's barcode stands: as the site says, else SPM-2.1 where there is an SPM, else
    /// OBR-3.1.
    pub fn barcode_path(&self) -> FieldPath {
        match &self.barcode {
            Some(path) => path.value.clone(),
            None => FieldPath::default_for(self.version),
        }
    }
}

/// Pictures go into HL7 alone: the JSON of hosts over HTTP has no place for them.
fn images(table: &Table<'_>, kind: HostKind) -> At<HostImages> {
    let images: At<HostImages> = table.choice("images");
    if *images == HostImages::Ed && kind == HostKind::Http {
        table.file().error(
            "CONF-0240",
            images.span.clone(),
            "a host over HTTP gets no pictures",
            "they are HL7's",
            "leave `images` out; the console shows them",
        );
    }
    images
}

/// A field of an HL7 message: `OBR-3`, `OBR-3.1`, `SPM-2.1.1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    /// Segment name.
    pub segment: String,
    /// Field, from 1.
    pub field: u16,
    /// Component, from 1; `None` is the whole field.
    pub component: Option<u16>,
    /// Subcomponent, from 1; `None` is the whole component.
    pub subcomponent: Option<u16>,
}

impl FieldPath {
    fn default_for(version: Version) -> Self {
        let (segment, field) = if version.has_spm() {
            ("SPM", 2)
        } else {
            ("OBR", 3)
        };
        Self {
            segment: segment.to_owned(),
            field,
            component: Some(1),
            subcomponent: None,
        }
    }
}

impl FromStr for FieldPath {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (segment, places) = text.split_once('-').ok_or(())?;
        let is_letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit();
        if segment.len() != 3 || !segment.chars().all(is_letter) {
            return Err(());
        }
        let numbers: Vec<u16> = places
            .split('.')
            .map(|place| place.parse().ok().filter(|number| *number > 0))
            .collect::<Option<_>>()
            .ok_or(())?;
        let [field, rest @ ..] = numbers.as_slice() else {
            return Err(());
        };
        let (component, subcomponent) = match rest {
            [] => (None, None),
            [component] => (Some(*component), None),
            [component, subcomponent] => (Some(*component), Some(*subcomponent)),
            _ => return Err(()),
        };
        Ok(Self {
            segment: segment.to_owned(),
            field: *field,
            component,
            subcomponent,
        })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.segment, self.field)?;
        for place in [self.component, self.subcomponent].into_iter().flatten() {
            write!(f, ".{place}")?;
        }
        Ok(())
    }
}

fn barcode(table: &Table<'_>, version: &At<Version>) -> Option<At<FieldPath>> {
    let Some(text) = table.text("barcode") else {
        if !version.has_spm() {
            table.file().warning(
                "CONF-0209",
                version.span.clone(),
                "this version has no SPM, and `barcode` does not say where tubes are named",
                "OBR-3.1 is taken",
                "ask the HIS vendor and write it down, such as barcode = \"OBR-3.1\"",
            );
        }
        return None;
    };
    match text.parse() {
        Ok(path) => Some(At::new(path, text.span)),
        Err(()) => {
            table.file().error(
                "CONF-0108",
                text.span.clone(),
                format!("`{}` names no field", *text),
                "not SEGMENT-field.component",
                "write the place as barcode = \"OBR-3.1\", \"OBR-18\", \"OBR-20\" or \"SPM-2.1\"",
            );
            None
        }
    }
}

fn station(table: &Table<'_>) -> Option<FieldPath> {
    let text = table.text("station")?;
    let path = text.parse().ok();
    if path.is_none() {
        table.file().error(
            "CONF-0108",
            text.span.clone(),
            format!("`{}` names no field", *text),
            "not SEGMENT-field.component",
            "write the place as station = \"PV1-3.1\", \"ORC-13.1\" or \"OBR-18\"",
        );
    }
    path
}

fn permanent(table: &Table<'_>) -> Option<Vec<String>> {
    let codes = table.texts("permanent")?;
    let is_code = |code: &str| {
        matches!(code, "AE" | "AR" | "CE" | "CR")
            || (code.len() == 3 && code.chars().all(|c| c.is_ascii_digit()))
    };
    for code in codes.iter().filter(|code| !is_code(code)) {
        table.file().error(
            "CONF-0108",
            code.span.clone(),
            format!("`{}` is no acknowledgement or error code", **code),
            "not in tables 0008 and 0357",
            "write acknowledgement codes (\"AR\", \"CR\") or error codes (\"204\") in a list",
        );
    }
    Some(codes.into_iter().map(|code| code.value).collect())
}

/// Reads `charset`, which must be one that Labwire decodes.
pub(super) fn charset(table: &Table<'_>, seams: &Seams<'_>) -> Option<At<String>> {
    let name = table.text("charset")?;
    if !(seams.charset)(&name) {
        table.file().error(
            "CONF-0213",
            name.span.clone(),
            format!("unknown character set `{}`", *name),
            "no such character set",
            "write one such as \"utf-8\", \"iso-8859-1\" or \"windows-1258\"",
        );
    }
    Some(name)
}

fn address(
    table: &Table<'_>,
    key: &'static str,
    kind: HostKind,
    seams: &Seams<'_>,
) -> Option<At<String>> {
    let text = table.text(key)?;
    let wrong = match kind {
        HostKind::Http => wrong_url(&text, key),
        HostKind::Mllp => wrong_endpoint(&text, key, seams),
    };
    if let Some(help) = wrong {
        let message = format!("`{key}` is no address: `{}`", *text);
        table.file().error(
            "CONF-0203",
            text.span.clone(),
            message,
            "cannot be used",
            help,
        );
    }
    no_secret(table, &text, key);
    Some(text)
}

/// Labwire shows no password to a host, so one in an address would only be read by others.
pub(super) fn no_secret(table: &Table<'_>, text: &At<String>, key: &str) {
    if secret::is_in(text) {
        table.file().error(
            "CONF-0247",
            text.span.clone(),
            format!("`{key}` holds a password"),
            "anyone who reads this file has it",
            format!(
                "leave it out; a host knows Labwire by its address, or over https:// by the file that \
                 `certificate` of this table names: {key} = \"https://host/path\""
            ),
        );
    }
}

fn wrong_url(text: &str, key: &str) -> Option<String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    let is_url = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    (!is_url).then(|| {
        format!("kind = \"http\" wants {key} = \"https://host/path\" or \"http://host:port/path\"")
    })
}

fn wrong_endpoint(text: &str, key: &str, seams: &Seams<'_>) -> Option<String> {
    if text.starts_with("http://") || text.starts_with("https://") {
        return Some("add kind = \"http\" to this host, or write an mllp:// address".to_owned());
    }
    match (seams.endpoint)(text) {
        Err(help) => Some(help),
        Ok(endpoint) if endpoint.is_mllp => None,
        Ok(endpoint) => {
            let scheme = match (endpoint.kind, endpoint.is_tls) {
                (EndpointKind::Connect, false) => "mllp",
                (EndpointKind::Connect, true) => "mllps",
                (EndpointKind::Listen, true) => "mllps-listen",
                (EndpointKind::Listen, false) | (EndpointKind::Serial, _) => "mllp-listen",
            };
            Some(format!(
                "a host speaks HL7: write {key} = \"{scheme}://127.0.0.1:2575\""
            ))
        }
    }
}
