#!/usr/bin/env python3
"""WebRTC media (ICE, DTLS-SRTP) through the PBX and the relay, which has an ICE, a DTLS and an SRTP of its own: from agent to
agent, from an agent to plain RTP and the other way round, in both roles of DTLS."""
import signal
import statistics

from check import CASE, Checks, figure, passes, records, run, start_answer, stop, wait_until

CALLS = 5
checks = Checks()
far = start_answer()

heard, keys = 0, []
for name, on, number, near, there in (
    ("agent to agent", "kamailio-webrtc", "8123", True, True),
    ("agent to plain RTP", "kamailio-webrtc", "8223", True, False),
    ("agent to a robot", "kamailio-webrtc", "2000", True, None),
    ("plain RTP to agent", "kamailio", "8423", False, True),
):
    finished = run("encrypted", on=on, out=name.replace(" ", "-"), number=number)
    passes(checks, finished, name)
    calls = finished.calls
    checks.equal(len(calls), CALLS, f"{name}: records")
    checks.equal({call["audio"] for call in calls}, {"two_way"}, f"{name}: audio of the callers")
    checks.equal({call["media_fault"] for call in calls}, {None}, f"{name}: faults of ICE and DTLS")
    if near:
        checks.that(all(call["srtp"] and call["dtls_done_ms"] is not None for call in calls), f"{name}: no keys by DTLS")
        checks.equal({call["srtp_unauthenticated"] for call in calls}, {0}, f"{name}: packets that were not let in")
        # SIPp sends no RTCP, and the relay's own could not be read (`kamailio.cfg`).
        checks.that(there is None or all(call["rtt_ms"] is not None for call in calls), f"{name}: an RTT is unknown (SRTCP)")
        keys += [call["dtls_done_ms"] for call in calls if call["dtls_done_ms"] is not None]
    heard += sum(call["audio"] == "two_way" for call in calls)
    if there is None:
        continue
    ids = {call["call_id"] for call in calls}
    answered = lambda: [call for call in records(CASE / "answered") if call["paired_with"] in ids]
    wait_until(lambda: len(answered()) == CALLS, f"{name}: records of the far end")
    checks.equal({call["dtls_done_ms"] is not None for call in answered()}, {there}, f"{name}: DTLS of the far end")
    checks.equal({call["audio_rx"] for call in answered()}, {"heard"}, f"{name}: audio of the far end")
checks.equal(stop(far, signal.SIGINT), 0, "answer: exit code")
figure(f"two_way in {heard} of {4 * CALLS} calls; from the answer to the keys {statistics.median(keys or [0]):.0f} ms (p50)")
checks.end()
