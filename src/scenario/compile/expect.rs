//! `expect:` of a scenario.

use std::time::Duration;

use super::doc::{At, Report};
use super::{Input, dtmf};
use crate::measure::threshold::Threshold;
use crate::record::Finding;
use crate::scenario::diagnostic::did_you_mean;
use crate::scenario::file::scenario::{AbortFile, EachFile, ExpectFile, OutcomeWord};
use crate::scenario::plan::{Abort, Actor, Each, Expectation, ExpectationKind, Step, WantedOutcome};
use crate::scenario::tree::{Node, Value};

/// The expectations.
pub(super) fn compile(
    input: &Input<'_>,
    files: &[ExpectFile],
    (actors, searches): (&[Actor], bool),
    at: At<'_>,
    report: &mut Report,
) -> Vec<Expectation> {
    let of = |(index, file)| expectation(input, file, (actors, searches), at.index(index), report);
    files.iter().enumerate().filter_map(of).collect()
}

/// What ends the run before its time.
pub(super) fn aborts(files: &[AbortFile], warm_up: Duration, at: At<'_>, report: &mut Report) -> Vec<Abort> {
    let mut aborts = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let (at, text, after) = match file {
            AbortFile::Threshold(text) => (at.index(index), text, warm_up),
            AbortFile::Later(later) => (at.index(index).key("run"), &later.run, warm_up.max(later.after.0)),
        };
        if let Some(when) = threshold(text, at, report) {
            aborts.push(Abort { text: one_line(text), when, after });
        }
    }
    aborts
}

/// Reads a threshold; a mistake is shown where it stands in the text.
fn threshold(text: &str, at: At<'_>, report: &mut Report) -> Option<Threshold> {
    match text.parse::<Threshold>() {
        Ok(threshold) => Some(threshold),
        Err(error) => {
            report.add(at.within(error.place(text)), error.to_string(), "");
            None
        }
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn expectation(
    input: &Input<'_>,
    file: &ExpectFile,
    (actors, searches): (&[Actor], bool),
    at: At<'_>,
    report: &mut Report,
) -> Option<Expectation> {
    let searched = |at: At<'_>, report: &mut Report| {
        if !searches && !at.doc().lossy {
            report.add(at, "nothing looks for a limit", "it belongs to a load with `find_limit`");
        }
    };
    let kind = match file {
        ExpectFile::Each(file) => {
            let each = each(input, file, at.key("each"), report)?;
            if each == Each::default() {
                report.add(at, "`each` expects nothing", "as each: { outcome: answered, audio: two_way }");
            }
            ExpectationKind::Each(each)
        }
        ExpectFile::Run(text) => ExpectationKind::Run(threshold(text, at.key("run"), report)?),
        ExpectFile::Called(names) => ExpectationKind::Called(called(names, actors, at.key("called"), report)?),
        ExpectFile::Limit(limit) => {
            searched(at.name("limit"), report);
            ExpectationKind::Limit(*limit)
        }
        ExpectFile::Finding(finding) => {
            searched(at.name("finding"), report);
            match finding.parse() {
                Ok(finding) => ExpectationKind::Finding(finding),
                Err(error) => {
                    let names: Vec<&str> = Finding::ALL.iter().map(|finding| finding.name()).collect();
                    report.add(at.key("finding"), error.to_string(), did_you_mean(finding, "a finding", &names));
                    return None;
                }
            }
        }
    };
    Some(Expectation { text: text_of(file, at), kind })
}

/// The actors that are to be called; `None` where one cannot be.
fn called(names: &[String], actors: &[Actor], at: At<'_>, report: &mut Report) -> Option<Vec<(usize, String)>> {
    let answers = |actor: &&Actor| actor.steps.iter().any(|step| matches!(step, Step::Answer(_)));
    let known: Vec<&str> = actors.iter().filter(answers).map(|actor| actor.name.as_str()).collect();
    if names.len() < 2 {
        report.add(at, "`called` names the actors that calls go to, two or more", "as called: [first, second]");
        return None;
    }
    let found = names.iter().enumerate().map(|(index, name)| {
        let actor = actors.iter().position(|actor| actor.name == *name && answers(&actor));
        if actor.is_none() && !at.doc().lossy {
            let hint = did_you_mean(name, "an actor that answers", &known);
            report.add(at.index(index), format!("`{name}` is no actor that answers calls"), hint);
        }
        actor.map(|actor| (actor, name.clone()))
    });
    found.collect::<Vec<_>>().into_iter().collect()
}

/// What is expected where packets are counted only: nothing of what they hold.
pub(super) fn without_listening(files: &[ExpectFile], at: At<'_>, report: &mut Report) {
    for (index, file) in files.iter().enumerate() {
        if let ExpectFile::Each(EachFile { audio: Some(_), .. }) = file {
            let at = at.index(index).key("each").key("audio");
            report.add(
                at,
                "nobody listens: `listen: packets` counts packets only",
                "leave `audio` out, or write `listen: full`",
            );
        }
    }
}

fn each(input: &Input<'_>, file: &EachFile, at: At<'_>, report: &mut Report) -> Option<Each> {
    let dtmf_heard = match &file.dtmf_heard {
        Some(digits) => Some(dtmf::keys(input, digits, at.key("dtmf_heard"), report)?),
        None => None,
    };
    let codes = file.code.as_ref().map(|codes| codes.as_slice()).unwrap_or_default();
    Some(Each {
        outcome: file.outcome.map(|word| match word {
            OutcomeWord::Answered => WantedOutcome::Answered,
            OutcomeWord::Refused => WantedOutcome::Refused,
            OutcomeWord::Registered => WantedOutcome::Registered,
        }),
        audio: file.audio.map(|word| word.name().to_owned()),
        video: file.video,
        dtmf_heard,
        code: codes.iter().map(|code| code.0).collect(),
        class: file.class,
    })
}

/// As it is written, in one line.
fn text_of(file: &ExpectFile, at: At<'_>) -> String {
    match file {
        ExpectFile::Run(text) => one_line(text),
        _ => {
            let text = flow(at.node());
            text.strip_prefix("{ ").and_then(|text| text.strip_suffix(" }")).unwrap_or(&text).to_owned()
        }
    }
}

fn flow(node: &Node) -> String {
    match &node.value {
        Value::Scalar { text, .. } => text.clone(),
        Value::List(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let fields: Vec<String> = entries.iter().map(|e| format!("{}: {}", e.key, flow(&e.node))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}
