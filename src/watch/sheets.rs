//! What a message and the page carry beside the incident: the sheet, with the record of one of its calls, and links. The one
//! keeper of records of failed calls. No clock, no files.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::job::{Outcome, Purpose};
use crate::incident::{About, Incident, Link, Numbers, Sheet};
use crate::record::CallRecord;
use crate::scenario::watch::Watch;
use crate::scenario::watch::form::Form;

/// Failed calls whose records are at hand, the latest ones: as many as have evidence.
const MOST: usize = 1_000;
/// Incidents whose call is remembered after that; the judge knows no more faults at a time.
const MOST_INCIDENTS: usize = 512;

/// See the module.
pub(super) struct Sheets {
    folder: PathBuf,
    about: BTreeMap<String, About>,
    failed: VecDeque<Arc<Failed>>,
    /// By incident that is open: the call that its sheet is of.
    calls: BTreeMap<String, Arc<Failed>>,
}

/// A call that failed.
struct Failed {
    record: CallRecord,
    /// Names of its files of evidence.
    files: Vec<&'static str>,
}

impl Sheets {
    /// `folder` is that of the watch.
    pub(super) fn new(folder: &Path, watch: &Watch) -> Self {
        let mut sheets =
            Self { folder: folder.to_owned(), about: BTreeMap::new(), failed: VecDeque::new(), calls: BTreeMap::new() };
        sheets.replace(watch);
        sheets
    }

    /// Targets of another file.
    pub(super) fn replace(&mut self, watch: &Watch) {
        let actors = watch.checks.iter().flat_map(|check| &check.plan.actors);
        let about = actors.map(|actor| (actor.target.name.clone(), About::of(&actor.target.labels)));
        self.about = about.collect();
    }

    /// A call has ended. What repeats a failure is no call of an incident.
    pub(super) fn handle_result(&mut self, outcome: &Outcome) {
        let record = &outcome.finished.record;
        if !record.is_failed() || outcome.purpose == Purpose::Reproduction {
            return;
        }
        if self.failed.len() == MOST {
            self.failed.pop_front();
        }
        let files = outcome.files.iter().flatten().map(|file| file.name).collect();
        self.failed.push_back(Arc::new(Failed { record: record.clone(), files }));
    }

    /// The sheet of an incident: with its last call, the one that it had before, or its first, whichever can be named best at
    /// the other end. Evidence is named as it lies in the folder.
    pub(super) fn of(&mut self, incident: &Incident) -> Sheet {
        let find = |id: &str| self.failed.iter().rev().find(|failed| failed.record.call_id == id).cloned();
        let (first, last) = (find(&incident.first_call.call_id), find(&incident.last_call.call_id));
        let before = self.calls.remove(&incident.id);
        let calls = [last, before, first.clone()].into_iter().flatten();
        let call = calls.min_by_key(|call| Reverse(Sheet::names_in(&call.record)));
        if let Some(call) = call.as_ref().filter(|_| incident.closed_at.is_none()) {
            self.calls.insert(incident.id.clone(), Arc::clone(call));
            if self.calls.len() > MOST_INCIDENTS {
                // Their names begin with the time.
                self.calls.pop_first();
            }
        }
        let record = call.as_ref().map(|call| &call.record);
        // Without a record, the only target there is.
        let only = self.about.values().next().filter(|_| self.about.len() == 1);
        let about = record.map_or(only, |record| self.about.get(&record.target)).cloned().unwrap_or_default();
        let names = |of: &Arc<Failed>| {
            let path = |name: &&str| format!("evidence/{}/{name}", of.record.call_id);
            of.files.iter().map(path).collect::<Vec<_>>()
        };
        let mut evidence: Vec<String> = [first, call.clone()].iter().flatten().flat_map(names).collect();
        evidence.sort_unstable();
        evidence.dedup();
        // Where numbers are to be hidden, they are hidden in the record already.
        Sheet::of_incident(incident, record, &about, evidence, Numbers::Shown)
    }

    /// The same for people elsewhere: evidence is named with the folder that it lies in.
    pub(super) fn with_folder(&self, sheet: Sheet) -> Sheet {
        let path = |name: &String| self.folder.join(name).display().to_string();
        Sheet { evidence: sheet.evidence.iter().map(path).collect(), ..sheet }
    }
}

