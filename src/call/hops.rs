//! The places of each server, and which of them a request goes to (RFC 3263 §4.3).
//!
//! Places stand in the order that DNS gave them. One that did not answer, or could not be reached, is tried last for
//! [`FAILED_FOR`]; then one request tries it again while the others still go elsewhere, so that a load does not wait
//! for Timer B with every call. One that asked for time (503 with Retry-After) gets nothing until that is over, unless
//! it is the only one (RFC 3261 §21.5.4). A 503 without Retry-After moves on the request that it answers and no other:
//! the server is there, and said nothing of other requests.
//!
//! Where no place can be reached, the one that was come furthest to tells why: a certificate that is refused at the first
//! says more than a second that nobody listens at.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use thin_vec::ThinVec;

use crate::record::{Rungs, TransportFailure, TransportFault};
use crate::scenario::plan::Server;
use crate::sip::exchange::Cause;
use crate::sip::flow::{Hop, Transport};
use crate::sip::locate::Located;

/// How long a place that failed is tried last. RFC 3263 names no time; this is about twice Timer B.
pub(super) const FAILED_FOR: Duration = Duration::from_secs(60);

/// The places of every server that the plan names.
#[derive(Debug)]
pub(super) struct Hops {
    servers: Vec<Known>,
    /// Servers whose places nobody could be asked for.
    unanswered: Vec<usize>,
    /// Requests may go to another place than the first.
    fails_over: bool,
    /// Retry-After is heeded.
    patient: bool,
    answered: bool,
}

/// A server and where it is.
#[derive(Debug)]
struct Known {
    server: Server,
    places: Vec<Place>,
    /// How long it took to find them, where DNS was asked.
    look_up: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    hop: Hop,
    state: State,
    /// It takes no connections, until then; only asked of places that are reached by UDP.
    no_tcp: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Well,
    /// It failed: it is tried last until then.
    Failed(Instant),
    /// It wants nothing until then.
    Resting(Instant),
}

/// Why a place did not serve a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No response, or nothing could be sent.
    Failed,
    /// 503, with the Retry-After that came with it, seconds.
    Unavailable(Option<u32>),
}

impl Why {
    pub(super) fn of(cause: Cause, retry_after: Option<u32>) -> Self {
        if cause == Cause::Response { Self::Unavailable(retry_after) } else { Self::Failed }
    }
}

/// Where one request goes: the place that was chosen, and those that were tried before.
#[derive(Debug)]
pub(super) struct Way {
    server: usize,
    hop: Option<Hop>,
    /// The place that was chosen has said something.
    answered: bool,
    /// The request is too large for a datagram.
    by_tcp: bool,
    tried: SmallVec<[Hop; 2]>,
    /// Places that could not be reached since one was.
    missed: ThinVec<Missed>,
}

/// A place whose link could not be opened: why, and how far it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missed {
    pub(super) at: SocketAddr,
    pub(super) failure: TransportFailure,
    pub(super) rungs: Rungs,
}

impl Place {
    fn new(hop: Hop) -> Self {
        Self { hop, state: State::Well, no_tcp: None }
    }
}

impl Hops {
    pub(super) fn new(servers: Vec<(Server, Located)>, fails_over: bool, patient: bool) -> Self {
        let known = |(server, located): (Server, Located)| {
            let places = located.hops.into_iter().map(Place::new).collect();
            Known { server, places, look_up: located.took }
        };
        let servers = servers.into_iter().map(known).collect();
        Self { servers, unanswered: Vec::new(), fails_over, patient, answered: false }
    }

    /// Whether any of them has answered something so far.
    pub(super) fn any_answered(&self) -> bool {
        self.answered
    }

    /// The number of a server; `None` where nobody looked it up.
    pub(super) fn number_of(&self, server: &Server) -> Option<usize> {
        self.servers.iter().position(|known| known.server == *server)
    }

