"""The cross-check: real child processes, simulated counters, stand-ins for foreign packages."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors.base import Device
from collectors.cpu_identity import parse_cpuinfo
from collectors.fake import Constant
from collectors.host import Host
from collectors.limits import Limits
from collectors.rapl import RaplCollector
from frugalwatch.crosscheck.causes import Situation, causes_of
from frugalwatch.crosscheck.compare import (
    CrosscheckResult,
    as_json,
    compare,
    our_parts,
    run_crosscheck,
    trackers,
)
from frugalwatch.crosscheck.render import render
from frugalwatch.crosscheck.tracker_process import Absent, Opinion, TrackerProcess
from frugalwatch.meter import DeviceEnergy
from tests.frugalwatch.crosscheck.stand_ins import CODECARBON, PYRAPL, tracker
from tests.support.fake_sysfs import PowercapTree, Zone
from tests.support.machine_tree import ICE_LAKE_SP, MachineTree, cpuinfo

PACKAGE_W, DRAM_W = 40.0, 5.0
PACKAGE = Device("rapl:package-0", "cpu", "package", "measured", "die", "RAPL")
DRAM = Device("rapl:package-0:dram", "ram", "dram", "measured", "die", "RAPL")
MODEL = Device(
    "model:cpu", "cpu", "CPU", "estimated", "server_ac", "model: Ice Lake", encloses=("cpu", "ram")
)


def opinion(name: str = "codecarbon", seconds: float = 10.0, **details: object) -> Opinion:
    return Opinion(name, "1.0", seconds, 400.0, 200.0, None, details)


def situation(*devices: Device, limits: Limits | None = None, flags: str = "") -> Situation:
    fields = ICE_LAKE_SP | {"flags": f"fpu {flags}"}
    return Situation(20.0, devices, limits or Limits(), parse_cpuinfo(cpuinfo(fields, 4)), ())


def crosscheck_rapl(folder: Path, others: list[TrackerProcess], range_j: float) -> CrosscheckResult:
    """Two seconds of 40 W and 5 W, our real RAPL reader beside the trackers."""
    zones = [
        Zone(
            "package-0",
            Constant(PACKAGE_W),
            range_j=range_j,
            subzones=(Zone("dram", Constant(DRAM_W)),),
        )
    ]
    with PowercapTree(folder, zones) as tree:
        tree.start()
        return run_crosscheck(
            2.0,
            Host(),
            collectors=[RaplCollector(Host(sysfs=tree.sysfs))],
            others=others,
        )


def pyrapl(folder: Path, tree_folder: Path) -> TrackerProcess:
    zone = tree_folder / "sys/devices/virtual/powercap/intel-rapl/intel-rapl:0"
    source = PYRAPL.format(
        package=str(zone / "energy_uj"), dram=str(zone / "intel-rapl:0:0/energy_uj")
    )
    return tracker(folder, "pyRAPL", source, (str(zone.parent),))


def test_all_agree_with_the_truth_and_the_wraps_that_pyrapl_loses_are_named(tmp_path: Path) -> None:
    result = crosscheck_rapl(tmp_path, [pyrapl(tmp_path, tmp_path)], range_j=30.0)
    assert [part.name for part in result.parts] == ["CPU", "RAM"]
    assert result.absent == ()
    (said,) = result.opinions
    for part, truth_w in zip(result.parts, (PACKAGE_W, DRAM_W), strict=True):
        assert part.watts == pytest.approx(truth_w, rel=0.05)
    # The real child corrects its sensor's wraps with the range that it reads beside it.
    assert said.watts(said.cpu_j) == pytest.approx(PACKAGE_W, rel=0.05)
    assert said.watts(said.ram_j) == pytest.approx(DRAM_W, rel=0.05)
    assert said.details["wraps"] in (2, 3)
    (cause,) = result.causes
    assert "a counter wrapped" in cause


def test_without_a_wrap_there_is_nothing_to_explain(tmp_path: Path) -> None:
    result = crosscheck_rapl(tmp_path, [pyrapl(tmp_path, tmp_path)], range_j=262_143.0)
    assert result.causes == ()
    assert [c.ratio for c in result.comparisons] == pytest.approx([1.0, 1.0], abs=0.06)


def test_codecarbon_is_asked_without_network_files_or_noise(tmp_path: Path) -> None:
    source = CODECARBON.format(mode="intel_rapl", tdp=None, covered=1.0)
    result = crosscheck_rapl(tmp_path, [tracker(tmp_path, "codecarbon", source)], range_j=1e5)
    (said,) = result.opinions
    assert said.watts(said.cpu_j) == pytest.approx(40.0, rel=1e-6)
    assert said.details["co2e_g"] is None  # no country was given, so its carbon means nothing
    assert any("flat 20 W for RAM" in cause for cause in result.causes)
    assert any("does not read the DRAM counter" in cause for cause in result.causes)
    json.dumps(as_json(result))


def test_a_given_country_is_passed_on(tmp_path: Path) -> None:
    source = CODECARBON.format(mode="intel_rapl", tdp=None, covered=1.0)
    one = tracker(tmp_path, "codecarbon", source, ("SWE",))
    result = crosscheck_rapl(tmp_path, [one], range_j=1e5)
    grams = result.opinions[0].details["co2e_g"]
    assert isinstance(grams, float)
    assert grams > 0


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (PYRAPL.format(package="/nonexistent/x", dram=""), "it finds no RAPL counters here"),
        ("raise PermissionError(13, 'denied')", "it may not read the RAPL counters"),
        ("raise RuntimeError('broken release')", "broken release"),
        ("import os; os._exit(9)", "it did not start"),
    ],
)
def test_a_tracker_that_fails_is_named_with_its_reason_and_ours_goes_on(
    tmp_path: Path, source: str, reason: str
) -> None:
    result = crosscheck_rapl(tmp_path, [tracker(tmp_path, "pyRAPL", source)], range_j=1e5)
    assert result.absent == (Absent("pyRAPL", reason),)
    assert result.parts[0].watts == pytest.approx(PACKAGE_W, rel=0.05)
    assert f"pyRAPL: {reason}" in render(result)


def test_a_tracker_that_dies_in_the_window_is_told(tmp_path: Path) -> None:
    source = CODECARBON.format(mode="constant", tdp=1, covered=1.0).replace(
        "self.begun = time.monotonic()", "import os; os._exit(1)"
    )
    result = crosscheck_rapl(tmp_path, [tracker(tmp_path, "codecarbon", source)], range_j=1e5)
    assert result.opinions == ()
    assert "noise on stdout" in result.absent[0].reason  # its last words, whatever they were


def test_what_is_not_installed_is_told_with_the_command() -> None:
    missing = TrackerProcess("pyRAPL", "unused.py", module="no_such_module_here")
    gone = missing.launch()
    missing.close()
    assert gone == Absent("pyRAPL", "not installed", "pip install 'frugalwatch[crosscheck]'")


def test_the_known_trackers_are_pyrapl_and_codecarbon() -> None:
    known = trackers()
    assert [each.name for each in known] == ["pyRAPL", "codecarbon"]
    for each in known:
        each.close()


def test_without_counters_the_models_stand_in_and_ram_is_not_counted_twice(tmp_path: Path) -> None:
    tree = MachineTree(tmp_path)
    tree.cpu(ICE_LAKE_SP, 4)
    tree.memory(1 << 34)
    # Real time has to pass for the model, whatever CPU time the tree shows.
    host = Host(tree.host.sysfs, tree.host.procfs)
    result = run_crosscheck(0.5, host, collectors=[], others=[])
    (part,) = result.parts
    assert (part.name, part.origin) == ("CPU and RAM", "estimated")
    assert part.watts == pytest.approx(4 * 0.756, rel=0.1)
    assert part.low_w < part.watts < part.high_w
    assert "~" in render(result)


# what is compared with what


def test_a_whole_server_figure_is_compared_with_their_cpu_and_ram_together() -> None:
    parts = our_parts([DeviceEnergy(MODEL, 300.0, 150.0, 600.0, 10.0)])
    (one,) = compare(parts, opinion())
    assert (one.part, one.our_w, one.their_w, one.ratio) == ("CPU and RAM", 30.0, 60.0, 2.0)
    assert one.inside_bounds


def test_sub_zones_and_failed_devices_are_not_summed() -> None:
    core = Device("rapl:core", "cpu", "core", "measured", "die", "RAPL", part_of="rapl:package-0")
    parts = our_parts(
        [
            DeviceEnergy(PACKAGE, 400.0, 400.0, 400.0, 10.0),
            DeviceEnergy(core, 300.0, 300.0, 300.0, 10.0),
            DeviceEnergy(DRAM, None, None, None, missing=("vanished",)),
        ]
    )
    assert [(part.name, part.watts) for part in parts] == [("CPU", 40.0)]


def test_no_watts_of_ours_gives_no_ratio() -> None:
    parts = our_parts([DeviceEnergy(PACKAGE, 0.0, 0.0, 0.0, 10.0)])
    assert compare(parts, opinion())[0].ratio is None


# only causes that apply


@pytest.mark.parametrize(
    ("where", "said", "words"),
    [
        (
            situation(PACKAGE),
            opinion(cpu_method="cpu_load", tdp_w=205),
            "models the CPU from 205 W",
        ),
        (situation(MODEL), opinion(cpu_method="cpu_load", tdp_w=16), "does not know this CPU"),
        (
            situation(MODEL, flags="hypervisor"),
            opinion(cpu_method="cpu_load", tdp_w=300),
            "TDP of the whole socket, 300 W, though this guest sees 4 threads",
        ),
        (
            situation(MODEL, limits=Limits(cpus=2.0)),
            opinion(cpu_method="cpu_load", tdp_w=300),
            "ours covers the 2 CPUs",
        ),
        (situation(MODEL), opinion(), "the server at its plug"),
        (situation(PACKAGE), opinion(ram_power_w=20.0, seconds=12.5), "cover 80% of the 12.5 s"),
    ],
)
def test_a_known_cause_is_said_where_it_applies(
    where: Situation, said: Opinion, words: str
) -> None:
    assert any(words in cause for cause in causes_of(where, [said]))


def test_causes_that_do_not_apply_are_not_said() -> None:
    counters = situation(PACKAGE, DRAM)
    assert causes_of(counters, []) == ()
    assert causes_of(counters, [opinion(name="pyRAPL", wraps=0, two_ends_j=400.0)]) == ()
    assert causes_of(counters, [opinion(cpu_method="intel_rapl")]) == ()
