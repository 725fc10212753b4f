"""Certificates for servers on this machine, of the stage's CA or of one that nobody vouches for."""
import os
import subprocess
from pathlib import Path

from check import CASE

STAGE = (Path(os.environ["WORK"]) / "ca.pem", Path(os.environ["WORK"]) / "ca.key")
NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def openssl(*words):
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


def foreign_ca():
    """Certificate and key of a CA of this case."""
    pem, key = CASE / "foreign-ca.pem", CASE / "foreign-ca.key"
    openssl("req", "-x509", *NEW, "-days", "2", "-subj", "/CN=Foreign CA", "-keyout", key, "-out", pem)
    return pem, key


def certificate(name, ca=STAGE):
    """A certificate for `localhost`, and its key, as NAME.pem and NAME.key."""
    pem, key, request, names = (CASE / f"{name}.{kind}" for kind in ("pem", "key", "csr", "names"))
    names.write_text("subjectAltName=DNS:localhost")
    openssl("req", *NEW, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", ca[0], "-CAkey", ca[1], "-set_serial", os.getpid(), "-days", "2",
            "-extfile", names, "-out", pem)
    return pem, key
