//! ICE and DTLS in session descriptions (RFC 8839, RFC 8842, RFC 8122): what the other side says, and our own lines.
//!
//! Candidates and fingerprints are kept as text; what is done with them belongs to `webrtc`.

use std::fmt::Arguments;
use std::io::Write;

use super::local::{NEVER_FAILS, line};

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
    /// The writer takes candidates that come later (`a=ice-options:trickle`, RFC 8838 §3).
    pub trickle: bool,
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
        const NAMES: [&str; 8] = [
            "candidate",
            "ice-ufrag",
            "ice-pwd",
            "ice-lite",
            "ice-options",
            "fingerprint",
            "setup",
            "end-of-candidates",
        ];
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
            "ice-options" => {
                self.trickle = value.is_some_and(|tags| tags.split_ascii_whitespace().any(|tag| tag == "trickle"));
            }
            "setup" => self.setup = value.and_then(Setup::parse),
            "candidate" => {
                let candidate = attribute.trim();
                // Each fragment repeats those before it.
                if self.candidates.len() < MAX_CANDIDATES && !self.candidates.contains(&candidate) {
                    self.candidates.push(candidate);
                }
            }
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
        self.trickle |= session.trickle;
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
    /// Our candidates as `candidate:…`, in the order in which they became known.
    pub candidates: Vec<String>,
    /// These are all that there will be.
    pub complete: bool,
    /// Candidates may follow a description of ours, and those that follow one of theirs are taken (RFC 8838).
    pub trickle: bool,
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
        if self.complete {
            line(format_args!("a=end-of-candidates"));
        }
    }

    /// Appends a body of the type [`FRAGMENT`] for the media line of this name (RFC 8840 §9.2): every candidate so far, as each
    /// such body repeats those before it (§4.4). `bundle` has the names of all lines that share its path.
    pub fn write_fragment(&self, bundle: Option<&str>, mid: &str, out: &mut Vec<u8>) {
        if let Some(mids) = bundle {
            line(out, format_args!("a=group:BUNDLE {mids}"));
        }
        line(out, format_args!("a=ice-pwd:{}", self.pwd));
        line(out, format_args!("a=ice-ufrag:{}", self.ufrag));
        write!(out, "m=audio 9 RTP/AVP 0\r\na=mid:{mid}\r\n").expect(NEVER_FAILS);
        for candidate in &self.candidates {
            line(out, format_args!("a={candidate}"));
        }
        if self.complete {
            line(out, format_args!("a=end-of-candidates"));
        }
    }
}

/// Fragments that came before there was anything to use them for: the description that they belong to, or our side of it.
#[derive(Clone, Debug, Default)]
pub struct Fragments(Vec<u8>);

impl Fragments {
    /// Bytes that are kept; what is more is passed over.
    const MOST: usize = 16 * 1024;

    /// Keeps one. Those of another session of ICE give way to it.
    pub fn keep(&mut self, body: &[u8]) {
        if Peering::of_fragment(&self.0).ufrag != Peering::of_fragment(body).ufrag {
            self.0.clear();
        }
        if self.0.len() + body.len() <= Self::MOST {
            self.0.extend_from_slice(body);
            self.0.extend_from_slice(b"\r\n");
        }
    }

    /// What they say together.
    pub fn all(&self) -> Option<Peering<'_>> {
        (!self.0.is_empty()).then(|| Peering::of_fragment(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ours(candidates: Vec<String>, complete: bool) -> LocalPeering {
        LocalPeering {
            ufrag: "ufra".into(),
            pwd: "a-password-of-22-charac".into(),
            lite: false,
            candidates,
            complete,
            trickle: true,
            fingerprint: "sha-256 AA:BB".into(),
            role: Role::Client,
        }
    }

    fn fragment(ours: &LocalPeering) -> String {
        let mut out = Vec::new();
        ours.write_fragment(Some("0 1"), "0", &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_fragment_reads_as_rfc_8840_writes_it() {
        let host = "candidate:1 1 udp 2130706431 192.0.2.7 20000 typ host".to_owned();
        let begin = "a=group:BUNDLE 0 1\r\na=ice-pwd:a-password-of-22-charac\r\na=ice-ufrag:ufra\r\n\
                     m=audio 9 RTP/AVP 0\r\na=mid:0\r\n";
        assert_eq!(fragment(&ours(Vec::new(), false)), begin);
        let all = format!("{begin}a={host}\r\na=end-of-candidates\r\n");
        assert_eq!(fragment(&ours(vec![host], true)), all);
    }

    #[test]
    fn fragments_are_kept_together_until_those_of_another_session_come() {
        let candidate = |n: u8| format!("candidate:{n} 1 udp 1 192.0.2.{n} 20000 typ host");
        let mut kept = Fragments::default();
        assert_eq!(kept.all(), None);
        kept.keep(fragment(&ours(vec![candidate(1)], false)).as_bytes());
        kept.keep(fragment(&ours(vec![candidate(2)], true)).as_bytes());
        let all = kept.all().expect("two");
        assert_eq!((all.candidates, all.end_of_candidates), (vec![&*candidate(1), &*candidate(2)], true));
        kept.keep(b"a=ice-ufrag:other\r\na=candidate:3 1 udp 1 192.0.2.3 20000 typ host\r\n");
        let other = kept.all().expect("one");
        assert_eq!((other.ufrag, other.candidates.len(), other.end_of_candidates), (Some("other"), 1, false));
        kept.keep(&[b'x'; Fragments::MOST + 1]);
        assert_eq!(kept.all(), None, "what is too large is passed over");
    }

    proptest! {
        #[test]
        fn what_a_fragment_says_is_read_again(
            hosts in prop::collection::vec((1u8.., any::<u32>(), any::<[u8; 4]>(), 1u16.., 0usize..3), 0..MAX_CANDIDATES),
            complete in any::<bool>(),
        ) {
            let kinds = ["host", "srflx raddr 10.0.0.1 rport 9", "relay raddr 10.0.0.1 rport 9"];
            let candidates: Vec<String> = hosts
                .iter()
                .map(|(n, priority, ip, port, kind)| {
                    let ip = std::net::Ipv4Addr::from(*ip);
                    format!("candidate:{n} 1 udp {priority} {ip} {port} typ {}", kinds[*kind])
                })
                .collect();
            let ours = ours(candidates, complete);
            let text = fragment(&ours);
            let read = Peering::of_fragment(text.as_bytes());
            prop_assert_eq!(read.credentials(), Some((&*ours.ufrag, &*ours.pwd)));
            prop_assert_eq!(read.candidates, ours.candidates.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_eq!(read.end_of_candidates, complete);
        }
    }
}
