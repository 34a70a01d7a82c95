//! `labwire-sim PERSONA`.

use std::{io::Write, process::ExitCode, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{AnalyzerArgs, LOOK_EVERY, exit, open};
use crate::{
    analyzer::{Log, Operator, Rates, Setup, Tube, plug},
    clock::Clock,
    persona::Persona,
    port::keep,
    runner::Wire,
};

pub(super) async fn run(
    persona: &'static Persona,
    arguments: AnalyzerArgs,
    out: &mut (dyn Write + Send),
    cancel: CancellationToken,
) -> anyhow::Result<ExitCode> {
    let clock = Clock::real(arguments.zone);
    let setup = Setup {
        persona,
        seed: arguments.seed,
        rates: if arguments.usual {
            Rates::usual()
        } else {
            Rates::default()
        },
        measuring: Duration::from_millis(arguments.measuring_ms),
        stops_when_idle: !arguments.stay,
        clock,
    };
    let mut wire = Wire::new(clock).with_faults(arguments.faults.clone(), arguments.seed);
    wire.cancel = cancel;
    let port = open(&arguments, out).await?;
    let tubes = tubes(persona, &arguments);
    let mut plugged = plug(setup);
    let operator = plugged.operator;
    wire.wake = operator.wake();
    for tube in tubes {
        operator.load(tube);
    }
    let (machine, device) = (&mut *plugged.machine, &mut *plugged.device);
    let log = watch(keep(port, machine, device, &mut wire), &operator, out).await?;
    Ok(exit(log.sent.len() == log.acknowledged.len()))
}

fn tubes(persona: &Persona, arguments: &AnalyzerArgs) -> Vec<Tube> {
    let made = (0..arguments.specimens).map(|number| persona.barcode(arguments.seed, number));
    let tests = (!arguments.tests.is_empty()).then(|| arguments.tests.clone());
    let barcodes = arguments.specimen.iter().cloned().chain(made);
    let patients = barcodes.map(|barcode| Tube {
        tests: tests.clone(),
        ..Tube::patient(barcode)
    });
    let controls = arguments.qc.then(|| Tube::control(persona));
    controls.into_iter().chain(patients).collect()
}

/// Waits for the instrument to end, and says every acknowledged result on its own line.
async fn watch(
    running: impl Future<Output = std::io::Result<()>>,
    operator: &Operator,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<Log> {
    let mut running = std::pin::pin!(running);
    let mut told = 0;
    loop {
        let ended = tokio::select! {
            ended = &mut running => Some(ended),
            () = tokio::time::sleep(LOOK_EVERY) => None,
        };
        let log = operator.log();
        for sent in log.acknowledged.iter().skip(told) {
            writeln!(
                out,
                "{} {} {} {}",
                sent.specimen, sent.code, sent.text, sent.unit
            )?;
        }
        told = log.acknowledged.len();
        out.flush()?;
        if let Some(ended) = ended {
            ended?;
            summary(&log, out)?;
            return Ok(log);
        }
    }
}

fn summary(log: &Log, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "results {} sent, {} acknowledged; messages {} (+{} repeated, {} refused); queries {} ({} unanswered); orders {}; tubes let pass {}; connections {}",
        log.sent.len(),
        log.acknowledged.len(),
        log.messages,
        log.repeated,
        log.refused,
        log.queries,
        log.unanswered,
        log.orders.len(),
        log.skipped,
        log.connections
    )?;
    Ok(())
}
