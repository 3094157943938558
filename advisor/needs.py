"""What each variant needs beside energy, over its confirmation rounds; and who is on the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from advisor.footprint import Latency
from advisor.statistics import centre
from advisor.trials import Trials

# Memory that differs by less is the same for anybody who has to pay for it.
_SAME_MEMORY = 0.02


@dataclass(frozen=True, slots=True)
class Needs:
    """Latency and memory: centres over the rounds, of the percentiles and of the peaks."""

    latency: Latency | None = None
    peak_memory_bytes: int | None = None


def needs_of(trials: Trials, names: Sequence[str]) -> Needs:
    """Of the confirmation rounds, before them of the screening. Looks take longer: not of them."""
    for stage in ("confirmation", "screening"):
        replays = [
            t.replay for t in trials.all if t.variant in names and t.stage == stage and t.replay.ok
        ]
        if replays:
            break
    memory = [r.peak_memory_bytes for r in replays if r.peak_memory_bytes is not None]
    return Needs(
        _joined([r.latency for r in replays if r.latency is not None]),
        round(centre(memory)) if memory else None,
    )


def _joined(found: Sequence[Latency]) -> Latency | None:
    if not found:
        return None

    def middle(values: Sequence[float | None]) -> float | None:
        known = [v for v in values if v is not None]
        return centre(known) if len(known) == len(values) else None

    return Latency(
        unit=found[0].unit,
        durations=sum(each.durations for each in found),
        p50_s=centre([each.p50_s for each in found]),
        p95_s=middle([each.p95_s for each in found]),
        p99_s=middle([each.p99_s for each in found]),
    )


def front(points: Mapping[str, Mapping[str, float | None]], same: float) -> list[str]:
    """The points that no other one beats in everything that is known of both: less is better.

    A difference within `same` (a fraction; 2 % for memory) is none. A point is beaten by one that
    is nowhere worse and somewhere better.
    """
    return [
        name
        for name, point in points.items()
        if not any(_beats(other, point, same) for key, other in points.items() if key != name)
    ]


def _beats(one: Mapping[str, float | None], other: Mapping[str, float | None], same: float) -> bool:
    better = False
    for axis in other:
        ours, theirs = one.get(axis), other[axis]
        if axis == "loss":
            ours, theirs = _worst(ours), _worst(theirs)
        if ours is None or theirs is None:
            if ours is not theirs:
                return False  # what is known of one of them only may be what it is good at
            continue
        within = _SAME_MEMORY if axis == "memory_bytes" else 0.0 if axis == "loss" else same
        if ours > theirs * (1 + within):
            return False
        better = better or ours * (1 + within) < theirs
    return better


def _worst(loss: float | None) -> float:
    """What is not known to be kept counts as lost."""
    return float("inf") if loss is None else loss
