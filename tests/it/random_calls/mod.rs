//! Random lists of operations on two endpoints in virtual time, through delay, loss, reorder and duplication: whatever
//! is done in whatever order, every session ends, tells its end once, and leaves nothing behind.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;
use ringfleet::sip::endpoint::{Event, Ping};
use ringfleet::sip::flow::Transport;
use ringfleet::sip::registration::Binding;
use ringfleet::sip::session::Response;
use ringfleet::sip::token::Handle;

use crate::pair::{Network, Pair, invite};

const OK: Response<'static> = Response { code: 200, reason: "", contact: "b", headers: &[], sdp: b"" };

/// What an application may want at any moment, sensible or not.
#[derive(Clone, Debug)]
enum Op {
    Dial,
    Ring,
    Answer,
    Refuse(u16),
    Cancel,
    HangUp,
    Abandon,
    Register,
    Unregister,
    Ping,
    LoseLink,
    Unreachable,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => Just(Op::Dial),
        3 => Just(Op::Ring),
        6 => Just(Op::Answer),
        2 => prop_oneof![Just(302), Just(404), Just(486), Just(503), Just(603)].prop_map(Op::Refuse),
        3 => Just(Op::Cancel),
        6 => Just(Op::HangUp),
        1 => Just(Op::Abandon),
        2 => Just(Op::Register),
        2 => Just(Op::Unregister),
        1 => Just(Op::Ping),
        1 => Just(Op::LoseLink),
        1 => Just(Op::Unreachable),
        12 => prop_oneof![0..30u64, 0..1000u64, 0..40_000u64].prop_map(Op::Pass),
    ]
}

fn network() -> impl Strategy<Value = Network> {
    (0..300u64, 0..400u64, prop_oneof![Just(0), 0..400u64], prop_oneof![Just(0), 0..400u64]).prop_map(
        |(delay, spread, loss, duplication)| Network {
            delay: Duration::from_millis(delay),
            spread: Duration::from_millis(spread),
            loss,
            duplication,
        },
    )
}

/// What an end knows of what it began or was offered, oldest first.
#[derive(Default)]
struct Known {
    placed: Vec<Handle>,
    received: Vec<Handle>,
    registrations: Vec<Handle>,
    pings: Vec<Handle>,
    silent: Vec<Handle>,
}

struct Play {
    pair: Pair,
    transport: Transport,
    known: [Known; 2],
}

impl Play {
    fn new(network: Network, transport: Transport) -> Self {
        let network =
            if transport.is_reliable() { Network { delay: network.delay, ..Network::default() } } else { network };
        Self { pair: Pair::new(network, transport), transport, known: Default::default() }
    }

    fn pass(&mut self, period: Duration) {
        let until = self.pair.now - self.pair.start + period;
        let known = &mut self.known;
        self.pair.run(until, |_, end, event| {
            if let Event::Invited { session } = event {
                known[end].received.push(session);
            }
        });
    }

    fn act(&mut self, end: usize, which: usize, op: &Op) {
        let (now, flow) = (self.pair.now, self.pair.flow(end));
        let pick = |list: &[Handle]| (!list.is_empty()).then(|| list[which % list.len()]);
        let known = &mut self.known[end];
        let placed = pick(&known.placed);
        let received = pick(&known.received);
        let any = if which.is_multiple_of(2) { placed.or(received) } else { received.or(placed) };
        let endpoint = &mut self.pair.ends[end];
        match op {
            Op::Dial => known.placed.extend(endpoint.invite(now, &invite(flow))),
            Op::Ring => on(received, |it| endpoint.respond(now, it, &Response { code: 180, ..OK })),
            Op::Answer => on(received, |it| endpoint.respond(now, it, &OK)),
            Op::Refuse(code) => {
                on(received, |it| endpoint.respond(now, it, &Response { code: *code, ..Response::default() }));
            }
            Op::Cancel => on(placed, |it| endpoint.cancel(now, it)),
            Op::HangUp => on(any, |it| endpoint.bye(now, it, Some("Q.850;cause=16"))),
            Op::Abandon => on(received, |it| {
                endpoint.abandon(now, it);
                known.silent.push(it);
            }),
            Op::Register => known.registrations.extend(endpoint.register(now, binding(flow, which))),
            Op::Unregister => on(pick(&known.registrations), |it| endpoint.unregister(now, it)),
            Op::Ping => {
                let ping =
                    Ping { flow, owner: 3, uri: "sip:lab", from: "<sip:a@lab>", headers: &[], credentials: None };
                known.pings.extend(endpoint.options(now, &ping));
            }
            Op::LoseLink => self.pair.lose_link(end, self.transport),
            Op::Unreachable => endpoint.fail_towards(now, flow),
            Op::Pass(milliseconds) => self.pass(Duration::from_millis(*milliseconds)),
        }
    }

    /// Everybody gives up everything, until nothing is left to give up.
    fn end(&mut self) {
        for _ in 0..3 {
            for end in 0..2 {
                let now = self.pair.now;
                let (known, endpoint) = (&self.known[end], &mut self.pair.ends[end]);
                for session in &known.placed {
                    endpoint.cancel(now, *session);
                    endpoint.bye(now, *session, None);
                }
                for session in &known.received {
                    endpoint.bye(now, *session, None);
                    endpoint.respond(now, *session, &Response { code: 480, ..Response::default() });
                }
                for registration in &known.registrations {
                    endpoint.unregister(now, *registration);
                }
            }
            // Longer than any two transactions one after the other.
            self.pass(Duration::from_secs(150));
        }
    }

