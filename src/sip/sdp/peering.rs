//! ICE and DTLS in session descriptions (RFC 8839, RFC 8842, RFC 8122): what the other side says, and our own lines.
//!
//! Candidates and fingerprints are kept as text; what is done with them belongs to `webrtc`.

use std::fmt::Arguments;

/// Candidates of one media line that are looked at; more are passed over.
const MAX_CANDIDATES: usize = 32;
/// Fingerprints of one media line that are looked at; more are passed over.
const MAX_FINGERPRINTS: usize = 8;

/// What a media line says of ICE and DTLS; what it lacks is taken from the session level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peering<'a> {
    /// User fragment of ICE.
    pub ufrag: Option<&'a str>,
    /// Password of ICE.
    pub pwd: Option<&'a str>,
    /// The writer only answers checks (RFC 8445 §2.5).
    pub lite: bool,
    /// Candidates as `candidate:…`, in order.
    pub candidates: Vec<&'a str>,
    /// No more candidates will come (RFC 8840).
    pub end_of_candidates: bool,
    /// What stands after `a=fingerprint:`; several are one certificate by several hashes, or several certificates.
    pub fingerprints: Vec<&'a str>,
    /// Who begins DTLS, as the writer says.
    pub setup: Option<Setup>,
}

/// Content type of candidates that come after a description (RFC 8840 §9).
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

impl<'a> Peering<'a> {
    /// From a body of the type [`FRAGMENT`]. Lines of all streams are taken together: in a bundle they have one path.
    pub fn of_fragment(body: &'a [u8]) -> Self {
        let mut peering = Self::default();
        let lines = body.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        for attribute in lines.filter_map(|line| line.trim_end().strip_prefix("a=")) {
            let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
            peering.take(name, attribute, value.trim());
        }
        peering
    }

    /// User fragment and password, where both are there.
    pub fn credentials(&self) -> Option<(&'a str, &'a str)> {
        self.ufrag.zip(self.pwd)
    }

    /// Whether an attribute is about ICE or DTLS.
    pub(super) fn is_of(name: &str) -> bool {
        const NAMES: [&str; 7] =
            ["candidate", "ice-ufrag", "ice-pwd", "ice-lite", "fingerprint", "setup", "end-of-candidates"];
        NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
    }

    /// Takes an attribute for which [`is_of`](Self::is_of) holds.
    pub(super) fn take(&mut self, name: &str, attribute: &'a str, value: &'a str) {
        let value = Some(value).filter(|value| !value.is_empty());
        match name.to_ascii_lowercase().as_str() {
            "ice-ufrag" => self.ufrag = value,
            "ice-pwd" => self.pwd = value,
            "ice-lite" => self.lite = true,
            "end-of-candidates" => self.end_of_candidates = true,
            "setup" => self.setup = value.and_then(Setup::parse),
            "candidate" if self.candidates.len() < MAX_CANDIDATES => self.candidates.push(attribute.trim()),
            "fingerprint" if self.fingerprints.len() < MAX_FINGERPRINTS => self.fingerprints.extend(value),
            _ => {}
        }
    }

    /// What the session level says holds where the media line says nothing.
    pub(super) fn fall_back_to(&mut self, session: &Self) {
        if self.ufrag.is_none() && self.pwd.is_none() {
            (self.ufrag, self.pwd) = (session.ufrag, session.pwd);
        }
        // RFC 8839 §5.3: ice-lite stands at the session level only.
        self.lite |= session.lite;
        self.end_of_candidates |= session.end_of_candidates;
        self.setup = self.setup.or(session.setup);
        if self.fingerprints.is_empty() {
            self.fingerprints.clone_from(&session.fingerprints);
        }
        if self.candidates.is_empty() {
            self.candidates.clone_from(&session.candidates);
        }
    }
}

/// Who begins DTLS (RFC 4145 §4, RFC 8842 §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Its writer: it is the client.
    Active,
    /// The other side: its writer is the server.
    Passive,
    /// Whichever the answer says. For offers only.
    ActPass,
    /// Nobody, for now.
    HoldConn,
}

impl Setup {
    const ALL: [Self; 4] = [Self::Active, Self::Passive, Self::ActPass, Self::HoldConn];

    const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
            Self::HoldConn => "holdconn",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|setup| name.eq_ignore_ascii_case(setup.name()))
    }
}

/// Our side in DTLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// We begin.
    Client,
    /// The other side begins.
    Server,
}

impl Role {
    /// Ours in an answer to this offer; `wanted` where it is for us to say. RFC 4145 §4.1: an offer that says nothing
    /// means that its writer begins.
    pub(super) fn answering(offer: Option<Setup>, wanted: Self) -> Self {
        match offer {
            Some(Setup::Active) | None => Self::Server,
            Some(Setup::Passive) => Self::Client,
            Some(Setup::ActPass | Setup::HoldConn) => wanted,
        }
    }

    /// Ours after this answer. One that says nothing means that its writer waits; `actpass` is wrong in an answer, and
    /// whoever writes it does not begin.
    pub(super) fn answered(answer: Option<Setup>) -> Self {
        if answer == Some(Setup::Active) { Self::Server } else { Self::Client }
    }

    pub(super) const fn setup(self) -> Setup {
        match self {
            Self::Client => Setup::Active,
            Self::Server => Setup::Passive,
        }
    }
}

/// Our lines on ICE and DTLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalPeering {
    /// User fragment of ICE, 4–256 characters.
    pub ufrag: String,
    /// Password of ICE, 22–256 characters.
    pub pwd: String,
    /// We only answer checks.
    pub lite: bool,
    /// Our candidates as `candidate:…`, all there are.
    pub candidates: Vec<String>,
    /// Fingerprint of our certificate, as `sha-256 AB:CD…`.
    pub fingerprint: String,
    /// What we want to be where an answer of ours has the choice: what we are already, once that is settled.
    pub role: Role,
}

impl LocalPeering {
    /// Gives each line, without its end, to `line`.
    pub(super) fn write(&self, setup: Setup, mut line: impl FnMut(Arguments<'_>)) {
        line(format_args!("a=ice-ufrag:{}", self.ufrag));
        line(format_args!("a=ice-pwd:{}", self.pwd));
        line(format_args!("a=fingerprint:{}", self.fingerprint));
        line(format_args!("a=setup:{}", setup.name()));
        for candidate in &self.candidates {
            line(format_args!("a={candidate}"));
        }
        line(format_args!("a=end-of-candidates"));
    }
}
