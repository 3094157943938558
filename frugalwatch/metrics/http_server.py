"""Serves /metrics in one thread to whoever asks, however slowly or strangely.

The standard library's server takes a thread for each connection and has no deadline, and so has
that of prometheus-client: sixty open connections are sixty threads there. Here they are entries in
a list with a deadline each; where the list is full, the oldest makes room for the newest.
"""

from __future__ import annotations

import os
import select
import socket
import time

from frugalwatch.metrics.exposition import wants_openmetrics
from frugalwatch.metrics.http_client import Answer, HttpClient, Request
from frugalwatch.metrics.page import Page

MOST_CLIENTS = 64
_ACCEPTED_AT_ONCE = 16
_PAUSE_MS = 1_000
_INDEX = (
    b"<!DOCTYPE html><title>FrugalWatch</title><h1>FrugalWatch</h1>"
    b'<p><a href="/metrics">Metrics</a>: energy and carbon of this machine.</p>\n'
)


class MetricsServer:
    """`wake` is the end of a pipe: the server ends when the other one is closed."""

    def __init__(self, listener: socket.socket, page: Page, wake: int) -> None:
        self._listener = listener
        self._page = page
        self._wake = wake
        self._clients: dict[int, HttpClient] = {}  # in order of their coming

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._clients)

    def serve(self) -> None:
        """Answer until `wake` is closed."""
        try:
            while self._turn():
                pass
        finally:
            for client in self._clients.values():
                client.connection.close()
            self._listener.close()

    def _turn(self) -> bool:
        ready = dict(self._poller().poll(_PAUSE_MS))
        now = time.monotonic_ns()
        if self._wake in ready and not _read(self._wake):
            return False
        for descriptor, client in list(self._clients.items()):
            events = ready.get(descriptor, 0)
            if client.answering:
                if events:
                    client.flush()
            elif events:
                client.receive(now)
            client.check_time(now)
            if client.dead:
                self._drop(descriptor)
        if self._listener.fileno() in ready:
            self._accept(now)
        return True

    def _poller(self) -> select.poll:
        poller = select.poll()
        poller.register(self._wake, select.POLLIN)
        poller.register(self._listener.fileno(), select.POLLIN)
        for descriptor, client in self._clients.items():
            poller.register(descriptor, select.POLLOUT if client.answering else select.POLLIN)
        return poller

    def _accept(self, now_ns: int) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setblocking(False)
            if len(self._clients) >= MOST_CLIENTS:
                self._drop(next(iter(self._clients)))
            self._clients[connection.fileno()] = HttpClient(connection, now_ns, self._answer)

    def _drop(self, descriptor: int) -> None:
        self._clients.pop(descriptor).connection.close()

    def _answer(self, request: Request) -> Answer:
        if request.path == "/metrics":
            openmetrics = wants_openmetrics(request.headers.get("accept", ""))
            return Answer(200, *self._page.body(openmetrics=openmetrics))
        if request.path == "/":
            return Answer(200, "text/html; charset=utf-8", _INDEX)
        return Answer(404, "text/plain; charset=utf-8", b"there is /metrics\n")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 64)
    except BlockingIOError:
        return b"nothing"
