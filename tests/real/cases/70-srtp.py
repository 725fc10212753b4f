#!/usr/bin/env python3
"""Encrypted audio through the PBX and the relay: end to end, translated from and to plain RTP, and where only one
side can."""
import signal

from check import CASE, Checks, figure, passes, records, run, start_answer, stop, wait_until

SHA1, GCM = "AES_CM_128_HMAC_SHA1_80", "AEAD_AES_256_GCM"
CALLS = 5
checks = Checks()
far = start_answer()

heard = 0
for name, on, number, near, there in (
    ("end to end", "kamailio-srtp", "8123", SHA1, SHA1),
    ("end to end with GCM", "kamailio-gcm", "8123", GCM, GCM),
    ("offered and taken", "kamailio-srtp-offered", "8123", SHA1, SHA1),
    ("encrypted to plain", "kamailio-srtp", "8223", SHA1, None),
    ("plain to encrypted", "kamailio", "8323", None, GCM),
    ("offered to a robot that cannot", "kamailio-srtp-offered", "2000", None, ...),
):
    finished = run("encrypted", on=on, out=name.replace(" ", "-"), number=number)
    passes(checks, finished, name)
    calls = finished.calls
    checks.equal(len(calls), CALLS, f"{name}: records")
    checks.equal({call["srtp"] for call in calls}, {near}, f"{name}: suite of the callers")
    checks.equal({call["audio"] for call in calls}, {"two_way"}, f"{name}: audio of the callers")
    if near:
        checks.equal({(call["srtp_unauthenticated"], call["srtp_replayed"]) for call in calls}, {(0, 0)},
                     f"{name}: packets that were not let in")
        checks.that(all(call["rtt_ms"] is not None for call in calls), f"{name}: an RTT is unknown (SRTCP)")
    heard += sum(call["audio"] == "two_way" for call in calls)
    if there is ...:
        continue
    ids = {call["call_id"] for call in calls}
    answered = lambda: [call for call in records(CASE / "answered") if call["paired_with"] in ids]
    wait_until(lambda: len(answered()) == CALLS, f"{name}: records of the far end")
    checks.equal({call["srtp"] for call in answered()}, {there}, f"{name}: suite of the far end")
    checks.equal({call["audio_rx"] for call in answered()}, {"heard"}, f"{name}: audio of the far end")
checks.equal(stop(far, signal.SIGINT), 0, "answer: exit code")
figure(f"two_way in {heard} of {6 * CALLS} calls: {SHA1} and {GCM}, end to end and translated by the relay")
checks.end()
