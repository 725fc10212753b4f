//! What readers of a watch see: the answers of the API, and what the page is written from.
//!
//! A [`View`] is made by the watch as a whole and never changes: readers hold it as long as they like. `null` is unknown.
//! Numbers of calls whose target wants that are masked before they come here.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::incident::{self, Change, Message, Sheet};
use crate::record::{CallRecord, Class, Finding, Origin, Retry, explain};

/// All that is shown.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The watch as a whole.
    pub status: Status,
    /// Its lines, in the order of its file.
    pub lines: Vec<Line>,
    /// The last calls that failed, the latest first.
    pub failures: Vec<Arc<Failure>>,
    /// Incidents that are open, and those that closed last, the latest first.
    pub incidents: Vec<Arc<Incident>>,
    /// In which times are written for people.
    pub zone: Option<TimeZone>,
}

/// The watch as a whole.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Status {
    /// Its name.
    pub watch: String,
    /// What it is for.
    pub description: String,
    /// Where it stands.
    pub site: Option<String>,
    /// The version that runs.
    pub version: String,
    /// Time zone of its days and minutes.
    pub time_zone: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When all of this was so.
    pub at: Timestamp,
    /// How many lines are in which state.
    pub lines: Counts,
    /// Incidents that are open.
    pub incidents_open: u64,
    /// Of them, those that hit more than single agents.
    pub incidents_widespread: u64,
    /// Calls under way.
    pub calls_in_progress: u64,
    /// What is wrong with the watch itself, the latest last.
    pub troubles: Vec<Trouble>,
    /// Where results go.
    pub sinks: Vec<Sink>,
}

/// How many lines are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Counts {
    /// All of them.
    pub total: u64,
    /// Those whose last call held.
    pub ok: u64,
    /// Those whose last call failed and passed when tried again.
    pub interrupted: u64,
    /// Those whose last call failed.
    pub failing: u64,
    /// Those that have no result yet.
    pub unknown: u64,
}

/// Something that is wrong with the watch itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Trouble {
    /// In words.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
}

/// Somewhere that results go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Sink {
    /// Its kind.
    pub name: String,
    /// Where it is, without secrets.
    pub url: String,
    /// Whether it takes what it is given.
    pub up: bool,
    /// What it says, where it does not.
    pub error: Option<String>,
    /// Results that it has.
    pub written: u64,
    /// Results that wait for it on disk.
    pub waiting: u64,
    /// Results that it refused for good.
    pub rejected: u64,
}

/// How a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LineState {
    /// Its last call failed.
    Failing,
    /// Its last call failed and passed when tried again: a brief interruption.
    Interrupted,
    /// It has no result yet.
    #[default]
    Unknown,
    /// Its last call held.
    Ok,
}

/// A line: a check, or one agent's part of it.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Line {
    /// Its name, which no other has.
    pub name: String,
    /// The check that it is of.
    pub check: String,
    /// Where it calls.
    pub target: String,
    /// Whose call it is: of a line of one agent that agent, else that of the last call.
    pub agent: Option<String>,
    /// Organisation unit.
    pub unit: Option<String>,
    /// Hotline that is called.
    pub hotline: Option<String>,
    /// Trunk of the call.
    pub trunk: Option<String>,
    /// Carrier behind it.
    pub carrier: Option<String>,
    /// Gateway that it goes through.
    pub gateway: Option<String>,
    /// How it is.
    pub state: LineState,
    /// Since when it is so.
    pub since: Option<Timestamp>,
    /// Its last call.
    pub last: Option<Arc<Last>>,
    /// Its calls of the last hour.
    pub hour: Hour,
    /// A start since the last call that was not made.
    pub left_out: Option<LeftOut>,
    /// When it is called next.
    pub next_start: Option<Timestamp>,
}

/// The last call of a line.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Last {
    /// Our id.
    pub call_id: String,
    /// When it ended.
    pub ended_at: Timestamp,
    /// What it showed: a name that `ringfleet explain` knows.
    pub class: String,
    /// SIP code.
    pub code: Option<u16>,
    /// Whether the code was concluded here and never came over the wire.
    pub code_is_local: bool,
    /// What was expected of it and did not come true.
    pub unmet: Option<String>,
    /// How it was heard: two_way, none …
    pub audio: String,
    /// Grade of the network: good, medium, poor, unusable.
    pub grade: Option<String>,
    /// Conversational quality, 1–5.
    pub mos_cq: Option<f64>,
    /// Listening quality, 1–5.
    pub mos_lq: Option<f64>,
    /// Packet loss, percent.
    pub loss_pct: Option<f64>,
    /// Interarrival jitter, milliseconds.
    pub jitter_ms: Option<f64>,
    /// INVITE to the first sign of progress, milliseconds.
    pub srd_ms: Option<f64>,
    /// INVITE to the answer, milliseconds.
    pub setup_ms: Option<f64>,
    /// REGISTER to its success, milliseconds.
    pub rrd_ms: Option<f64>,
}

