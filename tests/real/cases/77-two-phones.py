#!/usr/bin/env python3
"""An agent with two phones on real sockets: two tabs and the phones of a pool in the project's own scenarios, two gateways with a
lab each, and two WebSocket connections at Kamailio."""
import os
import subprocess
import sys
from collections import Counter

from check import CASE, HERE, RINGFLEET, ROOT, Checks, judged, listens, passes, start, stop, wait_until

checks = Checks()
os.environ["WS_PATH"] = "ws"
ALL = ["--records", "all"]


def legs(finished):
    """The records of the last attempt, by actor: the end of their ids."""
    return {call["call_id"].rsplit("-", 1)[1]: call for call in finished.calls}


for name in ("second-tab", "agent-pool"):
    passes(checks, judged(ROOT / "scenarios" / f"{name}.yaml", on=None, args=ALL), name)

# Two gateways, each a lab of its own, with one account and password: customers call at either.
ports = subprocess.run([sys.executable, HERE / "ports.py", "ONE", "TWO"], stdout=subprocess.PIPE, text=True, check=True)
one, two = (int(line.split("=")[1]) for line in ports.stdout.split())
(CASE / "lab.yaml").write_text('lab: gateway\ndomain: pbx.test\nmedia: { srtp: dtls }\n'
                               'accounts: { users: "1001..1020", password: "${PROBE_PASSWORD}" }\n')
(CASE / "targets").mkdir(exist_ok=True)
labs = []
for name, port in (("gateway-1", one), ("gateway-2", two)):
    labs.append(start(name, RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{port}"))
    wait_until(lambda: listens(port, "tcp"), f"{name} listens")
    (CASE / "targets" / f"{name}.yaml").write_text(
        f'target: {name}\nsip: {{ server: "sip:127.0.0.1:{port}", domain: pbx.test }}\n'
        f'websocket: {{ url: "wss://127.0.0.1:{port}/", insecure: true }}\nmedia: {{ srtp: dtls }}\n'
        'accounts: { agents: { users: "1001..1004", password: "${PROBE_PASSWORD}" }, '
        'customers: { users: "1011..1020", password: "${PROBE_PASSWORD}" } }\n'
        'safety: { allow: ["^[0-9]{4,}$"] }\n')
PHONE = "steps: [ register, { answer: { auto_answer: true, within: 15s, optional: true } }, talk ]"
(CASE / "gateways.yaml").write_text(f"""scenario: gateways
target: gateway-1
actors:
  first: {{ transport: wss, account: agents, {PHONE} }}
  second: {{ transport: wss, target: gateway-2, account_of: first, when: first.registered, {PHONE} }}
  customer:
    account: customers
    target: @GATEWAY@
    when: second.registered
    steps: [ {{ dial: {{ number: "{{{{ first.user }}}}", answer_within: 20s }} }}, {{ talk: {{ for: 2s }} }}, hangup ]
load: {{ calls: 2, concurrent: 2 }}
expect: [ {{ each: {{ class: ok }} }}, {{ run: "count(two_way) == 4" }}, {{ run: "max of ring_ms < 2500" }} ]
""")
for gateway, called in (("gateway-1", "first"), ("gateway-2", "second")):
    path = CASE / f"{gateway}.yaml"
    path.write_text((CASE / "gateways.yaml").read_text().replace("@GATEWAY@", gateway))
    finished = judged(path, on=None, args=ALL)
    passes(checks, finished, gateway)
    inbound = [call for call in finished.calls if call["invited"] and call["direction"] == "inbound"]
    invited = Counter(call["call_id"].rsplit("-", 1)[1] for call in inbound)
    checks.equal(invited, Counter({called: 2}), f"{gateway}: phones that were called")
for lab in labs:
    stop(lab)

# At Kamailio both tabs are bindings of one account, and the server says which one rings: the other is well without a call.
(CASE / "both.yaml").write_text(f"""scenario: both
target: kamailio-ws
actors:
  first: {{ transport: ws, account: agents, {PHONE} }}
  second: {{ transport: ws, account_of: first, when: first.registered,
            steps: [ register, {{ answer: {{ after: 4s, within: 15s, optional: true }} }}, talk ] }}
  customer:
    account: customers
    when: second.registered
    steps: [ {{ dial: {{ number: "{{{{ first.user }}}}", answer_within: 20s }} }}, {{ talk: {{ for: 2s }} }}, hangup ]
load: {{ calls: 1 }}
""")
finished = judged(CASE / "both.yaml", on="kamailio-ws", args=ALL)
got = {name: (leg["class"], leg["code"], leg["invited"], leg["audio"]) for name, leg in legs(finished).items()}
checks.equal({name: leg[0] for name, leg in got.items()}, {"first": "ok", "second": "ok", "customer": "ok"}, f"Kamailio: {got}")
answered = [name for name in ("first", "second") if got.get(name, ("", 0, False, ""))[3] == "two_way"]
checks.equal((len(answered), got.get("customer", [""])[-1]), (1, "two_way"), f"Kamailio: the phone that had the call, and who called: {got}")
checks.end()
