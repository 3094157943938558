"""Classes: in how many inputs the highest score is in the same place, and which class lost most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advisor.gates.intervals import wilson
from advisor.gates.result import (
    ENOUGH,
    GateResult,
    WorstClass,
    bounds,
    conclude,
    decide,
    percent,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Scores = NDArray[np.floating[Any]]
    Classes = NDArray[np.integer[Any]]

# A class that surely lost this many times the limit is lost, even if it is a rare one.
_CLASS_FACTOR = 10
# With fewer inputs a class has no interval worth a line.
_CLASS_INPUTS = 10


def judge(
    original: Scores | Classes, changed: Scores | Classes, limit: float, *, of: str = ""
) -> GateResult:
    """Compare scores [inputs, classes], or classes [inputs], of the same inputs.

    `limit` is the least share of inputs whose class must stay. Each class as written is looked at
    too: one that surely lost ten times what is allowed speaks against the change.
    """
    own, new = classes(original), classes(changed)
    same = own == new
    judged = len(own)
    found = wilson(int(same.sum()), judged)
    worst = worst_class(own, same)
    acceptable = decide(found, limit, judged)
    text = f"the same class in {bounds(found)} of {judged:,} inputs, limit {percent(limit)}"
    if worst is not None and worst.value < 1:
        kept = f"{percent(worst.value)} of its {worst.inputs:,} inputs"
        text += f"; class {worst.index} is kept in {kept}"
    class_limit = 1 - _CLASS_FACTOR * (1 - limit)
    if worst is not None and worst.high < class_limit and judged >= ENOUGH:
        acceptable = False
        text += f", which is too few ({percent(class_limit)} at least)"
    shown = {"mean_kl_nats": divergence(original, changed)} if original.ndim == 2 else {}
    return conclude(
        "classification",
        "agreement",
        found,
        limit,
        judged=judged,
        acceptable=acceptable,
        sentence=text,
        worst=worst,
        shown=shown,
        of=of,
    )


def classes(values: Scores | Classes) -> Classes:
    """The class of each input: the place of its highest score, -1 where a score is no number.

    A single column is one score for "yes": above a half if all are within 0 and 1, else above 0.
    """
    import numpy as np

    if values.ndim == 1:
        return values.astype(np.int64)
    lost = ~np.isfinite(values).all(axis=1)
    if values.shape[1] == 1:
        are_shares = bool(((values >= 0) & (values <= 1)).all())
        found = (values[:, 0] > (0.5 if are_shares else 0.0)).astype(np.int64)
    else:
        found = np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
    return np.where(lost & np.isnan(values).any(axis=1), -1, found)


def worst_class(own: Classes, same: NDArray[np.bool_]) -> WorstClass | None:
    """The class of the original with the lowest upper bound; None if all have too few inputs.

    The bounds hold for all classes at once.
    """
    import numpy as np

    names, counts = np.unique(own, return_counts=True)
    enough = [(int(n), int(c)) for n, c in zip(names, counts, strict=True) if c >= _CLASS_INPUTS]
    found = []
    for name, count in enough:
        kept = wilson(int(same[own == name].sum()), count, comparisons=len(enough))
        found.append(WorstClass(name, count, kept.value, kept.low, kept.high))
    return min(found, key=lambda each: (each.high, each.value), default=None)


def divergence(original: Scores | Classes, changed: Scores | Classes) -> float:
    """The mean Kullback-Leibler divergence of the changed distributions from the original ones.

    In nats; what are no probabilities yet is taken for their logarithms up to a constant.
    """
    import numpy as np

    own, new = _log_shares(original), _log_shares(changed)
    terms = np.exp(own) * (own - new)
    return float(np.where(np.isneginf(own), 0.0, terms).sum(axis=1).mean())


def _log_shares(scores: Scores | Classes) -> NDArray[np.float64]:
    import numpy as np

    values = scores.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        if (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-3):
            return np.log(values)
        values = values - values.max(axis=1, keepdims=True)
        found: NDArray[np.float64] = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
    return found
