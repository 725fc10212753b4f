//! Secrets: `${NAME}` from the environment, `${file:PATH}` from a file. In lab files `${NAME:-default}` as well.
//!
//! No message here repeats what it found, only the name.

use super::Input;
use super::doc::{At, Report};
use crate::scenario::file::scalar::Digits;
use crate::units::Secret;

/// What a reference may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rules {
    /// Secrets come from the environment or a file, never from the text itself.
    ReferenceOnly,
    /// What may be a secret and need not be: plain texts are fine, defaults are not.
    Text,
    /// The lab is not a secret: plain texts and defaults are fine.
    Lab,
}

/// The secret that `text` refers to.
pub(super) fn resolve(input: &Input<'_>, text: &str, rules: Rules, at: At<'_>, report: &mut Report) -> Option<Secret> {
    if rules == Rules::ReferenceOnly && !text.contains("${") {
        let help = "write `${NAME}` and set the environment variable NAME, or `${file:PATH}`";
        report.add(at, "a secret stands in the file itself", help);
        return None;
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = rest.find("${") {
        out.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('}') else {
            report.add(at, "`${` is never closed", "write `}` after the name");
            return None;
        };
        out.push_str(&reference(input, &rest[open + 2..open + close], rules, at, report)?);
        rest = &rest[open + close + 1..];
    }
    out.push_str(rest);
    Some(Secret::new(out))
}

fn reference(input: &Input<'_>, name: &str, rules: Rules, at: At<'_>, report: &mut Report) -> Option<String> {
    if let Some(path) = name.strip_prefix("file:") {
        return from_file(input, path, at, report);
    }
    let (name, default) = name.split_once(":-").map_or((name, None), |(name, default)| (name, Some(default)));
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        report.add(at, "`${…}` does not name an environment variable", "write `${NAME}` or `${file:PATH}`");
        return None;
    }
    if default.is_some() && rules != Rules::Lab {
        let help = format!("write `${{{name}}}`; defaults are for lab files only");
        report.add(at, "a secret must not have a default", help);
        return None;
    }
    let value = (input.env)(name).or_else(|| default.map(str::to_owned));
    if value.is_none() {
        report.add(at, format!("the environment variable {name} is not set"), format!("set it: export {name}=…"));
    }
    value
}

/// A password that stands in the environment or in a file of its own; `None` where there is none, or a mistake was told.
pub(super) fn password(
    input: &Input<'_>,
    (text, path): (Option<&Digits>, Option<&String>),
    at: At<'_>,
    report: &mut Report,
) -> Option<Secret> {
    match (text, path) {
        (Some(_), Some(_)) => {
            report.add(
                at.name("password_file"),
                "`password` and `password_file` are both given",
                "keep one of the two",
            );
            None
        }
        (Some(text), None) => resolve(input, &text.0, Rules::ReferenceOnly, at.key("password"), report),
        (None, Some(path)) => from_file(input, path, at.key("password_file"), report).map(Secret::new),
        (None, None) => None,
    }
}

/// A secret that a file holds; the end of its last line is no part of it.
pub(super) fn from_file(input: &Input<'_>, path: &str, at: At<'_>, report: &mut Report) -> Option<String> {
    let text = super::doc::read(input, &at.doc().beside(path), at, report)?;
    Some(text.trim_end_matches(['\r', '\n']).to_owned())
}
