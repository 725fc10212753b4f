//! Media of a leg: its port, the description it offers or answers with, and what is known when it ends.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::call::leg::{Leg, Tools};
use crate::call::observe;
use crate::media::{Source, audio};
use crate::scenario::plan::Step;
use crate::sip::sdp::{AudioCodec, Direction, Local, Negotiated, Order, Sdp};
use crate::station::streams::{config_of, described};

/// Payload type that telephone-event is offered with.
const TELEPHONE_EVENT: u8 = 101;

impl Leg {
    /// Asks for a pair of media sockets.
    pub(in crate::call) fn open_port(&mut self, tools: &mut Tools<'_>) {
        if self.port.is_some() {
            return;
        }
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let local = self.flow.map_or(any, |flow| tools.endpoint.local_address(flow.link).unwrap_or(any));
        let port = tools.streams.open(tools.actor.target.rtp_ports, local);
        tools.ports.insert(port, tools.me);
        self.port = Some(port);
    }

    /// Our offer. Without a port of our own it names one that nothing is sent to.
    pub(in crate::call) fn write_offer(&self, tools: &Tools<'_>, without: u16) -> Vec<u8> {
        let codecs = codecs(tools);
        let mut sdp = Vec::with_capacity(300);
        self.describe(tools, &codecs, without).write_offer(&mut sdp);
        sdp
    }

    /// Our answer to the far end's offer, and what was agreed on.
    pub(in crate::call) fn write_answer(
        &self,
        tools: &Tools<'_>,
        offer: &[u8],
    ) -> Result<(Vec<u8>, Negotiated), String> {
        let offer = Sdp::parse(offer).map_err(|error| error.to_string())?;
        let codecs = codecs(tools);
        let mut sdp = Vec::with_capacity(300);
        let agreed = self.describe(tools, &codecs, 9).answer(&offer, Order::Theirs, &mut sdp);
        agreed.map(|agreed| (sdp, agreed)).map_err(|error| error.to_string())
    }

    fn describe<'c>(&self, tools: &Tools<'_>, codecs: &'c [AudioCodec], without: u16) -> Local<'c> {
        let advertised = self.flow.and_then(|flow| tools.endpoint.local_address(flow.link));
        let ip = tools.actor.target.public_address.or(advertised).unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Local {
            rtp: SocketAddr::new(ip, self.local_rtp.map_or(without, |local| local.port())),
            codecs,
            telephone_event: Some(TELEPHONE_EVENT),
            ptime: Some(20),
            rtcp_mux: false,
            direction: Direction::SendRecv,
            session_id: tools.owner,
            version: 1,
        }
    }

    /// The far end answered our offer: media begins, or goes on where it began early.
    pub(in crate::call) fn start_media(&mut self, tools: &mut Tools<'_>, answer: &[u8]) -> Result<(), String> {
        let answer = Sdp::parse(answer).map_err(|error| error.to_string())?;
        let codecs = codecs(tools);
        let agreed = self.describe(tools, &codecs, 9).negotiated(&answer).map_err(|error| error.to_string())?;
        self.run_media(tools, &agreed);
        Ok(())
    }

    /// Begins to send and to listen as agreed. The source is that of the next talk step: until then it is silence,
    /// so that the far end (and a relay on the way) hears from us.
    pub(in crate::call) fn run_media(&mut self, tools: &mut Tools<'_>, agreed: &Negotiated) {
        let Some(port) = self.port.filter(|_| self.local_rtp.is_some()) else { return };
        let Some(rtp) = agreed.remote_rtp else { return };
        let rtcp = agreed.remote_rtcp.unwrap_or(rtp);
        let now = tools.now;
        if tools.streams.is_running(port) {
            return tools.streams.with_session(port, |session| session.set_remote(rtp, rtcp, now));
        }
        let far_end = if self.offer_was_theirs { audio::FAR_END } else { 0 };
        let marker = (tools.n as u16 & !audio::FAR_END) | far_end;
        let Some(config) = config_of(agreed, self.first_source(tools), marker, tools.clock) else { return };
        tools.streams.start(now, port, config);
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
        tools.ports.remove(&port);
        self.local_rtp = None;
        if let Some(report) = tools.streams.finish(tools.now, port) {
            let (facts, figures) = observe::media(report, self.listened, tools.reference_expected);
            self.facts.media = Some(facts);
            self.figures = figures;
        }
    }
}

fn codecs(tools: &Tools<'_>) -> Vec<AudioCodec> {
    tools.actor.target.codecs.iter().map(|codec| described(*codec)).collect()
}
