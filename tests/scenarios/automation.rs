//! An automation line at work: a tube by air from its order to the HIS without a human act, and tubes
//! whose identity the line puts in doubt.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use labwire::{
    config::{self, Seams},
    console::{Console, Limits, Parts},
    people::Role,
    settle,
    store::{Beside, Db, Faults, StoreError, StoreOptions},
    trace::{Subject, course, gather, render},
    tubes::{receipt, rows},
};
use labwire_protocols::mllp::{Config, Endpoint};
use labwire_sims::{
    analyzer::{Operator, Tube},
    clock::Clock,
    his::{Answering, Expected},
    line::{Arrival, Attendant, Fault, POWER_EXPRESS, Setup, TrackLine},
    port::{Port, keep},
    runner::Wire,
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    bad_input::{WrittenUnsaid, ask_mllp},
    console::{Browser, PASSWORD, with_people},
    hospital::{Bridge, His, Site, ZONE, tests},
    wire_to_his::astm,
};

/// Ways and modules without a least time, so that a test need not wait for it; by hand nobody is
/// faster than an hour, so that what goes backwards is a second tube.
fn line_file(commands: &str, of_analyzer: &str) -> String {
    let mut text = format!(
        "[line]\nname = \"Test\"\nby_hand_s = 3600\ncommands = \"{commands}\"\n\
         [notify]\nOUT0001 = \"full\"\nJAM0001 = \"jam\"\n\
         [[lane]]\nid = \"L1\"\nclass = \"stat\"\n[[lane]]\nid = \"L2\"\n\
         [[lane]]\nid = \"L3\"\nclass = \"bypass\"\n\
         [[lane]]\nid = \"L4\"\nclass = \"return\"\ndirection = \"backward\"\n"
    );
    for (id, kind) in [
        ("IN1", "inlet"),
        ("TEMPUS1", "tempus"),
        ("CENT1", "centrifuge"),
        ("DECAP1", "decapper"),
        ("DXI1", "analyzer"),
        ("RECAP1", "recapper"),
        ("STORE1", "storage"),
        ("ERR1", "outlet"),
    ] {
        text.push_str(&format!("[[module]]\nid = \"{id}\"\nkind = \"{kind}\"\n"));
        match id {
            "DXI1" => text.push_str(&format!(
                "tests = [\"TSH\", \"FT4\"]\nwants = [\"spun\", \"open\"]\n\
                 instrument = \"access-1\"\n{of_analyzer}\n"
            )),
            "ERR1" => text.push_str(
                "takes = [\"unread\", \"tube-in-two-places\", \"not-on-line\", \"no-analyzer\", \
                 \"no-module\", \"no-storage\", \"no-order\"]\n",
            ),
            _ => {}
        }
    }
    for (from, to) in [
        ("\"IN1\", \"TEMPUS1\"", "\"CENT1\""),
        ("\"CENT1\"", "\"DECAP1\", \"STORE1\""),
        ("\"DECAP1\"", "\"DXI1\""),
        ("\"DXI1\"", "\"RECAP1\""),
        ("\"RECAP1\"", "\"STORE1\""),
        (
            "\"IN1\", \"TEMPUS1\", \"CENT1\", \"DECAP1\", \"DXI1\", \"RECAP1\"",
            "\"ERR1\"",
        ),
    ] {
        text.push_str(&format!(
            "[[edge]]\nfrom = [{from}]\nto = [{to}]\nlanes = [\"L1\", \"L2\"]\n\
             transit_s = 1\ntransit_min_s = 0\n"
        ));
    }
    text
}

/// A HIS, an analyzer and a line, all connected.
pub struct Lab {
    pub his: His,
    site: Site,
    pub bridge: Bridge,
    pub analyzer: Operator,
    pub line: Attendant,
    cancel: CancellationToken,
}

impl Lab {
    pub async fn open(commands: &str, of_analyzer: &str) -> Self {
        Self::with(commands, of_analyzer, StoreOptions::default()).await
    }

