"""What one unit of work costs between two marks that the hook made at certain units.

That is exact where one process did the work, however short it was: the process's own clock is read
when a fifth of the units is done, and at the last one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from advisor.inside import Inside
from advisor.marginal import WARM_UP_SHARE

_UNITS = ("call", "request", "generate", "predict")
_NOTE = re.compile(r"mark: (\d+) (\w+) at (\d+) ns, (\d+) ns of CPU(, with children)?")
_LEAST_UNITS = 3
# Shorter than this, what a process does beside its work is not small.
_LEAST_NS = 5_000_000


@dataclass(frozen=True, slots=True)
class Stretch:
    """What lies between the two marks, of one process."""

    units: int
    cpu_ns: int
    begin_ns: int
    end_ns: int


def asked(inside: Inside | None) -> dict[str, object] | None:
    """What the hook is asked for, None where there is nothing to mark.

    `inside` is what a replay of the same length showed.
    """
    if inside is None or inside.unit not in _UNITS or inside.units <= _LEAST_UNITS:
        return None
    warm = max(1, math.ceil(WARM_UP_SHARE * inside.units))
    return {"unit": inside.unit, "at": [warm, inside.units]}


def between(notes: Sequence[str], unit: str) -> Stretch | None:
    """The stretch that a replay's notes tell of; None where marks are missing or say too little.

    That is the case where several processes did the work, or one that has children.
    """
    found = [match for note in notes if (match := _NOTE.fullmatch(note))]
    if len(found) != 2 or any(m[2] != unit or m[5] for m in found):
        return None
    (first, begin_ns, cpu_begun), (last, end_ns, cpu_ended) = sorted(
        (int(m[1]), int(m[3]), int(m[4])) for m in found
    )
    cpu_ns = cpu_ended - cpu_begun
    if last - first < _LEAST_UNITS or cpu_ns < _LEAST_NS or end_ns <= begin_ns:
        return None
    return Stretch(last - first, cpu_ns, begin_ns, end_ns)
