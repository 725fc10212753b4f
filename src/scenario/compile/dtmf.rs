//! Keys of steps and expectations.

use std::time::Duration;

use super::Input;
use super::doc::{At, Report};
use super::secret::{self, Rules};
use crate::media::dtmf::{BadKey, Keys, LONGEST, Press, SHORTEST, SHORTEST_PAUSE, USUAL, USUAL_LEVEL, Way};
use crate::scenario::file::dtmf::{DtmfFile, DtmfWord, HeardFile};
use crate::scenario::file::scalar::Digits;
use crate::scenario::plan::{Check, Dtmf, WantedKeys};

/// How long keys are waited for.
const WITHIN: Duration = Duration::from_secs(5);
/// A longer pause is a step of its own.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// `dtmf` as a step.
pub(super) fn step(input: &Input<'_>, file: &DtmfFile, at: At<'_>, report: &mut Report) -> Option<Dtmf> {
    let file = match file {
        DtmfFile::Keys(digits) => {
            let WantedKeys { keys, hidden } = keys(input, digits, at, report)?;
            return Some(Dtmf { press: Press::new(keys, Way::Event), by: None, hidden });
        }
        DtmfFile::Told(file) => file,
    };
    let by = match file.by {
        DtmfWord::Auto => None,
        DtmfWord::Event => Some(Way::Event),
        DtmfWord::Inband => Some(Way::Inband),
    };
    let duration = file.duration.map_or(USUAL, |period| period.0);
    if !(SHORTEST..=LONGEST).contains(&duration) {
        report.add(
            at.key("for"),
            "a key is held for 40ms to 6s",
            "as for: 100ms; what is shorter need not be recognised",
        );
    }
    let pause = file.pause.map_or(USUAL, |period| period.0);
    if !(SHORTEST_PAUSE..=LONGEST_PAUSE).contains(&pause) {
        report.add(
            at.key("pause"),
            "the pause after a key is 40ms to 1m",
            "as pause: 100ms; a longer one is a step `wait`",
        );
    }
    let level = file.level.unwrap_or(USUAL_LEVEL);
    let WantedKeys { keys, hidden } = keys(input, &file.keys, at.key("keys"), report)?;
    Some(Dtmf { press: Press { duration, pause, level, ..Press::new(keys, Way::Event) }, by, hidden })
}

/// `dtmf_heard` of an `expect` step.
pub(super) fn check(input: &Input<'_>, file: &HeardFile, at: At<'_>, report: &mut Report) -> Option<Check> {
    let (wanted, within) = match file {
        HeardFile::Keys(digits) => (keys(input, digits, at, report), None),
        HeardFile::Told(file) => (keys(input, &file.keys, at.key("keys"), report), file.within),
    };
    Some(Check::Heard { wanted: wanted?, within: within.map_or(WITHIN, |period| period.0) })
}

/// Keys as they are written, or of a secret.
pub(super) fn keys(input: &Input<'_>, digits: &Digits, at: At<'_>, report: &mut Report) -> Option<WantedKeys> {
    let hidden = digits.0.contains("${");
    let secret = secret::resolve(input, &digits.0, Rules::Text, at, report)?;
    let error = match secret.reveal().parse::<Keys>() {
        Ok(keys) => return Some(WantedKeys { keys, hidden }),
        Err(error) => error,
    };
    let help = "keys are 0-9, *, # and A-D, as \"123#\"; quotes keep * and # from being read as YAML";
    match error {
        // No message repeats a secret.
        BadKey::Unknown(..) if hidden => report.add(at, "the secret has something in it that is no key", help),
        BadKey::Unknown(name, place) => report.add(at.within(place..place + name.len_utf8()), error.to_string(), help),
        BadKey::TooMany | BadKey::None => report.add(at, error.to_string(), help),
    }
    None
}