    /// The first place of a server that is of a family.
    pub(super) fn first(&self, number: usize, ipv4: bool) -> Option<Hop> {
        let places = &self.servers.get(number)?.places;
        places.iter().map(|place| place.hop).find(|hop| hop.address.is_ipv4() == ipv4)
    }

    /// A server by its number.
    pub(super) fn server(&self, number: usize) -> Option<&Server> {
        self.servers.get(number).map(|known| &known.server)
    }

    /// How long it took to find the places of a server; `None` where DNS was not asked.
    pub(super) fn look_up(&self, number: usize) -> Option<Duration> {
        self.servers.get(number)?.look_up
    }

    /// The way of a request whose last one was served at this address, by this transport where its link is still known.
    pub(super) fn way_to(&self, number: usize, address: SocketAddr, transport: Option<Transport>) -> Option<Way> {
        let places = &self.servers.get(number)?.places;
        let at = || places.iter().map(|place| place.hop).filter(|hop| hop.address == address);
        let hop = at().find(|hop| transport.is_none_or(|transport| hop.transport == transport)).or_else(|| at().next());
        hop.map(|hop| Way { hop: Some(hop), ..Way::new(number) })
    }

    /// No name server answered when the places of a server were asked for.
    pub(super) fn handle_unanswered(&mut self, server: usize) {
        if !self.unanswered.contains(&server) {
            self.unanswered.push(server);
        }
    }

    /// Why a server has no place.
    pub(super) fn why_unknown(&self, server: Option<usize>) -> TransportFault {
        let unanswered = server.is_some_and(|server| self.unanswered.contains(&server));
        if unanswered { TransportFault::NoNameServer } else { TransportFault::Dns }
    }

    /// DNS was asked anew where a server is. What is known of places that stay is kept.
    pub(super) fn replace(&mut self, server: usize, located: &Located) {
        self.unanswered.retain(|unanswered| *unanswered != server);
        let Some(Known { places, look_up, .. }) = self.servers.get_mut(server) else { return };
        let known =
            |hop: &Hop| places.iter().find(|place| place.hop == *hop).copied().unwrap_or_else(|| Place::new(*hop));
        let renewed = located.hops.iter().map(known).collect();
        (*places, *look_up) = (renewed, located.took);
    }

    fn choose(&mut self, now: Instant, server: usize, tried: &[Hop]) -> Option<Hop> {
        if !self.fails_over && !tried.is_empty() {
            return None;
        }
        let places = &mut self.servers.get_mut(server)?.places;
        if !self.fails_over {
            return places.first().map(|place| place.hop);
        }
        let rank = |place: &Place| match place.state {
            State::Well => Some(0),
            State::Failed(until) | State::Resting(until) if until <= now => Some(0),
            State::Failed(_) => Some(1),
            // Somebody has to be asked.
            State::Resting(_) => tried.is_empty().then_some(2),
        };
        let open = places.iter_mut().filter(|place| !tried.contains(&place.hop));
        let (_, chosen) = open.filter_map(|place| Some((rank(place)?, place))).min_by_key(|(rank, _)| *rank)?;
        if matches!(chosen.state, State::Failed(until) if until <= now) {
            // This request tries whether it is well again; the next does not.
            chosen.state = State::Failed(now + FAILED_FOR);
        }
        Some(chosen.hop)
    }

    fn note(&mut self, server: usize, hop: Hop, state: State) {
        if let Some(place) = self.place(server, hop) {
            place.state = state;
        }
    }

    fn place(&mut self, server: usize, hop: Hop) -> Option<&mut Place> {
        self.servers.get_mut(server)?.places.iter_mut().find(|place| place.hop == hop)
    }

    fn takes_tcp(&mut self, now: Instant, server: usize, hop: Hop) -> bool {
        self.place(server, hop).is_some_and(|place| place.no_tcp.is_none_or(|until| until <= now))
    }
}

