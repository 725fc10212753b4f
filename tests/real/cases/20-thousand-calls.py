#!/usr/bin/env python3
"""1,000 calls at 100 per second, each challenged and relayed with two seconds of talk: all answered, none aborted.

The robot answers right behind its 180, and Kamailio's two processes overtake each other, so some calls get the 180
after the 200: none may suffer from it.
"""
from collections import Counter

from check import Checks, figure, passes, run

checks = Checks()
finished = run("thousand-calls")
passes(checks, finished)
summary, records = finished.summary, finished.calls
for name, wanted in (("planned", 1000), ("attempted", 1000), ("answered", 1000)):
    checks.equal(summary.get(name), wanted, name)
checks.equal(len(records), 1000, "records")
# 10,000 packets a second each way through five processes: what a busy machine does to them is shown, not judged.
audio = Counter(record["class"] for record in records)
checks.equal([name for name in audio if name != "ok" and not name.startswith("media.")], [], "classes")
checks.equal(Counter(record["code"] for record in records), Counter({200: 1000}), "codes")
checks.equal(Counter(record["hangup_by"] for record in records), Counter({"us": 1000}), "ended by")
checks.equal(len({record["account"] for record in records}), 20, "accounts used")
checks.that(all(record["duration_ms"] and abs(record["duration_ms"] - 2000) < 100 for record in records),
            "a call did not last two seconds")
checks.equal(summary["generator"]["dropped_starts"], 0, "dropped starts")
checks.near(summary["peak_cps"], 100, 25, "peak_cps")
late = sum(record["ring_ms"] is None for record in records)
figure(f"{summary['answered']} answered in {finished.seconds:.1f} s, setup p50/p99 "
       f"{summary['latency']['setup_ms']['p50']:.0f}/{summary['latency']['setup_ms']['p99']:.0f} ms, "
       f"{late} with a 180 after the 200, audio without fault in {audio['ok']}, "
       f"generator {summary['generator']['cpu_s']:.2f} s CPU")
checks.end()
