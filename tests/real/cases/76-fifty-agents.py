#!/usr/bin/env python3
"""The project's scenario of agents at web phones, as it is, with fifty of them at once: over secure WebSocket through the PBX and
the relay to `ringfleet answer`."""
import signal
import statistics

from check import CASE, Checks, figure, judged, passes, records, start_answer, stop, wait_until

AGENTS = 50
checks = Checks()
far = start_answer()

finished = judged("webrtc-agent", on="kamailio-agents", out="agents", args=["--records", "all"],
                  **{"load.calls": AGENTS, "load.rate": "25/s"})
passes(checks, finished, "fifty agents")
calls, summary = finished.calls, finished.summary
checks.equal(len(calls), AGENTS, "records")
checks.equal(len({call["account"] for call in calls}), AGENTS, "agents")
checks.equal(summary.get("peak_concurrent"), AGENTS, "calls at the same time")
checks.equal({call["transport"] for call in calls}, {"wss"}, "transports")
checks.equal({call["audio"] for call in calls}, {"two_way"}, "audio")
checks.equal({(call["media_fault"], call["srtp_unauthenticated"]) for call in calls}, {(None, 0)}, "faults of media")
for name in ("ws_upgrade_ms", "rrd_ms", "ice_connected_ms", "dtls_done_ms", "first_audio_ms", "rtt_ms", "loss_pct"):
    checks.equal(sum(call[name] is None for call in calls), 0, f"calls in which {name} is unknown")
ids = {call["call_id"] for call in calls}
answered = lambda: [call for call in records(CASE / "answered") if call["paired_with"] in ids]
wait_until(lambda: len(answered()) == AGENTS, "records of the far end")
checks.equal({call["audio_rx"] for call in answered()}, {"heard"}, "audio of the far end")
checks.equal(stop(far, signal.SIGINT), 0, "answer: exit code")
if calls:
    median = lambda name: statistics.median(call[name] or 0.0 for call in calls)
    figure(f"{AGENTS} agents at once: keys {median('dtls_done_ms'):.0f} ms after the answer, RTT {median('rtt_ms'):.1f} ms, "
           f"loss {max(call['loss_pct'] or 0.0 for call in calls):.2f} % at most")
checks.end()
