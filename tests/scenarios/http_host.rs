//! A HIS without HL7: orders fetched by GET, results posted as JSON under their control id.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use labwire_sims::{analyzer::Tube, port::Port};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    hospital::{Site, tests},
    wire_to_his::astm,
};

/// What the HIS holds: posted results by control id, posted answers, how often it refused.
#[derive(Clone, Default)]
pub struct Hospital {
    /// It has no place for answers, and its orders come in two pages.
    is_deaf: bool,
    results: Arc<Mutex<BTreeMap<String, Value>>>,
    answers: Arc<Mutex<Vec<Value>>>,
    refused: Arc<Mutex<u32>>,
}

impl Hospital {
    pub fn answers(&self) -> Vec<Value> {
        self.answers.lock().expect("no panic holds it").clone()
    }

    pub fn results(&self) -> BTreeMap<String, Value> {
        self.results.lock().expect("no panic holds it").clone()
    }
}

fn page() -> Value {
    json!({ "cursor": "1", "orders": [{
        "id": "1", "action": "new", "placer": "REQ1-1",
        "service": { "code": "WBC", "text": "WBC", "system": "L" }, "priority": "R",
        "patient": { "ids": [{ "id": "PN1", "authority": "BV01", "type": "PI" }],
                     "name": { "family": "TRẦN", "given": "BÌNH", "middle": "THỊ" },
                     "birth": "19911105", "sex": "F" },
        "specimen": { "barcode": "26031000009", "type": { "code": "EDTA" } } }] })
}

async fn orders(
    State(hospital): State<Hospital>,
    RawQuery(query): RawQuery,
) -> (StatusCode, Json<Value>) {
    match query.as_deref() {
        None | Some("") => (StatusCode::OK, Json(page())),
        Some("after=1") if hospital.is_deaf => {
            let second = page().to_string().replace("REQ1-1", "REQ2-1");
            let second = second.replace("26031000009", "26031000010");
            let second = second.replace("\"cursor\":\"1\"", "\"cursor\":\"2\"");
            let second = serde_json::from_str(&second).expect("JSON");
            (StatusCode::OK, Json(second))
        }
        Some(_) => (StatusCode::OK, Json(json!({ "cursor": "1", "orders": [] }))),
    }
}

async fn answer(State(hospital): State<Hospital>, Json(body): Json<Value>) -> StatusCode {
    if hospital.is_deaf {
        return StatusCode::METHOD_NOT_ALLOWED;
    }
    hospital
        .answers
        .lock()
        .expect("no panic holds it")
        .push(body);
    StatusCode::OK
}

/// Refuses the first post as busy, so that it comes again under the same key.
async fn results(
    State(hospital): State<Hospital>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let key = key.expect("every result has a key").to_owned();
    let mut refused = hospital.refused.lock().expect("no panic holds it");
    let mut results = hospital.results.lock().expect("no panic holds it");
    if let Some(first) = results.get(&key) {
        assert_eq!(*first, body, "one key, one body");
    }
    results.insert(key, body);
    if *refused == 0 {
        *refused = 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    StatusCode::OK
}

/// Opens the HIS on a free port.
pub async fn open() -> (Hospital, SocketAddr) {
    let hospital = Hospital::default();
    let address = serve(&hospital).await;
    (hospital, address)
}

async fn serve(hospital: &Hospital) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let router = Router::new()
        .route("/orders", get(orders).post(answer))
        .route("/results", post(results))
        .with_state(hospital.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_takes_no_answers_still_has_all_its_orders_fetched() {
    let hospital = Hospital {
        is_deaf: true,
        ..Hospital::default()
    };
    let address = serve(&hospital).await;
    let site = Site::new(&format!(
        r#"
[[host]]
id = "his"
kind = "http"
orders = "http://{address}/orders"
poll_s = 1

[[instrument]]
id = "xn-1"
profile = "sysmex/xn"
port = "tcp-listen://127.0.0.1:0"
{}
"#,
        tests("sysmex/xn")
    ));
    let bridge = site.start().await;
    let store = bridge.store.clone();
    bridge
        .until("the order of the second page is in the book", || {
            let tubes = store
                .read_blocking(|db| labwire::book::specimens_with_barcode(db, "26031000010", 0))
                .expect("the store reads");
            !tubes.is_empty()
        })
        .await;
    let waiting = bridge
        .store
        .read_blocking(|db| labwire::host::pull_state(db, "his"))
        .expect("the store reads");
    assert_eq!(waiting.answers.len(), 2, "both answers still wait");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_are_fetched_and_results_posted_under_one_key_until_taken() {
    let (hospital, address) = open().await;
    let site = Site::new(&format!(
        r#"
[[host]]
id = "his"
kind = "http"
orders = "http://{address}/orders"
results = "http://{address}/results"
poll_s = 1

[[instrument]]
id = "xn-1"
profile = "sysmex/xn"
port = "tcp-listen://127.0.0.1:0"
{}
"#,
        tests("sysmex/xn")
    ));
    let bridge = site.start().await;
    bridge
        .until("the orders are fetched and answered", || {
            !hospital.answers().is_empty()
        })
        .await;
    let given = hospital.answers();
    assert_eq!(given[0]["answers"][0]["accepted"], json!(true), "{given:?}");

    let cancel = CancellationToken::new();
    let port = bridge
        .address("xn-1")
        .await
        .expect("it listens")
        .to_string();
    let device = astm("sysmex-xn", Port::Connect(port), &cancel);
    device.load(Tube::patient("26031000009"));
    bridge
        .until("the tube is measured and acknowledged", || device.is_idle())
        .await;
    let sent = device
        .log()
        .acknowledged
        .iter()
        .find(|one| one.test == "WBC")
        .cloned();
    let sent = sent.expect("WBC was measured");
    let store = bridge.store.clone();
    bridge
        .until("the result is taken", || {
            let is_open = store
                .read_blocking(labwire::queue::summary)
                .expect("the store reads");
            is_open.is_empty() && !hospital.results().is_empty()
        })
        .await;
    let posted = hospital.results();
    assert_eq!(posted.len(), 1, "one message, one key");
    let text = posted
        .values()
        .next()
        .map(ToString::to_string)
        .unwrap_or_default();
    assert!(
        text.contains("26031000009") && text.contains("PN1"),
        "{text}"
    );
    assert!(
        text.contains(&format!("\"{}\"", sent.text)),
        "{} in {text}",
        sent.text
    );
    cancel.cancel();
    bridge.stop().await;
}
