"""hwmon chips: which figures are used, what contains what, and what is left alone."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from collectors.base import Device, Gap, Observation, Probe, Reading
from collectors.host import Host
from collectors.hwmon import HwmonCollector
from tests.support.clock import Clock
from tests.support.fake_sysfs import (
    Feeder,
    Ramp,
    Square,
    Target,
    write_amd_gpu,
    write_chip,
    write_power_supply,
)

JETSON: dict[str, int | str] = {
    "in1_label": "VDD_IN",
    "in1_input": 5000,
    "curr1_input": 2000,
    "in2_label": "VDD_CPU_GPU_CV",
    "in2_input": 5000,
    "curr2_input": 1000,
    "in3_label": "VDD_SOC",
    "in3_input": 5000,
    "curr3_input": 500,
    "in7_label": "sum of shunt voltages",
    "in7_input": 10,
}


def devices(probe: Probe) -> dict[str, Device]:
    return {device.key: device for device in probe.devices}


def readings(observations: list[Observation]) -> dict[str, Reading]:
    return {o.device: o for o in observations if isinstance(o, Reading)}


def test_energy_counter_is_measured_and_preferred_to_power(tmp_path: Path) -> None:
    clock = Clock()
    chip = write_chip(tmp_path, "hwmon0", "i915", {"energy1_input": 1_000_000, "power1_input": 9})
    source = HwmonCollector(Host(str(tmp_path), clock_ns=clock))
    (device,) = source.probe().devices
    assert (device.key, device.domain, device.origin) == (
        "hwmon:i915:energy1",
        "gpu",
        "measured",
    )
    (chip / "energy1_input").write_text("26000000\n")
    clock.forward(1.0)
    (reading,) = readings(list(source.read())).values()
    assert reading.energy_uj == 25_000_000
    assert reading.power_w == pytest.approx(25.0)


def test_power_sensor_is_derived_and_integrated(tmp_path: Path) -> None:
    clock = Clock()
    write_chip(tmp_path, "hwmon0", "power_meter", {"power1_average": 200_000_000})
    source = HwmonCollector(Host(str(tmp_path), clock_ns=clock))
    (device,) = source.probe().devices
    assert (device.origin, device.domain, device.boundary) == ("derived", "system", "server_ac")
    clock.forward(2.0)
    (reading,) = readings(list(source.read())).values()
    assert reading.energy_uj == 400_000_000


def test_jetson_rails_are_part_of_the_input_rail(tmp_path: Path) -> None:
    clock = Clock()
    write_chip(tmp_path, "hwmon1", "ina3221", JETSON)
    source = HwmonCollector(Host(str(tmp_path), clock_ns=clock))
    found = devices(source.probe())
    assert set(found) == {
        "hwmon:ina3221:VDD_IN",
        "hwmon:ina3221:VDD_CPU_GPU_CV",
        "hwmon:ina3221:VDD_SOC",
    }
    assert found["hwmon:ina3221:VDD_IN"].domain == "system"
    assert "cpu" in found["hwmon:ina3221:VDD_IN"].encloses
    for rail in ("VDD_CPU_GPU_CV", "VDD_SOC"):
        assert found[f"hwmon:ina3221:{rail}"].part_of == "hwmon:ina3221:VDD_IN"
    clock.forward(1.0)
    assert readings(list(source.read()))["hwmon:ina3221:VDD_IN"].power_w == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("label", "domain"),
    [("VDD_CPU_CV", "cpu"), ("VDD_GPU_SOC", "gpu"), ("VDDQ_VDD2_1V8AO", "ram"), ("5V", "other")],
)
def test_rail_is_placed_by_its_name(tmp_path: Path, label: str, domain: str) -> None:
    files: dict[str, int | str] = {"in1_label": label, "in1_input": 5000, "curr1_input": 100}
    write_chip(tmp_path, "hwmon1", "ina3221", files)
    (device,) = HwmonCollector(Host(str(tmp_path))).probe().devices
    assert (device.domain, device.part_of) == (domain, None)


def test_cores_of_amd_energy_are_left_out_since_the_socket_contains_them(tmp_path: Path) -> None:
    files: dict[str, int | str] = {
        "energy1_label": "Ecore000",
        "energy1_input": 5,
        "energy2_label": "Esocket0",
        "energy2_input": 50,
    }
    write_chip(tmp_path, "hwmon2", "amd_energy", files)
    (device,) = HwmonCollector(Host(str(tmp_path))).probe().devices
    assert (device.key, device.domain) == ("hwmon:amd_energy:Esocket0", "cpu")
    assert "same counter as RAPL" in device.note


def test_chip_energy_of_an_intel_card_is_part_of_the_card(tmp_path: Path) -> None:
    files: dict[str, int | str] = {
        "energy1_label": "card",
        "energy1_input": 5,
        "energy2_label": "pkg",
        "energy2_input": 4,
    }
    write_chip(tmp_path, "hwmon2", "xe", files)
    found = devices(HwmonCollector(Host(str(tmp_path))).probe())
    assert found["hwmon:xe:pkg"].part_of == "hwmon:xe:card"
    assert found["hwmon:xe:card"].part_of is None


def test_two_chips_of_one_name_have_keys_that_outlive_a_boot(tmp_path: Path) -> None:
    for number, address in ((3, "1-0040"), (4, "1-0041")):
        chip = write_chip(tmp_path, f"hwmon{number}", "ina3221", JETSON)
        bus = tmp_path / "devices" / address
        bus.mkdir(parents=True)
        (chip / "device").symlink_to(bus)
    found = devices(HwmonCollector(Host(str(tmp_path))).probe())
    assert "hwmon:ina3221@1-0040:VDD_SOC" in found
    assert found["hwmon:ina3221@1-0041:VDD_SOC"].part_of == "hwmon:ina3221@1-0041:VDD_IN"


def test_chips_of_other_collectors_and_unknown_chips_are_not_used(tmp_path: Path) -> None:
    write_amd_gpu(tmp_path, "card0", "0000:03:00.0", {"power1_average": 25_000_000})
    write_chip(tmp_path, "hwmon0", "coretemp", {"temp1_input": 40000})
    write_chip(tmp_path, "hwmon1", "mystery", {"power1_input": 1})
    supply = write_power_supply(tmp_path, "BAT0", {"type": "Battery"})
    battery = write_chip(tmp_path, "hwmon2", "ina219", JETSON)
    os.symlink(supply, battery / "device")
    probe = HwmonCollector(Host(str(tmp_path))).probe()
    assert probe.devices == ()
    assert "mystery" in probe.reason
    assert "coretemp" not in probe.reason


def test_machine_without_hwmon_is_explained(tmp_path: Path) -> None:
    probe = HwmonCollector(Host(str(tmp_path))).probe()
    assert not probe.ok
    assert probe.reason
    assert probe.remedy


def test_failed_look_is_bridged_and_a_long_pause_is_a_gap(tmp_path: Path) -> None:
    clock = Clock()
    chip = write_chip(tmp_path, "hwmon0", "nouveau", {"power1_input": 50_000_000})
    source = HwmonCollector(Host(str(tmp_path), clock_ns=clock))
    source.probe()
    started_ns = clock.now_ns
    (chip / "power1_input").write_text("nonsense\n")
    clock.forward(1.0)
    (failed,) = source.read()
    assert isinstance(failed, Gap)
    assert (failed.cause, failed.recoverable, failed.since_mono_ns) == ("invalid", True, started_ns)
    clock.forward(20.0)
    (failed,) = source.read()
    assert isinstance(failed, Gap)
    assert not failed.recoverable
    (chip / "power1_input").write_text("50000000\n")
    clock.forward(1.0)
    gap, reading = source.read()
    assert isinstance(gap, Gap)
    assert isinstance(reading, Reading)
    assert (gap.since_mono_ns, reading.energy_uj) == (started_ns, 0)


def test_reading_moving_sensors_agrees_with_the_truth(tmp_path: Path) -> None:
    counter = write_chip(tmp_path, "hwmon0", "i915", {"energy1_input": f"{0:020d}"})
    power = write_chip(tmp_path, "hwmon1", "nouveau", {"power1_input": f"{0:020d}"})
    square, ramp = Square(20.0, 60.0, 0.7), Ramp(20.0, 80.0, 3.0)
    feeder = Feeder(
        [
            Target(str(counter / "energy1_input"), square),
            Target(str(power / "power1_input"), ramp, "power"),
        ]
    )
    feeder.start()
    try:
        source = HwmonCollector(Host(str(tmp_path)))
        source.probe()
        first = readings(list(source.read()))
        until_ns = time.monotonic_ns() + 2_500_000_000
        while time.monotonic_ns() < until_ns:
            time.sleep(0.05)
            last = readings(list(source.read()))
        late_s = feeder.lateness_s
    finally:
        feeder.stop()
    for key, trace in (("hwmon:i915:energy1", square), ("hwmon:nouveau:power1", ramp)):
        begin, end = first[key], last[key]
        true_j = trace.energy_j((end.t_mono_ns - feeder.start_ns) / 1e9)
        true_j -= trace.energy_j((begin.t_mono_ns - feeder.start_ns) / 1e9)
        allowed_j = 0.005 * true_j + 80.0 * late_s
        assert (end.energy_uj - begin.energy_uj) / 1e6 == pytest.approx(true_j, abs=allowed_j)
