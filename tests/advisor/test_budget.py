"""`--budget`: time, energy, or both; and what is said that is neither."""

from __future__ import annotations

import math

import pytest

from advisor.budget import Budget, parse_budget
from frugalwatch.errors import UsageError


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("600", Budget(600)),
        ("90s", Budget(90)),
        ("10min", Budget(600)),
        ("1.5 h", Budget(5400)),
        ("5Wh", Budget(None, 18_000)),
        ("300J", Budget(None, 300)),
        ("10min,5Wh", Budget(600, 18_000)),
    ],
)
def test_a_budget_is_read_as_a_person_writes_it(text: str, found: Budget) -> None:
    assert parse_budget(text) == found
    assert parse_budget(str(found)) == found


@pytest.mark.parametrize("text", ["", "soon", "0", "-5min", "5 apples", "1min,2min", "5Wh,3J"])
def test_what_is_no_budget_is_refused_with_examples(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_budget(text)
    assert "10min" in str(caught.value.hint)


def test_energy_becomes_time_by_the_power_that_was_seen() -> None:
    assert Budget(None, 300).in_seconds(30.0) == 10
    assert Budget(5, 300).in_seconds(30.0) == 5
    assert Budget(None, 300).in_seconds(None) == math.inf
