//! The console over real HTTP: who may see and do what, and that what they see is true.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use labwire::{
    config::{self, Seams},
    console::{Console, Limits, Parts},
    people::{self, Digest, NewPerson, Role},
    store::Turn,
};
use labwire_drivers::{Clock, SystemClock};
use labwire_protocols::wire::Mono;
use labwire_sims::{
    analyzer::Tube,
    his::{Answering, Control, Policy, Refusal},
    port::Port,
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::{
    cluster::Cluster,
    hospital::{Bridge, His, Site, request, tests},
    wire_to_his::astm,
};

pub const PASSWORD: &str = "mot cau that dai";

/// A clock that a test sets forward.
#[derive(Debug, Default)]
pub struct Later {
    system: SystemClock,
    by: AtomicI64,
}

impl Later {
    pub fn minutes(&self, minutes: i64) {
        self.by.fetch_add(minutes * 60_000_000, Ordering::SeqCst);
    }
}

impl Clock for Later {
    fn mono(&self) -> Mono {
        self.system.mono()
    }
    fn utc_micros(&self) -> i64 {
        self.system.utc_micros() + self.by.load(Ordering::SeqCst)
    }
}

/// A bridge with its console, and one person of every role, all with one password.
pub struct Watched {
    pub bridge: Bridge,
    pub his: His,
    pub console: Console,
    pub clock: Arc<Later>,
    cancel: CancellationToken,
}

pub fn short() -> Limits {
    Limits {
        connections_max: 64,
        head_within: Duration::from_millis(400),
        write_within: Duration::from_millis(400),
    }
}

impl Watched {
    pub async fn open(answering: Answering, limits: Limits) -> Self {
        Self::open_at(answering, limits, "127.0.0.1:0", "").await
    }

    /// The same, listening there, with more in `lab.toml`.
    pub async fn open_at(answering: Answering, limits: Limits, listen: &str, more: &str) -> Self {
        let his = His::open(answering).await;
        let site = Self::plain_site(&his, more);
        Self::over_at(&site, his, limits, listen).await
    }

    /// The same, its store at `url`.
    async fn open_on(url: &str, answering: Answering) -> Self {
        let his = His::open(answering).await;
        let site = Site::on(url, &Self::plain(&his, ""));
        Self::over(&site, his, Limits::default()).await
    }

    fn plain_site(his: &His, more: &str) -> Site {
        Site::new(&Self::plain(his, more))
    }

    /// One host and one instrument.
    fn plain(his: &His, more: &str) -> String {
        let xn = tests("sysmex/xn");
        let results = &his.results;
        format!(
            "[[host]]\nid = \"his\"\norders = \"mllp-listen://127.0.0.1:0\"\nresults = \"{results}\"\n\n\
             [[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\n\
             port = \"tcp-listen://127.0.0.1:0\"\n{xn}\n{more}"
        )
    }

    /// A site at work, its host `his`.
    pub async fn over(site: &Site, his: His, limits: Limits) -> Self {
        Self::over_at(site, his, limits, "127.0.0.1:0").await
    }

    async fn over_at(site: &Site, his: His, limits: Limits, listen: &str) -> Self {
        let (loaded, _) = config::load(&site.lab(), &Seams::default());
        let loaded = Arc::new(loaded.expect("a site"));
        let bridge = site.start().await;
        his.place(bridge.address("host:his").await.expect("it listens"));
        let clock = Arc::new(Later::default());
        let parts = Parts::of(&bridge, loaded, Arc::clone(&clock) as Arc<dyn Clock>);
        let bridge = with_people(bridge).await;
        let console = Console::start(parts, listen, limits)
            .await
            .expect("the console opens");
        Self {
            bridge,
            his,
            console,
            clock,
            cancel: CancellationToken::new(),
        }
    }

    /// A tube is ordered for a patient of that family name, and a device measures it.
    pub async fn measure(&mut self, barcode: &str, family: &str) {
        let mut form = request(Control::New, barcode, &["WBC", "HGB"]);
        form.patient.family = family.to_owned();
        let written = self.his.writer.request(&form, "20260310090000+0700");
        self.his.orders.push(written);
        let orders = &self.his.orders;
        self.bridge
            .until("the order is answered", || orders.waiting() == 0)
            .await;
        let address = self.bridge.address("xn-1").await.expect("it listens");
        let port = Port::Connect(address.to_string());
        let operator = astm("sysmex-xn", port, &self.cancel);
        operator.load(Tube::patient(barcode));
    }

    /// Where the store and `lab.toml` are.
    pub fn folder(&self) -> std::path::PathBuf {
        self.bridge.folder()
    }

    pub fn address(&self) -> SocketAddr {
        self.console.address()
    }

    /// Somebody who logged in.
    pub async fn logged_in(&self, role: Role) -> Browser {
        let mut browser = Browser::new(self.address());
        let answer = browser.log_in(role.code(), PASSWORD).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        browser
    }

    pub async fn stop(self) {
        self.cancel.cancel();
        self.console.stop().await;
        self.bridge.stop().await;
    }
}

/// One person of every role.
pub async fn with_people(bridge: Bridge) -> Bridge {
    let password = Digest::of(PASSWORD).expect("random bytes");
    bridge
        .store
        .transact(Turn::Background, move |db| {
            for role in Role::ALL {
                let person = NewPerson {
                    login: role.code().to_owned(),
                    name: role.code().to_owned(),
                    role: *role,
                    password: password.clone(),
                    must_change: false,
                };
                people::add(db, &person, "test", 1)?.expect("nobody is there yet");
            }
            Ok(())
        })
        .await
        .expect("people are added");
    bridge
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the answer is JSON")
    }
}

