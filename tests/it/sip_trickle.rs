//! INFO requests with candidates of ICE (RFC 8840) of one endpoint to a peer that is written by hand: when they go, to which fork, and
//! what becomes of them.

use ringfleet::sip::endpoint::Event;
use ringfleet::sip::session::Extensions;

use crate::sip_peer::{Peer, field};

const TAKES: &str = "Recv-Info: trickle-ice\r\nContact: <sip:b@127.0.0.1:6001>\r\n";
const OTHER: &str = "Contact: <sip:b@127.0.0.1:6002>\r\n";
const ANSWER: &str = "v=0\r\nm=audio 5000 RTP/AVP 8\r\na=mid:0\r\na=ice-options:trickle\r\n";

/// A call whose offer has the candidates `offered`.
fn called() -> Peer {
    let mut peer = Peer::called(Extensions { trickle: true, ..Extensions::default() });
    let session = peer.session;
    peer.pair.ends[0].offer_candidates(session, b"offered");
    peer
}

fn tell(peer: &mut Peer, fragment: &[u8]) {
    let (now, session) = (peer.pair.now, peer.session);
    peer.pair.ends[0].send_candidates(now, session, fragment);
    peer.pass(1);
}

/// Where INFO requests went, with their CSeq numbers and bodies, copies left out.
fn infos(peer: &Peer) -> Vec<(&str, &str, &str)> {
    let mut infos: Vec<(&str, &str, &str)> = Vec::new();
    for info in peer.pair.messages_of(0, "INFO") {
        let to = field(info, "To").split_once(";tag=").expect("a dialog").1;
        let cseq = field(info, "CSeq").trim_end_matches(" INFO");
        let body = info.split_once("\r\n\r\n").expect("a body").1;
        if infos.last() != Some(&(to, cseq, body)) {
            infos.push((to, cseq, body));
        }
    }
    infos
}

#[test]
fn candidates_wait_for_a_dialog_whose_far_end_takes_them() {
    let mut peer = called();
    tell(&mut peer, b"first");
    assert_eq!(infos(&peer), []);
    peer.answer("INVITE", "100 Trying", "", "", "");
    peer.answer("INVITE", "180 Ringing", "y", OTHER, "");
    peer.pass(10);
    assert_eq!(infos(&peer), [], "this one has not said that it takes them");
    tell(&mut peer, b"second");
    peer.answer("INVITE", "180 Ringing", "x", TAKES, "");
    peer.pass(10);
    // RFC 8840 §4.4: each has those before it, so only the newest goes.
    assert_eq!(infos(&peer), [("x", "2", "second")]);
}

#[test]
fn each_fork_that_takes_candidates_is_told_one_info_after_the_other() {
    let mut peer = called();
    peer.answer("INVITE", "180 Ringing", "x", TAKES, "");
    peer.answer("INVITE", "180 Ringing", "z", TAKES, "");
    peer.pass(10);
    assert_eq!(infos(&peer), [], "they know those of the offer");
    tell(&mut peer, b"first");
    tell(&mut peer, b"second");
    assert_eq!(infos(&peer), [("x", "2", "first"), ("z", "3", "first")]);
    peer.answer("INFO", "200 OK", "", "", "");
    peer.pass(1);
    assert_eq!(infos(&peer)[2..], [("z", "4", "second")]);
    // The call goes on with the other one, which has yet to answer.
    peer.answer("INVITE", "200 OK", "x", TAKES, ANSWER);
    peer.pass(1);
    assert_eq!(infos(&peer).len(), 3);
    let first = peer.pair.messages_of(0, "INFO")[0].to_owned();
    peer.send(&crate::sip_peer::response(&first, "200 OK", "", "", ""));
    peer.pass(1);
    assert_eq!(infos(&peer)[3..], [("x", "5", "second")]);
    let taken = |event: &&Event| matches!(event, Event::CandidatesAnswered { code: 200, .. });
    assert_eq!(peer.told().iter().filter(taken).count(), 2);
}

#[test]
fn an_answer_that_nothing_confirms_is_met_with_the_candidates_of_the_offer_once() {
    let mut peer = called();
    for _ in 0..3 {
        peer.answer("INVITE", "183 Session Progress", "x", TAKES, ANSWER);
        peer.pass(10);
    }
    assert_eq!(infos(&peer), [("x", "2", "offered")]);
    let mut peer = called();
    let reliable = format!("Require: 100rel\r\nRSeq: 1\r\n{TAKES}");
    peer.answer("INVITE", "183 Session Progress", "x", &reliable, ANSWER);
    peer.pass(10);
    assert_eq!((infos(&peer).len(), peer.count("PRACK")), (0, 1), "PRACK confirms it");
}

#[test]
fn the_description_of_a_far_end_decides_whatever_else_it_says() {
    for (ringing, answer, told) in [(TAKES, "v=0\r\nm=audio 5000 RTP/AVP 8\r\n", 0), (OTHER, ANSWER, 1), (TAKES, "", 1)]
    {
        let mut peer = called();
        peer.answer("INVITE", "180 Ringing", "x", ringing, "");
        peer.answer("INVITE", "200 OK", "x", ringing, answer);
        tell(&mut peer, b"first");
        assert_eq!(
            (infos(&peer).len(), peer.pair.ends[0].takes_candidates(peer.session)),
            (told, told == 1),
            "{answer}"
        );
    }
}

#[test]
fn a_refused_info_is_told_and_nothing_follows_it() {
    let mut peer = called();
    peer.answer("INVITE", "200 OK", "x", TAKES, ANSWER);
    tell(&mut peer, b"first");
    peer.answer("INFO", "469 Bad Info Package", "", "Recv-Info: nil\r\n", "");
    tell(&mut peer, b"second");
    assert_eq!(infos(&peer), [("x", "2", "first")]);
    assert!(peer.told().iter().any(|event| matches!(event, Event::CandidatesAnswered { code: 469, .. })));
    // Nor does one that no answer comes to end the call.
    let mut peer = called();
    peer.answer("INVITE", "200 OK", "x", TAKES, ANSWER);
    tell(&mut peer, b"first");
    peer.pass(40_000);
    assert!(peer.told().iter().any(|event| matches!(event, Event::CandidatesAnswered { code: 408, .. })));
    assert_eq!(peer.count("BYE"), 0);
}

#[test]
fn a_bye_ends_what_was_still_to_be_told() {
    let mut peer = called();
    peer.answer("INVITE", "200 OK", "x", TAKES, ANSWER);
    tell(&mut peer, b"first");
    let (now, session) = (peer.pair.now, peer.session);
    peer.pair.ends[0].bye(now, session, None);
    peer.pass(10);
    tell(&mut peer, b"second");
    assert_eq!(infos(&peer), [("x", "2", "first")]);
    peer.answer("BYE", "200 OK", "", "", "");
    peer.pass(40_000);
    assert!(peer.pair.ends[0].is_empty(), "nothing is left standing");
}

#[test]
fn who_does_not_speak_of_it_is_told_nothing_whoever_takes_them() {
    let mut peer = Peer::called(Extensions::default());
    assert!(!peer.last("INVITE").contains("trickle"));
    peer.answer("INVITE", "200 OK", "x", TAKES, ANSWER);
    peer.pass(10);
    assert_eq!(infos(&peer), []);
    assert!(!peer.pair.ends[0].takes_candidates(peer.session));
}
