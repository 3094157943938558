"""One HTTP connection to one server, by the standard library: bounded in time and in what it reads.

A redirect is not followed: it could carry the token to somebody else.
"""

from __future__ import annotations

import base64
import http.client
import math
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from frugalwatch.errors import UsageError

TIMEOUT_S = 30.0
_MOST_BYTES = 16_000_000  # of an answer
_LONGEST_WAIT_S = 3600.0  # that a server may ask for


class Answer(NamedTuple):
    """What the server said. `retry_after_s` is None where it did not say."""

    status: int
    body: bytes
    retry_after_s: float | None = None

    @property
    def taken(self) -> bool:
        """Whether the request was carried out."""
        return 200 <= self.status < 300

    @property
    def words(self) -> str:
        """The status with the first line of what was said about it."""
        said = self.body[:400].decode(errors="replace").strip().partition("\n")[0]
        safe = "".join(c if c.isprintable() else "?" for c in said)
        return f"HTTP {self.status}" + (f": {safe[:200]}" if safe else "")


class UnreachableError(Exception):
    """Nobody answered, or not in time, or not as HTTP; the message says which."""


class Address(NamedTuple):
    """An address without its password, and the Authorization header that goes with it."""

    url: str
    authorization: str | None


def address(url: str, token: str | None = None) -> Address:
    """Take `user:password@` out of an address. Raises UsageError if it is none of HTTP."""
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no address", why=str(error)) from None
    if split.scheme not in ("http", "https") or not split.hostname:
        raise UsageError(f"{url!r} is no address of a server", hint="http://HOST:9090/api/v1/write")
    host = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
    bare = urlunsplit(
        SplitResult(split.scheme, host + (f":{port}" if port else ""), split.path, split.query, "")
    )
    if token:
        return Address(bare, f"Bearer {token}")
    if split.username:
        pair = f"{unquote(split.username)}:{unquote(split.password or '')}"
        return Address(bare, "Basic " + base64.b64encode(pair.encode()).decode())
    return Address(bare, None)


class Transport:
    """Requests to one server over one connection, which is opened anew when it broke."""

    def __init__(
        self,
        place: Address,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._split = urlsplit(place.url)
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._headers = dict(headers or {})
        if place.authorization:
            self._headers["Authorization"] = place.authorization

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send `body` to the address itself. Raises UnreachableError."""
        split = self._split
        return self._ask("POST", split.path or "/", split.query, body, headers)

    def get(self, path: str, query: str) -> Answer:
        """Ask for `path` below the address. Raises UnreachableError."""
        return self._ask("GET", self._split.path.rstrip("/") + path, query, None, {})

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(
        self, method: str, path: str, query: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        target = f"{path}?{query}" if query else path
        fresh = self._connection is None
        try:
            return self._once(method, target, body, headers)
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError) as error:
            self.close()
            if fresh:
                raise UnreachableError(_why(error)) from error
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnreachableError(_why(error)) from error
        # The server had hung up on the idle connection. Sending the same again does no harm.
        try:
            return self._once(method, target, body, headers)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise UnreachableError(_why(error)) from error

    def _once(
        self, method: str, target: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        connection = self._connection or self._connect()
        self._connection = connection
        connection.request(method, target, body, {**self._headers, **headers})
        response = connection.getresponse()
        content = response.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            self.close()
            raise http.client.HTTPException(f"the answer is longer than {_MOST_BYTES} bytes")
        if response.will_close:
            self.close()
        return Answer(response.status, content, _retry_after(response.getheader("Retry-After")))

    def _connect(self) -> http.client.HTTPConnection:
        host = self._split.hostname or ""
        if self._split.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(
                host, self._split.port, timeout=self._timeout_s, context=context
            )
        return http.client.HTTPConnection(host, self._split.port, timeout=self._timeout_s)


def _retry_after(text: str | None) -> float | None:
    """Seconds to wait, from a number of seconds or a date (RFC 9110, 10.2.3), within reason."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return None if math.isnan(seconds) else max(0.0, min(seconds, _LONGEST_WAIT_S))


def _why(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
