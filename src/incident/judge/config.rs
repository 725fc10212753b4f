//! What the judge can be told.

use std::time::Duration;

/// How long a brief interruption lasts where nothing else is told: 20 s.
pub const INTERRUPTION: Duration = Duration::from_secs(20);

/// What the judge can be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The rolling window: agents are counted in it. Default 5 min; failures are remembered six times as long.
    pub window: Duration,
    /// Distinct agents that make an incident widespread. At least 2, default 2.
    pub widespread_agents: u32,
    /// The share of the agents tested that makes it so, too. 0–1, default 0.3.
    pub widespread_share: f64,
    /// How long calls must pass before an incident is closed. Default 3 min; up to four times that after it came back.
    pub hold: Duration,
    /// How long an incident that came back is still the same one. Default 30 min.
    pub comes_back: Duration,
    /// How long to wait for results that tell scopes apart. Default 90 s.
    pub patience: Duration,
    /// How long to wait after a failure for those that belong to it. Default 3 s.
    pub settle: Duration,
    /// How long a brief interruption lasts: failures of one agent within it are one moment. Default [`INTERRUPTION`].
    pub interruption: Duration,
    /// Most repetitions asked for in a minute; 0 for none. Default 20.
    pub reproduce_per_minute: u32,
    /// MOS below this is low quality whatever is usual. Default 3.1: "nearly all users dissatisfied" lies below R = 60, which
    /// is MOS 3.1 (G.107 Annex B).
    pub mos_least: f64,
    /// Most values of labels. Default 10,000; further ones are counted and not followed.
    pub max_values: usize,
    /// Most results remembered. Default 8,192.
    pub max_results: usize,
    /// Most failures remembered. Default 2,048.
    pub max_failures: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(300),
            widespread_agents: 2,
            widespread_share: 0.3,
            hold: Duration::from_secs(180),
            comes_back: Duration::from_secs(1800),
            patience: Duration::from_secs(90),
            settle: Duration::from_secs(3),
            interruption: INTERRUPTION,
            reproduce_per_minute: 20,
            mos_least: 3.1,
            max_values: 10_000,
            max_results: 8_192,
            max_failures: 2_048,
        }
    }
}

impl Config {
    /// For agents that call once in `interval`. The times of [`Config::default`] are for a minute; results that come more
    /// often tell the same in less time, and results that come less often do not tell it any later than they come.
    pub fn for_interval(interval: Duration) -> Self {
        let default = Self::default();
        let part = (interval.as_secs_f64() / 60.0).clamp(1.0 / 60.0, 1.0);
        let times = |time: Duration| time.mul_f64(part);
        Self {
            hold: times(default.hold),
            patience: times(default.patience),
            settle: times(default.settle),
            interruption: times(default.interruption),
            ..default
        }
    }
}
