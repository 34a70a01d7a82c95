//! Hosts as a laboratory meets them: a message in, replies out; orders in, results out. Everything
//! on a real store.

mod dump;
mod http;
mod images;
mod inbound;
mod results;
mod unit;

use std::sync::Arc;

use jiff::tz::TimeZone;
use labwire_protocols::{
    charset::Charset,
    wire::{Commit, Mono, Received},
};
use miette::NamedSource;
use rust_decimal::Decimal;

use crate::{
    config::{
        Catalogue, FieldPath, Problems,
        choice::{AckMode, Reply, Version},
    },
    model::{
        Comparator, Item, Observation, ObservationKind, PatientSeen, ResultStatus, SpecimenRead,
        Value, WallTime,
    },
    queue::{self, Backoff, LeaseTerms, Leased, Render, Verdict},
    settle::{self, SettleContext, SiteRules},
    store::{
        Clock, Db, JournalEntry, Store, StoreError, Turn,
        ground::{Ground, new_store},
    },
};

use super::{Heard, HostSite, Inbound, Laboratory, Permanence, ResultRenderer, hear};

/// 2026-03-10 15:00 at the laboratory, 08:00 UTC.
const MORNING: i64 = 1_773_129_600_000_000;
const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

const CATALOGUE: &str = r#"
[[test]]
id = "WBC"
name = { vi = "Bạch cầu", en = "White blood cells" }
section = "haematology"
unit = "10*9/L"
loinc = "6690-2"
his = "XN0001"

[[test]]
id = "HGB"
name = { vi = "Huyết sắc tố", en = "Haemoglobin" }
section = "haematology"
unit = "g/L"
loinc = "718-7"

[[test]]
id = "PLT"
name = { vi = "Tiểu cầu", en = "Platelets" }
section = "haematology"
unit = "10*9/L"

[[test]]
id = "TSH"
name = { vi = "TSH", en = "Thyrotropin" }
section = "biochemistry"
unit = "m[IU]/L"
loinc = "3016-3"

[[test]]
id = "HBSAG"
name = { vi = "HBsAg", en = "Hepatitis B surface antigen" }
section = "serology"

[[panel]]
id = "CBC"
name = { vi = "Công thức máu", en = "Blood count" }
tests = ["WBC", "HGB"]
"#;

#[derive(Debug, Default)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn mono(&self) -> Mono {
        Mono::default()
    }
    fn utc_micros(&self) -> i64 {
        MORNING
    }
}

struct Rules {
    extras: bool,
    unordered: bool,
}

impl SiteRules for Rules {
    fn releases_automatically(&self, _: &str) -> bool {
        true
    }
    fn posts_extras(&self, _: &str) -> bool {
        self.extras
    }
    fn posts_unordered(&self, _: &str) -> Option<String> {
        self.unordered.then(|| "his".to_owned())
    }
    fn is_transfusion(&self, _: &str, _: &str) -> bool {
        false
    }
}

/// A laboratory with one host and one instrument.
struct Bench {
    store: Store,
    site: HostSite,
    now: i64,
    count: u64,
    _ground: Box<dyn Ground>,
}

fn laboratory() -> Laboratory {
    let mut problems = Problems::default();
    let source = Arc::new(NamedSource::new("catalogue.toml", CATALOGUE.to_owned()));
    let catalogue = Catalogue::read(&source, &mut problems);
    let wrong = crate::config::render(&problems, false);
    assert!(!problems.has_errors(), "{wrong}");
    Laboratory {
        catalogue: Some(Arc::new(catalogue)),
        zone: TimeZone::fixed(jiff::tz::offset(7)),
        specimen_age_max: 14 * DAY,
        measured: Some(Vec::new()),
    }
}

