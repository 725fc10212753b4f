#!/usr/bin/env python3
"""A watch whose disk is full: it goes on calling, tells people all the same, says on its page and in its figures what is wrong,
and brings to disk and database what waited once there is room. Nothing is lost but evidence of that time.

Run folder, spool and store lie on a small file system in a mount namespace of the case's own, which is filled up and emptied.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

from alertmanager import Receiver
from check import CASE, RINGFLEET, Checks, figure, records, start, stop, wait_until
from database import TOKEN, Database

os.environ["INFLUX_TOKEN"] = TOKEN
PATIENCE = 100
checks = Checks()
if shutil.which("unshare") is None or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
    figure("left out: no mount namespace can be made here")
    checks.that(True, "")
    checks.end()


def write_lab(code):
    """Numbers of the lab; the second is refused with this code, where there is one."""
    gone = f"{{ reject: {{ code: {code} }} }}" if code else "{ echo: { answer_after: 10ms } }"
    (CASE / "lab.yaml").write_text(
        'lab: lines\naccounts: { users: "1001..1004", password: secret }\nextensions:\n'
        f"  fine: {{ number: 2000, does: {{ echo: {{ answer_after: 10ms }} }} }}\n  gone: {{ number: 3404, does: {gone} }}\n")


receiver, database = Receiver(), Database()
disk, copy = CASE / "disk", CASE / "kept"
disk.mkdir()
copy.mkdir()
write_lab(None)
for name in ("fine", "gone"):
    (CASE / f"{name}.yaml").write_text(
        f"scenario: {name}\ntarget: lab.yaml\ncaller:\n  account: agents\n  steps:\n    - dial: {{ number: {name}, media: none }}\n"
        "    - hangup\n")
(CASE / "watch.yaml").write_text(
    "watch: taipei\nsite: desk\nchecks:\n"
    "  - { scenario: fine.yaml, target: lab.yaml, agents: each, every: 2s }\n"
    "  - { scenario: gone.yaml, target: lab.yaml, agents: each, every: 2s, reproduce: 0 }\n"
    f"alerts:\n  throttle: 60m\n  notify:\n    - webhook: {{ name: oncall, url: '{receiver.url}/oncall' }}\n"
    f"sinks:\n  - influxdb: {{ url: '{database.front}', org: o, bucket: b }}\n  - prometheus: {{ listen: '127.0.0.1:0' }}\n"
    "page: { listen: '127.0.0.1:0' }\n")
# The shell stays, and the namespace with it: what is on the disk is copied before both are gone.
SCRIPT = ('disk=$1 copy=$2; shift 2; mount -t tmpfs -o size=16m tmpfs "$disk" || exit 9; "$@" & child=$!; '
          'trap "kill $child" TERM; echo $child >"$copy/pid"; wait $child; code=$?; wait $child && code=0; '
          'cp -r "$disk"/run/. "$copy"; exit $code')
shell = start("watch", "unshare", "--mount", "sh", "-c", SCRIPT, "sh", disk, copy, RINGFLEET, "watch", "watch.yaml",
              "--out", disk / "run")
log = lambda: (CASE / "watch.log").read_text(errors="replace")
wait_until(lambda: "page at http://" in log(), "the watch serves its page", 30)
page = re.search(r"page at (http://\S+)/", log()).group(1)
figures_at = re.search(r"figures at (http://\S+)", log()).group(1)
inside = Path(f"/proc/{shell.pid}/root{disk}")


def ask(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


def value(name):
    """A figure of the watch; None where there is none."""
    found = re.search(rf"^ringfleet_watch_{name}{{[^}}]*}} (\S+)$", ask(figures_at), re.M)
    return float(found.group(1)) if found else None


troubles = lambda: " ".join(it["what"] for it in json.loads(ask(f"{page}/api/v1/status"))["troubles"])
full = threading.Event()


def keep_full():
    """Takes all the room there is, again and again: what the spool has delivered makes some."""
    with open(inside / "filler", "ab", buffering=0) as filler:
        while full.is_set():
            for size in (65536, 4096, 1):
                try:
                    while True:
                        filler.write(b"x" * size)
                except OSError:
                    pass
            time.sleep(0.05)


wait_until(lambda: len(log().split("  ok 200")) > 20, "calls hold", PATIENCE)
checks.equal((value("results_unsaved"), value("state_unsaved"), troubles()), (0.0, 0.0, ""), "before")
full.set()
filling = threading.Thread(target=keep_full, daemon=True)
filling.start()
wait_until(lambda: value("results_unsaved") == 1.0 and value("state_unsaved") == 1.0, "figures say that the disk is full", PATIENCE)
wait_until(lambda: "No space left on device" in troubles(), "the page says it", 30)
checks.that("records wait for room" in log(), "the log does not say what becomes of records")
# A fault that begins while nothing can be written is told all the same.
pid = int((copy / "pid").read_text())
write_lab(503)
os.kill(pid, signal.SIGHUP)
wait_until(lambda: receiver.at("/oncall"), "people are told while the disk is full", PATIENCE)
checks.equal(receiver.at("/oncall")[0]["change"], "opened", "the first message")
checks.equal(ask(f"{figures_at.rsplit('/', 1)[0]}/healthz"), "ok\n", "health while the disk is full")
held = len(log().split("  ok 200"))
wait_until(lambda: len(log().split("  ok 200")) > held + 10, "calls go on", PATIENCE)
full.clear()
filling.join(10)
(inside / "filler").unlink()
wait_until(lambda: "the folder takes results again; records that it lacks: 0" in log(), "records are written again", PATIENCE)
wait_until(lambda: "incidents and messages are on disk again" in log(), "what is known is written again", PATIENCE)
wait_until(lambda: value("results_unsaved") == 0.0 and value("state_unsaved") == 0.0, "figures say that there is room", 30)
wait_until(lambda: "No space left" not in troubles(), "the page says it no more", 30)
write_lab(None)
os.kill(pid, signal.SIGHUP)
keys = lambda state: {it["dedup_key"] for it in receiver.at("/oncall") if it["state"] == state}
wait_until(lambda: keys("resolved") == keys("firing"), "the end of all is told", PATIENCE)
told = receiver.at("/oncall")
checks.equal(len({it["id"] for it in told}), len(told), "a message came twice")
checks.equal((value("results_left_out_total"), value("points_rejected_total")), (0.0, 0.0), "what was left out")
os.kill(pid, signal.SIGTERM)
checks.equal(shell.wait(60), 0, "exit code")
kept = records(copy)
printed = set(re.findall(r"\S+-(?:fine|gone)-\d{6}\b", log()))
checks.equal({it["call_id"] for it in kept}, printed, "calls that were told, and those in calls.jsonl")
stored = {row["call_id"] for row in database.ask('SELECT "call_id" FROM "call"')}
checks.equal(stored, printed, "calls that were told, and those in the database")
changes = [json.loads(line) for line in (copy / "incidents.jsonl").read_text().splitlines()]
checks.that({"opened", "closed"} <= {it["change"] for it in changes}, f"incidents.jsonl: {[it['change'] for it in changes]}")
figure(f"{len(kept)} calls, {len(told)} messages; none lost, none twice")
stop(database.influxd)
checks.end()
