"""From a confirmed ratio to a verdict, in words that a person reads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from advisor.quality import Quality
from advisor.statistics import Ratio

Verdict: TypeAlias = Literal[
    "recommended",
    "saves per unit",
    "no clear saving",
    "costs more",
    "changes the answers",
    "beyond a limit",
    "failed",
    "not applied",
    "not confirmed",
]
DecidedBy: TypeAlias = Literal["whole", "unit", "time"]
# Those that `run --with` and `verify` take, best first.
WORTH_IT: tuple[Verdict, ...] = ("recommended", "saves per unit")

# Beyond this the host is too noisy for any verdict.
TOO_NOISY = 0.25
_FEW = 8  # rounds; with fewer, noise widens the interval out of proportion


def verdict_on(
    main: Ratio, modelled: Sequence[Ratio], quality: Quality, itself: float | None
) -> tuple[Verdict, str]:
    """What a confirmed ratio comes to, with the reason; `itself` is the resolution."""
    if itself is None or itself > TOO_NOISY:
        few = "too few rounds for a host as noisy as this" if main.rounds < _FEW else "noisy host"
        reason = f"{few}: the program differs as much from itself; more: a larger --budget"
        return "not confirmed", reason
    if main.low > 1:
        return "costs more", "it uses more, not less"
    if main.high >= 1 or 1 - main.value <= itself:
        return "no clear saving", "the difference is within the noise"
    if not quality.acceptable:
        return "changes the answers", quality.reason
    if any(m.low > 1 for m in modelled):
        return "costs more", "it takes longer, and by the model that can cost more than it saves"
    return "recommended", ""


def verdict_on_time(
    wall: Ratio | None, modelled: Sequence[Ratio], itself: float | None
) -> tuple[Verdict, str] | None:
    """Of a change that saves waiting: energy by the model, since the machine is on for less time.

    None where that is not clear: then it is judged by its CPU time like any other.
    """
    if wall is None or itself is None or itself > TOO_NOISY or not modelled:
        return None
    if wall.high < 1 and 1 - wall.value > itself and all(m.high < 1 for m in modelled):
        return "recommended", ""
    return None


def saves_later(per_unit: Ratio | None, itself: float | None) -> bool:
    """Whether each unit of work clearly costs less; `itself` is the resolution of such ratios."""
    if per_unit is None or itself is None or itself > TOO_NOISY:
        return False
    return per_unit.high < 1 and 1 - per_unit.value > itself
