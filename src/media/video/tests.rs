//! Frames that are made here are read here, and every packet that is missing shows.

use std::time::{Duration, Instant};

use super::*;
use crate::media::rtp::Header;

const MS: Duration = Duration::from_millis(1);

#[expect(clippy::disallowed_methods, reason = "any moment will do as a start")]
fn some_moment() -> Instant {
    Instant::now()
}

/// A receiver that packets of a sender come to.
struct Line {
    codec: VideoCodec,
    pictures: Pictures,
    picture: Picture,
    frames: Frames,
    freezes: Freezes,
    shown: Vec<Instant>,
    now: Instant,
    sequence: u16,
    timestamp: u32,
}

impl Line {
    fn new(codec: VideoCodec, picture: Picture) -> Self {
        Self {
            codec,
            pictures: Pictures::new(codec, false),
            picture,
            frames: Frames::default(),
            freezes: Freezes::default(),
            shown: Vec::new(),
            now: some_moment(),
            sequence: 65_530,
            timestamp: u32::MAX - 9_000,
        }
    }

    /// The packets of the next frame.
    fn made(&mut self, key: bool) -> Vec<(Header, Vec<u8>)> {
        let mut payloads = VecDeque::new();
        self.pictures.next(&self.picture, key, &mut payloads);
        self.timestamp = self.timestamp.wrapping_add(CLOCK_RATE / u32::from(self.picture.fps));
        let last = payloads.len() - 1;
        let packets = payloads.into_iter().enumerate().map(|(index, payload)| {
            let header = Header {
                marker: index == last,
                payload_type: self.codec.payload_type(),
                sequence: self.sequence.wrapping_add(index as u16),
                timestamp: self.timestamp,
                ssrc: 7,
            };
            (header, payload)
        });
        let packets: Vec<_> = packets.collect();
        self.sequence = self.sequence.wrapping_add(packets.len() as u16);
        packets
    }

    fn arrive(&mut self, packets: &[(Header, Vec<u8>)]) {
        for (header, payload) in packets {
            let (shown, freezes) = (&mut self.shown, &mut self.freezes);
            self.frames.add(self.codec, self.now, header, payload, |frame| {
                shown.push(frame.at);
                freezes.add(frame.at);
            });
        }
    }

    /// A frame that comes whole, and the time until the next.
    fn frame(&mut self, key: bool) {
        let packets = self.made(key);
        self.arrive(&packets);
        self.now += Duration::from_secs(1) / u32::from(self.picture.fps);
    }

    fn lose(&mut self, key: bool, lost: impl Fn(usize, usize) -> bool) {
        let packets = self.made(key);
        let count = packets.len();
        let kept: Vec<_> = packets.into_iter().enumerate().filter(|(index, _)| !lost(*index, count)).collect();
        let kept: Vec<_> = kept.into_iter().map(|(_, packet)| packet).collect();
        self.arrive(&kept);
        self.now += Duration::from_secs(1) / u32::from(self.picture.fps);
    }
}

fn each(test: impl Fn(Line)) {
    for codec in VideoCodec::ALL {
        test(Line::new(codec, Picture { kbps: 600, ..Picture::default() }));
    }
}

#[test]
fn frames_read_back_with_their_size_and_their_bit_rate() {
    each(|mut line| {
        line.frame(true);
        for _ in 0..29 {
            line.frame(false);
        }
        assert_eq!((line.frames.whole(), line.frames.keys(), line.frames.broken()), (30, 1, 0), "{:?}", line.codec);
        assert_eq!(line.shown.len(), 30);
        assert_eq!(line.frames.sizes(), [Size { width: 640, height: 360 }]);
        assert!(!line.frames.wants_key());
        let bytes: usize = line.made(false).iter().map(|(_, payload)| payload.len()).sum();
        assert!((5_000..5_030).contains(&bytes), "600 kbit/s at 15 frames a second are 5000 bytes: {bytes}");
    });
}

