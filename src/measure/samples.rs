//! Records for tests.

use std::time::{Duration, Instant};

use crate::record::{Anchor, CallRecord, Class, Facts, Identity, MediaFigures, Origin, Outcome, Role};

/// A record in which nothing happened.
pub(crate) fn nothing() -> CallRecord {
    #[expect(clippy::disallowed_methods, reason = "any moment serves")]
    let anchor = Anchor { instant: Instant::now(), timestamp: "2026-01-02T03:04:05Z".parse().expect("valid") };
    let identity = Identity { scenario: "sample".into(), target: "lab".into(), ..Identity::default() };
    let facts = Facts::default();
    CallRecord::new(identity, &facts, MediaFigures::default(), &Outcome::of(Role::default(), &facts, None), &anchor)
}

/// A call that was answered, talked for ten seconds and ended by us.
pub(crate) fn answered(srd_ms: f64, setup_ms: f64) -> CallRecord {
    CallRecord {
        code: Some(200),
        code_origin: Some(Origin::Received),
        invited: true,
        rang: true,
        pdd_ms: Some(srd_ms),
        srd_ms: Some(srd_ms),
        ring_ms: Some(setup_ms - srd_ms),
        setup_ms: Some(setup_ms),
        duration_ms: Some(10_000.0),
        sdd_ms: Some(4.0),
        hangup_by: Some("us".into()),
        late_ms: Some(0.0),
        ..nothing()
    }
}

/// A call that was refused after 20 ms.
pub(crate) fn refused(code: u16, class: Class) -> CallRecord {
    CallRecord {
        code: Some(code),
        code_origin: Some(Origin::Received),
        class,
        invited: true,
        srd_ms: Some(20.0),
        late_ms: Some(0.0),
        ..nothing()
    }
}

/// A call without any response.
pub(crate) fn timed_out() -> CallRecord {
    CallRecord { code_origin: Some(Origin::Local), srd_ms: None, ..refused(408, Class::CallTimeout) }
}

/// A registration without a call.
pub(crate) fn registration(code: u16, class: Class) -> CallRecord {
    CallRecord {
        role: Role::Registration,
        rrd_ms: (code == 200).then(|| Duration::from_millis(15).as_secs_f64() * 1e3),
        code: Some(code),
        code_origin: Some(Origin::Received),
        class,
        ..nothing()
    }
}
