#!/usr/bin/env python3
"""Media of WebRTC agents by a relay (coturn), over UDP, TCP and TLS, to `ringfleet answer` and through the PBX with its own
ICE; through calls that are disturbed, over the end of their allocations; and what is said of a relay that refuses, is full, or
is not there."""
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from certificates import STAGE, certificate
from check import (CASE, HERE, RINGFLEET, Checks, at_once, figure, listens, passes, run, start, start_answer, stop,
                   wait_until)

CALLS = 5
checks = Checks()
os.environ.update(TURN_PASSWORD="turn-not-a-secret", TURN_WRONG="turn-wrong")
ports = subprocess.run([sys.executable, HERE / "ports.py", "TURN", "TLS", "FULL", "NONE", "BRIEF", "LAB", "BLOCK=400", "BLOCK2=40",
                        "BLOCK3=100"],
                       stdout=subprocess.PIPE, text=True, check=True).stdout
PORT = {name: int(port) for name, _, port in (line.partition("=") for line in ports.split())}


def coturn(name, port, block, size, *options):
    """A server of its own on loopback; what it does stands in its log."""
    log = CASE / f"{name}.log"
    process = start(name, "turnserver", "-n", "--no-cli", "--verbose", "--log-file=stdout", "--simple-log",
                    "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}",
                    f"--min-port={block}", f"--max-port={block + size - 1}", "--allow-loopback-peers", "--lt-cred-mech",
                    "--realm=ringfleet.test", f"--user=agent:{os.environ['TURN_PASSWORD']}", f"--pidfile={CASE / name}.pid",
                    f"--userdb={CASE / name}.db", "--no-dtls", *options, log=log)
    wait_until(lambda: listens(port) and listens(port, "tcp"), f"{name} listens")
    return process, log


def target(name, servers, policy="relay", server="sip:127.0.0.1:" + os.environ["FAR_PORT"], within="3s", more="",
           trickle="off"):
    """A target file of this case; `servers` are lines of YAML."""
    folder = CASE / "targets"
    folder.mkdir(exist_ok=True)
    lines = "\n".join(f"      - {line}" for line in servers)
    (folder / f"{name}.yaml").write_text(f"""target: {name}
sip: {{ server: "{server}", domain: pbx.test, pairing_header: X-Ringfleet-Call }}
media:
  srtp: dtls
  ice:
    policy: {policy}
    gather_within: {within}
    trickle: {trickle}
    servers:
{lines}
accounts: {{ agents: {{ users: "1001..1020", password: "${{PROBE_PASSWORD}}" }} }}
numbers: {{ echo: "2000", encrypted: "8123" }}
safety: {{ max_concurrent: 600, max_cps: 200 }}
{more}""")
    return name


def turn(url, password="TURN_PASSWORD", rest=""):
    return f'{{ url: "{url}", username: agent, password: "${{{password}}}"{rest} }}'


(pem, key), ca = certificate("turn"), STAGE[0]
server, log = coturn("coturn", PORT["TURN"], PORT["BLOCK"], 400, f"--tls-listening-port={PORT['TLS']}", f"--cert={pem}",
                     f"--pkey={key}")
far = start_answer()
gathered = {}

# Every way to the relay, and through the PBX, whose relay of media has an ICE of its own.
pbx = "sip:127.0.0.1:" + os.environ["SIP_PORT"]
ways = (
    ("udp", f"turn:127.0.0.1:{PORT['TURN']}", "", None, "2000"),
    ("tcp", f"turn:127.0.0.1:{PORT['TURN']}?transport=tcp", "", None, "2000"),
    ("tls", f"turns:localhost:{PORT['TLS']}", f", ca: {ca}", None, "2000"),
    ("pbx", f"turn:127.0.0.1:{PORT['TURN']}", "", pbx, "8123"),
)


def by(name, url, rest, to, number):
    return run("encrypted", on=target(f"by-{name}", [turn(url, rest=rest)], **({"server": to} if to else {})), out=name,
               number=number)


