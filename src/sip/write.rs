//! Writing messages: strict in form, into a buffer that the caller reuses.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::SocketAddr;

use super::flow::Link;
use super::header::{self, Name};
use super::message::{Message, Start};
use super::token::Branch;
use super::uri::{NameAddr, Uri};

/// Methods that we answer with something else than 405, for Allow.
pub const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, MESSAGE, NOTIFY, SUBSCRIBE, REFER";

/// Appends a message to a buffer: first line, header fields, body.
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    /// Begins a request.
    pub fn request(buffer: &'b mut Vec<u8>, method: &[u8], uri: &[u8]) -> Self {
        buffer.extend_from_slice(method);
        buffer.push(b' ');
        buffer.extend_from_slice(uri);
        buffer.extend_from_slice(b" SIP/2.0\r\n");
        Self { buffer }
    }

    /// Begins a response. An empty reason becomes the standard's phrase.
    pub fn response(buffer: &'b mut Vec<u8>, code: u16, reason: &str) -> Self {
        let reason = if reason.is_empty() { reason_phrase(code) } else { reason };
        write!(buffer, "SIP/2.0 {code} ").expect("a Vec takes every write");
        let mut writer = Self { buffer };
        writer.value(reason.as_bytes());
        writer
    }

    /// One header field. Line ends inside the value become spaces: nobody can add a field through a value.
    pub fn field(&mut self, name: &str, value: impl AsRef<[u8]>) -> &mut Self {
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b": ");
        self.value(value.as_ref());
        self
    }

    /// One header field from format arguments that hold no line ends.
    pub fn field_fmt(&mut self, name: &str, value: std::fmt::Arguments<'_>) -> &mut Self {
        write!(self.buffer, "{name}: {value}\r\n").expect("a Vec takes every write");
        self
    }

    /// CSeq.
    pub fn cseq(&mut self, number: u32, method: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(b"CSeq: ");
        decimal(self.buffer, number as usize);
        self.buffer.push(b' ');
        self.value(method);
        self
    }

    /// A field whose value is a number.
    pub fn number(&mut self, name: &str, value: usize) -> &mut Self {
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b": ");
        decimal(self.buffer, value);
        self.buffer.extend_from_slice(b"\r\n");
        self
    }

    /// Complete header lines, as kept by [`response_head`].
    pub fn lines(&mut self, lines: &[u8]) -> &mut Self {
        self.buffer.extend_from_slice(lines);
        self
    }

    /// The Via of a request of ours.
    pub fn via(&mut self, link: Link, branch: Branch) -> &mut Self {
        self.buffer.extend_from_slice(b"Via: SIP/2.0/");
        self.buffer.extend_from_slice(link.transport.name().as_bytes());
        self.buffer.push(b' ');
        link.write_sent_by(self.buffer);
        let (entry, number) = branch.parts();
        self.buffer.extend_from_slice(b";branch=z9hG4bK");
        self.buffer.extend_from_slice(&entry);
        self.buffer.push(b'.');
        decimal(self.buffer, number as usize);
        self.buffer.extend_from_slice(b";rport\r\n");
        self
    }

    /// Our Contact: `user` at the address of the link, or `user` itself where it is a whole value.
    pub fn contact(&mut self, link: Link, user: &str) -> &mut Self {
        self.buffer.extend_from_slice(b"Contact: ");
        let start = self.buffer.len();
        link.write_contact_value(user, self.buffer);
        self.end_value(start);
        self
    }

    /// Ends the header fields and adds the body; `content_type` is left out where there is none.
    pub fn body(&mut self, content_type: &str, body: &[u8]) {
        if !body.is_empty() {
            self.field("Content-Type", content_type);
        }
        self.buffer.extend_from_slice(b"Content-Length: ");
        decimal(self.buffer, body.len());
        self.buffer.extend_from_slice(b"\r\n\r\n");
        self.buffer.extend_from_slice(body);
    }

    fn value(&mut self, value: &[u8]) {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(value);
        self.end_value(start);
    }

    /// Ends a value that begins at `start`.
    fn end_value(&mut self, start: usize) {
        for byte in &mut self.buffer[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.buffer.extend_from_slice(b"\r\n");
    }
}

