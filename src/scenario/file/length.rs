//! How long a step lasts: the same every time, or drawn anew for each attempt.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::units::Period;

/// How long: `10s`, or a distribution that is drawn from for each attempt, as `{ exponential: 3m }`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "length")]
pub enum LengthFile {
    /// The same every time.
    Fixed(Period),
    /// Drawn anew for each attempt.
    Drawn(DrawnFile),
}

/// A distribution of lengths.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(title = "distribution")]
pub enum DrawnFile {
    /// Evenly between two lengths: `uniform: { from: 20s, to: 3m }`.
    Uniform(UniformFile),
    /// Exponential with this mean, which for calls is the ACD: `exponential: 3m`.
    Exponential(Period),
    /// Lognormal, as real calls are: many short ones and a few very long: `lognormal: { mean: 3m, median: 2m }`.
    Lognormal(LognormalFile),
}

/// `uniform`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "uniform")]
pub struct UniformFile {
    /// The shortest.
    pub from: Period,
    /// The longest.
    pub to: Period,
}

/// `lognormal`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "lognormal")]
pub struct LognormalFile {
    /// The mean, which for calls is the ACD.
    pub mean: Period,
    /// Half of the lengths are below it; less than the mean.
    pub median: Period,
}
