//! Who may be at the other end of a port, and how both prove it: TLS and the addresses let in.

use std::path::PathBuf;

use labwire_drivers::{Network, TlsFiles};

use super::{
    Loaded, Seams,
    endpoint::EndpointKind,
    read::{At, Table},
};

/// The keys of a host, an instrument or an automation line that guard its ports.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Our certificate, PEM; relative to `lab.toml`, as all files here.
    pub certificate: Option<At<String>>,
    /// Its private key, PEM.
    pub key: Option<At<String>>,
    /// Dialling: the authorities whose servers are trusted, if not those of the system.
    pub ca: Option<At<String>>,
    /// Listening: whoever connects shows a certificate by one of these authorities.
    pub client_ca: Option<At<String>>,
    /// Dialling: the name that the server's certificate must have, if not the host that is dialled.
    pub server_name: Option<At<String>>,
    /// Listening: the addresses that may connect; none: all.
    pub allow: Vec<At<Network>>,
}

/// What the ports of one table do.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    listens: bool,
    listens_tls: bool,
    dials_tls: bool,
}

impl Uses {
    fn of(ports: &[Option<&At<String>>], seams: &Seams<'_>) -> Self {
        let mut uses = Self::default();
        for port in ports.iter().flatten() {
            if port.starts_with("https://") {
                uses.dials_tls = true;
            } else if let Ok(endpoint) = (seams.endpoint)(port) {
                let listens = endpoint.kind == EndpointKind::Listen;
                uses.listens |= listens;
                uses.listens_tls |= listens && endpoint.is_tls;
                uses.dials_tls |= !listens && endpoint.is_tls;
            }
        }
        uses
    }

    const fn has_tls(self) -> bool {
        self.listens_tls || self.dials_tls
    }
}

impl Guard {
    /// Reads the keys; `ports` are all port strings of the table.
    pub(super) fn read(
        table: &Table<'_>,
        ports: &[Option<&At<String>>],
        seams: &Seams<'_>,
    ) -> Self {
        let guard = Self {
            certificate: table.text("certificate"),
            key: table.text("key"),
            ca: table.text("ca"),
            client_ca: table.text("client_ca"),
            server_name: table.text("server_name"),
            allow: allow(table),
        };
        let uses = Uses::of(ports, seams);
        check_pair(table, guard.certificate.as_ref(), guard.key.as_ref());
        guard.check_uses(table, uses);
        if uses.listens_tls && guard.certificate.is_none() {
            let span = ports
                .iter()
                .flatten()
                .find(|port| port.contains("-listen"))
                .map_or_else(|| table.span(), |port| port.span.clone());
            table.file().error(
                "CONF-0223",
                span,
                "a port that listens with TLS needs a certificate",
                "no certificate to show",
                "add certificate = \"tls/labwire.pem\" and key = \"tls/labwire.key\"",
            );
        }
        guard
    }

    /// A key that guards nothing would let people believe that it does.
    fn check_uses(&self, table: &Table<'_>, uses: Uses) {
        let idle = [
            ("certificate", self.certificate.as_ref(), uses.has_tls()),
            ("key", self.key.as_ref(), uses.has_tls()),
            ("ca", self.ca.as_ref(), uses.dials_tls),
            ("client_ca", self.client_ca.as_ref(), uses.listens_tls),
            ("server_name", self.server_name.as_ref(), uses.dials_tls),
        ];
        for (name, value, has_use) in idle {
            let Some(value) = value.filter(|_| !has_use) else {
                continue;
            };
            let ports = match name {
                "ca" | "server_name" => "tls://, mllps:// or https://",
                "client_ca" => "tls-listen:// or mllps-listen://",
                _ => "tls-listen://, tls://, mllps-listen://, mllps:// or https://",
            };
            table.file().error(
                "CONF-0224",
                value.span.clone(),
                format!("`{name}` guards nothing here"),
                "no port that uses it",
                format!("write the port as {ports}, or take the key out"),
            );
        }
        if let Some(first) = self.allow.first().filter(|_| !uses.listens) {
            table.file().error(
                "CONF-0224",
                first.span.clone(),
                "`allow` guards nothing here",
                "nobody connects to this port",
                "it is for ports that listen, such as tcp-listen://; take it out",
            );
        }
    }

    /// The files, from where the process stands.
    pub fn files(&self, loaded: &Loaded) -> TlsFiles {
        let path = |written: &Option<At<String>>| -> Option<PathBuf> {
            written.as_ref().map(|written| loaded.path(written))
        };
        TlsFiles {
            certificate: path(&self.certificate),
            key: path(&self.key),
            ca: path(&self.ca),
            client_ca: path(&self.client_ca),
            server_name: self.server_name.as_ref().map(|name| name.value.clone()),
        }
    }

    /// The addresses that may connect; none: all.
    pub fn peers_allowed(&self) -> Vec<Network> {
        self.allow.iter().map(|one| one.value).collect()
    }
}

/// A certificate and its key are written together.
pub(super) fn check_pair(
    table: &Table<'_>,
    certificate: Option<&At<String>>,
    key: Option<&At<String>>,
) {
    let (alone, missing) = match (certificate, key) {
        (Some(alone), None) => (alone, "key = \"tls/labwire.key\""),
        (None, Some(alone)) => (alone, "certificate = \"tls/labwire.pem\""),
        (Some(_), Some(_)) | (None, None) => return,
    };
    table.file().error(
        "CONF-0222",
        alone.span.clone(),
        "a certificate and its key are written together",
        "one without the other",
        format!("add {missing}"),
    );
}

fn allow(table: &Table<'_>) -> Vec<At<Network>> {
    let mut networks = Vec::new();
    for text in table.texts("allow").unwrap_or_default() {
        match text.parse() {
            Ok(network) => networks.push(At::new(network, text.span)),
            Err(error) => {
                let error: labwire_drivers::NetworkError = error;
                table.file().error(
                    "CONF-0225",
                    text.span.clone(),
                    error.to_string(),
                    "no address",
                    "write allow = [\"10.0.0.7\", \"10.1.0.0/24\"]",
                );
            }
        }
    }
    networks
}
