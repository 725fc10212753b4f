//! The video line of offers and answers: beside audio, on a port of its own or in one bundle with it (RFC 9143).

use std::io::Write as _;
use std::net::SocketAddr;

use super::Direction;
use super::answer::{Negotiated, rtcp_of};
use super::crypto::{Crypto, Key, Keys, Policy, Protection};
use super::description::{Connection, Format, Media, Sdp};
use super::local::{Local, NEVER_FAILS, line};

/// RTP clock of every video format, Hz.
const CLOCK_RATE: u32 = 90_000;
/// Name of the video line in offers of ours that bundle.
pub(super) const VIDEO_MID: &str = "1";
/// Parameters of H.264 that an answer repeats (RFC 6184 §8.2.2); the others describe the stream of who says them.
const REPEATED: [&str; 3] = ["profile-level-id", "packetization-mode", "level-asymmetry-allowed"];

/// A video format as we offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VideoFormat {
    /// Encoding name; compared in any case.
    pub name: &'static str,
    /// Payload type that we offer it with.
    pub payload_type: u8,
    /// Parameters of `a=fmtp`.
    pub fmtp: Option<&'static str>,
}

/// What a side takes of feedback on its video (RFC 4585 §4.2, RFC 5104 §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VideoFeedback {
    /// `nack pli`.
    pub pli: bool,
    /// `ccm fir`.
    pub fir: bool,
}

impl VideoFeedback {
    /// Takes the value of an `a=rtcp-fb` line.
    pub(super) fn take(&mut self, value: &str) {
        let mut words = value.split_ascii_whitespace().skip(1);
        match (words.next(), words.next()) {
            (Some("nack"), Some("pli")) => self.pli = true,
            (Some("ccm"), Some("fir")) => self.fir = true,
            _ => {}
        }
    }
}

/// Our side of the video stream.
#[derive(Clone, Copy, Debug)]
pub struct LocalVideo<'a> {
    /// Where we want to receive it; that of audio in a bundle.
    pub rtp: SocketAddr,
    /// Formats that we can speak, best first.
    pub formats: &'a [VideoFormat],
    /// Keys of ours, other ones than those of audio.
    pub keys: &'a [Key],
    /// Offers have the profile RTP/AVPF, where they are of plain RTP (or RTP/SAVPF).
    pub avpf: bool,
    /// What we want to do; `None` has the line with port 0, as one that was removed.
    pub direction: Option<Direction>,
    /// It shares the path of audio since an earlier answer.
    pub bundled: bool,
    /// Its line stands before that of audio.
    pub first: bool,
}

/// What both sides agreed on of video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NegotiatedVideo {
    /// Encoding name.
    pub name: &'static str,
    /// The payload type that we receive it with.
    pub received_as: u8,
    /// It was our offer, so that the other formats of it may come too (RFC 3264 §6.1).
    pub offered: bool,
    /// The payload type that we send it with.
    pub payload_type: u8,
    /// Packetization mode of H.264; 0 where nothing is said.
    pub packetization_mode: u8,
    /// Where RTP is sent; `None` in a bundle, and on hold at address 0.0.0.0.
    pub remote_rtp: Option<SocketAddr>,
    /// Where RTCP is sent.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTP and RTCP share the port.
    pub rtcp_mux: bool,
    /// What we do.
    pub direction: Direction,
    /// Keys of SRTP; `None` in the clear and in a bundle.
    pub srtp: Option<Keys>,
    /// It shares the path and the keys of audio.
    pub bundled: bool,
    /// Feedback that both sides take.
    pub feedback: VideoFeedback,
    /// Its line stands before that of audio.
    pub first: bool,
}

/// A video line of an offer that we take.
pub(super) struct TakenVideo<'o> {
    pub(super) line: usize,
    pub(super) negotiated: NegotiatedVideo,
    format: Format<'o>,
    crypto: Option<(u32, &'o str)>,
}

