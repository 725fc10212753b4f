//! RTCP of one leg: when reports go out, what they say, and the round-trip time from those that come in.
//!
//! The first compound goes out with the first point of the grid, the second half a second to a second later (and
//! soon after the far end's first SR), so that a call of two seconds has a round-trip time; then RFC 3550 §6.2 with
//! its minimum of 5 s, varied by half. The halved first interval and the reconsideration of large groups are left
//! out: there are two parties.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::media::clock::{NtpClock, compact, from_compact, to_compact};
use crate::media::rtcp::{self, Compound, Packet, ReportBlock, Reports, SenderInfo};
use crate::media::seed::Seeded;
use crate::media::stats::{Reception, Samples};
use crate::sip::sdp::CNAME;

use super::latch::reachable;
use super::{Channel, Strays};

const INTERVAL_S: f64 = 5.0;
/// Second report, and answer to the first SR.
const SOON_S: (f64, f64) = (0.5, 1.0);
/// A round trip may come out below zero by the rounding of both clocks, in 1/65536 s: about 1 ms.
const ROUNDING: i32 = 66;
/// No round trip takes longer; a larger figure is a far end that counts wrongly.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(30);

/// The RTCP side.
#[derive(Clone, Debug)]
pub(super) struct Control {
    seeded: Seeded,
    /// When the next report is due; `None` after the goodbye.
    next: Option<Instant>,
    sent: u32,
    goodbye: bool,
    latched: Option<SocketAddr>,
    received: u64,
    /// SSRC, compact NTP time and arrival of the last SR.
    last_sr: Option<(u32, u32, Instant)>,
    rtt: Option<Duration>,
    rtts: Samples,
    far_block: Option<ReportBlock>,
    /// Packets that the far end says it has sent.
    far_sent: Option<u32>,
    bye: bool,
    /// NTP times of our last SRs: longer than four intervals no reflection takes.
    own_times: [u64; 4],
}

impl Control {
    pub(super) fn new(seeded: Seeded, first: Instant) -> Self {
        Self {
            seeded,
            next: Some(first),
            sent: 0,
            goodbye: false,
            latched: None,
            received: 0,
            last_sr: None,
            rtt: None,
            rtts: Samples::default(),
            far_block: None,
            far_sent: None,
            bye: false,
            own_times: [0; 4],
        }
    }

    /// Takes a datagram. `own` is our source; of those of the far end only `heard` is this stream's, where that is given.
    pub(super) fn receive(
        &mut self,
        clock: &NtpClock,
        (arrived, from): (Instant, Option<SocketAddr>),
        datagram: &[u8],
        (own, heard): (u32, Option<u32>),
        strays: &mut Strays,
    ) {
        for packet in Compound::new(datagram) {
            let Ok(packet) = packet else {
                strays.garbage += 1;
                return;
            };
            // A far end that loops everything back would double the round trip.
            if self.is_reflected(&packet, own) {
                strays.reflected += 1;
                return;
            }
            self.latched = from.or(self.latched);
            self.take(clock, arrived, packet, (own, heard));
        }
        self.received += 1;
    }

    /// Whether we wrote this ourselves. An echo of our audio keeps our SSRC, so a relay that writes reports for the
    /// echoed stream writes them under our SSRC: what such an SR says of us counts, if its time is none of ours.
    fn is_reflected(&self, packet: &Packet<'_>, own: u32) -> bool {
        match packet {
            Packet::SenderReport { ssrc, info, .. } if *ssrc == own => self.own_times.contains(&info.ntp),
            Packet::SenderReport { ssrc, .. } | Packet::ReceiverReport { ssrc, .. } => *ssrc == own,
            // Whatever follows a report that was let in, comes from its writer.
            _ => false,
        }
    }

    /// The goodbye of the far end, once.
    pub(super) fn take_bye(&mut self) -> bool {
        std::mem::take(&mut self.bye)
    }

    /// Last round-trip time.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Median round-trip time, ms.
    pub(super) fn median_rtt_ms(&self) -> Option<f64> {
        self.rtts.percentile(50.0)
    }

    /// What the far end last reported on us.
    pub(super) fn far_block(&self) -> Option<&ReportBlock> {
        self.far_block.as_ref()
    }

    /// Packets that the far end said it had sent, in its last SR.
    pub(super) fn far_sent(&self) -> Option<u64> {
        self.far_sent.map(u64::from)
    }

    /// Datagrams received and sent.
    pub(super) fn counts(&self) -> (u64, u32) {
        (self.received, self.sent)
    }

    /// How a report goes now: the way of RTP where both are muxed, else to where those of the far end come from, or where
    /// it said; `None` where nothing is to be sent there.
    pub(super) fn way(
        &self,
        muxed: bool,
        rtp: Option<SocketAddr>,
        signalled: SocketAddr,
    ) -> Option<(Channel, SocketAddr)> {
        if muxed {
            return Some((Channel::Rtp, rtp?));
        }
        Some((Channel::Rtcp, reachable(self.latched.unwrap_or(signalled))?))
    }

    pub(super) fn unlatch(&mut self) {
        self.latched = None;
    }

    pub(super) fn say_goodbye(&mut self) {
        self.goodbye = true;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.next.is_some_and(|next| next <= now || self.goodbye)
    }

