//! Whether Labwire is well, for programs: `/health/live` and `/health/ready`. Open to everyone who
//! reaches the console, so each says one word; to this machine it gives the reasons too.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{App, gate::Told, serve::Peer};

/// `GET /health/live`: everything with work in hand gets on with it; if not, start Labwire again.
pub(super) async fn live(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
) -> Response {
    let stuck = app.parts.vitals.stuck();
    answer("live", stuck.iter().map(ToString::to_string), peer)
}

/// `GET /health/ready`: the store writes and the lines are open.
pub(super) async fn ready(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
) -> Response {
    let lacks = app.parts.vitals.lacks();
    answer("ready", lacks.iter().map(ToString::to_string), peer)
}

/// 200 without a reason against it, 503 with one.
fn answer(word: &str, reasons: impl Iterator<Item = String>, peer: Peer) -> Response {
    let reasons: Vec<String> = reasons.collect();
    let is_so = reasons.is_empty();
    let body = if peer.0.ip().is_loopback() {
        Json(json!({ word: is_so, "reasons": reasons })).into_response()
    } else if is_so {
        format!("{word}\n").into_response()
    } else {
        format!("not {word}\n").into_response()
    };
    let status = if is_so {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let mut response = (status, body).into_response();
    // Its body is the answer, whatever its status.
    response.extensions_mut().insert(Told);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(word: &str, reasons: &[&str], peer: &str, status: u16, body: &str) {
        let peer = Peer(peer.parse().expect("an address"));
        let reasons = reasons.iter().map(ToString::to_string);
        let response = answer(word, reasons, peer);
        assert_eq!(response.status().as_u16(), status, "{body}");
        let told = axum::body::to_bytes(response.into_body(), 1_000).await;
        assert_eq!(told.expect("it is short"), body.as_bytes());
    }

    #[tokio::test]
    async fn reasons_are_for_this_machine_and_others_hear_one_word() {
        const HERE: &str = "127.0.0.1:40000";
        const ELSEWHERE: &str = "10.0.0.9:40000";
        let reasons = ["line xn-1 is not open"];
        check("ready", &[], HERE, 200, r#"{"ready":true,"reasons":[]}"#).await;
        let told = r#"{"ready":false,"reasons":["line xn-1 is not open"]}"#;
        check("ready", &reasons, HERE, 503, told).await;
        check("ready", &[], ELSEWHERE, 200, "ready\n").await;
        check("ready", &reasons, ELSEWHERE, 503, "not ready\n").await;
        check("live", &reasons, ELSEWHERE, 503, "not live\n").await;
    }
}
