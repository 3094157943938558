"""What the ledger keeps of a trial is what a search that goes on gets back."""

from __future__ import annotations

from pathlib import Path

from advisor import store
from advisor.footprint import Latency
from advisor.marginal import Marginal
from advisor.replay import Replay
from advisor.stored_trials import Earlier, read_trials
from advisor.techniques.base import Change
from advisor.trials import Stage, Trial
from advisor.workload import Workload
from frugalwatch.config.settings import Settings

CHANGE = Change({"A": "1"}, ("B",), {"autocast": "bfloat16"})


def trial(stage: Stage = "confirmation", number: int = 0, **changes: object) -> Trial:
    replay = Replay(
        "ok",
        0,
        123,
        1.5,
        2.25,
        None,
        "/dev/null",
        "abc",
        "/dev/null",
        Marginal("call", 40, 0.02, 0.01),
        "",
        (),
        Latency("call", 50, 0.01, 0.02, None),
        7 * 2**20,
    )
    return Trial(stage, number, "quick", CHANGE, replay, 42.0, 1.75)


def test_a_trial_comes_back_as_it_was(tmp_path: Path) -> None:
    settings = Settings(ledger=str(tmp_path / "l.db"))
    conn = store.open_store(settings, {})
    workload = Workload(("true",), str(tmp_path), {})
    number = store.begin_advice(conn, workload, cpus=2, seed=0, plan={"budget": "5Wh"})
    store.add_trial(conn, number, trial())
    store.add_trial(conn, number, trial("probe"))
    verification = store.begin_verification(conn, number, 1)
    store.add_trial(conn, number, trial("confirmation", 5), verification)
    found = read_trials(conn, number)
    conn.close()
    assert found.trials == (trial(), trial("probe"))
    assert found.measured == (trial(),)


def test_the_later_one_counts_where_a_round_was_run_twice() -> None:
    first, again = trial(), Trial("confirmation", 0, "quick", CHANGE, trial().replay, 43.0)
    earlier = Earlier((first, again))
    assert earlier.measured == (again,)
    assert earlier.without([again]) == (first,)


def test_places_of_what_was_built_do_not_make_another_trial() -> None:
    def swapped(place: str) -> Trial:
        change = Change(switches={"replace": {"file": place}})
        return Trial("screening", 1, "onnx", change, trial().replay)

    assert swapped("/state/A7/onnx").key == swapped("/state/A7-2/onnx").key
    assert swapped("/state/A7/onnx").key != trial("screening", 1).key