/// Appends an address as `IP:PORT`. The standard library's formatter costs more than the rest of a Via.
pub(super) fn address(buffer: &mut Vec<u8>, address: SocketAddr) {
    let std::net::IpAddr::V4(ip) = address.ip() else {
        return write!(buffer, "{address}").expect("a Vec takes every write");
    };
    for (index, octet) in ip.octets().into_iter().enumerate() {
        if index > 0 {
            buffer.push(b'.');
        }
        decimal(buffer, octet.into());
    }
    buffer.push(b':');
    decimal(buffer, address.port().into());
}

/// Appends a host that does not exist (RFC 2606 §2), by its number.
pub(super) fn invalid_host(buffer: &mut Vec<u8>, number: u64) {
    write!(buffer, "{number:012x}.invalid").expect("a Vec takes every write");
}

/// Appends a number.
fn decimal(buffer: &mut Vec<u8>, mut number: usize) {
    let mut digits = [0; 20];
    let mut begin = digits.len();
    loop {
        begin -= 1;
        digits[begin] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break buffer.extend_from_slice(&digits[begin..]);
        }
    }
}

/// Where a response to a request goes (RFC 3261 §18.2.2, RFC 3581 §4): to the source where the sender asked for
/// `rport`, else to the source address at the port of sent-by.
pub fn response_destination(request: &Message<'_>, source: SocketAddr) -> SocketAddr {
    match request.via() {
        Some(via) if !via.wants_rport() => SocketAddr::new(source.ip(), via.port.unwrap_or(5060)),
        _ => source,
    }
}

/// The header fields that every response to `request` repeats (RFC 3261 §8.2.6.2): Via with `received` and `rport`
/// filled in, From, To with our tag, Call-ID, CSeq, and Record-Route where asked for.
pub fn response_head(request: &Message<'_>, source: SocketAddr, tag: &str, record_route: bool) -> Vec<u8> {
    let mut head = Vec::with_capacity(512);
    let mut writer = Writer { buffer: &mut head };
    for (index, via) in request.headers(Name::Via).enumerate() {
        if index == 0 {
            writer.received_via(via, source)
        } else {
            writer.field("Via", via)
        };
    }
    for value in request.headers(Name::RecordRoute).filter(|_| record_route) {
        writer.field("Record-Route", value);
    }
    // A request that lacks one of these is answered without it, rather than with an empty one.
    let mut repeat = |name: &str, value: Option<&[u8]>| {
        if let Some(value) = value {
            writer.field(name, value);
        }
    };
    repeat("From", request.header(Name::From));
    repeat("To", to_with_tag(request, tag).as_deref());
    repeat("Call-ID", request.call_id());
    repeat("CSeq", request.header(Name::CSeq));
    head
}

/// To with our tag, where it has none yet.
fn to_with_tag<'a>(request: &Message<'a>, tag: &str) -> Option<Cow<'a, [u8]>> {
    let to = request.header(Name::To)?;
    if tag.is_empty() || request.to().is_some_and(|to| to.tag().is_some()) {
        return Some(Cow::Borrowed(to));
    }
    Some(Cow::Owned([to, b";tag=", tag.as_bytes()].concat()))
}

impl Writer<'_> {
    /// The topmost Via of a response, completed with what we saw of its sender.
    fn received_via(&mut self, value: &[u8], source: SocketAddr) -> &mut Self {
        let mut pieces = header::split_list(value);
        let first = pieces.next().unwrap_or(value);
        let mut line = Vec::with_capacity(value.len() + 48);
        let end = first.iter().position(|byte| *byte == b';').unwrap_or(first.len());
        line.extend_from_slice(header::trim(&first[..end]));
        let mut wants_rport = false;
        for param in header::split(&first[end..], b';') {
            let rport = param.len() >= 5 && param[..5].eq_ignore_ascii_case(b"rport");
            wants_rport |= rport;
            if !rport && !param.starts_with(b"received=") {
                line.push(b';');
                line.extend_from_slice(param);
            }
        }
        write!(line, ";received={}", source.ip()).expect("a Vec takes every write");
        if wants_rport {
            write!(line, ";rport={}", source.port()).expect("a Vec takes every write");
        }
        for piece in pieces {
            line.extend_from_slice(b", ");
            line.extend_from_slice(piece);
        }
        self.field("Via", line)
    }
}

/// A request of ours once more, in a new transaction: with another branch and CSeq number, `fields` in place of those
/// of the same names, and everything else as it was (RFC 3261 §22.2). Only a public address that the challenge told is
/// corrected, in Contact and SDP.
pub fn again(original: &Message<'_>, link: Link, branch: Branch, cseq: u32, fields: &[(&str, String)]) -> Vec<u8> {
    rewritten(original, Some(Transaction { link, branch, cseq, contact: None }), fields)
}

