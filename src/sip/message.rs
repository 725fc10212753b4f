//! A SIP message read in place (RFC 3261 §7): an index of slices into the datagram, no copy and no allocation.
//!
//! Lenient: bare LF, white space before the colon or after the version, folding, a version in lower case, brackets
//! around the Request-URI and broken header lines (skipped and counted) are all read. What can be read but not trusted
//! has a [`Fault`], so that its sender can be told; what cannot be told apart from garbage is refused.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::header::{self, Name};
use super::uri::{NameAddr, split_host_port};

/// Header lines beyond this are refused: no honest message has as many, and an index must stay bounded.
const MAX_HEADERS: usize = 512;

/// A message as it lies in its datagram or stream.
#[derive(Clone, Debug)]
pub struct Message<'a> {
    raw: &'a [u8],
    start: Start<'a>,
    headers: SmallVec<[Field<'a>; 24]>,
    body: &'a [u8],
    skipped: u32,
    fault: Option<Fault>,
}

/// The first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// `INVITE sip:… SIP/2.0`
    Request {
        /// Method.
        method: Method<'a>,
        /// Request-URI as written.
        uri: &'a [u8],
    },
    /// `SIP/2.0 180 Ringing`
    Response {
        /// Status code, 100–699.
        code: u16,
        /// Reason phrase as written, perhaps empty.
        reason: &'a [u8],
    },
}

/// A request method (RFC 3261 and its extensions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of that name")]
pub enum Method<'a> {
    Invite,
    Ack,
    Bye,
    Cancel,
    Register,
    Options,
    Prack,
    Update,
    Info,
    Message,
    Notify,
    Subscribe,
    Refer,
    Publish,
    Other(&'a [u8]),
}

#[derive(Clone, Copy, Debug)]
struct Field<'a> {
    name: Name,
    raw_name: &'a [u8],
    value: &'a [u8],
}

/// Why bytes are no SIP message.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ParseError {
    /// Only white space: a keep-alive (RFC 5626 §4.4.1).
    #[error("a keep-alive, not a message")]
    KeepAlive,
    /// Neither a request line nor a status line.
    #[error("the first line is neither a request nor a status line")]
    StartLine,
    /// The header section never ends.
    #[error("no empty line after the header fields")]
    NoEndOfHeaders,
    /// More header lines than are indexed.
    #[error("more than {MAX_HEADERS} header fields")]
    TooManyHeaders,
}

/// What is wrong with a message whose header fields can be read all the same. A request is answered with an error, a
/// response is dropped (RFC 3261 §18.3).
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Fault {
    /// A request of another version than SIP/2.0.
    #[error("the version is not SIP/2.0")]
    Version,
    /// Content-Length is no number, or several differ: the body is unknown and read as empty.
    #[error("Content-Length cannot be read")]
    ContentLength,
    /// Content-Length promises more than arrived.
    #[error("Content-Length is {need} but {have} bytes of body arrived")]
    Truncated {
        /// Bytes promised.
        need: usize,
        /// Bytes there.
        have: usize,
    },
}

