//! A long queue: copies of one tube whose result a bridge has read, settled and queued for its HIS.

use anyhow::{Context as _, ensure};
use labwire::store::Sql;
use labwire_sims::load;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, SqliteConnection};
use tokio::time::Instant;

use crate::{
    limits::connect,
    site::{Bridge, PATIENCE, Site, plan},
};

const QUEUED: Sql = Sql::same("SELECT count(*) FROM queue WHERE kind = 'result'");

/// What of a table is copied, and what is different in the copy with the number `n.i`.
struct Copies {
    table: &'static str,
    /// Which rows, of the table named `t`.
    which: &'static str,
    /// Columns, and what stands there; `{n}` is how many copies there are.
    changed: &'static [(&'static str, &'static str)],
}

/// In the order in which rows refer to each other.
const TABLES: [Copies; 8] = [
    Copies {
        table: "patient",
        which: "t.id = 1",
        changed: &[("id", "n.i + 1")],
    },
    Copies {
        table: "specimen",
        which: "t.id = 1",
        changed: &[
            ("id", "n.i + 1"),
            ("patient", "n.i + 1"),
            ("barcode", "'7' || (10000000000 + n.i)"),
        ],
    },
    Copies {
        table: "order_item",
        which: "t.id = 1",
        changed: &[
            ("id", "n.i + 1"),
            ("specimen", "n.i + 1"),
            ("placer", "'Q' || n.i"),
            ("filler", "'Q' || n.i"),
            // All its results are there: it is late for nobody.
            ("status", "'CM'"),
        ],
    },
    Copies {
        table: "order_test",
        which: "t.order_item = 1",
        changed: &[("order_item", "n.i + 1")],
    },
    Copies {
        table: "message",
        which: "t.id = (SELECT message FROM result)",
        changed: &[("id", "n.i + t.id"), ("connection", "n.i + 1000000")],
    },
    Copies {
        table: "queue",
        which: "t.id = (SELECT queue FROM result WHERE id = 1)",
        changed: &[
            ("id", "n.i + t.id"),
            ("specimen", "n.i + 1"),
            ("state", "'waiting'"),
            ("attempts", "0"),
            ("due_at", "t.due_at - {n} + n.i"),
            ("lease_owner", "NULL"),
            ("lease_until", "NULL"),
            ("control_id", "NULL"),
            ("body", "NULL"),
            ("reason", "''"),
            ("tried_at", "NULL"),
            ("closed_at", "NULL"),
            ("closed_by", "''"),
            ("answer", "''"),
        ],
    },
    Copies {
        table: "result",
        which: "t.id = 1",
        changed: &[
            ("id", "n.i + 1"),
            ("message", "n.i + t.message"),
            ("specimen", "n.i + 1"),
            ("barcode", "'7' || (10000000000 + n.i)"),
            ("queue", "n.i + t.queue"),
        ],
    },
    Copies {
        table: "queue_result",
        which: "t.result = 1",
        changed: &[("queue", "n.i + t.queue"), ("result", "n.i + 1")],
    },
];

impl Copies {
    /// The statement, for a table of these columns.
    fn statement(&self, columns: &[String], count: u64) -> String {
        let value = |column: &String| {
            let changed = self.changed.iter().find(|(name, _)| name == column);
            changed.map_or_else(
                || format!("t.{column}"),
                |(_, value)| value.replace("{n}", &count.to_string()),
            )
        };
        let values: Vec<String> = columns.iter().map(value).collect();
        format!(
            "INSERT INTO {} ({}) SELECT {} FROM n, {} AS t WHERE {} ORDER BY n.i",
            self.table,
            columns.join(", "),
            values.join(", "),
            self.table,
            self.which
        )
    }
}

/// Queues so many results for the HIS, each of a tube of its own, in a store that is empty.
///
/// # Errors
/// If the bridge does not queue the first one, and the store's.
pub async fn queue_copies(site: &Site, count: u64) -> anyhow::Result<()> {
    let bridge = site.start().await?;
    one(&bridge).await?;
    bridge.running.stop().await;
    match site.server_url() {
        Some(url) => into_server(PgConnection::connect(url).await?, count).await,
        None => into_file(connect(&site.database()).await?, count).await,
    }
}

/// One tube, from its order to its result on the queue.
async fn one(bridge: &Bridge) -> anyhow::Result<()> {
    let load = load::Plan {
        results: 1,
        ..plan(bridge.targets("m", 1).await?, 1, 59)
    };
    bridge.order(&load).await?;
    load::mllp(&load).await?;
    let began = Instant::now();
    let queued = || bridge.running.store.read(|db| db.row(&QUEUED, &[])?.int(0));
    while queued().await? == 0 {
        ensure!(began.elapsed() < PATIENCE, "no result comes to the queue");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    Ok(())
}

async fn into_file(mut store: SqliteConnection, count: u64) -> anyhow::Result<()> {
    let mut statements = vec![
        "PRAGMA synchronous = OFF".to_owned(),
        "PRAGMA cache_size = -400000".to_owned(),
        "CREATE TEMP TABLE n (i INTEGER PRIMARY KEY)".to_owned(),
        "BEGIN".to_owned(),
        format!(
            "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {count}) \
             INSERT INTO n SELECT i FROM c"
        ),
    ];
    for copies in &TABLES {
        let columns = sqlx::query("SELECT name FROM pragma_table_info($1) ORDER BY cid")
            .bind(copies.table)
            .fetch_all(&mut store)
            .await?;
        let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
        statements.push(copies.statement(&columns, count));
    }
    statements.extend(["COMMIT", "PRAGMA wal_checkpoint(TRUNCATE)"].map(str::to_owned));
    for statement in statements {
        run(&mut store, statement).await?;
    }
    Ok(store.close().await?)
}

async fn into_server(mut store: PgConnection, count: u64) -> anyhow::Result<()> {
    let mut statements = vec![
        "SET synchronous_commit = off".to_owned(),
        format!("CREATE TEMP TABLE n AS SELECT i FROM generate_series(1::bigint, {count}) AS s(i)"),
    ];
    for copies in &TABLES {
        let columns = sqlx::query(
            "SELECT column_name::text FROM information_schema.columns \
             WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
        )
        .bind(copies.table)
        .fetch_all(&mut store)
        .await?;
        let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
        statements.push(copies.statement(&columns, count));
    }
    statements.push("ANALYZE".to_owned());
    for statement in statements {
        run(&mut store, statement).await?;
    }
    // Rows of `result` and `queue` go on after the highest of their table by themselves.
    for table in ["patient", "specimen", "order_item", "message"] {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
        );
        run(&mut store, next).await?;
    }
    Ok(store.close().await?)
}

async fn run<'c, E: sqlx::Executor<'c>>(store: E, statement: String) -> anyhow::Result<()> {
    let done = store.execute(sqlx::raw_sql(AssertSqlSafe(statement.clone())));
    done.await
        .map(drop)
        .with_context(|| format!("the queue cannot be written: {statement}"))
}
