//! `request`: something is asked of the application that the agent works in, and its answer is looked at.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::record::{SideFault, SideRequest};
use crate::scenario::plan::{Account, Method, Request, Step, Template, Via};
use crate::scenario::text::{Text, Values};
use crate::station::side::{self, News, Wish};
use crate::units::{Secret, millis};

/// Messages of a WebSocket that are kept while no step waits for one; of more the oldest are forgotten.
const KEPT: usize = 32;
/// Characters of what was found that a message shows.
const SHOWN: usize = 80;
/// Characters of what can be captured.
const LONGEST_CAPTURE: usize = 4096;

/// What a leg knows of the application beside its call.
#[derive(Debug, Default)]
pub(in crate::call) struct Beside {
    /// What steps captured, by name.
    captured: Vec<(String, String)>,
    /// Number of the last request.
    number: u32,
    /// When the step at hand began, while it waits for its answer.
    since: Option<Instant>,
    /// Messages that no step has waited for.
    inbox: VecDeque<String>,
    /// Why the last message since the step began was not its answer.
    missed: Option<String>,
}

impl Leg {
    /// What earlier steps captured.
    pub(in crate::call) fn captured(&self) -> &[(String, String)] {
        self.beside.as_deref().map(|beside| beside.captured.as_slice()).unwrap_or_default()
    }

    pub(in crate::call) fn begin_request(&mut self, tools: &mut Tools<'_>, step: &Request) -> Flowing {
        let others = tools.cast.accounts(tools.plan);
        let values = self.values(tools, &others);
        let secret = |text: &Text| Secret::new(text.render(&values));
        let request = side::Request {
            number: self.beside.as_deref().map_or(0, |beside| beside.number) + 1,
            method: match step.via {
                Via::Http(method) => method,
                Via::WebSocket => Method::Get,
            },
            url: secret(&step.url),
            headers: step.headers.iter().map(|(name, text)| (name.clone(), secret(text))).collect(),
            body: step.json.as_ref().map(|json| Secret::new(json.render(&values).to_string())),
            within: step.expect.within,
            access: Arc::clone(&step.access),
        };
        let says = request.body.is_some();
        let beside = self.beside.get_or_insert_default();
        (beside.number, beside.since, beside.missed) = (request.number, Some(tools.now), None);
        let request = Box::new(request);
        if let Via::Http(_) = step.via {
            tools.sides.ask(tools.me, tools.owner, Wish::Ask(request));
        } else {
            if says {
                // What came before cannot be the answer to what is said now.
                beside.inbox.clear();
            }
            tools.sides.ask(tools.me, tools.owner, Wish::Say(request));
            while let Some(message) = self.beside.as_deref_mut().and_then(|beside| beside.inbox.pop_front()) {
                if self.takes_message(tools, step, &message) {
                    self.note_request(tools, step, None, None);
                    return Flowing::Next;
                }
            }
        }
        self.block(Phase::Asking, Some(tools.now + step.expect.within))
    }

    /// Something has come of what was asked.
    pub(in crate::call) fn handle_side(&mut self, tools: &mut Tools<'_>, news: News) {
        let Some(beside) = self.beside.as_deref_mut() else { return };
        let number = beside.number;
        let step = match tools.actor.steps.get(self.step) {
            Some(Step::Request(step)) if self.phase == Phase::Asking => Some(&**step),
            _ => None,
        };
        match (news, step) {
            (News::Answered { number: of, status, body }, Some(step)) if of == number => {
                let judged = self.judge_answer(tools, step, status, &body);
                self.finish_request(tools, step, Some(status), judged);
            }
            (News::Said { number: of }, Some(step)) if of == number && !awaits_message(step) => {
                self.finish_request(tools, step, None, Ok(()));
            }
            (News::Message(text), Some(step)) if step.via == Via::WebSocket && awaits_message(step) => {
                if self.takes_message(tools, step, &text) {
                    self.finish_request(tools, step, None, Ok(()));
                }
            }
            (News::Message(text), _) => {
                if beside.inbox.len() == KEPT {
                    beside.inbox.pop_front();
                }
                beside.inbox.push_back(text);
            }
            (News::Failed { number: of, fault, text }, Some(step)) if of == number => {
                self.finish_request(tools, step, None, Err((fault, text)));
            }
            (News::Closed(text), Some(step)) if step.via == Via::WebSocket => {
                self.finish_request(tools, step, None, Err((SideFault::Unreachable, text)));
            }
            // An answer that came too late, or the end of a connection that nothing waits for: it is opened anew.
            (News::Answered { .. } | News::Said { .. } | News::Failed { .. } | News::Closed(_), _) => {}
        }
    }

