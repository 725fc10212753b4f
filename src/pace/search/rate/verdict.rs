//! What a search for a rate comes to.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::pace::search::Settings;
use crate::pace::search::verdict::{Outcome, Scope, Seen, millis, missing, times};
use crate::record::Finding;

/// The rate at hand, and what was seen of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Found {
    /// The highest that passed; 0 where even one call per second fails.
    pub(super) rate: u64,
    /// The lowest that failed.
    pub(super) next: Option<u64>,
    /// Times that it passed since it is at hand.
    pub(super) passes: u32,
    /// Times that the next one failed.
    pub(super) fails: u32,
    /// Calls at the same time at a refusal, the most.
    pub(super) at_once: u64,
    /// The longest pause after which calls were accepted again.
    pub(super) recovered_after: Option<Duration>,
}

/// Calls were refused for coming too fast, by the experiment.
pub(super) fn rate(settings: &Settings, seen: &Seen, found: &Found) -> Outcome {
    let Found { rate, next, at_once, .. } = *found;
    let (next, rounds, refused) = (next.unwrap_or(rate + 1), times(seen.rounds), seen.refused());
    let passed = match rate {
        0 => "less than one call per second".to_owned(),
        1 => "1 call per second with none that failed".to_owned(),
        _ => format!("{rate} calls per second with none that failed"),
    };
    let pause = found.recovered_after.map(millis).unwrap_or_default();
    let text = format!(
        "{passed}; at {next} per second one was {refused}, proved {rounds}; a pause of {pause} was enough, and with \
         {at_once} at the same time none failed that came more slowly"
    );
    if seen.control == Some(false) {
        let text = format!("{text}; so are calls of which every second one does not need the line");
        return seen.outcome(Some(Finding::CallSharedLimit), None, text);
    }
    let missing = missing(settings, seen);
    let scope = Some(if missing.is_empty() { Scope::Shown } else { Scope::Assumed });
    let assumed = match missing.is_empty() {
        true => String::new(),
        false => format!("; assumed to be the line's own limit: {}", missing.join(", ")),
    };
    Outcome { scope, ..seen.outcome(Some(Finding::CallRateLimited), Some(rate), format!("{text}{assumed}")) }
}

/// Slow calls that were held were refused as well.
pub(super) fn places(seen: &Seen, found: &Found) -> Outcome {
    let refused = seen.refused();
    let text = format!(
        "it is not the rate: with fewer than {} calls at the same time one was {refused} although they came slowly and \
         were held",
        found.at_once
    );
    seen.outcome(Some(Finding::CallConcurrencyLimited), None, text)
}

/// The rate passes at one time and fails at another.
pub(super) fn varies(seen: &Seen, passed: u64, failed: u64) -> Outcome {
    let (least, greatest) = (passed.min(failed), passed.max(failed));
    let refused = seen.refused();
    let text =
        format!("between {least} and {greatest} calls per second: it differs from trial to trial; one was {refused}");
    Outcome { range: Some((least, greatest)), ..seen.outcome(Some(Finding::CallLimitVaries), None, text) }
}

/// Nothing failed.
pub(super) fn not_found(settings: &Settings, seen: &Seen) -> Outcome {
    let (up_to, trial) = (settings.up_to, millis(settings.trial));
    let text = format!("no limit within {up_to} calls per second: none failed, each time for {trial}");
    Outcome { refusal: None, ..seen.outcome(None, None, text) }
}

/// It is something else.
pub(super) fn other(settings: &Settings, seen: &Seen, finding: Finding, measured: Option<u64>) -> Outcome {
    let (refused, pauses) = (seen.refused(), settings.pauses.last().copied().map(millis).unwrap_or_default());
    let text = match finding {
        Finding::LineDown => format!("nothing is accepted, even after pauses of up to {pauses}: {refused}"),
        _ => format!("after a refusal everything was {refused}, even one call after pauses of up to {pauses}"),
    };
    seen.outcome(Some(finding), measured, text)
}

/// The search may not go on.
pub(super) fn stopped(why: &str, passed: &BTreeSet<u64>) -> Outcome {
    let so_far = match passed.last() {
        Some(rate) => format!("; {rate} calls per second had passed"),
        None => String::new(),
    };
    Seen::default().outcome(None, None, format!("the search was stopped by our own guard rails: {why}{so_far}"))
}
