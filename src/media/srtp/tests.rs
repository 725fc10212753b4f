//! Both ends of a stream, and known packets of another implementation's self-test.

use super::*;
use crate::sip::sdp::crypto::{KeySource, Mki, Suite};

/// Hexadecimal digits as bytes.
pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

fn rtp(sequence: u16) -> Vec<u8> {
    let mut packet = bytes("80000000000000a0cafebabe");
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(&[0xAB; 160]);
    packet
}

fn rtcp() -> Vec<u8> {
    bytes("81c8000bcafebabeababababababababababababababababab")
}

fn ends(suite: Suite) -> (Outbound, Inbound) {
    let key = KeySource::new([3; 32]).next(suite);
    (Outbound::new(&key), Inbound::new(&key))
}

fn sent(from: &mut Outbound, sequence: u16) -> Vec<u8> {
    let mut packet = rtp(sequence);
    from.protect_rtp(&mut packet).expect("not used up");
    packet
}

#[test]
fn packets_of_libsrtps_self_test() {
    let clear = "800f1234decafbadcafebabeabababababababababababababababab";
    for (suite, material, secured) in [
        (
            Suite::AesCm128Sha1_80,
            "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6",
            "800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb",
        ),
        (
            Suite::AesCm256Sha1_80,
            "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2",
            "800f1234decafbadcafebabef1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b",
        ),
        (
            Suite::AeadAes128Gcm,
            "000102030405060708090a0b0c0d0e0fa0a1a2a3a4a5a6a7a8a9aaab",
            "800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392",
        ),
    ] {
        let key = Key::new(suite, &bytes(material)).expect("the suite's length");
        let mut packet = bytes(clear);
        Outbound::new(&key).protect_rtp(&mut packet).expect("not used up");
        assert_eq!(packet, bytes(secured), "{suite}");
    }
    let material = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
    let mut from = Outbound::new(&Key::new(Suite::AesCm128Sha1_80, &bytes(material)).expect("the suite's length"));
    let clear = "81c8000bcafebabeabababababababababababababababab";
    // Its first index is 1, that of RFC 3711 §3.4 is 0.
    from.protect_rtcp(&mut bytes(clear)).expect("not used up");
    let mut packet = bytes(clear);
    from.protect_rtcp(&mut packet).expect("not used up");
    assert_eq!(packet, bytes("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798"));
}

#[test]
fn what_one_end_protects_the_other_reads() {
    for suite in Suite::ALL {
        let (mut from, mut to) = ends(suite);
        let mut packet = sent(&mut from, 7);
        let tag = match suite {
            Suite::AesCm128Sha1_32 | Suite::AesCm256Sha1_32 => 4,
            Suite::AesCm128Sha1_80 | Suite::AesCm256Sha1_80 => 10,
            Suite::AeadAes128Gcm | Suite::AeadAes256Gcm => 16,
        };
        assert_eq!(packet.len(), rtp(7).len() + tag, "{suite}");
        assert_eq!(packet[..12], rtp(7)[..12], "the header stays readable");
        assert_ne!(packet[12..172], rtp(7)[12..]);
        to.unprotect_rtp(&mut packet).expect("authentic");
        assert_eq!(packet, rtp(7), "{suite}");

        let mut control = rtcp();
        from.protect_rtcp(&mut control).expect("not used up");
        assert_eq!(control.len(), rtcp().len() + tag.max(10) + 4, "{suite}: RTCP has the long tag");
        to.unprotect_rtcp(&mut control).expect("authentic");
        assert_eq!(control, rtcp(), "{suite}");
    }
}

#[test]
fn a_packet_with_csrcs_and_an_extension_keeps_its_header_readable() {
    for suite in Suite::ALL {
        let (mut from, mut to) = ends(suite);
        let mut packet = bytes("b2000001000000a0cafebabe 00000001 00000002 bede0001 10ff0000");
        let header = packet.len();
        packet.extend_from_slice(b"payload");
        let clear = packet.clone();
        from.protect_rtp(&mut packet).expect("not used up");
        assert_eq!(packet[..header], clear[..header]);
        to.unprotect_rtp(&mut packet).expect("authentic");
        assert_eq!(packet, clear);
    }
}

