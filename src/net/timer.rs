//! A wake-up at an exact moment: `timerfd` for a poll that waits, and a plain sleep to a tick.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// A timer that makes a poll return. `mio` rounds its own time-outs up to whole milliseconds.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
    armed: Option<Instant>,
}

impl Timer {
    /// A timer that is not armed.
    ///
    /// # Errors
    /// The system's: too many open files.
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self { fd: timerfd_create(TimerfdClockId::Monotonic, flags)?, armed: None })
    }

    /// For readiness.
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Strikes at `at`; `None` never. Arming again for the same moment costs nothing.
    ///
    /// # Errors
    /// The system's; none is known for a valid timer.
    pub fn arm(&mut self, at: Option<Instant>, now: Instant) -> io::Result<()> {
        if self.armed == at {
            return Ok(());
        }
        self.armed = at;
        // Zero disarms, so a moment that has passed is a nanosecond away.
        let wait = at.map_or(Duration::ZERO, |at| at.saturating_duration_since(now).max(Duration::from_nanos(1)));
        let it_value = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: i64::from(wait.subsec_nanos()) };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &Itimerspec { it_interval, it_value })?;
        Ok(())
    }

    /// The timer struck: it is not armed any more.
    pub fn acknowledge(&mut self) {
        let mut count = [0; 8];
        let _ = rustix::io::read(&self.fd, &mut count);
        self.armed = None;
    }
}

/// Sleeps until the next whole `tick` after `origin`, at most one, and returns that moment. `tick` divides a second.
pub fn sleep_to_tick(origin: Instant, now: Instant, tick: Duration) -> Instant {
    let left = left_of_tick(now - origin, tick);
    std::thread::sleep(left);
    now + left
}

/// From the middle of a tick to its end; a whole one from where two meet.
fn left_of_tick(since: Duration, tick: Duration) -> Duration {
    let tick = tick.subsec_nanos();
    Duration::from_nanos(u64::from(tick - since.subsec_nanos() % tick))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_left_to_its_end_and_never_for_no_time() {
        let left = |nanos, tick| left_of_tick(Duration::from_nanos(nanos), Duration::from_millis(tick)).as_nanos();
        assert_eq!([left(0, 1), left(1, 1), left(999_999, 1), left(1_000_000, 1)], [1_000_000, 999_999, 1, 1_000_000]);
        assert_eq!([left(1_500_000, 2), left(3_000_000_000, 2)], [500_000, 2_000_000]);
    }
}
