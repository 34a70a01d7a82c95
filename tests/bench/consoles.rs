//! Rows of the web console: what fifty open pages cost the bridge, and how soon they know.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use labwire::{
    config::{self, Seams},
    console::{Console, Limits as ConsoleLimits, Parts},
    people::{self, Digest, NewPerson, Role, Ticket},
    store::Turn,
};
use labwire_drivers::{Clock as _, SystemClock};
use labwire_sims::load;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

use crate::{
    Wanted,
    limits::Limits,
    site::{Bridge, Shape, Site, plan},
    table::{Table, rate, share, time},
};

/// Open pages, as many as the aim names.
const PAGES: usize = 50;

/// Lines of the burst.
const LINES: usize = 16;

/// How long a page may take to say something: a bound for a broken console, not a wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A burst with and without pages that listen, in turn, on one bridge; then how soon a page hears of a
/// message, and what the start page costs.
///
/// The pages are read by this process, so what reading costs is part of the figure.
pub async fn consoles(table: &mut Table, wanted: &Wanted, _: &Limits) -> anyhow::Result<()> {
    let site = Site::new(&Shape {
        mllp: LINES,
        ..Shape::default()
    })
    .await?;
    let bridge = site.start().await?;
    let (console, ticket) = open(&site, &bridge).await?;
    let address = console.address();
    let each = wanted.count(32_000, 3_200) / u64::try_from(LINES)?;
    let targets = bridge.targets("m", LINES).await?;
    let (mut alone, mut watched) = (Rates::default(), Rates::default());
    let heard = Arc::<AtomicU64>::default();
    for turn in 0..6_u64 {
        let is_watched = turn % 2 == 1;
        let pages = if is_watched {
            listen(address, &ticket, &heard).await?
        } else {
            JoinSet::new()
        };
        let figures = load::mllp(&plan(targets.clone(), each, 40 + turn)).await?;
        let rates = if is_watched { &mut watched } else { &mut alone };
        rates.add(figures.messages, figures.elapsed);
        drop(pages);
        bridge.until_settled().await?;
    }
    ensure!(heard.load(Ordering::Relaxed) > 0, "no page heard anything");
    table.row(
        &format!("durable intake, {LINES} lines, with {PAGES} consoles open"),
        [
            format!("{:.0} messages/s", watched.rate()),
            format!("{:.0}/s (the same bridge without)", alone.rate()),
            share(watched.rate(), alone.rate()),
            "≥ 95 %".to_owned(),
        ],
    );
    let news = news(&bridge, address, &ticket, wanted.count(40, 10)).await?;
    table.row(
        "a new result on an open page, after its acknowledgement, longest",
        [time(news), String::new(), String::new(), "≤ 1 s".to_owned()],
    );
    let (bytes, longest) = page(address, "/", &ticket, wanted.count(200, 40)).await?;
    table.row(
        "the start page, to its last byte, longest; its size",
        [
            format!("{}; {} kB", time(longest), bytes / 1_000),
            String::new(),
            String::new(),
            "≤ 200 ms; ≤ 100 kB".to_owned(),
        ],
    );
    console.stop().await;
    bridge.running.stop().await;
    Ok(())
}

/// Messages and the time they took, of several bursts.
#[derive(Debug, Default)]
struct Rates {
    messages: u64,
    elapsed: Duration,
}

impl Rates {
    fn add(&mut self, messages: u64, elapsed: Duration) {
        self.messages += messages;
        self.elapsed += elapsed;
    }

    fn rate(&self) -> f64 {
        rate(self.messages, self.elapsed)
    }
}

/// The console of a bridge, and the cookie of somebody who is logged in.
async fn open(site: &Site, bridge: &Bridge) -> anyhow::Result<(Console, String)> {
    let cookie = log_in(bridge).await?;
    let (loaded, _) = config::load(&site.lab(), &Seams::default());
    let loaded = Arc::new(loaded.context("a configuration")?);
    let parts = Parts::of(&bridge.running, loaded, Arc::new(SystemClock::default()));
    let limits = ConsoleLimits::default();
    let console = Console::start(parts, "127.0.0.1:0", limits).await?;
    Ok((console, cookie))
}

