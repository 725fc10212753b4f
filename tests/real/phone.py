"""A small SIP phone over UDP: the yardstick for the servers of this stage, so that a failing case can be told from a
failing server. It knows INVITE, ACK, BYE, CANCEL, REGISTER, digest MD5 and G.711 in RTP, and nothing about Ringfleet.
"""
import hashlib
import random
import re
import select
import socket
import struct
import time

T1 = 0.5


class Message:
    def __init__(self, data):
        head, _, self.body = data.decode("latin-1").partition("\r\n\r\n")
        lines = head.split("\r\n")
        self.start = lines[0]
        self.headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if ":" in line]
        words = self.start.split(" ", 2)
        self.code = int(words[1]) if words[0] == "SIP/2.0" else None
        self.reason = words[2] if self.code and len(words) > 2 else ""
        self.method = self.cseq.split()[1] if self.code else words[0]

    def get(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def cseq(self):
        return self.get("CSeq")


class Result:
    """What a call showed; times in ms from the first INVITE."""

    def __init__(self):
        self.responses = []  # (ms, code, reason)
        self.code = self.reason = self.cause = None
        self.final_ms = self.answered_ms = self.bye_ms = None
        self.ended_by = self.bye_cause = None
        self.sent = self.received = self.early_received = 0
        self.echoed = self.silent = 0

    def __repr__(self):
        return str(vars(self))

    def first(self, code):
        return next((ms for ms, got, _ in self.responses if got == code), None)


class Phone:
    def __init__(self, server, domain, user, password):
        self.server, self.domain, self.user, self.password = server, domain, user, password
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind(("127.0.0.1", 0))
        self.port = self.sip.getsockname()[1]
        self.contact = f"<sip:{user}@127.0.0.1:{self.port}>"
        self.cseq = random.randrange(1, 1000)

    def close(self):
        self.sip.close()

    def headers(self, method, uri, call_id, to, cseq, branch, extra=(), body=""):
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:{self.user}@{self.domain}>;tag=t{call_id}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: {self.contact}",
            *extra,
        ]
        if body:
            lines.append("Content-Type: application/sdp")
        lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()

    def send(self, data):
        self.sip.sendto(data, self.server)

    def answer_to(self, challenge, method, uri):
        name = "WWW-Authenticate" if challenge.code == 401 else "Proxy-Authenticate"
        field = {k: v for k, v in re.findall(r'(\w+)="?([^",]+)"?', challenge.get(name))}
        md5 = lambda text: hashlib.md5(text.encode()).hexdigest()
        ha1 = md5(f"{self.user}:{field['realm']}:{self.password}")
        ha2 = md5(f"{method}:{uri}")
        if "qop" in field:
            response = md5(f"{ha1}:{field['nonce']}:00000001:c0ffee:auth:{ha2}")
            tail = ', qop=auth, nc=00000001, cnonce="c0ffee"'
        else:
            response, tail = md5(f"{ha1}:{field['nonce']}:{ha2}"), ""
        header = "Authorization" if challenge.code == 401 else "Proxy-Authorization"
        return (f'{header}: Digest username="{self.user}", realm="{field["realm"]}", nonce="{field["nonce"]}", '
                f'uri="{uri}", response="{response}"{tail}')

    def receive(self, until):
        left = until - time.monotonic()
        if left <= 0 or not select.select([self.sip], [], [], left)[0]:
            return None
        return Message(self.sip.recv(65535))

    def ask(self, method, uri, to, call_id, extra=(), within=8.0):
        """A non-INVITE request with its challenge; the final response, or None."""
        auth = []
        for _ in range(2):
            self.cseq += 1
            branch = f"z9hG4bK{random.getrandbits(48):x}"
            data = self.headers(method, uri, call_id, to, self.cseq, branch, [*extra, *auth])
            end, gap = time.monotonic() + within, T1
            self.send(data)
            reply = None
            while time.monotonic() < end:
                reply = self.receive(min(end, time.monotonic() + gap))
                if reply is None:
                    gap = min(2 * gap, 4)
                    self.send(data)
                elif reply.code and reply.code >= 200 and reply.cseq == f"{self.cseq} {method}":
                    break
            if reply is None or reply.code not in (401, 407) or auth:
                return reply
            auth = [self.answer_to(reply, method, uri)]
        return None

    def register(self, expires=60):
        uri, call_id = f"sip:{self.domain}", f"r{random.getrandbits(64):x}"
        to = f"<sip:{self.user}@{self.domain}>"
        extra = [f"Expires: {expires}"]
        reply = self.ask("REGISTER", uri, to, call_id, extra)
        return (reply.code, reply.reason) if reply else (None, "")

    def dial(self, number, talk=1.0, within=40.0, cancel_after=None, audio=b"\x55", headers=()):
        return Call(self, number, audio, headers).run(talk, within, cancel_after)


