//! Keys in a record: as text, or hidden.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::media::dtmf::{Key, Keys};

/// What a record says of keys that are secret.
const HIDDEN: &str = "hidden";

/// Keys as a record tells them. Those that are hidden are known to who judges the attempt and are written nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeysTold {
    keys: Keys,
    /// They are not to be shown; then there is one at least, unless a record was read that hides them.
    hidden: bool,
}

impl KeysTold {
    /// These keys, which may be secret. That there were none is no secret.
    pub fn new(keys: Keys, hidden: bool) -> Self {
        Self { keys, hidden: hidden && !keys.is_empty() }
    }

    /// They are not to be shown.
    pub fn hide(&mut self) {
        *self = Self::new(self.keys, true);
    }

    /// The keys; `None` where a record was read that hides them.
    pub fn keys(&self) -> Option<Keys> {
        Some(self.keys).filter(|keys| !self.hidden || !keys.is_empty())
    }
}

impl fmt::Display for KeysTold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hidden { f.write_str(HIDDEN) } else { self.keys.fmt(f) }
    }
}

impl Serialize for KeysTold {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeysTold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let hidden = text == HIDDEN;
        // What shows that there were more is no key.
        let keys = if hidden { Keys::default() } else { text.chars().filter_map(Key::of_name).collect() };
        Ok(Self { keys, hidden })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, hidden: bool) -> KeysTold {
        KeysTold::new(text.parse().unwrap_or_default(), hidden)
    }

    #[test]
    fn keys_are_written_as_text_and_secret_ones_not_at_all() {
        let json = |told: KeysTold| serde_json::to_string(&told).expect("written");
        assert_eq!((json(told("12#", false)), json(told("", false))), ("\"12#\"".to_owned(), "\"\"".to_owned()));
        assert_eq!((json(told("4711", true)), json(told("", true))), ("\"hidden\"".to_owned(), "\"\"".to_owned()));
        assert!(!format!("{:?}", told("4711", true)).contains("4711"));
    }

    #[test]
    fn what_is_written_is_read_back_but_for_what_is_hidden() {
        let read = |json: &str| serde_json::from_str::<KeysTold>(json).expect("read");
        assert_eq!(read("\"12#\""), told("12#", false));
        let hidden = read("\"hidden\"");
        assert_eq!((hidden.keys(), hidden.to_string().as_str()), (None, "hidden"));
        assert_eq!(told("4711", true).keys(), "4711".parse().ok());
    }
}
