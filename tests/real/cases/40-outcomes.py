#!/usr/bin/env python3
"""Every plain outcome, dialled over UDP, TCP and TLS against the real PBX, and against `ringfleet lab`.

Looked at: code, origin, class and timing.

Each number has a scenario of its own with what it must come to in `expect:`; the record is compared here again. Times
are allowed 50 ms around what the robot was told to wait, the time-out of an INVITE (64 T1, RFC 3261 §17.1.1.2) 500 ms.
A machine may stand still for longer than that: what is wrong is dialled once more by itself, and is wrong if it is again.
"""
import os
from collections import namedtuple

from check import CASE, HERE, RINGFLEET, Checks, at_once, figure, listens, run, seconds_between, start, target, wait_until

SLACK_MS = 50
TIMER_B = (32_000, 500)
ON = ("kamailio", "kamailio-tcp", "kamailio-tls", "lab-stage")
TRANSPORT = {"kamailio-tcp": "tcp", "kamailio-tls": "tls"}

Refusal = namedtuple("Refusal", "number code class_ after q850 rang origin slack", defaults=("received", SLACK_MS))
REFUSALS = [
    Refusal("3404", 404, "call.number_invalid", 0, 1, False),
    Refusal("3484", 484, "call.number_invalid", 0, 28, False),
    Refusal("9999", 404, "call.number_invalid", 0, ..., False),
    Refusal("3410", 410, "call.number_out_of_service", 0, 22, False),
    Refusal("3486", 486, "call.callee_busy", 0, 17, False),
    Refusal("3603", 603, "call.callee_declined", 0, 21, False),
    Refusal("3480", 480, "call.callee_unreachable", 0, 20, False),
    Refusal("3408", 408, "call.callee_unreachable", 0, None, False),
    Refusal("3481", 480, "call.no_answer", 2000, 19, True),
    Refusal("3534", 503, "call.congestion", 0, 34, False),
    Refusal("3503", 503, "call.network_failed", 0, 41, False),
    Refusal("3502", 502, "call.network_failed", 0, 27, False),
    Refusal("3500", 500, "call.server_error", 0, None, False),
    Refusal("3403", 403, "call.forbidden", 0, None, False),
    Refusal("3488", 488, "call.not_acceptable", 0, None, False),
    Refusal("3302", 302, "call.redirected", 0, None, False),
    # Nobody cancelled: a 487 out of nowhere fits no class.
    Refusal("3487", 487, "unknown", 0, None, False),
    # Early media first.
    Refusal("2183", 486, "call.callee_busy", 2000, 17, True),
    # Rings until the caller gives up.
    Refusal("2100", 487, "call.cancelled", 3000, None, True),
    # No response at all, ended by timer B. A local time-out is no received 408.
    Refusal("2999", 408, "call.timeout", TIMER_B[0], None, False, "local", TIMER_B[1]),
]
Answer = namedtuple("Answer", "number class_ after ends_after q850 audio")
ANSWERS = [
    Answer("2001", "ok", 0, None, None, "two_way"),
    Answer("2000", "ok", 200, None, None, "two_way"),
    Answer("2003", "ok", 3000, None, None, "two_way"),
    Answer("2010", "media.silence_with_rtp", ..., None, None, "silent"),
    Answer("2011", "media.no_rtp", ..., None, None, "none"),
    # The far end hangs up: at once is another fault than in the middle of a talk.
    Answer("2020", "call.dropped_midway", ..., 3000, 16, "two_way"),
    Answer("2021", "call.dropped_immediately", ..., 500, 41, ...),
]
TALK_MS = 4000


def scenario_of(case, on, steps, each):
    """Writes the scenario of one number; one for each target, as they run at the same time."""
    path = CASE / f"outcome-{on}-{case.number}.yaml"
    path.write_text(f"scenario: outcome-{case.number}\ntarget: kamailio\ncaller:\n  account: agents\n  steps:\n"
                    + "".join(f"    - {step}\n" for step in steps) + f"expect:\n  - each: {{ {each} }}\n")
    return path


