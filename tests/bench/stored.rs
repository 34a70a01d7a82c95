//! Rows about a store that has grown.

use std::time::Duration;

use anyhow::{Context as _, bail};
use labwire_drivers::{Clock as _, SystemClock};
use labwire_protocols::astm::link::frame;
use labwire_sims::load;
use sqlx::{Connection as _, Executor as _};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::Instant,
};

use crate::{
    Wanted,
    limits::{Limits, Times, connect},
    site::{Bridge, Shape, Site, plan, size},
    table::{Table, rate, ratio, time},
};

/// Results of one stored message.
const RESULTS: i64 = 20;

/// What is written into a store before a bridge opens it: a past year of messages.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    /// Messages.
    pub messages: i64,
    /// Results of each.
    pub results: i64,
}

/// Stored details are as long as those of the load.
const DETAIL: &str = r#"{"kind":"Patient","specimen":{"sent":"80000000000001","id":"80000000000001","rack":"","position":""},"code":"T01","qualifiers":[""],"run":null,"test":"T01","text":"1.1","unit":"mmol/L","unit_sent":"mmol/L","range":"3.9-6.1","flags":["N"],"status":"Final","status_sent":"F","completed":{"sent":"20250115103000","utc":1736911800000000},"operator":"OP1","instrument":"LOAD","comments":[],"notes":[],"holds":[],"patient":{"ids":[],"name":"","birth":"","sex":null},"value":{"Quantity":{"comparator":"Equal","number":"1.1"}}}"#;

/// Writes the past into a store that a bridge has made and left.
pub async fn fill(site: &Site, past: Past) -> anyhow::Result<()> {
    if let Some(url) = site.server_url() {
        return fill_server(url, past).await;
    }
    let mut connection = connect(&site.database()).await?;
    let now = SystemClock::default().utc_micros();
    connection
        .execute("PRAGMA synchronous = OFF; PRAGMA cache_size = -400000; CREATE TEMP TABLE n (i INTEGER PRIMARY KEY)")
        .await?;
    let Past {
        messages, results, ..
    } = past;
    let all = messages * results;
    // Evenly over the last year.
    let step = 365 * 24 * 3_600 * 1_000_000 / all.max(1);
    let fill = format!(
        "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {all}) \
         INSERT INTO n SELECT i FROM c"
    );
    let mut statements = vec![
        "BEGIN".to_owned(),
        fill,
        format!(
            "INSERT INTO patient (id, fields, birth, sex, updated_at) \
             SELECT i, '{{}}', '19900101', 'M', 0 FROM n WHERE i <= {messages}"
        ),
        format!(
            "INSERT INTO specimen (id, host, barcode, generation, patient, fields, ordered_at) \
             SELECT i, 'his', printf('8%013d', i), 1, i, '{{}}', \
             {now} - ({messages} - i) * {results} * {step} FROM n WHERE i <= {messages}"
        ),
        format!(
            "INSERT INTO message (id, line, connection, session, received_at, is_complete, raw, \
             state) SELECT i, 'm-0', i, 1, {now} - ({messages} - i) * {results} * {step}, 1, \
             zeroblob(2600), 'parsed' FROM n WHERE i <= {messages}"
        ),
        format!(
            "INSERT INTO result (id, message, line, kind, barcode, specimen, test, state, version, \
             holds, detail, received_at, decided_at) \
             SELECT i, (i - 1) / {results} + 1, 'm-0', 'patient', \
             printf('8%013d', (i - 1) / {results} + 1), (i - 1) / {results} + 1, \
             printf('T%02d', (i - 1) % {results} + 1), 'released', 1, '[]', '{DETAIL}', \
             {now} - ({all} - i) * {step}, {now} FROM n"
        ),
    ];
    statements.push("COMMIT".to_owned());
    for statement in statements {
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement)))
            .await
            .context("the past cannot be written")?;
    }
    connection
        .execute("PRAGMA wal_checkpoint(TRUNCATE)")
        .await?;
    connection.close().await?;
    Ok(())
}