class Call:
    def __init__(self, phone, number, audio, headers):
        self.phone, self.number, self.extra = phone, number, list(headers)
        self.uri = f"sip:{number}@{phone.domain}"
        self.to = f"<{self.uri}>"
        self.id = f"c{random.getrandbits(64):x}"
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind(("127.0.0.1", 0))
        port = self.rtp.getsockname()[1]
        self.sdp = (f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
                    f"m=audio {port} RTP/AVP 0 8\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=ptime:20\r\n")
        self.payload = (audio * 160)[:160]
        self.far = None
        self.result = Result()

    def invite(self, auth=()):
        self.phone.cseq += 1
        self.cseq = self.phone.cseq
        self.branch = f"z9hG4bK{random.getrandbits(48):x}"
        self.data = self.phone.headers("INVITE", self.uri, self.id, self.to, self.cseq, self.branch,
                                       [*self.extra, *auth], self.sdp)
        self.phone.send(self.data)
        self.resend_at, self.gap = time.monotonic() + T1, T1

    def run(self, talk, within, cancel_after):
        self.start = time.monotonic()
        self.state, self.challenged, self.ringing = "calling", False, False
        self.hang_up_at = self.next_packet = None
        self.cancel_at = self.start + cancel_after if cancel_after else None
        self.talk = talk
        self.invite()
        deadline = self.start + within
        while self.state != "over" and time.monotonic() < deadline:
            self.turn(deadline)
        self.rtp.close()
        return self.result

    def turn(self, deadline):
        timers = [deadline, self.resend_at, self.hang_up_at, self.next_packet, self.cancel_at]
        wait = max(0, min(t for t in timers if t) - time.monotonic())
        for sock in select.select([self.phone.sip, self.rtp], [], [], wait)[0]:
            if sock is self.rtp:
                self.take_audio(sock.recv(2048))
            else:
                self.take(Message(sock.recv(65535)))
        now = time.monotonic()
        if self.resend_at and now >= self.resend_at:
            self.phone.send(self.data)
            self.gap *= 2
            self.resend_at = now + self.gap
        if self.next_packet and now >= self.next_packet:
            n = self.result.sent
            self.rtp.sendto(struct.pack("!BBHII", 0x80, 0, n & 0xFFFF, 160 * n, 7) + self.payload, self.far)
            self.result.sent += 1
            self.next_packet += 0.02
        if self.cancel_at and now >= self.cancel_at:
            self.cancel_at = None
            self.phone.send(self.phone.headers("CANCEL", self.uri, self.id, self.to, self.cseq, self.branch))
        if self.hang_up_at and now >= self.hang_up_at:
            self.hang_up()

    def ms(self):
        return (time.monotonic() - self.start) * 1000

    def take_audio(self, packet):
        if self.result.answered_ms is None:
            self.result.early_received += 1
        self.result.received += 1
        if packet[12:] == self.payload:
            self.result.echoed += 1
        if set(packet[12:]) == {0xFF}:
            self.result.silent += 1

    def take(self, message):
        if message.get("Call-ID") != self.id:
            return
        if message.code is None:
            return self.take_request(message)
        if message.method == "INVITE" and message.cseq == f"{self.cseq} INVITE":
            return self.take_response(message)
        if message.method == "BYE" and message.code >= 200:
            self.state = "over"

    def take_response(self, message):
        self.resend_at = None
        if message.code >= 300:
            ack_to = message.get("To")
            self.phone.send(self.phone.headers("ACK", self.uri, self.id, ack_to, self.cseq, self.branch))
        if self.state != "calling":
            if self.state == "talking" and 200 <= message.code < 300:
                self.ack()
            return
        if message.code in (401, 407) and not self.challenged:
            self.challenged = True
            return self.invite([self.phone.answer_to(message, "INVITE", self.uri)])
        self.result.responses.append((self.ms(), message.code, message.reason))
        if message.body:
            address = re.search(r"c=IN IP4 (\S+)", message.body).group(1)
            self.far = (address, int(re.search(r"m=audio (\d+)", message.body).group(1)))
            self.next_packet = self.next_packet or time.monotonic()
        if message.code < 200:
            return
        self.result.code, self.result.reason, self.result.final_ms = message.code, message.reason, self.ms()
        self.result.cause = message.get("Reason")
        if message.code >= 300:
            self.state = "over"
            return
        self.result.answered_ms = self.ms()
        self.route = [f"Route: {route}" for route in reversed(message.all("Record-Route"))]
        self.remote = re.search(r"<([^>]+)>", message.get("Contact")).group(1)
        self.far_to = message.get("To")
        self.ack()
        self.state, self.hang_up_at = "talking", time.monotonic() + self.talk

    def in_dialog(self, method, cseq):
        branch = f"z9hG4bK{random.getrandbits(48):x}"
        self.data = self.phone.headers(method, self.remote, self.id, self.far_to, cseq, branch, self.route)
        self.phone.send(self.data)

    def ack(self):
        self.in_dialog("ACK", self.cseq)

    def hang_up(self):
        self.hang_up_at = self.next_packet = None
        self.phone.cseq += 1
        self.in_dialog("BYE", self.phone.cseq)
        self.resend_at, self.gap = time.monotonic() + T1, T1
        self.result.ended_by, self.result.bye_ms = "us", self.ms()

    def take_request(self, message):
        lines = ["SIP/2.0 200 OK"]
        lines += [f"{k}: {v}" for k, v in message.headers if k.lower() in ("via", "from", "to", "call-id", "cseq")]
        self.phone.send(("\r\n".join(lines) + "\r\nContent-Length: 0\r\n\r\n").encode())
        if message.method == "BYE":
            self.result.ended_by, self.result.bye_ms = "far_end", self.ms()
            self.result.bye_cause, self.state = message.get("Reason"), "over"
