//! Alerts over the whole bridge: raised by themselves, sent, acknowledged, and over by themselves.

use std::{sync::Arc, time::Duration};

use labwire::{
    alerts,
    config::{self, Seams},
    console::Limits,
    people::Role,
    store::JournalEntry,
};
use labwire_drivers::Clock as _;
use labwire_protocols::wire::{Commit, Received};
use labwire_sims::{clock::Clock, his::Answering, port::Port, runner::Wire};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_util::sync::CancellationToken;

use crate::{
    console::{Browser, Watched},
    console_calls::{records, site_with},
    hospital::{His, ZONE},
    scripted::Script,
};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// A webhook that is out of order once, and tells what it was sent.
async fn webhook() -> (String, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, posted) = unbounded_channel();
    tokio::spawn(async move {
        let mut answer = "HTTP/1.1 503 Service Unavailable\r\n";
        while let Ok((stream, _)) = listener.accept().await {
            let body = post(stream, answer).await;
            answer = "HTTP/1.1 200 OK\r\n";
            if sender.send(body).is_err() {
                return;
            }
        }
    });
    (format!("http://{address}/labwire"), posted)
}

/// Reads one request and answers it; returns its body.
async fn post(stream: TcpStream, answer: &str) -> String {
    let mut stream = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.expect("a head");
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().expect("a length");
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    let answer = format!("{answer}Content-Length: 0\r\nConnection: close\r\n\r\n");
    let written = stream.get_mut().write_all(answer.as_bytes()).await;
    written.expect("it reads");
    String::from_utf8(body).expect("JSON is UTF-8")
}

/// As much of a mail server as a mail needs.
async fn mail_server() -> (String, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let (sender, mails) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(take_mails(stream, sender.clone()));
        }
    });
    (address.to_string(), mails)
}

async fn take_mails(stream: TcpStream, mails: UnboundedSender<String>) {
    let mut stream = BufReader::new(stream);
    let mut mail: Option<String> = None;
    let mut say = "220 mail.example";
    loop {
        if !say.is_empty() {
            let told = format!("{say}\r\n");
            if stream.get_mut().write_all(told.as_bytes()).await.is_err() {
                return;
            }
        }
        let mut line = String::new();
        if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
            return;
        }
        say = match &mut mail {
            Some(text) if line == ".\r\n" => {
                drop(mails.send(std::mem::take(text)));
                mail = None;
                "250 kept"
            }
            Some(text) => {
                text.push_str(&line);
                ""
            }
            None if line.starts_with("DATA") => {
                mail = Some(String::new());
                "354 go on"
            }
            None if line.starts_with("QUIT") => "221 bye",
            None => "250 good",
        };
    }
}

/// A line that spoke every ten minutes around this time on four days, and last 25 minutes ago.
async fn past(watched: &Watched) {
    let now = watched.clock.utc_micros();
    let mut session = 1_000;
    for day in (0..=4).rev() {
        let until = if day == 0 { -20 } else { 200 };
        for minutes in (-205..until).step_by(10) {
            session += 1;
            let received = Received {
                session,
                bytes: "x".to_owned().into(),
                is_complete: true,
            };
            let entry = JournalEntry {
                line: "bio-1".to_owned(),
                connection: 1,
                at: now - day * DAY + minutes * MINUTE,
                commit: Commit::Message(received),
            };
            let kept = watched.bridge.store.journal(entry).await;
            kept.expect("the journal takes it");
        }
    }
}

/// Looks until an alert of this cause is open, or is open no longer.
async fn alert(browser: &mut Browser, cause: &str, is_open: bool) -> Value {
    loop {
        let alerts = browser.get("/api/v1/alerts").await.json();
        let open = alerts["open"].as_array().expect("a list");
        let found = open.iter().find(|one| one["cause"] == cause).cloned();
        if found.is_some() == is_open {
            return found.unwrap_or(alerts);
        }
    }
}

