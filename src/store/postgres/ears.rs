//! What other nodes tell by NOTIFY, on a connection of its own.

use std::{sync::Arc, time::Duration};

use sqlx::postgres::{PgListener, PgPoolOptions};

use super::PostgresBackend;
use crate::store::db::Sql;

/// Words of one store go by a channel of its own. Without the comparison its row would hold nothing that
/// can be read.
pub(super) const TELL: Sql = Sql::same(
    "SELECT pg_notify('labwire_' || (SELECT oid FROM pg_namespace \
     WHERE nspname = current_schema()), $1) IS NULL",
);

/// How long a connection that broke is not made again.
const PAUSE: Duration = Duration::from_secs(1);

/// Hears what other nodes tell. What is told while there is no connection is lost.
#[derive(Debug)]
pub struct Ears {
    backend: Arc<PostgresBackend>,
    listener: Option<PgListener>,
}

impl Ears {
    pub(super) const fn new(backend: Arc<PostgresBackend>) -> Self {
        Self {
            backend,
            listener: None,
        }
    }

    /// The next word of another run than `own`; `None` when words may have been lost.
    pub async fn hear(&mut self, own: &str) -> Option<String> {
        loop {
            let Some(listener) = &mut self.listener else {
                match self.listen().await {
                    Ok(listener) => self.listener = Some(listener),
                    Err(error) => {
                        tracing::debug!(%error, "other nodes are not heard");
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                return None;
            };
            match listener.try_recv().await {
                Ok(Some(heard)) => match heard.payload().split_once(' ') {
                    Some((run, topic)) if run != own => return Some(topic.to_owned()),
                    _ => {}
                },
                Ok(None) => return None,
                Err(error) => {
                    tracing::debug!(%error, "other nodes are not heard");
                    self.listener = None;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn listen(&self) -> Result<PgListener, sqlx::Error> {
        let server = self.backend.server_as(self.backend.node.as_ref());
        let options = PgPoolOptions::new().max_connections(1);
        let pool = options.connect_lazy_with(server.options);
        let channel = "SELECT 'labwire_' || (SELECT oid FROM pg_namespace \
                       WHERE nspname = current_schema())";
        let channel: String = sqlx::query_scalar(channel).fetch_one(&pool).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(&channel).await?;
        Ok(listener)
    }
}