/// The topmost Via (RFC 3261 §20.42).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via<'a> {
    /// `UDP`, `TCP`, …
    pub transport: &'a [u8],
    /// Host of sent-by.
    pub host: &'a [u8],
    /// Port of sent-by, where written.
    pub port: Option<u16>,
    /// Parameters.
    pub params: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads one message from a datagram, or from what the framing cut out of a stream.
    ///
    /// # Errors
    /// [`ParseError`] where the bytes cannot be read as a message at all.
    pub fn parse(raw: &'a [u8]) -> Result<Self, ParseError> {
        let begin = raw.iter().position(|byte| !header::is_space(*byte)).ok_or(ParseError::KeepAlive)?;
        let raw = &raw[begin..];
        let (line, mut rest) = take_line(raw).ok_or(ParseError::StartLine)?;
        let (start, fault) = Start::parse(line).ok_or(ParseError::StartLine)?;
        let mut headers: SmallVec<[Field<'a>; 24]> = SmallVec::new();
        let mut skipped = 0;
        // A datagram that ends with its last header line only lacks the empty line (RFC 4475, `baddn`).
        while headers.is_empty() || !rest.is_empty() {
            let (line, after) = take_folded_line(rest).ok_or(ParseError::NoEndOfHeaders)?;
            rest = after;
            if line.is_empty() {
                break;
            }
            match Field::parse(line) {
                Some(_) if headers.len() == MAX_HEADERS => return Err(ParseError::TooManyHeaders),
                Some(field) => headers.push(field),
                None => skipped += 1,
            }
        }
        let mut message = Self { raw, start, headers, body: rest, skipped, fault };
        if let Err(fault) = message.cut_body() {
            message.fault = message.fault.or(Some(fault));
        }
        Ok(message)
    }

    /// What makes the message one that must not be acted on.
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Cuts the body to Content-Length, where there is one (RFC 3261 §18.3).
    fn cut_body(&mut self) -> Result<(), Fault> {
        let length = {
            let mut lengths = self.headers(Name::ContentLength).map(header::whole_number);
            let Some(first) = lengths.next() else { return Ok(()) };
            first.filter(|_| lengths.all(|other| other == first))
        };
        let have = self.body.len();
        let cut = match length {
            Some(length) => {
                let need = usize::try_from(length).unwrap_or(usize::MAX);
                self.body.get(..need).ok_or(Fault::Truncated { need, have })
            }
            None => Err(Fault::ContentLength),
        };
        self.body = cut.as_ref().copied().unwrap_or(b"");
        cut.map(drop)
    }

    /// The bytes it was read from.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// The first line.
    pub fn start(&self) -> Start<'a> {
        self.start
    }

    /// Status code of a response.
    pub fn code(&self) -> Option<u16> {
        match self.start {
            Start::Response { code, .. } => Some(code),
            Start::Request { .. } => None,
        }
    }

    /// Method of a request, or of the request that a response answers (from CSeq).
    pub fn method(&self) -> Option<Method<'a>> {
        match self.start {
            Start::Request { method, .. } => Some(method),
            Start::Response { .. } => self.cseq().map(|(_, method)| method),
        }
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// Header lines that could not be read.
    pub fn skipped_lines(&self) -> u32 {
        self.skipped
    }

    /// The first value of a header field, trimmed.
    pub fn header(&self, name: Name) -> Option<&'a [u8]> {
        self.headers.iter().find(|field| field.name == name).map(|field| field.value)
    }

    /// Every value of a header field, line by line.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &'a [u8]> {
        self.headers.iter().filter(move |field| field.name == name).map(|field| field.value)
    }

    /// Every header field as (name, value), in order.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        self.headers.iter().map(|field| (field.raw_name, field.value))
    }

    /// The first value of a header field by its name, in any case.
    pub fn header_by_name(&self, name: &str) -> Option<&'a [u8]> {
        match Name::from_bytes(name.as_bytes()) {
            Name::Other => {
                let found = |field: &&Field<'a>| field.raw_name.eq_ignore_ascii_case(name.as_bytes());
                self.headers.iter().find(found).map(|field| field.value)
            }
            known => self.header(known),
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> Option<&'a [u8]> {
        self.header(Name::CallId)
    }

    /// CSeq number and method.
    pub fn cseq(&self) -> Option<(u32, Method<'a>)> {
        let value = self.header(Name::CSeq)?;
        let number = header::number(value)?;
        let method = value.split(|byte| header::is_space(*byte)).rfind(|word| !word.is_empty())?;
        Some((number, Method::from_bytes(method)))
    }

    /// From.
    pub fn from(&self) -> Option<NameAddr<'a>> {
        self.header(Name::From).map(NameAddr::parse)
    }

    /// To.
    pub fn to(&self) -> Option<NameAddr<'a>> {
        self.header(Name::To).map(NameAddr::parse)
    }

    /// The first Contact.
    pub fn contact(&self) -> Option<NameAddr<'a>> {
        self.header(Name::Contact).and_then(|value| header::split_list(value).next()).map(NameAddr::parse)
    }

    /// The topmost Via.
    pub fn via(&self) -> Option<Via<'a>> {
        header::split_list(self.header(Name::Via)?).next().and_then(Via::parse)
    }

    /// Content-Type without parameters equals `wanted`, in any case.
    pub fn has_content_type(&self, wanted: &str) -> bool {
        let kind = self.header(Name::ContentType).and_then(|value| header::split(value, b';').next());
        kind.is_some_and(|kind| kind.eq_ignore_ascii_case(wanted.as_bytes()))
    }

    /// The SDP body, where there is one. A body without Content-Type counts when it looks like SDP.
    pub fn sdp(&self) -> Option<&'a [u8]> {
        let typed = self.has_content_type("application/sdp");
        let untyped = self.header(Name::ContentType).is_none() && self.body.starts_with(b"v=0");
        (!self.body.is_empty() && (typed || untyped)).then_some(self.body)
    }
}

