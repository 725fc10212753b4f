//! Video of streams: on a pair of sockets of its own, or on the path of audio (BUNDLE), where payload types and sources tell
//! it from audio (RFC 9143 §9.2).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Place, Streams, media_packet};
use crate::media::Output;
use crate::media::clock::NtpClock;
use crate::media::rtcp;
use crate::media::session::{VideoConfig, VideoReport, VideoSession, VideoSource};
use crate::media::video::VideoCodec;
use crate::sip::sdp::NegotiatedVideo;
use crate::station::{Channel, PortId};

/// The configuration of video as both sides agreed on it; `None` where it has no address or codec to send with.
pub fn video_config_of(agreed: &NegotiatedVideo, send: VideoSource, clock: NtpClock) -> Option<VideoConfig> {
    // ICE finds the address, and until then nothing is sent.
    let nowhere = SocketAddr::from(([0; 4], 0));
    let rtp = if agreed.bundled { nowhere } else { agreed.remote_rtp? };
    Some(VideoConfig {
        codec: VideoCodec::from_name(agreed.name)?,
        payload_type: agreed.payload_type,
        received_as: agreed.received_as,
        offered: agreed.offered,
        single_nal: agreed.packetization_mode == 0,
        remote_rtp: rtp,
        remote_rtcp: agreed.remote_rtcp.filter(|_| !agreed.bundled).unwrap_or(rtp),
        rtcp_mux: agreed.rtcp_mux,
        srtp: agreed.srtp,
        bundled: agreed.bundled,
        send,
        direction: agreed.direction,
        feedback: agreed.feedback,
        phase: Duration::ZERO,
        clock,
    })
}

/// Gives a packet to the video of a place; false where it is for audio, or for audio as well.
pub(super) fn take(
    video: &mut Option<Box<VideoSession>>,
    arrived: Instant,
    channel: Channel,
    from: SocketAddr,
    packet: &[u8],
) -> bool {
    let Some(video) = video else { return false };
    if channel == Channel::Rtcp || rtcp::is_rtcp(packet) {
        match channel {
            Channel::Rtcp => video.handle_rtcp(arrived, from, packet),
            Channel::Rtp => video.handle_rtp(arrived, from, packet),
        }
        return false;
    }
    let is_video = video.takes(packet);
    if is_video {
        video.handle_rtp(arrived, from, packet);
    }
    is_video
}

impl<O: Copy> Streams<O> {
    /// Begins video on a pair of sockets, its own or that of audio; video that runs goes on as `config` says.
    pub fn run_video(&mut self, now: Instant, port: PortId, config: VideoConfig) {
        let fps = match config.send {
            VideoSource::Picture(picture) => u32::from(picture.fps.max(1)),
            VideoSource::Echo | VideoSource::Nothing => 1,
        };
        // Streams that begin together are far apart in phase.
        self.next_phase = (self.next_phase + 7) % super::PTIME_MS;
        let phase = (Duration::from_secs(1) / fps).mul_f64(f64::from(self.next_phase) / f64::from(super::PTIME_MS));
        let seed = self.random.next_u64();
        let Some(place) = self.places.get_mut(port.0 as usize) else { return };
        if let Some(video) = &mut place.video {
            video.renew(config, now);
        } else {
            let mut video = Box::new(VideoSession::new(VideoConfig { phase, ..config }, seed, now));
            if let Some((remote, keys)) = place.peer.as_ref().and_then(|peer| peer.secured()) {
                video.secure(remote, keys, now);
            }
            place.video = Some(video);
            if let Some(session) = &mut place.session {
                session.set_shared(true);
            }
        }
        self.drain(port);
    }

    /// Lets `act` change video that runs.
    pub fn with_video(&mut self, port: PortId, act: impl FnOnce(&mut VideoSession)) {
        if let Some(video) = self.places.get_mut(port.0 as usize).and_then(|place| place.video.as_mut()) {
            act(video);
            self.drain(port);
        }
    }

    /// Ends the video of a pair of sockets; they stay open. `None` where there was none.
    pub fn finish_video(&mut self, now: Instant, port: PortId) -> Option<VideoReport> {
        self.with_video(port, |video| video.close(now));
        let video = self.places.get_mut(port.0 as usize)?.video.take()?;
        Some(video.report(now))
    }

    /// Takes what the video of a stream has to send; gives its deadline.
    pub(super) fn drain_video(&mut self, port: PortId) -> Option<Instant> {
        let Place { video: Some(video), peer, relays, .. } = self.places.get_mut(port.0 as usize)? else {
            return None;
        };
        loop {
            match video.poll_output(&mut self.packet) {
                Output::Transmit { channel, to } => {
                    self.out.extend(media_packet(port, (channel, to), peer, relays, &self.packet, &mut self.arena));
                }
                Output::Timeout(at) => return Some(at),
                Output::Idle | Output::Event(_) => return None,
            }
        }
    }
}
