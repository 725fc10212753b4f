//! Alerts by SMTP. Messages of one incident are one thread: all refer to the same first message, and a mail that is sent
//! twice has the same Message-ID (RFC 5322 §3.6.4).

use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};

use super::{Alert, AlertError, MAIL_TAKES, Outcome, words};
use crate::sink::{Kept, KeptBecause};
use crate::units::Secret;

/// Who is told by mail.
#[derive(Debug)]
pub struct Mail {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    secrets: Vec<String>,
}

impl Mail {
    pub(super) fn new(
        sink: &str,
        server: &Secret,
        from: &str,
        to: &[String],
        login: Option<&(String, Secret)>,
    ) -> Result<Self, AlertError> {
        let wrong = |what: String| AlertError::Setting { sink: sink.to_owned(), what };
        let mailbox = |text: &str| text.parse::<Mailbox>().map_err(|error| wrong(format!("`{text}`: {error}")));
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(server.reveal());
        let mut builder = builder.map_err(|_| wrong("the address of the mail server cannot be read".to_owned()))?;
        let mut secrets = Vec::new();
        if let Some((user, password)) = login {
            builder = builder.credentials(Credentials::new(user.clone(), password.reveal().to_owned()));
            secrets.push(password.reveal().to_owned());
        }
        if let Some((_, password)) = server.reveal().split_once('@').and_then(|(before, _)| before.rsplit_once(':')) {
            secrets.push(password.to_owned());
        }
        let transport = builder.timeout(Some(MAIL_TAKES)).build();
        let to = to.iter().map(|to| mailbox(to)).collect::<Result<_, _>>()?;
        Ok(Self { transport, from: mailbox(from)?, to, secrets })
    }

    pub(super) async fn deliver(&self, alert: &Alert) -> Outcome {
        let message = match self.message(alert) {
            Ok(message) => message,
            Err(error) => return Outcome::Refused(format!("the mail cannot be written: {error}")),
        };
        match tokio::time::timeout(MAIL_TAKES, self.transport.send(message)).await {
            Ok(Ok(_)) => Outcome::Accepted,
            Ok(Err(error)) => self.outcome(&error),
            Err(_) => Outcome::unavailable("the mail server did not answer in time"),
        }
    }

    fn message(&self, alert: &Alert) -> Result<Message, lettre::error::Error> {
        let thread = message_id(&alert.message.dedup_key);
        let mut builder = Message::builder()
            .from(self.from.clone())
            .subject(&alert.message.title)
            .message_id(Some(message_id(&alert.id)))
            .in_reply_to(thread.clone())
            .references(thread);
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        let text = format!("{}\n\n{}", alert.message.text, alert.sheet_text);
        let json = serde_json::to_string_pretty(&alert.sheet).expect("a sheet is plain data");
        let sheet = Attachment::new("incident-sheet.json".to_owned())
            .body(json, ContentType::parse("application/json").expect("a content type"));
        builder.multipart(MultiPart::mixed().singlepart(SinglePart::plain(text)).singlepart(sheet))
    }

    fn outcome(&self, error: &Error) -> Outcome {
        // What the server said is in the error itself; of what went wrong below, only the last cause is in plain words.
        let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
        let cause = causes.last().filter(|_| error.status().is_none());
        let text = cause.map_or_else(|| error.to_string(), ToString::to_string);
        let reason = words(&text, &self.secrets);
        let kept = |because| Outcome::Kept(Kept { because, reason: reason.clone(), wait: None });
        // RFC 4954 §6: 530 and 535 are about who we are, 534 and 538 about how we say it. Another 5xx is about the mail.
        match error.status().map(u16::from) {
            Some(530 | 534 | 535 | 538) => kept(KeptBecause::Configuration),
            Some(500..=599) => Outcome::Refused(reason),
            _ if error.is_client() || error.is_tls() => kept(KeptBecause::Configuration),
            _ => kept(KeptBecause::Unavailable),
        }
    }
}

/// A Message-ID of the same letters each time.
fn message_id(id: &str) -> String {
    let plain: String = id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' }).collect();
    format!("<{plain}@ringfleet>")
}
