//! What outlives a restart: which starts have been, and what of the day's budget is spent.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// Where a calendar stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// For each check, by its name: what was due up to then is over.
    pub over: BTreeMap<String, Timestamp>,
    /// What is spent.
    pub spent: Spent,
}

/// What is spent of a day's budget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The day; `None` before the first call.
    pub day: Option<Date>,
    /// Calls of each check.
    pub checks: BTreeMap<String, u32>,
    /// Calls to each number.
    pub numbers: BTreeMap<String, u32>,
}

impl Spent {
    /// A day has begun. One that comes again, because the clock was set back, brings no new budget.
    pub(super) fn turn_to(&mut self, day: Date) {
        if self.day.is_none_or(|known| known < day) {
            *self = Self { day: Some(day), ..Self::default() };
        }
    }
}
