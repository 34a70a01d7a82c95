//! The work list and its acts for programs: the same functions, rights and words as on the pages, a
//! refusal as problem+json (RFC 9457).

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use crate::{
    model::ResultState,
    worklist::{self, Part, Refused},
};

use super::{
    App,
    acts::{self, Wish},
    fault::Fault,
    gate::{Posted, Told, Who},
    held,
    words::rfc3339,
    work::{self, Asked, note_reading},
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/work", get(list))
        .route("/held/{id}", get(entry))
        .route("/held/{id}/release", post(release))
        .route("/held/{id}/set-aside", post(set_aside))
        .route("/held/{id}/rerun", post(rerun))
        .route("/held/{id}/accept-unit", post(accept_unit))
        .route("/held/{id}/link", post(link))
        .route("/held/{id}/map", post(map))
        .route("/messages/{id}/set-aside", post(set_message_aside))
        .route("/acts/{id}/undo", post(undo))
}

/// What waits for a person, most urgent first; `?part=late` and `?part=unordered` for the rest,
/// `?after=` the `next` of a page for the following one.
async fn list(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<Asked>,
) -> Result<Json<Value>, Fault> {
    note_reading(&app, &who, "work:list").await?;
    let part = match asked.part.as_str() {
        "" => Part::Decide,
        "unordered" => Part::Unordered,
        "late" => Part::Late,
        _ => return Err(Fault::NOT_UNDERSTOOD),
    };
    let own = Arc::clone(&app);
    let (counts, page) = app
        .read(move |db| {
            let page = worklist::waiting(db, &work::waiting(&own, &who, &asked.after, part))?;
            Ok((worklist::counts(db)?, page))
        })
        .await?;
    Ok(Json(json!({
        "to_decide": counts.to_decide(),
        "held": counts.held,
        "messages": counts.messages,
        "refused": counts.refused,
        "waiting": counts.waiting,
        "total": page.total,
        "next": page.next,
        "entries": page.entries,
    })))
}

async fn entry(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
) -> Result<Json<Value>, Fault> {
    let held = held::read(&app, &who, id).await?;
    Ok(Json(json!(held.entry)))
}

/// Carries a wish out; `at` is the address that was asked, for the problem.
async fn answer(
    app: &App,
    who: &Who,
    wish: (i64, Wish),
    at: String,
    posted: &Posted,
) -> Result<Response, Fault> {
    let carried = match acts::carry_out(app, who, wish, posted.field("reason")).await? {
        Ok(carried) => carried,
        Err(refused) => return Ok(problem(who, &at, &refused)),
    };
    let moved: Vec<Value> = carried
        .moved
        .iter()
        .map(|(id, state)| json!({ "id": id, "state": state.code() }))
        .collect();
    Ok(Json(json!({
        "act": carried.done.act,
        "state": carried.done.state.map(ResultState::code),
        "undo_until": rfc3339(carried.done.until),
        "told": carried.told.map(acts::told_code),
        "moved": moved,
    }))
    .into_response())
}

/// A refusal as RFC 9457 writes a problem.
fn problem(who: &Who, at: &str, refused: &Refused) -> Response {
    let status = acts::status(refused);
    let body = json!({
        "type": format!("urn:labwire:problem:refused-{}", refused.code()),
        "title": who.words().t("acts.refused"),
        "status": status.as_u16(),
        "detail": refused.told(who.language),
        "instance": at,
    });
    let headers = [
        (header::CONTENT_TYPE, "application/problem+json"),
        (header::CONTENT_LANGUAGE, who.language.code()),
    ];
    let mut response = (status, headers, body.to_string()).into_response();
    response.extensions_mut().insert(Told);
    response
}

fn of_result(id: i64, act: &str) -> String {
    format!("/api/v1/held/{id}/{act}")
}

async fn release(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    let wish = Wish::Release(acts::leave(&posted));
    answer(&app, &who, (id, wish), of_result(id, "release"), &posted).await
}

async fn set_aside(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    let at = of_result(id, "set-aside");
    answer(&app, &who, (id, Wish::SetAside), at, &posted).await
}

async fn rerun(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    let at = of_result(id, "rerun");
    answer(&app, &who, (id, Wish::Rerun), at, &posted).await
}

async fn accept_unit(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    let at = of_result(id, "accept-unit");
    answer(&app, &who, (id, Wish::AcceptUnit), at, &posted).await
}

async fn link(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    let wish = acts::link_wish(&posted)?;
    answer(&app, &who, (id, wish), of_result(id, "link"), &posted).await
}

async fn map(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    let test = posted.field("test").to_owned();
    let at = of_result(id, "map");
    answer(&app, &who, (id, Wish::Map { test }), at, &posted).await
}

async fn set_message_aside(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    let at = format!("/api/v1/messages/{id}/set-aside");
    answer(&app, &who, (id, Wish::SetMessageAside), at, &posted).await
}

async fn undo(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Result<Response, Fault> {
    let at = format!("/api/v1/acts/{id}/undo");
    answer(&app, &who, (id, Wish::Undo), at, &posted).await
}
