"""One boot of a machine as the daemon records it: a recording that its restarts go on with.

In the ledger it is a run without a job, one a boot. So streams, gaps, recovery after a reboot and
everything that reads a ledger hold for it as they hold for a run.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping

from collectors.cpu_time import machine_busy_us
from collectors.host import Host
from frugalwatch.config.settings import Settings
from frugalwatch.daemon.places import Places
from frugalwatch.daemon.shelf import FileShelf
from frugalwatch.ledger.connection import open_ledger
from frugalwatch.ledger.journal import Journal
from frugalwatch.ledger.paths import ledger_digest
from frugalwatch.ledger.recover import here, recover
from frugalwatch.machine import boot_key
from frugalwatch.sampler.context import JobStart, Plan, RunContext
from frugalwatch.sampler.run_start import describe_run

RUN_PREFIX = "daemon-"
_COMMAND = ("frugalwatch", "daemon", "run")
_START, _STOPPED = "start", "stopped"

_OF_EARLIER_BOOTS = """
SELECT 1 FROM run JOIN boot ON boot.id = run.boot_id
WHERE state = 'running' AND boot_key <> ? LIMIT 1
"""


def daemon_context(
    places: Places, settings: Settings, environ: Mapping[str, str], shelf: FileShelf
) -> RunContext:
    """This boot's recording as the sampler's parts know a run: its plan and its start.

    A restarted daemon gets the start that the first one had, so that its figures go on.
    """
    host = Host.from_environment()
    known = shelf.own.get(_START)
    if known is None:
        busy_us = machine_busy_us(host)
        known = (time.monotonic_ns(), time.time_ns(), -1 if busy_us is None else busy_us)
        shelf.put_own(_START, known)
    mono_ns, utc_ns, busy = known
    plan = Plan(
        run_key=f"{RUN_PREFIX}{boot_key()}-{ledger_digest(places.ledger)}",
        group_key=None,
        parent_run_key=None,
        argv=_COMMAND,
        cwd="/",
        environment=environ,
        settings=settings._replace(sources_off=(*settings.sources_off, "daemon")),
        ledger_path=places.ledger,
        host=host,
        supervisor_pid=os.getpid(),
        cgroup=None,
        api_pipe=None,
        shelf=shelf,
    )
    return RunContext(plan, JobStart(os.getpid(), mono_ns, utc_ns, None if busy < 0 else busy))


def open_session(journal: Journal, context: RunContext, shelf: FileShelf) -> bool:
    """Begin this boot's recording or go on with it; True if it goes on. Notes what lay between."""
    now = time.monotonic_ns()
    seen_ns = journal.reopen_run(describe_run(context))
    stopped = shelf.own.get(_STOPPED)
    shelf.put_own(_STOPPED, None)
    if seen_ns is None:
        journal.usage(context.start.mono_ns, None, 0)
        return False
    cause = "stopped" if stopped else "killed"
    journal.event(
        "daemon_restarted",
        cause,
        since_mono_ns=min(now, max(seen_ns, stopped[0] if stopped else 0)),
        t_mono_ns=now,
        detail="nobody looked meanwhile; counters that kept counting lose no energy",
    )
    return True


def note_stop(journal: Journal, shelf: FileShelf, reason: str) -> None:
    """An orderly end: the next start need not take it for a kill."""
    now = time.monotonic_ns()
    shelf.put_own(_STOPPED, (now,))
    journal.event("daemon_stopped", reason, t_mono_ns=now)


def settle_earlier_boots(path: str, settings: Settings) -> int:
    """Give recordings of earlier boots their end and totals; how many there were.

    Raises sqlite3.Error, LedgerError. The machinery of totals is loaded only if there are any.
    """
    if not os.path.exists(path):
        return 0
    connection = open_ledger(path, create=False)
    try:
        place = here()
        if connection.execute(_OF_EARLIER_BOOTS, (place.boot_key,)).fetchone() is None:
            return 0
        from frugalwatch.ledger.totals import store_totals
        from frugalwatch.report.settle import settle_run
        from frugalwatch.report.started_with import started_with

        def settle(conn: sqlite3.Connection, run_key: str) -> None:
            factor, own = started_with(conn, run_key, settings)
            document, totals = settle_run(conn, run_key, factor, own)
            number = document["number"]
            assert isinstance(number, int)
            store_totals(conn, number, totals)

        return len(recover(connection, place, settle))
    finally:
        connection.close()
