//! Limits in `lab:` files: on calls, on registrations, by a licence.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::scalar::{Digits, Rate};
use super::step::RejectFile;
use crate::units::Period;

/// Limits on calls whoever makes them and wherever they go: internal ones and those over trunks.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "calls")]
pub struct LabCallsFile {
    /// The PBX as a whole. Its refusal is 503 by default.
    pub all: Option<CallLimitFile>,
    /// Each account that calls. Its refusal is 403 by default.
    pub per_account: Option<CallLimitFile>,
    /// Each IP address that calls come from. Its refusal is 403 by default.
    pub per_source: Option<CallLimitFile>,
    /// Each number that is called, without the prefix of a trunk: the channels of the callee. Its refusal is 486 by
    /// default.
    pub per_callee: Option<CallLimitFile>,
}

/// A limit on calls.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "limit")]
pub struct CallLimitFile {
    /// Calls at the same time. Default: as many as come.
    pub calls: Option<u32>,
    /// The refusal when all places are taken.
    pub refuse: Option<RejectFile>,
    /// New calls per unit of time. Default: as fast as they come.
    pub rate: Option<RateLimitFile>,
    /// Who was refused too often is refused for a while, also when places are free.
    pub ban: Option<BanFile>,
    /// Other people's calls, which take places too. Only where there is one limit for everybody: `all`, and trunks.
    pub others: Option<OthersFile>,
    /// When the place of a call that has ended is free again: a time like 3s, or `never`. Default: 0s.
    pub frees_after: Option<FreesAfter>,
}

/// A limit on how often.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "rate")]
pub struct RateLimitFile {
    /// How often, as 10/s. What is refused does not count.
    pub max: Rate,
    /// Tokens of the bucket: so many may come at once after a pause, 1 or more. Default: those of one second, at least 1.
    #[schemars(range(min = 1))]
    pub burst: Option<u32>,
    /// Counted in fixed windows of this length instead, one after the other from the start of the lab, as 1s.
    pub window: Option<Period>,
    /// The refusal of what comes too often. Default: 503.
    pub refuse: Option<RejectFile>,
}

/// A temporary ban.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "ban")]
pub struct BanFile {
    /// Refusals by this limit that bring the ban, 1 or more.
    #[schemars(range(min = 1))]
    pub after: u32,
    /// The time in which they come.
    pub within: Period,
    /// How long the ban lasts. What is refused meanwhile does not make it longer.
    #[serde(rename = "for")]
    pub length: Period,
    /// Who is banned: the IP address (`source`) or the `account`. Default: source.
    pub of: Option<SubjectWord>,
    /// The refusal while it lasts. Default: 403.
    pub refuse: Option<RejectFile>,
    /// No response at all while it lasts, as from a firewall. Default: false.
    #[serde(default)]
    pub silent: bool,
}

/// Who is banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "of")]
pub enum SubjectWord {
    /// Everybody at the IP address that the call came from.
    Source,
    /// The account that calls.
    Account,
}

/// Other people's calls.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "others")]
pub struct OthersFile {
    /// How many: a number, or a range like 0..3 from which one is drawn, each as likely as any other. They never take a
    /// place that is taken.
    pub calls: Span,
    /// Time between two draws.
    pub change_every: Period,
}

/// Limits on registrations that have nothing to do with a licence.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "registrations")]
pub struct LabRegistrationsFile {
    /// REGISTER requests with the right credentials, of all accounts together; new, refreshing and removing ones count.
    pub rate: Option<RateLimitFile>,
    /// Contacts of one account.
    pub per_aor: Option<PerAorFile>,
    /// Contacts that come from one IP address.
    pub per_source: Option<PerAorFile>,
    /// Which of several contacts of one account a call goes to. Default: newest.
    pub rings: RingsWord,
}

/// Which of several contacts of one account a call goes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(title = "rings")]
pub enum RingsWord {
    /// The one that was registered or refreshed last.
    #[default]
    Newest,
    /// Any, by the lab's seed, as where an agent has a phone at each gateway of a pool.
    Random,
}

/// Contacts of one address of record, or from one IP address.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "per_aor")]
pub struct PerAorFile {
    /// Contacts that there may be at the same time.
    pub contacts: u32,
    /// The refusal of one more. Default: 403.
    pub refuse: Option<RejectFile>,
}

/// Limit on devices registered at the same time.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "licence")]
pub struct LabLicenceFile {
    /// Devices that may be registered at the same time.
    pub devices: u32,
    /// The refusal of one more. With `evict` only where no other account has a device. Default: 403.
    pub refuse: Option<RejectFile>,
    /// One more is accepted, and a device of another account removed without a word.
    pub evict: Option<EvictFile>,
    /// When the place of a device that has logged out is free again: a time like 3s, or `never`. Default: 0s.
    pub frees_after: Option<FreesAfter>,
    /// Where far more accounts exist than the licence has devices, some of them cannot register at all.
    pub over_provisioned: Option<OverProvisionedFile>,
}

/// `evict`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "evict")]
pub struct EvictFile {
    /// The `oldest` device of other accounts (a refresh does not make it younger), or a `random` one. Default: oldest.
    pub which: Option<VictimWord>,
    /// Whether its connection (TCP, TLS) is closed as well. Default: false.
    pub close: bool,
    /// Whether the registrar goes on to list its binding, although no call reaches it any more. Default: false.
    pub hidden: bool,
}

/// Which device is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "which")]
pub enum VictimWord {
    /// The one that registered first.
    Oldest,
    /// Any, by the lab's seed.
    Random,
}

/// `over_provisioned`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "over_provisioned")]
pub struct OverProvisionedFile {
    /// The rule holds where the lab has so many times as many accounts as the licence has devices, 1 or more. Default: 2.
    #[schemars(range(min = 1))]
    pub factor: Option<u32>,
    /// The accounts that cannot register, as 1003..1004.
    pub users: Option<Digits>,
    /// How many cannot register, chosen by `seed`. Default: as many as there are more than devices.
    #[schemars(range(min = 1))]
    pub count: Option<u32>,
    /// What the choice is made from: the same seed chooses the same accounts. Default: 0.
    pub seed: u64,
    /// Their refusal, also when nobody else is registered. Default: 403.
    pub refuse: Option<RejectFile>,
}

/// A number, or the first and last of a range: `3`, `0..3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The least.
    pub min: u32,
    /// The most.
    pub max: u32,
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| text.trim().parse().map_err(|_| format!("`{text}` is no number of calls"));
        Ok(Self { min: number(min)?, max: number(max)? })
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*[0-9]{1,6}(\s*\.\.\s*[0-9]{1,6})?\s*$",
            "description": "A number, or the first and last of a range: 3 or 0..3."
        })
    }
}

/// A length of time, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FreesAfter(pub Option<Period>);

impl<'de> Deserialize<'de> for FreesAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let never = text.trim() == "never";
        let period = || text.parse().map_err(serde::de::Error::custom);
        (!never).then(period).transpose().map(Self)
    }
}

impl JsonSchema for FreesAfter {
    fn schema_name() -> Cow<'static, str> {
        "FreesAfter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^\s*(never|[0-9]+(\.[0-9]+)?\s*(ms|s|m|min|h))\s*$",
            "description": "A length of time with its unit (250ms, 20s, 5m or 1h), or `never`."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_one_number_or_two() {
        for (text, min, max) in [("3", 3, 3), ("0..3", 0, 3), (" 1 .. 10 ", 1, 10)] {
            assert_eq!(text.parse(), Ok(Span { min, max }), "{text}");
        }
        for text in ["", "..3", "3..", "a..b", "-1..3"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
