//! `labwire demo`: a simulated hospital morning.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{Verdict, failure::Failure, out::Out};
use crate::demo::{self, Demo, DemoError, Live, Options};

/// Play a simulated hospital morning in one process: analyzers, a HIS, and the bridge between them
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  labwire demo                                 a morning of 1200 tubes, in about a minute and a half
  labwire demo --specimens 100 --speed 600     a small one, in seconds
  labwire demo --keep /tmp/demo                then: labwire trace -c /tmp/demo/lab.toml TUBE
  labwire demo --for 30s                       its beginning alone; Ctrl-C does the same
  labwire demo --speed 5 --stay                slowly, to watch in the console

The first line says where the console is and how to log in.

Three departments with ten analyzers, an automation line of four lanes where half the tubes come by
air, and a HIS talk to the bridge over loopback ports; six hundred tubes an hour, now and then a tube
without order, a cancelled order, a rerun, a suspect value, a HIS that is busy, a jam, a barcode that
cannot be read, a gate that errs, a full outlet, an analyzer switched off, a line that begins again.
At the end the logs of the devices, the store and the book of the HIS are compared, result by result.

Exit code 1 when a result is lost, altered, at the wrong patient, or unaccounted for.")]
pub struct DemoArgs {
    /// Where the web console listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// How many times as fast as life, from 0.1 to 1000; 1 is one tube every six seconds
    #[arg(long, value_name = "FACTOR", default_value = "120", value_parser = speed)]
    pub speed: f64,
    /// Tubes of patients
    #[arg(long, value_name = "N", default_value_t = 1_200,
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub specimens: u32,
    /// The same seed plans the same morning
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// End after so long, in real time: 30s, 5m
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    pub length: Option<Duration>,
    /// Keep the site and its store in this folder, for `labwire trace`, `ledger` and `queue`
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Keep the console open after the morning, until Ctrl-C
    #[arg(long)]
    pub stay: bool,
}

pub(super) fn run(args: &DemoArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::CannotStart)?;
    let folder = Folder::make(args)?;
    let options = Options {
        seed: args.seed,
        specimens: usize::try_from(args.specimens).unwrap_or(usize::MAX),
        speed: args.speed,
        length: args.length,
        settle: demo::SETTLE,
        folder: folder.path(),
        console: Some(args.listen),
    };
    let verdict = runtime.block_on(watched(&options, args, out))?;
    Ok(Verdict::found_if(verdict == demo::Verdict::Found))
}

/// The morning with its console, and what is told of it.
async fn watched(
    options: &Options,
    args: &DemoArgs,
    out: &mut Out,
) -> Result<demo::Verdict, Failure> {
    let mut demo = Demo::open(options).await?;
    if let Some((url, login)) = demo.console() {
        let (name, password) = (login.name, &login.password);
        out.line(format_args!(
            "Console: {url}/  log in as {name} with {password}"
        ))?;
        out.flush()?;
    }
    let (report, was_stopped) = play(&mut demo, out).await?;
    out.line(&report)?;
    if let Some(kept) = &args.keep {
        let lab = kept.join("lab.toml");
        out.line(format_args!(
            "Kept: labwire ledger -c {} (trace and queue alike)",
            lab.display()
        ))?;
    }
    if args.stay && !was_stopped {
        out.line("The console stays open until Ctrl-C.")?;
        out.flush()?;
        // Where Ctrl-C cannot be heard, nobody could end it.
        drop(tokio::signal::ctrl_c().await);
    }
    demo.close().await;
    Ok(report.verdict())
}

/// The morning, and whether somebody ended it early.
async fn play(demo: &mut Demo, out: &mut Out) -> Result<(demo::Report, bool), Failure> {
    let stop = CancellationToken::new();
    let ended_early = tokio::spawn({
        let stop = stop.clone();
        async move {
            // Where Ctrl-C cannot be heard, the morning ends by itself.
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.cancel();
            }
        }
    });
    let mut screen = Screen::new(out);
    let report = demo.play(stop, &mut |live| screen.show(live)).await;
    let was_stopped = ended_early.is_finished();
    ended_early.abort();
    screen.end()?;
    Ok((report?, was_stopped))
}

/// One line that is written over on a terminal, a line a second elsewhere.
struct Screen<'a> {
    out: &'a mut Out,
    line: Option<ProgressBar>,
    failed: Option<Failure>,
}

impl<'a> Screen<'a> {
    fn new(out: &'a mut Out) -> Self {
        let line = out.is_terminal().then(|| {
            let line = ProgressBar::new_spinner();
            match ProgressStyle::with_template("{wide_msg}") {
                Ok(style) => line.with_style(style),
                Err(_) => line,
            }
        });
        Self {
            out,
            line,
            failed: None,
        }
    }

    /// A screen that takes no more text ends no morning; it is told of at the end.
    fn show(&mut self, live: &Live) {
        if let Some(line) = &self.line {
            line.set_message(live.to_string());
            line.tick();
        } else if self.failed.is_none() {
            let written = self.out.line(live).and_then(|()| self.out.flush());
            self.failed = written.err();
        }
    }

    fn end(self) -> Result<(), Failure> {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
        self.failed.map_or(Ok(()), Err)
    }
}

/// Where the site of the demo lies.
enum Folder {
    Kept(PathBuf),
    Passing(tempfile::TempDir),
}

impl Folder {
    fn make(args: &DemoArgs) -> Result<Self, Failure> {
        let failed = |path: PathBuf| move |source| DemoError::Folder { path, source };
        let Some(kept) = &args.keep else {
            let passing = tempfile::Builder::new().prefix("labwire-demo-").tempdir();
            return Ok(Self::Passing(
                passing.map_err(failed(std::env::temp_dir()))?,
            ));
        };
        fs::create_dir_all(kept).map_err(failed(kept.clone()))?;
        let mut inside = fs::read_dir(kept).map_err(failed(kept.clone()))?;
        if inside.next().is_some() {
            return Err(Failure::Usage(format!(
                "{} is not empty: name a new folder for the demo",
                kept.display()
            )));
        }
        Ok(Self::Kept(kept.clone()))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::Kept(path) => path.clone(),
            Self::Passing(folder) => folder.path().to_path_buf(),
        }
    }
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "write a number, such as 10")?;
    if (0.1..=1000.0).contains(&speed) {
        Ok(speed)
    } else {
        Err("between 0.1 and 1000".to_owned())
    }
}

pub(super) fn length(text: &str) -> Result<Duration, String> {
    let wrong = || "write a time, such as 30s or 5m".to_owned();
    let (number, seconds) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    match number.checked_mul(seconds) {
        Some(length @ 1..) => Ok(Duration::from_secs(length)),
        _ => Err(wrong()),
    }
}
