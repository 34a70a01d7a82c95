//! The wire of hosts of `kind = "http"`: results posted, orders fetched. What is posted is in
//! [`super::JsonRenderer`], what is fetched in [`super::hear_page`].

use std::{sync::Arc, time::Duration};

use labwire_drivers::TlsFault;
use reqwest::{
    Client, Response, StatusCode, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName},
    redirect,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use thiserror::Error;

use crate::queue::Verdict;

/// The control id of what is posted. The same id is the same message, however often it comes.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Longest page of orders, as long as the longest HL7 message.
pub const PAGE_BYTES_MAX: usize = labwire_protocols::hl7::MESSAGE_BYTES_MAX;
/// So much of an answer is kept to be shown.
const ANSWER_BYTES_MAX: usize = 1024;

/// Why no page of orders came; it is asked for again at its time.
#[derive(Debug, Error)]
pub enum PullError {
    /// The configured address is none.
    #[error("HTTP-0101 fetch orders: the address is not a URL")]
    Address,
    /// No answer, or a cut one.
    #[error("HTTP-0102 fetch orders: no whole answer")]
    Line(#[source] reqwest::Error),
    /// An answer that is no page.
    #[error("HTTP-0103 fetch orders: the host answered {0}")]
    Status(StatusCode),
    /// A page beyond [`PAGE_BYTES_MAX`].
    #[error("HTTP-0104 fetch orders: the page is longer than the limit")]
    TooLong,
    /// No TLS connection.
    #[error("HTTP-0105 fetch orders: no TLS connection ({}): {fault}", fault.code())]
    Tls {
        /// Which side did what.
        fault: TlsFault,
    },
}

/// Posts one document under its control id, and says what the answer means.
///
/// Redirects and time limits are the client's to set; a redirect that comes through is tried
/// again, never taken as delivery.
pub async fn post_result(client: &Client, url: &str, control_id: &str, body: Vec<u8>) -> Verdict {
    let sent = client
        .post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(IDEMPOTENCY_KEY, control_id)
        .body(body)
        .send()
        .await;
    match sent {
        Ok(response) => {
            let status = response.status();
            let is_named = names(response.headers(), control_id);
            let text = beginning(response).await;
            verdict(status, is_named, &text)
        }
        Err(error) => Verdict::Deferred {
            reason: why_not(&error),
            answer: String::new(),
        },
    }
}

fn why_not(error: &reqwest::Error) -> String {
    if let Some(fault) = TlsFault::in_chain(error) {
        return format!("no TLS connection to the host ({}): {fault}", fault.code());
    }
    let why = if error.is_timeout() {
        "no answer in time"
    } else {
        "the host cannot be reached, or cut the line"
    };
    why.to_owned()
}

/// A client that follows no redirect and waits no longer than `within`. `tls` is how servers of
/// `https://` are judged; without it there is none that is trusted.
///
/// # Errors
/// When the library cannot build it.
pub fn client(within: Duration, tls: Option<&ClientConfig>) -> Result<Client, reqwest::Error> {
    let tls = tls.cloned().unwrap_or_else(trusts_nobody);
    Client::builder()
        .timeout(within)
        .redirect(redirect::Policy::none())
        .tls_backend_preconfigured(tls)
        .build()
}

fn trusts_nobody() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has the ciphers of its own versions")
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

fn names(headers: &HeaderMap, control_id: &str) -> bool {
    headers
        .get(IDEMPOTENCY_KEY)
        .is_some_and(|key| key.as_bytes() == control_id.as_bytes())
}

/// What an HTTP status means for the document it answers.
///
/// Accepted: 2xx; also 409 that names our key in its own `Idempotency-Key` header: the host has
/// this very document. Tried again: 409 otherwise (an earlier try is still being worked on), 408,
/// 425, 429, 3xx, 5xx, and what speaks of the way and not of the document (401, 403, 404, 405,
/// 407, 421, 426): a wrong address must not set a whole morning aside. Refused: every other 4xx.
fn verdict(status: StatusCode, is_named: bool, text: &str) -> Verdict {
    let answer = if text.is_empty() {
        format!("HTTP {}", status.as_u16())
    } else {
        format!("HTTP {}: {text}", status.as_u16())
    };
    if status.is_success() || (status == StatusCode::CONFLICT && is_named) {
        return Verdict::Accepted { answer };
    }
    let reason = format!("the host answered {answer}");
    let is_passing = matches!(
        status.as_u16(),
        401 | 403 | 404 | 405 | 407 | 408 | 409 | 421 | 425 | 426 | 429
    );
    if status.is_client_error() && !is_passing {
        Verdict::Refused { reason, answer }
    } else {
        Verdict::Deferred { reason, answer }
    }
}

/// The beginning of an answer, for people; whatever is no text is left out.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES_MAX
        && let Ok(Some(chunk)) = response.chunk().await
    {
        bytes.extend_from_slice(&chunk);
    }
    bytes.truncate(ANSWER_BYTES_MAX);
    let valid = match std::str::from_utf8(&bytes) {
        Ok(text) => text,
        Err(error) => bytes
            .get(..error.valid_up_to())
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default(),
    };
    valid.trim().to_owned()
}

/// Fetches the page of orders after a cursor: `GET <url>?after=<cursor>`, or without `after` the
/// first time. `None` when the host says that there is none (204).
///
/// # Errors
/// See [`PullError`].
pub async fn pull_orders(
    client: &Client,
    url: &str,
    after: &str,
) -> Result<Option<Vec<u8>>, PullError> {
    let mut url = Url::parse(url).map_err(|_| PullError::Address)?;
    if !after.is_empty() {
        url.query_pairs_mut().append_pair("after", after);
    }
    let asked = client.get(url).header(ACCEPT, "application/json").send();
    let mut response = asked
        .await
        .map_err(|error| match TlsFault::in_chain(&error) {
            Some(fault) => PullError::Tls { fault },
            None => PullError::Line(error),
        })?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NO_CONTENT => return Ok(None),
        status => return Err(PullError::Status(status)),
    }
    let mut page = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(PullError::Line)? {
        if page.len() + chunk.len() > PAGE_BYTES_MAX {
            return Err(PullError::TooLong);
        }
        page.extend_from_slice(&chunk);
    }
    Ok(Some(page))
}
