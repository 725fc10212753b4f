//! Candidates of ICE that follow descriptions in INFO requests (RFC 8838, RFC 8840), in virtual time.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use ringfleet::record::{CallRecord, Class, Direction};
use ringfleet::scenario::compile::Compiled;
use ringfleet::scenario::plan::{Ice, IceServer, Policy, Server, Srtp, Transport, Trickle};
use ringfleet::units::Secret;

use crate::virtual_net::{RELAY, Sent, Side, World, compiled, over};
use crate::virtual_relay::Relay;

const MINUTE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);
/// A server whose answer is there 2 s after it was asked: 10 ms of that on the way.
const SLOW: Duration = Duration::from_millis(1_990);
/// What hides the callers.
const NAT: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7));
const NOT_SPOKEN: &str =
    "the far end does not say that it takes candidates later (trickle-ice): it knows those of our description";
const TALK: &str = "[{ dial: { number: NUMBER } }, { talk: { for: 5s } }, hangup]";
/// `echo` answers at once, `late` after 5 s.
const LAB: &str = "lab: trickling\nextensions:\n  echo: { number: 2000, does: { echo: { answer_after: 0s } } }\n  \
    late: { number: 2001, does: { echo: { answer_after: 5s } } }\n  \
    early: { number: 2002, does: { early_media: { announce: 5s, then: { code: 486 } } } }\n";

fn server(uri: &str) -> IceServer {
    let login = uri.starts_with("turn").then(|| ("agent".to_owned(), Secret::new("secret")));
    let server = Server { turn: true, ..Server::new(uri, Some(3478), Transport::Udp) };
    IceServer { uri: uri.to_owned(), server, login }
}

/// Lets every agent speak WebRTC, with one server.
fn with_ice(mut compiled: Compiled, uri: &str, trickle: Trickle) -> Compiled {
    for actor in &mut compiled.plan.actors {
        let target = Arc::make_mut(&mut actor.target);
        target.srtp = Srtp::new(Policy::Dtls);
        target.ice = Ice { servers: vec![server(uri)], trickle, ..Ice::default() };
    }
    compiled
}

fn relay_only(mut compiled: Compiled) -> Compiled {
    for actor in &mut compiled.plan.actors {
        Arc::make_mut(&mut actor.target).ice.relay_only = true;
    }
    compiled
}

fn call(number: &str) -> Compiled {
    call_of(&TALK.replace("NUMBER", number))
}

fn call_of(steps: &str) -> Compiled {
    let text = format!(
        "scenario: test\ntarget: lab.yaml\ncaller: {{ account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    compiled(&text, LAB)
}

fn world(compiled: Compiled, tells_after: Duration) -> World {
    let mut world = World::new(compiled);
    world.relay = Some(Relay::new(RELAY, tells_after));
    world
}

fn ran(mut world: World) -> World {
    world.run_and_rest(2 * MINUTE);
    world
}

fn first<'w>(world: &'w World, by: Side, line: &str) -> &'w Sent {
    world.wire.iter().find(|sent| sent.by == by && sent.line.starts_with(line)).expect("it was sent")
}

fn infos(world: &World, by: Side) -> Vec<&Sent> {
    world.wire.iter().filter(|sent| sent.by == by && sent.line.starts_with("INFO ")).collect()
}

fn field<'t>(sent: &'t Sent, name: &str) -> Option<&'t str> {
    sent.text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Kinds of the candidates of a message, in order, and whether there will be no more.
fn kinds(sent: &Sent) -> (Vec<&str>, bool) {
    let candidates = sent.text.lines().filter(|line| line.starts_with("a=candidate:"));
    let kinds = candidates.map(|line| line.split(' ').nth(7).expect("a kind")).collect();
    (kinds, sent.text.contains("\r\na=end-of-candidates\r\n"))
}

fn heard(record: &CallRecord) {
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
}

