//! One endpoint against a peer that is written by hand here: forks, routes, and messages in an order that no honest
//! endpoint would send.

use std::time::Duration;

use ringfleet::sip::endpoint::Event;
use ringfleet::sip::flow::Transport;
use ringfleet::sip::session::{Extensions, Invite};
use ringfleet::sip::token::Handle;

use crate::pair::{Network, Pair, invite};

/// An endpoint whose peer is the test itself.
pub(crate) struct Peer {
    pub(crate) pair: Pair,
    pub(crate) session: Handle,
}

/// The value of a header field of a message as text.
pub(crate) fn field<'m>(message: &'m str, name: &str) -> &'m str {
    fields(message, name).into_iter().next().unwrap_or_default()
}

/// Every value of a header field.
pub(crate) fn fields<'m>(message: &'m str, name: &str) -> Vec<&'m str> {
    let lines = message.lines().take_while(|line| !line.is_empty());
    lines.filter_map(|line| line.split_once(": ").filter(|(key, _)| *key == name).map(|(_, value)| value)).collect()
}

/// A response to a request of the endpoint.
pub(crate) fn response(request: &str, status: &str, tag: &str, more: &str, body: &str) -> String {
    let tag =
        if tag.is_empty() || field(request, "To").contains(";tag=") { String::new() } else { format!(";tag={tag}") };
    let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\nVia: {}\r\nFrom: {}\r\nTo: {}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n{more}{kind}\
         Content-Length: {}\r\n\r\n{body}",
        field(request, "Via"),
        field(request, "From"),
        field(request, "To"),
        field(request, "Call-ID"),
        field(request, "CSeq"),
        body.len()
    )
}

impl Peer {
    /// The endpoint has placed a call; its peer's datagrams are lost but for those that the test injects.
    pub(crate) fn called(extensions: Extensions) -> Self {
        let mut pair = Pair::new(Network { loss: 1000, ..Network::default() }, Transport::Udp);
        let (now, flow) = (pair.now, pair.flow(0));
        let call = Invite { extensions, ..invite(flow) };
        let session = pair.ends[0].invite(now, &call).expect("the link is open");
        let mut peer = Self { pair, session };
        peer.pass(10);
        peer
    }

    /// Lets milliseconds pass.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        let until = self.pair.now - self.pair.start + Duration::from_millis(milliseconds);
        self.pair.run(until, |_, _, _| {});
    }

    /// The last message of the endpoint that begins so.
    pub(crate) fn last(&self, line: &str) -> String {
        self.pair.messages_of(0, line).last().unwrap_or_else(|| panic!("no {line}: {:#?}", self.pair.wire)).to_string()
    }

    pub(crate) fn count(&self, line: &str) -> usize {
        self.pair.messages_of(0, line).len()
    }

    /// Answers the last request of a method.
    pub(crate) fn answer(&mut self, method: &str, status: &str, tag: &str, more: &str, body: &str) {
        let text = response(&self.last(method), status, tag, more, body);
        self.send(&text);
    }

    /// Sends bytes to the endpoint.
    pub(crate) fn send(&mut self, text: &str) {
        self.pair.inject(0, text, |_, _, _| {});
    }

    /// A request of the peer within the dialog, which `tag` is ours in.
    pub(crate) fn request(&mut self, method: &str, cseq: u32, more: &str, body: &str) -> String {
        let invite = self.last("INVITE");
        let kind = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let text = format!(
            "{method} sip:a@127.0.0.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bKp{cseq}{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:b@lab>;tag=x\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n\
             {more}{kind}Content-Length: {}\r\n\r\n{body}",
            field(&invite, "From"),
            field(&invite, "Call-ID"),
            body.len()
        );
        self.send(&text);
        text
    }

    pub(crate) fn told(&self) -> Vec<Event> {
        self.pair.told[0].iter().map(|(_, event)| *event).collect()
    }
}

fn contact(port: u16) -> String {
    format!("Contact: <sip:b@127.0.0.1:{port}>\r\n")
}

const ANSWER: &str = "v=0\r\nm=audio 5000 RTP/AVP 8\r\n";

fn answered() -> Peer {
    let mut peer = Peer::called(Extensions::default());
    peer.answer("INVITE", "200 OK", "x", &contact(5061), ANSWER);
    peer
}

