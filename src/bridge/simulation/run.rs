//! One simulation from its seed: processes begin and die, the hospital goes on, and at the end
//! everything has calmed down and is compared.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak, atomic::AtomicBool},
    time::Duration,
};

use labwire_drivers::Clock as _;
use labwire_protocols::{mllp, wire::Machine};
use labwire_sims::{
    chance::Chance,
    clock::{Clock, Wall},
    his::{Answering, Book, Placer, Policy, Receiver, Refusal},
    persona::Persona,
    runner::{Device, Wire, session},
};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::{
    config::{self, Loaded, Seams},
    profile::Library,
    store::{Store, StoreOptions, by_hand::ByHand},
};

use super::{
    super::start::{Running, Setup, start},
    account::{self, Account},
    checks::Checks,
    clock::SimClock,
    colleague::Colleague,
    conveyor::{self, Conveyor},
    fate::Fate,
    hospital::{BENCHES, World, lab},
    network::{FarEnd, LifePorts, Network},
    scribe::{Log, Scribe, Told},
};

/// How long everything may take to come to rest once nothing goes wrong any more.
const REST_MAX: Duration = Duration::from_secs(1_800);
/// No machine stands in the middle of something for longer, without a byte.
const STUCK: Duration = Duration::from_secs(180);

/// Whoever lost a connection tries again after so long.
const AGAIN: Duration = Duration::from_millis(800);

/// States of machines in which nothing has begun: the peer may be silent for as long as it likes.
const IDLE: [&str; 8] = [
    "Neutral",
    "Between blocks",
    "Idle",
    "WaitHello",
    "Ready",
    "Ended",
    "Closed",
    "Disconnected",
];

/// Everything of one simulation.
struct Simulation {
    seed: u64,
    chance: Chance,
    clock: Arc<SimClock>,
    scribe: Arc<Scribe>,
    log: tracing::Dispatch,
    world: Arc<World>,
    checks: Arc<Checks>,
    network: Arc<Network>,
    book: Book,
    loaded: Loaded,
    /// Where the store is, as long as the simulation.
    _folder: tempfile::TempDir,
    /// Since when a machine stands where it stands: line, connection, state, last byte.
    standing: BTreeMap<(String, u64), (&'static str, Option<i64>, u64)>,
    /// What shows whether anything of a process is left.
    begun: Vec<Weak<AtomicBool>>,
}

/// A process of the bridge.
struct Process {
    hand: ByHand,
    fate: Arc<Fate>,
    running: Option<Running>,
}

/// Runs the simulation of a seed.
pub(super) fn run(seed: u64) -> Told {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    let runtime = runtime.expect("a runtime without threads needs nothing");
    let (scribe, begun) = runtime.block_on(async {
        let scribe = Arc::new(Scribe::new(Arc::new(SimClock::new())));
        let log = tracing::Dispatch::new(Log(Arc::clone(&scribe)));
        let _listening = tracing::dispatcher::set_default(&log);
        let (mut simulation, made) = Simulation::new(seed, &scribe, log);
        simulation.plug(made);
        simulation.live().await;
        (scribe, simulation.begun)
    });
    drop(runtime);
    let left = begun
        .iter()
        .filter(|trace| trace.strong_count() > 0)
        .count();
    if left > 0 {
        let what = format!("{left} of {} processes", begun.len());
        scribe.found("nothing of a dead process is left", what);
    }
    scribe.end()
}

impl Simulation {
    fn new(
        seed: u64,
        scribe: &Arc<Scribe>,
        log: tracing::Dispatch,
    ) -> (Self, UnboundedReceiver<FarEnd>) {
        let mut chance = Chance::fork(seed, "simulation");
        let benches = benches(&mut chance);
        let folder = folder();
        scribe.is_in(folder.path());
        let drawn = Conveyor::drawn(seed, &benches, scribe, wall());
        let (conveyor, line) = drawn.unzip();
        if let Some(conveyor) = &conveyor {
            std::fs::write(folder.path().join("line.toml"), conveyor.file())
                .expect("the folder takes it");
        }
        let loaded = load(&benches, conveyor.as_ref(), folder.path());
        std::fs::write(folder.path().join("labwire.db"), template()).expect("the folder takes it");
        let world = Arc::new(World::new(Arc::clone(scribe), seed, conveyor));
        let checks = Arc::new(Checks::new(Arc::clone(scribe), Arc::clone(&world)));
        let (network, made) = Network::new(Arc::clone(scribe), Arc::clone(&checks), seed);
        let book = Book::new(answering(&mut chance, seed), wall());
        let simulation = Self {
            seed,
            chance,
            clock: scribe.clock(),
            scribe: Arc::clone(scribe),
            log,
            world,
            checks,
            network,
            book,
            loaded,
            _folder: folder,
            standing: BTreeMap::new(),
            begun: Vec::new(),
        };
        let seeds = benches.into_iter().map(|bench| (bench, seed ^ 0x5EED));
        for (bench, seed) in seeds {
            simulation.plug_bench(bench, seed);
        }
        if let Some(line) = line {
            let mut wire = Wire::new(wall());
            wire.wake = line.attendant().wake();
            let network = Arc::clone(&simulation.network);
            let mut chance = Chance::fork(seed, "line away");
            // Sometimes nobody sees for minutes that its connection is gone.
            let pause = move || match chance.below(8) {
                0 => Duration::from_secs(chance.below(300)),
                _ => AGAIN,
            };
            let (name, line) = (conveyor::LINE, Box::new(line));
            tokio::spawn(keep(network, name, (endpoint(), line), wire, pause));
        }
        (simulation, made)
    }

