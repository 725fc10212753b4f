//! From files to a [`Plan`]: names are looked up, secrets fetched, guard rails applied, all mistakes reported at once.
//!
//! Nothing is opened here: [`Input::read`] gives the texts of further files, [`Input::env`] the environment.

mod accounts;
mod actors;
mod agent;
mod alerts;
mod codecs;
mod doc;
mod dtmf;
mod expect;
mod find_limit;
mod headers;
mod ice;
mod kinds;
mod lab;
mod lab_limits;
mod length;
mod licence;
mod limits;
mod load;
mod numbers;
mod request;
mod safety;
mod secret;
mod server;
mod session;
mod set;
mod site;
mod sites;
mod srtp;
mod steps;
mod tls;
mod video;
mod watch;
mod ways;
mod websocket;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use self::doc::Report;
pub(crate) use self::limits::accounts_at;
pub use self::limits::{concurrency, concurrency_of};
use super::diagnostic::Diagnostics;
use super::file::scenario::ListenWord;
use super::file::{LabFile, ScenarioFile, TargetFile, WatchFile};
use super::lab::LabPlan;
use super::plan::{Listen, Plan, Target};
use super::schema::FileKind;
use super::watch::Watch;

/// What a scenario is compiled from.
pub struct Input<'a> {
    /// Path of the scenario: shown in messages, and what its relative paths begin from.
    pub path: &'a Path,
    /// Its text.
    pub text: &'a str,
    /// `--target`: a name or a path, relative to the working directory.
    pub target: Option<&'a str>,
    /// `--set KEY=VALUE`, in order.
    pub set: &'a [(String, String)],
    /// The environment, for secrets only.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Reads a further file.
    pub read: &'a dyn Fn(&Path) -> io::Result<String>,
}

/// What a scenario comes to.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The plan.
    pub plan: Plan,
    /// The lab that has to be started for it, where a target is a lab.
    pub lab: Option<Arc<LabPlan>>,
}

pub(crate) use numbers::is_dialable;

/// Values of `variables:`, after `--set`.
#[derive(Clone)]
pub(crate) struct Constants<'a> {
    values: &'a BTreeMap<String, super::file::scalar::Digits>,
    /// The actors in the order of the file, to name their accounts.
    actors: Vec<String>,
    /// What earlier steps of the same actor keep.
    captured: Vec<String>,
}

impl Constants<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.values.get(name).map(|value| value.0.clone())
    }

    fn is_captured(&self, name: &str) -> bool {
        self.captured.iter().any(|captured| captured == name)
    }

    fn has_actor(&self, name: &str) -> bool {
        self.actors.iter().any(|actor| actor == name)
    }
}

/// Compiles a scenario with its targets and accounts.
///
/// # Errors
/// [`Diagnostics`] holds every mistake of every file.
pub fn scenario(input: &Input<'_>) -> Result<Compiled, Diagnostics> {
    let mut report = Report::default();
    let compiled = try_scenario(input, &mut report);
    let diagnostics = report.into_diagnostics();
    match compiled {
        Some(compiled) if diagnostics.is_empty() => Ok(compiled),
        _ => Err(diagnostics),
    }
}

