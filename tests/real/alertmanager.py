"""A real Alertmanager for the cases, and somebody who is told."""
import http.server
import json
import os
import shutil
import subprocess
import threading
import urllib.error
import urllib.request

from check import CASE, ROOT, start, wait_until

PATIENCE = 90


def install():
    """Debian starts a service when it installs one: policy-rc.d forbids that, for this while."""
    if shutil.which("prometheus-alertmanager") and shutil.which("amtool"):
        return
    root = [] if os.geteuid() == 0 else ["sudo"]
    policy = "/usr/sbin/policy-rc.d"
    script = (f"[ ! -e {policy} ] || mv {policy} {policy}.kept; "
              f"printf '#!/bin/sh\\nexit 101\\n' >{policy}; chmod +x {policy}; "
              "apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "
              f"prometheus-alertmanager >install.log 2>&1; code=$?; rm -f {policy}; "
              f"[ ! -e {policy}.kept ] || mv {policy}.kept {policy}; exit $code")
    subprocess.run([*root, "sh", "-c", script], cwd=CASE, check=True, timeout=200)


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what it is sent, by path."""

    def __init__(self, port=0):
        self.got = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.server.got.append((self.path, json.loads(body)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", port), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def at(self, path):
        return [body for where, body in self.got if where == path]


class Alertmanager:
    """Alertmanager with the file as it is shipped, but that it tells this receiver, and sooner."""

    def __init__(self, receiver, port=None):
        install()
        text = (ROOT / "docker" / "alertmanager.yml").read_text().replace("http://127.0.0.1:9099", receiver)
        text = text.replace("group_wait: 10s", "group_wait: 1s").replace("group_interval: 1m", "group_interval: 2s")
        (CASE / "alertmanager.yml").write_text(text)
        with http.server.HTTPServer(("127.0.0.1", port or 0), http.server.BaseHTTPRequestHandler) as free:
            self.port = free.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def open(self, name):
        """Starts it. Nothing of an earlier one is known to it: its folder is its own."""
        process = start(name, "prometheus-alertmanager", "--config.file", CASE / "alertmanager.yml",
                        "--storage.path", CASE / name, "--web.listen-address", f"127.0.0.1:{self.port}",
                        "--cluster.listen-address=")
        wait_until(lambda: self.ask("/-/ready") is not None, "Alertmanager is ready", PATIENCE)
        return process

    def ask(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                body = answer.read()
            return json.loads(body) if path.startswith("/api") else body
        except (urllib.error.URLError, ConnectionError, json.JSONDecodeError):
            return None

    def alerts(self, **labels):
        """Alerts that it knows with these labels, that are not over."""
        known = self.ask("/api/v2/alerts") or []
        return [alert for alert in known if all(alert["labels"].get(name) == value for name, value in labels.items())]
