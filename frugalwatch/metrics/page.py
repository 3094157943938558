"""The page that scrapers get: rendered from the ledger seldom, handed out as often as asked.

A scraper cannot make us read the ledger more often than once a second, nor for more than a
twentieth of the time: in between everybody gets the same bytes.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable

from frugalwatch.errors import FrugalWatchError
from frugalwatch.ledger.reading import open_reader
from frugalwatch.metrics.exposition import OPENMETRICS_TYPE, TEXT_TYPE, as_openmetrics, as_text
from frugalwatch.metrics.families import Family
from frugalwatch.metrics.snapshot import Snapshot, about_us

_LEAST_AGE_NS = 1_000_000_000
_PART_OF_TIME = 20
_BUSY_S = 1.0


class LedgerView:
    """Families of a ledger that others write to. Its file may come later, or be replaced."""

    def __init__(self, path: str, snapshot: Snapshot) -> None:
        self.path = path
        self._snapshot = snapshot
        self._conn: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def open(self) -> bool:
        """Whether the ledger is open now; a file that took its place is opened instead."""
        try:
            seen = os.stat(self.path)
        except FileNotFoundError:
            self.close()
            return False
        except OSError:  # rights were given up since it was opened
            return self._conn is not None
        if self._conn is not None and self._file == (seen.st_dev, seen.st_ino):
            return True
        self.close()
        try:
            self._conn = open_reader(self.path, _BUSY_S)
            # Nothing is left to be opened later, when that may be forbidden.
            self._conn.execute("PRAGMA temp_store = MEMORY")
            self._conn.execute("SELECT count(*) FROM run").fetchone()
        except (FrugalWatchError, sqlite3.Error):
            self.close()
            return False
        self._file = (seen.st_dev, seen.st_ino)
        return True

    def families(self) -> list[Family]:
        """Everything that is told; of a ledger that cannot be read, that it cannot."""
        if self.open() and self._conn is not None:
            try:
                return self._snapshot.read(self._conn)
            except sqlite3.Error:
                self.close()
        return about_us(readable=False)

    def close(self) -> None:
        """Give the file back."""
        self._snapshot.forget()
        if self._conn is not None:
            self._conn.close()
            self._conn = None


class Page:
    """Both forms of what `families` tells, renewed when somebody asks and it is time."""

    def __init__(
        self,
        families: Callable[[], list[Family]],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._families = families
        self._clock_ns = clock_ns
        self._told: list[Family] = []
        self._renew_at_ns: int | None = None
        self._bodies: dict[str, bytes] = {}

    def body(self, *, openmetrics: bool) -> tuple[str, bytes]:
        """Content type and bytes."""
        now = self._clock_ns()
        if self._renew_at_ns is None or now >= self._renew_at_ns:
            self._told = self._families()
            self._bodies = {}
            took = self._clock_ns() - now
            self._renew_at_ns = now + max(_LEAST_AGE_NS, _PART_OF_TIME * took)
        kind = OPENMETRICS_TYPE if openmetrics else TEXT_TYPE
        if kind not in self._bodies:
            text = as_openmetrics(self._told) if openmetrics else as_text(self._told)
            self._bodies[kind] = text.encode()
        return kind, self._bodies[kind]
