//! Lines that a load fills, and when its target allows that.
//!
//! A load fills a line when it needs more places at the same time than were bought: more calls than
//! `contracted_calls` of the trunk that they take, or more registrations than `licence.extensions`. Whether it may is
//! the target's word (`saturate:`): without it `compile` refuses, and with a window the time of day decides here.

use std::time::Duration;

use super::plan::Plan;
use super::safety::Saturate;

/// A line that the load fills, with its target's leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// What it is, as ``trunk `main` of `prod` (40 calls, it has 30)``.
    pub what: String,
    /// When it may be filled.
    pub when: Saturate,
}

/// A line may not be filled at this time of day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the load fills {what}, which its target allows {window} only; it is {} (local time)", clock(*.now))]
pub struct WindowClosed {
    /// The line.
    pub what: String,
    /// When it may be filled, in words.
    pub window: String,
    /// Local time of day.
    pub now: Duration,
}

impl Filled {
    /// When it may be filled, in words; `None` where at any time.
    pub fn window(&self) -> Option<String> {
        self.when.window.map(|(from, to)| format!("between {} and {}", clock(from), clock(to)))
    }
}

impl Plan {
    /// How long attempts may start from this local time of day on; `None` is without end.
    ///
    /// # Errors
    /// [`WindowClosed`]: nothing may be started now.
    pub fn may_start_at(&self, time_of_day: Duration) -> Result<Option<Duration>, WindowClosed> {
        if let Some(filled) = self.filled.iter().find(|filled| !filled.when.open_at(time_of_day)) {
            let window = filled.window().unwrap_or_else(|| "at no time".to_owned());
            return Err(WindowClosed { what: filled.what.clone(), window, now: time_of_day });
        }
        Ok(self.filled.iter().filter_map(|filled| filled.when.closes_in(time_of_day)).min())
    }
}

/// `02:00`.
fn clock(time_of_day: Duration) -> String {
    let minutes = time_of_day.as_secs() / 60;
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}
