"""The two pictures in an advice's document: the Pareto front, and the trials over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from advisor.needs import Needs, front
from advisor.quality import Quality
from advisor.ranking import Baseline, Judgement
from advisor.trials import BASE, Trial


def pareto_points(
    as_written: Baseline | None, judgements: Sequence[Judgement], same: float
) -> list[dict[str, object]]:
    """The program as written and every change that was confirmed and is no other answer.

    `cost_ratio` is of one unit of work where that is known of all, else of whole runs. `loss` is
    the part of the answers that is lost: 0 for none, null where that cannot be told. Differences
    within `same` (the resolution) are none.
    """
    shown = [j for j in judgements if j.main is not None and j.quality.acceptable]
    if as_written is None or not shown:
        return []
    by_unit = all(j.per_unit is not None for j in shown)
    points = [_point(BASE.name, 1.0, as_written.needs, 0.0)]
    for j in shown:
        ratio = j.per_unit if by_unit else j.main
        value = None if ratio is None else ratio.value
        points.append(_point(j.variant.name, value, j.needs, _loss(j.quality)))
    axes = ("cost_ratio", "latency_s", "memory_bytes", "loss")
    best = front({str(p["name"]): {a: _number(p[a]) for a in axes} for p in points}, same)
    return [
        {**p, "cost_of": "unit" if by_unit else "run", "on_front": p["name"] in best}
        for p in points
    ]


def _point(name: str, cost: float | None, needs: Needs, loss: float | None) -> dict[str, object]:
    latency = needs.latency
    of = None if latency is None else "p95" if latency.p95_s is not None else "p50"
    return {
        "name": name,
        "cost_ratio": cost,
        "latency_s": None if latency is None else latency.p95_s or latency.p50_s,
        "latency_of": of,
        "memory_bytes": needs.peak_memory_bytes,
        "loss": loss,
    }


def _loss(quality: Quality) -> float | None:
    if quality.lossless:
        return 0.0
    gate = quality.gate
    if gate is None or not math.isfinite(gate.value):
        return None
    return gate.value if gate.measure == "error" else max(0.0, 1.0 - gate.value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def timeline(trials: Sequence[Trial]) -> list[Mapping[str, object]]:
    """Every replay in the order in which they began, in seconds after the first."""
    if not trials:
        return []
    first_ns = trials[0].replay.started_utc_ns
    return [
        {
            "stage": t.stage,
            "round": t.round,
            "variant": t.variant,
            "state": t.replay.state,
            "began_s": (t.replay.started_utc_ns - first_ns) / 1e9,
            "taken_s": t.taken_s,
            "wall_s": t.replay.wall_s,
            "cpu_s": t.replay.cpu_s,
            "energy_j": t.replay.energy_j,
        }
        for t in trials
    ]
