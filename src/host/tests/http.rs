//! A host that takes JSON and gives orders as JSON.

use std::sync::Mutex;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
    routing::get,
};
use insta::assert_snapshot;

use super::*;
use crate::host::{
    JsonRenderer, PullState, answer_taken, hear_page,
    http::{post_result, pull_orders},
    pull::ANSWERS_MAX,
    pull_state,
};

/// A host that answers with one status and one page, and remembers what it was asked.
struct FakeHost {
    status: StatusCode,
    echoes: bool,
    page: String,
    asked: Mutex<Vec<String>>,
}

fn fake(status: u16, echoes: bool, page: &str) -> Arc<FakeHost> {
    Arc::new(FakeHost {
        status: StatusCode::from_u16(status).expect("a status"),
        echoes,
        page: page.to_owned(),
        asked: Mutex::default(),
    })
}

async fn posted(
    State(host): State<Arc<FakeHost>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, HeaderMap, String) {
    let header = |name: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("none").to_owned()
    };
    let body = String::from_utf8(body.to_vec()).expect("text");
    let asked = format!(
        "{} {} {body}",
        header("idempotency-key"),
        header("content-type")
    );
    host.asked.lock().expect("one test").push(asked);
    let mut answer = HeaderMap::new();
    if host.echoes
        && let Some(key) = headers.get("idempotency-key")
    {
        answer.insert("idempotency-key", key.clone());
    }
    (host.status, answer, "because".to_owned())
}

async fn page(State(host): State<Arc<FakeHost>>, uri: Uri) -> (StatusCode, String) {
    host.asked
        .lock()
        .expect("one test")
        .push(uri.query().unwrap_or("nothing").to_owned());
    (host.status, host.page.clone())
}

fn plain() -> reqwest::Client {
    crate::host::http::client(std::time::Duration::from_secs(30), None).expect("a client")
}

/// Runs `client` against the host on a port of its own.
fn with_host<T, F>(host: &Arc<FakeHost>, client: impl FnOnce(reqwest::Client, String) -> F) -> T
where
    F: Future<Output = T>,
{
    runtime().block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let routes = Router::new()
            .route("/x", get(page).post(posted))
            .with_state(Arc::clone(host));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        let found = client(plain(), format!("http://{address}/x")).await;
        server.abort();
        found
    })
}

#[test]
fn an_http_status_means_what_the_rule_says() {
    for (status, echoes, expected) in [
        (200, false, "accepted HTTP 200: because"),
        (202, false, "accepted HTTP 202: because"),
        (409, true, "accepted HTTP 409: because"),
        (409, false, "again HTTP 409: because"),
        (408, false, "again HTTP 408: because"),
        (425, false, "again HTTP 425: because"),
        (429, false, "again HTTP 429: because"),
        (401, false, "again HTTP 401: because"),
        (404, false, "again HTTP 404: because"),
        (301, false, "again HTTP 301: because"),
        (500, true, "again HTTP 500: because"),
        (503, false, "again HTTP 503: because"),
        (400, false, "aside HTTP 400: because"),
        (413, false, "aside HTTP 413: because"),
        (422, true, "aside HTTP 422: because"),
    ] {
        let host = fake(status, echoes, "");
        let verdict = with_host(&host, async |client, url| {
            post_result(&client, &url, "RUN-1", b"{}".to_vec()).await
        });
        let shown = match verdict {
            Verdict::Accepted { answer } => format!("accepted {answer}"),
            Verdict::Deferred { answer, .. } => format!("again {answer}"),
            Verdict::Refused { answer, .. } => format!("aside {answer}"),
        };
        assert_eq!(shown, expected);
        let asked = host.asked.lock().expect("one test").clone();
        assert_eq!(asked, ["RUN-1 application/json {}"]);
    }
}

#[test]
fn a_host_that_is_not_there_is_tried_again() {
    let verdict = runtime().block_on(async {
        // Bound, so that nobody else gets the port, but not listening.
        let silent = tokio::net::TcpSocket::new_v4().expect("a socket");
        let any = "127.0.0.1:0".parse().expect("an address");
        silent.bind(any).expect("a port");
        let address = silent.local_addr().expect("bound");
        let client = plain();
        post_result(&client, &format!("http://{address}/"), "1", Vec::new()).await
    });
    assert!(matches!(verdict, Verdict::Deferred { .. }), "{verdict:?}");
}

#[test]
fn a_page_is_asked_for_after_the_cursor() {
    for (status, after, asked, found) in [
        (200, "", "nothing", Some(true)),
        (200, "a b&c", "after=a+b%26c", Some(true)),
        (204, "17", "after=17", Some(false)),
        (500, "17", "after=17", None),
    ] {
        let host = fake(status, false, "{}");
        let page = with_host(&host, async |client, url| {
            pull_orders(&client, &url, after).await
        });
        assert_eq!(page.ok().map(|page| page.is_some()), found, "{status}");
        assert_eq!(*host.asked.lock().expect("one test"), [asked]);
    }
}

impl Bench {
    fn fetched(&mut self, page: &str) -> Heard {
        let inbound = self.inbound(page.as_bytes(), true);
        let site = self.site.clone();
        self.work(move |db| {
            let heard = hear_page(db, &site, &inbound)?;
            resume(db, &site, inbound.entry.at, &heard)?;
            Ok(heard)
        })
    }

    fn pull(&self) -> PullState {
        self.work(|db| pull_state(db, "his"))
    }

