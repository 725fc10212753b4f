//! Connections of others: how many are kept, what they may hold, and which has to go.
//!
//! | bound | who goes |
//! |---|---|
//! | connections | the one that said nothing whole for longest |
//! | bytes held for all of them, of unfinished messages and of answers that are not taken | the one that holds most |
//! | time for a message to become whole | the one that does not finish it: its sender has given it up (64·T1) |
//! | time without a whole message or a keep-alive | the one that is silent |

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use crate::sip::flow::LinkId;
use crate::station::Dismissed;

/// What is kept at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    /// Bytes held for all connections together.
    pub(super) held: usize,
    /// For a message to become whole.
    pub(super) unfinished: Duration,
    /// Without a whole message or a keep-alive.
    pub(super) idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 10_000,
            held: 256 * 1024 * 1024,
            unfinished: Duration::from_secs(32),
            // Longer than a usual registration without keep-alives: RFC 3261 §18 leaves the time to who keeps it.
            idle: Duration::from_secs(2 * 3600),
        }
    }
}

/// Connections that were accepted.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    pub(super) bounds: Bounds,
    peers: FxHashMap<LinkId, Peer>,
    /// Each connection, by a moment at which it is known to have been heard; some were since.
    by_heard: BTreeSet<(Instant, LinkId)>,
    /// Connections on which a message has begun, by the moment at which it must be whole.
    unfinished: BTreeSet<(Instant, LinkId)>,
    held: usize,
    pub(super) dismissed: Dismissed,
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    heard: Instant,
    /// The moment that it stands under in `by_heard`.
    listed: Instant,
    /// When the message that has begun must be whole.
    whole_by: Option<Instant>,
    held: usize,
}

/// A connection to close, and why.
pub(super) type Dismissal = (LinkId, String);

impl Accepted {
    /// A connection was accepted. The one that goes for it, where there are too many.
    pub(super) fn add(&mut self, now: Instant, link: LinkId) -> Option<Dismissal> {
        let goes = if self.peers.len() >= self.bounds.connections { self.make_room() } else { None };
        self.peers.insert(link, Peer { heard: now, listed: now, whole_by: None, held: 0 });
        self.by_heard.insert((now, link));
        goes
    }

    /// One goes so that another may come.
    pub(super) fn make_room(&mut self) -> Option<Dismissal> {
        let (_, link) = self.stillest()?;
        self.remove(link);
        self.dismissed.crowded += 1;
        Some((link, "closed for another connection: there are too many".to_owned()))
    }

    /// A connection is gone.
    pub(super) fn remove(&mut self, link: LinkId) {
        if let Some(peer) = self.peers.remove(&link) {
            self.held -= peer.held;
            self.by_heard.remove(&(peer.listed, link));
            peer.whole_by.map(|by| self.unfinished.remove(&(by, link)));
        }
    }

    /// A connection was read: `whole` where a message or keep-alive came, `begun` where another has begun, and what is
    /// held for it now. The one that goes, where all together hold too much.
    pub(super) fn note_read(
        &mut self,
        now: Instant,
        link: LinkId,
        (whole, begun): (bool, bool),
        held: usize,
    ) -> Option<Dismissal> {
        let peer = self.peers.get_mut(&link)?;
        self.held = self.held - peer.held + held;
        peer.held = held;
        if whole {
            peer.heard = now;
        }
        if let Some(by) = peer.whole_by.take_if(|_| whole || !begun) {
            self.unfinished.remove(&(by, link));
        }
        if begun && peer.whole_by.is_none() {
            let by = now + self.bounds.unfinished;
            peer.whole_by = Some(by);
            self.unfinished.insert((by, link));
        }
        if self.held <= self.bounds.held {
            return None;
        }
        let (most, peer) = self.peers.iter().max_by_key(|(link, peer)| (peer.held, **link))?;
        let (most, held) = (*most, peer.held);
        self.remove(most);
        self.dismissed.holding += 1;
        Some((most, format!("closed with {held} bytes of it unfinished or not taken: all connections hold too much")))
    }

    /// The next connection whose time is over.
    pub(super) fn expire(&mut self, now: Instant) -> Option<Dismissal> {
        if let Some((_, link)) = self.unfinished.first().copied().filter(|(by, _)| *by <= now) {
            self.remove(link);
            self.dismissed.unfinished += 1;
            let within = self.bounds.unfinished.as_secs();
            return Some((link, format!("a message was not whole within {within} s")));
        }
        let idle = self.bounds.idle;
        let is_over = |heard: Instant| heard + idle <= now;
        if !self.by_heard.first().is_some_and(|(heard, _)| is_over(*heard)) {
            return None;
        }
        let (heard, link) = self.stillest()?;
        if !is_over(heard) {
            return None;
        }
        self.remove(link);
        self.dismissed.idle += 1;
        Some((link, format!("nothing came for {} s", idle.as_secs())))
    }

