//! What somebody may try against the console, and what comes of it.

use std::time::Duration;

use labwire::{console::Limits, people::Role};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::console::{Browser, PASSWORD, Watched, exchange, refusing, short};

/// Every address that tells something, for reading.
const SECRETS: [&str; 43] = [
    "/alerts",
    "/api/v1/alerts",
    "/",
    "/held/1",
    "/held/1/link?q=tran",
    "/held/1/map",
    "/messages/1",
    "/queue/1",
    "/api/v1/held/1",
    "/calls",
    "/api/v1/calls",
    "/devices",
    "/devices/xn-1",
    "/devices/xn-1/capture",
    "/specimens?q=26031000071",
    "/queue",
    "/queue/ledger",
    "/qc",
    "/audit",
    "/settings",
    "/settings/profiles",
    "/api/v1/profiles",
    "/users",
    "/me",
    "/password",
    "/live?on=devices",
    "/api/v1/me",
    "/api/v1/lines",
    "/api/v1/work",
    "/api/v1/queue",
    "/api/v1/specimens?q=26031000071",
    "/api/v1/qc",
    "/api/v1/audit",
    "/api/v1/users",
    "/track",
    "/downtime",
    "/downtime/worklist",
    "/downtime/paper?q=26031000071",
    "/numbers",
    "/numbers/csv",
    "/api/v1/track",
    "/api/v1/downtime",
    "/api/v1/numbers",
];

/// Everything that changes something.
const ACTS: [&str; 15] = [
    "/alerts/1/acknowledge",
    "/api/v1/alerts/1/acknowledge",
    "/calls/1/attempt",
    "/api/v1/calls/1/attempt",
    "/queue/1/retry",
    "/queue/1/discard",
    "/api/v1/queue/1/retry",
    "/api/v1/queue/1/discard",
    "/users",
    "/users/viewer/role",
    "/users/viewer/reset",
    "/users/viewer/disable",
    "/me",
    "/password",
    "/logout",
];

/// What is done about what waits; for technicians.
const WORK_ACTS: [&str; 18] = [
    "/held/1/release",
    "/held/1/set-aside",
    "/held/1/rerun",
    "/held/1/accept-unit",
    "/held/1/link",
    "/held/1/map",
    "/messages/1/set-aside",
    "/acts/1/undo",
    "/queue/1/retry",
    "/api/v1/held/1/release",
    "/api/v1/held/1/set-aside",
    "/api/v1/held/1/rerun",
    "/api/v1/held/1/accept-unit",
    "/api/v1/held/1/link",
    "/api/v1/held/1/map",
    "/api/v1/messages/1/set-aside",
    "/api/v1/acts/1/undo",
    "/api/v1/queue/1/retry",
];

