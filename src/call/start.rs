//! Which attempt starts when: the schedule's share of one worker.

use std::time::{Duration, Instant};

use crate::pace::{Load, Schedule};
use crate::scenario::plan::Plan;

/// A start later than this is dropped and counted: starting it would quietly change the load.
pub(super) const DROP_AFTER: Duration = Duration::from_secs(1);
/// Starts of a closed load that the highest rate allows within this time may be made at once.
const AT_ONCE: Duration = Duration::from_millis(10);

/// The attempts of worker `share.0` of `share.1`.
#[derive(Debug)]
pub(super) struct Starts {
    load: Load,
    start: Instant,
    share: (u64, u64),
    /// Attempts of this worker that were started or dropped.
    taken: u64,
    stopped: bool,
    /// The attempt that was looked at last, and when it is due.
    due: Option<(u64, Option<Instant>)>,
    /// No attempt may start from then on.
    closes: Option<Instant>,
    /// How long after the load's begin attempts are warm-up.
    warm_up: Duration,
    /// Between two starts of a closed load on average, at least: an open one has its rate, this one would start as fast
    /// as attempts end, and one that is refused ends at once. The share of this worker in the highest rate allowed.
    spacing: Duration,
    /// When the next start of a closed load is due by that rate.
    next_closed: Instant,
}

/// What to do about the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Start it: its index from 0, and when it was intended.
    Start(u64, Instant),
    /// It is due too long ago: count it as dropped.
    Drop(u64),
    /// It is due while the far side wants no calls: count it as held back.
    HoldBack(u64),
    /// Ask again at this moment.
    At(Instant),
    /// Ask again when an attempt has ended, or a call came in.
    Later,
    /// No attempt will start any more.
    Over,
    /// None may start any more, although the load is not over.
    Closed,
}

impl Starts {
    pub(super) fn new(load: Load, start: Instant, share: (u64, u64), closes: Option<Instant>) -> Self {
        let (warm_up, spacing, next_closed) = (Duration::ZERO, Duration::ZERO, start);
        Self { load, start, share, taken: 0, stopped: false, due: None, closes, warm_up, spacing, next_closed }
    }

    /// The attempts of a plan, within the rate that it may have.
    pub(super) fn of_plan(plan: &Plan, start: Instant, share: (u64, u64), closes: Option<Instant>) -> Self {
        let spacing = Duration::from_secs_f64(share.1 as f64 / plan.safety.max_cps.max(1e-3));
        Self { warm_up: plan.warm_up, spacing, ..Self::new(plan.load.clone(), start, share, closes) }
    }

    /// Whether an attempt that was to start at this moment belongs to the warm-up.
    pub(super) fn warms_up(&self, intended: Instant) -> bool {
        intended < self.start + self.warm_up
    }

    /// Index of the next attempt, from 1.
    pub(super) fn next_n(&self) -> u64 {
        self.share.0 + self.taken * self.share.1 + 1
    }

    /// The load begins now: what it had to wait for has come.
    pub(super) fn begin(&mut self, now: Instant) {
        (self.start, self.due, self.next_closed) = (now, None, now);
    }

    pub(super) fn stop(&mut self) {
        self.stopped = true;
    }

    /// When the time of the whole load is over, where it has one.
    pub(super) fn end(&self) -> Option<Instant> {
        let load = self.load.stop.after.map(|after| self.start + after);
        load.into_iter().chain(self.closes).min()
    }

    /// The next attempt, with `in_progress` of this worker under way. Until `paused` the far side wants no calls.
    pub(super) fn next(&mut self, now: Instant, in_progress: u64, paused: Option<Instant>) -> Next {
        let k = self.share.0 + self.taken * self.share.1;
        let paused = paused.filter(|until| *until > now);
        let next = match &self.load.schedule {
            _ if self.stopped || self.is_over(now, k) => Next::Over,
            _ if self.closes.is_some_and(|at| now >= at) => Next::Closed,
            Schedule::Closed { concurrent } => {
                let places = share_of(u64::from(*concurrent), self.share);
                match paused {
                    _ if in_progress >= places => Next::Later,
                    _ if now < self.start => Next::At(self.start),
                    Some(until) => Next::At(until),
                    None if now + AT_ONCE < self.next_closed => Next::At(self.next_closed - AT_ONCE),
                    None => {
                        self.next_closed = self.next_closed.max(now) + self.spacing;
                        Next::Start(k, now)
                    }
                }
            }
            Schedule::OnDemand | Schedule::OnCommand { .. } | Schedule::Search(_) => Next::Later,
            Schedule::Open { .. } => self.next_open(now, k, paused.is_some()),
        };
        self.taken += u64::from(matches!(next, Next::Start(..) | Next::Drop(_) | Next::HoldBack(_)));
        match (next, self.end()) {
            (Next::At(at), Some(end)) => Next::At(at.min(end)),
            _ => next,
        }
    }

