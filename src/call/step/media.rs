//! Media of a leg: its port, the description it offers or answers with, and what is known when it ends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::call::hops::Hops;
use crate::call::leg::{Leg, Phase, Tools};
use crate::call::links::Links;
use crate::call::observe;
use crate::media::{Config, Source, audio};
use crate::record::{LocalFailure, MediaFigures};
use crate::scenario::plan::{Ice, Step, Trickle};
use crate::sip::sdp::crypto::{KeySource, Policy, Protection, Suite};
use crate::sip::sdp::{AnswerError, AudioCodec, Local, Negotiated, Order, Sdp};
use crate::station::MediaSockets;
use crate::station::streams::{RelayLink, config_of, described};
use crate::webrtc::{self, Credentials, Fault, Peer, Rung, Rungs};

impl Leg {
    /// Asks for a pair of media sockets.
    pub(in crate::call) fn open_port(&mut self, tools: &mut Tools<'_>) {
        if self.port.is_some() {
            return;
        }
        if tools.actor.target.srtp.policy != Policy::Off {
            self.facts.peer.get_or_insert_default().rungs.opened = Some(tools.now);
        }
        self.dtmf = None;
        // ICE needs a socket that nobody else has.
        let shared = tools.actor.target.shared_media && !self.wants_peer(tools);
        let sockets = MediaSockets { shared, ..self.own_sockets(tools) };
        self.port = Some(tools.streams.open(tools.me, sockets));
    }

    /// A pair of media sockets for one stream of this leg alone.
    pub(super) fn own_sockets(&self, tools: &Tools<'_>) -> MediaSockets {
        let local = self.flow.and_then(|flow| tools.endpoint.local_address(flow.link));
        let local = local.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        MediaSockets { range: tools.actor.target.rtp_ports, local, shared: false }
    }

    /// Our offer. Without a port of our own it names one that nothing is sent to.
    pub(in crate::call) fn write_offer(&mut self, tools: &mut Tools<'_>, without: u16) -> Vec<u8> {
        self.make_keys(tools, &tools.actor.target.srtp.offers);
        if tools.actor.target.srtp.policy == Policy::Dtls {
            self.prepare_peer(tools, true);
        }
        let (codecs, mut sdp) = self.begin_description(tools);
        self.describe(tools, &codecs, (without, true)).write_offer(&mut sdp);
        self.note_described(tools, &sdp);
        sdp
    }

    /// Our answer to the far end's offer, and what was agreed on.
    pub(in crate::call) fn write_answer(
        &mut self,
        tools: &mut Tools<'_>,
        offer: &[u8],
    ) -> Result<(Vec<u8>, Negotiated), String> {
        let offer = Sdp::parse(offer).map_err(|error| error.to_string())?;
        self.expect_video(tools, &offer);
        if offer.has_crypto() {
            self.make_keys(tools, &tools.actor.target.srtp.accepts);
        }
        if offer.has_dtls() && tools.actor.target.srtp.policy != Policy::Off {
            self.prepare_peer(tools, false);
            if let Some(port) = self.port {
                let key_source = &mut *tools.key_source;
                tools.streams.follow_restart(port, &offer, || credentials(key_source));
            }
        }
        let (codecs, mut sdp) = self.begin_description(tools);
        let agreed = self.describe(tools, &codecs, (9, false)).answer(&offer, Order::Theirs, &mut sdp);
        let agreed = agreed.map_err(|error| error.to_string())?;
        if let Some(port) = self.port {
            tools.streams.connect(tools.now, port, &offer, &agreed);
        }
        self.note_described(tools, &sdp);
        self.add_early_candidates(tools);
        Ok((sdp, agreed))
    }

    /// Whether our answer, or our offer in a response, will speak of WebRTC.
    pub(in crate::call) fn wants_peer(&self, tools: &Tools<'_>) -> bool {
        let policy = tools.actor.target.srtp.policy;
        match &self.offer {
            None => policy == Policy::Dtls,
            Some(offer) => policy != Policy::Off && Sdp::parse(offer).is_ok_and(|offer| offer.has_dtls()),
        }
    }

