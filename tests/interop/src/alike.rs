//! What both parsers accept, both read alike.
//!
//! `rsip` reads less: it knows no folding, no compact names, no lists in one line and no scheme but `sip` and `sips`, and
//! it does not cut a body to its Content-Length. A field that it refuses is not compared; one that it reads has to
//! say the same.

use ringfleet::sip::header::{self, Name};
use ringfleet::sip::message::{Message, Start};
use ringfleet::sip::uri::{NameAddr, Uri};
use ringfleet::sip::validity;
use rsip::headers::{ToTypedHeader as _, UntypedHeader as _};
use rsip::message::HeadersExt as _;

/// What a comparison came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Both read it, and so many fields were compared.
    Alike(usize),
    /// Only ringfleet accepts it.
    OnlyOurs,
    /// Only rsip accepts it.
    OnlyTheirs,
    /// Neither does.
    Neither,
}

/// Compares what both make of a message.
///
/// # Panics
/// Where they read a field differently.
pub fn compare(bytes: &[u8]) -> Verdict {
    let ours = Message::parse(bytes).ok().filter(|message| match message.start() {
        Start::Request { .. } => validity::flaw(message).is_none(),
        Start::Response { .. } => validity::is_whole(message),
    });
    let theirs = rsip::SipMessage::try_from(bytes).ok();
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => Verdict::Alike(fields(&ours, &theirs)),
        (Some(_), None) => Verdict::OnlyOurs,
        (None, Some(_)) => Verdict::OnlyTheirs,
        (None, None) => Verdict::Neither,
    }
}

struct Comparison<'a> {
    raw: &'a [u8],
    compared: usize,
}

impl Comparison<'_> {
    fn same(&mut self, what: &str, ours: Option<&[u8]>, theirs: Option<&str>) {
        let ours = ours.map(header::text);
        assert_eq!(ours.as_deref(), theirs, "{what} of {}", self.raw.escape_ascii());
        self.compared += 1;
    }
}

fn fields(ours: &Message<'_>, theirs: &rsip::SipMessage) -> usize {
    let mut it = Comparison { raw: ours.raw(), compared: 0 };
    match (ours.start(), theirs) {
        (Start::Request { method, uri }, rsip::SipMessage::Request(request)) => {
            it.same("the method", Some(method.as_bytes()), Some(&request.method.to_string()));
            compare_uri(&mut it, "the Request-URI", uri, &request.uri);
        }
        (Start::Response { code, .. }, rsip::SipMessage::Response(response)) => {
            it.same("the code", Some(code.to_string().as_bytes()), Some(&response.status_code.code().to_string()));
        }
        _ => panic!("one takes it for a request and one for a response: {}", ours.raw().escape_ascii()),
    }
    if let Ok(call_id) = theirs.call_id_header() {
        it.same("Call-ID", ours.call_id(), Some(call_id.value().trim()));
    }
    if let Ok(cseq) = theirs.cseq_header().and_then(|cseq| cseq.typed()) {
        let (number, method) = ours.cseq().expect("it was checked");
        it.same("CSeq", Some(number.to_string().as_bytes()), Some(&cseq.seq.to_string()));
        it.same("the method of CSeq", Some(method.as_bytes()), Some(&cseq.method.to_string()));
    }
    if let Ok(from) = theirs.from_header().and_then(|from| from.typed()) {
        let party = ours.from().expect("it was checked");
        compare_party(&mut it, "From", &party, &from.uri, from.tag().map(|tag| tag.value()));
    }
    if let Ok(to) = theirs.to_header().and_then(|to| to.typed()) {
        let party = ours.to().expect("it was checked");
        compare_party(&mut it, "To", &party, &to.uri, to.tag().map(|tag| tag.value()));
    }
    compare_via(&mut it, ours, theirs);
    compare_contact(&mut it, ours, theirs);
    it.compared
}

fn compare_uri(it: &mut Comparison<'_>, what: &str, ours: &[u8], theirs: &rsip::Uri) {
    let uri = Uri::parse(ours).unwrap_or_else(|| panic!("{what} of {}", it.raw.escape_ascii()));
    // It takes the part before a colon for a host where it does not know the scheme, and a user with a dot for none.
    if !uri.is_sip() || theirs.scheme.is_none() || uri.user.contains(&b'.') {
        return;
    }
    it.same(&format!("the user of {what}"), Some(uri.user).filter(|user| !user.is_empty()), theirs.user());
    it.same(&format!("the host of {what}"), Some(uri.host), Some(&theirs.host().to_string()));
    let port = theirs.port().map(|port| *port.value());
    assert_eq!(uri.port, port, "the port of {what} of {}", it.raw.escape_ascii());
    let transport = uri.param("transport").map(header::text).map(|it| it.to_ascii_lowercase());
    let theirs = theirs.transport().map(|it| it.to_string().to_ascii_lowercase());
    assert_eq!(transport, theirs, "the transport of {what} of {}", it.raw.escape_ascii());
    it.compared += 2;
}

fn compare_party(it: &mut Comparison<'_>, what: &str, ours: &NameAddr<'_>, theirs: &rsip::Uri, tag: Option<&str>) {
    compare_uri(it, what, ours.uri, theirs);
    it.same(&format!("the tag of {what}"), ours.tag(), tag);
}

fn compare_via(it: &mut Comparison<'_>, ours: &Message<'_>, theirs: &rsip::SipMessage) {
    let value = ours.header(Name::Via).unwrap_or_default();
    let Ok(theirs) = theirs.via_header().and_then(|via| via.typed()) else { return };
    // It reads a list in one line as one value.
    if header::split_list(value).count() != 1 {
        return;
    }
    let via = ours.via().expect("it was checked");
    it.same("the transport of Via", Some(via.transport), Some(&theirs.transport.to_string()));
    it.same("the host of Via", Some(via.host), Some(&theirs.uri.host().to_string()));
    assert_eq!(via.port, theirs.uri.port().map(|port| *port.value()), "the port of Via of {}", it.raw.escape_ascii());
    it.same("the branch", via.branch(), theirs.branch().map(|branch| branch.value()));
    it.compared += 1;
}

fn compare_contact(it: &mut Comparison<'_>, ours: &Message<'_>, theirs: &rsip::SipMessage) {
    let value = ours.header(Name::Contact).unwrap_or_default();
    let Some(Ok(theirs)) = theirs.contact_header().ok().map(|contact| contact.typed()) else { return };
    if header::split_list(value).count() != 1 {
        return;
    }
    let contact = ours.contact().expect("there is one");
    compare_uri(it, "Contact", contact.uri, &theirs.uri);
    let expires = theirs.expires().map(|expires| expires.value());
    it.same("the expiry of Contact", header::param(contact.params, "expires"), expires);
}
