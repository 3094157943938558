"""What the user allows: `--max-drop` in points, and `--gate` where the usual one does not fit."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from frugalwatch.errors import UsageError

Measure: TypeAlias = Literal["agreement", "overlap", "error", "tokens"]
Pool: TypeAlias = Literal["mean", "first"]

# What a point is: a hundredth of the inputs, of the tokens, of the size of a number.
_POINT = 0.01
# Of neighbours three in a hundred: one point then is the limit of 97 %.
_POINT_OF_NEIGHBOURS = 0.03

_GATE = re.compile(
    r"\s*(agreement|overlap|error|tokens)\s*(>=|<=)\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)"
    r"\s*(?:,\s*pool\s*=\s*(mean|first)\s*)?"
)


@dataclass(frozen=True, slots=True)
class GateOptions:
    """How far answers may move. `measure` None: the one that fits what the program computes.

    `limit` is a share, None: what `max_drop_points` comes to. `pool` is how states of tokens become
    one embedding of a text: their mean, or the first one.
    """

    max_drop_points: float = 1.0
    measure: Measure | None = None
    limit: float | None = None
    pool: Pool = "mean"

    def least(self, measure: Measure) -> float:
        """The limit: the least share that must stay; of "error" the largest relative error."""
        if self.limit is not None and self.measure == measure:
            return self.limit
        if measure == "error":
            return _POINT * self.max_drop_points
        point = _POINT_OF_NEIGHBOURS if measure == "overlap" else _POINT
        return max(0.0, 1.0 - point * self.max_drop_points)

    def as_text(self) -> str | None:
        """`--gate` as it can be given again; None where it was not given."""
        if self.measure is None or self.limit is None:
            return None
        sign = "<=" if self.measure == "error" else ">="
        pool = "" if self.pool == "mean" else f",pool={self.pool}"
        return f"{self.measure}{sign}{self.limit:g}{pool}"


def parse_gate(text: str | None, max_drop_points: float = 1.0) -> GateOptions:
    """Read `overlap>=0.9`, `agreement>=99%`, `error<=0.02`, `overlap>=0.97,pool=first`.

    Raises UsageError for anything else.
    """
    if text is None:
        return GateOptions(max_drop_points)
    found = _GATE.fullmatch(text)
    if found is None:
        raise _refused(text, "it is none of the known ones")
    measure, sign, number, percent, pool = found.groups()
    if (sign == "<=") != (measure == "error"):
        raise _refused(text, "an error is at most something, all others are at least something")
    limit = float(number) / (100 if percent else 1)
    if not 0 <= limit <= 1:
        raise _refused(text, "a limit is a share: 0.9 or 90%")
    if pool is not None and measure != "overlap":
        raise _refused(text, "only embeddings are pooled")
    return GateOptions(
        max_drop_points, cast(Measure, measure), limit, cast(Pool, pool) if pool else "mean"
    )


def _refused(text: str, why: str) -> UsageError:
    return UsageError(
        f"--gate {text!r} cannot be understood",
        why=why,
        hint="one of: 'overlap>=0.9' (embeddings; ',pool=first' for the first token),"
        " 'agreement>=0.99' (classes), 'error<=0.01' (numbers), 'tokens>=0.99' (texts)",
    )
