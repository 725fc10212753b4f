//! What only shows when a scenario is seen as a whole: caps, accounts, ports, contracted lines, and every number that
//! would be dialled.

use std::sync::Arc;
use std::time::Duration;

use super::doc::{At, Report};
use super::numbers::is_dialable;
use crate::pace::search::Of;
use crate::pace::{Load, Schedule, peak_of};
use crate::scenario::filled::Filled;
use crate::scenario::plan::{Account, Actor, ActorState, Dial, Plan, Pool, Registered, Step, Target};
use crate::scenario::safety::Refusal;
use crate::scenario::text::Values;
use crate::units::Period;

/// Attempts whose numbers are rendered and checked beforehand; the call checks each again before it dials.
const MAX_RENDERED: u64 = 100_000;
/// Attempts that are rendered where their number is not known beforehand.
const UNPLANNED_RENDERED: u64 = 1_000;

/// Reports what the load asks for beyond what targets allow or have; the lines that it fills with their leave.
pub(super) fn check(plan: &Plan, places: &[At<'_>], at: At<'_>, report: &mut Report) -> Vec<Filled> {
    caps(plan, at.key("load"), report);
    accounts(plan, places, report);
    ports(plan, places, report);
    for (actor, at) in plan.actors.iter().zip(places) {
        hold_open(plan, actor, *at, report);
        for (index, step) in actor.steps.iter().enumerate() {
            if let Step::Dial(dial) = step {
                numbers(plan, actor, dial, at.key("steps").index(index).key("dial").key("number"), report);
            }
        }
    }
    if plan.load.search().is_some_and(|search| search.of == Of::CallRate) {
        return rates(plan, places, at.key("load").name("find_limit"), report);
    }
    let mut filled = trunks(plan, places, report);
    filled.extend(licences(plan, places, report));
    filled
}

fn caps(plan: &Plan, at: At<'_>, report: &mut Report) {
    let safety = &plan.safety;
    let mut over = |key: &str, what: String, cap: &str, value: String| {
        let help = format!("ask for less, or raise `safety.{cap}` in the target file (it is {value})");
        report.add(at.name(key), format!("{what} is more than the target allows"), help);
    };
    if let Schedule::Closed { concurrent } = plan.load.schedule
        && concurrent > safety.max_concurrent
    {
        over(
            "concurrent",
            format!("{concurrent} at the same time"),
            "max_concurrent",
            safety.max_concurrent.to_string(),
        );
    }
    if let Some(search) = plan.load.search() {
        let (rate, what) = match search.of {
            Of::CallRate => (search.up_to as f64, format!("a rate of up to {}/s", search.up_to)),
            _ => {
                (1.0 / search.step_every.as_secs_f64().max(1e-6), format!("a try every {}", Period(search.step_every)))
            }
        };
        if rate > safety.max_cps {
            over("find_limit", what, "max_cps", safety.max_cps.to_string());
        }
        let calls = search.trial.as_secs_f64() * search.up_to as f64;
        if search.of == Of::CallRate && calls > safety.max_calls as f64 {
            over("find_limit", format!("{calls:.0} calls in one trial"), "max_calls", safety.max_calls.to_string());
        }
        if search.most_held() > u64::from(safety.max_concurrent) {
            let what = format!("up to {} at the same time (`up_to` and three more)", search.most_held());
            over("find_limit", what, "max_concurrent", safety.max_concurrent.to_string());
        }
    }
    if let (Some(rate), Some(second)) = (plan.load.peak_rate(), plan.load.peak_second())
        && second > safety.max_cps
    {
        let what = match plan.load.is_random() {
            true => format!("a rate of {rate} with about {second:.0} starts in the fullest second"),
            false => format!("a rate of {rate}"),
        };
        over("rate", what, "max_cps", safety.max_cps.to_string());
    }
    if let Some(calls) = plan.load.planned().filter(|calls| *calls > safety.max_calls) {
        over("calls", format!("{calls} attempts"), "max_calls", safety.max_calls.to_string());
    }
    let length = length(&plan.load);
    if let Some(length) = length.filter(|length| length.as_secs_f64() > f64::from(safety.max_minutes) * 60.0) {
        over("for", format!("a run of {}", Period(length)), "max_minutes", safety.max_minutes.to_string());
    }
    if let (Schedule::Open { .. }, Some(concurrency)) = (&plan.load.schedule, concurrency(plan))
        && concurrency > u64::from(safety.max_concurrent)
    {
        let what = format!("about {concurrency} at the same time");
        over("rate", what, "max_concurrent", safety.max_concurrent.to_string());
    }
}

/// How long attempts start, where the load says so.
fn length(load: &Load) -> Option<Duration> {
    let last = load.planned().filter(|planned| *planned > 0).and_then(|planned| load.start_of(planned - 1));
    last.or(load.stop.after)
}

/// Attempts at the same time that the load needs at least: starts by the rate, each as long as its steps say, without
/// the time until the answer, which nobody knows beforehand. Where starts or lengths are drawn, as many as that comes to
/// now and then.
pub fn concurrency(plan: &Plan) -> Option<u64> {
    let casts = plan.casts();
    match &plan.load.schedule {
        Schedule::OnDemand => None,
        Schedule::OnCommand { concurrent } => Some((*concurrent).into()),
        Schedule::Search(search) => Some(search.most_held()),
        Schedule::Closed { concurrent } => {
            let concurrent = u64::from(*concurrent);
            Some(plan.load.planned().map_or(concurrent, |calls| calls.min(concurrent)))
        }
        Schedule::Open { .. } => {
            let mean = casts.iter().map(|cast| open_mean(plan, cast)).sum::<Option<f64>>()?;
            Some(at_once(plan, mean, plan.load.planned()))
        }
    }
}

/// The same of the attempts that an actor takes part in.
pub fn concurrency_of(plan: &Plan, actor: usize) -> Option<u64> {
    let kind = plan.kinds.as_ref().and_then(|kinds| Some((kinds, kinds.kind_of(actor)?)));
    let (Some((kinds, kind)), Some(planned)) = (kind, concurrency(plan)) else { return concurrency(plan) };
    let most = plan.load.planned().map(|calls| kinds.mix.most(kind, calls));
    match &plan.load.schedule {
        Schedule::Open { .. } => Some(at_once(plan, open_mean(plan, &kinds.casts[kind])?, most)),
        // By chance all of those that are under way are of one kind: they last longer than others.
        _ => Some(most.map_or(planned, |most| most.min(planned))),
    }
}

/// Attempts of a cast that are under way on average, at the peak of an open schedule.
fn open_mean(plan: &Plan, cast: &std::ops::Range<usize>) -> Option<f64> {
    let longest = plan.actors[cast.clone()].iter().map(|actor| shortest(actor, &plan.load)).max().unwrap_or_default();
    Some(plan.load.peak_rate()?.get() * plan.share_of(cast.start) * longest.as_secs_f64())
}

fn at_once(plan: &Plan, mean: f64, most: Option<u64>) -> u64 {
    let needed = if plan.draws() { peak_of(mean) } else { mean };
    let needed = needed.ceil().max(1.0) as u64;
    most.map_or(needed, |most| needed.min(most))
}

fn shortest(actor: &Actor, load: &Load) -> Duration {
    let length = |step: &Step| match step {
        // Until the last attempt has begun, and to the end of the load's time where it has one.
        Step::HoldOpen => load.stop.after.max(length(load)).unwrap_or_default(),
        Step::Talk(talk) => talk.duration.map_or(Duration::ZERO, |length| length.mean()),
        Step::Wait(length) => length.mean(),
        Step::Dtmf(step) => step.press.length(),
        Step::Disturb(step) => step.lasts,
        _ => Duration::ZERO,
    };
    actor.steps.iter().map(length).sum()
}

fn owns_account(actor: &Actor) -> bool {
    actor.registered.stands() || actor.steps.iter().any(|step| matches!(step, Step::Register(_)))
}

fn accounts(plan: &Plan, places: &[At<'_>], report: &mut Report) {
    let of = |index: usize| match plan.load.search() {
        Some(search) => all_of(&plan.actors[index]).max(Some(search.accounts_needed())),
        None => all_of(&plan.actors[index]).max(concurrency_of(plan, index)),
    };
    for (index, (actor, at)) in plan.actors.iter().zip(places).enumerate() {
        let (Some(pool), Some(concurrency)) = (&actor.pool, of(index)) else { continue };
        if actor.account_of.is_some() {
            continue;
        }
        let owners = plan.actors.iter().enumerate().filter(|(_, other)| shares(other, pool) && owns_account(other));
        let owned: u64 = owners.filter_map(|(other, _)| of(other)).sum();
        let have = pool.accounts.len() as u64;
        if owns_account(actor) && have < owned {
            let message = format!("{owned} accounts are needed at the same time, `{}` has {have}", pool.name);
            let help = "an actor that registers owns its account for the attempt: add accounts or ask for less load";
            report.add(at.key("account"), message, help);
        } else if !owns_account(actor) && owned > 0 && have <= owned {
            let message = format!("`{}` has no account left beside those that other actors register", pool.name);
            let help = "an actor that registers owns its account for the attempt: add accounts or ask for less load";
            report.add(at.key("account"), message, help);
        } else if let Some(places) = pool.calls_each.map(|each| u64::from(each) * have)
            && !owns_account(actor)
            && places < concurrency
        {
            let message = format!("`{}` carries {places} calls at the same time, {concurrency} are needed", pool.name);
            report.add(at.key("account"), message, "raise `calls_each`, add accounts or ask for less load");
        }
    }
}

/// Accounts that stay registered whatever attempts need.
fn all_of(actor: &Actor) -> Option<u64> {
    let pool = actor.pool.as_ref().filter(|_| actor.registered == Registered::All);
    pool.map(|pool| pool.accounts.len() as u64)
}

fn shares(actor: &Actor, pool: &Arc<Pool>) -> bool {
    actor.account_of.is_none() && actor.pool.as_ref().is_some_and(|own| Arc::ptr_eq(own, pool))
}

/// Where the next attempt waits for one that is held, nothing would ever let go.
fn hold_open(plan: &Plan, actor: &Actor, at: At<'_>, report: &mut Report) {
    let Schedule::Closed { concurrent } = plan.load.schedule else { return };
    let waits = plan.load.stop.calls.is_none_or(|calls| calls > u64::from(concurrent));
    let held = actor.steps.iter().position(|step| matches!(step, Step::HoldOpen));
    if let Some(index) = held.filter(|_| waits && plan.load.stop.after.is_none()) {
        let help = "add `for: 1m` to the load, or write `talk: { for: 1m }`";
        report.add(at.key("steps").index(index), "`hold_open` would hold the first calls for ever", help);
    }
}

/// A search for a rate goes on until calls are refused, whatever was bought.
fn rates(plan: &Plan, places: &[At<'_>], at: At<'_>, report: &mut Report) -> Vec<Filled> {
    let (Some(actor), Some(_), Some(search)) = (plan.actors.first(), places.first(), plan.load.search()) else {
        return Vec::new();
    };
    let (target, up_to) = (&actor.target, search.up_to);
    let message = format!("up to {up_to} calls per second would use up the rate of the line");
    let filled = may_fill(target, message, at, report).then(|| Filled {
        what: format!("the rate of `{}` (up to {up_to} calls per second)", target.name),
        when: target.safety.saturate.clone(),
    });
    filled.into_iter().collect()
}

/// Attempts at the same time of all these actors.
fn together(plan: &Plan, wanted: impl Fn(&&Actor) -> bool) -> Option<u64> {
    let actors = plan.actors.iter().enumerate().filter(|(_, actor)| wanted(actor));
    actors.map(|(index, _)| concurrency_of(plan, index)).sum()
}

/// Trunks that the load fills. Actors that call over the same one fill it together.
fn trunks(plan: &Plan, places: &[At<'_>], report: &mut Report) -> Vec<Filled> {
    let mut filled: Vec<(Arc<Target>, &str, Filled)> = Vec::new();
    for (actor, at) in plan.actors.iter().zip(places) {
        for (index, label) in trunks_of(actor) {
            let target = &actor.target;
            let Some(places) = target.trunks.get(label).and_then(|trunk| trunk.contracted_calls) else { continue };
            let same =
                |other: &&Actor| other.target.is_same(target) && trunks_of(other).any(|(_, other)| other == label);
            let Some(calls) = together(plan, same) else { continue };
            let known = filled.iter().any(|(of, other, _)| of.is_same(target) && *other == label);
            if known || calls <= u64::from(places) {
                continue;
            }
            let at = at.key("steps").index(index).key("dial").key("trunk");
            let message = format!("{calls} calls would fill trunk `{label}`, which has {places}");
            if may_fill(target, message, at, report) {
                let what = format!("trunk `{label}` of `{}` ({calls} calls, it has {places})", target.name);
                let when = target.safety.saturate.clone();
                filled.push((Arc::clone(target), label, Filled { what, when }));
            }
        }
    }
    filled.into_iter().map(|(.., filled)| filled).collect()
}

/// The trunks that an actor calls over, each with the index of its step: as labelled, else as the number itself begins.
fn trunks_of(actor: &Actor) -> impl Iterator<Item = (usize, &str)> {
    let steps = actor.steps.iter().enumerate();
    steps.filter_map(|(index, step)| {
        let Step::Dial(dial) = step else { return None };
        let begins = dial.number.text.literals().next().filter(|_| dial.number.text.starts_with_literal());
        let by_prefix = || {
            let trunks = actor.target.trunks.values();
            let chosen = trunks.filter(|trunk| {
                trunk.prefix.as_deref().is_some_and(|prefix| begins.is_some_and(|text| text.starts_with(prefix)))
            });
            chosen.max_by_key(|trunk| trunk.prefix.as_ref().map(String::len)).map(|trunk| trunk.name.as_str())
        };
        dial.trunk.as_deref().or_else(by_prefix).map(|label| (index, label))
    })
}

/// Licences whose devices the load needs all and more.
fn licences(plan: &Plan, places: &[At<'_>], report: &mut Report) -> Vec<Filled> {
    let mut filled = Vec::new();
    for (index, (actor, at)) in plan.actors.iter().zip(places).enumerate() {
        let target = &actor.target;
        let same = |other: &&Actor| other.target.is_same(target) && owns_account(other) && !takes_over(plan, other);
        let Some(licence) = target.licence.filter(|_| same(&actor)) else { continue };
        let of = |(index, actor)| all_of(actor).max(concurrency_of(plan, index));
        let devices: Option<u64> = plan.actors.iter().enumerate().filter(|(_, other)| same(other)).map(of).sum();
        let Some(devices) = devices else { continue };
        if plan.actors[..index].iter().any(|other| same(&other)) || devices <= u64::from(licence.extensions) {
            continue;
        }
        let message = format!("{devices} registrations would fill the licence, which has {}", licence.extensions);
        if may_fill(target, message, at.key("account"), report) {
            let (has, name) = (licence.extensions, &target.name);
            let what = format!("the licence of `{name}` ({devices} registrations, it has {has})");
            filled.push(Filled { what, when: target.safety.saturate.clone() });
        }
    }
    filled
}

/// An actor that begins when another one has logged out has its place.
fn takes_over(plan: &Plan, actor: &Actor) -> bool {
    let ended = actor.when.as_ref().filter(|when| when.state == ActorState::Ended);
    let before = ended.and_then(|when| plan.actors.get(when.actor));
    actor.registered == Registered::BySteps
        && before.is_some_and(|before| {
            before.registered == Registered::BySteps && owns_account(before) && before.target.is_same(&actor.target)
        })
}

/// A load that fills a line is refused, unless its target says that it may.
fn may_fill(target: &Target, message: String, at: At<'_>, report: &mut Report) -> bool {
    let allowed = target.safety.saturate.allowed;
    if !allowed {
        report.add(at, message, "ask for less load, or write `saturate: { allowed: true }` in the target file");
    }
    allowed
}

fn ports(plan: &Plan, places: &[At<'_>], report: &mut Report) {
    for (index, (actor, at)) in plan.actors.iter().zip(places).enumerate() {
        let same = |other: &&Actor| other.target.is_same(&actor.target);
        let Some((first, last)) = actor.target.rtp_ports else { continue };
        // Actors on one target share its ports: the first of them speaks for all.
        if plan.actors[..index].iter().any(|other| same(&other)) {
            continue;
        }
        let calls = if actor.target.shared_media { Some(1) } else { together(plan, same) };
        let Some(legs) = calls else { continue };
        // RFC 3550 §11: RTP on an even port, RTCP on the odd one above it.
        let pairs = u64::from((last - 1) / 2 + 1).saturating_sub(u64::from(first.div_ceil(2)));
        if legs > pairs {
            let message = format!("{legs} calls need {} RTP ports, {first}-{last} has {}", legs * 2, pairs * 2);
            report.add(*at, message, "widen `media.rtp_ports` of the target: an even and an odd port a call");
        }
    }
}

/// Renders the number of each planned attempt and asks the target whether it may be dialled.
fn numbers(plan: &Plan, actor: &Actor, dial: &Dial, at: At<'_>, report: &mut Report) {
    let one = [Account::default()];
    let accounts = actor.pool.as_ref().map_or(&one[..], |pool| &pool.accounts);
    if let Some(field) = dial.number.text.account_fields().find(|f| accounts.iter().all(|a| a.field(f).is_none())) {
        report.add(at, format!("no account has `{field}`"), "add that column to the CSV file of the accounts");
        return;
    }
    if let Some((message, help)) = unknown_others(plan, actor, dial) {
        return report.add(at, message, help);
    }
    if dial.number.text.uses_captured() {
        // What it comes to is checked when it is dialled.
        return;
    }
    for (k, (n, account)) in rendered(plan, dial, accounts).enumerate() {
        let others = accounts_at(plan, k);
        let number =
            dial.number.text.render(&Values { n, account: Some(account), others: &others, ..Values::default() });
        if !is_dialable(&number) {
            let who = if dial.number.text.uses_index() {
                format!("attempt {n}")
            } else {
                format!("account {}", account.user)
            };
            let help = "digits with + * #, or a sip: or tel: URI";
            report.add(at, format!("`{number}` is not a number ({who})"), help);
            return;
        }
        let sent = actor.target.final_number(&number, dial.trunk.as_deref());
        if let Err(refusal) = actor.target.safety.permits(&sent) {
            report.add(at, refusal.to_string(), allow_help(&refusal, &actor.target));
            return;
        }
    }
}

/// What is wrong with the accounts of other actors that a number names.
fn unknown_others(plan: &Plan, actor: &Actor, dial: &Dial) -> Option<(String, &'static str)> {
    let own = plan.actors.iter().position(|other| std::ptr::eq(other, actor));
    dial.number.text.other_fields().find_map(|(name, field)| {
        let other = plan.actors.iter().position(|actor| actor.name == name)?;
        let together =
            |cast: std::ops::Range<usize>| cast.contains(&other) && own.is_some_and(|own| cast.contains(&own));
        let Some(pool) = plan.actors.get(other).and_then(|actor| actor.pool.as_ref()) else {
            return Some((format!("`{name}` has no account"), "give it one: `account: agents`"));
        };
        if !plan.casts().into_iter().any(together) {
            return Some((format!("`{name}` takes part in other attempts"), "join the two by `when:`"));
        }
        let lacks = pool.accounts.iter().all(|account| account.field(field).is_none());
        lacks.then(|| {
            (format!("no account of `{name}` has `{field}`"), "add that column to the CSV file of the accounts")
        })
    })
}

/// An account of each actor, so that all accounts of all actors come one after the other.
pub(crate) fn accounts_at(plan: &Plan, k: usize) -> Vec<(&str, Option<&Account>)> {
    let named = plan.actors.iter().map(|actor| {
        let account = actor.pool.as_ref().and_then(|pool| pool.accounts.get(k % pool.accounts.len().max(1)));
        (actor.name.as_str(), account)
    });
    named.collect()
}

fn allow_help(refusal: &Refusal, target: &Target) -> &'static str {
    match refusal {
        Refusal::Emergency { .. } if target.safety.numbers.countries.is_empty() && !target.lab => {
            "no country is named, so those of every country are blocked: name yours, as `safety: { emergency: TW }`"
        }
        Refusal::Emergency { .. } | Refusal::Unreadable(_) => "",
        Refusal::NotAllowed(_) => "add a pattern for it under `safety.allow` in the target file",
        Refusal::NotNamed(_) => {
            "name it under `numbers:` in the target file, or write `safety: { allow: [...] }` there"
        }
    }
}

/// The attempts whose numbers can differ.
fn rendered<'p>(
    plan: &Plan,
    dial: &Dial,
    accounts: &'p [Account],
) -> Box<dyn Iterator<Item = (u64, &'p Account)> + 'p> {
    let text = &dial.number.text;
    let planned = plan.load.planned().unwrap_or(UNPLANNED_RENDERED).clamp(1, MAX_RENDERED);
    if text.other_fields().next().is_some() {
        let named = plan.actors.iter().filter(|actor| text.other_fields().any(|(name, _)| name == actor.name));
        let pools = named.filter_map(|actor| actor.pool.as_ref());
        let most = pools.map(|pool| pool.accounts.len() as u64).max().unwrap_or(1).max(planned).min(MAX_RENDERED);
        Box::new((1..=most).zip(accounts.iter().cycle()))
    } else if text.uses_index() {
        Box::new((1..=planned).zip(accounts.iter().cycle()))
    } else if text.account_fields().next().is_some() {
        Box::new(accounts.iter().map(|account| (1, account)))
    } else {
        Box::new(accounts.iter().take(1).map(|account| (1, account)))
    }
}