/// Calls of the last hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Hour {
    /// Those that were made.
    pub tested: u64,
    /// Those that held; one that passed when tried again did not.
    pub passed: u64,
    /// Their share, percent.
    pub success_pct: Option<f64>,
}

/// A start that was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LeftOut {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub why: String,
}

/// A call that failed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Failure {
    /// Our id.
    pub call_id: String,
    /// Call-IDs of SIP.
    pub sip_call_ids: Vec<String>,
    /// When it ended.
    pub ended_at: Timestamp,
    /// Its scenario.
    pub scenario: String,
    /// Where it went.
    pub target: String,
    /// Who called.
    pub agent: Option<String>,
    /// Calling number.
    pub from: Option<String>,
    /// Called number.
    pub to: Option<String>,
    /// Organisation unit.
    pub unit: Option<String>,
    /// Trunk of the call.
    pub trunk: Option<String>,
    /// What it showed: a name that `ringfleet explain` knows.
    pub class: String,
    /// What that means.
    pub meaning: String,
    /// What to do first.
    pub next_action: String,
    /// SIP code.
    pub code: Option<u16>,
    /// Whether the code was concluded here and never came over the wire.
    pub code_is_local: bool,
    /// Reason phrase or Reason header.
    pub reason: Option<String>,
    /// What was expected of it and did not come true.
    pub unmet: Option<String>,
    /// Whether a repetition failed in the same way; `null` where none was made, or it failed in another.
    pub reproduced: Option<bool>,
    /// Whether it was placed because the judge asked for it: calls of this agent had failed, and it was open whether they fail.
    pub repeats: bool,
    /// Files of its evidence, as paths of this server.
    pub evidence: Vec<String>,
}

/// An incident.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Incident {
    /// Stable for its life.
    pub id: String,
    /// Whether it is open.
    pub open: bool,
    /// What has happened to it last: opened, widened, narrowed, worsened, reclassified, merged, split, closed.
    pub change: String,
    /// One line.
    pub title: String,
    /// Who is hit, in words.
    pub place: String,
    /// How far it reaches: single_agent, trunk, gateway, carrier, site … platform, undetermined.
    pub scope: String,
    /// Which one.
    pub value: String,
    /// minor, degraded, major or critical.
    pub severity: String,
    /// Whether it hits more than single agents.
    pub widespread: bool,
    /// The unit of every agent that is hit.
    pub unit: Option<String>,
    /// What most of its failed calls showed.
    pub class: String,
    /// What its calls show together.
    pub finding: Option<String>,
    /// What that means.
    pub meaning: String,
    /// What to do first.
    pub next_action: String,
    /// The end of its first failed call.
    pub since: Timestamp,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When a result changed it last.
    pub updated_at: Timestamp,
    /// When its calls had passed long enough.
    pub closed_at: Option<Timestamp>,
    /// Calls that failed of it.
    pub failures: u64,
    /// Calls that were tested on it since it began.
    pub tested: u64,
    /// Agents that failed in the window.
    pub agents_failing: u32,
    /// Agents that were tested in the window.
    pub agents_tested: u32,
    /// Whether a repetition failed as well; `null` where none was made.
    pub reproduced: Option<bool>,
    /// The probability that this is its scope, 0–1.
    pub confidence: f64,
    /// Final SIP codes that were received, and how often.
    pub codes: Vec<CodeCount>,
    /// The same in words, with how many of the failed calls had none.
    pub codes_text: String,
    /// Its first failed call.
    pub first_call_id: String,
    /// Its last failed call.
    pub last_call_id: String,
    /// Call-ID of SIP of the last failed call.
    pub last_sip_call_id: Option<String>,
    /// The incident that it is part of now.
    pub merged_into: Option<String>,
    /// The incident sheet; what support asks for and is not known is named in its `missing`.
    #[schemars(with = "BTreeMap<String, Value>")]
    pub sheet: Sheet,
    /// The same as text to paste.
    pub sheet_text: String,
}

/// A SIP code and how often it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CodeCount {
    /// The code.
    pub code: u16,
    /// How often.
    pub count: u64,
}

impl LineState {
    /// The state of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "failing" => Self::Failing,
            "interrupted" => Self::Interrupted,
            "unknown" => Self::Unknown,
            "ok" => Self::Ok,
            _ => return None,
        })
    }
}

