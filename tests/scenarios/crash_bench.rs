//! Two lines for rows of the crash table that look at every single byte: an ASTM instrument and one
//! of HL7, whose part the test itself plays.

use std::process::Command;

use labwire_sims::chance::Chance;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    account,
    crash::{Labwire, command, free_port},
    hospital::{PATIENCE, Site, comes},
};

pub const ACK: u8 = 0x06;
pub const NAK: u8 = 0x15;
const ENQ: u8 = 0x05;
const EOT: u8 = 0x04;

/// Where both lines are.
#[derive(Clone, Copy, Debug)]
struct Ports {
    astm: u16,
    hl7: u16,
}

impl Ports {
    fn new(chance: &mut Chance) -> Self {
        Self {
            astm: free_port(chance),
            hl7: free_port(chance),
        }
    }

    /// The file of the site.
    fn lab(self) -> String {
        let Self { astm, hl7 } = self;
        format!(
            r#"
[[instrument]]
id = "astm-1"
profile = "generic/astm"
port = "tcp-listen://127.0.0.1:{astm}"
tests = {{ GLU = "GLU" }}

[[instrument]]
id = "hl7-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:{hl7}"
tests = {{ NA = "NA" }}
"#
        )
    }
}

/// A site with both lines.
pub struct Bench {
    pub site: Site,
    ports: Ports,
}

impl Bench {
    /// Its store at `store`, or in a folder of its own.
    pub fn new(seed: u64, store: Option<&str>) -> Self {
        let ports = Ports::new(&mut Chance::fork(seed, "ports"));
        let lab = ports.lab();
        let site = store.map_or_else(|| Site::new(&lab), |url| Site::on(url, &lab));
        Self { site, ports }
    }

    pub async fn start(&self) -> Labwire {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_labwire")))
            .await
    }

    /// Starts it by this command, until both lines listen.
    pub async fn start_by(&self, command: Command) -> Labwire {
        let labwire = Labwire::start_by(command, &self.site.lab());
        let starts = comes(PATIENCE, || labwire.count("listening at=") == 2);
        assert!(starts.await, "it does not start: {}", labwire.log());
        labwire
    }

    /// Both devices.
    pub async fn dial(&self) -> (Peer, Peer) {
        let Ports { astm, hl7 } = self.ports;
        (Peer::dial(astm).await, Peer::dial(hl7).await)
    }
}

/// Waits until everything in the journal is read, and stops it; then the ledger finds nothing wrong.
pub async fn reads_everything(labwire: &mut Labwire, site: &Site) {
    let url = site.store();
    let is_read = comes(PATIENCE, || {
        labwire.count("listening at=") == 2 && account::open_work(&url).is_empty()
    });
    assert!(is_read.await, "{}", labwire.log());
    labwire.stop();
    let (said, is_clean) = command(site, &["ledger", "--findings"]);
    assert!(is_clean, "{said}");
}

/// A connection on which every answer is waited for.
pub struct Peer(TcpStream);

impl Peer {
    /// The device on this port.
    pub async fn dial(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await;
        Self(stream.expect("the line listens"))
    }

    async fn ask(&mut self, bytes: &[u8], end: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        self.0.write_all(bytes).await.expect("the line reads");
        let mut answer = Vec::new();
        let read = async {
            while !end(&answer) {
                let byte = self.0.read_u8().await.expect("the line answers");
                answer.push(byte);
            }
        };
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.expect("the line answers in time");
        answer
    }

    async fn ask_byte(&mut self, bytes: &[u8]) -> u8 {
        self.ask(bytes, |answer| !answer.is_empty()).await[0]
    }

    /// Bids for the line; what it is answered.
    pub async fn bid(&mut self) -> u8 {
        self.ask_byte(&[ENQ]).await
    }

    /// Sends a frame of one record; what it is answered (LIS01-A2 8.3).
    pub async fn frame(&mut self, number: usize, record: &str) -> u8 {
        let body = format!("{}{record}\r\x03", number % 8);
        let sum = body.bytes().fold(0_u8, u8::wrapping_add);
        let frame = format!("\x02{body}{sum:02X}\r\n");
        self.ask_byte(frame.as_bytes()).await
    }

    /// Ends the session.
    pub async fn end(&mut self) {
        self.0.write_all(&[EOT]).await.expect("the line reads");
    }

    /// Sends a message in a block; the reply without its block.
    pub async fn say(&mut self, message: &str) -> String {
        let block = format!("\x0b{message}\x1c\r");
        let reply = self
            .ask(block.as_bytes(), |answer| answer.ends_with(b"\x1c\r"))
            .await;
        let text = String::from_utf8(reply).expect("replies are text");
        text.trim_matches(['\x0b', '\x1c', '\r']).to_owned()
    }
}

/// The records of an ASTM message; each holds the token and its own number, as `<token>-3`.
pub fn records(token: &str) -> Vec<String> {
    vec![
        format!("H|\\^&|||{token}-1|||||||P||20260310080000"),
        format!("P|1||{token}-2"),
        format!("O|1|{token}-3||^^^GLU|R"),
        format!("R|1|^^^GLU|5.1|mmol/L||N||F||||20260310080000|{token}-4"),
        format!("L|1|N|{token}-5"),
    ]
}

/// A whole message as frames; what each was answered.
pub async fn tell(peer: &mut Peer, token: &str) -> Vec<u8> {
    let mut answers = vec![peer.bid().await];
    for (number, record) in (1..).zip(records(token)) {
        answers.push(peer.frame(number, &record).await);
    }
    peer.end().await;
    answers
}

/// A result in HL7 under this control id.
pub fn message(token: &str) -> String {
    format!(
        "MSH|^~\\&|ANALYZER|LAB|||20260310080000||ORU^R01|{token}|P|2.5.1||||||UNICODE UTF-8\r\
         PID|1\rOBR|1||{token}|X\rOBX|1|NM|NA||139|mmol/L||N|||F|||20260310080000\r"
    )
}