/// A request of ours for another link, in a new transaction: Via and Contact are those of the link, and so is the address
/// in the description.
pub fn elsewhere(original: &Message<'_>, link: Link, branch: Branch, cseq: u32, contact: &str) -> Vec<u8> {
    rewritten(original, Some(Transaction { link, branch, cseq, contact: Some(contact) }), &[])
}

/// A request of ours, not sent yet, with `fields` in place of those of the same names.
pub fn with_fields(original: &Message<'_>, fields: &[(&str, String)]) -> Vec<u8> {
    rewritten(original, None, fields)
}

/// A new transaction of a request.
#[derive(Clone, Copy)]
struct Transaction<'a> {
    link: Link,
    branch: Branch,
    cseq: u32,
    /// Our Contact, where the request goes over another link than before.
    contact: Option<&'a str>,
}

fn rewritten(original: &Message<'_>, transaction: Option<Transaction<'_>>, fields: &[(&str, String)]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(original.raw().len() + 300);
    let Start::Request { method, uri } = original.start() else { return bytes };
    let mut writer = Writer::request(&mut bytes, method.as_bytes(), uri);
    if let Some(Transaction { link, branch, .. }) = transaction {
        writer.via(link, branch);
    }
    for (name, value) in original.fields() {
        match (Name::from_bytes(name), transaction) {
            (Name::ContentLength | Name::ContentType, _) | (Name::Via, Some(_)) => {}
            (Name::CSeq, Some(Transaction { cseq, .. })) => {
                writer.field_fmt("CSeq", format_args!("{cseq} {}", method.as_bytes().escape_ascii()));
            }
            _ if fields.iter().any(|(replaced, _)| name.eq_ignore_ascii_case(replaced.as_bytes())) => {}
            (Name::Contact, Some(Transaction { contact: Some(contact), .. })) => {
                writer.field("Contact", contact);
            }
            (Name::Contact, Some(Transaction { link, .. })) if link.learns => {
                writer.field("Contact", moved_contact(value, link).as_deref().unwrap_or(value));
            }
            _ => {
                writer.field(&header::text(name), value);
            }
        }
    }
    for (name, value) in fields {
        writer.field(name, value);
    }
    let content_type = original.header(Name::ContentType).map(header::text).unwrap_or_default();
    let moved = transaction.filter(|it| it.link.learns || it.contact.is_some()).map(|it| it.link);
    let was = original.contact().and_then(|contact| Uri::parse(contact.uri)).map(|uri| uri.host);
    match moved.zip(was).and_then(|(link, was)| moved_description(original.sdp()?, was, link)) {
        Some(sdp) => writer.body(&content_type, &sdp),
        None => writer.body(&content_type, original.body()),
    }
    bytes
}

/// A Contact of ours with the address that we have now; `None` where it is to stay, as one that is being removed.
fn moved_contact(value: &[u8], link: Link) -> Option<Vec<u8>> {
    let contact = NameAddr::parse(value);
    if header::param(contact.params, "expires") == Some(b"0") {
        return None;
    }
    let uri = Uri::parse(contact.uri)?;
    let outbound = if uri.param("ob").is_some() { ";ob" } else { "" };
    let mut moved = format!("<{}{outbound}>", link.contact_uri(&header::text(uri.user))).into_bytes();
    moved.extend_from_slice(contact.params);
    Some(moved)
}

/// A description of ours with the address that we have now instead of the one we had.
fn moved_description(sdp: &[u8], was: &[u8], link: Link) -> Option<Vec<u8>> {
    let address = link.contact.ip();
    if was == address.to_string().as_bytes() {
        return None;
    }
    let mut moved = Vec::with_capacity(sdp.len() + 16);
    for line in sdp.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.trim_ascii_end();
        match bare.strip_suffix(was).filter(|_| matches!(line.first(), Some(b'c' | b'o'))) {
            Some(head) => {
                moved.extend_from_slice(head);
                write!(moved, "{address}\r\n").expect("a Vec takes every write");
            }
            None => moved.extend_from_slice(line),
        }
    }
    Some(moved)
}

