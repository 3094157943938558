"""Everything that monitoring is told, read off the ledger at once.

Whole joules: whoever may read the page must learn no more of what others compute than the daemon's
socket would tell (docs/explanation/energy-without-root.md), and a counter loses nothing by it.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from frugalwatch import __version__
from frugalwatch.machine import machine_key
from frugalwatch.metrics import names
from frugalwatch.metrics.counters import Counter, DeviceCounters, Key
from frugalwatch.metrics.families import Family, Sample

# So long a new series is shown as the 0 that it was at its begin, with that time: a scraper that
# comes once a minute sees it begin at 0, and PromQL's increase() misses nothing.
HOLD_NS = 60_000_000_000
# Told as 0 before any was noted, so that the first one is an increase.
_EVENTS = (
    *("gap", "lost", "notice", "daemon_restarted", "sampler_restarted", "clock_step", "suspended"),
    *("disagreement", "ledger_unwritable", "rows_refused", "samples_thinned"),
)
_NOT_EVENTS = frozenset(("gap_end", "metrics_served"))


class Options(NamedTuple):
    """What is told beside the devices. `runs_within_s`: of runs that ended no longer ago."""

    runs: bool = False
    runs_within_s: float = 3600.0
    hold_ns: int = HOLD_NS


class Snapshot:
    """Reads one ledger again and again. `utc_ns` is the clock that says how new a series is."""

    def __init__(
        self, options: Options | None = None, utc_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._options = Options() if options is None else options
        self._utc_ns = utc_ns
        self._counters: tuple[int, DeviceCounters] | None = None

    def forget(self) -> None:
        """The ledger is another one from now on."""
        self._counters = None

    def read(self, conn: sqlite3.Connection) -> list[Family]:
        """All families with their values now. Raises sqlite3.Error."""
        conn.execute("BEGIN")  # one state of the ledger for all that follows
        try:
            return [*about_us(readable=True), *self._of_machine(conn)]
        finally:
            conn.execute("ROLLBACK")

    def _of_machine(self, conn: sqlite3.Connection) -> list[Family]:
        machine = told_machine(conn)
        if machine is None:
            return []
        if self._counters is None or self._counters[0] != machine:
            self._counters = machine, DeviceCounters(machine)
        counters = self._counters[1].read(conn)
        held = self._utc_ns() - self._options.hold_ns
        families = [
            *_energy(counters, held),
            *_carbon(conn, machine, counters, held),
            *_looks(counters, held),
            *_devices(conn, machine, counters),
            *_recording(conn, machine),
        ]
        if self._options.runs:
            from frugalwatch.metrics.runs import run_families

            since_ns = self._utc_ns() - round(self._options.runs_within_s * 1e9)
            families += run_families(conn, machine, since_ns, held)
        return families


def about_us(*, readable: bool) -> list[Family]:
    """What can be told in any case."""
    version = Sample({"version": __version__}, 1)
    ledger = Sample({}, float(readable))
    return [
        Family(names.BUILD_INFO, "info", "The version of FrugalWatch that answers.", (version,)),
        Family(names.LEDGER_READABLE, "gauge", "Whether the ledger could be read.", (ledger,)),
    ]


def told_machine(conn: sqlite3.Connection) -> int | None:
    """Which machine of the ledger is told of: this one, else the one that recorded last."""
    row = conn.execute(
        "SELECT boot.machine_id FROM run JOIN boot ON boot.id = run.boot_id"
        " JOIN machine ON machine.id = boot.machine_id"
        " ORDER BY machine.machine_key = ? DESC, run.started_utc_ns DESC LIMIT 1",
        (machine_key(),),
    ).fetchone()
    return None if row is None else int(row[0])


def whole(value: float, up: bool = False) -> float:
    """Micro-joules as whole joules, down or up."""
    return float(math.ceil(value / 1e6) if up else math.floor(value / 1e6))


def from_zero(labels: Mapping[str, str], value: float, began_utc_ns: int, held_ns: int) -> Sample:
    """A counter's value; while it is new, the 0 with which it began, at that time."""
    if began_utc_ns > held_ns:
        return Sample(labels, 0.0, began_utc_ns / 1e9)
    return Sample(labels, value)


def _energy(counters: Mapping[Key, Counter], held_ns: int) -> list[Family]:
    figures: tuple[tuple[str, str, Callable[[Counter], float]], ...] = (
        (names.ENERGY, "Energy of a device; origin says how it is known.", _value),
        (names.ENERGY_LOW, "Lower bound of the energy that was recorded.", _low),
        (names.ENERGY_HIGH, "Upper bound of the energy that was recorded.", _high),
    )
    return [
        Family(name, "counter", what, _each(counters, held_ns, value), "joules")
        for name, what, value in figures
    ]


