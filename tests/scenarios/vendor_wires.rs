//! Analyzers on wires of their own, from their bytes to the HIS and from its orders to their requests.

use std::sync::{Arc, atomic::Ordering};

use labwire::store::{Faults, StoreOptions};
use labwire_protocols::beckman_au;
use labwire_sims::{
    clock::Clock,
    his::{Answering, Expected},
    port::{Port, Pty},
    runner::Wire,
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    bad_input::{ACK, FullDisk, NAK, ask},
    hospital::{Bridge, His, Site, ZONE},
    scripted::Script,
};

/// A HIS, and one analyzer on `port` that speaks as its profile says.
async fn open(instrument: &str) -> (His, Site, Bridge) {
    open_with(instrument, StoreOptions::default()).await
}

async fn open_with(instrument: &str, store: StoreOptions) -> (His, Site, Bridge) {
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
    let bridge = site.start_with(store).await;
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
    shown(&heard[count - 1])
}

/// As text, a bar for every FS.
fn shown(bytes: &[u8]) -> String {
    let text: String = bytes.iter().copied().map(char::from).collect();
    text.replace('\x1c', "|")
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

    device.say(&b"RB00\x03"[..]);
    device.say(&b"R 00000301 00012603100001    \x03"[..]);
    let answer = hears(&bridge, &device, 1).await;
    assert_eq!(answer, "S 000301 00012603100001    E01600200\x03");
    device.say(&b"R 00000302 00022603100002    \x03"[..]);
    let answer = hears(&bridge, &device, 2).await;
    assert_eq!(answer, "SE000302 00022603100002\x03");

    device.say(&b"RE00\x03"[..]);

    // A control under the number of a patient's tube, and the patient in two blocks.
    device.say(&b"DQ00000301 00012603100001 012E00016     99.9        \x03"[..]);
    device.say(
        &b"D 00000301 00012603100001    00016    161.3H       \x17\
           D 00000301 00012603100001    E0020     28.0        \x03"[..],
    );
    bridge
        .until("all is acknowledged", || device.acknowledged() == 6)
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

/// A block as the AU5800 sends it.
fn block(text: &[u8]) -> Vec<u8> {
    beckman_au::link::frame(
        text,
        &beckman_au::Dialect::instrument(beckman_au::Model::Au5800),
    )
    .to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_beckman_au_block_is_acknowledged_by_the_disk_alone_and_a_cut_text_is_held() {
    let disk = Arc::new(FullDisk::default());
    let store = StoreOptions {
        faults: Some(Arc::clone(&disk) as Arc<dyn Faults>),
        ..StoreOptions::default()
    };
    let instrument = "profile = \"beckman/au\"\nport = \"tcp-listen://127.0.0.1:0\"\n\
                      tests = { \"016\" = \"ALT\", \"020\" = \"AST\" }";
    let (mut his, site, bridge) = open_with(instrument, store).await;
    order(&mut his, &bridge, "2603100001", &["ALT", "AST"]).await;
    order(&mut his, &bridge, "2603100002", &["ALT"]).await;
    let address = bridge.address("dev-1").await.expect("it listens");
    let mut device = TcpStream::connect(address).await.expect("it listens");
    let first = block(b"D 00000301 00012603100001    00016    161.3H       \x17");
    let last = block(b"D 00000301 00012603100001    E0020     28.0        \x03");
    let one = |heard: &[u8]| !heard.is_empty();

    assert_eq!(ask(&mut device, &first, one).await, [ACK]);
    disk.0.store(true, Ordering::SeqCst);
    assert_eq!(
        ask(&mut device, &last, one).await,
        [NAK],
        "the disk is full"
    );
    disk.0.store(false, Ordering::SeqCst);
    let mut damaged = last.clone();
    damaged[40] ^= 1;
    assert_eq!(
        ask(&mut device, &damaged, one).await,
        [NAK],
        "the block check"
    );
    assert_eq!(ask(&mut device, &last, one).await, [ACK]);

    // The last block of another text never comes.
    let cut = block(b"D 00000302 00022603100002    00016     77.0        \x17");
    assert_eq!(ask(&mut device, &cut, one).await, [ACK]);
    drop(device);
    let is_held = || {
        let story = account::story(&site.store());
        let mut results = story
            .iter()
            .filter(|line| line.contains(": 2603100002 ALT "));
        results.any(|line| line.contains(" held ") && line.contains("incomplete"))
    };
    bridge.until("what was cut is held", is_held).await;
    reaches(
        &his,
        &bridge,
        "2603100001",
        &[("ALT", "161.3"), ("AST", "28.0")],
    )
    .await;
    close(&site, bridge, &CancellationToken::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dimension_is_told_when_it_asks_or_polls_and_its_values_reach_the_his() {
    let instrument = "profile = \"siemens/dimension\"\nport = \"tcp-listen://127.0.0.1:0\"\n\
                      orders = \"both\"\ntests = { GLUC = \"GLU\", AST = \"AST\" }";
    let (mut his, site, bridge) = open(instrument).await;
    let (device, cancel) = (Script::default(), CancellationToken::new());
    let address = bridge.address("dev-1").await.expect("it listens");
    device.plug_dimension(Port::Connect(address.to_string()), wire(&cancel));

    // Nothing is ordered: neither a poll nor a query gets anything.
    device.say(fields("P|DIM1|1|1|0"));
    assert_eq!(hears(&bridge, &device, 1).await, "N|");
    device.say(fields("I|2603100009"));
    assert_eq!(hears(&bridge, &device, 2).await, "N|");

    // An order waits for the next poll, and ends with the device's word.
    order(&mut his, &bridge, "2603100001", &["GLU", "AST"]).await;
    let told = "D|0|0|A|TRAN BINH THI|2603100001|1||0|1|**|1|2|GLUC|AST|";
    polls_until(&bridge, &device, told).await;
    device.say(fields("M|A||1|4"));
    device.say(fields("I|2603100001"));
    bridge
        .until("the query is answered", || {
            let heard = device.heard();
            heard.iter().filter(|text| shown(text) == told).count() == 2
        })
        .await;
    device.say(fields("M|A||1|4"));

    device.say(fields(
        "R|0||2603100001|5||3|000007100326|1|1|1|GLUC|9.9|mmol/L|",
    ));
    device.say(fields(
        "R|*|TRAN BINH THI|2603100001|1||0|433910100326|1|1|2|GLUC|5.2|mmol/L||AST|28|U/L|",
    ));
    bridge.until("all is said", || device.is_idle()).await;
    reaches(
        &his,
        &bridge,
        "2603100001",
        &[("GLU", "5.2"), ("AST", "28")],
    )
    .await;
    close(&site, bridge, &cancel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_that_a_dimension_refuses_waits_for_a_person() {
    let instrument = "profile = \"siemens/dimension\"\nport = \"tcp-listen://127.0.0.1:0\"\n\
                      orders = \"download\"\ntests = { GLUC = \"GLU\" }";
    let (mut his, site, bridge) = open(instrument).await;
    let (device, cancel) = (Script::default(), CancellationToken::new());
    let address = bridge.address("dev-1").await.expect("it listens");
    device.plug_dimension(Port::Connect(address.to_string()), wire(&cancel));
    order(&mut his, &bridge, "2603100001", &["GLU"]).await;
    let told = "D|0|0|A|TRAN BINH THI|2603100001|1||0|1|**|1|1|GLUC|";
    polls_until(&bridge, &device, told).await;
    device.say(fields("M|R|5"));
    let is_set_aside = || {
        let story = account::story(&site.store());
        let mut rows = story
            .iter()
            .filter(|line| line.contains(" to line:dev-1: "));
        rows.any(|row| {
            row.contains(" set-aside, tried 1, ") && row.contains("the device refused it, reason 5")
        })
    };
    bridge.until("the order is set aside", is_set_aside).await;
    close(&site, bridge, &cancel).await;
}

/// The device polls until it is told this.
async fn polls_until(bridge: &Bridge, device: &Script, told: &str) {
    let is_told = || device.heard().iter().any(|text| shown(text) == told);
    let (before, mut polls) = (device.heard().len(), 0);
    bridge
        .until("a poll gets the order", || {
            if !is_told() && device.is_idle() && device.heard().len() >= before + polls {
                polls += 1;
                device.say(fields("P|DIM1|0|1|0"));
            }
            is_told()
        })
        .await;
}

/// A message of these fields.
fn fields(text: &str) -> Vec<u8> {
    let mut raw = text.replace('|', "\x1c").into_bytes();
    raw.push(0x1C);
    raw
}

/// A POCT1-A message.
fn xml(root: &str, body: &str) -> Vec<u8> {
    let header = "<HDR><HDR.control_id V=\"1\"/></HDR>";
    format!("<{root}>{header}{body}</{root}>").into_bytes()
}

/// A potassium.
fn potassium(value: &str) -> String {
    format!("<OBS><OBS.observation_id V=\"6298-4\"/><OBS.value V=\"{value}\" U=\"mmol/L\"/></OBS>")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bedside_device_says_hello_and_its_values_reach_the_his_under_its_name() {
    let instrument = "profile = \"abbott/i-stat\"\nport = \"tcp-listen://127.0.0.1:0\"\n\
                      tests = { \"6298-4\" = \"K\" }";
    let (mut his, site, bridge) = open(instrument).await;
    order(&mut his, &bridge, "2603100001", &["K"]).await;
    let (device, cancel) = (Script::default(), CancellationToken::new());
    let address = bridge.address("dev-1").await.expect("it listens");
    device.plug_poct1a(Port::Connect(address.to_string()), wire(&cancel));

    device.say(xml("HEL.R01", "<DEV><DEV.serial_id V=\"358712\"/></DEV>"));
    device.say(xml(
        "DST.R01",
        "<DST><DST.new_observations_qty V=\"3\"/></DST>",
    ));
    // A control under the number of a patient's order, and a patient's result without an order.
    let control = format!(
        "<SVC><SVC.role_cd V=\"LQC\"/><CTC><CTC.lot_number V=\"2603100001\"/>{}</CTC>\
         <ORD><ORD.order_id V=\"2603100001\"/></ORD></SVC>",
        potassium("9.9")
    );
    device.say(xml("OBS.R02", &control));
    let bare = format!(
        "<SVC><SVC.role_cd V=\"OBS\"/><PT><PT.patient_id V=\"2603100001\"/>{}</PT></SVC>",
        potassium("7.7")
    );
    device.say(xml("OBS.R01", &bare));
    let ordered = format!(
        "<SVC><SVC.role_cd V=\"OBS\"/><PT>{}</PT>\
         <ORD><ORD.order_id V=\"2603100001\"/></ORD></SVC>",
        potassium("3.9")
    );
    device.say(xml("OBS.R01", &ordered));
    device.say(xml("EOT.R01", "<EOT><EOT.topic_cd V=\"OBS\"/></EOT>"));
    bridge.until("all is said", || device.is_idle()).await;
    reaches(&his, &bridge, "2603100001", &[("K", "3.9")]).await;
    let story = account::story(&site.store());
    let is_held = |line: &&String| line.contains(" held ") && line.contains("no-specimen");
    assert_eq!(story.iter().filter(is_held).count(), 1, "{story:#?}");
    assert_eq!(account::instruments(&site.store()), ["358712"]);
    close(&site, bridge, &cancel).await;
}

/// A BCI message of these fields, a record each.
fn records(fields: &str) -> Vec<u8> {
    let fields = fields.split_inclusive('|');
    let records = fields.map(|field| format!("\u{1e}{field}"));
    records.collect::<String>().into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_vidas_gets_its_orders_and_its_values_reach_the_his() {
    let instrument = "profile = \"biomerieux/vidas\"\nport = \"tcp-listen://127.0.0.1:0\"\n\
                      orders = \"download\"\ntests = { TSH = \"TSH\" }";
    let (mut his, site, bridge) = open(instrument).await;
    let (device, cancel) = (Script::default(), CancellationToken::new());
    let address = bridge.address("dev-1").await.expect("it listens");
    device.plug_bci(Port::Connect(address.to_string()), wire(&cancel));

    order(&mut his, &bridge, "2603100001", &["TSH"]).await;
    let told = hears(&bridge, &device, 1).await.replace('\u{1e}', "");
    assert!(told.starts_with("mtmpr|piPN2603100001|pn"), "{told}");
    assert!(told.ends_with("|ci2603100001|rtTSH|qd1|"), "{told}");

    device.say(records("mtrsl|ciQC1|rtTSH|qn9.99 uUI/ml|"));
    device.say(records("mtrsl|ci2603100001|rtTSH|qn2,31 uUI/ml|"));
    bridge.until("all is said", || device.is_idle()).await;
    reaches(&his, &bridge, "2603100001", &[("TSH", "2.31")]).await;
    close(&site, bridge, &cancel).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_columns_of_an_older_sysmex_reach_the_his_and_a_short_text_does_not() {
    let instrument = "profile = \"sysmex/kx-21\"\nport = \"tcp-listen://127.0.0.1:0\"\n\
                      tests = { WBC = \"WBC\", PLT = \"PLT\" }";
    let (mut his, site, bridge) = open(instrument).await;
    order(&mut his, &bridge, "2603100001", &["WBC", "PLT"]).await;
    let (device, cancel) = (Script::default(), CancellationToken::new());
    let address = bridge.address("dev-1").await.expect("it listens");
    device.plug_sysmex_legacy(Port::Connect(address.to_string()), wire(&cancel));

    let text = |code: &str, wbc: &str| {
        format!(
            "{code}2603101  2603100001000000C{wbc}0462001420042000909003070033800250003020008000618\
             000210000600044001330011500098002230"
        )
    };
    // A control under the number of a patient's tube, and a text that lost a digit of its first number.
    device.say(text("D1C", "09990"));
    device.say(text("D1U", "0888"));
    device.say(text("D1U", "00710"));
    bridge.until("all is said", || device.is_idle()).await;
    let values = [("WBC", "7.1"), ("PLT", "250")];
    reaches(&his, &bridge, "2603100001", &values).await;
    close(&site, bridge, &cancel).await;
}
