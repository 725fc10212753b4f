//! Candidates of ICE that go and come beside descriptions, in INFO requests (RFC 8838, RFC 8840).

use crate::call::leg::{Leg, Phase, Tools};
use crate::call::observe;
use crate::record::TrickleFault;
use crate::scenario::plan::Trickle;
use crate::sip::exchange::Cause;
use crate::sip::message::Message;
use crate::sip::sdp::Sdp;
use crate::sip::sdp::crypto::Policy;
use crate::sip::sdp::peering::{Fragments, Peering};
use crate::sip::session::{Extensions, speaks_trickle};
use crate::webrtc::{Fault, Peer};

/// What a leg knows of candidates that come later.
#[derive(Debug, Default)]
pub(in crate::call) struct Trickling {
    /// What our last description said, where candidates may follow it.
    ours: Option<Described>,
    /// Those of the far end that came before their description.
    theirs: Fragments,
    /// The INVITE that we were called with says that candidates are taken in INFO requests.
    asked: bool,
}

/// What later candidates of ours are of.
#[derive(Debug)]
struct Described {
    /// The session of ICE.
    ufrag: String,
    /// Names of the lines that share a path, and of the line that has it.
    bundle: Option<String>,
    mid: String,
    /// Further candidates were still to come.
    incomplete: bool,
}

impl Leg {
    /// What the calls of a step speak, with what the target says of candidates that come later. For our offer, or an answer to the
    /// one at hand.
    pub(in crate::call) fn speaks(&self, tools: &Tools<'_>, step: Extensions) -> Extensions {
        let trickle = tools.actor.target.ice.trickle != Trickle::Off && self.wants_peer(tools);
        Extensions { trickle, ..step }
    }

    /// Whether candidates may follow the description that is due: an offer of ours where the far end is known to take them, an
    /// answer where the offer says so.
    pub(super) fn may_follow(&self, tools: &Tools<'_>, offering: bool) -> bool {
        let offered = |offer: &[u8]| Sdp::parse(offer).is_ok_and(|offer| takes_later(&offer));
        match (tools.actor.target.ice.trickle, &self.offer) {
            (Trickle::Off, _) => false,
            // An offer of ours in a 2xx: nobody has told yet that they are taken.
            (trickle, _) if offering => trickle == Trickle::Full && self.session.is_none(),
            (Trickle::Full, Some(offer)) => offered(offer),
            // Browsers write that they trickle whether their page can or not.
            (Trickle::Half, Some(offer)) => self.trickling.as_ref().is_some_and(|it| it.asked) && offered(offer),
            (_, None) => false,
        }
    }

    /// The same of another offer within the call.
    pub(super) fn may_follow_again(&self, tools: &Tools<'_>) -> bool {
        let takes = |session| tools.endpoint.takes_candidates(session);
        tools.actor.target.ice.trickle == Trickle::Full && self.session.is_some_and(takes)
    }

    /// Whether our last description was of the session of ICE at hand, and candidates may follow it.
    pub(super) fn has_described(&self, tools: &Tools<'_>) -> bool {
        self.fragment(tools).is_some()
    }

    /// A call came in: whether its caller takes candidates in INFO requests.
    pub(super) fn note_asked(&mut self, invite: &Message<'_>) {
        if speaks_trickle(invite) {
            self.trickling.get_or_insert_default().asked = true;
        }
    }

    /// Notes what a description of ours says, where candidates may follow it.
    pub(super) fn note_described(&mut self, tools: &Tools<'_>, sdp: &[u8]) {
        if tools.actor.target.ice.trickle == Trickle::Off {
            return;
        }
        let peer = self.port.and_then(|port| tools.streams.peer(port));
        let ours = peer.zip(Sdp::parse(sdp).ok()).and_then(|(peer, sdp)| {
            let line = sdp.audio().find(|media| media.trickles() && !media.is_rejected())?;
            let incomplete = !peer.ours().complete;
            let ufrag = peer.ours().ufrag.clone();
            Some(Described { ufrag, bundle: sdp.bundle.map(str::to_owned), mid: line.mid?.to_owned(), incomplete })
        });
        if ours.as_ref().is_some_and(|ours| ours.incomplete) {
            self.facts.peer.get_or_insert_default().trickled.get_or_insert(0);
        }
        if ours.is_some() || self.trickling.is_some() {
            self.trickling.get_or_insert_default().ours = ours;
        }
    }

