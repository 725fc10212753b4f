//! Answers: ours to an offer, and theirs to ours.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Direction;
use super::crypto::{Crypto, CryptoError, Keys, Policy};
use super::description::{Connection, Format, Media, Sdp};
use super::local::{Attributes, AudioCodec, Local, Mapped, Order, write_rejected};
use super::peering::{LocalPeering, Peering, Role};
use super::video::{NegotiatedVideo, TakenVideo};

/// What both sides agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The codec, with the payload type that we receive it with.
    pub codec: AudioCodec,
    /// The payload type that we send it with. RFC 3264 §5.1 lets each side choose its own.
    pub payload_type: u8,
    /// Others that audio may come with: codecs of our offer that the answer has as well (RFC 3264 §6.1), by our numbers.
    pub others: PayloadTypes,
    /// Where RTP is sent; `None` while the other side is on hold at address 0.0.0.0.
    pub remote_rtp: Option<SocketAddr>,
    /// Where RTCP is sent: the RTP address when multiplexed, else that of `a=rtcp`, else the port above.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share the port.
    pub rtcp_mux: bool,
    /// The source that the other side sends with (`a=ssrc`); `None` where it names none, or several.
    pub remote_ssrc: Option<u32>,
    /// What we do.
    pub direction: Direction,
    /// Packet time that the other side wants to receive, ms; `None` where it did not say.
    pub ptime: Option<u16>,
    /// How we send telephone-event; `None` where it was not agreed on.
    pub event: Option<EventFormat>,
    /// Payload types that telephone-event may come with: those of the other side, and those of our offer.
    pub events: PayloadTypes,
    /// Keys of SRTP; `None` where audio goes in the clear, or where they come from DTLS.
    pub srtp: Option<Keys>,
    /// Keys come from DTLS, over a path that ICE finds: what we are in it.
    pub dtls: Option<Role>,
    /// Which media line of the other side's description it is, from 0: that line has its [`Peering`].
    pub line: usize,
    /// What was agreed on of video; `None` where there is none.
    pub video: Option<NegotiatedVideo>,
}

/// The telephone-event format (RFC 4733) that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventFormat {
    /// Its payload type.
    pub payload_type: u8,
    /// The clock of its durations, Hz.
    pub clock_rate: u32,
}

/// A set of payload types.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadTypes(u128);

impl PayloadTypes {
    /// Whether it has this one.
    pub const fn has(self, payload_type: u8) -> bool {
        payload_type < 128 && self.0 & 1 << payload_type != 0
    }

    /// The set with this one.
    #[must_use]
    pub fn with(self, payload_type: u8) -> Self {
        Self(self.0 | [payload_type].into_iter().collect::<Self>().0)
    }
}

impl FromIterator<u8> for PayloadTypes {
    fn from_iter<I: IntoIterator<Item = u8>>(numbers: I) -> Self {
        // RTP has seven bits for it.
        Self(numbers.into_iter().filter(|number| *number < 128).fold(0, |all, number| all | 1 << number))
    }
}

/// Why an offer is not acceptable (488).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no audio line.
    #[error("the offer has no audio line")]
    NoAudio,
    /// All audio lines have port 0.
    #[error("the offer's audio stream is switched off (port 0)")]
    SwitchedOff,
    /// Audio is offered in another profile only.
    #[error("the offer wants {wanted} audio, and only {spoken} is spoken here")]
    Profile {
        /// The offer's.
        wanted: String,
        /// Ours.
        spoken: &'static str,
    },
    /// Audio must be encrypted, and the offer has no key.
    #[error("the offer has no a=crypto line, and encrypted audio only is spoken here")]
    NotEncrypted,
    /// Audio must be encrypted, and no key of the offer can be used; this is what is wrong with the last.
    #[error("no key of the offer can be used: {0}")]
    NoUsableKey(CryptoError),
    /// DTLS is to bring the keys, and there is no fingerprint of its certificate.
    #[error("the offer has no fingerprint of a certificate, so DTLS could prove nothing")]
    NoFingerprint,
    /// DTLS is to bring the keys, and ICE is not spoken.
    #[error("the offer has no ICE user fragment and password, and DTLS is spoken here over ICE only")]
    NoIce,
    /// No codec in common.
    #[error("no common codec: offered {offered}, spoken here {ours}")]
    NoCommonCodec {
        /// The offer's codecs.
        offered: String,
        /// Ours.
        ours: String,
    },
    /// No `c=` line with an IP address.
    #[error("the offer does not say where to send audio: {0}")]
    NoAddress(NoAddress),
}

