"""Whether metrics are really served at an address: by asking there."""

from __future__ import annotations

import socket

from frugalwatch.errors import UsageError
from frugalwatch.metrics.address import parse_address

_TIMEOUT_S = 2.0


def url(text: str) -> str:
    """What to type into a browser or a scraper's configuration."""
    return f"http://{text}/metrics"


def answers(text: str) -> bool:
    """True if something at `HOST:PORT` answers a request for /metrics well."""
    try:
        address = parse_address(text)
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)
        with socket.create_connection((host, address.port), _TIMEOUT_S) as connection:
            connection.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except (OSError, UsageError):
        return False
