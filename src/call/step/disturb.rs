//! `network_change`, `reload`, `frozen`, `sleep`, `offline`, `throttled`: an agent is disturbed on purpose, comes back, and
//! how long that takes is measured.
//!
//! ```text
//! Away ─time─► Link ─connected─► Register ─200─► Call ─re-INVITE answered─► Audio ─RTP─► done
//!                                                  └─call placed again ─200─► done
//! ```
//!
//! | what | begins at | what is left of the page |
//! |---|---|---|
//! | `network_change` | Call, or Link with `reconnect` | everything; its connection is cut |
//! | `reload` | Link | nothing |
//! | `frozen`, `sleep` | Away, then Register; Link where the server has closed | everything; what arrives waits |
//! | `offline` | Away, then Link | everything; its connection is cut |
//!
//! What fails is tried again at whole multiples of `retry` from the disturbance on, until `within` is over.

mod back;

use std::time::{Duration, Instant};

use smallvec::SmallVec;

use crate::call::hushed::Manner;
use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::call::reach::Reach;
use crate::record::{FinalResponse, Recovery};
use crate::scenario::plan::{Disturb, Disturbance};
use crate::sip::flow::{Flow, LinkId};

/// How often timers of a page in the background fire.
const THROTTLED: Duration = Duration::from_secs(60);

/// An agent that is disturbed, or on its way back.
#[derive(Debug)]
pub(in crate::call) struct Recovering {
    what: Disturbance,
    /// From when on it is to work again.
    since: Instant,
    /// By when it has to.
    until: Instant,
    retry: Duration,
    stage: Stage,
    /// Tries so far, the one at hand included.
    tries: u32,
    /// It was registered by a step.
    registers: bool,
    /// The call goes on from another address.
    moves: bool,
    /// The connection that is gone or cut, as long as the call and the binding are over it.
    old: Option<LinkId>,
    /// Connections that nothing is over any more.
    dead: SmallVec<[LinkId; 1]>,
    /// The connection whose loss is ours to deal with.
    watched: Option<LinkId>,
    /// What refused the last try.
    refusal: Option<FinalResponse>,
}

/// What an agent on its way back is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Away,
    Link,
    Register,
    Call,
    Audio,
}

impl Leg {
    pub(in crate::call) fn begin_disturb(&mut self, tools: &mut Tools<'_>, step: &Disturb) -> Flowing {
        if self.recovering.is_some() {
            // The connection that it waited for is open, or could not be opened.
            return self.recover(tools);
        }
        let network = matches!(step.what, Disturbance::NetworkChange { .. });
        if network && (!self.up || self.session.is_none()) {
            return self.find_call_gone();
        }
        let entry = self.session.or(self.registration);
        let Some(flow) = entry.and_then(|entry| tools.endpoint.flow(entry)).or(self.flow) else {
            self.unmet.get_or_insert_with(|| format!("{}: the agent is not connected", step.what.name()));
            return Flowing::Over;
        };
        let since = tools.now + step.lasts;
        self.flow = Some(flow);
        self.recovering = Some(Box::new(Recovering {
            what: step.what,
            since,
            until: since + step.within,
            retry: step.retry,
            stage: Stage::Away,
            tries: 1,
            registers: self.registered && self.registration.is_some(),
            moves: network,
            old: None,
            dead: SmallVec::new(),
            watched: None,
            refusal: None,
        }));
        match step.what {
            Disturbance::NetworkChange { reconnect: false } => self.at_stage(Stage::Call),
            Disturbance::NetworkChange { reconnect: true } => {
                self.cut(tools, flow.link);
                self.at_stage(Stage::Link);
            }
            Disturbance::Reload => {
                self.drop_page(tools, flow.link);
                self.at_stage(Stage::Link);
            }
            Disturbance::Offline => {
                self.cut(tools, flow.link);
                self.mute(tools, true);
            }
            Disturbance::Frozen | Disturbance::Sleep => self.fall_asleep(tools, flow.link, step.what),
        }
        if since > tools.now {
            return self.block(Phase::Disturbed, Some(since));
        }
        self.recover(tools)
    }

    pub(in crate::call) fn begin_throttle(&mut self, tools: &Tools<'_>, lasts: Duration) -> Flowing {
        self.throttled = Some(Box::new((tools.now, tools.now + lasts)));
        Flowing::Next
    }

