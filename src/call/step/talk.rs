//! `talk`, `wait`, `hold_open` and `hangup`: what happens while a call is up, and how it ends.

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::call::observe;
use crate::media::Source;
use crate::record::Party;
use crate::scenario::plan::{Check, Step, Talk};
use crate::sip::exchange::Cause;
use crate::sip::message::Message;

impl Leg {
    pub(in crate::call) fn begin_talk(&mut self, tools: &mut Tools<'_>, step: &Talk) -> Flowing {
        if !self.up {
            return self.find_call_gone();
        }
        self.talking_since = Some(tools.now);
        self.set_source(tools, step.send);
        self.block(Phase::Talking, step.duration.map(|length| tools.now + self.drawn(tools, &length)))
    }

    pub(in crate::call) fn begin_hold_open(&mut self, tools: &Tools<'_>) -> Flowing {
        let registered = self.registered && self.session.is_none();
        if !self.up && !registered {
            return self.find_call_gone();
        }
        if tools.letting_go {
            return Flowing::Next;
        }
        self.block(Phase::HoldingOpen, None)
    }

    pub(in crate::call) fn begin_hangup(&mut self, tools: &mut Tools<'_>) -> Flowing {
        if !self.up {
            return self.find_call_gone();
        }
        self.hang_up(tools);
        self.block(Phase::HangingUp, None)
    }

    /// A step needs a call that is not there any more (or, after an expected refusal, never was).
    pub(in crate::call) fn find_call_gone(&mut self) -> Flowing {
        if self.facts.ended.is_some_and(|ended| ended.by == Party::FarEnd) {
            self.facts.ended_early = true;
        }
        Flowing::Over
    }

    fn set_source(&mut self, tools: &mut Tools<'_>, source: Source) {
        let now = tools.now;
        if let Some(port) = self.port {
            tools.streams.with_session(port, |session| session.set_source(source, now));
        }
        self.set_video_source(tools, source);
    }

    /// A talk step has ended: its time counts as listened.
    pub(in crate::call) fn stop_listening(&mut self, tools: &Tools<'_>) {
        if let Some(since) = self.talking_since.take() {
            self.listened += tools.now.saturating_duration_since(since);
        }
    }

    /// The deadline of the phase has come.
    pub(in crate::call) fn handle_deadline(&mut self, tools: &mut Tools<'_>) {
        let given_up = self.cancel_at.is_some_and(|at| at <= tools.now);
        let due = self.deadline.is_some_and(|at| at <= tools.now);
        let overdue = self.recovery_deadline().is_some_and(|until| until <= tools.now);
        if !given_up && !due && !overdue {
            return;
        }
        if overdue {
            return self.fail_recovery(tools);
        }
        match self.phase {
            Phase::Dialling => self.give_up(tools),
            Phase::Disturbed => self.come_back(tools),
            Phase::OpeningLink => {
                (self.deadline, self.cancel_at) = (None, None);
                self.give_up_unserved(tools);
            }
            Phase::Talking => {
                self.stop_listening(tools);
                self.step_done(tools);
            }
            Phase::Pausing => self.step_done(tools),
            Phase::Pressing => self.finish_dtmf(tools),
            Phase::BackingOff => self.register_again(tools),
            Phase::AwaitingCall => self.find_no_call(tools),
            Phase::Ringing => self.answer_now(tools),
            Phase::Checking => self.fail_check(tools),
            Phase::Asking => self.miss_answer(tools),
            _ => (self.deadline, self.cancel_at) = (None, None),
        }
    }

    /// The far end hung up; 200 is sent.
    pub(in crate::call) fn handle_bye(&mut self, tools: &mut Tools<'_>, message: Option<&Message<'_>>) {
        self.note_forks(tools);
        self.session = None;
        self.up = false;
        self.ended_by(tools.at, Party::FarEnd);
        if let Some(message) = message {
            observe::reason(&mut self.facts, message);
        }
        self.stop_listening(tools);
        self.finish_media(tools);
        if self.is_recovering() && self.recover_ended(tools) {
            return;
        }
        match (self.phase, tools.actor.steps.get(self.step)) {
            // Talking until the far end hangs up, and it did.
            (Phase::Talking, Some(Step::Talk(Talk { duration: None, .. }))) => {
                self.facts.end_awaited = true;
                self.step_done(tools);
            }
            (Phase::Checking, Some(Step::Expect(Check::EndedBy { party: Party::FarEnd, .. }))) => {
                self.facts.end_awaited = true;
                self.pass_check();
                self.step_done(tools);
            }
            // The steps after a pause, or after a request that has nothing to do with the call, say whether it was
            // still needed; keys may have done what they were pressed for.
            (Phase::Pausing | Phase::Pressing | Phase::Registering | Phase::Pinging | Phase::Asking, _) => {}
            (Phase::Closing | Phase::HangingUp | Phase::Unregistering | Phase::Done, _) => {}
            _ => {
                self.facts.ended_early = !self.stopping;
                self.wind_down(tools);
            }
        }
    }

    /// Our BYE has its answer, or will have none.
    pub(in crate::call) fn handle_bye_answered(&mut self, tools: &mut Tools<'_>, cause: Cause) {
        self.session = None;
        if cause == Cause::Response {
            self.facts.moments.bye_answered = Some(tools.at);
        }
        match self.phase {
            Phase::HangingUp => self.step_done(tools),
            Phase::Closing => self.wind_down(tools),
            _ => {}
        }
    }

    /// The connection under an established call broke.
    pub(in crate::call) fn handle_link_lost(&mut self, tools: &mut Tools<'_>) {
        self.session = None;
        self.up = false;
        self.ended_by(tools.now, Party::FarEnd);
        self.facts.ended_early = true;
        self.lose_link(tools.fault.clone());
        self.stop_listening(tools);
        self.finish_media(tools);
        self.wind_down(tools);
    }
}
