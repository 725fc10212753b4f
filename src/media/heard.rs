//! What was heard in each direction, and what both directions come to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What was heard in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heard {
    /// The expected reference audio was recognised in decoded audio.
    Heard,
    /// RTP arrived and its decoded audio is silence.
    Silent,
    /// RTP arrived with sound that is not the reference audio.
    Noise,
    /// Reference audio of another call was recognised.
    WrongParty,
    /// No RTP at all.
    None,
    /// Nothing allows a conclusion.
    #[default]
    Unknown,
}

/// What both directions of a leg come to: the field `audio` of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "audio")]
pub enum Audio {
    /// Both directions were heard.
    TwoWay,
    /// We hear the far end, and the far end is known not to hear us.
    OneWayRx,
    /// The far end hears us, and we do not hear it.
    OneWayTx,
    /// We hear the far end; what it hears is not known.
    RxHeard,
    /// The far end hears us; what we hear allows no conclusion.
    TxHeard,
    /// Audio of another call was heard in one of the directions.
    WrongParty,
    /// RTP arrived and carried silence.
    Silent,
    /// RTP arrived with sound that is not the reference audio.
    Noise,
    /// No RTP arrived.
    None,
    /// Nothing allows a conclusion.
    Unknown,
}

impl Audio {
    /// Joins what we heard with what the far end is known to have heard.
    pub fn of(rx: Heard, tx: Heard) -> Self {
        match (rx, tx) {
            (Heard::WrongParty, _) | (_, Heard::WrongParty) => Self::WrongParty,
            (Heard::Heard, Heard::Heard) => Self::TwoWay,
            (Heard::Heard, Heard::Unknown) => Self::RxHeard,
            (Heard::Heard, _) => Self::OneWayRx,
            (Heard::Unknown, Heard::Heard) => Self::TxHeard,
            (_, Heard::Heard) => Self::OneWayTx,
            (Heard::Silent, _) => Self::Silent,
            (Heard::Noise, _) => Self::Noise,
            (Heard::None, _) => Self::None,
            (Heard::Unknown, _) => Self::Unknown,
        }
    }

    /// The name it has in records and expectations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TwoWay => "two_way",
            Self::OneWayRx => "one_way_rx",
            Self::OneWayTx => "one_way_tx",
            Self::RxHeard => "rx_heard",
            Self::TxHeard => "tx_heard",
            Self::WrongParty => "wrong_party",
            Self::Silent => "silent",
            Self::Noise => "noise",
            Self::None => "none",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Audio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_way_needs_both_directions_heard() {
        let all = [Heard::Heard, Heard::Silent, Heard::Noise, Heard::WrongParty, Heard::None, Heard::Unknown];
        for rx in all {
            for tx in all {
                let both = rx == Heard::Heard && tx == Heard::Heard;
                assert_eq!(Audio::of(rx, tx) == Audio::TwoWay, both, "{rx:?} {tx:?}");
            }
        }
    }

    #[test]
    fn one_way_needs_knowledge_of_the_other_direction() {
        assert_eq!(Audio::of(Heard::Heard, Heard::Unknown).name(), "rx_heard");
        assert_eq!(Audio::of(Heard::Heard, Heard::Silent).name(), "one_way_rx");
        assert_eq!(Audio::of(Heard::None, Heard::Heard).name(), "one_way_tx");
        assert_eq!(Audio::of(Heard::Unknown, Heard::Heard).name(), "tx_heard");
        assert_eq!(Audio::of(Heard::None, Heard::Unknown).name(), "none");
    }
}
