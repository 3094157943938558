"""A strict stand-in for a Prometheus server: real HTTP on loopback, real decoding, real refusals.

It refuses a whole request for one sample out of order or out of bounds, as Prometheus 2.42 does,
and answers the few queries that FrugalWatch asks. A test may let it refuse, hang, or die.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Labels = tuple[tuple[str, str], ...]
Samples = list[tuple[int, float]]

_QUERY = re.compile(r"(?:(\w+)\()?(\w*)\{(.*)\}\[(\d+)([smhd])\]\)?$")
_MATCHER = re.compile(r'(\w+)(=~|=)"((?:[^"\\]|\\.)*)"')
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Receiver:
    """`series` is what was stored; `refuse` a list of (status, headers, body) to answer first."""

    def __init__(self, *, port: int = 0) -> None:
        self.series: dict[Labels, Samples] = {}
        self.requests = 0
        self.refused = 0
        self.most_bytes = 0
        self.faults: list[str] = []  # what broke the protocol
        self.refuse: list[tuple[int, dict[str, str], bytes]] = []
        self.least_ms: int | None = None  # older samples are out of bounds
        self.least_behind_ms: int | None = None  # so far behind the newest sample of all
        self.drop_answers = 0  # take so many requests and hang up without a word
        self.hold: threading.Event | None = None  # answer nothing until it is set
        self.never = ""  # a device of which nothing is taken
        self.forget_queries = False
        self.largest_bytes = 1 << 30
        self.connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", port), self)
        self.port = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    def close(self) -> None:
        """Die: the port refuses connections from now on."""
        if self.hold is not None:
            self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def total(self, name: str, **labels: str) -> float:
        """Sum over series of their highest values."""
        return sum(max(v for _, v in samples) for _, samples in self.find(name, **labels))

    def find(self, name: str, **labels: str) -> list[tuple[dict[str, str], Samples]]:
        """Series of that name whose labels are so."""
        with self._lock:
            return [
                (dict(key), list(samples))
                for key, samples in self.series.items()
                if dict(key)["__name__"] == name
                and all(dict(key).get(k) == v for k, v in labels.items())
            ]

    # -- one request -----------------------------------------------------------------------

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        with self._lock:
            self.requests += 1
            self.most_bytes = max(self.most_bytes, len(body))
            if self.refuse:
                return self.refuse.pop(0)
            if len(body) > self.largest_bytes:
                return 413, {}, b"too large"
            for name, value in (
                ("content-type", "application/x-protobuf"),
                ("content-encoding", "snappy"),
                ("x-prometheus-remote-write-version", "0.1.0"),
            ):
                if headers.get(name) != value:
                    self.faults.append(f"{name}: {headers.get(name)}")
            found = list(decode(unsnappy(body)))
            problem = self._problem(found)
            if problem:
                self.refused += 1
                return 400, {}, problem.encode()
            for labels, samples in found:
                stored = self.series.setdefault(labels, [])
                stored += [one for one in samples if not stored or one != stored[-1]]
            return 204, {}, b""

    def _problem(self, found: list[tuple[Labels, Samples]]) -> str:
        newest = max((s[-1][0] for s in self.series.values()), default=0)
        least = self.least_ms or 0
        if self.least_behind_ms is not None:
            least = max(least, newest - self.least_behind_ms)
        seen = set()
        for labels, samples in found:
            names = [name for name, _ in labels]
            if names != sorted(set(names)) or "__name__" not in names or labels in seen:
                self.faults.append(f"labels {labels}")
            seen.add(labels)
            if self.never and dict(labels).get("device") == self.never:
                return "label value too long"
            last = self.series.get(labels, [(-1, 0.0)])[-1]
            for one in samples:
                if one[0] < least:
                    return "out of bounds"
                if one[0] < last[0]:
                    return "out of order sample"
                if one[0] == last[0] and one != last:
                    return "duplicate sample for timestamp"
                last = one
        return ""

    def answer(self, query: str) -> tuple[int, bytes]:
        parsed = _QUERY.match(query)
        if parsed is None or self.forget_queries:
            return 400, json.dumps({"status": "error", "error": f"cannot: {query}"}).encode()
        function, name, matchers, amount, unit = parsed.groups()
        wanted = [(k, op, v.replace('\\"', '"')) for k, op, v in _MATCHER.findall(matchers)]
        if name:
            wanted.append(("__name__", "=", name))
        since = time.time() - int(amount) * _SECONDS[unit]
        result = []
        with self._lock:
            for key, samples in self.series.items():
                labels = dict(key)
                recent = [(t / 1e3, v) for t, v in samples if t / 1e3 >= since]
                if recent and all(_matches(labels.get(k, ""), op, v) for k, op, v in wanted):
                    result.append(_one(function, labels, recent))
        kind = "vector" if function else "matrix"
        data = {"resultType": kind, "result": result}
        return 200, json.dumps({"status": "success", "data": data}).encode()


def _matches(value: str, operator: str, wanted: str) -> bool:
    return value == wanted if operator == "=" else re.fullmatch(wanted, value) is not None


def _one(
    function: str | None, labels: dict[str, str], points: list[tuple[float, float]]
) -> dict[str, object]:
    if function is None:
        return {"metric": labels, "values": [[t, repr(v)] for t, v in points]}
    values = [v for _, v in points]
    value = {
        "max_over_time": max(values),
        "min_over_time": min(values),
        "last_over_time": values[-1],
    }[function]
    kept = (
        labels
        if function == "last_over_time"
        else {k: v for k, v in labels.items() if k != "__name__"}
    )
    return {"metric": kept, "value": [time.time(), repr(value)]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is none of ours."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.receiver.connections.add(self.connection)

    def finish(self) -> None:
        self.server.receiver.connections.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if receiver.hold is not None:
            receiver.hold.wait(30)
        headers = {name.lower(): value for name, value in self.headers.items()}
        status, extra, said = receiver.take(headers, body)
        if receiver.drop_answers:
            receiver.drop_answers -= 1
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._say(status, extra, said)

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        status, said = self.server.receiver.answer(query)
        self._say(status, {"Content-Type": "application/json"}, said)

    def _say(self, status: int, headers: dict[str, str], said: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


# -- decoding, written from the formats' descriptions and not from our encoder ------------------


def unsnappy(data: bytes) -> bytes:
    """One snappy block, decoded (google/snappy, format_description.txt)."""
    length, at = _varint(data, 0)
    out = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        kind, upper = tag & 3, tag >> 2
        if kind == 0:
            count = upper + 1
            if upper >= 60:
                extra = upper - 59
                count = int.from_bytes(data[at : at + extra], "little") + 1
                at += extra
            out += data[at : at + count]
            at += count
            continue
        if kind == 1:
            count, offset = (upper & 7) + 4, (upper >> 3) << 8 | data[at]
            at += 1
        else:
            size = 2 if kind == 2 else 4
            count, offset = upper + 1, int.from_bytes(data[at : at + size], "little")
            at += size
        assert 0 < offset <= len(out)
        for _ in range(count):
            out.append(out[-offset])
    assert len(out) == length
    return bytes(out)


def decode(message: bytes) -> Iterator[tuple[Labels, Samples]]:
    """The series of a WriteRequest."""
    for number, content in _fields(message):
        assert number == 1
        labels, samples = [], []
        for kind, part in _fields(content):
            fields = dict(_fields(part))
            if kind == 1:
                labels.append((fields[1].decode(), fields[2].decode()))
            else:
                assert kind == 2
                t_ms = fields.get(2, 0)
                assert isinstance(t_ms, int)
                value = struct.unpack("<d", fields[1])[0]
                samples.append((t_ms - (1 << 64) if t_ms >> 63 else t_ms, value))
        assert samples, "a series without samples"
        yield tuple(labels), samples


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value  # type: ignore[misc]  # a number, by its wire type
        elif wire == 1:
            yield key >> 3, message[at : at + 8]
            at += 8
        else:
            assert wire == 2
            length, at = _varint(message, at)
            yield key >> 3, message[at : at + length]
            assert at + length <= len(message)
            at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
