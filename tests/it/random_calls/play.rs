//! Two endpoints, what an application may do to them in any order, and what has to hold when all is over.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ringfleet::sip::endpoint::{Event, Ping};
use ringfleet::sip::exchange::Cause;
use ringfleet::sip::flow::{Flow, Transport};
use ringfleet::sip::registration::{Binding, Registrar};
use ringfleet::sip::session::{Extensions, Invite, Means, Refresher, Reliable, Response, SessionTimer};
use ringfleet::sip::token::Handle;

use crate::pair::{Network, OFFER, Pair, invite};
use crate::sip_peer::field;

pub(super) const ANSWER: &[u8] = b"v=0\r\nm=audio 5000 RTP/AVP 8\r\n";
pub(super) const OK: Response<'static> = Response { code: 200, reason: "", contact: "b", headers: &[], sdp: ANSWER };
const REFUSAL: Response<'static> = Response { code: 488, reason: "", contact: "", headers: &[], sdp: b"" };

/// What an application, a network or a third party may do at any moment, sensible or not.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Dial(Kind),
    /// Takes a call with these extensions, and rings.
    Ring(Kind),
    /// The answer in a provisional response.
    Progress,
    Answer,
    Refuse(u16),
    Cancel,
    HangUp,
    Abandon,
    Change(Means),
    Register,
    Unregister,
    Ping,
    /// A request of the far end within a dialog that is answered at once: INFO, MESSAGE, OPTIONS.
    Within(&'static str),
    /// A fork that nobody knew of answers, or rings.
    Fork(&'static str),
    /// A datagram of long ago arrives once more.
    Replay(usize),
    LoseLink,
    Unreachable,
    Pass(u64),
}

impl Op {
    /// Both sides know the same of every call unless this is done to them.
    pub(super) fn parts_the_sides(&self) -> bool {
        matches!(
            self,
            Self::Abandon | Self::Within(_) | Self::Fork(_) | Self::Replay(_) | Self::LoseLink | Self::Unreachable
        )
    }
}

/// What a call speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) reliable: Reliable,
    /// Refreshed by this side, by this means.
    pub(super) timer: Option<(Refresher, Means)>,
    /// The INVITE brings an offer.
    pub(super) offers: bool,
}

impl Kind {
    pub(super) fn plain() -> Self {
        Self { reliable: Reliable::default(), timer: None, offers: true }
    }

    fn extensions(self) -> Extensions {
        let timer = self.timer.map_or_else(SessionTimer::default, |(refresher, by)| SessionTimer {
            expires: Some(90),
            refresher: Some(refresher),
            by,
            ..SessionTimer::default()
        });
        Extensions { reliable: self.reliable, timer, ..Extensions::default() }
    }
}

/// What an end knows of what it began or was offered, oldest first.
#[derive(Default)]
struct Known {
    placed: Vec<Handle>,
    received: Vec<Handle>,
    registrations: Vec<Handle>,
    pings: Vec<Handle>,
    /// Calls that were taken.
    spoken: HashSet<Handle>,
    /// Offers within a call so far: some are refused, and some are not answered at once.
    offers: usize,
    call_ids: HashMap<Handle, String>,
}

pub(super) struct Play {
    pub(super) pair: Pair,
    transport: Transport,
    known: [Known; 2],
    third_party: usize,
}

impl Play {
    pub(super) fn new(network: Network, transport: Transport) -> Self {
        let network =
            if transport.is_reliable() { Network { delay: network.delay, ..Network::default() } } else { network };
        Self { pair: Pair::new(network, transport), transport, known: Default::default(), third_party: 0 }
    }

    pub(super) fn pass(&mut self, period: Duration) {
        let until = self.pair.now - self.pair.start + period;
        let known = &mut self.known;
        self.pair.run(until, |pair, end, event| known[end].take(pair, end, event));
    }

