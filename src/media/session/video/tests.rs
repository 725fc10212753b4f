//! Two sessions of video in virtual time.

use std::collections::BTreeMap;

use super::*;
use crate::media::clock::NtpClock;
use crate::media::video::{Picture, Size, VideoCodec};
use crate::sip::sdp::VideoFeedback;
use crate::sip::sdp::crypto::{KeySource, Suite};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const DELAY: Duration = Duration::from_millis(20);
const PICTURE: Picture = Picture { size: Size { width: 320, height: 240 }, fps: 20, kbps: 400 };

#[expect(clippy::disallowed_methods, reason = "any moment will do as a start")]
fn some_moment() -> Instant {
    Instant::now()
}

fn address(side: usize, channel: Channel) -> SocketAddr {
    ([10, 0, 0, side as u8], if channel == Channel::Rtp { 4_000 } else { 4_001 }).into()
}

struct Pair {
    now: Instant,
    start: Instant,
    ends: [VideoSession; 2],
    /// RTP of the first end that is lost, by its number from 0.
    lost: Box<dyn FnMut(u64) -> bool>,
    sent: u64,
    /// Compounds of RTCP by the second end that have a packet of type 206, in the clear.
    feedback: Vec<(Duration, Vec<u8>)>,
    under_way: BTreeMap<(Instant, u64), (usize, Channel, Vec<u8>)>,
    number: u64,
}

impl Pair {
    fn new(adjust: impl Fn(usize, &mut VideoConfig)) -> Self {
        let now = some_moment();
        let end = |side: usize| {
            let mut config = VideoConfig {
                codec: VideoCodec::Vp8,
                payload_type: 96,
                received_as: 96,
                offered: true,
                single_nal: false,
                remote_rtp: address(1 - side, Channel::Rtp),
                remote_rtcp: address(1 - side, Channel::Rtcp),
                rtcp_mux: false,
                srtp: None,
                bundled: false,
                send: VideoSource::Picture(PICTURE),
                direction: Direction::SendRecv,
                feedback: VideoFeedback { pli: true, fir: true },
                phase: Duration::ZERO,
                clock: NtpClock::from_unix(now, Duration::from_secs(1_800_000_000)),
            };
            adjust(side, &mut config);
            VideoSession::new(config, 7 + side as u64, now)
        };
        Self {
            now,
            start: now,
            ends: [end(0), end(1)],
            lost: Box::new(|_| false),
            sent: 0,
            feedback: Vec::new(),
            under_way: BTreeMap::new(),
            number: 0,
        }
    }

    fn losing(mut self, lost: impl FnMut(u64) -> bool + 'static) -> Self {
        self.lost = Box::new(lost);
        self
    }

    fn drain(&mut self) -> Instant {
        let mut next = self.now + SECOND;
        let mut buffer = Vec::new();
        for side in 0..2 {
            loop {
                match self.ends[side].poll_output(&mut buffer) {
                    Output::Transmit { channel, .. } => self.send(side, channel, buffer.clone()),
                    Output::Timeout(at) => {
                        assert!(at > self.now, "a deadline that has passed");
                        next = next.min(at);
                        break;
                    }
                    Output::Idle | Output::Event(_) => break,
                }
            }
        }
        next
    }

