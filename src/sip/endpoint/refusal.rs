//! Requests that are refused for what they are, whoever they are for (RFC 3261 §8.2).

use crate::sip::header::{self, Name};
use crate::sip::message::{Message, Method, Start};
use crate::sip::uri::Uri;
use crate::sip::write;

/// Option tags that we speak.
pub(in crate::sip) const SUPPORTED: &str = "100rel, timer";
/// One that may be required besides: candidates in INFO requests are taken of whoever sends them (RFC 8840 §5).
const TAKEN: &str = "trickle-ice";

/// A refusal and what it has to say.
#[derive(Debug)]
pub(in crate::sip) struct Refusal {
    pub(in crate::sip) code: u16,
    pub(in crate::sip) headers: Vec<(&'static str, String)>,
}

/// The refusal of a request, in the order of §8.2; `None` where it is taken.
pub(in crate::sip) fn of(request: &Message<'_>, method: Method<'_>) -> Option<Refusal> {
    refused_method(method).or_else(|| refused_uri(request)).or_else(|| of_content(request, method))
}

/// The refusal of a call that comes in, but for its [content](of_content): a server first asks who calls.
pub(in crate::sip) fn of_call(invite: &Message<'_>) -> Option<Refusal> {
    refused_uri(invite)
}

/// The refusal of what a request requires and brings.
pub(in crate::sip) fn of_content(request: &Message<'_>, method: Method<'_>) -> Option<Refusal> {
    refused_extension(request, method)
        .or_else(|| refused_body(request, method))
        .or_else(|| refused_accept(request, method))
}

fn refuse(code: u16, headers: Vec<(&'static str, String)>) -> Option<Refusal> {
    Some(Refusal { code, headers })
}

fn refused_method(method: Method<'_>) -> Option<Refusal> {
    match method {
        // RFC 6665 §8.3.2: there is no event package here.
        Method::Subscribe => refuse(489, vec![("Allow-Events", String::new())]),
        Method::Publish => refuse(405, vec![("Allow", write::ALLOW.to_owned())]),
        // RFC 3515 §2.4.2: nobody is there to be transferred.
        Method::Refer => refuse(603, Vec::new()),
        // §21.5.2: not known at all.
        Method::Other(_) => refuse(501, vec![("Allow", write::ALLOW.to_owned())]),
        _ => None,
    }
}

/// §8.2.2.1
fn refused_uri(request: &Message<'_>) -> Option<Refusal> {
    let Start::Request { uri, .. } = request.start() else { return None };
    let known = Uri::parse(uri)
        .is_none_or(|uri| [&b"sip"[..], b"sips", b"tel"].iter().any(|scheme| uri.scheme.eq_ignore_ascii_case(scheme)));
    if known { None } else { refuse(416, Vec::new()) }
}

/// §8.2.2.3
fn refused_extension(request: &Message<'_>, method: Method<'_>) -> Option<Refusal> {
    if method == Method::Cancel {
        return None;
    }
    let known = SUPPORTED.split(", ").chain([TAKEN]);
    let spoken = |tag: &&[u8]| known.clone().any(|known| tag.eq_ignore_ascii_case(known.as_bytes()));
    let unknown: Vec<String> = request
        .headers(Name::Require)
        .flat_map(header::split_list)
        .filter(|tag| !spoken(tag))
        .map(header::text)
        .collect();
    if unknown.is_empty() { None } else { refuse(420, vec![("Unsupported", unknown.join(", "))]) }
}

/// §8.2.3: bodies of requests that set up media are read, those of others are not looked at.
fn refused_body(request: &Message<'_>, method: Method<'_>) -> Option<Refusal> {
    if !matches!(method, Method::Invite | Method::Update | Method::Prack) || request.body().is_empty() {
        return None;
    }
    let disposition = request.header_by_name("Content-Disposition").unwrap_or(b"");
    if header::param(disposition, "handling").is_some_and(|word| word.eq_ignore_ascii_case(b"optional")) {
        return None;
    }
    let encoded = request.header(Name::ContentEncoding).is_some_and(|value| !value.eq_ignore_ascii_case(b"identity"));
    if encoded {
        return refuse(415, vec![("Accept-Encoding", "identity".to_owned())]);
    }
    let other = request.header(Name::ContentType).is_some() && request.sdp().is_none();
    if other { refuse(415, vec![("Accept", "application/sdp".to_owned())]) } else { None }
}

/// §20.1, §21.4.7, RFC 4475 §3.3.15: the answer to an INVITE is a description, and its caller takes none. An empty
/// field takes nothing at all.
fn refused_accept(request: &Message<'_>, method: Method<'_>) -> Option<Refusal> {
    if method != Method::Invite {
        return None;
    }
    let mut values = request.headers(Name::Accept).peekable();
    values.peek()?;
    let kind = |range: &[u8]| header::split(range, b';').next().unwrap_or(b"").trim_ascii().to_ascii_lowercase();
    let takes_sdp = |range: &[u8]| matches!(kind(range).as_slice(), b"application/sdp" | b"application/*" | b"*/*");
    if values.flat_map(header::split_list).any(takes_sdp) {
        return None;
    }
    refuse(406, vec![("Warning", "399 ringfleet \"Accept leaves out application/sdp\"".to_owned())])
}
