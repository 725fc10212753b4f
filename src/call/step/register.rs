//! `register`: REGISTER and its final response.

use std::sync::Arc;
use std::time::Duration;

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::call::observe;
use crate::record::RegistrationFacts;
use crate::scenario::plan::{Account, Register, Step, Target};
use crate::sip::exchange::{Cause, Login};
use crate::sip::flow::Flow;
use crate::sip::message::Message;
use crate::sip::registration::{Binding, Registrar};
use crate::sip::uri::bracketed;
use crate::units::Random;

/// The registrar of a target.
pub(in crate::call) fn registrar_of(target: &Target) -> Registrar {
    Registrar {
        scheme: target.server.scheme(),
        domain: bracketed(&target.domain).into_owned(),
        headers: target.headers.clone(),
        largest_datagram: target.largest_datagram(),
        gruu: target.gruu,
        outbound: target.outbound,
    }
}

/// The binding of an account at a registrar.
pub(in crate::call) fn binding_of(
    registrar: &Arc<Registrar>,
    account: &Account,
    login: Option<&Arc<Login>>,
    flow: Flow,
    (expires, tab): (u32, u8),
    owner: u64,
) -> Binding {
    let Registrar { domain, gruu, outbound, .. } = &**registrar;
    // Each tab is a device of its own.
    let tab = if tab > 0 { format!(";tab={tab}") } else { String::new() };
    let instance = || instance_of(&format!("sip:{}@{}{tab}", account.user, domain.trim_matches(['[', ']'])));
    Binding {
        flow,
        owner,
        registrar: Arc::clone(registrar),
        user: account.user.as_str().into(),
        expires,
        credentials: login.cloned(),
        refresh: true,
        instance: (*gruu || *outbound).then(|| instance().into()),
    }
}

/// The instance of an account: a name that stays the same from run to run (RFC 5627 §3.1, RFC 9562 version 8).
fn instance_of(aor: &str) -> String {
    use sha2::Digest;
    let hash = sha2::Sha256::digest(format!("ringfleet {aor}"));
    let word = |from: usize, to: usize| hash[from..to].iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let (version, variant) = (hash[6] & 0x0f | 0x80, hash[8] & 0x3f | 0x80);
    format!(
        "urn:uuid:{}-{}-{version:02x}{}-{variant:02x}{}-{}",
        word(0, 4),
        word(4, 6),
        word(7, 8),
        word(9, 10),
        word(10, 16)
    )
}

impl Leg {
    pub(in crate::call) fn begin_register(&mut self, tools: &mut Tools<'_>, step: &Register) -> Flowing {
        let Some(flow) = self.access(tools, None) else { return Flowing::Blocked };
        let Some(account) = tools.account else { return Flowing::Over };
        let binding = binding_of(tools.registrar, account, tools.login, flow, (step.expires, tools.tab), tools.owner);
        let Some(handle) = tools.endpoint.register(tools.now, binding) else {
            return self.lose_link(crate::record::TransportFault::Unreachable);
        };
        self.marks.sip_call_ids.extend(tools.endpoint.call_id(handle).map(String::into_boxed_str));
        self.registration = Some(handle);
        self.request_sent = Some(tools.now);
        self.registering_since.get_or_insert((tools.now, 0));
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
        if self.is_recovering() && self.recover_registered(tools) {
            return;
        }
        if self.phase != Phase::Registering {
            return self.note_refresh(tools);
        }
        self.note_hop(tools);
        self.keep_registration();
        self.note_registration(tools, 200, Cause::Response, expires, message);
        self.facts.registered_after =
            self.registering_since.take().map(|(since, _)| tools.at.saturating_duration_since(since));
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
        (self.registration, self.kept) = (None, None);
        if self.is_recovering() {
            return self.recover_unregistered(tools, (code, cause), message);
        }
        match (cause, self.phase) {
            (Cause::Transport, Phase::Registering) => drop(self.fail_request(tools)),
            (Cause::Transport, _) => drop(self.lose_link(tools.fault.clone())),
            _ => {}
        }
        if refresh || self.phase == Phase::Registering {
            self.note_registration(tools, code, cause, None, message);
        }
        if let (503, Some(registration)) = (code, &self.facts.registration) {
            tools.back_off.note(tools.now, tools.me.actor.into(), None, registration.response.retry_after);
        }
        if self.phase == Phase::Unregistering {
            // It was lost together with the call on the same connection: there is nothing left to remove.
            return self.wind_down(tools);
        }
        if self.phase != Phase::Registering {
            return;
        }
        if cause == Cause::Response {
            self.note_hop(tools);
        }
        if let Some(wait) = self.wait_to_register(tools, code, cause) {
            // What came of this one is not what comes of the step.
            self.facts.registration = None;
            self.block(Phase::BackingOff, Some(self.page_timer(tools.now + wait)));
            return;
        }
        self.registering_since = None;
        let flowing = self.judge_registration(tools, observe::received(code, cause), false);
        self.go_on(tools, flowing);
    }

    /// How long to wait before the registration is asked for again; `None` where it is not.
    fn wait_to_register(&mut self, tools: &Tools<'_>, code: u16, cause: Cause) -> Option<Duration> {
        let Some(Step::Register(Register { retry: Some(retry), .. })) = tools.actor.steps.get(self.step) else {
            return None;
        };
        let for_now = matches!(code, 408 | 480 | 500 | 503 | 504);
        let (_, failures) = self.registering_since.as_mut().filter(|(_, failures)| *failures < retry.times)?;
        if self.stopping || !for_now || cause == Cause::Transport && self.facts.local_failure.is_some() {
            return None;
        }
        *failures += 1;
        let mut random = Random::of(tools.seed, [tools.n, tools.me.actor.into(), u64::from(*failures) << 32]);
        let asked = self.facts.registration.as_ref().and_then(|facts| facts.response.retry_after);
        // After the time that the registrar asks for, not all at its end.
        Some(retry.wait(*failures, &mut random) + Duration::from_secs(asked.unwrap_or(0).into()))
    }

    /// The time to ask again has come.
    pub(in crate::call) fn register_again(&mut self, tools: &mut Tools<'_>) {
        if let Some(Step::Register(step)) = tools.actor.steps.get(self.step) {
            // To any place of the server: those that could not take it then may do so now.
            self.way = None;
            let flowing = self.begin_register(tools, step);
            self.go_on(tools, flowing);
        }
    }

    /// The binding is removed, whatever the registrar said.
    pub(in crate::call) fn handle_unregistered(&mut self, tools: &mut Tools<'_>, (code, cause): (u16, Cause)) {
        self.left_behind = cause != Cause::Response || !(200..300).contains(&code);
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
        self.facts.registration = Some(Box::new(RegistrationFacts {
            response: observe::final_response(code, cause, message),
            delay,
            expires,
            challenged_again,
            refresh,
        }));
    }
}
