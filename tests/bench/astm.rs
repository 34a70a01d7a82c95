//! Rows of an ASTM line.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use labwire_sims::{load, port::Pty};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout},
};

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

/// Bytes in a second at 9600 baud, 8 data bits, no parity, one stop bit: ten bits a byte.
const SERIAL_BYTES: u32 = 960;
/// Bytes that the pseudo-terminal gets at once: it has no speed of its own, so they are kept back
/// until the wire would have carried them.
const SERIAL_CHUNK: usize = 8;

/// A serial line at 9600 baud, every frame on disk before its ACK: how much of the time the wire
/// carries bytes.
pub async fn serial(table: &mut Table, wanted: &Wanted, _: &Limits) -> anyhow::Result<()> {
    let mut pty = Pty::open()?;
    let site = Site::new(&Shape {
        serial: Some(pty.path().to_owned()),
        ..Shape::default()
    })
    .await?;
    let bridge = site.start().await?;
    let time = crate::site::wall_time();
    let mut device = Wire {
        pty: &mut pty,
        carried: 0,
        free_at: Instant::now(),
    };
    // The first message is not counted: the port opens meanwhile.
    let mut began = Instant::now();
    for number in 0..=wanted.count(8, 3) {
        if number == 1 {
            device.carried = 0;
            began = Instant::now();
        }
        device.unit(b"\x05").await?;
        for frame in load::astm_frames(&format!("S{number}"), 20, &time) {
            device.unit(&frame).await?;
        }
        device.write(b"\x04").await?;
    }
    let elapsed = began.elapsed();
    let measured = f64::from(device.carried) / elapsed.as_secs_f64();
    bridge.until_settled().await?;
    bridge.running.stop().await;
    let limit = f64::from(SERIAL_BYTES);
    table.row(
        "a serial line at 9600 baud, every frame on disk before its ACK",
        [
            format!("{measured:.0} bytes/s"),
            format!("{limit:.0} bytes/s (the wire)"),
            share(measured, limit),
            "≥ 97 %".to_owned(),
        ],
    );
    Ok(())
}

/// A device on a wire of 9600 baud.
struct Wire<'p> {
    pty: &'p mut Pty,
    /// Bytes that went over the wire, both ways: nobody speaks while the other does.
    carried: u32,
    /// When the wire has carried what was given to it.
    free_at: Instant,
}

impl Wire<'_> {
    /// Sends a frame or a bid, and waits for its ACK.
    async fn unit(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            self.write(bytes).await?;
            let mut reply = [0];
            // Before the port is open nobody answers.
            let read = timeout(Duration::from_secs(2), self.pty.device().read(&mut reply));
            if let Ok(read) = read.await {
                ensure!(read? == 1, "the port was closed");
                ensure!(reply == [0x06], "answered with {reply:02X?}");
                self.free_at = Instant::now();
                self.carries(1).await;
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "no answer on the serial line");
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        for chunk in bytes.chunks(SERIAL_CHUNK) {
            self.carries(u32::try_from(chunk.len()).context("a chunk is short")?)
                .await;
            self.pty.device().write_all(chunk).await?;
        }
        Ok(())
    }

    /// Waits until the wire has carried so many bytes more. The runtime's timer is a millisecond late,
    /// which is a byte; the end is waited for awake.
    async fn carries(&mut self, bytes: u32) {
        let is_idle = self.free_at + TIMER < Instant::now();
        if is_idle {
            self.free_at = Instant::now();
        }
        self.free_at += Duration::from_secs(1) * bytes / SERIAL_BYTES;
        sleep_until(self.free_at.checked_sub(TIMER).unwrap_or(self.free_at)).await;
        while Instant::now() < self.free_at {
            tokio::task::yield_now().await;
        }
        self.carried += bytes;
    }
}

/// How much too late the runtime's timer may be.
const TIMER: Duration = Duration::from_millis(2);
