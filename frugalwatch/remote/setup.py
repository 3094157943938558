"""From the settings to a sender: the server's address, whose figures, and one sender a ledger."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from frugalwatch.config.settings import Settings
from frugalwatch.errors import UsageError
from frugalwatch.machine import machine_key
from frugalwatch.remote.query import Queries, query_url
from frugalwatch.remote.sender import Plan, Sender
from frugalwatch.remote.transport import Address, Transport, address

_NO_URL_HINT = "remote_write_url in the configuration, or --url http://HOST:9090/api/v1/write"


class Link(NamedTuple):
    """A sender with its connection. `close()` hangs up."""

    sender: Sender
    transport: Transport
    queries: Queries | None

    def close(self) -> None:
        """Hang up."""
        self.transport.close()
        if self.queries is not None:
            self.queries.close()


def send_lock_path(ledger: str) -> str:
    """Locked by the one process that sends this ledger."""
    return f"{ledger}.send.lock"


def write_address(settings: Settings, environ: Mapping[str, str]) -> Address:
    """Where the ledger is sent. Raises UsageError if nothing is set, or no address."""
    if not settings.remote_write_url:
        raise UsageError("no server is set", hint=_NO_URL_HINT)
    return address(settings.remote_write_url, _token(settings, environ))


def query_address(settings: Settings, environ: Mapping[str, str]) -> Address | None:
    """Where the server is asked: as set, else as the address to write to suggests."""
    url = settings.remote_query_url
    if url is None and settings.remote_write_url:
        url = query_url(settings.remote_write_url)
    return None if url is None else address(url, _token(settings, environ))


def tenant_headers(settings: Settings) -> dict[str, str]:
    """The header by which Mimir, Loki and their like tell tenants apart."""
    return {"X-Scope-OrgID": settings.remote_tenant} if settings.remote_tenant else {}


def queries_of(settings: Settings, environ: Mapping[str, str]) -> Queries | None:
    """The server's query interface; None if nothing says where it is."""
    place = query_address(settings, environ)
    return None if place is None else Queries(place, headers=tenant_headers(settings))


def make_link(
    conn: sqlite3.Connection,
    settings: Settings,
    environ: Mapping[str, str],
    *,
    node: str | None = None,
    devices: bool = True,
    clock: Callable[[], int] = time.time_ns,
) -> Link:
    """A sender of this ledger. With a `node`, all that the ledger holds is sent as that node's.

    Raises UsageError, sqlite3.Error.
    """
    place = write_address(settings, environ)
    transport = Transport(place, headers={"User-Agent": "frugalwatch", **tenant_headers(settings)})
    queries = queries_of(settings, environ)
    chosen = node or settings.remote_node
    plan = Plan(
        node=chosen or os.uname().nodename,
        machine=None if node else machine_key(),
        devices=devices,
        runs=settings.remote_runs,
        every_ms=round(settings.remote_interval_s * 1e3),
        node_is_chosen=chosen is not None,
    )
    sender = Sender(conn, place.url, transport.post, plan, queries=queries, clock=clock)
    return Link(sender, transport, queries)


def _token(settings: Settings, environ: Mapping[str, str]) -> str | None:
    name = settings.remote_token_env
    return environ.get(name) if name else None
