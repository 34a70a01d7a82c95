//! Labwire as a service: what systemd hears of it, and when it is no longer told that all is well.

use std::{
    os::unix::net::UnixDatagram,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use labwire::{
    store::{Fault, FaultPoint, Faults, StoreOptions, Turn},
    vitals::{
        Lack, Organ,
        heart::{Heart, LINES_OPEN_WITHIN},
        notify::{Environment, Manager},
    },
};
use labwire_drivers::{Clock, SystemClock};
use labwire_protocols::wire::Mono;

use crate::{
    cluster::Cluster,
    crash::Labwire,
    hospital::{Bridge, PATIENCE, Site, comes},
};

/// The socket that systemd would listen on.
pub struct Systemd {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Systemd {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("it is free");
        socket
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit");
        Self { folder, socket }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// The manager that a process of it would have.
    fn manager(&self, watchdog: Duration) -> Manager {
        let path = self.path();
        let usec = watchdog.as_micros().to_string();
        Manager::of(Environment {
            notify_socket: Some(path.as_os_str()),
            watchdog_usec: Some(&usec),
            watchdog_pid: None,
        })
    }

    /// The next word; `None` when none comes within `limit`.
    fn hear(&self, limit: Duration) -> Option<String> {
        self.socket
            .set_read_timeout(Some(limit))
            .expect("a time limit");
        let mut bytes = [0; 4096];
        let count = self.socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..count].to_vec()).expect("it is text"))
    }

    /// Everything up to a word that holds `words`.
    pub fn until(&self, words: &str) -> Vec<String> {
        let mut heard = Vec::new();
        let (clock, began) = (SystemClock::new(), SystemClock::new().mono());
        loop {
            let word = self.hear(PATIENCE);
            let is_in_time = clock.mono().since(began) < PATIENCE;
            assert!(
                word.is_some() && is_in_time,
                "not heard: {words}; but {heard:?}"
            );
            heard.extend(word);
            if heard.last().is_some_and(|word| word.contains(words)) {
                return heard;
            }
        }
    }
}

const ALIVE: &str = "WATCHDOG=1";

const SITE: &str = "[console]\nlisten = \"127.0.0.1:0\"\n\n\
    [[instrument]]\nid = \"xn-1\"\nprofile = \"generic/hl7\"\nport = \"mllp-listen://127.0.0.1:0\"\n";

fn served(systemd: &Systemd, site: &Site, watchdog_usec: &str) -> Labwire {
    let environment = [
        ("NOTIFY_SOCKET", systemd.path().into_os_string()),
        ("WATCHDOG_USEC", watchdog_usec.into()),
    ];
    let environment = environment
        .each_ref()
        .map(|(name, value)| (*name, value.as_os_str()));
    Labwire::start_in(&site.lab(), &environment)
}

#[test]
fn systemd_hears_when_labwire_is_ready_that_it_lives_reloads_and_stops() {
    let (systemd, site) = (Systemd::new(), Site::new(SITE));
    let mut labwire = served(&systemd, &site, "2000000");
    let before = systemd.until("READY=1");
    let ready = before.last().expect("the word itself");
    assert!(ready.contains("STATUS=1 lines, 0 connected\n"), "{ready}");
    let listens = labwire.count("listening at=");
    assert_eq!(
        listens,
        1,
        "not before its lines are open: {}",
        labwire.log()
    );
    for _ in 0..3 {
        systemd.until(ALIVE);
    }
    labwire.signal("HUP");
    let reloading = systemd.until("RELOADING=1");
    assert!(
        reloading
            .last()
            .is_some_and(|word| word.contains("MONOTONIC_USEC="))
    );
    systemd.until("READY=1");
    systemd.until(ALIVE);
    labwire.stop();
    systemd.until("STOPPING=1");
    let after = systemd.hear(Duration::from_millis(1));
    assert_eq!(after, None, "nothing after its last word");
}

/// A disk that holds up a commit for as long as it is told to, or is full.
#[derive(Debug, Default)]
struct Disk {
    state: Mutex<DiskState>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum DiskState {
    #[default]
    Sound,
    Hanging,
    Full,
}

impl Disk {
    fn set(&self, state: DiskState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        self.changed.notify_all();
    }
}

impl Faults for Disk {
    fn at(&self, point: FaultPoint) -> Option<Fault> {
        if point != FaultPoint::Commit {
            return None;
        }
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = |state: &mut DiskState| *state == DiskState::Hanging;
        let waited = self.changed.wait_while(state, hangs);
        let state = waited.unwrap_or_else(PoisonError::into_inner);
        (*state == DiskState::Full).then_some(Fault::DiskFull)
    }
}

/// A bridge on such a disk, watched by systemd.
struct Watched {
    systemd: Systemd,
    disk: Arc<Disk>,
    bridge: Bridge,
    heart: Heart,
}

/// How long systemd waits; half of it is how long one commit may take.
const WATCHDOG: Duration = Duration::from_millis(1_600);

impl Watched {
    async fn start() -> Self {
        let (systemd, disk) = (Systemd::new(), Arc::new(Disk::default()));
        let faults = Arc::clone(&disk) as Arc<dyn Faults>;
        let options = StoreOptions {
            faults: Some(faults),
            ..StoreOptions::default()
        };
        let bridge = Site::new(SITE).start_with(options).await;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
        let vitals = Arc::clone(&bridge.vitals);
        let heart = Heart::start(vitals, systemd.manager(WATCHDOG), clock).expect("a thread");
        systemd.until("READY=1");
        systemd.until(ALIVE);
        Self {
            systemd,
            disk,
            bridge,
            heart,
        }
    }

