//! What went wrong with a STUN or TURN server.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What went wrong with a server, with its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{server} {trouble}")]
pub struct ServerFault {
    /// Its URI.
    pub server: String,
    /// What.
    pub trouble: Trouble,
}

/// What went wrong with a server; reads on after its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It did not answer.
    Silent,
    /// It refused with this code (RFC 8489 §14.8, RFC 8656 §19).
    Refused {
        /// The code, 300–699.
        code: u16,
        /// Its phrase, as the server wrote it.
        reason: String,
        /// The server that it names instead.
        alternate: Option<SocketAddr>,
        /// It was shown user name and password.
        challenged: bool,
    },
    /// It answered with success and without the address that was asked for.
    Nothing,
    /// The connection to it could not be made, or is lost.
    Connection(String),
    /// It relays nothing to an address.
    Forbidden {
        /// The address.
        peer: IpAddr,
        /// Code and phrase.
        reason: String,
    },
}

impl Trouble {
    /// What a code is a sign of, where that is known.
    fn meaning(code: u16, challenged: bool) -> Option<&'static str> {
        Some(match code {
            300 => "it wants another server to be asked",
            401 if challenged => "user name or password is wrong",
            401 => "it wants user name and password",
            403 => "it is set up to forbid this",
            437 => "the allocation is gone, or an old one is in the way",
            438 => "it takes none of its own nonces",
            440 | 443 => "it has no addresses of the family that is needed",
            441 => "the allocation is somebody else's",
            442 => "it does not relay UDP",
            486 => "the user has as many allocations as the server allows",
            508 => "the server has no relayed address left",
            _ => return None,
        })
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => write!(f, "did not answer"),
            Self::Refused { code, reason, alternate, challenged } => {
                write!(f, "refused: {code} {}", reason.escape_debug())?;
                if let Some(meaning) = Self::meaning(*code, *challenged) {
                    write!(f, ", {meaning}")?;
                }
                alternate.map_or(Ok(()), |alternate| write!(f, " ({alternate})"))
            }
            Self::Nothing => write!(f, "answered without an address"),
            Self::Connection(text) => write!(f, "has no connection: {text}"),
            Self::Forbidden { peer, reason } => {
                write!(f, "relays nothing to {peer}: {}", reason.escape_debug())
            }
        }
    }
}
