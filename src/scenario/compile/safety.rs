//! `safety:` and `saturate:` of a target file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::doc::{At, Report};
use crate::scenario::diagnostic::did_you_mean;
use crate::scenario::emergency::{self, COUNTRIES, Country};
use crate::scenario::file::TargetFile;
use crate::scenario::plan::Trunk;
use crate::scenario::safety::{NumberGuard, Safety, Saturate, normal_form, whole};

/// The guard rails of a target.
pub(super) fn compile(
    file: &TargetFile,
    numbers: &BTreeMap<String, String>,
    hotlines: &BTreeMap<String, (String, Option<String>)>,
    trunks: &BTreeMap<String, Trunk>,
    at: At<'_>,
    report: &mut Report,
) -> Safety {
    let written = &file.safety;
    let at_safety = at.key("safety");
    let mut prefixes: Vec<String> = written.outside_prefixes.iter().map(|prefix| prefix.0.trim().to_owned()).collect();
    for (index, prefix) in prefixes.iter().enumerate() {
        if prefix.is_empty() || !prefix.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#')) {
            let at = at_safety.key("outside_prefixes").index(index);
            report.add(at, format!("`{prefix}` is no prefix"), "write digits, + * #");
        }
    }
    let of_trunks: Vec<String> = trunks.values().filter_map(|trunk| trunk.prefix.clone()).collect();
    let own = numbers.values().chain(hotlines.values().map(|(number, _)| number));
    let named = with_prefixes(own, &of_trunks);
    prefixes.extend(of_trunks);
    let default = Safety::default();
    let max_cps = written.max_cps.unwrap_or(default.max_cps);
    if max_cps <= 0.0 {
        report.add(at_safety.key("max_cps"), "the cap on the rate has to be above 0", "as max_cps: 200");
    }
    Safety {
        max_concurrent: written.max_concurrent.unwrap_or(default.max_concurrent),
        max_cps,
        max_calls: written.max_calls.unwrap_or(default.max_calls),
        max_minutes: written.max_minutes.unwrap_or(default.max_minutes),
        saturate: saturate(file),
        numbers: NumberGuard {
            allow: allow(file, at_safety.key("allow"), report),
            named,
            countries: countries(file, at_safety.key("emergency"), report),
            prefixes,
        },
    }
}

fn with_prefixes<'n>(numbers: impl Iterator<Item = &'n String>, prefixes: &[String]) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for number in numbers.filter_map(|number| normal_form(number)) {
        named.extend(prefixes.iter().map(|prefix| format!("{prefix}{number}")));
        named.insert(number);
    }
    named
}

fn allow(file: &TargetFile, at: At<'_>, report: &mut Report) -> Option<Vec<regex_lite::Regex>> {
    let patterns = file.safety.allow.as_ref()?;
    let mut compiled = Vec::new();
    for (index, pattern) in patterns.iter().enumerate() {
        match whole(pattern) {
            Ok(pattern) => compiled.push(pattern),
            Err(error) => report.add(at.index(index), format!("not a regular expression: {error}"), "as ^[0-9]{4,}$"),
        }
    }
    Some(compiled)
}

fn countries(file: &TargetFile, at: At<'_>, report: &mut Report) -> Vec<&'static Country> {
    let mut countries = Vec::new();
    let Some(codes) = &file.safety.emergency else { return countries };
    for (index, code) in codes.as_slice().iter().enumerate() {
        match emergency::country(code) {
            Some(country) => countries.push(country),
            None => {
                let known: Vec<&str> = COUNTRIES.iter().map(|country| country.code).collect();
                let help = did_you_mean(code, "a country", &known);
                let help = format!("{help}; leave `emergency` out to block those of every country known");
                report.add(at.index(index), format!("the emergency numbers of `{code}` are not known"), help);
            }
        }
    }
    countries
}

fn saturate(file: &TargetFile) -> Saturate {
    let Some(written) = &file.saturate else { return Saturate::default() };
    let time = |text: &str| {
        let (hours, minutes) = text.split_once(':')?;
        Some(Duration::from_secs(hours.parse::<u64>().ok()? * 3600 + minutes.parse::<u64>().ok()? * 60))
    };
    // Its pattern was checked with the rest of the file.
    let window = written.window.as_ref().and_then(|window| {
        let (from, to) = window.split_once('-')?;
        Some((time(from)?, time(to)?))
    });
    Saturate { allowed: written.allowed, window, exclusive: written.exclusive }
}
