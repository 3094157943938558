"""What one step, sample, request or token cost: joules and CPU seconds, with bounds.

The energy is that of the stretch from the first telling to the last one, divided by what was done
in it: loading and importing stay outside. Its edges fall between two looks at the sensors, so the
bounds reach from what the looks inside the stretch show to what those around it show.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import TypeAlias

from frugalwatch.report.attribution import Energy
from frugalwatch.report.devices import DeviceResult
from frugalwatch.report.phases import span_energy
from frugalwatch.report.step_times import Percentiles, durations_by_unit
from frugalwatch.report.told import (
    Work,
    processes_of,
    steps_of_the_job,
    units_of_the_hook,
)
from frugalwatch.report.window import Span

# What a run leads with, the first of these that was seen. The job's own steps come before all.
_LEADING = ("step", "request", "token", "generate", "call", "predict", "fit", "batch", "epoch")
_KEYS = {
    "sensors": ("energy_j", "low_j", "high_j"),
    "models": ("estimated_j", "estimated_low_j", "estimated_high_j"),
    "share of sensors": ("job_share_j", "job_share_low_j", "job_share_high_j"),
    "share of models": (
        "estimated_job_share_j",
        "estimated_job_share_low_j",
        "estimated_job_share_high_j",
    ),
    "cpu": ("cpu_s", "cpu_low_s", "cpu_high_s"),
}

Costs: TypeAlias = dict[str, Energy | None]


def unit_objects(
    connection: sqlite3.Connection,
    run_id: int,
    devices: Sequence[DeviceResult],
    window: Span,
) -> list[dict[str, object]]:
    """One object per unit that the job or the hook counted, the leading one first."""
    processes = processes_of(connection, run_id)
    own = steps_of_the_job(connection, run_id, processes)
    found = [] if own is None else [("step", "job", own)]
    hook = units_of_the_hook(connection, run_id, processes)
    order = [*_LEADING, *sorted(hook.keys() - set(_LEADING))]
    found += [(unit, "hook", hook[unit]) for unit in order if unit in hook]
    times = durations_by_unit(connection, run_id, processes)
    return [
        {
            "unit": unit,
            "source": source,
            "count": work.done,
            "samples": work.samples,
            "processes": len({(life.pid, life.process) for life in work.lives}),
            "ranks": len({life.rank for life in work.lives} - {None}),
            **_rates(connection, run_id, devices, work, window),
            "durations": _durations(times.get(unit) if source == "hook" else None),
        }
        for unit, source, work in found
    ]


def step_object(
    connection: sqlite3.Connection, run_id: int, devices: Sequence[DeviceResult], window: Span
) -> dict[str, object] | None:
    """Steps, their rate, and joules per step with bounds; None if nobody counted any.

    The program's own steps where it reports them, else the optimizers' that the hook counted.
    Ranks of one training step together; processes without a rank are added up.
    """
    processes = processes_of(connection, run_id)
    work, source = steps_of_the_job(connection, run_id, processes), "job"
    if work is None:
        source = "hook"
        work = units_of_the_hook(connection, run_id, processes).get("step")
    if work is None:
        return None
    rates = _rates(connection, run_id, devices, work, window)
    each = rates["per_unit"]
    assert isinstance(each, dict)
    return {
        "steps": work.done,
        "source": source,
        "processes": len({(life.pid, life.process) for life in work.lives}),
        "steps_per_s": rates["per_s"],
        "origin": "attributed",
        **{f"{k[:-2]}_per_step_{k[-1]}": v for k, v in each.items() if "share" not in k},
    }


def _rates(
    connection: sqlite3.Connection,
    run_id: int,
    devices: Sequence[DeviceResult],
    work: Work,
    window: Span,
) -> dict[str, object]:
    """How fast, and what each cost. One telling has no stretch: then it is the whole run's."""
    stretch, done, samples = window, work.done, work.samples
    whole = work.end_ns <= work.begin_ns or work.between <= 0
    if not whole:
        stretch, done = Span(work.begin_ns, work.end_ns), work.between
        samples = work.samples_between
    seconds = stretch.length / 1e9
    costs = _costs(connection, run_id, devices, stretch, window)
    return {
        "began_s": (stretch.begin - window.begin) / 1e9,
        "ended_s": (stretch.end - window.begin) / 1e9,
        "per_s": None if whole else done / seconds,
        "samples_per_s": None if whole or samples is None else samples / seconds,
        "origin": "attributed",
        "per_unit": _divided(costs, done),
        "per_sample": _divided(costs, samples) if samples else None,
    }


