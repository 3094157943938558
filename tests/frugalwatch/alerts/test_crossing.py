"""When a threshold counts as crossed: once, until the figure has clearly come back."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from frugalwatch.alerts.crossing import MOST, PAUSE_S, Crossing


def changes(crossing: Crossing, *values: float, every_s: float = 100.0) -> list[str | None]:
    return [crossing.look(value, n * every_s) for n, value in enumerate(values)]


def test_a_crossing_is_told_once_and_again_only_after_it_came_back_by_a_tenth() -> None:
    crossing = Crossing(100.0, above=True)
    told = changes(crossing, 99, 101, 150, 95, 120, 89, 95, 101)
    assert told == [None, "crossed", None, None, None, "back", None, "crossed"]


def test_below_works_the_other_way_round() -> None:
    crossing = Crossing(0.9, above=False)
    assert changes(crossing, 0.95, 0.85, 0.95, 1.0, 0.8) == [
        None,
        "crossed",
        None,
        "back",
        "crossed",
    ]


def test_a_negative_threshold_comes_back_on_its_own_side() -> None:
    crossing = Crossing(-10.0, above=True)
    assert changes(crossing, -11, -9, -10.5, -11.5, -9) == [
        *(None, "crossed", None, "back", "crossed"),
    ]


def test_state_goes_on_in_another_process() -> None:
    first, second = Crossing(1.0, above=True), Crossing(1.0, above=True)
    assert first.look(2.0, 5.0) == "crossed"
    second.resume(first.state())
    assert second.look(2.0, 500.0) is None
    assert second.look(0.5, 501.0) == "back"


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0.0, 30.0)), max_size=300),
    st.booleans(),
)
def test_whatever_a_figure_does_nobody_is_flooded(
    looks: list[tuple[float, float]], above: bool
) -> None:
    crossing = Crossing(100.0, above=above)
    now_s, told, beyond = 0.0, [], False
    for value, pause_s in looks:
        now_s += pause_s
        change = crossing.look(value, now_s)
        if change in ("crossed", "last"):
            assert not beyond
            told.append(now_s)
        if change is not None:
            beyond = change != "back"
    assert len(told) <= MOST
    assert all(b - a >= PAUSE_S for a, b in pairwise(told))


def test_the_last_time_is_said_to_be_the_last() -> None:
    crossing = Crossing(1.0, above=True)
    values = [2.0, 0.0] * (MOST + 5)
    told = [change for change in changes(crossing, *values) if change and change != "back"]
    assert told == ["crossed"] * (MOST - 1) + ["last"]
