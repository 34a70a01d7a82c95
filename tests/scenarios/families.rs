//! A simulated analyzer of each family with a wire of its own, from the orders of the HIS to the values
//! that it gets: what was ordered is measured, and everything that was acknowledged is there once.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use labwire::profile::BUILT_IN;
use labwire_sims::{
    analyzer::{Log, Nature, Operator, OrderAction, Rates, Sent, Setup, Tube, plug},
    clock::Clock,
    faults::FaultPlan,
    his::{Answering, Expected},
    persona::{ALL, Analyte, DimensionShape, OwnShape, OwnWire, Persona, Shape},
    port::{Port, Pty, keep},
    runner::Wire,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    hospital::{Bridge, His, Site, ZONE},
};

/// As it is: the scenarios show that it, the profiles and the analyzers fit.
const CATALOGUE: &str = include_str!("../../config/catalogue.toml");

/// What is ordered: tubes and services.
type Forms = [(&'static str, &'static [&'static str])];

/// An analyzer and where it is plugged in.
struct Family {
    persona: &'static Persona,
    profile: &'static str,
    /// What its line in `lab.toml` says besides.
    line: &'static str,
    faults: &'static str,
}

/// A bridge with a HIS and one analyzer.
struct Ward {
    persona: &'static Persona,
    his: His,
    site: Site,
    bridge: Bridge,
    cancel: CancellationToken,
}

impl Family {
    fn new(name: &str, profile: &'static str) -> Self {
        Self {
            persona: Persona::named(name).expect("a persona of this name"),
            profile,
            line: "",
            faults: "",
        }
    }

    /// What only the site knows: codes and units of a Beckman AU, codes of a LAW analyzer.
    fn mapped(&self) -> String {
        let table = |key: &str, value: fn(&Analyte) -> &'static str| {
            let analytes = self.persona.analytes.iter();
            let pairs =
                analytes.map(|analyte| format!("{:?} = {:?}", analyte.code, value(analyte)));
            format!("{key} = {{ {} }}\n", pairs.collect::<Vec<_>>().join(", "))
        };
        let tests = || table("tests", |analyte| analyte.test);
        match self.persona.protocol() {
            "beckman-au" => tests() + &table("units", |analyte| analyte.unit),
            "law" => tests(),
            _ => String::new(),
        }
    }

    /// Its line in `lab.toml`.
    fn instrument(&self, id: &str, port: &str) -> String {
        let (profile, line, mapped) = (self.profile, self.line, self.mapped());
        format!(
            "[[instrument]]\nid = \"{id}\"\nprofile = \"{profile}\"\nport = \"{port}\"\n{line}\n{mapped}\n"
        )
    }

    /// Opens the ward, its analyzer on this port of the bridge.
    async fn open(&self, port: &str) -> Ward {
        let his = His::open(Answering::good()).await;
        let site = site(&his, &self.instrument("dev-1", port));
        let bridge = site.start().await;
        his.place(bridge.address("host:his").await.expect("it listens"));
        Ward {
            persona: self.persona,
            his,
            site,
            bridge,
            cancel: CancellationToken::new(),
        }
    }

    /// Plugs the analyzer in; it runs until cancelled.
    fn plug(&self, port: Port, cancel: &CancellationToken) -> Operator {
        self.plug_with(Rates::default(), port, cancel)
    }

    fn plug_with(&self, rates: Rates, port: Port, cancel: &CancellationToken) -> Operator {
        let clock = Clock::real(ZONE);
        let plan: FaultPlan = self.faults.parse().expect("a plan");
        let mut wire = Wire::new(clock).with_faults(plan, 5);
        wire.cancel = cancel.clone();
        let mut plugged = plug(Setup {
            persona: self.persona,
            seed: 7,
            rates,
            measuring: Duration::ZERO,
            stops_when_idle: false,
            clock,
        });
        wire.wake = plugged.operator.wake();
        let operator = plugged.operator.clone();
        tokio::spawn(async move {
            let (machine, device) = (&mut *plugged.machine, &mut *plugged.device);
            keep(port, machine, device, &mut wire).await
        });
        operator
    }
}

fn site(his: &His, instruments: &str) -> Site {
    let site = Site::new(&format!(
        r#"catalogue = "catalogue.toml"

[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"

{instruments}
"#,
        his.results
    ));
    site.file("catalogue.toml", CATALOGUE);
    site
}

impl Ward {
    async fn connect(&self, family: &Family) -> Operator {
        let address = self.bridge.address("dev-1").await.expect("it listens");
        family.plug(Port::Connect(address.to_string()), &self.cancel)
    }

    async fn order(&mut self, forms: &Forms) {
        for (barcode, services) in forms {
            let control = self.his.order(barcode, services);
            let orders = &self.his.orders;
            self.bridge
                .until("the order is answered", || {
                    orders.answer(&control).is_some()
                })
                .await;
            let answer = orders.answer(&control).expect("it was answered");
            assert!(answer.is_accepted(), "{}", answer.text);
        }
    }

    /// Measures a tube. An analyzer that heard no order in its time lets the tube pass, and whoever
    /// stands there puts it in again.
    async fn measure(&self, operator: &Operator, tube: Tube) {
        let is_measured =
            || operator.with_log(|log| log.sent.iter().any(|sent| sent.specimen == tube.specimen));
        let what = format!("{} is measured", tube.specimen);
        self.bridge
            .until(&what, || {
                if operator.is_idle() && !is_measured() {
                    operator.load(tube.clone());
                }
                operator.is_idle() && is_measured()
            })
            .await;
    }

    /// The codes of these services, as the analyzer has them.
    fn codes(&self, services: &[&str]) -> BTreeSet<String> {
        let analytes = self.persona.analytes.iter();
        let ordered = analytes.filter(|analyte| services.contains(&analyte.test));
        ordered.map(|analyte| analyte.code.to_owned()).collect()
    }

    /// The analyzer was told exactly what was ordered.
    fn assert_told(&self, log: &Log, forms: &Forms) {
        for (barcode, services) in forms {
            let orders = log.orders.iter();
            let own = orders.filter(|order| order.specimen == *barcode);
            let told: BTreeSet<String> = own
                .inspect(|order| assert_eq!(order.action, OrderAction::Measure))
                .flat_map(|order| order.tests.iter().cloned())
                .collect();
            assert_eq!(told, self.codes(services), "{barcode}");
        }
    }

    /// Everything that was acknowledged and ordered is at the HIS as it was sent, once, and nothing
    /// else is; gives the books of the analyzer.
    async fn reaches(&self, operator: &Operator, forms: &Forms) -> Log {
        let log = operator.log();
        assert!(!log.sent.is_empty());
        assert_eq!(log.sent, log.acknowledged, "{log:#?}");
        let mut wanted = Vec::new();
        for (barcode, services) in forms {
            let results = log
                .acknowledged
                .iter()
                .filter(|sent| sent.specimen == *barcode);
            let asked = results.filter(|sent| services.contains(&sent.test.as_str()));
            let before = wanted.len();
            wanted.extend(asked.map(|sent| Expected {
                patient: format!("PN{barcode}"),
                barcode: (*barcode).to_owned(),
                code: sent.test.clone(),
                // Numbers of an analyzer that writes commas reach the HIS with a point.
                text: sent.text.replace(',', "."),
                is_required: true,
            }));
            assert_eq!(wanted.len() - before, services.len(), "{barcode}: {log:#?}");
        }
        let found = || {
            let found = self.his.book.verify(&wanted);
            found.iter().map(ToString::to_string).collect()
        };
        self.bridge.until_empty("at the HIS", found).await;
        let url = self.site.store();
        self.bridge
            .until_empty("still to be done", || account::open_work(&url))
            .await;
        let seen = self
            .his
            .book
            .with_ledger(|ledger| ledger.observations().len());
        assert_eq!(seen, wanted.len(), "each of them once");
        // What the columns of an older Sysmex's controls mean is not known: they are no results.
        if self.persona.protocol() != "sysmex-legacy" {
            let is_control = |sent: &&Sent| sent.nature == Nature::Control;
            let controls = log.acknowledged.iter().filter(is_control).count();
            assert_eq!(account::controls(&url), controls);
        }
        let findings = account::findings(&url);
        assert!(findings.is_empty(), "{findings:#?}");
        log
    }

    async fn close(self) {
        self.cancel.cancel();
        self.bridge.stop().await;
    }
}

const TCP: &str = "tcp-listen://127.0.0.1:0";

/// Controls, then tubes; the analyzer asks for the orders itself.
async fn asks_and_delivers(family: Family, port: &str, forms: &Forms) -> Log {
    let mut ward = family.open(port).await;
    ward.order(forms).await;
    let operator = ward.connect(&family).await;
    ward.measure(&operator, Tube::control(family.persona)).await;
    for (barcode, _) in forms {
        ward.measure(&operator, Tube::patient(*barcode)).await;
    }
    ward.assert_told(&operator.log(), forms);
    let log = ward.reaches(&operator, forms).await;
    ward.close().await;
    log
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_law_analyzer_measures_its_steps_and_a_cut_line_doubles_nothing() {
    let family = Family {
        // In the middle of the results of the first tube.
        faults: "split=20,cut-at=1900",
        line: "orders = \"query\"",
        ..Family::new("ihe-law", "generic/law")
    };
    let forms: &Forms = &[
        ("2603100001", &["TSH", "FT4"]),
        ("2603100002", &["PSA", "TSH"]),
    ];
    let log = asks_and_delivers(family, "mllp-listen://127.0.0.1:0", forms).await;
    assert!(log.repeated > 0 && log.connections > 1, "{log:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beckman_au_on_a_noisy_serial_line_gets_its_orders_and_loses_nothing() {
    let family = Family {
        faults: "split=20,flip=10",
        ..Family::new("beckman-au", "beckman/au")
    };
    let forms: &Forms = &[
        ("2603100001", &["ALT", "AST", "GLU"]),
        (
            "2603100002",
            &[
                "GLU", "UREA", "CREA", "ALT", "AST", "GGT", "CHOL", "TRIG", "CA", "PHOS", "TP",
                "ALB",
            ],
        ),
    ];
    let pty = Pty::open().expect("a pseudo-terminal");
    let mut ward = family.open(&format!("serial://{}", pty.path())).await;
    ward.order(forms).await;
    let operator = family.plug(Port::Pty(pty), &ward.cancel);
    for (barcode, _) in forms {
        ward.measure(&operator, Tube::patient(*barcode)).await;
    }
    ward.assert_told(&operator.log(), forms);
    ward.reaches(&operator, forms).await;
    ward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beckman_au480_has_other_columns_and_the_same_values() {
    let forms: &Forms = &[("2603100001", &["ALT", "CREA"])];
    asks_and_delivers(Family::new("beckman-au480", "beckman/au480"), TCP, forms).await;
}

/// The same Dimension, polling every second.
fn hasty(persona: &'static Persona) -> &'static Persona {
    let own = match persona.shape {
        Shape::Own(shape) => Some(shape),
        Shape::Astm(_) | Shape::Hl7(_) => None,
    };
    let shape = own.expect("a Dimension has a wire of its own");
    let wire = OwnWire::Dimension(DimensionShape {
        name: "DIM1",
        polls_every: Duration::from_secs(1),
    });
    let shape = Box::leak(Box::new(OwnShape { wire, ..*shape }));
    Box::leak(Box::new(Persona {
        shape: Shape::Own(shape),
        ..*persona
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dimension_is_told_at_a_poll_or_asks_and_its_values_reach_the_his() {
    let mut family = Family {
        faults: "split=20,delay=20",
        line: "orders = \"both\"",
        ..Family::new("dimension", "siemens/dimension")
    };
    family.persona = hasty(family.persona);
    let forms: &Forms = &[
        ("2603100001", &["GLU", "AST"]),
        ("2603100002", &["NA", "K", "CL"]),
    ];
    let log = asks_and_delivers(family, TCP, forms).await;
    assert!(log.queries >= 1, "one poll takes one order: {log:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bedside_device_whose_line_is_cut_says_hello_again_and_doubles_nothing() {
    let family = Family {
        // In the middle of the observations of the first tube.
        faults: "split=20,cut-at=2000",
        ..Family::new("i-stat", "abbott/i-stat")
    };
    let forms: &Forms = &[("2603100001", &["K", "NA"]), ("2603100002", &["GLU"])];
    let mut ward = family.open(TCP).await;
    ward.order(forms).await;
    let operator = ward.connect(&family).await;
    for (barcode, _) in forms {
        ward.measure(&operator, Tube::patient(*barcode)).await;
    }
    ward.measure(&operator, Tube::control(family.persona)).await;
    let log = ward.reaches(&operator, forms).await;
    let instruments = account::instruments(&ward.site.store());
    ward.close().await;
    assert!(log.repeated > 0 && log.connections > 1, "{log:#?}");
    assert_eq!(instruments, ["358712"], "by the hello of its conversation");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_sysmex_counts_what_it_is_given_and_the_ordered_numbers_reach_the_his() {
    let family = Family {
        faults: "split=20,delay=20",
        ..Family::new("sysmex-kx21", "sysmex/kx-21")
    };
    let forms: &Forms = &[
        ("2603100001", &["WBC", "HCT", "PLT"]),
        ("2603100002", &["RBC", "HGB", "NEUT"]),
    ];
    let mut ward = family.open(TCP).await;
    ward.order(forms).await;
    let operator = ward.connect(&family).await;
    ward.measure(&operator, Tube::control(family.persona)).await;
    for (barcode, _) in forms {
        ward.measure(&operator, Tube::patient(*barcode)).await;
    }
    let log = ward.reaches(&operator, forms).await;
    ward.close().await;
    assert_eq!(log.sent.len(), 3 * 17, "it has no choice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vidas_is_sent_its_orders_and_its_values_reach_the_his_with_a_point() {
    let family = Family {
        faults: "split=20,delay=20",
        line: "orders = \"download\"",
        ..Family::new("mini-vidas", "biomerieux/vidas")
    };
    let forms: &Forms = &[("2603100001", &["TSH", "BHCG"]), ("2603100002", &["TSH"])];
    let mut ward = family.open(TCP).await;
    let operator = ward.connect(&family).await;
    ward.order(forms).await;
    ward.bridge
        .until("it is told everything", || {
            operator.with_log(|log| log.orders.len() == 3)
        })
        .await;
    ward.assert_told(&operator.log(), forms);
    ward.measure(&operator, Tube::control(family.persona)).await;
    for (barcode, _) in forms {
        ward.measure(&operator, Tube::patient(*barcode)).await;
    }
    let log = ward.reaches(&operator, forms).await;
    ward.close().await;
    assert!(log.sent.iter().all(|sent| sent.text.contains(',')));
    assert!(log.sent.iter().any(|sent| sent.nature == Nature::Control));
}

#[test]
fn every_protocol_of_the_library_has_a_simulated_analyzer() {
    let simulated: BTreeSet<&str> = ALL.iter().map(Persona::protocol).collect();
    let spoken = BUILT_IN.iter().flat_map(|(_, text)| {
        let lines = text.lines();
        lines.filter_map(|line| line.strip_prefix("protocol = \""))
    });
    let spoken: BTreeSet<&str> = spoken.filter_map(|rest| rest.split('"').next()).collect();
    assert!(spoken.len() >= 8, "{spoken:?}");
    assert!(spoken.is_subset(&simulated), "{spoken:?} {simulated:?}");
}

/// An analyzer of each family, and its built-in profile.
const FAMILIES: [(&str, &str); 7] = [
    ("ihe-law", "generic/law"),
    ("beckman-au", "beckman/au"),
    ("beckman-au480", "beckman/au480"),
    ("dimension", "siemens/dimension"),
    ("i-stat", "abbott/i-stat"),
    ("sysmex-kx21", "sysmex/kx-21"),
    ("mini-vidas", "biomerieux/vidas"),
];

/// How many results the store must have of an analyzer.
fn stored(persona: &Persona, log: &Log) -> usize {
    if persona.protocol() != "sysmex-legacy" {
        return log.acknowledged.len();
    }
    // Its controls are not read, and each of its other texts has a column without a point.
    let results = log.acknowledged.iter();
    let patients: Vec<_> = results
        .filter(|sent| sent.nature != Nature::Control)
        .collect();
    let messages: BTreeSet<u64> = patients.iter().map(|sent| sent.message).collect();
    patients.len() + messages.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unusual_or_unordered_is_in_the_store_once_and_not_at_the_his() {
    let his = His::open(Answering::good()).await;
    let families = FAMILIES.map(|(name, profile)| Family::new(name, profile));
    let instruments = families.iter().map(|family| {
        let port = if family.persona.protocol() == "law" {
            "mllp-listen://127.0.0.1:0"
        } else {
            TCP
        };
        family.instrument(family.persona.name, port)
    });
    let site = site(&his, &instruments.collect::<String>());
    let bridge = site.start().await;
    let cancel = CancellationToken::new();
    let rates = Rates {
        suspect: 200,
        absent: 150,
        error: 150,
        rerun: 300,
    };
    let mut operators = Vec::new();
    for family in &families {
        let address = bridge.address(family.persona.name).await;
        let port = Port::Connect(address.expect("it listens").to_string());
        let operator = family.plug_with(rates, port, &cancel);
        let told: Vec<String> = family.persona.default_codes().map(str::to_owned).collect();
        operator.load(Tube::control(family.persona));
        for number in 0..4 {
            operator.load(Tube {
                tests: Some(told.clone()),
                ..Tube::patient(format!("260310100{number}"))
            });
        }
        operators.push(operator);
    }
    let mut wanted = BTreeMap::new();
    for (family, operator) in families.iter().zip(&operators) {
        let name = family.persona.name;
        bridge
            .until(&format!("{name} is idle"), || operator.is_idle())
            .await;
        let log = operator.log();
        assert_eq!(log.sent, log.acknowledged, "{name}");
        wanted.insert(name.to_owned(), stored(family.persona, &log));
    }
    let url = site.store();
    bridge
        .until("everything is in the store", || {
            account::rows(&url) == wanted
        })
        .await;
    assert_eq!(account::findings(&url), Vec::<String>::new());
    let seen = his.book.with_ledger(|ledger| ledger.observations().len());
    assert_eq!(seen, 0, "nobody ordered it");
    cancel.cancel();
    bridge.stop().await;
}
