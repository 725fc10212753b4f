//! Steps of an actor: what they come to, and whether their order makes sense.

use std::time::Duration;

use super::doc::{At, Report};
use super::lab::reject;
use super::site::{Site, check_trunk};
use super::{Constants, headers, numbers};
use crate::record::Party;
use crate::scenario::file::scalar::Digits;
use crate::scenario::file::step::{
    AnswerFile, CheckFile, DialFile, MediaWord, OutcomeFile, PartyWord, SendWord, StepFile,
};
use crate::scenario::plan::{Answer, Check, Dial, MediaMode, Options, Outcome, Register, Send, Step, Talk};
use crate::units::Period;

/// What steps are compiled against.
pub(super) struct Scope<'s> {
    pub(super) site: &'s Site,
    /// The other targets of the scenario: their hotlines can be dialled by name.
    pub(super) others: &'s [&'s Site],
    pub(super) constants: &'s Constants<'s>,
}

/// The steps of an actor.
pub(super) fn compile(steps: &[StepFile], scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Vec<Step> {
    steps.iter().enumerate().filter_map(|(index, file)| step(file, scope, at.index(index), report)).collect()
}

fn step(file: &StepFile, scope: &Scope<'_>, at: At<'_>, report: &mut Report) -> Option<Step> {
    Some(match file {
        StepFile::Register(register) => Step::Register(Register {
            expires: register.expires.unwrap_or(300),
            expect: register.expect.as_ref().map(outcome),
        }),
        StepFile::Dial(file) => Step::Dial(dial(file, scope, at.key("dial"), report)?),
        StepFile::Answer(file) => Step::Answer(answer(file)),
        StepFile::Talk(talk) => {
            Step::Talk(Talk { duration: talk.duration.map(|period| period.0), send: send(talk.send) })
        }
        StepFile::Wait(period) => Step::Wait(period.0),
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
        StepFile::Options(options) => Step::Options(Options { expect: options.expect.as_ref().map(outcome) }),
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
    Some(Dial {
        number,
        trunk: file.trunk.clone().or(hotline_trunk),
        from,
        answer_within,
        cancel_after: file.cancel_after.map(|period| period.0),
        headers,
        media: media(file.media),
        expect: file.expect.as_ref().map(outcome),
    })
}

fn answer(file: &AnswerFile) -> Answer {
    Answer {
        within: period(file.within, 60),
        ring: file.ring.unwrap_or(true),
        after: period(file.after, 0),
        reject: file.reject.as_ref().map(reject),
        media: media(file.media),
    }
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
        MediaWord::Audio => MediaMode::Audio,
        MediaWord::None => MediaMode::None,
    }
}

fn send(word: SendWord) -> Send {
    match word {
        SendWord::Speech => Send::Speech,
        SendWord::Tone => Send::Tone,
        SendWord::Silence => Send::Silence,
        SendWord::Echo => Send::Echo,
        SendWord::Nothing => Send::Nothing,
    }
}

/// Reports steps that cannot do anything where they stand.
pub(super) fn check_order(steps: &[StepFile], at: At<'_>, report: &mut Report) {
    if steps.is_empty() {
        report.add(at, "no step", "write what the actor does, as `- dial: { number: echo }`");
    }
    let mut call = Call::None;
    for (index, step) in steps.iter().enumerate() {
        let at = at.index(index);
        let (name, needs_call) = match step {
            StepFile::Talk(_) => ("talk", true),
            StepFile::Hangup => ("hangup", true),
            StepFile::HoldOpen => ("hold_open", true),
            StepFile::Expect(_) => ("expect", true),
            StepFile::Dial(_) => ("dial", false),
            StepFile::Answer(_) => ("answer", false),
            StepFile::Register(_) | StepFile::Wait(_) | StepFile::Options(_) => continue,
        };
        match (needs_call, call) {
            (true, Call::None) => {
                report.add(at, format!("`{name}` before there is a call"), "put `dial` or `answer` before it");
            }
            (true, Call::Refused) => {
                let help = "take it out, or expect a code below 300";
                report.add(at, format!("`{name}` after a call that is expected to be refused"), help);
            }
            (false, Call::Up) => {
                let message = format!("`{name}` while a call is up");
                report.add(at, message, "put `hangup` before it: an actor has one call at a time");
            }
            _ => {}
        }
        call = after(step, call);
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

fn after(step: &StepFile, call: Call) -> Call {
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
        StepFile::Expect(CheckFile::EndedBy(_)) => Call::Over,
        StepFile::Talk(talk) if talk.duration.is_none() => Call::Over,
        _ => call,
    }
}
