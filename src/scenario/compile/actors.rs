//! The parties of a scenario: their targets, accounts, conditions and steps.

use std::sync::Arc;

use super::doc::{At, Report};
use super::set::ACCOUNT;
use super::site::Site;
use super::sites::Sites;
use super::steps::{self, Scope};
use super::{Constants, Input, agent};
use crate::scenario::diagnostic::did_you_mean;
use crate::scenario::file::ScenarioFile;
use crate::scenario::file::scenario::{ActorFile, RegisteredFile};
use crate::scenario::plan::{Account, Actor, ActorState, Pool, Registered, Step, When};
use crate::scenario::tree::Value;
use crate::units::Secret;

/// The actors in the order of the file, with their places in it.
pub(super) fn compile<'d>(
    input: &Input<'_>,
    file: &ScenarioFile,
    sites: &Sites,
    constants: &Constants<'_>,
    at: At<'d>,
    report: &mut Report,
) -> (Vec<Actor>, Vec<At<'d>>) {
    let parties = parties(file, at, report);
    let names: Vec<&str> = parties.iter().map(|(name, ..)| *name).collect();
    let override_account = account_override(input, file, report);
    let (mut actors, mut places) = (Vec::new(), Vec::new());
    for (name, actor, at) in &parties {
        if !at.doc().lossy {
            steps::check_order(&actor.steps, at.key("steps"), report);
        }
        let when = actor.when.as_ref().and_then(|when| condition(when, name, &names, at.key("when"), report));
        let Some(site) = sites.of(actor.target.as_deref()) else {
            if actor.target.is_none() && file.target.is_none() && input.target.is_none() && !at.doc().lossy {
                let help = "write `target: lab` (or another) at the top of the scenario, or give --target";
                report.add(*at, format!("`{name}` has no target"), help);
            }
            continue;
        };
        let others = sites.others(site);
        let scope = Scope { input, site, others: &others, constants };
        let steps = steps::compile(&actor.steps, &scope, at.key("steps"), report);
        let pool = match &override_account {
            Some(account) => {
                Some(Arc::new(Pool { name: "--set user".into(), accounts: vec![account.clone()], calls_each: None }))
            }
            None => pool(actor, site, *at, report),
        };
        let account_of = actor.account_of.as_ref().and_then(|other| holder(other, &actors, actor, *at, report));
        let pool = account_of.map_or(pool, |other| actors[other].pool.clone());
        let registered = match actor.registered {
            Some(RegisteredFile::Standing) => Registered::Standing,
            Some(RegisteredFile::All) => Registered::All,
            Some(RegisteredFile::BySteps) | None => Registered::BySteps,
        };
        if actor.expires.is_some() && !registered.stands() && !at.doc().lossy {
            let help = "add `registered: standing` or `all`, or give it to the `register` step";
            report.add(at.name("expires"), "`expires` of an actor that does not stay registered", help);
        }
        let registers = registered.stands() || steps.iter().any(|s| matches!(s, Step::Register(_)));
        if registers && actor.account.is_none() && actor.account_of.is_none() && override_account.is_none() {
            let help = "add `account:` with a key of the target's `accounts:`";
            report.add(*at, format!("`{name}` registers, but has no account"), help);
        }
        let built = Actor {
            name: (*name).to_owned(),
            target: site.over(actor.transport, at.key("transport"), report),
            pool,
            account_of,
            registered,
            expires: actor.expires.unwrap_or(EXPIRES),
            when,
            steps,
        };
        if !at.doc().lossy {
            agent::check(&built, &actor.steps, *at, report);
        }
        actors.push(built);
        places.push(*at);
    }
    check_circles(&actors, &places, report);
    (actors, places)
}

/// Expiry of registrations where none is written, seconds.
const EXPIRES: u32 = 300;

/// The names of actors in the order of the file.
pub(super) fn names(file: &ScenarioFile, at: At<'_>) -> Vec<String> {
    let (Some(actors), Value::Map(entries)) = (&file.actors, &at.key("actors").node().value) else { return Vec::new() };
    entries.iter().map(|entry| entry.key.clone()).filter(|name| actors.contains_key(name)).collect()
}

