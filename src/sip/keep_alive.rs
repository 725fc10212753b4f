//! Keep-alives of flows (RFC 5626 §4.4): when a ping is due, and when one that should have been answered was not.
//!
//! | flow | ping | interval | answer |
//! |---|---|---|---|
//! | connection | double CRLF (§4.4.1), or a ping frame of WebSocket | by lot from 95 to 120 s; of a Flow-Timer, or one that is set, 80 to 100 % | anything within 10 s |
//! | UDP | double CRLF | only of a Flow-Timer, or one that is set: 80 to 100 % | none is expected |
//! | UDP, `stun` | STUN Binding request (§4.4.2) | by lot from 24 to 29 s; of a Flow-Timer 80 to 100 % | its response, within 39.5 s |
//!
//! A STUN request is repeated as RFC 8489 §6.2.1 says. A response that names another address than the one before shows
//! that a NAT on the way has given the flow another one: it has failed.
//! A server that sent no Flow-Timer and never answered a ping may not know them, so that its silence is no failure.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::flow::{Flow, LinkId};
use super::stun::Transaction;
use crate::timer::Wheel;
use crate::units::Random;

/// What is sent where STUN is not asked for.
pub const PING: &[u8] = b"\r\n\r\n";
/// Time for the answer (§4.4.1).
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between two pings of a connection where nobody says how often (§4.4.1).
const USUAL: (Duration, Duration) = (Duration::from_secs(95), Duration::from_secs(120));
/// Between two STUN requests where nobody says how often (§4.4.2).
const USUAL_STUN: (Duration, Duration) = (Duration::from_secs(24), Duration::from_secs(29));
/// First wait for the response to a STUN request, doubling with each repetition (RFC 8489 §6.2.1).
const STUN_WAIT: Duration = Duration::from_millis(500);
/// How often a STUN request is sent, and how many first waits the last wait is as long as.
const STUN_REQUESTS: u32 = 7;
const STUN_LAST_WAIT: u32 = 16;
/// A Flow-Timer beyond this is taken for it.
const LONGEST: Duration = Duration::from_secs(3600);

/// Whether flows towards a target are kept alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Policy {
    /// Connections are, and with a Flow-Timer every flow.
    #[default]
    Usual,
    /// Every flow is, with at most this between two pings.
    Every(Duration),
    /// As usual, and UDP flows by STUN.
    Stun,
    /// None is, whatever the server says.
    Off,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// [`PING`] is to be sent.
    Ping(Flow),
    /// A STUN Binding request is to be sent.
    Bind(Flow, Transaction),
    /// The flow has failed. It is forgotten.
    Failed(LinkId, Failure),
}

/// Why a flow has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The server answered before, and now not within this time.
    #[error("no answer to a keep-alive within {} s", .0.as_secs_f64())]
    Silent(Duration),
    /// A NAT has given the flow another address.
    #[error("the flow came from {before} and now comes from {now}")]
    Moved {
        /// As it was.
        before: SocketAddr,
        /// As it is.
        now: SocketAddr,
    },
}

/// The flows of one worker that are kept alive.
#[derive(Debug)]
pub struct KeepAlives {
    flows: FxHashMap<LinkId, Kept>,
    timers: Wheel<LinkId>,
    random: Random,
}

#[derive(Debug)]
struct Kept {
    flow: Flow,
    reliable: bool,
    policy: Policy,
    /// Least and most between two pings; `None` while there are none.
    interval: Option<(Duration, Duration)>,
    due: Option<Instant>,
    /// When the answer to a ping must be there.
    answer_by: Option<Instant>,
    /// The server answers pings.
    answers: bool,
    /// The STUN request under way.
    asked: Option<Asked>,
    /// Where the flow comes from, as the server sees it.
    mapped: Option<SocketAddr>,
    moved: Option<Failure>,
}

/// A STUN request under way.
#[derive(Clone, Copy, Debug)]
struct Asked {
    transaction: Transaction,
    sent: u32,
    /// When it is repeated, or given up.
    next: Instant,
    /// When it was sent first.
    since: Instant,
}

impl KeepAlives {
    /// No flow yet.
    pub fn new(seed: u64, now: Instant) -> Self {
        Self { flows: FxHashMap::default(), timers: Wheel::new(now), random: Random::new(seed) }
    }

