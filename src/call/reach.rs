//! How a leg reaches a server: the link to the place that its request goes to, and another place where that does not
//! serve it.

use super::hops::{Way, Why};
use super::leg::{Leg, Phase, Tools};
use super::links::{Access, Holder, Purpose};
use super::observe;
use crate::record::{Rungs, TransportFailure};
use crate::scenario::plan::Server;
use crate::sip::exchange::Cause;
use crate::sip::flow::{Flow, LinkId};
use crate::sip::message::Message;
use crate::sip::token::Handle;

/// A request that was not served where it went, while the link to another place is being opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unserved {
    entry: Handle,
    /// What the leg goes on with once the request is on its way again, or has failed.
    phase: Phase,
    /// How it has failed where there is no other place.
    code: u16,
    cause: Cause,
}

/// What came of looking for a place.
pub(super) enum Reach {
    /// Requests can be sent over this flow.
    Open(Flow),
    /// Its link is being opened.
    Opening,
    /// There is no place, or no other.
    Nowhere,
}

impl Leg {
    /// The flow to the actor's server, or to a peer. `None` while it is being opened: the step begins anew then.
    pub(super) fn access(&mut self, tools: &mut Tools<'_>, peer: Option<&Server>) -> Option<Flow> {
        self.choose_way(tools, peer);
        match self.reach(tools) {
            Reach::Open(flow) => return Some(flow),
            Reach::Opening => return None,
            Reach::Nowhere => {}
        }
        let tried = self.way.as_deref().is_some_and(|(_, way)| way.has_left());
        let number = self.way.as_deref().map(|(_, way)| way.server());
        if tried {
            self.fail_request(tools);
        } else {
            self.lose_link(tools.hops.why_unknown(number));
        }
        self.wind_down(tools);
        None
    }

    /// The same for an agent that comes back: where there is no place now, there may be one later.
    pub(super) fn regain(&mut self, tools: &mut Tools<'_>) -> Reach {
        self.choose_way(tools, None);
        self.reach(tools)
    }

    fn choose_way(&mut self, tools: &Tools<'_>, peer: Option<&Server>) {
        let number = tools.hops.number_of(peer.unwrap_or(&tools.actor.target.server));
        let same = |way: &(usize, Way)| way.0 == self.step && Some(way.1.server()) == number;
        if !self.way.as_deref().is_some_and(same) {
            self.way = number.map(|number| Box::new((self.step, Way::new(number))));
        }
    }

    fn reach(&mut self, tools: &mut Tools<'_>) -> Reach {
        let Some((_, way)) = self.way.as_deref_mut() else { return Reach::Nowhere };
        let Some(hop) = way.hop(tools.now, tools.hops) else { return Reach::Nowhere };
        let Some(server) = tools.hops.server(way.server()) else { return Reach::Nowhere };
        (self.marks.transport, self.marks.next_hop) = (Some(hop.transport), Some(hop.address));
        (self.facts.hops_tried, self.facts.look_up) = (Some(way.count()), tools.hops.look_up(way.server()));
        let holder = Holder { pool: tools.pool, account: self.account.unwrap_or(0) as usize, tab: tools.tab };
        let purpose = Purpose::new(hop, (way.server(), server), &tools.actor.target, holder, self.source);
        match tools.links.access(purpose, hop.address) {
            Access::Open(flow) => {
                way.note_reached();
                return Reach::Open(flow);
            }
            Access::Ask(link) => {
                tools.wanted.push((link, purpose, hop.address));
                self.connecting = hop.transport.is_reliable().then_some(tools.now);
                self.link = Some(link);
            }
            Access::Opening(link) => self.link = Some(link),
        }
        self.phase = Phase::OpeningLink;
        Reach::Opening
    }

    /// The link that the leg waited for is open.
    pub(super) fn take_link(&mut self, tools: &mut Tools<'_>, link: LinkId) {
        if self.registrar_link() == Some(link) {
            self.reach_registrar(tools);
        }
        if !self.is_opening(link) {
            return;
        }
        if let Some(since) = self.connecting.take() {
            let took = tools.now.saturating_duration_since(since);
            self.facts.connect = Some(self.facts.connect.unwrap_or_default() + took);
        }
        match self.unserved {
            Some(unserved) => self.go_elsewhere(tools, unserved),
            None => self.advance(tools),
        }
    }

    /// Whether the step at hand waits for this link.
    pub(super) fn is_opening(&self, link: LinkId) -> bool {
        self.phase == Phase::OpeningLink && self.link == Some(link)
    }

    /// A request is too large for a datagram (RFC 3261 §18.1.1): it goes to the same place by TCP, where that is spoken.
    pub(super) fn handle_too_large(&mut self, tools: &mut Tools<'_>, entry: Handle) {
        if self.registration == Some(entry) && self.phase != Phase::Registering {
            return self.enlarge_refresh(tools);
        }
        if let Some((_, way)) = self.way.as_deref_mut() {
            way.prefer_tcp();
        }
        let phase = self.phase;
        self.go_elsewhere(tools, Unserved { entry, phase, code: 503, cause: Cause::Transport });
    }

