//! Reception over the life of a leg: totals, the last second, the block of the next RTCP report.

use std::time::{Duration, Instant};

use crate::media::rtcp::ReportBlock;
use crate::media::rtp::Header;

use super::{Arrival, Chain, Jitter, Sequence, loss_pct};

/// Packets over the life of a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// RTP packets that arrived, duplicates included.
    pub packets: u64,
    /// Packets that must have been sent, by sequence numbers.
    pub expected: u64,
    /// Different packets among those expected that arrived.
    pub unique: u64,
    /// Packets that had come before.
    pub duplicates: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Changes of the source and jumps of its numbers.
    pub restarts: u32,
}

/// What arrived in a stretch of time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// Packets expected in it.
    pub expected: u64,
    /// Loss in it, percent, 0 where late packets outweigh; `None` where nothing could be expected.
    pub loss_pct: Option<f64>,
    /// Jitter at its end, ms; `None` where no packet arrived in it.
    pub jitter_ms: Option<f64>,
}

/// Reception of one leg.
#[derive(Clone, Debug)]
pub struct Reception {
    clock_rate: u32,
    packet_time: Duration,
    source: Option<Source>,
    /// Totals of sources before the current one.
    before: Counts,
    chain_before: Chain,
    packets: u64,
    first: Option<Instant>,
    gap: Option<Duration>,
    /// What the last interval ended with.
    marked: Counts,
}

/// One synchronisation source.
#[derive(Clone, Debug)]
struct Source {
    ssrc: u32,
    sequence: Sequence,
    jitter: Jitter,
    last: Last,
    /// Expected and received at the last report block.
    reported: (u64, u64),
    /// The next packet is the first after an agreed pause.
    paused: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    arrived: Instant,
    header: Header,
}

impl Reception {
    /// For a codec's clock and the time between packets that the far end is expected to keep.
    pub fn new(clock_rate: u32, packet_time: Duration) -> Self {
        Self {
            clock_rate,
            packet_time,
            source: None,
            before: Counts::default(),
            chain_before: Chain::default(),
            packets: 0,
            first: None,
            gap: None,
            marked: Counts::default(),
        }
    }

