//! Rows about the end of an outage: the HIS was away for a day, all results of which wait for it.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use labwire_sims::load;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};

use crate::{
    Wanted,
    child::Running,
    consoles,
    copies::queue_copies,
    limits::Limits,
    site::{Shape, Site, order_line, plan},
    table::{Table, rate, ratio, share, time},
};

/// How long anything may take that is waited for: a bound for a broken bridge.
const PATIENCE: Duration = Duration::from_secs(300);

/// Messages that leave before the rate is measured: the first ones find everything cold.
const COLD: u64 = 500;

/// A HIS that takes everything at once, and tells when a tube that is awaited came.
struct His {
    address: SocketAddr,
    taken: Arc<Taken>,
    serving: JoinHandle<std::io::Result<()>>,
}

#[derive(Default)]
struct Taken {
    count: AtomicU64,
    awaited: Mutex<Option<(String, oneshot::Sender<Instant>)>>,
}

impl Drop for His {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl His {
    async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let taken = Arc::<Taken>::default();
        let each = Arc::clone(&taken);
        let serving = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                tokio::spawn(take(stream, Arc::clone(&each)));
            }
        });
        Ok(Self {
            address,
            taken,
            serving,
        })
    }

    fn count(&self) -> u64 {
        self.taken.count.load(Ordering::Relaxed)
    }

    async fn until(&self, count: u64) -> anyhow::Result<()> {
        let wait = async {
            while self.count() < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let ended = timeout(PATIENCE, wait).await;
        ended.with_context(|| format!("the HIS has {} messages of {count}", self.count()))
    }

    /// When a message that names this tube comes.
    fn awaits(&self, tube: &str) -> oneshot::Receiver<Instant> {
        let (came, comes) = oneshot::channel();
        let mut awaited = self.taken.lock();
        *awaited = Some((tube.to_owned(), came));
        comes
    }
}

impl Taken {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<(String, oneshot::Sender<Instant>)>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn took(&self, block: &[u8]) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut awaited = self.lock();
        let names = |(tube, _): &mut (String, _)| {
            let tube: &String = tube;
            block
                .windows(tube.len())
                .any(|part| part == tube.as_bytes())
        };
        if let Some((_, came)) = awaited.take_if(names) {
            // Who waited may have lost patience.
            let _is_late = came.send(Instant::now()).is_err();
        }
    }
}

/// Acknowledges every block of a connection.
async fn take(stream: TcpStream, taken: Arc<Taken>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut block = Vec::new();
    loop {
        block.clear();
        while !block.ends_with(b"\x1c\r") {
            if stream.read_until(b'\r', &mut block).await? == 0 {
                return Ok(());
            }
        }
        taken.took(&block);
        let control = block.split(|byte| *byte == b'|').nth(9).unwrap_or_default();
        let mut reply = b"\x0bMSH|^~\\&|H|H|||20250115||ACK|1|P|2.5.1\rMSA|AA|".to_vec();
        reply.extend_from_slice(control);
        reply.extend_from_slice(b"\r\x1c\r");
        stream.get_mut().write_all(&reply).await?;
    }
}

/// A queue that begins to drain.
struct Draining {
    his: His,
    running: Running,
    cookie: String,
    /// Messages in a second, with nothing else going on.
    rate: f64,
    /// Its folder stays as long as it runs.
    _site: Site,
}

impl Draining {
    /// With so many rows queued, of which so many are timed.
    async fn begin(rows: u64, timed: u64) -> anyhow::Result<Self> {
        let his = His::open().await?;
        let site = Site::new(&Shape {
            mllp: 1,
            has_console: true,
            results: Some(his.address),
            ..Shape::default()
        })
        .await?;
        let bridge = site.start().await?;
        let cookie = consoles::log_in(&bridge).await?;
        bridge.running.stop().await;
        queue_copies(&site, rows).await?;
        let running = Running::start(&site.lab(), 1).await?;
        his.until(COLD).await?;
        let (began, before) = (Instant::now(), his.count());
        his.until(before + timed).await?;
        let rate = rate(his.count() - before, began.elapsed());
        Ok(Self {
            his,
            running,
            cookie,
            rate,
            _site: site,
        })
    }

