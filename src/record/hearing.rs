//! What was wrong with the sound of an answered call.
//!
//! Several faults are often true at once, so the one that explains the others comes first:
//!
//! | order | class | why here |
//! |---|---|---|
//! | 0 | `media.srtp_failed` | packets came that cannot be heard: it explains silence and one-way audio |
//! | 1 | `media.one_way` | both directions are known: it says more than each direction's own fault |
//! | 2 | `media.no_rtp` | nothing arrived, so nothing below can be judged |
//! | 3 | `media.rtp_timeout` | what is judged below would judge a fraction of the call |
//! | 4 | `media.silence_with_rtp`, `media.noise` | packets are fine, their content is not |
//! | 5 | `media.choppy`, `media.low_level` | the expected audio came, damaged: the worse damage first |
//! | 6 | `media.poor_network` | a measurement; people may not have heard anything yet |

use std::time::Duration;

use super::class::Class;
use super::facts::{Heard, MediaFacts};

/// Below this, too little was listened to for "nothing came" to mean anything.
const MIN_LISTENED: Duration = Duration::from_secs(1);
/// RTP that stops for longer than this before the end of a call has stopped for good.
const STOPPED: Duration = Duration::from_secs(2);
/// Loss that is heard in spite of concealment, percent: the bound above which the network grades define nothing.
const CHOPPY_LOSS_PCT: f64 = 5.0;
/// A gap that swallows a syllable, ms.
const CHOPPY_GAP_MS: f64 = 200.0;
/// Speech below this is hard to understand, dBov.
const LOW_LEVEL_DBOV: f64 = -40.0;

/// The fault that explains the most, if there is one.
pub(super) fn fault(media: &MediaFacts) -> Option<Class> {
    // Nothing is missing where nothing was expected; what arrived is judged all the same.
    let expected = media.listened >= MIN_LISTENED;
    let MediaFacts { audio_rx: rx, audio_tx: tx, .. } = *media;
    if expected && unproved(media) {
        Some(Class::MediaSrtpFailed)
    } else if expected && (one_way(rx, tx) || one_way(tx, rx)) {
        Some(Class::MediaOneWay)
    } else if expected && (rx == Heard::None || media.rx_packets == 0) {
        Some(Class::MediaNoRtp)
    } else if expected && media.stopped_for.is_some_and(|stopped| stopped > STOPPED) {
        Some(Class::MediaRtpTimeout)
    } else if expected && rx == Heard::Silent {
        Some(Class::MediaSilenceWithRtp)
    } else if expected && (rx == Heard::WrongParty || (rx == Heard::Noise && media.reference_expected)) {
        Some(Class::MediaNoise)
    } else if above(media.loss_pct, CHOPPY_LOSS_PCT) || (expected && above(media.gap_ms_max, CHOPPY_GAP_MS)) {
        Some(Class::MediaChoppy)
    } else if rx == Heard::Heard && media.level_dbov.is_some_and(|level| level < LOW_LEVEL_DBOV) {
        Some(Class::MediaLowLevel)
    } else {
        media.grade_poor_or_worse.then_some(Class::MediaPoorNetwork)
    }
}

/// Nothing that could be proved came, or nothing more, while packets did.
fn unproved(media: &MediaFacts) -> bool {
    let stopped = media.stopped_for.is_some_and(|stopped| stopped > STOPPED);
    media.unauthenticated.is_some_and(|packets| packets > 0) && (media.rx_packets == 0 || stopped)
}

/// One direction is known to be heard and the other is known not to be.
fn one_way(heard: Heard, other: Heard) -> bool {
    heard == Heard::Heard && matches!(other, Heard::None | Heard::Silent)
}

fn above(value: Option<f64>, bound: f64) -> bool {
    value.is_some_and(|value| value >= bound)
}
