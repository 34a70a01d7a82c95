//! What this machine can do without Labwire, measured in the same run.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use labwire_sims::load;
use sqlx::{
    ConnectOptions as _, Connection as _, Executor as _, PgConnection,
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous},
};
use tokio::time::Instant;

use crate::{
    Wanted, site,
    table::{rate, time},
};

/// Messages of one commit in the raw insert.
const GROUP: u64 = 64;

/// The limits.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Appending 4 kB and waiting until it is on disk: half of the tries, 99 %, and the mean.
    pub fsync: Times,
    /// One message there, one byte back, blocking sockets.
    pub round_trip: Times,
    /// Messages of a burst inserted into a table without an index, 64 a commit, in a second: into the
    /// database that is measured.
    pub inserts: f64,
    /// On PostgreSQL: one message inserted and committed by a client that does nothing else.
    pub commit: Option<Times>,
    /// MLLP messages in a second to a program that only acknowledges, over 1, 16, 64 connections.
    pub mllp_acks: [f64; 3],
    /// ASTM messages of 24 frames in a second to a program that only acknowledges.
    pub astm_acks: f64,
}

/// Measured times.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Half took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// The mean.
    pub mean: Duration,
}

impl Times {
    /// Of these.
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let last = all.len().saturating_sub(1);
        let at = |per_cent: usize| all.get(last * per_cent / 100).copied().unwrap_or_default();
        let count = u32::try_from(all.len().max(1)).unwrap_or(u32::MAX);
        Self {
            p50: at(50),
            p99: at(99),
            mean: all.iter().sum::<Duration>() / count,
        }
    }
}

impl Limits {
    /// Measures them all.
    ///
    /// # Errors
    /// If the machine has no disk, no loopback or no SQLite.
    pub async fn measure(wanted: &Wanted) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().to_owned();
        let tries = wanted.count(1_000, 300);
        let fsync = tokio::task::spawn_blocking(move || fsync(&path, tries)).await??;
        let round_trip = tokio::task::spawn_blocking(move || round_trip(tries * 10)).await??;
        let messages = wanted.count(50_000, 10_000);
        let (inserts, commit) = match site::server() {
            Some(cluster) => {
                let url = cluster.new_schema();
                let inserts = server_inserts(&url, messages, GROUP).await?;
                (inserts.0, Some(server_inserts(&url, tries, 1).await?.1))
            }
            None => (inserts(folder.path(), messages).await?, None),
        };
        let messages = wanted.count(20_000, 4_000);
        let mut mllp_acks = [0.0; 3];
        for (rate, connections) in mllp_acks.iter_mut().zip([1, 16, 64]) {
            *rate = mllp_only(connections, messages).await?;
        }
        Ok(Self {
            fsync,
            round_trip,
            inserts,
            commit,
            mllp_acks,
            astm_acks: astm_only(wanted.count(4_000, 800)).await?,
        })
    }

    /// One wait for the disk, or for the server's commit, and one round trip.
    pub fn durable(&self) -> Times {
        let kept = self.commit.unwrap_or(self.fsync);
        Times {
            p50: kept.p50 + self.round_trip.p50,
            p99: kept.p99 + self.round_trip.p99,
            mean: kept.mean + self.round_trip.mean,
        }
    }

    /// What [`Limits::durable`] is, in words.
    pub const fn durable_is(&self) -> &'static str {
        match self.commit {
            Some(_) => "one insert and commit by a bare client + one round trip",
            None => "one fsync + one round trip",
        }
    }

    /// The database whose inserts are the limit.
    pub const fn raw(&self) -> &'static str {
        match self.commit {
            Some(_) => "raw PostgreSQL",
            None => "raw SQLite",
        }
    }

    /// As lines above the table.
    pub fn notes(&self) -> Vec<String> {
        let [one, sixteen, many] = self.mllp_acks;
        let how = if self.commit.is_some() {
            "synchronous_commit on"
        } else {
            "WAL, synchronous FULL"
        };
        let commit = self.commit.map(|commit| {
            format!(
                "raw PostgreSQL, one message a commit: p50 {}, p99 {}",
                time(commit.p50),
                time(commit.p99)
            )
        });
        let mut notes = vec![
            format!(
                "append 4 kB + fdatasync: p50 {}, p99 {}",
                time(self.fsync.p50),
                time(self.fsync.p99)
            ),
            format!(
                "loopback round trip: p50 {}, p99 {}",
                time(self.round_trip.p50),
                time(self.round_trip.p99)
            ),
            format!(
                "{} ({how}, no index, {GROUP} messages a commit): {:.0} messages/s",
                self.raw(),
                self.inserts
            ),
            format!(
                "a program that only acknowledges MLLP: {one:.0}/s on 1 line, {sixteen:.0}/s on 16, {many:.0}/s on 64; ASTM, 24 frames: {:.0}/s",
                self.astm_acks
            ),
        ];
        notes.extend(commit);
        notes
    }
}

