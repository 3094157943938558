"""What is said of how an advice was found."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from advisor.budget import Budget
from advisor.inside import Inside
from advisor.notes import long_replays
from advisor.options import Options
from advisor.replay import Isolation
from advisor.search import Plan, Search
from advisor.stopping import Stop
from tests.advisor.kit import ScriptedReplays, search


def late_search() -> Search:
    found = search(ScriptedReplays({}, noise=0.0), Plan(Budget(1)))
    found.untried.append("static int8")
    return found


@pytest.mark.parametrize(
    ("inside", "options", "expected"),
    [
        ({"unit": "call", "units": 20_000}, {}, "--stop-after 700call"),
        ({"unit": "step", "units": 400, "learns": True}, {}, "--stop-after 50step"),
        ({"unit": "call", "units": 900}, {}, None),
        ({"unit": "call", "units": 20_000}, {"stop": Stop(700, "call")}, None),
    ],
)
def test_long_replays_are_told_how_to_be_shorter_where_time_was_short(
    inside: Mapping[str, object], options: Mapping[str, object], expected: str | None
) -> None:
    asked = Options(Plan(Budget(1)), Isolation(), **options)  # type: ignore[arg-type]
    found = long_replays(late_search(), Inside(**inside), asked)  # type: ignore[arg-type]
    assert len(found) == (expected is not None)
    assert expected is None or expected in found[0]


def test_nothing_is_said_where_there_was_time_for_all() -> None:
    calm = search(ScriptedReplays({}, noise=0.0), Plan(Budget(1)))
    asked = Options(Plan(Budget(1)), Isolation())
    assert long_replays(calm, Inside(unit="call", units=20_000), asked) == []
