//! Media: packets, what is in them, and a leg that takes them.

use std::time::{Duration, Instant};

use ringfleet::media::clock::NtpClock;
use ringfleet::media::codec::{Codec, Decoder, LONGEST};
use ringfleet::media::dtmf::{Event as KeyEvent, Receiver};
use ringfleet::media::srtp::{Inbound, Outbound};
use ringfleet::media::video::{Frames, Freezes, VideoCodec};
use ringfleet::media::{Config, Listen, Output, Session, Source, rtcp, rtp};
use ringfleet::net::clock;
use ringfleet::sip::sdp::EventFormat;
use ringfleet::sip::sdp::crypto::{Key, Suite};

use super::address;

/// Payloads, each behind its length, to one decoder of every codec: whatever they are, so much comes of them as may.
pub fn payload(bytes: &[u8]) {
    let (mut decoder, mut linear) = (Decoder::default(), [0.0; LONGEST]);
    let mut rest = bytes;
    while let [choice, length, later @ ..] = rest {
        let (payload, later) = later.split_at(later.len().min(usize::from(*length)));
        let codec = Codec::ALL[usize::from(*choice) % Codec::ALL.len()];
        let missing = usize::from(choice >> 2) * 20;
        let concealed = decoder.conceal(codec, missing, payload, &mut linear);
        assert!(concealed.is_none_or(|samples| samples == missing));
        let samples = decoder.decode(codec, payload, &mut linear);
        assert!(samples <= LONGEST && linear[..samples].iter().all(|sample| (-1.0..=1.0).contains(sample)));
        rest = later;
    }
}

/// Packets of telephone events, each a source, a timestamp and four bytes of payload: as many keys come of them as are told.
pub fn dtmf(bytes: &[u8]) {
    let (mut receiver, mut told) = (Receiver::default(), 0);
    for [source, t0, t1, t2, t3, payload @ ..] in bytes.as_chunks::<9>().0 {
        let Some(event) = KeyEvent::parse(payload) else { continue };
        assert_eq!(KeyEvent::parse(&event.to_bytes()), Some(event));
        let timestamp = u32::from_be_bytes([*t0, *t1, *t2, *t3]);
        if let Some((_, later)) = receiver.take((u32::from(source % 2), timestamp), &event) {
            assert!(later <= told);
            told += 1;
        }
    }
    assert!(receiver.recent().count() <= told.min(16));
}

/// An RTP packet: its header is the same when it is written again.
pub fn rtp(bytes: &[u8]) {
    if let Ok(packet) = rtp::Packet::parse(bytes) {
        assert!(packet.payload.len() <= bytes.len() - 12);
        let written = packet.header.to_bytes();
        assert_eq!(rtp::Packet::parse(&written).map(|again| again.header), Ok(packet.header));
    }
}

