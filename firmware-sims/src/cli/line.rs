//! `labwire-sim line`.

use std::{io::Write, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use labwire_protocols::mllp;
use tokio_util::sync::CancellationToken;

use super::LOOK_EVERY;
use crate::{
    clock::Clock,
    line::{Arrival, Attendant, Fault, POWER_EXPRESS, Setup, TrackLine},
    port::{Port, keep},
    runner::Wire,
};

/// An automation line with its tubes.
#[derive(Args, Clone, Debug)]
pub(super) struct LineArgs {
    /// Dial this address, again and again
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "listen")]
    connect: Option<String>,
    /// Wait for connections on this address
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "connect")]
    listen: Option<String>,
    /// A tube that comes by pneumatic tube, or at another inlet, and waits to be told where to go;
    /// with stops it goes by the line's own plan; may be repeated
    #[arg(long = "tube", value_name = "BARCODE[@INLET][=STOP,…]")]
    tubes: Vec<String>,
    /// So many tubes by pneumatic tube, with barcodes made from the seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    arrivals: u32,
    /// What goes wrong before the first tube: jam=CENT1, full=ERR1, off=XN1, unread, gate, restart;
    /// may be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<String>,
    /// Milliseconds of every way
    #[arg(long, value_name = "MS", default_value_t = 40_000)]
    transit_ms: u64,
    /// Milliseconds of every module's work
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    dwell_ms: u64,
    /// Where chance starts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Go on when every tube stands where its way ends, until interrupted
    #[arg(long)]
    stay: bool,
    /// The zone of its clock, in minutes east of UTC
    #[arg(
        long,
        value_name = "MINUTES",
        default_value_t = 420,
        allow_negative_numbers = true
    )]
    zone: i32,
}

pub(super) async fn run(
    arguments: LineArgs,
    out: &mut (dyn Write + Send),
    cancel: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let clock = Clock::real(arguments.zone);
    let mut line = TrackLine::new(Setup {
        layout: POWER_EXPRESS,
        transit: Duration::from_millis(arguments.transit_ms),
        dwell: Duration::from_millis(arguments.dwell_ms),
        pace: None,
        stops_when_idle: !arguments.stay,
        clock,
    });
    let attendant = line.attendant();
    for text in &arguments.faults {
        attendant.break_down(fault(text)?);
    }
    for text in &arguments.tubes {
        attendant.arrive(arrival(text)?);
    }
    for number in 0..arguments.arrivals {
        let barcode = format!("26{:03}{number:06}", arguments.seed % 1_000);
        attendant.arrive(arrival(&barcode)?);
    }
    let port = match (&arguments.connect, &arguments.listen) {
        (Some(address), _) => Port::Connect(address.clone()),
        (None, Some(address)) => Port::listen(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?,
        (None, None) => bail!("no port was given"),
    };
    writeln!(out, "{port}")?;
    let mut wire = Wire::new(clock);
    wire.cancel = cancel;
    wire.wake = attendant.wake();
    let mut endpoint = mllp::Endpoint::new(mllp::Config::default());
    let running = keep(port, &mut endpoint, &mut line, &mut wire);
    watch(running, &attendant, out).await?;
    Ok(ExitCode::SUCCESS)
}

/// Says every step of every tube on its own line.
async fn watch(
    running: impl Future<Output = std::io::Result<()>>,
    attendant: &Attendant,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let mut running = std::pin::pin!(running);
    let mut told = 0;
    loop {
        let ended = tokio::select! {
            ended = &mut running => Some(ended),
            () = tokio::time::sleep(LOOK_EVERY) => None,
        };
        let log = attendant.log();
        for (barcode, module, what) in log.told.iter().skip(told) {
            writeln!(out, "{barcode} {module} {what}")?;
        }
        told = log.told.len();
        out.flush()?;
        if let Some(ended) = ended {
            ended?;
            let (commands, messages) = (log.commands.len(), log.acknowledged);
            writeln!(out, "commands {commands}; messages acknowledged {messages}")?;
            return Ok(());
        }
    }
}

/// `BARCODE[@INLET][=STOP,…]`.
fn arrival(text: &str) -> anyhow::Result<Arrival> {
    let (tube, stops) = text.split_once('=').unwrap_or((text, ""));
    let (barcode, inlet) = tube.split_once('@').unwrap_or((tube, "TEMPUS1"));
    let stops = stops.split(',').filter(|stop| !stop.is_empty());
    let course: Vec<String> = stops.map(str::to_owned).collect();
    for module in course.iter().map(String::as_str).chain([inlet]) {
        if POWER_EXPRESS.kind(module).is_none() {
            bail!("the line has no module `{module}`");
        }
    }
    if barcode.is_empty() {
        bail!("a tube has no barcode");
    }
    Ok(Arrival {
        barcode: barcode.to_owned(),
        inlet: inlet.to_owned(),
        course,
    })
}

fn fault(text: &str) -> anyhow::Result<Fault> {
    let (what, module) = text.split_once('=').unwrap_or((text, ""));
    let module = || {
        POWER_EXPRESS
            .kind(module)
            .with_context(|| format!("the line has no module `{module}`"))
            .map(|_| module.to_owned())
    };
    Ok(match what {
        "jam" => Fault::Jam(module()?),
        "full" => Fault::Full(module()?),
        "off" => Fault::Off(module()?),
        "unread" => Fault::Unread,
        "gate" => Fault::Gate,
        "restart" => Fault::Restart,
        _ => bail!(
            "`{text}` is no fault: jam=MODULE, full=MODULE, off=MODULE, unread, gate, restart"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tubes_and_faults_are_read_and_what_means_nothing_is_refused() {
        let read = arrival("T1@IN1=CENT1,STORE1").expect("a tube");
        assert_eq!((read.barcode.as_str(), read.inlet.as_str()), ("T1", "IN1"));
        assert_eq!(read.course, ["CENT1", "STORE1"]);
        assert_eq!(arrival("T1").expect("a tube").inlet, "TEMPUS1");
        for wrong in ["", "T1@X", "T1=CENT9"] {
            assert!(arrival(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            fault("jam=CENT1").expect("a fault"),
            Fault::Jam("CENT1".to_owned())
        );
        for wrong in ["jam", "jam=X", "rain"] {
            assert!(fault(wrong).is_err(), "{wrong}");
        }
    }
}
