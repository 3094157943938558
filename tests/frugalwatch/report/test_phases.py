from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.frugalwatch.report.kit import DRAM, GPU, GPU_KEY, MODEL, PACKAGE, Story

EVERY_SECOND = tuple(float(s) for s in range(61))


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "ledger.db")


def phase(run: dict[str, Any], name: str, number: int | None = None) -> dict[str, Any]:
    (found,) = [p for p in run["phases"] if (p["name"], p["number"]) == (name, number)]
    return dict(found)


def test_energy_is_split_along_time(story: Story) -> None:
    story.reads(PACKAGE, lambda t: 10 * t + 90 * max(0, t - 30), times=EVERY_SECOND)
    story.reads(DRAM, 2)
    story.phase("load", 0, 30).phase("train", 30, 60)
    run = story.ends().settled()
    assert phase(run, "load")["energy_j"] == pytest.approx(300 + 60)
    assert phase(run, "train")["energy_j"] == pytest.approx(3000 + 60)
    assert sum(p["energy_j"] for p in run["phases"]) == pytest.approx(run["energy_j"])
    assert {p["origin"] for p in run["phases"]} == {"attributed"}


def test_spans_of_one_name_and_number_are_one_phase(story: Story) -> None:
    story.reads(PACKAGE, 10)
    for begin in (0, 20, 40):
        story.phase("epoch", begin, begin + 10, number=1).phase("step", begin, begin + 5, depth=1)
    run = story.ends().settled()
    assert [(p["name"], p["depth"], p["count"]) for p in run["phases"]] == [
        ("epoch", 0, 3),
        ("step", 1, 3),
    ]
    assert phase(run, "epoch", 1)["duration_s"] == 30
    assert phase(run, "epoch", 1)["energy_j"] == pytest.approx(300)
    assert phase(run, "step")["energy_j"] == pytest.approx(150)


def test_a_phase_of_fewer_than_ten_ticks_has_no_figure(story: Story) -> None:
    """The GPU's counter moves every 100 ms."""
    story.reads(PACKAGE, 10).reads(GPU, 100)
    story.phase("short", 1, 1.9).phase("long", 2, 3.1)
    run = story.ends().settled()
    assert phase(run, "short")["energy_j"] is None
    assert phase(run, "long")["energy_j"] == pytest.approx(121)


def test_a_phase_that_never_ended_ends_with_the_run(story: Story) -> None:
    story.reads(PACKAGE, 10).phase("train", 50, None)
    found = phase(story.ends(exit_code=1).settled(), "train")
    assert found["unfinished"] is True
    assert found["duration_s"] == 10
    assert found["energy_j"] == pytest.approx(100)


def test_a_phase_after_the_loss_of_the_gpu_is_unknown_and_not_zero(story: Story) -> None:
    story.reads(PACKAGE, 10).reads(GPU, 100, times=(0, 10, 20)).gap(GPU_KEY, 20, 60, "lost")
    story.phase("before", 0, 20).phase("after", 30, 50).phase("both", 10, 40)
    run = story.ends().settled()
    assert phase(run, "before")["energy_j"] == pytest.approx(200 + 2000)
    assert phase(run, "after")["energy_j"] is None
    both = phase(run, "both")
    assert both["energy_j"] == pytest.approx(300 + 1000)
    assert both["high_j"] == pytest.approx(300 + 1000 * 1.06 + 20 * 400)


def test_a_gap_inside_a_phase_raises_its_upper_bound_and_no_other(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND).gap(PACKAGE.key, 10, 20, "reset")
    story.phase("first", 0, 30).phase("second", 30, 60)
    run = story.ends().settled()
    assert phase(run, "first")["high_j"] == pytest.approx(300 + 100)
    assert phase(run, "second")["high_j"] == pytest.approx(300)


def test_a_span_that_nobody_read_raises_the_bound_of_its_phase(story: Story) -> None:
    story.reads(GPU, 100, times=(0, 10, 20)).gap(GPU_KEY, 20, 60, "lost")
    story.phase("epoch", 5, 15).phase("epoch", 30, 40)
    found = phase(story.ends().settled(), "epoch")
    assert found["energy_j"] == pytest.approx(1000)
    assert found["high_j"] == pytest.approx(1060 + 4000)


def test_phases_of_a_modelled_machine_are_estimates(story: Story) -> None:
    story.reads(MODEL, 5, spread=(0.5, 2)).phase("train", 0, 30)
    found = phase(story.ends().settled(), "train")
    assert found["energy_j"] is None
    assert (found["estimated_j"], found["estimated_low_j"], found["estimated_high_j"]) == (
        pytest.approx(150),
        pytest.approx(75),
        pytest.approx(300),
    )