    /// There was no answer in time.
    pub(in crate::call) fn miss_answer(&mut self, tools: &mut Tools<'_>) {
        let Some(Step::Request(step)) = tools.actor.steps.get(self.step) else { return };
        let missed = self.beside.as_deref_mut().and_then(|beside| beside.missed.take());
        let fault = match missed {
            Some(why) => (
                SideFault::Unexpected,
                format!("no message as expected within {:?}; of the last {why}", step.expect.within),
            ),
            None => (SideFault::Timeout, format!("no answer within {:?}", step.expect.within)),
        };
        self.finish_request(tools, step, None, Err(fault));
    }

    /// Whether a message is the answer that the step waits for. What it captures is kept then.
    fn takes_message(&mut self, tools: &Tools<'_>, step: &Request, text: &str) -> bool {
        let judged = match serde_json::from_str(text) {
            Ok(json) => self.judge(tools, step, &json),
            Err(_) => Err("it is no JSON".to_owned()),
        };
        if let (Err(why), Some(beside)) = (&judged, self.beside.as_deref_mut()) {
            beside.missed = Some(why.clone());
        }
        judged.is_ok()
    }

    fn judge_answer(
        &mut self,
        tools: &Tools<'_>,
        step: &Request,
        status: u16,
        body: &[u8],
    ) -> Result<(), (SideFault, String)> {
        let wanted = &step.expect.status;
        if !(wanted.contains(&status) || wanted.is_empty() && (200..300).contains(&status)) {
            let codes: Vec<String> = wanted.iter().map(ToString::to_string).collect();
            let codes = if codes.is_empty() { "2xx".to_owned() } else { codes.join(" or ") };
            return Err((SideFault::Refused, format!("expected status {codes}, got {status}")));
        }
        if !awaits_message(step) {
            return Ok(());
        }
        let unexpected = |why: String| (SideFault::Unexpected, why);
        let json = serde_json::from_slice(body).map_err(|_| unexpected("the answer is no JSON".to_owned()))?;
        self.judge(tools, step, &json).map_err(unexpected)
    }

    /// Looks at an answer, and keeps what is to be captured of it where all is as expected.
    fn judge(&mut self, tools: &Tools<'_>, step: &Request, json: &Value) -> Result<(), String> {
        let others = tools.cast.accounts(tools.plan);
        let values = self.values(tools, &others);
        for (pointer, wanted) in &step.expect.json {
            let (rendered, found) = (wanted.render(&values), json.pointer(pointer));
            if found.is_some_and(|found| is_same(found, &rendered)) {
                continue;
            }
            let hidden = hidden(wanted, &values);
            let found =
                found.map_or_else(|| "there is nothing".to_owned(), |it| format!("there is {}", shown(it, &hidden)));
            return Err(format!("expected {} at {pointer}, {found}", shown(&rendered, &hidden)));
        }
        let mut captured = Vec::new();
        for (name, pointer) in &step.capture {
            let value = json.pointer(pointer).and_then(capturable);
            let value = value.ok_or_else(|| {
                format!("there is no text, number or truth value of one line at {pointer} for `{name}`")
            })?;
            captured.push((name.clone(), value));
        }
        let beside = self.beside.get_or_insert_default();
        for (name, value) in captured {
            beside.captured.retain(|(known, _)| *known != name);
            beside.captured.push((name, value));
        }
        Ok(())
    }

    fn finish_request(
        &mut self,
        tools: &mut Tools<'_>,
        step: &Request,
        status: Option<u16>,
        judged: Result<(), (SideFault, String)>,
    ) {
        let label = self.note_request(tools, step, status, judged.as_ref().err().map(|(fault, _)| *fault));
        let Err((_, why)) = judged else { return self.go_on(tools, Flowing::Next) };
        self.as_expected = Some(false);
        self.unmet.get_or_insert_with(|| format!("request: {label}: {why}"));
        self.go_on(tools, Flowing::Over);
    }

