#!/usr/bin/env python3
"""`check --live --bandwidth` as an operator runs it: to `answer` and to `lab`, alone and with the ladder of a target; over a path
that loses packets one way, to nobody, and to a server that is no responder."""
import os
import random
import re
import select
import socket
import subprocess
import sys
import threading

from check import CASE, HERE, RINGFLEET, Checks, figure, listens, start, stop, wait_until

checks = Checks()
ports = subprocess.run([sys.executable, HERE / "ports.py", "SIP", "OTHER", "MEASURE", "LOSSY", "NOBODY"], stdout=subprocess.PIPE,
                       text=True, check=True).stdout
PORT = {name: int(port) for name, _, port in (line.partition("=") for line in ports.split())}


def check(*words):
    done = subprocess.run([str(word) for word in (RINGFLEET, "check", "--live", *words)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, cwd=CASE, timeout=60)
    return done.returncode, done.stdout


def steps(text):
    """Each step of the ladders, and whether it was climbed."""
    found = (re.match(r"    (\S+) +(ok|FAILED)", line) for line in text.splitlines())
    return [(step[1], step[2]) for step in found if step]


def holds(what, words, code, wanted, says=""):
    got, text = check(*words)
    ok = checks.equal((got, steps(text)), (code, wanted), what)
    ok &= checks.that(says in text, f"{what}: no {says!r}")
    if not ok:
        print(text, flush=True)
    return text


UP_DOWN = [("up", "ok"), ("down", "ok")]
measure = f"127.0.0.1:{PORT['MEASURE']}"
answer = start("answer", RINGFLEET, "answer", "--listen", f"127.0.0.1:{PORT['SIP']}", "--bandwidth", measure, "--out", CASE / "answered")
wait_until(lambda: listens(PORT["MEASURE"]), "the responder listens")
text = holds("to answer", ["--bandwidth", measure, "--mbps", 3], 0, UP_DOWN)
came = [float(mbps) for mbps in re.findall(r"([0-9.]+) Mbit/s came through", text)]
# 5 % more than is wanted is sent.
checks.that(len(came) == 2 and all(3.0 <= mbps < 3.3 for mbps in came), f"what came through: {came}")
figure(f"3 Mbit/s wanted each way: {came} Mbit/s came through")

# Beside the ladder of a target, whose own verdict stands too.
(CASE / "far.yaml").write_text(f'target: far\nsip: {{ server: "sip:127.0.0.1:{PORT["SIP"]}" }}\n'
                               'accounts: { agents: { users: "1001", password: "${PROBE_PASSWORD}" } }\n')
holds("with a target", ["far.yaml", "--bandwidth", measure, "--mbps", 1], 0, [("dns", "ok"), ("options", "ok"), *UP_DOWN])


class Lossy:
    """A way to the responder that loses this share of what goes up."""

    def __init__(self, share):
        self.share, self.chance, self.there = share, random.Random(1), ("127.0.0.1", PORT["MEASURE"])
        self.near, self.far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.near.bind(("127.0.0.1", PORT["LOSSY"]))
        self.far.bind(("127.0.0.1", 0))
        threading.Thread(target=self.carry, daemon=True).start()

    def carry(self):
        client = None
        while True:
            for ready in select.select([self.near, self.far], [], [])[0]:
                data, sender = ready.recvfrom(65536)
                if ready is self.near:
                    client = sender
                    # What is small is of the agreement, and passes.
                    if len(data) < 500 or self.chance.random() >= self.share:
                        self.far.sendto(data, self.there)
                elif client:
                    self.near.sendto(data, client)


Lossy(0.4)
text = holds("a narrow way up", ["--bandwidth", f"127.0.0.1:{PORT['LOSSY']}", "--mbps", 3], 4, [("up", "FAILED"), ("down", "ok")],
             "net.bandwidth_low")
lost = [float(share) for share in re.findall(r"([0-9.]+) % of \d+ packets were lost", text)]
checks.that(len(lost) == 2 and 30 < lost[0] < 50 and lost[1] == 0, f"what was lost: {lost}")

holds("to nobody", ["--bandwidth", f"127.0.0.1:{PORT['NOBODY']}"], 4, [("responder", "FAILED")], "transport.refused")
# It speaks SIP, and gets four small packets at most.
holds("to a server of SIP", ["--bandwidth", f"127.0.0.1:{PORT['SIP']}"], 4, [("responder", "FAILED")])
code, text = check("--bandwidth", measure, "--mbps", 11)
checks.equal(code, 2, "more than any responder takes: exit code")
checks.equal(stop(answer, within=10), 0, "answer: exit code")

lab = start("lab", RINGFLEET, "lab", "--listen", f"127.0.0.1:{PORT['OTHER']}", "--bandwidth", measure)
wait_until(lambda: listens(PORT["MEASURE"]), "the lab's responder listens")
holds("to lab", ["--bandwidth", measure, "--mbps", 0.5], 0, UP_DOWN)
stop(lab)
checks.end()
