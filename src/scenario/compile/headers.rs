//! Additional headers: names that are tokens, not those that the stack writes itself, values of one line.

use std::collections::BTreeMap;

use super::doc::{At, Report};
use crate::scenario::file::scalar::Digits;

/// Headers that carry the transaction, the dialog or the body: a second one would break the message.
const OURS: &[&str] = &[
    "via",
    "v",
    "from",
    "f",
    "to",
    "t",
    "call-id",
    "i",
    "cseq",
    "contact",
    "m",
    "max-forwards",
    "content-length",
    "l",
    "content-type",
    "c",
    "route",
    "record-route",
    "authorization",
    "proxy-authorization",
    "expires",
];

/// Reports headers that cannot be sent.
pub(super) fn check(headers: &BTreeMap<String, Digits>, at: At<'_>, report: &mut Report) {
    for (name, value) in headers {
        let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            report.add(at.name(name), format!("`{name}` is no name of a header"), "letters, digits and `-`, as X-Test");
        } else if OURS.contains(&name.to_ascii_lowercase().as_str()) {
            report.add(at.name(name), format!("the header `{name}` is written by ringfleet itself"), "leave it out");
        }
        if value.0.contains("${") {
            let help = "headers are shown in evidence: write the value itself, or leave it out";
            report.add(at.key(name), "`${…}` is read for passwords only", help);
        }
        if value.0.chars().any(|c| c.is_control() && c != '\t') {
            report.add(at.key(name), "a header is one line of text", "take out line breaks and control characters");
        }
    }
}
