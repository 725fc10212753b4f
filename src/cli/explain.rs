//! `ringfleet explain WORD`: what a class or a finding means and what to do next; how a figure is computed; what a field of a
//! record is.

use std::io::Write as _;

use crate::measure::definition::Definition;
use crate::record::{Class, Finding, explain, field};

use super::exit;
use super::out::{self, note};

/// Prints the explanation of a class; a word that is none is answered with the nearest one.
pub(super) fn run(word: &str) -> anyhow::Result<u8> {
    match text(word) {
        Ok(text) => {
            writeln!(out::stdout(), "{text}")?;
            Ok(exit::PASS)
        }
        Err(message) => {
            note!("{message}");
            Ok(exit::USAGE)
        }
    }
}

fn text(word: &str) -> Result<String, String> {
    if let Ok(finding) = word.parse::<Finding>() {
        return Ok(of_finding(finding));
    }
    if let Some(definition) = Definition::of(word) {
        return Ok(definition.to_string());
    }
    if let Some(text) = field(word) {
        return Ok(text);
    }
    match word.parse::<Class>() {
        Ok(class) => Ok(explain(class).to_string()),
        Err(error) => Err(match nearest(word) {
            Some(class) => format!("{error}; did you mean `{class}`?"),
            None => {
                format!("{error}. Classes are:\n{}Findings are:\n{}Figures are:\n{}", list(), findings(), figures())
            }
        }),
    }
}

fn nearest(word: &str) -> Option<Class> {
    let word = word.to_lowercase();
    // People leave the group out: `callee_busy`.
    let by_last_part = |class: &&Class| class.name().split('.').next_back() == Some(word.as_str());
    let distance = |class: &&Class| strsim::damerau_levenshtein(&word, class.name());
    let near = |class: &&Class| distance(class) <= 1 + word.chars().count() / 3;
    let found = Class::ALL.iter().find(by_last_part);
    found.or_else(|| Class::ALL.iter().filter(near).min_by_key(distance)).copied()
}

fn of_finding(finding: Finding) -> String {
    let next = finding.next().iter().enumerate().map(|(index, line)| format!("\n  {}. {line}", index + 1));
    format!(
        "{finding}\n  {}\n\nWhat to do next{}\n\nTold from: several attempts and their controls",
        finding.meaning(),
        next.collect::<String>()
    )
}

fn findings() -> String {
    Finding::ALL.iter().map(|finding| format!("  {:28} {}\n", finding.name(), finding.meaning())).collect()
}

fn figures() -> String {
    Definition::all().iter().map(|figure| format!("  {:28} {}\n", figure.name, figure.title)).collect()
}

fn list() -> String {
    Class::ALL.iter().map(|class| format!("  {:28} {}\n", class.name(), class.meaning())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_explained_and_a_near_word_is_corrected() {
        assert!(text("call.congestion").expect("known").starts_with("call.congestion\n"));
        let busy = "`callee_busy` is not a failure class; did you mean `call.callee_busy`?";
        assert_eq!(text("callee_busy"), Err(busy.to_owned()));
        let timeout = "`call.time-out` is not a failure class; did you mean `call.timeout`?";
        assert_eq!(text("call.time-out"), Err(timeout.to_owned()));
    }

    #[test]
    fn a_finding_is_explained() {
        let text = text("call.trunk_saturated").expect("known");
        assert!(text.starts_with("call.trunk_saturated\n  The trunk carries so many calls"), "{text}");
        assert!(text.contains("\nWhat to do next\n  1. Compare the number measured with the contract.\n"), "{text}");
    }

    #[test]
    fn a_figure_is_explained() {
        let text = text("ser").expect("known");
        let expected = "ser (%)\n  Session establishment ratio (SER)\n\nHow it is computed\n  answered / (INVITEs − 3xx)\n\n\
            Source: RFC 6076 §4.6";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_field_of_a_record_is_explained_and_is_no_failure_class() {
        let expected = "ice_check_ms (ms)\n  From the other side's description to our first check of ICE.";
        assert!(text("ice_check_ms").expect("known").starts_with(expected));
        assert!(text("setup_ms").expect("known").starts_with("setup_ms (ms)\n"), "a figure");
    }

    #[test]
    fn a_word_that_is_near_nothing_is_answered_with_the_list() {
        let list = text("banana").expect_err("unknown");
        assert_eq!(list.lines().count(), 3 + Class::ALL.len() + Finding::ALL.len() + Definition::all().len());
        assert!(list.contains("  media.one_way                Audio was heard in one direction only."));
    }
}
