//! What befalls an agent at a web phone: what the steps come to, and whether this actor can do them.

use std::time::Duration;

use super::doc::{At, Report};
use crate::scenario::file::agent::{AwayFile, NetworkChangeFile, ReloadFile};
use crate::scenario::file::step::StepFile;
use crate::scenario::plan::{Actor, Disturb, Disturbance, Step};
use crate::units::Period;

/// How often an agent that comes back tries, where nothing else is written: what web phones do.
const RETRY: Duration = Duration::from_secs(5);

pub(super) fn network_change(file: &NetworkChangeFile) -> Step {
    let what = Disturbance::NetworkChange { reconnect: file.reconnect };
    Step::Disturb(Disturb { what, lasts: Duration::ZERO, within: or(file.within, 30), retry: RETRY })
}

pub(super) fn reload(file: &ReloadFile, at: At<'_>, report: &mut Report) -> Step {
    let retry = positive(file.retry, RETRY, at.key("retry"), report);
    Step::Disturb(Disturb { what: Disturbance::Reload, lasts: Duration::ZERO, within: or(file.within, 120), retry })
}

pub(super) fn away(what: Disturbance, file: &AwayFile, at: At<'_>, report: &mut Report) -> Step {
    let lasts = positive(Some(file.lasts), RETRY, at.key("for"), report);
    Step::Disturb(Disturb { what, lasts, within: or(file.within, 120), retry: RETRY })
}

fn or(written: Option<Period>, seconds: u64) -> Duration {
    written.map_or_else(|| Duration::from_secs(seconds), |period| period.0)
}

fn positive(written: Option<Period>, default: Duration, at: At<'_>, report: &mut Report) -> Duration {
    let period = written.map_or(default, |period| period.0);
    if period.is_zero() {
        report.add(at, "this is no time at all", "write a time above zero, as 5s");
        return default;
    }
    period
}

/// The connection of an agent can only be disturbed where it has one of its own, and where its steps made the binding.
pub(super) fn check(actor: &Actor, steps: &[StepFile], at: At<'_>, report: &mut Report) {
    for (index, step) in actor.steps.iter().enumerate() {
        let Step::Disturb(Disturb { what, .. }) = step else { continue };
        let (at, name) = (at.key("steps").index(index), what.name());
        let moves = matches!(what, Disturbance::NetworkChange { .. } | Disturbance::Offline);
        if moves && actor.has_own_video() && actor.steps.len() == steps.len() {
            let help = "give the target `media: { srtp: dtls }`, or leave the video out";
            report.add(at, format!("`{name}` in a call whose video has sockets of its own"), help);
        }
        // Steps with mistakes are left out: the places of the rest are not known.
        if !what.is_of_connection() || actor.steps.len() != steps.len() {
            continue;
        }
        let name = match what {
            Disturbance::NetworkChange { .. } => "network_change: { reconnect: true }".to_owned(),
            _ => name.to_owned(),
        };
        if actor.target.server.web.is_none() {
            let help = "write `transport: wss` (or ws) at the actor, and `websocket:` into its target";
            report.add(at, format!("`{name}` is of agents whose SIP goes over WebSocket"), help);
        } else if actor.registered.stands() {
            let help = "leave `registered:` out and put a `register` step first";
            report.add(at, format!("`{name}` of an agent that is registered for the whole run"), help);
        }
    }
}
