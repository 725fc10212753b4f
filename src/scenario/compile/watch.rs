//! `watch:` files.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::doc::{At, Report};
use super::secret::{self, Rules};
use super::{Compiled, Input, alerts};
use crate::pace::calendar::{Cadence, CatchUp, Cron, Maintenance, Overlap, When};
use crate::pace::{Load, Schedule, Stop};
use crate::scenario::diagnostic::{did_you_mean, nearest};
use crate::scenario::file::WatchFile;
use crate::scenario::file::watch::{
    AgentsWord, CatchUpWord, CheckFile, InfluxFile, MaintenanceFile, OverlapWord, SinkFile,
};
use crate::scenario::plan::Step;
use crate::scenario::watch::{Check, Influx, Labels, Page, Watch};
use crate::units::Period;

/// A check comes no more often than this, seconds.
const SHORTEST: u64 = 1;
/// And no less often, seconds.
const LONGEST: u64 = 24 * 3600;
/// The token of a page has so many characters at least.
const TOKEN: usize = 16;
/// Tries to reproduce a failure where nothing is written.
const REPRODUCE: u32 = 1;

/// Scenarios that were compiled, by path, target and settings: many checks are of one.
type Known = BTreeMap<(String, Option<String>, Vec<(String, String)>), Option<Compiled>>;

/// Compiles a watch file with all that it names.
pub(super) fn compile(input: &Input<'_>, file: &WatchFile, at: At<'_>, report: &mut Report) -> Watch {
    let (zone, zone_name) = zone(file.timezone.as_deref(), at.key("timezone"), report);
    let all = maintenance(&file.maintenance, &zone, at.key("maintenance"), report);
    let mut known = Known::new();
    let mut checks: Vec<Option<Check>> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for (index, check) in file.checks.iter().enumerate() {
        let at = at.key("checks").index(index);
        let compiled = scenario(input, check, &mut known, at, report);
        let name = check.name.clone().or_else(|| Some(compiled.as_ref()?.plan.scenario.clone())).unwrap_or_default();
        if !name.is_empty() && names.contains(&name) {
            report.add(at, format!("two checks are called `{name}`"), "give each a `name:` of its own");
        }
        names.push(name.clone());
        let cadence = cadence(check, at, report);
        let jitter = jitter(check, at, report);
        let mut maintenance = maintenance(&check.maintenance, &zone, at.key("maintenance"), report);
        maintenance.extend(all.iter().cloned());
        let (Some(compiled), Some(cadence)) = (compiled, cadence) else {
            checks.push(None);
            continue;
        };
        is_one_attempt(&compiled, at, report);
        let each_agent = check.agents == AgentsWord::Each;
        if each_agent && (compiled.plan.actors.len() != 1 || compiled.plan.actors[0].pool.is_none()) {
            let help = "write `in_turn`, or a scenario of one `caller` with an `account`";
            report.add(at.key("agents"), "each of which accounts?", help);
        }
        let mut plan = compiled.plan;
        let lines = plan.actors.first().and_then(|actor| actor.pool.as_ref()).map(|pool| pool.accounts.len());
        let concurrent = lines.filter(|_| each_agent).unwrap_or(1) as u32;
        plan.load = Load { schedule: Schedule::OnCommand { concurrent }, stop: Stop::default() };
        checks.push(Some(Check {
            name,
            plan: Arc::new(plan),
            lab: compiled.lab,
            each_agent,
            cadence,
            jitter,
            overlap: match check.overlap {
                OverlapWord::Skip => Overlap::Skip,
                OverlapWord::QueueOne => Overlap::QueueOne,
            },
            catch_up: match check.catch_up {
                CatchUpWord::None => CatchUp::None,
                CatchUpWord::One => CatchUp::One,
            },
            maintenance,
            per_day: check.budget.per_day.into_iter().chain(file.budget.per_day).min(),
            per_number: check.budget.per_number.into_iter().chain(file.budget.per_number).min(),
            site: check.site.clone().or_else(|| file.site.clone()),
            labels: labels(check),
            reproduce: check.reproduce.unwrap_or(REPRODUCE),
            controls: Vec::new(),
        }));
    }
    if file.checks.is_empty() && !at.doc().lossy {
        report.add(at.key("checks"), "nothing is checked", "as checks: [{ scenario: call.yaml, every: 60s }]");
    }
    controls(file, &names, &mut checks, at.key("checks"), report);
    let checks: Vec<Check> = checks.into_iter().flatten().collect();
    if report.is_empty() {
        calls_a_day(&checks, at.key("checks"), report);
    }
    let alerts = alerts::compile(input, &file.alerts, at.key("alerts"), report);
    let (influx, metrics) = sinks(input, file, at.key("sinks"), report);
    let page = file.page.as_ref().and_then(|page| {
        let at = at.key("page");
        let token = page.token.as_ref();
        let token = token.map(|token| secret::resolve(input, token, Rules::ReferenceOnly, at.key("token"), report));
        if token.iter().flatten().any(|token| token.reveal().chars().count() < TOKEN) {
            let what = format!("a token of fewer than {TOKEN} characters is soon guessed");
            report.add(at.key("token"), what, "write another, as `openssl rand -hex 16` makes one");
        }
        let listen = listen(&page.listen, at.key("listen"), report)?;
        if !listen.ip().is_loopback() && token.is_none() {
            let help = "add `token: ${NAME}`, or listen at 127.0.0.1";
            report.add(at.key("listen"), "others can reach this page, and it asks for nothing", help);
        }
        Some(Page { listen, token: token.flatten() })
    });
    Watch {
        name: file.watch.clone(),
        description: file.description.clone().unwrap_or_default(),
        site: file.site.clone(),
        zone,
        zone_name,
        checks,
        alerts,
        influx,
        metrics,
        page,
    }
}

