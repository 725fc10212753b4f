use super::*;
use crate::sip::sdp::crypto::{Key, KeySource, Protection, Suite};
use crate::sip::sdp::fixtures::{G722, OPUS, PCMA, PCMU, local};
use crate::sip::sdp::peering::{LocalPeering, Setup};
use proptest::prelude::*;

const OPUS_LIKE: AudioCodec = AudioCodec { name: "L16", payload_type: 96, clock_rate: 16000, ..PCMA };

fn parse(body: &str) -> Sdp<'_> {
    Sdp::parse(body.as_bytes()).expect("valid")
}

fn answered(local: &Local<'_>, offer: &str, order: Order) -> (Negotiated, String) {
    let offer = parse(offer);
    let mut out = Vec::new();
    let negotiated = local.answer(&offer, order, &mut out).expect("acceptable");
    (negotiated, String::from_utf8(out).expect("text"))
}

/// The payload type that events are sent with.
fn number(agreed: &Negotiated) -> Option<u8> {
    agreed.event.map(|event| event.payload_type)
}

const OFFER: &str = "v=0\r\no=- 5 5 IN IP4 198.51.100.2\r\ns=-\r\nc=IN IP4 198.51.100.2\r\nt=0 0\r\n\
    m=video 4010 RTP/AVP 31\r\n\
    m=audio 4000 RTP/AVP 18 0 8 96 97\r\na=rtpmap:96 telephone-event/16000\r\na=rtpmap:97 telephone-event/8000\r\n\
    a=ptime:30\r\n\
    m=audio 4020 RTP/SAVP 0\r\n";

#[test]
fn an_answer_mirrors_each_line_and_takes_one() {
    let (negotiated, text) = answered(&local(), OFFER, Order::Theirs);
    assert_eq!(
        text,
        "v=0\r\no=- 77 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
         m=video 0 RTP/AVP 31\r\n\
         m=audio 20000 RTP/AVP 0 97\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:97 telephone-event/8000\r\n\
         a=fmtp:97 0-15\r\na=ptime:20\r\na=sendrecv\r\n\
         m=audio 0 RTP/SAVP 0\r\n"
    );
    let expected = Negotiated {
        codec: PCMU,
        payload_type: 0,
        others: PayloadTypes::default(),
        remote_rtp: Some(([198, 51, 100, 2], 4000).into()),
        remote_rtcp: Some(([198, 51, 100, 2], 4001).into()),
        remote_ssrc: None,
        rtcp_mux: false,
        direction: Direction::SendRecv,
        ptime: Some(30),
        event: Some(EventFormat { payload_type: 97, clock_rate: 8_000 }),
        events: [96, 97].into_iter().collect(),
        srtp: None,
        dtls: None,
        line: 1,
        video: None,
    };
    assert_eq!(negotiated, expected);
}

/// As Chromium offers audio.
const BROWSER: &str = "v=0\r\no=- 5 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nc=IN IP4 127.0.0.1\r\n\
    m=audio 4000 RTP/AVPF 96 63 9 0 8 13 110 126\r\na=rtcp-mux\r\na=rtcp-rsize\r\na=rtpmap:96 opus/48000/2\r\n\
    a=rtcp-fb:96 transport-cc\r\na=fmtp:96 minptime=10;useinbandfec=1\r\na=rtpmap:63 red/48000/2\r\n\
    a=fmtp:63 96/96\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:13 CN/8000\r\na=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n";

#[test]
fn opus_of_an_offer_is_answered_with_its_number_and_events_of_its_clock() {
    let ours = Local { codecs: &[PCMA, OPUS, G722], ..local() };
    let (negotiated, text) = answered(&ours, BROWSER, Order::Theirs);
    assert_eq!((negotiated.codec, negotiated.payload_type), (AudioCodec { payload_type: 96, ..OPUS }, 96));
    assert_eq!(negotiated.event, Some(EventFormat { payload_type: 110, clock_rate: 48_000 }));
    let (_, audio) = text.split_once("m=").expect("a media line");
    assert_eq!(
        audio,
        "audio 20000 RTP/AVPF 96 110\r\na=rtpmap:96 opus/48000/2\r\na=fmtp:96 minptime=10;useinbandfec=1\r\n\
         a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-15\r\na=ptime:20\r\na=rtcp-mux\r\na=sendrecv\r\n"
    );
    let (negotiated, text) = answered(&Local { codecs: &[G722, PCMA], ..local() }, BROWSER, Order::Theirs);
    assert_eq!((negotiated.codec, number(&negotiated)), (G722, Some(126)));
    assert!(text.contains("a=rtpmap:9 G722/8000\r\n") && text.contains("telephone-event/8000"), "{text}");
    assert_eq!(answered(&ours, BROWSER, Order::Ours).0.codec, PCMA);
}

