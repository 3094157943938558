"""What can be combined, what one combination came to, and which of them are worth measuring."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias  # what JSON gives back

if TYPE_CHECKING:
    from advisor.techniques.base import Answers

Precision: TypeAlias = Literal[
    "float", "static int8", "dynamic int8", "weight-only int8", "OpenVINO int8"
]
Practice: TypeAlias = Literal["as it comes", "un-padding"]

OPENVINO_INT8: Precision = "OpenVINO int8"
ORIGINAL = "the original"
STUDENT = "student"  # in the name of each base that learnt from it
# Costs that differ by less are the same: one process cannot tell them apart.
_SAME_COST = 0.03
# As many go on into measured rounds: each of them takes minutes there.
SURVIVORS = 4


@dataclass(frozen=True, slots=True)
class Base:
    """A model to start from: the original, or an accepted step that made it smaller.

    `folder` holds its ONNX model of 32-bit floats.
    """

    name: str
    folder: str
    parameters: int


@dataclass(frozen=True, slots=True)
class Point:
    """One combination. Its name is what a report shows."""

    base: str
    precision: Precision = "float"
    practice: Practice = "as it comes"

    @property
    def name(self) -> str:
        parts = [self.base]
        if self.precision != "float":
            parts.append(self.precision)
        if self.practice != "as it comes":
            parts.append(self.practice)
        return " + ".join(parts)

    @property
    def answers(self) -> Answers:
        """What answers: the original's weights, what is left of them, or what learnt from it."""
        if self.base == ORIGINAL:
            return "own"
        return "learnt" if STUDENT in self.base else "pruned"

    @property
    def is_stack(self) -> bool:
        """Whether several changes are in it; each alone is tried by its own technique."""
        return self.base != ORIGINAL and (self.precision, self.practice) != ("float", "as it comes")


@dataclass(frozen=True, slots=True)
class Space:
    """Everything that can be combined; `bases` from the largest model to the smallest."""

    bases: tuple[Base, ...]
    precisions: tuple[Precision, ...] = ("float",)
    practices: tuple[Practice, ...] = ("as it comes",)

    def points(self) -> tuple[Point, ...]:
        """All of them: first each base as it is, then in the first precision, and so on."""
        return tuple(
            Point(base.name, precision, practice)
            for practice in self.practices
            for precision in self.precisions
            for base in self.bases
        )

    def digest(self) -> str:
        """Another one for other models or other choices: their figures do not go together."""
        known = [[b.name, b.parameters] for b in self.bases], self.precisions, self.practices
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]


def space_of(bases: Sequence[Base], order: Mapping[str, Any]) -> Space:
    """The space that an order names. Sorted by size, since that is the same in every run."""
    ordered = sorted(bases, key=lambda b: (-b.parameters, b.name))
    return Space(tuple(ordered), tuple(order["precisions"]), tuple(order["practices"]))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one point came to on captured inputs, in the building process.

    `cost_ratio` is its CPU time of a request over that of the original with 32-bit floats;
    `drift` the part of the answers that changed, on inputs for screening; `limit` what is allowed.
    `hopeless`: even the kind bound of the drift is beyond it. `refused` says why there is nothing.
    """

    cost_ratio: float = 1.0
    drift: float = 0.0
    limit: float = 0.0
    hopeless: bool = False
    sentence: str = ""
    folder: str = ""
    refused: str = ""


def on_front(found: Mapping[Point, Outcome]) -> set[Point]:
    """Points that no other one beats in cost and drift at once."""
    from advisor.needs import front  # which knows trials, and these the techniques

    known = {p.name: {"cost": o.cost_ratio, "loss": o.drift} for p, o in _whole(found).items()}
    names = set(front(known, _SAME_COST))
    return {p for p in found if p.name in names}


def survivors(found: Mapping[Point, Outcome]) -> list[Point]:
    """The stacks that go on into measured rounds, the cheapest first.

    Screening inputs are few, so that the cheapest may fail on those that judge: of each base only
    its cheapest stack goes on, and in any case the one that drifts least, the cheapest of those
    that are pruned, and the cheapest of those that learnt: a user may want no other model.
    """
    able = {p: o for p, o in _whole(found).items() if p.is_stack and not o.hopeless}
    best: dict[str, Point] = {}
    for point in sorted(able, key=lambda p: (able[p].cost_ratio, p.name)):
        best.setdefault(point.base, point)
    ranked = list(best.values())
    if not ranked:
        return []
    sure = [min(ranked, key=lambda p: (able[p].drift, able[p].cost_ratio))]
    sure += {p.answers: p for p in reversed(ranked)}.values()
    chosen = list(dict.fromkeys([*sure, *ranked]))[:SURVIVORS]
    return sorted(chosen, key=ranked.index)


def _whole(found: Mapping[Point, Outcome]) -> dict[Point, Outcome]:
    return {p: o for p, o in found.items() if not o.refused}
