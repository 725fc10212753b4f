//! What was seen, and what it comes to.

use std::time::{Duration, Instant};

use super::{Of, Refusal, Settings, Try};
use crate::record::Finding;

/// Whether the limit was shown to be the line's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// By controls: nobody else on the line, another account, another callee, a call that needs no place.
    Shown,
    /// At least one control is missing.
    Assumed,
}

/// What a search came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What it is; `None` where no limit was met, or the search was bounded by ourselves.
    pub finding: Option<Finding>,
    /// Places found; `None` where what was found is no number of places of this line.
    pub measured: Option<u64>,
    /// The least and the greatest number of places, where they differ.
    pub range: Option<(u64, u64)>,
    /// Whether it is the line's own limit; `None` where none was found.
    pub scope: Option<Scope>,
    /// The refusal that it was met by.
    pub refusal: Option<Refusal>,
    /// Rounds in which it was proved.
    pub proved: u32,
    /// From giving a place back to one more being accepted, the shortest seen.
    pub freed_after: Option<Duration>,
    /// The longest Retry-After that was kept.
    pub retry_after: Option<Duration>,
    /// Tries that prove it.
    pub proof: Vec<Try>,
    /// Tries whose accounts are refused although others are accepted.
    pub aside: Vec<Try>,
    /// One sentence that says all that, without the name of the line.
    pub text: String,
}

/// A Retry-After is kept up to here.
const LONGEST_WISH: Duration = Duration::from_secs(300);

/// What a search has seen so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// The refusals of the main tries, in order.
    pub(super) refusals: Vec<(Try, Refusal)>,
    /// Places up at the refusals that a proof began with.
    pub(super) refused_at: Vec<u64>,
    /// The tries that those were.
    begun_by: Vec<Try>,
    /// Places left after some were gone.
    pub(super) evicted_at: Vec<u64>,
    pub(super) rounds: u32,
    pub(super) control: Option<bool>,
    pub(super) taken_by_same: u32,
    pub(super) taken_by_other: u32,
    /// Accepted from another source address while one more was refused.
    pub(super) taken_elsewhere: u32,
    pub(super) refused_elsewhere: u32,
    pub(super) freed_after: Vec<Duration>,
    /// The longest Retry-After that was kept.
    retry_after: Option<Duration>,
    /// The far side wants nothing before.
    not_before: Option<Instant>,
    pub(super) proof: Vec<Try>,
    pub(super) aside: Vec<Try>,
}

impl Seen {
    /// A refusal may wish for a pause.
    pub(super) fn note_wish(&mut self, now: Instant, refusal: &Refusal) {
        if let Some(wish) = refusal.retry_after.map(|wish| wish.min(LONGEST_WISH)) {
            self.retry_after = self.retry_after.max(Some(wish));
            self.not_before = self.not_before.max(Some(now + wish));
        }
    }

    /// When the next try may be made, as far as the far side wishes: `now` where it wishes nothing, or did so earlier.
    pub(super) fn not_before(&self, now: Instant) -> Instant {
        self.not_before.map_or(now, |at| at.max(now))
    }

    pub(super) fn note(&mut self, number: Try, refusal: Refusal) {
        self.refusals.push((number, refusal));
    }

    /// What was seen of rounds before does not count.
    pub(super) fn begin_proof(&mut self, held: u64) {
        self.refused_at.push(held);
        self.begun_by.push(self.refusals.last().map_or(0, |(number, _)| *number));
        (self.rounds, self.taken_by_same, self.taken_by_other, self.control) = (0, 0, 0, None);
        (self.taken_elsewhere, self.refused_elsewhere) = (0, 0);
        self.freed_after.clear();
        self.proof = self.refusals.last().map(|(number, _)| *number).into_iter().collect();
    }

    /// It is the account of this try, and no limit.
    pub(super) fn set_aside(&mut self, number: Try) {
        self.refusals.retain(|(refused, _)| *refused != number);
        if let Some(place) = self.begun_by.iter().position(|begun_by| *begun_by == number) {
            self.begun_by.remove(place);
            self.refused_at.remove(place);
        }
        self.aside.push(number);
    }

