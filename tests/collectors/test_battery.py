"""Batteries: only while they are discharged, all of them as one device."""

from __future__ import annotations

from pathlib import Path

import pytest

from collectors.base import Gap, Reading
from collectors.battery import BatteryCollector
from collectors.host import Host
from tests.support.clock import Clock
from tests.support.fake_sysfs import write_power_supply

BATTERY: dict[str, int | str] = {
    "type": "Battery",
    "status": "Discharging",
    "power_now": 9_000_000,
}


def test_discharge_is_integrated_for_the_whole_machine(tmp_path: Path) -> None:
    clock = Clock()
    write_power_supply(tmp_path, "BAT0", BATTERY)
    write_power_supply(tmp_path, "AC", {"type": "Mains", "online": 0})
    source = BatteryCollector(Host(str(tmp_path), clock_ns=clock))
    (device,) = source.probe().devices
    assert (device.domain, device.boundary, device.origin) == ("system", "board", "derived")
    assert device.encloses == ("cpu", "gpu", "ram", "other")
    clock.forward(10.0)
    (reading,) = source.read()
    assert isinstance(reading, Reading)
    assert reading.energy_uj == 90_000_000


def test_two_batteries_add_up(tmp_path: Path) -> None:
    clock = Clock()
    write_power_supply(tmp_path, "BAT0", BATTERY)
    write_power_supply(tmp_path, "BAT1", BATTERY | {"power_now": 1_000_000})
    source = BatteryCollector(Host(str(tmp_path), clock_ns=clock))
    source.probe()
    clock.forward(1.0)
    (reading,) = source.read()
    assert isinstance(reading, Reading)
    assert reading.power_w == pytest.approx(10.0)


def test_resting_second_battery_does_not_hide_the_first(tmp_path: Path) -> None:
    write_power_supply(tmp_path, "BAT0", BATTERY)
    write_power_supply(tmp_path, "BAT1", BATTERY | {"status": "Not charging", "power_now": 0})
    assert BatteryCollector(Host(str(tmp_path))).probe().ok


def test_current_times_voltage_serves_where_power_is_missing(tmp_path: Path) -> None:
    clock = Clock()
    files: dict[str, int | str] = {
        "type": "Battery",
        "status": "Discharging",
        "current_now": -800_000,
        "voltage_now": 12_000_000,
    }
    write_power_supply(tmp_path, "BAT0", files)
    source = BatteryCollector(Host(str(tmp_path), clock_ns=clock))
    source.probe()
    clock.forward(1.0)
    (reading,) = source.read()
    assert isinstance(reading, Reading)
    assert reading.power_w == pytest.approx(9.6)


@pytest.mark.parametrize(
    ("status", "online"), [("Charging", 1), ("Full", 1), ("Discharging", 1), ("Charging", 0)]
)
def test_on_mains_there_is_no_device_but_a_reason(tmp_path: Path, status: str, online: int) -> None:
    write_power_supply(tmp_path, "BAT0", BATTERY | {"status": status})
    write_power_supply(tmp_path, "AC", {"type": "Mains", "online": online})
    probe = BatteryCollector(Host(str(tmp_path))).probe()
    assert not probe.ok
    assert "on mains power" in probe.reason
    assert "unplug" in probe.remedy


def test_plugging_in_is_a_gap_and_later_use_is_not_joined_to_before(tmp_path: Path) -> None:
    clock = Clock()
    write_power_supply(tmp_path, "BAT0", BATTERY)
    source = BatteryCollector(Host(str(tmp_path), clock_ns=clock))
    source.probe()
    clock.forward(1.0)
    source.read()
    write_power_supply(tmp_path, "BAT0", BATTERY | {"status": "Charging"})
    clock.forward(1.0)
    (gap,) = source.read()
    assert isinstance(gap, Gap)
    assert (gap.recoverable, "on mains power" in gap.detail) == (False, True)
    write_power_supply(tmp_path, "BAT0", BATTERY)
    clock.forward(1.0)
    (reading,) = source.read()
    assert isinstance(reading, Reading)
    assert reading.energy_uj == 9_000_000
    clock.forward(1.0)
    (reading,) = source.read()
    assert isinstance(reading, Reading)
    assert reading.energy_uj == 18_000_000


def test_mouse_battery_and_desktop_have_no_battery(tmp_path: Path) -> None:
    write_power_supply(tmp_path, "hidpp_battery_0", BATTERY | {"scope": "Device"})
    probe = BatteryCollector(Host(str(tmp_path))).probe()
    assert probe.reason == "this machine has no battery"
    assert BatteryCollector(Host(str(tmp_path))).read() == []


def test_gauge_without_figures_is_explained(tmp_path: Path) -> None:
    write_power_supply(tmp_path, "BAT0", {"type": "Battery", "status": "Discharging"})
    probe = BatteryCollector(Host(str(tmp_path))).probe()
    assert not probe.ok
    assert "neither power nor current" in probe.reason
