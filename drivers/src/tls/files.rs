//! The files of a certificate, and what is made of them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, ConfigBuilder, ConfigSide, RootCertStore, ServerConfig, WantsVerifier,
    WantsVersions,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::{CertifiedKey, SingleCertAndKey},
};
use thiserror::Error;

use super::{Certificate, Time, TlsSide};
use crate::clock::Clock;

/// The files of one port's TLS, all PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, followed by those between it and the authority.
    pub certificate: Option<PathBuf>,
    /// Its private key (PKCS #8, PKCS #1 or SEC 1, not encrypted).
    pub key: Option<PathBuf>,
    /// Dialling: the authorities whose servers are trusted; none: those of this machine's system.
    pub ca: Option<PathBuf>,
    /// Listening: whoever connects must show a certificate by one of these authorities.
    pub client_ca: Option<PathBuf>,
    /// Dialling: the name that the server's certificate must have, if not the host that is dialled.
    pub server_name: Option<String>,
}

/// Why files cannot be used for TLS.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A port that listens has no certificate.
    #[error("a port that listens with TLS needs `certificate` and `key`")]
    Unnamed,
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No certificate stands in a file.
    #[error(
        "no certificate stands in {}: it should hold lines such as -----BEGIN CERTIFICATE-----",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No private key stands in a file.
    #[error(
        "no private key stands in {}: it should hold one that is not encrypted, between lines such as \
         -----BEGIN PRIVATE KEY-----",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of a kind that is not known, or the certificate is of another key.
    #[error(
        "the key {} does not fit the certificate {}: are both of the same request?",
        key.display(),
        certificate.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong.
        #[source]
        source: rustls::Error,
    },
    /// The certificates of authorities cannot be used.
    #[error("the authorities in {} cannot be used", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Arc<dyn std::error::Error + Send + Sync>,
    },
    /// The system names no authorities.
    #[error(
        "this machine's system names no authorities: install its ca-certificates, or name a file in `ca`"
    )]
    NoSystemAuthorities,
    /// The new certificate is no longer valid.
    #[error("the new certificate {} is no longer valid", path.display())]
    Expired {
        /// The file.
        path: PathBuf,
    },
    /// Our bug.
    #[error("these settings are of the other side of a handshake")]
    OtherSide,
    /// The library refused the settings.
    #[error("the TLS settings cannot be made")]
    Settings(#[source] rustls::Error),
}

impl TlsError {
    /// The stable code that the manual explains.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unnamed => "DRV-0501",
            Self::Unreadable { .. } => "DRV-0502",
            Self::NoCertificate { .. } => "DRV-0503",
            Self::NoKey { .. } => "DRV-0504",
            Self::Mismatch { .. } => "DRV-0505",
            Self::Authorities { .. } => "DRV-0506",
            Self::NoSystemAuthorities => "DRV-0507",
            Self::Expired { .. } => "DRV-0508",
            Self::OtherSide => "DRV-0509",
            Self::Settings(_) => "DRV-0510",
        }
    }
}

/// Whether nobody but its owner may read a file. Where a system has no such rights, every file is.
pub fn is_private(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 == 0)
    }
    #[cfg(not(unix))]
    path.exists()
}

/// What the files hold, or why they cannot be read.
#[derive(PartialEq, Eq)]
pub(super) struct Read {
    certificate: Option<Content>,
    key: Option<Content>,
    authorities: Option<Content>,
}

type Content = Result<Vec<u8>, io::ErrorKind>;

/// What is made of files.
pub(super) struct Made {
    pub(super) server: Option<Arc<ServerConfig>>,
    pub(super) client: Option<Arc<ClientConfig>>,
    pub(super) certificate: Option<Certificate>,
}

impl Read {
    pub(super) fn of(files: &TlsFiles, side: TlsSide) -> Self {
        let content = |path: &Option<PathBuf>| {
            let path = path.as_ref()?;
            Some(fs::read(path).map_err(|error| error.kind()))
        };
        Self {
            certificate: content(&files.certificate),
            key: content(&files.key),
            authorities: content(authorities(files, side)),
        }
    }