    pub(super) fn outcome(&self, finding: Option<Finding>, measured: Option<u64>, text: String) -> Outcome {
        let aside = match self.aside.len() {
            0 => String::new(),
            1 => "; one account is refused whenever it is tried and was set aside".to_owned(),
            count => format!("; {count} accounts are refused whenever they are tried and were set aside"),
        };
        let waited = self.waited();
        Outcome {
            finding,
            measured,
            range: None,
            scope: finding.map(|_| Scope::Assumed),
            refusal: self.refusals.last().map(|(_, refusal)| refusal.clone()),
            proved: self.rounds,
            freed_after: self.freed_after.iter().min().copied(),
            retry_after: self.retry_after,
            proof: self.proof.clone(),
            aside: self.aside.clone(),
            text: format!("{text}{aside}{waited}"),
        }
    }

    /// What is said of pauses that the far side wished for.
    pub(super) fn waited(&self) -> String {
        match self.retry_after {
            Some(wish) => format!("; Retry-After of up to {} s was kept", wish.as_secs()),
            None => String::new(),
        }
    }

    /// `refused with 503 “…”`.
    pub(super) fn refused(&self) -> String {
        let Some((_, refusal)) = self.refusals.last() else { return "refused".to_owned() };
        let how = match refusal.code {
            Some(code) => format!("refused with {code}"),
            None => format!("not answered ({})", refusal.class),
        };
        match refusal.reason.as_deref().filter(|reason| !reason.is_empty()) {
            Some(reason) => format!("{how} “{reason}”"),
            None => how,
        }
    }
}

impl Outcome {
    /// We ourselves lacked something: nothing is said of the line.
    pub(super) fn bounded(lacking: String) -> Self {
        Seen::default().outcome(None, None, format!("the search was stopped by our own side: {lacking}"))
    }

    /// Nothing was refused.
    pub(super) fn not_found(settings: &Settings, seen: &Seen) -> Self {
        let finding = (!seen.aside.is_empty()).then_some(match settings.of {
            Of::ConcurrentCalls | Of::CallRate => Finding::CallAccountRefused,
            Of::Registrations | Of::ProvisionedExtensions => Finding::RegSubsetRefused,
        });
        let (up_to, things) = (settings.up_to, things(settings.of));
        let mut outcome =
            seen.outcome(finding, None, format!("no limit within {up_to} {things}: one more was accepted"));
        outcome.refusal = None;
        outcome
    }

    /// So many places, by the experiment.
    pub(super) fn limit(settings: &Settings, seen: &Seen, held: u64) -> Self {
        let things = things(settings.of);
        let refused = seen.refused();
        let all = seen.refused_at.iter().chain(&seen.evicted_at).copied().chain([held]);
        let (least, greatest) = (all.clone().min().unwrap_or(held), all.max().unwrap_or(held));
        if least != greatest || seen.rounds == 0 {
            let text = format!(
                "between {least} and {greatest} {things}: it differs from round to round; the next was {refused}"
            );
            let finding = named(settings.of, Finding::CallLimitVaries);
            return Self { range: Some((least, greatest)), ..seen.outcome(Some(finding), None, text) };
        }
        let rounds = times(seen.rounds);
        if seen.taken_by_same > 0 && seen.taken_by_other == 0 {
            let accounts = settings.accounts;
            let text = match settings.of {
                Of::ConcurrentCalls | Of::CallRate => format!(
                    "each account carries its calls and no more ({held} over {accounts} accounts): a place freed by one was \
                     never taken by another; the next was {refused}"
                ),
                Of::Registrations | Of::ProvisionedExtensions => {
                    format!("{held} accounts are accepted, and the others are {refused} whether a place is free or not")
                }
            };
            return seen.outcome(Some(named(settings.of, Finding::CallAccountLimit)), None, text);
        }
        let freed = match seen.freed_after.iter().min() {
            Some(after) => format!("; a freed place was taken again after {}", millis(*after)),
            None => String::new(),
        };
        if seen.taken_elsewhere > 0 && seen.refused_elsewhere == 0 {
            let text = format!(
                "{held} {things} from one source address: the next was {refused}, and accepted from another one, proved \
                 {rounds}{freed}"
            );
            return seen.outcome(Some(named(settings.of, Finding::CallSourceLimit)), None, text);
        }
        if seen.control == Some(false) {
            let (finding, whence) = match seen.refused_elsewhere {
                0 => (Finding::CallSharedLimit, ""),
                _ => (Finding::CallSystemLimit, ", and so is one more from another source address"),
            };
            let text = format!(
                "{held} {things}, then calls that do not need the line are refused too{whence}; the next was {refused}, \
                 proved {rounds}{freed}"
            );
            return seen.outcome(Some(named(settings.of, finding)), None, text);
        }
        let missing = missing(settings, seen);
        let finding = match settings.exclusive {
            true => Finding::CallTrunkSaturated,
            false => Finding::CallPlacesFree,
        };
        let what = if settings.exclusive { things.to_owned() } else { format!("{things} were free") };
        let mut text = format!("{held} {what}, all alive; the next was {refused}, proved {rounds}{freed}");
        if !missing.is_empty() {
            text.push_str(&format!("; assumed to be the line's own limit: {}", missing.join(", ")));
        }
        let scope = Some(if missing.is_empty() { Scope::Shown } else { Scope::Assumed });
        Self { scope, ..seen.outcome(Some(named(settings.of, finding)), Some(held), text) }
    }

