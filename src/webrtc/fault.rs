//! Why a peer did not come to keys.

/// Rungs of the ladder from a description to audio that a peer climbs, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// Our candidates are known.
    Gathered,
    /// The first connectivity check was sent.
    FirstCheck,
    /// A pair of candidates was nominated.
    Connected,
    /// The keys of SRTP are agreed on.
    DtlsDone,
}

/// Why a peer did not come to keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Media may go by a relay only, and no server gives one.
    #[error("media may go by a relay only, and there is none: {servers}")]
    NoRelay {
        /// What is wrong with each server.
        servers: String,
    },
    /// The other side's description has no fingerprint.
    #[error("the other side gave no fingerprint of its certificate")]
    NoFingerprint,
    /// The other side's description has no ICE.
    #[error("the other side does not speak ICE")]
    NoIce,
    /// There was no address to check and none showed itself.
    #[error("the other side gave no address that can be reached ({}) and sent no check", hidden(mdns))]
    NoCandidate {
        /// Names of its candidates that only its own network resolves.
        mdns: Vec<String>,
    },
    /// Checks went out, and nothing at all came back: neither responses nor the other side's own checks.
    #[error("{checks} checks of ICE were sent, and nothing came back")]
    Blocked {
        /// Checks sent.
        checks: u64,
    },
    /// Something came, but no pair of candidates worked both ways.
    #[error("no pair of candidates worked: {checks} checks sent, {answered} answered, {received} received")]
    NoPair {
        /// Checks sent.
        checks: u64,
        /// Responses to them.
        answered: u64,
        /// Checks of the other side.
        received: u64,
    },
    /// The other side sent nothing of DTLS.
    #[error("the other side sent nothing of DTLS")]
    DtlsSilent,
    /// DTLS began and was not done in time.
    #[error("DTLS was not done in time")]
    DtlsTimeout,
    /// DTLS failed.
    #[error("DTLS failed: {0}")]
    Dtls(String),
    /// The certificate that was shown has none of the fingerprints that were told.
    #[error("the certificate's fingerprint is {shown}, and the description has {told}")]
    Fingerprint {
        /// Of the certificate.
        shown: String,
        /// Of the description.
        told: String,
    },
    /// DTLS ended without a profile of SRTP.
    #[error("DTLS is done, but no profile of SRTP was agreed on")]
    NoSrtp,
}

fn hidden(names: &[String]) -> String {
    match names {
        [] => "none was hidden behind an mDNS name".to_owned(),
        names => format!("{} hidden behind mDNS names: {}", names.len(), names.join(", ")),
    }
}

impl Fault {
    /// The rung that was not reached.
    pub fn rung(&self) -> Rung {
        match self {
            Self::NoRelay { .. } => Rung::Gathered,
            Self::NoIce | Self::NoCandidate { .. } => Rung::FirstCheck,
            Self::Blocked { .. } | Self::NoPair { .. } => Rung::Connected,
            Self::NoFingerprint
            | Self::DtlsSilent
            | Self::DtlsTimeout
            | Self::Dtls(_)
            | Self::Fingerprint { .. }
            | Self::NoSrtp => Rung::DtlsDone,
        }
    }
}
