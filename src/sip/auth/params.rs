//! Reads and writes `scheme name=value, name="value"` (RFC 9110 §11.2, RFC 3261 §25.1).

use std::borrow::Cow;
use std::fmt::Write;

/// A piece of a WWW-Authenticate, Proxy-Authenticate, Authorization or Proxy-Authorization value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// The name of a scheme: the parameters after it are its own.
    Scheme(&'a str),
    /// A parameter, quotes and escapes removed.
    Param(&'a str, Cow<'a, str>),
}

/// Walks through a header value. One value may hold several schemes, and commas inside quotes separate nothing.
/// Anything can be read: what makes no sense comes out as a scheme that nobody knows.
pub(super) struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(value: &'a str) -> Self {
        Self { rest: value }
    }

    /// A parameter's value: a quoted string, or everything up to a comma or white space.
    fn value(&mut self) -> Cow<'a, str> {
        let text = self.rest.trim_start();
        let Some(quoted) = text.strip_prefix('"') else {
            let end = text.find(is_separator).unwrap_or(text.len());
            self.rest = &text[end..];
            return Cow::Borrowed(&text[..end]);
        };
        let mut escaped = false;
        let end = quoted.find(|c| {
            let closing = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closing
        });
        // An unclosed string is taken to the end of the value.
        let end = end.unwrap_or(quoted.len());
        self.rest = quoted[end..].strip_prefix('"').unwrap_or("");
        unescape(&quoted[..end])
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let text = self.rest.trim_start_matches(is_separator);
        if text.is_empty() {
            return None;
        }
        let end = text.find(|c| is_separator(c) || c == '=').unwrap_or(text.len());
        let (name, after) = text.split_at(end);
        // White space around the equals sign is allowed (RFC 3261 §25.1, EQUAL).
        let Some(after) = after.trim_start().strip_prefix('=') else {
            self.rest = after;
            return Some(Piece::Scheme(name));
        };
        self.rest = after;
        Some(Piece::Param(name, self.value()))
    }
}

fn is_separator(c: char) -> bool {
    c == ',' || c.is_ascii_whitespace()
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(plain)
}

/// Appends `name="value"` with the escapes it needs; line ends and other control characters are left out, since no
/// quoted string can hold them.
pub(super) fn quote(out: &mut String, name: &str, value: &str) {
    separate(out);
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars().filter(|c| !c.is_ascii_control()) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

/// Appends `name=value`.
pub(super) fn plain(out: &mut String, name: &str, value: impl std::fmt::Display) {
    separate(out);
    write!(out, "{name}={value}").expect("writing to a String does not fail");
}

fn separate(out: &mut String) {
    out.push_str(if out.contains(' ') { ", " } else { " " });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn param<'a>(name: &'a str, value: &'a str) -> Piece<'a> {
        Piece::Param(name, value.into())
    }

    #[test]
    fn commas_and_escapes_in_quotes_belong_to_the_value() {
        let pieces: Vec<_> = Pieces::new(r#"Digest realm="a, \"b\" c\\", nonce = "n==" ,qop=auth"#).collect();
        let expected =
            [Piece::Scheme("Digest"), param("realm", r#"a, "b" c\"#), param("nonce", "n=="), param("qop", "auth")];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn several_schemes_in_one_value_come_apart() {
        let pieces: Vec<_> = Pieces::new("Negotiate abc==, Digest realm=\"x\", Basic realm=y").collect();
        let expected = [
            Piece::Scheme("Negotiate"),
            param("abc", "="),
            Piece::Scheme("Digest"),
            param("realm", "x"),
            Piece::Scheme("Basic"),
            param("realm", "y"),
        ];
        assert_eq!(pieces, expected);
    }

    #[test]
    fn an_unclosed_string_ends_with_the_value() {
        assert_eq!(Pieces::new("Digest realm=\"x, y").last(), Some(param("realm", "x, y")));
    }

    proptest! {
        #[test]
        fn any_text_is_walked_through(text in any::<String>()) {
            prop_assert!(Pieces::new(&text).count() <= text.len());
        }

        #[test]
        fn a_quoted_value_is_read_back(text in "[^\\x00-\\x1f\\x7f]*") {
            let mut out = "Digest".to_owned();
            quote(&mut out, "realm", &text);
            prop_assert_eq!(Pieces::new(&out).nth(1), Some(param("realm", &text)));
        }
    }
}