#[test]
fn the_answers_of_three_forks_are_acknowledged_and_all_but_the_first_are_ended_each_in_its_own_dialog() {
    let mut peer = Peer::called(Extensions::default());
    for (tag, port) in [("x", 6001), ("y", 6002), ("z", 6003)] {
        peer.answer("INVITE", "180 Ringing", tag, &contact(port), "");
    }
    for (tag, port) in [("x", 6001), ("y", 6002), ("z", 6003)] {
        peer.answer("INVITE", "200 OK", tag, &contact(port), ANSWER);
    }
    peer.pass(10);
    assert_eq!(peer.count("ACK"), 3);
    let ended: Vec<&str> = peer.pair.messages_of(0, "BYE").iter().map(|bye| field(bye, "To")).collect();
    assert_eq!(ended, ["<sip:b@lab>;tag=y", "<sip:b@lab>;tag=z"]);
    assert!(peer.last("BYE sip:b@127.0.0.1:6003").contains("CSeq: 2 BYE"));
    let answers = peer.told().iter().filter(|event| matches!(event, Event::Answered { .. })).count();
    assert_eq!(answers, 1, "one call is one answer");
    // The BYEs to forks are repeated like any other, and given up without a word to the application.
    peer.pass(40_000);
    assert_eq!(peer.pair.sent("BYE sip:b@127.0.0.1:6002")[1] - peer.pair.sent("BYE sip:b@127.0.0.1:6002")[0], 500);
    assert!(!peer.told().iter().any(|event| matches!(event, Event::ByeAnswered { .. })));
}

#[test]
fn each_copy_of_a_200_is_acknowledged_with_the_same_ack_for_32_s_and_then_no_more() {
    let mut peer = answered();
    let invite = peer.last("INVITE");
    let copy = response(&invite, "200 OK", "x", &contact(5061), ANSWER);
    peer.pass(31_000);
    peer.send(&copy);
    peer.pass(1);
    let acks = peer.pair.messages_of(0, "ACK");
    assert_eq!(acks.len(), 2);
    assert_eq!(acks[0], acks[1]);
    peer.pass(1_000);
    peer.send(&copy);
    peer.pass(1);
    assert_eq!(peer.count("ACK"), 2, "Timer M has ended");
    assert_eq!(peer.pair.ends[0].counters().stray_responses, 1);
}

#[test]
fn a_200_that_comes_again_after_our_bye_was_answered_is_acknowledged_and_makes_no_second_call() {
    let mut peer = answered();
    let copy = response(&peer.last("INVITE"), "200 OK", "x", &contact(5061), ANSWER);
    let (now, session) = (peer.pair.now, peer.session);
    peer.pair.ends[0].bye(now, session, None);
    peer.pass(10);
    peer.answer("BYE", "200 OK", "", "", "");
    peer.send(&copy);
    peer.pass(10);
    assert_eq!((peer.count("ACK"), peer.count("BYE")), (2, 1));
    peer.pass(33_000);
    assert!(peer.pair.ends[0].is_empty(), "nothing is left standing");
}

#[test]
fn a_late_fork_answers_after_the_call_is_over_and_is_ended_too() {
    let mut peer = answered();
    let late = response(&peer.last("INVITE"), "200 OK", "late", &contact(6009), ANSWER);
    let (now, session) = (peer.pair.now, peer.session);
    peer.pair.ends[0].bye(now, session, None);
    peer.pass(10);
    peer.answer("BYE", "200 OK", "", "", "");
    peer.send(&late);
    peer.pass(10);
    assert_eq!((peer.count("ACK"), peer.count("BYE sip:b@127.0.0.1:6009")), (2, 1));
    peer.answer("BYE sip:b@127.0.0.1:6009", "200 OK", "", "", "");
    peer.pass(33_000);
    assert!(peer.pair.ends[0].is_empty(), "nothing is left standing");
    let ends = peer.told().iter().filter(|event| matches!(event, Event::ByeAnswered { .. })).count();
    assert_eq!(ends, 1);
}

#[test]
fn ten_thousand_forks_are_bounded() {
    let mut peer = Peer::called(Extensions::default());
    for n in 0..10_000 {
        peer.answer("INVITE", "200 OK", &format!("t{n}"), &contact(5061), ANSWER);
    }
    peer.pass(1);
    assert_eq!(peer.count("ACK"), 32);
}

#[test]
fn record_route_of_a_200_is_taken_backwards_and_loose_routers_get_the_contact_as_request_uri() {
    let mut peer = Peer::called(Extensions::default());
    let routes = "Record-Route: <sip:p2@127.0.0.1:6002;lr>, <sip:p1@127.0.0.1:6001;lr>\r\n";
    peer.answer("INVITE", "200 OK", "x", &format!("{routes}{}", contact(6009)), ANSWER);
    peer.pass(1);
    let ack = peer.last("ACK");
    assert!(ack.starts_with("ACK sip:b@127.0.0.1:6009 SIP/2.0\r\n"), "{ack}");
    assert_eq!(fields(&ack, "Route"), ["<sip:p1@127.0.0.1:6001;lr>", "<sip:p2@127.0.0.1:6002;lr>"]);
}

