//! Our side of a session: what we would send and receive, and the text that says so.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::Direction;
use super::crypto::{Crypto, Key, Policy, Protection};
use super::description::{Encoding, Media};
use super::peering::{LocalPeering, Setup};
use super::video::LocalVideo;

/// An audio codec as SDP describes it. The name is that of its RTP payload format (`PCMA`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AudioCodec {
    /// Encoding name; compared in any case.
    pub name: &'static str,
    /// Payload type that we offer it with, 0–127.
    pub payload_type: u8,
    /// RTP clock rate, Hz.
    pub clock_rate: u32,
    /// Channels; 1 is not written.
    pub channels: u8,
    /// What we would like to receive: parameters of `a=fmtp`.
    pub fmtp: Option<&'static str>,
}

impl AudioCodec {
    /// The same encoding, whatever its number.
    pub(super) fn is(&self, encoding: &Encoding<'_>) -> bool {
        // Some forget the two channels that Opus always has in descriptions (RFC 7587 §7), and mean no other Opus.
        let channels = [1, self.channels].contains(&encoding.channels);
        self.name.eq_ignore_ascii_case(encoding.name) && self.clock_rate == encoding.clock_rate && channels
    }

    /// Its format in a description of ours.
    pub(super) fn mapped(&self) -> Mapped<'static> {
        let Self { name, payload_type, clock_rate, channels, fmtp } = *self;
        Mapped { payload_type, name, clock_rate, channels, fmtp }
    }
}

/// A format of an audio line of ours: its `a=rtpmap`, and its `a=fmtp` where it has one.
#[derive(Clone, Copy)]
pub(super) struct Mapped<'a> {
    pub(super) payload_type: u8,
    name: &'a str,
    clock_rate: u32,
    channels: u8,
    fmtp: Option<&'a str>,
}

impl Mapped<'_> {
    /// Telephone events (RFC 4733 §3.2): the sixteen keys of DTMF.
    pub(super) fn event(payload_type: u8, clock_rate: u32) -> Self {
        Self { payload_type, name: "telephone-event", clock_rate, channels: 1, fmtp: Some("0-15") }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let Self { payload_type, name, clock_rate, channels, fmtp } = *self;
        match channels {
            1 => line(out, format_args!("a=rtpmap:{payload_type} {name}/{clock_rate}")),
            _ => line(out, format_args!("a=rtpmap:{payload_type} {name}/{clock_rate}/{channels}")),
        }
        if let Some(fmtp) = fmtp {
            line(out, format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
    }
}

/// Whose order of codecs decides an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// The offer's: RFC 3264 §6.1 recommends it.
    #[default]
    Theirs,
    /// Ours.
    Ours,
}

/// Our side of a session.
#[derive(Clone, Copy, Debug)]
pub struct Local<'a> {
    /// Where we want to receive RTP, as the other side sees it. RTCP is expected one port above, or on the same port
    /// where both sides multiplex.
    pub rtp: SocketAddr,
    /// Codecs that we can speak, best first; at least one.
    pub codecs: &'a [AudioCodec],
    /// Payload type that telephone-event is offered with, usually 101; `None` offers none. Beside codecs of another clock
    /// than 8000 Hz it is offered at theirs as well, with 110.
    pub telephone_event: Option<u8>,
    /// Packet time that we want to receive, ms; `None` leaves it out, which means 20 for G.711 (RFC 3551).
    pub ptime: Option<u16>,
    /// RTP and RTCP on one port: offered, and accepted where it is offered.
    pub rtcp_mux: bool,
    /// The source that audio is sent with, for who tells calls apart by it (`a=ssrc`, RFC 5576); `None` names none.
    pub ssrc: Option<u32>,
    /// Whether audio is encrypted, and our keys. It holds for video too, with keys of its own.
    pub protection: Protection<'a>,
    /// Our side of video, where the session ever had any.
    pub video: Option<LocalVideo<'a>>,
    /// What we want to do. An answer allows no more than this.
    pub direction: Direction,
    /// Id of the session: the same in all descriptions of one dialog.
    pub session_id: u64,
    /// Version: one more in each description that differs from the one before (RFC 3264 §8).
    pub version: u64,
}

/// Canonical name of all that we send, in descriptions and in RTCP: audio and video of a leg have the same one (RFC 3550 §6.5.1).
pub const CNAME: &str = "ringfleet";

/// Name of the audio line in offers that bundle.
const MID: &str = "0";
/// The same with that of the video line.
const BOTH_MIDS: &str = "0 1";

/// Payload type that telephone-event is offered with.
const TELEPHONE_EVENT: u8 = 101;

