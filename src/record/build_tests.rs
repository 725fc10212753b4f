use super::super::call_record::Origin;
use super::super::class::Class;
use super::super::facts::{Ended, Party, RegistrationFacts};
use super::*;

#[expect(clippy::disallowed_methods, reason = "any moment serves: only differences count")]
fn anchor() -> Anchor {
    Anchor { instant: Instant::now(), timestamp: "2026-01-02T03:04:05Z".parse().expect("valid") }
}

fn answered(anchor: &Anchor) -> Facts {
    let at = |millis| Some(anchor.instant + Duration::from_millis(millis));
    let moments = Moments {
        intended: at(1000),
        started: at(1003),
        invite: at(1010),
        ringing: at(1040),
        status: at(1040),
        answered: at(1240),
        finished: at(1240),
        bye: at(11_240),
        bye_answered: at(11_245),
        ended: at(11_250),
    };
    let response = FinalResponse { code: 200, origin: Origin::Received, reason: "OK".into(), retry_after: None };
    let ended = Some(Ended { by: Party::Us, after: Duration::from_secs(10) });
    Facts { moments, response: Some(response), ended, ..Facts::default() }
}

fn record(facts: &Facts, anchor: &Anchor) -> CallRecord {
    let outcome = Outcome::of(Role::default(), facts, None);
    CallRecord::new(Identity::default(), facts, MediaFigures::default(), &outcome, anchor)
}

#[test]
fn times_are_counted_between_the_moments_their_names_say() {
    let anchor = anchor();
    let record = record(&answered(&anchor), &anchor);
    assert_eq!(record.late_ms, Some(3.0));
    assert_eq!(record.srd_ms, Some(30.0));
    assert_eq!(record.ring_ms, Some(200.0));
    assert_eq!(record.setup_ms, Some(230.0));
    assert_eq!(record.duration_ms, Some(10_000.0));
    assert_eq!(record.sdd_ms, Some(5.0));
    assert_eq!(record.intended_start, "2026-01-02T03:04:06Z".parse().expect("valid"));
    assert_eq!(record.started_at, Some("2026-01-02T03:04:06.003Z".parse().expect("valid")));
    assert_eq!(record.ended_at, "2026-01-02T03:04:16.250Z".parse().expect("valid"));
    assert_eq!(record.hangup_by.as_deref(), Some("us"));
    assert_eq!((record.class, record.code, record.code_origin), (Class::Ok, Some(200), Some(Origin::Received)));
    assert!(record.is_answered() && record.invited && record.rang && !record.is_failed());
}

#[test]
fn what_was_not_seen_is_null() {
    let anchor = anchor();
    let record = record(&Facts::default(), &anchor);
    for figure in [record.late_ms, record.srd_ms, record.ring_ms, record.setup_ms, record.duration_ms, record.sdd_ms] {
        assert_eq!(figure, None);
    }
    assert_eq!((record.tx_packets, record.rx_packets, record.loss_pct), (None, None, None));
    assert_eq!((record.audio.as_str(), record.code), ("unknown", None));
}

#[test]
fn a_180_after_the_200_gives_no_ringing_time() {
    let anchor = anchor();
    let mut facts = answered(&anchor);
    facts.moments.ringing = Some(anchor.instant + Duration::from_millis(1300));
    assert_eq!(record(&facts, &anchor).ring_ms, None);
}

#[test]
fn a_local_time_out_keeps_its_origin() {
    let anchor = anchor();
    let mut facts = answered(&anchor);
    (facts.moments.answered, facts.moments.status) = (None, None);
    facts.response = Some(FinalResponse { code: 408, origin: Origin::Local, reason: String::new(), retry_after: None });
    let record = record(&facts, &anchor);
    assert_eq!((record.code, record.code_origin), (Some(408), Some(Origin::Local)));
    assert_eq!((record.class, record.srd_ms), (Class::CallTimeout, None));
}

#[test]
fn a_refused_registration_gives_its_code_and_no_delay() {
    let anchor = anchor();
    let response = FinalResponse { code: 403, origin: Origin::Received, reason: "Forbidden".into(), retry_after: None };
    let registration = RegistrationFacts {
        response,
        delay: Duration::from_millis(12),
        expires: None,
        challenged_again: false,
        refresh: false,
    };
    let facts = Facts {
        registration: Some(Box::new(registration)),
        reason_text: Some("license limit exceeded".into()),
        ..Facts::default()
    };
    let record = record(&facts, &anchor);
    assert_eq!((record.code, record.rrd_ms), (Some(403), None));
    assert_eq!(record.reason.as_deref(), Some("Forbidden; license limit exceeded"));
}

#[test]
fn a_refusal_that_was_expected_is_no_failure_and_an_unmet_expectation_is_one() {
    let anchor = anchor();
    let mut record = record(&answered(&anchor), &anchor);
    record.class = Class::CallCalleeBusy;
    assert!(record.is_failed());
    record.as_expected = Some(true);
    assert!(!record.is_failed());
    (record.class, record.as_expected) = (Class::Ok, Some(false));
    record.unmet = Some("dial: code [486], got 200".into());
    assert!(record.is_failed());
}

#[test]
fn a_record_survives_json() {
    let anchor = anchor();
    let record = record(&answered(&anchor), &anchor);
    let text = serde_json::to_string(&record).expect("serialises");
    assert!(text.contains(r#""class":"ok""#) && text.contains(r#""mos_cq":null"#), "{text}");
    assert_eq!(serde_json::from_str::<CallRecord>(&text).expect("reads"), record);
}
