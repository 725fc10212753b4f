#!/usr/bin/env python3
"""A watch whose disk is full: it goes on calling, tells people all the same, says on its page and in its figures what is wrong,
and brings to disk and database what waited once there is room. Nothing is lost but evidence of that time.

Run folder, spool and store lie on a small file system in a mount namespace of the case's own, which is filled up and emptied.
"""
import json
import os
import re
import signal
import threading
import time
from pathlib import Path

from alertmanager import Receiver
from check import CASE, RINGFLEET, Checks, figure, mount_namespace, records, start, stop, wait_until
from database import TOKEN, Database
from two_checks import Shown, ask, calls_that_held, log, write_files, write_lab

os.environ["INFLUX_TOKEN"] = TOKEN
PATIENCE = 100
checks = Checks()
namespace = mount_namespace()
receiver, database = Receiver(), Database()
disk, copy = CASE / "disk", CASE / "kept"
disk.mkdir()
copy.mkdir()
write_files(database, f"webhook: {{ name: oncall, url: '{receiver.url}/oncall' }}")
# The shell stays, and the namespace with it: what is on the disk is copied before both are gone.
SCRIPT = ('disk=$1 copy=$2; shift 2; mount -t tmpfs -o size=16m tmpfs "$disk" || exit 9; "$@" & child=$!; '
          'trap "kill $child" TERM; echo $child >"$copy/pid"; wait $child; code=$?; wait $child && code=0; '
          'cp -r "$disk"/run/. "$copy"; exit $code')
shell = start("watch", *namespace, "sh", "-c", SCRIPT, "sh", disk, copy, RINGFLEET, "watch", "watch.yaml",
              "--out", disk / "run")
shown = Shown()
value = shown.value
inside = Path(f"/proc/{shell.pid}/root{disk}")
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


wait_until(lambda: calls_that_held() >= 20, "calls hold", PATIENCE)
checks.equal((value("results_unsaved"), value("state_unsaved"), shown.troubles()), (0.0, 0.0, ""), "before")
full.set()
filling = threading.Thread(target=keep_full, daemon=True)
filling.start()
wait_until(lambda: value("results_unsaved") == 1.0 and value("state_unsaved") == 1.0, "figures say that the disk is full", PATIENCE)
wait_until(lambda: "No space left on device" in shown.troubles(), "the page says it", 30)
checks.that("records wait for room" in log(), "the log does not say what becomes of records")
# A fault that begins while nothing can be written is told all the same.
pid = int((copy / "pid").read_text())
write_lab(503)
os.kill(pid, signal.SIGHUP)
wait_until(lambda: receiver.at("/oncall"), "people are told while the disk is full", PATIENCE)
checks.equal(receiver.at("/oncall")[0]["change"], "opened", "the first message")
checks.equal(ask(f"{shown.figures.rsplit('/', 1)[0]}/healthz"), "ok\n", "health while the disk is full")
held = calls_that_held()
wait_until(lambda: calls_that_held() > held + 10, "calls go on", PATIENCE)
full.clear()
filling.join(10)
(inside / "filler").unlink()
wait_until(lambda: "the folder takes results again; records that it lacks: 0" in log(), "records are written again", PATIENCE)
wait_until(lambda: "incidents and messages are on disk again" in log(), "what is known is written again", PATIENCE)
wait_until(lambda: value("results_unsaved") == 0.0 and value("state_unsaved") == 0.0, "figures say that there is room", 30)
wait_until(lambda: "No space left" not in shown.troubles(), "the page says it no more", 30)
write_lab()
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