    /// Asks for a commit, and does not wait for it.
    fn write(&self) {
        let store = self.bridge.store.clone();
        tokio::spawn(async move { store.transact(Turn::Reply, |_| Ok(())).await });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_writer_that_hangs_in_a_commit_gives_no_sign_of_life_until_it_goes_on() {
    let watched = Watched::start().await;
    watched.disk.set(DiskState::Hanging);
    watched.write();
    watched
        .systemd
        .until("the writer of the store makes no progress");
    assert_eq!(watched.bridge.vitals.stuck(), [Organ::Writer]);
    // Longer than systemd would wait.
    while let Some(word) = watched.systemd.hear(WATCHDOG * 2) {
        assert!(!word.contains(ALIVE), "a sign of life: {word}");
    }
    watched.disk.set(DiskState::Sound);
    watched.systemd.until(ALIVE);
    assert_eq!(watched.bridge.vitals.stuck(), []);
    watched.heart.stop();
    watched.bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_full_disk_is_told_and_is_no_standstill() {
    let watched = Watched::start().await;
    watched.disk.set(DiskState::Full);
    watched.write();
    watched
        .systemd
        .until("the store does not write (STORE-0001)");
    let lacks = watched.bridge.vitals.lacks();
    assert_eq!(lacks, [Lack::Store("STORE-0001")]);
    for _ in 0..5 {
        watched.systemd.until(ALIVE);
    }
    watched.disk.set(DiskState::Sound);
    watched.write();
    watched.systemd.until("STATUS=1 lines, 0 connected\n");
    watched.heart.stop();
    watched.bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_runtime_whose_threads_are_all_held_up_gives_no_sign_of_life() {
    let watched = Watched::start().await;
    let (release, held) = crossbeam_channel::bounded::<()>(0);
    for _ in 0..3 {
        let held = held.clone();
        // What a task must never do: it waits without giving its thread back.
        tokio::spawn(async move { held.recv().is_ok() });
    }
    let systemd = watched.systemd;
    // This test runs beside the runtime's threads, so it hears all the same.
    systemd.until("the runtime of the lines makes no progress");
    while let Some(word) = systemd.hear(WATCHDOG * 2) {
        assert!(!word.contains(ALIVE), "a sign of life: {word}");
    }
    drop(release);
    systemd.until(ALIVE);
    watched.heart.stop();
    watched.bridge.stop().await;
}

#[tokio::test]
async fn a_runtime_that_stands_still_before_its_first_beat_gives_no_sign_of_life() {
    let (systemd, bridge) = (Systemd::new(), Site::new(SITE).start().await);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let vitals = Arc::clone(&bridge.vitals);
    let heart = Heart::start(vitals, systemd.manager(WATCHDOG), clock).expect("a thread");
    // The one thread of the runtime is this test's, which does not give it back.
    systemd.until("the runtime of the lines makes no progress");
    heart.stop();
    bridge.stop().await;
}

/// A clock that a test sets forward.
#[derive(Debug, Default)]
struct Forward {
    system: SystemClock,
    micros: AtomicI64,
}

impl Clock for Forward {
    fn mono(&self) -> Mono {
        let by = u64::try_from(self.micros.load(Ordering::SeqCst)).unwrap_or(0);
        self.system.mono().after(Duration::from_micros(by))
    }

    fn utc_micros(&self) -> i64 {
        self.system.utc_micros()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_port_that_is_taken_delays_readiness_and_does_not_prevent_it() {
    let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = other.local_addr().expect("bound").port();
    let systemd = Systemd::new();
    let bridge = Site::new(&format!(
        "{SITE}\n[[instrument]]\nid = \"late-1\"\nprofile = \"generic/hl7\"\n\
         port = \"mllp-listen://127.0.0.1:{taken}\"\n"
    ))
    .start()
    .await;
    let forward = Arc::new(Forward::default());
    let clock = Arc::clone(&forward) as Arc<dyn Clock>;
    let vitals = Arc::clone(&bridge.vitals);
    let heart = Heart::start(vitals, systemd.manager(WATCHDOG), clock).expect("a thread");
    bridge
        .until("the other line is open", || {
            bridge.vitals.lacks() == [Lack::Line("late-1".to_owned())]
        })
        .await;
    for _ in 0..3 {
        let heard = systemd.until(ALIVE);
        assert!(
            !heard.iter().any(|word| word.contains("READY=1")),
            "{heard:?}"
        );
    }
    let within = i64::try_from(LINES_OPEN_WITHIN.as_micros()).expect("some seconds");
    forward.micros.store(within, Ordering::SeqCst);
    let ready = systemd.until("READY=1");
    let ready = ready.last().expect("the word itself");
    assert!(ready.contains("; line late-1 is not open\n"), "{ready}");
    heart.stop();
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_server_that_is_away_is_no_standstill() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let (systemd, site) = (Systemd::new(), Site::on(&cluster.new_schema(), SITE));
    let mut labwire = served(&systemd, &site, "4000000");
    systemd.until("READY=1");
    cluster.stop();
    systemd.until("the store does not write (STORE-0009)");
    for _ in 0..5 {
        systemd.until(ALIVE);
    }
    cluster.resume();
    systemd.until("STATUS=1 lines, 0 connected\n");
    cluster.stop();
    systemd.until("the store does not write (STORE-0009)");
    labwire.signal("TERM");
    let ends = comes(PATIENCE, || labwire.ended().is_some()).await;
    assert!(
        ends,
        "it waits for a server that is away: {}",
        labwire.log()
    );
}
