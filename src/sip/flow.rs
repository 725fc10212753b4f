//! Over what a message travels: links (a socket or a connection) and flows (a link and the address at its other end,
//! RFC 5626 §2).

use std::fmt;
use std::net::SocketAddr;

use rustc_hash::FxHashMap;

/// Transports of SIP (RFC 3261 §18).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams: we retransmit.
    #[default]
    Udp,
    /// Streams: the transport retransmits.
    Tcp,
}

/// A local socket or connection, by the number that its opener gave it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(pub u32);

/// What the endpoint has to know of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its transport.
    pub transport: Transport,
    /// The address to write into Via and Contact: the local one, or the public one that stands for it.
    pub advertised: SocketAddr,
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
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        })
    }
}

impl Links {
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