    pub(super) fn act(&mut self, end: usize, which: usize, op: &Op) {
        let (now, flow) = (self.pair.now, self.pair.flow(end));
        let pick = |list: &[Handle]| (!list.is_empty()).then(|| list[which % list.len()]);
        let known = &mut self.known[end];
        let placed = pick(&known.placed);
        let received = pick(&known.received);
        let any = if which.is_multiple_of(2) { placed.or(received) } else { received.or(placed) };
        let endpoint = &mut self.pair.ends[end];
        match op {
            Op::Dial(kind) => {
                let sdp = if kind.offers { OFFER } else { b"" };
                let call = Invite { extensions: kind.extensions(), sdp, ..invite(flow) };
                let session = endpoint.invite(now, &call).expect("the link is open");
                known.placed.push(session);
                known.call_ids.insert(session, endpoint.call_id(session).expect("it stands"));
            }
            Op::Ring(kind) => on(received, |it| {
                if known.spoken.insert(it) && !endpoint.speak(now, it, kind.extensions()) {
                    return;
                }
                endpoint.respond(now, it, &Response { code: 180, sdp: b"", ..OK });
            }),
            Op::Progress => on(received, |it| endpoint.respond(now, it, &Response { code: 183, ..OK })),
            Op::Answer => on(received, |it| endpoint.respond(now, it, &OK)),
            Op::Refuse(code) => {
                on(received, |it| endpoint.respond(now, it, &Response { code: *code, ..Response::default() }));
            }
            Op::Cancel => on(placed, |it| endpoint.cancel(now, it)),
            Op::HangUp => on(any, |it| endpoint.bye(now, it, Some("Q.850;cause=16"))),
            Op::Abandon => on(received, |it| endpoint.abandon(now, it)),
            Op::Change(means) => on(any, |it| {
                let _ = endpoint.change(now, it, OFFER, *means);
            }),
            Op::Register => known.registrations.extend(endpoint.register(now, binding(flow, which))),
            Op::Unregister => on(pick(&known.registrations), |it| endpoint.unregister(now, it)),
            Op::Ping => {
                let (uri, from) = ("sip:lab", "<sip:a@lab>");
                let (route, headers, largest_datagram) = (&[], &[], None);
                let ping = Ping { flow, owner: 3, uri, from, route, headers, largest_datagram, credentials: None };
                known.pings.extend(endpoint.options(now, &ping));
            }
            Op::Within(method) => self.inject_within(end, which, method),
            Op::Fork(line) => self.inject_fork(end, which, line),
            Op::Replay(back) => {
                let old = self.pair.messages.iter().rev().filter(|(from, _)| *from != end).nth(*back);
                if let Some((_, text)) = old.cloned() {
                    self.inject(end, &text);
                }
            }
            Op::LoseLink => self.pair.lose_link(end, self.transport),
            Op::Unreachable => endpoint.fail_towards(now, flow),
            Op::Pass(milliseconds) => self.pass(Duration::from_millis(*milliseconds)),
        }
    }

    fn inject(&mut self, end: usize, text: &str) {
        let known = &mut self.known;
        self.pair.inject(end, text, |pair, end, event| known[end].take(pair, end, event));
    }

    /// A request of the far end in the dialog of some response that this end has sent.
    fn inject_within(&mut self, end: usize, which: usize, method: &str) {
        let sent = self.pair.messages_of(end, "SIP/2.0 ");
        let dialogs: Vec<&str> =
            sent.into_iter().filter(|text| field(text, "CSeq").ends_with("INVITE") && text.contains(";tag=")).collect();
        let Some(text) = (!dialogs.is_empty()).then(|| dialogs[which % dialogs.len()]) else { return };
        self.third_party += 1;
        let cseq = field(text, "CSeq").split(' ').next().and_then(|number| number.parse::<u32>().ok()).expect("ours");
        let request = format!(
            "{method} sip:b@127.0.0.1:5061 SIP/2.0\r\nVia: SIP/2.0/{} 127.0.0.1:5060;branch=z9hG4bKwithin{}\r\n\
             Max-Forwards: 70\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} {method}\r\nContent-Length: 0\r\n\r\n",
            self.transport.name(),
            self.third_party,
            field(text, "From"),
            field(text, "To"),
            field(text, "Call-ID"),
            cseq,
        );
        self.inject(end, &request);
    }

    /// A response to an INVITE of this end comes once more, as if of another fork.
    fn inject_fork(&mut self, end: usize, which: usize, line: &str) {
        let sent = self.pair.messages_of(1 - end, line);
        let answers: Vec<&str> = sent.into_iter().filter(|text| field(text, "CSeq").ends_with("INVITE")).collect();
        let Some(text) = (!answers.is_empty()).then(|| answers[which % answers.len()]) else { return };
        let to = field(text, "To");
        let Some((party, _)) = to.split_once(";tag=") else { return };
        self.third_party += 1;
        let fork = text.replace(to, &format!("{party};tag=fork{}", self.third_party % 5));
        self.inject(end, &fork);
    }