for (name, *_), finished in zip(ways, at_once([lambda way=way: by(*way) for way in ways], limit=2)):
    passes(checks, finished, name)
    calls = finished.calls
    checks.equal(len(calls), CALLS, f"{name}: records")
    checks.equal({call["audio"] for call in calls}, {"two_way"}, f"{name}: audio")
    checks.equal({call["media_path"] for call in calls}, {"our_relay"}, f"{name}: which way media went")
    checks.equal({(call["media_fault"], call["ice_server_fault"]) for call in calls}, {(None, None)}, f"{name}: faults")
    checks.that(all(call["ice_gathered_ms"] is not None for call in calls), f"{name}: gathering was not timed")
    gathered[name] = sorted(call["ice_gathered_ms"] or 0.0 for call in calls)[CALLS // 2]

# The INVITE does not wait for the relay, whose address follows in an INFO; nor for one where nobody is.
late = [turn(f"turn:127.0.0.1:{PORT['TURN']}"), turn(f"turn:127.0.0.1:{PORT['NONE']}")]
trickled = run("encrypted", on=target("trickled", late, trickle="full"), out="trickled", number="2000")
passes(checks, trickled, "trickled")
checks.equal(len(trickled.calls), CALLS, "trickled: records")
for call in trickled.calls:
    got = {name: call[name] for name in ("audio", "media_path", "ice_trickled", "ice_trickle_fault")}
    wanted = {"audio": "two_way", "media_path": "our_relay", "ice_trickled": 2, "ice_trickle_fault": None}
    checks.equal(got, wanted, "trickled: a call")
    checks.that(call["ice_gathered_ms"] > 2900 and call["setup_ms"] < 1000 and call["dtls_done_ms"] < 1000,
                f"trickled: waited for a server: {call['ice_gathered_ms']}, {call['setup_ms']}, {call['dtls_done_ms']}")

# The PBX's relay of media does not take candidates later, though who answers behind it does: that is said, and the call goes on.
through = run("encrypted", on=target("through", late, "all", trickle="full", server=pbx), out="through", number="8123")
passes(checks, through, "through")
wanted = "the far end does not say that it takes candidates later (trickle-ice): it knows those of our description"
checks.equal({call["ice_trickle_fault"] for call in through.calls}, {wanted}, "through: what is said")

# Each allocation is given back with the call, and none is left for the server to find.
released = lambda: len(re.findall(r"refreshed.*lifetime=0", log.read_text(errors="replace")))
wait_until(lambda: released() >= 6 * CALLS, "allocations are given back")
checks.equal(released(), 6 * CALLS, "allocations that were given back")

# Calls that are disturbed go on by the relay: from another address, after a reload, and after a time offline that their allocation
# does not outlive. Those allocations last six seconds unless they are refreshed.
brief, brief_log = coturn("brief", PORT["BRIEF"], PORT["BLOCK3"], 100, "--max-allocate-lifetime=6", "--no-tls")
(CASE / "lab.yaml").write_text(f"""lab: relayed
domain: pbx.test
accounts: {{ users: "1001..1004", password: "${{PROBE_PASSWORD}}" }}
media: {{ srtp: dtls }}
connections: {{ keep_calls: 500ms }}
""")
lab = start("lab", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{PORT['LAB']}")
wait_until(lambda: listens(PORT["LAB"], "tcp"), "the lab listens")
target("disturbed", [turn(f"turn:127.0.0.1:{PORT['BRIEF']}")], server=f"sip:127.0.0.1:{PORT['LAB']}",
       more=f'websocket: {{ url: "ws://127.0.0.1:{PORT["LAB"]}/" }}\n')
(CASE / "disturbed.yaml").write_text("""scenario: disturbed
target: disturbed
actors:
  roams:
    transport: ws
    account: agents
    weight: 1
    steps:
      - register
      - dial: { number: "2000", answer_within: 10s }
      - talk: { for: 1s }
      - network_change: { within: 5s }
      - talk: { for: 8s }
      - network_change: { reconnect: true, within: 5s }
      - talk: { for: 1s }
      - reload: { retry: 100ms, within: 10s }
      - talk: { for: 1s }
      - hangup
  is-offline:
    transport: ws
    account: agents
    weight: 1
    steps:
      - register
      - dial: { number: "2000", answer_within: 10s }
      - talk: { for: 1s }
      - offline: { for: 8s, within: 5s }
      - talk: { for: 1s }
      - hangup
load: { concurrent: 4, calls: 4 }
expect:
  - each: { outcome: answered, audio: two_way }
  - run: "max of recovery_ms < 5000"
""")
finished = run(CASE / "disturbed.yaml", on="disturbed", out="disturbed")
passes(checks, finished, "disturbed")
calls = finished.calls
checks.equal([call["media_path"] for call in calls], ["our_relay"] * 4, "disturbed: which way media went")
checks.equal({(call["media_fault"], call["ice_server_fault"]) for call in calls}, {(None, None)}, "disturbed: faults")
text = brief_log.read_text(errors="replace")
new, refreshed, given_back = (len(re.findall(pattern, text)) for pattern in (
    r"new, realm", r"refreshed.*lifetime=[1-9]", r"refreshed.*lifetime=0\b"))
# Two calls had four allocations each (and one more for each try to call again that the lab refused), two had two.
checks.that(new >= 12, f"disturbed: {new} allocations, wanted 12 or more")
# Those of the eight seconds between two changes of the network.
checks.that(refreshed >= 2, f"disturbed: {refreshed} refreshes of them, wanted 2 or more")
checks.that(given_back >= 6, f"disturbed: {given_back} allocations were given back, wanted 6 or more")
recovered = [call["recovery_ms"] for call in calls if call["recovery_ms"] is not None]
checks.equal(len(recovered), 4, "disturbed: calls whose recovery was timed")
stop(lab)
stop(brief)

# A wrong password is named with its code, and nothing is dialled.
finished = run("encrypted", on=target("refused", [turn(f"turn:127.0.0.1:{PORT['TURN']}", "TURN_WRONG")]), out="refused",
               number="2000")
calls = finished.calls
checks.equal({call["class"] for call in calls}, {"media.no_relay"}, "wrong password: class")
checks.equal({call["invited"] for call in calls}, {False}, "wrong password: calls that were placed")
wanted = f"turn:127.0.0.1:{PORT['TURN']} refused: 401 Unauthorized, user name or password is wrong"
checks.equal({call["ice_server_fault"] for call in calls}, {wanted}, "wrong password: what is said")

# A server that gives each user two allocations: of five calls at once two go.
full, _ = coturn("full", PORT["FULL"], PORT["BLOCK2"], 40, "--user-quota=2", "--no-tls")
calls = run("encrypted", on=target("full", [turn(f"turn:127.0.0.1:{PORT['FULL']}")]), out="full", number="2000").calls
checks.equal(sorted(call["class"] for call in calls), ["media.no_relay"] * 3 + ["ok"] * 2, "full server: classes")
refused = {call["ice_server_fault"] for call in calls} - {None}
checks.that(len(refused) == 1 and " refused: 486 " in refused.pop(), "full server: 486 is not named")
stop(full)

# Nobody is there: the call goes straight, late by the time that the server had, and says so.
finished = run("encrypted", on=target("silent", [f'{{ url: "stun:127.0.0.1:{PORT["TURN"]}" }}',
                                                 turn(f"turn:127.0.0.1:{PORT['NONE']}")], "all", within="1s"),
               out="silent", number="2000")
passes(checks, finished, "silent server")
calls = finished.calls
checks.equal({call["media_path"] for call in calls}, {"direct"}, "silent server: which way media went")
checks.equal({call["ice_server_fault"] for call in calls}, {f"turn:127.0.0.1:{PORT['NONE']} did not answer"},
             "silent server: what is said")
checks.that(all(call["ice_gathered_ms"] >= 1000 for call in calls), "silent server: gathering ended too early")

# No secret is in any file of a run.
for folder in ("udp", "refused"):
    text = "".join(path.read_text(errors="replace") for path in (CASE / folder).rglob("*") if path.is_file())
    checks.that(not any(os.environ[name] in text for name in ("TURN_PASSWORD", "TURN_WRONG")), f"{folder}: holds a password")
checks.equal(stop(far, signal.SIGINT), 0, "answer: exit code")
stop(server)
figure(f"by a relay, disturbed: audio again after {max(recovered or [0]):.0f} ms at worst")
figure("relay allocated after " + ", ".join(f"{ms:.0f} ms ({name})" for name, ms in gathered.items()) + ", medians")
checks.end()
