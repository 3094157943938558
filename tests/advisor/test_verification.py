"""When a promise held."""

from __future__ import annotations

import pytest

from advisor.statistics import Ratio
from advisor.verification import verdict


@pytest.mark.parametrize(
    ("measured", "expected"),
    [
        (Ratio(0.60, 0.55, 0.65, 8), "held"),
        (Ratio(0.70, 0.66, 0.74, 8), "held"),  # just the cautious end, and clearly a saving
        (Ratio(0.80, 0.75, 0.85, 8), "not_held"),  # saves, but clearly less than promised
        (Ratio(1.20, 1.10, 1.30, 8), "not_held"),
        (Ratio(0.74, 0.72, 0.76, 8), "cannot_tell"),  # less, but within the resolution of 5 %
        (Ratio(0.65, 0.40, 1.10, 8), "cannot_tell"),  # it may save nothing
        (Ratio(0.75, 0.60, 0.90, 8), "cannot_tell"),
        (None, "cannot_tell"),
    ],
)
def test_verdict_compares_with_the_cautious_end(measured: Ratio | None, expected: str) -> None:
    assert verdict(0.70, measured, 0.05)[0] == expected


def test_a_noisy_host_gets_no_verdict() -> None:
    answer, reason = verdict(0.7, Ratio(0.5, 0.4, 0.6, 8), 0.3)
    assert answer == "cannot_tell"
    assert "noisy" in reason