/// The scenario of a check with its target.
fn scenario(
    input: &Input<'_>,
    check: &CheckFile,
    known: &mut Known,
    at: At<'_>,
    report: &mut Report,
) -> Option<Compiled> {
    let path = at.doc().beside(&check.scenario);
    let target = match check.target.as_deref() {
        None | Some("lab") => check.target.clone(),
        Some(wanted) => {
            let is_path = wanted.contains('/') || wanted.ends_with(".yaml") || wanted.ends_with(".yml");
            let beside = if is_path { wanted.to_owned() } else { format!("targets/{wanted}.yaml") };
            let path = at.doc().beside(&beside);
            super::doc::read(input, &path, at.key("target"), report)?;
            // `./` keeps a bare file name a path.
            let path = path.display().to_string();
            Some(if path.contains('/') { path } else { format!("./{path}") })
        }
    };
    let set: Vec<(String, String)> = check.set.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect();
    let key = (path.display().to_string(), target.clone(), set.clone());
    if let Some(compiled) = known.get(&key) {
        return compiled.clone();
    }
    let text = super::doc::read(input, &path, at.key("scenario"), report);
    let compiled = text.and_then(|text| {
        let input = Input { path: &path, text: &text, target: target.as_deref(), set: &set, ..*input };
        match super::scenario(&input) {
            Ok(compiled) => Some(compiled),
            Err(mistakes) => {
                for mistake in mistakes.0 {
                    // A mistake in a setting stands in this file.
                    match check.set.keys().find(|key| mistake.file == format!("--set {key}=…")) {
                        Some(key) => report.add(
                            at.key("set").name(key),
                            mistake.message,
                            mistake.help.unwrap_or_default().replace("--set ", ""),
                        ),
                        None => report.take(mistake),
                    }
                }
                None
            }
        }
    });
    known.insert(key, compiled.clone());
    compiled
}

fn is_one_attempt(compiled: &Compiled, at: At<'_>, report: &mut Report) {
    let load = &compiled.plan.load;
    let one = matches!(load.schedule, Schedule::Closed { .. }) && load.planned() == Some(1);
    if !one || compiled.plan.kinds.is_some() {
        let help = "a check is one attempt each time: write `set: { load.calls: 1 }`, or a scenario of its own";
        report.add(at.key("scenario"), format!("`{}` has a load of its own", compiled.plan.scenario), help);
    }
    if compiled.plan.actors.iter().flat_map(|actor| &actor.steps).any(|step| matches!(step, Step::HoldOpen)) {
        let help = "nobody lets go of it: write `talk: { for: 10s }` in a scenario of its own";
        report.add(at.key("scenario"), format!("`{}` holds its call open", compiled.plan.scenario), help);
    }
}

