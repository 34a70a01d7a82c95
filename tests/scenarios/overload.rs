//! Overload: the real program on a disk that syncs ten times in a second, under thirty devices that
//! all have more to say than that, and a HIS that is away for part of it. And more lines than what
//! started the program allows it open files.
//!
//! The devices keep nothing back and take no refusal: each of them sends until it is through, and what
//! is not acknowledged at the first try fails the test.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use labwire::store::Sql;
use labwire_sims::{
    chance::Chance,
    clock::Clock,
    his::{Answering, Control, Orders, Request, Version, Writer, place_orders},
    port::Port,
    runner::Wire,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    account,
    crash::{Labwire, free_port},
    crash_bench::{ACK, Peer, message},
    crash_tools::{left_out, runs, says},
    crash_trace::strace,
    hospital::{PATIENCE, Site, ZONE, comes, request},
    soak::Results,
};

const SEED: u64 = 20_261_129;

/// How long the disk takes for each sync, microseconds. A frame waits for what is under way and for its own
/// commit, far below the 10 s after which an ASTM line says NAK by itself.
const SYNC_US: u64 = 100_000;
/// Lines of each kind.
const ASTM: usize = 20;
const HL7: usize = 10;
/// Lines of analyzers that send pictures with their results, one message behind the other and without
/// waiting for an answer.
const PICTURES: usize = 2;
/// What is ordered on a tube, each told in a message of its own.
const TESTS: [&str; 4] = ["GLU", "CREA", "UREA", "ALT"];
/// Routine tubes of a line.
const TUBES: usize = 2;
/// Messages of a line with pictures, and the bytes of each beside its result.
const PICTURED: usize = 96;
const PICTURE_BYTES: usize = 1_024 * 1_024;
/// How much more memory the program may need for all of this than at rest. It waits with eight messages of
/// a line, a commit, 16 MB of what is handed over to be read, and copies of these: some 110 MB whether
/// the pictures are 130 MB together or 380. When the number of messages was its only bound, 70 MB of
/// pictures took 165; here there are 190.
const MEMORY_KB_MAX: u64 = 200 * 1_024;

/// Routine results that wait for the HIS and are in no courier's hands, as tube and test. A tube may have
/// others in a message that its courier has.
const ROUTINE_WAITING: Sql = Sql::same(
    "SELECT s.barcode || ' ' || r.test FROM queue q JOIN specimen s ON s.id = q.specimen \
     JOIN result r ON r.queue = q.id WHERE q.state = 'waiting' AND q.kind = 'result' AND q.priority > 0",
);
const STAT_WAITING: Sql = Sql::same(
    "SELECT s.barcode FROM queue q JOIN specimen s ON s.id = q.specimen \
     WHERE q.state = 'waiting' AND q.kind = 'result' AND q.priority = 0",
);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Astm,
    Hl7,
    Pictures,
}

/// A result, and all that the HIS has to know of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    barcode: String,
    test: &'static str,
    text: String,
}

/// One device: what it has to say, all of it at once.
struct Device {
    id: String,
    port: u16,
    kind: Kind,
    routine: Vec<Told>,
    stat: Vec<Told>,
}

/// The laboratory's devices, and what they are told of each other.
struct Ward {
    devices: Vec<Device>,
    orders_port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The STAT tubes are measured now: before everything else that waits.
    is_urgent: AtomicBool,
    /// Acknowledged messages, and of these the STAT ones.
    acknowledged: AtomicUsize,
    urgent: AtomicUsize,
    /// Promises: frames and messages, which are all to be on disk before they are acknowledged.
    promises: AtomicUsize,
    /// The longest wait for one, microseconds.
    longest: AtomicUsize,
}

impl Shared {
    fn promised(&self, since: Instant) {
        self.promises.fetch_add(1, Ordering::Relaxed);
        let took = usize::try_from(since.elapsed().as_micros()).unwrap_or(usize::MAX);
        self.longest.fetch_max(took, Ordering::Relaxed);
    }

