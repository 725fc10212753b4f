//! `ringfleet sheet`: the incident sheet of one call of a run, or of one incident of a watch.

use std::cmp::Reverse;
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

/// The sheet of an incident, with the last of its calls that has a record, or its first where that can be named better.
fn of_incident(run_dir: &Path, incident: &Incident, numbers: Numbers) -> anyhow::Result<Sheet> {
    let [last, first] = [&incident.last_call, &incident.first_call].map(|call| evidence::find(run_dir, &call.call_id));
    let record = [last?, first?].into_iter().flatten().min_by_key(|record| Reverse(Sheet::names_in(record)));
    let (about, files) = match &record {
        Some(record) => (about(run_dir, &record.target)?, evidence::files(run_dir, record)),
        None => (About::default(), Vec::new()),
    };
    Ok(Sheet::of_incident(incident, record.as_ref(), &about, files, numbers))
}

/// An incident as it stood last. A run has none, and a line that a kill cut short is none.
fn incident(run_dir: &Path, id: &str) -> anyhow::Result<Option<Incident>> {
    let path = run_dir.join("incidents.jsonl");
    let mut found = None;
    let lines = fs::File::open(&path).into_iter().flat_map(|file| BufReader::new(file).lines());
    for line in lines {
        let line = line.with_context(|| format!("cannot read {}", path.display()))?;
        if let Some(Line { incident }) =
            Some(&line).filter(|line| line.contains(id)).and_then(|line| serde_json::from_str(line).ok())
            && incident.id == id
        {
            found = Some(incident);
        }
    }
    // Calls are counted without a change, too; while it is open, that is in a file of its own.
    let open = fs::read_to_string(run_dir.join("incidents-open.json")).unwrap_or_default();
    let open: Vec<Incident> = serde_json::from_str(&open).unwrap_or_default();
    let grown = open.into_iter().find(|incident| incident.id == id);
    let stands = |incident: &Incident| (incident.updated_at, incident.tested);
    Ok(match (found, grown) {
        (Some(found), Some(grown)) if found.closed_at.is_none() && stands(&grown) >= stands(&found) => Some(grown),
        (found, grown) => found.or(grown),
    })
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::incident::sample_incident;

    #[test]
    fn the_sheet_of_an_incident_that_is_still_open_has_what_is_counted_now() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let tested = || incident(folder.path(), "inc-1").expect("readable").map(|incident| incident.tested);
        assert_eq!(tested(), None);
        let line = |incident: &Incident| serde_json::to_string(incident).expect("plain data");
        let opened = sample_incident();
        let grown = Incident { tested: 795, failures: 795, ..opened.clone() };
        let closed = Incident { tested: 900, closed_at: Some(Timestamp::UNIX_EPOCH), ..opened.clone() };
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("written");
        write("incidents.jsonl", &format!("{}\n", line(&opened)));
        assert_eq!(tested(), Some(opened.tested));
        write("incidents-open.json", &format!("[{}]", line(&grown)));
        assert_eq!(tested(), Some(795));
        write("incidents.jsonl", &format!("{}\n{}\n", line(&opened), line(&closed)));
        assert_eq!(tested(), Some(900), "it is over");
        write("incidents.jsonl", &format!("{}\n", line(&Incident { tested: 800, ..opened })));
        assert_eq!(tested(), Some(800), "it has changed since");
        fs::remove_file(folder.path().join("incidents.jsonl")).expect("there");
        assert_eq!(tested(), Some(795), "the watch was started anew, and it has not changed since");
    }
}
