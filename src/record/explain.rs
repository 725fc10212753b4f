//! What a class means and what to do about it, for people who were just woken up.

use std::fmt;

use super::class::Class;
use super::dictionary::{ENTRIES, Entry};

/// The entry of a class in the dictionary.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// The class.
    pub class: Class,
    /// What it is usually caused by, the most frequent first.
    pub causes: &'static [&'static str],
    /// What to do next, in order.
    pub next: &'static [&'static str],
    /// What it is told from: codes, timers and audio, with the sections of standards.
    pub told_from: &'static str,
}

impl Explanation {
    /// What the class means, in one line.
    pub fn meaning(&self) -> &'static str {
        self.class.meaning()
    }

    /// What to do first, in one line.
    pub fn next_action(&self) -> &'static str {
        self.next.first().copied().unwrap_or("")
    }
}

/// What `class` means and what to do next.
pub fn explain(class: Class) -> Explanation {
    let known = |entry: &&Entry| entry.class == class;
    let entry = ENTRIES.iter().find(known).expect("every class has an entry: a test walks Class::ALL");
    Explanation { class, causes: entry.causes, next: entry.next, told_from: entry.told_from }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n  {}", self.class, self.meaning())?;
        section(f, "Usual causes", self.causes)?;
        section(f, "What to do next", self.next)?;
        write!(f, "\nTold from: {}", self.told_from)
    }
}

fn section(f: &mut fmt::Formatter<'_>, title: &str, lines: &[&str]) -> fmt::Result {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{title}")?;
    lines.iter().enumerate().try_for_each(|(index, line)| writeln!(f, "  {}. {line}", index + 1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_class_has_one_entry_with_something_to_do() {
        let entries: BTreeSet<Class> = ENTRIES.iter().map(|entry| entry.class).collect();
        assert_eq!(entries, Class::ALL.iter().copied().collect());
        assert_eq!(entries.len(), ENTRIES.len(), "an entry stands twice");
        for class in Class::ALL {
            let explanation = explain(*class);
            assert!(!explanation.next_action().is_empty(), "{class}");
            assert!(!explanation.told_from.is_empty(), "{class}");
            assert_eq!(explanation.causes.is_empty(), *class == Class::Ok, "{class}");
        }
    }

    #[test]
    fn the_text_reads_from_meaning_to_action() {
        let text = explain(Class::CallCalleeBusy).to_string();
        let places = [
            "call.callee_busy\n  The called party is busy.",
            "Usual causes\n  1. ",
            "What to do next\n  1. ",
            "Told from: ",
        ]
        .map(|part| text.find(part).unwrap_or_else(|| panic!("no {part:?} in {text}")));
        assert!(places.is_sorted());
    }
}