    fn send(&mut self, side: usize, channel: Channel, bytes: Vec<u8>) {
        if side == 1 && channel == Channel::Rtcp && bytes.windows(2).any(|pair| matches!(pair, [0x81 | 0x84, 206])) {
            self.feedback.push((self.now - self.start, bytes.clone()));
        }
        if side == 0 && channel == Channel::Rtp {
            self.sent += 1;
            if (self.lost)(self.sent - 1) {
                return;
            }
        }
        self.number += 1;
        self.under_way.insert((self.now + DELAY, self.number), (1 - side, channel, bytes));
    }

    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        loop {
            let deadline = self.drain();
            let arrival = self.under_way.keys().next().map(|(at, _)| *at);
            let next = arrival.into_iter().chain([deadline]).min().unwrap_or(end);
            if next > end {
                self.now = end;
                return;
            }
            self.now = next;
            while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= next) {
                let (side, channel, bytes) = entry.remove();
                let from = address(1 - side, channel);
                match channel {
                    Channel::Rtp => self.ends[side].handle_rtp(next, from, &bytes),
                    Channel::Rtcp => self.ends[side].handle_rtcp(next, from, &bytes),
                }
            }
            self.ends.iter_mut().for_each(|end| end.handle_timeout(next));
        }
    }

    fn report(&self, side: usize) -> VideoReport {
        self.ends[side].report(self.now)
    }

    fn figures(&self, side: usize) -> VideoFigures {
        self.report(side).figures
    }
}

#[test]
fn pictures_come_at_their_rate_with_one_key_frame_and_are_never_frozen() {
    for codec in VideoCodec::ALL {
        let mut pair = Pair::new(|_, config| config.codec = codec);
        pair.run(10 * SECOND);
        let report = pair.figures(1);
        assert_eq!((report.rx_frames, report.rx_key_frames, report.broken_frames), (200, 1, 0), "{codec:?}");
        assert_eq!((report.freezes, report.frozen_ms, report.loss_pct), (Some(0), Some(0.0), Some(0.0)));
        assert_eq!(pair.ends[1].frames.sizes(), [PICTURE.size]);
        assert_eq!(report.first_frame_ms, Some(20.0));
        let (fps, kbps) = (report.fps.expect("known"), report.kbps.expect("known"));
        assert!((fps - 20.0).abs() < 0.01, "{fps}");
        assert!((395.0..420.0).contains(&kbps), "{codec:?}: {kbps} kbit/s, key frame and descriptors on top of 400");
        assert!(report.rtt_ms.is_some_and(|rtt| (rtt - 40.0).abs() < 1.0), "{:?}", report.rtt_ms);
        assert_eq!((report.key_frames_asked, report.key_frames_wanted), (0, 0));
        assert_eq!((report.tx_frames, report.tx_key_frames), (201, 1));
        assert_eq!(pair.report(1).strays, Strays::default());
        assert!(report.jitter_ms.is_some_and(|jitter| jitter < 0.1), "{:?}", report.jitter_ms);
    }
}

#[test]
fn what_is_lost_is_asked_for_by_pli_and_a_key_frame_answers() {
    // The third frame loses its second packet.
    let mut pair = Pair::new(|_, _| {}).losing(|number| number == 7);
    pair.run(5 * SECOND);
    let [(at, compound)] = pair.feedback.as_slice() else { panic!("{:?}", pair.feedback) };
    // The frame after the next one shows that it will not come any more: 100 ms after the next one's beginning.
    assert!((200..=400).contains(&at.as_millis()), "{at:?}");
    let ssrc = pair.ends[0].outgoing.ssrc().to_be_bytes();
    let own = pair.ends[1].outgoing.ssrc().to_be_bytes();
    let pli = [&[0x81, 206, 0, 2][..], &own, &ssrc].concat();
    assert!(compound.ends_with(&pli), "{compound:02X?}");
    let (sender, receiver) = (pair.figures(0), pair.figures(1));
    assert_eq!((receiver.key_frames_asked, sender.key_frames_wanted), (1, 1));
    assert_eq!((sender.tx_key_frames, receiver.rx_key_frames, receiver.broken_frames), (2, 2, 1));
    assert_eq!(receiver.freezes, Some(0), "there is no mean of four times: {:?}", receiver.frozen_ms);
}

