//! `dtmf`: keys are pressed, and `expect: { dtmf_heard: … }`: keys are waited for.

use std::time::Duration;

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::media::dtmf::{Keys, PACKET, Press, Way};
use crate::media::session::DtmfReport;
use crate::scenario::plan::{Check, Dtmf, Step, WantedKeys};

/// Keys of a call, as its steps count them.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::call) struct LegDtmf {
    /// Keys that steps have pressed.
    pressed: usize,
    /// Keys that were heard and that a step expected.
    checked: usize,
}

impl Leg {
    pub(in crate::call) fn begin_dtmf(&mut self, tools: &mut Tools<'_>, step: &Dtmf) -> Flowing {
        if !self.up {
            return self.find_call_gone();
        }
        let mut begun = None;
        if let Some(port) = self.port {
            let now = tools.now;
            tools.streams.with_session(port, |session| {
                let by_itself = if session.takes_events() { Way::Event } else { Way::Inband };
                let press = Press { way: step.by.unwrap_or(by_itself), ..step.press };
                begun = Some(session.press(press, now).then(|| press.length()));
            });
        }
        let length = match begun {
            None => return self.miss_keys("dtmf: the call has no audio of ours to press keys in"),
            Some(None) => return self.miss_keys("dtmf: the far end takes no telephone events"),
            Some(Some(length)) => length,
        };
        self.dtmf.get_or_insert_default().pressed += step.press.keys.len();
        // The first point of the grid is less than a packet away.
        self.block(Phase::Pressing, Some(tools.now + length + PACKET))
    }

    /// All keys should be out.
    pub(in crate::call) fn finish_dtmf(&mut self, tools: &mut Tools<'_>) {
        self.deadline = None;
        if let Some(port) = self.port {
            let now = tools.now;
            // What is due in this turn goes out first.
            tools.streams.with_session(port, |session| session.handle_timeout(now));
        }
        let pressed = self.dtmf.as_ref().map_or(0, |keys| keys.pressed);
        let sent = self.known_keys(tools).sent.map_or(0, |keys| keys.len());
        if sent < pressed.min(Keys::MOST) {
            let flowing = self.miss_keys(&format!("dtmf: {sent} of {pressed} keys were sent"));
            return self.go_on(tools, flowing);
        }
        self.step_done(tools);
    }

    /// Keys did not go out: later steps would wait for what they bring.
    fn miss_keys(&mut self, text: &str) -> Flowing {
        self.miss(text);
        if self.up { Flowing::Over } else { self.find_call_gone() }
    }

    /// What is known of keys of the call, which may be over.
    fn known_keys(&self, tools: &Tools<'_>) -> DtmfReport {
        let running = self.port.and_then(|port| tools.streams.dtmf(port));
        running.or_else(|| self.figures.as_ref().map(|figures| figures.dtmf)).unwrap_or_default()
    }

    /// Whether the keys that a step expects have come; `None` while they may.
    fn judge_keys(&self, tools: &Tools<'_>, wanted: &WantedKeys) -> Option<bool> {
        let checked = self.dtmf.as_ref().map_or(0, |keys| keys.checked);
        let heard = self.known_keys(tools).heard.unwrap_or_default().since(checked);
        if heard == wanted.keys {
            return Some(true);
        }
        (!heard.is_start_of(&wanted.keys)).then_some(false)
    }

    pub(in crate::call) fn begin_keys_check(
        &mut self,
        tools: &mut Tools<'_>,
        wanted: &WantedKeys,
        within: Duration,
    ) -> Flowing {
        match self.judge_keys(tools, wanted) {
            Some(true) => {
                self.take_keys(wanted);
                Flowing::Next
            }
            Some(false) => {
                self.miss_heard(tools, wanted);
                Flowing::Over
            }
            None if !self.up => {
                self.miss_heard(tools, wanted);
                self.find_call_gone()
            }
            None => {
                self.await_key(tools);
                self.block(Phase::Checking, Some(tools.now + within))
            }
        }
    }

    /// One more key was heard.
    pub(in crate::call) fn handle_key(&mut self, tools: &mut Tools<'_>) {
        let Some(Step::Expect(Check::Heard { wanted, .. })) = tools.actor.steps.get(self.step) else { return };
        if self.phase != Phase::Checking {
            return;
        }
        match self.judge_keys(tools, wanted) {
            Some(true) => {
                self.take_keys(wanted);
                self.step_done(tools);
            }
            Some(false) => {
                self.miss_heard(tools, wanted);
                self.wind_down(tools);
            }
            None => self.await_key(tools),
        }
    }

    /// The keys that a step waited for have not come.
    pub(in crate::call) fn miss_heard(&mut self, tools: &Tools<'_>, wanted: &WantedKeys) {
        let checked = self.dtmf.as_ref().map_or(0, |keys| keys.checked);
        let heard = self.known_keys(tools).heard.map(|keys| keys.since(checked));
        self.miss(format!("expect: {}", wanted.mismatch(heard)));
    }

    fn take_keys(&mut self, wanted: &WantedKeys) {
        self.dtmf.get_or_insert_default().checked += wanted.keys.len();
        self.pass_check();
    }

    fn await_key(&self, tools: &mut Tools<'_>) {
        if let Some(port) = self.port {
            tools.streams.await_key(port);
        }
    }
}