type Party<'f, 'd> = (&'f str, &'f ActorFile, At<'d>);

fn parties<'f, 'd>(file: &'f ScenarioFile, at: At<'d>, report: &mut Report) -> Vec<Party<'f, 'd>> {
    match (&file.caller, &file.actors) {
        (Some(_), Some(_)) => {
            report.add(at.name("actors"), "`caller` and `actors` are both given", "keep one of the two");
            Vec::new()
        }
        (Some(caller), None) => vec![("caller", caller, at.key("caller"))],
        (None, Some(actors)) => {
            // The order of the file, which the map does not keep.
            let Value::Map(entries) = &at.key("actors").node().value else { return Vec::new() };
            let party = |key: &String| Some((actors.get_key_value(key)?, at.key("actors").key(key)));
            let parties: Vec<_> = entries.iter().filter_map(|entry| party(&entry.key)).collect();
            if parties.is_empty() && !at.doc().lossy {
                report.add(at.name("actors"), "no actor", "add one, as in `agent: { account: agents, steps: [...] }`");
            }
            parties.into_iter().map(|((name, actor), at)| (name.as_str(), actor, at)).collect()
        }
        (None, None) => {
            if !at.doc().lossy {
                let help = "write `caller: { account: …, steps: [...] }`, or `actors:` for several parties";
                report.add(at, "nobody calls", help);
            }
            Vec::new()
        }
    }
}

fn pool(actor: &ActorFile, site: &Site, at: At<'_>, report: &mut Report) -> Option<Arc<Pool>> {
    let wanted = &actor.account.as_ref()?.0;
    let pool = site.pools.get(wanted).cloned();
    if pool.is_none() && !site.pool_names.contains(wanted) && !site.lossy {
        let names: Vec<&str> = site.pool_names.iter().map(String::as_str).collect();
        let help = did_you_mean(wanted, "a pool of accounts", &names);
        report.add(at.key("account"), format!("unknown account pool `{wanted}`"), help);
    }
    pool
}

/// Whose account an actor uses.
fn holder(other: &str, before: &[Actor], actor: &ActorFile, at: At<'_>, report: &mut Report) -> Option<usize> {
    let at_key = at.key("account_of");
    if actor.account.is_some() {
        report.add(at_key, "`account` and `account_of` are both given", "keep one of the two");
    } else if matches!(actor.registered, Some(RegisteredFile::Standing | RegisteredFile::All)) {
        let help = "leave `registered:` out and write a `register` step";
        report.add(at_key, "an account of another actor is not registered for the whole run", help);
    }
    let found = before.iter().position(|known| known.name == other && known.pool.is_some());
    if found.is_none() && !at.doc().lossy {
        let names: Vec<&str> = before.iter().filter(|it| it.pool.is_some()).map(|it| it.name.as_str()).collect();
        let message = format!("no actor `{other}` with an account stands before this one");
        let help = match &names[..] {
            [] => "write the actor that has the account first".to_owned(),
            names => did_you_mean(other, "an actor", names),
        };
        report.add(at_key, message, help);
    }
    found
}

/// `--set user=… --set password=…`.
fn account_override(input: &Input<'_>, file: &ScenarioFile, report: &mut Report) -> Option<Account> {
    let last = |key: &str| input.set.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    let given = ACCOUNT.iter().find(|key| last(key).is_some() && !file.variables.contains_key(**key))?;
    let option = format!("--set {given}=…");
    if file.caller.is_none() {
        let help = "give the actor an account of its own: --set actors.NAME.account=POOL";
        report.whole(&option, "replaces the account of `caller`, and this scenario has `actors`", help);
        return None;
    }
    let Some(user) = last("user") else {
        report.whole(&option, "says nothing without the user", "add --set user=NAME");
        return None;
    };
    let secret = |text: String| match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => (input.env)(name),
        None => Some(text),
    };
    let password = last("password").and_then(|text| {
        let found = secret(text);
        if found.is_none() {
            report.whole("--set password=…", "the environment variable is not set", "");
        }
        found
    });
    Some(Account { user, auth_user: last("auth_user"), password: password.map(Secret::new), ..Account::default() })
}

fn condition(text: &str, own: &str, names: &[&str], at: At<'_>, report: &mut Report) -> Option<When> {
    let states = ["registered", "answered", "ended"];
    let (actor, state) = text.rsplit_once('.').unwrap_or((text, ""));
    let state = match state {
        "registered" => Some(ActorState::Registered),
        "answered" => Some(ActorState::Answered),
        "ended" => Some(ActorState::Ended),
        _ => None,
    };
    let Some(state) = state else {
        let help = format!("write NAME.STATE; {}", did_you_mean("", "a state", &states));
        report.add(at, format!("`{text}` does not name a state of an actor"), help);
        return None;
    };
    if actor == own {
        report.add(at, format!("`{own}` waits for itself"), "name another actor");
        return None;
    }
    let Some(actor) = names.iter().position(|name| *name == actor) else {
        if !at.doc().lossy {
            report.add(at, format!("unknown actor `{actor}`"), did_you_mean(actor, "an actor", names));
        }
        return None;
    };
    Some(When { actor, state })
}

/// Actors that wait for each other would wait for ever.
fn check_circles(actors: &[Actor], places: &[At<'_>], report: &mut Report) {
    for (start, place) in places.iter().enumerate() {
        let mut at = start;
        for _ in 0..actors.len() {
            match actors.get(at).and_then(|actor| actor.when.as_ref()) {
                Some(when) => at = when.actor,
                None => break,
            }
            if at == start {
                let message = format!("`{}` waits for itself through others", actors[start].name);
                report.add(place.key("when"), message, "let one of them start by itself");
                return;
            }
        }
    }
}