#[test]
fn opus_without_its_two_channels_is_opus_all_the_same_and_another_clock_is_not() {
    let ours = Local { codecs: &[OPUS], ..local() };
    let answer = |rate: &str| BROWSER.replace("opus/48000/2", rate);
    assert_eq!(ours.negotiated(&parse(&answer("OPUS/48000"))).map(|agreed| agreed.payload_type), Ok(96));
    for rate in ["opus/16000/2", "opus/48000/3"] {
        assert!(matches!(ours.negotiated(&parse(&answer(rate))), Err(AnswerError::ForeignCodec { .. })), "{rate}");
    }
}

#[test]
fn an_answer_may_have_a_number_of_its_own_for_opus() {
    let ours = Local { codecs: &[OPUS, PCMA], ..local() };
    let agreed = ours.negotiated(&parse(BROWSER)).expect("opus");
    // We receive it with the number that we offered it with, and send it with theirs.
    assert_eq!((agreed.codec.payload_type, agreed.payload_type, number(&agreed)), (111, 96, Some(110)));
}

#[test]
fn events_come_with_our_numbers_or_with_theirs() {
    let ours = Local { codecs: &[PCMA, OPUS], ..local() };
    let agreed = ours.negotiated(&parse(BROWSER)).expect("opus");
    assert_eq!(agreed.events, [110, 126, 101].into_iter().collect());
    let without = BROWSER.replace("telephone-event", "something");
    let agreed = ours.negotiated(&parse(&without)).expect("opus");
    assert_eq!((agreed.event, agreed.events), (None, PayloadTypes::default()));
}

#[test]
fn our_own_order_is_used_when_asked_for() {
    assert_eq!(answered(&local(), OFFER, Order::Ours).0.codec, PCMA);
}

#[test]
fn both_sides_of_one_negotiation_agree() {
    let mut offer = Vec::new();
    local().write_offer(&mut offer);
    let callee = Local { rtp: ([198, 51, 100, 2], 4000).into(), codecs: &[PCMU], ..local() };
    let parsed = Sdp::parse(&offer).expect("our own offer is valid");
    let mut text = Vec::new();
    let answered = callee.answer(&parsed, Order::Theirs, &mut text).expect("acceptable");
    let caller = local().negotiated(&Sdp::parse(&text).expect("our own answer is valid")).expect("usable");
    assert_eq!(caller.codec, answered.codec);
    assert_eq!(caller.remote_rtp, Some(callee.rtp));
    assert_eq!(answered.remote_rtp, Some(local().rtp));
    assert!(caller.rtcp_mux && answered.rtcp_mux);
    assert_eq!(caller.remote_rtcp, caller.remote_rtp);
    assert_eq!((number(&caller), number(&answered)), (Some(101), Some(101)));
}

#[test]
fn the_numbers_of_the_offer_are_mirrored() {
    let own = Local { codecs: &[OPUS_LIKE], ..local() };
    let offer = "v=0\nc=IN IP4 198.51.100.2\nm=audio 4000 RTP/AVP 110\na=rtpmap:110 l16/16000\n";
    let (negotiated, text) = answered(&own, offer, Order::Theirs);
    assert_eq!((negotiated.codec.payload_type, negotiated.payload_type), (110, 110));
    assert!(text.contains("m=audio 20000 RTP/AVP 110\r\na=rtpmap:110 L16/16000\r\n"), "{text}");
}

#[test]
fn an_answer_with_other_numbers_is_sent_with_those() {
    let own = Local { codecs: &[OPUS_LIKE], ..local() };
    let answer = "v=0\nc=IN IP4 198.51.100.2\nm=audio 4000 RTP/AVP 110\na=rtpmap:110 L16/16000\n";
    let negotiated = own.negotiated(&parse(answer)).expect("usable");
    assert_eq!((negotiated.codec.payload_type, negotiated.payload_type), (96, 110));
    assert_eq!((negotiated.event, negotiated.events), (None, PayloadTypes::default()));
    let nameless = "v=0\nc=IN IP4 198.51.100.2\nm=audio 4000 RTP/AVP 96\n";
    assert_eq!(own.negotiated(&parse(nameless)).expect("usable").codec, OPUS_LIKE);
}