#[test]
fn no_payload_is_longer_than_any_path_carries_and_single_units_stay_whole() {
    let picture = Picture { size: Size { width: 1920, height: 1080 }, fps: 30, kbps: 4_000 };
    for (codec, single) in [(VideoCodec::Vp8, false), (VideoCodec::H264, false), (VideoCodec::H264, true)] {
        let mut pictures = Pictures::new(codec, single);
        for key in [true, false, true, false] {
            let mut payloads = VecDeque::new();
            pictures.next(&picture, key, &mut payloads);
            assert!(payloads.iter().all(|payload| payload.len() <= LONGEST_PAYLOAD));
            let whole = |payload: &Vec<u8>| payload[0] & 0x1F < 24;
            assert!(!single || payloads.iter().all(whole), "no fragments: {payloads:?}");
        }
    }
}

/// RFC 7741 §4.2: X, S at the beginning only; I; a picture number of 15 bits with M.
#[test]
fn packets_of_vp8_have_their_descriptor() {
    // 400 kbit/s at 20 frames a second are 2500 bytes a frame.
    let picture = Picture { size: Size { width: 320, height: 240 }, fps: 20, kbps: 400 };
    let mut pictures = Pictures::new(VideoCodec::Vp8, false);
    for number in [0x00, 0x01] {
        let mut payloads = VecDeque::new();
        pictures.next(&picture, number == 0, &mut payloads);
        let lengths: Vec<usize> = payloads.iter().map(Vec::len).collect();
        assert_eq!(lengths, [1_180, 1_180, 4 + 2_500 - 2 * 1_176]);
        for (payload, first) in payloads.iter().zip([0x90, 0x80, 0x80]) {
            assert_eq!(payload[..4], [first, 0x80, 0x80, number]);
        }
        // The frame tag (RFC 6386 §9.1): not a key frame in its lowest bit, version 0, shown.
        assert_eq!(payloads[0][4] & 0x1F, 0x10 | number);
    }
}

/// RFC 6184 §5.6 and §5.8.
#[test]
fn packets_of_h264_are_single_units_and_fragments() {
    let picture = Picture { size: Size { width: 320, height: 240 }, fps: 20, kbps: 400 };
    let mut pictures = Pictures::new(VideoCodec::H264, false);
    let mut payloads = VecDeque::new();
    pictures.next(&picture, true, &mut payloads);
    payloads.clear();
    pictures.next(&picture, false, &mut payloads);
    // A slice of what others refer to, and a filler unit of the rest in three fragments.
    let heads: Vec<[u8; 2]> = payloads.iter().map(|payload| [payload[0], payload[1]]).collect();
    assert_eq!(heads, [[0x61, 0x9A], [0x1C, 0x8C], [0x1C, 0x0C], [0x1C, 0x4C]]);
    let slice = payloads[0].len();
    let lengths: Vec<usize> = payloads.iter().map(Vec::len).collect();
    // A fragment has two bytes for the one of the unit.
    assert_eq!(lengths, [slice, 1_180, 1_180, 2 + 2_500 - slice - 1 - 2 * 1_178]);
    assert_eq!(payloads[3].last(), Some(&0x80), "rbsp_trailing_bits");
    let mut pictures = Pictures::new(VideoCodec::H264, true);
    payloads.clear();
    pictures.next(&picture, true, &mut payloads);
    let heads: Vec<u8> = payloads.iter().map(|payload| payload[0]).collect();
    assert_eq!(heads, [0x67, 0x68, 0x65, 0x0C, 0x0C], "packetization mode 0: units as they are");
}

#[test]
fn a_size_that_is_no_multiple_of_sixteen_and_a_change_of_it_are_read() {
    each(|mut line| {
        for (width, height) in [(320, 180), (1_280, 720), (1_918, 1_078)] {
            line.picture.size = Size { width, height };
            line.frame(true);
            line.frame(false);
            assert_eq!(line.frames.sizes().last(), Some(&Size { width, height }), "{:?}", line.codec);
        }
        assert_eq!((line.frames.sizes().len(), line.shown.len()), (3, 6));
    });
}

