//! Steps of an actor: what they come to, and whether their order makes sense.

use std::time::Duration;

use super::doc::{At, Report};
use super::lab::reject;
use super::session::{extensions, means};
use super::site::{Site, check_trunk};
use super::{Constants, Input, agent, dtmf, headers, length, numbers, request, video};
use crate::record::Party;
use crate::scenario::file::scalar::Digits;
use crate::scenario::file::step::{
    AnswerFile, AutoAnswerFile, CheckFile, DialFile, HoldWord, MediaWord, OutcomeFile, PartyWord, RawFile, SendWord,
    StepFile,
};
use crate::scenario::plan::{
    Answer, Check, Dial, Direct, Disturbance, MediaMode, Options, Outcome, RawText, Register, Retry, Send, Step, Talk,
};
use crate::sip::sdp::Direction;
use crate::units::Period;

/// What steps are compiled against.
pub(super) struct Scope<'s> {
    pub(super) input: &'s Input<'s>,
    pub(super) site: &'s Site,
    /// The other targets of the scenario: their hotlines can be dialled by name.
    pub(super) others: &'s [&'s Site],
    pub(super) constants: &'s Constants<'s>,
}

/// The steps of an actor.
pub(super) fn compile(steps: &[StepFile], scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Vec<Step> {
    let mut constants = scope.constants.clone();
    let mut compiled = Vec::new();
    for (index, file) in steps.iter().enumerate() {
        let scope = Scope { constants: &constants, ..*scope };
        compiled.extend(step(file, &scope, at.index(index), report));
        if let StepFile::Request(file) = file {
            constants.captured.extend(file.capture.keys().cloned());
        }
    }
    compiled
}

fn step(file: &StepFile, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Step> {
    Some(match file {
        StepFile::Register(register) => Step::Register(Register {
            expires: register.expires.unwrap_or(300),
            retry: register.retry.map(|retry| Retry {
                times: retry.times,
                base: period(retry.base, 30),
                most: period(retry.most, 1800),
            }),
            expect: register.expect.as_ref().map(outcome),
        }),
        StepFile::Dial(file) => Step::Dial(dial(file, scope, at.key("dial"), report)?),
        StepFile::Answer(file) => Step::Answer(answer(file, scope, at.key("answer"), report)),
        StepFile::Hold(hold) => {
            let direction = match hold.direction {
                HoldWord::Sendonly => Direction::SendOnly,
                HoldWord::Inactive => Direction::Inactive,
            };
            Step::Direct(Direct { direction, by: means(hold.by) })
        }
        StepFile::Resume(resume) => Step::Direct(Direct { direction: Direction::SendRecv, by: means(resume.by) }),
        StepFile::Video(file) => video::step(file, at.key("video"), report),
        StepFile::Dtmf(file) => Step::Dtmf(dtmf::step(scope.input, file, at.key("dtmf"), report)?),
        StepFile::Talk(talk) => {
            let at = at.key("talk").key("for");
            let duration = talk.duration.as_ref().map(|file| length::compile(file, at, report));
            Step::Talk(Talk { duration, send: send(talk.send) })
        }
        StepFile::Wait(file) => Step::Wait(length::compile(file, at.key("wait"), report)),
        StepFile::Hangup => Step::Hangup,
        StepFile::HoldOpen => Step::HoldOpen,
        StepFile::Expect(CheckFile::StillUp) => Step::Expect(Check::StillUp),
        StepFile::Expect(CheckFile::EndedBy(ended)) => {
            let party = match ended.party {
                PartyWord::Us => Party::Us,
                PartyWord::FarEnd => Party::FarEnd,
            };
            Step::Expect(Check::EndedBy { party, within: ended.within.0 })
        }
        StepFile::Expect(CheckFile::DtmfHeard(heard)) => {
            Step::Expect(dtmf::check(scope.input, heard, at.key("expect").key("dtmf_heard"), report)?)
        }
        StepFile::Options(options) => Step::Options(Options { expect: options.expect.as_ref().map(outcome) }),
        StepFile::NetworkChange(file) => agent::network_change(file),
        StepFile::Reload(file) => agent::reload(file, at.key("reload"), report),
        StepFile::Frozen(file) => agent::away(Disturbance::Frozen, file, at.key("frozen"), report),
        StepFile::Sleep(file) => agent::away(Disturbance::Sleep, file, at.key("sleep"), report),
        StepFile::Offline(file) => agent::away(Disturbance::Offline, file, at.key("offline"), report),
        StepFile::Throttled(file) => Step::Throttle(file.lasts.0),
        StepFile::Request(file) => Step::Request(Box::new(request::request(file, scope, at.key("request"), report)?)),
    })
}

fn dial(file: &DialFile, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Dial> {
    headers::check(&file.headers, at.key("headers"), report);
    let mut template = |digits: &Digits, at: At<'_>| numbers::template(digits, scope.constants, at, report);
    let from = file.from.as_ref().and_then(|from| template(from, at.key("from")));
    let headers = file
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.clone(), template(value, at.key("headers").key(name))?)))
        .collect();
    if let Some(trunk) = &file.trunk {
        check_trunk(trunk, scope.site.target.trunks.keys(), at.key("trunk"), report);
    }
    let answer_within = period(file.answer_within, 60);
    if !(Duration::from_secs(1)..=Duration::from_secs(600)).contains(&answer_within) {
        report.add(at.key("answer_within"), "the answer time-out is not between 1s and 10m", "as answer_within: 20s");
    }
    let (number, hotline_trunk) =
        numbers::dialled(&file.number, scope.site, scope.others, scope.constants, at.key("number"), report)?;
    let speaks = extensions(file.reliable, file.session_timer.as_ref(), scope.site.target.speaks, at, report);
    Some(Dial {
        number,
        speaks,
        trunk: file.trunk.clone().or(hotline_trunk),
        from,
        answer_within,
        cancel_after: file.cancel_after.map(|period| period.0),
        headers,
        raw: file.raw.as_ref().map(|file| Box::new(raw(file, scope.constants, at.key("raw"), report))),
        media: media(file.media),
        video: video::of_call(file.video.as_ref(), file.media, at.key("video"), report),
        direction: direction(file.media),
        expect: file.expect.as_ref().map(outcome),
    })
}

