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

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use smallvec::SmallVec;

use super::media::credentials;
use super::register::binding_of;
use crate::call::hushed::Manner;
use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::call::observe;
use crate::call::reach::Reach;
use crate::record::{FinalResponse, Recovery};
use crate::scenario::plan::{Dial, Disturb, Disturbance, Step};
use crate::sip::exchange::Cause;
use crate::sip::flow::{Flow, LinkId};
use crate::sip::message::Message;
use crate::sip::session::Means;

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
    }

    /// The connection is kept alive again.
    fn keep_alive(&self, tools: &mut Tools<'_>) {
        let link = self.recovering.as_deref().and_then(|recovering| recovering.watched);
        if let Some((link, (purpose, remote))) = link.and_then(|link| Some((link, tools.links.of(link)?))) {
            let reliable = purpose.transport.is_reliable();
            tools.keep_alives.add(tools.now, Flow { link, remote }, reliable, purpose.keep_alive);
            if purpose.pings {
                tools.keep_alives.expect_answers(link);
            }
        }
    }

    // --- how it comes back ----------------------------------------------------------------------------------------

    /// The connection is gone that it was to come back over.
    pub(in crate::call) fn lose_way(&mut self, tools: &mut Tools<'_>, link: LinkId) {
        let Some(recovering) = &mut self.recovering else { return };
        recovering.old = Some(link);
        if recovering.stage == Stage::Away {
            return;
        }
        recovering.watched = None;
        recovering.stage = Stage::Link;
        recovering.moves = true;
        self.way = None;
        if recovering.what == Disturbance::Reload {
            recovering.old = None;
            self.drop_page(tools, link);
        }
        let flowing = self.recover(tools);
        self.go_on(tools, flowing);
    }

    /// There is a connection: the call goes on over it.
    fn take_way(&mut self, tools: &mut Tools<'_>, flow: Flow) {
        self.flow = Some(flow);
        if let Some(session) = self.session {
            tools.endpoint.reroute(tools.now, session, flow);
        }
        tools.hushed.hush(flow.link, tools.me, Manner::Watched);
        if let Some(recovering) = &mut self.recovering {
            (recovering.watched, recovering.moves) = (Some(flow.link), true);
            recovering.stage = Stage::Register;
        }
    }

    /// The connection that is gone is forgotten: nothing of this leg is over it any more. The other end hears of that last,
    /// as of one whose packets went nowhere.
    fn leave_old(&mut self, tools: &mut Tools<'_>) {
        let Some(old) = self.recovering.as_deref_mut().and_then(|recovering| recovering.old.take()) else { return };
        tools.links.lost(old);
        tools.endpoint.resume(tools.now, old);
        tools.endpoint.remove_link(tools.now, old);
        if let Some(recovering) = &mut self.recovering {
            recovering.dead.push(old);
        }
    }

    fn register_anew(&mut self, tools: &mut Tools<'_>) -> Flowing {
        let Some(flow) = self.flow else { return self.try_later(tools) };
        match (self.registration, tools.account) {
            (Some(registration), _) => tools.endpoint.rebind(tools.now, registration, flow),
            (None, Some(account)) => {
                let asked = tools.actor.steps[..self.step].iter().rev().find_map(|step| match step {
                    Step::Register(step) => Some(step.expires),
                    _ => None,
                });
                let expires = asked.unwrap_or(300);
                let binding =
                    binding_of(tools.registrar, account, tools.login, flow, (expires, tools.tab), tools.owner);
                let Some(handle) = tools.endpoint.register(tools.now, binding) else { return self.try_later(tools) };
                self.registration = Some(handle);
                tools.routes.insert(handle, tools.me);
            }
            (None, None) => {}
        }
        self.leave_old(tools);
        self.block(Phase::Recovering, None)
    }

    /// The binding stands again. False where that is not what the agent waits for.
    pub(in crate::call) fn recover_registered(&mut self, tools: &mut Tools<'_>) -> bool {
        let awaited = self.is_at(Stage::Register) && self.phase == Phase::Recovering;
        if awaited {
            self.at_stage(Stage::Call);
            let flowing = self.recover(tools);
            self.go_on(tools, flowing);
        }
        awaited
    }

    /// The registrar did not take the binding: it is made anew after a while.
    pub(in crate::call) fn recover_unregistered(
        &mut self,
        tools: &mut Tools<'_>,
        (code, cause): (u16, Cause),
        message: Option<&Message<'_>>,
    ) {
        if let Some(recovering) = &mut self.recovering {
            recovering.refusal = Some(observe::final_response(code, cause, message));
        }
        if self.is_at(Stage::Register) && self.phase == Phase::Recovering {
            let flowing = self.try_later(tools);
            self.go_on(tools, flowing);
        }
    }

    /// The call of the page before was refused: it is placed again after a while.
    pub(in crate::call) fn recover_refused(
        &mut self,
        tools: &mut Tools<'_>,
        (code, cause): (u16, Cause),
        message: Option<&Message<'_>>,
    ) {
        self.session = None;
        self.finish_media(tools);
        let refusal = observe::final_response(code, cause, message);
        if let (503, Some(step)) = (code, self.dialled_step(tools)) {
            let trunk = step.trunk.as_deref();
            tools.back_off.note(tools.now, tools.me.actor.into(), trunk, refusal.retry_after);
        }
        if let Some(recovering) = &mut self.recovering {
            recovering.refusal = Some(refusal);
        }
        let flowing = if self.stopping { Flowing::Over } else { self.try_later(tools) };
        self.go_on(tools, flowing);
    }

    /// The `dial` that the step at hand carries out: itself, or the one that a reload repeats.
    pub(in crate::call) fn dialled_step<'a>(&self, tools: &Tools<'a>) -> Option<&'a Dial> {
        let step = |index: usize| match tools.actor.steps.get(index) {
            Some(Step::Dial(dial)) => Some(dial),
            _ => None,
        };
        match tools.actor.steps.get(self.step) {
            Some(Step::Disturb(_)) => step(self.marks.dial?),
            _ => step(self.step),
        }
    }

    /// Media gets other sockets; then the far end is told.
    fn move_media(&mut self, tools: &mut Tools<'_>) -> Flowing {
        let Some(port) = self.port else { return self.offer_anew(tools) };
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let local = self.flow.map_or(any, |flow| tools.endpoint.local_address(flow.link).unwrap_or(any));
        tools.streams.relocate(port, tools.actor.target.rtp_ports, local);
        self.block(Phase::Recovering, None)
    }

    /// Media has its other sockets.
    pub(in crate::call) fn handle_port_moved(&mut self, tools: &mut Tools<'_>, local: SocketAddr) {
        let Some(port) = self.port else { return };
        let public = self.flow.and_then(|flow| tools.endpoint.public_address(flow.link));
        let public = public.map(|ip| SocketAddr::new(ip, local.port()));
        let key_source = &mut *tools.key_source;
        tools.streams.relocated(tools.now, port, (local, public), || credentials(key_source));
        self.mute(tools, false);
        let flowing = self.offer_anew(tools);
        self.go_on(tools, flowing);
    }

    fn offer_anew(&mut self, tools: &mut Tools<'_>) -> Flowing {
        let Some(session) = self.session else { return self.find_call_gone() };
        let sdp = self.write_offer(tools, 9);
        if !tools.endpoint.change(tools.now, session, &sdp, Means::Reinvite) {
            return self.find_call_gone();
        }
        self.block(Phase::Recovering, None)
    }

    /// The far end has answered from where we are now.
    pub(in crate::call) fn recover_changed(&mut self, tools: &mut Tools<'_>, answered: Result<(), String>, gone: bool) {
        match answered {
            Ok(()) => {
                self.at_stage(Stage::Audio);
                let flowing = self.recover(tools);
                self.go_on(tools, flowing);
            }
            Err(error) => {
                self.note_not_recovered(&format!("the re-INVITE: {error}"));
                if gone { self.await_our_bye(tools) } else { self.wind_down(tools) }
            }
        }
    }

    fn await_audio(&mut self, tools: &mut Tools<'_>) -> Flowing {
        let since = self.recovering.as_deref().map(|recovering| recovering.since);
        match self.port.zip(since) {
            Some((port, since)) if tools.streams.is_running(port) && self.direction.receives() => {
                tools.streams.await_packet(port, since);
                self.block(Phase::Recovering, None)
            }
            _ => self.recovered(tools),
        }
    }

    /// RTP has come since then.
    pub(in crate::call) fn handle_heard(&mut self, tools: &mut Tools<'_>, at: Instant) {
        if self.is_at(Stage::Audio) && self.phase == Phase::Recovering {
            tools.at = at;
            let flowing = self.recovered(tools);
            self.go_on(tools, flowing);
        }
    }

    /// The far end hung up meanwhile. False where that is no news to the agent yet.
    pub(in crate::call) fn recover_ended(&mut self, tools: &mut Tools<'_>) -> bool {
        let missed = self.phase == Phase::Recovering && (self.is_at(Stage::Call) || self.is_at(Stage::Audio));
        if missed {
            self.facts.ended_early = !self.stopping;
            self.note_not_recovered("the far end hung up");
            self.wind_down(tools);
        }
        self.phase == Phase::Disturbed || self.phase == Phase::Recovering || missed
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
        if let Some(recovering) = &mut self.recovering {
            recovering.refusal = None;
        }
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
