//! What became of calls: each result is kept, a failure is tried again, and a line is free once its last attempt is judged.

use std::sync::Arc;

use super::starts::FAR_SIDE_RESTS;
use super::{Running, Said, moment};
use crate::call::{Finished, MemberId, NotBegun, Pause};
use crate::engine::GroupTold;
use crate::evidence::File;
use crate::net::clock;
use crate::record::{CallRecord, Retry};
use crate::report::screen;
use crate::scenario::plan::Step;
use crate::scenario::watch::Check;
use crate::watch::job::{Job, Next, Outcome, Purpose, account_of, complete, is_ours};

impl Running<'_> {
    pub(super) fn take(&mut self, told: GroupTold) {
        match told {
            GroupTold::Finished { member, n, finished, files } => self.finish(member, n, *finished, files),
            GroupTold::NotBegun { member, n, why } => self.not_begun(member, n, why),
            GroupTold::Paused(member, pause) => self.pause(member, &pause),
            GroupTold::Second(second) => self.results.second(&second),
            GroupTold::Left(member) => {
                self.stage.worker.forget(member);
                self.members.remove(&member);
                let left: Vec<(MemberId, u64)> = self.jobs.keys().filter(|key| key.0 == member).copied().collect();
                for (member, n) in left {
                    self.end_without_call(member, n);
                }
            }
            GroupTold::Beat { progress, beat, .. } => {
                self.heard = clock::now();
                self.overflows = beat.health.send_overflows;
                if let Some(shown) = &mut self.shown {
                    shown.in_progress = progress.in_progress;
                }
                self.board.write(|figures| {
                    (figures.in_progress, figures.cpu_s) = (progress.in_progress, beat.cpu.as_secs_f64());
                });
            }
            GroupTold::Ended(_) => {}
        }
    }

    /// A leg has ended. The one that counts as the attempt ends its job; others are recorded beside it.
    pub(super) fn finish(&mut self, member: MemberId, n: u64, mut finished: Finished, files: Option<Vec<File>>) {
        if let Some((check, _)) = self.members.get(&member) {
            complete(&mut finished.record, check);
        }
        let job = if finished.primary && !finished.beside { self.jobs.remove(&(member, n)) } else { None };
        let Some(job) = job else {
            let outcome = Outcome { finished, files, purpose: Purpose::Scheduled, tried_again: false };
            return self.keep(&outcome, None);
        };
        let (line, check, purpose) = (Arc::clone(&job.line), Arc::clone(&job.check), job.purpose);
        self.repetitions.ended(purpose);
        self.count(&check, &finished.record);
        let asks = purpose == Purpose::Scheduled && finished.record.is_failed() && !is_ours(finished.record.class);
        // Once, every check is made anyway.
        if asks && !self.stopping && !self.once {
            self.start_controls(&check, finished.record.agent.as_deref());
        }
        let of_line = self.lines.get(&line).and_then(|line| line.account);
        let account = account_of(&check, of_line, finished.record.account.as_deref());
        let (calendar, stopping) = (&mut self.calendar, self.stopping);
        match job.end(finished, files, || !stopping && calendar.may_repeat(&line, moment())) {
            Next::Over(outcomes) => self.conclude(&line, &check, outcomes),
            Next::Again(job, outcomes) => {
                outcomes.iter().for_each(|outcome| self.keep(outcome, Some((&line, &check))));
                self.reproduce(*job, account);
            }
        }
    }

    /// Tries a failure again: with sockets and a registration of its own, but for a line whose registration stands.
    pub(super) fn reproduce(&mut self, job: Job, account: Option<usize>) {
        let (line, check) = (Arc::clone(&job.line), Arc::clone(&job.check));
        let stands = check.plan.actors.iter().any(|actor| actor.registered.stands());
        let own = self.lines.get(&line).map(|line| line.member).filter(|_| stands);
        if let Some((member, (_, asked))) = own.and_then(|own| Some((own, self.members.get_mut(&own)?))) {
            *asked += 1;
            self.stage.worker.begin(member, clock::now(), account);
            self.jobs.insert((member, *asked), job);
            return;
        }
        match self.stage.reproduce(&check, account) {
            Ok(member) => {
                self.members.insert(member, (check, 1));
                self.jobs.insert((member, 1), job);
            }
            Err(error) => {
                self.note(format!("{line}: the failure cannot be reproduced: {error}"));
                self.repetitions.ended(job.purpose);
                let held = job.give_up().into_iter().collect();
                self.conclude(&line, &check, held);
            }
        }
    }

    pub(super) fn conclude(&mut self, line: &Arc<str>, check: &Arc<Check>, outcomes: Vec<Outcome>) {
        outcomes.iter().for_each(|outcome| self.keep(outcome, Some((line, check))));
        if let Some(shown) = &mut self.shown {
            shown.concluded(line, &outcomes);
        }
        let judged = outcomes.last().filter(|outcome| outcome.purpose != Purpose::Control);
        if let Some(last) = judged.filter(|_| self.once) {
            for broken in self.verdicts.add(check, &last.finished.record) {
                (self.say)(Said::Note(format!("{line}: {broken}")));
            }
        }
        self.calendar.handle_end(line, moment());
    }

    pub(super) fn not_begun(&mut self, member: MemberId, n: u64, why: NotBegun) {
        if let Some(job) = self.jobs.get(&(member, n)).filter(|_| !self.stopping) {
            let why = match why {
                NotBegun::Late => "as many calls are under way as the target allows",
                NotBegun::HeldBack => FAR_SIDE_RESTS,
            };
            let text = format!("{}: a start is left out: {why}", job.line);
            self.note(text);
        }
        self.end_without_call(member, n);
    }

    pub(super) fn end_without_call(&mut self, member: MemberId, n: u64) {
        let Some(job) = self.jobs.remove(&(member, n)) else { return };
        self.repetitions.ended(job.purpose);
        let (line, check) = (Arc::clone(&job.line), Arc::clone(&job.check));
        let held = job.give_up().into_iter().collect();
        self.conclude(&line, &check, held);
    }

    /// The far side wants no calls for a while: to every line that would call it that is a maintenance.
    pub(super) fn pause(&mut self, member: MemberId, pause: &Pause) {
        let Some((check, _)) = self.members.get(&member) else { return };
        let Some(target) = check.plan.actors.get(pause.actor).map(|actor| actor.target.name.clone()) else { return };
        for (name, line) in &self.lines {
            if calls(&line.check, &target, pause.trunk.as_deref()) {
                self.calendar.pause(name, pause.until);
            }
        }
        let trunk = pause.trunk.as_ref().map_or_else(String::new, |trunk| format!(" over {trunk}"));
        let left = pause.until.saturating_duration_since(clock::now()).as_secs_f64();
        self.note(format!("{target} wants no calls{trunk} for {left:.0} s (503 with Retry-After): maintenance"));
    }

    /// Keeps a result: that of a line, or of a leg beside.
    pub(super) fn keep(&mut self, outcome: &Outcome, line: Option<(&Arc<str>, &Arc<Check>)>) {
        let record = &outcome.finished.record;
        let what = match (record.retry, outcome.purpose) {
            (Retry::Transient, _) => "  a brief interruption: it passed when tried again",
            (Retry::Reproduced, _) => "  reproduced",
            (_, Purpose::Reproduction | Purpose::Answer(_)) => "  tried again",
            (_, Purpose::Control) => "  control",
            _ => "",
        };
        let unmet = record.unmet.as_ref().map_or_else(String::new, |unmet| format!("  {unmet}"));
        (self.say)(Said::Call(format!("{}{unmet}{what}", screen::call_line(record))));
        let trouble = self.results.outcome(outcome);
        self.note_trouble(trouble);
        if let Some(shown) = &mut self.shown {
            shown.kept(outcome);
        }
        // Once, there is nothing to compare with.
        if !self.once {
            let now = clock::now();
            for what in self.incidents.handle_result(now, record, outcome.purpose) {
                self.repetitions.ask(now, &what, line, outcome);
            }
            self.sheets.handle_result(outcome);
            self.note_result(record, outcome.purpose);
        }
    }

    /// Counts an attempt that has ended.
    pub(super) fn count(&self, check: &Check, record: &CallRecord) {
        self.board.write(|figures| {
            let Some(shown) = figures.checks.get_mut(&check.name) else { return };
            let failed = record.is_failed();
            *shown.calls.entry((record.class, failed)).or_default() += 1;
            shown.late_s = record.late_ms.map(|late| late / 1000.0);
            if !failed {
                shown.last_success = Some(record.ended_at.as_duration().as_secs_f64());
            }
        });
    }
}

/// Whether a check calls a target over a trunk; without one, over any.
fn calls(check: &Check, target: &str, trunk: Option<&str>) -> bool {
    let takes = |step: &Step| match step {
        Step::Dial(dial) => trunk.is_none() || dial.trunk.as_deref() == trunk,
        Step::Register(_) | Step::Options(_) => trunk.is_none(),
        _ => false,
    };
    check.plan.actors.iter().any(|actor| actor.target.name == target && actor.steps.iter().any(takes))
}