    /// When a timer of the page fires that is set to this moment.
    pub(in crate::call) fn page_timer(&self, at: Instant) -> Instant {
        let Some((since, until)) = self.throttled.as_deref().copied().filter(|(_, until)| at < *until) else {
            return at;
        };
        let after = at.saturating_duration_since(since).as_nanos().div_ceil(THROTTLED.as_nanos());
        (since + THROTTLED * after as u32).min(until)
    }

    /// Whether the leg is disturbed or on its way back.
    pub(in crate::call) fn is_recovering(&self) -> bool {
        self.recovering.is_some()
    }

    /// The connection of an agent whose time away is over now.
    pub(in crate::call) fn wakes_on(&self, now: Instant) -> Option<LinkId> {
        let recovering = self.recovering.as_deref().filter(|it| it.stage == Stage::Away && it.since <= now)?;
        recovering.watched
    }

    /// By when the agent has to work again.
    pub(in crate::call) fn recovery_deadline(&self) -> Option<Instant> {
        self.recovering.as_deref().map(|recovering| recovering.until)
    }

    /// The next moment of an agent on its way back has come: the end of its time away, or of a wait.
    pub(in crate::call) fn come_back(&mut self, tools: &mut Tools<'_>) {
        self.deadline = None;
        if let Some(recovering) = &mut self.recovering
            && recovering.stage == Stage::Away
        {
            let what = recovering.what;
            recovering.stage = if recovering.old.is_some() { Stage::Link } else { Stage::Register };
            if what != Disturbance::Offline {
                self.mute(tools, false);
                self.keep_alive(tools);
            }
        }
        let flowing = self.recover(tools);
        self.go_on(tools, flowing);
    }

    fn recover(&mut self, tools: &mut Tools<'_>) -> Flowing {
        loop {
            let Some(recovering) = self.recovering.as_deref() else { return Flowing::Next };
            let (what, moves) = (recovering.what, recovering.moves);
            match recovering.stage {
                Stage::Away => return Flowing::Blocked,
                Stage::Link => match self.regain(tools) {
                    Reach::Open(flow) => self.take_way(tools, flow),
                    Reach::Opening => return Flowing::Blocked,
                    Reach::Nowhere => return self.try_later(tools),
                },
                Stage::Register if recovering.registers => return self.register_anew(tools),
                Stage::Register => {
                    self.leave_old(tools);
                    self.at_stage(Stage::Call);
                }
                Stage::Call if what == Disturbance::Reload => {
                    let Some(step) = self.dialled_step(tools) else { return self.recovered(tools) };
                    let trunk = step.trunk.as_deref();
                    if tools.back_off.until(tools.now, tools.me.actor.into(), trunk).is_some() {
                        return self.try_later(tools);
                    }
                    return self.begin_dial(tools, step);
                }
                Stage::Call if !self.up || self.session.is_none() => return self.recovered(tools),
                Stage::Call if !moves => self.at_stage(Stage::Audio),
                Stage::Call => return self.move_media(tools),
                Stage::Audio => return self.await_audio(tools),
            }
        }
    }

    fn at_stage(&mut self, stage: Stage) {
        if let Some(recovering) = &mut self.recovering {
            recovering.stage = stage;
        }
    }

    fn is_at(&self, stage: Stage) -> bool {
        self.recovering.as_deref().is_some_and(|recovering| recovering.stage == stage)
    }

    // --- what befalls it ------------------------------------------------------------------------------------------

    /// Nothing passes over the connection any more, and nobody at the other end hears of that.
    fn cut(&mut self, tools: &mut Tools<'_>, link: LinkId) {
        tools.links.detach(link);
        tools.keep_alives.remove(link);
        tools.endpoint.suspend(link);
        tools.hushed.hush(link, tools.me, Manner::Cut);
        tools.hushed.stop_reading(link);
        if let Some(recovering) = &mut self.recovering {
            recovering.old = Some(link);
        }
    }

    /// Nothing of the page is left: its connection ends without a word of SIP.
    fn drop_page(&mut self, tools: &mut Tools<'_>, link: LinkId) {
        if let Some(session) = self.session.take() {
            tools.routes.remove(&session);
            tools.endpoint.abandon(tools.now, session);
        }
        if let Some(registration) = self.registration.take() {
            tools.routes.remove(&registration);
            tools.endpoint.forget_binding(tools.now, registration);
        }
        (self.up, self.registered, self.kept) = (false, false, None);
        self.finish_media(tools);
        tools.hushed.release(link);
        tools.links.lost(link);
        tools.keep_alives.remove(link);
        tools.endpoint.remove_link(tools.now, link);
        tools.closing.push(link);
    }

