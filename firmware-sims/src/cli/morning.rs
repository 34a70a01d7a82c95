//! `labwire-sim morning`.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{LOOK_EVERY, MorningArgs, exit};
use crate::{
    morning::{Addresses, Attached, Morning, Report, Settings, Snapshot},
    persona::Persona,
    port::Port,
};

pub(super) async fn run(
    arguments: MorningArgs,
    out: &mut (dyn Write + Send),
    cancel: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let instruments: anyhow::Result<Vec<_>> = arguments
        .instruments
        .iter()
        .map(|text| attach(text))
        .collect();
    let results = TcpListener::bind(&arguments.results)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.results))?;
    let addresses = Addresses {
        orders: arguments.orders,
        results,
        instruments: instruments?,
    };
    let settings = Settings {
        faults: arguments.faults,
        ..Settings::default()
    };
    let (specimens, speed) = (arguments.specimens, arguments.speed);
    let morning = Morning::with_settings(arguments.seed, specimens, speed, settings);
    let report = watch(&morning, addresses, out, cancel).await?;
    writeln!(out, "{}", report.snapshot)?;
    for discrepancy in &report.discrepancies {
        writeln!(out, "{discrepancy}")?;
    }
    for control in &report.orders_refused {
        writeln!(out, "order {control} was refused")?;
    }
    writeln!(
        out,
        "{} results had to reach the HIS; {} discrepancies",
        report.required,
        report.discrepancies.len()
    )?;
    Ok(exit(report.is_clean() && !report.is_cancelled))
}

fn attach(text: &str) -> anyhow::Result<Attached> {
    let (name, address) = text
        .split_once('=')
        .with_context(|| format!("`{text}` is not PERSONA=HOST:PORT"))?;
    let persona = Persona::named(name).with_context(|| {
        format!("there is no `{name}`; `labwire-sim list` says which there are")
    })?;
    let port = Port::Connect(address.to_owned());
    Ok(Attached { persona, port })
}

/// Runs it, and says the counters whenever they have changed.
async fn watch(
    morning: &Morning,
    addresses: Addresses,
    out: &mut (dyn Write + Send),
    cancel: CancellationToken,
) -> anyhow::Result<Report> {
    let mut running = std::pin::pin!(morning.run(addresses, cancel));
    let mut last = Snapshot::default();
    loop {
        tokio::select! {
            report = &mut running => return report,
            () = tokio::time::sleep(5 * LOOK_EVERY) => {}
        }
        let now = morning.counters();
        if now != last {
            last = now;
            writeln!(out, "{now}")?;
            out.flush()?;
        }
    }
}
