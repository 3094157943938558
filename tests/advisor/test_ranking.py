"""Verdicts and their order, from scripted trials with known truths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from advisor.budget import Budget
from advisor.marginal import Marginal
from advisor.quality import Quality
from advisor.ranking import (
    Judgement,
    Power,
    Question,
    against_itself,
    judge_all,
    resolution,
)
from advisor.replay import Replay
from advisor.search import Plan, Search
from advisor.statistics import Ratio
from advisor.techniques.base import AS_WRITTEN, Change, Variant
from advisor.trials import cpu_s
from advisor.verdicts import verdict_on
from tests.advisor.kit import ScriptedReplays, search, variant


class Slow(ScriptedReplays):
    """A change makes it take `wall` times the CPU-seconds that it uses."""

    def __init__(self, factors: dict[str, float], wall: float) -> None:
        super().__init__(factors)
        self._wall = wall

    def replay(self, change: Change = AS_WRITTEN, **options: Any) -> Replay:
        found = super().replay(change, **options)
        assert found.wall_s is not None
        return replace(found, wall_s=found.wall_s * self._wall) if change.set else found


class Counted(ScriptedReplays):
    """With energy counters: a change leaves a fifth of ten joules per CPU-second."""

    def replay(self, change: Change = AS_WRITTEN, **options: Any) -> Replay:
        found = super().replay(change, **options)
        assert found.cpu_s is not None
        return replace(found, energy_j=found.cpu_s * (2 if change.set else 10))


def _judged(
    replays: ScriptedReplays,
    variants: Sequence[Variant],
    question: Question | None = None,
    one_thread: str | None = None,
) -> tuple[Search, dict[str, Judgement]]:
    hunt = search(replays, Plan(Budget(1000), rounds=8, seed=2))
    hunt.look()
    hunt.confirm(variants)
    found = judge_all(hunt.trials, variants, variants, question or Question("cpu_s", 1), one_thread)
    return hunt, {j.variant.name: j for j in found}


def test_rank_follows_the_cautious_end() -> None:
    replays = ScriptedReplays({"a": 0.8, "b": 0.5, "c": 0.7})
    _, found = _judged(replays, [variant("a"), variant("b"), variant("c")])
    assert list(found) == ["b", "c", "a"]
    assert {j.verdict for j in found.values()} == {"recommended"}
    highs = [j.main.high for j in found.values() if j.main]
    assert highs == sorted(highs)


def test_a_difference_within_the_noise_is_no_clear_saving() -> None:
    replays = ScriptedReplays({"same": 1.0, "little": 0.98}, noise=0.05)
    _, found = _judged(replays, [variant("same"), variant("little")])
    assert found["same"].verdict == "no clear saving"
    assert found["little"].verdict == "no clear saving"


def test_using_more_is_said() -> None:
    _, found = _judged(ScriptedReplays({"bad": 1.4}), [variant("bad")])
    assert found["bad"].verdict == "costs more"


def test_other_output_is_not_recommended() -> None:
    replays = ScriptedReplays({"wrong": 0.5})
    replays.outputs["wrong"] = "other"
    _, found = _judged(replays, [variant("wrong")])
    assert found["wrong"].verdict == "changes the answers"
    assert "--metric" in found["wrong"].reason


def test_a_noisy_host_gets_no_verdict() -> None:
    hunt, found = _judged(ScriptedReplays({"a": 0.6}, noise=0.5, seed=4), [variant("a")])
    itself = resolution(against_itself(hunt.trials, Question("cpu_s", 1)))
    assert itself is not None
    assert itself > 0.25
    assert found["a"].verdict == "not confirmed"


def test_ratio_to_one_thread_stands_beside_the_ratio_to_the_program() -> None:
    replays = ScriptedReplays({"one thread": 0.5, "more": 0.25})
    _, found = _judged(replays, [variant("one thread"), variant("more")], None, "one thread")
    against = found["more"].versus_one_thread
    assert against is not None
    assert abs(against.value - 0.5) < 0.02
    assert found["one thread"].versus_one_thread is None


def test_a_unit_is_compared_with_one_thread_too_whatever_the_start_costs() -> None:
    replays = Working({"one thread": 0.5, "more": 0.25}, start=3.0, building=0.0)
    _, found = _judged(replays, [variant("one thread"), variant("more")], None, "one thread")
    against = found["more"].unit_versus_one_thread
    assert against is not None
    assert abs(against.value - 0.5) < 0.02
    assert found["one thread"].unit_versus_one_thread is None


def test_energy_is_claimed_only_across_the_band_and_never_for_threads() -> None:
    question = Question("cpu_s", 1, Power(idle_w=5, active_w=5))
    replays = ScriptedReplays({"a": 0.6, "threads": 0.6})
    _, found = _judged(replays, [variant("a"), variant("threads", claim="cpu")], question)
    assert found["a"].saves_energy
    assert not found["threads"].saves_energy
    assert len(found["a"].modelled) == 3
    assert not _judged(replays, [variant("a")])[1]["a"].saves_energy  # no model, no claim


def test_saving_per_run_has_the_ends_of_the_interval() -> None:
    _, found = _judged(ScriptedReplays({"a": 0.6}), [variant("a")])
    judged = found["a"]
    assert judged.saved is not None
    assert judged.main is not None
    value, low, high = judged.saved
    assert low <= value <= high
    assert abs(value - 0.4) < 0.02


def test_saving_that_costs_wall_time_and_so_energy_is_not_recommended() -> None:
    question = Question("cpu_s", 1, Power(idle_w=20, active_w=1))
    _, found = _judged(Slow({"a": 0.8}, wall=4), [variant("a")], question)
    assert found["a"].verdict == "costs more"


def test_energy_is_not_claimed_where_only_a_part_of_the_band_says_so() -> None:
    # At half the active power it takes as much as before, at twice of it a fifth less.
    question = Question("cpu_s", 1, Power(idle_w=5, active_w=5))
    _, found = _judged(Slow({"a": 0.6}, wall=2), [variant("a")], question)
    judged = found["a"]
    assert judged.verdict == "recommended"
    assert judged.modelled[-1].high < 1
    assert not judged.saves_energy


def test_a_sure_difference_below_the_resolution_is_no_clear_saving() -> None:
    same = Quality("identical", "")
    sure = Ratio(0.95, 0.93, 0.97, 8)
    assert verdict_on(sure, (), same, 0.06)[0] == "no clear saving"
    assert verdict_on(sure, (), same, 0.04)[0] == "recommended"


def test_joules_are_compared_where_there_is_a_counter() -> None:
    _, found = _judged(Counted({"a": 1.0}), [variant("a", claim="cpu")], Question("energy_j", 1))
    judged = found["a"]
    assert judged.verdict == "recommended"
    assert judged.main is not None
    assert abs(judged.main.value - 0.2) < 0.02
    assert judged.saves_energy  # a counter said so
    assert judged.saved is not None
    assert abs(judged.saved[0] - 8) < 0.5


class Working(ScriptedReplays):
    """Work of 100 units after a start of two seconds; a change costs `building` s more at first."""

    def __init__(self, factors: dict[str, float], start: float, building: float) -> None:
        super().__init__(factors)
        self._start = start
        self._building = building
        self._built: set[str] = set()

    def replay(self, change: Change = AS_WRITTEN, **options: Any) -> Replay:
        found = super().replay(change, **options)
        assert found.cpu_s is not None
        each = found.cpu_s / 100
        start = 2.0
        for name in change.set:
            start += self._start + (0 if name in self._built else self._building)
            self._built.add(name)
        used = start + 100 * each
        marginal = Marginal("call", 80, each, each)
        return replace(found, cpu_s=used, wall_s=used, marginal=marginal)


def test_what_costs_at_the_start_and_saves_in_each_unit_pays_back_later() -> None:
    change = replace(variant("compile"), pays_later=True)
    replays = Working({"compile": 0.5}, start=1.0, building=20.0)
    _, found = _judged(replays, [change], Question("cpu_s", 1, work=100))
    judged = found["compile"]
    assert judged.main is not None
    assert judged.per_unit is not None
    assert judged.main.low > 1  # 3.5 s instead of 3 s
    assert judged.verdict == "saves per unit"
    assert judged.decided_by == "unit"
    assert abs(judged.per_unit.value - 0.5) < 0.02
    assert judged.saved_per_unit is not None
    assert judged.start is not None
    assert judged.first_start is not None
    assert abs(judged.saved_per_unit - 0.005) < 0.001
    assert abs(judged.start - 1.0) < 0.1
    assert abs(judged.first_start - 21.0) < 0.5
    assert judged.pay_back_units is not None
    assert abs(judged.pay_back_units - 4200) < 250


def test_screening_sees_a_saving_per_unit_that_the_start_hides() -> None:
    hidden = Variant("inside", "inside", Change({"inside": "1"}, switches={"inference_mode": True}))
    hunt = search(Working({"inside": 0.5}, start=1.0, building=0.0), Plan(Budget(1000)))
    hunt.look()
    hunt.screen([hidden, variant("outside")], cpu_s)
    assert hunt.screened(hidden, cpu_s) < 0.6
    assert hunt.screened(variant("outside"), cpu_s) > 1


def test_what_saves_in_a_whole_run_comes_before_what_pays_back_later() -> None:
    later = replace(variant("later"), pays_later=True)

    class Mixed(Working):
        def replay(self, change: Change = AS_WRITTEN, **options: Any) -> Replay:
            self._start = 3.0 if "later" in change.set else 0.0
            return super().replay(change, **options)

    mixed = Mixed({"later": 0.1, "now": 0.5}, start=0.0, building=0.0)
    _, found = _judged(mixed, [later, variant("now")], Question("cpu_s", 1, work=100))
    assert [(name, j.verdict) for name, j in found.items()] == [
        ("now", "recommended"),
        ("later", "saves per unit"),
    ]


class Waiting(ScriptedReplays):
    """The same CPU time; a change leaves a third of the wall time."""

    def replay(self, change: Change = AS_WRITTEN, **options: Any) -> Replay:
        found = super().replay(change, **options)
        assert found.wall_s is not None
        return replace(found, wall_s=found.wall_s * (1 if change.set else 3))


def test_what_saves_waiting_is_recommended_where_the_model_says_it_saves_energy() -> None:
    workers = variant("workers", claim="time")
    power = Power(idle_w=5, active_w=5)
    _, found = _judged(Waiting({"workers": 1.02}), [workers], Question("cpu_s", 1, power))
    assert found["workers"].verdict == "recommended"
    assert found["workers"].decided_by == "time"
    assert found["workers"].saves_energy
    _, unknown = _judged(Waiting({"workers": 1.0}), [workers], Question("cpu_s", 1))
    assert unknown["workers"].verdict == "no clear saving"


def test_a_switch_that_did_not_act_is_no_trial_of_it() -> None:
    class Refusing(ScriptedReplays):
        def replay(self, change: Change = AS_WRITTEN, **options: Any) -> Replay:
            found = super().replay(change, **options)
            return replace(found, state="not applied", why="compile: no compiler")

    class OnlyChanged(Refusing):
        def replay(self, change: Change = AS_WRITTEN, **options: Any) -> Replay:
            if not change.switches:
                return ScriptedReplays.replay(self, change, **options)
            return super().replay(change, **options)

    compiled = Variant("compile", "compile", Change(switches={"compile": True}))
    hunt = search(OnlyChanged({}), Plan(Budget(1000)))
    hunt.look()
    assert hunt.try_out([compiled, variant("other")]) == [variant("other")]
    (found,) = judge_all(hunt.trials, [compiled], [], Question("cpu_s", 1), None)
    assert (found.verdict, found.reason) == ("not applied", "compile: no compiler")
