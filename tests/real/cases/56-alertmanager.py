#!/usr/bin/env python3
"""Alertmanager 0.25 hears of incidents: the shipped file is one it takes, incidents are grouped, that of a number is
inhibited by that of its whole trunk, an Alertmanager that forgot everything is told again with the same beginning, and
what is over is resolved. The lab in the watch refuses what its file says, and the file is changed.
"""
import signal
import subprocess
import time

from alertmanager import PATIENCE, Alertmanager, Receiver
from check import CASE, RINGFLEET, ROOT, Checks, figure, start, stop, wait_until

# Which numbers are called over which trunk.
NUMBERS = {2000: "fet", **{2001 + n: "cht" for n in range(5)}, 3404: "cht", 3405: "cht"}
GONE = {3404: 404, 3405: 404}
checks = Checks()

receiver = Receiver()
alertmanager = Alertmanager(receiver.url)
ask, alerts = alertmanager.ask, alertmanager.alerts
checked = subprocess.run(["amtool", "check-config", ROOT / "docker" / "alertmanager.yml"], capture_output=True, text=True)
checks.equal(checked.returncode, 0, f"amtool check-config\n{checked.stdout}{checked.stderr}")


def write_lab(dead):
    """Numbers of the lab: those in `dead` are refused with the code there."""
    lines = ["lab: lines", 'accounts: { users: "1001..1006", password: secret }', "extensions:"]
    for number in NUMBERS:
        does = f"reject: {{ code: {dead[number]} }}" if number in dead else "echo: { answer_after: 10ms }"
        lines.append(f"  n{number}: {{ number: {number}, does: {{ {does} }} }}")
    (CASE / "lab.yaml").write_text("\n".join(lines) + "\n")


write_lab(GONE)
watched = []
for number, trunk in NUMBERS.items():
    (CASE / f"call-{number}.yaml").write_text(
        f"scenario: call-{number}\ntarget: lab.yaml\ncaller:\n  account: agents\n  steps:\n"
        f"    - dial: {{ number: n{number}, media: none }}\n    - hangup\n")
    watched.append(f"  - {{ scenario: call-{number}.yaml, target: lab.yaml, agents: each, every: 3s, "
                   f"labels: {{ trunk: {trunk}, unit: support }} }}\n")
(CASE / "watch.yaml").write_text(
    "watch: taipei\nsite: desk\nchecks:\n" + "".join(watched) + "alerts:\n  throttle: 60m\n  notify:\n"
    f"    - alertmanager: {{ url: '{alertmanager.url}' }}\n    - webhook: {{ url: '{receiver.url}/own' }}\n"
    "    - webhook: { url: 'http://127.0.0.1:9/away' }\n")

first = alertmanager.open("one")
watch = start("watch", RINGFLEET, "watch", "watch.yaml", "--out", "out")

# Two numbers that are not there: two incidents, one group, one receiver.
wait_until(lambda: len(alerts(alertname="RingfleetIncident")) >= 2, "two incidents", PATIENCE)
numbers = alerts(alertname="RingfleetIncident")
checks.equal(sorted(alert["labels"]["value"] for alert in numbers), ["3404", "3405"], "numbers")
checks.equal({alert["labels"]["scope"] for alert in numbers}, {"destination"}, "scope")
checks.equal({alert["labels"]["severity"] for alert in numbers}, {"degraded"}, "severity")
checks.equal({alert["labels"]["trunk"] for alert in numbers}, {"cht"}, "what they share")
checks.that(all("Next: " in alert["annotations"]["description"] for alert in numbers), "what to do next is not said")
groups = [group for group in ask("/api/v2/alerts/groups") if group["receiver"]["name"] == "office"]
checks.equal([len(group["alerts"]) for group in groups], [2], "alerts in groups of the office")
checks.equal(groups[0]["labels"].get("watch"), "taipei", "what the group has in common")
wait_until(lambda: any(len(post["alerts"]) == 2 for post in receiver.at("/office")), "both in one message", PATIENCE)
began = {alert["labels"]["incident"]: alert["startsAt"] for alert in numbers}

# One that forgot everything hears of it within a minute, with the same beginning.
stop(first, signal.SIGKILL)
second = alertmanager.open("two")
since = time.monotonic()
wait_until(lambda: len(alerts(alertname="RingfleetIncident")) >= 2, "posted again", PATIENCE)
figure(f"an Alertmanager that forgot everything knew it again after {time.monotonic() - since:.0f} s")
again = {alert["labels"]["incident"]: alert["startsAt"] for alert in alerts(alertname="RingfleetIncident")}
checks.equal(again, began, "startsAt after Alertmanager was killed")

# The whole trunk: one more alert, and those of its numbers are inhibited.
write_lab({**{number: 503 for number, trunk in NUMBERS.items() if trunk == "cht"}, **GONE})
watch.send_signal(signal.SIGHUP)
wait_until(lambda: alerts(scope="trunk", value="cht"), "an incident of the trunk", PATIENCE)
trunk = alerts(scope="trunk", value="cht")[0]
checks.equal(trunk["labels"]["widespread"], "true", "widespread")
checks.equal(trunk["labels"]["severity"], "critical", "severity of the trunk's")
wait_until(lambda: receiver.at("/oncall"), "those on call hear of it", PATIENCE)
inhibited = alerts(scope="destination")
checks.equal({alert["status"]["state"] for alert in inhibited}, {"suppressed"}, "state of the numbers' alerts")
checks.that(all(alert["status"]["inhibitedBy"] for alert in inhibited), f"not inhibited by the trunk's: {inhibited}")

# All is well again.
write_lab({})
watch.send_signal(signal.SIGHUP)
wait_until(lambda: not alerts(alertname="RingfleetIncident"), "all are resolved", PATIENCE)
wait_until(lambda: receiver.at("/oncall")[-1]["status"] == "resolved", "those on call hear of its end", PATIENCE)
own = receiver.at("/own")
opened = [alert["dedup_key"] for alert in own if alert["change"] == "opened"]
closed = [alert["dedup_key"] for alert in own if alert["state"] == "resolved"]
checks.equal(sorted(opened), sorted(closed), "incidents that were told, and those whose end was")
checks.equal(len(set(opened)), len(opened), "one message each")
checks.equal(stop(watch), 0, "exit code of the watch")
said = (CASE / "watch.log").read_text()
# Once, and once again after each time that the file was read again.
checks.that(1 <= said.count("webhook-2 takes no messages") <= 3, "one who is away is said again and again")
figure(f"{len(opened)} incidents, {len(own)} messages of our own, "
       f"{len(receiver.got) - len(own)} notifications of Alertmanager")
checks.end()
