//! What devices are told of orders over real ports, asserted from what the devices heard.

use labwire_sims::{
    clock::Clock,
    his::{Answering, Control, Request},
    port::Port,
    runner::Wire,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    bad_input::{ACK, ENQ, NAK, ask, frames},
    hospital::{Bridge, His, Site, ZONE, request},
    scripted::Script,
};

const EOT: &[u8] = b"\x04";

/// A bridge with a HIS and one device, which says what a test wants and keeps what it hears.
struct Ward {
    his: His,
    site: Site,
    bridge: Bridge,
    device: Script,
    cancel: CancellationToken,
}

impl Ward {
    /// `orders` is how the device gets its orders.
    async fn open(orders: &str) -> Self {
        let his = His::open(Answering::good()).await;
        let site = Site::new(&format!(
            r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{}"

[[instrument]]
id = "dev-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:0"
orders = "{orders}"
tests = {{ NA = "NA", K = "K", CL = "CL" }}

[[instrument]]
id = "hl7-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"
tests = {{ GLU = "GLU" }}
"#,
            his.results
        ));
        let bridge = site.start().await;
        let cancel = CancellationToken::new();
        let ward = Self {
            his,
            site,
            bridge,
            device: Script::default(),
            cancel,
        };
        let orders = ward.bridge.address("host:his").await.expect("it listens");
        ward.his.place(orders);
        ward
    }

    async fn plug(&self) {
        let port = self.port("dev-1").await;
        self.device.plug_astm(port, self.wire());
    }

    async fn port(&self, line: &str) -> Port {
        let address = self.bridge.address(line).await.expect("it listens");
        Port::Connect(address.to_string())
    }

    fn wire(&self) -> Wire {
        let mut wire = Wire::new(Clock::real(ZONE));
        wire.cancel = self.cancel.child_token();
        wire
    }

    /// The HIS asks this, and is told that it is done.
    async fn places(&mut self, request: &Request) {
        let written = self.his.writer.request(request, "20260310090000+0700");
        let control = written.control_id.clone();
        self.his.orders.push(written);
        let orders = &self.his.orders;
        self.bridge
            .until("it is answered", || orders.answer(&control).is_some())
            .await;
        let answer = orders.answer(&control).expect("it was answered");
        assert!(answer.is_accepted(), "{}", answer.text);
    }

    /// Message number `count` that the device hears: records after the header, which has the time.
    async fn hears(&self, count: usize) -> String {
        self.bridge
            .until(&format!("message {count} is heard"), || {
                self.device.heard().len() >= count
            })
            .await;
        let heard = self.device.heard();
        assert_eq!(heard.len(), count, "{heard:?}");
        let text = latin(&heard[count - 1]);
        let (header, records) = text.split_once('\r').expect("records");
        assert!(header.starts_with("H|\\^&|||Labwire|||||"), "{header}");
        records.to_owned()
    }

    async fn close(self) {
        let findings = account::findings(&self.site.store());
        assert!(findings.is_empty(), "{findings:#?}");
        self.cancel.cancel();
        self.bridge.stop().await;
    }
}

/// The text of a device whose letters are those of Latin-1.
fn latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// The patient record of this tube's patient, as the device hears it.
fn patient(number: usize, barcode: &str) -> String {
    format!("P|{number}|PN{barcode}|||TRAN^BÌNH THI||19911105|F\r")
}

