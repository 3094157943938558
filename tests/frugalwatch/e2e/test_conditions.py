"""Clock and temperature of a real run: written while it goes on, and not for the shortest jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.frugalwatch.e2e.kit import Frugalwatch
from tests.support.fake_sysfs import Constant, PowercapTree, Zone, write_chip


@pytest.fixture
def machine(frugalwatch: Frugalwatch) -> Frugalwatch:
    root = frugalwatch.folder / "sys"
    frugalwatch.environment["FRUGALWATCH_SYSFS"] = str(root)
    clock = root / "devices" / "system" / "cpu" / "cpu0" / "cpufreq" / "scaling_cur_freq"
    clock.parent.mkdir(parents=True)
    clock.write_text("3400000\n")
    write_chip(root, "hwmon3", "k10temp", {"temp1_input": 61_250, "temp1_label": "Tctl"})
    return frugalwatch


def conditions(machine: Frugalwatch) -> list[tuple[object, ...]]:
    return machine.rows(
        "SELECT v.key, c.temperature_mdegc, c.clock_hz, c.fan_ppm FROM condition c"
        " JOIN stream s ON s.id = c.stream_id JOIN device v ON v.id = s.device_id"
    )


def test_a_run_of_seconds_has_them_and_a_moment_does_not(machine: Frugalwatch) -> None:
    tree = PowercapTree(machine.folder, [Zone("package-0", Constant(50.0))])
    with tree:
        tree.start()
        machine.measure("--", "true")
        assert conditions(machine) == []
        machine.measure("--interval", "0.3", "--", "sleep", "2")
    assert conditions(machine) == [("rapl:package-0", 61_250, 3_400_000_000, None)]


def test_a_machine_that_tells_none_has_none(frugalwatch: Frugalwatch, tmp_path: Path) -> None:
    frugalwatch.environment["FRUGALWATCH_SYSFS"] = str(tmp_path / "empty")
    frugalwatch.measure("--interval", "0.3", "--", "sleep", "1.5")
    assert conditions(frugalwatch) == []
