//! Interarrival jitter (RFC 3550 §6.4.1, A.8), in fractions of a millisecond.

use std::time::Instant;

/// A jump of the media clock against the arrival clock beyond this many seconds is a new time line, not jitter.
const NEW_TIME_LINE_S: f64 = 5.0;

/// The running estimate for one source.
#[derive(Clone, Copy, Debug)]
pub struct Jitter {
    clock_rate: f64,
    last: Option<(Instant, u32)>,
    /// In units of the codec's clock.
    value: f64,
    measured: bool,
}

impl Jitter {
    /// For timestamps of `clock_rate` Hz.
    pub fn new(clock_rate: u32) -> Self {
        Self { clock_rate: f64::from(clock_rate), last: None, value: 0.0, measured: false }
    }

    /// Adds a packet. Leave out those of RFC 4733, whose timestamp stands still.
    pub fn add(&mut self, arrived: Instant, timestamp: u32) {
        if let Some((last_arrived, last_timestamp)) = self.last {
            let later = arrived.saturating_duration_since(last_arrived).as_secs_f64();
            let earlier = last_arrived.saturating_duration_since(arrived).as_secs_f64();
            let sent = f64::from(timestamp.wrapping_sub(last_timestamp).cast_signed());
            let difference = ((later - earlier) * self.clock_rate - sent).abs();
            if difference <= NEW_TIME_LINE_S * self.clock_rate {
                self.value += (difference - self.value) / 16.0;
                self.measured = true;
            }
        }
        self.last = Some((arrived, timestamp));
    }

    /// The jitter, ms; `None` before a second packet.
    pub fn millis(&self) -> Option<f64> {
        self.measured.then(|| self.value / self.clock_rate * 1_000.0)
    }

    /// The jitter in units of the codec's clock, as report blocks carry it.
    pub fn units(&self) -> u32 {
        self.value as u32
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as a start")]
mod tests {
    use std::time::Duration;

    use super::*;

    fn after(pattern_us: &[u64]) -> Jitter {
        let (start, mut jitter) = (Instant::now(), Jitter::new(8_000));
        for (i, late) in pattern_us.iter().enumerate() {
            jitter.add(start + Duration::from_micros(20_000 * i as u64 + late), 160 * i as u32);
        }
        jitter
    }

    #[test]
    fn even_packets_have_no_jitter_and_one_packet_has_none_known() {
        assert_eq!(after(&[0; 50]).millis(), Some(0.0));
        assert_eq!(after(&[7]).millis(), None);
    }

    #[test]
    fn one_late_packet_moves_the_estimate_by_a_sixteenth_twice() {
        // D is 8 ms = 64 units on the way in and out: 64/16 = 4, then 4 + (64 − 4)/16 = 7.75 units.
        assert_eq!(after(&[0, 8_000]).millis(), Some(4.0 / 8.0));
        assert_eq!(after(&[0, 8_000, 0]).millis(), Some(7.75 / 8.0));
        assert_eq!(after(&[0, 8_000, 0]).units(), 7);
    }

    #[test]
    fn alternating_arrivals_converge_to_their_difference() {
        let pattern: Vec<u64> = (0..400).map(|i| if i % 2 == 0 { 0 } else { 3_000 }).collect();
        assert!((after(&pattern).millis().expect("measured") - 3.0).abs() < 1e-6);
    }

    #[test]
    fn a_new_time_line_is_not_jitter() {
        let start = Instant::now();
        let mut jitter = Jitter::new(8_000);
        jitter.add(start, 0);
        jitter.add(start + Duration::from_millis(20), 0x8000_0000);
        jitter.add(start + Duration::from_millis(40), 0x8000_0000 + 160);
        assert_eq!(jitter.millis(), Some(0.0));
    }
}
