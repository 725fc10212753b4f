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

/// Sleeps until the next whole millisecond after `origin`, at most one, and returns that moment.
pub fn sleep_to_tick(origin: Instant, now: Instant) -> Instant {
    let into = (now - origin).subsec_nanos() % 1_000_000;
    let left = Duration::from_nanos(u64::from(1_000_000 - into));
    std::thread::sleep(left);
    now + left
}
