//! Another place for an INVITE that was not served where it went (RFC 3263 §4.3): the same request, Call-ID, From and CSeq
//! included, in a new transaction.

use std::time::Instant;

use super::caller::Inviting;
use super::{Purpose, Session, State};
use crate::sip::authenticator::Rounds;
use crate::sip::endpoint::Event;
use crate::sip::exchange::{self, Cause};
use crate::sip::flow::Flow;
use crate::sip::message::Message;
use crate::sip::outbox::Context;

/// An INVITE that waits for another place.
#[derive(Debug)]
pub(super) struct Unserved {
    invite: Box<Inviting>,
    pub(super) code: u16,
    pub(super) cause: Cause,
}

/// An INVITE that went to another place without an answer.
#[derive(Debug)]
pub(super) struct Left {
    /// Of its transaction.
    number: u32,
    flow: Flow,
    /// Until when an answer may still come.
    until: Instant,
}

impl Session {
    /// The INVITE that makes the call has failed where it went. It waits for another place where the application looks
    /// for one; what is wrong on purpose is not tried elsewhere, because to be dropped may be its right treatment.
    pub(super) fn fail_invite(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        let movable = context.fails_over && self.state == State::Calling && self.raw.is_none();
        let unserved = |invite: &Inviting| movable && cause.is_unserved(code, invite.client.is_proceeding());
        match self.invite.take() {
            Some(invite) if unserved(&invite) => {
                if cause != Cause::Response {
                    let until = context.now + context.timers.timeout();
                    self.left.push(Left { number: invite.client.number, flow: invite.flow, until });
                }
                self.early.clear();
                self.requests.retain(|it| !matches!(it.purpose, Purpose::Prack | Purpose::Candidates(_)));
                self.unserved = Some(Box::new(Unserved { invite, code, cause }));
                context.tell(Event::Unserved { entry: context.handle, code, cause });
            }
            // The flow that it has left is gone.
            None if self.unserved.is_some() => {}
            _ => self.refuse(context, code, cause),
        }
    }

    /// Whether the INVITE is larger than a datagram should be (RFC 3261 §18.1.1): then it waits, once, for another flow.
    pub(super) fn holds_back(&mut self, context: &mut Context<'_>) -> bool {
        let Some(largest) = self.largest_datagram else { return false };
        let too_large = |invite: &mut Box<Inviting>| {
            exchange::is_too_large(context, invite.flow, invite.client.bytes().len(), Some(largest.get() as usize))
        };
        let Some(mut invite) = self.invite.take_if(too_large) else { return false };
        invite.client.stop();
        self.largest_datagram = None;
        self.unserved = Some(Box::new(Unserved { invite, code: 503, cause: Cause::Transport }));
        context.tell(Event::TooLarge { entry: context.handle });
        true
    }

    /// Sends the INVITE that waits over another flow.
    pub fn move_to(&mut self, context: &mut Context<'_>, flow: Flow) {
        let Some(unserved) = self.unserved.take() else { return };
        let Some(link) = context.link(flow) else { return self.refuse(context, 503, Cause::Transport) };
        let invite = unserved.invite;
        let (number, contact) = (self.take_number(), link.contact_value(&self.contact));
        let auth = (&mut self.authenticator, (number, invite.cseq));
        let Some(bytes) = exchange::elsewhere(context, flow, invite.client.bytes(), &contact, auth) else {
            return self.refuse(context, 503, Cause::Transport);
        };
        if let Some(sdp) = Message::parse(&bytes).ok().as_ref().and_then(Message::sdp) {
            self.sdp = sdp.into();
        }
        self.flow = flow;
        self.send_invite(context, Inviting { flow, rounds: Rounds::default(), ..*invite }, number, bytes);
    }

    /// There is no other place for the INVITE that waits.
    pub fn give_up(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        if self.unserved.is_some() {
            self.refuse(context, code, cause);
        }
    }

    /// The flow of this INVITE, where a 2xx to it comes from a place that it has left.
    pub(super) fn left_flow(&self, context: &Context<'_>, number: u32) -> Option<Flow> {
        self.left.iter().find(|left| left.number == number && left.until > context.now).map(|left| left.flow)
    }
}
