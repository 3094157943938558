"""Temperature, clock, fan and utilisation from kernel files."""

from __future__ import annotations

from pathlib import Path

from collectors.amd import AmdCollector
from collectors.base import Condition, Device, Domain
from collectors.conditions import CpuConditions
from collectors.host import Host
from collectors.hwmon import HwmonCollector
from tests.support.clock import Clock
from tests.support.fake_sysfs import write_amd_gpu, write_chip


def a_device(key: str, domain: Domain = "cpu", part_of: str | None = None) -> Device:
    return Device(key, domain, key, "measured", "die", "RAPL", part_of=part_of)


def put_thread(root: Path, number: int, package: int, clock_khz: int) -> None:
    folder = root / "devices" / "system" / "cpu" / f"cpu{number}"
    for name, value in (
        ("cpufreq/scaling_cur_freq", clock_khz),
        ("topology/physical_package_id", package),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{value}\n")


def put_chip(
    root: Path, device: str, number: int, driver: str, files: dict[str, int | str]
) -> None:
    chip = write_chip(root, f"hwmon{number}", driver, files)
    folder = root / "devices" / device
    folder.mkdir(parents=True)
    (chip / "device").symlink_to(folder)


def test_each_package_has_its_own_clock_and_temperature(tmp_path: Path) -> None:
    for number in range(32):
        put_thread(tmp_path, number, number % 2, 1_000_000 if number % 2 else 3_000_000)
    for package, celsius in ((0, 61), (1, 48)):
        put_chip(
            tmp_path,
            f"coretemp.{package}",
            7 - package,
            "coretemp",
            {
                "temp1_input": celsius * 1000,
                "temp1_label": f"Package id {package}",
                "temp2_input": 99_000,
                "temp2_label": "Core 0",
            },
        )
    devices = [
        a_device("rapl:package-0"),
        a_device("rapl:package-1"),
        a_device("rapl:package-1:core", part_of="rapl:package-1"),
        a_device("model:cpu"),
        a_device("model:ram", "ram"),
    ]
    seen = CpuConditions(Host(str(tmp_path), clock_ns=Clock()), devices).conditions()
    assert {one.device: (one.temperature_c, one.clock_hz) for one in seen} == {
        "rapl:package-0": (61.0, 3e9),
        "rapl:package-1": (48.0, 1e9),
        "model:cpu": (61.0, 2e9),
    }


def test_the_whole_processor_is_meant_and_not_one_of_its_dies(tmp_path: Path) -> None:
    put_chip(
        tmp_path,
        "0000:00:18.3",
        2,
        "k10temp",
        {"temp1_input": 70_000, "temp1_label": "Tctl", "temp3_input": 55_000, "temp3_label": "T1"},
    )
    (seen,) = CpuConditions(Host(str(tmp_path)), [a_device("model:cpu")]).conditions()
    assert (seen.temperature_c, seen.clock_hz) == (70.0, None)


def test_a_thermal_zone_stands_in_where_no_chip_is_known(tmp_path: Path) -> None:
    for number, (kind, celsius) in enumerate((("acpitz", 27_800), ("x86_pkg_temp", 52_000))):
        zone = tmp_path / "class" / "thermal" / f"thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{celsius}\n")
    (seen,) = CpuConditions(Host(str(tmp_path)), [a_device("model:cpu")]).conditions()
    assert seen.temperature_c == 52.0


def test_a_machine_that_tells_nothing_gives_nothing(tmp_path: Path) -> None:
    assert CpuConditions(Host(str(tmp_path)), [a_device("model:cpu")]).conditions() == []


def test_an_amd_card_tells_all_four_unless_it_sleeps(tmp_path: Path) -> None:
    files: dict[str, int | str] = {
        "power1_average": 1,
        "temp1_input": 64_000,
        "freq1_input": 2_100_000_000,
        "fan1_input": 900,
        "fan1_max": 3600,
    }
    chip = write_amd_gpu(tmp_path, "card0", "0000:03:00.0", files)
    (chip / "device" / "gpu_busy_percent").write_text("97\n")
    source = AmdCollector(Host(str(tmp_path), clock_ns=Clock()))
    source.probe()
    (seen,) = source.conditions()
    assert isinstance(seen, Condition)
    assert tuple(seen[2:]) == (64.0, 2.1e9, 0.25, 0.97)
    (chip / "device" / "power").mkdir(exist_ok=True)
    (chip / "device" / "power" / "runtime_status").write_text("suspended\n")
    assert source.conditions() == []


def test_a_gpu_chip_of_hwmon_tells_its_temperature(tmp_path: Path) -> None:
    write_chip(
        tmp_path,
        "hwmon1",
        "xe",
        {"energy1_input": 5, "energy1_label": "card", "temp1_input": 41_000, "temp1_label": "pkg"},
    )
    source = HwmonCollector(Host(str(tmp_path)))
    assert source.probe().ok
    (seen,) = source.conditions()
    assert (seen.device, seen.temperature_c, seen.fan_share) == ("hwmon:xe:card", 41.0, None)
