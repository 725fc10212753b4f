//! The binding that a leg's `register` step made, while the leg is at something else: a refresh that is not served where
//! the binding was made goes to the server's next place (RFC 3263 §4.3). The call of the leg stays where it is.

use super::hops::{Way, Why};
use super::leg::{Leg, Tools};
use super::links::{Access, Holder, Purpose};
use crate::record::Rungs;
use crate::sip::exchange::Cause;
use crate::sip::flow::LinkId;

/// Where a binding was made, and its refresh that waits for another place.
#[derive(Debug)]
pub(super) struct Kept {
    way: Way,
    /// How the refresh has failed where there is no other place.
    unserved: Option<(u16, Cause)>,
    /// The link to that place.
    link: Option<LinkId>,
}

impl Leg {
    /// The step made the binding: its refreshes begin where it was made.
    pub(super) fn keep_registration(&mut self) {
        if let Some((_, mut way)) = self.way.take().map(|way| *way) {
            way.begin_anew();
            self.kept = Some(Box::new(Kept { way, unserved: None, link: None }));
        }
    }

    /// The binding was refreshed.
    pub(super) fn note_refresh(&mut self, tools: &mut Tools<'_>) {
        if let Some(kept) = &mut self.kept {
            kept.way.note_answer(tools.hops);
            kept.way.begin_anew();
        }
    }

    /// The refresh was not served where it went.
    pub(super) fn move_refresh(&mut self, tools: &mut Tools<'_>, (code, cause): (u16, Cause), why: Why) {
        if let Some(kept) = &mut self.kept {
            kept.way.leave(tools.now, tools.hops, why);
            kept.unserved = Some((code, cause));
        }
        self.reach_registrar(tools);
    }

    /// The refresh is too large for a datagram: it goes to the same place by TCP, where that is spoken.
    pub(super) fn enlarge_refresh(&mut self, tools: &mut Tools<'_>) {
        if let Some(kept) = &mut self.kept {
            kept.way.prefer_tcp();
            kept.unserved = Some((503, Cause::Transport));
        }
        self.reach_registrar(tools);
    }

    /// The link that the refresh waited for could not be opened.
    pub(super) fn miss_registrar(&mut self, tools: &mut Tools<'_>) {
        if let Some(kept) = &mut self.kept {
            kept.way.miss(tools.now, tools.hops, tools.fault, Rungs::default());
            kept.unserved = kept.unserved.map(|_| (503, Cause::Transport));
        }
        self.reach_registrar(tools);
    }

    /// The link that the refresh waits for.
    pub(super) fn registrar_link(&self) -> Option<LinkId> {
        self.kept.as_ref()?.link
    }

    /// Sends the refresh that waits to the next place, or gives it up.
    pub(super) fn reach_registrar(&mut self, tools: &mut Tools<'_>) {
        let Some(entry) = self.registration else { return };
        let Some(kept) = &mut self.kept else {
            return tools.endpoint.give_up(tools.now, entry, 503, Cause::Transport);
        };
        kept.link = None;
        let Some((code, cause)) = kept.unserved else { return };
        let hop = if self.stopping { None } else { kept.way.hop(tools.now, tools.hops) };
        let Some((hop, server)) = hop.zip(tools.hops.server(kept.way.server())) else {
            kept.unserved = None;
            return tools.endpoint.give_up(tools.now, entry, code, cause);
        };
        let holder = Holder { pool: tools.pool, account: self.account.unwrap_or(0) as usize, tab: tools.tab };
        let purpose = Purpose::new(hop, (kept.way.server(), server), &tools.actor.target, holder, self.source);
        match tools.links.access(purpose, hop.address) {
            Access::Open(flow) => {
                kept.unserved = None;
                kept.way.note_reached();
                tools.endpoint.move_to(tools.now, entry, flow);
            }
            Access::Ask(link) => {
                tools.wanted.push((link, purpose, hop.address));
                kept.link = Some(link);
            }
            Access::Opening(link) => kept.link = Some(link),
        }
    }
}
