"""Intervals of shares, of means of shares, and of quantiles.

Every end is a one-sided 95 % bound, so both together hold 90 %: what counts is that a change is not
worse than its limit, which is a question about one side. No failure in 300 gives the bound 99.1 %:
that is why 300 inputs are the least that a limit of one point can be judged by.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

LEVEL = 0.95


class Interval(NamedTuple):
    """A value between its bounds."""

    value: float
    low: float
    high: float


def z_of(comparisons: int = 1) -> float:
    """How many standard errors a one-sided bound lies out, where so many are to hold at once."""
    return NormalDist().inv_cdf(1 - (1 - LEVEL) / comparisons)


def wilson(successes: float, trials: float, *, comparisons: int = 1) -> Interval:
    """The score interval of a share (Wilson 1927). Of no trials: anything from 0 to 1."""
    if trials <= 0:
        return Interval(math.nan, 0.0, 1.0)
    z = z_of(comparisons)
    share = successes / trials
    scale = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / scale
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / scale
    # At the ends the formula is off by the last bit.
    low = 0.0 if successes <= 0 else max(0.0, middle - half)
    high = 1.0 if successes >= trials else min(1.0, middle + half)
    return Interval(share, low, high)


def of_mean(shares: Any) -> Interval:
    """The mean of one share per input (a NumPy array), inputs being independent.

    A score interval with as many trials as give the standard error that the shares show, so that it
    is right near 1, where a mean plus or minus an error is not.
    """
    return of_clusters(shares, None)


def of_clusters(hits: Any, sizes: Any | None) -> Interval:
    """The share of all hits, where hits come in clusters that are as one (a text's tokens).

    `hits` and `sizes` are NumPy arrays with a figure for each cluster; no sizes: all are 1. Without
    any scatter a cluster counts as a single trial.
    """
    import numpy as np

    count = len(hits)
    sizes = np.ones(count) if sizes is None else np.asarray(sizes, dtype=float)
    total = float(sizes.sum())
    if count == 0 or total <= 0:
        return wilson(0, 0)
    share = min(1.0, max(0.0, float(np.sum(hits)) / total))
    scatter = float(np.sum((np.asarray(hits, dtype=float) - share * sizes) ** 2))
    variance = scatter / (total * total) * (count / (count - 1) if count > 1 else 1.0)
    trials = share * (1 - share) / variance if variance > 0 else float(count)
    trials = max(1.0, min(trials, 10.0 * total))
    return wilson(share * trials, trials)._replace(value=share)


def of_quantile(values: Sequence[float] | Any, quantile: float) -> Interval:
    """A quantile between order statistics: no assumption on how the values are distributed.

    The upper bound is infinite where there are too few values for one.
    """
    ordered = sorted(float(v) for v in values)
    count = len(ordered)
    if not count:
        return Interval(math.nan, 0.0, math.inf)
    value = ordered[min(count - 1, math.ceil(quantile * count) - 1)]
    below = low_place = 0.0
    high_place = count  # of the first value that is above with certainty enough; count: none is
    for place in range(count + 1):
        # below: the probability that fewer than `place` values lie under the true quantile
        if below <= 1 - LEVEL:
            low_place = place
        if below >= LEVEL:
            high_place = min(high_place, place - 1)
            break
        below += _binomial(place, count, quantile)
    low = ordered[int(low_place) - 1] if low_place >= 1 else -math.inf
    high = ordered[high_place] if high_place < count else math.inf
    return Interval(value, low, high)


def _binomial(successes: int, trials: int, share: float) -> float:
    logarithm = (
        math.lgamma(trials + 1)
        - math.lgamma(successes + 1)
        - math.lgamma(trials - successes + 1)
        + successes * math.log(share)
        + (trials - successes) * math.log1p(-share)
    )
    return math.exp(logarithm)
