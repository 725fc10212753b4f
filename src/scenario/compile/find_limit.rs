//! `find_limit:` of a load: what the search is, and its control call.

use std::time::Duration;

use super::doc::{At, Report};
use super::sites::Sites;
use super::{Constants, numbers};
use crate::pace::search::{Of, Settings};
use crate::pace::{Load, Schedule, Stop};
use crate::scenario::file::load::{ControlFile, FindLimitFile, LimitWord, LoadFile};
use crate::scenario::plan::{Actor, Dial, Registered, Step};
use crate::scenario::text::{Text, Values};

/// Between two tries where nothing is said.
const STEP_EVERY: Duration = Duration::from_millis(500);
/// Proofs where nothing is said.
const PROVE: u32 = 2;
/// Shorter, a call per second more is not seen.
const SHORTEST_TRIAL: Duration = Duration::from_secs(1);
/// How long a rate is tried where nothing is said.
const TRIAL: Duration = Duration::from_secs(10);
/// Pauses, seconds, where nothing is said.
const PAUSES: [u64; 4] = [1, 5, 30, 65];

/// What a search is compiled against.
pub(super) struct Scope<'s> {
    pub(super) sites: &'s Sites,
    pub(super) constants: &'s Constants<'s>,
    pub(super) actors: &'s [Actor],
    pub(super) places: &'s [At<'s>],
}

/// A search and the actor of its control call.
pub(super) struct Search {
    pub(super) load: Load,
    pub(super) control: Option<Actor>,
    /// The number of a device that is called to know whether it is reached.
    pub(super) test_call: Option<Text>,
}

