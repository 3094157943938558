"""The interval against distributions whose truth is known."""

from __future__ import annotations

import math
import random

import pytest

from advisor import statistics
from advisor.statistics import Ratio, centre, ratio, t_cdf, t_quantile


@pytest.mark.parametrize(
    ("probability", "degrees", "known"),
    [(0.975, 1, 12.706), (0.975, 4, 2.776), (0.975, 7, 2.365), (0.995, 10, 3.169)],
)
def test_student_quantiles_are_those_of_the_tables(
    probability: float, degrees: int, known: float
) -> None:
    assert t_quantile(probability, degrees) == pytest.approx(known, abs=5e-4)
    assert t_cdf(known, degrees) == pytest.approx(probability, abs=1e-4)


def test_centre_is_not_moved_by_one_disturbed_round() -> None:
    quiet = [0.79, 0.80, 0.81, 0.80, 0.80, 0.79, 0.81]
    assert centre([*quiet, 9.0]) == pytest.approx(centre(quiet), abs=0.02)


def _covered(rounds: int, *, disturbed: float, repetitions: int = 150) -> tuple[float, float]:
    """How often the interval holds the true ratio of 0.8, and how wide it is in the mean."""
    source = random.Random(rounds)

    def noisy(true: float) -> float:
        shift = source.choice((0.5, -0.5)) if source.random() < disturbed else 0.0
        return true * math.exp(source.gauss(0, 0.05) + shift)

    hits, width = 0, 0.0
    for repetition in range(repetitions):
        found = ratio([(noisy(0.8), 1.0) for _ in range(rounds)], seed=repetition)
        assert found is not None
        hits += found.low <= 0.8 <= found.high
        width += found.high - found.low
    return hits / repetitions, width / repetitions


@pytest.mark.parametrize("rounds", [3, 5, 8])
def test_interval_holds_the_truth_about_as_often_as_it_says(
    monkeypatch: pytest.MonkeyPatch, rounds: int
) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    coverage, width = _covered(rounds, disturbed=0.0)
    assert coverage >= 0.90
    assert width < 0.35


def test_interval_survives_rounds_that_a_neighbour_disturbed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(statistics, "RESAMPLES", 400)
    coverage, _ = _covered(8, disturbed=0.1)
    assert coverage >= 0.90


def test_more_comparisons_widen_the_interval() -> None:
    pairs = [(0.8 + 0.01 * (i % 5), 1.0) for i in range(12)]
    one, four = ratio(pairs, seed=1), ratio(pairs, seed=1, comparisons=4)
    assert one is not None
    assert four is not None
    assert four.low <= one.low
    assert four.high > one.high


def test_same_seed_same_interval() -> None:
    pairs = [(0.8 + 0.02 * (i % 4), 1.0) for i in range(9)]
    assert ratio(pairs, seed=7) == ratio(pairs, seed=7)


def test_two_rounds_carry_no_interval() -> None:
    assert ratio([(1.0, 2.0)] * 2, seed=0) is None


def test_a_zero_carries_no_ratio() -> None:
    found = ratio([(0.5, 1.0)] * 3 + [(0.0, 1.0)], seed=0)
    assert found == Ratio(pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.5), 3)
