//! The server's side: nonces that need no memory, and the check of an answer.
//!
//! A nonce holds its time and a counter, sealed with a key, so nothing is kept per nonce. Nonce counts are therefore
//! not compared with earlier ones: a replay within the life of a nonce passes.

use std::time::Duration;

use crate::units::{Redacted, Secret};

use super::digest::{Input, hmac};
use super::params::{Piece, Pieces, plain, quote};
use super::{Algorithm, Qop};

/// Issues challenges and checks the answers. Times are counted from an origin that the caller keeps.
#[derive(Debug)]
pub struct Verifier {
    realm: String,
    key: Redacted<[u8; 32]>,
    life: Duration,
}

/// What an answer is worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// User and password are right.
    Ok(String),
    /// They are right, but the nonce is too old or not ours: challenge again with `stale=true`.
    Stale,
    /// The password is wrong.
    Wrong(String),
    /// There is no such user.
    UnknownUser(String),
    /// No answer to a challenge of our realm: challenge.
    Missing,
    /// An answer that cannot be checked: a parameter is missing, or has an unknown value.
    Malformed,
}

impl Verifier {
    /// `key` seals nonces; `life` is how long one is good for.
    pub fn new(realm: impl Into<String>, key: [u8; 32], life: Duration) -> Self {
        Self { realm: realm.into(), key: Redacted(key), life }
    }

    /// The value of a WWW-Authenticate or Proxy-Authenticate header. `counter` differs between the nonces of one
    /// moment; with several algorithms, send the strongest first (RFC 8760 §2.3).
    pub fn challenge(&self, algorithm: Algorithm, counter: u64, stale: bool, now: Duration) -> String {
        let mut out = "Digest".to_owned();
        quote(&mut out, "realm", &self.realm);
        quote(&mut out, "nonce", &self.nonce(now.as_secs(), counter));
        if stale {
            plain(&mut out, "stale", "true");
        }
        plain(&mut out, "algorithm", algorithm.name());
        quote(&mut out, "qop", Qop::Auth.name());
        out
    }

    /// Checks the values of a request's Authorization (or Proxy-Authorization) headers. Each may be for another realm;
    /// the first of ours counts. The URI is that of the answer: a proxy may have changed the Request-URI since.
    pub fn verify<'a, 'p>(
        &self,
        values: impl IntoIterator<Item = &'a str>,
        method: &str,
        body: &[u8],
        password: impl FnOnce(&str) -> Option<&'p Secret>,
        now: Duration,
    ) -> Verdict {
        let Some(answer) = values.into_iter().filter_map(Answer::read).find(|answer| answer.realm == self.realm) else {
            return Verdict::Missing;
        };
        let Some(input) = answer.input(method, body) else { return Verdict::Malformed };
        let user = answer.user.clone();
        let Some(password) = password(&user) else { return Verdict::UnknownUser(user) };
        if !(Input { password: password.reveal(), ..input }).response().is(&answer.response) {
            return Verdict::Wrong(user);
        }
        // RFC 7616 §3.3: stale only where the digest itself is right.
        if self.is_fresh(&answer.nonce, now) { Verdict::Ok(user) } else { Verdict::Stale }
    }

    fn nonce(&self, seconds: u64, counter: u64) -> String {
        let text = format!("{seconds:016x}{counter:016x}");
        let seal = hmac(&self.key.0, &text);
        text + &seal.as_str()[..32]
    }