    /// Packets from now on have timestamps of this clock: one that changes begins its jitter anew (RFC 7160).
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        if clock_rate != self.clock_rate {
            self.clock_rate = clock_rate;
            if let Some(source) = &mut self.source {
                source.jitter = Jitter::new(clock_rate);
            }
        }
    }

    /// Counts a packet. `timed` is false for RFC 4733 packets, which say nothing about jitter.
    pub fn add(&mut self, arrived: Instant, header: &Header, timed: bool) -> Arrival {
        self.packets += 1;
        self.first.get_or_insert(arrived);
        self.measure_gap(arrived, header);
        let known = self.source.as_ref().is_some_and(|source| source.ssrc == header.ssrc);
        let arrival = if known { self.add_known(arrived, header) } else { self.add_first(arrived, header) };
        let Some(source) = &mut self.source else { return arrival };
        if timed && matches!(arrival, Arrival::Ahead(_) | Arrival::Late | Arrival::Restart) {
            source.jitter.add(arrived, header.timestamp);
        }
        source.last = Last { arrived, header: *header };
        arrival
    }

    /// Totals.
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { packets: self.packets, ..self.before };
        if let Some(Source { sequence, .. }) = &self.source {
            counts.expected += sequence.expected();
            counts.unique += sequence.unique();
            counts.duplicates += sequence.duplicates();
            counts.reordered += sequence.late();
            counts.restarts += sequence.restarts();
        }
        counts
    }

    /// Loss over the life of the leg, percent; `None` where fewer than two packets were expected.
    pub fn loss_pct(&self) -> Option<f64> {
        let counts = self.counts();
        loss_pct(counts.expected, counts.unique)
    }

    /// Burst ratio of the losses, at least 1; `None` where nothing was lost.
    pub fn burst_r(&self) -> Option<f64> {
        let current = self.source.as_ref().map(|source| source.sequence.chain());
        Chain::joined(current.into_iter().chain([self.chain_before])).burst_r()
    }

    /// Current jitter, ms.
    pub fn jitter_ms(&self) -> Option<f64> {
        self.source.as_ref()?.jitter.millis()
    }

    /// When the first packet arrived.
    pub fn first(&self) -> Option<Instant> {
        self.first
    }

    /// When the last packet arrived.
    pub fn last(&self) -> Option<Instant> {
        self.source.as_ref().map(|source| source.last.arrived)
    }

    /// Longest time between two packets beyond what their sender meant; `None` before a second packet.
    pub fn longest_gap(&self) -> Option<Duration> {
        self.gap
    }

    /// Synchronisation source that packets come from now.
    pub fn ssrc(&self) -> Option<u32> {
        self.source.as_ref().map(|source| source.ssrc)
    }

    /// What arrived since this was last asked.
    pub fn take_interval(&mut self) -> Interval {
        let counts = self.counts();
        let expected = counts.expected - self.marked.expected;
        let unique = counts.unique - self.marked.unique;
        let arrived = counts.packets > self.marked.packets;
        self.marked = counts;
        Interval {
            expected,
            loss_pct: (expected > 0).then(|| expected.saturating_sub(unique) as f64 / expected as f64 * 100.0),
            jitter_ms: self.jitter_ms().filter(|_| arrived),
        }
    }

    /// The block for the next report, without the fields of the last SR; `None` before the first packet.
    pub fn take_report(&mut self) -> Option<ReportBlock> {
        let source = self.source.as_mut()?;
        let (expected, received) = source.sequence.reported();
        // A restart inside the source begins its counts anew.
        let before = if source.reported.0 > expected { (0, 0) } else { source.reported };
        source.reported = (expected, received);
        let expected_since = expected - before.0;
        let lost_since = expected_since.saturating_sub(received.saturating_sub(before.1));
        Some(ReportBlock {
            ssrc: source.ssrc,
            fraction_lost: (lost_since * 256).checked_div(expected_since).unwrap_or(0).min(255) as u8,
            lost: (expected as i64 - received as i64).clamp(-0x80_0000, 0x7F_FFFF) as i32,
            highest_sequence: source.sequence.extended_highest(),
            jitter: source.jitter.units(),
            last_sr: 0,
            delay_since_last_sr: 0,
        })
    }

    /// Silence that was agreed on (hold) is no gap and no loss, even of a sender that numbers on through it: the next
    /// packet begins anew.
    pub fn pause(&mut self, until: Instant) {
        if let Some(source) = &mut self.source {
            source.paused = true;
            source.last.arrived = source.last.arrived.max(until);
        }
    }

    fn add_known(&mut self, arrived: Instant, header: &Header) -> Arrival {
        let Some(source) = &mut self.source else { return self.add_first(arrived, header) };
        let arrival = match std::mem::take(&mut source.paused) {
            true => source.sequence.add_after_pause(header.sequence),
            false => source.sequence.add(header.sequence),
        };
        if arrival == Arrival::Restart {
            source.jitter = Jitter::new(self.clock_rate);
        }
        arrival
    }

    fn add_first(&mut self, arrived: Instant, header: &Header) -> Arrival {
        let changed = self.source.is_some();
        if let Some(old) = &self.source {
            self.chain_before = Chain::joined([self.chain_before, old.sequence.chain()]);
            self.before = Counts { packets: 0, restarts: self.counts().restarts + 1, ..self.counts() };
        }
        self.source = Some(Source {
            ssrc: header.ssrc,
            sequence: Sequence::new(header.sequence),
            jitter: Jitter::new(self.clock_rate),
            last: Last { arrived, header: *header },
            reported: (0, 0),
            paused: false,
        });
        if changed { Arrival::Restart } else { Arrival::Ahead(1) }
    }

    /// A sender that pauses during silence goes on in sequence with a timestamp that says how long it paused.
    fn measure_gap(&mut self, arrived: Instant, header: &Header) {
        let Some(Source { ssrc, last, .. }) = &self.source else { return };
        let next = *ssrc == header.ssrc && header.sequence == last.header.sequence.wrapping_add(1);
        let units = header.timestamp.wrapping_sub(last.header.timestamp).cast_signed();
        let meant = if next && units > 0 && last.header.payload_type == header.payload_type {
            Duration::from_secs_f64(f64::from(units) / f64::from(self.clock_rate)).max(self.packet_time)
        } else {
            self.packet_time
        };
        let gap = arrived.saturating_duration_since(last.arrived).saturating_sub(meant);
        self.gap = Some(self.gap.map_or(gap, |longest| longest.max(gap)));
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "any moment will do as a start")]
mod tests {
    use super::*;

    const PACKET_TIME: Duration = Duration::from_millis(20);

    fn header(ssrc: u32, sequence: u16) -> Header {
        Header { marker: false, payload_type: 0, sequence, timestamp: u32::from(sequence) * 160, ssrc }
    }

    /// Receives (ssrc, sequence, arrival in ms).
    fn after(start: Instant, packets: impl IntoIterator<Item = (u32, u16, u64)>) -> Reception {
        let mut reception = Reception::new(8_000, PACKET_TIME);
        for (ssrc, sequence, at) in packets {
            reception.add(start + Duration::from_millis(at), &header(ssrc, sequence), true);
        }
        reception
    }

    #[test]
    fn loss_is_unknown_until_two_packets_were_expected() {
        let start = Instant::now();
        assert_eq!(after(start, []).loss_pct(), None);
        assert_eq!(after(start, [(1, 5, 0)]).loss_pct(), None);
        assert_eq!(after(start, [(1, 5, 0), (1, 8, 60)]).loss_pct(), Some(50.0));
    }

    #[test]
    fn a_change_of_the_source_is_no_loss() {
        let reception = after(Instant::now(), [(1, 5, 0), (1, 7, 40), (2, 60_000, 60), (2, 60_001, 80)]);
        let expected = Counts { packets: 4, expected: 5, unique: 4, duplicates: 0, reordered: 0, restarts: 1 };
        assert_eq!(reception.counts(), expected);
        assert_eq!(reception.jitter_ms(), Some(0.0));
        assert_eq!(reception.burst_r(), Some(1.0));
    }

