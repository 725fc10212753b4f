#!/usr/bin/env python3
"""Every query of dashboards/ and of its alert rules on a real InfluxDB that holds the results of real runs, of a search for a
limit and of a watch with incidents: none errs, each gives data of the shape that its panel shows. The dashboards fit the
types of @grafana/schema."""
import json
import os
import re
import signal
import subprocess
import sys
import time

import browser
from check import CASE, HERE, RINGFLEET, ROOT, Checks, at_once, figure, run, start, stop, wait_until
from database import TOKEN, Database

os.environ["INFLUX_TOKEN"] = TOKEN
checks = Checks()
database = Database()
files = sorted((ROOT / "dashboards").glob("*.json"))

# --- a watch: two trunks of a lab, one of which is silent; the other is out of order for a while ---------------------

ports = subprocess.run([sys.executable, HERE / "ports.py", "LAB"], stdout=subprocess.PIPE, text=True, check=True)
port = int(ports.stdout.split("=")[1])


def lab(faults):
    (CASE / "lab.yaml").write_text(f"""lab: pbx
accounts: {{ users: "1001..1006", password: not-a-secret }}
extensions: {{ echo: {{ number: 2000, does: echo }} }}
trunks: {{ north: {{ prefix: 91, calls: 20 }}, south: {{ prefix: 92, calls: 20 }} }}
faults: {json.dumps(faults)}
""")


SILENT = {"trunks": ["south"], "does": "silence"}
lab([])
(CASE / "pbx.yaml").write_text(f"""target: pbx
sip: {{ server: "sip:127.0.0.1:{port}", domain: pbx.example }}
accounts: {{ agents: {{ users: "1001..1006", password: "${{PROBE_PASSWORD}}" }} }}
trunks: {{ north: {{ carrier: n, gateway: gw-1, select: {{ prefix: 91 }} }}, south: {{ carrier: s, gateway: gw-2, select: {{ prefix: 92 }} }} }}
safety: {{ allow: ["^[0-9]{{4,}}$"], max_calls: 1000000 }}
""")
for trunk in ("north", "south"):
    (CASE / f"{trunk}.yaml").write_text(f"""scenario: {trunk}
target: pbx.yaml
caller:
  account: agents
  steps: [register, {{ dial: {{ number: "2000", trunk: {trunk}, answer_within: 10s }} }}, {{ talk: {{ for: 3s, send: speech }} }}, hangup]
expect: [each: {{ outcome: answered, audio: two_way }}]
""")
(CASE / "watch.yaml").write_text(f"""watch: w
site: tpe-1
checks:
  - {{ scenario: north.yaml, agents: each, every: 5s, labels: {{ unit: support }} }}
  - {{ scenario: south.yaml, agents: each, every: 10s, labels: {{ unit: sales }} }}
alerts: {{ window: 30s }}
sinks: [{{ influxdb: {{ url: "{database.front}", org: o, bucket: b, token: "${{INFLUX_TOKEN}}" }} }}]
""")
of_lab = start("lab", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{port}")
watch = start("watch", RINGFLEET, "watch", CASE / "watch.yaml", "--out", CASE / "watched")


def changed(state, value):
    path = CASE / "watched" / "incidents.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return any(line["change"] == state and value in line["value"] for line in lines)


# --- runs --------------------------------------------------------------------------------------------------------

# Calls that are answered, busy and not found; seconds of media; registrations; windows; a limit; agents that are disturbed. The
# lab answers: it sends RTCP, without which there is no round trip and no conversational quality.
influx = ["--influx", database.influx]
runs = at_once([lambda: run("seconds", on=None, args=[*influx, "--target", "lab"]),
                lambda: run("stored", out="busy", args=influx, **{"number": "3486", "load.calls": 5}),
                lambda: run("stored", out="missing", args=influx, **{"number": "3404", "load.calls": 5}),
                lambda: run("trunk-saturation", on=None, args=influx),
                lambda: run("agent-recovery", on=None, args=influx)])
for finished in runs:
    sink = finished.summary.get("sinks", [{}])[0]
    checks.equal(sink.get("written"), sink.get("measured"), f"{finished.folder.name}: written")
answered = [record["call_id"] for record in runs[0].calls if record["setup_ms"] is not None]
checks.equal(len(answered), 10, "answered calls")

lab([SILENT, {"trunks": ["north"], "does": {"reject": {"code": 503}}}])
of_lab.send_signal(signal.SIGHUP)
wait_until(lambda: changed("opened", "north"), "an incident of the trunk that is out of order", 60)
lab([SILENT])
of_lab.send_signal(signal.SIGHUP)
wait_until(lambda: changed("closed", "north"), "its end", 120)
# Our own machine stands still: calls of that time say nothing of their lines.
for _ in range(4):
    watch.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    watch.send_signal(signal.SIGCONT)
    time.sleep(4)
checks.equal(stop(watch), 0, "exit code of the watch")

# --- the queries -------------------------------------------------------------------------------------------------

# What Grafana puts in place of its variables: All, and a choice of several.
EVERY = {name: ".*" for name in ("scenario", "target", "site", "trunk", "unit", "probe")}
CHOSEN = {**EVERY, "scenario": "(seconds|stored|trunk-saturation|agent-recovery|north|south)", "target": "(kamailio|lab|pbx|agents)"}


def filled(query, variables):
    values = {**variables, "call_id": answered[0], "timeFilter": "time >= now() - 1h", "__interval": "10s"}
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], query)