#[test]
fn a_contact_with_a_line_end_does_not_end_our_request_line() {
    let mut peer = Peer::called(Extensions::default());
    peer.answer("INVITE", "200 OK", "x", "Contact: <sip:b@127.0.0.1\r\n X: y>\r\n", ANSWER);
    assert!(peer.last("ACK").starts_with("ACK sip:b@127.0.0.1:5061 SIP/2.0\r\n"), "{}", peer.last("ACK"));
}

#[test]
fn a_strict_router_is_the_request_uri_and_the_contact_goes_last() {
    let mut peer = Peer::called(Extensions::default());
    let routes = "Record-Route: <sip:p2@127.0.0.1:6002;lr>\r\nRecord-Route: <sip:p1@127.0.0.1:6001>\r\n";
    peer.answer("INVITE", "200 OK", "x", &format!("{routes}{}", contact(6009)), ANSWER);
    peer.pass(1);
    let ack = peer.last("ACK");
    assert!(ack.starts_with("ACK sip:p1@127.0.0.1:6001 SIP/2.0\r\n"), "{ack}");
    assert_eq!(fields(&ack, "Route"), ["<sip:p2@127.0.0.1:6002;lr>", "<sip:b@127.0.0.1:6009>"]);
}

#[test]
fn a_re_invite_moves_the_target_and_leaves_the_route_set() {
    let mut peer = Peer::called(Extensions::default());
    let routes = "Record-Route: <sip:p1@127.0.0.1:6001;lr>\r\n";
    peer.answer("INVITE", "200 OK", "x", &format!("{routes}{}", contact(6009)), ANSWER);
    peer.pass(1);
    peer.request("UPDATE", 5, "Record-Route: <sip:evil@127.0.0.1:6666;lr>\r\nContact: <sip:c@127.0.0.1:7777>\r\n", "");
    let (now, session) = (peer.pair.now, peer.session);
    peer.pair.ends[0].bye(now, session, None);
    peer.pass(1);
    let bye = peer.last("BYE");
    assert!(bye.starts_with("BYE sip:c@127.0.0.1:7777 SIP/2.0\r\n"), "{bye}");
    assert_eq!(fields(&bye, "Route"), ["<sip:p1@127.0.0.1:6001;lr>"]);
}

#[test]
fn requests_within_the_dialog_are_answered_for_what_they_are() {
    let mut peer = answered();
    let mut cseq = 10;
    let mut code_of = |method: &str, more: &str, body: &str| {
        cseq += 1;
        peer.request(method, cseq, more, body);
        peer.pass(1);
        peer.last("SIP/2.0")[8..11].to_owned()
    };
    assert_eq!(code_of("INFO", "", ""), "200");
    assert_eq!(code_of("MESSAGE", "", ""), "200");
    assert_eq!(code_of("OPTIONS", "", ""), "200");
    assert_eq!(code_of("NOTIFY", "Event: refer\r\n", ""), "481");
    assert_eq!(code_of("SUBSCRIBE", "Event: presence\r\n", ""), "489");
    assert_eq!(code_of("REFER", "Refer-To: <sip:c@lab>\r\n", ""), "603");
    assert_eq!(code_of("PUBLISH", "", ""), "405");
    assert_eq!(code_of("DANCE", "", ""), "501");
    assert_eq!(code_of("PRACK", "RAck: 1 1 INVITE\r\n", ""), "481");
    assert_eq!(code_of("UPDATE", "", ""), "200");
    assert_eq!(code_of("UPDATE", "Require: 100rel, nothing-known\r\n", ""), "420");
    assert_eq!(code_of("INVITE", "Content-Encoding: gzip\r\n", "x"), "415");
    let texts: Vec<String> = peer.pair.messages_of(0, "SIP/2.0").iter().map(ToString::to_string).collect();
    let one = |code: &str| texts.iter().find(|text| text.starts_with(&format!("SIP/2.0 {code}"))).expect("sent");
    assert_eq!(field(one("420"), "Unsupported"), "nothing-known");
    assert!(field(one("405"), "Allow").contains("PRACK, UPDATE"));
    assert_eq!(fields(one("489"), "Allow-Events").len(), 1);
}