    /// When to call [`expire`](Self::expire) next; it may find nothing then.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let idle = self.by_heard.first().map(|(heard, _)| *heard + self.bounds.idle);
        let unfinished = self.unfinished.first().map(|(by, _)| *by);
        [idle, unfinished].into_iter().flatten().min()
    }

    /// The connection that was not heard for longest. Moments in `by_heard` are never later than the true ones, so the
    /// first that is true is the one.
    fn stillest(&mut self) -> Option<(Instant, LinkId)> {
        loop {
            let (known, link) = *self.by_heard.first()?;
            let peer = self.peers.get_mut(&link)?;
            if peer.heard <= known {
                return Some((known, link));
            }
            self.by_heard.remove(&(known, link));
            self.by_heard.insert((peer.heard, link));
            peer.listed = peer.heard;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounded() -> (Accepted, Instant) {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        let now = Instant::now();
        let bounds = Bounds { connections: 3, held: 1000, ..Bounds::default() };
        (Accepted { bounds, ..Accepted::default() }, now)
    }

    const SECOND: Duration = Duration::from_secs(1);

    fn goes(dismissal: Option<Dismissal>) -> Option<u32> {
        dismissal.map(|(link, _)| link.0)
    }

    #[test]
    fn one_connection_too_many_costs_the_one_that_was_not_heard_for_longest() {
        let (mut accepted, now) = bounded();
        for number in 1..=3 {
            assert_eq!(accepted.add(now + SECOND * number, LinkId(number)), None);
        }
        // The first speaks, the second begins a message that does not end.
        accepted.note_read(now + SECOND * 10, LinkId(1), (true, false), 0);
        accepted.note_read(now + SECOND * 11, LinkId(2), (false, true), 50);
        assert_eq!(goes(accepted.add(now + SECOND * 12, LinkId(4))), Some(2));
        assert_eq!(goes(accepted.add(now + SECOND * 13, LinkId(5))), Some(3));
        accepted.remove(LinkId(1));
        assert_eq!(goes(accepted.add(now + SECOND * 14, LinkId(6))), None, "one had gone by itself");
        assert_eq!(accepted.dismissed, Dismissed { crowded: 2, ..Dismissed::default() });
        (4..=6).for_each(|number| accepted.remove(LinkId(number)));
        assert_eq!((accepted.held, accepted.by_heard.len(), accepted.unfinished.len()), (0, 0, 0), "all is forgotten");
    }

    #[test]
    fn where_all_together_hold_too_much_the_one_that_holds_most_goes() {
        let (mut accepted, now) = bounded();
        (1..=3).for_each(|number| assert_eq!(accepted.add(now, LinkId(number)), None));
        assert_eq!(goes(accepted.note_read(now, LinkId(1), (false, true), 600)), None);
        assert_eq!(goes(accepted.note_read(now, LinkId(2), (false, true), 400)), None, "1000 may be held");
        assert_eq!(goes(accepted.note_read(now, LinkId(3), (false, true), 1)), Some(1));
        assert_eq!((accepted.held, accepted.dismissed.holding), (401, 1));
    }

    #[test]
    fn a_message_that_is_not_whole_after_32_s_ends_its_connection_however_it_trickles() {
        let (mut accepted, now) = bounded();
        accepted.add(now, LinkId(1));
        accepted.add(now, LinkId(2));
        for second in 0..32 {
            for link in [1, 2] {
                // The second one finishes a message each time, and begins another.
                assert_eq!(accepted.note_read(now + SECOND * second, LinkId(link), (link == 2, true), 9), None);
            }
        }
        assert_eq!(accepted.deadline(), Some(now + SECOND * 32));
        assert_eq!(goes(accepted.expire(now + SECOND * 32 - Duration::from_millis(1))), None);
        assert_eq!(goes(accepted.expire(now + SECOND * 32)), Some(1));
        assert_eq!(goes(accepted.expire(now + SECOND * 62)), None);
        assert_eq!(goes(accepted.expire(now + SECOND * 63)), Some(2));
        assert_eq!(accepted.dismissed.unfinished, 2);
    }

    #[test]
    fn a_connection_that_is_silent_for_two_hours_goes_and_one_that_pings_stays() {
        let (mut accepted, now) = bounded();
        accepted.add(now, LinkId(1));
        accepted.add(now + SECOND, LinkId(2));
        accepted.note_read(now + SECOND * 7000, LinkId(1), (true, false), 0);
        assert_eq!(goes(accepted.expire(now + SECOND * 7200)), None);
        assert_eq!(accepted.deadline(), Some(now + SECOND * 7201));
        assert_eq!(goes(accepted.expire(now + SECOND * 7201)), Some(2));
        assert_eq!(goes(accepted.expire(now + SECOND * 7202)), None);
        assert_eq!(accepted.dismissed.idle, 1);
    }
}
