//! `lab.toml`: the laboratory, its store, its hosts and its instruments.

use std::sync::Arc;

use jiff::tz::TimeZone;
use miette::NamedSource;

use super::{
    Seams,
    alerts::Alerts,
    choice::Verifiers,
    cross, guard,
    host::Host,
    instrument::Instrument,
    keeping::{Backup, Retention},
    problem::Problems,
    read::{At, File, Table},
    track::Track,
};
use crate::text::Language;

/// All of `lab.toml`.
#[derive(Clone, Debug)]
pub struct LabConfig {
    /// `[lab]`
    pub lab: Lab,
    /// `[store]`
    pub store: Store,
    /// `[console]`
    pub console: Console,
    /// `[alerts]`
    pub alerts: Alerts,
    /// `[backup]`
    pub backup: Backup,
    /// `[retention]`
    pub retention: Retention,
    /// `[[host]]`, in the order written.
    pub hosts: Vec<Host>,
    /// `[[instrument]]`, in the order written.
    pub instruments: Vec<Instrument>,
    /// `[[track]]`, in the order written.
    pub tracks: Vec<Track>,
    /// The file itself, to underline what is wrong.
    pub source: Arc<NamedSource<String>>,
}

/// `[lab]`: what holds for everything.
#[derive(Clone, Debug)]
pub struct Lab {
    /// Name of the laboratory, for people.
    pub name: String,
    /// File of the laboratory's tests, relative to `lab.toml`; none given means no tests.
    pub catalogue: Option<At<String>>,
    /// Directory of the site's own profiles, relative to `lab.toml`.
    pub profiles: Option<At<String>>,
    /// An order older than this many days is not matched by barcode.
    pub specimen_days: u32,
    /// IANA name of the zone of people and, unless they say otherwise, of devices.
    pub timezone: At<String>,
    /// The language of what technicians read.
    pub language: Language,
    /// How many verifiers release a result of blood transfusion.
    pub transfusion_release: Verifiers,
}

/// `[store]`: where everything is kept.
#[derive(Clone, Debug)]
pub struct Store {
    /// `sqlite:FILE`, relative to `lab.toml`, or `postgres://user@host/database`.
    pub url: At<String>,
}

/// `[console]`: the web pages of technicians.
#[derive(Clone, Debug)]
pub struct Console {
    /// `address:port` to listen on.
    pub listen: At<String>,
    /// Its certificate, PEM, relative to `lab.toml`; without one, a console that other machines reach
    /// makes one.
    pub certificate: Option<At<String>>,
    /// The private key of the certificate, PEM.
    pub key: Option<At<String>>,
    /// A critical value that nobody was told for so many minutes is escalated.
    pub call_within_min: At<u32>,
}

impl LabConfig {
    /// Reads `lab.toml` and checks everything that needs no other file.
    pub fn read(
        source: &Arc<NamedSource<String>>,
        seams: &Seams<'_>,
        problems: &mut Problems,
    ) -> Self {
        File::read(source, problems, |root| {
            let hosts = root.tables("host");
            let instruments = root.tables("instrument");
            let tracks = root.tables("track");
            let lab = Lab::read(root.table("lab").as_ref());
            let retention = root.table("retention");
            let config = Self {
                retention: Retention::read(retention.as_ref(), lab.specimen_days),
                lab,
                store: Store::read(root.table("store").as_ref()),
                console: Console::read(root.table("console").as_ref()),
                alerts: Alerts::read(root.table("alerts").as_ref()),
                backup: Backup::read(root.table("backup").as_ref()),
                hosts: hosts.iter().map(|table| Host::read(table, seams)).collect(),
                instruments: instruments
                    .iter()
                    .map(|one| Instrument::read(one, seams))
                    .collect(),
                tracks: tracks.iter().map(|one| Track::read(one, seams)).collect(),
                source: Arc::clone(source),
            };
            cross::check_lab(&config, seams, root.file());
            config
        })
    }

