//! What is recorded beside the attempts of the plan: inbound calls that nothing waited for (refused with 480), and
//! standing registrations that were lost or made again.

use std::sync::Arc;
use std::time::Instant;

use super::callers::Callers;
use super::observe;
use super::registering::STANDING_OWNER;
use super::report::{Finished, Report};
use super::standing::{Failure, Seat};
use super::step::sent_response;
use crate::record::{
    CallRecord, Direction, Facts, Identity, MediaFigures, Moments, Origin, Outcome, RegistrationFacts,
    RegistrationRecord, Role,
};
use crate::sip::endpoint::Event;
use crate::sip::exchange::Cause;
use crate::sip::flow::Flow;
use crate::sip::header;
use crate::sip::message::{Message, Start};
use crate::sip::session::Response;
use crate::sip::token::Handle;
use crate::sip::uri::Uri;

/// Their numbers for the endpoint and the evidence lie beyond those of attempts.
const BESIDE: u64 = 1 << 63;
/// The called account is not available here: temporarily unavailable (RFC 3261 §21.4.18).
const REFUSAL: u16 = 480;

impl Callers {
    /// Refuses an inbound call that nothing waits for, and records it. Its number for the evidence.
    pub(super) fn refuse_stray(&mut self, now: Instant, session: Handle, flow: Flow, invite: &Message<'_>) -> u64 {
        let user = |uri: &[u8]| Uri::parse(uri).map(|uri| header::text(uri.user));
        let called = match invite.start() {
            Start::Request { uri, .. } => user(uri),
            Start::Response { .. } => None,
        };
        let actor = self.actor_of(called.as_deref());
        let target = &self.config.plan.actors[actor].target;
        let paired_with = target.pairing_header.as_deref().and_then(|name| invite.header_by_name(name));
        let identity = Identity {
            role: Role::Callee,
            direction: Direction::Inbound,
            transport: self.endpoint.transport(flow.link).map(|transport| transport.to_string()),
            from: invite.from().and_then(|from| user(from.uri)),
            to: called.or_else(|| invite.to().and_then(|to| user(to.uri))),
            sip_call_ids: self.endpoint.call_id(session).into_iter().collect(),
            paired_with: paired_with.map(header::text),
            ..self.identity_beside(actor, "stray")
        };
        let owner = BESIDE | self.beside;
        self.endpoint.adopt(session, owner, None);
        self.endpoint.respond(now, session, &Response { code: REFUSAL, ..Response::default() });
        let at = self.arrived.unwrap_or(now);
        let moments = Moments {
            started: Some(at),
            invite: Some(at),
            status: Some(now),
            finished: Some(now),
            ended: Some(now),
            ..Moments::default()
        };
        let response = Some(sent_response(REFUSAL, ""));
        self.report_beside(identity, &Facts { moments, response, unexpected: true, ..Facts::default() }, owner);
        owner
    }

    /// A standing registration was lost.
    pub(super) fn record_loss(&mut self, now: Instant, seat: Seat, registration: Handle) {
        let Some(standing) = &self.standing[usize::from(seat.actor)] else { return };
        let Some(Failure::Registrar(facts)) = standing.failure.clone() else { return };
        // Where the transport failed, how.
        let by_transport = facts.response.origin == Origin::Local && facts.response.code == 503;
        let reason_text = self.fault.text.clone().filter(|_| by_transport).map(Box::from);
        let facts = Facts { registration: Some(Box::new(facts)), reason_text, ..Facts::default() };
        self.record_standing(now, seat, registration, facts);
    }

    /// A standing registration stands again.
    pub(super) fn record_return(
        &mut self,
        now: Instant,
        seat: Seat,
        (event, since): (Event, Instant),
        message: Option<&Message<'_>>,
    ) {
        let Event::Registered { registration: handle, asked, .. } = event else { return };
        let registration = RegistrationFacts {
            response: observe::final_response(200, Cause::Response, message),
            delay: now.saturating_duration_since(asked),
            expires: None,
            challenged_again: false,
            refresh: true,
        };
        let away = now.saturating_duration_since(since).as_secs_f64();
        let reason_text = Some(format!("registered again after {away:.1} s").into());
        let facts = Facts { registration: Some(Box::new(registration)), reason_text, ..Facts::default() };
        self.record_standing(now, seat, handle, facts);
    }

    fn record_standing(&mut self, now: Instant, seat: Seat, registration: Handle, mut facts: Facts) {
        let actor = usize::from(seat.actor);
        facts.moments.started = Some(now);
        facts.moments.ended = Some(now);
        let plan = Arc::clone(&self.config.plan);
        let (Some(pool), Some(standing)) = (self.pools[actor], &self.standing[actor]) else { return };
        let account = self.accounts[pool].get(standing.get(seat.index as usize).account()).clone();
        let identity = Identity {
            role: Role::Registration,
            agent: Some(account.user.clone()),
            account: Some(account.user),
            unit: account.unit,
            transport: plan.actors[actor].target.server.transport.map(|transport| transport.to_string()),
            sip_call_ids: [self.endpoint.registration_call_id(registration)].into_iter().collect(),
            ..self.identity_beside(actor, "standing")
        };
        self.report_beside(identity, &facts, STANDING_OWNER);
    }

    /// What is known of something beside the attempts; it counts as one more.
    fn identity_beside(&mut self, actor: usize, kind: &str) -> Identity {
        let plan = &self.config.plan;
        let (first, step) = self.config.share;
        let number = first + self.beside * step + 1;
        self.beside += 1;
        Identity {
            call_id: format!("{}-{kind}{number:06}", self.config.run_id),
            scenario: plan.scenario.clone(),
            target: plan.actors[actor].target.name.clone(),
            site: self.config.site.clone(),
            probe: self.config.probe.clone(),
            ..Identity::default()
        }
    }

    fn report_beside(&mut self, identity: Identity, facts: &Facts, owner: u64) {
        let outcome = Outcome::of(identity.role, facts, None);
        let record = CallRecord::new(identity, facts, MediaFigures::default(), &outcome, &self.config.anchor);
        let registration = RegistrationRecord::of(&record, facts);
        let answered = self.hops.any_answered();
        let finished = Finished { record, registration, primary: false, beside: true, owner, answered };
        self.reports.push_back(Report::Finished(Box::new(finished)));
    }

    /// The actor that has the called account, else the first.
    fn actor_of(&self, called: Option<&str>) -> usize {
        let has = |pool: Option<&crate::scenario::plan::Pool>| {
            pool.is_some_and(|pool| pool.accounts.iter().any(|account| Some(account.user.as_str()) == called))
        };
        self.config.plan.actors.iter().position(|actor| has(actor.pool.as_deref())).unwrap_or(0)
    }
}
