//! The simulated HIS with HTTP in the place of MLLP.
//!
//! `GET /orders?after=N` gives the orders placed after number N as a JSON array of
//! `{"number", "control_id", "message"}` (`message` is what MLLP would carry, or whatever JSON was
//! placed). `POST /results` takes a body of any kind under the header `Idempotency-Key`: the same
//! key with the same body is answered as before and counted once, with another body it is refused
//! with 409 and stands in the ledger as a conflict.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, DefaultBodyLimit, RawQuery, State, connect_info::Connected},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
    serve::{IncomingStream, Listener},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

use super::{Book, Policy};

/// Largest body taken: a message with pictures.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The orders that `GET /orders` gives out.
#[derive(Clone, Debug, Default)]
pub struct Board {
    orders: Arc<Mutex<Vec<Value>>>,
}

impl Board {
    fn lock(&self) -> MutexGuard<'_, Vec<Value>> {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts up an order.
    pub fn place(&self, control_id: &str, message: Value) {
        let mut orders = self.lock();
        let number = orders.len() + 1;
        orders.push(json!({"number": number, "control_id": control_id, "message": message}));
    }

    fn after(&self, number: usize) -> Vec<Value> {
        self.lock().iter().skip(number).cloned().collect()
    }
}

/// What the handlers share.
#[derive(Clone, Debug)]
struct Shared {
    book: Book,
    board: Board,
}

/// Serves orders and takes results until cancelled.
///
/// # Errors
/// If the server fails.
pub async fn serve(
    listener: TcpListener,
    book: Book,
    board: Board,
    cancel: CancellationToken,
) -> io::Result<()> {
    let router = Router::new()
        .route("/orders", get(orders))
        .route("/results", post(results))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(Shared { book, board })
        .into_make_service_with_connect_info::<Scissors>();
    tokio::select! {
        () = cancel.cancelled() => Ok(()),
        served = async { axum::serve(Cuttable(listener), router).await } => served,
    }
}

async fn orders(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
) -> (StatusCode, Json<Value>) {
    let query = query.unwrap_or_default();
    let after = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("after="));
    match after.map_or(Ok(0), str::parse) {
        Ok(number) => (
            StatusCode::OK,
            Json(Value::Array(shared.board.after(number))),
        ),
        Err(_) => refuse(StatusCode::BAD_REQUEST, "`after` is not a number"),
    }
}

async fn results(
    State(shared): State<Shared>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, Json<Value>) {
    let key = headers
        .get("idempotency-key")
        .and_then(|key| key.to_str().ok());
    let Some(key) = key.filter(|key| !key.is_empty()) else {
        shared.book.with_ledger(super::Ledger::receive_unreadable);
        return refuse(
            StatusCode::BAD_REQUEST,
            "the header Idempotency-Key is missing",
        );
    };
    let (times, is_same) = shared.book.with_ledger(|ledger| {
        let times = ledger.receive(key, &body);
        (
            times,
            ledger
                .messages()
                .get(key)
                .is_some_and(|kept| kept.bytes == body),
        )
    });
    if !is_same {
        return refuse(StatusCode::CONFLICT, "this key belongs to another body");
    }
    let text = std::str::from_utf8(&body).unwrap_or("");
    let policy = shared.book.policy(key, text, times);
    let is_taken = !matches!(policy, Policy::Refuse(_) | Policy::Busy);
    if is_taken {
        shared.book.with_ledger(|ledger| ledger.keep(key));
    }
    answer(policy, &scissors, key).await
}

async fn answer(policy: Policy, scissors: &Scissors, key: &str) -> (StatusCode, Json<Value>) {
    match policy {
        Policy::Refuse(refusal) => {
            let body = json!({"error": refusal.code, "code": refusal.error, "key": key});
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body))
        }
        Policy::Busy => refuse(StatusCode::SERVICE_UNAVAILABLE, "not now"),
        Policy::Silent => std::future::pending().await,
        Policy::Cut => {
            scissors.0.store(true, Ordering::Release);
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "never read")
        }
        Policy::Slow(time) => {
            tokio::time::sleep(time).await;
            (StatusCode::OK, Json(json!({"key": key})))
        }
        // An older answer, or a second one, has no place in HTTP.
        Policy::Good | Policy::Late | Policy::Twice => (StatusCode::OK, Json(json!({"key": key}))),
    }
}

fn refuse(status: StatusCode, why: &str) -> (StatusCode, Json<Value>) {
    (status, Json(json!({"error": why})))
}

