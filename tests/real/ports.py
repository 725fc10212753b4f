#!/usr/bin/env python3
"""Prints NAME=PORT lines for a shell: ports.py NAME... BLOCK=SIZE...

Each port is free for UDP and TCP on loopback, even, and its successor is free too (RTCP). `BLOCK=SIZE` prints the first
port of a free block of that size. All are below the range that the system gives to clients, and below that of the
program's own media (16384-32767), so none is taken later by either.
"""
import random
import socket
import sys

LOWEST, HIGHEST = 10000, 16384


def free(port):
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET, kind) as s:
            if kind == socket.SOCK_STREAM:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def block(size, taken):
    for _ in range(1000):
        first = random.randrange(LOWEST, HIGHEST - size, 2)
        ports = range(first, first + size)
        if not taken.intersection(ports) and all(map(free, ports)):
            taken.update(ports)
            return first
    sys.exit(f"no {size} free ports in a row between {LOWEST} and {HIGHEST}")


taken = set()
wanted = [(name, int(size or 2)) for name, _, size in (word.partition("=") for word in sys.argv[1:])]
# Large blocks first, while no small one lies in their way.
for name, size in sorted(wanted, key=lambda item: -item[1]):
    print(f"{name}={block(size, taken)}")
