//! One side of a WebRTC call, from its candidates to the keys of SRTP.

mod later;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dtls::Dtls;
use super::fault::Fault;
use super::gather::{Path, Servers, Via};
use super::ice::Ice;
use super::identity::{Credentials, Identity};
use super::remote::{Fingerprint, Remote};
use super::server::Server;
use super::{is_dtls, is_stun};
use crate::sip::sdp::crypto::Keys;
use crate::sip::sdp::peering::{LocalPeering, Role};

/// In less time than this, nothing that is still missing says anything.
const TOO_LITTLE: Duration = Duration::from_secs(2);
/// Packets of DTLS that may wait between two turns: a flight has two or three.
const MOST_WAITING: usize = 32;

/// What a peer is told when it is made.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address of our socket.
    pub local: SocketAddr,
    /// The same address as others see it, where that is known and another one.
    pub public: Option<SocketAddr>,
    /// The offer is ours, so that we control ICE (RFC 8445 §6.1.1).
    pub offering: bool,
    /// We only answer checks.
    pub lite: bool,
    /// What we want to be in DTLS where an answer of ours has the choice. RFC 8842 §5.3 recommends the client, the
    /// default.
    pub role: Role,
    /// How long ICE, and after it DTLS, may take each, default 10 s.
    pub within: Duration,
    /// Servers that tell our addresses and relay for us, default none.
    pub servers: Vec<Server>,
    /// Nothing goes but by a relay, default false.
    pub relay_only: bool,
    /// How long those servers may take, default 3 s.
    pub gather_within: Duration,
    /// What they tell is used as it comes, and told by [`Event::Candidates`]: our description went out without it (RFC 8838).
    /// Default false: all of it is used at once, with [`Event::Gathered`].
    pub trickle: bool,
    /// Credentials of the first session of ICE.
    pub credentials: Credentials,
}

impl Config {
    /// With every default.
    pub fn new(local: SocketAddr, offering: bool, credentials: Credentials) -> Self {
        Self {
            local,
            public: None,
            offering,
            lite: false,
            role: Role::Client,
            within: Duration::from_secs(10),
            servers: Vec::new(),
            relay_only: false,
            gather_within: Duration::from_secs(3),
            trickle: false,
            credentials,
        }
    }
}

/// Where a peer is after a change of its network.
#[derive(Clone, Debug)]
pub struct Relocation {
    /// The address of our socket.
    pub local: SocketAddr,
    /// The same address as others see it, where that is known and another one.
    pub public: Option<SocketAddr>,
    /// Credentials of the session of ICE that begins there.
    pub credentials: Credentials,
    /// Servers that tell our addresses and relay for us from there.
    pub servers: Vec<Server>,
}

/// What a peer wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send the bytes that are in the buffer this way.
    Transmit(Via),
    /// Something happened.
    Event(Event),
    /// Nothing until this moment, unless a packet arrives; `None` where only a packet or a description can change that.
    Timeout(Option<Instant>),
}

/// What happened to a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// More candidates of ours are known; servers have yet to tell others.
    Candidates,
    /// Our candidates are known: what [`Peer::ours`] says is complete.
    Gathered,
    /// The path is found and the keys are agreed on.
    Connected {
        /// Where SRTP goes.
        remote: SocketAddr,
        /// Its keys.
        keys: Keys,
    },
    /// SRTP goes to another address from now on.
    Moved(SocketAddr),
    /// It will not come to keys.
    Failed(Fault),
}

/// What a packet for a peer was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handled<'a> {
    /// The peer's own.
    Taken,
    /// SRTP or SRTCP from this address, as far as its first byte tells.
    Media(SocketAddr, &'a [u8]),
    /// Nothing of this peer.
    Stray,
}