/// Cuts one connection: once set, nothing more is written to it.
#[derive(Clone, Debug, Default)]
struct Scissors(Arc<AtomicBool>);

impl Connected<IncomingStream<'_, Cuttable>> for Scissors {
    fn connect_info(stream: IncomingStream<'_, Cuttable>) -> Self {
        stream.remote_addr().clone()
    }
}

/// A listener whose connections can be cut from inside.
#[derive(Debug)]
struct Cuttable(TcpListener);

impl Listener for Cuttable {
    type Io = CuttableStream;
    // In the place of an address that nobody looks at.
    type Addr = Scissors;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        let (stream, _) = Listener::accept(&mut self.0).await;
        let scissors = Scissors::default();
        let io = CuttableStream {
            stream,
            scissors: scissors.clone(),
        };
        (io, scissors)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        Ok(Scissors::default())
    }
}

/// A connection that can be cut from inside.
#[derive(Debug)]
struct CuttableStream {
    stream: TcpStream,
    scissors: Scissors,
}

impl CuttableStream {
    fn cut(&self) -> Option<io::Error> {
        let is_cut = self.scissors.0.load(Ordering::Acquire);
        is_cut.then(|| io::ErrorKind::ConnectionAborted.into())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.cut() {
            Some(error) => Poll::Ready(Err(error)),
            None => Pin::new(&mut self.stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::{
        clock::{Clock, Wall},
        his::{Answering, Discrepancy, Refusal},
    };

    async fn ask(address: &str, request: String) -> String {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        // A connection that is cut may end in an error; what was read before counts.
        stream.read_to_end(&mut answer).await.ok();
        String::from_utf8(answer).expect("text")
    }

    fn post(key: &str, body: &str) -> String {
        format!(
            "POST /results HTTP/1.1\r\nhost: his\r\nconnection: close\r\nidempotency-key: {key}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    async fn his(script: &[Policy]) -> (Book, Board, String, CancellationToken) {
        let book = Book::new(
            Answering::scripted(script),
            Clock::new(Wall::fixed(0, 0), 1_000),
        );
        let board = Board::default();
        let cancel = CancellationToken::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        tokio::spawn(serve(listener, book.clone(), board.clone(), cancel.clone()));
        (book, board, address, cancel)
    }

    #[tokio::test]
    async fn every_policy_has_its_answer_and_a_cut_has_none() {
        let check = async |policy, status: &str, is_taken: bool| {
            let (book, _, address, cancel) = his(&[policy]).await;
            let answer = ask(&address, post("K1", "{\"a\":1}")).await;
            cancel.cancel();
            assert!(answer.starts_with(status), "{policy:?}: {answer}");
            assert_eq!(answer.is_empty(), status.is_empty(), "{policy:?}: {answer}");
            book.with_ledger(|ledger| assert_eq!(ledger.messages()["K1"].is_taken, is_taken));
        };
        check(Policy::Good, "HTTP/1.1 200", true).await;
        check(Policy::Busy, "HTTP/1.1 503", false).await;
        check(Policy::Cut, "", true).await;
        let refusal = Refusal {
            code: "AE",
            error: Some(204),
        };
        check(Policy::Refuse(refusal), "HTTP/1.1 422", false).await;
    }

    #[tokio::test]
    async fn one_key_with_two_bodies_is_refused_and_noted() {
        let (book, _, address, cancel) = his(&[]).await;
        for (body, status) in [("{}", "200"), ("{}", "200"), ("{\"a\":1}", "409")] {
            let answer = ask(&address, post("K1", body)).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
        }
        cancel.cancel();
        assert_eq!(book.verify(&[]), [Discrepancy::TwoBodies("K1".to_owned())]);
    }

    #[tokio::test]
    async fn orders_are_given_out_from_where_the_reader_is() {
        let (_, board, address, cancel) = his(&[]).await;
        board.place("C1", json!("MSH|1"));
        board.place("C2", json!({"patient": "P1"}));
        let get =
            |path: &str| format!("GET {path} HTTP/1.1\r\nhost: his\r\nconnection: close\r\n\r\n");
        let all = ask(&address, get("/orders")).await;
        assert!(all.contains("C1") && all.contains("C2"), "{all}");
        let rest = ask(&address, get("/orders?after=1")).await;
        assert!(
            !rest.contains("C1") && rest.contains("\"patient\":\"P1\""),
            "{rest}"
        );
        let wrong = ask(&address, get("/orders?after=x")).await;
        assert!(wrong.starts_with("HTTP/1.1 400"), "{wrong}");
        cancel.cancel();
    }
}
