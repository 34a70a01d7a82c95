//! What went wrong with a request: a page for people, problem+json (RFC 9457) for programs.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::store::StoreError;

/// Why a request was not done. Rendered by [`super::gate`], which knows who asked and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) status: StatusCode,
    /// What was wrong: `fault.<code>.title` and `fault.<code>.todo` are its words.
    pub(super) code: &'static str,
    /// Seconds until it is worth trying again.
    pub(super) wait_s: Option<i64>,
}

macro_rules! faults {
    ($($name:ident = $status:ident, $code:literal;)*) => {
        impl Fault {
            $(pub(super) const $name: Self = Self {
                status: StatusCode::$status,
                code: $code,
                wait_s: None,
            };)*

            /// Every fault.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

faults! {
    LOGIN_NEEDED = UNAUTHORIZED, "login-needed";
    NOT_ALLOWED = FORBIDDEN, "not-allowed";
    FORGED = FORBIDDEN, "forged";
    NOT_FOUND = NOT_FOUND, "not-found";
    METHOD = METHOD_NOT_ALLOWED, "method";
    TOO_SLOW = REQUEST_TIMEOUT, "too-slow";
    CONFLICT = CONFLICT, "conflict";
    TOO_LARGE = PAYLOAD_TOO_LARGE, "too-large";
    NOT_UNDERSTOOD = BAD_REQUEST, "not-understood";
    LOCKED = TOO_MANY_REQUESTS, "locked";
    BUSY = SERVICE_UNAVAILABLE, "busy";
    STORE = SERVICE_UNAVAILABLE, "store";
    OUR_BUG = INTERNAL_SERVER_ERROR, "our-bug";
}

impl Fault {
    pub(super) const fn wait(self, wait_s: i64) -> Self {
        Self {
            wait_s: Some(wait_s),
            ..self
        }
    }

    /// What a status of the framework means.
    pub(super) const fn of_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::NOT_FOUND,
            StatusCode::METHOD_NOT_ALLOWED => Self::METHOD,
            StatusCode::PAYLOAD_TOO_LARGE => Self::TOO_LARGE,
            StatusCode::INTERNAL_SERVER_ERROR => Self::OUR_BUG,
            _ => Self::NOT_UNDERSTOOD,
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        tracing::warn!(
            code = error.code(),
            "the console cannot read or write the store"
        );
        Self::STORE
    }
}

impl From<getrandom::Error> for Fault {
    fn from(error: getrandom::Error) -> Self {
        tracing::error!(%error, "the system gives no random bytes: nobody can log in");
        Self::OUR_BUG
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
