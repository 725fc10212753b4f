//! What an attempt came to in figures: all that is counted of it. Most attempts of a load are never more than that.

use std::time::Instant;

use crate::media::Audio;
use crate::media::dtmf::Keys;
use crate::units::millis;

use super::build::MediaFigures;
use super::call_record::{CallRecord, Origin, Role};
use super::class::Class;
use super::classify::classify;
use super::facts::{Facts, Party};
use super::video::VideoOutcome;

/// The figures of one attempt, under the names of [`CallRecord`]: milliseconds as fractions, `None` where unknown.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields of the record, under the same names")]
pub struct Outcome {
    pub role: Role,
    pub class: Class,
    pub code: Option<u16>,
    pub code_origin: Option<Origin>,
    pub invited: bool,
    pub rang: bool,
    pub warm_up: bool,
    /// An expectation of a step was not met.
    pub unmet: bool,
    pub as_expected: Option<bool>,
    pub hangup_by: Option<Party>,
    pub audio: Audio,
    /// Media was opened, so it has a quality to know.
    pub media_opened: bool,
    /// Something befell the agent on purpose, from which it was to come back.
    pub disturbed: bool,
    pub late_ms: Option<f64>,
    pub stalled_ms: Option<f64>,
    pub rrd_ms: Option<f64>,
    pub registered_ms: Option<f64>,
    pub pdd_ms: Option<f64>,
    pub srd_ms: Option<f64>,
    pub ring_ms: Option<f64>,
    pub setup_ms: Option<f64>,
    pub duration_ms: Option<f64>,
    pub sdd_ms: Option<f64>,
    pub recovery_ms: Option<f64>,
    pub ice_gathered_ms: Option<f64>,
    pub mos_lq: Option<f64>,
    pub mos_cq: Option<f64>,
    pub loss_pct: Option<f64>,
    pub jitter_ms: Option<f64>,
    pub rtt_ms: Option<f64>,
    /// `None` where no video was agreed on.
    pub video: Option<VideoOutcome>,
    /// Keys that were heard, also where the record hides them.
    pub dtmf_heard: Option<Keys>,
}

impl Outcome {
    /// What these facts come to. `warm_up`, `unmet` and `as_expected` are left for the caller to fill: they are of the plan
    /// and its steps, not facts.
    pub fn of(role: Role, facts: &Facts, figures: Option<&MediaFigures>) -> Self {
        let moments = &facts.moments;
        let media = facts.media.as_deref();
        let response = facts.response.as_ref().or_else(|| facts.registration.as_ref().map(|it| &it.response));
        let heard = media.map(|media| (media.audio_rx, media.audio_tx)).unwrap_or_default();
        Self {
            role,
            class: classify(facts),
            code: response.map(|response| response.code),
            code_origin: response.map(|response| response.origin),
            invited: moments.invite.is_some(),
            rang: moments.ringing.is_some(),
            warm_up: false,
            unmet: false,
            as_expected: None,
            hangup_by: facts.ended.map(|ended| ended.by),
            audio: Audio::of(heard.0, heard.1),
            media_opened: media.is_some(),
            disturbed: facts.recovery.is_some(),
            late_ms: between(moments.intended, moments.started),
            stalled_ms: facts.stalled.map(millis),
            rrd_ms: registration_delay(facts),
            registered_ms: facts.registered_after.map(millis),
            pdd_ms: between(moments.invite, moments.ringing).filter(|_| role == Role::Caller),
            srd_ms: between(moments.invite, moments.status),
            ring_ms: between(moments.ringing, moments.answered),
            setup_ms: between(moments.invite, moments.answered),
            // RFC 6076 §4.5: to the BYE, or to the time-out that stands for it.
            duration_ms: between(moments.answered, moments.bye.or(moments.ended)),
            sdd_ms: between(moments.bye, moments.bye_answered),
            recovery_ms: facts.recovery.as_ref().and_then(|recovery| recovery.took).map(millis),
            ice_gathered_ms: facts.peer.as_deref().and_then(|peer| between(peer.rungs.opened, peer.rungs.gathered)),
            mos_lq: figures.and_then(|figures| figures.mos_lq),
            mos_cq: figures.and_then(|figures| figures.mos_cq),
            loss_pct: media.and_then(|media| media.loss_pct),
            jitter_ms: figures.and_then(|figures| figures.jitter_ms),
            rtt_ms: figures.and_then(|figures| figures.rtt_ms),
            video: figures.and_then(|figures| figures.video.as_deref()).map(VideoOutcome::of),
            dtmf_heard: figures.and_then(|figures| figures.dtmf.heard),
        }
    }

    /// Whether the call was answered: a 2xx to its INVITE was received (or sent, on an answering leg).
    pub fn is_answered(&self) -> bool {
        self.setup_ms.is_some()
    }

    /// Whether the attempt counts as failed: an expectation of a step was not met, or something was wrong that no step
    /// expected.
    pub fn is_failed(&self) -> bool {
        self.unmet || (self.class != Class::Ok && self.as_expected != Some(true))
    }
}

impl CallRecord {
    /// What is counted of it.
    pub fn outcome(&self) -> Outcome {
        Outcome {
            role: self.role,
            class: self.class,
            code: self.code,
            code_origin: self.code_origin,
            invited: self.invited,
            rang: self.rang,
            warm_up: self.warm_up,
            unmet: self.unmet.is_some(),
            as_expected: self.as_expected,
            hangup_by: self.hangup_by.as_deref().and_then(Party::of_name),
            audio: Audio::of(self.audio_rx, self.audio_tx),
            media_opened: self.rx_packets.is_some(),
            disturbed: self.recovery_from.is_some(),
            late_ms: self.late_ms,
            stalled_ms: self.stalled_ms,
            rrd_ms: self.rrd_ms,
            registered_ms: self.registered_ms,
            pdd_ms: self.pdd_ms,
            srd_ms: self.srd_ms,
            ring_ms: self.ring_ms,
            setup_ms: self.setup_ms,
            duration_ms: self.duration_ms,
            sdd_ms: self.sdd_ms,
            recovery_ms: self.recovery_ms,
            ice_gathered_ms: self.ice_gathered_ms,
            mos_lq: self.mos_lq,
            mos_cq: self.mos_cq,
            loss_pct: self.loss_pct,
            jitter_ms: self.jitter_ms,
            rtt_ms: self.rtt_ms,
            video: self.video.as_deref().map(VideoOutcome::of),
            dtmf_heard: self.dtmf_heard.and_then(|told| told.keys()),
        }
    }
}

/// Milliseconds between two moments that were both seen. A 180 that arrives after the 200 gives no ringing time rather
/// than one of 0.
pub(super) fn between(from: Option<Instant>, to: Option<Instant>) -> Option<f64> {
    to?.checked_duration_since(from?).map(millis)
}

/// RFC 6076 §4.1 is defined for successful registrations only.
fn registration_delay(facts: &Facts) -> Option<f64> {
    let registration = facts.registration.as_ref()?;
    (200..300).contains(&registration.response.code).then(|| millis(registration.delay))
}