    /// Notes what came of the step. Gives what it is called.
    fn note_request(
        &mut self,
        tools: &Tools<'_>,
        step: &Request,
        status: Option<u16>,
        fault: Option<SideFault>,
    ) -> String {
        let since = self.beside.as_deref_mut().and_then(|beside| beside.since.take());
        let took = tools.at.saturating_duration_since(since.unwrap_or(tools.now));
        let request = label(step);
        let noted = SideRequest { request: request.clone(), status, took_ms: millis(took), fault };
        self.facts.requests.push(noted);
        request
    }

    fn values<'v>(&'v self, tools: &'v Tools<'_>, others: &'v [(&'v str, Option<&'v Account>)]) -> Values<'v> {
        Values { n: tools.n, account: tools.account, others, captured: self.captured(), password: true }
    }
}

/// What a request is called: what is filled in stays out, for it may be a secret, and so does a query.
fn label(step: &Request) -> String {
    let mut label = match step.via {
        Via::Http(method) => method.name().to_owned(),
        Via::WebSocket => "WS".to_owned(),
    };
    let url = step.url.to_string();
    let place = url.split(['?', '#']).next().unwrap_or_default();
    write!(label, " {place}").expect("a String takes every write");
    label
}

/// Whether something of the answer itself is looked at.
fn awaits_message(step: &Request) -> bool {
    !step.expect.json.is_empty() || !step.capture.is_empty()
}

/// Numbers are the same where their values are: 1 and 1.0.
fn is_same(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Number(found), Value::Number(wanted)) => found == wanted || found.as_f64() == wanted.as_f64(),
        (found, wanted) => found == wanted,
    }
}

/// A value as later steps use it. Line breaks would end a header.
fn capturable(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return None,
    };
    let fits = text.chars().count() <= LONGEST_CAPTURE && !text.chars().any(char::is_control);
    fits.then_some(text)
}

/// What must not be shown: secrets that were expected, passwords, and what was captured, which may be a token.
fn hidden(wanted: &Template, values: &Values<'_>) -> Vec<String> {
    let secrets =
        wanted.texts().into_iter().flat_map(|text| text.secrets(values).map(str::to_owned).collect::<Vec<_>>());
    let captured = values.captured.iter().map(|(_, value)| value.clone());
    let password = values.account.and_then(|account| account.password.as_ref()).map(|it| it.reveal().to_owned());
    secrets.chain(captured).chain(password).filter(|text| !text.is_empty()).collect()
}

/// The beginning of a value, for people.
fn shown(value: &Value, hidden: &[String]) -> String {
    let text = value.to_string();
    if hidden.iter().any(|secret| text.contains(secret.as_str())) {
        return "***".to_owned();
    }
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_texts_numbers_and_truth_values_of_one_line_are_captured() {
        let captured = |json: &str| capturable(&serde_json::from_str(json).expect("JSON"));
        assert_eq!(captured(r#""t-7""#).as_deref(), Some("t-7"));
        assert_eq!(captured("12.5").as_deref(), Some("12.5"));
        assert_eq!(captured("true").as_deref(), Some("true"));
        for json in ["null", "[1]", r#"{"a":1}"#, r#""a\r\nX-Injected: 1""#] {
            assert_eq!(captured(json), None, "{json}");
        }
        assert_eq!(capturable(&Value::String("x".repeat(LONGEST_CAPTURE + 1))), None);
    }

    #[test]
    fn what_is_shown_is_short_and_holds_no_secret() {
        let value = Value::String("bearer t-7".into());
        assert_eq!(shown(&value, &["t-7".to_owned()]), "***");
        assert_eq!(shown(&value, &[]), "\"bearer t-7\"");
        assert_eq!(shown(&Value::String("x".repeat(200)), &[]).chars().count(), SHOWN + 1);
        assert!(is_same(&serde_json::json!(1), &serde_json::json!(1.0)));
        assert!(!is_same(&serde_json::json!("1"), &serde_json::json!(1)));
    }
}