#[test]
fn directions_are_reversed_and_never_widened() {
    let offer = |attribute: &str| format!("v=0\nc=IN IP4 198.51.100.2\nm=audio 4000 RTP/AVP 0\na={attribute}\n");
    let cases = [
        ("sendrecv", Direction::SendRecv, Direction::SendRecv),
        ("sendonly", Direction::SendRecv, Direction::RecvOnly),
        ("recvonly", Direction::SendRecv, Direction::SendOnly),
        ("inactive", Direction::SendRecv, Direction::Inactive),
        ("sendrecv", Direction::SendOnly, Direction::SendOnly),
        ("sendonly", Direction::SendOnly, Direction::Inactive),
    ];
    for (attribute, ours, expected) in cases {
        let own = Local { direction: ours, ..local() };
        let (negotiated, text) = answered(&own, &offer(attribute), Order::Theirs);
        assert_eq!(negotiated.direction, expected, "{attribute} with {ours}");
        assert!(text.ends_with(&format!("a={expected}\r\n")), "{text}");
        assert_eq!(own.negotiated(&parse(&offer(attribute))).expect("usable").direction, expected);
    }
}

#[test]
fn hold_at_address_zero_leaves_nowhere_to_send() {
    let held = "v=0\nc=IN IP4 0.0.0.0\nm=audio 4000 RTP/AVP 0\n";
    let (negotiated, text) = answered(&local(), held, Order::Theirs);
    assert_eq!((negotiated.remote_rtp, negotiated.remote_rtcp), (None, None));
    assert_eq!(negotiated.direction, Direction::RecvOnly);
    assert!(text.ends_with("a=recvonly\r\n"), "{text}");
}

#[test]
fn rtcp_goes_where_the_other_side_says() {
    let rtcp = |lines: &str| {
        let answer = format!("v=0\nc=IN IP6 2001:db8::2\nm=audio 65535 RTP/AVP 0\n{lines}");
        local().negotiated(&parse(&answer)).expect("usable").remote_rtcp.map(|address| address.to_string())
    };
    assert_eq!(rtcp("a=rtcp:7001\n").as_deref(), Some("[2001:db8::2]:7001"));
    assert_eq!(rtcp("a=rtcp:7001 IN IP6 2001:db8::3\n").as_deref(), Some("[2001:db8::3]:7001"));
    assert_eq!(rtcp("a=rtcp:7001\na=rtcp-mux\n").as_deref(), Some("[2001:db8::2]:65535"));
    assert_eq!(rtcp(""), None, "there is no port above 65535");
}

#[test]
fn what_the_answer_has_besides_may_come_too_by_our_numbers() {
    let codecs = [PCMA, PCMU, OPUS];
    let ours = Local { codecs: &codecs, ..local() };
    let answer = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n\
        m=audio 4000 RTP/AVP 8 96 18 101\r\na=rtpmap:96 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n";
    let agreed = ours.negotiated(&parse(answer)).expect("usable");
    let others: Vec<u8> = (0..=255).filter(|number| agreed.others.has(*number)).collect();
    assert_eq!((agreed.codec.payload_type, others), (8, vec![111]));
    let (agreed, _) = answered(&ours, answer, Order::Theirs);
    assert_eq!(agreed.others, PayloadTypes::default(), "an answer of ours has one codec");
}

#[test]
fn an_unusable_answer_is_told_in_words() {
    let told = |body: &str| local().negotiated(&parse(body)).expect_err("unusable").to_string();
    let audio = |rest: &str| told(&format!("v=0\nc=IN IP4 198.51.100.2\nm=audio {rest}\n"));
    assert_eq!(told("v=0\n"), "the answer has no audio line");
    assert_eq!(audio("0 RTP/AVP 0"), "the answer rejects the audio stream (port 0)");
    assert_eq!(audio("4000 RTP/SAVP 0"), "the answer wants RTP/SAVP audio, but RTP/AVP was offered");
    assert_eq!(
        audio("4000 RTP/AVP 18 99 101\na=rtpmap:101 telephone-event/8000"),
        "the answer chose G729/8000, payload type 99, but offered was PCMA/8000, PCMU/8000"
    );
    assert_eq!(audio("4000 RTP/AVP"), "the answer chose no codec, but offered was PCMA/8000, PCMU/8000");
    assert_eq!(told("v=0\nm=audio 4000 RTP/AVP 0\n"), "the answer does not say where to send audio: it has no c= line");
    assert_eq!(
        told("v=0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 mgw.example\n"),
        "the answer does not say where to send audio: its c= line has the name `mgw.example` instead of an IP address"
    );
}

