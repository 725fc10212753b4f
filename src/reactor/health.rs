//! What a reactor sees of itself: how much it does, and how late it is.

use std::time::{Duration, Instant};

use crate::measure::{Distribution, Scale};
use crate::station::{Dismissed, Unattributed};

/// A turn longer than this is long.
const LONG_TURN: Duration = Duration::from_millis(20);
/// Datagrams are counted over this time to know their rate.
const RATE_OVER: Duration = Duration::from_millis(20);
/// Datagrams per second from which turns wait for a tick.
const BUSY_RATE: u32 = 2_000;
/// Datagrams per second from which the short tick is needed: in two of them the system's default buffer of a socket, some 160
/// datagrams, would be more than half full.
const CROWDED_RATE: u32 = 32_000;
/// Streams beyond which turns wait for a tick.
const BUSY_STREAMS: usize = 50;
/// The tick while media runs: a packet of RTP goes out at most this late.
const TICK: Duration = Duration::from_millis(1);
/// The tick of signalling alone. A call starts at most this late; waking half as often costs a fifth less at 1,000 calls a
/// second, and what arrives carries the kernel's time.
const SIGNALLING_TICK: Duration = Duration::from_millis(2);

/// What a reactor has seen of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Turns taken.
    pub turns: u64,
    /// Turns longer than 20 ms while media ran, from the moment they were due.
    pub long_turns: u64,
    /// Longest turn, from the moment it was due.
    pub longest_turn: Duration,
    /// Datagrams that the system did not take from us.
    pub send_overflows: u64,
    /// Datagrams received, SIP and media.
    pub received: u64,
    /// Datagrams and stream messages sent.
    pub sent: u64,
    /// Sockets open now.
    pub sockets: u64,
    /// Most sockets open at the same time.
    pub peak_sockets: u64,
    /// Connections of others that had to go.
    pub dismissed: Dismissed,
    /// Datagrams on shared media sockets that were given to no call.
    pub unattributed: Unattributed,
}

/// How long the turns were while media ran. A turn counts from the moment it was due, so a worker that the machine
/// does not let run has long turns, however short each one was once it ran.
#[derive(Debug)]
pub(super) struct Turns(Distribution);

/// Whether turns wait for a tick: many packets or streams share the cost of waking then.
#[derive(Debug)]
pub(super) struct Pace {
    since: Instant,
    datagrams: u32,
    /// Datagrams per second lately.
    rate: f64,
}

impl Turns {
    pub(super) fn new() -> Self {
        Self(Distribution::new(Scale::Millis))
    }

    /// A turn that was due at `due` ended at `end`, with so many streams running.
    pub(super) fn note(&mut self, health: &mut Health, (due, end): (Instant, Instant), streams: usize) {
        let took = end.saturating_duration_since(due);
        health.turns += 1;
        health.longest_turn = health.longest_turn.max(took);
        if streams > 0 {
            self.0.add(Some(took.as_secs_f64() * 1000.0));
            health.long_turns += u64::from(took > LONG_TURN);
        }
    }

    /// Those since they were last taken, milliseconds.
    pub(super) fn take(&mut self) -> Distribution {
        let taken = self.0.clone();
        self.0.clear();
        taken
    }
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        // The first turn does not wait for anything to arrive: a station wants something before.
        Self { since: now, datagrams: 0, rate: f64::from(CROWDED_RATE) }
    }

    /// So many datagrams came in the turn that began at `now`.
    pub(super) fn note(&mut self, now: Instant, datagrams: u64) {
        self.datagrams = self.datagrams.saturating_add(u32::try_from(datagrams).unwrap_or(u32::MAX));
        let over = now.saturating_duration_since(self.since);
        if over >= RATE_OVER {
            self.rate = f64::from(self.datagrams) / over.as_secs_f64();
            (self.since, self.datagrams) = (now, 0);
        }
    }

    /// The tick that the next turn waits for, with so many streams running; `None` where it does not wait.
    pub(super) fn tick(&self, streams: usize) -> Option<Duration> {
        let busy = self.rate > f64::from(BUSY_RATE) || streams > BUSY_STREAMS;
        let calm = streams == 0 && self.rate < f64::from(CROWDED_RATE);
        busy.then_some(if calm { SIGNALLING_TICK } else { TICK })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        Instant::now()
    }

    #[test]
    fn turns_wait_for_a_tick_above_two_thousand_datagrams_a_second() {
        let t0 = start();
        let after = |milliseconds, datagrams| {
            let mut pace = Pace::new(t0);
            pace.note(t0 + Duration::from_millis(milliseconds), datagrams);
            pace.tick(0)
        };
        assert_eq!(after(20, 40), None, "40 in 20 ms are 2,000 a second");
        assert_eq!(after(20, 41), Some(SIGNALLING_TICK));
        assert_eq!(after(1000, 41), None, "a burst after a quiet second");
        assert_eq!(after(19, 0), Some(TICK), "too early to tell: as it was");
    }

    #[test]
    fn the_tick_is_short_where_media_runs_or_a_socket_would_fill_up() {
        let t0 = start();
        let with = |datagrams, streams| {
            let mut pace = Pace::new(t0);
            pace.note(t0 + Duration::from_millis(20), datagrams);
            pace.tick(streams)
        };
        assert_eq!(
            (with(639, 0), with(640, 0)),
            (Some(SIGNALLING_TICK), Some(TICK)),
            "640 in 20 ms are 32,000 a second"
        );
        assert_eq!((with(100, 1), with(0, 50), with(0, 51)), (Some(TICK), None, Some(TICK)));
    }

    #[test]
    fn a_burst_of_one_turn_is_no_rate() {
        let t0 = start();
        let mut pace = Pace::new(t0);
        pace.note(t0 + Duration::from_millis(100), 0);
        pace.note(t0 + Duration::from_millis(101), 30);
        assert_eq!(pace.tick(0), None);
    }

    #[test]
    fn a_turn_counts_from_the_moment_it_was_due_and_only_while_media_runs() {
        let (t0, mut turns, mut health) = (start(), Turns::new(), Health::default());
        let ms = |milliseconds| t0 + Duration::from_millis(milliseconds);
        turns.note(&mut health, (t0, ms(1500)), 0);
        assert_eq!((turns.take().count(), health.long_turns), (0, 0));
        assert_eq!(health.longest_turn, Duration::from_millis(1500));
        turns.note(&mut health, (t0, ms(30)), 1);
        assert_eq!((turns.take().max(), health.long_turns), (Some(30.0), 1));
        turns.note(&mut health, (t0, ms(2)), 1);
        assert_eq!(turns.take().max(), Some(2.0), "what was taken is gone");
    }
}
