//! Why an attempt failed: the only place that says so.
//!
//! One attempt has one class. The questions stand in order and the first that has an answer decides: our own machine,
//! the transport, the registration, the call's final response, how the established call ended, what was heard.
//! What was *received* is believed before what was concluded here, and a local time-out is never taken for a received
//! 408. Last comes a doubt: where our own worker stood still meanwhile, a fault that this may have caused is ours.
//! What many attempts show together (a line is down, a trunk is full) is a finding and not decided here.

use std::time::Duration;

use super::call_record::Origin;
use super::class::Class;
use super::facts::{Facts, LocalFailure, Party, RegistrationFacts, SideFault, TransportFault};
use super::hearing;
use super::refusal;
use crate::webrtc::{Fault, Rung};

/// An answered call that the far end ends before this is [`Class::CallDroppedImmediately`].
const IMMEDIATE: Duration = Duration::from_secs(2);

/// A worker that stands still for this long may miss calls, answers and audio altogether.
const LONG_STALL: Duration = Duration::from_secs(1);

/// What this attempt showed.
pub fn classify(facts: &Facts) -> Class {
    if facts.unexpected {
        return Class::CallInboundUnexpected;
    }
    let own = call(facts);
    let class = match facts.far_leg_invited {
        Some(false) => undelivered(facts, own),
        _ => own,
    };
    if facts.stalled.is_some_and(|stood| may_be_ours(class, stood)) { Class::ProbeStalled } else { class }
}

/// Whether a worker that stood still so long may have caused the fault itself. What the far end said stays as it is.
fn may_be_ours(class: Class, stood: Duration) -> bool {
    match class {
        // Heard or measured in fractions of a second, the echo of what we sent late included.
        Class::MediaChoppy | Class::MediaPoorNetwork => true,
        Class::CallTimeout
        | Class::CallDroppedImmediately
        | Class::CallDroppedMidway
        | Class::CallFalseRinging
        | Class::CallInboundNotDelivered
        | Class::RegTimeout
        | Class::RegBindingLost
        | Class::TransportOptions
        | Class::SideTimeout
        | Class::SideUnreachable
        | Class::MediaNoRelay
        | Class::MediaIceFailed
        | Class::MediaDtlsFailed
        | Class::MediaFirewallBlocked
        | Class::MediaNoRtp
        | Class::MediaOneWay
        | Class::MediaSilenceWithRtp
        | Class::MediaNoise
        | Class::MediaLowLevel
        | Class::MediaRtpTimeout => stood >= LONG_STALL,
        _ => false,
    }
}

/// The class by the facts of this leg alone.
fn call(facts: &Facts) -> Class {
    unrecovered(facts)
        .or_else(|| beside(facts))
        .or_else(|| unrelayed(facts))
        .or_else(|| refused(facts))
        .or_else(|| local(facts))
        .or_else(|| first_registration(facts))
        .or_else(|| not_answered(facts))
        .or_else(|| facts.peer.as_deref().and_then(|peer| peer.fault.as_ref()).map(unconnected))
        .or_else(|| dropped(facts))
        .or_else(|| refresh(facts))
        .or_else(|| facts.media.as_deref().and_then(hearing::fault))
        .unwrap_or(Class::Ok)
}

/// An agent that did not come back: what refused it meanwhile is in the record, and was to be expected for a while.
fn unrecovered(facts: &Facts) -> Option<Class> {
    let recovery = facts.recovery.as_ref().filter(|recovery| recovery.took.is_none())?;
    Some(if recovery.from == "reload" { Class::CallHungAfterReload } else { Class::AgentNotRecovered })
}

/// A call that was out before it was known that there is no relay: we gave it up, and the 487 to that says nothing.
fn unrelayed(facts: &Facts) -> Option<Class> {
    let fault = facts.peer.as_deref().and_then(|peer| peer.fault.as_ref()).filter(|_| facts.cancelled_by_us)?;
    matches!(fault, Fault::NoRelay { .. }).then_some(Class::MediaNoRelay)
}

/// What an application refused ends the attempt there, so nothing after it decides; a call that stood was hung up for it.
fn beside(facts: &Facts) -> Option<Class> {
    let fault = facts.requests.iter().find_map(|request| request.fault)?;
    Some(match fault {
        SideFault::Unreachable => Class::SideUnreachable,
        SideFault::Refused => Class::SideRefused,
        SideFault::Timeout => Class::SideTimeout,
        SideFault::Unexpected => Class::SideUnexpected,
    })
}

/// With the facts of a called leg that is ours and got no INVITE. A refusal that names its cause stays; a caller who
/// heard ringing, gave up or was answered by somebody else was misled.
fn undelivered(facts: &Facts, own: Class) -> Class {
    let misled = facts.moments.answered.is_some()
        || matches!(own, Class::CallNoAnswer | Class::CallCancelled | Class::CallTimeout);
    match own {
        _ if misled && facts.moments.ringing.is_some() => Class::CallFalseRinging,
        _ if facts.moments.answered.is_some() => Class::CallInboundNotDelivered,
        other => other,
    }
}

