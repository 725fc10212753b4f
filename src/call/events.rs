//! Events of the SIP layer to the legs that they are about, and inbound calls to the legs that wait for them.

use std::time::Instant;

use super::callers::{Callers, Opening, owner_of};
use super::leg::{Leg, LegRef, Phase, Tools};
use crate::sip::endpoint::Event;
use crate::sip::exchange::Cause;
use crate::sip::flow::{Flow, LinkId};
use crate::sip::header;
use crate::sip::message::{Message, Start};
use crate::sip::outbox::Reply;
use crate::sip::token::Handle;
use crate::sip::uri::Uri;

impl Callers {
    pub(super) fn drain_endpoint(
        &mut self,
        now: Instant,
        flow: Option<Flow>,
        message: Option<&Message<'_>>,
    ) -> Option<u64> {
        let mut owner = None;
        while let Some(event) = self.endpoint.poll_event() {
            if let (Event::Registered { .. }, Some(flow), Some(message)) = (event, flow, message)
                && let Some(seconds) = message.header_by_name("Flow-Timer").and_then(header::number)
            {
                self.keep_alives.note_flow_timer(now, flow.link, seconds);
            }
            match event {
                Event::Invited { session } => owner = self.place_inbound(now, session, flow, message).or(owner),
                Event::RegisterReceived => {
                    if let (Some(flow), Some(message)) = (flow, message) {
                        self.endpoint.reply(flow, message, &Reply { code: 405, ..Reply::default() });
                    }
                }
                event => self.tell_leg(now, event, message),
            }
        }
        owner
    }

    pub(super) fn tell_leg(&mut self, now: Instant, event: Event, message: Option<&Message<'_>>) {
        let Some((handle, over)) = subject(event) else { return };
        if self.note_test_call(now, handle, event) || self.tell_standing(now, (handle, event), message) {
            return;
        }
        let route = if over { self.routes.remove(&handle) } else { self.routes.get(&handle).copied() };
        if let Event::Unserved { entry, code, cause } = event {
            let asked =
                |leg: &mut Leg, tools: &mut Tools<'_>| leg.handle_unserved(tools, entry, (code, cause), message);
            if !route.is_some_and(|me| self.with_leg(now, me, asked)) {
                self.endpoint.give_up(now, entry, code, cause);
            }
            return;
        }
        if let Event::TooLarge { entry } = event {
            let asked = |leg: &mut Leg, tools: &mut Tools<'_>| leg.handle_too_large(tools, entry);
            if !route.is_some_and(|me| self.with_leg(now, me, asked)) {
                self.endpoint.give_up(now, entry, 503, Cause::Transport);
            }
            return;
        }
        let Some(me) = route else { return };
        if let Event::Queried { bound, .. } = event {
            return self.note_query(now, me, bound);
        }
        self.with_leg(now, me, |leg, tools| match event {
            Event::Provisional { code, .. } => leg.handle_provisional(tools, code, message),
            Event::Answered { .. } => leg.handle_answered(tools, message),
            Event::AnsweredAfterCancel { .. } => leg.handle_answered_after_cancel(tools, message),
            Event::Refused { code, cause, .. } => leg.handle_refused(tools, code, cause, message),
            Event::Cancelled { .. } => leg.handle_cancelled(tools),
            Event::Acknowledged { .. } => leg.handle_acknowledged(tools, message),
            Event::NotAcknowledged { .. } => leg.handle_not_acknowledged(tools),
            Event::Reinvited { .. } => leg.answer_within(tools, message, true),
            Event::Offered { .. } => leg.answer_within(tools, message, false),
            Event::Changed { code, cause, .. } => leg.handle_changed(tools, (code, cause), message),
            Event::SessionExpired { .. } => leg.handle_session_expired(tools),
            Event::ProvisionalNotAcknowledged { .. } => leg.handle_provisional_not_acknowledged(tools),
            Event::Trickled { .. } => leg.handle_candidates(tools, message),
            Event::CandidatesAnswered { code, cause, .. } => leg.handle_candidates_answered((code, cause), message),
            Event::ByeReceived { .. } => leg.handle_bye(tools, message),
            Event::ByeAnswered { cause, .. } => leg.handle_bye_answered(tools, cause),
            Event::LinkLost { .. } => leg.handle_link_lost(tools),
            Event::Registered { expires, .. } => leg.handle_registered(tools, expires, message),
            Event::RegistrationFailed { code, cause, refresh, .. } => {
                leg.handle_registration_failed(tools, (code, cause, refresh), message);
            }
            Event::Unregistered { code, cause, .. } => leg.handle_unregistered(tools, (code, cause)),
            Event::Probed { alive, .. } => leg.alive = Some(alive),
            Event::OptionsAnswered { code, cause, .. } => leg.handle_options_answered(tools, code, cause, message),
            Event::Queried { .. }
            | Event::Invited { .. }
            | Event::RegisterReceived
            | Event::Unserved { .. }
            | Event::TooLarge { .. } => {}
        });
    }

