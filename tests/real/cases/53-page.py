#!/usr/bin/env python3
"""The page of a watch in Chromium, at work and in an incident: no errors, nothing from elsewhere, axe finds nothing wrong, it
works by keyboard, on a phone and without a script. PICTURES=FOLDER keeps its pictures. Runs without the stage too."""
import json
import os
import subprocess
import sys
import urllib.request

import browser
from check import CASE, HERE, RINGFLEET, Checks, figure, start, stop, wait_until

checks = Checks()
browser.install()
ports = subprocess.run([sys.executable, HERE / "ports.py", "CHT", "FET", "PAGE"], stdout=subprocess.PIPE, text=True, check=True)
cht, fet, page = (int(line.split("=")[1]) for line in ports.stdout.split())
os.environ["PBX_PASSWORD"] = "not-a-secret"

(CASE / "lab.yaml").write_text("""lab: pbx
accounts: { users: "1001..1006", password: "${PBX_PASSWORD}" }
extensions: { echo: { number: 2000, does: echo } }
""")
for name, port in (("cht", cht), ("fet", fet)):
    (CASE / f"{name}.yaml").write_text(f"""target: pbx
environment: {{ name: Production, login_url: "https://cc.example" }}
company: {{ name: Example Ltd }}
sip: {{ server: "sip:127.0.0.1:{port}", domain: pbx.example }}
accounts: {{ agents: {{ users: "1001..1006", password: "${{PBX_PASSWORD}}" }} }}
numbers: {{ echo: "2000" }}
safety: {{ allow: ["^[0-9]{{4,}}$"], max_calls: 1000000 }}
""")
(CASE / "call.yaml").write_text("""scenario: call
target: cht.yaml
caller:
  account: agents
  steps: [register, { dial: { number: echo, answer_within: 10s } }, { talk: { for: 2s, send: speech } }, hangup]
expect: [each: { outcome: answered, audio: two_way }]
""")
check = "{{ name: {0}, scenario: call.yaml, target: {1}.yaml, agents: each, every: 10s, labels: {{ trunk: {1}, unit: {0} }} }}"
(CASE / "watch.yaml").write_text(f"""watch: taipei
description: Lines of the Taipei office
site: tpe-1
timezone: Asia/Taipei
checks:
  - {check.format("support", "cht")}
  - {check.format("sales", "fet")}
alerts: {{ window: 60s }}
page: {{ listen: "127.0.0.1:{page}" }}
""")


def lab(port):
    return start("lab", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{port}")


def api(path):
    with urllib.request.urlopen(f"http://127.0.0.1:{page}/api/v1/{path}", timeout=5) as answer:
        return json.load(answer)


def status():
    try:
        return api("status")
    except OSError:
        return {"lines": {"total": 0, "unknown": 0, "ok": 0, "failing": 0}, "incidents_open": 0}


def look(name, loads=3):
    pictures = os.environ.get("PICTURES", CASE)
    found = browser.node("page.mjs", f"http://127.0.0.1:{page}/", pictures, name, loads)
    for what in ("errors", "foreign", "violations", "wide", "focus"):
        checks.equal(found[what], [], f"{name}: {what}")
    checks.that("line" in found["script_free"], f"{name}: without a script: {found['script_free']!r}")
    painted = sorted(found["painted_ms"])
    return painted[len(painted) // 2]


other = lab(fet)
lab(cht)
watch = start("watch", RINGFLEET, "watch", CASE / "watch.yaml", "--out", CASE / "out")
wait_until(lambda: status()["lines"]["total"] == 12 and status()["lines"]["unknown"] == 0, "every line has a result", 60)
at_work = look("page-load")

stop(other)


def of_trunk():
    """The trunk's incident; at first the results may fit several places."""
    open_ones = (one for one in api("incidents")["incidents"] if one["open"])
    return next((one for one in open_ones if (one["scope"], one["value"]) == ("trunk", "fet")), None)


wait_until(of_trunk, "an incident of the trunk", 60)
incident = of_trunk()
checks.equal(incident["sheet"]["company"], "Example Ltd", "the sheet's company")
failure = api("failures")["failures"][0]
with urllib.request.urlopen(f"http://127.0.0.1:{page}{failure['evidence'][0]}", timeout=5) as answer:
    checks.that(b"REGISTER" in answer.read(), "the evidence has no REGISTER")
in_incident = look("page-incident")

# The line is back: what the page says follows.
lab(fet)
wait_until(lambda: status()["incidents_open"] == 0, "the incident is over", 120)
checks.that(any(not one["open"] for one in api("incidents")["incidents"]), "the incident that is over is still shown")
checks.equal(stop(watch), 0, "exit code of the watch")
figure(f"first paint {at_work:.0f} ms at work, {in_incident:.0f} ms in an incident (median of 3; 12 lines)")
checks.end()
