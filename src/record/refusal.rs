//! Which class a received refusal is: tables of Q.850 causes, status codes and texts.
//!
//! Texts that name a limit decide first, because servers refuse over a limit with 403, 486, 500 and 503 alike; then
//! the Q.850 cause of the Reason header (RFC 3326), then the status code, then whether ringing was heard before it.

use super::call_record::Origin;
use super::class::Class;
use super::facts::{Facts, FinalResponse, RegistrationFacts};

/// Words of servers that refuse over a limit, in lower case. They are data: add what a server was seen to write.
const LIMIT_TEXTS: &[&str] = &[
    "max concurrent call", // "call attempt had over the max concurrent calls"
    "maximum concurrent call",
    "maximum calls in progress", // FreeSWITCH, 503
    "maximum number of calls",
    "channel limit", // Telnyx, 403 "User channel limit exceeded D1"
    "limit exceeded",
    "limit reached",
    "limit has been reached",
    "exceeded limit",
    "exceeds limit",
    "over the limit",
    "calls per second",
    "cps exceeded",
    "maxcalls", // ivozprovider, 486
    "max calls",
    "too many calls",
    "too many concurrent",
    "too many simultaneous",
    "too many registered contacts",
    "capacity exceeded",
    "no circuit",
    "no channel available",
    "circuits are busy",
    "circuits busy",
    "trunks busy",
    "congestion",
    "call flood",
];

/// Texts that contain one of the above and mean something else.
const NO_LIMIT_TEXTS: &[&str] = &["time limit", "hop limit", "hops limit", "size limit", "length limit"];

/// Application codes of vendors.
const APP_CODES: &[(&str, Class)] = &[
    ("10004", Class::CallCongestion), // Twilio: call concurrency limit
    ("32001", Class::CallCongestion), // Twilio: calls per second of a trunk
    ("D1", Class::CallCongestion),    // Telnyx: channel limit
];

/// The class of a refusal of our INVITE.
pub(super) fn of_invite(facts: &Facts, response: &FinalResponse) -> Class {
    // Whatever cause the 487 carries, it answers our own CANCEL. A first challenge that we had no wish to answer any
    // more ends the call in the same way.
    if facts.cancelled_by_us && (response.code == 487 || matches!(response.code, 401 | 407) && !facts.challenged_again)
    {
        return Class::CallCancelled;
    }
    by_vendor(facts, response)
        .or_else(|| by_cause(facts.q850?, response.code))
        .unwrap_or_else(|| by_code(response.code, facts.moments.ringing.is_some()))
}

fn by_vendor(facts: &Facts, response: &FinalResponse) -> Option<Class> {
    let code = facts.app_code.as_deref().and_then(|code| APP_CODES.iter().find(|(known, _)| *known == code));
    let texts = [Some(response.reason.as_str()), facts.reason_text.as_deref(), facts.warning.as_deref()];
    match code {
        Some((_, class)) => Some(*class),
        None => texts.into_iter().flatten().any(names_limit).then_some(Class::CallCongestion),
    }
}

fn names_limit(text: &str) -> bool {
    let text = text.to_lowercase().replace(['-', '_'], " ");
    LIMIT_TEXTS.iter().any(|known| text.contains(known)) && !NO_LIMIT_TEXTS.iter().any(|other| text.contains(other))
}

/// Causes that decide whatever the code. The others (16, 21, 31 …) leave it to the code.
fn by_cause(cause: u16, code: u16) -> Option<Class> {
    Some(match cause {
        1 | 28 => Class::CallNumberInvalid,
        22 | 23 => Class::CallNumberOutOfService,
        17 => Class::CallCalleeBusy,
        21 if code == 603 => Class::CallCalleeDeclined,
        19 => Class::CallNoAnswer,
        18 | 20 => Class::CallCalleeUnreachable,
        34 | 42 | 47 => Class::CallCongestion,
        27 | 38 | 41 => Class::CallNetworkFailed,
        _ => return None,
    })
}

fn by_code(code: u16, rang: bool) -> Class {
    match code {
        404 | 484 | 604 => Class::CallNumberInvalid,
        410 => Class::CallNumberOutOfService,
        486 | 600 => Class::CallCalleeBusy,
        603 => Class::CallCalleeDeclined,
        480 | 408 if rang => Class::CallNoAnswer,
        480 | 408 => Class::CallCalleeUnreachable,
        // 482 and 483 are calls that went in circles.
        482 | 483 | 502..=504 => Class::CallNetworkFailed,
        401 | 407 => Class::CallAuthFailed,
        403 => Class::CallForbidden,
        406 | 415 | 420..=422 | 488 | 606 => Class::CallNotAcceptable,
        607 | 608 => Class::CallScreened,
        300..=399 => Class::CallRedirected,
        500..=599 => Class::CallServerError,
        _ => Class::Unknown,
    }
}

/// The class of a REGISTER that failed, the time-out made up locally included.
pub(super) fn of_register(registration: &RegistrationFacts) -> Class {
    let FinalResponse { code, origin, reason, .. } = &registration.response;
    if *origin == Origin::Local {
        // RFC 3261 §8.1.3.1: a transport error is treated as 503, a time-out as 408.
        return if *code == 503 { Class::TransportUnreachable } else { Class::RegTimeout };
    }
    match code {
        _ if registration.challenged_again => Class::RegCredentials,
        _ if names_limit(reason) => Class::RegRefused,
        // Also where we had no password to answer with.
        401 | 407 => Class::RegCredentials,
        403 => Class::RegForbidden,
        404 | 410 | 604 => Class::RegUnknownAccount,
        // A 408 over the wire is a proxy that could not reach its registrar.
        408 | 500..=599 => Class::RegServerError,
        _ => Class::RegRefused,
    }
}