/// When a peer reached what. `None` is not reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rungs {
    /// The socket was asked for: whoever hosts the peer notes it.
    pub opened: Option<Instant>,
    /// Our candidates were known.
    pub gathered: Option<Instant>,
    /// The other side's description was known.
    pub described: Option<Instant>,
    /// The first check was sent.
    pub first_check: Option<Instant>,
    /// A pair was nominated.
    pub connected: Option<Instant>,
    /// The keys were agreed on.
    pub dtls_done: Option<Instant>,
}

/// One side of a call.
#[derive(Debug)]
pub struct Peer {
    config: Config,
    identity: Arc<Identity>,
    ice: Ice,
    servers: Servers,
    ours: LocalPeering,
    /// What we are in DTLS and what proves the other side, once its description is known.
    agreed: Option<(Role, Vec<Fingerprint>)>,
    mdns: Vec<String>,
    /// Candidates that came after a description.
    later: u8,
    dtls: Option<Box<Dtls>>,
    keys: Option<Keys>,
    now: Instant,
    /// Where the nominated pair leads.
    path: Option<Path>,
    /// When the stage at hand has taken too long.
    deadline: Option<Instant>,
    rungs: Rungs,
    fault: Option<Fault>,
    out: VecDeque<(Path, Vec<u8>)>,
    events: VecDeque<Event>,
    /// A packet that is to be wrapped.
    scratch: Vec<u8>,
    closed: bool,
}

impl Peer {
    /// A peer with its candidates, or one that gathers them first where it has servers. `seed` gives the tie-breaker of
    /// ICE and the transactions with servers.
    pub fn new(config: Config, identity: Arc<Identity>, seed: u64, now: Instant) -> Self {
        let mut ice = Ice::new(&config.credentials, config.local, (config.offering, config.lite), seed);
        if !config.relay_only {
            ice.add_host();
            config.public.into_iter().for_each(|public| ice.add_reflexive(public));
        }
        let servers = Servers::new(&config.servers, config.local, seed, now, config.gather_within);
        let gathered = (!servers.is_gathering()).then_some(now);
        let ours = LocalPeering {
            ufrag: config.credentials.ufrag.clone(),
            pwd: config.credentials.pwd.clone(),
            lite: config.lite,
            candidates: ice.candidates(),
            complete: gathered.is_some(),
            trickle: config.trickle,
            fingerprint: identity.fingerprint().to_owned(),
            role: config.role,
        };
        let mut peer = Self {
            config,
            identity,
            ice,
            servers,
            ours,
            agreed: None,
            mdns: Vec::new(),
            later: 0,
            dtls: None,
            keys: None,
            now,
            path: None,
            deadline: None,
            rungs: Rungs { gathered, ..Rungs::default() },
            fault: None,
            out: VecDeque::new(),
            events: VecDeque::new(),
            scratch: Vec::new(),
            closed: false,
        };
        if peer.config.relay_only && peer.config.servers.is_empty() {
            peer.fail(Fault::NoRelay { servers: "no server can be reached from an address of this family".to_owned() });
        }
        peer
    }

    /// What our descriptions say.
    pub fn ours(&self) -> &LocalPeering {
        &self.ours
    }

    /// How far it came, and when.
    pub fn rungs(&self) -> Rungs {
        self.rungs
    }

    /// Whether it is on its way to keys.
    pub fn is_shaking(&self) -> bool {
        self.keys.is_none() && !self.is_over()
    }

    /// Whether servers are still asked for our addresses.
    pub fn is_gathering(&self) -> bool {
        self.servers.is_gathering()
    }

    /// Where our descriptions say that we receive, where that is not our socket: the relayed address, where nothing
    /// goes but by a relay, and nowhere while that is not known (RFC 8840 §4.1.1).
    pub fn default_address(&self) -> Option<SocketAddr> {
        let nowhere = || self.servers.is_gathering().then(|| SocketAddr::from(([0; 4], 9)));
        if self.config.relay_only { self.servers.relayed().or_else(nowhere) } else { None }
    }