/// The same in the words of PostgreSQL.
async fn fill_server(url: &str, past: Past) -> anyhow::Result<()> {
    let now = SystemClock::default().utc_micros();
    let Past {
        messages, results, ..
    } = past;
    let all = messages * results;
    let step = 365 * 24 * 3_600 * 1_000_000 / all.max(1);
    let numbers = format!("generate_series(1::bigint, {messages}) AS n(i)");
    let mut statements = vec![
        "SET synchronous_commit = off".to_owned(),
        format!(
            "INSERT INTO patient (id, fields, birth, sex, updated_at) \
             SELECT i, '{{}}', '19900101', 'M', 0 FROM {numbers}"
        ),
        format!(
            "INSERT INTO specimen (id, host, barcode, generation, patient, fields, ordered_at) \
             SELECT i, 'his', '8' || lpad(i::text, 13, '0'), 1, i, '{{}}', \
             {now} - ({messages} - i) * {results} * {step} FROM {numbers}"
        ),
        format!(
            "INSERT INTO message (id, line, connection, session, received_at, is_complete, raw, \
             state) SELECT i, 'm-0', i, 1, {now} - ({messages} - i) * {results} * {step}, 1, \
             decode(repeat('00', 2600), 'hex'), 'parsed' FROM {numbers}"
        ),
        format!(
            "INSERT INTO result (id, message, line, kind, barcode, specimen, test, state, version, \
             holds, detail, received_at, decided_at) \
             SELECT i, (i - 1) / {results} + 1, 'm-0', 'patient', \
             '8' || lpad(((i - 1) / {results} + 1)::text, 13, '0'), (i - 1) / {results} + 1, \
             'T' || lpad(((i - 1) % {results} + 1)::text, 2, '0'), 'released', 1, '[]', '{DETAIL}', \
             {now} - ({all} - i) * {step}, {now} FROM generate_series(1::bigint, {all}) AS n(i)"
        ),
    ];
    statements.push("ANALYZE".to_owned());
    let mut connection = sqlx::PgConnection::connect(url).await?;
    for statement in statements {
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statement)))
            .await
            .context("the past cannot be written")?;
    }
    // Rows of `result` go on after the highest of their table by themselves.
    for table in ["patient", "specimen", "message"] {
        let next = format!(
            "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
        );
        connection
            .execute(sqlx::raw_sql(sqlx::AssertSqlSafe(next)))
            .await?;
    }
    connection.close().await?;
    Ok(())
}

/// The cost of a result in an empty store and in a full one.
pub async fn growth(table: &mut Table, wanted: &Wanted, _limits: &Limits) -> anyhow::Result<()> {
    let each = wanted.count(500, 100);
    let shape = Shape {
        mllp: 16,
        ..Shape::default()
    };
    let site = Site::new(&shape).await?;
    let bridge = site.start().await?;
    // What is new in every process and file is not what grows.
    settle(&bridge, each / 4, 20).await?;
    let empty = settle(&bridge, each, 21).await?;
    bridge.running.stop().await;
    drop(site);

    let site = Site::new(&shape).await?;
    site.start().await?.running.stop().await;
    let past = Past {
        messages: wanted.stored / RESULTS,
        results: RESULTS,
    };
    fill(&site, past).await?;
    let bridge = site.start().await?;
    settle(&bridge, each / 4, 20).await?;
    let full = settle(&bridge, each, 21).await?;
    bridge.running.stop().await;
    table.row(
        &format!(
            "growth: a result from the wire to settled, {} stored",
            wanted.stored
        ),
        [
            format!("{} ({} MB)", time(full), size(&site.database()) / 1_000_000),
            format!("{} (empty store)", time(empty)),
            ratio(full, empty),
            "0.75 to 1.25 ×".to_owned(),
        ],
    );
    Ok(())
}

async fn settle(bridge: &Bridge, each: u64, seed: u64) -> anyhow::Result<Duration> {
    let load = plan(bridge.targets("m", 16).await?, each, seed);
    let began = Instant::now();
    let figures = load::mllp(&load).await?;
    bridge.until_settled().await?;
    let results = u32::try_from(figures.messages * 20)?;
    Ok(began.elapsed() / results)
}