    /// The host of that id.
    pub fn host(&self, id: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| *host.id == id)
    }

    /// The instrument of that id.
    pub fn instrument(&self, id: &str) -> Option<&Instrument> {
        self.instruments
            .iter()
            .find(|instrument| *instrument.id == id)
    }

    /// The zone of an instrument's wall clock: its own, or the laboratory's.
    pub fn timezone_of(&self, instrument: &Instrument) -> TimeZone {
        self.zone_named(instrument.timezone.as_deref())
    }

    /// The zone of that name; without one, the laboratory's.
    pub fn zone_named(&self, name: Option<&String>) -> TimeZone {
        let name = name.unwrap_or(&self.lab.timezone);
        // A name that jiff does not know was refused by `check`; UTC is what remains.
        TimeZone::get(name).unwrap_or(TimeZone::UTC)
    }
}

const TIMEZONE: &str = "Asia/Ho_Chi_Minh";

impl Lab {
    fn read(table: Option<&Table<'_>>) -> Self {
        let Some(table) = table else {
            return Self::default();
        };
        Self {
            name: table.text_or("name", "").value,
            catalogue: table.text("catalogue"),
            profiles: table.text("profiles"),
            specimen_days: table.whole("specimen_days", 14, 1..=3650).value,
            timezone: timezone(table).unwrap_or_else(|| At::unwritten(TIMEZONE.to_owned())),
            language: table.choice("language").value,
            transfusion_release: table.choice("transfusion_release").value,
        }
    }

    /// The zone of people.
    pub fn zone(&self) -> TimeZone {
        // A name that jiff does not know was refused by `check`; UTC is what remains.
        TimeZone::get(&self.timezone).unwrap_or(TimeZone::UTC)
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self {
            name: String::new(),
            catalogue: None,
            profiles: None,
            specimen_days: 14,
            timezone: At::unwritten(TIMEZONE.to_owned()),
            language: Language::default(),
            transfusion_release: Verifiers::default(),
        }
    }
}

/// Reads `timezone`, which must be a name of the IANA time zone database.
pub(super) fn timezone(table: &Table<'_>) -> Option<At<String>> {
    let name = table.text("timezone")?;
    if TimeZone::get(&name).is_ok() {
        return Some(name);
    }
    let known: Vec<String> = jiff::tz::db()
        .available()
        .map(|zone| zone.to_string())
        .collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let help = match super::suggest::did_you_mean(&name, &known) {
        Some(zone) => format!("did you mean `{zone}`?"),
        None => format!("write a name of the IANA time zone database, such as `{TIMEZONE}`"),
    };
    let message = format!("unknown time zone `{}`", *name);
    table.file().error(
        "CONF-0205",
        name.span,
        message,
        "not in the time zone database",
        help,
    );
    None
}

impl Store {
    fn read(table: Option<&Table<'_>>) -> Self {
        let url = table.and_then(|table| table.text("url"));
        let Some(url) = url else {
            return Self::default();
        };
        let file = table.map(Table::file);
        if let Some(file) = file.filter(|_| !is_store(&url)) {
            file.error(
                "CONF-0211",
                url.span.clone(),
                "the store's `url` is of no kind that Labwire can open",
                "neither a file of SQLite nor a database of PostgreSQL",
                "write url = \"sqlite:labwire.db\", a file beside lab.toml or with its whole path, \
                 or url = \"postgres://user@host/database\"",
            );
        }
        if let Some(file) = file.filter(|_| holds_password(&url)) {
            file.warning(
                "CONF-0212",
                url.span.clone(),
                "the store's `url` holds a password",
                "anyone who reads this file has it",
                "leave it out here and set PGPASSFILE to a file that only Labwire reads",
            );
        }
        if let Some(file) = file.filter(|_| crosses_unproven(&url)) {
            file.warning(
                "CONF-0229",
                url.span.clone(),
                "nothing proves which server the store is on, nor that nobody reads on the way",
                "TLS is used only if the server offers it",
                "add ?sslmode=verify-full&sslrootcert=/etc/labwire/db-ca.pem to the url",
            );
        }
        Self { url }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: At::unwritten("sqlite:labwire.db".to_owned()),
        }
    }
}

