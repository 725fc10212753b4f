//! The only place that reads the clock. Everything else is told the time.

use std::time::Instant;

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
