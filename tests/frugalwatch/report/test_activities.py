"""Energy by activity, against programs whose split is known by construction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.frugalwatch.report.inside_kit import Inside
from tests.frugalwatch.report.kit import DRAM, GPU, GPU_KEY, MODEL, PACKAGE, PSYS, Story

EVERY_SECOND = tuple(float(s) for s in range(61))


@pytest.fixture
def story(tmp_path: Path) -> Story:
    return Story(tmp_path / "ledger.db")


def parts(run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {part["activity"]: part for part in run["activities"]["parts"]}


def steadily(process: Inside, begin: int, end: int, **rates: float) -> None:
    """Told once a second, so many seconds of each activity in each."""
    for second in range(begin, end + 1):
        process.spent(second, **{n: rate * (second - begin) for n, rate in rates.items()})


def test_activities_that_take_turns_get_their_own_energy(story: Story) -> None:
    """20 s at 10 W waiting for data, then 40 s at 100 W: the trace shows which drew what."""
    story.reads(PACKAGE, lambda t: 10 * min(t, 20) + 100 * max(0, t - 20), times=EVERY_SECOND)
    process = Inside(story, second=0)
    for second in range(61):
        process.spent(second, data_wait=float(min(second, 20)), forward=float(max(0, second - 20)))
    run = story.ends().settled()
    found = parts(run)
    assert found["data_wait"]["energy_j"] == pytest.approx(200)
    assert found["forward"]["energy_j"] == pytest.approx(4000)
    assert found["other"]["energy_j"] in (None, 0)
    for name in ("data_wait", "forward"):
        assert found[name]["low_j"] == pytest.approx(found[name]["energy_j"])
        assert found[name]["high_j"] == pytest.approx(found[name]["energy_j"])


def test_parts_add_up_to_the_energy_of_the_devices_that_are_split(story: Story) -> None:
    story.reads(PACKAGE, lambda t: 30 * t + 5 * (t % 7), times=EVERY_SECOND)
    story.reads(DRAM, 3, times=EVERY_SECOND)
    steadily(Inside(story, second=3), 5, 50, data_wait=0.3, optimizer=0.1, backward=0.25)
    run = story.ends().settled()
    found = parts(run)
    assert sum(p["energy_j"] for p in found.values()) == pytest.approx(run["energy_j"])
    assert sum(p["share"] for p in found.values()) == pytest.approx(1)
    assert found["backward"]["duration_s"] == pytest.approx(45 * 0.25)
    for part in found.values():
        assert part["low_j"] <= part["energy_j"] <= part["high_j"]


def test_inside_one_look_each_activity_may_have_drawn_anything_above_idle(story: Story) -> None:
    """Half of each second in either: the truth may be anything that adds up."""
    package = PACKAGE._replace(idle_w=4.0, idle_low_w=4.0, idle_high_w=4.0)
    story.reads(package, 10, times=EVERY_SECOND)
    steadily(Inside(story, second=0), 0, 60, forward=0.5, data_wait=0.5)
    found = parts(story.ends().settled())["forward"]
    assert found["energy_j"] == pytest.approx(300)
    assert found["low_j"] == pytest.approx(30 * 4)
    assert found["high_j"] == pytest.approx(600 - 30 * 4)


def test_less_than_ten_ticks_of_the_sensor_have_no_figure(story: Story) -> None:
    slow = PACKAGE._replace(tick_s=0.1)
    story.reads(slow, 10, times=EVERY_SECOND)
    steadily(Inside(story, second=0), 0, 60, forward=0.5, transfer=0.016, optimizer=0.017)
    found = parts(story.ends().settled())
    assert found["transfer"]["energy_j"] is None
    assert found["optimizer"]["energy_j"] is not None


def test_a_gpus_energy_is_not_split_by_what_the_host_did(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND).reads(GPU, 200, times=EVERY_SECOND)
    steadily(Inside(story, second=0), 0, 60, forward=0.5)
    run = story.ends().settled()
    assert run["activities"]["unsplit_devices"] == [GPU_KEY]
    assert run["activities"]["unsplit_j"] == pytest.approx(12_000)
    assert sum(p["energy_j"] for p in run["activities"]["parts"]) == pytest.approx(600)


def test_a_figure_that_holds_a_gpu_is_not_split_either(story: Story) -> None:
    story.reads(PSYS._replace(encloses=("cpu", "gpu", "ram")), 50, times=EVERY_SECOND)
    steadily(Inside(story, second=0), 0, 60, forward=0.5)
    found = story.ends().settled()["activities"]
    assert found["unsplit_j"] == pytest.approx(3000)
    assert {p["energy_j"] for p in found["parts"]} == {None}


def test_ranks_share_a_device_equally_and_are_not_counted_twice(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    for rank, rate in enumerate((0.2, 0.6)):
        process = Inside(story, 7 + rank, second=0, rank=rank, world_size=2)
        steadily(process, 0, 60, data_wait=rate)
    run = story.ends().settled()
    assert run["activities"]["processes"] == 2
    assert parts(run)["data_wait"]["energy_j"] == pytest.approx(600 * 0.4)
    assert parts(run)["data_wait"]["duration_s"] == pytest.approx(24)


def test_processes_one_after_the_other_have_their_own_time(story: Story) -> None:
    """The same pid twice (exec): each counts from 0 again."""
    story.reads(PACKAGE, lambda t: 10 * min(t, 30) + 50 * max(0, t - 30), times=EVERY_SECOND)
    steadily(Inside(story, second=0), 0, 30, data_wait=1.0)
    steadily(Inside(story, second=31), 31, 60, data_wait=0.5)
    found = parts(story.ends().settled())
    assert found["data_wait"]["energy_j"] == pytest.approx(300 + 725)
    assert found["other"]["energy_j"] == pytest.approx(50 + 725)


def test_modelled_machines_are_split_as_estimates(story: Story) -> None:
    story.reads(MODEL, 5, spread=(0.5, 2), times=EVERY_SECOND)
    steadily(Inside(story, second=0), 0, 60, forward=0.5)
    found = parts(story.ends().settled())["forward"]
    assert found["energy_j"] is None
    assert found["estimated_j"] == pytest.approx(150)
    assert found["estimated_low_j"] <= 75
    assert found["estimated_high_j"] >= 300


def test_time_outside_of_the_hooks_life_is_other(story: Story) -> None:
    story.reads(PACKAGE, 10, times=EVERY_SECOND)
    steadily(Inside(story, second=20), 20, 40, forward=1.0)
    found = parts(story.ends().settled())
    assert found["forward"]["energy_j"] == pytest.approx(200)
    assert found["other"]["energy_j"] == pytest.approx(400)


def test_a_long_run_with_many_ranks_is_settled_in_bounded_time(tmp_path: Path) -> None:
    """An hour at 1 Hz with 8 ranks: fewer intervals, the same sums."""
    story = Story(tmp_path / "l.db", seconds=3600)
    story.reads(PACKAGE, 10, times=[float(s) for s in range(3601)])
    for rank in range(8):
        process = Inside(story, 7 + rank, second=0, rank=rank, world_size=8)
        for second in range(0, 3601, 2):
            process.spent(second, data_wait=second * 0.25, backward=second * 0.5)
    run = story.ends(cpu_s=3000, busy_s=3100).settled()
    found = parts(run)
    assert found["data_wait"]["energy_j"] == pytest.approx(9000, rel=0.001)
    assert sum(p["energy_j"] for p in found.values()) == pytest.approx(36_000)
