//! What a session description says. How text becomes this is left to `parse`.

use std::net::IpAddr;

use smallvec::SmallVec;

use super::Direction;
use super::peering::Peering;
use super::video::VideoFeedback;

/// A session description. It borrows the message body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sdp<'a> {
    /// Session id of the `o=` line, as text since some exceed 64 bits; empty where there is no such line.
    pub session_id: &'a str,
    /// Version of the `o=` line. In a re-INVITE, the same version says that nothing has changed (RFC 3264 §8).
    pub version: &'a str,
    /// What `a=group:BUNDLE` names: the `mid`s of the lines that share one transport (RFC 9143).
    pub bundle: Option<&'a str>,
    /// Media lines in order.
    pub media: SmallVec<[Media<'a>; 1]>,
}

/// A media line with its attributes; what it lacks is taken from the session level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media<'a> {
    /// `audio`, `video`, `image` …
    pub kind: &'a str,
    /// Port; 0 rejects or removes the stream.
    pub port: u16,
    /// Transport profile, as `RTP/AVP`.
    pub proto: &'a str,
    /// The format list as text, for the mirror of a stream that is not understood.
    pub format_list: &'a str,
    /// Payload types of the format list, in the order of preference.
    pub formats: SmallVec<[Format<'a>; 8]>,
    /// Where media is to be sent.
    pub connection: Option<Connection<'a>>,
    /// The direction as written, seen from the writer; [`Media::direction`] is the one that counts.
    pub written_direction: Direction,
    /// Packet time that the writer wants to receive, ms.
    pub ptime: Option<u16>,
    /// RTCP port of `a=rtcp`, where it is not the port above RTP (RFC 3605).
    pub rtcp_port: Option<u16>,
    /// RTCP address of `a=rtcp`, where it is not that of RTP.
    pub rtcp_address: Option<IpAddr>,
    /// RTP and RTCP may share the port (RFC 5761).
    pub rtcp_mux: bool,
    /// Sources that `a=ssrc` names (RFC 5576), each once; of more than a few the first.
    pub sources: SmallVec<[u32; 1]>,
    /// Requests for key frames that the writer takes, of whatever format.
    pub feedback: VideoFeedback,
    /// It is there in a bundle only, though its port is 0 (RFC 9143 §6).
    pub bundle_only: bool,
    /// What stands after `a=crypto:`, in order; [`Crypto::parse`](super::crypto::Crypto::parse) reads it.
    pub crypto: SmallVec<[&'a str; 2]>,
    /// Its name in `a=mid` (RFC 5888).
    pub mid: Option<&'a str>,
    /// What it says of ICE and DTLS; `None` where it says nothing of either.
    pub peering: Option<Box<Peering<'a>>>,
}

/// A payload type of a media line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format<'a> {
    /// RTP payload type, 0–127.
    pub payload_type: u8,
    /// From its `a=rtpmap` line, or the meaning RFC 3551 gives the number; `None` where there is neither.
    pub encoding: Option<Encoding<'a>>,
    /// Parameters of its `a=fmtp` line.
    pub fmtp: Option<&'a str>,
}

/// What a payload type carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding<'a> {
    /// Name, as written.
    pub name: &'a str,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
    /// Channels, 1 where not written.
    pub channels: u8,
}

/// Where a `c=` line points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection<'a> {
    /// An address.
    Address(IpAddr),
    /// A host name: allowed by RFC 8866 §5.7, hardly ever seen, and not resolved here.
    Name(&'a str),
}

impl<'a> Sdp<'a> {
    /// The media lines that are audio, rejected ones included.
    pub fn audio(&self) -> impl Iterator<Item = &Media<'a>> {
        self.media.iter().filter(|media| media.is_audio())
    }

    /// Whether all these lines share one transport.
    pub fn bundles(&self, lines: &[&Media<'a>]) -> bool {
        let named = |mid: &str| self.bundle.is_some_and(|mids| mids.split(' ').any(|other| other == mid));
        lines.iter().all(|line| line.mid.is_some_and(named))
    }

    /// Whether keys of audio are to come from DTLS.
    pub fn has_dtls(&self) -> bool {
        self.audio().any(Media::is_dtls_rtp)
    }

    /// Whether audio comes with keys of SRTP.
    pub fn has_crypto(&self) -> bool {
        self.audio().any(|media| !media.crypto.is_empty())
    }
}

