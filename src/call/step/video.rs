//! Video of a leg: beside its audio, on sockets of its own or in one bundle with it; and `video` as a step, which adds it to
//! a call, changes it, or takes it away.

use std::net::SocketAddr;

use thin_vec::ThinVec;

use crate::call::leg::{Flowing, Leg, Phase, Tools};
use crate::media::Source;
use crate::media::session::{VideoFigures, VideoSource};
use crate::scenario::plan::{self, Step, VideoWish};
use crate::sip::sdp::crypto::{Key, Policy, Suite};
use crate::sip::sdp::{Direction, LocalVideo, NegotiatedVideo, Sdp, VideoFormat};
use crate::station::PortId;
use crate::station::streams::video_config_of;

/// Video of a leg, from its first line in a description on.
#[derive(Debug, Default)]
pub(in crate::call) struct LegVideo {
    /// What we want; without `on` it was refused or taken away, so that its line has port 0.
    wish: VideoWish,
    on: bool,
    /// The last description of the far end had none: only the far end or a step brings it back.
    gone: bool,
    formats: Vec<VideoFormat>,
    /// Sockets of its own, where it has any.
    own: Option<PortId>,
    local_rtp: Option<SocketAddr>,
    /// Keys of what we send, one for each suite.
    keys: ThinVec<Key>,
    /// It shares the path of audio.
    bundled: bool,
    /// Its line stands before that of audio.
    first: bool,
    /// The sockets that it runs on.
    runs_on: Option<PortId>,
    /// An offer that waits for sockets of video, and whether a re-INVITE brought it.
    waiting: Option<(Box<[u8]>, bool)>,
}

impl LegVideo {
    /// Video as it is wanted, before anything is agreed on.
    pub(in crate::call) fn of(wish: Option<&VideoWish>) -> Option<Box<Self>> {
        wish.map(|wish| {
            let mut video = Box::new(Self::default());
            video.want(Some(wish.clone()));
            video
        })
    }

    /// A line that is gone still names what it was.
    fn want(&mut self, wish: Option<VideoWish>) {
        (self.on, self.gone) = (wish.is_some(), false);
        self.wish = wish.unwrap_or_else(|| std::mem::take(&mut self.wish));
        self.formats = self.wish.formats();
    }

    /// Our side of it, with audio at `audio` on a path that is WebRTC's where `shared`; `offering` is of our own accord.
    pub(super) fn described(
        &self,
        audio: SocketAddr,
        (shared, offering): (bool, bool),
        direction: Direction,
    ) -> LocalVideo<'_> {
        let own = SocketAddr::new(audio.ip(), self.local_rtp.map_or(9, |local| local.port()));
        LocalVideo {
            rtp: if shared { audio } else { own },
            formats: &self.formats,
            keys: &self.keys,
            avpf: self.wish.avpf,
            direction: Some(direction).filter(|_| self.on && !(offering && self.gone)),
            bundled: self.bundled,
            first: self.first,
        }
    }

    /// Sockets of its own have been opened; false where these are none of them.
    fn takes_port(&mut self, port: PortId, local: SocketAddr) -> bool {
        let own = self.own == Some(port);
        if own {
            self.local_rtp = Some(local);
        }
        own
    }

    fn lacks_port(&self) -> bool {
        self.on && self.own.is_none()
    }
}

impl Leg {
    /// Sockets have been opened for this leg: what waited for them goes on.
    pub(in crate::call) fn handle_port_opened(&mut self, tools: &mut Tools<'_>, port: PortId, local: SocketAddr) {
        let of_video = self.video.as_mut().is_some_and(|video| video.takes_port(port, local));
        if !of_video {
            self.local_rtp = Some(Box::new(local));
        }
        if let Some((offer, invite)) = self.video.as_mut().and_then(|video| video.waiting.take()) {
            return self.answer_offer_within(tools, &offer, invite);
        }
        let phase = self.phase;
        match phase {
            Phase::OpeningPort if !self.open_port_for_offer(tools) => self.handle_port_for_call(tools),
            Phase::OpeningAnswerPort if !self.open_port_for_answer(tools) => self.accept(tools),
            Phase::OpeningVideoPort => {
                let flowing = self.offer_video(tools);
                self.go_on(tools, flowing);
            }
            Phase::Recovering if !of_video => self.handle_port_moved(tools, local),
            _ => {}
        }
    }