/// What is wrong on purpose may be anything, but a field stays one line: only a body reaches beyond the head.
fn raw(file: &RawFile, constants: &Constants<'_>, at: At<'_>, report: &mut Report) -> RawText {
    let one_line = |text: &str, at: At<'_>, report: &mut Report| {
        if text.chars().any(|c| c.is_control() && c != '\t') {
            report.add(at, "this is one line of text", "take out line breaks and control characters");
        }
        if text.contains("${") {
            let help = "messages are shown in evidence: write the value itself, or leave it out";
            report.add(at, "`${…}` is read for passwords only", help);
        }
    };
    let line = |text: &Option<Digits>, key: &str, report: &mut Report| {
        let text = text.as_ref()?;
        one_line(&text.0, at.key(key), report);
        numbers::template(text, constants, at.key(key), report)
    };
    let (method, start_line) = (line(&file.method, "method", report), line(&file.start_line, "start_line", report));
    if file.method.is_some() && file.start_line.is_some() {
        report.add(at.key("method"), "`start_line` has a method of its own", "leave one of the two out");
    }
    let headers = file.headers.iter().map(|(name, values)| {
        let at = at.key("headers").key(name);
        if name.is_empty() || name.contains([':', '\r', '\n']) {
            report.add(at, format!("`{name}` is no name of a header"), "take out colons and line breaks");
        }
        let values = values.as_slice().iter().filter_map(|value| {
            one_line(&value.0, at, report);
            numbers::template(value, constants, at, report)
        });
        (name.clone(), values.collect())
    });
    let headers = headers.collect();
    let body = file.body.as_ref().and_then(|body| numbers::template(body, constants, at.key("body"), report));
    RawText { method, start_line, headers, body }
}

