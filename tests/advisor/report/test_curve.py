"""What a report says of a search of combinations, and where it says to stop."""

from __future__ import annotations

from typing import Any

from advisor.report.curve import curve


def point(name: str, cost: float, drift: float, **more: object) -> dict[str, Any]:
    return {
        "name": name,
        "cost_ratio": cost,
        "drift": drift,
        "limit": 0.01,
        "hopeless": False,
        "refused": "",
        "on_front": True,
        "measured": False,
        **more,
    }


def document(recommended: list[str], rejected: list[str]) -> dict[str, Any]:
    points = [
        point("pruned 3 + static int8", 0.05, 0.04, hopeless=True),
        point("pruned 2 + static int8", 0.1, 0.008, measured=True),
        point("pruned 1 + static int8", 0.2, 0.002, measured=True),
        point("pruned 1 + dynamic int8", 1.0, 0.0, refused="it takes longer"),
        point("the original", 1.0, 0.0),
        point("pruned 1", 0.6, 0.004, on_front=False),
    ]
    return {
        "advice": "A7",
        "compression": {"points": points, "space": 9, "stopped": "its time was up", "seed": 0},
        "recommendations": [
            {"name": name, "number": n + 1, "verdict": "recommended"}
            for n, name in enumerate(recommended)
        ],
        "not_recommended": [{"name": n, "verdict": "changes the answers"} for n in rejected],
    }


def test_curve_stops_at_the_cheapest_that_was_measured_within_the_limit() -> None:
    found = curve(document(["pruned 1 + static int8"], ["pruned 2 + static int8"]))
    assert found is not None
    assert "Where to stop: pruned 1 + static int8" in found.lead[-1]
    standing = {row.name: row.standing for row in found.rows}
    assert standing["pruned 1 + static int8"] == "A7.1: recommended"
    assert standing["pruned 2 + static int8"] == "changes the answers"
    assert standing["pruned 3 + static int8"] == "surely beyond the limit"


def test_curve_shows_the_front_from_the_dearest_to_the_cheapest() -> None:
    found = curve(document([], []))
    assert found is not None
    names = [row.name for row in found.rows]
    assert names[0] == "the original"
    assert names[-1] == "pruned 3 + static int8"
    assert "pruned 1" not in names
    assert found.rows[-1].cost == "-95 % (20x less)"


def test_curve_without_a_confirmed_stack_promises_nothing() -> None:
    found = curve(document([], []))
    assert found is not None
    assert "do not confirm" in found.lead[-1]


def test_no_search_no_curve() -> None:
    assert curve({"compression": None}) is None
    assert curve({}) is None