    #[test]
    fn intervals_count_what_came_since_the_last_one() {
        let start = Instant::now();
        let mut reception = after(start, (0..50).filter(|i| *i != 10).map(|i| (1, i, u64::from(i) * 20)));
        let first = reception.take_interval();
        assert_eq!((first.expected, first.loss_pct, first.jitter_ms), (50, Some(2.0), Some(0.0)));
        assert_eq!(reception.take_interval(), Interval::default());
        reception.add(start + Duration::from_secs(1), &header(1, 10), true);
        reception.add(start + Duration::from_secs(1), &header(1, 50), true);
        assert_eq!(reception.take_interval().loss_pct, Some(0.0));
        assert_eq!(reception.loss_pct(), Some(0.0));
    }

    #[test]
    fn a_gap_is_counted_beyond_the_packet_time_but_not_when_the_sender_paused() {
        let start = Instant::now();
        let mut reception = after(start, [(1, 0, 0), (1, 1, 20), (1, 2, 100)]);
        assert_eq!(reception.longest_gap(), Some(Duration::from_millis(60)));
        let resumed = Header { marker: true, timestamp: 2 * 160 + 8_000, ..header(1, 3) };
        reception.add(start + Duration::from_millis(1_100), &resumed, true);
        assert_eq!(reception.longest_gap(), Some(Duration::from_millis(60)));
    }

    #[test]
    fn numbers_that_a_sender_skips_through_a_hold_are_no_loss() {
        let start = Instant::now();
        let mut reception = after(start, [(1, 0, 0), (1, 1, 20)]);
        reception.pause(start + Duration::from_millis(40));
        // It had not heard of the hold yet, and sends one more.
        reception.add(start + Duration::from_millis(40), &header(1, 2), true);
        reception.pause(start + Duration::from_millis(2_000));
        for sequence in 100..110 {
            let arrived = start + Duration::from_millis(20 * u64::from(sequence));
            reception.add(arrived, &header(1, sequence), true);
        }
        let counts = reception.counts();
        assert_eq!((counts.expected, counts.unique, counts.restarts), (13, 13, 0));
        assert_eq!((reception.loss_pct(), reception.longest_gap()), (Some(0.0), Some(Duration::ZERO)));
        // One that is missing afterwards is.
        reception.add(start + Duration::from_millis(2_220), &header(1, 111), true);
        assert_eq!(reception.counts().expected, 15);
        let block = reception.take_report().expect("received");
        assert_eq!(block.lost, 1);
    }

    #[test]
    fn report_blocks_carry_fraction_and_cumulative_loss() {
        let start = Instant::now();
        let mut reception = after(start, [(9, 0, 0), (9, 1, 20), (9, 3, 60)]);
        let block = reception.take_report().expect("received");
        assert_eq!((block.ssrc, block.fraction_lost, block.lost, block.highest_sequence), (9, 64, 1, 3));
        reception.add(start + Duration::from_millis(80), &header(9, 3), true);
        reception.add(start + Duration::from_millis(80), &header(9, 4), true);
        let block = reception.take_report().expect("received");
        assert_eq!((block.fraction_lost, block.lost), (0, 0));
        assert_eq!(after(start, []).take_report(), None);
    }

    #[test]
    fn jitter_of_opus_is_measured_at_48_khz_and_a_change_of_the_clock_is_none() {
        let start = Instant::now();
        let mut reception = Reception::new(48_000, PACKET_TIME);
        let add = |reception: &mut Reception, sequence: u16, at: u64, timestamp: u32| {
            let header = Header { payload_type: 111, timestamp, ..header(1, sequence) };
            reception.add(start + Duration::from_millis(at), &header, true);
        };
        add(&mut reception, 0, 0, 0);
        add(&mut reception, 1, 20, 960);
        assert_eq!(reception.jitter_ms(), Some(0.0));
        // 8 ms late are 384 units, and a sixteenth of them counts.
        add(&mut reception, 2, 48, 1_920);
        assert_eq!(reception.jitter_ms(), Some(0.5));
        assert_eq!(reception.take_report().map(|block| block.jitter), Some(24));
        reception.set_clock_rate(8_000);
        add(&mut reception, 3, 60, 3_000);
        add(&mut reception, 4, 80, 3_160);
        assert_eq!((reception.jitter_ms(), reception.loss_pct()), (Some(0.0), Some(0.0)));
    }

    #[test]
    fn packets_of_a_telephone_event_leave_the_jitter_alone() {
        let start = Instant::now();
        let mut reception = after(start, [(1, 0, 0), (1, 1, 20)]);
        for sequence in 2..10 {
            let event = Header { timestamp: 320, payload_type: 101, ..header(1, sequence) };
            reception.add(start + Duration::from_millis(u64::from(sequence) * 20), &event, false);
        }
        reception.add(start + Duration::from_millis(200), &header(1, 10), true);
        assert_eq!((reception.jitter_ms(), reception.loss_pct()), (Some(0.0), Some(0.0)));
    }
}
