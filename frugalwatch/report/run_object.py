"""The run object: everything that is known about one run, as the JSON that commands print.

Schema `frugalwatch.run/1`, described in docs/reference/run-object.md. Units are in the key names;
null is unknown, 0 is a measured zero.
"""

from __future__ import annotations

import json
import math
import sqlite3
from typing import NamedTuple

from frugalwatch.carbon.account import cost, emission
from frugalwatch.carbon.grid import GridFactor
from frugalwatch.config.settings import Settings
from frugalwatch.report.attribution import OWN_MACHINE, Energy, busy_share
from frugalwatch.report.devices import DeviceResult, measure_devices, total
from frugalwatch.report.phases import phase_objects
from frugalwatch.report.window import Span

SCHEMA = "frugalwatch.run/1"
_MEASURED = frozenset({"measured", "derived"})
_MODELLED = frozenset({"estimated", "attributed"})


class Settled(NamedTuple):
    """A run's figures: the object that is printed, and what the ledger's columns need of it."""

    run_id: int
    document: dict[str, object]
    devices: tuple[DeviceResult, ...]
    measured: Energy | None
    estimated: Energy | None


def build(
    connection: sqlite3.Connection, run_key: str, factor: GridFactor, settings: Settings
) -> Settled:
    """Compute every figure of a run from the ledger's rows. Raises LookupError if unknown."""
    run = _row(connection, run_key)
    end = run["ended_mono_ns"] or run["heartbeat_mono_ns"]
    window = Span(run["started_mono_ns"], max(end, run["started_mono_ns"] + 1))
    cpu_us, busy_us = _cpu_times(connection, run)
    share = busy_share(cpu_us, busy_us)
    devices = measure_devices(connection, run["id"], window, cpu_share=share)
    measured = total(devices, _MEASURED)
    estimated = total(devices, _MODELLED)
    document: dict[str, object] = {
        "schema": SCHEMA,
        "run_id": run_key,
        "number": run["id"],
        "group": run["group_key"],
        "parent_run_id": run["parent_run_key"],
        "state": run["state"],
        "command": json.loads(run["command"]),
        "cwd": run["cwd"],
        "host": run["hostname"],
        "git_commit": run["git_commit"],
        "started_utc": _utc(run["started_utc_ns"]),
        "exit_code": run["exit_code"],
        "exit_signal": run["exit_signal"],
        "duration_s": window.length / 1e9,
        "wall_s": window.length / 1e9,
        "suspended_s": run["suspended_ns"] / 1e9,
        "cpu_s": _seconds(cpu_us),
        "cpu_method": run["job_cpu_method"],
        "machine_busy_cpu_s": _seconds(busy_us),
        "busy_share": share,
        **_energies(measured, "energy_j", "energy_low_j", "energy_high_j"),
        **_energies(estimated, "estimated_j", "estimated_low_j", "estimated_high_j"),
        **_attribution(devices, share),
        **carbon_and_cost(measured, estimated, factor, settings),
        "embodied": _embodied(settings, window.length / 1e9),
        "coverage": coverage_of(devices),
        "devices": [_device_object(d, window) for d in devices],
        "phases": phase_objects(connection, run["id"], devices, window),
        "processes": _processes(connection, run, devices, window),
        **_told(connection, run["id"], devices, window),
        "metrics": _metrics(connection, run["id"], window),
        "events": _events(connection, run["id"], window),
    }
    document |= _budgets(connection, run["id"], document, window, factor, settings)
    return Settled(run["id"], document, tuple(devices), measured, estimated)


def _cpu_times(connection: sqlite3.Connection, run: sqlite3.Row) -> tuple[int | None, int | None]:
    """CPU micro-seconds of the job and of the machine; of a run that goes on, at the last look."""
    if run["state"] == "running":
        last = connection.execute(
            "SELECT job_cpu_us, machine_busy_us FROM usage WHERE run_id = ?"
            " ORDER BY t_mono_ns DESC LIMIT 1",
            (run["id"],),
        ).fetchone()
        if last is not None and any(last):  # the first row is of the start, all zero
            return last[0], last[1]
    return run["job_cpu_us"], run["machine_busy_us"]


def _processes(
    connection: sqlite3.Connection, run: sqlite3.Row, devices: list[DeviceResult], window: Span
) -> list[dict[str, object]]:
    """What each process of the job used. A job that ended before the first look has none."""
    any_row = "SELECT 1 FROM job_process WHERE run_id = ? LIMIT 1"
    if connection.execute(any_row, (run["id"],)).fetchone() is None:
        return []
    from frugalwatch.report.processes import JobTime, process_objects

    ended = run["state"] != "running"
    job = JobTime(run["job_cpu_us"] if ended else None, run["cpu_limit"])
    return process_objects(connection, run["id"], devices, window, job)


