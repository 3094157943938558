"""The ledger as a sqlite-utils database: for everything that reads, merges, imports and exports.

Only commands import this. Loading sqlite_utils costs 100 ms of CPU, and another 150 ms where numpy
or pandas are installed, whose types it then also accepts in inserts. The ledger holds integers,
reals and texts only, so those two are hidden from it while it loads.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from sqlite_utils.db import Database

Cell: TypeAlias = int | float | str | None


def database(conn: sqlite3.Connection) -> Database:
    """A sqlite-utils view of an open connection; the caller goes on owning the connection.

    Plugins that a user installed for sqlite-utils are not loaded: they could change what we read.
    """
    with _hidden("numpy", "pandas"):
        from sqlite_utils.db import Database

    return Database(conn, recursive_triggers=False, execute_plugins=False)


@contextmanager
def _hidden(*names: str) -> Iterator[None]:
    """Make these modules look absent, unless they are loaded already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # what the import system documents
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
