#!/usr/bin/env python3
"""What befalls a WebSocket: peers of ours that never finish what they begin are closed in time and cost little memory; a server
that demands a client certificate takes the right one, and the missing and the wrong one have their words; a server that falls
silent is found out by its pings, and the agent comes back over another connection."""
import base64
import hashlib
import os
import re
import select
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from certificates import STAGE, certificate, foreign_ca
from check import CASE, HERE, RINGFLEET, Checks, figure, listens, passes, run, start, stop, wait_until

checks = Checks()
ports = subprocess.run([sys.executable, HERE / "ports.py", "LAB", "FRONT", "SILENT"], stdout=subprocess.PIPE, text=True, check=True)
LAB, FRONT, SILENT = (int(line.split("=")[1]) for line in ports.stdout.split())


def target(name, url, more="", keep_alive="30s"):
    folder = CASE / "targets"
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.yaml").write_text(
        f"target: {name}\nsip: {{ domain: pbx.test, keep_alive: {keep_alive} }}\nwebsocket: {{ url: \"{url}\"{more} }}\n"
        'accounts: { agents: { users: "1001..1020", password: "${PROBE_PASSWORD}" } }\n'
        'numbers: { echo: "2000" }\nsafety: { allow: ["^[0-9]{4,}$"] }\n')
    return name


def scenario(name, body):
    path = CASE / f"{name}.yaml"
    path.write_text(f"scenario: {name}\ntarget: pbx\n{body}")
    return path


call = scenario("call", "caller: { account: agents, steps: [register, { dial: { number: echo } }, { talk: { for: 2s } }, hangup] }\n"
                "load: { concurrent: 2, calls: 6 }\nexpect: [ { each: { outcome: answered, audio: two_way } } ]\n")
