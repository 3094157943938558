"""Joules and CPU seconds per step, sample and request, against what is known by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from frugalwatch.report.step_times import percentiles
from tests.frugalwatch.report.inside_kit import Inside
from tests.frugalwatch.report.kit import MODEL, PACKAGE, Story

EVERY_SECOND = tuple(float(s) for s in range(61))


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "ledger.db")


def unit(run: dict[str, Any], name: str, source: str = "hook") -> dict[str, Any]:
    (found,) = [u for u in run["units"] if (u["unit"], u["source"]) == (name, source)]
    return dict(found)


def test_joules_per_step_are_those_between_the_first_and_the_last_report(story: Story) -> None:
    story.reads(PACKAGE, lambda t: 10 * t + 90 * max(0, min(t, 50) - 10), times=EVERY_SECOND)
    for second, steps in ((10, 0), (30, 100), (50, 200)):
        story.journal.step(7, story.at(second), steps)
    run = story.ends().settled()
    found = run["steps"]
    assert (found["steps"], found["processes"], found["source"]) == (200, 1, "job")
    assert found["steps_per_s"] == pytest.approx(5)
    assert found["energy_per_step_j"] == pytest.approx(20)
    assert found["estimated_per_step_j"] is None
    assert unit(run, "step", "job")["per_unit"]["energy_j"] == pytest.approx(20)


def test_a_single_report_of_steps_has_no_rate(story: Story) -> None:
    story.reads(PACKAGE, 10)
    story.journal.step(7, story.at(60), 12)
    found = story.ends().settled()["steps"]
    assert found["steps_per_s"] is None
    assert found["energy_per_step_j"] == pytest.approx(50)


def test_without_reports_there_are_no_steps(story: Story) -> None:
    run = story.reads(PACKAGE, 10).ends().settled()
    assert (run["steps"], run["units"], run["activities"], run["inside"]) == (None, [], None, None)


def test_the_bounds_are_those_of_the_looks_around_the_stretch(story: Story) -> None:
    """Between two looks a device may have drawn its energy at any moment."""
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    Inside(story).count("step", {10.5: 1, 20.5: 11})
    each = unit(story.ends().settled(), "step")["per_unit"]
    assert each["energy_j"] == pytest.approx(10)
    assert (each["low_j"], each["high_j"]) == (pytest.approx(9), pytest.approx(11))


def test_optimizer_steps_are_the_steps_unless_the_program_says_its_own(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    Inside(story).count("step", {10: 1, 50: 401})
    story.journal.step(7, story.at(10), 0)
    story.journal.step(7, story.at(50), 100)
    run = story.ends().settled()
    assert (run["steps"]["steps"], run["steps"]["source"]) == (100, "job")
    assert [(u["unit"], u["source"]) for u in run["units"]] == [("step", "job"), ("step", "hook")]
    assert unit(run, "step")["per_unit"]["energy_j"] == pytest.approx(1)


def test_joules_per_sample_go_by_the_samples_of_the_batches(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    Inside(story).count("batch", {10: 1, 50: 41}, samples_each=32)
    found = unit(story.ends().settled(), "batch")
    assert (found["count"], found["samples"]) == (41, 41 * 32)
    assert found["per_sample"]["energy_j"] == pytest.approx(400 / 1280)
    assert found["samples_per_s"] == pytest.approx(32)


def test_ranks_do_their_steps_together_and_their_samples_each_for_itself(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    for rank in range(2):
        process = Inside(story, 7 + rank, rank=rank, world_size=2)
        process.count("step", {10: 1, 50: 101 - rank}).count("batch", {10: 1, 50: 101}, 8)
    run = story.ends().settled()
    assert run["steps"]["steps"] == 101
    assert (unit(run, "step")["ranks"], unit(run, "step")["processes"]) == (2, 2)
    assert unit(run, "step")["per_unit"]["energy_j"] == pytest.approx(4)
    assert unit(run, "batch")["samples"] == 2 * 101 * 8
    told = [(p["rank"], p["counts"]["step"], p["samples"]) for p in run["inside"]["processes"]]
    assert told == [(0, 101, 808), (1, 100, 808)]


def test_processes_without_a_rank_are_added_up(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    for pid in (7, 8, 9):
        Inside(story, pid).count("request", {10: 0, 50: 20})
        story.journal.step(pid, story.at(10), 0)
        story.journal.step(pid, story.at(50), 10)
    run = story.ends().settled()
    assert unit(run, "request")["count"] == 60
    assert unit(run, "request")["per_unit"]["energy_j"] == pytest.approx(400 / 60)
    assert run["steps"]["steps"] == 30


def test_a_program_that_became_another_one_did_both_programs_work(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    Inside(story, 7, second=1).count("step", {5: 1, 20: 30})
    Inside(story, 7, second=25, program="second.py").count("step", {30: 1, 50: 12})
    run = story.ends().settled()
    assert run["steps"]["steps"] == 42
    assert [p["program"] for p in run["inside"]["processes"]] == ["train.py", "second.py"]
    assert [p["counts"]["step"] for p in run["inside"]["processes"]] == [30, 12]


def test_cpu_seconds_per_step_are_measured_where_no_energy_is(story: Story) -> None:
    story.reads(MODEL, 5, spread=(0.5, 2), times=EVERY_SECOND)
    for second in range(61):
        story.journal.usage(story.at(second), second * 1_500_000, second * 2_000_000)
    Inside(story).count("step", {10.5: 1, 50.5: 101})
    run = story.ends().settled()
    each = unit(run, "step")["per_unit"]
    assert each["energy_j"] is None
    assert each["cpu_s"] == pytest.approx(0.6)
    assert (each["cpu_low_s"], each["cpu_high_s"]) == (
        pytest.approx(0.585),
        pytest.approx(0.615),
    )
    assert each["estimated_j"] == pytest.approx(2)
    assert each["estimated_low_j"] == pytest.approx(39 * 2.5 / 100)
    assert each["estimated_high_j"] == pytest.approx(41 * 10 / 100)
    assert run["steps"]["cpu_per_step_s"] == pytest.approx(0.6)


def test_the_jobs_share_of_a_step_is_that_of_the_run(story: Story) -> None:
    story.reads(PACKAGE._replace(idle_w=4.0), 10, times=EVERY_SECOND)
    Inside(story).count("step", {10: 1, 50: 101})
    run = story.ends(cpu_s=15, busy_s=60).settled()
    assert run["headline"] == "job_share"
    each = unit(run, "step")["per_unit"]
    assert each["energy_j"] == pytest.approx(4)
    assert each["job_share_j"] == pytest.approx(4 * 0.6 / 4)
    assert each["job_share_low_j"] <= each["job_share_j"] <= each["job_share_high_j"]


def test_a_models_band_is_in_the_share_of_a_step_once(story: Story) -> None:
    story.reads(MODEL, 5, spread=(0.5, 2), times=EVERY_SECOND)
    Inside(story).count("step", {10: 1, 50: 101})
    each = unit(story.ends(cpu_s=15, busy_s=60).settled(), "step")["per_unit"]
    value = each["estimated_job_share_j"]
    assert value == pytest.approx(2 * (5 - 1.7) / 5 / 4)
    assert each["estimated_job_share_low_j"] == pytest.approx(value / 2)
    assert each["estimated_job_share_high_j"] == pytest.approx(value * 2)


def test_percentiles_are_right_to_one_per_cent() -> None:
    import math

    durations_ms = [10.0] * 900 + [20.0] * 80 + [50.0] * 20
    histogram: dict[int, int] = {}
    for duration in durations_ms:
        bucket = int(math.log(duration * 1e6) / math.log(1.02))
        histogram[bucket] = histogram.get(bucket, 0) + 1
    found = percentiles(histogram)
    assert found.durations == 1000
    assert found.p50_s == pytest.approx(0.010, rel=0.0101)
    assert found.p95_s == pytest.approx(0.020, rel=0.0101)
    assert found.p99_s == pytest.approx(0.050, rel=0.0101)


def test_step_times_of_all_ranks_are_one_histogram_and_only_the_last_telling_counts(
    story: Story,
) -> None:
    for rank in range(2):
        process = Inside(story, 7 + rank, rank=rank, world_size=2).count("step", {10: 1, 50: 9})
        process.times("step", 30, {800: 5})
        process.times("step", 50, {800: 9})
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    found = unit(story.ends().settled(), "step")["durations"]
    assert found["durations"] == 18
    assert found["p50_s"] == found["p99_s"] == pytest.approx(1.02**800.5 / 1e9)


def test_what_leads_is_the_same_for_everybody(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    process = Inside(story)
    for name in ("epoch", "token", "batch", "call", "weather", "generate", "request"):
        process.count(name, {10: 1, 50: 9})
    run = story.ends().settled()
    assert [u["unit"] for u in run["units"]] == [
        *("request", "token", "generate", "call", "batch", "epoch", "weather")
    ]
