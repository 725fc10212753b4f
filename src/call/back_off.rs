//! Back-off: after a 503 with Retry-After its sender gets no new call until that time is over (RFC 3261 §21.5.4).
//!
//! A pause is of one actor, and of the trunk that its call took, where the dial names one; without a trunk (or after a
//! REGISTER) it is of the actor's whole target. Workers tell each other of theirs.

use std::time::{Duration, Instant};

use crate::scenario::plan::{Plan, Step};

/// Calls of an actor over a trunk are not wanted until a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Index of the actor in the plan.
    pub actor: usize,
    /// Label of the trunk; `None` is the actor's whole target.
    pub trunk: Option<String>,
    /// Its end.
    pub until: Instant,
}

/// Pauses under way.
#[derive(Debug)]
pub(super) struct BackOff {
    honoured: bool,
    pauses: Vec<Pause>,
    news: Vec<Pause>,
}

impl BackOff {
    pub(super) fn new(honoured: bool) -> Self {
        Self { honoured, pauses: Vec::new(), news: Vec::new() }
    }

    /// A 503 came, with this Retry-After if any (seconds).
    pub(super) fn note(&mut self, now: Instant, actor: usize, trunk: Option<&str>, retry_after: Option<u32>) {
        let Some(seconds) = retry_after.filter(|seconds| self.honoured && *seconds > 0) else { return };
        let pause = Pause { actor, trunk: trunk.map(str::to_owned), until: now + Duration::from_secs(seconds.into()) };
        if self.add(now, pause.clone()) {
            self.news.push(pause);
        }
    }

    /// A pause of another worker. True where none of the kind was under way.
    pub(super) fn add(&mut self, now: Instant, pause: Pause) -> bool {
        self.pauses.retain(|known| known.until > now);
        let same = |known: &&mut Pause| (known.actor, &known.trunk) == (pause.actor, &pause.trunk);
        match self.pauses.iter_mut().find(same) {
            Some(known) => {
                known.until = known.until.max(pause.until);
                false
            }
            None => {
                self.pauses.push(pause);
                true
            }
        }
    }

    /// A pause that began, to be told to others.
    pub(super) fn poll_news(&mut self) -> Option<Pause> {
        self.news.pop()
    }

    /// Until when calls of an actor over a trunk are not wanted.
    pub(super) fn until(&self, now: Instant, actor: usize, trunk: Option<&str>) -> Option<Instant> {
        let concerns = |pause: &&Pause| {
            let trunks = pause.trunk.is_none() || pause.trunk.as_deref() == trunk;
            pause.actor == actor && trunks && pause.until > now
        };
        self.pauses.iter().filter(concerns).map(|pause| pause.until).max()
    }

    /// Until when attempt `n` would come to nothing: the first call of one of its actors is not wanted.
    pub(super) fn holds_attempts(&self, now: Instant, plan: &Plan, n: u64) -> Option<Instant> {
        if self.pauses.is_empty() {
            return None;
        }
        let first_call = |(index, actor): (usize, &crate::scenario::plan::Actor)| {
            let dial = actor.steps.iter().find_map(|step| match step {
                Step::Dial(dial) => Some(dial.trunk.as_deref()),
                _ => None,
            });
            self.until(now, index, dial.flatten())
        };
        let cast = plan.cast(n);
        plan.actors.iter().enumerate().skip(cast.start).take(cast.len()).filter_map(first_call).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_of_its_trunk_and_one_without_a_trunk_of_all() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let t0 = Instant::now();
        let secs = Duration::from_secs;
        let mut back_off = BackOff::new(true);
        back_off.note(t0, 0, Some("a"), Some(10));
        back_off.note(t0 + secs(1), 0, Some("a"), Some(20));
        assert_eq!(back_off.until(t0, 0, Some("a")), Some(t0 + secs(21)), "the later end counts");
        assert_eq!((back_off.until(t0, 0, Some("b")), back_off.until(t0, 1, Some("a"))), (None, None));
        assert_eq!(back_off.until(t0 + secs(21), 0, Some("a")), None);
        back_off.note(t0, 0, None, Some(5));
        assert_eq!(back_off.until(t0, 0, Some("b")), Some(t0 + secs(5)));
        assert_eq!(
            (back_off.poll_news().is_some(), back_off.poll_news().is_some(), back_off.poll_news()),
            (true, true, None)
        );
    }

    #[test]
    fn without_retry_after_or_where_it_is_not_honoured_nothing_pauses() {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let t0 = Instant::now();
        let mut back_off = BackOff::new(true);
        back_off.note(t0, 0, None, None);
        back_off.note(t0, 0, None, Some(0));
        assert_eq!(back_off.until(t0, 0, None), None);
        let mut deaf = BackOff::new(false);
        deaf.note(t0, 0, None, Some(5));
        assert_eq!(deaf.until(t0, 0, None), None);
    }
}
