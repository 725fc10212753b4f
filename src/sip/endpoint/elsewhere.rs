//! Another place for a request that was not served where it went (RFC 3263 §4.3).

use std::time::Instant;

use super::Endpoint;
use super::place::Entry;
use crate::sip::exchange::Cause;
use crate::sip::flow::Flow;
use crate::sip::token::Handle;

impl Endpoint {
    /// Sends a request that waits after [`Event::Unserved`](super::Event::Unserved) over another flow: the same
    /// request in a new transaction.
    pub fn move_to(&mut self, now: Instant, entry: Handle, flow: Flow) {
        self.with_entry(now, entry, |context, entry| match entry {
            Entry::Session(session) => session.move_to(context, flow),
            Entry::Registration(registration) => registration.move_to(context, flow),
            Entry::Options(options) => options.move_to(context, flow),
            Entry::Remnant(_) | Entry::Free => {}
        });
    }

    /// There is no other place: a request that waits has failed, with this code and cause.
    pub fn give_up(&mut self, now: Instant, entry: Handle, code: u16, cause: Cause) {
        self.with_entry(now, entry, |context, entry| match entry {
            Entry::Session(session) => session.give_up(context, code, cause),
            Entry::Registration(registration) => registration.give_up(context, code, cause),
            Entry::Options(options) => options.give_up(context, code, cause),
            Entry::Remnant(_) | Entry::Free => {}
        });
    }
}
