//! The command line of `labwire-sim`.

use std::{io::Write, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::{ArgGroup, Args, Command, FromArgMatches};
use tokio_util::sync::CancellationToken;

use crate::{
    faults::FaultPlan,
    load,
    persona::{ALL, Persona},
    port::{Port, Pty},
};

mod analyzer;
mod his;
mod line;
mod morning;

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

const EXAMPLES: &str = "\
Examples:
  labwire-sim list
      which analyzers there are
  labwire-sim sysmex-xn --connect 127.0.0.1:5001 --specimen 25011500017 --seed 1
      one blood count, asked for and sent, as an XN would
  labwire-sim generic-astm --connect 127.0.0.1:5001 --specimens 50 --faults split=40,flip=20
      fifty tubes over a bad line
  labwire-sim cobas-e411 --pty --stay --specimen 25011500021
      the same over a serial port; the path to open is printed
  labwire-sim beckman-au --connect 127.0.0.1:5020 --specimen 2501150017 --qc
      an AU on its own wire: asks, measures what it is told, and a control first
  labwire-sim his --orders 127.0.0.1:2575 --results 127.0.0.1:2576 --order 25011500017=CBC
      a hospital that orders one blood count and takes the results
  labwire-sim line --connect 127.0.0.1:5010 --tube 25011500017 --fault off=XN1
      an automation line to which a tube comes by air, with a module switched off
  labwire-sim morning --orders 127.0.0.1:2575 --results 127.0.0.1:2576 \\
      --instrument sysmex-xn=127.0.0.1:5001 --specimens 200 --speed 20
      a whole morning; exit 1 if a result is missing, wrong or with the wrong patient
  labwire-sim load mllp 127.0.0.1:5002 --connections 16 --messages 1000
      as many messages as are acknowledged, and what it took";

const EXAMPLES_ANALYZER: &str = "\
Examples:
  --connect 127.0.0.1:5001 --specimen 25011500017
  --listen 127.0.0.1:5001 --specimen 25011500017 --tests WBC,HGB
  --pty --stay --qc
  --connect 127.0.0.1:5001 --specimens 50 --seed 7 --usual --faults split=40,flip=20,cut=2

Faults (per mille of the pieces written, sizes in bytes):
  split=N duplicate=N flip=N delay=N delay-ms=N cut=N cut-at=N

Exit 0: every result was acknowledged; 1: not.";

/// Where an analyzer is plugged in, and what it does.
#[derive(Args, Clone, Debug)]
#[command(group(ArgGroup::new("port").required(true).args(["connect", "listen", "pty"])))]
struct AnalyzerArgs {
    /// Dial this address, again and again
    #[arg(long, value_name = "HOST:PORT")]
    connect: Option<String>,
    /// Wait for connections on this address
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Make a pseudo-terminal and print its path
    #[arg(long)]
    pty: bool,
    /// Measure this barcode; may be repeated
    #[arg(long = "specimen", value_name = "BARCODE")]
    specimen: Vec<String>,
    /// Measure so many barcodes made from the seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    specimens: u32,
    /// Measure exactly these codes, without asking
    #[arg(long, value_name = "CODE,…", value_delimiter = ',')]
    tests: Vec<String>,
    /// Measure control material first
    #[arg(long)]
    qc: bool,
    /// Where chance starts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Doubted values, failed analyses and repetitions as on a usual day
    #[arg(long)]
    usual: bool,
    /// Faults on the line
    #[arg(long, value_name = "PLAN", default_value = "")]
    faults: FaultPlan,
    /// How long a measurement takes
    #[arg(long, value_name = "MS", default_value_t = 0)]
    measuring_ms: u64,
    /// Go on when everything is acknowledged, until interrupted
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

/// A simulated hospital information system.
#[derive(Args, Clone, Debug)]
struct HisArgs {
    /// Send orders to this address
    #[arg(long, value_name = "HOST:PORT")]
    orders: Option<String>,
    /// Take results on this address
    #[arg(long, value_name = "HOST:PORT")]
    results: Option<String>,
    /// Serve orders and take results over HTTP on this address
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
    /// Order these services on this tube; may be repeated
    #[arg(long = "order", value_name = "BARCODE=CODE,…")]
    order: Vec<String>,
    /// The HL7 it speaks: 2.3.1 or 2.5.1
    #[arg(long, default_value = "2.5.1", value_parser = his::version)]
    version: crate::his::Version,
    /// How it answers: good, busy, cut, silent, late, twice, slow=MS, refuse=AE:204
    #[arg(long, default_value = "good", value_parser = his::policy)]
    policy: crate::his::Policy,
    /// Answers by chance, per mille of the messages: busy=50,cut=20,late=10
    #[arg(long, value_name = "POLICY=N,…", value_delimiter = ',', value_parser = his::rate)]
    chance: Vec<(u16, crate::his::Policy)>,
    /// Where chance starts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Acknowledge first that it is kept (CA), then that it is processed
    #[arg(long)]
    enhanced: bool,
    /// Stop when so many results are there
    #[arg(long, value_name = "N")]
    until: Option<usize>,
}

/// A whole morning against a running Labwire.
#[derive(Args, Clone, Debug)]
struct MorningArgs {
    /// Where Labwire takes orders
    #[arg(long, value_name = "HOST:PORT")]
    orders: String,
    /// Where the HIS takes results
    #[arg(long, value_name = "HOST:PORT")]
    results: String,
    /// An instrument and where it dials; may be repeated
    #[arg(long = "instrument", value_name = "PERSONA=HOST:PORT", required = true)]
    instruments: Vec<String>,
    /// How many specimens
    #[arg(long, default_value_t = 200)]
    specimens: usize,
    /// Where chance starts
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many times as fast as a real morning
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Faults on the lines of ASTM instruments
    #[arg(long, value_name = "PLAN", default_value = "")]
    faults: FaultPlan,
}

/// As many messages as are acknowledged.
#[derive(Args, Clone, Debug)]
struct LoadArgs {
    /// mllp or astm
    #[arg(value_parser = ["mllp", "astm"])]
    protocol: String,
    /// Where to; connections are spread over several in turn
    #[arg(value_name = "HOST:PORT", required = true)]
    targets: Vec<String>,
    /// Connections at a time
    #[arg(long, default_value_t = 1)]
    connections: usize,
    /// Messages of each connection
    #[arg(long, default_value_t = 1_000)]
    messages: u64,
    /// Results in each message
    #[arg(long, default_value_t = 20)]
    results: usize,
    /// Makes barcodes and control ids of two loads different
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// The whole command, for parsing, help and completions.
pub fn command() -> Command {
    let mut command = Command::new("labwire-sim")
        .about("Simulated analyzers and a simulated HIS, with seeded faults")
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(Command::new("list").about("List the analyzers"))
        .subcommand(with::<HisArgs>(
            "his",
            "A hospital information system: orders out, results in",
        ))
        .subcommand(with::<line::LineArgs>(
            "line",
            "An automation line: tubes come, are read, and go where they are told",
        ))
        .subcommand(with::<MorningArgs>(
            "morning",
            "A whole hospital morning, checked at its end",
        ))
        .subcommand(with::<LoadArgs>(
            "load",
            "As many messages as are acknowledged, and what it took",
        ));
    for persona in ALL {
        let analyzer = with::<AnalyzerArgs>(persona.name, persona.title);
        command = command.subcommand(analyzer.after_help(EXAMPLES_ANALYZER));
    }
    command
}

/// A command with these arguments. The description comes last: the arguments bring the comment on
/// their type.
fn with<A: Args>(name: &'static str, about: &'static str) -> Command {
    A::augment_args(Command::new(name)).about(about)
}

/// Runs one command line; everything it says goes to `out`. `cancel` ends what would go on.
///
/// # Errors
/// If a port cannot be used, or an argument means nothing.
pub async fn run<I>(
    arguments: I,
    out: &mut (dyn Write + Send),
    cancel: CancellationToken,
) -> anyhow::Result<ExitCode>
where
    I: IntoIterator<Item = std::ffi::OsString>,
{
    let matches = command().try_get_matches_from(arguments)?;
    match matches.subcommand() {
        Some(("list", _)) => list(out),
        Some(("his", found)) => his::run(HisArgs::from_arg_matches(found)?, out, cancel).await,
        Some(("line", found)) => {
            line::run(line::LineArgs::from_arg_matches(found)?, out, cancel).await
        }
        Some(("morning", found)) => {
            morning::run(MorningArgs::from_arg_matches(found)?, out, cancel).await
        }
        Some(("load", found)) => load_run(LoadArgs::from_arg_matches(found)?, out).await,
        Some((name, found)) => {
            let persona = Persona::named(name).context("no such analyzer")?;
            let arguments = AnalyzerArgs::from_arg_matches(found)?;
            analyzer::run(persona, arguments, out, cancel).await
        }
        None => bail!("no command was given"),
    }
}

fn list(out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    for persona in ALL {
        let codes: Vec<_> = persona
            .analytes
            .iter()
            .map(|analyte| analyte.code)
            .collect();
        let asks = if persona.queries {
            "asks"
        } else {
            "never asks"
        };
        writeln!(
            out,
            "{:<16} {:<13} {}",
            persona.name,
            persona.protocol(),
            persona.title
        )?;
        writeln!(out, "{:<30} {asks}; {}", "", codes.join(" "))?;
    }
    writeln!(
        out,
        "{:<16} hl7           An automation line (labwire-sim line)",
        "line"
    )?;
    writeln!(
        out,
        "{:<16} hl7           A hospital information system (labwire-sim his)",
        "his"
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn load_run(arguments: LoadArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<ExitCode> {
    let plan = load::Plan {
        targets: arguments.targets,
        connections: arguments.connections,
        messages: arguments.messages,
        results: arguments.results,
        seed: arguments.seed,
        ..load::Plan::one("", 0)
    };
    let figures = match arguments.protocol.as_str() {
        "astm" => load::astm(&plan).await?,
        _ => load::mllp(&plan).await?,
    };
    writeln!(out, "{figures}")?;
    Ok(exit(figures.refused == 0))
}

fn exit(is_clean: bool) -> ExitCode {
    if is_clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The port that was asked for, and a line that says where it is.
async fn open(arguments: &AnalyzerArgs, out: &mut (dyn Write + Send)) -> anyhow::Result<Port> {
    let port = match (&arguments.connect, &arguments.listen) {
        (Some(address), _) => Port::Connect(address.clone()),
        (None, Some(address)) => Port::listen(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?,
        (None, None) => Port::Pty(Pty::open().context("cannot make a pseudo-terminal")?),
    };
    writeln!(out, "{port}")?;
    out.flush()?;
    Ok(port)
}

#[cfg(test)]
mod tests;
