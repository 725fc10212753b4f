//! Links towards servers: one UDP socket for all accounts (or for each, where the target says so), one TCP connection for
//! each account (or one of TLS or WebSocket), so that registration and calls of one account share it (RFC 5626).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::scenario::plan::{Server, Target};
use crate::sip::flow::{Flow, Hop, LinkId, PublicAddress, Transport};
use crate::sip::keep_alive::{KeepAlives, Policy};

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Purpose {
    pub(super) transport: Transport,
    /// The place at its other end; only its family where one local port serves all.
    remote: SocketAddr,
    /// Index of the server.
    pub(super) server: u16,
    /// Contacts over it are `sips:`.
    pub(super) sips: bool,
    /// Local address, where the target names several.
    pub(super) local: Option<IpAddr>,
    pub(super) local_port: u16,
    pub(super) public: PublicAddress,
    pub(super) keep_alive: Policy,
    /// Pings are frames of WebSocket, which are always answered.
    pub(super) pings: bool,
    /// Contacts over it say that requests come back over it.
    pub(super) outbound: bool,
    /// Whose connection or socket of its own it is.
    pub(super) account: Option<Holder>,
}

/// Who has a connection or socket of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    pub(super) pool: usize,
    pub(super) account: usize,
    /// Which of several connections of the same account.
    pub(super) tab: u8,
}

impl Purpose {
    /// Keeps a flow of this purpose alive, as its target has it.
    pub(super) fn keep(&self, keep_alives: &mut KeepAlives, now: Instant, flow: Flow) {
        keep_alives.add(now, flow, self.transport.is_reliable(), self.keep_alive);
        if self.pings {
            keep_alives.expect_answers(flow.link);
        }
    }

    /// For the requests of an account of a target to one of its servers.
    /// It goes out from the target's local address of that number, counted round.
    pub(super) fn new(
        hop: Hop,
        (index, server): (usize, &Server),
        target: &Target,
        holder: Holder,
        source: u32,
    ) -> Self {
        let mut locals = target.local_addresses.iter().filter(|local| local.is_ipv4() == hop.address.is_ipv4());
        let count = locals.clone().count();
        let shared = target.local_port != 0 && !hop.transport.is_reliable();
        let any: IpAddr = match hop.address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        Self {
            transport: hop.transport,
            remote: if shared { SocketAddr::new(any, 0) } else { hop.address },
            server: index as u16,
            sips: server.sips,
            local: (count > 0).then(|| locals.nth(source as usize % count)).flatten().copied(),
            local_port: target.local_port,
            public: target.public_address,
            keep_alive: target.keep_alive,
            pings: server.web.as_ref().is_some_and(|web| web.pings),
            outbound: target.outbound,
            account: (target.socket_each || hop.transport.is_reliable() || holder.tab > 0).then_some(holder),
        }
    }
}

/// A link to open, towards this address.
pub(super) type Wanted = (LinkId, Purpose, SocketAddr);

/// Links that were asked for.
#[derive(Debug, Default)]
pub(super) struct Links {
    by_purpose: FxHashMap<Purpose, LinkId>,
    /// What each is for, whether it is open, and what it was opened towards.
    purposes: FxHashMap<LinkId, (Purpose, bool, SocketAddr)>,
    /// Those that nothing is to be sent over for now.
    detached: FxHashMap<LinkId, (Purpose, bool, SocketAddr)>,
    next: u32,
}

/// Where a leg can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// At once, over this flow.
    Open(Flow),
    /// When this link, asked for earlier, is open.
    Opening(LinkId),
    /// When this link, to be asked for now, is open.
    Ask(LinkId),
}

impl Links {
    /// The link for a purpose, to reach this address over it.
    pub(super) fn access(&mut self, purpose: Purpose, remote: SocketAddr) -> Access {
        if let Some(link) = self.by_purpose.get(&purpose).copied() {
            return match self.purposes.get(&link) {
                Some((_, true, _)) => Access::Open(Flow { link, remote }),
                _ => Access::Opening(link),
            };
        }
        self.next += 1;
        let link = LinkId(self.next);
        self.by_purpose.insert(purpose, link);
        self.purposes.insert(link, (purpose, false, remote));
        Access::Ask(link)
    }

    /// The number of a link that is for something else than SIP, and none of these.
    pub(super) fn other(&mut self) -> LinkId {
        self.next += 1;
        LinkId(self.next)
    }

    /// A link was opened. Tells what for and towards what; `None` where it was not asked for.
    pub(super) fn opened(&mut self, link: LinkId) -> Option<(Purpose, SocketAddr)> {
        let (purpose, open, remote) = self.purposes.get_mut(&link)?;
        *open = true;
        Some((*purpose, *remote))
    }

    /// What an open link is for and towards what.
    pub(super) fn of(&self, link: LinkId) -> Option<(Purpose, SocketAddr)> {
        self.purposes.get(&link).filter(|(_, open, _)| *open).map(|(purpose, _, remote)| (*purpose, *remote))
    }

    /// The next leg asks for a new link in the place of this one, which stays.
    pub(super) fn detach(&mut self, link: LinkId) {
        if let Some(known) = self.purposes.remove(&link) {
            self.by_purpose.remove(&known.0);
            self.detached.insert(link, known);
        }
    }

    /// A link that was detached can be used again, unless another has its place.
    pub(super) fn reattach(&mut self, link: LinkId) {
        if let Some(known) = self.detached.get(&link).filter(|known| !self.by_purpose.contains_key(&known.0)).copied() {
            self.detached.remove(&link);
            self.by_purpose.insert(known.0, link);
            self.purposes.insert(link, known);
        }
    }

    /// A link was lost: the next leg asks for a new one.
    pub(super) fn lost(&mut self, link: LinkId) {
        self.detached.remove(&link);
        if let Some((purpose, ..)) = self.purposes.remove(&link) {
            self.by_purpose.remove(&purpose);
        }
    }

    /// Every link, to close it.
    pub(super) fn drain(&mut self) -> Vec<LinkId> {
        self.by_purpose.clear();
        self.purposes.drain().chain(self.detached.drain()).map(|(link, _)| link).collect()
    }
}
