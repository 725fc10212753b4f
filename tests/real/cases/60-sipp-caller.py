#!/usr/bin/env python3
"""A caller of another make: SIPp calls `ringfleet answer` over UDP and over TCP, and both say that every call was well."""
import csv
import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

from check import CASE, HERE, RINGFLEET, Checks, figure, listens, records, start, stop, wait_until

CALLS, TALK_MS, AFTER_MS = 40, 2000, 300
checks = Checks()
port = os.environ["FAR_PORT"]
# SIPp finds what it plays in its working directory.
(CASE / "tone.ul").write_bytes((Path(os.environ["WORK"]) / "tone.ul").read_bytes())


def sipp(transport):
    """Places the calls; the last line of SIPp's own statistics."""
    done = subprocess.run(
        ["sipp", f"127.0.0.1:{port}", "-sf", HERE / "sipp/caller.xml", "-s", "8123", "-t", transport, "-i", "127.0.0.1",
         "-p", os.environ["ROBOT_CALLER"], "-mi", "127.0.0.1", "-mp", os.environ["MEDIA_CALLER"], "-m", str(CALLS),
         "-r", "10", "-d", str(TALK_MS), "-nostdin", "-timer_resol", "5", "-skip_rlimit", "-timeout", "60",
         "-timeout_error", "-trace_err", "-error_file", CASE / f"sipp-{transport}.err", "-trace_stat", "-stf",
         CASE / f"sipp-{transport}.csv", "-fd", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd=CASE, timeout=90)
    checks.equal(done.returncode, 0, f"sipp -t {transport}: exit code")
    if done.returncode:
        print(done.stdout[-3000:])
    with open(CASE / f"sipp-{transport}.csv", newline="") as text:
        return list(csv.DictReader(text, delimiter=";"))[-1]


def calls(transport, name):
    folder = CASE / f"answered-{name}"
    far = start(f"answer-{name}", RINGFLEET, "answer", "--listen", f"127.0.0.1:{port}", "--behaviour", "echo", "--after",
                f"{AFTER_MS}ms", "--calls", CALLS, "--out", folder, "--quiet")
    wait_until(lambda: listens(port) and listens(port, "tcp"), "ringfleet answer listens")
    seen = sipp(transport)
    checks.equal((seen["SuccessfulCall(C)"], seen["FailedCall(C)"]), (str(CALLS), "0"), f"{name}: SIPp's calls")
    wait_until(lambda: far.poll() is not None, "ringfleet answer has ended after its calls")
    checks.equal(stop(far, signal.SIGINT), 0, f"{name}: exit code of answer")
    got = records(folder)
    checks.equal(len(got), CALLS, f"{name}: records")
    for field, wanted in (("role", "callee"), ("direction", "inbound"), ("transport", name), ("code", 200),
                          ("hangup_by", "far_end"), ("class", "ok"), ("from", "1001"), ("to", "8123")):
        checks.equal(Counter(call[field] for call in got), Counter({wanted: CALLS}), f"{name}: {field}")
    checks.equal({call["paired_with"] for call in got}, {f"sipp-{n}" for n in range(1, CALLS + 1)}, f"{name}: paired_with")
    for field, wanted, slack in (("setup_ms", AFTER_MS, 50), ("duration_ms", TALK_MS, 100)):
        off = [call[field] for call in got if call[field] is None or abs(call[field] - wanted) > slack]
        checks.equal(off, [], f"{name}: {field} beyond {wanted} ± {slack}")
    few = [(call["rx_packets"], call["tx_packets"]) for call in got if not (call["rx_packets"] and call["rx_packets"] >= 80)]
    checks.equal(few, [], f"{name}: packets received and sent back")
    return got


for transport, name in (("u1", "udp"), ("t1", "tcp")):
    got = calls(transport, name)
    packets = sorted(call["rx_packets"] or 0 for call in got)
    figure(f"{name}: {len(got)} calls, {packets[0] if packets else 0}…{packets[-1] if packets else 0} packets received, heard "
           f"{dict(Counter(call['audio_rx'] for call in got))}")
checks.end()
