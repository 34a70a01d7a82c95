//! `[alerts]`: from when on somebody has to look, and who hears of it.

use super::{
    host::no_secret,
    read::{At, Table},
};

/// The limits beyond which an alert is raised, and where alerts are sent.
#[derive(Clone, Debug)]
pub struct Alerts {
    /// A line is quiet when it says nothing for so many times its longest habitual silence.
    pub quiet_factor: At<u32>,
    /// And for no less than so many minutes.
    pub quiet_least_min: At<u32>,
    /// So many messages wait for one destination.
    pub queue_depth: At<u32>,
    /// The oldest message for a destination waits for so many minutes.
    pub queue_age_min: At<u32>,
    /// So many per cent of what a line says is wrong.
    pub errors_percent: At<u32>,
    /// The disk of the store is so many per cent full.
    pub disk_percent: At<u32>,
    /// A result is due in so many minutes and not there.
    pub late_ahead_min: At<u32>,
    /// The last backup is so many hours old, where `[backup]` names a folder; never less than its own
    /// interval and two hours.
    pub backup_age_h: At<u32>,
    /// Alerts are sent by e-mail.
    pub email: Option<Email>,
    /// Alerts are posted here, as JSON.
    pub webhook: Option<At<String>>,
}

/// Where e-mail goes.
#[derive(Clone, Debug)]
pub struct Email {
    /// `host:port` of a mail server that takes mail without a password.
    pub server: At<String>,
    /// The sender's address.
    pub from: At<String>,
    /// The receivers' addresses.
    pub to: Vec<At<String>>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self::read(None)
    }
}

impl Alerts {
    pub(super) fn read(table: Option<&Table<'_>>) -> Self {
        let whole = |key, default, limits| match table {
            Some(table) => table.whole(key, default, limits),
            None => At::unwritten(default),
        };
        Self {
            quiet_factor: whole("quiet_factor", 2, 1..=20),
            quiet_least_min: whole("quiet_least_min", 15, 1..=1440),
            queue_depth: whole("queue_depth", 200, 1..=1_000_000),
            queue_age_min: whole("queue_age_min", 15, 1..=10_080),
            errors_percent: whole("errors_percent", 10, 1..=100),
            disk_percent: whole("disk_percent", 90, 10..=99),
            late_ahead_min: whole("late_ahead_min", 10, 1..=240),
            backup_age_h: whole("backup_age_h", 26, 1..=1000),
            email: table.and_then(Email::read),
            webhook: table.and_then(webhook),
        }
    }
}

impl Email {
    fn read(table: &Table<'_>) -> Option<Self> {
        let (server, from) = (table.text("email_server"), table.text("email_from"));
        let to = table.texts("email_to").unwrap_or_default();
        if server.is_none() && from.is_none() && to.is_empty() {
            return None;
        }
        if server.is_none() {
            table.missing("email_server", "127.0.0.1:25");
        }
        if from.is_none() {
            table.missing("email_from", "labwire@lab.example");
        }
        if to.is_empty() {
            table.missing("email_to", "night-shift@lab.example");
        }
        for address in from.iter().chain(&to).filter(|one| !is_address(one)) {
            table.file().error(
                "CONF-0244",
                address.span.clone(),
                format!("`{}` is no e-mail address", **address),
                "not name@place",
                "write one such as labwire@lab.example",
            );
        }
        if let Some(server) = server.as_ref().filter(|server| !is_server(server)) {
            table.file().error(
                "CONF-0244",
                server.span.clone(),
                format!("`{}` is no mail server", **server),
                "not host:port",
                "write email_server = \"127.0.0.1:25\"",
            );
        }
        Some(Self {
            server: server?,
            from: from?,
            to,
        })
    }
}

/// `host:port`.
fn is_server(text: &str) -> bool {
    let parts = text.rsplit_once(':');
    parts.is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn is_address(text: &str) -> bool {
    text.parse::<lettre::Address>().is_ok()
}

/// The store's secrets and the patients' stay out of alerts, so that plain HTTP will do for them.
fn webhook(table: &Table<'_>) -> Option<At<String>> {
    let address = table.text("webhook")?;
    let is_http = reqwest::Url::parse(&address)
        .is_ok_and(|url| url.scheme() == "http" && url.host_str().is_some());
    if !is_http {
        table.file().error(
            "CONF-0245",
            address.span.clone(),
            format!("alerts cannot be posted to `{}`", *address),
            "not an http:// address",
            "write webhook = \"http://host:port/path\"; nothing of a patient is in an alert",
        );
    }
    no_secret(table, &address, "webhook");
    Some(address)
}
