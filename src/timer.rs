//! A timing wheel of 1 ms ticks, shared by the machines of one worker.
//!
//! Inserting and expiring cost the same however many timers stand (four levels of slots, as in Varghese & Lauck 1987).
//! A timer is not cancelled: its owner remembers which deadline counts and ignores a key that comes early or twice.

use std::time::{Duration, Instant};

const TICK: Duration = Duration::from_millis(1);
/// Slots of the first level: 256 ms.
const NEAR_BITS: u32 = 8;
/// Slots of each further level: 16 s, 17 min and 18 h in all.
const FAR_BITS: u32 = 6;
const LEVELS: usize = 4;

/// Keys waiting for their tick.
#[derive(Debug)]
pub struct Wheel<K> {
    origin: Instant,
    /// The first tick that has not been expired.
    current: u64,
    levels: [Level<K>; LEVELS],
    due: Vec<K>,
    len: usize,
}

#[derive(Debug)]
struct Level<K> {
    slots: Vec<Vec<(u64, K)>>,
    len: usize,
}

impl<K> Wheel<K> {
    /// An empty wheel whose ticks are counted from `now`.
    pub fn new(now: Instant) -> Self {
        let level = |bits: u32| Level { slots: (0..1 << bits).map(|_| Vec::new()).collect(), len: 0 };
        let levels = std::array::from_fn(|index| level(if index == 0 { NEAR_BITS } else { FAR_BITS }));
        Self { origin: now, current: 0, levels, due: Vec::new(), len: 0 }
    }

    /// Keys that stand, those already due included.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no key stands.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Lets `key` come out at `at`, rounded up to the next tick; at once where `at` has passed.
    pub fn insert(&mut self, at: Instant, key: K) {
        let since = at.saturating_duration_since(self.origin);
        let tick = since.as_nanos().div_ceil(TICK.as_nanos()) as u64;
        self.len += 1;
        self.place(tick.max(self.current), key);
    }

    /// The next key whose time has come.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        if self.due.is_empty() {
            self.advance((now.saturating_duration_since(self.origin).as_nanos() / TICK.as_nanos()) as u64);
        }
        let key = self.due.pop()?;
        self.len -= 1;
        Some(key)
    }

    /// When to call [`pop`](Self::pop) next: never later than the earliest key, sometimes earlier.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.len == 0 {
            return None;
        }
        let tick = if self.due.is_empty() { self.next_tick() } else { self.current };
        Some(self.origin + Duration::from_millis(tick))
    }

    fn next_tick(&self) -> u64 {
        if let Some((index, level)) = self.levels.iter().enumerate().find(|(_, level)| level.len > 0) {
            let bits = shift(index);
            let count = level.slots.len() as u64;
            let base = self.current >> bits;
            // A far slot equal to the base was emptied when the wheel entered it, so it holds the next turn.
            let first = u64::from(index > 0);
            let ahead = (first..first + count)
                .find(|ahead| !level.slots[((base + ahead) % count) as usize].is_empty())
                .expect("a level with keys has an occupied slot");
            let tick = (base + ahead) << bits;
            // Keys further out may stand in a far slot that is entered before the near key found here.
            return self.levels[index + 1..]
                .iter()
                .enumerate()
                .filter(|(_, far)| far.len > 0)
                .map(|(far, _)| next_multiple(self.current, shift(index + 1 + far)))
                .fold(tick, u64::min)
                .max(self.current);
        }
        self.current
    }

    fn place(&mut self, tick: u64, key: K) {
        for index in 0..LEVELS {
            let bits = shift(index);
            let slots = self.levels[index].slots.len() as u64;
            let ahead = (tick >> bits) - (self.current >> bits);
            if ahead < slots || index == LEVELS - 1 {
                // Past the last level a key waits in its furthest slot and is placed anew from there.
                let slot = ((self.current >> bits) + ahead.min(slots - 1)) % slots;
                self.levels[index].slots[slot as usize].push((tick, key));
                self.levels[index].len += 1;
                return;
            }
        }
    }

    /// Moves every key up to and including `target` into `due`.
    fn advance(&mut self, target: u64) {
        while self.current <= target && self.due.is_empty() {
            if self.levels[0].len == 0 {
                // Nothing near: jump to where the next far slot opens.
                let next = next_multiple(self.current, NEAR_BITS);
                if next > target || self.len == 0 {
                    self.current = if self.len == 0 { target + 1 } else { self.current.max(target + 1).min(next) };
                    self.enter();
                    break;
                }
                self.current = next;
                self.enter();
                continue;
            }
            let slot = (self.current & ((1 << NEAR_BITS) - 1)) as usize;
            let near = &mut self.levels[0];
            near.len -= near.slots[slot].len();
            self.due.extend(near.slots[slot].drain(..).map(|(_, key)| key));
            self.current += 1;
            self.enter();
        }
        // Keys of one tick come out in the order they went in.
        self.due.reverse();
    }

    /// Brings the keys of far slots that begin at the current tick nearer.
    fn enter(&mut self) {
        for index in (1..LEVELS).rev() {
            if !self.current.is_multiple_of(1 << shift(index)) {
                continue;
            }
            let level = &mut self.levels[index];
            let slot = ((self.current >> shift(index)) % level.slots.len() as u64) as usize;
            let mut keys = std::mem::take(&mut level.slots[slot]);
            level.len -= keys.len();
            for (tick, key) in keys.drain(..) {
                self.place(tick.max(self.current), key);
            }
            // The slot keeps its memory for the next lap.
            let slot = &mut self.levels[index].slots[slot];
            if slot.is_empty() {
                *slot = keys;
            }
        }
    }
}

