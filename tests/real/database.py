"""A real InfluxDB 1.x with the v2 front before it, for the cases: started, stopped in the middle, asked by InfluxQL."""
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from check import CASE, HERE, start, stop, wait_until

NAME = "ringfleet"
TOKEN = "t0ken"


class Database:
    """influxd on INFLUX_PORT and the front on FRONT_PORT; `faults` are what the front's first writes get instead."""

    def __init__(self, faults=""):
        self.url = f"http://127.0.0.1:{os.environ['INFLUX_PORT']}"
        self.front = f"http://127.0.0.1:{os.environ['FRONT_PORT']}"
        self.influx = f"{self.front}?org=o&bucket=b"
        self.influxd = None
        self.open()
        self.ask("CREATE DATABASE " + NAME, method="POST")
        command = [Path(os.environ["EXAMPLES"]) / "influx-front", "--listen", self.front.removeprefix("http://"),
                   "--upstream", self.url, "--db", NAME, "--token", TOKEN]
        start("front", *command, *(["--faults", faults] if faults else []))
        wait_until(lambda: self.stats() is not None, "the front answers")

    def open(self):
        """Starts influxd; what it held before is there again."""
        text = (HERE / "influxd.conf").read_text()
        for word, value in (("DIR", CASE / "db"), ("HTTP", os.environ["INFLUX_PORT"]),
                            ("RPC", int(os.environ["INFLUX_PORT"]) + 1)):
            text = text.replace(f"@{word}@", str(value))
        (CASE / "influxd.conf").write_text(text)
        self.influxd = start("influxd", "influxd", "-config", CASE / "influxd.conf")
        wait_until(self.answers, "influxd answers", within=30)

    def kill(self):
        """influxd is gone from one moment to the next."""
        stop(self.influxd, signal.SIGKILL)

    def answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/ping", timeout=1) as answer:
                return answer.status == 204
        except OSError:
            return False

    def ask(self, query, method="GET", of=NAME):
        parameters = urllib.parse.urlencode({"db": of, "q": query, "epoch": "ns"})
        request = urllib.request.Request(f"{self.url}/query?{parameters}", method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            result = json.load(answer)["results"][0]
        if "error" in result:
            sys.exit(f"{query}: {result['error']}")
        return [dict(zip(series["columns"], row), **series.get("tags", {}))
                for series in result.get("series", []) for row in series["values"]]

    def count(self, measurement):
        """Points of a measurement: those that have its most common field would not be all, so each is read."""
        return len(self.ask(f'SELECT * FROM "{measurement}"'))

    def measurements(self):
        return [row["name"] for row in self.ask("SHOW MEASUREMENTS")]

    def stats(self):
        try:
            with urllib.request.urlopen(f"{self.front}/stats", timeout=1) as answer:
                return json.load(answer)
        except OSError:
            return None

    def compare(self, *folders):
        """Record by record, by influx_check.py; its figures and whether all are equal."""
        command = [sys.executable, HERE / "influx_check.py", self.url, NAME, *folders]
        done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True, timeout=120)
        return json.loads(done.stdout.splitlines()[-1]), done.returncode == 0
