//! A small hospital for one test: a bridge in this process, devices and a HIS of the simulators.

use std::{
    collections::BTreeMap,
    ops::Deref,
    path::PathBuf,
    sync::{Arc, Once},
    time::Duration,
};

use labwire::{
    bridge::{Running, Setup, start},
    config::{self, Seams},
    profile::Library,
    store::{StoreError, StoreOptions},
};
use labwire_drivers::{LineHandle, SystemClock};
use labwire_sims::{
    clock::Clock,
    his::{self, Answering, Book, Control, Item, Orders, Patient, Request, Version, Writer},
    port::Port,
    runner::Wire,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt as _};

use crate::{account, cluster::Cluster, scripted::Script};

/// The zone of every clock here, minutes east of Greenwich.
pub const ZONE: i32 = 7 * 60;

/// How long anything may take that a scenario waits for: a bound for a broken bridge, not a wait, so
/// it is long enough for a machine whose disk or processors are somebody else's for a minute.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// tracing keeps of every call site whether anybody listens, and one that is met for the first time just
/// when a test begins to listen may be kept as unheard: so somebody always listens, and writes nothing.
fn somebody_listens() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let nobody_reads = tracing_subscriber::registry().with(LevelFilter::INFO);
        let set = tracing::subscriber::set_global_default(nobody_reads);
        set.expect("no test listens for all of them");
    });
}

/// The simulated HIS, listening for results and ready to order.
pub struct His {
    pub book: Book,
    pub orders: Orders,
    pub writer: Writer,
    pub results: String,
    cancel: CancellationToken,
}

impl His {
    pub async fn open(answering: Answering) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let results = format!("mllp://{}", listener.local_addr().expect("bound"));
        let clock = Clock::real(ZONE);
        let book = Book::new(answering, clock);
        let cancel = CancellationToken::new();
        let serving = his::serve_results(listener, book.clone(), cancel.clone());
        tokio::spawn(serving);
        let writer = Writer::new(Version::V251, "HIS");
        Self {
            book,
            orders: Orders::default(),
            writer,
            results,
            cancel,
        }
    }

    /// Begins to send what is put into `orders` to the bridge.
    pub fn place(&self, address: std::net::SocketAddr) {
        let (orders, cancel) = (self.orders.clone(), self.cancel.clone());
        tokio::spawn(async move {
            let mut wire = Wire::new(Clock::real(ZONE));
            wire.cancel = cancel;
            his::place_orders(
                Port::Connect(address.to_string()),
                &orders,
                false,
                &mut wire,
            )
            .await
        });
    }

    /// Orders these services on a tube; returns the control id of the message.
    pub fn order(&mut self, barcode: &str, services: &[&str]) -> String {
        self.request(&request(Control::New, barcode, services))
    }

    /// Sends a request; returns the control id of the message.
    pub fn request(&mut self, request: &Request) -> String {
        self.book.with_ledger(|ledger| {
            for item in &request.items {
                ledger.place(&item.placer, &request.patient.id, &request.barcode);
            }
        });
        let written = self.writer.request(request, "20260310090000+0700");
        let id = written.control_id.clone();
        self.orders.push(written);
        id
    }
}

