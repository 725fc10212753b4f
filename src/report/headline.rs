//! The verdict as one sentence that needs no glossary.

use super::summary::Summary;
use super::verdict::{Ending, Verdict};

/// One sentence: what was done, what came of it, and the main reason where it failed.
pub(super) fn headline(summary: &Summary, ending: &Ending) -> String {
    match (summary.verdict, ending) {
        (Verdict::NotStarted, Ending::NotStarted(why)) => format!("Nothing was tested: {why}."),
        (Verdict::NotStarted, _) => "Nothing was tested.".to_owned(),
        (Verdict::Interrupted, _) => format!("The run was interrupted after {}.", counted(summary)),
        (Verdict::GeneratorLimited, _) if summary.generator.health.unwritten.is_some() => {
            let error = summary.generator.health.unwritten.as_deref().unwrap_or_default();
            format!("The results could not be kept, so the run was ended and says nothing about the target: {error}.")
        }
        (Verdict::GeneratorLimited, _) => format!(
            "This machine fell behind, so the result says nothing about the target: {}.",
            summary.generator.limited_by.join("; ")
        ),
        (Verdict::Pass | Verdict::Fail, _) if !summary.limits.is_empty() => searched(summary),
        (Verdict::Pass, _) => format!("{}; {}{}.", counted(summary), expectations(summary), tolerated(summary)),
        (Verdict::Fail, _) => format!("{}{}.", counted(summary), reason(summary)),
    }
}

/// What a search came to, as it can be pasted into a hand-over.
fn searched(summary: &Summary) -> String {
    let found: Vec<&str> = summary.limits.iter().map(|limit| limit.text.as_str()).collect();
    let broken = summary.expectations.iter().find(|expectation| !expectation.pass);
    let broken = broken.map(|broken| format!("; expected “{}”", broken.text)).unwrap_or_default();
    format!("{}{broken}.", found.join("; "))
}

/// `997 of 1,000 calls were answered`, or without calls `20 of 20 attempts succeeded`.
fn counted(summary: &Summary) -> String {
    if summary.attempted == 0 {
        return "No call was made or taken".to_owned();
    }
    let (attempted, noun) = (thousands(summary.attempted), plural(summary.attempted));
    if summary.kpi.asr.is_some() || summary.answered > 0 {
        let verb = if summary.calls.attempted == 1 { "was" } else { "were" };
        // Refusals that the scenario expects are what it came for.
        if summary.failed == 0 && summary.answered == 0 {
            return format!("{attempted} {} ended unanswered, as the scenario expects", noun.0);
        }
        let (answered, calls) = (thousands(summary.calls.answered), thousands(summary.calls.attempted));
        let noun = plural(summary.calls.attempted);
        return format!("{answered} of {calls} {} {verb} answered{}", noun.0, others(summary));
    }
    let succeeded = summary.attempted.saturating_sub(summary.failed);
    format!("{} of {attempted} {} succeeded", thousands(succeeded), noun.1)
}

/// What became of attempts that are no calls, where there are calls beside them.
fn others(summary: &Summary) -> String {
    let others = summary.attempted.saturating_sub(summary.calls.attempted);
    let failed = summary.failed.saturating_sub(summary.calls.failed);
    match others {
        0 => String::new(),
        1 => format!(", and 1 other attempt {}", if failed == 0 { "succeeded" } else { "failed" }),
        _ => format!(", and {} of {} other attempts succeeded", thousands(others - failed), thousands(others)),
    }
}

fn plural(count: u64) -> (&'static str, &'static str) {
    if count == 1 { ("call", "attempt") } else { ("calls", "attempts") }
}

fn expectations(summary: &Summary) -> String {
    match summary.expectations.iter().filter(|expectation| !expectation.implied).count() {
        0 if summary.failed == 0 => "nothing failed".to_owned(),
        0 | 1 => "the expectation holds".to_owned(),
        2 => "both expectations hold".to_owned(),
        count => format!("all {count} expectations hold"),
    }
}

/// A passed run may have failures that no expectation forbids: they must not go unsaid.
fn tolerated(summary: &Summary) -> String {
    match summary.faults().first().filter(|_| summary.failed > 0) {
        Some((class, _)) => format!(", though {} failed, most of them by {class}", thousands(summary.failed)),
        None => String::new(),
    }
}

/// What a failed run failed by: the most frequent class, else the first expectation that does not hold.
fn reason(summary: &Summary) -> String {
    let broken = summary.expectations.iter().find(|expectation| !expectation.pass);
    let expectation = broken.map(|broken| match &broken.actual {
        Some(actual) => format!("; expected “{}”, measured {actual}", broken.text),
        None => format!("; expected “{}”, which was not measured", broken.text),
    });
    let fault = summary.faults().first().filter(|_| summary.failed > 0).map(|(class, count)| {
        format!(
            "; the most frequent fault is {class} ({}): {}",
            thousands(*count),
            class.meaning().trim_end_matches('.')
        )
    });
    fault.or(expectation).unwrap_or_default()
}

/// `12345` as `12,345`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        let table = [(0, "0"), (999, "999"), (1000, "1,000"), (12_345, "12,345"), (1_000_000, "1,000,000")];
        for (number, text) in table {
            assert_eq!(thousands(number), text);
        }
    }
}