#[test]
fn without_trickling_the_invite_waits_for_a_slow_server_and_nothing_speaks_of_later_candidates() {
    let world = ran(world(with_ice(call("echo"), "turn:relay", Trickle::Off), SLOW));
    assert_eq!(world.sent(Side::Callers, "INVITE"), [2_000, 2_020], "the second has the credentials");
    assert_eq!(kinds(first(&world, Side::Callers, "INVITE")), (vec!["host", "srflx", "relay"], true));
    assert!(world.wire.iter().all(|sent| !sent.text.contains("trickle")));
    let record = world.record();
    heard(record);
    assert_eq!((record.ice_gathered_ms, record.ice_trickled, &record.ice_trickle_fault), (Some(2000.0), None, &None));
}

#[test]
fn the_invite_goes_out_at_once_and_what_a_slow_server_tells_follows_in_an_info() {
    let world = ran(world(with_ice(call("echo"), "turn:relay", Trickle::Full), SLOW));
    assert_eq!(world.sent(Side::Callers, "INVITE"), [0, 20]);
    assert_eq!(world.sent(Side::Callers, "INFO "), [2_000]);
    let invite = first(&world, Side::Callers, "INVITE");
    assert_eq!(kinds(invite), (vec!["host"], false));
    assert!(invite.text.contains("\r\na=ice-options:trickle\r\n"), "{}", invite.text);
    assert_eq!(field(invite, "Supported"), Some("100rel, timer, trickle-ice"));
    assert_eq!(field(invite, "Recv-Info"), Some("trickle-ice"));
    let info = first(&world, Side::Callers, "INFO ");
    assert_eq!(kinds(info), (vec!["host", "srflx", "relay"], true));
    assert_eq!(field(info, "Info-Package"), Some("trickle-ice"));
    assert_eq!(field(info, "Content-Disposition"), Some("Info-Package"));
    assert_eq!(field(info, "Content-Type"), Some("application/trickle-ice-sdpfrag"));
    assert_eq!(field(info, "Call-ID"), field(invite, "Call-ID"));
    let (_, body) = info.text.split_once("\r\n\r\n").expect("a body");
    let of_invite = |name: &str| invite.text.lines().find(|line| line.starts_with(name)).expect("in the offer");
    let begin = format!(
        "a=group:BUNDLE 0\r\n{}\r\n{}\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n{}\r\n",
        of_invite("a=ice-pwd:"),
        of_invite("a=ice-ufrag:"),
        of_invite("a=candidate:")
    );
    assert!(body.starts_with(&begin), "{body}");
    // The lab says that it takes them, and answers.
    let ok = first(&world, Side::Pbx, "SIP/2.0 200");
    assert!(ok.text.contains("\r\na=ice-options:trickle\r\n") && ok.text.contains("\r\na=end-of-candidates\r\n"));
    assert_eq!(
        (field(ok, "Recv-Info"), field(ok, "Supported")),
        (Some("trickle-ice"), Some("100rel, timer, trickle-ice"))
    );
    let record = world.record();
    heard(record);
    assert_eq!((record.ice_gathered_ms, record.setup_ms), (Some(2000.0), Some(40.0)));
    assert_eq!((record.ice_trickled, &record.ice_trickle_fault), (Some(1), &None));
    assert_eq!(record.media_path.as_deref(), Some("direct"));
    assert!(record.dtls_done_ms < Some(500.0), "it did not wait for the server: {:?}", record.dtls_done_ms);
}

#[test]
fn candidates_follow_over_every_transport() {
    for transport in [Transport::Tcp, Transport::Tls, Transport::Ws, Transport::Wss] {
        let world = ran(world(over(transport, with_ice(call("echo"), "turn:relay", Trickle::Full)), SLOW));
        assert_eq!(world.sent(Side::Callers, "INFO "), [2_000], "{transport}");
        heard(world.record());
        assert_eq!(world.record().ice_trickled, Some(1), "{transport}");
    }
}

#[test]
fn what_a_stun_server_tells_follows_too() {
    let mut world = world(with_ice(call("echo"), "stun:stun", Trickle::Full), SLOW);
    world.nat = Some((NAT, 0));
    let world = ran(world);
    assert_eq!(world.sent(Side::Callers, "INVITE")[0], 0);
    let info = first(&world, Side::Callers, "INFO ");
    assert_eq!((info.at.as_millis(), kinds(info)), (2_000, (vec!["host", "srflx"], true)));
    assert!(info.text.contains(" 203.0.113.7 16384 typ srflx"), "{}", info.text);
    heard(world.record());
}

