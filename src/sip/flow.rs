//! Over what a message travels: links (a socket or a connection) and flows (a link and the address at its other end,
//! RFC 5626 §2).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use rustc_hash::FxHashMap;

use super::message::Via;
use super::write;

/// Transports of SIP (RFC 3261 §18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams: we retransmit.
    #[default]
    Udp,
    /// Streams: the transport retransmits.
    Tcp,
    /// Streams within TLS.
    Tls,
}

/// A local socket or connection, by the number that its opener gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// What the endpoint has to know of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its transport.
    pub transport: Transport,
    /// Its own address.
    pub local: SocketAddr,
    /// The address to write into Via: the local one, or a public one that was given.
    pub advertised: SocketAddr,
    /// The address to write into Contact and SDP. It differs from that of Via once a public one was learned.
    pub contact: SocketAddr,
    /// The public address is learned from responses.
    pub learns: bool,
    /// Contacts over it are `sips:` (RFC 3261 §8.1.1.8).
    pub sips: bool,
}

/// How we are known from outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PublicAddress {
    /// By our local address.
    #[default]
    Local,
    /// By the address that servers say our requests come from (RFC 3581 §4).
    Learned,
    /// By this address, at the local port.
    Fixed(IpAddr),
}

/// Where a server is reached: one of the places that it may have (RFC 3263).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// By which transport.
    pub transport: Transport,
    /// At which address.
    pub address: SocketAddr,
}

/// A link and the address at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The link.
    pub link: LinkId,
    /// The address at its other end.
    pub remote: SocketAddr,
}

/// The links that are open.
#[derive(Clone, Debug, Default)]
pub struct Links {
    open: FxHashMap<LinkId, Link>,
}

impl Transport {
    /// As it stands in a Via.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// Whether the transport itself repeats what is lost.
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The URI parameter that asks for it; UDP is what a `sip:` URI means without one.
    pub const fn uri_param(self) -> &'static str {
        match self {
            Self::Udp => "",
            Self::Tcp => ";transport=tcp",
            Self::Tls => ";transport=tls",
        }
    }

    /// Its port where none is written (RFC 3261 §19.1.2).
    pub const fn default_port(self) -> u16 {
        if matches!(self, Self::Tls) { 5061 } else { 5060 }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        })
    }
}

impl Link {
    /// A link that is known by its local address.
    pub fn new(transport: Transport, local: SocketAddr) -> Self {
        Self { transport, local, advertised: local, contact: local, learns: false, sips: false }
    }

    /// The same link as it is known from outside.
    #[must_use]
    pub fn known_as(self, public: PublicAddress) -> Self {
        match public {
            PublicAddress::Local => self,
            PublicAddress::Learned => Self { learns: true, ..self },
            PublicAddress::Fixed(ip) => {
                let advertised = SocketAddr::new(ip, self.local.port());
                Self { advertised, contact: advertised, ..self }
            }
        }
    }

    /// The URI of our Contact.
    pub fn contact_uri(&self, user: &str) -> String {
        let mut uri = Vec::new();
        self.write_contact_uri(user, &mut uri);
        String::from_utf8(uri).expect("made of texts")
    }

    /// The value of our Contact: `user` at the address of the link, or `user` itself where it is a whole value.
    pub(super) fn contact_value(&self, user: &str) -> String {
        let mut value = Vec::new();
        self.write_contact_value(user, &mut value);
        String::from_utf8(value).expect("made of texts")
    }

    /// Appends the value of our Contact.
    pub(super) fn write_contact_value(&self, user: &str, buffer: &mut Vec<u8>) {
        if user.starts_with('<') {
            return buffer.extend_from_slice(user.as_bytes());
        }
        buffer.push(b'<');
        self.write_contact_uri(user, buffer);
        buffer.push(b'>');
    }

    /// Appends the URI of our Contact.
    fn write_contact_uri(&self, user: &str, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(if self.sips { b"sips:" } else { b"sip:" });
        buffer.extend_from_slice(user.as_bytes());
        if !user.is_empty() {
            buffer.push(b'@');
        }
        write::address(buffer, self.contact);
        // With `sips` TLS goes without saying.
        if !self.sips {
            buffer.extend_from_slice(self.transport.uri_param().as_bytes());
        }
    }
}

impl Links {
    /// A server tells in the topmost Via of its response where our request came from (RFC 3581 §4). Via itself keeps
    /// the local address, so that every response tells anew, and a mapping that moved is seen.
    pub fn learn(&mut self, id: LinkId, via: &Via<'_>) {
        let Some(link) = self.open.get_mut(&id).filter(|link| link.learns) else { return };
        let (ip, port) = (via.received(), via.rport());
        if ip.is_none() && port.is_none() {
            return;
        }
        let seen =
            SocketAddr::new(ip.unwrap_or_else(|| link.advertised.ip()), port.unwrap_or_else(|| link.advertised.port()));
        if !seen.ip().is_unspecified() && !seen.ip().is_multicast() && seen.port() != 0 {
            link.contact = seen;
        }
    }

    /// Makes a link known.
    pub fn add(&mut self, id: LinkId, link: Link) {
        self.open.insert(id, link);
    }

    /// Forgets a link that was closed.
    pub fn remove(&mut self, id: LinkId) {
        self.open.remove(&id);
    }

    /// A link that is open.
    pub fn get(&self, id: LinkId) -> Option<Link> {
        self.open.get(&id).copied()
    }
}
