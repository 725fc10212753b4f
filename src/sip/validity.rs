//! Whether a message may be acted on at all (RFC 3261 §8.1.1, §8.2.1, §18.3; treatments of RFC 4475). What it asks for
//! is left to those who do it.

use super::header::{self, Name};
use super::message::{Fault, Message, Method, Start, Via};
use super::uri::{NameAddr, Uri};

/// Why a request is refused before anybody looks at what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Status code of the response: 400, 501 or 505.
    pub code: u16,
    /// Reason phrase; empty for the standard's. A 400 names its cause (§21.4.1).
    pub reason: &'static str,
}

/// What is wrong with a request, `None` where nothing is.
///
/// Lenient where the meaning is plain: Max-Forwards is not insisted on, a From without tag and a Via without branch are
/// those of RFC 2543, numbers may have leading zeros.
pub fn flaw(request: &Message<'_>) -> Option<Flaw> {
    let Start::Request { method, uri } = request.start() else { return None };
    match request.fault() {
        Some(Fault::Version) => return Some(Flaw { code: 505, reason: "" }),
        Some(Fault::ContentLength | Fault::Truncated { .. }) => return bad("Bad Content-Length"),
        None => {}
    }
    if let Some(flaw) = bad_fields(request) {
        return Some(flaw);
    }
    match request.cseq() {
        None => return bad("Bad CSeq Header Field"),
        Some(_) if matches!(method, Method::Other(_)) => return Some(Flaw { code: 501, reason: "" }),
        Some((_, other)) if other != method => return bad("CSeq Method Does Not Match"),
        Some(_) => {}
    }
    if !is_readable(uri) {
        return bad("Bad Request-URI");
    }
    None
}

/// Whether a response can be told to belong somewhere: all that every response must have, and its body whole.
pub fn is_whole(response: &Message<'_>) -> bool {
    let parties = response.from().is_some() && response.to().is_some();
    response.fault().is_none() && parties && response.call_id().is_some() && response.cseq().is_some()
}

fn bad(reason: &'static str) -> Option<Flaw> {
    Some(Flaw { code: 400, reason })
}

/// Fields that must stand once, and in a form that can be read.
fn bad_fields(request: &Message<'_>) -> Option<Flaw> {
    let once = |name, missing, several| match request.headers(name).take(2).count() {
        0 => bad(missing),
        1 => None,
        _ => bad(several),
    };
    let flaw = once(Name::CallId, "Missing Call-ID Header Field", "Several Call-ID Header Fields")
        .or_else(|| once(Name::CSeq, "Missing CSeq Header Field", "Several CSeq Header Fields"))
        .or_else(|| once(Name::From, "Missing From Header Field", "Several From Header Fields"))
        .or_else(|| once(Name::To, "Missing To Header Field", "Several To Header Fields"));
    if flaw.is_some() {
        return flaw;
    }
    if request.headers(Name::MaxForwards).take(2).count() > 1 {
        return bad("Several Max-Forwards Header Fields");
    }
    let has_via = request.via().is_some();
    if !has_via || request.headers(Name::Via).any(|value| !is_via(value)) {
        return bad("Bad Via Header Field");
    }
    if !request.from().is_some_and(|from| names_somebody(&from)) {
        return bad("Bad From Header Field");
    }
    if !request.to().is_some_and(|to| names_somebody(&to)) {
        return bad("Bad To Header Field");
    }
    None
}

fn is_via(value: &[u8]) -> bool {
    !header::has_empty_element(value) && header::split_list(value).all(|via| Via::parse(via).is_some())
}

/// A quote inside the URI is one that was never closed before it.
fn names_somebody(party: &NameAddr<'_>) -> bool {
    !party.uri.is_empty() && !party.uri.contains(&b'"')
}

/// Whether a URI can stand in a request line. One of another scheme than ours is for whoever knows the scheme.
pub fn is_readable(uri: &[u8]) -> bool {
    Uri::parse(uri).is_some() && !uri.iter().any(|byte| header::is_space(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> Option<(u16, &'static str)> {
        let message = Message::parse(text.as_bytes()).expect("readable");
        flaw(&message).map(|flaw| (flaw.code, flaw.reason))
    }

    const OPTIONS: &str = "OPTIONS sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:b@h>;tag=1\r\n\
        To: <sip:a@h>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\n\r\n";

    #[test]
    fn a_request_without_what_every_one_has_is_refused_with_the_name_of_it() {
        assert_eq!(refused(OPTIONS), None);
        for (without, reason) in [
            ("Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\n", "Bad Via Header Field"),
            ("From: <sip:b@h>;tag=1\r\n", "Missing From Header Field"),
            ("To: <sip:a@h>\r\n", "Missing To Header Field"),
            ("Call-ID: x\r\n", "Missing Call-ID Header Field"),
            ("CSeq: 1 OPTIONS\r\n", "Missing CSeq Header Field"),
        ] {
            assert_eq!(refused(&OPTIONS.replace(without, "")), Some((400, reason)));
        }
        assert_eq!(refused(&OPTIONS.replace("Max-Forwards: 70\r\n", "")), None);
    }

    #[test]
    fn a_field_that_stands_twice_is_refused() {
        for (line, reason) in [
            ("From: <sip:b@h>;tag=1\r\n", "Several From Header Fields"),
            ("Max-Forwards: 70\r\n", "Several Max-Forwards Header Fields"),
        ] {
            assert_eq!(refused(&OPTIONS.replace(line, &line.repeat(2))), Some((400, reason)));
        }
    }

    #[test]
    fn an_unknown_method_is_refused_before_its_uri_is_read() {
        let text = OPTIONS.replace("OPTIONS sip:a@h", "DANCE sip:").replace("1 OPTIONS", "1 DANCE");
        assert_eq!(refused(&text), Some((501, "")));
    }
}
