//! Digest authentication of both sides: RFC 2617 and RFC 7616 with the algorithms of RFC 8760.
//!
//! Header values go in and come out as text. A client reads challenges with [`by_realm`] and answers with
//! [`Challenge::respond`]; a server hands out nonces and checks answers with [`Verifier`]. Which header a value came
//! from, how often a challenge is answered and what is sent after a refusal is left to the callers. Passwords and
//! hashes of them are never part of an error or of `Debug`.

mod challenge;
mod digest;
mod params;
mod verify;

pub use challenge::{Challenge, Credentials, Request, by_realm, next_nonce, obstacle};
pub use digest::Algorithm;
pub use verify::{Verdict, Verifier};

/// Quality of protection (RFC 7616 §3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qop {
    /// Method and URI are protected.
    Auth,
    /// Method, URI and body are protected.
    AuthInt,
}

impl Qop {
    /// As it is written in headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::AuthInt => "auth-int",
        }
    }

    /// Any case; `None` for a word that is not known.
    fn parse(word: &str) -> Option<Self> {
        [Self::Auth, Self::AuthInt].into_iter().find(|qop| word.eq_ignore_ascii_case(qop.name()))
    }
}
