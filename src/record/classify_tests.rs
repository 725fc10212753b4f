use std::time::Instant;

use super::super::facts::{Ended, FinalResponse, Heard, MediaFacts};
use super::*;

#[expect(clippy::disallowed_methods, reason = "any moment serves: only differences count")]
fn moment() -> Instant {
    Instant::now()
}

fn received(code: u16, reason: &str) -> FinalResponse {
    FinalResponse { code, origin: Origin::Received, reason: reason.to_owned(), retry_after: None }
}

fn local_code(code: u16) -> FinalResponse {
    FinalResponse { origin: Origin::Local, ..received(code, "") }
}

/// An INVITE that was refused.
fn refused_with(code: u16) -> Facts {
    let mut facts = Facts { response: Some(received(code, "")), ..Facts::default() };
    facts.moments.invite = Some(moment());
    facts
}

fn after_ringing(mut facts: Facts) -> Facts {
    facts.moments.ringing = Some(moment());
    facts
}

fn with_cause(q850: u16, mut facts: Facts) -> Facts {
    facts.q850 = Some(q850);
    facts
}

/// A call that was answered.
fn answered() -> Facts {
    let mut facts = refused_with(200);
    facts.moments.answered = Some(moment());
    facts
}

fn answered_with(media: MediaFacts) -> Facts {
    Facts { media: Some(Box::new(media)), ..answered() }
}

/// Ten seconds in which the reference audio was heard both ways.
fn good_media() -> MediaFacts {
    MediaFacts {
        listened: Duration::from_secs(10),
        audio_rx: Heard::Heard,
        audio_tx: Heard::Heard,
        tx_packets: 500,
        rx_packets: 500,
        loss_pct: Some(0.0),
        level_dbov: Some(-20.0),
        gap_ms_max: Some(5.0),
        ..MediaFacts::default()
    }
}

fn registration(response: FinalResponse) -> RegistrationFacts {
    RegistrationFacts {
        response,
        delay: Duration::from_millis(20),
        expires: None,
        challenged_again: false,
        refresh: false,
    }
}

fn registered(response: FinalResponse) -> Facts {
    Facts { registration: Some(Box::new(registration(response))), ..Facts::default() }
}

#[test]
fn each_code_has_its_class() {
    use Class as C;
    let table = [
        (C::CallNumberInvalid, &[404, 484, 604][..]),
        (C::CallNumberOutOfService, &[410]),
        (C::CallCalleeBusy, &[486, 600]),
        (C::CallCalleeDeclined, &[603]),
        (C::CallCalleeUnreachable, &[480, 408]),
        (C::CallNetworkFailed, &[482, 483, 502, 503, 504]),
        (C::CallAuthFailed, &[401, 407]),
        (C::CallForbidden, &[403]),
        (C::CallNotAcceptable, &[488, 606, 406, 415, 420, 421, 422]),
        (C::CallScreened, &[607, 608]),
        (C::CallRedirected, &[300, 301, 302, 305, 380]),
        (C::CallServerError, &[500, 501, 505, 513, 580]),
        (C::Unknown, &[400, 402, 405, 481, 485, 487, 491, 699]),
    ];
    for (class, codes) in table {
        for code in codes {
            assert_eq!(classify(&refused_with(*code)), class, "{code}");
        }
    }
}

#[test]
fn ringing_tells_no_answer_from_unreachable() {
    for code in [480, 408] {
        assert_eq!(classify(&after_ringing(refused_with(code))), Class::CallNoAnswer, "{code}");
        assert_eq!(classify(&refused_with(code)), Class::CallCalleeUnreachable, "{code}");
    }
}

#[test]
fn the_q850_cause_wins_over_the_code() {
    use Class as C;
    let table = [
        (C::CallNumberInvalid, &[1, 28][..]),
        (C::CallNumberOutOfService, &[22, 23]),
        (C::CallCalleeBusy, &[17]),
        (C::CallNoAnswer, &[19]),
        (C::CallCalleeUnreachable, &[18, 20]),
        (C::CallCongestion, &[34, 42, 47]),
        (C::CallNetworkFailed, &[27, 38, 41]),
    ];
    for (class, causes) in table {
        for cause in causes {
            for code in [404, 480, 486, 500, 503, 603, 403, 302] {
                assert_eq!(classify(&with_cause(*cause, refused_with(code))), class, "Q.850 {cause} with {code}");
            }
        }
    }
}

