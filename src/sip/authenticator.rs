//! What an entry of the endpoint knows of the challenges that came its way, and the fields that answer them
//! (RFC 3261 §22, RFC 7616, RFC 8760).
//!
//! A request may pass several proxies and a server that each want credentials for a realm of their own: every realm is
//! answered once, and again only where its nonce was stale. What was accepted is sent along with later requests, each
//! with the next nonce count, and a nonce that the server hands out for them (`nextnonce`) takes the place of the old.

use std::sync::Arc;

use super::auth::{self, Challenge};
use super::exchange::Login;
use super::header::{self, Name};
use super::message::{Message, Start};
use crate::units::Random;

/// How often one request is sent again at most: proxies on the way, and nonces that grew old.
const MAX_ROUNDS: u8 = 6;

/// Nonces of one realm that one request is sent with at most: two of them may have grown old on the way.
const MAX_NONCES: usize = 3;

/// Realms that are remembered.
const MAX_REALMS: usize = 8;

/// Credentials and the realms that asked for them.
#[derive(Clone, Debug, Default)]
pub struct Authenticator {
    login: Option<Arc<Login>>,
    realms: Vec<Realm>,
}

/// The challenges that one request has met, its further sendings included.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    answered: Vec<(Side, String)>,
    count: u8,
}

/// Who asks: the server itself (401) or a proxy on the way (407).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Server,
    Proxy,
}

#[derive(Clone, Debug)]
struct Realm {
    side: Side,
    challenge: Challenge,
    /// Requests that used the nonce.
    count: u32,
}

impl Side {
    const BOTH: [Self; 2] = [Self::Server, Self::Proxy];

    const fn asked(self) -> Name {
        match self {
            Self::Server => Name::WwwAuthenticate,
            Self::Proxy => Name::ProxyAuthenticate,
        }
    }

    const fn field(self) -> &'static str {
        match self {
            Self::Server => "Authorization",
            Self::Proxy => "Proxy-Authorization",
        }
    }
}

impl Rounds {
    /// Whether a challenge has been answered.
    pub fn any(&self) -> bool {
        self.count > 0
    }
}

impl Authenticator {
    /// What challenges are answered with.
    pub fn login(&self) -> Option<&Arc<Login>> {
        self.login.as_ref()
    }

    /// Answers with `login`; without one nothing is answered.
    pub fn new(login: Option<Arc<Login>>) -> Self {
        Self { login, realms: Vec::new() }
    }

    /// Takes the challenges of a 401 or 407. True where the request is worth sending again with
    /// [`fields`](Self::fields): each realm can be answered and none refuses an answer that it had.
    pub fn take(&mut self, response: &Message<'_>, rounds: &mut Rounds) -> bool {
        if self.login.is_none() || rounds.count == MAX_ROUNDS {
            return false;
        }
        let mut taken = false;
        // A proxy that forked gathers what its branches ask for: both fields may stand in one response (§22.3).
        for side in Side::BOTH {
            let values: Vec<String> = response.headers(side.asked()).map(header::text).collect();
            for challenge in auth::by_realm(values.iter().map(String::as_str)) {
                let of_realm = |(of, realm): &&(Side, String)| *of == side && *realm == challenge.realm;
                let before = rounds.answered.iter().filter(of_realm).count();
                let again = challenge.stale && before < MAX_NONCES && !self.knows(side, &challenge);
                if before > 0 && !again {
                    return false;
                }
                rounds.answered.push((side, challenge.realm.clone()));
                self.keep(side, challenge);
                taken = true;
            }
        }
        rounds.count += u8::from(taken);
        taken
    }

    /// The fields that a request carries, in the order in which the realms asked.
    pub fn fields(&mut self, random: &mut Random, request: &Message<'_>) -> Vec<(&'static str, String)> {
        let (Some(login), Start::Request { method, uri }) = (&self.login, request.start()) else { return Vec::new() };
        let (method, uri) = (header::text(method.as_bytes()), header::text(uri));
        let what = auth::Request { method: &method, uri: &uri, body: request.body() };
        let who = auth::Credentials { user: &login.user, password: &login.password };
        let answer = |realm: &mut Realm| {
            realm.count += 1;
            let cnonce = format!("{:016x}", random.next_u64());
            (realm.side.field(), realm.challenge.respond(&who, &what, &cnonce, realm.count))
        };
        self.realms.iter_mut().map(answer).collect()
    }

    /// Whether a request would carry anything.
    pub fn is_empty(&self) -> bool {
        self.realms.is_empty()
    }

    /// A 2xx may bring the nonce for the next request (RFC 7616 §3.5).
    pub fn take_next_nonce(&mut self, response: &Message<'_>) {
        for (side, name) in [(Side::Server, Name::AuthenticationInfo), (Side::Proxy, Name::ProxyAuthenticationInfo)] {
            let Some(nonce) = response.header(name).map(header::text).and_then(|value| auth::next_nonce(&value)) else {
                continue;
            };
            let mut realms = self.realms.iter_mut().filter(|realm| realm.side == side);
            // The field names no realm, so it can only be meant for the one there is.
            if let (Some(realm), None) = (realms.next(), realms.next()) {
                realm.challenge.nonce = nonce;
                realm.count = 0;
            }
        }
    }

