//! Places of a limit on calls at the same time, and by whom they are taken.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::scenario::lab::{Freed, Others, Places};
use crate::units::Random;

/// Places that are taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// By calls that go on.
    calls: u32,
    /// By calls that have ended: when each place can be had again, in order.
    returning: VecDeque<Instant>,
    /// By calls that have ended, for ever.
    lost: u32,
    /// By other people's calls, since the draw of this number.
    others: u32,
    draw: Option<u128>,
}

impl Taken {
    /// Lets time pass: places come back, other people's calls come and go.
    pub(super) fn advance(&mut self, now: Instant, origin: Instant, seed: u64, places: &Places) {
        if let Some(others) = places.others {
            let draw = now.saturating_duration_since(origin).as_nanos() / others.change_every.as_nanos().max(1);
            if self.draw.replace(draw) != Some(draw) {
                // As things stood at the moment of the draw: nothing but returning places has changed since.
                let at = origin + Duration::from_nanos((draw * others.change_every.as_nanos()) as u64);
                self.settle(at);
                self.others = drawn(others, seed, draw).min(places.limit.saturating_sub(self.all() - self.others));
            }
        }
        self.settle(now);
    }

    fn settle(&mut self, now: Instant) {
        while self.returning.front().is_some_and(|at| *at <= now) {
            self.returning.pop_front();
        }
    }

    /// A call takes one.
    pub(super) fn take(&mut self) {
        self.calls += 1;
    }

    /// A call has ended.
    pub(super) fn give_back(&mut self, now: Instant, freed: Freed) {
        self.calls -= 1;
        match freed {
            Freed::AtOnce => {}
            Freed::After(period) => self.returning.push_back(now + period),
            Freed::Never => self.lost += 1,
        }
    }

    /// All that are taken, by whomever.
    pub(super) fn all(&self) -> u32 {
        self.calls + self.returning.len() as u32 + self.lost + self.others
    }

    /// Those that calls hold, or held and have not come back.
    pub(super) fn by_calls(&self, now: Instant) -> usize {
        self.calls as usize + self.lost as usize + self.returning.iter().filter(|at| **at > now).count()
    }

    /// Nothing has to be remembered. Other people's calls have to be: they are drawn of what was free.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.by_calls(now) == 0 && self.draw.is_none()
    }
}

/// How many calls others would like to have from the draw of this number on.
fn drawn(others: Others, seed: u64, draw: u128) -> u32 {
    let span = u64::from(others.max.saturating_sub(others.min)) + 1;
    others.min + (Random::new(seed.wrapping_add(draw as u64)).next_u64() % span) as u32
}