/// The same at another clock than that of G.711: the number that browsers use at 48 kHz.
const TELEPHONE_EVENT_48K: u8 = 110;

impl<'a> Local<'a> {
    /// The first description of a session: DTMF as events, packets of 20 ms, both ways.
    pub fn new(rtp: SocketAddr, codecs: &'a [AudioCodec], session_id: u64) -> Self {
        Self {
            rtp,
            codecs,
            telephone_event: Some(TELEPHONE_EVENT),
            ptime: Some(20),
            rtcp_mux: false,
            ssrc: None,
            protection: Protection::default(),
            video: None,
            direction: Direction::SendRecv,
            session_id,
            version: 1,
        }
    }

    /// Appends an offer.
    pub fn write_offer(&self, out: &mut Vec<u8>) {
        let peering = self.protection.peering.filter(|_| self.protection.policy == Policy::Dtls);
        let with_video = self.video.is_some_and(|video| video.direction.is_some());
        let bundled = if with_video { BOTH_MIDS } else { MID };
        self.write_session(out, (peering, peering.is_some_and(|ours| ours.trickle)), peering.map(|_| bundled));
        if let Some(video) = self.video.filter(|video| video.first) {
            self.write_offered_video(out, &video);
        }
        let codecs = self.codecs.iter().map(AudioCodec::mapped);
        // Most that can do both read keys in an offer of plain RTP as an offer to encrypt; RFC 5939, which was made for
        // it, is spoken by hardly anybody.
        let proto = self.offered_profile();
        let keys = self.offered_keys().enumerate();
        let crypto = keys.map(|(index, key)| Crypto { tag: index as u32 + 1, name: key.suite.name(), key: *key });
        let attributes = Attributes {
            direction: self.direction,
            rtcp_mux: self.rtcp_mux || peering.is_some(),
            mid: peering.map(|_| MID),
            peering: peering.map(|peering| (peering, Setup::ActPass)),
        };
        self.write_audio(out, proto, codecs.chain(self.events()), attributes, crypto);
        if let Some(video) = self.video.filter(|video| !video.first) {
            self.write_offered_video(out, &video);
        }
    }

    /// RFC 4733 §2.1: events run on the clock of the audio, so each clock of the codecs has its own.
    pub(super) fn events(&self) -> impl Iterator<Item = Mapped<'static>> + Clone {
        let has = |usual: bool| self.codecs.iter().find(|codec| (codec.clock_rate == 8_000) == usual);
        let usual = self.telephone_event.zip(has(true));
        let other = self.telephone_event.and_then(|_| Some((TELEPHONE_EVENT_48K, has(false)?)));
        other.into_iter().chain(usual).map(|(number, codec)| Mapped::event(number, codec.clock_rate))
    }

    /// The profile of our offers.
    pub(super) fn offered_profile(&self) -> &'static str {
        match self.protection.policy {
            Policy::Off | Policy::Offered => "RTP/AVP",
            Policy::Required => "RTP/SAVP",
            Policy::Dtls => "UDP/TLS/RTP/SAVPF",
        }
    }

    /// The keys that offers carry, tagged from 1.
    pub(super) fn offered_keys(&self) -> impl Iterator<Item = &Key> {
        let off = matches!(self.protection.policy, Policy::Off | Policy::Dtls);
        self.protection.keys.iter().filter(move |_| !off)
    }

    /// The next description of the same session: hold with [`Direction::SendOnly`] (or `Inactive`), resume with
    /// `SendRecv`.
    #[must_use]
    pub fn renewed(self, direction: Direction) -> Self {
        Self { direction, version: self.version.wrapping_add(1), ..self }
    }

    /// Everything before the first media line. `trickle` is whether both sides take candidates later, and `bundled` the name of the
    /// line that stands in a bundle.
    pub(super) fn write_session(
        &self,
        out: &mut Vec<u8>,
        (peering, trickle): (Option<&LocalPeering>, bool),
        bundled: Option<&str>,
    ) {
        let (family, address) = match self.rtp.ip() {
            IpAddr::V4(address) => ("IP4", IpAddr::V4(address)),
            IpAddr::V6(address) => ("IP6", IpAddr::V6(address)),
        };
        line(out, format_args!("v=0"));
        line(out, format_args!("o=- {} {} IN {family} {address}", self.session_id, self.version));
        line(out, format_args!("s=-"));
        line(out, format_args!("c=IN {family} {address}"));
        line(out, format_args!("t=0 0"));
        if let Some(mid) = bundled {
            line(out, format_args!("a=group:BUNDLE {mid}"));
        }
        if peering.is_some_and(|peering| peering.lite) {
            line(out, format_args!("a=ice-lite"));
        }
        if trickle {
            line(out, format_args!("a=ice-options:trickle"));
        }
    }

    /// An audio line with its attributes.
    pub(super) fn write_audio<'f>(
        &self,
        out: &mut Vec<u8>,
        proto: &str,
        formats: impl Iterator<Item = Mapped<'f>> + Clone,
        attributes: Attributes<'_>,
        crypto: impl IntoIterator<Item = Crypto<'f>>,
    ) {
        write!(out, "m=audio {} {proto}", self.rtp.port()).expect(NEVER_FAILS);
        for format in formats.clone() {
            write!(out, " {}", format.payload_type).expect(NEVER_FAILS);
        }
        line(out, format_args!(""));
        for format in formats {
            format.write(out);
        }
        if let Some(ptime) = self.ptime {
            line(out, format_args!("a=ptime:{ptime}"));
        }
        for crypto in crypto {
            crypto.write(out);
        }
        if attributes.rtcp_mux {
            line(out, format_args!("a=rtcp-mux"));
        }
        if let Some(mid) = attributes.mid {
            line(out, format_args!("a=mid:{mid}"));
        }
        if let Some(ssrc) = self.ssrc {
            line(out, format_args!("a=ssrc:{ssrc} cname:{CNAME}"));
        }
        line(out, format_args!("a={}", attributes.direction));
        if let Some((peering, setup)) = attributes.peering {
            peering.write(setup, |text| line(out, text));
        }
    }
}

