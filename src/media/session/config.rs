//! What a session is told when it opens.

use std::net::SocketAddr;
use std::time::Duration;

use crate::media::clock::NtpClock;
use crate::media::codec::{Codec, LISTENING_RATE};
use crate::media::{Source, audio};
use crate::sip::sdp::crypto::Keys;
use crate::sip::sdp::{Direction, EventFormat, PayloadTypes};

/// What is done with audio that arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Listen {
    /// It is decoded and listened to.
    #[default]
    Full,
    /// The same, and for keys that are sent as tones in it (DTMF, in-band).
    Tones,
    /// Its packets are counted: loss, jitter, round-trip time and MOS are known, what is heard is not.
    Packets,
}

/// Identity, addresses and codec of one leg.
#[derive(Clone, Debug)]
pub struct Config {
    /// Codec that is sent.
    pub codec: Codec,
    /// The payload type that it is sent with, as negotiated; that of our offers by default.
    pub payload_type: u8,
    /// The payload type that it comes with: RFC 3264 §5.1 lets each side choose its own.
    pub received_as: u8,
    /// Other payload types that may come, as negotiated: what they stand for is what it is in our offers. None by default.
    pub others: PayloadTypes,
    /// How telephone events (RFC 4733) are sent, where that is agreed on.
    pub telephone_event: Option<EventFormat>,
    /// Payload types that they come with; they are left out of jitter, and of what is heard but keys. None by default.
    pub events: PayloadTypes,
    /// Where RTP goes until it is learned from what arrives.
    pub remote_rtp: SocketAddr,
    /// Where RTCP goes until it is learned from what arrives.
    pub remote_rtcp: SocketAddr,
    /// RTP and RTCP share the RTP socket (RFC 5761).
    pub rtcp_mux: bool,
    /// Our source, where our description names it; `None` draws one.
    pub ssrc: Option<u32>,
    /// The source that the far end's description names. What comes of another one counts as well.
    pub remote_ssrc: Option<u32>,
    /// Keys of SRTP; `None` sends and takes plain RTP, or nothing where [`dtls`](Self::dtls) is to bring them.
    pub srtp: Option<Keys>,
    /// Keys and address come from DTLS and ICE once they have them ([`Session::secure`](super::Session::secure)):
    /// nothing is sent or taken before, and no address is learned from what arrives.
    pub dtls: bool,
    /// Another stream is on the same path (BUNDLE), so that not every source of RTCP is ours.
    pub shared: bool,
    /// What is sent.
    pub send: Source,
    /// What is done with what arrives.
    pub listen: Listen,
    /// What the negotiated SDP direction allows.
    pub direction: Direction,
    /// Id in our marker, one per leg; with [`audio::FAR_END`] where the leg answered the call.
    pub marker_id: u16,
    /// Id that the far end's marker must have. `None` takes any id of the other role (caller or far end).
    pub expected_id: Option<u16>,
    /// Time between packets, 10–60 ms in steps of 10, default 20 ms; always 20 ms of codecs other than G.711.
    pub ptime: Duration,
    /// Where in the packet time the send grid lies, counted from [`Config::clock`]'s moment; spreads legs.
    pub phase: Duration,
    /// The wall clock of RTCP, the same for all legs of a worker.
    pub clock: NtpClock,
}

impl Config {
    /// A leg that sends speech both ways, with every default.
    pub fn new(codec: Codec, remote_rtp: SocketAddr, remote_rtcp: SocketAddr, clock: NtpClock) -> Self {
        Self {
            codec,
            payload_type: codec.payload_type(),
            received_as: codec.payload_type(),
            others: PayloadTypes::default(),
            telephone_event: None,
            events: PayloadTypes::default(),
            remote_rtp,
            remote_rtcp,
            rtcp_mux: false,
            ssrc: None,
            remote_ssrc: None,
            srtp: None,
            dtls: false,
            shared: false,
            send: Source::Speech,
            listen: Listen::Full,
            direction: Direction::SendRecv,
            marker_id: 0,
            expected_id: None,
            ptime: Duration::from_millis(20),
            phase: Duration::ZERO,
            clock,
        }
    }

    /// Whether this leg answered the call.
    pub fn is_far_end(&self) -> bool {
        self.marker_id & audio::FAR_END != 0
    }

    /// Whether RTP is protected, now or later.
    pub(super) fn is_secure(&self) -> bool {
        self.dtls || self.srtp.is_some()
    }

    /// Brings the packet time into its range and the phase into the packet time.
    pub(super) fn bound(&mut self) {
        let tens = (self.ptime.as_millis() / 10).clamp(1, 6) as u64;
        // Audio of other codecs is there in frames of 20 ms.
        self.ptime = Duration::from_millis(if self.codec.law().is_some() { tens * 10 } else { 20 });
        let nanos = self.phase.as_nanos() % self.ptime.as_nanos();
        self.phase = Duration::from_nanos(nanos as u64);
    }

    /// The codec of a received packet; `None` of one whose payload type was not negotiated. A far end may send any codec of
    /// the answer.
    pub(super) fn codec_of(&self, payload_type: u8) -> Option<Codec> {
        if payload_type == self.received_as {
            return Some(self.codec);
        }
        Codec::from_payload_type(payload_type).filter(|_| self.others.has(payload_type))
    }

    /// Samples in a packet, at the listening rate.
    pub(super) fn samples(&self) -> usize {
        (self.ptime.as_millis() * u128::from(LISTENING_RATE) / 1_000) as usize
    }

    /// Units of the RTP timestamp in a packet.
    pub(super) fn units(&self) -> u32 {
        self.samples() as u32 * self.codec.units_per_sample()
    }
}
