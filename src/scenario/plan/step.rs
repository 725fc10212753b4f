//! What an actor does, step by step.

use std::time::Duration;

use super::{Disturb, Dtmf, Picture, Raw, Request, Send, Size, VideoCodec, VideoWish, WantedKeys};
use crate::pace::Length;
use crate::record::{Class, Party};
use crate::scenario::text::{Text, Values};
use crate::sip::sdp::Direction;
use crate::sip::session::{Extensions, Means};
use crate::units::Random;

/// A step of an actor.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Send REGISTER and wait for its final response.
    Register(Register),
    /// Place a call and wait until it is answered or refused.
    Dial(Dial),
    /// Wait for an inbound call and treat it.
    Answer(Answer),
    /// Send audio and listen for a while.
    Talk(Talk),
    /// Let time pass; media, if any, goes on.
    Wait(Length),
    /// Change what flows: hold and resume.
    Direct(Direct),
    /// Add, change or remove video.
    Video(Video),
    /// Press keys.
    Dtmf(Dtmf),
    /// End the call and wait for the BYE's response.
    Hangup,
    /// Keep the call up, sending audio, until the load lets go.
    HoldOpen,
    /// Check a fact of the attempt so far.
    Expect(Check),
    /// Send OPTIONS and wait for its final response.
    Options(Options),
    /// The agent is disturbed, and comes back.
    Disturb(Disturb),
    /// Timers of the agent's page fire once a minute only, for so long.
    Throttle(Duration),
    /// Ask something of the application that the agent works in.
    Request(Box<Request>),
}

/// `register`.
#[derive(Clone, Debug, PartialEq)]
pub struct Register {
    /// Expiry asked for, seconds 1–86400, default 300.
    pub expires: u32,
    /// Whether it is asked for again where the registrar cannot take it now.
    pub retry: Option<Retry>,
    /// What its outcome must be; by default success.
    pub expect: Option<Outcome>,
}

/// `retry` of a `register`: after each failure a longer wait, drawn between half and all of `base` · 2^failures
/// (RFC 5626 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Times that it is asked for again, at most.
    pub times: u32,
    /// The wait that doubles, default 30 s.
    pub base: Duration,
    /// The longest wait, default 1800 s.
    pub most: Duration,
}

impl Retry {
    /// How long to wait after the given number of failures, from 1.
    pub fn wait(&self, failures: u32, random: &mut Random) -> Duration {
        let upper = self.base.saturating_mul(2u32.saturating_pow(failures.min(16))).min(self.most);
        upper.mul_f64(0.5 + random.unit() / 2.0)
    }
}

/// `dial`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dial {
    /// What is dialled.
    pub number: Number,
    /// Label of the trunk, a key of the target's `trunks:` where it has one.
    pub trunk: Option<String>,
    /// From and P-Asserted-Identity user where the account's own is not wanted.
    pub from: Option<Text>,
    /// Answer time-out from the INVITE, 1 s–10 min, default 60 s; a call not answered by then is cancelled.
    pub answer_within: Duration,
    /// Cancel this long after the first 18x (or after the INVITE, where none came), as a caller who gives up.
    pub cancel_after: Option<Duration>,
    /// Additional headers.
    pub headers: Vec<(String, Text)>,
    /// Whether audio is sent and received.
    pub media: MediaMode,
    /// Video beside it.
    pub video: Option<Box<VideoWish>>,
    /// What our description says of it.
    pub direction: Direction,
    /// What the INVITE gets wrong on purpose.
    pub raw: Option<Box<RawText>>,
    /// Extensions of SIP that it speaks.
    pub speaks: Extensions,
    /// What its outcome must be; by default that it is answered. With it, a refused call is the pass.
    pub expect: Option<Outcome>,
}

/// `video` as a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Video {
    /// What is wanted; `None` removes the stream.
    pub change: Option<VideoChange>,
    /// With what it is asked for.
    pub by: Means,
}

/// What a `video` step changes; `None` leaves it as it is, or as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VideoChange {
    /// Codecs, best first.
    pub codecs: Option<Vec<VideoCodec>>,
    /// Size of what is sent.
    pub size: Option<Size>,
    /// Frames per second.
    pub fps: Option<u16>,
    /// Bit rate, kbit/s.
    pub kbps: Option<u32>,
    /// Whether offers have the profile RTP/AVPF.
    pub avpf: Option<bool>,
}

