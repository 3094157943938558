"""The line of `doctor` about sending: to which server the ledger goes, and whether it takes it."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING

from frugalwatch.config.settings import Settings
from frugalwatch.daemon.status import find_status
from frugalwatch.errors import FrugalWatchError
from frugalwatch.ledger.paths import ledger_path, locate
from frugalwatch.ledger.reading import open_reader
from frugalwatch.remote.status import Sending, in_words, sending

if TYPE_CHECKING:
    from frugalwatch.doctor.examine import Check


def sending_check(settings: Settings, environ: Mapping[str, str]) -> Check:
    """A fault where a server was named, or sent to, and takes nothing."""
    from frugalwatch.doctor.examine import Check

    of_daemon = find_status(settings, environ, os.getuid()).sending
    found = of_daemon or _of_own_ledger(settings, environ)
    remedy = f"frugalwatch send{' --daemon' if of_daemon else ''} --status"
    wrong = [one for one in found if one["error"] is not None]
    if wrong:
        return Check("sending", False, in_words(wrong[0]), remedy)
    if found:
        return Check("sending", True, in_words(found[0]))
    if settings.remote_write_url is None:
        return Check("sending", True, "to no server; `remote_write_url` of the configuration does")
    return Check("sending", False, "a server is set, and nothing was sent yet", "frugalwatch send")


def _of_own_ledger(settings: Settings, environ: Mapping[str, str]) -> tuple[Sending, ...]:
    try:
        connection = open_reader(locate(ledger_path(settings, environ), environ).ledger)
    except FrugalWatchError:  # there is none, or none that can be read: another check says so
        return ()
    try:
        return tuple(sending(connection))
    except sqlite3.Error:  # of an older version, say
        return ()
    finally:
        connection.close()
