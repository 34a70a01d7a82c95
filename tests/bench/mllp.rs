//! Rows of MLLP lines: acknowledgement, bursts, all the way to the HIS.

use std::time::Duration;

use labwire_sims::load;
use tokio::time::Instant;

use crate::{
    Wanted,
    limits::Limits,
    site::{Shape, Site, plan},
    table::{Table, rate, ratio, share, time},
};

/// One line, one message at a time.
pub async fn acknowledgement(
    table: &mut Table,
    wanted: &Wanted,
    limits: &Limits,
) -> anyhow::Result<()> {
    let site = Site::new(&Shape {
        mllp: 1,
        ..Shape::default()
    })
    .await?;
    let bridge = site.start().await?;
    let targets = bridge.targets("m", 1).await?;
    load::mllp(&plan(targets.clone(), 100, 2)).await?;
    // At a pace that leaves the store time to settle: an analyzer is far slower still.
    let paced = load::Plan {
        pace: Some(Duration::from_millis(10)),
        ..plan(targets.clone(), wanted.count(2_000, 500), 3)
    };
    let figures = load::mllp(&paced).await?;
    let full = load::mllp(&plan(targets, wanted.count(5_000, 1_000), 4)).await?;
    bridge.until_settled().await?;
    bridge.running.stop().await;
    let durable = limits.durable();
    for (how, figures) in [
        ("100 messages/s", &figures),
        ("as fast as acknowledged", &full),
    ] {
        for (name, per_mille, limit, aim) in [
            ("p50", 500, durable.p50, "≤ 3 ×"),
            ("p99", 990, durable.p99, "≤ 10 ×"),
        ] {
            let latency = figures.latency(per_mille);
            table.row(
                &format!("durable acknowledgement, one MLLP line, 20-OBX ORU, {how}, {name}"),
                [
                    time(latency),
                    format!("{} ({})", time(limit), limits.durable_is()),
                    ratio(latency, limit),
                    aim.to_owned(),
                ],
            );
        }
    }
    let [one, ..] = limits.mllp_acks;
    table.row(
        "one MLLP line as fast as acknowledged",
        [
            format!("{} messages/s", full.rate()),
            format!("{one:.0}/s (only ACKs)"),
            share(rate(full.messages, full.elapsed), one),
            String::new(),
        ],
    );
    Ok(())
}

/// A burst over 16 lines.
pub async fn burst_16(table: &mut Table, wanted: &Wanted, limits: &Limits) -> anyhow::Result<()> {
    burst(table, wanted, limits, 16).await
}

/// A burst over 64 lines.
pub async fn burst_64(table: &mut Table, wanted: &Wanted, limits: &Limits) -> anyhow::Result<()> {
    burst(table, wanted, limits, 64).await
}

async fn burst(
    table: &mut Table,
    wanted: &Wanted,
    limits: &Limits,
    lines: usize,
) -> anyhow::Result<()> {
    let site = Site::new(&Shape {
        mllp: lines,
        ..Shape::default()
    })
    .await?;
    let bridge = site.start().await?;
    let messages = wanted.count(100_000, 10_000);
    let each = messages / u64::try_from(lines)?;
    let load = plan(bridge.targets("m", lines).await?, each, 5);
    let figures = load::mllp(&load).await?;
    let began = Instant::now();
    bridge.until_settled().await?;
    let after = began.elapsed();
    bridge.running.stop().await;
    let rate = rate(figures.messages, figures.elapsed);
    table.row(
        &format!(
            "durable intake, {lines} MLLP lines, burst of {}",
            figures.messages
        ),
        [
            format!(
                "{rate:.0} messages/s (p99 {}; settled {} after)",
                time(figures.latency(990)),
                time(after)
            ),
            format!("{:.0}/s ({})", limits.inserts, limits.raw()),
            share(rate, limits.inserts),
            "≥ 4,000/s and ≥ 30 %".to_owned(),
        ],
    );
    Ok(())
}

/// Sixteen lines, every result ordered before, to a HIS that acknowledges at once.
pub async fn end_to_end(table: &mut Table, wanted: &Wanted, limits: &Limits) -> anyhow::Result<()> {
    let site = Site::new(&Shape {
        mllp: 16,
        ..Shape::default()
    })
    .await?;
    let bridge = site.start().await?;
    let each = wanted.count(1_250, 200);
    let load = plan(bridge.targets("m", 16).await?, each, 6);
    let ordering = bridge.order(&load).await?;
    let before = cpu_time();
    let began = Instant::now();
    let figures = load::mllp(&load).await?;
    site.until_delivered(figures.messages).await?;
    let elapsed = began.elapsed();
    let cpu = cpu_time().saturating_sub(before);
    bridge.running.stop().await;
    let [_, sixteen, _] = limits.mllp_acks;
    let rate_all = rate(figures.messages, elapsed);
    let each = cpu / u32::try_from(figures.messages)?.max(1);
    table.row(
        &format!(
            "end to end, 16 lines, {} messages of 20 results",
            figures.messages
        ),
        [
            format!(
                "{rate_all:.0} messages/s (intake {}/s; {} of CPU a message, load included)",
                figures.rate(),
                time(each)
            ),
            format!("{sixteen:.0}/s (only ACKs)"),
            share(rate_all, sixteen),
            "≥ 2,600/s".to_owned(),
        ],
    );
    table.row(
        "orders of the HIS, 8 connections, a panel of 20 tests",
        [
            format!("{:.0} orders/s", rate(figures.messages, ordering)),
            format!("{sixteen:.0}/s (only ACKs, 16 lines)"),
            share(rate(figures.messages, ordering), sixteen),
            String::new(),
        ],
    );
    Ok(())
}

/// What this process has had of the cores, in hundredths of a second.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}