impl Last {
    /// Of a record.
    pub fn of(record: &CallRecord) -> Self {
        Self {
            call_id: record.call_id.clone(),
            ended_at: record.ended_at,
            class: record.class.name().to_owned(),
            code: record.code,
            code_is_local: record.code_origin == Some(Origin::Local),
            unmet: record.unmet.clone(),
            audio: record.audio.clone(),
            grade: record.grade.clone(),
            mos_cq: record.mos_cq,
            mos_lq: record.mos_lq,
            loss_pct: record.loss_pct,
            jitter_ms: record.jitter_ms,
            srd_ms: record.srd_ms,
            setup_ms: record.setup_ms,
            rrd_ms: record.rrd_ms,
        }
    }
}

impl Failure {
    /// Of a record; `evidence` are the names of the files that were kept.
    pub fn of(record: &CallRecord, evidence: &[&str]) -> Self {
        let (meaning, next_action) = match record.class {
            // The call itself was in order, and not what its scenario wants.
            Class::Ok => ("The call is not what its scenario expects.", "Compare the call with the expectation named."),
            class => (class.meaning(), explain(class).next_action()),
        };
        Self {
            call_id: record.call_id.clone(),
            sip_call_ids: record.sip_call_ids.clone(),
            ended_at: record.ended_at,
            scenario: record.scenario.clone(),
            target: record.target.clone(),
            agent: record.agent.clone(),
            from: record.from.clone(),
            to: record.to.clone(),
            unit: record.unit.clone(),
            trunk: record.trunk.clone(),
            class: record.class.name().to_owned(),
            meaning: meaning.to_owned(),
            next_action: next_action.to_owned(),
            code: record.code,
            code_is_local: record.code_origin == Some(Origin::Local),
            reason: record.reason.clone(),
            unmet: record.unmet.clone(),
            reproduced: match record.retry {
                Retry::None => None,
                Retry::Transient => Some(false),
                Retry::Reproduced => Some(true),
            },
            repeats: false,
            evidence: evidence.iter().map(|name| format!("/evidence/{}/{name}", record.call_id)).collect(),
        }
    }
}

impl Incident {
    /// Of an incident as it stands after a change.
    pub fn of(change: Change, incident: &incident::Incident, sheet: Sheet) -> Self {
        let Message { title, next_action, .. } = Message::new(change, incident, String::new(), Vec::new());
        let meaning = incident.finding.map_or_else(|| incident.symptom.meaning(), Finding::meaning);
        Self {
            id: incident.id.clone(),
            open: incident.closed_at.is_none() && change != Change::Merged,
            change: change.name().to_owned(),
            title,
            place: incident.place(),
            scope: incident.scope.name().to_owned(),
            value: incident.value.clone(),
            severity: incident.severity.name().to_owned(),
            widespread: incident.widespread,
            unit: incident.unit.clone(),
            class: incident.symptom.name().to_owned(),
            finding: incident.finding.map(|finding| finding.name().to_owned()),
            meaning: meaning.to_owned(),
            next_action,
            since: incident.since,
            opened_at: incident.opened_at,
            updated_at: incident.updated_at,
            closed_at: incident.closed_at,
            failures: incident.failures,
            tested: incident.tested,
            agents_failing: incident.agents_failing,
            agents_tested: incident.agents_tested,
            reproduced: incident.reproduced,
            confidence: incident.confidence,
            codes: incident.codes.iter().map(|&(code, count)| CodeCount { code, count }).collect(),
            codes_text: incident.codes_in_words(),
            first_call_id: incident.first_call.call_id.clone(),
            last_call_id: incident.last_call.call_id.clone(),
            last_sip_call_id: incident.last_call.sip_call_id.clone(),
            merged_into: incident.merged_into.clone(),
            sheet_text: sheet.to_string(),
            sheet,
        }
    }
}

impl Hour {
    /// Of so many calls.
    pub fn new(tested: u64, passed: u64) -> Self {
        let success_pct = (tested > 0).then(|| 100.0 * passed as f64 / tested as f64);
        Self { tested, passed, success_pct }
    }
}

impl View {
    /// The next starts, the soonest first.
    pub fn upcoming(&self, at_most: usize) -> Vec<(&Line, Timestamp)> {
        let mut starts: Vec<(&Line, Timestamp)> =
            self.lines.iter().filter_map(|line| Some((line, line.next_start?))).collect();
        starts.sort_by_key(|(_, start)| *start);
        starts.truncate(at_most);
        starts
    }

    /// Counts what the lines and incidents are, into the status.
    pub fn count(&mut self) {
        let mut counts = Counts { total: self.lines.len() as u64, ..Counts::default() };
        for line in &self.lines {
            *match line.state {
                LineState::Failing => &mut counts.failing,
                LineState::Interrupted => &mut counts.interrupted,
                LineState::Unknown => &mut counts.unknown,
                LineState::Ok => &mut counts.ok,
            } += 1;
        }
        let open = || self.incidents.iter().filter(|incident| incident.open);
        self.status.lines = counts;
        self.status.incidents_open = open().count() as u64;
        self.status.incidents_widespread = open().filter(|incident| incident.widespread).count() as u64;
    }
}