fn site() -> HostSite {
    HostSite {
        id: "his".to_owned(),
        version: Version::V251,
        reply: Reply::Orl,
        ack: AckMode::Original,
        barcode: "SPM-2.1".parse().expect("a path"),
        barcode_is_written: false,
        station: None,
        charset: Charset::Utf8,
        parties: ["LABWIRE", "XN", "HIS", "BV01"].map(str::to_owned),
        permanence: Permanence::default(),
        releases: true,
        posts_unordered: false,
        posts_extras: false,
        gets_images: false,
        laboratory: laboratory(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut HostSite)) -> Self {
        let (store, ground) = new_store(Arc::new(StoppedClock));
        let mut site = site();
        change(&mut site);
        Self {
            store,
            site,
            now: MORNING,
            count: 0,
            _ground: ground,
        }
    }

    /// A host whose version has no SPM.
    fn old(version: Version, barcode: &str) -> Self {
        let barcode: FieldPath = barcode.parse().expect("a path");
        Self::with(|site| {
            site.version = version;
            site.barcode = barcode;
            site.barcode_is_written = true;
        })
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.store
            .transact_blocking(Turn::Canonical, work)
            .expect("the store works")
    }

    fn inbound(&mut self, raw: &[u8], is_complete: bool) -> Inbound {
        self.count += 1;
        let received = Received {
            session: self.count,
            bytes: raw.to_vec().into(),
            is_complete,
        };
        let entry = JournalEntry {
            line: "host:his".to_owned(),
            connection: 1,
            at: self.now,
            commit: Commit::Message(received),
        };
        Inbound {
            entry,
            reply_id: format!("R{}", self.count),
        }
    }

    fn hear(&mut self, raw: &[u8]) -> Heard {
        let inbound = self.inbound(raw, true);
        let site = self.site.clone();
        self.work(move |db| {
            let heard = hear(db, &site, &inbound)?;
            resume(db, &site, inbound.entry.at, &heard)?;
            Ok(heard)
        })
    }

    /// The replies to a message given with `\n` for CR, as text.
    fn replies(&mut self, message: &str) -> String {
        let heard = self.hear(message.replace('\n', "\r").as_bytes());
        shown(&heard.replies)
    }

    fn measure(&mut self, observations: Vec<Observation>) {
        let observations = observations.into_iter();
        let items = observations.map(|one| Item::Observation(Box::new(one)));
        self.say(items.collect());
    }

    /// The instrument says these in one message.
    fn say(&mut self, items: Vec<Item>) {
        let inbound = self.inbound(format!("device message {}", self.count).as_bytes(), true);
        let (site, now) = (self.site.clone(), self.now);
        self.work(move |db| {
            let rows = crate::store::journal::append(db, &[&inbound.entry])?;
            let rules = rules(&site);
            let context = SettleContext {
                message: rows[0].messages[0],
                line: "xn-1",
                received_at: now,
                now,
                specimen_age_max: 14 * DAY,
                digest_input: b"",
                site: &rules,
            };
            settle::settle(db, &context, &items)
        });
    }

    fn lease_with(
        &self,
        render: impl FnOnce(&mut dyn FnMut(&mut dyn Render)) + Send + 'static,
    ) -> Vec<Leased> {
        let now = self.now;
        self.work(move |db| {
            let terms = LeaseTerms {
                destination: "host:his",
                owner: "worker",
                now,
                until: now + MINUTE,
                count_max: 10,
                more_urgent_than: LeaseTerms::ANY_PRIORITY,
            };
            let mut leased = Ok(Vec::new());
            render(&mut |renderer| leased = queue::lease(db, &terms, renderer));
            leased
        })
    }

    fn lease(&self) -> Vec<Leased> {
        let (site, now) = (self.site.clone(), self.now);
        self.lease_with(move |with| {
            with(&mut ResultRenderer {
                site: &site,
                run: "RUN",
                now,
            });
        })
    }

    /// What the host gets now; it accepts everything.
    fn sent(&self) -> String {
        let leased = self.lease();
        self.accept(&leased);
        let bodies: Vec<Vec<u8>> = leased.into_iter().map(|row| row.body).collect();
        shown(&bodies)
    }

    fn accept(&self, leased: &[Leased]) {
        let (ids, now): (Vec<i64>, i64) = (leased.iter().map(|row| row.id).collect(), self.now);
        self.work(move |db| {
            let answer = "AA".to_owned();
            let verdict = Verdict::Accepted { answer };
            for id in ids {
                queue::settle_attempt(db, id, "worker", &verdict, Backoff::default(), now)?;
            }
            Ok(())
        });
    }
}

