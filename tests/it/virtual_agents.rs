//! Agents at web phones that are disturbed on purpose, in virtual time: what they do, what the PBX makes of it, and how long
//! they take to work again.

use std::time::Duration;

use ringfleet::record::{CallRecord, Class};

use crate::virtual_net::{Side, World, compiled};

const MINUTE: Duration = Duration::from_secs(60);
/// One call for each account; a call outlives its connection by two seconds.
const LAB: &str = "lab: agents\nmedia: { srtp: dtls }\ncalls: { per_account: { calls: 1, refuse: { code: 486 } } }\n\
    connections: { keep_calls: 2s, ping_every: 5s }\n";

fn world_of(steps: &str, lab: &str) -> World {
    let text = format!(
        "scenario: test\ntarget: lab.yaml\ncaller: {{ transport: wss, account: agents, steps: {steps} }}\nload: {{ calls: 1 }}\n"
    );
    World::new(compiled(&text, lab))
}

/// An agent that registers, calls an echo, is disturbed after a second, and talks on.
fn in_a_call(disturbance: &str, lab: &str) -> World {
    let steps = format!(
        "[register, {{ dial: {{ number: internal }} }}, {{ talk: {{ for: 3s }} }}, {disturbance}, {{ talk: {{ for: 3s }} }}, hangup]"
    );
    world_of(&steps, lab)
}

fn ran(world: &mut World) -> CallRecord {
    world.run_and_rest(30 * MINUTE);
    assert_eq!((world.pbx.calls_under_way(), world.pbx.bindings(world.now)), (0, 0));
    world.record().clone()
}

/// Requests of the callers whose first line begins so, in full.
fn requests<'w>(world: &'w World, line: &str) -> Vec<&'w str> {
    let sent = world.wire.iter().filter(|sent| sent.by == Side::Callers && sent.line.starts_with(line));
    sent.map(|sent| sent.text.as_str()).collect()
}

fn value<'t>(text: &'t str, begin: &str) -> &'t str {
    text.lines().find_map(|line| line.strip_prefix(begin)).unwrap_or_else(|| panic!("no {begin} in {text}"))
}

#[test]
fn after_a_change_of_the_network_audio_comes_within_100_ms_from_another_port_by_an_ice_restart() {
    let mut world = in_a_call("network_change", LAB);
    let record = ran(&mut world);
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    assert_eq!((record.recovery_from.as_deref(), record.recovery_tries), (Some("network_change"), Some(1)));
    assert!(record.recovery_ms.is_some_and(|ms| ms > 20.0 && ms <= 100.0), "{:?}", record.recovery_ms);
    let invites = requests(&world, "INVITE");
    let of = |begin: &str| -> Vec<&str> { invites.iter().map(|text| value(text, begin)).collect() };
    let (ports, ufrags) = (of("m=audio "), of("a=ice-ufrag:"));
    let (prints, last) = (of("a=fingerprint:"), invites.len() - 1);
    assert!(ports[0] != ports[last] && ufrags[0] != ufrags[last], "{ports:?} {ufrags:?}");
    assert_eq!(prints[0], prints[last], "DTLS goes on");
    assert_eq!(world.asked.len(), 1, "SIP stays where it is");
}

#[test]
fn a_network_change_that_costs_the_websocket_registers_anew_and_takes_the_call_along() {
    let mut world = in_a_call("{ network_change: { reconnect: true } }", LAB);
    let record = ran(&mut world);
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    assert!(record.recovery_ms.is_some_and(|ms| ms <= 120.0), "{:?}", record.recovery_ms);
    assert_eq!(world.asked.len(), 2, "another connection");
    let order: Vec<&str> = world.wire.iter().filter(|sent| sent.by == Side::Callers).map(|it| &it.line[..3]).collect();
    let second = order.iter().rposition(|line| *line == "REG").expect("the end of the binding");
    assert!(order[..second].contains(&"BYE"), "{order:?}");
    assert_eq!(requests(&world, "BYE").len(), 1);
}