    fn acknowledged(&self, is_stat: bool) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.urgent
            .fetch_add(usize::from(is_stat), Ordering::Relaxed);
    }
}

fn told(line: usize, tube: usize) -> Vec<Told> {
    let of = |(n, test): (usize, &&'static str)| Told {
        barcode: format!("27{line:04}{tube:04}"),
        test,
        // No two values are the same.
        text: format!("{line}.{tube}{n}"),
    };
    (1..).zip(&TESTS).map(of).collect()
}

impl Ward {
    fn new(chance: &mut Chance) -> Self {
        let mut ports = BTreeSet::new();
        while ports.len() < ASTM + HL7 + PICTURES + 1 {
            ports.insert(free_port(chance));
        }
        let mut ports = ports.into_iter();
        let mut port = || ports.next().expect("as many as were taken");
        let device = |number: usize| {
            let kind = match number {
                0..ASTM => Kind::Astm,
                _ if number < ASTM + HL7 => Kind::Hl7,
                _ => Kind::Pictures,
            };
            let tubes = match kind {
                Kind::Astm | Kind::Hl7 => TUBES,
                Kind::Pictures => PICTURED.div_ceil(TESTS.len()),
            };
            let routine = (1..=tubes).flat_map(|tube| told(number + 1, tube));
            let stat = told(number + 1, tubes + 1).into_iter().take(1);
            Device {
                id: format!("dev-{number}"),
                port: port(),
                kind,
                routine: routine.collect(),
                // Who does not wait for answers has nothing that could go before the rest.
                stat: stat.filter(|_| kind != Kind::Pictures).collect(),
            }
        };
        Self {
            devices: (0..ASTM + HL7 + PICTURES).map(device).collect(),
            orders_port: port(),
            shared: Arc::default(),
        }
    }

    fn lab(&self, results: &str) -> String {
        let mut lab = format!(
            "[[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:{}\"\n\
             results = \"{results}\"\nretry_first_s = 1\nretry_longest_s = 1\n",
            self.orders_port
        );
        for device in &self.devices {
            let (id, port) = (&device.id, device.port);
            let kind = match device.kind {
                Kind::Astm => "profile = \"generic/astm\"\norders = \"query\"\nport = \"tcp",
                Kind::Hl7 | Kind::Pictures => "profile = \"generic/hl7\"\nport = \"mllp",
            };
            let tests = TESTS.map(|test| format!("{test} = \"{test}\"")).join(", ");
            lab.push_str(&format!(
                "\n[[instrument]]\nid = \"{id}\"\n{kind}-listen://127.0.0.1:{port}\"\n\
                 tests = {{ {tests} }}\n"
            ));
        }
        lab
    }

    /// Everything that anybody will say.
    fn told(&self) -> impl Iterator<Item = &Told> {
        let devices = self.devices.iter();
        devices.flat_map(|device| device.routine.iter().chain(&device.stat))
    }

    /// STAT tubes.
    fn stat(&self) -> BTreeSet<String> {
        let stat = self.devices.iter().flat_map(|device| &device.stat);
        stat.map(|one| one.barcode.clone()).collect()
    }

    /// Everything that will be promised: an ASTM message is five frames.
    fn promises(&self) -> usize {
        let of = |device: &Device| {
            let messages = device.routine.len() + device.stat.len();
            messages * if device.kind == Kind::Astm { 5 } else { 1 }
        };
        self.devices.iter().map(of).sum()
    }