    /// What is wrong with STUN and TURN servers, whether that kept it from keys or not.
    pub fn server_faults(&self) -> Option<String> {
        self.servers.faults()
    }

    /// mDNS names that the other side's candidates hide behind: only its own network resolves them.
    pub fn hidden(&self) -> &[String] {
        &self.mdns
    }

    /// Whether media goes by a relay of ours, and whether by one of the other side's; `None` where it has no path.
    pub fn relays(&self) -> Option<(bool, bool)> {
        let path = self.path?;
        Some((path.by.is_some(), self.ice.is_relayed_there(path.remote)))
    }

    /// Where SRTP goes, and its keys, once they are known.
    pub fn secured(&self) -> Option<(SocketAddr, Keys)> {
        self.path.map(|path| path.remote).zip(self.keys)
    }

    /// Appends to `out` what carries a packet of SRTP or SRTCP to this address. Which way that goes.
    pub fn carry(&mut self, remote: SocketAddr, packet: &[u8], out: &mut Vec<u8>) -> Via {
        let by = self.path.and_then(|path| path.by);
        self.servers.wrap(Path { remote, by }, packet, out)
    }

    /// The last moment that it was told.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Why it will not come to keys.
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }

    /// The other side's description. The first one begins the checks, and a later one of the same session of ICE adds
    /// its candidates. Other credentials begin ICE anew (where the restart is an offer of the other side, call
    /// [`restart`](Self::restart) first), another certificate begins DTLS anew, as another fork of the call does.
    pub fn set_remote(&mut self, now: Instant, remote: &Remote) {
        if self.is_over() {
            return;
        }
        self.now = self.now.max(now);
        if self.ice.is_restarted_by(remote) {
            self.ice.restart(&self.config.credentials);
        }
        let begins = !self.ice.has_remote();
        self.mdns.clone_from(&remote.mdns);
        self.ice.set_remote(remote);
        for address in remote.addresses() {
            self.servers.permit(now, address.ip());
        }
        // RFC 8842 §5.1: the association goes on where a later description means the same one.
        let agreed = (remote.role, remote.fingerprints.clone());
        if self.agreed.as_ref().is_none_or(|known| known.1 != agreed.1) {
            self.ours.role = agreed.0;
            self.agreed = Some(agreed);
            (self.dtls, self.keys, self.path) = (None, None, None);
            (self.rungs.connected, self.rungs.dtls_done) = (None, None);
        }
        self.rungs.described.get_or_insert(now);
        if begins {
            self.deadline = Some(now + self.config.within);
        }
        self.advance_ice(now);
        // What waited for the credentials is answered, and then our own checks go out.
        self.advance_ice(now);
    }

    /// Whether a description begins ICE anew (RFC 8445 §9).
    pub fn is_restarted_by(&self, remote: &Remote) -> bool {
        self.ice.is_restarted_by(remote)
    }

    /// Begins ICE anew with these credentials. Audio goes on over the old path until the new one is found.
    pub fn restart(&mut self, credentials: Credentials) {
        self.ice.restart(&credentials);
        self.take_credentials(credentials);
    }

    /// The network has changed: our socket is another one, ICE begins anew there (RFC 8445 §2.4), and nothing is sent
    /// until it has found a path. The keys stay. What servers told was of the old socket: they are asked again from the new
    /// one, and what [`ours`](Self::ours) says is complete with the next [`Event::Gathered`], where
    /// [`is_gathering`](Self::is_gathering). `seed` gives the transactions with them.
    pub fn relocate(&mut self, now: Instant, place: Relocation, seed: u64) {
        let Relocation { local, public, credentials, servers } = place;
        self.now = self.now.max(now);
        (self.config.local, self.config.public, self.config.servers) = (local, public, servers);
        self.servers = Servers::new(&self.config.servers, local, seed, now, self.config.gather_within);
        self.ice.relocate(&credentials, local);
        if !self.config.relay_only {
            self.ice.add_host();
            public.into_iter().for_each(|public| self.ice.add_reflexive(public));
        }
        self.take_credentials(credentials);
        self.path = None;
    }

    fn take_credentials(&mut self, credentials: Credentials) {
        self.ours.ufrag.clone_from(&credentials.ufrag);
        self.ours.pwd.clone_from(&credentials.pwd);
        self.ours.candidates = self.ice.candidates();
        self.ours.complete = !self.servers.is_gathering();
        self.config.credentials = credentials;
    }

    /// Takes a packet that came to our socket.
    pub fn handle_packet<'a>(&mut self, now: Instant, from: SocketAddr, packet: &'a [u8]) -> Handled<'a> {
        if self.closed {
            // Servers say what they make of the end; whatever else comes now is too late.
            self.now = self.now.max(now);
            let taken = matches!(self.servers.receive(now, from, packet), Some(None));
            return if taken { Handled::Taken } else { Handled::Stray };
        }
        if !self.is_over() {
            self.now = self.now.max(now);
            match self.servers.receive(now, from, packet) {
                None => {}
                Some(None) => {
                    self.settle(now);
                    return Handled::Taken;
                }
                Some(Some((path, data))) => return self.take(now, path, data),
            }
        }
        self.take(now, Path { remote: from, by: None }, packet)
    }

    /// Takes bytes of the connection to the server of this number, and gives SRTP and SRTCP in them to `media`.
    pub fn handle_bytes(&mut self, now: Instant, by: usize, bytes: &[u8], mut media: impl FnMut(SocketAddr, &[u8])) {
        if self.is_over() {
            return;
        }
        self.now = self.now.max(now);
        for (path, data) in self.servers.receive_bytes(now, by, bytes) {
            if let Handled::Media(from, packet) = self.take(now, path, &data) {
                media(from, packet);
            }
        }
        self.settle(now);
    }

    /// The connection to the server of this number is open, or lost, and why.
    pub fn handle_connection(&mut self, now: Instant, by: usize, opened: Result<(), String>) {
        if !self.is_over() {
            self.now = self.now.max(now);
            self.servers.handle_connection(now, by, opened);
            self.settle(now);
        }
    }

    fn take<'a>(&mut self, now: Instant, path: Path, packet: &'a [u8]) -> Handled<'a> {
        let (stun, dtls) = (is_stun(packet), is_dtls(packet));
        let taken = match (stun, dtls) {
            (false, false) => return Handled::Media(path.remote, packet),
            _ if self.is_over() => false,
            (true, _) => {
                let relayed = self.servers.address_of(path.by);
                let taken = self.ice.handle_packet(now, path.remote, relayed, packet);
                self.note_ice(now);
                taken
            }
            (_, true) => self.receive_dtls(now, path, packet),
        };
        if taken { Handled::Taken } else { Handled::Stray }
    }

    /// The moment of the last [`Output::Timeout`] has come, or a later one.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_over() {
            if self.closed {
                self.servers.handle_timeout(now);
            }
            return;
        }
        self.now = self.now.max(now);
        self.servers.handle_timeout(now);
        self.settle(now);
        if self.is_over() {
            return;
        }
        if self.ice.due().is_some_and(|due| due <= now) {
            self.advance_ice(now);
        }
        if let Some(dtls) = self.dtls.as_mut().filter(|dtls| dtls.due().is_some_and(|due| due <= now)) {
            let outcome = dtls.handle_timeout(now);
            self.drain_dtls(now, outcome, None);
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let fault = self.late();
            self.fail(fault);
        }
    }

    /// The next packet (its bytes in `buf`, whose former content is dropped), event or deadline.
    pub fn poll_output(&mut self, buf: &mut Vec<u8>) -> Output {
        if let Some(event) = self.events.pop_front() {
            return Output::Event(event);
        }
        buf.clear();
        // A permission goes out before what it permits, and the end of an allocation after all that goes by it.
        if !self.closed
            && let Some(via) = self.servers.poll_transmit(buf)
        {
            return Output::Transmit(via);
        }
        if let Some((source, remote)) = self.ice.poll_transmit(&mut self.scratch) {
            let by = self.servers.relay_of(source);
            let via = self.servers.wrap(Path { remote, by }, &self.scratch, buf);
            self.scratch.clear();
            return Output::Transmit(via);
        }
        if let Some((path, packet)) = self.out.pop_front() {
            return Output::Transmit(self.servers.wrap(path, &packet, buf));
        }
        if let Some(via) = self.servers.poll_transmit(buf) {
            return Output::Transmit(via);
        }
        if self.is_over() {
            return Output::Timeout(self.servers.due().filter(|_| self.closed));
        }
        let dtls = self.dtls.as_ref().and_then(|dtls| dtls.due());
        Output::Timeout([self.ice.due(), dtls, self.deadline, self.servers.due()].into_iter().flatten().min())
    }

    /// Ends it: the other side is told that nothing more will come, and servers get their relayed addresses back. Until they
    /// [have](Self::is_released), or were asked often enough, it is to be hosted on.
    pub fn close(&mut self, now: Instant) {
        self.now = self.now.max(now);
        if let Some(mut dtls) = self.dtls.take() {
            dtls.close();
            let (out, path) = (&mut self.out, self.path);
            let _ = dtls.drain(|packet| out.extend(path.map(|path| (path, packet.to_vec()))));
        }
        self.servers.release(self.now);
        self.closed = true;
    }

    /// Whether it was closed and all is said.
    pub fn is_released(&self) -> bool {
        self.closed && self.out.is_empty() && self.servers.are_released()
    }

    fn is_over(&self) -> bool {
        self.closed || self.fault.is_some()
    }

    /// Ends gathering when its time has come.
    fn settle(&mut self, now: Instant) {
        let gathering = self.servers.is_gathering();
        let ended = self.servers.settle(now);
        if ended || gathering && self.config.trickle {
            self.add_candidates_of_servers(now, ended);
        }
        if !ended {
            return;
        }
        // Once there are keys, a call that goes on without a path says so by its silence.
        if self.config.relay_only && self.servers.relayed().is_none() && self.rungs.dtls_done.is_none() {
            let servers = self.servers.faults().unwrap_or_else(|| "no TURN server is named".to_owned());
            return self.fail(Fault::NoRelay { servers });
        }
        self.rungs.gathered.get_or_insert(now);
        self.events.push_back(Event::Gathered);
    }

    fn add_candidates_of_servers(&mut self, now: Instant, all: bool) {
        self.servers.add_candidates(now, &mut self.ice, self.config.relay_only);
        let before = self.ours.candidates.len();
        for candidate in self.ice.told_candidates() {
            if !self.ours.candidates.contains(&candidate) {
                self.ours.candidates.push(candidate);
            }
        }
        self.ours.complete = all;
        let found = self.ours.candidates.len() > before;
        if found && !all {
            self.events.push_back(Event::Candidates);
        }
        // What the other side has said waits for nothing else.
        if self.ice.has_remote() && (found || all) {
            if self.path.is_none() && self.rungs.dtls_done.is_none() {
                self.deadline = Some(now + self.config.within);
            }
            self.advance_ice(now);
        }
    }

    fn advance_ice(&mut self, now: Instant) {
        self.ice.handle_timeout(now);
        self.note_ice(now);
    }

    fn note_ice(&mut self, now: Instant) {
        if self.rungs.first_check.is_none() && self.ice.checks().sent > 0 {
            self.rungs.first_check = Some(now);
        }
        let Some((source, remote)) = self.ice.poll_nominated() else { return };
        let path = Path { remote, by: self.servers.relay_of(source) };
        self.servers.bind(now, path);
        let before = self.path.replace(path);
        if before == Some(path) {
            return;
        }
        self.rungs.connected.get_or_insert(now);
        if self.rungs.dtls_done.is_some() {
            self.deadline = None;
            return self.events.push_back(Event::Moved(remote));
        }
        if before.is_none() {
            self.deadline = Some(now + self.config.within);
            self.begin_dtls(now);
        }
    }

    /// The client begins when there is a way; the server has waited since it knew whom to believe.
    fn begin_dtls(&mut self, now: Instant) {
        self.open_dtls(now);
        if let Some(dtls) = &mut self.dtls {
            let outcome = dtls.handle_timeout(now);
            self.drain_dtls(now, outcome, None);
        }
    }

    fn open_dtls(&mut self, now: Instant) {
        if let (None, Some((role, fingerprints))) = (&self.dtls, &self.agreed) {
            self.dtls = Some(Box::new(Dtls::new(&self.identity, *role, fingerprints.clone(), now)));
        }
    }

    fn receive_dtls(&mut self, now: Instant, from: Path, packet: &[u8]) -> bool {
        if !(self.path == Some(from) || self.ice.knows(from.remote)) {
            return false;
        }
        self.open_dtls(now);
        let Some(dtls) = &mut self.dtls else { return false };
        let outcome = dtls.handle_packet(now, packet);
        self.drain_dtls(now, outcome, Some(from));
        true
    }

    /// Sends what DTLS has to send, to the nominated pair or, before there is one, to where it came `from`.
    fn drain_dtls(&mut self, now: Instant, outcome: Result<(), Fault>, from: Option<Path>) {
        let (Some(dtls), Some(to)) = (&mut self.dtls, self.path.or(from)) else { return };
        let out = &mut self.out;
        let drained = dtls.drain(|packet| {
            if out.len() < MOST_WAITING {
                out.push_back((to, packet.to_vec()));
            }
        });
        match outcome.and(drained) {
            Ok(None) => {}
            Ok(Some(keys)) => {
                self.rungs.connected.get_or_insert(now);
                self.rungs.dtls_done = Some(now);
                (self.deadline, self.path, self.keys) = (None, Some(to), Some(keys));
                self.events.push_back(Event::Connected { remote: to.remote, keys });
            }
            // What goes wrong after the keys are there does not take them back.
            Err(_) if self.rungs.dtls_done.is_some() => self.dtls = None,
            Err(fault) => self.fail(fault),
        }
    }

    /// Why it has not come to keys by now: its fault, or what it still waited for after a description that came two
    /// seconds ago or longer. `None` where it has, or had too little time.
    pub fn shortfall(&self, now: Instant) -> Option<Fault> {
        let waited = || self.rungs.described.map(|described| now.saturating_duration_since(described));
        let undone = || self.keys.is_none() && waited() >= Some(TOO_LITTLE);
        self.fault.clone().or_else(|| undone().then(|| self.late()))
    }

    /// What the stage at hand did not come to in time.
    fn late(&self) -> Fault {
        if self.path.is_some() {
            let heard = self.dtls.as_ref().is_some_and(|dtls| dtls.heard);
            return if heard { Fault::DtlsTimeout } else { Fault::DtlsSilent };
        }
        let checks = self.ice.checks();
        match (checks.sent, checks.answered + checks.received) {
            (0, 0) => Fault::NoCandidate { mdns: self.mdns.clone() },
            (checks, 0) => Fault::Blocked { checks },
            _ => Fault::NoPair { checks: checks.sent, answered: checks.answered, received: checks.received },
        }
    }

    fn fail(&mut self, fault: Fault) {
        self.deadline = None;
        // A new path was looked for and not found: the old one stays.
        if self.fault.is_some() || self.rungs.dtls_done.is_some() {
            return;
        }
        self.dtls = None;
        self.events.push_back(Event::Failed(fault.clone()));
        self.fault = Some(fault);
    }
}
