//! What is counted of the video of an attempt.

use crate::media::session::VideoFigures;

/// The figures that thresholds and reports know.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields of the record, under the same names")]
pub struct VideoOutcome {
    pub fps: Option<f64>,
    pub first_frame_ms: Option<f64>,
    pub frozen_ms: Option<f64>,
    pub loss_pct: Option<f64>,
}

impl VideoOutcome {
    pub(super) fn of(figures: &VideoFigures) -> Self {
        let VideoFigures { fps, first_frame_ms, frozen_ms, loss_pct, .. } = *figures;
        Self { fps, first_frame_ms, frozen_ms, loss_pct }
    }
}