#[test]
fn a_request_that_comes_again_gets_the_same_answer_and_one_with_an_older_number_500() {
    let mut peer = answered();
    let info = peer.request("INFO", 20, "", "");
    peer.send(&info);
    peer.pass(1);
    let answers = peer.pair.messages_of(0, "SIP/2.0 200");
    assert_eq!((answers.len(), answers[0]), (2, answers[1]));
    peer.request("INFO", 19, "", "");
    peer.pass(1);
    assert!(peer.last("SIP/2.0").starts_with("SIP/2.0 500"));
    // A BYE is taken whatever its number: the far end will talk no more.
    peer.request("BYE", 3, "", "");
    assert!(peer.told().iter().any(|event| matches!(event, Event::ByeReceived { .. })));
}

#[test]
fn a_response_with_two_vias_is_dropped() {
    let mut peer = Peer::called(Extensions::default());
    for more in ["Via: SIP/2.0/UDP 10.9.9.9;branch=z9hG4bKx\r\n", "v: SIP/2.0/UDP a, SIP/2.0/UDP b\r\n"] {
        peer.answer("INVITE", "200 OK", "x", &format!("{more}{}", contact(5061)), ANSWER);
    }
    peer.pass(1);
    assert_eq!((peer.told(), peer.count("ACK"), peer.pair.ends[0].counters().stray_responses), (vec![], 0, 2));
}

#[test]
fn a_180_after_the_200_breaks_nothing() {
    let mut peer = answered();
    peer.answer("INVITE", "180 Ringing", "x", &contact(5061), "");
    peer.pass(1_000);
    assert_eq!((peer.told().len(), peer.count("ACK")), (1, 1), "{:?}", peer.told());
}

#[test]
fn a_481_to_our_bye_ends_the_call_all_the_same() {
    let mut peer = answered();
    let (now, session) = (peer.pair.now, peer.session);
    peer.pair.ends[0].bye(now, session, None);
    peer.pass(1);
    peer.answer("BYE", "481 Call/Transaction Does Not Exist", "", "", "");
    assert!(matches!(peer.told().last(), Some(Event::ByeAnswered { code: 481, .. })));
}

/// A request outside any dialog.
fn outside(method: &str, uri: &str, branch: &str, more: &str) -> String {
    format!(
        "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5061;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:b@lab>;tag=x\r\nTo: <sip:a@lab>\r\nCall-ID: out\r\nCSeq: 1 {method}\r\n{more}Content-Length: 0\r\n\r\n"
    )
}

#[test]
fn requests_outside_a_dialog_are_answered_for_what_they_are() {
    let mut peer = Peer::called(Extensions::default());
    let mut branch = 0;
    let mut code_of = |method: &str, uri: &str, more: &str| {
        branch += 1;
        peer.send(&outside(method, uri, &branch.to_string(), more));
        peer.pass(1);
        peer.last("SIP/2.0")[8..11].to_owned()
    };
    for (method, code) in [
        ("OPTIONS", "200"),
        ("MESSAGE", "200"),
        ("INFO", "481"),
        ("NOTIFY", "481"),
        ("BYE", "481"),
        ("UPDATE", "481"),
        ("PRACK", "481"),
        ("CANCEL", "481"),
        ("SUBSCRIBE", "489"),
        ("REFER", "603"),
        ("PUBLISH", "405"),
        ("DANCE", "501"),
    ] {
        assert_eq!(code_of(method, "sip:a@127.0.0.1", ""), code, "{method}");
    }
    assert_eq!(code_of("OPTIONS", "http://example.com/", ""), "416");
    assert_eq!(code_of("OPTIONS", "tel:+886223456789", ""), "200");
    assert_eq!(code_of("INVITE", "http://example.com/", ""), "416");
}

#[test]
fn the_same_invite_by_two_ways_is_one_call_and_a_482() {
    let mut peer = Peer::called(Extensions::default());
    peer.send(&outside("INVITE", "sip:a@lab", "way1", ""));
    peer.send(&outside("INVITE", "sip:a@lab", "way2", ""));
    peer.pass(1);
    let invited = peer.told().iter().filter(|event| matches!(event, Event::Invited { .. })).count();
    assert_eq!((invited, peer.count("SIP/2.0 482")), (1, 1));
}

// --- registrations ----------------------------------------------------------------------------------------------------

mod registering {
    use std::sync::Arc;

    use ringfleet::sip::exchange::Login;
    use ringfleet::sip::registration::{Binding, Registrar};
    use ringfleet::units::Secret;

    use super::*;

