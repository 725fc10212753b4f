//! The wall clock of RTCP, derived from one reading that the shell gives (RFC 3550 §4).

use std::time::{Duration, Instant};

/// A monotonic moment and the NTP time it stands for. One per worker: it is also the origin of every send grid.
#[derive(Clone, Copy, Debug)]
pub struct NtpClock {
    /// The monotonic moment.
    pub at: Instant,
    /// Seconds since 1900 at that moment, 32.32 fixed point.
    pub ntp: u64,
}

impl NtpClock {
    /// Seconds between the NTP epoch (1900) and the Unix epoch (1970).
    pub const UNIX_EPOCH: u64 = 2_208_988_800;

    /// A clock that stood at `since_unix` after 1970 at the moment `at`.
    pub fn from_unix(at: Instant, since_unix: Duration) -> Self {
        Self { at, ntp: (Self::UNIX_EPOCH << 32).wrapping_add(fixed(since_unix)) }
    }

    /// The NTP time at `moment`, 32.32 fixed point.
    pub fn ntp(&self, moment: Instant) -> u64 {
        match moment.checked_duration_since(self.at) {
            Some(after) => self.ntp.wrapping_add(fixed(after)),
            None => self.ntp.wrapping_sub(fixed(self.at.duration_since(moment))),
        }
    }

    /// The middle 32 bits of the NTP time at `moment`, in units of 1/65536 s.
    pub fn compact(&self, moment: Instant) -> u32 {
        compact(self.ntp(moment))
    }
}

/// The middle 32 bits of an NTP time.
pub fn compact(ntp: u64) -> u32 {
    (ntp >> 16) as u32
}

/// A duration in units of 1/65536 s, as DLSR wants it.
pub fn to_compact(duration: Duration) -> u32 {
    u32::try_from(fixed(duration) >> 16).unwrap_or(u32::MAX)
}

/// The duration of `units` of 1/65536 s.
pub fn from_compact(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

fn fixed(duration: Duration) -> u64 {
    let fraction = (u64::from(duration.subsec_nanos()) << 32) / 1_000_000_000;
    (duration.as_secs() << 32).wrapping_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn ntp_time_runs_with_the_monotonic_clock() {
        let at = Instant::now();
        let clock = NtpClock::from_unix(at, Duration::from_millis(500));
        assert_eq!(clock.ntp(at), (2_208_988_800 << 32) + (1 << 31));
        assert_eq!(clock.ntp(at + Duration::from_millis(500)), 2_208_988_801 << 32);
        assert_eq!(clock.compact(at + Duration::from_secs(1)) - clock.compact(at), 65_536);
    }

    #[test]
    fn compact_durations_come_back_within_one_unit() {
        for millis in [0, 1, 20, 999, 5_000, 60_000] {
            let duration = Duration::from_millis(millis);
            let back = from_compact(to_compact(duration));
            assert!(duration.abs_diff(back) < Duration::from_micros(16), "{duration:?} {back:?}");
        }
    }
}
