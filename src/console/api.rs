//! The same for programs: `/api/v1`, JSON, failures as problem+json (RFC 9457).
//!
//! Who may see what is as on the pages, by the same session; a POST carries the token of the session
//! in `x-labwire-form`, which `GET /api/v1/me` tells.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use labwire_drivers::LineStatus;
use serde_json::{Value, json};

use crate::{
    model::QueueState,
    people::{self, Role},
    queue,
};

use super::{
    App, alerts, audit, calls, devices, downtime,
    fault::Fault,
    gate::{Posted, Told, Who},
    held_api, ledger, look, numbers, patient, profiles, qc, queue as page, settings, specimens,
    track,
    words::{Words, rfc3339},
    work::note_reading,
};

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/me", get(me))
        .route("/lines", get(lines))
        .route("/queue", get(open))
        .route("/queue/{id}/retry", post(retry))
        .route("/queue/{id}/discard", post(discard))
        .route("/ledger", get(account))
        .route("/specimens", get(find))
        .route("/qc", get(controls))
        .route("/track", get(tracks))
        .route("/downtime", get(keyed))
        .route("/numbers", get(numbers::json))
        .route("/audit", get(audited))
        .route("/settings", get(configured))
        .route("/profiles", get(profiles_listed))
        .route("/users", get(users))
        .merge(held_api::routes())
        .merge(calls::api_routes())
        .merge(alerts::api_routes())
        .fallback(|| async { Fault::NOT_FOUND })
}

/// A failure as RFC 9457 writes one. Its type is a name, not an address: nothing is to be fetched.
pub(super) fn problem(words: Words, path: &str, fault: Fault) -> Response {
    let body = json!({
        "type": format!("urn:labwire:problem:{}", fault.code),
        "title": words.t(&format!("fault.{}.title", fault.code)),
        "status": fault.status.as_u16(),
        "detail": words.t(&format!("fault.{}.todo", fault.code)),
        "instance": path,
        "retry_after_s": fault.wait_s,
    });
    let headers = [
        (header::CONTENT_TYPE, "application/problem+json"),
        (header::CONTENT_LANGUAGE, words.0.code()),
    ];
    let mut response = (headers, body.to_string()).into_response();
    response.extensions_mut().insert(Told);
    response
}

type Answer = Result<Json<Value>, Fault>;

async fn me(who: Who) -> Json<Value> {
    Json(json!({
        "login": who.person.login,
        "name": who.person.name,
        "role": who.person.role,
        "language": who.language.code(),
        "form": who.ticket.form_token(),
    }))
}

async fn lines(State(app): State<Arc<App>>, _: Who) -> Answer {
    let moment = super::live::moment(&app).await?;
    let lines: Vec<Value> = moment
        .lines
        .iter()
        .map(|line| line_json(line, moment.now))
        .collect();
    Ok(Json(json!({ "at": rfc3339(moment.now), "lines": lines })))
}

fn line_json(line: &LineStatus, now: i64) -> Value {
    let counters = line.counters;
    let (_, evidence) = devices::evidence(line, now);
    json!({
        "id": line.id,
        "endpoint": line.endpoint,
        "evidence": evidence,
        "connections": line.connections.len(),
        "last_byte_at": line.last_byte_utc_micros.map(rfc3339),
        "last_message_at": line.last_message_utc_micros.map(rfc3339),
        "last_acknowledgement_at": line.last_acknowledgement_utc_micros.map(rfc3339),
        "messages": counters.messages,
        "incomplete_messages": counters.incomplete_messages,
        "sent": counters.sent,
        "errors": devices::errors(line),
        "retries": devices::retries(line),
        "notes": line.notes,
        "last_problem": line.last_problem.as_ref().map(|problem| json!({
            "at": rfc3339(problem.utc_micros),
            "code": problem.code,
            "text": problem.text,
        })),
    })
}

async fn open(State(app): State<Arc<App>>, who: Who, Query(asked): Query<page::Asked>) -> Answer {
    note_reading(&app, &who, "queue:list").await?;
    let state = match asked.state.as_str() {
        "" => QueueState::SetAside,
        code => QueueState::from_code(code).ok_or(Fault::NOT_UNDERSTOOD)?,
    };
    let (now, within) = (app.now(), app.parts.loaded.lab.console.call_within());
    let (counts, rows) = app
        .read(move |db| {
            let rows = queue::list(db, state, asked.after, page::ROWS_MAX)?;
            Ok((look::counts(db, now, within)?, rows))
        })
        .await?;
    Ok(Json(
        json!({ "open": counts.queue, "state": state.code(), "rows": rows }),
    ))
}

async fn retry(State(app): State<Arc<App>>, who: Who, Path(id): Path<i64>, _: Posted) -> Answer {
    page::retried(&app, &who, id).await?;
    Ok(Json(
        json!({ "id": id, "state": QueueState::Waiting.code() }),
    ))
}

async fn discard(
    State(app): State<Arc<App>>,
    who: Who,
    Path(id): Path<i64>,
    posted: Posted,
) -> Answer {
    page::discarded(&app, &who, id, posted.field("reason")).await?;
    Ok(Json(
        json!({ "id": id, "state": QueueState::Discarded.code() }),
    ))
}

async fn account(State(app): State<Arc<App>>, _: Who) -> Answer {
    let account = ledger::account(&app).await?;
    Ok(Json(json!({ "since_h": 24, "account": &*account })))
}