def _budgets(  # noqa: PLR0917 - what `build` has at hand
    connection: sqlite3.Connection,
    run_id: int,
    document: dict[str, object],
    window: Span,
    factor: GridFactor,
    settings: Settings,
) -> dict[str, object]:
    """What became of budgets and alerts. What works that out is loaded only if any were set."""
    any_row = (
        "SELECT 1 FROM event WHERE run_id = ? AND kind IN ('budget', 'budget_term', 'alert_set')"
    )
    if connection.execute(f"{any_row} LIMIT 1", (run_id,)).fetchone() is None:
        return {"budgets": [], "alerts": []}
    from frugalwatch.budgets.told import budgets_and_alerts, judged_energy

    energy = judged_energy(document)
    return budgets_and_alerts(connection, run_id, energy, window, factor=factor, settings=settings)


def _told(
    connection: sqlite3.Connection, run_id: int, devices: list[DeviceResult], window: Span
) -> dict[str, object]:
    """What the job or the hook inside it told. What works that out is loaded only if they did."""
    tables = ("process", "step", "unit_count", "activity", "unit_time")
    any_row = " OR ".join(f"EXISTS (SELECT 1 FROM {name} WHERE run_id = :run)" for name in tables)
    any_row += " OR EXISTS (SELECT 1 FROM event WHERE run_id = :run AND kind LIKE '%hook%')"
    if not connection.execute(f"SELECT {any_row}", {"run": run_id}).fetchone()[0]:
        return {"steps": None, "units": [], "activities": None, "inside": None}
    from frugalwatch.report.activities import activities_object
    from frugalwatch.report.inside_object import inside_object
    from frugalwatch.report.units import step_object, unit_objects

    return {
        "steps": step_object(connection, run_id, devices, window),
        "units": unit_objects(connection, run_id, devices, window),
        "activities": activities_object(connection, run_id, devices, window),
        "inside": inside_object(connection, run_id, window),
    }


def _row(connection: sqlite3.Connection, run_key: str) -> sqlite3.Row:
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    row: sqlite3.Row | None = cursor.execute(
        "SELECT run.*, machine.hostname FROM run JOIN boot ON boot.id = run.boot_id"
        " JOIN machine ON machine.id = boot.machine_id WHERE run_key = ?",
        (run_key,),
    ).fetchone()
    if row is None:
        raise LookupError(run_key)
    return row


def _energies(energy: Energy | None, value: str, low: str, high: str) -> dict[str, float | None]:
    if energy is None:
        return {value: None, low: None, high: None}
    return {value: energy.value, low: energy.low, high: energy.high}


def _attribution(devices: list[DeviceResult], share: float | None) -> dict[str, object]:
    """Sums over the counted devices; a sum with an unknown part is unknown."""
    result: dict[str, object] = {}
    for prefix, origins in (("", _MEASURED), ("estimated_", _MODELLED)):
        chosen = [d for d in devices if d.counted and d.row.stream.origin in origins]
        above = _sum([d.attribution.above_idle for d in chosen])
        part = _sum(
            [
                d.attribution.job_share
                or (Energy(d.energy.value, 0.0, d.energy.high) if d.energy else None)
                for d in chosen
            ]
        )
        if chosen and all(d.attribution.job_share is None for d in chosen):
            part = None
        result |= _energies(
            above,
            f"{prefix}above_idle_j",
            f"{prefix}above_idle_low_j",
            f"{prefix}above_idle_high_j",
        )
        result |= _energies(
            part, f"{prefix}job_share_j", f"{prefix}job_share_low_j", f"{prefix}job_share_high_j"
        )
    result["headline"] = "device" if share is None or share >= OWN_MACHINE else "job_share"
    return result


def _sum(parts: list[Energy | None]) -> Energy | None:
    if not parts or any(p is None for p in parts):
        return None
    known = [p for p in parts if p is not None]
    result = known[0]
    for part in known[1:]:
        result += part
    return result


def carbon_and_cost(
    measured: Energy | None, estimated: Energy | None, factor: GridFactor, settings: Settings
) -> dict[str, object]:
    """Carbon and cost of all counted energy, with the measured and modelled parts told apart."""
    parts: dict[str, float | None] = {}
    everything: Energy | None = None
    for name, energy in (("co2e_measured_g", measured), ("co2e_estimated_g", estimated)):
        parts[name] = None
        if energy is not None:
            everything = energy if everything is None else everything + energy
            parts[name] = emission(energy.value, factor, pue=settings.pue).co2e_g
    money = None
    if everything is not None:
        money = cost(
            everything.value,
            settings,
            energy_low_j=everything.low,
            energy_high_j=everything.high,
        )
    result: dict[str, object] = {"co2e_g": None, "co2e_low_g": None, "co2e_high_g": None}
    if everything is not None:
        grams = emission(
            everything.value,
            factor,
            pue=settings.pue,
            energy_low_j=everything.low,
            energy_high_j=everything.high,
        )
        result = {"co2e_g": grams.co2e_g, "co2e_low_g": grams.low_g, "co2e_high_g": grams.high_g}
    origin = {(True, False): "measured", (False, True): "estimated", (True, True): "mixed"}
    return {
        **result,
        **parts,
        "co2e_origin": origin.get((measured is not None, estimated is not None)),
        "carbon": {**factor.as_json(), "pue": settings.pue},
        "cost": None
        if money is None
        else {
            "amount": money.amount,
            "low": money.low,
            "high": money.high,
            "currency": money.currency,
            "price_per_kwh": money.price_per_kwh,
        },
    }


