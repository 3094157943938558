"""Becoming the daemon: one instance, its recording, its loop, and starting anew on SIGHUP."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from collections.abc import Mapping

from frugalwatch.config.settings import Settings
from frugalwatch.daemon.lock import InstanceLock
from frugalwatch.daemon.places import Places
from frugalwatch.daemon.session import daemon_context, settle_earlier_boots
from frugalwatch.daemon.shelf import FileShelf
from frugalwatch.errors import FrugalWatchError
from frugalwatch.machine import boot_key


def run_daemon(
    places: Places, settings: Settings, environ: Mapping[str, str], *, serve: bool = True
) -> int:
    """Sample until told to stop; the signal that ended it. SIGHUP: the caller starts anew.

    Raises FrugalWatchError if another daemon writes to this ledger, or nobody could.
    """
    lock = _lock(places)
    _name_ourselves()
    shelf = FileShelf(places.shelf, boot_key())
    context = daemon_context(places, settings, environ, shelf)
    from frugalwatch.sampler.readers import start_readers

    readers = start_readers(context.plan)
    from frugalwatch.daemon.loop import Daemon

    link = None
    if serve:
        from frugalwatch.daemon.server_link import ServerLink

        link = ServerLink(places.socket, settings.daemon_group)
        link.tend()  # early, while there is little to share
    try:
        settle_earlier_boots(places.ledger, settings)
    except (sqlite3.Error, FrugalWatchError) as error:  # the journal says what it makes of that
        sys.stderr.write(f"frugalwatch daemon: earlier boots were not settled: {error}\n")
    metrics = None
    if settings.metrics is not None:
        from frugalwatch.daemon.metrics_link import MetricsLink
        from frugalwatch.ledger.paths import locate

        ledger = locate(places.ledger, environ).ledger
        metrics = MetricsLink(settings.metrics, ledger, environ)
    sending = None
    if settings.remote_write_url is not None:
        from frugalwatch.daemon.send_link import SendLink
        from frugalwatch.ledger.paths import locate

        sending = SendLink(locate(places.ledger, environ).ledger, environ)
    ended_by = Daemon(context, shelf, readers, link, metrics=metrics, sending=sending).run()
    lock.release()
    return ended_by


def start_anew() -> None:
    """Take this process's place with a fresh one, which reads the configuration again."""
    signal.set_wakeup_fd(-1)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def _lock(places: Places) -> InstanceLock:
    lock = InstanceLock(places.lock)
    try:
        holder = lock.take()
    except OSError as error:
        raise FrugalWatchError(
            f"the daemon's ledger cannot be made: {places.ledger}",
            why=str(error),
            hint="--ledger FILE names another",
        ) from error
    if holder is not None:
        who = f"process {holder}" if holder else "another process"
        raise FrugalWatchError(
            "a daemon writes to this ledger already",
            why=f"{who} holds {places.lock}",
            hint="frugalwatch daemon status",
        )
    return lock


def _name_ourselves() -> None:
    try:
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write("fw-daemon")
    except OSError:
        return
