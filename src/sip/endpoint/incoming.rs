//! Which entry a message belongs to, and what becomes of those that belong to none.

use std::hash::{BuildHasher, Hasher};
use std::time::Instant;

use rustc_hash::FxBuildHasher;

use super::{Endpoint, Entry, Event, Invited, refusal};
use crate::sip::flow::Flow;
use crate::sip::header::{self, Name};
use crate::sip::message::{Message, Method, Via};
use crate::sip::outbox::{Context, Reply};
use crate::sip::session::Session;
use crate::sip::validity::{self, Flaw};
use crate::sip::write;

impl Endpoint {
    pub(super) fn handle_response(&mut self, now: Instant, flow: Flow, response: &Message<'_>) -> Option<u64> {
        if !validity::is_whole(response) {
            self.counters.malformed += 1;
            return None;
        }
        let mut vias = response.headers(Name::Via).flat_map(header::split_list);
        let (via, another) = (vias.next().and_then(Via::parse), vias.next());
        if another.is_some() {
            // §8.1.3.3: we are no proxy, so it was misrouted or corrupted.
            self.counters.stray_responses += 1;
            return None;
        }
        let branch = via.and_then(|via| via.branch());
        let entry = branch.and_then(|branch| self.salt.read_branch(branch)).filter(|(it, _)| self.is_current(*it));
        let Some((handle, number)) = entry else {
            self.counters.stray_responses += 1;
            return None;
        };
        if let Some(via) = via {
            self.links.learn(flow.link, &via);
        }
        self.with_entry(now, handle, |context, entry| {
            match entry {
                Entry::Session(session) => {
                    if !session.handle_response(context, response, number) {
                        return None;
                    }
                }
                Entry::Registration(registration) => registration.handle_response(context, response, number),
                Entry::Options(options) => options.handle_response(context, response, number),
                Entry::Remnant(_) | Entry::Free => {}
            }
            Some(entry.owner())
        })
        .flatten()
        .or_else(|| {
            self.counters.stray_responses += 1;
            None
        })
        .flatten()
    }

    pub(super) fn handle_request(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Message<'_>,
        method: Method<'_>,
    ) -> Option<u64> {
        if let Some(flaw) = validity::flaw(request) {
            return self.refuse_flawed(flow, request, method, flaw);
        }
        if let Some(tag) = request.to().and_then(|to| to.tag()) {
            return self.handle_dialog_request(now, flow, request, method, tag);
        }
        let key = self.transaction_key(request);
        let refused = match method {
            Method::Ack => None,
            Method::Invite => refusal::of_call(request),
            _ => refusal::of(request, method),
        };
        if let Some(refusal) = refused {
            let headers: Vec<(&str, &str)> = refusal.headers.iter().map(|(name, it)| (*name, it.as_str())).collect();
            self.reply(flow, request, &Reply { code: refusal.code, headers: &headers, ..Reply::default() });
            return None;
        }
        match method {
            Method::Invite => self.handle_invite(now, flow, request, key),
            Method::Cancel => match self.invited.get(&key).and_then(|known| known.session) {
                Some(handle) => self.with_session(now, handle, |context, session| {
                    session.handle_cancel(context, request, flow, key);
                    session.owner
                }),
                None => self.refuse_stray(flow, request, 481),
            },
            Method::Ack => None,
            Method::Register => {
                self.out.tell(Event::RegisterReceived);
                None
            }
            Method::Options => {
                let headers =
                    [("Allow", write::ALLOW), ("Accept", "application/sdp"), ("Supported", refusal::SUPPORTED)];
                self.reply(flow, request, &Reply { code: 200, headers: &headers, ..Reply::default() });
                None
            }
            Method::Message => self.answer_plain(flow, request, 200),
            // None of these makes a dialog, and the one that they would belong to is not there.
            _ => self.refuse_stray(flow, request, 481),
        }
    }