    /// Everybody gives up everything, until nothing is left to give up.
    pub(super) fn end(&mut self) {
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

    /// Nothing is left, and the end of everything was told once.
    pub(super) fn check(&mut self) {
        for end in 0..2 {
            let endpoint = &self.pair.ends[end];
            let (told, wire) = (&self.pair.told[end], &self.pair.wire);
            assert_eq!(endpoint.len(), 0, "end {end} keeps something: {told:#?}\n{wire:#?}");
            assert_eq!(endpoint.poll_timeout(), None, "end {end} keeps a timer");
            assert_eq!(endpoint.counters().malformed, 0);
            let ends = self.ends_told(end);
            let count = |handle: &Handle| ends.get(handle).map_or(0, Vec::len);
            let known = &self.known[end];
            for handle in known.placed.iter().chain(&known.registrations).chain(&known.pings) {
                assert_eq!(count(handle), 1, "{handle:?} of end {end}: {told:#?}\n{wire:#?}");
            }
            for handle in &known.received {
                assert!(count(handle) <= 1, "{handle:?} of end {end}: {told:#?}\n{wire:#?}");
            }
        }
        let sent = self.pair.wire.len();
        self.pass(Duration::from_secs(24 * 3600));
        assert_eq!(self.pair.wire.len(), sent, "nothing is sent for ever");
    }

    /// The two sides of a call know the same of how it ended, as far as they heard of each other.
    pub(super) fn check_that_both_sides_agree(&self) {
        for caller in 0..2 {
            let called = 1 - caller;
            let (ours, theirs) = (self.ends_told(caller), self.ends_told(called));
            for placed in &self.known[caller].placed {
                let id = &self.known[caller].call_ids[placed];
                let same =
                    self.known[called].received.iter().filter(|it| self.known[called].call_ids.get(it) == Some(id));
                let end = &ours[placed][0];
                // An INVITE that came again with a challenge or a longer interval is another one.
                let others: Vec<Option<&Event>> = same.map(|it| theirs.get(it).and_then(|all| all.first())).collect();
                let agreed = others.iter().all(|other| agrees(end, *other));
                assert!(agreed, "{end:?} and {others:?} of {id}:\n{:#?}", self.pair.wire);
                if matches!(end, Event::ByeAnswered { code: 200, .. } | Event::ByeReceived { .. }) {
                    assert!(!others.is_empty(), "a call that nobody took was up: {:#?}", self.pair.wire);
                }
            }
        }
    }

    /// How the end of each session, registration and request was told.
    fn ends_told(&self, end: usize) -> HashMap<Handle, Vec<Event>> {
        let mut ends: HashMap<Handle, Vec<Event>> = HashMap::new();
        for (_, event) in &self.pair.told[end] {
            let over = match event {
                Event::Refused { session, .. }
                | Event::Cancelled { session }
                | Event::ByeReceived { session }
                | Event::ByeAnswered { session, .. }
                | Event::ProvisionalNotAcknowledged { session }
                | Event::LinkLost { session } => *session,
                Event::RegistrationFailed { registration, .. } | Event::Unregistered { registration, .. } => {
                    *registration
                }
                Event::OptionsAnswered { request, .. } => *request,
                _ => continue,
            };
            ends.entry(over).or_default().push(*event);
        }
        ends
    }
}

/// Whether a caller's end of a call and a called party's belong together. One who refuses is told nothing.
fn agrees(caller: &Event, called: Option<&Event>) -> bool {
    match (caller, called) {
        // A refusal that was received: the called party sent it, and nothing else after it.
        (Event::Refused { cause: Cause::Response, code, .. }, called) => match called {
            None => true,
            Some(Event::Cancelled { .. }) => *code == 487,
            Some(Event::ProvisionalNotAcknowledged { .. }) => *code == 504,
            Some(_) => false,
        },
        // Nothing final was heard in time: the called party may have come to any end of its own but ours.
        (Event::Refused { .. }, called) => !matches!(called, Some(Event::ByeReceived { .. })),
        // Our BYE was answered: it was received, or met theirs, or came when they knew nothing of the call any more.
        (Event::ByeAnswered { code: 200, .. }, called) => {
            matches!(called, Some(Event::ByeReceived { .. } | Event::ByeAnswered { .. }))
        }
        (Event::ByeAnswered { .. }, _) => true,
        (Event::ByeReceived { .. }, called) => matches!(called, Some(Event::ByeAnswered { .. })),
        _ => false,
    }
}

impl Known {
    /// What an application does of its own accord.
    fn take(&mut self, pair: &mut Pair, end: usize, event: Event) {
        let (now, endpoint) = (pair.now, &mut pair.ends[end]);
        match event {
            Event::Invited { session } => {
                self.received.push(session);
                self.call_ids.extend(endpoint.call_id(session).map(|id| (session, id)));
            }
            // The 2xx brought the offer, or it did not and nothing is sent.
            Event::Answered { session } => endpoint.acknowledge(now, session, ANSWER),
            Event::Reinvited { session } => {
                self.offers += 1;
                match self.offers % 6 {
                    0 => endpoint.respond(now, session, &REFUSAL),
                    // Until somebody answers or hangs up.
                    1 => {}
                    _ => endpoint.respond(now, session, &OK),
                }
            }
            Event::Offered { session } => {
                self.offers += 1;
                match self.offers % 6 {
                    0 => endpoint.answer_offer(now, session, &REFUSAL),
                    1 => {}
                    _ => endpoint.answer_offer(now, session, &OK),
                }
            }
            _ => {}
        }
    }
}

fn on(handle: Option<Handle>, act: impl FnOnce(Handle)) {
    if let Some(handle) = handle {
        act(handle);
    }
}

pub(super) fn binding(flow: Flow, which: usize) -> Binding {
    Binding {
        flow,
        owner: 5,
        registrar: Arc::new(Registrar {
            scheme: "sip",
            domain: "lab".into(),
            gruu: which.is_multiple_of(3),
            outbound: which.is_multiple_of(2),
            ..Registrar::default()
        }),
        user: which.to_string().into(),
        expires: 60,
        credentials: None,
        refresh: which.is_multiple_of(2),
        instance: Some(format!("urn:uuid:{which}").into()),
    }
}