impl Way {
    pub(super) fn new(server: usize) -> Self {
        let (tried, missed) = (SmallVec::new(), ThinVec::new());
        Self { server, hop: None, answered: false, by_tcp: false, tried, missed }
    }

    /// Whether its requests are too large for datagrams.
    pub(super) fn is_by_tcp(&self) -> bool {
        self.by_tcp
    }

    /// The number of its server.
    pub(super) fn server(&self) -> usize {
        self.server
    }

    /// The place that the request goes to; `None` where every one was tried, or the server has none.
    pub(super) fn hop(&mut self, now: Instant, hops: &mut Hops) -> Option<Hop> {
        if self.hop.is_none() {
            self.hop = hops.choose(now, self.server, &self.tried);
        }
        let hop = self.hop?;
        let transport = if self.takes_tcp(now, hops) { Transport::Tcp } else { hop.transport };
        Some(Hop { transport, ..hop })
    }

    /// Whether the request goes by TCP to a place that DNS, or the target, says is reached by UDP.
    fn takes_tcp(&self, now: Instant, hops: &mut Hops) -> bool {
        let place = self.hop.filter(|hop| self.by_tcp && hop.transport == Transport::Udp);
        place.is_some_and(|hop| hops.takes_tcp(now, self.server, hop))
    }

    /// The request is too large for a datagram.
    pub(super) fn prefer_tcp(&mut self) {
        self.by_tcp = true;
    }

    /// The link to the place that was chosen could not be opened: the next is another, or the same by UDP (RFC 3261
    /// §18.1.1).
    pub(super) fn miss(&mut self, now: Instant, hops: &mut Hops, failure: &TransportFailure, rungs: Rungs) {
        match self.hop {
            Some(hop) if self.takes_tcp(now, hops) => {
                if let Some(place) = hops.place(self.server, hop) {
                    place.no_tcp = Some(now + FAILED_FOR);
                }
            }
            Some(hop) => {
                self.missed.push(Missed { at: hop.address, failure: failure.clone(), rungs });
                self.leave(now, hops, Why::Failed);
            }
            None => {}
        }
    }

    /// The link to the place that was chosen is open: what comes of the request is told of this place.
    pub(super) fn note_reached(&mut self) {
        self.missed.clear();
    }

    /// Of the places that could not be reached, the one that was come furthest to, with what happened at each; the last of several
    /// as far. `None` where one was reached since.
    pub(super) fn furthest(&self) -> Option<Missed> {
        let furthest = self.missed.iter().max_by_key(|missed| missed.failure.fault.rung())?;
        let mut told = furthest.clone();
        if self.missed.len() > 1 {
            let texts = self.missed.iter().filter_map(|it| Some(format!("{}: {}", it.at, it.failure.text.as_ref()?)));
            told.failure.text = Some(texts.collect::<Vec<_>>().join("; "));
        }
        Some(told)
    }

    /// The place that was chosen does not serve the request: the next is another.
    pub(super) fn leave(&mut self, now: Instant, hops: &mut Hops, why: Why) {
        let Some(hop) = self.hop.take() else { return };
        self.answered = false;
        self.tried.push(hop);
        match why {
            Why::Failed => hops.note(self.server, hop, State::Failed(now + FAILED_FOR)),
            Why::Unavailable(Some(seconds)) if hops.patient && seconds > 0 => {
                hops.note(self.server, hop, State::Resting(now + Duration::from_secs(seconds.into())));
            }
            Why::Unavailable(_) => {}
        }
    }

    /// The request was given up. Where the place said nothing at all, what comes later goes elsewhere.
    pub(super) fn doubt(&self, now: Instant, hops: &mut Hops) {
        if let Some(hop) = self.hop.filter(|_| !self.answered) {
            hops.note(self.server, hop, State::Failed(now + FAILED_FOR));
        }
    }

