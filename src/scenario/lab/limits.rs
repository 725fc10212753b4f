//! Limits of the simulated PBX: on its trunks, on calls whoever makes them, on registrations. Each kind is one that
//! real lines show, so that whoever looks for a limit can be tried against all of them.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::scenario::plan::Reject;
use crate::units::Period;

/// A limit on calls and how what goes over it is refused. By default it limits nothing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallLimit {
    /// Calls at the same time; `None`: as many as come.
    pub places: Option<Places>,
    /// New calls per unit of time.
    pub rate: Option<RateLimit>,
    /// What becomes of a caller whom the limit has refused too often.
    pub ban: Option<Ban>,
}

/// Calls at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    /// How many.
    pub limit: u32,
    /// The refusal when all are taken.
    pub refuse: Reject,
    /// Places that other people's calls take.
    pub others: Option<Others>,
    /// When the place of a call that has ended can be had again.
    pub freed: Freed,
}

/// Other people's calls: how many there are is drawn anew in equal steps of time, each number of the range as likely as
/// any other. They never take a place that is taken, and keep theirs until the next draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Others {
    /// The fewest.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// Time between two draws, not 0.
    pub change_every: Duration,
}

/// When a place can be had again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Freed {
    /// As soon as the call has ended.
    #[default]
    AtOnce,
    /// This long after the call has ended.
    After(Duration),
    /// Not at all: the place is lost.
    Never,
}

/// A limit on how often something happens, whatever goes on at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimit {
    /// How it is counted.
    pub meter: Meter,
    /// The refusal of what comes too often.
    pub refuse: Reject,
}

/// How a rate is counted. What is refused does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meter {
    /// A token bucket: one token each interval, `burst` of them at most (ITU-T I.371 calls its mirror image the
    /// generic cell rate algorithm).
    Bucket {
        /// Time for one token, not 0.
        interval: Duration,
        /// Tokens that the full bucket holds, 1 or more.
        burst: u32,
    },
    /// So many in each window of time; the windows stand fixed, one after the other, from the start of the lab.
    Window {
        /// How many.
        count: u32,
        /// Length of a window, not 0.
        length: Duration,
    },
}

/// A temporary ban: who was refused too often is refused for a while, also when places are free.
#[derive(Clone, Debug, PartialEq)]
pub struct Ban {
    /// Refusals by the limit, 1 or more, …
    pub after: u32,
    /// … within this time, that bring the ban.
    pub within: Duration,
    /// How long it lasts, from the last of these refusals. What is refused meanwhile does not make it longer.
    pub length: Duration,
    /// Who is banned.
    pub subject: Subject,
    /// The refusal while it lasts; `None`: no response at all, as from a firewall.
    pub refuse: Option<Reject>,
}

/// Who is meant by a ban.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// Everybody at the IP address that the call came from.
    #[default]
    Source,
    /// The account that calls.
    Account,
}

/// Limits on calls whoever makes them and wherever they go, internal ones and those over trunks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallLimits {
    /// The PBX as a whole.
    pub all: Option<CallLimit>,
    /// Each account that calls.
    pub per_account: Option<CallLimit>,
    /// Each IP address that calls come from.
    pub per_source: Option<CallLimit>,
    /// Each number that is called, without the prefix of a trunk: the channels of the callee.
    pub per_callee: Option<CallLimit>,
}

/// Limits on registrations that have nothing to do with a licence.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegistrationLimits {
    /// REGISTER requests with the right credentials, of all accounts together. Each counts: new, refreshing, removing.
    pub rate: Option<RateLimit>,
    /// Contacts of one address of record.
    pub per_aor: Option<LabLimit>,
    /// Contacts that come from one IP address.
    pub per_source: Option<LabLimit>,
    /// Of several contacts of one account any is called, by the seed, and not the newest.
    pub rings_any: bool,
}

/// A licence for devices registered at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct LabLicence {
    /// Devices, which are bindings.
    pub places: u32,
    /// The refusal of one more.
    pub refuse: Reject,
    /// One more is accepted instead, and somebody else's binding removed without a word. Where nobody else has one, one
    /// more is refused.
    pub evict: Option<Evict>,
    /// The rule on accounts that exist.
    pub over_provisioned: Option<OverProvisioned>,
    /// When the place of a device that has logged out can be had again.
    pub freed: Freed,
}

/// How a binding of another account makes way for a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evict {
    /// Which one.
    pub victim: Victim,
    /// Its connection (TCP, TLS) is closed as well.
    pub close: bool,
    /// Its binding is still listed, although no call reaches it.
    pub hidden: bool,
}

/// Which binding of other accounts is removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Victim {
    /// The one that was made first; a refresh does not make it younger.
    #[default]
    Oldest,
    /// Any, by the seed.
    Random,
}

/// The 2 × rule: where at least `factor` times as many accounts exist as the licence has devices, some of them cannot
/// register, even when nobody else is.
#[derive(Clone, Debug, PartialEq)]
pub struct OverProvisioned {
    /// Times the licence.
    pub factor: u32,
    /// The accounts that cannot register, always the same.
    pub users: BTreeSet<String>,
    /// Their refusal.
    pub refuse: Reject,
}

/// A number of places and how what goes over it is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct LabLimit {
    /// Places.
    pub places: u32,
    /// The refusal when all are taken.
    pub refuse: Reject,
}

impl Meter {
    /// How many pass a second in the long run.
    pub fn per_second(self) -> f64 {
        match self {
            Self::Bucket { interval, .. } => 1.0 / interval.as_secs_f64(),
            Self::Window { count, length } => f64::from(count) / length.as_secs_f64(),
        }
    }
}

impl Places {
    /// So many places, free again as soon as a call has ended, none of them taken by others.
    pub fn new(limit: u32, refuse: Reject) -> Self {
        Self { limit, refuse, others: None, freed: Freed::AtOnce }
    }
}

impl LabLicence {
    /// A licence that refuses.
    pub fn new(places: u32, refuse: Reject) -> Self {
        Self { places, refuse, evict: None, over_provisioned: None, freed: Freed::AtOnce }
    }
}

impl fmt::Display for CallLimit {
    /// What it limits, in a few words: `5 calls, 1 each 100ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.places {
            Some(places) => write!(f, "{} calls", places.limit)?,
            None => f.write_str("calls")?,
        }
        self.rate.as_ref().map_or(Ok(()), |rate| write!(f, ", {}", rate.meter))
    }
}

impl fmt::Display for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Bucket { interval, burst } => write!(f, "1 each {}, {burst} at once", Period(interval)),
            Self::Window { count, length } => write!(f, "{count} in each {}", Period(length)),
        }
    }
}
