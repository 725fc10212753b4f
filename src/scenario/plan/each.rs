//! What a scenario expects of every attempt.

use super::WantedKeys;
use crate::record::{Class, Origin, Outcome, Role};

/// What has to hold for every attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Each {
    /// The outcome wanted.
    pub outcome: Option<WantedOutcome>,
    /// `audio` of the record, as `two_way`.
    pub audio: Option<String>,
    /// Whether video came that could be shown.
    pub video: Option<bool>,
    /// Keys that were heard in the call.
    pub dtmf_heard: Option<WantedKeys>,
    /// One of these final codes.
    pub code: Vec<u16>,
    /// This class.
    pub class: Option<Class>,
}

/// `outcome:` of an `each` expectation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedOutcome {
    /// The call was answered (a 2xx to the INVITE).
    Answered,
    /// The call was refused (a final response ≥ 300).
    Refused,
    /// The registration was accepted.
    Registered,
}

impl Each {
    /// A leg that only registers or pings has no call to expect anything of, nor has one that might have been called, and
    /// was not.
    pub fn concerns(&self, outcome: &Outcome) -> bool {
        let of_a_call = self.audio.is_some()
            || self.video.is_some()
            || self.dtmf_heard.is_some()
            || matches!(self.outcome, Some(wanted) if wanted != WantedOutcome::Registered);
        let has_one = match outcome.role {
            Role::Caller => true,
            Role::Callee => outcome.invited || outcome.class != Class::Ok,
            _ => false,
        };
        !of_a_call || has_one
    }

    /// Whether an attempt that it concerns is what is wanted.
    pub fn holds(&self, outcome: &Outcome) -> bool {
        self.outcome_holds(outcome)
            && self.audio_holds(outcome)
            && self.video_holds(outcome)
            && self.keys_hold(outcome)
            && self.code_holds(outcome)
            && self.class_holds(outcome)
    }

    /// The first thing in which an attempt differs from what is wanted.
    pub fn mismatch(&self, outcome: &Outcome) -> Option<String> {
        let code = || outcome.code.map_or_else(|| "no code".to_owned(), |code| code.to_string());
        let seen = || format!("{} ({})", outcome.class, code());
        if let Some(wanted) = self.outcome.filter(|_| !self.outcome_holds(outcome)) {
            return Some(format!("not {}: {}", wanted.word(), seen()));
        }
        if let Some(wanted) = self.audio.as_ref().filter(|_| !self.audio_holds(outcome)) {
            return Some(format!("audio is {}, not {wanted}", outcome.audio));
        }
        if let Some(wanted) = self.video.filter(|_| !self.video_holds(outcome)) {
            let seen = match outcome.video {
                None => "no video was agreed on",
                Some(_) if wanted => "no video came that could be shown",
                Some(_) => "video came",
            };
            return Some(seen.to_owned());
        }
        if let Some(wanted) = self.dtmf_heard.filter(|_| !self.keys_hold(outcome)) {
            return Some(wanted.mismatch(outcome.dtmf_heard));
        }
        if !self.code_holds(outcome) {
            return Some(format!("code is {}", seen()));
        }
        let wanted = self.class.filter(|_| !self.class_holds(outcome))?;
        Some(format!("class is {}, not {wanted}", outcome.class))
    }

    fn outcome_holds(&self, outcome: &Outcome) -> bool {
        self.outcome.is_none_or(|wanted| wanted.came_true(outcome))
    }

    fn audio_holds(&self, outcome: &Outcome) -> bool {
        self.audio.as_ref().is_none_or(|wanted| wanted == outcome.audio.name())
    }

    fn video_holds(&self, outcome: &Outcome) -> bool {
        let shown = outcome.video.is_some_and(|video| video.first_frame_ms.is_some());
        self.video.is_none_or(|wanted| wanted == shown)
    }

    fn keys_hold(&self, outcome: &Outcome) -> bool {
        self.dtmf_heard.is_none_or(|wanted| outcome.dtmf_heard == Some(wanted.keys))
    }

    fn code_holds(&self, outcome: &Outcome) -> bool {
        let received = outcome.code.filter(|_| outcome.code_origin == Some(Origin::Received));
        self.code.is_empty() || received.is_some_and(|code| self.code.contains(&code))
    }

    fn class_holds(&self, outcome: &Outcome) -> bool {
        self.class.is_none_or(|wanted| wanted == outcome.class)
    }
}

impl WantedOutcome {
    fn came_true(self, outcome: &Outcome) -> bool {
        match self {
            Self::Answered => outcome.is_answered(),
            Self::Refused => {
                !outcome.is_answered()
                    && outcome.code_origin == Some(Origin::Received)
                    && outcome.code.is_some_and(|code| code >= 300)
            }
            Self::Registered => outcome.rrd_ms.is_some(),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Registered => "registered",
        }
    }
}
