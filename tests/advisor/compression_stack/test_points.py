"""Which points of a search go on to be measured."""

from __future__ import annotations

from advisor.compression_stack.points import (
    ORIGINAL,
    SURVIVORS,
    Outcome,
    Point,
    on_front,
    survivors,
)
from tests.advisor.compression_stack.kit import outcome, space


def test_only_stacks_survive_since_parts_are_tried_alone() -> None:
    found = {p: outcome(p) for p in space().points()}
    kept = survivors(found)
    assert kept
    assert all(p.base != ORIGINAL and p.precision != "float" for p in kept)


def test_what_is_surely_beyond_the_limit_does_not_survive() -> None:
    found = {p: outcome(p) for p in space().points()}
    assert found[Point("pruned 3", "static int8")].hopeless
    assert "pruned 3" not in {p.base for p in survivors(found)}


def test_of_each_base_its_cheapest_stack_survives_the_cheapest_first() -> None:
    found = {p: outcome(p) for p in space().points()}
    assert survivors(found) == [Point("pruned 2", "static int8"), Point("pruned 1", "static int8")]


def test_the_safest_stack_survives_where_many_are_cheaper() -> None:
    found = {
        Point(f"pruned {n}", "static int8"): Outcome(1.0 - 0.1 * n, drift=0.001 * n, limit=0.01)
        for n in range(1, 9)
    }
    kept = survivors(found)
    assert len(kept) == SURVIVORS
    assert kept[0].base == "pruned 8"
    assert kept[-1].base == "pruned 1"


def test_the_cheapest_that_is_only_pruned_survives_beside_any_number_of_students() -> None:
    found = {
        Point(f"student {n}", "static int8"): Outcome(0.01 * n, drift=0.001, limit=0.01)
        for n in range(1, 9)
    }
    found[Point("pruned 1", "static int8")] = Outcome(0.6, drift=0.002, limit=0.01)
    found[Point("pruned 2", "static int8")] = Outcome(0.5, drift=0.003, limit=0.01)
    kept = survivors(found)
    assert len(kept) == SURVIVORS
    assert kept[0].base == "student 1"
    assert kept[-1] == Point("pruned 2", "static int8")
    assert [p.answers for p in (kept[0], kept[-1], Point(ORIGINAL))] == ["learnt", "pruned", "own"]


def test_front_holds_what_nothing_beats_in_cost_and_drift() -> None:
    cheap, safe, beaten = (Point(f"pruned {n}") for n in (1, 2, 3))
    found = {
        cheap: Outcome(0.2, 0.02),
        safe: Outcome(0.5, 0.0),
        beaten: Outcome(0.6, 0.01),
        Point("pruned 4"): Outcome(refused="it takes longer"),
    }
    assert on_front(found) == {cheap, safe}