    fn is_fresh(&self, nonce: &str, now: Duration) -> bool {
        let field = |at: usize| nonce.get(at..at + 16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        let (Some(issued), Some(counter)) = (field(0), field(16)) else { return false };
        // The nonce was ours when we would make the same one again.
        nonce == self.nonce(issued, counter)
            && now.as_secs().checked_sub(issued).is_some_and(|age| age <= self.life.as_secs())
    }
}

/// The parameters of an Authorization value, as text.
#[derive(Default)]
struct Answer {
    user: String,
    realm: String,
    nonce: String,
    uri: String,
    response: String,
    cnonce: String,
    nc: String,
    algorithm: Option<String>,
    qop: Option<String>,
}

impl Answer {
    /// `None` for schemes other than Digest.
    fn read(value: &str) -> Option<Self> {
        let mut pieces = Pieces::new(value);
        let Some(Piece::Scheme(scheme)) = pieces.next() else { return None };
        if !scheme.eq_ignore_ascii_case("Digest") {
            return None;
        }
        let mut answer = Self::default();
        for piece in pieces {
            // A second scheme in one value is not allowed here (RFC 3261 §20.7); what follows is not read.
            let Piece::Param(name, value) = piece else { break };
            let value = value.into_owned();
            match name.to_ascii_lowercase().as_str() {
                "username" => answer.user = value,
                "realm" => answer.realm = value,
                "nonce" => answer.nonce = value,
                "uri" => answer.uri = value,
                "response" => answer.response = value,
                "cnonce" => answer.cnonce = value,
                "nc" => answer.nc = value,
                "algorithm" => answer.algorithm = Some(value),
                "qop" => answer.qop = Some(value),
                _ => {}
            }
        }
        Some(answer)
    }

    /// What its response must be made of, the password left empty; `None` where something is missing or unknown.
    fn input<'i>(&'i self, method: &'i str, body: &'i [u8]) -> Option<Input<'i>> {
        let algorithm = self.algorithm.as_deref().map_or(Some(Algorithm::Md5), Algorithm::parse)?;
        let qop = match &self.qop {
            Some(qop) => Some(Qop::parse(qop)?),
            None => None,
        };
        let counted = !self.cnonce.is_empty() && u32::from_str_radix(&self.nc, 16).is_ok();
        let whole = ![&self.user, &self.nonce, &self.uri, &self.response].iter().any(|text| text.is_empty());
        if !whole || (qop.is_some() && !counted) {
            return None;
        }
        let Self { user, realm, nonce, uri, cnonce, nc, .. } = self;
        Some(Input { algorithm, user, realm, password: "", nonce, cnonce, nc, qop, method, uri, body })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::auth::{Credentials, Request, by_realm};
    use proptest::prelude::*;

    const NOW: Duration = Duration::from_secs(1000);

    fn verifier() -> Verifier {
        Verifier::new("lab", [7; 32], Duration::from_secs(60))
    }

    /// A REGISTER answered with this user and password.
    fn answer(challenge: &str, user: &str, password: &str) -> String {
        let password = Secret::new(password);
        let credentials = Credentials { user, password: &password };
        let request = Request { method: "REGISTER", uri: "sip:lab", body: b"" };
        by_realm([challenge])[0].respond(&credentials, &request, "c0", 1)
    }

    fn check(verifier: &Verifier, values: &[&str], now: Duration) -> Verdict {
        let password = Secret::new("right");
        let known = |user: &str| (user == "1001").then_some(&password);
        verifier.verify(values.iter().copied(), "REGISTER", b"", known, now)
    }

    #[test]
    fn our_client_satisfies_our_server_with_each_algorithm() {
        for algorithm in [
            Algorithm::Md5,
            Algorithm::Md5Sess,
            Algorithm::Sha256,
            Algorithm::Sha256Sess,
            Algorithm::Sha512_256,
            Algorithm::Sha512_256Sess,
        ] {
            let challenge = verifier().challenge(algorithm, 1, false, NOW);
            let value = answer(&challenge, "1001", "right");
            assert_eq!(check(&verifier(), &[&value], NOW), Verdict::Ok("1001".into()), "{value}");
        }
    }

