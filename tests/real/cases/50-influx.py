#!/usr/bin/env python3
"""Results in a real InfluxDB, 1.x by its own API and by way of the v2 API: read back by InfluxQL they equal the records.

First with the database up; then it is killed in the middle of a run and comes back; then it is away at the end of a
run, and `ringfleet report --flush` delivers what waits in the spool.
"""
import os
import subprocess
import threading
import time

from check import CASE, RINGFLEET, Checks, at_once, figure, run
from database import TOKEN, Database

os.environ["INFLUX_TOKEN"] = TOKEN
checks = Checks()
database = Database()
folders = []


def stored(name, **sets):
    """A run whose results go to the database."""
    finished = run("stored", out=name, args=["--influx", database.influx], **sets)
    folders.append(finished.folder)
    return finished


def sink(finished, name):
    """The reconciliation of a run: everything measured is accounted for."""
    reports = finished.summary.get("sinks", [])
    if not checks.equal(len(reports), 1, f"{name}: sinks in summary.json"):
        finished.show()
        return {}
    report = reports[0]
    checks.equal(report["measured"], report["written"] + report["spooled"] + report["rejected"], f"{name}: measured")
    checks.equal(report["rejected"], 0, f"{name}: rejected")
    return report


def equal_points(name):
    """Each record of every run so far is one point with the same values, and there are no others."""
    found, equal = database.compare(*folders)
    checks.that(equal, f"{name}: {found}")
    return found


def outage(after, length):
    """Kills influxd `after` seconds from now, for `length` seconds."""
    def work():
        time.sleep(after)
        database.kill()
        time.sleep(length)
        database.open()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


# Several outcomes, so that classes, codes and unknown figures are among the points.
runs = at_once([lambda number=number: stored(f"plain-{number}", number=number, **{"load.calls": 10})
                for number in ("2000", "3486", "3404", "2010")])
for finished in runs:
    report = sink(finished, finished.folder.name)
    checks.equal((report.get("spooled"), report.get("written")), (0, report.get("measured")), "spooled and written")
found = equal_points("database up")
checks.equal(found["points"], 40, "call points")
by_class = {row["class"]: row["count"] for row in database.ask('SELECT count(call_id) FROM "call" GROUP BY "class"')}
wanted = {}
for finished in runs:
    for record in finished.calls:
        wanted[record["class"]] = wanted.get(record["class"], 0) + 1
checks.equal(by_class, wanted, "InfluxQL: calls by class")
total = sum(database.count(name) for name in database.measurements())
checks.equal(total, sum(finished.summary["sinks"][0]["measured"] for finished in runs), "points of every measurement")

# Each whole second of each leg is a point; the record's jitter is their 95th percentile, with eight of them the highest.
finished = run("seconds", args=["--influx", database.influx])
folders.append(finished.folder)
report = sink(finished, "seconds")
checks.equal((report.get("spooled"), report.get("written")), (0, report.get("measured")), "spooled and written")
share = finished.summary["records"]
checks.equal((share["media_legs"], share["media_sampled"], share["media_sampled_pct"]), (10, 10, 100.0), "media share")
seconds = {}
for point in database.ask("SELECT * FROM media WHERE scenario = 'seconds'"):
    seconds.setdefault(point["call_id"], []).append(point)
checks.equal(sorted(seconds), sorted(record["call_id"] for record in finished.calls), "calls with media points")
for record in finished.calls:
    points = seconds.get(record["call_id"], [])
    if checks.equal(len(points), 8, f"{record['call_id']}: seconds"):
        jitters = [point["jitter_ms"] for point in points if point["jitter_ms"] is not None]
        checks.near(max(jitters, default=None), record["jitter_ms"], 1e-4, f"{record['call_id']}: jitter")
        lost = [point["loss_pct"] for point in points]
        checks.equal(max(lost) == 0, record["loss_pct"] == 0, f"{record['call_id']}: loss of {lost}")
expiries = [row["expires_s"] for row in database.ask("SELECT expires_s FROM registration WHERE scenario = 'seconds'")]
checks.equal((len(expiries), None in expiries), (10, False), "granted expiries")
figure(f"seconds of media: {sum(map(len, seconds.values()))} points of {len(seconds)} calls; "
       f"granted expiries: {sorted(set(expiries))}")

# The same server by its own /write, nothing in between; and what it says where it cannot be written to.
finished = run("stored", out="own-api", args=["--influx", f"{database.url}?db=ringfleet"], **{"load.calls": 10})
folders.append(finished.folder)
report = sink(finished, "own API")
checks.equal((report.get("spooled"), report.get("written")), (0, report.get("measured")), "own API: spooled and written")
equal_points("own API")
finished = run("stored", out="no-database", args=["--influx", f"{database.url}?db=nobody"], **{"load.calls": 2})
report = sink(finished, "no database")
checks.equal((report["written"], report["spooled"]), (0, report["measured"]), "no database: written and spooled")
checks.that("make the database `nobody` first" in report["last_error"], f"no database: {report['last_error']}")
checks.that("wait on disk" in finished.printed, f"no database: said is {finished.printed}")
finished = run("stored", out="no-v2", args=["--influx", f"{database.url}?org=o&bucket=b"], **{"load.calls": 2})
report = sink(finished, "no v2 API")
checks.that("?db=NAME is for InfluxDB 1.x" in report["last_error"], f"no v2 API: {report['last_error']}")

thread = outage(after=4, length=5)
finished = stored("killed", **{"load.rate": "10/s", "load.calls": 150})
thread.join()
report = sink(finished, "killed in the middle")
checks.equal(finished.summary["answered"], 150, "answered while the database was away")
checks.equal((report["spooled"], report["written"]), (0, report["measured"]), "killed: spooled and written")
checks.equal(equal_points("killed in the middle")["points"], 210, "call points")
first = report

database.kill()
finished = stored("away", **{"load.calls": 10})
report = sink(finished, "away at the end")
checks.that(report["spooled"] > 0 and report["spooled"] == report["measured"], f"away: spooled {report['spooled']} of {report['measured']}")
checks.equal(finished.code, 0, "away: the run's own exit code")
database.open()
done = subprocess.run([RINGFLEET, "report", finished.folder, "--flush"], stdout=subprocess.PIPE,
                      stderr=subprocess.STDOUT, text=True, timeout=60, cwd=CASE)
checks.that(done.returncode == 0, f"report --flush ended with {done.returncode}:\n{done.stdout}")
report = sink(finished, "after --flush")
checks.equal((report["spooled"], report["written"]), (0, report["measured"]), "flushed: spooled and written")
found = equal_points("flushed")
figure(f"{found['records']} records, {found['points']} points, {found['lost']} lost, {found['doubled']} doubled, "
       f"{found['different']} different; killed for 5 s: {first['written']} of {first['measured']} written")
checks.end()