    async fn with(commands: &str, of_analyzer: &str, store: StoreOptions) -> Self {
        let his = His::open(Answering::good()).await;
        let site = Site::new(&format!(
            r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"

[[instrument]]
id = "access-1"
profile = "beckman/access2"
port = "tcp-listen://127.0.0.1:0"
{}

[[track]]
id = "line-1"
port = "mllp-listen://127.0.0.1:0"
file = "line.toml"
"#,
            his.results,
            tests("beckman/access2")
        ));
        site.file("line.toml", &line_file(commands, of_analyzer));
        let bridge = site.start_with(store).await;
        his.place(bridge.address("host:his").await.expect("it listens"));
        let cancel = CancellationToken::new();
        let at = |address: Option<std::net::SocketAddr>| {
            Port::Connect(address.expect("it listens").to_string())
        };
        let analyzer = astm("access2", at(bridge.address("access-1").await), &cancel);
        let line = plug(at(bridge.address("line-1").await), &cancel);
        line.attach("DXI1", analyzer.clone());
        for id in ["access-1", "line-1"] {
            let status = || bridge.lines[id].status();
            bridge.until(id, || !status().connections.is_empty()).await;
        }
        Self {
            his,
            site,
            bridge,
            analyzer,
            line,
            cancel,
        }
    }

    pub async fn order(&mut self, barcode: &str) {
        let control = self.his.order(barcode, &["TSH"]);
        self.bridge
            .until("the order is answered", || {
                self.his.orders.answer(&control).is_some()
            })
            .await;
    }

    pub fn arrive(&self, barcode: &str, course: &[&str]) {
        self.line.arrive(Arrival {
            barcode: barcode.to_owned(),
            inlet: "TEMPUS1".to_owned(),
            course: course.iter().map(|&stop| stop.to_owned()).collect(),
        });
    }

    /// Waits until the HIS has the tube's value.
    pub async fn reaches(&self, barcode: &str) {
        let analyzer = &self.analyzer;
        self.bridge
            .until("it is measured", || {
                analyzer.with_log(|log| log.acknowledged.iter().any(|one| one.specimen == barcode))
            })
            .await;
        let sent = analyzer.log().acknowledged;
        let wanted: Vec<Expected> = sent
            .iter()
            .filter(|one| one.specimen == barcode)
            .map(|one| Expected {
                patient: format!("PN{barcode}"),
                barcode: barcode.to_owned(),
                code: one.test.clone(),
                text: one.text.clone(),
                is_required: true,
            })
            .collect();
        let found = || {
            let findings = self.his.book.verify(&wanted);
            findings.iter().map(ToString::to_string).collect()
        };
        self.bridge.until_empty("at the HIS", found).await;
    }

    pub fn read<T: Send>(
        &self,
        look: impl FnOnce(&mut dyn Db) -> Result<T, StoreError> + Send,
    ) -> T {
        let url = self.site.store();
        let work = move || Beside::reader(&url)?.read(look);
        // A reader blocks its thread, which no thread of the runtime may.
        let done = std::thread::scope(|scope| scope.spawn(work).join());
        done.expect("the reader does not panic")
            .expect("the store can be read")
    }

    /// State and reasons of the tube's results.
    fn results(&self, barcode: &str) -> Vec<String> {
        let stored = self.read(|db| settle::of_barcode(db, barcode));
        let shown = stored.iter().map(|one| {
            let holds: Vec<_> = one.holds.iter().map(|hold| hold.reason.code()).collect();
            format!("{} {}", one.state.code(), holds.join(" "))
        });
        shown.map(|text| text.trim_end().to_owned()).collect()
    }

    async fn results_are(&self, barcode: &str, wanted: &[&str]) {
        self.bridge
            .until(&format!("{barcode}: {wanted:?}"), || {
                self.results(barcode) == wanted
            })
            .await;
    }

    /// Kinds of rows about a tube.
    fn kinds(&self, barcode: &str) -> Vec<String> {
        let rows = self.read(|db| rows::of_barcode(db, barcode));
        rows.into_iter().map(|row| row.kind).collect()
    }

    pub async fn until_row(&self, barcode: &str, kind: &str) {
        self.bridge
            .until(&format!("{barcode} {kind}"), || {
                self.kinds(barcode).iter().any(|one| one == kind)
            })
            .await;
    }

    pub async fn close(self) {
        let findings = account::findings(&self.site.store());
        assert!(findings.is_empty(), "{findings:#?}");
        self.cancel.cancel();
        self.bridge.stop().await;
    }
}

