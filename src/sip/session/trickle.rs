//! Candidates of ICE that follow a description of ours, in INFO requests (RFC 8838; RFC 8840 §4.3, §4.4; RFC 6086).
//!
//! Each request has all candidates so far, so the newest one is all that has to be kept until it can go: until there is a
//! dialog, early or not, whose far end takes them, and no request of the same kind is under way there.

use std::hash::BuildHasher;

use rustc_hash::FxBuildHasher;

use super::reliable::{requires, supports};
use super::{Purpose, Session, State};
use crate::sip::endpoint::Event;
use crate::sip::exchange::Cause;
use crate::sip::header;
use crate::sip::message::Message;
use crate::sip::outbox::Context;
use crate::sip::sdp::{Media, Sdp};

/// Option tag and INFO package (RFC 8840 §10).
pub(in crate::sip) const TRICKLE_ICE: &str = "trickle-ice";

/// Candidates that the far end is to be told.
#[derive(Debug, Default)]
pub(super) struct Trickle {
    /// All so far, as a body of the type [`FRAGMENT`](crate::sip::sdp::peering::FRAGMENT).
    fragment: Box<[u8]>,
    /// How many such bodies there were.
    version: u32,
    /// Which of them says what our offer says; 0 for none.
    offered: u32,
    /// What the far end of the call was told.
    told: Told,
}

/// What the far end of a dialog was told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// It says that it takes candidates so.
    takes: bool,
    /// Which body it knows.
    version: u32,
    /// It was sent one in a request of its own.
    sent: bool,
    under_way: bool,
    /// It did not take one.
    refused: bool,
}

impl Told {
    fn lacks(&self, version: u32) -> bool {
        self.takes && !self.under_way && !self.refused && self.version < version
    }

    fn send(&mut self, version: u32) {
        (self.version, self.sent, self.under_way) = (version, true, true);
    }
}

impl Session {
    /// The candidates of our offer, as a body of the type [`FRAGMENT`](crate::sip::sdp::peering::FRAGMENT). Others may follow.
    pub fn offer_candidates(&mut self, fragment: &[u8]) {
        let (version, told) = (1, Told { version: 1, ..Told::default() });
        self.trickle = Some(Box::new(Trickle { fragment: fragment.into(), version, offered: version, told }));
    }

    /// Tells the far end all candidates so far, as soon as that can be; where we were called, its offer has to say that it takes
    /// them.
    pub fn send_candidates(&mut self, context: &mut Context<'_>, fragment: &[u8]) {
        let called = !self.caller;
        let trickle = self.trickle.get_or_insert_default();
        trickle.told.takes |= called;
        trickle.fragment = fragment.into();
        trickle.version += 1;
        self.send_fragments(context);
    }

    /// Whether what we answer says from now on that we take candidates in INFO requests, to who does so too.
    pub fn speak_trickle(&mut self, speaks: bool) {
        self.extensions.trickle = speaks;
    }

    /// Whether the far end says that it takes candidates in INFO requests, and has refused none: that of the call, or of any of its
    /// early dialogs.
    pub fn takes_candidates(&self) -> bool {
        let takes = |told: &Told| told.takes && !told.refused;
        let early = self.early.iter().any(|early| takes(&early.told));
        self.trickle.as_ref().is_some_and(|trickle| takes(&trickle.told) || early)
    }

    /// A provisional response made or confirmed an early dialog.
    pub(super) fn note_early(&mut self, context: &mut Context<'_>, response: &Message<'_>) {
        let Some(offered) = self.trickle.as_ref().map(|trickle| trickle.offered) else { return };
        let (takes, answers) = (takes_candidates(response), response.sdp().is_some());
        let unconfirmed = answers && !requires(response, "100rel");
        let Some(early) = self.early_dialog(response) else { return };
        if !early.told.takes {
            early.told.version = offered;
        }
        early.told.takes = takes.unwrap_or(early.told.takes);
        // RFC 8840 §4.3: the offer's candidates once more show that an answer which nothing else confirms has come.
        if unconfirmed && !early.told.sent {
            early.told.version = 0;
        }
        self.send_fragments(context);
    }

