//! The search for the highest rate of calls with none that fails: the session establishment rate of RFC 7501, found by
//! trials as RFC 7502 does.
//!
//! A rate is tried for a while; where no call fails a higher one is tried, else a lower one. The steps are our own: the rate
//! is doubled until it fails and halved in between, down to a call per second or 1 %. Then the rate found is shown to pass
//! and the next one to fail, `prove` times.
//!
//! What RFC 7502 leaves to the laboratory is asked of the line: after each trial that failed, whether a pause is enough
//! (else it is a ban); at the end, whether more calls at the same time than ever before pass when they come more slowly
//! (else it is no rate but a number of places), and whether calls fail where every second one is a control call, which
//! needs no part of the line (then it is the rate of more than the line). A trial whose own starts were late is void.

#[cfg(test)]
mod tests;
mod trial;
mod verdict;

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::verdict::{Outcome, Seen};
use super::{Action, Event, How, Machine, Refusal, Settings, Try, Who};
use crate::record::Finding;
use trial::{Kind, Trial};
use verdict::Found;

/// Times that a rate passes and fails before the search says that the limit varies.
const MOST_CONTRADICTIONS: u32 = 8;
/// Trials that may be void because of our own starts.
const MOST_VOID: u32 = 5;
/// Calls that are held until the end of a trial are let go by then at the latest.
const LONGEST_TRIAL: Duration = Duration::from_secs(300);
/// The first rate is this part of the highest.
const FIRST_PART: u64 = 8;

/// Searches one line for its rate.
#[derive(Debug)]
pub(super) struct Rate {
    settings: Settings,
    doing: Doing,
    actions: VecDeque<Action>,
    /// Number of the last try.
    last: Try,
    /// Tries that are up, and until when.
    up: VecDeque<(Instant, Try)>,
    /// Tries that have not ended.
    under_way: u64,
    /// Tries without an answer.
    asked: u64,
    accepted: u64,
    passed: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    /// The last refusal at each rate is what the verdict names.
    seen: Seen,
    found: Found,
    void: u32,
    contradictions: u32,
    outcome: Option<Outcome>,
}

#[derive(Debug)]
enum Doing {
    Trial(Trial),
    Waiting {
        until: Instant,
        then: Next,
    },
    /// One call, to know whether the pause of this number was enough.
    Recovering {
        rung: usize,
    },
    /// Waits for the end of everything.
    Leaving,
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// Calls come so.
    Trial(Kind),
    /// The pause of this number is over.
    Recover(usize),
    /// On with what the answers say.
    Decide,
}

impl Rate {
    /// A search that begins now.
    pub(super) fn new(settings: Settings, now: Instant) -> Self {
        let first = (settings.up_to / FIRST_PART).max(1);
        Self {
            settings,
            doing: Doing::Waiting { until: now, then: Next::Trial(Kind::Rate(first)) },
            actions: VecDeque::new(),
            last: 0,
            up: VecDeque::new(),
            under_way: 0,
            asked: 0,
            accepted: 0,
            passed: BTreeSet::new(),
            failed: BTreeSet::new(),
            seen: Seen::default(),
            found: Found::default(),
            void: 0,
            contradictions: 0,
            outcome: None,
        }
    }

    fn start(&mut self, how: How, due: Instant) -> Try {
        self.last += 1;
        self.under_way += 1;
        self.asked += 1;
        self.actions.push_back(Action::Start { number: self.last, who: Who::Next, how, due: Some(due) });
        self.last
    }

    /// Starts what is due of a trial.
    fn go_on(&mut self, now: Instant) {
        while let Doing::Trial(trial) = &mut self.doing
            && !trial.failed
            && let Some(due) = trial.due().filter(|due| *due <= now)
        {
            if self.under_way >= self.settings.max_under_way {
                let most = self.settings.max_under_way;
                let why = format!("there would be more than {most} calls at the same time (`safety.max_concurrent`)");
                return self.finish(verdict::stopped(&why, &self.passed));
            }
            let how = trial.note_start(now - due, self.under_way);
            self.start(how, due);
        }
        while let Some((_, number)) = self.up.pop_front_if(|(until, _)| *until <= now) {
            self.actions.push_back(Action::Release(number));
        }
    }