/// An RTCP compound packet.
pub fn rtcp(bytes: &[u8]) {
    let _ = rtcp::is_rtcp(bytes);
    for packet in rtcp::Compound::new(bytes) {
        match packet {
            Ok(rtcp::Packet::SenderReport { reports, .. } | rtcp::Packet::ReceiverReport { reports, .. }) => {
                assert!(reports.count() <= 31);
            }
            Ok(_) => {}
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Packets of somebody without the key are not let in; packets of ours come back as they were.
pub fn srtp(bytes: &[u8]) {
    for suite in [Suite::AesCm128Sha1_80, Suite::AeadAes128Gcm] {
        let Ok(key) = Key::new(suite, &[5; 46][..suite.key_len() + suite.salt_len()]) else { continue };
        let mut inbound = Inbound::new(&key);
        assert!(inbound.unprotect_rtp(&mut bytes.to_vec()).is_err());
        assert!(inbound.unprotect_rtcp(&mut bytes.to_vec()).is_err());
        let mut outbound = Outbound::new(&key);
        let mut packet = bytes.to_vec();
        if rtp::Packet::parse(bytes).is_ok() && outbound.protect_rtp(&mut packet).is_ok() {
            assert_eq!(inbound.unprotect_rtp(&mut packet), Ok(()));
            assert_eq!(packet, bytes);
        }
    }
}

/// Packets of video, each behind four bytes: how far its sequence number and its timestamp lie after the ones before, how long
/// it took, and its length with the marker bit. As much comes of them as may.
pub fn video(bytes: &[u8]) {
    let Some((codec, mut rest)) = bytes.split_first() else { return };
    let codec = VideoCodec::ALL[usize::from(codec % 2)];
    let (mut frames, mut freezes, mut now) = (Frames::default(), Freezes::default(), clock::now());
    let (mut sequence, mut timestamp, mut packets, mut shown) = (65_530_u16, u32::MAX - 9_000, 0, 0);
    while let [number, step, wait, length, later @ ..] = rest {
        let (payload, later) = later.split_at(later.len().min(usize::from(length & 0x7F)));
        now += Duration::from_millis((*wait).into());
        sequence = sequence.wrapping_add_signed(i16::from(number.cast_signed()));
        timestamp = timestamp.wrapping_add_signed(i32::from(step.cast_signed()) * 1_500);
        let marker = length & 0x80 != 0;
        let header = rtp::Header { marker, payload_type: codec.payload_type(), sequence, timestamp, ssrc: 1 };
        frames.add(codec, now, &header, payload, |frame| {
            shown += 1;
            freezes.add(frame.at);
        });
        packets += 1;
        rest = later;
    }
    assert!(frames.whole() + frames.broken() <= packets);
    assert!(frames.keys() <= frames.whole() && shown <= frames.whole());
    assert!(frames.sizes().len() <= 8);
}

/// What arrives at a leg, each datagram behind three bytes: its length with the socket, and how long it took to come. Deadlines lie
/// ahead, little is sent, and every figure is one that can be.
pub fn leg(bytes: &[u8]) {
    let Some((how, mut rest)) = bytes.split_first() else { return };
    let (start, there) = (clock::now(), address("192.0.2.2:4000"));
    let wall = NtpClock::from_unix(start, Duration::from_secs(1_800_000_000));
    let codec = Codec::ALL[usize::from(how & 0x0F) % Codec::ALL.len()];
    let config = Config {
        telephone_event: Some(EventFormat { payload_type: 101, clock_rate: 8_000 }),
        events: [101].into_iter().collect(),
        others: [0, 8, 9].into_iter().collect(),
        rtcp_mux: how & 0x10 != 0,
        send: if how & 0x20 == 0 { Source::Speech } else { Source::Echo },
        listen: if how & 0x40 == 0 { Listen::Tones } else { Listen::Packets },
        ..Config::new(codec, there, there, wall)
    };
    let (mut leg, mut now, mut out) = (Session::new(config, 1, start), start, Vec::new());
    while let [high, low, wait, later @ ..] = rest {
        let length = u16::from_be_bytes([*high, *low]);
        let (packet, later) = later.split_at(later.len().min((length & 0x7FFF).into()));
        now += Duration::from_millis((*wait).into());
        if length & 0x8000 == 0 {
            leg.handle_rtp(now, there, packet);
        } else {
            leg.handle_rtcp(now, there, packet);
        }
        check(&mut leg, now, &mut out);
        rest = later;
    }
    leg.close(now);
    check(&mut leg, now, &mut out);
}

fn check(leg: &mut Session, now: Instant, out: &mut Vec<u8>) {
    leg.handle_timeout(now);
    for outputs in 0.. {
        assert!(outputs < 200, "it goes on for ever");
        match leg.poll_output(out) {
            Output::Timeout(at) => {
                assert!(at > now);
                break;
            }
            Output::Idle => break,
            Output::Transmit { .. } => assert!(out.len() <= 1_500, "{} bytes", out.len()),
            Output::Event(_) => {}
        }
    }
    let report = leg.report(now);
    let counts = report.reception;
    assert!(counts.unique <= counts.expected && counts.unique + counts.duplicates <= counts.packets, "{counts:?}");
    assert!(report.loss_pct.is_none_or(|loss| (0.0..=100.0).contains(&loss)));
    assert!(report.burst_r.is_none_or(|ratio| ratio >= 1.0 && ratio.is_finite()));
    assert!([report.mos_lq, report.mos_cq].into_iter().flatten().all(|mos| (1.0..=4.5).contains(&mos)));
    let times = [report.jitter_ms, report.rtt_ms, report.gap_ms_max, report.first_packet_ms, report.audio_loop_ms];
    assert!(times.into_iter().flatten().all(|ms| ms >= 0.0 && ms.is_finite()), "{times:?}");
    assert!(report.level_dbov.is_none_or(|level| level <= 0.01), "{:?}", report.level_dbov);
}
