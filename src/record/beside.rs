//! What an attempt shows beside its record: seconds of its media, and how its registration went. Each becomes a point of
//! its own; `calls.jsonl` holds neither.

use jiff::Timestamp;

use crate::media::session::Second;

use super::build::Identity;
use super::call_record::{CallRecord, Role};
use super::class::Class;
use super::classify::classify;
use super::facts::Facts;

/// One second of a leg's media, told while the leg still goes on.
#[derive(Clone, Debug)]
pub struct MediaSecond {
    /// Whose it is, as far as that is known by then.
    pub identity: Identity,
    /// Its end.
    pub at: Timestamp,
    /// Its figures.
    pub second: Second,
}

/// How the registration of an attempt went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegistrationRecord {
    /// What it showed; a call that went wrong later does not count here.
    pub class: Class,
    /// Code of the final response.
    pub code: Option<u16>,
    /// Registration request delay (RFC 6076 §4.1), ms; only where it was accepted.
    pub rrd_ms: Option<f64>,
    /// Expiry that the registrar granted (RFC 3261 §10.2.4), seconds.
    pub expires_s: Option<u32>,
}

impl RegistrationRecord {
    /// `None` where the attempt neither registered nor was meant to.
    pub fn of(record: &CallRecord, facts: &Facts) -> Option<Self> {
        let Some(registration) = &facts.registration else {
            let meant = record.role == Role::Registration || record.class.is_of_registration();
            let (class, code) = (record.class, record.code);
            return meant.then_some(Self { class, code, rrd_ms: None, expires_s: None });
        };
        let code = Some(registration.response.code);
        if (200..300).contains(&registration.response.code) {
            return Some(Self { class: Class::Ok, code, rrd_ms: record.rrd_ms, expires_s: registration.expires });
        }
        // Where a call was placed all the same, its own class says nothing about the registration.
        let alone = || classify(&Facts { registration: facts.registration.clone(), ..Facts::default() });
        let class = if facts.moments.invite.is_none() { record.class } else { alone() };
        Some(Self { class, code, rrd_ms: None, expires_s: None })
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::record::{Anchor, FinalResponse, MediaFigures, Origin, Outcome, RegistrationFacts};

    fn facts(code: u16, expires: Option<u32>) -> Facts {
        let response = FinalResponse { code, origin: Origin::Received, reason: String::new(), retry_after: None };
        let delay = Duration::from_millis(3);
        let registration = RegistrationFacts { response, delay, expires, challenged_again: false, refresh: false };
        Facts { registration: Some(Box::new(registration)), ..Facts::default() }
    }

    fn of(facts: &Facts) -> Option<RegistrationRecord> {
        #[expect(clippy::disallowed_methods, reason = "any instant will do")]
        let anchor = Anchor { instant: Instant::now(), timestamp: Timestamp::UNIX_EPOCH };
        let outcome = Outcome::of(Role::default(), facts, None);
        let record = CallRecord::new(Identity::default(), facts, MediaFigures::default(), &outcome, &anchor);
        RegistrationRecord::of(&record, facts)
    }

    #[test]
    fn an_accepted_registration_has_the_expiry_that_was_granted() {
        let accepted =
            RegistrationRecord { class: Class::Ok, code: Some(200), rrd_ms: Some(3.0), expires_s: Some(120) };
        assert_eq!(of(&facts(200, Some(120))), Some(accepted));
        assert_eq!(of(&facts(200, None)).and_then(|it| it.expires_s), None, "not said is not known");
    }

    #[test]
    fn a_call_that_failed_after_its_registration_counts_as_registered() {
        let response = FinalResponse { code: 486, origin: Origin::Received, reason: String::new(), retry_after: None };
        let busy = Facts { response: Some(response), ..facts(200, Some(60)) };
        let found = of(&busy).expect("it registered");
        assert_eq!((found.class, found.code), (Class::Ok, Some(200)));
    }

    #[test]
    fn a_refused_registration_has_its_own_class_and_code() {
        let refused = of(&facts(403, None)).expect("it tried");
        assert_eq!((refused.class, refused.code, refused.rrd_ms), (Class::RegForbidden, Some(403), None));
    }

    #[test]
    fn a_call_without_registration_has_none() {
        assert_eq!(of(&Facts::default()), None);
    }
}