fn answer(file: &AnswerFile, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Answer {
    Answer {
        speaks: extensions(file.reliable, file.session_timer.as_ref(), scope.site.target.speaks, at, report),
        within: period(file.within, 60),
        optional: file.optional,
        ring: file.ring.unwrap_or(true),
        after: answers_after(file, at, report),
        reject: file.reject.as_ref().map(reject),
        media: media(file.media),
        video: video::of_call(file.video.as_ref(), file.media, at.key("video"), report),
        direction: direction(file.media),
    }
}

/// What a web phone waits for that answers by itself.
const AUTO_ANSWER: Duration = Duration::from_secs(2);

fn answers_after(file: &AnswerFile, at: At<'_>, report: &mut Report) -> Duration {
    let by_itself = match file.auto_answer {
        None | Some(AutoAnswerFile::Said(false)) => return period(file.after, 0),
        Some(AutoAnswerFile::Said(true)) => AUTO_ANSWER,
        Some(AutoAnswerFile::After(after)) => after.0,
    };
    if file.after.is_some() {
        report.add(at.name("auto_answer"), "`after` and `auto_answer` are both given", "keep one of the two");
    }
    if file.reject.is_some() {
        let help = "leave one of the two out; a refusal may wait as `after: 2s` says";
        report.add(at.name("auto_answer"), "a call that is refused is not answered by itself", help);
    }
    by_itself
}

/// What a request's outcome must be.
pub(super) fn outcome(file: &OutcomeFile) -> Outcome {
    let codes = file.code.as_ref().map(|codes| codes.as_slice()).unwrap_or_default();
    Outcome {
        code: codes.iter().map(|code| code.0).collect(),
        class: file.class,
        within: file.within.map(|period| period.0),
    }
}

fn period(written: Option<Period>, default_seconds: u64) -> Duration {
    let default = Duration::from_secs(default_seconds);
    written.map_or(default, |period| period.0)
}

fn media(word: MediaWord) -> MediaMode {
    match word {
        MediaWord::Audio | MediaWord::Recvonly | MediaWord::Inactive => MediaMode::Audio,
        MediaWord::None => MediaMode::None,
    }
}

fn direction(word: MediaWord) -> Direction {
    match word {
        MediaWord::Audio | MediaWord::None => Direction::SendRecv,
        MediaWord::Recvonly => Direction::RecvOnly,
        MediaWord::Inactive => Direction::Inactive,
    }
}

fn send(word: SendWord) -> Send {
    match word {
        SendWord::Speech => Send::Speech,
        SendWord::Tone => Send::Tone,
        SendWord::Silence => Send::Silence,
        SendWord::Echo => Send::Echo,
        SendWord::Keys => Send::Keys,
        SendWord::Nothing => Send::Nothing,
    }
}

/// Reports steps that cannot do anything where they stand.
pub(super) fn check_order(steps: &[StepFile], at: At<'_>, report: &mut Report) {
    if steps.is_empty() {
        report.add(at, "no step", "write what the actor does, as `- dial: { number: echo }`");
    }
    let mut call = Call::None;
    let mut registered = false;
    let mut dialled = false;
    for (index, step) in steps.iter().enumerate() {
        let at = at.index(index);
        let (name, needs_call) = match step {
            StepFile::Talk(_) => ("talk", true),
            StepFile::Hold(_) => ("hold", true),
            StepFile::Resume(_) => ("resume", true),
            StepFile::Video(_) => ("video", true),
            StepFile::Dtmf(_) => ("dtmf", true),
            StepFile::Hangup => ("hangup", true),
            // A registration is held too.
            StepFile::HoldOpen if registered && call == Call::None => continue,
            StepFile::HoldOpen => ("hold_open", true),
            StepFile::Expect(_) => ("expect", true),
            StepFile::Dial(_) => ("dial", false),
            StepFile::Answer(_) => ("answer", false),
            StepFile::Register(_) => {
                registered = true;
                continue;
            }
            StepFile::Wait(_) | StepFile::Options(_) | StepFile::Throttled(_) | StepFile::Request(_) => continue,
            StepFile::NetworkChange(_) => ("network_change", true),
            StepFile::Reload(_) => ("reload", !registered && !dialled),
            StepFile::Frozen(_) => ("frozen", !registered && !dialled),
            StepFile::Sleep(_) => ("sleep", !registered && !dialled),
            StepFile::Offline(_) => ("offline", !registered && !dialled),
        };
        let connects = matches!(name, "reload" | "frozen" | "sleep" | "offline");
        match (needs_call, call) {
            (true, _) if connects => {
                report.add(at, format!("`{name}` before the agent is connected"), "put `register` before it");
            }
            (true, Call::None) => {
                report.add(at, format!("`{name}` before there is a call"), "put `dial` or `answer` before it");
            }
            (true, Call::Refused) => {
                let help = "take it out, or expect a code below 300";
                report.add(at, format!("`{name}` after a call that is expected to be refused"), help);
            }
            (false, Call::Up) if matches!(step, StepFile::Dial(_) | StepFile::Answer(_)) => {
                let message = format!("`{name}` while a call is up");
                report.add(at, message, "put `hangup` before it: an actor has one call at a time");
            }
            _ => {}
        }
        call = after(step, call, dialled);
        dialled |= matches!(step, StepFile::Dial(_)) && call == Call::Up;
    }
}

/// What an actor's call is between two steps.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    None,
    Up,
    Refused,
    /// It has ended, or was answered or refused: both are in the file.
    Over,
}

fn after(step: &StepFile, call: Call, dialled: bool) -> Call {
    match step {
        StepFile::Dial(dial) => match &dial.expect {
            Some(expect) => {
                let outcome = outcome(expect);
                let refused = !outcome.code.is_empty() && outcome.code.iter().all(|code| *code >= 300);
                if refused { Call::Refused } else { Call::Over }
            }
            None if dial.cancel_after.is_some() => Call::Over,
            None => Call::Up,
        },
        StepFile::Answer(answer) if answer.reject.is_some() => Call::Refused,
        StepFile::Answer(_) => Call::Up,
        StepFile::Hangup => Call::None,
        // It places the call again that was its own.
        StepFile::Reload(_) => {
            if dialled {
                Call::Up
            } else {
                Call::None
            }
        }
        StepFile::Expect(CheckFile::EndedBy(_)) => Call::Over,
        StepFile::Talk(talk) if talk.duration.is_none() => Call::Over,
        _ => call,
    }
}
