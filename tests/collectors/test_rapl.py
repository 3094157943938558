"""RAPL through a fake /sys: what is counted, what is never counted twice, what a failure costs."""

from __future__ import annotations

import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collectors.base import Gap, Observation, Probe, Reading
from collectors.host import Host
from collectors.rapl import RaplCollector
from tests.support.clock import NS, Clock
from tests.support.fake_sysfs import Constant, PowercapTree, Ramp, Square, Zone
from tests.support.unprivileged import as_nobody

REPOSITORY = Path(__file__).resolve().parents[2]


def collector(tree: PowercapTree, clock: Callable[[], int] | None = None) -> RaplCollector:
    """A collector on the tree, with the tree's or a scripted clock."""
    return RaplCollector(Host(sysfs=tree.sysfs, clock_ns=clock or time.monotonic_ns))


def readings(observations: list[Observation]) -> dict[str, Reading]:
    return {o.device: o for o in observations if isinstance(o, Reading)}


def gaps(observations: list[Observation]) -> list[Gap]:
    return [o for o in observations if isinstance(o, Gap)]


def keys(probe: Probe) -> set[str]:
    return {device.key for device in probe.devices}


def counted_j(probe: Probe, observations: list[Observation]) -> float:
    """The sum as a consumer makes it: what nothing else contains, the whole machine left out."""
    found = readings(observations)
    return sum(
        found[device.key].energy_uj / 1e6
        for device in probe.devices
        if device.part_of is None and device.domain != "system"
    )


SERVER = (
    Zone(
        "package-0",
        start_j=1000.0,
        max_power_w=150.0,
        limit_w=120.0,
        subzones=(Zone("core", start_j=10.0), Zone("dram", start_j=20.0)),
    ),
    Zone("package-1", start_j=2000.0, subzones=(Zone("dram", start_j=30.0),)),
    Zone("psys", start_j=5000.0),
)


def test_devices_say_what_they_are_and_what_contains_them(tmp_path: Path) -> None:
    probe = collector(PowercapTree(tmp_path, SERVER)).probe()
    devices = {device.key: device for device in probe.devices}
    assert set(devices) == {
        "rapl:package-0",
        "rapl:package-0:core",
        "rapl:package-0:dram",
        "rapl:package-1",
        "rapl:package-1:dram",
        "rapl:psys",
    }
    assert devices["rapl:package-0:core"].part_of == "rapl:package-0"
    assert devices["rapl:package-0:dram"].part_of is None
    assert devices["rapl:package-0:dram"].domain == "ram"
    assert devices["rapl:psys"].domain == "system"
    assert devices["rapl:psys"].encloses == ("cpu", "ram")
    assert devices["rapl:psys"].boundary == "board"
    assert devices["rapl:package-0"].power_limit_w == 120.0
    # three times 150 W against a range of 262143 J
    assert devices["rapl:package-0"].max_poll_s == pytest.approx(262_143.328850 / 450)
    assert all(device.origin == "measured" for device in probe.devices)
    assert (probe.reason, probe.verified) == ("", False)


@pytest.mark.parametrize("links", [True, False])
def test_flat_and_nested_trees_show_the_same_zones(tmp_path: Path, links: bool) -> None:
    tree = PowercapTree(tmp_path, SERVER, links=links)
    if not links:  # a simulated tree without the class folder's links: folders only
        shutil.rmtree(tmp_path / "sys" / "class" / "powercap")
        shutil.copytree(
            tmp_path / "sys" / "devices" / "virtual" / "powercap",
            tmp_path / "sys" / "class" / "powercap",
        )
    probe = collector(tree).probe()
    assert len(probe.devices) == 6


def test_nothing_is_counted_twice(tmp_path: Path) -> None:
    zones = (
        Zone(
            "package-0",
            mmio=True,
            subzones=(Zone("core"), Zone("uncore"), Zone("dram")),
        ),
        Zone("psys"),
    )
    clock = Clock()
    tree = PowercapTree(tmp_path, zones)
    source = collector(tree, clock)
    probe = source.probe()
    assert {device.source for device in probe.devices} == {"intel-rapl"}
    clock.forward(1.0)
    for zone, energy_j in (
        ("package-0", 50.0),
        ("package-0:core", 30.0),
        ("package-0:uncore", 5.0),
        ("package-0:dram", 7.0),
        ("psys", 90.0),
    ):
        tree.set_j(zone, energy_j)
    assert counted_j(probe, list(source.read())) == pytest.approx(57.0)


