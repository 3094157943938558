"""How far a ledger was sent to a server, kept in that ledger."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from frugalwatch.ledger.connection import writing
from frugalwatch.remote.spool import Counted
from frugalwatch.remote.streams import labels_text


class Target(NamedTuple):
    """A server in the ledger's books. `ledger_key` is the label that tells ledgers apart."""

    target_id: int
    ledger_key: str
    in_flight_ms: int | None


class Sent(NamedTuple):
    """One counter: how far it was counted by boot, and the newest value that the server took."""

    series_id: int
    labels: dict[str, str]
    counted: dict[str, Counted]
    sent_ms: int | None
    sent_uj: int | None

    @property
    def total_uj(self) -> int:
        """The counter as far as it was counted."""
        return sum(each.energy_uj for each in self.counted.values())


class Loss(NamedTuple):
    """Values that the server refused for good: from when to when, how many, and its words."""

    since_ms: int
    until_ms: int
    points: int
    cause: str


class Advance(NamedTuple):
    """What the server took of one counter, and what it did not."""

    series_id: int
    sent_ms: int
    sent_uj: int
    counted: dict[str, Counted]
    loss: Loss | None = None


def target(conn: sqlite3.Connection, url: str) -> Target:
    """The row of a server, made where it is new. Raises sqlite3.Error."""
    row = _target(conn, url)
    if row is None:
        with writing(conn):
            known = conn.execute("SELECT ledger_key FROM remote_target LIMIT 1").fetchone()
            key = known[0] if known else os.urandom(4).hex()
            conn.execute(
                "INSERT INTO remote_target (url, ledger_key) VALUES (?, ?)"
                " ON CONFLICT (url) DO NOTHING",
                (url, key),
            )
        row = _target(conn, url)
        assert row is not None
    return row


def _target(conn: sqlite3.Connection, url: str) -> Target | None:
    row = conn.execute(
        "SELECT id, ledger_key, in_flight_ms FROM remote_target WHERE url = ?", (url,)
    ).fetchone()
    return None if row is None else Target(*row)


def sent(conn: sqlite3.Connection, target_id: int, labels: dict[str, str]) -> Sent:
    """Where one counter stands; it gets a row if it has none. Raises sqlite3.Error."""
    text = labels_text(labels)
    where = "SELECT id, sent_ms, sent_uj FROM remote_series WHERE target_id = ? AND labels = ?"
    row = conn.execute(where, (target_id, text)).fetchone()
    if row is None:
        with writing(conn):
            conn.execute(
                "INSERT INTO remote_series (target_id, labels) VALUES (?, ?)", (target_id, text)
            )
        row = conn.execute(where, (target_id, text)).fetchone()
    counted = conn.execute(
        "SELECT boot_key, energy_uj, covered_ns, until_mono_ns FROM remote_counted"
        " WHERE series_id = ?",
        (row[0],),
    )
    return Sent(row[0], labels, {key: Counted(*rest) for key, *rest in counted}, row[1], row[2])


def known_labels(conn: sqlite3.Connection, target_id: int) -> list[dict[str, str]]:
    """Labels of every counter that was ever sent there."""
    rows = conn.execute("SELECT labels FROM remote_series WHERE target_id = ?", (target_id,))
    return [json.loads(row[0]) for row in rows]


def begin_request(conn: sqlite3.Connection, target_id: int, newest_ms: int) -> None:
    """Note that values up to this time may reach the server. Raises sqlite3.Error."""
    conn.execute("UPDATE remote_target SET in_flight_ms = ? WHERE id = ?", (newest_ms, target_id))


def all_answered(conn: sqlite3.Connection, target_id: int, now_utc_ns: int) -> None:
    """Note that the server took all that it was sent. Raises sqlite3.Error."""
    conn.execute(
        "UPDATE remote_target SET told_utc_ns = ?, in_flight_ms = NULL, error = NULL,"
        " error_utc_ns = NULL WHERE id = ?",
        (now_utc_ns, target_id),
    )


def advance(
    conn: sqlite3.Connection, target_id: int, taken: Iterable[Advance], now_utc_ns: int
) -> None:
    """Move the cursors of counters, all or none of them. Raises sqlite3.Error."""
    with writing(conn):
        conn.execute(
            "UPDATE remote_target SET told_utc_ns = ? WHERE id = ?", (now_utc_ns, target_id)
        )
        for one in taken:
            conn.execute(
                "UPDATE remote_series SET sent_ms = ?, sent_uj = ? WHERE id = ?",
                (one.sent_ms, one.sent_uj, one.series_id),
            )
            store_counted(conn, one.series_id, one.counted)
            if one.loss is not None:
                conn.execute(
                    "INSERT INTO remote_loss (target_id, series_id, since_ms, until_ms, points,"
                    " cause, noted_utc_ns) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (target_id, one.series_id, *one.loss, now_utc_ns),
                )


def store_counted(conn: sqlite3.Connection, series_id: int, counted: dict[str, Counted]) -> None:
    """Write how far boots were counted, inside the caller's transaction."""
    conn.executemany(
        "INSERT INTO remote_counted (series_id, boot_key, energy_uj, covered_ns, until_mono_ns)"
        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (series_id, boot_key) DO UPDATE SET"
        " energy_uj = excluded.energy_uj, covered_ns = excluded.covered_ns,"
        " until_mono_ns = excluded.until_mono_ns",
        [(series_id, key, *value) for key, value in counted.items()],
    )


def note_error(conn: sqlite3.Connection, target_id: int, error: str, now_utc_ns: int) -> None:
    """Keep why the server could not be told. Raises sqlite3.Error."""
    conn.execute(
        "UPDATE remote_target SET error = ?, error_utc_ns = ? WHERE id = ?",
        (error[:500], now_utc_ns, target_id),
    )