    /// The load has no attempt `k`, or none any more. An open schedule ends by itself: each of its starts is due
    /// before its end, however late it is seen to.
    fn is_over(&self, now: Instant, k: u64) -> bool {
        let calls = self.load.stop.calls.is_some_and(|calls| k >= calls);
        let end = self.load.stop.after.is_some_and(|after| now >= self.start + after);
        calls || end && !matches!(self.load.schedule, Schedule::Open { .. })
    }

    /// A call came in: the index of the attempt it begins.
    pub(super) fn on_demand(&mut self) -> u64 {
        self.taken += 1;
        self.share.0 + (self.taken - 1) * self.share.1
    }

    /// When attempt `k` is due; it is asked for again and again until then.
    fn due(&mut self, k: u64) -> Option<Instant> {
        match self.due {
            Some((known, due)) if known == k => due,
            _ => {
                let due = self.load.start_of(k).map(|due| self.start + due);
                self.due = Some((k, due));
                due
            }
        }
    }

    fn next_open(&mut self, now: Instant, k: u64, paused: bool) -> Next {
        match self.due(k) {
            None => Next::Over,
            Some(due) if due > now => Next::At(due),
            Some(_) if paused => Next::HoldBack(k),
            Some(due) if now - due > DROP_AFTER => Next::Drop(k),
            Some(due) => Next::Start(k, due),
        }
    }
}