def rows(query):
    """Rows of an answer; those of a total are at time 0 and have a value."""
    return [row for row in database.ask(query) if any(value is not None for key, value in row.items() if key != "time")]


def misshapen(found, form, query):
    """What a panel could not show: a series needs numbers, a table the columns that it asks for."""
    if form == "time_series":
        tags = set(re.findall(r'"(\w+)"', query.partition("GROUP BY")[2]))
        values = [value for row in found for key, value in row.items() if key != "time" and key not in tags]
        return not any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    asked = re.sub(r"\w+\([^)]*\) AS ", "", query[len("SELECT "):].split(" FROM ")[0])
    columns = [re.findall(r'"(\w+)"', column)[-1] for column in asked.split(", ") if '"' in column]
    return not all(column in found[0] for column in columns)


asked, panels = 0, 0
for path in files:
    board = json.loads(path.read_text())
    queries = [(panel["title"], target["resultFormat"], target["query"]) for panel in board["panels"]
               for target in panel.get("targets", [])]
    panels += sum("targets" in panel for panel in board["panels"])
    for title, form, query in queries:
        for variables in (EVERY, CHOSEN):
            text = filled(query, variables)
            found = rows(text)
            if checks.that(found, f"{path.name}, {title}: no data for {text}"):
                checks.that(not misshapen(found, form, text), f"{path.name}, {title}: {found[0]} of {text}")
            asked += 1
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = [row["value"] for row in database.ask(filled(variable["query"], EVERY))]
            checks.that(found, f"{path.name}: no values of {variable['name']}")
            asked += 1

rules = (ROOT / "dashboards/provisioning/alerting/ringfleet.yaml").read_text()
for query in re.findall(r"^ +query: '(.*)'$", rules, re.MULTILINE):
    text = filled(query.replace("''", "'"), EVERY)
    found = rows(text)
    checks.that(found and not misshapen(found, "time_series", text), f"alert rule: {found[:1]} of {text}")
    asked += 1

# The two ratios are those of summary.json.
for field, kpi in (("answered", "asr"), ("effective", "ner")):
    mean = database.ask(f'SELECT 100 * mean("{field}") FROM "call" WHERE "scenario" = \'seconds\'')[0]["mean"]
    checks.near(mean, runs[0].summary["kpi"][kpi], 1e-9, f"seconds: {kpi}")
busy, missing = runs[1].summary["kpi"], runs[2].summary["kpi"]
wanted = (busy["ner"] + missing["ner"]) / 2
mean = database.ask("SELECT 100 * mean(\"effective\") FROM \"call\" WHERE \"scenario\" = 'stored'")[0]["mean"]
checks.near(mean, wanted, 1e-9, "NER of the busy and the missing number")
checks.equal((busy["ner"], missing["ner"], busy["asr"]), (100.0, 0.0, 0.0), "indicators")

# --- their form --------------------------------------------------------------------------------------------------

browser.install(chromium=False)
fits = browser.node("dashboards.mjs", *files)
checks.equal(fits["wrong"], [], "types of @grafana/schema")
bent = json.loads(files[0].read_text())
bent["panels"][1]["options"]["colourMode"] = "value"
bent["panels"][1]["gridPos"]["x"] = "left"
(CASE / "bent.json").write_text(json.dumps(bent))
checks.equal(len(browser.node("dashboards.mjs", CASE / "bent.json")["wrong"]), 2, "mistakes of a dashboard with two")

figure(f"{asked} queries of {panels} panels, their variables and the alert rules on influxd; "
       f"{checks.failed} of {checks.done} checks fail")
checks.end()
