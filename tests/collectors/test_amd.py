"""AMD GPUs through amdgpu's sysfs files."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.amd import AmdCollector
from collectors.base import Gap, Reading
from collectors.host import Host
from tests.support.clock import Clock
from tests.support.fake_sysfs import write_amd_gpu

ADDRESS = "0000:03:00.0"


def test_card_is_found_and_its_power_integrated(tmp_path: Path) -> None:
    clock = Clock()
    write_amd_gpu(
        tmp_path, "card0", ADDRESS, {"power1_average": 25_000_000, "power1_cap": 300_000_000}
    )
    (tmp_path / "class" / "drm" / "card0-DP-1").mkdir()
    source = AmdCollector(Host(str(tmp_path), clock_ns=clock))
    (device,) = source.probe().devices
    assert (device.key, device.domain, device.origin) == (f"amd:{ADDRESS}", "gpu", "derived")
    assert (device.boundary, device.power_limit_w) == ("board", 300.0)
    clock.forward(4.0)
    (reading,) = source.read()
    assert isinstance(reading, Reading)
    assert reading.energy_uj == 100_000_000


def test_unique_id_is_the_key_where_the_driver_shows_one(tmp_path: Path) -> None:
    chip = write_amd_gpu(tmp_path, "card0", ADDRESS, {"power1_input": 1, "power1_cap": 1})
    (chip / "device" / "unique_id").write_text("4c9e2f0d1a2b3c4d\n")
    (device,) = AmdCollector(Host(str(tmp_path))).probe().devices
    assert device.key == "amd:4c9e2f0d1a2b3c4d"


def test_processor_with_graphics_encloses_the_cpu(tmp_path: Path) -> None:
    write_amd_gpu(tmp_path, "card0", ADDRESS, {"power1_input": 12_000_000})
    (device,) = AmdCollector(Host(str(tmp_path))).probe().devices
    assert device.encloses == ("cpu",)
    assert "contains the CPU" in device.note


def test_card_of_another_vendor_is_not_used(tmp_path: Path) -> None:
    chip = write_amd_gpu(tmp_path, "card0", ADDRESS, {"power1_input": 1})
    (chip / "device" / "vendor").write_text("0x8086\n")
    probe = AmdCollector(Host(str(tmp_path))).probe()
    assert not probe.ok
    assert "modprobe amdgpu" in probe.remedy


def test_sleeping_card_is_a_gap_and_its_sensor_is_not_touched(tmp_path: Path) -> None:
    clock = Clock()
    chip = write_amd_gpu(tmp_path, "card0", ADDRESS, {"power1_input": 9_000_000})
    source = AmdCollector(Host(str(tmp_path), clock_ns=clock))
    source.probe()
    (chip / "device" / "power").mkdir()
    (chip / "device" / "power" / "runtime_status").write_text("suspended\n")
    clock.forward(1.0)
    (gap,) = source.read()
    assert isinstance(gap, Gap)
    assert "sleeps" in gap.detail


def test_lost_card_keeps_what_was_measured_before(tmp_path: Path) -> None:
    clock = Clock()
    chip = write_amd_gpu(tmp_path, "card0", ADDRESS, {"power1_input": 9_000_000})
    write_amd_gpu(tmp_path, "card1", "0000:04:00.0", {"power1_input": 5_000_000})
    source = AmdCollector(Host(str(tmp_path), clock_ns=clock))
    assert len(source.probe().devices) == 2
    clock.forward(1.0)
    before = [o for o in source.read() if isinstance(o, Reading)]
    assert [reading.energy_uj for reading in before] == [9_000_000, 5_000_000]
    (chip / "power1_input").unlink()
    clock.forward(1.0)
    lost, other = source.read()
    assert isinstance(lost, Gap)
    assert lost.cause == "vanished"
    assert isinstance(other, Reading)
    assert other.energy_uj == 10_000_000


@pytest.mark.parametrize("files", [{}, {"temp1_input": 1}])
def test_card_without_power_is_named(tmp_path: Path, files: dict[str, int | str]) -> None:
    write_amd_gpu(tmp_path, "card0", ADDRESS, files)
    probe = AmdCollector(Host(str(tmp_path))).probe()
    assert not probe.ok
    assert ADDRESS in probe.reason
