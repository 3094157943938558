"""Where there is no time for screening rounds, one look at each variant chooses."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.budget import Budget
from advisor.looks import by_looks, passed_over, useless_stacks
from advisor.search import Plan
from advisor.stacking import COMBINATION
from advisor.stopping import Stop
from advisor.techniques.base import Change, Variant
from advisor.trials import cpu_s
from tests.advisor.kit import ScriptedReplays, search, variant


def swap(name: str, *, lossy: bool = False) -> Variant:
    """What runs the model in place of the program's module."""
    told = {"factory": f"{name}/load.py:make"}
    return Variant(name, name, Change({name: "1"}, (), {"replace": told}), lossy=lossy, cost=1.0)


SWAPS = [swap("ort"), swap("aot"), swap("int8", lossy=True), swap("int4", lossy=True)]


def test_what_costs_more_and_what_another_does_far_better_is_passed_over() -> None:
    ratios: dict[str, float | None] = {
        "ort": 0.44,
        "aot": 0.75,
        "int8": 0.30,
        "int4": 0.42,
        "threads": 0.66,
        "autocast": 1.8,
        "unseen": None,
    }
    others = [variant("threads"), variant("autocast"), variant("unseen")]
    found = passed_over([*SWAPS, *others], ratios)
    assert found == {
        "aot": "in one look it cost 1.70 times as much as ort",  # int8 is no rival: it loses some
        "int4": "in one look it cost 1.40 times as much as int8",
        "autocast": "in one look it cost 1.80 times as much as the program as written",
    }
    assert "aot" not in passed_over(SWAPS, ratios, insisted={"aot"})


def test_a_student_does_not_speak_against_what_has_the_programs_own_weights() -> None:
    student = replace(SWAPS[2], name="student", answers="learnt")
    pruned = replace(SWAPS[2], name="pruned", answers="pruned")
    int8 = SWAPS[2]
    assert not passed_over([student, pruned, int8], {"student": 0.01, "pruned": 0.05, "int8": 0.1})
    found = passed_over([student, pruned, int8], {"student": 0.2, "pruned": 0.15, "int8": 0.1})
    assert set(found) == {"student", "pruned"}


def test_between_looks_that_are_alike_the_cost_that_was_seen_decides() -> None:
    """Looks are off by a tenth now and then; costs were taken over rounds."""
    bold = replace(SWAPS[2], name="bold", cost=0.03)
    careful = replace(SWAPS[2], name="careful", cost=0.08)
    unseen = replace(SWAPS[2], name="unseen", cost=None)
    far = replace(SWAPS[2], name="far", cost=0.01)
    other = replace(SWAPS[0], name="other", cost=0.02)  # of another kind: it loses nothing
    entrants = [careful, bold, unseen, far, other, variant("threads"), variant("never")]
    ratios: dict[str, float | None] = {
        "careful": 0.040,
        "bold": 0.045,
        "unseen": 0.042,
        "far": 0.060,
        "other": 0.200,
        "threads": 0.041,
        "never": None,
    }
    found = [v.name for v in by_looks(entrants, ratios)]
    assert found == ["bold", "careful", "threads", "unseen", "far", "other", "never"]


def test_a_stack_that_saves_no_more_than_its_best_part_is_passed_over() -> None:
    both = replace(variant("ort + threads"), technique=COMBINATION)
    parts = [swap("ort"), variant("threads")]
    assert useless_stacks([*parts, both], {"ort": 0.44, "threads": 0.7, both.name: 0.435})
    assert not useless_stacks([*parts, both], {"ort": 0.44, "threads": 0.7, both.name: 0.40})
    assert not useless_stacks([*parts, both], {"ort": 0.44, "threads": 0.7, both.name: None})


@pytest.mark.parametrize("early", [False, True])
def test_a_look_is_compared_with_one_that_did_as_much(early: bool) -> None:
    replays = ScriptedReplays({"ort": 0.5}, noise=0.0)
    hunt = search(replays)
    hunt.look()
    if early:
        replays.factors["ort"] = 0.25  # and half of the work
        hunt.stop = Stop(10, "call")
    hunt.try_out([swap("ort")])
    assert hunt.looked(swap("ort"), cpu_s) == pytest.approx(0.25 if early else 0.5)
    assert hunt.looked(swap("other"), cpu_s) is None


def test_with_little_time_looks_choose_and_say_why_the_others_are_out() -> None:
    factors = {"ort": 0.44, "aot": 0.75, "int8": 0.3, "int4": 0.42, "threads": 0.7, "more": 1.2}
    entrants = [*SWAPS, variant("threads"), variant("more")]
    hunt = search(ScriptedReplays(factors), Plan(Budget(30)))
    hunt.look()
    working = hunt.try_out(entrants)
    assert {v.name for v in working} == set(factors)
    finalists = hunt.screen(working, cpu_s)
    assert [v.name for v in finalists] == ["int8", "ort", "threads"]
    assert set(hunt.passed_over) == {"aot", "int4", "more"}
    assert not hunt.trials.of("ort", "screening")
    assert hunt.screened(swap("ort"), cpu_s) == pytest.approx(0.44, rel=0.1)


def test_with_enough_time_rounds_choose() -> None:
    hunt = search(ScriptedReplays({"ort": 0.5, "aot": 0.75}), Plan(Budget(1000)))
    hunt.look()
    around = variant("threads")
    working = hunt.try_out([swap("ort"), swap("aot"), around])
    assert not hunt.trials.of("threads", "probe"), "rounds tell more"
    hunt.screen(working, cpu_s)
    assert hunt.passed_over == {}
    assert hunt.trials.of("aot", "screening")


def test_without_looks_at_all_of_them_there_are_rounds() -> None:
    """Around a program without torch nothing is looked at."""
    hunt = search(ScriptedReplays({"a": 0.5}), Plan(Budget(5)))
    hunt.look()
    entrants = [variant("a"), variant("b")]
    assert hunt.try_out(entrants) == entrants
    assert [v.name for v in hunt.screen(entrants, cpu_s)] == ["a", "b"]
    assert hunt.trials.of("a", "screening")


def test_what_was_not_looked_at_goes_untried_where_looks_choose() -> None:
    hunt = search(ScriptedReplays({"ort": 0.5, "threads": 0.7}, noise=0.0), Plan(Budget(10)))
    hunt.look()
    entrants = [swap("ort"), variant("threads"), variant("spinning")]
    assert hunt.try_out(entrants, 0.4) == entrants
    assert [v.name for v in hunt.screen(entrants, cpu_s)] == ["ort", "threads"]
    assert hunt.untried == ["spinning"]
    assert not hunt.trials.of("threads", "screening")


def test_with_little_time_the_best_stack_is_confirmed_first() -> None:
    both = Variant("ort + threads", COMBINATION, Change({"ort": "1", "threads": "1"}))
    hunt = search(ScriptedReplays({"ort": 0.5, "threads": 0.7}, noise=0.0), Plan(Budget(10)))
    hunt.look()
    hunt.try_out([swap("ort"), variant("threads"), both])
    assert [v.name for v in hunt.stacks([swap("ort"), both, variant("threads")], cpu_s)] == [
        *("ort + threads", "ort", "threads")
    ]
