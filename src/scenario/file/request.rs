//! `request`: what an agent asks of the application that it works in, and the application as a target names it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::scalar::{Digits, OneOrMany};
use crate::units::Period;

/// `request`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "request")]
pub struct RequestFile {
    /// The whole URL (`https://…`, or `wss://…` for a WebSocket), or a path as `/sign-in` below the `application:` of the
    /// target. Placeholders, `${NAME}` and `${file:PATH}` may stand in it, but not before its path.
    pub url: Digits,
    /// Over what a path is asked for. A WebSocket stays open until the agent is done; JSON goes over it one message each way,
    /// and messages that come unasked are kept for the next `request` of the same actor. Default: http.
    pub via: Option<ViaWord>,
    /// Method of HTTP. Default: POST where there is `json`, else GET.
    pub method: Option<MethodWord>,
    /// Header fields of the request, or of the upgrade to WebSocket. Secrets are written as `${NAME}`.
    #[serde(default)]
    pub headers: BTreeMap<String, Digits>,
    /// What is sent: any JSON. Placeholders, `${NAME}`, and `{{ account.password }}` may stand in its texts. Over a WebSocket
    /// it may be left out: then a message is waited for.
    pub json: Option<Value>,
    /// What the answer must be. Default: a 2xx within 10s; over a WebSocket nothing is waited for where nothing is expected
    /// or captured.
    pub expect: Option<ReplyFile>,
    /// What of the answer later steps may use as `{{ NAME }}`: for each name the JSON pointer of a text, number or truth value
    /// (RFC 6901), as `token: /session/token`.
    #[serde(default)]
    pub capture: BTreeMap<String, String>,
}

/// Over what a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(title = "via")]
pub enum ViaWord {
    /// One request, one answer.
    Http,
    /// Messages over a connection that stays.
    Websocket,
}

/// Method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[schemars(title = "method")]
pub enum MethodWord {
    /// Read.
    Get,
    /// Do.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Take away.
    Delete,
}

/// What an answer must be; all fields given must hold. Over a WebSocket the first message that holds them is the answer.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "expect")]
pub struct ReplyFile {
    /// The status code of HTTP, or one of a list. Default: a 2xx.
    pub status: Option<OneOrMany<Status>>,
    /// What stands in it, by JSON pointer (RFC 6901): `{ /state: ready, /seats/0: 12 }`.
    pub json: BTreeMap<String, Value>,
    /// How long it is waited for, 10ms–10m, counted from the step's start. Default: 10s.
    pub within: Option<Period>,
}

/// A status code of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Status(
    /// 200–599.
    #[schemars(range(min = 200, max = 599))]
    pub u16,
);

/// `application` of a target: what its agents work in, beside their calls.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "application")]
pub struct ApplicationFile {
    /// Where the paths of `request` steps begin: `https://cc.example/api`. Secrets are written as `${NAME}`.
    pub url: String,
    /// Header fields of every request there. Secrets are written as `${NAME}`.
    #[serde(default)]
    pub headers: BTreeMap<String, Digits>,
    /// CAs to trust, a PEM file. Default: those of this machine.
    pub ca: Option<String>,
    /// Its certificate is not checked, for self-signed ones. Default: false.
    #[serde(default)]
    pub insecure: bool,
}