#[test]
fn a_cause_that_says_too_little_leaves_it_to_the_code() {
    let table = [
        (21, 603, Class::CallCalleeDeclined),
        (21, 403, Class::CallForbidden),
        (16, 480, Class::CallCalleeUnreachable),
        (31, 503, Class::CallNetworkFailed),
        (58, 488, Class::CallNotAcceptable),
        (3, 404, Class::CallNumberInvalid),
        (127, 500, Class::CallServerError),
    ];
    for (cause, code, class) in table {
        assert_eq!(classify(&with_cause(cause, refused_with(code))), class, "Q.850 {cause} with {code}");
    }
}

#[test]
fn a_text_that_names_a_limit_wins_over_code_and_cause() {
    let table = [
        (503, "call attempt had over the max concurrent calls"),
        (503, "Maximum Calls In Progress"),
        (403, "User channel limit exceeded D1"),
        (486, "maxcalls"),
        (480, "Concurrent-Call limit exceeded"),
        (500, "All circuits are busy now"),
    ];
    for (code, text) in table {
        let mut facts = refused_with(code);
        facts.response = Some(received(code, text));
        assert_eq!(classify(&facts), Class::CallCongestion, "{text}");
        assert_eq!(classify(&with_cause(41, facts)), Class::CallCongestion, "{text} with Q.850 41");
        let in_header = Facts { reason_text: Some(text.into()), ..refused_with(code) };
        assert_eq!(classify(&in_header), Class::CallCongestion, "{text} in the Reason header");
    }
    let in_warning = Facts { warning: Some("399 gw \"channel limit reached\"".into()), ..refused_with(403) };
    assert_eq!(classify(&in_warning), Class::CallCongestion);
    let by_app_code = Facts { app_code: Some("32001".into()), ..refused_with(403) };
    assert_eq!(classify(&by_app_code), Class::CallCongestion);
}

#[test]
fn other_limits_and_ordinary_phrases_are_no_congestion() {
    for (code, text, class) in [
        (408, "Time limit exceeded", Class::CallCalleeUnreachable),
        (483, "Hop limit exceeded", Class::CallNetworkFailed),
        (503, "Service Unavailable", Class::CallNetworkFailed),
        (486, "Busy Here", Class::CallCalleeBusy),
    ] {
        let mut facts = refused_with(code);
        facts.response = Some(received(code, text));
        assert_eq!(classify(&facts), class, "{text}");
    }
}

#[test]
fn a_487_is_a_cancellation_only_after_our_own_cancel() {
    let ours = Facts { cancelled_by_us: true, ..refused_with(487) };
    assert_eq!(classify(&ours), Class::CallCancelled);
    assert_eq!(classify(&with_cause(19, ours)), Class::CallCancelled);
    assert_eq!(classify(&refused_with(487)), Class::Unknown);
    // The refusal crossed our CANCEL.
    assert_eq!(classify(&Facts { cancelled_by_us: true, ..refused_with(486) }), Class::CallCalleeBusy);
    // So did the answer.
    assert_eq!(classify(&Facts { cancelled_by_us: true, ..answered() }), Class::CallCancelled);
}

#[test]
fn a_local_time_out_is_no_received_408() {
    let mut facts = refused_with(408);
    facts.response = Some(local_code(408));
    assert_eq!(classify(&facts), Class::CallTimeout);
    assert_eq!(classify(&after_ringing(facts.clone())), Class::CallTimeout);
    facts.response = None;
    assert_eq!(classify(&facts), Class::CallTimeout, "no response at all");
}

