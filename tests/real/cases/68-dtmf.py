#!/usr/bin/env python3
"""Keys (DTMF) through the PBX and the relay to `ringfleet answer`, which sends back each that it hears: as telephone events and as
tones, in plain RTP, from and to WebRTC; and those that a browser (JsSIP's sendDTMF) presses, as an agent of ours hears them."""
import os
import signal
import threading

import browser
from check import CASE, RINGFLEET, Checks, figure, judged, listens, passes, records, run, start, stop, wait_until

CALLS = 3
KEYS = "0123456789*#ABCD11D"
checks = Checks()
port = os.environ["FAR_PORT"]
far = start("answer", RINGFLEET, "answer", "--listen", f"127.0.0.1:{port}", "--behaviour", "keys", "--out", CASE / "answered",
            "--quiet")
wait_until(lambda: listens(port), "ringfleet answer listens")


def told(call):
    return tuple(call[name] for name in ("dtmf_sent", "dtmf_sent_by", "dtmf_heard", "dtmf_heard_by"))


whole = 0
for name, on, number in (
    ("plain RTP", "kamailio", "8123"),
    ("WebRTC", "kamailio-webrtc", "8123"),
    ("WebRTC to plain RTP", "kamailio-webrtc", "8223"),
    ("plain RTP to WebRTC", "kamailio", "8423"),
):
    finished = judged("keys", on=on, out=name.replace(" ", "-"), number=number)
    passes(checks, finished, name)
    calls = finished.calls
    checks.equal(len(calls), CALLS, f"{name}: records")
    checks.equal({told(call) for call in calls}, {(KEYS, "inband", KEYS, "inband")}, f"{name}: keys of the callers")
    ids = {call["call_id"] for call in calls}
    answered = lambda: [call for call in records(CASE / "answered") if call["paired_with"] in ids]
    wait_until(lambda: len(answered()) == CALLS, f"{name}: records of the far end")
    checks.equal({told(call) for call in answered()}, {(KEYS, "inband", KEYS, "inband")}, f"{name}: keys of the far end")
    whole += sum(call["dtmf_heard"] == KEYS for call in calls + answered())
stop(far, signal.SIGINT)

# A browser presses keys: it calls an agent, with media straight between them.
browser.install()
phone = browser.Phone()
lab, lab_port = browser.web_lab()
password = os.environ["PROBE_PASSWORD"]
url = f"ws://127.0.0.1:{lab_port}/"
for codec in ("opus", "PCMU"):
    os.environ.update(WEB_URL=url, WEB_TRUST="reconnect: 200ms", WEB_PORT=str(lab_port), WEB_CODECS=codec)
    (CASE / "targets" / "browser.yaml").unlink(missing_ok=True)
    result = []
    waiting = threading.Thread(target=lambda: result.append(
        run("browser-calls", on="browser", out=f"browser-{codec}", args=["--records", "all"],
            **{"actors.agent.transport": "ws"})))
    waiting.start()
    # An agent who is not there yet is called again.
    for _ in range(5):
        number = phone.begin("call", url, 1015, "pbx.test", password, target=1001, dtmf="1590*#", seconds=6)
        over = phone.wait(number, "over")
        if any(event == "confirmed" for event, *_ in over["events"]):
            break
    waiting.join()
    calls = [call for call in result[0].calls if call["direction"] == "inbound"]
    if checks.equal(len(calls), 1, f"browser, {codec}: records"):
        heard = tuple(calls[0][name] for name in ("codec", "dtmf_heard", "dtmf_heard_by"))
        checks.equal(heard, (codec, "1590*#", "event"), f"browser, {codec}: what our agent heard")
    else:
        result[0].show()
        print(over, flush=True)
checks.equal(phone.end(), 0, "exit code of the web phone")
stop(lab)
figure(f"keys whole in {whole} of {2 * 4 * CALLS} legs, and from a browser in Opus and PCMU")
checks.end()
