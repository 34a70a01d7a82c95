//! One laboratory, on a store of its own: every input works in one transaction, which is undone.

use std::sync::{Arc, OnceLock, mpsc};

use jiff::tz::TimeZone;
use labwire::{
    config::{
        Catalogue, Problems,
        choice::{AckMode, Reply, Version},
    },
    host::{self, HostSite, Inbound, Laboratory, Permanence},
    store::{Clock, Db, JournalEntry, Store, StoreError, StoreOptions, Turn},
};
use labwire_protocols::{
    charset::Charset,
    wire::{Commit, Mono, Received},
};
use miette::NamedSource;

/// 2026-03-10 08:00 UTC.
pub(crate) const MORNING: i64 = 1_773_129_600_000_000;
pub(crate) const MINUTE: i64 = 60_000_000;

const CATALOGUE: &str = r#"
[[test]]
id = "WBC"
name = { vi = "Bạch cầu", en = "White blood cells" }
section = "haematology"
unit = "10*9/L"
his = "XN0001"

[[test]]
id = "HGB"
name = { vi = "Huyết sắc tố", en = "Haemoglobin" }
section = "haematology"
unit = "g/L"

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

pub(crate) fn catalogue() -> Arc<Catalogue> {
    static READ: OnceLock<Arc<Catalogue>> = OnceLock::new();
    Arc::clone(READ.get_or_init(|| {
        let mut problems = Problems::default();
        let source = Arc::new(NamedSource::new("catalogue.toml", CATALOGUE.to_owned()));
        let catalogue = Catalogue::read(&source, &mut problems);
        assert!(!problems.has_errors());
        Arc::new(catalogue)
    }))
}

pub(crate) fn site() -> HostSite {
    HostSite {
        id: "his".to_owned(),
        version: Version::V251,
        reply: Reply::Orl,
        ack: AckMode::Original,
        barcode: "SPM-2.1".parse().expect("a path of HL7"),
        barcode_is_written: false,
        station: None,
        charset: Charset::Utf8,
        parties: ["LABWIRE", "XN", "HIS", "BV01"].map(str::to_owned),
        permanence: Permanence::default(),
        releases: true,
        posts_unordered: false,
        posts_extras: false,
        gets_images: false,
        laboratory: Laboratory {
            catalogue: Some(catalogue()),
            zone: TimeZone::fixed(jiff::tz::offset(7)),
            specimen_age_max: 14 * 24 * 60 * MINUTE,
            measured: None,
        },
    }
}

/// A message of the host, as its line gives it.
pub(crate) fn inbound(number: u64, raw: &[u8], is_complete: bool) -> Inbound {
    let received = Received {
        session: number,
        bytes: raw.to_vec().into(),
        is_complete,
    };
    Inbound {
        entry: JournalEntry {
            line: "host:his".to_owned(),
            connection: 1,
            at: MORNING,
            commit: Commit::Message(received),
        },
        reply_id: format!("R{number}"),
    }
}

/// Tubes that are in the store before any input.
pub(crate) const TUBES: i64 = 3;

fn store() -> &'static Store {
    static OPEN: OnceLock<(Store, tempfile::TempDir)> = OnceLock::new();
    &OPEN
        .get_or_init(|| {
            let folder = tempfile::tempdir().expect("a folder of its own");
            let url = format!("sqlite:{}", folder.path().join("fuzz.db").display());
            let opening = Store::open(&url, StoreOptions::default(), Arc::new(StoppedClock));
            let store = wait_for(opening).expect("a new store");
            store
                .transact_blocking(Turn::Canonical, furnish)
                .expect("a new store takes orders");
            (store, folder)
        })
        .0
}

fn furnish(db: &mut dyn Db) -> Result<(), StoreError> {
    for number in 1..=TUBES {
        let text = format!(
            "MSH|^~\\&|HIS|BV01|LABWIRE|XN|20260310150000||OML^O21|0{number}|P|2.5.1\r\
             PID|1||MRN{number}^^^BV01^MR||TRAN^BINH||19800312|M\r\
             ORC|NW|P{number}\rOBR|1|P{number}||CBC\rSPM|1|T{number}||BLD\r"
        );
        let number = number.unsigned_abs();
        let heard = host::hear(db, &site(), &inbound(number, text.as_bytes(), true))?;
        assert_eq!(heard.barcodes, [format!("T{number}")], "the order is taken");
    }
    Ok(())
}

/// Runs `work` in one transaction and undoes it.
pub(crate) fn undone<T: Send + 'static>(
    work: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send + 'static,
) -> T {
    let (tell, told) = mpsc::channel();
    let end = store().transact_blocking(Turn::Canonical, move |db| -> Result<(), StoreError> {
        let done = work(db);
        drop(tell.send(done));
        Err(StoreError::value("undone"))
    });
    let done = told.try_recv();
    let done = done.unwrap_or_else(|_| panic!("the work did not end: {end:?}"));
    done.unwrap_or_else(|error| panic!("the store fails: {error:?}"))
}

/// Waits without a runtime: the store has threads of its own.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
        std::thread::yield_now();
    }
}
