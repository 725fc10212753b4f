//! Bindings, and who may do what (RFC 3261 §10.3, §22). Who may have one more binding is said by the licence.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::limits::Pace;
use crate::scenario::lab::LabPlan;
use crate::scenario::plan::Reject;
use crate::sip::auth::{Algorithm, Verdict, Verifier};
use crate::sip::flow::{Flow, LinkId};
use crate::sip::header::{self, Name};
use crate::sip::message::Message;
use crate::sip::uri::{self, NameAddr, Uri};
use crate::units::{Random, Secret};

/// Expiry where a REGISTER asks for none, seconds.
const DEFAULT_EXPIRES: u32 = 300;
/// Shortest expiry that is granted, seconds.
const MIN_EXPIRES: u32 = 10;
/// How long a nonce is good for.
const NONCE_LIFE: Duration = Duration::from_secs(300);

/// The registrar of the lab.
#[derive(Debug)]
pub(super) struct Registrar {
    verifier: Verifier,
    passwords: FxHashMap<String, Secret>,
    /// (user, contact) → binding
    pub(super) bindings: FxHashMap<(String, String), Binding>,
    /// Bindings that were ever made.
    made: u64,
    pace: Pace,
    /// Who is evicted.
    pub(super) random: Random,
    origin: Instant,
    counter: u64,
}

/// Where an account is reached.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    pub(super) contact: String,
    pub(super) flow: Flow,
    /// Route towards it (RFC 3327), in order.
    pub(super) path: Vec<String>,
    pub(super) until: Instant,
    /// Which one it was, counted over all bindings that were ever made.
    pub(super) made: u64,
}

/// What a request's credentials are worth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// They are this user's.
    Granted(String),
    /// Challenge with this value.
    Challenge(String),
    /// There is no such account.
    Unknown,
}

/// What a REGISTER came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) reason: String,
    pub(super) headers: Vec<(&'static str, String)>,
    /// Connections to close after it.
    pub(super) closes: Vec<LinkId>,
}

/// What a REGISTER asks for, one Contact after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    RemoveAll,
    Remove(String),
    Bind { contact: String, expires: u32 },
}

impl Registrar {
    pub(super) fn new(plan: &LabPlan, random: &mut Random, now: Instant) -> Self {
        let mut key = [0; 32];
        for chunk in key.chunks_mut(8) {
            chunk.copy_from_slice(&random.next_u64().to_le_bytes());
        }
        let accounts = plan.accounts.iter();
        Self {
            verifier: Verifier::new(plan.domain.clone(), key, NONCE_LIFE),
            passwords: accounts.filter_map(|a| Some((a.user.clone(), a.password.clone()?))).collect(),
            bindings: FxHashMap::default(),
            made: 0,
            pace: Pace::default(),
            random: Random::new(random.next_u64()),
            origin: now,
            counter: 0,
        }
    }

    /// Checks the credentials in a header field of a request.
    pub(super) fn authorize(&mut self, now: Instant, request: &Message<'_>, field: Name) -> Access {
        let values: Vec<String> = request.headers(field).map(header::text).collect();
        let method = request.method().map(|method| header::text(method.as_bytes())).unwrap_or_default();
        let age = now.saturating_duration_since(self.origin);
        let password = |user: &str| self.passwords.get(user);
        let values = values.iter().map(String::as_str);
        match self.verifier.verify(values, &method, request.body(), password, age) {
            Verdict::Ok(user) => Access::Granted(user),
            Verdict::Stale => Access::Challenge(self.challenge(age, true)),
            // RFC 3261 §22.1: credentials that are not accepted are challenged again, as most registrars do.
            Verdict::Missing | Verdict::Malformed | Verdict::Wrong(_) => Access::Challenge(self.challenge(age, false)),
            Verdict::UnknownUser(_) => Access::Unknown,
        }
    }

    fn challenge(&mut self, age: Duration, stale: bool) -> String {
        self.counter += 1;
        self.verifier.challenge(Algorithm::Md5, self.counter, stale, age)
    }

