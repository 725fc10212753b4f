//! Dialog state (RFC 3261 §12): what every request within a dialog is made of.

use std::net::IpAddr;

use super::flow::{Flow, Link, Transport};
use super::header::{self, Name};
use super::message::Message;
use super::token::Branch;
use super::uri::{NameAddr, Uri};
use super::write::Writer;

/// A dialog, or the beginning of one.
#[derive(Debug)]
pub struct Dialog {
    /// Call-ID.
    pub call_id: Box<[u8]>,
    /// Our From (as caller) or To (as called party) with our tag.
    pub local: Box<[u8]>,
    /// The far end's To or From, with its tag once there is one.
    pub remote: Box<[u8]>,
    /// The far end's Contact: the Request-URI of requests in the dialog.
    pub target: Box<[u8]>,
    /// Route set, in the order in which Route fields are written.
    pub route: Vec<Box<[u8]>>,
    /// CSeq number of our last request.
    pub local_cseq: u32,
    /// CSeq number of the far end's last request.
    pub remote_cseq: Option<u32>,
}

impl Dialog {
    /// The dialog of a call that was received; `tag` is ours.
    pub fn from_invite(invite: &Message<'_>, tag: &str) -> Self {
        let mut local = invite.header(Name::To).unwrap_or(b"").to_vec();
        local.extend_from_slice(b";tag=");
        local.extend_from_slice(tag.as_bytes());
        let remote = invite.header(Name::From).unwrap_or(b"");
        let route = record_route(invite).map(Box::from).collect();
        Self {
            call_id: invite.call_id().unwrap_or(b"").into(),
            local: local.into(),
            remote: remote.into(),
            target: contact_uri(invite).unwrap_or_else(|| NameAddr::parse(remote).uri).into(),
            route,
            local_cseq: 0,
            remote_cseq: invite.cseq().map(|(number, _)| number),
        }
    }

    /// The same call with another far end: what a response of a fork completes.
    pub fn fork(&self) -> Self {
        Self {
            call_id: self.call_id.clone(),
            local: self.local.clone(),
            remote: Box::default(),
            target: self.target.clone(),
            route: Vec::new(),
            local_cseq: self.local_cseq,
            remote_cseq: None,
        }
    }

    /// A request or a 2xx within the dialog may move the far end to another Contact; the route set stays (§12.2).
    pub fn refresh_target(&mut self, message: &Message<'_>) {
        if let Some(target) = contact_uri(message) {
            self.target = target.into();
        }
    }

    /// A response with a tag to our INVITE completes the dialog: the far end's tag, its Contact and the route set (§12.1.2).
    pub fn complete(&mut self, response: &Message<'_>) {
        if let Some(to) = response.header(Name::To) {
            self.remote = to.into();
        }
        self.route = record_route(response).map(Box::from).collect();
        self.route.reverse();
        if let Some(target) = contact_uri(response) {
            self.target = target.into();
        }
    }

    /// The far end's tag.
    pub fn remote_tag(&self) -> Option<&[u8]> {
        NameAddr::parse(&self.remote).tag()
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
        let strict = self.route.first().map(|first| NameAddr::parse(first).uri).filter(|uri| !is_loose(uri));
        let mut writer = Writer::request(buffer, method.as_bytes(), strict.unwrap_or(&self.target));
        writer.via(link.transport.name(), link.advertised, branch);
        writer.field("Max-Forwards", "70");
        for route in self.route.iter().skip(usize::from(strict.is_some())) {
            writer.field("Route", route);
        }
        if strict.is_some() {
            let mut last = vec![b'<'];
            last.extend_from_slice(&self.target);
            last.push(b'>');
            writer.field("Route", last);
        }
        writer.field("From", &self.local).field("To", &self.remote).field("Call-ID", &self.call_id);
        writer.field_fmt("CSeq", format_args!("{cseq} {method}"));
        writer
    }

    /// Whether requests of the dialog go to its target: no strict router stands before it.
    pub fn target_is_request_uri(&self) -> bool {
        self.route.first().is_none_or(|first| is_loose(NameAddr::parse(first).uri))
    }

    /// Where the next request of the dialog goes: the first route or the target where it is an address, else the flow
    /// that the dialog was made over. A connection stays the connection it is.
    pub fn next_hop(&self, flow: Flow, transport: Transport) -> Flow {
        if transport.is_reliable() {
            return flow;
        }
        let first = self.route.first().map_or(&*self.target, |route| NameAddr::parse(route).uri);
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
    message.contact().map(|contact| contact.uri).filter(|uri| Uri::parse(uri).is_some())
}

fn is_loose(uri: &[u8]) -> bool {
    Uri::parse(uri).is_some_and(|uri| uri.param("lr").is_some())
}
