//! SIP, SIPS and tel URIs and the name-addr form around them (RFC 3261 §19.1, §20.10; RFC 3966). Read, not copied.

use std::borrow::Cow;

use super::header;

/// A URI split at its outermost marks. Nothing is unescaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uri<'a> {
    /// `sip`, `sips`, `tel` or another scheme, as written.
    pub scheme: &'a [u8],
    /// User part without password; for `tel:` the number, for unknown schemes all up to the first `;`. Empty where
    /// there is none.
    pub user: &'a [u8],
    /// Host name or address, brackets of IPv6 cut; empty for all but `sip` and `sips`.
    pub host: &'a [u8],
    /// Port, where written.
    pub port: Option<u16>,
    /// Everything from the first `;` of the host part on, without URI headers.
    pub params: &'a [u8],
}

/// `"Name" <uri>;params` or `uri;params`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// Display name, quotes cut; empty where there is none.
    pub display: &'a [u8],
    /// The URI as written, brackets cut.
    pub uri: &'a [u8],
    /// Header parameters (not the URI's), as `tag`.
    pub params: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI; `None` where it has no scheme, or a SIP URI no host or a port that is no number.
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let text = header::trim(text);
        let colon = text.iter().position(|byte| *byte == b':')?;
        let (scheme, rest) = (&text[..colon], &text[colon + 1..]);
        if scheme.is_empty() || !scheme.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
            return None;
        }
        if !scheme.eq_ignore_ascii_case(b"sip") && !scheme.eq_ignore_ascii_case(b"sips") {
            let (user, params) = cut(rest, b';');
            return Some(Self { scheme, user, host: b"", port: None, params });
        }
        // The user part may hold `;` and `?`, so the last `@` decides.
        let (user, rest) = match rest.iter().rposition(|byte| *byte == b'@') {
            Some(at) => (cut(&rest[..at], b':').0, &rest[at + 1..]),
            None => (&b""[..], rest),
        };
        let (rest, _headers) = cut(rest, b'?');
        let (hostport, params) = cut(rest, b';');
        let (host, port) = split_host_port(hostport)?;
        Some(Self { scheme, user, host, port, params })
    }

    /// Whether it is a SIP or SIPS URI.
    pub fn is_sip(&self) -> bool {
        !self.host.is_empty()
    }

    /// The value of a URI parameter, `Some("")` where it stands without value.
    pub fn param(&self, name: &str) -> Option<&'a [u8]> {
        header::param(self.params, name)
    }
}

impl<'a> NameAddr<'a> {
    /// Reads a From, To, Contact, Route … value. Never fails: what has no brackets is a URI.
    pub fn parse(value: &'a [u8]) -> Self {
        let value = header::trim(value);
        let open = bracket(value);
        if let Some(open) = open {
            let display = header::unquote(header::trim(&value[..open]));
            let inner = &value[open + 1..];
            let close = inner.iter().position(|byte| *byte == b'>').unwrap_or(inner.len());
            let params = inner.get(close + 1..).unwrap_or(b"");
            return Self { display, uri: header::trim(&inner[..close]), params };
        }
        // Without brackets every parameter belongs to the header field (RFC 3261 §20.10).
        let (uri, params) = cut(value, b';');
        Self { display: b"", uri: header::trim(uri), params }
    }

    /// The `tag` parameter.
    pub fn tag(&self) -> Option<&'a [u8]> {
        header::param(self.params, "tag").filter(|tag| !tag.is_empty())
    }
}

/// A part of a URI with its `%HH` escapes resolved, once and never again (RFC 3986 §2.4); what is no escape stays.
pub fn unescape(part: &[u8]) -> Cow<'_, [u8]> {
    if !part.contains(&b'%') {
        return Cow::Borrowed(part);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut plain = Vec::with_capacity(part.len());
    let mut rest = part;
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        plain.push(escaped.map_or(*first, |(high, low)| high << 4 | low));
        rest = &after[if escaped.is_some() { 2 } else { 0 }..];
    }
    Cow::Owned(plain)
}

