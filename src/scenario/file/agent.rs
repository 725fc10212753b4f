//! What befalls an agent at a web phone, as steps.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Period;

/// `network_change`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "network_change")]
pub struct NetworkChangeFile {
    /// The WebSocket is lost with the old network: another one is opened and registered over before the re-INVITE. Default:
    /// false, SIP stays where it is.
    pub reconnect: bool,
    /// Audio must come again within this time, default 30s.
    pub within: Option<Period>,
}

/// `reload`.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "reload")]
pub struct ReloadFile {
    /// How often the call is placed again while it is refused, counted from the reload: at once, and then after each such
    /// time. Default: 5s.
    pub retry: Option<Period>,
    /// The call must be answered within this time of the reload (without a `dial` before it: the agent must be registered),
    /// default 2m.
    pub within: Option<Period>,
}

/// `frozen`, `sleep` or `offline`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "away")]
pub struct AwayFile {
    /// How long.
    #[serde(rename = "for")]
    pub lasts: Period,
    /// After it the agent must be registered again, and audio must come again where the call is still up, within this
    /// time, default 2m.
    pub within: Option<Period>,
}

/// `throttled`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "throttled")]
pub struct ThrottledFile {
    /// How long.
    #[serde(rename = "for")]
    pub lasts: Period,
}
