//! From the bytes of a message to canonical results, on one core.

use std::{collections::BTreeMap, hint::black_box, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use labwire::{
    config::{self, Seams},
    profile::{self, Library, LineSettings},
};
use labwire_sims::load;
use tokio::time::Instant;

use crate::{
    Wanted,
    limits::Limits,
    site::{Shape, Site, wall_time},
    table::{Table, share},
};

/// An ORU of 20 OBX, and the same results as ASTM records.
pub async fn decode(table: &mut Table, wanted: &Wanted, _limits: &Limits) -> anyhow::Result<()> {
    let site = Site::new(&Shape::default()).await?;
    let (loaded, _) = config::load(&site.lab(), &Seams::default());
    let catalogue = Arc::new(loaded.context("a configuration")?.catalogue);
    let (library, _) = Library::load(None);
    let block = load::oru("L1-0-0", "90010000000000", 20, &wall_time());
    let hl7 = block.get(1..block.len() - 2).unwrap_or_default().to_vec();
    let frames = load::astm_frames("90010000000000", 20, &wall_time());
    // STX, number, text, ETX, checksum, CR, LF.
    let astm = frames.iter().flat_map(|frame| {
        let end = frame.len().saturating_sub(5);
        frame.get(2..end).unwrap_or_default().to_vec()
    });
    let astm: Vec<u8> = astm.collect();
    for (what, name, raw) in [
        (
            "a 20-OBX ORU to canonical results, one core",
            "generic/hl7",
            hl7,
        ),
        (
            "24 ASTM records to canonical results, one core",
            "generic/astm",
            astm,
        ),
    ] {
        let profile = library.get(name).context("a built-in profile")?;
        let tests = (1..=20).map(|number| format!("T{number:02}"));
        let line = profile.for_line(LineSettings {
            line: "m-0".to_owned(),
            tests: tests.map(|id| (id.clone(), id)).collect::<BTreeMap<_, _>>(),
            zone: Some(jiff::tz::TimeZone::fixed(jiff::tz::offset(7))),
            ..LineSettings::default()
        });
        let read = || profile::decode(&line, Some(&*catalogue), black_box(&raw), true);
        ensure!(read().items.len() == 20, "{name}: 20 results");
        let count = u32::try_from(wanted.count(20_000, 5_000))?;
        let took = times(count, || drop(black_box(read())));
        let looked = times(count, || {
            let fields = black_box(&raw[..]).split(|byte| matches!(byte, b'|' | b'\r'));
            black_box(fields.map(black_box).count());
        });
        let speed = |each: Duration| {
            let size = u32::try_from(raw.len()).unwrap_or(u32::MAX);
            f64::from(size) / each.as_secs_f64() / 1e6
        };
        table.row(
            what,
            [
                format!("{:.0} MB/s", speed(took)),
                format!("{:.0} MB/s (counting delimiters)", speed(looked)),
                share(speed(took), speed(looked)),
                "≥ 100 MB/s".to_owned(),
            ],
        );
    }
    Ok(())
}

/// The mean of many times.
fn times(count: u32, mut work: impl FnMut()) -> Duration {
    let began = Instant::now();
    for _ in 0..count {
        work();
    }
    began.elapsed() / count
}