#[test]
fn a_transport_error_names_its_transport() {
    let table = [
        (TransportFault::Dns, Class::TransportDns),
        (TransportFault::NoNameServer, Class::ProbeNoDns),
        (TransportFault::Refused, Class::TransportRefused),
        (TransportFault::Unreachable, Class::TransportUnreachable),
        (TransportFault::Tcp, Class::TransportTcp),
        (TransportFault::Tls, Class::TransportTls),
    ];
    for (fault, class) in table {
        let failure = Some(Box::new(LocalFailure::Transport(fault.into())));
        let at_invite = Facts { response: Some(local_code(503)), local_failure: failure.clone(), ..refused_with(503) };
        assert_eq!(classify(&at_invite), class);
        let at_register = Facts { local_failure: failure.clone(), ..registered(local_code(503)) };
        assert_eq!(classify(&at_register), class);
        let after_a_refusal = Facts { local_failure: failure, ..refused_with(486) };
        assert_eq!(classify(&after_a_refusal), Class::CallCalleeBusy);
    }
}

#[test]
fn our_own_lack_is_never_the_targets_fault() {
    let failing = |failure| Facts { local_failure: Some(Box::new(failure)), ..Facts::default() };
    assert_eq!(classify(&failing(LocalFailure::NoAccount)), Class::ProbeNoAccount);
    assert_eq!(classify(&failing(LocalFailure::NoMediaPort("all taken".into()))), Class::ProbeNoMediaPort);
    assert_eq!(classify(&failing(LocalFailure::Interrupted)), Class::ProbeInterrupted);
    let interrupted = Some(Box::new(LocalFailure::Interrupted));
    let cancelled = Facts { local_failure: interrupted.clone(), cancelled_by_us: true, ..refused_with(487) };
    assert_eq!(classify(&cancelled), Class::ProbeInterrupted);
    assert_eq!(classify(&Facts { local_failure: interrupted, ..answered() }), Class::Ok);
}

#[test]
fn each_answer_of_a_registrar_has_its_class() {
    use Class as C;
    let table = [
        (C::Ok, &[200][..]),
        (C::RegCredentials, &[401, 407]),
        (C::RegForbidden, &[403]),
        (C::RegUnknownAccount, &[404, 410, 604]),
        (C::RegServerError, &[408, 500, 503, 504]),
        (C::RegRefused, &[302, 400, 420, 423, 480, 486, 600, 603]),
    ];
    for (class, codes) in table {
        for code in codes {
            assert_eq!(classify(&registered(received(*code, ""))), class, "{code}");
        }
    }
    assert_eq!(classify(&registered(local_code(408))), Class::RegTimeout);
    assert_eq!(classify(&registered(received(403, "license limit exceeded"))), Class::RegRefused);
}

#[test]
fn a_challenge_that_comes_again_means_wrong_credentials() {
    let again = RegistrationFacts { challenged_again: true, ..registration(received(401, "Unauthorized")) };
    assert_eq!(classify(&Facts { registration: Some(again.into()), ..Facts::default() }), Class::RegCredentials);
    assert_eq!(classify(&Facts { challenged_again: true, ..refused_with(407) }), Class::CallAuthFailed);
}

#[test]
fn a_lost_binding_comes_after_the_calls_own_faults() {
    let lost = Some(Box::new(RegistrationFacts { refresh: true, ..registration(local_code(408)) }));
    assert_eq!(classify(&Facts { registration: lost.clone(), ..Facts::default() }), Class::RegBindingLost);
    assert_eq!(classify(&Facts { registration: lost.clone(), ..answered() }), Class::RegBindingLost);
    assert_eq!(classify(&Facts { registration: lost, ended_early: true, ..answered() }), Class::CallDroppedMidway);
}

#[test]
fn a_call_after_a_refused_registration_is_judged_by_itself() {
    let refused = Some(Box::new(registration(received(403, "Forbidden"))));
    assert_eq!(classify(&Facts { registration: refused.clone(), ..refused_with(486) }), Class::CallCalleeBusy);
    assert_eq!(classify(&Facts { registration: refused, ..answered() }), Class::Ok);
}