def _costs(
    connection: sqlite3.Connection,
    run_id: int,
    devices: Sequence[DeviceResult],
    stretch: Span,
    window: Span,
) -> Costs:
    inner, outer = _looks_around(connection, devices, stretch, window)
    found: Costs = {
        name: _bounded(
            *(
                span_energy(connection, run_id, devices, span, modelled=modelled)
                for span in (stretch, inner, outer)
            )
        )
        for name, modelled in (("sensors", False), ("models", True))
    }
    found["cpu"] = _cpu(connection, run_id, stretch)
    for name, origins in (("sensors", ("measured", "derived")), ("models", ("estimated",))):
        chosen = [d for d in devices if d.counted and d.row.stream.origin in origins]
        found[f"share of {name}"] = _shared(found[name], chosen)
    return found


def _looks_around(
    connection: sqlite3.Connection, devices: Sequence[DeviceResult], stretch: Span, window: Span
) -> tuple[Span, Span]:
    """The stretch between looks at the sensors that lie inside, and between those around it."""
    if stretch == window:
        return stretch, stretch
    streams = [d.row.stream.stream_id for d in devices if d.counted]

    def looks(which: str, instant: int) -> list[int]:
        found = (
            connection.execute(
                f"SELECT {which}(t_mono_ns) FROM sample WHERE stream_id = ?"
                f" AND t_mono_ns {'<=' if which == 'max' else '>='} ?",
                (stream, instant),
            ).fetchone()[0]
            for stream in streams
        )
        return [t for t in found if t is not None]

    begin, end = stretch
    inner = Span(max(looks("min", begin), default=begin), min(looks("max", end), default=end))
    outer = Span(min(looks("max", begin), default=begin), max(looks("min", end), default=end))
    return inner, Span(max(window.begin, outer.begin), min(window.end, outer.end))


def _bounded(value: Energy | None, inner: Energy | None, outer: Energy | None) -> Energy | None:
    if value is None:
        return None
    low = 0.0 if inner is None else inner.low
    return Energy(value.value, min(low, value.low), max(value.high, outer.high if outer else 0.0))


def _shared(cost: Energy | None, devices: Sequence[DeviceResult]) -> Energy | None:
    """The job's share of a cost, in the proportion of the whole run; None where that is unknown."""
    if cost is None or all(d.attribution.job_share is None for d in devices):
        return None
    there = [(d.energy, d.attribution.job_share) for d in devices if d.energy is not None]
    # Of a device whose share is unknown it may be anything, and counts as all of it.
    parts = [part or Energy(whole.value, 0.0, whole.high) for whole, part in there]
    ratios = Energy(
        *(
            sum(getattr(part, bound) for part in parts)
            / (sum(getattr(whole, bound) for whole, _ in there) or 1.0)
            for bound in ("value", "low", "high")
        )
    )
    # A model that is twice too high is so in the whole and in the part: bound over bound.
    low, high = min(ratios.value, ratios.low), min(1.0, max(ratios.value, ratios.high))
    return Energy(cost.value * ratios.value, cost.low * low, cost.high * high)


def _cpu(connection: sqlite3.Connection, run_id: int, stretch: Span) -> Energy | None:
    """CPU seconds of the job in a stretch; the bounds are those of the looks around its edges."""
    begin, end = (_cpu_at(connection, run_id, t) for t in stretch)
    if begin is None or end is None:
        return None
    return Energy(
        max(0.0, end.value - begin.value),
        max(0.0, end.low - begin.high),
        max(0.0, end.high - begin.low),
    )


def _cpu_at(connection: sqlite3.Connection, run_id: int, instant: int) -> Energy | None:
    """Cumulative CPU seconds at an instant, interpolated between two looks."""
    where = "SELECT t_mono_ns, job_cpu_us FROM usage WHERE run_id = ? AND job_cpu_us IS NOT NULL"
    values = (run_id, instant)
    before = connection.execute(
        f"{where} AND t_mono_ns <= ? ORDER BY t_mono_ns DESC LIMIT 1", values
    ).fetchone()
    after = connection.execute(
        f"{where} AND t_mono_ns >= ? ORDER BY t_mono_ns LIMIT 1", values
    ).fetchone()
    if before is None or after is None:
        return None
    part = (instant - before[0]) / (after[0] - before[0]) if after[0] > before[0] else 0.0
    return Energy(
        (before[1] + part * (after[1] - before[1])) / 1e6, before[1] / 1e6, after[1] / 1e6
    )


def _divided(costs: Costs, number: int) -> dict[str, float | None]:
    result: dict[str, float | None] = {}
    for name, keys in _KEYS.items():
        cost = costs[name]
        parts = (None,) * 3 if cost is None else (cost.value, cost.low, cost.high)
        for key, part in zip(keys, parts, strict=True):
            result[key] = None if part is None else part / number
    return result


def _durations(found: Percentiles | None) -> dict[str, float] | None:
    return None if found is None else dict(found._asdict())
