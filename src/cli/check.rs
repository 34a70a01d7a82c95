//! `labwire check`: is everything right that the site wrote, and can every port be opened?

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use clap::Args;
use labwire_drivers::{
    Framing, LineConfig, PortError, SystemClock, Tls, check_line, endpoint::parse,
};

use super::{Verdict, certificates, failure::Failure, out::Out, site, site::Files};
use crate::{
    config::{
        Guard, Instrument, Loaded, check_profile_tests,
        choice::{HostKind, ImagesTaken},
        problem::{Problem, render},
        read::{At, File},
    },
    profile::{ImagePlace, ImageRule, Profile, run_examples},
    store,
};

/// Check the site's files, its profiles and their examples, and its ports
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  labwire check                       lab.toml of this folder
  labwire check -c /etc/labwire/lab.toml
  labwire check --no-ports            at a desk, away from the devices

Every mistake of every file is told at once. Exit code 0 when nothing has to be mended (there may be
warnings), 1 with the list, 2 when lab.toml cannot be read. No message is sent to any device.")]
pub(crate) struct CheckArgs {
    /// The site's file
    #[arg(
        short = 'c',
        long = "config",
        value_name = "FILE",
        default_value = "lab.toml"
    )]
    config: PathBuf,
    /// Do not try to open ports
    #[arg(long)]
    no_ports: bool,
}

pub(crate) fn run(args: &CheckArgs, out: &mut Out) -> Result<Verdict, Failure> {
    let mut files = Files::read(&args.config);
    let Some(loaded) = files.loaded.take() else {
        return Err(site::unreadable(&files.problems));
    };
    check_profiles(&loaded, &mut files);
    files.problems.extend(certificates::check(&loaded));
    if !args.no_ports {
        check_ports(&loaded, &mut files)?;
    }
    if !files.problems.is_empty() {
        out.text(render(&files.problems, out.colour()))?;
    }
    if files.problems.has_errors() {
        return Ok(Verdict::Found);
    }
    out.line(summary(args, &loaded, &files))?;
    Ok(Verdict::Clean)
}

fn summary(args: &CheckArgs, loaded: &Loaded, files: &Files) -> String {
    let count = |number: usize, word: &str| match number {
        1 => format!("1 {word}"),
        _ => format!("{number} {word}s"),
    };
    let of_profiles = files.library.iter().map(|profile| profile.examples.len());
    let mappings = files
        .tracks
        .iter()
        .filter_map(|track| track.mapping.as_ref());
    let examples = of_profiles.chain(mappings.map(|mapping| mapping.examples.len()));
    let mut parts = vec![
        count(loaded.lab.hosts.len(), "host"),
        count(loaded.lab.instruments.len(), "instrument"),
        count(loaded.catalogue.tests().count(), "test"),
        count(files.library.names().len(), "profile"),
        count(examples.sum(), "example"),
    ];
    if !files.tracks.is_empty() {
        parts.insert(2, count(files.tracks.len(), "automation line"));
    }
    let ports = if args.no_ports {
        "; ports were not tried"
    } else {
        ""
    };
    format!(
        "{}: right ({}){ports}",
        args.config.display(),
        parts.join(", ")
    )
}

/// Runs the examples of every profile, and proves what only a profile and the site's files together
/// can tell.
pub(super) fn check_profiles(loaded: &Loaded, files: &mut Files) {
    let lab = &loaded.lab;
    let library = &files.library;
    for profile in library.iter() {
        files.problems.extend(run_examples(profile));
    }
    let tests_of = |instrument: &Instrument| {
        let profile = library.get(&instrument.profile);
        let rules = profile.iter().flat_map(|profile| &profile.tests);
        rules.map(|rule| rule.test.clone()).collect()
    };
    files
        .problems
        .extend(check_profile_tests(loaded, &tests_of));
    let file = File::new(&lab.source);
    let mut told = BTreeSet::new();
    for instrument in &lab.instruments {
        let Some(line) = site::line_profile(loaded, instrument, library) else {
            continue;
        };
        for port in [Some(&instrument.port), instrument.orders_port.as_ref()] {
            port.into_iter()
                .for_each(|port| check_framing(line.profile(), port, &file));
        }
        check_images(loaded, instrument, line.profile(), &file);
        check_sender(line.profile(), instrument, &file);
        for (code, test) in &instrument.tests {
            if line.lacks_unit(code, &loaded.catalogue) {
                file.warning(
                    "CONF-0221",
                    test.span.clone(),
                    format!("`{}` sends no unit with `{}`", *instrument.id, **code),
                    "its results will be held (unit-missing)",
                    "say the unit that the device measures in: units = { \"016\" = \"U/L\" }",
                );
            }
        }
        let units = line.check_units(&loaded.catalogue);
        let codes = line.check_codes(&loaded.catalogue);
        for problem in units.iter().chain(codes.iter()) {
            // Two lines with one profile have one problem.
            if told.insert(problem.message.clone()) {
                files.problems.push(problem.clone());
            }
        }
    }
    files.problems.extend(file.into_problems());
}

