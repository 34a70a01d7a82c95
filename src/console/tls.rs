//! The console's certificate: the site's own, or one that is made here at the first start.

use std::{
    fs, io,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use labwire_drivers::{Certificate, Tls, TlsFiles, TlsSide};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::{
    certificates::TOLD_BEFORE_DAYS,
    config::{Loaded, read::At},
    store::Clock,
};

use super::ConsoleError;

/// How the console proves who it is.
#[derive(Clone, Debug)]
pub(super) struct Secured {
    pub(super) tls: Arc<Tls>,
    /// The site's own certificate, which browsers take without a question. Of one made here they must
    /// not be told never to ask again.
    pub(super) is_given: bool,
}

/// The name of the console among the owners of certificates.
const OWNER: &str = "console";

/// The certificate of a console at `address`; `None` where it is reached from this machine alone and
/// nothing was given.
///
/// # Errors
/// Files that cannot be used, or a certificate that cannot be made.
pub(super) async fn secured(
    loaded: &Arc<Loaded>,
    address: SocketAddr,
    clock: &Arc<dyn Clock>,
) -> Result<Option<Secured>, ConsoleError> {
    let keys = &loaded.lab.console;
    let given = keys.certificate.as_ref().zip(keys.key.as_ref());
    let is_given = given.is_some();
    let files = match given {
        Some((certificate, key)) => {
            let path = |written: &At<String>| Some(loaded.path(written));
            TlsFiles {
                certificate: path(certificate),
                key: path(key),
                ..TlsFiles::default()
            }
        }
        None if address.ip().is_loopback() => return Ok(None),
        None => {
            let (folder, now) = (folder(loaded), clock.utc_micros());
            let made = tokio::task::spawn_blocking(move || own(&folder, address, now)).await;
            made.map_err(|error| io::Error::other(error.to_string()))
                .flatten()
                .map_err(|source| ConsoleError::Certificate { source })?
        }
    };
    let tls = Arc::new(Tls::new(OWNER, files, TlsSide::Server, Arc::clone(clock)));
    if let Err(source) = tls.server() {
        return Err(ConsoleError::Tls { source });
    }
    Ok(Some(Secured { tls, is_given }))
}

/// Beside the store; beside `lab.toml` where the store is a server's.
fn folder(loaded: &Loaded) -> PathBuf {
    let url = &loaded.lab.store.url;
    let file = url.strip_prefix("sqlite:");
    let file = file.map(|path| loaded.path(path.strip_prefix("//").unwrap_or(path)));
    let folder = file.as_deref().and_then(Path::parent);
    folder.unwrap_or(&loaded.base).to_owned()
}

/// The certificate that was made here, or a new one where there is none that lasts.
fn own(folder: &Path, address: SocketAddr, now: i64) -> io::Result<TlsFiles> {
    let certificate = folder.join("labwire-console.pem");
    let key = folder.join("labwire-console.key");
    let lasts = CertificateDer::from_pem_file(&certificate)
        .ok()
        .and_then(|der| Certificate::read(&der))
        .is_some_and(|known| known.not_after_utc_micros > now + days(TOLD_BEFORE_DAYS));
    if !(lasts && key.exists()) {
        make(&certificate, &key, address, now)?;
    }
    Ok(TlsFiles {
        certificate: Some(certificate),
        key: Some(key),
        ..TlsFiles::default()
    })
}

const fn days(days: i64) -> i64 {
    days * 24 * 3600 * 1_000_000
}

/// How long a certificate made here is valid. Each new one is compared by people again.
const VALID_DAYS: i64 = 3 * 365;

fn make(certificate: &Path, key: &Path, address: SocketAddr, now: i64) -> io::Result<()> {
    let failed = |error: rcgen::Error| io::Error::other(error.to_string());
    let names = names(address);
    let mut params = CertificateParams::new(names.clone()).map_err(failed)?;
    let name = names.first().map_or("labwire", String::as_str);
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Labwire, made at its first start");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // A clock of a browser that is some minutes behind must not refuse it.
    params.not_before = from_epoch(now - days(1)).into();
    params.not_after = from_epoch(now + days(VALID_DAYS)).into();
    let pair = KeyPair::generate().map_err(failed)?;
    let signed = params.self_signed(&pair).map_err(failed)?;
    // The key first: a certificate without it would look like one that is there.
    write(key, &pair.serialize_pem(), 0o600)?;
    write(certificate, &signed.pem(), 0o644)
}

/// The crate of certificates takes times of another crate, which knows this one.
fn from_epoch(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Writes a file that nobody sees half-written, readable as `mode` says from the beginning.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let half = path.with_extension("new");
    match fs::remove_file(&half) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = options.open(&half)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&half, path)
}

/// What browsers may call this machine: its name, the address it listens at or has in the network.
fn names(address: SocketAddr) -> Vec<String> {
    let mut names = vec![host_name(), "localhost".to_owned()];
    let listening = address.ip();
    let outward = if listening.is_unspecified() {
        outward(listening)
    } else {
        Some(listening)
    };
    names.extend(outward.map(|address| address.to_string()));
    names.push("127.0.0.1".to_owned());
    let mut seen = Vec::new();
    for name in names {
        if !name.is_empty() && !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

/// The name of this machine, where it is one that a certificate may hold.
pub(super) fn host_name() -> String {
    let text = ["/proc/sys/kernel/hostname", "/etc/hostname"]
        .into_iter()
        .find_map(|path| fs::read_to_string(path).ok())
        .unwrap_or_default();
    let name = text.trim();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if name.bytes().all(is_name) {
        name.to_owned()
    } else {
        String::new()
    }
}

/// The address from which this machine reaches others. No packet is sent for it.
fn outward(family: IpAddr) -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849), which every default route leads to.
    let (from, to) = match family {
        IpAddr::V4(_) => ("0.0.0.0:0", "192.0.2.1:9"),
        IpAddr::V6(_) => ("[::]:0", "[2001:db8::1]:9"),
    };
    let socket = UdpSocket::bind(from).ok()?;
    socket.connect(to).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified()).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_and_again_before_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let address: SocketAddr = "10.1.2.3:8443".parse().unwrap();
        let shown = |now: i64| {
            let files = own(folder.path(), address, now).unwrap();
            let der = CertificateDer::from_pem_file(files.certificate.unwrap()).unwrap();
            Certificate::read(&der).unwrap()
        };
        let now = 1_800_000_000_000_000;
        let first = shown(now);
        assert_eq!(first.not_after_utc_micros, now + days(VALID_DAYS));
        assert_eq!(first.not_before_utc_micros, now - days(1));
        assert_eq!(shown(now + days(VALID_DAYS - 31)), first);
        let second = shown(now + days(VALID_DAYS - 29));
        assert_ne!(second.fingerprint, first.fingerprint);
        let key = folder.path().join("labwire-console.key");
        assert!(labwire_drivers::tls::is_private(&key));
        fs::remove_file(&key).unwrap();
        assert_ne!(
            shown(now + days(VALID_DAYS)).fingerprint,
            second.fingerprint
        );
    }

    #[test]
    fn names_are_the_machines_and_the_address_it_listens_at() {
        let names = |address: &str| names(address.parse().unwrap());
        let of_address = names("10.1.2.3:8443");
        for name in ["localhost", "127.0.0.1", "10.1.2.3"] {
            assert!(
                of_address.iter().any(|known| known == name),
                "{of_address:?}"
            );
        }
        assert!(names("0.0.0.0:0").iter().all(|name| name != "0.0.0.0"));
    }
}