#[test]
fn a_call_that_can_only_go_by_the_relay_goes_by_the_one_that_followed() {
    let world_of = |trickle| {
        let mut world = World::new(with_ice(call("echo"), "turn:relay", trickle));
        world.relay = Some(Relay::new(RELAY, SLOW).only_way());
        world
    };
    let world = ran(world_of(Trickle::Full));
    let record = world.record();
    heard(record);
    assert_eq!((record.media_path.as_deref(), record.ice_trickled), (Some("our_relay"), Some(1)));
    assert!(record.ice_connected_ms.is_some_and(|after| (1_900.0..2_500.0).contains(&after)), "{record:#?}");
    // It is what the lab was told that makes it work.
    let mut lost = world_of(Trickle::Full);
    lost.drop_next = vec![("INFO ".to_owned(), usize::MAX)];
    let lost = ran(lost);
    assert_eq!((lost.record().class, lost.record().ice_trickled), (Class::MediaFirewallBlocked, Some(0)));
}

#[test]
fn where_media_goes_by_a_relay_only_the_offer_names_no_address() {
    let world = ran(world(relay_only(with_ice(call("late"), "turn:relay", Trickle::Full)), SLOW));
    let invite = first(&world, Side::Callers, "INVITE");
    assert_eq!((invite.at.as_millis(), kinds(invite)), (0, (vec![], false)));
    assert!(
        invite.text.contains("\r\nc=IN IP4 0.0.0.0\r\n") && invite.text.contains("\r\nm=audio 9 "),
        "{}",
        invite.text
    );
    assert!(!invite.text.contains("typ host"));
    // It rings for five seconds: what the lab is told then waits for its answer there.
    assert_eq!(
        infos(&world, Side::Callers).iter().map(|info| kinds(info)).collect::<Vec<_>>(),
        [(vec!["relay"], true)]
    );
    assert_eq!(world.sent(Side::Callers, "INFO "), [2_000]);
    let record = world.record();
    heard(record);
    assert_eq!((record.media_path.as_deref(), record.ice_trickled), (Some("our_relay"), Some(1)));
    assert!(record.setup_ms > Some(5_000.0));
}

#[test]
fn who_cannot_have_a_relay_gives_up_ringing() {
    let mut world = world(relay_only(with_ice(call("late"), "turn:relay", Trickle::Full)), SLOW);
    world.relay = world.relay.map(|relay| relay.refusing(486));
    let world = ran(world);
    assert_eq!(world.sent(Side::Callers, "CANCEL"), [2_000]);
    let record = world.record();
    assert_eq!(record.class, Class::MediaNoRelay, "{record:#?}");
    assert!(record.media_fault.as_deref().is_some_and(|fault| fault.starts_with("media may go by a relay only")));
}

#[test]
fn candidates_follow_one_info_after_the_other_each_with_those_before_it() {
    let mut compiled = with_ice(call("late"), "turn:relay", Trickle::Full);
    Arc::make_mut(&mut compiled.plan.actors[0].target).ice.servers.push(server("stun:none"));
    let mut world = World::new(compiled);
    world.nat = Some((NAT, 0));
    world.relay = Some(Relay::new(RELAY, SLOW).deaf_to_stun());
    let world = ran(world);
    // The first at the answer of the TURN server, the second when the other has had its time.
    assert_eq!(world.sent(Side::Callers, "INFO "), [2_000, 3_000]);
    let infos = infos(&world, Side::Callers);
    assert_eq!(kinds(infos[0]), (vec!["host", "srflx", "relay"], false));
    assert_eq!(kinds(infos[1]), (vec!["host", "srflx", "relay"], true));
    let number = |info: &Sent| field(info, "CSeq").and_then(|cseq| cseq.split_once(' ')?.0.parse::<u32>().ok());
    assert!(number(infos[0]) < number(infos[1]));
    let record = world.record();
    heard(record);
    assert_eq!((record.ice_trickled, record.ice_gathered_ms), (Some(2), Some(3000.0)));
    assert_eq!(record.ice_server_fault.as_deref(), Some("stun:none did not answer"));
}

