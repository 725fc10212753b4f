//! Provisional responses that are acknowledged with PRACK, both ways (RFC 3262).

use std::time::Instant;

use thin_vec::ThinVec;

use super::called::Written;
use super::{Offer, Purpose, Session, State};
use crate::sip::endpoint::Event;
use crate::sip::flow::Flow;
use crate::sip::header::{self, Name};
use crate::sip::message::Message;
use crate::sip::outbox::Context;
use crate::sip::session::Response;
use crate::sip::transaction::{Due, Server};

/// Responses that wait for the PRACK to the one before them.
const MAX_WAITING: usize = 8;

/// What a session does about `100rel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliable {
    /// Not spoken: not offered, and a caller who requires it is refused with 420.
    Off,
    /// Offered in Supported; as called party provisional responses are reliable where the caller requires it.
    #[default]
    Supported,
    /// Required; as called party every provisional response is reliable, and a caller who cannot is refused with 421.
    Required,
}

/// Reliable provisional responses of ours.
#[derive(Debug, Default)]
pub(super) struct Provisionals {
    /// RSeq of the last one; 0 before the first.
    last: u32,
    unacknowledged: Option<Box<Unacknowledged>>,
    /// Written already, and held back until that one is acknowledged (§3).
    waiting: ThinVec<Written>,
}

#[derive(Debug)]
struct Unacknowledged {
    rseq: u32,
    cseq: u32,
    flow: Flow,
    bytes: Vec<u8>,
    timer: Server,
}

impl Provisionals {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unacknowledged.as_ref().and_then(|it| it.timer.deadline())
    }

    pub(super) fn clear(&mut self) {
        self.unacknowledged = None;
        self.waiting.clear();
    }

    /// RSeq of the next one. The first is small (§3 allows 1 to 2^31 − 1).
    pub(super) fn next_rseq(&mut self, first: u32) -> u32 {
        self.last = if self.last == 0 { 1 + first % 10_000 } else { self.last + 1 };
        self.last
    }

    /// Keeps a response back while one before it waits for its PRACK. Gives it back where it may go.
    pub(super) fn hold(&mut self, written: Written) -> Option<Written> {
        if self.unacknowledged.is_none() {
            return Some(written);
        }
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push(written);
        }
        None
    }

    pub(super) fn sent(&mut self, context: &Context<'_>, (rseq, cseq): (u32, u32), flow: Flow, bytes: Vec<u8>) {
        let timer = Server::provisional(context.now, context.timers);
        self.unacknowledged = Some(Box::new(Unacknowledged { rseq, cseq, flow, bytes, timer }));
    }
}

impl Session {
    // --- as caller ------------------------------------------------------------------------------------------------

    /// Acknowledges a provisional response that asks for it. False where it is to be passed over: it came before, or
    /// one before it is missing (§4).
    pub(super) fn acknowledge_provisional(&mut self, context: &mut Context<'_>, response: &Message<'_>) -> bool {
        let reliable = self.extensions.reliable != Reliable::Off && requires(response, "100rel");
        let (Some(rseq), Some((cseq, _)), true) =
            (response.header(Name::RSeq).and_then(header::number), response.cseq(), reliable)
        else {
            return true;
        };
        let Some(early) = self.early_dialog(response) else { return false };
        if early.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
            return false;
        }
        early.rseq = Some(rseq);
        early.dialog.refresh_target(response);
        if let Some(sdp) = response.sdp() {
            early.answer = Some(sdp.into());
        }
        let place = self.early.iter().position(|early| early.rseq == Some(rseq) && is_of(early, response));
        let Some(place) = place else { return false };
        let rack = format!("{rseq} {cseq} INVITE");
        self.in_early(place, |session| session.send_request(context, Purpose::Prack, &[("RAck", &rack)], b""));
        if response.sdp().is_some() && self.offer == Offer::Ours && self.forks.count() == Some(1) {
            self.offer = Offer::Settled;
        }
        true
    }

    // --- as called party ------------------------------------------------------------------------------------------

    /// The far end acknowledges a provisional response (§3).
    pub(super) fn handle_prack(&mut self, context: &mut Context<'_>, request: &Message<'_>, flow: Flow, key: u64) {
        let known = self.provisionals.unacknowledged.as_ref();
        let acknowledged = read_rack(request).zip(known).is_some_and(|(rack, it)| rack == (it.rseq, it.cseq));
        if !acknowledged {
            return self.answer(context, request, (flow, key), 481, &[]);
        }
        self.provisionals.unacknowledged = None;
        match request.sdp() {
            // An offer in a PRACK (§5): the application has the answer.
            Some(_) => self.take_offer(context, request, flow, key),
            None => self.answer(context, request, (flow, key), 200, &[]),
        }
        while self.provisionals.unacknowledged.is_none() {
            if self.provisionals.waiting.is_empty() {
                break;
            }
            let written = self.provisionals.waiting.remove(0);
            self.send_written(context, written);
        }
    }

    pub(super) fn handle_provisional_timeout(&mut self, context: &mut Context<'_>) {
        let Some(waiting) = &mut self.provisionals.unacknowledged else { return };
        match waiting.timer.handle_timeout(context.now) {
            Some(Due::Retransmit) => context.out.send(waiting.flow, self.owner, &waiting.bytes),
            Some(Due::TimedOut) => {
                self.provisionals.clear();
                if self.state == State::Invited {
                    self.reopen();
                    // §3: nobody acknowledges, so the INVITE is refused with a 5xx.
                    self.respond(context, &Response { code: 504, ..Response::default() });
                    context.tell(Event::ProvisionalNotAcknowledged { session: context.handle });
                }
            }
            None => {}
        }
    }
}

fn is_of(early: &super::Early, response: &Message<'_>) -> bool {
    response.to().and_then(|to| to.tag()) == Some(&early.tag)
}

/// RSeq and CSeq number of a RAck field about an INVITE.
fn read_rack(request: &Message<'_>) -> Option<(u32, u32)> {
    let value = request.header(Name::RAck)?;
    let mut words = value.split(|byte| header::is_space(*byte)).filter(|word| !word.is_empty());
    let (rseq, cseq) = (header::number(words.next()?)?, header::number(words.next()?)?);
    (words.next()? == b"INVITE").then_some((rseq, cseq))
}

/// Whether a Require field has an option tag.
pub(super) fn requires(message: &Message<'_>, tag: &str) -> bool {
    has_tag(message, Name::Require, tag)
}

/// Whether a Supported or Require field has an option tag.
pub(super) fn supports(message: &Message<'_>, tag: &str) -> bool {
    has_tag(message, Name::Supported, tag) || requires(message, tag)
}

fn has_tag(message: &Message<'_>, name: Name, tag: &str) -> bool {
    message.headers(name).flat_map(header::split_list).any(|known| known.eq_ignore_ascii_case(tag.as_bytes()))
}
