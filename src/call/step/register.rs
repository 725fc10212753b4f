//! `register`: REGISTER and its final response.

use std::sync::Arc;
use std::time::Duration;

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::call::observe;
use crate::record::RegistrationFacts;
use crate::scenario::plan::{Account, Actor, Register, Step};
use crate::sip::exchange::{Cause, Login};
use crate::sip::flow::Flow;
use crate::sip::message::Message;
use crate::sip::registration::Binding;

/// The binding of an account at its actor's registrar.
pub(in crate::call) fn binding_of(
    actor: &Actor,
    account: &Account,
    login: Option<&Arc<Login>>,
    flow: Flow,
    expires: u32,
    owner: u64,
) -> Binding {
    let target = &actor.target;
    Binding {
        flow,
        owner,
        registrar: format!("sip:{}", target.domain),
        aor: format!("sip:{}@{}", account.user, target.domain),
        user: account.user.clone(),
        expires,
        headers: target.headers.clone(),
        route: Vec::new(),
        credentials: login.cloned(),
        refresh: true,
    }
}

impl Leg {
    pub(in crate::call) fn begin_register(&mut self, tools: &mut Tools<'_>, step: &Register) -> Flowing {
        let Some(flow) = self.access(tools, None) else { return Flowing::Blocked };
        let Some(account) = tools.account else { return Flowing::Over };
        let binding = binding_of(tools.actor, account, tools.login, flow, step.expires, tools.owner);
        let Some(handle) = tools.endpoint.register(tools.now, binding) else {
            return self.lose_link(crate::record::TransportFault::Unreachable);
        };
        self.identity.sip_call_ids.extend(tools.endpoint.call_id(handle));
        self.registration = Some(handle);
        self.request_sent = Some(tools.now);
        tools.routes.insert(handle, tools.me);
        self.block(Phase::Registering, None)
    }

    /// The binding stands, or stands again.
    pub(in crate::call) fn handle_registered(
        &mut self,
        tools: &mut Tools<'_>,
        expires: Option<u32>,
        message: Option<&Message<'_>>,
    ) {
        self.registered = true;
        if self.phase != Phase::Registering {
            return;
        }
        self.note_registration(tools, 200, Cause::Response, expires, message);
        let flowing = self.judge_registration(tools, Some(200), true);
        self.go_on(tools, flowing);
    }

    /// The registrar refused, or a binding that stood was lost.
    pub(in crate::call) fn handle_registration_failed(
        &mut self,
        tools: &mut Tools<'_>,
        (code, cause, refresh): (u16, Cause, bool),
        message: Option<&Message<'_>>,
    ) {
        self.registered = false;
        self.registration = None;
        if cause == Cause::Transport {
            self.lose_link(tools.fault);
        }
        if refresh || self.phase == Phase::Registering {
            self.note_registration(tools, code, cause, None, message);
        }
        if self.phase == Phase::Unregistering {
            // It was lost together with the call on the same connection: there is nothing left to remove.
            return self.wind_down(tools);
        }
        if self.phase != Phase::Registering {
            return;
        }
        let flowing = self.judge_registration(tools, observe::received(code, cause), false);
        self.go_on(tools, flowing);
    }

    /// The binding is removed, whatever the registrar said.
    pub(in crate::call) fn handle_unregistered(&mut self, tools: &mut Tools<'_>) {
        self.registration = None;
        if self.phase == Phase::Unregistering {
            self.wind_down(tools);
        }
    }

    fn judge_registration(&mut self, tools: &Tools<'_>, code: Option<u16>, accepted: bool) -> Flowing {
        let Some(Step::Register(step)) = tools.actor.steps.get(self.step) else { return Flowing::Over };
        let took = self.facts.registration.as_ref().map(|facts| facts.delay);
        let met = self.meets(step.expect.as_ref(), ("register", code, took), accepted);
        if met { Flowing::Next } else { Flowing::Over }
    }

    fn note_registration(
        &mut self,
        tools: &Tools<'_>,
        code: u16,
        cause: Cause,
        expires: Option<u32>,
        message: Option<&Message<'_>>,
    ) {
        let refresh = self.facts.registration.is_some();
        let delay = self.request_sent.map_or(Duration::ZERO, |sent| tools.at.saturating_duration_since(sent));
        let challenged_again =
            matches!(code, 401 | 407) && self.registration.is_none_or(|handle| tools.endpoint.was_challenged(handle));
        self.facts.registration = Some(RegistrationFacts {
            response: observe::final_response(code, cause, message),
            delay,
            expires,
            challenged_again,
            refresh,
        });
    }
}
