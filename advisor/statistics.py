"""How sure a ratio is: paired within rounds, robust centre, bootstrap interval over rounds.

The centre is the Hodges-Lehmann estimate (median of all pairwise means) of the log ratios: nearly
as sharp as the mean for well-behaved rounds, and not moved by one round that a neighbour on the
host disturbed. The interval resamples rounds, not requests, which depend on each other.

A percentile bootstrap over few rounds is too narrow (it misses the factor n/(n-1) and the t tail),
so its percentiles are taken further out (Hesterberg 2015, "expanded percentile interval"). With a
handful of rounds even the extreme resamples miss the truth too often (all n rounds lie on one side
of it with probability 2^(1-n)); then Student's interval of the mean is joined to it.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, mean, median, stdev

RESAMPLES = 2000
LEAST_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio with its interval: 0.6 uses 40 % less. `low` and `high` enclose it."""

    value: float
    low: float
    high: float
    rounds: int

    @property
    def certain(self) -> bool:
        """Whether the interval excludes "no difference"."""
        return self.high < 1 or self.low > 1

    def as_json(self) -> dict[str, float | int]:
        return {"value": self.value, "low": self.low, "high": self.high, "rounds": self.rounds}


def centre(values: Sequence[float]) -> float:
    """The Hodges-Lehmann estimate: the median of the means of all pairs, each value with itself."""
    return median(
        (values[i] + values[j]) / 2 for i in range(len(values)) for j in range(i, len(values))
    )


def ratio(
    pairs: Sequence[tuple[float, float]], *, seed: int, comparisons: int = 1, level: float = 0.95
) -> Ratio | None:
    """The ratio new / old over rounds, each a pair (new, old); None below three rounds.

    `comparisons` is how many such intervals are to hold at once (Bonferroni). Pairs with a zero or
    a negative value carry no ratio and are left out.
    """
    logs = [math.log(new / old) for new, old in pairs if new > 0 and old > 0]
    if len(logs) < LEAST_ROUNDS:
        return None
    low, high = _bootstrap(logs, (1 - level) / comparisons, random.Random(seed))
    middle = centre(logs)
    return Ratio(
        math.exp(middle), math.exp(min(low, middle)), math.exp(max(high, middle)), len(logs)
    )


def _bootstrap(logs: Sequence[float], alpha: float, source: random.Random) -> tuple[float, float]:
    count = len(logs)
    estimates = sorted(centre(source.choices(logs, k=count)) for _ in range(RESAMPLES))
    tail = expanded_tail(alpha, count)
    last = RESAMPLES - 1
    low, high = estimates[math.floor(tail * last)], estimates[math.ceil((1 - tail) * last)]
    if 2.0 ** (1 - count) > alpha:
        reach = t_quantile(1 - alpha / 2, count - 1) * stdev(logs) / math.sqrt(count)
        low, high = min(low, mean(logs) - reach), max(high, mean(logs) + reach)
    return low, high


def expanded_tail(alpha: float, count: int) -> float:
    """The percentile that stands for alpha/2 when only `count` rounds were resampled."""
    reach = math.sqrt(count / (count - 1)) * t_quantile(1 - alpha / 2, count - 1)
    return NormalDist().cdf(-reach)


def t_quantile(probability: float, degrees: int) -> float:
    """Student's t quantile for a probability above one half, by bisection of the exact CDF."""
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability and high < 1e9:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if t_cdf(middle, degrees) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def t_cdf(value: float, degrees: int) -> float:
    """P(T <= value) for whole degrees of freedom (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(value / math.sqrt(degrees))
    cosine_squared = math.cos(angle) ** 2
    if degrees % 2:
        term, total = math.cos(angle), 0.0
        for k in range(1, (degrees - 1) // 2 + 1):
            total += term
            term *= cosine_squared * (2 * k) / (2 * k + 1)
        inside = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        term, total = 1.0, 0.0
        for k in range(1, degrees // 2 + 1):
            total += term
            term *= cosine_squared * (2 * k - 1) / (2 * k)
        inside = math.sin(angle) * total
    return 0.5 + inside / 2