/// Why the answer to our offer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// There is no audio line.
    #[error("the answer has no audio line")]
    NoAudio,
    /// All audio lines have port 0.
    #[error("the answer rejects the audio stream (port 0)")]
    Rejected,
    /// The answer changes the profile.
    #[error("the answer wants {wanted} audio, but {offered} was offered")]
    Profile {
        /// The answer's.
        wanted: String,
        /// Ours.
        offered: &'static str,
    },
    /// Audio has to be encrypted, and the answer has no key.
    #[error("the answer has no a=crypto line, but encrypted audio was required")]
    NotEncrypted,
    /// DTLS is to bring the keys, and there is no fingerprint of its certificate.
    #[error("the answer has no fingerprint of a certificate, so DTLS could prove nothing")]
    NoFingerprint,
    /// DTLS is to bring the keys, and ICE is not spoken.
    #[error("the answer has no ICE user fragment and password")]
    NoIce,
    /// The answer's key cannot be used.
    #[error("the answer's key cannot be used: {0}")]
    Crypto(CryptoError),
    /// The answer accepts a key that was not offered.
    #[error("the answer accepts crypto tag {tag} with {suite}, which was not offered")]
    ForeignCrypto {
        /// The answer's tag.
        tag: u32,
        /// The answer's suite.
        suite: String,
    },
    /// The answer has none of our codecs.
    #[error("the answer chose {answered}, but offered was {offered}")]
    ForeignCodec {
        /// The answer's codecs.
        answered: String,
        /// Ours.
        offered: String,
    },
    /// No `c=` line with an IP address.
    #[error("the answer does not say where to send audio: {0}")]
    NoAddress(NoAddress),
}

/// Why there is no address to send to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAddress {
    /// There is no `c=` line.
    #[error("it has no c= line")]
    Missing,
    /// The `c=` line has a name.
    #[error("its c= line has the name `{0}` instead of an IP address")]
    Name(String),
}

/// An audio stream of an offer that we take.
struct Taken<'o> {
    negotiated: Negotiated,
    /// Tag and name of the suite that is accepted.
    crypto: Option<(u32, &'o str)>,
}

