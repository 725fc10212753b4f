"""A browser for the cases: Debian's Chromium, and packages of npm in a folder of their own."""
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from check import HERE

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


def node(script, *arguments, timeout=120):
    """Runs a script of `browser/` beside the packages; the JSON that it prints last."""
    copy = FOLDER / script
    copy.write_bytes((HERE / "browser" / script).read_bytes())
    done = subprocess.run(["node", str(copy), *map(str, arguments)], stdout=subprocess.PIPE, text=True, timeout=timeout)
    if done.returncode != 0:
        sys.exit(f"{script} ended with {done.returncode}:\n{done.stdout}")
    return json.loads(done.stdout.splitlines()[-1])