impl<'s> Local<'s> {
    /// The first video line of an offer that we can speak, where we speak any; `audio` is what the answer takes of audio.
    pub(super) fn take_video<'o>(&self, offer: &Sdp<'o>, audio: &Negotiated) -> Option<TakenVideo<'o>> {
        let video = self.video?;
        let direction = video.direction?;
        offer.media.iter().enumerate().filter(|(_, media)| media.is_video() && !media.is_rejected()).find_map(
            |(line, media)| {
                let bundled = audio.dtls.is_some();
                let accepted = if bundled {
                    // Without a bundle it would need a path and keys of its own.
                    offer.bundles(&[&offer.media[audio.line], media]).then_some(None)?
                } else {
                    self.for_video(&video).accept(media).ok()?
                };
                let (format, ours) = media.formats.iter().find_map(|format| Some((format, video.spoken(format)?)))?;
                let keys = accepted.map(|(_, keys)| keys);
                let numbers = (format.payload_type, format.payload_type);
                let agreed = self.agreed_video(media, (ours, format, numbers), direction, bundled)?;
                let negotiated = NegotiatedVideo { srtp: keys, first: line < audio.line, ..agreed };
                let crypto = accepted.map(|(crypto, _)| (crypto.tag, crypto.name));
                Some(TakenVideo { line, negotiated, format: *format, crypto })
            },
        )
    }

    /// What the answer to our offer comes to for video; `None` where it was not offered or not taken.
    pub(super) fn negotiated_video(&self, answer: &Sdp<'_>, audio: &Negotiated) -> Option<NegotiatedVideo> {
        let video = self.video?;
        let direction = video.direction?;
        let taken = |(_, media): &(usize, &Media<'_>)| media.is_video() && !media.is_rejected();
        let (line, media) = answer.media.iter().enumerate().find(taken)?;
        let bundled = audio.dtls.is_some();
        let srtp = if bundled {
            answer.bundles(&[&answer.media[audio.line], media]).then_some(None)?
        } else {
            self.for_video(&video).keys_of(media).ok()?
        };
        let chosen = media.formats.iter().find_map(|format| {
            let named = video.spoken(format);
            let numbered = || {
                let known = |ours: &&VideoFormat| ours.payload_type == format.payload_type;
                video.formats.iter().find(known).filter(|_| format.encoding.is_none())
            };
            Some((format, named.or_else(numbered)?))
        });
        let (format, ours) = chosen?;
        let numbers = (format.payload_type, ours.payload_type);
        let agreed = self.agreed_video(media, (ours, format, numbers), direction, bundled)?;
        Some(NegotiatedVideo { srtp, first: line < audio.line, offered: true, ..agreed })
    }

    /// This side as the rules of keys see its video.
    fn for_video(&self, video: &LocalVideo<'s>) -> Self {
        Self { protection: Protection { keys: video.keys, peering: None, ..self.protection }, ..*self }
    }

    fn agreed_video(
        &self,
        media: &Media<'_>,
        (ours, format, (payload_type, received_as)): (&VideoFormat, &Format<'_>, (u8, u8)),
        direction: Direction,
        bundled: bool,
    ) -> Option<NegotiatedVideo> {
        let ip = match media.connection {
            _ if bundled => None,
            Some(Connection::Address(address)) => Some(address).filter(|address| !address.is_unspecified()),
            _ => return None,
        };
        let rtcp_mux = bundled || self.rtcp_mux && media.rtcp_mux;
        let remote_rtp = ip.map(|ip| SocketAddr::new(ip, media.port));
        let remote_rtcp = remote_rtp.and_then(|rtp| if rtcp_mux { Some(rtp) } else { rtcp_of(media, rtp) });
        // The line of a bundle may lack an address.
        let theirs = if bundled { media.written_direction } else { media.direction() };
        Some(NegotiatedVideo {
            name: ours.name,
            received_as,
            offered: false,
            payload_type,
            packetization_mode: packetization_mode(format),
            remote_rtp,
            remote_rtcp,
            rtcp_mux,
            direction: direction.and(theirs.reversed()),
            srtp: None,
            bundled,
            feedback: media.feedback,
            first: false,
        })
    }

    /// The video line of an offer of ours.
    pub(super) fn write_offered_video(&self, out: &mut Vec<u8>, video: &LocalVideo<'_>) {
        let peering = self.protection.peering.filter(|_| self.protection.policy == Policy::Dtls);
        let proto = match (self.offered_profile(), video.avpf) {
            ("RTP/AVP", true) => "RTP/AVPF",
            ("RTP/SAVP", true) => "RTP/SAVPF",
            (proto, _) => proto,
        };
        let mid = peering.map(|_| VIDEO_MID);
        let formats = || video.formats.iter().map(|format| format.payload_type);
        let Some(direction) = video.direction else {
            write_line(out, 0, proto, formats());
            mid.into_iter().for_each(|mid| line(out, format_args!("a=mid:{mid}")));
            return;
        };
        // RFC 9143 §7.2.1: until both sides have agreed to share a path, the line has none.
        let joins = peering.is_some() && !video.bundled;
        write_line(out, if joins { 0 } else { video.rtp.port() }, proto, formats());
        for format in video.formats {
            let (number, name) = (format.payload_type, format.name);
            line(out, format_args!("a=rtpmap:{number} {name}/{CLOCK_RATE}"));
            if let Some(fmtp) = format.fmtp {
                line(out, format_args!("a=fmtp:{number} {fmtp}"));
            }
            write_feedback(out, number, VideoFeedback { pli: true, fir: true });
        }
        let offered = self.for_video(video);
        let keys: Vec<&Key> = if peering.is_some() { Vec::new() } else { offered.offered_keys().collect() };
        for (index, key) in keys.into_iter().enumerate() {
            Crypto { tag: index as u32 + 1, name: key.suite.name(), key: *key }.write(out);
        }
        if joins {
            line(out, format_args!("a=bundle-only"));
        }
        self.write_end(out, mid, direction, self.rtcp_mux || peering.is_some());
    }

    /// The video line of an answer of ours.
    pub(super) fn write_answered_video(&self, out: &mut Vec<u8>, media: &Media<'_>, taken: &TakenVideo<'_>) {
        let NegotiatedVideo { name, direction, rtcp_mux, srtp, feedback, .. } = taken.negotiated;
        let (number, port) = (taken.format.payload_type, self.video.map_or(0, |video| video.rtp.port()));
        write_line(out, port, media.proto, std::iter::once(number));
        line(out, format_args!("a=rtpmap:{number} {name}/{CLOCK_RATE}"));
        let parameters: Vec<&str> = parameters(&taken.format)
            .filter(|(name, _)| REPEATED.iter().any(|known| name.eq_ignore_ascii_case(known)))
            .map(|(_, text)| text)
            .collect();
        if !parameters.is_empty() {
            line(out, format_args!("a=fmtp:{number} {}", parameters.join(";")));
        }
        write_feedback(out, number, feedback);
        if let Some(((tag, name), keys)) = taken.crypto.zip(srtp) {
            Crypto { tag, name, key: keys.ours }.write(out);
        }
        self.write_end(out, media.mid, direction, rtcp_mux);
    }

    fn write_end(&self, out: &mut Vec<u8>, mid: Option<&str>, direction: Direction, rtcp_mux: bool) {
        if rtcp_mux {
            line(out, format_args!("a=rtcp-mux"));
        }
        if let Some(mid) = mid {
            line(out, format_args!("a=mid:{mid}"));
        }
        line(out, format_args!("a={direction}"));
    }
}

impl<'a> LocalVideo<'a> {
    /// Which of our formats another's is.
    fn spoken(&self, format: &Format<'_>) -> Option<&'a VideoFormat> {
        let encoding = format.encoding.filter(|encoding| encoding.clock_rate == CLOCK_RATE)?;
        // Units out of order (mode 2) are not spoken.
        let ours = self.formats.iter().find(|ours| ours.name.eq_ignore_ascii_case(encoding.name));
        ours.filter(|_| packetization_mode(format) < 2)
    }
}

/// `m=video …`
fn write_line(out: &mut Vec<u8>, port: u16, proto: &str, numbers: impl Iterator<Item = u8>) {
    write!(out, "m=video {port} {proto}").expect(NEVER_FAILS);
    for number in numbers {
        write!(out, " {number}").expect(NEVER_FAILS);
    }
    line(out, format_args!(""));
}

fn write_feedback(out: &mut Vec<u8>, number: u8, feedback: VideoFeedback) {
    if feedback.pli {
        line(out, format_args!("a=rtcp-fb:{number} nack pli"));
    }
    if feedback.fir {
        line(out, format_args!("a=rtcp-fb:{number} ccm fir"));
    }
}

/// Names of the parameters of a format, and the whole text of each.
fn parameters<'a>(format: &Format<'a>) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let all = format.fmtp.unwrap_or("").split(';').map(str::trim).filter(|text| !text.is_empty());
    all.map(|text| (text.split('=').next().unwrap_or(text).trim(), text))
}

/// RFC 6184 §8.1: 0 where it is not said.
fn packetization_mode(format: &Format<'_>) -> u8 {
    let found = parameters(format).find(|(name, _)| name.eq_ignore_ascii_case("packetization-mode"));
    found.and_then(|(_, text)| text.split_once('=')?.1.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[path = "video_tests.rs"]
mod tests;
