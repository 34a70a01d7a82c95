//! A laboratory for one row: a folder, a bridge in this process, a HIS that acknowledges at once.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use labwire::{
    bridge::{Running, Setup, start},
    config::{self, Seams},
    profile::Library,
    store::{Sql, StoreOptions},
};
use labwire_drivers::{Clock as _, SystemClock};
use labwire_sims::{
    his::{Control, Item, Patient, Request, Version, Writer},
    load,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
    time::Instant,
};

use crate::cluster::Cluster;

/// How long a row may take at most: a bound for a broken bridge, not a wait.
pub const PATIENCE: Duration = Duration::from_secs(900);

/// Connections of the HIS that sends orders.
const ORDER_LINES: u64 = 8;

/// Now on the walls of the laboratory, `YYYYMMDDHHMMSS`.
pub fn wall_time() -> String {
    let micros = SystemClock::default().utc_micros();
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(7));
    jiff::Timestamp::from_microsecond(micros)
        .map(|at| at.to_zoned(zone).strftime("%Y%m%d%H%M%S").to_string())
        .unwrap_or_default()
}

/// The server of every site of this run, where the store is to be on PostgreSQL.
static SERVER: OnceLock<Cluster> = OnceLock::new();

/// From now on every store is on PostgreSQL, in a cluster beside the sites' folders.
///
/// # Errors
/// If it cannot be had.
pub fn start_server() -> anyhow::Result<()> {
    let cluster = Cluster::start().context("PostgreSQL was asked for")?;
    SERVER.set(cluster).ok().context("it was started before")
}

/// The server, if the store is on one.
pub fn server() -> Option<&'static Cluster> {
    SERVER.get()
}

/// What one site looks like.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// MLLP lines.
    pub mllp: usize,
    /// ASTM lines.
    pub astm: usize,
    /// `durability` of the ASTM lines.
    pub durability: &'static str,
    /// The path of a serial port, for a line `s-0` at 9600 baud.
    pub serial: Option<String>,
    /// A console on a free port.
    pub has_console: bool,
    /// Another HIS than one that counts what it acknowledges.
    pub results: Option<SocketAddr>,
}

/// A folder with `lab.toml` and catalogue, and the HIS it names.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    /// What the HIS acknowledged.
    pub delivered: Arc<AtomicU64>,
    his: JoinHandle<std::io::Result<()>>,
    server_url: Option<String>,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.his.abort();
    }
}

impl Site {
    /// # Errors
    /// If the folder cannot be written.
    pub async fn new(shape: &Shape) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let results = shape.results.map_or_else(|| listener.local_addr(), Ok)?;
        let delivered = Arc::<AtomicU64>::default();
        let his = tokio::spawn(load::count_mllp(listener, Arc::clone(&delivered)));
        std::fs::write(folder.path().join("catalogue.toml"), catalogue())?;
        let mut text = lab(shape, results);
        let server_url = server().map(Cluster::new_schema);
        if let Some(url) = &server_url {
            text.push_str(&format!("\n[store]\nurl = \"{url}\"\n"));
        }
        std::fs::write(folder.path().join("lab.toml"), text)?;
        Ok(Self {
            folder,
            delivered,
            his,
            server_url,
        })
    }

    /// `lab.toml`.
    pub fn lab(&self) -> PathBuf {
        self.folder.path().join("lab.toml")
    }

    /// Where its store is, if not in its folder.
    pub fn server_url(&self) -> Option<&str> {
        self.server_url.as_deref()
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.folder.path().join("labwire.db")
    }

    /// Starts a bridge in this process.
    ///
    /// # Errors
    /// If the files are wrong or the store cannot be opened.
    pub async fn start(&self) -> anyhow::Result<Bridge> {
        let (loaded, problems) = config::load(&self.lab(), &Seams::default());
        ensure!(
            !problems.has_errors(),
            "{}",
            config::render(&problems, false)
        );
        let (library, problems) = Library::load(None);
        ensure!(
            !problems.has_errors(),
            "{}",
            config::render(&problems, false)
        );
        let setup = Setup {
            loaded: loaded.context("a configuration without problems")?,
            library,
            store: StoreOptions::default(),
            ports: None,
        };
        let running = start(setup, Arc::new(SystemClock::default())).await?;
        Ok(Bridge { running })
    }

    /// Waits until the HIS has so many messages.
    ///
    /// # Errors
    /// When patience ends.
    pub async fn until_delivered(&self, count: u64) -> anyhow::Result<()> {
        let wait = async {
            while self.delivered.load(Ordering::Relaxed) < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let ended = tokio::time::timeout(PATIENCE, wait).await;
        let got = self.delivered.load(Ordering::Relaxed);
        ended.with_context(|| format!("the HIS has {got} messages of {count}"))
    }
}