def test_mmio_copy_serves_where_the_msr_zone_is_missing(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, [Zone("package-0", mmio=True, msr=False)])
    probe = collector(tree).probe()
    assert [device.key for device in probe.devices] == ["rapl:package-0"]
    assert probe.devices[0].source == "intel-rapl-mmio"


def test_mmio_copy_serves_where_the_msr_zone_fails(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, [Zone("package-0", mmio=True)])
    tree.fail("package-0")
    probe = collector(tree).probe()
    assert [device.source for device in probe.devices] == ["intel-rapl-mmio"]
    assert probe.reason == ""


def test_dies_that_show_one_figure_are_one_device(tmp_path: Path) -> None:
    def dies(folder: str, second_j: float) -> set[str]:
        zones = (
            Zone("package-0-die-0", start_j=700.0),
            Zone("package-0-die-1", start_j=second_j),
            Zone("package-1-die-0", start_j=700.0),
        )
        return keys(collector(PowercapTree(tmp_path / folder, zones)).probe())

    apart = {"rapl:package-0-die-0", "rapl:package-0-die-1", "rapl:package-1-die-0"}
    assert dies("apart", 701.0) == apart
    # Another package's figure may be equal by chance; it is kept.
    assert dies("mirrored", 700.0) == apart - {"rapl:package-0-die-1"}


def test_dies_that_stand_at_zero_are_not_taken_for_copies(tmp_path: Path) -> None:
    zones = (Zone("package-0-die-0"), Zone("package-0-die-1"))
    assert len(collector(PowercapTree(tmp_path, zones)).probe().devices) == 2


def test_packages_with_equal_figures_are_both_counted(tmp_path: Path) -> None:
    zones = (Zone("package-0", start_j=5.0), Zone("package-1", start_j=5.0))
    assert len(collector(PowercapTree(tmp_path, zones)).probe().devices) == 2


def test_first_probe_sets_the_zero_and_a_second_one_keeps_it(tmp_path: Path) -> None:
    clock = Clock()
    tree = PowercapTree(tmp_path, [Zone("package-0", start_j=1000.0)])
    source = collector(tree, clock)
    source.probe()
    clock.forward(1.0)
    tree.set_j("package-0", 1040.0)
    source.probe()
    assert readings(list(source.read()))["rapl:package-0"].energy_uj == 40_000_000


def test_wrap_adds_one_range(tmp_path: Path) -> None:
    clock = Clock()
    tree = PowercapTree(tmp_path, [Zone("package-0", start_j=262_120.0)])
    source = collector(tree, clock)
    source.probe()
    clock.forward(1.0)
    tree.set_j("package-0", 20.0)
    observations = list(source.read())
    assert gaps(observations) == []
    assert readings(observations)["rapl:package-0"].energy_uj == 43_328_850


def test_reset_is_a_gap_and_the_figure_goes_on(tmp_path: Path) -> None:
    clock = Clock()
    tree = PowercapTree(tmp_path, [Zone("package-0", start_j=100_000.0)])
    source = collector(tree, clock)
    source.probe()
    started_ns = clock.now_ns
    clock.forward(1.0)
    tree.reset("package-0")
    (gap,) = gaps(list(source.read()))
    assert (gap.cause, gap.since_mono_ns, gap.recoverable) == ("reset", started_ns, False)
    clock.forward(1.0)
    tree.set_j("package-0", 40.0)
    observations = list(source.read())
    assert gaps(observations) == []
    assert readings(observations)["rapl:package-0"].energy_uj == 40_000_000


def test_possible_double_wrap_is_ambiguous_with_the_truth_inside(tmp_path: Path) -> None:
    clock = Clock()
    tree = PowercapTree(tmp_path, [Zone("package-0", range_j=300.0)])
    source = collector(tree, clock)
    source.probe()
    clock.forward(10.0)  # 400 J at 40 W, of which 100 J show
    tree.set_j("package-0", 100.0)
    observations = list(source.read())
    (gap,) = gaps(observations)
    assert (gap.cause, gap.recoverable) == ("ambiguous", False)
    reading = readings(observations)["rapl:package-0"]
    assert reading.energy_uj == 100_000_000
    assert reading.low_uj is not None
    assert reading.high_uj is not None
    assert reading.low_uj <= 400_000_000 <= reading.high_uj


