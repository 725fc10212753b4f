#!/usr/bin/env python3
"""Video between our agent and a real browser (JsSIP in Chromium, its fake camera), media straight between them, VP8 and H.264,
either side calling: frames counted on both sides, the size of the picture, key frames that are asked for, and a picture that
stands still. Our frames are valid where Chromium decodes them; what the browser itself saw is asked of its getStats."""
import os
import threading

import browser
from check import CASE, Checks, figure, run, start, stop

DOMAIN, PASSWORD = "pbx.test", os.environ["PROBE_PASSWORD"]
FPS, TRIES = 15, 3
checks = Checks()
browser.install()
phone = browser.Phone()
lab, port = browser.web_lab()
url = f"ws://127.0.0.1:{port}/"
os.environ.update(WEB_URL=url, WEB_TRUST="reconnect: 200ms", WEB_PORT=str(port), WEB_CODECS="opus")


def scenario(name, steps, who="caller", more=""):
    path = CASE / f"{name}.yaml"
    steps = "".join(f"      - {step}\n" for step in steps)
    actor = f"  {who}:\n    transport: ws\n    account: agents\n{more}    steps:\n{steps}"
    path.write_text(f"scenario: {name}\ntarget: browser\nactors:\n{actor}load: {{ calls: 1 }}\n")
    return path


def judged(what, call, over, codec, size, seconds):
    """What both sides say of one call with video."""
    ours, theirs = call.get("video") or {}, (over["stats"] or {}).get("video") or {}
    good = checks.equal((call.get("class"), call.get("audio"), call.get("media_fault")), ("ok", "two_way", None), f"{what}: our record")
    good &= checks.equal((over["faults"], over.get("fault")), ([], None), f"{what}: errors of the page")
    good &= checks.equal((ours.get("codec"), theirs.get("codec"), theirs.get("sent_codec")),
                         (codec, f"video/{codec}", f"video/{codec}"), f"{what}: codecs")
    if not checks.that(ours and theirs, f"{what}: no video: {call}, {over}"):
        return
    # The browser decodes what we send: each frame that came, in our size, and nothing is broken in it.
    width, height = map(int, size.split("x"))
    good &= checks.equal(theirs["size"], [width, height], f"{what}: size of our picture in the browser")
    good &= checks.that(theirs["decoded"] > 0.8 * FPS * seconds, f"{what}: frames that the browser decoded")
    good &= checks.that(theirs["key_frames"] >= 1 and theirs["lost"] == 0, f"{what}: key frames decoded, packets lost")
    # We count what the browser sends, frame by frame, and see its size.
    # While our page stands still it takes neither the browser's frames nor its requests.
    still = what.endswith("frozen")
    good &= checks.that(still or abs(ours["rx_frames"] - theirs["sent_frames"]) <= 0.1 * theirs["sent_frames"] + 5, f"{what}: frames of the browser")
    good &= checks.equal(ours["size"], "x".join(map(str, theirs["sent_size"])), f"{what}: size of the browser's picture")
    good &= checks.that(ours["rx_key_frames"] >= 1 and ours["broken_frames"] == 0, f"{what}: its key frames, broken frames")
    good &= checks.that(ours["first_frame_ms"] is not None and ours["first_frame_ms"] < 3000, f"{what}: the first frame")
    # Each request for a key frame that one side sent came to the other.
    good &= checks.equal((ours["key_frames_asked"], None if still else ours["key_frames_wanted"]),
                         (theirs["wanted"], None if still else theirs["asked"]),
                         f"{what}: key frames that were asked for")
    good &= checks.that(ours["tx_key_frames"] >= 1 + (ours["key_frames_wanted"] > 0), f"{what}: key frames sent")
    if not good:
        print(what, ours, theirs, over["events"], sep="\n", flush=True)
    figure(f"{what}: {theirs['decoded']} of our frames decoded, {ours['rx_frames']} of its {theirs['sent_frames']} counted at "
           f"{ours['size']}, first after {ours['first_frame_ms']:.0f} ms; key frames asked for: {ours['key_frames_asked']} by us, "
           f"{ours['key_frames_wanted']} by it; freezes: {ours['freezes']} here, {theirs['freezes']} there")
    return ours, theirs


