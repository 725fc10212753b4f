#!/usr/bin/env python3
"""The search for a rate of calls against a robot of another make: SIPp takes eight calls in each second of the clock and
refuses the others with 503.

Looked at: the rate is found and named, with what was refused, and SIPp has no call left. Calls in equal steps that meet the
edge of a second may be nine in one of them, by chance: seven is as right as eight.
"""
import os

from check import HERE, Checks, figure, listens, run, start, stop, wait_until

checks = Checks()
port = os.environ["FAR_PORT"]
far = start("rate-limit", "sipp", "-sf", HERE / "sipp/rate-limit.xml", "-i", "127.0.0.1", "-p", port, "-mi", "127.0.0.1",
            "-mp", os.environ["MEDIA_CALLER"], "-nostdin", "-skip_rlimit", "-timer_resol", "1")
wait_until(lambda: listens(port), "the robot listens")
done = run("call-rate", on="far-end-rate")
found = (done.summary.get("limits") or [{}])[0]
right = checks.that(found.get("measured") in (7, 8), f"measured {found.get('measured')}, wanted 7 or 8")
right &= checks.equal(found.get("finding"), "call.rate_limited", "finding")
right &= checks.equal((found.get("of"), found.get("contracted"), found.get("code"), found.get("proved")),
                      ("call_rate", 5, 503, 2), "of, contracted, code, proved")
checks.equal(done.code, 0, "exit code, with 5 contracted")
if not right:
    print(found.get("text"))
    done.show()
stop(far)
figure(f"{found.get('text')} ({done.seconds:.0f} s)")
checks.end()