@pytest.mark.parametrize("how", ["fail", "make_directory"])
def test_failure_of_one_zone_costs_the_others_nothing_and_is_made_good(
    tmp_path: Path, how: str
) -> None:
    clock = Clock()
    tree = PowercapTree(tmp_path, [Zone("package-0"), Zone("package-1")])
    source = collector(tree, clock)
    source.probe()
    clock.forward(1.0)
    getattr(tree, how)("package-0")
    tree.set_j("package-1", 30.0)
    observations = list(source.read())
    (gap,) = gaps(observations)
    assert (gap.device, gap.cause, gap.recoverable) == ("rapl:package-0", "invalid", True)
    assert readings(observations)["rapl:package-1"].energy_uj == 30_000_000
    clock.forward(1.0)
    if how == "make_directory":
        tree.energy_file("package-0").rmdir()
    tree.set_j("package-0", 80.0)
    assert readings(list(source.read()))["rapl:package-0"].energy_uj == 80_000_000


def test_zone_that_fails_at_first_is_found_by_a_later_probe(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, [Zone("package-0"), Zone("package-1")])
    tree.fail("package-0")
    source = collector(tree)
    probe = source.probe()
    assert keys(probe) == {"rapl:package-1"}
    assert "rapl:package-0" in probe.reason
    assert probe.remedy
    tree.set_j("package-0", 5.0)
    assert keys(source.probe()) == {"rapl:package-0", "rapl:package-1"}


def test_vanished_zone_that_returns_loses_no_energy(tmp_path: Path) -> None:
    clock = Clock()
    tree = PowercapTree(tmp_path, [Zone("package-0"), Zone("package-1")])
    source = collector(tree, clock)
    source.probe()
    tree.vanish("package-0")
    clock.forward(1.0)
    (gap,) = gaps(list(source.read()))
    assert (gap.device, gap.cause) == ("rapl:package-0", "vanished")
    tree.restore("package-0")
    tree.set_j("package-0", 60.0)
    clock.forward(1.0)
    observations = list(source.read())
    assert gaps(observations) == []
    assert readings(observations)["rapl:package-0"].energy_uj == 60_000_000


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A folder that a user without rights can reach, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def probe_as_user(tree: PowercapTree) -> tuple[list[str], str, str]:
    """Keys, reason and remedy of a probe by a user without rights."""

    def look() -> list[object]:
        probe = collector(tree).probe()
        return [[device.key for device in probe.devices], probe.reason, probe.remedy]

    found, reason, remedy = as_nobody(look)
    return found, reason, remedy


def test_unreadable_counters_give_the_reason_and_a_remedy(public_path: Path) -> None:
    zones = [Zone("package-0", subzones=(Zone("core"),)), Zone("package-1")]
    tree = PowercapTree(public_path, zones)
    for zone in ("package-0", "package-0:core", "package-1"):
        tree.make_unreadable(zone)
    found, reason, remedy = probe_as_user(tree)
    assert found == []
    assert reason == "energy_uj is readable by root only since CVE-2020-8694 (PLATYPUS)"
    assert "chgrp" in remedy


def test_one_readable_package_of_two_is_used_and_the_other_explained(public_path: Path) -> None:
    tree = PowercapTree(public_path, [Zone("package-0"), Zone("package-1")])
    tree.make_unreadable("package-1")
    found, reason, remedy = probe_as_user(tree)
    assert found == ["rapl:package-0"]
    assert "CVE-2020-8694" in reason
    assert "chgrp" in remedy


def test_permission_taken_away_mid_run_costs_nothing(public_path: Path) -> None:
    clock = Clock()
    tree = PowercapTree(public_path, [Zone("package-0")])

    def look() -> list[object]:
        source = collector(tree, clock)
        source.probe()
        started.set()
        assert revoked.wait(10)
        clock.forward(1.0)
        return [[type(o).__name__, getattr(o, "energy_uj", None)] for o in list(source.read())]

    context = multiprocessing.get_context("fork")
    started, revoked = context.Event(), context.Event()

    def revoke() -> None:
        assert started.wait(10)
        tree.set_j("package-0", 40.0)
        tree.make_unreadable("package-0")
        revoked.set()

    assert as_nobody(look, meanwhile=revoke) == [["Reading", 40_000_000]]


