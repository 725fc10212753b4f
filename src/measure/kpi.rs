//! Performance indicators of RFC 6076 and of the carriers (E.411, E.425, IR.42). All are percentages except ACD, and
//! null where their denominator is 0.
//!
//! Only calls that we placed count; a challenge and its answer are one attempt. A local time-out counts as 408 and a
//! local transport error as 503 (RFC 3261 §8.1.3.1).

use serde::{Deserialize, Serialize};

use crate::record::{Class, Outcome, Party, Role};

/// What the indicators are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Counts {
    invites: u64,
    redirected: u64,
    answered: u64,
    completed: u64,
    answered_s: f64,
    /// Final responses 480, 486, 600 and 603.
    callee_side: u64,
    /// Final responses 408, 500, 503 and 504.
    ineffective: u64,
    /// Answered, busy, no answer, declined.
    effective: u64,
    registrations: u64,
    failed_registrations: u64,
}

/// The indicators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kpi {
    /// Answer-seizure ratio (E.411): answered / INVITEs.
    pub asr: Option<f64>,
    /// Network effectiveness ratio (E.425): answered, busy, no answer or declined / INVITEs.
    pub ner: Option<f64>,
    /// Network effectiveness ratio in the reading of GSMA IR.42: 100 − ISA.
    pub ner_ir42: Option<f64>,
    /// Average call duration, seconds: total answered time / answered.
    pub acd_s: Option<f64>,
    /// Session establishment ratio (RFC 6076 §4.6): 200 / (INVITEs − 3xx).
    pub ser: Option<f64>,
    /// Session establishment effectiveness ratio (§4.7): 200, 480, 486, 600 or 603 / (INVITEs − 3xx).
    pub seer: Option<f64>,
    /// Ineffective session attempts (§4.8): 408, 500, 503 or 504 / INVITEs.
    pub isa: Option<f64>,
    /// Session completion ratio (§4.9): answered and ended by a BYE that was responded to / INVITEs.
    pub scr: Option<f64>,
    /// Ineffective registration attempts (§4.2): failed other than by a challenge / REGISTERs.
    pub ira: Option<f64>,
}

impl Counts {
    pub(super) fn add(&mut self, outcome: &Outcome) {
        self.add_registration(outcome);
        let Some(seizure) = Seizure::of(outcome) else { return };
        self.invites += 1;
        self.effective += u64::from(seizure.effective);
        self.redirected += u64::from(seizure.redirected);
        self.callee_side += u64::from(seizure.callee_side);
        self.ineffective += u64::from(seizure.ineffective);
        self.completed += u64::from(seizure.completed);
        if seizure.answered {
            self.answered += 1;
            self.answered_s += outcome.duration_ms.unwrap_or(0.0) / 1e3;
        }
    }

    fn add_registration(&mut self, outcome: &Outcome) {
        let Some(ineffective) = ineffective_registration(outcome.class, outcome.code, outcome.rrd_ms) else { return };
        self.registrations += 1;
        self.failed_registrations += u64::from(ineffective);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.invites += other.invites;
        self.redirected += other.redirected;
        self.answered += other.answered;
        self.completed += other.completed;
        self.answered_s += other.answered_s;
        self.callee_side += other.callee_side;
        self.ineffective += other.ineffective;
        self.effective += other.effective;
        self.registrations += other.registrations;
        self.failed_registrations += other.failed_registrations;
    }

    pub(super) fn kpi(&self) -> Kpi {
        let answerable = self.invites - self.redirected;
        let isa = percent(self.ineffective, self.invites);
        Kpi {
            asr: percent(self.answered, self.invites),
            ner: percent(self.effective, self.invites),
            ner_ir42: isa.map(|isa| 100.0 - isa),
            acd_s: (self.answered > 0).then(|| self.answered_s / self.answered as f64),
            ser: percent(self.answered, answerable),
            seer: percent(self.answered + self.callee_side, answerable),
            isa,
            scr: percent(self.completed, self.invites),
            ira: percent(self.failed_registrations, self.registrations),
        }
    }
}

/// What one call that we placed adds to the indicators: their numerators over many are sums of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seizure {
    /// It was answered (E.411).
    pub answered: bool,
    /// The network did its part: answered, busy, not answered or declined (E.425).
    pub effective: bool,
    /// It was redirected (3xx), which SER and SEER leave out.
    pub redirected: bool,
    /// It was not answered for a reason of the called party: 480, 486, 600 or 603.
    pub callee_side: bool,
    /// It was refused with 408, 500, 503 or 504, or got no response (RFC 6076 §4.8).
    pub ineffective: bool,
    /// It was answered, and ended by a BYE that was responded to (RFC 6076 §4.9).
    pub completed: bool,
}

impl Seizure {
    /// `None` where the leg placed no call, or never sent its INVITE.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let counts = outcome.invited && outcome.role == Role::Caller;
        let answered = outcome.is_answered();
        // RFC 3261 §8.1.3.1: without any response, as if 408 had come.
        let refused = Some(outcome.code.unwrap_or(408)).filter(|_| !answered);
        counts.then(|| Self {
            answered,
            effective: answered || reached(outcome),
            redirected: refused.is_some_and(|code| (300..400).contains(&code)),
            callee_side: matches!(refused, Some(480 | 486 | 600 | 603)),
            ineffective: matches!(refused, Some(408 | 500 | 503 | 504)),
            completed: answered && completed(outcome),
        })
    }
}