impl<'s> Local<'s> {
    /// Answers an offer: takes its first audio stream that we can speak, the first of video where we have any, and rejects all others. Appends the answer,
    /// with each media line of the offer in its place; nothing when the offer is refused.
    pub fn answer(&self, offer: &Sdp<'_>, order: Order, out: &mut Vec<u8>) -> Result<Negotiated, Refused> {
        let mut refused = Refused::NoAudio;
        for (index, media) in offer.media.iter().enumerate().filter(|(_, media)| media.is_audio()) {
            match self.take(index, media, order) {
                Ok(mut taken) => {
                    let video = self.take_video(offer, &taken.negotiated);
                    taken.negotiated.video = video.as_ref().map(|video| video.negotiated);
                    self.write_answer(offer, index, &taken, video.as_ref(), out);
                    return Ok(taken.negotiated);
                }
                // A stream that is switched off says less than one that is not.
                Err(Refused::SwitchedOff) if refused != Refused::NoAudio => {}
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// What the answer to our offer comes to. The first codec of the answer that we offered is used.
    pub fn negotiated(&self, answer: &Sdp<'_>) -> Result<Negotiated, AnswerError> {
        let taken = |media: &&Media<'_>| media.is_audio() && !media.is_rejected();
        let found = answer.media.iter().enumerate().find(|(_, media)| taken(media));
        let Some((line, media)) = found else {
            return Err(if answer.audio().next().is_some() { AnswerError::Rejected } else { AnswerError::NoAudio });
        };
        let dtls = self.role_of(media)?;
        let srtp = if dtls.is_some() { None } else { self.keys_of(media)? };
        let chosen = media.formats.iter().find_map(|format| Some((format, self.codec_of(format)?)));
        let Some((format, codec)) = chosen else {
            return Err(AnswerError::ForeignCodec { answered: codecs_of(media), offered: self.codec_names() });
        };
        let agreed = self.agreed(media, *codec, format.payload_type).map_err(AnswerError::NoAddress)?;
        // RFC 3264 §5.1: who keeps to it sends with the numbers that we offered.
        let offered = self.events().map(|event| event.payload_type).filter(|_| agreed.event.is_some());
        let events = offered.fold(agreed.events, PayloadTypes::with);
        let others = media.formats.iter().filter_map(|format| self.codec_of(format)).map(|codec| codec.payload_type);
        let others = others.filter(|number| *number != codec.payload_type).collect();
        let rtcp_mux = agreed.rtcp_mux || dtls.is_some();
        let audio = Negotiated { srtp, dtls, line, others, events, rtcp_mux, ..agreed };
        Ok(Negotiated { video: self.negotiated_video(answer, &audio), ..audio })
    }

    /// What we are in DTLS by the answer to an offer of it; `None` where none was offered.
    fn role_of(&self, media: &Media<'_>) -> Result<Option<Role>, AnswerError> {
        let protection = &self.protection;
        if protection.policy != Policy::Dtls || protection.peering.is_none() {
            return Ok(None);
        }
        if !media.is_dtls_rtp() {
            return Err(AnswerError::Profile { wanted: shown(media.proto), offered: self.offered_profile() });
        }
        match usable(media) {
            Ok(peering) => Ok(Some(Role::answered(peering.setup))),
            Err(Lack::Fingerprint) => Err(AnswerError::NoFingerprint),
            Err(Lack::Ice) => Err(AnswerError::NoIce),
        }
    }

    /// The keys that an answer comes to, which accepts one of those we offered under its tag (RFC 4568 §5.1.3).
    pub(super) fn keys_of(&self, media: &Media<'_>) -> Result<Option<Keys>, AnswerError> {
        let policy = self.protection.policy;
        if !(media.is_plain_rtp() || media.is_secure_rtp() && policy != Policy::Off) {
            return Err(AnswerError::Profile { wanted: shown(media.proto), offered: self.offered_profile() });
        }
        let Some(text) = media.crypto.first().filter(|_| policy != Policy::Off) else {
            let plain = policy != Policy::Required && media.is_plain_rtp();
            return if plain { Ok(None) } else { Err(AnswerError::NotEncrypted) };
        };
        let theirs = Crypto::parse(text).map_err(AnswerError::Crypto)?;
        let offered = (theirs.tag as usize).checked_sub(1).and_then(|index| self.offered_keys().nth(index));
        match offered.filter(|ours| ours.suite == theirs.key.suite) {
            Some(ours) => Ok(Some(Keys { ours: *ours, theirs: theirs.key })),
            None => Err(AnswerError::ForeignCrypto { tag: theirs.tag, suite: shown(theirs.name) }),
        }
    }

    /// One audio stream of an offer.
    fn take<'o>(&self, line: usize, media: &Media<'o>, order: Order) -> Result<Taken<'o>, Refused> {
        if media.is_rejected() {
            return Err(Refused::SwitchedOff);
        }
        let dtls = self.role_towards(media)?;
        let accepted = if dtls.is_some() { None } else { self.accept(media)? };
        let Some((format, codec)) = self.common(media, order) else {
            return Err(Refused::NoCommonCodec { offered: codecs_of(media), ours: self.codec_names() });
        };
        // RFC 3264 §6.1: an answer uses the numbers of the offer.
        let codec = AudioCodec { payload_type: format.payload_type, ..*codec };
        let agreed = self.agreed(media, codec, format.payload_type);
        let srtp = accepted.map(|(_, keys)| keys);
        let agreed = agreed.map_err(Refused::NoAddress)?;
        let negotiated = Negotiated { srtp, dtls, line, rtcp_mux: agreed.rtcp_mux || dtls.is_some(), ..agreed };
        Ok(Taken { negotiated, crypto: accepted.map(|(crypto, _)| (crypto.tag, crypto.name)) })
    }

    /// What we are in DTLS in answer to an offer of it; `None` where it is not offered.
    fn role_towards(&self, media: &Media<'_>) -> Result<Option<Role>, Refused> {
        let (ours, policy) = (self.protection.peering, self.protection.policy);
        let Some(ours) = ours.filter(|_| media.is_dtls_rtp() && policy != Policy::Off) else { return Ok(None) };
        match usable(media) {
            Ok(peering) => Ok(Some(Role::answering(peering.setup, ours.role))),
            Err(Lack::Fingerprint) => Err(Refused::NoFingerprint),
            Err(Lack::Ice) => Err(Refused::NoIce),
        }
    }

    /// The first key of an offer whose suite we speak (RFC 4568 §5.1.2); `None` where audio goes in the clear.
    pub(super) fn accept<'o>(&self, media: &Media<'o>) -> Result<Option<(Crypto<'o>, Keys)>, Refused> {
        let policy = self.protection.policy;
        let spoken = match policy {
            Policy::Off => "RTP/AVP",
            Policy::Offered | Policy::Required => "RTP/AVP or RTP/SAVP",
            Policy::Dtls => self.offered_profile(),
        };
        let spoken_here = media.is_plain_rtp() || media.is_secure_rtp() && policy != Policy::Off;
        if !spoken_here || policy == Policy::Dtls {
            return Err(Refused::Profile { wanted: shown(media.proto), spoken });
        }
        let mut refused = Refused::NotEncrypted;
        for text in media.crypto.iter().filter(|_| policy != Policy::Off) {
            match Crypto::parse(text) {
                Ok(crypto) => match self.offered_keys().find(|ours| ours.suite == crypto.key.suite) {
                    Some(ours) => return Ok(Some((crypto, Keys { ours: *ours, theirs: crypto.key }))),
                    None => refused = Refused::NoUsableKey(CryptoError::Suite(shown(crypto.name))),
                },
                Err(error) => refused = Refused::NoUsableKey(error),
            }
        }
        if policy != Policy::Required && media.is_plain_rtp() { Ok(None) } else { Err(refused) }
    }

