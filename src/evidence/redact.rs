//! Raw messages as text for people, without what nobody may read.
//!
//! Taken out are the proof of an Authorization or Proxy-Authorization header (RFC 3261 §22: `response` and `cnonce`;
//! all of it where the scheme is not Digest), the keys of `a=crypto` (RFC 4568) and `k=` lines. The work is by line
//! and does not ask where a body starts, so a message that is broken, or that quotes another, shows no more.

use std::borrow::Cow;
use std::fmt::Write;

use crate::units::is_steering;

/// Whether secrets are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// They are replaced by `***`.
    #[default]
    Hidden,
    /// They are shown: only where the operator asked for it.
    Shown,
}

const MASK: &str = "***";

/// A message as text: line ends are LF, and bytes that are not printable UTF-8 come as `\xNN`, so that a terminal can
/// show it safely. It ends with a line end unless it is empty.
pub(super) fn readable(message: &[u8], secrets: Secrets) -> String {
    let text = printable(message);
    let mut out = match secrets {
        Secrets::Hidden => hide(&text),
        Secrets::Shown => text,
    };
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// One line of peer text for people.
pub(super) fn printable_line(bytes: &[u8]) -> String {
    printable(bytes).replace('\n', " ")
}

fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let mut chars = chunk.valid().chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' if chars.peek() == Some(&'\n') => {}
                '\n' | '\t' => out.push(c),
                c if is_steering(c) => push_bytes(&mut out, c),
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            push_byte(&mut out, *byte);
        }
    }
    out
}

fn push_bytes(out: &mut String, c: char) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        push_byte(out, byte);
    }
}

fn push_byte(out: &mut String, byte: u8) {
    write!(out, "\\x{byte:02x}").expect("writing to a String does not fail");
}

fn hide(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(logical_line(rest));
        out.push_str(&hide_line(line));
        rest = after;
    }
    out
}

/// Length of the first line with the lines that continue it (RFC 3261 §7.3.1) and its line end.
fn logical_line(text: &str) -> usize {
    let ends = text.match_indices('\n').map(|(at, _)| at + 1);
    ends.into_iter().find(|end| !text[*end..].starts_with([' ', '\t'])).unwrap_or(text.len())
}

fn hide_line(line: &str) -> Cow<'_, str> {
    let name = line.split(':').next().unwrap_or_default().trim();
    if ["Authorization", "Proxy-Authorization"].iter().any(|secret| name.eq_ignore_ascii_case(secret)) {
        return hide_credentials(line).into();
    }
    if name.eq_ignore_ascii_case("a=crypto") {
        return hide_after(line, "inline:").into();
    }
    if name.starts_with("k=") {
        return hide_after(line, "k=").into();
    }
    line.into()
}

/// Hides each word that follows `mark`, up to white space or a semicolon that starts another key.
fn hide_after(line: &str, mark: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let mut out = String::with_capacity(line.len());
    let mut shown = 0;
    while let Some(found) = lower[shown..].find(mark) {
        let secret = shown + found + mark.len();
        out.push_str(&line[shown..secret]);
        out.push_str(MASK);
        shown = line[secret..].find([' ', '\t', '\n', ';']).map_or(line.len(), |end| secret + end);
    }
    out.push_str(&line[shown..]);
    out
}

/// `Name: Digest a=b, response="…"`
fn hide_credentials(line: &str) -> String {
    let colon = line.find(':').map_or(line.len(), |colon| colon + 1);
    let (head, value) = line.split_at(colon);
    let scheme_start = value.len() - value.trim_start().len();
    let scheme_end = value[scheme_start..].find(char::is_whitespace).map_or(value.len(), |end| scheme_start + end);
    let (scheme, params) = value.split_at(scheme_end);
    if params.trim().is_empty() {
        return line.to_owned();
    }
    if !scheme.trim().eq_ignore_ascii_case("Digest") {
        return format!("{head}{scheme} {MASK}\n");
    }
    format!("{head}{scheme}{}", hide_proof(params))
}

/// Hides the values of `response` and `cnonce`, wherever they stand: with quotes that do not match it is better to
/// hide too much.
fn hide_proof(params: &str) -> String {
    let lower = params.to_ascii_lowercase();
    let mut out = String::with_capacity(params.len());
    let mut shown = 0;
    let mut next = ["response", "cnonce"].map(|name| (name, value_of(&lower, 0, name)));
    while let Some(value) = next.iter().filter_map(|(_, value)| *value).min() {
        out.push_str(&params[shown..value]);
        out.push_str(MASK);
        shown = value + value_length(&params[value..], params[..value].ends_with('"'));
        for (name, value) in &mut next {
            // One that lies ahead is not looked for again: a line may have thousands of the other.
            *value = if value.is_some_and(|value| value <= shown) { value_of(&lower, shown, name) } else { *value };
        }
    }
    out + &params[shown..]
}