/// Whether a registration with this class, final code and delay failed by more than a challenge (RFC 6076 §4.2); `None`
/// where there was none.
pub fn ineffective_registration(class: Class, code: Option<u16>, rrd_ms: Option<f64>) -> Option<bool> {
    let refused = class.is_of_registration();
    let challenged = matches!(code, Some(401 | 402 | 407));
    (refused || rrd_ms.is_some()).then_some(refused && !challenged)
}

/// E.425 counts a call that reached the called party as the network's success. A caller who gave up while it rang
/// found no answer.
fn reached(outcome: &Outcome) -> bool {
    match outcome.class {
        _ if outcome.is_answered() => false,
        Class::CallCalleeBusy | Class::CallNoAnswer | Class::CallCalleeDeclined => true,
        Class::CallCancelled => outcome.rang,
        _ => false,
    }
}

/// A dialog that did not end for want of a response.
fn completed(outcome: &Outcome) -> bool {
    outcome.hangup_by == Some(Party::FarEnd) || outcome.sdd_ms.is_some()
}

fn percent(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| 100.0 * part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{answered, refused, registration, timed_out};
    use super::*;
    use crate::record::CallRecord;

    fn kpi(records: impl IntoIterator<Item = CallRecord>) -> Kpi {
        let mut counts = Counts::default();
        records.into_iter().for_each(|record| counts.add(&record.outcome()));
        counts.kpi()
    }

    #[test]
    fn without_calls_every_indicator_is_null() {
        assert_eq!(kpi([]), Kpi::default());
    }

    #[test]
    fn the_indicators_of_ten_calls() {
        let kpi = kpi([
            answered(20.0, 200.0),
            answered(20.0, 200.0),
            CallRecord { sdd_ms: None, ..answered(20.0, 200.0) },
            CallRecord { hangup_by: Some("far_end".into()), sdd_ms: None, ..answered(20.0, 200.0) },
            refused(486, Class::CallCalleeBusy),
            refused(480, Class::CallNoAnswer),
            refused(404, Class::CallNumberInvalid),
            refused(503, Class::CallNetworkFailed),
            timed_out(),
            refused(302, Class::CallRedirected),
        ]);
        assert_eq!((kpi.asr, kpi.ner, kpi.isa, kpi.ner_ir42), (Some(40.0), Some(60.0), Some(20.0), Some(80.0)));
        assert_eq!((kpi.ser, kpi.seer), (Some(400.0 / 9.0), Some(600.0 / 9.0)));
        assert_eq!((kpi.scr, kpi.acd_s), (Some(30.0), Some(10.0)));
        assert_eq!(kpi.ira, None);
    }

    #[test]
    fn only_redirections_leave_nothing_to_establish() {
        let kpi = kpi([refused(302, Class::CallRedirected)]);
        assert_eq!((kpi.ser, kpi.seer, kpi.asr), (None, None, Some(0.0)));
    }

    #[test]
    fn a_caller_who_gave_up_while_it_rang_reached_the_callee() {
        let cancelled = refused(487, Class::CallCancelled);
        assert_eq!(kpi([CallRecord { rang: true, ..cancelled.clone() }]).ner, Some(100.0));
        assert_eq!(kpi([cancelled]).ner, Some(0.0));
    }

    #[test]
    fn answering_legs_are_no_seizures() {
        assert_eq!(kpi([CallRecord { role: Role::Callee, ..answered(20.0, 200.0) }]).asr, None);
    }

    #[test]
    fn session_request_delay_is_kept_apart_by_outcome_and_post_dial_delay_has_rung() {
        use super::super::{Figure, LatencyFrom, Tally};
        let mut tally = Tally::new(LatencyFrom::Actual);
        let records = [answered(30.0, 230.0), answered(50.0, 250.0), refused(486, Class::CallCalleeBusy), timed_out()];
        records.iter().for_each(|record| tally.add(&record.outcome()));
        let of = |figure: Figure| {
            let summary = tally.figure(figure).summary();
            (summary.count, summary.unknown, summary.min, summary.max)
        };
        assert_eq!(of(Figure::SrdMs), (3, 1, Some(20.0), Some(50.0)));
        assert_eq!(of(Figure::SrdOkMs), (2, 0, Some(30.0), Some(50.0)));
        assert_eq!(of(Figure::SrdFailedMs), (1, 1, Some(20.0), Some(20.0)), "the time-out has no response");
        assert_eq!(of(Figure::PddMs), (2, 0, Some(30.0), Some(50.0)), "calls that did not ring have none");
    }

    #[test]
    fn a_challenge_is_no_ineffective_registration() {
        let kpi = kpi([
            registration(200, Class::Ok),
            registration(401, Class::RegCredentials),
            registration(403, Class::RegForbidden),
            registration(503, Class::RegServerError),
        ]);
        assert_eq!(kpi.ira, Some(50.0));
        assert_eq!(kpi.asr, None);
    }
}