def dial(case, on, again=""):
    """Runs the scenario of one number; the record of its only attempt, and what was checked."""
    checks = Checks(silent=True)
    if isinstance(case, Refusal):
        within = "3s" if case.number == "2100" else "60s"
        # A local time-out is no received code, so none can be expected.
        code = f", code: {case.code}" if case.origin == "received" else ""
        expected = f"class: {case.class_}{code}, within: {case.after + case.slack}ms"
        steps = [f'dial: {{ number: "{case.number}", answer_within: {within}, expect: {{ {expected} }} }}']
        each = f"class: {case.class_}{code}"
    else:
        steps = [f'dial: {{ number: "{case.number}", answer_within: 10s }}', f"talk: {{ for: {TALK_MS}ms }}", "hangup"]
        each = f"outcome: answered, class: {case.class_}"
    finished = run(scenario_of(case, on, steps, each), on=on, out=f"{on}-{case.number}{again}")
    name = f"{on} {case.number}"
    if not checks.equal(finished.code, 0, f"{name}: exit code"):
        finished.show()
    records = finished.calls
    if not checks.equal(len(records), 1, f"{name}: records"):
        return None, checks
    record = records[0]
    checks.equal(record["transport"], TRANSPORT.get(on, "udp"), f"{name}: transport")
    checks.equal(record["connect_ms"] is None, on not in TRANSPORT, f"{name}: connect_ms is null")
    (check_refusal if isinstance(case, Refusal) else check_answer)(checks, name, case, record)
    return record, checks


def check_refusal(checks, name, case, record):
    for field, wanted in (("code", case.code), ("code_origin", case.origin), ("class", case.class_),
                          ("q850", case.q850), ("rang", case.rang), ("setup_ms", None), ("to", case.number)):
        if wanted is not ...:
            checks.equal(record[field], wanted, f"{name}: {field}")
    took = seconds_between(record, "started_at", "ended_at")
    # The handshakes stand before the INVITE and are none of the robot's delay.
    checks.near(took and 1000 * took - (record["connect_ms"] or 0), case.after, case.slack, f"{name}: ms to the end")
    if case.number == "2999":
        checks.equal(record["srd_ms"], None, f"{name}: srd_ms")
    else:
        checks.near(record["srd_ms"], 0 if case.rang else case.after, SLACK_MS, f"{name}: srd_ms")


def check_answer(checks, name, case, record):
    lasted = case.ends_after or TALK_MS
    for field, wanted in (("code", 200), ("code_origin", "received"), ("class", case.class_), ("q850", case.q850),
                          ("audio", case.audio), ("hangup_by", "far_end" if case.ends_after else "us")):
        if wanted is not ...:
            checks.equal(record[field], wanted, f"{name}: {field}")
    checks.near(record["duration_ms"], lasted, SLACK_MS, f"{name}: duration_ms")
    checks.near(record["srd_ms"], 0, SLACK_MS, f"{name}: srd_ms")
    if case.after is not ...:
        checks.near(record["setup_ms"], case.after, SLACK_MS, f"{name}: setup_ms")


(CASE / "lab.yaml").write_text((HERE / "targets" / "lab-file.yaml").read_text())
lab = start("lab", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{os.environ['LAB_PORT']}")
wait_until(lambda: listens(os.environ["LAB_PORT"]), "ringfleet lab listens")
cases = [(case, on) for case in REFUSALS[::-1] + ANSWERS for on in ON]
for on in ON:
    target(on)
results = at_once([lambda case=case, on=on: dial(case, on) for case, on in cases], limit=6)
checks, records, again = Checks(), [], 0
for (case, on), (record, own) in zip(cases, results):
    if own.failed:
        again += 1
        record, own = dial(case, on, "-again")
    checks.add(own)
    records.append(record)
for on in ON:
    timed = [abs(1000 * seconds_between(record, "started_at", "ended_at") - (record["connect_ms"] or 0) - case.after)
             for (case, where), record in zip(cases, records)
             if record and where == on and isinstance(case, Refusal) and case.number != "2999"]
    silent = [1000 * seconds_between(record, "started_at", "ended_at")
              for (case, where), record in zip(cases, records) if record and where == on and case.number == "2999"]
    figure(f"{on}: {len(REFUSALS)} refusals and {len(ANSWERS)} answers; off by at most {max(timed):.1f} ms; "
           f"timer B after {silent[0] / 1000:.3f} s")
figure(f"dialled once more: {again} of {len(cases)}")
checks.end()
