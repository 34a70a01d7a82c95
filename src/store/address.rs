//! The address of a store, as `[store] url` writes it.

use std::{path::PathBuf, sync::Arc};

use sqlx::{ConnectOptions as _, postgres::PgConnectOptions};

use super::{
    StoreOptions, clock::Clock, error::StoreError, postgres::PostgresBackend, session::Backend,
    sqlite::SqliteBackend,
};

/// Where a store is.
#[derive(Debug)]
pub(super) enum Address {
    /// A file of SQLite.
    File(PathBuf),
    /// A database of a PostgreSQL server.
    Server(Box<Server>),
}

/// A database of a PostgreSQL server.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) options: PgConnectOptions,
    /// Its address without a password.
    pub(super) shown: Arc<str>,
}

/// The options may hold a password.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Server").field(&self.shown).finish()
    }
}

impl Address {
    /// Reads `sqlite:` and a path, or `postgres://user@host/database`.
    pub(super) fn read(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once(':').unwrap_or((url, ""));
        let path = rest.strip_prefix("//").unwrap_or(rest);
        match scheme {
            "sqlite" if !path.is_empty() && !path.starts_with(':') => {
                Ok(Self::File(PathBuf::from(path)))
            }
            "postgres" | "postgresql" => Server::read(url).map(Box::new).map(Self::Server),
            _ => Err(StoreError::UrlUnknown {
                scheme: scheme.to_owned(),
            }),
        }
    }

    /// Its name in errors.
    pub(super) fn shown(&self) -> Arc<str> {
        match self {
            Self::File(path) => path.display().to_string().into(),
            Self::Server(server) => Arc::clone(&server.shown),
        }
    }

    /// What opens it.
    pub(super) fn backend(self, options: &StoreOptions, clock: Arc<dyn Clock>) -> Arc<dyn Backend> {
        match self {
            Self::File(path) => Arc::new(SqliteBackend::new(path, options.pages_max)),
            Self::Server(server) => {
                Arc::new(PostgresBackend::new(*server, clock, options.node.clone()))
            }
        }
    }

    /// The file, for what is done with files alone.
    pub(super) fn file(self) -> Result<PathBuf, StoreError> {
        match self {
            Self::File(path) => Ok(path),
            Self::Server(server) => Err(StoreError::NotAFile { path: server.shown }),
        }
    }
}

impl Server {
    fn read(url: &str) -> Result<Self, StoreError> {
        let options: PgConnectOptions = url.parse().map_err(|_| StoreError::UrlWrong)?;
        let host = options.get_socket().map_or_else(
            || options.get_host().to_owned(),
            |socket| socket.display().to_string(),
        );
        let user = options.get_username();
        let database = options.get_database().unwrap_or(user);
        let shown = format!("postgres://{user}@{host}:{}/{database}", options.get_port());
        Ok(Self {
            shown: shown.into(),
            options: options.disable_statement_logging(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        match Address::read(url).unwrap() {
            Address::Server(server) => *server,
            Address::File(path) => panic!("{} is no server", path.display()),
        }
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let server = server("postgres://lab:secret@db.example:5433/labwire?sslmode=disable");
        assert_eq!(&*server.shown, "postgres://lab@db.example:5433/labwire");
        assert!(!format!("{server:?}").contains("secret"));
        let error = Address::read("postgres://lab:secret@db:port/labwire").unwrap_err();
        assert_eq!(error.code(), "STORE-0112");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }

    #[test]
    fn a_socket_is_an_address_too() {
        let server = server("postgresql://lab@localhost/labwire?host=/var/run/postgresql");
        assert_eq!(
            &*server.shown,
            "postgres://lab@/var/run/postgresql:5432/labwire"
        );
    }
}
