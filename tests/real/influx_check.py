#!/usr/bin/env python3
"""Compares the records of run folders with the points in a real InfluxDB 1.x.

usage: influx_check.py http://HOST:PORT DATABASE RUN_DIR...

Every record of calls.jsonl must be exactly one `call` point with equal values, and every point must be a record.
What stands in the spool or among the dead letters is counted apart. Prints one line of JSON:
lost = a call_id that is nowhere, doubled = a call_id at two times, different = a value that is not the record's.
Exit code 0 when all three are 0 and nothing is unknown, else 1.
"""

import json
import re
import sys
import urllib.parse
import urllib.request
from datetime import datetime, timezone
from pathlib import Path

TAGS = {"scenario", "target", "site", "probe", "unit", "hotline", "trunk", "carrier", "gateway", "direction",
        "transport", "class", "code", "grade"}
# Points that end at the same moment are moved apart by single nanoseconds.
MOVED_AT_MOST_NS = 1_000_000


def query(server, database, text):
    parameters = urllib.parse.urlencode({"db": database, "q": text, "epoch": "ns"})
    with urllib.request.urlopen(f"{server}/query?{parameters}", timeout=60) as answer:
        result = json.load(answer)["results"][0]
    if "error" in result:
        sys.exit(f"{text}: {result['error']}")
    for series in result.get("series", []):
        for row in series["values"]:
            yield dict(zip(series["columns"], row))


def nanoseconds(text):
    """An RFC 3339 time with up to nine decimals."""
    whole, fraction = re.fullmatch(r"(.*?)(?:\.(\d+))?Z", text).groups()
    seconds = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc).timestamp()
    return int(seconds) * 10**9 + int((fraction or "").ljust(9, "0"))


def wanted(name, value):
    """The value that a record's value has in the database; None where it is left out."""
    if isinstance(value, list):
        return " ".join(value) or None
    if isinstance(value, str):
        value = re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", value)
        if name in TAGS:
            return value.replace("\\", "/").strip() or None
        return value
    if name in TAGS and value is not None:
        return str(value)
    return value


def differences(record, point):
    for name, value in record.items():
        expected, found = wanted(name, value), point.get(name)
        # InfluxQL gives an absent tag as null, as it does an absent field.
        if expected != (found if found != "" or name not in TAGS else None):
            yield f"{record['call_id']}: {name} is {found!r}, the record says {expected!r}"
    moved = point["time"] - nanoseconds(record["ended_at"])
    if not 0 <= moved <= MOVED_AT_MOST_NS:
        yield f"{record['call_id']}: its time is {moved} ns from the attempt's end"


def call_ids_on_disk(run, pattern):
    """The call_id of each `call` line in files of the spool."""
    for path in sorted((run / "spool" / "influxdb").glob(pattern)):
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.search(r'[ ,]call_id="((?:[^"\\]|\\.)*)"', line)
            if line.startswith("call,") and found:
                yield found.group(1)


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    server, database, *runs = sys.argv[1:]
    records, spooled, rejected = {}, set(), set()
    for run in map(Path, runs):
        for line in (run / "calls.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            records[record["call_id"]] = record
        spooled.update(call_ids_on_disk(run, "*.lp.tmp"))
        spooled.update(call_ids_on_disk(run, "[0-9]*.lp"))
        rejected.update(call_ids_on_disk(run, "rejected.lp"))
    points = {}
    for point in query(server, database.strip(), "SELECT * FROM call"):
        points.setdefault(point["call_id"], []).append(point)
    mistakes = [text for call_id, record in records.items() if call_id in points
                for text in differences(record, points[call_id][0])]
    lost = records.keys() - points.keys() - spooled - rejected
    doubled = [call_id for call_id, found in points.items() if len(found) > 1]
    unknown = points.keys() - records.keys()
    for text in mistakes[:20]:
        print(text, file=sys.stderr)
    print(json.dumps({
        "records": len(records), "points": sum(map(len, points.values())), "spooled": len(spooled),
        "rejected": len(rejected), "lost": len(lost), "doubled": len(doubled), "different": len(mistakes),
        "unknown": len(unknown),
    }))
    sys.exit(1 if lost or doubled or mistakes or unknown else 0)


main()
