#!/usr/bin/env python3
"""Who is hit: a watch calls a PBX with faults, and who is told is counted.

Twenty agents at two sites call over four trunks of two gateways and two carriers, each every two seconds. One agent is refused,
then one trunk, then a gateway, then two agents for different reasons; then one site loses its way out, and then nothing works
for anybody. Everything is real: the lab, the watch, InfluxDB with the v2 front before it, Alertmanager, and a webhook whose
log is the proof.

Looked at: one message when each begins and one when it is over, with the right scope; nothing else, and nothing
widespread but trunk, gateway, site and platform; the same in InfluxDB and at Alertmanager.
"""
import json
import os
import signal
import time

from alertmanager import Alertmanager, Receiver
from check import CASE, HERE, RINGFLEET, Checks, figure, listens, start, stop, wait_until
from database import TOKEN, Database

os.environ["INFLUX_TOKEN"] = TOKEN
checks = Checks()
# Prefix, gateway, carrier and the number that is called. Each number goes over both gateways and both carriers, so that it is no
# other name of one of them, nor of the whole.
TRUNKS = {"north_1": ("91", "north", "cht", "2000"), "north_2": ("92", "north", "fet", "2001"),
          "south_1": ("93", "south", "cht", "2001"), "south_2": ("94", "south", "fet", "2000")}
# Their agents: the probe stands at two sites, behind an uplink each.
SITES = {"desk": "1001..1010", "branch": "1011..1020"}
LAB_PORT = int(os.environ["LAB_PORT"])
THROTTLE = 60

receiver = Receiver()
alertmanager = Alertmanager(receiver.url)


def is_of_the_machine(message):
    """This machine stood still for so long that calls may have suffered: a fault that nobody made, and rightly told."""
    return (message["incident"]["scope"], message["incident"]["symptom"]) == ("probe_site", "probe.stalled")


def told(since=0):
    """Messages so far, from the `since`-th on, but for those of the machine itself."""
    return [it for it in receiver.at("/watch") if not is_of_the_machine(it)][since:]


# --- the PBX and the watch -----------------------------------------------------------------------------------------


def write_lab(faults):
    """The lab's file, with what is out of order now."""
    lines = ["lab: pbx", "domain: pbx.test", 'accounts: { users: "1001..1020", password: "${PROBE_PASSWORD}" }',
             "extensions:", "  echo: { number: 2000, does: echo }", "  other: { number: 2001, does: echo }", "trunks:"]
    lines += [f"  {name}: {{ prefix: {prefix} }}" for name, (prefix, *_) in TRUNKS.items()]
    if faults:
        lines += ["faults:", *(f"  - {fault}" for fault in faults)]
    (CASE / "lab.yaml").write_text("\n".join(lines) + "\n")


def write_files():
    trunks = [f"  {name}: {{ gateway: {gateway}, carrier: {carrier}, select: {{ prefix: {prefix} }} }}"
              for name, (prefix, gateway, carrier, _) in TRUNKS.items()]
    (CASE / "pbx.yaml").write_text("\n".join([
        "target: pbx", f'sip: {{ server: "sip:127.0.0.1:{LAB_PORT}", domain: pbx.test }}',
        'environment: { name: Demonstration, login_url: "http://127.0.0.1/" }', "accounts:",
        *(f'  {site}: {{ users: "{users}", password: "${{PROBE_PASSWORD}}" }}' for site, users in SITES.items()),
        "trunks:", *trunks,
        'safety: { allow: ["(9[1-4])?200[01]"], max_calls: 10000000, max_concurrent: 100, max_cps: 100 }']) + "\n")
    (CASE / "call.yaml").write_text((HERE / "watch" / "call.yaml").read_text())
    check = ("  - {{ name: {0}-{1}, site: {0}, scenario: call.yaml, target: pbx.yaml, agents: each, every: 8s, "
             'set: {{ caller.account: {0}, caller.steps.0.dial.trunk: {1}, caller.steps.0.dial.number: "{2}" }} }}')
    (CASE / "watch.yaml").write_text("\n".join([
        "watch: demonstration", "checks:",
        *(check.format(site, trunk, number) for site in SITES for trunk, (*_, number) in TRUNKS.items()), "alerts:",
        "  window: 20s", f"  throttle: {THROTTLE}s", "  notify:",
        f'    - webhook: {{ url: "{receiver.url}/watch" }}', f'    - alertmanager: {{ url: "{alertmanager.url}" }}',
        "sinks:",
        f'  - influxdb: {{ url: "{database.front}", org: o, bucket: b }}']) + "\n")

# --- what was expected ---------------------------------------------------------------------------------------------


def meet(faults):
    """From now on this is out of order."""
    write_lab(faults)
    LAB.send_signal(signal.SIGHUP)


def opened(since, wanted, within):
    """Waits for so many openings after the `since`-th message."""
    wait_until(lambda: len([it for it in told(since) if it["change"] == "opened"]) >= wanted, f"{wanted} opened", within)


