#!/usr/bin/env python3
"""Libraries of others: rsip reads what we read, and reads it alike; rsipstack answers our calls, calls
`answer`, and registers at `lab` and calls through it; digest both ways, UDP and TCP."""
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



# --- rsipstack answers: it asks for the digest of a REGISTER, and of the one that removes the binding -----------------
def called(transport):
    (CASE / "stack.yaml").write_text(
        f'target: stack\nsip: {{ server: "sip:127.0.0.1:{port}", transport: {transport}, domain: stack.test }}\n'
        'accounts: { agents: { users: "1001..1010", password: "${PROBE_PASSWORD}" } }\nnumbers: { far: "2000" }\n')
    (CASE / "calls.yaml").write_text(
        "scenario: calls\ntarget: stack.yaml\ncaller:\n  account: agents\n  steps:\n    - register\n"
        "    - dial: { number: far, media: none }\n    - wait: 300ms\n    - hangup\n"
        f"load: {{ rate: 5/s, calls: {CALLS} }}\n")
    peer = start(f"peer-answer-{transport}", built / "peer", "answer", transport, f"127.0.0.1:{port}", CALLS)
    wait_until(lambda: listens(port, transport), "rsipstack listens")
    run = subprocess.run([RINGFLEET, "run", CASE / "calls.yaml", "--out", CASE / f"placed-{transport}"], text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    checks.equal(run.returncode, 0, f"calls to rsipstack over {transport}: exit code\n{run.stdout[-2000:]}")
    got = records(CASE / f"placed-{transport}")
    checks.equal(Counter((call["class"], call["code"], call["hangup_by"], call["transport"]) for call in got),
                 Counter({("ok", 200, "us", transport): CALLS}), f"calls to rsipstack over {transport}")
    wait_until(lambda: peer.poll() is not None, "rsipstack has seen every call end")
    checks.equal(peer.poll(), 0, f"exit code of rsipstack's called party over {transport}")
    seen = (CASE / f"peer-answer-{transport}.log").read_text()
    # The REGISTER that removes a binding has its credentials at once: it knows the nonce.
    counts = f"challenged: {CALLS}, registered: {2 * CALLS}, invited: {CALLS}, confirmed: {CALLS}, ended: {CALLS}"
    checks.that(counts in seen, f"over {transport} it has seen {seen}, wanted {counts}")


# --- rsipstack calls `answer`, and registers at a lab and calls through it ---------------------------------------------
def calls(transport, *words):
    call = subprocess.run([built / "peer", "call", transport, f"127.0.0.1:{other}",
                           f"sip:2000@127.0.0.1:{port};transport={transport}", str(CALLS), *words], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    checks.equal(call.returncode, 0, f"rsipstack's calls over {transport} as {words}: exit code\n{call.stdout[-2000:]}")


def calling(transport):
    folder = CASE / f"answered-{transport}"
    far = start(f"answer-{transport}", RINGFLEET, "answer", "--listen", f"127.0.0.1:{port}", "--behaviour", "nothing",
                "--calls", CALLS, "--out", folder, "--quiet")
    wait_until(lambda: folder.exists(), "ringfleet answer has begun")
    calls(transport)
    wait_until(lambda: far.poll() is not None, "ringfleet answer has ended after its calls")
    stop(far)
    checks.equal(Counter((call["role"], call["code"], call["hangup_by"], call["transport"]) for call in records(folder)),
                 Counter({("callee", 200, "far_end", transport): CALLS}), f"calls of rsipstack over {transport}")
    (CASE / "lab.yaml").write_text('lab: stack\naccounts: { users: "1001..1010", password: "${PROBE_PASSWORD}" }\n')
    lab = start(f"lab-{transport}", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{port}")
    wait_until(lambda: listens(port, transport), "ringfleet lab listens")
    calls(transport, "1001")
    stop(lab)


for transport in ("udp", "tcp"):
    called(transport)
    calling(transport)
checks.end()
