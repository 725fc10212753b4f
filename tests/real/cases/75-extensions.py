#!/usr/bin/env python3
"""PRACK and session timers against SIPp: a 183 that must be acknowledged, a 422, a refresh by UPDATE, and a far end that
never refreshes."""
import os

from check import CASE, HERE, Checks, at_once, figure, listens, run, start, stop, wait_until

checks = Checks()
ports = [int(os.environ[name]) for name in ("FAR_PORT", "ROBOT_CALLER", "LAB_PORT")]


def call(index, robot, scenario, timeout=120):
    """One call to a SIPp robot of its own; the record, and that the robot saw what it wanted."""
    port, media = ports[index], int(os.environ["MEDIA_CALLER"]) + 20 * index
    (CASE / "targets" / f"{robot}.yaml").write_text(
        (HERE / "targets" / "far-end.yaml").read_text().replace("@FAR_PORT@", str(port)))
    far = start(robot, "sipp", "-sf", HERE / f"sipp/{robot}.xml", "-i", "127.0.0.1", "-p", port, "-mi", "127.0.0.1", "-mp",
                media, "-m", "1", "-nostdin", "-rtp_echo", "-skip_rlimit", "-timeout", f"{timeout}",
                "-timeout_error", "-trace_err", "-error_file", CASE / f"{robot}.err")
    wait_until(lambda: listens(port), f"{robot} listens")
    finished = run(scenario, on=robot, timeout=timeout)
    wait_until(lambda: far.poll() is not None, f"{robot} has ended after its call")
    if not checks.equal(stop(far), 0, f"{robot}: SIPp's exit code"):
        print((CASE / f"{robot}.err").read_text() if (CASE / f"{robot}.err").exists() else "no errors noted")
        finished.show()
    got = finished.calls
    checks.equal(len(got), 1, f"{robot}: records")
    return got[0] if got else {}


# Two of them last a minute each: all are called at once.
(CASE / "targets").mkdir()
prack, refreshed, expired = at_once([
    lambda: call(0, "prack", "acknowledged"),
    lambda: call(1, "session-timer", "extensions"),
    lambda: call(2, "session-expired", "expired"),
])
checks.equal((prack.get("class"), prack.get("code"), prack.get("audio_rx")), ("ok", 200, "heard"), "prack: class, code, audio")
checks.near(prack.get("setup_ms"), 300, 100, "prack: setup_ms")

checks.equal((refreshed.get("class"), refreshed.get("hangup_by")), ("ok", "us"), "session-timer: class, hangup_by")
checks.near(refreshed.get("duration_ms"), 50_000, 500, "session-timer: duration_ms")

checks.equal((expired.get("class"), expired.get("hangup_by")), ("call.session_expired", "us"),
             "session-expired: class, hangup_by")
checks.near(expired.get("duration_ms"), 60_000, 500, "session-expired: duration_ms")
figure(f"the call that nobody refreshed was ended after {expired.get('duration_ms')} ms")
checks.end()
