//! `answer`: an inbound call, taken or refused.

use std::time::{Duration, Instant};

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::record::{Ended, FinalResponse, Origin, Party};
use crate::scenario::plan::{Answer, MediaMode, Step};
use crate::sip::flow::Flow;
use crate::sip::header;
use crate::sip::message::Message;
use crate::sip::session::Response;
use crate::sip::token::Handle;
use crate::sip::uri::Uri;
use crate::sip::write;

impl Leg {
    pub(in crate::call) fn begin_answer(&mut self, tools: &mut Tools<'_>, step: &Answer) -> Flowing {
        self.facts.awaited_inbound = true;
        match self.session {
            // `ringfleet answer`: the call that began the attempt is there already.
            Some(_) => self.ring(tools, step),
            None => self.block(Phase::AwaitingCall, Some(tools.now + step.within)),
        }
    }

    /// An inbound call is this leg's.
    pub(in crate::call) fn take_call(
        &mut self,
        tools: &mut Tools<'_>,
        session: Handle,
        flow: Flow,
        invite: &Message<'_>,
    ) {
        self.session = Some(session);
        self.flow = Some(flow);
        self.marks.transport = tools.endpoint.transport(flow.link);
        self.offer_was_theirs = true;
        self.offer = invite.sdp().map(Box::from);
        self.note_asked(invite);
        tools.endpoint.adopt(session, tools.owner, tools.login.cloned());
        tools.routes.insert(session, tools.me);
        self.facts.moments.invite.get_or_insert(tools.at);
        self.marks.sip_call_ids.extend(tools.endpoint.call_id(session).map(String::into_boxed_str));
        let user = |uri: &[u8]| Uri::parse(uri).map(|uri| header::text(uri.user));
        self.marks.from = invite.from().and_then(|from| user(from.uri)).map(smol_str::SmolStr::from);
        self.marks.to = invite.to().and_then(|to| user(to.uri)).map(smol_str::SmolStr::from);
        if let Some(name) = &tools.actor.target.pairing_header {
            self.marks.paired_with = invite.header_by_name(name).map(header::text).map(Box::from);
        }
        if let (Phase::AwaitingCall, Some(Step::Answer(step))) = (self.phase, tools.actor.steps.get(self.step)) {
            let flowing = self.ring(tools, step);
            self.go_on(tools, flowing);
        }
    }

    fn ring(&mut self, tools: &mut Tools<'_>, step: &Answer) -> Flowing {
        let Some(session) = self.session else { return Flowing::Over };
        if !tools.endpoint.speak(tools.now, session, self.speaks(tools, step.speaks)) {
            self.session = None;
            self.unmet.get_or_insert_with(|| {
                "answer: the caller does not speak what `100rel` or `session_timer` wants".to_owned()
            });
            self.note_refusal(tools.now, 421, "");
            return Flowing::Over;
        }
        let contact = tools.contact();
        if step.ring {
            let ringing = Response { code: 180, contact: &contact, ..Response::default() };
            tools.endpoint.respond(tools.now, session, &ringing);
            self.facts.moments.ringing.get_or_insert(tools.now);
            self.facts.moments.status.get_or_insert(tools.now);
        } else if !step.after.is_zero() {
            // RFC 3261 §17.2.1: a caller that hears nothing for 200 ms sends its INVITE again.
            tools.endpoint.respond(tools.now, session, &Response { code: 100, ..Response::default() });
        }
        self.direction = step.direction;
        self.block(Phase::Ringing, Some(self.page_timer(tools.now + step.after)))
    }

    /// The moment to answer has come.
    pub(in crate::call) fn answer_now(&mut self, tools: &mut Tools<'_>) {
        let Some(Step::Answer(step)) = tools.actor.steps.get(self.step) else { return };
        self.deadline = None;
        if let Some(reject) = &step.reject {
            let headers = reject.headers();
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let phrase = reject.reason.as_deref().unwrap_or("");
            self.send_refusal(tools, reject.code, phrase, &headers);
            self.as_expected = Some(self.as_expected != Some(false));
            self.facts.q850 = reject.q850;
            return self.step_done(tools);
        }
        if step.media == MediaMode::Audio {
            self.open_port(tools);
            self.phase = Phase::OpeningAnswerPort;
        } else {
            self.accept(tools);
        }
    }

