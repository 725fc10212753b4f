//! A trial: calls that come one after the other in equal steps.

use std::time::{Duration, Instant};

use crate::pace::search::How;

/// A start is late above this, as in a run.
const LATE: Duration = Duration::from_millis(100);
/// In a trial of fewer than a hundred calls, above this.
const LATE_IN_SMALL_TRIAL: Duration = Duration::from_secs(1);
/// Two calls may come closer together than the rate says by this: no generator is more exact.
const BUNCHED: Duration = Duration::from_millis(5);

/// What a trial is to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whether so many calls per second pass.
    Rate(u64),
    /// Whether so many calls per second fail where every second one is a control call.
    Mixed(u64),
    /// Whether calls pass that come slowly and are held, more than at any refusal.
    Slow,
}

/// Calls that come one after the other in equal steps.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) kind: Kind,
    first: Instant,
    interval: Duration,
    pub(super) total: u64,
    pub(super) started: u64,
    /// Most tries under way at the same time.
    pub(super) peak: u64,
    /// Starts that were late.
    late: u64,
    worst: Duration,
    pub(super) failed: bool,
}

impl Trial {
    pub(super) fn new(kind: Kind, first: Instant, interval: Duration, total: u64) -> Self {
        let (started, peak, late, worst, failed) = (0, 0, 0, Duration::ZERO, false);
        Self { kind, first, interval, total, started, peak, late, worst, failed }
    }

    /// One more call begins, so late, with so many under way. How it is made.
    pub(super) fn note_start(&mut self, late: Duration, under_way: u64) -> How {
        self.started += 1;
        self.late += u64::from(late > LATE);
        self.worst = self.worst.max(late);
        self.peak = self.peak.max(under_way + 1);
        match self.kind {
            Kind::Mixed(_) if self.started.is_multiple_of(2) => How::Control,
            _ => How::Usual,
        }
    }

    /// No more calls will begin.
    pub(super) fn is_over(&self) -> bool {
        self.failed || self.started == self.total
    }

    /// When the next call is due.
    pub(super) fn due(&self) -> Option<Instant> {
        (self.started < self.total).then(|| self.first + self.interval.mul_f64(self.started as f64))
    }

    /// Why it says nothing of the line: our own starts were not those of the rate.
    pub(super) fn void(&self) -> Option<String> {
        let small = self.total < 100;
        let late = if small { self.worst > LATE_IN_SMALL_TRIAL } else { self.late * 100 >= self.started };
        if self.late > 0 && late {
            let worst = self.worst.as_millis();
            return Some(format!("{} of {} starts were late, by up to {worst} ms", self.late, self.started));
        }
        let bunched = self.failed && self.worst > BUNCHED.max(self.interval / 2);
        bunched.then(|| format!("our calls did not come in equal steps: one was {} ms late", self.worst.as_millis()))
    }
}
