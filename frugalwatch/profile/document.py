"""The profile of a run as one object: what `--json` prints and what tables and pages are made of.

Schema `frugalwatch.profile/1`. Units are in the key names; shares are of all CPU time that was
recorded, 0 to 1. Every joule here is `attributed`: measured or modelled energy, split by CPU time.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from frugalwatch.profile.bounds import Certainty, certainty, energy_bounds
from frugalwatch.profile.layers import layer_objects, read_roots
from frugalwatch.profile.packages import MODEL_PARTS, Packages
from frugalwatch.profile.power import Power, read_power
from frugalwatch.profile.recorded import Process, read_process
from frugalwatch.profile.tally import Row, Tally, tally
from frugalwatch.profile.tree import Amount, Node, build_tree
from frugalwatch.report.attribution import Energy

SCHEMA = "frugalwatch.profile/1"
# Rows beyond these are below what sampling resolves; the tree has them all.
_MOST_ROWS = 500


@dataclass(frozen=True, slots=True)
class Profile:
    """The object, and the tree that graphs are drawn from."""

    document: dict[str, Any]  # Any: JSON
    root: Node
    processes: tuple[Process, ...]


def build_profile(
    connection: sqlite3.Connection, run_id: int, files: Sequence[str]
) -> Profile | None:
    """Join a run's recorded stacks with its power; None if no file holds any."""
    processes = [p for p in map(read_process, files) if p is not None and p.slices]
    if not processes:
        return None
    power = read_power(connection, run_id)
    root = build_tree(processes, power)
    packages = Packages(processes)
    sums = tally(root, packages)
    sure = certainty(processes, sums.everything)
    writer = _Writer(power, sure)
    run = connection.execute(
        "SELECT run_key, command, cwd, state FROM run WHERE id = ?", (run_id,)
    ).fetchone()
    parts = {name: writer.amount(amount) for name, amount in sums.parts.items()}
    document = {
        "schema": SCHEMA,
        "number": run_id,
        "run_id": run[0],
        "command": json.loads(run[1]),
        "cwd": run[2],
        "state": run[3],
        "duration_s": power.window.length / 1e9,
        "origin": "attributed",
        "energy_kind": writer.kind,
        **writer.energies(sums.everything),
        "job": _job(power, sums),
        "samples": sum(piece.samples for p in processes for piece in p.slices),
        "effective_samples": sure.samples,
        "late_share": _ratio(sums.everything.doubt_s, sums.everything.cpu_s),
        "model_share": _ratio(
            sum(a.cpu_s for name, a in sums.parts.items() if name in MODEL_PARTS),
            sums.everything.cpu_s,
        ),
        "processes": [_process(p) for p in processes],
        "parts": [{"part": name, **found} for name, found in parts.items()],
        "packages": [
            {"package": name, **writer.amount(amount)} for name, amount in sums.packages.items()
        ],
        "models": layer_objects(read_roots(processes), sums.parts, power),
        "functions": [writer.row(row) for row in sums.functions[:_MOST_ROWS]],
        "lines": [writer.row(row) for row in sums.lines[:_MOST_ROWS]],
        "notes": _notes(power, processes, sums),
    }
    return Profile(document, root, tuple(processes))


