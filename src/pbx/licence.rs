//! Who may have one more binding: the licence, its rule on accounts that exist, and the contacts of one account.

use super::bindings::Binding;
use super::registrar::{Change, Registrar};
use crate::scenario::lab::{LabPlan, Victim};
use crate::scenario::plan::Reject;
use crate::sip::flow::{Flow, LinkId};

/// Owner of a binding, and its contact or flow.
type Key = (String, String);

impl Registrar {
    /// Whether an account may change its bindings so: the bindings that have to make way, or the refusal. Whoever asks
    /// for no new binding may always.
    pub(super) fn licensed<'p>(
        &mut self,
        plan: &'p LabPlan,
        user: &str,
        from: Flow,
        changes: &[Change],
    ) -> Result<Vec<Key>, &'p Reject> {
        let own = self.bindings.of(user);
        let before: Vec<&str> = own.iter().map(|binding| &*binding.key).collect();
        let mut after = before.clone();
        for change in changes {
            match change {
                Change::RemoveAll => after.clear(),
                Change::Remove(contact) => after.retain(|other| other != contact),
                Change::Bind { key, .. } if after.contains(&&**key) => {}
                Change::Bind { key, .. } => after.push(key),
            }
        }
        if after.iter().all(|contact| before.contains(contact)) {
            return Ok(Vec::new());
        }
        if let Some(refuse) = barred(plan, user) {
            return Err(refuse);
        }
        if let Some(per_aor) = plan.registrations.per_aor.as_ref().filter(|limit| after.len() > limit.places as usize) {
            return Err(&per_aor.refuse);
        }
        if let Some(per_source) = &plan.registrations.per_source {
            let own = own.iter().filter(|binding| binding.flow.remote.ip() == from.remote.ip()).count();
            let others = self.bindings.from(from.remote.ip()) as usize - own;
            if others + after.len() > per_source.places as usize {
                return Err(&per_source.refuse);
            }
        }
        let Some(licence) = &plan.licence else { return Ok(Vec::new()) };
        let others = self.bindings.licensed() - own.iter().filter(|binding| !binding.shut_out).count();
        let over = (others + self.returning.len() + after.len()).saturating_sub(licence.places as usize);
        match licence.evict {
            _ if over == 0 => Ok(Vec::new()),
            Some(evict) if over <= others => Ok(self.victims(user, evict.victim, over)),
            _ => Err(&licence.refuse),
        }
    }

    /// Bindings of other accounts that make way.
    fn victims(&mut self, user: &str, victim: Victim, count: usize) -> Vec<Key> {
        let others = self.bindings.iter().filter(|(owner, binding)| *owner != user && !binding.shut_out);
        let key = |owner: &str, binding: &Binding| (owner.to_owned(), binding.key.clone());
        let mut others: Vec<(u64, Key)> = others.map(|(owner, binding)| (binding.made, key(owner, binding))).collect();
        others.sort_unstable();
        let mut victims = Vec::with_capacity(count);
        while victims.len() < count && !others.is_empty() {
            let index = match victim {
                Victim::Oldest => 0,
                Victim::Random => (self.random.next_u64() % others.len() as u64) as usize,
            };
            victims.push(others.remove(index).1);
        }
        victims
    }

    /// Removes bindings without a word to their owners. The connections to close, never that of the one who came.
    pub(super) fn evict(&mut self, plan: &LabPlan, newcomer: Flow, victims: &[Key]) -> Vec<LinkId> {
        let rule = plan.licence.as_ref().and_then(|licence| licence.evict).unwrap_or_default();
        if rule.hidden {
            victims.iter().for_each(|(user, key)| self.bindings.shut_out(user, key));
            return Vec::new();
        }
        let removed: Vec<Binding> = victims.iter().filter_map(|(user, key)| self.bindings.remove(user, key)).collect();
        let links = removed.into_iter().map(|binding| binding.flow.link);
        links.filter(|link| rule.close && *link != newcomer.link).collect()
    }
}

/// The refusal of an account that the rule on accounts that exist keeps out.
fn barred<'p>(plan: &'p LabPlan, user: &str) -> Option<&'p Reject> {
    let licence = plan.licence.as_ref()?;
    let rule = licence.over_provisioned.as_ref()?;
    let over = plan.accounts.len() >= rule.factor as usize * licence.places as usize;
    (over && rule.users.contains(user)).then_some(&rule.refuse)
}