#[test]
fn options_is_green_only_with_success() {
    let ping = |response| Facts { response: Some(response), ..Facts::default() };
    assert_eq!(classify(&ping(received(200, "OK"))), Class::Ok);
    assert_eq!(classify(&ping(received(503, ""))), Class::TransportOptions);
    assert_eq!(classify(&ping(local_code(408))), Class::TransportOptions);
}

#[test]
fn a_call_that_ends_too_soon_is_dropped() {
    let ended = |by, millis| Some(Ended { by, after: Duration::from_millis(millis) });
    let early = |by, millis| Facts { ended: ended(by, millis), ended_early: true, ..answered() };
    assert_eq!(classify(&early(Party::FarEnd, 1999)), Class::CallDroppedImmediately);
    assert_eq!(classify(&early(Party::FarEnd, 2000)), Class::CallDroppedMidway);
    let planned = Facts { ended: ended(Party::FarEnd, 3000), ..answered() };
    assert_eq!(classify(&planned), Class::Ok);
    assert_eq!(classify(&Facts { ended: ended(Party::Us, 500), ..answered() }), Class::Ok);
}

#[test]
fn an_answer_without_usable_sdp_is_a_bad_answer() {
    assert_eq!(classify(&Facts { bad_answer: Some("no m=audio".into()), ..answered() }), Class::CallBadAnswer);
}

#[test]
fn an_awaited_call_that_never_came_was_not_delivered() {
    let waiting = Facts { awaited_inbound: true, ..Facts::default() };
    assert_eq!(classify(&waiting), Class::CallInboundNotDelivered);
    let unregistered = Facts { awaited_inbound: true, ..registered(received(404, "")) };
    assert_eq!(classify(&unregistered), Class::RegUnknownAccount, "the registration explains it");
}

#[test]
fn an_answering_leg_that_refused_as_told_is_ok_and_one_that_was_left_is_cancelled() {
    let mut facts = Facts { awaited_inbound: true, response: Some(local_code(486)), ..Facts::default() };
    facts.moments.invite = Some(moment());
    assert_eq!(classify(&facts), Class::Ok);
    facts.ended = Some(Ended { by: Party::FarEnd, after: Duration::ZERO });
    assert_eq!(classify(&facts), Class::CallCancelled);
}

#[test]
fn ringing_that_reached_nobody_is_false() {
    let nobody = |facts| Facts { far_leg_invited: Some(false), ..facts };
    let cancelled = Facts { cancelled_by_us: true, ..refused_with(487) };
    assert_eq!(classify(&nobody(after_ringing(cancelled.clone()))), Class::CallFalseRinging);
    assert_eq!(classify(&nobody(after_ringing(refused_with(480)))), Class::CallFalseRinging);
    assert_eq!(classify(&nobody(after_ringing(answered()))), Class::CallFalseRinging);
    assert_eq!(classify(&nobody(answered())), Class::CallInboundNotDelivered);
    assert_eq!(classify(&nobody(cancelled)), Class::CallCancelled);
    // A refusal that names its cause explains why nothing arrived.
    assert_eq!(classify(&nobody(after_ringing(refused_with(486)))), Class::CallCalleeBusy);
    let somebody = Facts { far_leg_invited: Some(true), ..after_ringing(refused_with(480)) };
    assert_eq!(classify(&somebody), Class::CallNoAnswer);
}

