//! What a line does by itself, and what it tells people of it.

use std::{fs::File, sync::Arc, time::Duration};

use labwire_drivers::LostReason;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tracing::subscriber::DefaultGuard;

use crate::hospital::{PATIENCE, Site};

/// What a person finds in the log, as long as the test has one thread.
struct Log {
    file: tempfile::NamedTempFile,
    _guard: DefaultGuard,
}

impl Log {
    fn open() -> Self {
        let file = tempfile::NamedTempFile::new().expect("a file for the log");
        let writer: Arc<File> = Arc::new(file.reopen().expect("it is there"));
        let log = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(writer)
            .finish();
        Self {
            file,
            _guard: tracing::subscriber::set_default(log),
        }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file.path()).expect("it is text")
    }

    /// The lines that hold all these words.
    fn with(&self, words: &[&str]) -> Vec<String> {
        let text = self.text();
        let holds = |line: &&str| words.iter().all(|word| line.contains(word));
        text.lines().filter(holds).map(str::to_owned).collect()
    }
}

/// A device that says something every few hundred milliseconds while it is there.
const WITH_A_HEARTBEAT: &str = r#"
[device]
protocol = "astm"
[link]
silent_after_s = 1
[specimen]
id = "O.3"
[result]
code = "R.3.4"
value = "R.4"
"#;

async fn called(device: &TcpListener) -> TcpStream {
    let call = timeout(PATIENCE, device.accept()).await;
    call.expect("nobody calls").expect("a connection").0
}

#[tokio::test]
async fn a_half_open_device_with_a_heartbeat_is_found_and_called_again() {
    let device = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = device.local_addr().expect("bound");
    let site = Site::new(&format!(
        "profiles = \"profiles\"\n\n\
         [[instrument]]\nid = \"beats\"\nprofile = \"acme/beat\"\nport = \"tcp://{port}\"\n"
    ));
    site.profile("acme/beat.toml", WITH_A_HEARTBEAT);
    let bridge = site.start().await;
    // The device is there for the operating system, and says nothing any more: as if its program
    // stood still, or its power had gone.
    let half_open = called(&device).await;
    let again = called(&device).await;
    let status = bridge.lines["beats"].status();
    let problem = status.last_problem.expect("why the first connection ended");
    assert_eq!(problem.code, LostReason::Silent.code());
    drop((half_open, again));
    bridge.stop().await;
}

#[tokio::test]
async fn a_device_without_a_heartbeat_may_be_silent() {
    let device = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = device.local_addr().expect("bound");
    let site = Site::new(&format!(
        "[[instrument]]\nid = \"quiet\"\nprofile = \"generic/astm\"\nport = \"tcp://{port}\"\n"
    ));
    let bridge = site.start().await;
    let quiet = called(&device).await;
    // Longer than the silence that ends the connection of a device with a heartbeat.
    let again = timeout(Duration::from_millis(1_500), device.accept()).await;
    assert!(again.is_err(), "it was called again");
    drop(quiet);
    bridge.stop().await;
}

#[tokio::test]
async fn what_happens_on_a_line_is_logged_once_with_its_name() {
    let log = Log::open();
    let his = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let results = his.local_addr().expect("bound");
    let site = Site::new(&format!(
        "[[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\n\
         results = \"mllp://{results}\"\n\
         [[instrument]]\nid = \"one\"\nprofile = \"generic/astm\"\nport = \"tcp-listen://127.0.0.1:0\"\n"
    ));
    let bridge = site.start().await;
    for line in ["one", "host:his"] {
        let at = bridge.address(line).await.expect("it listens");
        drop(TcpStream::connect(at).await.expect("it accepts"));
        let what = format!("{line} has lost its peer");
        let is_lost = || bridge.lines[line].status().counters.losses == 1;
        bridge.until(&what, is_lost).await;
    }
    drop(called(&his).await);
    for (id, line) in [("one", "line=one}"), ("host:his", "line=host:his}")] {
        for what in ["listening", ": connected", "connection ended"] {
            let told = log.with(&[what, line]);
            assert_eq!(told.len(), 1, "{id}, {what}: {}", log.text());
        }
    }
    // Nothing tells of a line without saying which.
    let (told, named) = (
        log.with(&[": connected"]),
        log.with(&[": connected", "line="]),
    );
    assert_eq!(told, named);
    assert_eq!(log.with(&["listening"]).len(), 2, "{}", log.text());
    bridge.stop().await;
}

const ENQ: &[u8] = b"\x05";
const ACK: u8 = 0x06;
const NAK: u8 = 0x15;

/// Says it on the wire; gives the reply, one byte.
async fn say(device: &mut TcpStream, bytes: &[u8]) -> u8 {
    device.write_all(bytes).await.expect("the line is open");
    let reply = timeout(PATIENCE, device.read_u8()).await;
    reply.expect("no reply").expect("the line is open")
}

#[tokio::test]
async fn a_frame_beyond_the_limit_is_told_with_its_code_and_without_its_content() {
    let log = Log::open();
    let site = Site::new(
        "[[instrument]]\nid = \"one\"\nprofile = \"generic/astm\"\nport = \"tcp-listen://127.0.0.1:0\"\n",
    );
    let bridge = site.start().await;
    let at = bridge.address("one").await.expect("it listens");
    let mut device = TcpStream::connect(at).await.expect("it accepts");
    let mut frame = b"\x021".to_vec();
    frame.extend(b"SECRET".repeat(22_000));
    frame.extend(b"\x0300\r\n");
    assert_eq!(say(&mut device, ENQ).await, ACK);
    for _ in 0..3 {
        assert_eq!(say(&mut device, &frame).await, NAK);
    }
    let notes = || bridge.lines["one"].status().notes;
    bridge
        .until("all three are counted", || {
            notes().get("ASTM-0109") == Some(&3)
        })
        .await;
    let told = log.with(&["ASTM-0109"]);
    let [told] = told.as_slice() else {
        panic!("once, not {}: {}", told.len(), log.text());
    };
    for words in ["WARN", "line=one}", "times=1", "longer than the limit"] {
        assert!(told.contains(words), "{words}: {told}");
    }
    assert!(!log.text().contains("SECRET"), "{}", log.text());
    drop(device);
    bridge.stop().await;
}
