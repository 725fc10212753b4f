//! Connections of agents that are disturbed on purpose: what arrives over one is kept back or lost, what would go out is
//! lost, and its end is for the agent to deal with.

use std::time::Instant;

use rustc_hash::FxHashMap;

use super::callers::Callers;
use super::leg::LegRef;
use crate::sip::flow::{Flow, LinkId};

/// Messages that are kept for an agent whose script stands still: a server that sends more is not served.
const MOST_KEPT: usize = 1000;

/// The connections of disturbed agents of one worker.
#[derive(Debug, Default)]
pub(super) struct Hushed {
    links: FxHashMap<LinkId, Quiet>,
    /// Connections that are not to be read any more, or again.
    orders: Vec<(LinkId, bool)>,
}

#[derive(Debug)]
struct Quiet {
    leg: LegRef,
    manner: Manner,
    kept: Vec<(Flow, Box<[u8]>)>,
    /// Nobody reads the socket.
    unread: bool,
}

/// What becomes of what a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// Everything passes.
    Watched,
    /// What arrives is kept until the agent wakes.
    Asleep,
    /// Nothing passes.
    Cut,
}

impl Hushed {
    /// From now on a connection of this leg is treated so.
    pub(super) fn hush(&mut self, link: LinkId, leg: LegRef, manner: Manner) {
        self.links.insert(link, Quiet { leg, manner, kept: Vec::new(), unread: false });
    }

    /// Nobody reads the socket of a connection any more: not even pings are answered.
    pub(super) fn stop_reading(&mut self, link: LinkId) {
        if let Some(quiet) = self.links.get_mut(&link) {
            quiet.unread = true;
            self.orders.push((link, true));
        }
    }

    /// The agent wakes: what has arrived meanwhile, in order.
    pub(super) fn wake(&mut self, link: LinkId) -> Vec<(Flow, Box<[u8]>)> {
        let Some(quiet) = self.links.get_mut(&link) else { return Vec::new() };
        if quiet.manner == Manner::Asleep {
            quiet.manner = Manner::Watched;
        }
        if std::mem::take(&mut quiet.unread) {
            self.orders.push((link, false));
        }
        std::mem::take(&mut quiet.kept)
    }

    /// Everything passes again, and nobody asks for the end of the connection.
    pub(super) fn release(&mut self, link: LinkId) {
        if self.links.remove(&link).is_some_and(|quiet| quiet.unread) {
            self.orders.push((link, false));
        }
    }

    /// A connection is lost: whose it was, where an agent has to deal with that. It is of no use to anybody from now on.
    pub(super) fn note_lost(&mut self, link: LinkId) -> Option<LegRef> {
        let quiet = self.links.get_mut(&link)?;
        quiet.manner = Manner::Cut;
        Some(quiet.leg)
    }

    /// Whether a message that arrived is not to be looked at now. One for an agent that is asleep is kept.
    fn keeps(&mut self, flow: Flow, bytes: &[u8]) -> bool {
        match self.links.get_mut(&flow.link) {
            Some(Quiet { manner: Manner::Asleep, kept, .. }) => {
                if kept.len() < MOST_KEPT {
                    kept.push((flow, bytes.into()));
                }
                true
            }
            Some(Quiet { manner: Manner::Cut, .. }) => true,
            _ => false,
        }
    }

    /// Whether what is sent over a connection is lost.
    pub(super) fn swallows(&self, link: LinkId) -> bool {
        self.links.get(&link).is_some_and(|quiet| quiet.manner == Manner::Cut)
    }

    /// The next connection that is not to be read any more, or again.
    pub(super) fn poll_order(&mut self) -> Option<(LinkId, bool)> {
        if self.orders.is_empty() { None } else { Some(self.orders.remove(0)) }
    }
}

impl Callers {
    /// Whether a message that arrived is none for now.
    pub(super) fn is_hushed(&mut self, flow: Flow, bytes: &[u8]) -> bool {
        !self.hushed.links.is_empty() && self.hushed.keeps(flow, bytes)
    }

    /// An agent whose time away is over deals with what has arrived meanwhile, and then with what has become due.
    pub(super) fn wake(&mut self, now: Instant, me: LegRef) {
        if self.hushed.links.is_empty() {
            return;
        }
        let Some(link) = self.leg(me).and_then(|leg| leg.wakes_on(now)) else { return };
        for (flow, bytes) in self.hushed.wake(link) {
            self.receive(now, now, flow, &bytes);
        }
        self.endpoint.resume(now, link);
        self.drain_endpoint(now, None, None);
    }

    /// Audio that legs waited for has come.
    pub(super) fn tell_heard(&mut self, now: Instant) {
        while let Some((me, at)) = self.streams.poll_heard() {
            self.with_leg(now, me, |leg, tools| leg.handle_heard(tools, at));
        }
    }
}
