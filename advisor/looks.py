"""What one look at each variant tells of its cost, where there is no time for screening rounds.

A look is one replay in which what modules compute is kept. It promises nothing: what is recommended
is measured anew. But it shows what is hopeless, and what another change does far better.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from advisor.stacking import COMBINATION, runs_the_model
from advisor.techniques.base import ANSWERS, Variant
from advisor.trials import AGAIN, BASE, Figure, Trial, Trials, decisive, of_a_unit

# One look is off by a tenth now and then; what does worse than this is not worth more of them.
_HOPELESS = 1.05
_FAR_BETTER = 1.15
# What a stack has to save beside the best that is in it.
_STACK_SAVES = 0.03


def looked(trials: Trials, variant: Variant, figure: Figure, *, early: bool) -> float | None:
    """A look's cost of that of the program as written in a like look; None where one is missing.

    Of what acts inside the program, the ratio per unit of work if that is smaller: in a short
    replay the start hides it. `early`: replays end early but for looks at what is lossy.
    """
    own = [t for t in trials.of(variant.name, "probe") if t.replay.ok]
    bases = _like(trials, whole=early and variant.lossy, early=early)
    if not own or not bases:
        return None
    figures = [decisive(variant, figure)]
    if variant.change.switches:
        figures.append(of_a_unit(figure))
    found = [ratio for each in figures if (ratio := _ratio(own[-1], bases, each)) is not None]
    return min(found, default=None)


def passed_over(
    entrants: Sequence[Variant], ratios: dict[str, float | None], insisted: Collection[str] = ()
) -> dict[str, str]:
    """Names of those that their looks speak against, with the reason for a person."""
    found: dict[str, str] = {}
    for variant in entrants:
        ratio = ratios.get(variant.name)
        if ratio is None or variant.technique in insisted:
            continue
        if ratio >= _HOPELESS:
            found[variant.name] = (
                f"in one look it cost {ratio:.2f} times as much as the program as written"
            )
            continue
        rivals = [
            (other, v.name)
            for v in entrants
            if v is not variant and runs_the_model(v) and _loses_no_more(v, variant)
            if (other := ratios.get(v.name)) is not None
        ]
        best = min(rivals, default=None)
        if runs_the_model(variant) and best is not None and ratio > _FAR_BETTER * best[0]:
            found[variant.name] = (
                f"in one look it cost {ratio / best[0]:.2f} times as much as {best[1]}"
            )
    return found


def by_looks(entrants: Sequence[Variant], ratios: dict[str, float | None]) -> list[Variant]:
    """The entrants, best first, by their looks.

    Among those of a kind that run the model and are about as good in their looks, what captured
    inputs cost decides, where that was seen: it was taken over rounds.
    """
    best: dict[tuple[bool, str], float] = {}
    for variant in entrants:
        ratio = ratios.get(variant.name)
        if ratio is not None and runs_the_model(variant):
            kind = (variant.lossy, variant.answers)
            best[kind] = min(ratio, best.get(kind, math.inf))

    def key(variant: Variant) -> tuple[float, float]:
        ratio = ratios.get(variant.name)
        if ratio is None:
            return math.inf, math.inf
        first = best.get((variant.lossy, variant.answers), math.inf)
        if runs_the_model(variant) and variant.cost is not None and ratio <= _FAR_BETTER * first:
            return first, variant.cost
        return ratio, math.inf

    return sorted(entrants, key=key)


def useless_stacks(confirmed: Sequence[Variant], ratios: dict[str, float | None]) -> dict[str, str]:
    """Combinations that save no more than the best alone, by their looks, with the reason."""
    found: dict[str, str] = {}
    alone = [v for v in confirmed if v.technique != COMBINATION]
    for stack in confirmed:
        ratio = ratios.get(stack.name)
        if stack.technique != COMBINATION or ratio is None:
            continue
        parts = [
            (other, v.name)
            for v in alone
            if stack.lossy or not v.lossy
            if (other := ratios.get(v.name)) is not None
        ]
        best = min(parts, default=None)
        if best is not None and ratio > (1 - _STACK_SAVES) * best[0]:
            found[stack.name] = f"in one look it cost as much as {best[1]} alone"
    return found


def _loses_no_more(other: Variant, variant: Variant) -> bool:
    """Whether what answers is no further from what the user trained."""
    return (ANSWERS.index(other.answers), other.lossy) <= (
        ANSWERS.index(variant.answers),
        variant.lossy,
    )


def _like(trials: Trials, *, whole: bool, early: bool) -> list[Trial]:
    """Looks at the program as written that did as much; the first one was at the whole of it."""
    first = [t for t in trials.of(BASE.name, "probe") if t.round == 0]
    others = [t for t in trials.of(BASE.name, "probe") if t.round > 0]
    others += trials.of(AGAIN.name, "probe")
    chosen = first if whole or not (early or others) else others
    return [t for t in chosen if t.replay.ok]


def _ratio(own: Trial, bases: Sequence[Trial], figure: Figure) -> float | None:
    value = figure(own.replay)
    others = [known for t in bases if (known := figure(t.replay)) is not None and known > 0]
    if value is None or value <= 0 or not others:
        return None
    return value / math.exp(sum(math.log(each) for each in others) / len(others))