/// As much of a browser as these tests need: cookies and forms.
#[derive(Clone, Debug)]
pub struct Browser {
    address: SocketAddr,
    pub cookies: Vec<(String, String)>,
    pub form: String,
}

impl Browser {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            cookies: Vec::new(),
            form: String::new(),
        }
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(&format!("GET {path} HTTP/1.1\r\n"), "").await
    }

    /// Posts fields, with the token of the last page that had one.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.form.clone();
        let mut all = vec![("form", token.as_str())];
        all.extend_from_slice(fields);
        let pairs: Vec<String> = all
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let body = pairs.join("&");
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\n{kind}\r\nContent-Length: {length}\r\n");
        self.send(&head, &body).await
    }

    /// Listens to the news of a page until they hold a text; all that was heard.
    pub async fn listen(&self, path: &str, until: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("it listens");
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nCookie: {cookies}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.expect("it reads");
        let mut heard = Vec::new();
        loop {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.expect("it is open");
            heard.extend_from_slice(&bytes[..count]);
            let text = String::from_utf8(heard.clone()).unwrap_or_default();
            assert!(count > 0, "the stream ended before {until}: {text}");
            if text.contains(until) {
                return text;
            }
        }
    }

    pub async fn log_in(&mut self, login: &str, password: &str) -> Answer {
        self.get("/login").await;
        self.post("/login", &[("login", login), ("password", password)])
            .await
    }

    pub async fn send(&mut self, head: &str, body: &str) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let text = format!(
            "{head}Host: {}\r\nCookie: {cookies}\r\nConnection: close\r\n\r\n{body}",
            self.address
        );
        let answer = exchange(self.address, text.as_bytes()).await;
        for line in answer.head.lines() {
            let cookie = line.strip_prefix("set-cookie: ");
            let Some((name, value)) = cookie.and_then(|cookie| cookie.split_once('=')) else {
                continue;
            };
            let value = value.split(';').next().unwrap_or_default();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        if let Some((_, rest)) = answer.body.split_once("name=\"form\" value=\"") {
            self.form = rest.split('"').next().unwrap_or_default().to_owned();
        }
        answer
    }
}

pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Sends bytes and reads until the console closes.
pub async fn exchange(address: SocketAddr, request: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    // A console that has heard enough may close before it has read all.
    let sent = stream.write_all(request).await;
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes).await;
    let text = String::from_utf8(bytes).expect("pages are UTF-8");
    assert!(
        !text.is_empty() || sent.is_err() || read.is_err(),
        "nothing came back"
    );
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let is_chunked = head.contains("transfer-encoding: chunked");
    Answer {
        status: status.unwrap_or(0),
        head: head.replace("\r\n", "\n"),
        body: if is_chunked {
            joined(body)
        } else {
            body.to_owned()
        },
    }
}