/// An analyzer asks for a tube while sixteen others send at half of what is possible.
pub async fn query(table: &mut Table, wanted: &Wanted, limits: &Limits) -> anyhow::Result<()> {
    let site = Site::new(&Shape {
        mllp: 16,
        astm: 1,
        ..Shape::default()
    })
    .await?;
    site.start().await?.running.stop().await;
    let past = Past {
        messages: wanted.stored / RESULTS,
        results: RESULTS,
    };
    fill(&site, past).await?;
    let bridge = site.start().await?;
    let queries = wanted.count(1_000, 200);
    let asked = load::Plan {
        connections: 1,
        ..plan(Vec::new(), queries, 30)
    };
    bridge.order(&asked).await?;
    // What it can do, settling included: what it would do for hours.
    let targets = bridge.targets("m", 16).await?;
    let probe = plan(targets.clone(), wanted.count(200, 60), 31);
    let began = Instant::now();
    let figures = load::mllp(&probe).await?;
    bridge.until_settled().await?;
    let possible = rate(figures.messages, began.elapsed());
    let half = load::Plan {
        pace: Some(Duration::from_secs_f64(16.0 * 2.0 / possible)),
        ..plan(targets, u64::MAX, 32)
    };
    let loading = tokio::spawn(async move { load::mllp(&half).await });
    let line = bridge.targets("a", 1).await?;
    let address = line.first().context("an ASTM line")?;
    let mut times = Vec::new();
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    stream.get_mut().set_nodelay(true)?;
    for number in 0..queries {
        times.push(ask(&mut stream, &asked.barcode(0, number)).await?);
    }
    loading.abort();
    bridge.until_settled().await?;
    bridge.running.stop().await;
    let times = Times::of(times);
    let durable = limits.durable();
    table.row(
        &format!(
            "host query, {} results stored, intake at {:.0} messages/s (half)",
            wanted.stored,
            possible / 2.0
        ),
        [
            format!("p50 {}, p99 {}", time(times.p50), time(times.p99)),
            format!("{} ({}, p99)", time(durable.p99), limits.durable_is()),
            ratio(times.p99, durable.p99),
            "p99 ≤ 10 ms".to_owned(),
        ],
    );
    Ok(())
}

const ENQ: u8 = 0x05;
const ACK: u8 = 0x06;
const EOT: u8 = 0x04;

/// From the end of the question to the frame that carries the order.
async fn ask(stream: &mut BufReader<TcpStream>, barcode: &str) -> anyhow::Result<Duration> {
    let records = [
        r"H|\^&|||LOAD^1.0|||||LABWIRE||P|LIS2-A2|20250115103000".to_owned(),
        format!("Q|1|^{barcode}||ALL||||||||O"),
        "L|1|N".to_owned(),
    ];
    stream.get_mut().write_all(&[ENQ]).await?;
    expect(stream, ACK).await?;
    for (record, number) in records.iter().zip(1_u8..) {
        let frame = frame(number, format!("{record}\r").as_bytes(), true);
        stream.get_mut().write_all(&frame).await?;
        expect(stream, ACK).await?;
    }
    stream.get_mut().write_all(&[EOT]).await?;
    let asked = Instant::now();
    let mut answered = None;
    let mut frame = Vec::new();
    loop {
        match stream.read_u8().await? {
            ENQ => {}
            EOT => break,
            0x02 => {
                frame.clear();
                stream.read_until(b'\n', &mut frame).await?;
                let is_order = frame.get(1..3) == Some(b"O|".as_slice())
                    || frame.windows(3).any(|part| part == b"\rO|");
                if is_order && answered.is_none() {
                    answered = Some(asked.elapsed());
                }
            }
            other => bail!("the host sent {other:#04x}"),
        }
        stream.get_mut().write_all(&[ACK]).await?;
    }
    answered.context("the answer holds no order")
}

async fn expect(stream: &mut BufReader<TcpStream>, wanted: u8) -> anyhow::Result<()> {
    match stream.read_u8().await? {
        byte if byte == wanted => Ok(()),
        other => bail!("the host sent {other:#04x} instead of {wanted:#04x}"),
    }
}
