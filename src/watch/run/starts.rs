//! Starts of calls: what the calendar says, the checks of `--once`, and those that tell who is hit.

use std::sync::Arc;
use std::time::Instant;

use super::{Running, moment};
use crate::net::clock;
use crate::pace::calendar::{Event, Why, WhyNot};
use crate::scenario::watch::Check;
use crate::watch::job::{Job, Purpose};

/// Checks that `--once` makes at the same time.
const AT_ONCE: usize = 50;
/// Lines of a control that are tried for one that is free.
const CONTROLS_TRIED: usize = 3;

/// A 503 with Retry-After is a maintenance that the far side tells of.
pub(super) const FAR_SIDE_RESTS: &str = "maintenance: the far side wants no calls (503 with Retry-After)";

impl Running<'_> {
    pub(super) fn heed_calendar(&mut self) {
        while let Some(event) = self.calendar.poll_event() {
            match event {
                Event::Start { check, intended, why } => {
                    if why == Why::CaughtUp {
                        self.note(format!("{check}: for starts that were missed"));
                    }
                    self.start(&check, intended, Purpose::Scheduled);
                }
                Event::NotStarted { check, starts, why } => self.left_out(&check, starts, why),
                Event::Stepped(by) => {
                    let by = by.as_secs_f64();
                    self.note(format!("the clock was set by {by:+.0} s: every start is planned anew"));
                }
            }
        }
    }

    pub(super) fn left_out(&mut self, line: &str, starts: u64, why: WhyNot) {
        let word = why.name();
        if let Some(line) = self.lines.get(line) {
            let check = &line.check.name;
            self.board.write(|figures| {
                if let Some(shown) = figures.checks.get_mut(check) {
                    *shown.left_out.entry(word).or_default() += starts;
                }
            });
        }
        let why = match why {
            WhyNot::Maintenance(None) => "maintenance".to_owned(),
            WhyNot::Maintenance(Some(reason)) => format!("maintenance ({reason})"),
            WhyNot::Paused => FAR_SIDE_RESTS.to_owned(),
            WhyNot::UnderWay => "the call before is still under way".to_owned(),
            WhyNot::Budget => "the budget of the day is spent".to_owned(),
            WhyNot::Missed => "nobody was there at the time".to_owned(),
        };
        if let Some(shown) = &mut self.shown {
            shown.left_out(line, clock::timestamp(), &why);
        }
        let starts = if starts == 1 { "a start is".to_owned() } else { format!("{starts} starts are") };
        self.note(format!("{line}: {starts} left out: {why}"));
    }

    /// Starts a call of a line that the calendar says is free.
    pub(super) fn start(&mut self, name: &Arc<str>, intended: Instant, purpose: Purpose) {
        let Some(line) = self.lines.get(name) else { return };
        let Some((_, asked)) = self.members.get_mut(&line.member) else { return };
        *asked += 1;
        let key = (line.member, *asked);
        self.stage.worker.begin(line.member, intended, line.account);
        self.jobs.insert(key, Job::new(Arc::clone(name), Arc::clone(&line.check), purpose));
    }

    /// Places what the judge asks for, where it may be.
    pub(super) fn start_repetitions(&mut self) {
        while let Some((job, account)) = self.repetitions.poll(moment(), &mut self.calendar, &self.lines) {
            self.reproduce(job, account);
        }
    }

    /// Starts the next line of `--once`, where there is room. True where one was.
    pub(super) fn start_once(&mut self) -> bool {
        if self.jobs.len() >= AT_ONCE {
            return false;
        }
        let Some(name) = self.waiting.pop_front() else { return false };
        let begun = self.calendar.begin(&name, moment());
        if let Err(why) = begun {
            self.left_out(&name, 1, why);
            return true;
        }
        self.start(&name, clock::now(), Purpose::Scheduled);
        true
    }

    /// Makes the checks that tell who is hit, each by a line that is free and not of the same agent.
    pub(super) fn start_controls(&mut self, check: &Check, agent: Option<&str>) {
        for control in check.controls.clone() {
            let Some(names) = self.of_check.get_mut(control) else { continue };
            let mut found = None;
            for _ in 0..names.len().min(CONTROLS_TRIED) {
                names.rotate_left(1);
                let Some(name) = names.back() else { break };
                let same = agent.is_some_and(|agent| name.rsplit('/').next() == Some(agent));
                if !same && self.calendar.begin(name, moment()).is_ok() {
                    found = Some(Arc::clone(name));
                    break;
                }
            }
            if let Some(name) = found {
                self.start(&name, clock::now(), Purpose::Control);
            }
        }
    }
}