    fn handle_invite(&mut self, now: Instant, flow: Flow, invite: &Message<'_>, key: u64) -> Option<u64> {
        if let Some(known) = self.invited.get(&key).copied() {
            self.counters.copies += 1;
            return self.with_session(now, known.session?, |context, session| {
                session.handle_copy(context);
                session.owner
            });
        }
        let merge = self.merge_key(invite);
        if self.merged.contains_key(&merge) {
            // §8.2.2.2: the same request came by another way; its copy is being answered.
            return self.answer_plain(flow, invite, 482);
        }
        let receive = |context: &mut Context<'_>| Session::receive(context, invite, flow, key);
        let handle = self.enter(now, |context| Some(Entry::Session(Box::new(receive(context)))))?;
        self.invited.insert(key, Invited { session: Some(handle), merge });
        self.merged.insert(merge, key);
        None
    }

    fn handle_dialog_request(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &Message<'_>,
        method: Method<'_>,
        tag: &[u8],
    ) -> Option<u64> {
        let handle = self.salt.read_tag(tag);
        let ours = handle.filter(|handle| self.is_session_of(*handle, request));
        if let Some(handle) = ours {
            let key = self.transaction_key(request);
            return self.with_session(now, handle, |context, session| {
                session.handle_request(context, request, flow, key);
                session.owner
            });
        }
        if method == Method::Ack && self.invited.contains_key(&self.transaction_key(request)) {
            // The ACK to a refusal comes again (§17.2.1, Timer I).
            self.counters.copies += 1;
            return None;
        }
        self.counters.stray_requests += 1;
        match method {
            Method::Ack => None,
            // A BYE that comes again after its dialog ended here: the far end only wants to hear 200.
            Method::Bye if handle.is_some_and(|handle| self.was_given(handle)) => self.answer_plain(flow, request, 200),
            _ => self.answer_plain(flow, request, 481),
        }
    }

    fn refuse_stray(&mut self, flow: Flow, request: &Message<'_>, code: u16) -> Option<u64> {
        self.counters.stray_requests += 1;
        self.answer_plain(flow, request, code)
    }

    /// Without a Via nobody can be answered; an ACK never is.
    fn refuse_flawed(&mut self, flow: Flow, request: &Message<'_>, method: Method<'_>, flaw: Flaw) -> Option<u64> {
        self.counters.malformed += u64::from(flaw.code == 400);
        if request.via().is_some() && method != Method::Ack {
            let headers = &[("Allow", write::ALLOW)];
            self.reply(flow, request, &Reply { code: flaw.code, reason: flaw.reason, headers });
        }
        None
    }

    fn answer_plain(&mut self, flow: Flow, request: &Message<'_>, code: u16) -> Option<u64> {
        self.reply(flow, request, &Reply { code, headers: &[("Allow", write::ALLOW)], ..Reply::default() });
        None
    }

    fn merge_key(&self, request: &Message<'_>) -> u64 {
        let mut hasher = FxBuildHasher.build_hasher();
        hasher.write_u64(self.salt.0);
        hasher.write(request.call_id().unwrap_or(b""));
        hasher.write(request.from().and_then(|from| from.tag()).unwrap_or(b""));
        hasher.write_u32(request.cseq().map_or(0, |(number, _)| number));
        hasher.finish()
    }

    /// RFC 3261 §17.2.3: branch, sent-by and CSeq number; the method is left out, so that CANCEL finds its INVITE.
    fn transaction_key(&self, request: &Message<'_>) -> u64 {
        let mut hasher = FxBuildHasher.build_hasher();
        hasher.write_u64(self.salt.0);
        if let Some(via) = request.via() {
            hasher.write(via.branch().unwrap_or(b""));
            hasher.write(via.host);
            hasher.write_u16(via.port.unwrap_or(5060));
        }
        hasher.write(request.call_id().unwrap_or(b""));
        hasher.write_u32(request.cseq().map_or(0, |(number, _)| number));
        hasher.finish()
    }
}