/// Links of an incident, as the file gives them.
pub(super) fn links(watch: &Watch, incident: &Incident) -> Vec<Link> {
    let words = json!({
        "id": incident.id,
        "scope": incident.scope.name(),
        "value": incident.value,
        "unit": incident.unit,
        "call_id": incident.last_call.call_id,
        "watch": watch.name,
    });
    let of = |(name, url): &(String, String)| {
        // It was tried when the file was read.
        let url = Form::address(url).and_then(|form| form.render(&words)).ok()?;
        Some(Link { name: name.clone(), url })
    };
    watch.alerts.links.iter().filter_map(of).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::Timestamp;

    use super::super::incidents::tests::watch;
    use super::*;
    use crate::call::Finished;
    use crate::evidence::File;
    use crate::incident::sample_incident;
    use crate::record::Class;

    /// A call of the watch that ended in this minute, with a ladder where it failed.
    fn outcome(class: Class, purpose: Purpose, minute: i64) -> Outcome {
        let text = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(text).expect("valid");
        (record.class, record.call_id, record.target) = (class, format!("c-{minute}"), "pbx".into());
        let files = vec![File { name: "ladder.txt", bytes: Vec::new() }];
        let finished = Finished { record, registration: None, primary: true, beside: false, owner: 1, answered: true };
        let files = (class != Class::Ok).then_some(files);
        Outcome { finished, files, purpose, tried_again: false }
    }

    #[test]
    fn the_sheet_of_an_incident_has_what_its_call_knows_as_long_as_the_incident_is_open() {
        let mut sheets = Sheets::new(Path::new("/runs/w"), &watch());
        sheets.handle_result(&outcome(Class::Ok, Purpose::Scheduled, 6));
        sheets.handle_result(&outcome(Class::CallNetworkFailed, Purpose::Reproduction, 8));
        sheets.handle_result(&outcome(Class::CallNetworkFailed, Purpose::Scheduled, 7));
        assert_eq!(sheets.failed.len(), 1, "one that failed, and not what repeats it");
        let open = sample_incident();
        assert_eq!((open.first_call.call_id.as_str(), open.last_call.call_id.as_str()), ("c-7", "c-99"));
        let sheet = sheets.of(&open);
        assert_eq!((sheet.class.as_deref(), sheet.evidence.len()), (Some("call.network_failed"), 1));
        assert_eq!(sheet.evidence, ["evidence/c-7/ladder.txt"]);
        assert_eq!(sheets.with_folder(sheet).evidence, ["/runs/w/evidence/c-7/ladder.txt"]);
        // Its call makes room for a thousand others.
        for minute in 100..100 + MOST as i64 {
            sheets.handle_result(&outcome(Class::CallNetworkFailed, Purpose::Scheduled, minute));
        }
        assert_eq!(sheets.failed.len(), MOST);
        assert!(sheets.of(&open).from.is_some(), "it is remembered");
        let closed = Incident { closed_at: Some(Timestamp::UNIX_EPOCH), ..open.clone() };
        assert!(sheets.of(&closed).from.is_some(), "once more, at its end");
        assert_eq!((sheets.of(&open).from, sheets.calls.len()), (None, 0));
    }

    #[test]
    fn the_sheet_of_an_incident_keeps_the_call_that_can_be_named_when_later_ones_were_never_sent() {
        let mut sheets = Sheets::new(Path::new("/runs/w"), &watch());
        sheets.handle_result(&outcome(Class::CallNetworkFailed, Purpose::Scheduled, 7));
        let mut never_sent = outcome(Class::TransportRefused, Purpose::Scheduled, 99);
        let record = &mut never_sent.finished.record;
        (record.from, record.to, record.sip_call_ids) = (None, None, Vec::new());
        sheets.handle_result(&never_sent);
        let open = sample_incident();
        assert_eq!((open.first_call.call_id.as_str(), open.last_call.call_id.as_str()), ("c-7", "c-99"));
        assert_eq!(sheets.of(&open).call_id.as_deref(), Some("c-7"));
        sheets.failed.pop_front();
        assert_eq!(sheets.of(&open).call_id.as_deref(), Some("c-7"), "it is remembered");
        sheets.calls.clear();
        assert_eq!(sheets.of(&open).call_id.as_deref(), Some("c-99"), "all there is");
    }

    #[test]
    fn links_of_a_file_hold_what_they_name_of_the_incident() {
        let mut watch = watch();
        let url = "http://127.0.0.1/{{ watch }}/{{ id }}?at={{ scope }}:{{ value }}&of={{ unit }}";
        watch.alerts.links = vec![("Page".into(), url.into())];
        let incident = Incident { value: "cht & co".into(), unit: None, ..sample_incident() };
        let links = links(&watch, &incident);
        assert_eq!(links[0].url, "http://127.0.0.1/w/inc-1?at=trunk:cht%20%26%20co&of=");
    }
}