/// The order record, without the priority, which is routine; `last` is O.26.
fn order(barcode: &str, tests: &str, action: &str, last: &str) -> String {
    format!("O|1|{barcode}||{tests}|R|20260310083000|||||{action}||||SER||||||||||{last}\r")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_is_told_of_an_order_its_addition_its_change_and_its_cancel() {
    let mut ward = Ward::open("download").await;
    ward.plug().await;
    let first = patient(1, "T1");
    ward.places(&request(Control::New, "T1", &["NA", "CL"]))
        .await;
    assert_eq!(
        ward.hears(1).await,
        format!("{first}{}L|1|N\r", order("T1", "^^^NA\\^^^CL", "N", "O"))
    );
    ward.places(&request(Control::New, "T1", &["K"])).await;
    assert_eq!(
        ward.hears(2).await,
        format!("{first}{}L|1|N\r", order("T1", "^^^K", "A", "O"))
    );
    // The potassium is wanted from another tube of the same patient.
    let moved = Request {
        barcode: "T2".to_owned(),
        ..request(Control::Change, "T1", &["K"])
    };
    ward.places(&moved).await;
    ward.bridge
        .until("both tubes are told", || ward.device.heard().len() == 4)
        .await;
    assert_eq!(
        ward.hears(4).await,
        format!("{first}{}L|1|N\r", order("T2", "^^^K", "N", "O"))
    );
    ward.places(&request(Control::Cancel, "T1", &["NA"])).await;
    assert_eq!(
        ward.hears(5).await,
        format!("{first}{}L|1|N\r", order("T1", "^^^NA", "C", "O"))
    );
    let third = latin(&ward.device.heard()[2]);
    assert!(
        third.ends_with(&format!("{first}{}L|1|N\r", order("T1", "^^^K", "C", "O"))),
        "{third}"
    );
    ward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_for_many_for_a_range_and_for_all_gets_exactly_what_is_ordered() {
    let mut ward = Ward::open("query").await;
    ward.plug().await;
    for (barcode, services) in [
        ("25031001", &["NA", "K"][..]),
        // Nothing of it is for this device.
        ("25031002", &["GLU"]),
        ("25031003", &["CL"]),
        ("25031004", &["K"]),
    ] {
        ward.places(&request(Control::New, barcode, services)).await;
    }
    assert!(
        ward.device.heard().is_empty(),
        "it asks, so nobody tells it"
    );
    let one = order("25031001", "^^^NA\\^^^K", "N", "Q");
    let three = order("25031003", "^^^CL", "N", "Q");
    let four = order("25031004", "^^^K", "N", "Q");
    let asks = |subject: &str| {
        let records = format!("Q|1|{subject}|ALL||||||||O\rL|1|N\r");
        ward.device.say(format!("H|\\^&|||ANALYZER1\r{records}"));
    };
    let of = |number, barcode: &str, order: &str| patient(number, barcode) + order;

    asks("^25031001\\^25039999\\^25031003|");
    let answer = of(1, "25031001", &one) + &of(2, "25031003", &three) + "L|1|F\r";
    assert_eq!(ward.hears(1).await, answer);

    asks("^25031002|^25031003");
    let answer = of(1, "25031003", &three) + "L|1|F\r";
    assert_eq!(ward.hears(2).await, answer);

    asks("ALL|");
    // What it was not told of goes first, then what is old.
    let answer = of(1, "25031004", &four)
        + &of(2, "25031001", &one)
        + &of(3, "25031003", &three)
        + "L|1|F\r";
    assert_eq!(ward.hears(3).await, answer);

    asks("^25031002|");
    assert_eq!(ward.hears(4).await, "L|1|I\r");
    ward.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_nobody_can_answer_is_refused() {
    let ward = Ward::open("query").await;
    for kind in ["QBP^Q11^QBP_Q11", "QRY^A19"] {
        let (asking, wire) = (Script::default(), ward.wire());
        let unplug = wire.cancel.clone();
        asking.plug_mllp(ward.port("hl7-1").await, wire);
        asking.say(format!(
            "MSH|^~\\&|ANALYZER|LAB|||20260310090000||{kind}|{kind}|P|2.5.1\r\
             QPD|WOS^Work Order Step^IHELAW|Q77|25011500021\rRCP|I\r"
        ));
        ward.bridge
            .until("it is refused", || !asking.refusals().is_empty())
            .await;
        let refusal = asking.refusals().remove(0);
        assert!(refusal.contains("\rMSA|AR|"), "{refusal}");
        assert!(refusal.contains("|200^"), "{refusal}");
        assert_eq!(asking.acknowledged(), 0);
        unplug.cancel();
    }
    ward.close().await;
}

/// Sends a message as a device does that waits for every answer; its EOT is still to be sent.
async fn say(stream: &mut TcpStream, message: &str) {
    let bytes = frames(message);
    let (_eot, begun) = bytes.split_last().expect("frames");
    let acks = 1 + message.matches('\r').count();
    let heard = ask(stream, begun, |heard| heard.len() >= acks).await;
    assert_eq!(heard, vec![ACK; acks]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_withdrawn_while_the_device_is_busy_is_not_answered() {
    let mut ward = Ward::open("both").await;
    let address = ward.bridge.address("dev-1").await.expect("it listens");
    let mut device = TcpStream::connect(address).await.expect("it listens");
    let query = |status: &str| format!("H|\\^&|||A1\rQ|1|^T1||ALL||||||||{status}\rL|1|N\r");
    say(&mut device, &query("O")).await;
    let bid = ask(&mut device, EOT, |heard| heard.ends_with(ENQ)).await;
    assert_eq!(bid, ENQ, "the answer");
    device.write_all(&[NAK]).await.expect("the line reads");
    say(&mut device, &query("A")).await;
    let line = &ward.bridge.lines["dev-1"];
    ward.bridge
        .until("the answer is taken back", || {
            line.status().counters.send_failures == 1
        })
        .await;
    ward.places(&request(Control::New, "T2", &["NA"])).await;
    // What the device is told next.
    ask(&mut device, EOT, |heard| heard.ends_with(ENQ)).await;
    let mut heard = Vec::new();
    while !heard.ends_with(EOT) {
        let is_whole = |more: &[u8]| more.ends_with(b"\n") || more.ends_with(EOT);
        heard.extend(ask(&mut device, &[ACK], is_whole).await);
    }
    let text = latin(&heard);
    assert!(text.contains("O|1|T2||^^^NA"), "{text}");
    ward.close().await;
}
