"""Series of single runs, for those who asked for them: their number grows with every run."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from frugalwatch.ledger.union import DeviceEnergy, energy_of_runs
from frugalwatch.metrics import names
from frugalwatch.metrics.families import Family, Sample
from frugalwatch.metrics.snapshot import from_zero, whole

_UJ_PER_KWH = 3.6e12
_OPEN_END = 1 << 62
# The daemon's own recordings are the machine's, not a job's.
_DAEMONS = "daemon-%"

_RUNS = """
SELECT coalesce(group_key, run_key), run.id, run.boot_id, run_key, state, command, carbon, pue,
       started_mono_ns, ended_mono_ns, started_utc_ns, heartbeat_mono_ns
FROM run JOIN boot ON boot.id = run.boot_id
WHERE machine_id = :machine AND run_key NOT LIKE :daemons AND (state = 'running'
   OR started_utc_ns - started_mono_ns + coalesce(ended_mono_ns, heartbeat_mono_ns) > :since)
ORDER BY started_utc_ns, run.id
"""


class _Run(NamedTuple):
    run_id: str
    number: int
    boot_id: int
    run_key: str
    state: str
    command: str
    carbon: str | None
    pue: float
    started_mono_ns: int
    ended_mono_ns: int | None
    started_utc_ns: int
    heartbeat_mono_ns: int

    @property
    def until_mono_ns(self) -> int:
        if self.state == "running":
            return _OPEN_END
        return self.heartbeat_mono_ns if self.ended_mono_ns is None else self.ended_mono_ns


class _Job(NamedTuple):
    """What shares a run id on this machine in one boot, and the energy in its time."""

    runs: list[_Run]
    energies: list[DeviceEnergy]

    @property
    def began_utc_ns(self) -> int:
        return min(run.started_utc_ns for run in self.runs)


def run_families(
    conn: sqlite3.Connection, machine: int, since_utc_ns: int, held_ns: int
) -> list[Family]:
    """Families of runs that go on or ended after `since_utc_ns`. Raises sqlite3.Error."""
    jobs: dict[tuple[str, int], list[_Run]] = {}
    values = {"machine": machine, "since": since_utc_ns, "daemons": _DAEMONS}
    for row in conn.execute(_RUNS, values).fetchall():
        run = _Run(*row)
        jobs.setdefault((run.run_id, run.boot_id), []).append(run)
    found = [_Job(runs, _energies(conn, runs)) for runs in jobs.values()]
    return [
        *_energy(found, held_ns),
        Family(
            names.RUN_CO2E,
            "counter",
            "Greenhouse gases of the energy in a run's time.",
            tuple(
                from_zero({"run_id": job.runs[0].run_id}, grams, job.began_utc_ns, held_ns)
                for job in found
                if (grams := _grams(conn, job)) is not None
            ),
            "grams",
        ),
        Family(
            names.RUN_INFO,
            "info",
            "What a run is.",
            tuple(Sample(_about(run), 1) for job in found for run in job.runs),
        ),
        *_times(found),
    ]


def _energies(conn: sqlite3.Connection, runs: list[_Run]) -> list[DeviceEnergy]:
    begin = min(run.started_mono_ns for run in runs)
    end = max(run.until_mono_ns for run in runs)
    numbers = [run.number for run in runs]
    energies = energy_of_runs(conn, runs[0].boot_id, numbers, begin, end)
    return [energy for energy in energies if energy.part_of is None]


def _energy(jobs: Iterable[_Job], held_ns: int) -> list[Family]:
    """Energy of the devices in a run's time, all of it: what was the job's share is in reports."""
    samples: dict[str, list[Sample]] = {
        names.RUN_ENERGY: [],
        names.RUN_ENERGY_LOW: [],
        names.RUN_ENERGY_HIGH: [],
    }
    for job in jobs:
        for energy in job.energies:
            labels = {
                "run_id": job.runs[0].run_id,
                **{name: str(getattr(energy, name)) for name in names.DEVICE_LABELS},
            }
            figures = (
                whole(energy.energy_uj),
                whole(energy.low_uj),
                whole(energy.high_uj, up=True),
            )
            for name, value in zip(samples, figures, strict=True):
                samples[name].append(from_zero(labels, value, job.began_utc_ns, held_ns))
    what = (
        "Energy of a device in a run's time; origin says how it is known.",
        "Lower bound of that energy.",
        "Upper bound of that energy.",
    )
    return [
        Family(name, "counter", text, tuple(found), "joules")
        for text, (name, found) in zip(what, samples.items(), strict=True)
    ]


def _grams(conn: sqlite3.Connection, job: _Job) -> float | None:
    """Of the devices that reports add up, with the factor that the run was started with."""
    from frugalwatch.report.devices import counted_devices, read_rows

    run = job.runs[0]
    try:
        g_per_uj = json.loads(run.carbon or "")["g_per_kwh"] * run.pue / _UJ_PER_KWH
    except (ValueError, TypeError, KeyError):
        return None
    counted = counted_devices(read_rows(conn, run.number))
    energy_uj = sum(each.energy_uj for each in job.energies if each.device in counted)
    return float(energy_uj * g_per_uj)


def _about(run: _Run) -> Mapping[str, str]:
    return {"run_id": run.run_id, "run_key": run.run_key, "program": program(run.command)}


def program(command: str) -> str:
    """What a stored command runs, without its arguments: they may say more than others should see.

    Of `python train.py --token x` that is `train.py`.
    """
    words = [str(word) for word in json.loads(command)]
    name = os.path.basename(words[0]) if words else ""
    if name.startswith("python"):
        scripts = [word for word in words[1:] if word.endswith(".py")]
        name = os.path.basename(scripts[0]) if scripts else name
    return name


def _times(jobs: Iterable[_Job]) -> list[Family]:
    began, ended = [], []
    for job in jobs:
        labels = {"run_id": job.runs[0].run_id}
        began.append(Sample(labels, job.began_utc_ns / 1e9))
        if all(run.state != "running" for run in job.runs):
            last = max(
                run.until_mono_ns + run.started_utc_ns - run.started_mono_ns for run in job.runs
            )
            ended.append(Sample(labels, last / 1e9))
    return [
        Family(names.RUN_STARTED, "gauge", "When a run began.", tuple(began), "seconds"),
        Family(names.RUN_ENDED, "gauge", "When a run ended, if it did.", tuple(ended), "seconds"),
    ]