/// A bridge at work.
#[derive(Debug)]
pub struct Bridge {
    /// The bridge.
    pub running: Running,
}

impl Bridge {
    /// Where so many lines of a kind (`m` for MLLP, `a` for ASTM) listen.
    ///
    /// # Errors
    /// If one does not.
    pub async fn targets(&self, kind: &str, count: usize) -> anyhow::Result<Vec<String>> {
        let mut targets = Vec::new();
        for number in 0..count {
            let line = format!("{kind}-{number}");
            let address = self.running.address(&line).await;
            let address = address.with_context(|| format!("{line} does not listen"))?;
            targets.push(address.to_string());
        }
        Ok(targets)
    }

    /// Orders the panel on every tube of a load; returns what it took.
    ///
    /// # Errors
    /// If the bridge refuses one.
    pub async fn order(&self, plan: &load::Plan) -> anyhow::Result<Duration> {
        let address = self.running.address("host:his").await;
        let address = address.context("the order line does not listen")?;
        let mut tubes = Vec::new();
        for line in 0..plan.connections {
            tubes.extend((0..plan.messages).map(|number| plan.barcode(line, number)));
        }
        let share = tubes.len().div_ceil(usize::try_from(ORDER_LINES)?).max(1);
        let began = Instant::now();
        let mut lines = JoinSet::new();
        for (part, name) in tubes.chunks(share).zip('A'..='Z') {
            lines.spawn(order_line(
                address,
                part.to_vec(),
                format!("{name}{}-", plan.seed),
                false,
            ));
        }
        while let Some(done) = lines.join_next().await {
            done??;
        }
        Ok(began.elapsed())
    }

