//! The certificates of `lab.toml`: that they can be used, last, and are kept from others.

use std::sync::Arc;

use jiff::Timestamp;
use labwire_drivers::{
    Clock, SystemClock, Tls, TlsFiles, TlsSide, endpoint::parse, tls::is_private,
};

use crate::{
    certificates::Standing,
    config::{
        Guard, Loaded, Problems,
        choice::HostKind,
        read::{At, File},
    },
};

/// Checks every certificate of the site, each where it is written.
pub(super) fn check(loaded: &Loaded) -> Problems {
    let lab = &loaded.lab;
    let file = File::new(&lab.source);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let mut told = Vec::new();
    let mut check = |files: TlsFiles, side: TlsSide, guard: &Guard, port: &At<String>| {
        // A host's two ports have one certificate, and its mistakes are told once.
        let before = told.len();
        told.push((files.clone(), side));
        let is_new = told
            .iter()
            .take(before)
            .all(|(known, _)| known.certificate != files.certificate);
        let checked = Checked {
            file: &file,
            guard,
            port,
        };
        checked.check(files, side, &clock, is_new);
    };
    for host in &lab.hosts {
        for port in [&host.orders, &host.results].into_iter().flatten() {
            let side = match host.kind {
                HostKind::Http => port.starts_with("https://").then_some(TlsSide::Client),
                HostKind::Mllp => side(port),
            };
            if let Some(side) = side {
                check(host.guard.files(loaded), side, &host.guard, port);
            }
        }
    }
    let instruments = lab.instruments.iter();
    let of_instruments = instruments.flat_map(|one| {
        let ports = [Some(&one.port), one.orders_port.as_ref()];
        ports.into_iter().flatten().map(|port| (&one.guard, port))
    });
    let of_tracks = lab.tracks.iter().map(|one| (&one.guard, &one.port));
    for (guard, port) in of_instruments.chain(of_tracks) {
        if let Some(side) = side(port) {
            check(guard.files(loaded), side, guard, port);
        }
    }
    let console = &lab.console;
    let of_console = Guard {
        certificate: console.certificate.clone(),
        key: console.key.clone(),
        ..Guard::default()
    };
    if of_console.certificate.is_some() && of_console.key.is_some() {
        let files = of_console.files(loaded);
        check(files, TlsSide::Server, &of_console, &console.listen);
    }
    file.into_problems()
}

fn side(port: &str) -> Option<TlsSide> {
    let (_, endpoint) = parse(port).ok()?;
    endpoint.tls_side()
}

/// The TLS of one port while it is checked.
struct Checked<'a> {
    file: &'a File,
    guard: &'a Guard,
    port: &'a At<String>,
}

impl Checked<'_> {
    fn check(&self, files: TlsFiles, side: TlsSide, clock: &Arc<dyn Clock>, is_new: bool) {
        if side == TlsSide::Server && files.certificate.is_none() {
            // Told where the file was read.
            return;
        }
        let span = self
            .guard
            .certificate
            .as_ref()
            .map_or(&self.port.span, |at| &at.span);
        let key = files.key.clone();
        let tls = Tls::new("check", files, side, Arc::clone(clock));
        let status = tls.status();
        let now = clock.utc_micros();
        let until = status
            .certificate
            .as_ref()
            .map_or_else(String::new, |certificate| {
                let ends = Timestamp::from_microsecond(certificate.not_after_utc_micros);
                ends.map_or_else(|_| String::new(), |ends| ends.to_string())
            });
        match Standing::of(&status, now) {
            Standing::Good => {}
            Standing::EndsIn(days) if is_new => self.file.warning(
                "CONF-0226",
                span.clone(),
                format!("the certificate ends in {days} days, at {until}"),
                "ends soon",
                "have it renewed; the new file is taken without a restart",
            ),
            Standing::Ended if is_new => self.file.error(
                "CONF-0226",
                span.clone(),
                format!("the certificate has ended at {until}"),
                "nobody takes it any more",
                "have it renewed; the new file is taken without a restart",
            ),
            Standing::EndsIn(_) | Standing::Ended => {}
            Standing::Unusable { code, why } => {
                let cause = status.problem.as_ref().and_then(|problem| {
                    std::error::Error::source(&**problem).map(|cause| format!(" ({cause})"))
                });
                self.file.error(
                    code,
                    span.clone(),
                    format!("{why}{}", cause.unwrap_or_default()),
                    "cannot be used for TLS",
                    "files are PEM, their paths relative to lab.toml",
                );
            }
        }
        let is_open = key
            .as_ref()
            .is_some_and(|key| key.exists() && !is_private(key));
        if let Some(written) = self.guard.key.as_ref().filter(|_| is_open && is_new) {
            self.file.error(
                "CONF-0227",
                written.span.clone(),
                format!("others on this machine may read the key `{}`", **written),
                "whoever has the key can pretend to be this laboratory",
                format!("chmod 600 {}, and let Labwire's user own it", **written),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::config::{self, Seams};

    /// Writes `name.pem` and `name.key`, valid until the beginning of that year.
    fn issue(folder: &Path, name: &str, until: i32) {
        let mut params = CertificateParams::new(vec!["labwire".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        let file = folder.join(format!("{name}.key"));
        fs::write(&file, key.serialize_pem()).unwrap();
        allow(&file, 0o600);
    }

    fn allow(file: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// The codes that `check` tells of a listening port with these keys.
    fn told(folder: &Path, keys: &str) -> Vec<&'static str> {
        let lab = folder.join("lab.toml");
        let text = format!(
            "[[instrument]]\nid = \"xn-1\"\nprofile = \"sysmex/xn\"\n\
             port = \"tls-listen://127.0.0.1:5001\"\n{keys}\n"
        );
        fs::write(&lab, text).unwrap();
        let (loaded, problems) = config::load(&lab, &Seams::default());
        assert!(problems.is_empty(), "{}", config::render(&problems, false));
        let problems = check(&loaded.unwrap());
        problems.iter().map(|problem| problem.code).collect()
    }

    #[test]
    fn a_certificate_fits_its_key_lasts_and_is_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        issue(folder, "good", 2100);
        issue(folder, "late", 2021);
        let keys = |certificate: &str, key: &str| {
            format!("certificate = \"{certificate}.pem\"\nkey = \"{key}.key\"")
        };
        assert_eq!(told(folder, &keys("good", "good")), [""; 0]);
        assert_eq!(told(folder, &keys("good", "late")), ["DRV-0505"]);
        assert_eq!(told(folder, &keys("late", "late")), ["CONF-0226"]);
        assert_eq!(told(folder, &keys("gone", "good")), ["DRV-0502"]);
        let both = format!("{}\nclient_ca = \"good.key\"", keys("good", "good"));
        assert_eq!(told(folder, &both), ["DRV-0503"], "no authority in a key");
        allow(&folder.join("good.key"), 0o640);
        assert_eq!(told(folder, &keys("good", "good")), ["CONF-0227"]);
    }
}