    /// The script stands still; asleep, the browser does too.
    fn fall_asleep(&mut self, tools: &mut Tools<'_>, link: LinkId, what: Disturbance) {
        tools.keep_alives.remove(link);
        tools.endpoint.suspend(link);
        tools.hushed.hush(link, tools.me, Manner::Asleep);
        if what == Disturbance::Sleep {
            tools.hushed.stop_reading(link);
        }
        if let Some(recovering) = &mut self.recovering {
            recovering.watched = Some(link);
        }
        self.mute(tools, true);
    }

    fn mute(&self, tools: &mut Tools<'_>, mute: bool) {
        if let Some(port) = self.port {
            tools.streams.set_mute(tools.now, port, mute);
        }
        self.mute_video(tools, mute);
    }

    /// The connection is kept alive again.
    fn keep_alive(&self, tools: &mut Tools<'_>) {
        let link = self.recovering.as_deref().and_then(|recovering| recovering.watched);
        if let Some((link, (purpose, remote))) = link.and_then(|link| Some((link, tools.links.of(link)?))) {
            purpose.keep(tools.keep_alives, tools.now, Flow { link, remote });
        }
    }

    // --- how it ends ----------------------------------------------------------------------------------------------

    /// It works again.
    pub(in crate::call) fn recovered(&mut self, tools: &mut Tools<'_>) -> Flowing {
        if let Some(recovering) = self.recovering.as_deref() {
            let took = tools.at.saturating_duration_since(recovering.since);
            self.note_recovery(Some(took));
        }
        self.leave_old(tools);
        self.calm(tools);
        Flowing::Next
    }

    /// What failed is tried again at the next whole multiple of the interval.
    fn try_later(&mut self, tools: &Tools<'_>) -> Flowing {
        let Some(recovering) = &mut self.recovering else { return Flowing::Over };
        recovering.tries += 1;
        let gone = tools.now.saturating_duration_since(recovering.since).as_nanos();
        let times = gone / recovering.retry.as_nanos().max(1) + 1;
        let next = recovering.since + recovering.retry * u32::try_from(times).unwrap_or(u32::MAX);
        self.way = None;
        self.block(Phase::Disturbed, Some(self.page_timer(next)))
    }

    /// It has not come back in time.
    pub(in crate::call) fn fail_recovery(&mut self, tools: &mut Tools<'_>) {
        let Some(recovering) = self.recovering.as_deref() else { return };
        let within = recovering.until.saturating_duration_since(recovering.since);
        let missing = match recovering.stage {
            Stage::Away | Stage::Link => "no connection",
            Stage::Register => "not registered",
            Stage::Call if recovering.what == Disturbance::Reload => "no call was answered",
            Stage::Call => "no answer to the re-INVITE",
            Stage::Audio => "no audio",
        };
        self.note_not_recovered(&format!("{missing} within {} s", within.as_secs_f64()));
        if self.phase == Phase::Dialling {
            return self.give_up(tools);
        }
        self.wind_down(tools);
    }

    fn note_not_recovered(&mut self, why: &str) {
        let Some(recovering) = self.recovering.as_deref_mut() else { return };
        let (name, refusal) = (recovering.what.name(), recovering.refusal.take());
        let last = refusal.as_ref().map(|last| format!("; the last answer was {} {}", last.code, last.reason));
        self.unmet.get_or_insert_with(|| format!("{name}: {why}{}", last.unwrap_or_default()));
        self.facts.response = refusal.or_else(|| self.facts.response.take());
        self.note_recovery(None);
    }

    fn note_recovery(&mut self, took: Option<Duration>) {
        let Some(recovering) = self.recovering.as_deref() else { return };
        let new = Recovery { from: recovering.what.name(), took, tries: recovering.tries };
        let worst = self.facts.recovery.as_deref().map_or(new, |before| before.worse(new));
        self.facts.recovery = Some(Box::new(worst));
    }

    /// Whatever befell the leg is over: everything passes again.
    pub(in crate::call) fn calm(&mut self, tools: &mut Tools<'_>) {
        let Some(recovering) = self.recovering.take().map(|recovering| *recovering) else { return };
        for link in [recovering.watched, recovering.old].into_iter().flatten() {
            tools.hushed.release(link);
            tools.links.reattach(link);
            tools.endpoint.resume(tools.now, link);
        }
        for link in recovering.dead {
            tools.hushed.release(link);
            tools.closing.push(link);
        }
        self.mute(tools, false);
    }
}
