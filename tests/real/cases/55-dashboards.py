#!/usr/bin/env python3
"""Every query of dashboards/ on a real InfluxDB that holds the results of real runs: none errs, each gives data."""
import json
import os
import re

from check import ROOT, Checks, at_once, figure, run
from database import TOKEN, Database

os.environ["INFLUX_TOKEN"] = TOKEN
checks = Checks()
database = Database()

# Calls that are answered, busy and not found; seconds of media; registrations; windows. The lab answers: it sends RTCP,
# without which there is no round trip and no conversational quality.
influx = ["--influx", database.influx]
runs = at_once([lambda: run("seconds", on=None, args=[*influx, "--target", "lab"]),
                lambda: run("stored", out="busy", args=influx, **{"number": "3486", "load.calls": 5}),
                lambda: run("stored", out="missing", args=influx, **{"number": "3404", "load.calls": 5})])
for finished in runs:
    sink = finished.summary.get("sinks", [{}])[0]
    checks.equal(sink.get("written"), sink.get("measured"), f"{finished.folder.name}: written")
answered = [record["call_id"] for record in runs[0].calls if record["setup_ms"] is not None]
checks.equal(len(answered), 10, "answered calls")

# What Grafana puts in place of its variables: All, and a choice of several.
EVERY = {"scenario": ".*", "target": ".*", "trunk": ".*", "unit": ".*"}
CHOSEN = {**EVERY, "scenario": "(seconds|stored)", "target": "(kamailio|lab)"}


def filled(query, variables):
    values = {**variables, "call_id": answered[0], "timeFilter": "time >= now() - 1h", "__interval": "10s"}
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values[found[1] or found[2]], query)


def rows(query):
    """Rows of an answer; those of a total are at time 0 and have a value."""
    return [row for row in database.ask(query) if any(value is not None for key, value in row.items() if key != "time")]


asked, panels = 0, 0
for path in sorted((ROOT / "dashboards").glob("*.json")):
    board = json.loads(path.read_text())
    queries = [(panel["title"], target["query"]) for panel in board["panels"] for target in panel.get("targets", [])]
    panels += sum("targets" in panel for panel in board["panels"])
    for title, query in queries:
        for variables in (EVERY, CHOSEN):
            text = filled(query, variables)
            checks.that(rows(text), f"{path.name}, {title}: no data for {text}")
            asked += 1
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            found = [row["value"] for row in database.ask(filled(variable["query"], EVERY))]
            # The runs have no trunks and no units: asking must still be in order.
            if variable["name"] in ("scenario", "target"):
                checks.that(found, f"{path.name}: no values of {variable['name']}")
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
figure(f"{asked} queries of {panels} panels and their variables on influxd; {checks.failed} of {checks.done} checks fail")
checks.end()
