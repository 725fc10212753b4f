//! Video lines: our offers and answers, and what they come to.

use super::*;
use crate::sip::sdp::crypto::{KeySource, Suite};
use crate::sip::sdp::fixtures::{PCMA, local};
use crate::sip::sdp::peering::{LocalPeering, Role};
use crate::sip::sdp::{Order, Sdp};

const VP8: VideoFormat = VideoFormat { name: "VP8", payload_type: 96, fmtp: None };
const H264: VideoFormat =
    VideoFormat { name: "H264", payload_type: 97, fmtp: Some("profile-level-id=42e01f;packetization-mode=1") };

fn video() -> LocalVideo<'static> {
    LocalVideo {
        rtp: ([192, 0, 2, 7], 20_002).into(),
        formats: &[VP8, H264],
        keys: &[],
        avpf: false,
        direction: Some(Direction::SendRecv),
        bundled: false,
        first: false,
    }
}

/// A side that speaks PCMA, VP8 and H.264.
fn side() -> Local<'static> {
    Local { codecs: &[PCMA], telephone_event: None, rtcp_mux: false, video: Some(video()), ..local() }
}

fn peering(role: Role) -> LocalPeering {
    LocalPeering {
        ufrag: "ufrag".into(),
        pwd: "password-of-twenty-two".into(),
        lite: false,
        candidates: Vec::new(),
        complete: true,
        trickle: false,
        fingerprint: "sha-256 AA".into(),
        role,
    }
}

fn offer_of(local: &Local<'_>) -> String {
    let mut out = Vec::new();
    local.write_offer(&mut out);
    String::from_utf8(out).expect("text")
}

/// What both sides agreed on, offerer first, and the answer.
fn exchange(caller: &Local<'_>, called: &Local<'_>) -> (Negotiated, Negotiated, String) {
    let offer = offer_of(caller);
    let mut answer = Vec::new();
    let theirs =
        called.answer(&Sdp::parse(offer.as_bytes()).expect("valid"), Order::Theirs, &mut answer).expect("taken");
    let ours = caller.negotiated(&Sdp::parse(&answer).expect("valid")).expect("usable");
    (ours, theirs, String::from_utf8(answer).expect("text"))
}

#[test]
fn video_is_offered_behind_audio_and_answered_in_its_place() {
    let offer = offer_of(&side());
    let (_, line) = offer.split_once("m=video").expect("a video line");
    assert_eq!(
        line,
        " 20002 RTP/AVP 96 97\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 ccm fir\r\n\
         a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e01f;packetization-mode=1\r\n\
         a=rtcp-fb:97 nack pli\r\na=rtcp-fb:97 ccm fir\r\na=sendrecv\r\n"
    );
    let called = Local {
        rtp: ([198, 51, 100, 2], 4_000).into(),
        video: Some(LocalVideo { rtp: ([198, 51, 100, 2], 4_002).into(), formats: &[H264], ..video() }),
        ..side()
    };
    let (ours, theirs, answer) = exchange(&side(), &called);
    assert!(answer.ends_with(
        "m=video 4002 RTP/AVP 97\r\na=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e01f;packetization-mode=1\r\n\
         a=rtcp-fb:97 nack pli\r\na=rtcp-fb:97 ccm fir\r\na=sendrecv\r\n"
    ));
    let (ours, theirs) = (ours.video.expect("agreed"), theirs.video.expect("agreed"));
    assert_eq!(ours.remote_rtp, Some(([198, 51, 100, 2], 4_002).into()));
    assert_eq!(theirs.remote_rtcp, Some(([192, 0, 2, 7], 20_003).into()));
    assert_eq!((ours.name, ours.payload_type, ours.packetization_mode), ("H264", 97, 1));
    assert_eq!(ours.feedback, VideoFeedback { pli: true, fir: true });
    assert!(!ours.bundled && !theirs.first);
}

#[test]
fn a_side_without_video_refuses_the_line_and_audio_goes_on() {
    let called = Local { video: None, ..side() };
    let (ours, theirs, answer) = exchange(&side(), &called);
    assert!(answer.ends_with("m=video 0 RTP/AVP 96 97\r\n"), "{answer}");
    assert_eq!((ours.video, theirs.video), (None, None));
    let removed = Local { video: Some(LocalVideo { direction: None, ..video() }), ..side() };
    assert!(offer_of(&removed).ends_with("m=video 0 RTP/AVP 96 97\r\n"));
    let (ours, theirs, answer) = exchange(&removed, &side());
    assert!(answer.ends_with("m=video 0 RTP/AVP 96 97\r\n"), "{answer}");
    assert_eq!((ours.video, theirs.video), (None, None));
}

