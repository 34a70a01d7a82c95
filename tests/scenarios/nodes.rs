//! Several nodes on one PostgreSQL: whatever becomes of one, another serves its lines and its queue
//! within ten seconds, nothing is lost, nothing doubled, and a node that is shut out promises nothing.
//!
//! Ten kills among other tests, twenty with `CI` set; the figures are printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::Duration,
};

use labwire_sims::{
    chance::Chance,
    his::{Answering, Policy},
    port::Port,
    runner::Wire,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UnixListener, UnixStream},
    sync::watch,
    time::Instant,
};

use crate::{
    account,
    cluster::Cluster,
    crash::{Labwire, free_port},
    hospital::{Bridge, His, PATIENCE, Site, ZONE, comes},
    load::{Lines, Load},
    scripted::Script,
};

const KILLS: usize = 10;
const KILLS_CI: usize = 20;
const SEED: u64 = 20_260_312;

/// What another node takes over is served within this time.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

/// Two real processes, each with its own file of one site.
struct Pair {
    site: Site,
    labs: [PathBuf; 2],
    nodes: [Labwire; 2],
}

const NAMES: [&str; 2] = ["a", "b"];

impl Pair {
    /// Each node's file holds `rest(node)` beside the store and the node.
    async fn start(url: &str, rest: impl Fn(usize) -> String) -> Self {
        let site = Site::on(url, &rest(0));
        let labs = [0, 1].map(|node| {
            let (name, rest) = (NAMES[node], rest(node));
            let file = format!("lab-{name}.toml");
            let text = format!(
                "[lab]\ntimezone = \"Asia/Ho_Chi_Minh\"\n[store]\nurl = \"{url}\"\n\
                 [node]\nid = \"{name}\"\n[console]\nlisten = \"127.0.0.1:0\"\n{rest}"
            );
            site.file(&file, &text);
            site.lab().with_file_name(file)
        });
        let first = Labwire::start(&labs[0]);
        let serves = comes(PATIENCE, || !account::units(url).is_empty());
        assert!(serves.await, "it does not start: {}", first.log());
        let second = Labwire::start(&labs[1]);
        let pair = Self {
            site,
            labs,
            nodes: [first, second],
        };
        pair.both_serve().await;
        pair
    }

    fn units(&self, node: usize) -> BTreeSet<String> {
        let mut units = account::units(&self.site.store());
        units.remove(NAMES[node]).unwrap_or_default()
    }

    async fn both_serve(&self) {
        let both = comes(PATIENCE, || {
            let (one, other) = (self.units(0).len(), self.units(1).len());
            one.min(other) > 0 && one.abs_diff(other) <= 1
        });
        assert!(both.await, "units are not shared: {}", self.log());
    }

    fn log(&self) -> String {
        let [a, b] = &self.nodes;
        format!("{}\n--- the other:\n{}", a.log(), b.log())
    }

