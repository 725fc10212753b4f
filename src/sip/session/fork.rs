//! Several answers to one INVITE: early dialogs, the one that the call goes on with, and those that nobody needs
//! (RFC 3261 §12.1, §13.2.2.4; RFC 6026 §7.2).

use std::hash::BuildHasher;
use std::time::Instant;

use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;

use super::trickle::Told;
use super::{Pending, Purpose, Session, State};
use crate::sip::dialog::Dialog;
use crate::sip::exchange::Exchange;
use crate::sip::flow::Flow;
use crate::sip::header::Name;
use crate::sip::message::Message;
use crate::sip::outbox::Context;

/// Early dialogs and answers of one INVITE that are kept apart; those of further forks are passed over.
const MAX_FORKS: usize = 32;

/// Fields that an ACK repeats of its INVITE.
const CREDENTIALS: [(Name, &str); 2] =
    [(Name::Authorization, "Authorization"), (Name::ProxyAuthorization, "Proxy-Authorization")];

/// An early dialog.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) tag: Box<[u8]>,
    pub(super) dialog: Dialog,
    /// RSeq of the last reliable provisional response that was acknowledged.
    pub(super) rseq: Option<u32>,
    /// The answer in one of them.
    pub(super) answer: Option<Box<[u8]>>,
    /// Which candidates its far end was told.
    pub(super) told: Told,
}

/// The tags of those who rang or answered.
#[derive(Debug, Default)]
pub(super) struct Forks(SmallVec<[u64; 2]>);

impl Forks {
    pub(super) fn note(&mut self, response: &Message<'_>) {
        let Some(tag) = response.to().and_then(|to| to.tag()) else { return };
        let hash = FxBuildHasher.hash_one(tag);
        if self.0.len() < MAX_FORKS && !self.0.contains(&hash) {
            self.0.push(hash);
        }
    }

    pub(super) fn count(&self) -> Option<u32> {
        (!self.0.is_empty()).then_some(self.0.len() as u32)
    }
}

/// An ACK of ours, repeated when what it acknowledges comes again.
#[derive(Debug)]
pub(super) struct Acknowledged {
    /// Number of the INVITE's transaction.
    pub(super) number: u32,
    pub(super) failure: bool,
    pub(super) flow: Flow,
    pub(super) bytes: Box<[u8]>,
}

impl Acknowledged {
    /// Whether a 2xx of the far end with this tag to the INVITE `number` is what it acknowledged.
    fn is_of(&self, number: u32, tag: &[u8]) -> bool {
        let theirs = || Message::parse(&self.bytes).ok().and_then(|ack| ack.to()?.tag());
        self.number == number && !self.failure && theirs().unwrap_or(b"") == tag
    }
}

impl Session {
    /// The early dialog that a provisional response belongs to; a new one where its tag is new. `None` where it has no
    /// tag, or there are too many.
    pub(super) fn early_dialog(&mut self, response: &Message<'_>) -> Option<&mut Early> {
        let tag = response.to().and_then(|to| to.tag())?;
        let known = self.early.iter().position(|early| *early.tag == *tag);
        let place = match known {
            Some(place) => place,
            None if self.early.len() < MAX_FORKS => {
                let dialog = self.dialog.fork(response);
                self.early.push(Early { tag: tag.into(), dialog, rseq: None, answer: None, told: Told::default() });
                self.early.len() - 1
            }
            None => return None,
        };
        self.early.get_mut(place)
    }

    /// Lets `act` send in an early dialog, whose requests are numbered together with ours.
    pub(super) fn in_early<R>(&mut self, place: usize, act: impl FnOnce(&mut Self) -> R) -> R {
        std::mem::swap(&mut self.dialog, &mut self.early[place].dialog);
        self.dialog.local_cseq = self.dialog.local_cseq.max(self.early[place].dialog.local_cseq);
        let done = act(self);
        let used = self.dialog.local_cseq;
        std::mem::swap(&mut self.dialog, &mut self.early[place].dialog);
        self.dialog.local_cseq = used;
        done
    }

