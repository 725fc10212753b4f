//! The figures of a run that are a single number.

use super::tally::Totals;

/// Figures that are a single number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Total {
    /// Attempts that started.
    Attempted,
    /// Attempts that were answered.
    Answered,
    /// Attempts that failed.
    Failed,
    /// Starts that were due and did not happen.
    Dropped,
    /// Highest number of attempts at the same time.
    PeakConcurrent,
    /// Highest number of starts in a second.
    PeakCps,
    /// Starts per second over the run.
    Cps,
    /// See [`super::kpi::Kpi`] for this and the following.
    Asr,
    /// E.425.
    Ner,
    /// 100 − ISA.
    NerIr42,
    /// Seconds.
    AcdS,
    /// RFC 6076 §4.6.
    Ser,
    /// RFC 6076 §4.7.
    Seer,
    /// RFC 6076 §4.8.
    Isa,
    /// RFC 6076 §4.9.
    Scr,
    /// RFC 6076 §4.2.
    Ira,
}

impl Total {
    /// Every one of them.
    pub const ALL: &[Self] = &[
        Self::Attempted,
        Self::Answered,
        Self::Failed,
        Self::Dropped,
        Self::PeakConcurrent,
        Self::PeakCps,
        Self::Cps,
        Self::Asr,
        Self::Ner,
        Self::NerIr42,
        Self::AcdS,
        Self::Ser,
        Self::Seer,
        Self::Isa,
        Self::Scr,
        Self::Ira,
    ];

    /// The name it has in `summary.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attempted => "attempted",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::PeakConcurrent => "peak_concurrent",
            Self::PeakCps => "peak_cps",
            Self::Cps => "cps",
            Self::Asr => "asr",
            Self::Ner => "ner",
            Self::NerIr42 => "ner_ir42",
            Self::AcdS => "acd_s",
            Self::Ser => "ser",
            Self::Seer => "seer",
            Self::Isa => "isa",
            Self::Scr => "scr",
            Self::Ira => "ira",
        }
    }

    pub(super) const fn is_percent(self) -> bool {
        matches!(
            self,
            Self::Asr | Self::Ner | Self::NerIr42 | Self::Ser | Self::Seer | Self::Isa | Self::Scr | Self::Ira
        )
    }

    pub(super) fn of(self, totals: &Totals) -> Option<f64> {
        let (legs, kpi) = (totals.tally.legs(), totals.tally.kpi());
        match self {
            Self::Attempted => Some(legs.attempted as f64),
            Self::Answered => Some(legs.answered as f64),
            Self::Failed => (legs.attempted > 0).then_some(legs.failed as f64),
            Self::Dropped => Some(totals.dropped as f64),
            Self::PeakConcurrent => Some(totals.peak_concurrent as f64),
            Self::PeakCps => Some(totals.peak_cps),
            Self::Cps => totals.cps(),
            Self::Asr => kpi.asr,
            Self::Ner => kpi.ner,
            Self::NerIr42 => kpi.ner_ir42,
            Self::AcdS => kpi.acd_s,
            Self::Ser => kpi.ser,
            Self::Seer => kpi.seer,
            Self::Isa => kpi.isa,
            Self::Scr => kpi.scr,
            Self::Ira => kpi.ira,
        }
    }
}
