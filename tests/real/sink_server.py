"""A database that fails on purpose: the write APIs of InfluxDB 1.x, 2 and 3 before a real InfluxDB 1.x.

Its first writes get a fault, what comes later is stored. It tells what it sees (`on_write`), so that a case can kill the
program at a moment that it observes from outside.
"""
import gzip
import json
import re
import socket
import struct
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

RESET = struct.pack("ii", 1, 0)
# What is wrong, what the first writes see of it, and how many writes that are.
FAULTS = {
    "none": ("store", 0),
    "refuses": ("refuse", 0),
    "never answers": ("hang", 1),
    "resets in mid-answer": ("cut", 2),
    "400 in mid-batch": ("bad-line", 0),
    "413": ("too-large", 0),
    "429 Retry-After": ("429", 2),
    "503 Retry-After": ("503", 2),
    "500": ("500", 3),
    "slow 204": ("slow", 3),
    "401": ("401", 2),
    "killed, restarted": ("restart", 1),
    "204 lost": ("lost", 2),
}
REFUSED_FOR = 0.7
AWAY_FOR = 0.5
LARGEST = 20_000
# A line that the server refuses for ever: of each hundred calls one.
BAD = re.compile(rb'call_id="[^"]*37"')
API = {"/write": "error", "/api/v2/write": "message", "/api/v3/write_lp": "error"}


class SinkServer:
    """`on_write(number)` is called when a write has arrived as a whole, and `after_store(number)` when its lines are
    stored but not yet answered."""

    def __init__(self, fault, upstream, database, on_write=lambda n: None, after_store=lambda n: None):
        self.kind, self.faulty = FAULTS[fault]
        self.upstream, self.database = upstream, database
        self.on_write, self.after_store = on_write, after_store
        self.writes, self.healed = 0, False
        self.lock, self.open_connections = threading.Lock(), set()
        # Set once the fault has been seen: a kill before would show nothing of it.
        self.fault_seen = threading.Event()
        self.socket = self.bound(0)
        self.port = self.socket.getsockname()[1]
        if self.kind == "refuse":
            threading.Timer(REFUSED_FOR, self.listen).start()
            threading.Timer(REFUSED_FOR / 2, self.fault_seen.set).start()
        else:
            self.listen()

    def bound(self, port):
        """A socket that has the port but does not listen: connections to it are refused."""
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", port))
        return one

    def listen(self):
        self.socket.listen(64)
        threading.Thread(target=self.accept, args=(self.socket,), daemon=True).start()

    def heal(self):
        """Somebody mends what is wrong. What is wrong with lines stays wrong."""
        self.healed = True

    def close(self):
        """The server is gone, its connections with it."""
        self.socket.close()
        with self.lock:
            for connection in self.open_connections:
                self.reset(connection)
            self.open_connections.clear()

    def reset(self, connection):
        try:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.shutdown(socket.SHUT_RD)
            connection.close()
        except OSError:
            pass

    def restart(self):
        self.close()
        time.sleep(AWAY_FOR)
        self.socket = self.bound(self.port)
        self.listen()

    def accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                self.open_connections.add(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        try:
            stream = connection.makefile("rb")
            while (request := self.read(stream)) is not None:
                if not self.write(connection, *request):
                    break
        except OSError:
            pass
        with self.lock:
            self.open_connections.discard(connection)
        connection.close()

    def read(self, stream):
        first = stream.readline().split()
        if len(first) < 2:
            return None
        length, zipped = 0, False
        while (line := stream.readline().strip().lower()):
            name, _, value = line.partition(b":")
            length = int(value) if name == b"content-length" else length
            zipped |= name == b"content-encoding" and b"gzip" in value
        body = stream.read(length)
        if len(body) < length:
            return None
        return urllib.parse.urlsplit(first[1].decode()).path, gzip.decompress(body) if zipped else body

    def write(self, connection, path, body):
        """One write; False ends the connection."""
        with self.lock:
            self.writes += 1
            number = self.writes
        kind = self.kind if number <= self.faulty and not self.healed else "store"
        if kind == "store" and self.kind in ("bad-line", "too-large"):
            kind = self.kind
        self.on_write(number)
        answer = self.answer(kind, path, body, connection)
        if answer is not None:
            status, words, *headers = answer
            if status == 204:
                self.after_store(number)
            text = json.dumps({API.get(path, "error"): words}) if status != 204 else ""
            length = [f"Content-Length: {len(text)}"] if status != 204 else []
            head = "\r\n".join([f"HTTP/1.1 {status} Status", *headers, *length])
            connection.sendall(f"{head}\r\n\r\n{text}".encode())
        self.fault_seen.set()
        return answer is not None

    def answer(self, kind, path, body, connection):
        """Status, words and headers; None where the connection ends instead."""
        if kind == "hang":
            self.fault_seen.set()
            # Longer than the program waits for an answer, and than this server lives.
            time.sleep(60)
            return None
        if kind == "restart":
            threading.Thread(target=self.restart, daemon=True).start()
            return None
        if kind in ("429", "503"):
            return int(kind), "not now", "Retry-After: 1"
        if kind in ("401", "500"):
            return int(kind), "no"
        if kind == "too-large" and len(body) > LARGEST:
            return 413, "request too large"
        if kind == "bad-line" and BAD.search(body):
            return 400, "unable to parse: one line of many"
        if kind == "slow":
            time.sleep(0.4)
        self.store(body)
        if kind == "cut":
            connection.sendall(b"HTTP/1.1 204 No Con")
            with self.lock:
                self.open_connections.discard(connection)
            self.reset(connection)
            return None
        if kind == "lost":
            return None
        return 204, ""

    def store(self, body):
        url = f"{self.upstream}/write?db={self.database}&precision=ns"
        with urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=30) as answer:
            assert answer.status == 204, answer.status