    fn plug_bench(&self, bench: usize, seed: u64) {
        let line = BENCHES.get(bench).map_or("", |bench| bench.line);
        let plugged = self.world.plug(bench, seed, wall());
        let plugged = plugged.expect("every bench has its persona");
        let mut wire = Wire::new(wall());
        wire.wake = plugged.operator.wake();
        let network = Arc::clone(&self.network);
        let device = (plugged.machine, plugged.device);
        tokio::spawn(keep(network, line, device, wire, || AGAIN));
    }

    /// Plugs in the HIS.
    fn plug(&self, mut made: UnboundedReceiver<FarEnd>) {
        let orders = self.world.orders.clone();
        let mut wire = Wire::new(wall());
        wire.wake = orders.wake();
        let placer = Box::new(Placer::new(orders, false));
        tokio::spawn(keep(
            Arc::clone(&self.network),
            "host:his",
            (endpoint(), placer),
            wire,
            || AGAIN,
        ));
        let book = self.book.clone();
        tokio::spawn(async move {
            while let Some(stream) = made.recv().await {
                let mut receiver = Receiver::new(book.clone());
                tokio::spawn(async move {
                    let mut wire = Wire::new(wall());
                    session(stream, endpoint().as_mut(), &mut receiver, &mut wire).await;
                });
            }
        });
    }

    /// Lives: so many processes die, the last one is looked at when everything is at rest.
    async fn live(&mut self) {
        let happening = tokio::spawn(happen(
            Arc::clone(&self.world),
            Arc::clone(&self.network),
            Chance::fork(self.seed, "happening"),
        ));
        for number in 0..self.chance.below(4) {
            let mut process = self.begin(number);
            if self.chance.happens(700) {
                process.fate.dies_after(self.chance.below(250));
            }
            let fate = Arc::clone(&process.fate);
            let limit = Duration::from_millis(self.chance.below(60_000));
            let living = async {
                tokio::select! {
                    biased;
                    () = fate.died.notified() => {}
                    () = self.stay(&mut process) => {}
                    () = tokio::time::sleep(limit) => fate.dies(),
                }
            };
            living.await;
            self.bury(process).await;
            if self.scribe.has_found() {
                return;
            }
        }
        let mut process = self.begin(99);
        self.rest(&mut process, happening).await;
        self.bury(process).await;
    }

