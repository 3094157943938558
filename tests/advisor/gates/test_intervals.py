"""Bounds against published ones, and against the truth in simulations."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.gates.intervals import of_clusters, of_mean, of_quantile, wilson

np = pytest.importorskip("numpy")

# Two one-sided 95 % bounds that hold together are the two ends of the usual 95 % interval.
TWO_SIDED = 2


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_score_intervals_are_those_of_newcombe_1998(
    successes: int, trials: int, low: float, high: float
) -> None:
    found = wilson(successes, trials, comparisons=TWO_SIDED)
    assert (found.low, found.high) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_three_hundred_without_a_failure_are_enough_for_one_point() -> None:
    assert wilson(300, 300).low > 0.99
    assert wilson(260, 260).low < 0.99


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_lies_between_its_bounds(counts: tuple[int, int]) -> None:
    found = wilson(*counts)
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_no_trials_tell_nothing() -> None:
    assert wilson(0, 0)[1:] == (0.0, 1.0)


def test_a_mean_of_noughts_and_ones_has_the_interval_of_a_share() -> None:
    values = np.r_[np.ones(285), np.zeros(15)]
    assert of_mean(values) == pytest.approx(wilson(285, 300), abs=1e-3)


def test_tokens_of_one_text_count_as_one_where_they_stand_and_fall_together() -> None:
    together = of_clusters(np.r_[np.full(90, 20), np.zeros(10)], np.full(100, 20))
    apart = of_clusters(np.full(100, 18), np.full(100, 20))
    assert together == pytest.approx(wilson(90, 100), abs=2e-3)
    assert together.value == apart.value == 0.9
    assert apart.high - apart.low <= together.high - together.low


def test_bounds_of_a_mean_and_a_quantile_hold_as_often_as_they_say() -> None:
    source = np.random.default_rng(3)
    above = below = over = under = 0
    rounds = 400
    for _ in range(rounds):
        kept = of_mean(source.binomial(10, 0.97, 300) / 10)
        above, below = above + (kept.low > 0.97), below + (kept.high < 0.97)
        tail = of_quantile(source.exponential(size=300), 0.95)
        over, under = over + (tail.low > math.log(20)), under + (tail.high < math.log(20))
    assert max(above, below, over, under) / rounds < 0.08  # 0.05, and three errors of the count


def test_a_quantile_of_too_few_has_no_upper_bound() -> None:
    assert math.isinf(of_quantile(range(40), 0.95).high)
    assert math.isfinite(of_quantile(range(80), 0.95).high)
