"""The server of /metrics: its answers, and that no client keeps the others from theirs."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from frugalwatch.errors import UsageError
from frugalwatch.metrics import http_client
from frugalwatch.metrics.address import Address, listen, parse_address
from frugalwatch.metrics.exposition import OPENMETRICS_TYPE, TEXT_TYPE
from frugalwatch.metrics.families import Family, Sample
from frugalwatch.metrics.http_server import MOST_CLIENTS, MetricsServer
from frugalwatch.metrics.page import Page
from tests.frugalwatch.e2e.kit import until


class Source:
    """One gauge that says how often it was asked for; `width` makes the page large."""

    def __init__(self, width: int = 0) -> None:
        self.asked = 0
        self.width = width

    def __call__(self) -> list[Family]:
        self.asked += 1
        labels = {"padding": "x" * self.width}
        return [Family("asked", "gauge", "How often.", (Sample(labels, self.asked),))]


class Port(int):
    """Where a server listens, and the server."""

    server: MetricsServer


@contextmanager
def serving(source: Source) -> Iterator[Port]:
    """A server in a thread; gives its port."""
    listener = listen(Address("127.0.0.1", 0))
    port = Port(listener.getsockname()[1])
    wake, end = os.pipe()
    port.server = MetricsServer(listener, Page(source), wake)
    thread = threading.Thread(target=port.server.serve)
    thread.start()
    try:
        yield port
    finally:
        os.close(end)
        thread.join(10)
        os.close(wake)
        assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(port)), 10)


def ask(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Head and body of the answer."""
    with closing(connect(port)) as connection:
        connection.sendall(request)
        data = b""
        while more := connection.recv(65536):
            data += more
    head, _, body = data.partition(b"\r\n\r\n")
    return head, body


def get(port: int, path: str = "/metrics", *headers: str) -> tuple[bytes, bytes]:
    lines = [f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""]
    return ask(port, "\r\n".join(lines).encode())


@pytest.fixture
def port() -> Iterator[int]:
    with serving(Source()) as number:
        yield number


def test_metrics_come_in_the_format_asked_for(port: int) -> None:
    head, body = get(port)
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert TEXT_TYPE.encode() in head
    assert b'asked{padding=""} 1\n' in body
    assert f"Content-Length: {len(body)}".encode() in head
    head, body = get(port, "/metrics?x=1", "Accept: application/openmetrics-text;version=1.0.0")
    assert OPENMETRICS_TYPE.encode() in head
    (family,) = text_string_to_metric_families(body.decode())
    assert family.name == "asked"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /etc/passwd HTTP/1.1\r\n\r\n", b"404"),
        (b"GET /metrics/../secret HTTP/1.1\r\n\r\n", b"404"),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", b"405"),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/9\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"400"),
        (b"x" * (http_client.LONGEST_REQUEST + 1), b"400"),
    ],
)
def test_other_requests_are_answered_by_what_is_wrong(
    port: int, request_: bytes, status: bytes
) -> None:
    head, _ = ask(port, request_)
    assert head.startswith(b"HTTP/1.1 " + status)


def test_head_has_no_body(port: int) -> None:
    head, body = ask(port, b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert b"200 OK" in head
    assert body == b""
    assert b"Content-Length: 0" not in head


def test_a_request_may_come_in_pieces(port: int) -> None:
    with closing(connect(port)) as connection:
        for byte in b"GET / HTTP/1.1\r\n\r\n":
            connection.sendall(bytes((byte,)))
        assert connection.recv(12) == b"HTTP/1.1 200"


def test_however_often_one_asks_the_ledger_is_read_once_a_second() -> None:
    source = Source()
    with serving(source) as number:
        begin = time.monotonic()
        for _ in range(200):
            get(number)
        took = time.monotonic() - begin
    assert source.asked <= 2 + took


def test_what_is_slow_to_read_is_read_seldom() -> None:
    now = 0
    source = Source()

    def slow() -> list[Family]:
        nonlocal now
        now += 500_000_000
        return source()

    page = Page(slow, clock_ns=lambda: now)
    page.body(openmetrics=False)
    now += 9_000_000_000
    page.body(openmetrics=True)
    assert source.asked == 1
    now += 1_000_000_000
    page.body(openmetrics=True)
    assert source.asked == 2


def test_those_who_say_nothing_and_those_who_read_nothing_keep_nobody_waiting() -> None:
    with serving(Source(width=20_000_000)) as number, ExitStack() as stack:
        for _ in range(2 * MOST_CLIENTS):
            stack.enter_context(closing(connect(number)))
        for _ in range(10):
            reader = stack.enter_context(closing(connect(number)))
            reader.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")  # and never reads
        head, body = get(number)
        assert head.startswith(b"HTTP/1.1 200")
        assert len(body) > 20_000_000
        assert number.server.connections <= MOST_CLIENTS


def test_who_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "REQUEST_NS", 100_000_000)
    monkeypatch.setattr(http_client, "ANSWER_NS", 100_000_000)
    with serving(Source(width=20_000_000)) as number:
        with closing(connect(number)) as silent:
            assert silent.recv(1) == b""
        with closing(connect(number)) as deaf:
            deaf.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            with until(30, "the server to give it up") as again:
                while again():
                    if not number.server.connections:
                        break
            received = 0
            try:
                while more := deaf.recv(1 << 20):
                    received += len(more)
            except ConnectionResetError:
                pass
            assert received < 20_000_000


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(noise=st.binary(min_size=1, max_size=600))
def test_no_noise_keeps_the_next_one_from_an_answer(port: int, noise: bytes) -> None:
    with closing(connect(port)) as connection:
        connection.sendall(noise)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(65536):
                pass
        except ConnectionResetError:
            pass
    assert get(port, "/")[0].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9477", Address("127.0.0.1", 9477)),
        ("localhost:9477", Address("127.0.0.1", 9477)),
        ("9477", Address("127.0.0.1", 9477)),
        ("[::1]:80", Address("::1", 80)),
        ("0.0.0.0:1", Address("0.0.0.0", 1)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert address.loopback is (not text.startswith("0"))


@pytest.mark.parametrize(
    "text",
    ["", "127.0.0.1", "127.0.0.1:99999", "example.org:80", ":9477", "127.1:9", "a:b:c", "*:1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be served"):
        parse_address(text)