/// Whether the store can be opened there: a file of SQLite, or a database of PostgreSQL.
fn is_store(url: &str) -> bool {
    let is_server = ["postgres://", "postgresql://"].into_iter().any(|scheme| {
        url.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    });
    is_server
        || url.strip_prefix("sqlite:").is_some_and(|path| {
            let path = path.strip_prefix("//").unwrap_or(path);
            !path.is_empty() && !path.starts_with(':')
        })
}

/// Whether a database is on another machine, and its URL asks for no proof of it.
fn crosses_unproven(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://").filter(|_| is_store(url)) else {
        return false;
    };
    let (authority, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    // A socket, or the address itself, may stand behind the question mark.
    let host = rest
        .split(['?', '&'])
        .find_map(|pair| pair.strip_prefix("host="))
        .unwrap_or(host);
    let is_near = ["", "localhost", "127.", "[::1]", "/", "%2F", "%2f"];
    let is_near = is_near.iter().any(|near| match *near {
        "" => host.is_empty() || host.starts_with(':'),
        near => host.starts_with(near),
    });
    let is_server = url.starts_with("postgres");
    let is_proven = ["sslmode=verify-full", "sslmode=verify-ca"];
    is_server && !is_near && !is_proven.iter().any(|proof| rest.contains(proof))
}

/// Whether a URL names a password before its host.
fn holds_password(url: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
}

impl Console {
    fn read(table: Option<&Table<'_>>) -> Self {
        let Some(table) = table else {
            return Self::default();
        };
        let (certificate, key) = (table.text("certificate"), table.text("key"));
        guard::check_pair(table, certificate.as_ref(), key.as_ref());
        let listen = table
            .text("listen")
            .map_or_else(|| Self::default().listen, |listen| checked(table, listen));
        Self {
            listen,
            certificate,
            key,
            call_within_min: table.whole("call_within_min", CALL_WITHIN_MIN, 1..=1440),
        }
    }

    /// `call_within_min` in microseconds.
    pub fn call_within(&self) -> i64 {
        i64::from(*self.call_within_min) * 60_000_000
    }
}

/// Half an hour: what most hospitals' rules for critical values allow.
const CALL_WITHIN_MIN: u32 = 30;

fn checked(table: &Table<'_>, listen: At<String>) -> At<String> {
    let port = listen
        .rsplit_once(':')
        .map(|(host, port)| (host, port.parse::<u16>()));
    let is_address = matches!(port, Some((host, Ok(_))) if !host.is_empty());
    if !is_address {
        table.file().error(
            "CONF-0203",
            listen.span.clone(),
            format!("the console cannot listen on `{}`", *listen),
            "not address:port",
            "write listen = \"127.0.0.1:8080\", or \"0.0.0.0:8443\" for other machines too",
        );
    }
    listen
}

impl Default for Console {
    fn default() -> Self {
        Self {
            listen: At::unwritten("127.0.0.1:8080".to_owned()),
            certificate: None,
            key: None,
            call_within_min: At::unwritten(CALL_WITHIN_MIN),
        }
    }
}

/// Reads an `id`: it becomes part of addresses, log lines and file names.
pub(super) fn id(table: &Table<'_>, example: &str) -> At<String> {
    let Some(id) = table.required_text("id", example) else {
        return At::default();
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if id.len() > ID_BYTES_MAX || !id.chars().all(is_plain) {
        table.file().error(
            "CONF-0108",
            id.span.clone(),
            format!("`{}` cannot be an id", *id),
            "ids stand in addresses and file names",
            format!("up to {ID_BYTES_MAX} letters without accents, digits, `-`, `_` or `.`"),
        );
    }
    id
}

/// Long enough for any site's names, short enough for a column of the console.
const ID_BYTES_MAX: usize = 40;
