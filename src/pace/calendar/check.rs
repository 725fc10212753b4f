//! What recurs: a check, when it starts, and when it does not.

use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::cron::Cron;
use super::signed;

/// A check of one agent that recurs.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Its name, alone among all: its place in the calendar is remembered under it.
    pub name: Arc<str>,
    /// Whose call it is; with the name it decides the offset.
    pub agent: String,
    /// When it starts.
    pub cadence: Cadence,
    /// Each start is put off by up to this, drawn anew: others that keep the same minute are then not met every time.
    pub jitter: Duration,
    /// What becomes of a start while the check is still under way.
    pub overlap: Overlap,
    /// What becomes of starts that were missed.
    pub catch_up: CatchUp,
    /// When it does not start.
    pub maintenance: Vec<Maintenance>,
    /// Calls on one day at most.
    pub per_day: Option<u32>,
    /// Numbers that each start dials.
    pub numbers: Vec<Arc<str>>,
    /// Calls to each of them on one day at most, those of all checks together.
    pub per_number: Option<u32>,
}

/// When a check starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cadence {
    /// Once in each stretch of this length, counted from the epoch; at an offset of its own in it. At least 1 s.
    Every(Duration),
    /// Once in each of these minutes; at an offset of its own in it.
    Cron(Cron),
}

/// What becomes of a start while the check is still under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It is left out.
    #[default]
    Skip,
    /// It comes as soon as the check is over; of several one.
    QueueOne,
}

/// What becomes of starts that were missed: nobody ran, the machine slept, the clock jumped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// They are left out.
    #[default]
    None,
    /// One comes for all of them.
    One,
}

/// A time in which nothing starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maintenance {
    /// When it is.
    pub when: When,
    /// Why, for people.
    pub reason: Option<String>,
}

/// When a maintenance is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// Again and again: from each of these minutes on, for so long.
    Recurring(Cron, Duration),
    /// Once, from (included) and to (not included).
    Once(Timestamp, Timestamp),
}

impl Maintenance {
    /// Whether a moment lies in it.
    pub fn covers(&self, at: Timestamp, zone: &TimeZone) -> bool {
        match &self.when {
            When::Once(from, to) => (*from..*to).contains(&at),
            When::Recurring(cron, lasts) => {
                let before = at.checked_sub(signed(*lasts)).ok();
                before.and_then(|before| cron.next_after(before, zone)).is_some_and(|begins| begins <= at)
            }
        }
    }
}

impl Check {
    /// Where in its stretch or minute it starts: the same for the same agent and check, on every machine and for ever,
    /// and different from check to check, so that they do not start as a herd.
    ///
    /// The hash is FNV-1a (64 bits) over the bytes of the name, a byte 0xff and those of the agent, mixed by the last
    /// steps of SplitMix64; the offset is its upper half, as a fraction of the length.
    pub fn offset(&self) -> Duration {
        self.part_of(self.stretch(), self.hash())
    }

    /// In which its starts are spread.
    fn stretch(&self) -> Duration {
        match self.cadence {
            Cadence::Every(every) => every,
            Cadence::Cron(_) => MINUTE,
        }
    }

    /// After a gap all checks would start at once: each waits for a part of a minute, or of its stretch.
    pub(super) fn wait_to_catch_up(&self) -> Duration {
        self.part_of(self.stretch().min(MINUTE), self.hash())
    }

    /// When the first start after a moment is due.
    pub(super) fn next_due(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let latest = signed(self.offset() + self.jitter);
        // The earliest slot that may be due by then.
        let before = after.checked_sub(latest).ok()?.checked_sub(SignedDuration::from_nanos(1)).ok()?;
        let mut slot = before;
        loop {
            slot = self.slot_after(slot, zone)?;
            let jitter = self.part_of(self.jitter, mix(self.hash() ^ slot.as_second() as u64));
            let due = slot.checked_add(signed(self.offset() + jitter)).ok()?;
            if due > after {
                return Some(due);
            }
        }
    }

    /// Starts that were due after the first moment and not after the second, 10,000 at most.
    pub(super) fn count_due(&self, (after, until): (Timestamp, Timestamp), zone: &TimeZone) -> u64 {
        let mut at = after;
        let mut next = || {
            at = self.next_due(at, zone).filter(|due| *due <= until)?;
            Some(())
        };
        std::iter::from_fn(&mut next).take(COUNTED).count() as u64
    }

    /// Whether its starts come at the same times as those of another.
    pub(super) fn keeps_time_of(&self, other: &Self) -> bool {
        (&self.agent, &self.cadence, self.jitter) == (&other.agent, &other.cadence, other.jitter)
    }

    /// The first slot after a moment.
    fn slot_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.cadence {
            Cadence::Every(every) => {
                let every = i128::try_from(every.as_nanos()).ok()?;
                let next = after.as_nanosecond().div_euclid(every) + 1;
                Timestamp::from_nanosecond(next.checked_mul(every)?).ok()
            }
            Cadence::Cron(cron) => cron.next_after(after, zone),
        }
    }

    /// A start that comes no later than this after its time is late; later it was missed.
    pub(super) fn grace(&self) -> Duration {
        self.stretch().min(MINUTE) / 2
    }

    fn part_of(&self, length: Duration, hash: u64) -> Duration {
        let nanos = (length.as_nanos() * u128::from(hash >> 32)) >> 32;
        // Whole milliseconds: finer ones would only make figures hard to read.
        Duration::from_millis((nanos / 1_000_000) as u64)
    }

    fn hash(&self) -> u64 {
        let bytes = self.name.bytes().chain([0xff]).chain(self.agent.bytes());
        mix(bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }
}

const MINUTE: Duration = Duration::from_secs(60);
/// Starts of one gap that are counted.
const COUNTED: usize = 10_000;

fn mix(value: u64) -> u64 {
    crate::units::Random::new(value).next_u64()
}
