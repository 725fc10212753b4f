#!/usr/bin/env python3
"""Searches for limits that are set at random and changed while Kamailio runs: a trunk that refuses with 503, one with
486, and a device licence.

Looked at: each search finds the exact number and names it. LIMIT_SEARCHES of each kind, 3 where it is not set.
"""
import os
import random
import subprocess

from check import Checks, figure, run

checks = Checks()
SEARCHES = int(os.environ.get("LIMIT_SEARCHES", "3"))
SEED = int(os.environ.get("LIMIT_SEED", random.randrange(1 << 32)))
CTL = f"unix:{os.environ['WORK']}/kamailio.ctl"
KINDS = [("trunk-limit", "trunk_a", 503, "call.trunk_saturated"), ("trunk-limit", "trunk_a", 486, "call.trunk_saturated"),
         ("device-limit", "devices", 403, "reg.licence_exceeded")]


def set_limit(name, value):
    subprocess.run(["kamcmd", "-s", CTL, "htable.seti", "limit", name, str(value)], check=True, capture_output=True)


draw = random.Random(SEED)
exact, slowest = 0, 0.0
for number in range(SEARCHES):
    for scenario, name, code, finding in KINDS:
        # The first two are what a contract may say before and after a change.
        places = (3, 12)[number] if number < 2 else draw.randint(1, 40)
        set_limit(name, places)
        set_limit("code", code)
        done = run(scenario, on="kamailio-limits", out=f"{scenario}-{code}-{number}")
        found = (done.summary.get("limits") or [{}])[0]
        what = f"{scenario} with {code}, limit {places} (seed {SEED})"
        right = checks.equal(found.get("measured"), places, f"{what}: measured")
        right &= checks.equal(found.get("finding"), finding, f"{what}: finding")
        right &= checks.equal((found.get("code"), found.get("scope"), found.get("proved")), (code, "shown", 2), what)
        checks.equal(done.code, 0 if places >= 5 else 1, f"{what}: exit code, with 5 contracted")
        checks.equal([call["call_id"] for call in done.calls if call["unmet"]], [], f"{what}: calls with something unmet")
        if not right:
            print(found.get("text"))
            done.show()
        exact, slowest = exact + bool(right), max(slowest, done.seconds)
for name, value in (("trunk_a", 5), ("devices", 5), ("code", 503)):
    set_limit(name, value)
figure(f"{exact} of {SEARCHES * len(KINDS)} searches found the exact limit and its name; the longest took {slowest:.1f} s")
checks.end()