    /// Asks the servers of ICE for our addresses. True where they are still to be waited for: what they tell may not follow later.
    pub(in crate::call) fn gather(&mut self, tools: &mut Tools<'_>, offering: bool) -> bool {
        let Some(port) = self.port.filter(|_| !tools.actor.target.ice.servers.is_empty()) else { return false };
        self.prepare_peer(tools, offering);
        let waits = |peer: &Peer| peer.is_gathering() && !self.may_follow(tools, offering);
        let gathering = tools.streams.peer(port).is_some_and(|peer| waits(peer) || peer.fault().is_some());
        if gathering {
            (self.phase, self.deadline) = (Phase::Gathering, None);
        }
        gathering
    }

    /// Our addresses are known: the offer or the answer goes out, or what it did not have.
    pub(in crate::call) fn handle_gathered(&mut self, tools: &mut Tools<'_>) {
        match self.phase {
            Phase::Gathering if self.session.is_some() => self.accept(tools),
            Phase::Gathering => self.handle_port_for_call(tools),
            Phase::Recovering if !self.has_described(tools) => self.recover_gathered(tools),
            _ => self.send_candidates(tools),
        }
    }

    /// Why the path or the keys of media will not come.
    pub(in crate::call) fn peer_fault(&self, tools: &Tools<'_>) -> Option<Fault> {
        let of_peer = || tools.streams.peer(self.port?)?.fault().cloned();
        self.facts.peer.as_ref().and_then(|peer| peer.fault.clone()).or_else(of_peer)
    }

    /// The path or the keys of media will not come: the call ends here and now, as no audio can.
    pub(in crate::call) fn handle_peer_failed(&mut self, tools: &mut Tools<'_>) {
        match self.phase {
            Phase::Gathering if self.session.is_some() => self.refuse_call(tools, 500),
            Phase::Gathering => self.wind_down(tools),
            _ if self.up => {
                self.stop_listening(tools);
                self.wind_down(tools);
            }
            Phase::Dialling if self.lacks_relay(tools) => self.give_up(tools),
            // Early media; the answer may bring another path.
            _ => {}
        }
    }