def _embodied(settings: Settings, duration_s: float) -> dict[str, object] | None:
    """Making the hardware that the user named: beside the operational carbon, never inside it."""
    if settings.embodied is None:
        return None
    from frugalwatch.carbon.embodied import embodied
    from frugalwatch.errors import UsageError

    try:
        found = embodied(settings, duration_s)
    except UsageError as problem:  # the job is over: say it here, fail nowhere
        found, said = None, problem.message
    return {
        "co2e_g": found and found.co2e_g,
        "co2e_low_g": found and found.low_g,
        "co2e_high_g": found and found.high_g,
        "hardware": found.what if found else settings.embodied,
        "share": settings.embodied_share,
        "attribution": list(found.attribution) if found else [],
        "problem": None if found else said,
    }


def coverage_of(devices: list[DeviceResult]) -> float | None:
    """The worst coverage among the measured devices of the sum; without any, the modelled ones.

    A device that should be in the sum and never gave a figure covers nothing.
    """
    inside = {e for d in devices if d.counted and d.row.domain == "system" for e in d.row.encloses}
    chosen = [
        d
        for d in devices
        if d.counted
        or (d.energy is None and d.row.part_of is None and d.row.domain not in inside | {"system"})
    ]
    for origins in (_MEASURED, _MODELLED):
        values = [d.window.coverage for d in chosen if d.row.stream.origin in origins]
        if values:
            return min(values)
    return None


def _device_object(device: DeviceResult, window: Span) -> dict[str, object]:
    row, above, share = device.row, device.attribution.above_idle, device.attribution.job_share
    mean_w = None
    if device.energy is not None and device.window.coverage > 0:
        mean_w = device.energy.value / (window.length / 1e9 * device.window.coverage)
    return {
        "device": row.key,
        "domain": row.domain,
        "name": row.name,
        "origin": row.stream.origin,
        "boundary": row.boundary,
        **_energies(device.energy, "energy_j", "low_j", "high_j"),
        "source": row.source,
        "part_of": row.part_of,
        "encloses": list(row.encloses),
        "counted": device.counted,
        "coverage": device.window.coverage,
        "mean_power_w": mean_w,
        "power_limit_w": row.stream.power_limit_w,
        "idle_w": row.idle.value if row.idle else None,
        "idle_origin": row.idle_origin or None,
        **_energies(above, "above_idle_j", "above_idle_low_j", "above_idle_high_j"),
        **_energies(share, "job_share_j", "job_share_low_j", "job_share_high_j"),
        "note": row.note,
    }


def _metrics(connection: sqlite3.Connection, run_id: int, window: Span) -> list[dict[str, object]]:
    rows = connection.execute(
        "SELECT name, value, t_mono_ns, pid FROM metric WHERE run_id = ? ORDER BY t_mono_ns, id",
        (run_id,),
    )
    return [
        {"name": name, "value": _finite(value), "t_s": (t - window.begin) / 1e9, "pid": pid}
        for name, value, t, pid in rows
    ]


def _events(connection: sqlite3.Connection, run_id: int, window: Span) -> list[dict[str, object]]:
    """Events in order; a gap and its end are one entry."""
    rows = connection.execute(
        "SELECT e.kind, e.cause, e.since_mono_ns, e.t_mono_ns, e.energy_missing, e.detail, v.key,"
        " e.stream_id FROM event e LEFT JOIN stream s ON s.id = e.stream_id"
        " LEFT JOIN device v ON v.id = s.device_id WHERE e.run_id = ? ORDER BY e.t_mono_ns, e.id",
        (run_id,),
    ).fetchall()
    ends = {(r[7], r[2]): (r[3], r[4]) for r in rows if r[0] == "gap_end"}
    result: list[dict[str, object]] = []
    for kind, cause, since, t, missing, detail, device, stream in rows:
        if kind == "gap_end":
            continue
        until, never = t, 0
        if kind == "gap":  # one without an end lasts; what was not made good by its end is missing
            until, never = ends.get((stream, since), (max(t, window.end), 0))
        result.append(
            {
                "kind": kind,
                "cause": cause or None,
                "device": device,
                "since_s": None if since is None else (since - window.begin) / 1e9,
                "t_s": (until - window.begin) / 1e9,
                "energy_missing": bool(missing or never),
                "detail": detail,
            }
        )
    return result


def _finite(value: float | None) -> float | None:
    """JSON knows no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _seconds(micro: int | None) -> float | None:
    return None if micro is None else micro / 1e6


def _utc(nanoseconds: int) -> str:
    import time

    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(nanoseconds / 1e9))
