#!/usr/bin/env python3
"""No result is lost and none is doubled: each way in which the database fails × each moment at which the program dies.

The program is killed (SIGKILL) by an observer at a moment that is seen from outside, in its spool folder or at the
server, once the server's fault has been seen; then `ringfleet report --flush` delivers what is left. No hook in the
program is needed. A cell is `lost/doubled`:

lost     a call_id in calls.jsonl that is neither in InfluxDB nor in the spool nor among the dead letters
doubled  a call_id that InfluxDB has at two times

Without SINK_FAULTS=all a part of the cells is run: every fault and every moment, in at most a minute. SEED=N chooses the
random instants again.
"""
import json
import os
import random
import re
import signal
import subprocess
import threading
import time

from check import CASE, HERE, RINGFLEET, Checks, at_once, figure, records, start
from check import run as run_program
from database import Database
from sink_server import FAULTS, SinkServer
from watch_folder import IN_DELETE, IN_MODIFY, IN_MOVED_TO, events

ALL = os.environ.get("SINK_FAULTS") == "all"
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
# A name for the table, and what it is.
MOMENTS = {
    "none": "the run ends by itself",
    "stored": "after a segment is in the spool, before it is sent",
    "sent": "after a write has arrived, before its answer",
    "torn": "while a segment is written; before it is synced its end is cut off in mid-line, as a power cut leaves it",
    "removed": "when the first segment of those that were delivered has been removed",
    "random": "at a random instant",
}
QUERIES = ("db={}", "org=o&bucket={}", "db={}&api=v3")
CALL_ID = re.compile(r'[ ,]call_id="([^"]*)"')
TRIES = 5

checks = Checks()
database = Database()
instants = random.Random(SEED)


class Cell:
    """One run of the program against one fault, killed at one moment."""

    def __init__(self, number, fault, moment, seed):
        self.fault, self.moment = fault, moment
        self.name = f"cell_{number}"
        self.folder = CASE / self.name
        self.spool = self.folder / "spool" / "influxdb"
        self.after = random.Random(seed).uniform(0.05, 1.5)
        self.killed, self.holding = threading.Event(), threading.Event()
        self.process, self.torn = None, None
        database.ask(f"CREATE DATABASE {self.name}", method="POST")
        self.server = SinkServer(fault, database.url, self.name, self.on_write, self.after_store)
        query = QUERIES[number % 3].format(self.name)
        self.influx = f"http://127.0.0.1:{self.server.port}?{query}"

    def run(self):
        """Runs, kills, delivers; the findings of the cell."""
        command = [RINGFLEET, "run", HERE / "scenarios" / "spooled.yaml", "--out", self.folder, "--quiet",
                   "--influx", self.influx]
        environment = {"INFLUX_TOKEN": "t", "INFLUX_USERNAME": "u", "INFLUX_PASSWORD": "p"}
        self.process = start(self.name, *command, env=environment)
        watcher = threading.Thread(target=self.watch, daemon=True)
        watcher.start()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()
        if self.moment == "torn":
            self.tear()
        self.server.heal()
        done = subprocess.run([str(word) for word in (RINGFLEET, "report", self.folder, "--flush")], cwd=CASE, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=150,
                              env={**os.environ, **environment})
        self.flushed = done.returncode, done.stdout
        found = self.count()
        self.server.close()
        return found

    # --- moments ---------------------------------------------------------------------------------------------

    def kill(self):
        if not self.killed.is_set() and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.killed.set()

    def on_write(self, number):
        if self.moment == "stored" and self.server.fault_seen.is_set() and not self.killed.is_set():
            # Held here, so that what is stored from now on is not sent.
            self.holding.set()
            self.killed.wait(10)

    def after_store(self, number):
        if self.moment == "sent" and (self.server.fault_seen.is_set() or self.fault == "none"):
            self.kill()

    def watch(self):
        """Waits for the moment in the spool folder, or in time."""
        while not (self.spool / "sink.json").exists():
            if self.process.poll() is not None:
                return
            time.sleep(0.001)
        if self.moment == "random":
            time.sleep(self.after)
            self.kill()
        wanted = {"stored": (IN_MOVED_TO, ".lp"), "torn": (IN_MODIFY, ".lp.tmp"), "removed": (IN_DELETE, ".lp")}
        if self.moment not in wanted:
            return
        mask, ending = wanted[self.moment]
        for seen, name in events(self.spool):
            armed = self.server.fault_seen.is_set() or self.fault == "none"
            if seen & mask and name.endswith(ending) and armed and (self.moment != "stored" or self.held()):
                return self.kill()

    def held(self):
        """Whether what was just stored cannot have been sent: the server holds an earlier write, or takes none."""
        return self.holding.is_set() or self.server.kind in ("refuse", "hang")

    def tear(self):
        """Cuts the newest segment in mid-line, as long as none of its records stands in calls.jsonl: it is not synced."""
        self.torn = 0
        recorded = {record["call_id"] for record in records(self.folder)}
        segments = sorted(self.spool.glob("[0-9]*.lp*"), key=lambda path: path.stat().st_mtime_ns)
        for path in segments[-1:]:
            text = path.read_bytes()
            if recorded.isdisjoint(self.on_disk(path.name)) and len(text) > 100:
                path.write_bytes(text[:-50])
                self.torn += 1

    # --- what is where ---------------------------------------------------------------------------------------

    def on_disk(self, pattern):
        for path in self.spool.glob(pattern):
            for line in path.read_text(errors="replace").splitlines():
                found = CALL_ID.search(line)
                if line.startswith("call,") and found:
                    yield found.group(1)

    def count(self):
        recorded = [record["call_id"] for record in records(self.folder)]
        spooled = {*self.on_disk("[0-9]*.lp"), *self.on_disk("*.lp.tmp")}
        letters = list(self.on_disk("rejected.lp"))
        stored = {}
        for point in database.ask("SELECT call_id FROM call", of=self.name):
            stored.setdefault(point["call_id"], set()).add(point["time"])
        return {
            "records": len(recorded), "stored": len(stored), "spooled": len(spooled), "letters": len(letters),
            "lost": len(set(recorded) - stored.keys() - spooled - set(letters)),
            "doubled": sum(len(times) > 1 for times in stored.values()) + len(letters) - len(set(letters)),
            "writes": self.server.writes, "killed": self.killed.is_set(), "flush": self.flushed[0],
            "torn": self.torn,
        }