    /// The Reason of our BYE, where media is the reason.
    pub(in crate::call) fn farewell(&self, tools: &Tools<'_>) -> Option<&'static str> {
        self.peer_fault(tools).map(|fault| match fault.rung() {
            Rung::DtlsDone => "SIP;cause=488;text=\"DTLS failed\"",
            _ => "SIP;cause=408;text=\"ICE failed\"",
        })
    }

    /// A port could not be opened, or the far end gave its address to another call as well.
    pub(in crate::call) fn miss_port(&mut self, tools: &mut Tools<'_>, error: String) {
        self.facts.local_failure = Some(Box::new(LocalFailure::NoMediaPort(error)));
        match self.phase {
            Phase::OpeningAnswerPort => self.refuse_call(tools, 500),
            Phase::Dialling => self.give_up(tools),
            // What is on its way ends the leg; RFC 3261 §15 has a called side wait for the ACK.
            Phase::AwaitingAck
            | Phase::Cancelling
            | Phase::HangingUp
            | Phase::Closing
            | Phase::Unregistering
            | Phase::Done => {}
            _ => {
                self.stop_listening(tools);
                self.wind_down(tools);
            }
        }
    }

    /// Our lines on ICE and DTLS for the descriptions of this leg.
    fn prepare_peer(&mut self, tools: &mut Tools<'_>, offering: bool) {
        let public = self.flow.and_then(|flow| tools.endpoint.public_address(flow.link));
        let Tools { key_source, hops, links, .. } = tools;
        let ice = &tools.actor.target.ice;
        if let Some((port, local)) = self.port.zip(self.local_rtp.as_deref().copied()) {
            tools.streams.prepare(tools.now, port, || {
                let (servers, connections) = ice_servers(ice, local, hops, links);
                let config = webrtc::Config {
                    public: public.map(|ip| SocketAddr::new(ip, local.port())),
                    servers,
                    relay_only: ice.relay_only,
                    gather_within: ice.within,
                    trickle: ice.trickle != Trickle::Off,
                    ..webrtc::Config::new(local, offering, credentials(key_source))
                };
                (config, connections)
            });
        } else if self.peering.is_none() {
            self.peering = tools.streams.without_socket(credentials(key_source)).map(Box::new);
        }
    }

    /// What the next description is written from and to.
    fn begin_description(&mut self, tools: &Tools<'_>) -> (Vec<AudioCodec>, Vec<u8>) {
        // RFC 3264 §8: a description that may differ from the one before has the next version.
        self.descriptions += 1;
        (codecs(tools), Vec::with_capacity(300))
    }

    fn make_keys(&mut self, tools: &mut Tools<'_>, suites: &[Suite]) {
        if matches!(tools.actor.target.srtp.policy, Policy::Off | Policy::Dtls) {
            return;
        }
        if self.keys.is_empty() {
            self.keys = suites.iter().map(|suite| tools.key_source.next(*suite)).collect();
        }
        self.make_video_keys(tools, suites);
    }

    /// Our side. Without a port of our own it names `without`; video that is gone is not offered again.
    fn describe<'c>(
        &'c self,
        tools: &'c Tools<'_>,
        codecs: &'c [AudioCodec],
        (without, offering): (u16, bool),
    ) -> Local<'c> {
        let known = self.flow.and_then(|flow| tools.endpoint.public_address(flow.link));
        let ip = known.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let port = self.local_rtp.as_ref().map_or(without, |local| local.port());
        let peer = self.port.and_then(|port| tools.streams.peer(port));
        let peering = peer.map(Peer::ours).or(self.peering.as_deref());
        let default = peer.and_then(Peer::default_address).unwrap_or_else(|| SocketAddr::new(ip, port));
        let protection = Protection { policy: tools.actor.target.srtp.policy, keys: &self.keys, peering };
        let shared = peering.is_some();
        let video = self.video.as_ref().map(|video| video.described(default, (shared, offering), self.direction));
        let local = Local::new(default, codecs, tools.owner);
        let ssrc = self.port.and_then(|port| tools.streams.source(port));
        Local { video, protection, ssrc, direction: self.direction, version: self.descriptions, ..local }
    }

    /// The far end answered our offer: media begins, or goes on where it began early.
    pub(in crate::call) fn start_media(&mut self, tools: &mut Tools<'_>, answer: &[u8]) -> Result<(), String> {
        let answer = Sdp::parse(answer).map_err(|error| error.to_string())?;
        let codecs = codecs(tools);
        let agreed = self.describe(tools, &codecs, (9, false)).negotiated(&answer);
        let agreed = agreed.map_err(|error| {
            self.note_lack(&error);
            error.to_string()
        })?;
        if let Some(port) = self.port {
            tools.streams.connect(tools.now, port, &answer, &agreed);
        }
        self.add_early_candidates(tools);
        self.run_media(tools, &agreed);
        Ok(())
    }

    /// An answer that lacks ICE or a fingerprint leaves media without a path or without keys.
    fn note_lack(&mut self, error: &AnswerError) {
        let fault = match error {
            AnswerError::NoIce => Fault::NoIce,
            AnswerError::NoFingerprint => Fault::NoFingerprint,
            _ => return,
        };
        self.facts.peer.get_or_insert_default().fault = Some(fault);
    }

    /// Begins to send and to listen as agreed. The source is that of the next talk step: until then it is silence,
    /// so that the far end (and a relay on the way) hears from us.
    pub(in crate::call) fn run_media(&mut self, tools: &mut Tools<'_>, agreed: &Negotiated) {
        self.run_audio(tools, agreed);
        self.run_video(tools, agreed.video.as_ref());
    }

    fn run_audio(&mut self, tools: &mut Tools<'_>, agreed: &Negotiated) {
        let Some(port) = self.port.filter(|_| self.local_rtp.is_some()) else { return };
        let far_end = if self.offer_was_theirs { audio::FAR_END } else { 0 };
        let marker = (tools.n as u16 & !audio::FAR_END) | far_end;
        if agreed.remote_rtp.is_none() && agreed.dtls.is_none() {
            // On hold at address 0.0.0.0: nothing can be sent, and the old address stays for later. Of WebRTC that is no address
            // at all (RFC 8839 §4.3.2): ICE finds it.
            let (now, direction) = (tools.now, agreed.direction);
            return tools.streams.with_session(port, |stream| stream.set_direction(direction, now));
        }
        let Some(config) = config_of(agreed, self.first_source(tools), marker, tools.clock) else { return };
        let config = Config { listen: tools.plan.listen, ..config };
        tools.streams.run(tools.now, port, config);
    }

    fn first_source(&self, tools: &Tools<'_>) -> Source {
        match tools.actor.steps.get(self.step + 1) {
            Some(Step::Talk(talk)) => talk.send,
            Some(Step::HoldOpen) => Source::Speech,
            _ => Source::Silence,
        }
    }

    /// Ends media and takes what is known of it.
    pub(in crate::call) fn finish_media(&mut self, tools: &mut Tools<'_>) {
        let Some(port) = self.port.take() else { return };
        self.local_rtp = None;
        if let Some(peer) = tools.streams.peer(port) {
            let facts = self.facts.peer.get_or_insert_default();
            facts.rungs = Rungs { opened: facts.rungs.opened, ..peer.rungs() };
            facts.fault = facts.fault.take().or_else(|| peer.shortfall(tools.now));
            (facts.relays, facts.servers) = (peer.relays(), peer.server_faults());
            facts.hidden = peer.hidden().to_vec();
        }
        // Its goodbye goes out before the path is given up.
        let video = self.finish_video(tools);
        if let Some(report) = tools.streams.finish(tools.now, port) {
            let hidden = tools.plan.hides_keys();
            let (facts, figures) = observe::media(report, self.listened, tools.reference_expected);
            self.facts.media = Some(Box::new(facts));
            self.figures = Some(Box::new(MediaFigures { video, keys_hidden: hidden, ..figures }));
        }
    }
}

