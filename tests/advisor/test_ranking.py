"""Verdicts and their order, from scripted trials with known truths."""

from __future__ import annotations

from collections.abc import Sequence

from advisor.ranking import Judgement, Power, Question, against_itself, judge_all, resolution
from advisor.search import Plan, Search
from advisor.techniques.base import Variant
from tests.advisor.kit import ScriptedReplays, search, variant


def _judged(
    replays: ScriptedReplays,
    variants: Sequence[Variant],
    question: Question | None = None,
    one_thread: str | None = None,
) -> tuple[Search, dict[str, Judgement]]:
    hunt = search(replays, Plan(1000, rounds=8, seed=2))
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
    class Slow(ScriptedReplays):
        def replay(self, change=..., **options):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            found = super().replay(change, **options)
            return replace(found, wall_s=found.wall_s * 4) if change.set else found

    question = Question("cpu_s", 1, Power(idle_w=20, active_w=1))
    _, found = _judged(Slow({"a": 0.8}), [variant("a")], question)
    assert found["a"].verdict == "costs more"
