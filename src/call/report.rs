//! What callers report: legs that have ended, what was not started, and how far a worker is.

use super::back_off::Pause;
use super::limit::Found;
use crate::record::{CallRecord, MediaSecond, Outcome, RegistrationRecord};
use crate::station::side::Order;

/// What callers report.
#[derive(Debug)]
pub enum Report {
    /// A leg has ended, and is told whole.
    Finished(Box<Finished>),
    /// Legs have ended of which the figures are enough, as [`Config::whole_every`](super::Config::whole_every) says.
    Counted(Vec<Counted>),
    /// An attempt was due and not started.
    Dropped {
        /// Its index, from 1.
        n: u64,
        /// Why.
        why: NotBegun,
    },
    /// The far side wants no calls for a while.
    Paused(Pause),
    /// No attempt may start any more although the load is not over: [`Config::closes`](super::Config::closes) has come.
    Closed,
    /// A second of a leg's media has passed.
    Second(Box<MediaSecond>),
    /// The search for a limit has come to something.
    Limit(Box<Found>),
    /// Something is to be asked of an application beside the calls; what comes of it is told to [`Callers::handle_side`](super::Callers::handle_side).
    Side(Box<Order>),
}

/// Why an attempt that was due was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// We were late, or as many were under way as may be.
    Late,
    /// The far side had asked for no calls (503 with Retry-After).
    HeldBack,
}

/// A leg that has ended.
#[derive(Debug)]
pub struct Finished {
    /// What it showed.
    pub record: CallRecord,
    /// How its registration went, where it had one.
    pub registration: Option<RegistrationRecord>,
    /// It counts as the attempt: other legs of the same attempt are recorded beside it.
    pub primary: bool,
    /// It is of no attempt of the plan: an inbound call that nobody waited for, a standing registration that was lost
    /// or made again.
    pub beside: bool,
    /// Under which the evidence keeps its messages.
    pub owner: u64,
    /// A server has answered something by then, whether to this leg or to another of the same worker.
    pub answered: bool,
}

/// A leg of which the figures are enough.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// What is counted of it.
    pub outcome: Outcome,
    /// As in the record.
    pub ice_server_fault: Option<String>,
    /// As in [`Finished`].
    pub primary: bool,
    /// As in [`Finished`].
    pub owner: u64,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Attempts started.
    pub started: u64,
    /// Attempts ended.
    pub finished: u64,
    /// Attempts due and not started.
    pub dropped: u64,
    /// Attempts under way.
    pub in_progress: u64,
    /// Most attempts under way at the same time so far.
    pub peak: u64,
    /// Legs that opened media.
    pub media_legs: u64,
    /// Of them, those whose seconds are reported.
    pub media_sampled: u64,
    /// Accounts that are to stay registered.
    pub standing: u64,
    /// Most of them that were registered at the same time so far.
    pub most_registered: u64,
    /// Refreshes of them that were accepted.
    pub refreshes: u64,
    /// A server has answered something.
    pub answered: bool,
}

impl std::iter::Sum for Progress {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            started: sum.started + one.started,
            finished: sum.finished + one.finished,
            dropped: sum.dropped + one.dropped,
            in_progress: sum.in_progress + one.in_progress,
            peak: sum.peak + one.peak,
            media_legs: sum.media_legs + one.media_legs,
            media_sampled: sum.media_sampled + one.media_sampled,
            standing: sum.standing + one.standing,
            most_registered: sum.most_registered + one.most_registered,
            refreshes: sum.refreshes + one.refreshes,
            answered: sum.answered || one.answered,
        })
    }
}
