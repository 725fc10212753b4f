//! `hold` and `resume`, and the same wishes of the far end: what flows is changed while the call is up.

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::record::Party;
use crate::scenario::plan::{Direct, Step};
use crate::sip::exchange::Cause;
use crate::sip::message::Message;
use crate::sip::session::Response;

impl Leg {
    pub(in crate::call) fn begin_direct(&mut self, tools: &mut Tools<'_>, step: &Direct) -> Flowing {
        let Some(session) = self.session.filter(|_| self.up) else { return self.find_call_gone() };
        self.direction = step.direction;
        let sdp = self.write_offer(tools, 9);
        if !tools.endpoint.change(tools.now, session, &sdp, step.by) {
            return self.find_call_gone();
        }
        self.block(Phase::Directing, None)
    }

    /// The far end has answered what we wanted to change.
    pub(in crate::call) fn handle_changed(
        &mut self,
        tools: &mut Tools<'_>,
        (code, cause): (u16, Cause),
        message: Option<&Message<'_>>,
    ) {
        if !matches!(self.phase, Phase::Directing | Phase::Recovering) {
            return;
        }
        let answered = match message.and_then(Message::sdp).filter(|_| code < 300) {
            Some(answer) => self.start_media(tools, answer).and_then(|()| self.check_video(tools)),
            None if code < 300 => Err("the 2xx carries no SDP".to_owned()),
            None if cause == Cause::Response => Err(format!("it was refused with {code}")),
            None => Err("there was no answer".to_owned()),
        };
        let gone = matches!(code, 408 | 481) || cause != Cause::Response;
        if self.phase == Phase::Recovering {
            return self.recover_changed(tools, answered, gone);
        }
        if let Err(error) = answered {
            let of_video = matches!(tools.actor.steps.get(self.step), Some(Step::Video(_)));
            let what = if of_video { "video" } else { "hold or resume" };
            self.as_expected = Some(false);
            self.unmet.get_or_insert_with(|| format!("{what}: {error}"));
            if gone {
                // The endpoint ends a call that the far end knows nothing of.
                return self.await_our_bye(tools);
            }
            return self.wind_down(tools);
        }
        self.step_done(tools);
    }

    /// The session was not refreshed in time; the endpoint ends it.
    pub(in crate::call) fn handle_session_expired(&mut self, tools: &mut Tools<'_>) {
        self.facts.session_expired = true;
        self.await_our_bye(tools);
    }

    /// The endpoint has sent BYE of its own accord.
    pub(super) fn await_our_bye(&mut self, tools: &mut Tools<'_>) {
        self.up = false;
        self.ended_by(tools.now, Party::Us);
        self.stop_listening(tools);
        self.finish_media(tools);
        (self.deadline, self.cancel_at) = (None, None);
        self.phase = Phase::Closing;
    }

    /// A reliable provisional response of ours was never acknowledged; the call is refused and over.
    pub(in crate::call) fn handle_provisional_not_acknowledged(&mut self, tools: &mut Tools<'_>) {
        self.session = None;
        self.unmet.get_or_insert_with(|| "answer: our 18x was never acknowledged with PRACK".to_owned());
        self.note_refusal(tools.now, 504, "");
        self.wind_down(tools);
    }

    /// An INVITE, UPDATE or PRACK with an offer within the dialog: the same media goes on as the far end wants it.
    pub(in crate::call) fn answer_within(
        &mut self,
        tools: &mut Tools<'_>,
        message: Option<&Message<'_>>,
        invite: bool,
    ) {
        match message.and_then(Message::sdp) {
            Some(offer) => self.take_offer_within(tools, offer, invite),
            None => {
                let sdp = self.write_offer(tools, 9);
                self.respond_within(tools, (200, &sdp), invite);
            }
        }
    }

    /// Answers an offer within the dialog.
    pub(super) fn answer_offer_within(&mut self, tools: &mut Tools<'_>, offer: &[u8], invite: bool) {
        match self.write_answer(tools, offer) {
            Ok((sdp, agreed)) => {
                self.run_media(tools, &agreed);
                self.respond_within(tools, (200, &sdp), invite);
            }
            Err(_) => self.respond_within(tools, (488, b""), invite),
        }
    }

    fn respond_within(&mut self, tools: &mut Tools<'_>, (code, sdp): (u16, &[u8]), invite: bool) {
        let Some(session) = self.session else { return };
        let contact = tools.contact();
        let response = Response { code, contact: &contact, sdp, ..Response::default() };
        if invite {
            tools.endpoint.respond(tools.now, session, &response);
        } else {
            tools.endpoint.answer_offer(tools.now, session, &response);
        }
    }
}
