"""Where the daemon keeps its ledger and its socket, and where others look for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from frugalwatch.config.paths import SYSTEM_SOCKET, runtime_dir, state_dir
from frugalwatch.config.settings import Settings

SYSTEM_LEDGER = "/var/lib/frugalwatch/ledger.db"


class Places(NamedTuple):
    """Absolute paths. `shelf` holds what a restarted daemon must know of the counters."""

    ledger: str
    socket: str

    @property
    def lock(self) -> str:
        """Locked by the one daemon that writes to this ledger."""
        return f"{self.ledger}.lock"

    @property
    def shelf(self) -> str:
        """What a successor needs to lose no energy."""
        return f"{self.ledger}.state"


def daemon_places(settings: Settings, environ: Mapping[str, str], uid: int) -> Places:
    """Where a daemon of this user keeps things: as set, as systemd says, or by default."""
    return Places(_ledger(settings, environ, uid), _socket(settings, environ, uid))


def _ledger(settings: Settings, environ: Mapping[str, str], uid: int) -> str:
    if settings.daemon_ledger:
        return os.path.abspath(os.path.expanduser(settings.daemon_ledger))
    service = environ.get("STATE_DIRECTORY", "")  # systemd's StateDirectory=
    if os.path.isabs(service):
        return os.path.join(service.partition(":")[0], "ledger.db")
    if uid == 0:
        return SYSTEM_LEDGER
    return os.path.join(state_dir(environ), "daemon.db")


def _socket(settings: Settings, environ: Mapping[str, str], uid: int) -> str:
    if settings.daemon_socket:
        return settings.daemon_socket
    service = environ.get("RUNTIME_DIRECTORY", "")  # systemd's RuntimeDirectory=
    if os.path.isabs(service):
        return os.path.join(service.partition(":")[0], "sock")
    return SYSTEM_SOCKET if uid == 0 else os.path.join(runtime_dir(environ), "sock")