    /// Writes the compound that is due.
    pub(super) fn write(
        &mut self,
        ssrc: u32,
        now: Instant,
        info: Option<SenderInfo>,
        reception: &mut Reception,
        buf: &mut Vec<u8>,
    ) {
        let block = reception.take_report().map(|block| self.with_last_sr(block, now));
        match info {
            Some(info) => {
                self.own_times.rotate_right(1);
                self.own_times[0] = info.ntp;
                rtcp::sender_report(buf, ssrc, &info, block.as_slice());
            }
            None => rtcp::receiver_report(buf, ssrc, block.as_slice()),
        }
        rtcp::sdes(buf, ssrc, CNAME);
        if self.goodbye {
            rtcp::bye(buf, ssrc);
        }
        self.sent += 1;
        self.next = if self.goodbye { None } else { Some(now + self.interval()) };
    }

    /// There is nowhere to send to now.
    pub(super) fn skip(&mut self, now: Instant) {
        self.next = if self.goodbye { None } else { Some(now + self.soon()) };
    }

    fn interval(&mut self) -> Duration {
        if self.sent == 1 { self.soon() } else { Duration::from_secs_f64(INTERVAL_S * self.seeded.between(0.5, 1.5)) }
    }

    fn soon(&mut self) -> Duration {
        Duration::from_secs_f64(self.seeded.between(SOON_S.0, SOON_S.1))
    }

    fn with_last_sr(&self, block: ReportBlock, now: Instant) -> ReportBlock {
        match self.last_sr {
            Some((ssrc, last_sr, arrived)) if ssrc == block.ssrc => {
                let delay_since_last_sr = to_compact(now.saturating_duration_since(arrived));
                ReportBlock { last_sr, delay_since_last_sr, ..block }
            }
            _ => block,
        }
    }

    fn take(&mut self, clock: &NtpClock, arrived: Instant, packet: Packet<'_>, (own, heard): (u32, Option<u32>)) {
        let is_other = |ssrc: u32| heard.is_some_and(|heard| heard != ssrc);
        match packet {
            // Of another stream that shares the path: what it says of ours counts.
            Packet::SenderReport { ssrc, reports, .. } if is_other(ssrc) => {
                self.take_blocks(clock, arrived, reports, own);
            }
            Packet::Bye { ssrc: Some(ssrc) } if is_other(ssrc) => {}
            Packet::SenderReport { ssrc, info, reports } => {
                if self.last_sr.is_none() {
                    let soon = arrived + self.soon();
                    self.next = self.next.map(|next| next.min(soon));
                }
                self.far_sent = Some(info.packets);
                self.last_sr = Some((ssrc, compact(info.ntp), arrived));
                self.take_blocks(clock, arrived, reports, own);
            }
            Packet::ReceiverReport { reports, .. } => self.take_blocks(clock, arrived, reports, own),
            Packet::Bye { .. } => self.bye = true,
            _ => {}
        }
    }

    fn take_blocks(&mut self, clock: &NtpClock, arrived: Instant, mut reports: Reports<'_>, own: u32) {
        let Some(block) = reports.find(|block| block.ssrc == own) else { return };
        self.far_block = Some(block);
        if block.last_sr == 0 {
            return;
        }
        // RFC 3550 §6.4.1: A − LSR − DLSR.
        let round_trip = clock.compact(arrived).wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
        let rtt = match round_trip.cast_signed() {
            units if units < -ROUNDING => return,
            units => from_compact(units.max(0).cast_unsigned()),
        };
        if rtt <= LONGEST_ROUND_TRIP {
            self.rtt = Some(rtt);
            self.rtts.add(crate::units::millis(rtt));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 7;

    #[expect(clippy::disallowed_methods, reason = "an Instant to start from; the test never looks at the clock again")]
    #[test]
    fn reports_of_a_relay_on_an_echoed_stream_count_and_our_own_that_come_back_do_not() {
        let at = Instant::now();
        let remote = SocketAddr::from(([127, 0, 0, 1], 4001));
        let clock = NtpClock { at, ntp: 1_000 << 32 };
        let (mut control, mut strays) = (Control::new(Seeded::new(1), at), Strays::default());
        control.own_times = [1_001 << 32, 0, 0, 0];
        let last_sr = clock.compact(at + Duration::from_secs(1));
        let block = ReportBlock {
            ssrc: OWN,
            last_sr,
            delay_since_last_sr: to_compact(Duration::from_secs(2)),
            ..Default::default()
        };
        let arrived = at + Duration::from_millis(3_010);
        for ntp in [1_001 << 32, 9_999 << 32] {
            let mut datagram = Vec::new();
            rtcp::sender_report(&mut datagram, OWN, &SenderInfo { ntp, ..SenderInfo::default() }, &[block]);
            control.receive(&clock, (arrived, Some(remote)), &datagram, (OWN, None), &mut strays);
        }
        assert_eq!((strays.reflected, control.received), (1, 1));
        let rtt = control.rtt().expect("the relay's report names our SR");
        assert!(rtt.abs_diff(Duration::from_millis(10)) < Duration::from_micros(50), "{rtt:?}");
    }
}