    fn knows(&self, side: Side, challenge: &Challenge) -> bool {
        self.realms.iter().any(|realm| realm.side == side && realm.challenge.nonce == challenge.nonce)
    }

    fn keep(&mut self, side: Side, challenge: Challenge) {
        let known = self.realms.iter().position(|it| it.side == side && it.challenge.realm == challenge.realm);
        match known {
            Some(place) => self.realms[place] = Realm { side, challenge, count: 0 },
            None if self.realms.len() < MAX_REALMS => {
                // Most accounts have one, and a hundred thousand of them keep it.
                self.realms.reserve_exact(1);
                self.realms.push(Realm { side, challenge, count: 0 });
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Secret;

    const REQUEST: &[u8] = b"INVITE sip:b SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\n";

    fn authenticator() -> Authenticator {
        let login = Login { user: "1001".into(), password: Secret::new("x") };
        Authenticator::new(Some(Arc::new(login)))
    }

    fn take(authenticator: &mut Authenticator, rounds: &mut Rounds, code: u16, fields: &str) -> bool {
        let raw = format!("SIP/2.0 {code} X\r\n{fields}\r\n");
        authenticator.take(&Message::parse(raw.as_bytes()).expect("valid"), rounds)
    }

    fn sent(authenticator: &mut Authenticator) -> Vec<String> {
        let request = Message::parse(REQUEST).expect("valid");
        let fields = authenticator.fields(&mut Random::new(1), &request);
        let short = |(name, value): (&str, String)| {
            let part =
                |key: &str| value.split(key).nth(1).map(|rest| rest.split([',', '"']).next().unwrap_or("").to_owned());
            let (realm, nonce) = (part("realm=\"").unwrap_or_default(), part(", nonce=\"").unwrap_or_default());
            format!("{name} {realm} {nonce} {}", part("nc=").unwrap_or_default())
        };
        fields.into_iter().map(short).collect()
    }

    const PROXY_A: &str = "Proxy-Authenticate: Digest realm=\"a\", nonce=\"n1\", qop=\"auth\"\r\n";
    const SERVER_B: &str = "WWW-Authenticate: Digest realm=\"b\", nonce=\"n2\", qop=\"auth\"\r\n";

    #[test]
    fn a_proxy_and_a_server_of_two_realms_are_both_answered_in_one_request() {
        let (mut it, mut rounds) = (authenticator(), Rounds::default());
        assert!(take(&mut it, &mut rounds, 407, PROXY_A));
        assert_eq!(sent(&mut it), ["Proxy-Authorization a n1 00000001"]);
        assert!(take(&mut it, &mut rounds, 401, SERVER_B));
        assert_eq!(sent(&mut it), ["Proxy-Authorization a n1 00000002", "Authorization b n2 00000001"]);
    }

    #[test]
    fn both_kinds_of_challenge_in_one_response_are_answered() {
        let (mut it, mut rounds) = (authenticator(), Rounds::default());
        assert!(take(&mut it, &mut rounds, 401, &format!("{PROXY_A}{SERVER_B}")));
        assert_eq!(sent(&mut it).len(), 2);
    }

    #[test]
    fn an_answer_that_was_refused_is_not_sent_again_unless_the_nonce_was_stale() {
        let (mut it, mut rounds) = (authenticator(), Rounds::default());
        assert!(take(&mut it, &mut rounds, 407, PROXY_A));
        assert!(!take(&mut it, &mut rounds, 407, PROXY_A));
        let stale = PROXY_A.replace("n1", "n9").replace("qop", "stale=true, qop");
        assert!(take(&mut it, &mut rounds, 407, &stale));
        assert_eq!(sent(&mut it), ["Proxy-Authorization a n9 00000001"]);
        assert!(!take(&mut it, &mut rounds, 407, &stale), "stale, but the nonce is the same");
    }

    #[test]
    fn a_peer_that_calls_every_nonce_stale_is_given_up() {
        let (mut it, mut rounds) = (authenticator(), Rounds::default());
        let stale = |n: u32| PROXY_A.replace("n1", &format!("n{n}")).replace("qop", "stale=true, qop");
        let answered = (0..100).take_while(|n| take(&mut it, &mut rounds, 407, &stale(*n))).count();
        assert_eq!(answered, MAX_NONCES);
    }

    #[test]
    fn a_next_nonce_begins_to_count_anew() {
        let (mut it, mut rounds) = (authenticator(), Rounds::default());
        assert!(take(&mut it, &mut rounds, 401, SERVER_B));
        sent(&mut it);
        let raw = b"SIP/2.0 200 OK\r\nAuthentication-Info: nextnonce=\"n3\", qop=auth\r\n\r\n";
        it.take_next_nonce(&Message::parse(raw).expect("valid"));
        assert_eq!(sent(&mut it), ["Authorization b n3 00000001"]);
    }

    #[test]
    fn nothing_is_answered_without_a_password_or_with_an_unknown_algorithm() {
        let mut rounds = Rounds::default();
        assert!(!take(&mut Authenticator::new(None), &mut rounds, 401, SERVER_B));
        let unknown = SERVER_B.replace("qop", "algorithm=ROT13, qop");
        assert!(!take(&mut authenticator(), &mut rounds, 401, &unknown));
        assert!(!rounds.any());
    }
}
