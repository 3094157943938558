"""What a gate finds, and the rule by which it lets a change through."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from advisor.gates.intervals import Interval
from advisor.gates.splits import JUDGING_SHARE

Kind: TypeAlias = Literal["classification", "embedding", "regression", "generation"]

# Under this many inputs no limit of a point can be judged (see intervals.py).
ENOUGH = 300
# From here on the value itself decides; its bounds are printed all the same.
PLENTY = 1000
_LAST_BIT = 1e-9  # of a limit such as 1 - 0.01


@dataclass(frozen=True, slots=True)
class WorstClass:
    """The class that lost most: which output it is, and how many of its inputs kept it."""

    index: int
    inputs: int
    value: float
    low: float
    high: float

    def as_json(self) -> dict[str, float | int]:
        return {
            "class": self.index,
            "inputs": self.inputs,
            "value": self.value,
            "low": self.low,
            "high": self.high,
        }


@dataclass(frozen=True, slots=True)
class GateResult:
    """What one gate found on `judged` inputs.

    `value` and its bounds `low` and `high` are shares (0.97), of a regression relative errors;
    `limit` is of the same. `acceptable` is None where too little was seen to tell; `more` is then
    about how many more different inputs would tell. `shown` are figures that decide nothing.
    `measure` names what was compared, `of` the output that it was compared on.
    """

    kind: Kind
    measure: str
    value: float
    low: float
    high: float
    limit: float
    judged: int
    acceptable: bool | None
    sentence: str
    more: int | None = None
    worst: WorstClass | None = None
    shown: Mapping[str, float] = field(default_factory=dict)
    of: str = ""

    @property
    def hopeless(self) -> bool:
        """Whether even the kind bound is beyond the limit, however few inputs there were."""
        at_least = self.measure != "error"
        kind = self.high if at_least else self.low
        return _beyond(self.limit, kind, at_least=at_least) > 0

    @property
    def sure(self) -> bool:
        """Whether even the cautious bound keeps the limit."""
        at_least = self.measure != "error"
        cautious = self.low if at_least else self.high
        return _beyond(self.limit, cautious, at_least=at_least) <= 0

    def as_json(self) -> dict[str, object]:
        """As the stored document has it: null for what is no number."""
        return {
            "kind": self.kind,
            "measure": self.measure,
            "of": self.of,
            "value": _known(self.value),
            "low": _known(self.low),
            "high": _known(self.high),
            "limit": self.limit,
            "judged": self.judged,
            "acceptable": self.acceptable,
            "more_inputs_needed": self.more,
            "worst_class": None if self.worst is None else self.worst.as_json(),
            "shown": {name: _known(value) for name, value in self.shown.items()},
            "sentence": self.sentence,
        }


def conclude(
    kind: Kind,
    measure: str,
    found: Interval,
    limit: float,
    *,
    judged: int,
    acceptable: bool | None,
    sentence: str,
    worst: WorstClass | None = None,
    shown: Mapping[str, float],
    of: str,
) -> GateResult:
    """The result of a gate; where it cannot be told, with what would tell, in the sentence too."""
    more = None
    if acceptable is None:
        more = more_inputs(found, limit, judged)
        sentence += f"; {untold(more)}"
    value, low, high = found.value, found.low, found.high
    return GateResult(
        kind, measure, value, low, high, limit, judged, acceptable, sentence, more, worst, shown, of
    )


def decide(found: Interval, limit: float, judged: int, *, at_least: bool = True) -> bool | None:
    """Whether a value keeps its limit; None where that cannot be told.

    With 300 inputs its bounds must both be on one side of the limit; with a thousand the value
    itself decides. With fewer than 300 nothing does.
    """
    if judged < ENOUGH:
        return None
    if judged >= PLENTY:
        return _beyond(limit, found.value, at_least=at_least) <= 0
    cautious, kind = (found.low, found.high) if at_least else (found.high, found.low)
    if _beyond(limit, cautious, at_least=at_least) <= 0:
        return True
    return False if _beyond(limit, kind, at_least=at_least) > 0 else None


def _beyond(limit: float, value: float, *, at_least: bool) -> float:
    """How far a value is on the wrong side of a limit; zero where only the last bit differs."""
    distance = limit - value if at_least else value - limit
    return distance if abs(distance) > _LAST_BIT else 0.0


def more_inputs(found: Interval, limit: float, judged: int) -> int:
    """About how many more different inputs the program needs, for a verdict on this value.

    Intervals shrink with the square root of their number; of all inputs only a share judges.
    """
    wanted = float(ENOUGH)
    near = abs(found.value - limit)
    half = max(found.value - found.low, found.high - found.value)
    if judged >= ENOUGH and math.isfinite(half):
        wanted = PLENTY if near <= 0 else min(PLENTY, judged * (half / near) ** 2)
    missing = max(1.0, wanted - judged) / JUDGING_SHARE
    step = 1 if missing < 100 else 10 if missing < 1000 else 100
    return math.ceil(missing / step) * step


def percent(value: float, digits: int = 1) -> str:
    """97 %, or 94.1 %, as a person reads a limit; never 100 where it is not."""
    text = _digits(value * 100, digits)
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text} %"


def bounds(found: Interval, digits: int = 1) -> str:
    """94.1 % [93.0, 95.0]."""
    low, high = (_digits(x * 100, digits) for x in (found.low, found.high))
    return f"{_digits(found.value * 100, digits)} % [{low}, {high}]"


def _digits(value: float, digits: int) -> str:
    """So many decimals; what is not quite 100 is never printed as 100."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else "any"
    if value == 100:
        return "100"
    text = f"{value:.{digits}f}"
    return (
        f"{math.floor(value * 10**digits) / 10**digits:.{digits}f}" if float(text) == 100 else text
    )


def untold(more: int) -> str:
    """What to do where it cannot be told."""
    return (
        f"too few to tell: give it about {more:,} more different inputs, or name a number that"
        " counts: --metric"
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