/// The same, of the time without a HIS.
const DOWNTIME: [&str; 4] = [
    "/downtime",
    "/downtime/withdraw",
    "/downtime/paper",
    "/downtime/release",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_there_is_the_login_and_nothing_else() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut nobody = Browser::new(watched.address());
    for path in SECRETS {
        let answer = nobody.get(path).await;
        let is_program = path.starts_with("/api/") || path.starts_with("/live");
        assert_eq!(answer.status, if is_program { 401 } else { 303 }, "{path}");
        if path.starts_with("/api/") {
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{path}"
            );
            assert_eq!(answer.json()["status"], 401, "{path}");
        } else if !is_program {
            assert!(answer.header("location").starts_with("/login"), "{path}");
        }
        assert!(!answer.body.contains("xn-1"), "{path}: {}", answer.body);
    }
    for path in ACTS.iter().chain(&WORK_ACTS).chain(&DOWNTIME) {
        assert_eq!(nobody.post(path, &[]).await.status, 401, "{path}");
    }
    for path in ["/health/live", "/health/ready", "/metrics"] {
        assert_eq!(nobody.get(path).await.status, 200, "{path}");
    }
    let mut guessing = nobody.clone();
    guessing.cookies = vec![("labwire_session".to_owned(), "0".repeat(64))];
    assert_eq!(guessing.get("/queue").await.status, 303);
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_too_small_changes_nothing() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut viewer = watched.logged_in(Role::Viewer).await;
    viewer.get("/me").await;
    for path in ACTS[..12].iter().chain(&WORK_ACTS).chain(&DOWNTIME) {
        let fields = [
            ("reason", "x"),
            ("role", "administrator"),
            ("tube", "1"),
            ("test", "GLU"),
        ];
        let answer = viewer.post(path, &fields).await;
        assert_eq!(answer.status, 403, "{path}");
    }
    for path in ["/held/1/link", "/held/1/map"] {
        assert_eq!(viewer.get(path).await.status, 403, "{path}");
    }
    assert_eq!(viewer.get("/devices/xn-1/capture").await.status, 403);
    let mut technician = watched.logged_in(Role::Technician).await;
    technician.get("/me").await;
    for path in &ACTS[8..12] {
        assert_eq!(
            technician.post(path, &[("role", "viewer")]).await.status,
            403,
            "{path}"
        );
    }
    assert_eq!(technician.get("/devices/xn-1/capture").await.status, 200);
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_without_its_token_or_from_elsewhere_is_refused() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut administrator = watched.logged_in(Role::Administrator).await;
    administrator.get("/users").await;
    let own = administrator.form.clone();
    let mut other = watched.logged_in(Role::Viewer).await;
    other.get("/me").await;
    for forged in [
        "",
        "0",
        &other.form,
        &own.to_uppercase(),
        &format!("{own}0"),
    ] {
        administrator.form = forged.to_owned();
        for path in ACTS.iter().chain(&WORK_ACTS).chain(&DOWNTIME) {
            let answer = administrator.post(path, &[]).await;
            assert_eq!(answer.status, 403, "{path} with {forged}");
        }
    }
    administrator.form = own.clone();
    for header in [
        "Origin: http://evil.example",
        "Sec-Fetch-Site: cross-site",
        "Origin: null",
    ] {
        let body = format!("form={own}");
        let head = format!(
            "POST /logout HTTP/1.1\r\n{header}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\n",
            body.len()
        );
        assert_eq!(
            administrator.send(&head, &body).await.status,
            403,
            "{header}"
        );
    }
    // A login is bound to the page that showed it, too.
    let mut nobody = Browser::new(watched.address());
    let fields = [("login", "viewer"), ("password", PASSWORD)];
    assert_eq!(nobody.post("/login", &fields).await.status, 403);
    assert_eq!(administrator.post("/logout", &[]).await.status, 303);
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_is_of_no_use_after_the_logout_nor_after_fifteen_minutes() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut viewer = watched.logged_in(Role::Viewer).await;
    let page = viewer.get("/me").await;
    assert_eq!(page.status, 200);
    let mut replayed = viewer.clone();
    assert_eq!(viewer.post("/logout", &[]).await.status, 303);
    assert_eq!(replayed.get("/queue").await.status, 303);
    assert_eq!(replayed.post("/me", &[]).await.status, 401);

    let mut idle = watched.logged_in(Role::Viewer).await;
    watched.clock.minutes(14);
    assert_eq!(idle.get("/queue").await.status, 200);
    watched.clock.minutes(14);
    assert_eq!(
        idle.get("/queue").await.status,
        200,
        "it was used in between"
    );
    watched.clock.minutes(16);
    assert_eq!(idle.get("/queue").await.status, 303);
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_and_headers_are_as_strict_as_they_can_be() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut browser = Browser::new(watched.address());
    browser.get("/login").await;
    let fields = [
        ("login", "viewer"),
        ("password", PASSWORD),
        ("next", "//evil.example"),
    ];
    let answer = browser.post("/login", &fields).await;
    assert_eq!(answer.header("location"), "/");
    let cookie = answer.header("set-cookie").to_owned();
    assert!(cookie.starts_with("labwire_session="), "{cookie}");
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(word), "{cookie}");
    }
    for path in [
        "/",
        "/login",
        "/no-such-page",
        "/api/v1/nothing",
        "/health/live",
    ] {
        let answer = browser.get(path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(!policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
    }
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_script_in_a_patients_name_is_a_name() {
    const SCRIPT: &str = "<script>alert(1)</script>";
    let mut watched = Watched::open(refusing(), Limits::default()).await;
    watched.measure("26031000072", SCRIPT).await;
    let mut viewer = watched.logged_in(Role::Viewer).await;
    let page = loop {
        let page = viewer.get("/specimens?q=26031000072").await;
        if page.body.contains("alert(1)") {
            break page.body;
        }
    };
    assert!(
        page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
        "{page}"
    );
    for path in [
        "/",
        "/queue",
        "/specimens?q=script",
        "/specimens?q=%3Cscript%3Ealert(1)%3C/script%3E",
        "/devices/xn-1",
        "/audit?subject=%3Cscript%3E",
        "/login?next=%22%3E%3Cscript%3E",
        "/no-such-page/%3Cscript%3E",
    ] {
        let body = viewer.get(path).await.body;
        assert!(!body.contains("<script>"), "{path}: {body}");
    }
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_path_leads_to_a_file() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut viewer = watched.logged_in(Role::Viewer).await;
    for path in [
        "/assets/../lab.toml",
        "/assets/..%2f..%2flab.toml",
        "/assets/%2e%2e/labwire.db",
        "/assets/....//....//etc/passwd",
        "/assets/console.css%00.toml",
        "/devices/..%2f..%2fetc%2fpasswd",
        "/devices/%2e%2e%2fxn-1/capture",
        "/api/v1/../../etc/passwd",
    ] {
        let answer = viewer.get(path).await;
        assert!(
            [403, 404].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        assert!(
            !answer.body.contains("timezone") && !answer.body.contains("root:"),
            "{path}"
        );
    }
    let page = viewer.get("/").await.body;
    let style = page
        .split("rel=\"stylesheet\" href=\"")
        .nth(1)
        .expect("a style sheet");
    let style = style.split('"').next().expect("an address");
    let answer = viewer.get(style).await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("cache-control").contains("immutable"));
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_logins_lock_the_name_and_cost_little() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut guesser = Browser::new(watched.address());
    guesser.get("/login").await;
    let body = format!("form={}&login=viewer&password=guess", guesser.form);
    let cookies: Vec<String> = guesser
        .cookies
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let request = format!(
        "POST /login HTTP/1.1\r\nHost: x\r\nCookie: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        cookies.join("; "),
        body.len()
    );
    let mut stream = TcpStream::connect(watched.address())
        .await
        .expect("it listens");
    let (mut wrong, mut locked) = (0, 0);
    for _ in 0..10_000 {
        stream
            .write_all(request.as_bytes())
            .await
            .expect("it reads");
        match status(&mut stream).await {
            401 => wrong += 1,
            429 => locked += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!((wrong, locked), (5, 9_995));
    // The right password does not help now, nor does it hurt the others.
    let mut viewer = Browser::new(watched.address());
    let answer = viewer.log_in("viewer", PASSWORD).await;
    assert_eq!(answer.status, 429);
    assert!(!answer.header("retry-after").is_empty());
    watched.logged_in(Role::Technician).await;
    watched.clock.minutes(6);
    assert_eq!(viewer.log_in("viewer", PASSWORD).await.status, 303);
    watched.stop().await;
}

/// Reads one answer of a connection that is kept.
async fn status(stream: &mut TcpStream) -> u16 {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let count = stream.read(&mut more).await.expect("it is open");
        assert!(count > 0, "the connection was closed");
        bytes.extend_from_slice(&more[..count]);
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.and_then(|text| text.parse().ok()).expect("a length");
        if body.len() >= length {
            return head
                .split(' ')
                .nth(1)
                .and_then(|code| code.parse().ok())
                .expect("a status");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_huge_body_or_head_is_refused_and_not_read() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut viewer = watched.logged_in(Role::Viewer).await;
    viewer.get("/me").await;
    let body = format!("form={}&language={}", viewer.form, "x".repeat(1_000_000));
    for path in ["/me", "/login", "/api/v1/queue/1/retry"] {
        let kind = "Content-Type: application/x-www-form-urlencoded";
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\n{kind}\r\nContent-Length: {length}\r\n");
        let answer = viewer.send(&head, &body).await;
        // Whoever is still sending may miss the answer: the connection is closed under them.
        assert!(
            [0, 413].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(200_000));
    let answer = exchange(watched.address(), long.as_bytes()).await;
    assert!(
        [0, 400, 414, 431].contains(&answer.status),
        "{}",
        answer.status
    );
    assert_eq!(viewer.get("/me").await.status, 200);
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_cut_off_and_others_are_served() {
    let watched = Watched::open(refusing(), short()).await;
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut stream = TcpStream::connect(watched.address())
            .await
            .expect("it listens");
        stream
            .write_all(b"GET / HTTP/1.1\r\nHos")
            .await
            .expect("it reads");
        slow.push(stream);
    }
    let mut viewer = watched.logged_in(Role::Viewer).await;
    assert_eq!(viewer.get("/devices").await.status, 200);
    let ended = async {
        for stream in &mut slow {
            let mut rest = Vec::new();
            // Closed, or told that it was too slow and closed; a reset is as good.
            stream.read_to_end(&mut rest).await.ok();
        }
    };
    let all = tokio::time::timeout(Duration::from_secs(60), ended).await;
    assert!(all.is_ok(), "slow clients are still connected");
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_connections_than_there_is_room_for_are_closed() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut many = Vec::new();
    for _ in 0..600 {
        many.push(
            TcpStream::connect(watched.address())
                .await
                .expect("the system accepts"),
        );
    }
    let mut closed = 0;
    for stream in many.iter_mut().rev().take(80) {
        let mut byte = [0];
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read(&mut byte)).await;
        closed += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
    }
    assert!(closed >= 80, "{closed} of the last 80 were closed");
    drop(many);
    watched.logged_in(Role::Viewer).await;
    watched.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_of_the_api_are_problems_that_a_program_can_read() {
    let watched = Watched::open(refusing(), Limits::default()).await;
    let mut technician = watched.logged_in(Role::Technician).await;
    technician.get("/me").await;
    for (path, status, code) in [
        ("/api/v1/nothing", 404, "not-found"),
        ("/api/v1/users", 403, "not-allowed"),
        ("/api/v1/specimens?q=", 400, "not-understood"),
        ("/api/v1/specimens?q=nobody", 404, "not-found"),
        ("/api/v1/queue?state=lost", 400, "not-understood"),
        ("/api/v1/queue?after=x", 400, "not-understood"),
        ("/api/v1/queue/1/retry", 405, "method"),
    ] {
        let answer = technician.get(path).await;
        let problem = answer.json();
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{path}"
        );
        assert_eq!(
            problem["type"],
            format!("urn:labwire:problem:{code}"),
            "{path}"
        );
        assert_eq!(problem["status"], status, "{path}");
        for key in ["title", "detail", "instance"] {
            assert!(
                problem[key].as_str().is_some_and(|text| !text.is_empty()),
                "{path} {key}"
            );
        }
    }
    watched.stop().await;
}
