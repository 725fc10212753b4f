"""A watch of two checks at a lab of its own: a number that works, and one that is refused when it is told so. Its files, and what
it shows of itself."""
import json
import re
import urllib.request

from check import CASE, wait_until


def write_lab(code=None):
    """Numbers of the lab; the second is refused with this code, where there is one."""
    gone = f"{{ reject: {{ code: {code} }} }}" if code else "{ echo: { answer_after: 10ms } }"
    (CASE / "lab.yaml").write_text(
        'lab: lines\naccounts: { users: "1001..1004", password: secret }\nextensions:\n'
        f"  fine: {{ number: 2000, does: {{ echo: {{ answer_after: 10ms }} }} }}\n  gone: {{ number: 3404, does: {gone} }}\n")


def write_files(database, *notify):
    """Lab, scenarios and watch file; `notify` are who is told."""
    write_lab()
    for name in ("fine", "gone"):
        (CASE / f"{name}.yaml").write_text(
            f"scenario: {name}\ntarget: lab.yaml\ncaller:\n  account: agents\n  steps:\n"
            f"    - dial: {{ number: {name}, media: none }}\n    - hangup\n")
    (CASE / "watch.yaml").write_text("\n".join([
        "watch: taipei", "site: desk", "checks:",
        "  - { scenario: fine.yaml, target: lab.yaml, agents: each, every: 2s }",
        "  - { scenario: gone.yaml, target: lab.yaml, agents: each, every: 2s, reproduce: 0 }",
        "alerts:", "  throttle: 60m", "  notify:", *(f"    - {it}" for it in notify),
        "sinks:", f"  - influxdb: {{ url: '{database.front}', org: o, bucket: b }}",
        "  - prometheus: { listen: '127.0.0.1:0' }", "page: { listen: '127.0.0.1:0' }"]) + "\n")


def log():
    return (CASE / "watch.log").read_text(errors="replace")


def calls_that_held():
    return log().count("  ok 200")


def ask(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()


class Shown:
    """Page and figures of the watch whose log is watch.log."""

    def __init__(self):
        wait_until(lambda: "page at http://" in log(), "the watch serves its page", 30)
        self.page = re.search(r"page at (http://\S+)/", log()).group(1)
        self.figures = re.search(r"figures at (http://\S+)", log()).group(1)

    def value(self, name, sink=None):
        """A figure of the watch; None where there is none."""
        label = f'[^}}]*sink="{sink}"' if sink else ""
        found = re.search(rf"^ringfleet_watch_{name}{{{label}[^}}]*}} (\S+)$", ask(self.figures), re.M)
        return float(found.group(1)) if found else None

    def status(self):
        return json.loads(ask(f"{self.page}/api/v1/status"))

    def troubles(self):
        return " ".join(it["what"] for it in self.status()["troubles"])
