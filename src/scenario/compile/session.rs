//! Extensions of SIP that a call may use.

use std::time::Duration;

use super::doc::{At, Report};
use crate::scenario::file::session::{MeansWord, RefresherWord, ReliableWord, SessionTimerFile};
use crate::sip::session::{Extensions, Means, Refresher, Reliable, SessionTimer};
use crate::units::Period;

/// What a step, a target or a lab says of extensions; what it leaves out is as in `outer`.
pub(super) fn extensions(
    reliable: Option<ReliableWord>,
    timer: Option<&SessionTimerFile>,
    outer: Extensions,
    at: At<'_>,
    report: &mut Report,
) -> Extensions {
    let reliable = match reliable {
        None => outer.reliable,
        Some(ReliableWord::Off) => Reliable::Off,
        Some(ReliableWord::Supported) => Reliable::Supported,
        Some(ReliableWord::Required) => Reliable::Required,
    };
    let timer = timer.map_or(outer.timer, |file| session_timer(file, at.key("session_timer"), report));
    Extensions { reliable, timer, trickle: false }
}

fn session_timer(file: &SessionTimerFile, at: At<'_>, report: &mut Report) -> SessionTimer {
    let default = SessionTimer::default();
    let mut seconds = |written: Option<Period>, key: &str, least: u64| {
        let period = written?.0;
        if !(Duration::from_secs(least)..=Duration::from_secs(86_400)).contains(&period) {
            report.add(at.key(key), format!("the interval is not between {least}s and 24h"), "as 90s");
        }
        u32::try_from(period.as_secs()).ok()
    };
    let expires = seconds(file.expires, "expires", 10);
    let min_se = seconds(file.min_se, "min_se", 1);
    if let (Some(expires), Some(min_se)) = (expires, min_se)
        && expires < min_se
    {
        let help = "write an interval that is at least `min_se`";
        report.add(at.key("expires"), "the interval is shorter than the one that is accepted", help);
    }
    SessionTimer {
        expires,
        min_se: min_se.unwrap_or(default.min_se),
        refresher: file.refresher.map(|word| match word {
            RefresherWord::Uac => Refresher::Uac,
            RefresherWord::Uas => Refresher::Uas,
        }),
        by: means(file.by),
    }
}

/// How a session is changed.
pub(super) fn means(word: MeansWord) -> Means {
    match word {
        MeansWord::Reinvite => Means::Reinvite,
        MeansWord::Update => Means::Update,
    }
}