#[test]
fn each_fault_of_the_sound_has_its_class() {
    use Class as C;
    use Heard as H;
    let secs = Duration::from_secs;
    let table = [
        (C::Ok, good_media()),
        (C::MediaOneWay, MediaFacts { audio_tx: H::None, ..good_media() }),
        (C::MediaOneWay, MediaFacts { audio_rx: H::Silent, ..good_media() }),
        (C::MediaNoRtp, MediaFacts { audio_rx: H::None, audio_tx: H::Unknown, rx_packets: 0, ..good_media() }),
        (C::MediaNoRtp, MediaFacts { audio_rx: H::Unknown, audio_tx: H::Unknown, rx_packets: 0, ..good_media() }),
        (
            C::MediaSrtpFailed,
            MediaFacts { audio_rx: H::None, rx_packets: 0, unauthenticated: Some(200), ..good_media() },
        ),
        (C::MediaSrtpFailed, MediaFacts { stopped_for: Some(secs(3)), unauthenticated: Some(200), ..good_media() }),
        (
            C::MediaNoRtp,
            MediaFacts {
                audio_rx: H::None,
                audio_tx: H::Unknown,
                rx_packets: 0,
                unauthenticated: Some(0),
                ..good_media()
            },
        ),
        (C::MediaRtpTimeout, MediaFacts { stopped_for: Some(secs(3)), ..good_media() }),
        (C::MediaSilenceWithRtp, MediaFacts { audio_rx: H::Silent, audio_tx: H::Unknown, ..good_media() }),
        (
            C::MediaNoise,
            MediaFacts { audio_rx: H::Noise, audio_tx: H::Unknown, reference_expected: true, ..good_media() },
        ),
        // A person or an announcement sends sound of its own: no fault where no reference is expected.
        (C::Ok, MediaFacts { audio_rx: H::Noise, audio_tx: H::Unknown, ..good_media() }),
        (C::MediaNoise, MediaFacts { audio_rx: H::WrongParty, audio_tx: H::Unknown, ..good_media() }),
        (C::MediaChoppy, MediaFacts { loss_pct: Some(5.0), ..good_media() }),
        (C::MediaChoppy, MediaFacts { gap_ms_max: Some(200.0), ..good_media() }),
        (C::MediaLowLevel, MediaFacts { level_dbov: Some(-40.1), ..good_media() }),
        (C::MediaPoorNetwork, MediaFacts { grade_poor_or_worse: true, ..good_media() }),
    ];
    for (class, media) in table {
        assert_eq!(classify(&answered_with(media.clone())), class, "{media:?}");
    }
}

#[test]
fn of_many_faults_the_one_that_explains_the_others_is_named() {
    let mut media = MediaFacts {
        audio_rx: Heard::Silent,
        audio_tx: Heard::Unknown,
        stopped_for: Some(Duration::from_secs(5)),
        loss_pct: Some(40.0),
        level_dbov: Some(-70.0),
        gap_ms_max: Some(900.0),
        grade_poor_or_worse: true,
        ..good_media()
    };
    assert_eq!(classify(&answered_with(media.clone())), Class::MediaRtpTimeout);
    media.stopped_for = None;
    assert_eq!(classify(&answered_with(media.clone())), Class::MediaSilenceWithRtp);
    media.audio_rx = Heard::Heard;
    assert_eq!(classify(&answered_with(media.clone())), Class::MediaChoppy);
    (media.loss_pct, media.gap_ms_max) = (Some(2.0), Some(40.0));
    assert_eq!(classify(&answered_with(media.clone())), Class::MediaLowLevel);
    media.level_dbov = None;
    assert_eq!(classify(&answered_with(media)), Class::MediaPoorNetwork);
}

#[test]
fn media_is_judged_only_where_it_was_opened_listened_to_and_answered() {
    let nothing = MediaFacts { audio_rx: Heard::None, rx_packets: 0, ..MediaFacts::default() };
    assert_eq!(classify(&answered()), Class::Ok, "signalling only");
    assert_eq!(classify(&answered_with(nothing.clone())), Class::Ok, "nothing was expected");
    let brief = MediaFacts { listened: Duration::from_millis(900), ..nothing };
    assert_eq!(classify(&answered_with(brief)), Class::Ok, "too short to tell");
    let early_media = Facts { media: Some(nothing.into()), ..refused_with(486) };
    assert_eq!(classify(&early_media), Class::CallCalleeBusy);
}

#[test]
fn a_dropped_call_is_dropped_whatever_was_heard() {
    let facts = Facts { ended_early: true, ..answered_with(MediaFacts { rx_packets: 0, ..good_media() }) };
    assert_eq!(classify(&facts), Class::CallDroppedMidway);
}