    fn documents(&self) -> String {
        let (site, now) = (self.site.clone(), self.now);
        let leased = self.lease_with(move |with| {
            with(&mut JsonRenderer {
                site: &site,
                run: "RUN",
                now,
            });
        });
        self.accept(&leased);
        leased.iter().fold(String::new(), |mut text, row| {
            let json: serde_json::Value = serde_json::from_slice(&row.body).expect("JSON");
            assert_eq!(json["control_id"], row.control_id.as_str());
            text.push_str(&serde_json::to_string_pretty(&json).expect("JSON"));
            text.push('\n');
            text
        })
    }
}

const PAGE: &str = r#"{ "cursor": "20", "orders": [
  { "id": 17, "action": "new", "placer": "REQ1", "priority": "S",
    "service": { "code": "CBC", "text": "Công thức máu", "system": "L" },
    "patient": { "ids": [{ "id": "PID0098", "authority": "BV01", "type": "PI" }, { "id": "079" }],
      "name": { "family": "TRẦN", "given": "BÌNH", "middle": "THỊ|x" },
      "birth": "19911105", "sex": "F" },
    "specimen": { "barcode": "T1", "type": { "code": "EDTA" },
      "collected_at": "20260310143000+0700" } },
  { "id": 18, "action": "new", "placer": "REQ2", "service": { "code": "NOPE" },
    "patient": { "ids": [{ "id": "PID0098", "authority": "BV01" }] },
    "specimen": { "barcode": "T1" } },
  { "id": 19, "action": "cancel", "placer": "REQ9", "service": { "code": "TSH" } },
  { "id": 20, "action": "paint" },
  { "id": 21, "action": "patient", "patient": { "ids": [] } } ] }"#;

#[test]
fn a_page_is_applied_once_answered_and_passed() {
    let mut bench = Bench::new();
    let heard = bench.fetched(PAGE);
    assert_eq!(heard.barcodes, ["T1"]);
    let answer: serde_json::Value = serde_json::from_slice(&heard.replies[0]).expect("JSON");
    assert_snapshot!(serde_json::to_string_pretty(&answer).expect("JSON"));
    let state = bench.pull();
    assert_eq!(state.after, "20");
    let body = String::from_utf8(heard.replies[0].clone()).expect("JSON is text");
    assert_eq!(state.answers, [("R1".to_owned(), body)]);
    assert_eq!(bench.fetched(PAGE).summary, "the same page again");
    assert_eq!(
        bench.fetched(r#"{"cursor":"20","orders":[]}"#).summary,
        "no new orders"
    );
    bench.work(|db| answer_taken(db, "his", "R9"));
    assert_eq!(bench.pull().answers.len(), 1, "another answer was taken");
    bench.work(|db| answer_taken(db, "his", "R1"));
    assert_eq!(bench.pull().answers, []);
}

#[test]
fn answers_that_nobody_takes_wait_in_order_and_stop_no_order() {
    let mut bench = Bench::new();
    for n in 0..ANSWERS_MAX + 2 {
        let page = PAGE.replace("\"20\"", &format!("\"{}\"", 20 + n));
        let heard = bench.fetched(&page);
        assert_eq!(heard.replies.len(), 1, "page {n} is answered");
    }
    let state = bench.pull();
    assert_eq!(state.after, (20 + ANSWERS_MAX + 1).to_string());
    let waiting: Vec<&str> = state.answers.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(waiting.len(), ANSWERS_MAX);
    assert_eq!(
        (waiting[0], waiting[1]),
        ("R3", "R4"),
        "the two oldest are given up"
    );
    for given_up in ["answer:R1", "answer:R2"] {
        let rows = bench.work(move |db| crate::audit::of_subject(db, given_up));
        assert_eq!(rows.len(), 1, "{given_up} has its row in the audit");
    }
}

#[test]
fn a_page_in_another_form_changes_nothing_twice() {
    let mut bench = Bench::new();
    bench.fetched(PAGE);
    let again = PAGE.replace(
        "\"cursor\": \"20\"",
        "\"cursor\": \"30\", \"answer\": false",
    );
    let heard = bench.fetched(&again);
    assert_eq!(
        (heard.replies.len(), heard.summary.as_str()),
        (0, "5 orders, 4 refused")
    );
    assert_eq!(bench.pull().after, "30");
    let tubes = bench.work(|db| crate::book::specimens_with_barcode(db, "T1", 0));
    let items = bench.work(move |db| crate::book::open_items(db, tubes[0].id));
    assert_eq!(items.len(), 1, "one order, however often it comes");
}

#[test]
fn a_page_that_cannot_be_read_is_held_and_not_passed() {
    let mut bench = Bench::new();
    bench.fetched(r#"{"cursor":"1","orders":[]"#);
    let state = bench
        .work(|db| crate::store::journal::message(db, 1))
        .expect("journalled");
    assert_eq!(state.state.code(), "held");
    assert_eq!(bench.pull(), PullState::default());
}

#[test]
fn patients_merge_by_page_too() {
    let mut bench = Bench::new();
    bench.fetched(PAGE);
    bench.fetched(
        r#"{ "cursor": "22", "orders": [ { "id": 22, "action": "merge",
          "patient": { "ids": [{ "id": "PID0500", "authority": "BV01" }] },
          "merged": [{ "id": "PID0098", "authority": "BV01" }] } ] }"#,
    );
    bench.measure(vec![full("WBC", "6.40", "10*9/L")]);
    let document = bench.documents();
    assert!(
        document.contains("PID0500") && !document.contains("PID0098"),
        "{document}"
    );
}

#[test]
fn a_document_tells_all_that_a_message_tells() {
    let mut bench = Bench::with(|site| site.posts_extras = true);
    bench.fetched(PAGE);
    bench.measure(vec![
        full("WBC", "6.40", "10*9/L"),
        Observation {
            completed: None,
            comments: vec!["chạy lại".to_owned()],
            ..quantity("PLT", "<5,0")
        },
    ]);
    assert_snapshot!(bench.documents());
}
