//! Where calls are sent, and what is known of that place.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::{Application, Codec, Ice, KeepAlive, Policy, PublicAddress, Server, Suite, Wishes};
use crate::scenario::safety::Safety;
use crate::sip::session::Extensions;

/// Where calls are sent, resolved as far as files can.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Its name, a tag in results.
    pub name: String,
    /// It is the built-in lab: `server` is filled in when the lab has its port.
    pub lab: bool,
    /// The server that requests go to.
    pub server: Server,
    /// Domain of addresses of record and Request-URIs.
    pub domain: String,
    /// How we are known there: what is written into Via, Contact and SDP.
    pub public_address: PublicAddress,
    /// Local addresses that accounts go out from in turn; none: that of the way to the server.
    pub local_addresses: Vec<IpAddr>,
    /// Local port of SIP over UDP; 0 takes a free one.
    pub local_port: u16,
    /// Each account has a UDP socket of its own.
    pub socket_each: bool,
    /// What becomes of INVITEs that are larger than a datagram should be.
    pub large_requests: LargeRequests,
    /// Whether flows there are kept alive (RFC 5626 §4.4).
    pub keep_alive: KeepAlive,
    /// Headers in every request.
    pub headers: Vec<(String, String)>,
    /// Extensions of SIP that calls speak where their step does not say.
    pub speaks: Extensions,
    /// Registrations ask for a GRUU, and calls use it.
    pub gruu: bool,
    /// Registrations are of flows (RFC 5626).
    pub outbound: bool,
    /// User-Agent; default `ringfleet/VERSION`.
    pub user_agent: Option<String>,
    /// Codecs in the order they are offered.
    pub codecs: Vec<Codec>,
    /// What we would like to receive of Opus.
    pub opus: Wishes,
    /// Encryption of audio.
    pub srtp: Srtp,
    /// Servers of STUN and TURN, where audio is WebRTC's.
    pub ice: Ice,
    /// The application that its agents work in.
    pub application: Arc<Application>,
    /// RTP ports, first and last; `None` lets the system choose.
    pub rtp_ports: Option<(u16, u16)>,
    /// Audio of all calls of a worker goes over one pair of sockets. WebRTC and video have sockets of their own all the same.
    pub shared_media: bool,
    /// Trunks by label.
    pub trunks: BTreeMap<String, Trunk>,
    /// Header that carries our `call_id` to the other leg, where the target lets it through.
    pub pairing_header: Option<String>,
    /// Numbers by name, for messages and the plan's print-out.
    pub numbers: BTreeMap<String, String>,
    /// Licences bought, where known.
    pub licence: Option<Licence>,
    /// Company, environment … for the incident sheet.
    pub labels: BTreeMap<String, String>,
    /// What may be dialled here.
    pub safety: Arc<Safety>,
}

impl Target {
    /// Every server that it names, some of them perhaps more than once.
    pub fn servers(&self) -> impl Iterator<Item = &Server> {
        let peers = self.trunks.values().filter_map(|trunk| trunk.peer.as_ref());
        std::iter::once(&self.server).chain(peers).chain(self.ice.servers.iter().map(|ice| &ice.server))
    }

    /// Whether it is the same target, which actors may reach over different transports.
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.name, &self.domain) == (&other.name, &other.domain)
    }

    /// Whether agents are registered there as at another one: all is the same but what only calls know.
    pub(super) fn registers_as(&self, other: &Self) -> bool {
        let servers = |target: &Self| target.servers().cloned().collect::<Vec<_>>();
        // Field by field of the rest: one that comes later is compared.
        let apart_from_calls = |target: &Self| Self {
            trunks: BTreeMap::new(),
            numbers: BTreeMap::new(),
            labels: BTreeMap::new(),
            licence: None,
            codecs: Vec::new(),
            opus: Wishes::default(),
            rtp_ports: None,
            shared_media: false,
            speaks: Extensions::default(),
            pairing_header: None,
            safety: Arc::default(),
            ..target.clone()
        };
        servers(self) == servers(other) && apart_from_calls(self) == apart_from_calls(other)
    }

    /// What the user part of the Request-URI is for a number (rendered) over a trunk: the trunk's prefix comes first.
    /// A `sip:` or `tel:` URI is complete already and stays as it is. So does a number of the lab that begins with the
    /// prefix: which trunk it takes is plain from the lab's own number plan, whereas elsewhere a subscriber's number
    /// may begin with the same digits.
    pub fn final_number(&self, number: &str, trunk: Option<&str>) -> String {
        let prefix = trunk.and_then(|label| self.trunks.get(label)).and_then(|trunk| trunk.prefix.as_deref());
        let complete = |prefix: &str| number.contains(':') || self.lab && number.starts_with(prefix);
        match prefix.filter(|prefix| !complete(prefix)) {
            Some(prefix) => format!("{prefix}{number}"),
            None => number.to_owned(),
        }
    }

    /// Bytes of the largest request that is sent as a datagram; `None` sends any.
    pub fn largest_datagram(&self) -> Option<usize> {
        (self.large_requests == LargeRequests::Tcp).then_some(LARGEST_DATAGRAM)
    }
}

/// Above this a request is too large for a datagram, bytes (RFC 3261 §18.1.1: the path MTU is not known).
const LARGEST_DATAGRAM: usize = 1300;

/// What becomes of INVITE, REGISTER and OPTIONS above 1300 bytes where the server is reached by UDP (RFC 3261 §18.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LargeRequests {
    /// It goes by UDP all the same, in fragments where the path needs them.
    #[default]
    Fragment,
    /// It goes by TCP, or by UDP where the server takes no connection.
    Tcp,
}

/// Encryption of audio by keys in SDP (RFC 4568).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Srtp {
    /// Whether.
    pub policy: Policy,
    /// Suites that are offered, best first.
    pub offers: Vec<Suite>,
    /// Suites that are accepted.
    pub accepts: Vec<Suite>,
}

impl Srtp {
    /// A policy with the suites that hold where none are named: the two that every device speaks are offered, so that
    /// an INVITE stays below the size that UDP carries; all are accepted.
    pub fn new(policy: Policy) -> Self {
        let offers = vec![Suite::AesCm128Sha1_80, Suite::AesCm128Sha1_32];
        Self { policy, offers, accepts: Suite::ALL.to_vec() }
    }
}

/// A way out of (or into) the target.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trunk {
    /// Label, the tag `trunk`.
    pub name: String,
    /// Carrier behind it.
    pub carrier: Option<String>,
    /// Gateway it goes through.
    pub gateway: Option<String>,
    /// Calls at the same time that were bought.
    pub contracted_calls: Option<u32>,
    /// Calls per second that were bought.
    pub contracted_cps: Option<u32>,
    /// Digits put before the number to choose it.
    pub prefix: Option<String>,
    /// From identity that chooses it.
    pub from: Option<String>,
    /// It is a peer of its own: requests go there, without account.
    pub peer: Option<Server>,
}

/// Licences bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Licence {
    /// Devices that may be registered at the same time.
    pub extensions: u32,
    /// Extensions that exist.
    pub provisioned: Option<u32>,
}
