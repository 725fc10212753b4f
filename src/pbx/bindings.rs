//! The bindings of the lab's registrar: by account, with the end of each, so that a REGISTER costs the same however many
//! accounts are registered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::Instant;

use rustc_hash::FxHashMap;

use crate::sip::flow::{Flow, LinkId};

/// Ends that are kept for a binding on average at most: each refresh adds one.
const ENDS_EACH: usize = 4;
/// And so many in any case.
const ENDS_AT_LEAST: usize = 1024;

/// Where an account is reached.
#[derive(Clone, Debug)]
pub(super) struct Binding {
    /// The contact, or what names its flow (RFC 5626 §6).
    pub(super) key: String,
    pub(super) contact: String,
    /// The device, as `+sip.instance` names it.
    pub(super) instance: Option<String>,
    pub(super) flow: Flow,
    /// Route towards it (RFC 3327), in order.
    pub(super) path: Vec<String>,
    pub(super) until: Instant,
    /// Which one it was, counted over all bindings that were ever made.
    pub(super) made: u64,
    /// It is listed, but no call reaches it, and it takes no place of the licence.
    pub(super) shut_out: bool,
}

/// Bindings that stand.
#[derive(Debug, Default)]
pub(super) struct Bindings {
    of: FxHashMap<String, Vec<Binding>>,
    count: usize,
    /// Of them, those that no call reaches.
    shut_out: usize,
    by_source: FxHashMap<IpAddr, u32>,
    /// When bindings run out, the next one first; some were refreshed or removed since.
    ends: BinaryHeap<Reverse<(Instant, String)>>,
    /// Bindings that were ever made.
    made: u64,
}

impl Bindings {
    /// Forgets those that have run out.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.ends.peek().is_some_and(|Reverse((until, _))| *until <= now) {
            let Some(Reverse((_, user))) = self.ends.pop() else { break };
            self.retain(&user, |binding| binding.until > now);
        }
    }

    /// Those of an account.
    pub(super) fn of(&self, user: &str) -> &[Binding] {
        self.of.get(user).map_or(&[], Vec::as_slice)
    }

    /// All, with their accounts.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Binding)> {
        self.of.iter().flat_map(|(user, own)| own.iter().map(|binding| (user.as_str(), binding)))
    }

    /// How many take a place of the licence, those included that have run out since [`expire`](Self::expire).
    pub(super) fn licensed(&self) -> usize {
        self.count - self.shut_out
    }

    /// No call reaches this one any more.
    pub(super) fn shut_out(&mut self, user: &str, key: &str) {
        let own = self.of.get_mut(user).into_iter().flatten();
        for binding in own.filter(|binding| binding.key == key && !binding.shut_out) {
            binding.shut_out = true;
            self.shut_out += 1;
        }
    }

    /// Those that came from an address.
    pub(super) fn from(&self, source: IpAddr) -> u32 {
        self.by_source.get(&source).copied().unwrap_or(0)
    }

    /// Makes a binding, or refreshes the one with its key: that does not make it younger.
    pub(super) fn insert(&mut self, user: &str, binding: Binding) {
        let before = self.of(user).iter().find(|other| other.key == binding.key);
        let before = before.map(|before| (before.made, before.shut_out));
        let (made, shut_out) = before.unwrap_or_else(|| {
            self.made += 1;
            (self.made, false)
        });
        self.remove(user, &binding.key);
        self.ends.push(Reverse((binding.until, user.to_owned())));
        *self.by_source.entry(binding.flow.remote.ip()).or_default() += 1;
        self.of.entry(user.to_owned()).or_default().push(Binding { made, shut_out, ..binding });
        self.shut_out += usize::from(shut_out);
        self.count += 1;
        if self.ends.len() > ENDS_AT_LEAST + ENDS_EACH * self.count {
            self.ends = self.iter().map(|(user, binding)| Reverse((binding.until, user.to_owned()))).collect();
        }
    }

    /// Removes one.
    pub(super) fn remove(&mut self, user: &str, key: &str) -> Option<Binding> {
        let mut removed = None;
        self.retain(user, |binding| {
            let stays = binding.key != key;
            if !stays {
                removed = Some(binding.clone());
            }
            stays
        });
        removed
    }

    /// Removes those of an account that are not to stay.
    pub(super) fn retain(&mut self, user: &str, mut stays: impl FnMut(&Binding) -> bool) {
        let Some(own) = self.of.get_mut(user) else { return };
        let (count, shut_out, by_source) = (&mut self.count, &mut self.shut_out, &mut self.by_source);
        own.retain(|binding| {
            let stays = stays(binding);
            if !stays {
                *count -= 1;
                *shut_out -= usize::from(binding.shut_out);
                let source = binding.flow.remote.ip();
                if let Some(left) = by_source.get_mut(&source).filter(|left| **left > 1) {
                    *left -= 1;
                } else {
                    by_source.remove(&source);
                }
            }
            stays
        });
        if own.is_empty() {
            self.of.remove(user);
        }
    }

    /// Removes those over a connection that is gone.
    pub(super) fn remove_link(&mut self, link: LinkId) {
        let over = |own: &[Binding]| own.iter().any(|binding| binding.flow.link == link);
        let users: Vec<String> = self.of.iter().filter(|(_, own)| over(own)).map(|(user, _)| user.clone()).collect();
        for user in users {
            self.retain(&user, |binding| binding.flow.link != link);
        }
    }
}