    /// Adds, refreshes, removes or lists the bindings of an account whose credentials are right: all that the request
    /// asks for, or nothing (RFC 3261 §10.3).
    pub(super) fn register(
        &mut self,
        now: Instant,
        plan: &LabPlan,
        user: &str,
        flow: Flow,
        request: &Message<'_>,
    ) -> Answer {
        self.bindings.retain(|_, binding| binding.until > now);
        if let Some(rate) = &plan.registrations.rate
            && !self.pace.take(now, self.origin, rate.meter)
        {
            return Answer::rejected(&rate.refuse);
        }
        let changes = changes(request);
        if changes.iter().any(|change| matches!(change, Change::Bind { expires, .. } if *expires < MIN_EXPIRES)) {
            return Answer::refuse(423, "", vec![("Min-Expires", MIN_EXPIRES.to_string())]);
        }
        let evicted = match self.licensed(plan, user, &changes) {
            Ok(evicted) => evicted,
            Err(refuse) => return Answer::rejected(refuse),
        };
        let closes = self.evict(plan, flow, &evicted);
        let path: Vec<String> = request.headers(Name::Path).flat_map(header::split_list).map(header::text).collect();
        for change in changes {
            match change {
                Change::RemoveAll => self.bindings.retain(|(owner, _), _| owner != user),
                Change::Remove(contact) => drop(self.bindings.remove(&(user.to_owned(), contact))),
                Change::Bind { contact, expires } => {
                    let until = now + Duration::from_secs(expires.into());
                    self.bind(user, Binding { contact, flow, path: path.clone(), until, made: 0 });
                }
            }
        }
        let mut headers = self.contacts(now, user);
        // RFC 3327 §5.3: the path is shown to whom it was made for.
        headers.extend(path.into_iter().map(|value| ("Path", value)));
        Answer { code: 200, reason: String::new(), headers, closes }
    }

    fn bind(&mut self, user: &str, binding: Binding) {
        let key = (user.to_owned(), binding.contact.clone());
        // A refresh does not make a binding younger.
        let made = self.bindings.get(&key).map(|before| before.made).unwrap_or_else(|| {
            self.made += 1;
            self.made
        });
        self.bindings.insert(key, Binding { made, ..binding });
    }

    fn contacts(&self, now: Instant, user: &str) -> Vec<(&'static str, String)> {
        let own = self.bindings.iter().filter(|((owner, _), _)| owner == user);
        let left = |binding: &Binding| binding.until.saturating_duration_since(now).as_secs();
        own.map(|(_, binding)| ("Contact", format!("<{}>;expires={}", binding.contact, left(binding)))).collect()
    }

    /// Where an account is reached, the binding that was made last of all.
    pub(super) fn find(&self, now: Instant, user: &str) -> Option<&Binding> {
        let own = self.bindings.iter().filter(|((owner, _), binding)| owner == user && binding.until > now);
        own.map(|(_, binding)| binding).max_by_key(|binding| binding.until)
    }

    /// Whether the lab knows the account.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.passwords.contains_key(user)
    }

    /// Bindings that stand.
    pub(super) fn len(&self, now: Instant) -> usize {
        self.bindings.values().filter(|binding| binding.until > now).count()
    }

    /// Bindings over a connection that is gone are gone.
    pub(super) fn remove_link(&mut self, link: LinkId) {
        self.bindings.retain(|_, binding| binding.flow.link != link);
    }
}

impl Answer {
    pub(super) fn refuse(code: u16, reason: &str, headers: Vec<(&'static str, String)>) -> Self {
        Self { code, reason: reason.to_owned(), headers, closes: Vec::new() }
    }

    fn rejected(reject: &Reject) -> Self {
        Self::refuse(reject.code, reject.reason.as_deref().unwrap_or(""), reject.headers())
    }
}

fn changes(request: &Message<'_>) -> Vec<Change> {
    let default = request.header(Name::Expires).and_then(header::number).unwrap_or(DEFAULT_EXPIRES);
    let contacts = request.headers(Name::Contact).flat_map(header::split_list);
    let change = |value: &[u8]| {
        if value == b"*" {
            return Change::RemoveAll;
        }
        let contact = NameAddr::parse(value);
        let expires = header::param(contact.params, "expires").and_then(header::number).unwrap_or(default);
        match (expires, header::text(contact.uri)) {
            (0, contact) => Change::Remove(contact),
            (expires, contact) => Change::Bind { contact, expires },
        }
    };
    contacts.map(change).collect()
}

/// The user part of an address of record.
pub(super) fn user_of(uri: &[u8]) -> Option<String> {
    Uri::parse(uri).map(|uri| header::text(&uri::unescape(uri.user)))
}
