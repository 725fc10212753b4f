//! Calls that the judge asks for: an agent that may fail or not is called again until it shows. Which of them are placed when,
//! and why others are not. No clock, no files.
//!
//! One is placed like a start of its line (not in a maintenance, within the budget of check and number, not while the line is
//! called), and holds the line as long as it takes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustc_hash::{FxHashMap, FxHashSet};

use super::job::{Job, Line, Outcome, Purpose, account_of};
use crate::incident::{Label, Reproduce};
use crate::pace::calendar::{Calendar, Moment};
use crate::scenario::watch::Check;

/// Placed at the same time, at most.
const AT_ONCE: usize = 5;
/// Asked for and not placed yet, at most.
const WAITING: usize = 256;
/// One that found no place for so long after its time answers nothing any more.
const LATEST: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Repetitions {
    /// By when they are due.
    waiting: BTreeMap<(Instant, u64), Wanted>,
    /// Those that were placed: whose they are, by request.
    under_way: FxHashMap<u64, Arc<str>>,
    /// Whose are waiting or under way.
    agents: FxHashSet<Arc<str>>,
    placed: u64,
    left_out: BTreeMap<&'static str, u64>,
    closed: bool,
}

/// A call that is asked for.
#[derive(Debug)]
struct Wanted {
    agent: Arc<str>,
    line: Arc<str>,
    check: Arc<Check>,
    /// Whose account the failed call was of.
    user: Option<String>,
}

impl Repetitions {
    /// The judge asks for a call, because of this result of a line. One leg of several is of none.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        what: &Reproduce,
        line: Option<(&Arc<str>, &Arc<Check>)>,
        because: &Outcome,
    ) {
        let Some((line, check)) = line else { return self.leave_out("no_line", &what.call_id) };
        // The first repetition of a failure that was tried again already, and failed in another way.
        if because.tried_again && what.after.is_zero() {
            return self.leave_out("tried_again", &what.call_id);
        }
        let of =
            |wanted: Label| what.labels.iter().find(|(label, _)| *label == wanted).map(|(_, value)| value.as_str());
        let platform = of(Label::Platform).unwrap_or_default();
        let agent = of(Label::Agent).or_else(|| of(Label::Account)).unwrap_or(line);
        let agent: Arc<str> = format!("{platform}/{agent}").into();
        if self.closed {
            return self.leave_out("stopping", &what.call_id);
        }
        if self.agents.contains(&agent) {
            return self.leave_out("outstanding", &what.call_id);
        }
        if self.waiting.len() >= WAITING {
            return self.leave_out("too_many", &what.call_id);
        }
        self.agents.insert(Arc::clone(&agent));
        let (line, check) = (Arc::clone(line), Arc::clone(check));
        let user = because.finished.record.account.clone();
        let wanted = Wanted { agent, line, check, user };
        self.waiting.insert((now + what.after, what.id), wanted);
    }

    /// The next call that is to be placed now, and the index of its account. Its line is taken in the calendar.
    pub(super) fn poll(
        &mut self,
        now: Moment,
        calendar: &mut Calendar,
        lines: &FxHashMap<Arc<str>, Line>,
    ) -> Option<(Job, Option<usize>)> {
        while let Some(entry) = self.waiting.first_entry() {
            let (due, id) = *entry.key();
            let late = due + LATEST < now.instant;
            if now.instant < due || (self.under_way.len() >= AT_ONCE && !late) {
                return None;
            }
            let wanted = entry.remove();
            let placed = if late { Err("late") } else { place(&wanted, now, calendar, lines) };
            match placed {
                Ok((line, account)) => {
                    self.placed += 1;
                    self.under_way.insert(id, wanted.agent);
                    let check = Arc::clone(&line.check);
                    return Some((Job::new(wanted.line, check, Purpose::Answer(id)), account));
                }
                Err(why) => {
                    self.agents.remove(&wanted.agent);
                    self.leave_out(why, &wanted.line);
                }
            }
        }
        None
    }

    /// A call has ended, or was never begun.
    pub(super) fn ended(&mut self, purpose: Purpose) {
        if let Some(agent) = purpose.request().and_then(|id| self.under_way.remove(&id)) {
            self.agents.remove(&agent);
        }
    }

    /// The watch ends: nothing more is placed.
    pub(super) fn close(&mut self) {
        self.closed = true;
        for (_, wanted) in std::mem::take(&mut self.waiting) {
            self.agents.remove(&wanted.agent);
            self.leave_out("stopping", &wanted.line);
        }
    }

    /// How many were placed, and how many were not, by why.
    pub(super) fn counts(&self) -> (u64, &BTreeMap<&'static str, u64>) {
        (self.placed, &self.left_out)
    }

    fn leave_out(&mut self, why: &'static str, of: &str) {
        tracing::debug!(why, of, "a call that the judge asked for is left out");
        *self.left_out.entry(why).or_default() += 1;
    }
}

/// Takes the line of a call that is asked for; else why it cannot be.
fn place<'l>(
    wanted: &Wanted,
    now: Moment,
    calendar: &mut Calendar,
    lines: &'l FxHashMap<Arc<str>, Line>,
) -> Result<(&'l Line, Option<usize>), &'static str> {
    // What is called by that name now may be something else.
    let line = lines.get(&wanted.line).filter(|line| line.check.calls_as(&wanted.check)).ok_or("gone")?;
    if line.check.reproduce == 0 {
        return Err("reproduce_0");
    }
    let account = account_of(&line.check, line.account, wanted.user.as_deref());
    calendar.begin(&wanted.line, now).map_err(|why| why.name())?;
    Ok((line, account))
}

#[cfg(test)]
#[path = "repetitions_tests.rs"]
mod tests;