#[test]
fn an_unacceptable_offer_is_told_in_words() {
    let told = |body: &str| {
        let mut out = Vec::new();
        let refused = local().answer(&parse(body), Order::Theirs, &mut out).expect_err("refused");
        assert!(out.is_empty());
        refused.to_string()
    };
    assert_eq!(told("v=0\nm=video 4000 RTP/AVP 31\n"), "the offer has no audio line");
    assert_eq!(told("v=0\nm=audio 0 RTP/AVP 0\n"), "the offer's audio stream is switched off (port 0)");
    assert_eq!(
        told("v=0\nm=audio 4000 UDP/TLS/RTP/SAVPF 111\nm=audio 0 RTP/AVP 0\n"),
        "the offer wants UDP/TLS/RTP/SAVPF audio, and only RTP/AVP is spoken here"
    );
    assert_eq!(
        told("v=0\nc=IN IP4 198.51.100.2\nm=audio 4000 RTP/AVP 9\n"),
        "no common codec: offered G722/8000, spoken here PCMA/8000, PCMU/8000"
    );
}

/// Both sides of a negotiation with keys of all suites, by their policies: the answer, and what each agreed to.
type Outcome = Result<(String, Negotiated, Result<Negotiated, AnswerError>), Refused>;

fn encrypted(caller: Policy, callee: Policy, suites: [&[Suite]; 2]) -> Outcome {
    let mut source = KeySource::new([1; 32]);
    let keys = suites.map(|suites| suites.iter().map(|suite| source.next(*suite)).collect::<Vec<Key>>());
    let ours = Local { protection: Protection { policy: caller, keys: &keys[0], peering: None }, ..local() };
    let theirs = Local { protection: Protection { policy: callee, keys: &keys[1], peering: None }, ..local() };
    let (mut offer, mut answer) = (Vec::new(), Vec::new());
    ours.write_offer(&mut offer);
    let offer = Sdp::parse(&offer).expect("our own offer is valid");
    let answered = theirs.answer(&offer, Order::Theirs, &mut answer)?;
    let agreed = ours.negotiated(&Sdp::parse(&answer).expect("our own answer is valid"));
    Ok((String::from_utf8(answer).expect("text"), answered, agreed))
}

#[test]
fn the_first_suite_that_both_speak_is_accepted_under_its_tag() {
    let offered = [Suite::AeadAes256Gcm, Suite::AesCm128Sha1_80, Suite::AesCm128Sha1_32];
    let accepted = [Suite::AesCm128Sha1_32, Suite::AesCm128Sha1_80];
    let outcome = encrypted(Policy::Required, Policy::Offered, [&offered, &accepted]);
    let (text, callee, caller) = outcome.expect("acceptable");
    let (callee, caller) = (callee.srtp.expect("keys"), caller.expect("usable").srtp.expect("keys"));
    assert_eq!(callee.ours.suite, Suite::AesCm128Sha1_80);
    assert_eq!((callee.ours, callee.theirs), (caller.theirs, caller.ours));
    assert!(text.contains(" RTP/SAVP 8 101\r\n"), "{text}");
    assert_eq!(text.matches("a=crypto").count(), 1);
    assert!(text.contains("a=crypto:2 AES_CM_128_HMAC_SHA1_80 inline:"), "{text}");
}

#[test]
fn keys_beside_plain_rtp_are_taken_or_left() {
    let suites: [&[Suite]; 2] = [&[Suite::AesCm128Sha1_80]; 2];
    let (text, callee, caller) = encrypted(Policy::Offered, Policy::Required, suites).expect("acceptable");
    assert!(text.contains(" RTP/AVP 8 101\r\n") && callee.srtp.is_some(), "{text}");
    assert_eq!(caller.expect("usable").srtp.map(|keys| keys.ours), callee.srtp.map(|keys| keys.theirs));
    let (text, callee, caller) = encrypted(Policy::Offered, Policy::Off, suites).expect("acceptable");
    assert_eq!((callee.srtp, caller.expect("usable").srtp, text.contains("crypto")), (None, None, false));
    let refused = encrypted(Policy::Required, Policy::Off, suites).expect_err("refused");
    assert_eq!(refused.to_string(), "the offer wants RTP/SAVP audio, and only RTP/AVP is spoken here");
    let refused = encrypted(Policy::Off, Policy::Required, suites).expect_err("refused");
    assert_eq!(refused, Refused::NotEncrypted);
    let other: [&[Suite]; 2] = [&[Suite::AeadAes128Gcm], &[Suite::AesCm128Sha1_80]];
    let refused = encrypted(Policy::Required, Policy::Offered, other).expect_err("refused");
    assert_eq!(
        refused.to_string(),
        "no key of the offer can be used: the crypto suite AEAD_AES_128_GCM is not spoken here"
    );
    let (_, callee, _) = encrypted(Policy::Offered, Policy::Offered, other).expect("plain RTP stays");
    assert_eq!(callee.srtp, None);
}

