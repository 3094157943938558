"""How long each query of the screen takes, fetching included: an SQLite connection with a watch."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_times: list[tuple[float, str]] = []


class _Cursor(sqlite3.Cursor):
    """Notes the milliseconds of each statement; fetching adds to those of the last one."""

    def execute(self, sql: str, *values: Any) -> _Cursor:  # type: ignore[override]
        began = time.perf_counter()
        super().execute(sql, *values)
        _times.append(((time.perf_counter() - began) * 1000, sql))
        return self

    def fetchone(self) -> Any:
        return self._timed(super().fetchone)

    def fetchall(self) -> list[Any]:
        return self._timed(super().fetchall)

    def __next__(self) -> Any:
        return self._timed(super().__next__)

    def _timed(self, fetch: Any) -> Any:
        began = time.perf_counter()
        try:
            return fetch()
        finally:
            if _times:
                took, sql = _times[-1]
                _times[-1] = (took + (time.perf_counter() - began) * 1000, sql)


class _Connection(sqlite3.Connection):
    def cursor(self, *_: Any) -> _Cursor:  # type: ignore[override]
        return super().cursor(_Cursor)

    def execute(self, sql: str, *values: Any) -> _Cursor:  # type: ignore[override]
        return self.cursor().execute(sql, *values)


@contextmanager
def timed_queries() -> Iterator[list[tuple[float, str]]]:
    """Milliseconds and text of every statement of the connections that are opened inside."""
    plain = sqlite3.connect
    _times.clear()

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return plain(*arguments, **{"factory": _Connection, **options})

    sqlite3.connect = connect  # type: ignore[assignment]
    try:
        yield _times
    finally:
        sqlite3.connect = plain  # type: ignore[assignment]
