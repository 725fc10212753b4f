//! `alerts:` of a watch: when something is an incident, and who is told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{Digits, OneOrMany};
use crate::units::Period;

/// When something is an incident, and who is told.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "alerts")]
pub struct AlertsFile {
    /// Results of so long are judged together, 10s to 24h. Default: 5m.
    pub window: Option<Period>,
    /// From when on a fault is widespread.
    pub widespread: WidespreadFile,
    /// At most one message about the same thing in this time, 1s to 168h. Default: 60m.
    pub throttle: Option<Period>,
    /// Calls that are placed in a minute beside the checks, at most, where a failure and its repetition leave it open whether
    /// an agent fails: 0 to 600, and within every budget. 0 places none. Default: 20.
    #[schemars(range(max = 600))]
    pub reproduce_per_minute: Option<u32>,
    /// Something else is told again and again that this watch is alive, and tells of its silence. Default: nothing is.
    pub heartbeat: Option<HeartbeatFile>,
    /// Links in every message: a name and an address, in which `{{ id }}`, `{{ scope }}`, `{{ value }}`, `{{ unit }}`,
    /// `{{ call_id }}` and `{{ watch }}` stand for those of the incident.
    pub links: BTreeMap<String, String>,
    /// Who is told.
    pub notify: Vec<NotifyFile>,
}

/// From when on a fault is widespread: when both hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "widespread")]
pub struct WidespreadFile {
    /// So many different agents fail, 2 or more. Default: 2.
    #[schemars(range(min = 2))]
    pub agents: Option<u32>,
    /// Such a share of the agents tested fails, as `30%`. Default: 30%.
    #[schemars(regex(pattern = "^[0-9]{1,3}(\\.[0-9]+)?\\s*%$"))]
    pub share: Option<String>,
}

/// `heartbeat`: JSON is posted as long as the watch makes its checks.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "heartbeat")]
pub struct HeartbeatFile {
    /// How often, 1s to 24h.
    pub every: Period,
    /// The address of what tells when nothing comes, `${NAME}` where it is a secret.
    pub url: Digits,
}

/// Who is told, and how.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(title = "notify")]
pub enum NotifyFile {
    /// JSON is posted to an address.
    Webhook(WebhookFile),
    /// Alertmanager, by its API v2.
    Alertmanager(AlertmanagerFile),
    /// A webhook of Slack.
    Slack(ChatFile),
    /// A webhook of Microsoft Teams.
    Teams(ChatFile),
    /// A message by SMTP.
    Email(EmailFile),
    /// PagerDuty, by its Events API v2.
    Pagerduty(PagerdutyFile),
    /// A command is run, with the message as JSON on its standard input.
    Command(CommandFile),
}

impl NotifyFile {
    /// The word in the file, and the name that stands there.
    pub fn named(&self) -> (&'static str, Option<&str>) {
        let (word, name) = match self {
            Self::Webhook(file) => ("webhook", &file.name),
            Self::Alertmanager(file) => ("alertmanager", &file.name),
            Self::Slack(file) => ("slack", &file.name),
            Self::Teams(file) => ("teams", &file.name),
            Self::Email(file) => ("email", &file.name),
            Self::Pagerduty(file) => ("pagerduty", &file.name),
            Self::Command(file) => ("command", &file.name),
        };
        (word, name.as_deref())
    }
}

/// What of all is told; all fields given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "only")]
pub struct OnlyFile {
    /// Incidents of these organisation units, and those that hit several units or agents without one. Default: all.
    pub units: Option<OneOrMany<String>>,
    /// Incidents of this severity or a worse one. Default: all.
    pub severity: Option<SeverityWord>,
}

/// How bad an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "severity")]
pub enum SeverityWord {
    /// For the record: minor ones (calls are slow, or our own machine is at fault).
    Info,
    /// To be looked at today: degraded ones (calls sound bad, some numbers cannot be reached).
    Warning,
    /// To be looked at now: major and critical ones (calls are refused or not heard, or there is no way at all).
    Critical,
}

/// `webhook`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "webhook")]
pub struct WebhookFile {
    /// The address, `${NAME}` where it is a secret.
    pub url: Digits,
    /// The body is signed with this (HMAC-SHA256): `${NAME}` or `${file:PATH}`. Default: it is not.
    pub secret: Option<Digits>,
    /// Further headers; values may be `${NAME}`.
    #[serde(default)]
    pub headers: BTreeMap<String, Digits>,
    /// File with a template of the body, which is JSON: `{{ title }}` puts a value with its quotes (minijinja). Default: the
    /// message as JSON.
    pub template: Option<String>,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
    /// What this one is called in messages of the watch, on its page and in its figures: letters, digits, `.`, `_` and `-`.
    /// Default: its kind, with a number from the second of a kind on.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub name: Option<String>,
}

/// `alertmanager`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "alertmanager")]
pub struct AlertmanagerFile {
    /// As `http://127.0.0.1:9093`. Every incident is an alert as long as it is open; what is told how often is up to the
    /// routes there.
    pub url: Digits,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
    /// What this one is called in messages of the watch, on its page and in its figures: letters, digits, `.`, `_` and `-`.
    /// Default: its kind, with a number from the second of a kind on.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub name: Option<String>,
}

/// `slack` and `teams`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "chat")]
pub struct ChatFile {
    /// The address of the webhook, which is a secret: `${NAME}` or `${file:PATH}`.
    pub url: Digits,
    /// File with a template of the body. Default: the one that comes with the program.
    pub template: Option<String>,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
    /// What this one is called in messages of the watch, on its page and in its figures: letters, digits, `.`, `_` and `-`.
    /// Default: its kind, with a number from the second of a kind on.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub name: Option<String>,
}

/// `email`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "email")]
pub struct EmailFile {
    /// The server, as `smtps://mail.example`, `smtp://mail.example?tls=required` (STARTTLS) or `smtp://127.0.0.1:25`.
    pub server: Digits,
    /// Sender.
    pub from: String,
    /// Who gets it.
    pub to: OneOrMany<String>,
    /// User name at the server.
    pub username: Option<String>,
    /// Its password, `${NAME}` or `${file:PATH}`.
    pub password: Option<Digits>,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
    /// What this one is called in messages of the watch, on its page and in its figures: letters, digits, `.`, `_` and `-`.
    /// Default: its kind, with a number from the second of a kind on.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub name: Option<String>,
}

/// `pagerduty`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "pagerduty")]
pub struct PagerdutyFile {
    /// Integration key, `${NAME}` or `${file:PATH}`.
    pub routing_key: Digits,
    /// Address of the API. Default: `https://events.pagerduty.com/v2/enqueue`.
    pub url: Option<Digits>,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
    /// What this one is called in messages of the watch, on its page and in its figures: letters, digits, `.`, `_` and `-`.
    /// Default: its kind, with a number from the second of a kind on.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub name: Option<String>,
}

/// `command`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "command")]
pub struct CommandFile {
    /// Program and arguments; no shell reads them. Of our environment it gets PATH, HOME, LANG and TZ. Exit code 0 says that
    /// the message was taken, any other that it is to come again.
    pub run: Vec<String>,
    /// How long it may take before it is ended, 1s to 5m. Default: 30s.
    pub timeout: Option<Period>,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
    /// What this one is called in messages of the watch, on its page and in its figures: letters, digits, `.`, `_` and `-`.
    /// Default: its kind, with a number from the second of a kind on.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub name: Option<String>,
}
