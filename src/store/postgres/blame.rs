//! What PostgreSQL reports, turned into who can mend it.

use std::sync::Arc;

use labwire_drivers::TlsFault;

use crate::store::{
    error::{Cause, StoreError},
    session::Access,
};

/// What the server said. Of rules that a value broke, and of values that do not fit, it quotes the
/// value, which is patient data: there the code alone is kept, with the names of table and rule.
#[derive(Debug, thiserror::Error)]
#[error("SQLSTATE {code}: {text}")]
struct Reported {
    code: String,
    text: String,
}

/// Classes whose words are about the server, the connection or a statement, and never about a value.
const WITHOUT_VALUES: [&str; 10] = ["08", "25", "28", "3D", "42", "53", "55", "57", "58", "40"];

impl Reported {
    fn of(error: &dyn sqlx::error::DatabaseError, code: &str) -> Self {
        let class = code.get(..2).unwrap_or_default();
        let text = if WITHOUT_VALUES.contains(&class) {
            error.message().to_owned()
        } else {
            let table = error.table().unwrap_or("no table");
            let rule = error.constraint().unwrap_or("no rule");
            format!("{table}, {rule}")
        };
        Self {
            code: code.to_owned(),
            text,
        }
    }
}

/// The codes: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
pub(super) fn blame(error: sqlx::Error, access: Access, path: &Arc<str>) -> StoreError {
    let code = error
        .as_database_error()
        .and_then(|error| Some(error.code()?.into_owned()));
    // A certificate that is not taken is mended by a person, and waited for by nobody.
    let is_refusal = matches!(error, sqlx::Error::Tls(_) | sqlx::Error::Configuration(_))
        || TlsFault::in_chain(&error).is_some_and(TlsFault::is_of_certificate);
    let is_lost = matches!(
        error,
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed
    );
    let reported = error
        .as_database_error()
        .zip(code.as_deref())
        .map(|(error, code)| Reported::of(error, code));
    let source: Cause = match reported {
        Some(reported) => Arc::new(reported),
        None => Arc::new(error),
    };
    let path = Arc::clone(path);
    let Some(code) = code else {
        return match (is_lost && !is_refusal, is_refusal) {
            (true, _) => StoreError::ServerLost { path, source },
            (_, true) => StoreError::ServerRefused { path, source },
            _ => StoreError::Statement { source },
        };
    };
    let class = code.get(..2).unwrap_or_default();
    match (class, code.as_str()) {
        (_, "53100") => StoreError::DiskFull {
            path,
            source: Some(source),
        },
        (_, "58030") => StoreError::DiskFailed {
            path,
            source: Some(source),
        },
        (_, super::owner::FENCED) => StoreError::Fenced { path },
        // The server ended a transaction in which it was asked nothing for too long.
        (_, "25P03") => StoreError::ServerLost { path, source },
        // A reader that writes is our mistake; a writer that may not, the server's setting.
        (_, "25006") if access == Access::Write => StoreError::ReadOnly { path, source },
        (_, "55P03" | "57014") | ("40", _) => StoreError::Busy { path, source },
        // Too many connections, out of memory; shut down; a connection that broke.
        ("53" | "57" | "08" | "58", _) => StoreError::ServerLost { path, source },
        ("28" | "3D" | "42", "42501") | ("28" | "3D", _) => {
            StoreError::ServerRefused { path, source }
        }
        ("XX", "XX001" | "XX002") => StoreError::Damaged { path, source },
        ("23", _) => StoreError::RuleBroken { source },
        _ => StoreError::Statement { source },
    }
}
