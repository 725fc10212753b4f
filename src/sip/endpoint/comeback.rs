//! Devices that are away for a while, or come back over another flow: what stands of theirs stands still, goes on
//! elsewhere, or is forgotten without a word.

use std::time::Instant;

use super::Endpoint;
use super::place::Entry;
use crate::sip::flow::{Flow, LinkId};
use crate::sip::token::Handle;

impl Endpoint {
    /// Nothing that lives on a link does anything of its own accord until [`resume`](Self::resume): its owner sleeps.
    /// Messages are to be kept back meanwhile, or are lost.
    pub fn suspend(&mut self, link: LinkId) {
        self.suspended.entry(link).or_default();
    }

    /// What lives on a link goes on; what has become due since is done now.
    pub fn resume(&mut self, now: Instant, link: LinkId) {
        for handle in self.suspended.remove(&link).unwrap_or_default() {
            self.run_entry(now, handle);
        }
    }

    /// Whether what is due for an entry waits for its link.
    pub(super) fn holds_back(&mut self, handle: Handle) -> bool {
        if self.suspended.is_empty() {
            return false;
        }
        let link = self.entry(handle).and_then(Entry::flow).map(|flow| flow.link);
        match link.and_then(|link| self.suspended.get_mut(&link)) {
            Some(waiting) => {
                waiting.push(handle);
                true
            }
            None => false,
        }
    }

    /// Requests of a session that is up go over another flow from now on.
    pub fn reroute(&mut self, now: Instant, session: Handle, flow: Flow) {
        self.with_session(now, session, |_, session| session.reroute(flow));
    }

    /// Makes a binding again now, over this flow; told as [`Event::Registered`](super::Event::Registered), as a refresh.
    pub fn rebind(&mut self, now: Instant, registration: Handle, flow: Flow) {
        self.with_entry(now, registration, |context, entry| {
            if let Entry::Registration(registration) = entry {
                registration.rebind(context, flow);
            }
        });
    }

    /// Forgets a binding without a word to its registrar, where it stands until it runs out.
    pub fn forget_binding(&mut self, now: Instant, registration: Handle) {
        self.with_entry(now, registration, |_, entry| {
            if let Entry::Registration(registration) = entry {
                registration.abandon();
            }
        });
    }
}