    /// The HIS orders every tube.
    async fn order(&self, results: &Results) {
        let mut tubes: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for one in self.told() {
            tubes.entry(&one.barcode).or_default().push(one.test);
        }
        let stat = self.stat();
        let orders = Orders::default();
        let mut writer = Writer::new(Version::V251, "HIS");
        for (barcode, tests) in tubes {
            let form = Request {
                is_stat: stat.contains(barcode),
                ..request(Control::New, barcode, &tests)
            };
            results.book.with_ledger(|ledger| {
                for item in &form.items {
                    ledger.place(&item.placer, &form.patient.id, barcode);
                }
            });
            orders.push(writer.request(&form, "20260310090000+0700"));
        }
        let cancel = CancellationToken::new();
        let mut wire = Wire::new(Clock::real(ZONE));
        wire.cancel = cancel.clone();
        let port = Port::Connect(format!("127.0.0.1:{}", self.orders_port));
        let placed = orders.clone();
        tokio::spawn(async move { place_orders(port, &placed, false, &mut wire).await });
        let are_taken = comes(PATIENCE, || orders.waiting() == 0).await;
        cancel.cancel();
        assert!(are_taken, "orders wait: {}", orders.waiting());
        assert!(orders.refused().is_empty(), "{:?}", orders.refused());
    }

    /// Every device begins; ends when each has said everything.
    fn plug(&self) -> JoinSet<()> {
        let mut all = JoinSet::new();
        for device in &self.devices {
            let (port, shared) = (device.port, Arc::clone(&self.shared));
            let (routine, stat) = (device.routine.clone(), device.stat.clone());
            match device.kind {
                Kind::Astm => all.spawn(say_all(port, true, routine, stat, shared)),
                Kind::Hl7 => all.spawn(say_all(port, false, routine, stat, shared)),
                Kind::Pictures => all.spawn(pour(port, routine, shared)),
            };
        }
        all
    }
}

/// One message after the other; the STAT ones as soon as they are measured.
async fn say_all(
    port: u16,
    is_astm: bool,
    routine: Vec<Told>,
    mut stat: Vec<Told>,
    shared: Arc<Shared>,
) {
    let mut peer = Peer::dial(port).await;
    let mut routine = routine.into_iter();
    loop {
        let is_urgent = shared.is_urgent.load(Ordering::Relaxed);
        let urgent = stat.pop_if(|_| is_urgent);
        let is_stat = urgent.is_some();
        let Some(one) = urgent.or_else(|| routine.next()) else {
            if stat.is_empty() {
                return;
            }
            // It was through before the STAT tube came.
            let comes = comes(PATIENCE, || shared.is_urgent.load(Ordering::Relaxed)).await;
            assert!(comes, "no STAT tube comes");
            continue;
        };
        if is_astm {
            tell(&mut peer, &one, &shared).await;
        } else {
            let since = Instant::now();
            let reply = peer.say(&hl7(&one, "")).await;
            assert!(reply.contains("\rMSA|AA|"), "{one:?}: {reply}");
            shared.promised(since);
        }
        shared.acknowledged(is_stat);
    }
}

/// An ASTM message, each frame of which is acknowledged at once or never.
async fn tell(peer: &mut Peer, one: &Told, shared: &Shared) {
    assert_eq!(peer.bid().await, ACK, "the bid for {one:?}");
    let Told {
        barcode,
        test,
        text,
    } = one;
    let records = [
        "H|\\^&|||ANALYZER|||||||P||20260310080000".to_owned(),
        "P|1".to_owned(),
        format!("O|1|{barcode}||^^^{test}|R"),
        format!("R|1|^^^{test}|{text}|mmol/L||N||F||||20260310080000"),
        "L|1|N".to_owned(),
    ];
    for (number, record) in (1..).zip(&records) {
        let since = Instant::now();
        assert_eq!(peer.frame(number, record).await, ACK, "{one:?} {record}");
        shared.promised(since);
    }
    peer.end().await;
}

fn hl7(one: &Told, beside: &str) -> String {
    let Told {
        barcode,
        test,
        text,
    } = one;
    format!(
        "MSH|^~\\&|ANALYZER|LAB|||20260310080000||ORU^R01|{barcode}{test}|P|2.5.1||||||UNICODE UTF-8\r\
         PID|1\rOBR|1||{barcode}|X\r\
         OBX|1|NM|{test}||{text}|mmol/L||N|||F|||20260310080000\r{beside}"
    )
}

