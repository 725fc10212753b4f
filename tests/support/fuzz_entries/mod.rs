//! What the fuzz targets of `tests/fuzz` feed bytes to, and what `cargo test` feeds their corpus to: each reads whatever
//! it is given, and checks what must hold of what it has read.

mod files;
mod media;
mod sip;
mod station;
mod web;

use std::net::SocketAddr;

pub use self::files::{evidence, record, scenario};
pub use self::media::{dtmf, leg, payload, rtcp, rtp, srtp, video};
pub use self::sip::{challenge, framing, locate, message, sdp, stun, uri};
pub use self::station::{caller, pbx};
pub use self::web::{ice, turn, websocket};

/// What reads bytes, with its name: that of its target and of its folder in the corpus.
pub type Entry = (&'static str, fn(&[u8]));

/// Every entry.
pub const ALL: [Entry; 22] = [
    ("message", message),
    ("uri", uri),
    ("sdp", sdp),
    ("challenge", challenge),
    ("rtp", rtp),
    ("payload", payload),
    ("dtmf", dtmf),
    ("rtcp", rtcp),
    ("scenario", scenario),
    ("framing", framing),
    ("srtp", srtp),
    ("websocket", websocket),
    ("turn", turn),
    ("ice", ice),
    ("stun", stun),
    ("locate", locate),
    ("video", video),
    ("leg", leg),
    ("caller", caller),
    ("pbx", pbx),
    ("record", record),
    ("evidence", evidence),
];

/// Between two pieces of an input that is cut.
const CUT: u8 = 0x1E;

fn address(text: &str) -> SocketAddr {
    text.parse().expect("valid")
}
