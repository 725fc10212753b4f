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
    /// A message that all is well comes this often, so that silence is noticed. Default: none.
    pub heartbeat: Option<Period>,
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

/// What of all is told; all fields given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "only")]
pub struct OnlyFile {
    /// Incidents of these organisation units. Default: all.
    pub units: Option<OneOrMany<String>>,
    /// Incidents of this severity or a worse one. Default: all.
    pub severity: Option<SeverityWord>,
}

/// How bad an incident is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "severity")]
pub enum SeverityWord {
    /// For the record.
    Info,
    /// To be looked at today.
    Warning,
    /// To be looked at now.
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
    /// File with a template of the body. Default: the message as JSON.
    pub template: Option<String>,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
}

/// `alertmanager`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "alertmanager")]
pub struct AlertmanagerFile {
    /// As `http://127.0.0.1:9093`.
    pub url: Digits,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
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
}

/// `email`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "email")]
pub struct EmailFile {
    /// The server, as `smtps://mail.example` or `smtp://127.0.0.1:25`.
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
}

/// `pagerduty`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "pagerduty")]
pub struct PagerdutyFile {
    /// Integration key, `${NAME}` or `${file:PATH}`.
    pub routing_key: Digits,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
}

/// `command`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "command")]
pub struct CommandFile {
    /// Program and arguments; no shell reads them.
    pub run: Vec<String>,
    /// What of all is told.
    #[serde(default)]
    pub only: OnlyFile,
}
