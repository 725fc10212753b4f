#!/usr/bin/env python3
"""PRACK and session timers against SIPp: a 183 that must be acknowledged, a 422, a refresh by UPDATE, and a far end that
never refreshes."""
import os

from check import CASE, HERE, Checks, figure, listens, run, start, stop, wait_until

checks = Checks()
port = os.environ["FAR_PORT"]


def call(robot, scenario, timeout=120):
    """One call to a SIPp robot of its own; the record, and that the robot saw what it wanted."""
    far = start(robot, "sipp", "-sf", HERE / f"sipp/{robot}.xml", "-i", "127.0.0.1", "-p", port, "-mi", "127.0.0.1", "-mp",
                os.environ["MEDIA_CALLER"], "-m", "1", "-nostdin", "-rtp_echo", "-skip_rlimit", "-timeout", f"{timeout}",
                "-timeout_error", "-trace_err", "-error_file", CASE / f"{robot}.err")
    wait_until(lambda: listens(port), f"{robot} listens")
    finished = run(scenario, on="far-end", timeout=timeout)
    wait_until(lambda: far.poll() is not None, f"{robot} has ended after its call")
    if not checks.equal(stop(far), 0, f"{robot}: SIPp's exit code"):
        print((CASE / f"{robot}.err").read_text() if (CASE / f"{robot}.err").exists() else "no errors noted")
        finished.show()
    got = finished.calls
    checks.equal(len(got), 1, f"{robot}: records")
    return got[0] if got else {}


got = call("prack", "acknowledged")
checks.equal((got.get("class"), got.get("code"), got.get("audio_rx")), ("ok", 200, "heard"), "prack: class, code, audio")
checks.near(got.get("setup_ms"), 300, 100, "prack: setup_ms")

got = call("session-timer", "extensions")
checks.equal((got.get("class"), got.get("hangup_by")), ("ok", "us"), "session-timer: class, hangup_by")
checks.near(got.get("duration_ms"), 50_000, 500, "session-timer: duration_ms")

got = call("session-expired", "expired")
checks.equal((got.get("class"), got.get("hangup_by")), ("call.session_expired", "us"), "session-expired: class, hangup_by")
checks.near(got.get("duration_ms"), 60_000, 500, "session-expired: duration_ms")
figure(f"the call that nobody refreshed was ended after {got.get('duration_ms')} ms")
checks.end()
