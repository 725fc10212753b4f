//! `load:` of a scenario, lowered to `pace::Load`.

use std::time::Duration;

use super::doc::{At, Report};
use crate::pace::{Arrivals, Load, Ramp, Schedule, Stop};
use crate::scenario::file::load::{ArrivalsWord, LoadFile, RampFile, RateFile};
use crate::units::{CallsPerSecond, Period};

/// The load; one attempt where nothing usable is written.
pub(super) fn compile(file: Option<&LoadFile>, at: At<'_>, report: &mut Report) -> Load {
    let Some(file) = file else { return Load::calls(1) };
    let at = at.key("load");
    if file.find_limit.is_some() {
        // Which needs the actors: see `find_limit`.
        return Load::calls(1);
    }
    if file.rate.is_some() && file.concurrent.is_some() {
        let help = "`rate` fixes when attempts start, `concurrent` how many there are: keep one";
        report.add(at.name("concurrent"), "`rate` and `concurrent` are both given", help);
        return Load::calls(1);
    }
    let stop = Stop { calls: file.calls, after: file.duration.map(|period| period.0) };
    let endless = stop.calls.is_none() && stop.after.is_none();
    let lossy = at.doc().lossy;
    let arrivals = match file.arrivals.unwrap_or_default() {
        ArrivalsWord::Even => Arrivals::Even,
        ArrivalsWord::Poisson => Arrivals::Poisson { seed: seed(Some(file)) },
    };
    if file.arrivals.is_some() && file.rate.is_none() && !lossy {
        let help = "it spaces the starts of a `rate`: write `rate: 50/s` beside it, or leave it out";
        report.add(at.name("arrivals"), "`arrivals` without a rate", help);
    }
    let schedule = match (&file.rate, file.concurrent) {
        (Some(RateFile::Constant(rate)), _) => {
            if rate.0.get() <= 0.0 {
                report.add(at.key("rate"), "a rate of 0 starts nothing", "as rate: 50/s");
            }
            if endless && !lossy {
                report.add(at.name("rate"), "a rate without end", "add `calls: N` or `for: 5m` beside it");
            }
            Schedule::Open { ramps: vec![Ramp { from: rate.0, to: rate.0, over: None }], arrivals }
        }
        (Some(RateFile::Ramps(ramps)), _) => Schedule::Open { ramps: lower(ramps, at.key("rate"), report), arrivals },
        (None, Some(concurrent)) => {
            if endless && !lossy {
                report.add(at.name("concurrent"), "a load without end", "add `calls: N` or `for: 5m` beside it");
            }
            Schedule::Closed { concurrent }
        }
        (None, None) => {
            if endless && !lossy {
                report.add(at, "the load says neither how many nor how fast", "write `calls: N` or `rate: 50/s`");
            }
            Schedule::Closed { concurrent: 1 }
        }
    };
    Load { schedule, stop }
}

/// How long attempts are warm-up.
pub(super) fn warm_up(file: Option<&LoadFile>, load: &Load, at: At<'_>, report: &mut Report) -> Duration {
    let Some((file, Period(warm_up))) = file.and_then(|file| Some((file, file.warm_up?))) else {
        return Duration::ZERO;
    };
    let at = at.key("load");
    if file.find_limit.is_some() {
        let help = "leave it out: a search judges what it finds, whenever that was";
        report.add(at.name("warm_up"), "`warm_up` and `find_limit` are both given", help);
        return Duration::ZERO;
    }
    let last = load.planned().and_then(|planned| load.start_of(planned.checked_sub(1)?));
    if last.or(load.stop.after).is_some_and(|last| warm_up >= last.max(Duration::from_nanos(1))) {
        let help = "the attempts that start after it are those that count: make it shorter, or the load longer";
        report.add(at.key("warm_up"), "the whole load is warm-up", help);
    }
    warm_up
}

/// What is drawn at random is drawn from this.
pub(super) fn seed(file: Option<&LoadFile>) -> u64 {
    file.and_then(|file| file.seed).unwrap_or(1)
}

fn lower(files: &[RampFile], at: At<'_>, report: &mut Report) -> Vec<Ramp> {
    let mut rate = CallsPerSecond::default();
    let mut ramps = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let at = at.index(index);
        let ramp = match (file.to, file.over, file.hold) {
            (Some(to), Some(over), None) => Ramp { from: rate, to: to.0, over: Some(over.0) },
            (Some(to), None, Some(hold)) => Ramp { from: to.0, to: to.0, over: Some(hold.0) },
            (None, None, Some(hold)) => Ramp { from: rate, to: rate, over: Some(hold.0) },
            _ => {
                let help = "write { to: 50/s, over: 30s }, { for: 5m } or { to: 50/s, for: 5m }";
                report.add(at, "this is no ramp", help);
                continue;
            }
        };
        if ramp.over.is_some_and(|over| over.is_zero()) {
            report.add(at, "a ramp of no length", "give it a length, or jump with { to: 50/s, for: 5m }");
        }
        rate = ramp.to;
        ramps.push(ramp);
    }
    let complete = ramps.len() == files.len() && !at.doc().lossy;
    if complete && ramps.iter().all(|ramp| ramp.from.get() + ramp.to.get() <= 0.0) {
        report.add(at, "these ramps start nothing", "as [{ to: 50/s, over: 30s }, { for: 5m }]");
    }
    ramps
}