fn cadence(check: &CheckFile, at: At<'_>, report: &mut Report) -> Option<Cadence> {
    match (check.every, &check.cron) {
        (Some(_), Some(_)) => {
            report.add(at.name("cron"), "`every` and `cron` are both given", "keep one");
            None
        }
        (Some(every), None) => {
            let every = alerts::within(Some(every), every.0, (SHORTEST, LONGEST), at.key("every"), report);
            Some(Cadence::Every(every))
        }
        (None, Some(cron)) => self::cron(cron, at.key("cron"), report).map(Cadence::Cron),
        (None, None) if at.doc().lossy => None,
        (None, None) => {
            report.add(at, "when does this check come?", "add `every: 60s`, or `cron: \"*/5 8-18 * * mon-fri\"`");
            None
        }
    }
}

fn cron(text: &str, at: At<'_>, report: &mut Report) -> Option<Cron> {
    match text.parse() {
        Ok(cron) => Some(cron),
        Err(error) => {
            report.add(at, format!("{error}"), "");
            None
        }
    }
}

fn jitter(check: &CheckFile, at: At<'_>, report: &mut Report) -> Duration {
    let Some(Period(jitter)) = check.jitter else { return Duration::ZERO };
    let most = check.every.map_or(Duration::from_secs(30), |every| every.0 / 2);
    if jitter > most {
        let help = format!("at most {}, so that starts keep apart", Period(most));
        report.add(at.key("jitter"), format!("{} of jitter", Period(jitter)), help);
    }
    jitter
}

fn maintenance(files: &[MaintenanceFile], zone: &TimeZone, at: At<'_>, report: &mut Report) -> Vec<Maintenance> {
    let mut all = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let at = at.index(index);
        let when = match (&file.cron, file.duration, &file.from, &file.to) {
            (Some(cron), Some(period), None, None) => {
                let lasts = alerts::within(Some(period), period.0, (1, 168 * 3600), at.key("for"), report);
                self::cron(cron, at.key("cron"), report).map(|cron| When::Recurring(cron, lasts))
            }
            (None, None, Some(from), Some(to)) => {
                let ends = (moment(from, zone, at.key("from"), report), moment(to, zone, at.key("to"), report));
                match ends {
                    (Some(from), Some(to)) if from >= to => {
                        report.add(at.key("to"), "it ends before it begins", "");
                        None
                    }
                    (Some(from), Some(to)) => Some(When::Once(from, to)),
                    _ => None,
                }
            }
            _ => {
                let help =
                    "write { cron: \"0 2 * * sun\", for: 2h } or { from: 2026-12-24T22:00, to: 2026-12-25T02:00 }";
                report.add(at, "this is no maintenance", help);
                None
            }
        };
        all.extend(when.map(|when| Maintenance { when, reason: file.reason.clone() }));
    }
    all
}

/// A civil time of the watch's zone.
fn moment(text: &str, zone: &TimeZone, at: At<'_>, report: &mut Report) -> Option<Timestamp> {
    let civil: Result<DateTime, _> = text.trim().parse();
    match civil.ok().and_then(|civil| zone.to_timestamp(civil).ok()) {
        // With `Z` or an offset it would be read as if these were not there.
        Some(at) if !text.trim().ends_with('Z') && !text.contains('+') => Some(at),
        _ => {
            report.add(at, format!("`{text}` is no date and time"), "as 2026-12-24T22:00, in the watch's time zone");
            None
        }
    }
}