async fn find(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<specimens::Asked>,
) -> Answer {
    let words = who.words();
    let asked: String = asked.q.trim().chars().take(80).collect();
    if asked.is_empty() {
        return Err(Fault::NOT_UNDERSTOOD);
    }
    match specimens::find(&app, &asked).await? {
        specimens::Answer::Nothing => Err(Fault::NOT_FOUND),
        specimens::Answer::Tube(sheet) => {
            note_reading(&app, &who, &format!("specimen:{}", sheet.barcode)).await?;
            Ok(Json(sheet_json(words, &sheet)))
        }
        specimens::Answer::List { barcodes, patients } => {
            note_reading(&app, &who, "specimens:search").await?;
            let patients: Vec<Value> = patients
                .iter()
                .map(|found| {
                    json!({
                        "name": patient::name(&found.patient),
                        "birth": found.patient.birth.expose(),
                        "specimens": found.tubes.iter().map(|(barcode, _)| barcode).collect::<Vec<_>>(),
                    })
                })
                .collect();
            Ok(Json(json!({ "barcodes": barcodes, "patients": patients })))
        }
    }
}

fn sheet_json(words: Words, sheet: &specimens::Sheet) -> Value {
    let results: Vec<Value> = sheet
        .trace
        .results
        .iter()
        .map(|one| {
            let result = &one.stored;
            json!({
                "id": result.id,
                "test": result.observation.test,
                "code": result.observation.code,
                "value": look::shown(result),
                "unit": result.observation.unit,
                "flags": result.observation.flags,
                "state": result.state.code(),
                "version": result.version,
                "holds": result.holds,
                "line": result.line,
                "received_at": rfc3339(result.received_at),
            })
        })
        .collect();
    let orders: Vec<Value> = sheet
        .trace
        .tubes
        .iter()
        .flat_map(|tube| &tube.items)
        .map(|item| {
            json!({
                "placer": item.placer,
                "service": item.service,
                "tests": item.tests,
                "status": item.status,
                "created_at": rfc3339(item.created_at),
            })
        })
        .collect();
    let timeline: Vec<Value> = specimens::happened(words, &sheet.trace)
        .into_iter()
        .map(|one| json!({ "at": rfc3339(one.at), "what": one.key, "detail": one.detail }))
        .collect();
    let patients: Vec<Value> = sheet
        .patients
        .iter()
        .map(|one| json!({ "name": patient::name(one), "birth": one.birth.expose() }))
        .collect();
    json!({
        "barcode": sheet.barcode,
        "patients": patients,
        "orders": orders,
        "results": results,
        "timeline": timeline,
    })
}

async fn controls(State(app): State<Arc<App>>, _: Who) -> Answer {
    let results = app.read(|db| look::controls(db, 1_000)).await?;
    let series: Vec<Value> = qc::series(results)
        .iter()
        .map(|series| {
            let values: Vec<Value> = series
                .results
                .iter()
                .map(|one| json!({ "at": rfc3339(one.received_at), "value": look::shown(one), "unit": one.observation.unit }))
                .collect();
            let last = series.results.last();
            json!({
                "line": series.line,
                "control": series.control,
                "lot": series.lot,
                "level": series.level,
                "test": last.and_then(|one| one.observation.test.clone()),
                "code": last.map(|one| one.observation.code.clone()),
                "values": values,
            })
        })
        .collect();
    Ok(Json(json!({ "series": series })))
}

async fn tracks(State(app): State<Arc<App>>, _: Who) -> Answer {
    let found: Vec<Value> = track::findings(&app)
        .await?
        .iter()
        .map(|row| {
            json!({
                "at": rfc3339(row.received_at),
                "line": row.line,
                "module": row.module,
                "barcode": row.barcode,
                "finding": row.kind,
            })
        })
        .collect();
    let pictures = app.pictures.now(&app);
    let lines: Vec<&track::Picture> = pictures.iter().map(|one| &**one).collect();
    Ok(Json(
        json!({ "at": rfc3339(app.now()), "lines": lines, "findings": found }),
    ))
}

async fn keyed(State(app): State<Arc<App>>, who: Who) -> Answer {
    note_reading(&app, &who, "downtime:list").await?;
    let since = app.now() - app.parts.site.laboratory.specimen_age_max;
    let orders = app.read(move |db| downtime::listed(db, since)).await?;
    let orders: Vec<Value> = orders.iter().map(downtime::Listed::json).collect();
    Ok(Json(json!({ "orders": orders })))
}

async fn audited(
    State(app): State<Arc<App>>,
    who: Who,
    Query(asked): Query<audit::Asked>,
) -> Answer {
    who.needs(Role::Verifier)?;
    let rows = asked.rows(&app).await?;
    Ok(Json(json!({ "rows": rows })))
}

async fn profiles_listed(State(app): State<Arc<App>>, _: Who) -> Answer {
    let all = profiles::known(&app).await?;
    Ok(Json(json!({ "profiles": *all })))
}

async fn configured(State(app): State<Arc<App>>, _: Who) -> Json<Value> {
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "file": app.parts.loaded.lab.source.name(),
        "sections": settings::sections(&app.parts.loaded),
    }))
}

async fn users(State(app): State<Arc<App>>, who: Who) -> Answer {
    who.needs(Role::Administrator)?;
    let people = app.read(people::list).await?;
    let people: Vec<Value> = people
        .iter()
        .map(|person| {
            json!({
                "login": person.login,
                "name": person.name,
                "role": person.role,
                "is_disabled": person.is_disabled,
                "must_change": person.must_change,
                "created_at": rfc3339(person.created_at),
            })
        })
        .collect();
    Ok(Json(json!({ "users": people })))
}
