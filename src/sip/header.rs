//! Header names, and the small grammars that many header fields share (RFC 3261 §7.3, §25.1).

use crate::units::{is_steering, printable};

/// Header fields that the engine reads itself. Others are found by their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the header field of that name")]
pub enum Name {
    Accept,
    Allow,
    AuthenticationInfo,
    Authorization,
    CallId,
    Contact,
    ContentLength,
    ContentType,
    CSeq,
    Event,
    Expires,
    From,
    MaxForwards,
    MinSe,
    Path,
    RAck,
    ServiceRoute,
    ContentEncoding,
    MinExpires,
    ProxyAuthenticate,
    ProxyAuthenticationInfo,
    ProxyAuthorization,
    Reason,
    RecordRoute,
    Require,
    RetryAfter,
    Route,
    RSeq,
    Server,
    SessionExpires,
    Supported,
    To,
    UserAgent,
    Via,
    Warning,
    WwwAuthenticate,
    Other,
}

impl Name {
    /// Reads a field name, long or compact (RFC 3261 §7.3.3), in any case.
    pub fn from_bytes(name: &[u8]) -> Self {
        if let [letter] = name {
            return match letter.to_ascii_lowercase() {
                b'v' => Self::Via,
                b'f' => Self::From,
                b't' => Self::To,
                b'i' => Self::CallId,
                b'm' => Self::Contact,
                b'l' => Self::ContentLength,
                b'c' => Self::ContentType,
                b'k' => Self::Supported,
                b'o' => Self::Event,
                b'e' => Self::ContentEncoding,
                b'x' => Self::SessionExpires,
                _ => Self::Other,
            };
        }
        // Nearly all names come as the standards write them: equal bytes are found faster than equal letters.
        let among = |known: &[(&[u8], Self)]| {
            let is = |long: &[u8]| long == name || long.eq_ignore_ascii_case(name);
            known.iter().find(|(long, _)| is(long)).map_or(Self::Other, |(_, known)| *known)
        };
        match name.len() {
            2 => among(&[(b"To", Self::To)]),
            3 => among(&[(b"Via", Self::Via)]),
            4 => among(&[
                (b"From", Self::From),
                (b"CSeq", Self::CSeq),
                (b"RSeq", Self::RSeq),
                (b"RAck", Self::RAck),
                (b"Path", Self::Path),
            ]),
            5 => among(&[(b"Route", Self::Route), (b"Allow", Self::Allow), (b"Event", Self::Event)]),
            6 => among(&[
                (b"Server", Self::Server),
                (b"Reason", Self::Reason),
                (b"Min-SE", Self::MinSe),
                (b"Accept", Self::Accept),
            ]),
            7 => among(&[
                (b"Call-ID", Self::CallId),
                (b"Contact", Self::Contact),
                (b"Expires", Self::Expires),
                (b"Require", Self::Require),
                (b"Warning", Self::Warning),
            ]),
            9 => among(&[(b"Supported", Self::Supported)]),
            10 => among(&[(b"User-Agent", Self::UserAgent)]),
            11 => among(&[(b"Retry-After", Self::RetryAfter), (b"Min-Expires", Self::MinExpires)]),
            12 => among(&[
                (b"Content-Type", Self::ContentType),
                (b"Max-Forwards", Self::MaxForwards),
                (b"Record-Route", Self::RecordRoute),
            ]),
            13 => among(&[(b"Authorization", Self::Authorization), (b"Service-Route", Self::ServiceRoute)]),
            14 => among(&[(b"Content-Length", Self::ContentLength)]),
            15 => among(&[(b"Session-Expires", Self::SessionExpires)]),
            16 => among(&[(b"WWW-Authenticate", Self::WwwAuthenticate), (b"Content-Encoding", Self::ContentEncoding)]),
            18 => among(&[(b"Proxy-Authenticate", Self::ProxyAuthenticate)]),
            19 => among(&[
                (b"Proxy-Authorization", Self::ProxyAuthorization),
                (b"Authentication-Info", Self::AuthenticationInfo),
            ]),
            25 => among(&[(b"Proxy-Authentication-Info", Self::ProxyAuthenticationInfo)]),
            _ => Self::Other,
        }
    }
}

/// Bytes that separate words in a header field, folding included (RFC 3261 §25.1, LWS).
pub fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Cuts white space from both ends.
pub fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// Splits a header field at commas that stand outside quotes and angle brackets.
pub fn split_list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    split(value, b',')
}

/// Splits at `separator` outside quotes and angle brackets; pieces are trimmed, empty ones left out.
pub fn split(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let (piece, after) = match find_outside(text, separator) {
                Some(at) => (&text[..at], Some(&text[at + 1..])),
                None => (text, None),
            };
            rest = after;
            let piece = trim(piece);
            if !piece.is_empty() {
                return Some(piece);
            }
        }
    })
}