def chosen():
    """Every cell, or each fault with two moments so that each moment is there as well."""
    faults, moments = list(FAULTS), list(MOMENTS)
    for row, fault in enumerate(faults):
        for column, moment in enumerate(moments):
            # With every answer a time-out of ten seconds, the uncut run is for the whole matrix.
            if ALL or (column in (row % 6, (row + 3) % 6) and (fault, moment) != ("never answers", "none")) or fault == "204 lost":
                yield fault, moment


def run(number, fault, moment, seed):
    for attempt in range(TRIES):
        cell = Cell(number * TRIES + attempt, fault, moment, seed + attempt)
        found = cell.run()
        reached = found["killed"] or moment in ("none", "random")
        # A kill that came after the sync is one between two segments: it counts, and the torn one is tried again.
        if (found["lost"], found["doubled"]) != (0, 0) or (reached and (moment != "torn" or found["torn"])):
            break
    return fault, moment, found, cell.flushed[1]


def spool_delay():
    """From the end of a call to its place in the spool, where it survives a kill: by the time of each segment's rename.

    The server lets nobody in, so every segment stays. This machine's own lateness, as the run measured it, is allowed on
    top: what is promised is not that an overloaded machine is quick.
    """
    database.ask("CREATE DATABASE delay", method="POST")
    server = SinkServer("401", database.url, "delay")
    server.faulty = 10**9
    finished = run_program(HERE / "scenarios" / "spooled.yaml", on=None, out="delay",
                           args=["--influx", f"http://127.0.0.1:{server.port}?db=delay"])
    delays = []
    for path in (finished.folder / "spool" / "influxdb").glob("[0-9]*.lp"):
        stored = path.stat().st_ctime_ns
        delays += [(stored - int(line.rsplit(" ", 1)[1])) / 1e6
                   for line in path.read_text().splitlines() if line.startswith("call,")]
    server.close()
    delays.sort()
    if checks.equal(len(delays), 300, f"records in the spool\n{finished.printed}"):
        late = finished.summary["generator"]["late_ms"]["max"]
        checks.that(delays[-1] <= 100 + late, f"in the spool {delays[-1]:.0f} ms after a call's end, with starts {late} ms late")
        figure(f"in the spool after the call's end: median {delays[150]:.0f} ms, 99 % {delays[297]:.0f} ms, most "
               f"{delays[-1]:.0f} ms; the latest start of the run was {late:.0f} ms late")


spool_delay()
begun = time.monotonic()
cells = list(chosen())
jobs = [lambda n=n, cell=cell: run(n, *cell, SEED + 7 * n) for n, cell in enumerate(cells)]
table, recorded = {}, 0
for fault, moment, found, printed in at_once(jobs, limit=4):
    name = f"{fault} × {moment}"
    table[fault, moment] = f"{found['lost']}/{found['doubled']}"
    recorded += found["records"]
    print(name, json.dumps(found), flush=True)
    checks.equal((found["lost"], found["doubled"]), (0, 0), f"{name}: lost and doubled")
    checks.equal((found["flush"], found["spooled"]), (0, 0), f"{name}: report --flush and what is left\n{printed}")
    checks.that(found["killed"] or moment in ("none", "random"), f"{name}: the moment never came")
    if moment == "none":
        checks.equal(found["records"], 300, f"{name}: records of an uncut run")
    if fault == "400 in mid-batch" and moment == "none":
        checks.equal(found["letters"], 3, f"{name}: dead letters")
    if moment == "torn":
        checks.that(found["torn"], f"{name}: no segment was cut in {TRIES} tries")
width = max(map(len, FAULTS))
figure(f"{'lost/doubled':{width}}  " + "  ".join(f"{moment:>7}" for moment in MOMENTS))
for fault in FAULTS:
    row = [table.get((fault, moment), "") for moment in MOMENTS]
    figure(f"{fault:{width}}  " + "  ".join(f"{cell:>7}" for cell in row))
figure(f"{len(cells)} cells, {recorded} records, seed {SEED}, {time.monotonic() - begun:.0f} s")
checks.end()
