"""What the cases share: running the program, reading its run folder, and checks that go on after a failure."""
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CASE = Path(os.environ.get("CASE", "."))
RINGFLEET = os.environ.get("RINGFLEET", "ringfleet")


class Checks:
    """Counts checks; prints those that do not hold and goes on, so that one run shows all of them."""

    def __init__(self, silent=False):
        self.done = 0
        self.failed = 0
        self.silent = silent
        self.wrong = []

    def that(self, holds, text):
        """`text` says what is wrong when it does not hold."""
        self.done += 1
        if not holds:
            self.failed += 1
            self.wrong.append(text)
            if not self.silent:
                print(f"wrong: {text}", flush=True)
        return bool(holds)

    def equal(self, got, wanted, what):
        return self.that(got == wanted, f"{what}: {got!r}, wanted {wanted!r}")

    def near(self, got, wanted, slack, what):
        """`got` is a number and within `slack` of `wanted`; None never is."""
        near = got is not None and abs(got - wanted) <= slack
        return self.that(near, f"{what}: {got!r}, wanted {wanted} ± {slack}")

    def add(self, other):
        """Counts what silent checks came to, and says what they found wrong."""
        self.done += other.done
        self.failed += other.failed
        for text in other.wrong:
            print(f"wrong: {text}", flush=True)

    def end(self):
        """Ends the case with its exit code."""
        if not self.done:
            self.that(False, "nothing was checked")
        print(f"{self.done - self.failed} of {self.done} checks hold", flush=True)
        sys.exit(1 if self.failed else 0)


def figure(text):
    """A line that the stage shows below the case."""
    print(f"# {text}", flush=True)


# Exit code of a case that this machine cannot run.
LEFT_OUT = 77


def leave_out(why):
    """Ends the case: this machine cannot run it, which is no success."""
    figure(f"left out: {why}")
    sys.exit(LEFT_OUT)


def mount_namespace():
    """Words before a command that then may mount what others do not see."""
    for words in (["unshare", "--mount"], ["unshare", "--mount", "--map-root-user"]):
        mounts = [*words, "mount", "-t", "tmpfs", "tmpfs", CASE]
        if shutil.which("unshare") and subprocess.run(mounts, capture_output=True).returncode == 0:
            return words
    return leave_out("no mount namespace can be made here")


# --- processes ---------------------------------------------------------------------------------------------------

started = []


def start(name, *command, env=None, log=None):
    """Starts a process that is stopped at the end of the case at the latest; its output goes to NAME.log."""
    out = open(log or CASE / f"{name}.log", "ab")
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                               env={**os.environ, **(env or {})}, cwd=CASE)
    started.append(process)
    return process


def stop(process, how=signal.SIGTERM, within=20):
    """Stops a process that `start` gave; its exit code, and its death if it does not obey."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    return process.returncode


def start_answer():
    """`ringfleet answer` as an echo on FAR_PORT; what it hears lies in CASE/answered."""
    port = os.environ["FAR_PORT"]
    process = start("answer", RINGFLEET, "answer", "--listen", f"127.0.0.1:{port}", "--behaviour", "echo",
                    "--out", CASE / "answered", "--quiet")
    wait_until(lambda: listens(port), "ringfleet answer listens")
    return process


def stop_all():
    for process in started:
        stop(process, within=5)


atexit.register(stop_all)
# `run` ends a case that takes too long with SIGTERM: what it started must end as well.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def wait_until(holds, what, within=15.0):
    end = time.monotonic() + within
    while not holds():
        if time.monotonic() > end:
            sys.exit(f"after {within} s still not: {what}")
        time.sleep(0.05)


def listens(port, kind="udp"):
    """Whether some process on this machine listens on the port."""
    listening = {"udp": ("07",), "tcp": ("0A",)}[kind]
    for line in Path(f"/proc/net/{kind}").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == int(port) and fields[3] in listening:
            return True
    return False


# --- the program and its run folder ------------------------------------------------------------------------------


class Run:
    """A finished run: exit code, what it printed, and the files of its folder."""

    def __init__(self, folder, done, seconds):
        self.folder, self.code, self.seconds = Path(folder), done.returncode, seconds
        self.printed = done.stdout

    def read(self, name):
        path = self.folder / name
        return path.read_text() if path.exists() else ""

    @property
    def summary(self):
        text = self.read("summary.json")
        return json.loads(text) if text else {}

    @property
    def calls(self):
        return records(self.folder)

    def show(self):
        """For the log of a case that fails."""
        print(f"exit code {self.code} after {self.seconds:.1f} s\n{self.printed}", flush=True)


def records(folder):
    """The records of a folder's calls.jsonl. A line that is not complete yet is left out."""
    path = Path(folder) / "calls.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().split("\n")[:-1] if line]


