"""A search that goes on, one that has a budget of energy, and what is told meanwhile."""

from __future__ import annotations

from advisor.budget import Budget
from advisor.search import Plan, Search
from advisor.standing import Standing
from advisor.trials import Trial, cpu_s
from tests.advisor.kit import ScriptedReplays, search, variant


def test_a_search_goes_on_with_whole_rounds_and_runs_a_cut_one_anew() -> None:
    """Cut in its fifth confirming round: four are taken as they are, the rest is replayed."""
    kept: list[Trial] = []
    first = ScriptedReplays({"a": 0.5, "b": 0.6})
    plan = Plan(Budget(1000), rounds=8, seed=3)
    cut = search(first, plan, kept.append)
    cut.look()
    finalists = cut.screen([variant("a"), variant("b")], cpu_s)
    first.interrupt_at = first.count + 4 * 4 + 3
    cut.confirm(finalists)
    assert cut.interrupted

    replays = ScriptedReplays({"a": 0.5, "b": 0.6}, seed=2)
    known = [t for t in kept if t.stage != "probe"]
    told: list[str] = []
    again = Search(
        replays,
        plan,
        record=kept.append,
        tell=lambda standing: told.append(str(standing)),
        clock_s=replays.clock_s,
        known=known,
    )
    again.look()
    again.confirm(again.screen([variant("a"), variant("b")], cpu_s))
    assert replays.count == 1 + 4 * 4, "the look, and four rounds of four"
    taken = [t for t in again.trials.all if any(t is k for k in known)]
    assert len(taken) == len(known) - 2, "the two of the cut round are not taken"
    assert again.trials.rounds("confirmation") == 8
    # What they took then counts as spent: the budget is of the whole search.
    assert again.spent_s() > sum(t.taken_s or 0 for t in taken)
    assert told[-1].startswith("trial 41 of about 41")


def test_a_budget_of_energy_ends_a_search_by_what_its_replays_draw() -> None:
    replays = ScriptedReplays({"a": 0.5})
    hunt = Search(
        replays,
        Plan(Budget(None, 600.0)),
        record=lambda _: None,
        tell=lambda _: None,
        clock_s=replays.clock_s,
        joules=lambda replay: 30.0 * (replay.wall_s or 0.0),
    )
    hunt.look()
    hunt.confirm(hunt.screen([variant("a")], cpu_s))
    assert hunt.out_of_time
    assert 14 < replays.now_s < 21, "600 J at 30 W are 20 s"


def test_it_is_told_how_far_the_search_is() -> None:
    replays = ScriptedReplays({"a": 0.5})
    told: list[Standing] = []
    hunt = Search(
        replays,
        Plan(Budget(1000), rounds=4),
        record=lambda _: None,
        tell=told.append,
        clock_s=replays.clock_s,
    )
    hunt.look()
    hunt.confirm(hunt.screen([variant("a")], cpu_s))
    assert [s.trial for s in told] == list(range(1, replays.count + 1))
    assert told[0].of is None
    assert told[-1].of == replays.count
    assert told[-1].left_s is not None
    assert told[-1].left_s < 3
    assert "trial 19 of about 19" in str(told[-1])
    assert "confirming round 4" in str(told[-1])
    assert str(told[-1]).count("CPU-s spent") == 1