fn try_scenario(input: &Input<'_>, report: &mut Report) -> Option<Compiled> {
    let text = input.text.to_owned();
    let (doc, file) = doc::load::<ScenarioFile>(FileKind::Scenario, input.path, text, input.set, report)?;
    let at = doc.at();
    let Some(file) = file else {
        // The target's own mistakes are worth showing in the same go.
        sites::of_broken_scenario(input, at, report);
        return None;
    };
    let sites = sites::load(input, &file, at, report);
    let constants = Constants { values: &file.variables, actors: actors::names(&file, at), captured: Vec::new() };
    let (mut actors, mut places) = actors::compile(input, &file, &sites, &constants, at, report);
    let seed = load::seed(file.load.as_ref());
    // With a mistake in an actor, who goes with whom is not known.
    let kinds = if report.is_empty() { kinds::compile(&file, &mut actors, &mut places, seed, report) } else { None };
    let load = load::compile(file.load.as_ref(), at, report);
    let searches = file.load.as_ref().is_some_and(|load| load.find_limit.is_some());
    let warm_up = load::warm_up(file.load.as_ref(), &load, at, report);
    let abort_when = expect::aborts(&file.abort_when, warm_up, at.key("abort_when"), report);
    let expect = expect::compile(input, &file.expect, (&actors, searches), at.key("expect"), report);
    if file.listen == ListenWord::Packets {
        expect::without_listening(&file.expect, at.key("expect"), report);
    }
    let search = file.load.as_ref().and_then(|load| Some((load, load.find_limit.as_ref()?)));
    let scope = find_limit::Scope { sites: &sites, constants: &constants, actors: &actors, places: &places };
    let search = search.and_then(|(load, search)| find_limit::compile(load, search, &scope, at, report));
    let safety = sites.safety()?;
    let mut plan = Plan {
        scenario: file.scenario.clone(),
        description: file.description.clone().unwrap_or_default(),
        actors,
        load,
        seed,
        kinds,
        warm_up,
        abort_when,
        test_call: None,
        expect,
        safety,
        filled: Vec::new(),
        // A search keeps each Retry-After itself.
        honour_retry_after: search.is_none()
            && file.load.as_ref().and_then(|load| load.honour_retry_after).unwrap_or(true),
        mask_numbers: sites.mask_numbers(),
        listen: match file.listen {
            ListenWord::Full => Listen::Full,
            ListenWord::Tones => Listen::Tones,
            ListenWord::Packets => Listen::Packets,
        },
    };
    if plan.listen == Listen::Full && plan.expects_keys() {
        plan.listen = Listen::Tones;
    }
    // With a mistake further up, figures of the whole would only confuse.
    if report.is_empty() {
        if let Some(search) = search {
            plan.load = search.load;
            plan.filled = limits::check(&plan, &places, at, report);
            plan.actors.extend(search.control);
            plan.test_call = search.test_call;
        } else {
            plan.filled = limits::check(&plan, &places, at, report);
        }
    }
    Some(Compiled { plan, lab: sites.lab() })
}

/// Compiles a target file by itself, as `ringfleet check` does.
///
/// # Errors
/// [`Diagnostics`] holds every mistake.
pub fn target(input: &Input<'_>) -> Result<Arc<Target>, Diagnostics> {
    let mut report = Report::default();
    let loaded = doc::load::<TargetFile>(FileKind::Target, input.path, input.text.to_owned(), &[], &mut report);
    let target =
        loaded.and_then(|(doc, file)| file.map(|file| site::compile(input, &file, doc.at(), &mut report).target));
    finish(target, report)
}

/// Compiles a lab file.
///
/// # Errors
/// [`Diagnostics`] holds every mistake.
pub fn lab(input: &Input<'_>) -> Result<LabPlan, Diagnostics> {
    let mut report = Report::default();
    let loaded = doc::load::<LabFile>(FileKind::Lab, input.path, input.text.to_owned(), &[], &mut report);
    let plan = loaded.and_then(|(doc, file)| file.map(|file| lab::compile(input, &file, doc.at(), &mut report)));
    finish(plan, report)
}

/// Compiles a watch file with the scenarios and targets of its checks.
///
/// # Errors
/// [`Diagnostics`] holds every mistake of every file.
pub fn watch(input: &Input<'_>) -> Result<Watch, Diagnostics> {
    let mut report = Report::default();
    let loaded = doc::load::<WatchFile>(FileKind::Watch, input.path, input.text.to_owned(), &[], &mut report);
    let watch = loaded.and_then(|(doc, file)| file.map(|file| watch::compile(input, &file, doc.at(), &mut report)));
    finish(watch, report)
}

fn finish<T>(value: Option<T>, report: Report) -> Result<T, Diagnostics> {
    let diagnostics = report.into_diagnostics();
    match value {
        Some(value) if diagnostics.is_empty() => Ok(value),
        _ => Err(diagnostics),
    }
}

/// What kind of file a text is, by its top-level keys; a scenario where nothing says otherwise.
pub fn kind_of(text: &str) -> FileKind {
    let Ok((root, _)) = super::tree::parse(text) else { return FileKind::Scenario };
    if root.get("scenario").is_some() {
        return FileKind::Scenario;
    }
    if root.get("watch").is_some() || root.get("checks").is_some() {
        return FileKind::Watch;
    }
    match (root.get("lab"), root.get("target")) {
        (Some(_), _) => FileKind::Lab,
        // A scenario without its name has a target too, but nothing that only targets have.
        (None, Some(_)) if root.get("caller").is_none() && root.get("actors").is_none() => FileKind::Target,
        _ => FileKind::Scenario,
    }
}

#[cfg(test)]
mod tests;
