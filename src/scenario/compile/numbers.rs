//! What stands after `number:`: a name of the target, else only what can be dialled. A misspelt name is a mistake,
//! never a dialled string.

use super::Constants;
use super::doc::{At, Report};
use super::site::Site;
use crate::scenario::diagnostic::did_you_mean;
use crate::scenario::file::scalar::Digits;
use crate::scenario::plan::Number;
use crate::scenario::text::Text;

/// The number of a `dial`, and the trunk label of a hotline.
pub(super) fn dialled(
    digits: &Digits,
    site: &Site,
    others: &[&Site],
    constants: &Constants<'_>,
    at: At<'_>,
    report: &mut Report,
) -> Option<(Number, Option<String>)> {
    let text = template(digits, constants, at, report)?;
    let Some(constant) = text.as_constant().map(str::trim) else {
        return match literal_pieces_are_dialable(&text) {
            true => Some((Number { text, name: None, hotline: false }, None)),
            false => {
                report.add(at, format!("`{}` is not a number", digits.0), WHAT_IS_DIALLED);
                None
            }
        };
    };
    for place in std::iter::once(&site).chain(others) {
        if let Some(number) = place.target.numbers.get(constant) {
            let name = Some(constant.to_owned());
            return Some((Number { text: Text::literal(number), name, hotline: false }, None));
        }
        if let Some((number, trunk)) = place.hotlines.get(constant) {
            let name = Some(constant.to_owned());
            return Some((Number { text: Text::literal(number), name, hotline: true }, trunk.clone()));
        }
    }
    if is_dialable(constant) {
        return Some((Number { text: Text::literal(constant), name: None, hotline: false }, None));
    }
    unknown(constant, std::iter::once(&site).chain(others).copied(), at, report);
    None
}

fn unknown<'s>(name: &str, sites: impl Iterator<Item = &'s Site>, at: At<'_>, report: &mut Report) {
    let (mut names, mut sure) = (Vec::new(), true);
    for site in sites {
        names.extend(site.target.numbers.keys().chain(site.hotlines.keys()).map(String::as_str));
        sure &= !site.lossy;
    }
    // A target with mistakes of its own may have had the name.
    if sure {
        report.add(at, format!("unknown number `{name}`"), did_you_mean(name, "a number of the target", &names));
    }
}

/// A text with its constants put in.
pub(super) fn template(digits: &Digits, constants: &Constants<'_>, at: At<'_>, report: &mut Report) -> Option<Text> {
    let (actor, captured) = (|name: &str| constants.has_actor(name), |name: &str| constants.is_captured(name));
    match Text::parse(&digits.0, &|name| constants.get(name), &actor, &captured) {
        Ok(text) => Some(text),
        Err(error) => {
            report.add(at, error.to_string(), "");
            None
        }
    }
}

/// Whether this can be dialled as it stands: digits, `+ * #`, or a `sip:` or `tel:` URI.
pub(crate) fn is_dialable(text: &str) -> bool {
    let uri = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            && text.len() > scheme.len()
            && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\'))
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#'));
    uri("sip:") || uri("tel:") || digits(text.strip_prefix('+').unwrap_or(text))
}

/// Every rendered form is checked later; this finds the mistakes that show without rendering.
fn literal_pieces_are_dialable(text: &Text) -> bool {
    let mut literals = text.literals();
    let is_uri = literals.next().is_some_and(is_uri_start) && text.starts_with_literal();
    is_uri || text.literals().all(|piece| piece.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'*' | b'#')))
}

fn is_uri_start(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.starts_with("sip:") || lower.starts_with("tel:")
}

const WHAT_IS_DIALLED: &str =
    "write a key of the target's `numbers:` or `hotlines:`, digits with + * #, or a sip: or tel: URI";