/// The cookie of somebody who is logged in.
pub async fn log_in(bridge: &Bridge) -> anyhow::Result<String> {
    let now = SystemClock::default().utc_micros();
    let person = NewPerson {
        login: "bench".to_owned(),
        name: "bench".to_owned(),
        role: Role::Technician,
        password: Digest::of("nobody types this one")?,
        must_change: false,
    };
    let ticket = Ticket::new()?;
    let cookie = format!("labwire_session={}", ticket.as_str());
    let begin = move |db: &mut dyn labwire::store::Db| {
        if let Ok(id) = people::add(db, &person, "bench", now)? {
            people::begin(db, &ticket, id, "127.0.0.1", now)?;
        }
        Ok(())
    };
    let store = &bridge.running.store;
    store.transact(Turn::Background, begin).await?;
    Ok(cookie)
}

async fn ask(address: SocketAddr, path: &str, cookie: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

/// Pages that listen until they are dropped, each of which has heard something already.
async fn listen(
    address: SocketAddr,
    cookie: &str,
    heard: &Arc<AtomicU64>,
) -> anyhow::Result<JoinSet<()>> {
    let mut pages = JoinSet::new();
    for number in 0..PAGES {
        let topic = ["work", "devices", "queue"][number % 3];
        let mut stream = ask(address, &format!("/live?on={topic}"), cookie).await?;
        let mut buffer = vec![0; 16 * 1024];
        let first = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await??;
        let is_open = buffer.get(..first).unwrap_or_default();
        ensure!(
            is_open.starts_with(b"HTTP/1.1 200"),
            "a page was refused: {}",
            is_open.escape_ascii()
        );
        let heard = Arc::clone(heard);
        pages.spawn(async move {
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                heard.fetch_add(u64::try_from(count).unwrap_or(0), Ordering::Relaxed);
            }
        });
    }
    Ok(pages)
}

/// The longest time from the acknowledgement of a message to an event of its page. The results have no
/// order, so each changes how many wait.
async fn news(
    bridge: &Bridge,
    address: SocketAddr,
    cookie: &str,
    count: u64,
) -> anyhow::Result<Duration> {
    let targets = bridge.targets("m", 1).await?;
    let mut stream = ask(address, "/live?on=work", cookie).await?;
    let mut buffer = vec![0; 64 * 1024];
    // What a page is told at first is no news.
    drop(tokio::time::timeout(Duration::from_secs(2), drain(&mut stream, &mut buffer)).await);
    let mut longest = Duration::ZERO;
    for seed in 0..count {
        load::mllp(&plan(targets.clone(), 1, 1_000 + seed)).await?;
        let acknowledged = Instant::now();
        let event = async {
            loop {
                let count = stream.read(&mut buffer).await?;
                ensure!(count > 0, "the stream ended");
                let said = buffer.get(..count).unwrap_or_default();
                if said.windows(11).any(|part| part == b"event: work") {
                    return Ok(());
                }
            }
        };
        tokio::time::timeout(PATIENCE, event).await??;
        longest = longest.max(acknowledged.elapsed());
    }
    Ok(longest)
}

async fn drain(stream: &mut TcpStream, buffer: &mut [u8]) {
    while let Ok(1..) = stream.read(buffer).await {}
}

/// Bytes of a page, and the longest time that it took.
///
/// # Errors
/// If it is refused.
pub async fn page(
    address: SocketAddr,
    path: &str,
    cookie: &str,
    count: u64,
) -> anyhow::Result<(usize, Duration)> {
    let (mut bytes, mut longest) = (0, Duration::ZERO);
    for _ in 0..count {
        let began = Instant::now();
        let mut stream = ask(address, path, cookie).await?;
        let mut answer = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
        longest = longest.max(began.elapsed());
        let is_page = answer.starts_with(b"HTTP/1.1 200");
        let head = answer.get(..answer.len().min(120)).unwrap_or_default();
        ensure!(is_page, "{path} was refused: {}", head.escape_ascii());
        bytes = answer.len();
    }
    Ok((bytes, longest))
}