/// The watch over a bridge, by the clock of its console.
fn watch(watched: &Watched, site: &crate::hospital::Site, stop: &CancellationToken) {
    let (loaded, _) = config::load(&site.lab(), &Seams::default());
    let loaded = Arc::new(loaded.expect("a site"));
    let clock = Arc::clone(&watched.clock);
    let parts = alerts::Parts {
        // However full the disk of this machine is.
        disk: |_| Some(40),
        ..alerts::Parts::of(&watched.bridge, loaded, clock)
    };
    let every = Duration::from_millis(20);
    tokio::spawn(alerts::run(parts, every, stop.clone()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unplugged_line_is_told_by_webhook_and_mail_and_ends_when_it_speaks() {
    let (address, mut posted) = webhook().await;
    let (server, mut mails) = mail_server().await;
    let his = His::open(Answering::good()).await;
    let site = site_with(
        &his,
        &format!(
            "[alerts]\nwebhook = \"{address}\"\nemail_server = \"{server}\"\n\
             email_from = \"labwire@lab.example\"\nemail_to = [\"dem@lab.example\"]\n"
        ),
    );
    let watched = Watched::over(&site, his, Limits::default()).await;
    past(&watched).await;
    let stop = CancellationToken::new();
    watch(&watched, &site, &stop);
    let mut technician = watched.logged_in(Role::Technician).await;
    let quiet = alert(&mut technician, "quiet", true).await;
    assert_eq!(quiet["subject"], "bio-1");

    let mail = mails.recv().await.expect("a mail");
    for word in ["To: dem@lab.example", "raised quiet bio-1"] {
        assert!(mail.contains(word), "{word} in {mail}");
    }
    // The webhook was out of order: it is sent again when its time has come.
    let first = posted.recv().await.expect("a post");
    watched.clock.minutes(1);
    let again = posted.recv().await.expect("a post");
    let [told, again]: [Value; 2] =
        [first, again].map(|body| serde_json::from_str(&body).expect("JSON"));
    // Only how long it has been quiet may be another number by now.
    assert_eq!(
        (&told["id"], &told["event"]),
        (&again["id"], &again["event"])
    );
    assert_eq!(
        (told["event"].as_str(), told["cause"].as_str()),
        (Some("raised"), Some("quiet"))
    );
    acknowledged_by_name(&mut technician, &quiet).await;

    let mut wire = Wire::new(Clock::real(ZONE));
    wire.cancel = stop.clone();
    let address = watched.bridge.address("bio-1").await.expect("it listens");
    let script = Script::default();
    script.plug_astm(Port::Connect(address.to_string()), wire);
    script.say(records("26031000093", "6.9"));
    alert(&mut technician, "quiet", false).await;
    let over = posted.recv().await.expect("a post");
    assert!(over.contains("\"cleared\""), "{over}");
    let mail = mails.recv().await.expect("a mail");
    assert!(mail.contains("cleared quiet bio-1"), "{mail}");

    a_call_that_nobody_makes(&watched, &mut technician).await;
    // The line has said nothing since, so that is told again, too.
    let urgent = loop {
        let one = posted.recv().await.expect("a post");
        if one.contains("\"calls\"") {
            break one;
        }
    };
    // A moment may have the digits of a value.
    let mut said: Value = serde_json::from_str(&urgent).expect("JSON");
    said.as_object_mut().expect("an object").remove("at");
    let said = said.to_string();
    assert!(
        !said.contains("6.9") && !said.contains("26031000093"),
        "{urgent}"
    );
    stop.cancel();
    watched.stop().await;
}

/// Seen by a person once, and shown so; the header of every page leads there.
async fn acknowledged_by_name(technician: &mut Browser, alert: &Value) {
    let id = alert["id"].as_i64().expect("an id");
    let path = format!("/alerts/{id}/acknowledge");
    let page = technician.get("/alerts").await.body;
    for word in [
        path.as_str(),
        "Đường dây bio-1 đã im",
        "sse-swap=\"count-alerts\"",
    ] {
        assert!(page.contains(word), "{word} in {page}");
    }
    assert_eq!(technician.post(&path, &[]).await.status, 303);
    assert_eq!(technician.post(&path, &[]).await.status, 409);
    let api = format!("/api/v1{path}");
    assert_eq!(technician.post(&api, &[]).await.status, 409);
    let none = technician.post("/alerts/99999/acknowledge", &[]).await;
    assert_eq!(none.status, 404);
    let page = technician.get("/alerts").await.body;
    assert!(page.contains("technician đang xử lý"), "{page}");
}

/// The critical value that nobody calls is an alert when its time is over.
async fn a_call_that_nobody_makes(watched: &Watched, technician: &mut Browser) {
    loop {
        let calls = technician.get("/api/v1/calls").await.json();
        if calls["open"]
            .as_array()
            .is_some_and(|open| !open.is_empty())
        {
            break;
        }
    }
    // Fewer than the fifteen minutes in which a session ends, twice.
    watched.clock.minutes(12);
    technician.get("/calls").await;
    watched.clock.minutes(12);
    let escalated = alert(technician, "calls", true).await;
    assert_eq!(escalated["level"], 1);
    assert_eq!(escalated["is_urgent"], true);
}