    /// A call came in: the leg that waits for it, a new attempt where calls begin attempts, or a refusal.
    pub(super) fn place_inbound(
        &mut self,
        now: Instant,
        session: Handle,
        flow: Option<Flow>,
        message: Option<&Message<'_>>,
    ) -> Option<u64> {
        let (flow, invite) = (flow?, message?);
        if let Some(owner) = self.take_test_call(now, session, invite) {
            return Some(owner);
        }
        let waiting = self.find_waiting(flow, invite);
        let on_demand = matches!(self.config.plan.load.schedule, crate::pace::Schedule::OnDemand);
        let me = match waiting {
            Some(me) => me,
            None if on_demand && !self.over => {
                let n = self.starts.on_demand() + 1;
                let place = self.open_place(&Opening::of_load(n, now));
                self.start_due(now);
                LegRef { place, generation: self.places[place as usize].generation, actor: 0 }
            }
            None => return Some(self.refuse_stray(now, session, flow, invite)),
        };
        self.with_leg(now, me, |leg, tools| {
            leg.take_call(tools, session, flow, invite);
            if leg.phase == Phase::New {
                leg.advance(tools);
            }
        });
        let n = self.places[me.place as usize].n;
        (n != 0).then(|| owner_of(n, me.actor))
    }

    /// The leg that waits for this call: by the header that pairs both legs, else by the account that was called.
    pub(super) fn find_waiting(&mut self, flow: Flow, invite: &Message<'_>) -> Option<LegRef> {
        let called = match invite.start() {
            Start::Request { uri, .. } => Uri::parse(uri).map(|uri| header::text(uri.user)),
            Start::Response { .. } => None,
        };
        let mut awaiting = std::mem::take(&mut self.awaiting);
        awaiting.retain(|me| self.leg(*me).is_some_and(|leg| leg.phase == Phase::AwaitingCall));
        let candidates = awaiting.iter().filter_map(|me| {
            let leg = self.leg(*me)?;
            let target = &self.config.plan.actors[usize::from(me.actor)].target;
            let name = target.pairing_header.as_deref();
            let score = match (name.and_then(|name| invite.header_by_name(name)), self.whose_at(*me, leg).account) {
                (Some(paired), _) if self.attempt_of(paired) == Some(self.places[me.place as usize].n) => 2,
                (Some(_), _) => 0,
                // Of several devices of the account the one that was called is at the other end of the connection.
                (None, Some(account)) if called.as_deref() == Some(account.user.as_str()) => 1,
                (None, Some(_)) => 0,
                (None, None) => 1,
            };
            let own = leg.registration.and_then(|registration| self.endpoint.flow(registration));
            let by_own = own.is_some_and(|own| own.link == flow.link);
            (score > 0).then_some(((score, by_own), *me))
        });
        let found = candidates.max_by_key(|(score, me)| (*score, std::cmp::Reverse(me.place))).map(|(_, me)| me);
        self.awaiting = awaiting;
        found
    }

    /// The attempt of this run that a `call_id` is of.
    pub(super) fn attempt_of(&self, call_id: &[u8]) -> Option<u64> {
        let rest = call_id.strip_prefix(self.config.run_id.as_bytes())?.strip_prefix(b"-")?;
        let digits = rest.split(|byte| *byte == b'-').next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    }

    pub(super) fn leg(&self, me: LegRef) -> Option<&Leg> {
        let place = self.places.get(me.place as usize).filter(|place| place.generation == me.generation)?;
        place.legs.get(place.index_of(me.actor)?)
    }

    pub(super) fn legs_waiting_for(&mut self, link: LinkId) -> Vec<LegRef> {
        let mut waiting = self.opening.remove(&link).unwrap_or_default();
        let waits = |leg: &Leg| leg.is_opening(link) || leg.registrar_link() == Some(link);
        waiting.retain(|me| self.leg(*me).is_some_and(waits));
        waiting
    }
}

/// Whom an event is about, and whether nothing more will come of it.
fn subject(event: Event) -> Option<(Handle, bool)> {
    Some(match event {
        Event::Provisional { session, .. }
        | Event::Answered { session }
        | Event::AnsweredAfterCancel { session }
        | Event::Acknowledged { session }
        | Event::NotAcknowledged { session }
        | Event::Reinvited { session }
        | Event::Offered { session }
        | Event::Changed { session, .. }
        | Event::Probed { session, .. }
        | Event::Trickled { session }
        | Event::CandidatesAnswered { session, .. }
        | Event::SessionExpired { session } => (session, false),
        Event::Refused { session, .. }
        | Event::Cancelled { session }
        | Event::ProvisionalNotAcknowledged { session }
        | Event::ByeReceived { session }
        | Event::ByeAnswered { session, .. }
        | Event::LinkLost { session } => (session, true),
        Event::Registered { registration, .. } | Event::Queried { registration, .. } => (registration, false),
        Event::RegistrationFailed { registration, .. } | Event::Unregistered { registration, .. } => {
            (registration, true)
        }
        Event::OptionsAnswered { request, .. } => (request, true),
        Event::Unserved { entry, .. } | Event::TooLarge { entry } => (entry, false),
        Event::Invited { .. } | Event::RegisterReceived => return None,
    })
}