    fn begin(&mut self, now: Instant, kind: Kind) {
        let (interval, total) = match (kind, self.found.rate) {
            (Kind::Rate(rate) | Kind::Mixed(rate), _) => {
                let total = rate as f64 * self.settings.trial.as_secs_f64();
                (Duration::from_secs_f64(1.0 / rate as f64), total.ceil().max(2.0) as u64)
            }
            // Half as fast as passes.
            (Kind::Slow, 0) => {
                let pause = self.found.recovered_after.unwrap_or_default().max(Duration::from_secs(1));
                (2 * pause, self.found.at_once)
            }
            (Kind::Slow, rate) => (Duration::from_secs_f64(2.0 / rate as f64), self.found.at_once),
        };
        if self.last + total > self.settings.max_tries {
            let most = self.settings.max_tries;
            let why = format!("it would place more than {most} calls (`safety.max_calls`)");
            return self.finish(verdict::stopped(&why, &self.passed));
        }
        self.doing = Doing::Trial(Trial::new(kind, now, interval, total));
        self.go_on(now);
    }

    fn wait(&mut self, now: Instant, pause: Duration, then: Next) {
        let until = (now + pause).max(self.seen.not_before(now));
        self.doing = Doing::Waiting { until, then };
    }

    fn handle_up(&mut self, now: Instant, number: Try) {
        self.asked -= 1;
        self.accepted += 1;
        match &self.doing {
            // Held until the end.
            Doing::Trial(Trial { kind: Kind::Slow, .. }) => self.up.push_back((now + LONGEST_TRIAL, number)),
            Doing::Trial(trial) if !trial.failed && !self.settings.hold.is_zero() => {
                self.up.push_back((now + self.settings.hold, number));
            }
            _ => self.actions.push_back(Action::Release(number)),
        }
    }

    fn handle_refusal(&mut self, now: Instant, number: Try, refusal: Refusal) {
        self.asked -= 1;
        self.under_way -= 1;
        self.seen.note_wish(now, &refusal);
        if self.outcome.is_some() {
            return;
        }
        self.seen.note(number, refusal);
        match &mut self.doing {
            Doing::Trial(trial) if !trial.failed => {
                // No storm: one that fails is enough.
                trial.failed = true;
                self.seen.proof.push(number);
                self.release_all();
            }
            Doing::Recovering { rung } => {
                let next = *rung + 1;
                match self.settings.pauses.get(next).copied() {
                    Some(pause) => self.wait(now, pause, Next::Recover(next)),
                    None if self.accepted == 0 => self.conclude(Finding::LineDown, Some(0)),
                    None => self.conclude(Finding::CallBlocked, None),
                }
            }
            _ => {}
        }
    }

    fn release_all(&mut self) {
        self.actions.extend(self.up.drain(..).map(|(_, number)| Action::Release(number)));
    }

    /// Goes on where all that was waited for has come.
    fn settle(&mut self, now: Instant) {
        match &self.doing {
            Doing::Trial(trial) if trial.kind == Kind::Slow && self.asked == 0 && trial.is_over() => {
                let failed = trial.failed;
                self.conclude_rate(failed);
            }
            Doing::Trial(trial) if trial.kind != Kind::Slow && self.under_way == 0 && trial.is_over() => {
                self.judge(now);
            }
            Doing::Recovering { rung } if self.under_way == 0 => {
                let pause = self.settings.pauses[*rung];
                self.found.recovered_after = self.found.recovered_after.max(Some(pause));
                self.decide(now);
            }
            Doing::Leaving if self.under_way == 0 => self.doing = Doing::Done,
            _ => {}
        }
    }

    /// A trial of a rate is over.
    fn judge(&mut self, now: Instant) {
        let Doing::Trial(trial) = &self.doing else { return };
        let (kind, Kind::Rate(rate) | Kind::Mixed(rate)) = (trial.kind, trial.kind) else { return };
        if let Some(why) = trial.void() {
            self.void += 1;
            if self.void > MOST_VOID {
                return self.finish(Outcome::bounded(format!("at {rate} calls per second {why}")));
            }
            return self.wait(now, self.settings.pauses[0], Next::Trial(kind));
        }
        let (failed, peak) = (trial.failed, trial.peak);
        if let Kind::Mixed(_) = kind {
            self.seen.control = Some(!failed);
            let rest = self.rest();
            return self.wait(now, rest, Next::Trial(Kind::Slow));
        }
        let known = self.passed.len() + self.failed.len();
        self.passed.retain(|other| !failed || *other < rate);
        self.failed.retain(|other| failed || *other > rate);
        self.contradictions += u32::from(self.passed.len() + self.failed.len() < known);
        if !failed {
            self.passed.insert(rate);
            self.found.passes += u32::from(self.found.rate == rate);
            return self.wait(now, Duration::ZERO, Next::Decide);
        }
        self.failed.insert(rate);
        self.found.fails += u32::from(self.found.next == Some(rate));
        self.found.at_once = self.found.at_once.max(peak);
        self.wait(now, self.settings.pauses[0], Next::Recover(0));
    }

