//! Dialog state (RFC 3261 §12): what every request within a dialog is made of.

use std::net::IpAddr;

use thin_vec::ThinVec;

use super::flow::{Flow, Link, Transport};
use super::header::{self, Name};
use super::message::Message;
use super::token::Branch;
use super::uri::{NameAddr, Uri};
use super::validity::is_readable;
use super::write::Writer;

/// A dialog, or the beginning of one. Its four texts lie one behind the other in one place: a call that is held keeps
/// little, and a response that completes a dialog writes once.
#[derive(Debug)]
pub struct Dialog {
    texts: Box<[u8]>,
    /// Where Call-ID, our own and the far end's texts end.
    ends: [u32; 3],
    /// Route set, in the order in which Route fields are written.
    pub route: ThinVec<Box<[u8]>>,
    /// CSeq number of our last request.
    pub local_cseq: u32,
    /// CSeq number of the far end's last request.
    pub remote_cseq: Option<u32>,
}

/// The texts of a dialog.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    /// Call-ID.
    pub call_id: &'a [u8],
    /// Our From (as caller) or To (as called party) with our tag.
    pub local: &'a [u8],
    /// The far end's To or From, with its tag once there is one.
    pub remote: &'a [u8],
    /// The far end's Contact: the Request-URI of requests in the dialog.
    pub target: &'a [u8],
}

impl Texts<'_> {
    fn kept(&self) -> (Box<[u8]>, [u32; 3]) {
        let Self { call_id, local, remote, target } = *self;
        let mut end = 0;
        let ends = [call_id, local, remote].map(|text| {
            end += text.len() as u32;
            end
        });
        ([call_id, local, remote, target].concat().into(), ends)
    }
}

impl Dialog {
    /// A dialog of these texts, without a route and with the CSeq number of our last request.
    pub fn new(texts: &Texts<'_>, local_cseq: u32) -> Self {
        let (texts, ends) = texts.kept();
        Self { texts, ends, route: ThinVec::new(), local_cseq, remote_cseq: None }
    }

    /// The dialog of a call that was received; `tag` is ours.
    pub fn from_invite(invite: &Message<'_>, tag: &str) -> Self {
        let local = [invite.header(Name::To).unwrap_or(b""), b";tag=", tag.as_bytes()].concat();
        let remote = invite.header(Name::From).unwrap_or(b"");
        // RFC 3261 §12.1.1 has a Contact in every INVITE; without it there is nobody else to send to.
        let caller = || Some(NameAddr::parse(remote).uri).filter(|uri| is_readable(uri));
        let texts = Texts {
            call_id: invite.call_id().unwrap_or(b""),
            local: &local,
            remote,
            target: contact_uri(invite).or_else(caller).unwrap_or(b"sip:anonymous.invalid"),
        };
        let route = record_route(invite).map(Box::from).collect();
        let remote_cseq = invite.cseq().map(|(number, _)| number);
        Self { route, remote_cseq, ..Self::new(&texts, 0) }
    }

    /// Its texts.
    pub fn texts(&self) -> Texts<'_> {
        let [first, second, third] = self.ends.map(|end| end as usize);
        let texts = &self.texts;
        Texts {
            call_id: &texts[..first],
            local: &texts[first..second],
            remote: &texts[second..third],
            target: &texts[third..],
        }
    }

    /// Call-ID.
    pub fn call_id(&self) -> &[u8] {
        self.texts().call_id
    }

    /// The same call with the far end that sent `response`.
    pub fn fork(&self, response: &Message<'_>) -> Self {
        self.completed(response, self.local_cseq, None)
    }

    /// A request or a 2xx within the dialog may move the far end to another Contact; the route set stays (§12.2).
    pub fn refresh_target(&mut self, message: &Message<'_>) {
        if let Some(target) = contact_uri(message).filter(|target| *target != self.texts().target) {
            (self.texts, self.ends) = Texts { target, ..self.texts() }.kept();
        }
    }

    /// A response with a tag to our INVITE completes the dialog: the far end's tag, its Contact and the route set (§12.1.2).
    pub fn complete(&mut self, response: &Message<'_>) {
        *self = self.completed(response, self.local_cseq, self.remote_cseq);
    }

    fn completed(&self, response: &Message<'_>, local_cseq: u32, remote_cseq: Option<u32>) -> Self {
        let known = self.texts();
        let remote = response.header(Name::To).unwrap_or(known.remote);
        let target = contact_uri(response).unwrap_or(known.target);
        let (texts, ends) = Texts { remote, target, ..known }.kept();
        let mut route: ThinVec<Box<[u8]>> = record_route(response).map(Box::from).collect();
        route.reverse();
        Self { texts, ends, route, local_cseq, remote_cseq }
    }

    /// The far end's tag.
    pub fn remote_tag(&self) -> Option<&[u8]> {
        NameAddr::parse(self.texts().remote).tag()
    }

    /// Writes the fields of a request in the dialog up to CSeq; the caller adds the rest and the body. A strict router
    /// as the first hop takes the Request-URI (§12.2.1.1).
    pub fn request<'b>(
        &self,
        buffer: &'b mut Vec<u8>,
        link: Link,
        method: &str,
        cseq: u32,
        branch: Branch,
    ) -> Writer<'b> {
        let Texts { call_id, local, remote, target } = self.texts();
        let strict = self.route.first().map(|first| NameAddr::parse(first).uri).filter(|uri| is_strict(uri));
        let mut writer = Writer::request(buffer, method.as_bytes(), strict.unwrap_or(target));
        writer.via(link, branch);
        writer.field("Max-Forwards", "70");
        for route in self.route.iter().skip(usize::from(strict.is_some())) {
            writer.field("Route", route);
        }
        if strict.is_some() {
            let mut last = vec![b'<'];
            last.extend_from_slice(target);
            last.push(b'>');
            writer.field("Route", last);
        }
        writer.field("From", local).field("To", remote).field("Call-ID", call_id).cseq(cseq, method.as_bytes());
        writer
    }

    /// Whether requests of the dialog go to its target: no strict router stands before it.
    pub fn target_is_request_uri(&self) -> bool {
        self.route.first().is_none_or(|first| !is_strict(NameAddr::parse(first).uri))
    }

    /// Where the next request of the dialog goes: the first route or the target where it is an address, else the flow
    /// that the dialog was made over. A connection stays the connection it is.
    pub fn next_hop(&self, flow: Flow, transport: Transport) -> Flow {
        if transport.is_reliable() {
            return flow;
        }
        let first = self.route.first().map_or_else(|| self.texts().target, |route| NameAddr::parse(route).uri);
        let Some(uri) = Uri::parse(first) else { return flow };
        let host: Option<IpAddr> = std::str::from_utf8(uri.host).ok().and_then(|host| host.parse().ok());
        match host {
            Some(ip) => Flow { link: flow.link, remote: (ip, uri.port.unwrap_or(5060)).into() },
            None => flow,
        }
    }
}

fn record_route<'a>(message: &Message<'a>) -> impl Iterator<Item = &'a [u8]> {
    message.headers(Name::RecordRoute).flat_map(header::split_list)
}

fn contact_uri<'a>(message: &Message<'a>) -> Option<&'a [u8]> {
    // One with a line end would end our request line.
    message.contact().map(|contact| contact.uri).filter(|uri| is_readable(uri))
}

/// Whether a router wants to stand in the request line itself (RFC 2543).
fn is_strict(uri: &[u8]) -> bool {
    is_readable(uri) && Uri::parse(uri).is_some_and(|uri| uri.param("lr").is_none())
}