(CASE / "lab.yaml").write_text('lab: web\ndomain: pbx.test\naccounts: { users: "1001..1020", password: "${PROBE_PASSWORD}" }\n')
lab = start("lab", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{LAB}")
wait_until(lambda: listens(LAB, "tcp"), "the lab listens")


# --- peers that never finish ----------------------------------------------------------------------------------------
REQUEST = (f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{LAB}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n").encode()
# The head of a frame of 200,000 bytes of text, under a mask of zeros.
FRAME = bytes([0x81, 0x80 | 127]) + struct.pack(">Q", 200_000) + bytes(4)
CROWD, HELD = 150, 100_000


class Loris:
    """A peer that sends a little each second and never comes to an end."""

    def __init__(self, kind):
        self.kind, self.begun, self.closed = kind, time.monotonic(), None
        self.socket = socket.create_connection(("127.0.0.1", LAB))
        if kind == "frame":
            self.socket.sendall(REQUEST)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += self.socket.recv(4096)
            checks.that(answer.startswith(b"HTTP/1.1 101"), f"upgraded: {answer[:60]}")
            self.begun = time.monotonic()
            self.socket.sendall(FRAME + b"x" * HELD)
        elif kind == "upgrade":
            self.socket.sendall(b"GET / HTTP/1.1\r\nX: ")
        elif kind == "tls":
            self.socket.sendall(bytes([22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]))
        self.socket.setblocking(False)

    def trickle(self):
        try:
            if self.kind != "silent":
                self.socket.send(b"x" if self.kind != "tls" else b"\0")
            if self.socket.recv(4096):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.closed = time.monotonic() - self.begun
        self.socket.close()


def resident(process):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


target("pbx", f"ws://127.0.0.1:{LAB}/")
before = resident(lab)
KINDS = {"silent": 10, "tls": 10, "upgrade": 10, "frame": 32}
crowd = [Loris(kind) for kind in KINDS for _ in range(CROWD)]
honest = []
beside = threading.Thread(target=lambda: honest.append(run(call, on="pbx", out="beside", args=["--records", "all"])))
beside.start()
most, end = 0.0, time.monotonic() + 45
while time.monotonic() < end and any(peer.closed is None for peer in crowd):
    for peer in crowd:
        if peer.closed is None:
            peer.trickle()
    most = max(most, resident(lab))
    time.sleep(1)
beside.join()
# 3: our own side was late, and does not judge.
if honest[0].code != 3:
    passes(checks, honest[0], "calls beside those that never finish")
checks.equal([call["code"] for call in honest[0].calls], [200] * 6, "calls beside those that never finish")
for kind, within in KINDS.items():
    times = [peer.closed for peer in crowd if peer.kind == kind]
    checks.equal(times.count(None), 0, f"{kind}: connections that were not closed")
    known = [at for at in times if at is not None]
    # They look once a second, and a connection begun stands behind those before it.
    checks.that(known and min(known) > within - 2 and max(known) < within + 5, f"{kind}: closed after {known and (min(known), max(known))} s")
bound = CROWD * HELD / 2**20 * 2 + 30
checks.that(most - before < bound, f"the lab grew by {most - before:.0f} MiB, of {bound:.0f}")
figure(f"{len(crowd)} peers that never finish: " + ", ".join(
    f"{kind} closed after {max((peer.closed or 0) for peer in crowd if peer.kind == kind):.0f} s" for kind in KINDS)
    + f"; {most - before:.0f} MiB for {CROWD * HELD / 2**20:.0f} MiB of frames")


# --- a server that demands a certificate of its clients: OpenSSL before the stage's Kamailio ----------------------------
(server_pem, server_key) = certificate("front")
right, wrong = certificate("probe"), certificate("stranger", foreign_ca())
SIP_PORT = int(os.environ["SIP_PORT"])


def pump(client, behind):
    """Carries bytes both ways until either side has ended."""
    with client, behind:
        while True:
            ready, _, _ = select.select([client, behind], [], [], 30)
            if client.pending():
                ready.append(client)
            if not ready:
                return
            for one, other in ((client, behind), (behind, client)):
                if one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    other.sendall(data)


def end(listener):
    """Closes it for whoever waits in `accept` as well."""
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


def serve(listener, context):
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return

        def one(plain=plain):
            try:
                client = context.wrap_socket(plain, server_side=True)
                pump(client, socket.create_connection(("127.0.0.1", SIP_PORT)))
            except OSError:
                plain.close()

        threading.Thread(target=one, daemon=True).start()


for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(server_pem, server_key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(STAGE[0])
    listener = socket.create_server(("127.0.0.1", FRONT))
    threading.Thread(target=serve, args=(listener, context), daemon=True).start()
    # OpenSSL has an alert for it in TLS 1.3 only.
    missing, refused = ("the server wants a client certificate (cert and key of the target)" if version == ssl.TLSVersion.TLSv1_3
                        else "it may want a client certificate, or another one (cert and key of the target)",
                        "the server refused our client certificate (alert UnknownCA)")
    for name, identity, words in (("right", right, None), ("none", None, missing), ("wrong", wrong, refused)):
        what = f"client certificate {name}, {version.name}"
        shown = f', cert: "{identity[0]}", key: "{identity[1]}"' if identity else ""
        # By address: of a name that has two, what is told is how the second one failed.
        target("pbx", f"wss://127.0.0.1:{FRONT}/ws", f", insecure: true{shown}")
        finished = run(call, on="pbx", out=f"{name}-{version.name}", args=["--records", "all"],
                       **{"load.calls": 1, "load.concurrent": 1})
        if words is None:
            # 3: our own side was late, and does not judge.
            if finished.code != 3:
                passes(checks, finished, what)
            checks.equal({(got["class"] in ("ok", "probe.stalled"), got["code"]) for got in finished.calls}, {(True, 200)}, what)
            continue
        checks.equal(finished.code, 4, f"{what}: exit code")
        got = finished.calls[0] if finished.calls else {}
        checks.equal((got.get("class"), got.get("invited")), ("transport.tls", False), f"{what}: class, dialled")
        checks.that(words in (got.get("reason") or ""), f"{what}: {got.get('reason')}")
        checks.that(got.get("tcp_ms") is not None and got.get("ws_upgrade_ms") is None, f"{what}: its steps")
    end(listener)


# --- a server that falls silent ------------------------------------------------------------------------------------------
class Silent:
    """A registrar over WebSocket whose first connection answers SIP and, from a while on, nothing at all."""

    def __init__(self, silent_after):
        self.silent_after, self.connections, self.registers = silent_after, 0, 0
        self.listener = socket.create_server(("127.0.0.1", SILENT))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(client, self.connections == 1), daemon=True).start()

    def serve(self, client, falls_silent):
        reader = client.makefile("rb")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += reader.readline()
        key = re.search(rb"Sec-WebSocket-Key: (\S+)", head, re.I)[1]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        client.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       b"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        begun = time.monotonic()
        say = lambda opcode, payload: client.sendall(bytes([0x80 | opcode, 126]) + struct.pack(">H", len(payload)) + payload)
        while first := reader.read(2):
            opcode, length = first[0] & 15, first[1] & 127
            if length == 126:
                length = struct.unpack(">H", reader.read(2))[0]
            mask, masked = reader.read(4), reader.read(length)
            payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))
            if falls_silent and time.monotonic() - begun > self.silent_after:
                continue
            if opcode == 9:
                client.sendall(bytes([0x8a, len(payload)]) + payload)
            elif payload == b"\r\n\r\n":
                say(1, b"\r\n")
            elif opcode in (1, 2) and not payload.startswith(b"ACK "):
                say(1, self.answer(payload))

    def answer(self, request):
        self.registers += request.startswith(b"REGISTER ")
        lines = [line for line in request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
                 if line.split(b":")[0].lower() in (b"via", b"from", b"to", b"call-id", b"cseq", b"contact")]
        lines = [line + b";tag=far" if line.lower().startswith(b"to:") and b";tag=" not in line else line for line in lines]
        body = b""
        if request.startswith(b"INVITE "):
            lines = [line for line in lines if not line.lower().startswith(b"contact:")]
            lines += [b"Contact: <sip:far.invalid;transport=ws>", b"Content-Type: application/sdp"]
            body = (b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                    b"m=audio 40000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n")
        else:
            lines += [b"Expires: 600"]
        return b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: %d" % len(body), b"", body])


