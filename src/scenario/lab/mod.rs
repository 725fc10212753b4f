//! The lab plan: what the simulated PBX is told to be. A lab file is compiled to this; without one the lab is
//! [`LabPlan::default`].

mod faults;
mod limits;

use std::net::SocketAddr;
use std::time::Duration;

pub use faults::Fault;
pub use limits::{
    Ban, CallLimit, CallLimits, Evict, Freed, LabLicence, LabLimit, Meter, Others, OverProvisioned, Places, RateLimit,
    RegistrationLimits, Subject, Victim,
};

use super::plan::{Account, Codec, Reject, Srtp, Transport};
use crate::sip::session::{Extensions, SessionTimer};
use crate::units::Secret;

/// A simulated PBX.
#[derive(Clone, Debug, PartialEq)]
pub struct LabPlan {
    /// Domain of its addresses of record and realm of its challenges.
    pub domain: String,
    /// Accounts that may register and call.
    pub accounts: Vec<Account>,
    /// Numbers and what they do. The first that matches is taken; a number that matches none is answered 404.
    pub extensions: Vec<Extension>,
    /// Ways out, with their limits.
    pub trunks: Vec<LabTrunk>,
    /// Limits on calls, beside those of the trunks.
    pub calls: CallLimits,
    /// Limit on devices registered at the same time.
    pub licence: Option<LabLicence>,
    /// Limits on registrations, beside the licence.
    pub registrations: RegistrationLimits,
    /// Whether calls and registrations are challenged (digest).
    pub challenge: bool,
    /// Extensions of SIP that its calls speak.
    pub speaks: Extensions,
    /// Transport that scenarios reach it over.
    pub transport: Transport,
    /// Codecs that its callers offer, in this order; it takes the first.
    pub codecs: Vec<Codec>,
    /// Encryption of audio on both sides; `None`: its callers do not encrypt, and the lab takes both.
    pub srtp: Option<Srtp>,
    /// How long a call stays when the connection of one side is gone.
    pub keeps_calls: Duration,
    /// How often connections of WebSocket are pinged; one that does not answer is closed. `None`: none is.
    pub pings_every: Option<Duration>,
    /// The application beside it.
    pub application: Option<LabApplication>,
    /// What is out of order. The first that fits a call counts.
    pub faults: Vec<Fault>,
}

/// An application that agents sign in to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabApplication {
    /// Where it listens.
    pub listen: SocketAddr,
    /// How long an agent who wants to be ready is not yet.
    pub ready_after: Duration,
}

/// A number of the lab and what it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Extension {
    /// Name it has in the `numbers:` of the target `lab`.
    pub name: String,
    /// The number.
    pub number: String,
    /// What happens when it is called.
    pub behaviour: Behaviour,
}

/// What a called party of the lab (or of `ringfleet answer`) does.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// 180, after a delay 200, then what is received is sent back.
    Echo {
        /// From the INVITE to the 200.
        answer_after: Duration,
    },
    /// 180, 200, then speech, and each key that is heard (DTMF) comes back, the way that it came.
    Keys,
    /// 180, 200, then RTP that carries silence.
    Silence,
    /// 180, 200, then no RTP at all.
    NoMedia,
    /// 180 and nothing more, until the caller gives up.
    RingForever,
    /// 183 with SDP and an announcement, then a refusal.
    EarlyMedia {
        /// Length of the announcement.
        announce: Duration,
        /// The refusal after it.
        then: Reject,
    },
    /// A refusal.
    Reject {
        /// From the INVITE to the refusal.
        after: Duration,
        /// Whether 180 comes first.
        ring: bool,
        /// The refusal.
        reject: Reject,
    },
    /// No response at all, not even 100.
    NoResponse,
    /// 180, 200, echo, then BYE from the far end.
    FarEndBye {
        /// From the 200 to the BYE.
        after: Duration,
        /// Q.850 cause in the BYE's Reason header.
        q850: Option<u16>,
    },
    /// 302 with this Contact.
    Redirect {
        /// Where to.
        contact: String,
    },
}

/// A way out of the lab: numbers with its prefix count against its limit. The rest of the number is looked up among
/// the extensions and accounts; where it is neither, an echo answers, as the outside world.
#[derive(Clone, Debug, PartialEq)]
pub struct LabTrunk {
    /// Its name in the `trunks:` of the target `lab`.
    pub name: String,
    /// Digits before the number that choose it.
    pub prefix: String,
    /// What it holds.
    pub limit: CallLimit,
}