#[test]
fn a_frame_with_a_packet_missing_is_not_shown_and_neither_are_those_after_it_up_to_a_key_frame() {
    each(|mut line| {
        line.frame(true);
        line.frame(false);
        line.lose(false, |index, _| index == 1);
        for _ in 0..5 {
            line.frame(false);
        }
        assert_eq!((line.frames.broken(), line.shown.len()), (1, 2), "{:?}", line.codec);
        assert!(line.frames.wants_key());
        line.frame(true);
        line.frame(false);
        assert_eq!((line.frames.whole(), line.shown.len()), (9, 4), "{:?}", line.codec);
        assert!(!line.frames.wants_key());
    });
}

#[test]
fn a_frame_that_is_missing_as_a_whole_breaks_the_ones_after_it() {
    each(|mut line| {
        line.frame(true);
        line.lose(false, |_, _| true);
        for _ in 0..5 {
            line.frame(false);
        }
        assert_eq!((line.frames.whole() > 1, line.shown.len()), (true, 1), "{:?}", line.codec);
        assert!(line.frames.wants_key());
    });
}

#[test]
fn without_its_first_or_its_last_packet_a_frame_is_not_whole() {
    each(|mut line| {
        for missing in [0, usize::MAX] {
            line.frame(true);
            let before = line.shown.len();
            line.lose(false, |index, count| index == missing.min(count - 1));
            for _ in 0..4 {
                line.frame(false);
            }
            assert_eq!(line.shown.len(), before, "{:?} {missing}", line.codec);
        }
    });
}

#[test]
fn packets_that_overtake_each_other_make_the_same_frames() {
    each(|mut line| {
        line.frame(true);
        let (mut first, second) = (line.made(false), line.made(false));
        let late = first.split_off(1);
        line.arrive(&first);
        line.arrive(&second);
        assert_eq!(line.shown.len(), 1);
        line.arrive(&late);
        assert_eq!((line.shown.len(), line.frames.broken()), (3, 0), "{:?}", line.codec);
    });
}

#[test]
fn a_freeze_is_what_the_statistics_of_browsers_call_one() {
    let (mut freezes, start) = (Freezes::default(), some_moment());
    // 20 frames a second: the mean is 50 ms, and 200 ms are a freeze.
    let mut at = start;
    for _ in 0..40 {
        freezes.add(at);
        at += 50 * MS;
    }
    freezes.add(at + 149 * MS);
    assert_eq!(freezes.until(at), (0, Duration::ZERO), "199 ms between two frames");
    let mut freezes = Freezes::default();
    for step in 0..40 {
        freezes.add(start + step * 50 * MS);
    }
    let last = start + 39 * 50 * MS;
    freezes.add(last + 200 * MS);
    assert_eq!(freezes.until(last + 250 * MS), (1, 200 * MS));
    // It stands still at the end: the mean is 55 ms now.
    assert_eq!(freezes.until(last + 404 * MS), (1, 200 * MS));
    assert_eq!(freezes.until(last + 405 * MS), (2, 405 * MS));
    freezes.pause();
    assert_eq!(freezes.until(last + 9_000 * MS), (1, 200 * MS));
}

#[test]
fn a_slow_stream_is_measured_by_its_own_pace() {
    let (mut freezes, start) = (Freezes::default(), some_moment());
    for step in 0..10 {
        freezes.add(start + step * 200 * MS);
    }
    let last = start + 9 * 200 * MS;
    freezes.add(last + 599 * MS);
    assert_eq!(freezes.until(last + 600 * MS), (0, Duration::ZERO), "three times the mean is later than 150 ms more");
}

#[test]
fn aggregated_units_and_foreign_descriptors_are_read() {
    let mut payloads = VecDeque::new();
    Pictures::new(VideoCodec::H264, false).next(&Picture { kbps: 1, ..Picture::default() }, true, &mut payloads);
    let mut aggregate = vec![24];
    for unit in payloads.iter().take(2) {
        aggregate.extend_from_slice(&(unit.len() as u16).to_be_bytes());
        aggregate.extend_from_slice(unit);
    }
    let look = VideoCodec::H264.look(&aggregate).expect("STAP-A");
    assert_eq!((look.key, look.size), (true, Some(Size { width: 640, height: 360 })));
    assert_eq!(VideoCodec::H264.look(&[24, 0, 9, 1]), None, "a unit longer than its packet");
    assert_eq!(VideoCodec::H264.look(&[29, 0x85, 0, 0]), None, "FU-B");

    // Picture number of 7 bits, TL0PICIDX, TID and KEYIDX, and a key frame of 176 × 144.
    let vp8 = [0x90, 0xF0, 0x11, 1, 0x20, 0x10, 2, 0, 0x9D, 0x01, 0x2A, 176, 0, 144, 0];
    let look = VideoCodec::Vp8.look(&vp8).expect("VP8");
    assert_eq!((look.starts, look.key, look.size), (Some(true), true, Some(Size { width: 176, height: 144 })));
    let look = VideoCodec::Vp8.look(&[0x10, 0x11, 0, 0]).expect("VP8");
    assert_eq!((look.starts, look.key), (Some(true), false));
    assert_eq!(VideoCodec::Vp8.look(&[0x80]), None, "an extension that is not there");
}

