"""What a change does to one unit of work, told apart from what it costs at the start of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypedDict

from advisor.statistics import Ratio, centre
from advisor.techniques.base import Variant
from advisor.trials import BASELINES, Figure, Trials


class ByUnit(TypedDict):
    per_unit: Ratio | None
    saved_per_unit: float | None
    start: float | None
    first_start: float | None
    pay_back_units: int | None


def by_unit(  # noqa: PLR0917 - one call, all of it needed
    trials: Trials,
    variant: Variant,
    whole: Figure,
    unit: Figure,
    work: int,
    per_unit: Ratio | None,
) -> ByUnit:
    """The cost of one unit told apart from that of the start, with the change and without.

    `whole` and `unit` are the figures of a run and of one unit, `work` how many units a run does.
    """
    nothing = ByUnit(
        per_unit=per_unit, saved_per_unit=None, start=None, first_start=None, pay_back_units=None
    )
    as_written = _start_and_unit(trials, [b.name for b in BASELINES], whole, unit, work)
    changed = _start_and_unit(trials, [variant.name], whole, unit, work)
    if per_unit is None or as_written is None or changed is None:
        return nothing
    saved = as_written[1] * (1 - per_unit.value)
    start = changed[0] - as_written[0]
    first_start = None
    if variant.pays_later:
        first = trials.of(variant.name)[0].replay
        used = whole(first)
        if used is not None:
            first_start = used - work * changed[1] - as_written[0]
    cost = max(start, first_start or 0.0)
    pays_back = cost > saved > 0  # less than one unit is none
    return ByUnit(
        per_unit=per_unit,
        saved_per_unit=saved,
        start=start,
        first_start=first_start,
        pay_back_units=math.ceil(cost / saved) if pays_back else None,
    )


def _start_and_unit(
    trials: Trials, names: Sequence[str], whole: Figure, unit: Figure, work: int
) -> tuple[float, float] | None:
    """What a run used beyond its units, and one unit; centres over the confirmation."""
    replays = [
        t.replay
        for t in trials.all
        if t.variant in names and t.stage == "confirmation" and t.replay.ok
    ]
    found = [(w, u) for r in replays if (w := whole(r)) is not None and (u := unit(r)) is not None]
    if not found or not work:
        return None
    return centre([w - work * u for w, u in found]), centre([u for _, u in found])
