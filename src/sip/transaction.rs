//! Retransmission and time-outs of requests and responses (RFC 3261 §17, RFC 6026).
//!
//! | machine | timers | ends |
//! |---|---|---|
//! | [`Client`], INVITE | A (T1, doubling) until any response; B (64·T1) until any response | response or time-out |
//! | [`Client`], other | E (T1, doubling to T2; T2 once a 1xx came); F (64·T1) | final response or time-out |
//! | [`Server`], INVITE | G (T1, doubling to T2) for a final response, 2xx included; H (64·T1) | ACK or time-out |
//! | [`Server`], reliable 1xx | T1, doubling without end (RFC 3262 §3); 64·T1 | PRACK or time-out |
//!
//! What RFC 6026 adds is the session's, which knows the dialogs: for 64·T1 after the first 2xx to an INVITE of ours
//! (Timer M) each 2xx of it is still acknowledged, and for as long after a 2xx of ours (Timer L) copies of the INVITE
//! are absorbed.
//!
//! On a reliable transport A, E and G never run, except that a 2xx is always repeated (§13.3.1.4).

use std::time::{Duration, Instant};

/// The base times of RFC 3261 §17.1.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of the round-trip time, default 500 ms.
    pub t1: Duration,
    /// Longest interval of non-INVITE retransmissions, default 4 s.
    pub t2: Duration,
    /// Longest time a message stays in the network, default 5 s.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// Timers B, F and H: 64·T1.
    pub fn timeout(&self) -> Duration {
        self.t1 * 64
    }
}

/// What a timer asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Send the bytes again.
    Retransmit,
    /// Nobody answered in time.
    TimedOut,
}

/// A request of ours under way.
#[derive(Debug)]
pub struct Client {
    bytes: Box<[u8]>,
    /// Number of the transaction in its branch.
    pub number: u32,
    invite: bool,
    proceeding: bool,
    interval: Duration,
    retransmit_at: Option<Instant>,
    expires_at: Option<Instant>,
}

/// A final response of ours to an INVITE, until it is acknowledged.
#[derive(Debug)]
pub struct Server {
    /// Longest interval; `None` doubles without end.
    longest: Option<Duration>,
    interval: Duration,
    retransmit_at: Option<Instant>,
    expires_at: Instant,
}

impl Client {
    /// A request that has just been sent.
    pub fn new(now: Instant, timers: &Timers, reliable: bool, invite: bool, number: u32, bytes: Box<[u8]>) -> Self {
        let retransmit_at = (!reliable).then(|| now + timers.t1);
        let expires_at = Some(now + timers.timeout());
        Self { bytes, number, invite, proceeding: false, interval: timers.t1, retransmit_at, expires_at }
    }

    /// The request as it was sent.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a provisional response came.
    pub fn is_proceeding(&self) -> bool {
        self.proceeding
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        soonest(self.retransmit_at, self.expires_at)
    }

    /// A provisional response came.
    pub fn handle_provisional(&mut self, now: Instant, timers: &Timers) {
        let first = !std::mem::replace(&mut self.proceeding, true);
        if self.invite {
            // §17.1.1.2: in Proceeding neither A nor B runs; how long to wait is the caller's decision. A further 1xx
            // must not take back what `expire_in` has set since.
            if first {
                (self.retransmit_at, self.expires_at) = (None, None);
            }
        } else if self.retransmit_at.is_some() {
            self.interval = timers.t2;
            self.retransmit_at = Some(now + timers.t2);
        }
    }

    /// Nothing is sent or waited for any more.
    pub fn stop(&mut self) {
        (self.retransmit_at, self.expires_at) = (None, None);
    }

    /// Gives a request that waits without end (a cancelled INVITE, §9.1) 64·T1 more.
    pub fn expire_in(&mut self, now: Instant, timers: &Timers) {
        self.expires_at = Some(now + timers.timeout());
    }