/// Plugs the line in; it runs until cancelled.
fn plug(port: Port, cancel: &CancellationToken) -> Attendant {
    let clock = Clock::real(ZONE);
    let mut line = TrackLine::new(Setup {
        layout: POWER_EXPRESS,
        transit: Duration::from_millis(20),
        dwell: Duration::from_millis(20),
        pace: None,
        stops_when_idle: false,
        clock,
    });
    let attendant = line.attendant();
    let mut wire = Wire::new(clock);
    wire.cancel = cancel.clone();
    wire.wake = attendant.wake();
    tokio::spawn(async move {
        let mut endpoint = Endpoint::new(Config::default());
        keep(port, &mut endpoint, &mut line, &mut wire).await
    });
    attendant
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tube_by_air_goes_from_its_order_to_the_his_without_a_human_act() {
    let mut lab = Lab::open("transport", "").await;
    let tube = "26031000021";
    lab.order(tube).await;
    lab.arrive(tube, &[]);
    lab.reaches(tube).await;
    lab.until_row(tube, "kept").await;
    let commands = lab.line.log().commands;
    let went: Vec<&str> = commands.iter().map(|one| one.1.as_str()).collect();
    assert_eq!(went, ["CENT1", "DECAP1", "DXI1", "RECAP1", "STORE1"]);
    assert!(commands.iter().all(|one| one.2 == "OK"), "{commands:?}");
    lab.bridge
        .until("the answer of the HIS is written down", || {
            let page = trace_page(&lab, tube);
            page.contains("delivered, answer AA")
        })
        .await;
    let page = trace_page(&lab, tube);
    let mut rest = page.as_str();
    for step in [
        "host:his  ordered TSH (TSH), sent by KKB",
        "line-1 TEMPUS1  barcode read",
        "line-1 TEMPUS1  is to go to CENT1",
        "line-1 TEMPUS1  left for CENT1",
        "line-1 CENT1  started",
        "line-1 CENT1  finished",
        "line-1 DECAP1  finished",
        "line-1 DECAP1  is to go to DXI1",
        "line-1 DXI1  started",
        "access-1  r1: TSH = ",
        "labwire  queue 1: result for host:his",
        "host:his  queue 1: delivered, answer AA",
    ] {
        let at = rest.find(step);
        let at = at.unwrap_or_else(|| panic!("no `{step}` behind what came before it:\n{page}"));
        rest = rest.get(at + step.len()..).unwrap_or_default();
    }
    for step in [
        "received in the laboratory: first reading of the barcode",
        "access-1  asked what to measure",
        "access-1  was told to measure TSH",
        "line-1 STORE1  kept at SHELF1/R1/1",
    ] {
        assert!(page.contains(step), "{step}\n{page}");
    }
    let known = lab.read(|db| {
        let specimens = labwire::book::specimens_with_barcode(db, tube, 0)?;
        receipt::of_specimen(db, specimens[0].id)
    });
    assert_eq!(
        (known.station.as_str(), known.received_on.as_str()),
        ("KKB", "line-1:TEMPUS1")
    );
    assert!(known.received_at.is_some());
    lab.close().await;
}

/// The line does not say it again, and says nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_line_told_and_was_refused_though_it_was_stored_is_in_the_books() {
    let disk = Arc::new(WrittenUnsaid::default());
    let store = StoreOptions {
        faults: Some(Arc::clone(&disk) as Arc<dyn Faults>),
        ..StoreOptions::default()
    };
    let mut lab = Lab::with("none", "", store).await;
    let tube = "26031000023";
    lab.order(tube).await;
    lab.cancel.cancel();
    let line = &lab.bridge.lines["line-1"];
    let is_alone = || line.status().connections.is_empty();
    lab.bridge.until("the line is unplugged", is_alone).await;

    let address = lab.bridge.address("line-1").await.expect("it listens");
    let mut line = TcpStream::connect(address).await.expect("it listens");
    disk.0.store(true, Ordering::SeqCst);
    let read = format!(
        "MSH|^~\\&|TRACK|LAB|LABWIRE|LAB|20260310080000||SSU^U03^SSU_U03|T1|P|2.5.1\r\
         EQU|TEMPUS1^TRACK|20260310080000|OP\rSAC|||{tube}|||||I\r"
    );
    let heard = ask_mllp(&mut line, &read).await;
    assert!(
        heard.contains("MSA|AR|T1") && heard.contains("207"),
        "{heard}"
    );
    disk.0.store(false, Ordering::SeqCst);
    lab.until_row(tube, "seen").await;
    lab.close().await;
}