#[test]
fn a_far_end_that_refuses_candidates_is_named_and_asked_once() {
    for (code, text) in [(469, "469 X"), (501, "501 X"), (405, "405 X"), (489, "489 X"), (481, "481 X")] {
        let mut compiled = with_ice(call("echo"), "turn:relay", Trickle::Full);
        Arc::make_mut(&mut compiled.plan.actors[0].target).ice.servers.push(server("stun:none"));
        let mut world = World::new(compiled);
        world.relay = Some(Relay::new(RELAY, SLOW).deaf_to_stun());
        world.refuse_infos = Some(code);
        let world = ran(world);
        assert_eq!(world.sent(Side::Callers, "INFO "), [2_000], "{code}");
        let record = world.record();
        heard(record);
        let fault = format!("the far end refused candidates in an INFO request: {text}");
        assert_eq!((record.ice_trickled, record.ice_trickle_fault.as_deref()), (Some(0), Some(fault.as_str())));
    }
}

#[test]
fn a_far_end_that_does_not_speak_of_it_is_sent_none() {
    let mut world = world(with_ice(call("echo"), "turn:relay", Trickle::Full), SLOW);
    world.rewrite_answers = Some(|sdp| sdp.replace("a=ice-options:trickle\r\n", ""));
    world.rewrite_heads = Some(|head| head.replace("\r\nRecv-Info: trickle-ice", "").replace(", trickle-ice", ""));
    let world = ran(world);
    assert_eq!(world.sent(Side::Callers, "INFO "), [0; 0]);
    let record = world.record();
    heard(record);
    assert_eq!(record.ice_trickled, Some(0));
    assert_eq!(record.ice_trickle_fault.as_deref(), Some(NOT_SPOKEN));
}

#[test]
fn a_relay_of_media_with_an_ice_of_its_own_speaks_for_itself() {
    // What it relays for says that it takes candidates.
    let mut world = world(with_ice(call("late"), "turn:relay", Trickle::Full), SLOW * 3);
    world.rewrite_answers = Some(|sdp| sdp.replace("a=ice-options:trickle\r\n", ""));
    let world = ran(world);
    assert!(field(first(&world, Side::Pbx, "SIP/2.0 180"), "Recv-Info").is_some());
    assert_eq!(world.sent(Side::Callers, "INFO "), [3_000], "while it rang, as the servers had had their time");
    let record = world.record();
    heard(record);
    assert_eq!((record.ice_trickled, record.ice_trickle_fault.as_deref()), (Some(1), Some(NOT_SPOKEN)));
}

#[test]
fn a_description_alone_says_it_too() {
    let mut world = world(with_ice(call("echo"), "turn:relay", Trickle::Full), SLOW);
    world.rewrite_heads = Some(|head| head.replace("\r\nRecv-Info: trickle-ice", "").replace(", trickle-ice", ""));
    let world = ran(world);
    assert_eq!((world.sent(Side::Callers, "INFO "), world.record().ice_trickled), (vec![2_000], Some(1)));
}

#[test]
fn an_info_that_gets_no_answer_does_not_end_the_call() {
    let mut world = world(with_ice(call("echo"), "turn:relay", Trickle::Full), SLOW);
    world.drop_next = vec![("INFO ".to_owned(), usize::MAX)];
    let world = ran(world);
    heard(world.record());
    assert_eq!((world.record().ice_trickled, &world.record().ice_trickle_fault), (Some(0), &None), "it had 3 s only");
}

#[test]
fn half_trickling_offers_are_complete_and_repeated_once_for_an_answer_that_nothing_confirms() {
    let world_of = |number| ran(world(with_ice(call(number), "turn:relay", Trickle::Half), SLOW));
    let world = world_of("echo");
    let invite = first(&world, Side::Callers, "INVITE");
    assert_eq!((invite.at.as_millis(), kinds(invite)), (2_000, (vec!["host", "srflx", "relay"], true)));
    assert!(invite.text.contains("\r\na=ice-options:trickle\r\n"));
    assert_eq!((world.sent(Side::Callers, "INFO "), world.record().ice_trickled), (vec![], None));
    // RFC 8840 §4.3.1: a 183 with an answer, and no PRACK.
    let early = world_of("early");
    let infos = infos(&early, Side::Callers);
    assert_eq!(infos.iter().map(|info| kinds(info)).collect::<Vec<_>>(), [(vec!["host", "srflx", "relay"], true)]);
    assert_eq!(early.record().code, Some(486));
}