impl VideoChange {
    /// What `before` becomes.
    pub fn applied_to(&self, before: &VideoWish) -> VideoWish {
        let VideoWish { codecs, picture, avpf } = before;
        VideoWish {
            codecs: self.codecs.clone().unwrap_or_else(|| codecs.clone()),
            picture: Picture {
                size: self.size.unwrap_or(picture.size),
                fps: self.fps.unwrap_or(picture.fps),
                kbps: self.kbps.unwrap_or(picture.kbps),
            },
            avpf: self.avpf.unwrap_or(*avpf),
        }
    }
}

/// `hold` and `resume`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Direct {
    /// What may flow from now on, seen from us.
    pub direction: Direction,
    /// With what it is asked for.
    pub by: Means,
}

/// [`Raw`] with placeholders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawText {
    /// The method of the first line.
    pub method: Option<Text>,
    /// The whole first line.
    pub start_line: Option<Text>,
    /// Values by the name of their field.
    pub headers: Vec<(String, Vec<Text>)>,
    /// The body.
    pub body: Option<Text>,
}

impl RawText {
    /// The changes in one attempt.
    pub fn render(&self, values: &Values<'_>) -> Raw {
        let text = |text: &Option<Text>| text.as_ref().map(|text| text.render(values));
        let field = |(name, texts): &(String, Vec<Text>)| {
            (name.clone(), texts.iter().map(|text| text.render(values)).collect())
        };
        Raw {
            method: text(&self.method),
            start_line: text(&self.start_line),
            headers: self.headers.iter().map(field).collect(),
            body: text(&self.body),
        }
    }
}

/// What a number is and where it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// The text dialled: digits, `+ * #`, or a `sip:`/`tel:` URI.
    pub text: Text,
    /// Its key in `numbers:` or `hotlines:`, where a name was written.
    pub name: Option<String>,
    /// It is a hotline: the key becomes the tag.
    pub hotline: bool,
}

/// `media:` of a dial or answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaMode {
    /// Audio is sent, received and listened to.
    #[default]
    Audio,
    /// Audio is offered, but no packet is sent or expected: signalling-only load.
    None,
}

/// `answer`.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// An inbound call must arrive within this time, default 60 s.
    pub within: Duration,
    /// No call need come.
    pub optional: bool,
    /// Whether 180 is sent.
    pub ring: bool,
    /// Time between the INVITE and the final response.
    pub after: Duration,
    /// Refuse with this code instead of answering.
    pub reject: Option<Reject>,
    /// Whether audio is sent and received.
    pub media: MediaMode,
    /// Video that is taken where it is offered.
    pub video: Option<Box<VideoWish>>,
    /// What our description says of it.
    pub direction: Direction,
    /// Extensions of SIP that it speaks.
    pub speaks: Extensions,
}

/// A refusal that we send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Final response, 300–699.
    pub code: u16,
    /// Reason phrase; the standard's where left out.
    pub reason: Option<String>,
    /// Q.850 cause in a Reason header.
    pub q850: Option<u16>,
    /// Retry-After, seconds.
    pub retry_after: Option<u32>,
}

impl Reject {
    /// A refusal with the standard's reason phrase.
    pub fn new(code: u16, q850: Option<u16>) -> Self {
        Self { code, reason: None, q850, retry_after: None }
    }

    /// Header fields that say more than the code.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let cause = self.q850.map(|cause| ("Reason", format!("Q.850;cause={cause}")));
        let retry_after = self.retry_after.map(|seconds| ("Retry-After", seconds.to_string()));
        cause.into_iter().chain(retry_after).collect()
    }
}

/// `talk`.
#[derive(Clone, Debug, PartialEq)]
pub struct Talk {
    /// How long; `None` lasts until the far end hangs up.
    pub duration: Option<Length>,
    /// What is sent.
    pub send: Send,
}

/// `options`.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What its outcome must be; by default a 2xx.
    pub expect: Option<Outcome>,
}

/// What a request's outcome must be. All fields given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// One of these final codes.
    pub code: Vec<u16>,
    /// This class.
    pub class: Option<Class>,
    /// The final response came within this time of the request.
    pub within: Option<Duration>,
}

/// `expect` as a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Check {
    /// The call must end by this party within the time, counted from the step's start.
    EndedBy {
        /// `us` or `far_end`.
        party: Party,
        /// How long to wait for it.
        within: Duration,
    },
    /// The call must still be up.
    StillUp,
    /// These keys and no others must come, counted from the last such check or from the beginning of the call.
    Heard {
        /// The keys.
        wanted: WantedKeys,
        /// How long to wait for them, default 5 s.
        within: Duration,
    },
}