def _looks(counters: Mapping[Key, Counter], held_ns: int) -> list[Family]:
    last = tuple(
        Sample(key._asdict(), counter.last_utc_ns / 1e9)
        for key, counter in counters.items()
        if counter.last_utc_ns
    )
    return [
        Family(
            names.RECORDED,
            "counter",
            "Time for which a device's energy is known.",
            _each(counters, held_ns, lambda counter: counter.recorded_ns / 1e9),
            "seconds",
        ),
        Family(
            names.GAPS,
            "counter",
            "Time between two looks for which nobody knows a device's energy.",
            _each(counters, held_ns, lambda counter: counter.gap_ns / 1e9),
            "seconds",
        ),
        Family(names.LAST_SAMPLE, "gauge", "When a device was last looked at.", last, "seconds"),
    ]


def _carbon(
    conn: sqlite3.Connection, machine: int, counters: Mapping[Key, Counter], held_ns: int
) -> list[Family]:
    grams = tuple(
        from_zero(
            {**key._asdict(), **place._asdict()},
            math.floor(value * 1000) / 1000,  # some joules, whatever the factor
            counter.began_utc_ns,
            held_ns,
        )
        for key, counter in counters.items()
        for place, value in counter.co2e_g.items()
    )
    row = conn.execute(
        "SELECT carbon FROM run JOIN boot ON boot.id = run.boot_id"
        " WHERE machine_id = ? AND carbon IS NOT NULL ORDER BY run.id DESC LIMIT 1",
        (machine,),
    ).fetchone()
    factor = () if row is None else (_intensity(json.loads(row[0])),)
    what = "Greenhouse gases of that energy, with the grid factor and the PUE of its time."
    return [
        Family(names.CO2E, "counter", what, grams, "grams"),
        Family(names.CARBON_INTENSITY, "gauge", "The grid factor that counts now.", factor),
    ]


def _intensity(told: Mapping[str, object]) -> Sample:
    labels = {name: str(told.get(name, "")) for name in ("zone", "kind", "year", "source")}
    labels["assumed"] = "true" if told.get("assumed") else "false"
    return Sample(labels, float(str(told["g_per_kwh"])) / 3.6e6)


def _devices(
    conn: sqlite3.Connection, machine: int, counters: Mapping[Key, Counter]
) -> list[Family]:
    """What may be added up, as reports judge it of the newest recordings, and what it is."""
    from frugalwatch.report.devices import counted_devices, read_rows

    runs = conn.execute(
        "SELECT run.id FROM run JOIN boot ON boot.id = run.boot_id WHERE machine_id = ?"
        " ORDER BY run.state = 'running' DESC, run.id DESC LIMIT 1",
        (machine,),
    ).fetchone()
    counted = counted_devices(read_rows(conn, runs[0]))
    marks = tuple(Sample(key._asdict(), float(key.device in counted)) for key in counters)
    about = tuple(
        Sample(dict(zip(("device", "name", "source", "encloses"), row, strict=True)), 1)
        for row in conn.execute(
            "SELECT key, name, min(source), encloses FROM device"
            " WHERE machine_id = ? AND part_of IS NULL GROUP BY key ORDER BY key",
            (machine,),
        )
    )
    what = "1 for devices that together are the machine's total: none is inside another of them."
    return [
        Family(names.COUNTED, "gauge", what, marks),
        Family(names.DEVICE_INFO, "info", "What a device is and how it is read.", about),
    ]


def _recording(conn: sqlite3.Connection, machine: int) -> list[Family]:
    counts = dict.fromkeys(_EVENTS, 0)
    of_machine = "JOIN boot ON boot.id = run.boot_id WHERE machine_id = ?"
    for kind, count in conn.execute(
        f"SELECT kind, count(*) FROM event JOIN run ON run.id = event.run_id {of_machine}"
        " GROUP BY kind",
        (machine,),
    ):
        if kind not in _NOT_EVENTS:
            counts[kind] = count
    heartbeat_ns, interval_ns = conn.execute(
        "SELECT heartbeat_mono_ns + started_utc_ns - started_mono_ns, interval_ns"
        f" FROM run {of_machine} ORDER BY 1 DESC LIMIT 1",
        (machine,),
    ).fetchone()
    events = tuple(Sample({"kind": kind}, count) for kind, count in sorted(counts.items()))
    beat, pause = Sample({}, heartbeat_ns / 1e9), Sample({}, interval_ns / 1e9)
    return [
        Family(names.EVENTS, "counter", "What the recordings noted about themselves.", events),
        Family(names.HEARTBEAT, "gauge", "When the ledger was last written.", (beat,), "seconds"),
        Family(names.INTERVAL, "gauge", "Time between two looks.", (pause,), "seconds"),
    ]


def _each(
    counters: Mapping[Key, Counter], held_ns: int, value: Callable[[Counter], float]
) -> tuple[Sample, ...]:
    return tuple(
        from_zero(key._asdict(), value(counter), counter.began_utc_ns, held_ns)
        for key, counter in counters.items()
    )


def _value(counter: Counter) -> float:
    return whole(counter.energy_uj)


def _low(counter: Counter) -> float:
    return whole(counter.low_uj)


def _high(counter: Counter) -> float:
    return whole(counter.high_uj, up=True)