#[test]
fn a_changed_bit_anywhere_is_noticed_and_the_packet_left_as_it_was() {
    for suite in Suite::ALL {
        let (mut from, mut to) = ends(suite);
        let packet = sent(&mut from, 7);
        // All but the sequence number and the length fields of the header, which say how to read the rest.
        for at in (4..packet.len()).step_by(3) {
            let mut damaged = packet.clone();
            damaged[at] ^= 4;
            let before = damaged.clone();
            assert_eq!(to.unprotect_rtp(&mut damaged), Err(Fault::Authentication), "{suite} byte {at}");
            assert_eq!(damaged, before);
        }
        let mut control = rtcp();
        from.protect_rtcp(&mut control).expect("not used up");
        for at in 4..control.len() {
            let mut damaged = control.clone();
            damaged[at] ^= 4;
            assert_eq!(to.unprotect_rtcp(&mut damaged), Err(Fault::Authentication), "{suite} byte {at}");
        }
        to.unprotect_rtp(&mut packet.clone()).expect("authentic");
        to.unprotect_rtcp(&mut control).expect("authentic");
    }
}

#[test]
fn a_packet_is_let_in_once() {
    let (mut from, mut to) = ends(Suite::AesCm128Sha1_80);
    let packets: Vec<_> = (0..200).map(|sequence| sent(&mut from, sequence)).collect();
    for number in [0, 2, 1, 199] {
        to.unprotect_rtp(&mut packets[number].clone()).expect("authentic");
        assert_eq!(to.unprotect_rtp(&mut packets[number].clone()), Err(Fault::Replay), "{number}");
    }
    assert_eq!(to.unprotect_rtp(&mut packets[199 - 128].clone()), Err(Fault::Replay), "too old to tell");
    to.unprotect_rtp(&mut packets[199 - 127].clone()).expect("within the window");
    let mut control = rtcp();
    from.protect_rtcp(&mut control).expect("not used up");
    to.unprotect_rtcp(&mut control.clone()).expect("authentic");
    assert_eq!(to.unprotect_rtcp(&mut control), Err(Fault::Replay));
}

#[test]
fn the_rollover_counter_is_followed_through_loss_and_disorder() {
    for suite in [Suite::AesCm128Sha1_32, Suite::AeadAes256Gcm] {
        let (mut from, mut to) = ends(suite);
        let mut late = Vec::new();
        // Three times around, in great strides away from the edges; the packets before each edge come after it.
        let mut number = 0_u32;
        while number < 200_000 {
            let mut packet = sent(&mut from, number as u16);
            if number % 65_536 > 65_530 {
                late.push(packet);
            } else {
                to.unprotect_rtp(&mut packet).unwrap_or_else(|fault| panic!("{suite} {number}: {fault}"));
            }
            if number % 65_536 == 20 {
                for mut packet in late.drain(..) {
                    to.unprotect_rtp(&mut packet).unwrap_or_else(|fault| panic!("{suite} before {number}: {fault}"));
                }
            }
            number += if (100..65_000).contains(&(number % 65_536)) { 500 } else { 1 + u32::from(number % 7 == 3) };
        }
        assert_eq!(from.last.map(|last| last >> 16), Some(3));
    }
}

#[test]
fn sources_have_counters_of_their_own() {
    let key = KeySource::new([3; 32]).next(Suite::AesCm128Sha1_80);
    let (mut from, mut to) = (Outbound::new(&key), Inbound::new(&key));
    to.unprotect_rtp(&mut sent(&mut from, 40_000)).expect("authentic");
    let mut other = rtp(5);
    other[8] = 1;
    Outbound::new(&key).protect_rtp(&mut other).expect("not used up");
    to.unprotect_rtp(&mut other).expect("another source");
    to.unprotect_rtp(&mut sent(&mut from, 40_001)).expect("authentic");
}

#[test]
fn an_unknown_key_is_noticed_and_a_key_that_changes_keeps_the_counters() {
    let mut source = KeySource::new([3; 32]);
    let (first, second) = (source.next(Suite::AesCm128Sha1_80), source.next(Suite::AeadAes128Gcm));
    let (mut from, mut to) = (Outbound::new(&first), Inbound::new(&first));
    for sequence in [0xFFFE, 0xFFFF, 0] {
        to.unprotect_rtp(&mut sent(&mut from, sequence)).expect("authentic");
    }
    let mut under_way = sent(&mut from, 1);
    from.set_key(&second);
    let mut packet = sent(&mut from, 2);
    assert!(to.clone().unprotect_rtp(&mut packet.clone()).is_err());
    to.set_key(&second);
    to.unprotect_rtp(&mut packet).expect("the rollover counter went on");
    to.unprotect_rtp(&mut under_way).expect("made before the change");
    // After two seconds nothing made with the first key is under way any more.
    let mut late = Outbound::new(&first);
    late.last = Some(0x1_0000);
    for sequence in 3..110 {
        to.unprotect_rtp(&mut sent(&mut from, sequence)).expect("authentic");
    }
    assert!(to.unprotect_rtp(&mut sent(&mut late, 111)).is_err());
}

