"""What is asked of the hook, and what its marks come to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.inside import Inside, Root
from advisor.marks import Stretch, asked, between

INSIDE = Inside(roots=(Root("Net", {"evaluation no_grad": 719}),), unit="call", units=719)
FIRST, LAST = "mark: 144 call at 1000 ns, 5000000 ns of CPU", "mark: 719 call at 9000 ns, "
LAST += "25000000 ns of CPU"


def test_marks_are_made_after_a_fifth_and_at_the_last() -> None:
    assert asked(INSIDE) == {"unit": "call", "at": [144, 719]}


@pytest.mark.parametrize(
    "inside", [None, replace(INSIDE, unit="step"), replace(INSIDE, units=3), Inside()]
)
def test_nothing_is_asked_where_units_are_few_or_many_processes_do_them(
    inside: Inside | None,
) -> None:
    assert asked(inside) is None


def test_the_stretch_is_what_lies_between_them() -> None:
    found = Stretch(units=575, cpu_ns=20_000_000, begin_ns=1000, end_ns=9000)
    assert between([FIRST, "switch eval: applied (Net)", LAST], "call") == found
    assert between([LAST, FIRST], "call") == found


@pytest.mark.parametrize(
    "notes",
    [
        [],
        [FIRST],
        [FIRST, LAST, LAST],  # two processes
        [FIRST, f"{LAST}, with children"],
        [FIRST, LAST.replace("25000000", "5100000")],  # 0.1 ms
        [FIRST, LAST.replace("719", "146")],
    ],
)
def test_what_is_missing_or_says_too_little_is_no_stretch(notes: list[str]) -> None:
    assert between(notes, "call") is None
    assert between([FIRST, LAST], "request") is None
