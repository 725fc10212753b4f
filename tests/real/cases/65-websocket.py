#!/usr/bin/env python3
"""SIP over WS and WSS through Kamailio: register and call, be called, be closed and come back, be refused."""
import os
import subprocess
import threading
import time

from check import CASE, Checks, figure, passes, run

CTL = f"unix:{os.environ['WORK']}/kamailio.ctl"
os.environ["WS_PATH"] = "ws"
checks = Checks()


def rpc(*words):
    done = subprocess.run(["kamcmd", "-s", CTL, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout


def connections():
    """Numbers of the WebSocket connections that Kamailio has."""
    words = [line.split() for line in rpc("ws.dump").splitlines()]
    return [line[0].rstrip(":") for line in words if line and line[0].rstrip(":").isdigit()]


for scheme in ("ws", "wss"):
    finished = run("web-caller", on=f"kamailio-{scheme}", out=f"caller-{scheme}", args=["--records", "all"],
                   **{"caller.transport": scheme})
    if not passes(checks, finished, f"{scheme}: the caller"):
        continue
    for got in finished.calls:
        checks.equal((got["class"], got["transport"]), ("ok", scheme), f"{scheme}: class, transport")
        checks.that(got["ws_upgrade_ms"] is not None, f"{scheme}: the upgrade is timed")
        checks.equal(got["tls_ms"] is not None, scheme == "wss", f"{scheme}: TLS is timed")
    one = finished.calls[0]
    figure(f"{scheme}: TCP {one['tcp_ms']:.1f}, TLS {one['tls_ms'] or 0:.1f}, upgrade {one['ws_upgrade_ms']:.1f}, "
           f"REGISTER {one['rrd_ms']:.1f} ms")

    closed = []

    def cut():
        """Closes the agent's connection from Kamailio's side, once it has taken a call."""
        time.sleep(5)
        closed.append(rpc("ws.dump"))
        for number in connections():
            closed.append(rpc("ws.close", number))

    cutter = threading.Thread(target=cut)
    cutter.start()
    finished = run("web-agent", on=f"kamailio-{scheme}", out=f"agent-{scheme}", args=["--records", "all"],
                   **{"actors.agent.transport": scheme})
    cutter.join()
    legs = [got for got in finished.calls if got["direction"] == "inbound"]
    good = [got for got in legs if got["class"] == "ok"]
    lost = [got for got in finished.calls if got["class"] == "transport.ws_closed"]
    checks.that(len(good) >= 2 and all(got["audio"] == "two_way" for got in good), f"{scheme}: calls to the agent: {legs}")
    checks.that(lost and all("closed the WebSocket" in (got["reason"] or "") for got in lost),
                f"{scheme}: the call that was cut: {[(got['class'], got['reason']) for got in finished.calls]}, {closed}")
    beside = [got for got in finished.calls if "registered again after" in (got["reason"] or "")]
    checks.that(beside, f"{scheme}: the agent came back")
    for got in beside:
        figure(f"{scheme}: {got['reason']}")
    for got in lost[:1]:
        figure(f"{scheme}: {got['reason']}")

os.environ["WS_PATH"] = "refused"
(CASE / "targets" / "kamailio-ws.yaml").unlink()
finished = run("web-caller", out="refused", on="kamailio-ws")
checks.equal(finished.code, 4, "refused: exit code")
got = finished.calls[0] if finished.calls else {}
checks.equal(got.get("class"), "transport.ws_upgrade", "refused: class")
checks.that("403 Forbidden" in (got.get("reason") or ""), f"refused: {got.get('reason')}")
checks.end()
