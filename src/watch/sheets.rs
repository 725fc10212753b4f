//! What a message carries beside the incident: the sheet, with the record of one of its calls, and links.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use crate::incident::{About, Incident, Link, Numbers, Sheet};
use crate::record::CallRecord;
use crate::scenario::watch::Watch;

/// Failed calls whose records are at hand, the latest ones.
const MOST: usize = 1_000;

/// See the module.
pub(super) struct Sheets {
    folder: PathBuf,
    about: BTreeMap<String, About>,
    failed: VecDeque<CallRecord>,
}

impl Sheets {
    pub(super) fn new(folder: &Path, watch: &Watch) -> Self {
        let mut sheets = Self { folder: folder.to_owned(), about: BTreeMap::new(), failed: VecDeque::new() };
        sheets.replace(watch);
        sheets
    }

    /// Targets of another file.
    pub(super) fn replace(&mut self, watch: &Watch) {
        let actors = watch.checks.iter().flat_map(|check| &check.plan.actors);
        let about = actors.map(|actor| (actor.target.name.clone(), About::of(&actor.target.labels)));
        self.about = about.collect();
    }

    /// A call has ended.
    pub(super) fn handle_result(&mut self, record: &CallRecord) {
        if record.is_failed() {
            if self.failed.len() == MOST {
                self.failed.pop_front();
            }
            self.failed.push_back(record.clone());
        }
    }

    /// The sheet of an incident: with its last call, of which there is most at hand, else with its first.
    pub(super) fn of(&self, incident: &Incident) -> Sheet {
        let find = |id: &str| self.failed.iter().rev().find(|record| record.call_id == id);
        let record = find(&incident.last_call.call_id).or_else(|| find(&incident.first_call.call_id));
        // Without a record, the only target there is.
        let only = self.about.values().next().filter(|_| self.about.len() == 1);
        let about = record.map_or(only, |record| self.about.get(&record.target)).cloned().unwrap_or_default();
        let calls = [&incident.first_call.call_id, &incident.last_call.call_id];
        let mut evidence: Vec<String> = calls.into_iter().flat_map(|id| self.evidence(id)).collect();
        evidence.dedup();
        Sheet::of_incident(incident, record, &about, evidence, Numbers::Shown)
    }

    /// Files of a call.
    fn evidence(&self, call_id: &str) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.join("evidence").join(call_id)).into_iter().flatten().flatten();
        let mut names: Vec<String> = files.map(|file| file.path().display().to_string()).collect();
        names.sort();
        names
    }
}

/// Links of an incident, as the file gives them.
pub(super) fn links(watch: &Watch, incident: &Incident) -> Vec<Link> {
    let of = |(name, url): &(String, String)| {
        let mut out = String::new();
        let mut rest = url.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            out.push_str(before);
            let (word, after) = after.split_once("}}").unwrap_or((after, ""));
            let value = match word.trim() {
                "id" => incident.id.as_str(),
                "scope" => incident.scope.name(),
                "value" => &incident.value,
                "unit" => incident.unit.as_deref().unwrap_or_default(),
                "call_id" => &incident.last_call.call_id,
                // The file knows no other word.
                _ => &watch.name,
            };
            out.push_str(&escaped(value));
            rest = after;
        }
        Link { name: name.clone(), url: out + rest }
    };
    watch.alerts.links.iter().map(of).collect()
}

/// RFC 3986 §2.1: all but the unreserved characters in percent signs.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_links_are_escaped() {
        assert_eq!(escaped("cht or gw-1/ü"), "cht%20or%20gw-1%2F%C3%BC");
    }
}
