#!/usr/bin/env python3
"""A real browser (JsSIP in Chromium) and our agents call each other over WS and WSS: through the PBX and the relay, and with
media straight between them. The browser sends back what it hears, so that our own marker, coded twice on its way, proves
both directions; what the browser itself saw is asked of its getStats."""
import os
import signal
import socket
import statistics
import threading

import browser
from check import CASE, RINGFLEET, Checks, figure, listens, records, run, start, stop, target, wait_until

DOMAIN, PASSWORD = "pbx.test", os.environ["PROBE_PASSWORD"]
checks = Checks()
browser.install()
phone = browser.Phone()


def starved(over, calls):
    """Whether a side had not the time for its audio, which a machine of two cores with a browser at work takes from it at times:
    packets came to the browser in heaps, or it had to make up a tenth of what it played, or our own record says that we stood
    still, or that what the browser sent came in heaps."""
    stats = over["stats"]
    browser_was = bool(stats) and (stats["jitter_ms"] > 30 or stats["concealed"] > stats["samples"] / 10)
    return browser_was or any(call["class"] in ("probe.stalled", "media.choppy") for call in calls)


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


def heard_by_us(what, call, codec):
    """Our record of a call with the browser."""
    got = {name: call.get(name) for name in ("class", "audio", "codec", "media_fault", "srtp_unauthenticated")}
    wanted = {"class": "ok", "audio": "two_way", "codec": codec, "media_fault": None, "srtp_unauthenticated": 0}
    good = checks.equal(got, wanted, f"{what}: our record")
    good &= checks.that(call.get("srtp") and call.get("dtls_done_ms") is not None, f"{what}: no keys by DTLS")
    good &= checks.that(call.get("level_dbov") is not None and call["level_dbov"] > -45, f"{what}: {call.get('level_dbov')} dBov")
    if not good:
        print(call, flush=True)


def described(what, over):
    """Ours, as the browser got it, without a relay between: what the browser offers and we do not speak is left out, so that it
    sends none of it, and what both share stays shared."""
    theirs = next((text for name, text in over["sdp"].items() if name.startswith("local")), "")
    ours = next((text for name, text in over["sdp"].items() if name.startswith("remote")), "")
    if "local offer" in over["sdp"]:
        checks.that("transport-cc" in theirs and "a=extmap:" in theirs and " red/" in theirs, f"{what}: its offer: {theirs}")
    else:
        checks.that("a=extmap:" not in theirs and " red/" not in theirs, f"{what}: its answer: {theirs}")
    for line in ("a=group:BUNDLE 0", "a=mid:0", "a=rtcp-mux", "a=fingerprint:sha-256 "):
        checks.that(line in ours, f"{what}: no {line}: {ours}")
    for word in ("transport-cc", "a=extmap", "red/"):
        checks.that(word not in ours, f"{what}: {word}: {ours}")


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
        # 3: our own side was late, and does not judge.
        if finished.code != 3 and not starved(over, finished.calls):
            break
    calls = [call for call in finished.calls if call["direction"] == "outbound"]
    if checks.equal((finished.code, len(calls)), (0, 1), f"{what}: exit code, records"):
        heard_by_us(what, calls[0], codecs[0])
        timing.append((calls[0]["dtls_done_ms"], calls[0]["audio_loop_ms"]))
    else:
        finished.show()
    heard_by_browser(what, over, mime, "client")
    if what.startswith("straight"):
        described(what, over)
    return calls[0] if calls else {}


def browser_calls_agent(what, scheme, url, source="echo"):
    """The browser calls an agent who stays registered; the agent begins DTLS, as answers of ours have it."""
    for attempt in range(3):
        result = []
        waiting = threading.Thread(target=lambda out: result.append(
            run("browser-calls", on="browser", out=out, args=["--records", "all"],
                **{"actors.agent.transport": scheme})), args=[f"{what.replace(' ', '-')}-{attempt}"])
        waiting.start()
        # An agent who is not there yet is called again.
        for _ in range(5):
            number = phone.begin("call", url, 1015, DOMAIN, PASSWORD, target=1001, source=source)
            over = phone.wait(number, "over")
            if any(event == "confirmed" for event, *_ in over["events"]):
                break
        waiting.join()
        if not starved(over, result[0].calls):
            break
    calls = [call for call in result[0].calls if call["direction"] == "inbound"]
    if not checks.equal(len(calls), 1, f"{what}: records"):
        result[0].show()
    elif source == "echo":
        heard_by_us(what, calls[0], "opus")
    else:
        # Sound that is none of ours, and heard as such.
        call = calls[0]
        checks.equal((call["audio_rx"], call["codec"]), ("noise", "opus"), f"{what}: what we hear")
        checks.that(call["first_audio_ms"] is not None and call["level_dbov"] > -50, f"{what}: {call['level_dbov']} dBov")
    heard_by_browser(what, over, "audio/opus", "server")
    described(what, over)


