//! `load:` of a scenario: one value with few words.

use schemars::JsonSchema;
use serde::Deserialize;

use super::scalar::{Digits, Rate};
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
    /// How the starts of a `rate` are spaced. Default: even.
    pub arrivals: Option<ArrivalsWord>,
    /// What is drawn at random is drawn from this number: `arrivals: poisson`, lengths with a distribution, the order of
    /// a mix. The same seed draws the same, on any number of workers. Default: 1.
    pub seed: Option<u64>,
    /// No attempt starts after this long.
    #[serde(rename = "for")]
    pub duration: Option<Period>,
    /// Attempts that are to start within this time of the load's begin are made and recorded (`warm_up: true`), and count
    /// in no figure, no expectation and no verdict. Default: 0s.
    pub warm_up: Option<Period>,
    /// Attempts at the same time, the next as one ends. Needs `calls` or `for` beside it.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent: Option<u32>,
    /// After a 503 with Retry-After no call goes to the one who sent it until that time is over: starts of a `rate` that
    /// fall in it are counted and not made, `calls` and `concurrent` wait. `false` for a scenario that measures how
    /// calls are refused. Default: true.
    pub honour_retry_after: Option<bool>,
    /// Looks for the place where a line stops, and proves it. Stands alone, in a scenario of one `caller` whose steps end
    /// in `hold_open`.
    pub find_limit: Option<FindLimitFile>,
}

/// A search for a limit: tries are started one after another and held, until one is refused. That is proved: with all of
/// them alive one more is refused, one is freed, and another takes its place. Pauses then tell a limit on places from one
/// on the rate.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "find_limit")]
pub struct FindLimitFile {
    /// What places are counted.
    pub of: LimitWord,
    /// No more are held at the same time, but for the few that tell what kind of limit it is. With `of: call_rate` the
    /// highest rate that is tried, calls per second.
    #[schemars(range(min = 1, max = 10_000))]
    pub up_to: u32,
    /// How long each rate is tried (`of: call_rate`); a line that lets bursts of b calls through is measured up to
    /// b ÷ `trial` too high, and one that counts in windows of time needs two of them. RFC 7502 takes as long as 50,000 calls need. Default: 10s.
    pub trial: Option<Period>,
    /// How long a call is held once it has come to `hold_open` (`of: call_rate`). Default: 0s.
    pub hold: Option<Period>,
    /// Between the starts of two tries. Default: 500ms.
    pub step_every: Option<Period>,
    /// How often the limit is proved. Default: 2.
    #[schemars(range(min = 1, max = 100))]
    pub prove: Option<u32>,
    /// Pauses after which one more is tried again, growing; a Retry-After is kept too. Default: [1s, 5s, 30s, 65s].
    pub pauses: Option<Vec<Period>>,
    /// A call that needs no place on the line and must pass while it is full.
    pub control: Option<ControlFile>,
    /// In a search for registrations: the number of each device, as "{{ account.user }}" or "{{ account.did }}". Whenever the
    /// devices that should be registered are asked whether they are, each is called by another one too: the call has to
    /// arrive, and is refused then.
    pub test_call: Option<ControlFile>,
}

/// What a search counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "of")]
pub enum LimitWord {
    /// Calls at the same time.
    ConcurrentCalls,
    /// Calls per second: the highest rate with no failed call.
    CallRate,
    /// Devices registered at the same time.
    Registrations,
    /// Extensions that exist: each of the accounts is registered alone, up to `up_to` of them.
    ProvisionedExtensions,
}

/// A control call.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "control")]
pub struct ControlFile {
    /// Whom it calls: a name of the target, or digits. It takes no trunk.
    pub number: Digits,
}

/// How starts are spaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "arrivals")]
pub enum ArrivalsWord {
    /// As evenly as the rate says.
    #[default]
    Even,
    /// At random, as calls come in that know nothing of each other: a Poisson process of that rate.
    Poisson,
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