    /// Our candidates so far, as an INFO has them; `None` where none may follow what we said last.
    fn fragment(&self, tools: &Tools<'_>) -> Option<Vec<u8>> {
        let ours = self.trickling.as_ref()?.ours.as_ref()?;
        let peer = tools.streams.peer(self.port?).map(Peer::ours).filter(|peer| peer.ufrag == ours.ufrag)?;
        let mut fragment = Vec::with_capacity(400);
        peer.write_fragment(ours.bundle.as_deref(), &ours.mid, &mut fragment);
        Some(fragment)
    }

    /// Our offer is out: its candidates are told once more where an answer asks for it.
    pub(super) fn note_offered(&self, tools: &mut Tools<'_>) {
        if let Some((session, fragment)) = self.session.zip(self.fragment(tools)) {
            tools.endpoint.offer_candidates(session, &fragment);
        }
    }

    /// More of our candidates are known, or that there are no more: the far end of a call is told.
    pub(in crate::call) fn send_candidates(&mut self, tools: &mut Tools<'_>) {
        let ended = matches!(self.phase, Phase::Closing | Phase::Cancelling | Phase::HangingUp | Phase::Done);
        if let Some((session, fragment)) = self.session.zip(self.fragment(tools)).filter(|_| !ended) {
            tools.endpoint.send_candidates(tools.now, session, &fragment);
        }
    }

    /// The call is answered: whether the far end takes what has followed our offer, or has yet to.
    pub(super) fn check_takes_candidates(&mut self, tools: &Tools<'_>) {
        let ours = self.trickling.as_ref().and_then(|trickling| trickling.ours.as_ref());
        let told = self.session.is_some_and(|session| tools.endpoint.takes_candidates(session));
        if ours.is_some_and(|ours| ours.incomplete) && !told {
            self.facts.peer.get_or_insert_default().trickle_fault.get_or_insert(TrickleFault::NotSpoken);
        }
    }

    /// What came of an INFO with our candidates.
    pub(in crate::call) fn handle_candidates_answered(
        &mut self,
        (code, cause): (u16, Cause),
        message: Option<&Message<'_>>,
    ) {
        let facts = self.facts.peer.get_or_insert_default();
        let fault = match cause {
            Cause::Response if code < 300 => return *facts.trickled.get_or_insert(0) += 1,
            Cause::Response => {
                TrickleFault::Refused { code, reason: observe::final_response(code, cause, message).reason }
            }
            Cause::Timeout | Cause::Transport => TrickleFault::NotAnswered,
        };
        facts.trickle_fault.get_or_insert(fault);
    }

    /// The far end sends candidates that its description did not have, or not yet.
    pub(in crate::call) fn handle_candidates(&mut self, tools: &mut Tools<'_>, message: Option<&Message<'_>>) {
        let Some(body) = message.map(|message| message.body()) else { return };
        let theirs = Peering::of_fragment(body);
        let taken = self.port.is_some_and(|port| tools.streams.add_candidates(tools.now, port, &theirs));
        if !taken && tools.actor.target.srtp.policy != Policy::Off {
            self.trickling.get_or_insert_default().theirs.keep(body);
        }
    }

    /// The far end's description is known: so is what the candidates that came before it are of.
    pub(super) fn add_early_candidates(&mut self, tools: &mut Tools<'_>) {
        let Some(trickling) = &mut self.trickling else { return };
        if let Some((port, theirs)) = self.port.zip(trickling.theirs.all())
            && tools.streams.add_candidates(tools.now, port, &theirs)
        {
            trickling.theirs = Fragments::default();
        }
    }

    /// There is no relay, and nothing else is wanted: nobody is rung for it.
    pub(super) fn lacks_relay(&self, tools: &Tools<'_>) -> bool {
        matches!(self.peer_fault(tools), Some(Fault::NoRelay { .. }))
    }
}

/// Whether an offer of WebRTC takes candidates later.
fn takes_later(offer: &Sdp<'_>) -> bool {
    offer.audio().any(|media| media.trickles() && media.is_dtls_rtp() && !media.is_rejected())
}