impl Default for LabPlan {
    /// The number plan that every scenario under `scenarios/` runs against.
    fn default() -> Self {
        let at_once =
            |code, q850| Behaviour::Reject { after: Duration::ZERO, ring: false, reject: Reject::new(code, q850) };
        let extension = |name: &str, number: &str, behaviour| Extension {
            name: name.to_owned(),
            number: number.to_owned(),
            behaviour,
        };
        let secs = Duration::from_secs;
        Self {
            domain: "lab.ringfleet.invalid".into(),
            accounts: (1001..=1020).map(lab_account).collect(),
            extensions: vec![
                extension("echo", "2000", Behaviour::Echo { answer_after: Duration::from_millis(200) }),
                extension("internal", "2001", Behaviour::Echo { answer_after: Duration::ZERO }),
                extension("slow_answer", "2003", Behaviour::Echo { answer_after: secs(3) }),
                extension("keys", "2005", Behaviour::Keys),
                extension("silence", "2010", Behaviour::Silence),
                extension("no_media", "2011", Behaviour::NoMedia),
                extension("far_end_bye", "2020", Behaviour::FarEndBye { after: secs(3), q850: Some(16) }),
                extension(
                    "dropped",
                    "2021",
                    Behaviour::FarEndBye { after: Duration::from_millis(500), q850: Some(41) },
                ),
                extension("ring_forever", "2100", Behaviour::RingForever),
                extension(
                    "early_media",
                    "2183",
                    Behaviour::EarlyMedia { announce: secs(2), then: Reject::new(486, Some(17)) },
                ),
                extension("no_response", "2999", Behaviour::NoResponse),
                extension("redirect", "3302", Behaviour::Redirect { contact: "sip:2000@lab.ringfleet.invalid".into() }),
                extension("forbidden", "3403", at_once(403, None)),
                extension("invalid", "3404", at_once(404, Some(1))),
                extension("timeout_408", "3408", at_once(408, None)),
                extension("gone", "3410", at_once(410, Some(22))),
                extension("unreachable", "3480", at_once(480, Some(20))),
                extension(
                    "no_answer",
                    "3481",
                    Behaviour::Reject { after: secs(2), ring: true, reject: Reject::new(480, Some(19)) },
                ),
                extension("incomplete", "3484", at_once(484, Some(28))),
                extension("busy", "3486", at_once(486, Some(17))),
                extension("request_terminated", "3487", at_once(487, None)),
                extension("not_acceptable", "3488", at_once(488, None)),
                extension("server_error", "3500", at_once(500, None)),
                extension("bad_gateway", "3502", at_once(502, Some(27))),
                extension("unavailable", "3503", at_once(503, Some(41))),
                extension("congested", "3534", at_once(503, Some(34))),
                extension("declined", "3603", at_once(603, Some(21))),
            ],
            trunks: vec![LabTrunk {
                name: "trunk_a".into(),
                prefix: "900".into(),
                limit: CallLimit {
                    places: Some(Places::new(5, refusal(503, "call attempt had over the max concurrent calls"))),
                    ..CallLimit::default()
                },
            }],
            calls: CallLimits::default(),
            licence: Some(LabLicence::new(20, refusal(403, "license limit exceeded"))),
            registrations: RegistrationLimits::default(),
            challenge: true,
            keeps_calls: Duration::ZERO,
            pings_every: None,
            application: None,
            speaks: Extensions {
                timer: SessionTimer { expires: Some(SESSION_EXPIRES), ..SessionTimer::default() },
                ..Extensions::default()
            },
            transport: Transport::Udp,
            codecs: vec![Codec::Pcma, Codec::Pcmu],
            srtp: None,
            faults: Vec::new(),
        }
    }
}

/// Session-Expires of the built-in lab, seconds: as long as most PBXs keep a call that nobody refreshes. Over UDP nothing
/// else tells that a caller is gone.
const SESSION_EXPIRES: u32 = 1800;

/// Password of every account of the built-in lab: the lab is not a secret, and a target file names it by a variable.
pub const LAB_PASSWORD: &str = "ringfleet";

fn refusal(code: u16, reason: &str) -> Reject {
    Reject { reason: Some(reason.into()), ..Reject::new(code, None) }
}

fn lab_account(user: u32) -> Account {
    Account { user: user.to_string(), password: Some(Secret::new(LAB_PASSWORD)), ..Account::default() }
}
