"""Where metrics are served: `HOST:PORT` in words, and the socket that listens there."""

from __future__ import annotations

import socket
from typing import NamedTuple

from frugalwatch.errors import UsageError

_BACKLOG = 64


class Address(NamedTuple):
    """A numeric address, or `localhost`, and a port; port 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host == "::1" or self.host.startswith("127.")


def parse_address(text: str) -> Address:
    """`127.0.0.1:9477`, `[::1]:9477`, `localhost:9477`, or the port alone, on loopback.

    Names are not looked up: what one stands for may change. Raises UsageError.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon:
        host = "127.0.0.1"
    host = host.removeprefix("[").removesuffix("]")
    host = "127.0.0.1" if host == "localhost" else host
    if port.isascii() and port.isdigit() and int(port) < 1 << 16 and _numeric(host):
        return Address(host, int(port))
    raise UsageError(
        f"metrics cannot be served on {text!r}",
        why="that is no address and port",
        hint="127.0.0.1:9477, or 0.0.0.0:9477 for everybody who can reach this machine",
    )


def listen(address: Address) -> socket.socket:
    """A listening socket that never blocks. Raises OSError."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address.host, address.port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return True
    return False