#[test]
fn a_call_whose_connection_is_gone_ends_at_the_pbx_when_nobody_comes_back_for_it() {
    let lab = LAB.replace("keep_calls: 2s, ", "");
    let mut world = in_a_call("{ offline: { for: 3s } }", &lab);
    world.run(MINUTE);
    // The connection is cut without a word, so that only an unanswered ping would tell the PBX.
    assert_eq!(world.record().class, Class::Ok, "{:#?}", world.record());
    let mut world = in_a_call("{ offline: { for: 40s } }", &lab);
    world.run(5 * MINUTE);
    let record = world.record();
    assert_eq!(record.class, Class::AgentNotRecovered, "{record:#?}");
    assert_eq!(record.unmet.as_deref(), Some("offline: the re-INVITE: it was refused with 481"));
    assert_eq!(record.recovery_ms, None);
}

#[test]
fn after_a_reload_the_call_is_refused_while_the_pbx_holds_the_old_one_and_answered_within_one_retry() {
    let mut world = in_a_call("{ reload: { retry: 100ms } }", LAB);
    let record = ran(&mut world);
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    assert!(record.recovery_ms.is_some_and(|ms| (2000.0..=2200.0).contains(&ms)), "{:?}", record.recovery_ms);
    assert!(record.recovery_tries.is_some_and(|tries| (20..=22).contains(&tries)), "{:?}", record.recovery_tries);
    assert_eq!(
        record.sip_call_ids.len() as u32,
        2 + record.recovery_tries.expect("known"),
        "its REGISTER, and each call"
    );
    let byes = requests(&world, "BYE");
    assert_eq!(byes.len(), 1, "none for the old call");
    assert_eq!(value(byes[0], "Call-ID: "), record.sip_call_ids.last().expect("the last call"));
}

#[test]
fn a_reload_calls_again_every_five_seconds_and_says_what_refused_it_when_its_time_is_over() {
    let lab = LAB.replace("keep_calls: 2s", "keep_calls: 90s");
    let mut world = in_a_call("{ reload: { within: 61s } }", &lab);
    world.run(3 * MINUTE);
    let record = world.record();
    assert_eq!((record.class, record.code), (Class::CallHungAfterReload, Some(486)), "{record:#?}");
    let unmet = "reload: no call was answered within 61 s; the last answer was 486 Busy Here";
    assert_eq!((record.unmet.as_deref(), record.recovery_tries), (Some(unmet), Some(14)));
    let mut world = in_a_call("reload", &LAB.replace("keep_calls: 2s", "keep_calls: 58s"));
    let record = ran(&mut world);
    assert!(record.recovery_ms.is_some_and(|ms| (60_000.0..60_200.0).contains(&ms)), "{:?}", record.recovery_ms);
}

#[test]
fn an_agent_that_was_called_comes_back_from_a_reload_registered_and_takes_the_next_call() {
    let text = "scenario: test\ntarget: lab.yaml\nactors:\n  agent: { transport: wss, account: agents, steps: [register, \
        { answer: {} }, { talk: { for: 2s } }, reload, { answer: {} }, talk] }\n  first: { account: agents, when: agent.registered, \
        steps: [{ dial: { number: \"{{ agent.user }}\" } }, { talk: { for: 10s } }, hangup] }\n  second: { account: agents, \
        when: first.ended, steps: [{ dial: { number: \"{{ agent.user }}\" } }, { talk: { for: 3s } }, hangup] }\nload: { calls: 1 }\n";
    let mut world = World::new(compiled(text, LAB));
    world.run(2 * MINUTE);
    let agent = world.records.iter().find(|record| record.call_id.ends_with("agent")).expect("recorded");
    assert_eq!((agent.class, agent.recovery_from.as_deref()), (Class::Ok, Some("reload")), "{agent:#?}");
    assert!(agent.recovery_ms.is_some_and(|ms| ms <= 50.0), "registered at once: {:?}", agent.recovery_ms);
    let first = world.records.iter().find(|record| record.call_id.ends_with("first")).expect("recorded");
    assert_eq!(first.class, Class::CallDroppedMidway, "{first:#?}");
    let second = world.records.iter().find(|record| record.call_id.ends_with("second")).expect("recorded");
    assert_eq!(second.class, Class::Ok, "{second:#?}");
}