#[test]
fn a_hold_while_servers_are_asked_says_what_is_known_and_the_rest_follows_it() {
    let steps = "[{ dial: { number: echo } }, { talk: { for: 500ms } }, hold, { wait: 3s }, resume, { talk: { for: 3s } }, hangup]";
    let world = ran(world(with_ice(call_of(steps), "turn:relay", Trickle::Full), SLOW));
    let offers: Vec<&Sent> =
        world.wire.iter().filter(|sent| sent.line.starts_with("INVITE") && sent.by == Side::Callers).collect();
    let hold = offers.iter().find(|offer| offer.text.contains("\r\na=sendonly\r\n")).expect("a hold");
    assert_eq!((hold.at < SECOND, kinds(hold)), (true, (vec!["host"], false)));
    assert_eq!(world.sent(Side::Callers, "INFO "), [2_000]);
    let resume = offers.last().expect("a resume");
    assert_eq!(kinds(resume), (vec!["host", "srflx", "relay"], true));
    heard(world.record());
}

#[test]
fn a_change_of_the_network_is_told_at_once_and_what_servers_tell_there_follows() {
    let steps = "[{ dial: { number: echo } }, { talk: { for: 3s } }, { network_change: { within: 20s } }, \
                 { talk: { for: 5s } }, hangup]";
    let world_of = |trickle| world(with_ice(call_of(steps), "turn:relay", trickle), SLOW);
    let offered = |world: &World| -> (u128, Vec<String>, bool) {
        let offer = world.wire.iter().rfind(|sent| sent.line.starts_with("INVITE") && sent.by == Side::Callers);
        let offer = offer.expect("an offer");
        let (kinds, complete) = kinds(offer);
        (offer.at.as_millis(), kinds.into_iter().map(str::to_owned).collect(), complete)
    };
    let world = ran(world_of(Trickle::Full));
    let (at, kinds_of_offer, complete) = offered(&world);
    assert_eq!((kinds_of_offer, complete), (vec!["host".to_owned()], false));
    assert_eq!(world.sent(Side::Callers, "INFO "), [2_000, at + 2_000]);
    assert_eq!(kinds(infos(&world, Side::Callers)[1]), (vec!["host", "srflx", "relay"], true));
    let record = world.record();
    assert_eq!((record.audio.as_str(), record.ice_trickled), ("two_way", Some(2)), "{record:#?}");
    assert!(record.recovery_ms < Some(500.0), "{:?}", record.recovery_ms);
    // Who has refused candidates once is told all in the offer.
    let mut refused = world_of(Trickle::Full);
    refused.refuse_infos = Some(469);
    let refused = ran(refused);
    let (waited, kinds_of_offer, complete) = offered(&refused);
    assert_eq!((waited, kinds_of_offer.len(), complete), (at + 2_000, 3, true));
    assert_eq!(refused.sent(Side::Callers, "INFO "), [2_000]);
}

/// A caller and an agent who is called by it through the lab; both trickle.
fn between_agents(trickle: [Trickle; 2]) -> Compiled {
    let text = "scenario: test\ntarget: lab.yaml\nactors:\n  agent: { account: agents, registered: standing, steps: \
                [{ answer: { within: 60s, after: 3s } }, talk] }\n  customer: { account: agents, when: agent.registered, \
                steps: [{ dial: { number: \"{{ agent.user }}\", answer_within: 20s } }, { talk: { for: 5s } }, hangup] }\n\
                load: { calls: 1 }\n";
    let mut compiled = with_ice(compiled(text, LAB), "turn:relay", Trickle::Full);
    for actor in &mut compiled.plan.actors {
        let which = usize::from(actor.name == "agent");
        Arc::make_mut(&mut actor.target).ice.trickle = trickle[which];
    }
    compiled
}