def test_permission_that_keeps_a_returned_zone_shut_is_a_gap(public_path: Path) -> None:
    tree = PowercapTree(public_path, [Zone("package-0")])
    context = multiprocessing.get_context("fork")
    started, revoked = context.Event(), context.Event()

    def look() -> list[object]:
        source = collector(tree)
        source.probe()
        started.set()
        assert revoked.wait(10)
        return [[o.cause, o.recoverable] for o in source.read() if isinstance(o, Gap)]

    def revoke() -> None:
        assert started.wait(10)
        tree.vanish("package-0")
        tree.restore("package-0")
        tree.make_unreadable("package-0")
        revoked.set()

    assert as_nobody(look, meanwhile=revoke) == [["permission", True]]


def test_remedy_never_opens_the_counters_to_everybody() -> None:
    from collectors import rapl

    for word in ("o+r", "a+r", "644", "444", "o=r"):
        assert word not in rapl._REMEDY_PERMISSION


def test_no_powercap_folder_is_explained(tmp_path: Path) -> None:
    probe = RaplCollector(Host(sysfs=str(tmp_path))).probe()
    assert not probe.ok
    assert "no RAPL counters" in probe.reason
    assert "modprobe intel_rapl_msr" in probe.remedy
    assert RaplCollector(Host(sysfs=str(tmp_path))).read() == []


def test_powercap_without_zones_is_explained(tmp_path: Path) -> None:
    PowercapTree(tmp_path, [])
    probe = RaplCollector(Host(sysfs=str(tmp_path / "sys"))).probe()
    assert "not loaded" in probe.reason


def test_powercap_masked_in_a_container_is_explained(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, [Zone("package-0")])
    shutil.rmtree(tmp_path / "sys" / "devices" / "virtual" / "powercap")
    probe = collector(tree).probe()
    assert "hidden inside this container" in probe.reason
    assert "FRUGALWATCH_SYSFS" in probe.remedy


def test_reading_through_wraps_every_three_seconds_agrees_with_the_truth(tmp_path: Path) -> None:
    zones = (
        Zone("package-0", Square(20.0, 60.0, 0.7), range_j=120.0),
        Zone("package-1", Constant(40.0), range_j=120.0, start_j=100.0),
        Zone("psys", Ramp(50.0, 150.0, 4.0), range_j=300.0),
    )
    with PowercapTree(tmp_path, zones) as tree:
        tree.start()
        source = collector(tree)
        probe = source.probe()
        poll_s = min(device.max_poll_s or 9.0 for device in probe.devices) / 2
        first = readings(list(source.read()))
        until_ns = time.monotonic_ns() + 4 * NS
        found: list[Observation] = []
        while time.monotonic_ns() < until_ns:
            time.sleep(poll_s)
            found += source.read()
        last = readings(found)
        late_s = tree.lateness_s
        for zone, most_w in (("package-0", 60.0), ("package-1", 40.0), ("psys", 150.0)):
            begin, end = first[f"rapl:{zone}"], last[f"rapl:{zone}"]
            true_j = tree.true_energy_j(zone, begin.t_mono_ns, end.t_mono_ns)
            # The feeder may lose the processor; what it wrote too late is not ours.
            allowed_j = 0.005 * true_j + most_w * late_s
            assert (end.energy_uj - begin.energy_uj) / 1e6 == pytest.approx(true_j, abs=allowed_j)


def test_look_that_lost_the_processor_is_taken_again(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, [Zone("package-0")])
    instants_s = iter([0.0, 10.0, 10.05, 10.06, 10.06])

    source = collector(tree, lambda: round(next(instants_s) * NS))
    source.probe()
    (reading,) = source.read()
    assert reading.t_mono_ns == 10_060_000_000


def test_reader_imports_nothing_that_the_command_line_has_not(tmp_path: Path) -> None:
    tree = PowercapTree(tmp_path, SERVER)
    program = (
        "import sys, click, dataclasses; before = set(sys.modules)\n"
        "from collectors.host import Host\n"
        "from collectors.rapl import RaplCollector\n"
        "RaplCollector(Host(sysfs=sys.argv[1])).probe()\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    output = subprocess.check_output(
        [sys.executable, "-c", program, tree.sysfs], cwd=REPOSITORY, text=True
    )
    assert {name for name in output.split() if not name.startswith("collectors")} == set()
    assert "collectors.integrate" not in output.split()
