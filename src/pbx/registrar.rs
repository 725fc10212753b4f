//! Bindings, and who may do what (RFC 3261 §10.3, §22). Who may have one more binding is said by the licence.

use std::time::{Duration, Instant};

use rustc_hash::FxHashMap;

use super::bindings::{Binding, Bindings};
use super::limits::Pace;
use crate::scenario::lab::{Freed, LabPlan};
use crate::scenario::plan::Reject;
use crate::sip::auth::{Algorithm, Verdict, Verifier};
use crate::sip::flow::{Flow, LinkId};
use crate::sip::header::{self, Name};
use crate::sip::message::Message;
use crate::sip::uri::{self, NameAddr, Uri};
use crate::sip::validity::is_readable;
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
    pub(super) bindings: Bindings,
    /// When places of devices that have logged out can be had again; `None` never.
    pub(super) returning: Vec<Option<Instant>>,
    pace: Pace,
    /// Who is evicted.
    pub(super) random: Random,
    origin: Instant,
    counter: u64,
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
    /// `key` is the contact, or what names its flow (RFC 5626 §6).
    Bind {
        key: String,
        contact: String,
        instance: Option<String>,
        expires: u32,
    },
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
            bindings: Bindings::default(),
            returning: Vec::new(),
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
        self.bindings.expire(now);
        self.returning.retain(|at| at.is_none_or(|at| at > now));
        if let Some(rate) = &plan.registrations.rate
            && !self.pace.take(now, self.origin, rate.meter)
        {
            return Answer::rejected(&rate.refuse);
        }
        let changes = changes(request);
        if changes.iter().any(|change| matches!(change, Change::Bind { expires, .. } if *expires < MIN_EXPIRES)) {
            return Answer::refuse(423, "", vec![("Min-Expires", MIN_EXPIRES.to_string())]);
        }
        let unreadable =
            |change: &Change| matches!(change, Change::Bind { contact, .. } if !is_readable(contact.as_bytes()));
        if changes.iter().any(unreadable) {
            return Answer::refuse(400, "Bad Contact Header Field", Vec::new());
        }
        let asks = |tag: &[u8]| request.headers(Name::Supported).flat_map(header::split_list).any(|known| known == tag);
        let flows = changes.iter().any(|change| matches!(change, Change::Bind { key, contact, .. } if key != contact));
        let path: Vec<String> = request.headers(Name::Path).flat_map(header::split_list).map(header::text).collect();
        if flows && request.headers(Name::Via).flat_map(header::split_list).count() > 1 && !begins_flow(&path) {
            // RFC 5626 §6: who stands between us knows nothing of flows.
            return Answer::refuse(439, "First Hop Lacks Outbound Support", Vec::new());
        }
        let evicted = match self.licensed(plan, user, flow, &changes) {
            Ok(evicted) => evicted,
            Err(refuse) => return Answer::rejected(refuse),
        };
        let closes = self.evict(plan, flow, &evicted);
        let before = self.bindings.of(user).len();
        for change in changes {
            match change {
                Change::RemoveAll => self.bindings.retain(user, |_| false),
                Change::Remove(key) => drop(self.bindings.remove(user, &key)),
                Change::Bind { key, contact, instance, expires } => {
                    let until = now + Duration::from_secs(expires.into());
                    let path = path.clone();
                    self.bindings
                        .insert(user, Binding { key, contact, instance, flow, path, until, made: 0, shut_out: false });
                }
            }
        }
        let freed = plan.licence.as_ref().map_or(Freed::AtOnce, |licence| licence.freed);
        for _ in self.bindings.of(user).len()..before {
            match freed {
                Freed::AtOnce => {}
                Freed::After(period) => self.returning.push(Some(now + period)),
                Freed::Never => self.returning.push(None),
            }
        }
        let mut headers = self.contacts(now, user, asks(b"gruu").then_some(plan.domain.as_str()));
        if flows {
            headers.push(("Require", "outbound".to_owned()));
        }
        // RFC 3327 §5.3: the path is shown to whom it was made for.
        headers.extend(path.into_iter().map(|value| ("Path", value)));
        Answer { code: 200, reason: String::new(), headers, closes }
    }

    /// The bindings of an account, with their public GRUUs at this domain where they are asked for (RFC 5627 §5.2).
    fn contacts(&self, now: Instant, user: &str, gruus_at: Option<&str>) -> Vec<(&'static str, String)> {
        let line = |binding: &Binding| {
            let left = binding.until.saturating_duration_since(now).as_secs();
            let gruu = |instance: &String| {
                let gruu = gruus_at.map(|domain| format!(";pub-gruu=\"sip:{user}@{domain};gr={instance}\""));
                format!(";+sip.instance=\"<{instance}>\"{}", gruu.unwrap_or_default())
            };
            let device = binding.instance.as_ref().map(gruu).unwrap_or_default();
            ("Contact", format!("<{}>{device};expires={left}", binding.contact))
        };
        self.bindings.of(user).iter().map(line).collect()
    }

    /// Where an account is reached: the binding that was made last of all, or of those of the device that a GRUU names; any of
    /// them where that is wanted.
    pub(super) fn find(&mut self, now: Instant, user: &str, gruu: Option<&str>, any: bool) -> Option<&Binding> {
        let own = self.bindings.of(user).iter().filter(|binding| binding.until > now && !binding.shut_out);
        let named = own.filter(|binding| gruu.is_none_or(|gruu| binding.instance.as_deref() == Some(gruu)));
        if any {
            let named: Vec<&Binding> = named.collect();
            let index = if named.len() > 1 { self.random.next_u64() % named.len() as u64 } else { 0 };
            return named.get(index as usize).copied();
        }
        named.max_by_key(|binding| binding.until)
    }

    /// Whether the lab knows the account.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.passwords.contains_key(user)
    }

    /// Bindings that stand.
    pub(super) fn len(&self, now: Instant) -> usize {
        self.bindings.iter().filter(|(_, binding)| binding.until > now).count()
    }

    /// Bindings over a connection that is gone are gone.
    pub(super) fn remove_link(&mut self, link: LinkId) {
        self.bindings.remove_link(link);
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
        let instance =
            header::param(contact.params, "+sip.instance").map(|value| header::text(NameAddr::parse(value).uri));
        let flow = header::param(contact.params, "reg-id").and_then(header::number);
        let contact = header::text(contact.uri);
        // RFC 5626 §6: a flow of a device takes the place of the one with its number, wherever it comes from.
        let flow = instance.as_ref().zip(flow).map(|(instance, flow)| format!("<{instance}>;reg-id={flow}"));
        match (expires, flow.unwrap_or_else(|| contact.clone())) {
            (0, key) => Change::Remove(key),
            (expires, key) => Change::Bind { key, contact, instance, expires },
        }
    };
    contacts.map(change).collect()
}

/// Whether the first proxy of a path keeps the flow (RFC 5626 §5.1).
fn begins_flow(path: &[String]) -> bool {
    let first = path.last().map(|value| NameAddr::parse(value.as_bytes()).uri);
    first.and_then(Uri::parse).is_some_and(|uri| uri.param("ob").is_some())
}

/// The user part of an address of record.
pub(super) fn user_of(uri: &[u8]) -> Option<String> {
    Uri::parse(uri).map(|uri| header::text(&uri::unescape(uri.user)))
}