    /// It is something else.
    pub(super) fn other(settings: &Settings, seen: &Seen, finding: Finding, measured: Option<u64>) -> Self {
        let things = things(settings.of);
        let refused = seen.refused();
        let up = seen.refused_at.last().copied().unwrap_or_default();
        let text = match finding {
            Finding::CallRateLimited => {
                format!("with {up} {things} the next was {refused}, and a pause alone was enough, three times in a row")
            }
            Finding::CallBlocked => {
                let control = match seen.control {
                    Some(true) => ", although a call that does not need the line passes",
                    Some(false) => ", and so is a call that does not need the line",
                    None => "",
                };
                format!(
                    "with {up} {things} the next was refused, and so was every try once a place was freed, after every pause ({refused}){control}"
                )
            }
            Finding::CallEvicted => {
                let (of, rounds) = (measured.unwrap_or_default(), times(seen.rounds));
                format!(
                    "{of} {things}: one more is accepted, and an earlier one is gone without a word, proved {rounds}"
                )
            }
            Finding::LineDown if measured.is_some() => format!("nothing is accepted: the first try was {refused}"),
            Finding::LineDown => "all that was up is gone at once".to_owned(),
            _ => finding.meaning().to_owned(),
        };
        seen.outcome(Some(named(settings.of, finding)), measured, text)
    }
}

/// Controls that are missing for the limit to be shown as the line's own.
pub(super) fn missing(settings: &Settings, seen: &Seen) -> Vec<&'static str> {
    let calls = settings.of != Of::Registrations;
    let one_account = match settings.of {
        Of::CallRate => settings.accounts == 1,
        _ => seen.taken_by_other == 0,
    };
    let controls = [
        (!settings.exclusive, "others may use the line (no `saturate: { exclusive: true }`)"),
        (calls && seen.control.is_none(), "no control call"),
        (one_account, "one account only"),
        (calls && !settings.callees_differ, "every call went to the same number"),
    ];
    controls.into_iter().filter_map(|(is_missing, what)| is_missing.then_some(what)).collect()
}

/// The same finding of registrations.
fn named(of: Of, finding: Finding) -> Finding {
    match (of, finding) {
        (Of::ConcurrentCalls | Of::CallRate, finding) => finding,
        (Of::Registrations | Of::ProvisionedExtensions, Finding::CallTrunkSaturated) => Finding::RegLicenceExceeded,
        (Of::Registrations | Of::ProvisionedExtensions, Finding::CallPlacesFree) => Finding::RegPlacesFree,
        (Of::Registrations | Of::ProvisionedExtensions, Finding::CallRateLimited) => Finding::RegRateLimited,
        (Of::Registrations | Of::ProvisionedExtensions, Finding::CallBlocked) => Finding::RegBlocked,
        (Of::Registrations | Of::ProvisionedExtensions, Finding::CallSourceLimit) => Finding::RegSourceLimit,
        (Of::Registrations | Of::ProvisionedExtensions, Finding::CallAccountLimit) => Finding::RegSubsetRefused,
        (Of::Registrations | Of::ProvisionedExtensions, Finding::CallEvicted) => Finding::RegLicenceEvicted,
        (Of::Registrations | Of::ProvisionedExtensions, Finding::CallLimitVaries) => Finding::RegLimitVaries,
        (Of::Registrations | Of::ProvisionedExtensions, finding) => finding,
    }
}

const fn things(of: Of) -> &'static str {
    match of {
        Of::ConcurrentCalls => "calls at the same time",
        Of::CallRate => "calls per second",
        Of::Registrations => "registrations at the same time",
        Of::ProvisionedExtensions => "accounts",
    }
}

pub(super) fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

pub(super) fn millis(time: Duration) -> String {
    if time.as_secs() >= 10 { format!("{} s", time.as_secs()) } else { format!("{} ms", time.as_millis()) }
}
