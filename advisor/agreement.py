"""How far what a program's modules compute moves with a change, on the inputs of the program.

Calls of two replays are compared where they have the same number and the same inputs, bit by bit.
No labels are needed, and no threshold is hidden in here: distances are said, and the three bounds
below decide only what they may be called.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from advisor.outputs import Output, Tensor

# Sums of float32 taken in another order differ by less than this, of the size of the output.
ROUNDING = 1e-4
# With fewer samples an agreement of classes says too little.
ENOUGH_SAMPLES = 300
# A second dimension up to this is taken for scores of classes.
_MOST_CLASSES = 100_000


@dataclass(frozen=True, slots=True)
class Agreement:
    """What a comparison found.

    `distance` is the root mean square of the difference over that of the outputs; `largest` is the
    same of the call that is furthest off. `samples` are rows of outputs that look like scores of
    classes, `same_class` those whose highest score is in the same place. `pairs` are the calls that
    were compared, as written and changed, for a gate to judge.
    """

    calls: int
    identical: int
    distance: float = 0.0
    largest: float = 0.0
    samples: int = 0
    same_class: int = 0
    pairs: tuple[tuple[Output, Output], ...] = field(default=(), repr=False, compare=False)

    @property
    def exact(self) -> bool:
        return self.calls > 0 and self.identical == self.calls

    @property
    def to_rounding(self) -> bool:
        return self.calls > 0 and self.largest <= ROUNDING

    def as_json(self) -> dict[str, float | int | None]:
        """Distances are relative to the size of the outputs."""
        return {
            "calls": self.calls,
            "identical_calls": self.identical,
            "distance": self.distance,
            "largest_distance": self.largest,
            "samples": self.samples,
            "same_class": self.same_class if self.samples else None,
        }


def compare(original: Sequence[Output], changed: Sequence[Output]) -> Agreement:
    """Compare two replays' outputs. No calls in common: `calls` is 0, and nothing can be said.

    Outputs that were too large to be kept are compared by their digests, and by what was kept of
    them: the rows that a gate looks at.
    """
    theirs = {output.call: output for output in changed}
    pairs = tuple(
        (own, theirs[own.call])
        for own in original
        if own.call in theirs and own.inputs == theirs[own.call].inputs
    )
    equal = [own.same_bits(other) for own, other in pairs]
    squares = differences = 0.0
    largest = 0.0
    samples = same = 0
    for is_equal, (own, other) in zip(equal, pairs, strict=True):
        before, after = own.compared(other)
        rows = _rows(before)
        samples += rows
        if is_equal:
            same += rows
            # Their size counts where there are others to relate a difference to.
            squares += 0.0 if all(equal) else _distance(before, before)[0]
            continue
        size, difference = _distance(before, after)
        squares, differences = squares + size, differences + difference
        largest = max(largest, _relative(size, difference))
        same += _alike(before, after)
    total = _relative(squares, differences)
    return Agreement(len(pairs), sum(equal), total, largest, samples, same, pairs)


def _distance(own: Sequence[Tensor], other: Sequence[Tensor]) -> tuple[float, float]:
    """Sums of squares: of the outputs, and of their differences (infinite for other shapes)."""
    if not own or [t.shape for t in own] != [t.shape for t in other]:
        return 1.0, math.inf
    size = difference = 0.0
    for a, b in zip(own, other, strict=True):
        found = _distance_by_numpy(a, b) or _distance_plainly(a, b)
        size, difference = size + found[0], difference + found[1]
    return size if math.isfinite(size) else 1.0, difference


def _distance_by_numpy(own: Tensor, other: Tensor) -> tuple[float, float] | None:
    """The same, fast; None without NumPy, or for a type that it has not."""
    if find_spec("numpy") is None:
        return None
    import numpy as np

    from advisor.gates.rows import array

    left, right = array(own), array(other)
    if left is None or right is None:
        return None
    left, right = left.astype(np.float64), right.astype(np.float64)
    with np.errstate(invalid="ignore"):
        change = left - right
    same = (left == right) | (np.isnan(left) & np.isnan(right))
    change = np.where(np.isfinite(change), change, np.where(same, 0.0, np.inf))
    with np.errstate(over="ignore"):
        return float(np.sum(left * left)), float(np.sum(change * change))


def _distance_plainly(own: Tensor, other: Tensor) -> tuple[float, float]:
    left, right = own.values(), other.values()
    # A value that is no number in both is the same; in one of them it is infinitely far.
    difference = math.fsum(
        (x - y) ** 2 if math.isfinite(x - y) else _of_no_number(x, y)
        for x, y in zip(left, right, strict=True)
    )
    return math.fsum(x * x for x in left), difference


def _of_no_number(x: float, y: float) -> float:
    return 0.0 if x == y or (math.isnan(x) and math.isnan(y)) else math.inf


def _relative(size: float, difference: float) -> float:
    if difference == 0:
        return 0.0
    return math.sqrt(difference / size) if size > 0 else math.inf


def _alike(own: Sequence[Tensor], other: Sequence[Tensor]) -> int:
    """Of rows of scores, in how many the highest is in the same place."""
    rows = _rows(own)
    if not rows or [t.shape for t in own] != [t.shape for t in other]:
        return 0
    a, b, width = own[0].values(), other[0].values(), own[0].shape[1]
    return sum(
        _highest(a[at : at + width]) == _highest(b[at : at + width])
        for at in range(0, rows * width, width)
    )


def _rows(tensors: Sequence[Tensor]) -> int:
    """How many rows of scores there are: of one two-dimensional output of real numbers."""
    if len(tensors) != 1 or len(tensors[0].shape) != 2:
        return 0
    only = tensors[0]
    looks = 2 <= only.shape[1] <= _MOST_CLASSES and only.dtype in ("F32", "F64", "F16", "BF16")
    return only.shape[0] if looks else 0


def _highest(row: Sequence[float]) -> int:
    return max(range(len(row)), key=row.__getitem__)
