"""Where what `calibrate` learns is kept: this machine's rows in the ledger."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from typing import TypeAlias

from collectors.calibration import Calibration
from collectors.cpu_identity import read_cpu_identity
from collectors.cpu_table import thread_power
from collectors.host import Host
from frugalwatch.config.load import load
from frugalwatch.ledger.calibrations import (
    CalibrationOrigin,
    Kind,
    clear_calibration,
    ensure_machine,
    load_calibration,
    machine_id,
    save_calibration,
)
from frugalwatch.ledger.connection import Notify, explain, open_ledger, writing
from frugalwatch.ledger.paths import ledger_path, locate
from frugalwatch.ledger.reading import open_reader
from frugalwatch.machine import machine_key

# Device key, kind, value with SI units in its keys, how it is known.
Row: TypeAlias = tuple[str, Kind, dict[str, object], CalibrationOrigin]


class Place:
    """This machine's row of the ledger, and what the table says of its CPU."""

    def __init__(self, host: Host, notify: Notify | None = None) -> None:
        self._notify = notify

        settings = load({}, cwd=os.getcwd(), environ=os.environ).settings
        self.host = host
        self.settings = settings
        self.ledger = locate(ledger_path(settings, os.environ), os.environ).ledger
        self.machine_key = machine_key()
        self.identity = read_cpu_identity(host)
        self.power = thread_power(self.identity)

    @property
    def threads(self) -> int:
        """Hardware threads that this machine shows."""
        return self.identity.threads if self.identity is not None else os.cpu_count() or 1

    def known(self) -> Calibration | None:
        """Everything known about this machine. Raises LedgerError."""

        if not os.path.exists(self.ledger):
            return None
        connection = open_reader(self.ledger)
        try:
            return load_calibration(connection, machine_id(connection, self.machine_key))
        finally:
            connection.close()

    def save(self, rows: Sequence[Row]) -> None:
        """Store rows in one transaction; makes the ledger if there is none. Raises LedgerError."""

        now_ns = time.time_ns()
        connection = open_ledger(self.ledger, create=True, notify=self._notify)
        try:
            with writing(connection):
                name = self.identity.name if self.identity is not None else ""
                machine = ensure_machine(
                    connection, self.machine_key, os.uname().nodename, name or None, self.threads
                )
                for device, kind, value, origin in rows:
                    save_calibration(
                        connection,
                        machine,
                        device,
                        kind=kind,
                        value=value,
                        origin=origin,
                        made_utc_ns=now_ns,
                    )
        except sqlite3.Error as error:
            raise explain(error, self.ledger) from error
        finally:
            connection.close()

    def clear(self) -> int:
        """Forget this machine; returns how many rows went. Raises LedgerError."""

        if not os.path.exists(self.ledger):
            return 0
        connection = open_ledger(self.ledger, create=False)
        try:
            machine = machine_id(connection, self.machine_key)
            if machine is None:
                return 0
            with writing(connection):
                return clear_calibration(connection, machine)
        finally:
            connection.close()