#[test]
fn a_frozen_page_answers_no_sip_but_pings_and_goes_on_where_it_stood() {
    let mut world = in_a_call("{ frozen: { for: 30s } }", LAB);
    let record = ran(&mut world);
    assert_eq!((record.class, record.audio.as_str()), (Class::Ok, "two_way"), "{record:#?}");
    assert!(record.recovery_ms.is_some_and(|ms| ms <= 100.0), "{:?}", record.recovery_ms);
    assert_eq!(world.asked.len(), 1, "the browser answered the pings of the PBX");
    let silent = |sent: &&crate::virtual_net::Sent| {
        sent.by == Side::Callers && (Duration::from_secs(4)..Duration::from_secs(33)).contains(&sent.at)
    };
    assert_eq!(world.wire.iter().filter(silent).count(), 0);
}

#[test]
fn an_agent_that_sleeps_for_too_long_connects_and_registers_as_soon_as_it_wakes() {
    let mut world = world_of(
        "[register, { sleep: { for: 60s } }, { dial: { number: internal } }, { talk: { for: 2s } }, hangup]",
        LAB,
    );
    let record = ran(&mut world);
    assert_eq!((record.class, record.recovery_from.as_deref()), (Class::Ok, Some("sleep")), "{record:#?}");
    assert!(record.recovery_ms.is_some_and(|ms| ms <= 5000.0), "within one keep-alive: {:?}", record.recovery_ms);
    assert_eq!(world.asked.len(), 2, "the PBX closed the connection that did not answer");
    let mut world = in_a_call("{ sleep: { for: 3s } }", LAB);
    let record = ran(&mut world);
    assert_eq!((record.class, record.audio.as_str(), world.asked.len()), (Class::Ok, "two_way", 1), "{record:#?}");
    assert!(record.recovery_ms.is_some_and(|ms| ms <= 100.0), "{:?}", record.recovery_ms);
}

#[test]
fn a_page_in_the_background_answers_when_its_timer_may_fire() {
    let text = "scenario: test\ntarget: lab.yaml\nactors:\n  agent: { transport: wss, account: agents, steps: [register, \
        { throttled: { for: 10m } }, { answer: { after: 2s, within: 5m } }, talk] }\n  customer: { account: agents, \
        when: agent.registered, steps: [{ dial: { number: \"{{ agent.user }}\", answer_within: 2m } }, \
        { talk: { for: 2s } }, hangup] }\nload: { calls: 1 }\n";
    let mut world = World::new(compiled(text, LAB));
    world.run(5 * MINUTE);
    let customer = world.records.iter().find(|record| record.call_id.ends_with("customer")).expect("recorded");
    assert_eq!(customer.class, Class::Ok, "{customer:#?}");
    assert!(customer.ring_ms.is_some_and(|ms| (59_000.0..60_000.0).contains(&ms)), "{:?}", customer.ring_ms);
}

#[test]
fn without_a_microphone_the_offer_says_that_nothing_is_sent_and_nothing_is() {
    for word in ["recvonly", "inactive"] {
        let steps = format!("[{{ dial: {{ number: silence, media: {word} }} }}, {{ talk: {{ for: 3s }} }}, hangup]");
        let mut world = world_of(&steps, LAB);
        let record = ran(&mut world);
        assert!(requests(&world, "INVITE")[0].contains(&format!("\r\na={word}\r\n")));
        assert_eq!((record.code, record.tx_packets), (Some(200), Some(0)), "{record:#?}");
        assert_eq!(record.rx_packets > Some(100), word == "recvonly", "{:?}", record.rx_packets);
    }
}

#[test]
fn an_interrupt_in_each_state_of_a_disturbance_ends_the_call_and_the_binding() {
    for disturbance in [
        "network_change",
        "{ network_change: { reconnect: true } }",
        "{ reload: {} }",
        "{ frozen: { for: 30s } }",
        "{ sleep: { for: 30s } }",
        "{ offline: { for: 30s } }",
    ] {
        for after in [3_300, 3_310, 3_330, 3_350, 3_370, 5_000, 20_000] {
            let mut world = in_a_call(disturbance, LAB);
            world.pass(Duration::from_millis(after));
            world.stop();
            world.run(3 * MINUTE);
            world.rest(MINUTE);
            assert_eq!(world.open_ports(), 0, "{disturbance} after {after} ms");
            assert_eq!(world.pbx.calls_under_way(), 0, "{disturbance} after {after} ms");
        }
    }
}

