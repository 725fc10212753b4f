#!/usr/bin/env python3
"""Asterisk over UDP and TCP (ASTERISK=1): digest, registrations, refusals with their causes, hold and resume, a call from
one account to another, a far end that hangs up, and audio heard both ways.
"""
from collections import namedtuple

from check import CASE, Checks, figure, run

ON = {"asterisk": "udp", "asterisk-tcp": "tcp"}
# Hangup(cause) of Asterisk 16, and the code that it makes of it.
Refusal = namedtuple("Refusal", "cause code class_")
REFUSALS = [
    Refusal(1, 404, "call.number_invalid"),
    Refusal(17, 486, "call.callee_busy"),
    Refusal(19, 480, "call.no_answer"),
    Refusal(21, 403, "call.forbidden"),
    Refusal(22, 410, "call.number_out_of_service"),
    Refusal(27, 502, "call.network_failed"),
    Refusal(28, 484, "call.number_invalid"),
    Refusal(34, 503, "call.congestion"),
    Refusal(38, 500, "call.network_failed"),
    Refusal(58, 488, "call.not_acceptable"),
]
checks = Checks()


def scenario(name, text):
    path = CASE / f"{name}.yaml"
    path.write_text(f"scenario: {name}\ntarget: asterisk\n{text}")
    return path


def call(name, on, steps, account="agents", load=""):
    """The record of one attempt, and of what was printed where that is not as it should be."""
    path = scenario(name, f"caller:\n  account: {account}\n  steps:\n"
                    + "".join(f"    - {step}\n" for step in steps) + load)
    finished = run(path, on=on, out=f"{on}-{name}")
    got = finished.calls
    if not checks.equal(len(got), 1, f"{on} {name}: records"):
        finished.show()
        return {}
    return got[0]


def holds(name, on, record, **wanted):
    for field, value in {"transport": ON[on], **wanted}.items():
        checks.equal(record.get(field), value, f"{on} {name}: {field}")


got = call("webrtc", "asterisk-webrtc", ["dial: { number: echo, answer_within: 5s }", "talk: { for: 5s }", "hangup"])
checks.equal((got.get("class"), got.get("audio"), got.get("media_fault")), ("ok", "two_way", None), "webrtc: class, audio, fault")
checks.equal((got.get("srtp"), got.get("srtp_unauthenticated")), ("AES_CM_128_HMAC_SHA1_80", 0), "webrtc: suite, packets not let in")
figure(f"webrtc: pair after {got.get('ice_connected_ms')} ms, keys after {got.get('dtls_done_ms')} ms by {got.get('srtp')}")

for on in ON:
    got = call("echo", on, ["register", "dial: { number: echo, answer_within: 5s }", "talk: { for: 5s }", "hangup"])
    holds("echo", on, got, **{"class": "ok", "code": 200, "audio": "two_way", "hangup_by": "us"})
    figure(f"{on}: registered after {got.get('rrd_ms')} ms, answered after {got.get('setup_ms')} ms, "
           f"MOS-CQ {got.get('mos_cq')}, round trip {got.get('rtt_ms')} ms")

    got = call("slow", on, ["dial: { number: slow_answer, answer_within: 5s }", "talk: { for: 2s }", "hangup"])
    holds("slow", on, got, **{"class": "ok", "audio": "two_way", "rang": True})
    checks.near(got.get("setup_ms"), 1000, 150, f"{on} slow: setup_ms")

    for means in ("reinvite", "update"):
        got = call(f"hold-{means}", on, ["dial: { number: echo, answer_within: 5s }", "talk: { for: 2s }", f"hold: {{ by: {means} }}", "wait: 2s",
                                         f"resume: {{ by: {means} }}", "talk: { for: 3s }", "hangup"])
        holds(f"hold-{means}", on, got, **{"class": "ok", "audio": "two_way", "hangup_by": "us"})

    for refusal in REFUSALS:
        number = f"30{refusal.cause:02}"
        got = call(number, on, [f'dial: {{ number: "{number}", answer_within: 5s }}'])
        holds(number, on, got, **{"class": refusal.class_, "code": refusal.code, "code_origin": "received",
                                  "q850": refusal.cause, "setup_ms": None})

    got = call("leaves", on, ['dial: { number: "2020", answer_within: 5s }', "talk"])
    holds("leaves", on, got, **{"code": 200, "hangup_by": "far_end", "q850": 16})

    got = call("impostor", on, ["register"], account="impostors")
    holds("impostor", on, got, **{"class": "reg.credentials"})

    finished = run(scenario("inbound", """actors:
  agent:
    account: staff
    registered: standing
    steps: [ { answer: { after: 1s } }, talk ]
  customer:
    account: agents
    when: agent.registered
    steps: [ { dial: { number: agent } }, { talk: { for: 2s } }, hold, { wait: 1s }, resume, { talk: { for: 3s } }, hangup ]
"""), on=on, out=f"{on}-inbound")
    for got in finished.calls:
        holds(got["role"], on, got, **{"class": "ok", "code": 200, "audio": "two_way"})
    if not checks.equal(len(finished.calls), 2, f"{on}: records of a call from one account to another"):
        finished.show()
checks.end()
