//! Rows about the program itself: `labwire run` as a process of its own.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, OnceLock},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use labwire_sims::load;
use tokio::{net::TcpStream, time::Instant};

use crate::{
    Wanted,
    copies::queue_copies,
    limits::Limits,
    site::{Shape, Site, plan, size},
    table::{Table, ratio, time},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_labwire");

/// A running `labwire run`.
pub struct Running {
    child: Child,
    /// Where the device lines listen.
    pub lines: Vec<String>,
    /// From the start of the process to the last line listening.
    pub started_in: Duration,
    /// Where the HIS sends its orders, and where the console is, as soon as the log says so.
    pub orders: Arc<OnceLock<String>>,
    pub console: Arc<OnceLock<String>>,
}

impl Running {
    /// Starts it and waits until so many device lines listen.
    pub async fn start(lab: &Path, count: usize) -> anyhow::Result<Self> {
        let lab = lab.to_owned();
        tokio::task::spawn_blocking(move || Self::start_blocking(&lab, count)).await?
    }

    fn start_blocking(lab: &Path, count: usize) -> anyhow::Result<Self> {
        let began = Instant::now();
        let mut child = Command::new(PROGRAM)
            .args(["run", "--log-format", "json", "-c"])
            .arg(lab)
            .env("RUST_LOG", "info")
            .stderr(Stdio::piped())
            .stdin(Stdio::null())
            .spawn()
            .context("labwire does not start")?;
        let log = child.stderr.take().context("its log")?;
        let mut running = Self {
            child,
            lines: Vec::new(),
            started_in: Duration::ZERO,
            orders: Arc::default(),
            console: Arc::default(),
        };
        let (orders, console) = (Arc::clone(&running.orders), Arc::clone(&running.console));
        let heard = move |line: &str| match address(line)? {
            Address::Device(at) => Some(at),
            Address::Orders(at) => orders.set(at).ok().and(None),
            Address::Console(at) => console.set(at).ok().and(None),
        };
        let mut log = BufReader::new(log).lines();
        while running.lines.len() < count {
            let line = log.next().context("labwire ended")??;
            running.lines.extend(heard(&line));
        }
        running.started_in = began.elapsed();
        // A full pipe would stop it.
        std::thread::spawn(move || {
            for line in log.map_while(Result::ok) {
                heard(&line);
            }
        });
        Ok(running)
    }

    /// SIGKILL, in the middle of everything.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Resident memory, bytes.
    fn memory(&self) -> anyhow::Result<u64> {
        self.status("VmRSS:")
    }

    /// The most resident memory that it ever had, bytes.
    pub fn memory_max(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &'static str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with(name));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
        Ok(kilobytes.context(name)?.parse::<u64>()? * 1_024)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already, or it is of no use any more.
        drop(self.kill());
    }
}

/// What a line of the log tells an address of.
enum Address {
    Device(String),
    Orders(String),
    Console(String),
}

fn address(line: &str) -> Option<Address> {
    let event: serde_json::Value = serde_json::from_str(line).ok()?;
    let text = |of: &str, name: &str| Some(event.get(of)?.get(name)?.as_str()?.to_owned());
    let message = text("fields", "message")?;
    if message.starts_with("the console is open") {
        return text("fields", "address").map(Address::Console);
    }
    let is_host = text("span", "line")?.starts_with("host:");
    let at = text("fields", "at").filter(|_| message == "listening")?;
    Some(if is_host {
        Address::Orders(at)
    } else {
        Address::Device(at)
    })
}

fn lines(mllp: usize) -> Shape {
    Shape {
        mllp,
        ..Shape::default()
    }
}

/// Memory with 32 connected lines, and what a hundred more take.
pub async fn memory(table: &mut Table, _wanted: &Wanted, _limits: &Limits) -> anyhow::Result<()> {
    let (few, many) = (32_u64, 132_u64);
    let mut used = Vec::new();
    for count in [few, many] {
        let count = usize::try_from(count)?;
        let site = Site::new(&lines(count)).await?;
        let mut running = Running::start(&site.lab(), count).await?;
        let mut connections = Vec::new();
        for address in &running.lines {
            connections.push(TcpStream::connect(address).await?);
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        used.push(running.memory()?);
        running.kill()?;
    }
    let (rest, more) = (used.first().copied(), used.last().copied());
    let (rest, more) = (rest.unwrap_or_default(), more.unwrap_or_default());
    let each = more.saturating_sub(rest) / (many - few);
    let none = || "—".to_owned();
    table.row(
        "memory at rest, 32 connected lines",
        [
            format!("{} MB", rest / 1_000_000),
            none(),
            none(),
            "≤ 40 MB".to_owned(),
        ],
    );
    table.row(
        "memory of a further connected, idle line",
        [
            format!("{} kB", each / 1_000),
            none(),
            none(),
            "≤ 200 kB".to_owned(),
        ],
    );
    Ok(())
}

/// Killed with a full queue; how soon is a message acknowledged again?
pub async fn restart(table: &mut Table, wanted: &Wanted, _limits: &Limits) -> anyhow::Result<()> {
    let site = Site::new(&lines(4)).await?;
    site.start().await?.running.stop().await;
    let empty = kill_and_start(&site, 40).await?;
    let rows = wanted.count(1_000_000, 100_000);
    let site = Site::new(&lines(4)).await?;
    queue_copies(&site, rows).await?;
    let full = kill_and_start(&site, 41).await?;
    table.row(
        &format!(
            "restart after kill -9 under load, {rows} rows queued, to the first acknowledgement"
        ),
        [
            time(full),
            format!("{} (empty queue)", time(empty)),
            ratio(full, empty),
            "≤ 1 s".to_owned(),
        ],
    );
    Ok(())
}

async fn kill_and_start(site: &Site, seed: u64) -> anyhow::Result<Duration> {
    let mut running = Running::start(&site.lab(), 4).await?;
    let load = plan(running.lines.clone(), 1_000_000, seed);
    let loading = tokio::spawn(async move { load::mllp(&load).await });
    tokio::time::sleep(Duration::from_secs(2)).await;
    ensure!(!loading.is_finished(), "the load ended early");
    running.kill()?;
    drop(loading.await);
    let began = Instant::now();
    let mut running = Running::start(&site.lab(), 4).await?;
    let first = running.lines.first().cloned().context("a line")?;
    load::mllp(&plan(vec![first], 1, seed + 100)).await?;
    let took = began.elapsed();
    running.kill()?;
    Ok(took)
}

/// The size of the program and how soon it listens.
pub async fn binary(table: &mut Table, _wanted: &Wanted, _limits: &Limits) -> anyhow::Result<()> {
    let megabytes = size(Path::new(PROGRAM)).div_ceil(1_000_000);
    let none = || "—".to_owned();
    table.row(
        "the program, one file",
        [
            format!("{megabytes} MB"),
            none(),
            none(),
            "≤ 30 MB".to_owned(),
        ],
    );
    let site = Site::new(&lines(32)).await?;
    drop(Running::start(&site.lab(), 32).await?);
    let again = Running::start(&site.lab(), 32).await?;
    table.row(
        "from the start of the process to 32 lines listening",
        [
            time(again.started_in),
            none(),
            none(),
            "≤ 200 ms".to_owned(),
        ],
    );
    Ok(())
}
