#!/usr/bin/env python3
"""Whether the machine lets a program run when it is due. A virtual one may stand still for longer than what is measured here.

standstill.py wait        until it has not stood still for 10 s, two minutes at most
standstill.py watch FILE  until it is ended, or who began it is; FILE has the longest standstill so far, ms
"""
import os
import sys
import time
from pathlib import Path

LOOK, STILL, CALM, PATIENCE = 0.005, 0.05, 10, 120


def standstills():
    """How long the machine stood still between two looks, for ever."""
    last = time.monotonic()
    while True:
        time.sleep(LOOK)
        now = time.monotonic()
        yield now - last - LOOK
        last = now


def wait():
    begun = calm_since = time.monotonic()
    for still in standstills():
        now = time.monotonic()
        if still > STILL:
            calm_since = now
        if now - calm_since > CALM or now - begun > PATIENCE:
            return


def watch(path):
    longest, parent = 0, os.getppid()
    for still in standstills():
        if os.getppid() != parent:
            return
        if still > longest:
            longest = still
            path.write_text(f"{longest * 1000:.0f}\n")


if sys.argv[1] == "wait":
    wait()
else:
    watch(Path(sys.argv[2]))
