//! Keys, as they are written: `dtmf` as a step, and `dtmf_heard` of expectations.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::Digits;
use crate::units::Period;

/// `dtmf`: the keys, as `"123#"`, or how they are pressed as well, as `{ keys: "123#", by: inband, for: 80ms }`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "dtmf")]
pub enum DtmfFile {
    /// With the defaults.
    Keys(Digits),
    /// How.
    Told(PressFile),
}

/// How keys are pressed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "dtmf")]
pub struct PressFile {
    /// 0–9, `*`, `#` and A–D, up to 64 of them. `${NAME}` and `${file:PATH}` are secrets, as a PIN: no record has them then.
    pub keys: Digits,
    /// How they are sent. Default: auto.
    #[serde(default)]
    pub by: DtmfWord,
    /// How long each is held, 40ms to 6s, in whole packets of 20 ms. Default: 100ms.
    #[serde(rename = "for")]
    pub duration: Option<Period>,
    /// Time after each, 40ms to 1m, in whole packets. Default: 100ms.
    pub pause: Option<Period>,
    /// Level of each of the two tones, dBm0, -36 to -3. Default: -10.
    #[schemars(range(min = -36, max = -3))]
    pub level: Option<i8>,
}

/// How keys are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "by")]
pub enum DtmfWord {
    /// As events where both sides agreed on them, else as tones.
    #[default]
    Auto,
    /// As telephone events (RFC 4733).
    Event,
    /// As tones in the audio.
    Inband,
}

/// `dtmf_heard` of an `expect` step: the keys, as `"123#"`, or how long they are waited for as well.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "dtmf_heard")]
pub enum HeardFile {
    /// Within 5s.
    Keys(Digits),
    /// Within another time.
    Told(AwaitedFile),
}

/// Keys that are waited for.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "dtmf_heard")]
pub struct AwaitedFile {
    /// The keys that come since the call began, or since the last such step; these and no others. As in `dtmf`.
    pub keys: Digits,
    /// How long they are waited for, counted from the step's start. Default: 5s.
    pub within: Option<Period>,
}