for kind in ("ping", "crlf"):
    server = Silent(4)
    target("pbx", f"ws://127.0.0.1:{SILENT}/", f", keep_alive: {kind}, reconnect: 200ms", keep_alive="2s")
    held = scenario(f"held-{kind}", "caller: { account: agents, steps: [ { dial: { number: echo, media: none } }, { wait: 60s }, hangup ] }\n"
                    "load: { calls: 1 }\n")
    finished = run(held, on="pbx", out=f"silent-{kind}")
    got = finished.calls[0] if finished.calls else {}
    checks.equal((got.get("class"), got.get("code")), ("transport.ws_silent", 200), f"{kind}: a call whose server falls silent")
    # 4 s until it falls silent, 2.4 s until the next sign of life is asked for, and 10 s in which it may come.
    checks.that(got.get("duration_ms") and 10_000 < got["duration_ms"] < 18_000, f"{kind}: found out after {got.get('duration_ms')} ms")
    end(server.listener)

    server = Silent(4)
    standing = scenario(f"standing-{kind}", "caller: { account: agents, registered: standing, expires: 600, steps: [ { wait: 20s } ] }\n"
                        "load: { concurrent: 1, calls: 1 }\n")
    finished = run(standing, on="pbx", out=f"standing-{kind}", args=["--records", "all"])
    lost = [record for record in finished.calls if record["class"] == "reg.binding_lost"]
    back = [record for record in finished.calls if "registered again after" in (record["reason"] or "")]
    if not checks.equal((len(lost), len(back), server.connections), (1, 1, 2), f"{kind}: bindings lost, made again; connections"):
        print([(record["class"], record["reason"]) for record in finished.calls], finished.summary.get("beside"), flush=True)
    for record in lost + back:
        figure(f"{kind}: {record['reason']}")
    end(server.listener)
stop(lab)
checks.end()