    /// The RTP port is open, or none is needed: the 200 goes out.
    pub(in crate::call) fn accept(&mut self, tools: &mut Tools<'_>) {
        let Some(session) = self.session else { return };
        if self.wants_peer(tools) && self.gather(tools, self.offer.is_none()) {
            return;
        }
        let (sdp, agreed) = match self.offer.take() {
            // The offer is ours then (RFC 3261 §13.3.1); the ACK has the answer.
            None => (self.write_offer(tools, 9), None),
            Some(offer) => match self.write_answer(tools, &offer) {
                Ok((sdp, agreed)) => (sdp, Some(agreed)),
                Err(error) => {
                    self.facts.bad_answer = Some(error.into());
                    return self.refuse_call(tools, 488);
                }
            },
        };
        let contact = tools.contact();
        tools.endpoint.respond(
            tools.now,
            session,
            &Response { code: 200, contact: &contact, sdp: &sdp, ..Response::default() },
        );
        let moments = &mut self.facts.moments;
        moments.status.get_or_insert(tools.now);
        moments.answered.get_or_insert(tools.now);
        moments.finished.get_or_insert(tools.now);
        self.facts.response = Some(sent_response(200, ""));
        if let Some(agreed) = agreed {
            self.run_media(tools, &agreed);
        }
        self.up = true;
        self.phase = Phase::AwaitingAck;
    }

    /// Refuses a call that was this leg's.
    pub(in crate::call) fn refuse_call(&mut self, tools: &mut Tools<'_>, code: u16) {
        self.send_refusal(tools, code, "", &[]);
        self.wind_down(tools);
    }

    fn send_refusal(&mut self, tools: &mut Tools<'_>, code: u16, reason: &str, headers: &[(&str, &str)]) {
        let Some(session) = self.session.take() else { return };
        tools.endpoint.respond(tools.now, session, &Response { code, reason, headers, ..Response::default() });
        self.note_refusal(tools.now, code, reason);
    }

    pub(in crate::call) fn note_refusal(&mut self, now: Instant, code: u16, reason: &str) {
        self.facts.moments.status.get_or_insert(now);
        self.facts.moments.finished.get_or_insert(now);
        self.facts.response = Some(sent_response(code, reason));
    }

    /// ACK: the call is up on both sides.
    pub(in crate::call) fn handle_acknowledged(&mut self, tools: &mut Tools<'_>, message: Option<&Message<'_>>) {
        if let Some(answer) = message.and_then(Message::sdp)
            && let Err(error) = self.start_media(tools, answer)
        {
            self.facts.bad_answer = Some(error.into());
        }
        if self.phase == Phase::AwaitingAck {
            if self.facts.local_failure.is_some() {
                return self.wind_down(tools);
            }
            self.step_done(tools);
        }
    }

    /// The caller gave up before we answered.
    pub(in crate::call) fn handle_cancelled(&mut self, tools: &mut Tools<'_>) {
        self.session = None;
        self.facts.moments.finished.get_or_insert(tools.now);
        self.facts.response = Some(sent_response(487, ""));
        self.facts.ended = Some(Ended { by: Party::FarEnd, after: Duration::ZERO });
        self.wind_down(tools);
    }

    /// Our 200 was never acknowledged; the endpoint ends the call.
    pub(in crate::call) fn handle_not_acknowledged(&mut self, tools: &mut Tools<'_>) {
        self.up = false;
        self.ended_by(tools.now, Party::Us);
        self.phase = Phase::Closing;
        self.unmet.get_or_insert_with(|| "answer: our 200 was never acknowledged".to_owned());
    }

    /// No call came in time.
    pub(in crate::call) fn find_no_call(&mut self, tools: &mut Tools<'_>) {
        if let Some(Step::Answer(Answer { optional: true, .. })) = tools.actor.steps.get(self.step) {
            self.facts.awaited_inbound = false;
            return self.wind_down(tools);
        }
        self.unmet.get_or_insert_with(|| "answer: no call came in".to_owned());
        self.wind_down(tools);
    }
}

/// A final response that we sent: its origin is this side.
pub(in crate::call) fn sent_response(code: u16, reason: &str) -> FinalResponse {
    let reason = if reason.is_empty() { write::reason_phrase(code) } else { reason };
    FinalResponse { code, origin: Origin::Local, reason: reason.to_owned(), retry_after: None }
}