/// The servers of ICE as a peer at this address uses them, and the connections to them. One that has no place of the
/// address's family is left out.
pub(super) fn ice_servers(
    ice: &Ice,
    local: SocketAddr,
    hops: &Hops,
    links: &mut Links,
) -> (Vec<webrtc::Server>, Vec<RelayLink>) {
    let (mut servers, mut connections) = (Vec::new(), Vec::new());
    for server in &ice.servers {
        let Some(number) = hops.number_of(&server.server) else { continue };
        let Some(hop) = hops.first(number, local.is_ipv4()) else { continue };
        let reliable = hop.transport.is_reliable();
        if reliable {
            let (link, transport, remote) = (links.other(), hop.transport, hop.address);
            connections.push(RelayLink { by: servers.len(), link, transport, remote, server: number as u16 });
        }
        let login = server.login.clone().map(|(username, password)| webrtc::Login { username, password });
        servers.push(webrtc::Server { name: server.uri.clone(), address: hop.address, reliable, login });
    }
    (servers, connections)
}

/// Credentials of a session of ICE, as hard to guess as keys.
pub(super) fn credentials(key_source: &mut KeySource) -> Credentials {
    Credentials::of(&key_source.next(Suite::AesCm128Sha1_80))
}

fn codecs(tools: &Tools<'_>) -> Vec<AudioCodec> {
    let target = &tools.actor.target;
    target.codecs.iter().map(|codec| described(*codec, target.opus)).collect()
}
