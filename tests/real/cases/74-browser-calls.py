#!/usr/bin/env python3
"""A real browser (JsSIP in Chromium) and our agents call each other over WS and WSS: through the PBX and the relay, and with
media straight between them. The browser sends back what it hears, so that our own marker, coded twice on its way, proves
both directions; what the browser itself saw is asked of its getStats."""
import os
import signal
import statistics
import subprocess
import sys
import threading

import browser
from check import CASE, HERE, RINGFLEET, Checks, figure, listens, records, run, start, stop, wait_until

DOMAIN, PASSWORD = "pbx.test", os.environ["PROBE_PASSWORD"]
checks = Checks()
browser.install()
phone = browser.Phone()


def heard_by_browser(what, over, codec, role, level=0.01):
    """What the browser saw of a call: audio came and went, by this codec, in this role of DTLS, over the loopback."""
    stats = over["stats"]
    events = [event for event, *_ in over["events"]]
    if not checks.that("confirmed" in events and stats, f"{what}: the browser's call: {over['events']}, {over.get('fault')}"):
        print(over.get("sdp"), flush=True)
        return
    checks.equal((over["faults"], over.get("fault")), ([], None), f"{what}: errors of the page")
    checks.equal((stats["codec"], stats["sent_codec"]), (codec, codec), f"{what}: codecs of the browser")
    checks.equal((stats["dtls"], stats["dtls_role"]), ("connected", role), f"{what}: DTLS of the browser")
    checks.equal(stats["remote"], "127.0.0.1", f"{what}: where the browser sends to")
    checks.that(stats["received"] > 150 and stats["sent"] > 150, f"{what}: packets of the browser: {stats}")
    checks.that(stats["energy"] > 0 and stats["level"] > level, f"{what}: the browser hears nothing: {stats}")


def heard_by_us(what, call, codec, audio="two_way"):
    """Our record of a call with the browser."""
    got = {name: call.get(name) for name in ("class", "audio", "codec", "media_fault", "srtp_unauthenticated")}
    wanted = {"class": "ok", "audio": audio, "codec": codec, "media_fault": None, "srtp_unauthenticated": 0}
    good = checks.equal(got, wanted, f"{what}: our record")
    good &= checks.that(call.get("srtp") and call.get("dtls_done_ms") is not None, f"{what}: no keys by DTLS")
    good &= checks.that(call.get("level_dbov") is not None and call["level_dbov"] > -45, f"{what}: {call.get('level_dbov')} dBov")
    if not good:
        print(call, flush=True)


def server(url, port, codecs):
    """Sets what targets/browser.yaml is filled with."""
    trust = "insecure: true" if url.startswith("wss") else "reconnect: 200ms"
    os.environ.update(WEB_URL=url, WEB_TRUST=trust, WEB_PORT=str(port), WEB_CODECS=", ".join(codecs))
    (CASE / "targets" / "browser.yaml").unlink(missing_ok=True)


def agent_calls_browser(what, scheme, url, codecs, mime):
    """The browser answers; it begins DTLS, since our offer leaves that to it."""
    for attempt in range(3):
        number = phone.begin("answer", url, 1015, DOMAIN, PASSWORD, seconds=30)
        ready = phone.wait(number, "registered")
        if not checks.equal(ready["event"], "registered", f"{what}: the browser registers"):
            return
        finished = run("call-browser", on="browser", out=f"{what.replace(' ', '-')}-{attempt}", args=["--records", "all"],
                       **{"caller.transport": scheme})
        over = phone.wait(number, "over")
        # 3: this machine paused for so long, with a browser at work on it, that the run does not judge; it says so itself.
        if finished.code != 3:
            break
    calls = [call for call in finished.calls if call["direction"] == "outbound"]
    if checks.equal((finished.code, len(calls)), (0, 1), f"{what}: exit code, records"):
        heard_by_us(what, calls[0], codecs[0])
        timing.append((calls[0]["dtls_done_ms"], calls[0]["audio_loop_ms"]))
    else:
        finished.show()
    heard_by_browser(what, over, mime, "client")


