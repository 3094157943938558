"""How far a ledger was sent, from what the ledger itself says of that."""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from frugalwatch.config.settings import Settings
from frugalwatch.daemon.lock import lock_holder
from frugalwatch.ledger.database import database
from frugalwatch.remote.setup import send_lock_path
from frugalwatch.report.format import duration
from frugalwatch.report.rows import row

SCHEMA = "frugalwatch.send-status/1"

Status = dict[str, Any]  # the JSON that is printed
Sending = dict[str, Any]  # of it, what there is of one server

_TARGETS = """
SELECT t.url, t.told_utc_ns, t.error, t.error_utc_ns,
       (SELECT count(*) FROM remote_series s WHERE s.target_id = t.id) AS series,
       (SELECT max(sent_ms) FROM remote_series s WHERE s.target_id = t.id) AS newest_ms,
       (SELECT count(*) FROM remote_run r WHERE r.target_id = t.id AND r.state = 'confirmed')
         AS confirmed,
       (SELECT count(*) FROM remote_run r WHERE r.target_id = t.id AND r.state <> 'confirmed')
         AS waiting,
       (SELECT coalesce(sum(points), 0) FROM remote_loss l WHERE l.target_id = t.id) AS refused
FROM remote_target t ORDER BY t.id
"""


def find_status(conn: sqlite3.Connection, path: str, settings: Settings) -> Status:
    """The document `frugalwatch.send-status/1`."""
    try:
        holder = lock_holder(send_lock_path(path))
    except OSError:  # another user's
        holder = None
    return {
        "schema": SCHEMA,
        "ledger": path,
        "configured": settings.remote_write_url is not None,
        "sender_pid": holder,
        "targets": sending(conn),
    }


def sending(conn: sqlite3.Connection) -> list[Sending]:
    """How far the ledger was sent to each server that it was ever sent to. Raises sqlite3.Error."""
    return [_document(found) for found in database(conn).query(_TARGETS)]


def in_words(one: Sending) -> str:
    """One server and how it stands with it, in a line."""
    now, newest, error = time.time(), one["newest_value_utc_s"], one["error"]
    told = "took nothing yet" if newest is None else f"told up to {_ago(now, newest)}"
    wrong = "" if error is None else f"; wrong: {error} ({_ago(now, one['error_utc_s'])})"
    return f"{one['url']}, {told}{wrong}"


def _document(found: dict[str, Any]) -> Sending:
    newest_ms = found["newest_ms"]
    return {
        "url": found["url"],
        "last_taken_utc_s": _seconds(found["told_utc_ns"]),
        "error": found["error"],
        "error_utc_s": _seconds(found["error_utc_ns"]),
        "series": found["series"],
        "newest_value_utc_s": None if newest_ms is None else newest_ms / 1e3,
        "totals_read_back": found["confirmed"],
        "totals_not_read_back": found["waiting"],
        "refused_values": found["refused"],
    }


def as_text(status: Status) -> str:
    """The status for people."""
    lines = [row("Ledger", status["ledger"])]
    pid = status["sender_pid"]
    lines.append(row("Sender", f"process {pid}" if pid else "none runs now"))
    if not status["configured"]:
        lines.append(row("Server", "the configuration has none: remote_write_url"))
    for one in status["targets"]:
        lines += ["", *_target(one)]
    if status["configured"] and not status["targets"]:
        lines.append(row("Server", "set, and nothing was sent to it yet: frugalwatch send"))
    return "\n".join(lines)


def _target(one: Sending) -> list[str]:
    now = time.time()
    taken, newest = one["last_taken_utc_s"], one["newest_value_utc_s"]
    lines = [row("Server", one["url"])]
    lines.append(
        row("", "took nothing yet" if taken is None else f"{_ago(now, taken)} it took some")
    )
    if newest is not None:
        lines.append(row("Counters", f"{one['series']}, told up to {_ago(now, newest)}"))
    if one["totals_read_back"] or one["totals_not_read_back"]:
        lines.append(
            row(
                "Runs",
                f"{one['totals_read_back']} read back, {one['totals_not_read_back']} waiting",
            )
        )
    if one["refused_values"]:
        lines.append(
            row("Refused", f"{one['refused_values']} values: their energy is in later totals")
        )
    if one["error"]:
        lines.append(row("Wrong", f"{one['error']} ({_ago(now, one['error_utc_s'])})"))
    return lines


def _ago(now_s: float, then_s: float) -> str:
    return f"{duration(max(0.0, now_s - then_s))} ago"


def _seconds(utc_ns: int | None) -> float | None:
    return None if utc_ns is None else utc_ns / 1e9