    fn begin(&mut self, number: u64) -> Process {
        self.scribe.note("process", format_args!("{number} begins"));
        let part = |name: &str| Chance::fork(self.seed, &format!("{name} {number}"));
        let mut steps = part("steps");
        let pauses = Box::new(move || pause(&mut steps));
        let hand = ByHand::new(self.log.clone(), pauses);
        let fate = Arc::new(Fate::new(
            Arc::clone(&self.scribe),
            hand.clone(),
            part("fate"),
        ));
        self.checks.look_into(hand.clone());
        self.begun.push(hand.trace());
        tokio::spawn(write(
            hand.clone(),
            Arc::clone(&self.clock),
            Arc::clone(&self.scribe),
        ));
        tokio::spawn(read(hand.clone()));
        Process {
            hand,
            fate,
            running: None,
        }
    }

    /// Starts the bridge, and again when it cannot start; then it runs.
    async fn stay(&mut self, process: &mut Process) {
        let life = self.network.begin(process.hand.clone());
        loop {
            let setup = Setup {
                loaded: self.loaded.clone(),
                library: library().clone(),
                store: StoreOptions {
                    faults: Some(Arc::clone(&process.fate) as _),
                    by_hand: Some(process.hand.clone()),
                    ..StoreOptions::default()
                },
                ports: Some(Arc::new(LifePorts(Arc::clone(&life)))),
            };
            match start(setup, Arc::clone(&self.clock) as _).await {
                Ok(running) => {
                    self.join(&running);
                    process.running = Some(running);
                    break;
                }
                Err(error) => self.scribe.note("start", error),
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
        }
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            self.look_at_lines(process);
        }
    }

    fn join(&self, running: &Running) {
        let Some(site) = running.site.hosts.get("his").cloned() else {
            return;
        };
        let colleague = Colleague {
            store: running.store.clone(),
            site,
            clock: Arc::clone(&self.clock),
            scribe: Arc::clone(&self.scribe),
            chance: Chance::fork(self.seed ^ self.clock.micros(), "colleague"),
        };
        tokio::spawn(colleague.run());
    }

    /// No line waits without a deadline.
    fn look_at_lines(&mut self, process: &Process) {
        let now = self.clock.micros();
        let Some(running) = &process.running else {
            return;
        };
        let own = running.lines.values().map(|line| line.status());
        let results = running.result_lines().map(|(_, line)| line.status());
        let mut standing = BTreeMap::new();
        for status in own.chain(results) {
            for open in status.connections {
                let key = (status.id.clone(), open.connection.number);
                let state = (open.machine_state, open.last_byte_utc_micros);
                let since = match self.standing.get(&key) {
                    Some((known, byte, since)) if (*known, *byte) == state => *since,
                    _ => now,
                };
                let is_idle = IDLE.contains(&state.0);
                if !is_idle && now - since > u64::try_from(STUCK.as_micros()).unwrap_or(0) {
                    let (line, number) = &key;
                    let what = format!("{line} connection {number}: {} since {since}", state.0);
                    self.scribe.found("no line waits without a deadline", what);
                }
                standing.insert(key, (state.0, state.1, since));
            }
        }
        self.standing = standing;
    }

