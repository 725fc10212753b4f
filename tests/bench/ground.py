"""What a bench of a watch or of peers stands on: a folder of its own, the release build, and the helpers of the stage of real servers.

To be imported first: `check` reads CASE and RINGFLEET."""
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
TARGET = Path(os.environ.setdefault("CARGO_TARGET_DIR", str(Path.home() / ".cache/ringfleet")))
FOLDER = tempfile.TemporaryDirectory(prefix="ringfleet-bench.")
os.environ["CASE"] = FOLDER.name
os.environ["PROBE_PASSWORD"] = "not-a-secret"
sys.path.insert(0, str(ROOT / "tests/real"))


def built(variable, name, folder=ROOT, *features):
    """Builds a program and names it to those that come after, unless one that is built already was named."""
    if variable not in os.environ:
        subprocess.run(["cargo", "build", "--release", "--locked", *features, "--bin", name], cwd=folder, check=True)
        os.environ[variable] = str(TARGET / "release" / name)


built("RINGFLEET", "ringfleet")
