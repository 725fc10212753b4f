//! `ringfleet sheet`: the incident sheet of one call of a run, or of one incident of a watch.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Deserialize;

use super::out::{self, note};
use super::{evidence, exit};
use crate::incident::{About, Incident, Numbers, Sheet};
use crate::report::Summary;
use crate::units::printable;

/// A line of `incidents.jsonl`, as far as a sheet is concerned.
#[derive(Deserialize)]
struct Line {
    #[serde(flatten)]
    incident: Incident,
}

pub(super) fn run(run_dir: &Path, id: &str, json: bool, numbers: Numbers) -> anyhow::Result<u8> {
    let sheet = match incident(run_dir, id)? {
        Some(incident) => of_incident(run_dir, &incident, numbers)?,
        None => match evidence::find(run_dir, id)? {
            Some(record) => {
                let about = about(run_dir, &record.target)?;
                Sheet::of_call(&record, &about, evidence::files(run_dir, &record), numbers)
            }
            None => {
                let (calls, incidents) = (run_dir.join("calls.jsonl"), run_dir.join("incidents.jsonl"));
                let (calls, incidents) = (calls.display(), incidents.display());
                note!("ringfleet: {calls} holds no record of a call `{id}`, and {incidents} none of such an incident");
                return Ok(exit::USAGE);
            }
        },
    };
    if !json {
        writeln!(out::stdout(), "{}", printable(&sheet.to_string()))?;
    }
    writeln!(out::stdout(), "{}", serde_json::to_string_pretty(&sheet)?)?;
    Ok(exit::PASS)
}

/// The sheet of an incident, with the last of its calls that has a record.
fn of_incident(run_dir: &Path, incident: &Incident, numbers: Numbers) -> anyhow::Result<Sheet> {
    let mut record = None;
    for call in [&incident.last_call, &incident.first_call] {
        record = match record {
            None => evidence::find(run_dir, &call.call_id)?,
            found => found,
        };
    }
    let (about, files) = match &record {
        Some(record) => (about(run_dir, &record.target)?, evidence::files(run_dir, record)),
        None => (About::default(), Vec::new()),
    };
    Ok(Sheet::of_incident(incident, record.as_ref(), &about, files, numbers))
}

/// An incident as it stood last. A run has none, and a line that a kill cut short is none.
fn incident(run_dir: &Path, id: &str) -> anyhow::Result<Option<Incident>> {
    let path = run_dir.join("incidents.jsonl");
    let Ok(file) = fs::File::open(&path) else { return Ok(None) };
    let mut found = None;
    for line in BufReader::new(file).lines() {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        if let Some(Line { incident }) =
            Some(&line).filter(|line| line.contains(id)).and_then(|line| serde_json::from_str(line).ok())
            && incident.id == id
        {
            found = Some(incident);
        }
    }
    Ok(found)
}

/// What is known of a target: by a watch in `targets.json`, by a run in its summary. One that was cut short has none: then
/// it is missing on the sheet.
fn about(run_dir: &Path, target: &str) -> anyhow::Result<About> {
    let read = |name: &str| {
        let path = run_dir.join(name);
        fs::read_to_string(&path).ok().map(|text| (path, text))
    };
    if let Some((path, text)) = read("targets.json") {
        let targets: BTreeMap<String, BTreeMap<String, String>> =
            serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(targets.get(target).map(About::of).unwrap_or_default());
    }
    let Some((path, text)) = read("summary.json") else { return Ok(About::default()) };
    let summary: Summary = serde_json::from_str(&text).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(summary.about.get(target).map(About::of).unwrap_or_default())
}
