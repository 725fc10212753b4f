//! Figures and indicators in words that need no glossary, and numbers as people read them.

use crate::measure::{Figure, Kpi};

use super::super::headline::thousands;

/// A figure's name, its meaning, and how its values are written.
pub(super) fn figure(figure: Figure) -> (&'static str, &'static str, Unit) {
    match figure {
        Figure::SrdMs => ("Response delay", "INVITE to the first sign of progress (SRD, RFC 6076 §4.3)", Unit::Millis),
        Figure::SrdOkMs => {
            ("… of answered calls", "The same where the call was answered (RFC 6076 §4.3.1)", Unit::Millis)
        }
        Figure::SrdFailedMs => {
            ("… of refused calls", "The same where the call was refused (RFC 6076 §4.3.2)", Unit::Millis)
        }
        Figure::PddMs => ("Post-dial delay", "INVITE to the first ringing (PDD)", Unit::Millis),
        Figure::RingMs => ("Ringing", "First ringing to the answer", Unit::Millis),
        Figure::SetupMs => ("Set-up time", "INVITE to the answer", Unit::Millis),
        Figure::DurationMs => ("Talk time", "Answer to the hang-up (SDT, RFC 6076 §4.5)", Unit::Seconds),
        Figure::SddMs => ("Hang-up delay", "BYE to its confirmation (SDD, RFC 6076 §4.4)", Unit::Millis),
        Figure::RrdMs => ("Registration delay", "REGISTER to its success (RRD, RFC 6076 §4.1)", Unit::Millis),
        Figure::RegisteredMs => {
            ("Until registered", "First REGISTER to its success, further tries included", Unit::Millis)
        }
        Figure::RecoveryMs => ("Recovery", "Until an agent that was disturbed on purpose works again", Unit::Millis),
        Figure::IceGatheredMs => {
            ("Addresses known", "Until STUN and TURN servers had answered, or were given up (ICE)", Unit::Millis)
        }
        Figure::LateMs => ("Late start", "Intended to actual start, on our side", Unit::Millis),
        Figure::MosLq => ("Listening quality (MOS-LQ)", "Estimated from codec and loss, 1 bad to 4.5 best", Unit::Mos),
        Figure::MosCq => ("Conversation quality (MOS-CQ)", "The same with delay counted in", Unit::Mos),
        Figure::LossPct => ("Packet loss", "Share of the audio packets that did not arrive", Unit::Percent),
        Figure::JitterMs => ("Jitter", "Variation of packet arrival (RFC 3550)", Unit::Millis),
        Figure::RttMs => ("Round trip", "To the next audio hop and back (RTCP)", Unit::Millis),
        Figure::VideoFirstFrameMs => ("First picture", "Until the first frame that could be shown", Unit::Millis),
        Figure::VideoFrozenMs => ("Picture stood still", "All freezes of a call together", Unit::Millis),
        Figure::VideoFps => ("Frame rate", "Frames a second that came whole", Unit::PerSecond),
        Figure::VideoLossPct => ("Packet loss", "Share of the video packets that did not arrive", Unit::Percent),
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds.
    Millis,
    /// Given in milliseconds, written in seconds.
    Seconds,
    /// 1–5.
    Mos,
    /// Percent.
    Percent,
    /// A rate.
    PerSecond,
}

impl Unit {
    /// Its sign; empty for MOS.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Millis => "ms",
            Self::Seconds => "s",
            Self::Mos => "",
            Self::Percent => "%",
            Self::PerSecond => "/s",
        }
    }

    /// The value without its sign.
    pub(super) fn write(self, value: f64) -> String {
        match self {
            Self::Millis => short(value),
            Self::Seconds => short(value / 1000.0),
            Self::Mos => format!("{value:.2}"),
            Self::Percent | Self::PerSecond => short(value),
        }
    }

    /// The value with its sign.
    pub(super) fn with_sign(self, value: f64) -> String {
        [self.write(value).as_str(), self.sign()].join(" ").trim_end().to_owned()
    }
}

/// Three figures or so: `0.24`, `7.1`, `204`, `12,345`.
pub(in super::super) fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || size >= 99.95 {
        return whole(value);
    }
    match size {
        // Less than a unit of the last place is little, but not nothing.
        ..0.0005 => "<0.001".to_owned(),
        ..0.1 => format!("{value:.3}"),
        ..1.0 => format!("{value:.2}"),
        _ => format!("{value:.1}").trim_end_matches(".0").to_owned(),
    }
}

fn whole(value: f64) -> String {
    let digits = thousands(value.abs().round() as u64);
    if value <= -0.5 { format!("-{digits}") } else { digits }
}

/// An indicator: its name spelled out, its abbreviation, what it is made of, and its value.
pub(super) fn indicators(kpi: &Kpi) -> [(&'static str, &'static str, &'static str, Option<f64>, &'static str); 9] {
    [
        ("Answer-seizure ratio", "ASR", "Answered calls of all calls placed (ITU-T E.411)", kpi.asr, "%"),
        (
            "Network effectiveness ratio",
            "NER",
            "Calls that the network carried through: answered, busy, no answer or declined (ITU-T E.425)",
            kpi.ner,
            "%",
        ),
        (
            "Network effectiveness ratio, mobile reading",
            "NER IR.42",
            "All calls but the ineffective ones (GSMA IR.42)",
            kpi.ner_ir42,
            "%",
        ),
        ("Average call duration", "ACD", "Answered time by answered calls", kpi.acd_s, "s"),
        (
            "Session establishment ratio",
            "SER",
            "Answered of the calls that were not redirected (RFC 6076 §4.6)",
            kpi.ser,
            "%",
        ),
        (
            "Session establishment effectiveness ratio",
            "SEER",
            "The same, with busy, declined and unavailable counted as effective (RFC 6076 §4.7)",
            kpi.seer,
            "%",
        ),
        (
            "Ineffective session attempts",
            "ISA",
            "Calls that ended by a time-out or server failure: 408, 500, 503, 504 (RFC 6076 §4.8)",
            kpi.isa,
            "%",
        ),
        (
            "Session completion ratio",
            "SCR",
            "Calls that were answered and ended in an orderly way (RFC 6076 §4.9)",
            kpi.scr,
            "%",
        ),
        (
            "Ineffective registration attempts",
            "IRA",
            "Registrations that failed by more than a challenge (RFC 6076 §4.2)",
            kpi.ira,
            "%",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_as_many_places_as_they_need() {
        let table = [
            (0.0, "0"),
            (0.0001, "<0.001"),
            (0.0231, "0.023"),
            (0.244, "0.24"),
            (7.09, "7.1"),
            (20.0, "20"),
            (99.96, "100"),
            (203.6, "204"),
            (12345.4, "12,345"),
            (-20.5, "-20.5"),
        ];
        for (value, text) in table {
            assert_eq!(short(value), text);
        }
        assert_eq!(Unit::Seconds.with_sign(2000.1), "2 s");
        assert_eq!(Unit::Mos.with_sign(4.4), "4.40");
    }
}
