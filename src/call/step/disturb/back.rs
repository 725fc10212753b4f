//! How an agent comes back: the connection, the binding, the call, its audio.

use std::net::SocketAddr;
use std::time::Instant;

use super::Stage;
use crate::call::hushed::Manner;
use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::call::observe;
use crate::call::step::media::{credentials, ice_servers};
use crate::call::step::register::binding_of;
use crate::scenario::plan::{Dial, Disturbance, Step};
use crate::sip::exchange::Cause;
use crate::sip::flow::{Flow, LinkId};
use crate::sip::message::Message;
use crate::sip::session::Means;
use crate::webrtc::{Peer, Relocation};

impl Leg {
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
    pub(super) fn take_way(&mut self, tools: &mut Tools<'_>, flow: Flow) {
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
    pub(super) fn leave_old(&mut self, tools: &mut Tools<'_>) {
        let Some(old) = self.recovering.as_deref_mut().and_then(|recovering| recovering.old.take()) else { return };
        tools.links.lost(old);
        tools.endpoint.resume(tools.now, old);
        tools.endpoint.remove_link(tools.now, old);
        if let Some(recovering) = &mut self.recovering {
            recovering.dead.push(old);
        }
    }

    pub(super) fn register_anew(&mut self, tools: &mut Tools<'_>) -> Flowing {
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
            Some(Step::Disturb(_)) => step(self.marks.dial? as usize),
            _ => step(self.step),
        }
    }

    /// Media gets other sockets; then the far end is told.
    pub(super) fn move_media(&mut self, tools: &mut Tools<'_>) -> Flowing {
        let Some(port) = self.port else { return self.offer_anew(tools) };
        let sockets = self.own_sockets(tools);
        tools.streams.relocate(port, sockets);
        self.block(Phase::Recovering, None)
    }

    /// Media has its other sockets.
    pub(in crate::call) fn handle_port_moved(&mut self, tools: &mut Tools<'_>, local: SocketAddr) {
        let Some(port) = self.port else { return };
        let public = self.flow.and_then(|flow| tools.endpoint.public_address(flow.link));
        let public = public.map(|ip| SocketAddr::new(ip, local.port()));
        let Tools { key_source, hops, links, .. } = tools;
        let ice = &tools.actor.target.ice;
        tools.streams.relocated(tools.now, port, || {
            let (servers, connections) = ice_servers(ice, local, hops, links);
            (Relocation { local, public, credentials: credentials(key_source), servers }, connections)
        });
        self.mute(tools, false);
        // The offer says where we are, which servers have yet to tell, unless that may follow.
        if tools.streams.peer(port).is_some_and(Peer::is_gathering) && !self.may_follow_again(tools) {
            return self.deadline = None;
        }
        let flowing = self.offer_anew(tools);
        self.go_on(tools, flowing);
    }

    /// Servers have told where we are now.
    pub(in crate::call) fn recover_gathered(&mut self, tools: &mut Tools<'_>) {
        if self.is_at(Stage::Call) {
            let flowing = self.offer_anew(tools);
            self.go_on(tools, flowing);
        }
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

    pub(super) fn await_audio(&mut self, tools: &mut Tools<'_>) -> Flowing {
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
}
