//! How long a step lasts.

use super::doc::{At, Report};
use crate::pace::Length;
use crate::scenario::file::length::{DrawnFile, LengthFile};

/// The length at this place.
pub(super) fn compile(file: &LengthFile, at: At<'_>, report: &mut Report) -> Length {
    match file {
        LengthFile::Fixed(period) => Length::Fixed(period.0),
        LengthFile::Drawn(DrawnFile::Uniform(uniform)) => {
            if uniform.from > uniform.to {
                let help = format!("write {{ from: {}, to: {} }}", uniform.to, uniform.from);
                report.add(at.key("uniform").key("from"), "the shortest length is above the longest", help);
            }
            Length::Uniform { from: uniform.from.0, to: uniform.to.0 }
        }
        LengthFile::Drawn(DrawnFile::Exponential(mean)) => Length::Exponential { mean: mean.0 },
        LengthFile::Drawn(DrawnFile::Lognormal(lognormal)) => {
            let at = at.key("lognormal").key("median");
            if lognormal.median.0.is_zero() {
                report.add(at, "a lognormal length has no median of 0", "as lognormal: { mean: 3m, median: 2m }");
            } else if lognormal.median >= lognormal.mean {
                let help = "long calls pull the mean up: as lognormal: { mean: 3m, median: 2m }";
                report.add(at, "the median of a lognormal length is below its mean", help);
            }
            Length::Lognormal { mean: lognormal.mean.0, median: lognormal.median.0 }
        }
    }
}