def browser_calls_agent(what, scheme, url):
    """The browser calls an agent who stays registered; the agent begins DTLS, as answers of ours have it."""
    result = []
    waiting = threading.Thread(target=lambda: result.append(
        run("browser-calls", on="browser", out=what.replace(" ", "-"), args=["--records", "all"],
            **{"actors.agent.transport": scheme})))
    waiting.start()
    # An agent who is not there yet is called again.
    for _ in range(5):
        number = phone.begin("call", url, 1015, DOMAIN, PASSWORD, target=1001)
        over = phone.wait(number, "over")
        if any(event == "confirmed" for event, *_ in over["events"]):
            break
    waiting.join()
    calls = [call for call in result[0].calls if call["direction"] == "inbound"]
    if checks.equal(len(calls), 1, f"{what}: records"):
        heard_by_us(what, calls[0], "opus")
    else:
        result[0].show()
    heard_by_browser(what, over, "audio/opus", "server")


timing = []
urls = {"ws": f"ws://127.0.0.1:{os.environ['SIP_PORT']}/ws", "wss": f"wss://127.0.0.1:{os.environ['TLS_PORT']}/ws"}

# Through Kamailio and rtpengine, which has an ICE, a DTLS and an SRTP of its own on both sides.
far_port = os.environ["FAR_PORT"]
far = start("answer", RINGFLEET, "answer", "--listen", f"127.0.0.1:{far_port}", "--behaviour", "speech", "--out",
            CASE / "answered", "--quiet")
wait_until(lambda: listens(far_port), "ringfleet answer listens")
for count, (scheme, url) in enumerate(urls.items(), 1):
    what = f"relay {scheme} browser calls"
    number = phone.begin("call", url, 1015, DOMAIN, PASSWORD, target=8123)
    over = phone.wait(number, "over")
    wait_until(lambda: len(records(CASE / "answered")) == count, f"{what}: the record of the far end")
    heard_by_us(what, records(CASE / "answered")[-1], "opus")
    heard_by_browser(what, over, "audio/opus", over["stats"].get("dtls_role"))
    server(url, os.environ["SIP_PORT"], ["opus", "PCMA"])
    what = f"relay {scheme} agent calls"
    agent_calls_browser(what, scheme, url, ["opus", "PCMA"], "audio/opus")
checks.equal(stop(far, signal.SIGINT), 0, "answer: exit code")

# Media straight between agent and browser: the lab passes descriptions through.
ports = subprocess.run([sys.executable, HERE / "ports.py", "LAB"], stdout=subprocess.PIPE, text=True, check=True)
lab_port = int(ports.stdout.split("=")[1])
(CASE / "lab.yaml").write_text("""lab: web
domain: pbx.test
media: { srtp: dtls }
accounts: { users: "1001..1020", password: "${PROBE_PASSWORD}" }
""")
lab = start("lab", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{lab_port}")
wait_until(lambda: listens(lab_port), "the lab listens")
urls = {"ws": f"ws://127.0.0.1:{lab_port}/", "wss": f"wss://127.0.0.1:{lab_port}/"}
for scheme, url in urls.items():
    server(url, lab_port, ["opus", "PCMA"])
    agent_calls_browser(f"straight {scheme} agent calls", scheme, url, ["opus", "PCMA"], "audio/opus")
    browser_calls_agent(f"straight {scheme} browser calls", scheme, url)
for codec, mime in (("G722", "audio/G722"), ("PCMU", "audio/PCMU")):
    server(urls["ws"], lab_port, [codec])
    agent_calls_browser(f"straight {codec}", "ws", urls["ws"], [codec], mime)

# The beep of the fake microphone is sound that is none of ours; the lab's echo brings it back.
number = phone.begin("call", urls["ws"], 1015, DOMAIN, PASSWORD, target=2000, source="beep")
heard_by_browser("the beep", phone.wait(number, "over"), "audio/opus", "server")
checks.equal(phone.end(), 0, "exit code of the web phone")
known = [pair for pair in timing if None not in pair]
if known:
    keys, loops = (statistics.median(values) for values in zip(*known))
    figure(f"from the browser's answer to the keys {keys:.0f} ms; our audio through the browser and back {loops:.0f} ms "
           f"(medians of {len(known)} calls)")
checks.end()
