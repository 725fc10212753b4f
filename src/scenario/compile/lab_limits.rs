//! Limits of a lab file on calls and registrations.

use super::doc::{At, Report};
use super::lab::reject_or;
use crate::scenario::file::lab::LabTrunkFile;
use crate::scenario::file::limits::{
    BanFile, CallLimitFile, FreesAfter, LabCallsFile, LabRegistrationsFile, OthersFile, PerAorFile, RateLimitFile,
    RingsWord, SubjectWord,
};
use crate::scenario::lab::{
    Ban, CallLimit, CallLimits, Freed, LabLimit, Meter, Others, Places, RateLimit, RegistrationLimits, Subject,
};
use crate::units::Period;

/// The limit of a trunk.
pub(super) fn of_trunk(file: &LabTrunkFile, at: At<'_>, report: &mut Report) -> CallLimit {
    let limit = CallLimitFile {
        calls: file.calls,
        refuse: file.refuse.clone(),
        rate: file.rate.clone(),
        ban: file.ban.clone(),
        others: file.others.clone(),
        frees_after: file.frees_after,
    };
    call_limit(&limit, 503, at, report)
}

/// `calls`.
pub(super) fn of_calls(file: &LabCallsFile, at: At<'_>, report: &mut Report) -> CallLimits {
    let mut limit = |name: &str, limit: &Option<CallLimitFile>, code: u16| {
        let (limit, at) = (limit.as_ref()?, at.key(name));
        if limit.calls.is_none() && limit.rate.is_none() {
            report.add(at, format!("`{name}` limits nothing"), "write calls: 5, or rate: { max: 10/s }");
        }
        if limit.others.is_some() && name != "all" {
            let help = "write it on `all`, or on a trunk";
            report.add(at.name("others"), format!("`{name}` has no one limit that others could share"), help);
        }
        Some(call_limit(limit, code, at, report))
    };
    CallLimits {
        all: limit("all", &file.all, 503),
        per_account: limit("per_account", &file.per_account, 403),
        per_source: limit("per_source", &file.per_source, 403),
        per_callee: limit("per_callee", &file.per_callee, 486),
    }
}

/// `registrations`.
pub(super) fn of_registrations(file: &LabRegistrationsFile, at: At<'_>, report: &mut Report) -> RegistrationLimits {
    let limit = |file: &PerAorFile| LabLimit { places: file.contacts, refuse: reject_or(file.refuse.as_ref(), 403) };
    RegistrationLimits {
        rate: file.rate.as_ref().and_then(|file| rate(file, at.key("rate"), report)),
        per_aor: file.per_aor.as_ref().map(limit),
        per_source: file.per_source.as_ref().map(limit),
        rings_any: file.rings == RingsWord::Random,
    }
}

fn call_limit(file: &CallLimitFile, code: u16, at: At<'_>, report: &mut Report) -> CallLimit {
    let of_places = [
        ("refuse", file.refuse.is_some()),
        ("others", file.others.is_some()),
        ("frees_after", file.frees_after.is_some()),
    ];
    for (name, _) in of_places.into_iter().filter(|(_, given)| *given && file.calls.is_none()) {
        report.add(at.name(name), format!("`{name}` is about places, and there is no limit on them"), "add calls: 5");
    }
    if file.ban.is_some() && file.calls.is_none() && file.rate.is_none() {
        let message = "nobody is ever banned: there is no limit that refuses";
        report.add(at.name("ban"), message, "add calls: 5, or rate: { max: 10/s }");
    }
    let others = file.others.as_ref().map(|file| others(file, at.key("others"), report));
    let places = file.calls.map(|limit| Places {
        limit,
        refuse: reject_or(file.refuse.as_ref(), code),
        others,
        freed: freed(file.frees_after),
    });
    CallLimit {
        places,
        rate: file.rate.as_ref().and_then(|file| rate(file, at.key("rate"), report)),
        ban: file.ban.as_ref().map(|file| ban(file, at.key("ban"), report)),
    }
}

fn others(file: &OthersFile, at: At<'_>, report: &mut Report) -> Others {
    if file.calls.min > file.calls.max {
        report.add(at.key("calls"), "the range ends before it begins", "write the smaller number first, as 0..3");
    }
    must_last("change_every", file.change_every, at, report);
    Others { min: file.calls.min, max: file.calls.max, change_every: file.change_every.0 }
}

fn ban(file: &BanFile, at: At<'_>, report: &mut Report) -> Ban {
    must_last("within", file.within, at, report);
    must_last("for", file.length, at, report);
    if file.silent && file.refuse.is_some() {
        report.add(at.name("silent"), "a silent ban sends no refusal", "keep one of `refuse` and `silent`");
    }
    Ban {
        after: file.after,
        within: file.within.0,
        length: file.length.0,
        subject: match file.of {
            None | Some(SubjectWord::Source) => Subject::Source,
            Some(SubjectWord::Account) => Subject::Account,
        },
        refuse: (!file.silent).then(|| reject_or(file.refuse.as_ref(), 403)),
    }
}

fn rate(file: &RateLimitFile, at: At<'_>, report: &mut Report) -> Option<RateLimit> {
    let per_second = file.max.0.get();
    if per_second <= 0.0 {
        report.add(at.key("max"), "a rate of 0 lets nothing pass", "as max: 10/s; `calls: 0` refuses every call");
        return None;
    }
    let meter = match (file.window, file.burst) {
        (Some(_), Some(_)) => {
            let help = "a bucket has `burst`, counting in windows has `window`: keep one of the two";
            report.add(at.name("burst"), "`burst` and `window` are both given", help);
            return None;
        }
        (Some(window), None) => {
            must_last("window", window, at, report);
            let count = per_second * window.0.as_secs_f64();
            // 10/m times 6s is 1, but for the last bit.
            let whole = count.round();
            if whole < 1.0 || (count - whole).abs() > 1e-6 || whole > f64::from(u32::MAX) {
                let message = format!("a window of {window} would hold {count:.3} of them");
                report.add(at.key("window"), message, "choose a window that holds a whole number, 1 or more");
                return None;
            }
            Meter::Window { count: whole as u32, length: window.0 }
        }
        (None, burst) => Meter::Bucket {
            interval: std::time::Duration::from_secs_f64((1.0 / per_second).min(1e9)),
            burst: burst.unwrap_or_else(|| (per_second.round() as u32).max(1)),
        },
    };
    Some(RateLimit { meter, refuse: reject_or(file.refuse.as_ref(), 503) })
}

fn must_last(name: &str, period: Period, at: At<'_>, report: &mut Report) {
    if period.0.is_zero() {
        report.add(at.key(name), format!("`{name}` has to be longer than 0s"), "as in 2s");
    }
}

/// When a place is free again.
pub(super) fn freed(file: Option<FreesAfter>) -> Freed {
    match file {
        None => Freed::AtOnce,
        Some(after) => after.0.map_or(Freed::Never, |period| Freed::After(period.0)),
    }
}