def closed(since, wanted, within):
    wait_until(lambda: len([it for it in told(since) if it["change"] == "closed"]) >= wanted, f"{wanted} closed", within)


def episode(name, faults, places, lasts=5, within=60):
    """Something is out of order for a while. Its messages: one for each place when it begins and one when it is over."""
    since, begun = len(told()), time.monotonic()
    meet(faults)
    opened(since, len(places), within)
    took = time.monotonic() - begun
    time.sleep(lasts)
    meet([])
    if places[0][0] == "gateway":
        known = alertmanager.alerts(scope="gateway", value=places[0][1])
        checks.equal(len(known), 1, f"{name}: alerts at Alertmanager")
    over = time.monotonic()
    closed(since, len(places), within)
    ended = time.monotonic() - over
    # What is not over, or not wanted, would come now, or in the next episode, where it is wrong as well.
    time.sleep(6)
    got = [(it["change"], it["incident"]["scope"], it["incident"]["value"], it["incident"]["widespread"])
           for it in told(since)]
    wanted = [(change, *place) for change in ("opened", "closed") for place in places]
    checks.equal(sorted(got), sorted(wanted), name)
    keys = {it["dedup_key"] for it in told(since)}
    checks.equal(len(keys), len(places), f"{name}: dedup keys")
    figure(f"{name}: told {took:.0f} s after it began, over {ended:.0f} s after it ended; {len(got)} messages")
    return told(since)


REFUSED, DOWN = "{ reject: { code: 403 } }", "{ reject: { code: 503 } }"

database = Database()
alertmanager.open("alertmanager")
write_lab([])
LAB = start("lab", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{LAB_PORT}")
wait_until(lambda: listens(LAB_PORT), "the lab listens")
write_files()
watch = start("watch", RINGFLEET, "watch", CASE / "watch.yaml", "--out", CASE / "run", env={"NO_COLOR": "1"})
time.sleep(24)
checks.equal(told(), [], "messages while all is well")

one = episode("one agent", [f'{{ accounts: "1007", does: {REFUSED} }}'], [("single_agent", "1007", False)])
episode("one trunk", [f"{{ trunks: [north_2], does: {DOWN} }}"], [("trunk", "north_2", True)])
episode("one gateway", [f"{{ trunks: [south_1, south_2], does: {DOWN} }}"], [("gateway", "south", True)])
episode("two agents for different reasons",
        [f'{{ accounts: "1003", does: {REFUSED} }}', '{ accounts: "1015", does: silence }'],
        [("single_agent", "1003", False), ("single_agent", "1015", False)])
episode("one site", [f'{{ accounts: "{SITES["branch"]}", does: {DOWN} }}'], [("probe_site", "branch", True)])
episode("everything", [f"{{ does: {DOWN} }}"], [("platform", "pbx", True)])

# It comes and goes: within the throttle nobody is told again that it is open.
since = len(told())
begun = time.monotonic()
for _ in range(3):
    meet([f'{{ accounts: "1010", does: {REFUSED} }}'])
    time.sleep(9)
    meet([])
    time.sleep(9)
closed(since, 1, 60)
time.sleep(5)
openings = [it for it in told(since) if it["change"] == "opened"]
checks.equal(len(openings), 1, f"openings of a line that comes and goes for {time.monotonic() - begun:.0f} s")

# What Alertmanager knows ends with what the watch says of it.
wait_until(lambda: not alertmanager.alerts(alertname="RingfleetIncident"), "all are resolved at Alertmanager", 90)
stop(watch, signal.SIGINT, within=60)
stop(LAB, signal.SIGINT)
records = [json.loads(line) for line in (CASE / "run" / "calls.jsonl").read_text().splitlines()]
figure(f"{len(records)} calls, {sum(record['class'] != 'ok' for record in records)} with a fault, {len(told())} messages")
stood_still = [it for it in receiver.at("/watch") if is_of_the_machine(it)]
if stood_still:
    figure(f"the machine itself stood still: {len(stood_still)} messages")
    stalled = [record for record in records if record["class"] == "probe.stalled" and record["stalled_ms"] is not None]
    checks.that(stalled, "the watch said that its machine stood still, and no call did")
message = one[0]
for word in ("title", "text", "next_action", "severity", "sheet_text"):
    checks.that(message.get(word), f"a message without {word}")
(CASE / "webhook.jsonl").write_text("".join(json.dumps(it) + "\n" for it in receiver.at("/watch")))
first = message["incident"]["first_call"]
checks.that(any(record["call_id"] == first["call_id"] for record in records), "the first call is in calls.jsonl")

# The database has every change, and the same ones.
rows = database.ask('SELECT "state", "scope", "scope_value" FROM "incident"')
stored = sorted((row["state"], row["scope"], row["scope_value"]) for row in rows)
kept = [json.loads(line) for line in (CASE / "run" / "incidents.jsonl").read_text().splitlines()]
checks.equal(stored, sorted((it["change"], it["scope"], it["value"]) for it in kept), "changes in the database")
checks.end()
