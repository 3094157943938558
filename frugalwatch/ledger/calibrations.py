"""What is known about a machine's watts, in the table `calibration`: written by one command, read
by every run. Standard library only, since the sampler reads it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Literal, TypeAlias

from collectors.band import Band
from collectors.calibration import Calibration, ToldPower, WorkloadCalibration, WorkPower

Kind: TypeAlias = Literal["idle", "full_load", "workloads"]
CalibrationOrigin: TypeAlias = Literal["measured", "told", "imported"]

# Under this key stands what is about the machine as a whole and not about one counter.
MACHINE_DEVICE = "model:cpu"

_ENSURE_MACHINE = """
INSERT INTO machine (machine_key, hostname, cpu_model, cpu_threads) VALUES (?, ?, ?, ?)
ON CONFLICT (machine_key) DO NOTHING
"""


def machine_id(conn: sqlite3.Connection, machine_key: str) -> int | None:
    """The row of this machine, None if the ledger never heard of it. Raises sqlite3.Error."""
    row = conn.execute("SELECT id FROM machine WHERE machine_key = ?", (machine_key,)).fetchone()
    return None if row is None else int(row[0])


def ensure_machine(
    conn: sqlite3.Connection,
    machine_key: str,
    hostname: str,
    cpu_model: str | None = None,
    cpu_threads: int | None = None,
) -> int:
    """The row of this machine, made if it is missing. Raises sqlite3.Error."""
    conn.execute(_ENSURE_MACHINE, (machine_key, hostname, cpu_model, cpu_threads))
    found = machine_id(conn, machine_key)
    assert found is not None
    return found


def save_calibration(
    conn: sqlite3.Connection,
    machine: int,
    device_key: str,
    *,
    kind: Kind,
    value: Mapping[str, object],
    origin: CalibrationOrigin,
    made_utc_ns: int,
) -> None:
    """Add one row, inside the caller's transaction; older rows stay as history. Raises
    sqlite3.Error.

    `value` has SI units in its keys: {"idle_w": 38.0}, {"full_w": 145.0}, or a whole workload file.
    """
    import json

    conn.execute(
        "INSERT INTO calibration (machine_id, device_key, kind, value, origin, made_utc_ns)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (machine, device_key, kind, json.dumps(value), origin, made_utc_ns),
    )


def clear_calibration(conn: sqlite3.Connection, machine: int) -> int:
    """Forget everything about a machine; returns how many rows went. Raises sqlite3.Error."""
    return conn.execute("DELETE FROM calibration WHERE machine_id = ?", (machine,)).rowcount


def load_calibration(conn: sqlite3.Connection, machine: int | None) -> Calibration | None:
    """Everything known about a machine, the newest of each kind; None if nothing is.

    A row that cannot be understood (a newer form, a damaged text) is left out: a run goes on with
    the table. Raises sqlite3.Error.
    """
    if machine is None:
        return None
    rows = conn.execute(
        "SELECT device_key, kind, value, origin FROM calibration WHERE machine_id = ?"
        " ORDER BY made_utc_ns, id",
        (machine,),
    ).fetchall()
    if not rows:
        return None
    import json

    idle_w: dict[str, Band] = {}
    told_idle_w = told_full_w = None
    workloads: WorkloadCalibration | None = None
    for device_key, kind, text, origin in rows:
        try:
            value = json.loads(text)
            if kind == "workloads":
                workloads = workloads_from(value)
            elif origin == "told" and kind == "idle":
                told_idle_w = _watts(value["idle_w"])
            elif origin == "told" and kind == "full_load":
                told_full_w = _watts(value["full_w"])
            elif kind == "idle":
                idle_w[device_key] = Band(
                    _watts(value["idle_w"]), _watts(value["low_w"]), _watts(value["high_w"])
                )
        except (KeyError, TypeError, ValueError):
            continue
    told = None
    if told_idle_w is not None or told_full_w is not None:
        told = ToldPower(told_idle_w, told_full_w)
    return Calibration(idle_w=idle_w, told=told, workloads=workloads)


def workloads_from(value: Mapping[str, object]) -> WorkloadCalibration:
    """The record in a `frugalwatch.workload-calibration/1` document.

    Raises KeyError, TypeError or ValueError if it is not one.
    """
    cpu, work, encloses = value["cpu"], value["work"], value["encloses"]
    if not (isinstance(cpu, dict) and isinstance(work, dict) and isinstance(encloses, list)):
        raise TypeError("cpu and work must be objects, encloses a list")
    boundary = value["boundary"]
    if boundary not in ("die", "board"):
        raise ValueError(f"unknown boundary {boundary!r}")
    kinds = tuple(WorkPower(str(kind), _watts(watts)) for kind, watts in work.items())
    threads = cpu["threads"]
    if not kinds or not isinstance(threads, int) or threads < 1:
        raise ValueError("no kind of work, or no threads")
    return WorkloadCalibration(
        key=str(cpu["family_key"]),
        cpu=str(cpu["name"]),
        threads=threads,
        idle_w=_watts(value["idle_w"]),
        boundary="die" if boundary == "die" else "board",
        encloses=("cpu", "ram") if "ram" in encloses else ("cpu",),
        work=kinds,
    )


def _watts(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number of watts")
    if not 0 <= value < 1e6:  # also refuses NaN
        raise ValueError(f"{value!r} W is no plausible power")
    return float(value)