/// Everything at once: it is for the other side to read no more than it has room for.
async fn pour(port: u16, routine: Vec<Told>, shared: Arc<Shared>) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let (mut read, mut write) = stream.expect("the line listens").into_split();
    let count = routine.len();
    let writing = tokio::spawn(async move {
        let picture = format!("ZPX|1|{}\r", "A".repeat(PICTURE_BYTES));
        for one in routine {
            let block = format!("\x0b{}\x1c\r", hl7(&one, &picture));
            let written = write.write_all(block.as_bytes()).await;
            written.expect("the line reads");
        }
        write
    });
    let (mut reply, mut answered) = (Vec::new(), 0);
    while answered < count {
        let byte = tokio::time::timeout(PATIENCE, read.read_u8()).await;
        let byte = byte.expect("the line answers in time");
        reply.push(byte.expect("the line stays"));
        if reply.ends_with(b"\x1c\r") {
            let is_taken = reply.windows(8).any(|part| part == b"\rMSA|AA|");
            assert!(is_taken, "{}", reply.escape_ascii());
            reply.clear();
            answered += 1;
            // When it began to wait nobody knows who wrote ahead.
            shared.promises.fetch_add(1, Ordering::Relaxed);
            shared.acknowledged(false);
        }
    }
    drop(writing.await.expect("it does not panic"));
}

/// What the system says of a process, kB.
fn memory_kb(labwire: &Labwire, of: &str) -> u64 {
    let path = format!("/proc/{}/status", labwire.pid());
    let status = std::fs::read_to_string(path).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(of));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|text| text.parse().ok()).expect(of)
}

/// Waits for something that the store says, which costs more to ask than a simulator.
async fn in_store(mut is_so: impl FnMut() -> bool) -> bool {
    let mut asked = Instant::now();
    let is_so = || {
        let is_time = asked.elapsed() >= Duration::from_millis(100);
        if is_time {
            asked = Instant::now();
        }
        is_time && is_so()
    };
    comes(PATIENCE, is_so).await
}

fn listed(url: &str, sql: &'static Sql) -> BTreeSet<String> {
    let read = account::look(url, |db| {
        let rows = db.rows(sql, &[])?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    });
    read.expect("the store reads")
}

/// The program at work on a disk that syncs slowly, every line listening.
async fn begin(chance: &mut Chance, results: &Results) -> (Site, Ward, Labwire) {
    let at = format!("mllp://{}", results.at);
    let lines = ASTM + HL7 + PICTURES + 1;
    let starts = async |command: Command, site: &Site| {
        let mut command = command;
        command.env("RUST_LOG", "info");
        let labwire = Labwire::start_by(command, &site.lab());
        let is_at_work = comes(PATIENCE, || {
            labwire.count("listening at=") >= lines || labwire.count("cannot open the port") > 0
        });
        assert!(is_at_work.await, "it does not start: {}", labwire.log());
        labwire
    };
    for _ in 0..20 {
        let ward = Ward::new(chance);
        let site = Site::new(&ward.lab(&at));
        let program = || Command::new(env!("CARGO_BIN_EXE_labwire"));
        let mut labwire = starts(program(), &site).await;
        if labwire.count("cannot open the port") > 0 {
            // Another program was quicker at a port.
            labwire.kill();
            continue;
        }
        ward.order(results).await;
        labwire.stop();
        let delay = format!("inject=fsync,fdatasync:delay_enter={SYNC_US}");
        let trace = site.lab().with_file_name("trace");
        // Only what is delayed stops: without this every call of the program would cost as much.
        let how = ["--seccomp-bpf", "-e", "trace=fsync,fdatasync", "-e", &delay];
        let mut slow = strace(&trace, &how);
        slow.arg(env!("CARGO_BIN_EXE_labwire"));
        let labwire = starts(slow, &site).await;
        assert_eq!(
            labwire.count("cannot open the port"),
            0,
            "{}",
            labwire.log()
        );
        return (site, ward, labwire);
    }
    unreachable!("twenty times another program was quicker at a port")
}

