//! Every value from the wire to the HIS, character for character; a query gets what was ordered.

use std::time::Duration;

use labwire_protocols::{astm::link::Link, mllp::Endpoint};
use labwire_sims::{
    analyzer::{
        Astm, Hl7, Log, Nature, Operator, Rates, Setup, Tube, endpoint_config, link_dialect,
    },
    clock::Clock,
    his::{Answering, Expected},
    persona::Persona,
    port::{Port, Pty, keep},
    runner::Wire,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    hospital::{Bridge, His, Site, ZONE, tests},
};

fn setup(name: &str) -> Setup {
    Setup {
        persona: Persona::named(name).expect("a persona of this name"),
        seed: 7,
        rates: Rates::default(),
        measuring: Duration::ZERO,
        stops_when_idle: false,
        clock: Clock::real(ZONE),
    }
}

/// Plugs an ASTM analyzer in; it runs until cancelled.
pub fn astm(name: &str, port: Port, cancel: &CancellationToken) -> Operator {
    let setup = setup(name);
    let mut machine = Link::new(link_dialect(setup.persona));
    let mut analyzer = Astm::new(setup).expect("an ASTM persona");
    let operator = analyzer.operator();
    let mut wire = wire(&operator, cancel);
    tokio::spawn(async move { keep(port, &mut machine, &mut analyzer, &mut wire).await });
    operator
}

/// Plugs an HL7 analyzer in; it runs until cancelled.
fn hl7(name: &str, port: Port, cancel: &CancellationToken) -> Operator {
    let setup = setup(name);
    let mut machine = Endpoint::new(endpoint_config(setup.persona));
    let mut analyzer = Hl7::new(setup).expect("an HL7 persona");
    let operator = analyzer.operator();
    let mut wire = wire(&operator, cancel);
    tokio::spawn(async move { keep(port, &mut machine, &mut analyzer, &mut wire).await });
    operator
}

fn wire(operator: &Operator, cancel: &CancellationToken) -> Wire {
    let mut wire = Wire::new(Clock::real(ZONE));
    wire.cancel = cancel.clone();
    wire.wake = operator.wake();
    wire
}

/// What is ordered: tube and services.
const FORMS: [(&str, &[&str]); 3] = [
    ("26031000001", &["WBC", "HGB", "PLT"]),
    ("26031000002", &["TSH"]),
    ("26031000003", &["WBC", "RBC"]),
];

fn site(results: &str, pty: &str) -> Site {
    let [xn, access, bc] = ["sysmex/xn", "beckman/access2", "mindray/bc-5000"].map(tests);
    Site::new(&format!(
        r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{results}"

[[instrument]]
id = "xn-1"
profile = "sysmex/xn"
port = "tcp-listen://127.0.0.1:0"
{xn}

[[instrument]]
id = "access-1"
profile = "beckman/access2"
port = "serial://{pty}"
{access}

[[instrument]]
id = "bc-1"
profile = "mindray/bc-5000"
port = "mllp-listen://127.0.0.1:0"
{bc}
"#
    ))
}

async fn place_all(his: &mut His, bridge: &Bridge) {
    let ordered = FORMS.map(|(barcode, services)| his.order(barcode, services));
    bridge
        .until("every order is answered", || his.orders.waiting() == 0)
        .await;
    for control in &ordered {
        let answer = his.orders.answer(control).expect("it was answered");
        assert!(answer.is_accepted(), "{}", answer.text);
        let all_ok = answer.controls.iter().all(|code| code == "OK");
        assert!(all_ok, "{}", answer.text);
    }
}

/// A query gets exactly the ordered tests; but a count order names a mode and no tests, and the
/// counter measures its panel.
fn check_answer(name: &str, log: &Log, services: &[&str]) {
    let tests = log
        .orders
        .iter()
        .flat_map(|order| &order.tests)
        .map(String::as_str);
    let asked: Vec<&str> = tests.collect();
    assert!(!asked.is_empty(), "{name}: the query was not answered");
    if name != "mindray-bc5000" {
        assert_eq!(asked, services, "{name}");
    }
}

/// What the HIS must get of what was acknowledged.
pub fn expected(log: &Log, barcode: &str, services: &[&str]) -> Vec<Expected> {
    let finals = log
        .acknowledged
        .iter()
        .filter(|sent| sent.nature == Nature::Ordinary);
    finals
        .filter(|sent| services.contains(&sent.test.as_str()))
        .map(|sent| Expected {
            patient: format!("PN{barcode}"),
            barcode: barcode.to_owned(),
            code: sent.test.clone(),
            text: sent.text.clone(),
            is_required: true,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_reaches_the_his_character_for_character_over_tcp_pty_and_mllp() {
    let mut his = His::open(Answering::good()).await;
    let pty = Pty::open().expect("a pseudo-terminal");
    let site = site(&his.results, pty.path());
    let bridge = site.start().await;
    let cancel = CancellationToken::new();
    let xn_port = bridge
        .address("xn-1")
        .await
        .expect("it listens")
        .to_string();
    let bc_port = bridge
        .address("bc-1")
        .await
        .expect("it listens")
        .to_string();
    his.place(bridge.address("host:his").await.expect("it listens"));
    place_all(&mut his, &bridge).await;
    let names = ["sysmex-xn", "access2", "mindray-bc5000"];
    let devices = [
        astm(names[0], Port::Connect(xn_port), &cancel),
        astm(names[1], Port::Pty(pty), &cancel),
        hl7(names[2], Port::Connect(bc_port), &cancel),
    ];
    for (device, (barcode, _)) in devices.iter().zip(FORMS) {
        device.load(Tube::patient(barcode));
    }
    let mut wanted = Vec::new();
    for ((device, name), (barcode, services)) in devices.iter().zip(names).zip(FORMS) {
        let what = format!("{name} is idle");
        bridge.until(&what, || device.is_idle()).await;
        check_answer(name, &device.log(), services);
        wanted.extend(expected(&device.log(), barcode, services));
    }
    assert_eq!(
        wanted.len(),
        6,
        "every ordered test was measured and acknowledged"
    );
    let found = || {
        his.book
            .verify(&wanted)
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    bridge.until_empty("at the HIS", found).await;
    let findings = account::findings(&site.store());
    assert!(findings.is_empty(), "{findings:#?}");
    cancel.cancel();
    bridge.stop().await;
}
