"""One scraper's connection: a request of bounded size and time, one answer, and the end."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import NamedTuple

LONGEST_REQUEST = 8192
REQUEST_NS = 5_000_000_000
ANSWER_NS = 10_000_000_000

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}


class Request(NamedTuple):
    """What was asked for. Names of headers are in small letters."""

    method: str
    path: str
    headers: dict[str, str]


class Answer(NamedTuple):
    """What is told; `body` is left out of the answer to HEAD."""

    status: int
    content_type: str
    body: bytes


def parse_request(head: bytes) -> Request | None:
    """The request before an empty line; None if that is no HTTP/1.x request."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1.") or not words[1].startswith("/"):
        return None
    headers = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon:
            return None
        headers[name.strip().lower()] = value.strip()
    return Request(words[0], words[1].partition("?")[0], headers)


class HttpClient:
    """Reads a request, hands it to `answer`, and writes what that says. Nothing here waits."""

    def __init__(
        self, connection: socket.socket, now_ns: int, answer: Callable[[Request], Answer]
    ) -> None:
        self.connection = connection
        self.dead = False
        self._answer = answer
        self._deadline_ns = now_ns + REQUEST_NS
        self._request = bytearray()
        self._parts: list[memoryview] = []

    @property
    def answering(self) -> bool:
        """Whether there is something to send."""
        return bool(self._parts)

    def receive(self, now_ns: int) -> None:
        """Take what came, and begin to answer once the request is whole."""
        try:
            data = self.connection.recv(LONGEST_REQUEST)
        except BlockingIOError:
            return
        except OSError:
            self.dead = True
            return
        if not data:
            self.dead = True
            return
        self._request += data
        head, end, _ = bytes(self._request).partition(b"\r\n\r\n")
        if end:
            self._begin(self._answered(head), head.startswith(b"HEAD "), now_ns)
        elif len(self._request) > LONGEST_REQUEST:
            self._begin(_refusal(400, "the request is too long"), False, now_ns)

    def flush(self) -> None:
        """Send what the other side takes now; the connection ends with the answer."""
        try:
            while self._parts:
                sent = self.connection.send(self._parts[0])
                rest = self._parts[0][sent:]
                if rest:
                    self._parts[0] = rest
                else:
                    del self._parts[0]
            self.connection.shutdown(socket.SHUT_WR)
            self.dead = True
        except BlockingIOError:
            return
        except OSError:
            self.dead = True

    def check_time(self, now_ns: int) -> None:
        """Give up one that takes too long."""
        if now_ns > self._deadline_ns:
            self.dead = True

    def _answered(self, head: bytes) -> Answer:
        request = parse_request(head)
        if request is None:
            return _refusal(400, "that is no HTTP request")
        if request.method not in ("GET", "HEAD"):
            return _refusal(405, "GET and HEAD are all there is")
        return self._answer(request)

    def _begin(self, answer: Answer, without_body: bool, now_ns: int) -> None:
        head = (
            f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}\r\n"
            f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
            "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
            "Connection: close\r\n\r\n"
        )
        # The body is shared by all who read it now: a slow reader costs its own connection only.
        self._parts = [memoryview(head.encode("latin-1"))]
        if answer.body and not without_body:
            self._parts.append(memoryview(answer.body))
        self._deadline_ns = now_ns + ANSWER_NS
        self.flush()


def _refusal(status: int, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())