class _Writer:
    """Turns amounts into JSON with the energy that this run has."""

    def __init__(self, power: Power, sure: Certainty) -> None:
        self._power = power
        self._sure = sure
        self.kind = (
            "measured"
            if power.job_measured is not None
            else "estimated"
            if power.job_estimated is not None
            else None
        )

    def energies(self, amount: Amount) -> dict[str, float | None]:
        """Measured and modelled joules with their bounds; null where there are none."""
        bounds = self._sure.of(amount)
        whole = self._sure.everything.cpu_s
        share = amount.cpu_s / whole if whole > 0 else 0.0
        result: dict[str, float | None] = {}
        for prefix, value, job in (
            ("", amount.energy_j, self._power.job_measured),
            ("estimated_", amount.estimated_j, self._power.job_estimated),
        ):
            name = "energy_j" if not prefix else "estimated_j"
            if job is None:
                result |= {name: None, f"{prefix}low_j": None, f"{prefix}high_j": None}
                continue
            low, high = energy_bounds(value, share, bounds, job)
            result |= {name: value, f"{prefix}low_j": low, f"{prefix}high_j": high}
        return result

    def amount(self, amount: Amount) -> dict[str, Any]:
        bounds = self._sure.of(amount)
        return {
            "share": _ratio(amount.cpu_s, self._sure.everything.cpu_s),
            "share_low": bounds.low,
            "share_high": bounds.high,
            **self.energies(amount),
            "cpu_s": amount.cpu_s,
            "wall_s": amount.wall_s,
            "samples": amount.samples,
        }

    def row(self, row: Row) -> dict[str, Any]:
        """A function or a line, with what it used itself and in all."""
        frame = row.frame
        return {
            "function": frame.function,
            "file": frame.filename or None,
            "first_line": frame.first_line or None,
            "line": frame.line or None,
            "package": row.package or None,
            "self": self.amount(row.own),
            "total": self.amount(row.total),
        }


def _job(power: Power, sums: Tally) -> dict[str, Any]:
    """What the profile has to account for, and how much of it was recorded."""
    return {
        "cpu_s": power.job_cpu_s,
        "recorded_cpu_s": sums.everything.cpu_s,
        **_energy("energy", power.job_measured),
        **_energy("estimated", power.job_estimated),
        "device_measured_j": power.device_measured_j,
        "device_estimated_j": power.device_estimated_j,
        **_energy("gpu_energy", power.gpu),
        "idle_known": power.idle_known,
    }


def _energy(name: str, energy: Energy | None) -> dict[str, float | None]:
    if energy is None:
        return {f"{name}_j": None, f"{name}_low_j": None, f"{name}_high_j": None}
    return {
        f"{name}_j": energy.value,
        f"{name}_low_j": energy.low,
        f"{name}_high_j": energy.high,
    }


def _process(process: Process) -> dict[str, Any]:
    return {
        "pid": process.pid,
        "python": process.python,
        "hz": process.hz,
        "samples": sum(piece.samples for piece in process.slices),
        "recorded_s": (process.slices[-1].end_mono_ns - process.began_mono_ns) / 1e9,
        "cpu_s": sum(cell.cpu_ns for piece in process.slices for cell in piece.cells) / 1e9,
        "stopped_at_limit": process.full,
    }


def _notes(power: Power, processes: Sequence[Process], sums: Tally) -> list[str]:
    """What a reader must know before believing the figures."""
    notes = []
    if power.busy is None:
        notes.append("no CPU time was recorded outside, so there are no joules: shares only")
    if not power.idle_known and power.devices:
        notes.append(
            "idle power is unknown, so joules hold the machine's idle draw too"
            " (`frugalwatch calibrate --idle`)"
        )
    if power.gpu is not None:
        notes.append("a GPU's energy is not split by function: it works behind the program's back")
    missing = _missing_share(power.job_cpu_s, sums.everything.cpu_s)
    if missing is not None and missing > 0.05:
        notes.append(
            f"{missing:.0%} of the job's CPU time was used outside of what was recorded: programs"
            " that are no Python, or Python after its last sample"
        )
    if any(p.full for p in processes):
        notes.append("recording stopped at the limit of a file's size; later time is missing")
    return notes


def _missing_share(job_cpu_s: float | None, recorded_s: float) -> float | None:
    if not job_cpu_s:
        return None
    return max(0.0, 1 - recorded_s / job_cpu_s)


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def shown_energy(entry: Mapping[str, Any], kind: str | None) -> tuple[float, float, float] | None:
    """Value and bounds of the energy that is shown for an entry: measured where there is any."""
    names = {
        "measured": ("energy_j", "low_j", "high_j"),
        "estimated": ("estimated_j", "estimated_low_j", "estimated_high_j"),
    }
    if kind is None or entry[names[kind][0]] is None:
        return None
    value, low, high = (float(entry[name]) for name in names[kind])
    return value, low, high