timing = []
urls = {"ws": f"ws://127.0.0.1:{os.environ['SIP_PORT']}/ws", "wss": f"wss://127.0.0.1:{os.environ['TLS_PORT']}/ws"}

# Through Kamailio and rtpengine, which has an ICE, a DTLS and an SRTP of its own on both sides.
far_port = os.environ["FAR_PORT"]
far = start("answer", RINGFLEET, "answer", "--listen", f"127.0.0.1:{far_port}", "--behaviour", "speech", "--out",
            CASE / "answered", "--quiet")
wait_until(lambda: listens(far_port), "ringfleet answer listens")
answered, spoilt = 0, False
for scheme, url in urls.items():
    what = f"relay {scheme} browser calls"
    for _ in range(3):
        number = phone.begin("call", url, 1015, DOMAIN, PASSWORD, target=8123)
        over = phone.wait(number, "over")
        answered += 1
        wait_until(lambda: len(records(CASE / "answered")) == answered, f"{what}: the record of the far end")
        if not starved(over, records(CASE / "answered")[-1:]):
            break
        spoilt = True
    heard_by_us(what, records(CASE / "answered")[-1], "opus")
    heard_by_browser(what, over, "audio/opus", over["stats"].get("dtls_role"))
    server(url, os.environ["SIP_PORT"], ["opus", "PCMA"])
    what = f"relay {scheme} agent calls"
    agent_calls_browser(what, scheme, url, ["opus", "PCMA"], "audio/opus")
# 1 where a call failed, as one may that is made again.
checks.that(stop(far, signal.SIGINT) in ((0, 1) if spoilt else (0,)), "answer: exit code")

# Media straight between agent and browser: the lab passes descriptions through.
lab, lab_port = browser.web_lab()
urls = {"ws": f"ws://127.0.0.1:{lab_port}/", "wss": f"wss://127.0.0.1:{lab_port}/"}
for scheme, url in urls.items():
    server(url, lab_port, ["opus", "PCMA"])
    agent_calls_browser(f"straight {scheme} agent calls", scheme, url, ["opus", "PCMA"], "audio/opus")
    browser_calls_agent(f"straight {scheme} browser calls", scheme, url)
for codec, mime in (("G722", "audio/G722"), ("PCMU", "audio/PCMU")):
    server(urls["ws"], lab_port, [codec])
    agent_calls_browser(f"straight {codec}", "ws", urls["ws"], [codec], mime)

# A STUN server that does not answer holds nothing up: that no more candidates will come is told in an INFO. Answers of Chromium say
# that it takes candidates later, whether its page does or not; JsSIP answers 200 and looks no further.
server(urls["ws"], lab_port, ["opus"])
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
    silent.bind(("127.0.0.1", 0))
    stun = f'ice: {{ servers: [{{ url: "stun:127.0.0.1:{silent.getsockname()[1]}" }}], trickle: full }}'
    path = target("browser")
    path.write_text(path.read_text().replace("srtp: dtls }", f"srtp: dtls, {stun} }}"))
    call = agent_calls_browser("straight trickled", "ws", urls["ws"], ["opus"], "audio/opus")
    checks.equal((call.get("ice_trickled"), call.get("ice_trickle_fault")), (1, None), "straight trickled: INFO")
    checks.that(call.get("setup_ms", 9999) < 2500 < call.get("ice_gathered_ms", 0), f"straight trickled: waited: {call}")

# The beep of the fake microphone: our agent hears it, and the lab's echo brings it back.
server(urls["ws"], lab_port, ["opus"])
browser_calls_agent("straight beep", "ws", urls["ws"], source="beep")
number = phone.begin("call", urls["ws"], 1015, DOMAIN, PASSWORD, target=2000, source="beep")
heard_by_browser("the beep", phone.wait(number, "over"), "audio/opus", "server")
checks.equal(phone.end(), 0, "exit code of the web phone")
known = [pair for pair in timing if None not in pair]
if known:
    keys, loops = (statistics.median(values) for values in zip(*known))
    figure(f"from the browser's answer to the keys {keys:.0f} ms; our audio through the browser and back {loops:.0f} ms "
           f"(medians of {len(known)} calls)")
checks.end()