fn shift(level: usize) -> u32 {
    if level == 0 { 0 } else { NEAR_BITS + FAR_BITS * (level as u32 - 1) }
}

fn next_multiple(tick: u64, bits: u32) -> u64 {
    ((tick >> bits) + 1) << bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        Instant::now()
    }

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// Runs the wheel as a worker does, from deadline to deadline, and notes when each key came out.
    fn drain(wheel: &mut Wheel<u64>, start: Instant) -> Vec<(u64, u64)> {
        let mut out = Vec::new();
        let mut turns = 0;
        while let Some(now) = wheel.next_deadline() {
            turns += 1;
            assert!(turns < 2_000_000, "the wheel does not come to an end");
            while let Some(key) = wheel.pop(now) {
                out.push(((now - start).as_millis() as u64, key));
            }
        }
        out
    }

    #[test]
    fn keys_come_out_at_their_tick_in_order_over_every_level() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        let times = [0, 1, 255, 256, 257, 500, 511, 512, 16_383, 16_384, 32_000, 1_048_576, 3_600_000, 86_400_000];
        for time in times.iter().rev() {
            wheel.insert(start + ms(*time), *time);
        }
        let out = drain(&mut wheel, start);
        assert_eq!(out.iter().map(|(at, _)| *at).collect::<Vec<_>>(), times);
        assert!(out.iter().all(|(at, key)| at == key), "{out:?}");
    }

    #[test]
    fn a_deadline_between_ticks_comes_at_the_next_tick_and_never_early() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        wheel.insert(start + Duration::from_micros(1500), 1);
        assert_eq!(wheel.pop(start + Duration::from_micros(1999)), None);
        assert_eq!(wheel.pop(start + ms(2)), Some(1));
    }

    #[test]
    fn keys_of_one_tick_keep_their_order_and_a_past_key_comes_at_once() {
        let start = origin();
        let mut wheel = Wheel::new(start);
        for key in 0..5 {
            wheel.insert(start + ms(700), key);
        }
        let now = start + ms(900);
        let mut out = Vec::new();
        while let Some(key) = wheel.pop(now) {
            out.push(key);
        }
        assert_eq!(out, [0, 1, 2, 3, 4]);
        wheel.insert(start, 9);
        assert_eq!(wheel.next_deadline().map(|at| at <= now + ms(1)), Some(true));
        assert_eq!(wheel.pop(now + ms(1)), Some(9));
    }

    proptest::proptest! {
        #[test]
        fn no_key_is_lost_or_early(steps in proptest::collection::vec((0u64..2_000_000, 0u64..70_000), 1..60)) {
            let start = origin();
            let mut wheel = Wheel::new(start);
            let mut now = 0;
            let mut waiting = Vec::new();
            for (delay, pass) in steps {
                wheel.insert(start + ms(now + delay), now + delay);
                waiting.push(now + delay);
                now += pass;
                let deadline = wheel.next_deadline().expect("one stands");
                let earliest = *waiting.iter().min().expect("one stands");
                proptest::prop_assert!(deadline <= start + ms(earliest.max(now)) + ms(1));
                while let Some(key) = wheel.pop(start + ms(now)) {
                    proptest::prop_assert!(key <= now);
                    let index = waiting.iter().position(|at| *at == key).expect("came out once");
                    waiting.swap_remove(index);
                }
                proptest::prop_assert!(waiting.iter().all(|at| *at > now), "{waiting:?} at {now}");
            }
        }
    }
}