#[test]
fn an_offer_with_feedback_in_its_profile_is_answered_in_it() {
    let caller = Local { video: Some(LocalVideo { avpf: true, ..video() }), ..side() };
    let (ours, _, answer) = exchange(&caller, &side());
    assert!(offer_of(&caller).contains("m=video 20002 RTP/AVPF 96 97"));
    assert!(answer.contains("m=video 20002 RTP/AVPF 96\r\n") && answer.contains("m=audio 20000 RTP/AVP 8"), "{answer}");
    assert_eq!(ours.video.map(|video| video.name), Some("VP8"));
}

#[test]
fn video_has_keys_of_its_own() {
    let mut source = KeySource::new([1; 32]);
    let mut keys = || [source.next(Suite::AesCm128Sha1_80)];
    let (a, b, c, d) = (keys(), keys(), keys(), keys());
    let of = |audio, video_keys| Local {
        protection: Protection { policy: Policy::Required, keys: audio, peering: None },
        video: Some(LocalVideo { keys: video_keys, ..video() }),
        ..side()
    };
    let (ours, theirs, _) = exchange(&of(&a, &b), &of(&c, &d));
    assert_eq!(ours.srtp, Some(Keys { ours: a[0], theirs: c[0] }));
    assert_eq!(ours.video.and_then(|video| video.srtp), Some(Keys { ours: b[0], theirs: d[0] }));
    assert_eq!(theirs.video.and_then(|video| video.srtp), Some(Keys { ours: d[0], theirs: b[0] }));
}

#[test]
fn over_dtls_video_joins_the_path_of_audio_in_a_bundle() {
    let (client, server) = (peering(Role::Client), peering(Role::Server));
    let with = |peering| Local {
        protection: Protection { policy: Policy::Dtls, keys: &[], peering: Some(peering) },
        ..side()
    };
    let (caller, called) = (with(&client), with(&server));
    let offer = offer_of(&caller);
    assert!(offer.contains("a=group:BUNDLE 0 1\r\n"), "{offer}");
    assert!(offer.contains("m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\n") && offer.contains("a=bundle-only\r\n"));
    assert!(offer.ends_with("a=rtcp-mux\r\na=mid:1\r\na=sendrecv\r\n"), "{offer}");
    let (ours, theirs, answer) = exchange(&caller, &called);
    assert!(answer.contains("a=group:BUNDLE 0 1\r\n") && answer.contains("m=video 20002 UDP/TLS/RTP/SAVPF 96\r\n"));
    assert!(ours.video.is_some_and(|video| video.bundled && video.rtcp_mux && video.remote_rtp.is_none()));
    assert!(theirs.video.is_some_and(|video| video.bundled));
    // Once that is agreed on, the line has the port of the bundle.
    let again = Local { video: Some(LocalVideo { bundled: true, ..video() }), ..caller };
    let offer = offer_of(&again);
    assert!(offer.contains("m=video 20002 UDP") && !offer.contains("bundle-only"), "{offer}");
}

#[test]
fn over_dtls_video_without_a_bundle_is_refused() {
    let server = peering(Role::Server);
    let called =
        Local { protection: Protection { policy: Policy::Offered, keys: &[], peering: Some(&server) }, ..side() };
    let offer = "v=0\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=fingerprint:sha-256 BB\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=mid:v\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 8\r\na=mid:a\r\n";
    let take = |offer: &str| {
        let mut answer = Vec::new();
        let parsed = Sdp::parse(offer.as_bytes()).expect("valid");
        let agreed = called.answer(&parsed, Order::Theirs, &mut answer).expect("audio is taken");
        (agreed.video, String::from_utf8(answer).expect("text"))
    };
    let (video, answer) = take(offer);
    assert!(video.is_none() && answer.contains("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n"), "{answer}");
    let (video, answer) = take(&offer.replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE v a\r\n"));
    assert!(video.is_some_and(|video| video.first) && answer.contains("a=group:BUNDLE a v\r\n"), "{answer}");
}

#[test]
fn h264_keeps_the_parameters_that_both_sides_share() {
    let offer = "v=0\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\nm=video 4002 RTP/AVP 98 99\r\n\
        a=rtpmap:98 H264/90000\r\na=fmtp:98 packetization-mode=2\r\na=rtpmap:99 H264/90000\r\n\
        a=fmtp:99 profile-level-id=42801e; sprop-parameter-sets=Z0KA,aM4=\r\na=recvonly\r\n";
    let mut answer = Vec::new();
    let agreed = side().answer(&Sdp::parse(offer.as_bytes()).expect("valid"), Order::Theirs, &mut answer);
    let video = agreed.expect("audio").video.expect("video");
    let answer = String::from_utf8(answer).expect("text");
    assert!(answer.contains("a=fmtp:99 profile-level-id=42801e\r\n") && answer.ends_with("a=sendonly\r\n"), "{answer}");
    assert_eq!((video.payload_type, video.packetization_mode, video.direction), (99, 0, Direction::SendOnly));
    assert_eq!(video.feedback, VideoFeedback::default());
}
