//! Peers that send what nobody should, hosts that answer as nobody should, a disk that is full:
//! no line stops, nothing is lost, nothing is told that is not so.
//!
//! Kept elsewhere, beside the code that decides: an order without a tube, the same order twice
//! (`host::tests::inbound`), a result for a cancelled order, STAT first (`settle::tests`), a
//! read-only database (`store::tests`), a configuration with five mistakes (`config::tests`).

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use labwire::store::{Fault, FaultPoint, Faults, StoreOptions};
use labwire_sims::{
    chance::Chance,
    clock::Clock,
    his::{Answering, Policy, Refusal},
    port::Port,
    runner::Wire,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    hospital::{Bridge, His, PATIENCE, Site, ZONE},
    scripted::Script,
};

pub const ENQ: &[u8] = b"\x05";
pub const ACK: u8 = 6;
pub const NAK: u8 = 21;

/// A bridge with an ASTM line, an HL7 line and a HIS; both analyzers say what a test wants.
struct Lab {
    his: His,
    site: Site,
    bridge: Bridge,
    astm: SocketAddr,
    hl7: SocketAddr,
    orders: SocketAddr,
    count: u32,
    cancel: CancellationToken,
}

/// The instruments of [`Lab`].
const INSTRUMENTS: &str = r#"
[[instrument]]
id = "astm-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:0"
tests = { GLU = "GLU", NA = "NA", K = "K" }

[[instrument]]
id = "hl7-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"
tests = { GLU = "GLU", NA = "NA", K = "K" }
"#;

impl Lab {
    async fn open() -> Self {
        Self::with(His::open(Answering::good()).await, "", None).await
    }

    async fn with(his: His, host: &str, faults: Option<Arc<dyn Faults>>) -> Self {
        let results = &his.results;
        let site = Site::new(&format!(
            "[[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\n\
             results = \"{results}\"\nretry_first_s = 1\nretry_longest_s = 1\n{host}\n{INSTRUMENTS}"
        ));
        let store = StoreOptions {
            faults,
            ..StoreOptions::default()
        };
        let bridge = site.start_with(store).await;
        let at = async |line| bridge.address(line).await.expect("it listens");
        let (astm, hl7, orders) = (at("astm-1").await, at("hl7-1").await, at("host:his").await);
        his.place(orders);
        Self {
            his,
            site,
            bridge,
            astm,
            hl7,
            orders,
            count: 0,
            cancel: CancellationToken::new(),
        }
    }

    fn wire(&self) -> Wire {
        let mut wire = Wire::new(Clock::real(ZONE));
        wire.cancel = self.cancel.child_token();
        wire
    }

    /// An analyzer on the ASTM line, until its token is cancelled.
    fn astm(&self) -> (Script, CancellationToken) {
        let (script, wire) = (Script::default(), self.wire());
        let token = wire.cancel.clone();
        script.plug_astm(Port::Connect(self.astm.to_string()), wire);
        (script, token)
    }

    fn hl7(&self) -> (Script, CancellationToken) {
        let (script, wire) = (Script::default(), self.wire());
        let token = wire.cancel.clone();
        script.plug_mllp(Port::Connect(self.hl7.to_string()), wire);
        (script, token)
    }

    /// Orders, measures on every line, and waits until the HIS has it: all is well.
    async fn works(&mut self) {
        let (astm_1, unplug_astm) = self.astm();
        let (hl7_1, unplug_hl7) = self.hl7();
        for (line, script) in [("astm", &astm_1), ("hl7", &hl7_1)] {
            self.count += 1;
            let (barcode, text) = (format!("99{:06}", self.count), format!("5.{}", self.count));
            self.ordered(&barcode, &["GLU"]).await;
            script.say(match line {
                "astm" => astm(&barcode, &[("GLU", &text)]),
                _ => oru(&barcode, &[("GLU", &text)]),
            });
            let what = format!("{line} is acknowledged");
            self.bridge
                .until(&what, || script.acknowledged() == 1)
                .await;
            self.arrives(&barcode, "GLU", &text).await;
        }
        unplug_astm.cancel();
        unplug_hl7.cancel();
        let findings = account::findings(&self.site.store());
        assert!(findings.is_empty(), "{findings:#?}");
    }