    pub(super) fn make(
        &self,
        files: &TlsFiles,
        side: TlsSide,
        clock: &Arc<dyn Clock>,
    ) -> Result<Made, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let own = self.own(files, &provider)?;
        let certificate = own
            .as_ref()
            .and_then(|own| own.cert.first())
            .and_then(|der| Certificate::read(der));
        let roots = self.roots(authorities(files, side).as_deref())?;
        let mut made = Made {
            server: None,
            client: None,
            certificate,
        };
        match side {
            TlsSide::Server => {
                let own = own.ok_or(TlsError::Unnamed)?;
                made.server = Some(Arc::new(server(own, roots, &provider, clock)?));
            }
            TlsSide::Client => {
                let roots = match roots {
                    Some(roots) => roots,
                    None => Arc::new(of_system()?),
                };
                made.client = Some(Arc::new(client(own, roots, &provider, clock)?));
            }
        }
        Ok(made)
    }

    fn own(
        &self,
        files: &TlsFiles,
        provider: &CryptoProvider,
    ) -> Result<Option<CertifiedKey>, TlsError> {
        let (Some(certificate), Some(key)) = (&files.certificate, &files.key) else {
            return Ok(None);
        };
        let chain = bytes(certificate, self.certificate.as_ref())?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::NoCertificate {
                path: certificate.clone(),
            })?;
        if chain.is_empty() {
            return Err(TlsError::NoCertificate {
                path: certificate.clone(),
            });
        }
        let secret = bytes(key, self.key.as_ref())?;
        let secret = PrivateKeyDer::from_pem_slice(secret)
            .map_err(|_| TlsError::NoKey { path: key.clone() })?;
        CertifiedKey::from_der(chain, secret, provider)
            .map(Some)
            .map_err(|source| TlsError::Mismatch {
                certificate: certificate.clone(),
                key: key.clone(),
                source,
            })
    }

    fn roots(&self, path: Option<&Path>) -> Result<Option<Arc<RootCertStore>>, TlsError> {
        let Some(path) = path else {
            return Ok(None);
        };
        let wrong = |source: Arc<dyn std::error::Error + Send + Sync>| TlsError::Authorities {
            path: path.to_owned(),
            source,
        };
        let text = bytes(path, self.authorities.as_ref())?;
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(text) {
            let der = der.map_err(|error| wrong(Arc::new(error)))?;
            roots.add(der).map_err(|error| wrong(Arc::new(error)))?;
        }
        if roots.is_empty() {
            return Err(TlsError::NoCertificate {
                path: path.to_owned(),
            });
        }
        Ok(Some(Arc::new(roots)))
    }
}

fn bytes<'a>(path: &Path, content: Option<&'a Content>) -> Result<&'a [u8], TlsError> {
    let unreadable = |kind: io::ErrorKind| TlsError::Unreadable {
        path: path.to_owned(),
        source: kind.into(),
    };
    match content {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(kind)) => Err(unreadable(*kind)),
        None => Err(unreadable(io::ErrorKind::NotFound)),
    }
}

const fn authorities(files: &TlsFiles, side: TlsSide) -> &Option<PathBuf> {
    match side {
        TlsSide::Server => &files.client_ca,
        TlsSide::Client => &files.ca,
    }
}

fn of_system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(TlsError::NoSystemAuthorities);
    }
    Ok(roots)
}

fn versions<S: ConfigSide>(
    builder: ConfigBuilder<S, WantsVersions>,
) -> Result<ConfigBuilder<S, WantsVerifier>, TlsError> {
    builder
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Settings)
}

fn server(
    own: CertifiedKey,
    roots: Option<Arc<RootCertStore>>,
    provider: &Arc<CryptoProvider>,
    clock: &Arc<dyn Clock>,
) -> Result<ServerConfig, TlsError> {
    let time = Arc::new(Time(Arc::clone(clock)));
    let builder = versions(ServerConfig::builder_with_details(
        Arc::clone(provider),
        time,
    ))?;
    let verifier: Arc<dyn ClientCertVerifier> = match roots {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(roots) => WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider))
            .build()
            .map_err(|error| TlsError::Settings(rustls::Error::General(error.to_string())))?,
    };
    Ok(builder
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own))))
}

fn client(
    own: Option<CertifiedKey>,
    roots: Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    clock: &Arc<dyn Clock>,
) -> Result<ClientConfig, TlsError> {
    let time = Arc::new(Time(Arc::clone(clock)));
    let builder = versions(ClientConfig::builder_with_details(
        Arc::clone(provider),
        time,
    ))?;
    let builder = builder.with_root_certificates(roots);
    Ok(match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    })
}
