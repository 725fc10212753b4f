#!/usr/bin/env python3
"""The `webrtc` crate (INTEROP_WEBRTC=1), whose ICE, DTLS, SRTP and RTCP nobody here wrote: our agents call it and it calls
`answer`, with Opus, PCMU and PCMA, in both roles of DTLS, with both profiles of SRTP that it has, and with ICE that begins anew in
the call, by either side. Audio goes there and back: our marker is recognised in what it sends back, and its own in what we do."""
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from check import CASE, HERE, RINGFLEET, ROOT, Checks, figure, listens, records, run, start, stop, wait_until

checks = Checks()
package = ROOT / "tests/interop"
# WEBRTC_PEER=PATH takes a peer that is built already.
PEER = Path(os.environ.get("WEBRTC_PEER", Path(os.environ["CARGO_TARGET_DIR"]) / "release/webrtc_peer"))
words = ["cargo", "build", "--release", "--locked", "--features", "webrtc", "--bin", "webrtc_peer"]
if "WEBRTC_PEER" not in os.environ:
    built = subprocess.run(words, cwd=package, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if not checks.equal(built.returncode, 0, "the peer is built"):
        print(built.stdout[-3000:])
        checks.end()
ports = subprocess.run([sys.executable, HERE / "ports.py", "PEER", "FAR"], stdout=subprocess.PIPE, text=True, check=True)
PORT, FAR = (int(line.split("=")[1]) for line in ports.stdout.split())
SUITES = {"cm": "AES_CM_128_HMAC_SHA1_80", "gcm": "AEAD_AES_128_GCM"}
# Codec, profile, its role in DTLS where it answers, and whether ICE begins anew.
WAYS = [("opus", "cm", "client", False), ("PCMU", "gcm", "server", False), ("PCMA", "gcm", "client", True), ("opus", "gcm", "server", True)]


def said(log):
    """What the peer says of each call that is over."""
    return [json.loads(line) for line in Path(log).read_text().splitlines() if line.startswith('{"over"')]


def ours(what, call, codec, suite, paused=False):
    """Our record of a call with the crate. Where it begins ICE anew it numbers packets that it does not send for a fifth of a
    second: they are missing, and nothing else is."""
    got = {name: call.get(name) for name in ("codec", "srtp", "media_fault", "srtp_unauthenticated")}
    wanted = {"codec": codec, "srtp": SUITES[suite], "media_fault": None, "srtp_unauthenticated": 0}
    good = checks.equal(got, wanted, f"{what}: our record")
    if paused:
        good &= checks.that(call["class"] in ("ok", *PAUSED), f"{what}: class {call['class']}")
        missing = call["rx_packets"] * call["loss_pct"] / (100 - call["loss_pct"])
        good &= checks.that(20 * missing <= call["gap_ms_max"] + 60 and call["gap_ms_max"] < 400,
                            f"{what}: {missing:.0f} packets are missing, in one gap of {call['gap_ms_max']} ms")
    else:
        good &= checks.equal(call["class"], "ok", f"{what}: class")
    good &= checks.that(call.get("dtls_done_ms") is not None and call.get("rx_packets", 0) > 150, f"{what}: keys and packets")
    # 40 ms on the way and back at most, by its own reports; nothing is lost on the loopback but what a restart costs.
    good &= checks.that(call.get("rtt_ms") is not None and 0 < call["rtt_ms"] < 40, f"{what}: round trip {call.get('rtt_ms')} ms")
    good &= checks.that(call.get("loss_pct") is not None and call["loss_pct"] < (5 if paused else 2), f"{what}: loss {call.get('loss_pct')} %")
    if not good:
        print(call, flush=True)
    timing.append(call.get("dtls_done_ms"))


timing, loops = [], []
# What a fifth of a second without packets comes to.
PAUSED = ("media.choppy", "media.poor_network")
# A program that was kept from running for so long, ms, says nothing of the other; both tell it of themselves.
STARVED = 60


def is_starved(code, calls, seen):
    """Whether our side or the crate's had not the time; such a call is made again."""
    return code == 3 or any(call.get("stalled_ms") for call in calls) or any(one["late_ms"] > STARVED for one in seen)

# Our agent calls.
for codec, suite, role, restart in WAYS:
    what = f"we call, {codec}, {suite}, its DTLS {role}{', network changed' if restart else ''}"
    for attempt in range(3):
        name = f"placed-{codec}-{suite}-{attempt}"
        log = CASE / f"{name}.peer"
        peer = start(name, PEER, "answer", f"127.0.0.1:{PORT}", 1, "--codec", codec, "--srtp", suite, "--dtls", role, log=log)
        wait_until(lambda: listens(PORT), "the peer listens")
        (CASE / "targets").mkdir(exist_ok=True)
        (CASE / "targets/crate.yaml").write_text(
            f'target: crate\nsip: {{ server: "sip:127.0.0.1:{PORT}" }}\nmedia: {{ srtp: dtls, codecs: [{codec}] }}\nnumbers: {{ far: "2000" }}\n')
        changed = ["{ network_change: { within: 5s } }", "{ talk: { for: 4s } }"] if restart else []
        steps = ", ".join(["{ dial: { number: far, answer_within: 10s } }", "{ talk: { for: 6s } }", *changed, "hangup"])
        (CASE / f"{name}.yaml").write_text(f"scenario: placed\ntarget: crate\ncaller: {{ steps: [ {steps} ] }}\nload: {{ calls: 1 }}\n")
        finished = run(CASE / f"{name}.yaml", on="crate", out=name, args=["--records", "all"])
        wait_until(lambda: peer.poll() is not None, "the peer has ended after its call")
        if not is_starved(finished.code, finished.calls, said(log)):
            break
    calls, seen = finished.calls, said(log)
    if not checks.equal((len(calls), len(seen)), (1, 1), f"{what}: records"):
        finished.show()
        print(log.read_text()[-2000:])
        continue
    ours(what, calls[0], codec, suite)
    checks.equal(calls[0]["audio"], "two_way", f"{what}: our audio came back")
    checks.that(seen[0]["received"] > 150 and seen[0]["lost"] <= 20, f"{what}: what it saw: {seen[0]}")
    loops.append(calls[0]["audio_loop_ms"])
    if restart:
        checks.that(calls[0]["recovery_ms"] is not None and calls[0]["recovery_ms"] < 2000, f"{what}: audio again: {calls[0]['recovery_ms']}")
        figure(f"{what}: audio again after {calls[0]['recovery_ms']:.0f} ms")

# It calls `answer`, which sends back what it hears.
for number, (codec, suite, role, restart) in enumerate(WAYS, 1):
    what = f"it calls, {codec}, {suite}{', ICE begins anew' if restart else ''}"
    again = ["--restart"] if restart else []
    for attempt in range(3):
        log, folder = CASE / f"calls-{number}-{attempt}.peer", CASE / f"answered-{number}-{attempt}"
        far = start(folder.name, RINGFLEET, "answer", "--listen", f"127.0.0.1:{FAR}", "--behaviour", "echo", "--out", folder, "--quiet")
        wait_until(lambda: listens(FAR), "ringfleet answer listens")
        peer = start(log.stem, PEER, "call", f"127.0.0.1:{FAR}", "--codec", codec, "--srtp", suite, "--seconds", 8, *again, log=log)
        wait_until(lambda: peer.poll() is not None, "the peer has ended its call", 40)
        stop(far, signal.SIGINT)
        seen, heard = said(log), records(folder)
        if not is_starved(far.returncode, heard, seen):
            break
    if not checks.equal((peer.returncode, len(seen), len(heard)), (0, 1, 1), f"{what}: its call"):
        print(log.read_text()[-2000:])
        continue
    ours(what, heard[0], codec, suite, paused=restart)
    # A marker a second; the first and the last may be cut off.
    checks.that(seen[0]["markers"] >= 4, f"{what}: its audio came back: {seen[0]}")
    checks.that(seen[0]["received"] > 250 and seen[0]["lost"] <= 20, f"{what}: what it saw: {seen[0]}")
known, heard = ([value for value in values if value is not None] for values in (timing, loops))
if known and heard:
    figure(f"from the answer to the keys {sorted(known)[len(known) // 2]:.0f} ms; our audio to the crate and back "
           f"{sorted(heard)[len(heard) // 2]:.0f} ms (medians)")
checks.end()
