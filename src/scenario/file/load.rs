//! `load:` of a scenario: one value with few words.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{Later, Rate};
use crate::units::Period;

/// When attempts start and when no more do.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "load")]
pub struct LoadFile {
    /// Attempts in all; alone, one after another.
    #[schemars(range(min = 1))]
    pub calls: Option<u64>,
    /// Attempts per second on an open schedule (a start that is due happens, or is counted as dropped), or a list of
    /// ramps. A constant rate needs `calls` or `for` beside it.
    pub rate: Option<RateFile>,
    /// No attempt starts after this long.
    #[serde(rename = "for")]
    pub duration: Option<Period>,
    /// Attempts at the same time, the next as one ends. Needs `calls` or `for` beside it.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent: Option<u32>,
    /// After a 503 with Retry-After no call goes to the one who sent it until that time is over: starts of a `rate` that
    /// fall in it are counted and not made, `calls` and `concurrent` wait. `false` for a scenario that measures how
    /// calls are refused. Default: true.
    pub honour_retry_after: Option<bool>,
    /// Looks for a limit. Not supported yet.
    pub find_limit: Option<Later>,
}

/// A constant rate, or ramps.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum RateFile {
    /// A constant rate.
    Constant(Rate),
    /// Ramps in order, the first from 0.
    Ramps(Vec<RampFile>),
}

/// A stretch of an open schedule: `{ to: 50/s, over: 30s }` changes the rate evenly, `{ for: 5m }` holds it,
/// `{ to: 80/s, for: 1m }` jumps to a rate and holds it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "ramp")]
pub struct RampFile {
    /// Rate at its end.
    pub to: Option<Rate>,
    /// How long the change takes.
    pub over: Option<Period>,
    /// How long the rate is held.
    #[serde(rename = "for")]
    pub hold: Option<Period>,
}