    /// A flow was opened.
    pub fn add(&mut self, now: Instant, flow: Flow, reliable: bool, policy: Policy) {
        let interval = match policy {
            Policy::Usual => reliable.then_some(USUAL),
            Policy::Stun => Some(if reliable { USUAL } else { USUAL_STUN }),
            Policy::Every(most) => Some(around(most)),
            Policy::Off => return,
        };
        let kept = Kept {
            flow,
            reliable,
            policy,
            interval,
            due: None,
            answer_by: None,
            answers: false,
            asked: None,
            mapped: None,
            moved: None,
        };
        self.flows.insert(flow.link, kept);
        self.schedule(now, flow.link);
    }

    /// The peer of a flow has to answer pings, as every one of WebSocket has (RFC 6455 §5.5.2): silence is failure from the
    /// first one on.
    pub fn expect_answers(&mut self, link: LinkId) {
        if let Some(kept) = self.flows.get_mut(&link) {
            kept.answers = kept.reliable;
        }
    }

    /// A flow was closed or lost.
    pub fn remove(&mut self, link: LinkId) {
        self.flows.remove(&link);
    }

    /// A registrar said how often it wants to hear of the flow (Flow-Timer, seconds): it knows keep-alives.
    pub fn note_flow_timer(&mut self, now: Instant, link: LinkId, seconds: u32) {
        let Some(kept) = self.flows.get_mut(&link).filter(|_| seconds > 0) else { return };
        kept.answers = kept.reliable;
        let wanted = around(Duration::from_secs(seconds.into()).min(LONGEST));
        if matches!(kept.policy, Policy::Usual | Policy::Stun) && kept.interval != Some(wanted) {
            kept.interval = Some(wanted);
            self.schedule(now, link);
        }
    }

    /// Something arrived over a flow; `pong` where it was nothing but line ends.
    pub fn note_heard(&mut self, link: LinkId, pong: bool) {
        if self.flows.is_empty() {
            return;
        }
        if let Some(kept) = self.flows.get_mut(&link)
            && kept.answer_by.take().is_some()
        {
            kept.answers |= pong;
        }
    }

    /// The response to a STUN request arrived.
    pub fn note_bound(&mut self, now: Instant, link: LinkId, transaction: Transaction, mapped: Option<SocketAddr>) {
        let Some(kept) = self.flows.get_mut(&link) else { return };
        if kept.asked.take_if(|asked| asked.transaction == transaction).is_none() {
            return;
        }
        kept.answers = true;
        if let (Some(before), Some(seen)) = (kept.mapped, mapped)
            && before != seen
        {
            kept.moved = Some(Failure::Moved { before, now: seen });
            self.timers.insert(now, link);
        }
        kept.mapped = mapped.or(kept.mapped);
    }

    /// The next thing that is due.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        while let Some(link) = self.timers.pop(now) {
            let Some(kept) = self.flows.get_mut(&link) else { continue };
            if let Some(failure) = kept.moved {
                self.flows.remove(&link);
                return Some(Action::Failed(link, failure));
            }
            if let Some(asked) = kept.asked.as_mut().filter(|asked| asked.next <= now) {
                if asked.sent < STUN_REQUESTS {
                    let action = Action::Bind(kept.flow, asked.transaction);
                    asked.repeat();
                    self.timers.insert(asked.next, link);
                    return Some(action);
                }
                let silent = Failure::Silent(now.saturating_duration_since(asked.since));
                kept.asked = None;
                if kept.answers {
                    self.flows.remove(&link);
                    return Some(Action::Failed(link, silent));
                }
            }
            if kept.answer_by.is_some_and(|by| by <= now) {
                if kept.answers {
                    self.flows.remove(&link);
                    return Some(Action::Failed(link, Failure::Silent(ANSWER_WITHIN)));
                }
                kept.answer_by = None;
            }
            if kept.due.is_some_and(|due| due <= now) {
                let flow = kept.flow;
                if kept.policy == Policy::Stun && !kept.reliable {
                    // While one is not answered there is no other.
                    if kept.asked.is_some() {
                        self.schedule(now, link);
                        continue;
                    }
                    let transaction = u128::from(self.random.next_u64()) << 32 | u128::from(self.random.next_u32());
                    let asked = Asked { transaction, sent: 1, next: now + STUN_WAIT, since: now };
                    kept.asked = Some(asked);
                    self.timers.insert(asked.next, link);
                    self.schedule(now, link);
                    return Some(Action::Bind(flow, transaction));
                }
                if kept.reliable && kept.answer_by.is_none() {
                    kept.answer_by = Some(now + ANSWER_WITHIN);
                    self.timers.insert(now + ANSWER_WITHIN, link);
                }
                self.schedule(now, link);
                return Some(Action::Ping(flow));
            }
        }
        None
    }

    /// When to call [`poll`](Self::poll) next.
    pub fn deadline(&self) -> Option<Instant> {
        self.timers.next_deadline()
    }

    fn schedule(&mut self, now: Instant, link: LinkId) {
        let Some(kept) = self.flows.get_mut(&link) else { return };
        let Some((least, most)) = kept.interval else { return };
        let spread = (most - least).as_millis() as u64;
        let due = now + least + Duration::from_millis(self.random.next_u64() % (spread + 1));
        kept.due = Some(due);
        self.timers.insert(due, link);
    }
}

