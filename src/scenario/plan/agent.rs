//! What befalls an agent at a web phone.

use std::time::Duration;

/// What befalls an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// Media comes from another address and port; with `reconnect` SIP over another connection too.
    NetworkChange {
        /// Another connection is opened and registered over.
        reconnect: bool,
    },
    /// The page is loaded again.
    Reload,
    /// The script stops; the browser answers pings.
    Frozen,
    /// Nothing is answered at all.
    Sleep,
    /// Nothing comes through.
    Offline,
}

impl Disturbance {
    /// Its name as a step.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetworkChange { .. } => "network_change",
            Self::Reload => "reload",
            Self::Frozen => "frozen",
            Self::Sleep => "sleep",
            Self::Offline => "offline",
        }
    }

    /// Whether the agent's connection takes part in it.
    pub const fn is_of_connection(self) -> bool {
        !matches!(self, Self::NetworkChange { reconnect: false })
    }
}

/// A step that disturbs the agent and waits until it works again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturb {
    /// What befalls it.
    pub what: Disturbance,
    /// How long it is away; zero for a change of the network and a reload.
    pub lasts: Duration,
    /// How long it may take to work again after that.
    pub within: Duration,
    /// How often it tries.
    pub retry: Duration,
}