impl<'a> Start<'a> {
    /// The first line, and what is wrong with it.
    fn parse(line: &'a [u8]) -> Option<(Self, Option<Fault>)> {
        let (first, rest) = split_word(header::trim(line));
        if is_version(first) {
            let (code, reason) = split_word(rest);
            let code = std::str::from_utf8(code).ok()?.parse().ok()?;
            return (100..700).contains(&code).then_some((Self::Response { code, reason }, None));
        }
        // The Request-URI may hold spaces in broken messages: the version is the last word.
        let at = rest.iter().rposition(|byte| matches!(byte, b' ' | b'\t'))?;
        let (uri, version) = (header::trim(&rest[..at]), header::trim(&rest[at..]));
        let uri = uri.strip_prefix(b"<").and_then(|uri| uri.strip_suffix(b">")).unwrap_or(uri);
        let fault = (!is_version(version)).then_some(Fault::Version);
        let token =
            !first.is_empty() && first.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte));
        let sip = version.len() > 4 && version[..4].eq_ignore_ascii_case(b"SIP/");
        (token && sip && !uri.is_empty()).then(|| (Self::Request { method: Method::from_bytes(first), uri }, fault))
    }
}

impl<'a> Method<'a> {
    /// Reads a method name. Methods are case-sensitive (RFC 3261 §7.1).
    pub fn from_bytes(name: &'a [u8]) -> Self {
        match name {
            b"INVITE" => Self::Invite,
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"REGISTER" => Self::Register,
            b"OPTIONS" => Self::Options,
            b"PRACK" => Self::Prack,
            b"UPDATE" => Self::Update,
            b"INFO" => Self::Info,
            b"MESSAGE" => Self::Message,
            b"NOTIFY" => Self::Notify,
            b"SUBSCRIBE" => Self::Subscribe,
            b"REFER" => Self::Refer,
            b"PUBLISH" => Self::Publish,
            other => Self::Other(other),
        }
    }

    /// The name on the wire.
    pub fn as_bytes(self) -> &'a [u8] {
        match self {
            Self::Invite => b"INVITE",
            Self::Ack => b"ACK",
            Self::Bye => b"BYE",
            Self::Cancel => b"CANCEL",
            Self::Register => b"REGISTER",
            Self::Options => b"OPTIONS",
            Self::Prack => b"PRACK",
            Self::Update => b"UPDATE",
            Self::Info => b"INFO",
            Self::Message => b"MESSAGE",
            Self::Notify => b"NOTIFY",
            Self::Subscribe => b"SUBSCRIBE",
            Self::Refer => b"REFER",
            Self::Publish => b"PUBLISH",
            Self::Other(name) => name,
        }
    }
}

impl<'a> Via<'a> {
    /// Reads one Via value.
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
        let (sent, params) = value.split_at(end);
        // `SIP / 2.0 / UDP host` may have white space around its slashes (RFC 3261 §25.1).
        let slash = sent.iter().rposition(|byte| *byte == b'/')?;
        let (transport, sent_by) = split_word(header::trim(&sent[slash + 1..]));
        let (host, port) = split_host_port(sent_by)?;
        Some(Self { transport, host, port, params })
    }

    /// The branch parameter.
    pub fn branch(&self) -> Option<&'a [u8]> {
        header::param(self.params, "branch")
    }

    /// Where the request came from, as the server saw it (RFC 3261 §18.2.1).
    pub fn received(&self) -> Option<IpAddr> {
        let text = std::str::from_utf8(header::param(self.params, "received")?).ok()?;
        text.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// From which port the request came, as the server saw it (RFC 3581 §4); `None` where only asked for.
    pub fn rport(&self) -> Option<u16> {
        std::str::from_utf8(header::param(self.params, "rport")?).ok()?.parse().ok()
    }

    /// Whether the sender asked for responses to the port it sends from (RFC 3581).
    pub fn wants_rport(&self) -> bool {
        header::param(self.params, "rport").is_some()
    }
}

impl<'a> Field<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let raw_name = header::trim(&line[..colon]);
        let token = |byte: &u8| byte.is_ascii_graphic();
        if raw_name.is_empty() || !raw_name.iter().all(token) {
            return None;
        }
        Some(Self { name: Name::from_bytes(raw_name), raw_name, value: header::trim(&line[colon + 1..]) })
    }
}

fn is_version(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"SIP/2.0")
}

/// The first word and what stands behind the white space after it.
fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| header::is_space(*byte)).unwrap_or(text.len());
    (&text[..end], header::trim(&text[end..]))
}

/// A line without its end, and what follows. A line ends with CRLF or LF.
pub(super) fn take_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', text)?;
    let line = text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]);
    Some((line, &text[end + 1..]))
}

