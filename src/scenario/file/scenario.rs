//! `scenario:` files.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::load::LoadFile;
use super::scalar::{Digits, OneOrMany};
use super::step::{OutcomeCode, StepFile};
use super::target::TransportWord;
use crate::media::Audio;
use crate::record::Class;
use crate::units::Period;

/// A scenario: who calls whom, how often, and what has to hold.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "scenario")]
pub struct ScenarioFile {
    /// Its name, a tag in every result: letters, digits, `.`, `_` and `-`.
    #[schemars(regex(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"))]
    pub scenario: String,
    /// What it is for, for people.
    pub description: Option<String>,
    /// Where calls go: `lab`, the name of a file `targets/NAME.yaml` beside this one, or a path. `--target` replaces it.
    pub target: Option<String>,
    /// Values for `{{ NAME }}` in numbers and headers; `--set NAME=VALUE` replaces one.
    #[serde(default)]
    pub variables: BTreeMap<String, Digits>,
    /// The only party, for scenarios of one party.
    pub caller: Option<ActorFile>,
    /// The parties by name, for scenarios of several.
    pub actors: Option<BTreeMap<String, ActorFile>>,
    /// What is done with audio that arrives. Default: full.
    #[serde(default)]
    pub listen: ListenWord,
    /// When attempts start. Default: one attempt.
    pub load: Option<LoadFile>,
    /// What has to hold for the verdict to be pass.
    #[serde(default)]
    pub expect: Vec<ExpectFile>,
    /// What ends the run before its time: as soon as one of these holds, no more attempts start, all calls are hung up,
    /// and the verdict is fail. It is looked at once a second.
    #[serde(default)]
    pub abort_when: Vec<AbortFile>,
}

/// What is done with audio that arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "listen")]
pub enum ListenWord {
    /// It is decoded and listened to.
    #[default]
    Full,
    /// The same, and for keys that come as tones in it (DTMF, in-band). It is so by itself where a scenario expects keys.
    Tones,
    /// Its packets are counted, which costs less: loss, jitter, delay, MOS and grade are known; whether anything is heard, how
    /// loud and how late is not, and says so (`audio` unknown).
    Packets,
}

/// What ends a run before its time, as `count(call.timeout) > 20`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(title = "abort_when")]
pub enum AbortFile {
    /// A threshold that is looked at from the end of the warm-up on.
    Threshold(String),
    /// A threshold that is looked at later.
    Later(AbortLaterFile),
}

/// A threshold that is looked at only after a while.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "abort")]
pub struct AbortLaterFile {
    /// The threshold, as `asr < 50%`.
    pub run: String,
    /// It is not looked at before this much of the run has passed: the first few calls are no share.
    pub after: Period,
}

/// A party of each attempt.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "actor")]
pub struct ActorFile {
    /// Its own target, where it differs from the scenario's.
    pub target: Option<String>,
    /// Transport of its SIP, where it differs from the target's: udp, tcp, tls, or ws and wss where the target has a
    /// `websocket:` with such a URL.
    pub transport: Option<TransportWord>,
    /// A key of the target's `accounts:`; left out for peers, which need none.
    pub account: Option<Digits>,
    /// It uses the account that this other actor, written before it, has in the same attempt, over a connection and with a
    /// Contact of its own: a second tab, or, at another target, the second phone of a pool. In place of `account`.
    pub account_of: Option<String>,
    /// `standing`: as many accounts as attempts need are registered from before the first attempt to after the last, and
    /// refreshed. `all`: every account of its pool is. Default: by a `register` step only.
    pub registered: Option<RegisteredFile>,
    /// Expiry that such registrations ask for, seconds, 10 to 86400, default 300. Each is refreshed at a time of its own:
    /// first between a tenth and nine tenths of it, then between eight and nine tenths, and five seconds before its end at
    /// the latest.
    #[schemars(range(min = 10, max = 86400))]
    pub expires: Option<u32>,
    /// Starts only once another actor has got so far: `NAME.registered`, `NAME.answered` or `NAME.ended`.
    pub when: Option<String>,
    /// How often it comes, 1 to 100: where actors have weights, each attempt is that of one of them, and actors without
    /// take part in those of the one that they wait for, or that waits for them (`when`).
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<u32>,
    /// What it does, in order.
    pub steps: Vec<StepFile>,
}

/// When an actor is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "registered")]
pub enum RegisteredFile {
    /// From before the first attempt to after the last, as many accounts as attempts need.
    Standing,
    /// The same, every account of its pool.
    All,
    /// By a `register` step only.
    BySteps,
}

/// Something that has to hold.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schemars(title = "expectation")]
pub enum ExpectFile {
    /// Holds for every attempt.
    Each(EachFile),
    /// Holds for the totals of the run, as `p(99) of srd_ms < 500`, `asr >= 99%` or `count(call.timeout) == 0`.
    Run(String),
    /// A call came to each of these actors, as `[first, second]`: the phones of an agent behind a pool of gateways. It takes calls
    /// enough to tell that one is passed over by more than chance (of two phones 7, of three 12).
    Called(Vec<String>),
    /// The limit search measured exactly this (with `find_limit`).
    Limit(u64),
    /// The run came to this finding (with `find_limit`).
    Finding(String),
}

/// What has to hold for every attempt; all fields given must hold.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "each")]
pub struct EachFile {
    /// How the attempt came out.
    pub outcome: Option<OutcomeWord>,
    /// What was heard.
    pub audio: Option<Audio>,
    /// `true`: video came that could be shown. `false`: none did.
    pub video: Option<bool>,
    /// The keys that came (DTMF) in the whole call, these and no others, as `"123#"`. As in a step `dtmf`.
    pub dtmf_heard: Option<Digits>,
    /// The final SIP code, or one of a list.
    pub code: Option<OneOrMany<OutcomeCode>>,
    /// The failure class; `ok` when nothing was wrong.
    #[schemars(title = "class")]
    pub class: Option<Class>,
}

/// How an attempt came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "outcome")]
pub enum OutcomeWord {
    /// The call was answered (a 2xx to the INVITE).
    Answered,
    /// The call was refused (a final response of 300 or more).
    Refused,
    /// The registration was accepted.
    Registered,
}
