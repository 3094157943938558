"""Ledgers of nodes, written by the product's own journal with times and counters of a test."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from collectors.base import Device, Reading
from frugalwatch.config.settings import Settings
from frugalwatch.ledger.connection import open_ledger
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.totals import store_totals
from frugalwatch.ledger.union import energy_between
from frugalwatch.remote.cursor import Target
from frugalwatch.remote.query import Queries, query_url
from frugalwatch.remote.sender import Plan, Sender
from frugalwatch.remote.transport import Transport, address
from frugalwatch.report.settle import settle_run
from frugalwatch.report.started_with import started_with
from tests.frugalwatch.ledger.kit import device, run_end, run_start

SECOND = 1_000_000_000
MONO_0 = 1000 * SECOND  # when recordings begin on the monotonic clock


class Node:
    """One ledger of one machine; `began_utc_s` is the wall clock at its monotonic second 1000."""

    def __init__(self, folder: Path, name: str, *, began_utc_s: float | None = None) -> None:
        self.name = name
        self.path = folder / f"{name}.db"
        self.boot = f"boot-of-{name}"
        began = time.time() - 3600 if began_utc_s is None else began_utc_s
        self.utc_0_ns = round(began) * SECOND
        self.machine = f"machine-of-{name}"

    def record(
        self,
        run_key: str,
        *,
        begin_s: float = 0.0,
        end_s: float = 60.0,
        watts: Sequence[float] = (100.0,),
        every_s: float = 1.0,
        group: str | None = None,
        over: bool = True,
        devices: Sequence[Device] | None = None,
        boot: str | None = None,
        start_j: float = 0.0,
    ) -> None:
        """One run (or `daemon-...`) with a counter for each of `watts`, settled if it is `over`."""
        journal = self.open(run_key, begin_s=begin_s, group=group, boot=boot)
        chosen = devices or [device(f"rapl:package-{n}") for n in range(len(watts))]
        begin, end = MONO_0 + round(begin_s * SECOND), MONO_0 + round(end_s * SECOND)
        handles = [journal.add_stream(one, begin) for one in chosen]
        count = round((end_s - begin_s) / every_s)
        for n in range(count + 1):
            t = begin + round(n * every_s * SECOND)
            for handle, one, power in zip(handles, chosen, watts, strict=True):
                energy = round(start_j * 1e6 + power * (t - begin) / 1e3)
                journal.sample(handle, Reading(one.key, t, energy))
            if n % 600 == 599:
                journal.heartbeat(t)
                journal.commit()
        journal.heartbeat(end)
        journal.commit()
        if over:
            journal.finish(run_end(0, ended_mono_ns=end))
        journal.close()
        if over:
            self.settle(run_key)

    def open(
        self, run_key: str, *, begin_s: float, group: str | None = None, boot: str | None = None
    ) -> Journal:
        """A journal with the run begun."""
        journal = Journal(str(self.path), notify=lambda *_: None, fallback_dirs=())
        begin_ns = round(begin_s * SECOND)
        journal.open_run(
            run_start(
                run_key,
                machine_key=self.machine,
                hostname=self.name,
                boot_key=boot or self.boot,
                group_key=group,
                started_utc_ns=self.utc_0_ns + begin_ns,
                started_mono_ns=MONO_0 + begin_ns,
            )
        )
        return journal

    def settle(self, run_key: str) -> None:
        with contextlib.closing(open_ledger(str(self.path), create=False)) as conn:
            factor, own = started_with(conn, run_key, Settings())
            document, totals = settle_run(conn, run_key, factor, own)
            number = document["number"]
            assert isinstance(number, int)
            store_totals(conn, number, totals)

    def connect(self) -> sqlite3.Connection:
        return open_ledger(str(self.path), create=False)

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path)) as conn:
            return conn.execute(query, values).fetchall()

    def union_uj(self) -> int:
        """What this ledger's recordings of measured devices add up to, overlap counted once."""
        with contextlib.closing(self.connect()) as conn:
            boots = [row[0] for row in conn.execute("SELECT id FROM boot")]
            return sum(
                one.energy_uj
                for boot in boots
                for one in energy_between(conn, boot, 0, 1 << 62)
                if one.part_of is None
            )


class Sending:
    """A sender of a node's ledger to a receiver, and its clock, which a test may set."""

    def __init__(
        self,
        node: Node,
        url: str,
        *,
        now_s: float | None = None,
        timeout_s: float = 10.0,
        most_points: int = 5_000,
        **plan: Any,
    ) -> None:
        self.now_ns = None if now_s is None else round(now_s * 1e9)
        self.conn = node.connect()
        place = address(url)
        self.transport = Transport(place, timeout_s=timeout_s)
        asked = query_url(place.url)
        assert asked is not None
        self.queries = Queries(address(asked), timeout_s=timeout_s)
        self.sender = Sender(
            self.conn,
            place.url,
            self.transport.post,
            Plan(node.name, None, **plan),
            queries=self.queries,
            clock=self._clock,
            most_points=most_points,
        )

    def _clock(self) -> int:
        return time.time_ns() if self.now_ns is None else self.now_ns

    @property
    def target(self) -> Target:
        return self.sender.target

    def all(self) -> int:
        """Send until there is no more; how many values were."""
        sent = 0
        while True:
            passed = self.sender.send(everything=True)
            sent += passed.points
            if not passed.more:
                return sent

    def close(self) -> None:
        self.transport.close()
        self.queries.close()
        self.conn.close()

    def __enter__(self) -> Sending:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
