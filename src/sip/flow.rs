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
    /// WebSocket (RFC 7118).
    Ws,
    /// WebSocket within TLS.
    Wss,
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
    /// Via and Contact name no address, but `<this in hex>.invalid`: nobody can connect to us (RFC 7118 §5, Appendix B).
    pub invalid: Option<u64>,
    /// The Contact of what begins a dialog says that requests come back over this flow (`ob`, RFC 5626 §4.3).
    pub outbound: bool,
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
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// Whether it is WebSocket, within TLS or not.
    pub const fn is_web(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// Whether it is within TLS.
    pub const fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
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
            // RFC 7118 §5.2: there is no other value, within TLS or not.
            Self::Ws | Self::Wss => ";transport=ws",
        }
    }

    /// Its port where none is written (RFC 3261 §19.1.2, RFC 6455 §3).
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws => "ws",
            Self::Wss => "wss",
        })
    }
}

impl Link {
    /// A link that is known by its local address.
    pub fn new(transport: Transport, local: SocketAddr) -> Self {
        Self {
            transport,
            local,
            advertised: local,
            contact: local,
            learns: false,
            sips: false,
            invalid: None,
            outbound: false,
        }
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

    /// Whether this is the host by which Contacts over it name us, where that is no address.
    pub(super) fn is_named(&self, host: &[u8]) -> Option<bool> {
        let mut own = Vec::new();
        write::invalid_host(&mut own, self.invalid?);
        Some(host.eq_ignore_ascii_case(&own))
    }

    /// Appends what stands in a Via as sent-by.
    pub(super) fn write_sent_by(&self, buffer: &mut Vec<u8>) {
        match self.invalid {
            Some(name) => write::invalid_host(buffer, name),
            None => write::address(buffer, self.advertised),
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
        if self.outbound {
            buffer.extend_from_slice(b";ob");
        }
        buffer.push(b'>');
    }

    /// Appends the URI of our Contact.
    fn write_contact_uri(&self, user: &str, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(if self.sips { b"sips:" } else { b"sip:" });
        buffer.extend_from_slice(user.as_bytes());
        if !user.is_empty() {
            buffer.push(b'@');
        }
        match self.invalid {
            Some(name) => write::invalid_host(buffer, name),
            None => write::address(buffer, self.contact),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_websocket_we_have_a_name_that_is_no_address_and_one_uri_parameter() {
        let local = SocketAddr::from(([10, 0, 0, 1], 40_000));
        for transport in [Transport::Ws, Transport::Wss] {
            let link = Link { invalid: Some(0xdf7), ..Link::new(transport, local) };
            assert_eq!(link.contact_uri("1001"), "sip:1001@000000000df7.invalid;transport=ws");
            assert_eq!(
                Link { outbound: true, ..link }.contact_value("1001"),
                format!("<{};ob>", link.contact_uri("1001"))
            );
            assert_eq!(link.is_named(b"000000000DF7.invalid"), Some(true));
            assert_eq!(link.is_named(b"10.0.0.1"), Some(false));
            assert_eq!(Link::new(transport, local).is_named(b"10.0.0.1"), None, "a server has an address");
        }
    }
}