    #[test]
    fn a_challenge_reads_as_the_standard_writes_it() {
        let challenge = verifier().challenge(Algorithm::Md5, 2, true, NOW);
        let (before, after) = challenge.split_at(r#"Digest realm="lab", nonce=""#.len());
        assert_eq!(before, r#"Digest realm="lab", nonce=""#);
        assert!(after.starts_with("00000000000003e80000000000000002"), "{after}");
        assert!(after.ends_with(r#"", stale=true, algorithm=MD5, qop="auth""#), "{after}");
    }

    #[test]
    fn a_wrong_password_an_unknown_user_and_no_answer_are_told_apart() {
        let challenge = verifier().challenge(Algorithm::Md5, 1, false, NOW);
        let wrong = answer(&challenge, "1001", "guess");
        let unknown = answer(&challenge, "9999", "right");
        let elsewhere = answer(&challenge.replace("\"lab\"", "\"other\""), "1001", "right");
        let right = answer(&challenge, "1001", "right");
        assert_eq!(check(&verifier(), &[&wrong], NOW), Verdict::Wrong("1001".into()));
        assert_eq!(check(&verifier(), &[&unknown], NOW), Verdict::UnknownUser("9999".into()));
        assert_eq!(check(&verifier(), &[], NOW), Verdict::Missing);
        assert_eq!(check(&verifier(), &["Basic abc", &elsewhere], NOW), Verdict::Missing);
        assert_eq!(check(&verifier(), &[&elsewhere, &right], NOW), Verdict::Ok("1001".into()));
    }

    #[test]
    fn an_old_or_foreign_nonce_is_stale_only_with_the_right_password() {
        let challenge = verifier().challenge(Algorithm::Md5, 1, false, NOW);
        let right = answer(&challenge, "1001", "right");
        let at = |seconds| NOW + Duration::from_secs(seconds);
        assert_eq!(check(&verifier(), &[&right], at(60)), Verdict::Ok("1001".into()));
        assert_eq!(check(&verifier(), &[&right], at(61)), Verdict::Stale);
        assert_eq!(check(&verifier(), &[&answer(&challenge, "1001", "guess")], at(61)), Verdict::Wrong("1001".into()));
        let restarted = Verifier::new("lab", [8; 32], Duration::from_secs(60));
        assert_eq!(check(&restarted, &[&right], NOW), Verdict::Stale);
    }

    #[test]
    fn an_answer_that_cannot_be_checked_is_malformed() {
        let challenge = verifier().challenge(Algorithm::Md5, 1, false, NOW);
        let right = answer(&challenge, "1001", "right");
        for (from, to) in [
            ("algorithm=MD5", "algorithm=ROT13"),
            ("qop=auth", "qop=later"),
            ("nc=00000001", "nc=x"),
            ("cnonce=\"c0\", ", ""),
            ("uri=\"sip:lab\", ", ""),
            ("username=\"1001\", ", ""),
        ] {
            let broken = right.replace(from, to);
            assert_ne!(broken, right, "{from}");
            assert_eq!(check(&verifier(), &[&broken], NOW), Verdict::Malformed, "{broken}");
        }
    }

    #[test]
    fn a_verifier_never_prints_its_key() {
        assert_eq!(format!("{:?}", verifier()), "Verifier { realm: \"lab\", key: ***, life: 60s }");
    }

    proptest! {
        #[test]
        fn a_damaged_answer_never_becomes_another_user(
            edits in prop::collection::vec((any::<prop::sample::Index>(), "[ -~]"), 1..6),
        ) {
            let challenge = verifier().challenge(Algorithm::Md5, 1, false, NOW);
            let mut value = answer(&challenge, "1001", "right");
            for (place, text) in edits {
                let place = place.index(value.len());
                value.replace_range(place..=place, &text);
            }
            if let Verdict::Ok(user) = check(&verifier(), &[&value], NOW) {
                prop_assert_eq!(user, "1001");
            }
        }

        #[test]
        fn any_text_is_checked(text in any::<String>(), nonce in any::<String>()) {
            check(&verifier(), &[&text, &format!("Digest realm=\"lab\", {text}")], NOW);
            prop_assert!(!verifier().is_fresh(&nonce, NOW));
        }
    }
}