/// The search; `None` where it cannot be one.
pub(super) fn compile(
    load: &LoadFile,
    file: &FindLimitFile,
    scope: &Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Search> {
    let at = at.key("load");
    let others =
        [("calls", load.calls.is_some()), ("rate", load.rate.is_some()), ("concurrent", load.concurrent.is_some())];
    for (name, _) in others.into_iter().filter(|(_, given)| *given) {
        report.add(at.name(name), format!("`{name}` and `find_limit` are both given"), "keep one of the two");
    }
    if load.duration.is_some() {
        let help = "leave it out: a search ends when it has found what it looks for";
        report.add(at.name("for"), "`for` and `find_limit` are both given", help);
    }
    let at = at.key("find_limit");
    let of = match file.of {
        LimitWord::ConcurrentCalls => Of::ConcurrentCalls,
        LimitWord::Registrations => Of::Registrations,
        LimitWord::CallRate => Of::CallRate,
        LimitWord::ProvisionedExtensions => Of::ProvisionedExtensions,
    };
    check_words(of, file, at, report);
    let pauses: Vec<Duration> = match &file.pauses {
        None => PAUSES.map(Duration::from_secs).to_vec(),
        Some(pauses) => pauses.iter().map(|pause| pause.0).collect(),
    };
    if pauses.is_empty() || pauses.iter().any(Duration::is_zero) || !pauses.is_sorted() {
        report.add(at.key("pauses"), "these are no growing pauses", "as pauses: [1s, 5s, 30s, 65s]");
    }
    let step_every = file.step_every.map_or(STEP_EVERY, |period| period.0);
    if step_every.is_zero() {
        report.add(at.key("step_every"), "no time between two tries", "as step_every: 500ms");
    }
    let ([actor], [place]) = (scope.actors, scope.places) else {
        if scope.actors.len() > 1 {
            report.add(at, "a search has one party", "write `caller:` instead of `actors:`");
        }
        return None;
    };
    let dial = check_steps(of, actor, *place, report);
    let control = file.control.as_ref().and_then(|control| {
        let at = at.key("control");
        let Some(dial) = dial else {
            let help = "leave it out: that the bindings stand is asked of the registrar";
            report.add(at, "a search that places no calls has no control call", help);
            return None;
        };
        let site = scope.sites.of(None)?;
        let at = at.key("number");
        let (number, _) = numbers::dialled(&control.number, site, &[], scope.constants, at, report)?;
        let account = actor.pool.as_ref().and_then(|pool| pool.accounts.first());
        let values = Values { n: 1, account, ..Values::default() };
        let sent = number.text.render(&values);
        if let Err(refusal) = actor.target.safety.permits(&sent) {
            report.add(at, refusal.to_string(), "");
        }
        let dial = Dial { number, trunk: None, from: None, expect: None, raw: None, ..dial.clone() };
        let registers = actor.steps.iter().take_while(|step| !matches!(step, Step::Dial(_))).cloned();
        let steps = registers.chain([Step::Dial(dial), Step::HoldOpen]).collect();
        Some(Actor { name: "control".to_owned(), registered: Registered::BySteps, when: None, steps, ..actor.clone() })
    });
    let settings = Settings {
        of,
        up_to: file.up_to.into(),
        step_every,
        prove: file.prove.unwrap_or(PROVE),
        pauses,
        control: control.is_some(),
        accounts: actor.pool.as_ref().map_or(1, |pool| pool.accounts.len() as u64),
        sources: actor.target.local_addresses.len().max(1) as u64,
        callees_differ: dial.is_some_and(|dial| dial.number.text.as_constant().is_none()),
        exclusive: actor.target.safety.saturate.exclusive,
        trial: file.trial.map_or(TRIAL, |period| period.0),
        hold: file.hold.map_or(Duration::ZERO, |period| period.0),
        licence: actor.target.licence.map(|licence| licence.extensions.into()),
        provisioned: provisioned(actor),
        max_tries: actor.target.safety.max_calls,
        max_under_way: actor.target.safety.max_concurrent.into(),
    };
    let load = Load { schedule: Schedule::Search(Box::new(settings)), stop: Stop::default() };
    let test_call =
        file.test_call.as_ref().and_then(|call| test_call(of, call, actor, scope, at.key("test_call"), report));
    Some(Search { load, control, test_call })
}

/// The number that reaches the device of each account.
fn test_call(
    of: Of,
    file: &ControlFile,
    actor: &Actor,
    scope: &Scope<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Text> {
    if of != Of::Registrations {
        report.add(at, "`test_call` belongs to a search for registrations", "leave it out");
        return None;
    }
    let at = at.key("number");
    let (number, _) = numbers::dialled(&file.number, scope.sites.of(None)?, &[], scope.constants, at, report)?;
    if number.text.account_fields().next().is_none() {
        let help = "as \"{{ account.user }}\", or a column of the accounts: \"{{ account.did }}\"";
        report.add(at, "every device would be called by the same number", help);
        return None;
    }
    for account in actor.pool.iter().flat_map(|pool| &pool.accounts) {
        let sent = number.text.render(&Values { n: 1, account: Some(account), ..Values::default() });
        if !numbers::is_dialable(&sent) {
            report.add(at, format!("`{sent}` is not a number (account {})", account.user), "");
            return None;
        }
        if let Err(refusal) = actor.target.safety.permits(&sent) {
            report.add(at, refusal.to_string(), "add a pattern for it under `safety.allow` in the target file");
            return None;
        }
    }
    Some(number.text)
}

/// Accounts that exist, as far as the target file says.
fn provisioned(actor: &Actor) -> u64 {
    let written = actor.target.licence.and_then(|licence| licence.provisioned).map(u64::from);
    written.unwrap_or_else(|| actor.pool.as_ref().map_or(1, |pool| pool.accounts.len() as u64))
}

/// Words that belong to another kind of search.
fn check_words(of: Of, file: &FindLimitFile, at: At<'_>, report: &mut Report) {
    let rate = of == Of::CallRate;
    let strangers = [("trial", file.trial.is_some() && !rate), ("hold", file.hold.is_some() && !rate)];
    for (name, _) in strangers.into_iter().filter(|(_, stands)| *stands) {
        report.add(at.name(name), format!("`{name}` belongs to a search for call_rate"), "leave it out");
    }
    if rate && file.step_every.is_some() {
        let help = "leave it out: the search itself chooses the rates";
        report.add(at.name("step_every"), "a search for call_rate has no `step_every`", help);
    }
    if file.trial.is_some_and(|period| period.0 < SHORTEST_TRIAL) {
        report.add(at.key("trial"), "too short to tell one rate from the next", "as trial: 10s");
    }
}

/// A try is held from `hold_open` on. Its call, where calls are counted.
fn check_steps<'a>(of: Of, actor: &'a Actor, at: At<'_>, report: &mut Report) -> Option<&'a Dial> {
    let at = at.key("steps");
    if at.doc().lossy {
        return None;
    }
    let dial = actor.steps.iter().find_map(|step| match step {
        Step::Dial(dial) => Some(dial),
        _ => None,
    });
    let registers = actor.steps.iter().any(|step| matches!(step, Step::Register(_)));
    if !actor.steps.iter().any(|step| matches!(step, Step::HoldOpen)) {
        report.add(at, "nothing is held while the limit is looked for", "add the step `hold_open`");
    }
    match of {
        Of::ConcurrentCalls | Of::CallRate if dial.is_none() => {
            report.add(at, "a search for calls places none", "add `- dial: { number: … }` before `hold_open`");
        }
        Of::Registrations | Of::ProvisionedExtensions if !registers => {
            report.add(at, "a search for registrations makes none", "add the step `register` before `hold_open`");
        }
        Of::Registrations | Of::ProvisionedExtensions if dial.is_some() => {
            report.add(
                at,
                "a search for registrations places calls",
                "leave out `dial`, or search for concurrent_calls",
            );
        }
        _ => {}
    }
    if dial.is_some_and(|dial| dial.expect.is_some()) {
        report.add(at, "the search itself decides what a refusal means", "leave out `expect` of the dial");
    }
    dial.filter(|_| matches!(of, Of::ConcurrentCalls | Of::CallRate))
}