/// A refusal received over the wire says more than anything that happened here afterwards.
fn refused(facts: &Facts) -> Option<Class> {
    let response = facts.response.as_ref().filter(|response| response.origin == Origin::Received)?;
    if response.code < 300 {
        return None;
    }
    if facts.moments.invite.is_none() {
        return Some(Class::TransportOptions);
    }
    let class = refusal::of_invite(facts, response);
    let interrupted = facts.local_failure.as_deref() == Some(&LocalFailure::Interrupted)
        && (class == Class::CallCancelled || response.code == 487);
    Some(if interrupted { Class::ProbeInterrupted } else { class })
}

fn local(facts: &Facts) -> Option<Class> {
    match facts.local_failure.as_deref()? {
        LocalFailure::Transport(failure) => Some(transport(failure.fault)),
        LocalFailure::NoAccount => Some(Class::ProbeNoAccount),
        LocalFailure::NoMediaPort(_) => Some(Class::ProbeNoMediaPort),
        LocalFailure::BackedOff => Some(Class::ProbeBackedOff),
        // A call that stood when the run was stopped is judged by what it was until then.
        LocalFailure::Interrupted => facts.moments.answered.is_none().then_some(Class::ProbeInterrupted),
    }
}

fn transport(fault: TransportFault) -> Class {
    match fault {
        TransportFault::Dns => Class::TransportDns,
        TransportFault::NoNameServer => Class::ProbeNoDns,
        TransportFault::Refused => Class::TransportRefused,
        TransportFault::Unreachable => Class::TransportUnreachable,
        TransportFault::Tcp => Class::TransportTcp,
        TransportFault::Tls => Class::TransportTls,
        TransportFault::Upgrade => Class::TransportWsUpgrade,
        TransportFault::WebClosed => Class::TransportWsClosed,
        TransportFault::WebProtocol => Class::TransportWsProtocol,
        TransportFault::WebSilent => Class::TransportWsSilent,
    }
}

/// An attempt that goes on to an INVITE after a failed registration was told to, so its call decides.
fn first_registration(facts: &Facts) -> Option<Class> {
    let registration = facts.registration.as_ref()?;
    if facts.moments.invite.is_some() || succeeded(registration) {
        return None;
    }
    Some(if registration.refresh { Class::RegBindingLost } else { refusal::of_register(registration) })
}

/// A standing binding that is lost during a call does not end the call, so the call's own faults come first.
fn refresh(facts: &Facts) -> Option<Class> {
    let registration = facts.registration.as_ref().filter(|registration| registration.refresh)?;
    (!succeeded(registration)).then_some(Class::RegBindingLost)
}

fn succeeded(registration: &RegistrationFacts) -> bool {
    (200..300).contains(&registration.response.code)
}

/// No answer, and no refusal received either.
fn not_answered(facts: &Facts) -> Option<Class> {
    if facts.moments.answered.is_some() {
        return None;
    }
    if facts.bad_answer.is_some() {
        return Some(Class::CallBadAnswer);
    }
    let Some(response) = &facts.response else { return no_response(facts) };
    let inbound = facts.awaited_inbound && facts.moments.invite.is_some();
    match response.code {
        _ if inbound => no_response(facts),
        // The answer to OPTIONS.
        200..300 => None,
        _ if facts.moments.invite.is_none() => Some(Class::TransportOptions),
        // RFC 3261 §8.1.3.1: a transport error is treated as 503, a time-out as 408.
        503 => Some(Class::TransportUnreachable),
        _ => Some(Class::CallTimeout),
    }
}

/// The answered call has no path or no keys for media, whatever became of it then.
fn unconnected(fault: &Fault) -> Class {
    match fault {
        // The other side signals, so it is there; what it said of its addresses is not to blame, as its own checks
        // would have shown others.
        Fault::Blocked { .. } => Class::MediaFirewallBlocked,
        Fault::NoRelay { .. } => Class::MediaNoRelay,
        fault if fault.rung() < Rung::DtlsDone => Class::MediaIceFailed,
        _ => Class::MediaDtlsFailed,
    }
}

fn no_response(facts: &Facts) -> Option<Class> {
    match (facts.awaited_inbound, facts.moments.invite.is_some()) {
        (true, false) => Some(Class::CallInboundNotDelivered),
        // The caller gave up, or we refused as the scenario says.
        (true, true) => facts.ended.is_some_and(|ended| ended.by == Party::FarEnd).then_some(Class::CallCancelled),
        (false, true) => Some(Class::CallTimeout),
        (false, false) => None,
    }
}

/// How an established call ended.
fn dropped(facts: &Facts) -> Option<Class> {
    facts.moments.answered?;
    if facts.bad_answer.is_some() {
        return Some(Class::CallBadAnswer);
    }
    if facts.cancelled_by_us {
        // The 200 crossed our CANCEL: nobody meant to talk any more.
        return Some(Class::CallCancelled);
    }
    match facts.ended {
        _ if facts.session_expired => Some(Class::CallSessionExpired),
        _ if facts.end_awaited => None,
        Some(ended) if ended.by == Party::FarEnd && ended.after < IMMEDIATE => Some(Class::CallDroppedImmediately),
        _ if facts.ended_early => Some(Class::CallDroppedMidway),
        _ => None,
    }
}

#[cfg(test)]
#[path = "classify_tests.rs"]
mod tests;