/// What the agent who is called answers with.
fn answer(world: &World) -> &Sent {
    let answers = |sent: &&Sent| sent.line.starts_with("SIP/2.0 200 ") && sent.text.contains(" INVITE\r\n");
    world.wire.iter().filter(|sent| sent.by == Side::Callers).find(answers).expect("an answer")
}

fn legs(world: &World) -> [&CallRecord; 2] {
    [Direction::Outbound, Direction::Inbound]
        .map(|way| world.records.iter().find(|record| record.direction == way).expect("a leg"))
}

#[test]
fn who_is_called_answers_at_once_and_both_sides_tell_the_rest_through_the_lab() {
    let world = ran(world(between_agents([Trickle::Full, Trickle::Half]), SLOW));
    let [caller, called] = legs(&world);
    heard(caller);
    heard(called);
    assert_eq!((caller.ice_trickled, called.ice_trickled), (Some(1), Some(1)));
    // It rings for three seconds; the answer does not wait for the two of the server.
    let invite = first(&world, Side::Callers, "INVITE").at.as_millis();
    let answer = answer(&world);
    assert_eq!(kinds(answer), (vec!["host"], false));
    assert!((3_000..3_200).contains(&(answer.at.as_millis() - invite)), "{:?}", answer.at);
    // What the caller tells while it rings is passed on then, and what the agent tells once the call is up.
    let told = infos(&world, Side::Callers);
    assert_eq!(
        told.iter().map(|info| kinds(info)).collect::<Vec<_>>(),
        vec![(vec!["host", "srflx", "relay"], true); 2]
    );
    assert_eq!([told[0].at.as_millis() - invite, told[1].at.as_millis() - answer.at.as_millis()], [2_000, 2_000]);
    let bodies = |sent: Vec<&Sent>| -> Vec<String> {
        sent.iter().map(|sent| sent.text.split_once("\r\n\r\n").expect("a body").1.to_owned()).collect()
    };
    assert_eq!(bodies(infos(&world, Side::Pbx)), bodies(told));
}

#[test]
fn an_offer_of_a_browser_whose_page_takes_none_later_is_answered_at_once_only_where_the_file_knows_better() {
    for (trickle, waits) in [(Trickle::Half, 2_000), (Trickle::Full, 0)] {
        let mut world = world(between_agents([Trickle::Full, trickle]), SLOW);
        world.rewrite_heads = Some(|head| head.replace("\r\nRecv-Info: trickle-ice", "").replace(", trickle-ice", ""));
        let world = ran(world);
        let invite = first(&world, Side::Pbx, "INVITE");
        assert!(invite.text.contains("\r\na=ice-options:trickle\r\n"));
        let answer = answer(&world);
        let (at, asked) = (answer.at.as_millis(), invite.at.as_millis());
        assert!((3_000 + waits..3_200 + waits).contains(&(at - asked)), "{trickle:?}: {:?}", answer.at);
        assert_eq!(kinds(answer).1, waits > 0, "{trickle:?}: whether it is complete");
        legs(&world).into_iter().for_each(heard);
    }
}

#[test]
fn an_agent_who_takes_none_later_is_known_to_the_caller_through_the_lab() {
    let world = ran(world(between_agents([Trickle::Full, Trickle::Off]), SLOW));
    let [caller, called] = legs(&world);
    heard(caller);
    heard(called);
    assert_eq!(world.sent(Side::Callers, "INFO "), [0; 0]);
    assert!(caller.ice_trickle_fault.as_deref().is_some_and(|fault| fault.contains("does not say")), "{caller:#?}");
    assert_eq!(called.ice_trickled, None);
}

#[test]
fn the_answer_to_an_offer_that_takes_none_later_waits_and_is_complete() {
    let world = ran(world(between_agents([Trickle::Off, Trickle::Full]), SECOND));
    let [_, called] = legs(&world);
    heard(called);
    let answer = answer(&world);
    assert_eq!(kinds(answer), (vec!["host", "srflx", "relay"], true));
    assert!(!answer.text.contains("trickle"));
    assert_eq!(world.sent(Side::Callers, "INFO "), [0; 0]);
}
