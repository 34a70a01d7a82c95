//! How an alert leaves: by e-mail, by webhook.

use std::time::Duration;

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Mailbox,
        header::{ContentTransferEncoding, ContentType},
    },
};
use reqwest::header::{CONTENT_TYPE, HeaderName};
use serde_json::json;

use crate::{
    config::{Loaded, alerts::Email},
    host::http::client,
    text::{self, Language},
};

use super::{rows::Due, say};

/// How long a mail server or a webhook may take: nobody else waits for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// The same key is the same word, however often it comes.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A way by which alerts leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// SMTP, without a password.
    Email,
    /// HTTP POST of JSON.
    Webhook,
}

impl Channel {
    /// As stored and shown.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Webhook => "webhook",
        }
    }
}

/// Why an alert did not leave. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// An address is none; the check tells of it before.
    #[error("an address of the mail is none")]
    Address(#[from] lettre::address::AddressError),
    /// The mail cannot be written.
    #[error("the mail cannot be written")]
    Mail(#[from] lettre::error::Error),
    /// The mail server did not take it.
    #[error("the mail server did not take it")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The webhook cannot be reached.
    #[error("the webhook cannot be reached")]
    Http(#[from] reqwest::Error),
    /// The webhook answered something else than 2xx.
    #[error("the webhook answered {0}")]
    Status(reqwest::StatusCode),
}

/// The channels of a site.
#[derive(Clone, Debug)]
pub struct Channels {
    email: Option<(Email, AsyncSmtpTransport<Tokio1Executor>)>,
    webhook: Option<(String, reqwest::Client)>,
    lab: String,
    language: Language,
}

impl Channels {
    /// As the site wants them.
    pub fn of(loaded: &Loaded) -> Self {
        let alerts = &loaded.lab.alerts;
        let client = || client(ANSWER_WITHIN, None);
        let webhook = alerts.webhook.as_ref().and_then(|address| match client() {
            Ok(client) => Some((address.value.clone(), client)),
            Err(error) => {
                tracing::error!(%error, "alerts cannot be posted");
                None
            }
        });
        Self {
            email: alerts.email.clone().map(|email| {
                let transport = transport(&email.server);
                (email, transport)
            }),
            webhook,
            lab: loaded.lab.lab.name.clone(),
            language: loaded.lab.lab.language,
        }
    }

    /// Those that there are.
    pub fn all(&self) -> Vec<Channel> {
        let email = self.email.as_ref().map(|_| Channel::Email);
        let webhook = self.webhook.as_ref().map(|_| Channel::Webhook);
        email.into_iter().chain(webhook).collect()
    }

    pub(super) async fn send(&self, channel: Channel, due: &Due) -> Result<(), SendError> {
        match (channel, &self.email, &self.webhook) {
            (Channel::Email, Some((email, transport)), _) => {
                let mail = self.mail(email, due)?;
                transport.send(mail).await?;
                Ok(())
            }
            (Channel::Webhook, _, Some((address, client))) => {
                let sent = client
                    .post(address)
                    .header(CONTENT_TYPE, "application/json")
                    .header(
                        IDEMPOTENCY_KEY,
                        format!("alert-{}-{}", due.alert.id, due.event),
                    )
                    .body(self.document(due))
                    .send()
                    .await?;
                if sent.status().is_success() {
                    Ok(())
                } else {
                    Err(SendError::Status(sent.status()))
                }
            }
            // The site has given the channel up since.
            (Channel::Email | Channel::Webhook, _, _) => Ok(()),
        }
    }

    fn sentence(&self, due: &Due) -> String {
        let alert = &due.alert;
        let levels = (alert.level, alert.edge);
        say(self.language, alert.cause, &alert.subject, levels)
    }

    fn mail(&self, email: &Email, due: &Due) -> Result<Message, SendError> {
        let event = text::text(
            self.language,
            &format!("console.alerts.event.{}", due.event),
            &[],
        );
        let sentence = self.sentence(due);
        let mut mail = Message::builder()
            .from(Mailbox::new(None, email.from.parse()?))
            .subject(format!("[Labwire {}] {event}: {sentence}", self.lab))
            .header(ContentType::TEXT_PLAIN)
            // Its ASCII stays readable to programs.
            .header(ContentTransferEncoding::QuotedPrintable);
        for to in &email.to {
            mail = mail.to(Mailbox::new(None, to.parse()?));
        }
        // The last line is for programs, in the same words whatever the language.
        let body = format!(
            "{event}: {sentence}\r\n\r\nalert {} {} {} {}\r\n",
            due.alert.id,
            due.event,
            due.alert.cause.code(),
            due.alert.subject
        );
        Ok(mail.body(body)?)
    }

    fn document(&self, due: &Due) -> String {
        let alert = &due.alert;
        let at = alert.cleared_at.filter(|_| due.event == "cleared");
        let at = jiff::Timestamp::from_microsecond(at.unwrap_or(alert.raised_at));
        let document = json!({
            "event": due.event,
            "id": alert.id,
            "laboratory": self.lab,
            "cause": alert.cause,
            "subject": alert.subject,
            "level": alert.level,
            "limit": alert.edge,
            "is_urgent": alert.cause.is_urgent(),
            "at": at.map(|at| at.to_string()).unwrap_or_default(),
            "text": self.sentence(due),
        });
        document.to_string()
    }
}

/// Without TLS and without a password: a server of the hospital that takes mail from this machine.
fn transport(server: &str) -> AsyncSmtpTransport<Tokio1Executor> {
    let (host, port) = server.rsplit_once(':').unwrap_or((server, "25"));
    AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host)
        // The check refuses what is no number.
        .port(port.parse().unwrap_or(25))
        .timeout(Some(ANSWER_WITHIN))
        .build()
}
