//! What a search for a limit came to, with the line that it is a limit of.

use super::generator::Generator;
use super::summary::Limit;
use crate::call::Found;
use crate::pace::search::{Of, Scope};
use crate::scenario::plan::{Plan, Step};

impl Limit {
    /// The limit that was found, if one was, on the line that the plan calls over.
    pub fn of(found: &Found, plan: &Plan) -> Self {
        let (outcome, actor) = (&found.outcome, plan.actors.first());
        let of = plan.load.search().map(|search| search.of);
        let trunk = actor.and_then(|actor| {
            actor.steps.iter().find_map(|step| match step {
                Step::Dial(dial) => dial.trunk.clone(),
                _ => None,
            })
        });
        let contracted = actor.and_then(|actor| match of {
            Some(Of::Registrations | Of::ProvisionedExtensions) => {
                actor.target.licence.map(|licence| licence.extensions)
            }
            Some(Of::CallRate) => actor.target.trunks.get(trunk.as_deref()?)?.contracted_cps,
            _ => actor.target.trunks.get(trunk.as_deref()?)?.contracted_calls,
        });
        let line = trunk.clone().or_else(|| actor.map(|actor| actor.target.name.clone())).unwrap_or_default();
        let bought = match (of, contracted) {
            (_, None) => String::new(),
            (Some(Of::Registrations | Of::ProvisionedExtensions), Some(count)) => format!(" (bought: {count})"),
            (Some(Of::CallRate), Some(count)) => format!(" (contracted: {count}/s)"),
            (_, Some(count)) => format!(" (contracted: {count})"),
        };
        Self {
            of: match of {
                Some(Of::Registrations) => "registrations",
                Some(Of::CallRate) => "call_rate",
                Some(Of::ProvisionedExtensions) => "provisioned_extensions",
                _ => "concurrent_calls",
            }
            .to_owned(),
            measured: outcome.measured,
            range: outcome.range,
            contracted: contracted.map(u64::from),
            finding: outcome.finding,
            scope: outcome.scope.map(|scope| match scope {
                Scope::Shown => "shown".to_owned(),
                Scope::Assumed => "assumed".to_owned(),
            }),
            code: outcome.refusal.as_ref().and_then(|refusal| refusal.code),
            reason: outcome.refusal.as_ref().and_then(|refusal| refusal.reason.clone()),
            proved: outcome.proved,
            freed_after_ms: outcome.freed_after.map(|after| after.as_secs_f64() * 1000.0),
            call_ids: found.proof.clone(),
            text: format!("{line}{bought}: {}", outcome.text),
            trunk,
        }
    }

    /// What is left of it where the generator fell behind: a search that we bounded ourselves has found no limit.
    #[must_use]
    pub fn within(self, generator: &Generator) -> Self {
        if generator.limited_by.is_empty() {
            return self;
        }
        let text = format!("not to be relied on, as this machine fell behind: {}", self.text);
        Self { measured: None, range: None, finding: None, scope: None, text, ..self }
    }
}