/// A header line with the lines folded onto it (RFC 3261 §7.3.1).
pub(super) fn take_folded_line(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (first, mut rest) = take_line(text)?;
    if first.is_empty() {
        return Some((first, rest));
    }
    let mut end = first.len();
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        let (more, after) = take_line(rest)?;
        end = text.len() - rest.len() + more.len();
        rest = after;
    }
    Some((&text[..end], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &[u8] = b"INVITE sip:2000@lab SIP/2.0\r\n\
        Via: SIP/2.0/UDP 127.0.0.1:5062;branch=z9hG4bKa;rport, SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKb\r\n\
        Max-Forwards: 70\r\nf: \"A\" <sip:1001@lab>;tag=1\r\nt: <sip:2000@lab>\r\ni: abc@h\r\n\
        CSeq:  7\r\n  INVITE\r\nContact: <sip:1001@127.0.0.1:5062>\r\nX-Note : folded\r\n\tvalue\r\n\
        this line is broken\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\ntrailing";

    #[test]
    fn a_request_is_read_in_place_with_folding_and_compact_names() {
        let message = Message::parse(INVITE).expect("valid");
        assert_eq!(message.start(), Start::Request { method: Method::Invite, uri: b"sip:2000@lab" });
        assert_eq!(message.call_id(), Some(&b"abc@h"[..]));
        assert_eq!(message.cseq(), Some((7, Method::Invite)));
        assert_eq!(message.from().and_then(|from| from.tag()), Some(&b"1"[..]));
        assert_eq!(message.to().and_then(|to| to.tag()), None);
        assert_eq!(message.header_by_name("x-note").map(header::text).as_deref(), Some("folded value"));
        assert_eq!(message.sdp(), Some(&b"v=0\r\n"[..]));
        assert_eq!(message.skipped_lines(), 1);
        let via = message.via().expect("there");
        assert_eq!((via.transport, via.host, via.port), (&b"UDP"[..], &b"127.0.0.1"[..], Some(5062)));
        assert_eq!((via.branch(), via.wants_rport()), (Some(&b"z9hG4bKa"[..]), true));
    }

    #[test]
    fn a_response_is_read_with_an_empty_reason_and_bare_line_feeds() {
        let message = Message::parse(b"SIP/2.0 486\nCSeq: 1 INVITE\n\n").expect("valid");
        assert_eq!(message.start(), Start::Response { code: 486, reason: b"" });
        assert_eq!(message.method(), Some(Method::Invite));
    }

    #[test]
    fn garbage_is_refused_with_its_reason() {
        for (bytes, error) in [
            (&b"\r\n\r\n"[..], ParseError::KeepAlive),
            (b"hello\r\n\r\n", ParseError::StartLine),
            (b"SIP/2.0 99 Low\r\n\r\n", ParseError::StartLine),
            (b"OPTIONS sip:a HTTP/1.1\r\n\r\n", ParseError::StartLine),
            (b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nTo", ParseError::NoEndOfHeaders),
            (b"OPTIONS sip:a SIP/2.0\r\n", ParseError::NoEndOfHeaders),
            (b"SIP/7.0 200 OK\r\n\r\n", ParseError::StartLine),
        ] {
            assert_eq!(Message::parse(bytes).err(), Some(error), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_cannot_be_trusted_is_read_with_its_fault() {
        for (bytes, fault) in [
            (&b"OPTIONS sip:a SIP/7.0\r\nl: 0\r\n\r\n"[..], Some(Fault::Version)),
            (b"OPTIONS sip:a SIP/2.0\r\nl: 9\r\n\r\nabc", Some(Fault::Truncated { need: 9, have: 3 })),
            (b"OPTIONS sip:a SIP/2.0\r\nl: -3\r\n\r\nabc", Some(Fault::ContentLength)),
            (b"OPTIONS sip:a SIP/2.0\r\nl: 3 4\r\n\r\nabc", Some(Fault::ContentLength)),
            (b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\nl: 2\r\n\r\nabc", Some(Fault::ContentLength)),
            (b"OPTIONS sip:a SIP/2.0\r\nl: 99999999999999999999\r\n\r\nabc", Some(Fault::ContentLength)),
            (b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\nl: 3\r\n\r\nabc", None),
        ] {
            let message = Message::parse(bytes).expect("readable");
            assert_eq!(message.fault(), fault, "{}", bytes.escape_ascii());
            assert_eq!(message.body().is_empty(), fault.is_some());
        }
    }

    #[test]
    fn ten_thousand_headers_are_refused_not_indexed() {
        let mut bytes = b"OPTIONS sip:a SIP/2.0\r\n".to_vec();
        bytes.extend(b"X: y\r\n".repeat(10_000));
        bytes.extend(b"\r\n");
        assert_eq!(Message::parse(&bytes).err(), Some(ParseError::TooManyHeaders));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            if let Ok(message) = Message::parse(&bytes) {
                let _ = (message.via(), message.cseq(), message.from(), message.contact(), message.sdp());
            }
        }

        #[test]
        fn no_change_of_a_real_message_makes_it_panic(at in 0..INVITE.len(), byte in proptest::num::u8::ANY) {
            let mut bytes = INVITE.to_vec();
            bytes[at] = byte;
            if let Ok(message) = Message::parse(&bytes) {
                let _ = (message.via(), message.cseq(), message.from(), message.contact(), message.sdp());
            }
        }
    }
}
