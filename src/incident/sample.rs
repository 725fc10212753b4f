//! One result as the judge sees it.

use std::time::Duration;

use jiff::Timestamp;

use super::labels::{Label, Labels};
use crate::record::{CallRecord, Class, Direction, Origin, Retry};

/// One result. Borrowed, so that a result that passes costs no allocation.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// When the attempt ended, for stamps and the time of day. Never compared with `now`.
    pub at: Timestamp,
    /// How long before that the attempt began: a call that passes shows how things were when it began. 0 where unknown.
    pub took: Duration,
    /// What it shares with other results.
    pub labels: Labels<'a>,
    /// The unit (department, customer) that the agent belongs to.
    pub unit: Option<&'a str>,
    /// What the attempt showed.
    pub class: Class,
    /// Whether it counts as failed: a negative test that was refused as expected does not.
    pub failed: bool,
    /// Final SIP code, where one was received.
    pub code: Option<u16>,
    /// Cause of Q.850.
    pub q850: Option<u16>,
    /// Whether the grade is poor or unusable; `None` where there is no grade, or our own worker stood still meanwhile, as with
    /// the figures below.
    pub poor: Option<bool>,
    /// MOS-CQ, else MOS-LQ, 1–5.
    pub mos: Option<f64>,
    /// Whether the audio was judged: heard or found missing.
    pub heard: bool,
    /// Session request delay, ms.
    pub srd_ms: Option<f64>,
    /// INVITE to 200, ms.
    pub setup_ms: Option<f64>,
    /// What the attempt's own retry showed.
    pub retry: Retry,
    /// The request (see [`super::Output::Reproduce`]) that this result answers.
    pub reproduces: Option<u64>,
    /// Whether it was placed as a control. Every result outside a label is a control for it; this one is nothing else.
    pub control: bool,
    /// Our id of the attempt.
    pub call_id: &'a str,
    /// The first SIP Call-ID.
    pub sip_call_id: Option<&'a str>,
}

impl<'a> Sample<'a> {
    /// What a record says. `reproduces` and `control` are the schedule's to set.
    pub fn of(record: &'a CallRecord) -> Self {
        let destination = match record.direction {
            Direction::Outbound => record.to.as_deref(),
            Direction::Inbound => None,
        };
        let labels = Labels::default()
            .with(Label::Agent, record.agent.as_deref())
            .with(Label::Account, record.account.as_deref())
            .with(Label::Hotline, record.hotline.as_deref())
            .with(Label::Destination, destination)
            .with(Label::Trunk, record.trunk.as_deref())
            .with(Label::Gateway, record.gateway.as_deref())
            .with(Label::Carrier, record.carrier.as_deref())
            .with(Label::Codec, record.codec.as_deref())
            .with(Label::Transport, record.transport.as_deref())
            .with(Label::Site, record.site.as_deref())
            .with(Label::Platform, record.target.as_str());
        // How long something took and how it sounded may then be our own doing; what failed by it is `probe.stalled`.
        let measured = record.stalled_ms.is_none();
        let poor = record.grade.as_deref().map(|grade| matches!(grade, "poor" | "unusable"));
        Self {
            at: record.ended_at,
            took: record.started_at.map_or(Duration::ZERO, |began| {
                // A calendar that was set back in between does not say.
                Duration::try_from(record.ended_at.duration_since(began)).unwrap_or_default()
            }),
            labels,
            unit: record.unit.as_deref(),
            class: record.class,
            failed: record.is_failed(),
            // What was concluded here is not what anybody said.
            code: record.code.filter(|_| record.code_origin == Some(Origin::Received)),
            q850: record.q850,
            poor: poor.filter(|_| measured),
            mos: record.mos_cq.or(record.mos_lq).filter(|_| measured),
            heard: record.audio != "unknown",
            srd_ms: record.srd_ms.filter(|_| measured),
            setup_ms: record.setup_ms.filter(|_| measured),
            retry: record.retry,
            reproduces: None,
            control: false,
            call_id: &record.call_id,
            sip_call_id: record.sip_call_ids.first().map(String::as_str),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_takes_its_labels_and_figures_from_the_record() {
        let text = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(text).expect("valid");
        (record.grade, record.mos_cq, record.mos_lq) = (Some("poor".into()), None, Some(3.5));
        (record.direction, record.trunk) = (Direction::Outbound, Some("cht".into()));
        let sample = Sample::of(&record);
        assert_eq!((sample.poor, sample.mos), (Some(true), Some(3.5)));
        assert_eq!(sample.took, Duration::from_nanos(10_122_456_789));
        assert_eq!(sample.labels.get(Label::Trunk), Some("cht"));
        assert_eq!(sample.labels.get(Label::Platform), Some(record.target.as_str()));
        assert_eq!(sample.labels.get(Label::Destination), record.to.as_deref());
        assert_eq!((sample.failed, sample.call_id), (record.is_failed(), record.call_id.as_str()));
    }

    #[test]
    fn a_call_in_which_our_own_worker_stood_still_says_nothing_of_latency_or_quality() {
        let text = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(text).expect("valid");
        (record.grade, record.mos_cq, record.srd_ms) = (Some("poor".into()), Some(3.5), Some(900.0));
        let figures = |sample: Sample<'_>| (sample.poor, sample.mos, sample.srd_ms, sample.setup_ms);
        assert_eq!(figures(Sample::of(&record)), (Some(true), Some(3.5), Some(900.0), record.setup_ms));
        record.stalled_ms = Some(140.0);
        assert_eq!(figures(Sample::of(&record)), (None, None, None, None));
    }

    #[test]
    fn a_code_that_was_concluded_here_is_none_that_somebody_said() {
        let text = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(text).expect("valid");
        (record.code, record.code_origin) = (Some(503), Some(Origin::Received));
        assert_eq!(Sample::of(&record).code, Some(503));
        record.code_origin = Some(Origin::Local);
        assert_eq!(Sample::of(&record).code, None);
    }

    #[test]
    fn an_inbound_call_has_no_destination() {
        let text = include_str!("../../tests/data/influx/record.json");
        let mut record: CallRecord = serde_json::from_str(text).expect("valid");
        record.direction = Direction::Inbound;
        assert_eq!(Sample::of(&record).labels.get(Label::Destination), None);
    }
}
