//! What is kept of a call of ours that is over, while its INVITE may still be answered once more (RFC 3261 §17.1.1.2,
//! Timer D; RFC 6026 §8.4, Timer M). A load has many more of these than calls that are up.
//!
//! The ACK that was sent names everything of the dialog, so it is all that is kept of it.

use std::sync::Arc;
use std::time::Instant;

use super::fork::Acknowledged;
use super::{Session, State};
use crate::sip::authenticator::Authenticator;
use crate::sip::dialog::{Dialog, Texts};
use crate::sip::exchange::Login;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::{Message, Start};

/// A call of ours that is over: enough to make its session again where something comes for it.
#[derive(Debug)]
pub struct Remnant {
    /// The application's number for it.
    pub owner: u64,
    /// The flow that its INVITE took.
    pub flow: Flow,
    /// When nothing can come for it any more.
    pub until: Instant,
    accepted: Option<(u32, Instant)>,
    /// The ACK to the INVITE of this number went over this flow.
    number: u32,
    acknowledged_over: Flow,
    ack: Box<[u8]>,
    /// What it acknowledged was a failure.
    failure: bool,
    next_number: u32,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    login: Option<Arc<Login>>,
}

impl Session {
    /// What is to be kept of the session, where it is over and holds no more than a [`Remnant`] does.
    pub fn remnant(&mut self) -> Option<Remnant> {
        let until = self.linger_until.filter(|_| self.caller && self.state == State::Over)?;
        let plain = self.requests.is_empty()
            && self.answered.is_empty()
            && self.left.is_empty()
            && self.acknowledged.len() == 1
            && self.served.is_none()
            && self.raw.is_none();
        // A strict router stands where the target would (§12.2.1.1), so the ACK does not name that.
        if !plain || !self.dialog.target_is_request_uri() {
            return None;
        }
        let Acknowledged { number, failure, flow, bytes, .. } = self.acknowledged.pop()?;
        Some(Remnant {
            owner: self.owner,
            flow: self.flow,
            until,
            accepted: self.accepted,
            number,
            acknowledged_over: flow,
            ack: bytes,
            failure,
            next_number: self.next_number,
            local_cseq: self.dialog.local_cseq,
            remote_cseq: self.dialog.remote_cseq,
            login: self.authenticator.login().cloned(),
        })
    }
}

impl Remnant {
    /// Call-ID.
    pub fn call_id(&self) -> Option<&[u8]> {
        Message::parse(&self.ack).ok()?.call_id()
    }

    /// The session again, as it was when it was over.
    pub fn revive(self) -> Option<Session> {
        let bytes = self.ack;
        let ack = Message::parse(&bytes).ok()?;
        let Start::Request { uri, .. } = ack.start() else { return None };
        let texts = Texts {
            call_id: ack.call_id()?,
            local: ack.header(Name::From)?,
            remote: ack.header(Name::To)?,
            target: uri,
        };
        let mut dialog = Dialog::new(&texts, self.local_cseq);
        dialog.route = ack.headers(Name::Route).map(Box::from).collect();
        dialog.remote_cseq = self.remote_cseq;
        let (number, failure, flow) = (self.number, self.failure, self.acknowledged_over);
        drop(ack);
        let mut session = Session::new(self.flow, dialog, State::Over);
        session.owner = self.owner;
        session.caller = true;
        session.authenticator = Authenticator::new(self.login);
        session.accepted = self.accepted;
        session.acknowledged.push(Acknowledged { number, failure, flow, bytes });
        session.next_number = self.next_number;
        session.linger_until = Some(self.until);
        Some(session)
    }
}
