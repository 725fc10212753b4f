#!/usr/bin/env python3
"""Incidents by mail over TLS: a server that speaks it from the first byte, one by STARTTLS, both with a login; one whose
certificate nobody vouches for and one that offers no STARTTLS get neither the mail nor the password, and the watch says so."""
import base64
import email
import signal
import socketserver
import ssl
import threading

from certificates import STAGE, certificate, foreign_ca
from check import CASE, RINGFLEET, Checks, figure, start, stop, wait_until

PASSWORD = "mail-s3cret"
PATIENCE = 120
checks = Checks()


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail, and keeps all that it is told: `heard` in the clear, `said` over TLS, `mails` by their subject."""

    daemon_threads = True

    def __init__(self, keys=None, tls=None):
        self.context, self.tls, self.heard, self.said, self.mails = None, tls, [], [], []
        if keys:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*keys)
        server = self

        class Talk(socketserver.BaseRequestHandler):
            def handle(self):
                try:
                    server.talk(self.request)
                except OSError:
                    pass

        super().__init__(("127.0.0.1", 0), Talk)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.port = self.server_address[1]

    def talk(self, connection):
        connection.settimeout(20)
        private = self.tls == "at once"
        if private:
            connection = self.context.wrap_socket(connection, server_side=True)
        say = lambda text: connection.sendall(f"{text}\r\n".encode())
        file = connection.makefile("rb")
        say("220 stage")
        while line := file.readline():
            words = line.decode().strip()
            (self.said if private else self.heard).append(words)
            verb = words.split(" ")[0].upper()
            if verb == "EHLO":
                offers = ["STARTTLS"] if self.tls == "asked for" and not private else ["AUTH PLAIN"]
                say("\r\n".join(["250-stage", *(f"250 {offer}" for offer in offers)]))
            elif verb == "STARTTLS":
                say("220 go on")
                connection = self.context.wrap_socket(connection, server_side=True)
                file, private = connection.makefile("rb"), True
                say = lambda text: connection.sendall(f"{text}\r\n".encode())
            elif verb == "AUTH":
                given = base64.b64decode(words.split(" ")[2]).decode().split("\0")
                say("235 welcome" if given[1:] == ["probe", PASSWORD] else "535 who are you")
            elif verb == "DATA":
                say("354 go on")
                body = b""
                while (more := file.readline()) != b".\r\n":
                    body += more
                self.mails.append(email.message_from_bytes(body))
                say("250 taken")
            elif verb == "QUIT":
                return say("221 bye")
            else:
                say("250 ok")


ours = certificate("mail")
at_once, asked_for = MailServer(ours, "at once"), MailServer(ours, "asked for")
unknown, plain = MailServer(certificate("unknown", foreign_ca()), "at once"), MailServer()
(CASE / "lab.yaml").write_text(
    'lab: lines\naccounts: { users: "1001..1004", password: secret }\n'
    "extensions:\n  fine: { number: 2000, does: { echo: { answer_after: 10ms } } }\n  gone: { number: 3404, does: { reject: { code: 404 } } }\n")
for name in ("fine", "gone"):
    (CASE / f"{name}.yaml").write_text(
        f"scenario: {name}\ntarget: lab.yaml\ncaller:\n  account: agents\n  steps:\n    - dial: {{ number: {name}, media: none }}\n"
        "    - hangup\n")
mail = "".join(
    f"    - email:\n        server: '{address}'\n        from: Ringfleet <probe@example.com>\n        to: [oncall@example.com]\n"
    f"        username: probe\n        password: '${{MAIL_PASSWORD}}'\n"
    for address in (f"smtps://localhost:{at_once.port}", f"smtp://localhost:{asked_for.port}?tls=required",
                    f"smtps://localhost:{unknown.port}", f"smtp://localhost:{plain.port}?tls=required"))
(CASE / "watch.yaml").write_text(
    "watch: taipei\nsite: desk\nchecks:\n"
    "  - { scenario: fine.yaml, target: lab.yaml, agents: each, every: 3s }\n"
    "  - { scenario: gone.yaml, target: lab.yaml, agents: each, every: 3s }\nalerts:\n  notify:\n" + mail)
watch = start("watch", RINGFLEET, "watch", "watch.yaml", "--out", "out",
              env={"SSL_CERT_FILE": str(STAGE[0]), "MAIL_PASSWORD": PASSWORD})
for server, how in ((at_once, "TLS from the first byte"), (asked_for, "STARTTLS")):
    wait_until(lambda: server.mails, f"a mail by {how}", PATIENCE)
    sent = server.mails[0]
    checks.that("3404" in sent["Subject"] and "opened" in sent["Subject"], f"{how}: subject {sent['Subject']!r}")
    checks.equal(sent["To"], "oncall@example.com", f"{how}: to")
    names = [part.get_filename() for part in sent.walk() if part.get_filename()]
    checks.equal(names, ["incident-sheet.json"], f"{how}: attachments")
    checks.that(any(words.startswith("AUTH PLAIN ") for words in server.said), f"{how}: no login")
checks.that(all(words.split(" ")[0].upper() in ("EHLO", "STARTTLS") for words in asked_for.heard), f"in the clear: {asked_for.heard}")
log = lambda: (CASE / "watch.log").read_text(errors="replace")
wait_until(lambda: "email-3" in log() and "email-4" in log(), "the watch says who is not told", PATIENCE)
said = [line for line in log().splitlines() if "email-3" in line or "email-4" in line]
checks.that(any("certificate" in line.lower() for line in said), f"not a word of the certificate: {said}")
checks.equal((unknown.mails, unknown.said, plain.mails), ([], [], []), "what the two others got")
checks.that(not any("AUTH" in words or "MAIL" in words for words in plain.heard), f"in the clear: {plain.heard}")
checks.equal(stop(watch, signal.SIGINT), 0, "exit code")
kept = [path for path in (CASE / "watch.log", *(CASE / "out").rglob("*")) if path.is_file()]
checks.that(not any(PASSWORD.encode() in path.read_bytes() for path in kept), "the password lies in a file")
figure("; ".join(line.split("  ")[-1].strip()[:160] for line in said[:2]))
checks.end()