fn message() -> Vec<u8> {
    load::oru("L1-0-0", "90010000000000", 20, &site::wall_time())
}

fn fsync(folder: &Path, tries: u64) -> anyhow::Result<Times> {
    let mut file = File::create(folder.join("fsync"))?;
    let page = [0x5A_u8; 4096];
    let mut all = Vec::new();
    for _ in 0..tries {
        let began = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        all.push(began.elapsed());
    }
    Ok(Times::of(all))
}

fn round_trip(tries: u64) -> anyhow::Result<Times> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let text = message();
    let size = text.len();
    let answering = std::thread::spawn(move || {
        let mut buffer = vec![0_u8; size];
        while far.read_exact(&mut buffer).is_ok() {
            if far.write_all(&[6]).is_err() {
                return;
            }
        }
    });
    let mut all = Vec::new();
    let mut answer = [0_u8];
    for _ in 0..tries {
        let began = Instant::now();
        near.write_all(&text)?;
        near.read_exact(&mut answer)?;
        all.push(began.elapsed());
    }
    drop(near);
    answering
        .join()
        .map_err(|_| anyhow::anyhow!("the answering end broke"))?;
    Ok(Times::of(all))
}

/// A connection as Labwire's writer has it.
///
/// # Errors
/// SQLite's.
pub async fn connect(path: &Path) -> anyhow::Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .page_size(8_192)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(false)
        .disable_statement_logging();
    Ok(options.connect().await?)
}

/// The same bytes, many rows a statement, no index: nothing that uses SQLite can be faster.
async fn inserts(folder: &Path, messages: u64) -> anyhow::Result<f64> {
    let mut connection = connect(&folder.join("raw.db")).await?;
    connection
        .execute("CREATE TABLE message (id INTEGER PRIMARY KEY, raw BLOB NOT NULL)")
        .await?;
    let message = message();
    let values = vec!["(?)"; usize::try_from(GROUP)?].join(",");
    let insert = format!("INSERT INTO message (raw) VALUES {values}");
    let groups = messages / GROUP;
    let began = Instant::now();
    for _ in 0..groups {
        connection.execute("BEGIN IMMEDIATE").await?;
        let mut query = sqlx::query(sqlx::AssertSqlSafe(insert.clone()));
        for _ in 0..GROUP {
            query = query.bind(message.clone());
        }
        connection.execute(query).await?;
        connection.execute("COMMIT").await?;
    }
    let elapsed = began.elapsed();
    connection.close().await?;
    Ok(rate(groups * GROUP, elapsed))
}

/// The same on PostgreSQL, so many messages a commit: in a second, and how long each commit took with
/// its insert.
async fn server_inserts(url: &str, messages: u64, group: u64) -> anyhow::Result<(f64, Times)> {
    let mut connection = PgConnection::connect(url).await?;
    connection
        .execute("SET synchronous_commit = on; DROP TABLE IF EXISTS raw; CREATE TABLE raw (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, raw bytea NOT NULL)")
        .await?;
    let message = message();
    let values: Vec<String> = (1..=group).map(|number| format!("(${number})")).collect();
    let insert = format!("INSERT INTO raw (raw) VALUES {}", values.join(","));
    let groups = messages / group;
    let mut times = Vec::new();
    let began = Instant::now();
    for _ in 0..groups {
        let one = Instant::now();
        let mut query = sqlx::query(sqlx::AssertSqlSafe(insert.clone()));
        for _ in 0..group {
            query = query.bind(message.clone());
        }
        // A statement of its own is a transaction of its own.
        connection.execute(query).await?;
        times.push(one.elapsed());
    }
    let elapsed = began.elapsed();
    connection.close().await?;
    Ok((rate(groups * group, elapsed), Times::of(times)))
}

async fn mllp_only(connections: usize, messages: u64) -> anyhow::Result<f64> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let host = tokio::spawn(load::acknowledge_mllp(listener));
    let each = messages / u64::try_from(connections)?;
    let plan = load::Plan {
        connections,
        time: site::wall_time(),
        ..load::Plan::one(address, each)
    };
    let figures = load::mllp(&plan).await.context("MLLP without Labwire")?;
    host.abort();
    Ok(rate(figures.messages, figures.elapsed))
}

async fn astm_only(messages: u64) -> anyhow::Result<f64> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let host = tokio::spawn(load::acknowledge_astm(listener));
    let figures = load::astm(&load::Plan::one(address, messages))
        .await
        .context("ASTM without Labwire")?;
    host.abort();
    Ok(rate(figures.messages, figures.elapsed))
}
