//! Extensions of SIP that a call may use, as they are written: `100rel:` and `session_timer:`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Period;

/// Reliable provisional responses (RFC 3262).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "100rel")]
pub enum ReliableWord {
    /// Not spoken.
    Off,
    /// Offered; when called, provisional responses are reliable where the caller requires it.
    Supported,
    /// Required; when called, every provisional response is reliable, and a caller who cannot is refused with 421.
    Required,
}

/// Session timer (RFC 4028). Calls take the one that the far end wants; what stands here is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "session_timer")]
pub struct SessionTimerFile {
    /// Session-Expires: how long a call lasts unless it is refreshed, 10s–24h. Default: none is asked for. RFC 4028
    /// allows nothing below 90s, so a far end may ask for more (422), which is done.
    pub expires: Option<Period>,
    /// Min-SE: the shortest interval that is accepted, 1s–24h, default 90s; a shorter one is refused with 422.
    pub min_se: Option<Period>,
    /// Who is to refresh, seen from the INVITE. Default: the called party chooses.
    pub refresher: Option<RefresherWord>,
    /// With what we refresh. Default: reinvite.
    pub by: MeansWord,
}

/// Who refreshes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "refresher")]
pub enum RefresherWord {
    /// The caller.
    Uac,
    /// The called party.
    Uas,
}

/// How a session is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "by")]
pub enum MeansWord {
    /// INVITE within the dialog.
    #[default]
    Reinvite,
    /// UPDATE (RFC 3311), where the far end allows it.
    Update,
}