    fn stop(&mut self) {
        self.nodes.iter_mut().for_each(Labwire::stop);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_killed_in_turn_under_load_lose_double_and_hold_up_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let is_ci = std::env::var_os("CI").is_some();
    let kills = if is_ci { KILLS_CI } else { KILLS };
    let mut chance = Chance::fork(SEED, "nodes");
    let his = His::open(Answering::by_chance(
        [
            (30, Policy::Cut),
            (30, Policy::Busy),
            (50, Policy::Slow(Duration::from_millis(30))),
            (20, Policy::Late),
        ],
        SEED,
    ))
    .await;
    let lines = Lines(std::array::from_fn(|_| free_port(&mut chance)));
    let mut pair = Pair::start(&url, |_| lines.lab(&his.results)).await;
    let mut load = Load::plug(SEED, &lines, &his);
    let mut worst = Duration::ZERO;
    for kill in 0..kills {
        let node = kill % 2;
        load.add(12);
        // In the middle of the load: after so many more acknowledgements of any kind.
        let aim = load.progress() + 1 + chance.below(40);
        let is_there = comes(PATIENCE, || {
            load.watch();
            load.progress() >= aim || load.is_idle()
        });
        assert!(is_there.await, "{}; {}", load.state(), pair.log());
        let took = recovery(&mut pair, &mut load, node).await;
        assert!(took < RECOVERY_MAX, "{took:?}: {}", pair.log());
        worst = worst.max(took);
        pair.nodes[node] = Labwire::start(&pair.labs[node]);
        pair.both_serve().await;
    }
    load.add(12);
    let drained = comes(PATIENCE, || {
        load.watch();
        load.is_idle() && account::open_work(&url).is_empty()
    });
    let is_drained = drained.await;
    let open = account::open_work(&url);
    assert!(is_drained, "{}; {open:#?}; {}", load.state(), pair.log());
    pair.stop();
    let (figures, wrong) = account::check(&load, &his.book, &url);
    report(&format!(
        "nodes: seed {SEED}, {kills} kills in turn, worst recovery {worst:.1?}; {} sent, {figures}",
        load.sent().len(),
    ));
    assert!(wrong.is_empty(), "{wrong:#?}");
    let findings = account::findings(&url);
    assert!(findings.is_empty(), "{findings:#?}");
    load.unplug();
}

/// Kills a node; how long until the last unit that it served was seen at work at the other.
async fn recovery(pair: &mut Pair, load: &mut Load, node: usize) -> Duration {
    let mut left = pair.units(node);
    // What concerns the site alone answers nobody.
    left.remove("site");
    let other = 1 - node;
    pair.nodes[node].kill();
    let killed = Instant::now();
    let mut worst = Duration::ZERO;
    // What each unit had answered when it was first seen at the other node.
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut spoken = killed;
    while !left.is_empty() && killed.elapsed() < PATIENCE {
        // Every unit has something to do, all the time.
        if spoken.elapsed() >= Duration::from_millis(500) || spoken == killed {
            load.add_everywhere();
            spoken = Instant::now();
        }
        let own = pair.units(other);
        for unit in left.iter().filter(|unit| own.contains(*unit)) {
            let now = load.progress_of_units();
            taken.entry(unit.clone()).or_insert(now[unit]);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        load.watch();
        let now = load.progress_of_units();
        left.retain(|unit| taken.get(unit).is_none_or(|then| now[unit] == *then));
        worst = killed.elapsed();
    }
    assert!(
        left.is_empty(),
        "{left:?}: {}; {}",
        load.state(),
        pair.log()
    );
    worst
}

#[expect(clippy::print_stderr, reason = "the figures are the result")]
fn report(line: &str) {
    eprintln!("{line}");
}

/// The site of a test of two nodes: each node has ports of its own, as on a machine of its own.
fn small(results: &str, [orders, port]: [u16; 2]) -> String {
    format!(
        r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:{orders}"
results = "{results}"
retry_first_s = 1
retry_longest_s = 1

[[instrument]]
id = "dev-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:{port}"
tests = {{ NA = "NA" }}
"#
    )
}

fn result(barcode: &str, number: usize) -> String {
    format!(
        "MSH|^~\\&|ANALYZER|LAB|||20260310080000||ORU^R01|N{number}|P|2.5.1||||||UNICODE UTF-8\r\
         PID|1\rOBR|1||{barcode}|X\rOBX|1|NM|NA||13{number}|mmol/L||N|||F|||20260310080000\r"
    )
}

/// Sends one message and gives all that comes back until the line ends, or for so long.
async fn ask(port: u16, message: &str, patience: Duration) -> String {
    let mut heard = Vec::new();
    let talk = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let block = format!("\u{b}{message}\u{1c}\r");
        stream.write_all(block.as_bytes()).await?;
        stream.read_to_end(&mut heard).await
    };
    // A line that is closed, refused or silent has answered nothing; what it said before counts.
    drop(tokio::time::timeout(patience, talk).await);
    heard.escape_ascii().to_string()
}

/// Orders sodium on these tubes.
async fn order(his: &mut His, port: u16, barcodes: &[&str]) {
    his.place(SocketAddr::from(([127, 0, 0, 1], port)));
    for barcode in barcodes {
        let control = his.order(barcode, &["NA"]);
        let is_taken = comes(PATIENCE, || his.orders.answer(&control).is_some());
        assert!(is_taken.await, "the order of {barcode} is not answered");
    }
}

fn observations(his: &His, barcode: &str) -> usize {
    his.book.with_ledger(|ledger| {
        let all = ledger.observations().iter();
        all.filter(|seen| seen.barcode == barcode).count()
    })
}

fn script(port: u16) -> Script {
    let script = Script::default();
    let wire = Wire::new(labwire_sims::clock::Clock::real(ZONE));
    script.plug_mllp(Port::Connect(format!("127.0.0.1:{port}")), wire);
    script
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_paused_for_longer_than_its_lease_writes_and_promises_nothing() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let mut chance = Chance::fork(SEED, "paused");
    let mut his = His::open(Answering::good()).await;
    let ports: [[u16; 2]; 2] =
        std::array::from_fn(|_| std::array::from_fn(|_| free_port(&mut chance)));
    let mut pair = Pair::start(&url, |node| small(&his.results, ports[node])).await;
    let holder = usize::from(pair.units(1).contains("line:dev-1"));
    let other = 1 - holder;
    let host = usize::from(pair.units(1).contains("host:his"));
    order(&mut his, ports[host][0], &["2600001", "2600003"]).await;
    let first = script(ports[holder][1]);
    first.say(result("2600001", 1));
    let is_told = comes(PATIENCE, || observations(&his, "2600001") == 1);
    assert!(is_told.await, "{}", pair.log());
    pair.nodes[holder].pause();
    // Its kernel takes a connection and a message; the program knows of neither yet.
    let late = tokio::spawn(async move {
        let message = result("2600002", 2);
        ask(ports[holder][1], &message, Duration::from_secs(30)).await
    });
    let paused = Instant::now();
    let message = result("2600003", 3);
    while !ask(ports[other][1], &message, Duration::from_secs(1))
        .await
        .contains("MSA|AA")
    {
        assert!(paused.elapsed() < RECOVERY_MAX, "{}", pair.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    pair.nodes[holder].resume();
    let status = pair.nodes[holder].exit_code().await;
    assert_eq!(status, Some(2), "{}", pair.log());
    // What it said last is read a moment after its end.
    let says = comes(PATIENCE, || pair.nodes[holder].count("STORE-0012") > 0);
    assert!(says.await, "{}", pair.log());
    let heard = late.await.expect("it was asked");
    assert!(!heard.contains("MSA|AA"), "{heard}");
    let is_told = comes(PATIENCE, || observations(&his, "2600003") == 1);
    assert!(is_told.await, "{}", pair.log());
    let drained = comes(PATIENCE, || account::open_work(&url).is_empty());
    assert!(drained.await, "{:?}", account::open_work(&url));
    assert_eq!(
        account::states(&url, "2600002"),
        [""; 0],
        "it was not stored"
    );
    pair.nodes[other].stop();
    assert_eq!(account::findings(&url), [""; 0]);
}

/// The socket of a cluster, through which nothing passes once it is cut.
struct Cable {
    folder: tempfile::TempDir,
    cut: watch::Sender<bool>,
}

impl Cable {
    fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let name = ".s.PGSQL.5432";
        let listener = UnixListener::bind(folder.path().join(name)).expect("a socket");
        let there = PathBuf::from(folder_of(url)).join(name);
        let (cut, is_cut) = watch::channel(false);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (there, is_cut) = (there.clone(), is_cut.clone());
                tokio::spawn(async move {
                    let Ok(far) = UnixStream::connect(there).await else {
                        return;
                    };
                    let (near, far) = (near.into_split(), far.into_split());
                    tokio::join!(
                        pass(near.0, far.1, is_cut.clone()),
                        pass(far.0, near.1, is_cut)
                    );
                });
            }
        });
        Self { folder, cut }
    }

    fn url(&self, url: &str) -> String {
        url.replace(folder_of(url), &self.folder.path().display().to_string())
    }
}