/// A host as it stands in a URI: an IPv6 address in brackets (RFC 3261 §25.1, IPv6reference).
pub fn bracketed(host: &str) -> Cow<'_, str> {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]").into() } else { host.into() }
}

/// Splits `host`, `host:port`, `[v6]` or `[v6]:port`; `None` where the host is empty or the port is no number.
pub fn split_host_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let text = header::trim(text);
    let (host, port) = if let Some(inner) = text.strip_prefix(b"[") {
        let close = inner.iter().position(|byte| *byte == b']')?;
        (&inner[..close], inner[close + 1..].strip_prefix(b":"))
    } else {
        match text.iter().position(|byte| *byte == b':') {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        }
    };
    let host = header::trim(host);
    let port = match port {
        Some(port) => Some(std::str::from_utf8(header::trim(port)).ok()?.parse().ok()?),
        None => None,
    };
    (!host.is_empty()).then_some((host, port))
}

/// The opening bracket of a name-addr: the first `<` outside a quoted display name.
fn bracket(value: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, byte) in value.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

/// Splits before the first `mark`; the second part begins with it.
fn cut(text: &[u8], mark: u8) -> (&[u8], &[u8]) {
    match text.iter().position(|byte| *byte == mark) {
        Some(at) => text.split_at(at),
        None => (text, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sip_uri_is_split_into_its_parts() {
        let uri = Uri::parse(b"sips:alice;day=tue:secret@[2001:db8::1]:5061;transport=tcp?subject=x").expect("valid");
        assert_eq!((uri.scheme, uri.user, uri.host), (&b"sips"[..], &b"alice;day=tue"[..], &b"2001:db8::1"[..]));
        assert_eq!((uri.port, uri.param("transport")), (Some(5061), Some(&b"tcp"[..])));
    }

    #[test]
    fn a_tel_uri_has_a_number_and_no_host() {
        let uri = Uri::parse(b"tel:+886-2-1234;phone-context=x").expect("valid");
        assert_eq!((uri.user, uri.host, uri.param("phone-context")), (&b"+886-2-1234"[..], &b""[..], Some(&b"x"[..])));
    }

    #[test]
    fn other_schemes_are_not_taken_apart() {
        let uri = Uri::parse(b"soap.beep://192.0.2.103:3002").expect("valid");
        assert_eq!((uri.scheme, uri.user, uri.host), (&b"soap.beep"[..], &b"//192.0.2.103:3002"[..], &b""[..]));
        assert!(!uri.is_sip());
    }

    #[test]
    fn escapes_are_resolved_once_and_what_is_none_stays() {
        for (part, plain) in [
            (&b"%75se%72"[..], &b"user"[..]),
            (b"v%61lue%25%34%31", b"value%41"),
            (b"null-%00-null", b"null-\0-null"),
            (b"%Z%45%4", b"%ZE%4"),
            (b"plain", b"plain"),
        ] {
            assert_eq!(unescape(part), plain, "{}", part.escape_ascii());
        }
    }

    #[test]
    fn what_has_no_host_or_a_bad_port_is_no_uri() {
        for text in [&b"sip:"[..], b"alice", b"sip:a@host:99999", b"sip:a@[::1", b":x"] {
            assert_eq!(Uri::parse(text), None, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn parameters_outside_the_brackets_belong_to_the_header() {
        let with = NameAddr::parse(br#""A <b>" <sip:a@h;lr>;tag=1"#);
        assert_eq!((with.display, with.uri, with.tag()), (&b"A <b>"[..], &b"sip:a@h;lr"[..], Some(&b"1"[..])));
        let without = NameAddr::parse(b"sip:a@h;tag=2");
        assert_eq!((without.uri, without.tag()), (&b"sip:a@h"[..], Some(&b"2"[..])));
    }
}