    /// Whether sockets of video are to be waited for before an offer of ours.
    fn open_port_for_offer(&mut self, tools: &mut Tools<'_>) -> bool {
        // With DTLS it shares those of audio.
        tools.actor.target.srtp.policy != Policy::Dtls && self.open_video_port(tools)
    }

    /// Whether sockets of video are to be waited for before the answer to the offer at hand.
    fn open_port_for_answer(&mut self, tools: &mut Tools<'_>) -> bool {
        let Some(offer) = self.offer.take() else { return false };
        let opens = self.open_port_for(tools, &offer);
        self.offer = Some(offer);
        opens
    }

    fn open_port_for(&mut self, tools: &mut Tools<'_>, offer: &[u8]) -> bool {
        let Ok(offer) = Sdp::parse(offer) else { return false };
        self.expect_video(tools, &offer);
        let shared = tools.actor.target.srtp.policy != Policy::Off && offer.has_dtls();
        let offered = offer.media.iter().any(|media| media.is_video() && !media.is_rejected());
        offered && !shared && self.open_video_port(tools)
    }

    fn open_video_port(&mut self, tools: &mut Tools<'_>) -> bool {
        let sockets = self.own_sockets(tools);
        let Some(video) = self.video.as_mut().filter(|video| video.lacks_port()) else { return false };
        video.own = Some(tools.streams.open(tools.me, sockets));
        true
    }

    /// The other side's description may have a video line: from then on so have ours (RFC 3264 §8).
    pub(super) fn expect_video(&mut self, tools: &Tools<'_>, theirs: &Sdp<'_>) {
        if self.video.is_none()
            && let Some(line) = theirs.media.iter().position(|media| media.is_video())
        {
            let mut video = Box::new(LegVideo::default());
            video.want(self.wished(tools).filter(|_| self.port.is_some()).cloned());
            video.first = theirs.media.iter().position(|media| media.is_audio()).is_some_and(|audio| line < audio);
            self.video = Some(video);
        }
    }

