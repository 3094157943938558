"""Reads the runs of the last month from their stored totals, newest first, a few at a time.

A look at the ledger must be short whatever is in it. So the first looks read further and further
back, each for a few milliseconds, and later ones read what is new and what goes on.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence

from frugalwatch.report.attribution import Energy
from frugalwatch.report.format import command_line
from frugalwatch.report.started_with import started_with
from frugalwatch.screen.figures import figures_so_far, read_record
from frugalwatch.screen.machine.records import DeviceJoules, GpuUse, RunPart
from frugalwatch.screen.reading import Source

_CHUNK = 10
# Below this part of its time a GPU was not used: drivers count a little for themselves.
_BUSY_SHARE = 0.005
_LONGEST_COMMAND = 200

_COLUMNS = """
SELECT run.id, run.boot_id, hostname, state, command, started_utc_ns, started_mono_ns,
       coalesce(ended_mono_ns, heartbeat_mono_ns), energy_uj, energy_low_uj, energy_high_uj,
       estimated_uj, estimated_low_uj, estimated_high_uj, co2e_ug, price_per_kwh, currency, pue
"""
_FROM = "FROM run JOIN boot ON boot.id = run.boot_id JOIN machine ON machine.id = boot.machine_id"
_OLDER = """
WHERE (started_utc_ns, run.id) < (?, ?) AND started_utc_ns >= ?
ORDER BY started_utc_ns DESC, run.id DESC LIMIT ?
"""
_DEVICES = """
SELECT device_id, origin, energy_uj, low_uj, high_uj, counted FROM run_device WHERE run_id = ?
"""
_GPUS = """
SELECT s.id, s.device_id, v.key, v.name, s.idle_w, s.idle_low_w, s.idle_high_w, s.idle_origin
FROM stream s JOIN device v ON v.id = s.device_id WHERE s.run_id = ? AND v.domain = 'gpu'
"""
_BUSY = """
SELECT (SELECT all_busy_us FROM gpu_usage WHERE stream_id = :id ORDER BY t_mono_ns DESC LIMIT 1)
     - (SELECT all_busy_us FROM gpu_usage WHERE stream_id = :id ORDER BY t_mono_ns LIMIT 1)
