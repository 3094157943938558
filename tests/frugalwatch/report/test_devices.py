from __future__ import annotations

from pathlib import Path

import pytest

from collectors.base import Device
from frugalwatch.report.devices import counted_devices, read_rows
from tests.frugalwatch.ledger.kit import device
from tests.frugalwatch.report.kit import (
    CORE,
    DRAM,
    GPU,
    GPU_KEY,
    MODEL,
    PACKAGE,
    PSYS,
    Story,
    found,
)

BATTERY = device(
    "battery",
    domain="system",
    origin="derived",
    boundary="board",
    encloses=("cpu", "gpu", "ram", "other"),
)
PACKAGE_1 = device("rapl:package-1")
RAM_MODEL = device("model:ram", domain="ram", origin="estimated", boundary="board")
APU = device("amd:0000:03:00.0", domain="gpu", origin="derived", encloses=("cpu",))
JETSON = device("hwmon:VDD_IN", domain="system", origin="derived", encloses=("cpu", "gpu", "ram"))
JETSON_RAILS = tuple(
    device(f"hwmon:{name}", domain=domain, origin="derived", part_of="hwmon:VDD_IN")
    for name, domain in (("VDD_CPU_GPU_CV", "other"), ("VDD_SOC", "other"))
)
NOTHING: tuple[Device, ...] = ()


@pytest.mark.parametrize(
    ("devices", "counted"),
    [
        pytest.param((PACKAGE, CORE, DRAM), (PACKAGE, DRAM), id="sub-zones are in their package"),
        pytest.param((PACKAGE, PACKAGE_1), (PACKAGE, PACKAGE_1), id="two packages"),
        pytest.param((PACKAGE, PSYS), (PACKAGE,), id="psys contains the package"),
        pytest.param((PSYS,), (PSYS,), id="psys alone"),
        pytest.param((PACKAGE, DRAM, GPU), (PACKAGE, DRAM, GPU), id="GPU beside the package"),
        pytest.param((PACKAGE, RAM_MODEL), (PACKAGE, RAM_MODEL), id="a model fills the hole"),
        pytest.param((BATTERY, MODEL, RAM_MODEL), (BATTERY,), id="a battery contains the models"),
        pytest.param((BATTERY, PACKAGE), (PACKAGE,), id="finer than a battery"),
        pytest.param((PSYS, BATTERY), (BATTERY,), id="of two whole machines the more complete"),
        pytest.param((GPU, MODEL), (GPU, MODEL), id="GPU measured, CPU modelled"),
        pytest.param((MODEL, DRAM), (MODEL,), id="a whole-server model contains measured memory"),
        pytest.param((PACKAGE, DRAM, MODEL), (PACKAGE, DRAM), id="a model gives way to a sensor"),
        pytest.param((APU, PACKAGE), (PACKAGE,), id="APU graphics show the whole socket"),
        pytest.param((APU, GPU), (APU, GPU), id="an APU without RAPL, and a card"),
        pytest.param((JETSON, *JETSON_RAILS), (JETSON,), id="rails are in the board's input"),
        pytest.param(NOTHING, NOTHING, id="nothing"),
    ],
)
def test_devices_that_contain_one_another_are_not_added_up(
    tmp_path: Path, devices: tuple[Device, ...], counted: tuple[Device, ...]
) -> None:
    story = Story(tmp_path / "ledger.db")
    for each in devices:
        story.reads(each, 10)
    story.ends()
    rows = read_rows(story.connection(), 1)
    assert [row.key for row in rows] == [each.key for each in devices]
    for order in (rows, rows[::-1]):
        assert counted_devices(order) == {each.key for each in counted}


def test_a_device_without_a_figure_leaves_its_place_to_another(tmp_path: Path) -> None:
    """The package's file vanished before the job: psys counts, and covers everything."""
    story = Story(tmp_path / "ledger.db")
    run = story.reads(PACKAGE, 10, times=()).reads(PSYS, 20).ends().settled()
    assert run["energy_j"] == 1200
    assert run["coverage"] == 1
    assert found(run, "rapl:package-0")["energy_j"] is None
    assert found(run, "rapl:package-0")["counted"] is False


def test_a_lost_gpu_lowers_the_coverage_and_raises_the_upper_bound(tmp_path: Path) -> None:
    story = Story(tmp_path / "ledger.db")
    story.reads(PACKAGE, 10).reads(GPU, 100, times=(0, 10, 30)).gap(GPU_KEY, 30, 60, "lost")
    run = story.ends().settled()
    assert run["energy_j"] == 600 + 3000
    assert run["energy_high_j"] == pytest.approx(600 + 3000 * 1.06 + 30 * 400)
    assert run["coverage"] == pytest.approx(0.5)


def test_a_gpu_that_never_answered_covers_nothing(tmp_path: Path) -> None:
    run = Story(tmp_path / "l.db").reads(PACKAGE, 10).reads(GPU, 1, times=()).ends().settled()
    assert run["energy_j"] == 600
    assert run["coverage"] == 0


def test_the_share_of_a_gpu_is_its_own_and_not_the_processors(tmp_path: Path) -> None:
    story = Story(tmp_path / "ledger.db").reads(PACKAGE, 10).reads(GPU, 100)
    story.gpu_use(GPU_KEY, 0, 0, 0).gpu_use(GPU_KEY, 60, 15, 20)
    run = story.ends(cpu_s=10, busy_s=100).settled()
    assert found(run, GPU_KEY)["job_share_j"] == pytest.approx(6000 * 0.75)
    assert found(run, "rapl:package-0")["job_share_j"] == pytest.approx(60)
    assert run["job_share_j"] == pytest.approx(4560)


def test_a_gpu_whose_users_are_unknown_may_be_the_jobs_or_not(tmp_path: Path) -> None:
    """In a container the driver names no process; so much is said, with bounds from 0."""
    run = (
        Story(tmp_path / "ledger.db")
        .reads(PACKAGE, 10)
        .reads(GPU, 100)
        .ends(cpu_s=10, busy_s=100)
        .settled()
    )
    assert found(run, GPU_KEY)["job_share_j"] is None
    assert run["job_share_j"] == pytest.approx(60 + 6000)
    assert run["job_share_low_j"] == 0


def test_the_share_of_a_model_is_taken_above_its_own_idle_power(tmp_path: Path) -> None:
    story = Story(tmp_path / "ledger.db").reads(MODEL, 4.7, spread=(0.5, 2))
    run = story.ends(cpu_s=25, busy_s=50).settled()
    assert run["estimated_above_idle_j"] == pytest.approx(60 * 3.0)
    assert run["estimated_job_share_j"] == pytest.approx(90)
    assert run["estimated_job_share_low_j"] == pytest.approx(45)
    assert run["energy_j"] is None
