//! What tells one leg from another beyond its plan and its account. Its [`Identity`] is made of these where it is told:
//! a call that is held keeps none of what its plan knows anyway.

use std::net::SocketAddr;

use smallvec::SmallVec;
use smol_str::SmolStr;

use super::callers::Config;
use crate::record::{Direction, Identity, Role};
use crate::scenario::plan::{Account, Actor, Plan, Step};
use crate::sip::flow::Transport;

/// What tells one leg from another.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// What its last request went over, or the call that it answered came over.
    pub(super) transport: Option<Transport>,
    /// Where its last request went.
    pub(super) next_hop: Option<SocketAddr>,
    /// User that its call showed as caller.
    pub(super) from: Option<SmolStr>,
    /// User that was called.
    pub(super) to: Option<SmolStr>,
    /// The step that dialled last.
    pub(super) dial: Option<u32>,
    /// Call-IDs on the wire.
    pub(super) sip_call_ids: SmallVec<[Box<str>; 1]>,
    /// The other leg of the same call.
    pub(super) paired_with: Option<Box<str>>,
}

/// Whose marks they are.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub(super) config: &'a Config,
    /// The plan of its attempt.
    pub(super) plan: &'a Plan,
    /// Index of the attempt, from 1.
    pub(super) n: u64,
    /// Index of the actor.
    pub(super) actor: usize,
    pub(super) account: Option<&'a Account>,
}

impl Whose<'_> {
    /// `call_id` of the leg's record.
    pub(super) fn call_id(&self) -> String {
        let Self { config, plan, n, actor, .. } = *self;
        if plan.cast(n).len() > 1 || plan.control().contains(&actor) || plan.kinds.is_some() {
            format!("{}-{n:06}-{}", config.run_id, plan.actors[actor].name)
        } else {
            format!("{}-{n:06}", config.run_id)
        }
    }

    /// Who the leg with these marks is.
    pub(super) fn identity(&self, marks: Marks) -> Identity {
        let Self { config, plan, account, .. } = *self;
        let actor = &plan.actors[self.actor];
        let (role, direction) = role_of(actor);
        let mut identity = Identity {
            call_id: self.call_id(),
            scenario: plan.scenario.clone(),
            target: actor.target.name.clone(),
            site: config.site.clone(),
            probe: config.probe.clone(),
            agent: Some(account.map_or_else(|| actor.name.clone(), |account| account.user.clone())),
            account: account.map(|account| account.user.clone()),
            unit: account.and_then(|account| account.unit.clone()),
            role,
            direction,
            transport: marks
                .transport
                .map(|transport| transport.to_string())
                .or_else(|| actor.target.server.transport.map(|transport| transport.to_string())),
            next_hop: marks.next_hop.map(|address| address.to_string()),
            from: marks.from.map(String::from),
            to: marks.to.map(String::from),
            sip_call_ids: marks.sip_call_ids.into_iter().map(String::from).collect(),
            paired_with: marks.paired_with.map(String::from),
            ..Identity::default()
        };
        if let Some(Step::Dial(step)) = marks.dial.and_then(|step| actor.steps.get(step as usize)) {
            let trunk = step.trunk.as_ref().and_then(|label| actor.target.trunks.get(label));
            identity.hotline = step.number.hotline.then(|| step.number.name.clone()).flatten();
            identity.trunk = step.trunk.clone();
            identity.carrier = trunk.and_then(|trunk| trunk.carrier.clone());
            identity.gateway = trunk.and_then(|trunk| trunk.gateway.clone());
            identity.route = step.trunk.clone();
            identity.route_source = step.trunk.as_ref().map(|_| "label".to_owned());
        }
        identity
    }
}

/// What an actor's legs are for.
pub(super) fn role_of(actor: &Actor) -> (Role, Direction) {
    let has = |wanted: fn(&Step) -> bool| actor.steps.iter().any(wanted);
    if has(|step| matches!(step, Step::Dial(_))) {
        (Role::Caller, Direction::Outbound)
    } else if has(|step| matches!(step, Step::Answer(_))) {
        (Role::Callee, Direction::Inbound)
    } else if has(|step| matches!(step, Step::Options(_))) {
        (Role::Ping, Direction::Outbound)
    } else {
        (Role::Registration, Direction::Outbound)
    }
}
