//! Authorities and certificates, made for one test.

use std::{fs, path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tempfile::TempDir;

/// An authority, and a folder for what it issues.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// What an authority issued.
pub(super) struct Issued {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("what was made here fits");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Laboratory test authority");
        let issuer =
            CertifiedIssuer::self_signed(params, KeyPair::generate().expect("random bytes"))
                .expect("random bytes");
        let folder = TempDir::new().expect("a folder for the test");
        fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("the folder is writable");
        Self { issuer, folder }
    }

    /// Its own certificate.
    pub(super) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues one for `name` that ends with the year before `until`.
    pub(super) fn issue_until(&self, file: &str, name: &str, until: i32) -> Issued {
        let mut params =
            CertificateParams::new(vec![name.to_owned()]).expect("what was made here fits");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("random bytes");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("what was made here fits");
        let issued = Issued {
            certificate: self.folder.path().join(format!("{file}.pem")),
            key: self.folder.path().join(format!("{file}.key")),
        };
        fs::write(&issued.certificate, certificate.pem()).expect("the folder is writable");
        fs::write(&issued.key, key.serialize_pem()).expect("the folder is writable");
        issued
    }

    /// Issues one for `name` that is valid now.
    pub(super) fn issue(&self, file: &str, name: &str) -> Issued {
        self.issue_until(file, name, 2100)
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(self.file()).expect("it was written here"))
            .expect("what was made here fits");
        roots
    }

    /// A device that dials, trusts this authority, and shows `own`.
    pub(super) fn client(&self, own: Option<&Issued>) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("what was made here fits")
            .with_root_certificates(self.roots());
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder
                .with_client_auth_cert(own.chain(), own.key())
                .expect("what was made here fits"),
        })
    }

    /// A device that listens with `own`, and asks for a certificate by this authority if told so.
    pub(super) fn server(&self, own: &Issued, asks: bool) -> Arc<ServerConfig> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("what was made here fits");
        let builder = if asks {
            let roots = Arc::new(self.roots());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
            builder.with_client_cert_verifier(verifier.build().expect("what was made here fits"))
        } else {
            builder.with_no_client_auth()
        };
        Arc::new(
            builder
                .with_single_cert(own.chain(), own.key())
                .expect("what was made here fits"),
        )
    }
}

impl Issued {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_file(&self.certificate).expect("it was written here")]
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(&self.key).expect("it was written here")
    }

    /// Puts another in its place.
    pub(super) fn replace_by(&self, other: &Self) {
        fs::copy(&other.certificate, &self.certificate).expect("the folder is writable");
        fs::copy(&other.key, &self.key).expect("the folder is writable");
    }
}
