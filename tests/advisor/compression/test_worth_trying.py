"""Which accepted steps are tried: the boldest, and some that leave the judges more room."""

from __future__ import annotations

import pytest

from advisor.compression.building import Step, worth_trying


@pytest.mark.parametrize(
    ("drifts", "names"),
    [
        ([0.012, 0.008, 0.005, 0.004, 0.0, 0.0], "0 2 4"),
        ([0.01, 0.009, 0.008], "0 1 2"),  # none drifts far less: the next ones
        ([0.0, 0.0, 0.0, 0.0], "0 1 2"),
        ([0.01], "0"),
        ([], ""),
    ],
)
def test_each_drifts_half_as_far_as_the_one_before(drifts: list[float], names: str) -> None:
    steps = [Step(str(n), "", {"drift": {"value": each}}) for n, each in enumerate(drifts)]
    assert " ".join(step.name for step in worth_trying(steps, 3)) == names