    /// Nothing goes wrong any more; everything comes to rest and is compared.
    async fn rest(&mut self, process: &mut Process, happening: tokio::task::JoinHandle<()>) {
        let (hand, fate) = (process.hand.clone(), Arc::clone(&process.fate));
        let (world, network) = (Arc::clone(&self.world), Arc::clone(&self.network));
        let (scribe, checks) = (Arc::clone(&self.scribe), Arc::clone(&self.checks));
        let (book, clock) = (self.book.clone(), Arc::clone(&self.clock));
        let resting = async {
            drop(happening.await);
            tokio::time::sleep(Duration::from_secs(20)).await;
            fate.calms_down();
            network.calms_down();
            world.calms_down();
            book.set_answering(Answering::good());
            scribe.note("calm", "nothing goes wrong any more");
            let calm_at = tokio::time::Instant::now();
            loop {
                tokio::time::sleep(Duration::from_secs(2)).await;
                world.look();
                if world.is_idle() && account::open_work(&hand) == 0 {
                    return true;
                }
                if calm_at.elapsed() > REST_MAX {
                    return false;
                }
            }
        };
        let is_at_rest = tokio::select! {
            biased;
            is_at_rest = resting => is_at_rest,
            () = self.stay(process) => false,
        };
        if !is_at_rest {
            let (state, left) = (
                self.world.shown(&process.hand),
                account::left(&process.hand),
            );
            let rule = "everything comes to rest";
            return scribe.found(rule, format_args!("{state}; {left}"));
        }
        let account = Account {
            hand: &process.hand,
            scribe: &scribe,
            world: &self.world,
            checks: &checks,
            network: &self.network,
            now: clock.utc_micros(),
        };
        account.check();
        if let (Some(conveyor), Some(running)) = (&self.world.conveyor, &process.running) {
            let books = running.tracks.get(conveyor::LINE);
            conveyor.check(&process.hand, books, &self.world.cancelled());
        }
    }

    async fn bury(&mut self, process: Process) {
        process.hand.die();
        self.network.end();
        process.hand.bury();
        if let Some(running) = process.running {
            running.bury();
        }
        self.standing.clear();
        self.scribe.note("process", "it is dead");
        let pause = Duration::from_millis(1_000 + self.chance.below(8_000));
        tokio::time::sleep(pause).await;
    }
}

/// How long a step of the disk takes: a good disk, a busy one, one that stalls.
fn pause(chance: &mut Chance) -> Duration {
    let millis = match chance.below(200) {
        0..120 => chance.below(4),
        120..190 => chance.below(60),
        190..199 => chance.below(1_500),
        _ => chance.below(16_000),
    };
    Duration::from_millis(millis)
}

/// Lets the writer of a process take its steps, each in its time.
async fn write(hand: ByHand, clock: Arc<SimClock>, scribe: Arc<Scribe>) {
    while !hand.is_dead() {
        hand.rung().await;
        loop {
            tokio::time::sleep(hand.pause()).await;
            // The thread of the store sees the instant at which it was asked.
            clock.micros();
            if !hand.write() {
                break;
            }
            scribe.note("group", "");
        }
    }
}

/// Lets its readers take theirs.
async fn read(hand: ByHand) {
    while !hand.is_dead() {
        hand.rung_to_read().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        while hand.read() {}
    }
}

/// Keeps a far end connected; machine and device live on over all connections, with a pause between
/// two.
async fn keep(
    network: Arc<Network>,
    line: &'static str,
    (mut machine, mut device): (Box<dyn Machine>, Box<dyn Device>),
    mut wire: Wire,
    mut pause: impl FnMut() -> Duration,
) {
    loop {
        if let Some(stream) = network.connect(line) {
            session(stream, machine.as_mut(), device.as_mut(), &mut wire).await;
        }
        tokio::time::sleep(pause()).await;
    }
}

/// What happens in the hospital, and whether the HIS is there.
async fn happen(world: Arc<World>, network: Arc<Network>, mut chance: Chance) {
    for _ in 0..8 + chance.below(20) {
        let pause = Duration::from_millis(chance.below(6_000));
        tokio::time::sleep(pause).await;
        world.happen();
        world.look();
        let away = chance.below(12);
        if away < 2 {
            network.set_his_away(away == 0);
        }
    }
    network.set_his_away(false);
}

fn endpoint() -> Box<dyn Machine> {
    Box::new(mllp::Endpoint::new(mllp::Config::default()))
}

/// The clock of everybody outside of the bridge.
fn wall() -> Clock {
    Clock::new(Wall::fixed(1_773_108_000, 7 * 60), 1_000)
}

/// One to three analyzers of all there are.
fn benches(chance: &mut Chance) -> Vec<usize> {
    let mut all: Vec<usize> = (0..BENCHES.len()).collect();
    let count = 1 + chance.below(3);
    let mut benches: Vec<usize> = (0..count)
        .map(|_| all.swap_remove(chance.index(all.len())))
        .collect();
    benches.sort_unstable();
    benches
}

/// How the HIS answers.
fn answering(chance: &mut Chance, seed: u64) -> Answering {
    let refuse = |code, error| Policy::Refuse(Refusal { code, error });
    let rates = match chance.below(3) {
        0 => Vec::new(),
        1 => vec![
            (100, Policy::Slow(Duration::from_secs(4))),
            (100, Policy::Twice),
        ],
        _ => vec![
            (80, Policy::Slow(Duration::from_secs(14))),
            (80, refuse("AE", Some(207))),
            (80, Policy::Busy),
            (80, Policy::Cut),
            (60, Policy::Silent),
            (60, Policy::Late),
            (80, Policy::Twice),
            (15, refuse("AR", None)),
        ],
    };
    Answering::by_chance(rates, seed)
}

/// In memory, where the system has files there.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    folder.expect("a folder for the test")
}

fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| Library::load(None).0)
}

/// What only a site knows, by the profile or, where that leaves it open, by the analyzer.
fn mapped(persona: &Persona, profile: &str) -> String {
    let table = |key: &str, pairs: BTreeMap<&str, &str>| {
        let pairs = pairs
            .iter()
            .map(|(one, other)| format!("{one:?} = {other:?}"));
        format!("{key} = {{ {} }}\n", pairs.collect::<Vec<_>>().join(", "))
    };
    let analytes = persona.analytes;
    let tests = match persona.protocol() {
        "beckman-au" | "law" => analytes.iter().map(|one| (one.code, one.test)).collect(),
        _ => {
            let profile = library().get(profile).expect("a built-in profile");
            let rules = profile.tests.iter();
            rules
                .map(|rule| (rule.code.as_str(), rule.test.as_str()))
                .collect()
        }
    };
    let units = match persona.protocol() {
        "beckman-au" => table(
            "units",
            analytes.iter().map(|one| (one.code, one.unit)).collect(),
        ),
        _ => String::new(),
    };
    table("tests", tests) + &units
}

fn load(benches: &[usize], conveyor: Option<&Conveyor>, base: &Path) -> Loaded {
    let text = lab(benches, conveyor, mapped);
    let seams = Seams {
        read: &|_| Ok(text.clone()),
        ..Seams::default()
    };
    let path: PathBuf = base.join("lab.toml");
    let (loaded, problems) = config::load(&path, &seams);
    assert!(
        !problems.has_errors(),
        "{}",
        config::render(&problems, false)
    );
    loaded.expect("a configuration without problems")
}

/// An empty store, made once: to create its schema takes longer than a whole simulation.
fn template() -> &'static [u8] {
    static TEMPLATE: OnceLock<Vec<u8>> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let folder = folder();
        let path = folder.path().join("labwire.db");
        let url = format!("sqlite:{}", path.display());
        // On a thread of its own: a runtime may not wait inside of another.
        let make = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let runtime = runtime.expect("a runtime without threads needs nothing");
            runtime.block_on(async {
                let clock = Arc::new(SimClock::new());
                let store = Store::open(&url, StoreOptions::default(), clock).await;
                store.expect("an empty store").close().await;
            });
        };
        std::thread::scope(|scope| scope.spawn(make).join()).expect("an empty store");
        std::fs::read(path).expect("it was written")
    })
}