    fn common<'m, 'o>(&self, media: &'m Media<'o>, order: Order) -> Option<(&'m Format<'o>, &'s AudioCodec)> {
        let formats = &media.formats;
        let same = |format: &Format<'_>, codec: &AudioCodec| format.encoding.is_some_and(|found| codec.is(&found));
        match order {
            Order::Theirs => {
                formats.iter().find_map(|format| Some((format, self.codecs.iter().find(|codec| same(format, codec))?)))
            }
            Order::Ours => {
                self.codecs.iter().find_map(|codec| Some((formats.iter().find(|format| same(format, codec))?, codec)))
            }
        }
    }

    /// Which of our codecs a format of an answer is. One without a name is known by the number that we gave it.
    fn codec_of(&self, format: &Format<'_>) -> Option<&'s AudioCodec> {
        self.codecs.iter().find(|codec| match &format.encoding {
            Some(encoding) => codec.is(encoding),
            None => codec.payload_type == format.payload_type,
        })
    }

    fn agreed(&self, media: &Media<'_>, codec: AudioCodec, payload_type: u8) -> Result<Negotiated, NoAddress> {
        let ip = match media.connection {
            Some(Connection::Address(address)) => address,
            // ICE finds the way: an agent that still gathers, or hides its address, writes 0.0.0.0 or a name.
            _ if media.is_dtls_rtp() => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Some(Connection::Name(name)) => return Err(NoAddress::Name(shown(name))),
            None => return Err(NoAddress::Missing),
        };
        let rtcp_mux = self.rtcp_mux && media.rtcp_mux;
        let remote_rtp = (!ip.is_unspecified()).then(|| SocketAddr::new(ip, media.port));
        let remote_rtcp = remote_rtp.and_then(|rtp| if rtcp_mux { Some(rtp) } else { rtcp_of(media, rtp) });
        let direction = self.direction.and(media.direction().reversed());
        let event = self.telephone_event.and_then(|_| media.telephone_event(codec.clock_rate)).and_then(|format| {
            Some(EventFormat { payload_type: format.payload_type, clock_rate: format.encoding?.clock_rate })
        });
        Ok(Negotiated {
            codec,
            payload_type,
            others: PayloadTypes::default(),
            remote_rtp,
            remote_rtcp,
            rtcp_mux,
            remote_ssrc: if let [source] = media.sources[..] { Some(source) } else { None },
            direction,
            ptime: media.ptime,
            event,
            events: event.iter().flat_map(|_| media.telephone_events()).map(|format| format.payload_type).collect(),
            srtp: None,
            dtls: None,
            line: 0,
            video: None,
        })
    }

    /// Each media line of the offer in its place, all but those taken with port 0.
    fn write_answer(
        &self,
        offer: &Sdp<'_>,
        index: usize,
        taken: &Taken<'_>,
        video: Option<&TakenVideo<'_>>,
        out: &mut Vec<u8>,
    ) {
        let Negotiated { codec, direction, rtcp_mux, srtp, dtls, .. } = taken.negotiated;
        let (peering, mid) = (self.protection.peering.zip(dtls), offer.media[index].mid);
        // RFC 9143 §7.3.3: a line that was offered in a bundle stays in it.
        let bundled = mid.filter(|_| offer.bundles(&[&offer.media[index]]));
        let both =
            bundled.zip(video.filter(|video| video.negotiated.bundled).and_then(|video| offer.media[video.line].mid));
        let both = both.map(|(audio, video)| format!("{audio} {video}"));
        let trickles = |ours: &LocalPeering| ours.trickle && offer.media[index].trickles();
        let trickle = peering.is_some_and(|(ours, _)| trickles(ours));
        self.write_session(out, (peering.map(|(ours, _)| ours), trickle), both.as_deref().or(bundled));
        for (place, media) in offer.media.iter().enumerate() {
            if let Some(video) = video.filter(|video| video.line == place) {
                self.write_answered_video(out, media, video);
                continue;
            }
            if place != index {
                write_rejected(out, media);
                continue;
            }
            let event = taken.negotiated.event.map(|event| Mapped::event(event.payload_type, event.clock_rate));
            // RFC 4568 §5.1.2: the tag of the line that is accepted.
            let crypto = taken.crypto.zip(srtp).map(|((tag, name), keys)| Crypto { tag, name, key: keys.ours });
            let peering = peering.map(|(ours, role)| (ours, role.setup()));
            let attributes = Attributes { direction, rtcp_mux, mid, peering };
            self.write_audio(out, media.proto, [codec.mapped()].into_iter().chain(event), attributes, crypto);
        }
    }

    fn codec_names(&self) -> String {
        let names: Vec<String> =
            self.codecs.iter().map(|codec| format!("{}/{}", codec.name, codec.clock_rate)).collect();
        names.join(", ")
    }
}

/// What a line lacks that DTLS over ICE needs.
enum Lack {
    Fingerprint,
    Ice,
}

/// What a line that speaks DTLS says of it.
fn usable<'m, 'o>(media: &'m Media<'o>) -> Result<&'m Peering<'o>, Lack> {
    let peering = media.peering.as_deref().ok_or(Lack::Fingerprint)?;
    if peering.fingerprints.is_empty() {
        return Err(Lack::Fingerprint);
    }
    if peering.credentials().is_none() {
        return Err(Lack::Ice);
    }
    Ok(peering)
}

/// RFC 3550 §11 and RFC 3605.
pub(super) fn rtcp_of(media: &Media<'_>, rtp: SocketAddr) -> Option<SocketAddr> {
    let port = media.rtcp_port.or_else(|| rtp.port().checked_add(1))?;
    let address = media.rtcp_address.filter(|address| !address.is_unspecified());
    Some(SocketAddr::new(address.unwrap_or_else(|| rtp.ip()), port))
}

/// The codecs of a media line for people, telephone-event and comfort noise left out.
fn codecs_of(media: &Media<'_>) -> String {
    let names: Vec<String> = media
        .formats
        .iter()
        .filter_map(|format| match format.encoding {
            Some(found) if ["telephone-event", "CN"].iter().any(|name| found.name.eq_ignore_ascii_case(name)) => None,
            Some(found) => Some(format!("{}/{}", shown(found.name), found.clock_rate)),
            None => Some(format!("payload type {}", format.payload_type)),
        })
        .collect();
    if names.is_empty() { "no codec".to_owned() } else { names.join(", ") }
}

/// A word of the peer, cut to a length that fits a message.
pub(super) fn shown(word: &str) -> String {
    word.chars().take(40).collect()
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