    /// What the step that began the call says of video.
    fn wished<'a>(&self, tools: &Tools<'a>) -> Option<&'a VideoWish> {
        let steps = tools.actor.steps.get(..=self.step)?;
        let of_call = steps.iter().rev().find_map(|step| match step {
            Step::Dial(dial) => Some(&dial.video),
            Step::Answer(answer) => Some(&answer.video),
            _ => None,
        });
        of_call?.as_deref()
    }

    /// Keys of video, where those of audio are written into descriptions.
    pub(super) fn make_video_keys(&mut self, tools: &mut Tools<'_>, suites: &[Suite]) {
        if let Some(video) = self.video.as_mut().filter(|video| video.on && video.keys.is_empty()) {
            video.keys = suites.iter().map(|suite| tools.key_source.next(*suite)).collect();
        }
    }

    /// An offer within the dialog. Where it brings video, sockets for that are opened before it is answered.
    pub(super) fn take_offer_within(&mut self, tools: &mut Tools<'_>, offer: &[u8], invite: bool) {
        if self.open_port_for(tools, offer)
            && let Some(video) = &mut self.video
        {
            video.waiting = Some((offer.into(), invite));
            return;
        }
        self.answer_offer_within(tools, offer, invite);
    }

    /// Begins, changes or stops video as agreed.
    pub(super) fn run_video(&mut self, tools: &mut Tools<'_>, agreed: Option<&NegotiatedVideo>) {
        let source = self.video_source(tools);
        let (audio, now) = (self.port, tools.now);
        let Some(video) = &mut self.video else { return };
        video.gone = agreed.is_none();
        let Some(agreed) = agreed else {
            video.bundled = false;
            if let Some(port) = video.runs_on {
                tools.streams.with_video(port, |stream| stream.remove(now));
            }
            return;
        };
        (video.bundled, video.first) = (agreed.bundled, agreed.first);
        let Some(port) = (if agreed.bundled { audio } else { video.own }) else { return };
        match video_config_of(agreed, source, tools.clock) {
            Some(config) => {
                video.runs_on = Some(port);
                tools.streams.run_video(now, port, config);
            }
            // On hold at address 0.0.0.0: nothing can be sent.
            None => tools.streams.with_video(port, |stream| stream.set_direction(agreed.direction, now)),
        }
    }

    /// What video is sent beside the audio of the step at hand or, before the first, of the next.
    fn video_source(&self, tools: &Tools<'_>) -> VideoSource {
        let talk = [self.step, self.step + 1].into_iter().find_map(|step| match tools.actor.steps.get(step) {
            Some(Step::Talk(talk)) => Some(talk.send),
            _ => None,
        });
        self.beside(talk.unwrap_or(Source::Speech))
    }

    /// What video is sent beside this audio.
    fn beside(&self, audio: Source) -> VideoSource {
        match (audio, &self.video) {
            (Source::Nothing, _) | (_, None) => VideoSource::Nothing,
            (Source::Echo, _) => VideoSource::Echo,
            (_, Some(video)) => VideoSource::Picture(video.wish.picture),
        }
    }

    /// Another talk step has begun.
    pub(super) fn set_video_source(&mut self, tools: &mut Tools<'_>, audio: Source) {
        let (source, now) = (self.beside(audio), tools.now);
        if let Some(port) = self.video.as_ref().and_then(|video| video.runs_on) {
            tools.streams.with_video(port, |stream| stream.set_source(source, now));
        }
    }

    /// The agent is away, or back: what is sent to sockets of video is not heard either.
    pub(super) fn mute_video(&self, tools: &mut Tools<'_>, mute: bool) {
        if let Some(port) = self.video.as_ref().and_then(|video| video.own) {
            tools.streams.set_mute(tools.now, port, mute);
        }
    }

    /// Ends video and gives its sockets back; what is known of it.
    pub(super) fn finish_video(&mut self, tools: &mut Tools<'_>) -> Option<Box<VideoFigures>> {
        let video = self.video.take()?;
        let report = video.runs_on.and_then(|port| tools.streams.finish_video(tools.now, port));
        if let Some(port) = video.own {
            tools.streams.finish(tools.now, port);
        }
        report.map(|report| Box::new(report.figures))
    }

    pub(in crate::call) fn begin_video(&mut self, tools: &mut Tools<'_>, step: &plan::Video) -> Flowing {
        if self.session.is_none() || !self.up {
            return self.find_call_gone();
        }
        if self.port.is_none() {
            self.unmet.get_or_insert_with(|| "video: the call has no media".to_owned());
            return Flowing::Over;
        }
        let video = self.video.get_or_insert_default();
        let wish = step.change.as_ref().map(|change| change.applied_to(&video.wish));
        video.want(wish);
        if self.open_port_for_offer(tools) {
            return self.block(Phase::OpeningVideoPort, None);
        }
        self.offer_video(tools)
    }

    /// The far end is told what we want of video from now on.
    fn offer_video(&mut self, tools: &mut Tools<'_>) -> Flowing {
        let (Some(session), Some(Step::Video(step))) = (self.session, tools.actor.steps.get(self.step)) else {
            return self.find_call_gone();
        };
        let sdp = self.write_offer(tools, 9);
        if !tools.endpoint.change(tools.now, session, &sdp, step.by) {
            return self.find_call_gone();
        }
        self.block(Phase::Directing, None)
    }

    /// Whether a `video` step came to what it wanted.
    pub(super) fn check_video(&self, tools: &Tools<'_>) -> Result<(), String> {
        let wanted = matches!(tools.actor.steps.get(self.step), Some(Step::Video(plan::Video { change: Some(_), .. })));
        let refused = wanted && self.video.as_ref().is_some_and(|video| video.gone);
        if refused { Err("the far end takes no video".to_owned()) } else { Ok(()) }
    }
}
