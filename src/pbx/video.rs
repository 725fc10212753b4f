//! Video of a call to the lab: an echo sends it back; who does not send back audio sends no video either.

use std::net::SocketAddr;
use std::time::Instant;

use super::station::Pbx;
use crate::media::Source;
use crate::media::session::VideoSource;
use crate::media::video::Wish;
use crate::sip::sdp::crypto::{Key, Policy};
use crate::sip::sdp::{Direction, LocalVideo, NegotiatedVideo, Sdp, VideoFormat};
use crate::sip::session::Means;
use crate::sip::token::Handle;
use crate::station::streams::video_config_of;
use crate::station::{MediaSockets, PortId};

/// Video of a call, from the first offer of it on.
#[derive(Debug)]
pub(super) struct CallVideo {
    formats: Vec<VideoFormat>,
    /// Sockets of its own, unless it shares those of audio.
    pub(super) own: Option<PortId>,
    local_rtp: Option<SocketAddr>,
    pub(super) keys: Vec<Key>,
    bundled: bool,
    first: bool,
    runs_on: Option<PortId>,
    /// A change of the call waits for the sockets.
    pub(super) waiting: Option<Means>,
}

impl CallVideo {
    fn new(own: Option<PortId>, waiting: Option<Means>) -> Self {
        Self {
            formats: Wish::default().formats(),
            own,
            local_rtp: None,
            keys: Vec::new(),
            bundled: false,
            first: false,
            runs_on: None,
            waiting,
        }
    }

    /// Our side of it, with audio at `audio` on a path that is WebRTC's where `shared`.
    pub(super) fn described(&self, audio: SocketAddr, shared: bool) -> LocalVideo<'_> {
        let own = self.local_rtp.map(|local| SocketAddr::new(audio.ip(), local.port()));
        LocalVideo {
            rtp: if shared { audio } else { own.unwrap_or(audio) },
            formats: &self.formats,
            keys: &self.keys,
            avpf: false,
            // Without sockets it is refused.
            direction: (shared || own.is_some()).then_some(Direction::SendRecv),
            bundled: self.bundled,
            first: self.first,
        }
    }
}

impl Pbx {
    /// Whether the offer at hand brings video whose sockets are to be waited for; `by` is how it came within a call.
    pub(super) fn open_video_port(&mut self, session: Handle, by: Option<Means>) -> bool {
        let policy = self.config.plan.srtp.as_ref().map_or(Policy::Offered, |srtp| srtp.policy);
        let Some(call) = self.calls.get_mut(&session).filter(|call| call.port.is_some() && call.video.is_none()) else {
            return false;
        };
        let Some(Ok(offer)) = call.offer.as_deref().map(Sdp::parse) else { return false };
        if !offer.media.iter().any(|media| media.is_video() && !media.is_rejected()) {
            return false;
        }
        if policy != Policy::Off && offer.has_dtls() {
            call.video = Some(Box::new(CallVideo::new(None, None)));
            return false;
        }
        let Some(local) = self.endpoint.local_address(call.flow.link) else { return false };
        let port = self.streams.open(session, MediaSockets { range: None, local, shared: false });
        call.video = Some(Box::new(CallVideo::new(Some(port), by)));
        true
    }

    /// Sockets of a call's video have been opened; false where the port is none of video.
    pub(super) fn take_video_port(
        &mut self,
        now: Instant,
        session: Handle,
        port: PortId,
        opened: Option<SocketAddr>,
    ) -> bool {
        let video = self.calls.get_mut(&session).and_then(|call| call.video.as_mut());
        let Some(video) = video.filter(|video| video.own == Some(port)) else { return false };
        video.local_rtp = opened;
        match video.waiting.take() {
            Some(by) => self.answer_offer(now, session, by),
            None => self.proceed(now, session),
        }
        true
    }

    pub(super) fn run_video(&mut self, now: Instant, session: Handle, agreed: Option<&NegotiatedVideo>, audio: Source) {
        let Some(call) = self.calls.get_mut(&session) else { return };
        let Some(video) = &mut call.video else { return };
        let Some(agreed) = agreed else {
            video.bundled = false;
            if let Some(port) = video.runs_on {
                self.streams.with_video(port, |stream| stream.remove(now));
            }
            return;
        };
        (video.bundled, video.first) = (agreed.bundled, agreed.first);
        let source = if audio == Source::Echo { VideoSource::Echo } else { VideoSource::Nothing };
        let Some(port) = (if agreed.bundled { call.port } else { video.own }) else { return };
        match video_config_of(agreed, source, self.config.clock) {
            Some(config) => {
                video.runs_on = Some(port);
                self.streams.run_video(now, port, config);
            }
            None => self.streams.with_video(port, |stream| stream.set_direction(agreed.direction, now)),
        }
    }
}