/// What a description says of an audio line besides its formats and keys.
pub(super) struct Attributes<'a> {
    pub(super) direction: Direction,
    pub(super) rtcp_mux: bool,
    pub(super) mid: Option<&'a str>,
    pub(super) peering: Option<(&'a LocalPeering, Setup)>,
}

/// A stream that we do not take: RFC 3264 §6 wants its place kept, with port 0.
pub(super) fn write_rejected(out: &mut Vec<u8>, media: &Media<'_>) {
    line(out, format_args!("m={} 0 {} {}", media.kind, media.proto, media.format_list));
}

pub(super) fn line(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    write!(out, "{text}\r\n").expect(NEVER_FAILS);
}

pub(super) const NEVER_FAILS: &str = "writing to a Vec does not fail";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::sdp::fixtures::{OPUS, PCMA, PCMU, local};

    fn offer(local: &Local<'_>) -> String {
        let mut out = Vec::new();
        local.write_offer(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn an_offer_reads_as_the_standard_writes_it() {
        assert_eq!(
            offer(&local()),
            "v=0\r\no=- 77 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
             m=audio 20000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=rtcp-mux\r\na=sendrecv\r\n"
        );
    }

    #[test]
    fn an_ipv6_offer_without_extras_leaves_them_out() {
        let rtp = SocketAddr::new("2001:db8::7".parse().expect("valid"), 20_000);
        let local = Local { rtp, codecs: &[PCMU], telephone_event: None, ptime: None, rtcp_mux: false, ..local() };
        assert_eq!(
            offer(&local),
            "v=0\r\no=- 77 1 IN IP6 2001:db8::7\r\ns=-\r\nc=IN IP6 2001:db8::7\r\nt=0 0\r\n\
             m=audio 20000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=sendrecv\r\n"
        );
    }

    #[test]
    fn opus_is_offered_as_rfc_7587_writes_it_with_events_at_both_clocks() {
        let local = Local { codecs: &[OPUS, PCMA], rtcp_mux: false, ..local() };
        let written = offer(&local);
        let (_, audio) = written.split_once("m=").expect("a media line");
        assert_eq!(
            audio,
            "audio 20000 RTP/AVP 111 8 110 101\r\na=rtpmap:111 opus/48000/2\r\n\
             a=fmtp:111 minptime=10;useinbandfec=1\r\na=rtpmap:8 PCMA/8000\r\n\
             a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-15\r\n\
             a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
        );
        let alone = offer(&Local { codecs: &[OPUS], ..local });
        assert!(alone.contains("RTP/AVP 111 110\r\n") && !alone.contains("telephone-event/8000"), "{alone}");
    }

    #[test]
    fn hold_and_resume_are_the_same_offer_with_the_next_version() {
        let held = local().renewed(Direction::SendOnly);
        let expected = offer(&local()).replace("77 1", "77 2").replace("sendrecv", "sendonly");
        assert_eq!(offer(&held), expected);
        assert_eq!(offer(&held.renewed(Direction::SendRecv)), offer(&local()).replace("77 1", "77 3"));
    }
}
