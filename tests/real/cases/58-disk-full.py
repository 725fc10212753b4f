#!/usr/bin/env python3
"""A disk that is full: the run ends, its exit code and what it prints say so, and what is lost is counted.

The run folder is on a file system of a few hundred kilobytes in a mount namespace of the case's own.
"""
import json
import re
import subprocess

from check import CASE, HERE, RINGFLEET, Checks, figure, mount_namespace, records

CALL_ID = re.compile(r'[ ,]call_id="([^"]*)"')
checks = Checks()


def run_on(size, name, *args):
    """`spooled` with its run folder on a disk of `size`; exit code, what it printed, and a copy of the folder."""
    disk, copy = CASE / f"{name}-disk", CASE / name
    disk.mkdir()
    copy.mkdir()
    words = [RINGFLEET, "run", HERE / "scenarios" / "spooled.yaml", "--out", disk / "run", "--quiet", *args]
    script = f'mount -t tmpfs -o size={size} tmpfs "$1" && shift && "$@"; code=$?; cp -r {disk}/run/. {copy}; exit $code'
    done = subprocess.run([str(word) for word in [*namespace, "sh", "-c", script, "sh", disk, *words]], cwd=CASE,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.returncode, done.stdout, copy


def spooled(folder):
    for path in (folder / "spool" / "influxdb").glob("[0-9]*.lp"):
        for line in path.read_text().splitlines():
            if line.startswith("call,"):
                yield CALL_ID.search(line).group(1)


namespace = mount_namespace()
# Nobody takes the points, so calls.jsonl and the spool fill the disk together.
code, printed, folder = run_on("400k", "full", "--influx", "http://127.0.0.1:9?db=x")
checks.equal(code, 3, f"exit code\n{printed}")
checks.that("No space left on device" in printed, f"no word of the full disk:\n{printed}")
checks.that("results could not be kept" in printed, f"no word of lost results:\n{printed}")
kept = records(folder)
checks.that(0 < len(kept) < 300, f"{len(kept)} records: the disk was not full in mid-run")
dropped = int((re.search(r"(\d+) points were dropped", printed) or [0, 0])[1])
missing = {record["call_id"] for record in kept} - set(spooled(folder))
checks.that(len(missing) <= dropped, f"{len(missing)} records have no point, and {dropped} were said to be dropped")
figure(f"full in mid-run: exit code {code}, {len(kept)} records kept, {dropped} points said to be dropped")

# Without a sink it is the records alone.
code, printed, folder = run_on("200k", "no-sink")
checks.equal(code, 3, f"without a sink: exit code\n{printed}")
checks.that("No space left on device" in printed, f"without a sink: no word of the full disk:\n{printed}")

# Not even the folder can be made: nothing is dialled.
code, printed, _ = run_on("4k", "no-folder", "--influx", "http://127.0.0.1:9?db=x")
checks.that(code in (3, 4), f"no room at all: exit code {code}\n{printed}")
checks.that("No space left on device" in printed, f"no room at all: no word of it:\n{printed}")
checks.end()
