//! Figures of each second, and what the grade of the call is made from.

use std::time::{Duration, Instant};

use crate::media::emodel::{Impairment, Input};
use crate::media::grade::{Grade, Inputs};
use crate::media::stats::{Interval, Samples};
use crate::units::millis;

const SECOND: Duration = Duration::from_secs(1);

/// One second of a leg. `None` is not known: nothing arrived, or no RTCP told a round trip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Second {
    /// When it ended.
    pub end: Instant,
    /// Loss in it by sequence numbers, percent.
    pub loss_pct: Option<f64>,
    /// Jitter at its end, ms.
    pub jitter_ms: Option<f64>,
    /// Last round-trip time, ms.
    pub rtt_ms: Option<f64>,
    /// Mean active level, dBov.
    pub level_dbov: Option<f64>,
    /// Listening MOS.
    pub mos_lq: Option<f64>,
    /// Conversational MOS.
    pub mos_cq: Option<f64>,
    /// The grade by the table; `None` where it would be good but an input is missing.
    pub grade: Option<Grade>,
}

/// The seconds so far.
#[derive(Clone, Debug)]
pub(super) struct Seconds {
    end: Instant,
    jitters_ms: Samples,
    worst: Option<Grade>,
    poor: u32,
}

impl Seconds {
    pub(super) fn new(now: Instant) -> Self {
        Self { end: now + SECOND, jitters_ms: Samples::default(), worst: None, poor: 0 }
    }

    /// When the current second ends.
    pub(super) fn end(&self) -> Instant {
        self.end
    }

    /// Ends the current second.
    pub(super) fn close(
        &mut self,
        interval: Interval,
        rtt: Option<Duration>,
        level_dbov: Option<f64>,
        codec: Impairment,
    ) -> Second {
        let end = self.end;
        self.end += SECOND;
        let rtt_ms = rtt.map(millis);
        let inputs = Inputs {
            loss_pct: interval.loss_pct,
            jitter_ms: interval.jitter_ms,
            one_way_ms: rtt_ms.map(|rtt| rtt / 2.0),
        };
        self.count(&inputs);
        let quality = interval
            .loss_pct
            .map(|loss_pct| Input { codec, loss_pct, burst_r: 1.0, one_way_ms: inputs.one_way_ms }.quality());
        Second {
            end,
            loss_pct: interval.loss_pct,
            jitter_ms: interval.jitter_ms,
            rtt_ms,
            level_dbov,
            mos_lq: quality.map(|quality| quality.mos_lq),
            mos_cq: quality.and_then(|quality| quality.mos_cq),
            grade: inputs.grade().grade,
        }
    }

    /// 95th percentile of the jitter of all seconds, ms.
    pub(super) fn jitter_p95_ms(&self) -> Option<f64> {
        self.jitters_ms.percentile(95.0)
    }

    /// Grade of the worst second.
    pub(super) fn worst(&self) -> Option<Grade> {
        self.worst
    }

    /// Seconds at poor or worse; `None` before the first that could be graded.
    pub(super) fn poor(&self) -> Option<u32> {
        self.worst.map(|_| self.poor)
    }

    fn count(&mut self, inputs: &Inputs) {
        if let Some(jitter) = inputs.jitter_ms {
            self.jitters_ms.add(jitter);
        }
        // A round trip alone says nothing about a second in which nothing arrived.
        if inputs.loss_pct.is_none() && inputs.jitter_ms.is_none() {
            return;
        }
        let grade = inputs.worst();
        self.worst = self.worst.max(grade);
        self.poor += u32::from(grade >= Some(Grade::Poor));
    }
}
