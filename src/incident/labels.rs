//! What results may have in common, and the scope that an incident is given for it.

use serde::{Deserialize, Serialize};

/// How many kinds of label there are.
pub(super) const LABELS: usize = Label::ALL.len();

/// A kind of label, the narrowest first. Two results that carry the same value share that part of the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// The seat that called.
    Agent,
    /// The account that the agent used; several agents may share one.
    Account,
    /// The service number that was called, or shown as the caller.
    Hotline,
    /// The number that was called.
    Destination,
    /// The trunk.
    Trunk,
    /// The gateway that the trunk ends at.
    Gateway,
    /// The carrier behind the trunk.
    Carrier,
    /// The codec.
    Codec,
    /// UDP, TCP, TLS, WebSocket.
    Transport,
    /// Where the probe stands.
    Site,
    /// The whole target.
    Platform,
}

impl Label {
    /// Every kind, the narrowest first.
    pub const ALL: &[Self] = &[
        Self::Agent,
        Self::Account,
        Self::Hotline,
        Self::Destination,
        Self::Trunk,
        Self::Gateway,
        Self::Carrier,
        Self::Codec,
        Self::Transport,
        Self::Site,
        Self::Platform,
    ];

    /// Its place in [`Label::ALL`].
    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// The labels of one result: at most one value of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labels<'a>([Option<&'a str>; LABELS]);

impl<'a> Labels<'a> {
    /// The same labels with one more; `None` and an empty text leave it unknown.
    #[must_use]
    pub fn with(mut self, label: Label, value: impl Into<Option<&'a str>>) -> Self {
        self.0[label.index()] = value.into().filter(|value| !value.is_empty());
        self
    }

    /// The value of a kind.
    pub fn get(&self, label: Label) -> Option<&'a str> {
        self.0[label.index()]
    }
}

/// How far an incident reaches, the narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the kinds of label, under the same names")]
pub enum Scope {
    /// One agent; its controls pass.
    SingleAgent,
    Account,
    Hotline,
    Destination,
    Trunk,
    Gateway,
    Carrier,
    Codec,
    Transport,
    Site,
    /// Everything fails from one site and from no other: our own machine or its network.
    ProbeSite,
    /// No narrower label covers the failures.
    Platform,
    /// The results do not say; see [`super::Undecided`].
    Undetermined,
}

impl Scope {
    /// The stable name, as in JSON and in InfluxDB.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SingleAgent => "single_agent",
            Self::Account => "account",
            Self::Hotline => "hotline",
            Self::Destination => "destination",
            Self::Trunk => "trunk",
            Self::Gateway => "gateway",
            Self::Carrier => "carrier",
            Self::Codec => "codec",
            Self::Transport => "transport",
            Self::Site => "site",
            Self::ProbeSite => "probe_site",
            Self::Platform => "platform",
            Self::Undetermined => "undetermined",
        }
    }

    /// The scope of a fault that lies on a value of this label.
    pub(super) const fn of(label: Label) -> Self {
        match label {
            Label::Agent => Self::SingleAgent,
            Label::Account => Self::Account,
            Label::Hotline => Self::Hotline,
            Label::Destination => Self::Destination,
            Label::Trunk => Self::Trunk,
            Label::Gateway => Self::Gateway,
            Label::Carrier => Self::Carrier,
            Label::Codec => Self::Codec,
            Label::Transport => Self::Transport,
            Label::Site => Self::Site,
            Label::Platform => Self::Platform,
        }
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}
