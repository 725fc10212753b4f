//! OPTIONS of ours outside any dialog.

use std::sync::Arc;

use super::Event;
use crate::sip::authenticator::Authenticator;
use crate::sip::exchange::{self, Cause, Exchange, Heard, Login};
use crate::sip::flow::Flow;
use crate::sip::message::Message;
use crate::sip::outbox::Context;
use crate::sip::write::Writer;

/// An OPTIONS to send.
#[derive(Clone, Copy, Debug)]
pub struct Ping<'a> {
    /// Where it goes.
    pub flow: Flow,
    /// The application's number for it; not 0.
    pub owner: u64,
    /// Request-URI and To.
    pub uri: &'a str,
    /// From without tag.
    pub from: &'a str,
    /// Route fields, in order.
    pub route: &'a [String],
    /// Further header fields.
    pub headers: &'a [(String, String)],
    /// Bytes of the largest that is sent as a datagram; a larger one waits for another flow ([`Event::TooLarge`]). `None`
    /// sends any.
    pub largest_datagram: Option<usize>,
    /// What to answer a challenge with.
    pub credentials: Option<&'a Arc<Login>>,
}

/// An OPTIONS under way.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) flow: Flow,
    pub(super) owner: u64,
    pub(super) exchange: Exchange,
    authenticator: Authenticator,
    next_number: u32,
    /// Until it was too large once.
    largest_datagram: Option<usize>,
    /// It waits for another place.
    unserved: bool,
    pub(super) over: bool,
}

impl Options {
    pub(super) fn start(context: &mut Context<'_>, ping: &Ping<'_>) -> Option<Self> {
        let link = context.link(ping.flow)?;
        let mut bytes = Vec::with_capacity(400);
        let mut writer = Writer::request(&mut bytes, b"OPTIONS", ping.uri.as_bytes());
        writer.via(link, context.salt.branch(context.handle, 1));
        writer.field("Max-Forwards", "70");
        for route in ping.route {
            writer.field("Route", route);
        }
        writer.field("From", format!("{};tag={}", ping.from, context.salt.tag(context.handle)));
        writer.field("To", format!("<{}>", ping.uri));
        writer.field("Call-ID", format!("{:016x}@ringfleet", context.random.next_u64())).field("CSeq", "1 OPTIONS");
        writer.contact(link, "");
        writer.field("Accept", "application/sdp").field("User-Agent", context.agent);
        for (name, value) in ping.headers {
            writer.field(name, value);
        }
        writer.body("", b"");
        let too_large = exchange::is_too_large(context, ping.flow, bytes.len(), ping.largest_datagram);
        let exchange = if too_large {
            Exchange::held(context, (1, 1), bytes)
        } else {
            Exchange::start(context, (ping.flow, ping.owner), (1, 1), bytes)
        };
        let authenticator = Authenticator::new(ping.credentials.cloned());
        let (flow, owner, largest_datagram) = (ping.flow, ping.owner, ping.largest_datagram);
        let mut options = Self {
            flow,
            owner,
            exchange,
            authenticator,
            next_number: 2,
            largest_datagram,
            unserved: false,
            over: false,
        };
        if too_large {
            options.hold_back(context);
        }
        Some(options)
    }

    pub(super) fn handle_response(&mut self, context: &mut Context<'_>, response: &Message<'_>, number: u32) {
        if self.exchange.number() != number || self.unserved {
            return;
        }
        let flow = (self.flow, self.owner);
        let auth = (&mut self.authenticator, &mut self.next_number);
        match self.exchange.handle_response(context, flow, response, auth, self.largest_datagram) {
            Heard::Nothing => {}
            Heard::Final(code) => self.fail(context, code, Cause::Response),
            Heard::TooLarge => self.hold_back(context),
        }
    }

    /// It is too large for a datagram: it waits, once, for another flow.
    fn hold_back(&mut self, context: &mut Context<'_>) {
        (self.unserved, self.largest_datagram) = (true, None);
        context.tell(Event::TooLarge { entry: context.handle });
    }

    pub(super) fn handle_timeout(&mut self, context: &mut Context<'_>) {
        if self.exchange.handle_timeout(context, (self.flow, self.owner)) {
            self.fail(context, 408, Cause::Timeout);
        }
    }

    /// A final response came, or will not come; another place may still serve it.
    pub(super) fn fail(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        if self.unserved {
            return;
        }
        if context.fails_over && cause.is_unserved(code, self.exchange.was_heard()) {
            self.unserved = true;
            self.exchange.stop();
            return context.tell(Event::Unserved { entry: context.handle, code, cause });
        }
        self.finish(context, code, cause);
    }

    pub(super) fn give_up(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        if std::mem::take(&mut self.unserved) {
            self.finish(context, code, cause);
        }
    }

    pub(super) fn move_to(&mut self, context: &mut Context<'_>, flow: Flow) {
        let Some(link) = context.link(flow).filter(|_| self.unserved) else {
            return self.give_up(context, 503, Cause::Transport);
        };
        let transaction = (self.next_number, self.exchange.cseq());
        let contact = link.contact_value("");
        let moved = self.exchange.elsewhere(context, flow, &contact, (&mut self.authenticator, transaction));
        let Some(bytes) = moved else { return self.give_up(context, 503, Cause::Transport) };
        self.next_number += 1;
        (self.flow, self.unserved) = (flow, false);
        self.exchange = Exchange::start(context, (flow, self.owner), transaction, bytes);
    }

    fn finish(&mut self, context: &mut Context<'_>, code: u16, cause: Cause) {
        self.over = true;
        context.tell(Event::OptionsAnswered { request: context.handle, code, cause });
    }
}
