"""Screening, halving, confirmation, budgets: on a scripted workload with known answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from advisor.budget import Budget
from advisor.search import FINALISTS, Plan
from advisor.stacking import by_promise, combinations, least_missed
from advisor.techniques.base import Change, Variant
from advisor.trials import AGAIN, BASE, Trial, cpu_s
from tests.advisor.kit import ScriptedReplays, search, variant


def test_halving_keeps_the_best_and_spends_less_on_the_rest() -> None:
    factors = {f"v{i}": 0.5 + 0.1 * i for i in range(10)}
    replays = ScriptedReplays(factors)
    hunt = search(replays)
    hunt.look()
    finalists = hunt.screen([variant(name) for name in factors], cpu_s)
    assert [v.name for v in finalists] == ["v0", "v1", "v2"]
    assert len(finalists) == FINALISTS
    assert len(hunt.trials.of("v9")) < len(hunt.trials.of("v0"))


def test_a_variant_that_fails_is_run_no_more() -> None:
    replays = ScriptedReplays({"good": 0.5, "bad": 0.1})
    replays.states["bad"] = "failed"
    hunt = search(replays)
    hunt.look()
    assert [v.name for v in hunt.screen([variant("bad"), variant("good")], cpu_s)] == ["good"]
    assert len(hunt.trials.of("bad")) == 1


def test_a_replay_that_could_not_be_measured_is_a_gap_and_not_a_failure() -> None:
    replays = ScriptedReplays({"blind": 0.5})
    replays.states["blind"] = "unmeasured"
    hunt = search(replays, Plan(Budget(1000), rounds=3))
    hunt.look()
    hunt.confirm([variant("blind")])
    assert len(hunt.trials.of("blind", "confirmation")) == 3
    assert hunt.trials.pairs("blind", [BASE.name], cpu_s, "confirmation") == []


def test_each_round_has_every_variant_once_and_the_program_twice_in_changing_order() -> None:
    hunt = search(ScriptedReplays({"a": 0.5, "b": 0.6}), Plan(Budget(1000), rounds=6))
    hunt.look()
    hunt.confirm([variant("a"), variant("b")])
    orders = []
    for number in range(6):
        names = [
            t.variant for t in hunt.trials.all if (t.stage, t.round) == ("confirmation", number)
        ]
        assert sorted(names) == sorted(["a", "b", BASE.name, AGAIN.name])
        orders.append(tuple(names))
    assert len(set(orders)) > 1


def test_confirmation_sees_nothing_of_the_screening() -> None:
    hunt = search(ScriptedReplays({"a": 0.5}), Plan(Budget(1000), rounds=4))
    hunt.look()
    hunt.screen([variant("a")], cpu_s)
    hunt.confirm([variant("a")])
    assert len(hunt.trials.pairs("a", [BASE.name], cpu_s, "confirmation")) == 4
    assert len(hunt.trials.pairs("a", [BASE.name], cpu_s, "screening")) == 2


def test_time_budget_ends_the_confirmation_but_not_below_three_rounds() -> None:
    hunt = search(ScriptedReplays({"a": 0.5}), Plan(Budget(10)))
    hunt.look()
    hunt.confirm([variant("a")])
    assert 3 <= hunt.trials.rounds("confirmation") < 8
    assert hunt.out_of_time


def test_too_little_time_confirms_the_best_only() -> None:
    hunt = search(ScriptedReplays({"a": 0.5, "b": 0.6, "c": 0.7}), Plan(Budget(10)))
    hunt.look()
    hunt.confirm([variant("a"), variant("b"), variant("c")])
    assert hunt.trials.of("a", "confirmation")
    assert not hunt.trials.of("c", "confirmation")


def inside(name: str) -> Variant:
    return Variant(name, "test", Change(switches={"eval": name}))


def test_what_there_is_no_time_to_confirm_goes_untried_and_threads_stay() -> None:
    around = [variant("one thread"), variant("no spinning")]
    swaps = [inside(name) for name in ("s1", "s2", "s3", "s4", "s5")]
    wide = search(ScriptedReplays({}), Plan(Budget(10_000)))
    wide.look()
    wide.screen([*around, *swaps], cpu_s)
    assert wide.untried == []
    narrow = search(ScriptedReplays({}), Plan(Budget(23.5)))
    narrow.look()
    narrow.screen([*around, *swaps], cpu_s)
    assert narrow.untried == ["s5", "s4"]


def test_interrupt_keeps_what_is_finished_and_records_each_trial() -> None:
    replays = ScriptedReplays({"a": 0.5})
    replays.interrupt_at = 15
    kept: list[Trial] = []
    hunt = search(replays, Plan(Budget(1000), rounds=8), kept.append)
    hunt.look()
    hunt.confirm([variant("a")])
    assert hunt.interrupted
    assert len(kept) == 14
    assert hunt.trials.rounds("confirmation") >= 4


def test_interrupt_of_the_first_look_is_passed_on() -> None:
    replays = ScriptedReplays({})
    replays.interrupt_at = 1
    with pytest.raises(KeyboardInterrupt):
        search(replays).look()


def test_best_of_each_technique_is_stacked_and_measured_second() -> None:
    a, b, other = variant("a", "x", "cpu"), variant("b", "y"), variant("c", "x")
    stacked = combinations([a, other, b])
    assert [v.name for v in stacked] == ["a + b"]
    assert stacked[0].change.set == {"a": "1", "b": "1"}
    assert stacked[0].claim == "cpu"  # one part of it claims no more
    assert [v.name for v in by_promise([a, other, b])] == ["a", "a + b", "c", "b"]
    assert combinations([a, other]) == []


def test_too_little_time_keeps_the_second_yardstick() -> None:
    first, reference = variant("a"), variant("one thread")
    hunt = search(ScriptedReplays({"a": 0.5}), Plan(Budget(5)))
    hunt.look()
    hunt.yardstick = reference
    hunt.confirm([first, variant("b"), reference])
    assert hunt.trials.of("one thread", "confirmation")
    assert not hunt.trials.of("b", "confirmation")


def test_beside_a_lossy_best_the_first_lossless_is_missed_most() -> None:
    best, again, slow = (replace(variant(name), lossy=True) for name in ("best", "again", "slow"))
    first, second, reference = variant("first"), variant("second"), variant("one thread")
    kept = [best, again, first, second, slow, reference]
    gone = []
    while (going := least_missed(kept, reference)) is not None:
        kept.remove(going)
        gone.append(going)
    assert gone == [slow, second, again, first]
    assert kept == [best, reference]
    assert least_missed([first, best, again], None) == again  # the best loses nothing: by rank


def test_what_there_is_no_time_to_try_is_named_and_the_first_is_always_tried() -> None:
    inside = [Variant(f"v{n}", f"v{n}", Change({}, (), {"threads": n})) for n in range(1, 6)]
    hunt = search(ScriptedReplays({}, noise=0.0), Plan(Budget(12)))
    hunt.look()
    assert [v.name for v in hunt.try_out(inside, 0.35)] == ["v1", "v2"]
    assert hunt.untried == ["v3", "v4", "v5"]
    late = search(ScriptedReplays({}, noise=0.0), Plan(Budget(1)))
    late.look()
    assert [v.name for v in late.try_out(inside, 0.35)] == ["v1"]


@pytest.mark.parametrize(("noise", "least", "most"), [(0.001, 8, 8), (0.2, 9, 20)])
def test_there_are_more_rounds_where_eight_tell_little_and_there_is_time(
    noise: float, least: int, most: int
) -> None:
    hunt = search(ScriptedReplays({"a": 0.5}, noise=noise), Plan(Budget(1000)))
    hunt.look()
    hunt.confirm([variant("a")])
    assert least <= hunt.trials.rounds("confirmation") <= most
    assert not hunt.out_of_time