impl<'a> Media<'a> {
    /// It is an audio stream.
    pub fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio")
    }

    /// It is a video stream.
    pub fn is_video(&self) -> bool {
        self.kind.eq_ignore_ascii_case("video")
    }

    /// Port 0: the stream is rejected or removed, unless it has no port because another line has it.
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }

    /// The profile is plain RTP. `RTP/AVPF` only allows earlier RTCP (RFC 4585), so it is plain too.
    pub fn is_plain_rtp(&self) -> bool {
        ["RTP/AVP", "RTP/AVPF"].iter().any(|plain| self.proto.eq_ignore_ascii_case(plain))
    }

    /// The profile is that of keys in the description (RFC 4568), or of DTLS-SRTP in the manner of old gateways.
    pub fn is_secure_rtp(&self) -> bool {
        ["RTP/SAVP", "RTP/SAVPF"].iter().any(|secure| self.proto.eq_ignore_ascii_case(secure))
    }

    /// Keys come from DTLS (RFC 5764): by the profile, or, in the manner of old gateways, by a fingerprint where keys
    /// would stand.
    pub fn is_dtls_rtp(&self) -> bool {
        let profile = ["UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP"];
        let fingerprint = || self.peering.as_ref().is_some_and(|peering| !peering.fingerprints.is_empty());
        profile.iter().any(|dtls| self.proto.eq_ignore_ascii_case(dtls))
            || self.is_secure_rtp() && self.crypto.is_empty() && fingerprint()
    }

    /// Its writer takes candidates of ICE that come later, and it has the name that they would say they are of (RFC 8840 §4.4).
    pub fn trickles(&self) -> bool {
        self.mid.is_some() && self.peering.as_ref().is_some_and(|peering| peering.trickle)
    }

    /// The direction that holds. The address 0.0.0.0 asks that nothing be sent there: hold in the manner of RFC 2543
    /// (RFC 3264 §8.4), whatever the attribute says; beside ICE it means that no candidate is known yet (RFC 8840).
    pub fn direction(&self) -> Direction {
        match self.connection {
            Some(Connection::Address(address)) if address.is_unspecified() && self.peering.is_none() => {
                self.written_direction.and(Direction::SendOnly)
            }
            _ => self.written_direction,
        }
    }

    /// The first telephone-event format (RFC 4733), one at `clock_rate` before others.
    pub fn telephone_event(&self, clock_rate: u32) -> Option<&Format<'a>> {
        let fits = |format: &&Format<'_>| format.encoding.is_some_and(|encoding| encoding.clock_rate == clock_rate);
        self.telephone_events().find(fits).or_else(|| self.telephone_events().next())
    }

    /// All telephone-event formats.
    pub fn telephone_events(&self) -> impl Iterator<Item = &Format<'a>> {
        let named = |format: &&Format<'_>| {
            format.encoding.is_some_and(|encoding| encoding.name.eq_ignore_ascii_case("telephone-event"))
        };
        self.formats.iter().filter(named)
    }
}

impl Encoding<'_> {
    /// RFC 3551 §6, table 4, as far as telephones use it.
    pub(super) fn of_static(payload_type: u8) -> Option<Self> {
        let name = match payload_type {
            0 => "PCMU",
            3 => "GSM",
            4 => "G723",
            8 => "PCMA",
            // Sampled at 16 kHz, but its RTP clock is 8 kHz (RFC 3551 §4.5.2).
            9 => "G722",
            13 => "CN",
            15 => "G728",
            18 => "G729",
            _ => return None,
        };
        Some(Self { name, clock_rate: 8000, channels: 1 })
    }
}
