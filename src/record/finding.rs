//! Findings: what many attempts show together. A class says what one attempt showed; a limit, a line that is down or
//! an eviction takes several attempts and controls.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! findings {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, next: $next:expr;)+) => {
        /// What many attempts show together: a stable, dotted, lower-case name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Finding { $($(#[doc = $doc])+ $variant,)+ }

        impl Finding {
            /// Every finding.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable dotted name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// One line that says what it means.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_start(),)+ }
            }

            /// What to do next, in order.
            pub const fn next(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &$next,)+ }
            }
        }
    };
}

findings! {
    /// The trunk carries so many calls at the same time and no more: with all of them alive one more was refused, and accepted once one was freed.
    CallTrunkSaturated = "call.trunk_saturated", next: [
        "Compare the number measured with the contract.",
        "Where it is less, send the carrier this result with the evidence of the calls that prove it.",
    ];
    /// So many places were free at that moment: others may have used more of the line.
    CallPlacesFree = "call.places_free", next: [
        "Search again when nobody else calls, and say `saturate: { exclusive: true }` in the target file.",
    ];
    /// Calls are refused for coming too fast: a pause alone is enough.
    CallRateLimited = "call.rate_limited", next: [
        "Compare the rate measured with the contract, or search `of: call_rate` where none was measured.",
        "Search again with a longer `step_every` for calls at the same time.",
    ];
    /// Calls are refused for being too many at the same time and not for coming too fast: held, they are refused however slowly they come.
    CallConcurrencyLimited = "call.concurrency_limited", next: [
        "Search `of: concurrent_calls` for their number.",
        "For the rate, let each call end sooner: a shorter `hold`, no `talk`.",
    ];
    /// Calls are refused although a place was freed, after every pause: we are shut out for a while, or the place does not come back.
    CallBlocked = "call.blocked", next: [
        "Wait, then ask the operator whether fail2ban or a fraud rule holds our address or account.",
        "Look for calls that the other side still holds open: a BYE that did not reach it, a missing session timer.",
        "Search again with a longer `step_every`.",
    ];
    /// Each account carries so many calls: a place freed by one account is not taken by another.
    CallAccountLimit = "call.account_limit", next: [
        "Raise the calls of an account, or give the search more accounts than the line has places.",
    ];
    /// More than this line is full: a call that does not need it is refused too, until a place is freed.
    CallSharedLimit = "call.shared_limit", next: [
        "Look for a limit of the whole system or of our address: calls of its licence, a cap on the session border controller.",
    ];
    /// Each source address carries so many calls: one more is refused from ours and accepted from another one.
    CallSourceLimit = "call.source_limit", next: [
        "For the limit of the line let calls come from several addresses (`sip.local_addresses`), or have this one allowed.",
    ];
    /// The whole system is full: a call that does not need the line is refused too, and so is one from another source address, until a place is freed.
    CallSystemLimit = "call.system_limit", next: ["Compare the number with the calls that the PBX is licensed for."];
    /// An earlier call is ended when one more is accepted.
    CallEvicted = "call.evicted", next: ["Ask the operator which rule ends calls that are up."];
    /// The number of calls that were accepted differs from round to round.
    CallLimitVaries = "call.limit_varies", next: [
        "Search again when nobody else calls.",
        "Where nobody else does, ask the carrier whether several gateways with limits of their own share the line.",
    ];
    /// Calls of one account are refused while its neighbours are accepted.
    CallAccountRefused = "call.account_refused", next: ["Check the password and the rights of the accounts named."];

    /// So many devices can be registered at the same time and no more: with all bindings alive one more was refused, and accepted once one was removed.
    RegLicenceExceeded = "reg.licence_exceeded", next: [
        "Compare the number measured with the licences bought.",
        "At a shift change let the first group log out before the second logs in, or buy the overlap.",
    ];
    /// So many devices could be registered at that moment: others may have used more of the licence.
    RegPlacesFree = "reg.places_free", next: [
        "Search again when nobody else is logged in, and say `saturate: { exclusive: true }` in the target file.",
    ];
    /// One more device is accepted, and the binding of an earlier one is gone without a word.
    RegLicenceEvicted = "reg.licence_evicted", next: [
        "Devices that are thrown out hear of it when they are called and do not ring: buy licences for all of them.",
    ];
    /// At least twice as many extensions exist as the licence has devices, and some of them cannot log in, even alone and with the right password.
    RegProvisionedOver2x = "reg.provisioned_over_2x", next: [
        "Delete extensions that nobody uses, or buy licences: the accounts named are shut out until then.",
    ];
    /// Some accounts are refused even with nobody else registered.
    RegSubsetRefused = "reg.subset_refused", next: ["Check the passwords and the rights of the accounts named."];
    /// Registrations are refused for coming too fast: a pause alone is enough.
    RegRateLimited = "reg.rate_limited", next: ["Search again with a longer `step_every`."];
    /// Registrations are refused although a place was freed, after every pause: we are shut out for a while, or the place does not come back.
    RegBlocked = "reg.blocked", next: [
        "Wait, then ask the operator whether fail2ban or a fraud rule holds our address or account.",
        "Ask whether a licence is held for a time after its device has logged out.",
    ];
    /// Each source address carries so many registrations: one more is refused from ours and accepted from another one.
    RegSourceLimit = "reg.source_limit", next: [
        "For the licence let devices come from several addresses (`sip.local_addresses`), or have this one allowed.",
    ];
    /// The number of registrations that were accepted differs from round to round.
    RegLimitVaries = "reg.limit_varies", next: ["Search again when nobody logs in or out."];

    /// Of an agent's several phones, as behind a pool of gateways, one is registered and never called, while calls enough came to the others.
    RegPoolMemberUnused = "reg.pool_member_unused", next: [
        "Call that phone alone, with the others logged out: where it does not ring, its gateway does not know the way to it.",
        "Compare what the pool's gateways show as registered for this account, and which of them the calls come in by.",
        "Where the pool is meant to use the others first, expect no calls of it: leave it out of `called`.",
    ];
    /// Less comes through to a responder of ours than an agent needs: `check --live --bandwidth`.
    NetBandwidthLow = "net.bandwidth_low", next: [
        "Measure again by cable, with everything else on this connection switched off.",
        "Where it is still too little, show the connection's provider both figures; a loss one way only tells which way is narrow.",
    ];

    /// Nothing is accepted, or all that was up is gone at once.
    LineDown = "line.down", next: ["Place one call by hand; then look at the trunk's registration and at the gateway."];
    /// Nothing that goes through this gateway works, over whichever of its trunks, while others do.
    GatewayDown = "gateway.down", next: [
        "Look at the device itself: power, network, what it says of its trunks.",
        "Ask it by OPTIONS: where it answers and calls fail, the lines behind it are at fault.",
    ];
}

/// A text that is no name of a finding.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a finding")]
pub struct UnknownFinding(String);

impl FromStr for Finding {
    type Err = UnknownFinding;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().find(|it| it.name() == text).copied().ok_or_else(|| UnknownFinding(text.to_owned()))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Finding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