/// Share `i` of `n` of a whole number: the shares add up to it.
pub(super) fn share_of(total: u64, (i, n): (u64, u64)) -> u64 {
    total / n + u64::from(i < total % n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pace::{Arrivals, Ramp, Stop};
    use crate::units::CallsPerSecond;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        Instant::now()
    }

    fn constant(rate: f64, calls: u64) -> Load {
        let rate = CallsPerSecond::new(rate).expect("valid");
        let ramps = vec![Ramp { from: rate, to: rate, over: None }];
        Load {
            schedule: Schedule::Open { ramps, arrivals: Arrivals::Even },
            stop: Stop { calls: Some(calls), after: None },
        }
    }

    #[test]
    fn two_workers_start_every_attempt_of_an_open_schedule_exactly_once_and_on_time() {
        let t0 = start();
        let mut seen = Vec::new();
        for worker in 0..2 {
            let mut starts = Starts::new(constant(100.0, 7), t0, (worker, 2), None);
            let mut now = t0;
            loop {
                match starts.next(now, 0, None) {
                    Next::Start(k, intended) => {
                        assert_eq!(intended, t0 + Duration::from_millis(10) * k as u32);
                        seen.push(k);
                    }
                    Next::At(at) => now = at,
                    Next::Over => break,
                    other => panic!("{other:?}"),
                }
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn any_number_of_workers_makes_one_poisson_process_of_the_same_starts() {
        let t0 = start();
        let rate = CallsPerSecond::new(50.0).expect("valid");
        let ramps = vec![Ramp { from: rate, to: rate, over: None }];
        let schedule = Schedule::Open { ramps, arrivals: Arrivals::Poisson { seed: 5 } };
        let load = Load { schedule, stop: Stop { calls: None, after: Some(Duration::from_secs(20)) } };
        let whole: Vec<Instant> = (0..).map_while(|k| load.start_of(k)).map(|due| t0 + due).collect();
        assert_eq!(whole.len() as u64, load.planned().expect("known"));
        for workers in 1..=3 {
            let mut seen = Vec::new();
            for worker in 0..workers {
                let mut starts = Starts::new(load.clone(), t0, (worker, workers), None);
                let mut now = t0;
                loop {
                    match starts.next(now, 0, None) {
                        Next::Start(k, intended) => seen.push((k as usize, intended)),
                        Next::At(at) => now = at,
                        Next::Over => break,
                        other => panic!("{other:?}"),
                    }
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, whole.iter().copied().enumerate().collect::<Vec<_>>(), "{workers} workers");
        }
    }

    #[test]
    fn a_start_that_is_due_more_than_a_second_ago_is_dropped_and_counted() {
        let t0 = start();
        let mut starts = Starts::new(constant(1.0, 3), t0, (0, 1), None);
        let now = t0 + Duration::from_millis(1500);
        assert_eq!(starts.next(now, 0, None), Next::Drop(0));
        assert_eq!(starts.next(now, 0, None), Next::Start(1, t0 + Duration::from_secs(1)));
        assert_eq!(starts.next(now, 1, None), Next::At(t0 + Duration::from_secs(2)));
    }

    #[test]
    fn a_closed_load_fills_its_places_and_waits_for_one_to_become_free() {
        let t0 = start();
        let load = Load { schedule: Schedule::Closed { concurrent: 2 }, stop: Stop { calls: Some(3), after: None } };
        let mut starts = Starts::new(load, t0, (0, 1), None);
        assert_eq!(starts.next(t0, 0, None), Next::Start(0, t0));
        assert_eq!(starts.next(t0, 1, None), Next::Start(1, t0));
        assert_eq!(starts.next(t0, 2, None), Next::Later);
        assert_eq!(starts.next(t0, 1, None), Next::Start(2, t0));
        assert_eq!(starts.next(t0, 1, None), Next::Over);
    }

    #[test]
    fn a_closed_load_starts_no_faster_than_its_target_allows_however_fast_attempts_end() {
        let t0 = start();
        for workers in [1, 2] {
            let mut all = Vec::new();
            for worker in 0..workers {
                let load = Load {
                    schedule: Schedule::Closed { concurrent: 50 },
                    stop: Stop { calls: Some(400), after: None },
                };
                let spacing = Duration::from_millis(5 * workers);
                let mut starts = Starts { spacing, ..Starts::new(load, t0, (worker, workers), None) };
                let mut now = t0;
                loop {
                    // Every attempt is refused at once: none is ever in progress.
                    match starts.next(now, 0, None) {
                        Next::Start(_, at) => all.push(at - t0),
                        Next::At(at) => now = at,
                        Next::Over => break,
                        other => panic!("{other:?}"),
                    }
                }
            }
            all.sort_unstable();
            assert_eq!(all.len(), 400);
            // 200 a second are allowed, and a few of them at once.
            let fullest = all.iter().map(|from| all.iter().filter(|at| **at >= *from && **at < *from + SECOND).count());
            assert!(fullest.max() <= Some(204), "{workers} workers");
            assert!(all[399] >= Duration::from_millis(1980), "{:?}", all[399]);
        }
    }

    #[test]
    fn starts_of_an_open_schedule_that_fall_in_a_pause_are_held_back_and_a_closed_load_waits() {
        let t0 = start();
        let pause = Some(t0 + Duration::from_millis(1500));
        let mut open = Starts::new(constant(1.0, 3), t0, (0, 1), None);
        assert_eq!(open.next(t0, 0, pause), Next::HoldBack(0));
        assert_eq!(open.next(t0 + Duration::from_secs(1), 0, pause), Next::HoldBack(1));
        let third = t0 + Duration::from_secs(2);
        assert_eq!(open.next(third, 0, pause), Next::Start(2, third));
        let mut closed = Starts::new(Load::calls(2), t0, (0, 1), None);
        assert_eq!(closed.next(t0, 0, pause), Next::At(t0 + Duration::from_millis(1500)));
        let later = t0 + Duration::from_millis(1500);
        assert_eq!(closed.next(later, 0, pause), Next::Start(0, later));
    }

    #[test]
    fn a_window_that_closes_ends_a_load_that_is_not_over() {
        let t0 = start();
        let closes = t0 + Duration::from_millis(1500);
        let mut starts = Starts::new(constant(1.0, 3), t0, (0, 1), Some(closes));
        assert_eq!(starts.next(t0, 0, None), Next::Start(0, t0));
        assert_eq!(
            starts.next(closes - Duration::from_millis(1), 1, None),
            Next::Start(1, t0 + Duration::from_secs(1))
        );
        assert_eq!(starts.next(closes - Duration::from_millis(1), 2, None), Next::At(closes));
        assert_eq!(starts.next(closes, 2, None), Next::Closed);
        let mut whole = Starts::new(constant(1.0, 1), t0, (0, 1), Some(closes));
        assert_eq!(whole.next(t0, 0, None), Next::Start(0, t0));
        assert_eq!(whole.next(closes, 1, None), Next::Over, "the load was over before the window");
    }
}