    /// The call goes on with the fork that sent this 2xx; `early` is what that was told before.
    pub(super) fn choose_told(&mut self, early: Option<Told>, response: &Message<'_>) {
        if let Some(trickle) = &mut self.trickle {
            let unsent = Told { version: trickle.offered, ..Told::default() };
            trickle.told = match early {
                Some(early) if early.sent => early,
                Some(Told { takes, .. }) => Told { takes, ..unsent },
                None => unsent,
            };
            trickle.told.takes = takes_candidates(response).unwrap_or(trickle.told.takes);
        }
    }

    /// Our requests are lost with the link that they went over.
    pub(super) fn forget_fragments(&mut self) {
        if let Some(trickle) = &mut self.trickle {
            trickle.told.under_way = false;
        }
    }

    /// Sends what dialogs lack.
    pub(super) fn send_fragments(&mut self, context: &mut Context<'_>) {
        let Some(trickle) = self.trickle.as_ref().filter(|trickle| !trickle.fragment.is_empty()) else { return };
        let (version, state) = (trickle.version, self.state);
        match state {
            State::Up if trickle.told.lacks(version) && self.send_fragment(context) => {
                self.with_told(None, |told| told.send(version));
            }
            State::Calling => {
                for place in 0..self.early.len() {
                    if self.early[place].told.lacks(version)
                        && self.in_early(place, |session| session.send_fragment(context))
                    {
                        self.early[place].told.send(version);
                    }
                }
            }
            _ => {}
        }
    }

    fn send_fragment(&mut self, context: &mut Context<'_>) -> bool {
        let Some(trickle) = &self.trickle else { return false };
        let (body, to) = (trickle.fragment.clone(), fork_of(self.dialog.remote_tag()));
        let headers = [("Info-Package", TRICKLE_ICE), ("Content-Disposition", "Info-Package")];
        self.send_request(context, Purpose::Candidates(to), &headers, &body)
    }

    /// An INFO with candidates has its final response, or will have none. What is not taken is not sent again: checks may find the
    /// way all the same.
    pub(super) fn conclude_fragment(&mut self, context: &mut Context<'_>, to: u64, code: u16, cause: Cause) {
        let refused = cause != Cause::Response || code >= 300;
        self.with_told(Some(to), |told| (told.under_way, told.refused) = (false, refused));
        context.tell(Event::CandidatesAnswered { session: context.handle, code, cause });
        self.send_fragments(context);
    }

    fn with_told(&mut self, to: Option<u64>, act: impl FnOnce(&mut Told)) {
        let early = self.early.iter_mut().find(|early| Some(fork_of(Some(&early.tag))) == to);
        match (early, &mut self.trickle) {
            (Some(early), _) => act(&mut early.told),
            (None, Some(trickle)) => act(&mut trickle.told),
            (None, None) => {}
        }
    }
}

/// Which dialog of a call has this tag.
pub(super) fn fork_of(tag: Option<&[u8]>) -> u64 {
    FxBuildHasher.hash_one(tag.unwrap_or(b""))
}

/// Whether a response says that its sender takes candidates in INFO requests, or that it does not; `None` where it leaves that
/// open. A description decides (RFC 8838 §3): who relays media for a far end that takes them may have an ICE of its own that does
/// not, and some write nothing else. Without one the INFO package does, as RFC 6086 §4.2.1 demands it, or the option tag.
fn takes_candidates(response: &Message<'_>) -> Option<bool> {
    let trickles = |media: &Media<'_>| media.peering.as_ref().is_some_and(|peering| peering.trickle);
    let described = response.sdp().and_then(|sdp| Sdp::parse(sdp).ok());
    described.map(|sdp| sdp.audio().any(trickles)).or_else(|| speaks(response).then_some(true))
}

/// Whether a message says by its header fields that its sender takes candidates in INFO requests.
pub fn speaks(message: &Message<'_>) -> bool {
    let mut packages = message.header_by_name("Recv-Info").into_iter().flat_map(header::split_list);
    let package = |value: &[u8]| header::split(value, b';').next().unwrap_or(b"").trim_ascii().to_vec();
    supports(message, TRICKLE_ICE) || packages.any(|value| package(value).eq_ignore_ascii_case(TRICKLE_ICE.as_bytes()))
}

/// Tags of Supported, with that of trickle ICE where it is spoken.
pub(super) fn supported(reliable: bool, trickle: bool) -> &'static str {
    match (reliable, trickle) {
        (true, false) => "100rel, timer",
        (true, true) => "100rel, timer, trickle-ice",
        (false, false) => "timer",
        (false, true) => "timer, trickle-ice",
    }
}
