//! States by key that forgets those of which nothing has to be remembered, so that strangers cannot make it grow.

use rustc_hash::FxHashMap;

use super::Key;

/// Size up to which nothing is forgotten.
const SMALL: usize = 64;

/// States by key.
#[derive(Debug)]
pub(super) struct Table<S> {
    states: FxHashMap<Key, S>,
    /// Size at which it is looked through for states to forget.
    look_through_at: usize,
}

impl<S> Default for Table<S> {
    fn default() -> Self {
        Self { states: FxHashMap::default(), look_through_at: SMALL }
    }
}

impl<S: Default> Table<S> {
    /// The state of a key, a new one where there is none. States that are `idle` may be forgotten meanwhile.
    pub(super) fn entry(&mut self, key: Key, idle: impl Fn(&S) -> bool) -> &mut S {
        if self.states.len() >= self.look_through_at {
            self.states.retain(|_, state| !idle(state));
            // Twice what is left: each look through costs as much as the insertions that led to it.
            self.look_through_at = SMALL.max(self.states.len() * 2);
        }
        self.states.entry(key).or_default()
    }

    /// The state of a key that has one.
    pub(super) fn get(&mut self, key: &Key) -> Option<&mut S> {
        self.states.get_mut(key)
    }

    /// All states.
    pub(super) fn values(&self) -> impl Iterator<Item = &S> {
        self.states.values()
    }

    /// All states, to be changed.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut S> {
        self.states.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_states_are_forgotten_before_the_table_grows_without_end_and_others_are_not() {
        let mut table = Table::<u32>::default();
        for number in 0..10_000u32 {
            let key = Key::Name(number.to_string().into());
            // One in a thousand has to be remembered.
            *table.entry(key, |state| *state == 0) = u32::from(number.is_multiple_of(1000));
        }
        assert!(table.states.len() <= SMALL + 10, "{}", table.states.len());
        assert_eq!(table.values().sum::<u32>(), 10);
    }
}
