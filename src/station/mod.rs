//! What a worker hosts: a machine that speaks SIP and media, and what it asks of the world.
//!
//! Two machines are stations: the callers of a scenario and the simulated PBX. A worker, or a test in virtual time,
//! holds one without knowing which. The world opens sockets and connections when asked ([`Output::OpenPort`],
//! [`Output::OpenLink`]) and tells what came of it; every input is followed by [`Station::poll_output`] until it says
//! [`Output::Idle`].

pub mod demux;
pub mod side;
pub mod streams;

use std::fmt;
use std::iter::Sum;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

pub use crate::media::session::Channel;
pub use crate::record::Rungs;
use crate::sip::flow::{Flow, Link, LinkId, Transport};
pub use demux::{RemoteMedia, Unattributed};

/// How long the end of a station, and of its thread, may wait for others to take note of it: peers of connections that we have
/// closed, and servers that have relayed for us.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// A pair of media sockets, RTP and RTCP, by the number that the station gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortId(pub u32);

/// The pair of media sockets that a stream asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaSockets {
    /// First and last port allowed; `None` lets the system choose.
    pub range: Option<(u16, u16)>,
    /// The address that the peer is reached from; unspecified where any will do.
    pub local: IpAddr,
    /// One pair for all streams of the worker that ask for this, which are told apart by where their packets come from.
    pub shared: bool,
}

/// A media packet that arrived.
#[derive(Clone, Copy, Debug)]
pub struct MediaPacket<'a> {
    /// When, as the kernel noted.
    pub arrived: Instant,
    /// At which pair.
    pub port: PortId,
    /// At which socket of it.
    pub channel: Channel,
    /// Who sent it.
    pub from: SocketAddr,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// What a station wants done, in order. Bytes are appended to the buffer given to [`Station::poll_output`].
#[derive(Debug)]
pub enum Output<R> {
    /// Send the bytes as a SIP message. `owner` is the attempt they belong to, 0 for none.
    Sip {
        /// Where to.
        flow: Flow,
        /// Number of the attempt.
        owner: u64,
    },
    /// Send the bytes as a media packet.
    Media {
        /// From which pair.
        port: PortId,
        /// From which socket of it.
        channel: Channel,
        /// Where to.
        to: SocketAddr,
    },
    /// Open a pair of media sockets and answer with [`Station::handle_port`] before anything else.
    OpenPort {
        /// Its number.
        port: PortId,
        /// Which.
        sockets: MediaSockets,
    },
    /// Packets of a stream on a shared pair come from there. A stream that cannot be told from another one gets
    /// [`Station::handle_port`] with an error.
    Expect {
        /// Which stream.
        port: PortId,
        /// Where from.
        remote: RemoteMedia,
    },
    /// Close a pair; one that others share stays open for them.
    ClosePort(PortId),
    /// Open a socket (UDP) or connection (TCP, TLS, WebSocket) towards a server and answer with [`Station::handle_link`].
    OpenLink {
        /// Its number.
        link: LinkId,
        /// Its transport.
        transport: Transport,
        /// The server.
        remote: SocketAddr,
        /// Local address; `None` takes that of the way to the server.
        local: Option<IpAddr>,
        /// Local port; 0 takes a free one.
        local_port: u16,
        /// Index of the server that the station was given, for TLS and WebSocket.
        server: u16,
    },
    /// Close a link.
    CloseLink(LinkId),
    /// Stop reading a connection, so that not even its pings are answered, or read it again.
    PauseLink {
        /// Which.
        link: LinkId,
        /// Whether it is not to be read.
        paused: bool,
    },
    /// A result.
    Report(R),
    /// Nothing more to do before the moment given, unless something arrives.
    Idle(Option<Instant>),
    /// The station has done all it was made for.
    Done,
}

/// What became of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// So far a connection has come, just before it is told to be open or lost.
    Climbed(Rungs),
    /// It is open.
    Opened(Link),
    /// It could not be opened, or it broke; the text says why.
    Lost(LinkFault, String),
}

/// How a link was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkFault {
    /// Nobody accepts packets or connections at the address.
    Refused,
    /// The address cannot be reached.
    Unreachable,
    /// The connection timed out, was reset or was closed.
    Broken,
    /// TLS was not agreed on, or the peer is not who it should be.
    Tls,
    /// The server did not upgrade to SIP over WebSocket.
    Upgrade,
    /// The peer closed the WebSocket, or the connection below it.
    WebClosed,
    /// What came over the WebSocket breaks its rules, or those of SIP over it.
    WebProtocol,
    /// The peer does not answer pings of WebSocket.
    WebSilent,
}

/// Connections of others that we closed, by the bound that they broke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dismissed {
    /// For one that came when there were too many, or too few file descriptors.
    pub crowded: u64,
    /// All of them together held too much.
    pub holding: u64,
    /// A message did not become whole in time.
    pub unfinished: u64,
    /// Nothing came for too long.
    pub idle: u64,
}

impl Dismissed {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.crowded + self.holding + self.unfinished + self.idle
    }
}

impl Sum for Dismissed {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |a, b| Self {
            crowded: a.crowded + b.crowded,
            holding: a.holding + b.holding,
            unfinished: a.unfinished + b.unfinished,
            idle: a.idle + b.idle,
        })
    }
}

impl fmt::Display for Dismissed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { crowded, holding, unfinished, idle } = self;
        write!(
            f,
            "{crowded} for others, {holding} that held too much, {unfinished} with an unfinished message, {idle} idle"
        )
    }
}

/// A machine that a worker hosts.
pub trait Station {
    /// What it reports.
    type Report;

    /// A SIP message, or what should be one, arrived, at the moment the kernel noted. Returns the attempt that it
    /// belonged to.
    fn handle_sip(&mut self, now: Instant, arrived: Instant, flow: Flow, bytes: &[u8]) -> Option<u64>;

    /// A media packet arrived. What is on its way to a path and keys of WebRTC may be put off: see [`shake`](Self::shake).
    fn handle_media(&mut self, now: Instant, packet: MediaPacket<'_>);

    /// A pair of media sockets was opened at this RTP address, or could not be; or it cannot be used any more.
    fn handle_port(&mut self, now: Instant, port: PortId, opened: Result<SocketAddr, String>);

    /// A link was opened or lost.
    fn handle_link(&mut self, now: Instant, link: LinkId, event: LinkEvent);

    /// Nobody is at an address that was sent to over a UDP link, says ICMP.
    fn handle_unreachable(&mut self, now: Instant, flow: Flow, fault: LinkFault);

    /// Takes the next step of a handshake that was put off; false where none waits. Cryptography makes one as dear as a hundred
    /// packets, so whoever hosts the station calls this when what is due has gone out, as often as it has time for, and comes
    /// back at once for the rest: the station has no clock to say what a step has cost.
    fn shake(&mut self, now: Instant) -> bool;

    /// Does what is due.
    fn handle_timeout(&mut self, now: Instant);

    /// Ends everything under way: no more attempts, every leg hung up.
    fn stop(&mut self, now: Instant);

    /// The next thing to do. Bytes of [`Output::Sip`] and [`Output::Media`] are appended to `buffer`.
    fn poll_output(&mut self, now: Instant, buffer: &mut Vec<u8>) -> Output<Self::Report>;
}