def target(name):
    """A target file with this run's ports: targets/NAME.yaml, where @SIP_PORT@ stands for the variable SIP_PORT; or
    one that the case has written to its own folder of targets."""
    folder = CASE / "targets"
    if (folder / f"{name}.yaml").exists():
        return folder / f"{name}.yaml"
    text = (HERE / "targets" / f"{name}.yaml").read_text()
    for word in {part for part in text.split("@")[1::2]}:
        text = text.replace(f"@{word}@", os.environ[word])
    folder.mkdir(exist_ok=True)
    for csv in (HERE / "targets").glob("*.csv"):
        (folder / csv.name).write_bytes(csv.read_bytes())
    (folder / f"{name}.yaml").write_text(text)
    return folder / f"{name}.yaml"


def scenario(name):
    """A path, or the name of a scenario of this stage, else of one of the project."""
    if isinstance(name, Path):
        return name
    own = HERE / "scenarios" / f"{name}.yaml"
    return own if own.exists() else ROOT / "scenarios" / f"{name}.yaml"


def run(name, on="kamailio", out=None, timeout=200, env=None, args=(), **sets):
    """`ringfleet run` of a scenario against a target; `on=None` leaves the scenario's own (the lab)."""
    folder = CASE / (out or name)
    command = [RINGFLEET, "run", scenario(name), "--out", folder, "--quiet", *args]
    if on:
        command += ["--target", target(on)]
    for key, value in sets.items():
        command += ["--set", f"{key}={value}"]
    begun = time.monotonic()
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=timeout, cwd=CASE,
                          env={**os.environ, **(env or {})})
    return Run(folder, done, time.monotonic() - begun)


def judged(name, out=None, **how):
    """A run that says that it was the limit itself (exit code 3) tells nothing, since the machine may pause: it is made again, twice
    at most. Each has a folder of its own, with its number behind the name."""
    for attempt in range(1, 4):
        finished = run(name, out=f"{out or Path(name).stem}-{attempt}", **how)
        if finished.code != 3:
            break
    return finished


def passes(checks, finished, what="the run"):
    """A run that must come out well, with its output where it does not."""
    well = checks.equal(finished.code, 0, f"{what}: exit code")
    well &= checks.equal(finished.summary.get("verdict"), "pass", f"{what}: verdict")
    if not well:
        finished.show()
    return well


def at_once(jobs, limit=8):
    """Runs functions in threads, `limit` at a time; their results in order. What one of them fails by, the caller does too."""
    results, faults, gate = [None] * len(jobs), [], threading.Semaphore(limit)

    def work(i, job):
        with gate:
            try:
                results[i] = job()
            except BaseException as fault:
                faults.append(fault)

    threads = [threading.Thread(target=work, args=item) for item in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for fault in faults:
        raise fault
    return results


def seconds_between(record, start, end):
    """Seconds between two time stamps of a record, None where one is missing."""
    if not record.get(start) or not record.get(end):
        return None
    moment = lambda name: datetime.fromisoformat(record[name].replace("Z", "+00:00"))
    return (moment(end) - moment(start)).total_seconds()
