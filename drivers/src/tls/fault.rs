//! Why a TLS handshake failed, in words for the technician: which side, and what to do.

use std::{fmt, io};

use rustls::{AlertDescription, CertificateError, Error};

/// Why a TLS handshake, or a connection over TLS, failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    /// The peer speaks without TLS.
    NotTls,
    /// Nothing older than TLS 1.2 is spoken, or the two have no cipher in common.
    TooOld,
    /// The peer showed no certificate, which this port asks for.
    NoCertificate,
    /// The peer's certificate is not by an authority that this port trusts.
    UnknownAuthority,
    /// The peer's certificate is no longer valid.
    Expired,
    /// The peer's certificate is not valid yet.
    NotYetValid,
    /// The peer's certificate is for another name.
    WrongName,
    /// The peer's certificate cannot be used for another reason.
    BadCertificate,
    /// The peer asks for a certificate, and this port has none.
    OursIsMissing,
    /// The peer does not know the authority of our certificate.
    OursIsUnknown,
    /// The peer says that our certificate is no longer valid.
    OursHasExpired,
    /// The peer does not take our certificate for another reason.
    OursIsRefused,
    /// The peer ended the handshake for a reason that speaks of no certificate.
    PeerGaveUp,
    /// The handshake did not end in time.
    Slow,
    /// The peer went away in the middle of it.
    Cut,
    /// This port has no certificate that can be used.
    NotReady,
    /// What came was no TLS any more.
    Garbled,
}

impl TlsFault {
    /// What an error of a handshake means.
    pub(crate) fn of(error: &io::Error) -> Self {
        match super::fault_of(error) {
            Some(fault) => fault,
            None if error.kind() == io::ErrorKind::TimedOut => Self::Slow,
            None => Self::Cut,
        }
    }

    /// What TLS says in the causes of an error, where it says something.
    pub fn in_chain(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let own = error.downcast_ref::<Error>().map(Self::of_tls);
            // What an io error was made of is not its cause, whose own cause alone it tells.
            let within = error
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref);
            let within = || within.and_then(|within| Self::in_chain(within));
            if let Some(fault) = own.or_else(within) {
                return Some(fault);
            }
            cause = error.source();
        }
        None
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library may add errors; all others say that what came was no TLS"
    )]
    pub(super) fn of_tls(error: &Error) -> Self {
        match error {
            Error::InvalidMessage(_) => Self::NotTls,
            Error::PeerIncompatible(_) => Self::TooOld,
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::InvalidCertificate(why) => Self::of_certificate(why),
            Error::AlertReceived(alert) => Self::of_alert(*alert),
            _ => Self::Garbled,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the library may add errors; all others are of the certificate itself"
    )]
    fn of_certificate(why: &CertificateError) -> Self {
        match why {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            // An authority of the same name with another key is another one.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                Self::UnknownAuthority
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::WrongName
            }
            _ => Self::BadCertificate,
        }
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "alerts are numbers of a registry; all others speak of no certificate"
    )]
    fn of_alert(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                Self::OursIsMissing
            }
            AlertDescription::UnknownCA => Self::OursIsUnknown,
            AlertDescription::CertificateExpired => Self::OursHasExpired,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError => Self::OursIsRefused,
            AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity
            | AlertDescription::HandshakeFailure => Self::TooOld,
            _ => Self::PeerGaveUp,
        }
    }

    /// Whether a certificate is not taken, by either side: trying again does not mend it.
    pub const fn is_of_certificate(self) -> bool {
        match self {
            Self::NoCertificate
            | Self::UnknownAuthority
            | Self::Expired
            | Self::NotYetValid
            | Self::WrongName
            | Self::BadCertificate
            | Self::OursIsMissing
            | Self::OursIsUnknown
            | Self::OursHasExpired
            | Self::OursIsRefused => true,
            Self::NotTls
            | Self::TooOld
            | Self::PeerGaveUp
            | Self::Slow
            | Self::Cut
            | Self::NotReady
            | Self::Garbled => false,
        }
    }

    /// The stable code that the manual explains.
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotTls => "DRV-0521",
            Self::TooOld => "DRV-0522",
            Self::NoCertificate => "DRV-0523",
            Self::UnknownAuthority => "DRV-0524",
            Self::Expired => "DRV-0525",
            Self::NotYetValid => "DRV-0526",
            Self::WrongName => "DRV-0527",
            Self::BadCertificate => "DRV-0528",
            Self::OursIsMissing => "DRV-0529",
            Self::OursIsUnknown => "DRV-0530",
            Self::OursHasExpired => "DRV-0531",
            Self::OursIsRefused => "DRV-0532",
            Self::PeerGaveUp => "DRV-0533",
            Self::Slow => "DRV-0534",
            Self::Cut => "DRV-0535",
            Self::NotReady => "DRV-0536",
            Self::Garbled => "DRV-0537",
        }
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTls => {
                "the other side speaks without TLS: switch TLS on there, or give it a port without"
            }
            Self::TooOld => {
                "both sides have no version of TLS or no cipher in common: the other side needs TLS 1.2 or newer"
            }
            Self::NoCertificate => {
                "the other side showed no certificate, and `client_ca` asks for one: install one there"
            }
            Self::UnknownAuthority => {
                "the other side's certificate is by an authority that is not trusted here: name its \
                 authority's file in `ca` (or `client_ca`), or give the other side one of yours"
            }
            Self::Expired => {
                "the other side's certificate is no longer valid: renew it there, and compare both clocks"
            }
            Self::NotYetValid => {
                "the other side's certificate is not valid yet: compare both clocks"
            }
            Self::WrongName => {
                "the other side's certificate is for another name: dial it by a name that stands in the \
                 certificate, or write that name as `server_name`"
            }
            Self::BadCertificate => {
                "the other side's certificate cannot be used: have it issued anew (X.509 version 3, for \
                 this purpose, its name among the alternative names)"
            }
            Self::OursIsMissing => {
                "the other side asks for a certificate of ours: name it in `certificate` and `key`"
            }
            Self::OursIsUnknown => {
                "the other side does not know the authority of our certificate: install our authority there"
            }
            Self::OursHasExpired => {
                "the other side says that our certificate is no longer valid: renew it here, and compare both clocks"
            }
            Self::OursIsRefused => {
                "the other side does not take our certificate: ask there which name or purpose it must have"
            }
            Self::PeerGaveUp => {
                "the other side ended the handshake: its log says why"
            }
            Self::Slow => {
                "the handshake did not end in time: is TLS switched on at the other side, is the network slow?"
            }
            Self::Cut => {
                "the other side closed the connection in the middle of the handshake: its log says why; perhaps it \
                 does not take our certificate, or has no TLS"
            }
            Self::NotReady => {
                "this port has no certificate that can be used: `labwire check` says why"
            }
            Self::Garbled => {
                "what came was no TLS: is there a device in between that changes the bytes?"
            }
        })
    }
}
