"""What is built and tried first, and what is left out where time is short."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import pytest

from advisor.candidates import NO_TIME_TO_BUILD, candidates, in_order
from advisor.techniques.base import Applicability, Change, Facts, Technique, Variant
from advisor.workshop import Workshop


def swap(name: str, cost: float | None, *, lossy: bool = True) -> Variant:
    return Variant(name, name, Change(), cost=cost, lossy=lossy)


def test_the_cheapest_that_loses_nothing_goes_first_and_then_what_costs_least() -> None:
    entrants = [
        swap("threads", None, lossy=False),
        swap("full", 0.9, lossy=False),
        swap("full, 2 threads", 0.9, lossy=False),
        swap("weights", 0.8),
        swap("un-padding", None, lossy=False),
        swap("dynamic", 0.5),
    ]
    assert [v.name for v in in_order(entrants)] == [
        *("threads", "full", "dynamic", "weights", "un-padding", "full, 2 threads")
    ]


def test_without_a_cost_everything_stays_where_it_is() -> None:
    entrants = [swap("b", None), swap("a", None)]
    assert in_order(entrants) == entrants
    assert [v.name for v in in_order([swap("b", 0.7), swap("a", 0.6)])] == ["a", "b"]


@dataclass
class Built:
    """A technique whose building is counted."""

    name: str
    count: int = 0

    def applies(self, facts: Facts) -> Applicability:
        del facts
        return Applicability(True, "yes")

    def variants(self, facts: Facts) -> tuple[Variant, ...]:
        del facts
        return (swap(self.name, None),)

    def prepare(self, variant: Variant, workshop: Workshop) -> Variant:
        del workshop
        self.count += 1
        return variant


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> list[Built]:
    found = [Built("first"), Built("second")]
    techniques = cast("tuple[Technique, ...]", tuple(found))
    monkeypatch.setattr("advisor.candidates.techniques", lambda **_: techniques)
    return found


def built(both: list[Built], facts: Facts) -> tuple[list[str], dict[str, Applicability]]:
    class Bench:
        interrupted = False

    bench: Any = Bench()
    variants, answers = candidates(facts, bench=bench, is_late=lambda: both[0].count > 0)
    return [v.name for v in variants], {a.technique: a.applicability for a in answers}


def test_whoever_waits_hears_of_the_first_replacement_that_loses_nothing(
    both: list[Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    replacing = Change(switches={"replace": {"factory": "file.py:make"}})
    ready = Variant("ready", "ready", replacing)
    monkeypatch.setattr(Built, "variants", lambda *_: (replace(ready, lossy=both[0].count == 0),))
    heard: list[tuple[Variant, int]] = []

    class Bench:
        interrupted = False

    bench: Any = Bench()
    facts = Facts({}, 1, 1)
    candidates(facts, bench=bench, first=lambda variant: heard.append((variant, both[1].count)))
    assert heard == [(ready, 1)]  # the first one was lossy
    candidates(facts, bench=bench, first=lambda variant: heard.append((variant, both[1].count)))
    assert heard[1:] == [(ready, 1)]  # before the second one was built again


def test_what_there_is_no_time_to_build_is_named(both: list[Built]) -> None:
    names, answers = built(both, Facts({}, 1, 1))
    assert names == ["first"]
    assert both[1].count == 0
    assert answers["second"] == NO_TIME_TO_BUILD


def test_what_the_user_insists_on_is_built_late_too(both: list[Built]) -> None:
    names, answers = built(both, Facts({}, 1, 1, included=frozenset({"second"})))
    assert names == ["second", "first"]
    assert answers["second"].yes