/// Chunks of a body, put together.
fn joined(body: &str) -> String {
    let mut rest = body;
    let mut whole = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let (chunk, next) = after.split_at(size.min(after.len()));
        whole.push_str(chunk);
        rest = next.strip_prefix("\r\n").unwrap_or_default();
        if size == 0 {
            break;
        }
    }
    whole
}

pub fn refusing() -> Answering {
    let refusal = Refusal {
        code: "AE",
        error: Some(204),
    };
    Answering {
        otherwise: Policy::Refuse(refusal),
        ..Answering::good()
    }
}

/// Every page, and what a person of the least role gets for it.
const PAGES: [(&str, u16); 16] = [
    ("/alerts", 200),
    ("/", 200),
    ("/calls", 200),
    ("/devices", 200),
    ("/devices/xn-1", 200),
    ("/specimens", 200),
    ("/queue", 200),
    ("/qc", 200),
    ("/settings", 200),
    ("/settings/profiles", 200),
    ("/track", 200),
    ("/downtime", 200),
    ("/downtime/worklist", 200),
    ("/numbers", 200),
    ("/audit", 403),
    ("/users", 403),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_screen_shows_to_its_roles_what_the_bridge_has() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    every_screen_is_shown(watched).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_screen_shows_to_its_roles_what_the_bridge_has_on_postgresql() {
    let Some(cluster) = Cluster::start() else {
        return;
    };
    let watched = Watched::open_on(&cluster.new_schema(), refusing()).await;
    every_screen_is_shown(watched).await;
}

async fn every_screen_is_shown(mut watched: Watched) {
    watched.measure("26031000071", "TRẦN").await;
    let mut technician = watched.logged_in(Role::Technician).await;
    let queue = loop {
        let queue = technician.get("/api/v1/queue").await.json();
        if !queue["rows"].as_array().expect("rows").is_empty() {
            break queue;
        }
    };
    let row = queue["rows"][0]["id"].as_i64().expect("an id");
    let mut viewer = watched.logged_in(Role::Viewer).await;
    for (page, status) in PAGES {
        assert_eq!(viewer.get(page).await.status, status, "{page}");
    }
    let refused = viewer.get("/queue").await;
    assert!(refused.body.contains("26031000071"), "{}", refused.body);
    assert!(
        !refused.body.contains(&format!("/queue/{row}/retry")),
        "no button for a viewer"
    );
    for asked in [
        "26031000071",
        "2603100007",
        "tran binh",
        "Trần Thị Bình",
        "PN26031000071",
    ] {
        let mut found = viewer
            .get(&format!("/specimens?q={}", encoded(asked)))
            .await;
        if found.status == 303 {
            let path = found.header("location").to_owned();
            found = viewer.get(&path).await;
        }
        assert!(
            found.body.contains("TRẦN THỊ BÌNH"),
            "{asked}: {}",
            found.body
        );
    }
    let sheet = viewer.get("/api/v1/specimens?q=26031000071").await.json();
    assert_eq!(sheet["results"][0]["state"], "released");
    let timeline = sheet["timeline"].to_string();
    for what in ["ordered", "measured", "refused"] {
        assert!(timeline.contains(what), "{what} in {timeline}");
    }
    let lines = viewer.get("/api/v1/lines").await.json().to_string();
    assert!(lines.contains("\"evidence\":\"speaking\""), "{lines}");
    let wire = viewer.get("/devices/xn-1").await.body;
    assert!(
        wire.contains("&lt;ENQ&gt;") && wire.contains("ENQ: muốn gửi"),
        "{wire}"
    );
    let ledger = viewer.get("/queue/ledger").await.body;
    assert!(ledger.contains("Mọi bản tin đều rõ ràng"), "{ledger}");
    acts_on_the_queue(&mut technician, row).await;
    let mut verifier = watched.logged_in(Role::Verifier).await;
    let audit = verifier.get("/api/v1/audit").await.body;
    for what in [
        "\"read\"",
        "specimen:26031000071",
        "queue-discard",
        "ghi tay",
    ] {
        assert!(audit.contains(what), "{what} in {audit}");
    }
    watched.stop().await;
}

/// A technician tries a message again, gives it up with a reason, and cannot do so twice.
async fn acts_on_the_queue(technician: &mut Browser, row: i64) {
    let page = technician.get("/queue").await;
    assert!(
        page.body.contains(&format!("/queue/{row}/retry")),
        "{}",
        page.body
    );
    let without = technician
        .post(&format!("/queue/{row}/discard"), &[("reason", " ")])
        .await;
    assert_eq!(without.status, 400, "a reason is needed");
    technician.get("/queue").await;
    let path = format!("/queue/{row}/discard");
    let given_up = technician.post(&path, &[("reason", "ghi tay")]).await;
    assert_eq!(given_up.status, 303, "{}", given_up.body);
    assert_eq!(
        technician.post(&path, &[("reason", "again")]).await.status,
        409
    );
    assert_eq!(
        technician.post("/queue/999999/retry", &[]).await.status,
        404
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_brings_news_of_the_bridge_and_ends_with_its_session() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut viewer = watched.logged_in(Role::Viewer).await;
    let cookie = &viewer.cookies[0];
    let mut stream = TcpStream::connect(watched.address())
        .await
        .expect("it listens");
    let head = format!(
        "GET /live?on=devices HTTP/1.1\r\nHost: x\r\nCookie: {}={}\r\n\r\n",
        cookie.0, cookie.1
    );
    stream.write_all(head.as_bytes()).await.expect("it reads");
    let (mut heard, mut bytes_heard) = (String::new(), Vec::new());
    let mut read = async |until: &str| {
        while !heard.contains(until) {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.expect("it is open");
            assert!(count > 0, "the stream ended before {until}: {heard}");
            bytes_heard.extend_from_slice(&bytes[..count]);
            heard = String::from_utf8(bytes_heard.clone()).unwrap_or_default();
        }
    };
    read("event: devices").await;
    read("xn-1").await;
    viewer.get("/me").await;
    assert_eq!(viewer.post("/logout", &[]).await.status, 303);
    read("event: ended").await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_is_added_changes_the_password_first_and_is_disabled() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut administrator = watched.logged_in(Role::Administrator).await;
    administrator.get("/users").await;
    let fields = [
        ("name", "Nguyễn Thị Lan"),
        ("login", "lan"),
        ("role", "technician"),
    ];
    let page = administrator.post("/users", &fields).await;
    let given = page
        .body
        .split("<code>")
        .nth(1)
        .and_then(|rest| rest.split('<').next());
    let given = given.expect("the password is shown once").to_owned();
    let mut lan = Browser::new(watched.address());
    assert_eq!(lan.log_in("lan", &given).await.status, 303);
    let away = lan.get("/queue").await;
    assert_eq!((away.status, away.header("location")), (303, "/password"));
    lan.get("/password").await;
    let own = [
        ("old", given.as_str()),
        ("new", "dem truc yen binh"),
        ("again", "dem truc yen binh"),
    ];
    assert_eq!(lan.post("/password", &own).await.status, 303);
    assert_eq!(lan.log_in("lan", "dem truc yen binh").await.status, 303);
    assert_eq!(lan.get("/queue").await.status, 200);
    administrator.get("/users").await;
    assert_eq!(
        administrator.post("/users/lan/disable", &[]).await.status,
        303
    );
    assert_eq!(lan.get("/queue").await.status, 303, "the session ended");
    assert_eq!(lan.log_in("lan", "dem truc yen binh").await.status, 401);
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn language_and_theme_are_ones_own() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut viewer = watched.logged_in(Role::Viewer).await;
    assert!(viewer.get("/").await.body.contains("<html lang=\"vi\">"));
    viewer.get("/me").await;
    viewer
        .post("/me", &[("language", "en"), ("theme", "dark")])
        .await;
    let page = viewer.get("/").await.body;
    assert!(
        page.contains("<html lang=\"en\" data-theme=\"dark\">"),
        "{page}"
    );
    assert!(page.contains("Nothing needs a person."), "{page}");
    let mut other = watched.logged_in(Role::Technician).await;
    assert!(other.get("/").await.body.contains("<html lang=\"vi\">"));
    watched.stop().await;
}
