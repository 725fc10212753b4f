//! The sixteen keys, and texts of them.

use std::fmt;
use std::str::FromStr;

/// The keys in the order of their event codes (RFC 4733 §3.2).
const NAMES: &[u8; 16] = b"0123456789*#ABCD";

/// A key of a telephone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u8);

impl Key {
    /// The key with this event code; `None` of events that are no key.
    pub const fn of_event(code: u8) -> Option<Self> {
        if code < 16 { Some(Self(code)) } else { None }
    }

    /// The key with this name: 0–9, `*`, `#`, A–D in either case.
    pub fn of_name(name: char) -> Option<Self> {
        let found = NAMES.iter().position(|known| char::from(*known) == name.to_ascii_uppercase());
        found.map(|code| Self(code as u8))
    }

    /// Its event code, 0–15.
    pub const fn event(self) -> u8 {
        self.0
    }

    /// Its name.
    pub fn name(self) -> char {
        char::from(NAMES[usize::from(self.0)])
    }
}

/// Keys may be a PIN: what is printed for developers does not name them.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(_)")
    }
}

/// Keys in their order, as many as [`Keys::MOST`].
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Keys {
    /// Two in each octet.
    codes: [u8; Self::MOST / 2],
    length: u8,
    /// There were more.
    more: bool,
}

/// A text with something in it that is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// The character, and its place in the text, bytes.
    #[error("`{0}` is no key")]
    Unknown(char, usize),
    /// There are more than [`Keys::MOST`].
    #[error("more than 64 keys")]
    TooMany,
    /// There is none.
    #[error("no key")]
    None,
}

impl Keys {
    /// The most that are kept.
    pub const MOST: usize = 64;

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.length.into()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The key at a place.
    pub fn get(&self, at: usize) -> Option<Key> {
        let octet = self.codes.get(at / 2).filter(|_| at < self.len())?;
        Some(Key(if at.is_multiple_of(2) { octet >> 4 } else { octet & 0x0F }))
    }

    /// The keys.
    pub fn iter(&self) -> impl Iterator<Item = Key> {
        (0..self.len()).filter_map(|at| self.get(at))
    }

    /// One more behind the others. Of more than are kept the first are.
    pub fn push(&mut self, key: Key) {
        self.insert(self.len(), key);
    }

    /// One more at a place, for a key that is known later than those behind it.
    pub fn insert(&mut self, at: usize, key: Key) {
        if self.len() == Self::MOST {
            self.more = true;
            return;
        }
        for place in (at..self.len()).rev() {
            if let Some(moved) = self.get(place) {
                self.set(place + 1, moved);
            }
        }
        self.set(at, key);
        self.length += 1;
    }

    /// Those from a place on.
    #[must_use]
    pub fn since(&self, at: usize) -> Self {
        let mut rest: Self = (at..self.len()).filter_map(|at| self.get(at)).collect();
        rest.more = self.more;
        rest
    }

    /// Whether these are the first of `whole`, or all of it.
    pub fn is_start_of(&self, whole: &Self) -> bool {
        !self.more && self.len() <= whole.len() && self.iter().eq(whole.iter().take(self.len()))
    }

    fn set(&mut self, at: usize, key: Key) {
        let octet = &mut self.codes[at / 2];
        *octet = if at.is_multiple_of(2) { *octet & 0x0F | key.0 << 4 } else { *octet & 0xF0 | key.0 };
    }
}

impl FromIterator<Key> for Keys {
    fn from_iter<I: IntoIterator<Item = Key>>(keys: I) -> Self {
        let mut all = Self::default();
        keys.into_iter().for_each(|key| all.push(key));
        all
    }
}

impl FromStr for Keys {
    type Err = BadKey;

    fn from_str(text: &str) -> Result<Self, BadKey> {
        let mut keys = Self::default();
        for (at, name) in text.char_indices() {
            if keys.len() == Self::MOST {
                return Err(BadKey::TooMany);
            }
            keys.push(Key::of_name(name).ok_or(BadKey::Unknown(name, at))?);
        }
        if keys.is_empty() { Err(BadKey::None) } else { Ok(keys) }
    }
}

/// The keys by their names; `…` behind them where there were more than are kept.
impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: String = self.iter().map(Key::name).collect();
        write!(f, "{names}{}", if self.more { "…" } else { "" })
    }
}

/// As that of [`Key`].
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({} of them)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_event_codes_lead_back_to_the_key() {
        for (code, name) in "0123456789*#ABCD".chars().enumerate() {
            let key = Key::of_event(code as u8).expect("a key");
            assert_eq!((key.name(), key.event(), Key::of_name(name)), (name, code as u8, Some(key)));
        }
        assert_eq!(Key::of_name('d').map(Key::name), Some('D'));
        // 16 is the flash of the hook.
        assert_eq!((Key::of_event(16), Key::of_name('E')), (None, None));
    }

    #[test]
    fn a_text_that_is_no_keys_is_refused_with_the_place() {
        assert_eq!("12 3".parse::<Keys>(), Err(BadKey::Unknown(' ', 2)));
        assert_eq!("".parse::<Keys>(), Err(BadKey::None));
        assert_eq!("1".repeat(65).parse::<Keys>(), Err(BadKey::TooMany));
        assert_eq!("1".repeat(64).parse::<Keys>().map(|keys| keys.len()), Ok(64));
    }

    #[test]
    fn nothing_that_developers_print_names_a_key() {
        let keys: Keys = "4711".parse().expect("keys");
        assert_eq!(format!("{keys:?} {:?}", keys.iter().next()), "Keys(4 of them) Some(Key(_))");
    }

    #[test]
    fn of_more_than_are_kept_the_first_are_and_it_shows() {
        let mut keys: Keys = "7".repeat(64).parse().expect("keys");
        let full = keys;
        keys.push(Key(1));
        assert_eq!(keys.to_string(), format!("{}…", "7".repeat(64)));
        assert!(keys != full && !keys.is_start_of(&full) && full.is_start_of(&keys));
    }

    proptest! {
        #[test]
        fn keys_are_kept_in_their_order_wherever_they_are_put(
            codes in proptest::collection::vec((0..16_u8, any::<prop::sample::Index>()), 0..64)
        ) {
            let (mut keys, mut names) = (Keys::default(), Vec::new());
            for (code, place) in codes {
                let (at, key) = (place.index(names.len() + 1), Key(code));
                keys.insert(at, key);
                names.insert(at, key.name());
            }
            let text: String = names.iter().collect();
            prop_assert_eq!(keys.to_string(), text.as_str());
            prop_assert_eq!(text.parse::<Keys>().unwrap_or_default(), keys);
            let half = names.len() / 2;
            prop_assert_eq!(keys.since(half).to_string(), &text[half..]);
            let begun: Keys = keys.iter().take(half).collect();
            prop_assert!(begun.is_start_of(&keys) && (half == names.len() || !keys.is_start_of(&begun)));
        }
    }
}