/// An agent with a second tab of the same account, and a customer who calls the account.
fn two_tabs(steps_of_agent: &str) -> World {
    let text = format!(
        "scenario: test\ntarget: lab.yaml\nactors:\n  agent: {{ transport: wss, account: agents, steps: {steps_of_agent} }}\n  \
        tab: {{ transport: wss, account_of: agent, when: agent.registered, steps: [register, {{ answer: {{ within: 9s, optional: true }} }}, \
        talk] }}\n  customer: {{ account: agents, when: tab.registered, steps: [{{ dial: {{ number: \"{{{{ agent.user }}}}\" }} }}, \
        {{ talk: {{ for: 2s }} }}, hangup] }}\nload: {{ calls: 1 }}\n"
    );
    World::new(compiled(&text, LAB))
}

#[test]
fn a_second_tab_registers_the_same_account_over_its_own_connection_and_the_server_says_which_one_rings() {
    let mut world = two_tabs("[register, { answer: { within: 9s, optional: true } }, talk]");
    world.run(MINUTE);
    assert!(
        world.records.iter().all(|record| record.class == Class::Ok && record.unmet.is_none()),
        "{:#?}",
        world.records
    );
    let rang: Vec<&str> = world.records.iter().filter(|it| it.invited).map(|it| it.call_id.as_str()).collect();
    assert_eq!(rang, ["run-000001-tab", "run-000001-customer"], "the lab calls who registered last");
    let registers = requests(&world, "REGISTER");
    let hosts: std::collections::BTreeSet<&str> =
        registers.iter().map(|text| value(text, "Contact: ").split(['@', ';']).nth(1).expect("a host")).collect();
    assert_eq!((hosts.len(), world.asked.len()), (2, 3), "{hosts:?}");
}

#[test]
fn the_tab_that_stays_takes_the_calls_once_the_other_has_signed_out() {
    let mut world = two_tabs("[register, { wait: 100ms }]");
    world.run(MINUTE);
    assert!(
        world.records.iter().all(|record| record.class == Class::Ok && record.unmet.is_none()),
        "{:#?}",
        world.records
    );
    assert_eq!(world.records.iter().filter(|it| it.is_answered()).count(), 2);
}

#[test]
fn a_pool_calls_either_phone_of_an_agent_and_every_call_is_answered_after_two_seconds() {
    let text = "scenario: test\ntarget: lab.yaml\nactors:\n  first: { transport: wss, account: agents, steps: [register, { answer: { \
                within: 9s, auto_answer: true, optional: true } }, talk] }\n  second: { transport: wss, account_of: first, when: \
                first.registered, steps: [register, { answer: { within: 9s, auto_answer: true, optional: true } }, talk] }\n  \
                customer: { account: agents, when: second.registered, steps: [{ dial: { number: \"{{ first.user }}\" } }, { \
                talk: { for: 2s } }, hangup] }\nload: { calls: 20 }\n";
    let lab = format!("{LAB}registrations: {{ rings: random }}\n");
    let mut world = World::new(compiled(text, &lab));
    world.run(10 * MINUTE);
    assert!(world.records.iter().all(|record| record.class == Class::Ok && record.unmet.is_none()));
    let called = |phone: &str| {
        let of_phone = world.records.iter().filter(|it| it.call_id.ends_with(phone));
        of_phone.filter(|it| it.invited).count()
    };
    let shares = [called("-first"), called("-second"), called("-customer")];
    assert_eq!((shares[0] + shares[1], shares[2]), (20, 20));
    assert!(shares[0] >= 5 && shares[1] >= 5, "both are called: {shares:?}");
    let customers = world.records.iter().filter(|it| it.call_id.ends_with("-customer"));
    assert!(customers.map(|it| it.ring_ms.expect("it rang")).all(|ms| (2000.0..2100.0).contains(&ms)));
}