proptest! {
    #[test]
    fn a_damaged_description_is_used_or_refused(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut body = OFFER.as_bytes().to_vec();
        for (place, byte) in edits {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if let Ok(sdp) = Sdp::parse(&body) {
            let mut out = Vec::new();
            let answered = local().answer(&sdp, Order::Theirs, &mut out);
            prop_assert_eq!(answered.is_err(), out.is_empty());
            let _ = local().negotiated(&sdp).map_err(|error| error.to_string());
        }
    }

    #[test]
    fn whatever_is_offered_an_answer_has_as_many_lines(
        lines in prop::collection::vec(
            prop_oneof![
                Just("m=audio 4000 RTP/AVP 0 8"), Just("m=audio 0 RTP/AVP 0"), Just("m=audio 9 RTP/SAVP 0"),
                Just("m=image 4001 udptl t38"), Just("c=IN IP4 198.51.100.2"), Just("a=sendonly"), Just("a=rtcp-mux"),
                Just("a=rtpmap:0 PCMU/8000"), Just("m=audio 4002 RTP/AVPF 8 101"), Just("a=rtpmap:101 telephone-event/8000"),
            ],
            0..20,
        ),
    ) {
        let body = format!("v=0\n{}", lines.join("\n"));
        let Ok(offer) = Sdp::parse(body.as_bytes()) else { return Ok(()) };
        let mut out = Vec::new();
        if local().answer(&offer, Order::Ours, &mut out).is_ok() {
            let read = Sdp::parse(&out).expect("our own answer is valid");
            prop_assert_eq!(read.media.len(), offer.media.len());
            prop_assert_eq!(read.media.iter().filter(|media| !media.is_rejected()).count(), 1);
            let same = |(ours, theirs): (&Media<'_>, &Media<'_>)| ours.kind == theirs.kind && ours.proto == theirs.proto;
            prop_assert!(read.media.iter().zip(&offer.media).all(same));
        }
    }
}

const PEERING: &str = "a=ice-ufrag:ufra\r\na=ice-pwd:a-password-of-22-charac\r\na=fingerprint:sha-256 AA:BB\r\n";

fn peering(role: Role) -> LocalPeering {
    LocalPeering {
        ufrag: "ufra".into(),
        pwd: "a-password-of-22-charac".into(),
        lite: false,
        candidates: vec!["candidate:1 1 udp 2130706431 192.0.2.7 20000 typ host".into()],
        complete: true,
        trickle: false,
        fingerprint: "sha-256 AA:BB".into(),
        role,
    }
}

fn of_dtls(peering: &LocalPeering) -> Local<'_> {
    Local { protection: Protection { policy: Policy::Dtls, keys: &[], peering: Some(peering) }, ..local() }
}

#[test]
fn an_offer_of_dtls_has_a_path_a_fingerprint_and_no_key() {
    let ours = peering(Role::Client);
    let mut offer = Vec::new();
    of_dtls(&ours).write_offer(&mut offer);
    let offer = String::from_utf8(offer).expect("text");
    assert!(offer.contains("t=0 0\r\na=group:BUNDLE 0\r\nm=audio 20000 UDP/TLS/RTP/SAVPF 8 0 101\r\n"), "{offer}");
    let end = format!(
        "a=rtcp-mux\r\na=mid:0\r\na=sendrecv\r\n{PEERING}a=setup:actpass\r\n\
         a=candidate:1 1 udp 2130706431 192.0.2.7 20000 typ host\r\na=end-of-candidates\r\n"
    );
    assert!(offer.ends_with(&end), "{offer}");
    assert!(!offer.contains("a=crypto"));
    let parsed = Sdp::parse(offer.as_bytes()).expect("valid");
    let media = &parsed.media[0];
    assert_eq!((parsed.bundle, media.mid, media.is_dtls_rtp()), (Some("0"), Some("0"), true));
    let read = media.peering.as_deref().expect("there");
    assert_eq!(read.credentials(), Some(("ufra", "a-password-of-22-charac")));
    assert_eq!((read.fingerprints.as_slice(), read.setup), (&["sha-256 AA:BB"][..], Some(Setup::ActPass)));
    assert_eq!((read.candidates.len(), read.end_of_candidates, read.lite), (1, true, false));
}

