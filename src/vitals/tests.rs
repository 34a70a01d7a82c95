use std::{
    ffi::OsStr,
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::Mutex,
};

use super::{
    notify::{Environment, Manager},
    *,
};
use crate::store::StoreOptions;

#[derive(Debug, Default)]
struct Hand(Mutex<Mono>);

impl Hand {
    fn pass(&self, time: Duration) {
        let mut now = self.0.lock().unwrap();
        *now = now.after(time);
    }
}

impl Clock for Hand {
    fn mono(&self) -> Mono {
        *self.0.lock().unwrap()
    }

    fn utc_micros(&self) -> i64 {
        0
    }
}

async fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("labwire.db").display());
    let store = Store::open(&url, StoreOptions::default(), Arc::new(Hand::default()));
    let store = store.await.expect("a new store opens");
    (folder, store)
}

#[tokio::test]
async fn a_worker_is_stuck_when_it_has_one_piece_of_work_in_hand_for_too_long_or_is_gone() {
    let (_folder, store) = store().await;
    let (clock, beat) = (Arc::new(Hand::default()), Arc::<Beat>::default());
    let beats = vec![Arc::clone(&beat)];
    let vitals = Vitals::new(
        store,
        Arc::new(Vec::new()),
        beats,
        Arc::clone(&clock) as Arc<dyn Clock>,
    );
    let late = STUCK_AFTER + Duration::from_secs(1);
    assert_eq!(vitals.stuck(), []);
    clock.pass(late);
    assert_eq!(vitals.stuck(), [], "it rests");
    beat.step();
    assert_eq!(vitals.stuck(), []);
    clock.pass(late);
    beat.step();
    assert_eq!(vitals.stuck(), [], "it is a step further");
    clock.pass(late);
    assert_eq!(vitals.stuck(), [Organ::Parser(0)]);
    beat.rest();
    assert_eq!(vitals.stuck(), [], "it has come back");
    let ended = std::thread::spawn({
        let beat = Arc::clone(&beat);
        move || {
            let _alive = beat.while_alive();
            panic!("a worker must not");
        }
    });
    assert!(ended.join().is_err());
    assert_eq!(vitals.stuck(), [Organ::Parser(0)]);
}

#[tokio::test]
async fn a_probe_that_was_written_long_ago_is_no_proof() {
    let (_folder, store) = store().await;
    let clock = Arc::new(Hand::default());
    let vitals = Vitals::new(
        store,
        Arc::new(Vec::new()),
        Vec::new(),
        Arc::clone(&clock) as Arc<dyn Clock>,
    );
    assert_eq!(vitals.lacks(), [], "nobody probes");
    vitals.probe().await.expect("the store writes");
    assert_eq!(vitals.lacks(), []);
    clock.pass(PROBE_OLD);
    assert_eq!(vitals.lacks(), [Lack::Silent]);
    vitals.probe().await.expect("the store writes");
    assert_eq!(vitals.lacks(), []);
}

#[test]
fn a_line_is_open_when_it_listens_or_dials_and_not_when_its_port_is_taken() {
    let check = |endpoint: &str, phase, expected: bool| {
        let line = LineStatus {
            endpoint: endpoint.to_owned(),
            phase,
            ..LineStatus::default()
        };
        assert_eq!(is_open(&line), expected, "{endpoint} {phase:?}");
    };
    check("tcp-listen://0.0.0.0:5001", Phase::Listening, true);
    check("tcp-listen://0.0.0.0:5001", Phase::Connected, true);
    check("tcp-listen://0.0.0.0:5001", Phase::Opening, false);
    check("tcp-listen://0.0.0.0:5001", Phase::Retrying, false);
    check("tls-listen://0.0.0.0:5001", Phase::Retrying, false);
    check("serial:///dev/ttyUSB0", Phase::Retrying, false);
    check("tcp://his:2575", Phase::Retrying, true);
    check("tls://his:2575", Phase::Retrying, true);
    check("tcp://his:2575", Phase::Stopped, false);
}

/// What arrived, as text.
fn heard(socket: &UnixDatagram) -> String {
    let mut bytes = [0; 4096];
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a time limit");
    let count = socket.recv(&mut bytes).expect("something arrives");
    String::from_utf8(bytes[..count].to_vec()).expect("it is text")
}

#[test]
fn systemd_is_told_over_a_path_and_over_an_abstract_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let by_path = UnixDatagram::bind(&path).expect("it is free");
    let name = format!("labwire-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("a name");
    let by_name = UnixDatagram::bind_addr(&address).expect("it is free");
    let name = format!("@{name}");
    for (socket, given) in [(&by_path, path.as_os_str()), (&by_name, OsStr::new(&name))] {
        let manager = Manager::of(Environment {
            notify_socket: Some(given),
            watchdog_usec: Some("3000000"),
            watchdog_pid: None,
        });
        assert_eq!(manager.watchdog(), Some(Duration::from_secs(3)));
        manager.ready("two\nlines");
        assert_eq!(heard(socket), "READY=1\nSTATUS=two lines\n");
        manager.alive();
        assert_eq!(heard(socket), "WATCHDOG=1\n");
        manager.reloading();
        let reloading = heard(socket);
        let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        let micros = micros.and_then(|rest| rest.trim().parse::<u64>().ok());
        assert!(micros.is_some_and(|micros| micros > 0), "{reloading}");
        manager.stopping();
        assert!(heard(socket).starts_with("STOPPING=1\n"));
    }
}

#[test]
fn a_watchdog_of_another_process_and_an_environment_without_systemd_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let _socket = UnixDatagram::bind(&path).expect("it is free");
    let of = |usec, pid| {
        Manager::of(Environment {
            notify_socket: Some(path.as_os_str()),
            watchdog_usec: usec,
            watchdog_pid: pid,
        })
    };
    let own = std::process::id().to_string();
    assert!(of(Some("5000000"), Some(&own)).watchdog().is_some());
    assert_eq!(of(Some("5000000"), Some("1")).watchdog(), None);
    assert_eq!(of(Some("0"), None).watchdog(), None);
    assert_eq!(of(Some("soon"), None).watchdog(), None);
    let nobody = Manager::of(Environment::default());
    assert!(!nobody.is_there());
    nobody.ready("at work");
}
