#!/usr/bin/env python3
"""50 calls of 15 s through the PBX and the relay to `ringfleet answer`: both ends are ours and say the same."""
import os
import signal

from check import CASE, RINGFLEET, Checks, figure, listens, passes, records, run, start, stop, wait_until

CALLS = 50
checks = Checks()
port = os.environ["FAR_PORT"]
far = start("answer", RINGFLEET, "answer", "--listen", f"127.0.0.1:{port}", "--behaviour", "echo", "--calls", CALLS,
            "--out", CASE / "answered", "--quiet")
wait_until(lambda: listens(port), "ringfleet answer listens")

finished = run("long-calls")
passes(checks, finished)
wait_until(lambda: far.poll() is not None, "ringfleet answer has ended after its calls")
checks.equal(stop(far, signal.SIGINT), 0, "answer: exit code")

callers, callees = finished.calls, records(CASE / "answered")
checks.equal((len(callers), len(callees)), (CALLS, CALLS), "records on both sides")
checks.equal({call["audio"] for call in callers}, {"two_way"}, "audio of the callers")
checks.equal({call["audio_rx"] for call in callees}, {"heard"}, "audio that the far end heard")
for who, calls in (("caller", callers), ("far end", callees)):
    known = sum(call["rtt_ms"] is not None for call in calls)
    checks.that(known >= 0.95 * CALLS, f"{who}: RTT known in {known} of {CALLS}")
    checks.that(all(call["mos_cq"] is not None for call in calls if call["rtt_ms"] is not None),
                f"{who}: an RTT without a conversational MOS")
    checks.that(all(abs((call["duration_ms"] or 0) - 15_000) < 200 for call in calls), f"{who}: not all lasted 15 s")

far_of = {call["paired_with"]: call for call in callees}
pairs = [(call, far_of.get(call["call_id"])) for call in callers]
paired = sum(other is not None for _, other in pairs)
checks.equal(paired, CALLS, "legs that found their other side")
for own, other in pairs:
    if other is None:
        continue
    checks.equal((own["hangup_by"], other["hangup_by"]), ("us", "far_end"), f"{own['call_id']}: ended by")
    checks.equal((own["from"], own["to"]), (other["from"], other["to"]), f"{own['call_id']}: numbers")
rtts = sorted(call["rtt_ms"] for call in callers if call["rtt_ms"] is not None)
figure(f"RTT known in {len(rtts)} of {CALLS}, p50 {rtts[len(rtts) // 2]:.2f} ms; two_way in "
       f"{sum(call['audio'] == 'two_way' for call in callers)}; {paired} pairs; {finished.seconds:.1f} s")
checks.end()