#[test]
fn who_trickles_says_so_in_offers_and_in_answers_to_such_offers() {
    let ours = LocalPeering { trickle: true, complete: false, ..peering(Role::Client) };
    let mut offer = Vec::new();
    of_dtls(&ours).write_offer(&mut offer);
    let offer = String::from_utf8(offer).expect("text");
    assert!(offer.contains("a=group:BUNDLE 0\r\na=ice-options:trickle\r\nm=audio"), "{offer}");
    assert!(!offer.contains("a=end-of-candidates"), "{offer}");
    assert!(parse(&offer).media[0].trickles());
    let complete = LocalPeering { complete: true, ..ours.clone() };
    let says =
        |offer: &str| answered(&of_dtls(&complete), offer, Order::Theirs).1.contains("a=ice-options:trickle\r\n");
    assert!(says(&offer));
    assert!(says(&offer.replace("ice-options:trickle", "ice-options:rtp+ecn trickle")));
    assert!(!says(&offer.replace("ice-options:trickle", "ice-options:renomination")), "the caller would not read it");
    assert!(!says(&offer.replace("a=mid:0", "a=x:0")), "no name to say what candidates are of");
    let silent = LocalPeering { trickle: false, ..complete.clone() };
    assert!(!answered(&of_dtls(&silent), &offer, Order::Theirs).1.contains("trickle"));
}

#[test]
fn an_answer_takes_the_side_in_dtls_that_the_offer_leaves() {
    for (setup, wanted, answer, ours) in [
        ("actpass", Role::Client, "active", Role::Client),
        ("actpass", Role::Server, "passive", Role::Server),
        ("active", Role::Client, "passive", Role::Server),
        ("passive", Role::Server, "active", Role::Client),
    ] {
        // ICE and DTLS of the session level hold for the line; its name is kept in the bundle.
        let offer = format!(
            "v=0\r\na=group:BUNDLE aud vid\r\na=ice-lite\r\n{PEERING}a=setup:{setup}\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111 8\r\nc=IN IP4 0.0.0.0\r\na=mid:aud\r\na=rtcp-mux\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:vid\r\n"
        );
        let parsed = Sdp::parse(offer.as_bytes()).expect("valid");
        assert!(parsed.media[0].peering.as_ref().is_some_and(|peering| peering.lite));
        let (side, mut text) = (peering(wanted), Vec::new());
        let agreed = of_dtls(&side).answer(&parsed, Order::Theirs, &mut text).expect("acceptable");
        let text = String::from_utf8(text).expect("text");
        assert_eq!((agreed.dtls, agreed.line, agreed.remote_rtp), (Some(ours), 0, None), "{setup}");
        assert_eq!((agreed.direction, agreed.rtcp_mux), (Direction::SendRecv, true), "0.0.0.0 is no hold beside ICE");
        assert!(text.contains("a=group:BUNDLE aud\r\n") && text.contains("a=mid:aud\r\n"), "{text}");
        assert!(text.contains("m=video 0 UDP/TLS/RTP/SAVPF 96\r\n"), "{text}");
        assert!(text.contains(&format!("a=setup:{answer}\r\n")), "{text}");
    }
}

#[test]
fn an_offer_of_dtls_that_lacks_something_is_refused_with_its_name() {
    let ours = peering(Role::Client);
    let told = |peering: &str| {
        let offer = format!("v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 UDP/TLS/RTP/SAVPF 8\r\n{peering}");
        of_dtls(&ours).answer(&Sdp::parse(offer.as_bytes()).expect("valid"), Order::Theirs, &mut Vec::new())
    };
    assert_eq!(told("a=ice-ufrag:u\r\na=ice-pwd:p\r\n"), Err(Refused::NoFingerprint));
    assert_eq!(told("a=fingerprint:sha-256 AA\r\na=ice-ufrag:u\r\n"), Err(Refused::NoIce));
    let plain = Sdp::parse(b"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 8\r\n").expect("valid");
    let refused = of_dtls(&ours).answer(&plain, Order::Theirs, &mut Vec::new()).expect_err("not encrypted");
    assert_eq!(refused.to_string(), "the offer wants RTP/AVP audio, and only UDP/TLS/RTP/SAVPF is spoken here");
}