    /// A 2xx that comes again is acknowledged again; one of another fork is acknowledged and ended. False where the
    /// INVITE is over.
    pub(super) fn handle_further_success(
        &mut self,
        context: &mut Context<'_>,
        response: &Message<'_>,
        number: u32,
    ) -> bool {
        let left = self.left_flow(context, number);
        if left.is_none() && self.accepted.is_none_or(|(accepted, until)| accepted != number || until <= context.now) {
            return false;
        }
        let tag = response.to().and_then(|to| to.tag()).unwrap_or(b"");
        let known = self.acknowledged.iter().find(|ack| ack.is_of(number, tag));
        if let Some(ack) = known {
            context.out.send(ack.flow, self.owner, &ack.bytes);
        } else if left.is_some() || self.dialog.remote_tag() != Some(tag) || self.state == State::Over {
            self.end_fork(context, response, (number, left.unwrap_or(self.flow)));
        }
        true
    }

    /// When the ACK to the 2xx need not be kept any more: that does not come again then (RFC 6026 §8.4, Timer M). A call
    /// that is held is up for much longer.
    pub(super) fn forget_at(&self) -> Option<Instant> {
        let (accepted, until) = self.accepted.filter(|_| self.state == State::Up)?;
        self.acknowledged.iter().any(|ack| ack.number <= accepted).then_some(until)
    }

    pub(super) fn forget_acknowledged(&mut self, now: Instant) {
        if self.forget_at().is_some_and(|at| at <= now) {
            let accepted = self.accepted.map_or(0, |(number, _)| number);
            // What was refused since keeps its own ACK.
            self.acknowledged.retain(|ack| ack.number > accepted);
            self.acknowledged.shrink_to_fit();
        }
    }

    fn end_fork(&mut self, context: &mut Context<'_>, response: &Message<'_>, (number, over): (u32, Flow)) {
        let (Some(link), Some((cseq, _))) = (context.link(over), response.cseq()) else { return };
        if self.acknowledged.len() >= MAX_FORKS {
            return;
        }
        self.forks.note(response);
        let fork = self.dialog.fork(response);
        let flow = fork.next_hop(over, link.transport);
        let branch = context.salt.branch(context.handle, self.take_number());
        let bytes = context.out.write(flow, self.owner, |buffer| {
            fork.request(buffer, link, "ACK", cseq, branch).body("", b"");
        });
        self.acknowledged.push(Acknowledged { number, failure: false, flow, bytes: bytes.into() });

        let mut bye = Vec::with_capacity(400);
        let bye_number = self.take_number();
        let branch = context.salt.branch(context.handle, bye_number);
        fork.request(&mut bye, link, "BYE", cseq + 1, branch).field("User-Agent", context.agent).body("", b"");
        let exchange = Exchange::start(context, (flow, self.owner), (bye_number, cseq + 1), bye);
        self.requests.push(Pending { purpose: Purpose::ForkBye, flow, exchange });
    }

    /// Acknowledges a 2xx to our INVITE `number` with CSeq number `cseq` (§13.2.2.4): with the credentials of the INVITE
    /// (§22.1), and with an answer where the 2xx brought the offer.
    pub(super) fn acknowledge_success(
        &mut self,
        context: &mut Context<'_>,
        invite: Option<&Message<'_>>,
        (number, cseq): (u32, u32),
        sdp: &[u8],
    ) {
        let Some(link) = context.link(self.flow) else { return };
        let branch = context.salt.branch(context.handle, self.take_number());
        let flow = self.dialog.next_hop(self.flow, link.transport);
        let dialog = &self.dialog;
        let bytes = context.out.write(flow, self.owner, |buffer| {
            let mut writer = dialog.request(buffer, link, "ACK", cseq, branch);
            for name in CREDENTIALS {
                for value in invite.into_iter().flat_map(|invite| invite.headers(name.0)) {
                    writer.field(name.1, value);
                }
            }
            writer.body("application/sdp", sdp);
        });
        self.acknowledged.push(Acknowledged { number, failure: false, flow, bytes: bytes.into() });
    }
}
