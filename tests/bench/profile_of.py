"""Where the CPU of a command goes, by `perf`: what the kernel does for it, call by call, and what is its own."""

import pathlib
import re
import subprocess

DATA = "perf.data"
# Who asked the kernel: system calls, and memory touched for the first time.
ASKED = re.compile(r"^(?:__x64_sys_(\w+)|(asm_exc_page_fault))$")


def under(command):
    """The command, watched."""
    return ["perf", "record", "--quiet", "-F", "2000", "-g", "-o", DATA, "--", *map(str, command)]


def shares(*options):
    """Rows of a report as (percent, name), most first."""
    report = ["perf", "report", "-i", DATA, "--stdio", "--percent-limit", "0.5", "-g", "none", *options]
    text = subprocess.run(report, check=True, capture_output=True, text=True).stdout
    rows = re.findall(r"^\s+([\d.]+)%(?:\s+[\d.]+%)?\s+(\S.*?)\s*$", text, re.MULTILINE)
    return [(float(percent), re.sub(r"^\[[k.]\]\s+", "", name)) for percent, name in rows]


def told():
    """One line on the last command that was watched; empty where none was."""
    if not pathlib.Path(DATA).exists():
        return ""
    by_object = shares("--no-children", "--sort", "dso")
    kernel = sum(percent for percent, name in by_object if name.startswith("[kernel"))
    asked = [(percent, found) for percent, name in shares("--children", "--sort", "sym") if (found := ASKED.match(name))]
    parts = [f"{found[1] or 'first touch of memory'} {percent:.0f}" for percent, found in asked if percent >= 1]
    own = [(percent, name) for percent, name in shares("--no-children", "--sort", "dso,sym") if not name.startswith("[kernel")]
    largest = [f"{name.split(maxsplit=1)[-1].removeprefix('[.] ')} {percent:.1f}" for percent, name in own[:4]]
    pathlib.Path(DATA).unlink()
    return f"kernel {kernel:.0f} % ({', '.join(parts)}), program {100 - kernel:.0f} % (most: {', '.join(largest)})"
