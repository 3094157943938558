"""Replays of a long program end early where the budget has no room for whole ones."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.budget import Budget
from advisor.inside import Inside, Root
from advisor.marginal import Marginal
from advisor.replay import Replay
from advisor.search import Plan, Search
from advisor.shortening import fitting, shortened
from advisor.stopping import Stop
from advisor.techniques.base import Change, Variant
from tests.advisor.kit import ScriptedReplays, variant

ROOT = Root("Model", {"evaluation no_grad": 500})
INSIDE = Inside(roots=(ROOT,), unit="call", units=500)
EACH = Marginal("call", 400, cpu_s=0.06, wall_s=0.05)


def whole(wall_s: float = 28.0, each: Marginal | None = EACH) -> Replay:
    replay = ScriptedReplays({}).replay()
    return replace(replay, wall_s=wall_s, marginal=each)


@pytest.mark.parametrize(
    ("left_s", "expected"),
    [
        (120.0, Stop(80, "call")),  # 4 s of calls are the least
        (400.0, Stop(100, "call")),  # 400 s / 50, less the start of 3 s
        (3600.0, None),  # whole ones fit
    ],
)
def test_as_many_calls_as_fit_into_the_time_that_is_left(
    left_s: float, expected: Stop | None
) -> None:
    assert fitting(whole(), INSIDE, left_s) == expected


def test_there_are_never_fewer_calls_than_tell_what_one_costs() -> None:
    slow = replace(EACH, wall_s=0.5)
    assert fitting(whole(255.0, slow), INSIDE, 120.0) == Stop(40, "call")


@pytest.mark.parametrize(
    "inside",
    [
        replace(INSIDE, learns=True),
        replace(INSIDE, unit="step"),
        replace(INSIDE, roots=(ROOT, ROOT)),  # the first calls are all of one of them
        replace(INSIDE, units=100),
    ],
)
def test_other_programs_are_replayed_whole(inside: Inside) -> None:
    assert fitting(whole(), inside, 120.0) is None


def test_so_are_those_that_take_their_time_elsewhere_or_that_nobody_could_time() -> None:
    assert fitting(whole(wall_s=60.0), INSIDE, 120.0) is None
    assert fitting(whole(each=None), INSIDE, 120.0) is None


class Long(ScriptedReplays):
    """A program whose calls cost `part` times as much where it is ended early."""

    def __init__(self, part: float) -> None:
        super().__init__({})
        self.part = part
        self.stops: list[Stop | None] = []
        self.inside: Inside | None = INSIDE
        self.threads_peak: int | None = 2
        self.libraries: frozenset[str] | None = None

    def replay(self, *args: object, stop: Stop | None = None, **words: object) -> Replay:
        self.stops.append(stop)
        found = super().replay(*args, **words)  # type: ignore[arg-type]
        if stop is None:
            return replace(found, wall_s=28.0, marginal=EACH)
        self.inside = replace(INSIDE, units=stop.after)
        self.threads_peak = 1
        short = replace(EACH, units=60, wall_s=EACH.wall_s * self.part)
        return replace(found, wall_s=7.0, marginal=short)


def search_of(replays: Long) -> Search:
    return Search(
        replays,
        Plan(Budget(120.0)),
        record=lambda _: None,
        tell=lambda _: None,
        clock_s=lambda: replays.now_s,
    )


def test_further_replays_end_there_and_are_compared_with_a_look_at_such_a_one() -> None:
    replays = Long(part=1.1)
    search = search_of(replays)
    stop = shortened(search, replays, search.look(), {})  # type: ignore[arg-type]
    assert stop is not None
    assert search.stop == stop
    assert replays.inside is not None
    assert replays.inside.units == stop.after
    assert replays.threads_peak == 2, "of the whole program"
    assert [t.stage for t in search.trials.all] == ["probe", "probe"]
    search.confirm([])
    search.try_out([])
    assert replays.stops == [None, stop]


def test_then_changes_around_the_program_are_looked_at_too() -> None:
    replays = Long(part=1.0)
    search = search_of(replays)
    around = variant("one thread")
    assert search.try_out([around]) == [around]
    assert len(replays.stops) == 0
    shortened(search, replays, search.look(), {})  # type: ignore[arg-type]
    assert search.try_out([around]) == [around]
    assert len(search.trials.of("one thread", "probe")) == 1


def test_what_is_lossy_shows_itself_on_the_whole_program() -> None:
    """The first calls are too few to judge by."""
    replays = Long(part=1.0)
    search = search_of(replays)
    shortened(search, replays, search.look(), {})  # type: ignore[arg-type]
    swaps = [
        Variant(name, name, Change(switches={"eval": name}), lossy=name == "int8")
        for name in ("int8", "float32")
    ]
    assert search.try_out(swaps) == swaps
    again = search.stop
    assert replays.stops == [None, again, again, None, again]
    assert again is not None


def test_where_the_first_calls_are_of_another_kind_replays_stay_whole() -> None:
    replays = Long(part=0.5)
    search = search_of(replays)
    first = search.look()
    assert shortened(search, replays, first, {}) is None  # type: ignore[arg-type]
    assert search.stop is None
    assert replays.inside == INSIDE
    assert replays.threads_peak == 2
    # Nothing is compared with the short looks, but they have cost something.
    assert [t.round for t in search.trials.of("as written")] == [0]
    assert len(search.trials.all) == 3


def test_one_look_that_something_else_disturbed_is_taken_again() -> None:
    replays = Long(part=1.4)
    search = search_of(replays)
    first = search.look()
    quiet = replays.replay

    def replay(*args: object, stop: Stop | None = None, **words: object) -> Replay:
        found = quiet(*args, stop=stop, **words)
        replays.part = 1.0
        return found

    replays.replay = replay  # type: ignore[method-assign]
    stop = shortened(search, replays, first, {})  # type: ignore[arg-type]
    assert stop is not None
    assert replays.stops == [None, stop, stop]


def test_an_advice_that_goes_on_ends_its_replays_where_it_did_before() -> None:
    replays = Long(part=1.0)
    search = search_of(replays)
    found = shortened(search, replays, search.look(), {"shortened": "91call"})  # type: ignore[arg-type]
    assert found == Stop(91, "call")
    assert replays.stops == [None, found]