fn zone(name: Option<&str>, at: At<'_>, report: &mut Report) -> (TimeZone, String) {
    let Some(name) = name else { return (TimeZone::UTC, "UTC".to_owned()) };
    // Not the machine's: the same file means the same everywhere.
    let zones = TimeZoneDatabase::bundled();
    let zone = zones.get(name).unwrap_or_else(|_| {
        let names: Vec<String> = zones.available().map(|name| name.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let near = nearest(name, &names).map_or_else(String::new, |near| format!("did you mean `{near}`? "));
        report.add(at, format!("unknown time zone `{name}`"), format!("{near}write a name as Asia/Taipei, or UTC"));
        TimeZone::UTC
    });
    (zone, name.to_owned())
}

fn labels(check: &CheckFile) -> Labels {
    let labels = check.labels.clone();
    Labels {
        unit: labels.unit,
        hotline: labels.hotline,
        trunk: labels.trunk,
        carrier: labels.carrier,
        gateway: labels.gateway,
    }
}

/// Checks that are named as controls of others.
fn controls(file: &WatchFile, names: &[String], checks: &mut [Option<Check>], at: At<'_>, report: &mut Report) {
    for (index, check) in file.checks.iter().enumerate() {
        for (place, wanted) in check.controls.iter().enumerate() {
            let at = at.index(index).key("controls").index(place);
            match names.iter().position(|name| name == wanted) {
                Some(other) if other == index => {
                    report.add(at, "a check is no control of itself", "name another");
                }
                Some(other) => {
                    if let Some(check) = &mut checks[index] {
                        check.controls.push(other);
                    }
                }
                None => {
                    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| !name.is_empty()).collect();
                    report.add(at, format!("unknown check `{wanted}`"), did_you_mean(wanted, "a check", &names));
                }
            }
        }
    }
}

/// All checks of a target together keep within the calls that it allows.
fn calls_a_day(checks: &[Check], at: At<'_>, report: &mut Report) {
    let mut by_target: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for check in checks {
        let Some(target) = check.plan.actors.first().map(|actor| &actor.target).filter(|target| !target.lab) else {
            continue;
        };
        let (calls, most) = by_target.entry(&target.name).or_insert((0, u64::MAX));
        (*calls, *most) = (*calls + check.per_day(), (*most).min(target.safety.max_calls));
    }
    for (target, (calls, most)) in by_target {
        if calls > most {
            let help = format!(
                "check less often, give them a `budget: {{ per_day: … }}`, or raise `safety.max_calls` in the target \
                 file (it is {most})"
            );
            report.add(at, format!("{calls} calls a day to `{target}` are more than it allows"), help);
        }
    }
}

fn sinks(input: &Input<'_>, file: &WatchFile, at: At<'_>, report: &mut Report) -> (Option<Influx>, Option<SocketAddr>) {
    let (mut influx, mut metrics) = (None, None);
    for (index, sink) in file.sinks.iter().enumerate() {
        let at = at.index(index);
        let twice = match sink {
            SinkFile::Influxdb(file) => influx.replace(self::influx(input, file, at.key("influxdb"), report)).is_some(),
            SinkFile::Prometheus(file) => {
                metrics.replace(listen(&file.listen, at.key("prometheus").key("listen"), report)).is_some()
            }
        };
        if twice {
            report.add(at, "two sinks of a kind are not supported yet", "keep one");
        }
    }
    (influx, metrics.flatten())
}

fn influx(input: &Input<'_>, file: &InfluxFile, at: At<'_>, report: &mut Report) -> Influx {
    let token = file.token.as_ref();
    let token = token.and_then(|token| secret::resolve(input, token, Rules::ReferenceOnly, at.key("token"), report));
    if file.url.contains(['?', '@']) {
        let help = "write http://HOST:PORT; org, bucket and db are keys of their own, tokens come from `token`";
        report.add(at.key("url"), "this is more than an address", help);
    }
    if file.bucket.is_none() && file.db.is_none() {
        let help = "write `org` and `bucket` for InfluxDB 2, or `db` for 1.x and 3";
        report.add(at, "which database?", help);
    }
    let names = [("org", &file.org), ("bucket", &file.bucket), ("db", &file.db), ("api", &file.api)];
    let mut query = Vec::new();
    for (name, value) in names {
        let Some(value) = value else { continue };
        if value.is_empty() || value.contains(['&', '=', '#', '%', '+', ' ']) {
            report.add(at.key(name), format!("`{value}` cannot be part of an address"), "write a plain name");
        }
        query.push(format!("{name}={value}"));
    }
    Influx { url: format!("{}?{}", file.url.trim_end_matches('/'), query.join("&")), token }
}

fn listen(text: &str, at: At<'_>, report: &mut Report) -> Option<SocketAddr> {
    match text.parse() {
        Ok(address) => Some(address),
        Err(_) => {
            report.add(at, format!("`{text}` is no address to listen at"), "as 127.0.0.1:9410");
            None
        }
    }
}