"""


class MonthOfRuns:
    """The runs that began in the last month, and what GPUs did in them."""

    def __init__(self) -> None:
        self.parts: dict[int, RunPart] = {}
        self.gpus: dict[int, tuple[GpuUse, ...]] = {}
        self._newest = 0
        self._oldest: tuple[int, int] | None = None
        self._since_ns = 0
        self.is_complete = False
        self.changed: tuple[int, ...] = ()

    def read_back(self, source: Source, since_utc_ns: int) -> bool:
        """Read some older runs; False if there are none left."""
        if self._oldest is None:
            newest = source.connection.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()
            self._newest = int(newest[0])
            self._oldest = (2**62, 2**62)
        if since_utc_ns < self._since_ns or not self._since_ns:
            self._since_ns = since_utc_ns
        values = (*self._oldest, self._since_ns, _CHUNK)
        rows = _select(source, _OLDER, values)
        for row in rows:
            self._take(source, row)
        if rows:
            self._oldest = (_int(rows[-1][5]), _int(rows[-1][0]))
        self.is_complete = len(rows) < _CHUNK
        return not self.is_complete

    def has_news(self, source: Source) -> bool:
        """Whether a run is new, or one that went on has ended."""
        connection = source.connection
        newest = connection.execute("SELECT coalesce(max(id), 0) FROM run").fetchone()[0]
        if newest > self._newest:
            return True
        going = [part.number for part in self.parts.values() if part.is_running]
        states = (
            connection.execute("SELECT state FROM run WHERE id = ?", (n,)).fetchone() for n in going
        )
        return any(row is None or row[0] != "running" for row in states)

    def read_new(self, source: Source) -> bool:
        """Read runs that are new, and again those that went on: `changed`. False if none."""
        rows = _select(source, "WHERE run.id > ? ORDER BY run.id LIMIT ?", (self._newest, _CHUNK))
        going = [part.number for part in self.parts.values() if part.is_running]
        for number in going:
            rows += _select(source, "WHERE run.id = ?", (number,))
        gone = set(going) - {_int(row[0]) for row in rows}
        for number in gone:  # its row went away: merged from elsewhere under another number
            del self.parts[number]
        for row in rows:
            self._newest = max(self._newest, _int(row[0]))
            self._take(source, row)
        self.changed = tuple(_int(row[0]) for row in rows)
        return bool(rows or gone)

    def _take(self, source: Source, row: Sequence[object]) -> None:
        part = _part(source, row)
        self.parts[part.number] = part
        self.gpus[part.number] = tuple(_gpus(source.connection, part))


def _select(source: Source, where: str, values: Iterable[object]) -> list[tuple[object, ...]]:
    user = "json_extract(environment, '$.USER')" if source.settings.by_user else "NULL"
    sql = f"{_COLUMNS}, {user} {_FROM} {where}"
    return source.connection.execute(sql, tuple(values)).fetchall()


def _part(source: Source, row: Sequence[object]) -> RunPart:
    (number, boot, host, state, command, started_utc, begin, end, *figures) = row
    (measured, m_low, m_high, estimated, e_low, e_high, co2e, price, currency, pue, user) = figures
    part = RunPart(
        number=_int(number),
        boot=_int(boot),
        host=str(host),
        is_running=state == "running",
        command=_words(str(command)),
        user=None if user is None else str(user),
        begin_ns=_int(begin),
        end_ns=max(_int(end), _int(begin) + 1),
        offset_ns=_int(started_utc) - _int(begin),
        measured=_energy(measured, m_low, m_high),
        estimated=_energy(estimated, e_low, e_high),
        co2e_g=None if co2e is None else _int(co2e) / 1e6,
        price_per_kwh=price if isinstance(price, float) else None,
        currency=None if currency is None else str(currency),
        pue=pue if isinstance(pue, float) else 1.0,
        energies=_devices(source.connection, _int(number)),
    )
    return _so_far(source, part) if part.is_running else part


def _so_far(source: Source, part: RunPart) -> RunPart:
    """A run that goes on, with what the ledger will only hold when it has ended."""
    record = read_record(source.connection, part.number)
    key = source.connection.execute("SELECT run_key FROM run WHERE id = ?", (part.number,))
    if record is None:
        return part
    own = started_with(source.connection, key.fetchone()[0], source.settings)
    found = figures_so_far(source.connection, record, *own)
    grams = found.carbon["co2e_g"]
    return part._replace(
        measured=found.measured,
        estimated=found.estimated,
        co2e_g=grams if isinstance(grams, float) else None,
        energies={
            device.row.device_id: DeviceJoules(
                device.energy, device.row.stream.origin in ("measured", "derived"), device.counted
            )
            for device in found.devices
            if device.energy is not None
        },
    )


def _devices(connection: sqlite3.Connection, number: int) -> dict[int, DeviceJoules]:
    found = {}
    for device, origin, *figures, counted in connection.execute(_DEVICES, (number,)):
        energy = _energy(*figures)
        if energy is not None:
            is_measured = origin in ("measured", "derived")
            found[int(device)] = DeviceJoules(energy, is_measured, bool(counted))
    return found


def _gpus(connection: sqlite3.Connection, part: RunPart) -> list[GpuUse]:
    found = []
    for stream, device, key, name, idle, low, high, origin in connection.execute(
        _GPUS, (part.number,)
    ).fetchall():
        busy_us = connection.execute(_BUSY, {"id": stream}).fetchone()[0]
        limit_us = _BUSY_SHARE * (part.end_ns - part.begin_ns) / 1000
        watts = None
        if idle is not None:
            watts = Energy(idle, idle if low is None else low, idle if high is None else high)
        found.append(
            GpuUse(
                device, key, name, None if busy_us is None else busy_us > limit_us, watts, origin
            )
        )
    return found


def _energy(value: object, low: object, high: object) -> Energy | None:
    if value is None:
        return None
    joules = _int(value) / 1e6
    return Energy(
        joules,
        joules if low is None else _int(low) / 1e6,
        joules if high is None else _int(high) / 1e6,
    )


def _words(command: str) -> str:
    try:
        words = json.loads(command)
    except ValueError:
        return command
    return command_line([str(word) for word in words], _LONGEST_COMMAND)


def _int(value: object) -> int:
    return value if isinstance(value, int) else round(float(str(value)))