#[test]
fn a_stream_that_stands_still_for_a_while_freezes_once_and_goes_on_with_a_key_frame() {
    let mut pair = Pair::new(|_, _| {});
    pair.run(3 * SECOND);
    let cut = pair.sent;
    // 400 kbit/s at 20 frames a second are three packets each: half a second is lost.
    pair = pair.losing(move |number| (cut..cut + 30).contains(&number));
    pair.run(5 * SECOND);
    let report = pair.figures(1);
    assert_eq!((report.freezes, report.rx_key_frames, report.key_frames_asked), (Some(1), 2, 1));
    assert!(report.frozen_ms.is_some_and(|ms| (550.0..=800.0).contains(&ms)), "{:?}", report.frozen_ms);
    assert!(report.loss_pct.is_some_and(|loss| (5.0..8.0).contains(&loss)), "{:?}", report.loss_pct);
}

#[test]
fn where_only_fir_was_agreed_on_it_is_sent_and_its_repetition_is_no_new_request() {
    let fir = |_: usize, config: &mut VideoConfig| config.feedback = VideoFeedback { pli: false, fir: true };
    let mut pair = Pair::new(fir).losing(|number| number == 7);
    pair.run(3 * SECOND);
    let [(_, compound)] = pair.feedback.as_slice() else { panic!("{:?}", pair.feedback) };
    let ssrc = pair.ends[0].outgoing.ssrc().to_be_bytes();
    assert!(compound.ends_with(&[&ssrc[..], &[1, 0, 0, 0]].concat()), "the first request: {compound:02X?}");
    assert_eq!((pair.figures(0).key_frames_wanted, pair.figures(0).tx_key_frames), (1, 2));
    let again = compound.clone();
    pair.ends[0].handle_rtcp(pair.now, address(1, Channel::Rtcp), &again);
    pair.run(SECOND);
    assert_eq!((pair.figures(0).key_frames_wanted, pair.figures(0).tx_key_frames), (1, 2));
}

#[test]
fn who_cannot_ask_gets_a_key_frame_every_five_seconds() {
    let mut pair = Pair::new(|_, config| config.feedback = VideoFeedback::default()).losing(|number| number == 7);
    pair.run(12 * SECOND);
    assert_eq!((pair.figures(1).rx_key_frames, pair.figures(1).key_frames_asked), (3, 0));
    assert!(pair.feedback.is_empty());
}

#[test]
fn an_echo_sends_everything_back_and_passes_the_request_for_a_key_frame_on() {
    let echo = |side: usize, config: &mut VideoConfig| {
        if side == 1 {
            config.send = VideoSource::Echo;
        }
    };
    let mut pair = Pair::new(echo);
    pair.run(4 * SECOND);
    let (caller, far) = (pair.figures(0), pair.figures(1));
    assert_eq!((caller.rx_frames, caller.rx_key_frames, caller.tx_frames), (80, 1, 81));
    assert_eq!((far.rx_frames, far.tx_key_frames), (80, 0));
    assert_eq!(caller.first_frame_ms, Some(40.0));
    // What is lost on the way there is missing on the way back, too, so that both ask; one key frame answers both.
    let lost = pair.sent + 4;
    pair = pair.losing(move |number| number == lost);
    pair.run(4 * SECOND);
    let (caller, far) = (pair.figures(0), pair.figures(1));
    assert!(caller.key_frames_asked >= 1 && far.key_frames_asked >= 1, "{caller:?} {far:?}");
    assert!((2..=3).contains(&caller.tx_key_frames), "{caller:?}");
    assert_eq!(caller.rx_key_frames, caller.tx_key_frames);
    assert_eq!(pair.report(0).strays, Strays::default());
}