/// A parameter set of 1280 × 720 in the profile High, with VUI.
#[test]
fn a_parameter_set_of_another_profile_tells_the_size() {
    let unit = [
        0x67, 0x64, 0x00, 0x1F, 0xAC, 0xD9, 0x40, 0x50, 0x05, 0xBB, 0x01, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10, 0x00,
        0x00, 0x03, 0x03, 0xC0, 0xF1, 0x83, 0x19, 0x60,
    ];
    let look = VideoCodec::H264.look(&unit).expect("a unit");
    assert_eq!(look.size, Some(Size { width: 1_280, height: 720 }));
}

/// These bytes, and those of larger pictures made in the same way, FFmpeg decodes to grey pictures without an error.
#[test]
fn the_frames_are_the_ones_that_a_decoder_of_others_has_shown() {
    let picture = Picture { size: Size { width: 16, height: 16 }, fps: 60, kbps: 1 };
    let frames = |codec| {
        let (mut pictures, mut payloads) = (Pictures::new(codec, false), VecDeque::new());
        pictures.next(&picture, true, &mut payloads);
        pictures.next(&picture, false, &mut payloads);
        payloads
    };
    let vp8 = frames(VideoCodec::Vp8);
    let header = [0x10, 0x01, 0x00, 0x9D, 0x01, 0x2A, 16, 0, 16, 0];
    assert_eq!(vp8[0][4..], [&header[..], &[0, 0, 0x40, 8, 0, 0x18, 0x65, 0xA0, 0, 0, 0, 0]].concat());
    let still = [0, 1, 0, 0, 0x30, 0, 0x30, 0xB0, 0x5F, 0xE8, 0, 0x10, 0];
    assert_eq!(vp8[1][4..], [&[0xB1, 1, 0], &still[..], &[0; 4]].concat());
    let h264 = frames(VideoCodec::H264);
    let units = [
        &[0x67, 0x42, 0xE0, 0x1F, 0xDA, 0x79][..],
        &[0x68, 0xCE, 0x38, 0x80],
        &[0x65, 0x88, 0x84, 0x93, 0xC0],
        &[0x61, 0x9A, 0x22, 0xA0],
    ];
    assert_eq!(h264, units);
}

proptest::proptest! {
    #[test]
    fn any_payload_is_read_or_passed_over(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80), first in 0u8..32) {
        let mut bytes = bytes;
        for codec in VideoCodec::ALL {
            let _ = codec.look(&bytes);
        }
        if let Some(byte) = bytes.first_mut() {
            *byte = first;
        }
        let _ = VideoCodec::H264.look(&bytes);
    }

    #[test]
    fn any_packets_keep_the_waiting_frames_few(
        packets in proptest::collection::vec((0u16..40, 0u32..12, proptest::prelude::any::<bool>(), 0u8..255), 0..200),
    ) {
        let (mut frames, start) = (Frames::default(), some_moment());
        for (index, (sequence, frame, marker, byte)) in packets.into_iter().enumerate() {
            let header = Header { marker, payload_type: 96, sequence, timestamp: frame * 6_000, ssrc: 1 };
            frames.add(VideoCodec::Vp8, start + index as u32 * MS, &header, &[byte, 0, 0], |_| {});
            proptest::prop_assert!(frames.open.len() <= frames::MOST_OPEN);
        }
    }
}