impl Asked {
    fn repeat(&mut self) {
        let waits = if self.sent + 1 == STUN_REQUESTS { STUN_LAST_WAIT } else { 1 << self.sent };
        self.next += STUN_WAIT * waits;
        self.sent += 1;
    }
}

/// §4.4: by lot, so that a server that starts again does not get the pings of all at once.
fn around(most: Duration) -> (Duration, Duration) {
    (most * 4 / 5, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        Instant::now()
    }

    const LINK: LinkId = LinkId(1);

    fn kept(reliable: bool, policy: Policy) -> (KeepAlives, Instant) {
        let now = start();
        let mut alive = KeepAlives::new(1, now);
        alive.add(now, Flow { link: LINK, remote: ([10, 0, 0, 2], 5060).into() }, reliable, policy);
        (alive, now)
    }

    /// Seconds at which pings went out until `end`, and when the flow failed. `answer` is given after each ping.
    fn run(
        alive: &mut KeepAlives,
        now: Instant,
        end: u64,
        mut answer: impl FnMut(&mut KeepAlives),
    ) -> (Vec<f64>, Option<f64>) {
        let mut pings = Vec::new();
        while let Some(at) = alive.deadline().filter(|at| *at <= now + Duration::from_secs(end)) {
            match alive.poll(at) {
                Some(Action::Ping(_) | Action::Bind(..)) => {
                    pings.push((at - now).as_secs_f64());
                    answer(alive);
                }
                Some(Action::Failed(..)) => return (pings, Some((at - now).as_secs_f64())),
                None => {}
            }
        }
        (pings, None)
    }

    #[test]
    fn a_connection_is_pinged_every_95_to_120_s_and_a_server_that_knows_no_pings_is_left_alone() {
        let (mut alive, now) = kept(true, Policy::Usual);
        let (pings, failed) = run(&mut alive, now, 3600, |_| {});
        let gaps: Vec<f64> = pings.windows(2).map(|two| two[1] - two[0]).collect();
        assert!(gaps.iter().all(|gap| (95.0..=120.001).contains(gap)), "{gaps:?}");
        assert!((30..=37).contains(&pings.len()), "{}", pings.len());
        assert_eq!(failed, None);
    }

    #[test]
    fn a_server_that_answered_once_and_then_falls_silent_has_failed_after_10_s() {
        let (mut alive, now) = kept(true, Policy::Every(Duration::from_secs(30)));
        let mut left = 2;
        let (pings, failed) = run(&mut alive, now, 3600, |alive| {
            left -= 1;
            if left >= 0 {
                alive.note_heard(LINK, true);
            }
        });
        assert_eq!(pings.len(), 3);
        assert!((failed.expect("it failed") - pings[2] - 10.0).abs() < 0.002, "{pings:?} {failed:?}");
        assert_eq!(run(&mut alive, now, 7200, |_| {}), (vec![], None), "it is forgotten");
    }

    #[test]
    fn a_message_is_an_answer_too_but_does_not_show_that_pings_are_known() {
        let (mut alive, now) = kept(true, Policy::Every(Duration::from_secs(30)));
        let mut first = true;
        let (_, failed) = run(&mut alive, now, 600, |alive| {
            if std::mem::take(&mut first) {
                alive.note_heard(LINK, false);
            }
        });
        assert_eq!(failed, None);
    }

    #[test]
    fn a_peer_that_has_to_answer_and_does_not_has_failed_with_the_first_ping() {
        let (mut alive, now) = kept(true, Policy::Every(Duration::from_secs(5)));
        alive.expect_answers(LINK);
        let (pings, failed) = run(&mut alive, now, 600, |_| {});
        assert!((4.0..=5.001).contains(&pings[0]), "{pings:?}");
        assert!((failed.expect("it failed") - pings[0] - 10.0).abs() < 0.002, "{pings:?} {failed:?}");
    }

    #[test]
    fn a_flow_timer_sets_the_interval_and_says_that_pings_are_answered() {
        let (mut alive, now) = kept(true, Policy::Usual);
        alive.note_flow_timer(now, LINK, 20);
        let (pings, failed) = run(&mut alive, now, 600, |_| {});
        assert_eq!(pings.len(), 1);
        assert!((16.0..=20.001).contains(&pings[0]) && failed.is_some(), "{pings:?} {failed:?}");
    }

    #[test]
    fn over_udp_nothing_is_sent_unless_somebody_says_how_often_and_no_answer_is_expected() {
        let (mut alive, now) = kept(false, Policy::Usual);
        assert_eq!(run(&mut alive, now, 600, |_| {}), (vec![], None));
        alive.note_flow_timer(now, LINK, 25);
        let (pings, failed) = run(&mut alive, now, 100, |_| {});
        assert!((4..=5).contains(&pings.len()) && failed.is_none(), "{pings:?} {failed:?}");
    }

    /// The transaction of the next STUN request, and when it goes out.
    fn asked(alive: &mut KeepAlives) -> (Transaction, Instant) {
        loop {
            let at = alive.deadline().expect("there will be one");
            match alive.poll(at) {
                Some(Action::Bind(_, transaction)) => return (transaction, at),
                None => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_udp_flow_is_asked_by_stun_every_24_to_29_s_and_one_whose_server_knows_none_is_left_alone() {
        let (mut alive, now) = kept(false, Policy::Stun);
        let (mut last, mut answered) = (now, 0);
        while answered < 50 {
            let (transaction, at) = asked(&mut alive);
            let gap = (at - last).as_secs_f64();
            assert!((24.0..=29.001).contains(&gap), "{gap}");
            alive.note_bound(at, LINK, transaction, "203.0.113.7:1000".parse().ok());
            (last, answered) = (at, answered + 1);
        }
        let (mut alive, now) = kept(false, Policy::Stun);
        let (pings, failed) = run(&mut alive, now, 600, |_| {});
        assert!(pings.len() > 7 && failed.is_none(), "{pings:?}");
        let (mut alive, now) = kept(true, Policy::Stun);
        assert!((4..=6).contains(&run(&mut alive, now, 600, |_| {}).0.len()), "a connection is pinged as usual");
    }

    #[test]
    fn a_stun_request_is_repeated_as_rfc_8489_says_and_its_flow_has_failed_after_39_5_s() {
        let (mut alive, _) = kept(false, Policy::Stun);
        let (first, at) = asked(&mut alive);
        alive.note_bound(at, LINK, first + 1, None);
        alive.note_bound(at, LINK, first, None);
        let (transaction, at) = asked(&mut alive);
        let mut repeated = vec![0];
        let failed = loop {
            let now = alive.deadline().expect("it goes on");
            match alive.poll(now) {
                Some(Action::Bind(_, again)) => {
                    assert_eq!(again, transaction);
                    repeated.push((now - at).as_millis());
                }
                Some(Action::Failed(LINK, failure)) => break ((now - at).as_millis(), failure.to_string()),
                None => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(repeated, [0, 500, 1500, 3500, 7500, 15_500, 31_500]);
        assert_eq!(failed, (39_500, "no answer to a keep-alive within 39.5 s".to_owned()));
    }

    #[test]
    fn a_flow_that_a_nat_gives_another_address_has_failed() {
        let (mut alive, _) = kept(false, Policy::Stun);
        for port in [1000, 1000, 1001] {
            let (transaction, at) = asked(&mut alive);
            let mapped = SocketAddr::from(([203, 0, 113, 7], port));
            alive.note_bound(at, LINK, transaction, Some(mapped));
            let text = "the flow came from 203.0.113.7:1000 and now comes from 203.0.113.7:1001";
            match alive.poll(at + Duration::from_millis(1)) {
                Some(Action::Failed(LINK, failure)) => assert_eq!((port, failure.to_string().as_str()), (1001, text)),
                other => assert!(port == 1000 && other.is_none(), "{other:?}"),
            }
        }
        assert!(alive.flows.is_empty(), "it is forgotten");
    }

    #[test]
    fn switched_off_means_off() {
        let (mut alive, now) = kept(true, Policy::Off);
        alive.note_flow_timer(now, LINK, 25);
        assert_eq!(run(&mut alive, now, 600, |_| {}), (vec![], None));
    }
}
