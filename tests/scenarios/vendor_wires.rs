//! Analyzers on wires of their own, from their bytes to the HIS and from its orders to their requests.

use labwire_sims::{
    clock::Clock,
    his::{Answering, Expected},
    port::{Port, Pty},
    runner::Wire,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    hospital::{Bridge, His, Site, ZONE},
    scripted::Script,
};

/// A HIS, and one analyzer on `port` that speaks as its profile says.
async fn open(instrument: &str) -> (His, Site, Bridge) {
    let his = His::open(Answering::good()).await;
    let site = Site::new(&format!(
        r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"

[[instrument]]
id = "dev-1"
{instrument}
"#,
        his.results
    ));
    let bridge = site.start().await;
    his.place(bridge.address("host:his").await.expect("it listens"));
    (his, site, bridge)
}

fn wire(cancel: &CancellationToken) -> Wire {
    let mut wire = Wire::new(Clock::real(ZONE));
    wire.cancel = cancel.clone();
    wire
}

/// Orders these services on a tube, and waits until the HIS is told that they are.
async fn order(his: &mut His, bridge: &Bridge, barcode: &str, services: &[&str]) {
    let control = his.order(barcode, services);
    bridge
        .until("the order is answered", || {
            his.orders.answer(&control).is_some()
        })
        .await;
    let answer = his.orders.answer(&control).expect("it was answered");
    assert!(answer.is_accepted(), "{}", answer.text);
}

/// What the device hears, as text.
async fn hears(bridge: &Bridge, device: &Script, count: usize) -> String {
    bridge
        .until(&format!("text {count} is heard"), || {
            device.heard().len() >= count
        })
        .await;
    let heard = device.heard();
    assert_eq!(heard.len(), count, "{heard:?}");
    heard[count - 1].iter().copied().map(char::from).collect()
}

/// Waits until the HIS has all of these and nothing that it should not have.
async fn reaches(his: &His, bridge: &Bridge, barcode: &str, values: &[(&str, &str)]) {
    let wanted: Vec<_> = values
        .iter()
        .map(|(code, text)| Expected {
            patient: format!("PN{barcode}"),
            barcode: barcode.to_owned(),
            code: (*code).to_owned(),
            text: (*text).to_owned(),
            is_required: true,
        })
        .collect();
    let found = || {
        let findings = his.book.verify(&wanted);
        findings.iter().map(ToString::to_string).collect()
    };
    bridge.until_empty("at the HIS", found).await;
}

async fn close(site: &Site, bridge: Bridge, cancel: &CancellationToken) {
    let findings = account::findings(&site.store());
    assert!(findings.is_empty(), "{findings:#?}");
    cancel.cancel();
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beckman_au_asks_for_its_orders_and_its_values_reach_the_his() {
    let pty = Pty::open().expect("a pseudo-terminal");
    let instrument = format!(
        "profile = \"beckman/au\"\nport = \"serial://{}\"\n\
         tests = {{ \"016\" = \"ALT\", \"020\" = \"AST\" }}\nunits = {{ \"016\" = \"U/L\" }}",
        pty.path()
    );
    let (mut his, site, bridge) = open(&instrument).await;
    order(&mut his, &bridge, "2603100001", &["ALT", "AST"]).await;
    let (device, cancel) = (Script::default(), CancellationToken::new());
    device.plug_beckman_au(Port::Pty(pty), wire(&cancel));

    device.say(&b"R 00000301 00012603100001    \x03"[..]);
    let answer = hears(&bridge, &device, 1).await;
    assert_eq!(answer, "S 000301 00012603100001    E01600200\x03");
    device.say(&b"R 00000302 00022603100002    \x03"[..]);
    let answer = hears(&bridge, &device, 2).await;
    assert_eq!(answer, "SE000302 00022603100002\x03");

    // A control under the number of a patient's tube, and the patient in two blocks.
    device.say(&b"DQ00000301 00012603100001 012E00016     99.9        \x03"[..]);
    device.say(
        &b"D 00000301 00012603100001    00016    161.3H       \x17\
           D 00000301 00012603100001    E0020     28.0        \x03"[..],
    );
    bridge
        .until("all is acknowledged", || device.acknowledged() == 4)
        .await;
    reaches(
        &his,
        &bridge,
        "2603100001",
        &[("ALT", "161.3"), ("AST", "28.0")],
    )
    .await;
    close(&site, bridge, &cancel).await;
}