fn rules(site: &HostSite) -> Rules {
    Rules {
        extras: site.posts_extras,
        unordered: site.posts_unordered,
    }
}

fn resume(db: &mut dyn Db, site: &HostSite, now: i64, heard: &Heard) -> Result<(), StoreError> {
    let rules = rules(site);
    let context = SettleContext {
        message: 0,
        line: "",
        received_at: now,
        now,
        specimen_age_max: 14 * DAY,
        digest_input: b"",
        site: &rules,
    };
    for barcode in &heard.barcodes {
        settle::resume(db, &context, barcode)?;
    }
    Ok(())
}

/// Messages as text, a line a segment, `--` between messages.
fn shown(messages: &[Vec<u8>]) -> String {
    let texts: Vec<String> = messages
        .iter()
        .map(|bytes| {
            let text = String::from_utf8(bytes.clone()).expect("UTF-8");
            text.replace('\r', "\n")
        })
        .collect();
    texts.join("--\n")
}

const PID: &str = "PID|1||PID0098^^^BV01^PI~079091001234^^^VN^NI||TRẦN^BÌNH^THỊ||19911105|F";

fn oml(control_id: &str, body: &str) -> String {
    format!(
        "MSH|^~\\&|HIS|BV01|LABWIRE|XN|20260310145900+0700||OML^O21^OML_O21|{control_id}|P|2.5.1|||\
         |||UNICODE UTF-8\n{PID}\n{body}"
    )
}

/// A blood count on tube T1.
const CBC: &str = "ORC|NW|REQ1^HIS||REQ^HIS|||||20260310145800|||BS015^LÊ^AN\nTQ1|1||||||||S\n\
                   OBR|1|REQ1^HIS||CBC^Công thức máu^L|||20260310143000\n\
                   SPM|1|T1&HIS||EDTA^EDTA blood^HL70487|||||||P||||||20260310143000\n";
/// TSH on the same tube.
const TSH: &str = "ORC|NW|REQ2^HIS||REQ^HIS\nOBR|2|REQ2^HIS||TSH^TSH^L\n\
                   SPM|1|T1&HIS||EDTA^EDTA blood^HL70487\n";

fn quantity(test: &str, text: &str) -> Observation {
    let (comparator, number) = match text.strip_prefix('<') {
        Some(number) => (Some(Comparator::Less), number),
        None => (None, text),
    };
    let number = number
        .replace(',', ".")
        .parse::<Decimal>()
        .expect("a number");
    observation(test, text, Value::Quantity { comparator, number })
}

fn words(test: &str, words: &str) -> Observation {
    let text = words.to_owned();
    observation(test, words, Value::Text { text })
}

fn observation(test: &str, text: &str, value: Value) -> Observation {
    Observation {
        kind: ObservationKind::Patient,
        specimen: Some(SpecimenRead {
            sent: "T1".to_owned(),
            id: "T1".to_owned(),
            rack: String::new(),
            position: String::new(),
        }),
        patient: PatientSeen::default(),
        code: test.to_owned(),
        qualifiers: Vec::new(),
        about: None,
        test: Some(test.to_owned()),
        text: text.to_owned(),
        value,
        unit: String::new(),
        ucum: None,
        range: String::new(),
        flags: Vec::new(),
        status: ResultStatus::Final,
        status_sent: "F".to_owned(),
        run: None,
        dilution: None,
        operator: String::new(),
        instrument: String::new(),
        completed: Some(WallTime {
            sent: "20260310145500".to_owned(),
            utc: Some(MORNING - 5 * MINUTE),
        }),
        comments: Vec::new(),
        control: None,
        lot: None,
        level: None,
        supersedes: false,
        span: 0..0,
        holds: Vec::new(),
        notes: Vec::new(),
    }
}

/// As an analyzer sends it, with all that belongs to it.
fn full(test: &str, text: &str, ucum: &str) -> Observation {
    Observation {
        unit: ucum.to_owned(),
        ucum: Some(ucum.to_owned()),
        range: "4.0-10.0".to_owned(),
        flags: vec!["H".to_owned()],
        operator: "BS020^PHẠM".to_owned(),
        instrument: "XN-10".to_owned(),
        ..quantity(test, text)
    }
}
