#!/usr/bin/env python3
"""Libraries of others: rsip reads what we read, and reads it alike; rsipstack answers our calls and calls `answer`."""
import os
import subprocess
from collections import Counter
from pathlib import Path

from check import CASE, RINGFLEET, ROOT, Checks, figure, listens, records, start, stop, wait_until

CALLS = 10
checks = Checks()
package = ROOT / "tests/interop"
port, other = os.environ["FAR_PORT"], os.environ["ROBOT_CALLER"]


def cargo(*words):
    done = subprocess.run(["cargo", *words, "--locked"], cwd=package, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT)
    checks.equal(done.returncode, 0, f"cargo {' '.join(words)}: exit code")
    if done.returncode:
        print(done.stdout[-3000:])
    return done.stdout


cargo("test", "--release")
cargo("build", "--release")
built = Path(os.environ["CARGO_TARGET_DIR"]) / "release"

bench = subprocess.run([built / "parse_bench"], text=True, stdout=subprocess.PIPE)
figure(bench.stdout.strip())
checks.equal(bench.returncode, 0, "an INVITE with SDP is read without allocation")

# --- rsipstack answers --------------------------------------------------------------------------------------------
(CASE / "stack.yaml").write_text(
    f'target: stack\nsip: {{ server: "sip:127.0.0.1:{port}", domain: stack.test }}\n'
    'accounts: { agents: { users: "1001..1010", password: "${PROBE_PASSWORD}" } }\nnumbers: { far: "2000" }\n')
(CASE / "calls.yaml").write_text(
    "scenario: calls\ntarget: stack.yaml\ncaller:\n  account: agents\n  steps:\n    - register\n"
    "    - dial: { number: far, media: none }\n    - wait: 300ms\n    - hangup\n"
    f"load: {{ rate: 5/s, calls: {CALLS} }}\n")
peer = start("peer-answer", built / "peer", "answer", f"127.0.0.1:{port}", CALLS)
wait_until(lambda: listens(port), "rsipstack listens")
run = subprocess.run([RINGFLEET, "run", CASE / "calls.yaml", "--out", CASE / "placed"], text=True,
                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
checks.equal(run.returncode, 0, f"calls to rsipstack: exit code\n{run.stdout[-2000:]}")
got = records(CASE / "placed")
checks.equal(Counter((call["class"], call["code"], call["hangup_by"]) for call in got),
             Counter({("ok", 200, "us"): CALLS}), "calls to rsipstack")
wait_until(lambda: peer.poll() is not None, "rsipstack has seen every call end")
checks.equal(peer.poll(), 0, "exit code of rsipstack's called party")
seen = (CASE / "peer-answer.log").read_text()
checks.that(f"registered: {2 * CALLS}, invited: {CALLS}, confirmed: {CALLS}, ended: {CALLS}" in seen, f"it has seen {seen}")

# --- rsipstack calls ----------------------------------------------------------------------------------------------
far = start("answer", RINGFLEET, "answer", "--listen", f"127.0.0.1:{port}", "--behaviour", "nothing", "--calls", CALLS,
            "--out", CASE / "answered", "--quiet")
wait_until(lambda: (CASE / "answered").exists(), "ringfleet answer has begun")
call = subprocess.run([built / "peer", "call", f"127.0.0.1:{other}", f"sip:2000@127.0.0.1:{port}", str(CALLS)], text=True,
                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
checks.equal(call.returncode, 0, f"rsipstack's calls: exit code\n{call.stdout[-2000:]}")
wait_until(lambda: far.poll() is not None, "ringfleet answer has ended after its calls")
stop(far)
got = records(CASE / "answered")
checks.equal(Counter((call["role"], call["code"], call["hangup_by"]) for call in got),
             Counter({("callee", 200, "far_end"): CALLS}), "calls of rsipstack")
checks.end()