    fn check(&self) {
        for end in 0..2 {
            let endpoint = &self.pair.ends[end];
            assert_eq!(
                endpoint.len(),
                0,
                "end {end} keeps something: {:#?}\n{:#?}",
                self.pair.told[end],
                self.pair.wire
            );
            assert_eq!(endpoint.poll_timeout(), None, "end {end} keeps a timer");
            assert_eq!(endpoint.counters().malformed, 0);
            let ends = self.ends_told(end);
            let count = |handle: &Handle| ends.get(handle).copied().unwrap_or(0);
            let known = &self.known[end];
            for handle in known.placed.iter().chain(&known.registrations).chain(&known.pings) {
                assert_eq!(count(handle), 1, "{handle:?} of end {end}: {:#?}", self.pair.told[end]);
            }
            for handle in &known.received {
                assert!(count(handle) <= 1, "{handle:?} of end {end}: {:#?}", self.pair.told[end]);
            }
        }
    }

    /// How often the end of each session, registration and request was told.
    fn ends_told(&self, end: usize) -> HashMap<Handle, usize> {
        let mut ends = HashMap::new();
        for (_, event) in &self.pair.told[end] {
            let over = match event {
                Event::Refused { session, .. }
                | Event::Cancelled { session }
                | Event::ByeReceived { session }
                | Event::ByeAnswered { session, .. }
                | Event::LinkLost { session } => *session,
                Event::RegistrationFailed { registration, .. } | Event::Unregistered { registration, .. } => {
                    *registration
                }
                Event::OptionsAnswered { request, .. } => *request,
                _ => continue,
            };
            *ends.entry(over).or_default() += 1;
        }
        ends
    }
}

fn on(handle: Option<Handle>, act: impl FnOnce(Handle)) {
    if let Some(handle) = handle {
        act(handle);
    }
}

fn binding(flow: ringfleet::sip::flow::Flow, which: usize) -> Binding {
    Binding {
        flow,
        owner: 5,
        registrar: "sip:lab".into(),
        aor: format!("sip:{which}@lab"),
        user: which.to_string(),
        expires: 60,
        headers: Vec::new(),
        route: Vec::new(),
        credentials: None,
        refresh: which.is_multiple_of(2),
        instance: None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_operations_ends_every_session_once_and_leaves_nothing(
        network in network(),
        transport in prop_oneof![3 => Just(Transport::Udp), 1 => Just(Transport::Tcp)],
        ops in prop::collection::vec((0..2usize, 0..6usize, op()), 1..40),
    ) {
        let mut play = Play::new(network, transport);
        for (end, which, op) in &ops {
            play.act(*end, *which, op);
        }
        play.end();
        play.check();
        // Eleven INVITEs, ACKs, 200s … of one transaction at the most, each perhaps answered and perhaps doubled.
        prop_assert!(play.pair.wire.len() <= 150 * ops.len(), "{} messages", play.pair.wire.len());
    }
}

#[test]
fn a_day_of_registration_and_a_call_every_minute_is_counted_exactly() {
    let mut play = Play::new(Network::default(), Transport::Udp);
    let (now, flow) = (play.pair.now, play.pair.flow(0));
    let registration = play.pair.ends[0].register(now, Binding { expires: 600, ..binding(flow, 0) });
    for minute in 0..24 * 60 {
        let now = play.pair.now;
        play.pair.ends[0].invite(now, &invite(flow)).expect("the link is open");
        let until = Duration::from_secs(60 * (minute + 1));
        play.pair.run(until, |pair, end, event| {
            let now = pair.now;
            match event {
                Event::Invited { session } => pair.ends[end].respond(now, session, &OK),
                Event::Answered { session } => pair.ends[end].bye(now, session, None),
                _ => {}
            }
        });
        // Neither end remembers more than its registration and the last call's transaction.
        assert!(play.pair.ends[0].len() <= 2 && play.pair.ends[1].len() <= 1);
    }
    let told = |end: usize, wanted: fn(&Event) -> bool| play.pair.told[end].iter().filter(|(_, it)| wanted(it)).count();
    assert_eq!(told(0, |event| matches!(event, Event::Answered { .. })), 1440);
    assert_eq!(told(0, |event| matches!(event, Event::ByeAnswered { code: 200, .. })), 1440);
    assert_eq!(told(1, |event| matches!(event, Event::ByeReceived { .. })), 1440);
    // 600 s are refreshed with a tenth left; each costs a round trip of 20 ms: 86,400 / 540.02.
    assert_eq!(told(0, |event| matches!(event, Event::Registered { refreshed: true, .. })), 159);
    assert_eq!(play.pair.sent("REGISTER").len(), 160);
    let now = play.pair.now;
    play.pair.ends[0].unregister(now, registration.expect("it was made"));
    play.pass(Duration::from_secs(60));
    assert!(play.pair.ends.iter().all(|end| end.is_empty() && end.poll_timeout().is_none()));
    let sent = play.pair.wire.len();
    // INVITE, 200, ACK, BYE, 200 of each call; REGISTER and 200; nothing was sent twice.
    assert_eq!(sent, 1440 * 5 + 2 * 161);
}