/// What `labwire trace TUBE` shows.
fn trace_page(lab: &Lab, tube: &str) -> String {
    let subject = Subject::Specimen(tube.to_owned());
    let trace = lab.read(|db| gather(db, &subject));
    let steps = course(&trace);
    assert!(steps.is_sorted_by_key(|step| step.at), "{steps:?}");
    render(&trace, &jiff::tz::TimeZone::UTC, false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_a_tube_that_was_never_at_the_analyzer_is_held_until_the_line_says_it_was() {
    let mut lab = Lab::open("none", "").await;
    let [away, unknown] = ["26031000031", "26031000032"];
    for tube in [away, unknown] {
        lab.order(tube).await;
    }
    lab.arrive(away, &["CENT1"]);
    lab.until_row(away, "finished").await;
    // Nobody told Labwire of the other tube: people carried it to the analyzer, as before there was
    // a line.
    for tube in [away, unknown] {
        lab.analyzer.load(Tube::patient(tube));
    }
    lab.results_are(away, &["held tube-not-at-analyzer"]).await;
    lab.results_are(unknown, &["released"]).await;
    // The line was late to tell.
    lab.line.sight(away, "DXI1");
    lab.results_are(away, &["released"]).await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analyzer_that_people_feed_holds_nothing_for_the_way_of_its_tubes() {
    let mut lab = Lab::open("none", "fed_by_hand = true").await;
    let tube = "26031000041";
    lab.order(tube).await;
    lab.arrive(tube, &["CENT1", "STORE1"]);
    lab.until_row(tube, "kept").await;
    lab.analyzer.load(Tube::patient(tube));
    lab.results_are(tube, &["released"]).await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_barcode_in_two_places_holds_its_results_and_a_barcode_that_went_its_way_does_not() {
    let mut lab = Lab::open("none", "").await;
    let [doubled, single] = ["26031000051", "26031000052"];
    for tube in [doubled, single] {
        lab.order(tube).await;
    }
    lab.arrive(doubled, &["CENT1", "DECAP1"]);
    lab.bridge
        .until("it is at the decapper", || {
            lab.line.with_log(|log| {
                let is_there =
                    |one: &(String, String, String)| one.1 == "DECAP1" && one.2 == "completed";
                log.told.iter().any(is_there)
            })
        })
        .await;
    lab.line.sight(doubled, "IN1");
    lab.until_row(doubled, "tube-in-two-places").await;
    lab.line.sight(doubled, "DXI1");
    lab.arrive(single, &["CENT1", "DECAP1", "DXI1", "RECAP1", "STORE1"]);
    lab.analyzer.load(Tube::patient(doubled));
    lab.results_are(doubled, &["held tube-in-two-places"]).await;
    lab.results_are(single, &["released"]).await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tube_waits_for_a_jam_and_goes_to_an_outlet_where_nobody_measures_it() {
    let mut lab = Lab::open("transport", "").await;
    let [jammed, unordered] = ["26031000061", "26031000062"];
    lab.order(jammed).await;
    lab.line.break_down(Fault::Jam("DXI1".to_owned()));
    lab.line.break_down(Fault::Unread);
    lab.arrive("26031000063", &[]);
    lab.arrive(jammed, &[]);
    lab.arrive(unordered, &[]);
    lab.until_row(jammed, "waits").await;
    lab.until_row(unordered, "kept").await;
    // The connection goes and comes again; the tube is asked about, and told when the jam is over.
    lab.line.break_down(Fault::Restart);
    lab.line.mend("DXI1");
    lab.reaches(jammed).await;
    let unread = lab.read(|db| rows::recent(db, "line-1", 0, 1_000));
    assert!(
        unread
            .iter()
            .any(|row| row.kind == "unread" && row.module == "TEMPUS1")
    );
    let commands = lab.line.log().commands;
    let to = |tube: &str| {
        let mut own = commands.iter().filter(|one| one.0 == tube);
        own.next().map(|one| one.1.clone())
    };
    assert_eq!(to(unordered).as_deref(), Some("ERR1"));
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_shows_the_line_as_its_books_have_it() {
    let mut lab = Lab::open("transport", "").await;
    lab.bridge = with_people(lab.bridge).await;
    let (loaded, _) = config::load(&lab.site.lab(), &Seams::default());
    let loaded = Arc::new(loaded.expect("a site"));
    let clock = Arc::new(labwire_drivers::SystemClock::default());
    let parts = Parts::of(&lab.bridge, loaded, clock);
    let console = Console::start(parts, "127.0.0.1:0", Limits::default());
    let console = console.await.expect("the console opens");
    let mut viewer = Browser::new(console.address());
    let answer = viewer.log_in(Role::Viewer.code(), PASSWORD).await;
    assert_eq!(answer.status, 303);
    let tube = "26031000025";
    lab.order(tube).await;
    lab.arrive(tube, &[]);
    lab.until_row(tube, "kept").await;
    let line = viewer.get("/api/v1/track").await.json()["lines"][0].clone();
    assert_eq!(line["id"], "line-1");
    let modules = line["modules"].as_array().expect("modules");
    let store = modules.iter().find(|one| one["id"] == "STORE1");
    assert_eq!(store.expect("the storage")["kept"], 1, "{line}");
    assert_eq!(line["lanes"].as_array().map(Vec::len), Some(4));
    assert_eq!(line["wanted_count"], 0, "{line}");
    // Its barcode is read once more, at the other inlet: no tube comes back from the storage in no time.
    lab.line.sight(tube, "IN1");
    lab.until_row(tube, "tube-in-two-places").await;
    let news = viewer
        .listen("/live?on=track", "Hai ống cùng mã vạch")
        .await;
    assert!(news.contains("event: track"), "{news}");
    let page = viewer.get("/track").await;
    assert_eq!(page.status, 200);
    for what in [
        "<svg viewBox=",
        "TEMPUS1",
        "L4",
        "/specimens?q=26031000025",
        "Một mã vạch ở hai nơi",
    ] {
        assert!(page.body.contains(what), "{what} in {}", page.body);
    }
    assert!(page.body.len() < 100_000);
    let found = viewer.get("/api/v1/track").await.json();
    assert_eq!(found["findings"][0]["finding"], "tube-in-two-places");
    assert_eq!(found["lines"][0]["wanted"][0]["why"], "doubled");
    let away = Browser::new(console.address()).get("/track").await;
    assert_eq!(away.status, 303, "nothing without a session");
    console.stop().await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_analyzer_without_reagent_for_a_test_gets_no_tube_for_it_until_it_is_filled() {
    let mut lab = Lab::open("transport", "").await;
    let [empty, filled] = ["26031000071", "26031000072"];
    for tube in [empty, filled] {
        lab.order(tube).await;
    }
    let (module, test) = ("DXI1".to_owned(), "TSH".to_owned());
    lab.line.break_down(Fault::NoReagent { module, test });
    lab.arrive(empty, &[]);
    lab.until_row(empty, "kept").await;
    // Another test of the same module says nothing about this one.
    lab.line.fill("DXI1", "FT4");
    lab.line.fill("DXI1", "TSH");
    lab.arrive(filled, &[]);
    lab.reaches(filled).await;
    let commands = lab.line.log().commands;
    let went = |tube: &str| -> Vec<String> {
        let own = commands.iter().filter(|one| one.0 == tube);
        own.map(|one| one.1.clone()).collect()
    };
    assert_eq!(went(empty).last().map(String::as_str), Some("ERR1"));
    assert!(!went(empty).contains(&"DXI1".to_owned()), "{commands:?}");
    assert!(went(filled).contains(&"DXI1".to_owned()), "{commands:?}");
    assert!(lab.results(empty).is_empty());
    let told = lab.read(|db| rows::recent(db, "line-1", 0, 1_000));
    let of_reagent = told.iter().filter(|row| row.detail.test == "TSH");
    let kinds: Vec<_> = of_reagent.map(|row| row.kind.as_str()).collect();
    assert_eq!(kinds, ["no-reagent", "reagent"]);
    lab.close().await;
}