/// What happened while the disk was slow.
#[derive(Debug)]
struct Slow {
    /// Syncs that it made.
    syncs: usize,
    /// Promises that were given.
    promises: usize,
    /// Routine results that waited for the HIS when it came back, and how many observations it had.
    waiting: BTreeSet<String>,
    before: usize,
}

/// The HIS goes, STAT tubes are measured meanwhile, and it comes back, all on the slow disk.
async fn slow(site: &Site, ward: &Ward, labwire: &Labwire, results: &mut Results) -> Slow {
    let (url, shared) = (site.store(), &ward.shared);
    let observed = |results: &Results| {
        results
            .book
            .with_ledger(|ledger| ledger.observations().len())
    };
    let syncs = || {
        let trace = std::fs::read_to_string(site.lab().with_file_name("trace"));
        let trace = trace.expect("it is written");
        trace.lines().filter(|line| line.contains("= 0")).count()
    };
    let at_start = syncs();
    let has_begun = comes(PATIENCE, || observed(results) > 0);
    assert!(has_begun.await, "nothing arrives: {}", labwire.log());
    results.go_away();
    // Enough is acknowledged and waits that what is urgent has something to overtake.
    let is_behind = in_store(|| listed(&url, &ROUTINE_WAITING).len() >= 12);
    assert!(is_behind.await, "nothing waits: {}", labwire.log());
    shared.is_urgent.store(true, Ordering::Relaxed);
    let stat = ward.stat();
    let is_queued = in_store(|| listed(&url, &STAT_WAITING) == stat);
    assert!(
        is_queued.await,
        "{} acknowledged",
        shared.urgent.load(Ordering::Relaxed)
    );
    let (waiting, before) = (listed(&url, &ROUTINE_WAITING), observed(results));
    let promises = shared.promises.load(Ordering::Relaxed);
    let syncs = syncs() - at_start;
    results.come_back().await;
    let has_come = comes(PATIENCE, || {
        results.book.with_ledger(|ledger| {
            let at_his = ledger.observations().iter().map(|seen| &seen.barcode);
            at_his.filter(|barcode| stat.contains(*barcode)).count() == stat.len()
        })
    });
    assert!(has_come.await, "STAT does not arrive: {}", labwire.log());
    Slow {
        syncs,
        promises,
        waiting,
        before,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_the_disk_takes_is_acknowledged_late_and_stat_goes_first_within_bounded_memory() {
    if !runs("strace", &["-f", "--seccomp-bpf", "true"]) {
        return left_out(
            "a disk that is slower than its devices",
            "strace does not run here",
        );
    }
    let began = Instant::now();
    let mut results = Results::open(SEED).await;
    results.book.set_answering(Answering::good());
    let (site, ward, mut labwire) = begin(&mut Chance::fork(SEED, "ports"), &results).await;
    let at_rest = memory_kb(&labwire, "VmHWM:");
    let mut devices = ward.plug();
    let slow = slow(&site, &ward, &labwire, &mut results).await;
    // A device that is not acknowledged at the first try panics.
    while let Some(done) = devices.join_next().await {
        done.expect("every device is acknowledged");
    }
    let url = site.store();
    let is_done = in_store(|| account::open_work(&url).is_empty());
    let is_done = is_done.await;
    assert!(
        is_done,
        "{:#?}; {}",
        account::open_work(&url),
        labwire.log()
    );
    let used = memory_kb(&labwire, "VmHWM:") - at_rest;
    labwire.stop();
    let longest = ward.shared.longest.load(Ordering::Relaxed);
    says(&format!(
        "overload: {} promises offered, {} given and {} syncs made while the disk was slow and the HIS \
         away, {} results overtaken; the longest wait {} ms; {} MB more than at rest; {:.0?} in all",
        ward.promises(),
        slow.promises,
        slow.syncs,
        slow.waiting.len(),
        longest / 1_000,
        used / 1_024,
        began.elapsed()
    ));
    // It was an overload, and the disk was what was slow.
    assert!(ward.promises() >= 10 * slow.syncs, "{slow:?}");
    assert!(
        longest >= usize::try_from(SYNC_US).expect("it fits"),
        "{longest}"
    );
    assert!(used < MEMORY_KB_MAX, "{used} kB");
    overtook(&ward, &results, &slow);
    balances(&ward, &results);
    let findings = account::findings(&url);
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Every STAT result came before every routine one that had waited when it was queued.
fn overtook(ward: &Ward, results: &Results, slow: &Slow) {
    let stat = ward.stat();
    let order: Vec<String> = results.book.with_ledger(|ledger| {
        let came = ledger.observations().iter().skip(slow.before);
        came.map(|seen| format!("{} {}", seen.barcode, seen.code))
            .collect()
    });
    let is_stat = |seen: &String| {
        seen.split(' ')
            .next()
            .is_some_and(|tube| stat.contains(tube))
    };
    let last = order.iter().rposition(is_stat);
    let first = order.iter().position(|seen| slow.waiting.contains(seen));
    assert!(slow.waiting.len() >= 12, "{slow:?}");
    assert!(last.is_some() && first.is_some(), "{order:?}");
    assert!(
        last < first,
        "STAT until {last:?}, routine from {first:?}: {order:?}"
    );
}

/// Everything is at the HIS once, under its own patient and order, and nothing else is.
fn balances(ward: &Ward, results: &Results) {
    let mut left: BTreeSet<Told> = ward.told().cloned().collect();
    results.book.with_ledger(|ledger| {
        assert!(ledger.conflicts().is_empty(), "{:?}", ledger.conflicts());
        for seen in ledger.observations() {
            assert_eq!(seen.patient, format!("PN{}", seen.barcode), "{seen:?}");
            assert_eq!(
                seen.placer,
                format!("P{}-{}", seen.barcode, seen.code),
                "{seen:?}"
            );
            let test = TESTS.iter().find(|test| **test == seen.code);
            let one = Told {
                barcode: seen.barcode.clone(),
                test: test.expect("a test of theirs"),
                text: seen.text.clone(),
            };
            assert!(left.remove(&one), "twice, or nobody measured it: {seen:?}");
        }
    });
    assert!(left.is_empty(), "lost: {left:?}");
}

/// Lines of the other test: with their listeners alone more than [`FILES`].
const LINES: usize = 80;
/// What whoever starts the program allows it at first.
const FILES: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_lines_than_the_soft_limit_of_open_files_listen_and_take_messages() {
    let mut chance = Chance::fork(SEED, "files");
    let mut ports = BTreeSet::new();
    while ports.len() < LINES {
        ports.insert(free_port(&mut chance));
    }
    let mut lab = String::new();
    for port in &ports {
        lab.push_str(&format!(
            "[[instrument]]\nid = \"dev-{port}\"\nprofile = \"generic/hl7\"\n\
             port = \"mllp-listen://127.0.0.1:{port}\"\ntests = {{ NA = \"NA\" }}\n\n"
        ));
    }
    let site = Site::new(&lab);
    let mut shell = Command::new("sh");
    let limited = format!(r#"ulimit -Sn {FILES}; exec "$0" "$@""#);
    shell.args(["-c", &limited, env!("CARGO_BIN_EXE_labwire")]);
    shell.env("RUST_LOG", "info");
    let mut labwire = Labwire::start_by(shell, &site.lab());
    let listens = comes(PATIENCE, || labwire.count("listening at=") == LINES);
    assert!(listens.await, "{}", labwire.log());
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", labwire.pid()));
    let limits = limits.expect("it runs");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: Vec<&str> = files.expect("a limit").split_whitespace().skip(3).collect();
    assert_eq!(files[0], files[1], "the soft limit is not the hard one");
    let mut peers = Vec::new();
    for port in ports {
        let mut peer = Peer::dial(port).await;
        let reply = peer.say(&message(&format!("TUBE{port}"))).await;
        assert!(reply.contains("\rMSA|AA|"), "{reply}");
        peers.push(peer);
    }
    labwire.stop();
}