impl Drop for His {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// Every code of a built-in profile as a site without a catalogue maps it: a line of `lab.toml`.
pub fn tests(profile: &str) -> String {
    let (library, _) = Library::load(None);
    let profile = library.get(profile).expect("a built-in profile");
    let rules = profile.tests.iter();
    let mapped: BTreeMap<_, _> = rules.map(|rule| (&rule.code, &rule.test)).collect();
    let pairs = mapped
        .iter()
        .map(|(code, test)| format!("{code:?} = {test:?}"));
    format!("tests = {{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

/// A `lab.toml` of a host `his` and one analyzer over HL7, `dev-1`, that measures `GLU`.
pub fn one_analyzer(results: &str, reply_timeout_s: u32) -> String {
    format!(
        r#"
[[host]]
id = "his"
orders = "mllp-listen://127.0.0.1:0"
results = "{results}"
reply_timeout_s = {reply_timeout_s}

[[instrument]]
id = "dev-1"
profile = "generic/hl7"
port = "mllp-listen://127.0.0.1:0"
tests = {{ GLU = "GLU" }}
"#
    )
}

/// What that analyzer says of a tube.
pub fn glucose(tube: &str) -> String {
    format!(
        "MSH|^~\\&|DEV||||20260310091000||ORU^R01|M{tube}|P|2.5.1\rPID|1\r\
         OBR|1||{tube}|GLU\rOBX|1|NM|GLU||5.1|mmol/L|||||F|||20260310091000\r"
    )
}

/// One form: patient `PN<barcode>`, items numbered after the barcode.
pub fn request(control: Control, barcode: &str, services: &[&str]) -> Request {
    let items = services
        .iter()
        .map(|service| Item {
            placer: format!("P{barcode}-{service}"),
            service: (*service).to_owned(),
            name: (*service).to_owned(),
        })
        .collect();
    Request {
        control,
        patient: patient(barcode),
        group: format!("G{barcode}"),
        barcode: barcode.to_owned(),
        items,
        is_stat: false,
        ward: "KKB".to_owned(),
        visit: format!("V{barcode}"),
        collected: "20260310083000".to_owned(),
        tube_type: "SER^Serum^HL70487".to_owned(),
    }
}

pub fn patient(barcode: &str) -> Patient {
    Patient {
        id: format!("PN{barcode}"),
        national_id: String::new(),
        insurance: String::new(),
        family: "TRẦN".to_owned(),
        given: "BÌNH".to_owned(),
        middle: "THỊ".to_owned(),
        birth: "19911105".to_owned(),
        sex: "F".to_owned(),
    }
}

/// A folder with a `lab.toml`, for as many runs of the bridge as a test wants. It goes with the last
/// of its site and its bridges.
pub struct Site {
    folder: Arc<tempfile::TempDir>,
    store: String,
}

impl Site {
    /// `rest` holds the hosts and instruments. The store is a file, or on a server where
    /// `LABWIRE_SCENARIOS_STORE=postgres` wants all of them there.
    pub fn new(rest: &str) -> Self {
        if std::env::var("LABWIRE_SCENARIOS_STORE").is_ok_and(|kind| kind == "postgres") {
            let cluster = Cluster::shared().expect("PostgreSQL was asked for");
            return Self::on(&cluster.new_schema(), rest);
        }
        let folder = tempfile::tempdir().expect("a folder for the test");
        let store = format!("sqlite:{}", folder.path().join("labwire.db").display());
        Self::in_folder(folder, store, rest)
    }

    /// The same, its store at `url`.
    pub fn on(url: &str, rest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let rest = format!("{rest}\n[store]\nurl = \"{url}\"\n");
        Self::in_folder(folder, url.to_owned(), &rest)
    }

    fn in_folder(folder: tempfile::TempDir, store: String, rest: &str) -> Self {
        somebody_listens();
        let lab = format!("[lab]\ntimezone = \"Asia/Ho_Chi_Minh\"\n\n{rest}");
        std::fs::write(folder.path().join("lab.toml"), lab).expect("the folder is writable");
        Self {
            folder: Arc::new(folder),
            store,
        }
    }

    /// Lays a profile beside `lab.toml`, for a site whose `rest` begins with `profiles = "profiles"`.
    pub fn profile(&self, name: &str, text: &str) {
        let file = self.folder.path().join("profiles").join(name);
        let folder = file.parent().expect("in a folder");
        std::fs::create_dir_all(folder).expect("the folder is writable");
        std::fs::write(file, text).expect("the folder is writable");
    }

    /// Lays a file beside `lab.toml`.
    pub fn file(&self, name: &str, text: &str) {
        let file = self.folder.path().join(name);
        std::fs::write(file, text).expect("the folder is writable");
    }

    pub fn lab(&self) -> PathBuf {
        self.folder.path().join("lab.toml")
    }

    /// The address of its store.
    pub fn store(&self) -> String {
        self.store.clone()
    }

    pub async fn start(&self) -> Bridge {
        self.start_with(StoreOptions::default()).await
    }

    pub async fn start_with(&self, store: StoreOptions) -> Bridge {
        let (loaded, problems) = config::load(&self.lab(), &Seams::default());
        assert!(
            !problems.has_errors(),
            "{}",
            config::render(&problems, false)
        );
        let loaded = loaded.expect("a configuration without problems");
        let (library, problems) = Library::load(loaded.profiles().as_deref());
        assert!(
            !problems.has_errors(),
            "{}",
            config::render(&problems, false)
        );
        let setup = Setup {
            loaded,
            library,
            store,
            ports: None,
        };
        let running = start(setup, Arc::new(SystemClock::default()))
            .await
            .expect("the bridge starts");
        Bridge {
            running,
            store: self.store(),
            folder: Arc::clone(&self.folder),
        }
    }
}

/// A bridge at work, and its folder. The store opens a reader's connection when the first read
/// wants it: without the folder the couriers would find nothing due, while devices, whose results
/// the writer takes, notice nothing.
pub struct Bridge {
    running: Running,
    store: String,
    folder: Arc<tempfile::TempDir>,
}

impl Deref for Bridge {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl Bridge {
    /// Puts the HIS and the analyzer of [`one_analyzer`] at their ends of the wires.
    pub async fn plug(&self, his: &His, device: &Script, cancel: &CancellationToken) {
        his.place(self.address("host:his").await.expect("it listens"));
        let port = self.address("dev-1").await.expect("it listens");
        let mut wire = Wire::new(Clock::real(ZONE));
        wire.cancel = cancel.child_token();
        device.plug_mllp(Port::Connect(port.to_string()), wire);
    }

    /// Where its `lab.toml` is.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// Waits until another node has taken over, and ends as the program does then.
    pub async fn ends_shut_out(mut self) -> StoreError {
        let error = self.running.shut_out().await;
        self.running.cut().await;
        error
    }

    /// Waits until `is_so`; panics, when patience ends, with `what` and all that the store says.
    pub async fn until(&self, what: &str, is_so: impl FnMut() -> bool) {
        let has_come = comes(PATIENCE, is_so).await;
        assert!(has_come, "still not: {what}\n{}", self.story());
    }

    /// Waits until nothing is found any more; panics, when patience ends, with what is still found
    /// and all that the store says.
    pub async fn until_empty(&self, what: &str, mut found: impl FnMut() -> Vec<String>) {
        let is_empty = comes(PATIENCE, || found().is_empty()).await;
        assert!(is_empty, "{what}: {:#?}\n{}", found(), self.story());
    }

    /// What has become of everything so far, for whoever asks why a test failed.
    fn story(&self) -> String {
        let mut story = account::story(&self.store);
        let lines = self.lines.values().map(LineHandle::status);
        story.extend(lines.map(|line| format!("{line:?}")));
        story.push(format!("{:?}", self.running.store.health()));
        story.join("\n")
    }
}

/// Waits until `is_so`, looking again after every tick of the runtime, for so long at most; says
/// whether it came.
pub async fn comes(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(patience, wait).await.is_ok()
}
