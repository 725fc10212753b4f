"""A browser for the cases: Debian's Chromium, and packages of npm in a folder of their own."""
import itertools
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

from check import CASE, HERE, RINGFLEET, listens, start, started, wait_until

FOLDER = Path(os.environ.get("BROWSER_DIR", Path.home() / ".cache" / "ringfleet-browser"))


def install(chromium=True):
    """Installs what is missing. Debian's package starts no service."""
    if chromium and not shutil.which("chromium"):
        as_root = [] if os.geteuid() == 0 else ["sudo"]
        quiet = {"stdout": subprocess.DEVNULL, "check": True, "timeout": 200}
        subprocess.run([*as_root, "apt-get", "update", "-qq"], **quiet)
        subprocess.run([*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "-qq",
                        "--no-install-recommends", "chromium", "fonts-dejavu-core"], **quiet)
    if not shutil.which("npm"):
        sys.exit("this case needs node 20 or newer with npm")
    wanted = (HERE / "browser" / "package.json").read_text()
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = FOLDER / "package.json"
    if not kept.exists() or kept.read_text() != wanted or not (FOLDER / "node_modules").exists():
        kept.write_text(wanted)
        subprocess.run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"],
                       cwd=FOLDER, check=True, timeout=200)


def script(name):
    """The path of a script of `browser/` beside the packages, with what it has from there."""
    for one in (name, "chromium.mjs"):
        (FOLDER / one).write_bytes((HERE / "browser" / one).read_bytes())
    return FOLDER / name


def node(name, *arguments, timeout=120):
    """Runs a script of `browser/` beside the packages; the JSON that it prints last."""
    done = subprocess.run(["node", str(script(name)), *map(str, arguments)], stdout=subprocess.PIPE, text=True, timeout=timeout)
    if done.returncode != 0:
        sys.exit(f"{name} ended with {done.returncode}:\n{done.stdout}")
    return json.loads(done.stdout.splitlines()[-1])


def web_lab():
    """A lab for web phones, which passes descriptions through, so that media goes straight between browser and agent: its process
    and its port."""
    ports = subprocess.run([sys.executable, HERE / "ports.py", "LAB"], stdout=subprocess.PIPE, text=True, check=True)
    port = int(ports.stdout.split("=")[1])
    (CASE / "lab.yaml").write_text('lab: web\ndomain: pbx.test\nmedia: { srtp: dtls }\n'
                                   'accounts: { users: "1001..1020", password: "${PROBE_PASSWORD}" }\n')
    lab = start("lab", RINGFLEET, "lab", CASE / "lab.yaml", "--listen", f"127.0.0.1:{port}")
    wait_until(lambda: listens(port), "the lab listens")
    return lab, port


class Phone:
    """A web phone in a Chromium of its own, which does one call after another: `browser/phone.mjs`."""

    def __init__(self):
        self.log = CASE / "phone.log"
        self.process = subprocess.Popen(["node", str(script("phone.mjs"))], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=open(self.log, "ab"), text=True)
        started.append(self.process)
        self.lines, self.numbers = queue.Queue(), itertools.count(1)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(json.loads(line))
        self.lines.put(None)

    def begin(self, do, url, user, domain, password, target=None, seconds=6, source="echo", within=40,
              video=False, dtmf=None):
        """Gives a command; it is known to `wait` until `over`."""
        number = next(self.numbers)
        command = {"id": number, "do": do, "url": url, "user": str(user), "domain": domain, "password": password,
                   "target": target and str(target), "seconds": seconds, "source": source, "within": within,
                   "video": video, "dtmf": dtmf}
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return number

    def wait(self, number, event, within=60):
        """What the page said of a command: `registered`, or `over` with all that is known of its call."""
        end = time.monotonic() + within
        while True:
            try:
                line = self.lines.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                sys.exit(f"the web phone said nothing of `{event}` in {within} s:\n{self.log.read_text()[-2000:]}")
            if line is None:
                sys.exit(f"the web phone ended with {self.process.wait()}:\n{self.log.read_text()[-2000:]}")
            if line["id"] == number and line["event"] in (event, "over"):
                return line

    def end(self):
        self.process.stdin.close()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