    /// Between two trials: calls of one are not to come close to those of the next.
    fn rest(&self) -> Duration {
        self.settings.pauses[0].max(self.found.recovered_after.unwrap_or_default())
    }

    /// What the answers so far call for.
    fn decide(&mut self, now: Instant) {
        let passed = self.passed.last().copied().unwrap_or(0);
        let failed = self.failed.first().copied();
        if self.contradictions > MOST_CONTRADICTIONS {
            let outcome = verdict::varies(&self.seen, passed, failed.unwrap_or(self.settings.up_to));
            return self.finish(outcome);
        }
        let narrow = |failed: u64| failed - passed <= (passed / 100).max(1);
        let next = match failed {
            None if passed == self.settings.up_to => None,
            None => Some((passed * 2).clamp(1, self.settings.up_to)),
            Some(failed) if narrow(failed) => None,
            Some(failed) => Some(passed + (failed - passed) / 2),
        };
        let rest = self.rest();
        if let Some(rate) = next {
            return self.wait(now, rest, Next::Trial(Kind::Rate(rate)));
        }
        if (self.found.rate, self.found.next) != (passed, failed) {
            self.found = Found { rate: passed, next: failed, ..Found { passes: 0, fails: 0, ..self.found } };
            self.seen.proof.clear();
        }
        let prove = self.settings.prove;
        match failed {
            _ if passed > 0 && self.found.passes < prove => self.wait(now, rest, Next::Trial(Kind::Rate(passed))),
            None => self.finish(verdict::not_found(&self.settings, &self.seen)),
            Some(failed) if self.found.fails < prove => self.wait(now, rest, Next::Trial(Kind::Rate(failed))),
            // Where not even one a second passes, half of that may not either.
            Some(failed) if self.settings.control && passed > 0 => {
                self.wait(now, rest, Next::Trial(Kind::Mixed(failed)));
            }
            Some(_) => self.wait(now, rest, Next::Trial(Kind::Slow)),
        }
    }

    /// It is a limit on the rate, unless calls that came slowly were refused as well.
    fn conclude_rate(&mut self, refused: bool) {
        self.seen.rounds = self.settings.prove;
        let outcome = match refused {
            true => verdict::places(&self.seen, &self.found),
            false => verdict::rate(&self.settings, &self.seen, &self.found),
        };
        self.finish(outcome);
    }

    fn conclude(&mut self, finding: Finding, measured: Option<u64>) {
        let outcome = verdict::other(&self.settings, &self.seen, finding, measured);
        self.finish(outcome);
    }

    fn finish(&mut self, outcome: Outcome) {
        self.outcome = Some(outcome);
        self.release_all();
        self.doing = if self.under_way == 0 { Doing::Done } else { Doing::Leaving };
    }
}

impl Machine for Rate {
    fn handle_timeout(&mut self, now: Instant) {
        if let Doing::Waiting { until, then } = self.doing
            && until <= now
        {
            match then {
                Next::Trial(kind) => self.begin(now, kind),
                Next::Decide => self.decide(now),
                Next::Recover(rung) => {
                    self.start(How::Usual, now);
                    self.doing = Doing::Recovering { rung };
                }
            }
        }
        self.go_on(now);
        self.settle(now);
    }

    fn handle_event(&mut self, now: Instant, number: Try, event: Event) {
        match event {
            Event::Up => self.handle_up(now, number),
            Event::Refused(refusal) => self.handle_refusal(now, number, refusal),
            Event::Ended | Event::LeftBehind | Event::Gone => {
                self.under_way -= 1;
                self.up.retain(|(_, up)| *up != number);
            }
            Event::OwnFault(text) => {
                self.asked -= 1;
                self.under_way -= 1;
                if self.outcome.is_none() {
                    self.finish(Outcome::bounded(text));
                }
            }
            Event::Alive(_) => {}
        }
        self.settle(now);
    }

    fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    fn deadline(&self) -> Option<Instant> {
        let release = self.up.front().map(|(until, _)| *until);
        let next = match &self.doing {
            Doing::Trial(trial) if !trial.failed => trial.due(),
            Doing::Waiting { until, .. } => Some(*until),
            _ => None,
        };
        next.into_iter().chain(release).min()
    }

    fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    fn is_done(&self) -> bool {
        matches!(self.doing, Doing::Done)
    }

    fn stop(&mut self) {
        self.actions.clear();
        self.doing = Doing::Done;
    }
}
