//! Rows of an ASTM line.

use labwire_sims::load;

use crate::{
    Wanted,
    limits::Limits,
    site::{Shape, Site, plan},
    table::{Table, rate, share},
};

/// Frames of a message with 20 results, one record each.
const FRAMES: u32 = 24;

/// Every frame on disk before its ACK.
pub async fn by_frame(table: &mut Table, wanted: &Wanted, limits: &Limits) -> anyhow::Result<()> {
    let rate = line("frame", wanted.count(500, 100)).await?;
    // Each frame waits for the disk and a round trip, the bid before them for a round trip alone.
    let limit = limits.durable().mean * FRAMES + limits.round_trip.mean;
    let limit = 1.0 / limit.as_secs_f64();
    table.row(
        "ASTM line, 24 one-record frames, every frame on disk before its ACK",
        [
            format!("{rate:.1} messages/s"),
            format!("{limit:.1}/s (one fsync + one round trip a frame)"),
            share(rate, limit),
            "≥ 70 %".to_owned(),
        ],
    );
    Ok(())
}

/// Only the frame that ends a message waits for the disk.
pub async fn by_message(table: &mut Table, wanted: &Wanted, limits: &Limits) -> anyhow::Result<()> {
    let rate = line("message", wanted.count(4_000, 500)).await?;
    table.row(
        "the same line with durability = \"message\"",
        [
            format!("{rate:.0} messages/s"),
            format!("{:.0}/s (only ACKs)", limits.astm_acks),
            share(rate, limits.astm_acks),
            "≥ 70 %".to_owned(),
        ],
    );
    Ok(())
}

async fn line(durability: &'static str, messages: u64) -> anyhow::Result<f64> {
    let site = Site::new(&Shape {
        astm: 1,
        durability,
        ..Shape::default()
    })
    .await?;
    let bridge = site.start().await?;
    let targets = bridge.targets("a", 1).await?;
    load::astm(&plan(targets.clone(), 20, 7)).await?;
    let figures = load::astm(&plan(targets, messages, 8)).await?;
    bridge.until_settled().await?;
    bridge.running.stop().await;
    Ok(rate(figures.messages, figures.elapsed))
}
