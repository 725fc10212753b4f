//! Alerts on their way to whoever `notify` names: what one holds, and one try to deliver it.
//!
//! ```text
//! Alert ─► Sender: Post (webhook, Slack, Teams, PagerDuty) ─► HTTP   2xx: Accepted
//!                  Mail                                    ─► SMTP   400, 413, 422 …: Refused, for good
//!                  Command                                 ─► exec   429, 5xx, time-out: Kept, again later
//!       └─► Firing ─► Alertmanager: all that is open, each minute
//! ```
//!
//! Waiting, trying again, the order and the disk are `watch::notify`'s. Nothing that goes wrong here names a secret.

mod alertmanager;
mod command;
mod mail;
mod post;
mod template;

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use alertmanager::{AGAIN, Alertmanager, Firing};

use super::{Kept, KeptBecause};
use crate::incident::{Change, Message, Severity, Sheet};
use crate::scenario::watch::{How, Only, Severity as Least};
use command::Command;
use mail::Mail;
use post::Post;

/// Most of what somebody said that is repeated, characters.
const WORDS: usize = 300;

/// Whether there is something to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The incident is open.
    Firing,
    /// It is over, or a part of another one.
    Resolved,
}

/// A message that could not be delivered before a newer one of the same incident took its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// What had happened.
    pub change: Change,
    /// When.
    pub at: Timestamp,
}

/// One message to one who is told: this is the JSON that a webhook gets, and what templates are rendered with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Of this message, the same each time that it is sent: who has it already can leave it.
    pub id: String,
    /// Name of the watch.
    pub watch: String,
    /// Its site.
    pub site: Option<String>,
    /// When the incident changed.
    pub at: Timestamp,
    /// Whether there is something to do.
    pub state: State,
    /// What has happened, in words and fields.
    #[serde(flatten)]
    pub message: Message,
    /// What could not be delivered before.
    pub missed: Vec<Missed>,
    /// What support asks for.
    pub sheet: Sheet,
    /// The same, as text to paste.
    pub sheet_text: String,
}

impl Alert {
    /// The alert of a message.
    pub fn new(watch: &str, site: Option<&str>, at: Timestamp, message: Message, sheet: Sheet) -> Self {
        let over = matches!(message.change, Change::Closed | Change::Merged);
        Self {
            id: format!("{}/{}/{}", message.dedup_key, message.change.name(), at.as_millisecond()),
            watch: watch.to_owned(),
            site: site.map(str::to_owned),
            at,
            state: if over { State::Resolved } else { State::Firing },
            message,
            missed: Vec::new(),
            sheet_text: sheet.to_string(),
            sheet,
        }
    }

    /// An older one that nobody got gives way to this one, which says so.
    pub fn take_the_place_of(&mut self, older: &Self) {
        self.missed.clone_from(&older.missed);
        self.missed.push(Missed { change: older.message.change, at: older.at });
        let changes = self.missed.iter().map(|missed| format!("{} {}", missed.change.name(), missed.at));
        let line = format!("Could not be told before: {}", changes.collect::<Vec<_>>().join(", "));
        self.message.text = format!("{}\n{line}", self.message.text);
    }

    /// An alert to try templates with.
    pub fn example(state: State) -> Self {
        let mut incident = crate::incident::sample_incident();
        let change = match state {
            State::Firing => Change::Opened,
            State::Resolved => Change::Closed,
        };
        incident.closed_at = (state == State::Resolved).then_some(incident.updated_at);
        let sheet = Sheet::of_incident(
            &incident,
            None,
            &crate::incident::About::default(),
            Vec::new(),
            crate::incident::Numbers::Shown,
        );
        let at = incident.updated_at;
        let message = Message::new(change, &incident, format!("example/{}", incident.id), Vec::new());
        Self::new("example", Some("desk"), at, message, sheet)
    }
}

/// Whether one who wants `only` these is told of an incident that is open. What hits several units, or agents without
/// one, is told to all: better once too often.
pub fn is_wanted(only: &Only, alert: &Alert) -> bool {
    let incident = &alert.message.incident;
    let unit = incident.unit.as_ref().is_none_or(|unit| only.units.is_empty() || only.units.contains(unit));
    let least = only.severity.map_or(Severity::Minor, |least| match least {
        Least::Info => Severity::Minor,
        Least::Warning => Severity::Degraded,
        Least::Critical => Severity::Major,
    });
    unit && alert.message.severity >= least
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The receiver has it.
    Accepted,
    /// It never will: the message itself is at fault.
    Refused(String),
    /// To be tried again.
    Kept(Kept),
}

impl Outcome {
    fn unavailable(reason: impl Into<String>) -> Self {
        Self::Kept(Kept { because: KeptBecause::Unavailable, reason: reason.into(), wait: None })
    }
}

/// Why somebody cannot be told at all.
#[derive(Debug, thiserror::Error)]
pub enum AlertError {
    /// An address, a key or a header is no such thing. What it holds is a secret.
    #[error("{sink}: {what}")]
    Setting {
        /// Who.
        sink: String,
        /// What is wrong.
        what: String,
    },
    /// A template cannot be read.
    #[error("{sink}: the template {path}: {what}")]
    Template {
        /// Who.
        sink: String,
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
}

/// How alerts are delivered one by one.
#[derive(Debug)]
pub enum Sender {
    /// By HTTP.
    Post(Box<Post>),
    /// By SMTP.
    Mail(Box<Mail>),
    /// By a program.
    Command(Command),
}

impl Sender {
    /// One delivers alerts as `how` says; `None` for Alertmanager, which is told what is open and not what happened.
    ///
    /// # Errors
    /// [`AlertError`]: the file compiles, and cannot be used all the same.
    pub fn new(sink: &str, how: &How) -> Result<Option<Self>, AlertError> {
        Ok(Some(match how {
            How::Alertmanager(_) => return Ok(None),
            How::Webhook { .. } | How::Chat { .. } | How::Pagerduty { .. } => {
                Self::Post(Box::new(Post::new(sink, how)?))
            }
            How::Email { server, from, to, login } => {
                Self::Mail(Box::new(Mail::new(sink, server, from, to, login.as_ref())?))
            }
            How::Command { run, time_out } => Self::Command(Command::new(run.clone(), *time_out)),
        }))
    }

    /// One try.
    pub async fn deliver(&self, alert: &Alert) -> Outcome {
        match self {
            Self::Post(post) => post.deliver(alert).await,
            Self::Mail(mail) => mail.deliver(alert).await,
            Self::Command(command) => command.deliver(alert).await,
        }
    }
}

/// Posts JSON that is only true now, to `url`: a heartbeat.
#[derive(Debug)]
pub struct Beat(Post);

impl Beat {
    /// To this address.
    ///
    /// # Errors
    /// [`AlertError`]: it is no address.
    pub fn new(url: &crate::units::Secret) -> Result<Self, AlertError> {
        Ok(Self(Post::plain("heartbeat", url)?))
    }

    /// One try; it is not made again.
    pub async fn send(&self, body: &serde_json::Value) -> Outcome {
        self.0.send(body.to_string().into_bytes(), None).await
    }
}

/// Some words of somebody else, in one line, without any of the secrets.
fn words(text: &str, secrets: &[String]) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for secret in secrets.iter().filter(|secret| secret.len() > 3) {
        text = text.replace(secret, "***");
    }
    text.chars().take(WORDS).collect()
}

/// Longest time that a mail may take.
const MAIL_TAKES: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests;
