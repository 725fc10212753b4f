//! Keys: pressed, and expected.

use crate::media::dtmf::{Keys, Press, Way};

/// `dtmf`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dtmf {
    /// The keys and how they are pressed, but for their way.
    pub press: Press,
    /// How they are sent; `None` as events where these were agreed on, else as tones.
    pub by: Option<Way>,
    /// The keys are secret.
    pub hidden: bool,
}

/// Keys that are to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedKeys {
    /// The keys.
    pub keys: Keys,
    /// They are secret.
    pub hidden: bool,
}

impl WantedKeys {
    /// What differs where these were heard, without secrets.
    pub fn mismatch(&self, heard: Option<Keys>) -> String {
        let Self { keys, hidden } = self;
        match heard {
            None => "it is not known what keys were heard".to_owned(),
            Some(heard) if heard.is_empty() => "no keys were heard".to_owned(),
            Some(heard) if *hidden => format!("{} keys were heard, not the {} expected", heard.len(), keys.len()),
            Some(heard) => format!("the keys {heard} were heard, not {keys}"),
        }
    }
}