    /// The place that was chosen has answered.
    pub(super) fn note_answer(&mut self, hops: &mut Hops) {
        self.answered = true;
        hops.answered = true;
        if let Some(hop) = self.hop {
            hops.note(self.server, hop, State::Well);
        }
    }

    /// The next request of the same way begins: it stays at its place, and may try all others.
    pub(super) fn begin_anew(&mut self) {
        self.answered = false;
        self.tried.clear();
        self.missed.clear();
    }

    /// Whether any place was tried in vain.
    pub(super) fn has_left(&self) -> bool {
        !self.tried.is_empty()
    }

    /// Places that the request went to so far.
    pub(super) fn count(&self) -> u32 {
        self.tried.len() as u32 + u32::from(self.hop.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "any instant will do as the origin of virtual time")]
        Instant::now()
    }

    fn hop(last: u8) -> Hop {
        Hop { transport: Transport::Udp, address: ([10, 0, 0, last], 5060).into() }
    }

    fn hops(fails_over: bool) -> Hops {
        Hops::new(vec![(Server::default(), vec![hop(1), hop(2), hop(3)].into())], fails_over, true)
    }

    /// The last byte of the place that a request goes to.
    fn next(hops: &mut Hops, now: Instant) -> Option<u8> {
        let hop = Way::new(0).hop(now, hops)?;
        match hop.address.ip() {
            std::net::IpAddr::V4(ip) => Some(ip.octets()[3]),
            std::net::IpAddr::V6(_) => None,
        }
    }

    fn fail(hops: &mut Hops, now: Instant, why: Why) {
        let mut way = Way::new(0);
        way.hop(now, hops);
        way.leave(now, hops, why);
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_request_tries_each_place_once_in_order() {
        let (mut hops, now, mut way) = (hops(true), start(), Way::new(0));
        for wanted in [1, 2, 3] {
            assert_eq!(way.hop(now, &mut hops), Some(hop(wanted)));
            assert_eq!(way.hop(now, &mut hops), Some(hop(wanted)), "it stays where it is");
            assert_eq!(way.count(), u32::from(wanted));
            way.leave(now, &mut hops, Why::Unavailable(None));
        }
        assert_eq!((way.hop(now, &mut hops), way.count()), (None, 3));
    }

    #[test]
    fn a_place_that_failed_is_last_for_a_minute_and_then_one_request_tries_it() {
        let (mut hops, now) = (hops(true), start());
        fail(&mut hops, now, Why::Failed);
        assert_eq!(next(&mut hops, now + 59 * SECOND), Some(2));
        assert_eq!(next(&mut hops, now + 60 * SECOND), Some(1));
        assert_eq!(next(&mut hops, now + 60 * SECOND), Some(2), "the next does not wait for what comes of it");
        let mut way = Way::new(0);
        way.hop(now + 120 * SECOND, &mut hops);
        way.note_answer(&mut hops);
        assert_eq!(next(&mut hops, now + 121 * SECOND), Some(1), "it is well again");
    }

    #[test]
    fn where_every_place_failed_the_first_is_tried_all_the_same() {
        let (mut hops, now) = (hops(true), start());
        for _ in 0..3 {
            fail(&mut hops, now, Why::Failed);
        }
        assert_eq!(next(&mut hops, now), Some(1));
    }

    #[test]
    fn a_place_that_asked_for_time_gets_nothing_while_there_is_another() {
        let (mut hops, now) = (hops(true), start());
        fail(&mut hops, now, Why::Unavailable(Some(10)));
        let mut way = Way::new(0);
        for wanted in [Some(hop(2)), Some(hop(3)), None] {
            assert_eq!(way.hop(now + 9 * SECOND, &mut hops), wanted);
            way.leave(now + 9 * SECOND, &mut hops, Why::Unavailable(None));
        }
        assert_eq!(next(&mut hops, now + 10 * SECOND), Some(1));
    }

    #[test]
    fn a_503_without_retry_after_keeps_no_other_request_away() {
        let (mut hops, now) = (hops(true), start());
        fail(&mut hops, now, Why::Unavailable(None));
        assert_eq!(next(&mut hops, now), Some(1));
    }

    #[test]
    fn without_fail_over_there_is_only_the_first_place() {
        let (mut hops, now, mut way) = (hops(false), start(), Way::new(0));
        way.hop(now, &mut hops);
        way.leave(now, &mut hops, Why::Failed);
        assert_eq!((way.hop(now, &mut hops), next(&mut hops, now)), (None, Some(1)));
    }

    #[test]
    fn a_large_request_goes_by_tcp_where_that_is_taken_and_else_by_udp_to_the_same_place() {
        let (mut hops, now, mut way) = (hops(true), start(), Way::new(0));
        way.hop(now, &mut hops);
        way.prefer_tcp();
        let tcp = Hop { transport: Transport::Tcp, ..hop(1) };
        assert_eq!(way.hop(now, &mut hops), Some(tcp));
        way.miss(now, &mut hops, &TransportFault::Refused.into(), Rungs::default());
        assert_eq!((way.hop(now, &mut hops), way.count()), (Some(hop(1)), 1));
        assert_eq!(way.furthest(), None, "it may still be reached");
        // The next one does not try for a minute.
        let mut other = Way::new(0);
        other.prefer_tcp();
        assert_eq!(other.hop(now + 59 * SECOND, &mut hops), Some(hop(1)));
        assert_eq!(other.hop(now + 60 * SECOND, &mut hops), Some(tcp));
    }

    #[test]
    fn of_places_that_cannot_be_reached_the_furthest_tells_why_and_all_are_named() {
        let fail = |faults: &[(TransportFault, &str)]| {
            let (mut hops, now, mut way) = (hops(true), start(), Way::new(0));
            for (fault, text) in faults {
                way.hop(now, &mut hops);
                let failure = TransportFailure { fault: *fault, text: Some((*text).into()) };
                way.miss(now, &mut hops, &failure, Rungs::default());
            }
            way.furthest().map(|missed| (missed.at.to_string(), missed.failure.fault, missed.failure.text))
        };
        let told = |at: &str, fault, text: &str| Some((at.to_owned(), fault, Some(text.to_owned())));
        let (tls, refused) = ((TransportFault::Tls, "expired"), (TransportFault::Refused, "refused"));
        let both = "10.0.0.1:5060: expired; 10.0.0.2:5060: refused";
        assert_eq!(fail(&[tls, refused]), told("10.0.0.1:5060", TransportFault::Tls, both));
        assert_eq!(fail(&[tls]), told("10.0.0.1:5060", TransportFault::Tls, "expired"));
        let upgrade = (TransportFault::Upgrade, "403");
        let all = "10.0.0.1:5060: expired; 10.0.0.2:5060: 403; 10.0.0.3:5060: refused";
        assert_eq!(fail(&[tls, upgrade, refused]), told("10.0.0.2:5060", TransportFault::Upgrade, all));
        let (away, late) = ((TransportFault::Unreachable, "no route"), (TransportFault::Tcp, "no answer"));
        let last = "10.0.0.1:5060: no route; 10.0.0.2:5060: no answer";
        assert_eq!(fail(&[away, late]), told("10.0.0.2:5060", TransportFault::Tcp, last));
        assert_eq!(fail(&[]), None);
    }

    #[test]
    fn places_that_dns_gives_again_keep_what_is_known_of_them() {
        let (mut hops, now) = (hops(true), start());
        fail(&mut hops, now, Why::Failed);
        hops.replace(0, &vec![hop(1), hop(4)].into());
        assert_eq!(next(&mut hops, now), Some(4));
        let took = Some(Duration::from_millis(3));
        hops.replace(0, &Located { took, ..Located::default() });
        assert_eq!(hops.look_up(0), took);
        assert_eq!(next(&mut hops, now), None);
    }
}