    /// The longest way of a STAT result, from its analyzer to the HIS.
    async fn stat(&self, count: u64) -> anyhow::Result<Duration> {
        let orders = said(&self.running.orders).await?;
        let line = self.running.lines.first().context("a line")?;
        let mut longest = Duration::ZERO;
        for number in 0..count {
            let one = plan(vec![line.clone()], 1, 60 + number);
            let tube = one.barcode(0, 0);
            let prefix = format!("S{number}-");
            order_line(orders, vec![tube.clone()], prefix, true).await?;
            let comes = self.his.awaits(&tube);
            let began = Instant::now();
            load::mllp(&one).await?;
            let came = timeout(PATIENCE, comes).await.context("STAT came not")??;
            longest = longest.max(came - began);
        }
        Ok(longest)
    }

    /// The longest times of the start page and of the page of the queue.
    async fn pages(&self, count: u64) -> anyhow::Result<[Duration; 2]> {
        let console = said(&self.running.console).await?;
        let mut longest = [Duration::ZERO; 2];
        for (longest, path) in longest.iter_mut().zip(["/", "/queue?state=waiting"]) {
            (_, *longest) = consoles::page(console, path, &self.cookie, count).await?;
        }
        Ok(longest)
    }
}

/// An address, once the log has said it.
async fn said(address: &OnceLock<String>) -> anyhow::Result<SocketAddr> {
    let wait = async {
        loop {
            if let Some(address) = address.get() {
                return address.parse();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let parsed = timeout(PATIENCE, wait).await;
    Ok(parsed.context("it does not listen")??)
}

/// A start with a day's results queued, and what else goes on while they leave, beside the same with a
/// queue that is soon empty.
pub async fn outage(table: &mut Table, wanted: &Wanted, _limits: &Limits) -> anyhow::Result<()> {
    let timed = wanted.count(20_000, 5_000);
    let rows = wanted.count(500_000, 50_000);
    let mut short = Draining::begin(timed + 2 * COLD, timed).await?;
    let short_memory = short.running.memory_max()?;
    let short_start = short.running.started_in;
    let short_rate = short.rate;
    short.running.kill()?;
    drop(short);
    let mut long = Draining::begin(rows, timed).await?;
    let (stat, pages) = tokio::join!(
        long.stat(wanted.count(20, 8)),
        long.pages(wanted.count(40, 15))
    );
    let (stat, [start_page, queue_page]) = (stat?, pages?);
    let memory = long.running.memory_max()?;
    ensure!(long.his.count() < rows, "nothing is left of the queue");
    long.running.kill()?;
    let none = String::new;
    table.row(
        &format!("outage: {rows} rows queued, from the start of the process to its line listening"),
        [
            time(long.running.started_in),
            format!("{} ({} rows)", time(short_start), timed + 2 * COLD),
            ratio(long.running.started_in, short_start),
            "≤ 1 s".to_owned(),
        ],
    );
    table.row(
        &format!("outage: peak memory while {rows} rows leave, pages open and STAT between"),
        [
            format!("{} MB", memory / 1_000_000),
            format!("{} MB (a short queue)", short_memory / 1_000_000),
            none(),
            "≤ 80 MB".to_owned(),
        ],
    );
    table.row(
        "outage: the queue leaves to a HIS that takes everything",
        [
            format!("{:.0} messages/s", long.rate),
            format!("{short_rate:.0}/s (a short queue)"),
            share(long.rate, short_rate),
            "≥ 90 %".to_owned(),
        ],
    );
    table.row(
        "outage: a STAT result meanwhile, from its analyzer to the HIS, longest",
        [time(stat), none(), none(), "≤ 1 s".to_owned()],
    );
    table.row(
        "outage: the start page; the page of the queue meanwhile, longest",
        [
            format!("{}; {}", time(start_page), time(queue_page)),
            none(),
            none(),
            "≤ 500 ms".to_owned(),
        ],
    );
    Ok(())
}
