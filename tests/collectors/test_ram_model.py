"""Modelled energy of memory, and when there is need of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.base import Collector, Device, Reading, Resumable
from collectors.cpu_model import cpu_model_collector
from collectors.ram_model import (
    BOAVIZTA_W_PER_GB,
    CLOUD_CARBON_FOOTPRINT_W_PER_GB,
    RamModelCollector,
    ram_model_collector,
    ram_needs_model,
)
from tests.support.machine_tree import ICE_LAKE_SP, MachineTree

GIB = 1 << 30
PACKAGE = Device("rapl:package-0", "cpu", "package", "measured", "die", "RAPL")
DRAM = Device("rapl:dram-0", "ram", "dram", "measured", "die", "RAPL")
PSYS = Device("rapl:psys", "system", "psys", "measured", "board", "RAPL", encloses=("cpu", "ram"))
GPU = Device("nvidia:GPU-1", "gpu", "H100", "measured", "board", "NVML")


@pytest.fixture
def tree(tmp_path: Path) -> MachineTree:
    tree = MachineTree(tmp_path)
    tree.cpu(ICE_LAKE_SP, 4)
    tree.memory(64 * GIB)
    return tree


@pytest.mark.parametrize(
    ("devices", "needed"),
    [
        ([PACKAGE], True),
        ([PACKAGE, GPU], True),
        ([PACKAGE, DRAM], False),
        ([PACKAGE, PSYS], True),  # psys counts only where nothing finer is measured
        ([PSYS], False),
        ([GPU], False),
        ([], False),
    ],
)
def test_ram_is_modelled_only_where_no_figure_contains_it(
    devices: list[Device], needed: bool
) -> None:
    assert ram_needs_model(devices) is needed


def test_the_whole_server_model_has_its_ram_inside(tree: MachineTree) -> None:
    assert not ram_needs_model(cpu_model_collector(tree.host).probe().devices)


def test_energy_is_watts_per_gigabyte_times_memory_times_wall(tree: MachineTree) -> None:
    collector = ram_model_collector(tree.host)
    assert collector.probe().ok
    tree.clock.forward(100.0)
    (reading,) = collector.read()
    assert isinstance(reading, Reading)
    assert reading.energy_uj == pytest.approx(0.338 * 64 * 100e6)
    assert reading.low_uj is not None
    assert reading.high_uj is not None
    # Both published models lie inside the bounds.
    for watts in (BOAVIZTA_W_PER_GB, CLOUD_CARBON_FOOTPRINT_W_PER_GB):
        assert reading.low_uj < watts * 64 * 100e6 < reading.high_uj


def test_a_memory_limit_is_respected_and_said(tree: MachineTree) -> None:
    tree.cgroup_v2(memory__max=f"{8 * GIB}\n")
    collector = ram_model_collector(tree.host)
    (device,) = collector.probe().devices
    assert "covers the memory limit, 8 GB of 64" in device.note
    assert (device.origin, device.boundary, device.domain) == ("estimated", "board", "ram")
    assert collector.idle_power_w().value == pytest.approx(0.338 * 8)


def test_unknown_memory_is_no_device_and_no_zero(tmp_path: Path) -> None:
    collector = RamModelCollector(MachineTree(tmp_path).host)
    assert not collector.probe().ok
    assert collector.read() == ()


def test_a_successor_goes_on(tree: MachineTree) -> None:
    first, second = ram_model_collector(tree.host), ram_model_collector(tree.host)
    first.probe()
    tree.clock.forward(10.0)
    second.probe()
    second.resume(first.state())
    assert second.read() == first.read()
    assert isinstance(first, Collector)
    assert isinstance(first, Resumable)