def starved(over, calls):
    """Whether a side had not the time for its media, as happens on a machine of two cores with a browser at work: our record says
    that we stood still, or that what the browser sent came in heaps, or the browser had to make up a tenth of what it played."""
    stats = over["stats"] or {}
    browser_was = bool(stats) and stats["concealed"] > stats["samples"] / 10
    return browser_was or any(call["class"] in ("probe.stalled", "media.choppy") for call in calls)


def agent_calls(what, steps, codec, size, seconds, attempt=1):
    number = phone.begin("answer", url, 1015, DOMAIN, PASSWORD, seconds=60, video=True, within=90)
    if not checks.equal(phone.wait(number, "registered")["event"], "registered", f"{what}: the browser registers"):
        return None
    name = what.replace(" ", "-")
    path = scenario(name, ["register", *steps, "hangup"])
    finished = run(path, on="browser", out=f"out-{name}-{attempt}", args=["--records", "all"])
    over = phone.wait(number, "over", within=100)
    if attempt < TRIES and starved(over, finished.calls):
        return agent_calls(what, steps, codec, size, seconds, attempt + 1)
    calls = [call for call in finished.calls if call["direction"] == "outbound"]
    if not checks.equal((finished.code, len(calls)), (0, 1), f"{what}: exit code, records"):
        finished.show()
        return None
    return judged(what, calls[0], over, codec, size, seconds)


def browser_calls(what, codec, size, attempt=1):
    result = []
    name = what.replace(" ", "-")
    picture = f"{{ size: {size}, fps: {FPS}, kbps: 500, codecs: [{codec}] }}"
    path = scenario(name, [f"answer: {{ within: 60s, video: {picture} }}", "talk"], "agent", "    registered: standing\n")
    waiting = threading.Thread(target=lambda: result.append(run(path, on="browser", out=f"out-{name}-{attempt}", args=["--records", "all"])))
    waiting.start()
    # An agent who is not there yet is called again.
    for _ in range(5):
        over = phone.wait(phone.begin("call", url, 1015, DOMAIN, PASSWORD, target=1001, seconds=8, video=True), "over")
        if any(event == "confirmed" for event, *_ in over["events"]):
            break
    waiting.join()
    if attempt < TRIES and starved(over, result[0].calls):
        return browser_calls(what, codec, size, attempt + 1)
    calls = [call for call in result[0].calls if call["direction"] == "inbound"]
    if not checks.equal(len(calls), 1, f"{what}: records"):
        return result[0].show()
    return judged(what, calls[0], over, codec, size, 7)


for codec in ("VP8", "H264"):
    picture = f"video: {{ size: 640x360, fps: {FPS}, kbps: 500, codecs: [{codec}] }}"
    agent_calls(f"{codec} agent calls", [f"dial: {{ number: browser, answer_within: 20s, {picture} }}", "talk: { for: 8s }"],
                codec, "640x360", 7)
    browser_calls(f"{codec} browser calls", codec, "1280x720")

# Our page stands still for four seconds: so does the browser's picture, and what came meanwhile is lost to us, so that we ask for a
# key frame, which the browser sends.
seen = agent_calls("VP8 frozen", [f"dial: {{ number: browser, answer_within: 20s, video: {{ size: 640x360, fps: {FPS}, codecs: [VP8] }} }}",
                                  "talk: { for: 4s }", "frozen: { for: 4s, within: 10s }", "talk: { for: 4s }"], "VP8", "640x360", 7)
if seen:
    ours, theirs = seen
    checks.that(theirs["freezes"] >= 1 and theirs["frozen_s"] > 3, f"frozen: the browser's picture stood still: {theirs}")
    checks.that(ours["key_frames_asked"] >= 1 and theirs["sent_key_frames"] >= 2, f"frozen: key frames: {ours}, {theirs}")
checks.equal(phone.end(), 0, "exit code of the web phone")
stop(lab)
checks.end()
