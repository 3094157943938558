"""Numbers: by how much nineteen of twenty of them move at most, relative to their size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from advisor.gates.intervals import of_quantile
from advisor.gates.result import GateResult, bounds, conclude, decide, percent

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.floating[Any]]

QUANTILE = 0.95


def judge(original: Numbers, changed: Numbers, limit: float, *, of: str = "") -> GateResult:
    """Compare numbers [inputs, width] of the same inputs.

    The error of an input is the length of its difference over that of the original; where that is
    shorter than usual, over the median length: near zero nothing is small relative to itself.
    `limit` is the largest such error allowed at the 95th percentile.
    """
    import numpy as np

    found_errors = errors(original, changed)
    judged = len(found_errors)
    found = of_quantile(found_errors, QUANTILE)
    acceptable = decide(found, limit, judged, at_least=False)
    text = (
        f"95 of 100 numbers move by {bounds(found, 2)} at most (of {judged:,} inputs),"
        f" limit {percent(limit, 2)}"
    )
    shown = {
        "error_median": float(np.median(found_errors)) if judged else float("nan"),
        "error_largest": float(np.max(found_errors)) if judged else float("nan"),
    }
    return conclude(
        "regression",
        "error",
        found,
        limit,
        judged=judged,
        acceptable=acceptable,
        sentence=text,
        shown=shown,
        of=of,
    )


def errors(original: Numbers, changed: Numbers) -> NDArray[np.float64]:
    """The relative error of each input; infinite where there is no number any more."""
    import numpy as np

    own = original.reshape(len(original), -1).astype(np.float64)
    new = changed.reshape(len(changed), -1).astype(np.float64)
    if own.shape != new.shape:
        return np.full(len(own), np.inf)
    sizes = np.linalg.norm(own, axis=1)
    finite = sizes[np.isfinite(sizes)]
    usual = float(np.median(finite)) if len(finite) else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        difference = np.linalg.norm(new - own, axis=1)
        found = np.where(difference == 0, 0.0, difference / np.maximum(sizes, usual))
    # What was no number as written may be none after the change.
    same = np.all((own == new) | (np.isnan(own) & np.isnan(new)), axis=1)
    found = np.where(np.isnan(found), np.inf, found)
    return np.asarray(np.where(same, 0.0, found), dtype=np.float64)