fn folder_of(url: &str) -> &str {
    let (_, rest) = url.split_once("host=").expect("a socket");
    rest.split('&').next().unwrap_or(rest)
}

/// Passes bytes on while the cable is whole; both ends see nothing at all when it is not.
async fn pass(
    mut from: tokio::net::unix::OwnedReadHalf,
    mut to: tokio::net::unix::OwnedWriteHalf,
    mut is_cut: watch::Receiver<bool>,
) {
    let mut chunk = [0; 4096];
    while let Ok(read) = from.read(&mut chunk).await
        && read > 0
    {
        if is_cut.wait_for(|is_cut| !is_cut).await.is_err()
            || to.write_all(&chunk[..read]).await.is_err()
        {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_cut_off_from_the_database_stops_before_another_takes_over() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let mut his = His::open(Answering::good()).await;
    let cable = Cable::new(&url);
    let (near, far) = (cable.url(&url), url.clone());
    let results = his.results.clone();
    let site = |url: &str, name: &str| {
        let node = format!("{}\n[node]\nid = \"{name}\"\n", small(&results, [0, 0]));
        Site::on(url, &node)
    };
    // Alone at first, it serves everything.
    let cut_off = site(&near, "a").start().await;
    let orders = served(&cut_off, "host:his").await;
    order(&mut his, orders, &["2600001", "2600003"]).await;
    let port = served(&cut_off, "dev-1").await;
    let first = script(port);
    first.say(result("2600001", 1));
    let is_told = comes(PATIENCE, || observations(&his, "2600001") == 1);
    assert!(is_told.await);
    cable.cut.send_replace(true);
    let at = Instant::now();
    let other = site(&far, "b").start().await;
    let heard = ask(port, &result("2600002", 2), Duration::from_secs(8)).await;
    assert!(!heard.contains("MSA|AA"), "{heard}");
    let closed = comes(RECOVERY_MAX, || cut_off.open.lines().is_empty());
    assert!(closed.await, "its lines stay open");
    let has_gone_on = other.open.lines().contains_key("dev-1");
    assert!(!has_gone_on || at.elapsed() > Duration::from_secs(4));
    let port = served(&other, "dev-1").await;
    assert!(at.elapsed() < RECOVERY_MAX, "{:?}", at.elapsed());
    let second = script(port);
    second.say(result("2600003", 3));
    let is_told = comes(PATIENCE, || observations(&his, "2600003") == 1);
    assert!(is_told.await);
    cable.cut.send_replace(false);
    let error = cut_off.ends_shut_out().await;
    assert_eq!(error.code(), "STORE-0012", "{error:?}");
    assert_eq!(
        account::states(&url, "2600002"),
        [""; 0],
        "it was not stored"
    );
    for barcode in ["2600001", "2600003"] {
        assert_eq!(observations(&his, barcode), 1, "{barcode}");
    }
    other.stop().await;
    assert_eq!(account::findings(&url), [""; 0]);
}

/// Where a line listens, once this node serves it.
async fn served(bridge: &Bridge, line: &str) -> u16 {
    let is_open = comes(PATIENCE, || bridge.open.line(line).is_some());
    assert!(is_open.await, "nobody serves it");
    let line = bridge.open.line(line).expect("it is open");
    let address = line.local_addr().await.expect("it listens");
    address.port()
}

/// Two nodes in turn of work: rows that one puts on the queue are delivered by the other at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_units_tell_each_other_of_rows_and_hand_over_in_order() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let url = cluster.new_schema();
    let mut his = His::open(Answering::good()).await;
    let results = his.results.clone();
    let site = |name: &str| {
        let node = format!("{}\n[node]\nid = \"{name}\"\n", small(&results, [0, 0]));
        Site::on(&url, &node)
    };
    let sites = [site("a"), site("b")];
    let first = sites[0].start().await;
    let orders = served(&first, "host:his").await;
    let tubes: Vec<String> = (1..=9).map(|n| format!("260000{n}")).collect();
    let tubes: Vec<&str> = tubes.iter().map(String::as_str).collect();
    order(&mut his, orders, &tubes).await;
    let second = sites[1].start().await;
    let is_shared = comes(PATIENCE, || {
        let units = account::units(&url);
        units.len() == 2 && units.values().all(|own| !own.is_empty())
    });
    assert!(is_shared.await, "{:?}", account::units(&url));
    let is_here = comes(PATIENCE, || {
        first.open.line("dev-1").is_some() != second.open.line("dev-1").is_some()
    });
    assert!(is_here.await, "one of them serves it");
    let holder = if first.open.line("dev-1").is_some() {
        &first
    } else {
        &second
    };
    let device = script(served(holder, "dev-1").await);
    for number in 1..=5 {
        device.say(result(&format!("260000{number}"), number));
    }
    let is_told = comes(PATIENCE, || {
        (1..=5).all(|n| observations(&his, &format!("260000{n}")) == 1)
    });
    assert!(is_told.await, "{:?}", account::open_work(&url));
    // What the first served, the second serves when it stops, without waiting for its death.
    let at = Instant::now();
    first.stop().await;
    let is_taken = comes(PATIENCE, || {
        account::units(&url)
            .get("b")
            .is_some_and(|own| own.len() == 3)
    });
    assert!(is_taken.await, "{:?}", account::units(&url));
    let device = script(served(&second, "dev-1").await);
    device.say(result("2600009", 9));
    let is_told = comes(PATIENCE, || observations(&his, "2600009") == 1);
    assert!(
        is_told.await,
        "after {:?}: {:?}",
        at.elapsed(),
        account::open_work(&url)
    );
    second.stop().await;
    assert_eq!(account::findings(&url), [""; 0]);
}

/// `check` refuses nodes on a file of one owner.
#[tokio::test]
async fn a_file_of_sqlite_is_refused_to_nodes() {
    let site = Site::new("[node]\nid = \"a\"\n");
    let done = Command::new(env!("CARGO_BIN_EXE_labwire"))
        .args(["check", "-c"])
        .arg(site.lab())
        .output()
        .expect("labwire runs");
    let said = [done.stdout, done.stderr].concat();
    let said = said.escape_ascii().to_string();
    assert!(
        !done.status.success() && said.contains("CONF-0246"),
        "{said}"
    );
}