    /// Waits until every message has been read and settled.
    ///
    /// # Errors
    /// The store's, and when patience ends.
    pub async fn until_settled(&self) -> anyhow::Result<()> {
        const UNPARSED: Sql = Sql::same("SELECT count(*) FROM message WHERE state = 'unparsed'");
        let began = Instant::now();
        loop {
            let read = self.running.store.read(|db| db.row(&UNPARSED, &[])?.int(0));
            let left = read.await?;
            if left == 0 {
                return Ok(());
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "{left} messages are not settled"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Orders the panel on these tubes, one after the other.
///
/// # Errors
/// If the bridge refuses one.
pub async fn order_line(
    address: SocketAddr,
    tubes: Vec<String>,
    prefix: String,
    is_stat: bool,
) -> anyhow::Result<()> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.get_mut().set_nodelay(true)?;
    let mut writer = Writer::new(Version::V251, prefix);
    let time = wall_time();
    let mut reply = Vec::new();
    for tube in tubes {
        let form = Request {
            is_stat,
            ..request(&tube, &time)
        };
        let written = writer.request(&form, &time);
        let mut block = vec![0x0B];
        block.extend_from_slice(&written.bytes);
        block.extend_from_slice(&[0x1C, b'\r']);
        stream.get_mut().write_all(&block).await?;
        reply.clear();
        while !reply.ends_with(&[0x1C, b'\r']) {
            let read = stream.read_until(b'\r', &mut reply).await?;
            ensure!(read > 0, "the order line was closed");
        }
        let is_taken = reply.windows(6).any(|part| part == b"MSA|AA");
        ensure!(is_taken, "an order was refused: {}", reply.escape_ascii());
    }
    Ok(())
}

fn request(tube: &str, time: &str) -> Request {
    Request {
        control: Control::New,
        patient: Patient {
            id: format!("PN{tube}"),
            national_id: String::new(),
            insurance: String::new(),
            family: "TRẦN".to_owned(),
            given: "BÌNH".to_owned(),
            middle: "THỊ".to_owned(),
            birth: "19911105".to_owned(),
            sex: "F".to_owned(),
        },
        group: format!("G{tube}"),
        barcode: tube.to_owned(),
        items: vec![Item {
            placer: format!("P{tube}"),
            service: "CHEM".to_owned(),
            name: "Chemistry".to_owned(),
        }],
        is_stat: false,
        ward: "KKB".to_owned(),
        visit: format!("V{tube}"),
        collected: time.to_owned(),
        tube_type: "SER^Serum^HL70487".to_owned(),
    }
}

/// Twenty tests and the panel of them that the HIS orders.
fn catalogue() -> String {
    let mut text = String::new();
    let mut ids = Vec::new();
    for number in 1..=20 {
        text.push_str(&format!(
            "[[test]]\nid = \"T{number:02}\"\nunit = \"mmol/L\"\n\n"
        ));
        ids.push(format!("\"T{number:02}\""));
    }
    text.push_str(&format!(
        "[[panel]]\nid = \"CHEM\"\ntests = [{}]\n",
        ids.join(", ")
    ));
    text
}

fn lab(shape: &Shape, results: SocketAddr) -> String {
    let tests: Vec<String> = (1..=20)
        .map(|number| format!("T{number:02} = \"T{number:02}\""))
        .collect();
    let tests = tests.join(", ");
    let mut text = format!(
        "[lab]\ntimezone = \"Asia/Ho_Chi_Minh\"\ncatalogue = \"catalogue.toml\"\n\n\
         [[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\n\
         results = \"mllp://{results}\"\nconnections = 16\n"
    );
    if shape.has_console {
        text.push_str("\n[console]\nlisten = \"127.0.0.1:0\"\n");
    }
    for number in 0..shape.mllp {
        text.push_str(&format!(
            "\n[[instrument]]\nid = \"m-{number}\"\nprofile = \"generic/hl7\"\n\
             port = \"mllp-listen://127.0.0.1:0\"\ntests = {{ {tests} }}\n"
        ));
    }
    if let Some(path) = &shape.serial {
        text.push_str(&format!(
            "\n[[instrument]]\nid = \"s-0\"\nprofile = \"generic/astm\"\n\
             port = \"serial://{path}?baud=9600&bits=8&parity=none&stop=1\"\n\
             orders = \"query\"\ntests = {{ {tests} }}\n"
        ));
    }
    for number in 0..shape.astm {
        text.push_str(&format!(
            "\n[[instrument]]\nid = \"a-{number}\"\nprofile = \"generic/astm\"\n\
             port = \"tcp-listen://127.0.0.1:0\"\norders = \"query\"\ntests = {{ {tests} }}\n\
             durability = \"{}\"\n",
            if shape.durability.is_empty() {
                "frame"
            } else {
                shape.durability
            }
        ));
    }
    text
}

/// A load on these lines, one connection each.
pub fn plan(targets: Vec<String>, messages: u64, seed: u64) -> load::Plan {
    load::Plan {
        connections: targets.len(),
        targets,
        messages,
        results: 20,
        seed,
        time: wall_time(),
        pace: None,
    }
}

/// Bytes of a file.
pub fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |data| data.len())
}
