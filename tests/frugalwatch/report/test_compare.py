from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest

from frugalwatch.report.compare import _compared, _student95
from tests.frugalwatch.report.kit import MODEL, PACKAGE, Story


def one_run(
    path: Path, number: int, power_w: float, *, commit: str = "new", **changes: Any
) -> dict[str, Any]:
    """A run of 60 s at this power, in a ledger that other runs share."""
    device = changes.pop("device", PACKAGE)
    start = {
        "run_key": f"run-{number:03d}",
        "git_commit": commit,
        "started_utc_ns": (1_735_689_600 + 100 * number) * 1_000_000_000,
    }
    start |= changes.pop("start", {})
    story = Story(path, start=start)
    if device is not None:
        story.reads(device, power_w)
    return story.ends(**changes).settled()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_a_first_run_is_compared_with_nothing(ledger: Path) -> None:
    assert one_run(ledger, 1, 10)["comparison"] is None


def test_one_run_each_gives_a_ratio_and_no_interval(ledger: Path) -> None:
    one_run(ledger, 1, 10, commit="old")
    found = one_run(ledger, 2, 12)["comparison"]
    assert found["ratio"] == pytest.approx(1.2)
    assert (found["low"], found["high"], found["verdict"]) == (None, None, "no interval")
    assert (found["these_count"], found["earlier_count"]) == (1, 1)
    assert found["quantity"] == "energy_j"


def test_a_run_with_part_of_its_energy_missing_is_compared_by_cpu_time(ledger: Path) -> None:
    partly = Story(ledger, start={"run_key": "run-001", "git_commit": "old"})
    partly.reads(PACKAGE, 10, times=(0, 30)).gap(PACKAGE.key, 30, 60, "lost").ends().settled()
    found = one_run(ledger, 2, 10)["comparison"]
    assert found["quantity"] == "cpu_s"
    assert found["ratio"] == pytest.approx(1)
    found = one_run(ledger, 3, 20, commit="newer")["comparison"]
    assert (found["quantity"], found["earlier_runs"]) == ("energy_j", [2]), "the whole ones count"
    assert found["ratio"] == pytest.approx(2)


def test_two_runs_against_three_have_no_interval(ledger: Path) -> None:
    for number in range(3):
        one_run(ledger, number, 10 + number, commit="old")
    one_run(ledger, 8, 5)
    assert one_run(ledger, 9, 5)["comparison"]["low"] is None


def test_three_runs_each_that_differ_clearly(ledger: Path) -> None:
    for number, power_w in enumerate((10, 10.2, 9.9)):
        one_run(ledger, number, power_w, commit="old")
    for number, power_w in enumerate((7.0, 7.2), 5):
        one_run(ledger, number, power_w)
    found = one_run(ledger, 9, 7.1)["comparison"]
    assert found["verdict"] == "less"
    assert found["low"] < found["ratio"] < found["high"] < 1
    assert found["ratio"] == pytest.approx(0.7076, abs=0.001)
    assert (found["earlier_min"], found["earlier_max"]) == (594, 612)
    assert found["earlier_runs"] == [3, 2, 1]


def test_three_runs_each_that_overlap_show_no_clear_difference(ledger: Path) -> None:
    for number, power_w in enumerate((10, 14, 8)):
        one_run(ledger, number, power_w, commit="old")
    for number, power_w in enumerate((9, 13), 5):
        one_run(ledger, number, power_w)
    found = one_run(ledger, 9, 9)["comparison"]
    assert found["verdict"] == "no clear difference"
    assert found["low"] < 1 < found["high"]


def test_identical_runs_do_not_differ(ledger: Path) -> None:
    for number in range(3):
        one_run(ledger, number, 10, commit="old")
    for number in range(3, 6):
        one_run(ledger, number, 10)
    found = one_run(ledger, 9, 10)["comparison"]
    assert found["verdict"] == "no clear difference"
    assert found["low"] == pytest.approx(1)
    assert found["high"] == pytest.approx(1)


def test_modelled_runs_are_compared_by_their_cpu_time(ledger: Path) -> None:
    one_run(ledger, 1, 10, commit="old", device=MODEL, cpu_s=40)
    found = one_run(ledger, 2, 99, device=MODEL, cpu_s=10)["comparison"]
    assert found["quantity"] == "cpu_s"
    assert found["ratio"] == pytest.approx(0.25)


def test_one_run_without_a_counter_makes_it_cpu_time_for_all(ledger: Path) -> None:
    one_run(ledger, 1, 10, commit="old", device=MODEL, cpu_s=40)
    one_run(ledger, 2, 10, commit="old", cpu_s=20)
    assert one_run(ledger, 3, 10, cpu_s=20)["comparison"]["quantity"] == "cpu_s"


def test_nothing_in_common_is_no_comparison(ledger: Path) -> None:
    one_run(ledger, 1, 10, commit="old", device=None, cpu_s=None)
    assert one_run(ledger, 2, 10)["comparison"] is None


@pytest.mark.parametrize(
    "changes",
    [
        {"exit_code": 1},
        {"state": "killed", "exit_code": 137},
        {"start": {"command_hash": "another"}},
        {"start": {"machine_key": "another", "boot_key": "another"}},
    ],
    ids=["failed", "killed", "other command", "other machine"],
)
def test_only_good_runs_of_this_command_on_this_machine_count(
    ledger: Path, changes: dict[str, Any]
) -> None:
    one_run(ledger, 1, 10, **changes)
    assert one_run(ledger, 2, 10)["comparison"] is None


def test_a_failed_run_is_not_compared(ledger: Path) -> None:
    one_run(ledger, 1, 10)
    assert one_run(ledger, 2, 10, exit_code=1)["comparison"] is None


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """2000 experiments with a true ratio of 0.9 and noise of 8 % on one side, 3 % on the other."""
    random_ = random.Random(11)
    for count in (3, 8):
        held = 0
        for _ in range(2000):
            these = [0.9 * math.exp(random_.gauss(0, 0.03)) for _ in range(count)]
            earlier = [math.exp(random_.gauss(0, 0.08)) for _ in range(count)]
            found = _compared("energy_j", these, earlier, [])
            assert isinstance(found["low"], float)
            assert isinstance(found["high"], float)
            held += found["low"] <= 0.9 <= found["high"]
        assert 0.935 <= held / 2000 <= 0.985


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 12.706), (5, 2.5706), (6, 2.4469), (14, 2.1448), (30, 2.0423), (1000, 1.9623)],
)
def test_quantiles_of_students_t(freedom: int, quantile: float) -> None:
    assert _student95(freedom) == pytest.approx(quantile, rel=0.001)