/// Where the value of the first `name = value` or `name="value"` after `from` starts, its quote left out.
fn value_of(lower: &str, from: usize, name: &str) -> Option<usize> {
    lower[from..].match_indices(name).find_map(|(at, _)| {
        // The name of another parameter may end like this one.
        let alone = !lower[..from + at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        let value = lower[from + at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
        let value = value.strip_prefix('"').unwrap_or(value);
        alone.then_some(lower.len() - value.len())
    })
}

fn value_length(text: &str, quoted: bool) -> usize {
    let mut escaped = false;
    let end = text.char_indices().find(|(at, c)| {
        // A quote amid other text has no partner: it begins something else, which may be the proof itself.
        let closes = |at: usize| text[at..].starts_with(|c: char| c == ',' || c.is_whitespace()) || at == text.len();
        let ends =
            !escaped && if quoted { *c == '"' && closes(at + 1) } else { matches!(c, ',' | '"') || c.is_whitespace() };
        escaped = quoted && *c == '\\' && !escaped;
        ends
    });
    let end = end.map(|(at, _)| at);
    // A quoted string without its end takes all but the line end.
    end.unwrap_or_else(|| text.trim_end_matches('\n').len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hidden(message: &str) -> String {
        readable(message.as_bytes(), Secrets::Hidden)
    }

    #[test]
    fn the_proof_of_a_digest_is_hidden_and_the_rest_stays() {
        let message = "REGISTER sip:a SIP/2.0\r\nproxy-authorization : Digest username=\"a,\\\"response=1\", realm=\"r\",\r\n\
                       \tresponse=\"abc\", CNONCE = \"q,w\",nc=00000001, response=xyz\r\nVia: v\r\n\r\n";
        assert_eq!(
            hidden(message),
            "REGISTER sip:a SIP/2.0\nproxy-authorization : Digest username=\"a,\\\"response=***\", realm=\"r\",\n\
             \tresponse=\"***\", CNONCE = \"***\",nc=00000001, response=***\nVia: v\n\n"
        );
        assert_eq!(readable(message.as_bytes(), Secrets::Shown), message.replace("\r\n", "\n"));
    }

    #[test]
    fn a_quote_without_its_partner_does_not_show_the_proof_behind_it() {
        let text = hidden("Authorization: Digest response=\", response=\"0123\", nc=1\n");
        assert_eq!(text, "Authorization: Digest response=\"***\", nc=1\n");
    }

    #[test]
    fn other_schemes_are_hidden_as_a_whole() {
        assert_eq!(
            hidden("Authorization: Basic dXNlcjpwYXNz\r\n\tmore\r\nX: y\r\n"),
            "Authorization: Basic ***\nX: y\n"
        );
        assert_eq!(hidden("Authorization:\r\n Bearer abc"), "Authorization:\n Bearer ***\n");
        assert_eq!(hidden("Authorization:\r\n"), "Authorization:\n");
    }

    #[test]
    fn keys_of_encrypted_media_are_hidden() {
        let body = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:32;inline:x FEC\n\
                    k=base64:abc\na=ptime:20\n";
        assert_eq!(hidden(body), "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:***;inline:*** FEC\nk=***\na=ptime:20\n");
    }

    #[test]
    fn bytes_that_could_steer_a_terminal_are_spelled_out() {
        assert_eq!(hidden("a\x1b[2Jb\rc\0\u{202e}é\t"), "a\\x1b[2Jb\\x0dc\\x00\\xe2\\x80\\xaeé\t\n");
        assert_eq!(readable(b"caf\xe9", Secrets::Hidden), "caf\\xe9\n");
        assert_eq!(readable(b"", Secrets::Hidden), "");
    }

    proptest! {
        #[test]
        fn any_bytes_become_text(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = readable(&bytes, Secrets::Hidden);
            prop_assert!(text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')));
        }

        #[test]
        fn a_response_never_gets_through(before in "[a-z=\",\\\\ ]{0,30}", after in any::<String>()) {
            for value in ["response=\"5ec4e7\"", "Response = 5ec4e7", "cnonce=5ec4e7,"] {
                let text = hidden(&format!("Authorization: Digest {before},{value}{after}"));
                prop_assert!(!text.contains("5ec4e7"), "{}", text);
            }
        }
    }
}
