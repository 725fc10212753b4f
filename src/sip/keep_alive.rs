//! Keep-alives of flows (RFC 5626 §4.4): when a ping is due, and when one that should have been answered was not.
//!
//! | flow | ping | interval | answer |
//! |---|---|---|---|
//! | connection | double CRLF (§4.4.1) | by lot from 95 to 120 s; of a Flow-Timer, or one that is set, 80 to 100 % | anything within 10 s |
//! | UDP | double CRLF | only of a Flow-Timer, or one that is set: 80 to 100 % | none is expected |
//!
//! A server that sent no Flow-Timer and never answered a ping may not know them, so that its silence is no failure.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::flow::{Flow, LinkId};
use crate::timer::Wheel;
use crate::units::Random;

/// What is sent.
pub const PING: &[u8] = b"\r\n\r\n";
/// Time for the answer (§4.4.1).
pub const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Between two pings of a connection where nobody says how often (§4.4.1).
const USUAL: (Duration, Duration) = (Duration::from_secs(95), Duration::from_secs(120));
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
    /// None is, whatever the server says.
    Off,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// [`PING`] is to be sent.
    Ping(Flow),
    /// The flow has failed: no answer came. It is forgotten.
    Failed(LinkId),
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
            Policy::Every(most) => Some(around(most)),
            Policy::Off => return,
        };
        let kept = Kept { flow, reliable, policy, interval, due: None, answer_by: None, answers: false };
        self.flows.insert(flow.link, kept);
        self.schedule(now, flow.link);
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
        if kept.policy == Policy::Usual && kept.interval != Some(wanted) {
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

    /// The next thing that is due.
    pub fn poll(&mut self, now: Instant) -> Option<Action> {
        while let Some(link) = self.timers.pop(now) {
            let Some(kept) = self.flows.get_mut(&link) else { continue };
            if kept.answer_by.is_some_and(|by| by <= now) {
                if kept.answers {
                    self.flows.remove(&link);
                    return Some(Action::Failed(link));
                }
                kept.answer_by = None;
            }
            if kept.due.is_some_and(|due| due <= now) {
                let flow = kept.flow;
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
                Some(Action::Ping(_)) => {
                    pings.push((at - now).as_secs_f64());
                    answer(alive);
                }
                Some(Action::Failed(_)) => return (pings, Some((at - now).as_secs_f64())),
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

    #[test]
    fn switched_off_means_off() {
        let (mut alive, now) = kept(true, Policy::Off);
        alive.note_flow_timer(now, LINK, 25);
        assert_eq!(run(&mut alive, now, 600, |_| {}), (vec![], None));
    }
}