    fn register() -> Peer {
        let mut pair = Pair::new(Network { loss: 1000, ..Network::default() }, Transport::Udp);
        let (now, flow) = (pair.now, pair.flow(0));
        let binding = Binding {
            flow,
            owner: 7,
            registrar: Arc::new(Registrar { scheme: "sip", domain: "lab".into(), gruu: true, ..Registrar::default() }),
            user: "1001".into(),
            expires: 300,
            credentials: Some(Arc::new(Login { user: "1001".into(), password: Secret::new("x") })),
            refresh: true,
            instance: Some("urn:uuid:1".into()),
        };
        let session = pair.ends[0].register(now, binding).expect("the link is open");
        let mut peer = Peer { pair, session };
        peer.pass(10);
        peer
    }

    const CHALLENGE: &str = "WWW-Authenticate: Digest realm=\"lab\", nonce=\"n1\", qop=\"auth\"\r\n";

    fn granted(more: &str) -> String {
        format!("Contact: <sip:1001@127.0.0.1:5060>;pub-gruu=\"sip:1001@lab;gr=urn:uuid:1\";expires=300\r\n{more}")
    }

    #[test]
    fn a_registration_brings_the_route_out_and_a_gruu() {
        let mut peer = register();
        let first = peer.last("REGISTER");
        assert!(field(&first, "Contact").contains(";+sip.instance=\"<urn:uuid:1>\""), "{first}");
        assert_eq!(field(&first, "Supported"), "path, gruu");
        let route = "Service-Route: <sip:p1@lab;lr>, <sip:p2@lab;lr>\r\nPath: <sip:edge@lab;lr>\r\n";
        peer.answer("REGISTER", "200 OK", "r", &granted(route), "");
        let endpoint = &peer.pair.ends[0];
        assert_eq!(endpoint.service_route("1001@lab"), ["<sip:p1@lab;lr>", "<sip:p2@lab;lr>"]);
        assert_eq!(endpoint.gruu("1001@lab"), Some("sip:1001@lab;gr=urn:uuid:1"));
        assert_eq!(endpoint.gruu("1002@lab"), None);
    }

    #[test]
    fn a_proxy_and_a_registrar_of_two_realms_are_answered_in_turn_and_a_refresh_knows_both() {
        let mut peer = register();
        let proxy =
            "Proxy-Authenticate: Digest realm=\"edge\", nonce=\"p1\", algorithm=SHA-256, qop=\"auth,auth-int\"\r\n";
        peer.answer("REGISTER", "407 Proxy Authentication Required", "r", proxy, "");
        peer.pass(1);
        peer.answer("REGISTER", "401 Unauthorized", "r", CHALLENGE, "");
        peer.pass(1);
        let both = peer.last("REGISTER");
        assert!(field(&both, "Proxy-Authorization").contains("nonce=\"p1\"") && both.contains("CSeq: 3 REGISTER"));
        assert!(field(&both, "Authorization").contains("nonce=\"n1\""), "{both}");
        peer.answer("REGISTER", "200 OK", "r", &granted("Authentication-Info: nextnonce=\"n2\"\r\n"), "");
        peer.pass(271_000);
        let refresh = peer.last("REGISTER");
        assert!(field(&refresh, "Authorization").contains("nonce=\"n2\""), "{refresh}");
        assert!(field(&refresh, "Authorization").ends_with("nc=00000001"), "{refresh}");
        assert!(field(&refresh, "Proxy-Authorization").ends_with("nc=00000003"), "{refresh}");
    }

    #[test]
    fn a_wrong_password_is_tried_once_and_a_stale_nonce_again() {
        let mut peer = register();
        peer.answer("REGISTER", "401 Unauthorized", "r", CHALLENGE, "");
        peer.pass(1);
        let stale = CHALLENGE.replace("n1", "n2").replace("qop", "stale=true, qop");
        peer.answer("REGISTER", "401 Unauthorized", "r", &stale, "");
        peer.pass(1);
        peer.answer("REGISTER", "401 Unauthorized", "r", &CHALLENGE.replace("n1", "n3"), "");
        peer.pass(1);
        assert_eq!(peer.count("REGISTER"), 3);
        assert!(matches!(peer.told().last(), Some(Event::RegistrationFailed { code: 401, .. })));
    }

    #[test]
    fn a_registrar_that_challenges_for_ever_is_given_up() {
        let mut peer = register();
        for n in 0..50 {
            let stale = CHALLENGE.replace("n1", &format!("n{n}")).replace("qop", "stale=true, qop");
            peer.answer("REGISTER", "401 Unauthorized", "r", &stale, "");
            peer.pass(1);
        }
        assert_eq!(peer.count("REGISTER"), 4);
    }
}