/// The reason phrase of RFC 3261 §21 and of later RFCs.
pub fn reason_phrase(code: u16) -> &'static str {
    match code {
        100 => "Trying",
        180 => "Ringing",
        181 => "Call Is Being Forwarded",
        182 => "Queued",
        183 => "Session Progress",
        199 => "Early Dialog Terminated",
        200 => "OK",
        202 => "Accepted",
        204 => "No Notification",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Moved Temporarily",
        305 => "Use Proxy",
        380 => "Alternative Service",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Request Entity Too Large",
        414 => "Request-URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        417 => "Unknown Resource-Priority",
        420 => "Bad Extension",
        421 => "Extension Required",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        424 => "Bad Location Information",
        428 => "Use Identity Header",
        429 => "Provide Referrer Identity",
        430 => "Flow Failed",
        433 => "Anonymity Disallowed",
        436 => "Bad Identity-Info",
        437 => "Unsupported Certificate",
        438 => "Invalid Identity Header",
        439 => "First Hop Lacks Outbound Support",
        440 => "Max-Breadth Exceeded",
        469 => "Bad Info Package",
        470 => "Consent Needed",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        483 => "Too Many Hops",
        484 => "Address Incomplete",
        485 => "Ambiguous",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        489 => "Bad Event",
        491 => "Request Pending",
        493 => "Undecipherable",
        494 => "Security Agreement Required",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        580 => "Precondition Failure",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        607 => "Unwanted",
        608 => "Rejected",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::flow::Transport;
    use crate::sip::token::{Handle, Salt};

    fn source() -> SocketAddr {
        "192.0.2.7:4321".parse().expect("valid")
    }

    #[test]
    fn a_value_cannot_add_a_header_field() {
        let mut bytes = Vec::new();
        Writer::request(&mut bytes, b"OPTIONS", b"sip:a").field("X-A", "b\r\nX-Evil: c").body("", b"");
        let text = String::from_utf8(bytes).expect("ASCII");
        assert_eq!(text, "OPTIONS sip:a SIP/2.0\r\nX-A: b  X-Evil: c\r\nContent-Length: 0\r\n\r\n");
    }

    #[test]
    fn a_response_repeats_the_request_and_tells_where_it_came_from() {
        let raw = b"INVITE sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5060;rport;branch=z9hG4bK1, SIP/2.0/UDP c\r\n\
            Via: SIP/2.0/TCP d\r\nRecord-Route: <sip:p;lr>\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\n\r\n";
        let request = Message::parse(raw).expect("valid");
        let head = response_head(&request, source(), "mine", true);
        assert_eq!(
            String::from_utf8(head).expect("ASCII"),
            "Via: SIP/2.0/UDP 10.0.0.1:5060;branch=z9hG4bK1;received=192.0.2.7;rport=4321, SIP/2.0/UDP c\r\n\
             Via: SIP/2.0/TCP d\r\nRecord-Route: <sip:p;lr>\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>;tag=mine\r\n\
             Call-ID: x\r\nCSeq: 1 INVITE\r\n"
        );
        assert_eq!(response_destination(&request, source()), source());
    }

    #[test]
    fn a_response_goes_to_the_port_of_sent_by_without_rport() {
        let raw = b"OPTIONS sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1:5070;branch=z9hG4bK1\r\n\r\n";
        let request = Message::parse(raw).expect("valid");
        assert_eq!(response_destination(&request, source()).to_string(), "192.0.2.7:5070");
    }

    #[test]
    fn credentials_come_with_a_new_branch_and_cseq_and_all_else_stays() {
        let raw = b"REGISTER sip:r SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKold;rport\r\nCall-ID: x\r\n\
            CSeq: 1 REGISTER\r\nX-Tenant: acme\r\nContent-Length: 0\r\n\r\n";
        let original = Message::parse(raw).expect("valid");
        let link = Link::new(Transport::Udp, "127.0.0.1:1".parse().expect("valid"));
        let branch = Salt(7).branch(Handle { index: 0, generation: 1 }, 2);
        let bytes = again(&original, link, branch, 2, &[("Authorization", "Digest x".into())]);
        assert_eq!(
            String::from_utf8(bytes).expect("ASCII").replace(&branch.to_string(), "new"),
            "REGISTER sip:r SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;branch=z9hG4bKnew;rport\r\nCall-ID: x\r\n\
             CSeq: 2 REGISTER\r\nX-Tenant: acme\r\nAuthorization: Digest x\r\nContent-Length: 0\r\n\r\n"
        );
    }
}