/// Where `wanted` first stands outside quotes and angle brackets.
fn find_outside(text: &[u8], wanted: u8) -> Option<usize> {
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    for (index, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !bracketed => quoted = !quoted,
            _ if quoted => {}
            b'<' => bracketed = true,
            b'>' => bracketed = false,
            byte if *byte == wanted && !bracketed => return Some(index),
            _ => {}
        }
    }
    None
}

/// The value of `name` among `;name=value` parameters: `Some("")` where it stands without a value, quotes cut.
pub fn param<'a>(params: &'a [u8], name: &str) -> Option<&'a [u8]> {
    split(params, b';').find_map(|param| {
        let (key, value) = match param.iter().position(|byte| *byte == b'=') {
            Some(at) => (trim(&param[..at]), trim(&param[at + 1..])),
            None => (param, &b""[..]),
        };
        key.eq_ignore_ascii_case(name.as_bytes()).then(|| unquote(value))
    })
}

/// Cuts the quotes of a quoted string; escapes inside stay as they are.
pub fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        other => other,
    }
}

/// A decimal number of at most `u32` with nothing around it but white space.
pub fn whole_number(value: &[u8]) -> Option<u32> {
    let value = trim(value);
    number(value).filter(|_| value.iter().all(u8::is_ascii_digit))
}

/// Whether a comma separates nothing, as in `a,,b` or `a,`.
pub fn has_empty_element(value: &[u8]) -> bool {
    let mut rest = value;
    while let Some(at) = find_outside(rest, b',') {
        if trim(&rest[..at]).is_empty() {
            return true;
        }
        rest = &rest[at + 1..];
    }
    trim(rest).is_empty()
}

/// A decimal number of at most `u32`; anything behind the digits is ignored, as in `Retry-After: 18 (busy)`.
pub fn number(value: &[u8]) -> Option<u32> {
    let value = trim(value);
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    value[..digits].iter().try_fold(0u32, |sum, byte| sum.checked_mul(10)?.checked_add(u32::from(byte - b'0')))
}

/// Text for people: folding becomes one space, bytes that are not UTF-8 are read as Latin-1, and what could steer a terminal
/// is U+FFFD.
pub fn text(value: &[u8]) -> String {
    let decoded = match std::str::from_utf8(value) {
        Ok(text) => text.to_owned(),
        Err(_) => value.iter().map(|byte| char::from(*byte)).collect(),
    };
    if !decoded.contains(is_steering) {
        return decoded;
    }
    let parts: Vec<&str> = decoded.split(['\r', '\n']).map(str::trim).filter(|part| !part.is_empty()).collect();
    printable(&parts.join(" ")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_phrase_cannot_steer_the_terminal_that_shows_it() {
        assert_eq!(text(b"Busy\x1b[2J\x07 Here"), "Busy\u{fffd}[2J\u{fffd} Here");
        assert_eq!(text("Besetzt\u{202e}\r\n hier".as_bytes()), "Besetzt\u{fffd} hier");
    }

    #[test]
    fn lists_split_at_commas_outside_quotes_and_brackets() {
        let value = br#""Smith, J" <sip:j@a;x=",">;q=1, <sip:b@c,d> , sip:e@f,"#;
        let pieces: Vec<String> = split_list(value).map(text).collect();
        assert_eq!(pieces, [r#""Smith, J" <sip:j@a;x=",">;q=1"#, "<sip:b@c,d>", "sip:e@f"]);
    }

    #[test]
    fn parameters_are_found_in_any_case_with_or_without_value() {
        let params = br#" ;Branch=z9hG4bK1 ; rport;received="1.2.3.4";tag = x"#;
        assert_eq!(param(params, "branch"), Some(&b"z9hG4bK1"[..]));
        assert_eq!(param(params, "rport"), Some(&b""[..]));
        assert_eq!(param(params, "received"), Some(&b"1.2.3.4"[..]));
        assert_eq!(param(params, "tag"), Some(&b"x"[..]));
        assert_eq!(param(params, "none"), None);
    }

    #[test]
    fn names_are_known_long_and_compact_in_any_case() {
        assert_eq!(Name::from_bytes(b"CALL-id"), Name::CallId);
        assert_eq!(Name::from_bytes(b"I"), Name::CallId);
        assert_eq!(Name::from_bytes(b"X-Custom"), Name::Other);
    }

    #[test]
    fn numbers_stop_at_the_first_other_character_and_never_overflow() {
        assert_eq!(number(b" 18 (busy)"), Some(18));
        assert_eq!(number(b"4294967296"), None);
        assert_eq!(number(b"x"), None);
    }

    #[test]
    fn commas_that_separate_nothing_are_noticed() {
        for (value, empty) in [(&b"a, b"[..], false), (b"\",,\", <,,>", false), (b"a,,b", true), (b"a, ", true)] {
            assert_eq!(has_empty_element(value), empty, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn folded_and_latin_1_text_reads_as_one_line() {
        assert_eq!(text(b"over\r\n  two\r\n\tlines"), "over two lines");
        assert_eq!(text(b"Besch\xe4ftigt"), "Besch\u{e4}ftigt");
    }
}