#[test]
fn a_direction_or_a_removal_that_stops_video_is_no_freeze() {
    let mut pair = Pair::new(|_, _| {});
    pair.run(2 * SECOND);
    let now = pair.now;
    pair.ends[0].set_direction(Direction::RecvOnly, now);
    pair.ends[1].set_direction(Direction::SendOnly, now);
    pair.run(2 * SECOND);
    assert_eq!((pair.figures(1).freezes, pair.report(1).expected), (Some(0), 2 * SECOND));
    assert_eq!(pair.figures(0).rx_frames, 80, "the other way goes on");
    let now = pair.now;
    pair.ends.iter_mut().for_each(|end| end.remove(now));
    pair.run(100 * MS);
    let before = pair.number;
    pair.run(20 * SECOND);
    assert_eq!(pair.number, before, "not even RTCP");
    let now = pair.now;
    pair.ends.iter_mut().for_each(|end| end.set_direction(Direction::SendRecv, now));
    pair.run(2 * SECOND);
    let report = pair.figures(1);
    // One was under way when it was switched off.
    assert_eq!((report.freezes, report.rx_key_frames, report.rx_frames), (Some(0), 2, 81));
    assert!(report.fps.is_some_and(|fps| (fps - 20.0).abs() < 0.1), "{:?}", report.fps);
}

#[test]
fn a_change_of_the_picture_begins_with_a_key_frame() {
    let mut pair = Pair::new(|_, _| {});
    pair.run(2 * SECOND);
    let larger = Picture { size: Size { width: 1_280, height: 720 }, fps: 5, ..PICTURE };
    let now = pair.now;
    pair.ends[0].set_source(VideoSource::Picture(larger), now);
    pair.run(2 * SECOND);
    let report = pair.figures(1);
    assert_eq!(pair.ends[1].frames.sizes(), [PICTURE.size, larger.size]);
    assert_eq!((report.rx_key_frames, report.broken_frames, report.freezes), (2, 0, Some(1)), "200 ms after 50 ms");
}

#[test]
fn srtp_protects_video_and_another_key_lets_nothing_in() {
    let mut source = KeySource::new([3; 32]);
    let mut key = || source.next(Suite::AesCm128Sha1_80);
    let (a, b, wrong) = (key(), key(), key());
    let mut pair = Pair::new(|side, config| {
        let [ours, theirs] = if side == 0 { [a, b] } else { [b, a] };
        config.srtp = Some(Keys { ours, theirs });
    });
    pair.run(2 * SECOND);
    let report = pair.figures(1);
    assert_eq!((report.rx_frames, report.srtp_unauthenticated, report.srtp_replayed), (40, Some(0), Some(0)));
    assert!(report.rtt_ms.is_some());
    let mut pair = Pair::new(|side, config| {
        let [ours, theirs] = if side == 0 { [a, b] } else { [b, wrong] };
        config.srtp = Some(Keys { ours, theirs });
    });
    pair.run(2 * SECOND);
    let report = pair.figures(1);
    assert_eq!((report.rx_packets, report.first_frame_ms, report.freezes), (0, None, None));
    assert!(report.srtp_unauthenticated.is_some_and(|packets| packets > 100), "{report:?}");
}

#[test]
fn nothing_at_all_is_unknown_and_not_zero() {
    let mut pair = Pair::new(|_, _| {}).losing(|_| true);
    pair.run(2 * SECOND);
    let report = pair.figures(1);
    assert_eq!((report.fps, report.kbps, report.loss_pct, report.jitter_ms), (None, None, None, None));
    assert_eq!((report.freezes, report.frozen_ms, report.first_frame_ms), (None, None, None));
    assert!(report.size.is_none());
}

#[test]
fn other_numbers_than_the_agreed_one_are_video_only_where_we_offered_them() {
    let numbers = |side: usize, config: &mut VideoConfig| {
        config.offered = side == 0;
        config.payload_type = 97;
    };
    let mut pair = Pair::new(numbers);
    assert!(pair.ends[0].takes(&[0x80, 97]) && !pair.ends[1].takes(&[0x80, 97]));
    assert!(pair.ends[1].takes(&[0x80, 0x80 | 96]) && !pair.ends[0].takes(&[0x80, 111]));
    pair.run(SECOND);
    assert_eq!(pair.figures(1).rx_packets, 0);
    assert!(pair.report(1).strays.payload_type > 50, "{:?}", pair.report(1).strays);
}