    /// The link that the leg waited for could not be opened; so far it came.
    pub(super) fn miss_link(&mut self, tools: &mut Tools<'_>, link: LinkId, rungs: Rungs) {
        if self.registrar_link() == Some(link) {
            self.miss_registrar(tools);
        }
        if !self.is_opening(link) {
            return;
        }
        self.connecting = None;
        self.facts.rungs = rungs;
        if let Some((_, way)) = self.way.as_deref_mut() {
            way.miss(tools.now, tools.hops, tools.fault, rungs);
        }
        match self.unserved {
            Some(unserved) => {
                let (code, cause) = (503, Cause::Transport);
                self.go_elsewhere(tools, Unserved { code, cause, ..unserved });
            }
            // The step begins anew, at another place.
            None => self.advance(tools),
        }
    }

    /// The request of this step was not served where it went (RFC 3263 §4.3).
    pub(super) fn handle_unserved(
        &mut self,
        tools: &mut Tools<'_>,
        entry: Handle,
        (code, cause): (u16, Cause),
        message: Option<&Message<'_>>,
    ) {
        let phase = self.phase;
        let asked = match phase {
            Phase::Dialling => self.session,
            Phase::Registering => self.registration,
            Phase::Pinging => self.ping,
            _ => None,
        };
        let why = Why::of(cause, observe::final_response(code, cause, message).retry_after);
        match asked {
            Some(asked) if asked == entry => {}
            _ if self.registration == Some(entry) => return self.move_refresh(tools, (code, cause), why),
            _ => return tools.endpoint.give_up(tools.now, entry, code, cause),
        }
        self.leave_hop(tools, why);
        self.go_elsewhere(tools, Unserved { entry, phase, code, cause });
    }

    fn go_elsewhere(&mut self, tools: &mut Tools<'_>, unserved: Unserved) {
        let reach = if self.stopping { Reach::Nowhere } else { self.reach(tools) };
        match reach {
            Reach::Opening => self.unserved = Some(unserved),
            Reach::Open(flow) => {
                (self.phase, self.unserved, self.flow) = (unserved.phase, None, Some(flow));
                tools.endpoint.move_to(tools.now, unserved.entry, flow);
            }
            Reach::Nowhere => {
                (self.phase, self.unserved) = (unserved.phase, None);
                tools.endpoint.give_up(tools.now, unserved.entry, unserved.code, unserved.cause);
            }
        }
    }

    /// There is no more time for a request that waits for the link to another place: it has failed.
    pub(super) fn give_up_unserved(&mut self, tools: &mut Tools<'_>) {
        if let Some(unserved) = self.unserved.take() {
            self.phase = unserved.phase;
            tools.endpoint.give_up(tools.now, unserved.entry, unserved.code, unserved.cause);
        }
    }

    /// Nobody wants to know any more what becomes of it.
    pub(super) fn forget_unserved(&mut self, tools: &mut Tools<'_>) {
        if let Some(unserved) = self.unserved.take() {
            tools.routes.remove(&unserved.entry);
            tools.endpoint.give_up(tools.now, unserved.entry, unserved.code, unserved.cause);
        }
    }

    fn leave_hop(&mut self, tools: &mut Tools<'_>, why: Why) {
        if let Some((_, way)) = self.way.as_deref_mut() {
            way.leave(tools.now, tools.hops, why);
        }
    }

    /// The place that the request went to has answered.
    pub(super) fn note_hop(&mut self, tools: &mut Tools<'_>) {
        if let Some((_, way)) = self.way.as_deref_mut() {
            way.note_answer(tools.hops);
        }
    }

    /// The request was given up, perhaps before the place that it went to said anything.
    pub(super) fn doubt_hop(&self, tools: &mut Tools<'_>) {
        if let Some((_, way)) = self.way.as_deref() {
            way.doubt(tools.now, tools.hops);
        }
    }

    /// Notes that a request of the leg could not be sent, or its connection broke.
    pub(super) fn fail_request(&mut self, tools: &Tools<'_>) -> super::leg::Flowing {
        let Some(missed) = self.way.as_deref().and_then(|(_, way)| way.furthest()) else {
            return self.lose_link(tools.fault.clone());
        };
        (self.facts.rungs, self.marks.next_hop) = (missed.rungs, Some(missed.at));
        self.lose_link(missed.failure)
    }

    /// Notes that nothing can be sent.
    pub(super) fn lose_link(&mut self, failure: impl Into<TransportFailure>) -> super::leg::Flowing {
        self.facts
            .local_failure
            .get_or_insert_with(|| Box::new(crate::record::LocalFailure::Transport(failure.into())));
        super::leg::Flowing::Over
    }
}
