//! When something is an incident, and who is told.

use std::path::PathBuf;
use std::time::Duration;

pub use crate::scenario::file::notify::SeverityWord as Severity;
use crate::units::Secret;

/// When something is an incident, and who is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Alerts {
    /// Results of so long are judged together; 10 s to 24 h, default 5 min.
    pub window: Duration,
    /// Different agents that have to fail before a fault is widespread; 2 or more, default 2.
    pub widespread_agents: u32,
    /// Share of the agents tested that has to fail, 0 to 1, default 0.3.
    pub widespread_share: f64,
    /// At most one message about the same thing in this time; 1 s to 168 h, default 60 min.
    pub throttle: Duration,
    /// Calls a minute that the judge may have placed beside the checks, at most; 0 to 600, default 20.
    pub reproduce_per_minute: u32,
    /// What is told that the watch is alive.
    pub heartbeat: Option<Heartbeat>,
    /// Links in every message: their names, and addresses with `{{ … }}` in them ([`LINK_WORDS`]), which can be read.
    pub links: Vec<(String, String)>,
    /// Who is told.
    pub notify: Vec<Notify>,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(300),
            widespread_agents: 2,
            widespread_share: 0.3,
            throttle: Duration::from_secs(3600),
            reproduce_per_minute: 20,
            heartbeat: None,
            links: Vec::new(),
            notify: Vec::new(),
        }
    }
}

/// What stands between `{{` and `}}` of a link.
pub const LINK_WORDS: [&str; 6] = ["id", "scope", "value", "unit", "call_id", "watch"];

/// What is told that the watch is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// How often.
    pub every: Duration,
    /// Where to.
    pub url: Secret,
}

/// A template of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Its file, for messages.
    pub path: PathBuf,
    /// What the file holds: it knows no name that a message has not, and renders JSON.
    pub text: String,
}

/// One who is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notify {
    /// What he is called where deliveries are told of; no other is called so. Messages that wait are for the one of this name.
    pub name: String,
    /// How.
    pub how: How,
    /// What of all.
    pub only: Only,
}

/// What of all is told; all fields given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Only {
    /// Incidents of these organisation units; empty is all.
    pub units: Vec<String>,
    /// Incidents of this severity or a worse one.
    pub severity: Option<Severity>,
}

/// How somebody is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// JSON is posted.
    Webhook {
        /// Where to.
        url: Secret,
        /// Signs the body (HMAC-SHA256).
        secret: Option<Secret>,
        /// Further headers.
        headers: Vec<(String, Secret)>,
        /// Template of the body.
        template: Option<Template>,
    },
    /// Alertmanager's API v2 at this address.
    Alertmanager(Secret),
    /// A chat's webhook.
    Chat {
        /// Which.
        chat: Chat,
        /// Where to.
        url: Secret,
        /// Template of the body, instead of ours.
        template: Option<Template>,
    },
    /// A message by SMTP.
    Email {
        /// The server's URL.
        server: Secret,
        /// Sender.
        from: String,
        /// Who gets it, at least one.
        to: Vec<String>,
        /// User name and password.
        login: Option<(String, Secret)>,
    },
    /// PagerDuty.
    Pagerduty {
        /// The integration key.
        routing_key: Secret,
        /// Address of the API, where it is not the usual one.
        url: Option<Secret>,
    },
    /// A program is run.
    Command {
        /// It and its arguments, at least one.
        run: Vec<String>,
        /// How long it may take.
        time_out: Duration,
    },
}

/// A chat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chat {
    /// Slack.
    Slack,
    /// Microsoft Teams.
    Teams,
}

impl How {
    /// The word in the file.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Alertmanager(_) => "alertmanager",
            Self::Chat { chat: Chat::Slack, .. } => "slack",
            Self::Chat { chat: Chat::Teams, .. } => "teams",
            Self::Email { .. } => "email",
            Self::Pagerduty { .. } => "pagerduty",
            Self::Command { .. } => "command",
        }
    }
}
