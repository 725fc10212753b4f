//! The only place that reads the clock. Everything else is told the time.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The monotonic time, for everything that is measured.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall-clock time, for time stamps that people and databases read.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
pub fn timestamp() -> Timestamp {
    Timestamp::now()
}

/// The local time of day, from midnight.
pub fn time_of_day() -> Duration {
    let time = timestamp().to_zoned(jiff::tz::TimeZone::system()).time();
    let hours = Duration::from_secs(3600 * time.hour() as u64 + 60 * time.minute() as u64 + time.second() as u64);
    hours + Duration::from_nanos(time.subsec_nanosecond() as u64)
}

/// Both clocks, read once at the beginning of a worker's turn.
#[derive(Clone, Copy, Debug)]
pub struct Turn {
    /// The monotonic time of this turn.
    pub now: Instant,
    /// That of the turn before: nothing can have arrived earlier.
    pub last: Instant,
    since_epoch: Duration,
}

impl Turn {
    /// The turn after one that began at `last`. Time never goes back.
    pub fn begin(last: Instant) -> Self {
        let since_epoch = timestamp().as_duration().try_into().unwrap_or_default();
        Self { now: now().max(last), last, since_epoch }
    }

    /// The moment of a kernel time stamp (Unix epoch), within this turn: clocks may step, jitter may not.
    pub fn instant_of(&self, stamp: Duration) -> Instant {
        let ago = self.since_epoch.saturating_sub(stamp);
        self.now.checked_sub(ago).map_or(self.last, |at| at.clamp(self.last, self.now))
    }
}

/// A seed that differs from run to run. Everything drawn from it is an identity, not a secret.
pub fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    // The standard library seeds its hashers from the system.
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_i128(timestamp().as_nanosecond());
    hasher.finish()
}

/// What nobody can guess: from the system's generator.
pub fn secret() -> [u8; 32] {
    let mut secret = [0; 32];
    let mut filled = 0;
    while filled < secret.len() {
        // It fails in no other way than by being interrupted, once the system is up.
        filled += rustix::rand::getrandom(&mut secret[filled..], rustix::rand::GetRandomFlags::empty()).unwrap_or(0);
    }
    secret
}
