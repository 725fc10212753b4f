#!/usr/bin/env python3
"""Everybody whom a watch tells is away when a fault begins: InfluxDB, a webhook, Alertmanager and a mail server. It says so once
of each, on its page and in its figures; when they are back each hears of the fault once, and nothing is lost. The hour of this
is in virtual time (`cargo test courier`); here the sockets are real and the time is short.
"""
import email
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time

from alertmanager import Alertmanager, Receiver
from check import CASE, HERE, RINGFLEET, Checks, figure, records, start, stop, wait_until
from database import TOKEN, Database
from two_checks import Shown, calls_that_held, log, write_files, write_lab

os.environ["INFLUX_TOKEN"] = TOKEN
PATIENCE = 120
# Long enough for some tries of each.
AWAY = 15
checks = Checks()


# Below the range that the system gives to clients: nobody takes them while nobody listens there.
found = subprocess.run([sys.executable, HERE / "ports.py", "HOOK", "MAIL", "MANAGER"], stdout=subprocess.PIPE, text=True,
                       check=True)
hook_port, mail_port, manager_port = (int(line.partition("=")[2]) for line in found.stdout.split())


class Mail(socketserver.ThreadingTCPServer):
    """Takes mail without asking who sends it."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, port):
        self.mails = []
        server = self

        class Talk(socketserver.StreamRequestHandler):
            def handle(self):
                say = lambda text: self.wfile.write(f"{text}\r\n".encode())
                say("220 stage")
                while line := self.rfile.readline():
                    verb = line.split()[0].upper() if line.split() else b""
                    if verb == b"DATA":
                        say("354 go on")
                        body = b""
                        while (more := self.rfile.readline()) not in (b".\r\n", b""):
                            body += more
                        server.mails.append(email.message_from_bytes(body))
                    say("221 bye" if verb == b"QUIT" else "250 ok")
                    if verb == b"QUIT":
                        return

        super().__init__(("127.0.0.1", port), Talk)
        threading.Thread(target=self.serve_forever, daemon=True).start()


database = Database()
own = Receiver()
alertmanager = Alertmanager(own.url, manager_port)
write_files(database, f"webhook: {{ name: hook, url: 'http://127.0.0.1:{hook_port}/hook' }}",
            f"alertmanager: {{ name: manager, url: '{alertmanager.url}' }}",
            f"email: {{ name: mail, server: 'smtp://127.0.0.1:{mail_port}', from: a@b.example, to: [c@d.example] }}")
watch = start("watch", RINGFLEET, "watch", "watch.yaml", "--out", "out")
shown = Shown()
value = shown.value
wait_until(lambda: calls_that_held() >= 20, "calls hold", PATIENCE)
database.kill()
write_lab(503)
watch.send_signal(signal.SIGHUP)
for name in ("hook", "manager", "mail"):
    wait_until(lambda: f"{name} takes no messages: " in log(), f"{name} is said to be away", PATIENCE)
away = time.monotonic()
wait_until(lambda: value("database_up") == 0.0, "figures say that the database is away", 60)
for name in ("hook", "manager", "mail"):
    wait_until(lambda: f"{name} takes no messages" in shown.troubles(), f"the page says that {name} is away", 30)
    wait_until(lambda: (value("alerts_waiting", name) or 0) >= 1, f"figures say that messages wait for {name}", 30)
wait_until(lambda: not shown.status()["sinks"][0]["up"], "the page says that the database is away", 30)
time.sleep(max(0, AWAY - (time.monotonic() - away)))
checks.that(value("alert_tries_failed_total", "hook") <= 30, "the one who is away is stormed")

hook, mail = Receiver(hook_port), Mail(mail_port)
manager = alertmanager.open("manager")
database.open()
back = time.monotonic()
wait_until(lambda: hook.at("/hook"), "the webhook hears of it", PATIENCE)
wait_until(lambda: mail.mails, "the mail server hears of it", PATIENCE)
wait_until(lambda: alertmanager.alerts(alertname="RingfleetIncident"), "Alertmanager hears of it", PATIENCE)
figure(f"all three had heard {time.monotonic() - back:.0f} s after they were back")
wait_until(lambda: value("database_up") == 1.0 and value("points_waiting") <= 200, "the database takes points again", PATIENCE)
for name in ("hook", "manager", "mail"):
    wait_until(lambda: f"{name} takes messages again" in log(), f"{name} is said to be back", PATIENCE)
write_lab()
watch.send_signal(signal.SIGHUP)
wait_until(lambda: not alertmanager.alerts(alertname="RingfleetIncident"), "it is over at Alertmanager", PATIENCE)
keys = lambda state: {it["dedup_key"] for it in hook.at("/hook") if it["state"] == state}
wait_until(lambda: keys("resolved") == keys("firing"), "the webhook hears of the end of all", PATIENCE)
closed = lambda: [it for it in mail.mails if it["Subject"].endswith("closed")]
wait_until(lambda: len(closed()) >= len(keys("firing")), "the mail server hears of the end of all", PATIENCE)
told = hook.at("/hook")
checks.equal(len({it["id"] for it in told}), len(told), "the webhook heard of something twice")
checks.equal(len({it["Message-ID"] for it in mail.mails}), len(mail.mails), "a mail came twice")
# Once, and once again each time that the file was read again.
for name in ("hook", "manager", "mail"):
    checks.that(log().count(f"{name} takes no messages") <= 2, f"{name} is said to be away again and again")
checks.equal(stop(watch, signal.SIGINT, within=60), 0, "exit code")
kept = {it["call_id"] for it in records(CASE / "out")}
stored = {row["call_id"] for row in database.ask('SELECT "call_id" FROM "call"')}
checks.equal(stored, kept, "calls in the folder, and in the database")
figure(f"{len(kept)} calls, {len(told)} posts, {len(mail.mails)} mails; none lost, none twice")
checks.end()