#[test]
fn a_master_key_identifier_is_taken_off_where_it_is_right() {
    for suite in [Suite::AesCm128Sha1_80, Suite::AeadAes128Gcm] {
        let (mut from, _) = ends(suite);
        let key = KeySource::new([3; 32]).next(suite);
        let mut named = key;
        named.mki = Some(Mki { value: 0x0102, len: 2 });
        let mut to = Inbound::new(&named);
        let with_mki = |mut packet: Vec<u8>, behind_tag: bool, mki: [u8; 2]| {
            let at = if behind_tag { packet.len() } else { packet.len() - 10 };
            packet.splice(at..at, mki);
            packet
        };
        let aead = suite == Suite::AeadAes128Gcm;
        let packet = sent(&mut from, 1);
        assert_eq!(to.unprotect_rtp(&mut with_mki(packet.clone(), aead, [1, 3])), Err(Fault::Authentication));
        let mut right = with_mki(packet, aead, [1, 2]);
        to.unprotect_rtp(&mut right).expect("authentic");
        assert_eq!(right, rtp(1));
        let mut control = rtcp();
        from.protect_rtcp(&mut control).expect("not used up");
        let mut control = with_mki(control, aead, [1, 2]);
        to.unprotect_rtcp(&mut control).expect("authentic");
        assert_eq!(control, rtcp());
    }
}

#[test]
fn a_key_protects_and_proves_no_more_packets_than_it_may() {
    let unbounded = KeySource::new([3; 32]).next(Suite::AesCm128Sha1_80);
    let mut key = unbounded;
    key.lifetime = Some(2);
    let (mut from, mut to) = (Outbound::new(&unbounded), Inbound::new(&key));
    for sequence in 0..2 {
        to.unprotect_rtp(&mut sent(&mut from, sequence)).expect("authentic");
    }
    assert_eq!(to.unprotect_rtp(&mut sent(&mut from, 2)), Err(Fault::Expired));
    let mut bounded = Outbound::new(&key);
    for sequence in 0..2 {
        sent(&mut bounded, sequence);
    }
    assert_eq!(bounded.protect_rtp(&mut rtp(2)), Err(UsedUp));
    from.last = Some(MAX_RTP - 1);
    assert_eq!(from.protect_rtp(&mut rtp(0)), Err(UsedUp));
    from.next_rtcp = MAX_RTCP;
    assert_eq!(from.protect_rtcp(&mut rtcp()), Err(UsedUp));
}

#[test]
fn what_is_too_short_is_no_srtp() {
    for suite in Suite::ALL {
        let (_, mut to) = ends(suite);
        for length in 0..40 {
            let mut packet = rtp(1);
            packet.truncate(length);
            assert!(to.unprotect_rtp(&mut packet).is_err());
            let mut packet = rtcp();
            packet.truncate(length);
            assert!(to.unprotect_rtcp(&mut packet).is_err());
        }
        let mut packet = bytes("9f000001000000a0cafebabe");
        assert_eq!(to.unprotect_rtp(&mut packet), Err(Fault::Truncated), "its CSRCs are missing");
    }
}

#[test]
fn nothing_is_allocated_per_packet() {
    for suite in Suite::ALL {
        let (mut from, mut to) = ends(suite);
        let mut packet = Vec::with_capacity(300);
        let clear = rtp(0);
        let counted = allocation_counter::measure(|| {
            for _ in 0..100 {
                packet.clear();
                packet.extend_from_slice(&clear);
                let sequence = from.last.map_or(0, |last| last as u16 + 1);
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                from.protect_rtp(&mut packet).expect("not used up");
                to.unprotect_rtp(&mut packet).expect("authentic");
            }
        });
        assert_eq!(counted.count_total, 0, "{suite}");
    }
}