    async fn ordered(&mut self, barcode: &str, services: &[&str]) {
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

    async fn arrives(&self, barcode: &str, code: &str, text: &str) {
        let what = format!("{barcode} {code} = {text} is at the HIS");
        self.bridge
            .until(&what, || {
                self.texts(barcode, code).contains(&text.to_owned())
            })
            .await;
    }

    /// What the HIS took for a test of a tube, in the order taken.
    fn texts(&self, barcode: &str, code: &str) -> Vec<String> {
        self.his.book.with_ledger(|ledger| {
            let own = ledger.observations().iter();
            let own = own.filter(|seen| seen.barcode == barcode && seen.code == code);
            own.map(|seen| seen.text.clone()).collect()
        })
    }

    async fn close(self) {
        self.cancel.cancel();
        self.bridge.stop().await;
    }
}

/// Says this, says nothing more, and reads what comes until the peer is quiet or gone.
async fn throw(at: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).await.expect("the line listens");
    let (mut reader, mut writer) = stream.split();
    let mut heard = Vec::new();
    let both = async {
        // A peer that had enough closes, or breaks off: those are good answers too.
        let writing = async {
            drop(writer.write_all(bytes).await);
            drop(writer.shutdown().await);
        };
        let reading = async { drop(reader.read_to_end(&mut heard).await) };
        tokio::join!(writing, reading);
    };
    let ended = tokio::time::timeout(PATIENCE, both).await;
    let begin = bytes.get(..20).unwrap_or(bytes).escape_ascii().to_string();
    assert!(
        ended.is_ok(),
        "the line keeps a peer that has hung up: {begin:?}"
    );
    heard
}

/// Says the whole of a message that was cut before, as a device does: again until it is told that
/// the message is taken. A line whose commits are behind refuses a connection, or ends it without
/// the answer.
async fn bring(at: SocketAddr, bytes: &[u8], is_taken: impl Fn(&[u8]) -> bool) {
    let bringing = async { while !is_taken(&throw(at, bytes).await) {} };
    let brought = tokio::time::timeout(PATIENCE, bringing).await;
    assert!(brought.is_ok(), "it is never taken");
}

/// [`bring`] for frames: ENQ is acknowledged, and every frame but the last, for whose answer the EOT
/// behind it did not wait.
async fn bring_frames(at: SocketAddr, frames: &[u8]) {
    let count = frames.iter().filter(|byte| **byte == b'\n').count();
    let acks = vec![ACK; count];
    bring(at, frames, |heard| heard.starts_with(&acks)).await;
}