    /// What is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant, timers: &Timers) -> Option<Due> {
        if self.expires_at.is_some_and(|at| at <= now) {
            (self.retransmit_at, self.expires_at) = (None, None);
            return Some(Due::TimedOut);
        }
        if self.retransmit_at.is_some_and(|at| at <= now) {
            self.interval = if self.invite { self.interval * 2 } else { (self.interval * 2).min(timers.t2) };
            self.retransmit_at = Some(now + self.interval);
            return Some(Due::Retransmit);
        }
        None
    }
}

impl Server {
    /// A final response that has just been sent. `repeats` is false for a refusal over a reliable transport.
    pub fn new(now: Instant, timers: &Timers, repeats: bool) -> Self {
        let retransmit_at = repeats.then(|| now + timers.t1);
        Self { longest: Some(timers.t2), interval: timers.t1, retransmit_at, expires_at: now + timers.timeout() }
    }

    /// A reliable provisional response that has just been sent, over whatever transport (RFC 3262 §3).
    pub fn provisional(now: Instant, timers: &Timers) -> Self {
        Self { longest: None, ..Self::new(now, timers, true) }
    }

    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        soonest(self.retransmit_at, Some(self.expires_at))
    }

    /// What is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Due> {
        if self.expires_at <= now {
            self.retransmit_at = None;
            return Some(Due::TimedOut);
        }
        if self.retransmit_at.is_some_and(|at| at <= now) {
            let doubled = self.interval * 2;
            self.interval = self.longest.map_or(doubled, |longest| doubled.min(longest));
            self.retransmit_at = Some(now + self.interval);
            return Some(Due::Retransmit);
        }
        None
    }
}

/// The earlier of two deadlines.
pub fn soonest(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        Instant::now()
    }

    /// Milliseconds at which something was due, and what.
    fn run(mut next: impl FnMut(Instant) -> Option<Due>, deadline: impl Fn() -> Option<Instant>) -> Vec<Due> {
        let mut seen = Vec::new();
        while let Some(at) = deadline() {
            match next(at) {
                Some(Due::TimedOut) => {
                    seen.push(Due::TimedOut);
                    break;
                }
                due => seen.extend(due),
            }
        }
        seen
    }

    fn client_times(invite: bool, reliable: bool) -> Vec<u128> {
        let (t0, timers) = (start(), Timers::default());
        let client = std::cell::RefCell::new(Client::new(t0, &timers, reliable, invite, 1, Box::default()));
        let mut times = Vec::new();
        run(
            |at| {
                times.push((at - t0).as_millis());
                client.borrow_mut().handle_timeout(at, &timers)
            },
            || client.borrow().deadline(),
        );
        times
    }

    #[test]
    fn unanswered_invite_is_resent_after_500_ms_then_doubling_and_times_out_at_32_s() {
        assert_eq!(client_times(true, false), [500, 1500, 3500, 7500, 15_500, 31_500, 32_000]);
    }

    #[test]
    fn unanswered_bye_is_resent_doubling_up_to_4_s() {
        let times = client_times(false, false);
        assert_eq!(times[..5], [500, 1500, 3500, 7500, 11_500]);
        assert_eq!(times.last(), Some(&32_000));
    }

    #[test]
    fn nothing_is_resent_over_a_reliable_transport() {
        assert_eq!(client_times(true, true), [32_000]);
    }

    #[test]
    fn a_provisional_response_stops_both_timers_of_an_invite() {
        let (t0, timers) = (start(), Timers::default());
        let mut client = Client::new(t0, &timers, false, true, 1, Box::default());
        client.handle_provisional(t0, &timers);
        assert_eq!(client.deadline(), None);
        client.expire_in(t0, &timers);
        assert_eq!(client.deadline(), Some(t0 + Duration::from_secs(32)));
    }

    #[test]
    fn a_final_response_is_repeated_up_to_4_s_apart_until_timer_h() {
        let (t0, timers) = (start(), Timers::default());
        let server = std::cell::RefCell::new(Server::new(t0, &timers, true));
        let seen = run(|at| server.borrow_mut().handle_timeout(at), || server.borrow().deadline());
        // 0.5, 1.5, 3.5, 7.5, 11.5 … 31.5 s, then H.
        assert_eq!(seen.len(), 11);
        assert_eq!(seen.last(), Some(&Due::TimedOut));
    }
}
