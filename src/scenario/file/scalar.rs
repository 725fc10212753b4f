//! Small values of the files: rates, digits that keep their characters, one value or several.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use crate::units::CallsPerSecond;

/// A rate with its unit of time: `50/s`, `30/m`, `100/h`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate(pub CallsPerSecond);

impl std::str::FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || format!("`{text}` is not a rate: write calls per unit of time, as in 50/s, 30/m or 100/h");
        let (number, unit) = text.split_once('/').ok_or_else(error)?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(error()),
        };
        let number: f64 = number.trim().parse().map_err(|_| error())?;
        CallsPerSecond::new(number / seconds).map(Self).ok_or_else(error)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Rate {
    fn schema_name() -> Cow<'static, str> {
        "Rate".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*[0-9]{1,9}(\.[0-9]{1,9})?\s*/\s*(s|m|min|h)\s*$",
            "description": "A rate with its unit of time: 50/s, 30/m or 100/h."
        })
    }
}

/// A text that may look like a number and keeps its characters: `0800123` stays `0800123`, quoted or not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Digits(pub String);

impl JsonSchema for Digits {
    fn schema_name() -> Cow<'static, str> {
        "Digits".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "A text that keeps its characters, even where it looks like a number."
        })
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values.
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_per_unit_of_time() {
        for (text, per_second) in [("50/s", 50.0), ("30/m", 0.5), ("3600 / h", 1.0), ("0.5/s", 0.5)] {
            assert_eq!(text.parse::<Rate>().map(|rate| rate.0.get()), Ok(per_second));
        }
        for text in ["50", "50/d", "/s", "-1/s", "inf/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
