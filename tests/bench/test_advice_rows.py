"""The bench reads an advice's JSON; what it says of it must be what is in there."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("advice_rows")


@pytest.fixture
def workloads(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "bench"))
    return importlib.import_module("advice_workloads")


def ratio(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def entry(name: str, value: float, *, lossless: bool = True, fair: float = 0.5) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "replayed in program",
        "ratio": ratio(value + 0.2, value + 0.1, value + 0.3),
        "versus_one_thread": None,
        "per_unit": {
            "ratio": ratio(value, value - 0.01, value + 0.01),
            "versus_one_thread": ratio(fair, fair - 0.01, fair + 0.01),
        },
        "quality": {"reason": "as they were", "lossless": lossless},
    }


def trial(variant: str, number: int, began_s: float, cpu_s: float) -> dict[str, Any]:
    return {
        "stage": "screening",
        "round": number,
        "variant": variant,
        "began_s": began_s,
        "taken_s": 10.0,
        "wall_s": 9.0,
        "cpu_s": cpu_s,
    }


def workload(workloads: ModuleType, *targets: Any, **more: Any) -> Any:
    return workloads.Workload("w", "W", ("w.py",), targets=targets, **more)


def test_the_best_change_of_the_kind_that_counts_is_held_against_the_target(
    rows: ModuleType, workloads: ModuleType
) -> None:
    advice = {"recommendations": [entry("int8", 0.1, lossless=False), entry("fp32", 0.3, fair=0.6)]}
    targets = (workloads.Target("lossless", 3.0, 1.8), workloads.Target("any", 6.0, 1.8))
    found = rows.row(workload(workloads, *targets), advice, 100.0, (1.0, 1.0))
    lossless, anything = found.aims
    assert lossless.change == "fp32"
    assert lossless.verdict == "below"  # 3.3x, but 1.67x only against one thread
    assert anything.change == "int8"
    assert anything.verdict == "PASS"
    assert found.best == "int8"
    assert found.gain.value == pytest.approx(10)
    assert found.gain.low == pytest.approx(1 / 0.11)


def test_a_target_that_only_the_value_reaches_is_not_a_plain_pass(
    rows: ModuleType, workloads: ModuleType
) -> None:
    target = workloads.Target("any", 3.0, 1.0)
    fair = rows.Gain(2.0, 1.9, 2.1)
    assert rows.verdict(target, rows.Gain(3.5, 3.1, 4.0), fair) == "PASS"
    assert "cautious" in rows.verdict(target, rows.Gain(3.5, 2.9, 4.0), fair)
    assert rows.verdict(target, rows.Gain(2.9, 2.0, 4.0), fair) == "below"
    assert rows.verdict(target, rows.Gain(3.5, 3.1, 4.0), None) == "below"


def test_a_target_without_any_change_of_its_kind_was_not_tried(
    rows: ModuleType, workloads: ModuleType
) -> None:
    advice = {"recommendations": [entry("fp32", 0.3)]}
    target = workloads.Target("on trace", 4.0, 1.0)
    found = rows.row(workload(workloads, target), advice, 1.0, (0.0, 0.0))
    assert found.aims[0].verdict == "not tried"


def test_what_was_replayed_on_a_trace_counts_for_that_alone(
    rows: ModuleType, workloads: ModuleType
) -> None:
    served = {
        "name": "sorted",
        "ratio": ratio(0.2, 0.19, 0.21),
        "versus_one_thread": ratio(0.25, 0.24, 0.26),
        "quality": {"lossless": True},
    }
    advice = {"recommendations": [], "trace": {"recommendations": [served]}}
    targets = (workloads.Target("on trace", 4.0, 3.5), workloads.Target("any", 4.0, 1.0))
    found = rows.row(workload(workloads, *targets), advice, 1.0, (0.0, 0.0))
    assert [aim.verdict for aim in found.aims] == ["PASS", "not tried"]


def test_the_share_of_preprocessing_counts_if_it_is_within_three_points(
    rows: ModuleType, workloads: ModuleType
) -> None:
    def remark(share: float | None) -> str:
        outside = None if share is None else {"outside_model": {"share": share}}
        advice = {"recommendations": [], "hot_spots": outside}
        found = rows.row(workload(workloads), advice, 1.0, (0.0, 0.0), 90.0)
        return str(found.remark)

    assert remark(0.88).startswith("PASS")
    assert remark(0.8).startswith("below")
    assert remark(None).startswith("not tried")


def test_nothing_worth_doing_is_right_only_where_it_is(
    rows: ModuleType, workloads: ModuleType
) -> None:
    frugal = workload(workloads, nothing=True)
    assert rows.row(frugal, {"recommendations": []}, 1.0, (0.0, 0.0)).remark.startswith("PASS")
    found = rows.row(frugal, {"recommendations": [entry("x", 0.9)]}, 1.0, (0.0, 0.0))
    assert found.remark.startswith("below")


def test_the_first_useful_moment_is_the_end_of_the_first_round_that_saw_the_saving(
    rows: ModuleType,
) -> None:
    advice = {
        "recommendations": [entry("one thread", 0.5)],
        "timeline": [
            trial("one thread", 0, 0.0, 9.5),
            trial("as written", 0, 10.0, 10.0),
            trial("other", 0, 20.0, 1.0),  # better, but not recommended in the end
            trial("one thread", 1, 30.0, 5.0),
            trial("as written", 1, 40.0, 10.0),
        ],
    }
    assert rows.first_useful_s(advice) == pytest.approx(50.0)
    assert rows.first_useful_s({"recommendations": [], "timeline": advice["timeline"]}) is None


def test_a_verified_saving_is_held_against_the_cautious_end_and_the_promise(
    rows: ModuleType,
) -> None:
    found = rows.repeat(
        {
            "promised": ratio(0.5, 0.45, 0.55),
            "ratio": ratio(0.53, 0.5, 0.56),
            "verdict": "held",
        }
    )
    assert found.held
    assert found.agrees
    assert found.ratio.value == pytest.approx(0.5 / 0.53)
    worse = rows.repeat(
        {
            "promised": ratio(0.5, 0.49, 0.51),
            "ratio": ratio(0.6, 0.59, 0.61),
            "verdict": "not_held",
        }
    )
    assert not worse.held
    assert not worse.agrees


def test_a_look_at_a_saving_is_useful_already_beside_the_look_before(rows: ModuleType) -> None:
    def look(variant: str, began_s: float, cpu_s: float) -> dict[str, Any]:
        return {**trial(variant, 0, began_s, cpu_s), "stage": "probe"}

    advice = {
        "recommendations": [entry("one thread", 0.5)],
        "timeline": [
            look("as written", 0.0, 40.0),
            look("as written, again", 10.0, 10.0),
            look("one thread", 20.0, 9.5),
            look("one thread", 40.0, 5.0),
        ],
    }
    assert rows.first_useful_s(advice) == pytest.approx(50.0)
    advice["recommendations"] = [entry("one thread + other", 0.3)]  # of which it is a part
    assert rows.first_useful_s(advice) == pytest.approx(50.0)