/// Says this and waits for so many bytes, or an end block.
pub async fn ask(
    stream: &mut TcpStream,
    bytes: &[u8],
    is_whole: impl Fn(&[u8]) -> bool,
) -> Vec<u8> {
    stream.write_all(bytes).await.expect("the line reads");
    let mut heard = Vec::new();
    let reading = async {
        while !is_whole(&heard) {
            let mut chunk = [0; 4_096];
            let length = stream.read(&mut chunk).await.expect("the line answers");
            assert_ne!(length, 0, "the line was closed");
            heard.extend_from_slice(&chunk[..length]);
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await;
    assert!(read.is_ok(), "no answer");
    heard
}

pub async fn ask_mllp(stream: &mut TcpStream, message: &str) -> String {
    ask_block(stream, &block(message)).await
}

async fn ask_block(stream: &mut TcpStream, block: &[u8]) -> String {
    let heard = ask(stream, block, |heard| heard.ends_with(b"\x1c\r")).await;
    String::from_utf8(heard).expect("a reply is UTF-8")
}

fn block(message: &str) -> Vec<u8> {
    format!("\u{b}{message}\u{1c}\r").into_bytes()
}

fn astm(barcode: &str, results: &[(&str, &str)]) -> String {
    let mut out = format!("H|\\^&|||ANALYZER\rP|1\rO|1|{barcode}||^^^X|R\r");
    for (n, (code, text)) in (1..).zip(results) {
        out.push_str(&format!("R|{n}|^^^{code}|{text}|mmol/L||N||F\r"));
    }
    out + "L|1|N\r"
}

/// The bytes of an instrument that sends a record a frame and waits for nothing.
pub fn frames(message: &str) -> Vec<u8> {
    let mut out = ENQ.to_vec();
    for (number, record) in (1..).zip(message.split_inclusive('\r')) {
        let body = format!("{}{record}\u{3}", number % 8);
        let sum = body.bytes().fold(0_u8, u8::wrapping_add);
        out.extend(format!("\u{2}{body}{sum:02X}\r\n").bytes());
    }
    out.push(4);
    out
}

fn oru(barcode: &str, results: &[(&str, &str)]) -> String {
    let mut out = format!(
        "MSH|^~\\&|ANALYZER|LAB|||20260310090000||ORU^R01|{barcode}|P|2.5.1||||||UNICODE UTF-8\r\
         PID|1\rOBR|1||{barcode}|X\r"
    );
    for (n, (code, text)) in (1..).zip(results) {
        out.push_str(&format!("OBX|{n}|NM|{code}||{text}|mmol/L||N|||F\r"));
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_stop_no_line() {
    let mut lab = Lab::open().await;
    let mut chance = Chance::new(11);
    for _ in 0..12 {
        let length = 1 + chance.index(3_000);
        let mut bytes: Vec<u8> = (0..length)
            .map(|_| chance.draw().to_le_bytes()[0])
            .collect();
        for line in [lab.astm, lab.hl7, lab.orders] {
            throw(line, &bytes).await;
            // The same, begun as the line expects.
            let begin: &[u8] = if line == lab.astm {
                b"\x05\x021"
            } else {
                b"\x0bMSH|^~\\&|"
            };
            bytes.splice(..0, begin.iter().copied());
            throw(line, &bytes).await;
        }
    }
    lab.works().await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_frames_fields_and_blocks_end_and_other_lines_go_on() {
    let mut lab = Lab::open().await;
    // One byte of these is an event of its own; a megabyte of the others is one block.
    let (storm, much) = (20_000, 1_000_000);
    let endless = |length: usize, begin: &str, again: &str| {
        let mut bytes = begin.as_bytes().to_vec();
        bytes.extend(again.bytes().cycle().take(length));
        bytes
    };
    for bytes in [
        endless(much, "\u{5}\u{2}1", "A"),
        endless(much, "\u{5}\u{2}1R|1|^^^GLU|", "|\\^&"),
        endless(storm, "\u{5}", "\u{2}1\u{3}34\r\n"),
        endless(storm, "", "\u{5}"),
        endless(storm, "", "\u{2}"),
    ] {
        throw(lab.astm, &bytes).await;
    }
    for bytes in [
        endless(much, "\u{b}MSH|^~\\&|", "A"),
        endless(much, "\u{b}MSH|^~\\&|", "|"),
        endless(much, "\u{b}MSH|^~\\&|A\r", "OBX|1\r"),
        endless(storm, "", "\u{b}"),
        endless(storm, "", "\u{b}\u{1c}\r"),
    ] {
        throw(lab.hl7, &bytes).await;
        throw(lab.orders, &bytes).await;
    }
    lab.works().await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_with_nothing_after_it_is_never_taken_for_an_order() {
    let mut lab = Lab::open().await;
    for header in [
        "",
        "MSH",
        "MSH|",
        "MSH|^~\\&",
        "MSH|^~\\&\r",
        "MSH|^~\\&|||||||||",
    ] {
        for line in [lab.hl7, lab.orders] {
            let heard = throw(line, &block(header)).await;
            let heard = String::from_utf8(heard).expect("a reply is UTF-8");
            assert!(
                !heard.contains("MSA|AA") || line == lab.hl7,
                "{header}: {heard}"
            );
        }
    }
    lab.works().await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_cut_anywhere_is_no_message_and_comes_whole_once() {
    let mut lab = Lab::open().await;
    lab.ordered("T1", &["GLU", "NA"]).await;
    lab.ordered("T2", &["GLU", "NA"]).await;
    let results = [("GLU", "5.40"), ("NA", "140")];
    let (by_astm, by_hl7) = (frames(&astm("T1", &results)), block(&oru("T2", &results)));
    let form = crate::hospital::request(labwire_sims::his::Control::New, "T3", &["GLU"]);
    let order = lab.his.writer.request(&form, "20260310090000+0700");
    let text = String::from_utf8(order.bytes.to_vec()).expect("UTF-8");
    let order_block = block(&text);
    for (line, bytes) in [
        (lab.astm, &by_astm),
        (lab.hl7, &by_hl7),
        (lab.orders, &order_block),
    ] {
        // The last three bytes hold the end of a message, and the end of its frame or block.
        for length in 0..bytes.len() - 6 {
            throw(line, &bytes[..length]).await;
        }
    }
    let taken = lab
        .his
        .book
        .with_ledger(|ledger| ledger.observations().len());
    assert_eq!(taken, 0, "nothing of a cut message is told");
    bring_frames(lab.astm, &by_astm).await;
    for (line, bytes) in [(lab.hl7, &by_hl7), (lab.orders, &order_block)] {
        bring(line, bytes, |heard| {
            heard.windows(6).any(|part| part == b"MSA|AA")
        })
        .await;
    }
    for barcode in ["T1", "T2"] {
        for (code, text) in results {
            lab.arrives(barcode, code, text).await;
        }
    }
    lab.works().await;
    for barcode in ["T1", "T2"] {
        for (code, text) in results {
            assert_eq!(lab.texts(barcode, code), [text], "{barcode} {code}, once");
        }
    }
    let stored = account::items(&lab.site.store(), "T3");
    assert_eq!(stored, 1, "the order is in the book once");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_outside_the_character_set_are_held_or_refused_and_never_told() {
    let mut lab = Lab::open().await;
    lab.ordered("T1", &["GLU", "NA"]).await;
    let mut bytes = block(&oru("T1", &[("GLU", "5.40"), ("NA", "14@")]));
    let at = bytes
        .iter()
        .position(|byte| *byte == b'@')
        .expect("it is there");
    bytes[at] = 0xE9;
    let mut device = TcpStream::connect(lab.hl7).await.expect("it listens");
    let heard = ask_block(&mut device, &bytes).await;
    assert!(heard.contains("MSA|AA"), "it is kept: {heard}");
    lab.arrives("T1", "GLU", "5.40").await;
    let shown = account::states(&lab.site.store(), "T1");
    assert!(
        shown
            .iter()
            .any(|row| row.starts_with("NA held undecodable")),
        "{shown:?}"
    );
    let form = crate::hospital::request(labwire_sims::his::Control::New, "T2", &["G@U"]);
    let order = lab.his.writer.request(&form, "20260310090000+0700");
    let mut bytes = block(std::str::from_utf8(&order.bytes).expect("UTF-8"));
    let at = bytes
        .iter()
        .position(|byte| *byte == b'@')
        .expect("it is there");
    bytes[at] = 0xE9;
    let mut host = TcpStream::connect(lab.orders).await.expect("it listens");
    let heard = ask_block(&mut host, &bytes).await;
    assert!(
        heard.contains("MSA|AE") && heard.contains("character set"),
        "{heard}"
    );
    lab.works().await;
    lab.close().await;
}

/// A disk without room, as long as the test says so.
#[derive(Debug, Default)]
pub struct FullDisk(pub AtomicBool);

impl Faults for FullDisk {
    fn at(&self, point: FaultPoint) -> Option<Fault> {
        let is_full = self.0.load(Ordering::SeqCst) && point == FaultPoint::Commit;
        is_full.then_some(Fault::DiskFull)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_promises_nothing_and_what_comes_again_is_taken() {
    let disk = Arc::new(FullDisk::default());
    let his = His::open(Answering::good()).await;
    let faults = Arc::clone(&disk) as Arc<dyn Faults>;
    let mut lab = Lab::with(his, "", Some(faults)).await;
    lab.ordered("T1", &["GLU"]).await;
    lab.ordered("T2", &["GLU"]).await;
    disk.0.store(true, Ordering::SeqCst);

    let by_astm = frames(&astm("T1", &[("GLU", "5.40")]));
    let mut analyzer = TcpStream::connect(lab.astm).await.expect("it listens");
    let end = 1 + by_astm
        .iter()
        .position(|byte| *byte == b'\n')
        .expect("a frame");
    let heard = ask(&mut analyzer, &by_astm[..end], |heard| heard.len() >= 2).await;
    assert_eq!(heard, [ACK, NAK], "ENQ is acknowledged, the frame is not");
    drop(analyzer);

    let mut device = TcpStream::connect(lab.hl7).await.expect("it listens");
    let message = oru("T2", &[("GLU", "5.41")]);
    let heard = ask_mllp(&mut device, &message).await;
    assert!(
        heard.contains("MSA|AR|T2") && heard.contains("207"),
        "{heard}"
    );
    let enhanced = message.replace("|P|2.5.1||||||", "|P|2.5.1|||AL|NE||");
    let heard = ask_mllp(&mut device, &enhanced).await;
    assert!(heard.contains("MSA|CE|T2"), "{heard}");

    let form = crate::hospital::request(labwire_sims::his::Control::New, "T3", &["GLU"]);
    let order = lab.his.writer.request(&form, "20260310090000+0700");
    let text = String::from_utf8(order.bytes.to_vec()).expect("UTF-8");
    let mut host = TcpStream::connect(lab.orders).await.expect("it listens");
    let heard = ask_mllp(&mut host, &text).await;
    assert!(
        heard.contains("MSA|AR|") && heard.contains("207"),
        "{heard}"
    );
    assert_eq!(account::items(&lab.site.store(), "T3"), 0);

    disk.0.store(false, Ordering::SeqCst);
    bring_frames(lab.astm, &by_astm).await;
    let heard = ask_mllp(&mut device, &message).await;
    assert!(heard.contains("MSA|AA|T2"), "{heard}");
    let heard = ask_mllp(&mut host, &text).await;
    assert!(heard.contains("MSA|AA|"), "{heard}");
    lab.arrives("T1", "GLU", "5.40").await;
    lab.arrives("T2", "GLU", "5.41").await;
    assert_eq!(account::items(&lab.site.store(), "T3"), 1);
    lab.works().await;
    lab.close().await;
}

/// A disk that writes and says that it did not, as long as the test says so.
#[derive(Debug, Default)]
pub struct WrittenUnsaid(pub AtomicBool);

impl Faults for WrittenUnsaid {
    fn at(&self, point: FaultPoint) -> Option<Fault> {
        let strikes = point == FaultPoint::Committed && self.0.load(Ordering::SeqCst);
        strikes.then_some(Fault::DiskFailed)
    }
}

/// Neither device sends again: what stands in the journal has to be read without them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_though_its_commit_was_reported_as_failed_is_read() {
    let disk = Arc::new(WrittenUnsaid::default());
    let his = His::open(Answering::good()).await;
    let faults = Arc::clone(&disk) as Arc<dyn Faults>;
    let mut lab = Lab::with(his, "", Some(faults)).await;
    lab.ordered("T1", &["GLU"]).await;
    lab.ordered("T2", &["GLU"]).await;

    let mut device = TcpStream::connect(lab.hl7).await.expect("it listens");
    disk.0.store(true, Ordering::SeqCst);
    let heard = ask_mllp(&mut device, &oru("T1", &[("GLU", "5.40")])).await;
    assert!(
        heard.contains("MSA|AR|T1") && heard.contains("207"),
        "{heard}"
    );
    disk.0.store(false, Ordering::SeqCst);
    lab.arrives("T1", "GLU", "5.40").await;

    let by_astm = frames(&astm("T2", &[("GLU", "5.41")]));
    let ends: Vec<usize> = by_astm
        .iter()
        .enumerate()
        .filter_map(|(at, byte)| (*byte == b'\n').then_some(at + 1))
        .collect();
    let [.., but_last, last] = ends[..] else {
        panic!("more than one frame: {by_astm:?}");
    };
    let mut analyzer = TcpStream::connect(lab.astm).await.expect("it listens");
    let mut begin = 0;
    for end in &ends[..ends.len() - 1] {
        let answers = if begin == 0 { 2 } else { 1 };
        let sent = &by_astm[begin..*end];
        let heard = ask(&mut analyzer, sent, |heard| heard.len() >= answers).await;
        assert!(heard.iter().all(|byte| *byte == ACK), "{heard:?}");
        begin = *end;
    }
    disk.0.store(true, Ordering::SeqCst);
    let heard = ask(&mut analyzer, &by_astm[but_last..last], |heard| {
        !heard.is_empty()
    })
    .await;
    assert_eq!(heard, [NAK], "the frame that ends the message");
    disk.0.store(false, Ordering::SeqCst);
    lab.arrives("T2", "GLU", "5.41").await;
    drop(analyzer);

    lab.works().await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_tried_again_and_stops_no_other_line() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = taken.local_addr().expect("bound");
    let more = format!(
        "\n[[instrument]]\nid = \"late\"\nprofile = \"generic/astm\"\n\
         port = \"tcp-listen://{address}\"\ntests = {{ GLU = \"GLU\" }}\n"
    );
    let his = His::open(Answering::good()).await;
    let mut lab = Lab::with(his, &more, None).await;
    lab.works().await;
    drop(taken);
    let late = lab.bridge.lines["late"].clone();
    let opened = tokio::time::timeout(PATIENCE, async {
        while late.local_addr().await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    opened.await.expect("the port is opened when it is free");
    lab.astm = address;
    lab.works().await;
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_is_set_aside_and_the_next_patients_goes_on() {
    let mut answering = Answering::good();
    let refusal = Refusal {
        code: "AR",
        error: Some(204),
    };
    answering.by_text = vec![("PNT1".to_owned(), Policy::Refuse(refusal))];
    let mut lab = Lab::with(His::open(answering).await, "", None).await;
    lab.ordered("T1", &["GLU"]).await;
    lab.ordered("T2", &["GLU"]).await;
    let (device, _) = lab.hl7();
    device.say(oru("T1", &[("GLU", "5.40")]));
    device.say(oru("T2", &[("GLU", "5.41")]));
    lab.arrives("T2", "GLU", "5.41").await;
    let url = lab.site.store();
    let is_aside = || {
        let open = account::open_work(&url);
        open.len() == 1 && open[0].starts_with("host:his: set-aside, tried 1")
    };
    lab.bridge
        .until("the refused one is set aside", is_aside)
        .await;
    assert!(lab.texts("T1", "GLU").is_empty());
    lab.close().await;
}

/// A HIS of which a test writes every answer: it gets the number of the message and its control
/// id, and gives the control id to answer with, or none to say nothing.
async fn odd_his(
    answer: impl Fn(usize, &str) -> Option<String> + Send + 'static,
) -> (String, Arc<std::sync::Mutex<Vec<Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = format!("mllp://{}", listener.local_addr().expect("bound"));
    let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            let mut bytes = Vec::new();
            while let Ok(1..) = stream.read_buf(&mut bytes).await {
                if !bytes.ends_with(b"\x1c\r") {
                    continue;
                }
                let text = String::from_utf8(bytes.clone()).expect("UTF-8");
                let control = text.split('|').nth(9).expect("MSH-10").to_owned();
                let number = {
                    let mut kept = kept.lock().expect("nobody panics with it");
                    kept.push(std::mem::take(&mut bytes));
                    kept.len()
                };
                if let Some(id) = answer(number, &control) {
                    let ack = format!(
                        "MSH|^~\\&|HIS||LABWIRE||20260310||ACK|A{number}|P|2.5.1\rMSA|AA|{id}\r"
                    );
                    stream.write_all(&block(&ack)).await.expect("it is read");
                }
            }
        }
    });
    (address, heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_another_message_closes_nothing_and_a_retry_is_the_same_message() {
    let (address, heard) = odd_his(|number, control| match number {
        1 => None,
        2 => Some("SOMEBODYELSES".to_owned()),
        _ => Some(control.to_owned()),
    })
    .await;
    let mut his = His::open(Answering::good()).await;
    his.results = address;
    // Long enough for an answer that is given at once on a machine that is busy: one that came too
    // late would be a fourth try.
    let mut lab = Lab::with(his, "reply_timeout_s = 5", None).await;
    lab.ordered("T1", &["GLU"]).await;
    let (device, _) = lab.hl7();
    device.say(oru("T1", &[("GLU", "5.40")]));
    let url = lab.site.store();
    lab.bridge
        .until("it is delivered", || {
            device.acknowledged() == 1 && account::delivered(&url) == 1
        })
        .await;
    let heard = heard.lock().expect("nobody panics with it").clone();
    assert_eq!(heard.len(), 3);
    assert!(
        heard.iter().all(|bytes| *bytes == heard[0]),
        "the same bytes each time"
    );
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_while_the_his_is_down_arrives_when_it_is_up() {
    // Bound, so that nobody else gets the port, but not listening yet.
    let down = TcpSocket::new_v4().expect("a socket");
    let any = "127.0.0.1:0".parse().expect("an address");
    down.bind(any).expect("a free port");
    let address = down.local_addr().expect("bound");
    let mut his = His::open(Answering::good()).await;
    let up = std::mem::replace(&mut his.results, format!("mllp://{address}"));
    let mut lab = Lab::with(his, "", None).await;
    let (device, _) = lab.hl7();
    for number in 0..20 {
        let barcode = format!("T{number}");
        lab.ordered(&barcode, &["GLU", "NA"]).await;
        device.say(oru(&barcode, &[("GLU", &format!("1.{number}"))]));
        device.say(oru(&barcode, &[("NA", &format!("2.{number}"))]));
    }
    lab.bridge
        .until("everything is acknowledged", || device.acknowledged() == 40)
        .await;
    let url = lab.site.store();
    assert_eq!(account::delivered(&url), 0);
    // The HIS comes up: what listens there leads to it.
    let listener = down.listen(16).expect("it is ours");
    let to = up.trim_start_matches("mllp://").to_owned();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let mut far = TcpStream::connect(&to).await.expect("the HIS is there");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
        }
    });
    for number in 0..20 {
        let barcode = format!("T{number}");
        lab.arrives(&barcode, "GLU", &format!("1.{number}")).await;
        lab.arrives(&barcode, "NA", &format!("2.{number}")).await;
    }
    let attempts = account::attempts_max(&url);
    assert_eq!(attempts, 1, "an outage counts no tries");
    lab.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_connections_keep_the_order_of_each_tube() {
    let slow = [
        (300, Policy::Slow(Duration::from_millis(40))),
        (300, Policy::Slow(Duration::from_millis(5))),
    ];
    let his = His::open(Answering::by_chance(slow, 5)).await;
    let mut lab = Lab::with(his, "connections = 4", None).await;
    let tubes: Vec<String> = (0..8).map(|number| format!("T{number}")).collect();
    for barcode in &tubes {
        lab.ordered(barcode, &["GLU"]).await;
    }
    let (device, _) = lab.hl7();
    for version in 0..6 {
        for barcode in &tubes {
            let message = oru(barcode, &[("GLU", &format!("{version}.5"))]);
            let is_first = version == 0;
            let status = if is_first { "|||F\r" } else { "|||C\r" };
            device.say(message.replace("|||F\r", status));
        }
    }
    lab.bridge
        .until("everything is acknowledged", || device.acknowledged() == 48)
        .await;
    for barcode in &tubes {
        lab.arrives(barcode, "GLU", "5.5").await;
        let texts = lab.texts(barcode, "GLU");
        assert!(texts.is_sorted(), "{barcode}: {texts:?}");
    }
    let url = lab.site.store();
    lab.bridge
        .until_empty("still open", || account::open_work(&url))
        .await;
    lab.close().await;
}
