"""What counts as the same answer, from real output files."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advisor.agreement import Agreement
from advisor.gates.gate import NumpyMissingError
from advisor.gates.options import GateOptions
from advisor.quality import Computed, Loss, Metric, Quality, judge
from advisor.replay import Replay
from advisor.techniques.base import AS_WRITTEN
from advisor.trials import AGAIN, BASE, Trial, Trials
from tests.advisor.gates.kit import calls
from tests.advisor.kit import written


def replay(folder: Path, text: str) -> Replay:
    digest = hashlib.sha256(text.encode()).hexdigest()
    out, err = written(folder, f"{digest[:8]}.out", text), written(folder, "err", "")
    return Replay("ok", 0, 0, 1.0, 1.0, None, out, digest, err)


def trials(folder: Path, **texts: tuple[str, ...]) -> Trials:
    """Rounds of outputs: base, again and new, each with one text a round."""
    names = {"base": BASE.name, "again": AGAIN.name, "new": "new"}
    metric = Metric(r"loss = (\S+)")
    found = Trials()
    for key, outputs in texts.items():
        for number, text in enumerate(outputs):
            done = replay(folder, text)
            found.all.append(
                Trial("confirmation", number, names[key], AS_WRITTEN, done, metric(done))
            )
    return found


def test_same_bytes_are_identical_and_others_differ(tmp_path: Path) -> None:
    same = trials(tmp_path, base=("x", "x"), again=("x", "x"), new=("x", "x"))
    other = trials(tmp_path, base=("x", "x"), again=("x", "x"), new=("x", "y"))
    assert judge(same, "new", metric=False, tolerance=None).finding == "identical"
    found = judge(other, "new", metric=False, tolerance=None)
    assert (found.finding, found.acceptable) == ("differs", False)


def test_a_program_that_differs_from_itself_cannot_be_judged_by_its_output(tmp_path: Path) -> None:
    found = judge(
        trials(tmp_path, base=("1", "2"), again=("3", "4"), new=("5", "6")),
        "new",
        metric=False,
        tolerance=None,
    )
    assert (found.finding, found.acceptable) == ("cannot tell", True)


def test_a_program_that_prints_nothing_is_not_called_identical(tmp_path: Path) -> None:
    silent = trials(tmp_path, base=("",), again=("",), new=("",))
    assert judge(silent, "new", metric=False, tolerance=None).finding == "cannot tell"


def test_the_whole_first_look_is_no_other_output_where_further_replays_end_early(
    tmp_path: Path,
) -> None:
    found = trials(tmp_path, base=("begin",), again=("begin",), new=("begin",))
    for number, text in enumerate(("begin\nend", "begin")):
        done = replay(tmp_path, text)
        found.all.insert(number, Trial("probe", number, BASE.name, AS_WRITTEN, done))
    assert judge(found, "new", metric=False, tolerance=None).finding == "identical"


def test_where_nothing_was_printed_yet_what_modules_compute_tells_of_any_change(
    tmp_path: Path,
) -> None:
    silent = trials(tmp_path, base=("",), again=("",), new=("",))
    exact = Agreement(5, 5)
    computed = Computed(own=exact, by_variant={"new": exact})
    assert judge(silent, "new", metric=False, tolerance=None).finding == "cannot tell"
    found = judge(silent, "new", metric=False, tolerance=None, computed=computed)
    assert found.finding == "identical"
    assert "same bits in 5 calls" in found.reason


def test_metric_is_compared_within_the_round_against_the_limit(tmp_path: Path) -> None:
    found = trials(
        tmp_path,
        base=("loss = 1.0", "loss = 2.0"),
        again=("loss = 1.0", "loss = 2.0"),
        new=("loss = 1.1", "loss = 2.1"),
    )
    assert judge(found, "new", metric=True, tolerance=0.1).finding == "within limit"
    assert judge(found, "new", metric=True, tolerance=0.05).finding == "beyond limit"
    assert judge(found, "new", metric=True, tolerance=None).finding == "beyond limit"


def test_without_a_limit_the_metric_may_move_as_far_as_it_does_by_itself(tmp_path: Path) -> None:
    found = trials(tmp_path, base=("loss = 1.0",), again=("loss = 1.2",), new=("loss = 1.25",))
    assert judge(found, "new", metric=True, tolerance=None).finding == "within limit"


def test_metric_is_the_last_match_and_the_first_number_in_it(tmp_path: Path) -> None:
    assert Metric("acc.*")(replay(tmp_path, "acc 0.1\nacc: 9.5e-1 done")) == 0.95
    assert Metric("acc.*")(replay(tmp_path, "nothing")) is None
    assert Metric(r"acc (\w+)")(replay(tmp_path, "acc none")) is None


def _computed(tmp_path: Path, agreement: Agreement, **more: Any) -> Quality:
    """A change inside the program, which prints the same as before."""
    own = more.pop("own", Agreement(10, 10))
    printed = more.pop("printed", "x")
    return judge(
        trials(tmp_path, base=("x",), again=("x",), new=(printed,)),
        "new",
        metric=False,
        tolerance=None,
        switches=("autocast",),
        computed=Computed(own, {"new": agreement}, **more),
    )


MOVED = Agreement(400, 0, distance=0.006, largest=0.008, samples=400, same_class=399)


def test_a_change_inside_is_lossless_only_if_what_is_computed_stays(tmp_path: Path) -> None:
    assert _computed(tmp_path, Agreement(10, 10)).finding == "identical"
    rounded = _computed(tmp_path, Agreement(10, 0, distance=2e-7, largest=3e-7))
    assert (rounded.finding, rounded.lossless) == ("to rounding", True)
    moved = _computed(tmp_path, MOVED)
    assert (moved.finding, moved.lossless) == ("cannot tell", False)
    assert "move by 0.6 %" in moved.reason
    assert "the same class in 399 of 400" in moved.reason


def test_classes_that_change_are_other_answers_even_where_they_are_not_printed(
    tmp_path: Path,
) -> None:
    found = _computed(tmp_path, replace(MOVED, same_class=380))
    assert (found.finding, found.acceptable) == ("differs", False)


def test_other_output_is_never_made_good_by_what_is_computed(tmp_path: Path) -> None:
    found = _computed(tmp_path, Agreement(10, 0, distance=2e-7, largest=3e-7), printed="y")
    assert found.finding == "differs"
    assert "2e-07" in found.reason


def test_what_could_not_be_compared_is_not_called_identical(tmp_path: Path) -> None:
    never = _computed(tmp_path, Agreement(0, 0))
    assert never.finding == "cannot tell"
    assert "goes into its modules differs from run to run" in never.reason
    shaky = _computed(tmp_path, MOVED, own=replace(MOVED, distance=0.5, largest=0.5))
    assert "compute differs from run to run" in shaky.reason
    learning = _computed(tmp_path, Agreement(10, 1, distance=1e-6, largest=1e-6), learns=True)
    assert learning.finding == "cannot tell"


def test_how_data_is_loaded_is_judged_by_the_output_alone(tmp_path: Path) -> None:
    same = trials(tmp_path, base=("x",), again=("x",), new=("x",))
    found = judge(same, "new", metric=False, tolerance=None, switches=("loader",))
    assert found.finding == "identical"


def _lossy(tmp_path: Path, inputs: int, flips: int, **more: Any) -> Quality:
    """A change in precision by which so many inputs get another class; what it prints differs."""
    np = pytest.importorskip("numpy")
    scores = np.random.default_rng(0).normal(size=(inputs, 10)).astype(np.float32)
    changed = scores + np.float32(1e-3)
    changed[:flips] = -changed[:flips]
    key = ("logits", "row")
    pairs = tuple(calls({key: scores}, {key: changed}))
    found = Agreement(inputs, 0, 0.01, 0.02, inputs, inputs - flips, pairs)
    loss = more.pop("loss", Loss())
    return judge(
        trials(tmp_path, base=("loss = 1",), again=("loss = 1",), new=("loss = 1.005",)),
        "new",
        metric=more.pop("metric", False),
        tolerance=None,
        switches=("replace",),
        computed=Computed(Agreement(10, 10), {"new": found}, **more),
        loss=loss,
    )


def test_a_lossy_change_is_judged_by_its_limit_whatever_it_prints(tmp_path: Path) -> None:
    kept = _lossy(tmp_path, 1000, 0)
    assert (kept.finding, kept.lossless, kept.settled) == ("within limit", False, True)
    assert kept.gate is not None
    assert kept.gate.judged > 600
    lost = _lossy(tmp_path, 1000, 400)
    assert (lost.finding, lost.acceptable) == ("beyond limit", False)
    assert "limit 99 %" in lost.reason


def test_a_lossy_change_that_cannot_be_judged_is_no_recommendation(tmp_path: Path) -> None:
    few = _lossy(tmp_path, 200, 0)
    assert (few.finding, few.acceptable, few.settled) == ("cannot tell", True, False)
    assert "more different inputs" in few.reason
    assert _lossy(tmp_path, 1000, 0, learns=True).finding == "cannot tell"
    assert not _lossy(tmp_path, 1000, 0, learns=True).settled


def test_a_lossy_change_that_is_hopeless_is_out_on_screening_inputs(tmp_path: Path) -> None:
    screening = Loss(part="screening")
    assert _lossy(tmp_path, 200, 200, loss=screening).finding == "beyond limit"
    assert _lossy(tmp_path, 200, 0, loss=screening).settled


def test_with_a_metric_a_lossy_change_may_cost_its_points_of_it(tmp_path: Path) -> None:
    one = _lossy(tmp_path, 1000, 400, metric=True)
    assert (one.finding, one.drift) == ("within limit", pytest.approx(0.005))
    assert one.gate is not None  # it is shown, and does not decide
    assert not one.gate.acceptable
    half = Loss(GateOptions(max_drop_points=0.4))
    assert _lossy(tmp_path, 1000, 0, metric=True, loss=half).finding == "beyond limit"


def test_without_numpy_a_lossy_change_cannot_be_told_and_the_remedy_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise NumpyMissingError

    monkeypatch.setattr("advisor.gates.gate.need_numpy", missing)
    found = _lossy(tmp_path, 1000, 0)
    assert found.finding == "cannot tell"
    assert "pip install 'frugalwatch[advisor]'" in found.reason
