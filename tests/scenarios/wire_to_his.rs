//! Every value from the wire to the HIS, character for character; a query gets what was ordered.

use std::time::Duration;

use labwire_protocols::{astm::link::Link, mllp::Endpoint};
use labwire_sims::{
    analyzer::{Astm, Hl7, Nature, Operator, Rates, Setup, Tube, endpoint_config, link_dialect},
    clock::Clock,
    his::{Answering, Expected},
    persona::Persona,
    port::{Port, Pty, keep},
    runner::Wire,
};
use tokio_util::sync::CancellationToken;

use crate::hospital::{His, Site, ZONE, until, until_empty};

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
fn astm(name: &str, port: Port, cancel: &CancellationToken) -> Operator {
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

#[expect(clippy::too_many_lines, reason = "one story from the order to the HIS")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_value_reaches_the_his_character_for_character_over_tcp_pty_and_mllp() {
    let mut his = His::open(Answering::good()).await;
    let pty = Pty::open().expect("a pseudo-terminal");
    let site = Site::new(&format!(
        r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"

[[instrument]]
id = "xn-1"
profile = "sysmex/xn"
port = "tcp-listen://127.0.0.1:0"

[[instrument]]
id = "access-1"
profile = "beckman/access2"
port = "serial://{}"

[[instrument]]
id = "bc-1"
profile = "mindray/bc-5000"
port = "mllp-listen://127.0.0.1:0"
"#,
        his.results,
        pty.path(),
    ));
    let bridge = site.start().await;
    let cancel = CancellationToken::new();
    let xn_port = bridge.address("xn-1").await.expect("it listens");
    let bc_port = bridge.address("bc-1").await.expect("it listens");
    his.place(bridge.address("host:his").await.expect("it listens"));
    let forms: [(&str, &[&str]); 3] = [
        ("26031000001", &["WBC", "HGB", "PLT"]),
        ("26031000002", &["TSH"]),
        ("26031000003", &["WBC", "RBC"]),
    ];
    let ordered = forms.map(|(barcode, services)| his.order(barcode, services));
    until("every order is answered", || his.orders.waiting() == 0).await;
    for control in &ordered {
        let answer = his.orders.answer(control).expect("it was answered");
        assert!(answer.is_accepted(), "{}", answer.text);
        assert!(
            answer.controls.iter().all(|code| code == "OK"),
            "{}",
            answer.text
        );
    }

    let devices = [
        (
            astm("sysmex-xn", Port::Connect(xn_port.to_string()), &cancel),
            "26031000001",
        ),
        (astm("access2", Port::Pty(pty), &cancel), "26031000002"),
        (
            hl7(
                "mindray-bc5000",
                Port::Connect(bc_port.to_string()),
                &cancel,
            ),
            "26031000003",
        ),
    ];
    for (device, barcode) in &devices {
        device.load(Tube::patient(*barcode));
    }
    for (device, barcode) in &devices {
        let what = format!("{barcode} is measured and acknowledged");
        until(&what, || device.is_idle()).await;
    }

    let mut expected = Vec::new();
    for ((device, barcode), (_, services)) in devices.iter().zip(forms) {
        let log = device.log();
        let is_wanted = |test: &str| services.contains(&test);
        if device
            .log()
            .orders
            .iter()
            .all(|order| order.tests.len() == services.len())
        {
            let asked: Vec<&str> = log
                .orders
                .iter()
                .flat_map(|order| &order.tests)
                .map(String::as_str)
                .collect();
            assert_eq!(
                asked, services,
                "{barcode}: a query gets exactly the ordered tests"
            );
        } else {
            // A count order names a mode and no tests: the counter measures its panel.
            assert_eq!(*barcode, "26031000003", "only a counter may be told a mode");
        }
        let finals = log
            .acknowledged
            .iter()
            .filter(|sent| sent.nature == Nature::Ordinary);
        for sent in finals.filter(|sent| is_wanted(&sent.test)) {
            expected.push(Expected {
                patient: format!("PN{barcode}"),
                barcode: (*barcode).to_owned(),
                code: sent.test.clone(),
                text: sent.text.clone(),
                is_required: true,
            });
        }
    }
    assert_eq!(
        expected.len(),
        6,
        "every ordered test was measured and acknowledged"
    );
    let found = || {
        his.book
            .verify(&expected)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    until_empty("at the HIS", found).await;
    cancel.cancel();
    bridge.stop().await;
}
