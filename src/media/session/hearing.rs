//! What the markers that were seen say about both directions.
//!
//! | marker's id | heard here | heard there |
//! |---|---|---|
//! | our own | yes: an echo | yes: an echo proves both |
//! | the expected far end's, or any of the other role | yes | what the marker says |
//! | another, seen twice | wrong party | – |

use std::time::Duration;

use crate::media::Heard;
use crate::media::audio::{FAR_END, Marker, Sighting};
use crate::media::level::Meter;
use crate::media::stats::Samples;

use super::send::Outgoing;

/// Sightings of a foreign id that make a wrong party: a single one may be a bad line that slipped through the CRC.
const WRONG_SIGHTINGS: u32 = 2;
/// Time without any packet that means none.
const NONE_AFTER: Duration = Duration::from_secs(1);
/// Decoded samples without sound that mean silence: 1 s.
const SILENT_AFTER: u64 = 8_000;
/// Decoded samples without marker that mean noise: 2 s, two periods of the reference.
const NOISE_AFTER: u64 = 16_000;
/// Markers count modulo 16, so an older one of the same number cannot be told.
const LONGEST_LOOP: Duration = Duration::from_secs(15);

/// Markers of one leg.
#[derive(Clone, Debug)]
pub(super) struct Hearing {
    own: u16,
    expected: Option<u16>,
    own_seen: u32,
    far: Option<u16>,
    far_seen: u32,
    wrong: Option<u16>,
    wrong_seen: u32,
    far_hears: Heard,
    loops_ms: Samples,
}

impl Hearing {
    pub(super) fn new(own: u16, expected: Option<u16>) -> Self {
        Self {
            own,
            expected,
            own_seen: 0,
            far: None,
            far_seen: 0,
            wrong: None,
            wrong_seen: 0,
            far_hears: Heard::Unknown,
            loops_ms: Samples::default(),
        }
    }

    /// Takes a marker that was heard. `echoing` says that the leg sends back what it receives.
    pub(super) fn see(&mut self, sighting: &Sighting, sent: &Outgoing, echoing: bool) {
        let id = sighting.marker.id;
        if id == self.own {
            self.see_own(sighting, sent);
        } else if self.is_far_end(id) {
            self.far_seen += 1;
            self.far = Some(id);
            self.far_says(sighting.marker.hears(self.own, echoing));
        } else {
            self.wrong_seen = if self.wrong == Some(id) { self.wrong_seen + 1 } else { 1 };
            self.wrong = Some(id);
        }
    }

    /// What we hear, from markers, packets and levels.
    pub(super) fn hears(&self, packets: u64, meter: &Meter, listened: Duration) -> Heard {
        if self.own_seen + self.far_seen > 0 {
            Heard::Heard
        } else if self.wrong_seen >= WRONG_SIGHTINGS {
            Heard::WrongParty
        } else if packets == 0 {
            if listened >= NONE_AFTER { Heard::None } else { Heard::Unknown }
        } else if meter.active_samples() == 0 {
            if meter.samples() >= SILENT_AFTER { Heard::Silent } else { Heard::Unknown }
        } else if meter.samples() >= NOISE_AFTER {
            Heard::Noise
        } else {
            Heard::Unknown
        }
    }

    /// What the far end is known to hear of us.
    pub(super) fn is_heard(&self) -> Heard {
        if self.own_seen > 0 { Heard::Heard } else { self.far_hears }
    }

    /// The code that our marker carries for `heard`.
    pub(super) fn code(&self, heard: Heard) -> u8 {
        Marker::hearing_code(heard, self.own, self.far.unwrap_or(self.own))
    }

    /// Median time from sending our marker to hearing it, ms.
    pub(super) fn loop_ms(&self) -> Option<f64> {
        self.loops_ms.percentile(50.0)
    }

    /// Id of the far end of ours that was heard, else of the wrong party.
    pub(super) fn heard_id(&self) -> Option<u16> {
        self.far.or_else(|| self.wrong.filter(|_| self.wrong_seen >= WRONG_SIGHTINGS))
    }

    /// Markers heard that were ours or the far end's.
    pub(super) fn markers(&self) -> u32 {
        self.own_seen + self.far_seen
    }

    fn is_far_end(&self, id: u16) -> bool {
        self.expected.map_or((id ^ self.own) & FAR_END != 0, |expected| id == expected)
    }

    fn see_own(&mut self, sighting: &Sighting, sent: &Outgoing) {
        self.own_seen += 1;
        let Some(sent_at) = sent.marker_sent(sighting.marker.sequence) else { return };
        if let Some(loop_time) = sighting.at.checked_duration_since(sent_at).filter(|time| *time <= LONGEST_LOOP) {
            self.loops_ms.add(crate::units::millis(loop_time));
        }
    }

    /// Heard once is heard; before that the latest news counts.
    fn far_says(&mut self, heard: Heard) {
        if self.far_hears != Heard::Heard && heard != Heard::Unknown {
            self.far_hears = heard;
        }
    }
}
