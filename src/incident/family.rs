//! Fault families: which symptoms one fault may show. Two agents whose symptoms are of different families do not fail for
//! the same reason.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::record::{Class, UnknownClass};

/// How many families there are.
pub(super) const FAMILIES: usize = Family::ALL.len();

/// What one fault may show itself as. A gateway that dies answers 503 to some calls and nothing to others: one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// The way to the far end is broken: no answer, server failures, lost connections, dropped calls.
    Line,
    /// Who we are is not accepted: credentials, rights.
    Identity,
    /// A limit or congestion.
    Capacity,
    /// The called number or its owner.
    Number,
    /// What was offered is not accepted, or the answer cannot be used.
    Negotiation,
    /// The call stands and is not heard.
    Audio,
    /// The call is heard badly: grade, MOS, level, gaps.
    Quality,
    /// The call is set up slower than is usual at this time of day.
    Latency,
    /// Our own machine.
    Probe,
    /// Nothing of these.
    Other,
}

/// How far a call has to come before it can tell whether a family's fault is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Set up, or refused as its scenario expects.
    Call,
    /// Heard and graded.
    Media,
    /// Timed, with a baseline to compare with.
    Pace,
}

/// How many stages there are.
pub(super) const STAGES: usize = 3;

impl Family {
    /// Every family.
    pub const ALL: &[Self] = &[
        Self::Line,
        Self::Identity,
        Self::Capacity,
        Self::Number,
        Self::Negotiation,
        Self::Audio,
        Self::Quality,
        Self::Latency,
        Self::Probe,
        Self::Other,
    ];

    /// The family of a class; `None` where the attempt says nothing about any fault.
    pub const fn of(class: Class) -> Option<Self> {
        Some(match class {
            Class::Ok | Class::CallCancelled | Class::ProbeBackedOff | Class::ProbeInterrupted => return None,
            Class::CallNetworkFailed
            | Class::CallServerError
            | Class::CallTimeout
            | Class::CallDroppedImmediately
            | Class::CallDroppedMidway
            | Class::CallSessionExpired
            | Class::CallHungAfterReload
            | Class::AgentNotRecovered
            | Class::CallFalseRinging
            | Class::CallInboundNotDelivered
            | Class::RegServerError
            | Class::RegTimeout
            | Class::RegBindingLost
            | Class::TransportDns
            | Class::TransportRefused
            | Class::TransportUnreachable
            | Class::TransportTcp
            | Class::TransportTls
            | Class::TransportWsUpgrade
            | Class::TransportWsClosed
            | Class::TransportWsProtocol
            | Class::TransportWsSilent
            | Class::TransportOptions => Self::Line,
            Class::SideUnreachable | Class::SideRefused | Class::SideTimeout | Class::SideUnexpected => Self::Other,
            Class::CallAuthFailed
            | Class::CallForbidden
            | Class::RegCredentials
            | Class::RegUnknownAccount
            | Class::RegForbidden
            | Class::RegRefused => Self::Identity,
            Class::CallCongestion => Self::Capacity,
            Class::CallNumberInvalid
            | Class::CallNumberOutOfService
            | Class::CallCalleeBusy
            | Class::CallCalleeDeclined
            | Class::CallNoAnswer
            | Class::CallCalleeUnreachable
            | Class::CallScreened
            | Class::CallRedirected => Self::Number,
            Class::CallNotAcceptable | Class::CallBadAnswer | Class::MediaSrtpFailed | Class::MediaDtlsFailed => {
                Self::Negotiation
            }
            Class::MediaNoRelay
            | Class::MediaIceFailed
            | Class::MediaFirewallBlocked
            | Class::MediaNoRtp
            | Class::MediaOneWay
            | Class::MediaSilenceWithRtp
            | Class::MediaNoise
            | Class::MediaRtpTimeout => Self::Audio,
            Class::MediaChoppy | Class::MediaLowLevel | Class::MediaPoorNetwork => Self::Quality,
            Class::ProbeNoAccount | Class::ProbeNoDns | Class::ProbeNoMediaPort | Class::ProbeStalled => Self::Probe,
            Class::CallInboundUnexpected | Class::Unknown => Self::Other,
        })
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }

    pub(super) const fn stage(self) -> Stage {
        match self {
            Self::Audio | Self::Quality => Stage::Media,
            Self::Latency => Stage::Pace,
            _ => Stage::Call,
        }
    }

    /// How bad a fault of the family is for who wants to talk.
    pub const fn severity(self) -> Severity {
        match self {
            Self::Latency | Self::Probe => Severity::Minor,
            Self::Quality | Self::Number | Self::Other => Severity::Degraded,
            Self::Audio | Self::Capacity | Self::Identity | Self::Negotiation => Severity::Major,
            Self::Line => Severity::Critical,
        }
    }
}

/// How bad an incident is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Calls work and are slow, or our own machine is at fault.
    Minor,
    /// Calls work and sound bad, or some numbers cannot be reached.
    Degraded,
    /// Calls are refused, or nothing is heard.
    Major,
    /// No way to the far end.
    Critical,
}

impl Severity {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Minor => "minor",
            Self::Degraded => "degraded",
            Self::Major => "major",
            Self::Critical => "critical",
        }
    }
}

/// What was wrong with a call: a class, or a figure out of its range in a call whose class is `ok`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symptom {
    /// The class of the attempt.
    Class(Class),
    /// MOS below its floor or its baseline, or a grade of poor or worse.
    LowQuality,
    /// SRD or set-up above the baseline of this time of day.
    Slow,
}

impl Symptom {
    /// The stable name: that of the class, `quality.low` or `latency.high`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Class(class) => class.name(),
            Self::LowQuality => "quality.low",
            Self::Slow => "latency.high",
        }
    }

    /// The family it belongs to.
    pub const fn family(self) -> Family {
        match self {
            Self::Class(class) => match Family::of(class) {
                Some(family) => family,
                None => Family::Other,
            },
            Self::LowQuality => Family::Quality,
            Self::Slow => Family::Latency,
        }
    }

    /// What it means, in one line.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Class(class) => class.meaning(),
            Self::LowQuality => {
                "The call was heard and graded worse than its floor or than is usual at this time of day."
            }
            Self::Slow => "The call was set up, slower than is usual at this time of day.",
        }
    }
}

impl fmt::Display for Symptom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Symptom {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        match text {
            "quality.low" => Ok(Self::LowQuality),
            "latency.high" => Ok(Self::Slow),
            class => class.parse().map(Self::Class),
        }
    }
}

impl Serialize for Symptom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Symptom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_symptom_reads_back_from_its_name() {
        let classes = Class::ALL.iter().map(|class| Symptom::Class(*class));
        for symptom in classes.chain([Symptom::LowQuality, Symptom::Slow]) {
            assert_eq!(symptom.name().parse(), Ok(symptom));
        }
        assert_eq!(
            "banana".parse::<Symptom>().map_err(|error| error.to_string()),
            Err("`banana` is not a failure class".into())
        );
    }

    #[test]
    fn a_dead_gateway_may_answer_503_or_nothing_and_is_one_family() {
        assert_eq!(Family::of(Class::CallTimeout), Family::of(Class::CallNetworkFailed));
        assert_ne!(Family::of(Class::CallTimeout), Family::of(Class::CallAuthFailed));
    }
}
