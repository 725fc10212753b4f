#!/usr/bin/env python3
"""Requests larger than an Ethernet frame, in a network of their own with an MTU of 1500 bytes: loopback has no such."""
import json

from check import CASE, RINGFLEET, Checks, figure, start

SIZES = [1_000, 3_000, 20_000, 50_000]
SCENARIO = """scenario: fragments
target: lab
caller:
  account: agents
  steps:
    - dial: {{ number: internal, headers: {{ X-Filler: {filler} }} }}
    - talk: {{ for: 3s }}
    - hangup
expect:
  - each: {{ outcome: answered, audio: two_way }}
"""

checks = Checks()
for size in SIZES:
    scenario = CASE / f"fragments-{size}.yaml"
    scenario.write_text(SCENARIO.format(filler="x" * size))
    out = CASE / f"run-{size}"
    command = f'ip link set lo mtu 1500 up && exec "{RINGFLEET}" run "{scenario}" --out "{out}"'
    process = start(f"run-{size}", "unshare", "--net", "sh", "-c", command)
    if not checks.equal(process.wait(60), 0, f"{size} bytes: exit code"):
        print((CASE / f"run-{size}.log").read_text()[-2000:])
        continue
    [record] = [json.loads(line) for line in (out / "calls.jsonl").read_text().splitlines()]
    checks.equal((record["class"], record["transport"]), ("ok", "udp"), f"{size} bytes")
figure(f"INVITEs with up to {SIZES[-1]} bytes in one field over an MTU of 1500: answered and heard")
checks.end()
