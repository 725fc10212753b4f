//! RTCP packets (RFC 3550 §6): SR, RR, SDES, BYE and requests for key frames (RFC 4585 §6.3.1, RFC 5104 §4.3.1) are read and
//! written; other types are stepped over.
//!
//! A datagram may also be reduced-size (RFC 5506): it need not begin with a report. Nothing is allocated on receipt.

mod parse;
mod write;

pub use parse::{Compound, FullIntra, Packet, ParseError, Reports};
pub use write::{bye, full_intra, picture_loss, receiver_report, sdes, sender_report};

pub(super) const SENDER_REPORT: u8 = 200;
pub(super) const RECEIVER_REPORT: u8 = 201;
pub(super) const SDES: u8 = 202;
pub(super) const BYE: u8 = 203;
/// Payload-specific feedback (RFC 4585 §6.3), and two of its kinds.
pub(super) const FEEDBACK: u8 = 206;
pub(super) const PICTURE_LOSS: u8 = 1;
pub(super) const FULL_INTRA: u8 = 4;
pub(super) const CNAME: u8 = 1;

/// The sender information of an SR (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// Wall clock when the report was sent, 32.32 fixed point since 1900.
    pub ntp: u64,
    /// The same moment on the RTP clock.
    pub rtp_timestamp: u32,
    /// RTP packets sent so far.
    pub packets: u32,
    /// Payload bytes sent so far.
    pub octets: u32,
}

/// What a receiver reports on one source (RFC 3550 §6.4.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The source reported on.
    pub ssrc: u32,
    /// Share of packets lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, 24 bits signed; duplicates make it negative.
    pub lost: i32,
    /// Highest sequence number received, cycles in the upper half.
    pub highest_sequence: u32,
    /// Interarrival jitter in units of the codec's clock.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last SR from this source; 0 where none came.
    pub last_sr: u32,
    /// Time since that SR, in 1/65536 s.
    pub delay_since_last_sr: u32,
}

/// Whether a datagram on a port shared by RTP and RTCP is RTCP (RFC 5761 §4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, second, ..] if first >> 6 == 2 && (192..=223).contains(second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INFO: SenderInfo = SenderInfo { ntp: 0x1122_3344_5566_7788, rtp_timestamp: 160, packets: 50, octets: 8_000 };
    const BLOCK: ReportBlock = ReportBlock {
        ssrc: 7,
        fraction_lost: 12,
        lost: -3,
        highest_sequence: 0x0001_0002,
        jitter: 40,
        last_sr: 0x3344_5566,
        delay_since_last_sr: 65_536,
    };

    fn packets(datagram: &[u8]) -> Vec<Packet<'_>> {
        Compound::new(datagram).collect::<Result<_, _>>().expect("valid")
    }

    #[test]
    fn a_compound_of_sr_sdes_and_bye_reads_back() {
        let mut datagram = Vec::new();
        sender_report(&mut datagram, 5, &INFO, &[BLOCK]);
        sdes(&mut datagram, 5, "probe@site");
        bye(&mut datagram, 5);
        assert!(is_rtcp(&datagram));
        let read = packets(&datagram);
        let [
            Packet::SenderReport { ssrc: 5, info, reports },
            Packet::Sdes { ssrc: Some(5), cname },
            Packet::Bye { ssrc: Some(5) },
        ] = read.as_slice()
        else {
            panic!("{read:?}")
        };
        assert_eq!((*info, reports.clone().collect::<Vec<_>>()), (INFO, vec![BLOCK]));
        assert_eq!(*cname, Some("probe@site".as_bytes()));
    }

    #[test]
    fn a_receiver_report_without_blocks_is_eight_bytes() {
        let mut datagram = Vec::new();
        receiver_report(&mut datagram, 9, &[]);
        assert_eq!(datagram, [0x80, 201, 0, 1, 0, 0, 0, 9]);
        assert!(matches!(packets(&datagram)[..], [Packet::ReceiverReport { ssrc: 9, .. }]));
    }

    #[test]
    fn unknown_types_are_stepped_over_and_lengths_are_checked() {
        let mut datagram = vec![0x80, 207, 0, 2, 0, 0, 0, 1, 9, 9, 9, 9];
        bye(&mut datagram, 5);
        assert!(matches!(packets(&datagram)[..], [Packet::Other { packet_type: 207 }, Packet::Bye { ssrc: Some(5) }]));
        assert_eq!(Compound::new(&datagram[..7]).next(), Some(Err(ParseError::Truncated { need: 12, have: 7 })));
        assert_eq!(
            Compound::new(&[0x81, 201, 0, 1, 0, 0, 0, 9]).next(),
            Some(Err(ParseError::Reports { announced: 1 }))
        );
    }

    #[test]
    fn requests_for_key_frames_read_back() {
        let mut datagram = Vec::new();
        receiver_report(&mut datagram, 5, &[]);
        picture_loss(&mut datagram, 5, 7);
        full_intra(&mut datagram, 5, 7, 9);
        assert_eq!(datagram[8..20], [0x81, 206, 0, 2, 0, 0, 0, 5, 0, 0, 0, 7]);
        assert_eq!(datagram[20..], [0x84, 206, 0, 4, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 7, 9, 0, 0, 0]);
        let read = packets(&datagram);
        let [_, Packet::PictureLoss { media: 7 }, Packet::FullIntra { from: 5, requests }] = read.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!(requests.clone().collect::<Vec<_>>(), [(7, 9)]);
        assert_eq!(
            packets(&[0x8F, 206, 0, 2, 0, 0, 0, 5, 0, 0, 0, 7]),
            [Packet::Other { packet_type: 206 }],
            "REMB and the like"
        );
    }

    #[test]
    fn muxed_rtp_is_told_from_rtcp() {
        assert!(!is_rtcp(&[0x80, 0]) && !is_rtcp(&[0x80, 0x88]) && !is_rtcp(&[0x80, 0x80 | 101]) && !is_rtcp(&[]));
        assert!(is_rtcp(&[0x80, 200]) && is_rtcp(&[0xA1, 201]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for packet in Compound::new(&bytes).flatten() {
                if let Packet::SenderReport { reports, .. } | Packet::ReceiverReport { reports, .. } = packet {
                    prop_assert!(reports.count() <= 31);
                }
            }
        }
    }
}