/// The folder of a device's pictures is there, and its profile says which results name files in it.
fn check_images(loaded: &Loaded, instrument: &Instrument, profile: &Profile, file: &File) {
    let Some(written) = &instrument.images else {
        if *instrument.images_taken == ImagesTaken::Delete {
            file.error(
                "CONF-0241",
                instrument.images_taken.span.clone(),
                format!("`{}` has no folder to delete pictures from", *instrument.id),
                "without `images`",
                "write images = \"FOLDER\", or remove this",
            );
        }
        return;
    };
    let folder = loaded.path(written);
    match std::fs::metadata(&folder) {
        Ok(about) if about.is_dir() => {}
        found => {
            let why =
                found.map_or_else(|error| error.to_string(), |_| "it is no folder".to_owned());
            file.error(
                "CONF-0242",
                written.span.clone(),
                format!("the picture folder {} cannot be read: {why}", folder.display()),
                "this folder",
                "make it, or mount the share of the analyzer there; the path is relative to lab.toml",
            );
        }
    }
    let is_file = |rule: &ImageRule| matches!(rule.place, ImagePlace::File(_));
    if !profile.images.iter().any(is_file) {
        file.warning(
            "CONF-0243",
            written.span.clone(),
            format!("no result of the profile {} names a file", profile.name),
            "its files are kept and shown with no result",
            "remove `images`, or say in an `[[image]]` of the profile which result names a file",
        );
    }
}

/// A name that the protocol never carries would hold every result for ever.
fn check_sender(profile: &Profile, instrument: &Instrument, file: &File) {
    let Some(first) = instrument.sender.first() else {
        return;
    };
    let protocol = profile.device.protocol;
    if !protocol.names_devices() {
        file.error(
            "CONF-0228",
            first.span.clone(),
            format!(
                "no message of {} says which device it is from",
                protocol.name()
            ),
            "never sent",
            "take `sender` out, and let the port prove who is there: allow, client_ca",
        );
    }
}

fn check_framing(profile: &Profile, port: &At<String>, file: &File) {
    let Ok((framing, _)) = parse(port) else {
        return;
    };
    let protocol = profile.device.protocol;
    let instead = match (protocol.is_mllp(), framing) {
        (true, Framing::Stream) => "mllp-listen:// or mllp://",
        (false, Framing::Mllp) => "tcp-listen://, tcp:// or serial://",
        (true, Framing::Mllp) | (false, Framing::Stream) => return,
    };
    file.error(
        "CONF-0219",
        port.span.clone(),
        format!(
            "the profile {} speaks {}, the port does not",
            profile.name,
            protocol.name()
        ),
        "another kind of port",
        format!("write {instead}, or another profile"),
    );
}

/// A port of `lab.toml` that is to be tried.
struct Tried<'a> {
    whose: String,
    written: &'a At<String>,
    config: LineConfig,
}

fn check_ports(loaded: &Loaded, files: &mut Files) -> Result<(), Failure> {
    let ports = ports(loaded);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::CannotStart)?;
    let tries = ports.iter().map(|port| check_line(&port.config));
    // A device that does not answer costs its whole timeout, so all are tried at the same time.
    let outcomes = runtime.block_on(async { futures_util::future::join_all(tries).await });
    let is_running = store::is_in_use(&site::store_url(loaded)).unwrap_or(false);
    for (port, outcome) in ports.iter().zip(outcomes) {
        if let Err(error) = outcome {
            files
                .problems
                .push(port.problem(loaded, &error, is_running));
        }
    }
    Ok(())
}

fn ports(loaded: &Loaded) -> Vec<Tried<'_>> {
    let lab = &loaded.lab;
    let of_hosts = lab
        .hosts
        .iter()
        .filter(|host| host.kind == HostKind::Mllp)
        .flat_map(|host| {
            let ports = [&host.orders, &host.results].into_iter().flatten();
            ports.map(|port| (format!("host {}", *host.id), port, &host.guard))
        });
    let of_instruments = lab
        .instruments
        .iter()
        .map(|one| (format!("instrument {}", *one.id), &one.port, &one.guard));
    let of_tracks = lab
        .tracks
        .iter()
        .map(|one| (format!("line {}", *one.id), &one.port, &one.guard));
    of_hosts
        .chain(of_instruments)
        .chain(of_tracks)
        .filter_map(|(whose, written, guard)| {
            let config = config(written, guard, loaded)?;
            Some(Tried {
                whose,
                written,
                config,
            })
        })
        .collect()
}

/// How a port is opened; `None` where its string or its files are wrong, which was told already.
fn config(written: &str, guard: &Guard, loaded: &Loaded) -> Option<LineConfig> {
    let (_, endpoint) = parse(written).ok()?;
    let side = endpoint.tls_side();
    let mut config = LineConfig::new("check", endpoint);
    if let Some(side) = side {
        let clock = Arc::new(SystemClock::default());
        let tls = Tls::new("check", guard.files(loaded), side, clock);
        if tls.status().problem.is_some() {
            return None;
        }
        config.tls = Some(Arc::new(tls));
    }
    Some(config)
}

impl Tried<'_> {
    /// A peer that is not there now may be there when it matters; a port of this machine that
    /// cannot be had will be missing, unless it is the running bridge that has it.
    fn problem(&self, loaded: &Loaded, error: &PortError, is_running: bool) -> Problem {
        let is_own = is_running && matches!(error, PortError::InUse { .. });
        let is_dialled = self.config.endpoint.dials();
        let cause = std::error::Error::source(error)
            .map_or_else(String::new, |cause| format!(" ({cause})"));
        let help = if is_own {
            "a bridge runs on this store and probably has the port; then all is well".to_owned()
        } else if is_dialled {
            "this is tried again for as long as the bridge runs".to_owned()
        } else {
            String::new()
        };
        Problem {
            code: error.code(),
            message: format!("{}: {error}{cause}", self.whose),
            label: "tried now".to_owned(),
            help,
            source: Some(Arc::clone(&loaded.lab.source)),
            span: Some(self.written.span.clone()),
            is_warning: is_own || is_dialled,
        }
    }
}
